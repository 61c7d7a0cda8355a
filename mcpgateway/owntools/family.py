"""Builds the gateway's own tools."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from mcpgateway.config.model import ServerSpec
from mcpgateway.config.reach_settings import transport
from mcpgateway.discovery.records import ListKind
from mcpgateway.owntools.answers import Shield, unshielded
from mcpgateway.owntools.directory import Directory, ListSource
from mcpgateway.owntools.get_result import GetResult, ResultStore
from mcpgateway.owntools.invoke import CallRedirection, CallTool, Invoke
from mcpgateway.owntools.invoke_later import InvokeAsync, InvokeStatus
from mcpgateway.owntools.jobs import Jobs
from mcpgateway.owntools.news import ToolNews
from mcpgateway.owntools.search import Describe, DescribeTool, Finder, ListTools, Search, SearchParts
from mcpgateway.owntools.semantic_search import SemanticSearch
from mcpgateway.owntools.status import GatewayStatus, ListAllServers, ListServers, Status
from mcpgateway.owntools.tool import Builtin, Tool

if TYPE_CHECKING:
    from mcpgateway.hub.dispatch import LegacyDispatcher
    from mcpgateway.hub.health.health import Health


@frozen
class OwnToolParts:
    """The parts of the gateway that its own tools use.

    :ivar vault: store of the originals of results; None if none are stored.
    :ivar clock: clock of time limits.
    :ivar shield: shortens large results.
    :ivar semantic: ranks tools by meaning; None where words rank alone.
    """

    server_lists: ListSource
    vault: ResultStore | None
    jobs: Jobs
    sight: GatewayStatus
    clock: Any
    shield: Shield = unshielded
    semantic: SemanticSearch | None = None


def sight_of(
    dispatcher: LegacyDispatcher,
    health: Health,
    server_lists: ListSource,
    config: Callable[[], Mapping[str, Any]],
) -> GatewayStatus:
    """Return the view of the gateway and its servers for ``status`` tools."""

    def look(server: ServerSpec) -> Mapping[str, Any]:
        slots = [each for each in dispatcher.pool if each.server.name == server.name]
        return {"transport": transport(server.reach), **health.shown(server, slots)}

    def count(server: ServerSpec) -> int | None:
        known = server_lists.known(server, ListKind.TOOL)
        return len(known) if known is not None else None

    def servers() -> Iterable[ServerSpec]:
        return dispatcher.servers.values()

    return GatewayStatus(servers, look, count, config, lambda: dispatcher.sessions.now)


def make_builtin(parts: OwnToolParts, more: Iterable[Tool] = ()) -> Builtin:
    """Return all own tools, in the order of their list.

    :param more: the tools that manage servers.
    """
    own = Builtin(())
    directory = Directory(parts.server_lists)
    news = ToolNews(directory)
    own.list_seen = news.list_seen
    finder = Finder(own, parts.clock)
    means = SearchParts(directory, finder, parts.sight, own, news, parts.shield, parts.semantic)
    invoking = CallRedirection(means, parts.clock)
    own.add(
        [
            Search(means),
            Describe(means),
            Invoke(invoking),
            InvokeAsync(invoking, parts.jobs),
            InvokeStatus(parts.jobs),
            GetResult(parts.vault),
            ListServers(parts.sight),
            ListTools(means),
            DescribeTool(means),
            CallTool(invoking),
            ListAllServers(parts.sight),
            Status(parts.sight),
            *more,
        ]
    )
    return own
