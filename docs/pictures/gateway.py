"""The gateway that the pictures show: eight servers, whose entries stand in the files of five clients."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.support import real_servers
from tests.support.ports import free_port

BIN = Path(sys.executable).parent
PROGRAM = str(BIN / "mcpgateway")
PORT = "9100"  # that pictures show


Call = tuple[str, Mapping[str, Any]]
GRAPH: Call = ("read_graph", {})
NOW: Call = ("get_current_time", {"timezone": "UTC"})
TOKYO: Call = ("get_current_time", {"timezone": "Asia/Tokyo"})
FAILS: Call = ("get_current_time", {"timezone": "Nowhere"})
SUM: Call = ("get-sum", {"a": 1, "b": 2})
SESSIONS = (
    ("claude-code", "memory", [GRAPH] * 9),
    ("claude-code", "memory", [GRAPH] * 4),
    ("claude-code", "git", []),
    ("cursor-vscode", "clock", [NOW] * 6 + [FAILS]),
    ("cursor-vscode", "thinking", []),
    ("Visual Studio Code", "everything", [SUM] * 3),
    ("windsurf", "clock", [NOW] * 2),
    ("gemini-cli", "calendar", [TOKYO] * 5),
)
"""The sessions of clients: client, server, and the calls."""


@frozen
class ShownGateway:
    """A running gateway on a home of its own.

    :ivar env: the environment of its commands.
    """

    port: str
    env: dict[str, str]

    def open_session(self, client: str, server: str, calls: Sequence[Call]) -> None:
        """Open a session of a client at a server, and call tools there."""
        params = {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": client, "version": "1"},
        }
        session = self._post(server, "", {"id": 0, "method": "initialize", "params": params})
        self._post(server, session, {"method": "notifications/initialized"})
        for number, (tool, arguments) in enumerate(calls, 1):
            call = {"name": tool, "arguments": arguments}
            self._post(server, session, {"id": number, "method": "tools/call", "params": call})

    def _post(self, server: str, session: str, message: Mapping[str, Any]) -> str:
        """Send a message; return the id of its session."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/{server}/mcp",
            json.dumps({"jsonrpc": "2.0", **message}).encode(),
            {
                "Content-Type": "application/json",
                "Accept": "application/json, text/event-stream",
                **({"Mcp-Session-Id": session} if session else {}),
            },
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - this machine's own
            answer.read()
            return str(answer.headers.get("Mcp-Session-Id") or session)

    def run(self, *words: str) -> str:
        """Run a command; return its output."""
        done = subprocess.run([PROGRAM, *words], env=self.env, check=False, capture_output=True, text=True)
        return done.stdout


@contextmanager
def shown_gateway(columns: int) -> Iterator[ShownGateway]:
    """Start the gateway, let its servers be asked for their tools and be called, and stop it at the end.

    :param columns: the width of a terminal.
    """
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write_clients(home)
        subprocess.run(["git", "init", "-q", str(home / "project")], check=True)
        env = {
            "HOME": folder,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "TERM": "xterm-256color",
            "COLUMNS": str(columns),
        }
        made = ShownGateway(str(free_port()), env)
        made.run("start", "--adopt", "always", "--port", made.port)
        try:
            made.run("tools", "refresh")
            for client, server, calls in SESSIONS:
                made.open_session(client, server, calls)
            yield made
        finally:
            made.run("stop")


def entries(home: Path) -> dict[str, dict[str, object]]:
    """Return eight servers: seven that run, and one whose program is not installed."""
    launches = {
        "files": real_servers.filesystem(str(home)),
        "memory": real_servers.memory(),
        "thinking": real_servers.sequential_thinking(),
        "everything": real_servers.everything(),
        "clock": real_servers.time(),
        "calendar": real_servers.time("Asia/Tokyo"),
        "git": real_servers.git(str(home / "project")),
        "fetch": ["uvx", "mcp-server-fetch"],
    }
    return {name: {"command": argv[0], "args": argv[1:]} for name, argv in launches.items()}


def write_clients(home: Path) -> None:
    """Write the files of five clients, each with some of the servers."""
    every = entries(home)

    def some(*names: str) -> dict[str, object]:
        return {name: every[name] for name in names}

    files = {
        ".claude.json": {"mcpServers": some("files", "memory", "git")},
        ".cursor/mcp.json": {"mcpServers": some("files", "thinking", "clock")},
        ".config/Code/User/mcp.json": {"servers": some("everything", "memory")},
        ".gemini/settings.json": {"mcpServers": some("calendar", "fetch")},
        ".codeium/windsurf/mcp_config.json": {"mcpServers": some("memory", "clock")},
    }
    for name, value in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, indent=2) + "\n")
