"""Turns: so many at once, so many that wait, and fair between callers."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock

from mcpgateway.config.gateway_settings import Limits
from mcpgateway.errors import Overloaded
from mcpgateway.frontends.rest.fair_queue import FairQueue


@define
class Crowd:
    """Callers who want something done.

    :ivar begun: whose work has begun, in order.
    :ivar ends: what ends each work.
    :ivar refused: whose was refused.
    """

    limits: Limits
    clock: Clock = field(factory=Clock)
    begun: list[str] = field(factory=list)
    ends: list[Deferred[None]] = field(factory=list)
    refused: list[str] = field(factory=list)
    turns: FairQueue = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.turns = FairQueue(lambda: self.limits, self.clock)

    def come(self, name: str) -> Deferred[Any]:
        """A caller wants something done."""

        async def work() -> None:
            self.begun.append(name)
            end: Deferred[None] = Deferred()
            self.ends.append(end)
            await end

        def refused(why: Any) -> None:
            why.trap(Overloaded)
            self.refused.append(name)

        return ensureDeferred(self.turns.take(name[0], work)).addErrback(refused)

    def end(self) -> None:
        """The work that has begun first is done."""
        self.ends.pop(0).callback(None)


class TurnTests:
    """Callers that are let in, and in which order."""

    def test_in_turn(self) -> None:
        """Callers take turns, whoever has come first with most."""
        crowd = Crowd(Limits(concurrent=1, backlog=10))
        for name in ("a1", "a2", "a3", "a4", "b1", "b2", "c1"):
            crowd.come(name)
        while crowd.ends:
            crowd.end()
        assert crowd.begun == ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]

    def test_shown(self) -> None:
        """The queue counts its running and waiting requests, and is empty when all are done."""
        crowd = Crowd(Limits(concurrent=2, backlog=10))
        for name in ("a1", "a2", "b1", "c1", "c2"):
            crowd.come(name)
        assert crowd.turns.shown() == {"running": 2, "waiting": 3}
        while crowd.ends:
            crowd.end()
        assert crowd.turns.shown() == {"running": 0, "waiting": 0}

    def test_full(self) -> None:
        """Where the queue is full, the one with most in it gives up a place to one with fewer, and else nobody."""
        crowd = Crowd(Limits(concurrent=1, backlog=3))
        for name in ("a1", "a2", "a3", "a4", "a5"):
            crowd.come(name)
        assert crowd.refused == ["a5"]
        crowd.come("b1")
        assert crowd.refused == ["a5", "a4"]
        crowd.come("b2")
        assert crowd.refused == ["a5", "a4", "b2"]
        while crowd.ends:
            crowd.end()
        assert crowd.begun == ["a1", "a2", "b1", "a3"]

    def test_slow_work(self) -> None:
        """A caller with much slow work under way leaves room for others, and none of his own is lost."""
        crowd = Crowd(Limits(concurrent=20, backlog=30))
        for number in range(40):
            crowd.come(f"a{number}")
        assert len(crowd.begun) == 19
        crowd.come("b1")
        assert crowd.begun[-1] == "b1"
        while crowd.ends:
            crowd.end()
        assert len(crowd.begun) == 41
        assert crowd.turns.shown() == {"running": 0, "waiting": 0}

    def test_too_late(self) -> None:
        """A caller that waits too long is refused, and a place that is given up is free."""
        crowd = Crowd(Limits(concurrent=1, backlog=1, wait_s=5))
        crowd.come("a1")
        crowd.come("a2")
        crowd.clock.advance(6)
        assert crowd.refused == ["a2"]
        crowd.come("b1")
        crowd.end()
        crowd.end()
        assert crowd.begun == ["a1", "b1"]
        crowd.come("c1")
        assert crowd.begun[-1] == "c1"

    def test_gone(self) -> None:
        """A caller who goes while waiting leaves his place to others."""
        crowd = Crowd(Limits(concurrent=1, backlog=1))
        crowd.come("a1")
        gone = crowd.come("a2")
        gone.addErrback(lambda _: None)
        gone.cancel()
        crowd.come("b1")
        crowd.end()
        assert crowd.begun == ["a1", "b1"]
        assert crowd.refused == []
