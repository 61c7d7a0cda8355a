"""One HTTP request and its answer, as the doors see them."""

from __future__ import annotations

from collections.abc import Callable
from http.client import responses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twisted.web.server import Site

    from mcpgateway.doors.http.channel import Channel

JSON = b"application/json"
LARGE = 16_384  # from here on a body is written beside its head rather than copied behind it
STREAM_HEAD = b"Content-Type: text/event-stream\r\nCache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\n"
LAST_CHUNK = b"0\r\n\r\n"
STATUS_LINES = {code: f"HTTP/1.1 {code} {reason}\r\n".encode() for code, reason in responses.items()}


class Exchange:
    """A request whose headers are in, and later its body; answered once.

    :ivar path: the path as sent, still percent-encoded, without the query.
    :ivar headers: by lower-case name; repeated ones joined with a comma.
    :ivar body: the whole body, once `IDoor.handle` is called.
    :ivar route: what the door remembers of its own judgement.
    :ivar on_gone: called once when the client disconnects before the answer is finished.
    :ivar close: the connection ends after this answer.
    """

    __slots__ = (
        "_channel",
        "_chunked",
        "_early",
        "_web",
        "answered",
        "body",
        "close",
        "gone",
        "headers",
        "method",
        "on_gone",
        "path",
        "peer",
        "query",
        "route",
        "secure",
        "streaming",
        "version",
    )

    def __init__(
        self, channel: Channel, method: bytes, target: bytes, version: bytes, headers: dict[bytes, bytes]
    ) -> None:
        self._channel = channel
        self._chunked = False
        self._early: list[bytes] | None = None
        self._web: Any = None
        self.method = method
        self.path, _, self.query = target.partition(b"?")
        self.version = version
        self.headers = headers
        self.body = b""
        self.peer = channel.peer
        self.secure = channel.secure
        self.route: Any = None
        self.on_gone: Callable[[], None] | None = None
        self.gone = False
        self.answered = False
        self.streaming = False
        self.close = False

    def answer(self, status: int, body: bytes = b"", content_type: bytes = JSON, extra: bytes = b"") -> None:
        """Answer with a whole body; ``extra`` holds further header lines, each with its end."""
        if self.answered or self.gone:
            return
        self.answered = True
        head = [STATUS_LINES[status], self._channel.factory.date]
        if body:
            head += (b"Content-Type: ", content_type, b"\r\n")
        head += (b"Content-Length: %d\r\n" % len(body), extra, self._connection(), b"\r\n")
        if self.method == b"HEAD":
            body = b""
        if len(body) < LARGE:
            head.append(body)
            self._write(b"".join(head))
        else:
            self._write(b"".join(head), body)
        self._channel.finished(self)

    def begin_stream(self, extra: bytes = b"") -> None:
        """Answer with a stream of events; say them with `send`, end it with `finish`."""
        if self.answered or self.streaming or self.gone:
            return
        self.streaming = True
        self._chunked = self.version == b"1.1"
        if not self._chunked:
            self.close = True
        framing = b"Transfer-Encoding: chunked\r\n" if self._chunked else b""
        head = (STATUS_LINES[200], self._channel.factory.date, STREAM_HEAD, framing, extra, self._connection(), b"\r\n")
        self._write(b"".join(head))

    def send(self, data: bytes) -> bool:
        """Say something on the stream; false when nobody hears it, or its reader has fallen too far behind."""
        if self.gone or self.answered or not self.streaming:
            return False
        if not self._channel.has_room(len(data)):
            self.abort()
            return False
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._write(data)
        return True

    def finish(self) -> None:
        """End the stream."""
        if self.gone or self.answered or not self.streaming:
            return
        self.answered = True
        if self._chunked:
            self._write(LAST_CHUNK)
        self._channel.finished(self)

    def abort(self) -> None:
        """Cut the connection."""
        self._channel.abort()

    def to_web(self, site: Site) -> None:
        """Hand the request to a twisted.web site, which answers it."""
        from mcpgateway.doors.http.webrequest import WebChannel  # twisted.web is for the control plane only

        self._web = WebChannel(self, self._channel, site)
        self._web.begin()

    def web_write(self, *pieces: bytes) -> None:
        """Write what a twisted.web request has framed itself."""
        if not self.gone:
            self._write(*pieces)

    def web_done(self) -> None:
        """The twisted.web request is finished."""
        if not self.answered and not self.gone:
            self.answered = True
            self._channel.finished(self)

    def started(self) -> None:
        """It is this request's turn: what it said before may leave now."""
        early, self._early = self._early, None
        if early:
            self._channel.write(early)

    def lost(self, reason: Any) -> None:
        """The client has disconnected."""
        if self.gone:
            return
        self.gone = True
        on_gone, self.on_gone = self.on_gone, None
        if self._web is not None:
            self._web.lost(reason)
        if on_gone is not None and not self.answered:
            on_gone()

    def _connection(self) -> bytes:
        if self.close:
            return b"Connection: close\r\n"
        return b"Connection: keep-alive\r\n" if self.version == b"1.0" else b""

    def _write(self, *pieces: bytes) -> None:
        channel = self._channel
        if channel.active is self:
            channel.write(pieces)
        else:  # refused before its turn: pipelined answers leave in order
            self._early = [*(self._early or ()), *pieces]
