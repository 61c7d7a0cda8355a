"""How long a lost child stays away before it is replaced unasked."""

from __future__ import annotations

FIRST_TICKS = 5
LONGEST_TICKS = 300


def delay_ticks(failures: int) -> int:
    """The ticks until the next try, after so many failures in a row: 5, 10, 20 ... 300."""
    return int(min(FIRST_TICKS * 2 ** min(failures - 1, 10), LONGEST_TICKS))
