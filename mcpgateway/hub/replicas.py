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
from mcpgateway.hub.sinks import Between
from mcpgateway.interfaces import Call
from mcpgateway.wire.jsonrpc import Message

if TYPE_CHECKING:
    from mcpgateway.hub.slot import Slot

IDLE_TICKS = 300  # how long a replica without calls is kept
RESPITE_TICKS = 60  # after a replica could not be started, no other is
NEWS_TICKS = 2  # within them, the same change is said by all who will say it


@define(eq=False)
class _Hopeful(Between):
    """Waits for a replica that has to be started first; if it cannot be, others run."""

    _replicas: Replicas
    _message: Message

    def failed(self, call: Call, why: GatewayError) -> None:
        """There is no answer; a call that never left is sent to another."""
        call.sink = self.sink
        if isinstance(why, LaunchFailed | HandshakeFailed):
            self._replicas.elsewhere(call, self._message)
        else:
            call.sink.failed(call, why)


@define(eq=False)
class Replicas:
    """The children of one slot; see Note [What goes where].

    :ivar home: the slot the sessions know.
    """

    home: Slot
    _limit: int
    _make: Callable[[int], Slot]
    _let_go: Callable[[Slot], None]
    _tell: Callable[[str], None]
    _others: dict[int, Slot] = field(factory=dict)
    _idle: dict[int, int] = field(factory=dict)
    _respite: int = 0
    _told: dict[str, int] = field(factory=dict)  # by the home; for so many ticks it is the same change
    _held: dict[str, int] = field(factory=dict)  # said by others; for so many ticks the home may say it too

    def __iter__(self) -> Iterator[Slot]:
        return iter(list(self._others.values()))

    def submit(self, call: Call, message: Message) -> None:
        """Send a call to whichever child has least to do."""
        slot = self._least()
        if slot is not self.home and slot.conversation is None:
            call.sink = _Hopeful(call.sink, self, message)
        slot.submit(call, message)

    def holder(self, call: Call) -> Slot | None:
        """The slot of the child that a call is with."""
        return next((each for each in (self.home, *self) if call in each.calls()), None)

    def _least(self) -> Slot:
        if self.home.conversation is None:
            return self.home
        least = min((self.home, *self._others.values()), key=_load)
        if _load(least) and not self._respite and len(self._others) + 1 < self._limit:
            nth = next(each for each in range(1, self._limit) if each not in self._others)
            least = self._others[nth] = self._make(nth)
        return least

    def elsewhere(self, call: Call, message: Message) -> None:
        """A replica could not be started: whoever waits for it is served by those that run."""
        self._respite = RESPITE_TICKS
        running = [each for each in self._others.values() if each.conversation is not None]
        min((self.home, *running), key=_load).submit(call, message)

    def cancel(self, call: Call, reason: str) -> bool:
        """Take a call back from whichever child has it."""
        return any(each.cancel(call, reason) for each in self._others.values())

    def tune(self) -> None:
        """What the sessions want to hear of the log may have changed."""
        for each in self._others.values():
            each.levels.tune()

    def is_news(self, slot: Slot, method: str) -> bool:
        """Whether what a child says has changed is to be told now; see Note [A change is told once]."""
        if slot is self.home:
            self._told[method] = NEWS_TICKS
            self._held.pop(method, None)
            return True
        if method not in self._told:
            self._held.setdefault(method, NEWS_TICKS)
        return False

    def tick(self) -> None:
        """A second has passed: tell what was held back, and let go of replicas that have nothing to do."""
        self._respite = max(0, self._respite - 1)
        self._told = {method: left - 1 for method, left in self._told.items() if left > 1}
        held, self._held = self._held, {}
        for method, left in held.items():
            if left > 1:
                self._held[method] = left - 1
            else:
                self._tell(method)
        for nth, slot in list(self._others.items()):
            self._idle[nth] = 0 if slot.load else self._idle.get(nth, 0) + 1
            if self._idle[nth] > IDLE_TICKS:
                del self._idle[nth], self._others[nth]
                self._let_go(slot)


def _load(slot: Slot) -> int:
    # What the gateway itself asks, such as to be told of changes, keeps no call waiting.
    return len(slot.calls())
