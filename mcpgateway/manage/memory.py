"""Return memory to the system after a load, when no call is under way.

# Note [Memory that can be returned]
The C library keeps what was freed, for later; giving it back costs milliseconds, so it is only done where that helps.
How large the process is does not tell: after a load it is large whether its buffers are full or were freed.  So what
counts is the difference between its size and what is in use.  A part of it can never be returned, and that is the
difference that was left the last time; it only has to be looked at when the process is larger than it once was.
"""

from __future__ import annotations

from collections.abc import Callable

from mcpgateway.hub.dispatch import Switchboard
from mcpgateway.system.process.memory import allocated_bytes, give_back, resident_bytes

EVERY_TICKS = 5
WORTHWHILE = 0.05  # of the process: less is not worth the milliseconds


class MemoryUpkeep:
    """Looks every few seconds whether there is memory to return."""

    def __init__(self, switchboard: Switchboard, forget: Callable[[], None]) -> None:
        self._switchboard = switchboard
        self._forget = forget
        self._smallest = resident_bytes()  # the size of the process when it was smallest
        self._unused: int | None = None  # bytes that cannot be returned; None until that was tried

    def look_around(self) -> None:
        """Return memory if there is enough of it and no call is under way; see Note [Memory that can be returned]."""
        if len(self._switchboard.calls):
            return
        size = resident_bytes()
        self._smallest = min(self._smallest, size)
        if size - self._smallest > WORTHWHILE * size and self._is_worthwhile(size):
            self._forget()  # what was only kept because it may come again
            give_back()
            self._unused = resident_bytes() - allocated_bytes()

    def _is_worthwhile(self, size: int) -> bool:
        if self._unused is None:
            return True
        unused = size - allocated_bytes()
        self._unused = min(self._unused, unused)
        return unused - self._unused > WORTHWHILE * size
