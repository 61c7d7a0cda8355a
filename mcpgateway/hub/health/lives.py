"""The state of all servers in one pass, for readers that poll every few seconds."""

from __future__ import annotations

from collections import defaultdict

from msgspec import Struct

from mcpgateway.config.model import ServerSpec
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.hub.health.health import Health
from mcpgateway.hub.health.record import HealthRecord
from mcpgateway.hub.slot import Slot
from mcpgateway.policy.health import UP, HealthState


class ServerLife(Struct, frozen=True):
    """The state of a server over all its children.

    :ivar sessions: the number of its sessions, those of views among them.
    :ivar pids: the children that are processes of the gateway's.
    :ivar running: the number of its running children, wherever they are.
    :ivar starts: the number of starts.
    :ivar restarts: the number of starts in the place of a child that had ended unexpectedly.
    :ivar uptime_s: the seconds for which the oldest child has run.
    :ivar mtbf_s: the mean seconds between unexpected ends of its children; 0 where none has ended so.
    :ivar last_crash: the time of the last unexpected end, in seconds since the epoch.
    :ivar failures: the number of failures in a row.
    """

    server: ServerSpec
    state: HealthState
    sessions: int
    pids: tuple[int, ...]
    running: int
    starts: int
    restarts: int
    uptime_s: int
    mtbf_s: int
    last_crash: float | None
    failures: int

    @property
    def is_up(self) -> bool:
        """True if a child is ready for calls."""
        return self.state in UP


def lives(dispatcher: LegacyDispatcher, health: Health) -> list[ServerLife]:
    """Return the state of all servers, in the order of their entries."""
    slots: dict[str, list[Slot]] = defaultdict(list)
    for slot in dispatcher.pool:
        slots[slot.server.name].append(slot)
    records: dict[str, list[HealthRecord]] = defaultdict(list)
    for record in health.records:
        records[record.server.name].append(record)
    servers = dispatcher.servers.values()
    return [_life(each, slots[each.name], records[each.name], health) for each in servers]


def _life(server: ServerSpec, slots: list[Slot], records: list[HealthRecord], health: Health) -> ServerLife:
    watching, records = health.watching(slots), records or [health.record(server)]
    running = [health.now - each.ready_at for each in watching if each.ready_at is not None]
    restarts = sum(each.restarts for each in records)
    run_s = sum(running) + sum(each.run_s for each in records)
    return ServerLife(
        server=server,
        state=health.state(server, watching, records),
        sessions=sum(len(slot.sessions) for slot in slots if not slot.is_replica),
        pids=tuple(pid for slot in slots for pid in slot.pids),
        running=sum(slot.is_up for slot in slots),
        starts=health.histories.of(server.name).launches,
        restarts=restarts,
        uptime_s=max(running, default=0),
        mtbf_s=round(run_s / restarts) if restarts else 0,
        last_crash=max((each.last_crash for each in records if each.last_crash is not None), default=None),
        failures=max((each.breaker.failures for each in records), default=0),
    )
