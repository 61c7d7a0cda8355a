"""Several children of one shared slot, so that calls run side by side.

# Note [What goes where]
Only plain calls of tools go to a replica: one call after which nothing is left.  Everything else - lists, reads,
subscriptions, tasks, levels - goes to the slot the sessions know, its home, which is also the first to run.  A replica
is started when all that run are busy, and let go of when it has had nothing to do for a while.

# Note [A change is told once]
Each replica may say that a list has changed.  Lists are answered by the home, so what it says is told at once, and what
a replica says waits for a moment: if the home says the same, that was the same change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from attrs import define, field

from mcpgateway.errors import GatewayError, HandshakeFailed, LaunchFailed
from mcpgateway.hub.filters import Between
from mcpgateway.interfaces import Request

if TYPE_CHECKING:
    from mcpgateway.hub.upstream import Upstream

IDLE_TICKS = 300  # how long a replica without calls is kept
RESPITE_TICKS = 60  # after a replica could not be started, no other is
NEWS_TICKS = 2  # within them, the same change is said by all who will say it


@define(eq=False)
class _Hopeful(Between):
    """Waits for a replica that has to be started first; if it cannot be, others run."""

    _replicas: Replicas

    def failed(self, call: Request, why: GatewayError) -> None:
        """There is no answer; a call that never left is sent to another."""
        call.sink = self.sink
        if isinstance(why, LaunchFailed | HandshakeFailed):
            self._replicas.elsewhere(call)
        else:
            call.sink.failed(call, why)


@define
class _News:
    """A change that all children may say.

    :ivar left: for how many ticks what they say is taken for the same change.
    """

    replicas: set[Upstream]
    left: int = NEWS_TICKS


@define(eq=False)
class Replicas:
    """The children of one slot; see Note [What goes where].

    :ivar home: the slot the sessions know.
    """

    home: Upstream
    _limit: int
    _make: Callable[[int], Upstream]
    _let_go: Callable[[Upstream], None]
    _tell: Callable[[str], None]
    _others: dict[int, Upstream] = field(factory=dict)
    _idle: dict[int, int] = field(factory=dict)
    _respite: int = 0
    _told: dict[str, _News] = field(factory=dict)  # what the home has said, and who has not said it yet
    _held: dict[str, _News] = field(factory=dict)  # what the home has not said, and who has

    def __iter__(self) -> Iterator[Upstream]:
        return iter(list(self._others.values()))

    def submit(self, call: Request) -> None:
        """Send a call to whichever child has least to do."""
        slot = self._least()
        if slot is not self.home and slot.conversation is None:
            call.sink = _Hopeful(call.sink, self)
        slot.submit(call)

    def holder(self, call: Request) -> Upstream | None:
        """The slot of the child that a call is with."""
        return next((each for each in (self.home, *self) if call in each.calls()), None)

    def _least(self) -> Upstream:
        if self.home.conversation is None:
            return self.home
        # Where one could not be started, those that do not run get no calls for a while.
        others = (each for each in self._others.values() if each.is_up or not self._respite)
        least = min((self.home, *others), key=_load)
        if _load(least) and not self._respite and len(self._others) + 1 < self._limit:
            nth = next(each for each in range(1, self._limit) if each not in self._others)
            least = self._others[nth] = self._make(nth)
        return least

    def elsewhere(self, call: Request) -> None:
        """A replica could not be started: whoever waits for it is served by those that run."""
        self._respite = RESPITE_TICKS
        running = [each for each in self._others.values() if each.conversation is not None]
        min((self.home, *running), key=_load).submit(call)

    def tune(self) -> None:
        """What the sessions want to hear of the log may have changed."""
        for each in self._others.values():
            each.levels.tune()

    def is_news(self, slot: Upstream, method: str) -> bool:
        """Whether what a child says has changed is to be told now; see Note [A change is told once]."""
        if slot is self.home:
            held = self._held.pop(method, _News(set()))
            self._told[method] = _News(set(self._others.values()) - held.replicas)
            return True
        told = self._told.get(method)
        if told is not None and slot in told.replicas:
            told.replicas.discard(slot)
        else:
            self._held.setdefault(method, _News(set())).replicas.add(slot)
        return False

    def tick(self) -> None:
        """A second has passed: tell what was held back, and let go of replicas that have nothing to do."""
        self._respite = max(0, self._respite - 1)
        _over(self._told)
        for method in _over(self._held):
            self._tell(method)
            self._told.pop(method, None)  # nobody else has to say it any more
        for nth, slot in list(self._others.items()):
            self._idle[nth] = 0 if slot.load else self._idle.get(nth, 0) + 1
            if self._idle[nth] > IDLE_TICKS:
                del self._idle[nth], self._others[nth]
                self._let_go(slot)


def _over(news: dict[str, _News]) -> list[str]:
    for each in news.values():
        each.left -= 1
    over = [method for method, each in news.items() if each.left <= 0]
    for method in over:
        del news[method]
    return over


def _load(slot: Upstream) -> int:
    # What the gateway itself asks, such as to be told of changes, keeps no call waiting.
    return len(slot.calls())
