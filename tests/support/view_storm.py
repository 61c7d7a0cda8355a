"""A storm on views: clients of all kinds at all endpoints, while servers die, come, go and are renamed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from attrs import define, field

from tests.support.gateway import LIMIT_S, Gateway, eventually
from tests.support.view_fronts import Asked, Front, Legacy, Lost, Modern, Sse, Stdio
from tests.support.view_model import (
    ASKING,
    COMING,
    PREFIXES,
    PROFILED,
    RENAMED,
    STEADY,
    VEILED,
    WHO,
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
FORM = {"type": "object", "properties": {"said": {"type": "string"}}}
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

    :ivar resident: what the gateway has occupied, in KiB, second by second.
    """

    directory: Path
    seed: str
    places: int
    seconds: float
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
            self.over.set()
            await asyncio.gather(*tasks)
            await self._guarded(self._calm(), "the calm after the storm")
            await asyncio.to_thread(self.gateway.stop)
        finally:
            await asyncio.to_thread(self.gateway.__exit__, ValueError)

    async def _guarded(self, work: Any, what: str) -> None:
        try:
            await work
        except Exception as why:
            self.world.complain(f"{what} broke: {why!r}")
            if not isinstance(why, (AssertionError, Lost, OSError, TimeoutError)):
                raise

    async def _warm_up(self) -> None:
        # What nobody has ever listed may come late; from now on it is known.
        for path in ("/mcp/full", "/mcp/p/x"):
            front = self.front(Legacy, path, "first", Random(self.seed))
            await front.open()
            wanted = [each for each in self.world.seen_from(path) if each.prefix is not None]
            async with asyncio.timeout(LIMIT_S):
                while missing_in(await listed(front), wanted):  # noqa: ASYNC110 - nobody tells when
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
                asyncio.create_task(Hand(self, front, each, random).work(leaves)) for each in range(HANDS)
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
        while not self.over.is_set():
            await asyncio.sleep(random.uniform(0.5, 2))
            await random.choice((self._come_or_go, self._come_or_go, self._rename, self._veil))(random)

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
        # Whoever looks again sees what was changed.
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


async def listed(front: Front) -> list[str]:
    """The names of the tools that a client is listed."""
    asked = await front.ask("tools/list", {})
    if "result" not in asked.answer:
        raise Lost(f"tools/list: {asked.answer}")
    return [each["name"] for each in asked.answer["result"]["tools"]]


def missing_in(names: Iterable[str], wanted: Iterable[Server]) -> list[str]:
    """The servers whose tools are not listed."""
    found = {each.partition("__")[0] for each in names}
    return [each.name for each in wanted if (each.prefix or each.name) not in found]


Check = Callable[[Asked, str], str | None]


@define(eq=False)
class Hand:
    """What one client does, one thing after the other."""

    storm: ViewStorm
    front: Front
    nth: int
    random: Random
    _done: int = 0

    async def work(self, leaves: asyncio.Event) -> None:
        """Do things until the client leaves."""
        doings = [doing for doing, weight in WEIGHTS.items() for _ in range(weight)]
        while not leaves.is_set():
            self._done += 1
            text = f"{self.front.name}#{self.nth}.{self._done}"
            try:
                await self.random.choice(doings)(self, text)
            except Lost as why:
                self.front.complain(f"lost {text}: {why}")
            await asyncio.sleep(self.random.choice((0, 0.05, 0.2, 0.5)))

    @property
    def world(self) -> World:
        """What is known."""
        return self.storm.world

    def server(self, names: Iterable[str] = ()) -> Server | None:
        """One of those that it can reach, also of those that are not there just now."""
        found = [each for each in self.world.seen_from(self.front.path) if not names or each.name in names]
        return self.random.choice(found) if found else None

    async def call(
        self, what: str, server: Server, tool: str, arguments: Mapping[str, Any], check: Check, text: str
    ) -> None:
        """Call a tool in one of the ways that there are, and judge what comes of it."""
        begun, prefix = self.world.clock(), server.prefix
        name = f"{prefix or server.name}__{tool}" if is_view(self.front.path) else tool
        params: dict[str, Any] = {"name": name, "arguments": arguments}
        if is_view(self.front.path) and self.random.random() < 0.3:
            params = {"name": "gateway_invoke", "arguments": {"id": name, "args": arguments}}
            what += " through invoke"
        params["_meta"] = {"progressToken": self.nth}
        asked = await self.front.ask("tools/call", params)
        self.judge(what, server, begun, prefix, asked, check, text)

    def judge(
        self,
        what: str,
        server: Server,
        begun: float,
        prefix: str | None,
        asked: Asked,
        check: Check,
        text: str,
    ) -> None:
        """See that an answer is the right one."""
        why = server.doubted(begun, self.world.clock())
        failure = failure_of(asked.answer)
        if failure is None:
            wrong = "it is not there" if prefix is None and not why else check(asked, text)
            self.world.counts[what] += 1
        elif not failure:
            wrong = "an error without a message"
        else:
            wrong = None if prefix is None or why else "without a reason"
            kind = "refused, not there" if prefix is None else f"failed, {why.partition(' ')[2] or why}"
            self.world.counts[kind] += 1
        if wrong:
            self.front.complain(f"asked {server.name} {text} ({what}) and was answered {asked}: {wrong}")

    async def echo(self, text: str) -> None:
        """Hear one's own words."""
        if server := self.server():
            await self.call("echo", server, "echo", {"text": text}, same, text)

    async def who(self, text: str) -> None:
        """Ask a server who it is."""
        if server := self.server():
            await self.call(
                "who", server, "env", {"name": WHO}, lambda a, _: equal(a, f'"{server.name}"'), text
            )

    async def sleep(self, text: str) -> None:
        """Wait for an answer while others get theirs."""
        if server := self.server():
            ms = self.random.choice((20, 200, 1000))
            await self.call("sleep", server, "sleep", {"text": text, "ms": ms}, same, text)

    async def progress(self, text: str) -> None:
        """Hear how far a call has come, to the token that all clients use."""
        steps = self.random.randint(1, 6)

        def check(asked: Asked, _: str) -> str | None:
            told = [each["params"] for each in asked.said if each["method"] == "notifications/progress"]
            heard = [(each["progressToken"], each["progress"]) for each in told]
            wanted = [(self.nth, step) for step in range(1, steps + 1)]
            return None if heard == wanted else f"heard {heard}, not {wanted}"

        if server := self.server():
            given = {"steps": steps, "ms": self.random.choice((0, 5, 30))}
            await self.call("progress", server, "progress", given, check, text)

    async def ask(self, text: str) -> None:
        """Be asked something by a server, and see that it got one's own answer."""
        if server := self.server(ASKING):
            question = {"message": text, "requestedSchema": FORM}
            given = {"method": "elicitation/create", "params": question}
            said = f"{self.front.name}: {text}"

            def check(asked: Asked, _: str) -> str | None:
                return None if text_of(asked).count(json.dumps(said)) == 1 else f"it was not told {said!r}"

            await self.call("ask", server, "ask", given, check, text)

    async def list(self, text: str) -> None:
        """Ask what there is."""
        begun, before = self.world.clock(), {each.name: each.prefix for each in self.world.servers.values()}
        names = await listed(self.front)
        done, path = self.world.clock(), self.front.path
        self.world.counts["list"] += 1
        if path not in {"/mcp/full", "/mcp/p/x"}:
            return
        servers = [each for each in self.world.seen_from(path) if not each.doubted(begun, done)]
        # What came a moment ago may be late, and is announced then.
        known = [each for each in servers if each.name not in COMING and before[each.name] is not None]
        gone = [each for each in servers if before[each.name] is None]
        if missing := missing_in(names, known):
            self.front.complain(f"was not listed {missing}")
        if left := {each.name for each in gone} - set(missing_in(names, gone)):
            self.front.complain(f"was listed {left}, which are gone")

    async def job(self, text: str) -> None:
        """Begin something, and ask for it until it is done."""
        server = self.server() if is_view(self.front.path) else None
        if server is None:
            return
        begun, prefix = self.world.clock(), server.prefix
        given = {"id": f"{prefix or server.name}__sleep", "args": {"text": text, "ms": 100}}
        asked = await self._own("gateway_invoke_async", given)
        job = json.loads(text_of(asked)).get("jobId") if failure_of(asked.answer) is None else None
        while job is not None:
            asked = await self._own("gateway_invoke_status", {"jobId": job})
            status = json.loads(text_of(asked)).get("status")
            if status not in {"queued", "running"}:
                asked.answer["result"]["isError"] = status != "completed"
                break
            await asyncio.sleep(0.05)

        def check(asked: Asked, _: str) -> str | None:
            return None if text in text_of(asked) else "it is somebody else's"

        self.judge("job", server, begun, prefix, asked, check, text)

    async def _own(self, tool: str, given: Mapping[str, Any]) -> Asked:
        return await self.front.ask("tools/call", {"name": tool, "arguments": given})


def text_of(asked: Asked) -> str:
    """The text of a tool's result."""
    return str(asked.answer["result"]["content"][0]["text"])


def failure_of(answer: Mapping[str, Any]) -> str | None:
    """What an answer says has failed; None where nothing has."""
    if "error" in answer:
        return str(answer["error"].get("message", ""))
    result = answer["result"]
    return str(result["content"][0]["text"]) if result.get("isError") else None


def same(asked: Asked, text: str) -> str | None:
    """The answer is the call's own text."""
    return equal(asked, text)


def equal(asked: Asked, wanted: str) -> str | None:
    """The answer is that text."""
    return None if text_of(asked) == wanted else f"not {wanted}"


WEIGHTS = {
    Hand.echo: 10,
    Hand.who: 4,
    Hand.sleep: 4,
    Hand.progress: 6,
    Hand.ask: 6,
    Hand.list: 2,
    Hand.job: 2,
}
"""How often each thing is done."""
