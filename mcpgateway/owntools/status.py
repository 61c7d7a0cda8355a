"""The tools that show what there is: the gateway itself, its servers, and which of them the caller may use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from attrs import define, frozen

from mcpgateway import __version__
from mcpgateway.config.model import ServerSpec
from mcpgateway.interfaces import Request
from mcpgateway.owntools import answers
from mcpgateway.owntools.arguments import text
from mcpgateway.owntools.tool import READ, Access, define_tool
from mcpgateway.protocol.jsonrpc import Envelope

UP = frozenset(("running", "degraded"))
_HEALTH = {
    "running": "healthy",
    "degraded": "degraded",
    "restarting": "degraded",
    "error": "unhealthy",
    "unreachable": "unhealthy",
}


@frozen
class GatewayStatus:
    """The view of the gateway and its servers for ``status`` tools.

    :ivar servers: all that are configured.
    :ivar look: what is shown of a server (`mcpgateway.observe.census.Census.server`).
    :ivar count: how many tools of a server are known; None where it was never asked.
    :ivar config: what is to be said of the configuration (`mcpgateway.manage.reload.ReloadState.shown`).
    :ivar uptime: seconds since the gateway has started.
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
        """Return a server as S003 shows it."""
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
    """The servers that a caller's view is of: those that it may use, and those that cannot be used now."""
    return (*access.specs(), *access.view.others)


@define(eq=False)
class Status:
    """Shows what S004 shows of the gateway: which servers are connected, how many tools there are."""

    sight: GatewayStatus
    name: ClassVar[str] = "status"
    tier: ClassVar[str] = READ
    definition: ClassVar[bytes] = define_tool(
        "status", "How the gateway and its servers are.", {}, readOnlyHint=True
    )

    def call(self, call: Request, arguments: Envelope, access: Access) -> None:
        """Answer with the servers that the caller may use."""
        specs, config = access.specs(), self.sight.config()
        files = config.get("files") or ()
        projects = {each.path: each.name for spec in specs for each in spec.projects}
        answers.text(
            call,
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


@define(eq=False)
class ListServers:
    """Lists the servers that the caller may use, as S003 shows them."""

    sight: GatewayStatus
    name: ClassVar[str] = "list_servers"
    tier: ClassVar[str] = READ
    definition: ClassVar[bytes] = define_tool(
        "list_servers",
        "The servers you may use, and how they are; cwd: as from that directory.",
        {"cwd": {"type": "string"}},
        readOnlyHint=True,
    )

    def call(self, call: Request, arguments: Envelope, access: Access) -> None:
        """Answer with one entry for each."""
        cwd = text(arguments, "cwd")

        answers.later(self._show(call, access, cwd), call)

    async def _show(self, call: Request, access: Access, cwd: str) -> None:
        now = await access.caught_up()
        seen_by = now.within(cwd) if cwd else now
        answers.text(call, [self.sight.shown(each) for each in seen_by.specs()])


@define(eq=False)
class ListAllServers:
    """Lists every server of the view, and whether the caller may use it."""

    sight: GatewayStatus
    name: ClassVar[str] = "list_all_servers"
    tier: ClassVar[str] = READ
    definition: ClassVar[bytes] = define_tool(
        "list_all_servers",
        "Every server of this endpoint, also those that cannot be used now.",
        {},
        readOnlyHint=True,
    )

    def call(self, call: Request, arguments: Envelope, access: Access) -> None:
        """Answer with one entry for each."""
        usable = {each.name for each in access.specs()}
        order = {each.name: at for at, each in enumerate(self.sight.servers())}
        seen = sorted(seen_by(access), key=lambda each: order.get(each.name, len(order)))
        answers.text(call, [{**self.sight.shown(each), "usable": each.name in usable} for each in seen])
