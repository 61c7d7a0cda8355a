"""The nodes of the servers' own tasks in the modern era, whose ids are the servers' and name no node."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.bounded import Bounded
from mcpgateway.cluster.membership import Member, Membership
from mcpgateway.cluster.part import NodePart
from mcpgateway.cluster.store import Store
from mcpgateway.errors import StoreLost

TASK = "task"
KNOWN_LIMIT = 20_000
OWED_LIMIT = 10_000
KEPT_DAYS = 1
TIDY_TICKS = 3600
AGAIN_S = 0.5  # until a task that the store does not have is looked for once more

_NOTE = """
    INSERT INTO places (kind, id, node, principal, until)
    VALUES (%s, %s, %s, %s, now() + %s * interval '1 day')
    ON CONFLICT (kind, id) DO UPDATE SET node = excluded.node, principal = excluded.principal, until = excluded.until"""
_FIND = "SELECT node FROM places WHERE kind = %s AND id = %s AND principal = %s AND until > now()"
_TIDY = "DELETE FROM places WHERE until < now()"


class Places(NodePart):
    """The nodes of tasks: this node's own are written once for each, and those of others are asked for once."""

    log = Logger()

    def __init__(self, reactor: Any, store: Store, membership: Membership) -> None:
        self._reactor = reactor
        self._store = store
        self._membership = membership
        self._known: Bounded[tuple[str, str], bytes] = Bounded(KNOWN_LIMIT)
        self._owed: Bounded[tuple[str, str], None] = Bounded(OWED_LIMIT)
        self._is_writing = False
        self._ticks = 0

    def begun(self, task: str, principal: str) -> None:
        """Note that a server of this node has begun a task."""
        self._known[task, principal] = self._membership.me.octets
        self._owed[task, principal] = None
        self._write()

    def find(self, task: str, principal: str) -> Deferred[Member | None]:
        """Return the other live node that has a principal's task; None where this one serves the request."""
        known = self._known.get((task, principal))
        if known is not None:
            return succeed(self._membership.other(known))

        def look(cursor: Any) -> bytes | None:
            cursor.execute(_FIND, (TASK, task, principal))
            row = cursor.fetchone()
            return bytes(row[0]) if row is not None else None

        def found(octets: bytes | None) -> Member | None:
            if octets is None:
                return None
            self._known[task, principal] = octets
            return self._membership.other(octets)

        def again(octets: bytes | None) -> Any:
            # The node of a task that has just begun may still be writing it.
            return octets or deferLater(self._reactor, AGAIN_S, lambda: self._store.run(look))

        return self._store.run(look).addCallback(again).addCallbacks(found, _nowhere)

    # The part of the node

    def tick(self) -> None:
        """Write what could not be written before; called once a second."""
        self._ticks += 1
        if self._owed:
            self._write()
        if self._ticks % TIDY_TICKS == 0:
            self._store.run(lambda cursor: cursor.execute(_TIDY)).addErrback(self._failed)

    def _write(self) -> None:
        if self._is_writing:
            return
        self._is_writing = True
        owed, node = list(self._owed), self._membership.me.octets
        rows = [(TASK, task, node, principal, KEPT_DAYS) for task, principal in owed]
        written = self._store.run(lambda cursor: cursor.executemany(_NOTE, rows))
        written.addCallback(lambda _: self._written(owed)).addErrback(self._failed)
        written.addBoth(self._ended)

    def _written(self, owed: list[tuple[str, str]]) -> None:
        for each in owed:
            self._owed.pop(each, None)

    def _ended(self, _: Any) -> None:
        self._is_writing = False

    def _failed(self, why: Failure) -> None:
        if why.check(StoreLost) is None:
            self.log.failure("the places of tasks could not be written", why, event="cluster.places_failed")


def _nowhere(why: Failure) -> None:
    why.trap(StoreLost)  # the request is served here, as if the task were unknown
