"""What a session is to be told outside of its calls, while its client is not listening.

# Note [What gives way]
A mailbox holds so much and no more.  Messages without a key, which are mostly log messages, give way first and the
oldest of them before the others; what has a key is news that the client has to act on, and gives way only to its like.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import Any

MESSAGES_LIMIT = 256
BYTES_LIMIT = 1024 * 1024


class Mailbox:
    """Messages in their order; those with the same key are one.

    :ivar stream: the session's standing stream (`IMessageStream`), or None while none is open.
    :ivar lost: how many messages had to give way to others, see Note [What gives way].
    """

    __slots__ = ("_on_lost", "_size", "_unnamed", "_waiting", "lost", "stream")

    def __init__(self) -> None:
        self.stream: Any = None
        self.lost = 0
        self._waiting: dict[Hashable, bytes] = {}
        self._on_lost: dict[Hashable, Callable[[], None]] = {}  # for the few whose loss matters to somebody
        self._unnamed: deque[Hashable] = deque()  # the keys given to messages without one, in their order
        self._size = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._waiting

    def put(self, message: bytes, key: Hashable = None, on_lost: Callable[[], None] | None = None) -> None:
        """Tell the client now, or keep the message for it; one with a key replaces what waits under that key.

        :param on_lost: called when the message has given way to others.
        """
        if self.stream is not None and self.stream.say(message):
            return
        if key is None:
            key = object()
            self._unnamed.append(key)
        else:
            self.withdraw(key)
        if on_lost is not None:
            self._on_lost[key] = on_lost
        self._waiting[key] = message
        self._size += len(message)
        if len(self._waiting) > MESSAGES_LIMIT or self._size > BYTES_LIMIT:
            self._make_room()

    def _make_room(self) -> None:
        told: list[Callable[[], None]] = []
        while len(self._waiting) > MESSAGES_LIMIT or (self._size > BYTES_LIMIT and len(self._waiting) > 1):
            key = self._unnamed[0] if self._unnamed else next(iter(self._waiting))
            if key in self._on_lost:
                told.append(self._on_lost[key])
            self.withdraw(key)
            self.lost += 1
        for on_lost in told:
            on_lost()

    def withdraw(self, key: Hashable) -> bool:
        """Take back what waits under a key; false when nothing does."""
        message = self._waiting.pop(key, None)
        if message is None:
            return False
        self._size -= len(message)
        if self._on_lost:
            self._on_lost.pop(key, None)
        if self._unnamed and self._unnamed[0] is key:  # they only ever go in their order
            self._unnamed.popleft()
        return True

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
