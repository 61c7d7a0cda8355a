"""Translation between the eras of messages and results (MCP 2025-11-25 and 2026-07-28).

    legacy                                     modern
    initialize, answered once                  server/discover, answered at any time
    capabilities and name said once            capabilities and name in the _meta of every request (the envelope)
    a result                                   a result with its resultType, and how long it may be kept
    a server asks while it answers             a result that asks (input_required), and the request once more
    -32002, -32042                             -32602, a result that asks

Members that are not named here are passed on byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Raw, Struct

from mcpgateway.errors import BadReply, GatewayError
from mcpgateway.protocol import jsonrpc, legacy, peek
from mcpgateway.protocol.jsonrpc import PROTOCOL_VERSION_KEY, Envelope
from mcpgateway.protocol.modern import CAPABILITIES_KEY, INFO_KEY, LEVEL_KEY, SERVER_INFO_KEY
from mcpgateway.protocol.versions import LATEST_LEGACY

ENVELOPE_KEYS = frozenset((PROTOCOL_VERSION_KEY, CAPABILITIES_KEY, INFO_KEY, LEVEL_KEY))
RETRIED = frozenset(("inputResponses", "requestState"))
"""The parameters that a repeated request has in addition."""

CACHEABLE = frozenset(
    "server/discover tools/list prompts/list resources/list resources/templates/list resources/read".split()
)
"""The methods whose results have a lifetime."""

QUESTIONS = ("elicitation/create", "sampling/createMessage", "roots/list")
"""The requests that a result may contain."""

COMPLETE = "complete"
REQUESTS_LIMIT = 100  # questions in one result; each may need a user's attention

_NAMELESS = {"name": "unnamed", "version": "0"}  # both are required of a legacy server
_CODES = {-32002: -32602, legacy.URL_ELICITATION_REQUIRED: -32603}
_MARK = b'"resultType"'

# The handshake


def hello_from_discovery(discovered: Envelope) -> Envelope:
    """Return the ``InitializeResult`` that a legacy client gets from a modern server."""
    info = peek.members(peek.members(discovered, "_meta"), SERVER_INFO_KEY)
    rest = _without(discovered, "resultType", "supportedVersions", "ttlMs", "cacheScope")
    return {
        "protocolVersion": jsonrpc.raw(LATEST_LEGACY),
        **_without_meta(rest, (SERVER_INFO_KEY,)),
        "capabilities": jsonrpc.raw(_without(peek.members(discovered, "capabilities"), "extensions")),
        "serverInfo": jsonrpc.raw(info or _NAMELESS),
    }


def discovery_from_hello(hello: Envelope, revision: str) -> Envelope:
    """Return the ``DiscoverResult`` that a modern client gets from a legacy server, served in this revision."""
    known = {
        "resultType": jsonrpc.raw(COMPLETE),
        "supportedVersions": jsonrpc.raw([revision]),
        **_without(hello, "protocolVersion", "serverInfo"),
        "capabilities": jsonrpc.raw(_without(peek.members(hello, "capabilities"), "tasks")),
        "ttlMs": jsonrpc.raw(0),
        "cacheScope": jsonrpc.raw("private"),
    }
    return _with_meta(known, {SERVER_INFO_KEY: hello["serverInfo"]} if "serverInfo" in hello else {})


def client_capabilities_for_legacy(meta: Envelope) -> dict[str, Any]:
    """Return the capabilities of a modern request's client as those of an ``initialize``."""
    return _still_roots(peek.mapping(meta, CAPABILITIES_KEY), ("extensions", "tasks"))


def client_capabilities_for_modern(capabilities: dict[str, Any]) -> dict[str, Any]:
    """Return the capabilities of a legacy client as those of a modern request."""
    return _still_roots(capabilities, ("tasks",))


def _still_roots(offers: dict[str, Any], without: Iterable[str]) -> dict[str, Any]:
    # The other era has no notification of changed roots.
    chosen = {name: value for name, value in offers.items() if name not in without}
    roots = chosen.get("roots")
    if isinstance(roots, dict):
        chosen["roots"] = {name: value for name, value in roots.items() if name != "listChanged"}
    return chosen


# Requests


def modern_params(params: Envelope | None, meta: Envelope) -> Envelope:
    """Return a legacy client's parameters for a modern server.

    :param meta: the members of the envelope; the client's own ``_meta`` stands beside them.
    """
    return _with_meta(_without(params or {}, "task"), meta)


def legacy_params(params: Envelope | None) -> Envelope | None:
    """Return a modern client's parameters for a legacy server; None where none are left."""
    if params is None:
        return None
    return _without_meta(_without(params, *RETRIED), ENVELOPE_KEYS) or None


# Results and errors


def legacy_result(method: str, result: Raw) -> Raw:
    """Return a modern server's complete result for a legacy client."""
    members = _members(result)
    if members is None:
        return result
    names = ("resultType", "ttlMs", "cacheScope") if method in CACHEABLE else ("resultType",)
    kept = _without_meta(_without(members, *names), (SERVER_INFO_KEY,))
    return result if kept == members else jsonrpc.raw(kept)


def modern_result(method: str, result: Raw, server_info: Raw | None) -> Raw:
    """Return a legacy server's result for a modern client: complete, and without a lifetime unless it has one."""
    members = _members(result)
    if members is None:
        return result
    members["resultType"] = jsonrpc.raw(COMPLETE)
    if method in CACHEABLE:
        members.setdefault("ttlMs", jsonrpc.raw(0))
        members.setdefault("cacheScope", jsonrpc.raw("private"))
    return jsonrpc.raw(
        members if server_info is None else _with_meta(members, {SERVER_INFO_KEY: server_info})
    )


def modern_error(error: Raw) -> Raw:
    """Return a legacy server's error for a modern client, without the codes that are not used any more."""
    members = _members(error)
    code = _CODES.get(jsonrpc.integer((members or {}).get("code")) or 0)
    if members is None or code is None:
        return error
    return jsonrpc.raw(members | {"code": jsonrpc.raw(code)})


def elicitations_of(error: Raw) -> list[dict[str, Any]] | None:
    """Return the elicitations of URLs in an error that requires them before the request; None for another error."""
    members = peek.members({"error": error}, "error")
    if jsonrpc.integer(members.get("code")) != legacy.URL_ELICITATION_REQUIRED:
        return None
    listed = peek.mapping(members, "data").get("elicitations")
    found = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    return found or None


def kind_of(result: Raw) -> str:
    """Return the ``resultType`` of a result; ``complete`` where it is missing, empty where it is malformed."""
    if _MARK not in bytes(result):
        return COMPLETE
    members = peek.members({"result": result}, "result")
    return peek.text(members, "resultType") or "" if "resultType" in members else COMPLETE


class InputRequest(Struct, frozen=True):
    """One question in a result.

    :ivar params: the parameters, an object, as received.
    """

    method: str
    params: Raw


def input_requests(result: Raw) -> tuple[dict[str, InputRequest], Raw | None]:
    """Return the requests of an ``input_required`` result by their keys, and its ``requestState`` as received.

    :raise BadReply: the result is malformed.
    """
    try:
        members = jsonrpc.read_object(result, "result")
        asked, state = (members.get(name, jsonrpc.NULL) for name in ("inputRequests", "requestState"))
        listed = {} if asked == jsonrpc.NULL else jsonrpc.read_object(asked, "inputRequests")
        found = {key: _input_request(each) for key, each in listed.items()}
    except GatewayError as why:
        raise BadReply(f"the server asks for input in a way that cannot be read: {why}") from None
    if len(found) > REQUESTS_LIMIT:
        raise BadReply(f"the server asks for more than {REQUESTS_LIMIT} inputs at once")
    if state != jsonrpc.NULL:
        if bytes(state)[:1] != b'"':
            raise BadReply("the server asks for input with a state that is no text")
        return found, state
    if not found:
        raise BadReply("the server asks for input, but not for which")
    return found, None


def _input_request(raw: Raw) -> InputRequest:
    members = jsonrpc.read_object(raw, "inputRequests")
    method = jsonrpc.read_string(members.get("method", jsonrpc.NULL), "method")
    if method not in QUESTIONS:
        raise BadReply(f"nobody can be asked {method}")
    params = members.get("params", jsonrpc.EMPTY)
    jsonrpc.read_object(params, "params")
    return InputRequest(method, params)


# Members


def _members(raw: Raw) -> Envelope | None:
    # A value that is no object is passed on as it is: its receiver refuses it.
    try:
        return jsonrpc.read_object(raw, "result")
    except GatewayError:
        return None


def _without(envelope: Envelope, *names: str) -> Envelope:
    return {name: value for name, value in envelope.items() if name not in names}


def _with_meta(envelope: Envelope, meta: Envelope) -> Envelope:
    whole = peek.members(envelope, "_meta") | meta
    return envelope | {"_meta": jsonrpc.raw(whole)} if whole else envelope


def _without_meta(envelope: Envelope, names: Iterable[str]) -> Envelope:
    if "_meta" not in envelope:
        return envelope
    kept = _without(peek.members(envelope, "_meta"), *names)
    return envelope | {"_meta": jsonrpc.raw(kept)} if kept else _without(envelope, "_meta")
