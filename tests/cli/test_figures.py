"""Numbers, as the command line shows them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.cli.commands.running import figures

TOOL = {
    "calls": 10,
    "errors": 0,
    "totalMs": 100,
    "avgMs": 10,
    "p99Ms": 2500,
    "errorRate": 0.0,
    "lastCalledAt": 1_000_000_000_000,
    "server": "a",
}
SERVER = {
    "name": "a",
    "status": "running",
    "enabled": True,
    "activeChildren": 1,
    "totalRequests": 1234,
    "totalCalls": 7,
}


def stats(**more: Any) -> dict[str, Any]:
    """The statistics of the gateway."""
    return {
        "uptimeSeconds": 3700,
        "totalRequests": 1234,
        "totalErrors": 5,
        "totalCalls": 7,
        "totalCallErrors": 2,
        "timeline": [
            {"minuteTs": 1_000_000_000_000, "requests": 9, "calls": each, "callErrors": each // 4}
            for each in (0, 1, 8)
        ],
        "timelineSince": 1_000_000_000_000,
        "activeConnections": 2,
        "memoryMB": 48,
        "toolStats": {},
        "servers": [],
        **more,
    }


def told(
    capsys: pytest.CaptureFixture[str], found: dict[str, Any], sort: str = "calls", limit: int = 20
) -> str:
    """The printed figures."""
    figures.tell_stats(found, sort, limit, 1_000_000_060.0)
    return capsys.readouterr().out


class StatsTests:
    """``stats``."""

    def test_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A gateway that was never asked anything has numbers too."""
        out = told(capsys, stats())
        assert "Calls:     7 of tools, of which 2 failed" in out
        assert "Requests:  1,234 in all, of which 5 failed" in out
        assert "Last hour: 9 calls, of which 2 failed\n           ·▁█" in out
        assert "TOOL" not in out

    def test_a_part_of_the_hour(self, capsys: pytest.CaptureFixture[str]) -> None:
        """An hour that is not known from its beginning says from when on it is."""
        out = told(capsys, stats(timelineSince=1_000_000_060_000))
        assert "Last hour: 9 calls, of which 2 failed, known since 2001-09-09T01:47:40Z\n" in out

    def test_tools(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Tools stand in the order that was asked for, and those beyond the limit are counted."""
        slow = TOOL | {"avgMs": 99.5, "calls": 1, "errors": 1, "errorRate": 1.0}
        found = stats(toolStats={"often": TOOL, "slow": slow, "other": TOOL | {"calls": 2}})
        lines = [each.split() for each in told(capsys, found).splitlines()]
        names = [line[0] for line in lines if line and line[0] in found["toolStats"]]
        assert names == ["often", "other", "slow"]
        assert ["often", "a", "10", "0", "10", "ms", "2.5", "s", "1", "min", "ago"] in lines
        out = told(capsys, found, "avg", 1)
        assert "slow" in out
        assert "100.0%" in out
        assert "often" not in out
        assert "2 more" in out

    def test_servers(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A server that never had to be restarted has no time between failures."""
        crashed = {
            "restart_count": 2,
            "mtbf": "1h2m3s",
            "uptime_seconds": 5,
            "last_crash_at": "2026-11-22T04:00:00+00:00",
        }
        calm = {"restart_count": 0, "mtbf": "0s", "uptime_seconds": 0}
        found = stats(servers=[SERVER | crashed, SERVER | calm | {"name": "b", "enabled": False}])
        first, second = told(capsys, found).splitlines()[-2:]
        assert first.split() == [
            "a",
            "running",
            "1",
            "7",
            "1,234",
            "2",
            "1h2m3s",
            "5",
            "s",
            "2026-11-22T04:00:00+00:00",
        ]
        assert second.split() == ["b", "disabled", "1", "7", "1,234", "0"]


class SavingsTests:
    """``savings``."""

    def test_all(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Processes, memory, tokens by the day, and the servers that run."""
        server = {
            "name": "a",
            "sessions": 4,
            "without": 4,
            "running": 1,
            "saved": 3,
            "memory_mb": 50.0,
            "saved_mb": 150.0,
        }
        figures.tell_savings(
            {
                "uptime_seconds": 7200,
                "processes": {"without": 4, "running": 1, "saved": 3, "hours_saved": 6.0},
                "memory": {
                    "without_mb": 200.0,
                    "running_mb": 50.0,
                    "gateway_mb": 40.0,
                    "saved_mb": 110.0,
                    "templates_mb": 7.0,
                },
                "tokens": {
                    "total": 12345,
                    "today": 45,
                    "days": {"2026-11-22": {"a": {"deferral": 40, "shielding": 5}}},
                },
                "servers": [server, server | {"name": "idle", "running": 0}],
            }
        )
        out = capsys.readouterr().out
        assert "3 saved: 1 run, 4 would without the gateway" in out
        assert "110 MB saved" in out
        assert "7 MB for templates of servers" in out
        assert "12,345 spared, 45 of them today" in out
        assert "2026-11-22  45" in out
        assert "idle" not in out

    def test_nothing_yet(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Where nothing is shared, the gateway costs what it takes."""
        figures.tell_savings(
            {
                "uptime_seconds": 5,
                "processes": {"without": 0, "running": 1, "saved": -1, "hours_saved": -0.5},
                "memory": {"without_mb": 0.0, "running_mb": 14.0, "gateway_mb": 50.0, "saved_mb": -64.0},
                "tokens": {"days": {}},
                "servers": [],
            }
        )
        out = capsys.readouterr().out
        assert "1 more than without: 1 run, 0 would without the gateway" in out
        assert "30 min of process time more than without" in out
        assert "64 MB more than without" in out


class WordTests:
    """Numbers as words."""

    @given(st.lists(st.integers(0, 10**9)))
    def test_bars(self, values: list[int]) -> None:
        """A bar stands for each number, the tallest for the largest, and a dot for none."""
        shown = figures.spark(values)
        assert len(shown) == len(values)
        assert [each == "·" for each in shown] == [not each for each in values]
        if any(values):
            assert shown[values.index(max(values))] == figures.BARS[-1]
