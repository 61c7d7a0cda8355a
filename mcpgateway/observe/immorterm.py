"""What immorterm-mcp-gateway calls clients, and how it shows one whose file uses the gateway."""

from __future__ import annotations

from typing import Any

from mcpgateway.config.model import ClientFile

TOOLS = {"claude-code": "claude"}
"""Its names of clients that have another name here."""

NAMES = {theirs: ours for ours, theirs in TOOLS.items()}


def client(file: ClientFile) -> dict[str, Any]:
    """One entry of its ``clients``; ``registeredAt`` is in milliseconds since the epoch, 0 where nobody knows."""
    return {
        "tool": TOOLS.get(file.client, file.client),
        "configPath": file.path,
        "registeredAt": round(file.registered_at * 1000),
        "serverCount": len(file.servers),
    }
