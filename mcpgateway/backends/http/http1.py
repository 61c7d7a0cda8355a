"""HTTP/1.1, the client's side: one connection, for one request at a time (RFC 9112)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from zope.interface import implementer

from mcpgateway.errors import BackendError
from mcpgateway.policy.urls import UrlPlace
from mcpgateway.system.process.handover import kept_open

RECORD_LIMIT = 65_536  # bytes of an answer under way that the next program of this process would read again
HEAD_LIMIT = 65_536  # bytes of an answer that are not its body: its head, the sizes of chunks, its trailer
END = b"\r\n\r\n"
BODILESS = frozenset((204, 304))
LOST = Failure(error.ConnectionLost())


class IResponseReceiver(Protocol):
    """Receives an HTTP response."""

    def began(self, status: int, headers: Mapping[bytes, bytes]) -> None:
        """Receive the head; names are in lower case, values of repeated headers are joined by commas."""

    def data(self, data: bytes) -> None:
        """Receive a part of the body."""

    def ended(self, why: BackendError | None) -> None:
        """Receive the end of the response: None if it is complete. Called once, as the last call."""


@implementer(IHandshakeListener)
class HttpConnection(TwistedProtocol):
    """A connection to one place.

    :ivar place: the host and port at its other end.
    :ivar made: fires when the connection is open.
    :ivar secured: fires when TLS has verified the other end; fails if the connection ends before that.
    :ivar idle_s: seconds that the other end keeps the connection idle, as far as announced; 0 for not at all.
    """

    transport: Any

    def __init__(
        self,
        place: UrlPlace,
        freed: Callable[[HttpConnection], None],
        lost: Callable[[HttpConnection], None],
    ) -> None:
        self.place = place
        self.made: Deferred[None] = Deferred()
        self.secured: Deferred[None] = Deferred()
        self.idle_s = 0.0
        self._freed = freed
        self._lost = lost
        self._taker: IResponseReceiver | None = None
        self._parser = HttpResponseParser(self)
        self._is_paused = False
        self._reset()

    def _reset(self) -> None:
        self._status = 0
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._has_begun = False  # the receiver has got the head
        self._is_whole = False
        self._keeps = False
        self._is_surplus = False
        self._overhead = 0
        # All bytes of the answer, while there are few; None where the next program cannot go on with the connection.
        self._record: list[bytes] | None = None
        self._recorded = 0
        self._head = b""  # of an answer that is trimmed
        self._is_in_chunk = self._is_interim = False

    def connectionMade(self) -> None:
        """Fire ``made``: the connection is open."""
        self.made.callback(None)

    def handshakeCompleted(self) -> None:
        """Fire ``secured``: the TLS handshake has succeeded."""
        self.secured.callback(None)

    @property
    def is_open(self) -> bool:
        """Return whether the connection can take another request."""
        return self._taker is None and self.transport is not None and not self.transport.disconnecting

    def send(self, request: bytes, taker: IResponseReceiver) -> None:
        """Send a request, whose answer goes to ``taker``."""
        self._take(taker)
        _write(self.transport, request, is_secure=self.place.is_secure)

    def _take(self, taker: IResponseReceiver) -> None:
        self._taker = taker
        self._record = [] if isinstance(self.transport, Connection) and not self.place.is_secure else None

    def adopt(self, received: bytes, taker: IResponseReceiver) -> None:
        """Go on with a request of the former program of this process, which has received a part of the answer."""
        self._take(taker)
        if received:
            self.dataReceived(received)

    def trim(self) -> bool:
        """Forget the body so far, which the next program need not read again; false where it has to."""
        if not self._head and self._record is not None and not self._is_interim:
            self._head = b"".join(self._record).partition(END)[0] + END
        is_possible = bool(self._head) and not self._is_in_chunk and b"content-length" not in self._headers
        if is_possible:
            self._record, self._recorded = [], 0
        return is_possible

    @property
    def goes_on(self) -> bool:
        """Return whether the next program of this process can go on with the request under way."""
        is_open = self._taker is not None and self.transport is not None and not self.transport.disconnecting
        return is_open and self._record is not None and not _has_rest(self.transport)

    def hand_over(self) -> tuple[int, bytes]:
        """Return a descriptor of the socket and the answer so far, for the next program; the taker gets no more."""
        transport, record = self.transport, [self._head, *(self._record or ())]
        self._taker = self.transport = None
        transport.stopReading()
        return kept_open(transport.fileno()), b"".join(record)

    def pause(self) -> None:
        """Pause reading, so that the sender waits."""
        if not self._is_paused and self._taker is not None:
            self._is_paused = True
            self.transport.pauseProducing()

    def resume(self) -> None:
        """Continue to read the response."""
        if self._is_paused:
            self._is_paused = False
            self.transport.resumeProducing()

    def abort(self) -> None:
        """Close the connection at once; the taker gets no further call."""
        self._taker = None
        if self.transport is not None:
            self.transport.abortConnection()

    # Calls of Twisted

    def dataReceived(self, data: bytes) -> None:
        """Receive bytes of the answer."""
        if self._taker is None:
            self.abort()  # bytes without a request are no answer
            return
        self._overhead += len(data)
        if self._record is not None:
            self._recorded += len(data)
            self._record.append(data)
            if self._recorded > RECORD_LIMIT:
                self._record = None
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self._fail("it switches to another protocol")
        except HttpParserError:
            self._fail("its answer is not HTTP/1.1")
        else:
            self._tell()

    def connectionLost(self, reason: Failure = LOST) -> None:
        """End the response under way: the connection is closed."""
        self.transport = None
        self._lost(self)
        if not self.secured.called:
            self.secured.addErrback(lambda _: None)
            self.secured.errback(reason)
        taker, self._taker = self._taker, None
        if taker is None:
            return
        if self._status and self._is_open_ended() and reason.check(error.ConnectionDone):
            taker.ended(None)
        else:
            taker.ended(
                BackendError(f"the connection to {self.place.address} broke: {sentence(reason.value)}")
            )

    def _is_open_ended(self) -> bool:
        return b"content-length" not in self._headers and b"transfer-encoding" not in self._headers

    # Calls of the parser

    def on_message_begin(self) -> None:
        """Note the start of a response."""
        if self._is_whole:
            self._is_surplus = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header; trailers are ignored."""
        if not self._status:
            name = name.lower()
            known = self._headers.get(name)
            self._headers[name] = value if known is None else known + b", " + value

    def on_headers_complete(self) -> None:
        """Take the status of the complete head; an interim response (1xx) is skipped."""
        status = self._parser.get_status_code()
        if status >= 200:
            self._status = status
        else:
            self._headers = {}
            self._is_interim = True

    def on_chunk_header(self) -> None:
        """Note the start of a chunk."""
        self._is_in_chunk = True

    def on_chunk_complete(self) -> None:
        """Note the end of a chunk."""
        self._is_in_chunk = False

    def on_body(self, data: bytes) -> None:
        """Keep a part of the body."""
        self._body.append(data)

    def on_message_complete(self) -> None:
        """Note that the answer is complete."""
        if self._status:
            self._is_whole = True
            self._keeps = self._parser.should_keep_alive()

    # Calls of the receiver

    def _tell(self) -> None:
        taker = self._taker
        if taker is None:
            return
        if self._status and not self._has_begun:
            self._has_begun = True
            taker.began(self._status, self._headers)
        if self._body:
            body = b"".join(self._body)
            self._body.clear()
            self._overhead = 0
            if self._taker is taker:
                taker.data(body)
        elif self._overhead > HEAD_LIMIT:
            self._fail(f"its answer has more than {HEAD_LIMIT} bytes of headers")
        if self._is_whole and self._taker is taker:
            self._finish(taker)

    def _finish(self, taker: IResponseReceiver) -> None:
        self._taker = None
        keeps = self._keeps and not self._is_surplus
        self.idle_s = _promised(self._headers.get(b"keep-alive", b""))
        self._reset()
        self.resume()
        if keeps:
            self._freed(self)
        else:
            self.transport.loseConnection()
        taker.ended(None)

    def _fail(self, why: str) -> None:
        taker = self._taker
        self.abort()
        if taker is not None:
            taker.ended(BackendError(f"{self.place.address}: {why}"))


def _write(transport: Any, data: bytes, *, is_secure: bool) -> None:
    # If nothing is queued, bytes are written at once: they leave a turn earlier, and the epoll set stays as it is.  TLS
    # has a transport of its own, which has the methods of the one below: its encryption may not be bypassed.
    if isinstance(transport, Connection) and not is_secure and not _has_rest(transport):
        sent = transport.writeSomeData(data)
        if sent == len(data):
            return
        if isinstance(sent, int):  # else the reason, which the ordinary write finds out as well
            data = data[sent:]
    transport.write(data)


def _has_rest(transport: Any) -> bool:
    return bool(transport.dataBuffer or transport._tempDataBuffer)  # noqa: SLF001 - all queued bytes are in these two


def _promised(header: bytes) -> float:
    # "timeout=5, max=100": how long the other end keeps an idle connection.
    for part in header.split(b","):
        name, _, value = part.strip().partition(b"=")
        if name.lower() == b"timeout" and value.isdigit() and len(value) <= 6:
            return float(value)
    return 0.0


def sentence(why: BaseException | None) -> str:
    """Return the reason of a connection's end, in words."""
    if isinstance(why, error.ConnectionDone | error.ConnectionLost):
        return "it was closed before the answer was whole"
    return str(why).rstrip(".") or type(why).__name__
