"""The reasons to stop a child - no use, too much memory or time, a shortage of memory - and to freeze one.

A child is idle as long as it gets no request of a client.  With ``freeze: auto`` it stays awake when it may have work
of its own: it has shown a socket at any time, uses CPU time, sends messages unasked, or a client is subscribed to it.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from mcpgateway.config.model import Freeze, Lazy
from mcpgateway.config.sleep import Relief
from mcpgateway.policy.stuck_calls import CPU_NOISE_S, CPU_SHARE
from mcpgateway.records import FrozenRecord, Record
from mcpgateway.units import duration, size

LOOK_S = 30.0
GUARD_S = 5.0  # beyond the entry's time, so that a client that is about to send its next request still finds the child
LOOKS = 4  # the least number of checks within a short time
TASK_S = 3600.0  # the longest that a task is presumed to run on without a request
HURRY_S = 60.0  # idle time after which a child is frozen where memory is short, at the latest
LOOK_SHARE = 0.5  # of the idle time, after which a child's processes are looked at for the first time
WORKS, SPEAKS, HEARD = "it works on its own", "it sends messages unasked", "a client is subscribed to it"


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


class SleepUse(FrozenRecord, frozen=True):
    """The use of a child at a moment.

    :ivar requests: the number of clients' requests sent to it so far.
    :ivar unasked: the number of its messages so far that answer nothing.
    :ivar is_busy: it has something to answer, or its task or question may be open.
    :ivar is_subscribed: a client waits for its notifications.
    """

    requests: int
    unasked: int
    is_busy: bool
    is_subscribed: bool


class OwnWork(FrozenRecord, frozen=True):
    """The signs that a child works without a request.

    :ivar cpu_s: the CPU time that its processes have used so far.
    :ivar sockets: the sockets that they have to the outside, in words; empty for none.
    """

    cpu_s: float
    sockets: str


class Drowsiness(Record):
    """The time for which one child was idle; times are seconds of a monotonic clock.

    :ivar since: the time of its last request.
    :ivar awake_for: the reason why it was not frozen when its time had come; empty for none.
    """

    since: float
    awake_for: str = ""
    _requests: int = 0
    _unasked: int = 0
    _seen: OwnWork | None = None
    _seen_at: float = 0.0

    def uses(self, use: SleepUse, now: float) -> None:
        """Take its use now: what it has to do, and each request since the last call, begins its idle time anew."""
        if use.is_busy or use.requests != self._requests:
            self.begin(use, now)

    def begin(self, use: SleepUse, now: float) -> None:
        """Begin its idle time."""
        self.since, self._seen, self._requests = now, None, use.requests

    def is_to_look(self, now: float, after_s: float) -> bool:
        """True if its processes are to be looked at now: once on the way, and when its time has come."""
        return now - self.since >= (after_s * LOOK_SHARE if self._seen is None else after_s)

    def sees(self, work: OwnWork, use: SleepUse, now: float, freeze: Freeze) -> bool:
        """Take a look at its processes; true if it is to be frozen now."""
        former, self._seen = self._seen, work
        if former is None:
            self._seen_at, self._unasked = now, use.unasked
            return False
        why = self._sign(work, work.cpu_s - former.cpu_s, use, now)
        is_due = freeze is Freeze.ALWAYS or (freeze is Freeze.AUTO and not why)
        self.awake_for = "" if is_due else why
        if not is_due:
            self.begin(use, now)
        return is_due

    def _sign(self, work: OwnWork, cpu_s: float, use: SleepUse, now: float) -> str:
        if work.sockets:
            return work.sockets
        if cpu_s > CPU_NOISE_S + CPU_SHARE * (now - self._seen_at):
            return WORKS
        if use.unasked != self._unasked:
            return SPEAKS
        return HEARD if use.is_subscribed else ""


class ReliefCandidate(Struct, frozen=True):
    """A child that runs.

    :ivar pid: its process.
    :ivar idle_s: the seconds since its last request.
    :ivar resident: the bytes of its whole process tree.
    :ivar is_needed: it has something to answer, a client listens to it, or it is to run in any case.
    :ivar is_stateless: it keeps nothing between calls, and its lists are known without it.
    :ivar is_asleep: it is frozen.
    :ivar is_paged_out: its memory was given back since it was frozen.
    """

    pid: int
    idle_s: float
    resident: int
    is_needed: bool
    is_stateless: bool
    is_asleep: bool
    is_paged_out: bool


class ReliefAct(Struct, frozen=True):
    """The decision to stop a child, or to give back its memory only."""

    pid: int
    stops: bool


def relieve(children: Iterable[ReliefCandidate], relief: Relief) -> ReliefAct | None:
    """Return the next act for a machine that is short of memory; None where nothing may be done.

    Children without state are stopped first, then frozen ones are paged out, then those are stopped, if they may be.
    Of several, it is the one with the largest product of idle time and memory.
    """
    steps: dict[int, list[ReliefCandidate]] = {}
    for each in children:
        step = _step(each, relief)
        if step is not None:
            steps.setdefault(step, []).append(each)
    if not steps:
        return None
    first = min(steps)
    victim = max(steps[first], key=lambda each: each.idle_s * each.resident)
    return ReliefAct(victim.pid, stops=first != _PAGE_OUT)


_STOP_STATELESS, _PAGE_OUT, _STOP_ASLEEP = range(3)
REST_S = 10.0  # that a child is left alone after its last request


def _step(child: ReliefCandidate, relief: Relief) -> int | None:
    if relief is Relief.OFF or child.is_needed or child.idle_s < REST_S:
        return None
    if child.is_stateless:
        return _STOP_STATELESS
    if not child.is_asleep:
        return None
    if not child.is_paged_out:
        return _PAGE_OUT
    return _STOP_ASLEEP if relief is Relief.ASLEEP else None
