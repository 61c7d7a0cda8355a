"""When a server is given up."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mcpgateway.config.gateway_settings import Circuit
from mcpgateway.policy.breaker import LONGEST_S, Breaker


def ended(breaker: Breaker, *times: float, was_healthy: bool = True) -> None:
    """Children that had worked have ended at these times."""
    for now in times:
        breaker.ended(now, was_healthy=was_healthy)


class OpeningTests:
    """The failures that open a circuit breaker."""

    def test_restarts(self) -> None:
        """Five restarts within five minutes are borne, the end that would lead to a sixth is not."""
        breaker = Breaker(Circuit())
        ended(breaker, 0, 60, 120, 180, 240)
        assert breaker.is_closed
        ended(breaker, 299)
        assert breaker.why == "circuit breaker: 5 restarts in 5m0s"
        assert not breaker.allows(300)

    def test_slow_restarts(self) -> None:
        """Restarts that are further apart never open it."""
        breaker = Breaker(Circuit())
        ended(breaker, *range(0, 10_000, 61))
        assert breaker.is_closed

    def test_failed_starts(self) -> None:
        """Five starts in a row that fail open it, however far apart they are."""
        breaker = Breaker(Circuit())
        for now in range(0, 4000, 1000):
            breaker.failed(now)
        assert breaker.is_closed
        breaker.failed(9000)
        assert breaker.why == "circuit breaker: 5 failed starts"

    def test_never_healthy(self) -> None:
        """Five children in a row that did their handshake and nothing more open it."""
        breaker = Breaker(Circuit())
        ended(breaker, *range(0, 4000, 1000), was_healthy=False)
        assert breaker.is_closed
        ended(breaker, 9000, was_healthy=False)
        assert breaker.why == "circuit breaker: 5 starts in a row that never became healthy"

    def test_one_that_works(self) -> None:
        """A child that shows that it works makes up for starts that failed."""
        breaker = Breaker(Circuit())
        for now in range(100):
            breaker.failed(now)
            if now % 3 == 0:
                breaker.healthy()
        assert breaker.is_closed

    def test_never(self) -> None:
        """A circuit breaker can be configured never to open."""
        breaker = Breaker(Circuit(restarts=0))
        ended(breaker, *range(100), was_healthy=False)
        for now in range(100):
            breaker.failed(now)
        assert breaker.is_closed
        assert breaker.allows(100)


class ClosingTests:
    """The success that closes a circuit breaker."""

    @pytest.fixture
    def breaker(self) -> Breaker:
        """A breaker that has opened at 0."""
        breaker = Breaker(Circuit())
        for _ in range(5):
            breaker.failed(0)
        return breaker

    def test_one_try(self, breaker: Breaker) -> None:
        """After five minutes one try is let through, and no other beside it."""
        assert not breaker.allows(299)
        assert breaker.allows(300)
        breaker.began()
        assert not breaker.allows(301)

    def test_a_try_that_succeeds(self, breaker: Breaker) -> None:
        """The server is as good as new once its child has shown that it works."""
        breaker.began()
        breaker.ready()
        assert breaker.is_closed
        breaker.healthy()
        for now in range(4):
            breaker.failed(now)
        assert breaker.is_closed

    def test_a_try_that_succeeds_for_a_moment(self, breaker: Breaker) -> None:
        """A child that ends before it has shown anything was no success."""
        breaker.began()
        breaker.ready()
        breaker.ended(301, was_healthy=False)
        assert not breaker.is_closed
        assert breaker.opens_at == 301 + 600

    def test_tries_that_fail(self, breaker: Breaker) -> None:
        """A failed attempt doubles the wait, up to an hour; a success resets it."""
        waits = []
        now = 300.0
        for _ in range(6):
            breaker.began()
            breaker.failed(now)
            assert breaker.opens_at is not None
            waits.append(breaker.opens_at - now)
            now = breaker.opens_at
        assert waits == [600, 1200, 2400, 3600, 3600, 3600]
        breaker.began()
        breaker.ready()
        breaker.healthy()
        for _ in range(5):
            breaker.failed(now)
        assert breaker.opens_at == now + 300

    def test_a_try_that_was_called_off(self, breaker: Breaker) -> None:
        """The try is still to be had."""
        breaker.began()
        breaker.called_off()
        assert breaker.allows(301)

    def test_only_by_an_operator(self) -> None:
        """Without ``auto_reset`` time does not help."""
        breaker = Breaker(Circuit(auto_reset=False))
        for _ in range(5):
            breaker.failed(0)
        assert not breaker.allows(10**9)
        breaker.reset()
        assert breaker.allows(0)
        assert breaker.failures == 0


class BreakerWalk(RuleBasedStateMachine):
    """Any history of a breaker: no second attempt runs beside one, and no wait exceeds an hour."""

    @initialize(restarts=st.integers(0, 6), auto_reset=st.booleans())
    def make(self, restarts: int, auto_reset: bool) -> None:  # noqa: FBT001 - drawn
        self.now = 0
        self.breaker = Breaker(Circuit(restarts=restarts, auto_reset=auto_reset))

    @rule(seconds=st.integers(0, 4000))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def start(self) -> None:
        if self.breaker.allows(self.now):
            self.breaker.began()
            assert self.breaker.is_closed or not self.breaker.allows(self.now)

    @rule()
    def fail(self) -> None:
        self.breaker.failed(self.now)

    @rule()
    def ready(self) -> None:
        self.breaker.ready()

    @rule()
    def healthy(self) -> None:
        self.breaker.healthy()

    @rule(was_healthy=st.booleans())
    def end(self, was_healthy: bool) -> None:  # noqa: FBT001 - drawn
        self.breaker.ended(self.now, was_healthy=was_healthy)

    @rule()
    def call_off(self) -> None:
        self.breaker.called_off()

    @rule()
    def reset(self) -> None:
        self.breaker.reset()
        assert self.breaker.allows(self.now)

    @invariant()
    def holds(self) -> None:
        breaker = self.breaker
        assert breaker.circuit.restarts or breaker.is_closed
        assert not (breaker.is_trying and breaker.is_closed)
        assert not breaker.is_closed or breaker.allows(self.now)
        if breaker.opens_at is not None:
            assert breaker.circuit.auto_reset
            assert not breaker.is_closed
            assert breaker.opens_at <= self.now + LONGEST_S


HistoryTests = BreakerWalk.TestCase


class OtherNumbersTests:
    """Settings that change while the breaker counts."""

    def opened(self) -> Breaker:
        """A breaker that has opened at the time 0."""
        breaker = Breaker(Circuit(restarts=2, open_s=100.0))
        breaker.failed(0.0)
        breaker.failed(0.0)
        assert not breaker.is_closed
        return breaker

    def test_no_longer_than_before(self) -> None:
        """An open breaker waits as long as it is configured now, and not longer than before."""
        breaker = self.opened()
        breaker.configure(Circuit(open_s=1000.0), 10.0)
        assert breaker.opens_at == 100.0
        breaker.configure(Circuit(open_s=5.0), 20.0)
        assert breaker.opens_at == 25.0

    def test_by_itself_or_not(self) -> None:
        """A setting for new attempts counts for an open breaker, too."""
        breaker = self.opened()
        breaker.configure(Circuit(auto_reset=False), 10.0)
        assert breaker.opens_at is None
        breaker.configure(Circuit(open_s=50.0), 20.0)
        assert breaker.opens_at == 70.0

    def test_never(self) -> None:
        """A server that is never to be given up may be started at once."""
        breaker = self.opened()
        breaker.configure(Circuit(restarts=0), 10.0)
        assert breaker.is_closed

    def test_fewer(self) -> None:
        """Failures that were counted before count on."""
        breaker = Breaker(Circuit(restarts=5))
        for at in (1.0, 2.0, 3.0):
            breaker.ended(at, was_healthy=True)
        breaker.configure(Circuit(restarts=2), 4.0)
        breaker.ended(5.0, was_healthy=True)
        assert breaker.why == "circuit breaker: 2 restarts in 5m0s"
