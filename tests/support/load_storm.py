"""Load: MCP by every road, and everything that can be managed, at once and under faults, against one gateway."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from attrs import asdict, define, field, frozen

from tests.support.gateway import LIMIT_S, Gateway, server
from tests.support.http_client import Connection
from tests.support.load_callers import Caller, Modern, Sse, Streamable
from tests.support.load_model import Target, World
from tests.support.load_operator import API, Operator
from tests.support.load_vandal import DEEDS, Vandal
from tests.support.real_servers import fixture

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

    :ivar turns: running and waiting requests of the control plane, the measuring one included.
    :ivar readers: open streams of the control plane.
    :ivar due: calls of the pending timers.
    :ivar blocks: memory blocks in use.
    """

    sessions: int
    streams: int
    calls: int
    turns: int
    readers: int
    timers: int
    due: tuple[str, ...]
    connections: int
    descriptors: int
    children: int
    resident_kib: int
    blocks: int

    def more_than(self, other: Held) -> dict[str, int]:
        """Of what it is more, and how much; of memory only where that is more than rings of the latest take."""
        mine, others = asdict(self), asdict(other)
        others["blocks"] += others["blocks"] // RINGS
        compared = mine.keys() - {"due", "resident_kib"}
        return {name: mine[name] - others[name] for name in compared if mine[name] > others[name]}


@define(eq=False)
class LoadStorm:
    """One load on one gateway.

    :ivar wanted: what has to happen in it; it blows on until then, on a slow machine for longer.
    :ivar peak: the most sessions and connections that the gateway has told of.
    :ivar resident: what it has occupied, in KiB, second by second.
    :ivar start: what it held when everything had been done once.
    :ivar end: what it held in the end.
    """

    directory: Path
    seed: str
    shape: Shape
    seconds: float
    wanted: tuple[str, ...]
    gateway: Gateway = field(init=False)
    world: World = field(init=False)
    start: Held = field(init=False)
    end: Held = field(init=False)
    peak: dict[str, int] = field(init=False, factory=lambda: {"sessions": 0, "connections": 0})
    resident: list[int] = field(init=False, factory=list)
    _token: str = field(init=False, default="")
    _editing: asyncio.Lock = field(init=False, factory=asyncio.Lock)
    _over: asyncio.Event = field(init=False, factory=asyncio.Event)

    def blow(self) -> None:
        """Start the gateway, let it blow, and see what is left."""
        with Gateway(self.directory, ENTRIES, settings=SETTINGS) as self.gateway:
            self._token = (self.gateway.home / "admin.token").read_text().strip()
            asyncio.run(self._blow())

    async def _blow(self) -> None:
        self.world = World(asyncio.get_running_loop().time)
        self.world.servers = {name: self.world.target(name) for name in ENTRIES}
        # Whatever is loaded or begun for the first who wants it is there from now on.
        await self._round(SMALL, WARM_S, "warm")
        await self._wake()
        self.start = await self._steady()
        await self._round(self.shape, self.seconds, "load")
        await self._wake()
        self.end = await self._settled()

    async def _round(self, shape: Shape, seconds: float, name: str) -> None:
        self._over = asyncio.Event()
        pace = (shape.places + shape.modern) / shape.rate
        works = [self._call(name, nth, pace) for nth in range(shape.places + shape.modern)]
        works += [self._operate(f"{name} operator {nth}") for nth in range(shape.operators)]
        works += [self._watch(f"{name} watcher {nth}") for nth in range(shape.watchers)]
        works += [self._harm(f"{name} vandal {nth}") for nth in range(shape.vandals)]
        works += [self._kills(f"{name} killer"), self._weigh()]
        tasks = [asyncio.create_task(self._guarded(each)) for each in works]
        await asyncio.sleep(seconds)
        for _ in range(PATIENCE_S):
            if shape is self.shape and self.missing:
                await asyncio.sleep(1)
        self._over.set()
        await asyncio.gather(*tasks)

    @property
    def missing(self) -> list[str]:
        """Return the events that have not happened."""
        found = [what for what in self.wanted if not self.world.counts[what]]
        least = {"sessions": self.shape.sessions, "connections": self.shape.connections}
        return found + [f"{each} {what} at once" for what, each in least.items() if self.peak[what] < each]

    async def _guarded(self, work: Any) -> None:
        try:
            await work
        except Exception as why:
            self.world.complain(f"the load itself broke: {why!r}")
            raise

    async def _pause(self, seconds: float) -> bool:
        # Whether it goes on.
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)
        return not self._over.is_set()

    @property
    def _socket(self) -> str:
        return f"unix:{self.gateway.home / 'gateway.sock'}"

    @property
    def grown_kib(self) -> int:
        """By how much the last third of the time is above the first, where its beginning is left out."""
        steady = self.resident[len(self.resident) // 4 :]
        third = len(steady) // 3
        return (sum(steady[-third:]) - sum(steady[:third])) // third if third else 0

    # Clients

    def caller(self, name: str, nth: int, random: Random, sessions: int) -> Caller:
        """A client that is yet to begin."""
        world = self.world
        address = self._socket if nth % 10 in {3, 6} else self.gateway.url
        if nth >= sessions:
            target = world.servers[MODERN[nth % 3]]
            if nth % 5 == 4:
                return Modern(world, name, address, target, random, VIEW, f"{target.name}__")
            return Modern(world, name, address, target, random, f"/{target.name}/mcp")
        target = world.servers[list(ENTRIES)[nth % len(ENTRIES)]]
        if nth % 9 in {2, 5}:
            return Sse(world, name, address, target, random, f"/{target.name}/sse")
        if nth % 9 in {4, 7}:
            return Streamable(world, name, address, target, random, VIEW, f"{target.name}__")
        return Streamable(world, name, address, target, random, f"/{target.name}/mcp")

    async def _call(self, round_: str, nth: int, pace: float) -> None:
        sessions = (SMALL if round_ == "warm" else self.shape).places
        random = Random(f"{self.seed}/{round_}/{nth}")
        operator = self._operator(f"{round_} {nth}", random)
        life = 0
        await self._pause(random.uniform(0, pace))
        while not self._over.is_set():
            life += 1
            caller = self.caller(f"{round_[0]}{nth:03}.{life:02}", nth, random, sessions)
            if await caller.open():
                await self._live(caller, operator, pace)
                await caller.close()
            else:
                await self._pause(0.2)
        operator.close()

    async def _live(self, caller: Caller, operator: Operator, pace: float) -> None:
        random = caller.random
        is_direct = not caller.prefix  # what is long is shortened on views
        while await self._pause(random.uniform(0, 2 * pace)):
            what = random.random()
            if what < 0.01 or not caller.is_standing:  # it was said why, if there was no reason
                return
            if what < 0.02 and caller.id:
                # In the middle of a call, which may have an answer or not.
                at_work = asyncio.create_task(caller.sleep())
                await operator.end(caller)
                operator.close()
                await at_work
                await self._refused(caller)
                return
            if what < 0.04 and is_direct:
                await caller.big()
            elif what < 0.1:
                await caller.sleep()
            else:
                await caller.echo()

    async def _refused(self, caller: Caller) -> None:
        # Whoever has ended is told so, and cannot be heard any more.
        answer = await caller.ask("POST", caller.path, b'{"jsonrpc":"2.0","id":1,"method":"ping"}')
        if answer.status != 404:
            self.world.complain(f"{caller.name} was ended and is answered {answer}")
        self.world.counts["refused after its end"] += 1

    # Those who manage and those who do harm

    def _operator(self, name: str, random: Random) -> Operator:
        gateway = self.gateway
        address = random.choice((gateway.url, self._socket))
        return Operator(self.world, name, address, random, self._token, gateway.config, self._editing)

    async def _operate(self, name: str) -> None:
        random = Random(f"{self.seed}/{name}")
        operator = self._operator(name, random)
        deeds = (
            *[Operator.look] * 8,
            *[Operator.call] * 8,
            *[Operator.agent] * 2,
            Operator.change,
            Operator.edit,
            Operator.operate,
        )
        while await self._pause(random.uniform(0, 0.2)):
            await random.choice(deeds)(operator)
        operator.close()

    async def _watch(self, name: str) -> None:
        random = Random(f"{self.seed}/{name}")
        operator = self._operator(name, random)
        while await self._pause(random.uniform(0, 0.2)):
            await operator.watch()

    async def _harm(self, name: str) -> None:
        random = Random(f"{self.seed}/{name}")
        vandal = Vandal(self.world, name, self.gateway.url, random, self._token)
        while await self._pause(random.uniform(0, 0.2)):
            await random.choice(DEEDS)(vandal)

    async def _kills(self, name: str) -> None:
        random = Random(f"{self.seed}/{name}")
        operator = self._operator(name, random)
        while await self._pause(random.uniform(0.5, 3)):
            await operator.kill(self._target(random), _kill)
        operator.close()

    def _target(self, random: Random) -> Target:
        return self.world.servers[random.choice(KILLED)]

    # What is held

    async def _weigh(self) -> None:
        while await self._pause(1):
            self.resident.append(self.gateway.resident_kib())
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
        for name, target in self.world.servers.items():
            await operator.call_of(target, self._token)
            kinds = (Streamable, Modern) if name in MODERN else (Streamable,)
            for kind in kinds:
                caller = kind(
                    self.world, f"the end of {name}", self.gateway.url, target, random, f"/{name}/mcp"
                )
                await caller.open()
                await caller.echo()
                await caller.close()
        operator.close()

    async def _held(self) -> Held:
        dump = await self._dump()
        gateway = dump["gateway"]
        return Held(
            sessions=gateway["sessions"],
            streams=gateway["streams"],
            calls=gateway["calls"],
            turns=dump["control"]["running"] + dump["control"]["waiting"],
            readers=dump["control"]["readers"],
            timers=dump["timers"]["count"],
            due=tuple(f"{each['calls']} in {each['in_s']} s" for each in dump["timers"]["shown"]),
            connections=dump["connections"]["count"],
            descriptors=dump["descriptors"]["count"],
            children=len(self.gateway.children()),
            resident_kib=self.gateway.resident_kib(),
            blocks=dump["memory"]["blocks"],
        )

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
        ends = self.world.clock() + LIMIT_S
        while True:
            held = await self._held()
            if not held.more_than(self.start) or self.world.clock() > ends:
                return held
            await asyncio.sleep(0.2)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
