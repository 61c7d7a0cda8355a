"""Memory and CPU of whole process trees: a server's own process says little where it is a wrapper."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

from mcpgateway.policy.stuck_calls import ProcessActivity
from mcpgateway.system.process.process_row import ProcessRow
from mcpgateway.system.process.procfs import table

STOPPED = (b"T", b"t")  # by a signal, or by a debugger


def tree_sizes(leaders: Collection[int], proc: str = "/proc") -> dict[int, int]:
    """Return the resident bytes of each of these session leaders' trees.

    A tree has all processes in the leader's session or process group, and all descendants.  The table of processes is
    read once for all of them.  Shared memory counts for each process.  Empty where the system does not tell.
    """
    sizes: dict[int, int] = {}
    for owner, each in _members(leaders, proc):
        sizes[owner] = sizes.get(owner, 0) + each.pages
    page = os.sysconf("SC_PAGE_SIZE")
    return {leader: pages * page for leader, pages in sizes.items()}


def tree_activity(leader: int, proc: str = "/proc") -> ProcessActivity | None:
    """Return the activity of a session leader's tree, as of `tree_sizes`; None where it has no process."""
    ticks, is_stopped, is_there = 0, False, False
    for _, each in _members((leader,), proc):
        is_there = True
        ticks += each.ticks
        is_stopped = is_stopped or (each.pid == leader and each.state in STOPPED)
    return ProcessActivity(is_stopped, ticks / os.sysconf("SC_CLK_TCK")) if is_there else None


def tree(leader: int, rows: Collection[ProcessRow]) -> list[ProcessRow]:
    """Return the processes of a session leader's tree, as of `tree_sizes`, out of a table of all."""
    return [each for _, each in _owned((leader,), rows)]


def _members(leaders: Collection[int], proc: str) -> Iterator[tuple[int, ProcessRow]]:
    return _owned(leaders, list(table(proc)))


def _owned(leaders: Collection[int], rows: Collection[ProcessRow]) -> Iterator[tuple[int, ProcessRow]]:
    # Each process that belongs to a leader, with the leader it belongs to.
    processes = {each.pid: each for each in rows}
    wanted = frozenset(leaders)
    owners: dict[int, int] = {}
    for each in processes.values():
        owner = _owner(each, processes, wanted, owners)
        if owner:
            yield owner, each


def owners_of(leaders: Collection[int], proc: str = "/proc") -> dict[int, int]:
    """Return the leader of each process that belongs to the tree of one of these, as in `tree_sizes`."""
    return {each.pid: owner for owner, each in _members(leaders, proc)}


def _owner(
    process: ProcessRow, processes: dict[int, ProcessRow], wanted: frozenset[int], owners: dict[int, int]
) -> int:
    # The leader of a process's tree: that of its group, of its session, else of its parent; 0 for none.
    line: list[int] = []
    found = 0
    at: ProcessRow | None = process
    while at is not None and len(line) <= len(processes):
        if at.pid in owners:
            found = owners[at.pid]
            break
        line.append(at.pid)
        found = next((each for each in (at.pid, at.group, at.session) if each in wanted), 0)
        if found:
            break
        at = processes.get(at.parent)
    for pid in line:
        owners[pid] = found
    return found
