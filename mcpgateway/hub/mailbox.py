"""What a session is to be told outside of its calls, while its client is not listening."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import count
from typing import Any

MESSAGES_LIMIT = 256
BYTES_LIMIT = 1024 * 1024


class Mailbox:
    """Messages in their order; those with the same key are one.

    :ivar stream: the session's standing stream (`IMessageStream`), or None while none is open.
    :ivar lost: how many messages had to give way to newer ones.
    """

    __slots__ = ("_keys", "_size", "_waiting", "lost", "stream")

    def __init__(self) -> None:
        self.stream: Any = None
        self.lost = 0
        self._waiting: dict[Hashable, bytes] = {}
        self._size = 0
        self._keys = count()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: bytes, key: Hashable = None) -> None:
        """Tell the client now, or keep the message for it; one with a key replaces what waits under that key."""
        if self.stream is not None and self.stream.say(message):
            return
        key = next(self._keys) if key is None else key
        self.withdraw(key)
        self._waiting[key] = message
        self._size += len(message)
        while len(self._waiting) > MESSAGES_LIMIT or (self._size > BYTES_LIMIT and len(self._waiting) > 1):
            self.withdraw(next(iter(self._waiting)))
            self.lost += 1

    def withdraw(self, key: Hashable) -> bool:
        """Take back what waits under a key; false when nothing does."""
        message = self._waiting.pop(key, None)
        self._size -= len(message or b"")
        return message is not None

    def attach(self, stream: Any) -> Any:
        """Say everything that waits on a stream, and from now on whatever comes; returns the stream it replaces."""
        former, self.stream = self.stream, stream
        for key, message in list(self._waiting.items()):
            if not stream.say(message):
                break
            self.withdraw(key)
        return former

    def detach(self, stream: Any) -> None:
        """Keep messages again, if that stream is the current one."""
        if self.stream is stream:
            self.stream = None
