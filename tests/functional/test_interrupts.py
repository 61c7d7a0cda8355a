"""Ctrl-C at any moment of a command: it ends without a traceback, and says what stays."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.gateway import BIN, LIMIT_S, Gateway, eventually, server
from tests.support.home import Home
from tests.support.terminal import Terminal

pytestmark = pytest.mark.functional

HOOK = """
import os, signal, sys
def interrupt(event, arguments):
    if event == "import" and arguments[0] == os.environ["INTERRUPTED_AT"]:
        os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(interrupt)
"""
CTRL_C = "\x03"
NOTES = {"command": sys.executable, "args": ["-P", "-m", "mcpgateway.demo.notebook"]}


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("mcpgateway.cli.main", "version"),
        ("click", "version"),
        ("mcpgateway.cli.commands.running.figures", "status"),
        ("twisted.scripts.twistd", "serve"),
        ("mcpgateway.tap", "serve"),
        ("mcpgateway.app.build", "serve"),
        ("runpy", "servers test -- true"),
        ("mcpgateway.backends.spawn", "servers test -- true"),
    ],
)
def test_while_it_loads(tmp_path: Path, module: str, words: str) -> None:
    """A command that is interrupted while it loads a module ends as interrupted, without a traceback."""
    (tmp_path / "sitecustomize.py").write_text(HOOK)
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [str(BIN / "mcpgateway"), *words.split()],
        env={**environ, "INTERRUPTED_AT": module},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode in (-signal.SIGINT, 130)
    assert "Traceback" not in done.stdout + done.stderr
    assert "KeyboardInterrupt" not in done.stdout + done.stderr


class QuestionTests:
    """At a question."""

    def test_of_start(self, tmp_path: Path) -> None:
        """The user learns that the command ends, not the gateway, which goes on; no client's file is changed."""
        with Home(tmp_path, has_service=False) as home:
            file = tmp_path / ".cursor" / "mcp.json"
            file.parent.mkdir()
            file.write_text(before := json.dumps({"mcpServers": {"own": NOTES}}))
            terminal = Terminal(home.argv("start"), {**home.environ, "TERM": "xterm", "COLUMNS": "200"})
            assert terminal.shows(r"\]: $")
            eventually(lambda: terminal.is_waiting, "the command reads the answer")
            terminal.type(CTRL_C)
            assert terminal.ended() == 130
            assert "this command is interrupted, and ends here\n" in terminal.text
            assert "what it has done before stays; mcpgateway status shows what runs" in terminal.text
            assert file.read_text() == before
            assert home.run("status").returncode == 0

    def test_of_servers_add(self, tmp_path: Path) -> None:
        """The user learns that the server stays added, and how clients get it later."""
        with Home(tmp_path) as home:
            file = tmp_path / ".cursor" / "mcp.json"
            file.parent.mkdir()
            file.write_text(json.dumps({"mcpServers": {"own": NOTES}}))
            assert home.run("start", "--adopt", "always").returncode == 0
            before = file.read_text()
            argv = home.argv("servers", "add", "more", "--", NOTES["command"], *NOTES["args"])
            terminal = Terminal(argv, {**home.environ, "TERM": "xterm", "COLUMNS": "200"})
            assert terminal.shows(r"Add it to .*: $")
            eventually(lambda: terminal.is_waiting, "the command reads the answer")
            terminal.type(CTRL_C)
            assert terminal.ended() == 130
            assert "--server more offers it again." in terminal.text
            assert "what it has done before stays; mcpgateway status shows what runs" in terminal.text
            assert file.read_text() == before
            assert home.run("servers", "get", "more").returncode == 0


def test_a_followed_log(tmp_path: Path) -> None:
    """Ctrl-C is the usual end of a log that is followed: silent, with the exit code of such programs."""
    with Home(tmp_path, servers={"notes": NOTES}) as home:
        assert home.run("start").returncode == 0
        for words in (("logs", "-f"), ("debug", "events", "--past")):
            process = home.begin(*words)
            assert process.stdout is not None
            assert process.stdout.readline()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=LIMIT_S)
            assert (process.returncode, err) == (130, ""), out


def test_a_request_whose_client_is_gone(tmp_path: Path) -> None:
    """The gateway ends in order when an operation ends whose client has disconnected."""
    servers = {"silent": server(["sleep", "1000"])}
    with Gateway(tmp_path, servers) as gateway:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(gateway.home / "gateway.sock"))
            client.sendall(
                b"POST /api/v1/servers/silent/start?wait=20s HTTP/1.1\r\n"
                b"Host: localhost\r\nContent-Length: 0\r\n\r\n"
            )
            eventually(gateway.children, "the server is started")
        gateway.stop()
        assert "Unhandled Error" not in gateway.log
