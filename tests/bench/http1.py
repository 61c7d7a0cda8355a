"""Reading HTTP/1.1 answers out of any chunking of bytes; no I/O."""

from __future__ import annotations

import json
from typing import Any

from attrs import define, field, frozen

HEAD_END = b"\r\n\r\n"


class BadAnswer(Exception):
    """The answer is not HTTP, or it ended early."""


@frozen
class Answer:
    """A whole HTTP answer; header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def header(self, name: str) -> str:
        """A header's value, or an empty string."""
        return self.headers.get(name, "")


@define
class AnswerReader:
    """Collects bytes until one answer is whole; what follows it stays for the next."""

    _buffer: bytearray = field(factory=bytearray)
    _head: tuple[int, dict[str, str]] | None = None
    _parts: list[bytes] = field(factory=list)

    def feed(self, data: bytes) -> Answer | None:
        """The answer, once its last byte is in."""
        self._buffer += data
        if self._head is None and not self._read_head():
            return None
        assert self._head is not None
        status, headers = self._head
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self._chunked()
        if status in {204, 304}:
            return self._whole(b"")
        if "content-length" not in headers:
            return None  # it ends with the connection
        length = int(headers["content-length"])
        if len(self._buffer) < length:
            return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return self._whole(body)

    def ended(self) -> Answer:
        """The answer that the end of the connection completes."""
        if self._head is None or {"content-length", "transfer-encoding"} & self._head[1].keys():
            raise BadAnswer("the connection ended before the answer did")
        body = bytes(self._buffer)
        self._buffer.clear()
        return self._whole(body)

    def _read_head(self) -> bool:
        end = self._buffer.find(HEAD_END)
        if end < 0:
            return False
        first, *lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        del self._buffer[: end + len(HEAD_END)]
        try:
            status = int(first.split(" ", 2)[1])
        except (IndexError, ValueError) as why:
            raise BadAnswer(f"not a status line: {first[:80]!r}") from why
        pairs = (line.partition(":") for line in lines)
        self._head = (status, {name.strip().lower(): value.strip() for name, _, value in pairs})
        return True

    def _chunked(self) -> Answer | None:
        while True:
            line = self._buffer.find(b"\r\n")
            if line < 0:
                return None
            size = int(self._buffer[:line].split(b";")[0], 16)
            after = line + 2 + size + 2
            if len(self._buffer) < after:
                return None
            self._parts.append(bytes(self._buffer[line + 2 : after - 2]))
            del self._buffer[:after]
            if size == 0:
                return self._whole(b"".join(self._parts))

    def _whole(self, body: bytes) -> Answer:
        assert self._head is not None
        status, headers = self._head
        self._head, self._parts = None, []
        return Answer(status, headers, body)


def messages(answer: Answer) -> list[dict[str, Any]]:
    """The JSON-RPC messages in a JSON or an SSE body."""
    if answer.header("content-type").startswith("text/event-stream"):
        texts = [_event_data(event) for event in answer.body.replace(b"\r\n", b"\n").split(b"\n\n")]
        return [json.loads(text) for text in texts if text]
    if not answer.body:
        return []
    found = json.loads(answer.body)
    return found if isinstance(found, list) else [found]


def _event_data(event: bytes) -> bytes:
    return b"\n".join(line[5:].lstrip() for line in event.split(b"\n") if line.startswith(b"data:")).strip()
