"""Headers that repeat a part of the body: how they are written, which there are, and that they agree with it."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from mcpgateway.errors import GatewayError, HeaderMismatch, UnservedRevision
from mcpgateway.protocol import jsonrpc, param_headers
from mcpgateway.protocol.param_headers import (
    Param,
    annotated,
    check_params,
    decode_value,
    encode_value,
)

texts = st.text(max_size=40) | st.text(st.sampled_from(" \t=?base64é"), max_size=20)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["x-mcp-header", "type", "properties", "items", "$defs", "not", "anyOf", "a"])
            | st.text(max_size=3),
            inner | st.sampled_from(["string", "integer", "A"]),
            max_size=4,
        )
    ),
    max_leaves=20,
)
REGION = Param(("region",), b"mcp-param-region")


def schema(**properties: Any) -> Raw:
    """An input schema of these properties."""
    return jsonrpc.raw({"type": "object", "properties": properties})


def text(header: Any = "Region", kind: Any = "string") -> dict[str, Any]:
    """A property that is repeated in a header."""
    return {"type": kind, "x-mcp-header": header}


class ValueTests:
    """The spelling of a text in a header."""

    @given(texts)
    def test_round_trip(self, said: str) -> None:
        """A written text of any characters can be read, and is visible ASCII."""
        header = encode_value(said)
        assert decode_value(header) == said
        assert decode_value(b" " + header + b"\t") == said
        assert all(each == 9 or 32 <= each < 127 for each in header)
        assert header == header.strip()

    @pytest.mark.parametrize(
        "plain", ["", "add", "a b", "a\tb", "=?base64?", "=?BASE64?w6k=?=", "?=", "=?base64?="]
    )
    def test_plain(self, plain: str) -> None:
        """A value without both markers is the text itself."""
        assert decode_value(plain.encode()) == plain

    @pytest.mark.parametrize(
        ("said", "header"),
        [
            ("add", b"add"),
            ("a\tb", b"a\tb"),
            ("é", b"=?base64?w6k=?="),
            (" add", b"=?base64?IGFkZA==?="),
            ("a\n", b"=?base64?YQo=?="),
            ("=?base64?YQ==?=", b"=?base64?PT9iYXNlNjQ/WVE9PT89?="),
        ],
    )
    def test_examples(self, said: str, header: bytes) -> None:
        """A text is coded only if it would not arrive unchanged, or would be mistaken."""
        assert encode_value(said) == header

    @pytest.mark.parametrize(
        "header",
        [
            b"=?base64?w6k?=",
            b"=?base64?w6l=?=",
            b"=?base64?w6k=\t?=",
            b"=?base64?***?=",
            b"=?base64?/w==?=",
            b"\xc3\xa9",
            b"a\x00a",
            b"a\x7f",
        ],
    )
    def test_nonsense(self, header: bytes) -> None:
        """Bad base64, bytes that are no UTF-8, and a header that came twice are refused."""
        with pytest.raises(HeaderMismatch):
            decode_value(header)

    @given(st.binary(max_size=40) | st.binary(max_size=20).map(lambda some: b"=?base64?" + some + b"?="))
    def test_anything(self, header: bytes) -> None:
        """A header of any bytes is a text that is spelled in the same way, or a mismatch."""
        try:
            said = decode_value(header)
        except HeaderMismatch:
            return
        assert decode_value(encode_value(said)) == said

    @given(st.binary(max_size=20))
    def test_coded_octets(self, octets: bytes) -> None:
        """Octets in base64 are read where they are UTF-8, and only there."""
        header = b"=?base64?" + b64encode(octets) + b"?="
        try:
            said = octets.decode()
        except UnicodeDecodeError:
            with pytest.raises(HeaderMismatch):
                decode_value(header)
        else:
            assert decode_value(header) == said


class AnnotationTests:
    """Which arguments a tool's schema has repeated."""

    def test_properties(self) -> None:
        """Annotated properties are found with the way to them and the header's name, at any depth."""
        inner = {"type": "object", "properties": {"b": text("B.b", "integer"), "c": {"type": "string"}}}
        assert annotated(schema(region=text(), a=inner)) == (
            REGION,
            Param(("a", "b"), b"mcp-param-b.b"),
        )

    @pytest.mark.parametrize(
        "bad",
        [
            {"a": text("")},
            {"a": text("a b")},
            {"a": text("a:b")},
            {"a": text("é")},
            {"a": text("A\n")},
            {"a": text(7)},
            {"a": text("A", "number")},
            {"a": text("A", "array")},
            {"a": text("A", ["string"])},
            {"a": {"x-mcp-header": "A"}},
            {"a": text("REGION")},
            {"a": {"type": "array", "items": text("A")}},
            {"a": {"anyOf": [text("A")]}},
            {"a": {"anyOf": [{"properties": {"b": text("A")}}]}},
            {"a": {"$defs": {"b": text("A")}}},
        ],
    )
    def test_broken_rules(self, bad: dict[str, Any]) -> None:
        """A schema with one bad annotation has none at all."""
        assert annotated(schema(region=text(), **bad)) == ()

    def test_the_root(self) -> None:
        """The arguments as a whole cannot be repeated."""
        assert annotated(jsonrpc.raw(text())) == ()

    def test_data(self) -> None:
        """The word means nothing as a property's name, nor in an example."""
        found = annotated(
            schema(
                **{
                    "x-mcp-header": {"type": "string"},
                    "region": text(),
                    "c": {"default": text(7), "items": True},
                }
            )
        )
        assert found == (REGION,)

    @pytest.mark.parametrize(
        "odd", [b"7", b"null", b'["x-mcp-header"]', b'"x-mcp-header"', b'{"properties":["x-mcp-header"]}']
    )
    def test_no_schema(self, odd: bytes) -> None:
        """A value that is no schema has no annotations."""
        assert annotated(Raw(odd)) == ()

    def test_depth(self) -> None:
        """However deep a schema is nested, it breaks nothing."""
        deep = b'{"properties":{"a":' * 5000 + b'{"type":"string","x-mcp-header":"A"}' + b"}}" * 5000
        assert annotated(Raw(deep)) == ()
        assert param_headers.annotations(Raw(b'[{"name":"a","inputSchema":' + deep + b"}]")) == {}
        short = b'{"properties":{"a":' * 100 + b'{"type":"string","x-mcp-header":"A"}' + b"}}" * 100
        assert annotated(Raw(short)) == (Param(("a",) * 100, b"mcp-param-a"),)

    @given(documents)
    def test_anything(self, document: Any) -> None:
        """The annotations in any declaration are tokens that differ."""
        found = annotated(jsonrpc.raw(document))
        assert all(param.path and param.header.startswith(b"mcp-param-") for param in found)
        assert len({param.header for param in found}) == len(found)

    def test_a_list_of_tools(self) -> None:
        """Tools are found by name, those without annotations and those that are none left out."""
        tools = [
            {"name": "one", "inputSchema": {"properties": {"region": text()}}},
            {"name": "two", "inputSchema": {"properties": {"region": {"type": "string"}}}},
            {"name": "bad", "inputSchema": {"properties": {"region": text("a b")}}},
            {"name": "none"},
            {"name": 7, "inputSchema": {"properties": {"region": text()}}},
            7,
        ]
        assert param_headers.annotations(jsonrpc.raw(tools)) == {"one": (REGION,)}

    @pytest.mark.parametrize(
        "tools", [b"[]", b'[{"name":"one"}]', b"7", b'{"x-mcp-header":1}', b'"x-mcp-header"']
    )
    def test_no_tools(self, tools: bytes) -> None:
        """A list without the word, or what is no list, has none."""
        assert param_headers.annotations(Raw(tools)) == {}


def check(arguments: bytes | None, header: bytes | None) -> bool:
    """Return whether a header agrees with the arguments."""
    headers = {b"mcp-param-other": b"x"} | ({} if header is None else {b"mcp-param-region": header})
    try:
        check_params((REGION,), None if arguments is None else Raw(arguments), headers)
    except HeaderMismatch:
        return False
    return True


class AgreementTests:
    """Headers and arguments."""

    @given(st.text(max_size=20), st.text(max_size=20))
    def test_texts(self, one: str, other: str) -> None:
        """A text agrees with itself, however it is written in JSON, and with no other."""
        for ascii_only in (True, False):
            arguments = json.dumps({"region": one}, ensure_ascii=ascii_only).encode()
            assert check(arguments, encode_value(one))
            assert check(arguments, encode_value(other)) is (one == other)

    @given(st.integers(), st.integers())
    def test_integers(self, one: int, other: int) -> None:
        """An integer of any size agrees with itself alone."""
        assert check(b'{"region":%d}' % one, b"%d" % one)
        assert check(b'{"region":%d}' % one, b"%d.0" % one)
        assert check(b'{"region":%d.00}' % one, b"%de0" % one)
        assert check(b'{"region":%d}' % one, b"%d" % other) is (one == other)

    @pytest.mark.parametrize(
        ("argument", "header", "is_same"),
        [
            (b"1e0", b"1", True),
            (b"10", b"1e1", True),
            (b"10", b"1E+01", True),
            (b"0", b"-0", True),
            (b"1.5", b"1.5", True),
            (b"1", b"01", False),
            (b"1", b"+1", False),
            (b"1", b"1.", False),
            (b"1", b"\xef\xbc\x91", False),
            (b"1", b"=?base64?MQ==?=", True),
            (b"1", b"true", False),
            (b"1", b"", False),
            (b"1", b"NaN", False),
            (b"9007199254740993", b"9007199254740992", False),
            (b"1e999999999", b"1e999999998", False),
            (b"1e99999999999999999999", b"1e99999999999999999999", True),
            (b"1e99999999999999999999", b"1e99999999999999999998", False),
            (b"true", b"true", True),
            (b"true", b"True", False),
            (b"true", b"1", False),
            (b"false", b"false", True),
            (b'"1"', b"1", True),
            (b'"1"', b"1.0", False),
            (b'"true"', b"true", True),
            (b'""', b"", True),
            (b'"\\ud800"', b"x", False),
            (b'"a"', b"a\x00a", False),
            (b'"a"', b"=?base64?YQ?=", False),
            (b"{}", b"{}", False),
            (b"[1]", b"[1]", False),
        ],
    )
    def test_examples(self, argument: bytes, header: bytes, is_same: Any) -> None:
        """Integers are compared as numbers, everything else as text."""
        assert check(b'{"region": ' + argument + b" }", header) is is_same

    @pytest.mark.parametrize("arguments", [None, b"{}", b'{"region":null}', b"7", b'{"other":1}'])
    def test_no_argument(self, arguments: bytes | None) -> None:
        """A header without its argument is a mismatch, whatever it says; no header is none."""
        assert check(arguments, None)
        assert not check(arguments, b"null")
        assert not check(arguments, b"")

    @pytest.mark.parametrize("argument", [b'""', b"0", b"false", b'"x"'])
    def test_no_header(self, argument: bytes) -> None:
        """An argument without its header is a mismatch."""
        assert not check(b'{"region":' + argument + b"}", None)

    @pytest.mark.parametrize("argument", [b"{}", b"[]"])
    def test_no_header_can_say_it(self, argument: bytes) -> None:
        """An argument that no header can repeat is left to the server to refuse."""
        assert check(b'{"region":' + argument + b"}", None)

    def test_inner_arguments(self) -> None:
        """An argument within another is found."""
        param = Param(("a", "b"), b"mcp-param-b")
        check_params((param,), Raw(b'{"a":{"b":1}}'), {b"mcp-param-b": b"1"})
        check_params((param,), Raw(b'{"a":7}'), {})
        with pytest.raises(HeaderMismatch, match=r"mcp-param-b .* a\.b"):
            check_params((param,), Raw(b'{"a":{"b":1}}'), {b"mcp-param-b": b"2"})

    def test_no_params(self) -> None:
        """A tool without annotations is not looked at."""
        check_params((), Raw(b"nonsense"), {b"mcp-param-region": b"x"})

    @given(documents, st.binary(max_size=10))
    def test_anything(self, document: Any, header: bytes) -> None:
        """A header and arguments of any form agree or do not."""
        check(bytes(jsonrpc.raw(document)), header)
        check(bytes(jsonrpc.raw({"region": document})), header)


class ErrorTests:
    """The data of a refusal, beside its sentence."""

    def test_an_unserved_revision(self) -> None:
        """A caller with an unserved revision is told which revisions are served."""
        assert HeaderMismatch("").code == -32020
        body = json.loads(jsonrpc.error_bytes(b"7", UnservedRevision("2099-01-01", ["2026-07-28"])))
        assert body["error"]["code"] == -32022
        assert body["error"]["data"] == {"supported": ["2026-07-28"], "requested": "2099-01-01"}

    def test_data_and_a_hint(self) -> None:
        """A hint stands beside the error's own data; where there is neither, there is no data."""
        both = json.loads(jsonrpc.error_bytes(b"7", GatewayError("no", "try", {"a": 1})))
        assert both["error"] == {"code": -32603, "message": "no", "data": {"a": 1, "hint": "try"}}
        assert "data" not in json.loads(jsonrpc.error_bytes(b"7", GatewayError("no")))["error"]


class ListTests:
    """The names in a list of tools."""

    def test_names(self) -> None:
        """Readable names are read, and none where there is no list."""
        assert param_headers.names(Raw(b'[{"name":"a"},{"name":7},8,{"name":"b"}]')) == ["a", "b"]
        assert param_headers.names(Raw(b'{"name":"a"}')) == []
