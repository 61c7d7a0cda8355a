"""Versions of users' files that a change has displaced, each in a file that is named for its digest.

# Note [One at a time]
A program that changes a user's file locks the directory of the ledger.  So two programs of one home never do so at
once, and an unfinished change found there was left by a killed program.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

from attrs import define, field

from mcpgateway.clientfiles.disk import DISK, Disk
from mcpgateway.errors import ConfigError
from mcpgateway.system import files, home_files

LEDGER = "ledger"
KEPT = "kept"
KEPT_FILES = 200
KEPT_BYTES = 256 * 1_048_576  # five versions of the largest files that were seen
DIGEST_CHARACTERS = 64  # SHA-256 in hexadecimal digits
LOCK_WAIT_S = 30.0
LOCK_POLL_S = 0.02
CHUNK_BYTES = 4 * 1_048_576


def digest_of(data: bytes) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


@define(eq=False, repr=False)
class Backups:
    """The displaced versions that one gateway home keeps, and the lock of its ledger.

    :param home: the gateway's own directory.
    :ivar needed: the digests of versions that must not be removed, however old.
    """

    home: str
    disk: Disk = field(default=DISK, repr=False)
    needed: Collection[str] = ()
    _depth: int = 0

    @property
    def ledger(self) -> str:
        """The directory of the ledger, which is locked."""
        return os.path.join(self.home, LEDGER)

    @property
    def directory(self) -> str:
        """The directory of the versions."""
        return os.path.join(self.ledger, KEPT)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock users' files against changes by other programs; see Note [One at a time].

        :raise ConfigError: another program has the lock for too long, or the directory cannot be made.
        """
        if self._depth:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            return
        files.make_home(self.home)
        for directory in (self.ledger, self.directory):
            home_files.make_directory(directory)
        descriptor = self._opened()
        self._depth = 1
        try:
            yield
        finally:
            self._depth = 0
            self.disk.close(descriptor)

    def put(self, data: bytes) -> str:
        """Keep a version, and return its digest.

        :raise OSError: the version cannot be written.
        """
        digest = digest_of(data)
        path = self._path(digest)
        if self._is_there(path, len(data)):
            return digest
        temporary = f"{path}.part"
        with suppress(FileNotFoundError):
            self.disk.unlink(temporary)
        try:
            write_new(self.disk, temporary, data)
            self.disk.rename(temporary, path)
        except BaseException as why:
            with suppress(OSError):
                self.disk.unlink(temporary)
            if isinstance(why, OSError):
                raise OSError(why.errno, why.strerror, path) from why
            raise
        sync_directory(self.disk, self.directory)
        return digest

    def get(self, digest: str) -> bytes | None:
        """Return a version; None where it is missing or damaged."""
        try:
            data = read_file(self.disk, self._path(digest))
        except OSError:
            return None
        return data if digest_of(data) == digest else None

    def holds(self, digest: str) -> bool:
        """True if there is a version of this digest, whole or damaged."""
        return os.path.isfile(self._path(digest))

    def trim(self) -> None:
        """Remove the oldest versions beyond the limits, but never the latest one or a needed one."""
        found = []
        for name in self.disk.names(self.directory):
            with suppress(OSError):
                status = self.disk.stat(os.path.join(self.directory, name))
                found.append((status.st_mtime_ns, status.st_size, name))
        found.sort(reverse=True)
        total = 0
        for index, (_, size, name) in enumerate(found):
            total += size
            is_surplus = index >= KEPT_FILES or (index > 0 and total > KEPT_BYTES)
            if name not in self.needed and (is_surplus or len(name) != DIGEST_CHARACTERS):
                total -= size
                with suppress(OSError):
                    self.disk.unlink(os.path.join(self.directory, name))

    def _opened(self) -> int:
        try:
            descriptor = self.disk.open(self.ledger, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as why:
            raise ConfigError(f"{self.ledger}: cannot be opened: {why.strerror}") from why
        end = self.disk.now() + LOCK_WAIT_S
        try:
            while not self.disk.lock(descriptor):
                if self.disk.now() >= end:
                    raise ConfigError(
                        f"{self.ledger}: another mcpgateway has been changing clients' files for more than"
                        f" {LOCK_WAIT_S:.0f} seconds; please try again when it is done"
                    )
                self.disk.sleep(LOCK_POLL_S)
        except OSError as why:
            self.disk.close(descriptor)
            raise ConfigError(f"{self.ledger}: cannot be locked: {why.strerror}") from why
        except BaseException:
            self.disk.close(descriptor)
            raise
        return descriptor

    def _path(self, digest: str) -> str:
        return os.path.join(self.directory, digest)

    def _is_there(self, path: str, size: int) -> bool:
        try:
            is_there = self.disk.stat(path).st_size == size
        except OSError:
            return False
        if is_there:
            with suppress(OSError):
                self.disk.touch(path)  # it counts as the newest again
        return is_there


def read_file(disk: Disk, path: str, limit: int | None = None) -> bytes:
    """Read a regular file whole.

    :raise OSError: the file cannot be read, is not regular, or is larger than the limit.
    """
    descriptor = disk.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        check_regular(disk, descriptor, path)
        return read_open(disk, descriptor, limit)
    finally:
        disk.close(descriptor)


def check_regular(disk: Disk, descriptor: int, path: str) -> None:
    """Check that an open file is a regular one.

    :raise OSError: the file is not regular.
    """
    if not stat.S_ISREG(disk.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, "is not a regular file", path)


def read_open(disk: Disk, descriptor: int, limit: int | None = None) -> bytes:
    """Read the rest of an open file.

    :raise OSError: the file cannot be read, or is larger than the limit.
    """
    parts = []
    total = 0
    while part := disk.read(descriptor, CHUNK_BYTES):
        parts.append(part)
        total += len(part)
        if limit is not None and total > limit:
            raise OSError(errno.EFBIG, f"is larger than {limit} bytes")
    return b"".join(parts)


def write_all(disk: Disk, descriptor: int, data: bytes) -> None:
    """Write all of the data, in as many steps as that takes.

    :raise OSError: the data cannot be written.
    """
    rest = memoryview(data)
    while rest:
        written = disk.write(descriptor, rest[:CHUNK_BYTES])
        if written <= 0:
            raise OSError(errno.EIO, "nothing of it was written")
        rest = rest[written:]


def write_new(disk: Disk, path: str, data: bytes) -> None:
    """Make a private file that does not exist yet, and wait until it is on the disk.

    :raise OSError: the file cannot be written.
    """
    descriptor = disk.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW)
    try:
        write_all(disk, descriptor, data)
        disk.sync(descriptor)
    finally:
        disk.close(descriptor)


def sync_directory(disk: Disk, directory: str) -> None:
    """Wait until the names in a directory are on the disk; the refusal of some file systems is ignored."""
    with suppress(OSError):
        descriptor = disk.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            disk.sync(descriptor)
        finally:
            disk.close(descriptor)
