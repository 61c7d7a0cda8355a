"""The health of all servers: permission to start, checks, and the state that is shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.config.diff import runs_alike
from mcpgateway.config.gateway_settings import GatewaySettings
from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.config.reach_settings import Daemon, Remote
from mcpgateway.errors import (
    GatewayError,
    HandshakeFailed,
    HandshakeRefused,
    NeedsLogin,
    SwitchedOff,
    UnknownServer,
    of_server,
)
from mcpgateway.hints import cli
from mcpgateway.hub.health.former_failures import KeptFailure, restore
from mcpgateway.hub.health.governor import MemoryGovernor
from mcpgateway.hub.health.history import Histories
from mcpgateway.hub.health.instance import ChildHealth
from mcpgateway.hub.health.instruments import Instruments
from mcpgateway.hub.health.long_calls import LOOK_TICKS, SHOWN, LongCalls, long_calls
from mcpgateway.hub.health.ping import Checks
from mcpgateway.hub.health.record import HealthRecord, numbers
from mcpgateway.hub.health.sleep import shown_sleep, shown_state
from mcpgateway.policy.breaker import Breaker
from mcpgateway.policy.eras import EraPath
from mcpgateway.policy.health import UP, HealthState, worst
from mcpgateway.policy.idling import OwnWork
from mcpgateway.policy.readiness import AUTHORIZATION
from mcpgateway.policy.sharing import Variant, scope_of, values_of
from mcpgateway.policy.stuck_calls import ProcessActivity
from mcpgateway.protocol.versions import Era
from mcpgateway.units import duration

if TYPE_CHECKING:
    from mcpgateway.hub.dispatch import LegacyDispatcher
    from mcpgateway.hub.upstream import Upstream

WEIGH_TICKS = 10
SHORT_TICKS = 5  # between two looks at how short memory is
OK = range(200, 300)
SERVICE_FAILED = "REST health check failed"


def _unheard() -> None:
    """Ignore the call."""


def _in_bounds(_: str) -> str:
    return ""


class Health:
    """Watches over the children of all slots; a `mcpgateway.hub.health.observer.Monitor`.

    :ivar now: the gateway's age in ticks.
    :ivar ping_s: seconds between two pings; 0 for none.
    :ivar stuck_s: seconds without output after which a child with open calls is stuck; 0: never.
    :ivar sleep: the settings of idle children.
    :ivar shortage: the shortage of memory, in words; empty while there is enough.
    :ivar checks: the checks under way.
    :ivar histories: the latest events of all servers.
    :ivar on_switch: called when an operator has switched a server on or off.
    :ivar too_long: describes which of a server's lists exceed the limit (`mcpgateway.hub.catalog.list_limit`).
    """

    log = Logger()

    def __init__(self, gateway: GatewaySettings, instruments: Instruments, wall: Callable[[], float]) -> None:
        self.now = 0
        self.ping_s = gateway.ping_s
        self.stuck_s = gateway.limits.stuck_s
        self.sleep, self.shortage = gateway.sleep, ""
        self._looked_at_work = 0  # the last tick at which the work of a child's own was looked at
        self.checks = Checks()
        self.wall = wall
        self.chance = instruments.chance
        self.histories = Histories(wall)
        self._governor = MemoryGovernor(instruments.pressure, instruments.weigh, self._keeps_nothing)
        self._long_calls = LongCalls(self.histories)
        self.on_switch: Callable[[], None] = _unheard
        self.too_long: Callable[[str], str] = _in_bounds
        self._circuit = gateway.circuit
        self._instruments = instruments
        self._records: dict[Variant, HealthRecord] = {}
        self._of_name: dict[str, dict[Variant, HealthRecord]] = {}  # the same, by server
        self._switches: dict[str, bool] = {}  # the decisions of operators, by server
        self._open: set[HealthRecord] = set()
        self._former: dict[str, KeptFailure] | None = None  # None: not read yet
        self._sizes: Mapping[int, int] = {}
        self._dispatcher: LegacyDispatcher | None = None

    def attend(self, dispatcher: LegacyDispatcher) -> None:
        """Watch over the servers of this dispatcher."""
        self._dispatcher = dispatcher

    def configure(self, gateway: GatewaySettings) -> None:
        """Use changed settings for pings, stuck and idle children, and circuits."""
        self.ping_s, self.stuck_s, self.sleep = gateway.ping_s, gateway.limits.stuck_s, gateway.sleep
        if gateway.circuit != self._circuit:
            self._circuit = gateway.circuit
            for record in self._records.values():
                record.breaker.configure(gateway.circuit, self.now)

    # Watching: a `mcpgateway.hub.health.observer.Monitor`

    def watch(self, slot: Upstream) -> ChildHealth:
        """Make the watch of a new slot's child."""
        return ChildHealth(slot, self.record(slot.server), self)

    def refusal(self, server: ServerSpec) -> SwitchedOff | None:
        """Return the error for which a server may not be started for a probe now; None where it may."""
        return self.record(server).refusal(self.now)

    def pause(self, server: ServerSpec) -> HandshakeFailed | None:
        """Return the last failure of a server while its pause lasts; None where a probe may start it."""
        record = self.record(server)
        left = record.paused_until - self.now
        if left <= 0 or any(
            each.state in UP or each.state is HealthState.STARTING for each in self._of(record)
        ):
            return None
        wait = duration(math.ceil(left))
        hint = f"it is tried again in {wait}; {cli('servers restart {}', server.name)} starts it now"
        return HandshakeFailed(record.last_fault, hint)

    def question(self, server: ServerSpec) -> NeedsLogin | None:
        """Return the sign-in that a server needs of its user before a start; None where it needs none."""
        asked = self._instruments.question(server)
        return (
            NeedsLogin(of_server(server.name, asked.message), asked.hint, asked.data)
            if asked is not None
            else None
        )

    def record(self, server: ServerSpec) -> HealthRecord:
        """Return the chart of a server; a new one if its entry has changed so that its children had to be replaced."""
        key = _key(server)
        found = self._records.get(key)
        if found is not None and found.server is server:
            return found
        if found is not None and runs_alike(found.server, server):
            found.replace_server(server)
        else:
            found = self._records[key] = HealthRecord(
                server, Breaker(self._circuit), self.histories.of(server.name), not self.is_on(server)
            )
            self._of_name.setdefault(server.name, {})[key] = found
        return found

    # Operators

    def is_on(self, server: ServerSpec) -> bool:
        """True if a server is switched on: by an operator's decision, else by its entry."""
        return self._switches.get(server.name, server.enabled)

    def reset(self, name: str, *, has_passed: bool = False) -> None:
        """Reset the circuit of a server, and start its child where a client uses it.

        :param has_passed: a test of the server has passed, so that its last fault is forgotten, too.
        :raise UnknownServer: there is none of that name.
        """
        records = self._named(name)
        self.histories.of(name).reset()
        if has_passed:
            self.histories.of(name).passed()
        for record in records:
            record.reset()
            if has_passed:
                record.last_error = record.last_fault = record.service_fault = ""
            for each in self._of(record):
                each.forgive()
                if has_passed and not each.is_used:
                    each.put_off()
            self._on_again(record)

    def disable(self, name: str) -> None:
        """Switch a server off: its children are stopped, and calls are refused.

        :raise UnknownServer: there is none of that name.
        """
        self._named(name)
        self._switches[name] = False
        self._switch(name, is_on=False)

    def enable(self, name: str) -> None:
        """Switch a server on, and reset its circuit.

        :raise UnknownServer: there is none of that name.
        """
        self._named(name)
        self._switches[name] = True
        self._switch(name, is_on=True)

    def follow(self, name: str) -> None:
        """Let a server be on or off as its entry defines, and forget the decision of operators.

        :raise UnknownServer: there is none of that name.
        """
        records = self._named(name)
        was_on = self._switches.pop(name, None)
        is_on = all(each.server.enabled for each in records)
        if was_on is not None and was_on is not is_on:
            self._switch(name, is_on=is_on)

    def _switch(self, name: str, *, is_on: bool) -> None:
        self._set(name, is_on=is_on)
        self.on_switch()

    def _set(self, name: str, *, is_on: bool) -> None:
        records = self._named(name)
        if is_on:
            self.log.info("{server} is switched on", event="server.enabled", server=name)
            self.histories.of(name).add("server.enabled", "an operator switches it on")
            for record in records:
                record.is_off = False
            self.reset(name)
            return
        self.log.info("{server} is switched off", event="server.disabled", server=name)
        self.histories.of(name).add("server.disabled", "an operator switches it off")
        for record in records:
            record.is_off = True
            for each in self._of(record):
                if each.slot.has_children:
                    each.slot.close()
                each.switched_off()

    # Signing in (`mcpgateway.backends.oauth.flow.AccountListener`)

    def wanted(self, server: str, owner: str) -> None:
        """Note that an owner has to sign in at a server; a child that runs goes on with requests that need no user."""
        for record in self._known(server, owner):
            record.needs = AUTHORIZATION
            self.histories.of(server).add("server.needs_login", f"it wants {owner or 'its user'} to sign in")

    def granted(self, server: str, owner: str) -> None:
        """Note that an owner has signed in at a server."""
        for record in self._known(server, owner):
            record.needs = ""
            self.histories.of(server).signed_in(f"{owner or 'its user'} has signed in")
            for each in self._of(record):
                each.authorized()

    def sign_out(self, server: str, owner: str) -> Deferred[Any]:
        """End the children that run with an owner's sign-in, which is given up.

        :return: fires when all of them have ended.
        """
        closing = []
        for record in self._known(server, owner):
            record.needs = ""
            self.histories.of(server).add("server.signed_out", f"{owner or 'its user'} signs out")
            closing += [each.slot.close() for each in self._of(record) if each.slot.is_up]
        return DeferredList(closing, consumeErrors=True)

    def _known(self, name: str, owner: str) -> list[HealthRecord]:
        return [
            each
            for each in self._records.values()
            if (each.server.name, each.server.principal) == (name, owner)
        ]

    def instances(self, name: str) -> list[ChildHealth]:
        """Return the instances of a server.

        :raise UnknownServer: there is none of that name.
        """
        return [each for record in self._named(name) for each in self._of(record)]

    def _named(self, name: str) -> list[HealthRecord]:
        server = self._dispatcher.servers.get(name) if self._dispatcher is not None else None
        if server is None:
            raise UnknownServer(f"Unknown server: {name}")
        return self._charts_of(server)

    def _charts_of(self, server: ServerSpec) -> list[HealthRecord]:
        known = self._records.get(_key(server))
        if known is None or not self._of(known):
            self.record(server)  # a former entry's failures do not count for this one
        return list(self._of_name.get(server.name, {}).values())

    def _on_again(self, record: HealthRecord) -> None:
        self._open.discard(record)
        for each in self._of(record):
            each.switched_on()
            if each.is_used and not each.slot.is_up and each.refusal() is None:
                each.begin()

    # The start

    def begin(self, servers: Iterable[ServerSpec]) -> None:
        """Start the children of those servers that are not lazy, or are to be prewarmed."""
        if self._former is None:
            self._former = self._instruments.former.read() if self._instruments.former is not None else {}
        for server in servers:
            lazy = server.lazy
            kept = self._former.pop(server.name, None)
            if kept is not None:
                restore(kept, self.record(server))
            if server.enabled and (lazy.prewarm or not lazy.enabled):
                self._warm(server, is_kept=not lazy.enabled)

    def _warm(self, server: ServerSpec, *, is_kept: bool, era: Era | None = None) -> None:
        view_sessions = self._dispatcher
        if view_sessions is None or _is_of_one(server):
            return  # a child of one client starts with its client
        path = view_sessions.eras.path(server, Era.LEGACY)
        era = era or (Era.MODERN if path in (EraPath.BRIDGED, EraPath.REFUSED) else Era.LEGACY)
        slot = view_sessions.pool.shared(server, era)
        for each in _watching([slot]):
            each.is_kept, each.is_warming = is_kept, not is_kept
        self.warm(slot)

    def warm(self, slot: Upstream) -> None:
        """Start a slot's child before any request; in the modern era where the server turns out to speak only that."""
        slot.greet().addErrback(self._not_warm, slot)

    def _not_warm(self, why: Failure, slot: Upstream) -> None:
        why.trap(GatewayError)
        view_sessions, server = self._dispatcher, slot.server
        if view_sessions is None or why.check(HandshakeRefused) is None or server.protocol is not None:
            return
        if slot.era is Era.MODERN:
            return
        found = view_sessions.eras.find_out(server, Era.MODERN)
        found.addCallback(lambda _: self._other_era(slot)).addErrback(_let_go)

    def _other_era(self, slot: Upstream) -> None:
        view_sessions = self._dispatcher
        if view_sessions is not None and view_sessions.eras.known(slot.server).modern:
            for each in _watching([slot]):
                each.is_kept = each.is_warming = False
            self._warm(slot.server, is_kept=not slot.server.lazy.enabled, era=Era.MODERN)

    # Time

    def tick(self) -> None:
        """Advance by one second: run the checks that are due."""
        self.now += 1
        if self._dispatcher is None:
            return
        looks = {self._weigh: WEIGH_TICKS, self._relieve: SHORT_TICKS, self._find_long: LOOK_TICKS}
        for look, ticks in looks.items():
            if self.now % ticks == 0:
                self._guarded(look)
        if self.histories.is_changed:
            self._guarded(self.keep_failures)
        instances = self._instances()
        first = self.now % len(instances) if instances else 0  # of `own_work` each gets its turn
        for each in instances[first:] + instances[:first]:
            self._guarded(each.tick, self.now)
        for record in list(self._open):
            if record.breaker.allows(self.now):
                self._guarded(self._half_open, record)
        for record in self._records.values():
            if record.server.health_url and self.now - record.checked_at >= self.ping_s:
                self._guarded(self._check, record)

    def _guarded(self, look: Callable[..., None], *what: Any) -> None:
        # An exception at one server must not keep the others from being looked after.
        try:
            look(*what)
        except Exception:  # noqa: BLE001 - the one catch-all of this path
            self.log.failure("a look at a server's health broke", event="health.broken")

    def keep_failures(self) -> None:
        """Write the last failures of servers for the next run of the gateway, if they have changed."""
        former = self._instruments.former
        if former is None or self._dispatcher is None:
            self.histories.is_changed = False
            return
        servers = self._dispatcher.servers
        known = [each for each in self._records.values() if each.server.name in servers]
        self.histories.is_changed = not former.keep(known)

    def _weigh(self) -> None:
        slots = [each.slot for each in self._instances()]
        pids = {slot.pid for slot in slots if slot.server.lazy.ram_bytes and slot.pid}
        self._sizes = self._instruments.weigh(pids) if pids else {}

    def _relieve(self) -> None:
        self._governor.look(self, self._instances(), self.now)

    def _find_long(self) -> None:
        self._long_calls.look(list(self._dispatcher.pool if self._dispatcher is not None else ()))

    def _keeps_nothing(self, slot: Upstream) -> bool:
        pool = self._dispatcher.pool if self._dispatcher is not None else None
        return pool is not None and slot.shared and self.is_known(slot) and pool.keeps_nothing(slot.server)

    def _half_open(self, record: HealthRecord) -> None:
        self.log.info("{server} may be tried once more", event="server.half_open", server=record.server.name)
        record.history.add("server.half_open", "it may be tried once more")
        self._on_again(record)

    def _check(self, record: HealthRecord) -> None:
        if record.is_checking or not self.checks.free or not self.ping_s:
            return
        record.checked_at = self.now
        if not any(each.state in UP for each in self._of(record)):
            return
        record.is_checking = True
        done: Deferred[None] = Deferred()
        self.checks.under(done)
        asked: Deferred[bool] = self._instruments.fetch(record.server.health_url).addCallbacks(
            lambda status: status in OK, _not_well
        )
        asked.addCallback(self._checked, record).addErrback(self._broken).addBoth(done.callback)

    def _checked(self, is_well: bool, record: HealthRecord) -> None:  # noqa: FBT001 - a callback
        record.is_checking = False
        record.service_fault = "" if is_well else SERVICE_FAILED
        for each in self._of(record):
            if each.state in UP:
                each.look()

    def _broken(self, why: Failure) -> None:
        self.log.failure("a check of a server's health broke", why, event="health.check_broken")

    def _of(self, record: HealthRecord) -> list[ChildHealth]:
        return [each for each in self._instances() if each.record is record]

    def _instances(self) -> list[ChildHealth]:
        return _watching(self._dispatcher.pool if self._dispatcher is not None else ())

    # The environment of instances: a `mcpgateway.hub.health.observer.HealthEnvironment`

    def has_calls(self, slot: Upstream) -> bool:
        """True if a request that needs a slot's child is under way, at the child or in the bridge."""
        if slot.calls():
            return True
        view_sessions = self._dispatcher
        return view_sessions is not None and any(
            session.slot is slot for session in view_sessions.calls.bridged()
        )

    def is_known(self, slot: Upstream) -> bool:
        """True if the catalog of a slot's server is known without a child."""
        return self._instruments.is_known(slot.server)

    def resident(self, pid: int) -> int:
        """Return the resident bytes of a child's whole process tree, as last measured; 0 where it was not."""
        return self._sizes.get(pid, 0)

    def activity(self, slot: Upstream) -> ProcessActivity | None:
        """Return the activity of a child's process tree; None where it is not the gateway's, or runs in a container."""
        is_seen = slot.pid and isinstance(slot.server.reach, Daemon | None)
        return self._instruments.activity(slot.pid) if is_seen and slot.pid else None

    def own_work(self, pid: int) -> OwnWork | None:
        """Return the signs that a child works without a request; None in a tick in which another was looked at."""
        if self._looked_at_work == self.now:
            return None  # the table of all processes takes milliseconds
        self._looked_at_work = self.now
        return self._instruments.own_work(pid)

    def may_double(self, slot: Upstream) -> bool:
        """True if a slot may have a second child beside the one that runs."""
        view_sessions, server = self._dispatcher, slot.server
        has_room = not isinstance(server.reach, Daemon)  # only one process can listen on the port
        return has_room and view_sessions is not None and not view_sessions.pool.is_single(server)

    def opened(self, record: HealthRecord) -> None:
        """Note that a server's circuit has opened: it is given up, and its waiting instances are switched off."""
        if record not in self._open:
            self._open.add(record)
            self.log.error(
                "the gateway gives {server} up: {why}; the last failure: {last}",
                event="server.given_up",
                server=record.server.name,
                why=record.breaker.why,
                last=record.last_fault,
            )
            record.history.add("server.given_up", f"it is given up: {record.breaker.why}")
        for each in self._of(record):
            if each.state not in UP and each.state is not HealthState.STARTING:
                each.switched_off()

    def dial(self, server: ServerSpec, dialled: Callable[[bool], None]) -> None:
        """Try to connect to the address of a server, and call back with the result; True at once where it has none."""
        if not isinstance(server.reach, Remote | Daemon):
            dialled(True)
            return
        tried: Deferred[bool] = self._instruments.dial(server.reach.url).addCallbacks(
            lambda _: True, _not_well
        )
        done: Deferred[None] = Deferred()
        self.checks.under(done)
        tried.addCallback(dialled)
        tried.addErrback(self._broken).addBoth(done.callback)

    # State

    def known(self, server: ServerSpec) -> list[HealthRecord]:
        """Return the charts of a server, one for each workspace and set of credentials."""
        return self._charts_of(server)

    def runs(self, slots: Collection[Upstream]) -> bool:
        """True if a child behind these slots is ready for calls."""
        return any(each.state in UP for each in _watching(slots))

    def shown(self, server: ServerSpec, slots: Collection[Upstream]) -> dict[str, Any]:
        """Return a server's health for the REST API, without values that its entry keeps secret."""
        now, watching, records = self.now, _watching(slots), self._charts_of(server)
        history = self.histories.find(server.name)
        running = [now - each.ready_at for each in watching if each.ready_at is not None]
        tries = [each.next_try for each in watching if each.next_try is not None]
        tries += [each.breaker.opens_at for each in records if each.breaker.opens_at is not None]
        return {
            "status": self.state(server, watching, records).value,
            **numbers(records, sum(running)),
            "uptime_seconds": max(running, default=0),
            "crashes_1h": len(history.crashes()) if history is not None else 0,
            "next_try_s": max(0, round(min(tries) - now)) if tries else None,
            "excess": next((each.excess for each in watching if each.excess), ""),
            **shown_sleep([each.sleep for each in watching if each.sleep is not None]),
            "stuck": next((each.stuck_for for each in watching if each.stuck_for), ""),
            "retired": [each.shown(self.wall()) for slot in slots for each in slot.retired or ()],
            "too_long": self.too_long(server.name),
            "long_calls": [each.shown() for each in long_calls(slots)[:SHOWN]],
        }

    @property
    def records(self) -> Collection[HealthRecord]:
        """All charts: one for each server, workspace and set of credentials."""
        return self._records.values()

    def watching(self, slots: Iterable[Upstream]) -> list[ChildHealth]:
        """Return the instances of some slots."""
        return _watching(slots)

    def state(
        self, server: ServerSpec, watching: list[ChildHealth], records: list[HealthRecord]
    ) -> HealthState:
        """Return the state of a server: the worst state of its instances that are used."""
        if any(each.is_disabled(self.now) for each in records if each.server.enabled == server.enabled):
            return HealthState.DISABLED
        # A sign-in that another principal needs does not change the state for this one.
        records = [each for each in records if each.server.principal == server.principal or not each.needs]
        state = self._of_instances(
            [each for each in watching if each.state is not HealthState.NEEDS_LOGIN or each.record in records]
        )
        if any(each.needs == AUTHORIZATION for each in records):
            # The state shows the needed sign-in, though a child that runs may go on with requests that need no user.
            return (
                HealthState.NEEDS_LOGIN
                if state is None or state in UP
                else worst((state, HealthState.NEEDS_LOGIN))
            )
        if state is not None:
            return state
        if any(each.is_failing for each in records):
            return HealthState.ERROR
        return HealthState.IDLE if self._instruments.is_known(server) else HealthState.STOPPED

    def _of_instances(self, watching: list[ChildHealth]) -> HealthState | None:
        used = [each for each in watching if each.slot.is_up or each.is_used]
        if used or any(each.state is not HealthState.STOPPED for each in watching):
            return worst(shown_state(each.state, each.sleep) for each in used or watching)
        return None


def _key(server: ServerSpec) -> Variant:
    return (server.name, server.workspace, values_of(server), server.principal)


def _watching(slots: Iterable[Upstream]) -> list[ChildHealth]:
    return [slot.watch for slot in slots if isinstance(slot.watch, ChildHealth)]


def _is_of_one(server: ServerSpec) -> bool:
    return scope_of(server) is not Share.GLOBAL


def _not_well(why: Failure) -> bool:
    why.trap(GatewayError)
    return False


def _let_go(why: Failure) -> None:
    why.trap(GatewayError)  # it is in the log
