"""Programs that are run for what they say and do, and end by themselves."""

from __future__ import annotations

from typing import Any

from attrs import define, evolve, field, frozen
from twisted.internet.defer import Deferred

from mcpgateway.interfaces import Gone, IBackend, ILauncher, Launch

LINES_LIMIT = 10_000
TOO_LATE = -1  # in place of the exit code of what was killed


@frozen
class ProgramOutcome:
    """The outcome of a program.

    :ivar code: its exit code, or `TOO_LATE`.
    """

    code: int
    lines: tuple[str, ...] = field(repr=False)
    last_words: str = field(default="", repr=False)


@define(eq=False)
class _Errand:
    """Gathers what one program says."""

    done: Deferred[ProgramOutcome]
    lines: list[str] = field(factory=list)

    def line_received(self, line: bytes) -> None:
        """Take one line of the output."""
        if len(self.lines) < LINES_LIMIT:
            self.lines.append(line.decode(errors="replace"))

    def line_overflowed(self, head: bytes, limit: int) -> None:
        """A line is too long: the program is killed."""

    def gone(self, why: Gone) -> None:
        """The program has ended."""
        code = TOO_LATE if why.code is None or why.signal else why.code
        self.done.callback(ProgramOutcome(code, tuple(self.lines), why.last_words))


def run(
    reactor: Any, programs: ILauncher, launch: Launch, argv: tuple[str, ...], limit_s: float
) -> Deferred[ProgramOutcome]:
    """Run a program in the surroundings of a launch; it is told nothing, and killed after a while.

    :raise LaunchFailed: the program is missing or may not be run.
    """
    done: Deferred[ProgramOutcome] = Deferred()
    errand = evolve(launch, argv=argv, reach=None, is_heard=False)
    child: IBackend = programs.launch(errand, _Errand(done))
    late = reactor.callLater(limit_s, child.kill)

    def ended(ran: ProgramOutcome) -> ProgramOutcome:
        if late.active():
            late.cancel()
        return ran

    return done.addCallback(ended)
