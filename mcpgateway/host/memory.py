"""How much memory this process takes."""

from __future__ import annotations

import os
import resource
import sys


def resident_bytes() -> int:
    """The resident set of this process in bytes; its peak where the system does not tell the present value."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, the others KiB


def give_back() -> None:
    """Return freed memory to the system, where the C library keeps it for later (glibc does)."""
    import ctypes  # a megabyte, so only once there is more than that to give back

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
