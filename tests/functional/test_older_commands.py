"""The command lines of older gateways, as scripts, services and clients' entries have them."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest

from mcpgateway import __version__
from tests.support import forkserver
from tests.support.gateway import BIN, LIMIT_S, eventually, server
from tests.support.home import Home
from tests.support.older import older
from tests.support.ports import free_port

pytestmark = pytest.mark.functional

KLIPIDE = "klipide-mcp-gateway"
MCPCTL = "mcp-gateway"
HARSHAL = "harshal-mcp-proxy"
CLOCK = (sys.executable, "-m", "mcpgateway.demo.clock")
SERVERS = {"clock": server(CLOCK)}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home in which a gateway is started and ended."""
    with Home(tmp_path_factory.mktemp("home"), SERVERS) as made:
        yield made


def called(home, name, *words):
    """Run the program under one of its other names."""
    return forkserver.ran(
        [BIN / name, "--home", home.path, *map(str, words)],
        env=home.environ,
        cwd=home.directory,
        has_ended=False,
    )


@older(KLIPIDE, "mcpg enable-http", "On this machine there is HTTP anyway.")
def test_enable_http(home):
    """Makes the token that clients elsewhere need, and prints it."""
    done = called(home, "mcpg", "enable-http")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == (home.path / "auth.token").read_text().strip()


@older(KLIPIDE, "mcpg show-token")
def test_show_token(home):
    """Prints the token."""
    token = called(home, "mcpg", "enable-http").stdout
    assert called(home, "mcpg", "show-token").stdout == token


@pytest.mark.parametrize("word", ["rotate-token", "disable-http"])
@older(
    KLIPIDE,
    "mcpg rotate-token, mcpg disable-http",
    "HTTP on this machine goes on, since it is what clients use.",
)
def test_rotate_token(home, word):
    """The former token is good no more."""
    former = called(home, "mcpg", "enable-http").stdout
    assert called(home, "mcpg", word).returncode == 0
    assert called(home, "mcpg", "show-token").stdout not in ("", former)


@older(MCPCTL, "mcp-ctl daemon start|status|restart|stop", "--daemon-path is taken, and means nothing.")
def test_daemon(home):
    """Starts the gateway, tells of it and ends it."""
    done = called(home, "mcp-ctl", "daemon", "start", "--wait", "50s", "--daemon-path", "/x")
    assert done.returncode == 0, done.stderr
    assert "RUNNING" in called(home, "mcp-ctl", "daemon", "status").stdout
    assert called(home, "mcp-ctl", "daemon", "restart").returncode == 0
    assert called(home, "mcp-ctl", "daemon", "stop", "--timeout", "30s").returncode == 0
    assert "not running" in called(home, "mcp-ctl", "daemon", "status").stdout


@older(MCPCTL, "mcp-gateway --version")
def test_version(home):
    """Prints the release."""
    assert called(home, "mcp-gateway", "--version").stdout == f"mcpgateway {__version__}\n"


@older(
    MCPCTL,
    "mcp-gateway [--config --env-file --log-level --no-auth]",
    "--no-auth is for programs of the user on this machine only.",
)
def test_in_the_foreground(tmp_path):
    """Is the gateway itself, in the foreground; a second one leaves the first in its place, and ends with 0."""
    with Home(tmp_path, {}) as home:
        (tmp_path / "values").write_text("ZONE=UTC\n")
        entry = {**server(CLOCK), "env": {"Z": "${ZONE}"}}
        (tmp_path / "own.json").write_text(json.dumps({"servers": {"clock": entry}}))
        words = ("--config", tmp_path / "own.json", "--env-file", tmp_path / "values")
        words = (*words, "--log-level", "debug", "--no-auth", "--port", home.port)
        with home.begin(*words) as process:
            eventually(lambda: home.json("status")["state"] == "running", "it runs")
            for more in ((), ("serve",), words):
                done = called(home, "mcp-gateway", *more)
                assert (done.returncode, done.stderr) == (0, "")
                assert f"already running (pid {process.pid})" in done.stdout
            url = f"http://127.0.0.1:{home.port}"
            assert home.json("health")["auth"] == "disabled"
            assert (
                home.run(
                    "--url", url, "--json", "tools", "call", "clock__now", "--arg", "timezone=UTC"
                ).returncode
                == 0
            )
            process.send_signal(signal.SIGTERM)
            assert process.wait(LIMIT_S) == 0


@older(HARSHAL, "harshal-mcp-proxy --daemon", "The program is called mcpgateway.")
def test_daemon_of_harshal(tmp_path):
    """Serves HTTP in the foreground at port 8765, or at that of --port; without a file, that of its own place."""
    with Home(tmp_path, {}) as home:
        theirs = home.directory / ".config" / "harshal-mcp-proxy" / "config.json"
        theirs.parent.mkdir(parents=True)
        theirs.write_text(json.dumps({"clock": {"type": "local", "command": list(CLOCK)}}))
        port = free_port()
        with home.begin("--daemon", "--port", port) as process:
            eventually(lambda: home.json("status")["port"] == port, "it runs")
            assert [each["name"] for each in home.json("status")["servers"]] == ["clock"]
            process.send_signal(signal.SIGTERM)
            process.wait(LIMIT_S)


@older(
    HARSHAL,
    "harshal-mcp-proxy FILE.json",
    "Where a gateway runs that does not read the file, that is an error.",
)
def test_a_file(tmp_path):
    """Is all servers of that file together, on stdin and stdout."""
    with Home(tmp_path, {}) as home:
        file = tmp_path / "theirs.json"
        file.write_text(json.dumps({"clock": {"type": "local", "command": list(CLOCK)}}))
        hello = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": {"name": "t", "version": "1"},
            },
        }
        asked = {"jsonrpc": "2.0", "id": 2, "method": "tools/call"}
        asked["params"] = {"name": "gateway_list_servers", "arguments": {}}
        lines = "".join(json.dumps(each) + "\n" for each in (hello, asked))
        # The gateway that the command starts takes the port of the one that was killed, and not the usual one.
        home.json("start", "--config", file, "--port", home.port)
        for daemon in home.daemons():
            os.kill(daemon, signal.SIGKILL)
        eventually(lambda: home.daemons() == [], "it is dead")
        done = subprocess.run(
            home.argv(file),
            input=lines,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
            env=home.environ,
            cwd=home.directory,
        )
        assert re.search(r"\bclock\b", done.stdout), done.stderr
        other = tmp_path / "other.json"
        other.write_text("{}")
        done = subprocess.run(
            home.argv(other),
            input="",
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
            env=home.environ,
        )
        assert done.returncode == 1
        assert f"does not read {os.path.realpath(other)}" in done.stderr
