"""The routing table of the legacy era, row by row, each with at least two clients (MCP 2025-11-25)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.hub.calls import ABANDONED_STEP_TICKS, ABANDONED_TICKS, SESSION_CALLS_LIMIT
from tests.support.gateway_in_memory import HELLO, Client, MemoryGateway

ASKABLE = {"roots": {"listChanged": True}, "sampling": {}, "elicitation": {"form": {}, "url": {}}}
LISTS = [f"notifications/{kind}/list_changed" for kind in ("tools", "prompts", "resources")]


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with one shared and one stateful server."""
    return MemoryGateway()


def own_session(gateway: MemoryGateway, **capabilities: Any) -> Client:
    """A session with a child of its own."""
    client = gateway.client("own")
    client.initialize(protocolVersion="2025-06-18", capabilities=capabilities or ASKABLE)
    return client


def note(method: str, **params: Any) -> dict[str, Any]:
    """A notification."""
    return {"jsonrpc": "2.0", "method": method, "params": params}


def question(number: Any, method: str, **params: Any) -> dict[str, Any]:
    """A request of a server's."""
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def events(client: Client) -> list[Any]:
    """The events that have come on a connection so far."""
    return client.heard.events if client.heard is not None else []


def methods(client: Client) -> list[Any]:
    """The methods of what has come on a connection so far."""
    return [event.get("method") for event in events(client)]


class ListChangeTests:
    """notifications/*/list_changed."""

    @pytest.mark.parametrize("method", LISTS)
    def test_everybody_is_told_once(self, gateway: MemoryGateway, method: str) -> None:
        """Each session is told on its GET stream; where none is open yet, once when it is opened."""
        one, two = gateway.session(), gateway.session()
        ears = gateway.listen(one)
        gateway.child.say(note(method))
        gateway.child.say(note(method))
        assert methods(ears) == [method, method]
        assert methods(gateway.listen(two)) == [method]

    def test_not_other_children(self, gateway: MemoryGateway) -> None:
        """A child's lists are the business of its own sessions."""
        one, two = own_session(gateway), own_session(gateway)
        ears, others = gateway.listen(one), gateway.listen(two)
        gateway.launcher.children[0].say(note(LISTS[0]))
        assert methods(ears) == [LISTS[0]]
        assert methods(others) == []


class LogTests:
    """notifications/message and logging/setLevel."""

    def test_with_nobody_under_way(self, gateway: MemoryGateway) -> None:
        """Every session whose level admits it is told on GET."""
        one, two = gateway.session(), gateway.session()
        two.call(1, "logging/setLevel", level="error")
        gateway.child.answer(gateway.child.asked("logging/setLevel")[0], {})
        loud, quiet = gateway.listen(one), gateway.listen(two)
        gateway.child.say(note("notifications/message", level="info", data=1))
        gateway.child.say(note("notifications/message", level="alert", data=2))
        assert [event["params"]["data"] for event in events(loud)] == [1, 2]
        assert [event["params"]["data"] for event in events(quiet)] == [2]

    def test_the_level_follows_the_sessions(self, gateway: MemoryGateway) -> None:
        """The server is set to the most verbose wish, and to a quieter one when the loud session ends."""
        one, two = gateway.session(), gateway.session()
        for client, level in ((one, "error"), (two, "debug")):
            client.call(1, "logging/setLevel", level=level)
            gateway.child.answer(gateway.child.asked("logging/setLevel")[-1], {})
        one.call(2, "logging/setLevel", level="warning")
        assert one.heard is not None
        assert one.heard.json["result"] == {}
        two.ask(b"", "DELETE")
        said = [request["params"]["level"] for request in gateway.child.asked("logging/setLevel")]
        assert said == ["debug", "warning"]

    def test_between_principals(self, gateway: MemoryGateway) -> None:
        """A message that names no call reaches no client where several principals share the child."""
        one = gateway.session()
        other = gateway.client(Authorization="Bearer bearer-token")
        other.initialize(protocolVersion="2025-06-18")
        ears, others = gateway.listen(one), gateway.listen(other)
        gateway.child.say(note("notifications/message", level="alert", data=1))
        gateway.child.say(note("notifications/strange"))
        assert methods(ears) == methods(others) == []


class SubscriptionTests:
    """resources/subscribe, resources/unsubscribe, notifications/resources/updated."""

    def subscribe(self, gateway: MemoryGateway, client: Client, uri: str, verb: str = "subscribe") -> None:
        """Send a request and let the server agree, if it is asked."""
        before = len(gateway.child.asked(f"resources/{verb}"))
        client.call(1, f"resources/{verb}", uri=uri)
        for request in gateway.child.asked(f"resources/{verb}")[before:]:
            gateway.child.answer(request, {})
        assert client.heard is not None
        assert client.heard.json == {"jsonrpc": "2.0", "id": 1, "result": {}}

    def test_one_subscription_upstream(self, gateway: MemoryGateway) -> None:
        """The first subscription and the last farewell reach the server, the others are answered here."""
        one, two = gateway.session(), gateway.session()
        for client in (one, two, one):
            self.subscribe(gateway, client, "a:1")
        assert len(gateway.child.asked("resources/subscribe")) == 1
        self.subscribe(gateway, one, "a:1", "unsubscribe")
        assert not gateway.child.asked("resources/unsubscribe")
        self.subscribe(gateway, two, "a:1", "unsubscribe")
        assert len(gateway.child.asked("resources/unsubscribe")) == 1
        self.subscribe(gateway, two, "a:1")
        assert len(gateway.child.asked("resources/subscribe")) == 2

    def test_everybody_waits_for_the_first(self, gateway: MemoryGateway) -> None:
        """A client that comes while the server is being asked gets its answer; after a refusal the next asks again."""
        one, two = gateway.session(), gateway.session()
        for client in (one, two):
            client.call(1, "resources/subscribe", uri="a:1")
            assert client.heard is None
        (first,) = gateway.child.asked("resources/subscribe")
        refusal = {"jsonrpc": "2.0", "id": first["id"], "error": {"code": -32002, "message": "no"}}
        gateway.child.say(refusal)
        assert one.heard is not None
        assert one.heard.json["error"]["code"] == -32002
        assert two.heard is None
        gateway.child.answer(gateway.child.asked("resources/subscribe")[1], {})
        assert two.heard is not None
        assert two.heard.json["result"] == {}

    def test_updates(self, gateway: MemoryGateway) -> None:
        """A change is told to those subscribed, else to those subscribed to what contains it."""
        clients = [gateway.session() for _ in range(3)]
        for client, uri in zip(clients, ("a:1", "a:2", "a:2"), strict=True):
            self.subscribe(gateway, client, uri)
        ears = [gateway.listen(client) for client in clients]
        for uri in ("a:1", "a:2", "a:2/part"):
            gateway.child.say(note("notifications/resources/updated", uri=uri))
        told = [[event["params"]["uri"] for event in events(each)] for each in ears]
        assert told == [["a:1"], ["a:2", "a:2/part"], ["a:2", "a:2/part"]]

    def test_after_the_farewell(self, gateway: MemoryGateway) -> None:
        """A late update of what nobody is subscribed to any more is told to nobody."""
        one, two = gateway.session(), gateway.session()
        self.subscribe(gateway, one, "a:1")
        self.subscribe(gateway, two, "a:2")
        self.subscribe(gateway, one, "a:1", "unsubscribe")
        ears = [gateway.listen(one), gateway.listen(two)]
        gateway.child.say(note("notifications/resources/updated", uri="a:1"))
        assert [methods(each) for each in ears] == [[], []]

    def test_updates_wait_as_one(self, gateway: MemoryGateway) -> None:
        """While nobody listens, changes of one resource are kept as one."""
        client, _ = gateway.session(), gateway.session()
        for uri in ("a:1", "a:2"):
            self.subscribe(gateway, client, uri)
        for uri in ("a:1", "a:2", "a:1"):
            gateway.child.say(note("notifications/resources/updated", uri=uri))
        told = [event["params"]["uri"] for event in events(gateway.listen(client))]
        assert sorted(told) == ["a:1", "a:2"]

    def test_a_session_that_ends(self, gateway: MemoryGateway) -> None:
        """The subscriptions of a session end with it, those of others do not."""
        one, two = gateway.session(), gateway.session()
        for client, uri in ((one, "a:1"), (one, "a:2"), (two, "a:2")):
            self.subscribe(gateway, client, uri)
        one.ask(b"", "DELETE")
        (farewell,) = gateway.child.asked("resources/unsubscribe")
        assert farewell["params"] == {"uri": "a:1"}

    def test_a_new_child(self, gateway: MemoryGateway) -> None:
        """A lost child is replaced unasked where somebody is subscribed, and is brought to where it was."""
        one, two = gateway.session(), gateway.session()
        self.subscribe(gateway, one, "a:1")
        for client in (one, two):
            client.call(2, "logging/setLevel", level="error")
            gateway.child.answer(gateway.child.asked("logging/setLevel")[-1], {})
        gateway.child.exit(1)
        assert len(gateway.launcher.children) == 1
        gateway.tick(5)
        assert len(gateway.launcher.children) == 2
        assert [each["params"] for each in gateway.child.asked("resources/subscribe")] == [{"uri": "a:1"}]
        assert [each["params"] for each in gateway.child.asked("logging/setLevel")] == [{"level": "error"}]
        assert methods(gateway.listen(one)) == methods(gateway.listen(two)) == [LISTS[0]]

    @pytest.mark.parametrize("params", [{}, {"uri": 7}, {"uri": "x" * 9000}])
    def test_nonsense(self, gateway: MemoryGateway, params: dict[str, Any]) -> None:
        """A resource is named by a string of bearable length."""
        client, _ = gateway.session(), gateway.session()
        client.call(1, "resources/subscribe", **params)
        assert client.heard is not None
        assert client.heard.json["error"]["code"] == -32602
        stranger = gateway.client()
        stranger.call(1, "resources/subscribe", uri="a:1")
        assert stranger.heard is not None
        assert stranger.heard.json["error"]["code"] == -32602


class QuestionTests:
    """sampling/createMessage, elicitation/create, roots/list, and the way back of their answers."""

    @pytest.mark.parametrize("method", ["sampling/createMessage", "elicitation/create", "roots/list", "x/y"])
    def test_to_its_own_client(self, gateway: MemoryGateway, method: str) -> None:
        """The client of the child that asks is asked on its call, and its answer reaches that child under its id."""
        one, two = own_session(gateway), own_session(gateway)
        child, other = gateway.launcher.children
        for client in (one, two):
            client.call(5)
        child.say(question("q-1", method, message="really?"))
        other.say(question("q-1", method, message="and you?"))
        asked = [events(client)[-1] for client in (one, two)]
        assert [each["params"]["message"] for each in asked] == ["really?", "and you?"]
        assert asked[0]["id"] != asked[1]["id"]
        for client, said in ((one, asked[0]), (two, asked[1])):
            answer = {"jsonrpc": "2.0", "id": said["id"], "result": {"of": said["params"]["message"]}}
            assert gateway.client("own", **client.headers).ask(answer).status == 202
        assert child.received[-1] == {"jsonrpc": "2.0", "id": "q-1", "result": {"of": "really?"}}
        assert other.received[-1] == {"jsonrpc": "2.0", "id": "q-1", "result": {"of": "and you?"}}

    def test_nobody_else_can_answer(self, gateway: MemoryGateway) -> None:
        """An answer counts once, and only from the session that was asked."""
        one, two = own_session(gateway), own_session(gateway)
        child = gateway.launcher.children[0]
        ears = gateway.listen(one)
        child.say(question(0, "elicitation/create", message="?"))
        (asked,) = events(ears)
        answer = {"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "accept"}}
        seen = len(child.received)
        for client in (two, gateway.session()):
            assert client.ask(answer).status == 202
        assert len(child.received) == seen
        for _ in range(2):
            assert one.ask(answer).status == 202
        assert child.received[seen:] == [{**answer, "id": 0}]

    def test_it_waits_for_a_stream(self, gateway: MemoryGateway) -> None:
        """A question that comes before GET is kept; one that is never heard is given up."""
        one, two = own_session(gateway), own_session(gateway)
        first, second = gateway.launcher.children
        first.say(question(1, "roots/list"))
        second.say(question(1, "roots/list"))
        gateway.tick(50)
        assert methods(gateway.listen(one)) == ["roots/list"]
        gateway.tick(20)
        assert second.received[-1]["error"]["code"] == -32001
        assert methods(gateway.listen(two)) == []
        assert first.asked("initialize")
        assert "error" not in first.received[-1]

    def test_what_was_not_offered(self, gateway: MemoryGateway) -> None:
        """A client is never asked for what it did not declare."""
        one = own_session(gateway, elicitation={}, sampling={})
        two = own_session(gateway, roots={})
        first, second = gateway.launcher.children
        ears = [gateway.listen(one), gateway.listen(two)]
        asked = [
            (first, question(1, "roots/list"), -32601),
            (first, question(2, "elicitation/create", mode="url", url="x", elicitationId="e"), -32602),
            (first, question(3, "sampling/createMessage", tools=[]), -32602),
            (second, question(4, "sampling/createMessage"), -32601),
        ]
        for child, said, code in asked:
            child.say(said)
            assert (child.received[-1]["id"], child.received[-1]["error"]["code"]) == (said["id"], code)
        assert [methods(each) for each in ears] == [[], []]
        first.say(question(5, "elicitation/create", mode="form"))
        assert methods(ears[0]) == ["elicitation/create"]

    def test_a_shared_child_is_refused(self, gateway: MemoryGateway) -> None:
        """The question of a shared child is refused where its session cannot be known."""
        one, two = gateway.session(), gateway.session()
        one.call(1)
        ears = gateway.listen(two)
        gateway.child.say(question(9, "elicitation/create", message="?"))
        assert gateway.child.received[-1]["error"]["code"] == -32601
        assert one.heard is None
        assert methods(ears) == []

    def test_ping(self, gateway: MemoryGateway) -> None:
        """A server's ping is answered here, whoever is connected."""
        one, two = gateway.session(), own_session(gateway)
        for child, client in zip(gateway.launcher.children, (one, two), strict=True):
            ears = gateway.listen(client)
            child.say({"jsonrpc": "2.0", "id": "p", "method": "ping"})
            assert child.received[-1] == {"jsonrpc": "2.0", "id": "p", "result": {}}
            assert methods(ears) == []

    def test_taken_back(self, gateway: MemoryGateway) -> None:
        """A server's cancellation reaches the client that was asked, under the id it knows."""
        one, two = own_session(gateway), own_session(gateway)
        first, second = gateway.launcher.children
        ears = [gateway.listen(one), gateway.listen(two)]
        for child in (first, second):
            child.say(question(1, "elicitation/create", message="?"))
        first.say(note("notifications/cancelled", requestId=1, reason="never mind"))
        asked, cancelled = events(ears[0])
        assert cancelled["params"] == {"requestId": asked["id"], "reason": "never mind"}
        assert methods(ears[1]) == ["elicitation/create"]
        seen = len(first.received)
        one.ask({"jsonrpc": "2.0", "id": asked["id"], "result": {}})
        assert len(first.received) == seen

    def test_taken_back_unheard(self, gateway: MemoryGateway) -> None:
        """A question that was taken back before the client listened is never shown."""
        one, _ = own_session(gateway), own_session(gateway)
        child = gateway.launcher.children[0]
        child.say(question(1, "elicitation/create", message="?"))
        child.say(note("notifications/cancelled", requestId=1))
        assert methods(gateway.listen(one)) == []

    def test_a_child_that_dies(self, gateway: MemoryGateway) -> None:
        """The client of a child that dies learns that its answer is awaited no more."""
        one, two = own_session(gateway), own_session(gateway)
        ears = [gateway.listen(one), gateway.listen(two)]
        gateway.launcher.children[0].say(question(1, "elicitation/create", message="?"))
        gateway.launcher.children[0].exit(1)
        assert methods(ears[0]) == ["elicitation/create", "notifications/cancelled"]
        assert methods(ears[1]) == []

    def test_a_client_that_goes(self, gateway: MemoryGateway) -> None:
        """A session that ends answers what it was asked: an elicitation is cancelled, the rest is an error."""
        one, two = own_session(gateway), own_session(gateway)
        first, second = gateway.launcher.children
        received = first.received
        first.say(question(1, "elicitation/create", message="?"))
        first.say(question(2, "roots/list"))
        second.say(question(1, "roots/list"))
        one.ask(b"", "DELETE")
        assert {"jsonrpc": "2.0", "id": 1, "result": {"action": "cancel"}} in received
        assert received[-1]["error"]["code"] == -32000
        assert "error" not in second.received[-1]
        assert methods(gateway.listen(two)) == ["roots/list"]

    def test_progress_of_an_answer(self, gateway: MemoryGateway) -> None:
        """Progress of a client on a question reaches its own child; progress of other clients reaches none."""
        one, two, three = own_session(gateway), own_session(gateway), gateway.session()
        first, second, shared = gateway.launcher.children
        gateway.listen(one)
        first.say(question(1, "sampling/createMessage", _meta={"progressToken": "t"}))
        progress = note("notifications/progress", progressToken="t", progress=1)
        for client in (one, two, three):
            assert client.ask(progress).status == 202
        assert first.asked("notifications/progress") == [progress]
        assert not second.asked("notifications/progress")
        assert not shared.asked("notifications/progress")

    def test_roots_changed(self, gateway: MemoryGateway) -> None:
        """A client's roots concern its own child only."""
        one, two, three = own_session(gateway), own_session(gateway), gateway.session()
        changed = {"jsonrpc": "2.0", "method": "notifications/roots/list_changed"}
        one.ask(changed)
        three.ask(changed)
        heard = [len(child.asked(changed["method"])) for child in gateway.launcher.children]
        assert heard == [1, 0, 0]
        assert two.ask({"jsonrpc": "2.0", "id": 1, "method": "ping"}).status == 200

    def test_told_to_ask_nothing(self) -> None:
        """A server marked as not interactive is told of no capabilities, even with a child per session."""
        silent = ServerSpec("silent", ("run",), {}, "/", share=Share.SESSION, interactive=False)
        gateway = MemoryGateway(more=(silent,))
        for name, offered in (("silent", {}), ("own", ASKABLE)):
            client = gateway.client(name)
            client.initialize(protocolVersion="2025-06-18", capabilities=ASKABLE)
            assert gateway.child.asked("initialize")[0]["params"]["capabilities"] == offered


class TaskTests:
    """tasks/*, and what names a task."""

    def begin(self, gateway: MemoryGateway, client: Client, task: str, token: Any = None) -> None:
        """Let a client begin a task."""
        meta = {"_meta": {"progressToken": token}} if token is not None else {}
        client.call(1, task={"ttl": 1}, **meta)
        gateway.child.answer(gateway.child.asked("tools/call")[-1], {"task": {"taskId": task}})

    def test_nobody_else_reaches_it(self, gateway: MemoryGateway) -> None:
        """A task is its session's own: to get, to wait for, to cancel, and to see in the list."""
        one, two = gateway.session(), gateway.session()
        self.begin(gateway, one, "t1")
        self.begin(gateway, two, "t2")
        for method in ("tasks/get", "tasks/result", "tasks/cancel"):
            two.call(2, method, taskId="t1")
            assert two.heard is not None
            assert two.heard.json["error"] == {"code": -32602, "message": "Task not found"}
            one.call(2, method, taskId="t1")
            gateway.child.answer(gateway.child.asked(method)[0], {"mine": True})
            assert one.heard is not None
            assert one.heard.json["result"] == {"mine": True}
        for client, task in ((one, "t1"), (two, "t2")):
            client.call(3, "tasks/list")
            tasks = {"tasks": [{"taskId": "t1"}, {"taskId": "t2"}, {"taskId": "t0"}], "nextCursor": "c"}
            gateway.child.answer(gateway.child.asked("tasks/list")[-1], tasks)
            assert client.heard is not None
            assert client.heard.json["result"] == {"tasks": [{"taskId": task}], "nextCursor": "c"}

    def test_its_status(self, gateway: MemoryGateway) -> None:
        """The status of a task is told to its owner on GET."""
        one, two = gateway.session(), gateway.session()
        self.begin(gateway, one, "t1")
        ears = [gateway.listen(one), gateway.listen(two)]
        gateway.child.say(note("notifications/tasks/status", taskId="t1", status="working"))
        gateway.child.say(note("notifications/tasks/status", taskId="t9", status="working"))
        assert [methods(each) for each in ears] == [["notifications/tasks/status"], []]

    def test_its_progress(self, gateway: MemoryGateway) -> None:
        """The token of the call that began a task stays good after its answer."""
        one, two = gateway.session(), gateway.session()
        self.begin(gateway, one, "t1", "mine")
        self.begin(gateway, two, "t2", "mine")
        number = gateway.child.asked("tools/call")[0]["id"]
        ears = [gateway.listen(one), gateway.listen(two)]
        gateway.child.say(note("notifications/progress", progressToken=number, progress=1))
        gateway.child.say(note("notifications/progress", progressToken=999, progress=1))
        assert [event["params"]["progressToken"] for event in events(ears[0])] == ["mine"]
        assert events(ears[1]) == []

    def test_what_belongs_to_it(self, gateway: MemoryGateway) -> None:
        """A message that names its task reaches the task's owner, even a question of a shared child."""
        one, two = gateway.client(), gateway.client()
        for each in (one, two):
            each.initialize(protocolVersion="2025-11-25", capabilities=ASKABLE)
        self.begin(gateway, one, "t1")
        ears = [gateway.listen(one), gateway.listen(two)]
        meta = {"io.modelcontextprotocol/related-task": {"taskId": "t1"}}
        two.call(5)  # whoever has a call under way would hear what names nobody
        gateway.child.say(question(1, "elicitation/create", message="?", _meta=meta))
        gateway.child.say(note("notifications/strange", _meta=meta))
        gateway.child.say(note("notifications/message", level="info", data="x", _meta=meta))
        assert methods(ears[0]) == ["elicitation/create", "notifications/strange", "notifications/message"]
        assert methods(ears[1]) == []
        assert two.heard is None

    def test_numbers_of_another_child(self, gateway: MemoryGateway) -> None:
        """A new child's calls have the numbers of the old one's: their progress is nobody's of before."""
        one, two = gateway.session(), gateway.session()
        self.begin(gateway, one, "t1", "mine")
        number = gateway.child.asked("tools/call")[0]["id"]
        ears = gateway.listen(one)
        gateway.child.exit(1)
        while not gateway.child.asked("tools/call") or gateway.child.asked("tools/call")[-1]["id"] < number:
            two.call(2)
        gateway.child.answer(gateway.child.asked("tools/call")[-1], {})
        gateway.child.say(note("notifications/progress", progressToken=number, progress=1))
        assert "notifications/progress" not in methods(ears)


class AnonymousTests:
    """Requests without a session, which may be those of several clients."""

    def test_nobody_cancels_for_another(self, gateway: MemoryGateway) -> None:
        """A cancellation without a session cancels nothing: both clients may have counted from 1."""
        one, two = gateway.client(), gateway.client()
        one.call(1)
        assert two.ask(note("notifications/cancelled", requestId=1)).status == 202
        assert gateway.child.asked("notifications/cancelled") == []
        gateway.child.answer(gateway.child.asked("tools/call")[0], {"fine": True})
        assert one.heard is not None
        assert one.heard.json["result"] == {"fine": True}

    def test_what_may_be_anothers(self, gateway: MemoryGateway) -> None:
        """A log message is for the only one that has a call under way; of several nobody hears it."""
        one, two = gateway.client(), gateway.client()
        one.call(1)
        gateway.child.say(note("notifications/message", level="info", data="one's"))
        two.call(1)
        gateway.child.say(note("notifications/message", level="info", data="somebody's"))
        for request in gateway.child.asked("tools/call"):
            gateway.child.answer(request, {})
        assert one.heard is not None
        assert two.heard is not None
        assert methods(one) == ["notifications/message", None]
        assert two.heard.json["result"] == {}

    def test_an_empty_id(self, gateway: MemoryGateway) -> None:
        """A header without a value is none."""
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        client = gateway.client()
        head = "POST /shared/mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nMcp-Session-Id:\r\n"
        body = json.dumps(ping)
        client.channel.dataReceived(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        assert client.heard is not None
        assert (client.heard.status, client.heard.json["result"]) == (200, {})


class AbandonedTests:
    """Calls whose clients have gone."""

    def abandon(self, gateway: MemoryGateway, revision: str) -> Client:
        """A session whose client has left one call."""
        client = gateway.client("own")
        client.initialize(protocolVersion=revision, capabilities=ASKABLE)
        client.call(1, _meta={"progressToken": 1})
        token = gateway.child.asked("tools/call")[0]["params"]["_meta"]["progressToken"]
        gateway.child.say(note("notifications/progress", progressToken=token, progress=1))
        client.channel.connectionLost(None)  # type: ignore[arg-type]
        return client

    @pytest.mark.parametrize("revision", ["2025-06-18", "2025-11-25"])
    def test_what_is_said_meanwhile(self, gateway: MemoryGateway, revision: str) -> None:
        """Questions and log messages go where somebody listens; only the call's own progress waits for its client."""
        client = self.abandon(gateway, revision)
        ears = gateway.listen(client)
        gateway.child.say(note("notifications/message", level="info", data="x"))
        gateway.child.say(question("q", "roots/list"))
        assert methods(ears) == ["notifications/message", "roots/list"]

    @pytest.mark.parametrize("revision", ["2025-06-18", "2025-11-25"])
    def test_cancelled_in_the_end(self, gateway: MemoryGateway, revision: str) -> None:
        """For five minutes its client may come back; then the child is told to stop."""
        client = self.abandon(gateway, revision)
        assert gateway.dispatcher.calls.awaited() == 0
        gateway.tick(ABANDONED_TICKS)
        assert gateway.child.asked("notifications/cancelled") == []
        gateway.tick(2 * ABANDONED_STEP_TICKS)
        (cancelled,) = gateway.child.asked("notifications/cancelled")
        assert cancelled["params"]["requestId"] == gateway.child.asked("tools/call")[0]["id"]
        assert len(gateway.dispatcher.calls) == 0
        assert client.headers["Mcp-Session-Id"]

    def test_one_that_is_waited_for(self, gateway: MemoryGateway) -> None:
        """A call whose client waits is never taken back, nor one whose client has come back for it."""
        one = gateway.session()
        one.call(1)
        two = self.abandon(gateway, "2025-11-25")
        place = two.transport.taken.split(b"id: ")[-1].split(b"\n")[0].decode()
        gateway.tick(ABANDONED_TICKS)
        again = gateway.listen(two, Last_Event_ID=place)
        gateway.tick(2 * ABANDONED_TICKS)
        assert gateway.dispatcher.calls.awaited() == 2
        assert [each.asked("notifications/cancelled") for each in gateway.launcher.children] == [[], []]
        assert not again.transport.taken.endswith(b"0\r\n\r\n")

    def test_too_many_of_one_session(self, gateway: MemoryGateway) -> None:
        """The calls of one session leave room for those of others."""
        greedy, other = gateway.session(), gateway.session()
        more = gateway.client(**greedy.headers)
        for nth in range(SESSION_CALLS_LIMIT):
            more = gateway.client(**greedy.headers)
            more.call(nth)
        assert more.heard is None
        more = gateway.client(**greedy.headers)
        more.call(SESSION_CALLS_LIMIT)
        assert more.heard is not None
        assert "of this session are under way already" in more.heard.json["error"]["message"]
        other.call(1)
        gateway.child.answer(gateway.child.asked("tools/call")[-1], {"fine": True})
        assert other.heard is not None
        assert other.heard.json["result"] == {"fine": True}


class ElicitationTests:
    """notifications/elicitation/complete."""

    def test_to_whoever_was_sent_there(self, gateway: MemoryGateway) -> None:
        """A client that an error sent to a URL learns that it is done there; nobody else does."""
        one, two = gateway.session(), gateway.session()
        ears = [gateway.listen(one), gateway.listen(two)]
        one.call(1)
        data = {"elicitations": [{"mode": "url", "elicitationId": "e1", "url": "https://x", "message": "m"}]}
        error = {"code": -32042, "message": "URL elicitation required", "data": data}
        request = gateway.child.asked("tools/call")[0]
        gateway.child.say({"jsonrpc": "2.0", "id": request["id"], "error": error})
        assert one.heard is not None
        assert one.heard.json["error"] == error
        gateway.child.say(note("notifications/elicitation/complete", elicitationId="e1"))
        gateway.child.say(note("notifications/elicitation/complete", elicitationId="e2"))
        assert methods(ears[0]) == ["notifications/elicitation/complete"]
        assert methods(ears[1]) == []

    @pytest.mark.parametrize("data", [None, 7, {}, {"elicitations": 7}, {"elicitations": [7, {}]}])
    def test_odd_errors(self, gateway: MemoryGateway, data: Any) -> None:
        """An error that only looks like one is passed on as it is."""
        one, two = gateway.session(), gateway.session()
        for client in (one, two):
            client.call(1)
        error = {"code": -32042, "message": "m", "data": data}
        for request in gateway.child.asked("tools/call"):
            gateway.child.say({"jsonrpc": "2.0", "id": request["id"], "error": error})
        for client in (one, two):
            assert client.heard is not None
            assert client.heard.json["error"] == error


class OtherTests:
    """Messages that have no row of their own."""

    def test_unknown_notifications(self, gateway: MemoryGateway) -> None:
        """Unknown notifications reach the clients with calls under way, else all."""
        one, two = gateway.session(), gateway.session()
        ears = [gateway.listen(one), gateway.listen(two)]
        gateway.child.say(note("notifications/strange"))
        assert [methods(each) for each in ears] == [["notifications/strange"]] * 2
        one.call(1)
        gateway.child.say(note("notifications/strange"))
        gateway.child.answer(gateway.child.asked("tools/call")[0], {})
        assert methods(one) == ["notifications/strange", None]
        assert [len(events(each)) for each in ears] == [1, 1]

    def test_unknown_requests(self, gateway: MemoryGateway) -> None:
        """A method that nobody knows is the server's to refuse; its refusal is a good HTTP answer."""
        one, two = gateway.session(), gateway.session()
        for client in (one, two):
            client.call("x", "no/such/method")
        for request in reversed(gateway.child.asked("no/such/method")):
            error = {"code": -32601, "message": f"for {request['id']}"}
            gateway.child.say({"jsonrpc": "2.0", "id": request["id"], "error": error})
        for client, request in zip((one, two), gateway.child.asked("no/such/method"), strict=True):
            assert client.heard is not None
            assert client.heard.status == 200
            assert client.heard.json["error"]["message"] == f"for {request['id']}"

    def test_completion(self, gateway: MemoryGateway) -> None:
        """completion/complete is a request like any other."""
        one, two = gateway.session(), gateway.session()
        for client in (one, two):
            client.call(3, "completion/complete", argument={"name": "a", "value": str(id(client))})
        for request in reversed(gateway.child.asked("completion/complete")):
            gateway.child.answer(request, {"for": request["params"]["argument"]["value"]})
        for client in (one, two):
            assert client.heard is not None
            assert client.heard.json["result"] == {"for": str(id(client))}

    def test_an_error_without_an_id(self, gateway: MemoryGateway) -> None:
        """An error without an id can only be of the one call under way; of several, it is of none."""
        one, two = gateway.session(), gateway.session()
        lost = {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "what?"}}
        one.call(1)
        two.call(1)
        gateway.child.say(lost)
        assert one.heard is None
        gateway.child.answer(gateway.child.asked("tools/call")[0], {})
        gateway.child.say(lost)
        assert two.heard is not None
        assert two.heard.json == {**lost, "id": 1}

    def test_a_new_child_of_its_own(self, gateway: MemoryGateway) -> None:
        """A child that is replaced gets its own client's handshake again; that client hears of it, no other does."""
        one, two = own_session(gateway), own_session(gateway)
        ears = [gateway.listen(one), gateway.listen(two)]
        gateway.launcher.children[0].exit(1)
        one.call(1)
        assert gateway.child.asked("initialize")[0]["params"]["capabilities"] == ASKABLE
        assert methods(ears[0]) == [LISTS[0]]
        assert methods(ears[1]) == []


def test_the_server_of_these_tests_declares_what_they_need() -> None:
    """The tools of the server of these tests may change, and it has levels."""
    assert HELLO["capabilities"]["tools"] == {"listChanged": True}
