"""Run programs that end by themselves, for their output and effect."""

from __future__ import annotations

from typing import Any

from attrs import define, evolve, field, frozen
from twisted.internet.defer import Deferred

from mcpgateway.interfaces import Gone, IBackend, ILauncher, Launch

LINES_LIMIT = 10_000
TOO_LATE = -1  # exit code of a program that was killed for its time limit


@frozen
class ProgramOutcome:
    """The outcome of a program.

    :ivar code: its exit code, or `TOO_LATE`.
    """

    code: int
    lines: tuple[str, ...] = field(repr=False)
    last_words: str = field(default="", repr=False)


@define(eq=False, repr=False)
class _ProgramRun:
    """Gathers the output of one program."""

    done: Deferred[ProgramOutcome]
    lines: list[str] = field(factory=list)

    def line_received(self, line: bytes) -> None:
        """Keep one line of the output."""
        if len(self.lines) < LINES_LIMIT:
            self.lines.append(line.decode(errors="replace"))

    def line_overflowed(self, head: bytes, limit: int) -> None:
        """Ignore a line that is too long: the program is killed."""

    def gone(self, why: Gone) -> None:
        """Fire with the outcome: the program has ended."""
        code = TOO_LATE if why.code is None or why.signal else why.code
        self.done.callback(ProgramOutcome(code, tuple(self.lines), why.last_words))


def run(
    reactor: Any, programs: ILauncher, launch: Launch, argv: tuple[str, ...], limit_s: float
) -> Deferred[ProgramOutcome]:
    """Run a program in the environment of a launch, without input; it is killed after ``limit_s`` seconds.

    :raise LaunchFailed: the program is missing or may not be executed.
    """
    done: Deferred[ProgramOutcome] = Deferred()
    program_run = evolve(launch, argv=argv, reach=None, is_heard=False)
    child: IBackend = programs.launch(program_run, _ProgramRun(done))
    timer = reactor.callLater(limit_s, child.kill)

    def ended(ran: ProgramOutcome) -> ProgramOutcome:
        if timer.active():
            timer.cancel()
        return ran

    return done.addCallback(ended)
