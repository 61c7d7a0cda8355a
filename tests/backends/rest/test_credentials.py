"""Credentials of an entry, and where the description of its service sends them."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from mcpgateway.backends.rest.calls import request_of
from mcpgateway.backends.rest.credentials import NONE, Credentials, RequestCredentials
from mcpgateway.config.openapi.tools import Described, read_openapi
from mcpgateway.config.reach_settings import RestTool
from mcpgateway.errors import ConfigError

SCHEMES = {
    "header": {"type": "apiKey", "in": "header", "name": "X-Key"},
    "query": {"type": "apiKey", "in": "query", "name": "key"},
    "cookie": {"$ref": "#/components/x-schemes/cookie"},
    "basic": {"type": "http", "scheme": "basic"},
    "bearer": {"type": "http", "scheme": "bearer"},
    "custom": {"type": "http", "scheme": "negotiate"},
    "oauth": {"type": "oauth2", "flows": {}},
    "openid": {"type": "openIdConnect", "openIdConnectUrl": "https://a.example"},
    "certificate": {"type": "mutualTLS"},
    "unknown": {"type": "x-hmac"},
    "odd": 7,
}
OTHERS = {"cookie": {"type": "apiKey", "in": "cookie", "name": "sid"}}
ANN = b64encode(b"ann:p:w").decode()


def described(operation: Any, **more: Any) -> Described:
    """A service of one operation."""
    components = {"securitySchemes": SCHEMES, "x-schemes": OTHERS}
    paths = {"/x": {"get": operation}, **more.pop("paths", {})}
    return read_openapi(
        json.dumps({"openapi": "3.1.0", "paths": paths, "components": components, **more}), "d"
    )


def given(values: dict[str, str], operation: Any, **more: Any) -> RequestCredentials:
    """The credentials that go along with the requests of that operation."""
    service = described(operation, **more)
    return Credentials.of(service.schemes, values).for_tool(service.tools[0])


def ways(*each: list[str]) -> Any:
    """An operation with these ways in."""
    return {"security": [{name: [] for name in way} for way in each]}


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("header", "k", RequestCredentials(headers={"X-Key": "k"})),
        ("query", "k", RequestCredentials(query={"key": "k"})),
        ("cookie", "k", RequestCredentials(cookies={"sid": "k"})),
        ("basic", "ann:p:w", RequestCredentials(headers={"Authorization": f"Basic {ANN}"})),
        ("bearer", "t", RequestCredentials(headers={"Authorization": "Bearer t"})),
        ("custom", "t", RequestCredentials(headers={"Authorization": "Negotiate t"})),
        ("oauth", "t", RequestCredentials(headers={"Authorization": "Bearer t"})),
        ("openid", "t", RequestCredentials(headers={"Authorization": "Bearer t"})),
    ],
)
def test_where_it_goes(name: str, value: str, sent: RequestCredentials) -> None:
    """Each goes where its scheme says, in the form that its kind has."""
    assert given({name: value}, ways([name])) == sent


@pytest.mark.parametrize(
    ("operation", "more", "keys"),
    [
        ({}, {}, {"X-Key", "key", "sid"}),
        ({}, ways(["query"]), {"key"}),
        (ways(["header"]), ways(["query"]), {"X-Key"}),
        ({"security": []}, ways(["query"]), set()),
        (ways([]), {}, set()),
        (ways([], ["header"]), {}, {"X-Key"}),
        (ways(["bearer"], ["header", "query"], ["cookie"]), {}, {"X-Key", "key"}),
        (ways(["header", "bearer"], ["query"]), {}, {"key"}),
        (ways(["bearer"], ["header", "bearer"]), {}, {"X-Key"}),
        (ways(["bearer"], ["unknown"]), {}, set()),
        ({"security": 7}, {}, {"X-Key", "key", "sid"}),
        ({}, {"paths": {"/y": {"get": ways(["query"])}}}, set()),
    ],
)
def test_which_go(operation: Any, more: Any, keys: set[str]) -> None:
    """An operation is given those of the first of its ways that are all there; where it says nothing, all."""
    found = given({"header": "a", "query": "b", "cookie": "c"}, operation, **more)
    assert {*found.headers, *found.query, *found.cookies} == keys


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("nothing", "secret", "no security scheme 'nothing'; it has: header, query"),
        ("unknown", "secret", "no security scheme 'unknown'"),
        ("certificate", "secret", "wants a client certificate"),
        ("basic", "secret", "USER:PASSWORD"),
    ],
)
def test_what_cannot_be_sent(name: str, value: str, told: str) -> None:
    """A credential that the description has no place for is an error that says which, and not what it is."""
    with pytest.raises(ConfigError, match=told) as why:
        given({name: value}, {})
    assert "secret" not in str(why.value)


def test_without_a_description() -> None:
    """Where nothing describes the service, that is what is wrong."""
    with pytest.raises(ConfigError, match="where credentials"):
        Credentials.of({}, {"key": "k"})


def test_arguments_replace_none() -> None:
    """An argument of a model never stands in the place of a credential, nor beside it."""
    tool = RestTool(
        "t", "GET", "/x", places={"key": "query", "sid": "cookie", "h": "header:X-Key", "q": "query"}
    )
    arguments = {"key": "mine", "sid": "mine", "h": "mine", "q": "1"}
    own = RequestCredentials({"X-Key": "a"}, {"key": "b&"}, {"sid": "c"})
    tool_schema = {"properties": {key: {} for key in arguments}}
    request = request_of(
        RestTool("t", "GET", "/x", schema=tool_schema, places=tool.places),
        "https://a.example",
        {},
        arguments,
        own,
    )
    assert request.url == "https://a.example/x?q=1&key=b%26"
    assert (request.headers["x-key"], request.headers["cookie"]) == ("a", "sid=c")
    assert "b&" not in repr(own) + repr(request)


def test_headers_of_the_entry_go_before() -> None:
    """A header that the entry names itself is sent as it is."""
    request = request_of(
        RestTool("t", "GET", "/x"),
        "https://a.example",
        {"x-key": "h"},
        {},
        RequestCredentials({"X-Key": "a"}),
    )
    assert request.headers["x-key"] == "h"
    assert (
        request_of(RestTool("t", "GET", "/x"), "https://a.example", {}, {}, NONE).url == "https://a.example/x"
    )
