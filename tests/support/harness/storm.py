"""A storm: works side by side on one gateway for a while, each a walk of steps at random, and what came of it."""

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

    :ivar seed: what the dice begin with.
    :ivar wanted: what has to happen, and how often; the storm blows on until then, on a slow machine for longer.
    :ivar resident: what the gateway has occupied, in KiB, second by second.
    :ivar over: no new work is begun.
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
        """Start the gateway, let the storm blow, and see that nothing of the gateway is left."""
        print(f"MCPGATEWAY_STORM_SEED={self.seed}")
        try:
            with self.gateway:
                asyncio.run(self.guarded("the storm", self.run()))
        finally:
            print(*self.report(), sep="\n")
        return self

    @abstractmethod
    async def run(self) -> None:
        """Do all that belongs to the storm while the gateway runs."""

    @property
    def missing(self) -> list[str]:
        """Return the events that have not happened often enough."""
        return [what for what, least in self.wanted.items() if self.model.counts[what] < least]

    @property
    def faults(self) -> list[str]:
        """All that should have been otherwise."""
        is_broken = "Traceback" in self.gateway.log
        missing = [f"too seldom: {each}" for each in self.missing]
        return self.model.wrong + missing + [self.gateway.log] * is_broken

    def report(self) -> list[str]:
        """What has happened, and how often, with the faults and what is known of them."""
        counts = [f"{count:7} {what}" for what, count in sorted(self.model.counts.items())]
        sample = self.resident[:: max(1, len(self.resident) // 20)]
        resident = f"resident: {sample} KiB, grown by {self.grown_kib}"
        return [*counts, resident, *self.model.wrong, *self.model.stories]

    @property
    def grown_kib(self) -> int:
        """By how much the last third of the time is above the first, where its beginning is left out."""
        steady = self.resident[len(self.resident) // 4 :]
        third = len(steady) // 3
        return (sum(steady[-third:]) - sum(steady[:third])) // third if third else 0

    async def side_by_side(
        self, works: Mapping[str, Awaitable[None]], seconds: float, patience_s: int = PATIENCE_S
    ) -> None:
        """Let works go on for so long, and longer while something is missing and nothing is wrong."""
        self.over = asyncio.Event()
        tasks = [asyncio.create_task(self.guarded(name, work)) for name, work in works.items()]
        await asyncio.sleep(seconds)
        for _ in range(patience_s):
            if self.missing and not self.model.wrong:
                await asyncio.sleep(1)
        self.over.set()
        await asyncio.gather(*tasks)

    async def lives(self, name: str, live: Callable[[str, Random], Awaitable[object]]) -> None:
        """Let one client live after the other, until the storm is over."""
        for life in count(1):
            if self.over.is_set():
                return
            await live(f"{name}.{life:03}", Random(f"{self.seed}/{name}/{life}"))

    async def guarded(self, name: str, work: Awaitable[object]) -> None:
        """Do a work whose failure is a fault."""
        try:
            await work
        except Exception as why:  # noqa: BLE001 - the other works go on, and the report tells of it
            self.model.complain(name, f"broke: {why!r}")
            self.model.stories.append(traceback.format_exc())

    async def settles(self, what: str, holds: Callable[[], object]) -> None:
        """See that something holds in the end, as a thread finds out."""
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
        """Note what the gateway occupies."""
        while await pause(self.over, 1):
            self.resident.append(self.gateway.resident_kib())


@define(eq=False)
class Walker:
    """One who takes steps at random.

    :ivar name: unlike that of any other.
    """

    model: Any
    name: str
    random: Random = field(repr=False)

    def complain(self, what: str) -> None:
        """Note that something is wrong."""
        self.model.complain(self.name, what)


async def walk(
    walker: object,
    random: Random,
    steps: Mapping[Any, int],
    pauses: Callable[[], float],
    ends: asyncio.Event,
) -> None:
    """Take one step after the other, each as often as its weight says, until an event or until one is the last."""
    kinds, weights = list(steps), list(steps.values())
    while await pause(ends, pauses()):
        (step,) = random.choices(kinds, weights)
        with suppress(Lost):  # the client has complained, unless there was an excuse
            if await step(walker):
                return


async def pause(ends: asyncio.Event, seconds: float) -> bool:
    """Wait for so long, or until an event; return whether it has yet to happen."""
    with suppress(TimeoutError):
        await asyncio.wait_for(ends.wait(), seconds)
    return not ends.is_set()


def seed() -> str:
    """What the dice of a storm begin with; say ``MCPGATEWAY_STORM_SEED`` to have one again."""
    return os.environ.get("MCPGATEWAY_STORM_SEED") or secrets.token_hex(4)
