"""The pause after a failure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.policy.backoff import FIRST_S, LONGEST_S, SPREAD, delay_s, probe_delay_s

chances = st.floats(0, 1, exclude_max=True)


class DelayTests:
    """The wait before the next try."""

    def test_doubles(self) -> None:
        """A failure doubles the pause, up to five minutes."""
        assert [delay_s(failures) for failures in range(9)] == [5, 10, 20, 40, 80, 160, 300, 300, 300]

    @given(st.integers(0, 10**9), chances)
    def test_bounds(self, failures: int, chance: float) -> None:
        """A server is tried again after any number of failures, within a tenth of the time when that is due."""
        exact = delay_s(failures)
        assert FIRST_S <= exact <= delay_s(failures + 1) <= LONGEST_S
        assert delay_s(failures, chance) == pytest.approx(exact, rel=SPREAD)


class ProbeTests:
    """The wait before the next look at an address."""

    def test_slows_down(self) -> None:
        """A probe follows each minute for five times, then every five minutes."""
        assert [probe_delay_s(probes) for probes in range(8)] == [60] * 5 + [300] * 3
