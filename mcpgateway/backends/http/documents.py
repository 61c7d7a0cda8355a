"""Fetch documents, tokens and the like through treq: whole answers of moderate size, seldom.

Requests to authorization servers, for key sets and descriptions of APIs, to collectors of traces and for health checks
are made here.  MCP has an HTTP client of its own (`mcpgateway.backends.http.client`), whose connections these requests
use as well: the same checks of places, certificates and proxies, and the same bounds, hold for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import treq
from attrs import frozen
from treq.client import HTTPClient
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IConsumer, IProtocol
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from mcpgateway.backends.http.client import Web
from mcpgateway.backends.http.connect import PLAIN, CertificateTrust
from mcpgateway.backends.http.response import ANSWER_LIMIT, WebAnswer, WebStream
from mcpgateway.errors import BackendError, BackendTimeout

# treq accepts compressed answers, whose size is known only after they have been decompressed.
_LEFT_OUT = frozenset((b"accept-encoding", b"content-encoding", b"content-length"))


def fetch(  # noqa: PLR0913 - as `Web.open`
    web: Web,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | Mapping[str, str] = b"",
    *,
    timeout_s: float,
    trust: CertificateTrust = PLAIN,
    limit: int = ANSWER_LIMIT,
    named_by: str = "",
) -> Deferred[WebAnswer]:
    """Send a request; fires with the complete answer. Redirects are not followed, and no cookie is kept.

    :param body: a mapping is sent as a form.
    :param limit: bytes of the answer's body.
    :param named_by: the configured URL of the server that has named this one; the address is judged by it.
    :raise Unreachable: (through the Deferred) no connection to that address is possible.
    :raise BackendTimeout: (through the Deferred) the answer was not complete within ``timeout_s``.
    :raise BackendError: (through the Deferred) the connection broke, requests to the URL are not permitted, or the body
        is larger than ``limit`` bytes.
    """
    try:
        web.place(url)  # for the gateway's own error message where it is no URL
    except BackendError as why:
        return fail(why)
    client = HTTPClient(WebAgent(web, trust, named_by, limit), data_to_body_producer=BodyInMemory)
    sent = body if isinstance(body, bytes) else dict(body)
    answered: Deferred[Any] = client.request(
        method,
        url,
        headers=Headers({name: [value] for name, value in headers.items()}),
        data=sent or None,
        allow_redirects=False,
        unbuffered=True,
        reactor=web.reactor,
    )
    answered.addCallback(_whole)
    answered.addTimeout(timeout_s, web.reactor, lambda _, limit_s: _late(limit_s))
    return answered


def _whole(response: Any) -> Deferred[WebAnswer]:
    parts: list[bytes] = []
    headers = {name.lower(): b", ".join(values) for name, values in response.headers.getAllRawHeaders()}
    whole: Deferred[WebAnswer] = Deferred(lambda _: response.original.abort())
    treq.collect(response, parts.append).addCallbacks(
        lambda _: whole.callback(WebAnswer(response.code, headers, b"".join(parts))), whole.errback
    )
    return whole


def _late(limit_s: float) -> Failure:
    return Failure(BackendTimeout(f"no answer within {limit_s:g} s"))


@implementer(IAgent)
@frozen
class WebAgent:
    """Twisted's agent, over the gateway's own connections.

    :ivar limit: bytes of an answer's body.
    """

    web: Web
    trust: CertificateTrust
    named_by: str
    limit: int

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """Send a request; fires with the answer once its headers have come.

        :raise BackendError: (through the Deferred) as `mcpgateway.backends.http.client.Web.open`.
        """
        sent = {
            name.decode("ascii"): b", ".join(values).decode("utf-8")
            for name, values in (headers or Headers()).getAllRawHeaders()
            if name.lower() not in _LEFT_OUT
        }
        body = bodyProducer.body if isinstance(bodyProducer, BodyInMemory) else b""
        opened = self.web.open(
            method.decode("ascii"), uri.decode("ascii"), sent, body, self.trust, named_by=self.named_by
        )
        answered: Deferred[IResponse] = opened.addCallback(WebResponse, self.limit)
        return answered


@implementer(IBodyProducer)
class BodyInMemory:
    """The body of a request, which is sent together with its head."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.length = len(body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Write the body at once."""
        consumer.write(self.body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Ignore a pause: the body is written at once."""

    def resumeProducing(self) -> None:
        """Ignore a resumption: the body is written at once."""

    def stopProducing(self) -> None:
        """Ignore a stop: the body is written at once."""


@implementer(IResponse)
class WebResponse:
    """The answer to a request, in the interface of Twisted's agents.

    :param limit: bytes of its body.
    """

    version = (b"HTTP", 1, 1)
    phrase = b""
    length = UNKNOWN_LENGTH
    request = None
    previousResponse = None

    def __init__(self, stream: WebStream, limit: int) -> None:
        self.code = stream.status
        named = {name: [value] for name, value in stream.headers.items() if name not in _LEFT_OUT}
        self.headers = Headers(named)
        self._stream = stream
        self._limit = limit
        self._size = 0
        self._protocol: Any = None

    def deliverBody(self, protocol: IProtocol) -> None:
        """Pass the body on as it comes."""
        self._protocol = protocol
        self._stream.deliver(self)

    def setPreviousResponse(self, response: IResponse) -> None:
        """Ignore a former response: redirects are not followed."""
        raise NotImplementedError("redirects are not followed")

    def abort(self) -> None:
        """Drop the connection; the protocol gets no further call."""
        self._stream.abort()

    # Calls of the stream (`IBodyReceiver`)

    def data(self, data: bytes) -> None:
        """Receive a part of the body."""
        self._size += len(data)
        if self._size > self._limit:
            self._stream.abort()
            self.ended(BackendError(f"the answer is larger than {self._limit} bytes"))
            return
        self._stream.holds(self._size)
        self._protocol.dataReceived(data)

    def ended(self, why: BackendError | None) -> None:
        """Receive the end of the body: None if it is complete."""
        self._protocol.connectionLost(Failure(why or ResponseDone()))
