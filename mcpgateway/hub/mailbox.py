"""The messages for a session that belong to no request, while its client reads no stream.

# Note [What gives way]
A mailbox is limited.  Messages without a key, mostly log messages, are dropped first, the oldest before the others.  A
message with a key is news that the client has to act on, and is dropped only if no message without a key is left.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Any

MESSAGES_LIMIT = 256
BYTES_LIMIT = 1024 * 1024


class Mailbox:
    """The waiting messages in their order, at most one for each key.

    :ivar stream: the session's standing stream (`IMessageStream`); None while none is open.
    :ivar lost: the number of messages that were dropped, see Note [What gives way].
    """

    __slots__ = ("_on_lost", "_size", "_unnamed", "_waiting", "lost", "stream")

    def __init__(self) -> None:
        self.stream: Any = None
        self.lost = 0
        self._waiting: dict[Hashable, bytes] = {}
        self._on_lost: dict[Hashable, Callable[[], None]] = {}  # for messages whose loss has to be reported
        self._unnamed: deque[Hashable] = deque()  # the keys given to messages without one, in their order
        self._size = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._waiting

    def waiting(self) -> Iterable[tuple[Hashable, bytes]]:
        """Return the waiting messages with their keys."""
        return self._waiting.items()

    def put(self, message: bytes, key: Hashable = None, on_lost: Callable[[], None] | None = None) -> None:
        """Send a message to the client, or keep it; one with a key replaces the waiting message of that key.

        :param on_lost: called if the message is dropped for others.
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
        callbacks: list[Callable[[], None]] = []
        while len(self._waiting) > MESSAGES_LIMIT or (self._size > BYTES_LIMIT and len(self._waiting) > 1):
            key = self._unnamed[0] if self._unnamed else next(iter(self._waiting))
            if key in self._on_lost:
                callbacks.append(self._on_lost[key])
            self.withdraw(key)
            self.lost += 1
        for on_lost in callbacks:
            on_lost()

    def withdraw(self, key: Hashable) -> bool:
        """Remove the waiting message of a key; false if none waits."""
        message = self._waiting.pop(key, None)
        if message is None:
            return False
        self._size -= len(message)
        if self._on_lost:
            self._on_lost.pop(key, None)
        if self._unnamed and self._unnamed[0] is key:  # messages without a key leave in their order
            self._unnamed.popleft()
        return True

    def attach(self, stream: Any) -> Any:
        """Send all waiting messages on a stream, and all later ones; return the stream that it replaces."""
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
