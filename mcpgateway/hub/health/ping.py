"""Pings of one child.

# Note [No verdict]
Many servers handle one request at a time, so an unanswered ping during a call says little: it is no miss, and is
counted only as evidence beside other signs (`mcpgateway.hub.health.stuck_calls`).  The same holds for `LENIENT_TICKS`
after a cancelled call, since the server may still work on it.  Any answer of the server, be it an error or the result
of another request, shows that it lives.

# Note [The modern era]
The modern era has no ping, so its children are asked only when they are suspected of being stuck:
``server/discover``, which every server has to answer.
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
LENIENT_TICKS = 600  # for which a server may work on a cancelled call
SPREAD = 0.1
CHECKS_LIMIT = 20  # of all servers together, at once


class Checks:
    """The number of checks that may still be begun; those under way are `CHECKS_LIMIT` at most."""

    def __init__(self) -> None:
        self.free = CHECKS_LIMIT

    def under(self, done: Deferred[None]) -> None:
        """Count a check that ends when ``done`` fires."""
        self.free -= 1
        done.addBoth(self._over)

    def _over(self, result: object) -> object:
        self.free += 1
        return result


class Checked(Protocol):
    """The owner of the pings of a child."""

    def is_busy(self) -> bool:
        """True if calls are under way at the child."""

    def felt(self, *, by_ping: bool) -> None:
        """Note an answer to a ping, or to another request meanwhile."""

    def missed(self) -> None:
        """Note a missed ping."""


class ChildPings:
    """The pings of one child.

    :param every_s: seconds between two pings, 0 for none; see also Note [The modern era].
    :param chance: returns a random number from 0 to 1, so that servers that start together are not pinged together.
    :ivar misses: the number of pings in a row that were not answered while the child had no other work.
    :ivar unanswered: the number of pings in a row that were not answered at all.
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
        self._late = 0  # the tick at which the ping under way is missed
        self._answered = 0  # the number of answers when it was sent
        self._taken_back = 0
        self._lenient_until = 0

    def tick(self, now: int, every_s: float) -> None:
        """Advance by one second; ``every_s`` is the current setting."""
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
        """Ping the child now, unless a ping is under way, or the child is busy and has missed `PINGS` already."""
        if not self._every_s or self._ping is not None or not self._checks.free:
            return
        if self.unanswered < PINGS or not self.is_excused(now):
            self._send(now)

    def is_excused(self, now: int) -> bool:
        """True if the child may have other work that keeps it from answering."""
        return self._owner.is_busy() or self._is_forgiven(now)

    def _send(self, now: int) -> None:
        self._ping = Deferred()
        self._checks.under(self._ping)
        self._late = now + PATIENCE_TICKS
        self._answered = self._conversation.answered
        sent = self._conversation.ask("ping" if self._is_legacy else modern.DISCOVER, {})
        sent.addCallbacks(self._pong, self._not_sent)

    def _pong(self, _: Envelope) -> None:
        # A late answer, too, shows that the server lives.
        self._taken_back, self._lenient_until = self._conversation.cancelled, 0
        self._over()
        self._felt(by_ping=True)

    def _not_sent(self, why: Failure) -> None:
        why.trap(GatewayError)
        if why.check(BackendGone):
            self._over()
        # Else the child does not read, and the ping is missed as one without an answer.

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
        """End the pings."""
        self._over()
        self._next = math.inf

    def _over(self) -> None:
        ping, self._ping = self._ping, None
        if ping is not None:
            ping.callback(None)
