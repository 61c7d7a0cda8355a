"""Real processes that are frozen, their sockets, and files that say how short memory is."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpgateway.system.process.freezing import Freezer, delegated_cgroup, own_work
from mcpgateway.system.process.paging import has_swap, page_out, reclaim
from mcpgateway.system.process.pressure import short_of_memory
from mcpgateway.system.process.procfs import resident_kib
from mcpgateway.system.process.socket_owners import CONNECTED, LISTENING, sockets_in_use
from tests.support.gateway import eventually

MARKER = "FREEZING_TEST=1"
PROGRAM = """
import subprocess, sys
helpers = [subprocess.Popen(["sleep", "60"], start_new_session=apart) for apart in (False, True)]
print(*(each.pid for each in helpers), flush=True)
for line in sys.stdin:
    print(line, end="", flush=True)
"""


class Program:
    """A program with two helpers, one of which has left its session."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "FREEZING_TEST": "1"},
            start_new_session=True,
        )
        self.pid = self.process.pid
        self.pids = [self.pid, *map(int, self._line().split())]

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def echoed(self, text: str) -> str:
        """Send the program a line, and return its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()
        return self._line()

    def states(self) -> list[str]:
        """The states of its processes."""
        return [Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[0] for each in self.pids]


@pytest.fixture
def program() -> Iterator[Program]:
    """A program that runs."""
    running = Program()
    yield running
    for each in running.pids:
        os.kill(each, signal.SIGKILL)
    running.process.communicate()


class FreezerTests:
    """Frozen trees of processes."""

    def test_all_of_it(self, program: Program) -> None:
        """All processes stop, those of other sessions too, and all go on."""
        freezer = Freezer("")
        assert freezer.freeze(program.pid, MARKER)
        eventually(lambda: program.states() == ["T"] * 3, "all stand")
        freezer.thaw(program.pid)
        assert program.echoed("x") == "x"
        assert "T" not in program.states()

    def test_stopped_by_another(self, program: Program) -> None:
        """A process that another program has stopped stays so."""
        os.kill(program.pids[1], signal.SIGSTOP)
        eventually(lambda: program.states()[1] == "T", "it stands")
        freezer = Freezer("")
        freezer.freeze(program.pid, MARKER)
        freezer.thaw(program.pid)
        assert program.echoed("x") == "x"
        assert program.states()[1] == "T"

    def test_no_process(self, program: Program) -> None:
        """Nothing can be frozen of a process that is not there, and a thaw of it has no effect."""
        freezer = Freezer("")
        freezer.thaw(program.pid)
        freezer.removed(program.pid)
        assert not freezer.freeze(2**22 + 1, "NONE=1")
        assert own_work(2**22 + 1) is None

    def test_no_cgroup(self, tmp_path: Path) -> None:
        """A cgroup that nobody has delegated is left alone, and so is a machine without any."""
        (tmp_path / "self").mkdir()
        assert delegated_cgroup(str(tmp_path)) == ""
        (tmp_path / "self" / "cgroup").write_text("0::/user.slice\n")
        (tmp_path / "self" / "mountinfo").write_text(f"30 1 0:1 / {tmp_path} rw - cgroup2 cgroup2 rw\n")
        (tmp_path / "user.slice").mkdir()
        assert delegated_cgroup(str(tmp_path)) == ""


class PagingTests:
    """Memory that is given back."""

    def test_page_out(self, program: Program) -> None:
        """A process whose pages were given back goes on as before; without the right to do so nothing happens."""
        freezer = Freezer("")
        freezer.freeze(program.pid, MARKER)
        before = resident_kib(program.pid)
        page_out(program.pid)
        assert resident_kib(program.pid) <= before
        assert freezer.page_out(program.pid, MARKER) is has_swap()
        freezer.thaw(program.pid)
        assert program.echoed("x") == "x"

    def test_reclaim(self, tmp_path: Path) -> None:
        """A cgroup with a memory controller is asked for all that it has; one without has nothing to ask."""
        assert not reclaim(str(tmp_path))
        (tmp_path / "memory.current").write_text("4096\n")
        (tmp_path / "memory.reclaim").write_text("")
        assert reclaim(str(tmp_path))
        assert (tmp_path / "memory.reclaim").read_text() == "4096"


class SocketTests:
    """Sockets to the outside."""

    def test_kinds(self) -> None:
        """Listening and connected sockets are told; a pair between two processes is none to the outside."""
        own = [os.getpid()]
        assert sockets_in_use([]) == ""
        one, other = socket.socketpair()
        with one, other, socket.create_server(("127.0.0.1", 0)) as server:
            assert sockets_in_use(own) == LISTENING
            with socket.create_connection(server.getsockname()), server.accept()[0]:
                server.close()
                assert sockets_in_use(own) == CONNECTED

    def test_of_a_program(self, program: Program) -> None:
        """A program with pipes only has none."""
        assert sockets_in_use(program.pids) == ""
        work = own_work(program.pid)
        assert work is not None
        assert (work.sockets, work.cpu_s >= 0) == ("", True)


class PressureTests:
    """Memory that is short."""

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("some avg10=9.99 avg60=50.00 avg300=50.00 total=1\nfull avg10=0.00\n", ""),
            (
                "some avg10=12.40 avg60=1.00 avg300=1.00 total=1\n",
                "processes wait for memory for 12 % of the time",
            ),
        ],
    )
    def test_stalls(self, tmp_path: Path, text: str, told: str) -> None:
        """Memory is short when processes have waited for it in the last ten seconds."""
        (tmp_path / "memory").write_text(text)
        assert short_of_memory(str(tmp_path / "memory")) == told

    def test_unreadable(self, tmp_path: Path) -> None:
        """Without such a file the memory that is left decides, of which this machine has some."""
        assert short_of_memory(str(tmp_path / "missing")) == ""
        (tmp_path / "garbage").write_text("what?")
        assert short_of_memory(str(tmp_path / "garbage")) == ""
