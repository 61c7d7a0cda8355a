"""The commands for clients' files: what they print, and with which exit codes they end."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mcpgateway.cli.main import run
from mcpgateway.clientfiles import files
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.shim.locations import socket_path
from mcpgateway.system.gateway_health import GatewayHealth
from tests.support.clients import PROGRAM, House

URL = "http://localhost:9100/a/mcp"


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """The home of the user who types, with Cursor in it."""
    made = House(tmp_path)
    made.write(made.cursor, {"a": PROGRAM, "b": {"url": "https://x.example/mcp?key=hidden"}})
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(Machine, "answer", property(lambda _: GatewayHealth({"aggregate": True})))
    for name in ("MCPGATEWAY_HOME", "MCPGATEWAY_CONFIG", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    return made


def said(capsys: pytest.CaptureFixture[str]) -> Any:
    """The requests that a program got."""
    return json.loads(capsys.readouterr().out)


@contextmanager
def gateway_of(home: str, answer: bytes) -> Iterator[None]:
    """Something listens at the socket of a home, which gives everybody an answer, or never ends with it."""
    path = socket_path(dict(os.environ), home)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        thread = threading.Thread(target=answer_one, args=(listener, answer))
        thread.start()
        try:
            yield
        finally:
            thread.join(60)


def answer_one(listener: socket.socket, answer: bytes) -> None:
    """Read one request, answer it, and wait until the caller has gone."""
    caller, _ = listener.accept()
    with caller:
        caller.recv(65536)
        caller.sendall(answer)
        caller.settimeout(60)
        while caller.recv(65536):
            pass


class PrintTests:
    """Entries to paste."""

    def test_as_apply_writes(self, house: House, capsys: pytest.CaptureFixture[str]) -> None:
        """An entry is printed in the form that `clients apply` would give it: of the file, else by the service."""
        house.configure("servers: {s: {command: sh}}\n")
        words = ["clients", "apply", "--print", "cursor", "--server", "s"]
        assert run(words) == 0
        assert '"url": "http://localhost:9100/s/mcp"' in capsys.readouterr().out
        house.service.unlink()
        assert run(words) == 0
        assert '"connect"' in capsys.readouterr().out
        assert run(["clients", "apply", "cursor", "--http", "--yes"]) == 0
        capsys.readouterr()
        assert run(words) == 0
        assert '"url": "http://localhost:9100/s/mcp"' in capsys.readouterr().out

    def test_of_projects(
        self, house: House, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Servers of projects are left out of all servers, and that is said."""
        shop = house.root / "shop"
        served = [{"name": "s"}, {"name": "local", "project": str(shop)}]
        monkeypatch.setattr(Machine, "answer", property(lambda _: GatewayHealth({"backends": served})))
        assert run(["clients", "apply", "--print", "cursor"]) == 0
        printed = capsys.readouterr()
        assert list(json.loads(printed.out)["mcpServers"]) == ["s"]
        assert "Left out: local is a server of the project ~/shop;" in printed.err
        assert "clients apply --print --server local" in " ".join(printed.err.split())
        assert run(["clients", "apply", "--print", "cursor", "--server", "local"]) == 0
        assert "Left out" not in capsys.readouterr().err


class Terminal(io.StringIO):
    """A terminal at which somebody sits."""

    def isatty(self) -> bool:
        """True: it is a terminal."""
        return True


class LookTests:
    """Commands that change nothing."""

    def test_detect(self, house: House, capsys: pytest.CaptureFixture[str]) -> None:
        """A client that is installed is shown with its file, and the number of its servers of each kind."""
        (house.root / ".gemini").mkdir()
        assert run(["clients", "detect", "--json"]) == 0
        found = {each["tool"]: each for each in said(capsys)["items"]}
        assert found["cursor"]["config_path"] == str(house.cursor)
        assert found["cursor"]["files"][0]["servers"] == {
            "program": 1,
            "ours": 0,
            "remote": 1,
            "off": 0,
            "odd": 0,
        }
        assert found["gemini"]["expected"].endswith(".gemini/settings.json")
        assert run(["clients", "detect"]) == 0
        assert "~/.cursor/mcp.json" in capsys.readouterr().out

    def test_nobody(self, house: House, capsys: pytest.CaptureFixture[str]) -> None:
        """Where no client is that is said."""
        house.cursor.unlink()
        house.cursor.parent.rmdir()
        assert run(["clients", "detect"]) == 0
        assert "no client" in capsys.readouterr().out

    def test_plan(self, house: House, capsys: pytest.CaptureFixture[str]) -> None:
        """A plan is a line for each file, with a diff without secrets if wanted, and what stays with the reason."""
        assert run(["clients", "plan"]) == 0
        text = capsys.readouterr().out
        assert [each.split() for each in text.splitlines()[:2]] == [
            "FILE CLIENT SERVERS THAT USE THE GATEWAY HOW".split(),
            ["~/.cursor/mcp.json", "cursor", "a", "by", "URL"],
        ]
        assert URL not in text
        assert run(["clients", "plan", "--diff"]) == 0
        text = capsys.readouterr().out
        assert f'+      "url": "{URL}"' in text
        assert '-      "command": "/bin/echo"' in text
        assert "b (~/.cursor/mcp.json) stays as it is, since it is reached by URL" in " ".join(text.split())
        assert "a-secret-value" not in text
        assert "hidden" not in text

    def test_by_url_among_commands(self, house: House, capsys: pytest.CaptureFixture[str]) -> None:
        """An entry that had a URL is told apart from those by a command, with what it needs, before and after."""
        house.write(house.cursor, {"a": PROGRAM, "b": {"url": "https://x.example/mcp"}})
        house.service.unlink()
        assert run(["clients", "plan", "--remote"]) == 0
        text = capsys.readouterr().out
        assert [each.split()[2:] for each in text.splitlines()[1:3]] == [
            ["a", "by", "command"],
            ["b", "by", "URL"],
        ]
        assert "works only while the gateway runs" in " ".join(text.split())
        assert "service install" in text
        assert run(["clients", "plan"]) == 0
        assert "service install" not in capsys.readouterr().out
        assert run(["clients", "apply", "--remote", "--yes"]) == 0
        assert "b: enrolled by URL, so works only while the gateway runs" in capsys.readouterr().out
        assert run(["clients", "list"]) == 0
        listed = [each.split() for each in capsys.readouterr().out.splitlines()[1:3]]
        assert [(each[1:3], each[4]) for each in listed] == [(["by", "command"], "a"), (["by", "URL"], "b")]

    def test_tracked_by_git(self, house: House, capsys: pytest.CaptureFixture[str]) -> None:
        """A file that others get by git is named, with the command that keeps the change out of commits."""
        folder = house.cursor.parent
        for words in (["init", "-q"], ["add", "mcp.json"]):
            assert run(["clients", "plan"]) == 0
            assert "tracked by git" not in capsys.readouterr().out
            subprocess.run(["git", "-C", str(folder), *words], check=True)
        assert run(["clients", "plan"]) == 0
        said = capsys.readouterr().out
        assert "~/.cursor/mcp.json is tracked by git" in said
        assert f"git -C {folder} update-index --skip-worktree mcp.json keeps" in said
        assert run(["clients", "apply", "--yes"]) == 0
        assert "tracked by git" in capsys.readouterr().out

    def test_one_name_in_two_projects(self, house: House, capsys: pytest.CaptureFixture[str]) -> None:
        """Entries of one name in two projects are two lines, before and after."""
        tables = {
            each: {"mcpServers": {"db": {**PROGRAM, "args": [each]}}} for each in ("/p/shop", "/p/blog")
        }
        house.write(house.claude, {"db": PROGRAM}, projects=tables)
        names = ["db (as db-shop)", "db (as db-blog)"]
        assert run(["clients", "plan"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [sum(each in line for line in lines) for each in names] == [1, 1]
        assert run(["clients", "apply", "--yes", "--json"]) == 0
        changes = next(each["changes"] for each in said(capsys)["files"] if each["client"] == "claude-code")
        assert [(each["name"], each["project"]) for each in changes] == [
            ("db", ""),
            ("db-shop", "/p/shop"),
            ("db-blog", "/p/blog"),
        ]
        assert run(["clients", "list"]) == 0
        assert "db, db (as db-shop), db (as db-blog)" in capsys.readouterr().out
        assert run(["clients", "undo", "--client", "claude-code"]) == 0
        shown = [each.replace(str(house.root), "~") for each in capsys.readouterr().out.splitlines()]
        assert shown == [
            "~/.claude.json: as before, to the byte: db",
            "~/.claude.json (project /p/shop): as before, to the byte: db",
            "~/.claude.json (project /p/blog): as before, to the byte: db",
        ]

    def test_the_single_entry_is_no_server(self, house: House, capsys: pytest.CaptureFixture[str]) -> None:
        """A restored file is told with its own servers, and the single entry for all is none of them."""
        assert run(["clients", "apply", "--single", "--yes"]) == 0
        house.write(house.cursor, house.servers(house.cursor), theme="dark")
        capsys.readouterr()
        assert run(["clients", "undo"]) == 0
        (line,) = capsys.readouterr().out.splitlines()
        assert line.endswith("mcp.json: a is put back, and the rest of the file stays as it is")

    @pytest.mark.parametrize("is_repository", [True, False])
    def test_around(
        self,
        house: House,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        *,
        is_repository: bool,
    ) -> None:
        """Files of the project around the working directory are found up to the root of its repository."""
        shop = house.root / "shop"
        inside = shop / "src"
        inside.mkdir(parents=True)
        if is_repository:
            (shop / ".git").mkdir()
        house.write(shop / ".mcp.json", {"repo": PROGRAM})
        wide = {"command": "/bin/ls", "args": ["${workspaceFolder}/src", "${workspaceFolderBasename}"]}
        house.write(inside / ".cursor" / "mcp.json", {"files": wide})
        monkeypatch.chdir(inside)
        assert run(["clients", "plan", "--json"]) == 0
        found = {each["path"]: each["adopted"] for each in said(capsys)["files"] if each["changed"]}
        here = {str(inside / ".cursor" / "mcp.json"): {"files": "files"}}
        above = {str(shop / ".mcp.json"): {"repo": "repo"}} if is_repository else {}
        assert found == {str(house.cursor): {"a": "a"}, **here, **above}
        assert run(["clients", "apply", "--yes"]) == 0
        blueprint = house.machine.settings.blueprints["files"]
        assert [blueprint.entry.argv[1:], blueprint.entry.origin.project] == [
            (f"{inside}/src", "src"),
            str(inside),
        ]

    def test_around_the_home(
        self, house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The user's home is no project: its files are listed once, as the user's."""
        house.write(house.root / ".mcp.json", {"repo": PROGRAM})
        monkeypatch.chdir(house.root)
        assert run(["clients", "plan", "--json"]) == 0
        assert [each["path"] for each in said(capsys)["files"]] == [str(house.cursor)]

    def test_plan_in_json(self, house: House, capsys: pytest.CaptureFixture[str]) -> None:
        """The same for programs."""
        assert run(["clients", "plan", "--json"]) == 0
        found = said(capsys)
        assert (found["changed"], found["files"][0]["adopted"]) == (True, {"a": "a"})
        assert "a-secret-value" not in json.dumps(found)

    def test_list(self, house: House, capsys: pytest.CaptureFixture[str]) -> None:
        """Entries that use the gateway are listed with the state of their file."""
        assert run(["clients", "list"]) == 0
        assert "no client uses the gateway" in capsys.readouterr().out
        run(["clients", "apply", "--yes"])
        capsys.readouterr()
        states = []
        ours = house.servers(house.cursor)
        for write in (
            lambda: None,
            lambda: house.write(house.cursor, {"new": {"url": "https://y.example"}, **ours}),
            lambda: house.write(house.cursor, {}),
            lambda: house.cursor.write_text("{"),
            house.cursor.unlink,
        ):
            write()
            assert run(["clients", "list", "--json"]) == 0
            states.append(said(capsys)["items"][0]["state"])
        assert states == ["as left", "edited", "not as left", "not readable", "not there"]

    def test_list_of_entries_taken_back(self, house: House, capsys: pytest.CaptureFixture[str]) -> None:
        """An entry that its user has made their own again is not counted, and told with the command that enrols it."""
        run(["clients", "apply", "--yes"])
        ours = house.servers(house.cursor)
        (name, enrolled), *_ = ours.items()
        for edited in ({"command": "/bin/true"}, {**enrolled, "command": "/bin/true"}):
            house.write(house.cursor, {**ours, name: edited})
            capsys.readouterr()
            assert run(["clients", "list"]) == 0
            told = capsys.readouterr().out
            assert f": {name} stays: " in told
            assert f"mcpgateway clients apply --server {name} enrols it again" in told
            run(["clients", "list", "--json"])
            file = said(capsys)["items"][0]
            assert [each["title"] for each in file["left"]] == [name]
            assert name not in file["servers"]
            assert run(["clients", "apply", "--check"]) == 3
            assert run(["clients", "apply", "--server", name, "--yes"]) == 0
            assert house.servers(house.cursor) == ours
            assert run(["clients", "apply", "--check"]) == 0

    def test_list_with_a_byte_order_mark(self, house: House, capsys: pytest.CaptureFixture[str]) -> None:
        """A file that begins with a byte order mark is as the gateway has left it, too."""
        before = b"\xef\xbb\xbf" + house.cursor.read_bytes()
        house.cursor.write_bytes(before)
        run(["clients", "apply", "--yes"])
        assert house.cursor.read_bytes() != before
        capsys.readouterr()
        assert run(["clients", "list", "--json"]) == 0
        assert [each["state"] for each in said(capsys)["items"]] == ["as left"]


class ApplyTests:
    """Leading here and giving back."""

    def test_in_a_pipe(self, house: House, capsys: pytest.CaptureFixture[str]) -> None:
        """Where nobody can be asked nothing is changed without --yes."""
        assert run(["clients", "apply"]) == 1
        assert "--yes" in capsys.readouterr().err
        assert "a" in house.servers(house.cursor)
        assert "command" in house.servers(house.cursor)["a"]

    @pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1)])
    def test_at_a_terminal(
        self,
        house: House,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        answer: str,
        code: int,
    ) -> None:
        """A person is shown the difference and asked once."""
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        out = Terminal()
        monkeypatch.setattr(sys, "stdout", out)
        assert run(["clients", "apply"]) == code
        assert out.getvalue().count("[y/N]") == 1
        assert ("url" in house.servers(house.cursor)["a"]) == (code == 0)

    def test_there_and_back(self, house: House, capsys: pytest.CaptureFixture[str]) -> None:
        """A file is enrolled, and restored to the byte."""
        before = house.cursor.read_bytes()
        assert run(["clients", "apply", "--yes"]) == 0
        out, err = capsys.readouterr()
        assert ("~/.cursor/mcp.json: a uses the gateway" in out, err) == (True, "")
        assert run(["clients", "apply", "--yes"]) == 0
        assert "nothing had to be changed" in capsys.readouterr().out
        assert run(["clients", "undo"]) == 0
        assert "to the byte" in capsys.readouterr().out
        assert house.cursor.read_bytes() == before

    def test_check(self, house: House) -> None:
        """The exit code of a check says whether anything would change."""
        assert run(["clients", "apply", "--check"]) == 3
        assert "command" in house.servers(house.cursor)["a"]
        run(["clients", "apply", "--yes"])
        assert run(["clients", "apply", "--check"]) == 0

    def test_unknown(self, house: House, capsys: pytest.CaptureFixture[str]) -> None:
        """A mistake is an error in one line."""
        assert run(["clients", "apply", "--yes", "--client", "x"]) == 1
        assert "--client x: is not known" in capsys.readouterr().err

    def test_an_unknown_server(self, house: House, capsys: pytest.CaptureFixture[str]) -> None:
        """A server that neither the gateway nor a file has is an error, and nothing is changed."""
        before = house.cursor.read_bytes()
        for words in (["plan"], ["apply", "--yes"]):
            assert run(["clients", *words, "--server", "a", "--server", "nosuch"]) == 1
            assert "Unknown server: nosuch" in capsys.readouterr().err
        assert house.cursor.read_bytes() == before
        assert run(["clients", "apply", "-y", "--server", "a"]) == 0

    def test_clients_by_name(self, house: House, capsys: pytest.CaptureFixture[str]) -> None:
        """Clients are named as arguments, of `plan` and `undo`, too."""
        house.write(house.claude, {"c": PROGRAM})
        assert run(["clients", "plan", "cursor", "--json"]) == 0
        assert [each["client"] for each in said(capsys)["files"]] == ["cursor"]
        assert run(["clients", "apply", "-y"]) == 0
        before = house.claude.read_bytes()
        assert run(["clients", "undo", "cursor"]) == 0
        assert house.servers(house.cursor)["a"] == PROGRAM
        assert house.claude.read_bytes() == before

    def test_rolled_back(
        self, house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Where one file cannot be changed none is, and the exit code says so."""
        house.write(house.claude, {"a": PROGRAM})
        before = house.claude.read_bytes()
        # As if it had become read-only only after it was looked at.
        monkeypatch.setattr("mcpgateway.clientfiles.plan.unwritable", lambda _: "")
        house.cursor.chmod(0o444)
        assert run(["clients", "apply", "--yes"]) == 4
        assert "read-only" in capsys.readouterr().err
        assert house.claude.read_bytes() == before
        assert run(["clients", "list", "--json"]) == 0
        assert said(capsys)["items"] == []

    def test_register(self, house: House, tmp_path: Path) -> None:
        """A project is registered by its directory."""
        file = house.write(tmp_path / "shop" / ".mcp.json", {"p": PROGRAM})
        assert run(["clients", "register", str(file.parent)]) == 0
        assert house.servers(file)["p"]["url"].endswith("/p/mcp")

    def test_disable(self, house: House, capsys: pytest.CaptureFixture[str]) -> None:
        """All clients have their own servers while the gateway is disabled."""
        run(["clients", "apply", "--yes"])
        led = house.cursor.read_bytes()
        assert run(["disable"]) == 0
        given_back = house.cursor.read_bytes()
        assert house.servers(house.cursor)["a"] == PROGRAM
        assert run(["enable"]) == 2
        assert "mcpgateway start" in capsys.readouterr().err
        assert house.cursor.read_bytes() == given_back
        with gateway_of(house.machine.home, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"):
            assert run(["enable"]) == 0
        assert house.cursor.read_bytes() == led

    def test_enable_while_the_gateway_hangs(
        self, house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A gateway that hangs is not started a second time."""
        monkeypatch.setattr("mcpgateway.cli.commands.clients.clients.HEALTH_S", 0.2)
        with gateway_of(house.machine.home, b""):
            assert run(["enable"]) == 2
        said = capsys.readouterr().err
        assert "mcpgateway restart" in said
        assert "mcpgateway start" not in said

    def test_sync(self, house: House, capsys: pytest.CaptureFixture[str]) -> None:
        """The command that the gateway runs by itself answers in JSON, and is in no help."""
        run(["clients", "apply", "--yes"])
        capsys.readouterr()
        assert run(["clients", "sync"]) == 0
        assert said(capsys)["changed"] is False
        assert run(["clients", "--help"]) == 0
        assert "sync" not in capsys.readouterr().out

    def test_deadman(
        self, house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A gateway that does not answer for as long as is said is away."""
        run(["clients", "apply", "--yes"])
        monkeypatch.setattr(Machine, "answer", property(lambda _: None))
        capsys.readouterr()
        assert run(["clients", "deadman", "--after", "0", "--json"]) == 0
        assert said(capsys)["report"]["changed"] is True
        assert house.servers(house.cursor)["a"] == PROGRAM

    def test_any_file(self, house: House, tmp_path: Path) -> None:
        """A file of a client that is not known is enrolled by its path."""
        path = house.write(tmp_path / "mine.json", {"m": PROGRAM})
        assert run(["clients", "apply", "--yes", "--file", str(path)]) == 0
        assert house.servers(path)["m"] == {"type": "http", "url": "http://localhost:9100/m/mcp"}
        assert [each.path for each in files.recorded_sites(house.machine.records)] == [str(path)]
