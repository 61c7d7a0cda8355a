"""Changing a user's file: read, changed and replaced as a whole, unless another program was faster.

A file that gets a secret it did not have is readable by its owner alone from then on, or does not get it
(`mcpgateway.system.own_file`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import Any

from attrs import field, frozen

from mcpgateway.config.read import parse
from mcpgateway.errors import ConfigError
from mcpgateway.policy.secrets.hiding import Hidden, hidden_in
from mcpgateway.system import files
from mcpgateway.system.own_file import check_takes, is_own
from mcpgateway.system.watch import stamp

FILE_LIMIT = 20 * 1_048_576
TRIES = 5
PRIVATE = 0o600


@frozen
class FormerText:
    """The text and mode of a file before a change.

    :ivar text: its text; None where the file did not exist.
    """

    path: str
    text: str | None = field(repr=False)
    mode: int = PRIVATE

    def restore(self) -> None:
        """Restore the file."""
        if self.text is None:
            os.unlink(self.path)
        else:
            _replace(self.path, self.text, self.mode)


def write_back(path: str, change: Callable[[str], str], *, is_repository: bool = False) -> FormerText:
    """Change a file's text, and keep the links that lead to it, and its mode, unless it gets a secret.

    :param is_repository: the file is a repository's, into which no secrets are written.
    :raise ConfigError: the file cannot be changed.
    """
    for _ in range(TRIES):
        before = stamp(path)
        text = _read(path)
        marked = files.BOM if text is not None and _has_mark(path) else ""
        made = change(text or "")
        if stamp(path) != before:
            continue  # another program has written it meanwhile
        mode = former = _mode(path)
        hidden = new_hidden(text or "", made, path) if made != text else frozenset()
        if hidden:
            check_takes(hidden, path, is_repository=is_repository)
            mode = PRIVATE if is_own(path) else mode
        if made != text:
            _replace(path, marked + made, mode)
        return FormerText(path, None if text is None else marked + text, former)
    raise ConfigError(f"{path}: is being changed by another program all the time")


def _read(path: str) -> str | None:
    try:
        return files.read_text(path, FILE_LIMIT)
    except FileNotFoundError:
        return None


def _has_mark(path: str) -> bool:
    with open(path, "rb") as stream:
        return stream.read(3) == files.BOM.encode()


def new_hidden(before: str, after: str, file: str) -> frozenset[Hidden]:
    """Return the secrets in a configuration file's text that were nowhere in it before a change."""
    return hidden_in(_value(after, file)) - hidden_in(_value(before, file))


def _value(text: str, file: str) -> Any:
    try:
        return parse(text, file, strict=False, takes_list=True).value
    except ConfigError:
        return text  # it may hold anything


def _mode(path: str) -> int:
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except OSError:
        return PRIVATE


def _replace(path: str, text: str, mode: int) -> None:
    try:
        files.write_atomic(path, text.encode(), mode)
    except OSError as why:
        raise ConfigError(f"{path}: cannot be written: {why.strerror}") from why
