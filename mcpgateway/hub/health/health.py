"""The health of all servers: who may be started, who is looked at, and what is shown of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet.defer import Deferred, DeferredList, fail
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
from mcpgateway.hub.health.history import Histories
from mcpgateway.hub.health.instance import Instance
from mcpgateway.hub.health.long_calls import LOOK_TICKS, SHOWN, LongCalls, long_calls
from mcpgateway.hub.health.ping import Checks
from mcpgateway.hub.health.record import Chart, numbers
from mcpgateway.policy.breaker import Breaker
from mcpgateway.policy.eras import EraPath
from mcpgateway.policy.health import UP, HealthState, worst
from mcpgateway.policy.readiness import AUTHORIZATION
from mcpgateway.policy.sharing import Variant, scope_of, values_of
from mcpgateway.policy.stuck_calls import ProcessActivity
from mcpgateway.protocol.versions import Era

if TYPE_CHECKING:
    from mcpgateway.hub.dispatch import Switchboard
    from mcpgateway.hub.upstream import Upstream

WEIGH_TICKS = 10
OK = range(200, 300)
SERVICE_FAILED = "REST health check failed"


def _unwatched(_: int) -> ProcessActivity | None:
    return None


def _unasked(_: ServerSpec) -> None:
    """Nobody has to sign in anywhere."""


@frozen
class Instruments:
    """What the health of servers is measured with.

    :ivar chance: gives numbers from 0 to 1, at random.
    :ivar fetch: asks a URL, and fires with the status of the answer, within seconds and without following redirects.
    :ivar dial: fires when something answers where a URL leads, or fails within seconds.
    :ivar weigh: the bytes that each of some children's process trees takes, as far as that can be told.
    :ivar is_known: whether what a server offers is known without a child of its.
    :ivar activity: what a child's whole process tree does; None where that cannot be told.
    :ivar question: where the user of a server has to sign in; None where nothing is asked.
    """

    chance: Callable[[], float]
    fetch: Callable[[str], Deferred[int]]
    dial: Callable[[str], Deferred[None]]
    weigh: Callable[[Collection[int]], Mapping[int, int]]
    is_known: Callable[[ServerSpec], bool]
    activity: Callable[[int], ProcessActivity | None] = _unwatched
    question: Callable[[ServerSpec], NeedsLogin | None] = _unasked


def _unseen(url: str) -> Deferred[Any]:
    return fail(GatewayError("nobody looks"))


def _unweighed(_: Collection[int]) -> Mapping[int, int]:
    return {}


def _unheard() -> None:
    """Nobody is told."""


def _in_bounds(_: str) -> str:
    return ""


def unknown(_: ServerSpec) -> bool:
    """Nothing is known of any server while it does not run."""
    return False


BLIND = Instruments(lambda: 0.5, _unseen, _unseen, _unweighed, unknown)
"""For a world in which there is nothing to measure."""


class Health:
    """Watches over the children of all slots; a `mcpgateway.hub.health.observer.Monitor`.

    :ivar now: the gateway's age in ticks.
    :ivar ping_s: seconds between two pings; 0 for none.
    :ivar stuck_s: seconds without a sign of life after which a child is stuck that has calls to answer; 0: never.
    :ivar checks: how many checks are under way.
    :ivar histories: what has happened to all servers.
    :ivar on_switch: told when an operator has switched a server on or off.
    :ivar too_long: which of a server's lists are too long to be kept, in words (`mcpgateway.hub.catalog.list_limit`).
    """

    log = Logger()

    def __init__(self, gateway: GatewaySettings, instruments: Instruments, wall: Callable[[], float]) -> None:
        self.now = 0
        self.ping_s = gateway.ping_s
        self.stuck_s = gateway.limits.stuck_s
        self.checks = Checks()
        self.wall = wall
        self.chance = instruments.chance
        self.histories = Histories(wall)
        self._long_calls = LongCalls(self.histories)
        self.on_switch: Callable[[], None] = _unheard
        self.too_long: Callable[[str], str] = _in_bounds
        self._circuit = gateway.circuit
        self._instruments = instruments
        self._charts: dict[Variant, Chart] = {}
        self._switches: dict[str, bool] = {}  # what operators have decided
        self._open: set[Chart] = set()
        self._sizes: Mapping[int, int] = {}
        self._switchboard: Switchboard | None = None

    def attend(self, switchboard: Switchboard) -> None:
        """Watch over the servers of this switchboard, and start those that do not wait until they are needed."""
        self._switchboard = switchboard

    def adopt(self, gateway: GatewaySettings) -> None:
        """Ask as often, and give up as soon, as these settings say."""
        self.ping_s, self.stuck_s = gateway.ping_s, gateway.limits.stuck_s
        if gateway.circuit != self._circuit:
            self._circuit = gateway.circuit
            for chart in self._charts.values():
                chart.breaker.adopt(gateway.circuit, self.now)

    # Who watches: a `mcpgateway.hub.health.observer.Monitor`.

    def watch(self, slot: Upstream) -> Instance:
        """What a new slot is to tell of its life."""
        return Instance(slot, self.chart(slot.server), self)

    def refusal(self, server: ServerSpec) -> SwitchedOff | None:
        """Why a server may not be started now by somebody who only wants to find something out about it."""
        return self.chart(server).refusal(self.now)

    def pause(self, server: ServerSpec) -> HandshakeFailed | None:
        """What a server has failed at last, until it is tried again; None where it may be started for a look at it."""
        chart = self.chart(server)
        left = chart.paused_until - self.now
        if left <= 0 or any(
            each.state in UP or each.state is HealthState.STARTING for each in self._of(chart)
        ):
            return None
        wait_s = math.ceil(left)
        hint = (
            f"until {wait_s} s have passed only a call starts it, or mcpgateway servers restart {server.name}"
        )
        return HandshakeFailed(chart.last_fault, hint)

    def question(self, server: ServerSpec) -> NeedsLogin | None:
        """Where its user has to sign in before it is started; None where nothing is asked."""
        asked = self._instruments.question(server)
        return (
            NeedsLogin(of_server(server.name, asked.message), asked.hint, asked.data)
            if asked is not None
            else None
        )

    def chart(self, server: ServerSpec) -> Chart:
        """What is known of a server; nothing if its entry has changed so that its children had to be replaced."""
        key = _key(server)
        found = self._charts.get(key)
        if found is not None and found.server is server:
            return found
        if found is not None and runs_alike(found.server, server):
            found.becomes(server)
        else:
            found = self._charts[key] = Chart(
                server, Breaker(self._circuit), self.histories.of(server.name), not self.is_on(server)
            )
        return found

    # Operators

    def is_on(self, server: ServerSpec) -> bool:
        """Whether a server is switched on: as operators have said, or else as its entry says."""
        return self._switches.get(server.name, server.enabled)

    def reset(self, name: str) -> None:
        """Forget what a server has done wrong, and start it if somebody uses it.

        :raise UnknownServer: there is none of that name.
        """
        charts = self._named(name)
        self.histories.of(name).add("server.reset", "its circuit is reset")
        for chart in charts:
            chart.reset()
            for each in self._of(chart):
                each.forgive()
            self._on_again(chart)

    def disable(self, name: str) -> None:
        """Switch a server off: its children are stopped, and calls are refused.

        :raise UnknownServer: there is none of that name.
        """
        self._named(name)
        self._switches[name] = False
        self._switch(name, is_on=False)

    def enable(self, name: str) -> None:
        """Switch a server on, whatever it has done wrong before.

        :raise UnknownServer: there is none of that name.
        """
        self._named(name)
        self._switches[name] = True
        self._switch(name, is_on=True)

    def follow(self, name: str) -> None:
        """From now on a server is on or off as its entry says, whatever operators have said before.

        :raise UnknownServer: there is none of that name.
        """
        charts = self._named(name)
        was_on = self._switches.pop(name, None)
        is_on = all(each.server.enabled for each in charts)
        if was_on is not None and was_on is not is_on:
            self._switch(name, is_on=is_on)

    def _switch(self, name: str, *, is_on: bool) -> None:
        self._set(name, is_on=is_on)
        self.on_switch()

    def _set(self, name: str, *, is_on: bool) -> None:
        charts = self._named(name)
        if is_on:
            self.log.info("{server} is switched on", event="server.enabled", server=name)
            self.histories.of(name).add("server.enabled", "an operator switches it on")
            for chart in charts:
                chart.is_off = False
            self.reset(name)
            return
        self.log.info("{server} is switched off", event="server.disabled", server=name)
        self.histories.of(name).add("server.disabled", "an operator switches it off")
        for chart in charts:
            chart.is_off = True
            for each in self._of(chart):
                if each.slot.has_children:
                    each.slot.close()
                each.switched_off()

    # Signing in (`mcpgateway.backends.oauth.flow.AccountListener`)

    def wanted(self, server: str, owner: str) -> None:
        """An owner has to sign in at a server; what runs of it may go on with what needs nobody."""
        for chart in self._known(server, owner):
            chart.needs = AUTHORIZATION
            self.histories.of(server).add("server.needs_login", f"it wants {owner or 'its user'} to sign in")

    def granted(self, server: str, owner: str) -> None:
        """An owner has signed in at a server."""
        for chart in self._known(server, owner):
            chart.needs = ""
            self.histories.of(server).add("server.signed_in", f"{owner or 'its user'} has signed in")
            for each in self._of(chart):
                each.authorized()

    def sign_out(self, server: str, owner: str) -> Deferred[Any]:
        """An owner gives back what a server has granted it: nothing goes on with that. Fires when nothing does."""
        closing = []
        for chart in self._known(server, owner):
            chart.needs = ""
            self.histories.of(server).add("server.signed_out", f"{owner or 'its user'} signs out")
            closing += [each.slot.close() for each in self._of(chart) if each.slot.is_up]
        return DeferredList(closing, consumeErrors=True)

    def _known(self, name: str, owner: str) -> list[Chart]:
        return [
            each
            for each in self._charts.values()
            if (each.server.name, each.server.principal) == (name, owner)
        ]

    def instances(self, name: str) -> list[Instance]:
        """All instances of a server.

        :raise UnknownServer: there is none of that name.
        """
        return [each for chart in self._named(name) for each in self._of(chart)]

    def _named(self, name: str) -> list[Chart]:
        server = self._switchboard.servers.get(name) if self._switchboard is not None else None
        if server is None:
            raise UnknownServer(f"Unknown server: {name}")
        return self._charts_of(server)

    def _charts_of(self, server: ServerSpec) -> list[Chart]:
        known = self._charts.get(_key(server))
        if known is None or not self._of(known):
            self.chart(server)  # what a former entry of that name has done is not true of this one
        return [each for each in self._charts.values() if each.server.name == server.name]

    def _on_again(self, chart: Chart) -> None:
        self._open.discard(chart)
        for each in self._of(chart):
            each.switched_on()
            if each.is_used and not each.slot.is_up and each.refusal() is None:
                each.begin()

    # The start

    def begin(self, servers: Iterable[ServerSpec]) -> None:
        """Start those of these servers that do not wait until they are needed."""
        for server in servers:
            lazy = server.lazy
            if server.enabled and (lazy.prewarm or not lazy.enabled):
                self._warm(server, is_kept=not lazy.enabled)

    def _warm(self, server: ServerSpec, *, is_kept: bool, era: Era | None = None) -> None:
        board = self._switchboard
        if board is None or _is_of_one(server):
            return  # it is one client's, and that one is not here yet
        road = board.eras.road(server, Era.LEGACY)
        era = era or (Era.MODERN if road in (EraPath.BRIDGED, EraPath.REFUSED) else Era.LEGACY)
        slot = board.pool.shared(server, era)
        for each in _watching([slot]):
            each.is_kept, each.is_warming = is_kept, not is_kept
        self.warm(slot)

    def warm(self, slot: Upstream) -> None:
        """Start a slot's child though nobody needs it yet, in the other era where it turns out to speak that only."""
        slot.greet().addErrback(self._not_warm, slot)

    def _not_warm(self, why: Failure, slot: Upstream) -> None:
        why.trap(GatewayError)
        board, server = self._switchboard, slot.server
        if board is None or why.check(HandshakeRefused) is None or server.protocol is not None:
            return
        if slot.era is Era.MODERN:
            return
        found = board.eras.find_out(server, Era.MODERN)
        found.addCallback(lambda _: self._other_era(slot)).addErrback(_let_go)

    def _other_era(self, slot: Upstream) -> None:
        board = self._switchboard
        if board is not None and board.eras.known(slot.server).modern:
            for each in _watching([slot]):
                each.is_kept = each.is_warming = False
            self._warm(slot.server, is_kept=not slot.server.lazy.enabled, era=Era.MODERN)

    # What time brings

    def tick(self) -> None:
        """A second has passed."""
        self.now += 1
        if self._switchboard is None:
            return
        if self.now % WEIGH_TICKS == 0:
            self._guarded(self._weigh)
        if self.now % LOOK_TICKS == 0:
            self._guarded(self._long_calls.look, list(self._switchboard.pool))
        for each in self._instances():
            self._guarded(each.tick, self.now)
        for chart in list(self._open):
            if chart.breaker.allows(self.now):
                self._guarded(self._half_open, chart)
        for chart in self._charts.values():
            if chart.server.health_url and self.now - chart.checked_at >= self.ping_s:
                self._guarded(self._check, chart)

    def _guarded(self, look: Callable[..., None], *what: Any) -> None:
        # Trouble with one server must not keep the others from being looked after.
        try:
            look(*what)
        except Exception:  # noqa: BLE001 - the one catch-all of this road
            self.log.failure("a look at a server's health broke", event="health.broken")

    def _weigh(self) -> None:
        slots = [each.slot for each in self._instances()]
        pids = {slot.pid for slot in slots if slot.server.lazy.ram_bytes and slot.pid}
        self._sizes = self._instruments.weigh(pids) if pids else {}

    def _half_open(self, chart: Chart) -> None:
        self.log.info("{server} may be tried once more", event="server.half_open", server=chart.server.name)
        chart.history.add("server.half_open", "it may be tried once more")
        self._on_again(chart)

    def _check(self, chart: Chart) -> None:
        if chart.is_checking or not self.checks.free or not self.ping_s:
            return
        chart.checked_at = self.now
        if not any(each.state in UP for each in self._of(chart)):
            return
        chart.is_checking = True
        done: Deferred[None] = Deferred()
        self.checks.under(done)
        asked: Deferred[bool] = self._instruments.fetch(chart.server.health_url).addCallbacks(
            lambda status: status in OK, _not_well
        )
        asked.addCallback(self._checked, chart).addErrback(self._broken).addBoth(done.callback)

    def _checked(self, is_well: bool, chart: Chart) -> None:  # noqa: FBT001 - a callback
        chart.is_checking = False
        chart.service_fault = "" if is_well else SERVICE_FAILED
        for each in self._of(chart):
            if each.state in UP:
                each.look()

    def _broken(self, why: Failure) -> None:
        self.log.failure("a check of a server's health broke", why, event="health.check_broken")

    def _of(self, chart: Chart) -> list[Instance]:
        return [each for each in self._instances() if each.chart is chart]

    def _instances(self) -> list[Instance]:
        return _watching(self._switchboard.pool if self._switchboard is not None else ())

    # What instances ask: a `mcpgateway.hub.health.observer.HealthEnvironment`.

    def has_calls(self, slot: Upstream) -> bool:
        """Whether anything is under way that a slot's child is needed for."""
        if slot.calls():
            return True
        board = self._switchboard
        return board is not None and any(session.slot is slot for session in board.calls.bridged())

    def is_known(self, slot: Upstream) -> bool:
        """Whether what its server offers is known without a child."""
        return self._instruments.is_known(slot.server)

    def resident(self, pid: int) -> int:
        """The bytes that a child's whole process tree took when it was last looked at."""
        return self._sizes.get(pid, 0)

    def activity(self, slot: Upstream) -> ProcessActivity | None:
        """What the processes of a slot's child do; None where they are not ours, or in a container."""
        is_seen = slot.pid and isinstance(slot.server.reach, Daemon | None)
        return self._instruments.activity(slot.pid) if is_seen and slot.pid else None

    def may_double(self, slot: Upstream) -> bool:
        """Whether a slot may have a second child beside the one that runs."""
        board, server = self._switchboard, slot.server
        has_room = not isinstance(server.reach, Daemon)  # a port has room for one
        return has_room and board is not None and not board.pool.is_single(server)

    def opened(self, chart: Chart) -> None:
        """A server has failed too often."""
        if chart not in self._open:
            self._open.add(chart)
            self.log.error(
                "{server} is given up: {why}; it failed last because: {last}",
                event="server.given_up",
                server=chart.server.name,
                why=chart.breaker.why,
                last=chart.last_fault,
            )
            chart.history.add("server.given_up", f"it is given up: {chart.breaker.why}")
        for each in self._of(chart):
            if each.state not in UP and each.state is not HealthState.STARTING:
                each.switched_off()

    def dial(self, server: ServerSpec, dialled: Callable[[bool], None]) -> None:
        """See whether the address of a server answers, and call back."""
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

    # What is shown

    def known(self, server: ServerSpec) -> list[Chart]:
        """What is known of a server in every workspace."""
        return self._charts_of(server)

    def runs(self, slots: Collection[Upstream]) -> bool:
        """Whether a server answers calls at once."""
        return any(each.state in UP for each in _watching(slots))

    def shown(self, server: ServerSpec, slots: Collection[Upstream]) -> dict[str, Any]:
        """What is shown of a server's health; without values that its entry keeps secret."""
        now, watching, charts = self.now, _watching(slots), self._charts_of(server)
        running = [now - each.ready_at for each in watching if each.ready_at is not None]
        tries = [each.next_try for each in watching if each.next_try is not None]
        tries += [each.breaker.opens_at for each in charts if each.breaker.opens_at is not None]
        return {
            "status": self.state(server, watching, charts).value,
            **numbers(charts, sum(running)),
            "uptime_seconds": max(running, default=0),
            "next_try_s": max(0, round(min(tries) - now)) if tries else None,
            "excess": next((each.excess for each in watching if each.excess), ""),
            "stuck": next((each.stuck_for for each in watching if each.stuck_for), ""),
            "retired": [each.shown(self.wall()) for slot in slots for each in slot.retired or ()],
            "too_long": self.too_long(server.name),
            "long_calls": [each.shown() for each in long_calls(slots)[:SHOWN]],
        }

    @property
    def charts(self) -> Collection[Chart]:
        """What is known of each server, as it is run for each workspace."""
        return self._charts.values()

    def watching(self, slots: Iterable[Upstream]) -> list[Instance]:
        """Those that watch over some slots."""
        return _watching(slots)

    def state(self, server: ServerSpec, watching: list[Instance], charts: list[Chart]) -> HealthState:
        """The worst state of those instances of a server that matter."""
        if any(each.is_disabled(self.now) for each in charts if each.server.enabled == server.enabled):
            return HealthState.DISABLED
        # Who else has to sign in is no matter of those who have.
        charts = [each for each in charts if each.server.principal == server.principal or not each.needs]
        state = self._of_instances(
            [each for each in watching if each.state is not HealthState.NEEDS_LOGIN or each.chart in charts]
        )
        if any(each.needs == AUTHORIZATION for each in charts):
            # Whoever has to sign in is told so, though what runs may go on with what needs no user.
            return (
                HealthState.NEEDS_LOGIN
                if state is None or state in UP
                else worst((state, HealthState.NEEDS_LOGIN))
            )
        if state is not None:
            return state
        if any(each.is_failing for each in charts):
            return HealthState.ERROR
        return HealthState.IDLE if self._instruments.is_known(server) else HealthState.STOPPED

    def _of_instances(self, watching: list[Instance]) -> HealthState | None:
        used = [each for each in watching if each.slot.is_up or each.is_used]
        if used or any(each.state is not HealthState.STOPPED for each in watching):
            return worst(each.state for each in used or watching)
        return None


def _key(server: ServerSpec) -> Variant:
    return (server.name, server.workspace, values_of(server), server.principal)


def _watching(slots: Iterable[Upstream]) -> list[Instance]:
    return [slot.watch for slot in slots if isinstance(slot.watch, Instance)]


def _is_of_one(server: ServerSpec) -> bool:
    return scope_of(server) is not Share.GLOBAL


def _not_well(why: Failure) -> bool:
    why.trap(GatewayError)
    return False


def _let_go(why: Failure) -> None:
    why.trap(GatewayError)  # it is in the log
