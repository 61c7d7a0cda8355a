"""Changing a user's file: read, changed and replaced as a whole, unless somebody else was faster."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from attrs import field, frozen

from mcpgateway.errors import ConfigError
from mcpgateway.host import files
from mcpgateway.host.watch import stamp

FILE_LIMIT = 20 * 1_048_576
TRIES = 5
BOM = "\ufeff"


@frozen
class Former:
    """What a file was before it was changed.

    :ivar text: None where there was none.
    """

    path: str
    text: str | None = field(repr=False)

    def restore(self) -> None:
        """Let the file be that again."""
        if self.text is None:
            os.unlink(self.path)
        else:
            _replace(self.path, self.text)


def write_back(path: str, change: Callable[[str], str]) -> Former:
    """Change a file's text, and keep its mode and the links that lead to it.

    :raise ConfigError: it cannot be changed.
    """
    for _ in range(TRIES):
        before = stamp(path)
        text = _read(path)
        marked = BOM if text is not None and _has_mark(path) else ""
        made = change(text or "")
        if stamp(path) != before:
            continue  # somebody else has written it meanwhile
        if made != text:
            _replace(path, marked + made)
        return Former(path, None if text is None else marked + text)
    raise ConfigError(f"{path}: is being changed by somebody else all the time")


def _read(path: str) -> str | None:
    try:
        return files.read_text(path, FILE_LIMIT)
    except FileNotFoundError:
        return None


def _has_mark(path: str) -> bool:
    with open(path, "rb") as stream:
        return stream.read(3) == BOM.encode()


def _replace(path: str, text: str) -> None:
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
    except OSError:
        mode = 0o600
    try:
        files.write_atomic(path, text.encode(), mode)
    except OSError as why:
        raise ConfigError(f"{path}: cannot be written: {why.strerror}") from why
