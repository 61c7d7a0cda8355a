"""Let only so many children start at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class Gate:
    """A counted door: whoever does not get in waits for somebody to leave, first come first served."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._queue: deque[Callable[[], None]] = deque()

    def enter(self, go: Callable[[], None]) -> None:
        """Call ``go`` as soon as there is room; it must lead to one `leave`."""
        if self._free:
            self._free -= 1
            go()
        else:
            self._queue.append(go)

    def leave(self) -> None:
        """Make room."""
        if self._queue:
            self._queue.popleft()()
        else:
            self._free += 1

    def withdraw(self, go: Callable[[], None]) -> None:
        """Leave the queue without having been in."""
        if go in self._queue:
            self._queue.remove(go)
