"""Calls of tools as HTTP requests, and answers as results."""

from __future__ import annotations

from base64 import b64decode, b64encode
from email import message_from_bytes
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as some

from mcpgateway.backends.rest.calls import Offered, listed, request_of, result_of
from mcpgateway.config.reach_settings import RestTool
from mcpgateway.errors import InvalidParams
from mcpgateway.protocol import jsonrpc

BASE = "https://api.example/v1"
FORM = "application/x-www-form-urlencoded"


def tool(path: str = "/x", method: str = "GET", **places: str) -> RestTool:
    """A tool with these places."""
    schema = {"properties": {name: {} for name in places}}
    return RestTool("t", method, path, schema=schema, places=places)


def target(made: RestTool, **arguments: Any) -> str:
    """Path and query of a call."""
    url = request_of(made, BASE, {}, arguments).url
    assert url.startswith(f"{BASE}/")
    return url.removeprefix(BASE)


class RequestTests:
    """Requests that are made of calls."""

    @pytest.mark.parametrize(
        ("place", "value", "query"),
        [
            ("query", "a b&c", "q=a%20b%26c"),
            ("query", ["a", 1, True], "q=a&q=1&q=true"),
            ("query", {"a": 1, "b": "2"}, "a=1&b=2"),
            ("query", None, ""),
            ("query:f[x]", 1.5, "f%5Bx%5D=1.5"),
            ("query-list", ["a", "b"], "q=a%2Cb"),
            ("query-list", {"a": 1}, "q=a%2C1"),
            ("query-list", None, ""),
            ("query-deep", {"a": 1, "b": 2}, "q%5Ba%5D=1&q%5Bb%5D=2"),
            ("query-deep", "x", "q=x"),
            ("query-json", {"a": [1]}, "q=%7B%22a%22%3A%20%5B1%5D%7D"),
        ],
    )
    def test_query(self, place: str, value: Any, query: str) -> None:
        """Every style of a query is written as its standard says."""
        assert target(tool(q=place), q=value) == "/x" + (f"?{query}" if query else "")

    def test_usual_places(self) -> None:
        """Where no place is said, an argument goes into the path, the query or the body."""
        assert target(RestTool("t", "GET", "/x/{p}"), p="a", q="b") == "/x/a?q=b"
        request = request_of(RestTool("t", "POST", "/x"), BASE, {}, {"a": 1, "b": ["é"]})
        assert request.body == '{"a": 1, "b": ["é"]}'.encode()
        assert request.headers["content-type"] == "application/json"

    def test_whole_body(self) -> None:
        """The whole body may be one argument, of any kind."""
        request = request_of(tool(method="PUT", body="whole-body"), BASE, {}, {"body": [1, None]})
        assert request.body == b"[1, null]"
        assert not request_of(tool(method="PUT", body="whole-body"), BASE, {}, {}).body

    @pytest.mark.parametrize("value", ["..", ".", "", "../x", "a/../b", "..\\x", "/..", "\0"])
    def test_no_way_up(self, value: str) -> None:
        """No argument leads out of its place in the path, however the service reads it."""
        with pytest.raises(InvalidParams, match="Argument p must be one segment"):
            target(tool("/x/{p}", p="path"), p=value)

    @given(some.text(min_size=1), some.text(), some.dictionaries(some.text(), some.text() | some.integers()))
    def test_any_argument(self, segment: str, text: str, mapping: dict[str, Any]) -> None:
        """The host and the path stay the same for any arguments, and the service reads their meaning."""
        made = tool("/x/{p}/y", p="path", q="query", d="query-deep")
        try:
            url = request_of(made, BASE, {}, {"p": segment, "q": text, "d": mapping}).url
        except (InvalidParams, UnicodeEncodeError):
            return
        split = urlsplit(url)
        assert url.isascii()
        assert split.netloc == "api.example"
        head, middle, tail = split.path.removeprefix("/v1").rpartition("/")
        assert head.startswith("/x/")
        assert (middle, tail) == ("/", "y")
        assert unquote(head.removeprefix("/x/")) == segment
        assert ("q", text) in parse_qsl(split.query, keep_blank_values=True)

    @pytest.mark.parametrize(
        ("place", "value", "path"),
        [
            ("path", [1, "a/b"], "1,a%2Fb"),
            ("path", {"a": 1, "b": 2}, "a,1,b,2"),
            ("path-exploded", {"a": 1, "b": 2}, "a=1,b=2"),
            ("path-exploded", [1, 2], "1,2"),
            ("path-label", "x", ".x"),
            ("path-label", [1, 2], ".1,2"),
            ("path-label-exploded", [1, 2], ".1.2"),
            ("path-label-exploded", {"a": 1, "b": 2}, ".a=1.b=2"),
            ("path-matrix", 5, ";p=5"),
            ("path-matrix", [1, 2], ";p=1,2"),
            ("path-matrix-exploded", [1, 2], ";p=1;p=2"),
            ("path-matrix-exploded", {"a": 1, "b": 2}, ";a=1;b=2"),
        ],
    )
    def test_paths(self, place: str, value: Any, path: str) -> None:
        """Every style of a path is written as its standard says."""
        assert target(tool("/x/{p}", p=place), p=value) == f"/x/{path}"

    @pytest.mark.parametrize("place", ["path", "path-label", "path-matrix-exploded"])
    @pytest.mark.parametrize("value", [[], {}, ["a", ".."], {"..": "a"}, {"a": "../b"}])
    def test_no_way_up_in_parts(self, place: str, value: Any) -> None:
        """Nor does a part of an argument lead out, or an empty one."""
        with pytest.raises(InvalidParams, match="Argument p must"):
            target(tool("/x/{p}", p=place), p=value)

    @pytest.mark.parametrize(
        ("place", "value", "query"),
        [
            ("query-space", ["a", "b"], "q=a%20b"),
            ("query-pipe", ["a", 1], "q=a%7C1"),
            ("query-deep", {"a": {"b": 1}, "c": [1, 2]}, "q%5Ba%5D%5Bb%5D=1&q%5Bc%5D=1&q%5Bc%5D=2"),
        ],
    )
    def test_queries(self, place: str, value: Any, query: str) -> None:
        """The other styles of a query are written as the standard says, too."""
        assert target(tool(q=place), q=value) == f"/x?{query}"

    def test_cookies(self) -> None:
        """A cookie goes beside those that are configured, and cannot be more than one."""
        made = tool(a="cookie", b="cookie:b b")
        request = request_of(made, BASE, {"Cookie": "own=1"}, {"a": "x; own=2\r\n", "b": 1})
        assert request.headers["cookie"] == "own=1; a=x%3B%20own%3D2%0D%0A; b%20b=1"

    def test_form(self) -> None:
        """A form has a field for each argument, and several for a list."""
        places = {"a": "body", "b": "body-deep", "c": "body-list", "d": "body", "e": "body-json", "f": "body"}
        made = RestTool("t", "POST", "/x", places=places, media=FORM)
        arguments = {
            "a": "ü &",
            "b": {"x": {"y": 1}},
            "c": [1, 2],
            "d": {"k": [1]},
            "e": [1],
            "f": ["p", "q"],
        }
        request = request_of(made, BASE, {}, arguments)
        assert request.headers["content-type"] == FORM
        assert parse_qsl(request.body.decode()) == [
            ("a", "ü &"),
            ("b[x][y]", "1"),
            ("c", "1,2"),
            ("d", '{"k": [1]}'),
            ("e", "[1]"),
            ("f", "p"),
            ("f", "q"),
        ]
        whole = RestTool("t", "POST", "/x", places={"body": "whole-body"}, media=FORM)
        assert request_of(whole, BASE, {}, {"body": {"a": 1}}).body == b"a=1"

    def test_parts(self) -> None:
        """Of parts each says what it is; a file is bytes, with a name."""
        places = {"f": 'body-base64:f"\r', "n": "body", "m": "body", "l": "body-base64"}
        made = RestTool(
            "t", "POST", "/x", places=places, media="multipart/form-data", parts={"l": "image/png, x"}
        )
        arguments = {"f": b64encode(b"\0\r\n--").decode(), "n": "é", "m": {"a": 1}, "l": ["YQ==", "Yg=="]}
        request = request_of(made, BASE, {"Content-Type": "other"}, arguments)
        message = message_from_bytes(
            b"Content-Type: " + request.headers["content-type"].encode() + b"\r\n\r\n" + request.body,
            policy=HTTP,
        )
        found = [
            (each.get_param("name", header="content-disposition"), each.get_filename(), each["content-type"])
            for each in message.iter_parts()
        ]
        assert found == [
            ("f%22%0D", "f%22%0D", "application/octet-stream"),
            ("n", None, None),
            ("m", None, "application/json"),
            ("l", "l", "image/png"),
            ("l", "l", "image/png"),
        ]
        contents = [each.get_payload(decode=True) for each in message.iter_parts()]
        assert contents == [b"\0\r\n--", "é".encode(), b'{"a": 1}', b"a", b"b"]

    @pytest.mark.parametrize(
        ("place", "media", "value", "body"),
        [
            ("whole-body-base64", "image/png", "AAE=", b"\0\1"),
            ("whole-body", "text/csv", "a,b", b"a,b"),
            ("whole-body", "application/merge-patch+json", "a", b'"a"'),
            ("whole-body", "", "a", b'"a"'),
        ],
    )
    def test_other_bodies(self, place: str, media: str, value: Any, body: bytes) -> None:
        """A body of another kind is sent as it is, under its own media type."""
        request = request_of(
            RestTool("t", "PUT", "/x", places={"b": place}, media=media), BASE, {}, {"b": value}
        )
        assert (request.headers["content-type"], request.body) == (media or "application/json", body)

    @pytest.mark.parametrize("value", ["a", "é", 7, ["AA==", "?"]])
    def test_no_base64(self, value: Any) -> None:
        """An argument that is no base64 is not sent."""
        made = RestTool("t", "PUT", "/x", places={"b": "whole-body-base64"}, media="image/png")
        with pytest.raises(InvalidParams, match="Argument b must be base64"):
            request_of(made, BASE, {}, {"b": value})

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            ({}, "Missing argument: n"),
            ({"n": 1, "m": 2, "o": 3}, "Unknown argument: m, o"),
            ({"n": "1"}, "Wrong arguments: n: '1' is not of type 'integer'"),
            ({"n": 1, "e": "z"}, "Wrong arguments: e: 'z' is not one of"),
            ({"n": 1, "d": {"x": [1, None]}}, "Wrong arguments: d.x.1: None is not of type 'integer'"),
        ],
    )
    def test_checked(self, arguments: dict[str, Any], why: str) -> None:
        """Arguments are checked before anything of them is sent, and the error says which is wrong."""
        listed_in = {"type": "object", "properties": {"x": {"type": "array", "items": {"type": "integer"}}}}
        properties = {"n": {"type": "integer"}, "e": {"enum": ["a", "b"]}, "d": listed_in}
        made = RestTool(
            "t", "GET", "/x", schema={"type": "object", "properties": properties, "required": ["n"]}
        )
        with pytest.raises(InvalidParams) as refused:
            request_of(made, BASE, {}, arguments)
        assert refused.value.message.startswith(why)

    @pytest.mark.parametrize(
        "schema", [{"properties": 7}, {"type": "moon"}, {"properties": {"a": {"pattern": "("}}}]
    )
    def test_broken_schemas(self, schema: dict[str, Any]) -> None:
        """A schema that cannot be understood keeps no call from its service."""
        assert target(RestTool("t", "GET", "/x", schema=schema), a="1") == "/x?a=1"

    def test_missing(self) -> None:
        """A required argument that is missing is named."""
        made = RestTool("t", "GET", "/x", schema={"required": ["a", "b"]})
        with pytest.raises(InvalidParams, match="Missing argument: a, b"):
            target(made)
        with pytest.raises(InvalidParams, match="Missing argument: p"):
            target(tool("/x/{p}"))

    def test_headers(self) -> None:
        """An argument may be a header, but none that is configured, nor one that decides where the request ends."""
        made = tool(trace="header:X-Trace", key="header:X-Key", n="header:X-N")
        request = request_of(made, BASE, {"X-Key": "secret"}, {"trace": "é", "key": "mine", "n": [1, 2]})
        assert request.headers["x-trace"] == "é"
        assert request.headers["x-key"] == "secret"
        assert request.headers["x-n"] == "1,2"
        for name, value in (
            ("Host", "x"),
            ("Transfer-Encoding", "x"),
            ("X-A", "a\r\nb"),
            ("X Y", "a"),
            ("X", "€"),
        ):
            with pytest.raises(InvalidParams, match="cannot be sent as a header"):
                request_of(tool(h=f"header:{name}"), BASE, {}, {"h": value})

    def test_odd_paths(self) -> None:
        """A path that was written without its slash, or with spaces, is put right."""
        assert target(tool("x y")) == "/x%20y"
        assert request_of(tool("//other.example/x"), "https://api.example/", {}, {}).url.startswith(
            "https://api.example//other"
        )
        assert target(tool("/x?a=1", q="query"), q="2") == "/x?a=1&q=2"

    def test_secrets(self) -> None:
        """The secrets of a request are not shown by accident: neither in the URL nor in headers nor in the body."""
        request = request_of(tool(q="query"), BASE, {"X-Key": "hidden"}, {"q": "hidden"})
        assert "hidden" not in repr(request)


class ResultTests:
    """Results that are made of answers."""

    def result(self, kind: str, body: bytes, status: int = 200) -> dict[str, Any]:
        """The result of an answer."""
        return result_of(tool(), f"{BASE}/x?key=hidden", status, {b"content-type": kind.encode()}, body)

    def text(self, kind: str, body: bytes, status: int = 200) -> str:
        """The text of a result."""
        found = self.result(kind, body, status)
        assert found["isError"] is not (200 <= status < 300)
        return str(found["content"][0]["text"])

    @pytest.mark.parametrize(
        ("kind", "body", "content"),
        [
            ("application/json", b'{"n": 1.0, "m": 2}', b'{"n":1.0,"m":2}'),
            ("application/json", b'{"n": "1"}', {}),
            ("application/json", b"[1]", {}),
            ("text/plain", b"hello", {}),
            ("", b"", {}),
        ],
    )
    def test_output(self, kind: str, body: bytes, content: Any) -> None:
        """Where a tool says what it answers, its structured content agrees with that, and the text is all of it."""
        schema = {"type": "object", "properties": {"n": {"type": ["number", "null"]}}}
        made = RestTool("t", "GET", "/x", output=schema)
        found = result_of(made, f"{BASE}/x", 200, {b"content-type": kind.encode()}, body)
        said = found["structuredContent"]
        assert (bytes(said) if isinstance(content, bytes) else said) == content
        assert found["isError"] is False

    @pytest.mark.parametrize("status", [401, 403, 404])
    def test_wants(self, status: int) -> None:
        """A caller that lacks a credential is told which one the service wants."""
        found = result_of(RestTool("t", "GET", "/x", wants="the header X-Key"), f"{BASE}/x", status, {}, b"")
        assert found["isError"] is True
        assert ("the header X-Key" in found["content"][0]["text"]) is (status != 404)

    def test_offered(self) -> None:
        """A tool that is offered is the same as the one it was made of, but for its description."""
        schema, output = {"type": "object", "properties": {"a": {}}}, {"type": "object"}
        made = RestTool("t", "GET", "/x", "Does.", schema, output=output)
        assert Offered.of(made).tool == evolve(made, description="")
        assert jsonrpc.value(Offered.of(made).definition, dict) == listed(made)

    def test_json(self) -> None:
        """An object is structured content too; any JSON is text."""
        found = self.result("application/json; charset=utf-8", b'{"a": 12345678901234567890.10}')
        assert found["content"][0]["text"] == '{"a": 12345678901234567890.10}'
        assert bytes(found["structuredContent"]) == b'{"a":12345678901234567890.10}'
        assert "structuredContent" not in self.result("application/json", b"[1]")
        assert self.text("application/problem+json", b"{broken") == "{broken"

    def test_text(self) -> None:
        """Text is text, in its own encoding where that is known."""
        assert self.text("text/plain; charset=ISO-8859-1", b"\xe9") == "é"
        assert self.text("text/plain; charset=nonsense", "é".encode()) == "é"
        assert self.text("application/xml", b"<x/>") == "<x/>"
        assert self.text("", b"plain \xff") == "plain \ufffd"

    def test_binary(self) -> None:
        """Images and sounds are what they are; all else is a resource, named without the query."""
        for kind, name in (("image/png", "image"), ("audio/wav", "audio")):
            (content,) = self.result(kind, b"\0\1")["content"]
            assert (content["type"], content["mimeType"], b64decode(content["data"])) == (name, kind, b"\0\1")
        (content,) = self.result("application/pdf", b"\0\1")["content"]
        assert content["type"] == "resource"
        assert content["resource"]["uri"] == f"{BASE}/x"
        assert content["resource"]["mimeType"] == "application/pdf"
        assert b64decode(content["resource"]["blob"]) == b"\0\1"

    def test_nothing(self) -> None:
        """An empty answer says so."""
        assert self.text("", b"", 204) == "HTTP 204, without content"

    def test_errors(self) -> None:
        """A refusal is an error with its status and the beginning of what it says."""
        assert self.text("text/plain", b"no", 404) == "HTTP 404\n\nno"
        assert len(self.text("text/html", b"x" * 100_000, 500)) < 5000
        assert self.text("image/png", b"\0", 500) == "HTTP 500"
        assert "redirect (HTTP 302)" in self.text("text/plain", b"", 302)


class ListedTests:
    """Lists of tools."""

    @pytest.mark.parametrize(
        ("method", "hints"),
        [
            ("GET", (True, None, None)),
            ("POST", (False, False, False)),
            ("PUT", (False, True, True)),
            ("DELETE", (False, True, True)),
            ("PATCH", (False, True, False)),
        ],
    )
    def test_hints(self, method: str, hints: tuple[Any, ...]) -> None:
        """A client is told what a tool may do, as far as its method says."""
        shown = listed(RestTool("t", method, "/x", "says", {"properties": {}}))
        assert shown["inputSchema"] == {"type": "object", "properties": {}}
        names = ("readOnlyHint", "destructiveHint", "idempotentHint")
        assert tuple(shown["annotations"].get(name) for name in names) == hints
