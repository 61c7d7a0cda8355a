"""The processes that hold the sockets of this machine, and that listen at its TCP ports.

The kernel offers no shorter way than reading the open files of one process after the other, which takes 5 to 60 ms
where a few hundred processes run.  So the search yields after each millisecond; no call waits for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import suppress
from time import monotonic
from typing import Any

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Cooperator

from mcpgateway.system.process.procfs import name_of, start_time

SLICE_S = 0.001
PAUSE_S = 0.01
LISTEN = "0A"  # proc(5), net/tcp: the state TCP_LISTEN
UNCONNECTED = "07"  # of a UDP socket that takes packets of anybody
ACCEPTING = "00010000"  # net/unix: the flag of a socket that listens
LISTENING, CONNECTED = "it listens at a socket", "it has an open connection"

Search = Generator[None, None, dict[int, int]]


class SocketSearch:
    """A search for the holders of sockets between the reactor's other work.

    :param reactor: the clock that schedules its steps.
    """

    def __init__(self, reactor: IReactorTime) -> None:
        self._cooperator = Cooperator(_slice, lambda go: reactor.callLater(PAUSE_S, go))

    def __call__(self, inodes: Collection[int]) -> Deferred[dict[int, int]]:
        """Fires with the result of `search`."""
        found: dict[int, int] = {}

        def searching() -> Generator[None, None, None]:
            found.update((yield from search(inodes)))

        done: Deferred[Any] = self._cooperator.coiterate(searching())
        return done.addCallback(lambda _: found)


def _slice() -> Callable[[], bool]:
    ends = monotonic() + SLICE_S
    return lambda: monotonic() >= ends


def search(inodes: Collection[int], *, proc: str = "/proc", age: Callable[[int], int] = start_time) -> Search:
    """Return the process that holds each of these sockets; sockets without a process of this user are left out.

    The function is a generator, so that the search can pause at any yield; its return value is the answer.  Of several
    processes that hold one socket, it is the eldest: the one that made the socket, before a fork inherited it.  This
    process itself is read last, since it has by far the most files: it is named only for sockets that no other holds.

    :param inodes: the sockets; 0, which no process holds, is skipped.
    :param proc: the directory of the processes.
    :param age: returns the start time of a process.
    """
    sought = {f"socket:[{inode}]": inode for inode in inodes if inode}
    found: dict[int, int] = {}
    if not sought:
        return found
    for pid in (yield from _eldest_first(proc, age)):
        for descriptor in _listed(f"{proc}/{pid}/fd"):
            yield
            with suppress(OSError):  # it may be closed at any time
                link = os.readlink(f"{proc}/{pid}/fd/{descriptor}")
                if link in sought:
                    found[sought.pop(link)] = pid
        if not sought:
            break
    return found


def sockets_of(pid: int, *, proc: str = "/proc") -> set[int]:
    """Return the sockets that a process holds; about a millisecond for a thousand of them."""
    found: set[int] = set()
    for descriptor in _listed(f"{proc}/{pid}/fd"):
        with suppress(OSError, ValueError):
            link = os.readlink(f"{proc}/{pid}/fd/{descriptor}")
            if link.startswith("socket:["):
                found.add(int(link[8:-1]))
    return found


class PortHolder(Struct, frozen=True):
    """A process that listens at a TCP port.

    :ivar pid: its process id; 0 where the process is another user's.
    :ivar uid: its user.
    """

    pid: int
    name: str
    uid: int

    def __str__(self) -> str:
        """Return the process in words."""
        return f"{self.name} (pid {self.pid})" if self.pid else f"a process of another user (uid {self.uid})"


def port_holders(port: int, proc: str = "/proc") -> Iterator[PortHolder]:
    """Iterate over the processes that listen at a TCP port of this machine, each once."""
    if sys.platform == "darwin":
        from mcpgateway.system.process.psutil_half import listeners

        yield from (PortHolder(*each) for each in listeners(port))
        return
    owners = dict(listening(port, proc))
    found = _all(search(owners, proc=proc))
    for pid in dict.fromkeys(found.values()):
        inode = next(inode for inode, holder in found.items() if holder == pid)
        yield PortHolder(pid, ascii(name_of(pid, proc))[1:-1] or "a process", owners[inode])
    for uid in dict.fromkeys(owners[inode] for inode in owners.keys() - found.keys()):
        yield PortHolder(0, "", uid)


def listening(port: int, proc: str = "/proc") -> Iterator[tuple[int, int]]:
    """Iterate over the sockets that listen at a TCP port: the inode and the uid of each; none where unknown."""
    wanted = f":{port:04X}"
    for table in ("tcp", "tcp6"):
        with suppress(OSError, ValueError, IndexError), open(f"{proc}/net/{table}") as rows:
            for row in rows:
                fields = row.split()
                if fields[3] == LISTEN and fields[1].endswith(wanted):
                    yield int(fields[9]), int(fields[7])


def sockets_in_use(pids: Collection[int], proc: str = "/proc") -> str:
    """Return in words which sockets some processes of one network have to the outside; empty for none.

    Connected Unix sockets do not count: processes of one tree talk by them.  Neither do sockets of DNS lookups, which
    are closed in a moment, but for the moment.
    """
    held = set().union(*(sockets_of(pid, proc=proc) for pid in pids))
    if not held:
        return ""
    near = f"{proc}/{next(iter(pids))}/net"
    kinds = dict.fromkeys(_inodes(f"{near}/unix", 3, 6, (ACCEPTING,)), LISTENING)
    for table in ("tcp", "tcp6", "udp", "udp6"):
        kinds |= dict.fromkeys(_inodes(f"{near}/{table}", 3, 9), CONNECTED)
        kinds |= dict.fromkeys(_inodes(f"{near}/{table}", 3, 9, (LISTEN, UNCONNECTED)), LISTENING)
    found = {kinds[each] for each in held & kinds.keys()}
    return LISTENING if LISTENING in found else CONNECTED if found else ""


def _inodes(path: str, state: int, inode: int, wanted: tuple[str, ...] = ()) -> Iterator[int]:
    # The columns of the state and of the inode differ between the tables; without wanted states all rows count.
    with suppress(OSError, ValueError, IndexError), open(path) as rows:
        next(rows, None)
        for row in rows:
            fields = row.split()
            if not wanted or fields[state] in wanted:
                yield int(fields[inode])


def _all(found: Search) -> dict[int, int]:
    try:
        while True:
            next(found)
    except StopIteration as done:
        answer: dict[int, int] = done.value
        return answer


def _eldest_first(proc: str, age: Callable[[int], int]) -> Generator[None, None, list[int]]:
    ours, user = os.getpid(), os.geteuid()
    aged: list[tuple[int, int]] = []
    for name in _listed(proc):
        yield
        with suppress(OSError):  # it may end at any time
            if name.isdecimal() and os.stat(f"{proc}/{name}").st_uid == user:
                aged.append((age(int(name)), int(name)))
    return [pid for _, pid in sorted(aged) if pid != ours] + [ours]


def _listed(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:  # it has ended, or may not be read
        return []
