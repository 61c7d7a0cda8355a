"""Writing the new version of a user's file: beside it, dressed as the old one is, or into it."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from mcpgateway.clientfiles.backups import write_all
from mcpgateway.clientfiles.disk import UNSUPPORTED, Disk
from mcpgateway.clientfiles.leftovers import part_name, whole_name

CANNOT_MAKE = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))  # a directory that belongs to somebody else
# The system sets these itself, and lets nobody else.
SYSTEM_ATTRIBUTES = ("security.", "trusted.")


class InPlaceOnly(Exception):
    """The file cannot be replaced, but perhaps written."""


def prepared(disk: Disk, path: str, status: os.stat_result | None, data: bytes) -> str:
    """Write a new version beside a file, and say where; it is on the disk then.

    :param status: the file's own, None where there is no file yet.
    :raise InPlaceOnly: none can be made here that could take the file's place.
    :raise OSError: it cannot be written.
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

    :raise OSError: it cannot be written, or only a part of it was.
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
