"""Storms: works side by side on one gateway, most of them walks of weighted random steps, and their report."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import traceback
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Self

from attrs import define, field

from tests.support.gateway import Gateway
from tests.support.harness.model import Lost, Model, Target, until

PATIENCE_S = 120  # how much longer a storm blows while something is missing


@define(eq=False)
class Storm(ABC):
    """One storm against one gateway.

    :ivar seed: of all random numbers.
    :ivar wanted: the events that have to happen, and how often; the storm goes on until then.
    :ivar resident: the resident memory of the gateway in KiB, second by second.
    :ivar over: set when no new work is begun.
    """

    directory: Path
    seed: str
    seconds: float
    wanted: Mapping[str, int]
    gateway: Gateway = field(init=False)
    model: Model = field(init=False)
    resident: list[int] = field(init=False, factory=list)
    over: asyncio.Event = field(init=False, factory=asyncio.Event)

    def blow(self) -> Self:
        """Start the gateway, run the storm, stop the gateway in order, and print the report."""
        print(f"MCPGATEWAY_STORM_SEED={self.seed}")
        try:
            with self.gateway:
                asyncio.run(self.guarded("the storm", self.run()))
        finally:
            print(*self.report(), sep="\n")
        return self

    @abstractmethod
    async def run(self) -> None:
        """Run the storm while the gateway runs."""

    @property
    def missing(self) -> list[str]:
        """Return the events that have not happened often enough."""
        return [what for what, least in self.wanted.items() if self.model.counts[what] < least]

    @property
    def faults(self) -> list[str]:
        """The faults, the missing events, and the gateway's log if it has a traceback."""
        is_broken = "Traceback" in self.gateway.log
        missing = [f"too seldom: {each}" for each in self.missing]
        return self.model.wrong + missing + [self.gateway.log] * is_broken

    def report(self) -> list[str]:
        """The events, and how often they have happened, the memory, the faults and their stories."""
        counts = [f"{count:7} {what}" for what, count in sorted(self.model.counts.items())]
        sample = self.resident[:: max(1, len(self.resident) // 20)]
        resident = f"resident: {sample} KiB, grown by {self.grown_kib}"
        return [*counts, resident, *self.model.wrong, *self.model.stories]

    @property
    def grown_kib(self) -> int:
        """The memory in the last third of the time minus that in the first, the beginning left out."""
        steady = self.resident[len(self.resident) // 4 :]
        third = len(steady) // 3
        return (sum(steady[-third:]) - sum(steady[:third])) // third if third else 0

    async def side_by_side(
        self, works: Mapping[str, Awaitable[None]], seconds: float, patience_s: int = PATIENCE_S
    ) -> None:
        """Run works for so long, and longer while events are missing and no fault is found."""
        self.over = asyncio.Event()
        tasks = [asyncio.create_task(self.guarded(name, work)) for name, work in works.items()]
        await asyncio.sleep(seconds)
        for _ in range(patience_s):
            if self.missing and not self.model.wrong:
                await asyncio.sleep(1)
        self.over.set()
        await asyncio.gather(*tasks)

    async def lives(self, name: str, live: Callable[[str, Random], Awaitable[object]]) -> None:
        """Let one client follow another until the storm is over, each with random numbers of its own."""
        for life in count(1):
            if self.over.is_set():
                return
            await live(f"{name}.{life:03}", Random(f"{self.seed}/{name}/{life}"))

    async def guarded(self, name: str, work: Awaitable[object]) -> None:
        """Await a work whose failure is a fault."""
        try:
            await work
        except Exception as why:  # noqa: BLE001 - the other works go on, and the report tells of it
            self.model.complain(name, f"broke: {why!r}")
            self.model.stories.append(traceback.format_exc())

    async def settles(self, what: str, holds: Callable[[], object]) -> None:
        """Wait until a condition holds, which is looked at in a thread; a fault if it never does."""
        if not await until(lambda: asyncio.to_thread(holds)):
            self.model.complain("the gateway", f"never: {what}")

    async def kill(self, target: Target, *pids: int) -> None:
        """Kill children of a server, and wait until the gateway has noticed."""
        with target.doubted("it was killed"):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            served = lambda: set(self.gateway.backend(target.name)["pids"])  # noqa: E731
            await self.settles(f"{pids} are known to have ended", lambda: not served() & set(pids))
        self.model.counts["children killed"] += len(pids)

    async def weigh(self) -> None:
        """Note the resident memory of the gateway every second."""
        while await pause(self.over, 1):
            self.resident.append(self.gateway.resident_kib())


@define(eq=False)
class Walker:
    """A client or another program that takes random steps.

    :ivar name: unlike that of any other.
    """

    model: Any
    name: str
    random: Random = field(repr=False)

    def complain(self, what: str) -> None:
        """Note a fault of the gateway's towards this program."""
        self.model.complain(self.name, what)


async def walk(
    walker: object,
    random: Random,
    steps: Mapping[Any, int],
    pauses: Callable[[], float],
    ends: asyncio.Event,
) -> None:
    """Take one random step after the other, each as often as its weight says.

    :param ends: the event that ends the walk; a step that returns true ends it as well.
    """
    kinds, weights = list(steps), list(steps.values())
    while await pause(ends, pauses()):
        (step,) = random.choices(kinds, weights)
        with suppress(Lost):  # the client has complained, unless there was an excuse
            if await step(walker):
                return


async def pause(ends: asyncio.Event, seconds: float) -> bool:
    """Wait for so long, or until an event; return whether the event has yet to happen."""
    with suppress(TimeoutError):
        await asyncio.wait_for(ends.wait(), seconds)
    return not ends.is_set()


def seed() -> str:
    """The seed of a storm; ``MCPGATEWAY_STORM_SEED`` repeats one."""
    return os.environ.get("MCPGATEWAY_STORM_SEED") or secrets.token_hex(4)
