"""Freeze all processes of a child, thaw them, and give back their memory.

# Note [Two ways]
A cgroup v2 that systemd has delegated (``Delegate=yes``) gets a cgroup for each child; the kernel freezes that as a
whole, and no other program continues a process of it by mistake.  Elsewhere each process of the child's tree gets
SIGSTOP.  SIGKILL ends a frozen process in either way, so the guardian need not know of it.

# Note [Paging out]
``memory.reclaim`` needs the memory controller in the child's cgroup, which the kernel allows only where no process is
in the cgroup above (``DelegateSubgroup=``).  ``process_madvise`` needs CAP_SYS_NICE.  Without either, the kernel takes
the pages of frozen processes by itself when it needs some, since no process touches them.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from threading import Thread

from mcpgateway.policy.idling import OwnWork
from mcpgateway.system.process.processes import bearing
from mcpgateway.system.process.procfs import PROC, start_time, table
from mcpgateway.system.process.socket_owners import sockets_in_use
from mcpgateway.system.process.tree_sizes import STOPPED, owners_of, tree

DELEGATED = "user.delegate"  # extended attribute that systemd sets on a cgroup that it leaves to its user
PASSES = 4  # until no process of a tree runs: one may be born during a pass


class Freezer:
    """Freezes and thaws the children of this gateway.

    :param base: the cgroup below which each child gets its own; empty: signals are sent; None: it is looked up.
    """

    def __init__(self, base: str | None = None) -> None:
        self._base = base
        self._stopped: dict[int, dict[int, int]] = {}  # by child: its processes, with their start times

    def added(self, pid: int, stopped: dict[int, int] | None = None) -> None:
        """Give a child a cgroup of its own, where that may be.

        :param stopped: the processes of it that SIGSTOP has frozen already, with their start times.
        """
        if stopped:
            self._stopped[pid] = stopped
        if self._base is None:
            self._base = delegated_cgroup()
        if self._base:
            with suppress(OSError):
                os.makedirs(self._group(pid), exist_ok=True)
                _write(f"{self._group(pid)}/cgroup.procs", str(pid))

    def removed(self, pid: int) -> None:
        """Forget a child of which no process is left."""
        self._stopped.pop(pid, None)
        if self._base:
            with suppress(OSError):  # a process of it may still be ending
                os.rmdir(self._group(pid))

    def stopped(self, pid: int) -> dict[int, int]:
        """Return the processes of a frozen child that SIGSTOP has frozen, with their start times."""
        return self._stopped.get(pid, {})

    def freeze(self, pid: int, marker: str) -> bool:
        """Freeze a child; false where none of its processes can be frozen.

        :param marker: an entry of the environment of all its processes.
        """
        marked = bearing(marker)  # once: it reads the environments of all processes
        inside = _processes_of(self._group(pid)) if self._base else set()
        if pid in inside:
            self._gather(pid, marked, inside)
            with suppress(OSError):
                _write(f"{self._group(pid)}/cgroup.freeze", "1")
                return True
        stopped = self._stopped.setdefault(pid, {})
        for _ in range(PASSES):
            fresh = [each for each in _running(pid, marked) if each not in stopped]
            for each in fresh:
                with suppress(OSError):  # it has ended, or has another user
                    began = start_time(each)
                    os.kill(each, signal.SIGSTOP)
                    stopped[each] = began
            if not fresh:
                break
        if pid not in stopped:
            self.thaw(pid)
        return pid in stopped

    def _gather(self, pid: int, marked: list[int], inside: set[int]) -> None:
        # A child may have started processes before it was moved, and these have stayed where it was.
        for each in _running(pid, marked):
            if each not in inside:
                with suppress(OSError):  # it has ended
                    _write(f"{self._group(pid)}/cgroup.procs", str(each))

    def thaw(self, pid: int) -> None:
        """Let a frozen child go on."""
        for each, began in self._stopped.pop(pid, {}).items():
            if start_time(each) == began:
                with suppress(OSError):
                    os.kill(each, signal.SIGCONT)
        if self._base:
            with suppress(OSError):
                _write(f"{self._group(pid)}/cgroup.freeze", "0")

    def page_out(self, pid: int, marker: str) -> bool:
        """Begin to move the memory of a frozen child to swap; it is read back when it is touched.

        It takes a thread half a second or so.

        :return: False where the machine has no swap.
        """
        from mcpgateway.system.process.paging import has_swap  # only where memory is short

        if not has_swap():
            return False
        Thread(target=self._page_out, args=(pid, marker), daemon=True).start()
        return True

    def _page_out(self, pid: int, marker: str) -> None:
        from mcpgateway.system.process.paging import page_out, reclaim

        if not (self._base and reclaim(self._group(pid))):
            for each in {*owners_of((pid,)), *bearing(marker)}:
                page_out(each)

    def _group(self, pid: int) -> str:
        return f"{self._base}/child-{pid}"


def _running(leader: int, marked: list[int]) -> Iterator[int]:
    rows = list(table())
    found = {*marked, *(each.pid for each in tree(leader, rows))}
    return (each.pid for each in rows if each.pid in found and each.state not in STOPPED)


def own_work(leader: int) -> OwnWork | None:
    """Return the signs that a session leader's tree works without a request; None where it has no process."""
    found = tree(leader, list(table()))
    ticks = sum(each.ticks for each in found)
    sockets = sockets_in_use([each.pid for each in found])
    return OwnWork(ticks / os.sysconf("SC_CLK_TCK"), sockets) if found else None


def delegated_cgroup(proc: str = PROC) -> str:
    """Return the cgroup below which this process may make others (cgroup v2); empty where there is none."""
    group = own_cgroup(proc)
    # With DelegateSubgroup= it is the one above.
    for each in (group, os.path.dirname(group)) if group else ():
        if _is_delegated(each):
            if each != group:
                with suppress(OSError):
                    _write(f"{each}/cgroup.subtree_control", "+memory")
            return each
    return ""


def own_cgroup(proc: str = PROC) -> str:
    """Return the directory of this process's cgroup v2; empty where there is none."""
    try:
        with open(f"{proc}/self/cgroup") as lines:
            own = next(line[3:].rstrip("\n") for line in lines if line.startswith("0::"))
        with open(f"{proc}/self/mountinfo") as lines:
            mount = next(line.split()[4] for line in lines if " - cgroup2 " in line)
    except (OSError, StopIteration):
        return ""
    return os.path.normpath(f"{mount}/{own}")


def _is_delegated(group: str) -> bool:
    try:
        return os.getxattr(group, DELEGATED) == b"1" and os.access(f"{group}/cgroup.procs", os.W_OK)
    except (OSError, AttributeError):  # macOS has neither
        return False


def _processes_of(group: str) -> set[int]:
    try:
        with open(f"{group}/cgroup.procs") as pids:
            return set(map(int, pids))
    except OSError:
        return set()


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
