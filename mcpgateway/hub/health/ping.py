"""Ping one child now and then, to see that it is still there.

# Note [No verdict]
Many servers do one thing at a time, so while a call runs a ping without an answer says little: it is no miss, and only
counted for whoever has other evidence (`mcpgateway.hub.health.stuck_calls`).  The same holds for a while after a call
was taken back, since the server may well go on with it.  Whatever a server answers, be it an error or another call,
shows that it lives.

# Note [The modern era]
It has no ping, so its children are only asked something when they are suspected of being stuck: ``server/discover``,
which every server has to answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mcpgateway.backends.conversation import Conversation
from mcpgateway.errors import BackendGone, GatewayError
from mcpgateway.policy.stuck_calls import PINGS
from mcpgateway.protocol import modern
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.versions import Era

PATIENCE_TICKS = 5
LENIENT_TICKS = 600  # so long a server may be at work on a call that was taken back
SPREAD = 0.1
CHECKS_LIMIT = 20  # of all servers, at once


class Checks:
    """How many checks are under way."""

    def __init__(self) -> None:
        self.free = CHECKS_LIMIT

    def under(self, done: Deferred[None]) -> None:
        """Count one that ends when this fires."""
        self.free -= 1
        done.addBoth(self._over)

    def _over(self, result: object) -> object:
        self.free += 1
        return result


class Checked(Protocol):
    """Who is told of a pulse."""

    def is_busy(self) -> bool:
        """Whether calls are under way."""

    def felt(self, *, by_ping: bool) -> None:
        """It has answered a ping, or something else meanwhile."""

    def missed(self) -> None:
        """It did not answer a ping."""


class Pulse:
    """The pings of one child.

    :param every_s: seconds between two of them, 0 for none; see also Note [The modern era].
    :param chance: gives numbers from 0 to 1 at random, so that servers which start together are not asked together.
    :ivar misses: how many pings in a row were not answered while there was nothing else to do.
    :ivar unanswered: how many in a row were not answered, whatever there was to do.
    """

    def __init__(
        self,
        conversation: Conversation,
        owner: Checked,
        checks: Checks,
        every_s: float,
        chance: Callable[[], float],
        now: int,
    ) -> None:
        self.misses = self.unanswered = 0
        self._conversation = conversation
        self._owner = owner
        self._checks = checks
        self._chance = chance
        self._is_legacy = conversation.era is Era.LEGACY
        self._every_s = 0.0
        self._next = math.inf
        self._follow(every_s, now)
        self._ping: Deferred[None] | None = None  # fires with the verdict
        self._late = 0  # when the one under way is too late
        self._answered = 0  # how many answers there were when it was sent
        self._taken_back = 0
        self._lenient_until = 0

    def tick(self, now: int, every_s: float) -> None:
        """A second has passed; ``every_s`` is what the settings say by now."""
        if every_s != self._every_s:
            self._follow(every_s, now)
        if self._ping is not None:
            if now >= self._late:
                self._judge(now)
        elif now >= self._next and self._checks.free:
            self._next = now + self._every_s * (1 - SPREAD + 2 * SPREAD * self._chance())
            self.ask(now)

    def _follow(self, every_s: float, now: int) -> None:
        self._every_s = every_s
        is_due = every_s and self._is_legacy
        self._next = now + every_s * (0.5 + self._chance() / 2) if is_due else math.inf

    def ask(self, now: int) -> None:
        """Ping the child now, unless it has been, or is busy and has been often enough."""
        if not self._every_s or self._ping is not None or not self._checks.free:
            return
        if self.unanswered < PINGS or not self.is_excused(now):
            self._send(now)

    def is_excused(self, now: int) -> bool:
        """Whether the child may have something to do that keeps it from answering."""
        return self._owner.is_busy() or self._is_forgiven(now)

    def _send(self, now: int) -> None:
        self._ping = Deferred()
        self._checks.under(self._ping)
        self._late = now + PATIENCE_TICKS
        self._answered = self._conversation.answered
        sent = self._conversation.ask("ping" if self._is_legacy else modern.DISCOVER, {})
        sent.addCallbacks(self._pong, self._not_sent)

    def _pong(self, _: Envelope) -> None:
        # One that comes late shows as well that the server lives.
        self._taken_back, self._lenient_until = self._conversation.cancelled, 0
        self._over()
        self._felt(by_ping=True)

    def _not_sent(self, why: Failure) -> None:
        why.trap(GatewayError)
        if why.check(BackendGone):
            self._over()
        # Else it does not read, and is as late as one that does not answer.

    def _judge(self, now: int) -> None:
        self._over()
        if self._conversation.answered > self._answered:
            self._felt(by_ping=False)
            return
        self.unanswered += 1
        if not self.is_excused(now):
            self.misses += 1
            self._owner.missed()

    def _is_forgiven(self, now: int) -> bool:
        if self._conversation.cancelled > self._taken_back:
            self._taken_back, self._lenient_until = self._conversation.cancelled, now + LENIENT_TICKS
        return now < self._lenient_until

    def _felt(self, *, by_ping: bool) -> None:
        self.misses = self.unanswered = 0
        self._owner.felt(by_ping=by_ping)

    def close(self) -> None:
        """There is nothing to ping any more."""
        self._over()
        self._next = math.inf

    def _over(self) -> None:
        ping, self._ping = self._ping, None
        if ping is not None:
            ping.callback(None)
