"""Resources that several servers have: what a client has seen of one never comes to mean another's."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from tests.support.gateway_in_memory import Client, MemoryGateway
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
    """The URIs of the resources that a client is listed."""
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
        """A resource is not another server's when its own has ceased to list it."""
        come(stage)
        stage.offers["shared"].resources = []
        news = {"jsonrpc": "2.0", "method": "notifications/resources/list_changed"}
        stage.child("shared").say(news)
        assert set(uris(stage, client)) == {"a://y", "mcpgateway:0a/a://x"}
        client.call(1, "resources/read", uri="a://x")
        assert answer(stage, "shared", "resources/read", {"contents": []}) == "a://x"

    def test_gone(self, stage: Stage, client: Client) -> None:
        """A resource may be another server's when its own has been taken out of the configuration."""
        come(stage)
        stage.gateway.serve(*(each for each in stage.gateway.settings.servers if each.name != "shared"))
        assert set(uris(stage, client)) == {"a://y", "a://x"}


class NextOwnerTests:
    """Resources that are in no list, and may be of several servers."""

    @pytest.mark.parametrize(
        "error",
        [
            {"code": -32002, "message": "Nope"},
            {"code": -32602, "message": "Resource a://z not found"},
            {"code": 0, "message": "Unknown resource: a://z"},
        ],
    )
    def test_not_found(self, stage: Stage, client: Client, error: dict[str, Any]) -> None:
        """The next owner is asked where the first one has no such resource."""
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


class SubscriptionTests:
    """A subscription knows whose it is, and what its client calls it."""

    @staticmethod
    def subscribe(stage: Stage, client: Client, uri: str, server: str) -> None:
        """Subscribe to a resource of a server's."""
        client.call(10, "resources/subscribe", uri=uri)
        answer(stage, server, "resources/subscribe")
        assert client.heard is not None
        assert client.heard.json["result"] == {}

    @staticmethod
    def changed(stage: Stage, server: str, uri: str) -> None:
        """A resource changes."""
        stage.child(server).say({"jsonrpc": "2.0", "method": UPDATED, "params": {"uri": uri}})

    @staticmethod
    def told(ears: Client) -> list[str]:
        """The changes that a client has heard of."""
        assert ears.heard is not None
        return [each["params"]["uri"] for each in ears.heard.events if each["method"] == UPDATED]

    def test_its_owner(self, stage: Stage, client: Client) -> None:
        """A subscription stays with its server and its URI when another server comes before that, and ends there."""
        self.subscribe(stage, client, "a://x", "shared")
        ears = stage.gateway.listen(client)
        come(stage)
        self.changed(stage, "shared", "a://x")
        assert self.told(ears) == ["a://x"]
        client.call(11, "resources/unsubscribe", uri="a://x")
        assert answer(stage, "shared", "resources/unsubscribe") == "a://x"
        self.changed(stage, "shared", "a://x")
        assert self.told(ears) == ["a://x"]

    def test_unlisted(self, stage: Stage, client: Client) -> None:
        """A change of what nobody lists, and of its parts, is told as it was subscribed to."""
        ears = stage.gateway.listen(client)
        self.subscribe(stage, client, "mcpgateway:own/a://z", "own")
        self.changed(stage, "own", "a://z")
        self.changed(stage, "own", "a://z/part")
        assert self.told(ears) == ["mcpgateway:own/a://z", "mcpgateway:own/a://z/part"]

    def test_two_names(self, stage: Stage, client: Client) -> None:
        """A resource under two URIs is two subscriptions for its client, and one for its server."""
        ears = stage.gateway.listen(client)
        self.subscribe(stage, client, "mcpgateway:own/a://y", "own")
        client.call(11, "resources/subscribe", uri="a://y")
        self.changed(stage, "own", "a://y")
        assert self.told(ears) == ["mcpgateway:own/a://y", "a://y"]
        client.call(12, "resources/unsubscribe", uri="mcpgateway:own/a://y")
        assert not stage.child("own").asked("resources/unsubscribe")
        self.changed(stage, "own", "a://y")
        assert self.told(ears)[2:] == ["a://y"]
        client.call(13, "resources/unsubscribe", uri="mcpgateway:own/a://y")
        assert not stage.child("own").asked("resources/unsubscribe")
        client.call(14, "resources/unsubscribe", uri="a://y")
        assert answer(stage, "own", "resources/unsubscribe") == "a://y"

    def test_back(self, stage: Stage, client: Client) -> None:
        """A session that outlives the gateway has its subscriptions where they were, as it has written them."""
        self.subscribe(stage, client, "a://x", "shared")
        self.subscribe(stage, client, "mcpgateway:own/a://z", "own")
        gateway = MemoryGateway(store=stage.gateway.store)
        again = Stage(gateway, **stage.offers)
        come(again)
        back = Client(gateway.factory.buildProtocol(None), "/mcp/full", dict(client.headers))
        ears = gateway.listen(back)
        again.play()
        for server, uri in (("shared", "a://x"), ("own", "a://z")):
            assert answer(again, server, "resources/subscribe") == uri
            self.changed(again, server, uri)
        assert self.told(ears) == ["a://x", "mcpgateway:own/a://z"]
        back.call(1, "resources/read", uri="a://x")
        assert answer(again, "shared", "resources/read", {"contents": []}) == "a://x"
        for server, uri in (("shared", "a://x"), ("own", "mcpgateway:own/a://z")):
            back.call(2, "resources/unsubscribe", uri=uri)
            answer(again, server, "resources/unsubscribe")
        last = MemoryGateway(store=gateway.store)
        Client(last.factory.buildProtocol(None), "/mcp/full", dict(client.headers)).call(1, "ping")
        assert last.launcher.children == []

    def test_server_gone(self, stage: Stage, client: Client) -> None:
        """A subscription ends also where its server is not any more."""
        self.subscribe(stage, client, "a://x", "shared")
        stage.gateway.serve(*(each for each in stage.gateway.settings.servers if each.name != "shared"))
        client.call(11, "resources/unsubscribe", uri="a://x")
        assert client.heard is not None
        assert client.heard.json["result"] == {}

    def test_where_it_is_read(self, stage: Stage, client: Client) -> None:
        """A resource on no list is subscribed to where it can be read, and read there from then on."""
        client.call(1, "resources/subscribe", uri="a://z")
        answer(stage, "shared", "resources/read", error={"code": -32002, "message": "Resource not found"})
        answer(stage, "own", "resources/read", {"contents": []})
        assert answer(stage, "own", "resources/subscribe") == "a://z"
        assert not stage.child("shared").asked("resources/subscribe")
        stage.offers["0a"].resources = [{"uri": "a://z", "name": "z"}]
        come(stage)
        uris(stage, client)
        client.call(2, "resources/read", uri="a://z")
        assert len(stage.child("own").asked("resources/read")) == 2
        assert not stage.child("0a").asked("resources/read")

    def test_cancelled(self, stage: Stage, client: Client) -> None:
        """A client that takes a subscription back before its server is found is subscribed to no resource."""
        client.call(1, "resources/subscribe", uri="a://z")
        other = stage.gateway.client(**client.headers)
        other.path = client.path
        other.ask({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
        assert len(stage.child("shared").asked("notifications/cancelled")) == 1
        answer(stage, "shared", "resources/read", {"contents": []})
        assert not stage.child("shared").asked("resources/subscribe")

    def test_not_found(self, stage: Stage, client: Client) -> None:
        """Where it can be read nowhere, the next is asked where one says that it has no such resource."""
        error = {"code": -32002, "message": "Resource not found"}
        client.call(1, "resources/subscribe", uri="a://z")
        for method in ("resources/read", "resources/subscribe"):
            answer(stage, "shared", method, error=error)
            answer(stage, "own", method, error=error)
        assert client.heard is not None
        assert client.heard.json["error"] == error
