"""Keep the reactor's timers to their intervals when the clock is set.

Twisted's reactor counts its timers by the wall clock.  Once that is set back by an hour, no timer would come for an
hour: no health check, no time-out, no renewal of a lease; set forward, all of them would come at once.  So the timers
are moved by as much as the clock.  They go on while the machine sleeps, as without this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from mcpgateway.system.process.boot_clock import boot_seconds

LEAST_S = 1.0  # less is within a turn's work, and what NTP corrects bit by bit

_log = Logger()


def keep_steady(reactor: Any, steady: Callable[[], float] = boot_seconds) -> None:
    """Move the timers of a reactor, from now on, whenever its clock is set; it is looked at before each turn.

    :param steady: returns a time in seconds that nobody sets.
    """
    turn: Callable[[], None] = reactor.runUntilCurrent
    offset = reactor.seconds() - steady()

    def looked() -> None:
        nonlocal offset
        former, offset = offset, reactor.seconds() - steady()
        jump_s = offset - former
        if abs(jump_s) >= LEAST_S:
            for each in reactor.getDelayedCalls():
                each.delay(jump_s)
            _log.warn(
                "the clock was set {way} by {jump:.0f} s: timers are moved with it",
                event="clock.set",
                way="forward" if jump_s > 0 else "back",
                jump=abs(jump_s),
            )
        turn()

    reactor.runUntilCurrent = looked
