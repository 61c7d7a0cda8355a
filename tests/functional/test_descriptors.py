"""Descriptors 0, 1 and 2 are all that a child gets, whatever the program that starts it was started with."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.gateway import LIMIT_S, eventually
from tests.support.home import Home
from tests.support.processes import children_of

pytestmark = pytest.mark.functional

FIXTURE = str(Path(__file__).parents[1] / "servers" / "fixture.py")
# What it has open is written down before it is a server.
TELLING = """
import os, sys
names = [each for each in map(int, os.listdir('/proc/self/fd'))]
held = []
for each in names:
    try:
        os.fstat(each)
        held.append(each)
    except OSError:
        pass
open(sys.argv[1], 'a').write(' '.join(map(str, sorted(held))) + '\\n')
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
OPEN = " ".join(f"{each}</dev/null" for each in range(3, 10))
CLOSED = "0<&- 1>&- 2>&-"
THEIRS = {0, 1, 2}


def telling(report: Path) -> list[str]:
    """The command of a server that says in a file which descriptors it was started with."""
    return [sys.executable, "-c", TELLING, str(report), FIXTURE]


def told(report: Path) -> list[set[int]]:
    """The descriptors that the processes have reported so far."""
    return [set(map(int, line.split())) for line in report.read_text().splitlines()]


def through_a_shell(argv: list[str], redirections: str) -> list[str]:
    """The same command, from a shell that has these descriptors open."""
    return ["sh", "-c", f"exec {shlex.join(argv)} {redirections}"]


def held_by(pid: int) -> set[int]:
    """Which descriptors a process has open."""
    return {int(each) for each in os.listdir(f"/proc/{pid}/fd")}


class GatewayTests:
    """The daemon, and what it starts."""

    def test_what_a_shell_had_open(self, tmp_path: Path) -> None:
        """Servers, the guardian and other helpers get three, also when the program has begun anew in its place."""
        report = tmp_path / "report"
        with Home(tmp_path, {"s": {"command": telling(report)}}) as home, serving(home, OPEN) as gateway:
            home.json("servers", "start", "s")
            began = _began(home)
            assert [held_by(each) for each in children_of(gateway.pid)] == [THEIRS] * 2
            gateway.send_signal(signal.SIGHUP)
            eventually(lambda: _began(home) > began, "it has begun anew")
            eventually(lambda: home.run("servers", "list").returncode == 0, "it answers")
            home.json("servers", "start", "s")
            assert told(report) == [THEIRS] * 2
            assert [held_by(each) for each in children_of(gateway.pid)] == [THEIRS] * 2

    def test_without_any(self, tmp_path: Path) -> None:
        """A gateway whose own standard descriptors are closed gives its servers theirs."""
        report = tmp_path / "report"
        with Home(tmp_path, {"s": {"command": telling(report)}}) as home, serving(home, CLOSED):
            home.json("servers", "start", "s")
            assert told(report) == [THEIRS]


@contextmanager
def serving(home: Home, redirections: str) -> Iterator[subprocess.Popen[bytes]]:
    """A gateway in the foreground, started by a shell that has these descriptors open."""
    argv = through_a_shell(home.argv("serve"), redirections)
    with subprocess.Popen(argv, env=home.environ, cwd=home.directory) as process:
        try:
            eventually(lambda: home.run("servers", "list").returncode == 0, "it answers")
            yield process
        finally:
            process.terminate()


def _began(home: Home) -> float:
    return float(json.loads((home.path / "state.json").read_text())["started_at"])


class CommandTests:
    """Commands that start servers themselves, and the shim where it lets the original run."""

    @pytest.mark.parametrize(
        "words",
        [
            lambda own: ["validate", "--", *own],
            lambda _: ["discover"],
            lambda own: ["connect", "s", "--", *own],
        ],
        ids=["validate", "discover", "connect"],
    )
    def test_what_a_shell_had_open(self, words: Callable[[list[str]], list[str]], tmp_path: Path) -> None:
        """The server gets three."""
        report = tmp_path / "report"
        own = telling(report)
        taken = socket.create_server(("127.0.0.1", 0))
        with taken, Home(tmp_path, {"s": {"command": own}}, port=taken.getsockname()[1]) as home:
            argv = through_a_shell(home.argv(*words(own)), OPEN)
            subprocess.run(
                argv,
                env={**home.environ, "NODE_CHANNEL_FD": "3"},
                cwd=tmp_path,
                input=b"",
                timeout=LIMIT_S,
                check=False,
            )
        assert set(map(frozenset, told(report))) == {frozenset(THEIRS)}
