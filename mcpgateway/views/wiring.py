"""The construction of the parts that serve views, with the first request to one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from attrs import frozen

from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.records import Item
from mcpgateway.discovery.tokens import CHARACTERS_PER_TOKEN
from mcpgateway.discovery.usage import Saving
from mcpgateway.hub.catalog.listed import ServerLists
from mcpgateway.hub.coalescing import SingleFlight
from mcpgateway.hub.meters import Meters
from mcpgateway.hub.results.originals import Vault
from mcpgateway.hub.results.shortening import Shielding
from mcpgateway.hub.usage import Usage
from mcpgateway.hub.views import ViewsConfig
from mcpgateway.interfaces import ILauncher, Request
from mcpgateway.owntools import family
from mcpgateway.owntools.job_records import NoJobStore
from mcpgateway.owntools.jobs import Jobs
from mcpgateway.owntools.semantic_search import SemanticSearch
from mcpgateway.owntools.status import GatewayStatus
from mcpgateway.owntools.tool import Access, Builtin, Tool
from mcpgateway.views.results import Outcomes
from mcpgateway.views.sessions import ViewSessions
from mcpgateway.views.specs import ViewStorage

if TYPE_CHECKING:
    from mcpgateway.hub.catalog.recorded import Snapshots
    from mcpgateway.hub.dispatch import LegacyDispatcher
    from mcpgateway.hub.health.health import Health

OURS = ServerSpec("gateway", (), {}, "/")  # the server of the gateway's own tools


class HubParts(Protocol):
    """The owner of the parts that are built here, which drives their time (`mcpgateway.app.hub.Hub`)."""

    meters: Meters
    views_config: ViewsConfig
    config: Callable[[], Mapping[str, Any]]
    manage: Callable[[GatewayStatus, ILauncher, Any], Iterable[Tool]]
    jobs: Jobs | None
    usage: Usage | None
    vault: Vault | None
    semantic: SemanticSearch | None


@frozen
class ViewParts:
    """The objects from which the views' parts are built.

    :ivar mask: removes secrets from a text of a result, and counts them.
    """

    dispatcher: LegacyDispatcher
    health: Health
    launcher: ILauncher
    clock: Any
    snapshots: Snapshots | None
    storage: ViewStorage
    mask: Callable[[str], tuple[str, int]]


def view_sessions_of(hub: HubParts, parts: ViewParts) -> ViewSessions:
    """Build the sessions of views for the legacy dispatcher."""
    server_lists = ServerLists(parts.snapshots)
    server_lists.servers = lambda: parts.dispatcher.servers.values()  # noqa: PLW0108 - they are replaced
    server_lists.limit = parts.dispatcher.list_limit
    outcomes = _outcomes(hub, parts)

    def builtin() -> Builtin:
        return _builtin(hub, parts, server_lists, outcomes)

    made = ViewSessions(parts.dispatcher, server_lists, parts.clock, hub.views_config, builtin, outcomes)
    made.is_on, made.pause = parts.health.is_on, parts.health.pause
    made.refusal = parts.health.refusal
    return made


def _outcomes(hub: HubParts, parts: ViewParts) -> Outcomes:
    storage, limits = parts.storage, hub.views_config.gateway.shield
    hub.usage = storage.usage() if storage.usage is not None else None
    hub.vault = storage.vault(limits) if storage.vault is not None else None

    shielding = Shielding(hub.vault, limits, parts.mask) if hub.vault is not None else None
    if shielding is not None and hub.usage is not None:
        shielding.saved = _saved_in(hub.usage)
    return Outcomes(hub.usage, shielding, SingleFlight(), hub.meters.of(OURS.name), parts.clock.seconds)


def _saved_in(usage: Usage) -> Callable[[str, int, int], None]:
    def saved(server: str, before: int, after: int) -> None:
        usage.saved(Saving.SHIELDING, server, (before - after) // CHARACTERS_PER_TOKEN)

    return saved


def _builtin(hub: HubParts, parts: ViewParts, server_lists: ServerLists, outcomes: Outcomes) -> Builtin:
    dispatcher, clock = parts.dispatcher, parts.clock

    def shield(request: Request, item: Item | None, level: Any, access: Access) -> None:
        # The entry in the caller's view, which may be one of a workspace or of a repository.
        name = item.server if item is not None else ""
        server = next((each for each in access.specs() if each.name == name), OURS)
        outcomes.shield(server, request, item, level, access.principal)

    hub.jobs = Jobs(clock, parts.storage.jobs or NoJobStore(), shield, hub.vault, parts.storage.others)
    sight = family.sight_of(dispatcher, parts.health, server_lists, hub.config)
    own = hub.manage(sight, parts.launcher, clock)
    launch = parts.storage.semantic
    hub.semantic = SemanticSearch(parts.launcher, launch, clock) if launch is not None else None
    tool_parts = family.OwnToolParts(server_lists, hub.vault, hub.jobs, sight, clock, shield, hub.semantic)
    return family.make_builtin(tool_parts, own)
