"""``python -m tests.bench.commands [PYTHON]``: CPU time of the commands that talk to a gateway.

A gateway with two servers runs on a home of its own.  Each command is run several times in a pipe and on a
terminal of 100 columns; the figure is the least CPU time of the process, less that of ``python -c pass``.
"""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import frozen

from tests.bench.tables import Table, number, text

TARGET_MS = 150.0
TURNS = 5
FIXTURE = Path(__file__).parent.parent / "servers" / "fixture.py"
ROWS, COLUMNS = 5000, 100  # long enough for no pager
COMPLETION = "_MCPGATEWAY_COMPLETE=bash_complete"
COMMANDS = (
    "status",
    "status --stats",
    "status --savings",
    "status --health",
    "servers list",
    "servers get clock",
    "servers start clock",
    "servers restart clock",
    "servers disable notes",
    "servers enable notes",
    "servers set clock timeout=2m",
    "servers set-env clock A=B",
    "tools list",
    "tools search echo",
    "tools describe clock__echo",
    "tools call clock__echo text=x",
    "logs clock",
    "logs --calls",
    "logs --events",
    "why clock",
    "wait clock",
    "sessions list",
    "token list",
    "debug dump",
    "debug activity",
    "debug record export clock",
    f"{COMPLETION} servers get ",
    f"{COMPLETION} tools call clock__",
    f"{COMPLETION} config get gateway.",
)


@frozen
class Figure:
    """The CPU time of one command over an empty Python, in milliseconds.

    :ivar terminal: that on a terminal; None where the output is for a shell.
    """

    words: str
    pipe: float
    terminal: float | None


def measured(python: Path = Path(sys.executable)) -> Table:
    """Measure all commands."""
    with gateway(python, ("clock", "notes")) as environ:
        refresh = [str(python.parent / "mcpgateway"), "tools", "refresh"]
        subprocess.run(refresh, env=environ, check=True, stdout=subprocess.DEVNULL)
        empty = _least([str(python), "-c", "pass"], environ)
        figures = [_figure(python, words, environ, empty) for words in COMMANDS]
    return table(figures, empty)


def table(figures: Sequence[Figure], empty: float) -> Table:
    """The table of the figures, the largest first."""
    ordered = sorted(figures, key=lambda each: -max(each.pipe, each.terminal or 0))
    above = [each.words for each in ordered if max(each.pipe, each.terminal or 0) >= TARGET_MS]
    note = f"An empty Python takes {number(empty)} ms. Target: below {TARGET_MS:.0f} ms; "
    return Table(
        "CPU of commands over an empty Python, ms",
        ("command", "pipe", "terminal"),
        [(each.words, number(each.pipe), number(each.terminal)) for each in ordered],
        note + (f"above it: {', '.join(above)}." if above else "all are."),
    )


@contextmanager
def gateway(python: Path, names: Iterable[str]) -> Iterator[Mapping[str, str]]:
    """Run a gateway with servers of these names; yield the environment of its commands."""
    with tempfile.TemporaryDirectory(prefix="mcpgateway-bench-", ignore_cleanup_errors=True) as name:
        home = Path(name) / "home"
        home.mkdir(mode=0o700)
        lines = [f'  {each}: {{command: "{python}", args: ["{FIXTURE}"]}}' for each in names]
        (home / "config.yaml").write_text("\n".join(["servers:", *lines, ""]))
        environ = {"PATH": os.environ["PATH"], "HOME": name, "MCPGATEWAY_HOME": str(home), "TERM": "xterm"}
        begin = [str(python.parent / "mcpgateway"), "start", "--port", "0", "--adopt", "never"]
        subprocess.run(begin, env=environ, check=True, stdout=subprocess.DEVNULL)
        try:
            yield environ
        finally:
            subprocess.run([begin[0], "stop"], env=environ, check=False, stdout=subprocess.DEVNULL)


def _figure(python: Path, words: str, environ: Mapping[str, str], empty: float) -> Figure:
    program = str(python.parent / "mcpgateway")
    if words.startswith(COMPLETION):
        variable, _, typed = words.partition(" ")
        name, _, value = variable.partition("=")
        line = f"mcpgateway {typed}"
        more = {name: value, "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
        return Figure(f"completion of {typed!r}", _least([program], {**environ, **more}) - empty, None)
    argv = [program, *words.split()]
    return Figure(words, _least(argv, environ) - empty, _least(argv, environ, on_terminal=True) - empty)


def _least(argv: Sequence[str], environ: Mapping[str, str], *, on_terminal: bool = False) -> float:
    run = _on_a_terminal if on_terminal else _in_a_pipe
    return min(run(argv, environ) for _ in range(TURNS)) * 1000


def _in_a_pipe(argv: Sequence[str], environ: Mapping[str, str]) -> float:
    nowhere = [(os.POSIX_SPAWN_OPEN, each, os.devnull, os.O_RDWR, 0) for each in (0, 1, 2)]
    return _cpu_s(os.posix_spawn(argv[0], argv, environ, file_actions=nowhere))


def _on_a_terminal(argv: Sequence[str], environ: Mapping[str, str]) -> float:
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
            os.execve(argv[0], argv, environ)
        finally:
            os._exit(127)
    with suppress(OSError):  # the end of a terminal
        while os.read(terminal, 65536):
            pass
    os.close(terminal)
    return _cpu_s(pid)


def _cpu_s(pid: int) -> float:
    _, _, used = os.wait4(pid, 0)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    print(text(measured(*map(Path, sys.argv[1:2]))))
