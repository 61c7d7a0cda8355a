"""HTTP with SSE, by the clients of the Python SDK and by hand."""

import asyncio
import json
import signal
import subprocess
import sys
from contextlib import asynccontextmanager

import mcp_types as types
import pytest
from mcp import Client, ClientSession
from mcp.client.sse import sse_client

from tests.support.gateway import Gateway, eventually, server
from tests.support.http_client import LIMIT_S, Connection, message, request, text_of, tool_call
from tests.support.real_servers import fixture

pytestmark = pytest.mark.functional

SERVERS = {"fix": server(fixture()), "own": server(fixture(), share="session", interactive=True)}
AT_ONCE = 30  # calls that each of two clients has under way

# A client that begins a session, says which process serves it, and waits to be killed.
LASTING = """
import asyncio, sys
from mcp import ClientSession
from mcp.client.sse import sse_client

async def work():
    async with sse_client(sys.argv[1]) as ways, ClientSession(*ways) as session:
        await session.initialize()
        told = await session.call_tool("pid", {})
        print(told.content[0].text, flush=True)
        await asyncio.sleep(600)

asyncio.run(work())
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A gateway with a shared server, and one with a child for each session that may ask its client something."""
    with Gateway(tmp_path_factory.mktemp("gateway"), SERVERS) as running:
        yield running


@pytest.fixture
def owner():
    """A process that sessions can belong to."""
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@asynccontextmanager
async def session(gateway, name="fix", **callbacks):
    """A session of the SDK's older kind."""
    async with sse_client(f"{gateway.url}/{name}/sse") as ways, ClientSession(*ways, **callbacks) as opened:
        hello = await opened.initialize()
        assert hello.protocol_version == "2025-11-25"
        yield opened


def run(work):
    """Run a test's coroutine to its end."""

    async def limited():
        async with asyncio.timeout(LIMIT_S):
            return await work()

    return asyncio.run(limited())


def said(result):
    """The text of a tool's result."""
    return result.content[0].text


async def until(holds, what):
    """Wait until something holds, while others go on."""
    await asyncio.to_thread(eventually, holds, what)


class SdkTests:
    """The SDK's own client of this transport."""

    @pytest.mark.parametrize("name", ["fix", "own"])
    def test_listing_and_calling(self, gateway, name):
        """Tools are listed and called, on a shared server and on one with a child for each session."""

        async def work():
            async with session(gateway, name) as client:
                assert "echo" in {each.name for each in (await client.list_tools()).tools}
                assert said(await client.call_tool("echo", {"text": "é\u2028 \\n"})) == "é\u2028 \\n"
                assert len(said(await client.call_tool("big", {"bytes": 800_000}))) >= 800_000

        run(work)

    @pytest.mark.parametrize("name", ["fix", "own"])
    def test_a_client_that_tries_what_is_newer(self, gateway, name):
        """A client that asks for the newest revision first finds the one that is spoken here."""

        async def work():
            async with Client(sse_client(f"{gateway.url}/{name}/sse")) as client:
                assert client.protocol_version == "2025-11-25"
                return said(await client.call_tool("echo", {"text": "x"}))

        assert run(work) == "x"

    def test_questions(self, gateway):
        """Sampling, elicitation and roots are asked on the stream, and answered by POST."""

        async def sample(_, params):
            text = types.TextContent(type="text", text=params.messages[0].content.text.upper())
            return types.CreateMessageResult(role="assistant", content=text, model="m")

        async def elicit(_, params):
            return types.ElicitResult(action="accept", content={"answer": params.message})

        async def roots(_):
            return types.ListRootsResult(roots=[types.Root(uri="file:///here")])

        schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
        words = [{"role": "user", "content": {"type": "text", "text": "loud"}}]
        asked = {
            "sampling/createMessage": {"messages": words, "maxTokens": 5},
            "elicitation/create": {"mode": "form", "message": "why", "requestedSchema": schema},
            "roots/list": {},
        }

        async def work():
            callbacks = {
                "sampling_callback": sample,
                "elicitation_callback": elicit,
                "list_roots_callback": roots,
            }
            async with session(gateway, "own", **callbacks) as client:
                answers = [
                    await client.call_tool("ask", {"method": method, "params": params})
                    for method, params in asked.items()
                ]
            return [json.loads(said(each))["result"] for each in answers]

        sampled, elicited, listed = run(work)
        assert sampled["content"]["text"] == "LOUD"
        assert elicited == {"action": "accept", "content": {"answer": "why"}}
        assert listed["roots"][0]["uri"] == "file:///here"

    def test_progress(self, gateway):
        """Progress arrives in its order, before the answer."""
        told = []

        async def progressed(value, total, text):
            told.append(value)

        async def work():
            async with session(gateway) as client:
                await client.call_tool("progress", {"steps": 5}, progress_callback=progressed)

        run(work)
        assert told == [1, 2, 3, 4, 5]

    def test_list_changes_and_logs(self, gateway):
        """A notification of the server reaches its clients, one that has no call under way too."""

        async def work():
            heard = [asyncio.Queue(), asyncio.Queue()]

            async def first(notification):
                await heard[0].put(type(notification).__name__)

            async def second(notification):
                await heard[1].put(type(notification).__name__)

            async with (
                session(gateway, message_handler=first) as one,
                session(gateway, message_handler=second),
            ):
                await one.call_tool("notify", {"method": "notifications/tools/list_changed"})
                await one.call_tool("log", {"level": "error", "n": 1})
                return [
                    [await heard[0].get(), await heard[0].get()],
                    [await heard[1].get()],
                ]

        assert run(work) == [
            ["ToolListChangedNotification", "LoggingMessageNotification"],
            ["ToolListChangedNotification"],
        ]

    def test_two_clients_with_the_same_ids(self, gateway):
        """The two clients count their requests from the same number, and their answers overtake each other."""

        async def calls(client, name):
            async def call(number):
                text = f"{name} {number}"
                told = await client.call_tool("sleep", {"ms": (number * 7) % 50, "text": text})
                return said(told) == text

            return await asyncio.gather(*map(call, range(AT_ONCE)))

        async def work():
            async with session(gateway) as one, session(gateway) as two:
                return await asyncio.gather(calls(one, "one"), calls(two, "two"))

        assert run(work) == [[True] * AT_ONCE] * 2

    def test_closing(self, gateway):
        """A client that leaves takes its session along, and the child that only it had."""

        async def work():
            async with session(gateway, "own") as client:
                pid = json.loads(said(await client.call_tool("pid", {})))["pid"]
                assert pid in gateway.children()
                assert gateway.backend("own")["sessions"] == 1
            await until(lambda: pid not in gateway.children(), "its child ends")
            await until(lambda: gateway.backend("own")["sessions"] == 0, "its session ends")

        run(work)


class EndTests:
    """Ends of connections."""

    def test_a_client_that_is_killed(self, gateway):
        """When the client's process is killed, the child that only it had is stopped."""
        argv = [sys.executable, "-c", LASTING, f"{gateway.url}/own/sse"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as client:
            try:
                pid = json.loads(client.stdout.readline())["pid"]
                assert pid in gateway.children()
            finally:
                client.send_signal(signal.SIGKILL)
        eventually(lambda: pid not in gateway.children(), "its child ends")
        eventually(lambda: gateway.backend("own")["sessions"] == 0, "its session ends")

    def test_a_call_is_cancelled_with_its_connection(self, gateway):
        """A shared server is told of the calls of a client that has gone."""

        async def work():
            ears, mouth, address = await linked(gateway, "fix")
            assert await posted(mouth, address, tool_call(5, "mute")) == 202
            await until(lambda: gateway.backend("fix")["calls"] == 1, "it is running")
            ears.close()
            await until(lambda: gateway.backend("fix")["calls"] == 0, "it is taken back")
            assert await posted(mouth, address, tool_call(6, "mute")) == 404
            mouth.close()

        run(work)

    def test_the_owners_sessions_are_deleted(self, gateway, owner):
        """Ending the sessions of a process closes their streams, whoever holds the connections."""

        async def work():
            async with owned(gateway, owner) as (stream, mouth, _):
                gone = await mouth.ask("DELETE", f"/sessions/by-pid/{owner.pid}")
                assert gone.json == {"ok": True, "killed": 1, "sessions": 1}
                return [each async for each in stream]

        assert run(work) == []

    def test_the_owner_exits(self, gateway, owner):
        """The stream of a session whose owner has gone is closed, and nothing is left of the session."""

        async def work():
            async with owned(gateway, owner) as (stream, mouth, address):
                owner.kill()
                assert [each async for each in stream] == []
                return await posted(mouth, address, message(2, "ping"))

        assert run(work) == 404
        assert gateway.backend("own")["sessions"] == 0

    def test_the_gateway_stops(self, tmp_path):
        """A call under way is answered, and the stream ends in order."""

        async def work(gateway):
            connection, mouth = await Connection.open(gateway.url), await Connection.open(gateway.url)
            stream, address = await opened(connection, "fix")
            assert await posted(mouth, address, tool_call(1, "sleep", {"ms": 500, "text": "last"})) == 202
            stopping = asyncio.create_task(asyncio.to_thread(gateway.stop))
            told = [each async for each in stream]
            connection.close()
            mouth.close()
            await stopping
            return told

        with Gateway(tmp_path, SERVERS) as gateway:
            (answer,) = run(lambda: work(gateway))
        assert (answer["id"], text_of(answer)) == (1, "last")


async def opened(connection, name):
    """Open a stream; its messages as they come, and where to post."""
    await connection.send(request("GET", f"/{name}/sse", headers={"Accept": "text/event-stream"}))
    assert await connection.head() == 200
    chunks = connection.chunks()
    first = (await anext(chunks)).decode()
    assert first.startswith("event: endpoint\ndata: ")

    async def messages():
        rest = b""
        async for chunk in chunks:
            *events, rest = (rest + chunk).split(b"\n\n")
            for event in events:
                if event.startswith(b"event: message\ndata: "):
                    yield json.loads(event.split(b"data: ", 1)[1])

    return messages(), first.split("data: ")[1].strip()


async def linked(gateway, name):
    """A stream whose messages nobody reads, a connection to post on, and where."""
    ears = await Connection.open(gateway.url)
    _, address = await opened(ears, name)
    return ears, await Connection.open(gateway.url), address


@asynccontextmanager
async def owned(gateway, owner):
    """A session of a process that holds none of its connections: its stream, where to post, and what to post on."""
    ears, mouth = await Connection.open(gateway.url), await Connection.open(gateway.url)
    try:
        stream, address = await opened(ears, "own")
        hello = message(1, "initialize", {"protocolVersion": "2024-11-05", "capabilities": {}})
        assert await posted(mouth, address, hello, {"X-Client-Pid": str(owner.pid)}) == 202
        assert (await anext(stream))["id"] == 1
        yield stream, mouth, address
    finally:
        ears.close()
        mouth.close()


async def posted(connection, address, body, headers=None):
    """Post a message; the status."""
    return (await connection.ask("POST", address, body, headers)).status
