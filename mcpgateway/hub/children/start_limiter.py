"""The limit of the number of children that start at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class StartLimiter:
    """Counts the starts under way; others wait, first come first served.

    :ivar limit: the number of starts that may be under way at once.
    """

    def __init__(self, limit: int) -> None:
        self.limit = self._free = limit
        self._is_admitting = False
        self._queue: deque[Callable[[], None]] = deque()

    def enter(self, go: Callable[[], None]) -> None:
        """Call ``go`` as soon as there is room; each call of it must be followed by one `leave`."""
        self._queue.append(go)
        self._admit()

    def leave(self) -> None:
        """End a start, and admit the next."""
        self._free += 1
        self._admit()

    def withdraw(self, go: Callable[[], None]) -> None:
        """Remove a start that still waits from the queue."""
        if go in self._queue:
            self._queue.remove(go)

    def set_limit(self, limit: int) -> None:
        """Change the limit; starts under way go on."""
        self.limit, more = limit, limit - self.limit
        self._free += more
        self._admit()

    def _admit(self) -> None:
        # A start that ends at once, as for a missing program, lets the next in from here, not from its own stack.
        if self._is_admitting:
            return
        self._is_admitting = True
        try:
            while self._free > 0 and self._queue:
                self._free -= 1
                self._queue.popleft()()
        finally:
            self._is_admitting = False
