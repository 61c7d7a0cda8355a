"""Whether a process runs, and since when; what small programs ask, so nothing is loaded for it."""

from __future__ import annotations

import os


def is_alive(pid: int) -> bool:
    """Whether that process runs; a zombie does not, somebody else's does."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return _field(pid, 0) not in ("Z", "X")


def start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot, or 0 if untold; with the pid it is an identity."""
    return int(_field(pid, 19) or 0)


def parent(pid: int) -> int:
    """The process that has started a process; 0 where that cannot be told."""
    return int(_field(pid, 1) or 0)


def _field(pid: int, index: int) -> str:
    # proc(5): the fields after the command's name, which is in parentheses and may hold anything; state is the first.
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            text = stat.read()
    except OSError:
        return ""
    return text[text.rindex(b")") + 2 :].split()[index].decode()
