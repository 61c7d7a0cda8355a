"""Entries that lead here and are in no ledger: what stood there before is looked for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mcpgateway.clientfiles.enrolment import STOPPED, apply, resume, suspend, undo
from mcpgateway.clientfiles.files import FileChoice
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.clientfiles.plan import EnrolRequest
from mcpgateway.clientfiles.sync import sync
from mcpgateway.system import state
from mcpgateway.system.launch.cache import LaunchCache, ResolvedProgram
from tests.support.clients import PROGRAM, House

OURS = {"type": "http", "url": "http://localhost:9100/a/mcp"}


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A user's home in which Claude Code leads here, and nobody has written down what stood there before."""
    made = House(tmp_path)
    made.write(made.claude, {"a": OURS})
    return made


def rebuilt(house: House) -> dict[str, str]:
    """Give back what can be, and tell from where."""
    report = undo(house.machine, EnrolRequest()).files[0]
    return dict(report.rebuilt)


class UndoTests:
    """Undo without a ledger."""

    def test_nothing_is_known(self, house: House) -> None:
        """An entry whose original cannot be known is left, with a hint."""
        before = house.claude.read_bytes()
        report = undo(house.machine, EnrolRequest()).files[0]
        assert "not known" in report.left[0].why
        assert "add it again" in report.left[0].hint
        assert house.claude.read_bytes() == before

    def test_behind_it(self, house: House) -> None:
        """A command that leads here has the original behind it."""
        args = ["connect", "a", "--", "/bin/echo", "one"]
        house.write(house.claude, {"a": {"command": "/opt/bin/mcpgateway", "args": args, "env": {"T": "x"}}})
        assert "a" in rebuilt(house)
        assert house.servers(house.claude)["a"] == {
            "command": "/bin/echo",
            "args": ["one"],
            "env": {"T": "x"},
        }

    def test_other_clients(self, house: House) -> None:
        """An entry of another client under that name is taken as the original."""
        house.write(house.cursor, {"a": PROGRAM})
        house.claude.unlink()
        apply(house.machine, EnrolRequest())
        house.write(house.claude, {"a": OURS})
        reports = {each.path: each for each in undo(house.machine, EnrolRequest()).files}
        assert reports[str(house.claude)].rebuilt == {"a": str(house.cursor)}
        assert house.servers(house.claude)["a"] == PROGRAM
        assert house.servers(house.cursor)["a"] == PROGRAM

    def test_configuration(self, house: House) -> None:
        """A definition in the gateway's own configuration is taken as the original."""
        house.configure("servers: {a: {command: /bin/echo, args: [one], env: {TOKEN: t}}}\n")
        assert rebuilt(house) == {"a": "the gateway's configuration"}
        entry = house.servers(house.claude)["a"]
        assert (entry["command"], entry["args"], entry["env"]) == ("/bin/echo", ["one"], {"TOKEN": "t"})

    def test_kept_version(self, house: House) -> None:
        """A version that was kept when the file was changed serves, where the ledger itself was lost."""
        house.write(house.claude, {"a": PROGRAM, "b": {"command": "/bin/cat"}})
        backups = house.machine.ledger.backups
        with backups.locked():
            backups.put(house.claude.read_bytes())
        house.write(house.claude, {"a": OURS})
        assert rebuilt(house) == {"a": "an earlier version of the file"}
        assert house.servers(house.claude) == {"a": PROGRAM}

    def test_backup_of_the_client(self, house: House) -> None:
        """A backup of Claude Code itself is used."""
        backup = house.root / ".claude" / "backups" / ".claude.json.backup.1700000000000"
        house.write(backup, {"a": PROGRAM})
        assert rebuilt(house) == {"a": "an earlier version of the file"}

    @pytest.mark.parametrize("package", ["a", "@modelcontextprotocol/server-a", "mcp-server-a"])
    def test_launch_cache(self, house: House, package: str) -> None:
        """The program that was started for a package of that name serves, and it is said what is missing."""
        house.home.mkdir(mode=0o700)
        LaunchCache(str(house.home)).keep("key", ResolvedProgram("/opt/bin/a", package=package))
        assert rebuilt(house) == {"a": "the cache of launches, without its variables"}
        assert house.servers(house.claude)["a"]["command"] == "/opt/bin/a"

    def test_lost_ledger(self, house: House) -> None:
        """A ledger that has gone leaves nothing behind that could not be given back by what was kept."""
        house.write(house.claude, {"a": PROGRAM, "b": {"command": "/bin/cat"}})
        before = json.loads(house.claude.read_text())
        apply(house.machine, EnrolRequest())
        backup = house.root / ".claude" / "backups" / ".claude.json.backup.1"
        house.write(backup, before["mcpServers"])
        shutil.rmtree(house.home / "ledger")
        undo(house.machine, EnrolRequest())
        assert house.servers(house.claude) == before["mcpServers"]

    def test_it_is_not_called_what_it_was(self, house: House) -> None:
        """A rebuilt entry is reported as rebuilt whenever it is restored, unless its user has changed it."""
        house.home.mkdir(mode=0o700)
        LaunchCache(str(house.home)).keep("key", ResolvedProgram("/opt/bin/a", package="a"))
        source = "the cache of launches, without its variables"
        assert rebuilt(house) == {"a": source}
        apply(house.machine, EnrolRequest())
        report = undo(house.machine, EnrolRequest()).files[0]
        assert (report.exact, report.restored, report.rebuilt) == (False, (), {"a": source})
        house.write(house.claude, {"a": {"command": "/opt/bin/a", "env": {"KEY": "v"}}})
        apply(house.machine, EnrolRequest())
        report = undo(house.machine, EnrolRequest()).files[0]
        assert (report.exact, report.restored, report.rebuilt) == (True, ("a",), {})
        assert '"v"' not in (house.home / "rebuilt.json").read_text()

    def test_one_server(self, house: House) -> None:
        """A named server alone is looked for."""
        house.configure("servers: {a: {command: /bin/echo}, b: {command: /bin/cat}}\n")
        house.write(house.claude, {"a": OURS, "b": {**OURS, "url": "http://localhost:9100/b/mcp"}})
        undo(house.machine, EnrolRequest(servers=("a",)))
        assert "command" in house.servers(house.claude)["a"]
        assert "url" in house.servers(house.claude)["b"]

    def test_apply_tells(self, house: House) -> None:
        """Entries of the gateway without a record are reported when files are enrolled."""
        report = apply(house.machine, EnrolRequest()).files[0]
        assert "ledger does not know" in report.left[0].why


class OtherGatewayTests:
    """Entries that lead to another gateway of this user, which runs."""

    TEXT = '{"mcpServers": {"a": {\n "command": "/bin/echo",\n "args": ["one",   "two"]}}}\n'

    @pytest.fixture
    def house(self, tmp_path: Path) -> House:
        """A user's home whose usual gateway runs and has enrolled Claude Code's file."""
        made = House(tmp_path)
        made.claude.write_text(self.TEXT)
        apply(made.machine, EnrolRequest(mode="fail-open"))
        assert "connect" in made.servers(made.claude)["a"]["args"]
        state.write(str(made.home), state.myself(9100, "1", 0.0, ("twistd", "mcpgateway"), ()))
        return made

    def test_a_second_home(self, house: House, tmp_path: Path) -> None:
        """A gateway of another home leaves them, and says whose they are; the first restores them to the byte."""
        enrolled = house.claude.read_bytes()
        second = str(tmp_path / "second")
        left = apply(Machine(second, house.environ), EnrolRequest()).files[0].left[0]
        assert left.why.endswith(f"that of {house.home}")
        assert f"--home {house.home} clients undo" in left.hint
        for report in (
            undo(Machine(second, house.environ), EnrolRequest(FileChoice(file=str(house.claude)))),
            suspend(second, house.environ, STOPPED),
            resume(second, house.environ),
            sync(second, house.environ),
        ):
            assert not report.is_changed
        assert house.claude.read_bytes() == enrolled
        undo(house.machine, EnrolRequest())
        assert house.claude.read_text() == self.TEXT

    def test_one_that_has_ended(self, house: House, tmp_path: Path) -> None:
        """Where that gateway does not run any more, the originals are looked for, as for every lost ledger."""
        (house.home / state.FILE).unlink()
        report = undo(Machine(str(tmp_path / "second"), house.environ), EnrolRequest())
        assert report.files[0].rebuilt == {"a": "the command behind it"}

    def test_a_ledger_without_records(self, house: House, tmp_path: Path) -> None:
        """A ledger that was only looked into counts as empty, not as lost: nothing is put together from it."""
        (house.home / state.FILE).unlink()
        enrolled = house.claude.read_bytes()
        machine = Machine(str(tmp_path / "second"), house.environ)
        apply(machine, EnrolRequest())
        assert not machine.ledger.is_lost()
        suspend(machine.home, house.environ, STOPPED)
        assert house.claude.read_bytes() == enrolled
