"""Changes of servers of clients' files: overlays in the gateway's own configuration, and no client's file changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mcpgateway.config.edit.change import read_patch
from mcpgateway.config.edit.conditions import EditCondition
from mcpgateway.config.read import parse
from mcpgateway.errors import ConfigError, InvalidParams, NotOurs, Outdated, Unfit
from mcpgateway.manage.entries import Entries
from tests.manage.test_entries import entries_of
from tests.support.managed import Managed

GITHUB = {"command": "npx", "args": ["gh"], "env": {"TOKEN": "old", "KEPT": "1"}, "cwd": "/srv"}
CLIENT = json.dumps({"mcpServers": {"github": GITHUB, "off": {"command": "o", "disabled": True}}})
CONFIG = "# mine\nservers:\n  own:  # the first\n    command: run\n"


class User:
    """A user with a client's file, whose gateway has a configuration."""

    def __init__(self, tmp_path: Path, config: str | None = CONFIG) -> None:
        home = tmp_path / "home"
        home.mkdir()
        self.client = tmp_path / "client.json"
        self.client.write_text(CLIENT)
        self.managed = Managed(home, config, (str(self.client),))
        self.entries: Entries = entries_of(self.managed)

    def patch(self, name: str = "github", tag: str = "", **body: Any) -> Any:
        """Change a server."""
        condition = EditCondition(frozenset((tag,))) if tag else EditCondition()
        return self.entries.patch(name, read_patch(body), condition)

    def served(self, name: str = "github") -> Any:
        """Return a server as it is in force."""
        return next(each for each in self.managed.reload.settings.servers if each.name == name)

    @property
    def over(self) -> Any:
        """The entries of the configuration."""
        return parse(self.managed.text, "config.yaml").value["servers"]


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


class OverlayTests:
    def test_set(self, user: User) -> None:
        """Keys, variables and arguments are written over the client's entry, and count at once."""
        assert user.patch(set={"timeout": "30s", "share": "session"}).is_other
        assert user.patch(add_env={"TOKEN": "new"}).is_other
        assert (user.served().timeout_s, user.served().env["TOKEN"], user.served().env["KEPT"]) == (
            30.0,
            "new",
            "1",
        )
        assert user.managed.text == CONFIG + (
            '  github:\n    timeout: "30s"\n    share: session\n    env:\n      TOKEN: new\n'
        )
        assert user.client.read_text() == CLIENT

    def test_again(self, user: User) -> None:
        """A change to the same value is none."""
        user.patch(set={"timeout": "30s"}, add_env={"TOKEN": "new"})
        text = user.managed.text
        assert not user.patch(set={"timeout": "30s"}, add_env={"TOKEN": "new"}).is_other
        assert user.managed.text == text

    def test_unset(self, user: User) -> None:
        """A key that is taken out again has the client's value, and an overlay without keys is removed."""
        user.patch(set={"timeout": "30s"}, add_env={"TOKEN": "new"})
        user.patch(remove_env=["TOKEN"])
        assert user.served().env["TOKEN"] == "old"
        assert user.over["github"]["timeout"] == "30s"
        assert "env" not in user.over["github"]
        user.patch(unset=["timeout"])
        assert user.managed.text == CONFIG

    def test_unset_a_slip(self, tmp_path: Path) -> None:
        """A key that no server has is taken out where the overlay has it, and is an error where it has not."""
        user = User(tmp_path, CONFIG + "  github:\n    timeout: 30s\n    comand: npx\n")
        user.patch(unset=["comand"])
        user.patch(unset=["timeout"])
        assert user.managed.text == CONFIG
        with pytest.raises(InvalidParams, match="'comand' is no key of a server"):
            user.patch(unset=["comand"])

    def test_keys_of_the_client(self, user: User) -> None:
        """A key that only the client's file has is not taken out, and the message names the file."""
        for body in ({"unset": ["cwd"]}, {"remove_env": ["KEPT"]}, {"unset": ["env.KEPT"]}):
            with pytest.raises(NotOurs, match=r"client\.json"):
                user.patch(**body)
        assert user.managed.text == CONFIG

    def test_switch(self, user: User) -> None:
        """A server is switched off and on, whatever the client's file says."""
        user.patch(disabled=True)
        assert (user.served().enabled, user.over["github"]) == (False, {"disabled": True})
        user.patch(disabled=False)
        assert (user.served().enabled, user.managed.text) == (True, CONFIG)
        user.patch("off", disabled=False)
        assert (user.served("off").enabled, user.over["off"]) == (True, {"enabled": True})

    def test_refused(self, user: User) -> None:
        """A value that could not be used, or loads code, changes nothing; the name stays the client's."""
        for error, body in (
            (ConfigError, {"set": {"share": "all"}}),
            (Unfit, {"add_env": {"PATH": "/evil"}}),
            (Unfit, {"add_env": {"A": "${cmd:rm}"}}),
            (NotOurs, {"new_name": "hub"}),
        ):
            with pytest.raises(error):
                user.patch(**body)
        with pytest.raises(NotOurs):
            user.entries.remove("github", EditCondition())
        assert user.managed.text == CONFIG

    def test_replaced(self, user: User) -> None:
        """Another definition lies over the client's entry without its arguments; the same one again is no change."""
        user.patch(set={"timeout": "30s"})
        for is_other in (True, False):
            found = user.entries.put("github", {"command": "other"}, EditCondition(frozenset("*")))
            assert (found.name, found.is_other) == ("github", is_other)
            assert "client.json" in found.hint
        assert user.over["github"] == {"command": "other", "args": [], "overlay": True}
        assert (user.served().command, user.served().env["KEPT"]) == (("other",), "1")
        with pytest.raises(Outdated):
            user.entries.put("github", {"command": "x"}, EditCondition(is_new=True))

    def test_command(self, user: User) -> None:
        """Another command keeps the arguments of the client's entry, and no second server appears."""
        args = user.served().command[1:]
        names = [each.name for each in user.managed.reload.settings.servers]
        user.patch(set={"command": "other"})
        assert user.served().command == ("other", *args)
        assert [each.name for each in user.managed.reload.settings.servers] == names
        user.patch(unset=["command"])
        assert user.managed.text == CONFIG

    def test_shown(self, user: User) -> None:
        """The entry is shown with what lies over it, without secrets, and its tag follows the overlay."""
        tag = user.entries.tag("github")
        user.patch(set={"timeout": "30s"}, add_env={"TOKEN": "new"}, tag=tag)
        shown = user.entries.shown("github")
        assert (shown["command"], shown["timeout"]) == ("npx", "30s")
        assert "new" not in json.dumps(shown)
        with pytest.raises(Outdated):
            user.patch(set={"timeout": "40s"}, tag=tag)

    def test_no_configuration_yet(self, tmp_path: Path) -> None:
        """A configuration is made for the first overlay, readable by its owner alone."""
        user = User(tmp_path, None)
        user.patch(add_env={"TOKEN": "new"})
        assert user.managed.file.stat().st_mode & 0o777 == 0o600
        assert user.served().env["TOKEN"] == "new"

    def test_servers_at_the_top(self, tmp_path: Path) -> None:
        """A file whose servers stand at the top gets no overlay: a file beside it does."""
        config = "own: {command: run}\n"
        user = User(tmp_path, config)
        user.patch(set={"timeout": "30s"})
        assert user.managed.text == config
        assert "github" in (user.managed.home / "config.local.yaml").read_text()
        assert (user.served().timeout_s, user.served("own").command) == (30.0, ("run",))
