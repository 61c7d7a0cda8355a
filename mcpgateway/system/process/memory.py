"""The memory of this process."""

from __future__ import annotations

import gc
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

IMPORT_THRESHOLDS = (5_000, 1_000)  # of the collector: the young generation is collected rarely, no other one
MALLINFO2 = (
    "arena",
    "ordblks",
    "smblks",
    "hblks",
    "hblkhd",  # bytes of large blocks, which are mapped by themselves
    "usmblks",
    "fsmblks",
    "uordblks",  # bytes of all other blocks in use
    "fordblks",
    "keepcost",
)


def resident_bytes() -> int:
    """Return the resident set of this process in bytes; its peak where the system does not tell the present value."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, the others KiB


def allocated_bytes() -> int:
    """Return the bytes of this process's memory that the C library counts as in use; 0 where it does not tell."""
    import ctypes  # see `give_back`

    tell = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if tell is None:
        return 0

    class MallocStatistics(ctypes.Structure):
        """The ``struct mallinfo2`` of glibc."""

        _fields_ = [(name, ctypes.c_size_t) for name in MALLINFO2]

    tell.restype = MallocStatistics
    statistics = tell()
    return int(statistics.uordblks + statistics.hblkhd)


def give_back() -> None:
    """Return freed memory to the system, where the C library keeps it for later (glibc does)."""
    import ctypes  # takes a megabyte, so only for a process with more memory than that to return

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


@contextmanager
def permanent_generation() -> Iterator[None]:
    """Import modules that last as long as this process: garbage is looked for less often meanwhile.

    All later collections ignore the objects of these modules and of those before. See decision 73.
    """
    thresholds = gc.get_threshold()
    gc.set_threshold(*IMPORT_THRESHOLDS)
    try:
        yield
    finally:
        gc.collect(0)  # the decorators of classes leave some garbage
        gc.freeze()
        gc.set_threshold(*thresholds)


@contextmanager
def without_collections() -> Iterator[None]:
    """Create many objects that last: no garbage is looked for meanwhile."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
