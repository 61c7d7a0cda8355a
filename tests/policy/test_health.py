"""The health of an instance, by lists of events."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.policy.health import STATES, UP, HealthMachine, HealthState, new_condition, worst

EVENTS = (
    "started",
    "ready",
    "failed",
    "crashed",
    "faltered",
    "recovered",
    "replaced",
    "stopped",
    "rested",
    "lost",
    "retry",
    "stuck",
    "disabled",
    "enabled",
    "unauthorized",
    "authorized",
)

# How each state is come to.
ROADS = {
    HealthState.STOPPED: [],
    HealthState.STARTING: ["started"],
    HealthState.RUNNING: ["started", "ready"],
    HealthState.DEGRADED: ["started", "ready", "faltered"],
    HealthState.RESTARTING: ["started", "ready", "crashed"],
    HealthState.ERROR: ["started", "failed"],
    HealthState.UNREACHABLE: ["started", "lost"],
    HealthState.DISABLED: ["disabled"],
    HealthState.IDLE: ["rested"],
    HealthState.NEEDS_LOGIN: ["started", "unauthorized"],
}


class RecordingHands:
    """Hands that record their requests."""

    def __init__(self) -> None:
        self.state = HealthState.STOPPED
        self.asked: list[str] = []

    def became(self, state: HealthState) -> None:
        self.state = state

    def wait(self) -> None:
        self.asked.append("wait")

    def probe(self) -> None:
        self.asked.append("probe")

    def start(self) -> None:
        self.asked.append("start")


def fare(events: list[str]) -> RecordingHands:
    """Return the requests to the hands, given these events."""
    hands = RecordingHands()
    condition = new_condition(HealthMachine(hands))
    for event in events:
        getattr(condition, event)()
    return hands


class ConditionTests:
    """Events in, states and requests out."""

    @pytest.mark.parametrize("state", STATES)
    def test_roads(self, state: HealthState) -> None:
        """Every state can be reached."""
        assert fare(ROADS[state]).state is state

    @pytest.mark.parametrize(
        ("events", "state", "asked"),
        [
            (["started", "ready", "faltered", "recovered"], HealthState.RUNNING, []),
            (["started", "ready", "faltered", "crashed"], HealthState.RESTARTING, ["wait"]),
            (["started", "ready", "crashed", "retry"], HealthState.RESTARTING, ["wait", "start"]),
            (
                ["started", "ready", "crashed", "retry", "started", "ready"],
                HealthState.RUNNING,
                ["wait", "start"],
            ),
            (["started", "ready", "crashed", "started"], HealthState.STARTING, ["wait"]),
            (["started", "ready", "replaced", "crashed", "started"], HealthState.STARTING, []),
            (["started", "ready", "replaced", "stuck"], HealthState.ERROR, ["wait"]),
            (["started", "crashed"], HealthState.ERROR, ["wait"]),
            (["started", "failed", "retry"], HealthState.RESTARTING, ["wait", "start"]),
            (["started", "failed", "started"], HealthState.STARTING, ["wait"]),
            (["started", "ready", "crashed", "retry", "stuck"], HealthState.ERROR, ["wait", "start", "wait"]),
            (["started", "stuck"], HealthState.ERROR, ["wait"]),
            (["started", "lost", "retry", "started", "ready"], HealthState.RUNNING, ["probe", "start"]),
            (["started", "ready", "lost"], HealthState.UNREACHABLE, ["probe"]),
            (["started", "ready", "stopped", "crashed"], HealthState.STOPPED, []),
            (["started", "ready", "rested", "crashed", "started"], HealthState.STARTING, []),
            (["started", "failed", "disabled", "retry", "started"], HealthState.DISABLED, ["wait"]),
            (["disabled", "enabled", "started"], HealthState.STARTING, []),
            (
                ["started", "unauthorized", "crashed", "retry", "stuck", "stopped"],
                HealthState.NEEDS_LOGIN,
                [],
            ),
            (["started", "unauthorized", "started", "ready"], HealthState.RUNNING, []),
            (["started", "unauthorized", "authorized", "started"], HealthState.STARTING, []),
            (["started", "ready", "unauthorized"], HealthState.NEEDS_LOGIN, []),
        ],
    )
    def test_courses(self, events: list[str], state: HealthState, asked: list[str]) -> None:
        """A course of events ends in this state, with exactly these requests on its way."""
        hands = fare(events)
        assert (hands.state, hands.asked) == (state, asked)

    @pytest.mark.parametrize(("state", "event"), list(product(STATES, EVENTS)))
    def test_every_event_in_every_state(self, state: HealthState, event: str) -> None:
        """Every event in every state has an answer, and leads to one state."""
        hands = fare([*ROADS[state], event])
        assert hands.state in STATES
        if event == "disabled":
            assert hands.state is HealthState.DISABLED
        elif state is HealthState.DISABLED:
            assert hands.state is (HealthState.STOPPED if event == "enabled" else HealthState.DISABLED)

    @given(st.lists(st.sampled_from(EVENTS), max_size=40))
    def test_any_walk(self, events: list[str]) -> None:
        """A server runs only after a handshake, and is tried again only where it was waited for."""
        hands = RecordingHands()
        condition = new_condition(HealthMachine(hands))
        is_ready = waits = False
        for event in events:
            before = len(hands.asked)
            getattr(condition, event)()
            asked = hands.asked[before:]
            is_ready = (is_ready or event == "ready") and hands.state in UP
            assert (hands.state in UP) == is_ready
            assert "start" not in asked or waits
            waits = (waits or "wait" in asked or "probe" in asked) and event != "disabled"


class WorstTests:
    """Several instances, one state."""

    def test_nothing(self) -> None:
        """A server without instances is stopped."""
        assert worst([]) is HealthState.STOPPED

    @given(st.lists(st.sampled_from(HealthState), min_size=1))
    def test_order(self, states: list[HealthState]) -> None:
        """An instance that does not work is never hidden by one that does."""
        found = worst(states)
        assert found in states
        sick = {
            HealthState.DEGRADED,
            HealthState.RESTARTING,
            HealthState.ERROR,
            HealthState.UNREACHABLE,
            HealthState.DISABLED,
        }
        assert (found in sick) == bool(sick.intersection(states))
