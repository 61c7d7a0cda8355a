"""The use of servers, tools and the gateway by its clients within a span of time, counted from the activity log.

A call costs nothing for it, since the log has a line of each that has ended.  So the figures are those of the log, for
as far back as it goes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from mcpgateway.discovery.tokens import CHARACTERS_PER_TOKEN
from mcpgateway.observe.activity_filter import EVERYTHING, ActivityFilter
from mcpgateway.observe.recorder import written

BARS = 60  # most of a series
USAGE_MINUTES = 30 * 24 * 60  # most that are counted
MINUTE_S = 60
FAILED, REFUSED = "error", "refused"
PRINCIPAL, TOKEN = "principal", "token"
ROWS_WITH_SERIES = 100  # of the most called


class UsageLine(Struct):
    """The members of a line of the activity log that count."""

    at: str = ""
    kind: str = ""
    outcome: str = ""
    ms: float = 0.0
    server: str = ""
    tool: str = ""
    session: str = ""
    principal: str = ""
    client: str = ""
    project: str = ""
    answer_bytes: int = 0


_decoder = msgspec.json.Decoder(UsageLine)


def decoded(lines: Iterable[str]) -> Iterator[UsageLine]:
    """Return the lines of the log that are complete."""
    for text in lines:
        try:
            yield _decoder.decode(text)
        except msgspec.DecodeError:
            continue


KEYS: dict[str, Callable[[UsageLine], tuple[str, str]]] = {
    "client": lambda line: (line.client, ""),
    "server": lambda line: (line.server, ""),
    "tool": lambda line: (line.tool, line.server),
    PRINCIPAL: lambda line: (line.principal, ""),
    TOKEN: lambda line: (line.principal, ""),
    "project": lambda line: (line.project, ""),
}
"""The name of the row that counts a call, and its server; by the kind of the rows."""


class CallCounts(Struct):
    """The calls of a row.

    :ivar durations: of each call, in milliseconds.
    :ivar answer_bytes: the size of all answers, as servers send them.
    :ivar steps: the calls of each step of the span, by its place.
    """

    calls: int = 0
    failed: int = 0
    refused: int = 0
    last_at: str = ""
    sessions: set[str] = msgspec.field(default_factory=set)
    durations: list[float] = msgspec.field(default_factory=list)
    answer_bytes: int = 0
    steps: dict[int, int] = msgspec.field(default_factory=dict)

    def count(self, line: UsageLine, step: int = 0) -> None:
        """Count a call; one that was refused is none."""
        if line.outcome == REFUSED:
            self.refused += 1
            return
        self.calls += 1
        self.failed += line.outcome == FAILED
        self.last_at = max(self.last_at, line.at)
        self.durations.append(line.ms)
        self.answer_bytes += line.answer_bytes
        self.steps[step] = self.steps.get(step, 0) + 1
        if line.session:
            self.sessions.add(line.session)

    def shown(self) -> dict[str, Any]:
        """Return the figures of the row."""
        return {
            "calls": self.calls,
            "failed": self.failed,
            "refused": self.refused,
            "sessions": len(self.sessions),
            "total_ms": round(sum(self.durations), 3),
            "p50_ms": percentile(self.durations, 0.5) if self.durations else None,
            "p95_ms": percentile(self.durations, 0.95) if self.durations else None,
            "last_at": self.last_at,
            "result_tokens": self.answer_bytes // CHARACTERS_PER_TOKEN,
        }


def percentile(values: Collection[float], part: float) -> float:
    """Return the smallest value that this part of the values does not exceed; 0 for no values."""
    if not values:
        return 0.0
    return sorted(values)[max(0, math.ceil(len(values) * part) - 1)]


def span(now: float, minutes: int) -> tuple[int, int, int]:
    """Return the beginning of the latest minutes in epoch seconds, the step of their series, and the number of steps.

    The current minute is the last of them.
    """
    step_s = MINUTE_S * -(-minutes // BARS)
    end = (int(now) // MINUTE_S + 1) * MINUTE_S
    bars = -(-minutes * MINUTE_S // step_s)
    return end - bars * step_s, step_s, bars


def usage(
    lines: Iterable[str], by: str, now: float, minutes: int, wanted: ActivityFilter = EVERYTHING
) -> dict[str, Any]:
    """Count the calls of the latest minutes.

    :param lines: of the activity log, the oldest first.
    :param by: the kind of the rows, one of `KEYS`.
    :param now: seconds since the epoch.
    :param wanted: the calls that are counted.
    """
    key = KEYS[by]
    first, step_s, bars = span(now, minutes)
    starts = [written(first + place * step_s) for place in range(bars)]
    series = [CallCounts() for _ in starts]
    total, rows = CallCounts(), dict[tuple[str, str], CallCounts]()
    oldest = ""
    place = 0
    for text in lines:
        line = next(decoded((text,)), None)
        if line is None:
            continue
        oldest = oldest or line.at
        if line.kind != "call" or line.at < starts[0]:
            continue
        if wanted is not EVERYTHING and not wanted.takes(msgspec.json.decode(text)):
            continue
        while place + 1 < bars and line.at >= starts[place + 1]:
            place += 1
        series[place].count(line)
        total.count(line)
        rows.setdefault(key(line), CallCounts()).count(line, place)
    ordered = sorted(rows.items(), key=lambda each: (-each[1].calls, each[0]))
    items = [{"name": name, **({"server": of} if of else {}), **each.shown()} for (name, of), each in ordered]
    for item, (_, each) in zip(items[:ROWS_WITH_SERIES], ordered, strict=False):
        item["series"] = [each.steps.get(step, 0) for step in range(bars)]
    return {
        "by": by,
        "minutes": bars * step_s // MINUTE_S,
        "since": starts[0],
        "known_since": max(starts[0], oldest),
        "step_s": step_s,
        **total.shown(),
        "items": items,
        "series": [
            {"at": at, "calls": each.calls, "failed": each.failed}
            for at, each in zip(starts, series, strict=True)
        ],
    }
