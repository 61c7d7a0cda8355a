"""Build the hub: the part between frontends and backends, with its meters and stores."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from contextlib import suppress
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import msgspec
from attrs import define, evolve, field
from twisted.internet.defer import Deferred, fail, succeed

from mcpgateway.app.keys import Keys
from mcpgateway.backends.factory import Backends
from mcpgateway.backends.tape import Tapes
from mcpgateway.config import environment
from mcpgateway.config.diff import Change
from mcpgateway.config.gateway_settings import TraceSettings
from mcpgateway.config.merge import WorkspaceSpec, World, specialise
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.reach_settings import Remote, Rest
from mcpgateway.config.settings import Settings
from mcpgateway.config.surface import ShieldLimits
from mcpgateway.errors import BackendError
from mcpgateway.hub.catalog.quarantine import Quarantine
from mcpgateway.hub.catalog.recorded import Snapshots
from mcpgateway.hub.children.start_limiter import StartLimiter
from mcpgateway.hub.client_requests import Questions
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.hub.health.health import Health
from mcpgateway.hub.health.instruments import BLIND, Instruments
from mcpgateway.hub.limits.call_limiters import Limiters
from mcpgateway.hub.meters import Meters
from mcpgateway.hub.owners.peers import Neighbours
from mcpgateway.hub.pool import Pool
from mcpgateway.hub.probes.era import Eras
from mcpgateway.hub.probes.lock_errors import Locks
from mcpgateway.hub.probes.sharing import FirstLook
from mcpgateway.hub.probes.writes import Written
from mcpgateway.hub.repo_servers import Approvals
from mcpgateway.hub.server_messages import Notices, OnLogMessage, drop_log_message
from mcpgateway.hub.sessions import Session, Sessions
from mcpgateway.hub.slot_environment import SlotEnvironment
from mcpgateway.hub.url_elicitation import SendingAway
from mcpgateway.hub.views import ViewsConfig
from mcpgateway.hub.workspaces import Scopes, WorkspaceSettings
from mcpgateway.interfaces import ILauncher, IOtherNodes, ISessionStore
from mcpgateway.observe.gauges import Gauges
from mcpgateway.observe.savings import ChildMemory, Savings
from mcpgateway.observe.timeline import Timeline
from mcpgateway.policy import urls
from mcpgateway.policy.proxies import Proxies, from_levels
from mcpgateway.policy.secrets.redaction import Redactor
from mcpgateway.records import FrozenRecord
from mcpgateway.system.process.freezing import own_work
from mcpgateway.system.process.memory import resident_bytes
from mcpgateway.system.process.pressure import short_of_memory
from mcpgateway.system.process.tree_sizes import tree_activity, tree_sizes
from mcpgateway.system.semantic.launch import launch_of
from mcpgateway.system.settings import read_workspace
from mcpgateway.system.workspaces import WorkspaceFinder
from mcpgateway.views.specs import NOTHING_KEPT, ViewStorage

if TYPE_CHECKING:
    from mcpgateway.backends.http.client import Web
    from mcpgateway.cluster.node import ClusterNode
    from mcpgateway.frontends.http.metrics import Exposition
    from mcpgateway.hub.bridge.to_modern import ToModern
    from mcpgateway.hub.health.former_failures import FormerFailures
    from mcpgateway.hub.modern_dispatch import ModernDispatcher
    from mcpgateway.hub.results.originals import Vault
    from mcpgateway.hub.usage import Usage
    from mcpgateway.observe.census import Census
    from mcpgateway.observe.figures import ServerFigures
    from mcpgateway.observe.tracing import Tracer
    from mcpgateway.owntools.job_records import JobStore
    from mcpgateway.owntools.jobs import Jobs
    from mcpgateway.owntools.semantic_search import SemanticSearch
    from mcpgateway.owntools.status import GatewayStatus
    from mcpgateway.owntools.tool import Tool
    from mcpgateway.views.modern import ModernViewRequests
    from mcpgateway.views.sessions import ViewSessions

# The settings by which workspaces and their servers are found.
GROUND = ("workspaces", "profiles", "projects", "world", "adopted")
CHECK_S = 5.0  # limit of a request for a service's health
CHECK_BYTES = 1_048_576
EXPORT_S = 10.0  # limit of an export of spans to the collector


def instruments_of(
    reactor: Any,
    backends: Backends,
    snapshots: Snapshots,
    former: FormerFailures,
    templates: Callable[[], Collection[int]],
) -> Instruments:
    """Return the clocks and process tables for the health of servers."""

    def health(url: str) -> Deferred[int]:
        from mcpgateway.backends.http.documents import fetch  # few servers have a health check of their own

        asked = fetch(backends.web, "GET", url, {}, timeout_s=CHECK_S, limit=CHECK_BYTES)
        return asked.addCallback(lambda answer: answer.status)

    def dial(url: str) -> Deferred[None]:
        from mcpgateway.backends.probe import knock  # few servers are remote

        try:
            proxy = backends.proxies.of(urls.read(url))
        except BackendError as why:
            return fail(why)
        # A service behind a proxy is not probed.
        return Deferred.fromCoroutine(knock(reactor, f"http://{proxy.address}/" if proxy else url))

    chance = secrets.SystemRandom().random
    return Instruments(
        chance,
        health,
        dial,
        tree_sizes,
        snapshots.is_known,
        tree_activity,
        backends.question,
        former,
        templates,
        own_work,
        short_of_memory,
    )


def usage_of(seconds: Callable[[], float], home: str) -> Usage:
    """Return the counter of tools' calls, with its file."""
    from mcpgateway.hub.usage import Usage
    from mcpgateway.system.usage import UsageFile  # only clients of views need it

    return Usage(UsageFile(f"{home}/usage.json"), seconds)


def storage_of(reactor: Any, home: str, jobs: JobStore, others: IOtherNodes | None = None) -> ViewStorage:
    """Return the stores of usage, results and jobs.

    :param others: fetches results and jobs of other nodes.
    """
    usage, vault = partial(usage_of, reactor.seconds, home), partial(vault_of, reactor, home, others)
    return ViewStorage(jobs, usage, vault, others, partial(launch_of, home, os.environ))


def _in_thread(reactor: Any, work: Callable[..., Any], *words: Any) -> Deferred[Any]:
    from twisted.internet.threads import deferToThreadPool

    return deferToThreadPool(reactor, reactor.getThreadPool(), work, *words)


def vault_of(reactor: Any, home: str, others: IOtherNodes | None, limits: ShieldLimits) -> Vault:
    """Return the store of originals, with its directory."""
    from mcpgateway.hub.results.originals import Vault
    from mcpgateway.system.result_files import ResultFiles  # only clients of views need it

    work = partial(_in_thread, reactor)
    return Vault(
        ResultFiles(f"{home}/results"), limits.keep, limits.keep_bytes, reactor.seconds, work, others
    )


def tracer_of(
    reactor: Any, home: str, settings: TraceSettings, web: Callable[[], Web], redact: Callable[[str], str]
) -> Tracer:
    """Return the tracer of calls.

    :param settings: the trace settings; without a collector in them, the environment may name one.
    """
    from mcpgateway.observe.activity import ActivityLog
    from mcpgateway.observe.tracing import Tracer
    from mcpgateway.system.logs.server_log import ROTATE_BYTES, ServerLogFile

    tracer = Tracer(secrets.token_hex, settings.begin)
    if settings.activity:
        file = ServerLogFile(f"{home}/logs/activity.jsonl", tail_bytes=ROTATE_BYTES)
        tracer.activity = ActivityLog(
            file, reactor.seconds, tracer.new_id, redact, in_thread=partial(_in_thread, reactor)
        )
    base = settings.otlp or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    if base:
        from mcpgateway.backends.http.documents import fetch
        from mcpgateway.observe.spans import Spans, endpoint_of, headers_of

        headers = settings.otlp_headers or headers_of(os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", ""))

        def send(body: bytes) -> Deferred[int]:
            heads = {"Content-Type": "application/json", **headers}
            asked = fetch(
                web(), "POST", endpoint_of(base), heads, body, timeout_s=EXPORT_S, limit=CHECK_BYTES
            )
            return asked.addCallback(lambda answer: answer.status)

        tracer.spans = Spans(send, reactor.seconds, redact)
    return tracer


class HubDependencies(FrozenRecord, frozen=True):
    """The parts that the hub uses and does not build.

    :ivar holders: finds the processes that hold sockets.
    :ivar snapshots: recorded answers of servers; None if no snapshot is kept.
    :ivar storage: stores of usage, results and jobs of views.
    :ivar on_log_message: receiver of servers' log messages.
    :ivar stopwatch: monotonic clock that measures calls, in seconds.
    :ivar tracer: tracer of calls; None without tracing.
    :ivar redactor: removes secrets from texts.
    :ivar written: checks the files that processes have written; None without a watch.
    :ivar looks: True if new servers are asked for their tools before several clients share them.
    :ivar quarantine: knows the versions and tools of servers; None if none are kept.
    """

    launcher: ILauncher
    clock: Any
    keys: Keys
    store: ISessionStore
    holders: Callable[[Collection[int]], Deferred[dict[int, int]]]
    instruments: Instruments = BLIND
    snapshots: Snapshots | None = None
    storage: ViewStorage = NOTHING_KEPT
    on_log_message: OnLogMessage = drop_log_message
    stopwatch: Callable[[], float] = time.perf_counter
    tracer: Tracer | None = None
    redactor: Redactor = msgspec.field(default_factory=Redactor)
    looks: bool = False
    written: Written | None = None
    quarantine: Quarantine | None = None


def make_hub(settings: Settings, dependencies: HubDependencies) -> Hub:
    """Build the hub."""
    launcher, clock, keys, store = (
        dependencies.launcher,
        dependencies.clock,
        dependencies.keys,
        dependencies.store,
    )
    snapshots, gateway = dependencies.snapshots, settings.gateway
    sessions = Sessions(gateway.limits.sessions, keys.session_ids(), store, clock.seconds)
    questions = Questions()

    notices = Notices(sessions, questions, lambda *question: pool.asked(*question))  # noqa: PLW0108 - later
    notices.on_log_message = dependencies.on_log_message
    health = Health(gateway, dependencies.instruments, clock.seconds)
    meters = Meters(dependencies.stopwatch, dependencies.redactor.redact)

    tapes = Tapes(clock.seconds, gateway.trace.record_lines)
    parts = SlotEnvironment(
        launcher,
        clock,
        notices,
        StartLimiter(gateway.limits.spawns),
        gateway.limits.handshake_s,
        sessions.subscribed,
        health,
        meters,
        snapshots,
        Locks(lambda slot, why: pool.move(slot.server, why), lambda slot: pool.others(slot)),  # noqa: PLW0108 - later
        tapes,
    )
    pool = _pool_of(parts, dependencies, questions)
    pool.params_of = sessions.params_of
    eras = Eras(pool, store, gateway.bridge, clock.seconds)

    def make_to_modern() -> ToModern:
        from mcpgateway.hub.bridge.to_modern import ToModern  # few sessions are at modern servers

        return ToModern(sessions, questions, clock)

    neighbours = Neighbours(dependencies.holders)
    scopes = Scopes(pool, neighbours, ground_of(settings, clock.seconds))
    dispatcher = LegacyDispatcher(settings.servers, pool, sessions, questions, eras, make_to_modern)
    dispatcher.scopes, dispatcher.sending_away = scopes, SendingAway(sessions, clock)

    @cache
    def make_view_sessions() -> ViewSessions:
        # Not built for a gateway whose clients use single servers only.
        from mcpgateway.views.wiring import ViewParts, view_sessions_of

        storage, mask = dependencies.storage, dependencies.redactor.mask
        parts = ViewParts(dispatcher, health, launcher, clock, snapshots, storage, mask)
        notices.lists = made = view_sessions_of(hub, parts)
        made.catch_up = lambda: hub.catch_up()  # noqa: PLW0108 - it is set later
        return made

    dispatcher.make_view_sessions = make_view_sessions
    scopes.members = lambda view: dispatcher.view_sessions.members(view)  # noqa: PLW0108 - it is built when it is first used
    health.attend(dispatcher)

    def make_modern_dispatcher() -> ModernDispatcher:
        # A gateway with legacy clients only saves half a megabyte.
        from mcpgateway.hub.bridge.to_legacy import ToLegacy
        from mcpgateway.hub.modern_dispatch import ModernDispatcher
        from mcpgateway.hub.request_states import ServerStates
        from mcpgateway.hub.result_cache import ResultCache

        states = keys.request_states()
        to_legacy = ToLegacy(
            pool, sessions, questions, states, clock.seconds, dispatcher.end, dispatcher.current
        )
        cache = ResultCache(clock.seconds)
        notices.modern = made = ModernDispatcher(
            pool, sessions, eras, neighbours, cache, to_legacy, dispatcher.current
        )
        made.is_open = dispatcher.is_open
        made.permits, made.states = dispatcher.permits, ServerStates(states, store, clock.seconds)
        made.sending_away = dispatcher.sending_away
        made.make_views = lambda modern: _views_of(modern, make_view_sessions(), dependencies)
        made.direct = lambda: dispatcher.view_sessions.direct
        return made

    timeline, views_config = Timeline(meters, clock.seconds), ViewsConfig(gateway, settings.profiles)
    gauges = Gauges(clock.seconds, partial(_size_of, dispatcher))
    hub = Hub(
        dispatcher, health, meters, timeline, gauges, make_modern_dispatcher, views_config, tapes, snapshots
    )
    health.on_switch = dispatcher.refresh_views
    hub.savings = savings_of(hub, dependencies)
    hub.follow(dependencies.tracer)
    return hub


def _pool_of(parts: SlotEnvironment, dependencies: HubDependencies, questions: Questions) -> Pool:
    pool = Pool(parts, dependencies.store)
    if dependencies.written is not None:
        pool.traits.looks, pool.traits.sees = True, bool(dependencies.written((os.getpid(),)))
    parts.limiters = Limiters(pool, parts.meters, dependencies.written, questions.is_asked)
    parts.quarantine = dependencies.quarantine
    if dependencies.looks:
        look = FirstLook(pool, parts.clock)
        parts.on_handshake = look.on_handshake
        if parts.snapshots is not None:
            parts.snapshots.on_listed.append(look.listed)
    return pool


def _views_of(
    modern_dispatcher: ModernDispatcher, view_sessions: ViewSessions, dependencies: HubDependencies
) -> ModernViewRequests:
    from mcpgateway.views.modern import ModernViewRequests
    from mcpgateway.views.modern_registry import ModernParts

    states, clock = dependencies.keys.request_states(), dependencies.clock
    parts = ModernParts(
        view_sessions, view_sessions.dispatcher.pool, clock, states, clock.seconds, dependencies.snapshots
    )
    view_requests = ModernViewRequests(modern_dispatcher, parts)
    view_requests.use(view_sessions.outcomes)
    view_sessions.own_calls = view_requests.own_calls
    view_sessions.on_tick.append(view_requests.look_around)
    view_sessions.on_rebuilt.append(view_requests.rebuilt)
    return view_requests


def savings_of(hub: Hub, dependencies: HubDependencies) -> Savings:
    """Return the sum of the gateway's savings."""
    pool, read = hub.dispatcher.pool, dependencies.storage.usage
    on_record = cache(read) if read is not None else None  # loaded for the first client of a view

    def usage() -> Usage | None:
        return hub.usage or (on_record() if on_record is not None else None)

    def pids() -> Iterable[int]:
        return (pid for slot in pool for pid in slot.pids)

    instruments = dependencies.instruments
    memory = ChildMemory(instruments.weigh, pids)
    return Savings(hub.dispatcher, hub.health, memory, usage, instruments.templates)


def figures_of(hub: Hub, census: Census) -> ServerFigures:
    """Return the source of all numbers."""
    from mcpgateway.observe.figures import ServerFigures  # rarely used

    return ServerFigures(hub.meters, hub.timeline, hub.gauges, census)


def _size_of(dispatcher: LegacyDispatcher) -> tuple[int, int, int]:
    return resident_bytes(), sum(len(each.pids) for each in dispatcher.pool), len(dispatcher.sessions)


def exposition_of(hub: Hub, census: Census, node: ClusterNode | None = None) -> Exposition:
    """Return the exposition of metrics for Prometheus."""
    from mcpgateway.frontends.http.metrics import Exposition  # rarely used

    if node is None:
        return Exposition(hub.meters, census, hub.savings)
    from mcpgateway.frontends.http.nodes.metrics import node_lines

    return Exposition(hub.meters, census, hub.savings, lambda: node_lines(node))


def ground_of(settings: Settings, seconds: Callable[[], float]) -> WorkspaceSettings:
    """Return the settings of workspaces."""

    def read(path: str) -> WorkspaceSpec:
        return read_workspace(path, settings)

    def variant(server: ServerSpec, workspace: WorkspaceSpec) -> ServerSpec:
        blueprint = settings.blueprints.get(server.name)
        if blueprint is None:
            return evolve(server, workspace=workspace.path)
        return specialise(blueprint, workspace)

    def takes_values(server: ServerSpec) -> bool:
        blueprint = settings.blueprints.get(server.name)
        return blueprint is not None and blueprint.takes_values

    roots = (each.path for each in settings.workspaces)
    places = WorkspaceFinder(roots, os.path.expanduser("~"), seconds)
    return WorkspaceSettings(places, settings.workspaces, read, variant, takes_values)


def settle(dispatcher: LegacyDispatcher, settings: Settings, home: str, clock: Any) -> None:
    """Apply the settings of workspaces, and the approvals of users for repositories."""
    scopes = dispatcher.scopes
    scopes.configure(ground_of(settings, clock.seconds))
    world = _world(settings)
    names = [server.name for server in settings.servers]
    repositories = Approvals(home, world, scopes.workspace, lambda: names, clock.seconds)
    repositories.projects = (*(each.path for each in settings.workspaces), *settings.projects)
    scopes.repositories = repositories


def proxies_of(settings: Settings) -> Proxies:
    """Return the proxies for requests: those of entries, else those of the gateway's values and of the login."""
    world, of_servers = _world(settings), {}
    for server in settings.servers:
        match server.reach:
            case Remote(url=url, proxy=str(proxy)):
                named = [url]
            case Rest(base=base, openapi=openapi, proxy=str(proxy)):
                named = [base, openapi]
            case _:
                continue
        for each in named:
            with suppress(BackendError):  # not a URL, which the first request through it reports
                of_servers[urls.read(each).origin] = proxy
    return from_levels((world.login, world.variables), of_servers)


def _world(settings: Settings) -> World:
    home = os.path.expanduser("~")
    return settings.world or World(environment.for_children(os.environ), {}, home)


def _caught_up() -> Deferred[None]:
    return succeed(None)


def _none(sight: GatewayStatus, launcher: ILauncher, clock: Any) -> Iterable[Tool]:
    return ()


@define(eq=False, repr=False)
class Hub:
    """The hub with its parts.

    :ivar dispatcher: the dispatch of legacy requests.
    :ivar health: the watch over servers.
    :ivar meters: counters of calls.
    :ivar timeline: the same counters, by the minute.
    :ivar gauges: the size of the gateway, by the minute.
    :ivar savings: the savings of the gateway.
    :ivar snapshots: recorded answers of servers; None if no snapshot is kept.
    :ivar views_config: the settings of views.
    :ivar tapes: the recorded messages to and from servers.
    :ivar jobs: calls in the background; None until the first client that could make one.
    :ivar semantic: the search for tools by meaning; None before the first client that could search.
    :ivar tracer: tracer of calls; None without tracing.
    :ivar config: returns the state of the configuration.
    :ivar catch_up: reads configuration files that were edited; fires when they are in force.
    :ivar manage: makes the own tools that manage servers.
    :ivar claim: watches the process that owns a session (`mcpgateway.hub.owners.owners.Owners.claim`).
    """

    dispatcher: LegacyDispatcher
    health: Health
    meters: Meters
    timeline: Timeline
    gauges: Gauges
    _make_modern_dispatcher: Callable[[], ModernDispatcher]
    views_config: ViewsConfig
    tapes: Tapes
    snapshots: Snapshots | None = None
    claim: Callable[[Session, int, int], None] | None = None
    jobs: Jobs | None = None
    config: Callable[[], Mapping[str, Any]] = dict
    catch_up: Callable[[], Deferred[None]] = _caught_up
    manage: Callable[[GatewayStatus, ILauncher, Any], Iterable[Tool]] = _none
    usage: Usage | None = None
    vault: Vault | None = None
    semantic: SemanticSearch | None = None
    tracer: Tracer | None = None
    _modern_dispatcher: ModernDispatcher | None = None
    savings: Savings = field(init=False)

    def __attrs_post_init__(self) -> None:
        limit = self.dispatcher.list_limit
        limit.set(self.views_config.gateway.limits.list_bytes)
        self.health.too_long = limit.describe
        if self.snapshots is not None:
            self.snapshots.limit = limit

    @property
    def modern_dispatcher(self) -> ModernDispatcher:
        """The dispatch of modern requests, built for the first one."""
        if self._modern_dispatcher is None:
            self._modern_dispatcher = self._make_modern_dispatcher()
            if self.claim is not None:
                self._modern_dispatcher.claim = self._modern_dispatcher.to_legacy.exclusive.claim = self.claim
        return self._modern_dispatcher

    @property
    def is_heard(self) -> bool:
        """Return whether clients listen to views, for which no server has to run."""
        return self._modern_dispatcher is not None and self._modern_dispatcher.is_heard

    def apply(self, change: Change) -> None:
        """Apply a change of the configuration; sessions of unchanged servers are not affected.

        Calls that wait for a removed server are refused before its children end, so that they do not start another.
        """
        dispatcher, gateway = self.dispatcher, change.settings.gateway
        self.views_config = ViewsConfig(gateway, change.settings.profiles)
        if change.concerns("limits"):
            dispatcher.sessions.set_limit(gateway.limits.sessions)
            dispatcher.pool.configure(gateway.limits.spawns, gateway.limits.handshake_s)
            dispatcher.list_limit.set(gateway.limits.list_bytes)
        if change.concerns("bridge"):
            dispatcher.eras.configure(gateway.bridge)
        if change.concerns("ping_s", "limits", "circuit", "sleep"):
            self.health.configure(gateway)
        if self._modern_dispatcher is not None:
            self._modern_dispatcher.to_legacy.apply(change)
        dispatcher.apply(change)

    def tick(self) -> None:
        """Tick all parts; called once a second."""
        if self._modern_dispatcher is not None:
            self._modern_dispatcher.to_legacy.tick()
        self.dispatcher.roots.tick()
        self.dispatcher.tick_bridge()
        self.dispatcher.tick_views()
        for each in (
            self.snapshots,
            self.usage,
            self.vault,
            self.timeline,
            self.gauges,
            self.savings,
            self.tracer,
        ):
            if each is not None:
                each.tick()

    def follow(self, tracer: Tracer | None) -> None:
        """Trace all calls from now on, or none of them."""
        self.tracer, meters = tracer, self.meters
        meters.on_begin = tracer.begun if tracer is not None else None
        meters.on_end = tracer.ended if tracer is not None else None
        activity = tracer.activity if tracer is not None else None
        if activity is not None:
            from mcpgateway.observe.call_clients import CallClients

            activity.client_of = CallClients(self.dispatcher.sessions.params_of).of
            self.timeline.logged = activity.ask
        self.dispatcher.permits.on_refusal = activity.refused if activity is not None else None

    @property
    def apart(self) -> tuple[Any, ...]:
        """The sessions with children apart of modern clients (`ModernDispatcher.apart`)."""
        return tuple(self._modern_dispatcher.apart()) if self._modern_dispatcher is not None else ()

    def close(self, staying: Container[float] = ()) -> None:
        """End all parts, in order.

        :param staying: the times of arrival of the listenings with which the next program goes on.
        """
        if self._modern_dispatcher is not None:
            self._modern_dispatcher.close(staying)
        for each in (self.jobs, self.usage, self.vault, self.tracer):
            if each is not None:
                each.close()
