"""The flight recorder: the latest lines that a server was sent and has sent, as they were.

# Note [What a line costs]
Lines pass here on the road of every call.  So nothing is looked at: the bytes that exist already are kept, with the
time, in a ring that holds so many lines and so many bytes.  Whoever exports the tape reads and redacts them.  Of a long
line only the beginning is kept, or one screenshot would keep its megabytes in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

LINES = 400  # of one server
BYTES = 131_072
PIECE = 8192  # of one line
SERVERS = 300

Line = tuple[float, int, int, bytes]
"""When, in seconds since the epoch; in which conversation, negative where the server has said it; its size; itself."""


class Tape:
    """The latest lines of one server, over all its children.

    :ivar conversations: how many there have been.
    """

    __slots__ = ("_bytes", "_limit", "_lines", "_now", "_put", "conversations")

    def __init__(self, now: Callable[[], float], lines: int = LINES, limit: int = BYTES) -> None:
        self.conversations = 0
        self._now = now
        self._limit = limit
        self._bytes = 0
        self._lines: deque[Line] = deque(maxlen=lines)
        self._put = self._lines.append

    def begin(self) -> int:
        """A conversation begins; its number, by which its lines are kept."""
        self.conversations += 1
        return self.conversations

    def keep(self, conversation: int, line: bytes) -> None:
        """A line was sent; the number of its conversation is negative where the server has sent it."""
        # See Note [What a line costs].
        size = len(line)
        if size > PIECE:
            line = line[:PIECE]
        lines = self._lines
        if len(lines) == lines.maxlen:
            self._bytes -= len(lines[0][3])
        self._put((self._now(), conversation, size, line))
        self._bytes += len(line)
        while self._bytes > self._limit:
            self._bytes -= len(lines.popleft()[3])

    def lines(self) -> list[Line]:
        """All that is kept, the oldest first."""
        return list(self._lines)

    def stray(self) -> bytes:
        """The latest line of the latest child that can be no message; empty if there is none."""
        for _, conversation, _, line in reversed(self._lines):
            if conversation == -self.conversations and line.lstrip()[:1] not in (b"{", b"["):
                return line
        return b""


class Tapes:
    """The tapes of all servers, by their names.

    :param lines: how many lines of each are kept; 0: nothing is.
    """

    def __init__(self, now: Callable[[], float], lines: int = LINES) -> None:
        self._now = now
        self._lines = lines
        self._tapes: dict[str, Tape] = {}

    def find(self, server: str) -> Tape | None:
        """The tape of a server; None where nothing has been kept."""
        return self._tapes.get(server)

    def of(self, server: str) -> Tape | None:
        """The tape of a server, made for its first line; None where nothing is kept."""
        found = self._tapes.get(server)
        if found is None and self._lines:
            if len(self._tapes) >= SERVERS:
                del self._tapes[next(iter(self._tapes))]
            found = self._tapes[server] = Tape(self._now, self._lines)
        return found
