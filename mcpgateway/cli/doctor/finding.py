"""Findings of checks, and their kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING

from attrs import field, frozen

from mcpgateway.hints import PROGRAM, cli, with_command

if TYPE_CHECKING:
    from mcpgateway.cli.doctor.context import DoctorContext


PAGES = {
    "approvals": "howto/security",
    "budget": "howto/one-endpoint",
    "claude": "howto/each-client",
    "clients": "howto/clients",
    "cluster": "howto/cluster",
    "commands": "howto/servers",
    "configuration": "reference/configuration",
    "duplicates": "explanation/leftovers",
    "entries": "howto/clients",
    "launches": "explanation/leftovers",
    "ledger": "explanation/client-files",
    "leftovers": "explanation/leftovers",
    "logs": "howto/observe",
    "namesakes": "tutorial/install",
    "names": "howto/one-endpoint",
    "token": "howto/security",
    "wiring": "howto/clients",
}
"""The pages of the documentation that have more than the list of findings, by the first word of a finding's id."""


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
    :ivar run: the command at the end of the advice; empty for none.
    """

    id: str
    level: Severity
    text: str
    advice: str = ""
    repair: Repair | None = None
    more: tuple[str, ...] = ()
    run: str = ""


@frozen
class FindingKind:
    """A kind of finding.

    :ivar means: the meaning, for the docs.
    :ivar advice: the advice for findings without their own.
    :ivar undo: the way back from its repair by ``--fix``; empty for a kind that only the user can repair.
    """

    id: str
    level: Severity
    means: str
    advice: str = ""
    undo: str = ""

    @property
    def is_fixable(self) -> bool:
        """True if ``--fix`` may repair it."""
        return bool(self.undo)

    def explained(self) -> tuple[tuple[str, str], ...]:
        """Return the whole explanation, which needs no page: each part with its heading."""
        fix = cli("doctor --fix")
        repair = f"{cli('doctor --fix --dry-run')} names it, {fix} carries it out"
        parts = {
            "Cause": self.means,
            "Remedy": self.advice,
            "Repair": repair if self.undo else f"{fix} leaves this to you, and changes nothing",
            "Way back": self.undo,
        }
        return tuple((name, text) for name, text in parts.items() if text)

    def found(
        self,
        text: str,
        *,
        advice: str = "",
        repair: Repair | None = None,
        more: Iterable[str] = (),
        run: str = "",
    ) -> DoctorFinding:
        """Make a finding of this kind."""
        says = advice if advice.endswith(run) else with_command(advice, run)
        return DoctorFinding(self.id, self.level, text, says or self.advice, repair, tuple(more), run)


@cache
def documentation() -> str:
    """Return the address of the published documentation, which the package's metadata have; empty until it has one."""
    from importlib.metadata import PackageNotFoundError, metadata

    try:
        urls = metadata(PROGRAM).get_all("Project-URL") or ()
    except PackageNotFoundError:  # a checkout that is not installed
        return ""
    named = [each.partition(",") for each in urls]
    return next((url.strip().rstrip("/") for label, _, url in named if label == "Documentation"), "")


def page(identifier: str) -> str:
    """Return the address of the page of the docs for a finding; its name there while no address is published."""
    name = PAGES.get(identifier.partition(".")[0], "howto/trouble")
    return f"{documentation()}/{name}.html" if documentation() else name


def problem(name: str, means: str, advice: str, *, undo: str = "") -> FindingKind:
    """Declare a kind of problem."""
    return FindingKind(name, Severity.PROBLEM, means, advice, undo)


def note(name: str, means: str, advice: str = "", *, undo: str = "") -> FindingKind:
    """Declare a kind of note: information, not a fault."""
    return FindingKind(name, Severity.NOTE, means, advice, undo)


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
