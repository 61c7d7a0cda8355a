"""Restart the gateway within its process, unnoticed by clients.

# Note [How it begins anew]
phase            actions                                                             end by a signal
``waiting``      all requests are served; those under way at the beginning that      SIGTERM: it stops
                 cannot go on may end, others have `SHORT_S`
``pausing``      new connections wait in the kernel's queue; the answers under way   SIGTERM: it stops
                 that cannot go on are sent, streams end in order
``over``         the reactor shuts down: servers that go on are left alone, others   SIGTERM: it ends, without
                 are stopped, files are closed                                       a restart
then             the program is executed again, with the listening sockets, the
                 pipes of servers and the connections with requests under way

All preconditions are checked first, and the program is started for a test: it may be another release by now
(`mcpgateway.app.trial`).  If it cannot start, this process goes on, and its health says why.  The test also tells which
servers' state the program can take over (`mcpgateway.system.process.handover`).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.app.handover import GatewayHandover
from mcpgateway.errors import LaunchFailed
from mcpgateway.escaping import one_line
from mcpgateway.frontends.http.channel import Channel
from mcpgateway.frontends.http.channel_factory import ChannelFactory
from mcpgateway.frontends.http.listeners import unusable
from mcpgateway.interfaces import Launch, Request
from mcpgateway.records import Record
from mcpgateway.system.process.fall_back import FAILED_VARIABLE, disarm, keep
from mcpgateway.system.process.handover import FORMAT
from mcpgateway.system.reexec import ReexecCommand
from mcpgateway.system.settings import kept_path

POLL_S = 0.02
ANSWERED_S = 0.05
SHORT_S = 1.0  # most calls end by then, and need not be handed over
READING_S = 2.0  # a client may take so long to send the rest of its request, or to read its answer
PAUSE_S = 10.0  # the least time for requests that begin meanwhile, while new clients wait
LOGGED_LIMIT = 20  # problems
REASON_CHARS = 500
TRIAL_S = 60.0  # of a busy machine
KEEP_S, KEEP_VARIABLE = 10.0, "MCPGATEWAY_KEEP_AFTER"  # a gateway of a moment needs no copy of its program
PLUGIN = "mcpgateway"
TRIAL = """
import sys
from twisted.plugins import mcpgateway_dropin
from mcpgateway.app.trial import start
print(start(mcpgateway_dropin.mcpgateway, sys.argv[1:]))
"""
NOT_ASKED, WAITING, PAUSING, OVER, STOPPED = range(5)


class InPlaceRestart(Record):
    """The restart on SIGHUP.

    :ivar command: the command line to execute; None if that is not possible.
    :ivar handover: the children that outlive a program.
    :ivar refused: number of restarts that were requested and refused.
    :ivar refusal: time and reason of the latest of these, in words; empty if there was none.
    """

    log = Logger()

    reactor: Any
    command: ReexecCommand | None
    refused: int = 0
    refusal: str = ""
    handover: GatewayHandover = msgspec.field(default_factory=GatewayHandover)
    _service: Any = None
    _phase: int = NOT_ASKED
    _path: str = ""
    _kept: str = ""
    _former: dict[int, Any] = msgspec.field(default_factory=dict)

    @property
    def is_offered(self) -> bool:
        """Return whether SIGHUP restarts the gateway."""
        return self._service is not None

    @property
    def is_due(self) -> bool:
        """Return whether the program is executed again after the reactor has ended."""
        return self._phase == OVER

    def offer(self, service: Any) -> None:
        """Restart on SIGHUP from now on, if a restart is possible; this program has started when the reactor runs."""
        self.reactor.callLater(0, disarm)
        if self.command is None or self.command.pid != os.getpid():
            return
        self._service = service
        if why := os.environ.pop(FAILED_VARIABLE, ""):
            self._note([f"the new program fails at its start: {why}"])
        keep_s = float(os.environ.get(KEEP_VARIABLE, KEEP_S))
        self.reactor.callLater(keep_s, self._keep, service.home, service.origin.read_at)
        signal.signal(signal.SIGHUP, lambda *_: self.reactor.callFromThread(self.asked))

    def _keep(self, home: str, since: float) -> None:
        kept = deferToThreadPool(self.reactor, self.reactor.getThreadPool(), keep, home, since)
        kept.addCallbacks(partial(setattr, self, "_kept"), self._not_kept)

    def _not_kept(self, why: Failure) -> None:
        self.log.warn(
            "no copy of the program is kept for a failing upgrade: {why}",
            event="renewal.not_kept",
            why=why.value,
        )

    def begin_soon(self) -> bool:
        """Start the restart when the answer to a request is sent; return False where this process cannot restart."""
        if self.is_offered:
            self.reactor.callLater(ANSWERED_S, self.asked)
        return self.is_offered

    def asked(self) -> None:
        """Start the restart, unless one is under way or would fail."""
        service = self._service
        if self._phase != NOT_ASKED or not service.dispatcher.is_open:
            return
        if why := self._obstacles():
            self._refuse(why)
            return
        self._phase = WAITING
        # Before the trial, which keeps its own environment.
        self._path = kept_path(service.home) or os.environ.get("PATH", os.defpath)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._former[number] = signal.signal(number, self._stopped)
        Deferred.fromCoroutine(self._prepare()).addErrback(self._broken)

    def _refuse(self, why: list[str]) -> None:
        self._phase = NOT_ASKED
        for number, former in self._former.items():
            signal.signal(number, former)
        self._note(why)
        self._service.say_that_it_runs()

    def _note(self, why: list[str]) -> None:
        self.refused += 1
        at = datetime.fromtimestamp(self.reactor.seconds(), UTC)
        self.refusal = f"{at:%Y-%m-%d %H:%M:%S} UTC: {one_line(why[0])[:REASON_CHARS]}"
        for each in why[:LOGGED_LIMIT]:
            self.log.error("{problem}", event="renewal.problem", problem=each)
        self.log.error(
            "the gateway cannot restart and keeps running: a new start would fail ({count} problems)",
            event="renewal.refused",
            count=len(why),
        )

    def _obstacles(self) -> list[str]:
        if self.command is None or not self.command.is_there():
            return ["the gateway's program is not where it was"]
        examined = self._service.origin.examine()
        if examined.settings is not None:
            gateway = examined.settings.gateway
            is_new = gateway.http_port not in (0, self._service.listeners.http_port)
            return unusable(gateway.bind_address, gateway.http_port) if is_new else []
        return [str(each) for each in examined.problems if each.is_error] or ["there are no settings"]

    async def _tried(self) -> list[str]:
        """Start the program as it is now for a test; return its objections."""
        assert self.command is not None
        words = self.command.argv
        at = words.index(PLUGIN) + 1 if PLUGIN in words else len(words)
        argv = (self.command.program, "-P", "-c", TRIAL, *words[at:])
        launch = Launch("renewal", argv, {**os.environ, "PATH": self._path}, "/", is_heard=False)
        try:
            ran = await self._service.launcher.run(launch, is_idle=False, limit_s=TRIAL_S)
        except LaunchFailed as why:
            return [str(why)]
        if ran.code == 0:
            self.handover.is_wanted = ran.output.split()[-1:] == [str(FORMAT)]
            return []
        lines = [each.strip() for each in ran.complaint.splitlines() if each.strip()]
        return [lines[-1] if lines else f"the program does not start within {TRIAL_S:g} s"]

    async def _prepare(self) -> None:
        service = self._service
        limit = service.settings.gateway.limits.drain_s
        dispatcher = service.dispatcher
        # A SIGTERM that came together with the SIGHUP has been handled by then.
        await deferLater(self.reactor, POLL_S)
        if self._phase != WAITING or not dispatcher.is_open:
            return
        why = await self._tried()
        if self._phase != WAITING or not dispatcher.is_open:
            return
        if why:
            self._refuse(why)
            return
        before, passed = dispatcher.calls.under_way(), self._passed()
        self.log.info(
            "the gateway restarts; {calls} calls under way have up to {limit:g} s",
            event="renewal.begun",
            calls=len(before),
            limit=limit,
        )
        ends = self.reactor.seconds() + limit
        await self._until(lambda: not before & dispatcher.calls.under_way(), min(limit, SHORT_S))
        await self._until(
            lambda: not (before & self._tied() or passed & self._passed()), ends - self.reactor.seconds()
        )
        if self._phase != WAITING or not dispatcher.is_open:
            return
        service.reload.close()  # before the pause: the kernel takes its time to remove watches of files
        self._phase = PAUSING
        if service.manager is not None:
            service.manager.reloading()
        service.listeners.pause()
        service.observation.dismiss()  # followers reconnect; the restart would wait for them otherwise
        service.mcp.streams.close(self.handover.may_leave(service))
        service.hub.close(self.handover.staying(service))
        service.factory.park()
        if (port := self.handover.node_port(service)) is not None:
            port.hush()
        dispatcher.calls.cut_off(before & self._tied())  # their time is over, and no client waits for them
        rest = max(ends - self.reactor.seconds(), min(limit, PAUSE_S))
        await self._until(lambda: not self._is_busy(), min(rest, READING_S))
        await self._until(lambda: not (self._is_answering() or self._tied()), rest)
        if tied := self._tied():
            dispatcher.calls.cut_off(tied)
            await deferLater(self.reactor, POLL_S)  # the answers are sent
        if self._phase != PAUSING or not dispatcher.is_open:
            return
        self.reactor.addSystemEventTrigger("after", "shutdown", self._execute)
        self.reactor.stop()
        self._phase = OVER

    def _leaving(self) -> set[Channel]:
        return {each.channel for each in self.handover.leaving(self._service)}

    def _factories(self) -> list[ChannelFactory]:
        port = self.handover.node_port(self._service)
        return [self._service.factory, *([port.factory] if port is not None else [])]

    def _is_busy(self) -> bool:
        leaving = self._leaving()
        return any(each.is_busy(leaving) for each in self._factories())

    def _is_answering(self) -> bool:
        leaving = self._leaving()
        return any(each.is_answering(leaving) for each in self._factories())

    def _passed(self) -> frozenset[object]:
        port = self.handover.node_port(self._service)
        return port.passed if port is not None else frozenset()

    def _tied(self) -> set[Request]:
        # The calls under way that end with this program.
        going = {arrival for each in self.handover.leaving(self._service) for arrival in each.arrivals}
        return {each for each in self._service.dispatcher.calls.under_way() if each.arrived not in going}

    async def _until(self, holds: Callable[[], bool], limit_s: float) -> None:
        ends = self.reactor.seconds() + limit_s
        while (
            self._phase != STOPPED
            and self._service.dispatcher.is_open
            and not holds()
            and self.reactor.seconds() < ends
        ):
            await deferLater(self.reactor, POLL_S)

    def _broken(self, why: Failure) -> None:
        self.log.failure("the gateway could not restart and stops", why, event="renewal.failed")
        self.reactor.stop()

    def _stopped(self, number: int, frame: object) -> None:
        was_over, self._phase = self.is_due, STOPPED
        former = self._former.get(number)
        if callable(former) and not was_over:
            former(number, frame)

    def release(self) -> None:
        """Keep the children running that the next program takes over."""
        if self.is_due:
            self.handover.begin(self._service)

    def _execute(self) -> None:
        service = self._service
        if not self.is_due:
            service.forget()
            return
        assert self.command is not None
        try:
            descriptors = [*service.listeners.descriptors, *service.factory.parked()]
            state = self.handover.whole(service)
            self.command.execute(descriptors, service.claim.lock, self._path, state, self._kept)
        except OSError as why:
            self.log.critical(
                "the gateway cannot be executed again: {why}", event="renewal.not_executed", why=why.strerror
            )
            service.forget()
