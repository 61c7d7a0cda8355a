"""The flight recorder: the latest lines between a server and the gateway, unchanged.

# Note [What a line costs]
Every message of every call passes here.  So no line is parsed: the existing bytes are kept, with the time, in a ring
that is bounded in lines and in bytes.  The reader of the tape redacts them.  Of a long line only the beginning is kept,
or one screenshot would keep its megabytes in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from mcpgateway.bounded import Bounded

LINES = 400  # of one server
BYTES = 131_072
PIECE = 8192  # of one line
SERVERS = 300

Line = tuple[float, int, int, bytes]
"""Epoch seconds; number of the conversation, negative for a line from the server; size; beginning of the line."""


class Tape:
    """The latest lines of one server, over all its children.

    :ivar conversations: number of conversations that have begun.
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
        """Return the number of a new conversation, by which its lines are kept."""
        self.conversations += 1
        return self.conversations

    def keep(self, conversation: int, line: bytes) -> None:
        """Keep a line; the number of its conversation is negative if the server has sent it."""
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
        """Return all kept lines, the oldest first."""
        return list(self._lines)

    def stray(self) -> bytes:
        """Return the latest line of the latest child that cannot be a message; empty if there is none."""
        for _, conversation, _, line in reversed(self._lines):
            if conversation == -self.conversations and line.lstrip()[:1] not in (b"{", b"["):
                return line
        return b""


class Tapes:
    """The tapes of all servers, by their names.

    :param lines: number of lines of each server that are kept; 0 for none.
    """

    def __init__(self, now: Callable[[], float], lines: int = LINES) -> None:
        self._now = now
        self._lines = lines
        self._tapes: Bounded[str, Tape] = Bounded(SERVERS)

    def find(self, server: str) -> Tape | None:
        """Return the tape of a server; None if no line of it has been kept."""
        return self._tapes.get(server)

    def of(self, server: str) -> Tape | None:
        """Return the tape of a server, created at its first line; None if no lines are kept."""
        found = self._tapes.get(server)
        if found is None and self._lines:
            found = self._tapes[server] = Tape(self._now, self._lines)
        return found
