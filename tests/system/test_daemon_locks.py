"""Locks of programs that serve at a port of their own."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Collection
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred, succeed

from mcpgateway.interfaces import IDaemonLocks
from mcpgateway.system.daemon_locks import DaemonLocks
from mcpgateway.system.process.procfs import start_time

PORT = 3100


def ours(inodes: Collection[int]) -> Deferred[dict[int, int]]:
    """Every socket is ours."""
    return succeed(dict.fromkeys(inodes, os.getpid()))


@pytest.fixture
def locks(tmp_path: Path) -> IDaemonLocks:
    """The locks of a home."""
    return DaemonLocks(str(tmp_path), str(tmp_path / "theirs"), ours)


class LockTests:
    """The holder of a lock."""

    def test_life(self, locks: IDaemonLocks, tmp_path: Path) -> None:
        """A lock is taken, names the process that serves, and is given back."""
        path = tmp_path / "daemons" / "memory.lock"
        assert locks.find("memory", PORT) is None
        assert locks.claim("memory", PORT, "sse")
        assert path.stat().st_mode & 0o777 == 0o600
        locks.started("memory", os.getppid(), PORT, "sse")
        written = json.loads(path.read_text())
        assert written.pop("startedAt")
        assert written == {
            "pid": os.getppid(),
            "port": PORT,
            "transport": "sse",
            "startTime": start_time(os.getppid()),
        }
        found = locks.find("memory", PORT)
        assert found is not None
        assert (found.pid, found.port, found.transport) == (os.getppid(), PORT, "sse")
        assert locks.find("memory", PORT + 1) is None
        locks.release("memory")
        assert not path.exists()

    def test_two(self, locks: IDaemonLocks, tmp_path: Path) -> None:
        """The first of two daemons gets a lock, and only its holder releases it."""
        other = DaemonLocks(str(tmp_path), "", ours)
        assert locks.claim("memory", PORT, "sse")
        assert not other.claim("memory", PORT, "sse")
        other.release("memory")
        assert locks.find("memory", PORT)

    @pytest.mark.parametrize(
        "content",
        [
            "",
            "{",
            "[]",
            "7",
            '{"pid": 1}',
            '{"pid": "1", "port": 3100}',
            '{"pid": -1, "port": 3100}',
            '{"pid": true, "port": 3100}',
            '{"pid": 99999999999999999999999, "port": 3100}',
            "x" * 100_000,
            "\udcff",
        ],
    )
    def test_no_lock(self, locks: IDaemonLocks, tmp_path: Path, content: str) -> None:
        """A file that is no lock is removed, but no other user's."""
        for directory in ("daemons", "theirs"):
            (tmp_path / directory).mkdir()
            (tmp_path / directory / "memory.lock").write_bytes(content.encode(errors="surrogateescape"))
        assert locks.find("memory", PORT) is None
        assert not (tmp_path / "daemons" / "memory.lock").exists()
        assert (tmp_path / "theirs" / "memory.lock").exists()

    def test_theirs(self, locks: IDaemonLocks, tmp_path: Path) -> None:
        """A lock of mcp-session-manager counts while its process runs."""
        (tmp_path / "theirs").mkdir()
        lock = tmp_path / "theirs" / "memory.lock"
        lock.write_text(json.dumps({"pid": os.getpid(), "port": PORT, "startedAt": "x", "transport": "http"}))
        found = locks.find("memory", PORT)
        assert found is not None
        assert found.start_time == 0
        lock.write_text(json.dumps({"pid": 2**22 + 1, "port": PORT, "transport": "http"}))
        assert locks.find("memory", PORT) is None

    def test_unkept(self, tmp_path: Path) -> None:
        """Where locks cannot be kept, a server is started all the same."""
        (tmp_path / "daemons").write_text("in the way")
        locks = DaemonLocks(str(tmp_path), "", ours)
        assert locks.claim("memory", PORT, "sse")
        locks.started("memory", 1, PORT, "sse")
        locks.release("memory")


class HolderTests:
    """The listener at a port."""

    def tables(self, proc: Path, *rows: str) -> None:
        """Write the kernel's tables."""
        (proc / "net").mkdir(parents=True)
        (proc / "net" / "tcp").write_text(
            "\n".join(["  sl  local_address rem_address   st tx_queue", *rows]) + "\n"
        )
        (proc / str(os.getpid())).mkdir()
        (proc / str(os.getpid()) / "comm").write_text("a\x1b[31mprogram\n")

    def row(self, port: int, state: str) -> str:
        """Return the row of one socket."""
        return f" 0: 0100007F:{port:04X} 00000000:0000 {state} 0:0 0:0 0 0 0 {port} 1"

    def test_words(self, tmp_path: Path) -> None:
        """The program is named, harmlessly, with its number."""
        self.tables(tmp_path / "proc", self.row(PORT, "0A"), self.row(PORT + 1, "01"))
        locks = DaemonLocks(str(tmp_path), "", ours, str(tmp_path / "proc"))
        found: list[str] = []
        for port in (PORT, PORT + 1, PORT + 2):
            locks.holder(port).addCallback(found.append)
        assert found == [f"a\\x1b[31mprogram (pid {os.getpid()})", "", ""]

    def test_this_machine(self, locks: IDaemonLocks) -> None:
        """The kernel names the holder of a real socket."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            found: list[str] = []
            locks.holder(listening.getsockname()[1]).addCallback(found.append)
        assert f"(pid {os.getpid()})" in found[0]
