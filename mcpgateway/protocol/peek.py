"""Reading of members that are checked elsewhere: an invalid one counts as absent."""

from __future__ import annotations

from typing import Any

from mcpgateway.errors import GatewayError
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import METHOD_LIMIT, Envelope


def members(envelope: Envelope | None, name: str) -> Envelope:
    """Return the first level of a member that should be an object; else empty."""
    try:
        return jsonrpc.read_object((envelope or {})[name], name)
    except (KeyError, GatewayError):
        return {}


def mapping(envelope: Envelope | None, name: str) -> dict[str, Any]:
    """Return the whole of a member that should be an object; else empty."""
    try:
        found: dict[str, Any] = jsonrpc.value((envelope or {})[name], dict)
    except (KeyError, GatewayError):
        return {}
    return found


def text(envelope: Envelope | None, name: str, limit: int = METHOD_LIMIT) -> str | None:
    """Return a member that should be a string of no more than ``limit`` characters; else None."""
    try:
        return jsonrpc.read_string((envelope or {})[name], name, limit)
    except (KeyError, GatewayError):
        return None
