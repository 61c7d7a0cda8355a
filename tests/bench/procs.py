"""CPU time and memory of a process tree, from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable

from attrs import frozen

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
MIB = 1024.0  # in the KiB that /proc speaks


@frozen
class Account:
    """The use of a gateway and, apart from it, of its children; memory is the gateway's only."""

    cpu_ns: int
    child_cpu_ns: int
    processes: int
    children: int
    rss_mib: float
    pss_mib: float


@frozen
class Identity:
    """A process that a later one with the same number is not mistaken for."""

    pid: int
    started: str

    def is_alive(self) -> bool:
        """Return whether this very process still runs."""
        fields = _stat(self.pid)
        return bool(fields) and fields[19] == self.started and fields[0] != "Z"


def identify(pids: Iterable[int]) -> list[Identity]:
    """The identities of those that run."""
    return [Identity(pid, fields[19]) for pid in pids if (fields := _stat(pid))]


def tree(root: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat(int(name))):
            children.setdefault(int(fields[1]), []).append(int(name))
    found, to_see = [], [root]
    while to_see:
        pid = to_see.pop()
        found.append(pid)
        to_see += children.get(pid, [])
    return found


def account(root: int, child: str) -> Account:
    """Account for the tree under ``root``; processes whose program is ``child`` are children, all others gateway."""
    gateway: list[int] = []
    children: list[int] = []
    for pid in tree(root):
        (children if _program(pid) == child else gateway).append(pid)
    memory = [memory_kib(pid) for pid in gateway]
    return Account(
        cpu_ns=sum(map(cpu_ns, gateway)),
        child_cpu_ns=sum(map(cpu_ns, children)),
        processes=len(gateway),
        children=len(children),
        rss_mib=sum(each["Rss"] for each in memory) / MIB,
        pss_mib=sum(each["Pss"] for each in memory) / MIB,
    )


def machine_busy_s() -> float:
    """Seconds of CPU that the whole machine has spent since it booted."""
    with open("/proc/stat", encoding="ascii") as file:
        ticks = [int(field) for field in file.readline().split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / TICKS_PER_S


def own_cpu_s() -> float:
    """Seconds of CPU that this process and its finished children have spent."""
    return sum(os.times()[:4])


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none when it has gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()


def _program(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().split(b"\0")[0].decode("utf-8", "replace")
    except OSError:
        return ""


def cpu_ns(pid: int) -> int:
    """Run time of all threads; schedstat counts nanoseconds where stat counts ticks of 10 ms."""
    total = 0
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
    except OSError:
        return total
    return total


def memory_kib(pid: int) -> dict[str, int]:
    """The memory of one process, and the part of it that no other process has."""
    found = {"Rss": 0, "Pss": 0, "Private_Clean": 0, "Private_Dirty": 0}
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name in found:
                    found[name] = int(value.split()[0])
    except OSError:
        pass
    return found
