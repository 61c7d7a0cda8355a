"""One child of a slot from its handshake to its end, and what watches over it meanwhile."""

from __future__ import annotations

from attrs import define

from mcpgateway.backends.conversation import Conversation
from mcpgateway.hub.health.ping import Pulse
from mcpgateway.hub.health.stuck_calls import StuckWatch
from mcpgateway.hub.health.upkeep import Upkeep

HEALTHY_TICKS = 30  # whoever has run for so long works, even if nobody has asked it anything


@define(eq=False)
class Run:
    """One run.

    :ivar ready_at: when it was ready, in ticks.
    :ivar pulse: its pings; None where it knows none.
    :ivar is_healthy: it has shown that it works.
    :ivar stuck_for: why it is stuck, where no other may take its place; empty while it is not.
    """

    conversation: Conversation
    ready_at: int
    pulse: Pulse | None
    upkeep: Upkeep
    stuck: StuckWatch
    is_healthy: bool = False
    stuck_for: str = ""

    @property
    def has_answered(self) -> bool:
        """Whether it has answered anything since its handshake."""
        return self.conversation.answered > 1

    @property
    def misses(self) -> int:
        """How many pings in a row it has not answered while it had nothing else to do."""
        return self.pulse.misses if self.pulse is not None else 0

    def becomes_healthy(self, now: int) -> bool:
        """Whether it shows now, for the first time, that it works."""
        if self.is_healthy or not (now - self.ready_at >= HEALTHY_TICKS or self.has_answered):
            return False
        self.is_healthy = True
        return True

    def fault(self, now: int, limit_s: float, *, has_work: bool) -> str:
        """Why it is stuck; empty while it is not.

        :param has_work: it has been asked something that it has not answered.
        """
        is_busy = has_work or (self.pulse is not None and self.pulse.is_excused(now))
        return self.stuck.tick(now, limit_s, self.pulse, is_busy=is_busy)

    def give_up_pings(self) -> None:
        """Ping it no more."""
        pulse, self.pulse = self.pulse, None
        if pulse is not None:
            pulse.close()
