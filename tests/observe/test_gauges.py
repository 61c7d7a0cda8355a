"""The size of the gateway in each minute of the last day."""

from __future__ import annotations

from mcpgateway.observe.gauges import Gauges
from mcpgateway.observe.timeline import MINUTES


class World:
    """A clock and a gateway that grows.

    :ivar now: seconds since the epoch.
    :ivar looks: the number of times that the size was looked at.
    """

    def __init__(self) -> None:
        self.now = 60_000_000.0
        self.looks = 0
        self.gauges = Gauges(lambda: self.now, self.measure)
        self.gauges.tick()

    def measure(self) -> tuple[int, int, int]:
        """The next size."""
        self.looks += 1
        return self.looks * 2**20, self.looks * 10, self.looks * 100

    def wait(self, seconds: float) -> None:
        """Let time pass, a tick each second."""
        for _ in range(int(seconds)):
            self.now += 1
            self.gauges.tick()


class GaugeTests:
    """The sizes."""

    def test_once_a_minute(self) -> None:
        """The size is looked at once a minute, and once more for a reader, whose look is the current minute."""
        world = World()
        world.wait(180)
        assert world.looks == 3
        found = world.gauges.by_minute()
        assert list(found.values()) == [
            {"memory_mb": each, "processes": each * 10, "sessions": each * 100}
            for each in (1.0, 2.0, 3.0, 4.0)
        ]
        assert list(found) == [1_000_000, 1_000_001, 1_000_002, 1_000_003]

    def test_a_day(self) -> None:
        """Minutes older than a day are forgotten."""
        world = World()
        for _ in range(MINUTES + 10):
            world.now += 60
            world.gauges.tick()
        assert len(world.gauges.by_minute()) == MINUTES + 1
