"""Build the control plane: each group of operations with its parts, on its first request."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast

from attrs import field, frozen

from mcpgateway.config.gateway_settings import Limits
from mcpgateway.config.reach_settings import Daemon
from mcpgateway.policy.access import WRONG
from mcpgateway.protocol import node_marks

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.web.server import Site

    from mcpgateway.app.hub import Hub
    from mcpgateway.app.shared import SharedParts
    from mcpgateway.backends.http.client import Web
    from mcpgateway.cluster.node import ClusterNode
    from mcpgateway.config.document import Place
    from mcpgateway.config.model import ServerSpec
    from mcpgateway.config.problems import Problem
    from mcpgateway.frontends.rest.event_streams import Readers
    from mcpgateway.frontends.rest.fair_queue import FairQueue
    from mcpgateway.frontends.rest.site import Groups
    from mcpgateway.hub.dispatch import LegacyDispatcher
    from mcpgateway.hub.owners.owners import Owners
    from mcpgateway.interfaces import ILauncher, ISignIns
    from mcpgateway.manage.access_tokens import AccessTokens
    from mcpgateway.manage.client_files import ClientFiles
    from mcpgateway.manage.credentials import CredentialStore
    from mcpgateway.manage.dashboards import Dashboards
    from mcpgateway.manage.enrolment import FileChecker
    from mcpgateway.manage.entries import Entries
    from mcpgateway.manage.install import Installer
    from mcpgateway.manage.logins import Logins
    from mcpgateway.manage.nodes.drain import Drain
    from mcpgateway.manage.nodes.nodes import NodeOperations
    from mcpgateway.manage.reload import Reload
    from mcpgateway.manage.servers import ServerOperations
    from mcpgateway.manage.tokens import TokenIssuer
    from mcpgateway.manage.versions.upgrades import AskNewest, ServerUpgrades
    from mcpgateway.manage.views import ViewOperations
    from mcpgateway.observe.attention import Attention
    from mcpgateway.observe.census import Census
    from mcpgateway.observe.event_feed import EventHistory
    from mcpgateway.observe.figures import ServerFigures
    from mcpgateway.observe.overview import OpenNeed, Overview
    from mcpgateway.observe.own_log import OwnLog
    from mcpgateway.observe.roster import Roster
    from mcpgateway.observe.savings import Savings
    from mcpgateway.observe.server_logs import ServerLogs
    from mcpgateway.observe.sessions import SessionDirectory
    from mcpgateway.observe.unreadable_files import UnreadableFiles
    from mcpgateway.owntools.jobs import Jobs
    from mcpgateway.policy.access import CredentialHolder
    from mcpgateway.views.registry import ViewRegistry


@frozen(kw_only=True, eq=False, repr=False)
class ControlParts:
    """The parts of the control plane's operations.

    :ivar sign_ins: completes sign-ins when browsers return from authorization servers.
    :ivar logins: makes the manager of principals' sign-ins at servers.
    :ivar clients: makes the manager of clients' files.
    :ivar limits: returns the current bounds.
    :ivar base: returns the URL of the gateway on this machine.
    :ivar bearers: the holders of credentials.
    :ivar census: counts what runs.
    :ivar connections: the open connections.
    :ivar drain: the drain of this node; None for a gateway that is alone.
    :ivar events: feed of events.
    :ivar examine: runs the doctor.
    :ivar figures: makes the source of numbers.
    :ivar home: the gateway's own directory.
    :ivar environ: the environment, by which clients' files are found.
    :ivar is_disabled: returns True while the whole gateway is switched off softly.
    :ivar issuing: makes the manager of tokens.
    :ivar launcher: launcher for validations.
    :ivar restart: restarts the gateway soon, within its process; returns False where it cannot.
    :ivar savings: the savings of the gateway.
    :ivar logs: the logs of servers.
    :ivar node: the gateway as a node of a cluster; None for one that is alone.
    :ivar own_log: the gateway's own log.
    :ivar port: returns the port of the gateway.
    :ivar problems: returns the problems of the configuration.
    :ivar redact: removes all secrets from a text.
    :ivar reload: applies changed configuration files.
    :ivar stop: shuts the gateway down.
    :ivar judge_streams: ends the open streams that would be refused now.
    :ivar access_tokens: returns the verifier of an authorization server's tokens.
    :ivar tag_key: key of entries' entity tags.
    :ivar web: returns the HTTP client.
    :ivar newest: asks for the newest version of a server's package.
    :ivar shared: returns what a node shares with others; None for a gateway that is alone.
    """

    dispatcher: LegacyDispatcher
    owners: Owners
    clock: IReactorTime
    limits: Callable[[], Limits]
    sign_ins: ISignIns
    logins: Callable[[], Logins]
    clients: Callable[[], ClientFiles]
    base: Callable[[], str]
    bearers: CredentialStore
    census: Census
    connections: Callable[[], Collection[Any]]
    events: EventHistory
    examine: FileChecker
    figures: Callable[[], ServerFigures]
    home: str
    environ: Mapping[str, str] = field(repr=False)
    hub: Hub
    is_disabled: Callable[[], bool]
    issuing: Callable[[], TokenIssuer]
    launcher: ILauncher
    restart: Callable[[], bool]
    savings: Savings
    logs: ServerLogs
    own_log: OwnLog
    port: Callable[[], int]
    problems: Callable[[], Sequence[Problem]]
    redact: Callable[[str], str]
    reload: Reload
    stop: Callable[[], None]
    judge_streams: Callable[[], object]
    access_tokens: Callable[[], AccessTokens | None]
    tag_key: bytes = field(repr=False)
    web: Callable[[], Web]
    newest: AskNewest
    node: ClusterNode | None = None
    drain: Drain | None = None
    shared: Callable[[], SharedParts | None] = lambda: None

    @cached_property
    def upgrades(self) -> ServerUpgrades:
        """The upgrades of servers' packages."""
        from mcpgateway.manage.versions.upgrades import ServerUpgrades  # few gateways upgrade any

        return ServerUpgrades(
            self.dispatcher,
            self.operating,
            self.launcher,
            self.clock,
            self.newest,
            lambda: self.reload.settings.gateway,
        )

    @cached_property
    def operating(self) -> ServerOperations:
        """The operator's starts and stops of servers."""
        from mcpgateway.manage.servers import ServerOperations

        return ServerOperations(self.dispatcher, self.hub.health, self.clock)

    @cached_property
    def unreadable(self) -> UnreadableFiles:
        """The finder of clients' files that cannot be read, which keeps what it has read."""
        from mcpgateway.observe.unreadable_files import UnreadableFiles

        return UnreadableFiles(self.home, self.environ)

    @cached_property
    def attention(self) -> Attention:
        """Since when there is something to do for the gateway's user."""
        from mcpgateway.observe.attention import Attention

        return Attention(self.events, self.clock)

    @cached_property
    def overview(self) -> Overview:
        """The overview, which all that judge servers share."""
        return _overview(self)

    @cached_property
    def dashboards(self) -> Dashboards:
        """The manager of the dashboards that are signed in."""
        from mcpgateway.manage.dashboards import DashboardFile, Dashboards

        mark = node_marks.mark_of(self.node.octets) if self.node is not None else ""
        shared = self.shared()
        store = DashboardFile(self.home) if shared is None else shared.dashboards
        made = Dashboards(store, self.bearers.seconds, self.judge_streams, self._dashboard_issuer, mark)
        made.load()
        if shared is not None:
            shared.dashboards.on_change = made.take
        return made

    def _dashboard_issuer(self) -> str:
        known = self.access_tokens()
        return known.issuer.issuer if known is not None and known.issuer.dashboard.client_id else ""

    def judge_dashboard(self, token: bytes) -> CredentialHolder:
        """Return the holder of a dashboard's token; few gateways have dashboards, so they are loaded for the first."""
        shared = self.shared()
        is_lost = shared is not None and shared.tokens.is_lost  # a sign-out would not be heard of
        return self.dashboards.judge(token) if self.reload.settings.gateway.ui and not is_lost else WRONG

    @cached_property
    def turns(self) -> FairQueue:
        """The fair queue of requests."""
        from mcpgateway.frontends.rest.fair_queue import FairQueue

        return FairQueue(self.limits, self.clock)

    @cached_property
    def readers(self) -> Readers:
        """The open streams of lines and events."""
        from mcpgateway.frontends.rest.event_streams import Readers

        return Readers(self.clock, lambda: self.limits().log_streams)


def make_site(parts: ControlParts) -> Site:
    """Return the control plane as a site for the channel."""
    from mcpgateway.frontends.rest.site import ControlPlane  # Klein is loaded for the first request

    tracer = parts.hub.tracer
    audit = tracer.activity.managed if tracer is not None and tracer.activity is not None else None
    shared = parts.shared()
    files = shared.files if shared is not None else None
    return ControlPlane(
        groups_of(parts), parts.turns, audit, files.edit if files is not None else None
    ).site()


def groups_of(parts: ControlParts) -> Groups:
    """Return the makers of all groups; each loads its module on the first request."""
    makers = (
        _approvals,
        _authorization,
        _catalog,
        _clients,
        _cluster,
        _configuration,
        _daemons,
        _dashboards,
        _describing,
        _doctor,
        _figures,
        _instance,
        _jobs,
        _logins,
        _logs,
        _older,
        _relay,
        _servers,
        _sessions,
        _tokens,
        _tools,
        _tracing,
        _versions,
        _views,
    )
    return {each.__name__.removeprefix("_"): _made_by(each, parts) for each in makers}


def _made_by(maker: Callable[[ControlParts], Any], parts: ControlParts) -> Callable[[], Any]:
    return lambda: maker(parts)


def _approvals(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.approvals import ApprovalRoutes
    from mcpgateway.manage.approvals import ApprovalOperations

    scopes, reload = parts.dispatcher.scopes, parts.reload
    return ApprovalRoutes(
        ApprovalOperations(lambda: scopes.repositories, lambda: reload.settings.gateway, parts.redact)
    )


def _authorization(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.authorization import Authorization

    return Authorization(parts.sign_ins)


def _catalog(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.catalog import CatalogRoutes
    from mcpgateway.manage.catalog import CatalogOperations
    from mcpgateway.manage.tools.family import list_tools

    lists = partial(list_tools, parts.dispatcher, parts.clock)
    return CatalogRoutes(CatalogOperations(_installing(parts), parts.reload, lists))


def _logins(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.logins import LoginRoutes

    return LoginRoutes(parts.logins())


def _clients(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.clients import ClientRoutes

    scopes = parts.dispatcher.scopes

    def directories() -> tuple[str, ...]:
        return scopes.repositories.directories() if scopes.repositories is not None else ()

    return ClientRoutes(parts.clients(), directories)


def _cluster(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.cluster import ClusterRoutes
    from mcpgateway.manage.nodes.nodes import NodeOperations

    return ClusterRoutes(NodeOperations(parts.node, parts.drain))


def _nodes(parts: ControlParts) -> NodeOperations | None:
    if parts.node is None:
        return None
    from mcpgateway.manage.nodes.nodes import NodeOperations

    return NodeOperations(parts.node, parts.drain)


def _configuration(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.configuration import ConfigurationRoutes
    from mcpgateway.manage.gateway_config import GatewayConfig

    return ConfigurationRoutes(GatewayConfig(parts.reload, parts.port, parts.tag_key))


def _daemons(parts: ControlParts) -> Any:
    from mcpgateway.backends.probe import speaks_mcp
    from mcpgateway.frontends.rest.compat_session_manager import DaemonRoutes
    from mcpgateway.manage.daemons import DaemonOperations as Book

    def is_served(reach: Daemon) -> Awaitable[bool]:
        return speaks_mcp(parts.clock, parts.web(), reach)

    return DaemonRoutes(Book(parts.dispatcher, parts.hub.health, parts.operating, is_served))


def _describing(_: ControlParts) -> Any:
    from mcpgateway.frontends.rest.description import DescriptionRoutes

    return DescriptionRoutes()


def _doctor(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.doctor import DoctorRoutes
    from mcpgateway.manage.doctor import DoctorOperations

    return DoctorRoutes(DoctorOperations(parts.examine))


def _figures(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.figures import FigureRoutes

    return FigureRoutes(parts.figures(), parts.savings)


def _instance(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.gateway import GatewayRoutes
    from mcpgateway.manage.readiness import Readiness
    from mcpgateway.manage.shutdown import GatewayShutdown
    from mcpgateway.observe.dump import Dump

    view_sessions, clock, overview = parts.dispatcher, parts.clock, parts.overview

    def need(server: ServerSpec) -> OpenNeed | None:
        words, found = overview.judged(parts.census.server(server))
        is_faulty = words["state"] != words["status"]
        return found if is_faulty else None  # else its next call starts it all the same

    return GatewayRoutes(
        Readiness(view_sessions, parts.hub.health, clock, parts.is_disabled, need),
        Dump(
            view_sessions,
            _book(parts),
            clock,
            lambda: parts.reload.settings,
            parts.connections,
            parts.redact,
            lambda: {**parts.turns.shown(), "readers": len(parts.readers)},
        ),
        GatewayShutdown(view_sessions, clock, parts.stop),
        parts.restart,
    )


def _jobs(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.jobs import JobRoutes

    def jobs() -> Jobs:
        _registry(parts).builtin  # noqa: B018 - the gateway's own tools come with the jobs
        return cast("Jobs", parts.hub.jobs)

    return JobRoutes(jobs)


def _versions(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.versions import VersionRoutes

    return VersionRoutes(parts.upgrades)


def _views(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.views import ViewRoutes

    return ViewRoutes(_view_operations(parts))


def _view_operations(parts: ControlParts) -> ViewOperations:
    from mcpgateway.manage.views import ViewOperations

    return ViewOperations(parts.reload, partial(_registry, parts), parts.tag_key)


def _search(parts: ControlParts) -> dict[str, str]:
    from mcpgateway.config.surface import SemanticMode
    from mcpgateway.system.semantic.launch import search_state

    search, wanted = parts.hub.semantic, parts.reload.settings.gateway.views.semantic_search
    return search_state(search.reason if search else "", is_on=wanted is SemanticMode.AUTO)


def _budgets(parts: ControlParts) -> list[dict[str, Any]]:
    if not any(each.budget for each in parts.reload.settings.profiles.values()):
        return []  # few have any, and it takes the views
    return _view_operations(parts).budgets()


def _registry(parts: ControlParts) -> ViewRegistry:
    return cast("ViewRegistry", parts.dispatcher.view_sessions)


def _logs(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.logs import LogRoutes

    def attend() -> Callable[[], None]:
        parts.attention.look = parts.overview.look
        return parts.attention.begin()

    return LogRoutes(parts.logs, parts.own_log, parts.events, parts.readers, attend)


def _older(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.compat_immorterm import ImmortermRoutes
    from mcpgateway.manage.tools.family import list_tools

    listed = partial(list_tools, parts.dispatcher, parts.clock)
    return ImmortermRoutes(
        parts.dispatcher, parts.operating, parts.clients(), lambda: _installing(parts), listed
    )


def _relay(parts: ControlParts) -> Any:
    from mcpgateway.backends.relay import RestRelay as Relaying
    from mcpgateway.frontends.rest.relay import RelayRoutes

    return RelayRoutes(parts.dispatcher, Relaying(parts.web, parts.clock))


def _servers(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.servers import ServerRoutes
    from mcpgateway.manage.discovery import Discovery

    gateway = parts.reload
    return ServerRoutes(
        _roster(parts),
        parts.operating,
        partial(_entries, parts),
        lambda: gateway.settings.gateway,
        Discovery(parts.dispatcher, parts.clock).begin,
        lambda name, new: parts.clients().rename(name, new),
        parts.node.name if parts.node is not None else "",
    )


def _roster(parts: ControlParts) -> Roster:
    from mcpgateway.observe.roster import Roster

    nodes, of_server = _nodes(parts), parts.figures().of_server

    def counts(name: str) -> Mapping[str, Any]:
        if nodes is None:
            return of_server(name)
        return {**of_server(name), **nodes.placed(parts.dispatcher.servers.get(name))}

    return Roster(
        lambda: parts.dispatcher.servers,
        parts.census.server,
        lambda: parts.reload.settings.blueprints,
        parts.census.tools,
        parts.savings.sizes,
        parts.overview.judged,
        partial(_of_project, parts.dispatcher),
        counts,
        parts.dispatcher.permits.quarantine,
    )


def _of_project(dispatcher: LegacyDispatcher, name: str) -> ServerSpec | None:
    repositories = dispatcher.scopes.repositories
    return repositories.named(name) if repositories is not None else None


def _overview(parts: ControlParts) -> Overview:
    from mcpgateway.config.load import overlays_of
    from mcpgateway.observe.overview import Overview
    from mcpgateway.observe.page_figures import PageFigures
    from mcpgateway.observe.why import Diagnoser

    def overlays(name: str) -> tuple[Place, ...]:
        gather = parts.reload.gather
        return overlays_of(gather(), name) if gather is not None else ()

    hub = parts.hub
    why = Diagnoser(parts.dispatcher, hub.health, hub.tapes, parts.problems, parts.redact, overlays)
    figures = PageFigures(
        hub.timeline, parts.savings, _book(parts), partial(_search, parts), partial(_budgets, parts)
    ).shown
    learn = hub.timeline.learn
    nodes = _nodes(parts)
    return Overview(
        parts.census,
        why,
        parts.redact,
        parts.unreadable,
        parts.attention,
        figures if nodes is None else lambda: {**figures(), **nodes.figures()},
        learn,
        tuple if nodes is None else nodes.needs,
    )


def _entries(parts: ControlParts) -> Entries:
    from mcpgateway.manage.entries import Entries  # reading needs no editor

    return Entries(_installing(parts), _roster(parts), parts.operating, parts.tag_key)


def _sessions(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.sessions import SessionRoutes

    return SessionRoutes(parts.dispatcher, _book(parts))


def _dashboards(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.dashboards import DashboardRoutes
    from mcpgateway.manage.dashboard_sign_ins import DashboardSignIns
    from mcpgateway.policy.login_throttle import LoginThrottle

    throttle = LoginThrottle(parts.bearers.seconds)
    return DashboardRoutes(
        parts.dashboards,
        parts.bearers,
        throttle,
        parts.base,
        DashboardSignIns(parts.clock, parts.web, parts.access_tokens, _sign_in_key(parts)),
        lambda: parts.reload.settings.gateway.ui,
    )


def _sign_in_key(parts: ControlParts) -> bytes:
    # A browser that returns from the authorization server may reach any node.
    if parts.node is None:
        return secrets.token_bytes(32)
    return parts.node.keys.derived("sign-ins of dashboards")


def _tokens(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.tokens import TokenRoutes

    tracer = parts.hub.tracer
    return TokenRoutes(parts.issuing(), tracer.activity if tracer is not None else None)


def _tools(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.tools import ToolRoutes
    from mcpgateway.manage.tool_offers import ToolOffers

    census = parts.census
    offers = ToolOffers(
        lambda: parts.dispatcher.servers, census.tools, census.meters, partial(_entries, parts)
    )
    return ToolRoutes(
        parts.dispatcher, parts.owners, parts.clock, offers, lambda: _view_operations(parts).where()
    )


def _tracing(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.tracing import TracingRoutes
    from mcpgateway.observe.recorder import Recording

    hub, overview = parts.hub, parts.overview
    activity = hub.tracer.activity if hub.tracer is not None else None
    recording = Recording(hub.tapes, hub.health.histories, parts.clock, parts.redact)
    return TracingRoutes(overview.why, overview, recording, activity, parts.readers, parts.dispatcher)


def _book(parts: ControlParts) -> SessionDirectory:
    from mcpgateway.observe.sessions import SessionDirectory

    return SessionDirectory(parts.dispatcher, parts.clock.seconds)


def _installing(parts: ControlParts) -> Installer:
    from mcpgateway.manage.tools.family import installing_of

    return installing_of(parts.reload, parts.dispatcher, parts.home, parts.launcher, parts.clock)
