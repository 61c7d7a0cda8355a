"""The headers of requests to MCP endpoints: read once for all requests with the same head."""

from __future__ import annotations

from typing import Any

from mcpgateway.errors import UnsupportedVersion
from mcpgateway.frontends.http.streams import Accepted
from mcpgateway.frontends.http.workspace_detection import RELAYED, is_dotted, trace_of
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.versions import is_legacy
from mcpgateway.records import FrozenRecord

JSON_TYPES = (b"application/json", b"application/*", b"*/*")
SSE_TYPES = (b"text/event-stream", b"text/*", b"*/*")
EITHER = Accepted(json=True, sse=True)
NOT_ACCEPTABLE = "Not Acceptable: Client must accept both application/json and text/event-stream"
NOT_JSON = "Unsupported Media Type: Content-Type must be application/json"


class McpHeaders(FrozenRecord, frozen=True):
    """The headers of a request, read once for all requests with the same head.

    :ivar refusal: the status and the body with which a POST is refused; None if it is not.
    :ivar version: the ``MCP-Protocol-Version``; None without one.
    :ivar is_plain: True if that is of the legacy era, or missing.
    :ivar session: the session's id; empty without one.
    :ivar trace: the trace context, two texts; None without one.
    :ivar is_dotted: True if the URL asks for names with dots.
    :ivar is_relayed: True if the request comes through a shim.
    """

    accepted: Accepted
    refusal: tuple[int, bytes] | None
    version: bytes | None
    is_plain: bool
    session: bytes
    trace: tuple[str, str] | None
    is_dotted: bool
    is_relayed: bool


def headers_of(exchange: Any) -> McpHeaders:
    """Return the headers of a request; they are kept with its head."""
    known: McpHeaders | None = exchange.head.facts
    if known is None:
        known = exchange.head.facts = _read(exchange)
    return known


def _read(exchange: Any) -> McpHeaders:
    headers = exchange.headers
    version = headers.get(b"mcp-protocol-version")
    takes = accepted(headers.get(b"accept"))
    refused = None
    if not takes.json and not takes.sse:
        refused = 406, refusal(NOT_ACCEPTABLE)
    elif not is_json(headers.get(b"content-type")):
        refused = 415, refusal(NOT_JSON)
    return McpHeaders(
        takes,
        refused,
        version,
        version is None or is_legacy(version),
        headers.get(b"mcp-session-id", b""),
        trace_of(exchange),
        is_dotted(exchange),
        RELAYED in headers,
    )


def accepted(header: bytes | None) -> Accepted:
    """Return the media types that an ``Accept`` header allows; all, without one."""
    if header is None:
        return EITHER  # Claude Code has been released without it
    kinds = [kind.split(b";")[0].strip().lower() for kind in header.split(b",")]
    return Accepted(any(kind in JSON_TYPES for kind in kinds), any(kind in SSE_TYPES for kind in kinds))


def is_json(header: bytes | None) -> bool:
    """Return whether a ``Content-Type`` is that of JSON."""
    if header == b"application/json":
        return True
    return header is not None and header.split(b";")[0].strip().lower() == b"application/json"


def refusal(why: str) -> bytes:
    """Return the body of a refusal of an HTTP request, as opposed to its message, with the error text of the SDKs."""
    return jsonrpc.error_bytes(b"null", UnsupportedVersion(why))
