"""A clock that nobody sets, and that goes on while the machine sleeps."""

from __future__ import annotations

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # macOS lets the latter go on, too


def boot_seconds() -> float:
    """Return the seconds since some moment before this program began."""
    return time.clock_gettime(_CLOCK)
