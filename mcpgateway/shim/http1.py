"""HTTP/1.1, the client's half (RFC 9112): requests become bytes, bytes in any pieces become an answer."""

from __future__ import annotations

HEAD_LIMIT = 64 * 1024
SIZE_LIMIT = 32  # bytes of the line that begins a chunk, without its extensions
BODILESS = (204, 304)

# What an answer waits for.
HEAD, COUNTED, TO_THE_END, CHUNK_SIZE, CHUNK, CHUNK_END, TRAILER, DONE = range(8)


class BadAnswer(Exception):
    """What came is no answer to a request of HTTP/1.1."""


def request(method: bytes, target: bytes, headers: list[bytes], body: bytes | None = None) -> bytes:
    """A request; each header is a whole line without its end."""
    lines = [method + b" " + target + b" HTTP/1.1", *headers]
    if body is not None:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


class AnswerReader:
    """Reads one answer.

    :ivar status: 0 until the head has come.
    :ivar headers: by lower-case name; of repeated ones the last.
    :ivar is_last: the connection cannot be used again.
    :ivar rest: what came behind the answer.
    """

    __slots__ = ("_buffer", "_left", "_phase", "headers", "is_last", "rest", "status")

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.is_last = False
        self.rest = b""
        self._buffer = bytearray()
        self._phase = HEAD
        self._left = 0

    @property
    def is_done(self) -> bool:
        """Whether the answer is whole."""
        return self._phase == DONE

    def feed(self, data: bytes) -> bytes:
        """Take the next piece; as much of the body as is in it.

        :raise BadAnswer: this cannot become an answer any more.
        """
        self._buffer += data
        body: list[bytes] = []
        while self._step(body):
            pass
        return body[0] if len(body) == 1 else b"".join(body)

    def finish(self) -> None:
        """The connection has ended.

        :raise BadAnswer: the answer is not whole.
        """
        if self._phase == TO_THE_END:
            self._phase = DONE
        elif self._phase != DONE:
            raise BadAnswer("the connection ended before the answer")

    def _step(self, body: list[bytes]) -> bool:
        """Make one step; false when more bytes are needed."""
        phase = self._phase
        if phase == HEAD:
            return self._take_head()
        if phase in (COUNTED, CHUNK, TO_THE_END):
            return self._take_body(body)
        if phase == DONE:
            self.rest += bytes(self._buffer)
            self._buffer.clear()
            return False
        line = self._take_line()
        if line is None:
            return False
        if phase == CHUNK_SIZE:
            self._begin_chunk(line)
        elif phase == CHUNK_END:
            if line:
                raise BadAnswer("a chunk is longer than it says")
            self._phase = CHUNK_SIZE
        elif not line:
            self._phase = DONE
        return True

    def _take_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end > HEAD_LIMIT or (end < 0 and len(self._buffer) > HEAD_LIMIT):
            raise BadAnswer("the head is too long")
        if not b"HTTP/1.".startswith(bytes(self._buffer[:7])):
            raise BadAnswer("this is not HTTP/1.1")
        if end < 0:
            return False
        first, *lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        parts = first.split(b" ", 2)
        if len(parts) < 2 or len(parts[1]) != 3 or not parts[1].isdigit():
            raise BadAnswer("the status is no number")
        status = int(parts[1])
        if status < 200:
            return True  # 100 Continue, and what else may come before the answer
        self.status = status
        for line in lines:
            name, _, value = line.partition(b":")
            self.headers[name.lower()] = value.strip(b" \t")
        self._begin_body(is_old=parts[0] == b"HTTP/1.0")
        return True

    def _begin_body(self, *, is_old: bool) -> None:
        headers = self.headers
        connection = headers.get(b"connection", b"").lower()
        self.is_last = b"close" in connection or (is_old and b"keep-alive" not in connection)
        length = headers.get(b"content-length")
        if self.status in BODILESS:
            self._phase = DONE
        elif b"transfer-encoding" in headers:
            if headers[b"transfer-encoding"].lower() != b"chunked":
                raise BadAnswer("an unknown transfer coding")
            self._phase = CHUNK_SIZE
        elif length is None:
            self._phase = TO_THE_END
            self.is_last = True
        elif not length.isdigit() or len(length) > 18:
            raise BadAnswer("the length is no number")
        else:
            self._left = int(length)
            self._phase = COUNTED if self._left else DONE

    def _take_body(self, body: list[bytes]) -> bool:
        buffer = self._buffer
        if not buffer:
            return False
        if self._phase == TO_THE_END or len(buffer) <= self._left:
            piece = bytes(buffer)
            buffer.clear()
        else:
            piece = bytes(buffer[: self._left])
            del buffer[: self._left]
        body.append(piece)
        if self._phase != TO_THE_END:
            self._left -= len(piece)
            if not self._left:
                self._phase = DONE if self._phase == COUNTED else CHUNK_END
        return True

    def _take_line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n")
        if end > HEAD_LIMIT or (end < 0 and len(self._buffer) > HEAD_LIMIT):
            raise BadAnswer("a line is too long")
        if end < 0:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _begin_chunk(self, line: bytes) -> None:
        size = line.partition(b";")[0].strip(b" \t")
        digits = b"0123456789abcdefABCDEF"
        if not 0 < len(size) <= SIZE_LIMIT or size.strip(digits):
            raise BadAnswer("the size of a chunk is no number")
        self._left = int(size, 16)
        self._phase = CHUNK if self._left else TRAILER
