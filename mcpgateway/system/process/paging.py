"""Move the memory of other processes to swap; pages of files are dropped, and read from there again."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

MADV_PAGEOUT, PROCESS_MADVISE = 21, 440  # the number is the same on all architectures of Linux but alpha
AT_ONCE = 512  # ranges of one call; the kernel takes 1024
UNTOUCHABLE = ("[vvar]", "[vdso]", "[vsyscall]")


class _Range(ctypes.Structure):
    _fields_ = (("start", ctypes.c_void_p), ("size", ctypes.c_size_t))


def page_out(pid: int) -> bool:
    """Have the pages of a process written out; false where the system or its rights do not allow it."""
    with suppress(OSError, AttributeError):  # it has ended; AttributeError: no pidfds
        descriptor = os.pidfd_open(pid)
        try:
            return [*map(partial(_advise, descriptor), _pieces(pid))].count(False) == 0
        finally:
            os.close(descriptor)
    return False


def _advise(descriptor: int, ranges: list[_Range]) -> bool:
    array = (_Range * len(ranges))(*ranges)
    words = (descriptor, array, ctypes.c_size_t(len(ranges)), MADV_PAGEOUT, 0)
    return bool(ctypes.CDLL(None).syscall(PROCESS_MADVISE, *words) >= 0)


def _pieces(pid: int) -> Iterator[list[_Range]]:
    with open(f"/proc/{pid}/maps") as maps:
        bounds = [
            line.split(maxsplit=1)[0].split("-") for line in maps if not line.rstrip().endswith(UNTOUCHABLE)
        ]
    ranges = [_Range(int(start, 16), int(end, 16) - int(start, 16)) for start, end in bounds]
    for at in range(0, len(ranges), AT_ONCE):
        yield ranges[at : at + AT_ONCE]


def reclaim(group: str) -> bool:
    """Have the kernel reclaim all memory of a cgroup; false where it has no memory controller."""
    try:
        with open(f"{group}/memory.current") as file:
            size = file.read().strip()
    except OSError:
        return False
    with suppress(OSError), open(f"{group}/memory.reclaim", "w") as file:
        file.write(size)  # the kernel answers EAGAIN where it cannot give back all of that
    return True


def has_swap() -> bool:
    """True if the machine has room for the memory of processes on a disk or in compressed memory."""
    with suppress(OSError, StopIteration, ValueError, IndexError), open("/proc/meminfo") as file:
        return int(next(line for line in file if line.startswith("SwapFree:")).split()[1]) > 0
    return False
