"""The numbers of the gateway: for dashboards in S000's format, for scripts in S003's.

Calls are counted in `mcpgateway.hub.meters`, children in `mcpgateway.hub.health.health`; this module combines the
numbers on request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from attrs import define, field

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.discovery.records import Item
from mcpgateway.discovery.tokens import Cost, cost_of
from mcpgateway.hub.health.lives import ServerLife, lives
from mcpgateway.hub.meters import Meters, Row, totals
from mcpgateway.hub.sessions import handle
from mcpgateway.observe import immorterm
from mcpgateway.observe.census import Census
from mcpgateway.observe.gauges import UNKNOWN, Gauges
from mcpgateway.observe.timeline import MINUTE_S, Timeline
from mcpgateway.observe.usage import percentile
from mcpgateway.policy.health import HealthState
from mcpgateway.system.process.memory import resident_bytes

MINUTES_SHOWN = 60
_FAILING = frozenset((HealthState.ERROR, HealthState.RESTARTING, HealthState.UNREACHABLE))


@define(eq=False, repr=False)
class ServerFigures:
    """Numbers of the gateway, its servers and their tools."""

    meters: Meters
    timeline: Timeline
    gauges: Gauges
    census: Census
    _slowest: dict[Row, tuple[int, float]] = field(factory=dict, init=False)  # by the number of calls
    _costs: dict[str, tuple[Sequence[Item], Cost]] = field(
        factory=dict, init=False
    )  # of the tools listed then

    # S000: GET /api/health/stats

    def stats(self) -> dict[str, Any]:
        """Return the data of S000's dashboard."""
        census, asked = self.census, totals(self.meters.rows)
        living = lives(census.dispatcher, census.lives)
        return {
            "uptimeSeconds": census.dispatcher.sessions.now,
            "totalRequests": asked.requests,
            "totalErrors": asked.errors,
            "totalCalls": asked.calls,
            "totalCallErrors": asked.call_errors,
            "toolStats": self._tool_stats(),
            "activeConnections": sum(each.running for each in living),
            # S000 connects to another program at a fixed port; this gateway connects to none unasked.
            "memoryServiceHealthy": False,
            "servers": [self._server(each) for each in living],
            "sessions": self._sessions(),
            "clients": [immorterm.client(each) for each in census.clients() if not each.suspended],
            "timeline": self.timeline.shown(MINUTES_SHOWN),
            "timelineSince": round(self.timeline.since(MINUTES_SHOWN) * 1000),
            "gatewayEnabled": not census.is_disabled(),
            "memoryMB": round(resident_bytes() / 2**20),
        }

    def series(self, minutes: int, server: str = "") -> list[dict[str, Any]]:
        """Return the latest minutes, oldest first: requests, calls of tools and failures, and the size of the gateway.

        :param server: only the requests to this server; its calls and the sizes are not counted apart, and are null.
        """
        sizes = {} if server else self.gauges.by_minute()
        return [
            {
                "at": written(each["minuteTs"] / 1000),
                "requests": each["perServer"].get(server, 0) if server else each["requests"],
                "errors": None if server else each["errors"],
                "calls": None if server else each["calls"],
                "call_errors": None if server else each["callErrors"],
                **sizes.get(each["minuteTs"] // (MINUTE_S * 1000), UNKNOWN),
            }
            for each in self.timeline.shown(minutes)
        ]

    def of_server(self, name: str) -> dict[str, Any]:
        """Return the calls of tools of a server in the last hour, and the duration that 95 % of the latest keep."""
        hour = self.timeline.hour(name)
        recent = [each for row in self.meters.of(name) if row.tool for each in row.recent]
        p95_ms = _ms(percentile(recent, 0.95)) if recent else None
        return {"calls_1h": hour.calls, "errors_1h": hour.errors, "p95_ms": p95_ms}

    def _tool_stats(self) -> dict[str, dict[str, Any]]:
        # If several servers have a tool of one name, the server's name precedes it.
        rows = [each for each in self.meters.rows if each.tool and each.requests]
        named = Counter(each.tool for each in rows)
        return {
            each.tool if named[each.tool] == 1 else f"{each.server}__{each.tool}": self._tool(each)
            for each in rows
        }

    def _tool(self, row: Row) -> dict[str, Any]:
        return {
            "calls": row.requests,
            "errors": row.errors,
            "totalMs": _ms(row.total_s),
            "avgMs": _ms(row.total_s / row.requests),
            "p99Ms": _ms(self._p99(row)),
            "errorRate": round(row.errors / row.requests, 4),
            "lastCalledAt": self._at(row.last_at),
            "server": row.server,
        }

    def _p99(self, row: Row) -> float:
        # Requested every few seconds, for thousands of tools of which hardly any was called meanwhile.
        calls, found = self._slowest.get(row, (0, 0.0))
        if calls != row.requests:
            found = percentile(row.recent, 0.99)
            self._slowest[row] = (row.requests, found)
        return found

    def _at(self, moment: float) -> int:
        # Epoch milliseconds, computed from the age: the stopwatch has no date.
        return round((self.timeline.wall() - (self.meters.seconds() - moment)) * 1000)

    def _server(self, life: ServerLife) -> dict[str, Any]:
        server, census = life.server, self.census
        rows, asked = list(self.meters.of(server.name)), self.meters.totals(server.name)
        ended = [each.last_at for each in rows if each.requests]
        files = [each for each in census.clients() if server.name in each.servers]
        return {
            "name": server.name,
            "mode": "stateful" if census.dispatcher.pool.scope(server) is Share.SESSION else "stateless",
            "activeChildren": life.running,
            "totalRequests": asked.requests,
            "totalCalls": asked.calls,
            "status": "running" if life.is_up else "error" if life.state in _FAILING else "idle",
            "enabled": life.state is not HealthState.DISABLED,
            "command": server.command[0] if server.command else "",  # the arguments may be secret
            "lastActivityAt": self._at(max(ended)) if ended else 0,
            "source": "project" if server.workspace else "global",
            "configPath": files[0].path if files else "",
        }

    def _sessions(self) -> list[dict[str, Any]]:
        # Only sessions with children of their own, as in S000; the handle identifies a session and gives no access.
        sessions, now = self.census.dispatcher.sessions, self.timeline.wall()
        return [
            {
                "sessionId": handle(each.id),
                "clientPid": each.owner,
                "servers": [each.server.name],
                "lastActivityAt": round((now - (sessions.now - each.seen)) * 1000),
                "childCount": int(each.slot.is_up),
            }
            for each in sessions
            if each.id and each.slot is not None and not each.slot.shared
        ]

    # S003: GET /api/v1/metrics

    def metrics(self) -> dict[str, Any]:
        """Return S003's numbers on servers, and the cost of their tools for a model."""
        view_sessions = self.census.dispatcher
        cost = self.cost(view_sessions.servers.values())
        return {
            "timestamp": written(self.timeline.wall()),
            "gateway_uptime": duration(view_sessions.sessions.now),
            "servers": [_life(each) for each in lives(view_sessions, self.census.lives)],
            "tokens": {
                "total_tools": cost.tools,
                "est_schema_tokens": cost.schema,
                "est_description_tokens": cost.description,
                "est_total_tokens": cost.total,
            },
        }

    def cost(self, servers: Iterable[ServerSpec]) -> Cost:
        """Return the tokens of all known tools' definitions."""
        costs = [self._cost(each) for each in servers]
        return Cost(
            sum(each.tools for each in costs),
            sum(each.schema for each in costs),
            sum(each.description for each in costs),
        )

    def _cost(self, server: ServerSpec) -> Cost:
        tools = self.census.tools(server)
        if tools is None:
            return Cost()
        known = self._costs.get(server.name)
        if known is None or known[0] is not tools:
            known = self._costs[server.name] = (tools, cost_of(tools))
        return known[1]


def _life(life: ServerLife) -> dict[str, Any]:
    return {
        "name": life.server.name,
        "restart_count": life.restarts,
        "mtbf": duration(life.mtbf_s),
        "uptime": duration(life.uptime_s),
        **({"last_crash_at": written(life.last_crash)} if life.last_crash is not None else {}),
    }


def written(seconds: float) -> str:
    """Return a time in epoch seconds as text."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def duration(seconds: float) -> str:
    """Return a duration in Go's notation, such as ``1h2m3s``."""
    minutes, left = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{left}s"
    return f"{minutes}m{left}s" if minutes else f"{left}s"


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
