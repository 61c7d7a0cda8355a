"""One child of a slot from its handshake to its end, with the checks of its health."""

from __future__ import annotations

from mcpgateway.backends.conversation import Conversation
from mcpgateway.hub.health.ping import ChildPings
from mcpgateway.hub.health.sleep import ChildSleep
from mcpgateway.hub.health.stuck_calls import StuckWatch
from mcpgateway.hub.health.upkeep import Upkeep
from mcpgateway.records import Record

HEALTHY_TICKS = 30  # after which a child counts as healthy, even without any request


class Run(Record):
    """The run of one child.

    :ivar ready_at: the tick at which the child was ready.
    :ivar pings: the pings of the child; None where they are given up.
    :ivar is_healthy: True if the child has shown that it works.
    :ivar stuck_for: the reason why the child is stuck, where no other may take its place; else empty.
    """

    conversation: Conversation
    ready_at: int
    pings: ChildPings | None
    upkeep: Upkeep
    stuck: StuckWatch
    sleep: ChildSleep
    is_healthy: bool = False
    stuck_for: str = ""

    @property
    def has_answered(self) -> bool:
        """True if the child has answered a request since its handshake."""
        return self.conversation.answered > 1

    @property
    def misses(self) -> int:
        """The number of pings in a row that the child has missed while it had no other work."""
        return self.pings.misses if self.pings is not None else 0

    def becomes_healthy(self, now: int) -> bool:
        """True if the child counts as healthy now for the first time."""
        if self.is_healthy or not (now - self.ready_at >= HEALTHY_TICKS or self.has_answered):
            return False
        self.is_healthy = True
        return True

    def tick(self, now: int, ping_s: float) -> None:
        """Advance its sleep by one second, and its pings while it is awake."""
        if not self.sleep.tick(now) and self.pings is not None:
            self.pings.tick(now, ping_s)

    def fault(self, now: int, limit_s: float, *, has_work: bool) -> str:
        """Return the reason why the child is stuck; empty while it is not.

        :param has_work: True if the child has requests to answer.
        """
        is_busy = has_work or (self.pings is not None and self.pings.is_excused(now))
        if self.sleep.is_asleep:
            limit_s = 0.0  # its time counts anew when a request thaws it
        return self.stuck.tick(now, limit_s, self.pings, is_busy=is_busy)

    def give_up_pings(self) -> None:
        """End the pings of the child."""
        pings, self.pings = self.pings, None
        if pings is not None:
            pings.close()
