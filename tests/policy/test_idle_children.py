"""Which children sleep, and which make room when memory is short."""

from __future__ import annotations

from typing import Any

import pytest

from mcpgateway.config.model import Freeze
from mcpgateway.config.sleep import Relief
from mcpgateway.policy.idling import (
    HEARD,
    SPEAKS,
    WORKS,
    Drowsiness,
    OwnWork,
    ReliefAct,
    ReliefCandidate,
    SleepUse,
    relieve,
)

AFTER_S = 600.0
NOTHING = OwnWork(0.0, "")


def use(**said: Any) -> SleepUse:
    """The use of a child that nobody uses."""
    return SleepUse(**{"requests": 1, "unasked": 0, "is_busy": False, "is_subscribed": False, **said})


def slept(
    later: OwnWork = NOTHING, freeze: Freeze = Freeze.AUTO, at_the_end: SleepUse | None = None
) -> tuple[bool, str]:
    """Whether a child that shows this work sleeps when its time has come, and why not."""
    child = Drowsiness(0.0)
    child.begin(use(), 0.0)
    assert not child.is_to_look(299.0, AFTER_S)
    assert child.is_to_look(300.0, AFTER_S)
    assert not child.sees(NOTHING, use(), 300.0, freeze)
    assert not child.is_to_look(599.0, AFTER_S)
    assert child.is_to_look(600.0, AFTER_S)
    return child.sees(later, at_the_end or use(), 600.0, freeze), child.awake_for


class DrowsinessTests:
    """The time at which a child is frozen."""

    @pytest.mark.parametrize("freeze", [Freeze.AUTO, Freeze.ALWAYS])
    def test_idle(self, freeze: Freeze) -> None:
        """A child that does nothing for as long as it may is frozen."""
        assert slept(freeze=freeze) == (True, "")

    @pytest.mark.parametrize(
        ("work", "seen", "why"),
        [
            (OwnWork(0.0, "it listens at a socket"), use(), "it listens at a socket"),
            (OwnWork(5.0, ""), use(), WORKS),
            (NOTHING, use(unasked=1), SPEAKS),
            (NOTHING, use(is_subscribed=True), HEARD),
        ],
    )
    def test_own_work(self, work: OwnWork, seen: SleepUse, why: str) -> None:
        """A child that may have work of its own stays awake, unless its entry says always."""
        assert slept(work, at_the_end=seen) == (False, why)
        assert slept(work, Freeze.ALWAYS, seen) == (True, "")
        assert slept(work, Freeze.OFF, seen) == (False, why)

    def test_pings_are_no_work(self) -> None:
        """The CPU time of a few answers to pings keeps no child awake."""
        assert slept(OwnWork(0.5, "")) == (True, "")

    def test_use(self) -> None:
        """A request, and each moment of being busy, begins the time anew."""
        child = Drowsiness(0.0)
        child.uses(use(requests=1), 100.0)
        child.uses(use(requests=1), 200.0)
        assert child.since == 100.0
        child.uses(use(requests=2), 300.0)
        child.uses(use(requests=2, is_busy=True), 400.0)
        assert child.since == 400.0


def child(pid: int, **said: Any) -> ReliefCandidate:
    """A child that has been idle for a while, and has state."""
    usual = {"idle_s": 100.0, "resident": 10, "is_needed": False, "is_stateless": False, "is_asleep": True}
    return ReliefCandidate(pid=pid, **{**usual, "is_paged_out": False, **said})


class ReliefTests:
    """The order in which children make room."""

    def test_order(self) -> None:
        """Those without state are stopped first; frozen ones are paged out, then stopped if the settings say so."""
        stateless, asleep = child(1, is_stateless=True, is_asleep=False), child(2, resident=10_000)
        paged = child(3, is_paged_out=True)
        assert relieve([paged, asleep, stateless], Relief.STATELESS) == ReliefAct(1, stops=True)
        assert relieve([paged, asleep], Relief.STATELESS) == ReliefAct(2, stops=False)
        assert relieve([paged], Relief.STATELESS) is None
        assert relieve([paged, asleep], Relief.ASLEEP) == ReliefAct(2, stops=False)
        assert relieve([paged], Relief.ASLEEP) == ReliefAct(3, stops=True)
        assert relieve([paged, asleep, stateless], Relief.OFF) is None

    def test_idle_time_and_memory(self) -> None:
        """Of several, it is the one with the largest product of idle time and memory."""
        several = [child(1, idle_s=1000.0), child(2, resident=99), child(3, resident=101, idle_s=101.0)]
        assert relieve(several, Relief.STATELESS) == ReliefAct(3, stops=False)

    def test_use(self) -> None:
        """No child with a call, none that was used just now, and none with state that is awake makes room."""
        spared = [
            child(1, is_stateless=True, is_needed=True),
            child(2, is_needed=True, is_paged_out=True),
            child(3, is_stateless=True, idle_s=1.0),
            child(4, is_asleep=False),
        ]
        assert relieve(spared, Relief.ASLEEP) is None
