"""Reading and replacing files, privately and whole.

Everything here blocks; it is meant for start-up and for commands, never for the path of a call.
"""

from __future__ import annotations

import codecs
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mcpgateway.errors import ConfigError

BOM = "\ufeff"  # the byte order mark
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
ANY = "surrogateescape"


def read_text(path: str, limit: int) -> str:
    """Read a UTF-8 file of at most ``limit`` bytes; a byte order mark is dropped.

    :raise FileNotFoundError: the file does not exist.
    :raise ConfigError: it cannot be read, is no regular file, is too large or is not UTF-8.
    """
    return text_of(read_bytes(path, limit), path)


def text_of(data: bytes, path: str) -> str:
    """Decode the content of a UTF-8 file; a byte order mark is dropped.

    :raise ConfigError: the content is not UTF-8.
    """
    return marked_text_of(data, path).removeprefix(BOM)


def marked_text_of(data: bytes, path: str) -> str:
    """Decode the content of a UTF-8 file; a byte order mark is kept.

    :raise ConfigError: the content is not UTF-8.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as why:
        line = data.count(b"\n", 0, why.start) + 1
        raise ConfigError(f"{path}, line {line}: found bytes that are not UTF-8 text") from why


def any_text_of(data: bytes, path: str) -> str:
    """Decode the content of a file, of which `bytes_of` makes the same bytes again, be they UTF-8 or not.

    :raise ConfigError: it is UTF-16, in which no UTF-8 text can stand.
    """
    if data[:2] in UTF_16:
        raise ConfigError(f"{path}: is UTF-16; save it as UTF-8")
    return data.decode(errors=ANY)


def bytes_of(text: str) -> bytes:
    """Encode a text of `any_text_of`."""
    return text.encode(errors=ANY)


def read_bytes(path: str, limit: int, *, follows: bool = True) -> bytes:
    """Read a file of at most ``limit`` bytes.

    :param follows: false refuses a symbolic link.
    :raise FileNotFoundError: the file does not exist.
    :raise ConfigError: it cannot be read, is no regular file or is too large.
    """
    try:
        # A FIFO would block the open for ever without O_NONBLOCK.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follows else os.O_NOFOLLOW)
        descriptor = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError) as missing:
        raise FileNotFoundError(path) from missing
    except (OSError, ValueError) as why:
        if not follows and getattr(why, "errno", None) == errno.ELOOP:
            raise ConfigError(f"{path}: is a symbolic link", "name the file itself") from None
        raise ConfigError(f"{path}: cannot be read: {_reason(why)}") from why
    try:
        return _read(descriptor, path, limit)
    finally:
        os.close(descriptor)


def write_atomic(
    path: str, data: bytes, mode: int = 0o600, *, lasting: bool = True, follows: bool = True
) -> None:
    """Replace a file by a new one with ``data``, so that a reader sees either the old or the new one, whole.

    A symbolic link is written through: the link stays.

    :param lasting: wait until the file is on the disk, where it outlives a power failure.
    :param follows: false replaces the link itself.
    """
    path = os.path.realpath(path) if follows else os.path.abspath(path)
    directory = os.path.dirname(path)
    temporary = os.path.join(directory, f".{os.path.basename(path)}.{os.getpid()}.{secrets.token_hex(6)}")
    try:
        _write_new(temporary, data, mode, lasting=lasting)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    if lasting:
        _sync_directory(directory)


def make_home(path: str) -> None:
    """Make a directory that only its owner may enter, or repair the mode of an existing one.

    :raise ConfigError: the directory cannot be made, is no directory, or belongs to another user.
    """
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        found = os.stat(path)
        if found.st_uid != os.geteuid():
            raise ConfigError(f"{path}: belongs to another user (uid {found.st_uid})")
        if stat.S_IMODE(found.st_mode) != 0o700:
            os.chmod(path, 0o700)
    except (OSError, ValueError) as why:
        raise ConfigError(f"{path}: cannot be used as the gateway's home: {_reason(why)}") from why


def _read(descriptor: int, path: str, limit: int) -> bytes:
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(f"{path}: is not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            # Python makes room for all that it is asked for.
            data = stream.read(min(limit, found.st_size) + 1)
            if len(data) > found.st_size:
                data += stream.read(limit + 1 - len(data))
    except OSError as why:
        raise ConfigError(f"{path}: cannot be read: {_reason(why)}") from why
    if len(data) > limit:
        raise ConfigError(f"{path}: is larger than {limit} bytes")
    return data


def _write_new(path: str, data: bytes, mode: int, *, lasting: bool) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, mode)
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(descriptor, mode)  # the umask may have taken bits away
        stream.write(data)
        if lasting:
            stream.flush()
            os.fsync(descriptor)


def _sync_directory(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Some file systems refuse to sync a directory; the file itself is safe by then.
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(directory: str) -> Iterator[None]:
    """Lock a directory against other processes that lock it too; blocks for as long as another one has the lock."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _reason(why: OSError | ValueError) -> str:
    return getattr(why, "strerror", None) or str(why)
