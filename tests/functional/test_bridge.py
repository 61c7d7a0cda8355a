"""Clients of one era at servers of the other, through a real gateway: two clients at once, on purpose crosswise."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import mcp_types as types
import pytest
from mcp import Client, MCPError

from tests.support import conformance, real_servers
from tests.support.gateway import Gateway, eventually, server

pytestmark = pytest.mark.functional

LIMIT_S = 120
MODERN = "2026-07-28"
FORM = {"message": "Who?", "requestedSchema": {"type": "object", "properties": {"who": {"type": "string"}}}}
SAMPLE = {"messages": [{"role": "user", "content": {"type": "text", "text": "?"}}], "maxTokens": 5}
PREFIX = "io.modelcontextprotocol/"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with servers of either era."""
    servers = {
        "asks": server(real_servers.fixture("--era=legacy"), interactive=True),
        "slow": server(real_servers.fixture("--era=legacy", "--slow-start=0.5"), interactive=True),
        "maybe": server(real_servers.fixture("--era=legacy", "--filler-tools=1")),
        "suite": server(conformance.server("legacy"), interactive=True),
        "modern": server(real_servers.fixture("--era=modern")),
        "newer": server(conformance.server("modern")),
    }
    with Gateway(tmp_path_factory.mktemp("bridge"), servers) as running:
        yield running
        assert "Traceback" not in running.log


class Person:
    """The person at a client, who can be asked anything and says who it was.

    :ivar asked: what it was asked.
    :ivar logged: the messages it was told.
    """

    def __init__(self, name: str, mode: str = MODERN, level: Any = None) -> None:
        self.name = name
        self.asked: list[Any] = []
        self.logged: list[Any] = []
        self.is_asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self._mode = mode
        self._level = level

    def at(self, gateway: Gateway, name: str) -> Client:
        """Return the person's client of a server."""
        return Client(
            f"{gateway.url}/{name}/mcp",
            mode=self._mode,
            elicitation_callback=self.elicited,
            sampling_callback=self.sampled,
            list_roots_callback=self.located,
            logging_callback=self.told,
            log_level=self._level,
        )

    async def elicited(self, context: Any, params: Any) -> types.ElicitResult:
        """Fill in a form."""
        await self._hear(params)
        return types.ElicitResult(action="accept", content={"who": self.name})

    async def sampled(self, context: Any, params: Any) -> types.CreateMessageResult:
        """Be a model."""
        await self._hear(params)
        content = types.TextContent(type="text", text=self.name)
        return types.CreateMessageResult(role="assistant", content=content, model="m")

    async def located(self, context: Any) -> types.ListRootsResult:
        """Say where."""
        await self._hear(None)
        return types.ListRootsResult(roots=[types.Root(uri=f"file:///{self.name}")])

    async def told(self, params: Any) -> None:
        """Hear a log message."""
        self.logged.append(params.data)

    async def _hear(self, params: Any) -> None:
        self.asked.append(params)
        self.is_asked.set()
        await self.may_answer.wait()


def run(use: Callable[[], Awaitable[Any]]) -> Any:
    """Run clients, for so long at most."""

    async def limited() -> Any:
        async with asyncio.timeout(LIMIT_S):
            return await use()

    return asyncio.run(limited())


def text(result: Any) -> str:
    """The text of a tool's result."""
    assert not result.is_error, result
    return str(result.content[0].text)


async def ask(client: Client, method: str = "elicitation/create", params: Any = None) -> Any:
    """Have the fixture ask its client, and say what it was answered."""
    arguments = {"method": method, "params": FORM if params is None else params}
    return json.loads(text(await client.call_tool("ask", arguments)))


async def crossed(gateway: Gateway, server: str, one: Person, two: Person) -> list[Any]:
    """The answers to two clients that are asked at the same time, and of which the second answers first."""
    one.may_answer.clear()
    async with one.at(gateway, server) as first, two.at(gateway, server) as second:
        earlier = asyncio.create_task(ask(first))
        await one.is_asked.wait()
        later = await ask(second)
        assert not earlier.done()
        one.may_answer.set()
        return [await earlier, later]


class ToLegacyTests:
    """Modern clients of legacy servers."""

    @pytest.mark.parametrize(
        ("method", "params", "answer"),
        [
            ("elicitation/create", FORM, {"action": "accept", "content": {"who": "one"}}),
            (
                "sampling/createMessage",
                SAMPLE,
                {"role": "assistant", "content": {"type": "text", "text": "one"}, "model": "m"},
            ),
            ("roots/list", {}, {"roots": [{"uri": "file:///one"}]}),
        ],
    )
    def test_each_question(self, gateway: Gateway, method: str, params: Any, answer: Any) -> None:
        """A question of any kind reaches the handler of the client, and its answer the server."""

        async def use() -> Any:
            async with Person("one").at(gateway, "asks") as client:
                return await ask(client, method, params)

        assert run(use)["result"].items() >= answer.items()

    def test_answers_crossed(self, gateway: Gateway) -> None:
        """Two windows are asked at the same time, the second answers first: each call gets its own answer."""
        answers = run(lambda: crossed(gateway, "slow", Person("one"), Person("two")))
        assert [each["result"]["content"]["who"] for each in answers] == ["one", "two"]

    def test_many_at_once(self, gateway: Gateway) -> None:
        """However many clients ask and are asked at once, each hears its own, and no child is left over."""

        async def use() -> Any:
            async def one(number: int) -> list[Any]:
                person = Person(str(number))
                async with person.at(gateway, "asks") as client:
                    return [(await ask(client))["result"]["content"]["who"] for _ in range(10)]

            return await asyncio.gather(*(one(number) for number in range(12)))

        assert run(use) == [[str(number)] * 10 for number in range(12)]

    def test_found_out(self, gateway: Gateway) -> None:
        """Of a server about which nothing is said it is found out that it asks nothing, and it is shared."""

        async def use() -> Any:
            async with (
                Person("one").at(gateway, "maybe") as first,
                Person("two").at(gateway, "maybe") as second,
            ):
                return [json.loads(text(await each.call_tool("pid", {})))["pid"] for each in (first, second)]

        assert len(set(run(use))) == 1

    def test_the_suite(self, gateway: Gateway) -> None:
        """A server that asks in several ways, and one that reports progress, do so to the end."""

        async def use() -> Any:
            person, heard = Person("one"), []

            async def progressed(progress: float, total: float | None, message: str | None) -> None:
                heard.append(progress)

            async with person.at(gateway, "suite") as client:
                sampled = text(await client.call_tool("test_sampling", {"prompt": "?"}))
                asked = text(await client.call_tool("test_elicitation", {"message": "?"}))
                await client.call_tool("test_tool_with_progress", {}, progress_callback=progressed)
                with pytest.raises(MCPError) as missing:
                    await client.read_resource("test://nothing")
                return sampled, asked, heard, missing.value.error.code

        sampled, asked, heard, code = run(use)
        assert "one" in sampled
        assert "accept" in asked
        assert heard == [0, 50, 100]
        assert code == -32602

    @pytest.mark.parametrize(("level", "logged"), [(None, []), ("warning", []), ("info", [0, 1, 2])])
    def test_log_messages(self, gateway: Gateway, level: Any, logged: list[int]) -> None:
        """A client hears what is of its level, and nothing where it names none."""

        async def use() -> Any:
            person = Person("one", level=level)
            async with person.at(gateway, "asks") as client:
                await client.call_tool("log", {"level": "info", "n": 3})
            return person.logged

        assert run(use) == logged

    def test_hanging_up(self, gateway: Gateway) -> None:
        """A call that is taken back is cancelled, and what it would have asked reaches nobody."""

        async def use() -> Any:
            one, two = Person("one"), Person("two")
            async with two.at(gateway, "asks") as second:
                async with one.at(gateway, "asks") as first:
                    call = asyncio.create_task(first.call_tool("sleep", {"ms": 60_000}))
                    await asyncio.sleep(0.2)
                    call.cancel()
                return (await ask(second))["result"]["content"]["who"], one.asked

        assert run(use) == ("two", [])

    def test_a_child_that_dies(self, gateway: Gateway) -> None:
        """The call fails with the reason, the next one is served."""

        async def use() -> Any:
            async with Person("one").at(gateway, "asks") as client:
                with pytest.raises(MCPError, match="exit code 3"):
                    await client.call_tool("die", {"code": 3})
                return await ask(client, "roots/list", {})

        assert run(use)["result"]["roots"] == [{"uri": "file:///one"}]

    def test_listening(self, gateway: Gateway) -> None:
        """A client hears of the lists and resources it listens for."""

        async def use() -> Any:
            async with (
                Person("one").at(gateway, "suite") as client,
                client.listen(
                    tools_list_changed=True, resource_subscriptions=["test://watched-resource"]
                ) as news,
            ):
                honored = news.honored
                await client.call_tool("change_watched_resource", {})
                return honored, type(await anext(aiter(news))).__name__

        honored, kind = run(use)
        assert honored.resource_subscriptions == ["test://watched-resource"]
        assert "Updated" in kind


class ToModernTests:
    """Legacy clients of modern servers."""

    @pytest.mark.parametrize(
        ("method", "params"),
        [("elicitation/create", FORM), ("sampling/createMessage", SAMPLE), ("roots/list", {})],
    )
    def test_each_question(self, gateway: Gateway, method: str, params: Any) -> None:
        """An input request of a result becomes a question, and its answer part of the next request."""

        async def use() -> Any:
            async with Person("one", "legacy").at(gateway, "modern") as client:
                return await ask(client, method, params)

        assert "one" in json.dumps(run(use)["inputResponses"]["q1"])

    def test_answers_crossed(self, gateway: Gateway) -> None:
        """Two sessions share a child, and are asked at the same time: each call gets its own answer."""
        answers = run(lambda: crossed(gateway, "modern", Person("one", "legacy"), Person("two", "legacy")))
        assert [each["inputResponses"]["q1"]["content"]["who"] for each in answers] == ["one", "two"]
        assert len(gateway.backend("modern")["pids"]) == 1

    def test_the_suite(self, gateway: Gateway) -> None:
        """A server that asks twice, or three things at once, does so to the end."""

        async def use() -> Any:
            person = Person("one", "legacy")
            async with person.at(gateway, "newer") as client:
                for name in ("elicitation", "sampling", "list_roots", "multiple_inputs", "multi_round"):
                    text(await client.call_tool(f"test_input_required_result_{name}", {}))
            return len(person.asked)

        assert run(use) >= 8


class LeftoverTests:
    """Calls that are left when the clients have gone."""

    def test_nothing_is_under_way(self, gateway: Gateway) -> None:
        """No call stays behind."""
        eventually(lambda: gateway.health()["calls"] == 0, "no call is under way")
