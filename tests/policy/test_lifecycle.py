"""The life of a slot's child, by lists of events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.policy.lifecycle import LifecycleMachine, new_life

INPUTS = ("wanted", "ready", "failed", "ending", "gone", "unwanted")


class RecordingHands:
    """Hands that record their requests."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def start(self) -> None:
        self.asked.append("start")

    def serve(self) -> None:
        self.asked.append("serve")

    def refuse(self) -> None:
        self.asked.append("refuse")

    def stop(self) -> None:
        self.asked.append("stop")

    def rest(self) -> None:
        self.asked.append("rest")


def live(events: list[str]) -> list[str]:
    """Return the requests to the hands, given these events."""
    hands = RecordingHands()
    life = new_life(LifecycleMachine(hands))
    for event in events:
        getattr(life, event)()
    return hands.asked


class LifeTests:
    """Events in, requests out."""

    @pytest.mark.parametrize(
        ("events", "asked"),
        [
            (["wanted", "wanted", "ready", "wanted"], ["start", "serve"]),
            (["wanted", "failed", "gone", "wanted"], ["start", "refuse", "start"]),
            (["wanted", "gone", "failed"], ["start", "refuse"]),
            (["wanted", "ready", "gone", "wanted"], ["start", "serve", "rest", "start"]),
            (["wanted", "ready", "unwanted", "gone"], ["start", "serve", "stop", "rest"]),
            (["wanted", "unwanted", "ready", "gone"], ["start", "refuse", "stop", "rest"]),
            (["wanted", "ready", "unwanted", "wanted", "gone"], ["start", "serve", "stop", "rest", "start"]),
            (
                ["wanted", "ready", "unwanted", "wanted", "unwanted", "gone"],
                ["start", "serve", "stop", "refuse", "rest"],
            ),
            (["wanted", "ready", "ending", "ending", "gone"], ["start", "serve", "rest", "start"]),
            (["unwanted"], ["rest"]),
        ],
    )
    def test_lives(self, events: list[str], asked: list[str]) -> None:
        """A life has exactly these requests."""
        assert live(events) == asked

    @given(st.lists(st.sampled_from(INPUTS), max_size=30))
    def test_any_walk(self, events: list[str]) -> None:
        """No sequence of events is without an answer, and a child is never started beside another."""
        running = False
        hands = RecordingHands()
        life = new_life(LifecycleMachine(hands))
        for event in events:
            before = len(hands.asked)
            getattr(life, event)()
            if event in ("gone", "failed"):
                running = False
            for what in hands.asked[before:]:
                assert not (what == "start" and running)
                running = running or what == "start"
