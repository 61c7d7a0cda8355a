"""The file of a cluster's key: a key in each line, the newest first."""

from __future__ import annotations

import os
import secrets

from mcpgateway.cli.console import fail
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli
from mcpgateway.system import files

LIMIT = 4096
MODE = 0o600


def make_key(path: str) -> None:
    """Write a file with a new key.

    :raise Trouble: the file exists, or cannot be written.
    """
    if os.path.lexists(path):
        fail(f"{path} exists already", f"{cli('cluster key --rotate')} puts a new key into it")
    _write(path, [_fresh()])


def rotate_key(path: str) -> None:
    """Put a new key before the newest one in a file; older ones are dropped.

    :raise Trouble: the file has no key, or cannot be read or written.
    """
    try:
        lines = files.read_text(path, LIMIT).splitlines()
    except FileNotFoundError:
        fail(f"{path} does not exist", f"{cli('cluster key')} makes the first key")
    except ConfigError as why:
        fail(why.message, why.advice)
    former = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not former:
        fail(f"{path} has no key", f"{cli('cluster key')} makes one where there is no file")
    _write(path, [_fresh(), former[0]])


def _fresh() -> str:
    return secrets.token_urlsafe(32)


def _write(path: str, keys: list[str]) -> None:
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        files.write_atomic(path, ("\n".join(keys) + "\n").encode(), MODE)
    except (OSError, ConfigError) as why:
        fail(f"{path} cannot be written: {getattr(why, 'strerror', None) or why}")
