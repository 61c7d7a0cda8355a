"""Tests of timers while the clock is set, on a real reactor whose clock the tests set."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.task import LoopingCall

from mcpgateway.app.steady_timers import keep_steady


class SetClock:
    """A reactor of its own, whose clock is ahead of the machine's by what a test says."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.reactor = SelectReactor()
        self.reactor.seconds = lambda: time.time() + self.ahead  # type: ignore[method-assign]
        keep_steady(self.reactor)

    def turn(self, until: list[object]) -> None:
        """Let the reactor work until something has come; half a minute at most."""
        ends = time.monotonic() + 30
        while not until and time.monotonic() < ends:
            self.reactor.runUntilCurrent()
            self.reactor.doIteration(min(self.reactor.timeout() or 0.0, 0.01))


@pytest.fixture
def clock() -> Iterator[SetClock]:
    made = SetClock()
    yield made
    for each in made.reactor.getDelayedCalls():
        each.cancel()
    made.reactor.removeAll()


def test_set_back(clock: SetClock) -> None:
    """A timer, and a task that repeats, come in time after the clock was set back by an hour."""
    came: list[object] = []
    repeated: list[object] = []
    loop = LoopingCall(repeated.append, 1)
    loop.clock = clock.reactor
    loop.start(0.05, now=False)
    clock.reactor.callLater(0.3, came.append, 1)
    clock.ahead = -3600
    clock.turn(came)
    assert (came, bool(repeated)) == ([1], True)
    del repeated[:]
    clock.turn(repeated)
    assert repeated
    loop.stop()


def test_set_forward(clock: SetClock) -> None:
    """A timer of an hour does not come since the clock was set forward by two, and one of a moment comes."""
    came: list[object] = []
    late: list[object] = []
    clock.reactor.callLater(3600, late.append, 1)
    clock.reactor.callLater(0.2, came.append, 1)
    clock.ahead = 7200
    clock.turn(came)
    assert (came, late) == ([1], [])
