"""The only place where things are wired: settings in, a running gateway out."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.backends.reaching import Backends
from mcpgateway.backends.spawning import Launcher
from mcpgateway.config.model import Container, GatewaySettings, Settings
from mcpgateway.doors.http.callers import Callers
from mcpgateway.doors.http.channel import ChannelFactory
from mcpgateway.doors.http.guards import Guard
from mcpgateway.doors.http.listeners import Listeners, bind
from mcpgateway.doors.http.mcp import McpDoor
from mcpgateway.doors.http.root import Root
from mcpgateway.errors import ConfigError
from mcpgateway.host import files, processes
from mcpgateway.host.exits import ExitWatch
from mcpgateway.host.grants import Grants
from mcpgateway.host.guardian import Guardian
from mcpgateway.host.holders import Holders
from mcpgateway.host.journal import Journal
from mcpgateway.host.orphans import Registry, instances, reap_leftovers
from mcpgateway.host.ward import Ward
from mcpgateway.hub.census import Census
from mcpgateway.hub.eras import Eras
from mcpgateway.hub.gate import Gate
from mcpgateway.hub.housekeeping import EVERY_TICKS as TIDY_TICKS
from mcpgateway.hub.housekeeping import Housekeeping
from mcpgateway.hub.notices import Notices
from mcpgateway.hub.owners import Owners
from mcpgateway.hub.pool import Pool
from mcpgateway.hub.questions import Questions
from mcpgateway.hub.reaper import Reaper
from mcpgateway.hub.sessions import Session, Sessions
from mcpgateway.hub.siblings import Siblings
from mcpgateway.hub.slot import Slot, Surroundings
from mcpgateway.hub.switchboard import Switchboard
from mcpgateway.hub.tokens import Tokens
from mcpgateway.interfaces import ILauncher, ISessionStore, Launch, Whose
from mcpgateway.rules.access import Policy
from mcpgateway.wire.sessionids import NODE_BYTES, SessionIds

if TYPE_CHECKING:
    from mcpgateway.doors.http.legacysse import LegacySse
    from mcpgateway.host.daemonlocks import DaemonLocks
    from mcpgateway.hub.stateless import Stateless
    from mcpgateway.hub.to_modern import ToModern
    from mcpgateway.wire.requeststates import RequestStates

TICK_S = 1.0


@define(eq=False)
class GatewayService(Service):
    """The running gateway: phases up in `startService`, the same phases down in `stopService`."""

    log = Logger()

    settings: Settings
    home: str
    reactor: Any = field(repr=False)
    listeners: Listeners = field(repr=False)
    factory: ChannelFactory = field(repr=False)
    mcp: McpDoor = field(repr=False)
    hub: Hub = field(repr=False)
    owners: Owners = field(repr=False)
    reaper: Reaper = field(repr=False)
    housekeeping: Housekeeping = field(repr=False)
    ward: Ward = field(repr=False)
    programs: ILauncher = field(repr=False)
    _heart: LoopingCall = field(init=False, repr=False)

    @property
    def switchboard(self) -> Switchboard:
        """What the doors of the legacy era ask."""
        return self.hub.switchboard

    def __attrs_post_init__(self) -> None:
        self._heart = LoopingCall(self._tick)
        self._heart.clock = self.reactor

    def startService(self) -> None:
        """Clear up after a gateway that was killed, then let time pass."""
        super().startService()
        for what in reap_leftovers(self.home):
            self.log.warn("killed a leftover of an earlier gateway: {what}", event="orphan.reaped", what=what)
        for warning in self.settings.warnings:
            self.log.warn("{warning}", event="config.warning", warning=warning)
        self._announce()
        self._reap_containers()
        self._heart.start(TICK_S, now=False).addErrback(self._heart_stopped)

    def _announce(self) -> None:
        base = f"http://localhost:{self.listeners.http_port}"
        for server in self.settings.servers:
            self.log.info(
                "{name} is served at {base}/{name}/mcp ({source})",
                event="server.served",
                name=server.name,
                base=base,
                source=server.source,
            )
        if not self.settings.servers:
            self.log.warn(
                "no servers to serve: name some in {home}/config.yaml or in ~/.claude.json",
                event="server.none",
                home=self.home,
            )
            return
        self.log.info("try: {curl}", event="service.try", curl=_curl(base, self.settings.servers[0].name))

    def _reap_containers(self) -> None:
        boxed = [
            Launch(each.name, each.command, each.env, each.cwd, each.reach)
            for each in self.settings.servers
            if isinstance(each.reach, Container)
        ]
        if not boxed:
            return
        from mcpgateway.backends.container import reap_containers  # few servers run in one

        living = instances(self.home) | {self.ward.instance}
        reaping = reap_containers(self.reactor, self.programs, boxed, self.home, living)
        reaping.addCallback(self._reaped).addErrback(self._reaping_broke)

    def _reaped(self, found: list[str]) -> None:
        for what in found:
            self.log.warn("killed a leftover of an earlier gateway: {what}", event="orphan.reaped", what=what)

    def _reaping_broke(self, why: Failure) -> None:
        self.log.failure("leftover containers could not be looked for", why, event="container.reap_failed")

    def _heart_stopped(self, why: Failure) -> None:
        self.log.failure("the heartbeat has stopped", why, event="heartbeat.stopped")

    def _tick(self) -> None:
        # One exception would end a LoopingCall for good, and every deadline with it.
        beats = (
            self._age,
            self.factory.sweep,
            self.mcp.streams.tick,
            self._expire,
            self.switchboard.tick,
            self.switchboard.questions.tick,
            self.hub.tick,
            self.owners.tick,
            self.switchboard.sessions.store.settle,
            self._reap,
            self._tidy,
        )
        for beat in beats:
            try:
                beat()
            except Exception:  # noqa: BLE001 - the one catch-all of this road
                self.log.failure("a beat of the heart failed", event="heartbeat.failed")

    def _age(self) -> None:
        self.switchboard.sessions.now += 1

    def _expire(self) -> None:
        for slot in self.switchboard.pool:
            slot.expire()

    def _reap(self) -> None:
        if self.switchboard.sessions.now % round(self.settings.gateway.limits.reap_s) == 0:
            self.reaper.look_around()
            self.owners.tidy()

    def _tidy(self) -> None:
        if self.switchboard.sessions.now % TIDY_TICKS == 0:
            self.housekeeping.look_around()

    def stopService(self) -> Deferred[None]:
        """Refuse and drain, then stop the children, then forget them; fires when nothing is left."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        super().stopService()
        self.switchboard.is_open = False
        await DeferredList(self.listeners.close(), consumeErrors=True)
        self.factory.drain()
        self.mcp.streams.close()
        self.hub.close()
        await self._drained()
        await self.switchboard.close()
        self.ward.close()
        await deferLater(self.reactor, 0)  # the answers to cut-off calls leave in the next turn
        if self._heart.running:
            self._heart.stop()
        self.factory.abort_all()
        self.owners.close()
        self.switchboard.sessions.store.close()

    async def _drained(self) -> None:
        waited, limit = 0.0, self.settings.gateway.limits.drain_s
        if calls := self.switchboard.awaited():
            self.log.info(
                "{calls} calls are under way; waiting up to {limit:g} s",
                event="service.drain",
                calls=calls,
                limit=limit,
            )
        while self.switchboard.awaited() and waited < limit:
            await deferLater(self.reactor, 0.1)
            waited += 0.1


def make_gateway(settings: Settings, home: str, reactor: Any) -> GatewayService:
    """Build the whole house and bind its addresses.

    :raise ConfigError: an address or the home directory cannot be used.
    """
    try:
        files.make_home(home)
        tokens = Tokens.of(
            files.read_or_create_token(f"{home}/auth.token"),
            files.read_or_create_token(f"{home}/admin.token"),
        )
        files.make_home(f"{home}/sessions")
        keys = Keys(files.read_or_create_token(f"{home}/sessions/key"))
    except OSError as why:
        raise ConfigError(f"cannot use the home directory {home}: {why.strerror}") from why
    processes.raise_nofile()
    processes.seal_descriptors()
    instance = secrets.token_hex(8)
    ward = Ward(Registry(home, instance), Guardian(reactor, instance))
    limits = settings.gateway.limits
    store = Journal(f"{home}/sessions/journal.db", reactor.seconds)
    holders = Holders(reactor)
    programs = Launcher(reactor, ward)

    def make_locks() -> DaemonLocks:
        from mcpgateway.host.daemonlocks import DaemonLocks  # few servers have a port of their own

        return DaemonLocks(home, os.path.expanduser("~/.mcp-session-manager"), holders)

    backends = Backends(
        reactor,
        programs,
        Grants(home),
        lambda: f"http://127.0.0.1:{listeners.http_port}/oauth/callback",
        Whose(home, instance),
        make_locks,
    )
    hub = make_hub(settings, backends, reactor, keys, store, holders)
    switchboard = hub.switchboard
    table = processes.ProcessTable()
    reaper = Reaper(switchboard.sessions, switchboard, table)
    owners = Owners(switchboard.sessions, table, ExitWatch(reactor), holders, reaper.owner_ended)
    hub.claim = owners.claim
    mcp = McpDoor(switchboard, owners, lambda: hub.stateless)
    policy = policy_of(settings.gateway)

    def make_site() -> Any:
        from mcpgateway.doors.http.control import make_site  # Klein is loaded by the first who looks

        needs_token = settings.gateway.auth_mcp_transport == "bearer-required"
        census = Census(switchboard, started_at, listeners.http_port, needs_token)
        return make_site(switchboard, census, backends.let_in)

    def make_sse() -> LegacySse:
        from mcpgateway.doors.http.legacysse import LegacySse  # hardly anybody needs it

        return LegacySse(switchboard, owners, mcp.streams)

    started_at = reactor.seconds()
    root = Root(settings.servers, mcp, make_sse, Guard(policy, tokens), limits, make_site)
    callers = Callers(trusts_others=settings.gateway.trust_other_users)
    factory = ChannelFactory(root, reactor, callers)
    listeners = bind(reactor, settings.gateway, home, factory)
    backends.own_ports = listeners.numbers
    housekeeping = Housekeeping(switchboard, factory.heads.clear)
    return GatewayService(
        settings, home, reactor, listeners, factory, mcp, hub, owners, reaper, housekeeping, ward, programs
    )


def make_hub(
    settings: Settings,
    launcher: ILauncher,
    clock: Any,
    keys: Keys,
    store: ISessionStore,
    holders: Callable[[Collection[int]], Deferred[dict[int, int]]],
) -> Hub:
    """Build the hub, between the doors and the children."""
    gateway = settings.gateway
    sessions = Sessions(gateway.limits.sessions, keys.session_ids(), store, clock.seconds)
    questions = Questions()

    def moved(slot: Slot, why: str) -> None:
        pool.move(slot.server, why)

    notices = Notices(sessions, questions, moved)
    around = Surroundings(
        launcher, clock, notices, Gate(gateway.limits.spawns), gateway.limits.handshake_s, sessions.subscribed
    )
    pool = Pool(around, store)
    siblings = Siblings(pool, clock)
    eras = Eras(pool, store, gateway.bridge, clock.seconds)

    def make_to_modern() -> ToModern:
        from mcpgateway.hub.to_modern import ToModern  # sessions at servers that know none are few

        return ToModern(sessions, questions, clock)

    switchboard = Switchboard(settings.servers, pool, sessions, questions, siblings, eras, make_to_modern)

    def make_stateless() -> Stateless:
        # Whoever only has legacy clients does without half a megabyte.
        from mcpgateway.hub.cache import ResultCache
        from mcpgateway.hub.neighbours import Neighbours
        from mcpgateway.hub.stateless import Stateless
        from mcpgateway.hub.to_legacy import ToLegacy

        states = keys.request_states()
        to_legacy = ToLegacy(pool, sessions, questions, siblings, states, clock.seconds, switchboard.end)
        cache = ResultCache(clock.seconds)
        notices.modern = made = Stateless(pool, sessions, eras, Neighbours(holders), cache, to_legacy)
        made.is_open = switchboard.is_open
        return made

    return Hub(switchboard, make_stateless)


@define(eq=False)
class Hub:
    """What lives between the doors and the children.

    :ivar switchboard: what the doors of the legacy era ask.
    :ivar claim: has the process that a session belongs to watched (`mcpgateway.hub.owners.Owners.claim`).
    """

    switchboard: Switchboard
    _make_stateless: Callable[[], Stateless]
    claim: Callable[[Session, int, int], None] | None = None
    _stateless: Stateless | None = None

    @property
    def stateless(self) -> Stateless:
        """What the door of the modern era asks, built for its first message."""
        if self._stateless is None:
            self._stateless = self._make_stateless()
            if self.claim is not None:
                self._stateless.claim = self._stateless.to_legacy.claim = self.claim
        return self._stateless

    def tick(self) -> None:
        """A second has passed."""
        if self._stateless is not None:
            self._stateless.to_legacy.tick()
        self.switchboard.tick_bridge()

    def close(self) -> None:
        """End whatever stands open, in order."""
        if self._stateless is not None:
            self._stateless.close()


@frozen
class Keys:
    """What is made of the key in the home: the makers of all that is signed."""

    _key: str = field(repr=False)

    def session_ids(self) -> SessionIds:
        """The maker of session ids; the key names the node too, for as long as each node has its own."""
        return SessionIds(self._key.encode(), self._node())

    def request_states(self) -> RequestStates:
        """The maker of request states, with a key of its own."""
        from mcpgateway.wire.requeststates import RequestStates  # what only the bridge needs

        key = hashlib.sha256(b"request states " + self._key.encode()).digest()
        return RequestStates(key, self._node())

    def _node(self) -> bytes:
        return hashlib.sha256(b"node " + self._key.encode()).digest()[:NODE_BYTES]


def policy_of(settings: GatewaySettings) -> Policy:
    """The access policy that the settings describe."""
    return Policy(
        frozenset(host.lower().encode() for host in settings.allowed_hosts),
        frozenset(origin.encode() for origin in settings.allowed_origins),
        settings.allow_remote,
        settings.auth_mcp_transport == "bearer-required",
        settings.auth_mcp_transport == "loopback-only",
    )


def _curl(base: str, name: str) -> str:
    body = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
    return f"curl -s {base}/{name}/mcp -H 'Content-Type: application/json' -d '{body}'"
