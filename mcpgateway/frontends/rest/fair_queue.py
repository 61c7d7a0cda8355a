"""Limit concurrent and waiting requests, with fair turns for the waiting callers.

# Note [Fair turns]
A caller with a thousand requests must not delay another's only one: callers take turns, and when the queue is full the
caller with the most waiting requests loses its last place to a caller with fewer.  And since a call of a tool may take
minutes, no caller may have all running places: otherwise no other request could be served meanwhile, not even the
revocation of that caller's token.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Coroutine
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from mcpgateway.config.gateway_settings import Limits
from mcpgateway.errors import Overloaded
from mcpgateway.units import duration

SHARE = 9  # a caller may have this multiple of the places left for others: 91 of 100

Work = Callable[[], Coroutine[Any, Any, Any]]


@define(eq=False, repr=False)
class FairQueue:
    """Runs a bounded number of requests at once, and lets a bounded number wait.

    :ivar limits: the current bounds.
    """

    limits: Callable[[], Limits]
    _clock: IReactorTime
    _running: Counter[str] = field(factory=Counter, init=False)
    _waiting: dict[str, deque[Deferred[None]]] = field(factory=dict, init=False)

    def shown(self) -> dict[str, int]:
        """Return the numbers of running and waiting requests."""
        return {"running": self._running.total(), "waiting": sum(map(len, self._waiting.values()))}

    async def take(self, caller: str, work: Work) -> Any:
        """Run a request's work when its turn has come.

        :raise Overloaded: too many requests wait already, or this one has waited too long.
        """
        limits = self.limits()
        if not self._may_begin(caller, limits):
            await self._queued(caller, limits)
        else:
            self._running[caller] += 1
        try:
            return await work()
        finally:
            self._free(caller)

    def _may_begin(self, caller: str, limits: Limits) -> bool:
        left = limits.concurrent - self._running.total()
        return left > 0 and self._running[caller] <= SHARE * left

    def _queued(self, caller: str, limits: Limits) -> Deferred[None]:
        if sum(map(len, self._waiting.values())) >= limits.backlog:
            self._make_room(caller, limits)
        turn: Deferred[None] = Deferred(lambda _: self._forget(caller, turn))
        self._waiting.setdefault(caller, deque()).append(turn)
        turn.addTimeout(limits.wait_s, self._clock, onTimeoutCancel=_too_late)
        return turn

    def _make_room(self, caller: str, limits: Limits) -> None:
        own = len(self._waiting.get(caller, ()))
        greediest = max(self._waiting, key=lambda each: len(self._waiting[each]), default=caller)
        full = Overloaded(
            f"{limits.concurrent} requests are under way and {limits.backlog} wait", "try again in a moment"
        )
        if greediest == caller or len(self._waiting[greediest]) <= own + 1:
            raise full
        last = self._waiting[greediest][-1]
        self._forget(greediest, last)
        last.errback(full)

    def _forget(self, caller: str, turn: Deferred[None]) -> None:
        queue = self._waiting.get(caller)
        if queue is not None and turn in queue:
            queue.remove(turn)
            if not queue:
                del self._waiting[caller]

    def _free(self, former: str) -> None:
        self._running[former] -= 1
        if not self._running[former]:
            del self._running[former]
        limits = self.limits()
        caller = next((each for each in self._waiting if self._may_begin(each, limits)), None)
        if caller is None:
            return
        self._running[caller] += 1
        queue = self._waiting.pop(caller)
        turn = queue.popleft()
        if queue:
            self._waiting[caller] = queue  # last in the round
        turn.callback(None)


def _too_late(_: object, limit_s: float) -> None:
    raise Overloaded(f"it was not its turn within {duration(limit_s)}", "try again in a moment")
