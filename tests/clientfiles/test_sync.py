"""Clients' files that change while they are enrolled: changes that are followed, put back, or left."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mcpgateway.clientfiles.disk import Disk
from mcpgateway.clientfiles.enrolment import apply, suspend, undo
from mcpgateway.clientfiles.files import FileChoice
from mcpgateway.clientfiles.plan import EnrolRequest
from mcpgateway.clientfiles.report import Report
from mcpgateway.clientfiles.sync import RETURNS, RETURNS_WITHIN_S, sync
from tests.support.clients import PROGRAM, House

OTHER = {"command": "/bin/cat"}
OURS = {"type": "http", "url": "http://localhost:9100/a/mcp"}


class Ticking(Disk):
    """A disk whose time goes on by itself where somebody waits."""

    def __init__(self) -> None:
        self.at = 1_800_000_000.0
        self.slept: list[float] = []

    def now(self) -> float:
        """Seconds since 1970."""
        return self.at

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self.slept.append(seconds)
        self.at += seconds


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A user's home, in which Claude Code leads here with the servers a and b."""
    made = House(tmp_path)
    made.write(made.claude, {"a": PROGRAM, "b": OTHER})
    apply(made.machine, EnrolRequest())
    return made


def synced(house: House, disk: Disk | None = None) -> Report:
    """Go through the files once."""
    return sync(str(house.home), house.environ, disk or Ticking())


class SyncTests:
    """Going through files that lead here."""

    def test_nothing(self, house: House) -> None:
        """A file that is as it was left stays so."""
        before = house.claude.read_bytes()
        assert not synced(house).is_changed
        assert house.claude.read_bytes() == before

    def test_nothing_leads_here(self, tmp_path: Path) -> None:
        """Where nothing leads here nothing is made."""
        assert synced(House(tmp_path)).files == ()
        assert not (tmp_path / ".mcp-gateway").exists()

    def test_added(self, house: House) -> None:
        """A server that the user has added leads here, and comes back as it was added."""
        servers = house.servers(house.claude)
        house.write(house.claude, {**servers, "new": {"type": "stdio", **OTHER}})
        assert synced(house).files[0].adopted == {"new": "new"}
        assert house.servers(house.claude)["new"] == {**OURS, "url": "http://localhost:9100/new/mcp"}
        undo(house.machine, EnrolRequest())
        assert house.servers(house.claude)["new"] == {"type": "stdio", **OTHER}

    def test_not_watched(self, house: House) -> None:
        """Where the configuration says that changes are not followed, they are not."""
        house.configure("clients: {watch: false}\n")
        house.write(house.claude, {**house.servers(house.claude), "new": OTHER})
        assert synced(house).files == ()
        assert house.servers(house.claude)["new"] == OTHER

    def test_opted_out(self, house: House) -> None:
        """A server that was given back to its clients stays theirs."""
        undo(house.machine, EnrolRequest(servers=("a",)))
        assert not synced(house).is_changed
        assert house.servers(house.claude)["a"] == PROGRAM

    def test_remote(self, house: House) -> None:
        """A URL that another program puts back is enrolled again; a new one stays its client's own."""
        far = {"type": "http", "url": "https://x.example/mcp", "headers": {"X-Key": "hush"}}
        house.write(house.claude, {**house.servers(house.claude), "far": far})
        assert not synced(house).is_changed
        apply(house.machine, EnrolRequest(remote=True))
        enrolled = house.servers(house.claude)
        assert enrolled["far"] == {**OURS, "url": "http://localhost:9100/far/mcp"}
        house.write(house.claude, {**enrolled, "far": far})
        assert not synced(house).files[0].gone
        assert house.servers(house.claude) == enrolled
        undo(house.machine, EnrolRequest())
        assert house.servers(house.claude) == {"a": PROGRAM, "b": OTHER, "far": far}

    def test_removed(self, house: House) -> None:
        """A server that the user has removed is forgotten, and stays away for good."""
        house.write(house.claude, {"a": house.servers(house.claude)["a"]})
        assert synced(house).files[0].gone == ("b",)
        assert "b" not in house.machine.settings.blueprints
        undo(house.machine, EnrolRequest())
        assert house.servers(house.claude) == {"a": PROGRAM}

    def test_last_removed(self, house: House) -> None:
        """When the user has removed the last server, what is added later leads here nevertheless."""
        house.write(house.claude, {})
        assert synced(house).files[0].gone == ("a", "b")
        house.write(house.claude, {"new": OTHER})
        assert synced(house).files[0].adopted == {"new": "new"}

    @pytest.mark.parametrize("text", ["{}", '{"numStartups": 1}'])
    def test_cut_short(self, house: House, text: str) -> None:
        """A file that has lost all its servers and their place is looked at twice, and nothing is forgotten."""
        house.claude.write_text(text)
        disk = Ticking()
        report = synced(house, disk)
        assert "cut short" in report.files[0].left[0].why
        assert disk.slept
        assert {each.name for each in next(iter(house.machine.records.files.values())).entries.values()} == {
            "a",
            "b",
        }
        assert house.claude.read_text() == text

    def test_whole_again(self, house: House) -> None:
        """A file that is whole again at the second look is gone through as usual."""
        whole = house.claude.read_text()
        house.claude.write_text("{}")
        disk = Ticking()
        disk.sleep = lambda _: house.claude.write_text(whole)  # type: ignore[method-assign]
        assert synced(house, disk).files[0].left == ()

    def test_invalid(self, house: House) -> None:
        """A file that is not valid is never touched."""
        house.claude.write_text('{"mcpServers": {"a"')
        assert synced(house).files[0].left[0].why
        assert house.claude.read_text() == '{"mcpServers": {"a"'

    def test_displaced(self, house: House) -> None:
        """An entry that another writer's old copy has put back is enrolled again, and left when that goes on."""
        led = house.servers(house.claude)
        stale = {**led, "a": PROGRAM}
        disk = Ticking()
        for _ in range(RETURNS):
            house.write(house.claude, stale)
            assert synced(house, disk).files[0].adopted == {"a": "a"}
            assert house.servers(house.claude) == led
        house.write(house.claude, stale)
        report = synced(house, disk).files[0]
        assert (report.changed, report.left[0].title) == (False, "a")
        assert house.servers(house.claude) == stale
        disk.at += RETURNS_WITHIN_S
        assert synced(house, disk).is_changed

    def test_edited(self, house: House) -> None:
        """A server that the user has added again in another form leads here as what it is now."""
        house.write(house.claude, {**house.servers(house.claude), "a": {"command": "/bin/true"}})
        name = synced(house).files[0].adopted["a"]
        assert house.machine.settings.blueprints[name].entry.argv == ("/bin/true",)
        undo(house.machine, EnrolRequest())
        assert house.servers(house.claude)["a"] == {"command": "/bin/true"}

    def test_edited_beside_its_url(self, tmp_path: Path) -> None:
        """A command that the user has written beside the gateway's URL is the entry's original from then on."""
        house = House(tmp_path)
        house.write(house.cursor, {"a": PROGRAM, "b": OTHER})
        apply(house.machine, EnrolRequest())
        led = house.servers(house.cursor)
        mixed = {**led["a"], "command": "/bin/true", "args": ["two"]}
        house.write(house.cursor, {**led, "a": mixed})
        adopted = house.machine.settings.adopted[0]
        assert (adopted.servers, len(adopted.unsettled)) == (("b",), 1)
        assert synced(house).files[0].renewed == {"a": "a"}
        assert house.servers(house.cursor) == led
        assert house.machine.settings.adopted[0].servers == ("a", "b")
        undo(house.machine, EnrolRequest())
        mended = {**PROGRAM, "command": "/bin/true", "args": ["two"]}
        assert house.servers(house.cursor) == {"a": mended, "b": OTHER}

    def test_edited_beside_its_url_in_a_project(self, house: House, tmp_path: Path) -> None:
        """A project's file may have been written by others: such a command is told and left, and does not run."""
        file = house.write(tmp_path / "shop" / ".cursor" / "mcp.json", {"p": PROGRAM})
        apply(house.machine, EnrolRequest(FileChoice(project=str(tmp_path / "shop"))))
        led = house.servers(file)
        house.write(file, {"p": {**led["p"], "command": "/bin/evil"}})
        report = next(each for each in synced(house).files if each.path == str(file))
        assert (report.changed, report.left[0].title) == (False, "p")
        assert not [each for each in house.machine.settings.blueprints.values() if "evil" in str(each)]

    def test_renamed(self, house: House) -> None:
        """A server that the user has given another name is not forgotten, and comes back under that name."""
        house.write(house.claude, {"z": house.servers(house.claude)["a"]})
        assert synced(house).files[0].gone == ("b",)
        undo(house.machine, EnrolRequest())
        assert house.servers(house.claude) == {"z": PROGRAM}

    def test_led_elsewhere(self, house: House) -> None:
        """An entry that the user has led elsewhere is the user's."""
        elsewhere = {"type": "http", "url": "https://x.example/mcp"}
        house.write(house.claude, {**house.servers(house.claude), "a": elsewhere})
        assert synced(house).files[0].gone == ("a",)
        undo(house.machine, EnrolRequest())
        assert house.servers(house.claude)["a"] == elsewhere

    def test_project(self, house: House, tmp_path: Path) -> None:
        """An entry that is added to a project's file waits for its user."""
        file = house.write(tmp_path / "shop" / ".mcp.json", {"p": PROGRAM})
        apply(house.machine, EnrolRequest(FileChoice(project=str(file.parent))))
        house.write(file, {**house.servers(file), "evil": OTHER})
        report = next(each for each in synced(house).files if each.path == str(file))
        assert (report.changed, report.left[0].title) == (False, "evil")

    def test_away(self, house: House) -> None:
        """A gateway that was away and is back leads the files here again."""
        suspend(str(house.home), house.environ, "away")
        assert house.servers(house.claude)["a"] == PROGRAM
        assert synced(house).is_changed
        assert house.servers(house.claude)["a"] == OURS

    @pytest.mark.parametrize("why", ["stopped", "disabled"])
    def test_suspended(self, house: House, why: str) -> None:
        """A file that was given back on purpose is left."""
        suspend(str(house.home), house.environ, why)
        assert not synced(house).is_changed

    def test_count_is_lost(self, house: House) -> None:
        """Where the count of returns cannot be read it begins anew."""
        (house.home / "displaced.json").write_text("[]")
        house.write(house.claude, {**house.servers(house.claude), "a": PROGRAM})
        assert synced(house).is_changed
        assert json.loads((house.home / "displaced.json").read_text())
        assert os.stat(house.home / "displaced.json").st_mode & 0o077 == 0
