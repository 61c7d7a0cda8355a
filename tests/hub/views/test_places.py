"""Views of servers that are run otherwise in each workspace."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcpgateway.config.model import GatewaySettings, Profile, ServerSpec, Share
from mcpgateway.errors import InvalidParams
from mcpgateway.hub.views.specs import Ways, concerned, members, view_specs
from tests.support.gateway_in_memory import Client, MemoryGateway
from tests.support.views import Offer, Stage, tool


@pytest.fixture
def stage() -> Stage:
    """A server with a child for each workspace, beside those that have none."""
    spaced = ServerSpec("spaced", ("run",), {}, "/", Share.WORKSPACE)
    return Stage(MemoryGateway(more=(spaced,)), spaced=Offer(tools=[tool("where")]))


def viewer(stage: Stage, place: Path) -> Client:
    """A session of somebody who works in a directory."""
    client = Client(stage.gateway.factory.buildProtocol(None), "/mcp/full", {"Mcp-Project-Path": str(place)})
    client.initialize(protocolVersion="2025-06-18")
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
        """What is as from another directory is refused where there is none, not done as from nowhere."""
        board = stage.gateway.switchboard.board
        view = board.seen(next(each for each in view_specs(board.ways) if each.name == "mcp/full"))
        with pytest.raises(InvalidParams, match="no directory"):
            board.within(view, cwd)

    def test_another_directory(self, stage: Stage, tmp_path: Path) -> None:
        """The same view, as it looks from there; it knows which servers are switched off, too."""
        board = stage.gateway.switchboard.board
        view = board.seen(next(each for each in view_specs(board.ways) if each.name == "mcp/full"))
        assert board.within(view, str(tmp_path)).servers["spaced"].workspace == str(tmp_path)
        assert {*view.servers, *(each.name for each in view.others)} == set(stage.gateway.switchboard.servers)


class ProfileTests:
    """The view of a profile."""

    def test_what_it_is_of(self) -> None:
        """It is of the servers of its profile, and shows those of them that are switched on."""
        servers = [
            ServerSpec("on", ("run",), {}, "/"),
            ServerSpec("off", ("run",), {}, "/", enabled=False),
            ServerSpec("foreign", ("run",), {}, "/"),
        ]
        ways = Ways(GatewaySettings(), {"mine": Profile("mine", (), ("on", "off"))})
        known = {each.name: each for each in view_specs(ways)}
        mine, every = known["mcp/p/mine"], known["mcp/full"]
        assert [each.name for each in concerned(mine, servers, ways)] == ["on", "off"]
        assert [each.name for each in members(mine, servers, ways)] == ["on"]
        assert [each.name for each in concerned(every, servers, ways)] == ["on", "off", "foreign"]
