"""The handshake of the legacy era: the gateway's request to a server, and the answer for clients."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from mcpgateway.errors import GatewayError, HandshakeFailed, HandshakeRefused
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.versions import LATEST_LEGACY, LEGACY, negotiated

CLIENT_CAPABILITIES = ("roots", "sampling", "elicitation", "tasks")
LISTED = ("tools", "prompts", "resources")
URL_ELICITATION_REQUIRED = -32042  # an error: the user has to visit a page first (MCP 2025-11-25)
NAME_LIMIT = 256  # characters
INITIALIZED = jsonrpc.notification("notifications/initialized")


def shared_params(version: str, offer: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the ``initialize`` parameters for a child that several clients share.

    :param offer: the capabilities of all of them (`mcpgateway.policy.client_requests.offer_of`).
    """
    return {
        "protocolVersion": LATEST_LEGACY,
        "capabilities": offer or {},
        "clientInfo": {"name": "mcpgateway", "version": version},
    }


def session_params(params: Envelope | None, version: str, *, may_ask: bool) -> dict[str, Any]:
    """Return the ``initialize`` parameters for a child of one session: the client's own name, in its own revision.

    :param may_ask: the client's capabilities to answer questions are declared to the child.
    """
    chosen = shared_params(version)
    if params is None:
        return chosen
    chosen["protocolVersion"] = negotiated(requested_version(params))
    if "clientInfo" in params:
        chosen["clientInfo"] = params["clientInfo"]
    if may_ask and "capabilities" in params:
        chosen["capabilities"] = params["capabilities"]
    return chosen


def essential_params(params: Envelope, limit: int) -> bytes:
    """Return the members of long ``initialize`` parameters that `session_params` needs.

    :param limit: bytes; extensions are removed first, then unknown capabilities, then the details of the others.
    """
    info, offers = peek.mapping(params, "clientInfo"), peek.mapping(params, "capabilities")
    named = {
        key: value[:NAME_LIMIT] for key in ("name", "version") if isinstance(value := info.get(key), str)
    }
    known = {key: value for key, value in offers.items() if key in CLIENT_CAPABILITIES}
    bare: dict[str, Any] = {key: {} for key in known}
    plain = {key: value for key, value in offers.items() if key not in ("experimental", "extensions")}
    version = {"protocolVersion": requested_version(params) or LATEST_LEGACY}
    kept = b""
    for chosen in (plain, known, bare):
        kept = bytes(jsonrpc.raw({**version, "clientInfo": named, "capabilities": chosen}))
        if len(kept) <= limit:
            break
    return kept


def requested_version(params: Envelope | None) -> str | None:
    """Return the revision that a client asks for; None for none."""
    return peek.text(params, "protocolVersion")


def check_hello(reply: Envelope) -> Envelope:
    """Return the ``InitializeResult`` in a server's reply, its first level decoded.

    :raise HandshakeRefused: the reply is an error.
    :raise HandshakeFailed: the result is malformed.
    """
    if "error" in reply:
        raise HandshakeRefused(f"the server refused the handshake: {error_text(reply['error'])}")
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
    """Return the first level of a server's capabilities; empty where they are missing or malformed."""
    return peek.members(hello, "capabilities")


def has_tasks(hello: Envelope | None) -> bool:
    """True if a server may have tools that run as tasks (MCP 2025-11-25)."""
    return bool(peek.mapping(capabilities(hello or {}), "tasks").get("requests"))


def hello_for(hello: Envelope, version: str) -> Raw:
    """Return the ``InitializeResult`` for one client: the server's own, in the client's revision."""
    return Raw(jsonrpc.encode(hello | {"protocolVersion": jsonrpc.raw(version)}))


def unmet(title: str, why: str) -> Envelope:
    """Return the ``InitializeResult`` for a server that does not answer yet: it may have any lists.

    :param why: the reason of its failure, for callers.
    """
    said = {
        "capabilities": {kind: {"listChanged": True} for kind in LISTED},
        "serverInfo": {"name": title, "version": "unknown"},
        "instructions": why,
    }
    return {name: jsonrpc.raw(value) for name, value in said.items()}


def listed(hello: Envelope) -> list[str]:
    """Return the notifications that announce changes of a server's lists to a client."""
    return [f"notifications/{kind}/list_changed" for kind in LISTED if kind in capabilities(hello)]


def changing_lists(hello: Envelope) -> list[str]:
    """Return the notifications of changed lists that a server has declared to send."""
    declared = capabilities(hello)
    return [
        f"notifications/{kind}/list_changed"
        for kind in LISTED
        if peek.mapping(declared, kind).get("listChanged") is True
    ]


def has_subscriptions(hello: Envelope) -> bool:
    """True if a server takes subscriptions to resources."""
    return peek.mapping(capabilities(hello), "resources").get("subscribe") is True


def error_text(raw: Raw) -> str:
    """Return the message in a server's error."""
    sentence = peek.text(peek.members({"error": raw}, "error"), "message")
    return "no reason given" if sentence is None else sentence


def error_hint(raw: Raw) -> str:
    """Return the remedy in a gateway's error, which is in its data; empty where there is none."""
    error = peek.members({"error": raw}, "error")
    return peek.text(peek.members(error, "data"), "hint", jsonrpc.URI_LIMIT) or ""
