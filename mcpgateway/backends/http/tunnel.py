"""A connection through a proxy: CONNECT asks the proxy for it; then its bytes pass unchanged (RFC 9110, 9.3.6)."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from mcpgateway.errors import BackendError, Unreachable
from mcpgateway.policy.proxies import Proxy
from mcpgateway.policy.urls import UrlPlace

HEAD_LIMIT = 65_536  # bytes of the proxy's answer
END = b"\r\n\r\n"
AWAY = (502, 503, 504)  # statuses about the place, not about the proxy


class Tunnel(Protocol):
    """A connection to a proxy.

    :ivar made: fires when the connection to the proxy is open.
    :ivar secured: never fires: the protocol inside may speak TLS.
    """

    transport: Any

    def __init__(self, proxy: Proxy) -> None:
        self.made: Deferred[None] = Deferred()
        self.secured: Deferred[None] = Deferred()
        self._proxy = proxy
        self._place: UrlPlace | None = None
        self._opened: Deferred[None] = Deferred(lambda _: self.transport.abortConnection())
        self._head = b""
        self._inner: Any = None

    def open(self, place: UrlPlace) -> Deferred[None]:
        """Ask the proxy for a connection to a place; fires when it stands.

        :raise BackendError: (through the Deferred) the proxy refuses, or does not answer.
        """
        self._place = place
        lines = [f"CONNECT {place.address} HTTP/1.1", f"Host: {place.address}"]
        if self._proxy.credentials:
            lines.append(f"Proxy-Authorization: {self._proxy.credentials}")
        self.transport.write("\r\n".join((*lines, "", "")).encode())
        return self._opened

    def carry(self, inner: Any) -> None:
        """Connect a protocol to this transport."""
        self._inner = inner
        inner.makeConnection(self.transport)
        rest, self._head = self._head, b""
        if rest:
            inner.dataReceived(rest)

    def connectionMade(self) -> None:
        """Send CONNECT: the connection to the proxy is open."""
        self.made.callback(None)

    def dataReceived(self, data: bytes) -> None:
        """Receive the answer of the proxy, or bytes for the protocol inside."""
        if self._inner is not None:
            self._inner.dataReceived(data)
            return
        self._head += data
        head, end, rest = self._head.partition(END)
        if end and not self._opened.called:
            self._head = rest
            self._judge(head.split(b"\r\n")[0].split(b" ", 2))
        elif len(self._head) > HEAD_LIMIT:
            self._fail(BackendError(f"the proxy {self._proxy.address} gives an answer without an end"))

    def connectionLost(self, reason: Failure = Failure(Unreachable("it was closed"))) -> None:  # noqa: B008
        """Fail an unfinished tunnel: the proxy has closed the connection."""
        if self._inner is not None:
            self._inner.connectionLost(reason)
        elif not self._opened.called:
            self._opened.errback(Unreachable(f"the proxy {self._proxy.address} ends the connection"))

    def _judge(self, words: list[bytes]) -> None:
        proxy, place = self._proxy, self._place
        assert place is not None
        status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
        if not words[0].startswith(b"HTTP/1.") or not status:
            self._fail(BackendError(f"the proxy {proxy.address} does not speak HTTP"))
        elif 200 <= status < 300:
            self._opened.callback(None)
        elif status == 407:
            hint = "put them into its URL: http://USER:PASSWORD@HOST:PORT"
            wants = (
                "does not accept the user and password"
                if proxy.credentials
                else "wants a user and a password"
            )
            self._fail(BackendError(f"the proxy {proxy.address} {wants} (HTTP 407)", hint))
        elif status in AWAY:
            self._fail(Unreachable(f"the proxy {proxy.address} cannot reach {place.address} (HTTP {status})"))
        else:
            self._fail(
                BackendError(
                    f"the proxy {proxy.address} does not let us reach {place.address} (HTTP {status})"
                )
            )

    def _fail(self, why: BackendError) -> None:
        if not self._opened.called:
            self._opened.errback(why)
        self.transport.abortConnection()
