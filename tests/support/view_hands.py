"""The steps of a client of the storm on views, and the checks of the answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any

from mcpgateway.owntools.missing_servers import KEY
from tests.support.harness.clients import Reply, StormClient
from tests.support.harness.hands import Hand, equal
from tests.support.harness.model import Lost, Server, clock
from tests.support.view_model import ASKING, COMING, WHO

FORM = {"type": "object", "properties": {"said": {"type": "string"}}}


async def listed(client: StormClient) -> list[str]:
    """The names of the tools that a client is listed."""
    reply = await client.ask("tools/list", {})
    if "result" not in reply.answer:
        raise Lost(f"tools/list: {reply}")
    return [each["name"] for each in reply.answer["result"]["tools"]]


def missing_in(names: Iterable[str], wanted: Iterable[Server]) -> list[str]:
    """The servers whose tools are not listed."""
    found = {each.partition("__")[0] for each in names}
    return [each.name for each in wanted if (each.prefix or each.name) not in found]


class ViewHand(Hand):
    """The calls of a client at any endpoint."""

    def server(self, names: Iterable[str] = ()) -> Server | None:
        """Return a server that the client can reach, also one that is absent just now."""
        found = [each for each in self.model.seen_from(self.client.path) if not names or each.name in names]
        return self.random.choice(found) if found else None

    async def who(self) -> bool:
        """Ask a server who it is."""
        server = self.server()
        name = server.name if server is not None else ""
        return await self.call("who", server, "env", {"name": WHO}, equal(f'"{name}"'))

    async def progress(self) -> bool:
        """Hear how far a call has come, to the token that all clients use."""
        steps = self.random.randint(1, 6)

        def check(reply: Reply) -> str | None:
            told = [each["params"] for each in reply.said if each["method"] == "notifications/progress"]
            # Below the first step is the gateway's own: the call waits for its turn.
            heard = [(each["progressToken"], each["progress"]) for each in told if each["progress"] >= 1]
            wanted = [(self.nth, step) for step in range(1, steps + 1)]
            return None if heard == wanted else f"heard {heard}, not {wanted}"

        given = {"steps": steps, "ms": self.random.choice((0, 5, 30))}
        return await self.call("progress", self.server(), "progress", given, check)

    async def ask(self) -> bool:
        """Be asked something by a server, and see that it got one's own answer."""
        text = self.text()
        given = {"method": "elicitation/create", "params": {"message": text, "requestedSchema": FORM}}
        said = json.dumps(f"{self.client.name}: {text}")

        def check(reply: Reply) -> str | None:
            return None if reply.text.count(said) == 1 else f"it was not told {said}"

        return await self.call("ask", self.server(ASKING), "ask", given, check)

    async def list(self) -> None:
        """Ask what there is."""
        begun, before = clock(), {each.name: each.prefix for each in self.model.servers.values()}
        reply, path = await self.client.ask("tools/list", {}), self.client.path
        if "result" not in reply.answer:
            # A server's own endpoint has it from the server.
            if self.client.is_at_view or not self.model.seen_from(path)[0].excuse(begun):
                self.client.complain(f"asked for the list and was answered {reply}")
            return
        names = [each["name"] for each in reply.answer["result"]["tools"]]
        self.model.counts["list"] += 1
        # A client that is given the present list is not told that it has changed.
        self.client.heard_at["notifications/tools/list_changed"] = clock()
        if path not in {"/mcp/full", "/mcp/p/x"}:
            return
        servers = [each for each in self.model.seen_from(path) if not each.excuse(begun)]
        # What came a moment ago may be late, and is announced then.
        known = [each for each in servers if each.name not in COMING and before[each.name] is not None]
        gone = [each for each in servers if before[each.name] is None]
        named = reply.answer["result"].get("_meta", {}).get(KEY, {})
        if missing := [each for each in missing_in(names, known) if each not in named]:
            self.client.complain(f"was not listed {missing}, nor told so")
        if left := {each.name for each in gone} - set(missing_in(names, gone)):
            self.client.complain(f"was listed {left}, which are gone")

    async def job(self) -> None:
        """Begin something, and ask for it until it is done."""
        server = self.server() if self.client.is_at_view else None
        if server is None:
            return
        begun, prefix, text = clock(), server.prefix, self.text()
        given = {"id": f"{prefix or server.name}__sleep", "args": {"text": text, "ms": 100}}
        reply = await self._own("gateway_invoke_async", given)
        job = json.loads(reply.text).get("jobId") if reply.failure is None else None
        while job is not None:
            reply = await self._own("gateway_invoke_status", {"jobId": job})
            status = json.loads(reply.text).get("status")
            if status not in {"queued", "running"}:
                reply.answer["result"]["isError"] = status != "completed"
                break
            await asyncio.sleep(0.05)

        def check(reply: Reply) -> str | None:
            return None if text in reply.text else "it is somebody else's"

        self.judge(text, "job", server, begun, prefix, reply, check)

    async def _own(self, tool: str, given: Mapping[str, Any]) -> Reply:
        return await self.client.ask("tools/call", {"name": tool, "arguments": given})


WEIGHTS = {
    ViewHand.echo: 10,
    ViewHand.who: 4,
    ViewHand.sleep: 4,
    ViewHand.progress: 6,
    ViewHand.ask: 6,
    ViewHand.list: 2,
    ViewHand.job: 2,
}
"""The relative frequency of each action."""
