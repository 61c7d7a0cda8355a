"""Progress of ours, for a call whose server reports none.

# Note [Signs of life]
Claude Code gives up on a call over HTTP after five minutes without progress of that very call: comments of SSE, pings
and log messages do not count.  On stdio it waits for half an hour.  So a silent call is shown to live for as long as
its client would have waited for the server itself.

Progress has to increase (MCP 2025-11-25, basic/utilities/progress), and what the server will report next is not known.
So ours stays as close as possible above the server's latest value, and below zero before its first.
"""

from __future__ import annotations

from math import isfinite

SILENT_TICKS = 120  # between two signs; Claude Code looks every 30 s whether five minutes are over
PATIENCE_TICKS = 30 * 60
BEFORE_FIRST = -1e-6
SMALLEST_STEP = 2.0**-50  # of the value: four floating point numbers further
LARGEST = 2.0**40  # beyond it the smallest step is no longer far below 1


def next_value(theirs: float | None, ours: float | None) -> float | None:
    """What to report next, or None where nothing can be reported that is sure to stay in order.

    :param theirs: the server's latest value; None before its first.
    :param ours: what was reported since then; None if nothing was.
    """
    if theirs is None:
        return BEFORE_FIRST if ours is None else ours / 2
    latest = theirs if ours is None else ours
    if not isfinite(latest) or abs(latest) > LARGEST:
        return None
    return latest + max(abs(latest), -BEFORE_FIRST) * SMALLEST_STEP
