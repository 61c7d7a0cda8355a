"""The configuration that is read again, with values from outside of all files."""

import os
import time

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mcpgateway.config.edit.edits import Put
from mcpgateway.errors import ConfigError
from mcpgateway.manage.config_edits import carry_out
from mcpgateway.manage.reload import SOON_S, Reload, ReloadState
from mcpgateway.system.fingerprint import Fingerprints
from mcpgateway.system.settings import LoadOptions, brought_of, examine, gather, start
from mcpgateway.system.watch import DEBOUNCE_S, FileWatch, no_notifier
from tests.support.keyrings import fill, keyring

CONFIG = """\
servers:
  a:
    command: run
    env: {TOKEN: "${keyring:github/ada}"}
"""


class World:
    """A home with a keyring and a configuration, and what reads it; what a thread would do waits to be let go."""

    def __init__(self, home):
        self.home = home
        self.path = home / "config.yaml"
        self.path.write_text(CONFIG)
        environ = {"HOME": str(home), "PATH": os.environ["PATH"], "SHLVL": "1", "TERM": "x"}
        environ |= keyring(home, **{"github|ada": "first"})
        options = LoadOptions(home=str(home), sources=())
        brought = brought_of(options, environ)
        found = start(options, environ, brought)
        self.clock = Clock()
        self.clock.advance(time.time() + 3600)
        self.threads = []
        self.applied = []
        self.reload = Reload(
            found.settings,
            ReloadState(self.clock.seconds(), found.files),
            lambda: examine(options, environ, brought),
            self.clock,
            Fingerprints(()),
            str(self.path),
            lambda: gather(options, environ),
            self.applied.append,
            brought,
            self._in_thread,
        )
        self.reload.begin(FileWatch(self.clock, no_notifier, self.reload.look))

    def _in_thread(self, work, *words):
        done = Deferred()
        self.threads.append((done, work, words))
        return done

    def let_go(self):
        """Let what waits be done."""
        done, work, words = self.threads.pop(0)
        work(*words)
        done.callback(None)

    def save(self, text):
        """Save the file, and let the gateway notice."""
        self.path.write_text(text)
        self.reload.tick()
        self.clock.advance(DEBOUNCE_S)

    @property
    def tokens(self):
        """The tokens of the servers in force."""
        return [each.env["TOKEN"] for each in self.reload.settings.servers]


@pytest.fixture
def world(tmp_path):
    """A gateway's configuration."""
    return World(tmp_path)


class ReadTests:
    def test_rotated(self, world):
        """When a file has changed, what comes from outside is asked for anew; until then what was known counts."""
        fill(world.home, **{"github|ada": "second"})
        world.save(CONFIG + "  b: {command: walk, env: {TOKEN: plain}}\n")
        assert world.tokens == ["first", "plain"]
        world.let_go()
        assert world.tokens == ["second", "plain"]
        assert world.threads == []

    def test_new(self, world):
        """A new external value is waited for: the configuration is not in force without it, and callers wait."""
        fill(world.home, **{"github|ada": "first", "x|y": "other"})
        world.path.write_text(CONFIG + '  b: {command: walk, env: {TOKEN: "${keyring:x/y}"}}\n')
        world.reload.tick()
        waiting, soon = world.reload.look_again(), world.reload.look_soon()
        world.clock.advance(DEBOUNCE_S)
        assert world.tokens == ["first"]
        assert not soon.called
        world.clock.advance(SOON_S)  # the control plane answers with what there is
        assert soon.called
        assert not waiting.called
        world.let_go()
        assert waiting.called
        assert world.tokens == ["first", "other"]

    def test_failure(self, world):
        """A value that cannot be fetched leaves the configuration as it was; the next change fetches it again."""
        text = CONFIG + '  b: {command: walk, env: {TOKEN: "${keyring:x/y}"}}\n'
        world.save(text)
        world.let_go()
        assert world.tokens == ["first"]
        (problem,) = world.reload.state.problems
        assert str(problem).endswith("line 5: servers.b.env.TOKEN: the keyring has no such entry")
        fill(world.home, **{"github|ada": "first", "x|y": "there now"})
        world.save(text + "# again\n")
        world.let_go()
        assert world.reload.state.problems == ()
        assert world.tokens == ["first", "there now"]

    def test_changed_meanwhile(self, world):
        """A change while something is asked for is read when that is there, and its own is asked for then."""
        fill(world.home, **{"github|ada": "first", "x|y": "other"})
        world.save(CONFIG + "# one\n")
        world.save(CONFIG + '  b: {command: walk, env: {TOKEN: "${keyring:x/y}"}}\n')
        assert len(world.threads) == 1
        world.let_go()
        assert world.tokens == ["first"]
        world.let_go()
        assert world.tokens == ["first", "other"]
        assert world.threads == []

    def test_closed(self, world):
        """A value that arrives after the end changes nothing."""
        fill(world.home, **{"github|ada": "second"})
        world.save(CONFIG + "# one\n")
        world.reload.close()
        world.applied.clear()
        world.let_go()
        assert world.applied == []

    def test_edit(self, world):
        """An edit through the gateway counts at once, and cannot ask for anything from outside."""
        carry_out(world.reload, Put(("a", "env", "TOKEN"), "plain"))
        assert world.tokens == ["plain"]
        for text in ("${keyring:github/ada}", "x${cmd:id}"):
            with pytest.raises(ConfigError, match="only taken from what the user writes into a file"):
                carry_out(world.reload, Put(("a", "env"), {"TOKEN": [text]}))
        carry_out(world.reload, Put(("a", "env", "TOKEN"), "${:-$}{cmd:id}"))
        assert world.tokens == ["${cmd:id}"]
