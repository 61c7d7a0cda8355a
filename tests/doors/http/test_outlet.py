from __future__ import annotations

from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionLost
from twisted.internet.tcp import Server

from mcpgateway.doors.http.outlet import BACKLOGS_LIMIT, STREAM_BACKLOG_LIMIT, Backlogs, Outlet
from tests.support.doors import MemoryTransport


class NakedTransport(Server):
    """Twisted's own server transport on no socket: the kernel takes `room` bytes."""

    def __init__(self, room: int) -> None:
        FileDescriptor.__init__(self, self)
        self.connected = True
        self.room = room
        self.sent = b""

    def addWriter(self, writer: Any) -> None:
        pass

    def removeWriter(self, writer: Any) -> None:
        pass

    def writeSomeData(self, data: bytes) -> Any:
        if self.room < 0:
            return ConnectionLost()
        piece = bytes(data)[: self.room]
        self.sent += piece
        self.room -= len(piece)
        return len(piece)

    def __repr__(self) -> str:
        return "<NakedTransport>"


class Owner:
    """Counts how often it hears that everything has left, and whether it is to end."""

    def __init__(self) -> None:
        self.times = 0
        self.is_aborted = False

    def drained(self) -> None:
        self.times += 1

    def abort(self) -> None:
        self.is_aborted = True


def outlet_on(room: int, *, is_secure: bool = False) -> tuple[Outlet, NakedTransport]:
    transport = NakedTransport(room)
    return Outlet(Owner(), transport, Backlogs(), is_secure=is_secure), transport


class SendingAtOnceTests:
    def test_does_not_wait_for_the_reactor(self) -> None:
        """What the socket takes is sent within the call."""
        outlet, transport = outlet_on(100)
        outlet.write(b"hello")
        assert transport.sent == b"hello"

    def test_queues_what_the_socket_does_not_take(self) -> None:
        """The rest leaves in order when there is room again, and nothing overtakes it."""
        outlet, transport = outlet_on(3)
        outlet.write(b"hello")
        assert transport.sent == b"hel"
        transport.room = 100
        outlet.write(b" world")
        assert transport.sent == b"hel"
        transport.doWrite()
        assert transport.sent == b"hello world"
        outlet.write(b"!")
        assert transport.sent == b"hello world!"

    def test_leaves_a_lost_connection_to_the_transport(self) -> None:
        """An error of the socket is found by the transport, which tells the protocol."""
        outlet, transport = outlet_on(-1)
        outlet.write(b"hello")
        assert isinstance(transport.doWrite(), ConnectionLost)

    def test_never_passes_tls_by(self) -> None:
        """On a secure connection nothing is sent on the socket itself."""
        outlet, transport = outlet_on(100, is_secure=True)
        outlet.write(b"secret")
        assert transport.sent == b""

    def test_does_not_copy_a_large_body(self) -> None:
        """The transport is handed the very object, which its queue keeps as it is."""
        outlet, transport = outlet_on(1000)
        body = b"x" * 1_000_000
        outlet.write_answer(b"head", body)
        assert transport.sent == b"head"
        transport.doWrite()
        assert transport.dataBuffer is body


class Reader:
    """A client that reads when the test says so, and what it is told."""

    def __init__(self, backlogs: Backlogs) -> None:
        self.owner = Owner()
        self.transport = MemoryTransport(reads=False)
        self.outlet = Outlet(self.owner, self.transport, backlogs, is_secure=False)
        self.transport.registerProducer(self.outlet, True)

    def read_all(self) -> bytes:
        while self.transport.queued:
            self.transport.read()
        return self.transport.taken


class BacklogTests:
    """What slow readers cost."""

    def test_is_counted_until_it_is_taken(self) -> None:
        """What a reader is behind counts, in the transport as beyond it, until it has taken it."""
        backlogs = Backlogs()
        one, other = Reader(backlogs), Reader(backlogs)
        assert one.outlet.write_stream(b"a" * 1000)
        assert backlogs.used == 0, "there is room in the transport"
        for letter in (b"b", b"c", b"d"):
            assert one.outlet.write_stream(letter * 300_000)
        assert other.outlet.write_stream(b"x" * 300_000)
        assert backlogs.used == 1_200_000
        one.transport.read()
        assert backlogs.used == 900_000
        assert one.read_all() == b"a" * 1000 + b"".join(each * 300_000 for each in (b"b", b"c", b"d"))
        assert one.owner.times == 1
        assert backlogs.used == 300_000
        other.outlet.clear()
        assert backlogs.used == 0

    def test_together(self) -> None:
        """Many readers together are bounded: those furthest behind are cut off, at the first byte too many."""
        backlogs = Backlogs()
        near, far = Reader(backlogs), [Reader(backlogs) for _ in range(60)]
        assert near.outlet.write_stream(b"x" * 100_000)
        for nth in range(200):
            for each in far:
                if not each.owner.is_aborted and not each.outlet.write_stream(bytes(20_000)):
                    assert each.owner.is_aborted, nth
                assert backlogs.used <= BACKLOGS_LIMIT
        assert not near.owner.is_aborted
        assert 0 < sum(each.owner.is_aborted for each in far) < len(far)
        assert backlogs.used > BACKLOGS_LIMIT // 2
        for each in (near, *far):
            each.outlet.clear()
        assert backlogs.used == 0

    def test_a_reader_that_keeps_up(self) -> None:
        """A reader that takes what it is told is never behind, however much that is."""
        backlogs = Backlogs()
        reader = Reader(backlogs)
        reader.transport.reads = True
        for _ in range(300):
            assert reader.outlet.write_stream(bytes(200_000))
            assert backlogs.used == 0
        assert len(reader.transport.taken) == 300 * 200_000

    def test_the_answer(self) -> None:
        """The last part of a stream reaches a slow reader however large it is, and costs nobody his connection."""
        backlogs = Backlogs()
        slow, others = Reader(backlogs), [Reader(backlogs) for _ in range(3)]
        answer = bytes(BACKLOGS_LIMIT)
        while backlogs.used < STREAM_BACKLOG_LIMIT:
            assert slow.outlet.write_stream(b"x" * 100_000)
        for each in (slow, *others):
            each.outlet.write_last(answer)
            assert not each.owner.is_aborted
        assert slow.read_all() == b"x" * 4_200_000 + answer
        assert slow.owner.times == 1
        assert not slow.outlet.is_behind

    def test_nothing_is_kept_for_who_has_gone(self) -> None:
        """A reader that was cut off, or has gone, is owed nothing any more."""
        backlogs = Backlogs()
        reader = Reader(backlogs)
        for _ in range(3):
            reader.outlet.write_stream(bytes(100_000))
        reader.outlet.write_last(b"the answer")
        reader.outlet.cut_off()
        assert reader.owner.is_aborted
        assert backlogs.used == 0
        reader.transport.read()
        assert reader.transport.queued == b""
        assert backlogs.used == 0
        reader.outlet.clear()
        reader.outlet.cut_off()
        assert backlogs.used == 0
