"""Legacy sessions at servers that speak only the modern era (MCP 2025-11-25 and 2026-07-28)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mcpgateway.config.model import Bridge, ServerSpec, Share
from mcpgateway.hub.bridge.to_modern import ROUND_TICKS, ROUNDS_LIMIT
from mcpgateway.hub.calls import ABANDONED_STEP_TICKS, ABANDONED_TICKS, SESSION_CALLS_LIMIT
from mcpgateway.hub.client_requests import UNHEARD_TICKS
from mcpgateway.hub.subscriptions.interest import URIS_LIMIT
from mcpgateway.hub.subscriptions.legacy_sessions import UNACKNOWLEDGED_TICKS
from mcpgateway.interfaces import ISessionStore
from mcpgateway.policy.sharing import launch_digest
from mcpgateway.protocol.versions import Era
from mcpgateway.system.journal import Journal
from tests.support.gateway_in_memory import DISCOVERED, Client, MemoryChild, MemoryGateway
from tests.support.modern_client import events, methods, reply

PREFIX = "io.modelcontextprotocol/"
LISTEN, ACKNOWLEDGED = "subscriptions/listen", "notifications/subscriptions/acknowledged"
UPDATED, TOOLS_CHANGED = "notifications/resources/updated", "notifications/tools/list_changed"
CANCELLED, PROGRESS = "notifications/cancelled", "notifications/progress"
OFFERS = {
    "elicitation": {"form": {}, "url": {}},
    "sampling": {},
    "roots": {"listChanged": True},
    "tasks": {"cancel": {}},
}
INFO = {"name": "c", "version": "1"}
FORM = {"method": "elicitation/create", "params": {"message": "Who?", "requestedSchema": {"type": "object"}}}
SAMPLE = {"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 1}}
ROOTS = {"method": "roots/list"}
A, B = "file:///a", "file:///b"


def gateway_of(store: ISessionStore | None = None, *, bridge: Bridge = Bridge.AUTO) -> MemoryGateway:
    """A gateway whose servers speak the modern era only; of "m" and "mine" that is known."""
    more = (
        ServerSpec("m", ("run",), {}, "/", share=Share.GLOBAL, protocol=Era.MODERN, title="m"),
        ServerSpec("mine", ("run",), {}, "/", share=Share.SESSION, protocol=Era.MODERN, title="mine"),
        ServerSpec("mute", ("run",), {}, "/", protocol=Era.MODERN, interactive=False, title="mute"),
        ServerSpec("any", ("run",), {}, "/", title="any"),
    )
    made = MemoryGateway(more=more, bridge=bridge, store=store)
    made.launcher.eras = dict.fromkeys(("shared", "own", *(each.name for each in more)), (Era.MODERN,))
    return made


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway whose servers speak the modern era only."""
    return gateway_of()


def session(gateway: MemoryGateway, server: str = "m", name: str = "c", **offers: Any) -> Client:
    """A session whose client can be asked anything, unless it is said what."""
    client = gateway.client(server)
    info = {"name": name, "version": "1"}
    client.initialize(protocolVersion="2025-06-18", capabilities=offers or OFFERS, clientInfo=info)
    return client


def again(gateway: MemoryGateway, client: Client) -> Client:
    """Return one more connection of a session."""
    other = gateway.client(**client.headers)
    other.path = client.path
    return other


def tell(gateway: MemoryGateway, client: Client, message: dict[str, Any]) -> None:
    """Send a notification or an answer of a session's on a connection of its own."""
    assert again(gateway, client).ask({"jsonrpc": "2.0", **message}).status == 202


def call(gateway: MemoryGateway, client: Client, identifier: Any = 1, **params: Any) -> dict[str, Any]:
    """Send a call; what the child has got of it."""
    client.call(identifier, "tools/call", **{"name": "t", **params})
    return gateway.child.asked("tools/call")[-1]


def want(child: MemoryChild, request: dict[str, Any], state: Any = None, **requests: Any) -> None:
    """Let a child answer that it needs something first."""
    result: dict[str, Any] = {"resultType": "input_required"}
    if requests:
        result["inputRequests"] = requests
    if state is not None:
        result["requestState"] = state
    child.answer(request, result)


def acknowledge(child: MemoryChild, honoured: dict[str, Any] | None = None) -> dict[str, Any]:
    """Let a child honour the latest filter, or a part of it; what was asked."""
    asked = child.asked(LISTEN)[-1]
    filter_ = asked["params"]["notifications"] if honoured is None else honoured
    news(child, ACKNOWLEDGED, asked, notifications=filter_)
    return dict(asked["params"]["notifications"])


def news(child: MemoryChild, method: str, asked: dict[str, Any] | None = None, **params: Any) -> None:
    """Let a child say something to those who listen."""
    identifier = (asked or child.asked(LISTEN)[-1])["id"]
    params["_meta"] = {PREFIX + "subscriptionId": identifier, **params.get("_meta", {})}
    child.say({"jsonrpc": "2.0", "method": method, "params": params})


def discovered(gateway: MemoryGateway, server: str, **capabilities: Any) -> Client:
    """A session at a server with these capabilities."""
    gateway.launcher.hello = None
    client = gateway.client(server)
    client.call(0, "initialize", protocolVersion="2025-11-25", capabilities=OFFERS, clientInfo=INFO)
    gateway.child.answer(
        gateway.child.asked("server/discover")[0], {**DISCOVERED, "capabilities": capabilities}
    )
    assert client.heard is not None
    client.headers["Mcp-Session-Id"] = (
        client.transport.taken.split(b"Mcp-Session-Id: ")[1].split(b"\r\n")[0].decode()
    )
    return client


class BeginningTests:
    """initialize, at a server that has no such thing."""

    def test_from_what_the_server_says_of_itself(self, gateway: MemoryGateway) -> None:
        """The gateway answers initialize from the server's discovery, in the client's revision; the server
        never hears of it.
        """
        client = gateway.client("m")
        answer = client.initialize(protocolVersion="2024-11-05", capabilities={}, clientInfo=INFO)
        assert answer.json["result"] == {
            "protocolVersion": "2024-11-05",
            "capabilities": DISCOVERED["capabilities"],
            "serverInfo": {"name": "m", "version": "1"},
        }
        assert [each["method"] for each in gateway.child.received] == ["server/discover", LISTEN]

    def test_extensions_are_not_for_it(self, gateway: MemoryGateway) -> None:
        """The extensions of a server are not promised to a client of the other era."""
        client = discovered(gateway, "m", tools={}, extensions={PREFIX + "tasks": {}})
        assert reply(client)["result"]["capabilities"] == {"tools": {}}

    def test_one_child_for_all(self, gateway: MemoryGateway) -> None:
        """All sessions of a shared server use one child."""
        for _ in range(3):
            session(gateway)
        assert len(gateway.launcher.children) == 1

    @pytest.mark.parametrize("server", ["shared", "any"])
    def test_a_server_that_nobody_knows(self, gateway: MemoryGateway, server: str) -> None:
        """A server that refuses the handshake is asked whether it speaks the later era; that is remembered."""
        client = gateway.client(server)
        client.call(0, "initialize", protocolVersion="2025-11-25", capabilities=OFFERS, clientInfo=INFO)
        assert client.heard is not None
        assert client.heard.json["result"]["serverInfo"] == {"name": "m", "version": "1"}
        started = len(gateway.launcher.children)
        session(gateway, server)
        assert len(gateway.launcher.children) == started
        later = gateway_of(gateway.store)
        session(later, server)
        assert later.launcher.children[0].received[0]["method"] == "server/discover"

    def test_a_server_that_speaks_neither(self, gateway: MemoryGateway) -> None:
        """The client hears what the server said to the handshake."""
        gateway.launcher.eras["shared"] = ()
        answer = gateway.client("shared").initialize(protocolVersion="2025-11-25", capabilities={})
        assert "not my era" in answer.json["error"]["message"]

    def test_a_server_that_ends(self, gateway: MemoryGateway) -> None:
        """A server that does not come up is not taken for one of the other era."""
        gateway.launcher.hello = None
        client = gateway.client("shared")
        client.call(0, "initialize", protocolVersion="2025-11-25", capabilities={})
        gateway.child.exit(1)
        assert "error" in reply(client)
        assert len(gateway.launcher.children) == 1

    @pytest.mark.parametrize("server", ["m", "shared"])
    def test_no_bridge(self, server: str) -> None:
        """Without a bridge the client is told which revisions there are."""
        gateway = gateway_of(bridge=Bridge.OFF)
        answer = gateway.client(server).initialize(protocolVersion="2025-11-25", capabilities={})
        assert (answer.status, answer.json["error"]["code"]) == (400, -32022)
        assert answer.json["error"]["data"] == {"supported": ["2026-07-28"], "requested": "2025-11-25"}

    def test_requests_without_a_session(self, gateway: MemoryGateway) -> None:
        """Requests without a session find out too that a server has no handshake; those that wait meanwhile
        are all served.
        """
        clients = [gateway.client("any") for _ in range(3)]
        for client in clients:
            client.call(1, "tools/list")
        served = gateway.child
        asked = served.asked("tools/list")
        assert len(asked) == 3
        assert not served.asked("initialize")
        for each in asked:
            served.answer(each, {"resultType": "complete", "tools": []})
        assert [reply(client)["result"] for client in clients] == [{"tools": []}] * 3

    def test_a_session_of_a_forgotten_server(self) -> None:
        """A session that is back finds its server again, though what that speaks is not on record any more."""
        gateway = gateway_of()
        client = session(gateway, "any")
        (kept,) = gateway.sessions
        gateway.dispatcher.park(kept, "a test")
        gateway.hub.modern_dispatcher.eras._known.clear()
        gateway.store.judge(f"eras {launch_digest(kept.server)}", "")
        client = again(gateway, client)
        client.call(2, "tools/list")
        served = [child for child in gateway.launcher.children if child.asked("tools/list")][-1]
        (asked,) = served.asked("tools/list")
        served.answer(asked, {"resultType": "complete", "tools": []})
        assert reply(client)["result"] == {"tools": []}

    def test_a_child_of_its_own(self, gateway: MemoryGateway) -> None:
        """Where a server keeps state each session has its own child, which ends with it."""
        one, two = session(gateway, "mine"), session(gateway, "mine")
        first, second = gateway.launcher.children
        one.call(1, "tools/call", name="t")
        two.call(1, "tools/call", name="t")
        assert len(first.asked("tools/call")) == len(second.asked("tools/call")) == 1
        again(gateway, two).ask(b"", "DELETE")
        assert (first.is_stopping, second.is_stopping) == (False, True)


class EnvelopeTests:
    """Every request carries what its client has said of itself."""

    def test_whose_request_it_is(self, gateway: MemoryGateway) -> None:
        """Each request bears its own client's name and offers, in the words of the later era."""
        one, two = session(gateway, name="one"), session(gateway, name="two", sampling={})
        metas = [call(gateway, client, _meta={"x": 1})["params"]["_meta"] for client in (one, two)]
        assert metas[0] == {
            "x": 1,
            PREFIX + "protocolVersion": "2026-07-28",
            PREFIX + "clientInfo": {"name": "one", "version": "1"},
            PREFIX + "clientCapabilities": {
                "elicitation": {"form": {}, "url": {}},
                "sampling": {},
                "roots": {},
            },
        }
        assert metas[1][PREFIX + "clientInfo"]["name"] == "two"
        assert metas[1][PREFIX + "clientCapabilities"] == {"sampling": {}}

    def test_every_method(self, gateway: MemoryGateway) -> None:
        """A request of any method, with parameters or without, names its client."""
        client = session(gateway)
        for method in ("tools/list", "completion/complete", "resources/templates/list", "vendor/thing"):
            again(gateway, client).send({"jsonrpc": "2.0", "id": 1, "method": method})
            (request,) = gateway.child.asked(method)
            assert request["params"]["_meta"][PREFIX + "clientInfo"] == INFO

    def test_nothing_is_forged(self, gateway: MemoryGateway) -> None:
        """The gateway takes no member from a client that it sets itself in this era."""
        client = session(gateway)
        forged = {PREFIX + "logLevel": "debug", PREFIX + "clientInfo": {"name": "other"}, "kept": 1}
        request = call(gateway, client, _meta=forged, requestState="s", inputResponses={"a": {}})
        assert PREFIX + "logLevel" not in request["params"]["_meta"]
        assert request["params"]["_meta"][PREFIX + "clientInfo"] == INFO
        assert request["params"]["_meta"]["kept"] == 1
        assert request["params"].keys() == {"name", "_meta"}

    def test_a_server_that_may_not_ask(self, gateway: MemoryGateway) -> None:
        """A server whose entry says so is not told of anything that it could ask for."""
        client = session(gateway, "mute", **OFFERS, experimental={"x": {}})
        request = call(gateway, client)
        assert request["params"]["_meta"][PREFIX + "clientCapabilities"] == {"experimental": {"x": {}}}
        want(gateway.child, request, "s", a=FORM)
        assert reply(client)["error"]["code"] == -32603

    def test_extensions(self, gateway: MemoryGateway) -> None:
        """A client's extensions are passed on, but for tasks, which are others in its era."""
        client = session(gateway, extensions={PREFIX + "tasks": {}, PREFIX + "ui": {}})
        declared = call(gateway, client)["params"]["_meta"][PREFIX + "clientCapabilities"]
        assert declared == {"extensions": {PREFIX + "ui": {}}}

    def test_strange_words_at_initialize(self, gateway: MemoryGateway) -> None:
        """A client that says nothing useful of itself goes under the gateway's name."""
        client = gateway.client("m")
        client.initialize(protocolVersion="2025-06-18", capabilities=7, clientInfo=[])
        meta = call(gateway, client)["params"]["_meta"]
        assert meta[PREFIX + "clientInfo"]["name"] == "mcpgateway"
        assert meta[PREFIX + "clientCapabilities"] == {}

    def test_without_a_session(self, gateway: MemoryGateway) -> None:
        """Requests without an id say what the gateway is, and are not asked anything."""
        client = gateway.client("m")
        request = call(gateway, client)
        assert request["params"]["_meta"][PREFIX + "clientInfo"]["name"] == "mcpgateway"
        assert request["params"]["_meta"][PREFIX + "clientCapabilities"] == {}
        want(gateway.child, request, "s", a=FORM)
        assert reply(client)["error"]["code"] == -32603
        assert gateway.child.asked(LISTEN) == []

    @pytest.mark.parametrize("server", ["m", "mine"])
    def test_after_a_restart(self, server: str) -> None:
        """A session that comes back still says who its client is, and which level it had set."""
        store = Journal(":memory:", lambda: 1_700_000_000.0)
        client = session(gateway_of(store), server)
        client.call(1, "logging/setLevel", level="error")
        later = gateway_of(store)
        same = again(later, client)
        meta = call(later, same)["params"]["_meta"]
        assert meta[PREFIX + "clientInfo"] == INFO
        assert meta[PREFIX + "logLevel"] == "error"
        assert meta[PREFIX + "clientCapabilities"]["roots"] == {}

    def test_nothing_is_left(self, gateway: MemoryGateway) -> None:
        """The record of a session at a modern server goes with the session."""
        client = session(gateway)
        call(gateway, client)
        again(gateway, client).ask(b"", "DELETE")
        assert not gateway.dispatcher.to_modern._guests
        assert not gateway.dispatcher.to_modern.calls()


class AnswerTests:
    """Answers of a modern server, in the words of the legacy era."""

    def test_equal_ids_and_tokens(self, gateway: MemoryGateway) -> None:
        """Two sessions with the same id and token get each their own progress and answer."""
        one, two = session(gateway), session(gateway)
        requests = [call(gateway, each, 7, _meta={"progressToken": 0}) for each in (one, two)]
        tokens = [each["params"]["_meta"]["progressToken"] for each in requests]
        assert tokens == [each["id"] for each in requests]
        for number in (1, 0):
            note = {"progressToken": tokens[number], "progress": number}
            gateway.child.say({"jsonrpc": "2.0", "method": PROGRESS, "params": note})
            gateway.child.answer(requests[number], {"content": [], "of": number, "resultType": "complete"})
        for number, client in enumerate((one, two)):
            told, answer = events(client)
            assert told["params"] == {"progressToken": 0, "progress": number}
            assert answer == {"jsonrpc": "2.0", "id": 7, "result": {"content": [], "of": number}}

    def test_how_long_it_may_be_kept(self, gateway: MemoryGateway) -> None:
        """A client of this era is not told what it could do nothing with."""
        client = session(gateway)
        client.call(1, "tools/list")
        kept = {"resultType": "complete", "ttlMs": 0, "cacheScope": "public"}
        meta = {PREFIX + "serverInfo": {"name": "m", "version": "1"}}
        gateway.child.answer(gateway.child.asked("tools/list")[0], {"tools": [], **kept, "_meta": meta})
        assert reply(client)["result"] == {"tools": []}

    @pytest.mark.parametrize("result", [[], "x", None])
    def test_no_object(self, gateway: MemoryGateway, result: Any) -> None:
        """A result that is no object has no words in the other era: it is an error."""
        client = session(gateway)
        asked = call(gateway, client, 7)
        gateway.child.answer(asked, result)
        assert "object" in reply(client)["error"]["message"]

    def test_an_error(self, gateway: MemoryGateway) -> None:
        """A server's own error is passed on as it is."""
        client = session(gateway)
        request = call(gateway, client, "x")
        error = {"code": -32602, "message": "no", "data": {"a": [1.0]}}
        gateway.child.say({"jsonrpc": "2.0", "id": request["id"], "error": error})
        assert reply(client) == {"jsonrpc": "2.0", "id": "x", "error": error}

    @pytest.mark.parametrize(
        ("method", "kind"), [("tools/call", "task"), ("tools/list", "input_required"), ("x/y", "strange")]
    )
    def test_a_kind_that_nobody_knows(self, gateway: MemoryGateway, method: str, kind: str) -> None:
        """A result that means nothing in the client's era is an error that says so."""
        client = session(gateway)
        client.call(1, method)
        gateway.child.answer(
            gateway.child.asked(method)[0], {"resultType": kind, "inputRequests": {"a": ROOTS}}
        )
        assert reply(client)["error"]["code"] == -32603
        assert kind in reply(client)["error"]["message"]

    @pytest.mark.parametrize(
        "method", ["tasks/get", "tasks/list", "tasks/result", "server/discover", "subscriptions/listen"]
    )
    def test_not_in_this_era(self, gateway: MemoryGateway, method: str) -> None:
        """A method that means something else in the other era, or nothing, is unknown here."""
        client = session(gateway)
        before = len(gateway.child.received)
        client.call(1, method, taskId="1")
        assert reply(client)["error"]["code"] == -32601
        assert len(gateway.child.received) == before

    def test_a_task_is_not_begun(self, gateway: MemoryGateway) -> None:
        """A call that should be a task is an ordinary call."""
        assert "task" not in call(gateway, session(gateway), task={"ttl": 1})["params"]

    def test_ping(self, gateway: MemoryGateway) -> None:
        """The gateway answers a ping itself."""
        client = session(gateway)
        client.call(1, "ping")
        assert reply(client)["result"] == {}
        assert gateway.child.asked("ping") == []

    def test_a_child_that_ends(self, gateway: MemoryGateway) -> None:
        """A call under way fails with its child, and the next one starts another."""
        client = session(gateway)
        call(gateway, client)
        gateway.child.exit(1)
        assert "ended before it answered" in reply(client)["error"]["message"]
        assert call(gateway, client, 2)["params"]["name"] == "t"

    def test_what_clients_only_say_in_their_era(self, gateway: MemoryGateway) -> None:
        """Notifications that the server does not know are not passed on."""
        client = session(gateway)
        before = len(gateway.child.received)
        for method in ("notifications/initialized", "notifications/roots/list_changed", PROGRESS):
            tell(gateway, client, {"method": method, "params": {"progressToken": 1, "progress": 1}})
        assert len(gateway.child.received) == before

    def test_too_many(self, gateway: MemoryGateway) -> None:
        """Calls that wait for an answer of the client's count as calls of its session."""
        client = session(gateway)
        waiting = call(gateway, client)
        want(gateway.child, waiting, "s", a=FORM)
        for number in range(SESSION_CALLS_LIMIT - 1):
            again(gateway, client).call(number, "tools/call", name="t")
        late = again(gateway, client)
        late.call("late", "tools/call", name="t")
        assert "under way already" in reply(late)["error"]["message"]


class LevelTests:
    """logging/setLevel and notifications/message."""

    def test_in_every_request(self, gateway: MemoryGateway) -> None:
        """The level of a session travels in its requests, and in nobody else's."""
        one, two = session(gateway), session(gateway)
        one.call(1, "logging/setLevel", level="error")
        assert reply(one)["result"] == {}
        assert gateway.child.asked("logging/setLevel") == []
        assert call(gateway, one)["params"]["_meta"][PREFIX + "logLevel"] == "error"
        assert PREFIX + "logLevel" not in call(gateway, two)["params"]["_meta"]

    def test_to_the_one_that_asked(self, gateway: MemoryGateway) -> None:
        """A message goes to the one call under way that wants any, from its level on; to none of several."""
        one, two, three = session(gateway), session(gateway), session(gateway)
        for client in (one, three):
            client.call(1, "logging/setLevel", level="warning")
        for client in (one, two):
            call(gateway, client)
        for level in ("info", "error"):
            note = {"method": "notifications/message", "params": {"level": level, "data": 1}}
            gateway.child.say({"jsonrpc": "2.0", **note})
        assert [each["params"]["level"] for each in events(one)] == ["error"]
        assert two.heard is None
        call(gateway, three)
        gateway.child.say({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "alert"}})
        assert len(events(one)) == 1
        assert three.heard is None

    def test_no_such_level(self, gateway: MemoryGateway) -> None:
        """A level that there is not is refused."""
        client = session(gateway)
        client.call(1, "logging/setLevel", level="loud")
        assert reply(client)["error"]["code"] == -32602

    def test_no_such_thing(self, gateway: MemoryGateway) -> None:
        """A server that declares no logging has none to set."""
        client = discovered(gateway, "m", tools={})
        client.call(1, "logging/setLevel", level="error")
        assert reply(client)["error"]["code"] == -32601

    def test_without_a_session(self, gateway: MemoryGateway) -> None:
        """A level that a request without a session sets is agreed to and forgotten: there may be several clients."""
        client = gateway.client("m")
        client.call(1, "logging/setLevel", level="error")
        assert reply(client)["result"] == {}
        assert PREFIX + "logLevel" not in call(gateway, client)["params"]["_meta"]


class ListeningTests:
    """Lists and resources that change."""

    def test_lists(self, gateway: MemoryGateway) -> None:
        """Every session hears on GET of the lists whose changes the server declares, without a mark of ours."""
        one, two = session(gateway), session(gateway)
        assert acknowledge(gateway.child) == {"toolsListChanged": True}
        ears = gateway.listen(one)
        for _ in range(2):
            news(gateway.child, TOOLS_CHANGED)
        assert events(ears) == [{"jsonrpc": "2.0", "method": TOOLS_CHANGED}] * 2
        assert methods(gateway.listen(two)) == [TOOLS_CHANGED]

    def test_one_request_upstream(self, gateway: MemoryGateway) -> None:
        """However many sessions listen, the server is asked once, and no more when the last has gone."""
        clients = [session(gateway) for _ in range(3)]
        acknowledge(gateway.child)
        (asked,) = gateway.child.asked(LISTEN)
        for client in clients:
            client.ask(b"", "DELETE")
        assert [each["params"]["requestId"] for each in gateway.child.asked(CANCELLED)] == [asked["id"]]

    def test_nothing_to_hear(self, gateway: MemoryGateway) -> None:
        """A server that reports nothing is not listened to."""
        client = discovered(gateway, "m", tools={}, resources={})
        call(gateway, client)
        assert gateway.child.asked(LISTEN) == []

    def test_what_else_it_says(self, gateway: MemoryGateway) -> None:
        """Members that the server adds to its notifications reach the client."""
        client = session(gateway)
        acknowledge(gateway.child)
        news(gateway.child, TOOLS_CHANGED, _meta={"trace": "x"})
        assert events(gateway.listen(client))[0]["params"] == {"_meta": {"trace": "x"}}

    def test_a_subscription(self, gateway: MemoryGateway) -> None:
        """A subscription is agreed to once the server honours it, and heard on GET, one message a resource."""
        one, two = session(gateway), session(gateway)
        acknowledge(gateway.child)
        one.call(1, "resources/subscribe", uri=A)
        assert one.heard is None
        assert acknowledge(gateway.child) == {"toolsListChanged": True, "resourceSubscriptions": [A]}
        assert reply(one)["result"] == {}
        for uri in (A, A, A + "/sub", B):
            news(gateway.child, UPDATED, uri=uri)
        assert [each["params"]["uri"] for each in events(gateway.listen(one))] == [A, A + "/sub"]
        assert events(gateway.listen(two)) == []

    def test_the_second_who_subscribes(self, gateway: MemoryGateway) -> None:
        """A subscription that the server honours already is agreed to at once."""
        one, two = session(gateway), session(gateway)
        for client in (one, one, two):
            client.call(1, "resources/subscribe", uri=A)
            if len(gateway.child.asked(LISTEN)) < 3:
                acknowledge(gateway.child)
            assert reply(client)["result"] == {}
        assert len(gateway.child.asked(LISTEN)) == 2

    def test_not_honoured(self, gateway: MemoryGateway) -> None:
        """A resource that the server does not report is refused, and not asked for any more."""
        client = session(gateway)
        acknowledge(gateway.child)
        client.call(1, "resources/subscribe", uri=A)
        acknowledge(gateway.child, {"toolsListChanged": True})
        assert reply(client)["error"]["code"] == -32602
        assert acknowledge(gateway.child) == {"toolsListChanged": True}

    def test_no_such_thing(self, gateway: MemoryGateway) -> None:
        """A server that declares no subscriptions is not asked for any."""
        client = discovered(gateway, "m", resources={"listChanged": True})
        acknowledge(gateway.child)
        client.call(1, "resources/subscribe", uri=A)
        assert reply(client)["error"]["code"] == -32601
        assert len(gateway.child.asked(LISTEN)) == 1

    @pytest.mark.parametrize(("server", "params"), [("m", {}), ("m", {"uri": 7})])
    def test_a_strange_resource(self, gateway: MemoryGateway, server: str, params: dict[str, Any]) -> None:
        """The gateway refuses a subscription whose uri is none."""
        for verb in ("subscribe", "unsubscribe"):
            client = session(gateway, server)
            client.call(1, f"resources/{verb}", **params)
            assert reply(client)["error"]["code"] == -32602

    def test_without_a_session(self, gateway: MemoryGateway) -> None:
        """A subscription without a session is refused, since it has no stream."""
        client = gateway.client("m")
        client.call(1, "resources/subscribe", uri=A)
        assert reply(client)["error"]["code"] == -32602

    def test_unsubscribed(self, gateway: MemoryGateway) -> None:
        """A session that unsubscribes hears no more of the resource, whatever is under way; others do."""
        one, two = session(gateway), session(gateway)
        for client in (one, two):
            client.call(1, "resources/subscribe", uri=A)
            if client is one:
                acknowledge(gateway.child)
        one.call(2, "resources/unsubscribe", uri=A)
        assert reply(one)["result"] == {}
        news(gateway.child, UPDATED, uri=A)
        assert events(gateway.listen(one)) == []
        assert methods(gateway.listen(two)) == [UPDATED]
        two.call(2, "resources/unsubscribe", uri=A)
        assert acknowledge(gateway.child) == {"toolsListChanged": True}

    def test_unsubscribed_while_another_subscribes(self, gateway: MemoryGateway) -> None:
        """A session that unsubscribes hears no more of the resource, though the server is still asked for it."""
        client, other = session(gateway), session(gateway)
        client.call(1, "resources/subscribe", uri=A)
        acknowledge(gateway.child)
        former = gateway.child.asked(LISTEN)[-1]
        other.call(1, "resources/subscribe", uri=B)
        client.call(2, "resources/unsubscribe", uri=A)
        news(gateway.child, UPDATED, former, uri=A)
        assert events(gateway.listen(client)) == []

    def test_unsubscribed_too_soon(self, gateway: MemoryGateway) -> None:
        """A farewell before the server has agreed ends the subscription."""
        client, other = session(gateway), session(gateway)
        acknowledge(gateway.child)
        client.call(1, "resources/subscribe", uri=A)
        tell(gateway, other, {"method": "notifications/initialized"})
        late = again(gateway, client)
        late.call(2, "resources/unsubscribe", uri=A)
        assert reply(late)["result"] == {}
        assert reply(client)["error"]["code"] == -32800
        assert acknowledge(gateway.child) == {"toolsListChanged": True}

    def test_taken_back(self, gateway: MemoryGateway) -> None:
        """A subscription that its client cancels is not asked for any more."""
        client = session(gateway)
        acknowledge(gateway.child)
        client.call("s", "resources/subscribe", uri=A)
        tell(gateway, client, {"method": CANCELLED, "params": {"requestId": "s"}})
        assert reply(client)["error"]["code"] == -32800
        assert acknowledge(gateway.child) == {"toolsListChanged": True}
        assert not gateway.dispatcher.to_modern.calls()

    def test_never_acknowledged(self, gateway: MemoryGateway) -> None:
        """A server that says nothing to it is not waited for without end."""
        client = session(gateway)
        client.call(1, "resources/subscribe", uri=A)
        gateway.tick(UNACKNOWLEDGED_TICKS)
        assert reply(client) is None
        gateway.tick()
        assert reply(client)["error"]["code"] == -32001

    def test_a_session_that_ends(self, gateway: MemoryGateway) -> None:
        """A subscription under way ends with its session."""
        client = session(gateway)
        client.call(1, "resources/subscribe", uri=A)
        again(gateway, client).ask(b"", "DELETE")
        assert reply(client)["error"]["code"] == -32001
        assert not gateway.dispatcher.to_modern.calls()
        gateway.tick(UNACKNOWLEDGED_TICKS + 1)

    def test_another_child(self, gateway: MemoryGateway) -> None:
        """Once the child has been replaced everything may be another, and its successor is listened to."""
        client = session(gateway)
        client.call(1, "resources/subscribe", uri=A)
        acknowledge(gateway.child)
        gateway.child.exit(1)
        gateway.tick(10)
        assert len(gateway.launcher.children) == 2
        assert acknowledge(gateway.child) == {"toolsListChanged": True, "resourceSubscriptions": [A]}
        ears = gateway.listen(client)
        assert methods(ears) == [TOOLS_CHANGED, UPDATED]
        news(gateway.child, UPDATED, uri=A)
        assert methods(ears)[2:] == [UPDATED]

    def test_after_a_restart(self) -> None:
        """A session that comes back is subscribed as before, and told that lists may have changed."""
        store = Journal(":memory:", lambda: 1_700_000_000.0)
        gateway = gateway_of(store)
        client = session(gateway)
        client.call(1, "resources/subscribe", uri=A)
        acknowledge(gateway.child)
        later = gateway_of(store)
        same = again(later, client)
        same.call(1, "ping")
        assert acknowledge(later.child) == {"toolsListChanged": True, "resourceSubscriptions": [A]}
        news(later.child, UPDATED, uri=A)
        assert methods(later.listen(same)) == [TOOLS_CHANGED, UPDATED]
        same.call(2, "resources/unsubscribe", uri=A)
        last = gateway_of(store)
        again(last, client).call(1, "ping")
        assert acknowledge(last.child) == {"toolsListChanged": True}

    @pytest.mark.parametrize("does_start", [True, False])
    def test_gone_before_the_child_is_there(self, gateway: MemoryGateway, *, does_start: bool) -> None:
        """A session that ends while its child starts is not listened for."""
        client, other = session(gateway), session(gateway)
        later = gateway_of(gateway.store)
        later.launcher.hello = None
        again(later, client).call(1, "ping")
        again(later, client).ask(b"", "DELETE")
        if does_start:
            later.child.answer(later.child.asked("server/discover")[0], DISCOVERED)
        else:
            later.child.exit(1)
        assert later.child.asked(LISTEN) == []
        later.launcher.hello = {}
        again(later, other).call(1, "ping")
        later.tick(10)
        assert acknowledge(later.child) == {"toolsListChanged": True}

    def test_subscribed_while_no_child_can_be_started(self, gateway: MemoryGateway) -> None:
        """A subscription that cannot be brought to any child fails; the session hears of the next one's lists."""
        client = session(gateway)
        acknowledge(gateway.child)
        gateway.child.exit(1)
        gateway.launcher.refuses = gateway.launcher.is_passing = True
        client.call(1, "resources/subscribe", uri=A)
        assert "not found" in reply(client)["error"]["message"]
        gateway.launcher.refuses = False
        gateway.tick(30)
        assert acknowledge(gateway.child) == {"toolsListChanged": True}
        assert methods(gateway.listen(client)) == [TOOLS_CHANGED]

    def test_the_last_resource(self, gateway: MemoryGateway) -> None:
        """A session with nothing left to hear of is not listened for."""
        client = discovered(gateway, "m", resources={"subscribe": True})
        client.call(1, "resources/subscribe", uri=A)
        assert acknowledge(gateway.child) == {"resourceSubscriptions": [A]}
        assert reply(client)["result"] == {}
        client.call(2, "resources/unsubscribe", uri=A)
        assert len(gateway.child.asked(CANCELLED)) == 1

    def test_too_many(self, gateway: MemoryGateway) -> None:
        """A session is subscribed to so many resources and no more."""
        client = session(gateway)
        acknowledge(gateway.child)
        found = gateway.sessions.named(client.headers["Mcp-Session-Id"].encode())
        assert found is not None
        found.uris = {f"{A}/{number}" for number in range(URIS_LIMIT)}
        client.call(1, "resources/subscribe", uri=B)
        assert "too many" in reply(client)["error"]["message"]

    def test_a_child_that_does_not_read(self, gateway: MemoryGateway) -> None:
        """A child that takes no more requests is asked again once it does."""
        client = session(gateway)
        acknowledge(gateway.child)
        gateway.child.is_full = True
        client.call(1, "resources/subscribe", uri=A)
        assert reply(client)["error"]["message"] == "its stdin is full"
        gateway.child.is_full = False
        gateway.tick(6)
        assert acknowledge(gateway.child) == {"toolsListChanged": True}

    def test_what_nobody_asked_for(self, gateway: MemoryGateway) -> None:
        """Of a resource that nobody is subscribed to nobody hears, nor twice what two requests report."""
        client = session(gateway)
        first = gateway.child.asked(LISTEN)[0]
        acknowledge(gateway.child)
        client.call(1, "resources/subscribe", uri=A)
        acknowledge(gateway.child)
        news(gateway.child, UPDATED, first, uri=A)
        news(gateway.child, UPDATED, uri=B)
        news(gateway.child, UPDATED)
        assert events(gateway.listen(client)) == []

    def test_put_aside(self, gateway: MemoryGateway) -> None:
        """A session that is put aside is not listened for, and has its resources when it comes back."""
        client = session(gateway)
        client.call(1, "resources/subscribe", uri=A)
        acknowledge(gateway.child)
        found = gateway.sessions.named(client.headers["Mcp-Session-Id"].encode())
        assert found is not None
        gateway.dispatcher.park(found, "a test")
        assert len(gateway.child.asked(CANCELLED)) == 2
        client.call(2, "ping")
        assert acknowledge(gateway.child) == {"toolsListChanged": True, "resourceSubscriptions": [A]}

    def test_the_server_refuses(self, gateway: MemoryGateway) -> None:
        """The client gets the server's refusal; the gateway tries again, first soon and then more seldom."""
        client = session(gateway)
        client.call(1, "resources/subscribe", uri=A)
        for _ in range(2):
            asked = gateway.child.asked(LISTEN)[-1]
            error = {"code": -32603, "message": "not today"}
            gateway.child.say({"jsonrpc": "2.0", "id": asked["id"], "error": error})
            assert reply(client)["error"]["message"] == "not today"
            before = len(gateway.child.asked(LISTEN))
            gateway.tick(5)
            assert len(gateway.child.asked(LISTEN)) == before
            gateway.tick(6)
            assert gateway.child.asked(LISTEN)[-1]["params"]["notifications"] == {"toolsListChanged": True}
        acknowledge(gateway.child)
        assert methods(gateway.listen(client)) == [TOOLS_CHANGED]

    def test_the_server_stops(self, gateway: MemoryGateway) -> None:
        """A server that ends the listening is asked again after a while, and its lists may have changed."""
        client = session(gateway)
        acknowledge(gateway.child)
        gateway.child.answer(gateway.child.asked(LISTEN)[0], {"resultType": "complete"})
        gateway.tick(6)
        assert len(gateway.child.asked(LISTEN)) == 2
        acknowledge(gateway.child)
        assert methods(gateway.listen(client)) == [TOOLS_CHANGED]

    def test_no_child(self, gateway: MemoryGateway) -> None:
        """Where no child can be started a subscription is refused, and all is well once there is one."""
        client = session(gateway)
        gateway.child.exit(1)
        gateway.launcher.refuses = True
        client.call(1, "resources/subscribe", uri=A)
        assert "not found" in reply(client)["error"]["message"]
        gateway.launcher.refuses = False
        call(gateway, client)
        gateway.tick(10)
        assert acknowledge(gateway.child) == {"toolsListChanged": True}


class RoundTests:
    """Results that ask for something first."""

    @pytest.mark.parametrize("method", ["tools/call", "prompts/get", "resources/read"])
    def test_there_and_back(self, gateway: MemoryGateway, method: str) -> None:
        """The client is asked on the stream of its call; its answer goes with the same request under a new number."""
        client = session(gateway)
        client.call("x", method, name="t", uri=A, arguments={"n": 1}, _meta={"progressToken": "p"})
        (first,) = gateway.child.asked(method)
        want(gateway.child, first, 'opaque "state"\n', who=FORM)
        (question,) = events(client)
        assert (question["method"], question["params"]) == (FORM["method"], FORM["params"])
        answer = {"action": "accept", "content": {"name": "n"}}
        tell(gateway, client, {"id": question["id"], "result": answer})
        second = gateway.child.asked(method)[1]
        assert second["id"] > first["id"]
        assert second["params"].pop("inputResponses") == {"who": answer}
        assert second["params"].pop("requestState") == 'opaque "state"\n'
        assert second["params"]["_meta"]["progressToken"] == second["id"]
        for request in (first, second):
            del request["params"]["_meta"]["progressToken"]
        assert second["params"] == first["params"]
        note = {"progressToken": second["id"], "progress": 2}
        gateway.child.say({"jsonrpc": "2.0", "method": PROGRESS, "params": note})
        gateway.child.answer(second, {"content": [], "resultType": "complete"})
        assert events(client)[1]["params"] == {"progressToken": "p", "progress": 2}
        assert events(client)[2] == {"jsonrpc": "2.0", "id": "x", "result": {"content": []}}

    def test_byte_for_byte(self, gateway: MemoryGateway) -> None:
        """State, arguments and answers come as they were written."""
        client = session(gateway)
        body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"n":1.10}}}'
        client.send(body)
        request = gateway.child.asked("tools/call")[0]
        lines: list[bytes] = []
        write = gateway.child.write

        def spy(line: bytes, *, now: bool = False) -> None:
            lines.append(line)
            write(line, now=now)

        gateway.child.write = spy  # type: ignore[method-assign]
        result = b'{"resultType":"input_required","inputRequests":{"a":%s},"requestState":"\\u00e9\\/"}'
        gateway.child._receiver.line_received(
            b'{"jsonrpc":"2.0","id":%d,"result":%s}' % (request["id"], result % json.dumps(FORM).encode())
        )
        number = events(client)[0]["id"]
        again(gateway, client).send(b'{"jsonrpc":"2.0","id":%d,"result":{"content":{"x":1E5}}}' % number)
        (line,) = lines
        for part in (b'"requestState":"\\u00e9\\/"', b'{"a":{"content":{"x":1E5}}}', b'{"n":1.10}'):
            assert part in line

    def test_all_that_it_asks(self, gateway: MemoryGateway) -> None:
        """The server hears nothing before every question has its answer, in whatever order they come."""
        client = session(gateway)
        want(gateway.child, call(gateway, client), "s", a=FORM, b=SAMPLE, c=ROOTS)
        asked = events(client)
        assert [each["method"] for each in asked] == [each["method"] for each in (FORM, SAMPLE, ROOTS)]
        for number in (2, 0, 1):
            assert len(gateway.child.asked("tools/call")) == 1
            tell(gateway, client, {"id": asked[number]["id"], "result": {"of": number}})
        said = gateway.child.asked("tools/call")[1]["params"]["inputResponses"]
        assert said == {"a": {"of": 0}, "b": {"of": 1}, "c": {"of": 2}}
        assert len(gateway.dispatcher.questions) == 0

    def test_several_rounds(self, gateway: MemoryGateway) -> None:
        """Each round takes the state of the one before it, and nothing else of it."""
        client = session(gateway)
        want(gateway.child, call(gateway, client), "one", a=FORM)
        tell(gateway, client, {"id": events(client)[0]["id"], "result": {"n": 1}})
        want(gateway.child, gateway.child.asked("tools/call")[1], None, b=FORM)
        tell(gateway, client, {"id": events(client)[1]["id"], "result": {"n": 2}})
        params = gateway.child.asked("tools/call")[2]["params"]
        assert params["inputResponses"] == {"b": {"n": 2}}
        assert "requestState" not in params

    def test_too_many_rounds(self, gateway: MemoryGateway) -> None:
        """A server that never has enough is given up."""
        client = session(gateway)
        call(gateway, client)
        for number in range(ROUNDS_LIMIT):
            want(gateway.child, gateway.child.asked("tools/call")[-1], "s", a=FORM)
            tell(gateway, client, {"id": events(client)[number]["id"], "result": {}})
        assert len(gateway.child.asked("tools/call")) == ROUNDS_LIMIT + 1
        want(gateway.child, gateway.child.asked("tools/call")[-1], "s", a=FORM)
        assert f"asked {ROUNDS_LIMIT} times" in reply(client)["error"]["message"]

    def test_state_alone(self, gateway: MemoryGateway) -> None:
        """Without a question the request is sent again after a pause that grows, and not for ever."""
        client = session(gateway)
        request = call(gateway, client)
        for number in range(ROUNDS_LIMIT):
            want(gateway.child, request, f"s{number}")
            assert len(gateway.child.asked("tools/call")) == number + 1
            gateway.clock.advance(0.04 * 2**number)
            assert len(gateway.child.asked("tools/call")) == number + 1
            gateway.clock.advance(0.02 * 2**number)
            request = gateway.child.asked("tools/call")[number + 1]
            assert request["params"]["requestState"] == f"s{number}"
            assert "inputResponses" not in request["params"]
        want(gateway.child, request, "s")
        assert reply(client)["error"]["code"] == -32603

    @pytest.mark.parametrize(
        ("offers", "asked", "words"),
        [
            ({"sampling": {}}, FORM, "does not offer elicitation"),
            ({"elicitation": {}}, SAMPLE, "does not offer sampling"),
            ({"elicitation": {}}, ROOTS, "does not offer roots"),
            ({"elicitation": {}}, {"method": FORM["method"], "params": {"mode": "url"}}, "elicitation.url"),
            ({"sampling": {}}, {"method": SAMPLE["method"], "params": {"tools": []}}, "sampling.tools"),
        ],
    )
    def test_what_was_never_offered(
        self, gateway: MemoryGateway, offers: Any, asked: Any, words: str
    ) -> None:
        """A client that cannot answer is asked nothing at all, and told what its server would need."""
        client = session(gateway, **offers)
        fine = FORM if "elicitation" in offers else SAMPLE
        want(gateway.child, call(gateway, client), "s", fine=fine, bad=asked)
        assert reply(client)["error"]["code"] == -32603
        assert words in reply(client)["error"]["message"]
        assert methods(client) == []
        assert not gateway.dispatcher.to_modern.calls()

    @pytest.mark.parametrize(
        "result",
        [
            {},
            {"inputRequests": []},
            {"inputRequests": {"a": 7}},
            {"inputRequests": {"a": {}}},
            {"inputRequests": {"a": {"method": 7}}},
        ],
    )
    def test_nothing_that_can_be_understood(self, gateway: MemoryGateway, result: dict[str, Any]) -> None:
        """A server that does not say what it wants has failed the call."""
        client = session(gateway)
        gateway.child.answer(call(gateway, client), {"resultType": "input_required", **result})
        assert reply(client)["error"]["code"] == -32603

    def test_a_page_to_visit(self, gateway: MemoryGateway) -> None:
        """An elicitation of a page has an id in this era, whether the server gave it one or not."""
        client = session(gateway)
        page = {"mode": "url", "url": "https://e.x/1", "message": "Go"}
        named = {**page, "elicitationId": "mine"}
        method = FORM["method"]
        want(
            gateway.child,
            call(gateway, client),
            "s",
            a={"method": method, "params": page},
            b={"method": method, "params": named},
        )
        one, two = (each["params"] for each in events(client))
        assert len(one.pop("elicitationId")) == 32
        assert (one, two) == (page, named)

    def test_an_elicitation_answered_with_an_error(self, gateway: MemoryGateway) -> None:
        """The server hears that the user has cancelled."""
        client = session(gateway)
        want(gateway.child, call(gateway, client), "s", a=FORM)
        error = {"code": -1, "message": "no window"}
        tell(gateway, client, {"id": events(client)[0]["id"], "error": error})
        said = gateway.child.asked("tools/call")[1]["params"]["inputResponses"]
        assert said == {"a": {"action": "cancel"}}

    @pytest.mark.parametrize("asked", [SAMPLE, ROOTS])
    def test_answered_with_an_error(self, gateway: MemoryGateway, asked: Any) -> None:
        """The call is answered with that error, and the other questions are called off."""
        client = session(gateway)
        want(gateway.child, call(gateway, client), "s", a=asked, b=FORM)
        questions = events(client)
        error = {"code": -1, "message": "rejected", "data": {"x": 1}}
        tell(gateway, client, {"id": questions[0]["id"], "error": error})
        cancelled, answer = events(client)[2:]
        assert cancelled["params"]["requestId"] == questions[1]["id"]
        assert answer == {"jsonrpc": "2.0", "id": 1, "error": error}
        tell(gateway, client, {"id": questions[1]["id"], "result": {}})
        assert len(gateway.child.asked("tools/call")) == 1

    def test_nobody_answers(self, gateway: MemoryGateway) -> None:
        """A client that does not answer in time gets an error, and its late answer does nothing."""
        client = session(gateway)
        want(gateway.child, call(gateway, client), "s", a=FORM)
        gateway.tick(ROUND_TICKS)
        assert reply(client) is None
        gateway.tick()
        asked, cancelled, answer = (each for each in events(client) if each.get("method") != PROGRESS)
        assert cancelled["params"] == {"requestId": asked["id"], "reason": "timed out"}
        assert answer["error"]["code"] == -32001
        tell(gateway, client, {"id": asked["id"], "result": {}})
        assert len(gateway.child.asked("tools/call")) == 1

    def test_nobody_can_be_asked(self, gateway: MemoryGateway) -> None:
        """Where a call takes no stream the question waits for another; without one it is given up."""
        client = session(gateway)
        client.headers["Accept"] = "application/json"
        want(gateway.child, call(gateway, client), "s", a=SAMPLE)
        assert client.heard is None
        gateway.tick(UNHEARD_TICKS + 1)
        assert reply(client)["error"]["code"] == -32001
        request = call(gateway, client, 2)
        want(gateway.child, request, "s", a=SAMPLE)
        (asked,) = events(gateway.listen(client))
        tell(gateway, client, {"id": asked["id"], "result": {"of": 2}})
        assert gateway.child.asked("tools/call")[-1]["params"]["inputResponses"] == {"a": {"of": 2}}

    def test_more_than_a_client_can_be_asked(self, gateway: MemoryGateway) -> None:
        """A server that asks more at a time than anybody may has failed the call."""
        client = session(gateway)
        elder = again(gateway, client)
        requests = [call(gateway, each) for each in (elder, client)]
        want(gateway.child, requests[0], "s", **{f"q{number}": FORM for number in range(60)})
        want(gateway.child, requests[1], "s", **{f"q{number}": FORM for number in range(60)})
        assert "100 questions" in reply(client)["error"]["message"]
        assert methods(client).count(CANCELLED) == 40
        assert len(gateway.dispatcher.questions) == len(events(elder)) == 60
        again(gateway, client).ask(b"", "DELETE")
        assert len(gateway.dispatcher.questions) == 0
        assert not gateway.dispatcher.to_modern.calls()

    def test_the_child_ends_meanwhile(self, gateway: MemoryGateway) -> None:
        """A question outlives the child: the answers go to its successor, with the state."""
        client = session(gateway)
        want(gateway.child, call(gateway, client), "s", a=FORM)
        gateway.child.exit(1)
        assert methods(client) == [FORM["method"]]
        tell(gateway, client, {"id": events(client)[0]["id"], "result": {"n": 1}})
        assert len(gateway.launcher.children) == 2
        (request,) = gateway.child.asked("tools/call")
        assert request["params"]["inputResponses"] == {"a": {"n": 1}}

    def test_the_time_a_client_takes_is_not_the_servers(self) -> None:
        """The server's time limit holds for each of its answers."""
        gateway = MemoryGateway(timeout_s=10)
        gateway.launcher.eras["shared"] = (Era.MODERN,)
        client = session(gateway, "shared")
        request = call(gateway, client)
        gateway.tick(9)
        want(gateway.child, request, "s", a=FORM)
        gateway.tick(30)
        asked = next(each for each in events(client) if each["method"] == FORM["method"])
        tell(gateway, client, {"id": asked["id"], "result": {}})
        gateway.tick(9)
        assert reply(client) is None
        gateway.tick(2)
        assert reply(client)["error"]["code"] == -32001


class CrossedTests:
    """Several clients are asked at the same time."""

    def test_two_sessions(self, gateway: MemoryGateway) -> None:
        """Each session sees its own questions only, and an answer of the wrong session does nothing."""
        one, two = session(gateway), session(gateway)
        ears = [gateway.listen(one), gateway.listen(two)]
        requests = [
            call(gateway, each, 1, arguments={"of": number}) for number, each in enumerate((one, two))
        ]
        for number in (1, 0):
            form = {"method": FORM["method"], "params": {"message": f"for {number}"}}
            want(gateway.child, requests[number], f"s{number}", a=form)
        questions = [events(each) for each in (one, two)]
        assert [[each["params"]["message"] for each in asked] for asked in questions] == [
            ["for 0"],
            ["for 1"],
        ]
        assert [events(each) for each in ears] == [[], []]
        for client, (asked,) in ((two, questions[0]), (one, questions[1])):
            tell(gateway, client, {"id": asked["id"], "result": {"stolen": True}})
        assert len(gateway.child.asked("tools/call")) == 2
        for number, client in ((0, one), (1, two)):
            tell(gateway, client, {"id": questions[number][0]["id"], "result": {"by": number}})
            params = gateway.child.asked("tools/call")[-1]["params"]
            assert params["requestState"] == f"s{number}"
            assert params["arguments"] == {"of": number}
            assert params["inputResponses"] == {"a": {"by": number}}

    def test_two_calls_of_one_session(self, gateway: MemoryGateway) -> None:
        """Each question comes on the stream of its own call, the elder's too."""
        client = session(gateway)
        elder, younger = again(gateway, client), again(gateway, client)
        requests = [call(gateway, each, number) for number, each in enumerate((elder, younger))]
        want(gateway.child, requests[0], "s0", a=FORM)
        assert (methods(elder), younger.heard) == ([FORM["method"]], None)
        want(gateway.child, requests[1], "s1", a=FORM)
        assert methods(elder) == methods(younger) == [FORM["method"]]
        tell(gateway, client, {"id": events(elder)[0]["id"], "result": {"by": 0}})
        assert gateway.child.asked("tools/call")[-1]["params"]["requestState"] == "s0"

    def test_a_batch(self, gateway: MemoryGateway) -> None:
        """The questions of a batch come on its stream, and its answers after them."""
        client = gateway.client("m")
        client.initialize(protocolVersion="2025-03-26", capabilities=OFFERS, clientInfo=INFO)
        requests = [
            {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": "t"}}
            for number in (1, 2)
        ]
        client.send(json.dumps([*requests, {"jsonrpc": "2.0", "id": 3, "method": "ping"}]).encode())
        first, second = gateway.child.asked("tools/call")
        want(gateway.child, first, "s", a=FORM)
        gateway.child.answer(second, {"of": 2})
        asked = next(each for each in events(client) if "method" in each)
        tell(gateway, client, {"id": asked["id"], "result": {}})
        gateway.child.answer(gateway.child.asked("tools/call")[2], {"of": 1})
        answers = {each["id"]: each["result"] for each in events(client) if "result" in each}
        assert answers == {1: {"of": 1}, 2: {"of": 2}, 3: {}}


class EndTests:
    """A call that is taken back, wherever it is."""

    def test_cancelled_at_the_server(self, gateway: MemoryGateway) -> None:
        """The server is told, under its number; another session's call of the same id goes on."""
        one, two = session(gateway), session(gateway)
        requests = [call(gateway, each, 7) for each in (one, two)]
        tell(gateway, two, {"method": CANCELLED, "params": {"requestId": 7, "reason": "r"}})
        told = [each["params"] for each in gateway.child.asked(CANCELLED)]
        assert told == [{"requestId": requests[1]["id"], "reason": "r"}]
        assert reply(two)["error"]["code"] == -32800
        assert one.heard is None

    def test_cancelled_while_it_waits(self, gateway: MemoryGateway) -> None:
        """The question is called off, nothing is sent again, and a late answer does nothing."""
        client = session(gateway)
        want(gateway.child, call(gateway, client, 7), "s", a=FORM)
        (asked,) = events(client)
        tell(gateway, client, {"method": CANCELLED, "params": {"requestId": 7}})
        cancelled, answer = events(client)[1:]
        assert (cancelled["method"], cancelled["params"]["requestId"]) == (CANCELLED, asked["id"])
        assert answer["error"]["code"] == -32800
        tell(gateway, client, {"id": asked["id"], "result": {}})
        assert len(gateway.child.asked("tools/call")) == 1
        assert gateway.child.asked(CANCELLED) == []

    def test_cancelled_between_two_requests(self, gateway: MemoryGateway) -> None:
        """A request that would be sent in a moment is not."""
        client = session(gateway)
        want(gateway.child, call(gateway, client, 7), "s")
        tell(gateway, client, {"method": CANCELLED, "params": {"requestId": 7}})
        gateway.tick(60)
        assert len(gateway.child.asked("tools/call")) == 1

    def test_cancelled_after_the_answers(self, gateway: MemoryGateway) -> None:
        """In a later round the server is told under the number of that round."""
        client = session(gateway)
        want(gateway.child, call(gateway, client, 7), "s", a=FORM)
        tell(gateway, client, {"id": events(client)[0]["id"], "result": {}})
        tell(gateway, client, {"method": CANCELLED, "params": {"requestId": 7}})
        (told,) = gateway.child.asked(CANCELLED)
        assert told["params"]["requestId"] == gateway.child.asked("tools/call")[1]["id"]

    @pytest.mark.parametrize("how", ["delete", "park"])
    def test_the_session_ends(self, gateway: MemoryGateway, how: str) -> None:
        """The questions of a session that ends are called off and its calls fail; those of others stay."""
        one, two = session(gateway), session(gateway)
        for client in (one, two):
            want(gateway.child, call(gateway, client), "s", a=FORM)
        if how == "delete":
            again(gateway, one).ask(b"", "DELETE")
        else:
            found = gateway.sessions.named(one.headers["Mcp-Session-Id"].encode())
            assert found is not None
            gateway.dispatcher.park(found, "a test")
        assert [each.get("method") for each in events(one)] == [FORM["method"], CANCELLED, None]
        assert "error" in reply(one)
        assert methods(two) == [FORM["method"]]
        assert len(gateway.dispatcher.questions) == 1
        assert len(gateway.child.asked("tools/call")) == 2

    def test_nobody_comes_back(self, gateway: MemoryGateway) -> None:
        """A call whose client has hung up is given up in the end, though it waits for an answer."""
        client = session(gateway)
        want(gateway.child, call(gateway, client), "s", a=FORM)
        client.channel.connectionLost(None)  # type: ignore[arg-type]
        gateway.tick(ABANDONED_TICKS + 2 * ABANDONED_STEP_TICKS)
        assert not gateway.dispatcher.to_modern.calls()
        assert len(gateway.dispatcher.questions) == 0

    def test_it_counts_as_busy(self, gateway: MemoryGateway) -> None:
        """A session whose client is asked something is in use, and the gateway waits for it when it stops."""
        client = session(gateway)
        want(gateway.child, call(gateway, client), "s", a=FORM)
        dispatcher = gateway.dispatcher
        found = gateway.sessions.named(client.headers["Mcp-Session-Id"].encode())
        assert dispatcher.calls.busy() == {found}
        assert (len(dispatcher.calls), dispatcher.calls.awaited()) == (1, 1)

    def test_the_gateway_stops(self, gateway: MemoryGateway) -> None:
        """A caller that still waits hears that the gateway stops."""
        client = session(gateway)
        want(gateway.child, call(gateway, client), "s", a=FORM)
        gateway.dispatcher.close()
        assert "was stopped or restarted" in reply(client)["error"]["message"]
        assert len(gateway.dispatcher.calls) == 0
