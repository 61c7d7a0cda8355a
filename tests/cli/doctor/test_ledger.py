"""The check of the ledger: it is whole, and agrees with the files."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mcpgateway.cli.doctor.context import DoctorContext
from mcpgateway.clientfiles.backups import digest_of
from mcpgateway.clientfiles.enrolment_records import EnrolledEntry, FileRecord, Intent
from mcpgateway.clientfiles.formats.rewrite import replace
from mcpgateway.clientfiles.ledger import EditResult, Ledger
from mcpgateway.clientfiles.store import LedgerStore
from tests.support.doctoring import answers, found, ids, is_fine, world

OURS = {"type": "http", "url": "http://localhost:9100/x/mcp"}
ROAD = ("mcpServers", "x")


class Adopting:
    """A user's file of which one entry was led to the gateway."""

    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self.path = tmp_path / "user" / ".claude.json"
        home = self.looked_at().home
        self.path.write_text(json.dumps({"mcpServers": {"x": {"command": "a"}, "mine": {"command": "b"}}}))
        self.ledger = Ledger(home)
        self.ledger.change(str(self.path), self._edit)

    def _edit(self, text: str, adopted: FileRecord | None) -> EditResult:
        made, replaced = replace(text, str(self.path), [(ROAD, OURS)])
        return EditResult(
            made, FileRecord(str(self.path), "claude-code", entries={ROAD: EnrolledEntry("x", replaced[0])})
        )

    def looked_at(self) -> DoctorContext:
        """Return the world as it is now."""
        gateway = answers(backends=[{"name": "x", "status": "idle"}])
        return world(self.tmp_path, socket=gateway, health=gateway)

    def write(self, **entries: Any) -> None:
        """Write the file as another program does."""
        self.path.write_text(json.dumps({"mcpServers": entries}))


@pytest.fixture
def adopting(tmp_path: Path) -> Adopting:
    """One enrolled file."""
    return Adopting(tmp_path)


class LedgerTests:
    """The check that the ledger is whole."""

    def test_none(self, tmp_path: Path) -> None:
        """An empty one is no fault."""
        assert ids("ledger", world(tmp_path)) == ["ledger.none"]

    def test_whole(self, adopting: Adopting) -> None:
        """The finding names each file with its servers, and shows no value of an entry."""
        (only,) = found("ledger", adopting.looked_at())
        assert only.text == "the ledger is whole (1 entries of 1 files, with a backup)"
        assert only.more == (f"◆ {adopting.path}: x (http)",)

    def test_damaged(self, adopting: Adopting) -> None:
        """A copy that is damaged is repaired from the other."""
        copy = next(each for each in Path(adopting.ledger.backups.ledger).iterdir() if each.is_file())
        copy.write_bytes(b"nonsense" + copy.read_bytes()[8:])
        damaged = found("ledger", adopting.looked_at())
        assert {each.id for each in damaged} == {"ledger.damaged"}
        assert damaged[0].repair is not None
        damaged[0].repair.do()
        assert is_fine("ledger", adopting.looked_at())

    def test_unreadable(self, adopting: Adopting) -> None:
        """A ledger that cannot be read is a problem, and no other check breaks over it."""
        for each in Path(adopting.ledger.backups.ledger).iterdir():
            if each.is_file():
                each.unlink()
                each.mkdir()
        assert ids("ledger", adopting.looked_at()) == ["ledger.unreadable"]
        assert ids("entries", adopting.looked_at()) == []

    def test_left_behind(self, adopting: Adopting) -> None:
        """Leftovers of a killed program beside a file are removed."""
        child = subprocess.Popen(["true"])
        child.wait()
        left = adopting.path.parent / f".{adopting.path.name}.mcpgateway-{child.pid}-{'0' * 16}.part"
        left.write_text("half")
        (only,) = found("ledger", adopting.looked_at())
        assert only.id == "ledger.unsettled"
        assert only.repair is not None
        only.repair.do()
        assert not left.exists()
        assert is_fine("ledger", adopting.looked_at())

    def test_killed_in_between(self, adopting: Adopting) -> None:
        """A change that was begun and has no outcome is settled by what the file is."""
        digest = digest_of(adopting.path.read_bytes())
        store = LedgerStore(adopting.ledger.backups.ledger)
        store.load()
        (said,) = store.contents.files.values()
        store.begin(Intent(str(adopting.path), digest, "0" * 64, said))
        store.close()
        (only,) = found("ledger", adopting.looked_at())
        assert only.id == "ledger.unsettled"
        assert only.repair is not None
        only.repair.do()
        assert is_fine("ledger", adopting.looked_at())


class EntryTests:
    """The check that the ledger agrees with the files."""

    def test_agrees(self, adopting: Adopting) -> None:
        """The entries of the file are those of the ledger."""
        assert is_fine("entries", adopting.looked_at())

    def test_reverted(self, adopting: Adopting) -> None:
        """An entry that is the client's own again can be led to the gateway again."""
        adopting.write(x={"command": "a"})
        (only,) = found("entries", adopting.looked_at())
        assert only.id == "entries.reverted"
        assert only.repair is not None

    def test_removed(self, adopting: Adopting) -> None:
        """An entry that the user has removed is worth a note."""
        adopting.write()
        assert ids("entries", adopting.looked_at()) == ["entries.removed"]

    def test_renamed(self, adopting: Adopting) -> None:
        """An entry that the user has given another name is still ours."""
        adopting.write(other=OURS)
        assert is_fine("entries", adopting.looked_at())

    def test_gone(self, adopting: Adopting) -> None:
        """A file that is not there any more is worth a note."""
        adopting.path.unlink()
        assert ids("entries", adopting.looked_at()) == ["entries.file"]

    def test_suspended(self, adopting: Adopting) -> None:
        """While the clients have their own entries, none may lead to the gateway."""
        (adopted,) = adopting.ledger.read().files.values()
        import attrs

        adopting.ledger.put(attrs.evolve(adopted, suspended="stopped"))
        assert ids("entries", adopting.looked_at()) == ["entries.suspended"]
        adopting.write(x={"command": "a"})
        assert is_fine("entries", adopting.looked_at())

    def test_unknown(self, adopting: Adopting) -> None:
        """An entry of ours that the ledger does not know is worth a note."""
        adopting.ledger.forget(os.path.realpath(adopting.path))
        (only,) = found("entries", adopting.looked_at())
        assert (only.id, only.text.split()[-4]) == ("entries.unknown", "x")
