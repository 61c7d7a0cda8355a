"""The configuration that is read again."""

import json
import time

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from mcpgateway.config.edit.edits import Put, Remove, Rename
from mcpgateway.config.model import Dialect
from mcpgateway.errors import ConfigError, UnknownServer
from mcpgateway.manage.config_edits import carry_out
from mcpgateway.manage.reload import Reload, ReloadState
from mcpgateway.system.fingerprint import Fingerprints
from mcpgateway.system.settings import LoadOptions, examine, gather
from mcpgateway.system.watch import DEBOUNCE_S, FileWatch, no_notifier

CONFIG = """\
# mine
gateway:
  http_port: 9100
servers:
  a:
    command: run  # here
    env: {TOKEN: secret}
  b:
    command: walk
"""


class World:
    """A home with a configuration, and what reads it."""

    def __init__(self, home, text=CONFIG):
        self.path = home / "config.yaml"
        self.path.write_text(text)
        self.clock = Clock()
        self.clock.advance(time.time() + 3600)
        self.options = LoadOptions(home=str(home), sources=())
        self.reads = 0
        self.applied = []
        found = examine(self.options, {})
        self.reload = Reload(
            found.settings,
            ReloadState(self.clock.seconds(), found.files),
            self._examine,
            self.clock,
            Fingerprints(()),
            str(self.path),
            lambda: gather(self.options, {}),
            self.applied.append,
        )
        self.reload.begin(FileWatch(self.clock, no_notifier, self.reload.look))

    def _examine(self):
        self.reads += 1
        return examine(self.options, {})

    def save(self, text):
        """Save the file, and let the gateway notice."""
        self.path.write_text(text)
        self.settle()

    def settle(self):
        """Let the gateway notice what has changed."""
        self.reload.tick()
        self.clock.advance(DEBOUNCE_S)

    @property
    def names(self):
        """The servers in force."""
        return [each.name for each in self.reload.settings.servers]


@pytest.fixture
def world(tmp_path):
    """A gateway's configuration."""
    return World(tmp_path)


class ReadTests:
    """A file that has changed."""

    def test_applied(self, world):
        """A changed configuration is put into force, once."""
        world.save(CONFIG.replace("walk", "run"))
        (change,) = world.applied
        assert [each.after.command for each in change.changed] == [("run",)]
        assert change.settings is world.reload.settings
        world.settle()
        assert world.reads == 1

    def test_the_same_objects(self, world):
        """A server that never changes stays the same object through any number of edits."""
        first = world.reload.settings.servers[0]
        for number in range(3):
            world.save(CONFIG + f"  c{number}:\n    command: x\n")
            assert world.reload.settings.servers[0] is first
            assert world.applied[-1].settings.servers[0] is first

    def test_an_error(self, world):
        """A configuration with an error is not put into force; the problem is known, and logged once."""
        with capturedLogs() as logs:
            world.save(CONFIG + "  c:\n    command: [\n")
            world.save(CONFIG.replace("mine", "yours") + "  c:\n    command: [\n")
        assert [each["event"] for each in logs] == ["config.problem", "config.refused"]
        assert world.applied == []
        shown = world.reload.state.shown()
        assert not shown["ok"]
        assert str(world.path) in shown["problems"][0]
        with capturedLogs() as logs:
            world.save(CONFIG)
        assert logs[0]["event"] == "config.repaired"
        assert world.reload.state.shown()["ok"]
        assert world.names == ["a", "b"]

    def test_what_is_shown(self, world):
        """The state of the configuration names its files, and no value."""
        world.save(CONFIG + "  c:\n    command: x\n    colour: red\n")
        shown = world.reload.state.shown()
        assert str(world.path) in shown["files"]
        assert shown["warnings"] == 1
        assert "secret" not in json.dumps(shown)

    def test_a_warning(self, world):
        """A warning is logged when it is new."""
        with capturedLogs() as logs:
            world.save(CONFIG + "  c:\n    command: x\n    colour: red\n")
            world.save(CONFIG + "  c:\n    command: y\n    colour: red\n")
        assert [each["event"] for each in logs].count("config.warning") == 1

    def test_a_restart(self, world):
        """A setting that counts at the next start is named, until it is as it was."""
        with capturedLogs() as logs:
            world.save(CONFIG.replace("9100", "9101"))
            world.save(CONFIG.replace("9100", "9101") + "# more\n")
        assert [each["event"] for each in logs].count("config.restart_needed") == 1
        assert world.reload.state.shown()["restart_needed"] == ["http_port"]
        world.save(CONFIG)
        assert world.reload.state.shown()["restart_needed"] == []

    def test_it_breaks(self, world):
        """An unexpected failure is logged, and no caller waits for ever."""
        world.reload.apply = None
        world.path.write_text("")
        waiting = world.reload.look_again()
        with capturedLogs() as logs:
            world.settle()
        assert "config.broken" in [each["event"] for each in logs]
        assert waiting.called

    def test_it_ends(self, world):
        """The configuration is not read after the end, and no caller waits for it."""
        world.path.write_text("")
        waiting = world.reload.look_again()
        world.reload.close()
        assert waiting.called
        world.settle()
        world.reload.look()
        assert world.reads == 0
        assert world.reload.look_again().called


class LookAgainTests:
    """A request for a server that is not known."""

    def test_nothing_has_changed(self, world):
        """A request for an unknown server is answered at once, without reading, where nothing has changed."""
        assert world.reload.look_again().called
        assert world.reads == 0

    def test_something_has(self, world):
        """All callers wait for one reading."""
        world.path.write_text(CONFIG + "  c:\n    command: x\n")
        waiting = [world.reload.look_again() for _ in range(10)]
        assert not any(each.called for each in waiting)
        world.clock.advance(DEBOUNCE_S)
        assert all(each.called for each in waiting)
        assert world.reads == 1
        assert "c" in world.names


class WordTests:
    """Files of other programs, which have words of their own."""

    def test_switched(self, tmp_path):
        """A server is switched off and on in a file of mcp-gateway by its word, so that it is read as before."""
        (tmp_path / "config.d").mkdir()
        theirs = tmp_path / "config.d" / "theirs.json"
        theirs.write_text('{"gateway": {}, "servers": {"c": {"command": "/bin/cat"}}}')
        world = World(tmp_path)
        for is_on in (False, True):
            carry_out(world.reload, Put(("c", "enabled"), is_on))
            assert json.loads(theirs.read_text())["servers"]["c"]["disabled"] is not is_on
            assert "enabled" not in theirs.read_text()
            (read,) = (each for each in examine(world.options, {}).readings if each.file == str(theirs))
            assert read.reading.dialect is Dialect.MCPCTL
        carry_out(world.reload, Put(("a", "enabled"), False))
        assert "enabled: false" in world.path.read_text()


class EditTests:
    """Edits through the gateway."""

    @pytest.mark.parametrize(
        ("change", "before", "after"),
        [
            (
                Put(("a", "timeout"), "3s"),
                "    env: {TOKEN: secret}\n",
                '    env: {TOKEN: secret}\n    timeout: "3s"\n',
            ),
            (Put(("a", "env", "B"), "c"), "{TOKEN: secret}", "{TOKEN: secret, B: c}"),
            (Put(("a", "command"), "jump"), "run  # here", "jump  # here"),
            (Remove(("b",)), "  b:\n    command: walk\n", ""),
            (Rename(("b",), "z"), "  b:\n", "  z:\n"),
            (Put(("new",), {"command": "x"}), "walk\n", "walk\n  new:\n    command: x\n"),
        ],
    )
    def test_written_back(self, world, change, before, after):
        """The file is changed where it says so, is in force at once, and is not read a second time."""
        carry_out(world.reload, change)
        assert world.path.read_text() == CONFIG.replace(before, after)
        assert len(world.applied) == 1
        world.settle()
        assert world.reads == 1

    def test_a_first_file(self, tmp_path):
        """A server can be added where there is no file yet."""
        world = World(tmp_path)
        world.path.unlink()
        world.settle()
        carry_out(world.reload, Put(("new",), {"command": "x"}))
        assert world.names == ["new"]

    def test_another_file(self, world):
        """A server is changed in the file that defines it."""
        drop = world.path.with_name("config.d")
        drop.mkdir()
        (drop / "more.json").write_text('{"servers": {"c": {"command": "x"}}}')
        world.settle()
        carry_out(world.reload, Put(("c", "timeout"), 3))
        assert json.loads((drop / "more.json").read_text())["servers"]["c"]["timeout"] == 3
        assert world.path.read_text() == CONFIG

    def test_what_cannot_be_used(self, world):
        """An edit that would make the configuration wrong is taken back, and the problem is told."""
        with pytest.raises(ConfigError, match=r"nothing was changed: .*timeout"):
            carry_out(world.reload, Put(("a", "timeout"), "soon"))
        assert world.path.read_text() == CONFIG
        assert world.reload.state.shown()["ok"]
        assert world.names == ["a", "b"]

    @pytest.mark.parametrize(
        ("change", "kind", "why"),
        [
            (Put(("a", "env", "LD_PRELOAD"), "x"), ConfigError, "LD_PRELOAD"),
            (Put(("x", "timeout"), 1), UnknownServer, "Unknown server: x"),
            (Remove(("x",)), UnknownServer, "Unknown server: x"),
            (Rename(("a",), "b"), ConfigError, "already"),
            (Remove(("a", "cwd")), ConfigError, "there is no 'cwd'"),
        ],
    )
    def test_refused(self, world, change, kind, why):
        """An edit that is not allowed, or of a missing entry, is refused and changes nothing."""
        with pytest.raises(kind, match=why):
            carry_out(world.reload, change)
        assert world.path.read_text() == CONFIG

    def test_while_there_is_an_error(self, world):
        """An edit is refused while the configuration has an error."""
        world.save("servers: 1\n")
        with pytest.raises(ConfigError, match="mend that first"):
            carry_out(world.reload, Remove(("a",)))
        assert world.path.read_text() == "servers: 1\n"

    def test_a_demonstration(self, tmp_path):
        """A server that stands in no file is not changed."""
        world = World(tmp_path)
        world.options = LoadOptions(home=str(tmp_path), sources=(), demo=True)
        world.save(CONFIG + "# more\n")
        with pytest.raises(ConfigError, match="stands in no file"):
            carry_out(world.reload, Put(("clock", "timeout"), 1))
