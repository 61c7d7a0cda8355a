"""The readiness of servers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.policy.health import HealthState
from mcpgateway.policy.readiness import APPROVAL, AUTHORIZATION, Code, ReadinessFacts, judge, worst


class JudgeTests:
    """The readiness of one server."""

    @pytest.mark.parametrize(
        ("state", "code"),
        [
            (HealthState.RUNNING, 0),
            (HealthState.DEGRADED, 0),
            (HealthState.STOPPED, 10),
            (HealthState.IDLE, 10),
            (HealthState.STARTING, 10),
            (HealthState.RESTARTING, 10),
            (HealthState.DISABLED, 12),
            (HealthState.ERROR, 12),
            (HealthState.UNREACHABLE, 12),
        ],
    )
    def test_states(self, state: HealthState, code: int) -> None:
        """Every state has its code; a server that is not ready has a reason and a remedy."""
        found = judge(ReadinessFacts("a", state, error="it fell over"))
        assert found.code == code
        assert bool(found.hint) is (code != 0)
        assert bool(found.why) is (state is not HealthState.RUNNING)

    @pytest.mark.parametrize("needs", [AUTHORIZATION, APPROVAL])
    def test_needs(self, needs: str) -> None:
        """A step that only the user can take comes before the failures for want of it, unless the server runs by
        now.
        """
        assert judge(ReadinessFacts("a", HealthState.ERROR, needs)).code is Code.NEEDS_YOU
        assert judge(ReadinessFacts("a", HealthState.RUNNING, needs)).code is Code.READY

    def test_switched_off(self) -> None:
        """A disabled server has a hint on how to enable it."""
        found = judge(ReadinessFacts("a", HealthState.DISABLED, is_off=True))
        assert (found.code, found.hint) == (Code.NEEDS_YOU, "mcpgateway servers enable a")

    @given(
        st.sampled_from(HealthState), st.sampled_from(["", AUTHORIZATION, APPROVAL]), st.booleans(), st.text()
    )
    def test_total(self, state: HealthState, needs: str, is_off: bool, error: str) -> None:  # noqa: FBT001
        """Every state has a verdict, and only a running server is ready, which may be asleep."""
        found = judge(ReadinessFacts("a", state, needs, is_off, error))
        assert found.code.word
        if found.code is Code.READY:
            assert state in (HealthState.RUNNING, HealthState.DEGRADED, HealthState.ASLEEP)


class WorstTests:
    """Several."""

    def test_worst(self) -> None:
        """The largest code counts; none at all are ready."""
        assert worst([Code.READY, Code.NEEDS_YOU, Code.NEEDS_START]) is Code.NEEDS_YOU
        assert worst([]) is Code.READY
