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
    :ivar do: does it; it may raise `OSError` or `ConfigError`.
    """

    what: str
    do: Callable[[], None] = field(repr=False, eq=False)


@frozen
class DoctorFinding:
    """A finding.

    :ivar id: names the kind of it, for programs; the docs list them all.
    :ivar text: what is so, in one line.
    :ivar advice: what to do about it; empty where nothing needs to be done.
    :ivar repair: how ``--fix`` puts it right; None where that is for a person to do.
    :ivar more: lines below it.
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

    :ivar means: what it means, for the docs.
    :ivar advice: what to do, where the finding says nothing better.
    :ivar is_fixable: whether ``--fix`` may put it right.
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
    """Declare a kind of note: worth knowing, and no fault."""
    return FindingKind(name, Severity.NOTE, means, advice, fixable)


@frozen
class Check:
    """A check.

    :ivar name: the id of what it finds where all is well, and the first word of the ids of everything else.
    :ivar title: what is looked at.
    :ivar look: looks.
    :ivar kinds: what else it can find.
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
