"""Operations on servers: start, stop, restart, enable and disable them, and reset their failures.

# Note [What a start is]
A server is started by a short session of the gateway's own, which lists its tools, so that they can be found from then
on. A server with a child for each session is started, listed and stopped again: that child would serve no client.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet import defer
from twisted.internet.defer import Deferred, DeferredList, ensureDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.errors import BackendTimeout, Conflict, GatewayError
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.hub.health.health import Health
from mcpgateway.manage.discovery import OURSELVES
from mcpgateway.manage.internal_client import InternalClient
from mcpgateway.observe.roster import named
from mcpgateway.waiting import Waiting

START_S = 300.0  # most of it is for a package that has to be downloaded first


class ServerOperations:
    """Operates servers, by their names."""

    log = Logger()

    def __init__(self, dispatcher: LegacyDispatcher, health: Health, clock: IReactorTime) -> None:
        self._dispatcher = dispatcher
        self._health = health
        self._clock = clock
        self._starting: dict[str, Waiting[None]] = {}

    def start(self, name: str, *, stays: bool = False) -> Deferred[None]:
        """Start a server; fires when it runs.

        :param stays: restart the server when it ends, until it is stopped.
        :raise UnknownServer: no server has that name.
        :raise Conflict: it may not be started; the hint has the advice.
        :raise GatewayError: (through the Deferred) it could not be started.
        """
        server = self._startable(name)
        waiting = self._starting.setdefault(name, Waiting())
        done = waiting.wait()
        if stays:
            done.addCallback(lambda _: self.keep_up(name))
        if len(waiting) == 1:
            work = ensureDeferred(self._meet(server, waiting)).addTimeout(START_S, self._clock)
            work.addErrback(self._not_met, name, waiting)
        return done

    def keep_up(self, name: str) -> None:
        """Restart the children of a server when they end, until it is stopped.

        :raise UnknownServer: no server has that name.
        """
        for each in self._health.instances(name):
            each.is_wanted = each.slot.is_up

    def start_all(self) -> tuple[str, ...]:
        """Start every server that clients share and that may be started; return their names."""
        pool = self._dispatcher.pool
        shared = [each for each in self._servers() if pool.scope(each) is Share.GLOBAL]
        wanted = [each.name for each in shared if self._health.refusal(each) is None]
        for each in wanted:
            self.start(each).addErrback(_passed_over)
        return tuple(wanted)

    def begin(self, name: str, limit_s: float = 0.0) -> Deferred[None]:
        """Start a server; fires when it has started or failed, or after ``limit_s``; never fails.

        :raise UnknownServer: no server has that name.
        :raise Conflict: it may not be started; the hint has the advice.
        """
        return self._waited(self.start(name), limit_s)

    def stop(self, name: str) -> Deferred[None]:
        """Stop the children of a server; the next request to it starts it again. Fires when none of them runs.

        :raise UnknownServer: no server has that name.
        """
        named(self._dispatcher.servers, name)
        running = []
        for each in self._health.instances(name):
            each.put_off()
            if each.slot.has_children:
                running.append(each.slot.close())
        if running:
            self.log.info(
                "{server} is stopped: {why}",
                event="server.stopped",
                server=name,
                why="an operator wants it to be",
            )
        return DeferredList(running, consumeErrors=True).addCallback(_nothing)

    def stop_all(self) -> Deferred[tuple[str, ...]]:
        """Stop every server; fires with the names of those that ran, when none of their children runs."""
        running = [each.name for each in self._servers() if self._is_up(each)]
        stopped = DeferredList([self.stop(each.name) for each in self._servers()], consumeErrors=True)
        return stopped.addCallback(lambda _: tuple(running))

    def restart(self, name: str, limit_s: float = 0.0) -> Deferred[None]:
        """Replace the children of a server by new ones, or start it if it does not run; fires as `begin` does.

        :raise UnknownServer: no server has that name.
        :raise Conflict: it may not be started; the hint has the advice.
        """
        server = self._startable(name)
        running = [each for each in self._health.instances(name) if each.slot.has_children]
        for each in running:
            each.stop("an operator wants another", again=True)
        if running and self._dispatcher.pool.scope(server) is not Share.GLOBAL:
            anew = [each.slot.greet() for each in running]
            done = DeferredList(anew, consumeErrors=True).addCallback(_nothing)
            return self._waited(done, limit_s)
        return self.begin(name, limit_s)

    def reset_circuit(self, name: str, *, has_passed: bool = False) -> None:
        """Reset the circuit breaker of a server.

        :param has_passed: a test of the server has passed, so that its last fault is forgotten, too.
        :raise UnknownServer: no server has that name.
        """
        named(self._dispatcher.servers, name)
        self._health.reset(name, has_passed=has_passed)

    def switch(self, name: str, *, on: bool) -> None:
        """Switch a server on or off until the gateway ends, regardless of its entry.

        :raise UnknownServer: no server has that name.
        """
        named(self._dispatcher.servers, name)
        if on:
            self._health.enable(name)
        else:
            self._health.disable(name)

    def follow(self, name: str) -> None:
        """Switch a server on or off by its entry from now on.

        :raise UnknownServer: no server has that name.
        """
        self._health.follow(name)

    def _servers(self) -> Iterable[ServerSpec]:
        return list(self._dispatcher.servers.values())

    def _startable(self, name: str) -> ServerSpec:
        server = named(self._dispatcher.servers, name)
        refusal = self._health.refusal(server)
        if refusal is not None:
            raise Conflict(refusal.message, refusal.hint)
        return server

    def _is_up(self, server: ServerSpec) -> bool:
        return any(each.slot.is_up for each in self._health.instances(server.name))

    async def _meet(self, server: ServerSpec, waiting: Waiting[None]) -> None:
        visit = await InternalClient.begin(self._dispatcher, server, OURSELVES)
        try:
            if visit.session.slot is not None:
                await visit.session.slot.greet()  # its recorded lists need no child
            self._wake(server.name, waiting, None)
            if visit.offers("tools"):
                await visit.list("tools/list", "tools")
        finally:
            visit.end("its server has been started")

    def _not_met(self, why: Failure, name: str, waiting: Waiting[None]) -> None:
        if why.check(defer.TimeoutError):
            why = Failure(BackendTimeout(f"{name} has not started within {START_S:g} s"))
        elif not why.check(GatewayError):
            self.log.failure("the start of a server broke", why, event="server.start_broken")
            why = Failure(GatewayError("Something went wrong in the gateway; its log says what."))
        if not waiting:
            self.log.info(
                "{server} runs, but has not listed its tools: {why}",
                event="server.unlisted",
                server=name,
                why=str(why.value),
            )
        self._wake(name, waiting, why)

    def _wake(self, name: str, waiting: Waiting[None], why: Failure | None) -> None:
        if self._starting.get(name) is waiting:
            del self._starting[name]
        waiting.over(why)

    def _waited(self, work: Deferred[None], limit_s: float) -> Deferred[None]:
        work.addErrback(_passed_over)
        if limit_s <= 0:
            return succeed(None)
        return work.addTimeout(limit_s, self._clock).addErrback(_no_more_time)


def _passed_over(why: Failure) -> None:
    why.trap(GatewayError)  # the log and the server's state have it


def _no_more_time(why: Failure) -> None:
    why.trap(defer.TimeoutError, defer.CancelledError)


def _nothing(_: object) -> None:
    return None
