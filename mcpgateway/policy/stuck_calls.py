"""The rule by which a child that runs and has calls to answer counts as stuck.

=============================================== ========================================================
observed for as long as the limit                the child is
=============================================== ========================================================
it writes something, or its processes use CPU    at work
it writes nothing and is stopped (state T)       stuck
it writes nothing, uses none, answers no pings   stuck
it writes nothing, uses none, answers pings      waiting for something, and free for other calls
=============================================== ========================================================

A child that waits for the network in its only thread looks just the same as one that hangs.  So a stuck child keeps the
calls that it has.
"""

from __future__ import annotations

from msgspec import Struct

from mcpgateway.records import Record

PINGS = 2  # so many in a row have to stay without an answer
SUSPECT_SHARE = 0.25  # of the limit, after which the child's processes are measured
LOOK_SHARE = 1 / 12  # of the limit, between two measurements
# CPU time of an idle program's timers and threads: as a share of the time, and at least.
CPU_SHARE, CPU_NOISE_S = 0.005, 0.02

STOPPED = "it is stopped (state T)"
SILENT = "it says nothing, does nothing and answers no pings"


class ProcessActivity(Struct, frozen=True):
    """The activity of a child's processes.

    :ivar is_stopped: the child's own process is stopped, as by SIGSTOP or a debugger.
    :ivar cpu_s: the CPU time that all of them have used so far.
    """

    is_stopped: bool
    cpu_s: float


class StuckTime(Record):
    """The time for which a child has shown no sign of life; times are seconds of a monotonic clock.

    :ivar since: the time of the last sign.
    """

    since: float
    _output: int = -1
    _cpu_s: float | None = None  # at the first look since then
    _looked_at: float = 0.0
    _is_stopped: bool = False

    def begin(self, now: float) -> None:
        """Count from now on: there was a sign of life, or no call was under way."""
        self.since, self._cpu_s = now, None

    def hears(self, output: int, now: float) -> bool:
        """True if the child has written something since the last call of this method.

        :param output: the amount of the child's output so far.
        """
        if output == self._output:
            return False
        self._output = output
        self.begin(now)
        return True

    def is_suspect(self, now: float, limit_s: float) -> bool:
        """True if the child's processes are worth measuring."""
        return now - self.since >= limit_s * SUSPECT_SHARE

    def sees(self, activity: ProcessActivity, now: float) -> None:
        """Record the measured activity of the child's processes."""
        self._is_stopped = activity.is_stopped
        if self._cpu_s is None:
            self._cpu_s, self._looked_at = activity.cpu_s, now
            return
        idle_s = CPU_NOISE_S + CPU_SHARE * (now - self._looked_at)
        if not activity.is_stopped and activity.cpu_s - self._cpu_s > idle_s:
            self.begin(now)

    def fault(self, now: float, limit_s: float, unanswered: int) -> str:
        """Return why the child is stuck; empty where it is not, or where that is unknown.

        :param unanswered: the number of pings in a row without an answer.
        """
        if self._cpu_s is None or now - self.since < limit_s:
            return ""
        if self._is_stopped:
            return STOPPED
        return SILENT if unanswered >= PINGS else ""


def look_s(limit_s: float) -> float:
    """Return the seconds between two measurements of a child's processes."""
    return max(1.0, limit_s * LOOK_SHARE)
