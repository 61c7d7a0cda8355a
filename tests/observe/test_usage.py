"""The use of the gateway, counted from lines of the activity log."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.observe.activity_filter import ActivityFilter
from mcpgateway.observe.recorder import written
from mcpgateway.observe.usage import KEYS, CallCounts, usage

NOW = 1_780_000_030.0
LINES = st.lists(
    st.fixed_dictionaries(
        {
            "ago": st.integers(0, 7200),
            "kind": st.sampled_from(["call", "call", "request", "management"]),
            "outcome": st.sampled_from(["ok", "error", "cancelled", "refused"]),
            "server": st.sampled_from(["clock", "notes"]),
            "tool": st.sampled_from(["now", "read"]),
            "client": st.sampled_from(["", "editor"]),
            "session": st.sampled_from(["", "s1", "s2"]),
            "ms": st.floats(0, 1000),
        }
    ),
    max_size=40,
)


def lines(calls: list[dict[str, Any]]) -> list[str]:
    """The log of some calls, the oldest first."""
    ordered = sorted(calls, key=lambda each: -each["ago"])
    return [json.dumps({**each, "at": written(NOW - each["ago"])}) for each in ordered]


@given(LINES, st.sampled_from(sorted(KEYS)), st.integers(1, 200))
def test_adds_up(calls: list[dict[str, Any]], by: str, minutes: int) -> None:
    """All calls of the span are counted once in all, once over time and once in the rows; nothing else is."""
    found = usage(lines(calls), by, NOW, minutes)
    meant = [
        each for each in calls if each["kind"] == "call" and written(NOW - each["ago"]) >= found["since"]
    ]
    ended = [each for each in meant if each["outcome"] != "refused"]
    assert found["calls"] == len(ended)
    assert found["refused"] == len(meant) - len(ended)
    assert found["minutes"] >= minutes
    for parts in (found["items"], found["series"]):
        assert sum(each["calls"] for each in parts) == len(ended)
        assert sum(each["failed"] for each in parts) == sum(each["outcome"] == "error" for each in ended)
    if by == "tool":
        rows = Counter((each["tool"], each["server"]) for each in ended)
        assert {
            (each["name"], each["server"]): each["calls"] for each in found["items"] if each["calls"]
        } == rows
    for at, each in zip(found["series"], found["series"][1:], strict=False):
        assert at["at"] < each["at"]


@given(LINES)
def test_of_a_server(calls: list[dict[str, Any]]) -> None:
    """The calls of one server alone are its row among all servers."""
    every = {each["name"]: each for each in usage(lines(calls), "server", NOW, 60)["items"]}
    for name, row in every.items():
        alone = usage(lines(calls), "server", NOW, 60, ActivityFilter({"server": name}))
        assert alone["items"] == [row]
        assert alone["calls"] == row["calls"]


def test_as_far_as_it_goes() -> None:
    """The answer says how far the log goes back; a line that is cut off counts as none."""
    young = lines([{"ago": 60, "kind": "call", "server": "clock", "ms": 3.0, "outcome": "ok"}])
    found = usage([*young, young[0][:40]], "server", NOW, 1440)
    assert (found["calls"], found["known_since"]) == (1, written(NOW - 60))
    old = lines([{"ago": 9000, "kind": "management"}])
    found = usage([*old, *young], "server", NOW, 60)
    assert found["known_since"] == found["since"]


def test_answers_and_steps() -> None:
    """A row has the size of its answers in tokens, and its calls of each step, which are the series of all together."""
    calls = [
        {"ago": 60 * ago, "kind": "call", "server": server, "ms": 1.0, "outcome": "ok", "answer_bytes": 4000}
        for ago, server in ((59, "clock"), (1, "clock"), (0, "notes"))
    ]
    found = usage(lines(calls), "server", NOW, 60)
    assert (found["result_tokens"], [each["result_tokens"] for each in found["items"]]) == (
        3000,
        [2000, 1000],
    )
    clock, notes = (each["series"] for each in found["items"])
    assert clock == [1, *[0] * 57, 1, 0]
    assert [one + other for one, other in zip(clock, notes, strict=True)] == [
        each["calls"] for each in found["series"]
    ]


def test_percentiles() -> None:
    """The nearest rank, as in tables of latency."""
    values = [float(each) for each in range(1, 21)]
    shown = CallCounts(durations=values).shown()
    assert [shown["p50_ms"], shown["p95_ms"]] == [10.0, 19.0]
    assert CallCounts(durations=values[:1]).shown()["p95_ms"] == 1.0
    assert CallCounts().shown()["p50_ms"] is None
