"""The clock demo server."""

from datetime import UTC, datetime, timedelta

import pytest

from mcpgateway.demo import clock
from mcpgateway.demo.stdio import ToolError


class ClockTests:
    """The time of the clock."""

    def test_now_is_utc_by_default(self):
        """Without a zone the time is told in UTC."""
        told = datetime.fromisoformat(clock.now())
        assert told.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - told) < timedelta(minutes=5)

    def test_unknown_zone(self):
        """A zone nobody knows is refused with its name, and so is one that is a path."""
        for name in ("Nowhere/Atall", "../etc/passwd", "", "Europe"):
            with pytest.raises(ToolError, match="Unknown time zone"):
                clock.now(name)

    def test_convert_from_an_offset(self):
        """An offset written in the time is believed."""
        assert clock.convert("2026-03-01T09:30+09:00", "UTC", "UTC") == "2026-03-01T00:30:00+00:00"

    def test_convert_between_utc_and_utc(self):
        """A bare time is one of the zone named."""
        assert clock.convert("2026-03-01T09:30", "utc") == "2026-03-01T09:30:00+00:00"

    def test_unreadable_time(self):
        """A time that cannot be read is refused with an example of one that can."""
        with pytest.raises(ToolError, match="2026-03-01T09:30"):
            clock.convert("tea time", "UTC")

    def test_time_out_of_range(self):
        """A time whose conversion leaves the calendar is refused."""
        with pytest.raises(ToolError, match="too far away"):
            clock.convert("0001-01-01T00:00+14:00", "UTC")

    def test_server_has_both_tools(self):
        """The server offers what this module does."""
        assert set(clock.server().tools) == {"now", "convert"}
