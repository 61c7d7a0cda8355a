"""The modern era with a real gateway, real servers and the SDK's client (MCP 2026-07-28)."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from mcp import Client

from tests.support.dashboard import command
from tests.support.gateway import LIMIT_S, Gateway, eventually, server
from tests.support.http_client import Answer, Connection, request
from tests.support.real_servers import fixture

pytestmark = pytest.mark.functional

REVISION = "2026-07-28"
PREFIX = "io.modelcontextprotocol/"
SERVERS = {
    "dual": server(fixture("--era", "dual")),
    "modern": server(fixture("--era", "modern")),
    "legacy": server(fixture()),
    "silent": server(fixture("--mute-discover")),
    "kept": server(fixture("--era", "modern", "--ttl-ms", "600000", "--cache-scope", "public")),
    "own": server(fixture("--era", "modern"), share="session"),
    "beside": server(fixture("--era", "dual")),
    "alone": server(fixture("--era", "dual"), concurrency=1),
}

# Asks who serves it, says so, and waits: a client that says nothing of itself.
PROCESS = """
import encodings.idna, http.client, json, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=60)
connection.request("POST", "/own/mcp", sys.argv[2], json.loads(sys.argv[3]))
print(connection.getresponse().read().decode(), flush=True)
sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with servers of each kind."""
    with Gateway(tmp_path_factory.mktemp("modern"), SERVERS) as running:
        yield running


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    """Do something that takes no longer than it may."""
    return asyncio.run(asyncio.wait_for(work(), LIMIT_S))


def client_of(gateway: Gateway, name: str, mode: str = "auto", **more: Any) -> Client:
    """The SDK's client of a server."""
    return Client(f"{gateway.url}/{name}/mcp", mode=mode, **more)


async def value(client: Client, tool: str, **arguments: Any) -> Any:
    """The value that a tool answers."""
    result = await client.call_tool(tool, arguments)
    (content,) = result.content
    assert isinstance(content, types.TextContent)
    return json.loads(content.text)


async def pid(client: Client) -> int:
    """Which process serves a client."""
    found: int = (await value(client, "pid"))["pid"]
    return found


def body(tool: str, **arguments: Any) -> bytes:
    """A tools/call."""
    meta = {PREFIX + "protocolVersion": REVISION, PREFIX + "clientCapabilities": {}}
    params = {"name": tool, "arguments": arguments, "_meta": meta}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()


def headers(tool: str) -> dict[str, str]:
    """The headers that repeat a part of it."""
    return {"MCP-Protocol-Version": REVISION, "Mcp-Method": "tools/call", "Mcp-Name": tool}


async def posted(gateway: Gateway, name: str, tool: str, *lines: tuple[str, str], **arguments: Any) -> Answer:
    """The answer to a tools/call of our own making."""
    connection = await Connection.open(gateway.url)
    more = headers(tool) | dict(lines)
    answer = await connection.ask("POST", f"/{name}/mcp", body(tool, **arguments), more)
    connection.close()
    return answer


class NegotiationTests:
    """The era that a client of both ends up in."""

    @pytest.mark.parametrize(
        ("name", "revision"),
        [("dual", REVISION), ("modern", REVISION), ("legacy", "2025-11-25"), ("silent", "2025-11-25")],
    )
    def test_the_servers_own(self, gateway: Gateway, name: str, revision: str) -> None:
        """The client speaks the era of the server, the modern one where that speaks both."""

        async def work() -> str:
            async with client_of(gateway, name) as client:
                assert await value(client, "echo", text='"hello"') == "hello"
                return str(client.protocol_version)

        assert run(work) == revision

    def test_seen(self, gateway: Gateway) -> None:
        """A client without a session is where sessions are listed, and in the usage, with its calls."""

        async def work() -> None:
            """Call a tool twice."""
            info = types.Implementation(name="nomad", version="7")
            async with client_of(gateway, "modern", client_info=info) as client:
                for _ in range(2):
                    await value(client, "echo", text="1")

        run(work)
        told = command(gateway, "sessions", "list")
        assert "Clients without a session" in told
        listed = json.loads(command(gateway, "sessions", "list", "--json"))["without"]
        (nomad,) = [each for each in listed if each["client"].get("name") == "nomad"]
        assert (nomad["client"]["version"], nomad["server"], nomad["calls"]) == ("7", "modern", 2)
        usage = json.loads(command(gateway, "status", "--usage", "--json"))
        assert [each["calls"] for each in usage["items"] if each["name"] == "nomad"] == [2]

    def test_whatever_runs(self, gateway: Gateway) -> None:
        """A client of both eras speaks the modern one while a legacy child runs, to that one if there is no other."""

        async def work() -> None:
            async with client_of(gateway, "beside", "legacy") as old, client_of(gateway, "beside") as either:
                assert either.protocol_version == REVISION
                assert await pid(either) != await pid(old)
            async with client_of(gateway, "alone", "legacy") as old, client_of(gateway, "alone") as either:
                assert either.protocol_version == REVISION
                assert await pid(either) == await pid(old)

        run(work)


class SharedTests:
    """Many clients on one child."""

    def test_crossed(self, gateway: Gateway) -> None:
        """Each of many clients gets its own answers and its own progress, from one process."""

        async def one(number: int) -> tuple[int, list[float]]:
            seen: list[float] = []

            async def heard(progress: float, total: float | None, message: str | None) -> None:
                assert total == number + 1
                seen.append(progress)

            async with client_of(gateway, "modern") as client:
                for nth in range(10):
                    text = f"{number}-{nth}"
                    assert await value(client, "echo", text=json.dumps(text)) == text
                await client.call_tool("progress", {"steps": number + 1, "ms": 5}, progress_callback=heard)
                return await pid(client), seen

        async def work() -> list[tuple[int, list[float]]]:
            return await asyncio.gather(*map(one, range(8)))

        found = run(work)
        assert len({each for each, _ in found}) == 1
        assert [seen for _, seen in found] == [list(range(1, number + 2)) for number in range(8)]

    def test_both_eras(self, gateway: Gateway) -> None:
        """Clients of both eras at one server have a process for each era, and the end of one is not the other's."""

        async def work() -> None:
            async with (
                client_of(gateway, "dual", REVISION) as new,
                client_of(gateway, "dual", "legacy") as old,
            ):
                first = await pid(old)
                assert await pid(new) != first
                with pytest.raises(Exception, match="ended before it answered"):
                    await new.call_tool("die", {})
                assert await pid(old) == first
                assert await pid(new) != first

        run(work)

    def test_questions(self, gateway: Gateway) -> None:
        """The question to each of two clients, and its answer, is its own."""

        async def one(name: str) -> str:
            async def asked(context: Any, params: Any) -> types.ElicitResult:
                await asyncio.sleep(0.05)
                return types.ElicitResult(action="accept", content={"name": name})

            question = {"message": "Who?", "requestedSchema": {"type": "object", "properties": {}}}
            async with client_of(gateway, "modern", elicitation_callback=asked) as client:
                arguments = {"method": "elicitation/create", "params": question, "rounds": 2, "state": name}
                said = await client.call_tool("ask", arguments)
                (content,) = said.content
                assert isinstance(content, types.TextContent)
                return content.text

        async def work() -> list[str]:
            return await asyncio.gather(one("Ada"), one("Bea"))

        for name, other, said in zip(("Ada", "Bea"), ("Bea", "Ada"), run(work), strict=True):
            assert name in said
            assert other not in said

    def test_hanging_up(self, gateway: Gateway) -> None:
        """A client that disconnects has its call taken back at the server."""

        async def work() -> None:
            connection = await Connection.open(gateway.url)
            await connection.send(request("POST", "/modern/mcp", body("mute"), headers("mute")))
            await asyncio.to_thread(
                eventually, lambda: gateway.backend("modern")["calls"], "the call is under way"
            )
            before = len(await cancelled(gateway))
            connection.close()
            await asyncio.to_thread(
                eventually, lambda: not gateway.backend("modern")["calls"], "it is taken back"
            )
            assert len(await cancelled(gateway)) == before + 1

        run(work)

    def test_kept_results(self, gateway: Gateway) -> None:
        """A list that may be kept is asked for once, however many clients want it."""

        async def work() -> None:
            for _ in range(3):
                async with client_of(gateway, "kept") as client:
                    assert (await client.list_prompts()).prompts
            async with client_of(gateway, "kept") as client:
                assert (await value(client, "asked"))["prompts/list"] == 1

        run(work)

    def test_headers(self, gateway: Gateway) -> None:
        """A tool whose arguments travel as headers too is called by the SDK, and by nobody who contradicts himself."""

        async def work() -> None:
            async with client_of(gateway, "modern") as client:
                await client.list_tools()
                said = await value(client, "headers", region="eu", limit=3, dry_run=True)
                assert said == {"region": "eu", "limit": 3, "dry_run": True}
            wrong = await posted(gateway, "modern", "headers", ("Mcp-Param-Region", "us"), region="eu")
            assert (wrong.status, wrong.json["error"]["code"], wrong.json["id"]) == (400, -32020, 1)

        run(work)


async def cancelled(gateway: Gateway) -> list[str]:
    """The calls that the modern server was told to forget."""
    answer = await posted(gateway, "modern", "cancelled")
    found: list[str] = json.loads(answer.json["result"]["content"][0]["text"])
    return found


class ListeningTests:
    """subscriptions/listen."""

    def test_one_for_many(self, gateway: Gateway) -> None:
        """Several clients hear of what they asked for over one listen, through the death of the server too."""

        async def work() -> None:
            async with (
                client_of(gateway, "modern") as one,
                client_of(gateway, "modern") as two,
                client_of(gateway, "modern") as other,
                one.listen(tools_list_changed=True) as tools,
                two.listen(resource_subscriptions=["fixture:///text"]) as resources,
            ):
                (listen,) = await value(other, "listens")
                assert listen["notifications"] == {
                    "toolsListChanged": True,
                    "resourceSubscriptions": ["fixture:///text"],
                }
                await value(other, "notify", method="notifications/tools/list_changed")
                updated = {"uri": "fixture:///text"}
                await value(other, "notify", method="notifications/resources/updated", params=updated)
                assert "Tools" in type(await anext(aiter(tools))).__name__
                assert "Resource" in type(await anext(aiter(resources))).__name__
                with pytest.raises(Exception, match="ended before it answered"):
                    await other.call_tool("die", {})
                assert "Tools" in type(await anext(aiter(tools))).__name__
                assert "Resource" in type(await anext(aiter(resources))).__name__
                (listen,) = await value(other, "listens")
                assert len(listen["notifications"]) == 2

        run(work)

    @pytest.mark.parametrize("how", ["result", "cancelled", "both"])
    def test_the_servers_end(self, gateway: Gateway, how: str) -> None:
        """When the server ends it, everybody's loop ends in order."""

        async def work() -> None:
            async with (
                client_of(gateway, "modern") as one,
                client_of(gateway, "modern") as two,
                one.listen(tools_list_changed=True) as first,
                two.listen(tools_list_changed=True) as second,
            ):
                assert await value(one, "end_listens", how=how) == 1
                assert [each async for each in first] == []
                assert [each async for each in second] == []

        run(work)

    def test_the_gateways_end(self, tmp_path: Path) -> None:
        """A client's listening ends in order when the gateway stops, too."""

        async def work(own: Gateway) -> None:
            async with client_of(own, "modern") as client, client.listen(tools_list_changed=True) as stream:
                await asyncio.to_thread(own.terminate)
                assert [each async for each in stream] == []

        with Gateway(tmp_path, {"modern": SERVERS["modern"]}) as own:
            run(lambda: work(own))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells who is at the other end")
class StatefulTests:
    """A server that keeps state for each client."""

    def test_a_child_for_each_process(self, gateway: Gateway) -> None:
        """Each process that calls has its own, on all its connections, and it ends with the process."""

        async def mine() -> int:
            said = (await posted(gateway, "own", "pid")).json["result"]["content"][0]["text"]
            found: int = json.loads(said)["pid"]
            return found

        first = run(mine)
        assert run(mine) == first
        usual = {"Content-Type": "application/json", **headers("pid")}
        argv = [
            sys.executable,
            "-I",
            "-S",
            "-c",
            PROCESS,
            str(gateway.port),
            body("pid").decode(),
            json.dumps(usual),
        ]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            answer = json.loads(process.stdout.readline())
            second = json.loads(answer["result"]["content"][0]["text"])["pid"]
            assert second != first
            assert {first, second} <= set(gateway.children())
            process.kill()
        eventually(lambda: second not in gateway.children(), "its child ends")
        assert run(mine) == first


class RecordTests:
    """The record of a server's era."""

    def test_survives(self, tmp_path: Path) -> None:
        """A gateway that comes back probes nothing again."""

        async def work(own: Gateway) -> None:
            async with client_of(own, "dual") as client:
                assert client.protocol_version == REVISION

        with Gateway(tmp_path, {"dual": SERVERS["dual"]}) as own:
            run(lambda: work(own))
            assert own.log.count("dual speaks:") == 1
            own.terminate()
            own.start()
            run(lambda: work(own))
            assert own.log.count("dual speaks:") == 1
