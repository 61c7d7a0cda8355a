"""The answer to a client's ``initialize`` at a view, for which no server is started."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from mcpgateway import __version__
from mcpgateway.hub.catalog.listed import ServerLists
from mcpgateway.protocol import jsonrpc
from mcpgateway.views.specs import ADMIN, FULL, META
from mcpgateway.views.view import View

NAMES_LIMIT = 100  # characters of the servers' names; a model reads them with every conversation
ONE_LIMIT = 600  # of one server's instructions
ALL_LIMIT = 4000  # of all servers'

CAPABILITIES: dict[str, Any] = {
    "tools": {"listChanged": True},
    "resources": {"listChanged": True, "subscribe": True},
    "prompts": {"listChanged": True},
    "logging": {},
    "completions": {},
    "tasks": {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}},
}

_FIND = "Their tools are not all listed: gateway_search finds them, gateway_invoke calls them."
_GUIDES = {
    FULL: "Tools are named <server>__<tool>.",
    META: "Their tools are not listed: list_tools shows them, call calls them.",
    ADMIN: "The tools here look after the gateway and its servers.",
}


def written(view: View, server_lists: ServerLists, version: str) -> Raw:
    """Return the ``InitializeResult`` for a client of a view."""
    return jsonrpc.raw(
        {
            "protocolVersion": version,
            "capabilities": CAPABILITIES,
            "serverInfo": {"name": "mcpgateway", "version": f"{__version__}+{view.topology()}"},
            "instructions": instructions(view, server_lists),
        }
    )


def instructions(view: View, server_lists: ServerLists) -> str:
    """Return the instructions of a view, and of its servers where it lists all of their tools.

    Other views tell a server's instructions with the description of a tool (`mcpgateway.owntools.search`).
    """
    names = _cut(", ".join(view.servers), NAMES_LIMIT)
    lines = [f"{len(view.servers)} MCP servers: {names}. {_GUIDES.get(view.kind, _FIND)}"]
    room = ALL_LIMIT - len(lines[0])
    for server in view.servers.values() if view.kind == FULL else ():
        text = server_lists.instructions(server)
        if text and room > 0:
            part = f"## {server.name}\n{_cut(text.strip(), min(ONE_LIMIT, room))}"
            lines.append(part)
            room -= len(part)
    return "\n\n".join(lines)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1].rstrip()}…"
