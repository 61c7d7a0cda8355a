"""The words of one era in those of the other; what is not named here goes through as it came.

legacy                      modern
InitializeResult            DiscoverResult
capabilities, once          clientCapabilities, in each request
a result                    with resultType, and how long it may be kept
-32002 (no such resource)   -32602
-32042 (go there first)     a result that asks for it
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from mcpgateway.errors import BadReply, GatewayError
from mcpgateway.wire import jsonrpc, modern, peek
from mcpgateway.wire.jsonrpc import PROTOCOL_VERSION_KEY, Envelope
from mcpgateway.wire.revisions import LATEST_LEGACY

SERVER_INFO_KEY = modern.PREFIX + "serverInfo"
ENVELOPE = frozenset((PROTOCOL_VERSION_KEY, modern.CAPABILITIES_KEY, modern.INFO_KEY, modern.LEVEL_KEY))
RETRIED = frozenset(("inputResponses", "requestState"))
CACHEABLE = frozenset(
    (
        "server/discover",
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
        "resources/read",
    )
)
"""The requests whose results say how long they may be kept."""

RESOURCE_NOT_FOUND, URL_ELICITATION_REQUIRED, INVALID_PARAMS = -32002, -32042, -32602

_COMPLETE = jsonrpc.raw("complete")
_NAMELESS = {"name": "unnamed", "version": "unknown"}
_KEPT = {"ttlMs": jsonrpc.raw(0), "cacheScope": jsonrpc.raw("private")}


def hello_from_discovery(discovered: Envelope) -> Envelope:
    """The ``InitializeResult`` that legacy clients get of a modern server, from its ``DiscoverResult``."""
    capabilities = peek.members(discovered, "capabilities")
    capabilities.pop("extensions", None)
    hello = {
        "protocolVersion": jsonrpc.raw(LATEST_LEGACY),
        "capabilities": jsonrpc.raw(capabilities),
        "serverInfo": peek.members(discovered, "_meta").get(SERVER_INFO_KEY) or jsonrpc.raw(_NAMELESS),
    }
    return hello | {name: discovered[name] for name in ("instructions",) if name in discovered}


def discovery_from_hello(hello: Envelope, revision: str) -> Envelope:
    """The ``DiscoverResult`` that modern clients get of a legacy server, from its ``InitializeResult``."""
    capabilities = peek.members(hello, "capabilities")
    capabilities.pop("tasks", None)  # those of the legacy era are not those of the extension
    info = hello.get("serverInfo") or jsonrpc.raw(_NAMELESS)
    discovered = {
        "resultType": _COMPLETE,
        "supportedVersions": jsonrpc.raw([revision]),
        "capabilities": jsonrpc.raw(capabilities),
        **_KEPT,
        "_meta": jsonrpc.raw({SERVER_INFO_KEY: info}),
    }
    return discovered | {name: hello[name] for name in ("instructions",) if name in hello}


def modern_params(params: Envelope | None, envelope: Envelope) -> Envelope:
    """A legacy client's parameters with what every modern request says; its own ``_meta`` stays beside it."""
    params = dict(params or {})
    params.pop("task", None)
    params["_meta"] = jsonrpc.raw(peek.members(params, "_meta") | envelope)
    return params


def legacy_params(params: Envelope | None) -> Envelope | None:
    """A modern client's parameters as a legacy server takes them; None where nothing is left of them."""
    if params is None:
        return None
    kept = {name: value for name, value in params.items() if name not in RETRIED}
    if "_meta" in kept:
        meta = {key: value for key, value in peek.members(kept, "_meta").items() if key not in ENVELOPE}
        kept["_meta"] = jsonrpc.raw(meta)
        if not meta:
            del kept["_meta"]
    return kept or None


def legacy_result(result: Raw) -> Raw:
    """A modern server's result as a legacy client takes it."""
    members = peek.members({"result": result}, "result")
    for name in ("resultType", *_KEPT):
        members.pop(name, None)
    meta = peek.members(members, "_meta")
    if meta.pop(SERVER_INFO_KEY, None) is not None:
        members["_meta"] = jsonrpc.raw(meta)
        if not meta:
            del members["_meta"]
    return jsonrpc.raw(members)


def modern_result(method: str, result: Raw, info: Raw | None) -> Raw:
    """A legacy server's result as a modern client takes it.

    :param info: what the server said of itself at the handshake.
    """
    members = peek.members({"result": result}, "result")
    said = {"resultType": _COMPLETE} | (_KEPT if method in CACHEABLE else {})
    members = members | {name: value for name, value in said.items() if name not in members}
    if info is not None:
        members["_meta"] = jsonrpc.raw({SERVER_INFO_KEY: info} | peek.members(members, "_meta"))
    return jsonrpc.raw(members)


def modern_error(error: Raw) -> Raw:
    """A legacy server's error with a code that the modern era knows."""
    members = peek.members({"error": error}, "error")
    code = jsonrpc.integer(members.get("code"))
    if code == RESOURCE_NOT_FOUND:
        return jsonrpc.raw(members | {"code": jsonrpc.raw(INVALID_PARAMS)})
    return error


def elicitations_of(error: Raw) -> list[dict[str, Any]] | None:
    """The pages that an error asks the user to visit first; None if it is another error."""
    members = peek.members({"error": error}, "error")
    if jsonrpc.integer(members.get("code")) != URL_ELICITATION_REQUIRED:
        return None
    found = peek.mapping(members, "data").get("elicitations")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def client_capabilities_for_legacy(meta: Envelope) -> dict[str, Any]:
    """What a modern client can be asked, as an ``initialize`` says it."""
    declared = peek.mapping(meta, modern.CAPABILITIES_KEY)
    declared.pop("extensions", None)
    return declared


def client_capabilities_for_modern(capabilities: dict[str, Any]) -> dict[str, Any]:
    """What a legacy client can be asked, as a modern request says it."""
    kept = {key: value for key, value in capabilities.items() if key != "tasks"}
    if isinstance(kept.get("roots"), dict):
        kept["roots"] = {key: value for key, value in kept["roots"].items() if key != "listChanged"}
    return kept


def kind_of(result: Raw) -> str:
    """What a result is: ``complete`` unless it says something else."""
    if b'"resultType"' not in bytes(result):
        return "complete"
    return peek.text(peek.members({"result": result}, "result"), "resultType") or "complete"


def input_requests(result: Raw) -> tuple[dict[str, Envelope], Raw | None]:
    """What a server wants to know before it goes on, each request by its key; and the state it wants back.

    :raise BadReply: the result asks for nothing that can be understood.
    """
    try:
        members = jsonrpc.read_object(result, "result")
        asked = jsonrpc.read_object(members.get("inputRequests", jsonrpc.EMPTY), "inputRequests")
        requests = {key: jsonrpc.read_object(each, key) for key, each in asked.items()}
    except GatewayError as why:
        raise BadReply(f"the server asks for something that cannot be understood: {why.message}") from None
    state = members.get("requestState")
    if (not requests and state is None) or any(
        peek.text(each, "method") is None for each in requests.values()
    ):
        raise BadReply("the server wants something before it goes on, and does not say what")
    return requests, state
