"""The claim to be the gateway of a home: a lock that lasts as long as the process, and what is said about it.

`mcpgateway.bridge.daemon` starts gateways with the lock in their hands, and tells what its file says; one that was
started otherwise takes it when it is free.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import MutableMapping
from contextlib import suppress
from time import monotonic

from attrs import define

LOCK = "daemon.lock"
WANTED = "wanted"
DESCRIPTOR = 3  # where a starter puts it
STARTED_VARIABLE = "MCPGATEWAY_STARTED"
START, SHIM = "start", "shim"
UP, ENDED = "up", "ended"
RECORD_LIMIT = 128


@define(eq=False)
class Claim:
    """What this process holds.

    :ivar started_by: ``start`` where a person wants the gateway to stay, ``shim`` where a client's program found it
        away, and empty where it was started otherwise.
    """

    _home: str
    started_by: str = ""
    _lock: int = -1

    @classmethod
    def of(cls, home: str, environ: MutableMapping[str, str]) -> Claim:
        """Take over the lock that we were given, or take one that is free."""
        started_by = environ.pop(STARTED_VARIABLE, "")
        path = os.path.join(home, LOCK)
        lock = DESCRIPTOR if _is_open(DESCRIPTOR, path) else _taken(path)
        return cls(home, started_by if lock == DESCRIPTOR else "", lock)

    @property
    def is_held(self) -> bool:
        """Whether this is the one gateway of the home."""
        return self._lock >= 0

    @property
    def lock(self) -> int:
        """The lock's descriptor; negative where it is not held."""
        return self._lock

    def is_wanted(self) -> bool:
        """Whether a person has asked for a gateway here, be it this one or, when it was there already, any."""
        return os.path.exists(os.path.join(self._home, WANTED))

    def up(self) -> None:
        """The gateway listens."""
        tries = self._tries()
        self._write(UP, max(tries, 1))

    def ended(self) -> None:
        """The gateway ends in order; whoever needs it may start it at once."""
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
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        lock = os.open(path, flags, 0o600)
    except OSError:
        return -1
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return -1
    return lock
