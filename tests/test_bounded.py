"""The dict that holds so many entries and no more."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.bounded import Bounded


class BoundedTests:
    """Entries that the dict holds after any others."""

    @given(st.lists(st.integers(0, 9)), st.integers(1, 5))
    def test_the_first_makes_place(self, keys: list[int], limit: int) -> None:
        """The dict holds at most so many, the latest among them, in the order in which they were added."""
        bounded: Bounded[int, int] = Bounded(limit)
        expected: list[int] = []
        for nth, key in enumerate(keys):
            bounded[key] = nth
            if key not in expected:
                expected = [*expected, key][-limit:]
            assert list(bounded) == expected
            assert bounded[key] == nth
