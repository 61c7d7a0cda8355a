"""The operations of which a change of a user's file consists, in one place, so that a test can make each of them fail.

Everything here blocks; it is for short-lived programs, never for the gateway itself.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import sqlite3
import sys
import time
from contextlib import suppress
from functools import cache
from typing import Any
from urllib.parse import quote

from mcpgateway.system.process.procfs import is_alive

AT_FDCWD = -100  # fcntl.h: paths are relative to the current directory
EXCHANGE = 2  # linux/fs.h RENAME_EXCHANGE; sys/stdio.h RENAME_SWAP has the same value
BUSY_S = 5.0  # far longer than a reader of a database of this size needs
# The error numbers of a file system that cannot exchange names, or has no leases.
UNSUPPORTED = frozenset((errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTTY))


class Disk:
    """The real disk and clock."""

    def open(self, path: str, flags: int, mode: int = 0o600) -> int:
        """Return a descriptor of a file or a directory, which children do not inherit."""
        return os.open(path, flags | os.O_CLOEXEC, mode)

    def read(self, descriptor: int, size: int) -> bytes:
        """Read at most so many bytes."""
        return os.read(descriptor, size)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """Write a part of the data, and return the part's size."""
        return os.write(descriptor, data)

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut a file to a size."""
        os.ftruncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        """Wait until a file is on the disk, where it outlives a power failure."""
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """Close a descriptor."""
        os.close(descriptor)

    def fstat(self, descriptor: int) -> os.stat_result:
        """Return the status of an open file."""
        return os.fstat(descriptor)

    def stat(self, path: str) -> os.stat_result:
        """Return the status of a path; a symbolic link is not followed."""
        return os.lstat(path)

    def chmod(self, descriptor: int, mode: int) -> None:
        """Set the mode of a file."""
        os.fchmod(descriptor, mode)

    def chown(self, descriptor: int, user: int, group: int) -> None:
        """Change the owner of a file."""
        os.fchown(descriptor, user, group)

    def attributes(self, descriptor: int) -> dict[str, bytes]:
        """Return the extended attributes of a file, access control lists among them."""
        if not hasattr(os, "listxattr"):
            return {}
        try:
            return {name: os.getxattr(descriptor, name) for name in os.listxattr(descriptor)}
        except OSError as why:
            if why.errno in UNSUPPORTED:
                return {}
            raise

    def set_attribute(self, descriptor: int, name: str, value: bytes) -> None:
        """Give a file an extended attribute."""
        os.setxattr(descriptor, name, value)

    def rename(self, source: str, target: str) -> None:
        """Rename a file, in the place of any file of that name."""
        os.rename(source, target)

    def exchange(self, one: str, other: str) -> None:
        """Exchange the names of two files in one step.

        :raise OSError: the exchange failed; also where the system or the file system cannot, see `UNSUPPORTED`.
        """
        if _exchange()(os.fsencode(one), os.fsencode(other)) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), one, None, other)

    def link(self, source: str, target: str) -> None:
        """Give a file a second name, unless that exists."""
        os.link(source, target)

    def unlink(self, path: str) -> None:
        """Remove a name of a file."""
        os.unlink(path)

    def names(self, directory: str) -> list[str]:
        """List a directory."""
        return os.listdir(directory)

    def make_directory(self, path: str, mode: int = 0o700) -> None:
        """Make a directory that does not exist."""
        os.mkdir(path, mode)

    def remove_directory(self, path: str) -> None:
        """Remove an empty directory."""
        os.rmdir(path)

    def touch(self, path: str) -> None:
        """Set the time of the last change to now."""
        os.utime(path)

    def lock(self, descriptor: int) -> bool:
        """Lock a file or directory for this program alone; false where another program has locked it."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def is_being_written(self, descriptor: int) -> bool:
        """True if a program has the file open for writing; false where the system does not tell.

        :param descriptor: a descriptor that is open for reading only.
        """
        if not hasattr(fcntl, "F_SETLEASE"):
            return False
        try:
            # A writer that comes while the lease is held waits, and the holder is sent SIGIO, which would end it.
            fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError as why:
            return why.errno == errno.EAGAIN
        with suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False

    def connect(self, path: str) -> sqlite3.Connection:
        """Open an existing SQLite database; its committed transactions outlive a power failure.

        :raise sqlite3.Error: the database cannot be opened.
        """
        name = quote(os.fsencode(path))
        database = sqlite3.connect(f"file:{name}?mode=rw", timeout=BUSY_S, isolation_level=None, uri=True)
        database.text_factory = _text
        database.execute(
            "PRAGMA synchronous = EXTRA"
        )  # also the directory, once the rollback journal is removed
        return database

    def commit(self, database: sqlite3.Connection) -> None:
        """End a transaction, and wait until it is on the disk."""
        database.execute("COMMIT")

    def user(self) -> int:
        """Return the effective user id."""
        return os.geteuid()

    def is_alive(self, pid: int) -> bool:
        """True if a process runs, as `mcpgateway.system.process.procfs.is_alive` says."""
        return is_alive(pid)

    def now(self) -> float:
        """Return the seconds since the epoch, as in the times of files."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait for so many seconds."""
        time.sleep(seconds)


DISK = Disk()


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("latin-1")  # damaged, as its checksum shows


@cache
def _exchange() -> Any:
    """Return the system's function that exchanges two names: it returns 0, or sets the error number."""
    library = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin":
        swap = getattr(library, "renamex_np", None)
        return _missing if swap is None else lambda one, other: swap(one, other, EXCHANGE)
    swap = getattr(library, "renameat2", None)
    return _missing if swap is None else lambda one, other: swap(AT_FDCWD, one, AT_FDCWD, other, EXCHANGE)


def _missing(one: bytes, other: bytes) -> int:
    ctypes.set_errno(errno.ENOSYS)
    return -1
