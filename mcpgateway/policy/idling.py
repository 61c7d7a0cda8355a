"""The reasons to stop a child: no use, or too much memory or time."""

from __future__ import annotations

from mcpgateway.config.model import Lazy
from mcpgateway.records import FrozenRecord, Record
from mcpgateway.units import duration, size

LOOK_S = 30.0
GUARD_S = 5.0  # beyond the entry's time, so that a client that is about to send its next request still finds the child
LOOKS = 4  # the least number of checks within a short time
TASK_S = 3600.0  # the longest that a task is presumed to run on without a request


class ChildUse(FrozenRecord, frozen=True):
    """The use of a child at a moment.

    :ivar requests: the number of requests sent to it so far.
    :ivar is_busy: calls are under way or waiting.
    :ivar is_held: a stream or a subscription is open.
    :ivar has_tasks: the child has begun tasks that may still run.
    """

    requests: int
    is_busy: bool = False
    is_held: bool = False
    has_tasks: bool = False


class Idling(Record):
    """The time for which one child has not been used, as far as periodic checks show it."""

    _since: float
    _requests: int = 0

    def is_over(self, use: ChildUse, lazy: Lazy, now: float) -> bool:
        """True if the child is to be stopped, given its use now."""
        if use.is_busy or use.is_held or use.requests != self._requests:
            self._since, self._requests = now, use.requests
            return False
        limit = max(lazy.idle_s, TASK_S) if use.has_tasks else lazy.idle_s
        return lazy.idle_s > 0 and now - self._since >= limit + GUARD_S


def look_s(lazy: Lazy) -> float:
    """Return the seconds between two checks of a child's use."""
    return max(1.0, min(LOOK_S, lazy.idle_s / LOOKS))


def excess(lazy: Lazy, resident: int, age_s: float) -> str:
    """Return why a child is to be replaced as soon as no call is under way; empty where it is not.

    :param resident: the bytes that its whole process tree uses; 0 where that is not known.
    :param age_s: the seconds since its start.
    """
    if lazy.ram_bytes and resident > lazy.ram_bytes:
        return f"its processes take {size(resident)} of the {size(lazy.ram_bytes)} they may take"
    if lazy.uptime_s and age_s >= lazy.uptime_s:
        return f"it has run for {duration(lazy.uptime_s)}, as long as it may"
    return ""
