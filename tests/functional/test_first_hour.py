"""The first hour of a user: the wheel, clients' files as their users write them, and the commands of README."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.processes import bearing
from tests.support.real_servers import ROOT, fixture

LIMIT_S = 60.0
COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
MARKER = "MCPGATEWAY_TEST_FIRST_HOUR"
PROGRAM, *ARGUMENTS = fixture()


def entry(**more: object) -> str:
    """A program's entry in JSON."""
    import json

    return json.dumps({"command": PROGRAM, "args": ARGUMENTS, **more})


FILES = {
    ".claude.json": """{
  "numStartups": 42,
  "mcpServers": {"notes": %(entry)s, "gone": {"command": "no-such-program", "env": {"TOKEN": "hunter2-of-gone"}}},
  "projects": {
    "%(home)s/one": {"mcpServers": {"tickets": %(entry)s}, "history": ["a\\u00e9"]},
    "%(home)s/two": {"mcpServers": {"tickets": %(entry)s}}
  }
}""",
    ".codex/config.toml": """model = "o5"  # the default

[mcp_servers.notes]
command = "%(program)s"
args = %(arguments)s
""",
    ".gemini/settings.json": """{
  // servers of mine
  "mcpServers": {
    "search": %(entry)s /* the only one */
  }
}
""",
    ".cursor/mcp.json": '{\r\n\t"mcpServers": {\r\n\t\t"notes": %(entry)s\r\n\t}\r\n}\r\n',
    ".config/Code/User/mcp.json": """{
  "servers": {
    "files": {"command": "%(program)s", "args": %(arguments)s, "cwd": "${workspaceFolder}"},
    "notes": %(entry)s,
  },
}
""",
}
"""The files of a user's clients: two projects, comments, CR LF, a trailing comma and a client's own variable."""


class Terminal:
    """A user's shell: runs one program after the other, as installed from the wheel, on a pseudo-terminal."""

    def __init__(self, program: Path, home: Path) -> None:
        self.program = program
        self.home = home
        self.environ = {
            "HOME": str(home),
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "COLUMNS": "100",
            MARKER: str(home),
        }

    def run(self, *words: str, answers: str = "") -> tuple[int, str]:
        """Run a command; return its exit code and what the terminal shows.

        :param answers: the keys that the user presses, one line for each question.
        """
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [str(self.program), *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=self.environ,
            cwd=self.home,
            start_new_session=True,
        )
        os.close(theirs)
        left, shown, end = answers, "", time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            if select.select([ours], [], [], 0.2)[0]:
                try:
                    piece = os.read(ours, 65536)
                except OSError:
                    break  # Linux reports the end of a terminal so
                shown += piece.decode()
                # A question is what stands in the last line and waits.
                if left and re.search(r"\[[yYnN/]+\]: $", COLOURS.sub("", shown)):
                    os.write(ours, left[:1].encode() + b"\n")
                    left = left[1:]
            elif process.poll() is not None:
                break
        os.close(ours)
        return process.wait(LIMIT_S), COLOURS.sub("", shown).replace("\r\n", "\n")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, installed from the wheel into an environment of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True, timeout=300)
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True, timeout=60)
    python = environment / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True, timeout=120)
    # What the package needs is there already; only mcpgateway itself comes from the wheel.
    (site,) = (environment / "lib").glob("python*/site-packages")
    (site / "requirements.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin" / "mcpgateway"


@pytest.fixture
def terminal(program: Path, tmp_path: Path) -> Iterator[Terminal]:
    """A user's home with the files of five clients; no process of the user is left."""
    import json

    values = {
        "home": tmp_path,
        "entry": entry(),
        "program": PROGRAM,
        "arguments": json.dumps(ARGUMENTS),
    }
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((text % values).encode())
    for project in ("one", "two"):
        (tmp_path / project).mkdir()
    shell = Terminal(program, tmp_path)
    yield shell
    shell.run("stop")
    end = time.monotonic() + LIMIT_S
    while (left := bearing(f"{MARKER}={tmp_path}")) and time.monotonic() < end:
        time.sleep(0.1)
    assert left == []


class FirstHourTests:
    """Install, start, add, rotate, find the fault, call, restore."""

    def test_every_step(self, terminal: Terminal) -> None:
        """Each command says what it has done and what comes next; at the end every file is as it was, to the byte."""
        originals = {name: (terminal.home / name).read_bytes() for name in FILES}
        port = str(free_port())

        code, shown = terminal.run("--help")
        assert code == 0
        assert [word for word in ("start", "stop", "status", "servers", "clients") if word not in shown] == []

        code, shown = terminal.run("status")
        assert (code, "mcpgateway start" in shown) == (2, True)

        code, shown = terminal.run("start", "--port", port, answers="yyyy")
        assert (code, f"http://localhost:{port}" in shown) == (0, True), shown
        enrolled = {
            name for name, before in originals.items() if (terminal.home / name).read_bytes() != before
        }
        assert enrolled == set(FILES)

        code, shown = terminal.run("status")
        assert (code, "1 thing needs you" in shown) == (0, True), shown
        assert "gone: the program no-such-program is not there" in shown

        code, shown = terminal.run("servers", "add", "extra", "--", PROGRAM, *ARGUMENTS)
        assert (code, "extra is added" in shown) == (0, True), shown

        code, shown = terminal.run("servers", "set-env", "gone", "TOKEN=rotated-of-gone")
        assert (code, "gone is changed." in shown, "rotated-of-gone" in shown) == (0, True, False), shown

        code, shown = terminal.run("why", "gone")
        assert (code, "hunter2" in shown, "rotated" in shown) == (1, False, False), shown
        assert "the program no-such-program is not there" in shown

        code, shown = terminal.run("tools", "call", "extra__echo", "text=hello there")
        assert (code, "hello there" in shown) == (0, True), shown

        code, shown = terminal.run("stop")
        assert code == 0, shown
        assert {name: (terminal.home / name).read_bytes() for name in FILES} == originals
