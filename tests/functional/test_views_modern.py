"""Modern clients of the endpoint of all servers: a real gateway, real servers of either era, and the SDK's client."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import mcp_types as types
import pytest
from mcp import Client

from tests.support.gateway import Gateway, eventually, server
from tests.support.http_client import Connection, request
from tests.support.real_servers import fixture
from tests.support.whole import whole

pytestmark = pytest.mark.functional

LIMIT_S = 120
REVISION = "2026-07-28"
PREFIX = "io.modelcontextprotocol/"
TASKS = PREFIX + "tasks"
TEXT = "fixture:///text"  # every server of this kind has it
FORM = {"message": "Who?", "requestedSchema": {"type": "object", "properties": {"who": {"type": "string"}}}}
SERVERS = {
    "modern": server(fixture("--era", "modern")),
    "dual": server(fixture("--era", "dual")),
    "asks": server(fixture("--era", "legacy"), interactive=True),
    "plain": server(fixture("--era", "legacy")),
    "own": server(fixture("--era", "modern"), share="session"),
}

# Calls a tool by itself, and waits until it is let go: another process, and so another client.
PROCESS = """
import encodings.idna, http.client, json, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=60)
connection.request("POST", "/mcp/full", sys.argv[2], json.loads(sys.argv[3]))
print(connection.getresponse().read().decode(), flush=True)
sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with servers of each kind."""
    with Gateway(tmp_path_factory.mktemp("views"), SERVERS, settings={"bridge": "auto"}) as running:
        yield running
        assert "Traceback" not in running.log


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    """Do something that takes no longer than it may."""

    async def limited() -> Any:
        async with asyncio.timeout(LIMIT_S):
            return await work()

    return asyncio.run(limited())


class Person:
    """The person at a client, who can be asked and says who it was.

    :ivar is_asked: set once there was a question; it is answered once `may_answer` is set.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.logged: list[Any] = []

    @asynccontextmanager
    async def at(self, gateway: Gateway, path: str = "mcp/full", **more: Any) -> AsyncIterator[Client]:
        """Return the person's client of a view."""
        client = Client(
            f"{gateway.url}/{path}",
            mode=REVISION,
            elicitation_callback=self.elicited,
            logging_callback=self.told,
            **more,
        )
        async with client:
            yield client

    async def elicited(self, context: Any, params: Any) -> types.ElicitResult:
        """Fill in a form."""
        self.is_asked.set()
        await self.may_answer.wait()
        return types.ElicitResult(action="accept", content={"who": self.name})

    async def told(self, params: Any) -> None:
        """Hear a log message."""
        self.logged.append(params.data)


def text(result: Any) -> str:
    """The text of a tool's result."""
    assert not result.is_error, result
    return str(result.content[0].text)


async def value(client: Client, tool: str, **arguments: Any) -> Any:
    """The value that a tool answers."""
    return json.loads(text(await client.call_tool(tool, arguments)))


async def ask(client: Client, name: str) -> str:
    """Have a server ask its client; who has answered, as far as it says."""
    return text(await client.call_tool(f"{name}__ask", {"method": "elicitation/create", "params": FORM}))


def body(method: str, **params: Any) -> bytes:
    """A request of a client that knows tasks."""
    capabilities = {"extensions": {TASKS: {}}}
    meta = {PREFIX + "protocolVersion": REVISION, PREFIX + "clientCapabilities": capabilities}
    said = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
    return json.dumps(said).encode()


def headers(method: str, name: str) -> dict[str, str]:
    """The headers that repeat a part of it."""
    return {"MCP-Protocol-Version": REVISION, "Mcp-Method": method, "Mcp-Name": name}


async def posted(gateway: Gateway, method: str, named: str, **params: Any) -> Any:
    """The answer to a request of our own making."""
    connection = await Connection.open(gateway.url)
    answer = await connection.ask("POST", "/mcp/full", body(method, **params), headers(method, named))
    connection.close()
    return answer.json


class NegotiationTests:
    """The era that a client of both ends up in."""

    def test_modern_at_once(self, gateway: Gateway) -> None:
        """A view speaks the modern era, whatever its servers speak, and starts none of them to say so."""

        async def work() -> tuple[str, int]:
            async with Client(f"{gateway.url}/mcp/full", mode="auto") as client:
                return str(client.protocol_version), sum(
                    each["starts"] for each in gateway.health()["backends"]
                )

        assert run(work) == (REVISION, 0)


class ListTests:
    """Lists of the view."""

    def test_all_servers(self, gateway: Gateway) -> None:
        """Tools, prompts, resources and templates of servers of either era stand in one list."""

        async def work() -> tuple[list[str], list[str], list[str]]:
            async with Person("one").at(gateway) as client:
                tools = (await whole(client.list_tools)).tools
                prompts = (await whole(client.list_prompts)).prompts
                resources = (await whole(client.list_resources)).resources
                return (
                    [each.name for each in tools],
                    [each.name for each in prompts],
                    [str(each.uri) for each in resources],
                )

        tools, prompts, resources = run(work)
        for name in SERVERS:
            assert f"{name}__echo" in tools
        assert "modern__text" in prompts
        assert TEXT in resources
        assert len(resources) == len(set(resources))

    def test_a_resource_of_many(self, gateway: Gateway) -> None:
        """Where several servers have a resource of one URI, each can be read under a URI of its own."""

        async def work() -> list[str]:
            async with Person("one").at(gateway) as client:
                listed = (await whole(client.list_resources)).resources
                same = [str(each.uri) for each in listed if str(each.uri).endswith(TEXT)]
                found = [await client.read_resource(uri) for uri in same]
                assert [str(each.contents[0].uri) for each in found] == same
                return same

        assert len(run(work)) >= 2


class CallTests:
    """Calls of tools of many servers."""

    def test_crossed(self, gateway: Gateway) -> None:
        """Each of many clients gets its own answers and its own progress, from servers of either era."""

        async def one(number: int) -> list[float]:
            seen: list[float] = []
            name = ("modern", "plain", "dual", "asks")[number % 4]

            async def heard(progress: float, total: float | None, message: str | None) -> None:
                assert total == number + 1
                seen.append(progress)

            async with Person(str(number)).at(gateway) as client:
                for nth in range(10):
                    said = f"{number}-{nth}"
                    assert await value(client, f"{name}__echo", text=json.dumps(said)) == said
                await client.call_tool(
                    f"{name}__progress", {"steps": number + 1, "ms": 5}, progress_callback=heard
                )
                return seen

        async def work() -> list[list[float]]:
            return await asyncio.gather(*map(one, range(8)))

        assert run(work) == [list(range(1, number + 2)) for number in range(8)]

    @pytest.mark.parametrize("name", ["modern", "dual", "asks"])
    def test_questions_crossed(self, gateway: Gateway, name: str) -> None:
        """Two clients are asked at the same time, and the second answers first: each call gets its own answer."""

        async def work() -> list[str]:
            one, two = Person("Ada"), Person("Bea")
            one.may_answer.clear()
            async with one.at(gateway) as first, two.at(gateway) as second:
                earlier = asyncio.create_task(ask(first, name))
                await one.is_asked.wait()
                later = await ask(second, name)
                assert not earlier.done()
                one.may_answer.set()
                return [await earlier, later]

        ada, bea = run(work)
        assert "Ada" in ada
        assert "Bea" not in ada
        assert "Bea" in bea
        assert "Ada" not in bea

    def test_questions_of_all(self, gateway: Gateway) -> None:
        """A client is asked by servers of both eras at once, over one view."""

        async def work() -> list[str]:
            async with Person("Ada").at(gateway) as client:
                return await asyncio.gather(*(ask(client, name) for name in ("modern", "dual", "asks")))

        assert all("Ada" in each for each in run(work))

    def test_headers(self, gateway: Gateway) -> None:
        """A tool whose arguments travel as headers too is called by the SDK as at its server's own endpoint."""

        async def work() -> None:
            async with Person("one").at(gateway) as client:
                await whole(client.list_tools)
                said = await value(client, "modern__headers", region="eu", limit=3, dry_run=True)
                assert said == {"region": "eu", "limit": 3, "dry_run": True}
            wrong = await posted(
                gateway, "tools/call", "modern__headers", name="modern__headers", arguments={"region": "eu"}
            )
            assert wrong["error"]["code"] == -32020

        run(work)

    def test_hanging_up(self, gateway: Gateway) -> None:
        """A client that disconnects has its call taken back at the server."""

        async def work() -> None:
            connection = await Connection.open(gateway.url)
            method, name = "tools/call", "modern__mute"
            said = body(method, name=name, arguments={})
            await connection.send(request("POST", "/mcp/full", said, headers(method, name)))
            await asyncio.to_thread(
                eventually, lambda: gateway.backend("modern")["calls"], "the call is under way"
            )
            connection.close()
            await asyncio.to_thread(
                eventually, lambda: not gateway.backend("modern")["calls"], "it is taken back"
            )

        run(work)

    def test_a_task(self, gateway: Gateway) -> None:
        """A task is begun, looked at and ended over the view."""

        async def work() -> None:
            name = "modern__task"
            begun = await posted(gateway, "tools/call", name, name=name, arguments={"ms": 60_000})
            task = begun["result"]["taskId"]
            shown = await posted(gateway, "tasks/get", task, taskId=task)
            assert shown["result"]["status"] == "working"
            await posted(gateway, "tasks/cancel", task, taskId=task)
            shown = await posted(gateway, "tasks/get", task, taskId=task)
            assert shown["result"]["status"] == "cancelled"
            unknown = await posted(gateway, "tasks/get", "nothing", taskId="nothing")
            assert unknown["error"]["code"] == -32602

        run(work)

    def test_state_of_each(self, gateway: Gateway) -> None:
        """A server that keeps state for each client has a process for each process that calls, on a view too."""

        async def mine() -> list[int]:
            async with Person("one").at(gateway) as one, Person("two").at(gateway) as two:
                return [(await value(each, "own__pid"))["pid"] for each in (one, two)]

        here = run(mine)
        assert here[0] == here[1]
        argv = [sys.executable, "-c", PROCESS, str(gateway.port)]
        argv += [
            body("tools/call", name="own__pid", arguments={}).decode(),
            json.dumps(headers("tools/call", "own__pid") | {"Content-Type": "application/json"}),
        ]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout is not None
            answer = json.loads(other.stdout.readline())
            other.communicate("\n", timeout=LIMIT_S)
        assert json.loads(answer["result"]["content"][0]["text"])["pid"] != here[0]


class OwnToolTests:
    """The gateway's own tools, which find and call those of the servers."""

    def test_search_and_call(self, gateway: Gateway) -> None:
        """A tool is found by what it does and called by its id, over the view that lists no others."""

        async def work() -> tuple[list[str], str]:
            async with Person("one").at(gateway, "mcp/search") as client:
                listed = [each.name for each in (await client.list_tools()).tools]
                assert "echo" in text(await client.call_tool("gateway_search", {"query": "echo"}))
                said = {"id": "plain__echo", "args": {"text": "hello"}}
                return listed, text(await client.call_tool("gateway_invoke", said))

        listed, said = run(work)
        assert all(each.startswith("gateway_") for each in listed)
        assert said == "hello"

    @pytest.mark.parametrize("name", ["modern", "asks"])
    def test_questions(self, gateway: Gateway, name: str) -> None:
        """A question of a tool that is called so reaches its own client of two, and the answer its tool."""

        async def one(who: str) -> str:
            async with Person(who).at(gateway, "mcp/search") as client:
                asked = {"method": "elicitation/create", "params": FORM}
                said = {"id": f"{name}__ask", "args": asked}
                return text(await client.call_tool("gateway_invoke", said))

        async def work() -> list[str]:
            return await asyncio.gather(one("Ada"), one("Bea"))

        for who, said in zip(("Ada", "Bea"), run(work), strict=True):
            assert who in said

    @pytest.mark.parametrize("name", ["modern", "plain", "asks"])
    def test_too_much(self, gateway: Gateway, name: str) -> None:
        """A result that is too much is shortened, whatever era its server speaks, but not at its own endpoint."""

        async def work() -> tuple[int, int]:
            said = {"bytes": 300_000}
            async with Person("one").at(gateway) as client:
                short = len(text(await client.call_tool(f"{name}__big", said)))
            async with Client(f"{gateway.url}/{name}/mcp", mode="auto") as client:
                return short, len(text(await client.call_tool("big", said)))

        short, whole = run(work)
        assert whole >= 300_000
        assert short < 100_000


class ListeningTests:
    """subscriptions/listen on a view."""

    @pytest.mark.parametrize("name", ["modern", "plain"])
    def test_lists(self, gateway: Gateway, name: str) -> None:
        """A change of the list of a server of either era is heard by whoever asked for that."""

        async def work() -> None:
            async with Person("one").at(gateway) as client:
                await whole(client.list_tools)
                async with client.listen(tools_list_changed=True) as tools:
                    await value(client, f"{name}__notify", method="notifications/tools/list_changed")
                    assert "Tools" in type(await anext(aiter(tools))).__name__

        run(work)

    def test_resources(self, gateway: Gateway) -> None:
        """Of two servers with a resource of one URI each is heard under the URI that it has on the view."""

        async def work() -> None:
            async with Person("one").at(gateway) as one, Person("two").at(gateway) as two:
                uris = {name: await own_uri(one, name) for name in ("modern", "dual")}
                assert len(set(uris.values())) == 2
                async with (
                    one.listen(resource_subscriptions=[uris["modern"]]) as first,
                    two.listen(resource_subscriptions=[uris["dual"]]) as second,
                ):
                    for name, heard in (("dual", second), ("modern", first)):
                        updated = {"method": "notifications/resources/updated", "params": {"uri": TEXT}}
                        await value(one, f"{name}__notify", **updated)
                        assert f"uri='{uris[name]}'" in str(await anext(aiter(heard))).replace('"', "'")

        run(work)

    def test_the_gateways_end(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        """Everybody's loop ends in order when the gateway stops."""
        with Gateway(tmp_path_factory.mktemp("end"), {"modern": SERVERS["modern"]}) as running:

            async def work() -> list[Any]:
                async with (
                    Person("one").at(running) as client,
                    client.listen(tools_list_changed=True, resource_subscriptions=[TEXT]) as heard,
                ):
                    await asyncio.to_thread(running.stop)
                    return [each async for each in heard]

            assert run(work) == []


async def own_uri(client: Client, name: str) -> str:
    """The view's URI of a server's resource: the first server that has it keeps its URI."""
    listed = [str(each.uri) for each in (await whole(client.list_resources)).resources]
    prefixed = [uri for uri in listed if uri.endswith(TEXT) and f"{name}/" in uri]
    return prefixed[0] if prefixed else TEXT
