"""How much the processes of servers have written to storage."""

from __future__ import annotations

from collections.abc import Collection

from mcpgateway.system.process.tree_sizes import owners_of

_FIELD = b"write_bytes:"


def written_by(leaders: Collection[int], proc: str = "/proc") -> dict[int, int]:
    """The bytes that everything of each of these leaders of a session has written to storage since it was started.

    A process hands on what it has written to the parent that waits for its end, so programs that a server has run
    meanwhile count, too.  What lies in memory only, as on tmpfs, does not (proc_pid_io(5)).  Who cannot be looked at
    is left out; all are where the system has no ``/proc``.
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
