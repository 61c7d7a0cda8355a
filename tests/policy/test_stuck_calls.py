"""When a child is taken for stuck."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.policy.stuck_calls import PINGS, SILENT, STOPPED, ProcessActivity, StuckTime, look_s

LIMIT_S = 60.0


def still(activity: ProcessActivity, *, seconds: float = LIMIT_S, unanswered: int = PINGS) -> str:
    """Return the verdict on a child that was silent for so long, and whose processes have been like this."""
    stillness = StuckTime(0.0)
    stillness.sees(activity, seconds / 4)
    stillness.sees(activity, seconds / 2)
    return stillness.fault(seconds, LIMIT_S, unanswered)


IDLE, HALTED = ProcessActivity(is_stopped=False, cpu_s=3.0), ProcessActivity(is_stopped=True, cpu_s=3.0)


class FaultTests:
    """The verdict."""

    def test_silent(self) -> None:
        """A call is stuck after silence, idleness and two unanswered pings, for as long as the limit."""
        assert still(IDLE) == SILENT
        assert still(IDLE, seconds=LIMIT_S - 1) == ""
        assert still(IDLE, unanswered=PINGS - 1) == ""

    def test_stopped(self) -> None:
        """A stopped process needs no pings."""
        assert still(HALTED, unanswered=0) == STOPPED
        assert still(HALTED, seconds=LIMIT_S - 1) == ""

    def test_nothing_is_known(self) -> None:
        """A child whose processes cannot be seen is not judged."""
        assert StuckTime(0.0).fault(1000.0, LIMIT_S, 99) == ""

    @given(st.floats(0.0, 0.02), st.floats(1.0, 1000.0))
    def test_noise(self, cpu_s: float, seconds: float) -> None:
        """The processor time of timers and background threads is no sign of life."""
        stillness = StuckTime(0.0)
        stillness.sees(ProcessActivity(is_stopped=False, cpu_s=1.0), 0.0)
        stillness.sees(ProcessActivity(is_stopped=False, cpu_s=1.0 + cpu_s), seconds)
        assert stillness.since == 0.0

    @pytest.mark.parametrize("is_stopped", [True, False])
    def test_work(self, *, is_stopped: bool) -> None:
        """CPU time is, except of a process that is stopped: others of its tree may go on."""
        stillness = StuckTime(0.0)
        for second in range(0, 100, 5):
            stillness.sees(ProcessActivity(is_stopped, cpu_s=second / 10), second)
        assert (stillness.fault(100.0, LIMIT_S, PINGS) == STOPPED) is is_stopped
        assert (stillness.since > 0) is not is_stopped

    def test_hears(self) -> None:
        """The output of a child is a sign of life; the first look only takes its amount."""
        stillness = StuckTime(0.0)
        assert stillness.hears(5, 1.0)
        assert not stillness.hears(5, 2.0)
        assert stillness.hears(6, 3.0)
        assert stillness.since == 3.0
        assert not stillness.is_suspect(3.0 + LIMIT_S / 4 - 1, LIMIT_S)
        assert stillness.is_suspect(3.0 + LIMIT_S / 4, LIMIT_S)


def test_looks() -> None:
    """Checks for stuck calls are few, and never more than one a second."""
    assert look_s(60.0) == 5.0
    assert look_s(1.0) == 1.0
