"""The sessions of a node, as a part that agrees with the other nodes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mcpgateway.cluster.homes import Homes
from mcpgateway.cluster.membership import Membership
from mcpgateway.cluster.part import NodePart
from mcpgateway.cluster.session_store import SessionStore
from mcpgateway.cluster.store import Store
from mcpgateway.errors import StoreLost

FLOOR_S = 60
KEPT_DAYS = 7  # for the row of a session that has ended, or that was silent
PRUNED = 1000  # rows at once
_PRUNE = """
    WITH gone AS (
        DELETE FROM sessions WHERE serial IN (
            SELECT serial FROM sessions WHERE seen < now() - %(days)s * interval '1 day' ORDER BY seen LIMIT %(rows)s)
        RETURNING issued, ended)
    UPDATE marks SET value = greatest(value, coalesce((SELECT max(issued) FROM gone WHERE ended), 0))
    WHERE name = 'floor' RETURNING value"""


class NodeSessions(NodePart):
    """The sessions of a node.

    :ivar homes: the nodes of all sessions.
    """

    def __init__(
        self,
        store: Store,
        membership: Membership,
        sessions: SessionStore,
        let_go: Callable[[Collection[bytes]], None],
    ) -> None:
        self.homes = Homes(store, membership, sessions)
        self.homes.lost = let_go
        self._store = store
        self._membership = membership
        self._sessions = sessions
        self._ticks = 0
        membership.on_return.append(self._returned)

    def begin(self) -> None:
        """Learn the floor of the store."""
        self._tidy()

    def tick(self) -> None:
        """Remove old rows now and then, one node at a time; called once a second."""
        self._ticks += 1
        if self._ticks % FLOOR_S == 0:
            self._tidy()

    def close(self) -> Deferred[None]:
        """Write what waits."""
        return self._sessions.flush()

    def _tidy(self) -> None:
        first = next((each for each in self._membership.live()), self._membership.me)
        prunes = first.octets == self._membership.me.octets

        def work(cursor: Any) -> int:
            if prunes:
                cursor.execute(_PRUNE, {"days": KEPT_DAYS, "rows": PRUNED})
            else:
                cursor.execute("SELECT value FROM marks WHERE name = 'floor'")
            found: int = cursor.fetchone()[0]
            return found

        self._store.run(work).addCallbacks(self._sessions.raise_floor, _forgive)

    def _returned(self) -> None:
        # Others may have taken sessions while this node did not count.
        self.homes.lost_of(list(self._sessions.held)).addErrback(_forgive)


def _forgive(why: Failure) -> None:
    why.trap(StoreLost)
