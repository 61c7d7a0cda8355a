"""Servers that answer by themselves, for tests of the endpoints that give a client all servers at once."""

from __future__ import annotations

from typing import Any

from attrs import define, field

from mcpgateway.owntools.missing_servers import KEY
from mcpgateway.views.lists import LIST_S, SOON_S
from mcpgateway.views.sessions import LEARNT_S
from tests.support.gateway_in_memory import Client, MemoryChild, MemoryGateway

ALL: dict[str, Any] = {
    "tools": {"listChanged": True},
    "prompts": {"listChanged": True},
    "resources": {"listChanged": True, "subscribe": True},
    "logging": {},
}


def tool(name: str, **more: Any) -> dict[str, Any]:
    """A tool as a server lists it."""
    return {"name": name, "description": f"Does {name}", "inputSchema": {"type": "object"}, **more}


@define
class Offer:
    """The lists of a server, by method; a request for another list is never answered."""

    tools: list[dict[str, Any]] | None = None
    prompts: list[dict[str, Any]] | None = field(factory=list)
    resources: list[dict[str, Any]] | None = field(factory=list)
    templates: list[dict[str, Any]] | None = field(factory=list)

    def result(self, method: str) -> dict[str, Any] | None:
        """The answer to a request for a list."""
        lists = {
            "tools/list": ("tools", self.tools),
            "prompts/list": ("prompts", self.prompts),
            "resources/list": ("resources", self.resources),
            "resources/templates/list": ("resourceTemplates", self.templates),
        }
        member, found = lists[method]
        return {member: found} if found is not None else None


class Stage:
    """A gateway whose servers list what they are told to.

    :ivar offers: what each server lists, by its name.
    """

    def __init__(self, gateway: MemoryGateway | None = None, **offers: Offer) -> None:
        self.gateway = gateway or MemoryGateway()
        assert self.gateway.launcher.hello is not None
        self.gateway.launcher.hello["capabilities"] = ALL | {"tasks": {}}
        self.offers = {
            "shared": Offer(tools=[tool("echo")]),
            "own": Offer(tools=[tool("count")]),
        } | offers
        self._answered: set[tuple[int, int]] = set()

    def play(self) -> None:
        """Answer all requests for lists in the servers' place, also those that come a moment later."""
        for _ in range(2):
            is_over = False
            while not is_over:
                is_over = not any(self._answer(each) for each in list(self.gateway.launcher.children))
            self.gateway.clock.advance(SOON_S)
        self.gateway.clock.advance(LEARNT_S)

    def begin(self) -> None:
        """Request the lists of the servers that the last list lacked; none of them answers."""
        self.gateway.clock.advance(SOON_S)

    def _answer(self, child: MemoryChild) -> bool:
        found = False
        for request in list(child.received):
            if not str(request.get("method")).endswith("/list") or "tasks" in request["method"]:
                continue
            at = (child.pid, request["id"])
            result = self.offers[self.name(child)].result(request["method"])
            if at not in self._answered and result is not None and not child.is_stopping:
                self._answered.add(at)
                child.answer(request, result)
                found = True
        return found

    @staticmethod
    def name(child: MemoryChild) -> str:
        """The server that a child is of."""
        assert child.launched is not None
        return child.launched.server

    def child(self, server: str) -> MemoryChild:
        """The latest child of a server."""
        return next(each for each in reversed(self.gateway.launcher.children) if self.name(each) == server)

    def view(self, path: str = "/mcp/full", **capabilities: Any) -> Client:
        """A session of all servers."""
        return self.gateway.view(path, **capabilities)

    def list(self, client: Client, method: str = "tools/list") -> Any:
        """Return the list that a client gets, once all servers have answered that answer at all."""
        found = self._list(client, method)
        return self._list(client, method) if KEY in found.get("_meta", {}) else found

    def _list(self, client: Client, method: str) -> Any:
        client.call(99, method)
        self.play()
        if client.heard is None:
            self.gateway.clock.advance(LIST_S)
        assert client.heard is not None, "not answered yet"
        return client.heard.json["result"]

    def names(self, client: Client, method: str = "tools/list") -> list[str]:
        """The names that a client is listed, those of the gateway's own tools left out."""
        member = "prompts" if method.startswith("prompts") else "tools"
        return [each["name"] for each in self.list(client, method)[member] if "gateway_" not in each["name"]]
