"""Hints of the program in the situations that they are for: the command is run, and helps."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gateway import eventually
from tests.support.hints import told
from tests.support.home import Home
from tests.support.ports import free_port
from tests.support.protected import agreed, several
from tests.support.terminal import COLOURS, Terminal

pytestmark = pytest.mark.functional

CLOCK = [sys.executable, "-P", "-m", "mcpgateway.demo.clock"]
BROKEN = ["/bin/sh", "-c", "echo boom-of-it >&2; exit 3"]
EDITOR = "sed -i s#no-such-program#{}#"
SERVERS = {
    "clock": {"command": CLOCK},
    "gone": {"command": ["no-such-program", *CLOCK[1:]]},
    "varless": {"command": CLOCK, "env": {"KEY": "${NO_SUCH_KEY_OF_THIS_TEST}"}},
    "broken": {"command": BROKEN},
    "off": {"command": CLOCK, "disabled": True},
    "nodir": {"command": CLOCK, "cwd": "/no/such/directory"},
    "away": {"url": "http://127.0.0.1:9/mcp"},
}


class User:
    """A user who reads what the program says, and runs the commands that it names."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def run(self, *words: str, answers: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command of the program."""
        if not answers:
            done: subprocess.CompletedProcess[str] = self.home.run(*words)
            return done
        return subprocess.run(
            self.home.argv(*words),
            input=answers,
            capture_output=True,
            text=True,
            timeout=60,
            env=self.home.environ,
            cwd=self.home.directory,
            check=False,
        )

    def reads(self, *words: str) -> list[str]:
        """Run a command; return the commands that its output names."""
        done = self.run(*words)
        return told(done.stdout + done.stderr)

    def follows(self, hint: str, *, answers: str = "", **values: str) -> subprocess.CompletedProcess[str]:
        """Run a command that the program has named, with words in capitals filled in."""
        for name, value in values.items():
            assert name in hint
            hint = hint.replace(name, value)
        return self.run(*shlex.split(hint), answers=answers)

    def is_well(self, name: str) -> bool:
        """Whether a server starts."""
        self.run("servers", "start", name)
        return self.run("why", name).returncode == 0


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """The user of a gateway whose servers are broken in various ways."""
    with Home(tmp_path_factory.mktemp("hints"), SERVERS) as home:
        user = User(home)
        assert user.run("start").returncode == 0
        for name in SERVERS:
            if name not in ("clock", "off"):
                user.run("servers", "start", name)
        yield user


@pytest.fixture
def away(tmp_path: Path) -> Iterator[User]:
    """A user whose gateway does not run."""
    with Home(tmp_path, {"clock": {"command": CLOCK}}) as home:
        yield User(home)


class ServerTests:
    """Servers that do not run, as `status`, `why` and `doctor` tell of them."""

    def test_a_missing_program(self, user: User) -> None:
        """The entry is edited, and the server starts."""
        (hint,) = user.reads("why", "gone")
        cause, remedy = "the program no-such-program is not there", "install it; if your shell finds it"
        for words in ("status", "why gone", "doctor", "servers list"):
            told = user.run(*words.split()).stdout
            assert f"gone: {cause}" in told.replace("gone does not work: ", "gone: "), words
            assert remedy in told
            assert f" mcpgateway {hint}\n" in told  # a line of its own
            assert "config show" not in told
        user.home.environ["EDITOR"] = EDITOR.format(sys.executable)
        done = user.follows(hint)
        assert done.returncode == 0, done.stderr
        found = user.run("why", "gone")
        assert "no-such-program is not there" not in found.stdout
        assert user.is_well("gone")

    @pytest.mark.parametrize("is_of_client", [False, True])
    def test_a_mistyped_program(self, away: User, *, is_of_client: bool) -> None:
        """Each command that tells of the program asks for the one that is meant; the named command corrects its entry.

        The entry of a client's file is corrected there, where the client without the gateway has it from.
        """
        program = away.home.directory / "bin" / "npx"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\nexec {shlex.join(CLOCK)}\n")
        program.chmod(0o755)
        away.home.environ["PATH"] = f"{program.parent}:{away.home.environ['PATH']}"
        file = away.home.directory / ".claude.json"
        entry = {"command": "npxx", "args": ["-y", "notes"]}
        file.write_text(json.dumps({"mcpServers": {"notes": entry} if is_of_client else {}}))
        assert away.run("start").returncode == 0
        wanted = f"servers set notes command=npx{' --original' if is_of_client else ''}"
        surfaces = [
            "servers test notes",
            "why notes",
            "doctor",
            "status",
            "servers list",
            "servers start notes",
        ]
        if not is_of_client:
            done = away.run("servers", "add", "notes", "--", "npxx", "-y", "notes")
            assert "did you mean npx? Correct the entry" in done.stdout
            assert wanted in told(done.stdout)
        for words in surfaces:
            done = away.run(*words.split())
            assert "did you mean npx? Correct the entry" in done.stdout, words
            assert wanted in told(done.stdout), words
        assert away.follows(f"{wanted} --yes" if is_of_client else wanted).returncode == 0
        assert away.is_well("notes")
        if is_of_client:
            now = json.loads(file.read_text())["mcpServers"]["notes"]
            assert (now["command"], now["args"]) == ("npx", ["-y", "notes"])

    def test_a_missing_directory(self, user: User) -> None:
        """The directory is put right, and the server starts."""
        (hint,) = user.reads("why", "nodir")
        assert hint in user.reads("status")
        done = user.follows(hint, DIRECTORY=str(user.home.directory))
        assert done.returncode == 0, done.stderr
        assert user.is_well("nodir")

    def test_a_wrong_address(self, user: User) -> None:
        """The address is put right, and the next try is made there."""
        (hint,) = user.reads("why", "away")
        assert hint in user.reads("status")
        port = str(free_port())
        done = user.follows(hint, URL=f"http://127.0.0.1:{port}/mcp")
        assert done.returncode == 0, done.stderr
        user.run("servers", "start", "away")
        assert f"127.0.0.1:{port}" in user.run("why", "away").stdout

    def test_a_missing_variable(self, user: User) -> None:
        """The variable is given, and the doctor has nothing to say of it any more."""
        (hint,) = [each for each in user.reads("doctor") if "set-env" in each]
        done = user.follows(hint, answers="its-value\n")
        assert done.returncode == 0, done.stderr
        assert "varless" not in user.run("doctor").stdout

    def test_an_end_at_once(self, user: User) -> None:
        """The log and a trial show the words of the program, which are the cause."""
        assert user.reads("why", "away")[0] in user.reads("doctor")
        log, trial = user.reads("why", "broken")[:2]
        assert "boom-of-it" in user.follows(log).stdout
        assert "boom-of-it" in user.follows(trial).stdout

    def test_a_crash_loop(self, user: User) -> None:
        """The server is given up; once its command is right, the circuit is closed by the command that is named."""
        for _ in range(6):
            user.run("servers", "start", "broken")
        found = user.reads("why", "broken")
        (hint,) = {each for each in found if "reset-circuit" in each}
        assert user.run("servers", "set", "broken", f"command={json.dumps(CLOCK)}").returncode == 0
        assert user.follows(hint).returncode == 0
        assert user.is_well("broken")

    def test_a_passed_test(self, user: User) -> None:
        """A server that was given up is ready once `servers test` has passed, and its fault is forgotten."""
        program = user.home.directory / "helper"
        assert user.run("servers", "add", "later", "--no-test", "--", str(program)).returncode == 0
        for _ in range(6):
            user.run("servers", "start", "later")
        assert "disabled" in user.run("servers", "list").stdout
        program.write_text(f"#!/bin/sh\nexec {shlex.join(CLOCK)}\n")
        program.chmod(0o755)
        done = user.run("servers", "test", "later")
        assert (done.returncode, "forgotten the former fault of later" in done.stdout) == (0, True)
        assert "later: " not in user.run("servers", "list").stdout
        assert user.run("why", "later").returncode == 0

    def test_one_that_is_switched_off(self, user: User) -> None:
        """The server is switched on, and starts."""
        (hint,) = user.reads("why", "off")
        assert user.follows(hint).returncode == 0
        assert user.is_well("off")


class ClientFileTests:
    """A server of a client's file whose program is not there, repaired through the gateway."""

    @pytest.fixture(params=["", "--http", "--fail-open"])
    def enrolled(self, away: User, request: pytest.FixtureRequest) -> User:
        """A user whose client's file has such a server, enrolled or only read."""
        file = away.home.directory / ".claude.json"
        entry = {"command": "no-such-program", "args": CLOCK[1:], "env": {"KEPT": "1"}}
        file.write_text(json.dumps({"mcpServers": {"time": entry}}))
        assert away.run("start").returncode == 0
        if request.param:
            assert away.run("clients", "apply", "--yes", request.param).returncode == 0
        away.run("servers", "start", "time")
        return away

    def test_by_the_hint(self, enrolled: User) -> None:
        """The editor that the hint opens takes the command, and the server starts under its name."""
        (hint,) = enrolled.reads("why", "time")
        assert hint == "servers edit time"
        assert hint in enrolled.reads("status")
        enrolled.home.environ["EDITOR"] = f"sed -i '$ a command: {sys.executable}'"
        self.repairs(enrolled, *shlex.split(hint))

    def test_by_set(self, enrolled: User) -> None:
        """One key is given; the arguments of the entry stay. Taken out again, the entry's own command counts."""
        self.repairs(enrolled, "servers", "set", "time", f"command={sys.executable}")
        assert enrolled.run("servers", "unset", "time", "command").returncode == 0
        self.serves_one(enrolled)
        assert not enrolled.is_well("time")

    def test_by_set_with_arguments(self, enrolled: User) -> None:
        """Command and arguments are given, which replace those of the entry."""
        given = (f"command={sys.executable}", f"args={json.dumps([*CLOCK[1:], '--more'])}")
        self.repairs(enrolled, "servers", "set", "time", *given)
        assert "--more" in enrolled.run("--json", "servers", "get", "time").stdout

    def test_by_a_replacement(self, enrolled: User) -> None:
        """The server is added anew in the place of the former one, and the variables of the entry stay."""
        self.repairs(enrolled, "servers", "add", "time", "--replace", "--", *CLOCK)
        found = json.loads(enrolled.run("--json", "servers", "get", "time").stdout)
        assert "KEPT" in str(found)

    def repairs(self, user: User, *words: str) -> None:
        """Run a command, after which one server of that name is there, and starts."""
        file = user.home.directory / ".claude.json"
        before = file.read_text()
        done = user.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        eventually(lambda: user.is_well("time"), "the server starts")
        self.serves_one(user)
        assert file.read_text() == before

    @staticmethod
    def serves_one(user: User) -> None:
        """Check that the gateway serves one server, under its name."""
        found = json.loads(user.run("--json", "servers", "list").stdout)["items"]
        assert [each["name"] for each in found] == ["clock", "time"]


class NameTests:
    """Names and values that are none."""

    def test_an_unknown_tool(self, user: User) -> None:
        """The search that is named finds the tool that was meant."""
        (hint,) = set(user.reads("tools", "call", "clock__nwo"))
        assert "clock__now" in user.follows(f"{hint} now").stdout

    def test_an_unknown_server(self, user: User) -> None:
        """The error names the servers, and the one that is meant."""
        assert "there are: clock" in user.run("logs", "nosuch").stderr
        assert "did you mean clock?" in user.run("logs", "clok").stderr

    def test_a_wrong_value(self, user: User) -> None:
        """The key is explained, with the values that it takes."""
        (hint,) = user.reads("servers", "set", "clock", "share=wrong")
        assert "session" in user.follows(hint).stdout

    def test_an_unknown_session(self, user: User) -> None:
        """The list that is named shows the sessions, or says how one begins."""
        (hint,) = user.reads("sessions", "kill", "nosuch")
        assert user.follows(hint).returncode == 0


class GatewayTests:
    """The gateway itself."""

    @pytest.mark.parametrize("words", ["status", "tools list", "why clock", "logs clock", "servers list"])
    def test_none_runs(self, away: User, words: str) -> None:
        """The gateway is started, and the command then has its answer."""
        hint = away.reads(*words.split())[0]
        assert hint == "start"
        assert away.follows(hint).returncode == 0
        assert away.run(*words.split()).returncode == 0

    def test_of_another_home(self, away: User) -> None:
        """On a terminal a command repeats the home that was named, unless the environment names it."""
        home = str(away.home.path)
        for named_home in ("", home):
            environ = {**away.home.environ, "MCPGATEWAY_HOME": named_home}
            terminal = Terminal(away.home.argv("status"), environ)
            assert terminal.ended() == 2
            shown = " ".join(COLOURS.sub("", terminal.screen).split())
            named = "" if named_home else f" --home {home.replace(away.home.environ['HOME'], '~', 1)}"
            assert f"Next: mcpgateway{named} start" in shown

    def test_another_port(self, away: User) -> None:
        """The gateway that runs is moved to the port that was asked for."""
        assert away.run("start").returncode == 0
        port = free_port()
        hint, _ = away.reads("start", "--port", str(port))
        assert away.follows(hint).returncode == 0
        assert str(port) in away.run("status").stdout

    def test_a_taken_port(self, away: User) -> None:
        """The gateway starts at a port that is free."""
        with socket.create_server(("127.0.0.1", away.home.port)):
            (hint,) = [each for each in away.reads("start") if "--port" in each]
            assert away.follows(hint, N=str(free_port())).returncode == 0
        assert away.run("status").returncode == 0

    def test_a_broken_configuration(self, away: User) -> None:
        """The check names file, line and column, and shows the line."""
        path = away.home.path / "config.json"
        text = path.read_text()
        path.write_text(text.replace('"servers": {', '"servers": {\n  "x" {},\n '), "utf-8")
        hints = [each for each in away.reads("start") if each.startswith("config check")]
        shown = away.follows(hints[0])
        assert "line 2" in shown.stdout + shown.stderr
        assert "^" in shown.stdout + shown.stderr

    def test_a_killed_one(self, away: User) -> None:
        """The gateway is started again; the doctor has no problem with it any more."""
        assert away.run("start").returncode == 0
        (away.home.path / "wanted").unlink(missing_ok=True)
        for pid in away.home.daemons():
            subprocess.run(["kill", "-9", str(pid)], check=False)
        eventually(lambda: not away.home.daemons(), "it is gone")
        assert "start" in away.reads("doctor")
        assert away.reads("status")[0] == "start"
        assert away.follows("start").returncode == 0
        assert away.run("status").returncode == 0

    def test_one_that_is_paused(self, away: User) -> None:
        """The clients' files are enrolled again, and the verdict is good."""
        file = away.home.directory / ".claude.json"
        file.write_text(json.dumps({"mcpServers": {"clock": {"command": CLOCK[0], "args": CLOCK[1:]}}}))
        assert away.run("start", "--adopt", "always").returncode == 0
        assert away.run("clients", "pause").returncode == 0
        hint = next(each for each in away.reads("status") if each.startswith("clients resume"))
        assert away.follows(hint).returncode == 0
        assert "clients resume" not in away.run("status").stdout

    def test_a_new_server_of_a_project(self, away: User) -> None:
        """The server that was added to a project's file is enrolled, from any directory."""
        project = away.home.directory / "project"
        (project / ".git").mkdir(parents=True)
        file = project / ".mcp.json"
        entry = {"command": CLOCK[0], "args": CLOCK[1:]}
        file.write_text(json.dumps({"mcpServers": {"one": entry}}))
        assert away.run("start").returncode == 0
        assert away.run("clients", "apply", "--project", str(project), "--yes").returncode == 0
        file.write_text(
            json.dumps({"mcpServers": {**json.loads(file.read_text())["mcpServers"], "two": entry}})
        )
        (hint,) = [each for each in away.reads("doctor") if "--project" in each]
        assert away.follows(f"{hint} --yes").returncode == 0
        assert "two/mcp" in file.read_text()
        assert "not routed" not in away.run("doctor").stdout

    def test_a_token_is_wanted(self, away: User) -> None:
        """The token that is printed opens the door."""
        assert away.run("start").returncode == 0
        address = f"http://127.0.0.1:{away.home.port}"
        wrong = away.home.directory / "wrong"
        wrong.write_text("wrong\n")
        call = ("--url", address, "--token-file")
        (hint,) = away.reads(*call, str(wrong), "servers", "restart", "clock")
        right = away.home.directory / "right"
        right.write_text(away.follows(hint).stdout)
        done = away.run(*call, str(right), "servers", "restart", "clock")
        assert done.returncode == 0, done.stderr


BREAKS = {
    "config.json": ('{"gateway": {},\n "servers": {"clock" {}}\n}\n', "line 2, column 22"),
    "config.yaml": (
        "gateway: {}\nservers:\n  clock:\n    command: [a, b\n    share: global\n",
        "line 5, column 10",
    ),
}


class SyntaxTests:
    """Files that cannot be read: file, line and column are told, and the line itself with a caret."""

    @pytest.mark.parametrize("name", BREAKS)
    def test_a_configuration(self, away: User, name: str) -> None:
        """Every command that meets it shows the place; once the line is mended, the gateway starts."""
        (away.home.path / "config.json").unlink()
        file = away.home.path / name
        text, place = BREAKS[name]
        file.write_text(text)
        column = int(place.rpartition(" ")[2])
        for words in ("start", "status", "doctor", "config check"):
            done = away.run(*words.split())
            lines = (done.stdout + done.stderr).splitlines()
            at = next(n for n, line in enumerate(lines) if f"{file}, {place}" in line)
            shown, caret = lines[at + 1 : at + 3]
            key = text.splitlines()[1 if name == "config.json" else 4].split(":")[0]
            assert key in shown
            assert caret.strip() == "^"
            assert caret.index("^") - shown.index(key) == column - 1
        assert "config check" in away.reads("status")
        assert "config check" in away.reads("doctor")
        file.write_text(json.dumps({"gateway": {"http_port": away.home.port}}))
        assert away.run("start").returncode == 0

    def test_while_the_gateway_runs(self, away: User) -> None:
        """The status and a restart show the line, and the gateway goes on."""
        assert away.run("start").returncode == 0
        file = away.home.path / "config.json"
        former = file.read_text()
        file.write_text(BREAKS["config.json"][0])
        eventually(lambda: "cannot be used" in away.run("status").stdout, "it is noticed")
        for words in ("status", "restart"):
            done = away.run(words)
            assert "line 2, column 22" in done.stdout + done.stderr
            assert "\n" + " " * 20 in done.stdout + done.stderr
            hint = next(each for each in told(done.stdout + done.stderr) if "config check" in each)
            assert "^" in away.follows(hint).stdout
        file.write_text(former)
        assert away.run("restart").returncode == 0

    def test_a_clients_toml(self, away: User) -> None:
        """The doctor shows the line of a client's file, and nothing of its values."""
        file = away.home.directory / ".codex" / "config.toml"
        file.parent.mkdir()
        file.write_text('model = "x"\n[mcp_servers.one]\ncommand = "clock-secret\nargs = []\n')
        found = away.run("doctor").stdout
        assert f"{file}, line 3, column 24" in found
        assert "command = " in found
        assert "^" in found
        assert "clock-secret" not in found


class ApprovalTests:
    """A project's file that defines servers, and that nobody has approved."""

    def test_a_new_file(self, away: User) -> None:
        """The client, the status, `why` and the doctor name one command, after which the client gets the server."""
        project = away.home.directory / "project"
        (project / ".git").mkdir(parents=True)
        file = project / ".mcp.json"
        file.write_text(json.dumps({"mcpServers": {"own": {"command": CLOCK[0], "args": CLOCK[1:]}}}))
        assert away.run("start").returncode == 0
        (hint,) = set(told(self.connected(away, project)))
        assert hint == f"config approve {file}"
        assert [each for each in away.reads("status") if each.startswith("config approve")] == [hint]
        assert [each for each in away.reads("why", "own") if each.startswith("config approve")] == [hint]
        assert [each for each in away.reads("doctor") if each.startswith("config approve")] == [hint]
        done = away.follows(f"{hint} --yes")
        assert done.returncode == 0, done.stderr
        assert "protocolVersion" in self.connected(away, project)
        assert "config approve" not in away.run("doctor").stdout
        assert "config approve" not in away.run("status").stdout

    @staticmethod
    def connected(user: User, project: Path) -> str:
        """Connect a client to the server as clients do, and return all that the command writes."""
        hello = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "test", "version": "1"},
            },
        }
        done = subprocess.run(
            user.home.argv("connect", "own"),
            input=json.dumps(hello) + "\n",
            capture_output=True,
            text=True,
            timeout=60,
            env=user.home.environ,
            cwd=project,
            check=False,
        )
        answer = json.loads(done.stdout.splitlines()[-1])
        return str(answer["error"]["message"] if "error" in answer else answer["result"])


class SignInTests:
    """A remote server whose user has to sign in."""

    @pytest.fixture
    def remote(self, tmp_path: Path) -> Iterator[User]:
        """A user of a gateway with one such server, that a client has asked for."""
        with several() as begin:
            server = begin("sdk")
            with Home(tmp_path, {"remote": {"url": server.url}}) as home:
                user = User(home)
                assert user.run("start").returncode == 0
                user.run("servers", "start", "remote")
                yield user

    def signs_in(self, user: User) -> None:
        """Follow the hint of the status, and sign in as the address says that the command prints."""
        hint = next(each for each in user.reads("status") if each.startswith("servers login"))
        for words in ("why remote", "doctor"):
            assert hint in user.reads(*words.split())
        done = user.follows(f"{hint} --no-wait")
        with urllib.request.urlopen(agreed(done.stdout.strip(), "ann"), timeout=60) as page:
            assert page.status == 200

    def test_a_first_sign_in(self, remote: User) -> None:
        """After the sign-in that is named nothing asks for one any more, and the server starts."""
        user = remote
        self.signs_in(user)
        for words in ("status", "doctor"):
            # Other words may be of the path of another test's gateway.
            assert not [each for each in user.reads(words) if each.startswith("servers login")]
        assert user.run("why", "remote").returncode == 0
        assert user.is_well("remote")


class EditTests:
    """Files and entries that their user has changed."""

    def test_an_enrolled_entry(self, away: User) -> None:
        """An entry that its user has written anew is enrolled by itself, and the server runs as it says."""
        file = away.home.directory / ".claude.json"
        entry = {"command": CLOCK[0], "args": CLOCK[1:]}
        file.write_text(json.dumps({"mcpServers": {"own": entry}}))
        assert away.run("start", "--adopt", "always").returncode == 0
        assert "/own/mcp" in file.read_text()
        file.write_text(json.dumps({"mcpServers": {"own": entry | {"env": {"OWN": "1"}}}}))
        eventually(lambda: "/own/mcp" in file.read_text(), "it is enrolled again")
        assert "OWN" in away.run("servers", "get", "own").stdout
        assert "Everything works" in away.run("status").stdout
        assert away.reads("clients", "plan") == []
        assert away.is_well("own")
        assert away.run("stop").returncode == 0
        assert json.loads(file.read_text())["mcpServers"]["own"]["env"] == {"OWN": "1"}

    def test_a_call_of_a_server_that_is_off(self, user: User) -> None:
        """The command that switches a server on is named by `why`, and a call of its tool works then."""
        assert user.run("servers", "disable", "clock").returncode == 0
        assert user.run("tools", "call", "clock__now").returncode != 0
        (hint,) = user.reads("why", "clock")
        assert user.follows(hint).returncode == 0
        assert user.run("tools", "call", "clock__now").returncode == 0
