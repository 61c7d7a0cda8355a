"""``python -m tests.bench.beside OTHER/bin/python``: this installation beside another one, in turns.

For a change that must cost nothing.  Both run at once and take turns under each load (A B B A), each turn is compared
with its neighbour, and the ratios are printed: the median, between which two the middle half of them lies, and that of
the least that each has ever needed, which others on the machine disturb least.  What one and the same installation
costs beside itself tells how much of it is noise.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from attrs import define, evolve, field

from tests.bench.driver import drive, open_sessions
from tests.bench.loads import BIG, ECHO, LIST, Loader, Scenario
from tests.bench.mcp import Client
from tests.bench.phases import SESSIONS, SETTLE_S, WARM_UP
from tests.bench.results import median
from tests.bench.subjects import OURS, Running, Starter
from tests.bench.tables import Table, number, text
from tests.bench.tools import prepare

INITIALIZES, FRESH, MANY = 300, 100, 5000
LOADS = (*ECHO, LIST, BIG)
Measure = Callable[[Starter], float]


@define
class Row:
    """One figure of both, turn by turn."""

    what: str
    mine: list[float] = field(factory=list)
    theirs: list[float] = field(factory=list)

    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        ratios = sorted(mine / other for mine, other in zip(self.mine, self.theirs, strict=True) if other)
        quarter = len(ratios) // 4
        middle = f"{number(ratios[quarter])} to {number(ratios[-1 - quarter])}" if ratios else "-"
        least = min(self.mine) / min(self.theirs) if ratios else None
        medians = (number(median(each)) for each in (self.mine, self.theirs, ratios))
        return (self.what, *medians, middle, number(least))


@define
class Beside:
    """Two installations and what was found of them."""

    starters: Sequence[Starter]
    loader: Loader
    turns: int
    rows: list[Row] = field(factory=list)

    def take_turns(self, what: str, measure: Measure, turns: int = 0) -> None:
        """Measure both, first the one and then the other, then the other way round."""
        row = Row(what)
        self.rows.append(row)
        for turn in range(turns or self.turns):
            found = [(each, measure(each)) for each in self.starters[:: -1 if turn % 2 else 1]]
            for starter, value in found:
                (row.mine if starter is self.starters[0] else row.theirs).append(value)
        print(*row.cells(), sep="; ", file=sys.stderr, flush=True)

    def measure(self) -> None:
        """Everything."""
        for what, figure in (("exec to listening, ms", 0), ("exec to first call, ms", 1)):
            self.take_turns(what, partial(_start, figure=figure), 2 * self.turns)
        self.take_turns("RSS idle, MB", partial(_rss, called=False), 3)
        self.take_turns("RSS with one session, MB", partial(_rss, called=True), 3)
        running = {id(each): _warm(each, SESSIONS) for each in self.starters}
        for scenario in LOADS:
            self.take_turns(f"{scenario.name}, us", partial(self._load, running, scenario))
        self.take_turns("initialize, us", lambda each: _initialize(running[id(each)]))
        self.take_turns("new session to tools/list, us", lambda each: _fresh(running[id(each)])[0])
        self.take_turns("new session to tools/list, ms to wait", lambda each: _fresh(running[id(each)])[1])
        for starter in self.starters:
            starter.stop(running[id(starter)])
        before = {id(each): _warm(each, SESSIONS) for each in self.starters}
        rss = {id(each): before[id(each)].account().rss_mib for each in self.starters}
        for each in self.starters:
            one = before[id(each)]
            one.sessions += asyncio.run(open_sessions(one.url, MANY - SESSIONS, first=SESSIONS))
        self.take_turns(f"echo16 with {MANY} sessions, us", partial(self._load, before, ECHO[1]))
        self.take_turns(
            f"KB per session of {MANY}",
            lambda each: (before[id(each)].account().rss_mib - rss[id(each)]) * 1024 / (MANY - SESSIONS),
            1,
        )

    def _load(self, running: dict[int, Running], scenario: Scenario, starter: Starter) -> float:
        sample = self.loader.measure(running[id(starter)], scenario)
        assert not sample.faults, sample
        return sample.cpu_us


def _warm(starter: Starter, sessions: int) -> Running:
    running = starter.start(OURS)
    running.wait_until_listening()
    running.wait_until_called()
    running.sessions = asyncio.run(open_sessions(running.url, sessions))
    drive(evolve(WARM_UP, url=running.url), running.sessions)
    return running


def _start(starter: Starter, figure: int) -> float:
    running = starter.start(OURS)
    try:
        return (running.wait_until_listening(), running.wait_until_called() if figure else 0.0)[figure]
    finally:
        starter.stop(running)


def _rss(starter: Starter, *, called: bool) -> float:
    running = starter.start(OURS)
    try:
        running.wait_until_listening()
        if called:
            running.wait_until_called()
        time.sleep(SETTLE_S)
        return running.account().rss_mib
    finally:
        starter.stop(running)


def _initialize(running: Running) -> float:
    before = running.account().cpu_ns
    asyncio.run(open_sessions(running.url, INITIALIZES))
    return (running.account().cpu_ns - before) / 1e3 / INITIALIZES


def _fresh(running: Running) -> tuple[float, float]:
    before, times = running.account().cpu_ns, []
    for number_ in range(FRESH):
        client = Client(running.url)
        began = time.perf_counter()
        client.tools(client.open(number_))
        times.append((time.perf_counter() - began) * 1e3)
        client.close()
    return (running.account().cpu_ns - before) / 1e3 / FRESH, median(times) or 0.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="This installation beside another one, in turns.")
    parser.add_argument("other", type=Path, help="the python of the other environment")
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    tools = prepare(with_npm=False)
    # Not resolved: the python of a virtual environment is a link, and its twistd stands beside the link.
    pythons = (Path(sys.executable), Path(os.path.abspath(options.other)))
    starters = [Starter(tools, each) for each in pythons]
    found = Beside(starters, Loader(tools.wrk, options.seconds), options.turns)
    try:
        found.measure()
    finally:
        for each in starters:
            each.stop_all()
        head = ("", "this", "other", "this over other", "middle half", "least over least")
        print(text(Table("Side by side", head, [row.cells() for row in found.rows])))


if __name__ == "__main__":
    main()
