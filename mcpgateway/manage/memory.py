"""Return memory to the system after a load, when no call is under way.

# Note [Memory that can be returned]
The C library keeps freed memory for later use; returning it costs milliseconds, so it is done only if it helps.  The
size of the process does not show that: after a load it is large with its buffers full or freed.  The difference between
its size and the memory in use shows it.  A part of that can never be returned, which is the difference after the last
attempt; it is computed only while the process is larger than its smallest size.

# Note [Memory that only a restart returns]
Python returns memory in pieces of a megabyte, once nothing in a piece is in use.  After thousands of requests at once,
some small object of a session or a counter is in each piece.  A restart in place allocates these anew, one beside the
other.  The memory that is due is estimated from the number of blocks in use, each of which takes as much as when the
process was smallest.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from twisted.logger import Logger

from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.system.process.memory import allocated_bytes, give_back, resident_bytes

EVERY_TICKS = 5
WORTHWHILE = 0.05  # of the process; less is not worth the milliseconds
UNUSED = 0.15  # of the memory that is due; less is not worth a restart
QUIET_LOOKS = 12  # without a call before a restart, one minute
YOUNG_LOOKS = 120  # before the first restart, ten minutes


class MemoryUpkeep:
    """Checks every few seconds for memory to return.

    :param forget: drops caches.
    :param restart: restarts the gateway in place soon; False where it cannot.
    """

    log = Logger()

    def __init__(
        self,
        dispatcher: LegacyDispatcher,
        forget: Callable[[], None],
        restart: Callable[[], bool] = lambda: False,
    ) -> None:
        self._dispatcher = dispatcher
        self._forget = forget
        self._restart = restart
        self._looks = self._quiet = 0
        self._smallest = resident_bytes()  # the size of the process when it was smallest
        self._blocks = sys.getallocatedblocks()  # in use then
        self._unused: int | None = None  # bytes that cannot be returned; None until the first attempt

    def look_around(self, *, may_restart: bool = False) -> None:
        """Return memory if there is enough of it and no call is under way; see Note [Memory that can be returned].

        :param may_restart: also by a restart; see Note [Memory that only a restart returns].
        """
        self._looks += 1
        self._quiet = 0 if len(self._dispatcher.calls) else self._quiet + 1
        if not self._quiet:
            return
        size = resident_bytes()
        if size < self._smallest:
            self._smallest, self._blocks = size, sys.getallocatedblocks()
        if size - self._smallest > WORTHWHILE * size and self._is_worthwhile(size):
            self._forget()  # drops caches first
            give_back()
            self._unused = resident_bytes() - allocated_bytes()
        elif may_restart and self._quiet >= QUIET_LOOKS and self._looks >= YOUNG_LOOKS:
            self._renew(size)

    def _renew(self, size: int) -> None:
        due = self._smallest * max(1.0, sys.getallocatedblocks() / self._blocks)
        if size > (1 + UNUSED) * due and self._restart():
            self._looks = 0  # the restart may be refused
            self.log.info(
                "the gateway uses {size} MB, of which about {unused} MB are of no use, and restarts in place",
                event="memory.restart",
                size=size >> 20,
                unused=round(size - due) >> 20,
            )

    def _is_worthwhile(self, size: int) -> bool:
        if self._unused is None:
            return True
        unused = size - allocated_bytes()
        self._unused = min(self._unused, unused)
        return unused - self._unused > WORTHWHILE * size
