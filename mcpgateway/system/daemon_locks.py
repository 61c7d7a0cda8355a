"""Locks on disk of programs that serve at a port of their own, so that each is started once.

A lock is a JSON file ``<home>/daemons/<server>.lock`` that names the process which serves, or which is about to start
the server.  The locks of mcp-session-manager are read as well, and never changed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from mcpgateway.errors import ConfigError
from mcpgateway.interfaces import DaemonLock
from mcpgateway.system.files import locked, read_text
from mcpgateway.system.home_files import keep, make_directory, remove
from mcpgateway.system.process.procfs import is_alive, name_of, start_time
from mcpgateway.system.process.socket_owners import listening, port_holders

DIRECTORY = "daemons"
LOCK_BYTES = 65_536


@define(eq=False, repr=False)
class DaemonLocks:
    """The locks of one gateway home.

    :param home: the gateway's own directory.
    :param theirs: the directory of mcp-session-manager's locks.
    :param holders: returns the processes that hold sockets, by their inodes.
    """

    home: str
    theirs: str
    _holders: Callable[[Collection[int]], Deferred[dict[int, int]]] = field(repr=False)
    _proc: str = "/proc"
    _ours: set[str] = field(factory=set)

    def find(self, server: str, port: int) -> DaemonLock | None:
        """Return the lock of a server whose process runs, or None; an unreadable lock of the gateway is removed."""
        own = self._read(self._path(server), server, is_own=True)
        if own is not None and own.port == port and runs(own):
            return own
        other = self._read(os.path.join(self.theirs, f"{server}.lock"), server, is_own=False)
        return other if other is not None and other.port == port and runs(other) else None

    def claim(self, server: str, port: int, transport: str) -> bool:
        """Take the lock to start a server; false where another process holds it."""
        path = self._path(server)
        try:
            # Between the look at a stale lock and its removal, another must not put a good one in its place.
            with self._alone():
                found = self._read(path, server, is_own=True)
                if found is not None and runs(found):
                    return False
                with suppress(FileNotFoundError):
                    os.unlink(path)
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(_written(os.getpid(), port, transport))
        except (ConfigError, OSError) as why:
            # A full disk need not keep a server from starting; then only its port keeps two from running.
            self._complain(path, why)
        self._ours.add(server)
        return True

    def started(self, server: str, pid: int, port: int, transport: str) -> None:
        """Record the process that serves in the lock, which this gateway has from now on."""
        self._ours.add(server)
        path = self._path(server)
        try:
            make_directory(os.path.dirname(path))
            keep(path, _written(pid, port, transport))
        except ConfigError as why:
            self._complain(path, why)

    def release(self, server: str) -> None:
        """Remove the lock of a server that has ended, if this gateway has taken it."""
        if server in self._ours:
            self._ours.discard(server)
            with suppress(OSError):
                remove(self._path(server))

    def holder(self, port: int) -> Deferred[str]:
        """Fires with the name and pid of the program that listens at a port; empty where they cannot be found."""
        if sys.platform == "darwin":
            return succeed(next((str(each) for each in port_holders(port)), ""))
        inodes = {inode for inode, _ in listening(port, self._proc)}
        if not inodes:
            return succeed("")
        return self._holders(inodes).addCallback(_in_words, self._proc)

    def _read(self, path: str, server: str, *, is_own: bool) -> DaemonLock | None:
        try:
            return read_lock(path, server)
        except FileNotFoundError:
            return None
        except Exception as why:  # noqa: BLE001 - with any other content it is no lock
            if is_own:
                with suppress(OSError):
                    remove(path)
                Logger().warn(
                    "{path} was no lock and has been removed",
                    event="daemon.bad_lock",
                    path=path,
                    why=type(why).__name__,
                )
            return None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        directory = os.path.join(self.home, DIRECTORY)
        make_directory(directory)
        with locked(directory):
            yield

    def _path(self, server: str) -> str:
        return os.path.join(self.home, DIRECTORY, f"{server}.lock")

    def _complain(self, path: str, why: ConfigError | OSError) -> None:
        Logger().error(
            "{path}: the lock cannot be kept ({why})", event="daemon.unlocked", path=path, why=str(why)
        )


def read_lock(path: str, server: str) -> DaemonLock:
    """Read a lock.

    :raise Exception: the file is missing (`FileNotFoundError`), or malformed in any way.
    """
    found: dict[str, Any] = json.loads(read_text(path, LOCK_BYTES))
    return DaemonLock(
        server,
        _number(found["pid"]),
        _number(found["port"]),
        str(found.get("transport", "")),
        _number(found.get("startTime", 0)),
    )


def runs(lock: DaemonLock) -> bool:
    """True if the process that a lock names is still there."""
    # Its pid may have been given to another process since; only the gateway's own locks hold the start time.
    if lock.pid <= 0 or not is_alive(lock.pid):
        return False
    return not lock.start_time or start_time(lock.pid) in (0, lock.start_time)


def _written(pid: int, port: int, transport: str) -> bytes:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    content = {
        "pid": pid,
        "port": port,
        "startedAt": now,
        "transport": transport,
        "startTime": start_time(pid),
    }
    return json.dumps(content).encode() + b"\n"


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**62:
        raise ValueError(value)
    return value


def _in_words(found: dict[int, int], proc: str) -> str:
    named = ((name_of(pid, proc), pid) for pid in found.values())
    return next((f"{ascii(name)[1:-1]} (pid {pid})" for name, pid in named if name), "")
