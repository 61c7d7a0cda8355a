"""Progress that the gateway reports for a call whose server reports none.

# Note [Signs of life]
Claude Code gives up on a call over HTTP after five minutes without progress of that very call: comments of SSE, pings
and log messages do not count.  On stdio it waits for half an hour.  So the gateway reports progress for a silent call
for as long as the client would have waited for the server itself.

Progress has to increase (MCP 2025-11-25, basic/utilities/progress), and the server's next value is not known.  So the
gateway's values stay as close as possible above the server's latest value, and begin at zero before its first: some
clients take no negative value.  A later value of the server that is not above the gateway's is raised (`in_order`).
"""

from __future__ import annotations

from math import isfinite

SILENT_TICKS = 120  # between two reports; Claude Code checks every 30 s whether five minutes are over
PATIENCE_TICKS = 30 * 60
LEAST = 1e-6  # the least magnitude of which a step is taken as a part, for smaller values
SMALLEST_STEP = 2.0**-50  # of the value: four floating point numbers further
LARGEST = 2.0**40  # beyond it the smallest step is no longer far below 1


def next_value(server_value: float | None, gateway_value: float | None) -> float | None:
    """Return the next value to report; None where no value is sure to stay in order.

    :param server_value: the server's latest value; None before its first.
    :param gateway_value: the gateway's latest value since then; None for none.
    """
    if server_value is None and gateway_value is None:
        return 0.0
    latest = gateway_value if gateway_value is not None else server_value
    if latest is None or not isfinite(latest) or abs(latest) > LARGEST:
        return None
    return latest + max(abs(latest), LEAST) * SMALLEST_STEP


def in_order(server_value: float, last: float | None) -> float:
    """Return the value to report for a value of the server.

    :param last: the latest value reported to the client, after one of the gateway's; None before.
    """
    if last is None or server_value > last:
        return server_value
    raised = next_value(last, None)
    return server_value if raised is None else raised
