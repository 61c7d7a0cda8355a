"""Streams for readers of any speed: all for a quick one, a bounded buffer for a slow one, an end for each."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import Clock

from mcpgateway.errors import Overloaded
from mcpgateway.frontends.rest.event_streams import BUFFER, HEARTBEAT_S, PIECE, Readers, StreamReader
from mcpgateway.observe.event_feed import EventHistory, FeedEntry


class Line:
    """A connection that takes so many bytes, and then nothing until it is read.

    :ivar sent: what was written.
    """

    def __init__(self, room: int = 10**9) -> None:
        self.sent = b""
        self.room = room
        self._left = room
        self._producer: StreamReader | None = None

    def registerProducer(self, producer: StreamReader, streaming: bool) -> None:  # noqa: FBT001 - as Twisted calls it
        """The producer that writes."""
        assert streaming
        self._producer = producer

    def unregisterProducer(self) -> None:
        """The producer has no more."""
        self._producer = None

    def write(self, data: bytes) -> None:
        """Take it, and say when that was enough."""
        self.sent += data
        self._left -= len(data)
        if self._left <= 0 and self._producer is not None:
            self._producer.pauseProducing()

    def read(self) -> None:
        """The reader has taken all."""
        self._left = self.room
        if self._producer is not None:
            self._producer.resumeProducing()

    @property
    def data(self) -> list[str]:
        """The data of the events that were written."""
        return [line[6:].decode() for line in self.sent.split(b"\n") if line.startswith(b"data: ")]


def entry(number: int, kind: str = "") -> FeedEntry:
    """An entry."""
    return FeedEntry(f"{number:06}", f"entry {number}", kind)


class Stage:
    """Readers of one chronicle."""

    def __init__(self, most: int = 20) -> None:
        self.clock = Clock()
        self.most = most
        self.readers = Readers(self.clock, lambda: self.most)
        self.chronicle = EventHistory(10_000, 10**9)

    def serve(
        self,
        line: Line,
        caller: str = "a",
        *,
        follows: bool = True,
        wants: Callable[[FeedEntry], bool] = lambda _: True,
    ) -> Deferred[None]:
        """Begin to read."""
        follow = self.chronicle.follow if follows else None
        return ensureDeferred(
            self.readers.serve(line, caller, lambda: list(self.chronicle.entries), follow, wants)
        )


class ReaderTests:
    """Readers of a stream."""

    def test_all_of_it(self) -> None:
        """The known entries come first, then the new ones, each with its name."""
        stage, line = Stage(), Line()
        for number in range(3 * PIECE):
            stage.chronicle.add(entry(number, "a.b"))
        stage.serve(line)
        stage.chronicle.add(entry(3 * PIECE))
        assert line.data == [f"entry {number}" for number in range(3 * PIECE + 1)]
        assert b"id: 000000\nevent: a.b\ndata: entry 0\n\n" in line.sent

    def test_without_following(self) -> None:
        """The known entries are all that come, also where they are read slowly."""
        stage, line = Stage(), Line(room=10)
        for number in range(3 * PIECE):
            stage.chronicle.add(entry(number))
        done = stage.serve(line, follows=False)
        while not done.called:
            line.read()
        assert len(line.data) == 3 * PIECE

    def test_a_slow_reader(self) -> None:
        """Of what he is too slow for, the newest is kept, he is told how much he has missed, and nothing piles up."""
        stage, line = Stage(), Line(room=1)
        stage.serve(line)
        for number in range(1000):
            stage.chronicle.add(entry(number))
        assert line.data == []
        for _ in range(3):
            line.read()
        assert line.data == [f"entry {number}" for number in range(1000 - BUFFER, 1000)]
        assert b": %d were left out" % (1000 - BUFFER) in line.sent

    def test_only_what_is_wanted(self) -> None:
        """An entry that a reader does not want is not sent."""
        stage, line = Stage(), Line()
        stage.chronicle.add(entry(1, "a"))
        stage.serve(line, wants=lambda each: each.kind == "a")
        stage.chronicle.add(entry(2, "b"))
        stage.chronicle.add(entry(3, "a"))
        assert line.data == ["entry 1", "entry 3"]

    def test_a_heartbeat(self) -> None:
        """Silence is broken now and then, but not for one who does not read."""
        stage, line = Stage(), Line()
        stage.serve(line)
        stage.clock.pump([HEARTBEAT_S] * 3)
        assert line.sent.count(b": still here\n\n") == 3
        slow = Line(room=1)
        stage.serve(slow)
        stage.clock.pump([HEARTBEAT_S] * 3)
        assert b"still here" not in slow.sent

    def test_a_client_that_goes(self) -> None:
        """A client that has gone leaves no stream and no timer behind."""
        stage, line = Stage(), Line()
        done = stage.serve(line)
        done.addErrback(lambda why: why.trap(CancelledError))
        done.cancel()
        sent = line.sent
        stage.chronicle.add(entry(1))
        assert line.sent == sent
        assert not stage.clock.getDelayedCalls()
        stage.readers.check("a")

    def test_the_end(self) -> None:
        """A stream that ends does so when its reader has taken all."""
        stage, line = Stage(), Line(room=1)
        done = stage.serve(line)
        stage.chronicle.add(entry(1))
        stage.chronicle.close()
        assert not done.called
        line.read()
        line.read()
        assert done.called
        assert line.data == ["entry 1"]

    def test_how_many(self) -> None:
        """A stream too many is refused, until another ends."""
        stage = Stage(most=2)
        stage.serve(Line())
        second = stage.serve(Line())
        with pytest.raises(Overloaded):
            stage.readers.check("a")
        second.addErrback(lambda why: why.trap(CancelledError))
        second.cancel()
        stage.readers.check("a")

    def test_fair(self) -> None:
        """The caller with most of the streams gives way to one who has few, also where he reads nothing."""
        stage = Stage(most=4)
        lines = [Line(room=1) for _ in range(4)]
        theirs = [stage.serve(line) for line in lines]
        stage.chronicle.add(entry(1))
        ours = []
        for _ in range(2):
            stage.readers.check("b")
            ours.append(stage.serve(Line(), "b"))
        assert [each.called for each in theirs] == [False, False, True, True]
        assert b"others want to read" in lines[3].sent
        for caller in ("a", "b"):
            with pytest.raises(Overloaded):
                stage.readers.check(caller)
        stage.chronicle.close()
        assert [each.called for each in ours] == [True, True]


class ChronicleTests:
    """Entries that are kept for readers who come later."""

    def test_bounds(self) -> None:
        """The entries that are kept are bounded in number, and in length together."""
        chronicle = EventHistory(10, 100)
        for number in range(50):
            chronicle.add(entry(number))
        assert [each.identifier for each in chronicle.entries] == [f"{number:06}" for number in range(40, 50)]
        chronicle.add(FeedEntry("000050", "x" * 95))
        assert len(chronicle.entries) == 1
        chronicle.add(FeedEntry("000051", "x" * 1000))
        assert [each.identifier for each in chronicle.after("000049")] == ["000051"]
