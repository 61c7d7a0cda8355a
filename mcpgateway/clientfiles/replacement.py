"""The new version of a client's file: written beside it with the attributes of the old one, or into it; and leftovers.

# Note [Leftovers]
``.NAME.mcpgateway-PID-DIGEST.part`` is a version that is being written.  Once whole it is named ``….new``, and its name
has the digest of the gateway's version.  When the digest of its content differs, it holds a displaced version.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from attrs import frozen

from mcpgateway.clientfiles.backups import Backups, digest_of, read_file, write_all
from mcpgateway.clientfiles.disk import UNSUPPORTED, Disk

PART = "part"
WHOLE = "new"
NAME_CHARACTERS = 100  # of the file's name; a name has at most 255 bytes
MARK_CHARACTERS = 16
CANNOT_MAKE = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))  # a directory of another user
# Only the system may set these.
SYSTEM_ATTRIBUTES = ("security.", "trusted.")


class InPlaceOnly(Exception):
    """The file cannot be replaced, but perhaps overwritten."""


def prepared(disk: Disk, path: str, status: os.stat_result | None, data: bytes) -> str:
    """Write a new version beside a file, wait until it is on the disk, and return its path.

    :param status: the file's status; None where there is no file yet.
    :raise InPlaceOnly: no file that could replace it can be made here.
    :raise OSError: the version cannot be written.
    """
    part = part_name(path, data)
    try:
        descriptor = disk.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW)
    except OSError as why:
        if status is not None and why.errno in CANNOT_MAKE:
            raise InPlaceOnly("its directory cannot be written") from why
        raise
    try:
        try:
            write_all(disk, descriptor, data)
            if status is not None:
                _dress(disk, descriptor, path, status)
            disk.sync(descriptor)
        finally:
            disk.close(descriptor)
        whole = whole_name(part)
        disk.rename(part, whole)
    except BaseException:
        with suppress(OSError):
            disk.unlink(part)
        raise
    return whole


def overwrite(disk: Disk, path: str, data: bytes) -> None:
    """Write a file without replacing it.

    :raise OSError: the file cannot be written, or only a part of it was.
    """
    descriptor = disk.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        write_all(disk, descriptor, data)
        disk.truncate(descriptor, len(data))
        disk.sync(descriptor)
    finally:
        disk.close(descriptor)


def _dress(disk: Disk, descriptor: int, path: str, status: os.stat_result) -> None:
    """Give a new version the owner, mode and attributes of the old one."""
    own = disk.fstat(descriptor)
    try:
        if (own.st_uid, own.st_gid) != (status.st_uid, status.st_gid):
            disk.chown(descriptor, status.st_uid, status.st_gid)
        disk.chmod(descriptor, stat.S_IMODE(status.st_mode))
        for name, value in _attributes(disk, path).items():
            _dress_with(disk, descriptor, name, value)
    except PermissionError as why:
        raise InPlaceOnly("a new file could not have its owner and attributes") from why


def _dress_with(disk: Disk, descriptor: int, name: str, value: bytes) -> None:
    try:
        disk.set_attribute(descriptor, name, value)
    except OSError as why:
        if why.errno not in UNSUPPORTED and not name.startswith(SYSTEM_ATTRIBUTES):
            raise


def _attributes(disk: Disk, path: str) -> dict[str, bytes]:
    descriptor = disk.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        return disk.attributes(descriptor)
    finally:
        disk.close(descriptor)


def part_name(path: str, data: bytes) -> str:
    """Return the path for writing a new version of a file."""
    return f"{_prefix(path)}{os.getpid()}-{digest_of(data)[:MARK_CHARACTERS]}.{PART}"


def whole_name(part: str) -> str:
    """Return the path of that version once it is whole."""
    return part.removesuffix(PART) + WHOLE


@frozen
class Leftover:
    """A file that a killed run has left beside a client's file.

    :ivar mark: the beginning of the digest of the version that was to replace the file.
    :ivar is_whole: false for a version that was not written completely.
    """

    path: str
    mark: str
    is_whole: bool


def leftovers(disk: Disk, path: str) -> list[Leftover]:
    """Return the leftovers of killed runs beside a file."""
    prefix = os.path.basename(_prefix(path))
    try:
        names = disk.names(os.path.dirname(path))
    except OSError:
        return []
    found = []
    for name in names:
        pid, _, rest = name.removeprefix(prefix).partition("-")
        mark, _, kind = rest.partition(".")
        if not name.startswith(prefix) or not pid.isdecimal() or kind not in {PART, WHOLE}:
            continue
        # This program has the lock, so a file with its own pid is an earlier program's.
        if int(pid) == os.getpid() or not disk.is_alive(int(pid)):
            found.append(Leftover(os.path.join(os.path.dirname(path), name), mark, kind == WHOLE))
    return found


def sweep(backups: Backups, path: str) -> None:
    """Remove the leftovers of killed runs beside a file, and keep those that may be another program's edit."""
    for each in leftovers(backups.disk, path):
        with suppress(OSError):
            put_away(backups, each.path)


def put_away(backups: Backups, leftover: str) -> list[str]:
    """Remove a file that was to be exchanged; return the digest of its version, where that had to be kept.

    :raise OSError: the version cannot be kept, and the file still exists.
    """
    digests = []
    mark, _, kind = leftover.rpartition("-")[2].partition(".")
    if kind == WHOLE:
        data = read_file(backups.disk, leftover)
        if not digest_of(data).startswith(mark):
            digests.append(backups.put(data))
    backups.disk.unlink(leftover)
    return digests


def _prefix(path: str) -> str:
    directory, name = os.path.split(path)
    return os.path.join(directory, f".{name[:NAME_CHARACTERS]}.mcpgateway-")
