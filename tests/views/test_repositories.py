"""Views of servers that a workspace defines itself: there for its clients alone, and only once their user approves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mcpgateway.config.merge import WorkspaceSpec, World
from mcpgateway.hub.repo_servers import Approvals
from mcpgateway.hub.workspaces import WorkspaceSettings
from mcpgateway.system import approvals as kept
from mcpgateway.system.workspaces import WorkspaceFinder
from mcpgateway.views.listeners import DEBOUNCE_S
from tests.support.gateway_in_memory import Client, MemoryGateway
from tests.support.modern_client import events, listen, post, reply, request
from tests.support.views import Offer, Stage, tool

DB = {"command": "/opt/db", "args": ["--url", "x"]}
CHANGED = "notifications/tools/list_changed"


class House:
    """A gateway on a machine with repositories, one of which works for a shop and has a server."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.home = self.directory / "gateway"
        self.home.mkdir(mode=0o700)
        self.gateway = MemoryGateway()
        self.stage = Stage(self.gateway, db=Offer(tools=[tool("query")]))
        scopes = self.gateway.dispatcher.scopes
        self.places = WorkspaceFinder((), str(self.directory), self.gateway.clock.seconds)
        scopes.configure(
            WorkspaceSettings(self.places, (), WorkspaceSpec, lambda server, _: server, lambda _: False)
        )
        names = self.gateway.dispatcher.servers.keys
        self.approvals = Approvals(
            str(self.home),
            World({}, {}, str(self.directory)),
            scopes.workspace,
            names,
            lambda: 0.0,
        )
        scopes.repositories = self.approvals
        self.shop = self.repository("shop", db=DB)
        self.blog = self.repository("blog")

    def repository(self, name: str, **servers: Mapping[str, Any]) -> Path:
        """A repository that defines servers."""
        root = self.directory / name
        (root / ".git").mkdir(parents=True, exist_ok=True)
        self.write(root, **servers)
        return root

    def write(self, root: Path, **servers: Mapping[str, Any]) -> None:
        """Let a repository define these servers from now on."""
        (root / ".mcp.json").write_text(json.dumps({"mcpServers": servers}))

    def approve(self, root: Path) -> None:
        """Approve a repository's file as it is."""
        self.approvals.approve(str(root), kept.digest_of(kept.target(str(root))))

    def connect(self, where: Path | None, path: str = "/mcp/full") -> Client:
        """A new connection of a client, which may say where it works."""
        headers = {"Mcp-Project-Path": str(where)} if where is not None else {}
        return Client(self.gateway.factory.buildProtocol(None), path, headers)

    def viewer(self, where: Path | None, path: str = "/mcp/full", **params: Any) -> Client:
        """The same with a session."""
        client = self.connect(where, path)
        client.initialize(protocolVersion="2025-06-18", **params)
        return client

    def tools(self, client: Client) -> list[str]:
        """The names of servers' tools that a client is listed."""
        return self.stage.names(client)

    def modern(self, where: Path | None, method: str, path: str = "/mcp/full", **params: Any) -> Any:
        """The answer to a client of the modern era."""
        client = self.connect(where, path)
        post(client, request(1, method, **params))
        self.stage.play()
        return reply(client)

    def modern_tools(self, where: Path | None) -> list[str]:
        """The names of servers' tools that such a client is listed."""
        for _ in range(2):
            listed = self.modern(where, "tools/list")["result"]["tools"]
        return [each["name"] for each in listed if "gateway_" not in each["name"]]

    def news(self, ears: Client) -> list[str]:
        """The methods of the messages that a client has heard on its stream."""
        self.gateway.clock.advance(0)
        assert ears.heard is not None
        return [each.get("method") for each in ears.heard.events]

    def calls(self) -> list[Any]:
        """The programs of the servers that have been called, in order."""
        return [
            each.launched.argv
            for each in self.gateway.launcher.children
            for _ in each.asked("tools/call")
            if each.launched is not None
        ]


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A machine."""
    return House(tmp_path)


EVERYBODYS = ["own__count", "shared__echo"]


class LegacyTests:
    """Clients with sessions."""

    def test_listed(self, house: House) -> None:
        """A client in the workspace is listed its tools, and no other client is."""
        house.approve(house.shop)
        assert sorted(house.tools(house.viewer(house.shop))) == ["db__query", *EVERYBODYS]
        assert sorted(house.tools(house.viewer(house.blog))) == EVERYBODYS
        assert sorted(house.tools(house.viewer(None))) == EVERYBODYS

    def test_inert(self, house: House) -> None:
        """A server that is not approved is not listed, cannot be called, and is not started."""
        client = house.viewer(house.shop)
        assert sorted(house.tools(client)) == EVERYBODYS
        client.call(2, "tools/call", name="db__query")
        house.stage.play()
        assert client.heard is not None
        assert "which you have not approved" in client.heard.json["error"]["message"]
        assert "db" not in [house.stage.name(each) for each in house.gateway.launcher.children]

    def test_called(self, house: House) -> None:
        """A call comes to the server that the workspace defines."""
        house.approve(house.shop)
        client = house.viewer(house.shop)
        house.tools(client)
        client.call(2, "tools/call", name="db__query")
        assert house.calls() == [("/opt/db", "--url", "x")]

    def test_found(self, house: House) -> None:
        """The tools of such servers are found by search, from that workspace alone."""
        house.approve(house.shop)
        for where, is_found in ((house.shop, True), (house.blog, False)):
            client = house.viewer(where)
            house.tools(client)
            client.call(2, "tools/call", name="gateway_search", arguments={"query": "query"})
            house.stage.play()
            assert client.heard is not None
            assert ("db__query" in client.heard.body.decode()) is is_found
            client.call(3, "tools/call", name="gateway_list_servers", arguments={})
            assert client.heard is not None
            assert ("db" in client.heard.json["result"]["content"][0]["text"]) is is_found

    def test_approved_of(self, house: House) -> None:
        """An approval, an edit and another approval are announced to those who work there."""
        shop, blog = house.viewer(house.shop), house.viewer(house.blog)
        assert sorted(house.tools(shop)) == EVERYBODYS
        house.tools(blog)
        ears, others = house.gateway.listen(shop), house.gateway.listen(blog)
        house.approve(house.shop)
        house.gateway.tick()
        assert house.news(ears).count(CHANGED) == 1
        assert sorted(house.tools(shop)) == ["db__query", *EVERYBODYS]
        told = house.news(ears).count(CHANGED)
        house.write(house.shop, db={**DB, "args": ["other"]})
        house.gateway.tick()
        assert house.news(ears).count(CHANGED) == told + 1
        assert sorted(house.tools(shop)) == EVERYBODYS
        house.approve(house.shop)
        house.gateway.tick()
        assert house.news(ears).count(CHANGED) == told + 2
        assert "db__query" in house.tools(shop)
        shop.call(2, "tools/call", name="db__query")
        assert house.calls() == [("/opt/db", "other")]
        house.gateway.tick(3)
        assert house.news(ears).count(CHANGED) <= told + 3
        assert CHANGED not in house.news(others)

    def test_says_nothing(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        """A client that names no directory is placed by its process when it first matters, and keeps that place."""
        monkeypatch.setattr(house.places, "_proc", str(house.directory / "proc"))
        (house.directory / "proc" / "77").mkdir(parents=True)
        (house.directory / "proc" / "77" / "root").symlink_to("/")
        (house.directory / "proc" / "77" / "cwd").symlink_to(house.shop)
        client = house.viewer(None, clientInfo={"name": "c", "version": "1", "pid": 77})
        assert sorted(house.tools(client)) == EVERYBODYS
        house.approve(house.shop)
        house.gateway.tick()
        assert sorted(house.tools(client)) == ["db__query", *EVERYBODYS]
        session = next(each for each in house.gateway.sessions if each.server.view)
        assert session.server.workspace == str(house.shop)

    def test_nobody_is_looked_for(self, house: House) -> None:
        """Where no workspace defines anything nobody is looked for before the answer."""
        house.viewer(None)
        assert not house.gateway.processes.searches


class ModernTests:
    """Clients without sessions."""

    def test_listed(self, house: House) -> None:
        """Where each request comes from decides, so an approval counts from the next one on."""
        assert house.modern_tools(house.shop) == ["shared__echo"]
        house.approve(house.shop)
        house.gateway.tick()
        assert "db__query" in house.modern_tools(house.shop)
        assert house.modern_tools(house.blog) == ["shared__echo"]
        assert house.modern_tools(None) == ["shared__echo"]

    def test_told(self, house: House) -> None:
        """A client that listens there hears when the servers are approved, and when they change."""
        ears, others = house.connect(house.shop), house.connect(house.blog)
        listen(ears, 7, toolsListChanged=True)
        listen(others, 8, toolsListChanged=True)

        def told(client: Client) -> int:
            house.gateway.clock.advance(DEBOUNCE_S)
            return sum(each.get("method") == CHANGED for each in events(client))

        house.approve(house.shop)
        house.gateway.tick(2)
        assert told(ears) == 1
        house.write(house.shop)
        house.gateway.tick(2)
        assert told(ears) == 2
        assert told(others) == 0
