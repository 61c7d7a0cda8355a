"""The frames of a WebSocket (RFC 6455, section 5.2), as far as the bytes of a message have to be read a second time."""

from __future__ import annotations

KEPT_LIMIT = 65_536  # bytes, as of an answer over HTTP (`mcpgateway.backends.http.http1`)
END_OF_HEAD = b"\r\n\r\n"
LAST, CONTROL = 0x80, 0x08  # bits of a frame's first byte
LENGTH = 0x7F  # bits of its second one, for a length or for the size of the length that follows
HEAD_BYTES = {126: 4, 127: 10}


class UnfinishedMessage:
    """The bytes that a client has received since the end of the latest message, without control frames.

    :ivar is_kept: false if they are more than `KEPT_LIMIT`, until the message has ended.
    :param follows_head: the frames follow the head of an HTTP response.
    """

    def __init__(self, *, follows_head: bool = False) -> None:
        self.is_kept = True
        self._bytes = bytearray()
        self._frame = 0  # the place of the present frame in them
        self._dropped = 0  # bytes of that frame
        self._is_in_head = follows_head

    def feed(self, data: bytes) -> None:
        """Take bytes of the connection, in chunks of any size."""
        self._bytes += data
        if self._is_in_head:
            _, end, rest = self._bytes.partition(END_OF_HEAD)
            if not end:
                return
            self._bytes, self._is_in_head = rest, False
        while (end_at := self._end()) <= len(self._bytes):
            self._pass(end_at)
        if len(self._bytes) > KEPT_LIMIT:
            self._drop()

    def rest(self) -> bytes:
        """Return the bytes, which another parser can begin with."""
        return bytes(self._bytes)

    def _pass(self, end: int) -> None:
        first, self._dropped = self._bytes[self._frame], 0
        if first & CONTROL:  # they may stand between the frames of a message
            del self._bytes[self._frame : end]
        elif first & LAST:
            del self._bytes[:end]
            self._frame, self.is_kept = 0, True
        else:
            self._frame = end

    def _head_bytes(self) -> int:
        if len(self._bytes) < self._frame + 2:
            return 2
        return HEAD_BYTES.get(self._bytes[self._frame + 1] & LENGTH, 2)

    def _end(self) -> int:
        begin = self._frame + self._head_bytes()
        if len(self._bytes) < begin:
            return begin
        length = self._bytes[self._frame + 1] & LENGTH
        if length in HEAD_BYTES:
            length = int.from_bytes(self._bytes[self._frame + 2 : begin], "big")
        return begin + length - self._dropped

    def _drop(self) -> None:
        # Of the present frame the head tells where it ends.
        self.is_kept = False
        del self._bytes[: self._frame]
        self._frame, before = 0, len(self._bytes)
        del self._bytes[self._head_bytes() :]
        self._dropped += before - len(self._bytes)
