"""Reading and writing of the gateway's own files below its home; all of them are written in this way.

The gateway makes regular files and directories of its user there.  A symbolic link, a pipe, or another user's file in
the place of one comes from elsewhere, for instance with a repository that has a home in it: it is neither followed, nor
waited for, nor trusted.  The configuration, which users keep as they like, is not read by this module.

Everything here blocks for as long as a small file takes.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress

from mcpgateway.errors import ConfigError, Misplaced
from mcpgateway.system import files

MAKE_ROOM = "make room on the disk, and try again"
LET_WRITE = "make it writable for you, or choose another home with --home"
_MISPLACED = (errno.EISDIR, errno.ENOTDIR, errno.ENXIO, errno.EINVAL)
_HELP = dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), MAKE_ROOM) | dict.fromkeys(
    (errno.EACCES, errno.EPERM, errno.EROFS), LET_WRITE
)


def keep(path: str, data: bytes, mode: int = 0o600, *, lasting: bool = True) -> None:
    """Replace a file in an existing directory; a link is replaced itself, not its target.

    :param lasting: wait until the file is on the disk, where it outlives a power failure.
    :raise ConfigError: the file cannot be written; then it is unchanged.
    """
    try:
        if is_directory(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        files.write_atomic(path, data, mode, lasting=lasting, follows=False)
    except OSError as why:
        raise refused(path, "written", why) from why


def read(path: str, limit: int) -> bytes:
    """Read a file of at most ``limit`` bytes.

    :raise FileNotFoundError: the file does not exist.
    :raise ConfigError: it cannot be read, is too large, or is no regular file of this user.
    """
    with os.fdopen(open_to_read(path), "rb") as stream:
        try:
            data = stream.read(limit + 1)
        except OSError as why:
            raise refused(path, "read", why) from why
    if len(data) > limit:
        raise Misplaced(f"{path}: is larger than {limit} bytes")
    return data


def read_text(path: str, limit: int) -> str:
    """Read a UTF-8 file of at most ``limit`` bytes.

    :raise FileNotFoundError: the file does not exist.
    :raise ConfigError: it cannot be read, is too large, is no regular file of this user, or is not UTF-8.
    """
    return files.text_of(read(path, limit), path)


def open_to_read(path: str) -> int:
    """Open a file for reading.

    :raise FileNotFoundError: the file does not exist.
    :raise ConfigError: it cannot be opened, or is no regular file of this user.
    """
    try:
        # A pipe would keep the open waiting for ever without O_NONBLOCK.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as missing:
        raise FileNotFoundError(path) from missing
    except (OSError, ValueError) as why:
        raise refused(path, "read", why) from why
    try:
        _check(descriptor, path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_to_write(path: str, flags: int = os.O_WRONLY | os.O_APPEND) -> int:
    """Open a file for appending, or with other flags, and make it where it is missing; for its owner alone.

    :raise ConfigError: the file cannot be opened, or is no regular file of this user.
    """
    try:
        flags |= os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
    except OSError as why:
        raise refused(path, "written", why) from why
    try:
        if stat.S_IMODE(_check(descriptor, path).st_mode) != 0o600:
            os.fchmod(descriptor, 0o600)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def make_directory(path: str) -> None:
    """Make a directory below the home that only its owner may enter, or repair the mode of an existing one.

    :raise ConfigError: the directory cannot be made, or is no directory of this user.
    """
    try:
        if not os.path.lexists(path):
            os.makedirs(path, 0o700, exist_ok=True)  # another program may make it at the same moment
        if not is_directory(path):
            raise Misplaced(f"{path}: is not a directory of this user")
        if stat.S_IMODE(os.lstat(path).st_mode) != 0o700:
            os.chmod(path, 0o700)
    except (OSError, ValueError) as why:
        raise refused(path, "made", why) from why


def is_directory(path: str) -> bool:
    """True if the path is a directory of this user, rather than a link to one."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def names(directory: str) -> list[str]:
    """Return the sorted names in a directory; empty where it cannot be read, or is no directory of this user."""
    try:
        return sorted(os.listdir(directory)) if is_directory(directory) else []
    except OSError:
        return []


def remove(path: str) -> None:
    """Remove a file from a directory below the home, if both exist and the directory is the user's.

    :raise OSError: the file cannot be removed.
    """
    if is_directory(os.path.dirname(path)):
        with suppress(FileNotFoundError):
            os.unlink(path)


def refused(path: str, done: str, why: OSError | ValueError) -> ConfigError:
    """Return the error for a file that could not be used, with its remedy.

    :param done: the intended use, such as "written".
    """
    code = getattr(why, "errno", None) or 0
    if code == errno.ELOOP:
        return Misplaced(f"{path}: is a symbolic link")
    reason = getattr(why, "strerror", None) or str(why)
    kind = Misplaced if code in _MISPLACED else ConfigError
    return kind(f"{path}: cannot be {done}: {reason}", _HELP.get(code, ""))


def _check(descriptor: int, path: str) -> os.stat_result:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        raise Misplaced(f"{path}: is not a regular file of this user")
    return found


class Writer:
    """Writes small files whose loss costs little; a failure is reported once, until a write succeeds.

    :param complain: called with the reason of a failure.
    :param directory: the directory of the files below the home, made where it is missing; empty for the home itself.
    """

    def __init__(self, complain: Callable[[str], None], directory: str = "") -> None:
        self._complain = complain
        self._directory = directory
        self._has_complained = False

    def write(self, path: str, data: bytes) -> bool:
        """Replace a file; false where it cannot be written."""
        try:
            if self._directory:
                make_directory(self._directory)
            else:
                files.make_home(os.path.dirname(path))
            keep(path, data, lasting=False)
        except ConfigError as why:
            if not self._has_complained:
                self._complain(str(why))
            self._has_complained = True
            return False
        self._has_complained = False
        return True
