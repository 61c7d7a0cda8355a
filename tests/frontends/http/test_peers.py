"""Peers at the other end of a connection."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from mcpgateway.frontends.http.peers import Callers, HttpPeer, by_address
from mcpgateway.policy.access import Reach
from mcpgateway.system.process.peers import Peer, PeersUnknown
from tests.support.gateway_in_memory import MemoryGateway

USER = 1000


class Transport:
    """A connection between two addresses."""

    def __init__(self, there: Any, handle: Any = None) -> None:
        self.there = there
        self.handle = handle

    def getPeer(self) -> Any:
        return self.there

    def getHost(self) -> Any:
        return IPv4Address("TCP", "127.0.0.1", 9100)

    def getHandle(self) -> Any:
        return self.handle


LOCAL = IPv4Address("TCP", "127.0.0.1", 40000)


def introduced(found: Peer | Exception | None, *, trusts_others: bool = False) -> HttpPeer:
    """The caller of a connection on loopback, when the kernel says this of its peer."""

    def peer_of(local: tuple[str, int], remote: tuple[str, int]) -> Peer | None:
        assert (local, remote) == (("127.0.0.1", 9100), ("127.0.0.1", 40000))
        if isinstance(found, Exception):
            raise found
        return found

    return Callers(trusts_others=trusts_others, user=USER, peer_of=peer_of)(Transport(LOCAL))


class AddressTests:
    """The reach that an address tells."""

    @pytest.mark.parametrize(
        ("address", "reach"),
        [
            (LOCAL, Reach.LOOPBACK),
            (IPv4Address("TCP", "127.9.9.9", 1), Reach.LOOPBACK),
            (IPv4Address("TCP", "192.168.1.2", 1), Reach.REMOTE),
            (IPv4Address("TCP", "12.7.0.0", 1), Reach.REMOTE),
            (IPv6Address("TCP", "::1", 1), Reach.LOOPBACK),
            (IPv6Address("TCP", "::ffff:127.0.0.1", 1), Reach.LOOPBACK),
            (IPv6Address("TCP", "::ffff:10.0.0.1", 1), Reach.REMOTE),
            (IPv6Address("TCP", "fe80::1", 1), Reach.REMOTE),
            (UNIXAddress(None), Reach.SOCKET),
            (object(), Reach.REMOTE),
        ],
    )
    def test_reach(self, address: Any, reach: Reach) -> None:
        """Loopback in all its spellings, Unix sockets, and everything else is remote."""
        assert by_address(Transport(address)) == HttpPeer(address, reach)


class NeighbourTests:
    """Callers on this machine."""

    @pytest.mark.parametrize("uid", [0, USER])
    def test_ours(self, uid: int) -> None:
        """Our own user and root come in; the socket will tell the process."""
        assert introduced(Peer(uid, 5)) == HttpPeer(LOCAL, Reach.LOOPBACK, inode=5)

    @pytest.mark.parametrize("found", [Peer(1001, 5), Peer(0, 0), Peer(USER, 0), None])
    def test_others(self, found: Peer | None) -> None:
        """A process of another user does not come in, nor one that hung up before its user could be told."""
        assert introduced(found).reach is Reach.OTHER_USER

    @pytest.mark.parametrize(("found", "inode"), [(Peer(1001, 5), 5), (Peer(0, 0), 0), (None, 0)])
    def test_where_they_are_trusted(self, found: Peer | None, inode: int) -> None:
        """With ``trust_other_users`` they all do."""
        assert introduced(found, trusts_others=True) == HttpPeer(LOCAL, Reach.LOOPBACK, inode=inode)

    def test_where_nobody_can_tell(self) -> None:
        """A machine that does not tell its users apart lets them all in."""
        assert introduced(PeersUnknown()) == HttpPeer(LOCAL, Reach.LOOPBACK)

    def test_a_unix_socket(self) -> None:
        """A Unix socket can be reached by its owner only, and the kernel names the process."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            caller = Callers(trusts_others=False)(Transport(UNIXAddress(None), ours))
        assert caller.reach is Reach.SOCKET
        assert caller.inode == 0


class RefusalTests:
    """Refusals of strangers on this machine."""

    def test_a_stranger(self) -> None:
        """A stranger's request is refused with 403 and the setting's name, a wrong token with 401; the right
        one opens.
        """
        gateway = MemoryGateway()
        gateway.factory.shared.introduce = lambda transport: HttpPeer(transport.getPeer(), Reach.OTHER_USER)
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        for path in ("/shared/mcp", "/health", "/nothing"):
            answer = gateway.client().ask(ping, path=path)
            assert answer.status == 403
            assert b"trust_other_users" in answer.body
        assert gateway.client(Authorization="Bearer wrong").ask(ping).status == 401
        assert gateway.client(Authorization="Bearer bearer-token").ask(ping).status == 200
        assert gateway.launcher.children == []
