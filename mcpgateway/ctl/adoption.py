"""What happens to clients' own files when the gateway is started and stopped."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from mcpgateway.ctl.context import Globals

ADOPT = ("ask", "always", "never")


class Told(NamedTuple):
    """What became of clients' files.

    :ivar value: for programs.
    :ivar lines: for people.
    """

    value: Any = None
    lines: tuple[str, ...] = ()


def give_back(globals_: Globals, why: str) -> Told:
    """Put the clients' own entries back, until the gateway is started again."""
    enrolment = _enrolment()
    return _told(enrolment.suspend(globals_.home, os.environ, why)) if enrolment is not None else Told()


def lead_here(globals_: Globals, adopt: str | None, *, ends_duplicates: bool) -> None:
    """Lead clients to the gateway that has been started."""


def _enrolment() -> Any:
    name = "mcpgateway.local.enrolment"
    return import_module(name) if find_spec(name) is not None else None


def _told(report: Any) -> Told:
    return Told()
