"""What views list: the tools, prompts and resources of all servers, asked for once and known from then on."""

from __future__ import annotations

from typing import Any

from tests.support.gateway_in_memory import MemoryGateway


def tool(name: str, **more: Any) -> dict[str, Any]:
    """A tool as a server lists it."""
    return {"name": name, "description": f"Does {name}", "inputSchema": {"type": "object"}, **more}


def names(result: dict[str, Any], member: str = "tools") -> list[str]:
    """What a list lists."""
    return [each["name"] for each in result[member]]


def answer(gateway: MemoryGateway, method: str, **lists: Any) -> None:
    """Let every child answer its requests for a list, by the name of its server."""
    for child in gateway.launcher.children:
        for request in child.asked(method):
            if request["id"] not in child.answered:
                child.answered.add(request["id"])
                child.answer(request, lists[child.launched.server])


def test_smoke() -> None:
    gateway = MemoryGateway()
    client = gateway.view()
    print(client.heard)
    client.call(1, "tools/list")
    print([c.received for c in gateway.launcher.children])
