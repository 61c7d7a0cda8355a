"""Messages of one era, translated for the other."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from mcpgateway.errors import BadReply
from mcpgateway.protocol import jsonrpc, peek, translate
from mcpgateway.protocol.jsonrpc import PROTOCOL_VERSION_KEY, Envelope
from mcpgateway.protocol.modern import CAPABILITIES_KEY, INFO_KEY, LEVEL_KEY, SERVER_INFO_KEY
from mcpgateway.protocol.translate import (
    CACHEABLE,
    ENVELOPE_KEYS,
    QUESTIONS,
    REQUESTS_LIMIT,
)
from mcpgateway.protocol.versions import LATEST_LEGACY

MODERN = "2026-07-28"
META = {
    PROTOCOL_VERSION_KEY: jsonrpc.raw(MODERN),
    CAPABILITIES_KEY: jsonrpc.raw({"roots": {}}),
    INFO_KEY: jsonrpc.raw({"name": "c", "version": "1"}),
    LEVEL_KEY: jsonrpc.raw("info"),
}
INFO = Raw(b'{"name":"s","version":"1.10"}')

WORDS = [
    *("resultType", "ttlMs", "cacheScope", "inputRequests", "requestState", "inputResponses", "task", "data"),
    *("protocolVersion", "capabilities", "serverInfo", "supportedVersions", "extensions", "tasks", "roots"),
    *("code", "elicitations", "method", "params", "listChanged", SERVER_INFO_KEY, *ENVELOPE_KEYS),
]
RESERVED = {*WORDS, "_meta"}
# Beside a lone surrogate, names of private code points are refused as a whole message (`jsonrpc.decode`).
plain = st.characters(exclude_categories=("Cs", "Co"))
names = st.text(plain, max_size=6).filter(lambda name: name not in RESERVED)
numbers = st.sampled_from(
    [b"1.10", b"1e3", b"-0", b"123456789012345678901234567890", b'"\\ud800"', b"[ 1 ]"]
).map(Raw)
members = st.dictionaries(names, numbers, max_size=4)
documents = st.recursive(
    st.none() | st.booleans() | st.sampled_from([0, 7, -32002, -32042, "complete", "roots/list", "s"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*WORDS, "_meta"]) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=20,
)
envelopes = st.dictionaries(
    st.sampled_from([*WORDS, "_meta"]) | names, documents.map(jsonrpc.raw), max_size=6
)
methods = st.sampled_from([*sorted(CACHEABLE), "tools/call", "prompts/get", "strange"])


def read(value: Envelope | Raw) -> Any:
    """A translation as a value."""
    return json.loads(bytes(value) if isinstance(value, Raw) else jsonrpc.encode(value))


def envelope(value: dict[str, Any]) -> Envelope:
    """A value as an envelope."""
    return jsonrpc.decode(jsonrpc.encode(value))


class HandshakeTests:
    """The handshake of one era, and the discovery of the other."""

    def test_a_hello_of_a_modern_server(self) -> None:
        """A legacy client is told all that a modern server says, but for what only its own era has."""
        discovered = envelope(
            {
                "resultType": "complete",
                "supportedVersions": [MODERN],
                "capabilities": {
                    "tools": {"listChanged": True},
                    "extensions": {"x": {}},
                    "strange": Raw(b"1.10"),
                },
                "instructions": "i",
                "ttlMs": 7,
                "cacheScope": "public",
                "strange": 7,
                "_meta": {SERVER_INFO_KEY: INFO, "kept": 1},
            }
        )
        hello = translate.hello_from_discovery(discovered)
        assert read(hello) == {
            "protocolVersion": LATEST_LEGACY,
            "capabilities": {"tools": {"listChanged": True}, "strange": 1.1},
            "serverInfo": {"name": "s", "version": "1.10"},
            "instructions": "i",
            "strange": 7,
            "_meta": {"kept": 1},
        }
        assert b"1.10" in bytes(hello["capabilities"])

    @pytest.mark.parametrize(
        "discovered", [{}, {"capabilities": 7, "_meta": {SERVER_INFO_KEY: "s"}}, {"_meta": 7}]
    )
    def test_a_server_without_a_name(self, discovered: dict[str, Any]) -> None:
        """A legacy client is always told a name, a version and capabilities."""
        assert read(translate.hello_from_discovery(envelope(discovered))) == {
            "protocolVersion": LATEST_LEGACY,
            "capabilities": {},
            "serverInfo": {"name": "unnamed", "version": "0"},
        }

    def test_a_discovery_of_a_legacy_server(self) -> None:
        """A modern client is told all that a legacy server says, but for what only its own era has."""
        hello = envelope(
            {
                "protocolVersion": LATEST_LEGACY,
                "capabilities": {"tools": {}, "tasks": {"list": {}}, "extensions": {"x": {}}},
                "serverInfo": INFO,
                "instructions": "i",
                "_meta": {"kept": 1},
            }
        )
        assert read(translate.discovery_from_hello(hello, MODERN)) == {
            "resultType": "complete",
            "supportedVersions": [MODERN],
            "capabilities": {"tools": {}, "extensions": {"x": {}}},
            "instructions": "i",
            "ttlMs": 0,
            "cacheScope": "private",
            "_meta": {SERVER_INFO_KEY: {"name": "s", "version": "1.10"}, "kept": 1},
        }
        assert "_meta" not in translate.discovery_from_hello({}, MODERN)

    @given(members, members)
    def test_there_and_back(self, others: Envelope, offers: Envelope) -> None:
        """Members that both eras know come back byte for byte."""
        hello = others | {
            "protocolVersion": jsonrpc.raw(LATEST_LEGACY),
            "capabilities": jsonrpc.raw(offers),
            "serverInfo": INFO,
        }
        assert translate.hello_from_discovery(translate.discovery_from_hello(hello, MODERN)) == hello

    @given(envelopes)
    def test_anything(self, said: Envelope) -> None:
        """The client of a server with any answer gets the members that every such result has."""
        hello = translate.hello_from_discovery(said)
        assert {"protocolVersion", "capabilities", "serverInfo"} <= set(hello)
        discovered = translate.discovery_from_hello(said, MODERN)
        assert set(read(discovered["capabilities"])) <= set(peek.members(said, "capabilities"))
        assert {"resultType", "supportedVersions", "ttlMs", "cacheScope"} <= set(discovered)
        assert "protocolVersion" not in discovered


class CapabilityTests:
    """The capabilities of a client."""

    def test_for_a_legacy_server(self) -> None:
        """The capabilities for a legacy server leave out extensions and changes of the roots, and keep the rest."""
        offers = {"roots": {"listChanged": True, "x": 1}, "elicitation": {"url": {}}, "extensions": {"x": {}}}
        meta = {CAPABILITIES_KEY: jsonrpc.raw(offers)}
        assert translate.client_capabilities_for_legacy(meta) == {
            "roots": {"x": 1},
            "elicitation": {"url": {}},
        }
        assert translate.client_capabilities_for_legacy({CAPABILITIES_KEY: Raw(b"7")}) == {}
        assert translate.client_capabilities_for_legacy({}) == {}

    def test_for_a_modern_server(self) -> None:
        """The capabilities for a modern server leave out tasks and changes of the roots, and keep the rest."""
        offers = {"roots": {"listChanged": True}, "tasks": {}, "sampling": {}, "extensions": {"x": {}}}
        chosen = translate.client_capabilities_for_modern(offers)
        assert chosen == {"roots": {}, "sampling": {}, "extensions": {"x": {}}}
        assert offers["roots"] == {"listChanged": True}
        assert translate.client_capabilities_for_modern({"roots": 7}) == {"roots": 7}


class ParamsTests:
    """The parameters of a client's request."""

    def test_for_a_modern_server(self) -> None:
        """The envelope stands beside the client's own members; a task of the legacy era is not asked for."""
        params = envelope(
            {"name": "add", "task": {"ttl": 1}, "_meta": {"progressToken": 7, PROTOCOL_VERSION_KEY: "forged"}}
        )
        assert read(translate.modern_params(params, META)) == {
            "name": "add",
            "_meta": read(META) | {"progressToken": 7},
        }
        assert read(translate.modern_params(None, META)) == {"_meta": read(META)}
        assert "task" in params

    def test_for_a_legacy_server(self) -> None:
        """The envelope and what belongs to answers is left out; everything else stays."""
        params = envelope(
            {
                "name": "add",
                "inputResponses": {"a": {}},
                "requestState": "s",
                "_meta": {
                    **META,
                    "progressToken": 7,
                    "traceparent": "00-1",
                    "io.modelcontextprotocol/other": 1,
                },
            }
        )
        assert read(translate.legacy_params(params) or {}) == {
            "name": "add",
            "_meta": {"progressToken": 7, "traceparent": "00-1", "io.modelcontextprotocol/other": 1},
        }

    @pytest.mark.parametrize("params", [None, {}, {"_meta": META}, {"_meta": {}}, {"_meta": 7}])
    def test_nothing_left(self, params: dict[str, Any] | None) -> None:
        """Where nothing is left there are no parameters."""
        assert translate.legacy_params(None if params is None else envelope(params)) is None

    @given(members, members)
    def test_there_and_back(self, params: Envelope, meta: Envelope) -> None:
        """Parameters that both eras know come back byte for byte."""
        said = params | ({"_meta": jsonrpc.raw(meta)} if meta else {})
        assert (translate.legacy_params(translate.modern_params(said, META)) or {}) == said

    @given(envelopes)
    def test_anything(self, params: Envelope) -> None:
        """A modern server gets the whole envelope and a legacy server none of it, with any parameters."""
        asked = read(translate.modern_params(params, META))
        assert asked["_meta"].items() >= read(META).items()
        left = translate.legacy_params(params) or {}
        assert not {"inputResponses", "requestState"} & set(left)
        assert not set(ENVELOPE_KEYS) & set(peek.members(left, "_meta"))


class ResultTests:
    """The results of a server."""

    @given(methods, members, members)
    def test_there_and_back(self, method: str, result: Envelope, meta: Envelope) -> None:
        """Results that both eras know come back byte for byte."""
        said = jsonrpc.raw(result | ({"_meta": jsonrpc.raw(meta)} if meta else {}))
        for info in (INFO, None):
            answered = translate.modern_result(method, said, info)
            assert translate.kind_of(answered) == "complete"
            back = translate.legacy_result(method, answered)
            assert jsonrpc.read_object(back, "result") == jsonrpc.read_object(said, "result")

    @given(methods, envelopes)
    def test_anything(self, method: str, result: Envelope) -> None:
        """A client gets the members of its era and no others, of any result."""
        said = jsonrpc.raw(result)
        modern = read(translate.modern_result(method, said, INFO))
        assert modern["resultType"] == "complete"
        assert modern["_meta"][SERVER_INFO_KEY] == read(INFO)
        assert ({"ttlMs", "cacheScope"} <= set(modern)) or method not in CACHEABLE
        legacy = read(translate.legacy_result(method, said))
        assert "resultType" not in legacy
        assert method not in CACHEABLE or not {"ttlMs", "cacheScope"} & set(legacy)
        assert not isinstance(legacy.get("_meta"), dict) or SERVER_INFO_KEY not in legacy["_meta"]

    def test_how_long_it_may_be_kept(self) -> None:
        """A server's own time of validity stays, and only results that can be cached have one."""
        said = Raw(b'{"tools":[],"ttlMs":5}')
        assert read(translate.modern_result("tools/list", said, None)) == {
            "tools": [],
            "resultType": "complete",
            "ttlMs": 5,
            "cacheScope": "private",
        }
        assert read(translate.modern_result("tools/call", Raw(b"{}"), None)) == {"resultType": "complete"}
        assert read(translate.legacy_result("tools/call", said)) == {"tools": [], "ttlMs": 5}
        assert read(translate.legacy_result("tools/list", said)) == {"tools": []}

    def test_untouched(self) -> None:
        """A result without any word of the modern era is passed on as it is."""
        said = Raw(b'{ "content": [1.10] }')
        assert translate.legacy_result("tools/call", said) is said

    @pytest.mark.parametrize("odd", [b"7", b'"resultType"', b'["resultType"]', b"null"])
    def test_no_object(self, odd: bytes) -> None:
        """A result that is no object is passed on unchanged."""
        assert bytes(translate.legacy_result("tools/list", Raw(odd))) == odd
        assert bytes(translate.modern_result("tools/list", Raw(odd), INFO)) == odd

    @pytest.mark.parametrize(
        ("result", "kind"),
        [
            (b"{}", "complete"),
            (b"7", "complete"),
            (b'["resultType"]', "complete"),
            (b'{"a":"\\"resultType\\""}', "complete"),
            (b'{"a":{"resultType":"task"}}', "complete"),
            (b'{"resultType":"complete"}', "complete"),
            (b'{"resultType" : "input_required"}', "input_required"),
            (b'{"resultType":"task"}', "task"),
            (b'{"resultType":7}', ""),
            (b'{"resultType":null}', ""),
        ],
    )
    def test_kinds(self, result: bytes, kind: str) -> None:
        """A result says of what kind it is, and is complete where it says nothing."""
        assert translate.kind_of(Raw(result)) == kind


class ErrorTests:
    """The errors of a server."""

    @pytest.mark.parametrize(
        ("code", "known"), [(-32002, -32602), (-32042, -32603), (-32000, -32000), (0, 0)]
    )
    def test_codes(self, code: int, known: int) -> None:
        """Codes that are not used any more are replaced; the rest of the error stays."""
        error = {"code": code, "message": "m", "data": Raw(b"1.10"), "x": 1}
        told = translate.modern_error(jsonrpc.raw(error))
        assert read(told) == {"code": known, "message": "m", "data": 1.1, "x": 1}
        assert b"1.10" in bytes(told)

    @given(documents)
    def test_anything(self, error: Any) -> None:
        """The codes of an older revision are replaced in any error, and their meaning can be looked up."""
        told = read(translate.modern_error(jsonrpc.raw(error)))
        assert not isinstance(told, dict) or told.get("code") not in (-32002, -32042)
        found = translate.elicitations_of(jsonrpc.raw(error))
        assert found is None or found

    def test_elicitations(self) -> None:
        """An error that sends the user somewhere says where."""
        where = {"mode": "url", "elicitationId": "e", "url": "https://example.com", "message": "m"}
        error = {"code": -32042, "message": "m", "data": {"elicitations": [where, 7]}}
        assert translate.elicitations_of(jsonrpc.raw(error)) == [where]
        assert translate.elicitations_of(jsonrpc.raw(error | {"code": -32000})) is None

    @pytest.mark.parametrize("data", [None, 7, {}, {"elicitations": 7}, {"elicitations": [7]}])
    def test_no_elicitations(self, data: Any) -> None:
        """Where none can be read there are none."""
        assert translate.elicitations_of(jsonrpc.raw({"code": -32042, "data": data})) is None


class InputTests:
    """The questions in a result."""

    def test_questions_and_state(self) -> None:
        """A question comes under its key, and the state byte for byte."""
        found, state = translate.input_requests(
            Raw(
                b'{"resultType":"input_required","requestState":"s\\u00e9","inputRequests":'
                b'{"a":{"method":"elicitation/create","params":{"x":1.10}},"b":{"method":"roots/list"}}}'
            )
        )
        assert {key: (each.method, bytes(each.params)) for key, each in found.items()} == {
            "a": ("elicitation/create", b'{"x":1.10}'),
            "b": ("roots/list", b"{}"),
        }
        assert state is not None
        assert bytes(state) == b'"s\\u00e9"'

    @pytest.mark.parametrize(
        ("result", "questions", "state"),
        [
            (b'{"requestState":"s"}', 0, Raw(b'"s"')),
            (b'{"inputRequests":{},"requestState":"s"}', 0, Raw(b'"s"')),
            (b'{"inputRequests":{"a":{"method":"roots/list"}}}', 1, None),
            (b'{"inputRequests":{"a":{"method":"roots/list"}},"requestState":null}', 1, None),
            (b'{"inputRequests":null,"requestState":"s"}', 0, Raw(b'"s"')),
        ],
    )
    def test_one_of_the_two(self, result: bytes, questions: int, state: Raw | None) -> None:
        """A result may have questions without a state, or a state without questions."""
        found, kept = translate.input_requests(Raw(result))
        assert (len(found), kept) == (questions, state)

    @pytest.mark.parametrize(
        "result",
        [
            b"7",
            b"{}",
            b'{"inputRequests":{}}',
            b'{"inputRequests":7,"requestState":"s"}',
            b'{"requestState":7}',
            b'{"inputRequests":{"a":7}}',
            b'{"inputRequests":{"a":{}}}',
            b'{"inputRequests":{"a":{"method":7}}}',
            b'{"inputRequests":{"a":{"method":"tools/call"}}}',
            b'{"inputRequests":{"a":{"method":"roots/list","params":[]}}}',
        ],
    )
    def test_nonsense(self, result: bytes) -> None:
        """A question that no client could answer is a bad reply."""
        with pytest.raises(BadReply):
            translate.input_requests(Raw(result))

    def test_too_many(self) -> None:
        """A server cannot ask without end."""
        asked = {str(nth): {"method": "roots/list"} for nth in range(REQUESTS_LIMIT + 1)}
        with pytest.raises(BadReply):
            translate.input_requests(jsonrpc.raw({"inputRequests": asked, "requestState": "s"}))
        del asked["0"]
        assert len(translate.input_requests(jsonrpc.raw({"inputRequests": asked}))[0]) == REQUESTS_LIMIT

    @given(documents)
    def test_anything(self, result: Any) -> None:
        """A question of any form can be asked, or is a bad reply."""
        try:
            found, state = translate.input_requests(jsonrpc.raw(result))
        except BadReply:
            return
        assert found or state is not None
        assert all(each.method in QUESTIONS for each in found.values())
