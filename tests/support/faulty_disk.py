"""A disk on which any operation fails, or is the last one."""

from __future__ import annotations

import os
import signal
import sqlite3
from typing import Any

from mcpgateway.clientfiles.disk import Disk

# Those that cannot be seen by anybody else: the clock, and what is let go of when a program ends.
UNCOUNTED = frozenset(("now", "sleep", "user", "is_alive", "close"))


class Killed(BaseException):
    """The program is killed at this operation."""


class FaultyDisk(Disk):
    """Counts the operations, and lets one of them be the last, or fail.

    :ivar count: how many there were.
    :ivar log: their names.
    """

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self.count = 0
        self.log: list[str] = []
        self._slept = 0.0

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or name in UNCOUNTED or name not in _OPERATIONS:
            return found

        def operation(*arguments: Any) -> Any:
            self.count += 1
            self.log.append(name)
            return self._done(name, found, arguments)

        return operation

    def _done(self, name: str, operation: Any, arguments: tuple[Any, ...]) -> Any:
        return operation(*arguments)

    def now(self) -> float:
        """Time passes by sleeping."""
        return super().now() + self._slept

    def sleep(self, seconds: float) -> None:
        """Advance the clock, instead of waiting."""
        self._slept += seconds

    def sync(self, descriptor: int) -> None:
        """Do nothing: only programs are killed, and the system keeps written data."""

    def connect(self, path: str) -> sqlite3.Connection:
        """Likewise, a database waits for no disk."""
        database = super().connect(path)
        database.execute("PRAGMA synchronous = OFF")
        return database


_OPERATIONS = frozenset(name for name in vars(Disk) if not name.startswith("_"))


class DyingDisk(FaultyDisk):
    """The disk does no operation from one of them on; a writing that is the last one is half done."""

    def _done(self, name: str, operation: Any, arguments: tuple[Any, ...]) -> Any:
        if self.at and self.count >= self.at:
            if self.count == self.at and name == "write":
                descriptor, data = arguments
                operation(descriptor, data[: len(data) // 2])
            self._die()
        return operation(*arguments)

    def _die(self) -> None:
        raise Killed


class KillingDisk(DyingDisk):
    """As `DyingDisk`, for a program that is really killed."""

    def _die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class FailingDisk(FaultyDisk):
    """A disk on which one operation fails, and those of the same kind after it, or that one alone.

    :param code: the error's number; 0 lets a writing take only a byte at a time.
    :ivar is_lasting: the later ones fail as well.
    """

    def __init__(self, at: int, code: int, *, is_lasting: bool = False) -> None:
        super().__init__(at)
        self.code = code
        self.is_lasting = is_lasting
        self.kind = ""

    def _done(self, name: str, operation: Any, arguments: tuple[Any, ...]) -> Any:
        if self.count == self.at:
            self.kind = name
        is_meant = name == self.kind and (self.is_lasting or self.count == self.at)
        if not is_meant:
            return operation(*arguments)
        if self.code:
            raise OSError(self.code, os.strerror(self.code))
        if name == "write":
            descriptor, data = arguments
            return operation(descriptor, data[:1])
        return operation(*arguments)
