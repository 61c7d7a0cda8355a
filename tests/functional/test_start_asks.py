"""``mcpgateway start`` and the clients' files of a user: one table, one question, and what comes next."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.home import Home
from tests.support.service_managers import Systemctl
from tests.support.terminal import Terminal

pytestmark = pytest.mark.functional

QUESTION = r"\[[a-zA-Z/?]+\]: $"
NOTES = {"command": sys.executable, "args": ["-P", "-m", "mcpgateway.demo.notebook"]}
NEEDS_TERMINAL = "No client's file was changed, since there is no terminal to ask at"


class User:
    """A user with Cursor, in the directory of a project with a file of its own."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.systemctl = Systemctl(home.directory / "bin")
        self.units = home.directory / ".config" / "systemd" / "user"
        self.shop = home.directory / "shop"
        self.files = [home.directory / ".cursor" / "mcp.json", self.shop / ".mcp.json"]
        for path, name in zip(self.files, ("own", "repo"), strict=True):
            path.parent.mkdir()
            path.write_text(json.dumps({"mcpServers": {name: NOTES}}))
        web = {"url": "http://127.0.0.1:9/mcp"}
        root = {**NOTES, "args": ["${workspaceFolder}"]}
        self.files[0].write_text(json.dumps({"mcpServers": {"own": NOTES, "web": web, "root": root}}))
        self.originals = self.contents()

    def contents(self) -> list[str]:
        """The contents of the clients' files."""
        return [path.read_text() for path in self.files]

    def starts(self, answer: str, *words: str, code: int = 0) -> str:
        """Type the command and an answer; return the screen, on which there is one question at most."""
        environ = {
            **self.home.environ,
            "PATH": f"{self.systemctl.directory}:{self.home.environ['PATH']}",
            "TERM": "xterm",
            "COLUMNS": "200",
        }
        terminal = Terminal(self.home.argv("start", *words), environ, self.shop)
        if terminal.shows(QUESTION):
            terminal.type(f"{answer}\n")
        assert (terminal.ended(), terminal.text.count("Enrol them?")) == (code, 1), terminal.text
        return terminal.text


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    """A user, whose gateway is ended afterwards."""
    with Home(tmp_path, has_service=False) as home:
        yield User(home)


class AskedTests:
    """On a terminal."""

    def test_with_the_service(self, user: User) -> None:
        """One question enrols all files and installs the service; the last line names the next step."""
        said = user.starts("s")
        lines = [each.split() for each in said.splitlines()]
        assert ["~/.cursor/mcp.json", "cursor", "own", "by", "command"] in lines
        assert ["~/shop/.mcp.json", "claude-code", "repo", "by", "command"] in lines
        assert "[y/s/N/d/?]" in said
        assert (user.units / "mcpgateway.service").is_file()
        assert "enable" in " ".join(user.systemctl.asked())
        assert all('/mcp"' in each and '"connect"' not in each for each in user.contents())
        assert said.rstrip().splitlines()[-1].startswith("Next: mcpgateway status ")
        assert user.home.run("stop").returncode == 0
        assert user.contents() == user.originals

    @pytest.mark.parametrize("verb", ["daemon-reload", "enable"])
    def test_a_service_that_fails(self, user: User, verb: str) -> None:
        """A service that cannot be installed is told, and the files are enrolled by command."""
        user.systemctl.breaks(verb, "no bus here")
        said = user.starts("s", code=1)
        assert "the service is not installed, so the files are enrolled by command: " in said
        assert "no bus here" in said
        assert "mcpgateway service install tries again" in said
        assert all('"connect"' in each for each in user.contents())
        assert user.home.run("stop").returncode == 0
        assert user.contents() == user.originals

    def test_without_the_service(self, user: User) -> None:
        """A yes enrols the files alone; the service is not offered where it would run the gateway in another way."""
        said = user.starts("y", "--port", str(user.home.port))
        assert "[y/N/d/?]" in said
        before, _, after = said.partition("Enrol them?")
        for told in (
            "web (~/.cursor/mcp.json) stays as it is, since it is reached by URL; mcpgateway clients apply",
            "~/.cursor/mcp.json: root stays: it has ${workspaceFolder}, which only its client can fill in",
        ):
            assert (told in before, told in after) == (True, False)
        assert not user.units.exists()
        assert all('"connect"' in each for each in user.contents())

    def test_no(self, user: User) -> None:
        """A no changes no file, and the commands that do are named."""
        said = user.starts("n")
        assert user.contents() == user.originals
        assert "mcpgateway clients apply enrols them" in said
        assert not user.units.exists()

    def test_added_to_the_project(self, user: User) -> None:
        """An entry that was added to an enrolled file of the project waits for approval, and is offered."""
        user.starts("y")
        path = user.files[1]
        listed = json.loads(path.read_text())["mcpServers"]
        path.write_text(json.dumps({"mcpServers": {**listed, "more": {**NOTES, "env": {"A": "b"}}}}))
        said = user.starts("y")
        assert ["~/shop/.mcp.json", "claude-code", "more", "by", "command"] in [
            each.split() for each in said.splitlines()
        ]
        assert "~/shop/.mcp.json: more uses the gateway" in said
        assert path.read_text().count('"connect"') == 2

    def test_more_before_the_answer(self, user: User) -> None:
        """The question explains enrolling; ``?`` explains the answers, ``d`` shows the diff, and it is asked again."""
        terminal = Terminal(user.home.argv("start"), {**user.home.environ, "COLUMNS": "200"}, user.shop)
        for before, answer in (("FILE", "?"), ("n leaves the files", "d"), ('"connect"', "n")):
            assert terminal.shows(rf"(?s){before}.*Enrol them\? \[[a-zA-Z/?]+\]: $"), terminal.text
            terminal.type(f"{answer}\n")
        assert terminal.ended() == 0
        assert (
            "An enrolled entry leads to the gateway, which runs its server for all clients." in terminal.text
        )
        assert "n leaves the files as they are" in terminal.text
        assert '"connect",' in terminal.text
        assert user.contents() == user.originals


class UnaskedTests:
    """Without a terminal."""

    def test_it_says_so(self, user: User) -> None:
        """No file is changed, and the command that changes them is named, unless files are enrolled."""
        said = user.home.run("start").stdout
        assert NEEDS_TERMINAL in said
        assert "mcpgateway clients apply --yes" in said
        assert user.contents() == user.originals
        assert user.home.json("start")["already_running"] is True
        assert user.home.run("clients", "apply", "--yes").returncode == 0
        assert NEEDS_TERMINAL not in user.home.run("start").stdout
        assert NEEDS_TERMINAL not in user.home.run("start", "--adopt", "never").stdout

    def test_yes(self, user: User) -> None:
        """With --yes the files of the user and of the project around are enrolled, as by the answer y."""
        config = user.home.path / "config.json"
        given = json.loads(config.read_text())
        config.write_text(json.dumps({**given, "clients": {"adopt": "never"}}))
        begun = self.run_in_project(user, "start", "--yes")
        assert (begun.returncode, user.contents() == user.originals) == (0, True), begun.stderr
        config.write_text(json.dumps(given))
        assert self.run_in_project(user, "start", "--yes", "--adopt", "ask").returncode == 64
        again = self.run_in_project(user, "start", "--yes")
        assert again.returncode == 0, again.stderr
        assert all("connect" in text for text in user.contents())
        listed = user.home.json("servers", "list")["items"]
        assert {"own", "repo"} <= {each["name"] for each in listed}
        assert user.home.run("stop").returncode == 0
        assert user.contents() == user.originals

    def run_in_project(self, user: User, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the directory of the project."""
        argv, environ = user.home.argv(*words), user.home.environ
        return subprocess.run(
            argv, env=environ, cwd=user.shop, capture_output=True, text=True, timeout=60, check=False
        )
