"""The functions for macOS, on this machine: their answers are those of ``/proc``."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from mcpgateway.system.process import procfs
from mcpgateway.system.process.socket_owners import PortHolder, port_holders
from tests.support.gateway import eventually

half: Any = pytest.importorskip("mcpgateway.system.process.psutil_half", exc_type=ImportError)

WAITING = "import sys, time; file = open(sys.argv[1]); print('ready', flush=True); time.sleep(600)"
FACTS = ("is_alive", "parent", "command_of", "environment_of", "directory_of", "name_of", "is_own")
GONE = 4_194_304  # above the largest number that Linux gives to a process


@pytest.fixture
def child(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that leads a session, with a file open, and a mark in its environment."""
    (tmp_path / "file").touch()
    with subprocess.Popen(
        [sys.executable, "-c", WAITING, str(tmp_path / "file"), "a b", ""],
        env={"MARK": "of=psutil", "EMPTY": ""},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


class HalfTests:
    """The two halves."""

    def test_one_process(self, child: subprocess.Popen[bytes], tmp_path: Path) -> None:
        """Both know the same of a process."""
        for name in FACTS:
            assert getattr(half, name)(child.pid) == getattr(procfs, name)(child.pid), name
        for path in (tmp_path / "file", tmp_path):
            assert half.has_open(child.pid, str(path)) == procfs.has_open(child.pid, str(path))
        assert half.resident_kib(child.pid) == procfs.resident_kib(child.pid) > 0
        assert half.start_time(child.pid) == half.start_time(child.pid) > half.start_time(1) > 0
        assert 0.0 <= half.age(child.pid) <= half.age(os.getpid())
        assert child.pid in half.pids()

    def test_none(self, child: subprocess.Popen[bytes]) -> None:
        """Of a process that has ended, and of none, both know nothing."""
        os.kill(child.pid, signal.SIGKILL)
        eventually(lambda: not procfs.is_alive(child.pid), "it is a zombie")
        assert not half.is_alive(child.pid)
        for name in FACTS:
            assert getattr(half, name)(GONE) == getattr(procfs, name)(GONE), name
        assert (half.start_time(GONE), half.age(GONE), half.resident_kib(GONE)) == (0, 0.0, 0)

    def test_the_table(self, child: subprocess.Popen[bytes]) -> None:
        """Both have the same row of a process, also of one that is stopped."""
        os.kill(child.pid, signal.SIGSTOP)
        eventually(lambda: rows(procfs.table())[child.pid].state == b"T", "it is stopped")
        one, other = rows(procfs.table())[child.pid], rows(half.table())[child.pid]
        names = ("pid", "state", "parent", "group", "session", "ticks")
        assert [getattr(one, each) for each in names] == [getattr(other, each) for each in names]
        assert one.pages == pytest.approx(other.pages, rel=0.2)  # proc(5) calls the one inaccurate
        assert rows(procfs.table()).keys() & rows(half.table()).keys() >= {os.getpid(), os.getppid()}

    def test_a_port(self) -> None:
        """Both name the process that listens at a port."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            port = listener.getsockname()[1]
            assert [PortHolder(*each) for each in half.listeners(port)] == list(port_holders(port))
        assert list(half.listeners(port)) == []

    def test_complete(self) -> None:
        """Each function of ``procfs`` has its namesake for macOS, with the same parameters."""
        public = {
            name for name, value in vars(procfs).items() if isinstance(value, FunctionType) and name[0] != "_"
        }
        for name in public - {"boot_id"}:  # macOS has none
            ours, theirs = getattr(procfs, name).__code__, getattr(half, name).__code__
            own = [each for each in ours.co_varnames[: ours.co_argcount] if each != "proc"]
            assert own == [each for each in theirs.co_varnames[: theirs.co_argcount] if each != "proc"], name


def rows(table: Iterator[procfs.ProcessRow]) -> dict[int, procfs.ProcessRow]:
    """The rows of a table by their process."""
    return {each.pid: each for each in table}
