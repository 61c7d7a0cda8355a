"""Which process of this machine is at the other end of a connection, for servers that keep state for each."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any
from weakref import WeakKeyDictionary

from twisted.internet.defer import Deferred

from mcpgateway.hub.sessions import Session

Claim = Callable[[Session, int, int], None]
"""Has the process that a session belongs to watched (`mcpgateway.hub.owners.owners.Owners.claim`)."""

Holders = Callable[[Collection[int]], Deferred[dict[int, int]]]


class Neighbours:
    """Finds them once for each connection.

    :param holders: which process holds each of some sockets (`mcpgateway.system.process.socket_owners`).
    """

    def __init__(self, holders: Holders) -> None:
        self._holders = holders
        self._found: WeakKeyDictionary[Any, int] = WeakKeyDictionary()

    def process(self, caller: Any) -> int | None:
        """The process that calls, 0 if it cannot be known; None where it has to be looked for first (`look_for`).

        :param caller: the other end of a connection: its ``pid``, or the ``inode`` of its socket.
        """
        if caller.pid or not caller.inode:
            return int(caller.pid)
        return self._found.get(caller)

    def look_for(self, caller: Any) -> Deferred[None]:
        """Fires when `process` knows."""
        return self._holders({caller.inode}).addCallback(self._take, caller)

    def _take(self, found: dict[int, int], caller: Any) -> None:
        self._found[caller] = found.get(caller.inode, 0)


def unclaimed(session: Session, pid: int, inode: int) -> None:
    """Nobody watches over owners."""
