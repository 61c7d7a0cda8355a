from __future__ import annotations

from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionLost
from twisted.internet.tcp import Server

from mcpgateway.doors.http.outlet import Outlet


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
    """Counts how often it hears that everything has left."""

    def __init__(self) -> None:
        self.times = 0

    def drained(self) -> None:
        self.times += 1


def outlet_on(room: int, *, is_secure: bool = False) -> tuple[Outlet, NakedTransport]:
    transport = NakedTransport(room)
    return Outlet(Owner(), transport, is_secure=is_secure), transport


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
