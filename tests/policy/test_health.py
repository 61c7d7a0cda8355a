"""How an instance fares, by lists of events."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.policy.health import UP, Core, State, new_condition, worst

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
    State.STOPPED: [],
    State.STARTING: ["started"],
    State.RUNNING: ["started", "ready"],
    State.DEGRADED: ["started", "ready", "faltered"],
    State.RESTARTING: ["started", "ready", "crashed"],
    State.ERROR: ["started", "failed"],
    State.UNREACHABLE: ["started", "lost"],
    State.DISABLED: ["disabled"],
    State.IDLE: ["rested"],
    State.NEEDS_LOGIN: ["started", "unauthorized"],
}


class RecordingHands:
    """Writes down what it is asked."""

    def __init__(self) -> None:
        self.state = State.STOPPED
        self.asked: list[str] = []

    def became(self, state: State) -> None:
        self.state = state

    def wait(self) -> None:
        self.asked.append("wait")

    def probe(self) -> None:
        self.asked.append("probe")

    def start(self) -> None:
        self.asked.append("start")


def fare(events: list[str]) -> RecordingHands:
    """What the hands were asked for, given these events."""
    hands = RecordingHands()
    condition = new_condition(Core(hands))
    for event in events:
        getattr(condition, event)()
    return hands


class ConditionTests:
    """Events in, states and requests out."""

    @pytest.mark.parametrize("state", State)
    def test_roads(self, state: State) -> None:
        """There is a way to every state."""
        assert fare(ROADS[state]).state is state

    @pytest.mark.parametrize(
        ("events", "state", "asked"),
        [
            (["started", "ready", "faltered", "recovered"], State.RUNNING, []),
            (["started", "ready", "faltered", "crashed"], State.RESTARTING, ["wait"]),
            (["started", "ready", "crashed", "retry"], State.RESTARTING, ["wait", "start"]),
            (["started", "ready", "crashed", "retry", "started", "ready"], State.RUNNING, ["wait", "start"]),
            (["started", "ready", "crashed", "started"], State.STARTING, ["wait"]),
            (["started", "ready", "replaced", "crashed", "started"], State.STARTING, []),
            (["started", "ready", "replaced", "stuck"], State.ERROR, ["wait"]),
            (["started", "crashed"], State.ERROR, ["wait"]),
            (["started", "failed", "retry"], State.RESTARTING, ["wait", "start"]),
            (["started", "failed", "started"], State.STARTING, ["wait"]),
            (["started", "ready", "crashed", "retry", "stuck"], State.ERROR, ["wait", "start", "wait"]),
            (["started", "stuck"], State.ERROR, ["wait"]),
            (["started", "lost", "retry", "started", "ready"], State.RUNNING, ["probe", "start"]),
            (["started", "ready", "lost"], State.UNREACHABLE, ["probe"]),
            (["started", "ready", "stopped", "crashed"], State.STOPPED, []),
            (["started", "ready", "rested", "crashed", "started"], State.STARTING, []),
            (["started", "failed", "disabled", "retry", "started"], State.DISABLED, ["wait"]),
            (["disabled", "enabled", "started"], State.STARTING, []),
            (["started", "unauthorized", "crashed", "retry", "stuck", "stopped"], State.NEEDS_LOGIN, []),
            (["started", "unauthorized", "started", "ready"], State.RUNNING, []),
            (["started", "unauthorized", "authorized", "started"], State.STARTING, []),
            (["started", "ready", "unauthorized"], State.NEEDS_LOGIN, []),
        ],
    )
    def test_courses(self, events: list[str], state: State, asked: list[str]) -> None:
        """Each course of events ends in this state, and asks for exactly this on its way."""
        hands = fare(events)
        assert (hands.state, hands.asked) == (state, asked)

    @pytest.mark.parametrize(("state", "event"), list(product(State, EVENTS)))
    def test_every_event_in_every_state(self, state: State, event: str) -> None:
        """Nothing that happens is without an answer, and the answer is one state."""
        hands = fare([*ROADS[state], event])
        assert hands.state in State
        if event == "disabled":
            assert hands.state is State.DISABLED
        elif state is State.DISABLED:
            assert hands.state is (State.STOPPED if event == "enabled" else State.DISABLED)

    @given(st.lists(st.sampled_from(EVENTS), max_size=40))
    def test_any_walk(self, events: list[str]) -> None:
        """A server runs only after a handshake, and is tried again only where it was waited for."""
        hands = RecordingHands()
        condition = new_condition(Core(hands))
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
        assert worst([]) is State.STOPPED

    @given(st.lists(st.sampled_from(State), min_size=1))
    def test_order(self, states: list[State]) -> None:
        """One that does not work is never hidden by one that does."""
        found = worst(states)
        assert found in states
        sick = {State.DEGRADED, State.RESTARTING, State.ERROR, State.UNREACHABLE, State.DISABLED}
        assert (found in sick) == bool(sick.intersection(states))
