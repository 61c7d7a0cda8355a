"""Build the gateway from its settings: all parts, with `mcpgateway.app.hub` for the hub."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from mcpgateway.app import cluster as clusters
from mcpgateway.app.admission import Admission, policy_of
from mcpgateway.app.control import ControlParts, make_site
from mcpgateway.app.daemon import GatewayService, SettingsOrigin
from mcpgateway.app.handover import GatewayHandover
from mcpgateway.app.hub import (
    HubDependencies,
    exposition_of,
    figures_of,
    instruments_of,
    make_hub,
    proxies_of,
    settle,
    storage_of,
    tracer_of,
)
from mcpgateway.app.keys import Keys
from mcpgateway.app.log import LogPipeline
from mcpgateway.app.nodes import drain_of
from mcpgateway.app.packages import hold_back, newest, quarantine_of, resolver_of
from mcpgateway.app.restart import InPlaceRestart
from mcpgateway.app.shared import SharedParts, grants_of, share
from mcpgateway.backends.factory import Backends, dismiss
from mcpgateway.backends.spawn import Launcher
from mcpgateway.clientfiles.reader import has_instructions
from mcpgateway.config.gateway_settings import GatewaySettings
from mcpgateway.config.security import Issuer
from mcpgateway.config.settings import Settings
from mcpgateway.errors import ConfigError
from mcpgateway.frontends.http.channel_factory import ChannelFactory
from mcpgateway.frontends.http.guard import Guard
from mcpgateway.frontends.http.health import HealthEndpoint
from mcpgateway.frontends.http.listeners import bind, socket_path
from mcpgateway.frontends.http.mcp import LegacyEndpoint
from mcpgateway.frontends.http.peers import Callers
from mcpgateway.frontends.http.router import Root
from mcpgateway.hub.catalog.recorded import Snapshots
from mcpgateway.hub.health.faults import Faults
from mcpgateway.hub.health.former_failures import FormerFailures
from mcpgateway.hub.owners.owners import Owners
from mcpgateway.hub.owners.reaper import Reaper
from mcpgateway.interfaces import GatewayRun, OwnAddress
from mcpgateway.manage.credentials import CredentialStore
from mcpgateway.manage.departed_principals import DepartedPrincipals
from mcpgateway.manage.enrolment import Enrolment
from mcpgateway.manage.helper import Helper
from mcpgateway.manage.memory import MemoryUpkeep
from mcpgateway.manage.reload import Reload, ReloadState
from mcpgateway.observe.census import Census
from mcpgateway.policy.secrets.redaction import Redactor
from mcpgateway.system import files, home_files, reexec
from mcpgateway.system.disk_space import DiskSpace
from mcpgateway.system.instance_lock import START, InstanceLock
from mcpgateway.system.job_files import JobFiles
from mcpgateway.system.journal import Journal
from mcpgateway.system.launch.lock import VersionLock
from mcpgateway.system.logs.gateway_log import LOG_VARIABLE
from mcpgateway.system.logs.server_log import ServerLogFile, path_of
from mcpgateway.system.oauth_tokens import OAuthTokenFiles
from mcpgateway.system.process import processes
from mcpgateway.system.process.disk_writes import written_by
from mcpgateway.system.process.exits import ExitWatch
from mcpgateway.system.process.socket_owners import SocketSearch
from mcpgateway.system.recorded_lists import RecordedListFiles
from mcpgateway.system.settings import ExaminedSettings
from mcpgateway.system.token_files import TokenFiles, read_or_create
from mcpgateway.views.specs import view_specs

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred

    from mcpgateway.app.hub import Hub
    from mcpgateway.frontends.http.legacy_sse import LegacySse
    from mcpgateway.manage.client_files import ClientFiles
    from mcpgateway.manage.logins import Logins
    from mcpgateway.manage.tokens import TokenIssuer
    from mcpgateway.observe.own_log import OwnLog
    from mcpgateway.system.daemon_locks import DaemonLocks
    from mcpgateway.system.reexec import ReexecCommand
    from mcpgateway.system.sd_notify import Notify

# Seconds, for callers that cannot await a Deferred.
PAUSES_VARIABLE, RESTORE_VARIABLE = "MCPGATEWAY_REVIVAL_PAUSES", "MCPGATEWAY_RESTORE_AFTER"


def service_manager() -> Notify | None:
    """Return the service manager that expects notifications, such as systemd."""
    if "NOTIFY_SOCKET" not in os.environ:
        return None
    from mcpgateway.system.sd_notify import Notify  # few gateways are started by one

    return Notify.taken(os.environ, os.getpid())


def make_gateway(
    settings: Settings,
    home: str,
    reactor: Any,
    origin: SettingsOrigin | None = None,
    command: ReexecCommand | None = None,
    observation: LogPipeline | None = None,
) -> GatewayService:
    """Build the gateway with all its parts, and bind its addresses.

    :param origin: source of the settings, for reading them again; None: they stay as they are.
    :param command: command line of this process, if it may restart itself.
    :param observation: observer of the log, if it was made before the gateway.
    :raise ConfigError: an address or the home directory cannot be used.
    """
    sockets, handover = reexec.inherited(os.environ), GatewayHandover.of(os.environ)
    manager = service_manager()  # first, so that no child inherits variables that are for this process
    claim = _claim_of(home)
    observation = observation or LogPipeline()
    bearers, own_keys = _secrets_of(home, settings.gateway, reactor, observation.redactor)
    node = clusters.node_of(
        settings.gateway.cluster, os.environ, reactor, observation.redactor, home, handover.node
    )
    keys = clusters.keys_of(node, own_keys)
    processes.raise_nofile()
    ward = handover.make_ward(home, reactor, _afterwards(home, claim))
    lock = VersionLock(home, reactor.seconds)
    holders = SocketSearch(reactor)
    logs = observation.serve(reactor, lambda name: ServerLogFile(path_of(f"{home}/logs", name)))
    launcher = Launcher(
        reactor,
        ward,
        partial(resolver_of, home, reactor, lock, lambda: parts),
        logs.hearing,
        observation.redactor,
        prefork=settings.gateway.prefork,
        count=handover.starts,
    )
    backends = Backends(
        reactor,
        launcher,
        grants_of(node, home, reactor),
        lambda: own_address(reload.settings.gateway.public_url, listeners.http_port, clusters.mark_of(node)),
        GatewayRun(home, ward.instance),
        partial(_locks_of, home, holders),
    )
    snapshots = Snapshots(
        RecordedListFiles(f"{home}/catalogs", reactor.seconds, _in_thread(reactor)), reactor.seconds
    )
    dependencies = HubDependencies(
        clusters.launcher_of(node, backends, reactor, home),
        reactor,
        keys,
        clusters.sessions_of(node, Journal(f"{home}/sessions/journal.db", reactor.seconds), reactor),
        holders,
        instruments_of(
            reactor,
            backends,
            snapshots,
            FormerFailures(f"{home}/failures.json", observation.redactor.redact),
            launcher.templates.pids,
        ),
        snapshots,
        storage_of(reactor, home, JobFiles(f"{home}/jobs"), clusters.others_of(node)),
        logs.log_message,
        tracer=tracer_of(
            reactor, home, settings.gateway.trace, lambda: backends.web, observation.redactor.redact
        ),
        redactor=observation.redactor,
        looks=True,
        written=written_by,
        quarantine=quarantine_of(lock, snapshots),
    )
    hub = hold_back(make_hub(settings, dependencies), dependencies.quarantine, reactor)
    logins = backends.make_heard = _logins_of(hub, reactor, backends)
    dispatcher = hub.dispatcher
    table = processes.ProcessTable()
    reaper = Reaper(dispatcher.sessions, dispatcher, table)
    owners = Owners(dispatcher.sessions, table, ExitWatch(reactor), holders, reaper.owner_ended)
    hub.claim = owners.claim
    settle(dispatcher, settings, home, reactor)
    mcp = LegacyEndpoint(dispatcher, owners, lambda: hub.modern_dispatcher)
    origin = origin or SettingsOrigin(lambda: ExaminedSettings(settings, (), ()), read_at=reactor.seconds())
    reload = make_reload(settings, origin, reactor)
    helper = Helper(launcher.run, home, _surroundings(origin))
    enrolment = Enrolment(helper.ask, reactor, reload.read_own, partial(has_instructions, home))

    def make_clients() -> ClientFiles:
        from mcpgateway.manage.client_files import ClientFiles  # few requests need it

        return ClientFiles(helper.ask, reload, root.switch, listeners.http_port)

    def make_sse() -> LegacySse:
        from mcpgateway.frontends.http.legacy_sse import LegacySse  # few gateways need it

        return LegacySse(dispatcher, owners, mcp.streams, mcp.router)

    census = Census(
        dispatcher,
        hub.health,
        hub.meters,
        reactor.seconds(),
        lambda: listeners.http_port,
        lambda: _auth_of(reload.settings.gateway),
        reload.state.shown,
        lambda: reload.settings.adopted,
        lambda: root.is_disabled,
        lambda: hub.usage.shown() if hub.usage is not None else {},
        Faults(
            DiskSpace(home, reactor.seconds).lack,
            lambda: reload.state.problems,
            lambda: renewal.refusal,
            lambda: root.is_disabled,
        ),
        lambda: reload.settings.gateway.groups.rules,
        lambda: reload.settings.paused_until,
        lambda: listeners.words,
    )
    renewal = InPlaceRestart(reactor, command, handover=handover)
    parts: ControlParts = ControlParts(
        dispatcher=dispatcher,
        owners=owners,
        clock=reactor,
        limits=lambda: reload.settings.gateway.limits,
        sign_ins=backends,
        logins=logins,
        clients=make_clients,
        logs=logs,
        own_log=_own_log_of(observation),
        events=observation.events,
        examine=Helper(launcher.run, home, _surroundings(origin), group="doctor").ask,
        base=lambda: (
            f"{'https' if settings.gateway.tls_cert_path else 'http'}://localhost:{listeners.http_port}"
        ),
        bearers=bearers,
        issuing=lambda: _issuing_of(bearers, home, reload, observation.redactor.learn, shared),
        figures=lambda: figures_of(hub, census),
        savings=hub.savings,
        hub=hub,
        census=census,
        port=lambda: listeners.http_port,
        problems=lambda: (*reload.state.problems, *reload.state.warnings),
        redact=observation.redactor.redact,
        reload=reload,
        home=home,
        environ=os.environ,
        launcher=backends,
        tag_key=keys.tag_key(),
        web=lambda: backends.web,
        newest=partial(newest, launcher),
        connections=lambda: factory.connections,
        is_disabled=lambda: root.is_disabled,
        restart=renewal.begin_soon,
        stop=reactor.stop,
        judge_streams=lambda: factory.hang_up_where(root.would_refuse),
        access_tokens=lambda: guard.access_tokens,
        node=node,
        drain=drain_of(node, dispatcher, lambda: listeners, reactor, settings.gateway),
        shared=lambda: shared,
    )
    guard = Guard(policy_of(settings.gateway), bearers)
    root = Root(
        (*settings.servers, *view_specs(hub.views_config)),
        mcp,
        make_sse,
        guard,
        settings.gateway.limits,
        lambda: make_site(parts),
        HealthEndpoint(
            census, lambda: exposition_of(hub, census, node), node.unready if node is not None else ()
        ),
    )
    root.look_again, root.settle, root.is_disabled, root.has_pages, hub.catch_up = (
        reload.look_again,
        reload.look_soon,
        settings.is_disabled,
        lambda: reload.settings.gateway.ui,
        reload.look_again,
    )
    callers = Callers(trusts_others=settings.gateway.trust_other_users)
    factory = ChannelFactory(root, reactor, callers, holders)
    leaving = DepartedPrincipals(
        bearers, guard.trusts, OAuthTokenFiles(home).every, logins, settings.gateway.security.oauth.issuer
    )
    # A principal's limits hold everywhere, and its open streams end when its credential is revoked.
    dispatcher.permits.scopes, bearers.gone, bearers.dashboards = (
        bearers.scopes,
        _parting(factory, leaving),
        parts.judge_dashboard,
    )
    shared = share(node, home, reload, bearers, leaving, backends)
    guard.changed = lambda: factory.hang_up_where(root.would_refuse)
    trust = trusting(settings.gateway.security.oauth, guard, backends, reactor, factory)
    listeners = bind(reactor, settings.gateway, home, factory, is_alone=claim.is_held, inherited=sockets)
    clusters.join(node, reactor, root, mcp, hub, handover.sockets_of(node))
    backends.own_ports, handover.dismiss = listeners.numbers, partial(dismiss, dependencies.launcher)
    return GatewayService(
        settings,
        home,
        reactor,
        manager,
        listeners,
        factory,
        mcp,
        hub,
        owners,
        reaper,
        MemoryUpkeep(dispatcher, factory.shared.heads.clear, renewal.begin_soon),
        ward,
        launcher,
        Admission(root, guard, callers, bearers, trust, rerouting(backends, settings), leaving),
        reload,
        enrolment,
        origin,
        claim,
        renewal,
        observation,
        () if origin.is_managed or node is not None else _restorer(home, origin),
        node,
    )


def _locks_of(home: str, holders: SocketSearch) -> DaemonLocks:
    from mcpgateway.system.daemon_locks import DaemonLocks  # few servers have a port of their own

    return DaemonLocks(home, os.path.expanduser("~/.mcp-session-manager"), holders)


def _parting(factory: ChannelFactory, leaving: DepartedPrincipals) -> Callable[[frozenset[str]], None]:
    def gone(principals: frozenset[str]) -> None:
        factory.hang_up(principals)
        leaving.look()

    return gone


def _logins_of(hub: Hub, clock: Any, backends: Backends) -> Callable[[], Logins]:
    @cache
    def make() -> Logins:
        from mcpgateway.manage.logins import Logins  # only with remote servers

        return Logins(hub.dispatcher, hub.health, clock, lambda: backends.accounts)

    return make


def own_address(public_url: str, port: int, mark: str = "") -> OwnAddress:
    """Return the gateway's address for browsers and authorization servers.

    :param mark: the mark of the node in the states of sign-ins.
    """
    base = public_url or f"http://127.0.0.1:{port}"
    # A client metadata document can be fetched over https only.
    document = f"{public_url}/oauth/client.json" if public_url.startswith("https://") else ""
    return OwnAddress(f"{base}/oauth/callback", document, mark)


def _claim_of(home: str) -> InstanceLock:
    """Lock the home for this gateway, before any file is written there.

    :raise ConfigError: another gateway has it, or the home cannot be used.
    """
    try:
        files.make_home(home)
    except OSError as why:
        raise ConfigError(f"cannot use the home directory {home}: {why.strerror}") from why
    return InstanceLock.of(home, os.environ, socket_path(home))


def _auth_of(gateway: GatewaySettings) -> str:
    # The value in `/health` for the need of a token on this machine: for all requests, for changes only, or for none.
    if gateway.auth_mcp_transport == "bearer-required":
        return "enabled"
    return "disabled" if gateway.open_loopback_admin else "loopback-trusted"


def _secrets_of(
    home: str, gateway: GatewaySettings, clock: Any, redactor: Redactor
) -> tuple[CredentialStore, Keys]:
    token_files = TokenFiles(home, os.environ)
    try:
        own = token_files.own()
        bearers = CredentialStore.of(*own, seconds=clock.seconds)
        if not gateway.cluster.is_on:  # else the cluster has them
            bearers.admit_agents(token_files.agents())
        bearers.admit_keys(gateway.security.api_keys, gateway.security.project_tokens)
        home_files.make_directory(f"{home}/sessions")
        key = read_or_create(f"{home}/sessions/key")
        redactor.learn((*own, key))
        return bearers, Keys(key)
    except OSError as why:
        raise ConfigError(f"cannot use the home directory {home}: {why.strerror}") from why


def rerouting(backends: Backends, settings: Settings) -> Callable[[Settings], None]:
    """Use the proxies of the settings for requests; return a function that applies other settings."""

    def reroute(settings: Settings) -> None:
        backends.proxies = proxies_of(settings)

    reroute(settings)
    return reroute


def trusting(
    issuer: Issuer, guard: Guard, backends: Backends, clock: Any, factory: ChannelFactory
) -> Callable[[Issuer], None]:
    """Let a guard verify the tokens of an authorization server; return a function that replaces that server.

    :raise ConfigError: (both) the library for verifying them is not installed.
    """

    def document(url: str, named_by: str) -> Any:
        from mcpgateway.backends.http.documents import fetch
        from mcpgateway.manage.access_tokens import DOCUMENT_LIMIT, FETCH_S

        headers = {"Accept": "application/json"}
        return fetch(
            backends.web, "GET", url, headers, timeout_s=FETCH_S, limit=DOCUMENT_LIMIT, named_by=named_by
        )

    def trust(issuer: Issuer) -> None:
        known = guard.access_tokens
        if known is not None and known.issuer == issuer:
            return
        guard.access_tokens = None
        if known is not None:
            known.dismiss()
        if not issuer.issuer:
            return
        try:
            from mcpgateway.manage.access_tokens import AccessTokens  # few have an authorization server
        except ImportError as why:
            raise ConfigError(
                f"settings.security.oauth needs {why.name}: pip install 'mcpgateway[oauth]'"
            ) from why
        guard.access_tokens = AccessTokens(issuer, document, clock.seconds, factory.hang_up)

    trust(issuer)
    return trust


def _issuing_of(
    bearers: CredentialStore,
    home: str,
    reload: Reload,
    learn: Callable[[Iterable[str]], None],
    shared: SharedParts | None,
) -> TokenIssuer:
    from mcpgateway.manage.tokens import OwnTokens, TokenIssuer  # few gateways manage tokens

    files = TokenFiles(home, os.environ)
    agents = OwnTokens(bearers, files) if shared is None else shared.tokens
    return TokenIssuer(bearers, files, reload, learn, agents)


def _own_log_of(observation: LogPipeline) -> OwnLog:
    """Return the gateway's own log, with the end of its file if it has one."""
    if path := os.environ.get(LOG_VARIABLE):
        observation.own.tail, observation.own.redact = ServerLogFile(path).tail, observation.redactor.redact
    return observation.own


def _surroundings(origin: SettingsOrigin) -> dict[str, str]:
    """Return the environment of the helper program, which reads the same configuration."""
    named = {"MCPGATEWAY_CONFIG": origin.config_file} if os.path.exists(origin.config_file) else {}
    return {**os.environ, **named}


def _in_thread(reactor: Any) -> Callable[..., Deferred[Any]]:
    """Return a function that runs blocking work in a thread."""

    def work_in_thread(work: Callable[..., Any], *words: Any) -> Deferred[Any]:
        from twisted.internet.threads import (
            deferToThreadPool,
        )  # for a few values, and for lists of several MiB

        return deferToThreadPool(reactor, reactor.getThreadPool(), work, *words)

    return work_in_thread


def make_reload(settings: Settings, origin: SettingsOrigin, clock: Any) -> Reload:
    """Build the part that applies changed configuration files."""
    from mcpgateway.system.fingerprint import Fingerprints

    begun = ReloadState(origin.read_at, origin.files, warnings=origin.warnings)
    return Reload(
        settings,
        begun,
        origin.examine,
        clock,
        Fingerprints(origin.busy_files),
        origin.config_file,
        origin.gather,
        brought=origin.brought,
        in_thread=_in_thread(clock),
        values_file=origin.values_file,
    )


def _restorer(home: str, origin: SettingsOrigin) -> tuple[str, ...]:
    # The program that the guardian becomes when this gateway has ended; see `mcpgateway.shim.restore_main`.
    config = origin.config_file if os.path.exists(origin.config_file) else ""
    return (*_beside("restore_main"), home, config, *os.environ.get(RESTORE_VARIABLE, "").split())


def _afterwards(home: str, claim: InstanceLock) -> tuple[str, ...]:
    # The program that the guardian becomes when this gateway is killed; see `mcpgateway.shim.revive_main`.
    if claim.started_by != START:
        return ()
    return (*_beside("revive_main"), home, *os.environ.get(PAUSES_VARIABLE, "").split())


def _beside(program: str) -> tuple[str, ...]:
    # A program that outlives the gateway, and shares no code with it.
    path = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "shim", f"{program}.py")
    return (sys.executable, "-I", "-S", path)
