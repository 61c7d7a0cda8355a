"""The requests to servers in each minute of the last day.

A request costs nothing here: once a minute the growth of the counters is recorded.  Minutes without requests take no
memory.  Those before the start of the gateway are counted from the activity log, for the first reader.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from mcpgateway.hub.meters import ERROR, Meters
from mcpgateway.records import FrozenRecord, Record
from mcpgateway.waiting import Waiting

if TYPE_CHECKING:
    from mcpgateway.observe.usage import UsageLine

MINUTES = 1440
MINUTE_S = 60
HOUR_MINUTES = 60
CALL = "call"
KINDS = frozenset((CALL, "request"))


AskLog = Callable[[Callable[[list[str]], Any]], Awaitable[Any]]
"""Works something out from the latest lines of the activity log (`mcpgateway.observe.activity.ActivityLog.ask`)."""


class _Counts(FrozenRecord, frozen=True):
    """The counts of requests, and of calls of tools among them, at one moment.

    :ivar by_server: the number of requests of each server, by its place.
    """

    requests: int = 0
    errors: int = 0
    total_s: float = 0.0
    calls: int = 0
    call_errors: int = 0
    by_server: array[int] = msgspec.field(default_factory=lambda: array("Q"))


class _Minute(Record):
    """The requests in one minute.

    :ivar at: its number since the epoch.
    :ivar shares: the number of requests of each used server, by its place.
    """

    at: int
    requests: int = 0
    errors: int = 0
    total_s: float = 0.0
    calls: int = 0
    call_errors: int = 0
    shares: dict[int, int] = msgspec.field(default_factory=dict)

    def add(self, other: _Minute) -> None:
        """Add the requests of a part of the minute."""
        self.requests += other.requests
        self.errors += other.errors
        self.total_s += other.total_s
        self.calls += other.calls
        self.call_errors += other.call_errors
        for place, asked in other.shares.items():
            self.shares[place] = self.shares.get(place, 0) + asked


class HourCounts(Struct, frozen=True):
    """The calls of a server's tools, and the failed ones among them."""

    calls: int = 0
    errors: int = 0

    def __add__(self, other: HourCounts) -> HourCounts:
        """Return the counts of both."""
        return HourCounts(self.calls + other.calls, self.errors + other.errors)

    def since(self, former: HourCounts) -> HourCounts:
        """Return what has come since a former state."""
        return HourCounts(self.calls - former.calls, self.errors - former.errors)


class Timeline(Record):
    """The minutes of the last day.

    :ivar wall: returns epoch seconds.
    :ivar logged: works something out from the lines of the activity log; None if there is none, or it was asked.
    """

    _meters: Meters
    wall: Callable[[], float]
    logged: AskLog | None = None
    _minutes: dict[int, _Minute] = msgspec.field(default_factory=dict)
    _names: dict[str, int] = msgspec.field(default_factory=dict)  # the place of each server
    _hour: deque[tuple[int, dict[str, HourCounts]]] = msgspec.field(
        default_factory=deque
    )  # used servers only
    _totals: dict[str, HourCounts] = msgspec.field(default_factory=dict)  # when the last minute ended
    _before: _Counts = msgspec.field(default_factory=_Counts)
    _at: int = 0
    _began: float = 0.0
    _known_since: float | None = None  # None: the log was not read
    _learning: Waiting[None] = msgspec.field(default_factory=Waiting)

    def __post_init__(self) -> None:
        """Note the time of the start."""
        self._began = self.wall()

    def tick(self) -> None:
        """Record a minute when it is over; called once a second."""
        now = int(self.wall() // MINUTE_S)
        if now == self._at:
            return
        if self._at:
            counts = self._counted()
            minute = self._grown(counts)
            if minute.requests:
                self._minute(minute.at).add(minute)
            for at in [each for each in self._minutes if each < now - MINUTES]:
                del self._minutes[at]
            self._before = counts
            self._count_hour(now)
        self._at = now

    def _count_hour(self, now: int) -> None:
        totals = {each.name: self._total(each.name) for each in self._meters}
        grown = {name: each.since(self._totals.get(name, HourCounts())) for name, each in totals.items()}
        self._hour.append((self._at, {name: each for name, each in grown.items() if each.calls}))
        self._totals = totals
        while self._hour and self._hour[0][0] <= now - HOUR_MINUTES:
            self._hour.popleft()

    def _total(self, server: str) -> HourCounts:
        found = self._meters.totals(server)
        return HourCounts(found.calls, found.call_errors)

    def hour(self, server: str) -> HourCounts:
        """Return the calls of a server's tools in the last hour, as far as the gateway has run since."""
        now = self._total(server).since(self._totals.get(server, HourCounts()))
        return sum((each[server] for _, each in self._hour if server in each), now)

    def shown(self, minutes: int) -> list[dict[str, Any]]:
        """Return the latest minutes in S000's format, oldest first; the last is the current one."""
        now = int(self.wall() // MINUTE_S)
        current = self._grown(self._counted())
        parts = {at: [each] for at, each in self._minutes.items()}
        parts.setdefault(current.at or now, []).append(current)
        names = list(self._names)
        return [_shown(at, parts.get(at, []), names) for at in range(now - minutes + 1, now + 1)]

    def calls(self, minutes: int) -> dict[str, Any]:
        """Return the calls of tools in the latest minutes, oldest first, and how many of them have failed."""
        shown = self.shown(minutes)
        return {
            "since": shown[0]["minuteTs"],
            "known_since": round(self.since(minutes) * 1000),
            "calls": [each["calls"] for each in shown],
            "failed": [each["callErrors"] for each in shown],
        }

    def since(self, minutes: int) -> float:
        """Return the time from which on the latest minutes are known, in epoch seconds."""
        first = (int(self.wall() // MINUTE_S) - minutes + 1) * MINUTE_S
        return max(float(first), self._known_since if self._known_since is not None else self._began)

    async def learn(self) -> None:
        """Count the minutes before the start from the log, once; all who ask meanwhile wait for the end of it."""
        if self.logged is not None:
            await self._learning.once(self._learn)

    async def _learn(self) -> None:
        ask = self.logged
        if ask is None:
            return
        from mcpgateway.observe.usage import REFUSED, decoded  # only for readers

        found = await ask(lambda lines: list(decoded(lines)))
        self.logged = None
        for line in found:
            if line.kind in KINDS and line.outcome != REFUSED and (at := _seconds(line.at)) < self._began:
                place = self._names.setdefault(line.server, len(self._names))
                self._minute(int(at // MINUTE_S)).add(_minute_of(line, place))
        oldest = next((line.at for line in found if line.at), "")
        self._known_since = min(_seconds(oldest), self._began) if oldest else 0.0

    def _minute(self, at: int) -> _Minute:
        if at not in self._minutes:
            self._minutes[at] = _Minute(at)
        return self._minutes[at]

    def _counted(self) -> _Counts:
        requests = errors = calls = call_errors = 0
        total_s = 0.0
        by_server: dict[int, int] = {}
        for meter in self._meters:
            place = self._names.setdefault(meter.name, len(self._names))
            asked = 0
            for row in meter:
                asked += row.requests
                errors += row.errors
                total_s += row.total_s
                if row.tool:
                    calls += row.requests
                    call_errors += row.errors
            by_server[place] = asked
            requests += asked
        shares = array("Q", (by_server.get(place, 0) for place in range(len(self._names))))
        return _Counts(requests, errors, total_s, calls, call_errors, shares)

    def _grown(self, counts: _Counts) -> _Minute:
        before, shares = self._before, dict[int, int]()
        for place, asked in enumerate(counts.by_server):
            grown = asked - (before.by_server[place] if place < len(before.by_server) else 0)
            if grown:
                shares[place] = grown
        return _Minute(
            self._at,
            counts.requests - before.requests,
            counts.errors - before.errors,
            counts.total_s - before.total_s,
            counts.calls - before.calls,
            counts.call_errors - before.call_errors,
            shares,
        )


def _shown(at: int, parts: Iterable[_Minute], names: list[str]) -> dict[str, Any]:
    minute = _Minute(at)
    for each in parts:
        minute.add(each)
    return {
        "minuteTs": at * MINUTE_S * 1000,
        "requests": minute.requests,
        "errors": minute.errors,
        "totalMs": round(minute.total_s * 1000, 3),
        "calls": minute.calls,
        "callErrors": minute.call_errors,
        "perServer": {names[place]: asked for place, asked in minute.shares.items()},
    }


def _minute_of(line: UsageLine, place: int) -> _Minute:
    is_call, is_failed = line.kind == CALL, line.outcome == ERROR
    return _Minute(0, 1, is_failed, line.ms / 1000, is_call, is_call and is_failed, {place: 1})


def _seconds(at: str) -> float:
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return 0.0
