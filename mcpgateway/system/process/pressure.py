"""The memory that is short: pressure stall information of Linux, else the memory that is left."""

from __future__ import annotations

from contextlib import suppress

from msgspec import Struct

from mcpgateway.system.process.freezing import own_cgroup
from mcpgateway.system.process.procfs import PROC

STALLED = 10.0  # percent of the last ten seconds in which some process waited for memory
FLOOR = 0.05  # of all memory, below which too little is left


class MemoryPressure(Struct, frozen=True):
    """The pressure on the memory of a machine or of a cgroup.

    :ivar files: files in the form of ``/proc/pressure/memory``; those that do not exist are passed over.
    :ivar meminfo: read where none of them exists.
    """

    files: tuple[str, ...]
    meminfo: str = f"{PROC}/meminfo"

    def look(self) -> str:
        """Return how short memory is, in words; empty while there is enough, or where the system does not tell."""
        stalls = [each for file in self.files if (each := _stalled(file)) is not None]
        if stalls:
            most = max(stalls)
            return f"processes wait for memory for {most:.0f} % of the time" if most >= STALLED else ""
        left = _left(self.meminfo)
        return f"{left:.1%} of the machine's memory is left" if left is not None and left < FLOOR else ""


def _stalled(path: str) -> float | None:
    # The line is: some avg10=0.12 avg60=0.05 avg300=0.01 total=1234
    with suppress(OSError, ValueError, IndexError), open(path) as file:
        return float(file.readline().split()[1].removeprefix("avg10="))
    return None


def _left(path: str) -> float | None:
    with suppress(OSError, ValueError, KeyError, ZeroDivisionError), open(path) as file:
        sizes = dict(line.split()[:2] for line in file)
        return int(sizes["MemAvailable:"]) / int(sizes["MemTotal:"])
    return None


def short_of_memory(file: str) -> str:
    """Return how short memory is, in words, by a file or else by those of the machine and of the own cgroup."""
    if file:
        return MemoryPressure((file,)).look()
    return MemoryPressure((f"{PROC}/pressure/memory", f"{own_cgroup()}/memory.pressure")).look()
