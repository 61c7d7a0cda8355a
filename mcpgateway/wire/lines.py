"""Cut a byte stream into lines, whatever chunks it comes in."""

from __future__ import annotations


class LineTooLong(Exception):
    """A line exceeded the limit; ``head`` is how it begins."""

    def __init__(self, head: bytes) -> None:
        super().__init__("line too long")
        self.head = head


HEAD_BYTES = 256  # of an over-long line: enough to see whose answer it was going to be


class LineFramer:
    """Newline-delimited framing (MCP stdio transport).

    Chunks of an unfinished line are kept in a list and joined once, so a large line costs one copy however small the
    chunks are.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes, without their ends (``\\n`` or ``\\r\\n``); blank ones are left out.

        :raise LineTooLong: more than the limit has come without a newline; nothing more may be fed.
        """
        lines = chunk.split(b"\n")
        rest = lines.pop()
        if lines and self._parts:
            self._parts.append(lines[0])
            lines[0] = b"".join(self._parts)
            self._parts.clear()
            self._size = 0
        if rest:
            self._parts.append(rest)
            self._size += len(rest)
        if self._size > self._limit:
            raise LineTooLong(self._head())
        return [line.rstrip(b"\r") for line in lines if line and not line.isspace()]

    def _head(self) -> bytes:
        head = b""
        for part in self._parts:
            head += part[: HEAD_BYTES - len(head)]
            if len(head) >= HEAD_BYTES:
                break
        self._parts.clear()
        return head
