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
