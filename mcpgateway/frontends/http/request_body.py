"""Take a request body as it arrives: counted, or in the chunked coding (RFC 9112 section 7.1), strictly.

body    = *chunk last trailers CRLF
chunk   = 1*8HEX [ ";" extension ] CRLF data CRLF          (no other line ends, no spaces before ";")
last    = 1*8"0" [ ";" extension ] CRLF
trailer = token ":" value CRLF                             (read, bounded and dropped)
"""

from __future__ import annotations

import re

LINE_LIMIT = 256  # bytes of a size line; extensions are allowed and mean nothing here
TRAILERS_LIMIT = 8 * 1024

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[\t -~\x80-\xff]*+)?\r\n")
_TRAILER_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t -~\x80-\xff]*+\r\n")


class BadChunk(Exception):
    """The body is not in the chunked coding."""


class CountedBody:
    """A body whose length was announced.

    :ivar body: the received bytes.
    :ivar size: the announced length.
    :ivar is_done: True once the end has been read.
    :ivar rest: the bytes after the end.
    """

    __slots__ = ("body", "is_done", "rest", "size")

    def __init__(self, size: int) -> None:
        self.body = bytearray()
        self.size = size
        self.is_done = False
        self.rest = b""

    def feed(self, data: bytes, limit: int) -> None:
        """Take the next bytes; the announced length has been checked against the limit before."""
        missing = self.size - len(self.body)
        if len(data) < missing:
            self.body += data
        else:
            self.body += data[:missing]
            self.rest = data[missing:]
            self.is_done = True


_SIZE, _DATA_END, _TRAILER = range(3)  # kind of the next line


class ChunkedBody:
    """A body in the chunked coding.

    :ivar body: the decoded bytes; one buffer, because tiny chunks as objects would cost fifty times their size.
    :ivar is_done: True once the end has been read.
    :ivar rest: the bytes after the end.
    """

    __slots__ = ("_left", "_line", "_next", "_trailers", "body", "is_done", "rest")

    def __init__(self) -> None:
        self.body = bytearray()
        self.is_done = False
        self.rest = b""
        self._line = b""
        self._left = 0
        self._trailers = 0
        self._next = _SIZE

    @property
    def size(self) -> int:
        """Return the minimum length of the body: the received bytes and the rest of the current chunk."""
        return len(self.body) + self._left

    def feed(self, data: bytes, limit: int) -> None:
        """Take the next bytes; decoding stops once `size` exceeds ``limit``.

        :raise BadChunk: the bytes violate the grammar.
        """
        position, end = 0, len(data)
        while position < end and not self.is_done:
            if self._left:
                piece = data[position : position + self._left]
                self.body += piece
                self._left -= len(piece)
                position += len(piece)
            else:
                position = self._take_line(data, position)
                if self.size > limit:
                    return
        if self.is_done:
            self.rest = data[position:]

    def _take_line(self, data: bytes, position: int) -> int:
        stop = data.find(b"\n", position)
        after = stop + 1 if stop >= 0 else len(data)
        room = TRAILERS_LIMIT - self._trailers if self._next == _TRAILER else LINE_LIMIT
        if after - position + len(self._line) > room:
            raise BadChunk
        self._line += data[position:after]
        if stop >= 0:
            line, self._line = self._line, b""
            self._read(line)
        return after

    def _read(self, line: bytes) -> None:
        if self._next == _SIZE:
            match = _SIZE_LINE.fullmatch(line)
            if match is None:
                raise BadChunk
            self._left = int(match[1], 16)
            self._next = _DATA_END if self._left else _TRAILER
        elif self._next == _DATA_END:
            if line != b"\r\n":
                raise BadChunk
            self._next = _SIZE
        elif line == b"\r\n":
            self.is_done = True
        elif _TRAILER_LINE.fullmatch(line) is None:
            raise BadChunk
        else:
            self._trailers += len(line)
