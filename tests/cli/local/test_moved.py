"""Entries of the gateway are found again: at another path, at another port, and without the ledger."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mcpgateway.clientfiles.enrolment import apply, resume, suspend, undo
from mcpgateway.clientfiles.plan import EnrolRequest
from mcpgateway.clientfiles.report import listed
from mcpgateway.clientfiles.sync import sync
from tests.support.clients import PROGRAM, House

OTHER = {"command": "/bin/cat"}


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A user's home, in which Claude Code leads to a gateway at another port than the usual."""
    made = House(tmp_path)
    made.configure("gateway: {http_port: 9200}\n")
    made.write(made.claude, {"a": PROGRAM, "b": OTHER})
    return made


class PathTests:
    """The path of a file that was moved."""

    def test_becomes_a_link(self, house: House) -> None:
        """A file that its user moves, and leads to by a link, is still known, and comes back to the byte."""
        before = house.claude.read_bytes()
        apply(house.machine, EnrolRequest())
        target = house.root / "dotfiles" / "claude.json"
        target.parent.mkdir()
        shutil.move(house.claude, target)
        house.claude.symlink_to(target)
        assert [each["state"] for each in listed(house.machine)["files"]] == ["as left"]
        assert suspend(str(house.home), house.environ, "stopped").is_changed
        assert house.claude.is_symlink()
        assert target.read_bytes() == before
        assert len(house.machine.records.files) == 1

    def test_is_a_link_no_more(self, house: House) -> None:
        """Where a link gives way to a file of its own, both the file and what it was a link to come back."""
        target = house.root / "dotfiles" / "claude.json"
        target.parent.mkdir()
        shutil.move(house.claude, target)
        house.claude.symlink_to(target)
        before = target.read_bytes()
        apply(house.machine, EnrolRequest())
        led = target.read_bytes()
        house.claude.unlink()
        house.claude.write_bytes(led)
        undo(house.machine, EnrolRequest())
        assert house.claude.read_bytes() == before
        assert target.read_bytes() == before
        assert not house.machine.records.files


class PortTests:
    """An entry of the gateway is known by its target, whatever port the gateway has now."""

    def test_edited_and_renamed(self, house: House) -> None:
        """Entries that their user has edited or renamed come back with the edits after the port has changed."""
        apply(house.machine, EnrolRequest())
        servers = house.servers(house.claude)
        servers["a2"] = servers.pop("a")
        servers["b"]["timeout"] = 120_000
        house.write(house.claude, servers)
        house.configure("gateway: {http_port: 9300}\n")
        report = suspend(str(house.home), house.environ, "stopped")
        assert not report.errors
        assert house.servers(house.claude) == {"a2": PROGRAM, "b": {**OTHER, "timeout": 120_000}}

    def test_followed(self, house: House) -> None:
        """Entries are led to the port that the gateway has now when files are gone through."""
        before = house.claude.read_bytes()
        apply(house.machine, EnrolRequest())
        house.configure("gateway: {http_port: 9300}\n")
        sync(str(house.home), house.environ)
        urls = {each["url"] for each in house.servers(house.claude).values()}
        assert urls == {"http://localhost:9300/a/mcp", "http://localhost:9300/b/mcp"}
        assert not sync(str(house.home), house.environ).is_changed
        undo(house.machine, EnrolRequest())
        assert house.claude.read_bytes() == before


class LostTests:
    """A ledger that is lost while files lead here."""

    @pytest.fixture
    def before(self, house: House) -> object:
        """The values of the file before the ledger was lost."""
        before = json.loads(house.claude.read_bytes())
        apply(house.machine, EnrolRequest())
        for each in ("ledger.db", "ledger.backup.db"):
            (house.home / "ledger" / each).write_bytes(b"")
        return before

    def test_stop(self, house: House, before: object) -> None:
        """A gateway that stops restores what can be known without the ledger."""
        assert suspend(str(house.home), house.environ, "stopped").is_changed
        assert json.loads(house.claude.read_bytes()) == before

    def test_start(self, house: House, before: object) -> None:
        """When the gateway starts, the entries lead here again, and the ledger knows what they were."""
        resume(str(house.home), house.environ)
        assert house.servers(house.claude)["a"]["url"] == "http://localhost:9200/a/mcp"
        undo(house.machine, EnrolRequest())
        assert json.loads(house.claude.read_bytes()) == before
