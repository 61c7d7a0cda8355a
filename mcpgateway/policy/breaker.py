"""The circuit breaker of a server that keeps failing.

One breaker counts for all instances of a server.  A *closed* breaker lets the server be started.  The breaker opens
when the server has failed too often, and allows one try when it has been open for a while: a try that succeeds closes
it, one that fails doubles the wait.  A child that has only done its handshake has succeeded on probation.
"""

from __future__ import annotations

import math
from collections import deque

from attrs import define, field

from mcpgateway.config.gateway_settings import Circuit

LONGEST_S = 3600.0


@define(eq=False, repr=False)
class Breaker:
    """The breaker of one server; times are seconds of a monotonic clock.

    :ivar why: the reason for which the breaker was opened; empty while it is closed.
    :ivar opens_at: the time of the next try; None where the breaker is closed, or waits for an operator.
    :ivar is_trying: the one try is under way.
    :ivar failures: the number of failed starts in a row.
    """

    circuit: Circuit
    why: str = ""
    opens_at: float | None = None
    is_trying: bool = False
    failures: int = 0
    _wait_s: float = field(init=False)
    _ends: deque[float] = field(init=False)
    _is_on_probation: bool = False

    def __attrs_post_init__(self) -> None:
        self._ends = deque(maxlen=max(self.circuit.restarts, 1))
        self._wait_s = self.circuit.open_s

    def configure(self, circuit: Circuit, now: float) -> None:
        """Use these numbers from now on; an open breaker waits as they say, and no longer than it would have."""
        self.circuit = circuit
        self._ends = deque(self._ends, maxlen=max(circuit.restarts, 1))
        self._wait_s = circuit.open_s
        if self.is_closed:
            return
        if not circuit.restarts:
            self.reset()
        elif not circuit.auto_reset:
            self.opens_at = None
        else:
            self.opens_at = min(now + circuit.open_s, math.inf if self.opens_at is None else self.opens_at)

    @property
    def is_closed(self) -> bool:
        """True if the server may be started at all."""
        return not self.why

    @property
    def wait_s(self) -> float:
        """The seconds for which the breaker stays open, or will when it opens next."""
        return self._wait_s

    def ends_within(self, now: float) -> int:
        """Return the number of unexpected ends of children within the window."""
        return sum(now - each <= self.circuit.window_s for each in self._ends)

    def allows(self, now: float) -> bool:
        """True if the server may be started now; the caller reports the start of the one try by `began`."""
        if self.is_closed:
            return True
        return not self.is_trying and self.opens_at is not None and now >= self.opens_at

    def began(self) -> None:
        """Record that a start is under way."""
        self.is_trying = not self.is_closed

    def called_off(self) -> None:
        """Record that the start under way was stopped on purpose: the try remains available."""
        self.is_trying = False

    def ready(self) -> None:
        """Record that a child has done its handshake."""
        if not self.is_closed and self.is_trying:
            self.why, self.opens_at, self.is_trying = "", None, False
            self._is_on_probation = True
            self._clear()

    def healthy(self) -> None:
        """Record that a child has proved to work."""
        self.failures = 0
        if self.is_closed and self._is_on_probation:
            self._is_on_probation = False
            self._wait_s = self.circuit.open_s

    def failed(self, now: float) -> None:
        """Record that a child could not be started."""
        self.failures += 1
        if self._fails_try() or self.failures >= self.circuit.restarts:
            self._open(now, f"circuit breaker: {self.failures} failed starts")

    def ended(self, now: float, *, was_healthy: bool) -> None:
        """Record that a child has ended unexpectedly after its handshake."""
        circuit = self.circuit
        self.failures = 0 if was_healthy else self.failures + 1
        # Each end before this one was followed by a restart.
        is_full = len(self._ends) >= circuit.restarts > 0 and now - self._ends[0] <= circuit.window_s
        self._ends.append(now)
        if is_full:
            self._open(now, f"circuit breaker: {circuit.restarts} restarts in {_minutes(circuit.window_s)}")
        elif self._fails_try() or self.failures >= circuit.restarts:
            self._open(now, f"circuit breaker: {self.failures} starts in a row that never became healthy")

    def _fails_try(self) -> bool:
        return self.is_trying or (self._is_on_probation and self.failures > 0)

    def _open(self, now: float, why: str) -> None:
        if not self.circuit.restarts or not (self.is_closed or self.is_trying):
            return  # never opens, or is open already, and the report is of an earlier instance
        if self.is_trying or self._is_on_probation:
            self._wait_s = min(self._wait_s * 2, max(LONGEST_S, self.circuit.open_s))
            why = "circuit breaker: tried once more, and failed again"
        self.why = why
        self.opens_at = now + self._wait_s if self.circuit.auto_reset else None
        self.is_trying = self._is_on_probation = False

    def reset(self) -> None:
        """Close the breaker for an operator, and forget all failures."""
        self.why, self.opens_at, self.is_trying, self._is_on_probation = "", None, False, False
        self._wait_s = self.circuit.open_s
        self._clear()

    def _clear(self) -> None:
        self._ends.clear()
        self.failures = 0


def _minutes(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60}m{whole % 60}s"
