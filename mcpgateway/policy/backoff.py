"""The delays before a failed server or address is tried again."""

from __future__ import annotations

FIRST_S = 5.0
LONGEST_S = 300.0
SPREAD = 0.1  # so that servers that failed together are not restarted together
STEADY_S = 300  # a server that has run for so long has its failures forgotten


def delay_s(failures: int, chance: float = 0.5) -> float:
    """Return the seconds until the next try, after so many failures in a row before this one: about 5, 10, 20 ... 300.

    :param chance: at least 0 and less than 1, at random; 0.5 gives exactly those numbers.
    """
    whole = min(FIRST_S * 2.0 ** min(failures, 10), LONGEST_S)
    return whole * (1 - SPREAD + 2 * SPREAD * chance)


def probe_delay_s(probes: int) -> float:
    """Return the seconds until the next probe of an address, after so many probes without an answer."""
    return PROBE_S if probes < QUICK_PROBES else SLOW_PROBE_S


QUICK_PROBES = 5
PROBE_S = 60.0
SLOW_PROBE_S = 300.0
