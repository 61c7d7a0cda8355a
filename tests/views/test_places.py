"""Views of servers that are run otherwise in each workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mcpgateway.config.gateway_settings import GatewaySettings
from mcpgateway.config.model import Profile, ServerSpec, Share
from mcpgateway.errors import InvalidParams
from mcpgateway.hub.views import ViewsConfig
from mcpgateway.views.other_directories import LIMIT
from mcpgateway.views.specs import concerned, view_specs
from tests.support.gateway_in_memory import Client, MemoryGateway
from tests.support.views import Offer, Stage, tool


@pytest.fixture
def stage() -> Stage:
    """A server with a child for each workspace, beside those that have none."""
    spaced = ServerSpec("spaced", ("run",), {}, "/", share=Share.WORKSPACE)
    return Stage(MemoryGateway(more=(spaced,)), spaced=Offer(tools=[tool("where")]))


def also(stage: Stage, client: Client) -> Client:
    """Another connection of the same session."""
    found = stage.gateway.client(**client.headers)
    found.path = client.path
    return found


def viewer(stage: Stage, place: Path, **capabilities: Any) -> Client:
    """A session of somebody who works in a directory."""
    client = Client(stage.gateway.factory.buildProtocol(None), "/mcp/full", {"Mcp-Project-Path": str(place)})
    client.initialize(protocolVersion="2025-06-18", capabilities=capabilities)
    return client


class PlaceTests:
    """Clients in several workspaces."""

    def test_apart(self, stage: Stage, tmp_path: Path) -> None:
        """Each workspace has its own child, and those who work in one share it."""
        places = [tmp_path / "a", tmp_path / "b", tmp_path / "a"]
        for each in places:
            each.mkdir(exist_ok=True)
        clients = [viewer(stage, each) for each in places]
        for client in clients:
            stage.list(client)
            client.call(1, "tools/call", name="spaced__where")
        calls = [
            len(each.asked("tools/call"))
            for each in stage.gateway.launcher.children
            if stage.name(each) == "spaced"
        ]
        assert sorted(each for each in calls if each) == [1, 2]

    def test_back(self, stage: Stage, tmp_path: Path) -> None:
        """A session that is back has the workspace that it was begun in."""
        client = viewer(stage, tmp_path)
        stage.list(client)
        gateway = MemoryGateway(store=stage.gateway.store, more=stage.gateway.settings.servers[2:])
        again = Stage(gateway, **stage.offers)
        back = Client(gateway.factory.buildProtocol(None), "/mcp/full", dict(client.headers))
        del back.headers["Mcp-Project-Path"]
        back.call(1, "tools/call", name="spaced__where")
        again.play()
        session = next(iter(gateway.sessions))
        assert session.server.workspace == str(tmp_path)
        assert again.child("spaced").asked("tools/call")

    @pytest.mark.parametrize("cwd", ["src", "~/src", "/nonexistent/directory", ""])
    def test_a_directory_that_is_none(self, stage: Stage, cwd: str) -> None:
        """A request from a directory is refused where there is no such directory, not served as from nowhere."""
        view_sessions = stage.gateway.dispatcher.view_sessions
        view = view_sessions.seen(
            next(each for each in view_specs(view_sessions.views_config) if each.name == "mcp/full")
        )
        with pytest.raises(InvalidParams, match="no directory"):
            view_sessions.within(view, cwd)

    def test_another_directory(self, stage: Stage, tmp_path: Path) -> None:
        """The same view, as it looks from there; it knows which servers are switched off, too."""
        view_sessions = stage.gateway.dispatcher.view_sessions
        view = view_sessions.seen(
            next(each for each in view_specs(view_sessions.views_config) if each.name == "mcp/full")
        )
        assert view_sessions.within(view, str(tmp_path)).servers["spaced"].workspace == str(tmp_path)
        assert {*view.servers, *(each.name for each in view.others)} == set(stage.gateway.dispatcher.servers)


class ElsewhereTests:
    """Calls of a server as it is run for another directory than the client's own."""

    @pytest.fixture
    def client(self, stage: Stage, tmp_path: Path) -> Client:
        """A session of a view where servers may ask."""
        (tmp_path / "here").mkdir()
        found = viewer(stage, tmp_path / "here", sampling={})
        stage.list(found)
        return found

    def call(self, stage: Stage, client: Client, place: Path, identifier: int = 1) -> Client:
        """Call a tool there, on a connection of its own."""
        place.mkdir(exist_ok=True)
        stream = also(stage, client)
        arguments = {"server": "spaced", "tool": "where", "args": {}, "cwd": str(place)}
        stream.call(identifier, "tools/call", name="gateway_call", arguments=arguments)
        stage.play()
        return stream

    def test_taken_back(self, stage: Stage, client: Client, tmp_path: Path) -> None:
        """The client takes one back like any other."""
        stream = self.call(stage, client, tmp_path / "there")
        child = stage.child("spaced")
        assert child.launched is not None
        assert child.asked("tools/call")
        cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
        also(stage, client).ask(cancelled)
        assert child.asked("notifications/cancelled")
        assert stream.heard is not None
        assert stream.heard.json["error"]["code"] == -32800

    def test_asked(self, tmp_path: Path) -> None:
        """A server that takes values of the workspace may ask the client meanwhile."""
        apart = ServerSpec("spaced", ("run",), {}, "/", share=Share.SESSION)
        stage = Stage(MemoryGateway(more=(apart,)), spaced=Offer(tools=[tool("where")]))
        stage.gateway.dispatcher.scopes._takes_values = lambda server: server.name == "spaced"
        client = viewer(stage, tmp_path, sampling={})
        stream = self.call(stage, client, tmp_path / "there")
        child = stage.child("spaced")
        asked = child.asked("tools/call")[0]
        child.say({"jsonrpc": "2.0", "id": 5, "method": "sampling/createMessage", "params": {}})
        assert stream.heard is not None
        question = stream.heard.events[0]
        assert question["method"] == "sampling/createMessage"
        also(stage, client).ask({"jsonrpc": "2.0", "id": question["id"], "result": {"ok": 1}})
        assert {"jsonrpc": "2.0", "id": 5, "result": {"ok": 1}} in child.received
        child.answer(asked, {"content": []})
        assert stream.heard.events[-1]["result"] == {"content": []}

    def test_only_so_many(self, stage: Stage, client: Client, tmp_path: Path) -> None:
        """A member session that is not in use makes room, one in use stays; all of them end with the session."""
        streams = [self.call(stage, client, tmp_path / str(each)) for each in range(LIMIT + 1)]
        assert [each.heard is not None for each in streams] == [False] * LIMIT + [True]
        session = next(iter(stage.gateway.sessions))
        first = next(each for each in stage.gateway.launcher.children if each.asked("tools/call"))
        first.answer(first.asked("tools/call")[0], {"content": []})
        self.call(stage, client, tmp_path / "another")
        assert session.members is not None
        assert sum(" " in name for name in session.members.sessions) == LIMIT
        also(stage, client).send(b"", "DELETE")
        assert len(stage.gateway.dispatcher.calls) == 0


class ProfileTests:
    """The view of a profile."""

    def test_what_it_is_of(self) -> None:
        """The view of a profile has the servers of the profile, any other view all, switched on or off."""
        servers = [
            ServerSpec("on", ("run",), {}, "/"),
            ServerSpec("off", ("run",), {}, "/", enabled=False),
            ServerSpec("foreign", ("run",), {}, "/"),
        ]
        views_config = ViewsConfig(GatewaySettings(), {"mine": Profile("mine", (), ("on", "off"))})
        known = {each.name: each for each in view_specs(views_config)}
        mine, every = known["mcp/p/mine"], known["mcp/full"]
        assert [each.name for each in concerned(mine, servers, views_config)] == ["on", "off"]
        assert [each.name for each in concerned(every, servers, views_config)] == ["on", "off", "foreign"]
