"""Make room where memory is short: idle children are stopped or paged out, one in each look."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from twisted.logger import Logger

from mcpgateway.config.sleep import Relief
from mcpgateway.hub.health.sleep import SleepWorld
from mcpgateway.policy.idling import ReliefCandidate, relieve
from mcpgateway.units import size

if TYPE_CHECKING:
    from mcpgateway.hub.health.instance import ChildHealth
    from mcpgateway.hub.upstream import Upstream

Weigh = Callable[[Collection[int]], Mapping[int, int]]


class MemoryGovernor:
    """Watches the memory of the machine, and frees that of idle children.

    :param pressure: returns how short memory is, in words, by a file or by those of the machine.
    :param weigh: returns the resident bytes of the process trees of some children.
    :param is_stateless: returns True if a child keeps nothing between calls, and its lists are known without it.
    """

    log = Logger()

    def __init__(
        self, pressure: Callable[[str], str], weigh: Weigh, is_stateless: Callable[[Upstream], bool]
    ) -> None:
        self._pressure = pressure
        self._weigh = weigh
        self._is_stateless = is_stateless
        self._paging: dict[int, int] = {}  # a child whose memory is being moved to swap, and its size before

    def look(self, world: SleepWorld, children: Collection[ChildHealth], now: int) -> None:
        """Measure, and free the memory of one child where there is too little."""
        former, settings = world.shortage, world.sleep
        world.shortage = self._pressure(settings.pressure_file) if settings.relief is not Relief.OFF else ""
        if world.shortage and not former:
            self.log.warn("memory is short: {why}", event="memory.short", why=world.shortage)
        elif former and not world.shortage:
            self.log.info("there is enough memory again", event="memory.enough")
        if world.shortage:
            self._make_room(world.shortage, children, settings.relief, now)

    def _make_room(self, why: str, children: Collection[ChildHealth], relief: Relief, now: int) -> None:
        of_pid = {each.slot.pid: each for each in children if each.slot.pid and each.sleep is not None}
        sizes = self._weigh(of_pid.keys())
        for pid in self._paging.keys() & of_pid.keys():
            sleep = of_pid[pid].sleep
            if sleep is not None and sleep.is_asleep:
                sleep.paged_out(max(0, self._paging[pid] - sizes.get(pid, 0)))
        self._paging = {}
        while act := relieve((self._candidate(each, sizes, now) for each in of_pid.values()), relief):
            child, resident = of_pid[act.pid], sizes.get(act.pid, 0)
            if act.stops:
                child.stop(f"memory is short ({why}), and it takes {size(resident)}", again=False)
                return
            if child.sleep is not None and child.sleep.page_out():
                self._paging = {act.pid: resident}
                return

    def _candidate(self, child: ChildHealth, sizes: Mapping[int, int], now: int) -> ReliefCandidate:
        pid, sleep = child.slot.pid or 0, child.sleep
        assert sleep is not None
        return ReliefCandidate(
            pid,
            sleep.idle_s(now),
            sizes.get(pid, 0),
            is_needed=child.is_kept or sleep.is_needed,
            is_stateless=self._is_stateless(child.slot),
            is_asleep=sleep.is_asleep,
            is_paged_out=sleep.is_paged_out,
        )
