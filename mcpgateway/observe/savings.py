"""The savings by sharing: processes, memory and tokens.

# Note [What it is compared with]
Without the gateway each client starts its own child of each server that it uses.  So a local server would have a child
for each of its sessions, each as large as the average of the present ones, and none while it has no session.  The
gateway's own memory is the cost, and is subtracted.  Clients of the modern era have no sessions: all of them count as
one.  Remote servers save nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.hub.health.health import Health
from mcpgateway.hub.health.lives import ServerLife, lives
from mcpgateway.records import Record
from mcpgateway.system.process.memory import resident_bytes

if TYPE_CHECKING:
    from mcpgateway.hub.usage import Usage

MB = 2**20
LOOK_TICKS = 60
RECENT_TICKS = 8  # pages ask every 10 s
WEIGH_TICKS = 30  # while metrics are scraped
WANTED_TICKS = 300  # without a request for so long, metrics count as not scraped

Weigh = Callable[[Collection[int]], Mapping[int, int]]
"""The bytes that each of some children's process trees takes, as far as that can be told."""


class ChildMemory(Record):
    """The memory of children, measured only while there are readers.

    :ivar weigh: measures the processes; it reads all processes of the machine.
    """

    weigh: Weigh
    _pids: Callable[[], Iterable[int]]
    _sizes: Mapping[int, int] = msgspec.field(default_factory=dict)
    _left: int = 0
    _recent: Mapping[int, int] = msgspec.field(default_factory=dict)
    _age: int = RECENT_TICKS

    def latest(self) -> Mapping[int, int]:
        """Return the last measurement, and keep measuring for a while; for readers that must not wait."""
        if not self._left:
            self._sizes = {}
        self._left = WANTED_TICKS
        return self._sizes

    def recent(self, pids: Collection[int]) -> Mapping[int, int]:
        """Return the memory of some children, measured now unless that was done a moment ago.

        :param pids: of all children.
        """
        if self._age >= RECENT_TICKS or not self._recent.keys() >= set(pids):
            self._recent, self._age = self._measured(pids), 0
        return self._recent

    def tick(self) -> None:
        """Measure when it is due; called once a second."""
        self._age = min(self._age + 1, RECENT_TICKS)
        if self._left:
            self._left -= 1
            if self._left % WEIGH_TICKS == WEIGH_TICKS - 1:
                self._sizes = self._measured(set(self._pids()))

    def _measured(self, pids: Collection[int]) -> Mapping[int, int]:
        return self.weigh(pids) if pids else {}


class ServerSavings(Struct, frozen=True):
    """The savings by sharing one server.

    :ivar without: number of its processes without the gateway.
    :ivar running: number of its processes.
    :ivar size: memory of its processes, in bytes.
    """

    server: str
    sessions: int
    without: int
    running: int
    size: int

    @property
    def saved(self) -> int:
        """The number of saved processes; negative where more run than clients would start."""
        return self.without - self.running

    @property
    def saved_bytes(self) -> int:
        """The saved memory, in bytes."""
        return self.saved * self.size // self.running if self.running else 0


def entry_of(life: ServerLife, sizes: Mapping[int, int]) -> ServerSavings:
    """Return the savings of one server; see Note [What it is compared with]."""
    running = len(life.pids)
    without = max(life.sessions, running) if running and life.sessions else 0
    return ServerSavings(
        life.server.name, life.sessions, without, running, sum(sizes.get(each, 0) for each in life.pids)
    )


class Savings(Record):
    """The savings of the gateway.

    :ivar usage: the book of saved tokens; None if there is none.
    :ivar templates: returns the processes that children are forked from.
    """

    _dispatcher: LegacyDispatcher
    _health: Health
    memory: ChildMemory
    usage: Callable[[], Usage | None]
    templates: Callable[[], Collection[int]] = tuple
    _process_s: int = 0

    def tick(self) -> None:
        """Tick the measurement; called once a second."""
        self.memory.tick()
        if self._dispatcher.sessions.now % LOOK_TICKS == 0:
            self._process_s += LOOK_TICKS * sum(each.saved for each in self.entries({}))

    def entries(self, sizes: Mapping[int, int]) -> list[ServerSavings]:
        """Return the savings of each server."""
        return [entry_of(each, sizes) for each in lives(self._dispatcher, self._health)]

    def sizes(self) -> Mapping[int, int]:
        """Return the bytes of each child's process tree, as far as they are known."""
        return self.memory.recent({pid for slot in self._dispatcher.pool for pid in slot.pids})

    def brief(self) -> dict[str, Any]:
        """Return the savings in three numbers; that of the memory is null until the processes were measured."""
        sizes = self.memory.latest()
        entries = self.entries(sizes)
        saved = sum(each.saved_bytes for each in entries) - resident_bytes()
        usage = self.usage()
        return {
            "processes": sum(each.saved for each in entries),
            "memory_mb": round(saved / MB) if sizes else None,
            "tokens_today": usage.shown()["today"] if usage is not None else 0,
        }

    def shown(self) -> dict[str, Any]:
        """Return the savings of all servers together."""
        entries = self.entries(self.sizes())
        own, running = resident_bytes(), sum(each.size for each in entries)
        pids = self.templates()
        templates = sum(self.memory.weigh(pids).values()) if pids else 0
        saved = sum(each.saved_bytes for each in entries)
        usage = self.usage()
        return {
            "uptime_seconds": self._dispatcher.sessions.now,
            "processes": {
                "without": sum(each.without for each in entries),
                "running": sum(each.running for each in entries),
                "saved": sum(each.saved for each in entries),
                "hours_saved": round(self._process_s / 3600, 2),
            },
            "memory": {
                "without_mb": _mb(running + saved),
                "running_mb": _mb(running),
                "gateway_mb": _mb(own),
                "templates_mb": _mb(templates),
                "saved_mb": _mb(saved - own - templates),
            },
            "tokens": {**(usage.shown() if usage is not None else {}), "days": _days(usage)},
            "servers": [_shown(each) for each in entries],
        }


def _shown(entry: ServerSavings) -> dict[str, Any]:
    return {
        "name": entry.server,
        "sessions": entry.sessions,
        "without": entry.without,
        "running": entry.running,
        "saved": entry.saved,
        "memory_mb": _mb(entry.size),
        "saved_mb": _mb(entry.saved_bytes),
    }


def _days(usage: Usage | None) -> dict[str, dict[str, dict[str, int]]]:
    return usage.days() if usage is not None else {}


def _mb(size: int) -> float:
    return round(size / MB, 1)
