"""The endpoints that give a client all servers at once, by the clients of the Python SDK and by hand."""

import asyncio
import json
import subprocess
from contextlib import asynccontextmanager

import mcp_types as types
import pytest
from mcp import ClientSession
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from tests.support.gateway import Gateway, eventually, server
from tests.support.http_client import LIMIT_S, Client, Connection, message, request, text_of, tool_call
from tests.support.real_servers import everything, filesystem, fixture, git, time
from tests.support.whole import whole, whole_reply

pytestmark = pytest.mark.functional

FIXTURES = {
    "fix": server(fixture()),
    "own": server(fixture(), share="session", interactive=True),
    "other": server(fixture(), share="session", interactive=True),
}
CALLS = 20  # that each of several clients has under way at each server


def run(work):
    """Run a coroutine within the limit."""
    return asyncio.run(asyncio.wait_for(work(), LIMIT_S))


def said(result):
    """The text of a tool's result."""
    return result.content[0].text


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A gateway with a shared server and two whose clients have a child each."""
    with Gateway(tmp_path_factory.mktemp("gateway"), FIXTURES) as running:
        yield running


async def opened(gateway, path="/mcp/full", **more):
    """A session of a view, by hand."""
    client = await _Viewer.open(gateway.url, path, **more)
    listed = await whole_reply(lambda: client.post(message(1, "tools/list")))
    client.names = [each["name"] for each in listed["tools"]]
    return client


class _Viewer(Client):
    """A client whose path is a view's."""

    names: list

    @classmethod
    async def open(cls, address, server, info=None, **more):
        client = cls(address, server)
        params = {
            "protocolVersion": client.revision,
            "capabilities": more.get("capabilities") or {},
            "clientInfo": {"name": "test", "version": "1"},
        }
        answer = await client.post(message(0, "initialize", params))
        client.id, client.hello = answer.headers["mcp-session-id"], answer.json["result"]
        return client


async def becoming(client, tool, member):
    """Call a tool until its answer has this member."""
    while True:
        answer = await client.call(tool, {"text": "hello"})
        if member in answer:
            return answer
        await asyncio.sleep(0.05)


@asynccontextmanager
async def over(ways, **callbacks):
    """A session of the SDK's."""
    async with ways as streams, ClientSession(*streams[:2], **callbacks) as session:
        await session.initialize()
        yield session


class SdkTests:
    """Clients of the SDK, on views."""

    @pytest.mark.parametrize("path", ["/mcp", "/mcp/full", "/mcp/search", "/", "/sse", "/mcp/full/sse"])
    def test_calls(self, gateway, path):
        """Every view and every way to it serves the tools of all servers."""

        async def work():
            url = f"{gateway.url}{path}"
            ways = sse_client(url) if path.endswith("/sse") else streamable_http_client(url)
            async with over(ways) as client:
                await client.list_tools()
                return [said(await client.call_tool(f"{each}__echo", {"text": each})) for each in FIXTURES]

        assert run(work) == list(FIXTURES)

    def test_questions(self, gateway):
        """Two clients and two servers: whoever is asked is whoever called, and each answer finds its server."""

        async def work():
            async def one(name):
                async def sample(_, params):
                    words = f"{name}: {params.messages[0].content.text}"
                    text = types.TextContent(type="text", text=words)
                    return types.CreateMessageResult(role="assistant", content=text, model="m")

                ways = streamable_http_client(f"{gateway.url}/mcp/full")
                async with over(ways, sampling_callback=sample) as client:
                    await client.list_tools()

                    async def ask(server, nth):
                        words = [{"role": "user", "content": {"type": "text", "text": f"{server} {nth}"}}]
                        params = {"messages": words, "maxTokens": 5}
                        arguments = {"method": "sampling/createMessage", "params": params}
                        told = await client.call_tool(f"{server}__ask", arguments)
                        return json.loads(said(told))["result"]["content"]["text"]

                    asked = [(server, nth) for server in ("own", "other") for nth in range(5)]
                    return await asyncio.gather(*(ask(*each) for each in asked)), asked

            found = await asyncio.gather(one("a"), one("b"))
            return [
                answers == [f"{name}: {server} {nth}" for server, nth in asked]
                for name, (answers, asked) in zip("ab", found, strict=True)
            ]

        assert run(work) == [True, True]

    def test_real_servers(self, tmp_path):
        """The servers people use are all there: tools, prompts, resources, templates, completions, subscriptions."""
        subprocess.run(["git", "init", "-q", str(tmp_path / "repo")], check=True)
        servers = {
            "everything": server(everything()),
            "files": server(filesystem(str(tmp_path))),
            "time": server(time()),
            "git": server(git(str(tmp_path / "repo"))),
        }

        async def work(gateway):
            async with over(streamable_http_client(f"{gateway.url}/mcp/full")) as client:
                names = {each.name for each in (await whole(client.list_tools)).tools}
                prompts = {each.name for each in (await whole(client.list_prompts)).prompts}
                resources = [str(each.uri) for each in (await whole(client.list_resources)).resources]
                templates = (await whole(client.list_resource_templates)).resource_templates
                read = await client.read_resource(resources[0])
                told = said(await client.call_tool("everything__echo", {"message": "hello"}))
                clock = said(await client.call_tool("time__get_current_time", {"timezone": "UTC"}))
                return names, prompts, templates, read, told, clock

        with Gateway(tmp_path, servers) as running:
            names, prompts, templates, read, told, clock = run(lambda: work(running))
        assert {"everything__echo", "files__read_file", "time__get_current_time", "git__git_status"} <= names
        assert prompts
        assert all(each.startswith("everything__") for each in prompts)
        assert templates
        assert read.contents
        assert "hello" in told
        assert "UTC" in clock


class RoutingTests:
    """Answers, and the clients that get them."""

    def test_many(self, gateway):
        """Calls of many clients to several servers at once are answered each with its own."""

        async def work():
            clients = [await opened(gateway) for _ in range(3)]

            async def one(nth, client, server, number):
                text = f"{nth} {server} {number}"
                answer = await client.call(f"{server}__echo", {"text": text}, number)
                return text_of(answer) == text

            found = await asyncio.gather(
                *(
                    one(nth, client, server, number)
                    for nth, client in enumerate(clients)
                    for server in FIXTURES
                    for number in range(CALLS)
                )
            )
            for client in clients:
                client.close()
            return all(found)

        assert run(work)

    def test_no_second_process(self, gateway):
        """A shared server that is used on a view and on its own endpoint runs once."""

        async def work():
            view, direct = await opened(gateway), await Client.open(gateway.url, "fix")
            pids = [await view.value("fix__pid"), await direct.value("pid")]
            view.close()
            direct.close()
            return [each["pid"] for each in pids]

        one, other = run(work)
        assert one == other

    def test_server_dies(self, gateway):
        """A server that ends fails its own call; the others, and the next call of it, are served."""

        async def work():
            client = await opened(gateway)
            failed = await client.call("fix__die", {"code": 3})
            found = [await client.text(f"{each}__echo", text="x") for each in FIXTURES]
            client.close()
            return "error" in failed, found

        assert run(work) == (True, ["x"] * len(FIXTURES))

    def test_progress(self, gateway):
        """Progress comes under the client's own token, before the answer."""

        async def work():
            client = await opened(gateway)
            call = tool_call(5, "fix__progress", {"steps": 3, "ms": 1}, "mine")
            answer = await client.post(call)
            client.close()
            return answer.messages

        *progress, last = run(work)
        assert [each["params"]["progressToken"] for each in progress] == ["mine"] * 3
        assert last["id"] == 5

    def test_ends_with_its_client(self, gateway):
        """A session that is deleted ends the children that were its client's own."""

        async def work():
            client = await opened(gateway)
            pid = (await client.value("own__pid"))["pid"]
            assert pid in gateway.children()
            ended = await client.ask("DELETE")
            client.close()
            return pid, ended.status

        pid, status = run(work)
        assert status == 200
        eventually(lambda: pid not in gateway.children(), "its child ends")


class RestartTests:
    """A gateway that was killed."""

    def test_goes_on(self, tmp_path):
        """A view's session goes on with its subscriptions when the gateway is started again."""
        with Gateway(tmp_path, {"everything": server(everything()), "fix": server(fixture())}) as gateway:

            async def before():
                client = await opened(gateway)
                listed = await whole_reply(lambda: client.post(message(2, "resources/list")))
                uris = [each["uri"] for each in listed["resources"]]
                subscribed = await client.post(message(3, "resources/subscribe", {"uri": uris[0]}))
                assert "result" in subscribed.messages[-1]
                client.close()
                return client

            client = run(before)
            gateway.kill()
            gateway.start()

            async def after():
                connection = await Connection.open(gateway.url)
                accept = {"Accept": "text/event-stream"}
                await connection.send(request("GET", client.path, b"", {**client.headers, **accept}))
                await connection.head()
                news = set()
                async for event in connection.events():
                    if isinstance(event, dict):
                        news.add(event.get("method"))
                    if "notifications/tools/list_changed" in news:
                        break
                text = await client.text("fix__echo", text="again")
                connection.close()
                client.close()
                return text

            assert run(after) == "again"
            eventually(lambda: gateway.backend("everything")["pids"], "the subscription is taken again")


class ConfigurationTests:
    """Servers that come and go."""

    def test_added_and_removed(self, tmp_path):
        """A server that is added is callable at once; one that is taken out is not, and the session lives on."""
        with Gateway(tmp_path, {"fix": FIXTURES["fix"]}) as gateway:

            async def work():
                client = await opened(gateway)
                gateway.config.write_text(
                    gateway.configured({"fix": FIXTURES["fix"], "new": FIXTURES["fix"]})
                )
                added = await becoming(client, "new__echo", "result")
                gateway.config.write_text(gateway.configured({"new": FIXTURES["fix"]}))
                removed = await becoming(client, "fix__echo", "error")
                again = await client.text("new__echo", text="still")
                client.close()
                return text_of(added), removed["error"]["code"], again

            added, code, again = run(work)
            assert (added, again) == ("hello", "still")
            assert code in (-32602, -32001, -32603)
