"""Server-Sent Events, the decoder's half (WHATWG HTML section 9.2): bytes in any pieces become events.

id: 7                 the value of ``Last-Event-ID`` when the stream is resumed after this event
retry: 500            milliseconds until a client whose stream has ended reconnects
event: message        the event's type; "message" where it is left out
data: {"jsonrpc":…    its text, in one line or several
                      a blank line ends the event
: ping                a comment
"""

from __future__ import annotations

from attrs import define, frozen

MESSAGE = b"message"
LINE_COST = 16  # bytes of memory beside the text, so that empty lines count too
BOM = b"\xef\xbb\xbf"
ID_LIMIT = 4096  # bytes; it has to go into a header
END_BYTES = 1024  # of an event that is too long: enough to find the id of the response
LONGEST_RETRY = 9  # digits; more is no sensible number of milliseconds
_ENDS = b"\r\n"


class EventTooLong(Exception):
    """An event exceeded the limit."""


@frozen
class Event:
    """One event that has text.

    :ivar kind: its type.
    :ivar data: its text, the lines joined by LF; the beginning of one that was too long.
    :ivar tail: the end of a text that was too long; None for any other.
    """

    kind: bytes
    data: bytes
    tail: bytes | None = None


@define
class _Skipped:
    """The ends of the text of an event that is skipped.

    :ivar is_within: a line of it has not ended.
    """

    head: bytes
    tail: bytes
    is_within: bool

    def add(self, piece: bytes) -> None:
        """Skip a further piece of the event."""
        self.tail = (self.tail + piece)[-END_BYTES:]
        self.is_within = True


class SseReader:
    """The reader of one stream.

    A large event costs one copy however small the received pieces are.

    :param skips: an event that is too long is skipped, all but its ends, and the stream goes on.
    :ivar last_id: the id after which the stream is resumed, also that of an event without text; empty for none.
    :ivar size: bytes that are kept until their event is complete.
    :ivar retry_ms: the time until reconnecting, where the stream has named one.
    """

    def __init__(self, limit: int, last_id: bytes = b"", *, skips: bool = False) -> None:
        self.last_id = last_id
        self.retry_ms: int | None = None
        self._limit = limit
        self._skips = skips
        self._skipped: _Skipped | None = None  # what is left of the event that is being passed over
        self._parts: list[bytes] = []  # of the line that has not ended
        self.size = 0
        self._is_behind_cr = False
        self._is_new = True
        self._kind = b""
        self._id = last_id
        self._data: list[bytes] = []

    @property
    def is_between(self) -> bool:
        """True if no event has begun, so that another reader can go on."""
        has_begun = self.size or self._kind or self._id != self.last_id or self._skipped is not None
        return not (has_begun or self._is_behind_cr)

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that these bytes complete.

        :raise EventTooLong: more than the limit has come without an event's end; nothing more may be fed.
        """
        if self._is_behind_cr and data:
            self._is_behind_cr = False
            data = data.removeprefix(b"\n")
        if not data:
            return []
        self._is_behind_cr = data.endswith(b"\r")
        lines = data.splitlines()
        rest = b"" if data[-1] in _ENDS else lines.pop()
        events: list[Event] = []
        for each in lines:
            if self._skipped is not None:
                self._skip(self._skipped, each, events)
                continue
            if self._parts:
                self._parts.append(each)
                line = b"".join(self._parts)
                self.size -= len(line) - len(each)
                self._parts.clear()
            else:
                line = each
            self._take(line, events)
        if rest and self._skipped is not None:
            self._skipped.add(rest)
        elif rest:
            self._parts.append(rest)
            self.size += len(rest)
        if self.size > self._limit:
            self._give_up()
        return events

    def _give_up(self) -> None:
        if not self._skips:
            raise EventTooLong
        line = b"".join(self._parts)
        name, _, value = line[:END_BYTES].partition(b":")
        begun = [value.removeprefix(b" ")] if name == b"data" else []
        head = b"\n".join([*self._data, *begun])[:END_BYTES]
        self._skipped = _Skipped(head, line[-END_BYTES:], bool(line))
        self._parts.clear()
        self._data.clear()
        self.size = 0

    def _skip(self, skipped: _Skipped, line: bytes, events: list[Event]) -> None:
        if line or skipped.is_within:
            skipped.add(line)
            skipped.is_within = False
            return
        self.last_id, self._skipped = self._id, None
        events.append(Event(self._kind or MESSAGE, skipped.head, skipped.tail))
        self._kind = b""

    def _take(self, line: bytes, events: list[Event]) -> None:
        if self._is_new:
            self._is_new = False
            line = line.removeprefix(BOM)
        if not line:
            self._dispatch(events)
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self.size += len(value) + LINE_COST
        elif name == b"event":
            self._kind = value
        elif name == b"id":
            if b"\0" not in value and len(value) <= ID_LIMIT:
                self._id = value
        elif name == b"retry" and value.isdigit() and len(value) <= LONGEST_RETRY:
            self.retry_ms = int(value)

    def _dispatch(self, events: list[Event]) -> None:
        self.last_id = self._id
        data = b"\n".join(self._data)
        if data:
            events.append(Event(self._kind or MESSAGE, data))
        self._kind = b""
        self._data.clear()
        self.size = 0
