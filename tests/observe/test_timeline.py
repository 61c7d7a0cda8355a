"""The numbers of requests in each minute of the last day."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from twisted.internet.defer import ensureDeferred, succeed

from mcpgateway.hub.meters import Meters
from mcpgateway.interfaces import Request
from mcpgateway.observe.recorder import written
from mcpgateway.observe.timeline import MINUTES, HourCounts, Timeline
from mcpgateway.protocol.jsonrpc import own_request


class World:
    """A clock and calls.

    :ivar now: seconds since the epoch.
    """

    def __init__(self) -> None:
        self.now = 60_000_000.0
        self.meters = Meters(lambda: self.now)
        self.log: list[str] = []
        self.timeline = self.begun()

    def begun(self) -> Timeline:
        """A timeline that begins now, and reads the log."""
        found = Timeline(self.meters, lambda: self.now, lambda work: succeed(work(self.log)))
        found.tick()
        return found

    def shown(self, minutes: int) -> list[dict[str, Any]]:
        """Return the latest minutes as a reader gets them."""
        ensureDeferred(self.timeline.learn())
        return self.timeline.shown(minutes)

    def since(self, minutes: int) -> float:
        """Return from when on the latest minutes are known, as a reader gets it."""
        ensureDeferred(self.timeline.learn())
        return self.timeline.since(minutes)

    def restart(self) -> None:
        """Forget all but the log."""
        self.meters = Meters(lambda: self.now)
        self.timeline = self.begun()

    def call(self, server: str, *, fails: bool = False) -> None:
        """Let a call come to its end, half a second after it began."""
        call = Request(None, own_request("tools/call", {"name": Raw(b'"t"')}), None, None)
        self.meters.of(server).begin(call)
        call.began -= 0.5
        if fails:
            call.meter.failed(call, None)
        else:
            call.meter.answered(call, {}, b"")
        outcome = "error" if fails else "ok"
        line = {"at": written(self.now), "kind": "call", "server": server, "ms": 500, "outcome": outcome}
        self.log.append(json.dumps(line))

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
        first, idle, current = world.shown(3)
        assert first == {
            "minuteTs": 60_000_000_000,
            "requests": 3,
            "errors": 1,
            "totalMs": 1500,
            "calls": 3,
            "callErrors": 1,
            "perServer": {"a": 2, "b": 1},
        }
        assert (idle["requests"], idle["perServer"], idle["minuteTs"]) == (0, {}, 60_000_060_000)
        assert (current["requests"], current["perServer"]) == (1, {"b": 1})

    def test_the_last_hour(self, world: World) -> None:
        """The calls of one server count for an hour, the current minute included."""
        world.call("a", fails=True)
        world.wait(60)
        world.call("a")
        world.call("b")
        assert (world.timeline.hour("a"), world.timeline.hour("never")) == (HourCounts(2, 1), HourCounts())
        world.wait(59 * 60)
        assert world.timeline.hour("a") == HourCounts(1)
        world.wait(120)
        assert world.timeline.hour("a") == HourCounts()

    def test_never_ticked(self) -> None:
        """The timeline before the first tick has the present minute."""
        meters = Meters(lambda: 0.0)
        assert Timeline(meters, lambda: 59.0).shown(1)[0]["requests"] == 0

    def test_a_day(self, world: World) -> None:
        """Minutes older than a day are forgotten."""
        for _ in range(MINUTES + 10):
            world.call("a")
            world.wait(60)
        assert sum(each["requests"] for each in world.shown(MINUTES + 100)) == MINUTES

    def test_the_log_is_too_short(self, world: World) -> None:
        """It is told from when on calls are known: from the start without a log, from its first line otherwise."""
        world.wait(3690)
        world.call("a")
        first = (world.now // 60 - 59) * 60
        assert world.since(60) == first  # of a log that was empty
        world.wait(1)
        world.restart()
        assert world.since(60) == world.now - 1
        world.log = ["{}", "not JSON", json.dumps({"at": "then", "kind": "call"})]
        world.restart()
        assert world.since(60) == first
        alone = Timeline(world.meters, lambda: world.now)
        assert (alone.since(60), alone.shown(60)[-1]["calls"]) == (world.now, 0)

    def test_what_is_logged(self, world: World) -> None:
        """A refused call, and what was asked of the gateway itself, count as no request."""
        at = written(world.now - 1)
        for line in ({"kind": "call", "outcome": "refused"}, {"kind": "management"}, {"kind": "request"}):
            world.log.append(json.dumps({"at": at, "server": "a", "outcome": "ok", **line}))
        found = world.shown(2)[0]
        assert (found["requests"], found["calls"], found["perServer"]) == (1, 0, {"a": 1})

    @given(
        st.lists(
            st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(1, 200), st.booleans()), max_size=30
        )
    )
    def test_nothing_is_lost(self, calls: list[tuple[str, bool, int, bool]]) -> None:
        """Whenever calls come, all of them stand in the minutes; so they do after a restart."""
        world = World()
        for server, fails, seconds, is_last in calls:
            world.call(server, fails=fails)
            world.wait(seconds)
            if is_last:
                world.restart()
        shown = world.shown(MINUTES)
        assert sum(each["requests"] for each in shown) == len(calls)
        assert sum(each["errors"] for each in shown) == sum(fails for _, fails, _, _ in calls)
        for name in "abc":
            counted = sum(each["perServer"].get(name, 0) for each in shown)
            assert counted == sum(server == name for server, _, _, _ in calls)
