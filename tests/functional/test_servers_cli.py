"""``mcpgateway servers``: each verb, each exit code and the shape of each JSON, against a gateway that runs."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import forkserver
from tests.support.gateway import BIN, LIMIT_S, Gateway, eventually, server
from tests.support.ports import free_port
from tests.support.processes import environment_of
from tests.support.terminal import Terminal, on_a_terminal

pytestmark = pytest.mark.functional

FIXTURE = (sys.executable, "-I", "-S", str(Path(__file__).parents[1] / "servers" / "fixture.py"))
CLOCK = (sys.executable, "-m", "mcpgateway.demo.clock")
SERVERS = {"fx": server(FIXTURE, env={"TOKEN": "very secret"}), "clock": server(CLOCK)}
MEANT = {
    ("timeuot=1",): "servers set fx timeout=1\n",
    ("idle=10m", "timeout=3s"): "servers set fx lazy.idleTimeoutMs=600000\n",
    ("log_level=debug",): "config set gateway.log_level=debug\n",
    ("name=other",): "servers rename fx other\n",
    ("args=-a b",): """servers set fx 'args=["-a", "b"]'\n""",
    ("args=-a,b",): """servers set fx 'args=["-a", "b"]'\n""",
    ("args=[-a, b]",): """servers set NAME 'args=["-a", "b"]'\n""",
}
"""Mistakes of ``servers set``, and the command that each error names."""
VIEW = {
    "name",
    "status",
    "transport",
    "restart_count",
    "env_keys",
    "header_keys",
    "tool_count",
    "pids",
    "enabled",
}


def environ(home: Path, more: dict[str, str]) -> dict[str, str]:
    """The environment that the command is run with."""
    usual = {"PATH": os.environ["PATH"], "HOME": str(home.parent), "LANG": "C.UTF-8", "EDITOR": "false"}
    return {**usual, **more}


def ran(home: Path, *words: str, stdin: str = "", **more: str) -> tuple[int, str, str]:
    """Run a command; its code, and what it said."""
    done = forkserver.ran(
        [BIN / "mcpgateway", "--home", home, "servers", *words],
        given=stdin,
        env=environ(home, more),
        has_ended=False,
    )
    return done.returncode, done.stdout, done.stderr


def typed(home: Path, answer: str, *words: str) -> tuple[int, str]:
    """Run a command on a terminal, whose user types something; its code, and what stood on the screen."""
    terminal = Terminal([str(BIN / "mcpgateway"), "--home", str(home), "servers", *words], environ(home, {}))
    assert terminal.shows(r":\s*$"), terminal.screen
    terminal.type(answer)
    return terminal.ended(), terminal.screen


def said(home: Path, *words: str, **more: Any) -> Any:
    """The answer of a command to a program."""
    code, out, err = ran(home, words[0], "--json", *words[1:], **more)
    assert code == 0, (out, err)
    return json.loads(out)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that runs."""
    with Gateway(tmp_path_factory.mktemp("cli"), SERVERS) as running:
        yield running


@pytest.fixture
def home(gateway: Gateway) -> Iterator[Path]:
    """The gateway's home; the configuration is as at the beginning afterwards."""
    text, known = gateway.config.read_text(), defined(gateway)
    yield gateway.home
    gateway.config.write_text(text)
    eventually(lambda: defined(gateway) == known, "all is as it was")
    assert "very secret" not in gateway.log


def defined(gateway: Gateway) -> list[tuple[str, bool, list[str]]]:
    """The gateway's knowledge of its servers' entries."""
    with urllib.request.urlopen(f"{gateway.url}/api/v1/servers", timeout=LIMIT_S) as answer:
        return [(each["name"], each["enabled"], each["env_keys"]) for each in json.load(answer)]


def entry(gateway: Gateway, name: str) -> dict[str, Any]:
    """A server as the configuration file has it."""
    found: dict[str, Any] = json.loads(gateway.config.read_text())["servers"][name]
    return found


class LookTests:
    """``list`` and ``get``."""

    def test_list(self, home: Path) -> None:
        """A table for people, and views for programs."""
        code, out, _ = ran(home, "list")
        assert code == 0
        first, *rows = [line.split() for line in out.splitlines()]
        assert first == "NAME STATE SHARE SESSIONS RUNS".split()
        assert f"{FIXTURE[0]} -I -S" in out
        assert [row[0] for row in rows] == ["fx", "clock"]
        wide = ran(home, "list", "--wide")[1].splitlines()
        assert wide[0].split() == [*first, "TOOLS", "MEMORY", "DEFINED"]
        found = said(home, "list")["items"]
        assert [each["name"] for each in found] == ["fx", "clock"]
        assert all(each.keys() >= VIEW for each in found)

    def test_list_on_a_terminal(self, home: Path) -> None:
        """Each server has one line, in which the middle of a long command gives way."""
        argv = [str(BIN / "mcpgateway"), "--home", str(home), "servers", "list"]
        code, screen = on_a_terminal(argv, environ(home, {"COLUMNS": "72", "NO_COLOR": "1"}))
        _, *lines = screen.splitlines()
        assert code == 0
        assert [line.split()[0] for line in lines] == ["fx", "clock"]
        assert all(len(line) <= 72 for line in lines)
        assert "…" in lines[0]
        assert lines[0].endswith("fixture.py")

    def test_get(self, home: Path) -> None:
        """All about one, its tools and the names of its variables, and no value."""
        assert ran(home, "start", "clock")[0] == 0
        eventually(lambda: "tools" in said(home, "get", "clock"), "its tools are listed")
        found = said(home, "get", "clock")
        assert found.keys() >= VIEW | {"tools", "config", "pid"}
        assert [each["name"] for each in found["tools"]] == ["now", "convert"]
        code, out, _ = ran(home, "get", "fx")
        assert (code, out.splitlines()[0], "TOKEN" in out) == (0, "fx", True)
        assert f"runs       {' '.join(FIXTURE)}" in out
        assert "very secret" not in out + json.dumps(said(home, "get", "fx"))

    def test_none(self, home: Path) -> None:
        """A name that is not there is an error that names the nearest, also for programs."""
        for verb in ("get", "enable", "disable", "start", "stop", "restart", "reset-circuit"):
            code, _, err = ran(home, verb, "clok")
            assert (code, "did you mean clock?" in err) == (1, True), verb
        code, out, _ = ran(home, "get", "clok", "--json")
        assert (code, json.loads(out)) == (
            1,
            {"error": "Unknown server: clok", "hint": "did you mean clock?"},
        )


class OperateTests:
    """Servers that run, and servers that do not."""

    def test_start_and_stop(self, home: Path, gateway: Gateway) -> None:
        """Started it runs, and stopped it does not."""
        assert said(home, "start", "fx")["server"]["status"] == "running"
        assert gateway.backend("fx")["pids"]
        code, out, _ = ran(home, "stop", "fx")
        assert (code, "fx is stopped" in out) == (0, True)
        assert gateway.backend("fx")["pids"] == []
        code, out, _ = ran(home, "start", "fx")
        assert (code, out) == (0, "fx runs.\n")
        assert said(home, "stop", "fx") == {"status": "stopped"}

    def test_all(self, home: Path, gateway: Gateway) -> None:
        """All at once."""
        assert said(home, "start", "--all") == {"status": "started", "servers": ["fx", "clock"]}
        eventually(lambda: gateway.health()["running"] == 2, "both run")
        assert sorted(said(home, "stop", "--all")["servers"]) == ["clock", "fx"]
        assert gateway.children() == []
        assert ran(home, "stop")[0] == 64
        assert ran(home, "stop", "fx", "--all")[0] == 64

    def test_restart(self, home: Path, gateway: Gateway) -> None:
        """A restarted server has another process."""
        ran(home, "start", "fx")
        before = gateway.backend("fx")["pids"]
        code, out, _ = ran(home, "restart", "fx")
        assert (code, out) == (0, "fx runs.\n")
        assert gateway.backend("fx")["pids"] not in ([], before)

    def test_switch(self, home: Path, gateway: Gateway) -> None:
        """Switched off in its file, it is not started; switched on, it is."""
        assert ran(home, "disable", "fx")[:2] == (0, "fx is switched off.\n")
        assert entry(gateway, "fx")["disabled"] is True
        code, _, err = ran(home, "start", "fx")
        assert (code, "disabled" in err) == (1, True)
        assert said(home, "enable", "fx")["status"] == "updated"
        assert ran(home, "start", "fx")[0] == 0

    def test_one_that_does_not_work(self, home: Path) -> None:
        """A broken server is given up after some tries, until its circuit is reset; the exit code is always 1."""
        code, out, _ = ran(home, "add", "broken", "--command", "/nonexistent/program")
        assert (code, "does not run" in out) == (1, True)
        for _ in range(4):
            assert ran(home, "start", "broken")[0] == 1
        code, _, err = ran(home, "start", "broken")
        assert (code, "reset its circuit" in err) == (1, True)
        assert said(home, "reset-circuit", "broken") == {"status": "circuit reset"}
        code, out, _ = ran(home, "start", "broken", "--json")
        assert (code, json.loads(out)["server"]["status"]) == (1, "error")


class PasteTests:
    """``add`` in the forms of other programs."""

    def test_a_line(self, home: Path, gateway: Gateway) -> None:
        """A line of Claude Code's command adds, tests and lists; the secret in it is not shown."""
        line = f"claude mcp add pasted -e TOKEN='very secret' -- {CLOCK[0]} -m {CLOCK[2]}"
        code, out, err = ran(home, "add", stdin=line)
        assert (code, "very secret" in out + err) == (0, False)
        first, kept, tools, url, clients = out.splitlines()
        assert first == "pasted is added, and runs."
        assert kept.startswith("  TOKEN (as PASTED_TOKEN): the value is in ")
        assert tools.startswith("  2 tools, about ")
        assert tools.endswith(" tokens: now, convert")
        assert url == f"  URL: http://localhost:{gateway.port}/pasted/mcp"
        assert "clients apply CLIENT --print" in clients
        assert entry(gateway, "pasted")["env"] == {"TOKEN": "${PASTED_TOKEN}"}

    def test_options(self, home: Path, gateway: Gateway) -> None:
        """A URL stands behind the name, and settings of the entry are options."""
        words = ("far", "http://127.0.0.1:1/mcp", "-H", "X-Key: a=b", "--header", "Y=c:d", "--timeout", "2m")
        assert ran(home, "add", *words, "--share", "session", "--no-test")[0] == 0
        assert entry(gateway, "far") == {
            "url": "http://127.0.0.1:1/mcp",
            "headers": {"X-Key": "a=b", "Y": "c:d"},
            "share": "session",
            "timeout": "2m",
        }

    def test_a_failure(self, home: Path) -> None:
        """A server that does not run is added, and the command that says why is named."""
        code, out, _ = ran(home, "add", "broken", "--", "/no/such/program")
        assert code == 1
        assert (
            "mcpgateway why broken lists the causes, and mcpgateway servers remove broken takes it away"
            in out
        )
        assert "does not exist" in ran(home, "list", "--wide")[1]
        shown = ran(home, "list")[1]
        assert "broken: the program /no/such/program is not there\n" in shown
        assert "mcpgateway servers edit broken\n" in shown
        alone = home.parent / "bin"
        alone.mkdir()
        (alone / "python3").symlink_to(sys.executable)
        shown = ran(home, "list", PATH=str(alone), EDITOR="")[1]
        assert "mcpgateway servers set broken command=VALUE\n" in shown

    def test_refused(self, home: Path) -> None:
        """Words that say no server, and a text on stdin that is none, add none."""
        for words, stdin in (
            (("x", "npx"), ""),
            ((), "s3cret"),
            (("x",), ""),
            (("x", "http://a", "--url", "http://b"), ""),
        ):
            code, out, err = ran(home, "add", *words, stdin=stdin)
            assert (code in (1, 64), "s3cret" in out + err) == (True, False), words

    def test_a_project(self, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An entry for a project goes into its file, which the gateway may then read."""
        monkeypatch.chdir(tmp_path)
        words = [str(BIN / "mcpgateway"), "--home", str(home), "servers", "add", "mine", "--scope", "project"]
        done = subprocess.run(
            [*words, "--", "x"],
            check=False,
            env=environ(home, {}),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads((tmp_path / ".mcp.json").read_text()) == {"mcpServers": {"mine": {"command": "x"}}}
        assert str(tmp_path / ".mcp.json") in (home / "approvals.json").read_text()


class EditTests:
    """Entries that are written to the configuration."""

    def test_add(self, home: Path, gateway: Gateway, tmp_path: Path) -> None:
        """All of S003's options; what is added runs."""
        words = (
            "--command",
            FIXTURE[0],
            "--args",
            ",".join(FIXTURE[1:]),
            "--cwd",
            str(tmp_path),
            "--env",
            "A=b,c=d",
        )
        code, out, err = ran(home, "add", "new", *words)
        assert (code, out.splitlines()[0]) == (0, "new is added, and runs."), err
        assert entry(gateway, "new") == {
            "command": FIXTURE[0],
            "args": list(FIXTURE[1:]),
            "cwd": str(tmp_path),
            "env": {"A": "b,c=d"},
        }
        code, _, err = ran(home, "add", "new", "--command", "x")
        assert (code, "already" in err) == (1, True)

    def test_add_by_words(self, home: Path, gateway: Gateway) -> None:
        """A command behind dashes; --replace puts it in the place of another, and the same again changes nothing."""
        assert said(home, "add", "new", "--disabled", "--", "run", "--flag")["status"] == "added"
        found = said(home, "add", "new", "--replace", "--", *CLOCK)
        assert (found["status"], found["server"]["status"]) == ("updated", "running")
        assert entry(gateway, "new")["args"] == list(CLOCK[1:])
        assert said(home, "add", "new", "--replace", "--", *CLOCK)["status"] == "unchanged"

    def test_add_a_remote_one(self, home: Path, gateway: Gateway) -> None:
        """A URL with headers, and no secret in the command line."""
        url = f"http://127.0.0.1:{free_port()}/mcp"
        words = ("--url", url, "--headers", "X-A=a=b", "--header", "X-B", "--disabled")
        code, out, _ = ran(home, "add", "far", *words, stdin="from stdin\n")
        assert (code, out.splitlines()[0]) == (0, "far is added.")
        assert entry(gateway, "far") == {
            "url": url,
            "headers": {"X-A": "a=b", "X-B": "from stdin"},
            "enabled": False,
        }

    def test_add_a_definition(self, home: Path, gateway: Gateway, tmp_path: Path) -> None:
        """A definition of any form that a configuration may have is added, from a file or stdin."""
        whole = {"command": "run", "share": "session", "enabled": False}
        (tmp_path / "d.json").write_text(json.dumps(whole))
        assert ran(home, "add", "one", "--definition", f"@{tmp_path}/d.json")[0] == 0
        assert ran(home, "add", "two", "--definition", "-", stdin=json.dumps(whole))[0] == 0
        assert entry(gateway, "one") == entry(gateway, "two") == whole
        code, _, err = ran(home, "add", "three", "--definition", '{"command": "very secret"')
        assert (code, "very secret" in err) == (1, False)

    def test_variables_of_ours(self, home: Path, gateway: Gateway) -> None:
        """``${NAME}`` is put in here; what it holds is not expanded again; with --no-expand the name stays."""
        words = (
            "--command",
            "${PROGRAM}",
            "--env",
            "A=${PLAIN}-${DEFAULT:-none}",
            "--env",
            "B=${TRICKY}",
            "--disabled",
        )
        assert ran(home, "add", "new", *words, PROGRAM="run", PLAIN="x", TRICKY="${HOME}")[0] == 0
        found = entry(gateway, "new")
        assert (found["command"], found["env"]["A"]) == ("run", "x-none")
        assert found["env"]["B"] != "${HOME}"
        code, _, err = ran(home, "add", "more", "--command", "run", "--env", "A=${NOBODY_HAS_IT}")
        assert (code, "NOBODY_HAS_IT" in err, "--no-expand" in err) == (1, True, True)
        assert ran(home, "add", "more", "--no-expand", "--disabled", "--", "run", "${HOME}")[0] == 0
        assert entry(gateway, "more")["args"] == ["${HOME}"]

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (("bad name", "--command", "x"), "no name"),
            (("new", "--command", "x; y"), "no program"),
            (("new", "--command", "x", "--env", "LD_PRELOAD=/x.so"), "LD_PRELOAD"),
            (("new", "--url", "http://x/", "--headers", "Host=y"), "Host"),
            (("new", "--url", "http://169.254.169.254/"), "169.254"),
            (("new",), "--command"),
            (("new", "--command", "x", "--", "y"), "twice"),
            (("new", "--command", "x", "--env", "=y"), "--env"),
        ],
    )
    def test_refused(self, home: Path, gateway: Gateway, words: tuple[str, ...], says: str) -> None:
        """A server that may not be added is not, and the command says why."""
        before = gateway.config.read_text()
        code, _, err = ran(home, "add", *words)
        assert (code, says in err) == (64 if says in ("--command", "twice") else 1, True), err
        assert gateway.config.read_text() == before

    def test_variables(self, home: Path, gateway: Gateway, tmp_path: Path) -> None:
        """Set on the line, from the environment, from stdin and from a file; taken away by name."""
        code, out, err = ran(home, "set-env", "fx", "A=1", "B=${B}")
        assert (code, out.splitlines()[0], err) == (0, "fx is changed.", "")
        assert ran(home, "set-env", "fx", "FROM_ENV", FROM_ENV="two words")[0] == 0
        assert ran(home, "set-env", "fx", "FROM_STDIN", stdin="x=y\n")[0] == 0
        (tmp_path / "e").write_text("C=3\nD='4 4'\n")
        assert ran(home, "set-env", "fx", "--env-file", str(tmp_path / "e"))[0] == 0
        found = said(home, "set-env", "fx", "--env-file", "-", stdin="E=5\n")
        assert (found["status"], found["changed"]) == ("updated", ["env.E"])
        held = entry(gateway, "fx")["env"]
        expected = {"A": "1", "B": "${B}", "C": "3", "D": "4 4", "E": "5"}
        assert {name: held[name] for name in expected} == expected
        assert (held["FROM_ENV"], held["FROM_STDIN"]) == ("two words", "x=y")
        assert ran(home, "unset-env", "fx", "A", "FROM_STDIN", "NOT_THERE")[0] == 0
        assert not {"A", "FROM_STDIN"} & entry(gateway, "fx")["env"].keys()
        assert ran(home, "set-env", "fx")[0] == 64
        assert ran(home, "set-env", "fx", "X")[0] == 1
        assert ran(home, "set-env", "fx", "X", "Y")[0] == 0
        assert entry(gateway, "fx")["env"]["X"] == "Y"
        assert ran(home, "set-env", "fx", "X", "Y", "Z", stdin="z")[0] == 1
        assert ran(home, "set-env", "fx", "PATH=/tmp")[0] == 1

    def test_keys(self, home: Path, gateway: Gateway) -> None:
        """Single keys are set, as what they are, and taken away; the rest of the entry stays as it is."""
        before = entry(gateway, "fx")
        assert ran(home, "set", "fx", "timeout=30s", "lazy.idleTimeoutMs=60000", "env.A.B=1")[0] == 0
        assert entry(gateway, "fx") == {
            **before,
            "env": {**before["env"], "A.B": "1"},
            "timeout": "30s",
            "lazy": {"idleTimeoutMs": 60000},
        }
        code, out, _ = ran(home, "unset", "fx", "timeout", "lazy", "env.A.B")
        assert (code, out.splitlines()[0]) == (0, "fx is changed.")
        assert entry(gateway, "fx") == before
        for words, says in MEANT.items():
            code, _, err = ran(home, "set", "fx", *words)
            assert (code, says in err) == (1, True), err
        assert ran(home, "set", "fx", "timeout", "31s")[0] == 0
        assert entry(gateway, "fx")["timeout"] == "31s"
        assert ran(home, "unset", "fx", "timeout")[0] == 0
        assert ran(home, "set", "fx", "timeout", "31s", "share")[0] == 64
        code, _, err = ran(home, "set", "fx", "secrt", stdin="s3cret")
        assert (code, "s3cret" in err) == (1, False)

    def test_it_has_them(self, home: Path, gateway: Gateway) -> None:
        """A server that runs is started anew with its new variables."""
        assert ran(home, "start", "fx")[0] == 0
        before = gateway.backend("fx")["pids"]
        changed = "fx is changed.\n  timeout: counts at once, and its process goes on.\n"
        assert ran(home, "set", "fx", "timeout=41s") == (0, changed, "")
        same = "fx is unchanged: it is so already.\n"
        assert ran(home, "set", "fx", "timeout=41s") == (0, same, "")
        out = ran(home, "set-env", "fx", "SEEN=yes")[1]
        assert "env.SEEN: its process is replaced, and a new one answers the next call.\n" in out
        eventually(lambda: gateway.backend("fx")["pids"] not in ([], before), "it runs anew")
        (pid,) = gateway.backend("fx")["pids"]
        assert environment_of(pid)["SEEN"] == "yes"

    def test_headers(self, home: Path, gateway: Gateway) -> None:
        """The same with headers."""
        ran(home, "add", "far", "--url", "http://127.0.0.1:9/mcp", "--disabled")
        assert ran(home, "set-header", "far", "X-A=1", "X-B=2")[:2] == (0, "far is changed.\n")
        assert ran(home, "unset-header", "far", "X-A")[0] == 0
        assert entry(gateway, "far")["headers"] == {"X-B": "2"}
        assert ran(home, "set-header", "far", "Host=x")[0] == 1
        assert ran(home, "set-header", "far", "X-C=a\r\nb")[0] == 1
        kept = home / ".env"
        for value in ("old-s3cret", "new-s3cret"):
            code, out, _ = ran(home, "set-header", "far", f"Authorization: Bearer {value}")
            assert (
                code,
                "Authorization (as FAR_AUTHORIZATION): the value is in" in " ".join(out.split()),
            ) == (0, True)
            assert entry(gateway, "far")["headers"] == {
                "X-B": "2",
                "Authorization": "Bearer ${FAR_AUTHORIZATION}",
            }
            assert f"FAR_AUTHORIZATION={value}" in kept.read_text().replace('"', "").replace("'", "")
        ran(
            home,
            "add",
            "away",
            "http://127.0.0.1:9/mcp",
            "-H",
            "X-Api-Key: a-s3cret",
            "-H",
            "X-A: 1",
            "--no-test",
        )
        assert entry(gateway, "away")["headers"] == {"X-Api-Key": "${AWAY_X_API_KEY}", "X-A": "1"}

    def test_rename_and_remove(self, home: Path, gateway: Gateway) -> None:
        """A new name, and the end; what it was is kept."""
        ran(home, "add", "new", "--disabled", "--", "run")
        assert said(home, "rename", "new", "newer")["new_name"] == "newer"
        code, out, err = ran(home, "remove", "newer")
        assert (code, out, "--yes" in err) == (1, "", True)
        found = said(home, "remove", "newer", "--yes")
        assert found["status"] == "removed"
        assert json.loads(Path(found["kept"]).read_text())["mcpServers"]["newer"]["command"] == "run"
        assert ran(home, "remove", "newer", "--force")[0] == 1


class TerminalTests:
    """Questions to a person."""

    def test_remove(self, home: Path, gateway: Gateway) -> None:
        """A server is kept when the person says no."""
        ran(home, "add", "new", "--disabled", "--", "run")
        code, screen = typed(home, "n\r", "remove", "new")
        assert (code, "Remove new" in screen, "new" in gateway.config.read_text()) == (1, True, True)
        assert typed(home, "y\r", "remove", "new")[0] == 0
        assert [each["name"] for each in said(home, "list")["items"]] == ["fx", "clock"]

    def test_a_secret(self, home: Path, gateway: Gateway) -> None:
        """A value that is typed is not shown."""
        code, screen = typed(home, "typed-value\r", "set-env", "fx", "TYPED")
        assert (code, "typed-value" in screen) == (0, False)
        assert entry(gateway, "fx")["env"]["TYPED"] == "typed-value"


class ReachTests:
    """The gateway that a command reaches, and its right."""

    def test_over_tcp(self, home: Path, gateway: Gateway) -> None:
        """The gateway of the home is given the token that it needs; any other gateway is told none."""
        ran_there = ("--url", gateway.url)
        assert ran(home, *ran_there, "list")[0] == 0
        assert ran(home, *ran_there, "disable", "fx")[0] == 0
        assert (
            ran(home, "--api-url", gateway.url, "add", "new", "--url", "http://x/mcp", "--disabled")[0] == 0
        )
        assert entry(gateway, "new")["url"] == "http://x/mcp"
        token = str(home / "admin.token")
        assert ran(home, "--token-file", token, *ran_there, "set-env", "fx", "A=1")[0] == 0
        code, _, err = ran(home, "--token-file", str(home / "auth.token"), *ran_there, "set-env", "fx", "A=2")
        assert (code, "admin" in err) == (1, True)
        assert entry(gateway, "fx")["env"]["A"] == "1"

    def test_nobody_there(self, tmp_path: Path) -> None:
        """Without a gateway the exit code is 2 for every verb, and it is said how one is started."""
        for words in (
            ("list",),
            ("get", "x"),
            ("add", "x", "--command", "y"),
            ("remove", "x", "--force"),
            ("rename", "x", "y"),
            ("enable", "x"),
            ("disable", "x"),
            ("start", "x"),
            ("stop", "--all"),
            ("restart", "x"),
            ("reset-circuit", "x"),
            ("set-env", "x", "A=1"),
            ("unset-env", "x", "A"),
            ("set-header", "x", "A=1"),
            ("unset-header", "x", "A"),
        ):
            code, _, err = ran(tmp_path, *words)
            assert (code, "mcpgateway start" in err) == (2, True), words


def test_another_programs_command(tmp_path: Path) -> None:
    """A line that adds a server to another program is taken as it stands, in words or as one."""
    with Gateway(tmp_path, {}) as gateway:
        line = ["claude", "mcp", "add", "one", "-e", "A=b", "--", *FIXTURE]
        assert ran(gateway.home, "add", *line)[0] == 0
        assert ran(gateway.home, "add", shlex.join([*line[:3], "two", *line[4:]]))[0] == 0
        shown = json.loads(ran(gateway.home, "list", "--json")[1])["items"]
        assert {each["name"] for each in shown} == {"one", "two"}
