"""The numbers of requests in each minute of the last day."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.hub.meters import Meters
from mcpgateway.interfaces import Request
from mcpgateway.observe.timeline import MINUTES, Timeline
from mcpgateway.protocol.jsonrpc import own_request


class World:
    """A clock and calls.

    :ivar now: seconds since the epoch.
    """

    def __init__(self) -> None:
        self.now = 60_000_000.0
        self.meters = Meters(lambda: self.now)
        self.timeline = Timeline(self.meters, lambda: self.now)
        self.timeline.tick()

    def call(self, server: str, *, fails: bool = False) -> None:
        """Let a call come to its end, half a second after it began."""
        call = Request(None, own_request("ping"), None, None)
        self.meters.of(server).begin(call)
        call.began -= 0.5
        if fails:
            call.meter.failed(call, None)
        else:
            call.meter.answered(call, {}, b"")

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.timeline.tick()


@pytest.fixture
def world() -> World:
    """A gateway at the beginning of a minute."""
    return World()


class TimelineTests:
    """Minutes are told apart."""

    def test_shape(self, world: World) -> None:
        """A minute has its counts, by server too; the last one is the present one."""
        world.call("a")
        world.call("a", fails=True)
        world.call("b")
        world.wait(120)
        world.call("b")
        first, idle, current = world.timeline.shown(3)
        assert first == {
            "minuteTs": 60_000_000_000,
            "requests": 3,
            "errors": 1,
            "totalMs": 1500,
            "perServer": {"a": 2, "b": 1},
        }
        assert (idle["requests"], idle["perServer"], idle["minuteTs"]) == (0, {}, 60_000_060_000)
        assert (current["requests"], current["perServer"]) == (1, {"b": 1})

    def test_never_ticked(self) -> None:
        """The timeline before the first tick has the present minute."""
        meters = Meters(lambda: 0.0)
        assert Timeline(meters, lambda: 59.0).shown(1)[0]["requests"] == 0

    def test_a_day(self, world: World) -> None:
        """Minutes older than a day are forgotten."""
        for _ in range(MINUTES + 10):
            world.call("a")
            world.wait(60)
        assert sum(each["requests"] for each in world.timeline.shown(MINUTES + 100)) == MINUTES

    @given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(0, 200)), max_size=30))
    def test_nothing_is_lost(self, calls: list[tuple[str, bool, int]]) -> None:
        """Whenever calls come, all of them stand in the minutes."""
        world = World()
        for server, fails, seconds in calls:
            world.call(server, fails=fails)
            world.wait(seconds)
        shown = world.timeline.shown(MINUTES)
        assert sum(each["requests"] for each in shown) == len(calls)
        assert sum(each["errors"] for each in shown) == sum(fails for _, fails, _ in calls)
        for name in "abc":
            counted = sum(each["perServer"].get(name, 0) for each in shown)
            assert counted == sum(server == name for server, _, _ in calls)
