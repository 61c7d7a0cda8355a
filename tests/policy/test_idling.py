"""When a child that nobody uses is stopped, and one that takes too much is replaced."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.config.model import Lazy
from mcpgateway.policy.idling import GUARD_S, LOOK_S, TASK_S, ChildUse, Idling, excess, look_s

LAZY = Lazy(idle_s=300)


class IdlingTests:
    """The time that a child is unused."""

    def test_without_use(self) -> None:
        """An unused child is idle one interval of the guard after its limit."""
        idling = Idling(0)
        assert not idling.is_over(ChildUse(0), LAZY, 300)
        assert idling.is_over(ChildUse(0), LAZY, 300 + GUARD_S)

    def test_no_limit(self) -> None:
        """Where there is no limit it is never over."""
        assert not Idling(0).is_over(ChildUse(0), Lazy(), 10**9)

    @pytest.mark.parametrize("use", [ChildUse(0, is_busy=True), ChildUse(0, is_held=True), ChildUse(1)])
    def test_use(self, use: ChildUse) -> None:
        """A call, something open, and a call that has come and gone since the last look begin the time anew."""
        idling = Idling(0)
        assert not idling.is_over(use, LAZY, 1000)
        calm = ChildUse(use.requests)
        assert not idling.is_over(calm, LAZY, 1300)
        assert idling.is_over(calm, LAZY, 1305)

    def test_tasks(self) -> None:
        """A child with a task gets an hour, as its work cannot be seen."""
        idling = Idling(0)
        assert not idling.is_over(ChildUse(0, has_tasks=True), LAZY, TASK_S)
        assert idling.is_over(ChildUse(0, has_tasks=True), LAZY, TASK_S + GUARD_S)

    @given(st.floats(0, 10_000))
    def test_looks(self, idle_s: float) -> None:
        """Short limits are looked at more often, none more than once a second."""
        assert 1 <= look_s(Lazy(idle_s=idle_s)) <= LOOK_S


class ExcessTests:
    """The limits of a child's memory and age."""

    def test_memory(self) -> None:
        """A child with more than its limit is reported in megabytes; unknown memory is not too much."""
        lazy = Lazy(ram_bytes=512 * 2**20)
        assert not excess(lazy, 512 * 2**20, 10**9)
        assert not excess(lazy, 0, 0)
        assert excess(lazy, 600 * 2**20, 0) == "its processes take 600 MB of the 512 MB they may take"

    def test_age(self) -> None:
        """A child may run for its longest time, and no longer."""
        assert not excess(Lazy(uptime_s=60), 10**12, 59)
        assert excess(Lazy(uptime_s=60), 0, 60) == "it has run for 1 min, as long as it may"

    def test_no_limits(self) -> None:
        """Where there are no limits nothing is too much."""
        assert not excess(Lazy(), 10**12, 10**9)
