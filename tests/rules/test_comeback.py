"""How long a lost child stays away."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.rules.comeback import FIRST_TICKS, LONGEST_TICKS, delay_ticks


class DelayTests:
    """The wait before the next try."""

    def test_doubles(self) -> None:
        """Each failure doubles it, up to five minutes."""
        assert [delay_ticks(failures) for failures in range(1, 10)] == [5, 10, 20, 40, 80, 160, 300, 300, 300]

    @given(st.integers(1, 10**9))
    def test_bounds(self, failures: int) -> None:
        """However often it has failed, it is tried again, no sooner than after fewer failures and not never."""
        assert FIRST_TICKS <= delay_ticks(failures) <= delay_ticks(failures + 1) <= LONGEST_TICKS
