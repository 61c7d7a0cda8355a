"""Send HTTP requests: bounded, verified, never redirected by itself.

One connection pool serves all remote servers.  OpenSSL is loaded by the first ``https`` URL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from attrs import define, field, frozen
from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IPolicyForHTTPS
from zope.interface import implementer

from mcpgateway.errors import BackendError, BackendTimeout, Unreachable

DIAL_S = 3.0
ANSWER_LIMIT = 32 * 2**20  # bytes of a body that is taken whole
IDLE_S = 60  # an idle connection is kept for so long
CONNECTIONS = 100  # kept idle for each host


class IBodyReceiver(Protocol):
    """Who takes a body as it comes."""

    def data(self, data: bytes) -> None:
        """Some more of it."""

    def ended(self, why: BackendError | None) -> None:
        """It is over: None where it is whole. Called once, the last call of all."""


@frozen
class Trust:
    """Whose certificates are believed.

    :ivar ca_file: PEM file of the authorities; empty for the system's.
    :ivar is_blind: everybody's are.
    """

    ca_file: str = ""
    is_blind: bool = False


PLAIN = Trust()


@frozen
class WebAnswer:
    """A whole answer; header names are in lower case."""

    status: int
    headers: Mapping[bytes, bytes] = field(repr=False)
    body: bytes = field(repr=False)


@define(eq=False)
class WebStream:
    """An answer whose body comes bit by bit."""

    status: int
    headers: Mapping[bytes, bytes] = field(repr=False)
    _response: Any = field(repr=False)
    _reader: _Reader | None = field(default=None, repr=False)

    def deliver(self, receiver: IBodyReceiver) -> None:
        """Hand on the body as it comes."""
        self._reader = _Reader(receiver)
        self._response.deliverBody(self._reader)

    def pause(self) -> None:
        """Let the sender wait."""
        if self._reader is not None:
            self._reader.pause()

    def resume(self) -> None:
        """Take on."""
        if self._reader is not None:
            self._reader.resume()

    def abort(self) -> None:
        """Drop the connection; the receiver hears no more."""
        if self._reader is None:
            self._reader = _Reader(_Nobody())
            self._response.deliverBody(self._reader)
        self._reader.abort()


class Web:
    """What requests are sent with.

    :param reactor: provides connections and time.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._agents: dict[Trust | None, Agent] = {}
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = CONNECTIONS
        self._pool.cachedConnectionTimeout = IDLE_S
        self._pool.retryAutomatically = False  # nothing is ever sent twice

    def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        trust: Trust = PLAIN,
    ) -> Deferred[WebStream]:
        """Send a request; fires with its answer once the headers have come. Cancel it to give up.

        :raise Unreachable: (through the Deferred) nothing answers at that address.
        :raise BackendError: (through the Deferred) the connection broke.
        """
        sent = self._agent(url, trust).request(
            method.encode(),
            url.encode("ascii"),
            Headers({name: [value] for name, value in headers.items()}),
            _Body(body) if body or method in ("POST", "PUT", "PATCH") else None,
        )
        opened: Deferred[WebStream] = sent.addCallbacks(_stream, _failed)
        return opened

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        timeout_s: float,
        trust: Trust = PLAIN,
        limit: int = ANSWER_LIMIT,
    ) -> Deferred[WebAnswer]:
        """Send a request and take its answer whole.

        :raise Unreachable: (through the Deferred) nothing answers at that address.
        :raise BackendTimeout: (through the Deferred) it took longer than that.
        :raise BackendError: (through the Deferred) the connection broke, or the body is larger than ``limit`` bytes.
        """
        opened = self.open(method, url, headers, body, trust)
        whole: Deferred[WebAnswer] = opened.addCallback(_whole, limit)
        whole.addTimeout(timeout_s, self._reactor, lambda _, limit_s: _too_late(limit_s))
        return whole

    def close(self) -> Deferred[None]:
        """Close the idle connections."""
        closed: Deferred[None] = self._pool.closeCachedConnections()
        return closed

    def _agent(self, url: str, trust: Trust) -> Agent:
        key = trust if urlsplit(url).scheme == "https" else None
        agent = self._agents.get(key)
        if agent is None:
            policy = _NoTls() if key is None else _policy(key)
            agent = Agent(self._reactor, policy, connectTimeout=DIAL_S, pool=self._pool)
            self._agents[key] = agent
        return agent


@implementer(IPolicyForHTTPS)
class _NoTls:
    """For plain connections, which need no OpenSSL."""

    def creatorForNetloc(self, hostname: bytes, port: int) -> Any:
        """Never asked."""
        raise AssertionError("a plain agent was asked for https")


def _policy(trust: Trust) -> Any:
    from mcpgateway.backends.tls import policy  # OpenSSL is 15 MB that few need

    return policy(trust.ca_file, insecure=trust.is_blind)


def _stream(response: Any) -> WebStream:
    headers = {name.lower(): b", ".join(values) for name, values in response.headers.getAllRawHeaders()}
    return WebStream(response.code, headers, response)


def _failed(why: Failure) -> Failure:
    if why.check(CancelledError, BackendError):
        return why
    if why.check(error.DNSLookupError):
        return Failure(Unreachable("its host name is not known"))
    if why.check(error.ConnectError, error.TimeoutError):
        return Failure(Unreachable(f"no connection: {_sentence(why.value)}"))
    return Failure(BackendError(f"the connection broke: {_sentence(why.value)}"))


def _sentence(why: BaseException | None) -> str:
    if isinstance(why, ResponseFailed) and why.reasons:
        return _sentence(why.reasons[0].value)
    if isinstance(why, error.ConnectionLost):
        return "it was closed before the answer was whole"
    return str(why).rstrip(".") or type(why).__name__


def _too_late(limit_s: float) -> Failure:
    return Failure(BackendTimeout(f"no answer within {limit_s:g} s"))


def _whole(stream: WebStream, limit: int) -> Deferred[WebAnswer]:
    collector = _Collector(stream, limit)
    stream.deliver(collector)
    return collector.done


class _Collector:
    """Keeps a body until it is whole."""

    def __init__(self, stream: WebStream, limit: int) -> None:
        self.done: Deferred[WebAnswer] = Deferred(lambda _: stream.abort())
        self._stream = stream
        self._limit = limit
        self._size = 0
        self._parts: list[bytes] = []

    def data(self, data: bytes) -> None:
        """Some more of it."""
        self._size += len(data)
        self._parts.append(data)
        if self._size > self._limit:
            self._stream.abort()
            self.done.errback(BackendError(f"the answer is larger than {self._limit} bytes"))

    def ended(self, why: BackendError | None) -> None:
        """It is over."""
        if why is not None:
            self.done.errback(why)
        else:
            self.done.callback(WebAnswer(self._stream.status, self._stream.headers, b"".join(self._parts)))


class _Nobody:
    """Takes what nobody wants."""

    def data(self, data: bytes) -> None:
        """Drop it."""

    def ended(self, why: BackendError | None) -> None:
        """So be it."""


class _Reader(TwistedProtocol):
    """Twisted's side of a body."""

    transport: Any = None  # its type there does not say that it can be paused

    def __init__(self, receiver: IBodyReceiver) -> None:
        self._receiver: IBodyReceiver = receiver

    def dataReceived(self, data: bytes) -> None:
        """Some more of it."""
        self._receiver.data(data)

    def connectionLost(self, reason: Failure = Failure(error.ConnectionLost())) -> None:  # noqa: B008 - Twisted's own
        """It is over."""
        receiver, self._receiver = self._receiver, _Nobody()
        if reason.check(ResponseDone, PotentialDataLoss):
            receiver.ended(None)
        else:
            receiver.ended(BackendError(f"the connection broke: {_sentence(reason.value)}"))

    def pause(self) -> None:
        """Let the sender wait."""
        if self.transport is not None:
            self.transport.pauseProducing()

    def resume(self) -> None:
        """Take on."""
        if self.transport is not None:
            self.transport.resumeProducing()

    def abort(self) -> None:
        """Drop the connection."""
        self._receiver = _Nobody()
        if self.transport is not None:
            self.transport.abortConnection()


@implementer(IBodyProducer)
class _Body:
    """A body that is at hand."""

    def __init__(self, body: bytes) -> None:
        self.length = len(body)
        self._body = body

    def startProducing(self, consumer: Any) -> Deferred[None]:
        """Write all of it."""
        done: Deferred[None] = Deferred()
        consumer.write(self._body)
        done.callback(None)
        return done

    def pauseProducing(self) -> None:
        """It is written already."""

    def resumeProducing(self) -> None:
        """It is written already."""

    def stopProducing(self) -> None:
        """It is written already."""
