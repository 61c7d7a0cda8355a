"""The resources and the use of one running child: the reasons to stop or to replace it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from twisted.logger import Logger

from mcpgateway.policy import idling
from mcpgateway.policy.idling import ChildUse, Idling
from mcpgateway.records import FrozenRecord
from mcpgateway.units import duration

if TYPE_CHECKING:
    from mcpgateway.hub.upstream import Upstream


class UseMeasurements(Protocol):
    """The measurements of a child's use and memory."""

    def has_calls(self, slot: Upstream) -> bool:
        """True if a request that needs a slot's child is under way."""

    def resident(self, pid: int) -> int:
        """Return the resident bytes of a child's whole process tree, as last measured."""


class Stop(FrozenRecord, frozen=True):
    """The decision to stop a child.

    :ivar why: the reason.
    :ivar again: True if another child is started in its place, where a client uses it.
    """

    why: str
    again: bool


class Upkeep:
    """The checks of one child's use and memory, from its handshake to its end.

    :ivar excess: the reason to replace the child as soon as no call is under way; empty where there is none.
    """

    log = Logger()

    def __init__(self, slot: Upstream, scales: UseMeasurements, now: int) -> None:
        self.excess = ""
        self._outdated = ""
        self._slot = slot
        self._scales = scales
        self._began = now
        self._idling = Idling(now)
        self._idle_look = float(now)

    def replace(self, why: str) -> None:
        """Have the child replaced as soon as no call is under way."""
        self._outdated = why

    def look(self, now: int, *, is_kept: bool) -> Stop | None:
        """Decide about the child; None where it may go on.

        :param is_kept: True if the child is to run whether a client uses it or not.
        """
        if self._outdated and not self._scales.has_calls(self._slot):
            return Stop(self._outdated, again=True)
        lazy = self._slot.server.lazy
        # A child of one session lives as long as its session.
        may_idle = self._slot.shared and not is_kept and lazy.idle_s > 0
        if may_idle and now >= self._idle_look:
            self._idle_look = now + idling.look_s(lazy)
            if self._idling.is_over(self._use(), lazy, now):
                return Stop(f"nobody has used it for {duration(lazy.idle_s)}", again=False)
        if lazy.ram_bytes or lazy.uptime_s or self.excess:
            self._weigh(idling.excess(lazy, self._scales.resident(self._slot.pid or 0), now - self._began))
            if self.excess and not self._scales.has_calls(self._slot):
                return Stop(self.excess, again=True)
        return None

    def _use(self) -> ChildUse:
        slot = self._slot
        is_held = bool(slot.subscriptions or slot.listening) or any(each.has_stream for each in slot.sessions)
        return ChildUse(slot.requests, self._scales.has_calls(slot), is_held, slot.tasks.have_begun)

    def _weigh(self, excess: str) -> None:
        if excess and not self.excess:
            self.log.warn(
                "{server} is replaced as soon as no call is under way: {why}",
                event="server.excess",
                server=self._slot.server.name,
                why=excess,
            )
        self.excess = excess
