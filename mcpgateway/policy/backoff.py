"""How long something that has failed stays away before it is tried again unasked."""

from __future__ import annotations

FIRST_S = 5.0
LONGEST_S = 300.0
SPREAD = 0.1  # so that what failed together does not come back together
STEADY_S = 300  # whatever has run for so long has left its failures behind


def delay_s(failures: int, chance: float = 0.5) -> float:
    """The seconds until the next try, after so many failures in a row before this one: about 5, 10, 20 ... 300.

    :param chance: at least 0 and less than 1, at random; 0.5 gives exactly those numbers.
    """
    whole = min(FIRST_S * 2.0 ** min(failures, 10), LONGEST_S)
    return whole * (1 - SPREAD + 2 * SPREAD * chance)


def probe_delay_s(probes: int) -> float:
    """The seconds until the next look whether an address answers, after so many looks in vain."""
    return PROBE_S if probes < QUICK_PROBES else SLOW_PROBE_S


QUICK_PROBES = 5
PROBE_S = 60.0
SLOW_PROBE_S = 300.0
