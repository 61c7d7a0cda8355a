"""Paths of views, beside servers of any name."""

from __future__ import annotations

import json
import re

import pytest

from mcpgateway.config.model import ServerSpec, Share
from tests.support.gateway_in_memory import Client, MemoryGateway
from tests.support.views import Offer, Stage, tool

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


def named(name: str) -> ServerSpec:
    """A server of that name."""
    return ServerSpec(name, ("run",), {}, "/", share=Share.GLOBAL)


def connection(gateway: MemoryGateway, path: str) -> Client:
    """A connection without a session."""
    return Client(gateway.factory.buildProtocol(None), path, {})


class PathTests:
    """The paths of views."""

    @pytest.mark.parametrize("path", ["/mcp", "/mcp/full", "/mcp/search", "/mcp/admin", "/"])
    def test_there(self, path: str) -> None:
        """Every view answers at its path, and the main one at the bare address."""
        assert connection(MemoryGateway(), path).ask(PING).json["result"] == {}

    def test_no_such_profile(self) -> None:
        """A profile that nobody has defined has no view."""
        assert connection(MemoryGateway(), "/mcp/p/none").ask(PING).status == 404

    def test_a_browser(self) -> None:
        """A browser that asks the bare address for a page is led to the dashboard, not to MCP."""
        answer = connection(MemoryGateway(), "/").ask(b"", "GET", Accept="text/html")
        assert (answer.status, answer.headers["location"]) == (302, "/ui/")

    @pytest.mark.parametrize("name", ["full", "search", "admin"])
    def test_reserved(self, name: str) -> None:
        """A server that is called like a view is served at its other path only."""
        stage = Stage()
        stage.gateway.serve(named(name))
        stage.offers[name] = Offer(tools=[tool("echo")])
        connection(stage.gateway, f"/{name}/mcp").call(1, "tools/call", name="echo")
        assert stage.child(name).asked("tools/call")
        here = connection(stage.gateway, f"/mcp/{name}")
        here.call(2, "tools/call", name="echo")
        assert len(stage.child(name).asked("tools/call")) == 1

    @pytest.mark.parametrize("name", ["mcp", "sse", "messages"])
    def test_other_names(self, name: str) -> None:
        """A server of any other name of ours is reached, and its sessions are its own."""
        gateway = MemoryGateway()
        gateway.serve(named(name))
        client = connection(gateway, f"/mcp/{name}")
        client.initialize(protocolVersion="2025-06-18")
        assert client.ask(PING).status == 200
        view = gateway.view("/mcp")
        assert view.ask(PING).status == 200
        gateway.serve()
        assert view.ask(PING).status == 200

    def test_sse(self) -> None:
        """The older transport has the main view at the top."""
        stage = Stage()
        stage.list(stage.view())
        stream = connection(stage.gateway, "/sse")
        stream.send(b"", "GET", Accept="text/event-stream")
        address = re.search(rb"data: (/messages\?sessionId=[^\n]+)", stream.transport.taken)
        assert address is not None
        posts = connection(stage.gateway, address[1].decode())
        request = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "initialize",
            "params": {"protocolVersion": "2024-11-05"},
        }
        assert posts.ask(request).status == 202
        call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "shared__echo"}}
        assert posts.ask(call).status == 202
        stage.play()
        child = stage.child("shared")
        child.answer(child.asked("tools/call")[0], {"content": []})
        said = [json.loads(each) for each in re.findall(rb"data: (\{[^\n]+)", stream.transport.taken)]
        assert [each["id"] for each in said if "id" in each] == [1, 2]

    @pytest.mark.parametrize("path", ["/mcp/full", "/mcp/search", "/mcp/admin"])
    def test_sse_of_each(self, path: str) -> None:
        """Every other view has the older transport below its path."""
        gateway = MemoryGateway()
        stream = connection(gateway, f"{path}/sse")
        stream.send(b"", "GET", Accept="text/event-stream")
        address = re.search(rb"data: (\S+/messages\?sessionId=[^\n]+)", stream.transport.taken)
        assert address is not None
        assert address[1].decode().startswith(f"{path}/messages")
        assert connection(gateway, address[1].decode()).ask(PING).status == 202
        assert b'"result":{}' in stream.transport.taken
        assert connection(gateway, address[1].decode().replace(path, "")).ask(PING).status == 404
        assert (
            connection(gateway, "/mcp/p/none/sse").ask(b"", "GET", Accept="text/event-stream").status == 404
        )

    @pytest.mark.parametrize("name", ["sse", "messages", "full", "p"])
    def test_sse_of_servers(self, name: str) -> None:
        """No path of a server's is a view's."""
        gateway = MemoryGateway()
        gateway.serve(named(name))
        stream = connection(gateway, f"/{name}/sse")
        stream.send(b"", "GET", Accept="text/event-stream")
        assert f"data: /{name}/messages?".encode() in stream.transport.taken
        if name in ("sse", "messages"):
            assert connection(gateway, f"/mcp/{name}").initialize(protocolVersion="2025-06-18").status == 200
            assert gateway.launcher.children

    def test_not_a_server_s(self) -> None:
        """A stream of the view takes nothing that is posted to a server, and the other way round."""
        gateway = MemoryGateway()
        stream = connection(gateway, "/sse")
        stream.send(b"", "GET", Accept="text/event-stream")
        address = re.search(rb"data: /messages(\?sessionId=[^\n]+)", stream.transport.taken)
        assert address is not None
        assert connection(gateway, f"/shared/messages{address[1].decode()}").ask(PING).status == 404
