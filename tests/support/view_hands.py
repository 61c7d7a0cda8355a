"""The actions of a client of a storm on views, and the judgement of the answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any

from attrs import define

from mcpgateway.owntools.missing_servers import KEY
from tests.support.view_fronts import Asked, Front, Lost
from tests.support.view_model import ASKING, COMING, WHO, Server, World, is_view
from tests.support.view_stories import now

FORM = {"type": "object", "properties": {"said": {"type": "string"}}}


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
    """The actions of a client, one after the other."""

    world: World
    front: Front
    nth: int
    random: Random
    _done: int = 0

    async def work(self, leaves: asyncio.Event) -> None:
        """Do things until the client leaves."""
        doings = [doing for doing, weight in WEIGHTS.items() for _ in range(weight)]
        while not leaves.is_set():
            self._done += 1
            text, begun = f"{self.front.name}#{self.nth}.{self._done}", now()
            try:
                await self.random.choice(doings)(self, text)
            except Lost as why:
                self.front.complain(f"lost {text}: {why}")
                self.world.stories.append(f"how {text} was lost: {self.front.told_since(begun)}")
            await asyncio.sleep(self.random.choice((0, 0.05, 0.2, 0.5)))

    def server(self, names: Iterable[str] = ()) -> Server | None:
        """Return a server that the client can reach, also one that is absent just now."""
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
        try:
            asked = await self.front.ask("tools/call", params)
        except Lost as why:
            raise Lost(f"{what} at {server.name}: {why}") from None
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
            # Below the first step is the gateway's own: the call waits for its turn.
            heard = [(each["progressToken"], each["progress"]) for each in told if each["progress"] >= 1]
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
        asked, path = await self.front.ask("tools/list", {}), self.front.path
        done = self.world.clock()
        if "result" not in asked.answer:
            # A server's own endpoint has it from the server.
            server = None if is_view(path) else self.world.seen_from(path)[0]
            if server is None or not server.doubted(begun, done):
                self.front.complain(f"asked for the list and was answered {asked}")
            return
        names = [each["name"] for each in asked.answer["result"]["tools"]]
        self.world.counts["list"] += 1
        if path not in {"/mcp/full", "/mcp/p/x"}:
            return
        servers = [each for each in self.world.seen_from(path) if not each.doubted(begun, done)]
        # What came a moment ago may be late, and is announced then.
        known = [each for each in servers if each.name not in COMING and before[each.name] is not None]
        gone = [each for each in servers if before[each.name] is None]
        named = asked.answer["result"].get("_meta", {}).get(KEY, {})
        if missing := [each for each in missing_in(names, known) if each not in named]:
            self.front.complain(f"was not listed {missing}, nor told so")
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
    """Return the failure that an answer reports; None for none."""
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
"""The relative frequency of each action."""
