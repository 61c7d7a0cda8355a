"""Results of one run of the benchmark."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from attrs import define, field, frozen

from tests.bench.loads import Sample
from tests.bench.procs import Account


@define
class Life:
    """A program's start, its sessions and its memory.

    :ivar idle: listening, before anybody called.
    :ivar one: with one session, so with its child started.
    """

    listening_ms: list[float] = field(factory=list)
    called_ms: list[float] = field(factory=list)
    session_ms: list[float] = field(factory=list)
    idle: Account | None = None
    one: Account | None = None
    twenty: Account | None = None
    loaded: Account | None = None


@define
class Collision:
    """Answers under ids that collide between sessions."""

    sent: int
    wrong: int
    missing: int
    refused: int
    samples: list[str]

    @property
    def faults(self) -> int:
        """Calls without their right answer."""
        return self.wrong + self.missing + self.refused


@frozen
class Listening:
    """The cost of clients that only listen (``subscriptions/listen``).

    :ivar begin_us: CPU until one more listens.
    :ivar idle_ms_per_s: CPU while nothing happens; ``quiet_ms_per_s`` is the same before anybody listened.
    """

    count: int
    begin_us: float
    kib: float
    idle_ms_per_s: float
    quiet_ms_per_s: float


@define
class Shim:
    """The cost of ``mcpgateway connect`` for a client on stdio; why it was not measured where it was not.

    :ivar private_mib: idle, in memory that nothing else shares, one figure for each shim.
    :ivar exec_ms: from exec until its first byte is with the gateway.
    :ivar calls_ms: a call through it, and ``direct_ms`` the same over HTTP a moment later.
    """

    private_mib: list[float] = field(factory=list)
    pss_mib: list[float] = field(factory=list)
    exec_ms: list[float] = field(factory=list)
    calls_ms: list[float] = field(factory=list)
    direct_ms: list[float] = field(factory=list)
    cpu_us: list[float] = field(factory=list)
    absent: str = ""

    def added_ms(self) -> float | None:
        """The time that the shim adds to each call, turn by turn."""
        pairs = zip(self.calls_ms, self.direct_ms, strict=True)
        return median(through - direct for through, direct in pairs)


@frozen
class Weight:
    """The weight of some processes together."""

    processes: int
    rss_mib: float
    pss_mib: float


@frozen
class ServerOfMany:
    """A server that sessions share: its processes, their memory, and its answers.

    :ivar first_s: the median time from the beginning of a session to its first answer.
    :ivar wrong: calls whose answer was missing, or was not that of the session's own server.
    """

    processes: int
    pss_mib: float
    first_s: float | None
    wrong: int


@define
class Crowd:
    """The same real servers for many sessions: started by each of them, and shared by all through programs.

    :ivar launched: each session starts its own, by ``npx`` and ``uvx``.
    :ivar direct: each session starts its own, without a launcher.
    :ivar shared: behind each program, by its name; its own processes count.
    :ivar by_server: the servers behind each program.
    """

    sessions: int = 0
    servers: int = 0
    launched: Weight | None = None
    direct: Weight | None = None
    shared: dict[str, Weight] = field(factory=dict)
    by_server: dict[str, dict[str, ServerOfMany]] = field(factory=dict)

    def wrong(self, program: str) -> int:
        """Count the wrong answers behind a program."""
        return sum(each.wrong for each in self.by_server[program].values())

    def first_s(self, program: str) -> float | None:
        """The median over the servers of the time until a session has its first answer."""
        return median(each.first_s for each in self.by_server[program].values() if each.first_s is not None)


@define
class Results:
    """Everything that the reports are made of; the samples of programs stand in the order they were taken in."""

    when: str
    machine: str
    load_by: str
    child_p50_ms: list[float] = field(factory=list)
    lives: dict[str, Life] = field(factory=dict)
    samples: dict[str, dict[str, list[Sample]]] = field(factory=dict)
    collisions: dict[str, Collision] = field(factory=dict)
    scaling: dict[str, list[Sample]] = field(factory=dict)
    session_kib: dict[str, float] = field(factory=dict)
    stream_kib: float | None = None
    listening: Listening | None = None
    shim: Shim = field(factory=Shim)
    crowd: Crowd = field(factory=Crowd)
    problems: list[str] = field(factory=list)

    def add(self, scenario: str, program: str, sample: Sample) -> None:
        """Keep one sample."""
        self.samples.setdefault(scenario, {}).setdefault(program, []).append(sample)

    def of(self, scenario: str, program: str) -> list[Sample]:
        """The samples of one program under one load."""
        return self.samples.get(scenario, {}).get(program, [])

    def cpu_us(self, scenario: str, program: str) -> float | None:
        """Median CPU per call."""
        return median(sample.cpu_us for sample in self.of(scenario, program))

    def added_p50_ms(self, program: str) -> float | None:
        """The time that a program adds to the child's own with one connection, each turn beside the child alone."""
        pairs = zip(self.of("echo1", program), self.child_p50_ms, strict=False)
        return median(sample.p50_ms - alone for sample, alone in pairs)

    def ratio(self, scenario: str, program: str, floor: str) -> float | None:
        """CPU per call over the floor's, compared load by load: neighbours in time met the same neighbours."""
        return ratio(self.of(scenario, program), self.of(scenario, floor))


def ratio(ours: Iterable[Sample], theirs: Iterable[Sample]) -> float | None:
    """The median of CPU ratios taken pair by pair."""
    pairs = zip(ours, theirs, strict=False)
    return median(mine.cpu_us / other.cpu_us for mine, other in pairs if other.cpu_us)


def median(values: Iterable[float]) -> float | None:
    """The median, or nothing of nothing."""
    found = list(values)
    return statistics.median(found) if found else None
