"""Requests of the modern era at servers that speak only the legacy one (MCP 2025-11-25 and 2026-07-28)."""

from __future__ import annotations

from typing import Any

import pytest

from mcpgateway.config.gateway_settings import Limits
from mcpgateway.config.model import Bridge, ServerSpec, Share
from mcpgateway.hub import parking
from mcpgateway.hub.bridge import exclusive
from mcpgateway.hub.bridge.exclusive import CHILDREN_LIMIT, PARKED_SHARE, QUEUE_LIMIT, SPARE_TICKS
from mcpgateway.hub.bridge.to_legacy import PATIENCE_TICKS
from mcpgateway.hub.parking import PARKED_TICKS
from mcpgateway.policy.reaping import IDLE_TICKS
from mcpgateway.policy.sharing import launch_digest
from mcpgateway.protocol.versions import Era
from tests.support.gateway_in_memory import HELLO, Client, MemoryChild, MemoryGateway
from tests.support.modern_client import PREFIX, REVISION, meta, request

CAPABILITIES, INFO, LEVEL = (PREFIX + name for name in ("clientCapabilities", "clientInfo", "logLevel"))
OFFERS = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {"listChanged": True}}
SEEN = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}}
FORM = {"message": "Who?", "requestedSchema": {"type": "object"}}
ELICIT, SAMPLE, ROOTS = "elicitation/create", "sampling/createMessage", "roots/list"
CANCELLED, PROGRESS, LOG = "notifications/cancelled", "notifications/progress", "notifications/message"
ACCEPT = {"action": "accept", "content": {"name": "Ada"}}
TOKEN = "Bearer bearer-token"


def gateway_of(
    *, bridge: Bridge = Bridge.AUTO, limits: Limits | None = None, timeout_s: float = 0.0
) -> MemoryGateway:
    """A gateway whose servers speak the legacy era only; of all but "maybe" it is known whether they ask."""
    asks = ServerSpec(
        "asks", ("run",), {}, "/", interactive=True, protocol=Era.LEGACY, timeout_s=timeout_s, title="asks"
    )
    more = (
        asks,
        ServerSpec("also", ("run",), {}, "/", interactive=True, protocol=Era.LEGACY, title="also"),
        ServerSpec("mute", ("run",), {}, "/", interactive=False, protocol=Era.LEGACY, title="mute"),
        ServerSpec("maybe", ("run", "maybe"), {}, "/", protocol=Era.LEGACY, title="maybe"),
        ServerSpec(
            "state",
            ("run",),
            {},
            "/",
            share=Share.SESSION,
            interactive=True,
            protocol=Era.LEGACY,
            title="state",
        ),
        ServerSpec("kept", ("run",), {}, "/", share=Share.SESSION, protocol=Era.LEGACY, title="kept"),
    )
    return MemoryGateway(more=more, bridge=bridge, limits=limits)


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway whose servers speak the legacy era only."""
    return gateway_of()


def envelope(offers: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """The `_meta` of a request by a client that can be asked anything, unless `offers` says otherwise."""
    return meta(**{CAPABILITIES: OFFERS if offers is None else offers, **more})


def client_of(gateway: MemoryGateway, server: str = "asks", **headers: str) -> Client:
    """A modern client, on a connection on which it says nothing twice."""
    return gateway.client(server, **{"X-Mcpgateway-Stdio": "1", **headers})


def send(client: Client, body: dict[str, Any]) -> None:
    """Send a request."""
    client.send(body, **{"MCP-Protocol-Version": REVISION, "Mcp-Method": body["method"]})


def call(client: Client, identifier: Any = 1, *, said: dict[str, Any] | None = None, **params: Any) -> None:
    """Call a tool."""
    params = {"name": "t", "arguments": {"a": 1}, **params}
    send(client, request(identifier, "tools/call", envelope() if said is None else said, **params))


def again(
    client: Client, result: dict[str, Any], answers: Any = None, identifier: Any = 2, **params: Any
) -> None:
    """Call the tool once more, with answers to what it has asked."""
    if "inputResponses" not in params and answers is not ...:
        params["inputResponses"] = answers
    call(client, identifier, requestState=result["requestState"], **params)


def answered(client: Client) -> Any:
    """The message that answers a client's request; None while there is none."""
    if client.heard is None:
        return None
    said = [client.heard.json] if client.heard.body[:1] == b"{" else client.heard.events
    found = [each for each in said if "result" in each or "error" in each]
    return found[-1] if found else None


def result(client: Client) -> Any:
    """The result of a client's request."""
    return answered(client)["result"]


def error(client: Client) -> Any:
    """The error that answers a client's request."""
    return answered(client)["error"]


def methods(client: Client) -> list[Any]:
    """The methods of what a client is told before the answer."""
    said = client.heard.events if client.heard is not None and client.heard.body[:1] != b"{" else []
    return [each["method"] for each in said if "method" in each]


def calls(child: MemoryChild) -> list[dict[str, Any]]:
    """The tool calls a child has got."""
    return child.asked("tools/call")


def ask(child: MemoryChild, identifier: Any = 7, method: str = ELICIT, params: Any = None) -> None:
    """Let a child ask something."""
    child.say({"jsonrpc": "2.0", "id": identifier, "method": method, "params": params or FORM})


def answers(child: MemoryChild) -> list[Any]:
    """The answers that a child has been given, of whichever kind."""
    return [each for each in child.received if "method" not in each]


def complete(child: MemoryChild, asked: dict[str, Any], text: str = "done") -> None:
    """Let a child answer a call."""
    child.answer(asked, {"content": [{"type": "text", "text": text}]})


def text(client: Client) -> str:
    """The text of a tool's answer."""
    return str(result(client)["content"][0]["text"])


def parked(gateway: MemoryGateway, client: Client, **more: Any) -> tuple[MemoryChild, dict[str, Any]]:
    """A child that has asked something during a client's call, and the result that asks the client."""
    before = [len(calls(each)) for each in gateway.launcher.children]
    call(client, **more)
    (child,) = [
        each
        for nth, each in enumerate(gateway.launcher.children)
        if len(calls(each)) > (before[nth] if nth < len(before) else 0)
    ]
    ask(child)
    return child, result(client)


def key(asked: dict[str, Any]) -> str:
    """The one key under which a result asks something."""
    (found,) = asked["inputRequests"]
    return str(found)


def children(gateway: MemoryGateway) -> list[MemoryChild]:
    """The children that have not been stopped."""
    return [each for each in gateway.launcher.children if not each.is_stopping]


def is_clean(gateway: MemoryGateway) -> bool:
    """True if no request is under way, parked or asked."""
    bridge = gateway.hub.modern_dispatcher.to_legacy
    groups = [each for each in bridge.exclusive if each.queue or any(one.current for one in each.children)]
    return not (
        bridge._bridged
        or bridge._parked
        or groups
        or len(gateway.dispatcher.questions)
        or len(gateway.dispatcher.calls)
    )


class HandshakeTests:
    """The gateway makes the handshake in the place of a modern client."""

    def test_once_with_what_the_client_offers(self, gateway: MemoryGateway) -> None:
        """The child is told what its client can be asked, and who it is; the call comes without the envelope."""
        client = client_of(gateway)
        said = envelope(traceparent="00-ab-cd-01", **{INFO: {"name": "window", "version": "9"}})
        call(client, "x", said=said)
        (hello,) = gateway.child.asked("initialize")
        assert hello["params"] == {
            "protocolVersion": "2025-11-25",
            "capabilities": SEEN,
            "clientInfo": {"name": "window", "version": "9"},
        }
        (asked,) = calls(gateway.child)
        assert asked["params"] == {
            "name": "t",
            "arguments": {"a": 1},
            "_meta": {"traceparent": "00-ab-cd-01"},
        }
        complete(gateway.child, asked)
        assert answered(client)["id"] == "x"
        assert result(client)["resultType"] == "complete"
        assert result(client)["_meta"] == {PREFIX + "serverInfo": {"name": "m"}}
        call(client, "y")
        assert len(gateway.child.asked("initialize")) == 1
        assert "_meta" not in calls(gateway.child)[1]["params"]

    @pytest.mark.parametrize("result", [[], "x", None])
    def test_no_object(self, gateway: MemoryGateway, result: Any) -> None:
        """A result that is no object has no words in the other era: it is an error."""
        client = client_of(gateway)
        call(client)
        gateway.child.answer(calls(gateway.child)[0], result)
        assert "object" in error(client)["message"]

    @pytest.mark.parametrize("offers", [{}, {"experimental": {}}, {"extensions": {"x/y": {}}}, {"tasks": {}}])
    def test_who_offers_nothing_shares(self, gateway: MemoryGateway, offers: dict[str, Any]) -> None:
        """Clients that cannot be asked share one child, which is told that it cannot ask."""
        clients = [client_of(gateway), client_of(gateway, Authorization=TOKEN)]
        for client in clients:
            call(client, said=envelope(offers))
        (child,) = gateway.launcher.children
        assert child.asked("initialize")[0]["params"]["capabilities"] == {}
        assert len(calls(child)) == 2
        for nth, asked in enumerate(calls(child)):
            complete(child, asked, str(nth))
        assert [text(client) for client in clients] == ["0", "1"]
        assert is_clean(gateway)

    def test_the_order_of_what_is_offered(self, gateway: MemoryGateway) -> None:
        """Clients that offer the same in another order may use the same child; others may not."""
        one, two, three = (client_of(gateway) for _ in range(3))
        call(one, said=envelope({"sampling": {}, "roots": {}}))
        complete(gateway.child, calls(gateway.child)[0])
        call(two, said=envelope({"roots": {}, "sampling": {}}))
        assert len(gateway.launcher.children) == 1
        call(three, said=envelope({"roots": {}}))
        assert len(gateway.launcher.children) == 2

    def test_discovery(self) -> None:
        """With "always" a legacy server is offered in the modern era, without what is not served there."""
        gateway = gateway_of(bridge=Bridge.ALWAYS)
        client = client_of(gateway)
        send(client, request(1, "server/discover", envelope()))
        found = result(client)
        assert found["supportedVersions"] == [REVISION]
        assert (found["resultType"], found["ttlMs"], found["cacheScope"]) == ("complete", 0, "private")
        assert found["capabilities"] == {"tools": {"listChanged": True}, "logging": {}}
        assert "protocolVersion" not in found

    def test_discovery_of_what_cannot_be_started(self) -> None:
        """Discovery of a server that cannot be started says why."""
        gateway = gateway_of(bridge=Bridge.ALWAYS)
        gateway.launcher.refuses = True
        client = client_of(gateway)
        send(client, request(1, "server/discover", envelope()))
        assert "not found" in error(client)["message"]

    @pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
    def test_tasks(self, gateway: MemoryGateway, method: str) -> None:
        """Tasks of the two eras are of different kinds, and are refused to whoever knows of them, and to others."""
        client = client_of(gateway)
        send(client, request(1, method, envelope(), taskId="t"))
        assert error(client)["code"] == -32021
        extended = {**OFFERS, "extensions": {PREFIX + "tasks": {}}}
        send(client, request(1, method, envelope(extended), taskId="t"))
        assert error(client)["code"] == -32601
        assert gateway.launcher.children == []

    def test_a_task_of_the_other_era(self, gateway: MemoryGateway) -> None:
        """A member that would begin a task in the other era means nothing, and the server does not see it."""
        call(client_of(gateway), task={"ttl": 1})
        assert "task" not in calls(gateway.child)[0]["params"]

    def test_errors(self, gateway: MemoryGateway) -> None:
        """A resource that is not there has another code in the modern era; other errors stay as they are."""
        client = client_of(gateway)
        for number, (code, seen) in enumerate([(-32002, -32602), (-32602, -32602), (-32050, -32050)]):
            send(client, request(number, "resources/read", envelope(), uri="a:b"))
            asked = gateway.child.asked("resources/read")[-1]
            failure = {"code": code, "message": "m", "data": {"uri": "a:b"}}
            gateway.child.say({"jsonrpc": "2.0", "id": asked["id"], "error": failure})
            assert error(client) == {**failure, "code": seen}


class QuestionTests:
    """A question of the server's becomes an answer to its client."""

    @pytest.mark.parametrize("method", [ELICIT, SAMPLE, ROOTS])
    def test_asked_and_answered(self, gateway: MemoryGateway, method: str) -> None:
        """The client gets the question, its next request brings the answer, and the call goes on to its end."""
        client = client_of(gateway)
        call(client)
        child = gateway.child
        ask(child, "q", method)
        asked = result(client)
        assert (answered(client)["id"], asked["resultType"]) == (1, "input_required")
        assert asked["inputRequests"][key(asked)] == {"method": method, "params": FORM}
        again(client, asked, {key(asked): {"any": 1.0}})
        assert answers(child) == [{"jsonrpc": "2.0", "id": "q", "result": {"any": 1.0}}]
        assert answered(client) is None
        complete(child, calls(child)[0])
        assert (answered(client)["id"], text(client)) == (2, "done")
        assert len(calls(child)) == 1
        assert is_clean(gateway)

    @pytest.mark.parametrize(
        ("method", "params"), [("prompts/get", {"name": "p"}), ("resources/read", {"uri": "a:b"})]
    )
    def test_other_requests(self, gateway: MemoryGateway, method: str, params: dict[str, Any]) -> None:
        """Prompts and resources may ask as tools may."""
        client = client_of(gateway)
        send(client, request(1, method, envelope(), **params))
        ask(gateway.child)
        asked = result(client)
        more = {"requestState": asked["requestState"], "inputResponses": {key(asked): ACCEPT}}
        send(client, request(2, method, envelope(), **params, **more))
        gateway.child.answer(gateway.child.asked(method)[0], {"of": method})
        assert result(client)["of"] == method

    def test_one_after_the_other(self, gateway: MemoryGateway) -> None:
        """A call may ask in as many rounds as it likes; each has a state of its own."""
        client, states = client_of(gateway), set()
        child, asked = parked(gateway, client)
        for number in range(5):
            states.add(asked["requestState"])
            again(client, asked, {key(asked): {"n": number}}, number)
            assert answers(child)[-1]["result"] == {"n": number}
            ask(child, f"next {number}")
            asked = result(client)
        assert len(states) == 5
        again(client, asked, {key(asked): {}})
        complete(child, calls(child)[0])
        assert text(client) == "done"

    def test_several_at_once(self, gateway: MemoryGateway) -> None:
        """Questions that come while a call is parked join those still open, until all are answered."""
        client = client_of(gateway)
        child, asked = parked(gateway, client)
        ask(child, 8, ROOTS)
        ask(child, 9, SAMPLE)
        again(client, asked, {key(asked): {"first": 1}})
        rest = result(client)
        assert [each["method"] for each in rest["inputRequests"].values()] == [ROOTS, SAMPLE]
        roots, sample = rest["inputRequests"]
        again(client, rest, {sample: {"third": 3}}, 3)
        last = result(client)
        assert list(last["inputRequests"]) == [roots]
        assert [each["id"] for each in answers(child)] == [7, 9]
        again(client, last, {roots: {"second": 2}}, 4)
        assert answers(child)[-1] == {"jsonrpc": "2.0", "id": 8, "result": {"second": 2}}
        complete(child, calls(child)[0])
        assert (answered(client)["id"], text(client)) == (4, "done")

    @pytest.mark.parametrize("said", [..., None, {}, {"q0": {}, "other": {"x": 1}}])
    def test_answers_that_are_missing(self, gateway: MemoryGateway, said: Any) -> None:
        """A client that does not answer is asked again, under a new state; answers to no question are dropped."""
        client = client_of(gateway)
        child, asked = parked(gateway, client)
        again(client, asked, said)
        repeated = result(client)
        assert repeated["inputRequests"] == asked["inputRequests"]
        assert repeated["requestState"] != asked["requestState"]
        assert answers(child) == []
        again(client, repeated, {key(asked): ACCEPT, "surplus": {}}, 3)
        assert [each["result"] for each in answers(child)] == [ACCEPT]

    @pytest.mark.parametrize("said", ["text", 1, [], [{}], {"%": None}, {"%": []}, {"%": "x"}, {"%": 1}])
    def test_answers_that_are_none(self, gateway: MemoryGateway, said: Any) -> None:
        """The gateway refuses a value that cannot be an answer, and the state stays good."""
        client = client_of(gateway)
        child, asked = parked(gateway, client)
        spoilt = {key(asked): said["%"]} if isinstance(said, dict) else said
        again(client, asked, spoilt)
        assert error(client)["code"] == -32602
        assert answers(child) == []
        again(client, asked, {key(asked): ACCEPT}, 3)
        assert answers(child)[0]["result"] == ACCEPT

    def test_taken_back(self, gateway: MemoryGateway) -> None:
        """A question that its server has taken back is answered by nobody, and the call goes on."""
        client = client_of(gateway)
        child, asked = parked(gateway, client)
        ask(child, 8)
        child.say({"jsonrpc": "2.0", "method": CANCELLED, "params": {"requestId": 7}})
        again(client, asked, {key(asked): ACCEPT})
        rest = result(client)
        child.say({"jsonrpc": "2.0", "method": CANCELLED, "params": {"requestId": 8}})
        again(client, rest, {key(rest): ACCEPT}, 3)
        assert answers(child) == []
        assert answered(client) is None
        complete(child, calls(child)[0])
        assert text(client) == "done"

    def test_answered_while_parked(self, gateway: MemoryGateway) -> None:
        """An answer that the server gives meanwhile waits for the client; the child is free for others."""
        client, other = client_of(gateway), client_of(gateway)
        child, asked = parked(gateway, client)
        complete(child, calls(child)[0], "early")
        call(other, 5)
        complete(child, calls(child)[1], "other")
        assert text(other) == "other"
        again(client, asked, {key(asked): ACCEPT})
        assert text(client) == "early"
        assert is_clean(gateway)

    def test_answered_while_parked_and_left_open(self, gateway: MemoryGateway) -> None:
        """A question that its server has answered itself does not stay open when the client has its result."""
        client = client_of(gateway)
        child, asked = parked(gateway, client)
        complete(child, calls(child)[0], "early")
        again(client, asked)
        assert text(client) == "early"
        assert answers(child) == [{"jsonrpc": "2.0", "id": 7, "result": {"action": "cancel"}}]
        assert is_clean(gateway)

    def test_dies_while_parked(self, gateway: MemoryGateway) -> None:
        """The retry is told that the server has ended; the next call has a new child."""
        client = client_of(gateway)
        child, asked = parked(gateway, client)
        child.exit(3)
        again(client, asked, {key(asked): ACCEPT})
        assert "exit code 3" in error(client)["message"]
        assert is_clean(gateway)
        call(client, 3)
        assert gateway.child is not child
        complete(gateway.child, calls(gateway.child)[0])
        assert text(client) == "done"

    def test_what_the_client_does_not_offer(self, gateway: MemoryGateway) -> None:
        """A question that the client has not offered to answer is refused in its place."""
        client = client_of(gateway)
        call(client, said=envelope({"elicitation": {}}))
        for method in (SAMPLE, ROOTS):
            ask(gateway.child, method, method)
        ask(gateway.child, "url", ELICIT, {"mode": "url", "url": "https://x", "message": "m"})
        assert [each["error"]["code"] for each in answers(gateway.child)] == [-32601, -32601, -32602]
        assert answered(client) is None

    def test_what_no_modern_client_knows(self, gateway: MemoryGateway) -> None:
        """A question that has no place in a result is refused at once."""
        client = client_of(gateway)
        call(client)
        ask(gateway.child, 1, "x/ask")
        assert answers(gateway.child)[0]["error"]["message"] == "nobody can be asked x/ask now"
        complete(gateway.child, calls(gateway.child)[0])
        assert text(client) == "done"

    @pytest.mark.parametrize("method", [ELICIT, ROOTS])
    def test_without_a_call(self, gateway: MemoryGateway, method: str) -> None:
        """A server that asks when no call is under way is refused at once, and does not wait for anybody."""
        client = client_of(gateway)
        send(client, request(1, "tools/list", envelope()))
        ask(gateway.child, 1, method)
        assert answers(gateway.child)[0]["error"]["code"] == -32000
        gateway.child.answer(gateway.child.asked("tools/list")[0], {"tools": []})
        assert result(client)["tools"] == []
        assert is_clean(gateway)

    def test_at_once_after_the_handshake(self, gateway: MemoryGateway) -> None:
        """A question that a server asks before it reads its first call is asked with that call."""
        client = client_of(gateway)
        gateway.launcher.hello = None
        call(client)
        child = gateway.child
        child.answer(child.asked("initialize")[0], HELLO)
        assert [each["method"] for each in child.received[1:]] == [
            "notifications/initialized",
            "tools/call",
        ]
        ask(child, 1, ROOTS)
        assert result(client)["inputRequests"][key(result(client))]["method"] == ROOTS


class StateTests:
    """A state is good once, for its own call and its own caller."""

    def refused(self, client: Client) -> None:
        """The gateway refuses the state, without a word about why."""
        assert error(client)["code"] == -32602
        assert "requestState is not known" in error(client)["message"]

    def test_once(self, gateway: MemoryGateway) -> None:
        """A state that was used is good for nothing, even if the call is still under way."""
        client, late = client_of(gateway), client_of(gateway)
        child, asked = parked(gateway, client)
        again(client, asked, {key(asked): {"n": 1}})
        again(late, asked, {key(asked): {"n": 2}}, 3)
        self.refused(late)
        assert [each["result"] for each in answers(child)] == [{"n": 1}]
        complete(child, calls(child)[0])
        assert text(client) == "done"
        again(late, asked, {key(asked): {"n": 2}}, 4)
        self.refused(late)

    @pytest.mark.parametrize(
        "more",
        [
            {"name": "u"},
            {"arguments": {"a": 2}},
            {"arguments": {}},
            {"extra": 1},
            {"requestState": ""},
            {"requestState": None},
            {"requestState": 7},
            {"requestState": "x" * 64},
            {"requestState": "\ud800" * 64},
        ],
    )
    def test_of_this_call_only(self, gateway: MemoryGateway, more: dict[str, Any]) -> None:
        """With other arguments, or altered, a state is refused; it stays good for its own call."""
        client = client_of(gateway)
        child, asked = parked(gateway, client)
        given = {"requestState": asked["requestState"], "inputResponses": {key(asked): ACCEPT}, **more}
        call(client, 2, **given)
        self.refused(client)
        assert answers(child) == []
        again(client, asked, {key(asked): ACCEPT}, 3)
        assert len(answers(child)) == 1

    def test_every_character(self, gateway: MemoryGateway) -> None:
        """A state with any character changed is refused."""
        client = client_of(gateway)
        child, asked = parked(gateway, client)
        state = asked["requestState"]
        for at, character in enumerate(state):
            other = "B" if character == "A" else "A"
            call(client, 2, requestState=state[:at] + other + state[at + 1 :])
            self.refused(client)
        assert answers(child) == []

    def test_of_another(self, gateway: MemoryGateway) -> None:
        """A state is of no use to another user, server or method, which learns nothing of it."""
        client = client_of(gateway)
        child, asked = parked(gateway, client)
        stranger = client_of(gateway, Authorization=TOKEN)
        other = client_of(gateway, "also")
        for each in (stranger, other):
            again(each, asked, {key(asked): ACCEPT})
            self.refused(each)
        params = {"name": "t", "arguments": {"a": 1}, "requestState": asked["requestState"]}
        send(client, request(3, "prompts/get", envelope(), **params))
        self.refused(client)
        assert answers(child) == []
        assert gateway.launcher.children == [child]

    def test_expired(self, gateway: MemoryGateway) -> None:
        """After ten minutes the call is given up: its server is told so, and has an answer to its question."""
        client = client_of(gateway)
        child, asked = parked(gateway, client)
        ask(child, 8, ROOTS)
        gateway.tick(PARKED_TICKS)
        assert child.asked(CANCELLED) == []
        gateway.tick()
        (cancelled,) = child.asked(CANCELLED)
        assert cancelled["params"]["requestId"] == calls(child)[0]["id"]
        assert [each.get("result", each.get("error", {}).get("code")) for each in answers(child)] == [
            {"action": "cancel"},
            -32000,
        ]
        assert child.is_stopping
        late = client_of(gateway)
        again(late, asked, {key(asked): ACCEPT})
        self.refused(late)
        assert is_clean(gateway)

    def test_two_retries_at_once(self, gateway: MemoryGateway) -> None:
        """Of two retries on their way at the same time the first takes the call's place."""
        one, two = client_of(gateway), client_of(gateway)
        child, asked = parked(gateway, one)
        again(one, asked, {key(asked): {"by": 1}})
        again(two, asked, {key(asked): {"by": 2}})
        self.refused(two)
        complete(child, calls(child)[0])
        assert text(one) == "done"
        assert [each["result"] for each in answers(child)] == [{"by": 1}]

    def test_answers_without_a_state(self, gateway: MemoryGateway) -> None:
        """Answers without a state are answers to nothing: the call is a new one, and its server does not see them."""
        client = client_of(gateway)
        call(client, inputResponses={"q": ACCEPT})
        assert set(calls(gateway.child)[0]["params"]) == {"name", "arguments"}

    @pytest.mark.parametrize("said", [None, "text", 1, [], {"q": 1}, {"q": None}])
    def test_no_answers_without_a_state(self, gateway: MemoryGateway, said: Any) -> None:
        """The gateway refuses inputResponses without a state, too, since a legacy server has no use for them."""
        client = client_of(gateway)
        call(client, inputResponses=said)
        assert error(client)["code"] == -32602

    def test_a_human_takes_longer_than_the_server_may(self) -> None:
        """While the client is asked its server's time does not run."""
        gateway = gateway_of(timeout_s=5)
        client = client_of(gateway)
        child, asked = parked(gateway, client)
        gateway.tick(60)
        again(client, asked, {key(asked): ACCEPT})
        complete(child, calls(child)[0])
        assert text(client) == "done"


class HangUpTests:
    """A client that hangs up takes its request back."""

    def test_before_the_question(self, gateway: MemoryGateway) -> None:
        """The server is told; what it asks and answers after that reaches nobody, as its child is used no more."""
        one, two = client_of(gateway), client_of(gateway)
        call(one)
        child = gateway.child
        one.channel.connectionLost(None)  # type: ignore[arg-type]
        assert len(child.asked(CANCELLED)) == 1
        call(two, 5)
        ask(child)
        assert answered(two) is None
        assert gateway.child is not child
        complete(gateway.child, calls(gateway.child)[0])
        assert text(two) == "done"
        assert children(gateway) == [gateway.child]
        assert is_clean(gateway)

    def test_with_others_beside(self, gateway: MemoryGateway) -> None:
        """A child that is used no more still answers what nobody has taken back."""
        one, two = client_of(gateway), client_of(gateway)
        call(one)
        child = gateway.child
        send(two, request(5, "tools/list", envelope()))
        one.channel.connectionLost(None)  # type: ignore[arg-type]
        gateway.tick()
        child.answer(child.asked("tools/list")[0], {"tools": []})
        assert result(two)["tools"] == []
        gateway.tick()
        assert child.is_stopping
        assert children(gateway) == []

    def test_while_parked(self, gateway: MemoryGateway) -> None:
        """The connection on which a question was heard may end: the answer may come on another."""
        one = client_of(gateway)
        child, asked = parked(gateway, one)
        one.channel.connectionLost(None)  # type: ignore[arg-type]
        two = client_of(gateway)
        again(two, asked, {key(asked): ACCEPT})
        complete(child, calls(child)[0])
        assert text(two) == "done"

    def test_after_the_answers(self, gateway: MemoryGateway) -> None:
        """A retry that is taken back takes the call with it."""
        client = client_of(gateway)
        child, asked = parked(gateway, client)
        again(client, asked, {key(asked): ACCEPT})
        client.channel.connectionLost(None)  # type: ignore[arg-type]
        assert len(child.asked(CANCELLED)) == 1
        assert child.is_stopping
        assert is_clean(gateway)

    def test_in_the_queue(self, gateway: MemoryGateway) -> None:
        """A call that waits for its turn is never sent."""
        one, two, three = (client_of(gateway) for _ in range(3))
        call(one)
        call(two, 2, name="never")
        call(three, 3, name="next")
        two.channel.connectionLost(None)  # type: ignore[arg-type]
        complete(gateway.child, calls(gateway.child)[0])
        assert [each["params"]["name"] for each in calls(gateway.child)] == ["t", "next"]
        complete(gateway.child, calls(gateway.child)[1])
        assert text(three) == "done"
        assert is_clean(gateway)
        assert len(gateway.launcher.children) == 1

    def test_before_the_child_runs(self, gateway: MemoryGateway) -> None:
        """A call that waits for its child to start is not sent, and the child is used by the next."""
        gateway.launcher.hello = None
        one, two = client_of(gateway), client_of(gateway)
        call(one, name="never")
        one.channel.connectionLost(None)  # type: ignore[arg-type]
        call(two)
        (child,) = gateway.launcher.children
        child.answer(child.asked("initialize")[0], HELLO)
        assert [each["params"]["name"] for each in calls(child)] == ["t"]

    def test_a_server_with_state(self, gateway: MemoryGateway) -> None:
        """Where a server keeps state for each process its child stays: only that process uses it."""
        headers = {"X-Client-Pid": "77"}
        one, two = client_of(gateway, "state", **headers), client_of(gateway, "state", **headers)
        call(one)
        one.channel.connectionLost(None)  # type: ignore[arg-type]
        call(two)
        assert children(gateway) == [gateway.child]
        assert len(calls(gateway.child)) == 2

    def test_too_slow(self) -> None:
        """A call that took too long may still ask: its child is used by no other call."""
        gateway = gateway_of(timeout_s=3)
        one, two = client_of(gateway), client_of(gateway)
        call(one)
        child = gateway.child
        call(two, 2)
        gateway.tick(4)
        assert error(one)["code"] == -32001
        assert child.is_stopping
        assert gateway.child is not child
        complete(gateway.child, calls(gateway.child)[0])
        assert text(two) == "done"


class LaneTests:
    """Two windows of one user, and two users, on one server."""

    def test_one_at_a_time(self, gateway: MemoryGateway) -> None:
        """Calls of clients that offer the same go to one child, one after the other."""
        clients = [client_of(gateway) for _ in range(4)]
        for nth, client in enumerate(clients):
            call(client, nth, name=f"t{nth}")
        (child,) = gateway.launcher.children
        for nth, client in enumerate(clients):
            assert [each["params"]["name"] for each in calls(child)] == [
                f"t{each}" for each in range(nth + 1)
            ]
            complete(child, calls(child)[-1], str(nth))
            assert text(client) == str(nth)
        assert is_clean(gateway)

    def test_answers_crossed(self, gateway: MemoryGateway) -> None:
        """While one window is asked the other's calls have another child; each answer reaches its own question."""
        one, two = client_of(gateway), client_of(gateway)
        first, asked_one = parked(gateway, one, name="same")
        second, asked_two = parked(gateway, two, name="same")
        assert first is not second
        again(two, asked_two, {key(asked_two): {"of": 2}}, name="same")
        again(one, asked_one, {key(asked_one): {"of": 1}}, name="same")
        assert [answers(each)[0]["result"] for each in (first, second)] == [{"of": 1}, {"of": 2}]
        for nth, child in enumerate((first, second)):
            complete(child, calls(child)[0], str(nth))
        assert [text(one), text(two)] == ["0", "1"]

    def test_answers_swapped(self, gateway: MemoryGateway) -> None:
        """An answer under the key of another window's question is an answer to nothing."""
        one, two = client_of(gateway), client_of(gateway)
        first, asked_one = parked(gateway, one)
        second, asked_two = parked(gateway, two)
        again(one, asked_one, {key(asked_two): {"of": 1}})
        assert result(one)["inputRequests"] == asked_one["inputRequests"]
        assert answers(first) == answers(second) == []

    def test_who_waits_is_not_stuck(self, gateway: MemoryGateway) -> None:
        """Calls that wait when the call before them is parked get another child at once."""
        one, two, three = (client_of(gateway) for _ in range(3))
        call(one)
        call(two, 2, name="two")
        call(three, 3, name="three")
        (child,) = gateway.launcher.children
        ask(child)
        other = gateway.child
        assert other is not child
        assert [each["params"]["name"] for each in calls(other)] == ["two"]
        complete(other, calls(other)[0])
        complete(other, calls(other)[1])
        assert (text(two), text(three)) == ("done", "done")

    def test_two_users(self, gateway: MemoryGateway) -> None:
        """Two users never use the same child, whatever they offer."""
        one, two = client_of(gateway), client_of(gateway, Authorization=TOKEN)
        call(one, name="same")
        call(two, name="same")
        first, second = gateway.launcher.children
        ask(first)
        assert answered(two) is None
        asked = result(one)
        late = client_of(gateway, Authorization=TOKEN)
        again(late, asked, {key(asked): {"of": "two"}}, name="same")
        assert error(late)["code"] == -32602
        assert answers(first) == []
        ask(second)
        asked_two = result(two)
        again(two, asked_two, {key(asked_two): {"of": "two"}}, name="same")
        assert [each["result"] for each in answers(second)] == [{"of": "two"}]
        assert answers(first) == []

    def test_lists_pass_by(self, gateway: MemoryGateway) -> None:
        """Requests for lists need not wait for a call, parked or not, and go to the same child."""
        one, two = client_of(gateway), client_of(gateway)
        child, _ = parked(gateway, one)
        methods = ("tools/list", "prompts/list", "resources/list", "completion/complete")
        for nth, method in enumerate(methods):
            send(two, request(nth, method, envelope()))
            child.answer(child.asked(method)[0], {"of": method})
            assert result(two)["of"] == method
        assert gateway.launcher.children == [child]

    def test_a_spare_one(self, gateway: MemoryGateway) -> None:
        """A second child is kept for a while, and ended when nobody has used it."""
        one, two = client_of(gateway), client_of(gateway)
        (first, asked), (second, _) = parked(gateway, one), parked(gateway, two)
        for child in (first, second):
            complete(child, calls(child)[0])
        again(one, asked, {key(asked): ACCEPT})
        assert text(one) == "done"
        gateway.tick(SPARE_TICKS)
        assert len(children(gateway)) == 2
        gateway.tick(2)
        assert children(gateway) == [first]

    def test_idle(self, gateway: MemoryGateway) -> None:
        """A child that nobody has used for long is stopped, and nothing is kept of its clients."""
        client = client_of(gateway)
        call(client)
        complete(gateway.child, calls(gateway.child)[0])
        gateway.tick(IDLE_TICKS + 1)
        gateway.reaper.look_around()
        gateway.tick()
        assert children(gateway) == []
        assert len(gateway.sessions) == 0
        assert gateway.hub.modern_dispatcher.to_legacy.exclusive._groups == {}
        late = client_of(gateway)
        call(late)
        complete(gateway.child, calls(gateway.child)[0])
        assert text(late) == "done"

    def test_put_aside_while_parked(self, gateway: MemoryGateway) -> None:
        """The retry of a call whose child had to make room is told so, and the next call has a child."""
        client = client_of(gateway)
        child, asked = parked(gateway, client)
        (session,) = gateway.sessions
        gateway.dispatcher.park(session, "there are too many sessions")
        assert child.is_stopping
        again(client, asked, {key(asked): ACCEPT})
        assert "too many sessions" in error(client)["message"]
        assert is_clean(gateway)
        call(client, 3)
        assert gateway.child is not child

    def test_put_aside_with_others_waiting(self, gateway: MemoryGateway) -> None:
        """Calls that wait for a child which had to make room get another; none is sent to the one that ends."""
        one, two = client_of(gateway), client_of(gateway)
        call(one)
        child = gateway.child
        call(two, 2, name="two")
        (session,) = gateway.sessions
        gateway.dispatcher.park(session, "there are too many sessions")
        assert "too many sessions" in error(one)["message"]
        assert calls(child)[1:] == []
        (other,) = children(gateway)
        complete(other, calls(other)[0])
        assert text(two) == "done"

    def test_displaced_by_a_legacy_client(self) -> None:
        """A client of the legacy era may need the place of a lane; nothing hangs, and nothing is left running."""
        gateway = gateway_of(limits=Limits(sessions=1))
        client = client_of(gateway)
        child, asked = parked(gateway, client)
        gateway.session("shared")
        assert child.is_stopping
        again(client, asked, {key(asked): ACCEPT})
        assert "too many sessions" in error(client)["message"]
        assert len(children(gateway)) == 1

    def test_a_program_that_is_missing(self, gateway: MemoryGateway) -> None:
        """Callers that wait for a child that cannot be started are answered at once, and it is tried once
        only for all.
        """
        gateway.launcher.hello = None
        clients = [client_of(gateway) for _ in range(QUEUE_LIMIT)]
        for nth, client in enumerate(clients):
            call(client, nth)
        gateway.launcher.refuses = True
        gateway.child.exit(1)
        assert all(error(client)["code"] < 0 for client in clients)
        assert len(gateway.launcher.children) == 1
        assert is_clean(gateway)

    def test_dies_under_a_call(self, gateway: MemoryGateway) -> None:
        """The call under way fails, those behind it have the next child."""
        one, two = client_of(gateway), client_of(gateway)
        call(one)
        call(two, 2, name="two")
        child = gateway.child
        child.exit(1)
        assert "exit code 1" in error(one)["message"]
        assert gateway.child is not child
        complete(gateway.child, calls(gateway.child)[0])
        assert text(two) == "done"


class ProcessTests:
    """Servers that keep state for each client."""

    def test_by_process(self, gateway: MemoryGateway) -> None:
        """Each process has a child of its own, however many connections it has."""
        one, same, two = (client_of(gateway, "state", **{"X-Client-Pid": pid}) for pid in ("77", "77", "78"))
        call(one)
        complete(gateway.child, calls(gateway.child)[0])
        call(same)
        call(two)
        first, second = gateway.launcher.children
        assert (len(calls(first)), len(calls(second))) == (2, 1)
        gateway.processes.exit(77)
        assert children(gateway) == [second]

    def test_an_odd_name(self, gateway: MemoryGateway) -> None:
        """An odd name of one client does not spoil the handshake for the others with the same capabilities."""
        odd = client_of(gateway)
        call(odd, said=envelope(**{INFO: {}}))
        assert gateway.child.asked("initialize")[0]["params"]["clientInfo"]["name"] == "mcpgateway"

    def test_what_it_is_told(self, gateway: MemoryGateway) -> None:
        """A process's own child is told what its client offers, though nothing says that its server asks."""
        client = client_of(gateway, "kept", **{"X-Client-Pid": "77"})
        child, asked = parked(gateway, client)
        assert child.asked("initialize")[0]["params"]["capabilities"] == SEEN
        again(client, asked, {key(asked): ACCEPT})
        complete(child, calls(child)[0])
        assert text(client) == "done"

    def test_parked(self, gateway: MemoryGateway) -> None:
        """While a call of a process is parked its others go to the one child that knows it, beside that."""
        headers = {"X-Client-Pid": "77"}
        one, two = client_of(gateway, "state", **headers), client_of(gateway, "state", **headers)
        child, asked = parked(gateway, one)
        call(two, 2, name="two")
        assert gateway.launcher.children == [child]
        complete(child, calls(child)[1], "two")
        assert text(two) == "two"
        again(one, asked, {key(asked): ACCEPT})
        complete(child, calls(child)[0], "one")
        assert text(one) == "one"

    def test_who_waits_does_not_wait_for_ever(self, gateway: MemoryGateway) -> None:
        """A parked call in whose way others stand that ask, too, is given up after a minute."""
        headers = {"X-Client-Pid": "77"}
        one, two = client_of(gateway, "state", **headers), client_of(gateway, "state", **headers)
        child, _ = parked(gateway, one)
        call(two, 2)
        gateway.tick(PATIENCE_TICKS + 1)
        assert len(child.asked(CANCELLED)) == 1
        assert len(calls(child)) == 2

    def test_an_unknown_process(self, gateway: MemoryGateway) -> None:
        """Where nothing tells which process calls the request is refused."""
        client = client_of(gateway, "state")
        call(client)
        assert error(client)["code"] == -32000
        assert gateway.launcher.children == []

    def test_the_process_ends_while_parked(self, gateway: MemoryGateway) -> None:
        """With its process a parked call ends, and its child."""
        client = client_of(gateway, "state", **{"X-Client-Pid": "77"})
        child, _ = parked(gateway, client)
        gateway.processes.exit(77)
        assert child.is_stopping
        gateway.tick(PARKED_TICKS + 1)
        assert is_clean(gateway)


def of_process(gateway: MemoryGateway, nth: int) -> Client:
    """A modern client that says which process it is."""
    return client_of(gateway, **{"X-Client-Pid": str(7000 + nth)})


class LimitTests:
    """Parked calls, questions and waits have their limits."""

    def test_lanes(self, gateway: MemoryGateway) -> None:
        """So many calls can be parked at once; what is not known to ask goes beside them, and is served at once."""
        for nth in range(CHILDREN_LIMIT):
            parked(gateway, of_process(gateway, nth), identifier=nth)
        client = of_process(gateway, 99)
        call(client, 99, name="late")
        assert len(gateway.launcher.children) == CHILDREN_LIMIT + 1
        assert calls(gateway.child)[0]["params"]["name"] == "late"
        complete(gateway.child, calls(gateway.child)[0])
        assert text(client) == "done"

    def test_one_asks_beside_them(self, gateway: MemoryGateway) -> None:
        """A call that asks for the first time beside the lanes is parked, too, if it is alone there; of two
        none is asked.
        """
        for nth in range(CHILDREN_LIMIT):
            parked(gateway, of_process(gateway, nth), identifier=nth)
        one, two = of_process(gateway, 98), of_process(gateway, 99)
        child, asked = parked(gateway, one, identifier=98, name="new")
        call(two, 99, name="newer")
        ask(child, 8)
        assert answered(two) is None
        assert answers(child)[-1]["error"]["code"] == -32601
        again(one, asked, {key(asked): ACCEPT}, name="new")
        assert answers(child)[-1] == {"jsonrpc": "2.0", "id": 7, "result": ACCEPT}
        for each in calls(child):
            complete(child, each)
        assert (text(one), text(two)) == ("done", "done")

    def test_a_share(self, gateway: MemoryGateway) -> None:
        """A client's questions leave lanes for others: another client that asks is heard."""
        for nth in range(PARKED_SHARE):
            parked(gateway, of_process(gateway, 1), identifier=nth)
        same, other = of_process(gateway, 1), of_process(gateway, 2)
        call(same, 98, name="echo")
        beside = gateway.child
        call(other, 99)
        ask(gateway.child)
        assert result(other)["resultType"] == "input_required"
        assert gateway.child is not beside
        complete(beside, calls(beside)[0])
        assert text(same) == "done"

    def test_more_than_a_share(self, gateway: MemoryGateway) -> None:
        """A client's question that is one too many is heard, and its oldest one makes way."""
        (oldest, _), *_ = [
            parked(gateway, of_process(gateway, 1), identifier=nth) for nth in range(PARKED_SHARE)
        ]
        parked(gateway, of_process(gateway, 1), identifier=98, name="new")
        late, plain = of_process(gateway, 1), of_process(gateway, 1)
        call(late, 99, name="newer")
        assert oldest.asked(CANCELLED) == []
        ask(gateway.child)
        assert result(late)["resultType"] == "input_required"
        assert len(oldest.asked(CANCELLED)) == 1
        call(plain, 100, name="plain")
        complete(gateway.child, calls(gateway.child)[-1])
        assert text(plain) == "done"

    def test_a_lane_that_becomes_free(self, gateway: MemoryGateway) -> None:
        """A call of what asks waits, and takes whichever lane is free first."""
        pairs = [(of_process(gateway, nth), nth) for nth in range(CHILDREN_LIMIT)]
        parked_ones = [parked(gateway, client, identifier=nth) for client, nth in pairs]
        call(of_process(gateway, 99), 99, arguments={"late": 1})
        assert len(gateway.launcher.children) == CHILDREN_LIMIT
        child, asked = parked_ones[5]
        again(pairs[5][0], asked, {key(asked): ACCEPT})
        complete(child, calls(child)[0])
        assert calls(child)[1]["params"]["arguments"] == {"late": 1}

    def test_who_waits_is_not_forgotten(self, gateway: MemoryGateway) -> None:
        """A call that asks waits no longer than a minute: then the call makes way whose client is silent for
        longest.
        """
        (oldest, _), *_ = [
            parked(gateway, of_process(gateway, nth), identifier=nth) for nth in range(CHILDREN_LIMIT)
        ]
        client = of_process(gateway, 99)
        call(client, 99)
        gateway.tick(PATIENCE_TICKS)
        assert oldest.asked(CANCELLED) == []
        gateway.tick()
        assert len(oldest.asked(CANCELLED)) == 1
        complete(gateway.child, calls(gateway.child)[0])
        assert text(client) == "done"

    def test_the_queue(self, gateway: MemoryGateway) -> None:
        """So many calls wait; one more is refused, and nothing of it is left."""
        clients = [client_of(gateway) for _ in range(QUEUE_LIMIT + 2)]
        for nth, client in enumerate(clients):
            call(client, nth)
        assert "100 calls wait" in error(clients[-1])["message"]
        for _ in clients[:-1]:
            complete(gateway.child, calls(gateway.child)[-1])
        assert all(text(client) == "done" for client in clients[:-1])
        assert is_clean(gateway)

    @pytest.mark.parametrize("limit", ["PARKED_LIMIT", "PARKED_OF_PRINCIPAL"])
    def test_parked_calls(self, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
        """Where too many calls are parked a server is told that it cannot ask, and can go on without."""
        monkeypatch.setattr(parking, limit, 2)
        for nth in range(2):
            parked(gateway, client_of(gateway), identifier=nth)
        late = client_of(gateway)
        call(late)
        ask(gateway.child)
        assert answers(gateway.child)[0]["error"]["code"] == -32000
        complete(gateway.child, calls(gateway.child)[0])
        assert text(late) == "done"
        other = client_of(gateway, Authorization=TOKEN)
        call(other)
        ask(gateway.child)
        assert (answered(other) is None) == (limit == "PARKED_LIMIT")

    def test_what_a_client_says_of_itself(
        self, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A client that offers something else each time does not have a child started for each."""
        monkeypatch.setattr(exclusive, "PRINCIPAL_LIMIT", 3)
        offers: list[dict[str, Any]] = [
            {"sampling": {name: {} for name in names}, "elicitation": {mode: {}}}
            for names in ((), ("tools",), ("context",), ("tools", "context"))
            for mode in ("form", "url")
        ]
        for each in offers:
            client = client_of(gateway)
            call(client, said=envelope(each))
            complete(gateway.child, calls(gateway.child)[0])
            assert text(client) == "done"
            assert len(children(gateway)) <= 3
        busy = [client_of(gateway) for _ in range(4)]
        for client, each in zip(busy, offers, strict=False):
            call(client, said=envelope(each | {"roots": {}}))
        assert [answered(client) is None for client in busy] == [True, True, True, False]
        assert "3 kinds of clients" in error(busy[-1])["message"]
        gateway.tick()
        assert len(gateway.hub.modern_dispatcher.to_legacy.exclusive._groups) <= 3

    def test_levels(self, gateway: MemoryGateway) -> None:
        """A level that there is none of is refused, and nothing is started or kept for it."""
        client = client_of(gateway, "mute")
        for level in ("verbose", "", "x" * 100):
            call(client, said=envelope(**{LEVEL: level}))
            assert error(client)["code"] == -32602
        assert gateway.launcher.children == []
        assert len(gateway.sessions) == 0


class ToldTests:
    """Progress and log messages."""

    def log(self, child: MemoryChild, level: str, data: Any = "d") -> None:
        """Let a child log something."""
        child.say({"jsonrpc": "2.0", "method": LOG, "params": {"level": level, "data": data}})

    def progress(self, child: MemoryChild, asked: dict[str, Any], done: int) -> None:
        """Let a child report the progress of a call."""
        params = {"progressToken": asked["params"]["_meta"]["progressToken"], "progress": done}
        child.say({"jsonrpc": "2.0", "method": PROGRESS, "params": params})

    def test_progress(self, gateway: MemoryGateway) -> None:
        """Progress comes under the token of the request that waits now, before a question and after answers."""
        client = client_of(gateway)
        call(client, said=envelope(progressToken="one"))
        child = gateway.child
        (asked,) = calls(child)
        self.progress(child, asked, 1)
        ask(child)
        first = client.heard.events if client.heard else []
        assert first[0]["params"] == {"progressToken": "one", "progress": 1}
        self.progress(child, asked, 2)  # nobody waits for it
        question = result(client)
        again(client, question, {key(question): ACCEPT}, said=envelope(progressToken=2))
        self.progress(child, asked, 3)
        complete(child, asked)
        assert client.heard is not None
        assert client.heard.events[0]["params"] == {"progressToken": 2, "progress": 3}
        assert (methods(client), text(client)) == ([PROGRESS], "done")

    @pytest.mark.parametrize(("before", "after"), [("one", None), (None, "two")])
    def test_progress_that_is_not_wanted(self, gateway: MemoryGateway, before: Any, after: Any) -> None:
        """A client that brings no token hears of no progress, and a server that was given none makes none."""
        client = client_of(gateway)
        call(client, said=envelope(**({"progressToken": before} if before else {})))
        child = gateway.child
        (asked,) = calls(child)
        ask(child)
        question = result(client)
        said = envelope(**({"progressToken": after} if after else {}))
        again(client, question, {key(question): ACCEPT}, said=said)
        token = asked["params"].get("_meta", {}).get("progressToken", asked["id"])
        child.say({"jsonrpc": "2.0", "method": PROGRESS, "params": {"progressToken": token, "progress": 1}})
        complete(child, asked)
        assert (methods(client), text(client)) == ([], "done")

    @pytest.mark.parametrize("server", ["asks", "mute"])
    def test_a_level(self, gateway: MemoryGateway, server: str) -> None:
        """The server is set to the level that a request names, and the request hears what is of it."""
        client = client_of(gateway, server)
        call(client, said=envelope(**{LEVEL: "warning"}))
        child = gateway.child
        assert [each["params"] for each in child.asked("logging/setLevel")] == [{"level": "warning"}]
        for level in ("info", "warning", "error"):
            self.log(child, level, level)
        complete(child, calls(child)[0])
        assert client.heard is not None
        assert [each["params"]["data"] for each in client.heard.events[:-1]] == ["warning", "error"]

    @pytest.mark.parametrize("server", ["asks", "mute"])
    def test_no_level(self, gateway: MemoryGateway, server: str) -> None:
        """A request that names no level hears nothing at all, whatever was asked for before it."""
        client = client_of(gateway, server)
        call(client, said=envelope(**{LEVEL: "debug"}))
        complete(gateway.child, calls(gateway.child)[0])
        call(client, 2)
        self.log(gateway.child, "emergency")
        complete(gateway.child, calls(gateway.child)[1])
        assert (methods(client), text(client)) == ([], "done")

    def test_the_level_of_a_retry(self, gateway: MemoryGateway) -> None:
        """From the answers on the level of the retry holds."""
        client = client_of(gateway)
        child, asked = parked(gateway, client, said=envelope(**{LEVEL: "error"}))
        again(client, asked, {key(asked): ACCEPT}, said=envelope(**{LEVEL: "info"}))
        assert [each["params"]["level"] for each in child.asked("logging/setLevel")] == ["error", "info"]
        child.answer(child.asked("logging/setLevel")[0], {})
        child.answer(child.asked("logging/setLevel")[1], {})
        self.log(child, "info")
        assert methods(client) == [LOG]

    def test_two_levels(self, gateway: MemoryGateway) -> None:
        """A shared child is set to the lower of two levels; while both wait nobody knows whose a message is."""
        one, two = client_of(gateway, "mute"), client_of(gateway, "mute")
        call(one, said=envelope(**{LEVEL: "error"}))
        call(two, said=envelope(**{LEVEL: "info"}))
        (child,) = gateway.launcher.children
        assert [each["params"]["level"] for each in child.asked("logging/setLevel")] == ["error", "info"]
        self.log(child, "error", "whose?")
        complete(child, calls(child)[0])
        self.log(child, "info", "two's")
        complete(child, calls(child)[1])
        assert methods(one) == []
        assert two.heard is not None
        assert [each["params"]["data"] for each in two.heard.events[:-1]] == ["two's"]

    def test_of_two_users(self, gateway: MemoryGateway) -> None:
        """Log messages and other notifications of a shared child reach neither of two users who call at once."""
        one, two = client_of(gateway, "mute"), client_of(gateway, "mute", Authorization=TOKEN)
        for client in (one, two):
            call(client, said=envelope(**{LEVEL: "debug"}))
        (child,) = gateway.launcher.children
        self.log(child, "error")
        child.say({"jsonrpc": "2.0", "method": "notifications/x", "params": {}})
        for asked in calls(child):
            complete(child, asked)
        assert methods(one) == methods(two) == []

    def test_a_server_with_state(self, gateway: MemoryGateway) -> None:
        """The level of a request reaches a child that is a process's own, whatever the request is."""
        client = client_of(gateway, "state", **{"X-Client-Pid": "77"})
        call(client, said=envelope({}, **{LEVEL: "notice"}))
        assert gateway.child.asked("logging/setLevel")[0]["params"] == {"level": "notice"}
        self.log(gateway.child, "notice")
        assert methods(client) == [LOG]


class ElsewhereTests:
    """A server that sends its user to a page before the request can succeed (-32042)."""

    PAGE = {"mode": "url", "elicitationId": "e", "url": "https://example.org/e", "message": "Log in"}

    def send_elsewhere(self, child: MemoryChild, asked: dict[str, Any], *pages: dict[str, Any]) -> None:
        """Answer with the error that names these pages."""
        failure = {"code": -32042, "message": "m", "data": {"elicitations": list(pages or [self.PAGE])}}
        child.say({"jsonrpc": "2.0", "id": asked["id"], "error": failure})

    def test_and_back(self, gateway: MemoryGateway) -> None:
        """The client is asked to open the page, and its retry is a new call."""
        client = client_of(gateway)
        call(client)
        child = gateway.child
        self.send_elsewhere(child, calls(child)[0])
        asked = result(client)
        assert asked["inputRequests"][key(asked)] == {"method": ELICIT, "params": self.PAGE}
        again(client, asked, {key(asked): {"action": "accept"}})
        assert calls(child)[1]["params"] == calls(child)[0]["params"]
        complete(child, calls(child)[1])
        assert (answered(client)["id"], text(client)) == (2, "done")
        assert is_clean(gateway)

    @pytest.mark.parametrize("action", ["decline", "cancel", "x", None])
    def test_and_not_back(self, gateway: MemoryGateway, action: Any) -> None:
        """A user who does not go there ends the call."""
        client = client_of(gateway)
        call(client)
        self.send_elsewhere(gateway.child, calls(gateway.child)[0])
        asked = result(client)
        again(client, asked, {key(asked): {"action": action}})
        assert "did not go" in error(client)["message"]
        assert len(calls(gateway.child)) == 1
        assert is_clean(gateway)

    def test_one_of_two(self, gateway: MemoryGateway) -> None:
        """Where only one of two pages was opened the other is asked for again."""
        client = client_of(gateway)
        call(client)
        other = {**self.PAGE, "url": "https://example.org/f"}
        self.send_elsewhere(gateway.child, calls(gateway.child)[0], self.PAGE, other)
        asked = result(client)
        first, second = asked["inputRequests"]
        again(client, asked, {first: {"action": "accept"}})
        assert result(client)["inputRequests"] == {second: {"method": ELICIT, "params": other}}
        again(client, result(client), {second: {"action": "accept"}}, 3)
        assert len(calls(gateway.child)) == 2

    @pytest.mark.parametrize("offers", [{}, {"elicitation": {}}, {"elicitation": {"form": {}}}])
    def test_who_cannot(self, gateway: MemoryGateway, offers: dict[str, Any]) -> None:
        """A client that cannot open pages is told what the server wants."""
        client = client_of(gateway)
        call(client, said=envelope(offers))
        self.send_elsewhere(gateway.child, calls(gateway.child)[0])
        assert "open a page" in error(client)["message"]
        assert is_clean(gateway)

    def test_a_request_that_may_not_ask(self, gateway: MemoryGateway) -> None:
        """Only some requests may be answered with questions; others get an error."""
        client = client_of(gateway)
        send(client, request(1, "completion/complete", envelope()))
        self.send_elsewhere(gateway.child, gateway.child.asked("completion/complete")[0])
        assert error(client)["code"] == -32603

    def test_the_child_is_free_meanwhile(self, gateway: MemoryGateway) -> None:
        """Other clients use the child while the user is away; giving the first up touches no question of theirs."""
        one = client_of(gateway)
        call(one)
        child = gateway.child
        self.send_elsewhere(child, calls(child)[0])
        gateway.tick(PARKED_TICKS - 10)
        two = client_of(gateway)
        _, asked = parked(gateway, two, name="two")
        gateway.tick(20)
        assert answers(child) == []
        again(two, asked, {key(asked): ACCEPT}, name="two")
        assert answers(child)[0]["result"] == ACCEPT

    def test_the_child_has_ended_meanwhile(self, gateway: MemoryGateway) -> None:
        """A user who comes back after the child was put aside has the call made on another."""
        client = client_of(gateway)
        call(client)
        child = gateway.child
        self.send_elsewhere(child, calls(child)[0])
        asked = result(client)
        (session,) = gateway.sessions
        gateway.dispatcher.park(session, "there are too many sessions")
        again(client, asked, {key(asked): {"action": "accept"}})
        (other,) = children(gateway)
        complete(other, calls(other)[0])
        assert text(client) == "done"
        assert len(gateway.sessions) == 1


class FirstTests:
    """Servers of which it is not known whether they ask."""

    def test_the_first_question(self, gateway: MemoryGateway) -> None:
        """The first call ever of a server that asks without looking at what its client can do is asked."""
        client = client_of(gateway, "maybe")
        child, asked = parked(gateway, client)
        assert child.asked("initialize")[0]["params"]["capabilities"] == SEEN
        assert asked["resultType"] == "input_required"
        assert asked["inputRequests"][key(asked)]["method"] == ELICIT
        again(client, asked, {key(asked): ACCEPT})
        assert answers(child) == [{"jsonrpc": "2.0", "id": 7, "result": ACCEPT}]
        complete(child, calls(child)[0])
        assert text(client) == "done"
        assert len(gateway.launcher.children) == 1
        assert is_clean(gateway)

    def test_side_by_side(self, gateway: MemoryGateway) -> None:
        """Until it is seen asking, all calls of those who offer the same run side by side on one child."""
        clients = [client_of(gateway, "maybe") for _ in range(3)]
        for nth, each in enumerate(clients):
            call(each, nth)
        assert len(calls(gateway.child)) == 3
        assert len(gateway.launcher.children) == 1
        for each in reversed(calls(gateway.child)):
            complete(gateway.child, each)
        assert [text(each) for each in clients] == ["done"] * 3

    def test_from_then_on(self, gateway: MemoryGateway) -> None:
        """Once it was seen asking, each call that can be asked has a child for itself; others share as before."""
        one, two, three = (client_of(gateway, "maybe") for _ in range(3))
        first, _ = parked(gateway, one)
        second, asked = parked(gateway, two, identifier=2)
        assert second is not first
        assert asked["resultType"] == "input_required"
        call(three, 3, said=envelope({}))
        third = gateway.child
        assert third.asked("initialize")[0]["params"]["capabilities"] == {}
        assert gateway.store.verdict(f"asks {launch_digest(gateway.dispatcher.servers['maybe'])}") == ELICIT

    def test_several_it_can_be_of(self, gateway: MemoryGateway) -> None:
        """A question that could be of several calls is nobody's, and each has a child for itself from then on."""
        one, two, three = (client_of(gateway, "maybe") for _ in range(3))
        call(one)
        call(two, 2)
        child = gateway.child
        ask(child)
        assert answers(child)[0]["error"]["code"] == -32601
        assert (answered(one), answered(two)) == (None, None)
        other, asked = parked(gateway, three, identifier=3)
        assert other is not child
        assert asked["resultType"] == "input_required"

    def test_taken_back(self, gateway: MemoryGateway) -> None:
        """A call that was taken back may still ask, so what is asked then is nobody else's."""
        one, two = client_of(gateway, "maybe"), client_of(gateway, "maybe")
        call(one)
        child = gateway.child
        one.channel.connectionLost(None)  # type: ignore[arg-type]
        call(two, 2)
        ask(child)
        assert answers(child)[0]["error"]["code"] == -32601
        assert answered(two) is None

    def test_with_levels(self, gateway: MemoryGateway) -> None:
        """Calls that want log messages are told apart no less."""
        said = envelope(**{LEVEL: "info"})
        one, two = client_of(gateway, "maybe"), client_of(gateway, "maybe")
        call(one, said=said)
        child = gateway.child
        ask(child)
        assert result(one)["resultType"] == "input_required"
        call(two, 2, said=said)
        assert gateway.child is not child

    def test_it_cannot_be_started(self, gateway: MemoryGateway) -> None:
        """A server that cannot be started is no reason to try again and again."""
        gateway.launcher.refuses = True
        client = client_of(gateway, "maybe")
        call(client)
        assert "not found" in error(client)["message"]

    def test_it_is_said_that_it_does_not(self, gateway: MemoryGateway) -> None:
        """A server that is said to ask nothing is shared by all, and what it asks is refused."""
        client = client_of(gateway, "mute")
        call(client)
        child = gateway.child
        assert child.asked("initialize")[0]["params"]["capabilities"] == {}
        ask(child)
        assert answers(child)[0]["error"]["code"] == -32601
        complete(child, calls(child)[0])
        assert text(client) == "done"


class StopTests:
    """A gateway that is stopping."""

    def test_in_order(self, gateway: MemoryGateway) -> None:
        """A parked call is given up, a waiting one is refused, one under way may end; no child is left."""
        one, two, three = (client_of(gateway) for _ in range(3))
        child, asked = parked(gateway, one)
        call(two, 2)
        other = gateway.child
        call(three, 3)
        gateway.hub.modern_dispatcher.close()
        assert len(child.asked(CANCELLED)) == 1
        assert "stopping" in error(three)["message"]
        assert answered(two) is None
        assert gateway.dispatcher.calls.awaited() == 1
        again(one, asked, {key(asked): ACCEPT})
        assert "stopping" in error(one)["message"]
        ask(other)  # nobody could come back with an answer
        assert answers(other)[0]["error"]["code"] == -32000
        complete(other, calls(other)[0])
        assert text(two) == "done"
        gateway.dispatcher.close()
        assert children(gateway) == []
        assert is_clean(gateway)

    def test_with_calls_under_way(self, gateway: MemoryGateway) -> None:
        """A child that ends with the gateway is not started again for those who wait."""
        one, two = client_of(gateway), client_of(gateway)
        call(one)
        call(two, 2)
        gateway.hub.modern_dispatcher.close()
        gateway.dispatcher.close()
        assert error(one)["code"] < 0
        assert error(two)["code"] < 0
        assert len(gateway.launcher.children) == 1
        assert is_clean(gateway)


class HeaderTests:
    """Headers that repeat a tool's arguments."""

    def tool(self, name: str = "t") -> dict[str, Any]:
        """A tool that wants one."""
        schema = {"type": "object", "properties": {"a": {"type": "integer", "x-mcp-header": "A"}}}
        return {"name": name, "inputSchema": schema}

    def send(self, client: Client, value: str) -> None:
        """Call it with a header."""
        body = request(1, "tools/call", envelope(), name="t", arguments={"a": 1})
        headers = {"MCP-Protocol-Version": REVISION, "Mcp-Method": "tools/call", "Mcp-Name": "t"}
        client.send(body, **headers, **{"Mcp-Param-A": value})

    @pytest.mark.parametrize(("value", "agrees"), [("1", True), ("2", False), ("", False)])
    def test_checked(self, gateway: MemoryGateway, value: str, *, agrees: bool) -> None:
        """Headers are checked against the list of tools, which the gateway asks for itself."""
        client = gateway.client("asks")
        self.send(client, value)
        child = gateway.child
        child.answer(child.asked("tools/list")[0], {"tools": [self.tool()]})
        assert bool(calls(child)) is agrees
        if not agrees:
            assert error(client)["code"] == -32020

    def test_another_list(self, gateway: MemoryGateway) -> None:
        """When the server says that its tools have changed they are asked for again."""
        client = gateway.client("asks")
        self.send(client, "1")
        child = gateway.child
        child.answer(child.asked("tools/list")[0], {"tools": [self.tool()]})
        complete(child, calls(child)[0])
        child.say({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        self.send(client, "2")
        child.answer(child.asked("tools/list")[1], {"tools": []})
        assert len(calls(child)) == 2
