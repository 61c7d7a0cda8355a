"""The demo servers' stdio loop."""

import io
import json

from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.demo.stdio import REVISIONS, DemoTool, Server, ToolError


def shout(text: str, *, twice: bool = False) -> str:
    """A tool with one required and one optional argument."""
    if not text:
        raise ToolError("Nothing to shout.")
    return text.upper() * (2 if twice else 1)


def make_server() -> Server:
    """A server with one tool."""
    properties = {"text": {"type": "string"}, "twice": {"type": "boolean"}}
    return Server("test", "Shouts.", [DemoTool("shout", "Shout.", shout, properties, required=["text"])])


def ask(message: object) -> dict:
    """Return the server's answer to one message."""
    answer = make_server().answer(json.dumps(message).encode())
    assert answer is not None
    assert answer.endswith(b"\n")
    return json.loads(answer)


def call(name: object, arguments: object) -> dict:
    """Return the server's answer to one tools/call."""
    params = {"name": name, "arguments": arguments}
    return ask({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params})


class ServerTests:
    """The loop that answers messages."""

    def test_known_revision_is_agreed(self):
        """A revision the server knows is the one it answers with."""
        for revision in REVISIONS:
            params = {"protocolVersion": revision}
            answer = ask({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})
            assert answer["result"]["protocolVersion"] == revision

    def test_unknown_revision_is_answered_with_the_latest(self):
        """A revision the server does not know is answered with the latest that it does."""
        params = {"protocolVersion": "1999-01-01"}
        answer = ask({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})
        assert answer["result"]["protocolVersion"] == REVISIONS[0]

    def test_ping(self):
        """A ping is answered with nothing in it, under the id it came with."""
        assert ask({"jsonrpc": "2.0", "id": "x", "method": "ping"}) == {
            "jsonrpc": "2.0",
            "id": "x",
            "result": {},
        }

    def test_tools_are_listed_with_closed_schemas(self):
        """Every listed tool says what it takes and that it takes nothing else."""
        (tool,) = ask({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})["result"]["tools"]
        assert tool["name"] == "shout"
        assert tool["inputSchema"]["required"] == ["text"]
        assert tool["inputSchema"]["additionalProperties"] is False

    def test_call(self):
        """A tool's text becomes the content of its result."""
        result = call("shout", {"text": "hey", "twice": True})["result"]
        assert result == {"content": [{"type": "text", "text": "HEYHEY"}], "isError": False}

    def test_unusable_is_a_failed_result(self):
        """A failure of a tool is a failed result for the model, not an error of the protocol."""
        result = call("shout", {"text": ""})["result"]
        assert result["isError"] is True
        assert result["content"][0]["text"] == "Nothing to shout."

    def test_bad_arguments_are_failed_results(self):
        """Missing, unknown and mistyped arguments are each named in a failed result."""
        for arguments, named in (({}, "text"), ({"text": "a", "more": 1}, "more"), ({"text": 5}, "text")):
            result = call("shout", arguments)["result"]
            assert result["isError"] is True
            assert named in result["content"][0]["text"]

    def test_protocol_errors(self):
        """Unknown methods, unknown tools and params of the wrong shape have their JSON-RPC codes."""
        assert ask({"jsonrpc": "2.0", "id": 1, "method": "nope"})["error"]["code"] == -32601
        assert ask({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": [1]})["error"]["code"] == -32602
        assert call("nope", {})["error"]["code"] == -32602
        assert call(5, {})["error"]["code"] == -32602
        assert call("shout", [])["error"]["code"] == -32602
        assert ask([])["error"]["code"] == -32600

    def test_nonsense_is_a_parse_error(self):
        """A line that is not JSON is answered without an id."""
        answer = json.loads(make_server().answer(b"{nope") or b"")
        assert (answer["error"]["code"], answer["id"]) == (-32700, None)

    def test_notifications_and_responses_are_not_answered(self):
        """Only requests are answered."""
        server = make_server()
        assert server.answer(b'{"jsonrpc":"2.0","method":"notifications/initialized"}') is None
        assert server.answer(b'{"jsonrpc":"2.0","id":1,"result":{}}') is None

    @given(st.binary())
    def test_no_line_ends_the_server(self, line):
        """A line of any bytes is answered with one line or none."""
        answer = make_server().answer(line)
        assert answer is None or answer.count(b"\n") == 1

    @given(st.text(min_size=1))
    def test_texts_come_back(self, text):
        """Any text a client can send goes through a tool unharmed."""
        result = call("shout", {"text": text})["result"]
        assert result["content"][0]["text"] == text.upper()

    def test_serve_answers_each_line(self):
        """Blank lines are passed over, the rest is answered in order."""
        out = io.BytesIO()
        lines = [b'{"jsonrpc":"2.0","id":%d,"method":"ping"}\n' % n for n in range(3)]
        make_server().serve([lines[0], b"\n", lines[1], lines[2]], out)
        assert [json.loads(line)["id"] for line in out.getvalue().splitlines()] == [0, 1, 2]
