"""The one table from what went wrong to an HTTP status."""

from __future__ import annotations

from mcpgateway import errors
from mcpgateway.errors import GatewayError

STATUSES: dict[type[GatewayError], int] = {
    errors.ParseError: 400,
    errors.MalformedMessage: 400,
    errors.UnsupportedVersion: 400,
    errors.SessionRequired: 400,
    errors.UnknownServer: 404,
    errors.UnknownSession: 404,
}
"""All else is a JSON-RPC error in a good HTTP answer: clients show its text, and take a 5xx for a dead server."""


def status_of(why: GatewayError) -> int:
    """The HTTP status a failed request is answered with, as long as nothing has been said yet."""
    return STATUSES.get(type(why), 200)
