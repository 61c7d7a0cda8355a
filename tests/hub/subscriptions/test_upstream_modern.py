"""subscriptions/listen: many clients, one listen at the server (MCP 2026-07-28)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.errors import Overloaded
from mcpgateway.hub.subscriptions.interest import (
    LISTS,
    NOTHING,
    URIS_LIMIT,
)
from mcpgateway.hub.subscriptions.registry import LISTENERS_LIMIT
from mcpgateway.hub.subscriptions.upstream_modern import HURRIED_LIMIT, Listening, UpstreamListener
from tests.support.gateway_in_memory import Client, MemoryGateway
from tests.support.modern_client import (
    ACKNOWLEDGED,
    CANCELLED,
    LISTEN,
    OTHER,
    PREFIX,
    SUBSCRIPTION,
    TASKS,
    TOOLS_CHANGED,
    UPDATED,
    acknowledge,
    call,
    done,
    dual_gateway,
    events,
    hang_up,
    is_empty,
    listen,
    meta,
    methods,
    news,
    note,
    post,
    refusal,
    refuse,
    reply,
    request,
)

TOOLS, PROMPTS = {"toolsListChanged": True}, {"promptsListChanged": True}
A, B = "file:///a", "file:///b"


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with a server "m" of the modern era."""
    return dual_gateway()


def listener(gateway: MemoryGateway, identifier: Any = "l", **wanted: Any) -> Client:
    """A client that listens and is acknowledged."""
    client = gateway.client("m")
    listen(client, identifier, **wanted)
    if not events(client):
        acknowledge(gateway.child)
    assert methods(client) == [ACKNOWLEDGED]
    return client


def open_listens(gateway: MemoryGateway) -> list[dict[str, Any]]:
    """The filters of the listens that the child has not been told to end."""
    ended = {each["params"]["requestId"] for each in gateway.child.asked(CANCELLED)}
    return [
        each["params"]["notifications"] for each in gateway.child.asked(LISTEN) if each["id"] not in ended
    ]


def told(client: Client) -> list[Any]:
    """The messages to a listener since it was acknowledged: the methods, and resources by their uris."""
    return [each["params"].get("uri", each["method"]) for each in events(client)[1:] if "method" in each]


class AcknowledgementTests:
    """The beginning of listening."""

    @pytest.mark.parametrize("identifier", [7, "7", "l"])
    def test_first_of_all(self, gateway: MemoryGateway, identifier: Any) -> None:
        """The first message is what is honoured, under the id of the client's own request, of its type."""
        client = gateway.client("m")
        listen(client, identifier, **TOOLS, **PROMPTS, resourceSubscriptions=[A, B])
        assert client.heard is None
        acknowledge(gateway.child, {**TOOLS, "resourceSubscriptions": [A]})
        (first,) = events(client)
        assert first["method"] == ACKNOWLEDGED
        assert first["params"]["notifications"] == {**TOOLS, "resourceSubscriptions": [A]}
        assert first["params"]["_meta"] == {SUBSCRIPTION: identifier}
        assert type(first["params"]["_meta"][SUBSCRIPTION]) is type(identifier)

    def test_one_for_all(self, gateway: MemoryGateway) -> None:
        """The server has one open request, of all that is wanted; the former ends when the new one is acknowledged."""
        listener(gateway, **TOOLS)
        two = gateway.client("m")
        listen(two, **PROMPTS, resourceSubscriptions=[A])
        assert open_listens(gateway) == [TOOLS, {**TOOLS, **PROMPTS, "resourceSubscriptions": [A]}]
        assert two.heard is None
        acknowledge(gateway.child)
        assert open_listens(gateway) == [{**TOOLS, **PROMPTS, "resourceSubscriptions": [A]}]
        assert events(two)[0]["params"]["notifications"] == {**PROMPTS, "resourceSubscriptions": [A]}

    def test_nothing_falls_between(self, gateway: MemoryGateway) -> None:
        """While one request takes the other's place, each change is told once."""
        one = listener(gateway, **TOOLS)
        former = gateway.child.asked(LISTEN)[-1]
        two = gateway.client("m")
        listen(two, **PROMPTS)
        news(gateway.child, TOOLS_CHANGED, former)
        acknowledge(gateway.child)
        news(gateway.child, TOOLS_CHANGED, former)  # it has not read yet that this is over
        news(gateway.child, TOOLS_CHANGED)
        assert told(one) == [TOOLS_CHANGED, TOOLS_CHANGED]
        assert told(two) == []

    def test_what_is_open_already(self, gateway: MemoryGateway) -> None:
        """A listener that wants no more than the server is asked for already is acknowledged at once."""
        listener(gateway, **TOOLS, **PROMPTS)
        two = gateway.client("m")
        listen(two, 2, **PROMPTS)
        assert methods(two) == [ACKNOWLEDGED]
        assert len(gateway.child.asked(LISTEN)) == 1

    def test_shrinking(self, gateway: MemoryGateway) -> None:
        """The server is not asked any more for changes that no listener wants any more."""
        one, two = listener(gateway, **TOOLS), listener(gateway, **PROMPTS)
        hang_up(two)
        assert open_listens(gateway) == [{**TOOLS, **PROMPTS}, TOOLS]
        acknowledge(gateway.child)
        assert open_listens(gateway) == [TOOLS]
        hang_up(one)
        assert open_listens(gateway) == []
        assert is_empty(gateway)

    def test_an_empty_filter(self, gateway: MemoryGateway) -> None:
        """A listener that wants nothing is acknowledged too."""
        client = listener(gateway)
        assert events(client)[0]["params"]["notifications"] == {}

    def test_gone_before_it_began(self, gateway: MemoryGateway) -> None:
        """A listener that hangs up before it is acknowledged is forgotten, and no listen stays open."""
        client = gateway.client("m")
        listen(client, **TOOLS)
        hang_up(client)
        assert open_listens(gateway) == []
        news(gateway.child, ACKNOWLEDGED, notifications=TOOLS)
        assert is_empty(gateway)
        assert client.transport.taken == b""

    def test_a_crowd_that_comes_and_goes(self, gateway: MemoryGateway) -> None:
        """However many come before the server has answered, somebody's turn comes."""
        clients = [gateway.client("m") for _ in range(HURRIED_LIMIT * 3)]
        for number, client in enumerate(clients):
            listen(client, resourceSubscriptions=[str(number)])
        assert len(gateway.child.asked(LISTEN)) == HURRIED_LIMIT + 1
        acknowledge(gateway.child)
        acknowledge(gateway.child)
        assert all(methods(client) == [ACKNOWLEDGED] for client in clients)
        assert len(open_listens(gateway)) == 1

    def test_accept_without_events(self, gateway: MemoryGateway) -> None:
        """A client that takes no stream cannot listen."""
        client = gateway.client("m", Accept="application/json")
        listen(client, "x", **TOOLS)
        assert refusal(client) == (406, -32600, "x")
        assert is_empty(gateway)


class NewsTests:
    """Listeners, and the changes that each is told of."""

    @pytest.mark.parametrize(("kind", "method"), LISTS.items())
    def test_lists(self, gateway: MemoryGateway, kind: str, method: str) -> None:
        """A list that changes is told to those who asked for that list, under their own ids."""
        clients = [listener(gateway, number, **{each: True}) for number, each in enumerate(LISTS)]
        news(gateway.child, method)
        for number, (each, client) in enumerate(zip(LISTS, clients, strict=True)):
            assert told(client) == ([method] if each == kind else [])
            if each == kind:
                assert events(client)[1]["params"] == {"_meta": {SUBSCRIPTION: number}}

    def test_resources(self, gateway: MemoryGateway) -> None:
        """A resource that changes, or a part of it, is told to those who asked for it."""
        one = listener(gateway, 1, resourceSubscriptions=[A])
        two = listener(gateway, 2, resourceSubscriptions=[B, "x:"])
        for uri in (A, B, A + "/part", "x:y", "z:"):
            news(gateway.child, UPDATED, uri=uri)
        assert told(one) == [A, A + "/part"]
        assert told(two) == [B, "x:y"]

    def test_what_was_not_honoured(self, gateway: MemoryGateway) -> None:
        """Of what the server did not honour for anybody nobody is told, whatever it says."""
        client = gateway.client("m")
        listen(client, **TOOLS, resourceSubscriptions=[A])
        acknowledge(gateway.child, TOOLS)
        news(gateway.child, UPDATED, uri=A)
        assert told(client) == []

    def test_the_rest_of_it(self, gateway: MemoryGateway) -> None:
        """All else that a notification says stays as it is."""
        client = listener(gateway, resourceSubscriptions=[A])
        upstream = gateway.child.asked(LISTEN)[-1]["id"]
        envelope = {SUBSCRIPTION: upstream, "com.example/x": 1.0}
        gateway.child.say({**note(UPDATED, uri=A, title="t", _meta=envelope), "more": [1]})
        assert events(client)[1] == {
            **note(UPDATED, uri=A, title="t", _meta={**envelope, SUBSCRIPTION: "l"}),
            "more": [1],
        }

    def test_without_an_id(self, gateway: MemoryGateway) -> None:
        """A server that does not say which listen it means is understood."""
        client = listener(gateway, **TOOLS)
        gateway.child.say(note(TOOLS_CHANGED))
        gateway.child.say({"jsonrpc": "2.0", "method": TOOLS_CHANGED})
        assert told(client) == [TOOLS_CHANGED, TOOLS_CHANGED]

    @pytest.mark.parametrize("identifier", ["1", 10**6, None, 1.5, []])
    def test_of_another_listen(self, gateway: MemoryGateway, identifier: Any) -> None:
        """A change that names a listen that is not open is nobody's."""
        client = listener(gateway, **TOOLS)
        gateway.child.say(note(TOOLS_CHANGED, _meta={SUBSCRIPTION: identifier}))
        assert told(client) == []

    def test_tasks(self, gateway: MemoryGateway) -> None:
        """Of a task only its own principal hears, and nobody else even makes the server look at it."""
        envelope = meta(**{PREFIX + "clientCapabilities": {"extensions": {TASKS: {}}}})
        asked = call(gateway, gateway.client("m"), 1, envelope=envelope)
        gateway.child.answer(asked, {"resultType": "task", "taskId": "k", "status": "working"})
        other = gateway.client("m", **OTHER)
        listen(other, taskIds=["k"])
        assert acknowledge(gateway.child) == {}
        mine = listener(gateway, taskIds=["k", "strange"])
        assert events(mine)[0]["params"]["notifications"] == {"taskIds": ["k"]}
        news(gateway.child, "notifications/tasks", taskId="k", status="completed")
        news(gateway.child, "notifications/tasks", taskId="strange", status="completed")
        assert [each["params"]["taskId"] for each in events(mine)[1:]] == ["k"]
        assert len(events(other)) == 1

    def test_a_slow_reader(self, gateway: MemoryGateway) -> None:
        """A client that does not read is cut off and forgotten; the others are told."""
        slow, quick = listener(gateway, **TOOLS), listener(gateway, **TOOLS)
        slow.transport.reads = False
        for _ in range(20):
            upstream = gateway.child.asked(LISTEN)[-1]["id"]
            gateway.child.say(note(TOOLS_CHANGED, x="x" * 500_000, _meta={SUBSCRIPTION: upstream}))
        assert slow.transport.is_aborted
        assert len(told(quick)) == 20
        assert [len(slot.listening or ()) for slot in gateway.dispatcher.pool] == [1]


class EndTests:
    """The end of listening."""

    def over(self, client: Client) -> None:
        """See that a client's listening has ended in order."""
        assert reply(client) == {
            "jsonrpc": "2.0",
            "id": "l",
            "result": {"resultType": "complete", "_meta": {SUBSCRIPTION: "l"}},
        }

    def test_a_result(self, gateway: MemoryGateway) -> None:
        """When the server ends it in order, everybody's ends in order."""
        clients = [listener(gateway, **TOOLS), listener(gateway, **PROMPTS)]
        done(gateway.child, gateway.child.asked(LISTEN)[-1])
        for client in clients:
            self.over(client)
        assert is_empty(gateway)

    def test_a_cancellation(self, gateway: MemoryGateway) -> None:
        """So it does when the server takes it back, and what it says afterwards is nobody's."""
        clients = [listener(gateway, **TOOLS), listener(gateway, **PROMPTS)]
        asked = gateway.child.asked(LISTEN)[-1]
        gateway.child.say(note(CANCELLED, requestId=asked["id"]))
        done(gateway.child, asked)
        for client in clients:
            self.over(client)
        assert is_empty(gateway)

    @pytest.mark.parametrize("identifier", [0, 10**6, "1", None])
    def test_a_strange_cancellation(self, gateway: MemoryGateway, identifier: Any) -> None:
        """A cancellation of something else ends nothing, no call either."""
        client, caller = listener(gateway, **TOOLS), gateway.client("m")
        asked = call(gateway, caller)
        for each in (identifier, asked["id"]):
            gateway.child.say(note(CANCELLED, requestId=each))
        gateway.child.say({"jsonrpc": "2.0", "method": CANCELLED})
        done(gateway.child, asked)
        assert reply(client) is None
        assert reply(caller)["result"]

    def test_while_it_is_replaced(self, gateway: MemoryGateway) -> None:
        """The end of a request that another is about to replace ends nobody's listening."""
        one, two = listener(gateway, **TOOLS), gateway.client("m")
        former = gateway.child.asked(LISTEN)[-1]
        listen(two, **PROMPTS)
        done(gateway.child, former)
        acknowledge(gateway.child)
        news(gateway.child, TOOLS_CHANGED)
        assert told(one) == [TOOLS_CHANGED]
        assert methods(two) == [ACKNOWLEDGED]

    def test_the_gateway_stops(self, gateway: MemoryGateway) -> None:
        """Everybody's ends in order, also of those that have not begun."""
        clients = [listener(gateway, **TOOLS), gateway.client("m")]
        listen(clients[1], **PROMPTS)
        gateway.hub.modern_dispatcher.close()
        for client in clients:
            self.over(client)
        assert is_empty(gateway)

    def test_hanging_up(self, gateway: MemoryGateway) -> None:
        """A listener that hangs up ends no other's listening."""
        one, two = listener(gateway, **TOOLS), listener(gateway, **TOOLS)
        hang_up(one)
        news(gateway.child, TOOLS_CHANGED)
        assert told(two) == [TOOLS_CHANGED]
        assert told(one) == []


class RefusalTests:
    """Servers that refuse a filter."""

    def test_the_only_one(self, gateway: MemoryGateway) -> None:
        """The server's own error, under the client's id, and with its status."""
        client = gateway.client("m")
        listen(client, "l", **TOOLS)
        refuse(gateway.child, gateway.child.asked(LISTEN)[-1], -32601)
        assert refusal(client) == (404, -32601, "l")
        assert is_empty(gateway)

    def test_others_listen_on(self, gateway: MemoryGateway) -> None:
        """A filter that is refused ends nobody's listening but its own client's."""
        one, two = listener(gateway, **TOOLS), gateway.client("m")
        listen(two, resourceSubscriptions=["bad:"])
        refuse(gateway.child, gateway.child.asked(LISTEN)[-1])
        assert refusal(two) == (200, -32602, "l")
        news(gateway.child, TOOLS_CHANGED, gateway.child.asked(LISTEN)[0])
        assert told(one) == [TOOLS_CHANGED]
        hang_up(one)
        assert open_listens(gateway)[:1] == [{**TOOLS, "resourceSubscriptions": ["bad:"]}]  # which has ended
        assert len(open_listens(gateway)) == 1
        assert is_empty(gateway)

    @given(st.permutations(["a:", "b:", "bad:", "c:", "worse:", "bad:"]))
    def test_who_is_to_blame(self, uris: list[str]) -> None:
        """Of several who come at once only those are refused whose own filters are."""
        gateway = dual_gateway()
        gateway.launcher.hello = None
        clients = [gateway.client("m") for _ in uris]
        for client, uri in zip(clients, uris, strict=True):
            listen(client, resourceSubscriptions=[uri])
        child, answered = gateway.child, 0
        child.answer(child.asked("server/discover")[0], DISCOVERED)
        while answered < len(child.asked(LISTEN)):
            answered += 1
            asked = child.asked(LISTEN)[-1]
            wanted = asked["params"]["notifications"].get("resourceSubscriptions", [])
            if any("bad" in uri or "worse" in uri for uri in wanted):
                refuse(child, asked)
            else:
                acknowledge(child)
        for client, uri in zip(clients, uris, strict=True):
            if len(uri) == 2:
                assert events(client)[0]["params"]["notifications"] == {"resourceSubscriptions": [uri]}
                assert reply(client) is None
            else:
                assert refusal(client) == (200, -32602, "l")
        assert answered <= 2 * len(uris)

    def test_too_many(self) -> None:
        """A child has a limit of listeners; when one goes there is room for another."""
        crowd = Listening(lambda: None, {}, lambda method, what: None)
        listeners = [UpstreamListener() for _ in range(LISTENERS_LIMIT)]
        for each in listeners:
            crowd.put(each, NOTHING)
        with pytest.raises(Overloaded):
            crowd.put(UpstreamListener(), NOTHING)
        crowd.remove(listeners[0])
        crowd.put(UpstreamListener(), NOTHING)
        assert len(crowd) == LISTENERS_LIMIT

    def test_too_much(self, gateway: MemoryGateway) -> None:
        """And a filter has one of resources."""
        client = gateway.client("m")
        listen(client, "l", resourceSubscriptions=[str(each) for each in range(URIS_LIMIT + 1)])
        assert refusal(client) == (200, -32603, "l")
        assert is_empty(gateway)

    def test_a_server_that_cannot_be_started(self, gateway: MemoryGateway) -> None:
        """A listener that has not begun is told, and the server is not started again for nothing."""
        gateway.launcher.refuses = True
        client = gateway.client("m")
        listen(client, "l", **TOOLS)
        assert refusal(client) == (200, -32603, "l")
        assert is_empty(gateway)
        gateway.launcher.refuses = False
        gateway.tick(100)
        assert gateway.launcher.children == []


DISCOVERED = {
    "resultType": "complete",
    "supportedVersions": ["2026-07-28"],
    "capabilities": {},
    "ttlMs": 0,
    "cacheScope": "private",
}


class NewChildTests:
    """A child that ends takes no listener with it."""

    def test_comes_back(self, gateway: MemoryGateway) -> None:
        """The child is replaced unasked, asked again, and all listeners hear that their lists may have changed."""
        one = listener(gateway, **TOOLS, resourceSubscriptions=[A])
        two = listener(gateway, **PROMPTS)
        gateway.child.exit(1)
        assert reply(one) is None
        gateway.tick(5)
        assert len(gateway.launcher.children) == 2
        assert open_listens(gateway) == [{**TOOLS, **PROMPTS, "resourceSubscriptions": [A]}]
        acknowledge(gateway.child)
        news(gateway.child, TOOLS_CHANGED)
        assert told(one) == [TOOLS_CHANGED, A, TOOLS_CHANGED]
        assert told(two) == ["notifications/prompts/list_changed"]

    def test_those_who_have_not_begun(self, gateway: MemoryGateway) -> None:
        """A listener that waits to be acknowledged is acknowledged by the next child, and told nothing else."""
        client = gateway.client("m")
        listen(client, **TOOLS)
        gateway.child.exit(1)
        gateway.tick(5)
        acknowledge(gateway.child)
        assert methods(client) == [ACKNOWLEDGED]

    def test_while_it_ends(self, gateway: MemoryGateway) -> None:
        """A listener that comes between the end of a child's stdin and its exit waits for the next child."""
        one = listener(gateway, **TOOLS)
        gateway.child.is_stopping = True
        two = gateway.client("m")
        listen(two, **PROMPTS)
        assert two.heard is None
        gateway.child.exit(9)
        gateway.tick(5)
        acknowledge(gateway.child)
        assert methods(two) == [ACKNOWLEDGED]
        assert told(one) == [TOOLS_CHANGED]

    def test_with_patience(self, gateway: MemoryGateway) -> None:
        """A server that cannot be started is tried more and more rarely, and its listeners stay."""
        client = listener(gateway, **TOOLS)
        gateway.child.exit(1)
        gateway.launcher.refuses = gateway.launcher.is_passing = True
        gateway.tick(200)
        gateway.launcher.refuses = False
        assert gateway.launcher.children[1:] == []
        gateway.tick(300)
        assert len(gateway.launcher.children) == 2
        acknowledge(gateway.child)
        assert told(client) == [TOOLS_CHANGED]

    def test_for_nobody(self, gateway: MemoryGateway) -> None:
        """Where nobody listens any more it is not replaced."""
        client = listener(gateway, **TOOLS)
        gateway.child.exit(1)
        hang_up(client)
        gateway.tick(100)
        assert len(gateway.launcher.children) == 1
        assert is_empty(gateway)

    def test_another_wants_more(self, gateway: MemoryGateway) -> None:
        """A listener that comes while there is no child is asked for with the others, and refused without them."""
        one = listener(gateway, **TOOLS)
        gateway.child.exit(1)
        two = gateway.client("m")
        listen(two, resourceSubscriptions=["bad:"])
        refuse(gateway.child, gateway.child.asked(LISTEN)[-1])
        assert refusal(two) == (200, -32602, "l")
        assert acknowledge(gateway.child) == TOOLS
        assert told(one) == [TOOLS_CHANGED]

    def test_it_refuses_now(self, gateway: MemoryGateway) -> None:
        """A successor that refuses what its forerunner honoured ends the listening."""
        client = listener(gateway, **TOOLS)
        gateway.child.exit(1)
        gateway.tick(5)
        refuse(gateway.child, gateway.child.asked(LISTEN)[-1])
        assert reply(client)["error"]["code"] == -32602
        assert is_empty(gateway)

    def test_with_calls(self, gateway: MemoryGateway) -> None:
        """A call brings it back at once, and is served beside the listening."""
        listener(gateway, **TOOLS)
        gateway.child.exit(1)
        client = gateway.client("m")
        post(client, request(1, "prompts/list"))
        assert len(gateway.launcher.children) == 2
        assert [each["method"] for each in gateway.child.received] == [
            "server/discover",
            LISTEN,
            "prompts/list",
        ]
