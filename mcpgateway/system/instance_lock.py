"""The lock of a home: its holder is the home's one gateway, for as long as the process lives.

`mcpgateway.shim.startup` passes the lock to the gateways that it starts, and describes the lock file's content; a
gateway that was started otherwise takes the lock, and waits for it while another gateway of the home ends.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from threading import Event
from time import monotonic

import msgspec

from mcpgateway.errors import ConfigError, Misplaced
from mcpgateway.hints import cli
from mcpgateway.records import Record
from mcpgateway.system import home_files, state

LOCK = "daemon.lock"
WANTED, STOPPED = "wanted", "stopped"
DESCRIPTOR = 3  # the descriptor of a lock that a starter passes on
STARTED_VARIABLE = "MCPGATEWAY_STARTED"
START, SHIM = "start", "shim"
UP, ENDED = "up", "ended"
RECORD_LIMIT = 128
END_S = 45.0  # a gateway that ends lets calls run for 30 s, and then stops its servers
LOOK_S, ANSWER_S = 0.1, 1.0


class InstanceLock(Record):
    """The lock, as this process holds it.

    :ivar started_by: ``start`` where a user wants the gateway to stay, ``shim`` where a client's program has started
        it,
        and empty where it was started otherwise.
    """

    _home: str
    started_by: str = ""
    _lock: int = -1
    _began_ms: int = msgspec.field(default_factory=lambda: int(monotonic() * 1000))

    @classmethod
    def of(
        cls,
        home: str,
        environ: MutableMapping[str, str],
        socket_path: str = "",
        pause: Callable[[float], object] | None = None,
    ) -> InstanceLock:
        """Return the lock that the process has inherited, or take a free one; not held where the system has no locks.

        :param socket_path: the socket at which a gateway of the home listens until it ends.
        :param pause: waits for seconds.
        :raise ConfigError: another gateway of the home runs, and does not end; or the lock is no file of this user.
        """
        started_by = environ.pop(STARTED_VARIABLE, "")
        path = os.path.join(home, LOCK)
        if _is_open(DESCRIPTOR, path):
            return cls(home, started_by, DESCRIPTOR)
        ends, pause = monotonic() + END_S, pause or Event().wait
        while True:
            try:
                return cls(home, "", _taken(path))
            except BlockingIOError:
                # Other programs hold it for a moment, to see whether it is free.
                if _listens(home, socket_path) or monotonic() > ends:
                    raise ConfigError(_refusal(home)) from None
            pause(LOOK_S)

    @property
    def is_held(self) -> bool:
        """True if this process is the one gateway of the home."""
        return self._lock >= 0

    @property
    def lock(self) -> int:
        """The lock's descriptor; negative where it is not held."""
        return self._lock

    def is_wanted(self) -> bool:
        """True if a user has started a gateway in this home, this one or any before it."""
        return os.path.exists(os.path.join(self._home, WANTED))

    def is_stopped(self) -> bool:
        """True if ``mcpgateway stop``, which restores clients' files, was called since this gateway began."""
        try:
            text = home_files.read_text(os.path.join(self._home, STOPPED), RECORD_LIMIT)
        except (OSError, ConfigError):
            return False
        return text.isdigit() and int(text) >= self._began_ms

    def up(self) -> None:
        """Record that the gateway listens."""
        tries = self._tries()
        self._write(UP, max(tries, 1))

    def ended(self) -> None:
        """Record that the gateway ends in order, so that a shim may start it again at once."""
        self._write(ENDED, 0)

    def _tries(self) -> int:
        if not self.is_held:
            return 0
        words = os.pread(self._lock, RECORD_LIMIT, 0).split()
        return int(words[2]) if len(words) == 3 and words[1] == b"tried" and words[2].isdigit() else 0

    def _write(self, word: str, tries: int) -> None:
        if not self.is_held:
            return
        text = f"{int(monotonic() * 1000)} {word} {tries}\n".encode()
        with suppress(OSError):  # a full disk is no reason to fail
            os.pwrite(self._lock, text, 0)
            os.ftruncate(self._lock, len(text))


def _is_open(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def _taken(path: str) -> int:
    """Take the lock, and return its descriptor; -1 where the system has no locks.

    :raise BlockingIOError: another process has the lock.
    :raise ConfigError: the lock is no file of this user.
    """
    try:
        lock = home_files.open_to_write(path, os.O_RDWR)
    except Misplaced:
        raise
    except ConfigError:
        return -1
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise
    except OSError:
        os.close(lock)
        return -1
    return lock


def _listens(home: str, socket_path: str) -> bool:
    """True if another gateway runs here, rather than starting or ending."""
    if not _pid(home):
        return False
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(ANSWER_S)
        try:
            caller.connect(socket_path)
        except TimeoutError:
            return True  # it hangs
        except OSError:
            return False
    return True


def _pid(home: str) -> int:
    with suppress(ConfigError):
        found = state.read(home)
        if found is not None and found.pid != os.getpid() and state.is_alive(found):
            return found.pid
    return 0


def _refusal(home: str) -> str:
    pid = _pid(home)
    who = f"already running (pid {pid})" if pid else "already running"
    return f"the gateway of {home} is {who}; {cli('stop')} ends it"
