"""The questions of a server that a client has declared it can answer (MCP 2025-11-25, client capabilities)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from msgspec import Raw, Struct

from mcpgateway.config.model import ServerSpec
from mcpgateway.policy.known_servers import known_by_start
from mcpgateway.protocol import jsonrpc, translate
from mcpgateway.protocol.jsonrpc import Envelope

FULL: dict[str, Any] = {
    "roots": {"listChanged": True},
    "sampling": {"tools": {}, "context": {}},
    "elicitation": {"form": {}, "url": {}},
}
"""The capabilities of a client that can answer every question."""

EXTENSIONS = "extensions"
OFFER_LIMIT = 4096  # bytes of JSON; beyond it a client's extensions are not passed on

ROOTS = "roots/list"
ROOTS_CHANGED = "notifications/roots/list_changed"
ROOTS_LIMIT = 65_536  # of one client's roots; a longer list counts as none

_NEEDS = {"sampling/createMessage": "sampling", "elicitation/create": "elicitation", ROOTS: "roots"}


Offer = dict[str, Any]
"""The capabilities of the clients of a shared child, as the gateway declares them to it; empty for none."""


def offer_of(capabilities: Mapping[str, Any]) -> Offer:
    """Return the capabilities of a client that the gateway declares to a child that the client shares.

    They are the questions that the client answers, and its extensions.  A child is not promised notifications of
    changed roots, since it gets none from one client of many.
    """
    offer: Offer = {
        name: {key: {} for key in known if key in capabilities[name]}
        for name, known in FULL.items()
        if isinstance(capabilities.get(name), Mapping)
    }
    if "roots" in offer:
        offer["roots"] = {}
    extensions = capabilities.get(EXTENSIONS)
    if (
        isinstance(extensions, Mapping)
        and extensions
        and len(name_of({EXTENSIONS: extensions})) <= OFFER_LIMIT
    ):
        offer[EXTENSIONS] = dict(extensions)
    return offer


def shows_urls(capabilities: Mapping[str, Any]) -> bool:
    """True if a client sends its user to a URL when it is asked to."""
    offered = capabilities.get("elicitation")
    return isinstance(offered, dict) and "url" in offered


def name_of(offer: Offer) -> str:
    """Return the key of an offer: equal offers have equal keys; empty for an empty offer."""
    return json.dumps(offer, sort_keys=True) if offer else ""


def joined(one: Offer, other: Offer) -> Offer:
    """Return the capabilities of several clients together, for a server that may have one child only."""
    both = {name: {**one.get(name, {}), **other.get(name, {})} for name in dict.fromkeys((*one, *other))}
    if {} in (one.get("elicitation"), other.get("elicitation")) and both["elicitation"]:
        both["elicitation"]["form"] = {}  # which an empty object means, too
    return both


def offers_something(capabilities: Mapping[str, Any]) -> bool:
    """True if a client declared any capability that lets a server ask it."""
    return any(name in capabilities for name in FULL)


def refusal(
    method: str, params: Mapping[str, Any], capabilities: Mapping[str, Any]
) -> tuple[int, str] | None:
    """Return the JSON-RPC error code and text for a question that is refused for the client; None for one it takes."""
    needed = _NEEDS.get(method)
    if needed is None:
        return None  # a method of a server and a client that know each other
    if needed not in capabilities:
        return -32601, f"Method not found: {method} (the client does not offer {needed})"
    offered = capabilities[needed] if isinstance(capabilities[needed], Mapping) else {}
    missing = _missing(method, params, offered)
    return (-32602, f"Invalid params: the client does not offer {needed}.{missing}") if missing else None


def _missing(method: str, params: Mapping[str, Any], offered: Mapping[str, Any]) -> str | None:
    if method == "elicitation/create":
        mode = params.get("mode", "form")
        # Before 2025-11-25 there was only the form, declared by an empty object.
        return None if mode in offered or (mode == "form" and "url" not in offered) else str(mode)
    if method == "sampling/createMessage" and "tools" in params and "tools" not in offered:
        return "tools"
    return None


def offer_to(server: ServerSpec, capabilities: Mapping[str, Any]) -> Offer:
    """Return the capabilities of a client that the gateway declares to a child of a server.

    Those that make no difference to the server are left out, by its entry or by its sources: clients that differ only
    in these share a child.
    """
    if server.interactive is False:
        return {}
    offer, heeds = offer_of(capabilities), known_by_start(server).heeds
    if heeds is None or server.interactive:
        return offer
    return {name: value for name, value in offer.items() if name in heeds}


def modern_offer_to(server: ServerSpec, meta: Envelope | None) -> Offer:
    """Return the same for a client with this ``_meta``."""
    return offer_to(server, translate.client_capabilities_for_legacy(meta or {}))


class DeclaredRoots(Struct, frozen=True):
    """The roots of one client.

    :ivar key: equal for sessions that may share a child.
    :ivar result: the result of ``roots/list``, as the client has sent it.
    """

    key: str
    result: Raw = Raw(b"")

    @property
    def is_told(self) -> bool:
        """True if a client has told them: they are neither `UNDECLARED` nor `UNKNOWN`."""
        return self not in (UNDECLARED, UNKNOWN)


UNDECLARED = DeclaredRoots("")
"""Of a client that declares no roots, or tells none although it declares them: its server is not told of any."""

UNKNOWN = DeclaredRoots("?")
"""Of a client that is still to be asked."""


def roots_in(result: Mapping[str, Any]) -> DeclaredRoots:
    """Return the roots in the result of ``roots/list``; `UNDECLARED` where the result is malformed or too long.

    Their order counts, since the first root may be the main one.  A name that only repeats the end of its URI does not:
    some clients add it, and others do not.
    """
    listed = result.get("roots")
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        return UNDECLARED
    told = jsonrpc.raw({"roots": listed})
    if len(bytes(told)) > ROOTS_LIMIT:
        return UNDECLARED
    said = json.dumps([_plain(each) for each in listed], sort_keys=True)
    return DeclaredRoots(hashlib.sha256(said.encode(errors="surrogatepass")).hexdigest()[:32], told)


def _plain(root: Mapping[str, Any]) -> dict[str, Any]:
    uri = str(root.get("uri", "")).rstrip("/")
    is_plain = root.get("name") in (None, "", uri.rpartition("/")[2])
    return {key: value for key, value in root.items() if key != "name" or not is_plain} | {"uri": uri}
