"""Server-Sent Events, the reader's half (WHATWG HTML section 9.2): bytes in any pieces become events."""

from __future__ import annotations

EVENT_LIMIT = 64 * 1024 * 1024  # bytes of one event; larger answers exist in no client's window
BOM = b"\xef\xbb\xbf"
CR = 13


class TooLong(Exception):
    """An event is larger than any message."""


class EventReader:
    """Reads the messages of one stream.

    :ivar last_id: where the stream can be taken up again; empty until an event has had an id.
    :ivar retry_ms: how soon, if the stream has said so.
    """

    __slots__ = (
        "_begun",
        "_buffer",
        "_data",
        "_id",
        "_kind",
        "_looked",
        "_size",
        "_was_return",
        "last_id",
        "retry_ms",
    )

    def __init__(self) -> None:
        self.last_id = b""
        self.retry_ms: int | None = None
        self._buffer = bytearray()
        self._looked = 0  # how much of the buffer has no end of a line in it
        self._begun = False
        self._was_return = False  # the last line ended with a CR; an LF that follows belongs to it
        self._data: list[bytes] = []
        self._size = 0
        self._kind = b""
        self._id = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next piece; the messages that it completes.

        :raise TooLong: an event is larger than `EVENT_LIMIT`.
        """
        buffer = self._buffer
        buffer += data
        if not self._begun:
            if BOM.startswith(bytes(buffer[:3])) and len(buffer) < len(BOM):
                return []
            self._begun = True
            if buffer.startswith(BOM):
                del buffer[: len(BOM)]
        messages: list[bytes] = []
        start = 0
        while (end := self._end(start)) >= 0:
            is_return = buffer[end] == CR
            if end > start or is_return or not self._was_return:
                message = self._line(bytes(buffer[start:end]))
                if message is not None:
                    messages.append(message)
            self._was_return = is_return
            start = self._looked = end + 1
        if start < len(buffer):
            self._was_return = False
        del buffer[:start]
        self._looked = len(buffer)
        if len(buffer) + self._size > EVENT_LIMIT:
            raise TooLong
        return messages

    def _end(self, start: int) -> int:
        """Where the line ends that begins at ``start``; -1 when its end has not come."""
        buffer = self._buffer
        looked = max(start, self._looked)
        end = buffer.find(b"\n", looked)
        ret = buffer.find(b"\r", looked, end if end >= 0 else len(buffer))
        return end if ret < 0 else ret

    def _line(self, line: bytes) -> bytes | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if name == b"data":
            self._data.append(value)
            self._size += len(value) + 1
        elif name == b"event":
            self._kind = value
        elif name == b"id" and b"\0" not in value:
            self._id = value
        elif name == b"retry" and value.isdigit() and len(value) < 10:
            self.retry_ms = int(value)
        return None

    def _dispatch(self) -> bytes | None:
        self.last_id = self._id
        data, self._data, self._size = b"\n".join(self._data), [], 0
        kind, self._kind = self._kind, b""
        return data if data and kind in (b"", b"message") else None
