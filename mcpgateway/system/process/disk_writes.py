"""The bytes that the processes of servers have written to storage."""

from __future__ import annotations

from collections.abc import Collection

from mcpgateway.system.process.tree_sizes import owners_of

_FIELD = b"write_bytes:"


def written_by(leaders: Collection[int], proc: str = "/proc") -> dict[int, int]:
    """Return the bytes that the processes of each of these session leaders have written to storage since their start.

    The count of an ended process is added to that of the parent that waited for it, so programs that a server has run
    meanwhile count, too.  Files in memory, as on tmpfs, do not count (proc_pid_io(5)).  Processes that cannot be read
    are left out; the result is empty where the system has no ``/proc``.
    """
    found: dict[int, int] = {}
    for pid, owner in owners_of(leaders, proc).items():
        written = _written(f"{proc}/{pid}/io")
        if written is not None:
            found[owner] = found.get(owner, 0) + written
    return found


def _written(path: str) -> int | None:
    try:
        with open(path, "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return None  # it has just ended
    return next((int(each[len(_FIELD) :]) for each in lines if each.startswith(_FIELD)), None)
