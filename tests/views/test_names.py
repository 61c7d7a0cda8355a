"""Names of tools on a view where servers have tools that are called like the gateway's own."""

from __future__ import annotations

import pytest
from attrs import evolve

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.config.surface import Expose
from tests.support.gateway_in_memory import Client, MemoryGateway
from tests.support.modern_client import post, request
from tests.support.views import Offer, Stage, tool

TOOLS = ["search", "gateway_status", "gateway_search", "gateway.search", "gateway__search", "list_servers"]
ALIASES = ["gateway_status", "gateway.status", "gateway__status", "gateway:search", "gateway/search"]


@pytest.fixture
def stage() -> Stage:
    """A server without a prefix, and one that is called like the gateway itself."""
    bare = ServerSpec("bare", ("run",), {}, "/", share=Share.GLOBAL, prefix="")
    namesake = ServerSpec("gateway", ("run",), {}, "/", share=Share.GLOBAL)
    found = Stage(MemoryGateway(more=(bare, namesake)))
    for name in ("bare", "gateway"):
        found.offers[name] = Offer(tools=[tool(each) for each in [*TOOLS, "status"]])
    found.list(found.view())
    return found


def called(stage: Stage, client: Client, name: str) -> str:
    """Which server's tool is called by a name, and what it is there; the gateway's own answer at once."""
    client.call(1, "tools/call", name=name, arguments={"query": "x"})
    if client.heard is not None:
        assert "result" in client.heard.json
        return "its own"
    children = [each for each in stage.gateway.launcher.children if each.asked("tools/call")]
    (child,) = (each for each in children if each.asked("tools/call")[-1]["id"] is not None)
    asked = child.asked("tools/call")[-1]
    child.answer(asked, {"content": []})
    child.received.clear()
    return f"{stage.name(child)}: {asked['params']['name']}"


class MeaningTests:
    """Owners of names."""

    @pytest.mark.parametrize("path", ["/mcp", "/mcp/full", "/mcp/search", "/mcp/admin"])
    def test_never_another(self, stage: Stage, path: str) -> None:
        """A name that is written like a tool of the gateway's own is one, listed or not; all others are a server's."""
        client = stage.view(path)
        assert [called(stage, client, each) for each in ALIASES] == ["its own"] * len(ALIASES)
        assert called(stage, client, "search") == "bare: search"
        assert called(stage, client, "list_servers") == "bare: list_servers"

    def test_as_listed(self, stage: Stage) -> None:
        """Every listed tool of a server is called by the name that it is listed under."""
        client = stage.view()
        found = [each["name"] for each in stage.list(client)["tools"] if each["description"][0] == "["]
        means = [called(stage, client, each) for each in found]
        wanted = [f"{name}: {each}" for name in ("bare", "gateway") for each in [*TOOLS, "status"]]
        assert sorted(means) == sorted([*wanted, "own: count", "shared: echo"])
        assert "search" in found

    def test_bare_names(self, stage: Stage) -> None:
        """Where bare names are listed, those are the gateway's own, and others are not."""
        gateway = stage.gateway
        settings = gateway.settings.gateway
        shown = evolve(settings, views=evolve(settings.views, expose=Expose.META))
        gateway.apply(evolve(gateway.settings, gateway=shown))
        client = stage.view("/mcp")
        assert called(stage, client, "list_servers") == "its own"
        assert called(stage, client, "search") == "bare: search"


class DottedTests:
    """``?names=dotted``."""

    @pytest.mark.parametrize("is_modern", [False, True])
    def test_as_asked_for(self, *, is_modern: bool) -> None:
        """The URL of each request says how the gateway's own tools are written; all else stays the same."""
        gateway = MemoryGateway()
        stage = Stage(gateway)
        guest = stage.view()
        stage.list(guest)
        client = gateway.client() if is_modern else guest
        found = {}
        for path in ("/mcp/full?names=dotted", "/mcp/full?a=b", "/mcp/full?x&names=dotted", "/mcp/full"):
            client.path = path
            if is_modern:
                post(client, request(1, "tools/list"))
            else:
                client.call(1, "tools/list")
            assert client.heard is not None
            found[path] = [each["name"] for each in client.heard.json["result"]["tools"]]
        dotted, plain, again, last = found.values()
        assert (dotted, plain) == (again, last)
        assert "gateway.invoke" in dotted
        assert [each.replace("gateway.", "gateway_") for each in dotted] == plain
        assert not any("." in each for each in plain)
        assert len(gateway.sessions) == 1
