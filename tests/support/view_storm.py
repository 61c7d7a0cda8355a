"""The storm on views: clients of all kinds at all endpoints, while servers die, come, go and are renamed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from random import Random

from attrs import define, field

from tests.support.gateway import Gateway
from tests.support.harness.clients import CAN_BE_ASKED, Modern, Sse, Stdio, StormClient, Streamable
from tests.support.harness.model import Server, clock, until
from tests.support.harness.storm import Storm, pause, walk
from tests.support.view_hands import WEIGHTS, ViewHand, listed, missing_in
from tests.support.view_model import (
    COMING,
    PREFIXES,
    PROFILED,
    RENAMED,
    STEADY,
    VEILED,
    ViewModel,
    news_of,
)

PLACES: tuple[tuple[type[StormClient], str], ...] = (
    (Streamable, "/mcp/full"),
    (Modern, "/mcp/full"),
    (Sse, "/sse"),
    (Stdio, "/mcp/full"),
    (Streamable, "/mcp/search"),
    (Modern, "/mcp/search"),
    (Streamable, "/mcp"),
    (Modern, "/mcp"),
    (Streamable, "/mcp/p/x"),
    (Modern, "/mcp/p/x"),
    (Streamable, "/own/mcp"),
    (Modern, "/dual/mcp"),
    (Stdio, "/mcp"),
    (Streamable, "/plain/mcp"),
    (Modern, "/modern/mcp"),
    (Sse, "/asks/sse"),
    (Streamable, "/mcp/full"),
    (Modern, "/mcp/full"),
)
PAUSES_S = (0, 0.05, 0.2, 0.5)
HANDS = 2  # calls that a client has under way at a time
CHANGED = "the configuration has changed"
KILLED = (*STEADY, *PROFILED)


class ViewGateway(Gateway):
    """A gateway with the servers of a model."""

    def serve(self, model: ViewModel) -> None:
        """Write its configuration anew, as editors do: another file takes the place."""
        other = self.config.with_suffix(".new")
        other.write_text(model.document(self._marked, bridge="auto"))
        other.replace(self.config)

    def served(self) -> set[int]:
        """The processes of its servers, as it says."""
        return {pid for each in self.health()["backends"] for pid in each["pids"]}


@define(eq=False)
class ViewStorm(Storm):
    """Clients of all kinds at all endpoints, while servers die, come, go and are renamed.

    :ivar places: the number of clients at a time.
    :ivar owed: the clients that have yet to hear of the latest edit; none of them leaves before.
    """

    places: int
    gateway: ViewGateway = field(init=False)
    model: ViewModel = field(init=False, factory=ViewModel)
    clients: list[StormClient] = field(init=False, factory=list)
    owed: set[StormClient] = field(init=False, factory=set)

    def __attrs_post_init__(self) -> None:
        self.gateway = ViewGateway(self.directory)
        self.gateway.serve(self.model)

    async def run(self) -> None:
        """Run clients, deaths and edits, and check that nothing of the clients is left."""
        await self.guarded("the first list", self._warm_up())
        works: dict[str, Awaitable[None]] = {
            f"place {nth}": self.lives(f"v{nth:02}", partial(self._live, *PLACES[nth % len(PLACES)]))
            for nth in range(self.places)
        }
        works |= {"deaths": self._deaths(), "edits": self._edits(), "the scales": self.weigh()}
        await self.side_by_side(works, self.seconds)
        await self.guarded("the calm after the storm", self._calm())

    async def _warm_up(self) -> None:
        # A name that was never listed may come late; from now on it is known.
        for path in ("/mcp/full", "/mcp/p/x"):
            wanted = [each for each in self.model.seen_from(path) if each.prefix is not None]
            await self._lists(path, wanted)

    async def _lists(self, path: str, servers: list[Server], *, is_there: bool = True) -> None:
        """Check that a client that lists again and again sees all of these servers in the end, or none of them."""
        client = self.client(Streamable, path, "looking", Random(self.seed))
        if not await client.open():
            return
        wrong = servers

        async def looks() -> bool:
            nonlocal wrong
            missing = missing_in(await listed(client), servers)
            wrong = [each for each in servers if (each.name in missing) is is_there]
            return not wrong

        if not await until(looks):
            client.complain(f"never sees that {wrong} are there: {is_there}")
        await client.close()

    async def _calm(self) -> None:
        gateway = self.gateway
        await self.settles("no call is left", lambda: gateway.health()["calls"] == 0)
        # One for each server stays, for all whose requests say nothing of a session.
        await self.settles(
            "no client's session is left", lambda: gateway.health()["sessions"] <= len(self.model.servers)
        )
        await self.settles("all children are known", lambda: not set(gateway.children()) - gateway.served())
        await self.settles("own children end", lambda: not gateway.backend("own")["pids"])

    # Clients

    def client(self, kind: type[StormClient], path: str, name: str, random: Random) -> StormClient:
        """A client that is yet to begin."""
        made = kind(self.model, name, random, self.gateway, path, offers=CAN_BE_ASKED)
        if isinstance(made, Modern):
            made.has_process = True
        return made

    async def _live(self, kind: type[StormClient], path: str, name: str, random: Random) -> None:
        client = self.client(kind, path, name, random)
        if not await client.open():
            await pause(self.over, 0.2)
            return
        self.clients.append(client)
        leaving = asyncio.Event()
        pauses = partial(random.choice, PAUSES_S)
        hands = [
            asyncio.create_task(walk(ViewHand(client, nth=nth), random, WEIGHTS, pauses, leaving))
            for nth in range(HANDS)
        ]
        await pause(self.over, random.uniform(4, 15))
        leaving.set()
        await asyncio.gather(*hands)
        await until(lambda: client not in self.owed)
        self.clients.remove(client)
        await client.close()

    # Churn

    async def _deaths(self) -> None:
        random = Random(f"{self.seed}/deaths")
        while await pause(self.over, random.uniform(0.5, 3)):
            server = self.model.servers[random.choice(KILLED)]
            pids = (await asyncio.to_thread(self.gateway.backend, server.name))["pids"]
            if pids:
                await self.kill(server, random.choice(pids))

    async def _edits(self) -> None:
        random = Random(f"{self.seed}/edits")
        edits = (self._come_or_go, self._come_or_go, self._rename, self._veil)
        while not self.over.is_set():
            for edit in random.sample(edits, len(edits)):
                if await pause(self.over, random.uniform(0.2, 1.5)):
                    await edit(random)

    async def _come_or_go(self, random: Random) -> None:
        server = self.model.servers[random.choice(list(COMING))]
        is_new = server.prefix is None
        what = "added" if is_new else "removed"
        begun = await self._edit(server, what, server.name if is_new else None)
        await self._all_told(begun, f"{server.name} was {what}")
        if self.clients:  # one that lists again sees the change
            await self._lists("/mcp/full", [server], is_there=is_new)

    async def _rename(self, random: Random) -> None:
        server = self.model.servers[RENAMED]
        prefix = PREFIXES[server.prefix == PREFIXES[0]]
        begun = await self._edit(server, "renamed", prefix)
        await self._all_told(begun, f"the prefix became {prefix}")

    async def _veil(self, random: Random) -> None:
        self.model.is_veiled = not self.model.is_veiled
        server = self.model.servers[VEILED]
        if self.model.is_veiled:
            server.doubt("veiled by a filter")
        begun = await self._edit(server, "veiled", server.prefix)
        if not self.model.is_veiled:
            for each in server.doubts:
                each.ended = min(each.ended, clock())
        await self._all_told(begun, "the filter has changed")

    async def _edit(self, server: Server, what: str, prefix: str | None) -> float:
        begun = clock()
        with server.doubted(what):
            server.prefix = prefix
            before = self.gateway.log.count(CHANGED)
            self.gateway.serve(self.model)
            await self.settles(f"the edit is read ({what})", lambda: self.gateway.log.count(CHANGED) > before)
            await asyncio.to_thread(self.gateway.health)  # the turn in which it was read is over
        self.model.counts[what] += 1
        return begun

    async def _all_told(self, begun: float, what: str) -> None:
        # Those who listened all the time have to hear of it.
        self.owed = {each for each in self.clients if each.is_at_view and each.listening_since < begun}

        def still_owed() -> set[StormClient]:
            for each in list(self.owed):
                if each.listening_since > begun or each.heard_at.get(news_of(each.path), 0) >= begun:
                    self.owed.discard(each)
            return self.owed

        if await until(lambda: not still_owed()):
            self.model.counts["told to all"] += 1
        for each in self.owed:
            each.complain(f"was not told that {what}; it has heard {each.heard_at}, since {begun}")
        self.owed = set()
