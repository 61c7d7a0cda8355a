"""``python docs/pictures/status.py``: ``mcpgateway status`` as two pictures, for light and for dark pages.

A gateway with eight servers, whose entries stand in the files of five clients, is started on a home of its own and
asked on a terminal; its answer is drawn as it came.  `make pictures` writes ``docs/_static/status-light.svg`` and
``docs/_static/status-dark.svg``.
"""

from __future__ import annotations

import json
import os
import pty
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
NPM = ROOT / "tests" / "servers" / "npm" / "node_modules" / ".bin"
PYPI = ROOT / "build" / "pypi-servers" / "bin"
WIDTH = 92
UNIQUE = re.compile(r"terminal-\d+")

LIGHT = TerminalTheme(
    (255, 255, 255),
    (36, 41, 47),
    [
        *((36, 41, 47), (207, 34, 46), (17, 99, 41), (125, 78, 0)),
        *((9, 105, 218), (130, 80, 223), (27, 124, 131), (110, 119, 129)),
    ],
)
DARK = TerminalTheme(
    (13, 17, 23),
    (201, 209, 217),
    [
        *((72, 79, 88), (255, 123, 114), (63, 185, 80), (210, 153, 34)),
        *((88, 166, 255), (188, 140, 255), (57, 197, 207), (177, 186, 196)),
    ],
)


def entries(home: Path) -> dict[str, dict[str, object]]:
    """Return eight servers: seven that run, and one whose program is not installed."""
    return {
        "files": {"command": str(NPM / "mcp-server-filesystem"), "args": [str(home)]},
        "memory": {"command": str(NPM / "mcp-server-memory")},
        "thinking": {"command": str(NPM / "mcp-server-sequential-thinking")},
        "everything": {"command": str(NPM / "mcp-server-everything")},
        "clock": {"command": str(PYPI / "mcp-server-time"), "args": ["--local-timezone", "UTC"]},
        "calendar": {"command": str(PYPI / "mcp-server-time"), "args": ["--local-timezone", "Asia/Tokyo"]},
        "git": {"command": str(PYPI / "mcp-server-git"), "args": ["--repository", str(home / "project")]},
        "fetch": {"command": "uvx", "args": ["mcp-server-fetch"]},
    }


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


def on_a_terminal(argv: list[str], env: dict[str, str]) -> str:
    """Return the output of a command whose stdout is a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(argv, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        pieces = []
        try:
            while piece := os.read(ours, 65536):
                pieces.append(piece)
        except OSError:
            pass  # Linux reports the end of a terminal so
        process.wait(60)
    os.close(ours)
    return b"".join(pieces).decode().replace("\r\n", "\n")


def draw(output: str, theme: TerminalTheme, path: Path) -> None:
    """Write the output of a terminal as a picture."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True)
        console.print(Text("$ mcpgateway status", style="bold"))
        console.print(Text.from_ansi(output.rstrip()))
        svg = console.export_svg(title="", theme=theme)
    # The font of the page, since none may be fetched, and names that are equal each time.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    path.write_text(UNIQUE.sub("status", svg.replace("Fira Code", "ui-monospace")).rstrip() + "\n")


def free_port() -> int:
    """Return a port that no program listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def main() -> None:
    """Start the gateway, ask it, draw its answer, and stop it."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write_clients(home)
        subprocess.run(["git", "init", "-q", str(home / "project")], check=True)
        env = {
            "HOME": folder,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "TERM": "xterm-256color",
            "COLUMNS": str(WIDTH),
        }
        program = str(BIN / "mcpgateway")
        port = str(free_port())
        run = [program, "start", "--adopt", "always", "--port", port]
        subprocess.run(run, env=env, check=True, capture_output=True)
        try:
            subprocess.run([program, "tools", "refresh"], env=env, check=False, capture_output=True)
            for call in (["clock__get_current_time", "--arg", "timezone=UTC"], ["memory__read_graph"]):
                subprocess.run([program, "tools", "call", *call], env=env, check=False, capture_output=True)
            shown = on_a_terminal([program, "status"], env).replace(port, "9100")
        finally:
            subprocess.run([program, "stop"], env=env, check=False, capture_output=True)
    static = ROOT / "docs" / "_static"
    draw(shown, LIGHT, static / "status-light.svg")
    draw(shown, DARK, static / "status-dark.svg")


if __name__ == "__main__":
    main()
