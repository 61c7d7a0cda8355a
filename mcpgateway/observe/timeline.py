"""The requests to servers in each minute of the last day.

A request costs nothing here: once a minute the growth of the counters is recorded.  Minutes without requests take no
memory.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from mcpgateway.hub.meters import Meters
from mcpgateway.records import FrozenRecord, Record

MINUTES = 1440
MINUTE_S = 60


class _Counts(FrozenRecord, frozen=True):
    """The counts of requests at one moment.

    :ivar by_server: the number of requests of each server, by its place.
    """

    requests: int = 0
    errors: int = 0
    total_s: float = 0.0
    by_server: array[int] = msgspec.field(default_factory=lambda: array("Q"))


class _Minute(FrozenRecord, frozen=True):
    """The requests in one minute.

    :ivar at: its number since the epoch.
    :ivar shares: place and number of requests of each used server, alternating.
    """

    at: int
    requests: int
    errors: int
    total_s: float
    shares: array[int]


class Timeline(Record):
    """The minutes of the last day.

    :ivar wall: returns epoch seconds.
    """

    _meters: Meters
    wall: Callable[[], float]
    _minutes: deque[_Minute] = msgspec.field(default_factory=lambda: deque(maxlen=MINUTES))
    _names: dict[str, int] = msgspec.field(default_factory=dict)  # the place of each server
    _before: _Counts = msgspec.field(default_factory=_Counts)
    _at: int = 0

    def tick(self) -> None:
        """Record a minute when it is over; called once a second."""
        now = int(self.wall() // MINUTE_S)
        if now == self._at:
            return
        if self._at:
            counts = self._counted()
            minute = self._grown(counts)
            if minute.requests:
                self._minutes.append(minute)
            self._before = counts
        self._at = now

    def shown(self, minutes: int) -> list[dict[str, Any]]:
        """Return the latest minutes in S000's format, oldest first; the last is the current one."""
        now = int(self.wall() // MINUTE_S)
        known = {each.at: each for each in self._minutes}
        current = self._grown(self._counted())
        known[current.at or now] = current
        names = list(self._names)
        return [_shown(at, known.get(at), names) for at in range(now - minutes + 1, now + 1)]

    def _counted(self) -> _Counts:
        requests = errors = 0
        total_s = 0.0
        by_server: dict[int, int] = {}
        for meter in self._meters:
            place = self._names.setdefault(meter.name, len(self._names))
            asked = 0
            for row in meter:
                asked += row.requests
                errors += row.errors
                total_s += row.total_s
            by_server[place] = asked
            requests += asked
        shares = array("Q", (by_server.get(place, 0) for place in range(len(self._names))))
        return _Counts(requests, errors, total_s, shares)

    def _grown(self, counts: _Counts) -> _Minute:
        before, shares = self._before, array("L")
        for place, asked in enumerate(counts.by_server):
            grown = asked - (before.by_server[place] if place < len(before.by_server) else 0)
            if grown:
                shares.extend((place, grown))
        return _Minute(
            self._at,
            counts.requests - before.requests,
            counts.errors - before.errors,
            counts.total_s - before.total_s,
            shares,
        )


def _shown(at: int, minute: _Minute | None, names: list[str]) -> dict[str, Any]:
    shares = minute.shares if minute is not None else array("L")
    return {
        "minuteTs": at * MINUTE_S * 1000,
        "requests": minute.requests if minute is not None else 0,
        "errors": minute.errors if minute is not None else 0,
        "totalMs": round(minute.total_s * 1000, 3) if minute is not None else 0,
        "perServer": {names[place]: asked for place, asked in zip(shares[::2], shares[1::2], strict=True)},
    }
