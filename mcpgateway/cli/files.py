"""The common parts of commands that work on files of this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from mcpgateway.cli.console import fail, shortened, spinner
from mcpgateway.cli.context import Globals

if TYPE_CHECKING:
    from mcpgateway.clientfiles.machine import Machine

T = TypeVar("T")


def working_directory() -> str:
    """Return the directory that the user works in; "" where it was removed."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def machine_of(globals_: Globals) -> Machine:
    """Return this machine, as the gateway's home and this command's environment describe it."""
    from mcpgateway.clientfiles.machine import Machine

    return Machine(globals_.home, os.environ)


@contextmanager
def files_at_work(text: str) -> Iterator[None]:
    """Show a person which client's file is being changed, where that takes a while.

    :param text: the work before the first file, such as ``enrolling``.
    """
    from mcpgateway.clientfiles.ledger import noticed

    with spinner(f"{text} clients' files") as shows:
        token = noticed.set(lambda path: shows(f"{text} {shortened(path)}"))
        try:
            yield
        finally:
            noticed.reset(token)


def careful(work: Callable[[], T]) -> T:
    """Run work on files; a file that cannot be used ends the command with its reason and hint.

    :raise Trouble: `work` has raised a `ConfigError`.
    """
    from mcpgateway.errors import ConfigError

    try:
        return work()
    except ConfigError as why:
        fail(str(why), why.hint)
