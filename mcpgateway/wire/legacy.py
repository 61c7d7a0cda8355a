"""The handshake of the legacy era: what we say to a server, and what we pass on of its answer."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from mcpgateway.errors import GatewayError, HandshakeFailed
from mcpgateway.wire import jsonrpc
from mcpgateway.wire.jsonrpc import Envelope
from mcpgateway.wire.revisions import LATEST_LEGACY, LEGACY, negotiated

INITIALIZED = jsonrpc.notification("notifications/initialized")
UNSHARED = ("tasks",)  # capabilities whose ids cannot be told apart between the clients of one shared child


def shared_params(version: str) -> dict[str, Any]:
    """The ``initialize`` parameters for a child that several clients share.

    It is given no client capabilities, so a well-behaved server never asks a question whose owner nobody could name.
    """
    return {
        "protocolVersion": LATEST_LEGACY,
        "capabilities": {},
        "clientInfo": {"name": "mcpgateway", "version": version},
    }


def session_params(params: Envelope | None, version: str) -> dict[str, Any]:
    """The ``initialize`` parameters for a child of one session: the client's own name, in its own revision."""
    chosen = shared_params(version)
    if params is None:
        return chosen
    chosen["protocolVersion"] = negotiated(requested_version(params))
    if "clientInfo" in params:
        chosen["clientInfo"] = params["clientInfo"]
    return chosen


def requested_version(params: Envelope | None) -> str | None:
    """The revision a client asks for, or None."""
    if not params or "protocolVersion" not in params:
        return None
    try:
        return jsonrpc.read_string(params["protocolVersion"], "params.protocolVersion")
    except GatewayError:
        return None


def check_hello(reply: Envelope) -> Envelope:
    """The ``InitializeResult`` in a server's reply, its first level decoded.

    :raise HandshakeFailed: an error, or a result that is none.
    """
    if "error" in reply:
        raise HandshakeFailed(f"the server refused the handshake: {_error_text(reply['error'])}")
    try:
        hello = jsonrpc.read_object(reply["result"], "result")
        version = jsonrpc.read_string(hello["protocolVersion"], "protocolVersion")
    except (KeyError, GatewayError):
        raise HandshakeFailed(
            "the server answered the handshake with something that is no InitializeResult"
        ) from None
    if version not in LEGACY:
        raise HandshakeFailed(f"the server insists on protocol version {version}, which is not served here")
    return hello


def capabilities(hello: Envelope) -> Envelope:
    """The first level of a server's capabilities; empty where it declared none that can be read."""
    try:
        return jsonrpc.read_object(hello["capabilities"], "capabilities")
    except (KeyError, GatewayError):
        return {}


def hello_for(hello: Envelope, version: str, *, shared: bool) -> Raw:
    """The ``InitializeResult`` one client gets: the server's own, in the client's revision."""
    answer = dict(hello)
    answer["protocolVersion"] = jsonrpc.raw(version)
    kept = capabilities(hello)
    if shared and kept:
        answer["capabilities"] = Raw(
            jsonrpc.encode({n: value for n, value in kept.items() if n not in UNSHARED})
        )
    return Raw(jsonrpc.encode(answer))


def _error_text(raw: Raw) -> str:
    try:
        return jsonrpc.read_string(jsonrpc.read_object(raw, "error")["message"], "message")
    except (KeyError, GatewayError):
        return "no reason given"
