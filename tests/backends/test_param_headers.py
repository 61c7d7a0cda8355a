"""Streamable HTTP of the revision without sessions: headers that repeat the body, and streams that are closed."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from mcpgateway import interfaces
from mcpgateway.protocol import jsonrpc, modern, param_headers
from mcpgateway.protocol.jsonrpc import Message, MessageKind
from mcpgateway.protocol.versions import Era
from tests.backends.test_streamable import DISCOVERED, Far
from tests.support.scripted_http import Request

TOOLS = [
    {
        "name": "add",
        "inputSchema": {
            "type": "object",
            "properties": {
                "region": {"type": "string", "x-mcp-header": "Region"},
                "deep": {
                    "type": "object",
                    "properties": {"count": {"type": "integer", "x-mcp-header": "Count"}},
                },
            },
        },
    },
    {"name": "plain", "inputSchema": {"type": "object"}},
]


def modern_far() -> Far:
    """A server of the modern era that has been met."""
    far = Far(era=Era.MODERN).answers("server/discover", lambda asked: asked.result(DISCOVERED)).met()
    assert far.found == []
    return far


def listed(asked: Request) -> None:
    """Answer with the list of tools."""
    asked.result({"tools": TOOLS, "resultType": "complete"})


class HeaderTests:
    """Headers that repeat the body."""

    def test_every_request(self) -> None:
        """Revision and method are in headers; there is no session, and no standing stream."""
        far = modern_far()
        assert len(far.server.requests) == 1
        asked = far.server.last
        assert asked.headers["mcp-protocol-version"] == "2026-07-28"
        assert asked.headers["mcp-method"] == "server/discover"
        assert "mcp-name" not in asked.headers
        asked = far.begin("tools/list")
        asked.reply(200, {"jsonrpc": "2.0", "id": asked.json["id"], "result": {}}, Mcp_Session_Id="s")
        assert "mcp-session-id" not in far.begin("tools/list").headers

    def test_names(self) -> None:
        """The subject of a request is named, coded where it has to be."""
        far = modern_far()
        assert far.begin("tools/call", name="add").headers["mcp-name"] == "add"
        assert far.begin("prompts/get", name="é").headers["mcp-name"] == "=?base64?w6k=?="
        assert far.begin("resources/read", uri="file:///a b").headers["mcp-name"] == "file:///a b"

    def test_arguments(self) -> None:
        """Arguments that a list has marked are repeated; those that are absent or null are not."""
        far = modern_far()
        listed(far.begin("tools/list"))
        asked = far.begin(name="add", arguments={"region": "eu west", "deep": {"count": 3}})
        assert asked.headers["mcp-param-region"] == "eu west"
        assert asked.headers["mcp-param-count"] == "3"
        asked = far.begin(name="add", arguments={"region": None})
        assert not [name for name in asked.headers if name.startswith("mcp-param")]
        asked = far.begin(name="plain", arguments={"region": "eu"})
        assert not [name for name in asked.headers if name.startswith("mcp-param")]

    def test_another_list(self) -> None:
        """A later list goes before an earlier one, for the tools that it names."""
        far = modern_far()
        listed(far.begin("tools/list"))
        far.begin("tools/list").result({"tools": [{"name": "plain", "inputSchema": {}}]})
        assert "mcp-param-region" in far.begin(name="add", arguments={"region": "eu"}).headers
        far.begin("tools/list").result({"tools": [{"name": "add", "inputSchema": {}}]})
        assert "mcp-param-region" not in far.begin(name="add", arguments={"region": "eu"}).headers

    @given(
        st.dictionaries(
            st.sampled_from(["region", "deep"]), st.text() | st.integers() | st.none() | st.booleans()
        )
    )
    def test_agreement(self, arguments: dict[str, Any]) -> None:
        """The headers that one half writes are in order for the other half, whatever the arguments are."""
        params = param_headers.annotated(jsonrpc.raw(TOOLS[0]["inputSchema"]))
        try:
            raw = jsonrpc.raw(arguments)
        except UnicodeEncodeError:
            return
        said = param_headers.param_headers(params, raw)
        param_headers.check_params(
            params, raw, {name.encode(): value.encode() for name, value in said.items()}
        )

    def test_what_no_header_says(self) -> None:
        """Objects, lists and half surrogates are left to the server's judgement."""
        params = param_headers.annotated(jsonrpc.raw(TOOLS[0]["inputSchema"]))
        for value in (b"[1]", b'{"a":1}', b'"\\ud800"'):
            assert param_headers.param_headers(params, Raw(b'{"region":' + value + b"}")) == {}


class CorrectionTests:
    """A call that is refused for its headers."""

    def test_learnt(self) -> None:
        """The list is asked for, page by page and once for all that wait, and the calls are sent once more."""
        far = modern_far()
        far.send(name="add", arguments={"region": "eu"})
        far.send(name="add", arguments={"region": "us"})
        for asked in far.server.asked("tools/call"):
            assert "mcp-param-region" not in asked.headers
            asked.error(400, -32020)
        (asked,) = far.server.asked("tools/list")
        assert asked.headers["mcp-method"] == "tools/list"
        assert modern.CAPABILITIES_KEY in asked.json["params"]["_meta"]
        asked.result({"tools": TOOLS[1:], "nextCursor": "2"})
        asked = far.server.last
        assert asked.json["params"]["cursor"] == "2"
        asked.begin()
        asked.event_result({"tools": TOOLS[:1]})
        asked.finish()
        again = far.server.asked("tools/call")[2:]
        assert [each.headers["mcp-param-region"] for each in again] == ["eu", "us"]
        for each in again:
            each.result({"resultType": "complete"})
        assert len(far.found) == 2
        assert "code" not in far.found[0]

    def test_in_vain(self) -> None:
        """A call that is refused again is refused, whatever came of the list."""
        for answer in (listed, lambda asked: asked.reply(500), lambda asked: asked.cut()):
            far = modern_far()
            far.begin(name="add").error(400, -32020, "no header")
            answer(far.server.last)
            assert far.server.last.json["method"] == "tools/call"
            far.server.last.error(400, -32020, "no header")
            assert far.found == [{"code": -32020, "message": "no header"}]

    def test_taken_back(self) -> None:
        """A call that is taken back meanwhile is not sent again."""
        far = modern_far()
        asked = far.begin(name="add")
        asked.error(400, -32020)
        far.lines.cancel(far.lines.pending[asked.json["id"]], "no more")
        listed(far.server.last)
        assert len(far.server.asked("tools/call")) == 1


class StreamTests:
    """Streams, which are all there is."""

    def test_taken_back(self) -> None:
        """Closing its stream is how a request is taken back."""
        far = modern_far()
        asked = far.begin()
        asked.begin()
        far.lines.cancel(far.lines.pending[asked.json["id"]], "no more")
        assert asked.wire.is_aborted
        assert far.server.last is asked

    def test_not_resumed(self) -> None:
        """A stream that breaks is not resumed, ids or not."""
        far = modern_far()
        asked = far.begin()
        asked.begin()
        asked.event(id="e1")
        asked.cut()
        assert "broke" in far.found[0]["message"]
        far.net.pump([1] * 60)
        assert far.server.last is asked

    def test_listening(self) -> None:
        """A listening stays open beside all requests, and its end is said as a server on stdio says it."""
        for is_cut in (True, False):
            far = modern_far()
            envelope = jsonrpc.request(0, modern.LISTEN, {"_meta": {}, "notifications": {}})
            message = Message(MessageKind.REQUEST, envelope, modern.LISTEN)
            call = interfaces.Request(None, message, None, None)
            far.lines.request(call)
            asked = far.server.last
            asked.begin()
            asked.event({"jsonrpc": "2.0", "method": modern.ACKNOWLEDGED, "params": {}})
            if is_cut:
                asked.cut()
            else:
                asked.finish()
            assert far.methods() == [modern.ACKNOWLEDGED, "notifications/cancelled"]
            assert far.heard[-1][1]["requestId"] == asked.json["id"]

    def test_nothing_else_is_said(self) -> None:
        """No response is sent, since no server of this era asks; in the end there is nothing to delete."""
        far = modern_far()
        before = len(far.server.requests)
        far.backend.write(b'{"jsonrpc":"2.0","id":1,"result":{}}\n')
        done = far.backend.stop()
        far.net.advance(0)
        assert done.called
        assert len(far.server.requests) == before
