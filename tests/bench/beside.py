"""``python -m tests.bench.beside OTHER/bin/python``: this installation beside another one, in turns.

For a change that must cost nothing.  Both run at once and take turns under each load (A B B A), each turn is compared
with its neighbour, and the ratios are printed: the median, between which two the middle half of them lies, and that of
the least that each has ever needed, which others on the machine disturb least.  What one and the same installation
costs beside itself tells how much of it is noise.

The floors take their turns too: a call stands beside the byte swap, which is the least that a call costs, and a start
beside an empty ``twistd -n web``.  Where the project has set itself a target, it stands at the end of the row.
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

from attrs import define, evolve, field, frozen

from tests.bench.driver import clients, drive, open_sessions
from tests.bench.loads import BIG, ECHO, LIST, Loader, Scenario
from tests.bench.mcp import Client, Session
from tests.bench.phases import SESSIONS, SETTLE_S, WARM_UP
from tests.bench.results import median
from tests.bench.subjects import OURS, PIPE, Command, Place, Program, Running, Starter
from tests.bench.tables import Table, number, text
from tests.bench.tools import prepare

INITIALIZES, FRESH, MANY = 300, 100, 5000
LOADS = (LIST, BIG)
# The targets of this project.
CALL_TIMES, IDLE_MB, LISTENING_TIMES, FIRST_CALL_MS, SESSION_MS = 1.5, 46.0, 1.25, 500.0, 1.5
Measure = Callable[[Starter], float]


def _twistd_web(place: Place) -> Command:
    argv = [str(place.python.parent / "twistd"), "-n", "--pidfile=", "web", "--path", str(place.home)]
    return Command([*argv, "--listen", f"tcp:{place.port}:interface=127.0.0.1"])


WEB = Program("twistd-web", _twistd_web, is_floor=True)


@frozen
class Floor:
    """The floor that both are held beside.

    :ivar wanted: how many times as much is the target.
    """

    name: str
    measure: Callable[[], float]
    wanted: float


@define
class Row:
    """A figure of both installations, turn by turn."""

    what: str
    wanted: float | None = None
    mine: list[float] = field(factory=list)
    theirs: list[float] = field(factory=list)

    def add(self, mine: float, theirs: float) -> None:
        """Another turn."""
        self.mine.append(mine)
        self.theirs.append(theirs)

    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        ratios = sorted(mine / other for mine, other in zip(self.mine, self.theirs, strict=True) if other)
        quarter = len(ratios) // 4
        middle = f"{number(ratios[quarter])} to {number(ratios[-1 - quarter])}" if ratios else "-"
        least = min(self.mine) / min(self.theirs) if ratios else None
        medians = (number(median(each)) for each in (self.mine, self.theirs, ratios))
        return (self.what, *medians, middle, number(least), number(self.wanted))


@define
class Beside:
    """Two installations and what was found of them."""

    starters: Sequence[Starter]
    loader: Loader
    turns: int
    rows: list[Row] = field(factory=list)

    def take_turns(
        self,
        what: str,
        measure: Measure,
        turns: int = 0,
        wanted: float | None = None,
        floor: Floor | None = None,
    ) -> None:
        """Measure both, first the one and then the other, then the other way round; and in each turn the floor."""
        row = Row(what, wanted)
        over = Row(f"{what.partition(',')[0]} over {floor.name}", floor.wanted) if floor else None
        for turn in range(turns or self.turns):
            found = {each: measure(each) for each in self.starters[:: -1 if turn % 2 else 1]}
            mine, theirs = (found[each] for each in self.starters)
            row.add(mine, theirs)
            if over and floor:
                least = floor.measure()
                over.add(mine / least, theirs / least)
        for each in filter(None, (row, over)):
            self.rows.append(each)
            print(*each.cells(), sep="; ", file=sys.stderr, flush=True)

    def measure(self) -> None:
        """Everything."""
        twice = 2 * self.turns
        web = Floor("twistd -n web", partial(_start, self.starters[0], WEB), LISTENING_TIMES)
        self.take_turns("exec to listening, ms", _start, twice, floor=web)
        self.take_turns("exec to first call on a fresh home, ms", _first_call, twice, FIRST_CALL_MS)
        again = partial(_first_call, is_used=True)
        self.take_turns("exec to first call on a used home, ms", again, twice, FIRST_CALL_MS)
        self.take_turns("RSS idle, MB", partial(_rss, called=False), 3, IDLE_MB)
        self.take_turns("RSS with one session, MB", partial(_rss, called=True), 3)
        running = {id(each): _warm(each, SESSIONS) for each in self.starters}
        self._take_turns_with_calls(running)
        for scenario in LOADS:
            self.take_turns(f"{scenario.name}, us", partial(self._load, running, scenario))
        self.take_turns("initialize, us", lambda each: _initialize(running[id(each)]))
        self.take_turns("new session to tools/list, us", lambda each: _fresh(running[id(each)])[0])
        waited = "new session to tools/list, ms to wait"
        self.take_turns(waited, lambda each: _fresh(running[id(each)])[1], wanted=SESSION_MS)
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

    def _take_turns_with_calls(self, running: dict[int, Running]) -> None:
        """Calls of each kind of client, beside the byte swap, which knows none of them from the others."""
        pipe = self.starters[0].start(PIPE)
        pipe.wait_until_listening()
        kinds: dict[str, Callable[[Running], list[Session]]] = {
            "with a session": lambda each: each.sessions,
            "without a session": lambda each: [Session(number, each.url) for number in range(SESSIONS)],
            "of 2026-07-28": lambda each: clients(each.url, SESSIONS),
        }
        for kind, sessions in kinds.items():
            for each in running.values():
                drive(evolve(WARM_UP, url=each.url), sessions(each))
            for scenario in ECHO:
                floor = Floor("byte swap", partial(self._cost, pipe, scenario, sessions(pipe)), CALL_TIMES)
                self.take_turns(
                    f"{scenario.name} {kind}, us",
                    partial(self._load, running, scenario, sessions=sessions),
                    floor=floor,
                )
        self.starters[0].stop(pipe)

    def _load(
        self,
        running: dict[int, Running],
        scenario: Scenario,
        starter: Starter,
        sessions: Callable[[Running], list[Session]] = lambda each: each.sessions,
    ) -> float:
        one = running[id(starter)]
        return self._cost(one, scenario, sessions(one))

    def _cost(self, running: Running, scenario: Scenario, sessions: Sequence[Session]) -> float:
        sample = self.loader.measure(running, scenario, sessions)
        assert not sample.faults, sample
        return sample.cpu_us


def _warm(starter: Starter, sessions: int) -> Running:
    running = starter.start(OURS)
    running.wait_until_listening()
    running.wait_until_called()
    running.sessions = asyncio.run(open_sessions(running.url, sessions))
    drive(evolve(WARM_UP, url=running.url), running.sessions)
    return running


def _start(starter: Starter, program: Program = OURS) -> float:
    running = starter.start(program)
    try:
        return running.wait_until_listening()
    finally:
        starter.stop(running)


def _first_call(starter: Starter, *, is_used: bool = False) -> float:
    running = starter.start(OURS)
    try:
        if is_used:
            running.wait_until_called()
            time.sleep(SETTLE_S)
            running = starter.start_again(running)
        running.wait_until_listening()
        return running.wait_until_called()
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
        head = ("", "this", "other", "this over other", "middle half", "least over least", "wanted")
        print(text(Table("Side by side", head, [row.cells() for row in found.rows])))


if __name__ == "__main__":
    main()
