"""The gateway stays away: the clients get their own servers back, and lead here again when it is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mcpgateway.clientfiles import deadman as module
from mcpgateway.clientfiles.deadman import deadman
from mcpgateway.clientfiles.enrolment import apply, suspend
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.clientfiles.plan import EnrolRequest
from mcpgateway.system.gateway_health import GatewayHealth
from tests.clientfiles.test_sync import OURS, Ticking
from tests.support.clients import PROGRAM, House


class Timer:
    """A timer that looks once a minute at a gateway that is there or not."""

    def __init__(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        self.house = house
        self.disk = Ticking()
        self.is_there = False
        monkeypatch.setattr(Machine, "answer", property(lambda _: GatewayHealth() if self.is_there else None))

    def look(self, after: float = 60.0) -> module.DeadmanState:
        """Look once, some seconds after the last time."""
        self.disk.at += after
        return deadman(str(self.house.home), self.house.environ, 120.0, self.disk)


@pytest.fixture
def timer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Timer:
    """The timer of a user whose Claude Code leads here."""
    house = House(tmp_path)
    house.write(house.claude, {"a": PROGRAM})
    apply(house.machine, EnrolRequest())
    return Timer(house, monkeypatch)


class DeadmanTests:
    """Looking once a minute."""

    def test_stays_away(self, timer: Timer) -> None:
        """After two minutes the files are given back, once, and lead here again when the gateway is back."""
        house = timer.house
        assert [timer.look().away_s, timer.look().away_s] == [0.0, 60.0]
        assert house.servers(house.claude)["a"] == OURS
        report = timer.look().report
        assert report is not None
        assert house.servers(house.claude)["a"] == PROGRAM
        assert timer.look().report is None
        timer.is_there = True
        assert timer.look().is_there
        assert house.servers(house.claude)["a"] == OURS
        assert not (house.home / "away.json").exists()

    def test_short_absence(self, timer: Timer) -> None:
        """A gateway that is back in time changes nothing, and the waiting begins anew."""
        timer.look()
        timer.is_there = True
        timer.look()
        timer.is_there = False
        assert timer.look().away_s == 0.0

    def test_machine_slept(self, timer: Timer) -> None:
        """A long time in which nobody looked is not counted."""
        timer.look()
        assert timer.look(after=100_000.0).away_s == 0.0

    def test_clock_set_back(self, timer: Timer) -> None:
        """Nor is a time that lies ahead."""
        timer.look()
        assert timer.look(after=-5000.0).away_s == 0.0

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"since": "x", "looked": 1}'])
    def test_bad_record(self, timer: Timer, text: str) -> None:
        """A record that cannot be read is begun anew."""
        (timer.house.home / "away.json").write_text(text)
        assert timer.look().away_s == 0.0
        assert json.loads((timer.house.home / "away.json").read_text())["since"] == timer.disk.at

    @pytest.mark.parametrize("why", ["stopped", "disabled"])
    def test_given_back_already(self, timer: Timer, why: str) -> None:
        """Where the files were given back on purpose nothing is done, and they stay so when the gateway is there."""
        house = timer.house
        suspend(str(house.home), house.environ, why)
        for _ in range(4):
            assert timer.look().report is None
        timer.is_there = True
        timer.look()
        assert house.servers(house.claude)["a"] == PROGRAM
