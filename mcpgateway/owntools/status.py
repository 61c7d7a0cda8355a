"""The tools that show the state of the gateway, its servers, and the caller's access to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from attrs import define, frozen

from mcpgateway import __version__
from mcpgateway.config.model import ServerSpec
from mcpgateway.interfaces import Request
from mcpgateway.owntools import answers
from mcpgateway.owntools.arguments import text
from mcpgateway.owntools.tool import READ, Access, argument, define_tool
from mcpgateway.protocol.jsonrpc import Envelope

UP = frozenset(("running", "asleep", "degraded"))
_HEALTH = {
    "running": "healthy",
    "asleep": "healthy",
    "degraded": "degraded",
    "restarting": "degraded",
    "error": "unhealthy",
    "unreachable": "unhealthy",
}


@frozen
class GatewayStatus:
    """The view of the gateway and its servers for ``status`` tools.

    :ivar servers: returns all configured servers.
    :ivar look: returns the numbers of a server (`mcpgateway.observe.census.Census.server`).
    :ivar count: returns the number of a server's known tools; None if it was never asked.
    :ivar config: returns the state of the configuration (`mcpgateway.manage.reload.ReloadState.shown`).
    :ivar uptime: returns the seconds since the gateway's start.
    """

    servers: Callable[[], Iterable[ServerSpec]]
    look: Callable[[ServerSpec], Mapping[str, Any]]
    count: Callable[[ServerSpec], int | None]
    config: Callable[[], Mapping[str, Any]] = dict
    uptime: Callable[[], int] = int

    def is_connected(self, server: ServerSpec) -> bool:
        """Return whether a server answers calls without a start."""
        return self.look(server).get("status") in UP

    def shown(self, server: ServerSpec) -> dict[str, Any]:
        """Return a server in S003's format."""
        found = self.look(server)
        status = found.get("status", "stopped")
        shown = {
            "name": server.name,
            "status": status,
            "transport": found.get("transport", "stdio"),
            "tool_count": self.count(server),
            "health": _HEALTH.get(status, "unknown"),
            "uptime_seconds": found.get("uptime_seconds", 0),
        }
        if error := found.get("last_error"):
            shown["last_error"] = error
        return shown


def seen_by(access: Access) -> tuple[ServerSpec, ...]:
    """Return the servers of a caller's view: those that it may use, and those that cannot be used now."""
    return (*access.specs(), *access.view.others)


@define(eq=False, repr=False)
class Status:
    """Shows the gateway in S004's format: the connected servers, and the number of tools."""

    sight: GatewayStatus
    name: ClassVar[str] = "status"
    tier: ClassVar[str] = READ
    definition: ClassVar[bytes] = define_tool(
        "status", "How the gateway and its servers are.", {}, readOnlyHint=True
    )

    def call(self, request: Request, arguments: Envelope, access: Access) -> None:
        """Answer with the servers that the caller may use."""
        specs, config = access.specs(), self.sight.config()
        files = config.get("files") or ()
        projects = {each.path: each.name for spec in specs for each in spec.projects}
        answers.text(
            request,
            {
                "connectedServers": [
                    {"name": each.name, "toolCount": self.sight.count(each) or 0}
                    for each in specs
                    if self.sight.is_connected(each)
                ],
                "totalTools": sum(self.sight.count(each) or 0 for each in specs),
                "configPath": files[0] if files else None,
                "lastReloadTimestamp": config.get("loaded_at"),
                "pendingReload": bool(config.get("restart_needed")),
                "codegraphProjects": [{"name": name, "path": path} for path, name in projects.items()],
                "defaultProject": next(
                    (each.default_project for each in specs if each.default_project), None
                ),
                "servers": len(specs),
                "problems": list(config.get("problems") or ()),
                "uptimeSeconds": self.sight.uptime(),
                "version": __version__,
            },
        )


@define(eq=False, repr=False)
class ListServers:
    """Lists the servers that the caller may use, in S003's format."""

    sight: GatewayStatus
    name: ClassVar[str] = "list_servers"
    tier: ClassVar[str] = READ
    definition: ClassVar[bytes] = define_tool(
        "list_servers",
        "The servers you may use, and how they are.",
        {"cwd": argument("As from this directory")},
        readOnlyHint=True,
    )

    def call(self, request: Request, arguments: Envelope, access: Access) -> None:
        """Answer with one entry for each server."""
        cwd = text(arguments, "cwd")

        answers.later(self._show(request, access, cwd), request)

    async def _show(self, request: Request, access: Access, cwd: str) -> None:
        now = await access.caught_up()
        seen_by = now.within(cwd) if cwd else now
        answers.text(request, [self.sight.shown(each) for each in seen_by.specs()])


@define(eq=False, repr=False)
class ListAllServers:
    """Lists every server of the view, with the caller's access to it."""

    sight: GatewayStatus
    name: ClassVar[str] = "list_all_servers"
    tier: ClassVar[str] = READ
    definition: ClassVar[bytes] = define_tool(
        "list_all_servers",
        "All servers, also those that cannot be used now.",
        {},
        readOnlyHint=True,
    )

    def call(self, request: Request, arguments: Envelope, access: Access) -> None:
        """Answer with one entry for each server."""
        usable = {each.name for each in access.specs()}
        order = {each.name: at for at, each in enumerate(self.sight.servers())}
        seen = sorted(seen_by(access), key=lambda each: order.get(each.name, len(order)))
        answers.text(request, [{**self.sight.shown(each), "usable": each.name in usable} for each in seen])
