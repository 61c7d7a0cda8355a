"""One delayed call of the reactor for all timers of the same second, by txaio's batched timers.

Streams and connections come by the thousand, and each has a timer that seldom fires.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime
from txaio import tx

BATCH_S = 1.0


def batched_timer(clock: IReactorTime) -> Any:
    """Make a timer: its ``call_later(delay_s, function, *args)`` is up to a second early, and returns a call to cancel.

    Source: ``IBatchedTimer`` of https://txaio.readthedocs.io.
    """
    config: Any = tx.config
    config.loop = clock  # one for the process, as the reactor is
    return tx.make_batched_timer(BATCH_S)
