"""All servers as people and programs see them: their state, their lists, their definitions.

Of variables and headers only the names are included, never a value.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

from mcpgateway.config.model import ServerSpec
from mcpgateway.config.reach_settings import Container, Remote, Rest
from mcpgateway.discovery.naming import server_hint
from mcpgateway.discovery.records import Item
from mcpgateway.discovery.tokens import cost_of
from mcpgateway.errors import UnknownServer
from mcpgateway.policy.secrets.masking import address, arguments

if TYPE_CHECKING:
    from mcpgateway.config.merge import Blueprint
    from mcpgateway.hub.catalog.quarantine import Quarantine
    from mcpgateway.observe.overview import OpenNeed

NEED = ("cause", "says", "do", "run", "action", "key")
SHOWN = ("name", "title", "status", "transport")


def _not_known(_: ServerSpec) -> None:
    return None


def _not_judged(_: Mapping[str, Any]) -> tuple[dict[str, str], OpenNeed | None]:
    return {}, None


def _not_counted(_: str) -> Mapping[str, Any]:
    return {}


def _of_no_project(_: str) -> None:
    return None


def _no_sizes() -> Mapping[int, int]:
    return {}


@frozen
class Roster:
    """Describes servers.

    :ivar servers: the configured servers, by name.
    :ivar look: returns the numbers of a server (`mcpgateway.observe.census.Census.server`).
    :ivar blueprints: their definitions, by name.
    :ivar tools: returns the known tools of a server (`mcpgateway.hub.catalog.listed.ServerLists.tools`).
    :ivar sizes: returns the bytes of each child's process tree (`mcpgateway.observe.savings.Savings.sizes`).
    :ivar judged: the words for a server's state, and its need (`mcpgateway.observe.overview.Overview.judged`).
    :ivar quarantine: knows the versions and tools of servers; None if none are kept.
    :ivar counts: returns the latest calls of a server (`mcpgateway.observe.figures.ServerFigures.of_server`).
    :ivar of_project: returns the server of that name of a project's approved file.
    """

    servers: Callable[[], Mapping[str, ServerSpec]]
    look: Callable[[ServerSpec], Mapping[str, Any]]
    blueprints: Callable[[], Mapping[str, Blueprint]] = dict
    tools: Callable[[ServerSpec], Sequence[Item] | None] = _not_known
    sizes: Callable[[], Mapping[int, int]] = _no_sizes
    judged: Callable[[Mapping[str, Any]], tuple[dict[str, str], OpenNeed | None]] = _not_judged
    of_project: Callable[[str], ServerSpec | None] = _of_no_project
    counts: Callable[[str], Mapping[str, Any]] = _not_counted
    quarantine: Quarantine | None = None

    def server(self, name: str) -> ServerSpec:
        """Return the server of that name, also one of a project's approved file, which is in no list.

        :raise UnknownServer: no server has it; the hint has the nearest names.
        """
        if name not in self.servers() and (found := self.of_project(name)) is not None:
            return found
        return named(self.servers(), name)

    def views(self, *, with_tools: bool = True) -> list[dict[str, Any]]:
        """Return every server, with its tools or only with their number."""
        sizes = self.sizes()
        return [self._view(each, sizes, with_tools=with_tools) for each in self.servers().values()]

    def view(self, name: str) -> dict[str, Any]:
        """Return one server, with its known tools.

        :raise UnknownServer: no server has that name.
        """
        server = self.server(name)
        lock = self.quarantine.shown(server) if self.quarantine is not None else None
        return {**self._view(server, self.sizes()), **({"lock": lock} if lock else {})}

    def _view(
        self, server: ServerSpec, sizes: Mapping[int, int], *, with_tools: bool = True
    ) -> dict[str, Any]:
        found = self.look(server)
        words, need = self.judged(found)
        found = {**found, **words}
        pids, tools = list(found.get("pids", ())), self.tools(server)
        version, newer = self.quarantine.versions(server) if self.quarantine is not None else ("", "")
        shown = {each: found[each] for each in SHOWN}
        shown |= {
            "state": found.get("state", found["status"]),
            "enabled": server.enabled,
            "share": found["share"],
            "tool_count": len(tools) if tools is not None else None,
            "tool_tokens": cost_of(tools).total if tools is not None else None,
            "endpoint": f"/{server.name}/mcp",
            "restart_count": found["restart_count"],
            "uptime_seconds": found["uptime_seconds"],
            "next_try_s": found["next_try_s"],
            "sessions": found["sessions"],
            "calls": found["calls"],
            "requests": found["requests"],
            "tool_calls": found["tool_calls"],
            "call_errors": found["call_errors"],
            **self.counts(server.name),
            "reason": need.says if need is not None else "",
            "pids": pids,
            "memory_mb": _memory_mb(server, pids, sizes),
            "runs": _runs(server),
            "version": version,
            "newer_version": newer,
            "source": server.source,
            "is_own": self._is_own(server),
            "project": server.project,
            "group": found["group"],
            "group_title": found["group_title"],
            **self._keys(server),
        }
        if pids:
            shown["pid"] = pids[0]
        if url := found.get("login_url"):
            shown["login_url"] = url
        if error := found.get("last_error"):
            shown["last_error"] = error
        if need is not None:
            shown["need"] = {each: getattr(need, each) for each in NEED}
        if tools is not None and with_tools:
            shown["tools"] = [_tool(each) for each in tools]
        return shown

    def _is_own(self, server: ServerSpec) -> bool:
        blueprint = self.blueprints().get(server.name)
        return blueprint is not None and blueprint.entry.origin.is_ours

    def _keys(self, server: ServerSpec) -> dict[str, list[str]]:
        blueprint = self.blueprints().get(server.name)
        env: Iterable[str] = blueprint.whole.env if blueprint is not None else ()
        headers = server.reach.headers if isinstance(server.reach, Remote | Rest) else server.rest_headers
        return {"env_keys": sorted(env), "header_keys": sorted(headers)}


def _memory_mb(server: ServerSpec, pids: Iterable[int], sizes: Mapping[int, int]) -> float | None:
    """Return the memory of a server's processes; None where it has none, or they run elsewhere."""
    if isinstance(server.reach, Container):
        return None  # the process here is the container engine's client
    measured = sum(sizes.get(each, 0) for each in pids)
    return round(measured / 2**20, 1) if measured else None


def _runs(server: ServerSpec) -> str:
    """Return the command or the address of a server in one text, without secrets."""
    if server.command:
        return shlex.join(arguments(list(server.command)))
    match server.reach:
        case Remote():
            return address(server.reach.url)
        case Rest():
            return address(server.reach.base)
        case Container():
            return server.reach.image
    return ""


def named(servers: Mapping[str, ServerSpec], name: str) -> ServerSpec:
    """Return the server of that name.

    :raise UnknownServer: no server has it; the hint has the nearest names.
    """
    if name not in servers:
        raise UnknownServer(f"Unknown server: {name}", server_hint(name, servers))
    return servers[name]


def _tool(item: Item) -> dict[str, Any]:
    return {
        "name": item.own,
        "description": item.description,
        "server": item.server,
        "input_schema": item.input_schema,
    }
