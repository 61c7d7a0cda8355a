"""The first hour of a user: the wheel, clients' files as their users write them, and the commands of README."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gateway import eventually
from tests.support.ports import free_port
from tests.support.processes import bearing
from tests.support.real_servers import ROOT, fixture
from tests.support.terminal import Terminal

QUESTION = r"\[[yYsSnNd?/]+\]: $"
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
SPINNER = re.compile("(?:[\u2800-\u28ff] [a-z ]+)+(?=[A-Z]|$)")
README_FILES = {
    ".claude.json": ("memory", "clock"),
    ".cursor/mcp.json": ("memory", "clock"),
    ".gemini/settings.json": ("thinking",),
}
MARKER = "MCPGATEWAY_TEST_FIRST_HOUR"
PROGRAM, *ARGUMENTS = fixture()


def entry(**more: object) -> str:
    """A program's entry in JSON."""
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


class Shell:
    """A user's shell: runs one program after the other, as installed from the wheel, on a pseudo-terminal."""

    def __init__(self, program: Path, home: Path) -> None:
        self.program = program
        self.home = home
        self.environ = {
            "HOME": str(home),
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "COLUMNS": "120",
            MARKER: str(home),
        }

    def run(self, *words: str, answers: str = "") -> tuple[int, str]:
        """Run a command; return its exit code and what the terminal shows.

        :param answers: the keys that the user presses, one line for each question.
        """
        terminal = Terminal([str(self.program), *words], self.environ, self.home)
        for key in answers:
            if terminal.shows(QUESTION):
                terminal.type(f"{key}\n")
        return terminal.ended(), terminal.text


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
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-deps",
        "--no-compile",
    ]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True, timeout=120)
    # What the package needs is there already; only mcpgateway itself comes from the wheel.
    (site,) = (environment / "lib").glob("python*/site-packages")
    (site / "requirements.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin" / "mcpgateway"


@pytest.fixture
def terminal(program: Path, tmp_path: Path) -> Iterator[Shell]:
    """A user's home with the files of five clients; no process of the user is left."""
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
    shell = Shell(program, tmp_path)
    yield shell
    shell.run("stop")
    eventually(lambda: not bearing(f"{MARKER}={tmp_path}"), "no process of the user is left")


class FirstHourTests:
    """Install, start, add, rotate, find the fault, call, restore."""

    def test_every_step(self, terminal: Shell) -> None:
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

        code, shown = terminal.run("servers", "add", "extra", "--", PROGRAM, *ARGUMENTS, answers="y")
        assert (code, "extra is added" in shown) == (0, True), shown
        assert '"extra"' in (terminal.home / ".claude.json").read_text()

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


class ReadmeTests:
    """The commands of README."""

    def test_their_output(self, program: Path, tmp_path: Path) -> None:
        """README shows what start asks, and what start and stop print on a terminal."""
        blocks = CONSOLE.findall((ROOT / "README.md").read_text())
        shell = Shell(program, tmp_path)
        for name, servers in README_FILES.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            entries = {each: {"command": PROGRAM, "args": ARGUMENTS} for each in servers}
            path.write_text(json.dumps({"mcpServers": entries}))
        told = []
        try:
            for word, *options in (("start", "--port", str(free_port())), ("stop",)):
                _, _, expected = next(
                    each for each in blocks if each.startswith(f"$ mcpgateway {word}\n")
                ).partition("\n")
                code, shown = shell.run(word, *options, answers="y")
                assert code == 0, shown
                told.append((expected, shown))
        finally:
            shell.run("stop")
        for expected, shown in told:
            assert neutral(shown) == neutral(expected)


def neutral(text: str) -> list[str]:
    """The lines of an output without the numbers of one run, and without what a spinner has drawn."""
    lines = [each.rpartition("\r")[2].rstrip() for each in text.strip().split("\n")]
    return [re.sub(r"(pid |in |localhost:)[\d.]+( m?s\b)?", r"\1N", SPINNER.sub("", each)) for each in lines]
