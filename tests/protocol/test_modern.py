"""The envelope of the modern era (MCP 2026-07-28)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from mcpgateway.errors import (
    GatewayError,
    HandshakeRefused,
    HeaderMismatch,
    MissingCapability,
    MissingEnvelope,
    UnservedRevision,
)
from mcpgateway.protocol import jsonrpc, modern, param_headers
from mcpgateway.protocol.jsonrpc import Message
from mcpgateway.protocol.versions import LEGACY, MODERN

VERSION_KEY = modern.PREFIX + "protocolVersion"
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=5), each, max_size=3),
    max_leaves=5,
)
names = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


def message(method: str = "tools/list", meta: Any = None, **params: Any) -> Message:
    """Return a request as it is read from a client."""
    said = dict(params)
    if meta is not None:
        said["_meta"] = meta
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": said}
    return jsonrpc.read_client(json.dumps(body).encode())


def envelope(version: Any = MODERN[-1], capabilities: Any = None, **more: Any) -> dict[str, Any]:
    """Return the client's part of a request."""
    return {VERSION_KEY: version, modern.CAPABILITIES_KEY: capabilities or {}, **more}


def headers(method: str, name: str | None = None, version: str = MODERN[-1]) -> dict[bytes, bytes]:
    """Return the headers that repeat a part of the body."""
    said = {b"mcp-protocol-version": version.encode(), b"mcp-method": method.encode()}
    return said | ({b"mcp-name": param_headers.encode_value(name)} if name is not None else {})


class EraTests:
    """Which era a message is of."""

    @given(st.none() | st.sampled_from([*LEGACY, *MODERN, "2099-01-01", "x", ""]), anything)
    def test_the_body_first(self, header: str | None, version: Any) -> None:
        """A body that names a revision is modern, whatever that is and whatever the header says."""
        said = header.encode() if header is not None else None
        for method in ("initialize", "tools/list"):
            assert modern.is_modern(message(method, {VERSION_KEY: version}), said)

    @pytest.mark.parametrize("header", [None, b"", b"x", *(each.encode() for each in LEGACY)])
    def test_neither(self, header: bytes | None) -> None:
        """A request without either is legacy."""
        assert not modern.is_modern(message(), header)
        assert not modern.is_modern(message(meta={}), header)

    @pytest.mark.parametrize("header", [b"2026-07-28", b"2099-12-31"])
    def test_the_header(self, header: bytes) -> None:
        """A later revision in the header makes it modern, unless it is a handshake."""
        assert modern.is_modern(message(), header)
        assert not modern.is_modern(message("initialize"), header)


class EnvelopeTests:
    """The required members of every request."""

    @given(anything, anything)
    def test_kinds(self, version: Any, capabilities: Any) -> None:
        """The revision is a string and the capabilities are an object; nothing else is judged here."""
        said = message(meta={VERSION_KEY: version, modern.CAPABILITIES_KEY: capabilities})
        if isinstance(version, str) and isinstance(capabilities, dict):
            modern.check_envelope(said)
        else:
            with pytest.raises(MissingEnvelope):
                modern.check_envelope(said)

    @given(st.text(max_size=20))
    def test_revisions(self, version: str) -> None:
        """A served revision is accepted, and the refusal of others names those that are."""
        if version in MODERN:
            return
        with pytest.raises(UnservedRevision) as refused:
            modern.check_revision(message(meta=envelope(version)))
        assert refused.value.data is not None
        assert refused.value.data["supported"] == list(MODERN)

    @given(anything)
    def test_tasks(self, capabilities: Any) -> None:
        """A client with any declaration declares tasks or does not."""
        said = {modern.CAPABILITIES_KEY: jsonrpc.raw(capabilities)}
        assert modern.has_tasks(said) is False
        with pytest.raises(MissingCapability):
            modern.check_tasks(said)

    @pytest.mark.parametrize("extensions", [None, 5, modern.TASKS_EXTENSION, [modern.TASKS_EXTENSION]])
    def test_tasks_that_are_none(self, extensions: Any) -> None:
        """Extensions that are no object declare nothing."""
        assert not modern.has_tasks({modern.CAPABILITIES_KEY: jsonrpc.raw({"extensions": extensions})})

    def test_tasks_declared(self) -> None:
        """Tasks are declared as an extension, with any settings."""
        for settings in ({}, None, {"x": 1}):
            said = {"extensions": {modern.TASKS_EXTENSION: settings}}
            modern.check_tasks({modern.CAPABILITIES_KEY: jsonrpc.raw(said)})


class HeaderTests:
    """The headers that repeat a part of the body."""

    @given(st.sampled_from(sorted(modern.NAMED)), names)
    def test_agree(self, method: str, name: str) -> None:
        """A header that repeats any name is accepted."""
        said = message(method, envelope(), **{modern.NAMED[method]: name})
        modern.check_headers(said, headers(method, name))

    @given(st.sampled_from(sorted(modern.NAMED)), names, names | st.none())
    def test_disagree(self, method: str, name: str, other: str | None) -> None:
        """A header that differs from the body is refused."""
        if name == other:
            return
        said = message(method, envelope(), **{modern.NAMED[method]: name})
        with pytest.raises(HeaderMismatch):
            modern.check_headers(said, headers(method, other))

    @given(st.binary(max_size=30), names)
    def test_any_bytes(self, header: bytes, name: str) -> None:
        """A header of any bytes has a verdict; a repeated header is never accepted."""
        said = message("prompts/get", envelope(), name=name)
        with pytest.raises(HeaderMismatch):
            modern.check_headers(said, headers("prompts/get") | {b"mcp-name": header + b"\0" + header})
        try:
            modern.check_headers(said, headers("prompts/get") | {b"mcp-name": header})
        except HeaderMismatch:
            return
        assert param_headers.decode_value(header) == name

    @pytest.mark.parametrize("name", [b"mcp-protocol-version", b"mcp-method"])
    @pytest.mark.parametrize("value", [None, b"", b"x", b"Tools/list", b"=?base64?dG9vbHMvbGlzdA==?="])
    def test_the_others(self, name: bytes, value: bytes | None) -> None:
        """Revision and method are repeated as they are."""
        said = {key: each for key, each in headers("tools/list").items() if key != name}
        with pytest.raises(HeaderMismatch):
            modern.check_headers(
                message(meta=envelope()), said | ({name: value} if value is not None else {})
            )

    def test_an_escaped_revision(self) -> None:
        """A revision counts by its value, not by the spelling of its JSON."""
        said = message(meta=envelope())
        assert said.meta is not None
        said.meta[VERSION_KEY] = Raw(b'"2026\\u002d07-28"')
        modern.check_headers(said, headers("tools/list"))

    @pytest.mark.parametrize("method", ["tools/list", "server/discover", "subscriptions/listen", "x/y"])
    def test_nothing_to_name(self, method: str) -> None:
        """Methods that name nothing need no name, and what stands there means nothing."""
        modern.check_headers(message(method, envelope()), headers(method))
        modern.check_headers(message(method, envelope()), headers(method, "x"))


class DiscoveryTests:
    """The answers of servers to server/discover."""

    @given(anything)
    def test_anything(self, result: Any) -> None:
        """An answer of any form is a DiscoverResult or refused, and passed on whole or in part."""
        reply = {"result": jsonrpc.raw(result)}
        try:
            modern.check_discovery(reply)
        except HandshakeRefused:
            pass
        assert json.loads(bytes(modern.served_only(reply["result"]))) == result

    @pytest.mark.parametrize(
        ("versions", "served"),
        [
            (["2026-07-28"], ["2026-07-28"]),
            (["2025-11-25", "2026-07-28", "2099-01-01"], ["2026-07-28"]),
            ([{}, None, "2026-07-28"], ["2026-07-28"]),
        ],
    )
    def test_revisions(self, versions: list[Any], served: list[str]) -> None:
        """The revisions that are passed on are those that are served here, with everything else unchanged."""
        said = Raw(json.dumps({"a": 1.50, "supportedVersions": versions, "b": None}).encode())
        modern.check_discovery({"result": said})
        passed = json.loads(bytes(modern.served_only(said)))
        assert passed == {"a": 1.5, "supportedVersions": served, "b": None}

    @pytest.mark.parametrize("versions", [[], ["2025-11-25"], [None], "2026-07-28", None])
    def test_none(self, versions: Any) -> None:
        """A server that speaks none of them is none of this era."""
        with pytest.raises(HandshakeRefused):
            modern.check_discovery({"result": jsonrpc.raw({"supportedVersions": versions})})

    def test_an_error(self) -> None:
        """An error as the answer is a refused handshake."""
        with pytest.raises(HandshakeRefused):
            modern.check_discovery({"error": jsonrpc.raw({"code": -32601, "message": "what?"})})


class CheckTests:
    """The three judgements as one, which sees most requests to be right without decoding anything."""

    @given(
        version=st.sampled_from([MODERN[-1], "2025-11-25", "2027-01-01", "", 7, None]),
        offers=st.sampled_from([{}, {"roots": {}}, [], None]),
        said=st.fixed_dictionaries(
            {},
            optional={
                b"mcp-protocol-version": st.sampled_from([MODERN[-1].encode(), b"2027-01-01", b"", b"x\0x"]),
                b"mcp-method": st.sampled_from([b"tools/call", b"tools/list", b""]),
                b"mcp-name": st.sampled_from([b"echo", b"=?base64?ZWNobw==?=", b"other", b""]),
            },
        ),
        method=st.sampled_from(["tools/call", "tools/list"]),
        is_mirrored=st.booleans(),
    )
    def test_the_same(
        self, *, version: Any, offers: Any, said: dict[bytes, bytes], method: str, is_mirrored: bool
    ) -> None:
        """The joint check finds what the three single checks find, one after the other."""
        meta = {VERSION_KEY: version, modern.CAPABILITIES_KEY: offers}
        asked = message(method, meta, name="echo")
        given_headers = said if is_mirrored else None

        def one_by_one() -> None:
            modern.check_envelope(asked)
            if given_headers is not None:
                modern.check_headers(asked, given_headers)
            modern.check_revision(asked)

        assert judged(lambda: modern.check(asked, given_headers)) == judged(one_by_one)


def judged(check: Callable[[], None]) -> type[GatewayError] | None:
    """The kind of fault that a check finds."""
    try:
        check()
    except GatewayError as why:
        return type(why)
    return None


class SubscriptionTests:
    """Which listen a notification belongs to."""

    @given(anything)
    def test_anything(self, params: Any) -> None:
        """A notification of any form names one subscription or none."""
        assert modern.subscription({"params": jsonrpc.raw(params)}) is None

    @pytest.mark.parametrize("identifier", [1, "1", None])
    def test_its_id(self, identifier: Any) -> None:
        """The id of a subscription is read as it is written."""
        meta = {modern.SUBSCRIPTION_KEY: identifier}
        found = modern.subscription({"params": jsonrpc.raw({"_meta": meta})})
        assert found is not None
        assert json.loads(bytes(found)) == identifier


def test_own_requests_are_modern() -> None:
    """The gateway's own requests pass its own judgement."""
    said = message(meta=modern.own_meta("1"))
    modern.check_envelope(said)
    modern.check_revision(said)
    modern.check_headers(said, headers("tools/list"))
    with pytest.raises(GatewayError):
        modern.check_tasks(said.meta)
