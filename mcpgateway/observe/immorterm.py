"""The names of clients in immorterm-mcp-gateway, and its format of an enrolled client."""

from __future__ import annotations

from typing import Any

from mcpgateway.config.model import ClientFile

TOOLS = {"claude-code": "claude"}
"""Its names of clients that have another name here."""

NAMES = {theirs: ours for ours, theirs in TOOLS.items()}


def client(file: ClientFile) -> dict[str, Any]:
    """Return an entry of its ``clients``; ``registeredAt`` is in milliseconds since the epoch, 0 where unknown."""
    return {
        "tool": TOOLS.get(file.client, file.client),
        "configPath": file.path,
        "registeredAt": round(file.registered_at * 1000),
        "serverCount": len(file.servers),
    }
