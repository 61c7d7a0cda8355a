"""Builds the management tools."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import cache

from attrs import frozen
from twisted.internet import defer
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime

from mcpgateway.backends.validation import ValidationReport, validate
from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import BackendTimeout
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.interfaces import ILauncher
from mcpgateway.manage.install import CONNECT_S, INSTALL_S, Installer
from mcpgateway.manage.install_plans import InstallPlanner, InstallWorkspaces
from mcpgateway.manage.internal_client import InternalClient
from mcpgateway.manage.reload import Reload
from mcpgateway.manage.tools.tool import Management
from mcpgateway.owntools.status import GatewayStatus
from mcpgateway.owntools.tool import Tool
from mcpgateway.protocol import peek

LISTING_S = 60.0  # the server has just been validated


@frozen
class ManagementParts:
    """The parts that the management tools are built of.

    :ivar home: the gateway's own directory.
    """

    sight: GatewayStatus
    reload: Reload
    dispatcher: LegacyDispatcher
    home: str
    launcher: ILauncher
    clock: IReactorTime


def managed(parts: ManagementParts) -> tuple[Tool, ...]:
    """Return the management tools, in the order of their list."""
    dispatcher, clock = parts.dispatcher, parts.clock

    def visit(server: ServerSpec, principal: str) -> Awaitable[Sequence[str]]:
        return list_tools(dispatcher, clock, server, principal)

    def make() -> Management:
        installing = installing_of(parts.reload, dispatcher, parts.home, parts.launcher, clock)
        return Management(parts.sight, installing, visit)

    return management(make)


def installing_of(
    reload: Reload, dispatcher: LegacyDispatcher, home: str, launcher: ILauncher, clock: IReactorTime
) -> Installer:
    """Return the installer for the configuration's entries."""

    def try_out(server: ServerSpec) -> Deferred[ValidationReport]:
        return validate(server, launcher, clock, INSTALL_S, CONNECT_S)

    return Installer(reload, InstallPlanner(reload, InstallWorkspaces(dispatcher.scopes), home), try_out)


async def list_tools(
    dispatcher: LegacyDispatcher, clock: IReactorTime, server: ServerSpec, principal: str
) -> Sequence[str]:
    """Return the names of a server's tools.

    :raise GatewayError: the server could not be asked, or takes too long.
    """
    visited = ensureDeferred(_tools(dispatcher, server, principal))
    visited.addTimeout(LISTING_S, clock)
    try:
        return await visited
    except defer.TimeoutError:
        raise BackendTimeout(f"{server.name} did not list its tools within {LISTING_S:g} s") from None


async def _tools(dispatcher: LegacyDispatcher, server: ServerSpec, principal: str) -> list[str]:
    visit = await InternalClient.begin(dispatcher, server, principal)
    try:
        if not visit.offers("tools"):
            return []
        entries = await visit.list("tools/list", "tools")
        names = (peek.text(peek.members({"tool": each}, "tool"), "name") for each in entries)
        return [each for each in names if each]
    finally:
        visit.end("its tools have been listed")


def management(make: Callable[[], Management]) -> tuple[Tool, ...]:
    """Return all management tools, in the order of their list; their parts are made for the first call."""
    from mcpgateway.manage.tools.catalog import Docs, GetHealth, ListCatalog
    from mcpgateway.manage.tools.config import GetServerConfig, ManageConfig
    from mcpgateway.manage.tools.install import InstallServer, RemoveServer

    make = cache(make)
    return (
        GetServerConfig(make),
        GetHealth(make),
        ListCatalog(make),
        InstallServer(make),
        RemoveServer(make),
        ManageConfig(make),
        Docs(make),
    )
