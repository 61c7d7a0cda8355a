"""Batches, which only MCP 2025-03-26 has."""

from __future__ import annotations

from typing import Any

import pytest

from mcpgateway.frontends.http.streams import HEARTBEAT_TICKS, PATIENCE_TICKS
from mcpgateway.protocol import sse
from mcpgateway.protocol.jsonrpc import BATCH_LIMIT
from tests.support.gateway_in_memory import Client, MemoryGateway

END = b"0\r\n\r\n"
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with one shared and one stateful server."""
    return MemoryGateway()


def session(gateway: MemoryGateway, revision: str = "2025-03-26") -> Client:
    """A session of a revision."""
    client = gateway.client()
    client.initialize(protocolVersion=revision)
    return client


def call(number: Any, token: str | None = None) -> dict[str, Any]:
    """A request for a tool."""
    params: dict[str, Any] = {"name": "t"}
    if token is not None:
        params["_meta"] = {"progressToken": token}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


def asked(gateway: MemoryGateway) -> list[dict[str, Any]]:
    """The calls that the child has received."""
    return gateway.child.asked("tools/call")


class BatchTests:
    """Several messages in one POST."""

    def test_answers_in_one_array(self, gateway: MemoryGateway) -> None:
        """Requests, notifications and what is no message at all: each request has its answer under its own id."""
        one, two = session(gateway), session(gateway)
        for client in (one, two):
            client.send([call(1), INITIALIZED, PING, call("1"), {"jsonrpc": "2.0", "id": 9}, 5])
        for nth, request in reversed(list(enumerate(asked(gateway)))):
            gateway.child.answer(request, {"nth": nth})
        for client, expected in ((one, (0, 1)), (two, (2, 3))):
            assert client.heard is not None
            assert client.heard.status == 200
            answers = client.heard.json
            assert [each["id"] for each in answers] == [1, 1, "1", 9, None]
            assert (answers[0]["result"]["nth"], answers[2]["result"]["nth"]) == expected
            assert [each["error"]["code"] for each in answers[3:]] == [-32600, -32600]

    def test_nothing_to_answer(self, gateway: MemoryGateway) -> None:
        """Notifications and answers alone are accepted with 202."""
        client = session(gateway)
        answer = client.ask([INITIALIZED, {"jsonrpc": "2.0", "id": 3, "result": {}}])
        assert (answer.status, answer.body) == (202, b"")

    def test_something_is_said_before(self, gateway: MemoryGateway) -> None:
        """Answers are events of their own once another message comes, those that were there already, too."""
        client = session(gateway)
        client.send([call(1, "a"), call(2, "b"), PING])
        first, second = asked(gateway)
        gateway.child.answer(first, {"first": True})
        token = second["params"]["_meta"]["progressToken"]
        params = {"progressToken": token, "progress": 1}
        gateway.child.say({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
        gateway.child.answer(second, {"second": True})
        assert client.heard is not None
        events = client.heard.events
        assert [each.get("id") for each in events] == [1, 1, None, 2]
        assert events[2]["params"]["progressToken"] == "b"
        assert client.transport.taken.endswith(END)

    def test_patience(self, gateway: MemoryGateway) -> None:
        """A slow batch becomes a stream, and is kept alive."""
        client = session(gateway)
        client.send([call(1), PING])
        gateway.tick(PATIENCE_TICKS)
        assert client.heard is not None
        assert [each["id"] for each in client.heard.events] == [1]
        gateway.tick(HEARTBEAT_TICKS)
        assert client.transport.taken.count(sse.PING) >= 1
        gateway.child.answer(asked(gateway)[0], {"slow": True})
        assert client.heard.events[-1]["result"] == {"slow": True}

    @pytest.mark.parametrize(("accept", "form"), [("text/event-stream", "text/event-stream")])
    def test_only_events(self, gateway: MemoryGateway, accept: str, form: str) -> None:
        """A client that takes no JSON gets events."""
        client = session(gateway)
        client.send([PING, call(2)], Accept=accept)
        gateway.child.answer(asked(gateway)[0], {})
        assert client.heard is not None
        assert client.heard.headers["content-type"] == form
        assert [each["id"] for each in client.heard.events] == [1, 2]

    def test_only_json(self, gateway: MemoryGateway) -> None:
        """A client that takes no events waits for its array, whatever is said meanwhile."""
        client = session(gateway)
        client.send([call(1, "a")], Accept="application/json")
        token = asked(gateway)[0]["params"]["_meta"]["progressToken"]
        params = {"progressToken": token, "progress": 1}
        gateway.child.say({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
        gateway.tick(PATIENCE_TICKS + HEARTBEAT_TICKS)
        gateway.child.answer(asked(gateway)[0], {})
        assert client.heard is not None
        assert [each["id"] for each in client.heard.json] == [1]

    def test_a_client_that_leaves(self, gateway: MemoryGateway) -> None:
        """The calls of a client that leaves go on; their answers go nowhere, and nothing is kept for them."""
        client = session(gateway)
        client.send([call(1), call(2)])
        client.channel.connectionLost(None)  # type: ignore[arg-type]
        for request in asked(gateway):
            gateway.child.answer(request, {})
        assert not gateway.door.streams.waiting
        assert len(gateway.dispatcher.calls) == 0

    def test_cancelling_one(self, gateway: MemoryGateway) -> None:
        """A request of a batch is cancelled as any other."""
        client = session(gateway)
        client.send([call(1), call(2)])
        other = gateway.client(**client.headers)
        cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}}
        assert other.ask(cancelled).status == 202
        gateway.child.answer(asked(gateway)[0], {})
        assert client.heard is not None
        assert [each["id"] for each in client.heard.json] == [1, 2]
        assert "error" in client.heard.json[1]

    @pytest.mark.parametrize("revision", ["2024-11-05", "2025-06-18", "2025-11-25"])
    def test_other_revisions(self, gateway: MemoryGateway, revision: str) -> None:
        """Other revisions have no batches: a request with one is malformed."""
        answer = session(gateway, revision).ask([PING])
        assert (answer.status, answer.json["error"]["code"]) == (400, -32600)

    @pytest.mark.parametrize("body", [b"[", b"[1,", b"[" * 2000 + b"]" * 2000])
    def test_malformed(self, gateway: MemoryGateway, body: bytes) -> None:
        """Broken ones are refused whole."""
        answer = session(gateway).ask(body)
        assert answer.status == 400
        assert answer.json["error"]["code"] in {-32600, -32700}

    @pytest.mark.parametrize("size", [0, BATCH_LIMIT + 1])
    def test_bounds(self, gateway: MemoryGateway, size: int) -> None:
        """Empty ones and those beyond the bound are refused whole, and told why; nothing in them is served."""
        answer = session(gateway).ask([call(number) for number in range(size)])
        assert answer.status == 400
        assert answer.json == {
            "jsonrpc": "2.0",
            "id": None,
            "error": {"code": -32600, "message": "Invalid Request: a batch has 1 to 100 messages"},
        }
        assert asked(gateway) == []

    @pytest.mark.parametrize("place", [0, 1])
    def test_initialize_is_not_part_of_one(self, gateway: MemoryGateway, place: int) -> None:
        """The specification says so; nothing else in such a batch is served."""
        members = [call(1)]
        members.insert(place, {"jsonrpc": "2.0", "id": 2, "method": "initialize", "params": {}})
        client = session(gateway)
        answer = client.ask(members)
        assert (answer.status, answer.json["id"]) == (400, None)
        assert answer.json["error"] == {
            "code": -32600,
            "message": "Invalid Request: initialize must not be part of a batch",
        }
        assert asked(gateway) == []
        assert len(gateway.sessions) == 1
        assert gateway.client().ask(members).status == 400

    def test_without_a_session(self, gateway: MemoryGateway) -> None:
        """A client that names neither a session nor a revision speaks 2025-03-26, which has batches."""
        client = gateway.client()
        client.send([PING, call(2), INITIALIZED])
        gateway.child.answer(asked(gateway)[0], {"two": 2})
        assert client.heard is not None
        assert client.heard.status == 200
        assert [each["id"] for each in client.heard.json] == [1, 2]
        assert client.heard.json[1]["result"] == {"two": 2}

    def test_on_a_view(self, gateway: MemoryGateway) -> None:
        """A batch is answered on an endpoint for all servers, too."""
        client = gateway.client()
        answer = client.ask([PING, {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}], path="/mcp/search")
        assert answer.status == 200
        assert [each["id"] for each in answer.json] == [1, 2]
        assert answer.json[1]["result"]["tools"]

    @pytest.mark.parametrize(
        ("revision", "status"),
        [("2025-03-26", 200), ("2024-11-05", 400), ("2025-06-18", 400), ("2025-11-25", 400)],
    )
    def test_a_revision_without_a_session(self, gateway: MemoryGateway, revision: str, status: int) -> None:
        """The revision that a client names counts where the client has no session."""
        answer = gateway.client().ask([PING], MCP_Protocol_Version=revision)
        assert answer.status == status
        if status == 400:
            assert answer.json["error"]["code"] == -32600

    def test_state_for_each_session(self, gateway: MemoryGateway) -> None:
        """Where a server keeps state for each session, a batch without one is told that it needs one."""
        answer = gateway.client("own").ask([call(1)])
        assert (answer.status, answer.json["id"]) == (400, None)
        assert answer.json["error"]["code"] == -32000
        assert "Mcp-Session-Id" in answer.json["error"]["message"]
        assert gateway.launcher.children == []

    @pytest.mark.parametrize("server", ["own", "shared"])
    def test_broken_without_a_session(self, gateway: MemoryGateway, server: str) -> None:
        """A fault of the batch itself is told first: a session would not mend it."""
        begins = {"jsonrpc": "2.0", "id": 2, "method": "initialize", "params": {}}
        for body in ([], [call(1), begins]):
            answer = gateway.client(server).ask(body)
            assert (answer.status, answer.json["error"]["code"]) == (400, -32600)
            assert "session" not in answer.json["error"]["message"].lower()
        assert gateway.launcher.children == []

    def test_another_session(self, gateway: MemoryGateway) -> None:
        """A session that is none is not served as if it had not been named."""
        assert gateway.client().ask([PING], Mcp_Session_Id="made-up").status == 404

    def test_of_the_other_era(self, gateway: MemoryGateway) -> None:
        """A request of 2026-07-28 is no part of a batch: it is refused under its own id, and reaches no server."""
        envelope = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        modern = call(1)
        modern["params"]["_meta"] = envelope
        answer = gateway.client().ask([modern, PING | {"id": 2}])
        assert answer.status == 200
        assert [each["id"] for each in answer.json] == [1, 2]
        assert answer.json[0]["error"]["code"] == -32600
        assert gateway.launcher.children == []
