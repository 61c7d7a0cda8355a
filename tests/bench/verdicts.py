"""The targets that the project has set itself, and whether a run met them. They judge a report, never a test."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from tests.bench.eras import LEGACY, NATIVE, ROADS
from tests.bench.results import Results, median, ratio
from tests.bench.subjects import COPY, EMPTY, OURS, PIPE, RIVALS
from tests.bench.tables import Table, number

TIMES = " \u00d7"
FLAT = 1.15  # repeated runs of one and the same setting differ by so much
RSS_MIB, SESSION_KIB = 50.0, 20.0
MODERN_TIMES = 1.2
SHIM_MIB, SHIM_EXEC_MS = 4.0, 60.0


@frozen
class Verdict:
    """A target beside the measured figure."""

    what: str
    found: float | None
    limit: float
    unit: str = ""
    at_least: bool = False

    @property
    def word(self) -> str:
        """The outcome in a word."""
        if self.found is None:
            return "not measured"
        met = self.found >= self.limit if self.at_least else self.found <= self.limit
        return "met" if met else "MISSED"


def verdicts(results: Results) -> list[Verdict]:
    """Every target, in the order of the design."""
    return [
        *_call_cost(results),
        *_time(results),
        *_memory(results),
        *_growth(results),
        *_eras(results),
        *_shim(results),
        *_answers(results),
    ]


def table(found: Iterable[Verdict]) -> Table:
    """The verdicts as a table."""
    rows = [
        (
            each.what,
            number(each.found, each.unit),
            f"{'≥' if each.at_least else '≤'} {number(each.limit, each.unit)}",
            each.word,
        )
        for each in found
    ]
    return Table("Targets", ("target", "measured", "wanted", "verdict"), rows)


def _call_cost(results: Results) -> Iterable[Verdict]:
    for count in (1, 16, 64):
        what = f"CPU of a 64-byte call over the byte-swap floor, {count} conn."
        yield Verdict(what, results.ratio(f"echo{count}", OURS.name, PIPE.name), 2.0, TIMES)
    right = [
        each.name
        for each in RIVALS
        if each.name in results.collisions and not results.collisions[each.name].faults
    ]
    for count, times in ((1, 1.6), (16, 2.5), (64, 2.5)):
        gain = _gain(results, f"echo{count}", [each.name for each in RIVALS])
        yield Verdict(
            f"CPU of the leanest other gateway over ours, {count} conn.",
            gain,
            times,
            TIMES,
            at_least=True,
        )
    for count in (16, 64):
        gain = _gain(results, f"echo{count}", right)
        yield Verdict(
            f"CPU of the leanest that answers rightly over ours, {count} conn.",
            gain,
            10.0,
            TIMES,
            at_least=True,
        )
    yield Verdict("CPU of a 46 KB tools/list", results.cpu_us("list16", OURS.name), 120.0, " µs")
    yield Verdict(
        "CPU of a 1 MB result over the copy floor", results.ratio("big4", OURS.name, COPY.name), 2.0, TIMES
    )


def _gain(results: Results, scenario: str, names: Iterable[str]) -> float | None:
    mine = results.cpu_us(scenario, OURS.name)
    theirs = [cpu for name in names if (cpu := results.cpu_us(scenario, name)) is not None]
    return min(theirs) / mine if mine and theirs else None


def _time(results: Results) -> Iterable[Verdict]:
    yield Verdict(
        "latency added to the child's own, p50 at 1 connection", results.added_p50_ms(OURS.name), 0.12, " ms"
    )
    life, empty = results.lives.get(OURS.name), results.lives.get(EMPTY.name)
    listening = median(life.listening_ms) if life else None
    bare = median(empty.listening_ms) if empty else None
    yield Verdict(
        "exec to listening over an empty twistd", listening / bare if listening and bare else None, 1.3, TIMES
    )
    pairs = zip(life.listening_ms, life.called_ms, strict=False) if life else ()
    first = median(called - listened for listened, called in pairs)
    yield Verdict("first call answered after listening", first, 50.0, " ms")
    yield Verdict("new session to tools/list", median(life.session_ms) if life else None, 1.5, " ms")


def _memory(results: Results) -> Iterable[Verdict]:
    life = results.lives.get(OURS.name)
    one, twenty, loaded = (life.one, life.twenty, life.loaded) if life else (None, None, None)
    yield Verdict("RSS with one session, helper included", one.rss_mib if one else None, RSS_MIB, " MB")
    yield Verdict("memory of an open session", results.session_kib.get("5000 sessions"), SESSION_KIB, " KB")
    kib = results.session_kib.get("5000 sessions")
    both = kib + results.stream_kib if kib is not None and results.stream_kib is not None else None
    yield Verdict("memory of an open session that listens by GET", both, SESSION_KIB, " KB")
    grown = loaded.rss_mib / twenty.rss_mib if loaded and twenty else None
    yield Verdict("RSS after all loads over RSS before", grown, 1.1, TIMES)
    yield Verdict("children of 20 sessions", twenty.children if twenty else None, 1)


def _growth(results: Results) -> Iterable[Verdict]:
    base = results.scaling.get("1 session", [])
    for label in ("500 sessions", "5000 sessions", "200 servers"):
        yield Verdict(
            f"CPU per call with {label} over 1", ratio(results.scaling.get(label, []), base), FLAT, TIMES
        )


def _eras(results: Results) -> Iterable[Verdict]:
    for count in (1, 16, 64):
        found = results.ratio(f"echo{count}", NATIVE.name, LEGACY.name)
        yield Verdict(
            f"CPU of a modern 64-byte call over a legacy one, {count} conn.", found, MODERN_TIMES, TIMES
        )
    listening = results.listening
    yield Verdict("memory of a client that listens", listening.kib if listening else None, SESSION_KIB, " KB")


def _shim(results: Results) -> Iterable[Verdict]:
    shim = results.shim
    if not shim.absent:
        yield Verdict("private memory of a shim, idle", median(shim.private_mib), SHIM_MIB, " MB")
        yield Verdict(
            "exec of a shim to its first byte at the gateway", median(shim.exec_ms), SHIM_EXEC_MS, " ms"
        )


def _answers(results: Results) -> Iterable[Verdict]:
    names = (OURS.name, *(road.name for road in ROADS))
    mine = [results.collisions[name].faults for name in names if name in results.collisions]
    yield Verdict("wrong, missing or refused answers", sum(mine) if mine else None, 0)
