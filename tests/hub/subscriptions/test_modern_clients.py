"""Modern clients that listen to legacy children (MCP 2026-07-28, ``subscriptions/listen``)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mcpgateway.hub.subscriptions import modern_clients, upstream_legacy
from mcpgateway.hub.subscriptions.interest import URIS_LIMIT, Interest
from mcpgateway.interfaces import Request
from mcpgateway.policy.reaping import IDLE_TICKS
from mcpgateway.protocol import jsonrpc
from tests.hub.bridge.test_to_legacy import (
    ACCEPT,
    PARKED_TICKS,
    TOKEN,
    again,
    answers,
    call,
    calls,
    children,
    client_of,
    complete,
    envelope,
    gateway_of,
    key,
    parked,
    send,
    text,
)
from tests.support.gateway_in_memory import HELLO, Client, MemoryChild, MemoryGateway
from tests.support.modern_client import PREFIX, request
from tests.support.sinks import Sink

LISTEN, ACKNOWLEDGED = "subscriptions/listen", "notifications/subscriptions/acknowledged"
SUBSCRIBE, UNSUBSCRIBE = "resources/subscribe", "resources/unsubscribe"
UPDATED = "notifications/resources/updated"
TOOLS, PROMPTS = "notifications/tools/list_changed", "notifications/prompts/list_changed"
SUBSCRIPTION = PREFIX + "subscriptionId"
A, B = "file:///a", "file:///b"
SPEAKS = {
    "tools": {"listChanged": True},
    "prompts": {},
    "resources": {"subscribe": True, "listChanged": True},
}


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway whose servers speak the legacy era, and tell what changes."""
    made = gateway_of()
    made.launcher.hello = {**HELLO, "capabilities": SPEAKS}
    return made


def listen(
    gateway: MemoryGateway,
    server: str = "mute",
    *uris: str,
    identifier: Any = "l",
    headers: dict[str, str] | None = None,
    said: dict[str, Any] | None = None,
    **lists: bool,
) -> Client:
    """A client that listens for these."""
    client = client_of(gateway, server, **(headers or {}))
    filter_ = {**lists, **({"resourceSubscriptions": list(uris)} if uris else {})}
    send(client, request(identifier, LISTEN, envelope(said), notifications=filter_))
    return client


def hang_up(client: Client) -> None:
    """End a client's connection."""
    client.channel.connectionLost(None)  # type: ignore[arg-type]


def heard(client: Client) -> list[Any]:
    """The events that a listener has heard."""
    return client.heard.events if client.heard is not None else []


def news(client: Client) -> list[Any]:
    """The events after the acknowledgement, the mark left out."""
    said = []
    for each in heard(client)[1:]:
        assert each.get("params", each.get("result"))["_meta"][SUBSCRIPTION] == "l"
        said.append(each.get("method", each.get("result", {}).get("resultType")))
    return said


def honoured(client: Client) -> Any:
    """The filter that was acknowledged."""
    first = heard(client)[0]
    assert first["method"] == ACKNOWLEDGED
    assert first["params"]["_meta"] == {SUBSCRIPTION: "l"}
    return first["params"]["notifications"]


def agree(child: MemoryChild, method: str = SUBSCRIBE) -> list[str]:
    """Let a child answer all subscriptions, and say of what."""
    asked = child.asked(method)
    for each in asked:
        child.answer(each, {})
    return [each["params"]["uri"] for each in asked]


def say(child: MemoryChild, method: str, **params: Any) -> None:
    """Let a child notify."""
    child.say({"jsonrpc": "2.0", "method": method, **({"params": params} if params else {})})


class AcknowledgementTests:
    """The first thing a listener hears."""

    def test_what_is_honoured(self, gateway: MemoryGateway) -> None:
        """Lists that the server never reports are left out, and resources that it does not take."""
        client = listen(gateway, "mute", A, B, toolsListChanged=True, promptsListChanged=True)
        child = gateway.child
        assert heard(client) == []
        taken, refused = child.asked(SUBSCRIBE)
        assert [each["params"] for each in (taken, refused)] == [{"uri": A}, {"uri": B}]
        child.say({"jsonrpc": "2.0", "id": refused["id"], "error": {"code": -32002, "message": "m"}})
        child.answer(taken, {})
        assert honoured(client) == {"toolsListChanged": True, "resourceSubscriptions": [A]}

    def test_a_server_that_takes_no_subscriptions(self, gateway: MemoryGateway) -> None:
        """A server that takes no subscriptions is not asked for any."""
        gateway.launcher.hello = HELLO
        client = listen(gateway, "mute", A, resourcesListChanged=True)
        assert honoured(client) == {}
        assert gateway.child.asked(SUBSCRIBE) == []

    def test_the_id_keeps_its_type(self, gateway: MemoryGateway) -> None:
        """A number is a number in every message."""
        client = listen(gateway, identifier=7, toolsListChanged=True)
        assert heard(client)[0]["params"]["_meta"] == {SUBSCRIPTION: 7}

    def test_a_child_that_cannot_be_started(self, gateway: MemoryGateway) -> None:
        """The listener is refused, and nothing is left of it."""
        gateway.launcher.refuses = True
        client = listen(gateway, "mute", A)
        assert client.heard is not None
        assert "not found" in client.heard.json["error"]["message"]
        assert len(gateway.sessions) == 0

    def test_a_child_that_dies_meanwhile(self, gateway: MemoryGateway) -> None:
        """A subscription that the server did not get to take is not honoured."""
        client = listen(gateway, "mute", A, toolsListChanged=True)
        gateway.child.exit(1)
        assert honoured(client) == {"toolsListChanged": True}

    @pytest.mark.parametrize("uri", ["", "x" * 10_000, "ä"])
    def test_strange_resources(self, gateway: MemoryGateway, uri: str) -> None:
        """The server decides what it takes."""
        client = listen(gateway, "mute", uri)
        assert agree(gateway.child) == [uri]
        assert honoured(client) == {"resourceSubscriptions": [uri]}

    def test_a_child_with_too_many_resources(
        self, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A resource that exceeds the limit of the child is not listened to, and the others are."""
        monkeypatch.setattr(upstream_legacy, "TOPICS_LIMIT", 1)
        client = listen(gateway, "mute", A, B)
        assert agree(gateway.child) == [A]
        assert honoured(client) == {"resourceSubscriptions": [A]}

    def test_what_is_no_text(self, gateway: MemoryGateway) -> None:
        """A resource whose name is no text is not listened to."""
        assert honoured(listen(gateway, "mute", "\ud800")) == {}

    def test_too_much(self, gateway: MemoryGateway) -> None:
        """A filter that is too large is refused, and nothing is left of it."""
        client = listen(gateway, "mute", *(f"x:{number}" for number in range(URIS_LIMIT + 1)))
        assert client.heard is not None
        assert "1000 resources" in client.heard.json["error"]["message"]
        assert len(gateway.sessions) == 0

    def test_too_many(self, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch) -> None:
        """So many listen to a child; whoever goes makes room."""
        monkeypatch.setattr(modern_clients, "LISTENERS_LIMIT", 2)
        clients = [listen(gateway, toolsListChanged=True) for _ in range(3)]
        assert clients[-1].heard is not None
        assert "2 requests listen" in clients[-1].heard.json["error"]["message"]
        hang_up(clients[0])
        assert honoured(listen(gateway, toolsListChanged=True)) == {"toolsListChanged": True}


class NewsTests:
    """Changes that a listener hears of."""

    def test_of_what_it_asks_for(self, gateway: MemoryGateway) -> None:
        """Each hears of its own lists and resources, in its own request's name, and of nothing else."""
        one = listen(gateway, "mute", A, toolsListChanged=True)
        two = listen(gateway, "mute", B)
        (child,) = gateway.launcher.children
        agree(child)
        say(child, UPDATED, uri=A, more=1)
        say(child, UPDATED, uri=B)
        say(child, TOOLS)
        say(child, PROMPTS)
        say(child, "notifications/message", level="error", data="d")
        say(child, "notifications/x")
        assert news(one) == [UPDATED, TOOLS]
        assert heard(one)[1]["params"]["more"] == 1
        assert news(two) == [UPDATED]
        assert heard(two)[1]["params"]["uri"] == B

    def test_two_of_the_same(self, gateway: MemoryGateway) -> None:
        """The server is asked once for what several listen to, and told when the last of them has gone."""
        one, two = listen(gateway, "mute", A), listen(gateway, "mute", A)
        child = gateway.child
        assert agree(child) == [A]
        assert honoured(two) == {"resourceSubscriptions": [A]}
        hang_up(one)
        assert child.asked(UNSUBSCRIBE) == []
        say(child, UPDATED, uri=A)
        assert news(two) == [UPDATED]
        hang_up(two)
        assert [each["params"] for each in child.asked(UNSUBSCRIBE)] == [{"uri": A}]
        assert len(gateway.sessions) == 0

    def test_two_users(self, gateway: MemoryGateway) -> None:
        """Listeners of two users share a child, and each hears what it asked for."""
        one = listen(gateway, "mute", A)
        two = listen(gateway, "mute", A, headers={"Authorization": TOKEN})
        agree(gateway.child)
        say(gateway.child, UPDATED, uri=A)
        assert (news(one), news(two)) == ([UPDATED], [UPDATED])

    def test_beside_a_session(self, gateway: MemoryGateway) -> None:
        """A session of the other era on the same child is not disturbed by a listener that goes."""
        session = gateway.session("mute")
        session.call(1, SUBSCRIBE, uri=A)
        child = gateway.child
        child.answer(child.asked(SUBSCRIBE)[0], {})
        client = listen(gateway, "mute", A)
        assert honoured(client) == {"resourceSubscriptions": [A]}
        hang_up(client)
        assert child.asked(UNSUBSCRIBE) == []

    def test_another_child(self, gateway: MemoryGateway) -> None:
        """A lost child is replaced; its successor is asked again, and everything may have changed."""
        client = listen(gateway, "mute", A, toolsListChanged=True)
        agree(gateway.child)
        first = gateway.child
        first.exit(1)
        gateway.tick(60)
        assert gateway.child is not first
        assert agree(gateway.child) == [A]
        say(gateway.child, UPDATED, uri=A)
        assert news(client) == [TOOLS, UPDATED]

    def test_silence(self, gateway: MemoryGateway) -> None:
        """However long nothing happens the listener stays."""
        client = listen(gateway, "asks", A)
        agree(gateway.child)
        gateway.tick(IDLE_TICKS + 1)
        gateway.reaper.look_around()
        gateway.tick()
        say(gateway.child, UPDATED, uri=A)
        assert news(client) == [UPDATED]


class EndTests:
    """The end of listening."""

    def test_before_it_begins(self, gateway: MemoryGateway) -> None:
        """A listener that hangs up before the child has answered is forgotten."""
        gateway.launcher.hello = None
        client = listen(gateway, "mute", A)
        hang_up(client)
        gateway.child.answer(gateway.child.asked("initialize")[0], {**HELLO, "capabilities": SPEAKS})
        assert gateway.child.asked(SUBSCRIBE) == []
        assert len(gateway.sessions) == 0

    def test_while_the_server_is_asked(self, gateway: MemoryGateway) -> None:
        """A subscription whose listener has gone is taken back."""
        client = listen(gateway, "mute", A, B)
        child = gateway.child
        hang_up(client)
        agree(child)
        assert [each["params"]["uri"] for each in child.asked(UNSUBSCRIBE)] == [A, B]
        assert len(gateway.sessions) == 0
        assert len(gateway.dispatcher.calls) == 0

    def test_the_gateway_stops(self, gateway: MemoryGateway) -> None:
        """The listeners of a gateway that stops are told of the end."""
        client = listen(gateway, "mute", toolsListChanged=True)
        gateway.hub.modern_dispatcher.close()
        assert news(client) == ["complete"]
        assert heard(client)[1]["id"] == "l"
        assert len(gateway.sessions) == 0

    def test_its_place_is_needed(self, gateway: MemoryGateway) -> None:
        """A listener that has to make room is told that it is over; the shared child runs on."""
        client = listen(gateway, "mute", A)
        agree(gateway.child)
        (session,) = gateway.sessions
        gateway.dispatcher.park(session, "there are too many sessions")
        assert news(client) == ["complete"]
        assert children(gateway) == [gateway.child]
        assert len(gateway.sessions) == 0

    def test_a_slow_reader(self, gateway: MemoryGateway) -> None:
        """A listener that does not read is let go of, and no other is."""
        slow, other = listen(gateway, "mute", A), listen(gateway, "mute", A)
        child = gateway.child
        agree(child)
        slow.channel.abort()
        say(child, UPDATED, uri=A)
        say(child, UPDATED, uri=A)
        assert news(other) == [UPDATED, UPDATED]
        assert len(gateway.sessions) == 1


class LaneTests:
    """Listeners at a child that asks, and is used by one call at a time."""

    def test_one_child(self, gateway: MemoryGateway) -> None:
        """Calls and listeners of the same clients use the same child; neither disturbs the other."""
        ear = listen(gateway, "asks", A, toolsListChanged=True)
        agree(gateway.child)
        client = client_of(gateway)
        child, asked = parked(gateway, client)
        assert gateway.launcher.children == [child]
        say(child, UPDATED, uri=A)
        again(client, asked, {key(asked): ACCEPT})
        assert answers(child)[0]["result"] == ACCEPT
        complete(child, calls(child)[0])
        assert text(client) == "done"
        assert news(ear) == [UPDATED]

    def test_what_others_can_do(self, gateway: MemoryGateway) -> None:
        """A listener hears of the children that serve calls of clients that can do something else, first or last."""
        client = client_of(gateway)
        call(client)  # of a client that can be asked anything
        exclusive_child = gateway.child
        complete(exclusive_child, calls(exclusive_child)[0])
        ear = listen(gateway, "asks", A, said={}, toolsListChanged=True)
        own = gateway.child
        assert own is not exclusive_child
        agree(own)
        agree(exclusive_child)
        say(exclusive_child, TOOLS)
        say(exclusive_child, UPDATED, uri=A)
        assert news(ear) == [TOOLS, UPDATED]
        call(client_of(gateway), said=envelope({"sampling": {}}))
        late = gateway.child
        assert late not in (own, exclusive_child)
        agree(late)
        say(late, UPDATED, uri=A)
        assert news(ear) == [TOOLS, UPDATED, UPDATED]
        late.exit(1)
        say(own, TOOLS)
        assert news(ear)[-1] == TOOLS
        hang_up(ear)
        assert [each["params"] for each in exclusive_child.asked(UNSUBSCRIBE)] == [{"uri": A}]

    def test_what_other_users_do(self, gateway: MemoryGateway) -> None:
        """A listener does not hear of the children of other users."""
        call(client_of(gateway, Authorization="Bearer bearer-token"))
        exclusive_child = gateway.child
        ear = listen(gateway, "asks", A, toolsListChanged=True)
        agree(gateway.child)
        say(exclusive_child, TOOLS)
        say(exclusive_child, UPDATED, uri=A)
        assert news(ear) == []
        assert exclusive_child.asked(SUBSCRIBE) == []

    def test_it_hangs_up(self, gateway: MemoryGateway) -> None:
        """A listener that goes unsubscribes, and takes nobody's child with it."""
        ear = listen(gateway, "asks", A)
        child = gateway.child
        agree(child)
        client = client_of(gateway)
        call(client)
        hang_up(ear)
        assert [each["params"] for each in child.asked(UNSUBSCRIBE)] == [{"uri": A}]
        complete(child, calls(child)[0])
        assert text(client) == "done"
        assert children(gateway) == [child]

    def test_the_child_is_given_up(self, gateway: MemoryGateway) -> None:
        """A listener at a child that is ended may ask again, and gets another."""
        ear = listen(gateway, "asks", A)
        child = gateway.child
        agree(child)
        call(client_of(gateway))
        complete(child, calls(child)[0])
        parked(gateway, client_of(gateway))
        gateway.tick(PARKED_TICKS + 1)
        assert child.is_stopping
        assert news(ear) == ["complete"]
        late = listen(gateway, "asks", A)
        assert gateway.child is not child
        agree(gateway.child)
        assert honoured(late) == {"resourceSubscriptions": [A]}

    def test_the_child_is_put_aside(self, gateway: MemoryGateway) -> None:
        """Within a second a listener hears that its child had to make room."""
        ear = listen(gateway, "asks", A)
        agree(gateway.child)
        exclusive_child = next(each for each in gateway.sessions if each.is_apart)
        gateway.dispatcher.park(exclusive_child, "there are too many sessions")
        gateway.tick()
        assert news(ear) == ["complete"]
        assert len(gateway.sessions) == 0

    def test_by_process(self, gateway: MemoryGateway) -> None:
        """Where a server keeps state a listener hears of its own process's child, which ends with the process."""
        one, two = (listen(gateway, "state", A, headers={"X-Client-Pid": pid}) for pid in ("77", "78"))
        first, second = gateway.launcher.children
        for child in (first, second):
            agree(child)
        say(first, UPDATED, uri=A)
        assert (news(one), news(two)) == ([UPDATED], [])
        gateway.processes.exit(77)
        gateway.tick()
        assert news(one) == [UPDATED, "complete"]
        assert children(gateway) == [second]


class RestartTests:
    """A listening that the former program of this process has acknowledged."""

    @staticmethod
    def acknowledged(before: Interest, now: Interest) -> Sink:
        """What the client of such a listening hears when its servers honour this much now."""
        sink = Sink()
        message = jsonrpc.read_client(json.dumps(request("l", LISTEN)).encode())
        call = Request(None, message, None, sink, honoured=before.text())
        modern_clients.ClientListener(call, lambda _: None).acknowledged(now)
        return sink

    def test_the_same(self) -> None:
        """The client hears nothing: it has its acknowledgement."""
        interest = Interest(frozenset(("toolsListChanged",)), frozenset((A,)))
        sink = self.acknowledged(interest, interest)
        assert (sink.messages, sink.replies) == ([], [])

    def test_another(self) -> None:
        """The listening ends in order, since no part of an acknowledged filter can be revoked."""
        sink = self.acknowledged(Interest(uris=frozenset((A, B))), Interest(uris=frozenset((A,))))
        assert sink.messages == []
        assert [each["result"]["resultType"] for each in sink.replies] == ["complete"]
