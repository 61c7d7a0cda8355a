"""The parts of a run: starts and memory, loads side by side, colliding ids, growth."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from attrs import define, evolve, field, frozen

from tests.bench.driver import Load, Tally, drive, open_sessions, open_streams
from tests.bench.http1 import BadAnswer
from tests.bench.loads import BIG, ECHO, LIST, Loader, NoLoad, Scenario, child_p50_ms
from tests.bench.mcp import Client
from tests.bench.results import Collision, Life, Results
from tests.bench.subjects import (
    CHILD_OPTIONS,
    COPY,
    CROWDED,
    EMPTY,
    OURS,
    PIPE,
    RAW,
    NotServing,
    Program,
    Running,
    Starter,
)

SETTLE_S = 0.7
REST_S = 8.0  # "back after load" is what users find a moment later; our gateway tidies up every five seconds
SESSIONS = 20
WARM_UP = Load("", connections=4, seconds=1.0, calls=400, ids="unique", timeout_s=5.0)
GROWN = (1, 500, 5000)
ANSWER_LIMIT_S = 5.0
FAILURES = (NotServing, NoLoad, BadAnswer, OSError, ValueError, TimeoutError, AssertionError)


@frozen
class Plan:
    """The amount of work.

    :ivar repeats: loads for us and the floors.
    :ivar rival_repeats: loads for the others.
    :ivar until: no new load begins after this moment of the monotonic clock.
    """

    seconds: float
    repeats: int
    rival_repeats: int
    starts: int
    rival_starts: int
    until: float

    @property
    def is_over(self) -> bool:
        """The time is used up."""
        return time.monotonic() > self.until


@define
class Bench:
    """A run over the chosen programs."""

    plan: Plan
    starter: Starter
    loader: Loader
    results: Results
    programs: Sequence[Program]
    say: Callable[[str], Any]
    _loaded: dict[str, Running] = field(factory=dict)

    @property
    def gateways(self) -> list[Program]:
        """The programs that speak MCP."""
        return [program for program in self.programs if not program.is_floor]

    def try_to(self, what: str, do: Callable[[], Any]) -> None:
        """Do one step; a program that fails is a line in the report, not the end of the run."""
        try:
            do()
        except FAILURES as why:
            self.results.problems.append(f"{what}: {why}"[:500])
            self.say(f"{what}: {why}"[:200])

    # -- starts and memory

    def measure_lives(self) -> None:
        """Start every program a few times; an untimed start before warms the disk caches."""
        for program in self.programs:
            if program in self.gateways or program is EMPTY:
                self.results.lives[program.name] = Life()
                self.try_to(f"{program.name}, idle", partial(self._measure_idle, program))
        for turn in range(max(self.plan.starts, self.plan.rival_starts)):
            for program in self.programs:
                is_ours = program in {OURS, EMPTY}
                starts = self.plan.starts if is_ours else self.plan.rival_starts
                if program.name in self.results.lives and turn < starts:
                    last = turn == starts - 1
                    self.try_to(f"{program.name}, start", partial(self._start_once, program, last=last))

    def _measure_idle(self, program: Program) -> None:
        running = self.starter.start(program)
        try:
            running.wait_until_listening()
            time.sleep(SETTLE_S)
            self.results.lives[program.name].idle = running.account()
        finally:
            self.starter.stop(running)

    def _start_once(self, program: Program, *, last: bool) -> None:
        life = self.results.lives[program.name]
        running = self.starter.start(program)
        try:
            life.listening_ms.append(running.wait_until_listening())
            if program is EMPTY:
                return
            life.called_ms.append(running.wait_until_called())
            self.say(
                f"{program.name}: listening {life.listening_ms[-1]:.0f} ms, called {life.called_ms[-1]:.0f} ms"
            )
            if last:
                self._measure_sessions(running, life)
        finally:
            self.starter.stop(running)

    def _measure_sessions(self, running: Running, life: Life) -> None:
        time.sleep(SETTLE_S)
        life.one = running.account()
        for number in range(SESSIONS):
            client = Client(running.url)
            began = time.perf_counter()
            client.tools(client.open(number))
            life.session_ms.append((time.perf_counter() - began) * 1e3)
            client.close()
        time.sleep(SETTLE_S)
        life.twenty = running.account()

    # -- loads side by side

    def measure_loads(self) -> None:
        """All run at once and are loaded in turns, so that what disturbs one load disturbs its neighbours too."""
        for program in self.programs:
            if program is not EMPTY:
                self.try_to(f"{program.name}, warm-up", partial(self._warm_up, program))
        for scenario in ECHO:
            self._take_turns(scenario, [PIPE, OURS, RAW])
        self._take_turns(LIST, [COPY, OURS])
        self._take_turns(BIG, [COPY, OURS])
        time.sleep(REST_S)
        for program in self.gateways:
            if program.name in self._loaded and program.name in self.results.lives:
                self.results.lives[program.name].loaded = self._loaded[program.name].account()

    def _warm_up(self, program: Program) -> None:
        running = self.starter.start(program)
        running.wait_until_listening()
        if not program.is_floor:
            running.wait_until_called()
            running.sessions = asyncio.run(open_sessions(running.url, SESSIONS))
            drive(evolve(WARM_UP, url=running.url), running.sessions)
        self._loaded[program.name] = running

    def _take_turns(self, scenario: Scenario, first: Iterable[Program]) -> None:
        ours = [program for program in first if program.name in self._loaded]
        rivals = [each for each in self.gateways if each is not OURS and each.name in self._loaded]
        for turn in range(self.plan.repeats):
            if scenario is ECHO[0]:
                child = [str(self.starter.tools.child), *CHILD_OPTIONS]
                self.results.child_p50_ms.append(child_p50_ms(child))
            for program in [*ours, *(rivals if turn < self.plan.rival_repeats else [])]:
                if self.plan.is_over:
                    return
                self.try_to(f"{program.name}, {scenario.name}", partial(self._load_once, program, scenario))

    def _load_once(self, program: Program, scenario: Scenario) -> None:
        sample = self.loader.measure(self._loaded[program.name], scenario)
        self.results.add(scenario.name, program.name, sample)
        self.say(
            f"{scenario.name} {program.name}: {sample.cpu_us:.0f} us, {sample.rate:.0f}/s, p50 {sample.p50_ms:.2f} ms,"
            f" {sample.faults} faults, {sample.elsewhere:.2f} cores busy elsewhere"
        )

    # -- colliding ids

    def measure_collisions(self) -> None:
        """Twenty sessions that count their ids and progress tokens from 1, every answer verified."""
        for program in self.gateways:
            if program.name in self._loaded:
                self.try_to(f"{program.name}, collisions", partial(self._collide, program))

    def _collide(self, program: Program) -> None:
        running = self._loaded[program.name]
        tallies = []
        for operation, connections in (("echo", 16), ("sleep", 64)):
            load = Load(
                running.url,
                connections=connections,
                seconds=self.plan.seconds,
                operation=operation,
                timeout_s=ANSWER_LIMIT_S,
            )
            tallies.append(drive(load, asyncio.run(open_sessions(running.url, SESSIONS))))
        self.collided(program.name, tallies)

    def collided(self, name: str, tallies: Iterable[Tally]) -> None:
        """Keep what came of verified loads."""
        found = Collision(0, 0, 0, 0, [])
        for tally in tallies:
            found.sent += tally.sent
            found.wrong += tally.wrong
            found.missing += tally.missing
            found.refused += tally.refused.total()
            found.samples += tally.samples[:2]
        self.results.collisions[name] = found
        self.say(f"collisions {name}: {found.sent} calls, {found.faults} faults {found.samples[:1]}")

    def stop_loaded(self) -> None:
        """End what the loads ran on."""
        for running in self._loaded.values():
            self.starter.stop(running)
        self._loaded.clear()

    # -- growth

    def measure_growth(self) -> None:
        """Ours with few and many sessions, and with many servers, again in turns."""
        grown: dict[str, Running] = {}
        for count in GROWN:
            label = f"{count} session{'s' if count > 1 else ''}"
            self.try_to(label, partial(self._grow, grown, label, count))
        self.try_to("200 servers", partial(self._crowd, grown, "200 servers"))
        for _ in range(self.plan.repeats):
            for label, running in grown.items():
                self.try_to(label, partial(self._load_grown, label, running))
        self._weigh_sessions(grown)
        for label, running in grown.items():
            if len(running.sessions) == max(GROWN):
                self.try_to(f"{label} with streams", partial(self._weigh_streams, running))
        for running in grown.values():
            self.starter.stop(running)

    def _weigh_sessions(self, grown: dict[str, Running]) -> None:
        """Memory over that of the one with a single session; all sessions have been used by now, under equal loads."""
        base = next(iter(grown.values()), None)
        for label, running in grown.items():
            more = len(running.sessions) - 1
            if base is not None and more:
                grown_mib = running.account().rss_mib - base.account().rss_mib
                self.results.session_kib[label] = grown_mib * 1024 / more

    def _weigh_streams(self, running: Running) -> None:
        """The memory that listening adds to each session, after the loads that weighed the sessions themselves."""
        before = running.account().rss_mib
        streams = open_streams(running.sessions)
        try:
            time.sleep(SETTLE_S)
            grown_mib = running.account().rss_mib - before
        finally:
            for stream in streams:
                stream.close()
        self.results.stream_kib = grown_mib * 1024 / len(streams)

    def _grow(self, grown: dict[str, Running], label: str, count: int) -> None:
        running = self.starter.start(OURS)
        running.wait_until_listening()
        running.wait_until_called()
        first = asyncio.run(open_sessions(running.url, SESSIONS))
        drive(evolve(WARM_UP, url=running.url), first)
        running.sessions = first[:count]
        if count > SESSIONS:
            more = asyncio.run(open_sessions(running.url, count - SESSIONS, first=SESSIONS))
            running.sessions = [*first, *more]
        grown[label] = running

    def _crowd(self, grown: dict[str, Running], label: str) -> None:
        """Two hundred servers configured, one of them called, as the first in the file."""
        running = self.starter.start(CROWDED)
        running.wait_until_listening()
        running.wait_until_called()
        running.sessions = asyncio.run(open_sessions(running.url, 1))
        drive(evolve(WARM_UP, url=running.url), running.sessions)
        grown[label] = running

    def _load_grown(self, label: str, running: Running) -> None:
        sample = self.loader.measure(running, ECHO[1])
        self.results.scaling.setdefault(label, []).append(sample)
        self.say(f"{label}: {sample.cpu_us:.0f} us, {sample.rate:.0f}/s, {sample.faults} faults")
