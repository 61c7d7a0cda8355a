"""The answer to a client's ``initialize`` at a view, for which no server is started."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from mcpgateway import __version__
from mcpgateway.hub.catalog.listed import ServerLists
from mcpgateway.protocol import jsonrpc
from mcpgateway.views.specs import ADMIN, FULL
from mcpgateway.views.view import View

ONE_LIMIT = 600  # characters of one server's instructions
ALL_LIMIT = 4000  # of all servers; a model reads them with every conversation

CAPABILITIES: dict[str, Any] = {
    "tools": {"listChanged": True},
    "resources": {"listChanged": True, "subscribe": True},
    "prompts": {"listChanged": True},
    "logging": {},
    "completions": {},
    "tasks": {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}},
}

_FIND = (
    "Not all tools are listed. gateway_search finds them by what they do, gateway_describe shows the arguments of one, "
    "and gateway_invoke calls it by the id that both give."
)
_GUIDES = {
    FULL: "Tools are named <server>__<tool>.",
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
    """Return the instructions of a view and of its servers, cut to `ALL_LIMIT` characters."""
    names = ", ".join(view.servers)
    lines = [f"Many MCP servers at one address: {_cut(names, ONE_LIMIT)}. {_GUIDES.get(view.kind, _FIND)}"]
    room = ALL_LIMIT - len(lines[0])
    for server in view.servers.values() if view.kind != ADMIN else ():
        text = server_lists.instructions(server)
        if text and room > 0:
            part = f"## {server.name}\n{_cut(text.strip(), min(ONE_LIMIT, room))}"
            lines.append(part)
            room -= len(part)
    return "\n\n".join(lines)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1].rstrip()}…"
