"""The flight recorder: the latest lines between a server and the gateway, unchanged.

# Note [What a line costs]
Every message of every call passes here.  So no line is parsed: the bytes are kept as they are, with the time.  Lines
over the bounds are dropped once there are a fourth too many (`SPARE`), and before they are read.  Their reader
redacts them.  Of a long line only the beginning is kept, or one screenshot would keep its megabytes in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from mcpgateway.bounded import Bounded

LINES = 400  # of one server
BYTES = 131_072
PIECE = 8192  # of one line
SPARE = 4  # a fourth more lines and bytes are kept at most
SERVERS = 300

Line = tuple[float, int, int, bytes]
"""Epoch seconds; number of the conversation, negative for a line from the server; size; beginning of the line."""


class Tape:
    """The latest lines of one server, over all its children.

    :ivar conversations: number of conversations that have begun.
    """

    __slots__ = ("_bytes", "_full", "_limits", "_lines", "_now", "_put", "conversations")

    def __init__(self, now: Callable[[], float], lines: int = LINES, limit: int = BYTES) -> None:
        self.conversations = 0
        self._now = now
        self._limits = (lines, limit)
        self._full = (lines + lines // SPARE, limit + limit // SPARE)
        self._bytes = 0
        self._lines: deque[Line] = deque()
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
        self._put((self._now(), conversation, size, line))
        self._bytes += len(line)
        lines_limit, bytes_limit = self._full
        if self._bytes > bytes_limit or len(self._lines) > lines_limit:
            self._trim()

    def _trim(self) -> None:
        lines = self._lines
        lines_limit, bytes_limit = self._limits
        while len(lines) > lines_limit or self._bytes > bytes_limit:
            self._bytes -= len(lines.popleft()[3])

    def lines(self) -> list[Line]:
        """Return the kept lines, the oldest first."""
        self._trim()
        return list(self._lines)

    def stray(self) -> bytes:
        """Return the latest line of the latest child that cannot be a message; empty if there is none."""
        for _, conversation, _, line in reversed(self.lines()):
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
