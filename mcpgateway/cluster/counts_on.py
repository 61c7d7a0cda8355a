"""On which nodes a change counts."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from mcpgateway.cluster.membership import LEFT, Membership
from mcpgateway.cluster.store import Store
from mcpgateway.errors import StoreLost
from mcpgateway.records import FrozenRecord

LIMIT_S = 2.0
PAUSES_S = (0.01, 0.02, 0.05, 0.1, 0.2)  # between two looks; the last is repeated


class CountsOn(FrozenRecord, frozen=True):
    """The nodes on which a change counts.

    :ivar nodes: the names of those that have said so.
    :ivar unknown: the names of the other live nodes, which read it as soon as they can.
    """

    nodes: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def shown(self) -> dict[str, Any]:
        """Return the members for an answer."""
        found: dict[str, Any] = {"counts_on": list(self.nodes), "unknown": list(self.unknown)}
        if self.unknown:
            found["hint"] = f"not known yet at {', '.join(self.unknown)}, which learn of it from the store"
        return found


class Acknowledgements:
    """Waits until the live nodes have read a change.

    :param clock: the reactor.
    """

    def __init__(self, store: Store, membership: Membership, clock: Any) -> None:
        self._store = store
        self._membership = membership
        self._clock = clock

    def wait(self, number: int) -> Deferred[CountsOn]:
        """Fire when all live nodes have read up to a number, or after `LIMIT_S` seconds, with those that have."""
        return Deferred.fromCoroutine(self._wait(number))

    async def _wait(self, number: int) -> CountsOn:
        began, looks = self._clock.seconds(), 0
        while True:
            try:
                rows = await self._store.run(lambda cursor: _live(cursor, number))
            except StoreLost:
                rows = [(each.name, False) for each in self._membership.live()]
            found = CountsOn(
                tuple(name for name, has_read in rows if has_read),
                tuple(name for name, has_read in rows if not has_read),
            )
            if not found.unknown or self._clock.seconds() - began >= LIMIT_S:
                return found
            await deferLater(self._clock, PAUSES_S[min(looks, len(PAUSES_S) - 1)])
            looks += 1


def _live(cursor: Any, number: int) -> list[tuple[str, bool]]:
    # By the store's clock: this node learns of one that has just joined a few seconds later.
    cursor.execute(
        "SELECT name, read >= %s FROM nodes WHERE until > clock_timestamp() AND state <> %s ORDER BY name",
        (number, LEFT),
    )
    rows: list[tuple[str, bool]] = cursor.fetchall()
    return rows
