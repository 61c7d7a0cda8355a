"""What one running child costs, and whether somebody uses it: when it is to be stopped, or replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attrs import frozen
from twisted.logger import Logger

from mcpgateway.policy import idling
from mcpgateway.policy.idling import Idling, Use

if TYPE_CHECKING:
    from mcpgateway.hub.upstream import Upstream


class Scales(Protocol):
    """What is known of the world around a child."""

    def has_calls(self, slot: Upstream) -> bool:
        """Whether anything is under way that a slot's child is needed for."""

    def resident(self, pid: int) -> int:
        """The bytes that a child's whole process tree took when it was last looked at."""


@frozen
class Stop:
    """A child is to be stopped.

    :ivar again: and another started in its place, if somebody uses it.
    """

    why: str
    again: bool


class Upkeep:
    """Looks at one child from its handshake to its end.

    :ivar excess: why it is to be replaced as soon as no call is under way; empty where it is not.
    """

    log = Logger()

    def __init__(self, slot: Upstream, scales: Scales, now: int) -> None:
        self.excess = ""
        self._outdated = ""
        self._slot = slot
        self._scales = scales
        self._began = now
        self._idling = Idling(now)
        self._idle_look = float(now)

    def replace(self, why: str) -> None:
        """It is to be replaced as soon as no call is under way."""
        self._outdated = why

    def look(self, now: int, *, is_kept: bool) -> Stop | None:
        """What is to be done about it.

        :param is_kept: it is to run whether anybody uses it or not.
        """
        if self._outdated and not self._scales.has_calls(self._slot):
            return Stop(self._outdated, again=True)
        lazy = self._slot.server.lazy
        # A child of one session lives as long as its session.
        may_idle = self._slot.shared and not is_kept and lazy.idle_s > 0
        if may_idle and now >= self._idle_look:
            self._idle_look = now + idling.look_s(lazy)
            if self._idling.is_over(self._use(), lazy, now):
                return Stop(f"nobody has used it for {lazy.idle_s:g} s", again=False)
        if lazy.ram_bytes or lazy.uptime_s or self.excess:
            self._weigh(idling.excess(lazy, self._scales.resident(self._slot.pid or 0), now - self._began))
            if self.excess and not self._scales.has_calls(self._slot):
                return Stop(self.excess, again=True)
        return None

    def _use(self) -> Use:
        slot = self._slot
        is_held = bool(slot.subscriptions or slot.listening) or any(each.has_stream for each in slot.sessions)
        return Use(slot.requests, self._scales.has_calls(slot), is_held, slot.tasks.have_begun)

    def _weigh(self, excess: str) -> None:
        if excess and not self.excess:
            self.log.warn(
                "{server} is replaced as soon as no call is under way: {why}",
                event="server.excess",
                server=self._slot.server.name,
                why=excess,
            )
        self.excess = excess
