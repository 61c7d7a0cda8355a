"""The timeout of a call that the gateway itself makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mcpgateway.errors import InvalidParams


class Deadline:
    """Ends a wait: after a time without progress, or after the limit of the whole call.

    :param over: called once, unless `stop` was.
    """

    def __init__(self, clock: Any, quiet_s: float, whole_s: float, over: Callable[[], None]) -> None:
        self._clock = clock
        self._quiet_s = quiet_s
        self._ends_at = clock.seconds() + whole_s
        self._timer: Any = clock.callLater(min(quiet_s, whole_s), self._ring)
        self._over = over

    def progressed(self) -> None:
        """Restart the timeout after progress, within the limit of the whole call."""
        if self._timer is not None:
            self._timer.reset(max(0.0, min(self._quiet_s, self._ends_at - self._clock.seconds())))

    def stop(self) -> None:
        """Stop the timeout: the wait has ended."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _ring(self) -> None:
        self._timer = None
        self._over()


def seconds_of(value: Any, default_s: float, most_s: float) -> float:
    """Return the seconds of a ``timeoutMs``, within a limit.

    :raise InvalidParams: the value is no number of milliseconds.
    """
    if value is None:
        return default_s
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise InvalidParams(
            '"timeoutMs" must be a number of milliseconds', f"such as {round(default_s * 1000)}"
        )
    return min(value / 1000, most_s)
