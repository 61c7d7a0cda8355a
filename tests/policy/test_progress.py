"""Progress of ours between a server's own."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.policy.progress import LARGEST, PATIENCE_TICKS, SILENT_TICKS, in_order, next_value

SIGNS = PATIENCE_TICKS // SILENT_TICKS


def reported(theirs: float | None, count: int = SIGNS) -> list[float]:
    """Return the reported values while the server is silent after a value of its own."""
    ours: list[float] = []
    while len(ours) < count:
        value = next_value(theirs, ours[-1] if ours else None)
        assert value is not None
        ours.append(value)
    return ours


class NextValueTests:
    """Values that keep the order."""

    def test_before_the_servers_first(self) -> None:
        """Values before the server's first rise from zero, and stay below any progress that a server reports."""
        ours = reported(None)
        assert ours[0] == 0
        assert all(one < other for one, other in pairwise([*ours, 1e-12]))

    @given(st.lists(st.floats(0, 1) | st.just(0)))
    def test_what_the_server_reports_then(self, theirs: list[float]) -> None:
        """A server's value is raised where it is not above the value before, and else passed on unchanged."""
        told = reported(None)[-1]
        for each in theirs:
            shown = in_order(each, told)
            assert shown > told
            assert shown == each or each <= told
            told = shown

    @given(st.floats(0, LARGEST / 2) | st.integers(0, 2**39))
    def test_after_one_of_the_servers(self, theirs: float) -> None:
        """Values after one of the server's rise, and stay below the next that a server may report."""
        ours = reported(theirs)
        assert all(one < other for one, other in pairwise([theirs, *ours]))
        assert ours[-1] < theirs + max(theirs, 1e-6) * 1e-12
        assert ours[-1] < theirs + 0.01

    @given(st.floats(0, 1))
    def test_on_the_wire(self, theirs: float) -> None:
        """Values are still in order when a client has decoded them."""
        read = [json.loads(json.dumps(each)) for each in reported(theirs)]
        assert all(one < other for one, other in pairwise([theirs, *read]))

    @pytest.mark.parametrize("theirs", [1e300, -1e300, float("inf"), float("nan")])
    def test_nothing_is_better(self, theirs: float) -> None:
        """Where no value is sure to stay in order nothing is reported."""
        assert next_value(theirs, None) is None
