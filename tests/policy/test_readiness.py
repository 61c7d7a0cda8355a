"""How ready servers are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.policy.health import State
from mcpgateway.policy.readiness import APPROVAL, AUTHORIZATION, Code, Facts, judge, worst


class JudgeTests:
    """One server."""

    @pytest.mark.parametrize(
        ("state", "code"),
        [
            (State.RUNNING, 0),
            (State.DEGRADED, 0),
            (State.STOPPED, 10),
            (State.IDLE, 10),
            (State.STARTING, 10),
            (State.RESTARTING, 10),
            (State.DISABLED, 12),
            (State.ERROR, 12),
            (State.UNREACHABLE, 12),
        ],
    )
    def test_states(self, state: State, code: int) -> None:
        """Every state has its code; what is not ready says why, and what to do."""
        found = judge(Facts("a", state, error="it fell over"))
        assert found.code == code
        assert bool(found.hint) is (code != 0)
        assert bool(found.why) is (state is not State.RUNNING)

    @pytest.mark.parametrize("needs", [AUTHORIZATION, APPROVAL])
    def test_needs(self, needs: str) -> None:
        """What only its user can do comes before what has failed for want of it, unless it runs by now."""
        assert judge(Facts("a", State.ERROR, needs)).code is Code.NEEDS_YOU
        assert judge(Facts("a", State.RUNNING, needs)).code is Code.READY

    def test_switched_off(self) -> None:
        """Whoever has switched it off can switch it on."""
        found = judge(Facts("a", State.DISABLED, is_off=True))
        assert (found.code, found.hint) == (Code.NEEDS_YOU, "mcpgateway servers enable a")

    @given(st.sampled_from(State), st.sampled_from(["", AUTHORIZATION, APPROVAL]), st.booleans(), st.text())
    def test_total(self, state: State, needs: str, is_off: bool, error: str) -> None:  # noqa: FBT001
        """There is a verdict on everything, and ready is only what runs."""
        found = judge(Facts("a", state, needs, is_off, error))
        assert found.code.word
        if found.code is Code.READY:
            assert state in (State.RUNNING, State.DEGRADED)


class WorstTests:
    """Several."""

    def test_worst(self) -> None:
        """The largest code counts; none at all are ready."""
        assert worst([Code.READY, Code.NEEDS_YOU, Code.NEEDS_START]) is Code.NEEDS_YOU
        assert worst([]) is Code.READY
