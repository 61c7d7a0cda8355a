"""The road of a message, from HTTP bytes in front to a child's stdin behind, and back; no socket, no process."""

from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from mcpgateway.backends.conversation import GARBAGE_LIMIT
from mcpgateway.config.gateway_settings import Limits
from mcpgateway.policy.access import AccessPolicy
from tests.support.gateway_in_memory import Client, MemoryGateway


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with one shared and one stateful server."""
    return MemoryGateway()


class SessionTests:
    """Beginning and ending a session."""

    def test_one_handshake_for_all(self, gateway: MemoryGateway) -> None:
        """A shared child is started once and shakes hands once, whatever its clients ask for."""
        versions = []
        for asked in ("2024-11-05", "2025-06-18", "2099-01-01", None):
            params = {"protocolVersion": asked} if asked else {}
            answer = gateway.client().initialize(**params, capabilities={"sampling": {}})
            versions.append(answer.json["result"]["protocolVersion"])
            assert answer.json["id"] == 0
            assert "tasks" in answer.json["result"]["capabilities"]
        assert versions == ["2024-11-05", "2025-06-18", "2025-11-25", "2025-11-25"]
        assert len(gateway.launcher.children) == 1
        (handshake,) = gateway.child.asked("initialize")
        assert handshake["params"]["capabilities"] == {"sampling": {}}
        assert len(gateway.child.asked("notifications/initialized")) == 1

    def test_many_wait_for_one_start(self, gateway: MemoryGateway) -> None:
        """A hundred clients that come at once wait for the same child."""
        gateway.launcher.hello = None
        clients = [gateway.client() for _ in range(100)]
        for number, client in enumerate(clients):
            client.call(number, "initialize")
            assert client.heard is None
        (handshake,) = gateway.child.asked("initialize")
        gateway.child.answer(handshake, {"protocolVersion": "2025-11-25", "capabilities": {}})
        answers = [client.heard for client in clients]
        assert [answer.json["id"] for answer in answers if answer] == list(range(100))
        assert len({answer.headers["mcp-session-id"] for answer in answers if answer}) == 100

    def test_a_child_each(self, gateway: MemoryGateway) -> None:
        """A stateful server has a child per session, which ends with it."""
        one, two = gateway.session("own"), gateway.session("own")
        assert len(gateway.launcher.children) == 2
        one.call(1)
        assert gateway.launcher.children[0].asked("tools/call")
        assert not gateway.launcher.children[1].asked("tools/call")
        assert two.ask(b"", "DELETE").json == {"ok": True}
        assert len(list(gateway.dispatcher.pool)) == 1

    def test_its_own_name_reaches_its_child(self, gateway: MemoryGateway) -> None:
        """A child of one session sees that client's name and revision."""
        gateway.client("own").initialize(
            protocolVersion="2025-03-26", clientInfo={"name": "me", "version": "7"}
        )
        (handshake,) = gateway.child.asked("initialize")
        assert handshake["params"]["clientInfo"] == {"name": "me", "version": "7"}
        assert handshake["params"]["protocolVersion"] == "2025-03-26"

    def test_delete(self, gateway: MemoryGateway) -> None:
        """After DELETE the id is unknown."""
        client = gateway.session()
        assert client.ask(b"", "DELETE").status == 200
        answer = client.ask({"jsonrpc": "2.0", "id": 1, "method": "ping"})
        assert (answer.status, answer.json["error"]["code"]) == (404, -32001)
        assert client.ask(b"", "DELETE").status == 404
        client.headers.clear()
        assert client.ask(b"", "DELETE").json == {"ok": True}

    def test_foreign_ids(self, gateway: MemoryGateway) -> None:
        """An id opens nothing at another server, and for nobody but its principal."""
        one = gateway.session()
        stranger = gateway.client("own", **one.headers)
        assert stranger.ask({"jsonrpc": "2.0", "id": 1, "method": "ping"}).status == 404
        other = gateway.client("shared", **one.headers, Authorization="Bearer bearer-token")
        assert other.ask({"jsonrpc": "2.0", "id": 1, "method": "ping"}).status == 404
        assert one.ask({"jsonrpc": "2.0", "id": 1, "method": "ping"}).json == {
            "jsonrpc": "2.0",
            "id": 1,
            "result": {},
        }

    def test_without_an_id(self, gateway: MemoryGateway) -> None:
        """A shared server serves requests without a session, a stateful one refuses them."""
        client = gateway.client()
        client.call(5)
        gateway.child.answer(gateway.child.asked("tools/call")[0], {"x": 1})
        assert client.heard is not None
        assert client.heard.json == {"jsonrpc": "2.0", "id": 5, "result": {"x": 1}}
        answer = gateway.client("own").ask({"jsonrpc": "2.0", "id": 5, "method": "tools/list"})
        assert (answer.status, answer.json["id"]) == (400, 5)

    def test_bound(self) -> None:
        """A session beyond the limit parks the quietest one, which comes back with its next request."""
        gateway = MemoryGateway(limits=Limits(sessions=3))
        clients = [gateway.session() for _ in range(3)]
        gateway.tick()
        for client in clients[1:]:
            client.ask({"jsonrpc": "2.0", "id": 1, "method": "ping"})
        gateway.session()
        in_use = [gateway.sessions.named(client.headers["Mcp-Session-Id"].encode()) for client in clients]
        assert [session is not None for session in in_use] == [False, True, True]
        for client in clients:
            assert client.ask({"jsonrpc": "2.0", "id": 2, "method": "ping"}).status == 200
        assert len(gateway.sessions) == 3

    def test_initialize_on_a_live_session(self, gateway: MemoryGateway) -> None:
        """A second initialize begins a new session and leaves the first alone."""
        client = gateway.session()
        first = client.headers["Mcp-Session-Id"]
        client.initialize()
        assert client.headers["Mcp-Session-Id"] != first
        client.headers["Mcp-Session-Id"] = first
        assert client.ask({"jsonrpc": "2.0", "id": 1, "method": "ping"}).status == 200


class RoutingTests:
    """Every answer to the one client it belongs to."""

    def test_colliding_ids(self, gateway: MemoryGateway) -> None:
        """Clients may all count from 0, in numbers and in strings; answers come out of order and to the right one."""
        clients = [gateway.session() for _ in range(6)]
        ids: list[Any] = [0, "0", 0, 1, "1", 2**70]
        for client, identifier in zip(clients, ids, strict=True):
            client.call(identifier, arguments={"text": str(id(client))})
        for request in reversed(gateway.child.asked("tools/call")):
            gateway.child.answer(request, request["params"]["arguments"]["text"])
        for client, identifier in zip(clients, ids, strict=True):
            assert client.heard is not None
            assert client.heard.json == {"jsonrpc": "2.0", "id": identifier, "result": str(id(client))}

    @pytest.mark.parametrize("token", [0, 1, "0", "t\u00e9", 2**60])
    def test_progress(self, gateway: MemoryGateway, token: Any) -> None:
        """Progress reaches the caller whose token it is, before the answer, with the token as it was."""
        one, two = gateway.session(), gateway.session()
        for client in (one, two):
            client.call(1, _meta={"progressToken": token})
        first, second = gateway.child.asked("tools/call")
        tokens = [request["params"]["_meta"]["progressToken"] for request in (first, second)]
        assert tokens == [first["id"], second["id"]]
        params = {"progressToken": tokens[1], "progress": 0.5}
        gateway.child.say({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
        gateway.child.answer(second, "done")
        gateway.child.say({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
        gateway.child.answer(first, "done")
        assert one.heard is not None
        assert one.heard.json["result"] == "done"
        assert two.heard is not None
        assert two.heard.headers["content-type"] == "text/event-stream"
        progress, answer = two.heard.events
        assert progress["params"] == {"progressToken": token, "progress": 0.5}
        assert answer == {"jsonrpc": "2.0", "id": 1, "result": "done"}

    def test_crossed_cancels(self, gateway: MemoryGateway) -> None:
        """A client cancels its own call only, whatever the others call theirs."""
        clients = [gateway.session() for _ in range(3)]
        for client in clients:
            client.call(7)
        second = Client(gateway.factory.buildProtocol(None), "/shared/mcp", dict(clients[1].headers))
        note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
        assert second.ask(note).status == 202
        requests = gateway.child.asked("tools/call")
        (cancelled,) = gateway.child.asked("notifications/cancelled")
        assert cancelled["params"]["requestId"] == requests[1]["id"]
        for request in requests:
            gateway.child.answer(request, "late")
        heard = [client.heard.json for client in clients if client.heard]
        assert [answer.get("result") for answer in heard] == ["late", None, "late"]
        assert heard[1]["error"]["code"] == -32800
        for unknown in (7, "7", 8, None, 1.5):
            assert second.ask({**note, "params": {"requestId": unknown}}).status == 202
        assert len(gateway.child.asked("notifications/cancelled")) == 1

    def test_who_has_it(self, gateway: MemoryGateway) -> None:
        """A request names the part that has it, which alone is asked to take it back; once it has, there is none."""
        gateway.session("own").call(7)
        gateway.session().call(7)
        (slot,) = (each for each in gateway.dispatcher.pool if each.server.name == "shared")
        (request,) = slot.calls()
        assert request.holder is slot
        assert request.withdraw("not needed")
        assert not request.withdraw("not needed")
        (cancelled,) = gateway.child.asked("notifications/cancelled")
        assert cancelled["params"]["reason"] == "not needed"
        assert len(gateway.dispatcher.calls) == 1

    def test_log_messages(self, gateway: MemoryGateway) -> None:
        """A log message goes to whoever has a call under way and wants to hear it; nobody else is disturbed."""
        one, two, three = (gateway.session() for _ in range(3))
        say = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x"}}
        gateway.child.say(say)
        two.ask({"jsonrpc": "2.0", "id": 1, "method": "ping"})
        level = {"jsonrpc": "2.0", "id": 2, "method": "logging/setLevel", "params": {"level": "error"}}
        two.send(level)
        gateway.child.answer(gateway.child.asked("logging/setLevel")[0], {})
        one.call(1)
        two.call(1)
        gateway.child.say(say)
        for request in gateway.child.asked("tools/call"):
            gateway.child.answer(request, {})
        assert one.heard is not None
        assert [message.get("method") for message in one.heard.events] == ["notifications/message", None]
        assert two.heard is not None
        assert two.heard.headers["content-type"] == "application/json"
        assert three.transport.taken.count(b"HTTP/1.1") == 1

    def test_levels(self, gateway: MemoryGateway) -> None:
        """The server is set to the most verbose level asked for, and is told again after a respawn."""
        clients = [gateway.session() for _ in range(3)]
        for client, level in zip(clients, ("error", "debug", "warning"), strict=True):
            client.call(1, "logging/setLevel", level=level)
            for request in gateway.child.asked("logging/setLevel"):
                gateway.child.answer(request, {})
            assert client.heard is not None
            assert client.heard.json == {"jsonrpc": "2.0", "id": 1, "result": {}}
        sent = [request["params"]["level"] for request in gateway.child.asked("logging/setLevel")]
        assert sent == ["debug"]
        clients[0].call(2, "logging/setLevel", level="loud")
        assert clients[0].heard is not None
        assert clients[0].heard.json["error"]["code"] == -32602
        gateway.child.exit()
        clients[0].call(3)
        assert gateway.child.asked("logging/setLevel")[0]["params"]["level"] == "debug"

    def test_unknown_methods_and_members_pass(self, gateway: MemoryGateway) -> None:
        """Methods and members that the gateway does not know pass, there and back, as they are."""
        client = gateway.session()
        client.send(
            b'{"jsonrpc":"2.0","id":1,"method":"x/y","params":{"n":1.10,"_meta":{"a":1E5}},"extra":[1.0]}'
        )
        (request,) = gateway.child.asked("x/y")
        assert request["params"] == {"n": 1.1, "_meta": {"a": 100000.0}}
        assert request["extra"] == [1.0]
        gateway.child.say(
            {"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32601, "message": "no", "data": 1}}
        )
        assert client.heard is not None
        assert client.heard.status == 200
        assert client.heard.json["error"] == {"code": -32601, "message": "no", "data": 1}

    def test_a_question_of_a_shared_server(self, gateway: MemoryGateway) -> None:
        """A shared server that asks something is told that nobody can answer; its ping is answered here."""
        client = gateway.session()
        client.call(1)
        for method in ("ping", "roots/list", "sampling/createMessage", "elicitation/create"):
            gateway.child.say({"jsonrpc": "2.0", "id": method, "method": method})
        replies = {message["id"]: message for message in gateway.child.received if "method" not in message}
        assert replies["ping"]["result"] == {}
        assert {replies[m]["error"]["code"] for m in replies if m != "ping"} == {-32601}
        assert client.heard is None

    def test_responses_and_notifications(self, gateway: MemoryGateway) -> None:
        """A message that asks for no answer gets 202 without a body."""
        client = gateway.session()
        for message in (
            {"jsonrpc": "2.0", "method": "notifications/initialized"},
            {"jsonrpc": "2.0", "method": "notifications/anything", "params": {}},
            {"jsonrpc": "2.0", "id": 9, "result": {}},
            {"jsonrpc": "2.0", "id": 9, "error": {"code": 1, "message": ""}},
        ):
            answer = client.ask(message)
            assert (answer.status, answer.body) == (202, b"")
        assert len(gateway.child.received) == 2


class DeferralTests:
    """JSON or SSE."""

    def test_a_slow_call_becomes_a_stream(self, gateway: MemoryGateway) -> None:
        """After 30 s the headers of a stream go out, then comments, then the answer."""
        client = gateway.session()
        client.call(1)
        gateway.tick(29)
        assert client.heard is None
        gateway.tick(1)
        assert client.heard is not None
        assert client.heard.headers["content-type"] == "text/event-stream"
        gateway.tick(30)
        gateway.child.answer(gateway.child.asked("tools/call")[0], "at last")
        assert client.heard.body.count(b": ping") == 3
        assert client.heard.events == [{"jsonrpc": "2.0", "id": 1, "result": "at last"}]
        assert client.heard.body.endswith(b"0\r\n\r\n")
        assert client.ask({"jsonrpc": "2.0", "id": 2, "method": "ping"}).status == 200

    def test_json_only(self, gateway: MemoryGateway) -> None:
        """A client that takes only JSON is never given a stream."""
        client = gateway.session()
        client.headers["Accept"] = "application/json"
        client.call(1, _meta={"progressToken": 1})
        (request,) = gateway.child.asked("tools/call")
        params = {"progressToken": request["id"], "progress": 1}
        gateway.child.say({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
        gateway.tick(60)
        gateway.child.answer(request, {})
        assert client.heard is not None
        assert client.heard.json == {"jsonrpc": "2.0", "id": 1, "result": {}}

    def test_sse_only(self, gateway: MemoryGateway) -> None:
        """A client that takes only a stream gets its answer in one."""
        client = gateway.session()
        client.headers["Accept"] = "text/event-stream"
        client.call(1)
        gateway.child.answer(gateway.child.asked("tools/call")[0], {})
        assert client.heard is not None
        assert client.heard.events == [{"jsonrpc": "2.0", "id": 1, "result": {}}]

    def test_a_large_answer_stays_json(self, gateway: MemoryGateway) -> None:
        """A megabyte comes as JSON, whole."""
        client = gateway.session()
        client.call(1)
        gateway.child.answer(gateway.child.asked("tools/call")[0], "x" * 2**20)
        assert client.heard is not None
        assert len(client.heard.json["result"]) == 2**20


class RefusalTests:
    """The table of refusals."""

    @pytest.mark.parametrize(
        ("headers", "body", "status", "code"),
        [
            ({"Accept": "text/html"}, b"{}", 406, -32000),
            ({"Content_Type": "text/plain"}, b"{}", 415, -32000),
            ({"Content_Type": ""}, b"{}", 415, -32000),
            ({}, b"{", 400, -32700),
            ({}, b"[]", 400, -32600),
            (
                {"MCP_Protocol_Version": "2025-06-18"},
                b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]',
                400,
                -32600,
            ),
            ({}, b'{"jsonrpc":"2.0","id":null,"method":"ping"}', 400, -32600),
            (
                {"MCP_Protocol_Version": "1999-01-01"},
                b'{"jsonrpc":"2.0","id":1,"method":"ping"}',
                400,
                -32000,
            ),
            ({"MCP_Protocol_Version": "2024-11-05"}, b'{"jsonrpc":"2.0","id":1,"method":"ping"}', 200, 0),
            ({"Mcp_Session_Id": "nonsense"}, b'{"jsonrpc":"2.0","id":1,"method":"ping"}', 404, -32001),
            ({"Host": "evil.example"}, b"{}", 403, -32000),
            ({"Origin": "http://evil.example"}, b"{}", 403, -32000),
            (
                {"Content_Type": "application/json; charset=utf-8"},
                b'{"jsonrpc":"2.0","id":1,"method":"ping"}',
                200,
                0,
            ),
        ],
    )
    def test_posts(
        self, gateway: MemoryGateway, headers: dict[str, str], body: bytes, status: int, code: int
    ) -> None:
        """Each fault has its status and its JSON-RPC error."""
        answer = gateway.client().ask(body, **headers)
        assert answer.status == status
        assert answer.json.get("error", {"code": 0})["code"] == code

    @pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS"])
    def test_methods(self, gateway: MemoryGateway, method: str) -> None:
        """Only GET, POST and DELETE are served."""
        answer = gateway.client().ask(b"", method)
        assert answer.status == 405
        assert answer.headers["allow"] == "get, post, delete"

    @pytest.mark.parametrize("path", ["/nobody/mcp", "/mcp/nobody"])
    def test_unknown_server(self, gateway: MemoryGateway, path: str) -> None:
        """An unknown server is named in the answer."""
        answer = gateway.client().ask({"jsonrpc": "2.0", "id": 1, "method": "ping"}, path=path)
        assert answer.status == 404
        assert answer.json == {
            "jsonrpc": "2.0",
            "id": None,
            "error": {"code": -32601, "message": "Unknown server: nobody"},
        }

    def test_both_addresses(self, gateway: MemoryGateway) -> None:
        """A server is served under both of its paths."""
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        assert gateway.client().ask(ping, path="/mcp/shared").status == 200
        assert gateway.client().ask(ping, path="/sh%61red/mcp").status == 200

    def test_too_large(self) -> None:
        """A body beyond the limit is refused."""
        gateway = MemoryGateway(limits=Limits(body_bytes=100))
        assert gateway.client().ask(b"x" * 101).status == 413

    @pytest.mark.parametrize(
        "path",
        ["/.well-known/oauth-protected-resource", "/shared/mcp/.well-known/x", "/register", "/nothing"],
    )
    def test_nothing_there(self, gateway: MemoryGateway, path: str) -> None:
        """A path that is not declared is 404, in JSON."""
        for method in ("GET", "POST", "DELETE"):
            answer = gateway.client().ask(b"", method, path)
            assert (answer.status, answer.json["error"]) == (404, "Not found")

    def test_bearer_required(self) -> None:
        """Where the token is required, only the token opens."""
        gateway = MemoryGateway(policy=AccessPolicy(bearer_required=True))
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        refused = gateway.client().ask(ping)
        assert refused.status == 401
        assert refused.headers["www-authenticate"].startswith("bearer realm=")
        assert gateway.client(Authorization="Bearer wrong").ask(ping).status == 401
        assert gateway.client(Authorization="Bearer bearer-token").ask(ping).status == 200


class FaultTests:
    """A clear answer to everything that goes wrong behind."""

    def test_death_in_mid_call(self, gateway: MemoryGateway) -> None:
        """All calls under way are answered at once and exactly once; none is replayed, the next one starts a child."""
        clients = [gateway.session() for _ in range(3)]
        for client in clients:
            client.call(4)
        gateway.child.exit(3, "boom")
        for client in clients:
            assert client.heard is not None
            error = client.heard.json["error"]
            assert (client.heard.status, error["code"]) == (200, -32603)
            assert "shared ended before it answered (exit code 3)" in error["message"]
            assert error["data"] == {"hint": "boom"}
        clients[0].call(5)
        assert len(gateway.launcher.children) == 2
        assert [request["method"] for request in gateway.child.received] == [
            "initialize",
            "notifications/initialized",
            "tools/call",
        ]

    def test_call_while_it_ends(self, gateway: MemoryGateway) -> None:
        """A call between the end of a child's stdin and its exit was never sent: the next child answers it."""
        one, two = gateway.session(), gateway.session()
        one.call(4)
        gateway.child.is_stopping = True
        two.call(5)
        assert two.heard is None
        gateway.child.exit(3)
        assert one.heard is not None
        assert one.heard.json["error"]["message"] == "shared ended before it answered (exit code 3)"
        (request,) = gateway.child.asked("tools/call")
        gateway.child.answer(request, {"content": []})
        assert two.heard is not None
        assert two.heard.json["result"] == {"content": []}
        assert len(gateway.launcher.children) == 2

    def test_missing_program(self, gateway: MemoryGateway) -> None:
        """A program that is not there is an error that says so, every time it is tried."""
        gateway.launcher.refuses = True
        for _ in range(2):
            answer = gateway.client().initialize()
            assert answer.json["error"]["message"] == "shared: the program was not found"
        assert len(gateway.sessions) == 0
        gateway.launcher.refuses = False
        assert "result" in gateway.client().initialize().json

    @pytest.mark.parametrize(
        ("reply", "words"),
        [
            ({"error": {"code": 1, "message": "not today"}}, "refused the handshake: not today"),
            ({"result": []}, "no InitializeResult"),
            ({"result": {"protocolVersion": "2026-07-28"}}, "insists on protocol version 2026-07-28"),
            ({}, "neither a result nor an error"),
        ],
    )
    def test_bad_handshake(self, gateway: MemoryGateway, reply: dict[str, Any], words: str) -> None:
        """A handshake that fails is told to whoever waits, and the child is killed."""
        gateway.launcher.hello = None
        client = gateway.client()
        client.call(1, "initialize")
        (handshake,) = gateway.child.asked("initialize")
        refused = gateway.child
        refused.say({"jsonrpc": "2.0", "id": handshake["id"], **reply})
        for probe in gateway.child.asked("server/discover"):  # perhaps it speaks the other era
            gateway.child.say(
                {"jsonrpc": "2.0", "id": probe["id"], "error": {"code": -32601, "message": "no"}}
            )
        assert client.heard is not None
        assert words in client.heard.json["error"]["message"]
        assert refused.is_killed

    def test_garbage_without_end(self, gateway: MemoryGateway) -> None:
        """A child that prints nothing but garbage is stopped, and its log does not grow with it."""
        gateway.session()
        child = gateway.child
        with capturedLogs() as logs:
            for _ in range(GARBAGE_LIMIT - 1):
                child._receiver.line_received(b"y")
            child.say({"jsonrpc": "2.0", "method": "notifications/message", "params": {}})
            assert not child.is_killed
            for _ in range(GARBAGE_LIMIT):
                child._receiver.line_received(b"y")
        assert child.is_killed
        assert len(logs) < 100

    def test_mute_handshake(self, gateway: MemoryGateway) -> None:
        """A child that says nothing is given up after the limit."""
        gateway.launcher.hello = None
        client = gateway.client()
        client.call(1, "initialize")
        gateway.clock.advance(29)
        assert client.heard is None
        gateway.clock.advance(1)
        assert client.heard is not None
        assert "did not answer the handshake within 30 s" in client.heard.json["error"]["message"]
        assert gateway.child.is_killed
        assert not gateway.clock.getDelayedCalls()

    def test_exit_in_handshake(self, gateway: MemoryGateway) -> None:
        """A child that leaves in the handshake is reported with its last words."""
        gateway.launcher.hello = None
        client = gateway.client()
        client.call(1, "tools/list")
        gateway.child.exit(127, "no such module")
        assert client.heard is not None
        assert client.heard.json["error"] == {
            "code": -32603,
            "message": "shared ended during the handshake (exit code 127)",
            "data": {"hint": "no such module"},
        }

    @pytest.mark.parametrize(
        "line", [b'{"jsonrpc":"2.0","id":%d,"result":{"a":', b'{"jsonrpc":"2.0","id":%d,"result":"\xff"}']
    )
    def test_unreadable_answer(self, gateway: MemoryGateway, line: bytes) -> None:
        """An answer that cannot be read is an error for the call it was meant for."""
        client = gateway.session()
        client.call(1)
        (request,) = gateway.child.asked("tools/call")
        gateway.child._receiver.line_received(line % request["id"])
        assert client.heard is not None
        assert "cannot be read" in client.heard.json["error"]["message"]

    def test_noise(self, gateway: MemoryGateway) -> None:
        """Lines that mean nothing are skipped."""
        client = gateway.session()
        client.call(1)
        (request,) = gateway.child.asked("tools/call")
        for line in (
            b"hello",
            b"[]",
            b"7",
            b"{}",
            b'{"jsonrpc":"2.0","id":999,"result":{}}',
            b'{"method":5}',
        ):
            gateway.child._receiver.line_received(line)
        assert client.heard is None
        gateway.child.answer(request, {})
        assert client.heard is not None

    def test_timeout(self) -> None:
        """Where a server has a limit, a call that takes longer is cancelled and answered."""
        gateway = MemoryGateway(timeout_s=5)
        client = gateway.session()
        client.call(1)
        gateway.tick(5)
        assert client.heard is None
        gateway.tick(1)
        assert client.heard is not None
        assert client.heard.json["error"]["code"] == -32001
        assert gateway.child.asked("notifications/cancelled")

    def test_a_client_that_leaves(self, gateway: MemoryGateway) -> None:
        """A disconnect cancels nothing, and the answer that comes too late disturbs nobody."""
        client, other = gateway.session(), gateway.session()
        client.call(1)
        other.call(1)
        client.channel.connectionLost(None)  # type: ignore[arg-type]  # nobody looks at the reason
        assert len(gateway.door.streams.waiting) == 1
        assert not gateway.child.asked("notifications/cancelled")
        for request in gateway.child.asked("tools/call"):
            gateway.child.answer(request, {})
        assert other.heard is not None
        assert not gateway.door.streams.waiting

    def test_session_end_cancels_its_calls_only(self, gateway: MemoryGateway) -> None:
        """The end of a session cancels its calls, and no others."""
        one, two = gateway.session(), gateway.session()
        one.call(1)
        two.call(1)
        gateway.client(**one.headers).ask(b"", "DELETE")
        first, second = gateway.child.asked("tools/call")
        (cancelled,) = gateway.child.asked("notifications/cancelled")
        assert cancelled["params"]["requestId"] == first["id"]
        assert one.heard is not None
        assert one.heard.json["error"]["code"] == -32001
        gateway.child.answer(second, "mine")
        assert two.heard is not None
        assert two.heard.json["result"] == "mine"

    def test_stopping(self, gateway: MemoryGateway) -> None:
        """A gateway that stops answers what is under way and takes nothing new."""
        client, late = gateway.session(), gateway.session()
        client.call(1)
        done = gateway.dispatcher.close()
        assert done.called
        assert client.heard is not None
        assert "error" in client.heard.json
        late.call(2)
        assert late.heard is not None
        assert late.heard.json["error"]["message"] == "the gateway is stopping"

    def test_stopping_waits_for_those_that_leave(self, gateway: MemoryGateway) -> None:
        """A child whose session has just ended is waited for, or it would outlive the gateway."""
        client = gateway.session("own")
        gateway.child.lingers = leaving = Deferred()
        client.ask(b"", "DELETE")
        done = gateway.dispatcher.close()
        assert not done.called
        gateway.child.exit()
        leaving.callback(None)
        assert done.called

    def test_a_question_of_a_child_that_is_being_stopped(self) -> None:
        """A child that asks once more while it is being stopped gets no answer, and nothing breaks."""
        gateway = MemoryGateway()
        client = gateway.session("own")
        child = gateway.child
        child.lingers = Deferred()
        client.ask(b"", "DELETE")
        assert child.is_stopping
        heard = len(child.received)
        for method in ("roots/list", "ping"):
            child.say({"jsonrpc": "2.0", "id": 7, "method": method})
        assert len(child.received) == heard


class ControlTests:
    """Health, and ending sessions from outside."""

    def get(self, gateway: MemoryGateway, path: str, method: str = "GET") -> Any:
        """Ask the control plane; what Klein answers is chunked."""
        answer = gateway.client().ask(b"", method, path)
        is_chunked = answer.headers.get("transfer-encoding") == "chunked"
        return answer.status, json.loads(answer.body.split(b"\r\n")[1] if is_chunked else answer.body)

    def test_health(self, gateway: MemoryGateway) -> None:
        """Health counts running servers and sessions in both shapes."""
        gateway.listen(gateway.session())
        gateway.session("own")
        status, health = self.get(gateway, "/health")
        assert status == 200
        assert (health["status"], health["servers"], health["running"], health["sessions"]) == ("ok", 2, 2, 2)
        assert health["streams"] == 1
        assert {backend["name"]: backend["share"] for backend in health["backends"]} == {
            "shared": "global",
            "own": "session",
        }
        _, old = self.get(gateway, "/health?shape=immorterm")
        assert set(old) == {
            "status",
            "version",
            "uptime",
            "port",
            "servers",
            "totalChildren",
            "memoryMB",
        }
        assert old["totalChildren"] == 2
        assert {server["name"]: server["mode"] for server in old["servers"]} == {
            "shared": "stateless",
            "own": "stateful",
        }

    def test_by_pid(self, gateway: MemoryGateway) -> None:
        """The sessions of a process are ended together, named by header or by clientInfo."""
        gateway.client("own", **{"X-Client-Pid": "4242"}).initialize()
        gateway.client().initialize(clientInfo={"name": "x", "pid": 4242})
        gateway.client().initialize(clientInfo={"name": "x", "pid": 4243})
        assert self.get(gateway, "/sessions/by-pid/4242", "DELETE") == (
            200,
            {"ok": True, "killed": 1, "sessions": 2},
        )
        assert len(gateway.sessions) == 1
        for nonsense in ("abc", "0", "-1", "1.5", "99999999999"):
            assert self.get(gateway, f"/sessions/by-pid/{nonsense}", "DELETE") == (
                400,
                {"error": "Invalid PID", "hint": "a whole number above 0 is expected"},
            )

    def test_by_id(self, gateway: MemoryGateway) -> None:
        """A session is ended by its id; an unknown id is no error."""
        client = gateway.session("own")
        path = f"/sessions/{client.headers['Mcp-Session-Id']}"
        assert self.get(gateway, path, "DELETE") == (200, {"ok": True, "killed": 1})
        assert self.get(gateway, path, "DELETE") == (200, {"ok": True, "killed": 0})
