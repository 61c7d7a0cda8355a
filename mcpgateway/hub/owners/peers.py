"""The process at the other end of a local connection, for servers that keep state for each client process."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any
from weakref import WeakKeyDictionary

from twisted.internet.defer import Deferred

from mcpgateway.hub.sessions import Session

Claim = Callable[[Session, int, int], None]
"""Has the owner of a session found and watched (`mcpgateway.hub.owners.owners.Owners.claim`)."""

Holders = Callable[[Collection[int]], Deferred[dict[int, int]]]


class Neighbours:
    """Finds the client process once for each connection.

    :param holders: finds the process that holds each of some sockets (`mcpgateway.system.process.socket_owners`).
    """

    def __init__(self, holders: Holders) -> None:
        self._holders = holders
        self._found: WeakKeyDictionary[Any, int] = WeakKeyDictionary()

    def process(self, caller: Any) -> int | None:
        """Return the process of a caller, 0 if it cannot be known; None where `look_for` has to find it first.

        :param caller: the other end of a connection: its ``pid``, or the ``inode`` of its socket.
        """
        if caller.pid or not caller.inode:
            return int(caller.pid)
        return self._found.get(caller)

    def look_for(self, caller: Any) -> Deferred[None]:
        """Search for the process of a caller; fires when `process` returns it."""
        return self._holders({caller.inode}).addCallback(self._take, caller)

    def _take(self, found: dict[int, int], caller: Any) -> None:
        self._found[caller] = found.get(caller.inode, 0)


def unclaimed(session: Session, pid: int, inode: int) -> None:
    """Ignore the session: owners are not watched."""
