"""Calls and lists on views are counted, in both eras, and what is listed first goes by the counts."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from mcpgateway.discovery.usage import Book
from mcpgateway.hub.usage import Usage
from tests.support.gateway_in_memory import Client, MemoryGateway
from tests.support.modern_client import post, reply, request
from tests.support.views import Offer, Stage, tool

LONG = "words " * 400


class Memory:
    """Keeps a book for as long as a test lasts."""

    def __init__(self) -> None:
        self.book = Book()
        self.writes = 0

    def read(self) -> Book:
        """The book as it was written last."""
        return self.book

    def write(self, book: Book) -> bool:
        """Keep it."""
        self.book, self.writes = book, self.writes + 1
        return True


class House:
    """A gateway that counts, with a server of many tools."""

    def __init__(self) -> None:
        self.gateway = MemoryGateway()
        many = [tool(name, description=LONG) for name in ("c", "a", "b")]
        self.stage = Stage(self.gateway, shared=Offer(tools=many))
        self.memory = Memory()
        self.usage = Usage(self.memory, lambda: 0.0)
        self.gateway.dispatcher.view_sessions.outcomes.usage = self.usage
        self.gateway.hub.usage = self.usage

    def call(self, client: Client, name: str, **arguments: Any) -> None:
        """Call a tool; nobody waits for its answer."""
        other = Client(self.gateway.factory.buildProtocol(None), client.path, client.headers)
        other.call(5, "tools/call", name=name, arguments=arguments)
        self.gateway.clock.advance(0)

    def modern(self, method: str, **params: Any) -> Any:
        """The answer to a client of the modern era on the view of search."""
        client = Client(self.gateway.factory.buildProtocol(None), "/mcp/search", {})
        post(client, request(1, method, **params))
        self.stage.play()
        return reply(client)

    def saved(self) -> dict[str, int]:
        """The tokens saved, as health shows them."""
        found: dict[str, int] = self.gateway.client().ask(b"", "GET", "/health").json["saved"]
        return found


@pytest.fixture
def house() -> House:
    """A machine."""
    return House()


class CountingTests:
    """Calls and lists that are counted."""

    def test_calls(self, house: House) -> None:
        """Each call that goes to a server counts once, whatever road it takes."""
        client = house.stage.view()
        house.stage.list(client)
        house.call(client, "shared__a")
        house.call(client, "gateway_invoke", id="shared__a")
        house.call(client, "gateway_invoke_async", id="shared__a")
        assert house.usage.counts() == {"shared__a": 3}
        house.modern("tools/list")
        for name in ("shared__b", "gateway_invoke", "gateway_invoke_async"):
            arguments = {"id": "shared__b"} if "gateway" in name else {}
            house.modern("tools/call", name=name, arguments=arguments)
        assert house.usage.counts() == {"shared__a": 3, "shared__b": 3}

    def test_lists(self, house: House) -> None:
        """Each list that leaves tools out spares their tokens, in both eras, and health says so."""
        house.stage.list(house.stage.view("/mcp/full"))
        assert house.saved()["total"] == 0
        house.stage.list(house.stage.view("/mcp/search"))
        once = house.saved()
        assert 1000 < once["deferral"] == once["today"] == once["total"]
        house.modern("tools/list")
        assert house.saved()["deferral"] > once["deferral"]

    def test_compressed(self, house: House) -> None:
        """A list that is shorter than its servers wrote it spares the difference."""
        settings = house.gateway.settings.gateway
        views = evolve(settings.views, compress_schemas=True)
        house.gateway.apply(evolve(house.gateway.settings, gateway=evolve(settings, views=views)))
        house.stage.list(house.stage.view("/mcp/full"))
        assert house.saved()["compression"] > 1000

    def test_kept(self, house: House) -> None:
        """The book is written while time passes, and when the gateway stops."""
        house.stage.list(house.stage.view("/mcp/full"))
        house.stage.list(house.stage.view("/mcp/search"))
        house.gateway.tick(60)
        assert house.memory.writes == 1
        house.stage.list(house.stage.view("/mcp/search"))
        house.gateway.hub.close()
        assert house.memory.writes == 2


class OrderTests:
    """Servers' tools on the list of a hybrid view."""

    def test_only_when_told(self, house: House) -> None:
        """The tools called most are listed anew only when a client has been told that the list has changed."""
        view = house.stage.view("/mcp")
        assert house.stage.names(view) == []
        house.call(view, "shared__a")
        prompts = {"jsonrpc": "2.0", "method": "notifications/prompts/list_changed"}
        house.stage.child("shared").say(prompts)
        house.stage.offers["shared"].prompts = [{"name": "p"}]
        assert house.stage.names(view, "prompts/list") == ["shared__p"]
        assert house.stage.names(view) == []
        house.stage.offers["shared"].tools = [tool("a"), tool("b")]
        house.stage.child("shared").say({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        assert house.stage.names(view) == ["shared__a"]
        house.call(view, "shared__b")
        assert house.stage.names(view) == ["shared__a"]
