"""The memory of this process."""

from __future__ import annotations

import os
import resource
import sys

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
    told = tell()
    return int(told.uordblks + told.hblkhd)


def give_back() -> None:
    """Return freed memory to the system, where the C library keeps it for later (glibc does)."""
    import ctypes  # takes a megabyte, so only for a process with more memory than that to return

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
