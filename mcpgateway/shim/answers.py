"""Who takes the gateway's answers: one for each message that was posted, and one for the standing stream."""

from __future__ import annotations

from mcpgateway.shim import jsontext
from mcpgateway.shim.headers import header
from mcpgateway.shim.http1 import AnswerReader
from mcpgateway.shim.messages import LISTEN, Line
from mcpgateway.shim.pool import Connection
from mcpgateway.shim.sse import EVENT_LIMIT, EventReader, TooLong

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Desk(Protocol):
        """Where answers go."""

        def say(self, message: bytes) -> None:
            """Tell the client."""

        def finished(self, post: Post) -> None:
            """Nothing more is expected of a post."""

        def accepted(self, post: Post) -> None:
            """The gateway has taken a message that has no answer."""

        def begun(self, post: Post, session: bytes, answer: bytes) -> None:
            """An `initialize` has been answered."""

        def unknown_session(self, post: Post, why: bytes) -> None:
            """The gateway does not know the session that a post belongs to; it has not been looked at."""

        def again(self, post: Post) -> None:
            """A post is to be sent, or resumed, once the gateway is there."""

        def lost_gateway(self) -> None:
            """A connection has broken."""


RETRY_MS = 1000
WORDS = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
LOST = "The answer is lost: the connection to the gateway ended; the request is not sent twice"


class Post:
    """A line from the client on its way to the gateway, and what becomes of it.

    :ivar line: what is sent.
    :ivar number: its place among all lines.
    :ivar since: when it began to wait; for the gateway, or for more of a broken answer.
    :ivar session: the session id that it was last sent with.
    :ivar is_silent: the shim's own; its answer is not the client's.
    :ivar was_renewed: it has been sent in a session that the gateway did not know, and gets one more chance.
    :ivar last_id: the event after which a broken answer can be taken up again.
    """

    __slots__ = (
        "_body",
        "_desk",
        "_events",
        "_is_finished",
        "_waiting_for",
        "connection",
        "is_silent",
        "last_id",
        "line",
        "number",
        "retry_ms",
        "session",
        "since",
        "was_renewed",
    )

    def __init__(self, desk: Desk, line: Line, number: int, since: float, *, is_silent: bool = False) -> None:
        self._desk = desk
        self._waiting_for = set(line.ids)
        self._is_finished = False
        self._events: EventReader | None = None
        self._body = bytearray()
        self.line = line
        self.number = number
        self.since = since
        self.is_silent = is_silent
        self.was_renewed = False
        self.session = b""
        self.last_id = b""
        self.retry_ms = RETRY_MS
        self.connection: Connection | None = None

    @property
    def goes_alone(self) -> bool:
        """Whether what comes behind it waits until it has arrived: order matters for all but requests."""
        return not self.line.is_question or self.line.is_first_of_session

    @property
    def is_lasting(self) -> bool:
        """Whether it has no end that anybody would wait for."""
        return bool(self.line.version) and self.line.method == LISTEN

    def headers(self) -> list[bytes]:
        """What is said of it beside the message, and beside its session."""
        if not self.line.version:
            return header(b"Last-Event-ID", self.last_id)
        version = header(b"MCP-Protocol-Version", self.line.version.encode(errors="replace"))
        return version + header(b"Mcp-Method", self.line.method.encode(errors="replace"))

    def sent(self, connection: Connection) -> None:
        """It is on its way, for the first time or once more."""
        self.connection = connection
        self._events = None
        self._body.clear()

    def call_off(self) -> None:
        """Nobody waits for its answer any more; in the modern era the gateway learns that from the connection."""
        self._is_finished = True
        if self.connection is not None:
            self.connection.close()

    # The answer

    def took(self, reader: AnswerReader, body: bytes) -> None:
        """So much of the answer is there."""
        if self._is_finished and self._events is None:
            return
        kind = reader.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if reader.status == 200 and kind == b"text/event-stream":
            self._took_events(reader, body)
            return
        self._body += body
        if len(self._body) > EVENT_LIMIT:
            self._overflow()
        elif reader.is_done:
            self._whole(reader, bytes(self._body))
            self._body.clear()

    def _took_events(self, reader: AnswerReader, body: bytes) -> None:
        if self._events is None:
            self._events = EventReader()
            self._events.last_id = self.last_id
        try:
            messages = self._events.feed(body)
        except TooLong:
            self._overflow()
            return
        self.last_id = self._events.last_id
        if self._events.retry_ms is not None:
            self.retry_ms = self._events.retry_ms
        for message in messages:
            self._heard(reader, message)
        if reader.is_done and not self._is_finished:
            self._broken("it ended the stream")

    def _heard(self, reader: AnswerReader, message: bytes) -> None:
        try:
            read = jsontext.glanced(message)
        except jsontext.Unreadable:
            return
        is_answer = isinstance(read, dict) and "method" not in read
        if is_answer and self.line.is_first_of_session:
            self._desk.begun(self, reader.headers.get(b"mcp-session-id", b""), message)
        if not self.is_silent:
            self._desk.say(jsontext.one_line(message))
        if not is_answer:
            return
        self._waiting_for.discard(jsontext.identifier(read) or "")
        if not self._waiting_for:
            self._finish()

    def _whole(self, reader: AnswerReader, body: bytes) -> None:
        status = reader.status
        if status == 404 and self.session and not self.line.version:
            self._desk.unknown_session(self, body)
        elif not self.line.is_question:
            if status < 300:
                self._desk.accepted(self)
            self._finish()
        elif status == 200 and body.lstrip()[:1] in (b"{", b"["):
            if self.line.is_first_of_session:
                self._desk.begun(self, reader.headers.get(b"mcp-session-id", b""), body)
            if not self.is_silent:
                self._desk.say(jsontext.one_line(body.strip()))
            self._finish()
        elif status < 300 and self.last_id:
            self.fail(LOST)  # whoever resumes a stream that has nothing more to say is told so by silence
        else:
            self.refuse(status, body)

    def _overflow(self) -> None:
        if self.connection is not None:
            self.connection.close()
        self.fail("The answer is larger than any client reads")

    def _finish(self) -> None:
        if not self._is_finished:
            self._is_finished = True
            self._desk.finished(self)

    # Its failures

    def lost(self, why: str, *, was_sent: bool) -> None:
        """The connection has broken."""
        if self._is_finished:
            return
        self._desk.lost_gateway()
        if not was_sent or (self.line.is_repeatable and self._events is None):
            self._desk.again(self)
        else:
            self._broken(why)

    def _broken(self, why: str) -> None:
        """The answer has ended before its end."""
        if self.last_id and not self.line.version:
            self._desk.again(self)
        elif self.is_lasting:
            self._tell_cancelled(why)
        elif self.line.is_question:
            self.fail(LOST)
        else:
            self._finish()

    def _tell_cancelled(self, why: str) -> None:
        for each in sorted(self._waiting_for):
            reason = jsontext.dumps(f"The gateway went away: {why}")
            params = f'{{"requestId":{each},"reason":{reason}}}'
            text = f'{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{params}}}'
            self._desk.say(text.encode())
        self._finish()

    def refuse(self, status: int, body: bytes) -> None:
        """Pass a refusal on, in the gateway's words where it has some."""
        text = body.decode(errors="replace")
        error = jsontext.member(text, "error") or ""
        if jsontext.member(error, "code") and jsontext.member(error, "message"):
            self._answer([jsontext.answer(each, "error", error) for each in self._names()])
            return
        words = error[1:-1] if error.startswith('"') else WORDS.get(status, "")
        self.fail(f"The gateway answered with HTTP {status}" + (f": {words}" if words else ""))

    def fail(self, why: str) -> None:
        """Tell the client that there will be no answer."""
        self._answer([jsontext.error(each, why) for each in self._names()])

    def _names(self) -> list[str]:
        return sorted(self._waiting_for) or [jsontext.NULL]

    def _answer(self, answers: list[bytes]) -> None:
        if not self._is_finished and self.line.is_question and not self.is_silent:
            for each in answers:
                self._desk.say(each)
        self._finish()


class Standing:
    """The stream on which a session is told what belongs to no call.

    :ivar heard: something has come on it.
    """

    def __init__(self, listener: Listener, last_id: bytes) -> None:
        self._listener = listener
        self._events = EventReader()
        self._events.last_id = last_id
        self._is_over = False
        self.heard = False
        self.connection: Connection | None = None

    @property
    def last_id(self) -> bytes:
        """The event after which it can be taken up again."""
        return self._events.last_id

    @property
    def retry_ms(self) -> int:
        """How soon to come back."""
        return RETRY_MS if self._events.retry_ms is None else self._events.retry_ms

    def took(self, reader: AnswerReader, body: bytes) -> None:
        """So much of the stream is there."""
        if self._is_over:
            return
        if reader.status == 200:
            self.heard = True
            self._hear(body)
        if reader.is_done and not self._is_over:
            self._over(reader.status)

    def _hear(self, body: bytes) -> None:
        try:
            messages = self._events.feed(body)
        except TooLong:
            if self.connection is not None:
                self.connection.close()
            self._over(0)
            return
        for message in messages:
            self._listener.say(jsontext.one_line(message))

    def lost(self, why: str, *, was_sent: bool) -> None:
        """The connection has broken."""
        if not self._is_over:
            self._over(0)

    def _over(self, status: int) -> None:
        self._is_over = True
        self._listener.stream_ended(status)

    def close(self) -> None:
        """It is not wanted any more."""
        self._is_over = True
        if self.connection is not None:
            self.connection.close()


if TYPE_CHECKING:

    class Listener(Protocol):
        """Whose standing stream it is."""

        def say(self, message: bytes) -> None:
            """Tell the client."""

        def stream_ended(self, status: int) -> None:
            """It has ended; with which HTTP status, 0 where the connection broke."""
