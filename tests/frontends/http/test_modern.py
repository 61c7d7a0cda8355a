"""Requests of the modern era: how they are recognised, and in which order they are judged (MCP 2026-07-28)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.gateway_in_memory import Answer, Client, MemoryGateway
from tests.support.modern_client import (
    PREFIX,
    REVISION,
    call,
    done,
    dual_gateway,
    headers_of,
    is_empty,
    list_tools,
    meta,
    post,
    refusal,
    reply,
    request,
)

LEGACY = "2025-06-18"
VERSION_KEY, CAPABILITIES_KEY = PREFIX + "protocolVersion", PREFIX + "clientCapabilities"


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with a server "m" of the modern era, and one that speaks both."""
    return dual_gateway()


@pytest.fixture
def client(gateway: MemoryGateway) -> Client:
    """A client of the modern server."""
    return gateway.client("m")


def raw(client: Client, body: dict[str, Any], *lines: str) -> Answer | None:
    """Send a request with these header lines, which a dict of headers could not hold."""
    data = json.dumps(body)
    usual = ["POST /m/mcp HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    head = "\r\n".join([*usual, *lines, f"Content-Length: {len(data)}"])
    client.transport.taken = b""
    client.channel.dataReceived(f"{head}\r\n\r\n{data}".encode())
    return client.heard


class EraTests:
    """Eras of messages."""

    @pytest.mark.parametrize("header", ["", LEGACY, REVISION, "2099-01-01", "strange"])
    def test_an_envelope(self, client: Client, header: str) -> None:
        """A body that names its revision is modern, whatever the header says: which then has to say the same."""
        post(client, request(1, "initialize"), MCP_Protocol_Version=header)
        assert refusal(client) == ((404, -32601, 1) if header == REVISION else (400, -32020, 1))

    @pytest.mark.parametrize("header", [REVISION, "2099-01-01"])
    def test_a_header(self, client: Client, header: str) -> None:
        """A later revision in the header makes a request modern, which then lacks its envelope."""
        client.send({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, **{"MCP-Protocol-Version": header})
        assert refusal(client) == (400, -32602, 1)

    @pytest.mark.parametrize("header", ["", LEGACY, REVISION, "2099-01-01"])
    def test_initialize(self, gateway: MemoryGateway, header: str) -> None:
        """Without an envelope it is legacy, whatever the header says."""
        client = gateway.client()
        body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": REVISION}}
        client.send(body, **{"MCP-Protocol-Version": header})
        assert client.heard is not None
        assert client.heard.json["result"]["protocolVersion"] == "2025-11-25"
        assert "mcp-session-id" in client.heard.headers

    def test_neither(self, gateway: MemoryGateway) -> None:
        """Every other message is legacy."""
        client = gateway.client()
        client.call(1)
        assert gateway.child.asked("initialize")

    def test_session_ids_mean_nothing(self, gateway: MemoryGateway) -> None:
        """A modern request is none of the session whose id it carries, nor resumes anything."""
        session = gateway.session()
        client = gateway.client(**session.headers, **{"Last-Event-ID": "x"})
        call(gateway, client)
        assert len(gateway.launcher.children) == 3  # of the session, of the probe, and this one's
        client = gateway.client("m", **{"Mcp-Session-Id": "nonsense"})
        call(gateway, client)
        done(gateway.child, gateway.child.asked("tools/call")[0])
        assert reply(client)["result"]
        assert client.heard is not None
        assert "mcp-session-id" not in client.heard.headers


class MethodTests:
    """Methods other than POST, and messages that are no requests."""

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    def test_there_are_no_sessions(self, client: Client, method: str) -> None:
        """The era has no sessions: no stream stands open and none is ended."""
        answer = client.ask(b"", method, **{"MCP-Protocol-Version": REVISION})
        assert (answer.status, answer.headers["allow"]) == (405, "post")

    def test_a_notification(self, gateway: MemoryGateway, client: Client) -> None:
        """A notification is taken, and means nothing."""
        body = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
        answer = client.ask(body, **{"MCP-Protocol-Version": REVISION})
        assert (answer.status, answer.body) == (202, b"")
        assert gateway.launcher.children == []

    def test_a_response(self, client: Client) -> None:
        """Clients answer nothing in this era."""
        client.send({"jsonrpc": "2.0", "id": 1, "result": {}}, **{"MCP-Protocol-Version": REVISION})
        assert refusal(client) == (400, -32600, None)

    @pytest.mark.parametrize("body", [b"[]", json.dumps([request(1, "tools/list")]).encode()])
    def test_a_batch(self, client: Client, body: bytes) -> None:
        """A batch is refused: this era has none."""
        client.send(body, **{"MCP-Protocol-Version": REVISION})
        assert refusal(client) == (400, -32600, None)


class LadderTests:
    """The order of the judgements: each request here is wrong in everything that comes after, too."""

    WRONG = {"MCP-Protocol-Version": "1999-01-01", "Mcp-Method": "x", "Mcp-Name": "x"}

    @pytest.mark.parametrize(
        ("body", "accept", "expected"),
        [
            (b"{", "text/html", (406, -32000, None)),
            (b"{", "", (400, -32700, None)),
            (b'{"id":1,"method":"x"}', "", (400, -32600, 1)),
            (b'{"jsonrpc":"2.0","id":null,"method":"x"}', "", (400, -32600, None)),
            (b'{"jsonrpc":"2.0","id":1.5,"method":"x"}', "", (400, -32600, None)),
            (b'{"jsonrpc":"2.0","id":1,"method":"x","params":[]}', "", (400, -32600, 1)),
        ],
    )
    def test_no_message(
        self, client: Client, body: bytes, accept: str, expected: tuple[int, int, Any]
    ) -> None:
        """First of all it has to be a message, in a form that can be answered."""
        client.send(body, **{**self.WRONG, "MCP-Protocol-Version": REVISION, "Accept": accept})
        assert refusal(client) == expected

    @pytest.mark.parametrize(
        "envelope",
        [
            {},
            {VERSION_KEY: "1999-01-01"},
            {VERSION_KEY: 7, CAPABILITIES_KEY: {}},
            {VERSION_KEY: None, CAPABILITIES_KEY: {}},
            {VERSION_KEY: "1999-01-01", CAPABILITIES_KEY: []},
            {VERSION_KEY: "1999-01-01", CAPABILITIES_KEY: None},
            {CAPABILITIES_KEY: {}},
        ],
    )
    def test_the_envelope(self, client: Client, envelope: dict[str, Any]) -> None:
        """The envelope has to state the revision and the client's capabilities, which is judged second."""
        headers = {**self.WRONG, "MCP-Protocol-Version": "2099-01-01"}
        client.send(request("i", "tools/call", envelope, name="t"), **headers)
        assert refusal(client) == (400, -32602, "i")

    @pytest.mark.parametrize("missing", ["MCP-Protocol-Version", "Mcp-Method", "Mcp-Name"])
    @pytest.mark.parametrize("instead", ["", "x", "Tools/call", "2025-11-25"])
    def test_the_headers(self, client: Client, missing: str, instead: str) -> None:
        """The headers have to repeat the envelope, whether the revision is served or not, which is judged third."""
        body = request(9, "tools/call", meta(**{VERSION_KEY: "1999-01-01"}), name="t")
        headers = {**headers_of(body), "MCP-Protocol-Version": "1999-01-01", missing: instead}
        client.send(body, **headers)
        assert refusal(client) == (400, -32020, 9)

    @pytest.mark.parametrize("revision", ["1999-01-01", "2099-01-01", "2025-11-25", "", "latest"])
    def test_the_revision(self, gateway: MemoryGateway, client: Client, revision: str) -> None:
        """The revision has to be one that is served, which is judged fourth; the error names those that are."""
        body = request(9, "initialize", meta(**{VERSION_KEY: revision}, progressToken=[]))
        post(client, body, MCP_Protocol_Version=revision)
        if not revision:  # which no header can say
            assert refusal(client) == (400, -32020, 9)
            return
        assert refusal(client) == (400, -32022, 9)
        assert client.heard is not None
        data = client.heard.json["error"]["data"]
        assert data == {"supported": [REVISION], "requested": revision}
        assert gateway.launcher.children == []

    def test_the_token(self, client: Client) -> None:
        """A progress token is a string or an integer."""
        post(client, request(9, "tools/list", meta(progressToken=1.5)))
        assert refusal(client)[1:] == (-32602, 9)

    def test_nothing_stays(self, gateway: MemoryGateway, client: Client) -> None:
        """A refused request leaves nothing behind, and the connection goes on."""
        for number in range(20):
            post(client, request(number, "tools/list"), Mcp_Method="x")
            assert refusal(client) == (400, -32020, number)
        assert is_empty(gateway)
        assert not client.transport.is_closing


class NameTests:
    """Mcp-Name."""

    @pytest.mark.parametrize(
        ("method", "member"),
        [
            ("tools/call", "name"),
            ("prompts/get", "name"),
            ("resources/read", "uri"),
            ("tasks/get", "taskId"),
            ("tasks/update", "taskId"),
            ("tasks/cancel", "taskId"),
        ],
    )
    def test_what_it_repeats(self, client: Client, method: str, member: str) -> None:
        """Each method that names something repeats it there."""
        for header in ("", "other"):
            post(client, request(1, method, **{member: "one"}), Mcp_Name=header)
            assert refusal(client) == (400, -32020, 1)

    @pytest.mark.parametrize(
        ("name", "header"),
        [
            ("plain", "plain"),
            ("plain", "  plain \t"),
            ("with blanks\tinside", "with blanks\tinside"),
            ("plain", "=?base64?cGxhaW4=?="),
            ("né", "=?base64?bsOp?="),
            (" led", "=?base64?IGxlZA==?="),
            ('"\\', '"\\'),
            ("=?base64?eA==?=", "=?base64?PT9iYXNlNjQ/ZUE9PT89?="),
            ("=?half", "=?half"),
            ("", "=?base64??="),
        ],
    )
    def test_spellings(self, gateway: MemoryGateway, client: Client, name: str, header: str) -> None:
        """Plain, or as base64 of UTF-8; blanks around it mean nothing."""
        post(client, request(1, "prompts/get", name=name), Mcp_Name=header)
        assert [each["params"]["name"] for each in gateway.child.asked("prompts/get")] == [name]

    @pytest.mark.parametrize(
        ("name", "header"),
        [
            ("plain", "Plain"),
            ("plain", '"plain"'),
            ("a", "\\u0061"),
            ("x", "=?base64?eB==?="),
            ("x", "=?base64?!!?="),
            ("x", "=?BASE64?eA==?="),
            ("=?base64?eA==?=", "=?base64?eA==?="),
            ("né", "né"),
            (7, "7"),
            (None, "null"),
            (None, "x"),
        ],
    )
    def test_others(self, client: Client, name: Any, header: str) -> None:
        """A header of any other text does not match."""
        post(client, request(1, "prompts/get", name=name), Mcp_Name=header)
        assert refusal(client) == (400, -32020, 1)

    def test_without_anything_to_repeat(self, gateway: MemoryGateway, client: Client) -> None:
        """A header that repeats nothing contradicts the body; without both the server judges."""
        post(client, request(1, "prompts/get"), Mcp_Name="x")
        assert refusal(client) == (400, -32020, 1)
        post(client, request(1, "prompts/get"))
        assert len(gateway.child.asked("prompts/get")) == 1

    def test_escapes_in_the_body(self, gateway: MemoryGateway, client: Client) -> None:
        """The value counts, not how the body spells it."""
        body = json.dumps(request(1, "prompts/get", name="abc")).replace("abc", "\\u0061b\\u0063")
        client.send(
            body.replace("2026-07-28", "2026\\u002d07-28").encode(),
            **headers_of(request(1, "prompts/get", name="abc")),
        )
        assert len(gateway.child.asked("prompts/get")) == 1


class RepetitionTests:
    """Headers that came twice."""

    LINES = (
        "MCP-Protocol-Version: 2026-07-28",
        "Mcp-Method: tools/call",
        "Mcp-Name: t",
        "Mcp-Param-Region: eu",
    )
    TOOL = {
        "name": "t",
        "inputSchema": {
            "type": "object",
            "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
        },
    }

    @pytest.mark.parametrize("line", LINES)
    @pytest.mark.parametrize("same", [True, False])
    def test_those_that_repeat_the_body(
        self, gateway: MemoryGateway, client: Client, line: str, *, same: bool
    ) -> None:
        """Headers that repeat the body match nothing when they come twice, even alike; the refusal has their id."""
        body = request(6, "tools/call", name="t", arguments={"region": "eu"})
        raw(client, body, *self.LINES, line.lower() if same else line + "x")
        if client.heard is None:
            list_tools(gateway.child, [self.TOOL])
        assert refusal(client) == (400, -32020, 6)

    def test_once(self, gateway: MemoryGateway, client: Client) -> None:
        """The same once each is taken."""
        raw(client, request(6, "tools/call", name="t", arguments={"region": "eu"}), *self.LINES)
        list_tools(gateway.child, [self.TOOL])
        assert len(gateway.child.asked("tools/call")) == 1

    def test_session_ids(self, client: Client) -> None:
        """Two session ids are refused before anybody looks at the body."""
        answer = raw(client, request(6, "tools/list"), "Mcp-Session-Id: a", "Mcp-Session-Id: b")
        assert answer is not None
        assert answer.status == 400
        assert client.transport.is_closing

    def test_in_the_legacy_era(self, gateway: MemoryGateway) -> None:
        """Two revisions are none that is served; the other headers mean nothing there."""
        client = gateway.client("m")
        body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        raw(client, body, *[f"MCP-Protocol-Version: {LEGACY}"] * 2)
        assert refusal(client) == (400, -32000, 1)
        answer = raw(client, body, *["Mcp-Method: x"] * 2)
        assert answer is not None
        assert answer.json["result"] == {}


class ParamTests:
    """Mcp-Param-*."""

    TOOL = {
        "name": "t",
        "inputSchema": {
            "type": "object",
            "properties": {
                "region": {"type": "string", "x-mcp-header": "Region"},
                "n": {"type": "integer", "x-mcp-header": "N"},
            },
        },
    }

    @pytest.mark.parametrize(
        ("arguments", "headers", "is_taken"),
        [
            ({"region": "eu"}, {"Mcp-Param-Region": "eu"}, True),
            ({"region": "eu"}, {"mcp-param-REGION": "=?base64?ZXU=?="}, True),
            ({"n": 10}, {"Mcp-Param-N": "1e1"}, True),
            ({}, {"Mcp-Param-Other": "x"}, True),
            ({"region": None}, {}, True),
            ({"region": "eu"}, {}, False),
            ({"region": "eu"}, {"Mcp-Param-Region": "us"}, False),
            ({}, {"Mcp-Param-Region": "eu"}, False),
            ({"region": None}, {"Mcp-Param-Region": "null"}, False),
            ({"region": "eu"}, {"Mcp-Param-Region": "=?base64?!?="}, False),
        ],
    )
    def test_table(
        self,
        gateway: MemoryGateway,
        client: Client,
        arguments: dict[str, Any],
        headers: dict[str, str],
        *,
        is_taken: bool,
    ) -> None:
        """A header that a tool's schema declares has to agree with its argument."""
        body = request(1, "tools/call", name="t", arguments=arguments)
        client.send(body, **headers_of(body), **headers)
        list_tools(gateway.child, [self.TOOL])
        assert bool(gateway.child.asked("tools/call")) is is_taken
        if not is_taken:
            assert refusal(client) == (400, -32020, 1)

    def test_what_relays_stdio(self, gateway: MemoryGateway, client: Client) -> None:
        """A relay of a client on stdio repeats no arguments, and the server is not asked for its tools."""
        body = request(1, "tools/call", name="t", arguments={"region": "eu"})
        client.send(body, **{"X-Mcpgateway-Stdio": "1"})
        assert [each["method"] for each in gateway.child.received] == ["server/discover", "tools/call"]
        client = gateway.client("m")
        post(client, request(2, "tools/call", meta(**{VERSION_KEY: "2099-01-01"})), X_Mcpgateway_Stdio="1")
        assert refusal(client) == (400, -32022, 2)


class FormTests:
    """JSON or events."""

    @pytest.mark.parametrize(
        ("accept", "form"),
        [
            ("", "application/json"),
            ("application/json, text/event-stream", "application/json"),
            ("application/json", "application/json"),
            ("text/event-stream", "text/event-stream"),
        ],
    )
    def test_a_lone_answer(self, gateway: MemoryGateway, accept: str, form: str) -> None:
        """A lone answer comes as JSON to every client that takes it."""
        client = gateway.client("m", Accept=accept)
        post(client, request(1, "prompts/list"))
        done(gateway.child, gateway.child.asked("prompts/list")[0])
        assert client.heard is not None
        assert client.heard.headers["content-type"] == form
        assert reply(client) == {"jsonrpc": "2.0", "id": 1, "result": {"resultType": "complete"}}

    def test_a_client_without_events(self, gateway: MemoryGateway) -> None:
        """A client without events hears nothing before the answer."""
        client = gateway.client("m", Accept="application/json")
        asked = call(gateway, client, envelope=meta(progressToken=1))
        params = {"progressToken": asked["id"], "progress": 1}
        gateway.child.say({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
        done(gateway.child, asked)
        assert client.heard is not None
        assert client.heard.json["result"]

    def test_patience(self, gateway: MemoryGateway, client: Client) -> None:
        """An answer that takes long becomes a stream without ids, whose connection is seen to live."""
        asked = call(gateway, client)
        gateway.tick(60)
        assert client.heard is not None
        assert client.heard.headers["content-type"] == "text/event-stream"
        assert b": ping" in client.heard.body
        assert b"id:" not in client.heard.body
        done(gateway.child, asked)
        assert reply(client)["id"] == 1
