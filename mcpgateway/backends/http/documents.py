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
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from mcpgateway.backends.http.client import Web
from mcpgateway.backends.http.connect import PLAIN, CertificateTrust
from mcpgateway.backends.http.response import ANSWER_LIMIT, WebAnswer
from mcpgateway.errors import BackendError

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
        web.place(url)  # in words of our own where it is none
    except BackendError as why:
        return fail(why)
    agent = WebAgent(web, timeout_s, trust, limit, named_by)
    client = HTTPClient(agent, data_to_body_producer=BodyInMemory)
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
    return answered.addCallback(_whole)


def _whole(response: Any) -> Deferred[WebAnswer]:
    headers = {name.lower(): b", ".join(values) for name, values in response.headers.getAllRawHeaders()}
    content: Deferred[bytes] = treq.content(response)
    return content.addCallback(lambda body: WebAnswer(response.code, headers, body))


@implementer(IAgent)
@frozen
class WebAgent:
    """An agent of Twisted that uses the gateway's connections, and hands on only whole answers.

    :ivar timeout_s: time limit of a whole answer, in seconds.
    :ivar limit: the limit of an answer's body, in bytes.
    """

    web: Web
    timeout_s: float
    trust: CertificateTrust
    limit: int
    named_by: str

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """Send a request; the Deferred fires with the response once its body is whole.

        :raise BackendError: (through the Deferred) as `mcpgateway.backends.http.client.Web.request`.
        """
        sent = {
            name.decode("ascii"): b", ".join(values).decode("utf-8")
            for name, values in (headers or Headers()).getAllRawHeaders()
            if name.lower() not in _LEFT_OUT
        }
        answered: Deferred[Any] = self.web.request(
            method.decode("ascii"),
            uri.decode("ascii"),
            sent,
            bodyProducer.body if isinstance(bodyProducer, BodyInMemory) else b"",
            timeout_s=self.timeout_s,
            trust=self.trust,
            limit=self.limit,
            named_by=self.named_by,
        )
        return answered.addCallback(WholeResponse)


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
class WholeResponse:
    """An answer that has been received, in the form of Twisted's agents."""

    version = (b"HTTP", 1, 1)
    phrase = b""
    request = None

    def __init__(self, answer: WebAnswer) -> None:
        self.code = answer.status
        named = {name: [value] for name, value in answer.headers.items() if name not in _LEFT_OUT}
        self.headers = Headers(named)
        self.length = len(answer.body)
        self.previousResponse: IResponse | None = None
        self._body = answer.body

    def deliverBody(self, protocol: IProtocol) -> None:
        """Deliver the body to a protocol at once."""
        protocol.dataReceived(self._body)
        protocol.connectionLost(Failure(ResponseDone()))

    def setPreviousResponse(self, response: IResponse) -> None:
        """Set the response that has led to this one."""
        self.previousResponse = response
