"""Translate a tool's arguments to an HTTP request, and the HTTP answer to the tool's result.

A request never leaves the service: its host is that of the base, and no argument can change the path beyond the tool's
own template.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from attrs import define, evolve, field, frozen
from msgspec import Raw

from mcpgateway.backends.rest.bodies import Body
from mcpgateway.backends.rest.checks import check, fault
from mcpgateway.backends.rest.credentials import NONE, RequestCredentials
from mcpgateway.backends.rest.styles import WAYS, exploded, segment, text
from mcpgateway.config.openapi.media_types import PARTS
from mcpgateway.config.reach_settings import RestTool
from mcpgateway.errors import GatewayError, InvalidParams
from mcpgateway.protocol import jsonrpc

FAULT_SHOWN = 4000  # characters of the body of an error; some services send whole pages
BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})
READING = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
FORBIDDEN = frozenset("host content-length transfer-encoding connection upgrade te trailer".split())
"""Headers that decide where a request goes and where it ends."""

_VARIABLE = re.compile(r"\{([^{}]*)\}")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*\Z")


@frozen
class RestRequest:
    """An HTTP request to the REST API."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


def listed(tool: RestTool) -> dict[str, Any]:
    """Return the tool as ``tools/list`` shows it."""
    is_reading = tool.method in READING
    hints = {"readOnlyHint": is_reading, "openWorldHint": True}
    if not is_reading:
        hints["destructiveHint"] = tool.method != "POST"
        hints["idempotentHint"] = tool.method in ("PUT", "DELETE")
    schema = {"type": "object", **tool.schema}
    found = {"name": tool.name, "description": tool.description, "inputSchema": schema, "annotations": hints}
    return found if tool.output is None else found | {"outputSchema": tool.output}


def request_of(
    tool: RestTool,
    base: str,
    headers: Mapping[str, str],
    arguments: Mapping[str, Any],
    given: RequestCredentials = NONE,
) -> RestRequest:
    """Return the HTTP request of a tool's call.

    :param headers: sent with every request; no argument replaces one of them, nor one of the credentials.
    :raise InvalidParams: an argument is missing or cannot be encoded; the text is for the caller.
    """
    check(tool.schema, arguments)
    parts = _Parts(Body(tool))
    for name, value in arguments.items():
        parts.add(_Place.of(tool, name), value)
    sent = {"accept": "application/json, */*;q=0.8", **parts.headers}
    sent |= {name.lower(): value for name, value in (*given.headers.items(), *headers.items())}
    cookies = _with(parts.cookies, given.cookies)
    if cookies:
        own = [sent["cookie"]] if "cookie" in sent else []
        sent["cookie"] = "; ".join([*own, *(f"{quote(name)}={quote(each)}" for name, each in cookies)])
    kind, body = parts.body.written() or ("", b"")
    if kind.startswith(PARTS):
        sent["content-type"] = kind  # only this one has the boundary
    elif kind:
        sent.setdefault("content-type", kind)
    url = base.rstrip("/") + _path(tool.path, parts.path)
    query = _with(parts.query, given.query)
    if query:
        url += ("&" if "?" in url else "?") + urlencode(query, quote_via=quote)
    return RestRequest(tool.method, url, sent, body)


def _with(pairs: list[tuple[str, str]], given: Mapping[str, str]) -> list[tuple[str, str]]:
    return [*(pair for pair in pairs if pair[0] not in given), *given.items()]


@frozen
class _Place:
    """The location of an argument in a request, and its name there."""

    kind: str
    name: str

    @classmethod
    def of(cls, tool: RestTool, argument: str) -> _Place:
        """Return the location of an argument; without a declared one, the default."""
        kind, _, name = tool.places.get(argument, "").partition(":")
        if not kind:
            in_path = f"{{{argument}}}" in tool.path
            kind = "path" if in_path else "body" if tool.method in BODY_METHODS else "query"
        return cls(kind, name or argument)


@frozen
class Offered:
    """A tool with its encoded definition, which holds its schemas only there.

    :ivar definition: as ``tools/list`` shows it, encoded.
    """

    definition: Raw = field(repr=False)
    _tool: RestTool

    @classmethod
    def of(cls, tool: RestTool) -> Offered:
        """Encode the definition of a tool."""
        return cls(jsonrpc.raw(listed(tool)), evolve(tool, description="", schema={}, output=None))

    @property
    def tool(self) -> RestTool:
        """The tool, with its decoded schemas."""
        shown = jsonrpc.value(self.definition, dict)
        return evolve(self._tool, schema=shown["inputSchema"], output=shown.get("outputSchema"))


@define
class _Parts:
    """The parts of a request, assembled argument by argument."""

    body: Body
    path: dict[str, str] = field(factory=dict)
    query: list[tuple[str, str]] = field(factory=list)
    headers: dict[str, str] = field(factory=dict)
    cookies: list[tuple[str, str]] = field(factory=list)

    def add(self, place: _Place, value: Any) -> None:
        """Add one argument at its location."""
        kind, name = place.kind, place.name
        if kind.startswith("path"):
            self.path[name] = segment(kind, name, value)
        elif kind == "header":
            self._add_header(name, value)
        elif kind == "cookie":
            self.cookies += exploded(name, value)
        elif kind.startswith(("body", "whole-body")):
            self.body.add(kind, name, value)
        else:
            self.query += WAYS.get(kind, exploded)(name, value)

    def _add_header(self, name: str, value: Any) -> None:
        content = text(value)
        if name.lower() in FORBIDDEN or not _TOKEN.match(name) or not _VALUE.match(content):
            raise InvalidParams(f"Argument {name} cannot be sent as a header")
        self.headers[name.lower()] = content


def _path(template: str, values: Mapping[str, str]) -> str:
    def filled(found: re.Match[str]) -> str:
        if found[1] not in values:
            raise InvalidParams(f"Missing argument: {found[1]}")
        return values[found[1]]

    path = _VARIABLE.sub(filled, quote(template, safe="/{}:@!$&'()*+,;=-._~%?"))
    return path if path.startswith("/") else f"/{path}"


def result_of(
    tool: RestTool, url: str, status: int, headers: Mapping[bytes, bytes], body: bytes
) -> dict[str, Any]:
    """Return the result of a call: the service's answer, as content of its media type.

    :param url: the URL of the request; only its path is shown.
    """
    kind, _, parameters = headers.get(b"content-type", b"").decode("latin-1").partition(";")
    kind = kind.strip().lower()
    if 300 <= status < 400:
        return failed(f"{tool.method} was answered with a redirect (HTTP {status}), and none is followed.")
    if not 200 <= status < 300:
        excerpt = _decoded(body[: 4 * FAULT_SHOWN], parameters)[:FAULT_SHOWN] if _is_text(kind) else ""
        wants = f" (the service wants {tool.wants})" if status in (401, 403) and tool.wants else ""
        return failed(f"HTTP {status}{wants}" + (f"\n\n{excerpt}" if excerpt else ""))
    found = _content(url, status, kind, parameters, body)
    if tool.output is not None and not _agrees(tool.output, found.get("structuredContent")):
        found["structuredContent"] = {}  # the text has all of it; clients take no other for the tool's
    return found


def _agrees(output: Mapping[str, Any], content: Raw | None) -> bool:
    return content is not None and not fault(output, jsonrpc.value(content, dict))


def _content(url: str, status: int, kind: str, parameters: str, body: bytes) -> dict[str, Any]:
    if not body:
        return text_result(f"HTTP {status}, without content")
    if kind == "application/json" or kind.endswith("+json"):
        return _json_result(body, _decoded(body, parameters))
    if _is_text(kind):
        return text_result(_decoded(body, parameters))
    data = b64encode(body).decode()
    if kind.startswith(("image/", "audio/")):
        return {"content": [{"type": kind[:5], "data": data, "mimeType": kind}], "isError": False}
    split = urlsplit(url)
    found = {"uri": f"{split.scheme}://{split.netloc}{split.path}", "blob": data}
    found["mimeType"] = kind or "application/octet-stream"
    return {"content": [{"type": "resource", "resource": found}], "isError": False}


def _json_result(body: bytes, text: str) -> dict[str, Any]:
    found = text_result(text)
    with suppress(GatewayError):  # it may be a list, or no JSON despite its media type
        found["structuredContent"] = jsonrpc.raw(jsonrpc.decode(body))
    return found


def text_result(text: str) -> dict[str, Any]:
    """Return a result with one text."""
    return {"content": [{"type": "text", "text": text}], "isError": False}


def failed(text: str) -> dict[str, Any]:
    """Return the result of a failed call."""
    return {"content": [{"type": "text", "text": text}], "isError": True}


def _is_text(kind: str) -> bool:
    if kind.startswith("text/") or kind.endswith(("+json", "+xml", "+yaml")):
        return True
    return kind in ("application/json", "application/xml", "application/yaml", "application/javascript", "")


def _decoded(body: bytes, parameters: str) -> str:
    named = re.search(r"charset\s*=\s*\"?([A-Za-z0-9_.:-]+)", parameters, re.IGNORECASE)
    try:
        return body.decode(named[1] if named else "utf-8", "replace")
    except (LookupError, ValueError):
        return body.decode("utf-8", "replace")
