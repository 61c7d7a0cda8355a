"""Who listens at a port of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from attrs import frozen

from mcpgateway.system.process.listening import listening
from mcpgateway.system.process.socket_owners import Search, search


@frozen
class Holder:
    """A process that listens, as far as it can be told.

    :ivar pid: 0 where the process is another user's.
    :ivar uid: whose it is.
    """

    pid: int
    name: str
    uid: int

    def __str__(self) -> str:
        """It, for people."""
        return f"{self.name} (pid {self.pid})" if self.pid else f"a process of another user (uid {self.uid})"


def holders(port: int, proc: str = "/proc") -> Iterator[Holder]:
    """Who listens at a port, each process once."""
    owners = dict(listening(port, proc))
    found = _all(search(owners, proc=proc))
    for pid in dict.fromkeys(found.values()):
        inode = next(inode for inode, holder in found.items() if holder == pid)
        yield Holder(pid, name_of(pid, proc), owners[inode])
    for uid in dict.fromkeys(owners[inode] for inode in owners.keys() - found.keys()):
        yield Holder(0, "", uid)


def name_of(pid: int, proc: str = "/proc") -> str:
    """What the kernel calls a process."""
    with suppress(OSError), open(f"{proc}/{pid}/comm", "rb") as file:
        return ascii(file.read().strip().decode(errors="replace"))[1:-1]
    return "a process"


def _all(found: Search) -> dict[int, int]:
    try:
        while True:
            next(found)
    except StopIteration as done:
        answer: dict[int, int] = done.value
        return answer
