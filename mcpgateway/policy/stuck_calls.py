"""When a child that runs and has calls to answer is taken for stuck.

=============================================== ========================================================
seen for as long as the limit                    the child is
=============================================== ========================================================
it says something, or its processes use CPU time at work
it says nothing and is stopped (state T)         stuck
it says nothing, uses none, answers no pings     stuck
it says nothing, uses none, answers pings        waiting for something, and free for other calls
=============================================== ========================================================

A child that waits for the network in its only thread looks just the same as one that hangs.  So nothing is taken from
one that is stuck: it keeps the calls that it has.
"""

from __future__ import annotations

from attrs import define, frozen

PINGS = 2  # so many in a row have to stay without an answer
SUSPECT_SHARE = 0.25  # of the limit; only then its processes are looked at
LOOK_SHARE = 1 / 12  # between two looks at them
# CPU time of an idle program's timers and threads: as a share of the time, and at least.
CPU_SHARE, CPU_NOISE_S = 0.005, 0.02

STOPPED = "it is stopped (state T)"
SILENT = "it says nothing, does nothing and answers no pings"


@frozen
class ProcessActivity:
    """The activity of a child's processes.

    :ivar is_stopped: its own process is stopped, as by SIGSTOP or a debugger.
    :ivar cpu_s: the CPU time that all of them have used so far.
    """

    is_stopped: bool
    cpu_s: float


@define
class Stillness:
    """How long a child has shown no sign of life; times are seconds of a clock that does not go back.

    :ivar since: when the last sign was seen.
    """

    since: float
    _heard: int = -1
    _cpu_s: float | None = None  # at the first look since then
    _looked_at: float = 0.0
    _is_stopped: bool = False

    def begin(self, now: float) -> None:
        """Count from now on: there was a sign of life, or there was nothing to do."""
        self.since, self._cpu_s = now, None

    def hears(self, heard: int, now: float) -> bool:
        """Whether the child has said something since this was asked last.

        :param heard: how much it has said in all.
        """
        if heard == self._heard:
            return False
        self._heard = heard
        self.begin(now)
        return True

    def is_suspect(self, now: float, limit_s: float) -> bool:
        """Whether its processes are worth a look."""
        return now - self.since >= limit_s * SUSPECT_SHARE

    def sees(self, activity: ProcessActivity, now: float) -> None:
        """Record the activity of its processes."""
        self._is_stopped = activity.is_stopped
        if self._cpu_s is None:
            self._cpu_s, self._looked_at = activity.cpu_s, now
            return
        idle_s = CPU_NOISE_S + CPU_SHARE * (now - self._looked_at)
        if not activity.is_stopped and activity.cpu_s - self._cpu_s > idle_s:
            self.begin(now)

    def fault(self, now: float, limit_s: float, unanswered: int) -> str:
        """Return why it is stuck; empty where it is not, or where that is unknown.

        :param unanswered: how many pings in a row it has not answered.
        """
        if self._cpu_s is None or now - self.since < limit_s:
            return ""
        if self._is_stopped:
            return STOPPED
        return SILENT if unanswered >= PINGS else ""


def look_s(limit_s: float) -> float:
    """The seconds between two looks at its processes."""
    return max(1.0, limit_s * LOOK_SHARE)
