"""Which processes hold certain sockets: the search through directories of our own, and how it gives way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from mcpgateway.system.process.socket_owners import PAUSE_S, SocketSearch, search
from tests.support.searches import finished

NOWHERE = "/nowhere/at/all"


class ProcDirectory:
    """Processes with their open files, in a directory of our own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.proc = str(directory)
        self.ages: dict[int, int] = {}
        (directory / "self").mkdir()

    def add(self, pid: int, *links: str, age: int = 0) -> None:
        files = self.directory / str(pid) / "fd"
        files.mkdir(parents=True)
        for number, link in enumerate(links):
            (files / str(number)).symlink_to(link)
        self.ages[pid] = age

    def holders(self, *inodes: int) -> dict[int, int]:
        return finished(search(inodes, proc=self.proc, age=self.ages.__getitem__))


@pytest.fixture
def processes(tmp_path: Path) -> ProcDirectory:
    """No processes yet."""
    return ProcDirectory(tmp_path)


class HolderTests:
    """Which process holds a socket."""

    def test_found(self, processes: ProcDirectory) -> None:
        """A socket is found with its process; one that no process holds is left out."""
        processes.add(5, "/dev/null", "socket:[7]", "socket:[8]", "pipe:[9]")
        processes.add(6, "socket:[10]", "anon_inode:[eventpoll]")
        assert processes.holders(7, 8, 9, 10, 11, 0) == {7: 5, 8: 5, 10: 6}

    def test_the_eldest(self, processes: ProcDirectory) -> None:
        """The eldest of the processes that hold a socket is named, also where their numbers have started over."""
        processes.add(5, "socket:[7]", age=30)
        processes.add(900, "socket:[7]", age=10)
        processes.add(901, "socket:[7]", age=20)
        assert processes.holders(7) == {7: 900}

    def test_ourselves_last(self, processes: ProcDirectory) -> None:
        """This process is named only for sockets that no other holds."""
        processes.add(os.getpid(), "socket:[7]", "socket:[8]", age=1)
        processes.add(5, "socket:[7]", age=2)
        assert processes.holders(7, 8) == {7: 5, 8: os.getpid()}

    def test_those_that_end(self, processes: ProcDirectory) -> None:
        """A process that ends meanwhile, or does not show its files, hides nobody else's."""
        processes.add(5, age=1)
        (processes.directory / "5" / "fd").rmdir()
        processes.add(6, "socket:[7]", age=2)
        (processes.directory / "6" / "fd" / "9").write_text("a file that is no link")
        (processes.directory / "8").symlink_to("nowhere")
        assert processes.holders(7) == {7: 6}

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
    def test_other_users(self, processes: ProcDirectory) -> None:
        """Processes of other users are not looked at."""
        processes.add(5, "socket:[7]")
        os.chown(processes.directory / "5", 65534, 65534)
        assert processes.holders(7) == {}

    def test_nothing_to_find(self) -> None:
        """A search for no socket reads nothing."""
        assert finished(search([], proc=NOWHERE)) == {}
        assert finished(search([0], proc=NOWHERE)) == {}

    def test_no_proc(self) -> None:
        """Where processes are not shown, nobody is found."""
        assert finished(search([7], proc=NOWHERE)) == {}


class SliceTests:
    """Searching between other work."""

    def test_it_gives_way(self) -> None:
        """The search for sockets takes many turns of the reactor, and ends."""
        clock = Clock()
        found: list[dict[int, int]] = []
        SocketSearch(clock)({7}).addCallback(found.append)
        turns = 0
        while not found and turns < 100_000:
            clock.advance(PAUSE_S)
            turns += 1
        assert found == [{}]
