"""Identify the peer of a connection, once, when the connection begins."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Hashable, Iterable
from socket import MSG_DONTWAIT, MSG_PEEK
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.logger import Logger

from mcpgateway.policy.access import Reach
from mcpgateway.policy.login_throttle import place_of
from mcpgateway.system.process import peers, socket_owners
from mcpgateway.system.process.peers import Peer, PeersUnknown

ROOT = 0


class HttpPeer(Struct, frozen=True, weakref=True):
    """The other end of a connection.

    :ivar pid: its process, if the kernel reports it with the connection (Unix sockets); else 0.
    :ivar inode: its socket's number, by which its process can be found; else 0.
    :ivar node: the node of the cluster that has passed its request on; empty for a client itself.
    """

    address: IAddress
    reach: Reach
    pid: int = 0
    inode: int = 0
    node: str = ""


Introduce = Callable[[Any], HttpPeer]


def by_address(transport: Any) -> HttpPeer:
    """Return the caller of a connection by its address alone."""
    address = transport.getPeer()
    return HttpPeer(address, _reach_of(address))


class Callers:
    """Identifies callers on this machine through the kernel; about 25 µs for each connection.

    Root is accepted as the gateway's own user.  Where the kernel has no such information (macOS), every user is.

    :param trusts_others: other users of this machine are accepted as the gateway's own user.
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

    def configure(self, *, trusts_others: bool) -> None:
        """Accept other users of this machine from now on, or refuse them."""
        self._trusts_others = trusts_others

    def __call__(self, transport: Any) -> HttpPeer:
        """Return the caller of a new connection."""
        caller = by_address(transport)
        if caller.reach is Reach.SOCKET:
            found = peers.credentials(transport.getHandle())
            return caller if found is None else replace(caller, pid=found[0])
        if caller.reach is Reach.LOOPBACK:
            return self._neighbour(caller, transport.getHost())
        return caller

    def _neighbour(self, caller: HttpPeer, here: Any) -> HttpPeer:
        there: Any = caller.address
        try:
            peer = self._peer_of((here.host, here.port), (there.host, there.port))
        except PeersUnknown:
            return caller
        # A peer that has disconnected already cannot be identified.
        if peer is not None and peer.inode and (self._trusts_others or peer.uid in self._trusted):
            return replace(caller, inode=peer.inode)
        if self._trusts_others:
            return caller
        self.log.debug("a caller is another user of this machine, or gone", event="caller.stranger")
        return replace(caller, reach=Reach.OTHER_USER)


Find = Callable[[Collection[int]], Deferred[dict[int, int]]]
"""Finds the process that holds each of some sockets (`mcpgateway.system.process.socket_owners`)."""


class PeerGroups:
    """Groups the connections that hold memory: by programs of this machine, other machines, and principals.

    The process of a loopback connection is searched when memory becomes scarce; until it is known, all connections of
    unknown processes are one group.  When no memory is left, they are compared at once with the processes known by
    then.

    :param find: searches processes by their sockets; None: loopback connections are one group.
    :param sockets_of: returns the sockets of a process.
    """

    def __init__(
        self, find: Find | None = None, sockets_of: Callable[[int], set[int]] = socket_owners.sockets_of
    ) -> None:
        self._find = find
        self._sockets_of = sockets_of
        self._pids: dict[int, int] = {}
        self._is_looking = False

    def of(self, caller: HttpPeer, principal: str) -> Hashable:
        """Return the group that a caller's memory counts for."""
        if caller.reach is Reach.REMOTE:
            return "network", place_of(str(getattr(caller.address, "host", ""))), principal
        return "process", caller.pid or self._pids.get(caller.inode, 0), principal

    def look_for(self, callers: Iterable[HttpPeer]) -> None:
        """Search the processes of some connections, unless they are known or being searched."""
        if self._find is None or self._is_looking:
            return
        inodes = self._unknown(callers)
        if inodes:
            self._is_looking = True
            self._find(inodes).addBoth(self._found, inodes)

    def recognise(self, callers: Iterable[HttpPeer]) -> None:
        """Assign connections to processes that are known already, at once."""
        unknown = self._unknown(callers)
        for pid in set(self._pids.values()) if unknown else ():
            if pid:
                known = self._sockets_of(pid) & unknown
                self._pids.update(dict.fromkeys(known, pid))
                unknown -= known

    def _unknown(self, callers: Iterable[HttpPeer]) -> set[int]:
        return {each.inode for each in callers if each.inode and not each.pid} - self._pids.keys()

    def _found(self, found: Any, inodes: Collection[int]) -> None:
        self._is_looking = False
        if isinstance(found, dict):
            self._pids.update({each: found.get(each, 0) for each in inodes})

    def forget(self, caller: HttpPeer) -> None:
        """Forget a connection that has ended."""
        self._pids.pop(caller.inode, None)


def has_unread(transport: Any) -> bool:
    """Return whether the socket has received bytes that were not read yet."""
    connection = getattr(transport, "socket", None)
    if connection is None:
        return False
    try:
        return bool(connection.recv(1, MSG_PEEK | MSG_DONTWAIT))
    except OSError:
        return False


def _reach_of(address: IAddress) -> Reach:
    if isinstance(address, IPv4Address):
        return Reach.LOOPBACK if address.host.startswith("127.") else Reach.REMOTE
    if isinstance(address, IPv6Address):
        near = address.host == "::1" or address.host.startswith("::ffff:127.")
        return Reach.LOOPBACK if near else Reach.REMOTE
    return Reach.SOCKET if isinstance(address, UNIXAddress) else Reach.REMOTE
