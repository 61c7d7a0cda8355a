"""Splitting a byte stream, in chunks of any size, into lines."""

from __future__ import annotations


class LineTooLong(Exception):
    """A line exceeded the limit; ``head`` is its beginning."""

    def __init__(self, head: bytes) -> None:
        super().__init__("line too long")
        self.head = head


HEAD_BYTES = 256  # of an over-long line: enough to find the id of the response


class LineFramer:
    """Newline-delimited framing (MCP stdio transport).

    Chunks of an unfinished line are kept in a list and joined once, so a large line costs one copy however small the
    chunks are.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes | bytearray, size: int | None = None) -> list[bytes]:
        """Return the lines that these bytes complete, without their ends (LF or CRLF) and without blank ones.

        :param data: the bytes, or a buffer of the reader's own: nothing refers to it afterwards, so the next read may
            go into it again. Copying each line out of a warm buffer costs a quarter of splitting a fresh chunk.
        :param size: the number of bytes of ``data`` that count; all of them by default.
        :raise LineTooLong: more than the limit has come without a newline; nothing more may be fed.
        """
        end = len(data) if size is None else size
        lines: list[bytes] = []
        start = 0
        with memoryview(data) as view:
            while (stop := data.find(b"\n", start, end)) >= 0:
                line = bytes(view[start:stop])
                start = stop + 1
                if self._parts:
                    line = self._joined(line)
                if line[-1:] == b"\r":
                    line = line.rstrip(b"\r")
                if line and not line.isspace():
                    lines.append(line)
            if start < end:
                self._parts.append(bytes(view[start:end]))
                self._size += end - start
        if self._size > self._limit:
            raise LineTooLong(self._head())
        return lines

    def rest(self) -> bytes:
        """Return the beginning of the unfinished line."""
        return b"".join(self._parts)

    def _joined(self, last: bytes) -> bytes:
        self._parts.append(last)
        line = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return line

    def _head(self) -> bytes:
        head = b""
        for part in self._parts:
            head += part[: HEAD_BYTES - len(head)]
            if len(head) >= HEAD_BYTES:
                break
        self._parts.clear()
        return head
