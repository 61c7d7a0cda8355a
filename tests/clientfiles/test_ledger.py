"""The ledger of enrolled files: two databases, and what a change without an outcome becomes."""

import datetime as dt
import errno
import json
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from attrs import evolve

from mcpgateway.clientfiles import enrolment_records as adoption
from mcpgateway.clientfiles.enrolment_records import EnrolledEntry, FileRecord, Intent, unwound
from mcpgateway.clientfiles.formats.rewrite import ReplacedEntry
from mcpgateway.clientfiles.ledger import EditResult, Ledger
from mcpgateway.clientfiles.recovery import ChangeOutcome, is_mixture
from mcpgateway.clientfiles.replacement import part_name, whole_name
from mcpgateway.clientfiles.store import BACKUP, DATABASE, FORMAT, LedgerStore
from mcpgateway.errors import ConfigError
from tests.support.adoption import ORIGINAL, Scene
from tests.support.faulty_disk import FailingDisk, FaultyDisk

COPIES = (DATABASE, BACKUP)
FORMER = Path(__file__).parent / "files/databases/format-1.sql"


@pytest.fixture
def scene(tmp_path):
    """A home and a client's file."""
    return Scene(tmp_path / "scene")


def copy_of(scene, name):
    """The path of one of the two copies."""
    return os.path.join(scene.home, "ledger", name)


def bytes_of(scene, name):
    """Return the bytes of one of the two copies."""
    with open(copy_of(scene, name), "rb") as file:
        return file.read()


def write(scene, name, data):
    """Let one of the two copies hold that."""
    with open(copy_of(scene, name), "wb") as file:
        file.write(data)


def dump(scene, name):
    """The rows of one of the two databases."""
    with closing(sqlite3.connect(copy_of(scene, name))) as database:
        return list(database.iterdump())


class RememberTests:
    """The record of a file."""

    def test_nothing_yet(self, scene):
        """A home without a ledger has adopted nothing, and reading makes none."""
        assert Ledger(scene.home).read().files == {}
        assert os.listdir(scene.home) == []

    def test_adopted(self, scene):
        """The originals, their names and the path of the file are recorded."""
        scene.adopter().apply("git", "time")
        said = scene.said
        assert {each.name for each in said.entries.values()} == {"git", "time"}
        former = said.entries["mcpServers", "git"].replaced.former
        assert former["env"] == {"TOKEN": "hush-token"}
        assert (said.path, said.real) == (scene.path, scene.path)

    def test_by_its_real_path(self, scene):
        """A file that is named by a link is one file."""
        link = str(scene.folder / "link.json")
        os.symlink("claude.json", link)
        scene.path = link
        scene.adopter().apply("git")
        assert list(Ledger(scene.home).read().files) == [str(scene.folder / "claude.json")]
        assert os.path.islink(link)

    def test_byte_for_byte(self, scene):
        """After several changes the text before all of them is known."""
        scene.adopter().apply("git")
        scene.adopter().apply("time", "files")
        assert unwound(scene.said, scene.text) == ORIGINAL
        assert unwound(scene.said, scene.text + " ") is None
        scene.adopter().undo()
        assert (scene.text, scene.said) == (ORIGINAL, None)

    def test_somebody_wrote_in_between(self, scene):
        """Another writer's change in between ends the way back byte for byte, and the entries are restored all the
        same.
        """
        scene.adopter().apply("git")
        with open(scene.path, "a") as file:
            file.write("\n")
        scene.adopter().apply("time")
        assert scene.said.chain == ()
        scene.adopter().undo()
        assert json.loads(scene.text) == json.loads(ORIGINAL)

    def test_suspended(self, scene):
        """A file that was given back for now keeps its names, and starts anew when it is resumed."""
        scene.adopter().apply("git")
        scene.adopter().suspend()
        assert scene.text == ORIGINAL
        assert (scene.said.suspended, scene.said.chain, len(scene.said.entries)) == ("stopped", (), 1)
        scene.adopter().apply("git")
        scene.adopter().undo()
        assert scene.text == ORIGINAL

    def test_without_a_change_of_the_file(self, scene):
        """A record can change without its file, and be forgotten."""
        ledger = Ledger(scene.home, FaultyDisk())
        ledger.put(FileRecord(scene.path, "claude-code", is_watched=False))
        assert not scene.said.is_watched
        ledger.change(scene.path, lambda text, former: EditResult(text, evolve(former, mode="single")))
        assert scene.said.mode == "single"
        ledger.forget(scene.path)
        assert scene.said is None
        assert scene.text == ORIGINAL

    def test_opted_out(self, scene):
        """Names of servers that stay are remembered."""
        Ledger(scene.home, FaultyDisk()).opt_out(frozenset(("git", "time")))
        Ledger(scene.home, FaultyDisk()).opt_out(frozenset(("git",)))
        assert Ledger(scene.home).read().opted_out == {"git"}

    def test_private(self, scene):
        """The ledger is private, and no value of an entry is in a ``repr``."""
        scene.adopter().apply("git")
        assert stat.S_IMODE(os.stat(os.path.dirname(copy_of(scene, "x"))).st_mode) == 0o700
        assert all(stat.S_IMODE(os.stat(copy_of(scene, name)).st_mode) == 0o600 for name in COPIES)
        assert "hush" not in repr(Ledger(scene.home).read())

    @pytest.mark.parametrize(
        "value",
        [
            {"a": [1, 2.5, None, True, "\ud800"]},
            {1: {"x": 2}, None: 3},
            {"$time": "mine"},
            {"$pairs": [[1, 2]]},
            {"at": dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC), "on": dt.date(2026, 1, 2)},
            {"at": dt.time(1, 2)},
            10**30,
        ],
    )
    def test_values_of_all_forms(self, value):
        """Values of YAML and TOML that JSON does not have are recorded unchanged."""
        entry = EnrolledEntry("git", ReplacedEntry(("a", "git"), "git", value, None, "text"))
        said = FileRecord("/x", "codex", entries={("a", "git"): entry})
        assert adoption.read(json.loads(json.dumps(adoption.written(said)))) == said

    def test_a_value_that_cannot_be_kept(self):
        """An entry with a value that cannot be recorded is refused before the file changes."""
        entry = EnrolledEntry("git", ReplacedEntry(("git",), "git", object(), None))
        with pytest.raises(ConfigError, match="cannot be kept"):
            adoption.written(FileRecord("/x", "codex", entries={("git",): entry}))


class CopyTests:
    """The database and its backup."""

    def test_the_same(self, scene):
        """The database and its backup hold the same rows."""
        scene.adopter().apply("git")
        assert dump(scene, DATABASE) == dump(scene, BACKUP) != []

    @pytest.mark.parametrize("name", COPIES)
    def test_one_is_lost(self, scene, name):
        """A lost copy of the ledger is written anew from the other one."""
        scene.adopter().apply("git")
        whole = dump(scene, name)
        os.unlink(copy_of(scene, name))
        assert f"{name} is missing; mcpgateway doctor --fix" in Ledger(scene.home).read().problems[0]
        assert "git" in [each.name for each in scene.said.entries.values()]
        Ledger(scene.home).recover()
        assert dump(scene, name) == whole
        assert Ledger(scene.home).read().problems == ()

    @pytest.mark.parametrize("name", COPIES)
    @pytest.mark.parametrize("how", ["head", "cut", "page", "value", "row"])
    def test_one_is_damaged(self, scene, name, how):
        """A damaged copy of the ledger is written anew from the other one, and kept aside."""
        scene.adopter().apply("git")
        whole, data = dump(scene, name), bytes_of(scene, name)
        at = data.index(b"hush-token")
        damaged = {
            "head": b"nonsense" + data[8:],
            "cut": data[: len(data) // 2],
            "page": data[:4096] + bytes(4096) + data[8192:],
            "value": data[:at] + b"HUSH" + data[at + 4 :],
            "row": None,
        }[how]
        if damaged is None:
            with closing(sqlite3.connect(copy_of(scene, name))) as database, database:
                database.execute("DELETE FROM entry")
        else:
            write(scene, name, damaged)
        damaged = bytes_of(scene, name)
        assert f"{name} is damaged" in Ledger(scene.home).read().problems[0]
        assert scene.said.entries["mcpServers", "git"].replaced.former["env"] == {"TOKEN": "hush-token"}
        Ledger(scene.home).recover()
        assert dump(scene, name) == whole
        assert Ledger(scene.home).read().problems == ()
        (aside,) = (each for each in os.listdir(os.path.join(scene.home, "ledger")) if "damaged" in each)
        assert bytes_of(scene, aside) == damaged

    @pytest.mark.parametrize("name", COPIES)
    def test_one_is_older(self, scene, name):
        """The one with the later transaction counts, and the other is written anew from it."""
        scene.adopter().apply("git")
        older = bytes_of(scene, name)
        scene.adopter().apply("time")
        said = scene.said
        write(scene, name, older)
        assert (scene.said, Ledger(scene.home).read().problems) == (said, ())
        Ledger(scene.home).recover()
        assert dump(scene, DATABASE) == dump(scene, BACKUP)
        assert scene.said == said

    def test_both_damaged(self, scene):
        """Whole records of either copy are used."""
        other = str(scene.folder / "other.json")
        with open(other, "w", newline="") as file:
            file.write(ORIGINAL)
        scene.adopter().apply("git")
        scene.adopter().ledger.put(FileRecord(other, "claude-code"))
        for name, path in zip(COPIES, (scene.path, other), strict=True):
            with closing(sqlite3.connect(copy_of(scene, name))) as database, database:
                database.execute("UPDATE file SET mode = 'x' WHERE path = ?", (path,))
        records = Ledger(scene.home).read()
        assert {scene.path, other} == records.files.keys()
        assert any("both of its copies" in each for each in records.problems)
        scene.recover()
        assert Ledger(scene.home).read().problems == ()
        scene.adopter().undo()
        assert scene.text == ORIGINAL

    def test_both_lost(self, scene):
        """A ledger of which nothing is left counts as lost, is put aside, and a new one begins."""
        scene.adopter().apply("git")
        for name in COPIES:
            write(scene, name, b"nonsense" * 100)
        assert Ledger(scene.home).is_lost()
        assert any("both of its copies" in each for each in Ledger(scene.home).read().problems)
        Ledger(scene.home).recover()
        assert Ledger(scene.home).is_lost()
        Ledger(scene.home, FaultyDisk()).opt_out(frozenset(("git",)))
        assert not Ledger(scene.home).is_lost()

    def test_an_earlier_release(self, tmp_path):
        """A database of the first format is read as it is, and written anew in the present one."""
        directory = tmp_path / "ledger"
        directory.mkdir(mode=0o700)
        for name in COPIES:
            with closing(sqlite3.connect(directory / name)) as database:
                database.executescript(FORMER.read_text())
        ledger = Ledger(str(tmp_path), FaultyDisk())
        records = ledger.read()
        (said,) = records.files.values()
        assert said.entries["mcpServers", "a"].replaced.former["env"] == {"TOKEN": "a-secret-value"}
        assert (said.rerouted, records.opted_out, records.problems) == ("", {"windsurf:two"}, ())
        ledger.recover()
        assert ledger.read() == records
        for name in COPIES:
            with closing(sqlite3.connect(directory / name)) as database:
                assert database.execute("PRAGMA user_version").fetchone() == (FORMAT,)

    def test_a_newer_release(self, scene, monkeypatch):
        """A ledger of a newer release is neither used nor erased."""
        monkeypatch.setattr("mcpgateway.clientfiles.store.FORMAT", FORMAT + 1)
        scene.adopter().apply("git")
        monkeypatch.undo()
        held = bytes_of(scene, DATABASE), scene.text
        for action in (Ledger(scene.home).read, Ledger(scene.home).recover, scene.adopter().undo):
            with pytest.raises(ConfigError, match="newer release"):
                action()
        assert (bytes_of(scene, DATABASE), scene.text) == held

    def test_bounded(self, scene):
        """The ledger does not grow with the number of changes."""
        scene.adopter().apply("git")
        ledger = Ledger(scene.home, FaultyDisk())
        for number in range(100):
            ledger.opt_out(frozenset((f"server-{number}",)))
        assert os.path.getsize(copy_of(scene, DATABASE)) < 100_000
        records = Ledger(scene.home).read()
        assert (records.opted_out, records.problems) == ({"server-99"}, ())
        assert unwound(scene.said, scene.text) == ORIGINAL

    def test_names_that_are_no_unicode(self, scene):
        """A path or a server's name may have bytes or characters that nothing else takes."""
        path = str(scene.folder / os.fsdecode(b"\xff.json"))
        Ledger(scene.home, FaultyDisk()).put(FileRecord(path, "claude-code"))
        Ledger(scene.home, FaultyDisk()).opt_out(frozenset(("\ud800",)))
        records = Ledger(scene.home).read()
        assert (list(records.files), records.opted_out, records.problems) == ([path], {"\ud800"}, ())

    def test_no_room_for_it(self, scene):
        """A ledger that cannot be written keeps every file from being changed, and the error has a remedy."""
        scene.adopter().apply("git")
        text = scene.text
        disk = FailingDisk(10_000, errno.ENOSPC, is_lasting=True)
        disk.kind = "commit"
        with pytest.raises(ConfigError, match="No space left on device") as refused:
            scene.adopter(disk).undo()
        assert refused.value.hint.startswith("free some space")
        assert scene.text == text


class SettleTests:
    """A change of which nobody says how it ended."""

    def begun(self, scene, text):
        """Begin to adopt another server, be killed, and let the file hold that."""
        scene.adopter().apply("git")
        before = scene.said
        scene.adopter().apply("time")
        after = scene.said
        (step,) = after.chain[len(before.chain) :]
        store = LedgerStore(os.path.join(scene.home, "ledger"), FaultyDisk())
        store.load()
        store.say(scene.path, before)
        store.begin(Intent(scene.path, step.before, step.after, after))
        store.close()
        made = text(scene.text)
        with open(scene.path, "w", newline="") as file:
            file.write(made)

    def settled(self, scene):
        """Return the outcome, and the names of the enrolled entries."""
        judged = scene.said
        (found,) = Ledger(scene.home, FaultyDisk()).recover()
        assert judged == found.record == scene.said
        return found.outcome, sorted(each.name for each in found.record.entries.values())

    def test_it_was_made(self, scene):
        """The change is done where the file is as it was to be."""
        self.begun(scene, lambda text: text)
        assert self.settled(scene) == (ChangeOutcome.DONE, ["git", "time"])

    def test_changed_since(self, scene):
        """A file that somebody has changed since still has our entries."""
        self.begun(scene, lambda text: text + "\n")
        assert self.settled(scene) == (ChangeOutcome.BY_VALUE, ["git", "time"])

    def test_changed_instead(self, scene):
        """An entry whose original stands in the file is not adopted."""
        self.begun(scene, lambda text: ORIGINAL.replace('"uvx",   "args"', '"other", "args"'))
        assert self.settled(scene) == (ChangeOutcome.BY_VALUE, ["git"])

    def test_not_readable(self, scene):
        """A file that is not valid at the moment keeps its records."""
        self.begun(scene, lambda text: text[:50])
        assert self.settled(scene) == (ChangeOutcome.BY_VALUE, ["git", "time"])

    def test_somebodys_edit_was_displaced(self, scene):
        """A program that was killed before it took an exchange back has not lost the other writer's edit."""
        self.begun(scene, lambda text: text)
        with open(whole_name(part_name(scene.path, scene.text.encode())), "w") as file:
            file.write("their edit")
        (found,) = Ledger(scene.home, FaultyDisk()).recover()
        assert found.outcome is ChangeOutcome.TAKEN_BACK
        assert scene.text == "their edit"
        assert scene.strays == []

    def test_a_mixture(self):
        """A mixture of the two versions is told from another writer's edit."""
        one, other = b"a" * 9000, b"b" * 12_000
        assert is_mixture(other[:5000] + one[5000:], one, other)
        assert is_mixture(one, one, other)
        assert not is_mixture(one[:5000] + b"c" + one[5001:], one, other)
        assert not is_mixture(one[:5000], one, other)
