"""Resources that several servers have: what a client has seen of one never comes to mean another's."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from tests.support.gateway_in_memory import Client
from tests.support.views import Offer, Stage

X = [{"uri": "a://x", "name": "x"}]
UPDATED = "notifications/resources/updated"


@pytest.fixture
def stage() -> Stage:
    """Two servers that list things of one scheme, and a third that may come."""
    return Stage(
        **{"0a": Offer(tools=[], resources=X)},
        shared=Offer(tools=[], resources=X),
        own=Offer(tools=[], resources=[{"uri": "a://y", "name": "y"}]),
    )


@pytest.fixture
def client(stage: Stage) -> Client:
    """A session that has listed them."""
    found = stage.view()
    stage.list(found, "resources/list")
    stage.list(found, "resources/templates/list")
    return found


def come(stage: Stage) -> None:
    """A server is there from now on, before all others."""
    servers = stage.gateway.settings.servers
    stage.gateway.serve(evolve(servers[0], name="0a", env={}), *servers)
    stage.play()


def uris(stage: Stage, client: Client) -> list[str]:
    """What a client is listed."""
    return [each["uri"] for each in stage.list(client, "resources/list")["resources"]]


def answer(stage: Stage, server: str, method: str, result: Any = None, error: Any = None) -> str:
    """Let a server answer what it was asked last; returns which resource that was."""
    child = stage.child(server)
    asked = child.asked(method)[-1]
    outcome = {"error": error} if error is not None else {"result": result or {}}
    child.say({"jsonrpc": "2.0", "id": asked["id"], **outcome})
    return str(asked["params"]["uri"])


class TakeoverTests:
    """Servers that come after a client has seen what there is."""

    def test_listed(self, stage: Stage, client: Client) -> None:
        """A server that comes before the others takes no URI that has been listed."""
        before = uris(stage, client)
        come(stage)
        assert set(uris(stage, client)) == {*before, "mcpgateway:0a/a://x"}
        client.call(1, "resources/read", uri="a://x")
        assert answer(stage, "shared", "resources/read", {"contents": []}) == "a://x"
        client.call(2, "resources/read", uri="mcpgateway:0a/a://x")
        assert answer(stage, "0a", "resources/read", {"contents": []}) == "a://x"

    def test_not_listed_any_more(self, stage: Stage, client: Client) -> None:
        """It is not another's when its server has ceased to list it."""
        come(stage)
        stage.offers["shared"].resources = []
        news = {"jsonrpc": "2.0", "method": "notifications/resources/list_changed"}
        stage.child("shared").say(news)
        assert set(uris(stage, client)) == {"a://y", "mcpgateway:0a/a://x"}
        client.call(1, "resources/read", uri="a://x")
        assert answer(stage, "shared", "resources/read", {"contents": []}) == "a://x"

    def test_gone(self, stage: Stage, client: Client) -> None:
        """It may be another's when its server has been taken out of the configuration."""
        come(stage)
        stage.gateway.serve(*(each for each in stage.gateway.settings.servers if each.name != "shared"))
        assert set(uris(stage, client)) == {"a://y", "a://x"}


class NextOwnerTests:
    """What is in no list, and may be of several servers."""

    @pytest.mark.parametrize(
        "error",
        [
            {"code": -32002, "message": "Nope"},
            {"code": -32602, "message": "Resource a://z not found"},
            {"code": 0, "message": "Unknown resource: a://z"},
        ],
    )
    def test_not_found(self, stage: Stage, client: Client, error: dict[str, Any]) -> None:
        """The next is asked where one says that it has no such resource."""
        client.call(1, "resources/read", uri="a://z")
        answer(stage, "shared", "resources/read", error=error)
        assert answer(stage, "own", "resources/read", {"contents": []}) == "a://z"
        assert client.heard is not None
        assert client.heard.json["result"] == {"contents": []}

    @pytest.mark.parametrize(
        "error",
        [
            {"code": -32602, "message": "Invalid params: too long"},
            {"code": -32603, "message": "Internal error: file not found"},
            {"code": -32001, "message": "Not for you"},
            {"message": "Resource not found"},
        ],
    )
    def test_refused(self, stage: Stage, client: Client, error: dict[str, Any]) -> None:
        """A refusal or a failure is the answer, and no other server is asked."""
        client.call(1, "resources/read", uri="a://z")
        answer(stage, "shared", "resources/read", error=error)
        assert not stage.child("own").asked("resources/read")
        assert client.heard is not None
        assert client.heard.json["error"] == error
