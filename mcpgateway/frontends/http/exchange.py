"""An HTTP request and its answer."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from http import HTTPStatus
from time import perf_counter
from typing import Any, Protocol

from twisted.logger import Logger

from mcpgateway.frontends.http.peers import HttpPeer
from mcpgateway.frontends.http.request_head import Head
from mcpgateway.frontends.http.write_buffer import LARGE, WriteBuffer
from mcpgateway.inherited import ConnectionState, StreamState
from mcpgateway.system.process.processes import out_of_files

JSON = b"application/json"
TOO_MUCH = "The gateway holds too many answers that you do not take: take these first"
CLOSE = b"Connection: close\r\n"
KEEP_ALIVE = b"Connection: keep-alive\r\n"  # HTTP/1.0 closes the connection by default

UNSHARED = {
    b"x-content-type-options": b"X-Content-Type-Options: nosniff\r\n",
    b"cross-origin-resource-policy": b"Cross-Origin-Resource-Policy: same-origin\r\n",
}
"""Header lines of what is no page of anybody else: a list in JSON would be run where a page names it as its script."""


def status_line(status: int, reason: bytes) -> bytes:
    """Return the status line and the security headers with which every answer begins."""
    return b"HTTP/1.1 %d %b\r\n%b" % (status, reason, b"".join(UNSHARED.values()))


STATUS_LINES = {status.value: status_line(status.value, status.phrase.encode()) for status in HTTPStatus}
_EVENT_STREAM = (
    STATUS_LINES[200] + b"Content-Type: text/event-stream\r\n"
    b"Cache-Control: no-cache, no-transform\r\n"
    b"X-Accel-Buffering: no\r\n"
)
_BODILESS = frozenset((204, 304))


class Dated(Protocol):
    """State that all connections share (`mcpgateway.frontends.http.shared_state.SharedState`).

    :ivar date: the ``Date`` header line of this second, with its line end.
    """

    date: bytes


class ExchangeConnection(Protocol):
    """The connection of an exchange (`mcpgateway.frontends.http.channel.Channel`).

    :ivar transport: the connection's transport.
    :ivar outlet: its write buffer.
    :ivar is_last: True if it is closed after this answer.
    """

    transport: Any
    outlet: WriteBuffer
    caller: HttpPeer
    secure: bool
    is_last: bool

    @property
    def shared(self) -> Dated:
        """The state that it shares with the other connections."""

    def connection_line(self) -> bytes:
        """The ``Connection`` header line of this answer; empty where the protocol implies it."""

    def refusal(self, why: str) -> bytes:
        """The body of an error answer, in the form that the client reads."""

    def answer_done(self) -> None:
        """The answer is finished: the next request is read, or the connection closed."""

    def upgraded(self) -> None:
        """Pass the connection to another protocol."""

    def hold(self, *, is_held: bool) -> None:
        """Pause reading, or resume it."""

    def abort(self) -> None:
        """Close the connection at once."""


class Exchange:
    """A received request, and its one answer.

    :ivar path: as sent, without the query.
    :ivar query: as sent, without its question mark.
    :ivar version: ``1.0`` or ``1.1``.
    :ivar headers: by lower-case name; shared between requests, so never changed.
    :ivar began: the time of its arrival, in seconds of `time.perf_counter`.
    :ivar caller: the peer of the connection.
    :ivar channel: the connection.
    :ivar body: empty until the request has arrived completely.
    :ivar route: for the frontend's own use.
    :ivar on_gone: called once if the client disconnects before the answer is finished.
    :ivar gone: True once no bytes can be sent to the client.
    :ivar answered: True once the answer is finished.
    :ivar streaming: True while the answer is an event stream, or another protocol has the connection.
    :ivar limit: the number of bytes of a body, or of a message of another protocol, that the frontend accepts.
    :ivar on_data: receives the client's bytes while another protocol has the connection; else None.
    :ivar hung_up: True once the client has closed the connection in order.
    :ivar is_inherited: True if the former program of this process has begun the stream, and this one has not yet.
    :ivar inherited: the state of the client's stream in that program; None where there is none.
    :ivar was_sent: True if that program has sent the call to its server.
    """

    log = Logger()

    __slots__ = (
        "answered",
        "began",
        "body",
        "caller",
        "channel",
        "gone",
        "head",
        "headers",
        "hung_up",
        "inherited",
        "is_inherited",
        "limit",
        "method",
        "on_data",
        "on_gone",
        "path",
        "query",
        "route",
        "secure",
        "streaming",
        "version",
        "was_sent",
    )

    def __init__(self, channel: ExchangeConnection, head: Head) -> None:
        self.began = perf_counter()
        self.channel = channel
        self.head = head
        self.method = head.method
        self.path = head.path
        self.query = head.query
        self.version = head.version
        self.headers = head.headers
        self.body = b""
        self.caller = channel.caller
        self.secure: bool = channel.secure
        self.route: Any = None
        self.on_gone: Callable[[], None] | None = None
        self.gone = False
        self.answered = False
        self.streaming = False
        self.limit = 0
        self.on_data: Callable[[bytes], None] | None = None
        self.hung_up = False
        self.is_inherited = False
        self.inherited: StreamState | None = None
        self.was_sent = False

    def inherit(self, state: ConnectionState) -> None:
        """Take the state of the request that the former program of this process has received."""
        self.began, self.inherited, self.was_sent = state.began, state.stream, state.is_sent
        self.streaming = self.is_inherited = state.is_streaming
        self.channel.is_last = self.channel.is_last or state.is_last

    def leave(
        self, descriptor: int, held: bytes, stream: StreamState | None, *, is_sent: bool
    ) -> ConnectionState:
        """Return its state for the next program of this process, and send nothing any more.

        :param descriptor: the socket.
        :param held: bytes of the next request.
        :param stream: the state of the client's stream.
        :param is_sent: its server has been sent the call.
        """
        self.gone, self.on_gone = True, None
        is_last = self.channel.is_last
        return ConnectionState(
            descriptor, self.head.raw, self.body, self.began, self.streaming, is_last, held, is_sent, stream
        )

    def let_go(self) -> None:
        """Forget a large body, which its receiver keeps until it is sent on."""
        if len(self.body) >= LARGE:
            self.body = b""

    def confess(self, refusal: Callable[[str, dict[str, Any] | None], bytes]) -> bool:
        """Answer an exception of the frontend: the client gets a number, the log the traceback.

        :param refusal: makes the body of the answer.
        :return: True if the process has too many files open.
        """
        full = out_of_files(sys.exc_info()[1] or Exception())
        if full is not None and not self.answered and not self.streaming:
            self.answer(503, refusal(full.message, None))
            return True
        incident = secrets.token_hex(4)
        self.log.failure("incident {incident}: a request broke", event="http.incident", incident=incident)
        if self.streaming and not self.answered:
            self.abort()
        elif not self.answered:
            self.answer(500, refusal("Internal error", {"incident": incident}))
        return False

    @property
    def principal(self) -> str:
        """The principal that the guard has determined; empty before."""
        found: str = getattr(self.route, "principal", "")
        return found

    def answer(self, status: int, body: bytes = b"", content_type: bytes = JSON, extra: bytes = b"") -> None:
        """Send the complete answer; ``extra`` is more header lines, each with its line end.

        :raise RuntimeError: an answer was begun already.
        """
        if self.answered or self.streaming:
            raise RuntimeError("this exchange has an answer already")
        self.answered = True
        if self.gone:
            return
        channel = self.channel
        if len(body) >= LARGE and channel.outlet.is_too_much(len(body)):
            status, content_type, extra = 503, JSON, b"Retry-After: 5\r\n"
            body = channel.refusal(TOO_MUCH)
        extra = channel.shared.date + extra + channel.connection_line()
        head = _answer_head(status, len(body), content_type, extra)
        if self.method == b"HEAD":
            body = b""
        channel.outlet.write_answer(head, body)
        channel.answer_done()

    def begin_stream(self, extra: bytes = b"") -> None:
        """Begin an answer that is a stream of events.

        :raise RuntimeError: an answer was begun already.
        """
        if self.is_inherited:
            self.is_inherited = False
            return  # the former program has begun it
        if self.answered or self.streaming:
            raise RuntimeError("this exchange has an answer already")
        self.streaming = True
        if self.gone:
            return
        channel = self.channel
        if self.version == b"1.1":
            framing = channel.connection_line() + b"Transfer-Encoding: chunked\r\n\r\n"
        else:
            channel.is_last = True
            framing = CLOSE + b"\r\n"
        channel.outlet.write(_EVENT_STREAM + channel.shared.date + extra + framing)

    def begin_parts(self, status: int, length: int, content_type: bytes, extra: bytes = b"") -> None:
        """Begin an answer whose body, of a known length, comes in parts.

        :raise RuntimeError: an answer was begun already.
        """
        if self.answered or self.streaming:
            raise RuntimeError("this exchange has an answer already")
        self.streaming = True
        if self.gone:
            return
        channel = self.channel
        head = _answer_head(
            status, length, content_type, channel.shared.date + extra + channel.connection_line()
        )
        self.version = b""  # its length frames the body
        channel.outlet.write(head)

    def upgrade(
        self, protocol: bytes, on_data: Callable[[bytes], None], producer: Any, extra: bytes = b""
    ) -> None:
        """Upgrade the connection to another protocol (RFC 9110 section 7.8), whose bytes are not framed.

        :param on_data: receives the client's bytes.
        :param producer: paused while the client does not read (`IPushProducer`).
        :raise RuntimeError: an answer was begun already.
        """
        is_begun, self.is_inherited = self.is_inherited, False
        if self.answered or (self.streaming and not is_begun):
            raise RuntimeError("this exchange has an answer already")
        self.streaming = True
        self.on_data = on_data
        if self.gone:
            return
        head = STATUS_LINES[101] + b"Connection: Upgrade\r\nUpgrade: " + protocol + b"\r\n" + extra + b"\r\n"
        self.channel.outlet.producer = producer
        if not is_begun:
            self.channel.outlet.write(head)
        self.channel.upgraded()

    def say(self, data: bytes) -> bool:
        """Send bytes of an upgraded connection, within the bound; return false without a reader."""
        if self.gone or self.answered:
            return False
        self.channel.outlet.write(data)
        return not self.gone

    def hold(self, *, is_held: bool) -> None:
        """Pause reading from the client, or resume it."""
        if not self.gone and not self.answered:
            self.channel.hold(is_held=is_held)

    def send(self, data: bytes) -> bool:
        """Send a part of the stream; return false if the reader is gone or too slow."""
        if self.gone or self.answered:
            return False
        if not data or self.method == b"HEAD":
            return True
        if self.version == b"1.1":
            data = b"%x\r\n%b\r\n" % (len(data), data)
        if self.channel.outlet.write_stream(data):
            return not self.gone  # the bytes may have exceeded the bound
        self.channel.abort()
        return False

    def finish(self, data: bytes = b"") -> None:
        """End the stream with a last part, which a slow reader gets too."""
        if self.answered:
            return
        self.answered = True
        if self.gone:
            return
        channel = self.channel
        if self.on_data is not None:
            channel.outlet.producer = None
        elif self.version == b"1.1":
            data = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if data else b"0\r\n\r\n"
        if data and self.method != b"HEAD":
            channel.outlet.write_last(data)
        channel.answer_done()

    def abort(self) -> None:
        """Close the connection at once; ``on_gone`` is not called."""
        self.on_gone = None
        if not self.gone:
            self.channel.abort()


def _answer_head(status: int, length: int, content_type: bytes, extra: bytes) -> bytes:
    line = STATUS_LINES.get(status) or status_line(status, b"Unknown")
    if length:
        return b"%bContent-Type: %b\r\n%bContent-Length: %d\r\n\r\n" % (line, content_type, extra, length)
    if status in _BODILESS:
        return b"%b%b\r\n" % (line, extra)
    return b"%b%bContent-Length: 0\r\n\r\n" % (line, extra)
