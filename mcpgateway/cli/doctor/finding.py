"""Findings of checks, and their kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from mcpgateway.cli.doctor.context import DoctorContext


class Severity(Enum):
    """The severity of a finding; only problems make the doctor end with exit code 1."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@frozen
class Repair:
    """A repair that needs no decision of the user.

    :ivar what: the sentence that announces it, such as ``remove PATH``.
    :ivar do: carries it out; may raise `OSError` or `ConfigError`.
    """

    what: str
    do: Callable[[], None] = field(repr=False, eq=False)


@frozen
class DoctorFinding:
    """A finding.

    :ivar id: identifies its kind, for programs; the docs list all kinds.
    :ivar text: the fact, in one line.
    :ivar advice: the advice for the user; empty for none.
    :ivar repair: the repair by ``--fix``; None if the user has to decide.
    :ivar more: further lines.
    """

    id: str
    level: Severity
    text: str
    advice: str = ""
    repair: Repair | None = None
    more: tuple[str, ...] = ()


@frozen
class FindingKind:
    """A kind of finding.

    :ivar means: the meaning, for the docs.
    :ivar advice: the advice for findings without their own.
    :ivar is_fixable: True if ``--fix`` may repair it.
    """

    id: str
    level: Severity
    means: str
    advice: str = ""
    is_fixable: bool = False

    def found(
        self, text: str, *, advice: str = "", repair: Repair | None = None, more: Iterable[str] = ()
    ) -> DoctorFinding:
        """Make a finding of this kind."""
        return DoctorFinding(self.id, self.level, text, advice or self.advice, repair, tuple(more))


def problem(name: str, means: str, advice: str, *, fixable: bool = False) -> FindingKind:
    """Declare a kind of problem."""
    return FindingKind(name, Severity.PROBLEM, means, advice, fixable)


def note(name: str, means: str, advice: str = "", *, fixable: bool = False) -> FindingKind:
    """Declare a kind of note: information, not a fault."""
    return FindingKind(name, Severity.NOTE, means, advice, fixable)


@frozen
class Check:
    """A check.

    :ivar name: the id of its finding when all is well, and the first word of all its other ids.
    :ivar title: the object of the check.
    :ivar look: runs the check.
    :ivar kinds: the kinds of its other findings.
    """

    name: str
    title: str
    look: Callable[[DoctorContext], Iterable[DoctorFinding]] = field(repr=False)
    kinds: tuple[FindingKind, ...] = ()


def fine(name: str, text: str, more: Iterable[str] = ()) -> DoctorFinding:
    """Make the finding of a check that passed."""
    return DoctorFinding(name, Severity.OK, text, more=tuple(more))


def counted(number: int, what: str) -> str:
    """Return a number with its noun: ``1 server``, ``2 servers``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def some(names: Iterable[str], limit: int = 5) -> str:
    """Return the first names, and the number of the others."""
    every = list(names)
    more = len(every) - limit
    return ", ".join(every[:limit]) + (f" and {more} more" if more > 0 else "")
