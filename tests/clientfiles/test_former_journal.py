"""Ledgers of earlier releases: read as they are, and taken over by the first change."""

import json
import os

import pytest

from mcpgateway.clientfiles.enrolment import apply, resume, suspend, undo
from mcpgateway.clientfiles.ledger import Ledger
from mcpgateway.clientfiles.plan import EnrolRequest
from mcpgateway.clientfiles.recovery import ChangeOutcome
from mcpgateway.errors import ConfigError
from tests.support.former_ledgers import COPIES, NAMES, before, installed, standing

GEMINI = ".gemini/settings.json"  # another program has written it since
ENROLLED = [each for each in NAMES if each.endswith("enrolled")]


@pytest.fixture(params=NAMES)
def name(request):
    """The name of one of the ledgers."""
    return request.param


@pytest.fixture
def house(name, tmp_path):
    """A user's home with this ledger."""
    return installed(name, tmp_path / "user")


def ledger_files(house):
    """Return the names in the directory of the ledger."""
    return set(os.listdir(house.home / "ledger"))


def lines_of(house, copy):
    """The lines of a copy of the journal."""
    return (house.home / "ledger" / copy).read_bytes().splitlines(keepends=True)


def write(house, copy, lines):
    """Let a copy of the journal hold these lines."""
    (house.home / "ledger" / copy).write_bytes(b"".join(lines))


class ReadTests:
    """Reading, which writes nothing."""

    def test_as_it_is(self, house, name):
        """The files, their originals and the opted-out servers are known, and the journal stays."""
        found = Ledger(str(house.home)).read()
        paths = {os.path.relpath(each, house.root) for each in found.files}
        assert paths == {
            ".claude.json",
            ".cursor/mcp.json",
            ".codex/config.toml",
            GEMINI,
            ".codeium/windsurf/mcp_config.json",
        }
        assert found.opted_out == {"windsurf:two"}
        assert (found.problems, found.unsettled) == ((), ())
        assert {each.suspended for each in found.files.values()} == {"" if name in ENROLLED else "stopped"}
        said = found.files[str(house.claude)].entries["mcpServers", "a"].replaced
        assert said.former == {"command": "a", "env": {"TOKEN": "a-secret-value"}}
        assert ledger_files(house) == {*COPIES, "kept"}

    @pytest.mark.parametrize("copy", COPIES)
    def test_one_copy_is_gone(self, house, copy):
        """A single copy of the ledger has all records."""
        said = Ledger(str(house.home)).read()
        os.unlink(house.home / "ledger" / copy)
        assert Ledger(str(house.home)).read() == said

    def test_both_are_damaged(self, house):
        """Whole records of either copy count, and a last line that was cut short does not."""
        said = Ledger(str(house.home)).read()
        for number, copy in enumerate(COPIES):
            lines = lines_of(house, copy)
            lines[number] = b"nonsense\n"
            write(house, copy, [*lines, lines[-1][:50]])
        assert Ledger(str(house.home)).read() == said

    def test_a_format_that_is_not_known(self, house):
        """A journal of an unknown format is refused, and stays."""
        from tests.support.former_ledgers import signed

        write(house, COPIES[0], [signed(lines_of(house, COPIES[0])[0].replace(b'"v":1', b'"v":2').rstrip())])
        with pytest.raises(ConfigError, match="another release"):
            Ledger(str(house.home)).recover()
        assert ledger_files(house) == {*COPIES, "kept"}


class TakeOverTests:
    """The first change of the ledger."""

    def test_all_of_it(self, house):
        """All records are in the databases, and the journal, which holds secrets, is gone."""
        said = Ledger(str(house.home)).read()
        Ledger(str(house.home)).recover()
        assert Ledger(str(house.home)).read() == said
        assert ledger_files(house) == {"ledger.db", "ledger.backup.db", "kept"}
        assert not any(
            b"a-secret-value" in each.read_bytes() for each in (house.home / "ledger" / "kept").iterdir()
        )

    def test_killed_in_between(self, house):
        """Where the journal is still there beside a database, the database counts."""
        journal = {copy: lines_of(house, copy) for copy in COPIES}
        ledger = Ledger(str(house.home))
        ledger.opt_out(frozenset(("late",)))
        for copy, lines in journal.items():
            write(house, copy, lines)
        os.unlink(house.home / "ledger" / "ledger.backup.db")
        assert Ledger(str(house.home)).read().opted_out == {"late"}
        Ledger(str(house.home)).recover()
        assert Ledger(str(house.home)).read().opted_out == {"late"}
        assert ledger_files(house) == {"ledger.db", "ledger.backup.db", "kept"}

    def test_undo(self, house, name):
        """Every file that nobody else has written is what it was before, byte for byte."""
        files = before(name)
        if name not in ENROLLED:
            resume(str(house.home), house.environ)
        assert not any(each.error for each in undo(house.machine, EnrolRequest()).files)
        now = standing(house, files)
        assert (
            now.pop(GEMINI).replace(b"light", b"dark") == files.pop(GEMINI)
            or "light" in (house.root / GEMINI).read_text()
        )
        assert now == files
        assert Ledger(str(house.home)).read().files == {}

    def test_stop_and_start(self, house, name):
        """The files are restored for now, and enrolled again as they were."""
        files = before(name)
        suspend(str(house.home), house.environ, "stopped")
        now = standing(house, files)
        assert {each for each in files if now[each] != files[each]} <= {GEMINI}
        resume(str(house.home), house.environ)
        assert house.servers(house.claude)["a"] == {"type": "http", "url": "http://localhost:9200/a/mcp"}
        assert all(not each.suspended for each in Ledger(str(house.home)).read().files.values())

    @pytest.mark.parametrize("name", ENROLLED)
    def test_a_change_without_an_outcome(self, house):
        """A change that was begun by an earlier release is settled by what the file is."""
        for copy in COPIES:
            lines = lines_of(house, copy)
            at = max(number for number, line in enumerate(lines) if b'"kind":"done"' in line)
            path = json.loads(lines[at])["record"]["path"]
            write(house, copy, lines[:at])
        assert Ledger(str(house.home)).read().unsettled == (path,)
        (found,) = Ledger(str(house.home)).recover()
        assert found.outcome is ChangeOutcome.DONE
        assert Ledger(str(house.home)).read().unsettled == ()

    @pytest.mark.parametrize("name", ENROLLED[:1])
    def test_more_is_enrolled(self, house):
        """A file of which the former ledger knows one entry gets another, and both come back."""
        held = json.loads(house.claude.read_text())
        held["mcpServers"]["c"] = {"command": "c"}
        house.claude.write_text(json.dumps(held))
        apply(house.machine, EnrolRequest())
        assert house.servers(house.claude)["c"]["url"] == "http://localhost:9200/c/mcp"
        undo(house.machine, EnrolRequest())
        assert house.servers(house.claude)["c"] == {"command": "c"}
        assert house.servers(house.claude)["a"]["env"] == {"TOKEN": "a-secret-value"}

    @pytest.mark.parametrize("name", ENROLLED[:1])
    def test_an_empty_journal(self, house):
        """A journal of which nothing is left counts as a ledger that is lost."""
        for copy in COPIES:
            write(house, copy, [])
        assert Ledger(str(house.home)).is_lost()
