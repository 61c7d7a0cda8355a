"""Costs of the two eras of MCP, and of bringing the one to the other; all in one gateway, in turns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from functools import partial

from attrs import evolve, frozen

from tests.bench.driver import Load, clients, drive, open_sessions, open_streams
from tests.bench.loads import BIG, ECHO, LIST, Loader, Scenario
from tests.bench.phases import SESSIONS, SETTLE_S, WARM_UP, Bench
from tests.bench.results import Listening
from tests.bench.subjects import BOTH_ERAS, Running

LISTENERS = 1000
IDLE_S = 5.0
SECONDS = 1.0  # many short turns: what disturbs one disturbs its neighbour too


@frozen
class Road:
    """From a client of one era to a server of one.

    :ivar server: its name in the configuration.
    """

    name: str
    server: str
    is_modern: bool

    def begin(self, running: Running) -> Running:
        """The same gateway, as one sees it who takes this road."""
        url = running.url.replace("/echo/", f"/{self.server}/")
        sessions = clients(url, SESSIONS) if self.is_modern else asyncio.run(open_sessions(url, SESSIONS))
        drive(evolve(WARM_UP, url=url), sessions)
        return evolve(running, url=url, sessions=sessions)


LEGACY = Road("legacy to legacy", "echo", is_modern=False)
NATIVE = Road("modern to modern", "echo", is_modern=True)
KEPT = Road("modern, a list that may be kept", "kept", is_modern=True)
TO_LEGACY = Road("modern to legacy-only", "legacy", is_modern=True)
TO_MODERN = Road("legacy to modern-only", "modern", is_modern=False)
ROADS = (LEGACY, NATIVE, KEPT, TO_LEGACY, TO_MODERN)
LOADS = (*ECHO, LIST, BIG)


def measure_eras(bench: Bench) -> None:
    """Load each road in turn, verify the answers of all, then let a thousand clients listen."""
    loader = evolve(bench.loader, seconds=SECONDS)
    running = bench.starter.start(BOTH_ERAS)
    try:
        running.wait_until_listening()
        begun: dict[str, Running] = {}
        for road in ROADS:
            bench.try_to(road.name, partial(_begin, begun, road, running))
        for scenario in LOADS:
            for _ in range(bench.plan.repeats):
                for road in _taken(scenario):
                    if road.name in begun:
                        bench.try_to(
                            f"{road.name}, {scenario.name}",
                            partial(_load_once, bench, loader, begun[road.name], road, scenario),
                        )
        for road in (NATIVE, TO_LEGACY, TO_MODERN):
            if road.name in begun:
                bench.try_to(f"{road.name}, collisions", partial(_verify, bench, begun[road.name], road))
    finally:
        bench.starter.stop(running)
    bench.try_to("listeners", partial(_listen, bench))


def _taken(scenario: Scenario) -> Iterable[Road]:
    return [each for each in ROADS if each is not KEPT or scenario is LIST]


def _begin(begun: dict[str, Running], road: Road, running: Running) -> None:
    begun[road.name] = road.begin(running)


def _load_once(bench: Bench, loader: Loader, running: Running, road: Road, scenario: Scenario) -> None:
    sample = loader.measure(running, scenario)
    bench.results.add(scenario.name, road.name, sample)
    bench.say(
        f"{scenario.name} {road.name}: {sample.cpu_us:.0f} us, {sample.rate:.0f}/s, {sample.faults} faults"
    )


def _verify(bench: Bench, running: Running, road: Road) -> None:
    load = Load(running.url, connections=16, seconds=bench.plan.seconds, operation="progress")
    bench.collided(road.name, [drive(load, running.sessions)])


def _listen(bench: Bench) -> None:
    """The cost of listeners in a gateway that has done nothing else: large results leave room for them behind."""
    running = bench.starter.start(BOTH_ERAS)
    try:
        running.wait_until_listening()
        bench.results.listening = _listening(NATIVE.begin(running))
    finally:
        bench.starter.stop(running)
    bench.say(str(bench.results.listening))


def _listening(running: Running) -> Listening:
    quiet = _idle_ms_per_s(running)
    before = running.account()
    streams = open_streams(clients(running.url, LISTENERS))
    try:
        began = running.account()
        time.sleep(SETTLE_S)
        idle = _idle_ms_per_s(running)
        after = running.account()
    finally:
        for stream in streams:
            stream.close()
    return Listening(
        LISTENERS,
        (began.cpu_ns - before.cpu_ns) / 1e3 / LISTENERS,
        (after.rss_mib - before.rss_mib) * 1024 / LISTENERS,
        idle,
        quiet,
    )


def _idle_ms_per_s(running: Running) -> float:
    time.sleep(SETTLE_S)
    before, began = running.account().cpu_ns, time.perf_counter()
    time.sleep(IDLE_S)
    return (running.account().cpu_ns - before) / 1e6 / (time.perf_counter() - began)
