"""The running gateway: its start, its work of every second, and its stop."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.error import ReactorNotRunning
from twisted.internet.task import LoopingCall, cooperate, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway import __version__
from mcpgateway.app.admission import Admission
from mcpgateway.app.enrolled import uses_gateway, uses_gateway_now
from mcpgateway.app.hub import GROUND, Hub, ground_of, settle
from mcpgateway.app.log import LogPipeline
from mcpgateway.app.nodes import name_in
from mcpgateway.app.restart import InPlaceRestart
from mcpgateway.backends.spawn import Launcher
from mcpgateway.config.diff import Change
from mcpgateway.config.gateway_settings import Adopt, ManholeSettings
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.reach_settings import Container
from mcpgateway.config.settings import Settings
from mcpgateway.errors import ConfigError
from mcpgateway.frontends.http.channel_factory import ChannelFactory
from mcpgateway.frontends.http.listeners import Listeners
from mcpgateway.frontends.http.mcp import LegacyEndpoint
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.hub.owners.owners import Owners
from mcpgateway.hub.owners.reaper import Reaper
from mcpgateway.interfaces import ILauncher, Launch
from mcpgateway.manage.enrolment import Enrolment
from mcpgateway.manage.memory import EVERY_TICKS as TIDY_TICKS
from mcpgateway.manage.memory import MemoryUpkeep
from mcpgateway.manage.reload import Reload
from mcpgateway.manage.vacancy import IdleTime
from mcpgateway.policy.secrets.configured import configured
from mcpgateway.records import FrozenRecord
from mcpgateway.shim import startup
from mcpgateway.system import state
from mcpgateway.system.config_template import write_first
from mcpgateway.system.instance_lock import SHIM, START, InstanceLock
from mcpgateway.system.process import interrupts
from mcpgateway.system.process.children import ChildGuard
from mcpgateway.system.process.orphans import instances, reap_leftovers
from mcpgateway.system.settings import ExaminedSettings
from mcpgateway.system.watch import FileWatch, inotify

if TYPE_CHECKING:
    from mcpgateway.cluster.node import ClusterNode
    from mcpgateway.config.load import Files
    from mcpgateway.config.problems import Problem
    from mcpgateway.frontends.manhole.listener import Manhole
    from mcpgateway.owntools.status import GatewayStatus
    from mcpgateway.owntools.tool import Tool
    from mcpgateway.system.sd_notify import Notify
    from mcpgateway.system.secret_providers import ProvidedValues

TICK_S = 1.0


class SettingsOrigin(FrozenRecord, frozen=True):
    """The source of the settings, so that they can be read again.

    :ivar examine: reads all files.
    :ivar files: the files that were read at the start.
    :ivar read_at: time at which that began, in epoch seconds.
    :ivar busy_files: files that their owners write frequently.
    :ivar config_file: the file for new servers; it need not exist.
    :ivar gather: reads the files without examining them.
    :ivar adopts: True or False if the command line decides whether clients' files are enrolled; None: the settings do.
    :ivar command: command line of this process.
    :ivar brought: values from outside of all files, so that they can be resolved again.
    :ivar is_managed: True if a service manager restarts the gateway when it ends.
    :ivar port: the port on the command line.
    :ivar values_file: returns the path of the gateway's own file of values.
    :ivar warnings: those about the files that were read at the start.
    """

    examine: Callable[[], ExaminedSettings]
    files: tuple[str, ...] = ()
    read_at: float = 0.0
    busy_files: tuple[str, ...] = ()
    config_file: str = ""
    gather: Callable[[], Files] | None = None
    adopts: Adopt | None = None
    command: tuple[str, ...] = ()
    brought: ProvidedValues | None = None
    is_managed: bool = False
    port: int | None = None
    values_file: Callable[[], str] | None = None
    warnings: tuple[Problem, ...] = ()


@define(eq=False, repr=False)
class GatewayService(Service):
    """The running gateway: phases up in `startService`, the same phases down in `stopService`.

    :ivar restorer: command that restores clients' files after its end; empty if a service manager starts it again.
    :ivar node: the gateway as a node of a cluster; None for a gateway that is alone.
    """

    log = Logger()

    settings: Settings
    home: str
    reactor: Any = field(repr=False)
    manager: Notify | None = field(repr=False)
    listeners: Listeners = field(repr=False)
    factory: ChannelFactory = field(repr=False)
    mcp: LegacyEndpoint = field(repr=False)
    hub: Hub = field(repr=False)
    owners: Owners = field(repr=False)
    reaper: Reaper = field(repr=False)
    housekeeping: MemoryUpkeep = field(repr=False)
    ward: ChildGuard = field(repr=False)
    launcher: Launcher = field(repr=False)
    admission: Admission = field(repr=False)
    reload: Reload = field(repr=False)
    enrolment: Enrolment = field(repr=False)
    origin: SettingsOrigin = field(repr=False)
    claim: InstanceLock = field(repr=False)
    renewal: InPlaceRestart = field(repr=False)
    observation: LogPipeline = field(repr=False)
    restorer: tuple[str, ...] = field(repr=False, default=())
    node: ClusterNode | None = field(repr=False, default=None)
    _started_at: float = field(init=False, default=0.0)
    _vacancy: IdleTime = field(init=False, repr=False)
    _heart: LoopingCall = field(init=False, repr=False)
    _manhole: Manhole | None = field(init=False, default=None, repr=False)

    @property
    def dispatcher(self) -> LegacyDispatcher:
        """The dispatch of legacy requests."""
        return self.hub.dispatcher

    def __attrs_post_init__(self) -> None:
        self.reload.apply = self.apply
        self.hub.config = self.reload.state.shown
        self.hub.manage = self._manage
        self._vacancy = IdleTime(self.dispatcher, lambda: self.hub.is_heard)
        self._heart = LoopingCall(self._tick)
        self._heart.clock = self.reactor
        if self.node is not None:
            name_in(self.node.name, self.observation, self.hub)

    def _manage(self, sight: GatewayStatus, launcher: ILauncher, clock: Any) -> tuple[Tool, ...]:
        from mcpgateway.manage.tools.family import (
            ManagementParts,
            managed,
        )  # few users let a model manage their servers

        tools = managed(ManagementParts(sight, self.reload, self.dispatcher, self.home, launcher, clock))
        tracer = self.hub.tracer
        if tracer is None or tracer.activity is None:
            return tools
        from mcpgateway.manage.tools.audited import audited

        return audited(tools, tracer.activity.managed)

    def startService(self) -> None:
        """Clean up after a killed gateway, then start the clocks and servers."""
        super().startService()
        self._observe()
        if self.observation.logs is not None:
            self.observation.logs.served = lambda: tuple(self.dispatcher.servers)
        self.observation.begin()
        self._started_at = self.reactor.seconds()
        if self.manager is not None:
            self.reactor.callLater(0, self._say_ready)  # connections are answered once the reactor runs
        self._tell_unclean_end()
        for what in reap_leftovers(self.home):
            self.log.warn("killed a leftover of an earlier gateway: {what}", event="orphan.reaped", what=what)
        for warning in self.settings.warnings:
            self.log.warn("{warning}", event="config.warning", warning=warning)
        if self.reload.config_file and write_first(self.reload.config_file):
            self.log.info(
                "{file} was written; it explains every setting",
                event="config.written",
                file=self.reload.config_file,
            )
        if self.renewal.handover.received is None:
            self._announce()
        else:
            # The first requests, which have waited, come first.
            cooperate(map(self._say_served, self.settings.servers))
        self.claim.up()
        if self.claim.started_by == START:
            self.ward.guardian.start()  # the guardian restarts a killed gateway, also without children
        self.renewal.handover.take_over(self)
        self.hub.health.begin(self.settings.servers)
        self.admission.leaving.begin()
        self._reap_containers()
        self.reload.begin(FileWatch(self.reactor, inotify(self.reactor), self.reload.look))
        if self.node is not None:
            self.node.begin()
        self._heart.start(TICK_S, now=False).addErrback(self._heart_stopped)
        self.renewal.offer(self)
        self._open_manhole()
        self.say_that_it_runs()
        # Once the reactor runs: a client started earlier would get no answer.
        self.reactor.callLater(0, self._enrol)
        self.reactor.callLater(0, self._heed_terminations)

    def _tell_unclean_end(self) -> None:
        """Tell that the former gateway has ended without a stop; one that ends in order removes its state file."""
        former = state.read_state(self.home)
        end = state.unclean_end(former)
        if not end:
            return
        if end == startup.REBOOT:
            self.log.warn(
                "the former gateway (pid {pid}) went down with the machine; this one follows it",
                event="service.reboot",
                pid=former.pid,
            )
        else:
            self.log.warn(
                "the former gateway (pid {pid}) ended without a stop, such as by a crash; this one follows it",
                event="service.crash",
                pid=former.pid,
            )
        # The guardian of a gateway that its user has started keeps a record of its own.
        if self.claim.started_by != START and startup.read_crash(self.home) < former.started_at:
            with suppress(OSError):  # then only the log has it
                startup.write_crash(self.home, self.reactor.seconds(), end)

    def apply(self, change: Change) -> None:
        """Apply a change of the configuration, as far as that is possible while the gateway runs."""
        if self.manager is not None:
            self.manager.reloading()
        self.settings = change.settings
        self._observe()
        if not change.is_quiet or change.concerns(*GROUND):
            settle(self.dispatcher, change.settings, self.home, self.reactor)
        elif change.has_servers:
            self.dispatcher.scopes.configure(ground_of(change.settings, self.reactor.seconds))
        self.admission.apply(change)
        self.hub.apply(change)
        self._say_ready()
        self.hub.health.begin(change.latter)
        for server in change.added:
            self._say_served(server)
        for server in change.removed:
            self.log.info("{name} is not served any more", event="server.removed", name=server.name)
            self.observation.forget(server.name)
        for each in change.changed:
            self.log.info(
                "the definition of {name} has changed", event="server.changed", name=each.after.name
            )
        self.enrolment.look(change.settings)
        if change.concerns("manhole"):
            self._open_manhole()

    def _open_manhole(self) -> None:
        if self._manhole is None and self.settings.manhole == ManholeSettings():
            return
        if self._manhole is None:
            from mcpgateway.frontends.manhole.listener import Manhole  # rarely used

            self._manhole = Manhole(self.reactor, self.home, self._inside)
        self._manhole.configure(self.settings.manhole)

    def _inside(self) -> dict[str, Any]:
        pool, sessions = self.dispatcher.pool, self.dispatcher.sessions
        return {"gateway": self, "pool": pool, "sessions": sessions, "config": self.settings}

    def _observe(self) -> None:
        self.observation.redactor.learn(configured(self.settings))
        self.observation.configure(self.settings.gateway.log_level)

    def _heed_terminations(self) -> None:
        interrupts.loaded()
        # Twisted's runners exit by the signal once more, as if it had killed them; an orderly end is no failure.
        # Renewal replaces this handler for a while.
        signal.signal(signal.SIGTERM, lambda *_: self.reactor.callFromThread(self._end))
        # A closed terminal ends its programs; the gateway then shuts down in order, too.
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            signal.signal(signal.SIGHUP, lambda *_: self.reactor.callFromThread(self._end))

    def _end(self) -> None:
        with suppress(ReactorNotRunning):  # the reactor is stopping already
            self.reactor.stop()

    def _enrol(self) -> None:
        if self.dispatcher.is_open:
            self.enrolment.begin(self.settings, adopts=self.origin.adopts)

    def say_that_it_runs(self) -> None:
        """Write the state file in the home."""
        listeners, renewal = self.listeners, self.renewal
        running = state.myself(
            listeners.http_port, __version__, self._started_at, self.origin.command, listeners.words
        )
        running = running._replace(renews=renewal.is_offered, refused=renewal.refused)
        try:
            state.write(self.home, running)
            state.keep_port(self.home, self.origin.port)
        except ConfigError as why:
            self.log.warn(
                "{why}; programs that look for the gateway will not find it",
                event="state.failed",
                file=state.file_of(self.home),
                why=str(why),
            )

    @property
    def _base(self) -> str:
        return f"http://localhost:{self.listeners.http_port}"

    def _say_served(self, server: ServerSpec) -> None:
        self.log.info(
            "{name} is served at {base}/{name}/mcp ({source})",
            event="server.served",
            name=server.name,
            base=self._base,
            source=server.source,
        )

    def _announce(self) -> None:
        for server in self.settings.servers:
            self._say_served(server)
        if self.settings.servers:
            curl = _curl(self._base, self.settings.servers[0].name)
            self.log.info("try: {curl}", event="service.try", curl=curl)
        else:
            self.log.warn(
                "no servers to serve: name some in {home}/config.yaml or in ~/.claude.json",
                event="server.none",
                home=self.home,
            )

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
        reaping = reap_containers(self.reactor, self.launcher, boxed, self.home, living)
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
            self.dispatcher.pool.tick,
            self.dispatcher.calls.tick,
            self.dispatcher.questions.tick,
            self.hub.tick,
            self.hub.health.tick,
            self.owners.tick,
            self.admission.bearers.tick,
            self.admission.tick,
            self.dispatcher.sessions.store.settle,
            self._reap,
            self._tidy,
            self.reload.tick,
            self._say_alive,
            self._leave,
            *((self.node.tick,) if self.node is not None else ()),
        )
        for beat in beats:
            try:
                beat()
            except Exception:  # noqa: BLE001 - the one catch-all of this clock
                self.log.failure("a heartbeat failed", event="heartbeat.failed")

    def _say_ready(self) -> None:
        if self.manager is not None and self.dispatcher.is_open:
            self.manager.ready(self._status())

    def _status(self) -> str:
        calls, sessions = self.dispatcher.calls.awaited(), len(self.dispatcher.sessions)
        if not self.dispatcher.is_open:
            return f"stopping, calls under way: {calls}"
        processes = sum(len(slot.pids) for slot in self.dispatcher.pool)
        return f"{len(self.settings.servers)} servers, {processes} processes, {sessions} sessions at {self._base}"

    def _say_alive(self) -> None:
        if self.manager is not None:
            self.manager.beat(self._status())

    def _age(self) -> None:
        self.dispatcher.sessions.now += 1

    def _expire(self) -> None:
        for slot in self.dispatcher.pool:
            slot.expire()

    def _reap(self) -> None:
        if self.dispatcher.sessions.now % round(self.settings.gateway.limits.reap_s) == 0:
            self.reaper.look_around(self.settings.gateway.limits.session_idle_s)
            self.owners.tidy()

    def _tidy(self) -> None:
        if self.dispatcher.sessions.now % TIDY_TICKS == 0:
            self.housekeeping.look_around(may_restart=self.settings.gateway.free_memory_by_restart)

    def _leave(self) -> None:
        # A gateway that a shim has started has no operator to stop it.
        limit = self.settings.gateway.limits.idle_exit_s
        if self.claim.started_by != SHIM or not limit or self._vacancy.tick() < limit:
            return
        if uses_gateway(self.settings) or self.claim.is_wanted():
            self._vacancy.begin()
            return
        self.log.info(
            "no client has used the gateway for {limit:g} s, and no command has asked it to stay: the gateway ends",
            event="service.idle",
            limit=limit,
        )
        self.reactor.stop()

    def stopService(self) -> Deferred[None]:
        """Drain and refuse requests, then stop the children, then clean up; fires when no child is left."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        super().stopService()
        self.renewal.handover.finish()
        if self.node is not None and self.node.farewell is not None and not self.renewal.is_due:
            await self.node.farewell(self.settings.gateway.limits.drain_s)
        self._bequeath()
        self.enrolment.close()
        self.reload.close()
        if self._manhole is not None:
            self._manhole.close()
        self.dispatcher.is_open = False
        if not self.renewal.is_due:
            await self._refuse()
        self.renewal.release()
        await self.dispatcher.close()
        await self.launcher.close()
        if not (goes_on := self.renewal.handover.end(self)):
            self.ward.close()
        await deferLater(self.reactor, 0)  # the answers to cut-off calls leave in the next turn
        if self._heart.running:
            self._heart.stop()
        self.factory.abort_all()
        self.owners.close()
        if self.hub.snapshots is not None:
            self.hub.snapshots.close()
        self.dispatcher.sessions.store.close(is_followed=self.renewal.is_due)
        if self.node is not None:
            await (self.node.pause() if goes_on else self.node.close())
        if not self.renewal.is_due:
            self.forget()
        self.observation.end()

    def _bequeath(self) -> None:
        # When this process has ended, or is killed before that, no other process would restore clients' files.
        if not self.restorer or self.renewal.is_due or self.claim.is_stopped():
            return
        if not uses_gateway_now(self.home, self.settings, is_enrolling=self.enrolment.is_running):
            return
        self.log.info(
            "clients' files use the gateway: unless a gateway runs again soon, they are restored",
            event="clients.bequeathed",
        )
        self.ward.guardian.bequeath(self.restorer)

    def forget(self) -> None:
        """Remove the state file: the gateway has ended in order."""
        state.remove(self.home, os.getpid())
        self.listeners.close_now()  # ports that were kept open until now
        self.claim.ended()

    async def _refuse(self) -> None:
        if self.manager is not None:
            self.manager.stopping(self._status())
        await DeferredList(self.listeners.close(), consumeErrors=True)
        self.observation.dismiss()
        self.factory.drain()
        self.mcp.streams.close()
        self.hub.close()
        await self._drained()

    async def _drained(self) -> None:
        waited, limit = 0.0, self.settings.gateway.limits.drain_s
        if calls := self.dispatcher.calls.awaited():
            self.log.info(
                "{calls} calls are under way; waiting up to {limit:g} s",
                event="service.drain",
                calls=calls,
                limit=limit,
            )
        while self.dispatcher.calls.awaited() and waited < limit:
            await deferLater(self.reactor, 0.1)
            waited += 0.1


def _curl(base: str, name: str) -> str:
    body = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
    return f"curl -s {base}/{name}/mcp -H 'Content-Type: application/json' -d '{body}'"
