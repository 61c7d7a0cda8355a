"""The sleep of one child: frozen while nobody uses it, thawed by the next message for it.

A message for a frozen child thaws it first, whoever sends it (`mcpgateway.backends.process.Child.write`), and so does
its stop.  Pings and the search for stuck children leave it out meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from twisted.logger import Logger

from mcpgateway.config.model import Freeze
from mcpgateway.interfaces import IFreezable
from mcpgateway.policy.health import HealthState
from mcpgateway.policy.idling import HURRY_S, Drowsiness, OwnWork, SleepUse
from mcpgateway.protocol import modern
from mcpgateway.units import duration, size

if TYPE_CHECKING:
    from mcpgateway.backends.conversation import Conversation
    from mcpgateway.config.sleep import SleepSettings
    from mcpgateway.hub.health.record import HealthRecord
    from mcpgateway.hub.upstream import Upstream


class SleepWorld(Protocol):
    """The settings and measurements that decide about sleep.

    :ivar sleep: the settings.
    :ivar shortage: the shortage of memory, in words; empty while there is enough.
    """

    sleep: SleepSettings
    shortage: str

    def has_calls(self, slot: Upstream) -> bool:
        """True if a request that needs a slot's child is under way."""

    def own_work(self, pid: int) -> OwnWork | None:
        """Return the signs that a child works without a request; None in a second in which others were looked at."""


def shown_state(state: HealthState, sleep: ChildSleep | None) -> HealthState:
    """Return the state of a child's health, which tells a frozen child from one that runs."""
    is_asleep = state is HealthState.RUNNING and sleep is not None and sleep.is_asleep
    return HealthState.ASLEEP if is_asleep else state


def shown_sleep(sleeps: list[ChildSleep]) -> dict[str, Any]:
    """Return the sleep of a server's children for the REST API."""
    return {
        "asleep": sum(each.is_asleep for each in sleeps),
        "awake_for": next((each.awake_for for each in sleeps if each.awake_for), ""),
    }


class ChildSleep:
    """The sleep of one child, from its handshake to its end.

    :ivar is_paged_out: its memory was moved to swap since it was frozen, or there is none.
    """

    log = Logger()

    def __init__(
        self, slot: Upstream, conversation: Conversation, record: HealthRecord, world: SleepWorld, now: int
    ) -> None:
        self.is_paged_out = False
        self._slot = slot
        backend: object = conversation.backend
        is_program = slot.server.reach is None
        self._child = backend if is_program and isinstance(backend, IFreezable) else None
        self._conversation = conversation
        self._record = record
        self._world = world
        self._drowsiness = Drowsiness(now)
        self._asleep_at = now if self.is_asleep else None  # a child that was taken over may sleep

    @property
    def is_asleep(self) -> bool:
        """True if the child is frozen."""
        return self._child is not None and self._child.is_asleep

    @property
    def awake_for(self) -> str:
        """The reason why the child was not frozen when its time had come; empty for none."""
        return self._drowsiness.awake_for

    def idle_s(self, now: int) -> float:
        """Return the seconds since the last request."""
        return now - self._drowsiness.since

    def tick(self, now: int) -> bool:
        """Advance by one second, and freeze the child when its time has come; true while it is asleep."""
        child, freeze = self._child, self._slot.server.freeze or self._world.sleep.freeze
        if child is None:
            return False
        if child.is_asleep and freeze is Freeze.OFF:
            child.thaw()  # the settings have changed
        if child.is_asleep:
            return True
        use, slept_from = self._use(), self._asleep_at
        if slept_from is not None:
            self._asleep_at = None
            self._drowsiness.begin(use, now)
            self.log.info("{server} (pid {pid}) is awake again", event="server.awake", **self._names)
            self._record.history.add("server.awake", f"it is awake again after {duration(now - slept_from)}")
        self._drowsiness.uses(use, now)
        if freeze is not Freeze.OFF:
            self._drowse(child, use, now, freeze)
        return self.is_asleep

    def _drowse(self, child: IFreezable, use: SleepUse, now: int, freeze: Freeze) -> None:
        settings, drowsiness, idle_s = self._world.sleep, self._drowsiness, self.idle_s(now)
        after_s = min(settings.after_s, HURRY_S) if self._world.shortage else settings.after_s
        work = self._world.own_work(child.pid) if drowsiness.is_to_look(now, after_s) else None
        if work is None:
            return
        self._record.sockets = self._record.sockets or work.sockets
        former = drowsiness.awake_for
        if not drowsiness.sees(OwnWork(work.cpu_s, self._record.sockets), use, now, freeze):
            if drowsiness.awake_for not in ("", former):
                self._record.history.add("server.kept_awake", f"it is not frozen: {drowsiness.awake_for}")
        elif child.freeze():
            self._asleep_at, self.is_paged_out = now, False
            self.log.info("{server} (pid {pid}) is asleep", event="server.asleep", **self._names)
            what = f"it is asleep: nobody has used it for {duration(idle_s)}"
            self._record.history.add("server.asleep", what)
        else:
            drowsiness.begin(use, now)

    @property
    def is_needed(self) -> bool:
        """True if the child has something to do, or a client waits for its notifications."""
        use = self._use()
        return use.is_busy or use.is_subscribed

    def paged_out(self, freed: int) -> None:
        """Note how many bytes of the child's memory are in swap now."""
        what = f"memory is short: {size(freed)} of it are in swap now"
        self.log.info(
            "{server} (pid {pid}) is paged out", event="server.paged_out", freed=freed, **self._names
        )
        self._record.history.add("server.paged_out", what)

    def page_out(self) -> bool:
        """Begin to move the memory of the child, which is frozen, to swap; false where there is none."""
        child, self.is_paged_out = self._child, True
        return child is not None and child.page_out()

    def _use(self) -> SleepUse:
        slot, conversation = self._slot, self._conversation
        is_busy = (
            any(call.method != modern.LISTEN for call in conversation.pending.values())
            or bool(conversation.questions)
            or slot.tasks.have_begun
            or self._world.has_calls(slot)
        )
        is_subscribed = bool(slot.subscriptions or slot.listening)
        return SleepUse(slot.requests, conversation.unasked, is_busy, is_subscribed)

    @property
    def _names(self) -> dict[str, Any]:
        return {"server": self._slot.server.name, "pid": self._slot.pid}
