"""A storm on views: clients of all kinds at all endpoints, while servers die, come, go and are renamed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from attrs import define, field

from tests.support.gateway import LIMIT_S, Gateway, eventually
from tests.support.view_duplex import Sse, Stdio
from tests.support.view_fronts import Front, Legacy, Lost, Modern
from tests.support.view_hands import Hand, listed, missing_in
from tests.support.view_model import (
    COMING,
    PREFIXES,
    PROFILED,
    RENAMED,
    STEADY,
    VEILED,
    Doubt,
    Server,
    World,
    is_view,
    news_of,
)

PLACES: tuple[tuple[type[Front], str], ...] = (
    (Legacy, "/mcp/full"),
    (Modern, "/mcp/full"),
    (Sse, "/sse"),
    (Stdio, "/mcp/full"),
    (Legacy, "/mcp/search"),
    (Modern, "/mcp/search"),
    (Legacy, "/mcp"),
    (Modern, "/mcp"),
    (Legacy, "/mcp/p/x"),
    (Modern, "/mcp/p/x"),
    (Legacy, "/own/mcp"),
    (Modern, "/dual/mcp"),
    (Stdio, "/mcp"),
    (Legacy, "/plain/mcp"),
    (Modern, "/modern/mcp"),
    (Sse, "/asks/sse"),
    (Legacy, "/mcp/full"),
    (Modern, "/mcp/full"),
)
HANDS = 2  # calls that a client has under way at a time
CHANGED = "the configuration has changed"
KILLED = (*STEADY, *PROFILED)


class ViewGateway(Gateway):
    """A gateway with the servers of a world."""

    def serve(self, world: World) -> None:
        """Write its configuration anew, as editors do: another file takes the place."""
        other = self.config.with_suffix(".new")
        other.write_text(world.document(self._marked, bridge="auto"))
        other.replace(self.config)

    def served(self) -> set[int]:
        """The processes of its servers, as it says."""
        return {pid for each in self.health()["backends"] for pid in each["pids"]}


@define(eq=False)
class ViewStorm:
    """One storm.

    :ivar wanted: what has to happen in it; it blows on until then.
    :ivar resident: what the gateway has occupied, in KiB, second by second.
    """

    directory: Path
    seed: str
    places: int
    seconds: float
    wanted: Sequence[str]
    gateway: ViewGateway = field(init=False)
    world: World = field(init=False)
    fronts: list[Front] = field(factory=list)
    resident: list[int] = field(factory=list)
    over: asyncio.Event = field(factory=asyncio.Event)

    def blow(self) -> None:
        """Start the gateway, let it blow, and see that nothing is left."""
        self.gateway = ViewGateway(self.directory)
        asyncio.run(self._blow())

    async def _blow(self) -> None:
        self.world = World(asyncio.get_running_loop().time)
        self.gateway.serve(self.world)
        await asyncio.to_thread(self.gateway.start)
        try:
            await self._guarded(self._warm_up(), "the first list")
            works = [self._place(nth) for nth in range(self.places)]
            churn = [self._deaths(), self._edits(), self._weigh()]
            tasks = [
                asyncio.create_task(self._guarded(each, "a place or the churn")) for each in [*works, *churn]
            ]
            await asyncio.sleep(self.seconds)
            for _ in range(int(LIMIT_S)):
                if self.missing:
                    await asyncio.sleep(1)
            self.over.set()
            await asyncio.gather(*tasks)
            await self._guarded(self._calm(), "the calm after the storm")
            await asyncio.to_thread(self.gateway.stop)
        finally:
            await asyncio.to_thread(self.gateway.__exit__, ValueError)

    @property
    def missing(self) -> list[str]:
        """Return the events that have not happened."""
        return [each for each in self.wanted if not self.world.counts[each]]

    async def _guarded(self, work: Any, what: str) -> None:
        try:
            await work
        except Exception as why:
            self.world.complain(f"{what} broke: {why!r}")
            if not isinstance(why, (AssertionError, Lost, OSError, TimeoutError)):
                raise

    async def _warm_up(self) -> None:
        # A name that was never listed may come late; from now on it is known.
        for path in ("/mcp/full", "/mcp/p/x"):
            front = self.front(Legacy, path, "first", Random(self.seed))
            await front.open()
            wanted = [each for each in self.world.seen_from(path) if each.prefix is not None]
            ends = self.world.clock() + LIMIT_S
            while missing := missing_in(await listed(front), wanted):
                if self.world.clock() > ends:
                    front.complain(f"is never listed {missing}")
                    break
                await asyncio.sleep(0.1)
            await front.close()

    async def _calm(self) -> None:
        gateway = self.gateway
        await asyncio.to_thread(eventually, lambda: gateway.health()["calls"] == 0, "no call is left")
        # One for each server stays, for all whose requests say nothing of a session.
        await asyncio.to_thread(
            eventually,
            lambda: gateway.health()["sessions"] <= len(self.world.servers),
            "no client's session is left",
        )
        await asyncio.to_thread(
            eventually, lambda: not set(gateway.children()) - gateway.served(), "all children are known"
        )
        await asyncio.to_thread(eventually, lambda: not gateway.backend("own")["pids"], "own children end")

    # Clients

    def front(self, kind: type[Front], path: str, name: str, random: Random) -> Front:
        """A client that is yet to begin."""
        label = f"{name} ({kind.__name__} at {path})"
        human = lambda text: {"action": "accept", "content": {"said": f"{name}: {text}"}}  # noqa: E731
        return kind(self.gateway, name, path, human, lambda what: self.world.complain(f"{label} {what}"))

    async def _place(self, nth: int) -> None:
        kind, path = PLACES[nth % len(PLACES)]
        lives = 0
        while not self.over.is_set():
            lives += 1
            random = Random(f"{self.seed}/{nth}/{lives}")
            front = self.front(kind, path, f"v{nth:02}.{lives:03}", random)
            await front.open()
            self.fronts.append(front)
            self.world.counts[f"{kind.__name__} {path}"] += 1
            leaves = asyncio.Event()
            hands = [
                asyncio.create_task(Hand(self.world, front, each, random).work(leaves))
                for each in range(HANDS)
            ]
            with suppress(TimeoutError):
                await asyncio.wait_for(self.over.wait(), random.uniform(4, 15))
            leaves.set()
            await asyncio.gather(*hands)
            self.fronts.remove(front)
            await front.close()

    # Churn

    async def _deaths(self) -> None:
        random = Random(f"{self.seed}/deaths")
        while not self.over.is_set():
            await asyncio.sleep(random.uniform(0.5, 3))
            server = self.world.servers[random.choice(KILLED)]
            pids = (await asyncio.to_thread(self.gateway.backend, server.name))["pids"]
            if pids:
                await self._kill(server, random.choice(pids))

    async def _kill(self, server: Server, pid: int) -> None:
        doubt = Doubt(f"{pid} was killed", self.world.clock())
        server.doubts.append(doubt)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        gateway = self.gateway
        await asyncio.to_thread(
            eventually,
            lambda: pid not in gateway.backend(server.name)["pids"],
            f"{pid} is known to have ended",
        )
        doubt.ended = self.world.clock()
        self.world.counts["killed"] += 1

    async def _edits(self) -> None:
        random = Random(f"{self.seed}/edits")
        edits = (self._come_or_go, self._come_or_go, self._rename, self._veil)
        while not self.over.is_set():
            for edit in random.sample(edits, len(edits)):
                await asyncio.sleep(random.uniform(0.2, 1.5))
                if not self.over.is_set():
                    await edit(random)

    async def _come_or_go(self, random: Random) -> None:
        server = self.world.servers[random.choice(list(COMING))]
        is_new = server.prefix is None
        what = "added" if is_new else "removed"
        begun = await self._edit(server, what, server.name if is_new else None)
        await self._all_told(begun, f"{server.name} was {what}")
        if self.fronts:
            await self._looks(server)

    async def _rename(self, random: Random) -> None:
        server = self.world.servers[RENAMED]
        prefix = PREFIXES[server.prefix == PREFIXES[0]]
        begun = await self._edit(server, "renamed", prefix)
        await self._all_told(begun, f"the prefix became {prefix}")

    async def _veil(self, random: Random) -> None:
        self.world.is_veiled = not self.world.is_veiled
        server = self.world.servers[VEILED]
        begun = await self._edit(server, "veiled", server.prefix)
        if self.world.is_veiled:
            server.doubts.append(Doubt("veiled", begun))
        else:
            server.doubts[-2].ended = self.world.clock()
        await self._all_told(begun, "the filter has changed")

    async def _edit(self, server: Server, what: str, prefix: str | None) -> float:
        world, begun = self.world, self.world.clock()
        doubt = Doubt(what, begun)
        server.doubts.append(doubt)
        server.history.append((begun, prefix))
        before = self.gateway.log.count(CHANGED)
        self.gateway.serve(world)
        await asyncio.to_thread(
            eventually, lambda: self.gateway.log.count(CHANGED) > before, f"the edit is read ({what})"
        )
        await asyncio.to_thread(self.gateway.health)  # the turn in which it was read is over
        doubt.ended = world.clock()
        world.counts[what] += 1
        return begun

    async def _all_told(self, begun: float, what: str) -> None:
        # Those who listened all the time have to hear of it.
        owed = [each for each in self.fronts if is_view(each.path) and each.listening_since < begun]
        ends = self.world.clock() + LIMIT_S
        while owed := [
            each
            for each in owed
            if each in self.fronts
            and each.listening_since < begun
            and each.heard_at.get(news_of(each.path), 0) < begun
        ]:
            if self.world.clock() > ends:
                for each in owed:
                    each.complain(f"was not told that {what}; it has heard {each.heard_at}, since {begun}")
                return
            await asyncio.sleep(0.02)
        self.world.counts["told to all"] += 1

    async def _looks(self, server: Server) -> None:
        # A client that lists again sees the change.
        front = self.front(Legacy, "/mcp/full", "looking", Random(0))
        await front.open()
        ends = self.world.clock() + LIMIT_S
        while bool(missing_in(await listed(front), [server])) is (server.prefix is not None):
            if self.world.clock() > ends:
                front.complain(f"does not see that {server.name} is {server.prefix}")
                break
            await asyncio.sleep(0.1)
        await front.close()

    async def _weigh(self) -> None:
        while not self.over.is_set():
            self.resident.append(self.gateway.resident_kib())
            with suppress(TimeoutError):
                await asyncio.wait_for(self.over.wait(), 1)

    @property
    def grown_kib(self) -> int:
        """By how much the last third of the time is above the first, the warm-up left out."""
        steady = self.resident[len(self.resident) // 5 :]
        third = len(steady) // 3
        return (sum(steady[-third:]) - sum(steady[:third])) // third if third else 0
