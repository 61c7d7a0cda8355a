"""The health of one slot's child: its events, and the actions that follow."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from twisted.logger import Logger

from mcpgateway.errors import (
    GatewayError,
    HandshakeFailed,
    NeedsApproval,
    NeedsAuthorization,
    NeedsLogin,
    Unreachable,
)
from mcpgateway.hub.health.ping import ChildPings
from mcpgateway.hub.health.running_child import Run
from mcpgateway.hub.health.sleep import ChildSleep
from mcpgateway.hub.health.start_failures import lasts, never_runs
from mcpgateway.hub.health.stuck_calls import StuckWatch
from mcpgateway.hub.health.upkeep import Upkeep
from mcpgateway.interfaces import Gone, Launch
from mcpgateway.policy import backoff
from mcpgateway.policy.health import UP, HealthMachine, HealthState, new_condition
from mcpgateway.policy.readiness import APPROVAL, AUTHORIZATION, login
from mcpgateway.policy.stuck_calls import SILENT
from mcpgateway.protocol.versions import Era

if TYPE_CHECKING:
    from mcpgateway.config.model import ServerSpec
    from mcpgateway.hub.health.observer import HealthEnvironment
    from mcpgateway.hub.health.record import HealthRecord
    from mcpgateway.hub.upstream import Upstream

MISSES_LIMIT = 3
STUCK_TICKS = 60
FETCH_TICKS = 330  # a download before the start has limits of its own, of 300 s at most
PING_FAILED = "MCP ping failed"

_WAITING = frozenset((HealthState.RESTARTING, HealthState.ERROR, HealthState.UNREACHABLE))


class ChildHealth:
    """Watches over one slot's child; a `mcpgateway.hub.health.watch.Watch`.

    :ivar state: the state of the child's health.
    :ivar is_kept: True if the child is to run whether a client uses it or not.
    :ivar is_warming: True if the child is to be prewarmed, and has not been started yet.
    :ivar is_wanted: True if an operator has started the child: a lost one is replaced.
    :ivar retry_at: the tick of the next try; infinite for none.
    """

    log = Logger()

    def __init__(self, slot: Upstream, record: HealthRecord, world: HealthEnvironment) -> None:
        self.slot = slot
        self.record = record
        self.state = HealthState.STOPPED
        self.is_kept = self.is_warming = self.is_wanted = False
        self.retry_at = math.inf
        self._world = world
        self._condition = new_condition(HealthMachine(self))
        self._run: Run | None = None  # of a child that is ready
        self._is_try = False  # this start is the one try that an open breaker allows
        self._is_permanent = False  # a start without a request would only fail again
        self._has_crashed = False
        self._stuck_at = math.inf
        self._started_at = 0
        self._failures = 0
        self._probes = 0
        self._is_to_start = False
        self._is_replaced = False
        self._why_stopped = ""  # preceded by a colon
        self._was_silent = False  # the former child was replaced because it answered no ping

    @property
    def is_used(self) -> bool:
        """True if a lost child is replaced without a request."""
        return self.is_expected or self.slot.is_used

    @property
    def is_expected(self) -> bool:
        """True if the child is to be started though no client uses it."""
        return self.is_kept or self.is_warming or self.is_wanted

    @property
    def ready_at(self) -> int | None:
        """The tick since which the child is ready; None where it is not."""
        return self._run.ready_at if self._run is not None else None

    @property
    def excess(self) -> str:
        """The reason to replace the child as soon as no call is under way; empty where there is none."""
        return self._run.upkeep.excess if self._run is not None else ""

    @property
    def stuck_for(self) -> str:
        """The reason why the child is stuck, where no other may take its place; empty where it is not."""
        return self._run.stuck_for if self._run is not None else ""

    @property
    def sleep(self) -> ChildSleep | None:
        """The sleep of the child that runs; None without one."""
        return self._run.sleep if self._run is not None else None

    @property
    def next_try(self) -> float | None:
        """The tick of the next start without a request; None if none is due."""
        return self.retry_at if self.state in _WAITING and self.is_used and self.retry_at < math.inf else None

    def replace_server(self, server: ServerSpec) -> None:
        """Use a changed entry, for which the child need not be replaced."""
        self.record.replace_server(server)
        self.is_kept = self.is_kept and not server.lazy.enabled
        self.is_warming = self.is_warming and server.lazy.prewarm
        if self.state is HealthState.DEGRADED:
            self.look()  # the address of its health check may be another

    # Events of the slot: a `mcpgateway.hub.health.watch.Watch`

    def refusal(self) -> GatewayError | None:
        """Return the error for which the child may not be started now; None where it may."""
        refusal = self.record.refusal(self._world.now)
        if refusal is None and self.record.needs:
            return self._world.question(self.slot.server)
        return refusal

    def starting(self) -> None:
        """Note the begin of a start."""
        self._is_try = not self.record.breaker.is_closed
        self.record.breaker.began()
        if self._has_crashed:
            self._has_crashed = False
            self.record.restarts += 1
        self._started_at = self._world.now
        self._stuck_at = self._started_at + STUCK_TICKS
        self._condition.started()

    def launching(self, launch: Launch) -> None:
        """Note the launch of the child."""
        self.record.history.launching(launch)

    def ready(self) -> None:
        """Note the end of the handshake: the child is ready."""
        if self.state is not HealthState.STARTING:
            return  # the child is being stopped
        self._is_permanent = self._is_try = self.is_warming = False
        self._probes = 0
        self.record.breaker.ready()
        self.record.last_error, self.record.is_failing, self.record.needs = "", False, ""
        self.record.paused_until = -math.inf
        self._run = self._begun()
        self.record.history.ready(f"it runs{f' (pid {self.slot.pid})' if self.slot.pid else ''}")
        self._condition.ready()
        self.look()

    def _begun(self) -> Run:
        world, now, conversation = self._world, self._world.now, self.slot.speaking
        assert conversation is not None  # the child has just answered the handshake
        pings = ChildPings(conversation, self, world.checks, world.ping_s, world.chance, now)
        upkeep = Upkeep(self.slot, world, now)
        stuck = StuckWatch(conversation, lambda: world.activity(self.slot), now)
        sleep = ChildSleep(self.slot, conversation, self.record, world, now)
        return Run(conversation, now, pings, upkeep, stuck, sleep)

    def failed(self, why: GatewayError) -> None:
        """Note a failed start or handshake."""
        if isinstance(why, NeedsAuthorization | NeedsApproval):
            self._is_refused(why)
            return
        words = why.hint if isinstance(why, HandshakeFailed) else ""
        self.record.history.failed(why, self.record.note(why.message), words)
        self._not_started(why.message, is_unreachable=isinstance(why, Unreachable), is_permanent=lasts(why))

    def ended(self, why: Gone) -> None:
        """Note an unexpected end of the child."""
        if isinstance(why.error, NeedsAuthorization):
            self._run_is_over()
            self._is_refused(why.error)
        elif self.state is HealthState.STARTING:
            what = f"{self.slot.server.name} ended during the handshake ({why})"
            if why.error is not None:
                what = why.error.message
            self.record.history.ended(why, self.record.note(what))
            is_permanent = never_runs(why)
            self._not_started(what, is_unreachable=why.is_unreachable, is_permanent=is_permanent)
        elif self.state in UP:
            self._crashed(why)

    def stopping(self) -> None:
        """Note that the child is being stopped on purpose."""
        self._call_off()
        self._run_is_over()
        self.record.history.add("server.stopped", f"it is stopped{self._why_stopped}")
        if self._is_replaced:
            self._condition.replaced()
            self._stuck_at = self._world.now + STUCK_TICKS
        else:
            self._rest()

    def _call_off(self) -> None:
        # The one try of an open breaker is not used up, since it has shown nothing.
        if self._is_try:
            self._is_try = False
            self.record.breaker.called_off()

    def _rest(self) -> None:
        if self._world.is_known(self.slot):
            self._condition.rested()
        else:
            self._condition.stopped()

    def _is_refused(self, why: GatewayError) -> None:
        # The server's user has to act first, which is no failure of the server's.
        what = why.message
        if isinstance(why, NeedsLogin):
            what = f"{why.plain}: {login(self.slot.server.name)}"
        self.record.history.failed(why, self.record.note(what), "")
        self.record.is_failing = False
        self._is_permanent = True
        self._call_off()
        if isinstance(why, NeedsAuthorization):
            self.record.needs = AUTHORIZATION
            self._condition.unauthorized()
        else:
            self.record.needs = APPROVAL
            self._condition.failed()

    def _not_started(self, why: str, *, is_unreachable: bool, is_permanent: bool) -> None:
        if self.state is not HealthState.STARTING:
            return
        record = self.record
        record.note(why)
        record.is_failing, record.needs = True, ""
        if is_unreachable:
            self._call_off()
            self._condition.lost()
            return
        self._is_permanent = is_permanent
        record.breaker.failed(self._world.now)
        self._is_try = False
        self._condition.failed()
        if not record.breaker.is_closed:
            self._world.opened(record)

    def _crashed(self, why: Gone) -> None:
        record = self.record
        record.history.crashed(why, record.note(f"{self.slot.server.name} has ended: {why}"))
        if why.is_unreachable:
            self._run_is_over()
            self._condition.lost()
            return
        self._is_permanent = never_runs(why)
        self._is_lost()
        if self.is_used:
            self._condition.crashed()
        else:
            self._rest()
        if not record.breaker.is_closed:
            self._world.opened(record)

    def _is_lost(self) -> None:
        was_healthy = self._run is not None and (self._run.is_healthy or self._run.has_answered)
        self._run_is_over()
        self._has_crashed = True
        self.record.last_crash = self._world.wall()
        self.record.breaker.ended(self._world.now, was_healthy=was_healthy)

    def _run_is_over(self) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.give_up_pings()
            self.record.run_s += self._world.now - run.ready_at
        self._stuck_at = math.inf

    # Actions of the state machine: `mcpgateway.policy.health.HealthActions`

    def became(self, state: HealthState) -> None:
        """Note the new state."""
        former, self.state = self.state, state
        self.log.debug(
            "{server} is now {state}, it was {former}",
            event="server.state",
            server=self.slot.server.name,
            state=state.value,
            former=former.value,
            cause=self.record.last_error if state not in UP else "",
        )
        if state not in _WAITING:
            self.retry_at = math.inf
        if state is not HealthState.STARTING:
            self._stuck_at = math.inf
        if state in UP and former in UP:
            why = self.record.last_error or "it answers again"
            self.log.info(
                "{server} is {state}: {why}",
                event="server.condition",
                server=self.slot.server.name,
                state=state.value,
                why=why,
            )
            self.record.history.add("server.condition", f"it is {state.value}: {why}")

    def wait(self) -> None:
        """Schedule the next start, unless it would only fail again."""
        self.retry_at = math.inf
        if self._is_permanent and (self.record.needs or not self.is_expected):
            return
        wait_s = backoff.delay_s(self._failures, self._world.chance())
        self.retry_at = self.record.paused_until = self._world.now + wait_s
        self._failures += 1
        self.record.history.add("server.restarting", "it is started again after a while, or by the next call")
        if self.is_used:
            self.log.info(
                "{server} is started again in {wait:.0f} s, or by the next call",
                event="server.restarting",
                server=self.slot.server.name,
                wait=wait_s,
            )

    def probe(self) -> None:
        """Schedule the next look at the server's address."""
        self.retry_at = self._world.now + backoff.probe_delay_s(self._probes)
        self._probes += 1
        self.record.history.add("server.unreachable", "its address is looked at now and then")

    def start(self) -> None:
        """Have the child started as soon as the machine is done, since the machine defers events meanwhile."""
        self._is_to_start = True

    # Time

    def tick(self, now: int) -> None:
        """Advance by one second."""
        if now >= self.retry_at:
            self._try_again()
        if now >= self._stuck_at:
            self._is_stuck(now)
        if self._run is not None:
            self._look_after(self._run, now)

    def _try_again(self) -> None:
        if self.state is HealthState.UNREACHABLE:
            self.probe()
            if self.is_used:
                self._world.dial(self.slot.server, self.dialled)
            return
        self.retry_at = math.inf
        if not self.is_used:
            if self.state is HealthState.RESTARTING:
                self._rest()
        elif self.refusal() is not None:
            self.wait()
        else:
            self._retry()

    def dialled(self, answers: bool) -> None:  # noqa: FBT001 - a callback
        """Take the result of a look at the server's address."""
        if answers and self.state is HealthState.UNREACHABLE and self.refusal() is None:
            self._retry()

    def _retry(self) -> None:
        self._condition.retry()
        if self._is_to_start:
            self._is_to_start = False
            self._stuck_at = self._world.now + STUCK_TICKS
            self.begin()

    def begin(self) -> None:
        """Start the child without a request."""
        if self.is_expected:
            self._world.warm(self.slot)
        else:
            self.slot.want()

    def _is_stuck(self, now: int) -> None:
        speaking = self.slot.speaking
        if self.state is HealthState.STARTING and (speaking is None or speaking.backend is not None):
            self._stuck_at = now + STUCK_TICKS  # waiting, or the handshake has its own limit
            return
        if self.state is HealthState.STARTING and now - self._started_at < FETCH_TICKS:
            self._stuck_at = self._started_at + FETCH_TICKS
            return
        self._stuck_at = math.inf
        what = f"stuck in {self.state.value} state"
        self.record.history.add("server.stuck", self.record.note(what))
        if self.state is HealthState.RESTARTING:  # else the slot reports the failure
            self._condition.stuck()
        self.slot.abandon(HandshakeFailed(f"{self.slot.server.name}: {what}"))

    def _look_after(self, run: Run, now: int) -> None:
        run.tick(now, self._world.ping_s)
        if run.becomes_healthy(now):
            self.record.breaker.healthy()
        if now - run.ready_at >= backoff.STEADY_S:
            self._failures = 0
        self._look_for_life(run, now)
        stop = run.upkeep.look(now, is_kept=self.is_kept) if run is self._run else None
        if stop is not None:
            self.stop(stop.why, again=stop.again and self.is_used)

    def _look_for_life(self, run: Run, now: int) -> None:
        fault = run.fault(now, self._world.stuck_s, has_work=self.slot.has_work())
        if not fault:
            if run.stuck_for:
                run.stuck_for = ""
                self.look()
        elif not self._world.may_double(self.slot):
            if run.stuck_for != fault:
                run.stuck_for = fault
                self._say_stuck(fault, "restart it, since it may have one process only")
                self.look()
        elif fault is SILENT and not self._is_worth_a_try():
            self._give_up_pings(run)
        else:
            self._replace(fault)

    def _is_worth_a_try(self) -> bool:
        # See `missed`: a server that has never answered a ping may not support it.
        if self.record.has_ponged or self.slot.era is Era.MODERN:
            return True
        was_silent, self._was_silent = self._was_silent, True
        return not (was_silent or self.record.knows_no_ping)

    def _replace(self, fault: str) -> None:
        """Let another child take new calls; the stuck one keeps those it has."""
        self._say_stuck(fault, "new calls go to another process")
        self._is_lost()
        self._condition.replaced()
        self._stuck_at = self._world.now + STUCK_TICKS
        self.slot.retire(fault)
        if not self.record.breaker.is_closed:
            self._world.opened(self.record)
        elif self.is_used:
            self.slot.want()
        elif not self.slot.is_up:
            self._rest()

    def _say_stuck(self, fault: str, what: str) -> None:
        slot = self.slot
        self.record.history.add("server.stuck", self.record.note(f"it is stuck: {fault}; {what}"))
        self.log.warn(
            "{server} (pid {pid}) is stuck with {calls} calls under way: {why}; {what}",
            event="server.stuck",
            server=slot.server.name,
            pid=slot.pid,
            calls=len(slot.calls()),
            why=fault,
            what=what,
        )

    def stop(self, why: str, *, again: bool) -> None:
        """Stop the child, and start another one in its place where ``again`` says so."""
        self.log.info(
            "{server} is stopped: {why}", event="server.stopped", server=self.slot.server.name, why=why
        )
        self._is_replaced, self._why_stopped = again, f": {why}"
        self.slot.close()
        self._is_replaced, self._why_stopped = False, ""
        if again:
            self.slot.want()

    # Operators

    def forgive(self) -> None:
        """Forget former failures, so that the next start counts as the first."""
        self._has_crashed = False
        self._failures = self._probes = 0

    def authorized(self) -> None:
        """Note that the user has signed in: replace a child that was started before, or start one that is needed."""
        self.record.needs, self.record.last_error = "", ""
        if self._run is not None:
            self._run.upkeep.replace("its user has signed in")
            self._look_after(self._run, self._world.now)
        if self.state is HealthState.NEEDS_LOGIN:
            self._condition.authorized()
            if self.is_used and self.refusal() is None:
                self.slot.want()

    def put_off(self) -> None:
        """Start nothing without a request any more."""
        self.is_warming = self.is_wanted = False
        if self.state in _WAITING:
            self._rest()

    # Pings: a `mcpgateway.hub.health.ping.Checked`

    def is_busy(self) -> bool:
        """True if calls are under way."""
        return self.slot.has_calls()

    def felt(self, *, by_ping: bool) -> None:
        """Note an answer to a ping, or to another request meanwhile."""
        self.record.has_ponged = self.record.has_ponged or by_ping
        self.look()

    def missed(self) -> None:
        """Note a missed ping: after `MISSES_LIMIT` in a row the child is given up, or the pings are."""
        run = self._run
        if run is None:
            return
        if run.misses < MISSES_LIMIT:
            self.look()
        elif self._is_worth_a_try():
            run.conversation.give_up(f"it did not answer {MISSES_LIMIT} pings in a row")
        else:
            self._give_up_pings(run)

    def _give_up_pings(self, run: Run) -> None:
        # The child before answered none either, so the server perhaps does not support pings.
        self.record.knows_no_ping = True
        run.give_up_pings()
        self.log.warn(
            "{server} has never answered a ping and gets no more pings",
            event="ping.given_up",
            server=self.slot.server.name,
        )
        self.look()

    def look(self) -> None:
        """Update the state by pings, by the service's health check, and by signs that the child is stuck."""
        run = self._run
        if run is not None and run.stuck_for:
            self.record.note(f"it is stuck: {run.stuck_for}")
            self._condition.faltered()
        elif run is not None and run.misses:
            self.record.note(PING_FAILED)
            self._condition.faltered()
        elif self.record.service_fault:
            self.record.note(self.record.service_fault)
            self._condition.faltered()
        else:
            if self.state is HealthState.DEGRADED:
                self.record.last_error = ""
            self._condition.recovered()

    def switched_off(self) -> None:
        """Note that the child may not be started any more."""
        self._condition.disabled()

    def switched_on(self) -> None:
        """Note that the child may be started again."""
        self._condition.enabled()
