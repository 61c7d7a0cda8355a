"""The size of the gateway in each minute of the last day: its memory, the processes of its servers, and sessions."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from mcpgateway.observe.timeline import MINUTE_S, MINUTES
from mcpgateway.records import Record

Measure = Callable[[], tuple[int, int, int]]
"""Returns the gateway's resident bytes, the number of its servers' processes, and that of sessions."""


class Gauges(Record):
    """The sizes at the end of each minute; a day of them takes 0.4 MB.

    :ivar wall: returns epoch seconds.
    :ivar measure: looks once a minute, and for a reader.
    """

    wall: Callable[[], float]
    measure: Measure
    _known: deque[tuple[int, tuple[int, int, int]]] = msgspec.field(
        default_factory=lambda: deque(maxlen=MINUTES)
    )
    _at: int = 0

    def tick(self) -> None:
        """Look when a minute is over; called once a second."""
        now = int(self.wall() // MINUTE_S)
        if now != self._at:
            if self._at:
                self._known.append((self._at, self.measure()))
            self._at = now

    def by_minute(self) -> dict[int, dict[str, Any]]:
        """Return the sizes of each known minute, by its number since the epoch; the last is the current one."""
        now = int(self.wall() // MINUTE_S)
        return {at: _row(found) for at, found in (*self._known, (now, self.measure()))}


UNKNOWN: dict[str, None] = {"memory_mb": None, "processes": None, "sessions": None}


def _row(found: tuple[int, int, int]) -> dict[str, Any]:
    return dict(zip(UNKNOWN, (round(found[0] / 2**20, 1), *found[1:]), strict=True))
