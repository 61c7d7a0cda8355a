"""The end of a running child: stopped without use, or replaced when it takes too much memory or time."""

from __future__ import annotations

from attrs import define, frozen

from mcpgateway.config.model import Lazy

LOOK_S = 30.0
GUARD_S = 5.0  # on top of what its entry says, so that nobody who is about to come back finds it gone
LOOKS = 4  # at least so often within the time, where that is short
TASK_S = 3600.0  # a task that was begun may go on unseen for so long


@frozen
class Use:
    """The use of a child at a moment.

    :ivar requests: how many requests it has been sent so far.
    :ivar is_busy: calls are under way or waiting.
    :ivar is_held: a stream or a subscription is open.
    :ivar has_tasks: it has begun tasks that may still run.
    """

    requests: int
    is_busy: bool = False
    is_held: bool = False
    has_tasks: bool = False


@define
class Idling:
    """How long one child has not been used, as far as was seen by looking now and then."""

    _since: float
    _requests: int = 0

    def is_over(self, use: Use, lazy: Lazy, now: float) -> bool:
        """Whether it is to be stopped, given its use now."""
        if use.is_busy or use.is_held or use.requests != self._requests:
            self._since, self._requests = now, use.requests
            return False
        limit = max(lazy.idle_s, TASK_S) if use.has_tasks else lazy.idle_s
        return lazy.idle_s > 0 and now - self._since >= limit + GUARD_S


def look_s(lazy: Lazy) -> float:
    """The seconds between two looks."""
    return max(1.0, min(LOOK_S, lazy.idle_s / LOOKS))


def excess(lazy: Lazy, resident: int, age_s: float) -> str:
    """Why a child is to be replaced as soon as no call is under way; empty where it is not.

    :param resident: the bytes its whole process tree takes; 0 where that is not known.
    """
    if lazy.ram_bytes and resident > lazy.ram_bytes:
        return f"its processes take {_mb(resident)} MB of the {_mb(lazy.ram_bytes)} MB they may take"
    if lazy.uptime_s and age_s >= lazy.uptime_s:
        return f"it has run for {lazy.uptime_s:g} s, as long as it may"
    return ""


def _mb(size: int) -> int:
    return round(size / 2**20)
