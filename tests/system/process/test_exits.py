"""When processes end, with pipes in the place of pidfds and nothing that waits for them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from mcpgateway.system.process.exits import ExitWatch


class Readers:
    """The part of a reactor that is used."""

    def __init__(self, refuses: OSError | None = None) -> None:
        self.readers: list[Any] = []
        self.refuses = refuses

    def addReader(self, reader: Any) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        assert reader.fileno() >= 0, "a reactor must be told before the file is closed"
        if reader in self.readers:
            self.readers.remove(reader)

    def turn(self) -> None:
        """Tell all readers that they can read, as a reactor does that believes so."""
        for reader in list(self.readers):
            reader.doRead()


class Pipes:
    """Processes that have a pipe each; one ends when something is written."""

    def __init__(self) -> None:
        self.writers: dict[int, int] = {}
        self.opened: list[int] = []

    def open(self, pid: int) -> int:
        reader, self.writers[pid] = os.pipe()
        self.opened.append(reader)
        return reader

    def end(self, pid: int) -> None:
        os.write(self.writers[pid], b"x")

    def close(self) -> None:
        for each in self.writers.values():
            os.close(each)


class House:
    """A watch with what is beneath it, and what it has told."""

    def __init__(self) -> None:
        self.readers: Any = Readers()
        self.pipes = Pipes()
        self.watch = ExitWatch(self.readers, self.pipes.open)
        self.ended: list[int] = []

    def watches(self, *pids: int) -> None:
        for pid in pids:
            assert self.watch.watch(pid, self.ended.append)

    @property
    def is_empty(self) -> bool:
        """Return whether no file is left open."""
        return self.readers.readers == [] and all(map(is_closed, self.pipes.opened))


def is_closed(descriptor: int) -> bool:
    """Return whether a file is closed."""
    try:
        os.fstat(descriptor)
    except OSError as why:
        return why.errno == errno.EBADF
    return False


@pytest.fixture
def house() -> Iterator[House]:
    """A watch that watches nothing yet."""
    made = House()
    yield made
    made.watch.close()
    made.pipes.close()


class ExitWatchTests:
    """The exits that are reported."""

    def test_end(self, house: House) -> None:
        """The end of a process is told once, and its file is closed by then."""
        closed: list[bool] = []
        assert house.watch.watch(5, lambda pid: closed.append(house.is_empty))
        house.pipes.end(5)
        house.readers.turn()
        house.readers.turn()
        assert closed == [True]

    def test_many(self, house: House) -> None:
        """The end of one process says nothing of the others."""
        house.watches(5, 6, 7)
        house.pipes.end(6)
        house.readers.turn()
        assert house.ended == [6]
        assert len(house.readers.readers) == 2

    def test_false_alarm(self, house: House) -> None:
        """A process that still runs has not ended, whatever the reactor believes."""
        house.watches(5)
        house.readers.turn()
        assert house.ended == []
        house.pipes.end(5)
        house.readers.turn()
        assert house.ended == [5]

    def test_news_of_a_closed_file(self, house: House) -> None:
        """News that arrives when nobody is interested any more are not told."""
        house.watches(5)
        (reader,) = house.readers.readers
        house.pipes.end(5)
        house.watch.forget(5)
        reader.doRead()
        assert reader.fileno() == -1
        assert house.ended == []

    def test_again(self, house: House) -> None:
        """Watching a process again changes nothing, and opens nothing."""
        house.watches(5)
        assert house.watch.watch(5, lambda pid: pytest.fail("it has its callback"))
        assert len(house.pipes.opened) == 1
        house.pipes.end(5)
        house.readers.turn()
        assert house.ended == [5]

    def test_after_the_end(self, house: House) -> None:
        """A number that was watched can be watched anew, also from within the callback."""
        assert house.watch.watch(5, house.watches)
        house.pipes.end(5)
        os.close(house.pipes.writers.pop(5))
        house.readers.turn()
        assert len(house.readers.readers) == 1
        house.pipes.end(5)
        house.readers.turn()
        assert house.ended == [5]

    def test_forget(self, house: House) -> None:
        """A forgotten process is not reported, and its file is closed; an unknown one may be forgotten."""
        house.watches(5)
        house.watch.forget(5)
        house.watch.forget(5)
        house.watch.forget(6)
        assert house.is_empty

    def test_close(self, house: House) -> None:
        """A closed watch has forgotten all processes."""
        house.watches(5, 6)
        house.watch.close()
        house.watch.close()
        assert house.is_empty

    def test_close_from_within(self, house: House) -> None:
        """A callback may close the watch while others have news."""
        assert house.watch.watch(5, lambda pid: house.watch.close())
        house.watches(6)
        house.pipes.end(5)
        house.pipes.end(6)
        house.readers.turn()
        assert house.is_empty
        assert house.ended == []

    def test_failing_callback(self, house: House) -> None:
        """A callback that fails is logged, and the reactor is not troubled with it."""

        def fail(pid: int) -> None:
            raise RuntimeError("no")

        assert house.watch.watch(5, fail)
        house.pipes.end(5)
        with capturedLogs() as events:
            house.readers.turn()
        assert [(event["event"], event["pid"]) for event in events] == [("exit.failed", 5)]
        assert house.is_empty

    def test_lost(self, house: House) -> None:
        """A reactor that stops lets go of the files; nothing has ended for that."""
        house.watches(5)
        (reader,) = house.readers.readers
        house.readers.readers.clear()
        reader.connectionLost(Failure(ConnectionLost()))
        assert house.ended == []
        assert house.is_empty

    def test_reader(self, house: House) -> None:
        """The reactor gets a reader of its interface."""
        house.watches(5)
        (reader,) = house.readers.readers
        assert verifyObject(IReadDescriptor, reader)
        assert reader.fileno() == house.pipes.opened[0]
        assert reader.logPrefix()


class RefusalTests:
    """When a process cannot be watched."""

    def test_no_pidfds(self) -> None:
        """A machine without pidfds watches no process."""
        readers: Any = Readers()
        assert not ExitWatch(readers, None).watch(5, pytest.fail)

    @pytest.mark.parametrize(
        "why",
        [
            ProcessLookupError(errno.ESRCH, "gone"),
            PermissionError(errno.EPERM, "sandbox"),
            OSError(errno.EMFILE, "too many files"),
            OSError(errno.ENOSYS, "too old"),
            OSError(errno.EINVAL, "no process"),
            OverflowError("no number of a process"),
        ],
        ids=repr,
    )
    def test_not_opened(self, why: Exception) -> None:
        """A process that has gone or may not be opened is not watched, and may be tried again."""

        def refuse(pid: int) -> int:
            raise why

        readers: Any = Readers()
        watch = ExitWatch(readers, refuse)
        assert not watch.watch(5, pytest.fail)
        assert not watch.watch(5, pytest.fail)
        assert readers.readers == []

    def test_not_waited_for(self, house: House) -> None:
        """A reactor that cannot wait for one more file leaves none open."""
        house.readers.refuses = OSError(errno.ENOSPC, "too many watches")
        assert not house.watch.watch(5, pytest.fail)
        assert house.is_empty
