"""Since when each need is there, and the news that needs have come or gone.

# Note [When it looks]
What the gateway's user has to do is computed on request, which costs something at each server.  So this module looks
only while somebody follows the events: a moment after events that may change it, and when a reader asks anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mcpgateway.observe.event_feed import EventHistory, FeedEntry
from mcpgateway.records import Record

SETTLE_S = 0.5  # a burst of events is one look
CAUSES = ("server.", "config.", "clients.", "gateway.", "login.")
"""The beginnings of the names of events after which needs may be others."""


class Attention(Record):
    """Knows the needs of the latest look.

    :ivar look: finds the present needs and tells `dated` of them; set before the first use.
    """

    _events: EventHistory
    _clock: IReactorTime
    look: Callable[[], object] | None = None
    _since: dict[str, float] | None = None  # None: nobody has looked yet
    _followers: int = 0
    _leave: Callable[[], None] | None = None
    _later: Any = None

    log = Logger()

    def dated(self, needs: Mapping[str, float]) -> Mapping[str, float]:
        """Return the time since when each of the present needs is there, in epoch seconds; tell if they are others.

        :param needs: the time for each that is new, by the ids of the needs.
        """
        known, self._since = self._since, {}
        for name, at in needs.items():
            self._since[name] = known[name] if known and name in known else at
        if known is not None and known.keys() != needs.keys():
            came, went = needs.keys() - known.keys(), known.keys() - needs.keys()
            self.log.info(
                "what needs the user has changed: {came} new, {went} settled, {number} in all",
                event="attention.changed",
                came=len(came),
                went=len(went),
                number=len(needs),
            )
        return self._since

    def begin(self) -> Callable[[], None]:
        """Look after events from now on, for one more follower; return what ends that."""
        self._followers += 1
        if self._leave is None:
            self._leave = self._events.follow(self)
            if self._since is None:
                self._soon()
        return self._end

    def _end(self) -> None:
        self._followers -= 1
        if not self._followers and self._leave is not None:
            self._leave()
            self._leave = None

    def added(self, entry: FeedEntry) -> None:
        """Look soon, if the event may have changed what is needed."""
        if entry.kind.startswith(CAUSES):
            self._soon()

    def ended(self) -> None:
        """Note the end of the feed."""
        self._leave = None

    def _soon(self) -> None:
        if self._later is None and self.look is not None:
            self._later = self._clock.callLater(SETTLE_S, self._look)

    def _look(self) -> None:
        self._later = None
        if self._leave is None or self.look is None:
            return
        try:
            self.look()
        except Exception:  # noqa: BLE001 - nobody waits for it
            self.log.failure("what needs the user cannot be found")
