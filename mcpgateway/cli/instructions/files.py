"""Insert the instructions into a user's file, and remove them."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from mcpgateway.cli.instructions import block
from mcpgateway.errors import ConfigError
from mcpgateway.system.files import read_bytes, write_atomic

LIMIT = 4 * 2**20


def write(path: str, text: str, front: str = "") -> bool:
    """Insert or update the block in a file; return false if it is current already.

    :raise ConfigError: the file cannot be used.
    """
    data = _read(path)
    try:
        wanted = block.put(data, text, front)
    except ConfigError as why:
        raise ConfigError(f"{path}: {why}") from None
    if wanted == data:
        return False
    _write(path, wanted)
    return True


def remove(path: str, front: str = "") -> bool:
    """Remove the block from a file; return true if the file was made for it and is removed too.

    :raise ConfigError: the file has no block, or cannot be used.
    """
    data = _read(path)
    if data is None:
        raise ConfigError(f"{path}: there is no such file")
    try:
        left = block.take_out(data, front).data
    except ConfigError as why:
        raise ConfigError(f"{path}: {why}") from None
    if left is None:
        os.unlink(path)
        return True
    _write(path, left)
    return False


def _read(path: str) -> bytes | None:
    try:
        return read_bytes(path, LIMIT)
    except FileNotFoundError:
        return None


def _write(path: str, data: bytes) -> None:
    mode = 0o644  # it is meant to be committed to a repository
    try:
        with suppress(FileNotFoundError):
            mode = stat.S_IMODE(os.stat(path).st_mode)
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        write_atomic(path, data, mode)
    except OSError as why:
        raise ConfigError(f"{path}: cannot be written: {why.strerror}") from why
