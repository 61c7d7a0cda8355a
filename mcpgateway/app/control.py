"""Build the control plane: each group of operations with its parts, on its first request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from mcpgateway.config.gateway_settings import Limits
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.reach_settings import Daemon

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.web.server import Site

    from mcpgateway.app.hub import Hub
    from mcpgateway.backends.http.client import Web
    from mcpgateway.config.problems import Problem
    from mcpgateway.frontends.rest.event_streams import Readers
    from mcpgateway.frontends.rest.fair_queue import FairQueue
    from mcpgateway.frontends.rest.site import Groups
    from mcpgateway.hub.dispatch import LegacyDispatcher
    from mcpgateway.hub.owners.owners import Owners
    from mcpgateway.interfaces import ILauncher, ISignIns
    from mcpgateway.manage.client_files import ClientFiles
    from mcpgateway.manage.entries import Entries
    from mcpgateway.manage.install import Installer
    from mcpgateway.manage.logins import Logins
    from mcpgateway.manage.reload import Reload
    from mcpgateway.manage.servers import ServerOperations
    from mcpgateway.manage.tokens import TokenIssuer
    from mcpgateway.observe.census import Census
    from mcpgateway.observe.event_feed import EventHistory
    from mcpgateway.observe.figures import ServerFigures
    from mcpgateway.observe.savings import Savings
    from mcpgateway.observe.server_logs import ServerLogs
    from mcpgateway.observe.sessions import SessionDirectory


@frozen(kw_only=True, eq=False, repr=False)
class ControlParts:
    """The parts of the control plane's operations.

    :ivar sign_ins: completes sign-ins when browsers return from authorization servers.
    :ivar logins: makes the manager of principals' sign-ins at servers.
    :ivar clients: makes the manager of clients' files.
    :ivar limits: returns the current bounds.
    :ivar census: counts what runs.
    :ivar connections: the open connections.
    :ivar events: feed of events.
    :ivar figures: makes the source of numbers.
    :ivar home: the gateway's own directory.
    :ivar is_disabled: returns True while the whole gateway is switched off softly.
    :ivar issuing: makes the manager of tokens.
    :ivar launcher: launcher for validations.
    :ivar savings: the savings of the gateway.
    :ivar logs: the logs of servers.
    :ivar problems: returns the problems of the configuration.
    :ivar redact: removes all secrets from a text.
    :ivar reload: applies changed configuration files.
    :ivar stop: shuts the gateway down.
    :ivar tag_key: key of entries' entity tags.
    :ivar web: returns the HTTP client.
    """

    dispatcher: LegacyDispatcher
    owners: Owners
    clock: IReactorTime
    limits: Callable[[], Limits]
    sign_ins: ISignIns
    logins: Callable[[], Logins]
    clients: Callable[[], ClientFiles]
    census: Census
    connections: Callable[[], Collection[Any]]
    events: EventHistory
    figures: Callable[[], ServerFigures]
    home: str
    hub: Hub
    is_disabled: Callable[[], bool]
    issuing: Callable[[], TokenIssuer]
    launcher: ILauncher
    savings: Savings
    logs: ServerLogs
    problems: Callable[[], Sequence[Problem]]
    redact: Callable[[str], str]
    reload: Reload
    stop: Callable[[], None]
    tag_key: bytes = field(repr=False)
    web: Callable[[], Web]

    @cached_property
    def operating(self) -> ServerOperations:
        """The operator's starts and stops of servers."""
        from mcpgateway.manage.servers import ServerOperations

        return ServerOperations(self.dispatcher, self.hub.health, self.clock)

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
    return ControlPlane(groups_of(parts), parts.turns, audit).site()


def groups_of(parts: ControlParts) -> Groups:
    """Return the makers of all groups; each loads its module on the first request."""
    makers = (
        _authorization,
        _clients,
        _daemons,
        _describing,
        _figures,
        _instance,
        _logins,
        _logs,
        _older,
        _relay,
        _servers,
        _sessions,
        _tokens,
        _tools,
        _tracing,
    )
    return {each.__name__.removeprefix("_"): _made_by(each, parts) for each in makers}


def _made_by(maker: Callable[[ControlParts], Any], parts: ControlParts) -> Callable[[], Any]:
    return lambda: maker(parts)


def _authorization(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.authorization import Authorization

    return Authorization(parts.sign_ins)


def _logins(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.logins import LoginRoutes

    return LoginRoutes(parts.logins())


def _clients(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.clients import ClientRoutes

    return ClientRoutes(parts.clients())


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


def _figures(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.figures import FigureRoutes

    return FigureRoutes(parts.figures(), parts.savings)


def _instance(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.gateway import GatewayRoutes
    from mcpgateway.manage.readiness import Readiness
    from mcpgateway.manage.shutdown import GatewayShutdown
    from mcpgateway.observe.dump import Dump

    view_sessions, clock = parts.dispatcher, parts.clock
    return GatewayRoutes(
        Readiness(view_sessions, parts.hub.health, clock, parts.is_disabled),
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
    )


def _logs(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.logs import LogRoutes

    return LogRoutes(parts.logs, parts.events, parts.readers)


def _older(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.compat_immorterm import ImmortermRoutes
    from mcpgateway.manage.tools.family import list_tools

    def listed(server: ServerSpec, principal: str) -> Awaitable[Sequence[str]]:
        return list_tools(parts.dispatcher, parts.clock, server, principal)

    return ImmortermRoutes(
        parts.dispatcher, parts.operating, parts.clients(), lambda: _installing(parts), listed
    )


def _relay(parts: ControlParts) -> Any:
    from mcpgateway.backends.relay import RestRelay as Relaying
    from mcpgateway.frontends.rest.relay import RelayRoutes

    return RelayRoutes(parts.dispatcher, Relaying(parts.web, parts.clock))


def _servers(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.servers import ServerRoutes
    from mcpgateway.observe.roster import Roster

    reload = parts.reload
    roster = Roster(
        lambda: parts.dispatcher.servers,
        parts.census.server,
        lambda: reload.settings.blueprints,
        parts.census.tools,
        parts.hub.health.resident,
    )

    def entries() -> Entries:
        from mcpgateway.manage.entries import Entries  # reading needs no editor

        return Entries(_installing(parts), roster, parts.operating, parts.tag_key)

    return ServerRoutes(roster, parts.operating, entries, lambda: reload.settings.gateway)


def _sessions(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.sessions import SessionRoutes

    return SessionRoutes(parts.dispatcher, _book(parts))


def _tokens(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.tokens import TokenRoutes

    return TokenRoutes(parts.issuing())


def _tools(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.tools import ToolRoutes

    return ToolRoutes(parts.dispatcher, parts.owners, parts.clock)


def _tracing(parts: ControlParts) -> Any:
    from mcpgateway.frontends.rest.tracing import TracingRoutes
    from mcpgateway.observe.overview import Overview
    from mcpgateway.observe.recorder import Recording
    from mcpgateway.observe.why import Diagnoser

    hub, health = parts.hub, parts.hub.health
    why = Diagnoser(parts.dispatcher, health, hub.tapes, parts.problems, parts.redact)
    activity = hub.tracer.activity if hub.tracer is not None else None
    recording = Recording(hub.tapes, health.histories, parts.clock, parts.redact)
    return TracingRoutes(why, Overview(parts.census, why, parts.redact), recording, activity)


def _book(parts: ControlParts) -> SessionDirectory:
    from mcpgateway.observe.sessions import SessionDirectory

    return SessionDirectory(parts.dispatcher, parts.clock.seconds)


def _installing(parts: ControlParts) -> Installer:
    from mcpgateway.manage.tools.family import installing_of

    return installing_of(parts.reload, parts.dispatcher, parts.home, parts.launcher, parts.clock)
