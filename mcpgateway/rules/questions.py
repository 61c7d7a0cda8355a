"""Which questions of a server a client has said it can answer (MCP 2025-11-25, client capabilities)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FULL: dict[str, Any] = {
    "roots": {"listChanged": True},
    "sampling": {"tools": {}, "context": {}},
    "elicitation": {"form": {}, "url": {}},
}
"""Everything a client can offer; a server that is given this shows whether it would ever ask."""

_NEEDS = {"sampling/createMessage": "sampling", "elicitation/create": "elicitation", "roots/list": "roots"}


def offers_something(capabilities: Mapping[str, Any]) -> bool:
    """Whether a client declared anything that a server could ask it for."""
    return any(name in capabilities for name in FULL)


def refusal(
    method: str, params: Mapping[str, Any], capabilities: Mapping[str, Any]
) -> tuple[int, str] | None:
    """The JSON-RPC error code and text a question is refused with in the client's place; None where it may be asked."""
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
