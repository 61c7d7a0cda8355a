"""The table of routes as an OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.1.html)."""

from __future__ import annotations

from typing import Any

from mcpgateway import __version__
from mcpgateway.frontends.http.routes import PLACE, ROUTES, Header, Media, Query, Route
from mcpgateway.frontends.rest.schemas import PARAMETERS, SCHEMAS
from mcpgateway.policy.access import RouteClass

OPEN = frozenset(
    (
        RouteClass.PUBLIC,
        RouteClass.MCP,
        RouteClass.READ,
        RouteClass.WATCH,
        RouteClass.LOOK,
        RouteClass.RETURN,
        RouteClass.END_SESSION,
    )
)
REFUSALS = {
    "400": "The request is wrong; `error` says what, `hint` what would be right.",
    "401": "A token is needed, or the one given is not valid.",
    "403": "This caller may not do that here.",
    "404": "There is no such thing.",
    "409": "That is in the way of something that is there.",
    "412": "It is not what the caller believes it is (`If-Match`).",
    "413": "The body is too long.",
    "428": "Say which version it is that is to be replaced (`If-Match`).",
    "429": "Too many of them; `Retry-After` says when to come back.",
    "500": "The gateway could not do it.",
    "502": "The server could not do it.",
    "503": "Too much is under way, or the gateway is stopping; `Retry-After` says when to come back.",
    "504": "The server took too long.",
}
AT_NODE = Query("node", "the node of the cluster that is read; all: every one, with the rows of all together")
TAG = {
    "description": "What the entry is now, for `If-Match`.",
    "required": True,
    "schema": {"type": "string"},
}
DESCRIPTION = (
    "What the gateway knows and can do, for programs. Reads from this machine need no token unless"
    " `gateway.auth_mcp_transport` is `bearer-required`; whatever changes something needs one, or the Unix socket."
)


def document() -> dict[str, Any]:
    """Return the complete OpenAPI document."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        path = PLACE.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mcpgateway",
            "version": __version__,
            "description": DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in sorted({_group(route) for route in ROUTES})],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": _identifier(route),
        "summary": route.summary,
        "tags": [_group(route)],
        "responses": {
            **{str(status): _good(route, name) for status, name in route.gives.items()},
            **{
                status: _bad(route, text)
                for status, text in REFUSALS.items()
                if int(status) not in route.gives
            },
        },
        "security": [{}, {"bearer": []}] if route.access in OPEN else [{"bearer": []}],
        "x-access": route.access.value,
    }
    parameters = [*map(_place, route.places), *map(_query, route.query), *map(_header, route.heeds)]
    if route.method == "GET" and route.path.startswith("/api/v1/"):
        parameters.append(_query(AT_NODE))
    if parameters:
        made["parameters"] = parameters
    if route.takes:
        made["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _ref(route.takes)}},
        }
    return made


def _identifier(route: Route) -> str:
    # One operation may have several paths; ids are unique.
    same = [each for each in ROUTES if each.operation == route.operation]
    return route.operation if len(same) == 1 else f"{route.operation}.{same.index(route) + 1}"


def _group(route: Route) -> str:
    return route.operation.partition(".")[0]


def _place(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": PARAMETERS.get(name, {"type": "string"})}


def _query(each: Query) -> dict[str, Any]:
    return {"name": each.name, "in": "query", "description": each.what, "schema": {"type": each.type}}


def _header(each: Header) -> dict[str, Any]:
    return {"name": each.name, "in": "header", "description": each.what, "schema": {"type": "string"}}


def _good(route: Route, name: str) -> dict[str, Any]:
    schema = {"schema": _ref(name)} if route.media is Media.JSON else {}
    made: dict[str, Any] = {"description": route.summary, "content": {route.media.value: schema}}
    if route.is_followed:
        made["content"][Media.EVENTS.value] = {}
    if route.is_tagged:
        made["headers"] = {"ETag": TAG}
    return made


def _bad(route: Route, text: str) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": _ref("Error")}}
    if route.media is Media.PAGE:
        content[route.media.value] = {}  # made for human readers
    return {"description": text, "content": content}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
