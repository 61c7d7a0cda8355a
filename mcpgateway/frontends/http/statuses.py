"""The table from errors to HTTP statuses."""

from __future__ import annotations

from msgspec import Raw

from mcpgateway import errors
from mcpgateway.errors import GatewayError
from mcpgateway.protocol import jsonrpc, peek

STATUSES: dict[type[GatewayError], int] = {
    errors.ParseError: 400,
    errors.MalformedMessage: 400,
    errors.UnsupportedVersion: 400,
    errors.UnservedRevision: 400,
    errors.MissingEnvelope: 400,
    errors.SessionRequired: 400,
    errors.UnknownServer: 404,
    errors.UnknownSession: 404,
    errors.StoreLost: 503,
}
"""All else is a JSON-RPC error in a good HTTP answer: clients show its text, and take a 5xx for a dead server."""

MODERN_STATUSES = {-32601: 404, -32020: 400, -32021: 400, -32022: 400}
"""The statuses of the modern era, by JSON-RPC code (MCP 2026-07-28, basic/transports)."""


def status_of(why: GatewayError) -> int:
    """Return the HTTP status of a failed request, as long as no part of its answer has been sent."""
    return STATUSES.get(type(why), 200)


CONTROL_STATUSES: dict[type[GatewayError], int] = {
    errors.UnknownServer: 404,
    errors.NotThere: 404,
    errors.OutOfScope: 403,
    errors.Conflict: 409,
    errors.NameTaken: 409,
    errors.Outdated: 412,
    errors.NeedsCondition: 428,
    errors.NotEntitled: 403,
    errors.TooManyAttempts: 429,
    errors.CallerError: 400,
    errors.Unfit: 400,
    errors.NotOurs: 409,
    errors.Overloaded: 503,
    errors.ShuttingDown: 503,
    errors.StoreLost: 503,
    errors.BackendTimeout: 504,
    errors.BackendError: 502,
}
"""The statuses of the control plane, of which the first match holds; any other error is a 500."""


def control_status_of(why: GatewayError) -> int:
    """Return the HTTP status of a failed request to the control plane."""
    return next((status for kind, status in CONTROL_STATUSES.items() if isinstance(why, kind)), 500)


def modern_status_of(why: GatewayError) -> int:
    """Return the HTTP status of an error in the modern era."""
    return STATUSES.get(type(why)) or MODERN_STATUSES.get(why.code, 200)


def modern_status(error: Raw) -> int:
    """Return the HTTP status of a server's own error, in the modern era."""
    code = jsonrpc.integer(peek.members({"error": error}, "error").get("code"))
    return MODERN_STATUSES.get(code or 0, 200)
