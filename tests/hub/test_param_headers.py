"""Lists of tools that the gateway asks for, so that it can check the headers of calls."""

from __future__ import annotations

from typing import Any

import pytest

from mcpgateway.hub.param_headers import PAGES_LIMIT, PATIENCE_S
from tests.support.gateway_in_memory import Client, MemoryGateway
from tests.support.modern_client import (
    TOOLS_CHANGED,
    done,
    dual_gateway,
    headers_of,
    note,
    post,
    refusal,
    refuse,
    reply,
    request,
)


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with a server "m" of the modern era."""
    return dual_gateway()


def tool(header: str | None = "Region", name: str = "t") -> dict[str, Any]:
    """A tool whose argument is repeated in a header."""
    region = {"type": "string"} | ({"x-mcp-header": header} if header else {})
    return {"name": name, "inputSchema": {"type": "object", "properties": {"region": region}}}


def ask(gateway: MemoryGateway, client: Client | None = None, header: str = "", name: str = "t") -> Client:
    """Call a tool with its argument, and perhaps with the header."""
    client = client or gateway.client("m")
    body = request(1, "tools/call", name=name, arguments={"region": "eu"})
    client.send(body, **headers_of(body), **{"Mcp-Param-Region": header})
    return client


def listed(gateway: MemoryGateway, *tools: Any, **more: Any) -> None:
    """Let the child answer its latest question for its tools."""
    done(gateway.child, gateway.child.asked("tools/list")[-1], tools=list(tools), **more)


def counts(gateway: MemoryGateway) -> tuple[int, int]:
    """Return how often the child was asked for its tools, and called."""
    return len(gateway.child.asked("tools/list")), len(gateway.child.asked("tools/call"))


class LearningTests:
    """The list is fetched when it is needed."""

    def test_once_for_many(self, gateway: MemoryGateway) -> None:
        """However many calls wait for it, and come afterwards, the server is asked once."""
        clients = [ask(gateway, header="eu") for _ in range(5)]
        assert counts(gateway) == (1, 0)
        listed(gateway, tool())
        assert counts(gateway) == (1, 5)
        assert refusal(ask(gateway)) == (400, -32020, 1)
        assert counts(gateway) == (1, 5)
        assert all(client.heard is None for client in clients)

    def test_with_an_envelope_of_ours(self, gateway: MemoryGateway) -> None:
        """The gateway asks in its own name."""
        ask(gateway)
        (asked,) = gateway.child.asked("tools/list")
        assert asked["params"]["_meta"]["io.modelcontextprotocol/clientInfo"]["name"] == "mcpgateway"

    def test_of_many_pages(self, gateway: MemoryGateway) -> None:
        """All pages are read."""
        ask(gateway, name="u", header="us")
        listed(gateway, tool(), nextCursor="2")
        assert gateway.child.asked("tools/list")[-1]["params"]["cursor"] == "2"
        listed(gateway, tool(name="u"))
        assert counts(gateway) == (2, 0)

    def test_of_pages_without_end(self, gateway: MemoryGateway) -> None:
        """The gateway reads no more pages than a server can have."""
        ask(gateway)
        for _ in range(PAGES_LIMIT):
            listed(gateway, nextCursor="again")
        assert counts(gateway) == (PAGES_LIMIT, 1)

    @pytest.mark.parametrize("said", [{}, {"tools": 5}, {"tools": [5, {"name": 7}, {"inputSchema": []}]}])
    def test_of_strange_tools(self, gateway: MemoryGateway, said: dict[str, Any]) -> None:
        """Tools that are none have no headers."""
        ask(gateway)
        done(gateway.child, gateway.child.asked("tools/list")[-1], **said)
        assert counts(gateway) == (1, 1)

    def test_of_a_server_without_tools(self, gateway: MemoryGateway) -> None:
        """A server that lists none is left to judge the call."""
        ask(gateway)
        refuse(gateway.child, gateway.child.asked("tools/list")[-1], -32601)
        assert counts(gateway) == (1, 1)

    def test_of_a_child_that_ends(self, gateway: MemoryGateway) -> None:
        """Callers that wait for the tools of a child that ends are told; the next child is asked anew."""
        clients = [ask(gateway) for _ in range(2)]
        gateway.child.exit(1)
        assert [refusal(client) for client in clients] == [(200, -32603, 1)] * 2
        ask(gateway)
        assert counts(gateway) == (1, 0)
        listed(gateway)
        assert counts(gateway) == (1, 1)
        gateway.child.exit(1)
        ask(gateway)
        assert counts(gateway) == (1, 0)


class ChangeTests:
    """The known tools are forgotten when they may have changed."""

    def test_changed(self, gateway: MemoryGateway) -> None:
        """When the tools have changed they are asked for again."""
        ask(gateway)
        listed(gateway)
        assert counts(gateway) == (1, 1)
        gateway.child.say(note(TOOLS_CHANGED))
        client = ask(gateway)
        assert counts(gateway) == (2, 1)
        listed(gateway, tool())
        assert refusal(client) == (400, -32020, 1)

    def test_changed_meanwhile(self, gateway: MemoryGateway) -> None:
        """A list from before a change is not believed, by those either who have waited for it."""
        first = ask(gateway)
        gateway.child.say(note(TOOLS_CHANGED))
        second = ask(gateway)
        assert counts(gateway) == (1, 0)
        listed(gateway)
        assert counts(gateway) == (2, 0)
        listed(gateway, tool())
        assert [refusal(client) for client in (first, second)] == [(400, -32020, 1)] * 2

    def test_always_changed(self, gateway: MemoryGateway) -> None:
        """A server that says so whenever it is asked is asked twice, and then believed."""
        client = ask(gateway)
        for _ in range(2):
            gateway.child.say(note(TOOLS_CHANGED))
            listed(gateway, tool())
        assert counts(gateway)[0] == 2
        assert refusal(client) == (400, -32020, 1)

    def test_no_answer(self, gateway: MemoryGateway) -> None:
        """A server that does not tell its tools is asked in vain for a while; then calls go on."""
        ask(gateway)
        gateway.clock.advance(PATIENCE_S + 1)
        assert counts(gateway) == (1, 1)

    @pytest.mark.parametrize(("former", "latter"), [(None, "Region"), ("Region", None), ("Other", "Region")])
    def test_what_a_client_is_told(
        self, gateway: MemoryGateway, former: str | None, latter: str | None
    ) -> None:
        """Of a tool that a client is shown in a list it is known what that list says of it."""
        ask(gateway)
        listed(gateway, tool(former), tool("Region", "u"))
        client = gateway.client("m")
        post(client, request(1, "tools/list"))
        listed(gateway, tool(latter))
        assert reply(client)["result"]["tools"] == [tool(latter)]
        before = counts(gateway)[1]
        ask(gateway, header="" if latter is None else "eu")
        assert counts(gateway)[1] == before + 1
        assert refusal(ask(gateway, name="u")) == (400, -32020, 1)

    def test_of_a_legacy_child(self) -> None:
        """Across the eras it is the same."""
        gateway = MemoryGateway()
        clients = [gateway.client() for _ in range(3)]
        ask(gateway, clients[0])
        for each in gateway.child.asked("tools/list"):
            gateway.child.answer(each, {"tools": []})
        assert counts(gateway) == (1, 1)
        gateway.child.say(note(TOOLS_CHANGED))
        ask(gateway, clients[1])
        gateway.child.answer(gateway.child.asked("tools/list")[-1], {"tools": [tool()]})
        assert refusal(clients[1]) == (400, -32020, 1)
        gateway.child.exit(1)
        ask(gateway, clients[2])
        assert counts(gateway) == (1, 0)
