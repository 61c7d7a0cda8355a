from __future__ import annotations

from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionLost
from twisted.internet.tcp import Server

from mcpgateway.frontends.http.write_buffer import STREAM_BACKLOG_LIMIT, WriteBuffer
from mcpgateway.policy.fair_memory import ROOM_BYTES, FairMemory
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

    def __init__(self, peer: str = "one") -> None:
        self.peer = peer
        self.times = 0
        self.is_aborted = False

    def drained(self) -> None:
        self.times += 1

    def abort(self) -> None:
        self.is_aborted = True


def outlet_on(takes: int, *, is_secure: bool = False) -> tuple[WriteBuffer, NakedTransport]:
    transport = NakedTransport(takes)
    return WriteBuffer(Owner(), transport, FairMemory(), is_secure=is_secure), transport


class SendingAtOnceTests:
    def test_does_not_wait_for_the_reactor(self) -> None:
        """The bytes that the socket takes are sent within the call."""
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

    def __init__(self, room: FairMemory, peer: str = "one") -> None:
        self.owner = Owner(peer)
        self.transport = MemoryTransport(reads=False)
        self.outlet = WriteBuffer(self.owner, self.transport, room, is_secure=False)
        self.transport.registerProducer(self.outlet, True)

    def read_all(self) -> bytes:
        while self.transport.queued:
            self.transport.read()
        return self.transport.taken


class BacklogTests:
    """The cost of slow readers."""

    def test_is_counted_until_it_is_taken(self) -> None:
        """The bytes that a reader is behind count, in the transport as beyond it, until it has taken them."""
        room = FairMemory()
        one, other = Reader(room), Reader(room)
        assert one.outlet.write_stream(b"a" * 1000)
        assert room.used == 0, "there is room in the transport"
        for letter in (b"b", b"c", b"d"):
            assert one.outlet.write_stream(letter * 300_000)
        assert other.outlet.write_stream(b"x" * 300_000)
        assert room.used == 1_200_000
        one.transport.read()
        assert room.used == 900_000
        assert one.read_all() == b"a" * 1000 + b"".join(each * 300_000 for each in (b"b", b"c", b"d"))
        assert one.owner.times == 1
        assert room.used == 300_000
        other.outlet.clear()
        assert room.used == 0

    def test_together(self) -> None:
        """Many readers together are bounded: those of the greediest peer are cut off, and no other's."""
        room = FairMemory(8_000_000)
        near, far = Reader(room, "near"), [Reader(room, "far") for _ in range(60)]
        assert near.outlet.write_stream(b"x" * 100_000)
        for _ in range(200):
            for each in far:
                if not each.owner.is_aborted:
                    each.outlet.write_stream(bytes(20_000))
                assert room.used <= room.limit
        assert not near.owner.is_aborted
        assert 0 < sum(each.owner.is_aborted for each in far) < len(far)
        assert room.used > room.limit // 2
        for each in (near, *far):
            each.outlet.clear()
        assert room.used == 0

    def test_answers(self) -> None:
        """Whole answers that are not taken count too; of the peer that has most of the room no large one is begun."""
        room = FairMemory(8_000_000)
        greedy = [Reader(room, "greedy") for _ in range(3)]
        for each in greedy[:2]:
            assert not each.outlet.is_too_much(3_000_000)
            each.outlet.write_answer(b"head", bytes(3_000_000))
        assert room.used == 6_000_000
        assert greedy[2].outlet.is_too_much(3_000_000)
        assert not greedy[2].outlet.is_too_much(1000)
        modest = Reader(room, "modest")
        assert not modest.outlet.is_too_much(3_000_000)
        modest.outlet.write_answer(b"head", bytes(3_000_000))
        assert not modest.owner.is_aborted
        assert [each.owner.is_aborted for each in greedy] == [True, False, False]
        modest.read_all()
        assert room.used == 3_000_000

    def test_a_reader_that_keeps_up(self) -> None:
        """A reader that takes what it is told is never behind, however much that is."""
        room = FairMemory()
        reader = Reader(room)
        reader.transport.reads = True
        for _ in range(50):
            assert reader.outlet.write_stream(bytes(200_000))
            assert room.used == 0
        assert len(reader.transport.taken) == 50 * 200_000

    def test_the_answer(self) -> None:
        """The last part of a stream reaches a slow reader however large it is, as long as there is room."""
        room = FairMemory()
        slow = Reader(room)
        answer = bytes(ROOM_BYTES // 2)
        while room.used < STREAM_BACKLOG_LIMIT:
            assert slow.outlet.write_stream(b"x" * 100_000)
        slow.outlet.write_last(answer)
        assert not slow.owner.is_aborted
        assert room.used > ROOM_BYTES // 2
        assert slow.read_all() == b"x" * 4_200_000 + answer
        assert slow.owner.times == 1
        assert not slow.outlet.is_behind
        assert room.used == 0

    def test_nothing_is_kept_for_who_has_gone(self) -> None:
        """A reader that was cut off, or has gone, is owed nothing any more."""
        room = FairMemory()
        reader = Reader(room)
        for _ in range(3):
            reader.outlet.write_stream(bytes(100_000))
        reader.outlet.write_last(b"the answer")
        reader.outlet.give_way()
        assert reader.owner.is_aborted
        assert room.used == 0
        reader.transport.read()
        assert reader.transport.queued == b""
        assert room.used == 0
        reader.outlet.clear()
        reader.outlet.give_way()
        assert room.used == 0
