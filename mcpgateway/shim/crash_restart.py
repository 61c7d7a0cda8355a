"""Start a killed gateway again while it is wanted: at once, then with longer and longer pauses."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the builtin half of signal, which would load enum and more
from time import sleep, time

from mcpgateway.shim import startup

LOOK_S = 0.2
AT_ONCE_S = 0.0  # a gateway that was killed once is most likely not the cause
TAKEN_LIMIT_S = 5.0  # a lock that is held for longer is held by a gateway
START_LIMIT_S = 120.0  # a gateway that does not listen by then hangs, and its user has to act


def revive(home: str, pauses: tuple[float, ...] = ()) -> None:
    """Start the gateway; return when one runs, or when none is wanted any more."""
    _signal.signal(_signal.SIGTERM, _signal.SIG_DFL)  # no children are left that its end would orphan
    pauses = pauses or (AT_ONCE_S, *startup.PAUSES_S)
    try:
        startup.write_crash(home, time())
    except OSError:
        pass  # then only the log has it
    while True:
        record = startup.record_of(home)
        failures = record.failures(startup.clock())
        # A gateway that ran for long counts as having failed for the first time.
        pause = pauses[min(max(failures, 1), len(pauses)) - 1]
        when = f"in {pause:g} s" if pause else "at once"
        _say(home, f"the gateway has gone without a word; it is started again {when}")
        if not _waited(home, record, pause):
            return
        try:
            if not _was_started(home):
                return
        except OSError as why:
            _say(home, f"the gateway cannot be started again: {why.strerror}")
            continue
        _say(home, "the gateway is started again")
        if _has_begun(home):
            return


def _waited(home: str, record: startup.StartRecord, pause_s: float) -> bool:
    """Wait, while a file has the time of the next start; true if the gateway is still away and wanted then."""
    try:
        startup.write_due(home, startup.REVIVAL, int(startup.clock() + pause_s * 1000))
    except OSError:
        pass  # then only the log has the time
    try:
        return _is_still_away(home, record, pause_s)
    finally:
        try:
            startup.forget(home, startup.REVIVAL)
        except OSError:
            pass


def _is_still_away(home: str, found: startup.StartRecord, pause_s: float) -> bool:
    # A starter writes its record into the lock's file.  The lock itself is not tried: the starter might find it taken.
    ends = startup.clock() + pause_s * 1000
    while _is_wanted(home) and startup.record_of(home).at_ms == found.at_ms:
        left = ends - startup.clock()
        if left <= 0:
            return True
        sleep(min(LOOK_S, left / 1000))
    return False


def _was_started(home: str) -> bool:
    """Start the gateway, unless it is not wanted any more; true if it was started.

    :raise OSError: the home cannot be used.
    """
    ends = startup.clock() + TAKEN_LIMIT_S * 1000
    while not startup.Starter(home).start_wanted(None):
        # A program that only asks whether a gateway runs has the lock for a moment.
        if not _is_wanted(home) or startup.clock() > ends:
            return False
        sleep(LOOK_S)
    return True


def _has_begun(home: str) -> bool:
    """True if the started gateway listens; false where it has ended again."""
    ends = startup.clock() + START_LIMIT_S * 1000
    while startup.clock() < ends:
        if startup.record_of(home).word != startup.TRIED or not _is_wanted(home):
            return True
        if not startup.is_held(home):
            # It may have written `UP`, and ended, between the two checks.
            return startup.record_of(home).word != startup.TRIED
        sleep(LOOK_S)
    return True


def _is_wanted(home: str) -> bool:
    return startup.read_wanted(home) is not None


def _say(home: str, text: str) -> None:
    startup.write_log(home, "mcpgateway.revival", text)
