"""The file of a cluster's key: a key in each line, the one that signs first."""

from __future__ import annotations

import os
import secrets

from mcpgateway.cli.console import fail
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli
from mcpgateway.system import files

LIMIT = 4096
MODE = 0o600
NEXT = "# the next key"


def make_key(path: str) -> None:
    """Write a file with a new key.

    :raise Trouble: the file exists, or cannot be written.
    """
    if os.path.lexists(path):
        fail(f"{path} exists already", f"{cli('cluster key --rotate')} puts a new key into it")
    _write(path, [_fresh()])


def rotate_key(path: str) -> bool:
    """Add a new key that nodes read and do not use yet, or let the one that was added so be the newest.

    Nodes are restarted one by one, so each has to read what the others make: a key that one of them signs with has to
    be at all nodes before.

    :return: true where the added key is the newest now.
    :raise Trouble: the file has no key, or cannot be read or written.
    """
    try:
        lines = [line.strip() for line in files.read_text(path, LIMIT).splitlines() if line.strip()]
    except FileNotFoundError:
        fail(f"{path} does not exist", f"{cli('cluster key')} makes the first key")
    except ConfigError as why:
        fail(why.message, why.advice)
    keys = [line for line in lines if not line.startswith("#")]
    if not keys:
        fail(f"{path} has no key", f"{cli('cluster key')} makes one where there is no file")
    if NEXT in lines and len(keys) > 1:
        _write(path, [keys[-1], keys[0]])
        return True
    _write(path, [keys[0], NEXT, _fresh()])
    return False


def _fresh() -> str:
    return secrets.token_urlsafe(32)


def _write(path: str, keys: list[str]) -> None:
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        files.write_atomic(path, ("\n".join(keys) + "\n").encode(), MODE)
    except (OSError, ConfigError) as why:
        fail(f"{path} cannot be written: {getattr(why, 'strerror', None) or why}")
