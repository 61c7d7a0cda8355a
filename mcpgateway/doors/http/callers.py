"""Who is at the other end of a connection, found out once when it begins."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from attrs import evolve, frozen
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.logger import Logger

from mcpgateway.host import peers
from mcpgateway.host.peers import Peer, PeersUnknown
from mcpgateway.rules.access import Reach

ROOT = 0


@frozen
class Caller:
    """The other end of one connection.

    :ivar pid: its process, where the kernel tells it at once (Unix sockets); else 0.
    :ivar inode: its socket's number, by which its process can be found; else 0.
    """

    address: IAddress
    reach: Reach
    pid: int = 0
    inode: int = 0


Introduce = Callable[[Any], Caller]


def by_address(transport: Any) -> Caller:
    """Who calls, as far as the address of the connection tells."""
    address = transport.getPeer()
    return Caller(address, _reach_of(address))


class Callers:
    """Asks the kernel about the callers on this machine; about 25 µs for each connection.

    Root may come in, as it may do anything else.  Where the kernel tells nothing (macOS), everybody on the machine may.

    :param trusts_others: whether other users of this machine are let in as we are.
    """

    log = Logger()

    def __init__(
        self,
        *,
        trusts_others: bool,
        user: int | None = None,
        peer_of: Callable[[tuple[str, int], tuple[str, int]], Peer | None] = peers.peer_of,
    ) -> None:
        self._trusted = {ROOT, os.geteuid() if user is None else user}
        self._trusts_others = trusts_others
        self._peer_of = peer_of

    def adopt(self, *, trusts_others: bool) -> None:
        """Let other users in from now on, or not."""
        self._trusts_others = trusts_others

    def __call__(self, transport: Any) -> Caller:
        """Who calls on a connection that has just been accepted."""
        caller = by_address(transport)
        if caller.reach is Reach.SOCKET:
            found = peers.credentials(transport.getHandle())
            return caller if found is None else evolve(caller, pid=found[0])
        if caller.reach is Reach.LOOPBACK:
            return self._neighbour(caller, transport.getHost())
        return caller

    def _neighbour(self, caller: Caller, here: Any) -> Caller:
        there: Any = caller.address
        try:
            peer = self._peer_of((here.host, here.port), (there.host, there.port))
        except PeersUnknown:
            return caller
        # Whoever has hung up already cannot be told from anybody else.
        if peer is not None and peer.inode and (self._trusts_others or peer.uid in self._trusted):
            return evolve(caller, inode=peer.inode)
        if self._trusts_others:
            return caller
        self.log.debug("a caller is another user of this machine, or gone", event="caller.stranger")
        return evolve(caller, reach=Reach.OTHER_USER)


def _reach_of(address: IAddress) -> Reach:
    if isinstance(address, IPv4Address):
        return Reach.LOOPBACK if address.host.startswith("127.") else Reach.REMOTE
    if isinstance(address, IPv6Address):
        near = address.host == "::1" or address.host.startswith("::ffff:127.")
        return Reach.LOOPBACK if near else Reach.REMOTE
    return Reach.SOCKET if isinstance(address, UNIXAddress) else Reach.REMOTE
