"""Serve one exchange with a real twisted.web request.

`WebChannel` plays for ``twisted.web.http.Request`` the part that ``HTTPChannel`` plays for HTTP/1.1 and ``H2Stream`` for
HTTP/2.  The members it has are semi-private there; a contract test holds them against the pinned range of Twisted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IAddress, IConsumer, ITransport
from twisted.web.http_headers import Headers
from twisted.web.server import Request, Site
from zope.interface import implementer

if TYPE_CHECKING:
    from mcpgateway.doors.http.channel import Channel
    from mcpgateway.doors.http.exchange import Exchange


@implementer(ITransport, IConsumer)
class WebChannel:
    """The channel a twisted.web request believes to be on.

    :ivar factory: where ``HTTPChannel`` has its access log; ours has none.
    """

    factory = None

    def __init__(self, exchange: Exchange, channel: Channel, site: Site) -> None:
        self.site = site
        self.transport = channel.transport
        self._exchange = exchange
        self._channel = channel
        self._request: Request | None = Request(self)

    def begin(self) -> None:
        """Give the request to the site."""
        exchange, request = self._exchange, self._request
        if request is None:
            return
        for name, value in exchange.headers.items():
            request.requestHeaders.addRawHeader(name, value)
        body, exchange.body = exchange.body, b""
        request.gotLength(len(body))
        if body:
            request.handleContentChunk(body)
        target = exchange.path + (b"?" + exchange.query if exchange.query else b"")
        request.requestReceived(exchange.method, target, b"HTTP/" + exchange.version)

    def lost(self, reason: Any) -> None:
        """The client has disconnected."""
        request, self._request = self._request, None
        if request is not None:
            request.connectionLost(reason)

    # What a request asks of its channel.

    def getPeer(self) -> IAddress:
        """Who is asking."""
        return self._exchange.peer

    def getHost(self) -> IAddress:
        """Which of our addresses was asked."""
        return self.transport.getHost()  # type: ignore[no-any-return]  # any transport's

    def isSecure(self) -> bool:
        """Whether the connection is encrypted."""
        return self._exchange.secure

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers | list[Any]) -> None:
        """Write the head of the answer."""
        pairs = (
            list(headers.getAllRawHeaders())
            if isinstance(headers, Headers)
            else [(n, [v]) for n, v in headers]
        )
        names = {name.lower() for name, _ in pairs}
        exchange = self._exchange
        if (
            b"content-length" not in names
            and b"transfer-encoding" not in names
            and exchange.version == b"1.0"
        ):
            exchange.close = True
        lines = [b"HTTP/1.1 " + code + b" " + reason]
        lines += [
            name + b": " + value
            for name, values in pairs
            for value in values
            if name.lower() != b"connection"
        ]
        if exchange.close:
            lines.append(b"Connection: close")
        elif exchange.version == b"1.0":
            lines.append(b"Connection: keep-alive")
        exchange.web_write(b"\r\n".join(lines) + b"\r\n\r\n")

    def write(self, data: bytes) -> None:
        """Write a piece of the answer, already framed."""
        self._exchange.web_write(data)

    def writeSequence(self, iovec: Any) -> None:
        """Write several pieces."""
        self._exchange.web_write(b"".join(iovec))

    def requestDone(self, request: Request) -> None:
        """The answer is complete."""
        self._request = None
        self._exchange.web_done()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """A resource produces its answer; it is asked for more as the client reads."""
        self._channel.produce(producer, streaming=streaming)

    def unregisterProducer(self) -> None:
        """It has produced everything."""
        self._channel.produce(None, streaming=True)

    def loseConnection(self) -> None:
        """Close after what was written."""
        self._exchange.close = True
        self._exchange.web_done()

    def abortConnection(self) -> None:
        """Cut the connection."""
        self._exchange.abort()

    def _respondToBadRequestAndDisconnect(self) -> None:
        self._exchange.close = True
        self._exchange.web_write(
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        self._exchange.web_done()
