"""The common parts of commands that work on files of this machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from mcpgateway.cli.console import fail
from mcpgateway.cli.context import Globals

if TYPE_CHECKING:
    from mcpgateway.clientfiles.machine import Machine

T = TypeVar("T")


def machine_of(globals_: Globals) -> Machine:
    """Return this machine, as the gateway's home and this command's environment describe it."""
    from mcpgateway.clientfiles.machine import Machine

    return Machine(globals_.home, os.environ)


def careful(work: Callable[[], T]) -> T:
    """Run work on files; a file that cannot be used ends the command with its reason and hint.

    :raise Trouble: `work` has raised a `ConfigError`.
    """
    from mcpgateway.errors import ConfigError

    try:
        return work()
    except ConfigError as why:
        fail(str(why), why.hint)
