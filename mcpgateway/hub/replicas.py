"""Several children of one shared slot, which take calls side by side.

# Note [What goes where]
Only plain calls of tools go to a replica, because they leave nothing behind.  All other requests (lists, reads,
subscriptions, tasks, levels) go to the slot that the sessions have, the home, whose child also starts first.  A replica
is started when all that run are busy, and closed when it has been idle for `IDLE_TICKS`.

# Note [A change is told once]
Each replica may announce that a list has changed.  Lists come from the home, so its announcement is passed on at once.
That of a replica waits for `ANNOUNCE_TICKS`: if the home announces the same change meanwhile, it is passed on once
only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from attrs import define, field

from mcpgateway.errors import GatewayError, HandshakeFailed, LaunchFailed
from mcpgateway.hub.filters import SinkFilter
from mcpgateway.interfaces import Request

if TYPE_CHECKING:
    from mcpgateway.hub.upstream import Upstream

IDLE_TICKS = 300  # how long an idle replica is kept
PAUSE_TICKS = 60  # the time without new replicas after a failed start
ANNOUNCE_TICKS = 2  # the time in which all children announce the same change


class _StartingReplica(SinkFilter):
    """Waits for a replica that has to be started first, and sends its call elsewhere if that fails."""

    _replicas: Replicas

    def failed(self, request: Request, why: GatewayError) -> None:
        """Send a call that was not sent to another child; pass any other error on."""
        request.sink = self.sink
        if isinstance(why, LaunchFailed | HandshakeFailed):
            self._replicas.elsewhere(request)
        else:
            request.sink.failed(request, why)


@define
class _Announcement:
    """A change that all children may announce.

    :ivar replicas: for a change that the home has announced, the replicas that have not; else those that have.
    :ivar left: ticks in which further announcements count as the same change.
    """

    replicas: set[Upstream]
    left: int = ANNOUNCE_TICKS


@define(eq=False, repr=False)
class Replicas:
    """The children of one slot; see Note [What goes where].

    :ivar home: the slot that the sessions have.
    """

    home: Upstream
    _limit: int
    _make: Callable[[int], Upstream]
    _let_go: Callable[[Upstream], None]
    _tell: Callable[[str], None]
    _others: dict[int, Upstream] = field(factory=dict)
    _idle: dict[int, int] = field(factory=dict)
    _pause_ticks: int = 0
    _announced: dict[str, _Announcement] = field(
        factory=dict
    )  # changes that the home has announced, by method
    _held: dict[str, _Announcement] = field(
        factory=dict
    )  # changes that only replicas have announced, by method

    def __iter__(self) -> Iterator[Upstream]:
        return iter(list(self._others.values()))

    def submit(self, request: Request) -> None:
        """Send a call to the child with the fewest calls, or to the one that has it from the former program."""
        awaiting = (each for each in (self.home, *self._others.values()) if each.awaits(request.arrived))
        slot = next(awaiting, None) or self._least()
        if slot is not self.home and slot.conversation is None:
            request.sink = _StartingReplica(request.sink, self)
        slot.submit(request)

    def holder(self, request: Request) -> Upstream | None:
        """Return the slot of the child that has a call."""
        return next((each for each in (self.home, *self) if request in each.calls()), None)

    def _least(self) -> Upstream:
        if self.home.conversation is None:
            return self.home
        # After a failed start only replicas that run get calls, for a while.
        others = (each for each in self._others.values() if each.is_up or not self._pause_ticks)
        least = min((self.home, *others), key=_load)
        if _load(least) and not self._pause_ticks and len(self._others) + 1 < self._limit:
            least = self.add(next(each for each in range(1, self._limit) if each not in self._others))
        return least

    def add(self, nth: int) -> Upstream:
        """Add a replica, or return the one of that number."""
        if nth not in self._others:
            self._others[nth] = self._make(nth)
        return self._others[nth]

    def elsewhere(self, request: Request) -> None:
        """Send a call, whose replica could not be started, to a child that runs."""
        self._pause_ticks = PAUSE_TICKS
        running = [each for each in self._others.values() if each.conversation is not None]
        min((self.home, *running), key=_load).submit(request)

    def tune(self) -> None:
        """Set the log levels of all replicas again, after a change of the sessions' levels."""
        for each in self._others.values():
            each.levels.tune()

    def is_news(self, slot: Upstream, method: str) -> bool:
        """True if a child's announcement of a change is to be passed on now; see Note [A change is told once]."""
        if slot is self.home:
            held = self._held.pop(method, _Announcement(set()))
            self._announced[method] = _Announcement(set(self._others.values()) - held.replicas)
            return True
        announced = self._announced.get(method)
        if announced is not None and slot in announced.replicas:
            announced.replicas.discard(slot)
        else:
            self._held.setdefault(method, _Announcement(set())).replicas.add(slot)
        return False

    def tick(self) -> None:
        """Count one second: pass on announcements that have waited, and close idle replicas."""
        self._pause_ticks = max(0, self._pause_ticks - 1)
        _over(self._announced)
        for method in _over(self._held):
            self._tell(method)
            self._announced.pop(method, None)  # none of the children has to announce it any more
        for nth, slot in list(self._others.items()):
            self._idle[nth] = 0 if slot.load else self._idle.get(nth, 0) + 1
            if self._idle[nth] > IDLE_TICKS:
                del self._idle[nth], self._others[nth]
                self._let_go(slot)


def _over(news: dict[str, _Announcement]) -> list[str]:
    for each in news.values():
        each.left -= 1
    over = [method for method, each in news.items() if each.left <= 0]
    for method in over:
        del news[method]
    return over


def _load(slot: Upstream) -> int:
    # The gateway's own requests, such as a listen, delay no call.
    return len(slot.calls())
