"""The numbers for Prometheus, in its text format (https://prometheus.io/docs/instrumenting/exposition_formats/).

Written without a library, since the reactor serves no request meanwhile: of possibly thousands of tools few are called
between two scrapes, so the lines of each tool are kept until its next call.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from attrs import frozen

from mcpgateway import __version__
from mcpgateway.config.reach_settings import transport
from mcpgateway.hints import cli
from mcpgateway.hub.health.lives import ServerLife, lives
from mcpgateway.hub.meters import BOUNDS, Meter, Meters, Row
from mcpgateway.observe.census import Census
from mcpgateway.observe.savings import Savings, entry_of
from mcpgateway.system.process.memory import resident_bytes

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"
FDS = "/dev/fd"  # Linux leads it to /proc/self/fd, and macOS has no other
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


@frozen
class MetricFamily:
    """A metric family: its name, type, labels and meaning.

    :ivar labels: the names of its labels.
    """

    name: str
    kind: str
    what: str
    labels: tuple[str, ...] = ()

    @property
    def head(self) -> str:
        """The lines before its numbers."""
        return f"# HELP {self.name} {self.what}\n# TYPE {self.name} {self.kind}\n"


SERVER = ("server",)
OUTCOME = "outcome"

INFO = MetricFamily("mcpgateway_info", GAUGE, "Always 1; the release is a label.", ("version",))
UPTIME = MetricFamily("mcpgateway_uptime_seconds", GAUGE, "The uptime of the gateway.")
SERVERS = MetricFamily("mcpgateway_servers", GAUGE, "Servers that are configured.")
SESSIONS = MetricFamily("mcpgateway_sessions", GAUGE, "Sessions of clients.")
STREAMS = MetricFamily("mcpgateway_streams", GAUGE, "Sessions with an open standing stream.")
IN_PROGRESS = MetricFamily(
    "mcpgateway_requests_in_progress", GAUGE, "Requests that are under way or waiting."
)
ENABLED = MetricFamily(
    "mcpgateway_enabled",
    GAUGE,
    f"1 if the gateway is enabled, 0 if it is disabled with {cli('clients pause')}.",
)
MEMORY = MetricFamily("process_resident_memory_bytes", GAUGE, "Memory of the gateway itself.")
CPU = MetricFamily("process_cpu_seconds_total", COUNTER, "CPU time of the gateway itself.")
STARTED = MetricFamily("process_start_time_seconds", GAUGE, "When the gateway was started, since the epoch.")
OPEN_FDS = MetricFamily("process_open_fds", GAUGE, "File descriptors that the gateway has open.")

UP = MetricFamily(
    "mcpgateway_server_up", GAUGE, "Whether a server answers calls at once.", ("server", "transport")
)
STATE = MetricFamily("mcpgateway_server_state", GAUGE, "Always 1; the state is a label.", ("server", "state"))
CHILDREN = MetricFamily("mcpgateway_server_processes", GAUGE, "Processes that run a server.", SERVER)
SIZE = MetricFamily(
    "mcpgateway_server_memory_bytes",
    GAUGE,
    "Memory of a server's processes and all that they have started; from the second scrape on.",
    SERVER,
)
USERS = MetricFamily("mcpgateway_server_sessions", GAUGE, "Sessions that use a server.", SERVER)
STARTS = MetricFamily("mcpgateway_server_starts_total", COUNTER, "Starts of a server.", SERVER)
RESTARTS = MetricFamily(
    "mcpgateway_server_restarts_total",
    COUNTER,
    "Restarts of a server after an unexpected end.",
    SERVER,
)
RUN = MetricFamily("mcpgateway_server_uptime_seconds", GAUGE, "The uptime of a server.", SERVER)
MTBF = MetricFamily(
    "mcpgateway_server_mtbf_seconds",
    GAUGE,
    "The mean time between failures of a server; 0 without a failure.",
    SERVER,
)
CRASHED = MetricFamily(
    "mcpgateway_server_last_crash_timestamp_seconds",
    GAUGE,
    "The time of a server's last unexpected end, since the epoch.",
    SERVER,
)
WAITING = MetricFamily(
    "mcpgateway_server_calls_waiting",
    GAUGE,
    "Calls that wait for their turn at a server with limited concurrency.",
    SERVER,
)
WAITS = MetricFamily(
    "mcpgateway_server_waits_total", COUNTER, "Calls that have waited for their turn at a server.", SERVER
)
WAITED = MetricFamily(
    "mcpgateway_server_waited_seconds_total",
    COUNTER,
    "The total time that calls have waited for their turn at a server, in whole seconds.",
    SERVER,
)
FAILURES = MetricFamily(
    "mcpgateway_server_consecutive_failures", GAUGE, "The failures of a server in a row.", SERVER
)

REQUESTS = MetricFamily(
    "mcpgateway_requests_total",
    COUNTER,
    "Ended requests to a server; outcome: ok, error, cancelled.",
    ("server", "method", OUTCOME),
)
DURATIONS = MetricFamily(
    "mcpgateway_request_duration_seconds",
    HISTOGRAM,
    "The durations of requests, including the start of the server.",
    SERVER,
)
TOOL_CALLS = MetricFamily(
    "mcpgateway_tool_calls_total",
    COUNTER,
    "Ended calls of a tool; outcome: ok, error, cancelled.",
    ("server", "tool", OUTCOME),
)
TOOL_SECONDS = MetricFamily(
    "mcpgateway_tool_seconds_total",
    COUNTER,
    "The total time of all calls of a tool.",
    ("server", "tool"),
)

SAVED_PROCESSES = MetricFamily("mcpgateway_saved_processes", GAUGE, "Processes that sharing saves.")
SAVED_MEMORY = MetricFamily(
    "mcpgateway_saved_memory_bytes",
    GAUGE,
    "Memory of the saved processes minus that of the gateway; from the second scrape on.",
)
SAVED_TOKENS = MetricFamily(
    "mcpgateway_saved_tokens_total",
    COUNTER,
    "Tokens saved for models; by: deferral, shielding, compression.",
    ("by",),
)

FAMILIES: tuple[MetricFamily, ...] = tuple(
    each for each in list(globals().values()) if isinstance(each, MetricFamily)
)
"""All of them, in the order of the text."""

Number = int | float
_Sample = tuple[str, Number]


class _ToolLines:
    # The lines of each tool, with the number of its completed calls when they were written.

    __slots__ = ("_labels", "calls", "of", "seconds")

    def __init__(self, labels: str) -> None:
        self._labels = labels
        self.of = -1
        self.calls = self.seconds = ""

    def tell(self, row: Row) -> None:
        self.of = row.requests
        counts = {"ok": row.requests - row.errors - row.cancelled, "error": row.errors}
        if row.cancelled:
            counts["cancelled"] = row.cancelled
        head = f'{TOOL_CALLS.name}{{{self._labels},outcome="'
        self.calls = "".join(f'{head}{outcome}"}} {count}\n' for outcome, count in counts.items())
        self.seconds = f"{TOOL_SECONDS.name}{{{self._labels}}} {row.total_s!r}\n"


class Exposition:
    """Writes all metrics in the text format of Prometheus.

    :param more: yields the lines of further metrics.
    """

    def __init__(
        self,
        meters: Meters,
        census: Census,
        savings: Savings,
        more: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._more = more
        self._meters = meters
        self._census = census
        self._savings = savings
        self._tools: dict[Row, _ToolLines] = {}

    def text(self) -> bytes:
        """Return the current numbers as text."""
        return "".join(self._lines()).encode()

    def _lines(self) -> Iterator[str]:
        yield from self._of_gateway()
        living = lives(self._census.dispatcher, self._census.lives)
        yield from self._of_servers(living)
        yield from self._of_requests()
        yield from self._of_savings(living)
        yield from self._more()

    def _of_gateway(self) -> Iterator[str]:
        census = self._census
        sessions = census.dispatcher.sessions
        yield from told(INFO, [(f'{{version="{__version__}"}}', 1)])
        for family, number in (
            (UPTIME, sessions.now),
            (SERVERS, len(census.dispatcher.servers)),
            (SESSIONS, len(sessions)),
            (STREAMS, sum(each.has_stream for each in sessions)),
            (IN_PROGRESS, len(census.dispatcher.calls)),
            (ENABLED, int(not census.is_disabled())),
            (MEMORY, resident_bytes()),
            (CPU, time.process_time()),
            (STARTED, census.started_at),
        ):
            yield from told(family, [("", number)])
        try:
            yield from told(OPEN_FDS, [("", len(os.listdir(FDS)))])
        except OSError:
            return  # the system does not provide it

    def _of_servers(self, living: list[ServerLife]) -> Iterator[str]:
        labels = {each.server.name: _labels(server=each.server.name) for each in living}

        def each_with(family: MetricFamily, number: Callable[[ServerLife], Number | None]) -> Iterator[str]:
            found = ((labels[each.server.name], number(each)) for each in living)
            yield from told(family, ((label, value) for label, value in found if value is not None))

        yield from told(
            UP,
            (
                (_labels(server=each.server.name, transport=transport(each.server.reach)), int(each.is_up))
                for each in living
            ),
        )
        yield from told(
            STATE, ((_labels(server=each.server.name, state=each.state.value), 1) for each in living)
        )
        sizes = self._savings.memory.latest()
        yield from each_with(CHILDREN, lambda life: len(life.pids))
        yield from each_with(SIZE, lambda life: _size(life, sizes))
        yield from each_with(USERS, lambda life: life.sessions)
        yield from each_with(STARTS, lambda life: life.starts)
        yield from each_with(RESTARTS, lambda life: life.restarts)
        yield from each_with(RUN, lambda life: life.uptime_s)
        yield from each_with(MTBF, lambda life: life.mtbf_s)
        yield from each_with(CRASHED, lambda life: life.last_crash)
        yield from each_with(FAILURES, lambda life: life.failures)
        yield from self._of_turns()

    def _of_turns(self) -> Iterator[str]:
        counts: dict[str, list[int]] = {}
        for each in self._census.dispatcher.pool.limiters or ():
            found = counts.setdefault(each.server.name, [0, 0, 0])
            for at, number in enumerate((each.waiting, each.waited, each.waited_ticks)):
                found[at] += number
        for at, family in enumerate((WAITING, WAITS, WAITED)):
            yield from told(family, ((_labels(server=name), found[at]) for name, found in counts.items()))

    def _of_requests(self) -> Iterator[str]:
        meters = list(self._meters)
        yield REQUESTS.head
        for meter in meters:
            yield from _requests(meter)
        yield DURATIONS.head
        for meter in meters:
            yield from _durations(meter)
        lines = [self._lines_of(each) for each in self._meters.rows if each.tool]
        yield TOOL_CALLS.head
        yield "".join([each.calls for each in lines])
        yield TOOL_SECONDS.head
        yield "".join([each.seconds for each in lines])

    def _lines_of(self, row: Row) -> _ToolLines:
        found = self._tools.get(row)
        if found is None:
            found = self._tools[row] = _ToolLines(
                f'server="{escaped(row.server)}",tool="{escaped(row.tool)}"'
            )
        if found.of != row.requests:
            found.tell(row)
        return found

    def _of_savings(self, living: list[ServerLife]) -> Iterator[str]:
        sizes = self._savings.memory.latest()
        entries = [entry_of(each, sizes) for each in living]
        yield from told(SAVED_PROCESSES, [("", sum(each.saved for each in entries))])
        if sizes:
            saved = sum(each.saved_bytes for each in entries) - resident_bytes()
            yield from told(SAVED_MEMORY, [("", saved)])
        usage = self._savings.usage()
        if usage is not None:
            spared = usage.spared()
            yield from told(SAVED_TOKENS, ((_labels(by=by), tokens) for by, tokens in spared.items()))


def told(family: MetricFamily, samples: Iterable[_Sample]) -> Iterator[str]:
    """Yield the lines of a family, with a line for each sample."""
    yield family.head
    for labels, number in samples:
        yield f"{family.name}{labels} {number!r}\n"


def _requests(meter: Meter) -> Iterator[str]:
    counts: dict[str, list[int]] = {}
    for row in meter:
        total = counts.setdefault(row.method, [0, 0, 0])
        total[0] += row.requests - row.errors - row.cancelled
        total[1] += row.errors
        total[2] += row.cancelled
    for method, numbers in counts.items():
        for outcome, number in zip(("ok", "error", "cancelled"), numbers, strict=True):
            yield f"{REQUESTS.name}{_labels(server=meter.name, method=method, outcome=outcome)} {number}\n"


def _durations(meter: Meter) -> Iterator[str]:
    server, total = escaped(meter.name), 0
    if not any(meter.ranges):
        return
    for bound, count in zip((*BOUNDS, "+Inf"), meter.ranges, strict=True):
        total += count
        yield f'{DURATIONS.name}_bucket{{server="{server}",le="{bound}"}} {total}\n'
    seconds = sum(row.total_s for row in meter)
    yield f'{DURATIONS.name}_sum{{server="{server}"}} {seconds!r}\n'
    yield f'{DURATIONS.name}_count{{server="{server}"}} {total}\n'


def _size(life: ServerLife, sizes: Mapping[int, int]) -> int | None:
    known = [sizes[each] for each in life.pids if each in sizes]
    return sum(known) if known or not life.pids else None


def _labels(**labels: str) -> str:
    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items()) + "}"


def escaped(value: str) -> str:
    """Escape a label's value for its quotes; a lone surrogate becomes a question mark."""
    return value.translate(_ESCAPES).encode(errors="replace").decode()
