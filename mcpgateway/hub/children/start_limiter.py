"""Let only so many children start at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class StartLimiter:
    """Counts the starts under way; others wait for their turn, first come first served.

    :ivar limit: so many may be under way at once.
    """

    def __init__(self, limit: int) -> None:
        self.limit = self._free = limit
        self._is_admitting = False
        self._queue: deque[Callable[[], None]] = deque()

    def enter(self, go: Callable[[], None]) -> None:
        """Call ``go`` as soon as there is room; it must lead to one `leave`."""
        self._queue.append(go)
        self._admit()

    def leave(self) -> None:
        """Make room."""
        self._free += 1
        self._admit()

    def withdraw(self, go: Callable[[], None]) -> None:
        """Leave the queue without having been in."""
        if go in self._queue:
            self._queue.remove(go)

    def set_limit(self, limit: int) -> None:
        """Let another number in at once; those that are in stay."""
        self.limit, more = limit, limit - self.limit
        self._free += more
        self._admit()

    def _admit(self) -> None:
        # One that leaves at once, because its program is missing, lets the next in from here, not from its own stack.
        if self._is_admitting:
            return
        self._is_admitting = True
        try:
            while self._free > 0 and self._queue:
                self._free -= 1
                self._queue.popleft()()
        finally:
            self._is_admitting = False
