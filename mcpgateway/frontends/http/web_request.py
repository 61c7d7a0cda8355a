"""Answer a `twisted.web` request on an exchange.

# Note [Playing the channel]
`twisted.web.http.Request` calls its channel through about a dozen members that no interface declares.  HTTP/2 in
Twisted itself implements them (`H2Stream`), and so does this module.  A contract test lists the members.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from twisted.internet._producer_helpers import _PullToPush  # used by twisted.web itself for pull producers
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IConsumer, ITransport
from twisted.python.failure import Failure
from twisted.web.http import NO_BODY_CODES
from twisted.web.http_headers import Headers
from twisted.web.server import Site
from zope.interface import implementer

from mcpgateway.frontends.http.exchange import UNSHARED, Exchange, ExchangeConnection, status_line

UNSAID = (b"connection", b"server")  # the channel sets the first, and the second is not published
EVENTS = b"text/event-stream"


@implementer(ITransport, IConsumer)
class WebChannel:
    """The channel of a `twisted.web.server.Request`.

    :ivar site: the site in which the request finds its resource.
    :ivar factory: None, because Twisted would format an access log line for it.
    :ivar transport: the connection's transport.
    :ivar exchange: the exchange, with its caller.
    """

    factory = None

    def __init__(self, exchange: Exchange, channel: ExchangeConnection, site: Site) -> None:
        self.site = site
        self.transport = channel.transport
        self.exchange = self._exchange = exchange
        self._channel = channel
        self._request: Any = None
        self._pull: Any = None

    def begin(self) -> None:
        """Make the request and have it rendered; its body is parsed on demand only."""
        exchange = self._exchange
        request = self._request = self.site.requestFactory(self)
        for name, value in exchange.headers.items():
            request.requestHeaders.addRawHeader(name, value)
        request.parseCookies()
        request.content = BytesIO(exchange.body)
        request.content.seek(0, 2)
        exchange.body = b""
        exchange.on_gone = self._gone
        request.requestReceived(exchange.method, exchange.head.target, b"HTTP/" + exchange.version)

    def _gone(self) -> None:
        self.unregisterProducer()
        request, self._request = self._request, None
        if request is not None:
            request.connectionLost(Failure(ConnectionDone()))

    # Calls of the request

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """Send the head of the answer."""
        channel = self._channel
        self._exchange.streaming = EVENTS in (headers.getRawHeaders(b"content-type") or ())
        is_framed = headers.hasHeader(b"content-length") or headers.hasHeader(b"transfer-encoding")
        has_body = self._exchange.method != b"HEAD" and int(code) not in NO_BODY_CODES
        if has_body and not is_framed:
            channel.is_last = True  # HTTP/1.0 has no chunks; the end of the connection ends the body
        lines = [status_line(int(code), reason)]
        for name, values in headers.getAllRawHeaders():
            if name.lower() not in UNSAID and name.lower() not in UNSHARED:
                lines += [b"%b: %b\r\n" % (name, value) for value in values]
        lines.append(channel.connection_line() + b"\r\n")
        channel.outlet.write(b"".join(lines))

    def write(self, data: bytes) -> None:
        """Send a part of the body."""
        if not self._exchange.gone:
            self._channel.outlet.write(data)

    def writeSequence(self, data: Any) -> None:
        """Send parts of the body."""
        if not self._exchange.gone:
            self._channel.outlet.write(b"".join(data))

    def requestDone(self, request: Any) -> None:
        """Finish the answer."""
        self._request = None
        exchange = self._exchange
        exchange.on_gone = None
        exchange.answered = True
        if not exchange.gone:
            self._channel.answer_done()

    def registerProducer(self, producer: Any, streaming: bool) -> None:  # noqa: FBT001  # as Twisted calls it
        """Let a producer write as fast as the client reads."""
        if self._channel.outlet.producer is not None:
            raise RuntimeError("there is a producer already")
        if not streaming:
            producer = self._pull = _PullToPush(producer, self)
        self._channel.outlet.producer = producer
        if not streaming:
            producer.startStreaming()
        if self._channel.outlet.is_congested:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """Note that the producer has written everything."""
        pull, self._pull = self._pull, None
        if pull is not None:
            pull.stopStreaming()
        self._channel.outlet.producer = None

    def loseConnection(self) -> None:
        """Close the connection after this answer."""
        self._channel.is_last = True

    def abortConnection(self) -> None:
        """Close the connection at once."""
        self._channel.abort()

    def _respondToBadRequestAndDisconnect(self) -> None:
        self._channel.is_last = True
        self._exchange.answer(400)

    def getPeer(self) -> Any:
        """Return the client's address."""
        return self.transport.getPeer()

    def getHost(self) -> Any:
        """Return the gateway's address."""
        return self.transport.getHost()

    def isSecure(self) -> bool:
        """Return whether the connection is encrypted."""
        return self._exchange.secure


def render(exchange: Exchange, site: Site) -> None:
    """Render the answer of ``site``, which must have been made with ``parsePOSTFormSubmission=False``."""
    WebChannel(exchange, exchange.channel, site).begin()
