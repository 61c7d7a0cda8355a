"""Return memory to the system after a load, when no call is under way.

# Note [Memory that can be returned]
The C library keeps freed memory for later use; returning it costs milliseconds, so it is done only if it helps.  The
size of the process does not show that: after a load it is large with its buffers full or freed.  The difference between
its size and the memory in use shows it.  A part of that can never be returned, which is the difference after the last
attempt; it is computed only while the process is larger than its smallest size.
"""

from __future__ import annotations

from collections.abc import Callable

from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.system.process.memory import allocated_bytes, give_back, resident_bytes

EVERY_TICKS = 5
WORTHWHILE = 0.05  # of the process; less is not worth the milliseconds


class MemoryUpkeep:
    """Checks every few seconds for memory to return."""

    def __init__(self, dispatcher: LegacyDispatcher, forget: Callable[[], None]) -> None:
        self._dispatcher = dispatcher
        self._forget = forget
        self._smallest = resident_bytes()  # the size of the process when it was smallest
        self._unused: int | None = None  # bytes that cannot be returned; None until the first attempt

    def look_around(self) -> None:
        """Return memory if there is enough of it and no call is under way; see Note [Memory that can be returned]."""
        if len(self._dispatcher.calls):
            return
        size = resident_bytes()
        self._smallest = min(self._smallest, size)
        if size - self._smallest > WORTHWHILE * size and self._is_worthwhile(size):
            self._forget()  # drops caches first
            give_back()
            self._unused = resident_bytes() - allocated_bytes()

    def _is_worthwhile(self, size: int) -> bool:
        if self._unused is None:
            return True
        unused = size - allocated_bytes()
        self._unused = min(self._unused, unused)
        return unused - self._unused > WORTHWHILE * size
