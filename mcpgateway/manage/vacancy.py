"""Measure how long the gateway has been idle."""

from __future__ import annotations

from collections.abc import Callable

from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.records import Record


def _is_not() -> bool:
    return False


class IdleTime(Record):
    """Counts the seconds in which the gateway is idle.

    A session, a stream and a call are use for as long as they last; a call between two ticks is use as well, and is
    noticed by the number of requests that servers have been sent.

    :param listens: returns True while a stream is open that belongs to no single server.
    """

    _dispatcher: LegacyDispatcher
    _listens: Callable[[], bool] = _is_not
    _ticks: int = 0
    _requests: int = -1

    def tick(self) -> int:
        """Count a second; return for how many seconds the gateway has been idle."""
        requests = sum(slot.requests for slot in self._dispatcher.pool)
        is_used = requests != self._requests or self._is_used()
        self._requests = requests
        self._ticks = 0 if is_used else self._ticks + 1
        return self._ticks

    def _is_used(self) -> bool:
        held = any(slot.is_used or (slot.is_up and slot.tasks.have_begun) for slot in self._dispatcher.pool)
        return (
            held or self._listens() or len(self._dispatcher.sessions) > 0 or len(self._dispatcher.calls) > 0
        )

    def begin(self) -> None:
        """Restart the count."""
        self._ticks = 0
