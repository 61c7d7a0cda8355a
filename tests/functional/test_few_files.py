"""A gateway that may have few files open says so, and keeps what its own parts need."""

from __future__ import annotations

import http.client
import json
import select
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.gateway import LIMIT_S, eventually
from tests.support.home import Home

pytestmark = pytest.mark.functional

FEW, TOO_FEW = 24, 20
HELD = 30  # connections of a client that does not end them
REFUSED = "connections or requests were refused, because only 24 files may be open; let the gateway open more"
SERVERS = {
    "here": {"command": [sys.executable, "-c", "pass"]},
    "there": {"url": "https://127.0.0.1:1/mcp"},
    "rest": {"rest_url": "http://127.0.0.1:1"},
}
INITIALIZE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "t", "version": "1"},
}


def limited(argv: list[str], count: int) -> list[str]:
    """The same command, from a shell that lets it have so many files open."""
    return ["sh", "-c", f"ulimit -n {count}; exec {shlex.join(argv)}"]


class FewFilesTests:
    """As a user has it whose shell or service manager allows few."""

    def test_refuses_and_goes_on(self, tmp_path: Path) -> None:
        """Parts that are imported and files that are opened late are there; what is beyond is refused in words."""
        log = tmp_path / "log"
        with Home(tmp_path, SERVERS) as home, log.open("wb") as output:
            gateway = subprocess.Popen(
                limited(home.argv("serve"), FEW),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=home.environ,
                cwd=tmp_path,
            )
            eventually(lambda: ask(home.port, "/health") == 200, "it answers")
            use(home, "before")
            with holding(home.port) as held:
                eventually(lambda: b"the gateway has too many files open" in told(held), "it refuses some")
            eventually(lambda: ask(home.port, "/health") == 200, "it answers again")
            use(home, "after")
            eventually(lambda: REFUSED in log.read_text(), "it says so")
            gateway.terminate()
            assert gateway.wait(LIMIT_S) == 0
        assert "Traceback" not in log.read_text()

    def test_too_few_for_any_client(self, tmp_path: Path) -> None:
        """The gateway does not start, and says why."""
        with Home(tmp_path) as home:
            ran = subprocess.run(
                limited(home.argv("start", "--adopt", "never"), TOO_FEW),
                env=home.environ,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
                check=False,
            )
        assert ran.returncode == 1
        assert (
            "20 files open only, which are too few; let the gateway open more: ulimit -n 1024" in ran.stderr
        )


def use(home: Home, name: str) -> None:
    """Reach servers of each kind, look at what is imported when it is asked for, and have files written."""
    for server in SERVERS:
        assert ask(home.port, f"/{server}/mcp", INITIALIZE) == 200
    for path in (
        "/metrics",
        "/api/v1/openapi.json",
        "/api/v1/servers",
        "/api/v1/servers/here/why",
        "/api/v1/tools",
    ):
        assert ask(home.port, path) == 200, path
    made = home.run("token", "create", name)
    assert made.returncode == 0, made.stderr


def ask(port: int, path: str, params: object = None) -> int:
    """The status of an answer; 0 for none."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)) as connection:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        try:
            connection.request("POST" if params else "GET", path, body if params else None, headers)
            answer = connection.getresponse()
            answer.read()
        except OSError:
            return 0
        return answer.status


@contextmanager
def holding(port: int) -> Iterator[list[socket.socket]]:
    """A client that begins many connections, asks nothing, and ends none."""
    held: list[socket.socket] = []
    for _ in range(HELD):
        with suppress(ConnectionResetError):  # cut before we have noticed that it is there
            held.append(socket.create_connection(("127.0.0.1", port), LIMIT_S))
    try:
        yield held
    finally:
        for each in held:
            each.close()


def told(connections: list[socket.socket]) -> bytes:
    """The bytes that the connections have got so far."""
    said = b""
    for each in select.select(connections, [], [], 0)[0]:
        with suppress(OSError):
            said += each.recv(65_536)
    return said
