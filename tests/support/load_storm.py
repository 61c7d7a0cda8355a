"""The storm of load: MCP over every transport, and all of the control plane, at once and under faults."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from functools import partial
from random import Random
from typing import Any

from attrs import define, field, frozen

from tests.support import load_operator, load_vandal
from tests.support.gateway import Gateway, server
from tests.support.harness.clients import Modern, Sse, StormClient, Streamable
from tests.support.harness.hands import Hand
from tests.support.harness.model import Model, Server, until
from tests.support.harness.storm import Storm, pause, walk
from tests.support.http_client import Connection, message
from tests.support.load_operator import API, Operator
from tests.support.load_vandal import Vandal
from tests.support.real_servers import fixture

OLDER = ("2024-11-05",)
REVISIONS: tuple[str, ...] = ("2025-03-26", "2025-06-18", "2025-11-25")
SHARED = {"share": "global"}
ENTRIES = {
    "calm": server(fixture(), **SHARED),
    "both": server(fixture("--era", "dual"), **SHARED),
    "hit": server(fixture(), **SHARED),
    "hit-both": server(fixture("--era", "dual"), **SHARED),
    "run": server(fixture(), **SHARED),
    "env": server(fixture(), **SHARED),
    "file": server(fixture(), **SHARED),
}
KILLED = ("hit", "hit-both")
MODERN = ("both", "hit-both", "both")
VIEW = "/mcp/full"
SETTINGS = {"circuit": {"restarts": 0}, "bridge": "auto"}  # what dies here is killed on purpose
SPARE = 7  # one more for so many of each, so that there are as many as are wanted
PATIENCE_S = 60
STEADY = 10  # looks
WARM_S = 3.0
RINGS = 7  # full, they take up to so many parts of what is in use when they are empty, with garbage to be collected


@frozen
class Shape:
    """The amount of load.

    :ivar sessions: number of open sessions, some of which are always beginning or ending.
    :ivar connections: number of open connections, of which the same is true.
    :ivar rate: calls a second of all clients together, about.
    :ivar operators: number of clients of the control plane.
    :ivar watchers: number of readers of the control plane's streams; more than are admitted.
    :ivar vandals: number of harmful clients.
    """

    sessions: int
    connections: int
    rate: float = 250.0
    operators: int = 4
    watchers: int = 4
    vandals: int = 3

    @property
    def places(self) -> int:
        """Clients with sessions."""
        return self.sessions + self.sessions // SPARE

    @property
    def modern(self) -> int:
        """Clients without sessions; each has two connections, as the others have."""
        wanted = self.connections + self.connections // SPARE
        return max(2, (wanted - 2 * self.places) // 2)


SMALL = Shape(9, 30, operators=3, watchers=2, vandals=2)


@frozen
class Held:
    """The resources of a gateway without load.

    :ivar counted: the number of each; turns are running and waiting requests of the control plane, the measuring one
        included, readers its open streams, and blocks those of memory in use.
    :ivar due: calls of the pending timers.
    """

    counted: Mapping[str, int]
    due: tuple[str, ...]
    resident_kib: int

    def more_than(self, other: Held) -> dict[str, int]:
        """The resources of which there are more, with the difference; memory counts beyond rings of the latest take."""
        others = {**other.counted, "blocks": other.counted["blocks"] * (RINGS + 1) // RINGS}
        return {name: found - others[name] for name, found in self.counted.items() if found > others[name]}


@define(eq=False)
class LoadHand(Hand):
    """The calls of a client under load, and the ways in which its session ends.

    :ivar operator: the operator that ends the session.
    """

    sleeps_ms = (100,)
    operator: Operator = field(kw_only=True)

    async def big(self) -> bool:
        """Call a tool with a long answer, except on views, which shorten it."""
        return not self.client.is_at_view and await super().big()

    async def leave(self) -> bool:
        """Let another client take the place."""
        return True

    async def end(self) -> bool:
        """Have the session ended in the middle of a call, which may have an answer or not."""
        client = self.client
        if not client.id:
            return False
        at_work = asyncio.create_task(self.sleep())
        await self.operator.end(client)
        self.operator.close()
        await at_work
        # A client whose session has ended is told so, and cannot be heard any more.
        answer = await client.post(message(1, "ping"))
        if answer.status != 404:
            client.complain(f"was ended and is answered {answer}")
        self.model.counts["refused after its end"] += 1
        return True


CALLS = {LoadHand.leave: 1, LoadHand.end: 1, LoadHand.big: 2, LoadHand.sleep: 6, LoadHand.echo: 90}


@define(eq=False)
class LoadStorm(Storm):
    """Clients of every transport, operators and vandals at once, while servers are killed.

    :ivar peak: the largest numbers of sessions and connections that the gateway has reported.
    :ivar held: the resources after everything was done once, and those in the end.
    """

    shape: Shape
    model: Model = field(init=False, factory=Model)
    held: list[Held] = field(init=False, factory=list)
    peak: dict[str, int] = field(init=False, factory=lambda: {"sessions": 0, "connections": 0})
    _editing: asyncio.Lock = field(init=False, factory=asyncio.Lock)

    def __attrs_post_init__(self) -> None:
        self.gateway = Gateway(self.directory, ENTRIES, settings=SETTINGS)
        self.model.servers = {name: Server(name, name) for name in ENTRIES}

    async def run(self) -> None:
        """Run a small load and the wanted one, and measure the held resources after each."""
        # Whatever is loaded or begun for the first who wants it is there from now on.
        await self._round(SMALL, WARM_S, "warm", patience_s=0)
        await self._wake()
        self.held.append(await self._steady())
        await self._round(self.shape, self.seconds, "load", patience_s=PATIENCE_S)
        await self._wake()
        self.held.append(await self._settled())

    async def _round(self, shape: Shape, seconds: float, name: str, patience_s: int) -> None:
        pace = (shape.places + shape.modern) / shape.rate
        works: dict[str, Awaitable[None]] = {
            f"{name} {nth}": self._call(f"{name[0]}{nth:03}", nth, shape.places, pace)
            for nth in range(shape.places + shape.modern)
        }
        for kind, number, work in (
            ("operator", shape.operators, self._operate),
            ("watcher", shape.watchers, self._watch),
            ("vandal", shape.vandals, self._harm),
            ("killer", 1, self._kills),
        ):
            names = [f"{name} {kind} {nth}" for nth in range(number)]
            works |= {each: work(each, Random(f"{self.seed}/{each}")) for each in names}
        works |= {"the scales": self.weigh(), "the measure": self._measure()}
        await self.side_by_side(works, seconds, patience_s)

    @property
    def missing(self) -> list[str]:
        """Return the events that have not happened, and the amounts that were not reached."""
        least = {"sessions": self.shape.sessions, "connections": self.shape.connections}
        few = [f"{each} {what} at once" for what, each in least.items() if self.peak[what] < each]
        return super().missing + few

    @property
    def faults(self) -> list[str]:
        """The faults, with the resources that are held in the end and were not before."""
        more = self.held[-1].more_than(self.held[0]) if self.held else {}
        return super().faults + [f"holds more: {more}"] * bool(more)

    def report(self) -> list[str]:
        """The events, the faults and the held resources."""
        return [*super().report(), f"at once: {self.peak}", *map(str, self.held)]

    @property
    def _socket(self) -> str:
        return f"unix:{self.gateway.home / 'gateway.sock'}"

    @property
    def _token(self) -> str:
        return (self.gateway.home / "admin.token").read_text().strip()

    # Clients

    def client(self, name: str, nth: int, random: Random, sessions: int) -> tuple[StormClient, Server]:
        """A client that is yet to begin, and the server that it calls."""
        kind: type[StormClient] = Streamable
        server = self.model.servers[list(ENTRIES)[nth % len(ENTRIES)]]
        path, revisions = f"/{server.name}/mcp", REVISIONS
        if nth >= sessions:
            kind, server = Modern, self.model.servers[MODERN[nth % 3]]
            path = VIEW if nth % 5 == 4 else f"/{server.name}/mcp"
        elif nth % 9 in {2, 5}:
            kind, path, revisions = Sse, f"/{server.name}/sse", OLDER
        elif nth % 9 in {4, 7}:
            path = VIEW
        address = self._socket if nth % 10 in {3, 6} else ""
        made = kind(self.model, name, random, self.gateway, path, (server,), address, revisions=revisions)
        return made, server

    async def _call(self, place: str, nth: int, sessions: int, pace: float) -> None:
        async def live(name: str, random: Random) -> None:
            client, server = self.client(name, nth, random, sessions)
            if await client.open():
                hand = LoadHand(client, server, operator=self._operator(name, random))
                await walk(hand, random, CALLS, partial(random.uniform, 0, 2 * pace), self.over)
                await client.close()
            else:
                await pause(self.over, 0.2)

        if await pause(self.over, Random(f"{self.seed}/{place}").uniform(0, pace)):
            await self.lives(place, live)

    # Those who manage and those who do harm

    def _operator(self, name: str, random: Random) -> Operator:
        address = random.choice((self.gateway.url, self._socket))
        return Operator(self.model, name, random, self.gateway, address, self._token, self._editing)

    async def _operate(self, name: str, random: Random) -> None:
        operator = self._operator(name, random)
        await walk(operator, random, load_operator.DEEDS, partial(random.uniform, 0, 0.2), self.over)
        operator.close()

    async def _watch(self, name: str, random: Random) -> None:
        operator = self._operator(name, random)
        await walk(operator, random, {Operator.watch: 1}, partial(random.uniform, 0, 0.2), self.over)

    async def _harm(self, name: str, random: Random) -> None:
        vandal = Vandal(self.model, name, random, self.gateway.url, self._token)
        await walk(vandal, random, load_vandal.DEEDS, partial(random.uniform, 0, 0.2), self.over)

    async def _kills(self, name: str, random: Random) -> None:
        while await pause(self.over, random.uniform(0.5, 3)):
            target = self.model.servers[random.choice(KILLED)]
            found = await asyncio.to_thread(self.gateway.backend, target.name)
            await self.kill(target, *found["pids"])

    # What is held

    async def _measure(self) -> None:
        while await pause(self.over, 1):
            dump = await self._dump()
            self.peak["sessions"] = max(self.peak["sessions"], dump["gateway"]["sessions"])
            self.peak["connections"] = max(self.peak["connections"], dump["connections"]["count"])

    async def _dump(self) -> dict[str, Any]:
        connection = await Connection.open(self.gateway.url)
        said = {"Authorization": f"Bearer {self._token}"}
        answer = await connection.ask("GET", f"{API}/debug/dump", b"", said)
        connection.close()
        assert answer.status == 200, answer
        found: dict[str, Any] = answer.json
        return found

    async def _wake(self) -> None:
        """Check that every server runs, in each of its eras, after all faults; each answers."""
        operator, random = self._operator("the end", Random()), Random()
        await operator.ask("GET", f"{API}/tools?q=echo")  # after which words are remembered for a while
        for name, each in self.model.servers.items():
            await operator.call_of(each, self._token)
            kinds = (Streamable, Modern) if name in MODERN else (Streamable,)
            for kind in kinds:
                client = kind(self.model, f"the end of {name}", random, self.gateway, f"/{name}/mcp", (each,))
                await client.open()
                await Hand(client, each).echo()
                await client.close()
        operator.close()

    async def _held(self) -> Held:
        dump = await self._dump()
        counted = {name: dump["gateway"][name] for name in ("sessions", "streams", "calls")}
        counted |= {name: dump[name]["count"] for name in ("timers", "connections", "descriptors")}
        counted["turns"] = dump["control"]["running"] + dump["control"]["waiting"]
        counted["readers"] = dump["control"]["readers"]
        counted["children"] = len(self.gateway.children())
        counted["blocks"] = dump["memory"]["blocks"]
        due = tuple(f"{each['calls']} in {each['in_s']} s" for each in dump["timers"]["shown"])
        return Held(counted, due, self.gateway.resident_kib())

    async def _steady(self) -> Held:
        """Return the held resources once they have not decreased for a while."""
        least = await self._held()
        for _ in range(STEADY):
            await asyncio.sleep(0.1)
            held = await self._held()
            least = held if least.more_than(held) else least
        return least

    async def _settled(self) -> Held:
        """Return the held resources once they are as at the beginning, or do not decrease to that."""
        held = await self._held()

        async def is_as_before() -> bool:
            nonlocal held
            held = await self._held()
            return not held.more_than(self.held[0])

        await until(is_as_before)
        return held
