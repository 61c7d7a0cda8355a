"""``python -m tests.bench.overhead``: what the parts cost that look at every call.

One session calls a tool of one server, in this process: requests come as bytes and answers leave as bytes, and there is
neither a socket nor a child, so that what is small can be seen.  The whole road and the road without each part take
turns; each figure is the quickest of many turns, in CPU time.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from secrets import token_hex
from typing import Any

from attrs import define, field

from mcpgateway.observe.activity import ActivityLog
from mcpgateway.observe.tracing import Tracer
from mcpgateway.policy.access import Pass
from tests.bench.tables import Table, number, text
from tests.support.gateway_in_memory import Client, MemoryGateway

CALLS, TURNS = 500, 60
PAYLOAD = "x" * 64
CALL = {
    "jsonrpc": "2.0",
    "id": 7,
    "method": "tools/call",
    "params": {"name": "echo", "arguments": {"text": PAYLOAD}},
}
ANSWER = b',"result":{"content":[{"type":"text","text":"' + PAYLOAD.encode() + b'"}],"isError":false}}'
WHOLE = "the whole road"


class Mute:
    """A child that takes everything, and of which this module says what it answers."""

    pid = 1

    def write(self, line: bytes, *, now: bool = False) -> None:
        """Take a line."""


class Unmeasured:
    """Counts nothing."""

    def begin(self, request: Any) -> None:
        """A request is brought to its server."""


@define
class Open:
    """Lets everybody in, as whoever the first was."""

    verdict: Pass

    def judge(self, exchange: Any, route: Any) -> Pass:
        """Let it in."""
        return self.verdict


@define(eq=False)
class Road:
    """A gateway with one session, and a tool to be called."""

    gateway: MemoryGateway = field(factory=MemoryGateway)
    client: Client = field(init=False)
    request: bytes = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.client = self.gateway.session()
        self.slot.conversation.backend = Mute()
        body = json.dumps(CALL).encode()
        headers = {
            "Host": "localhost:9100",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            **self.client.headers,
            "Content-Length": str(len(body)),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.request = f"POST {self.client.path} HTTP/1.1\r\n{head}\r\n".encode() + body

    @property
    def slot(self) -> Any:
        """The slot of its server."""
        return next(iter(self.gateway.dispatcher.pool))

    def turn(self) -> float:
        """CPU seconds of one call, over some of them."""
        take, transport, conversation = (
            self.client.channel.dataReceived,
            self.client.transport,
            self.slot.conversation,
        )
        hear, request = conversation.line_received, self.request
        before = time.process_time()
        for _ in range(CALLS):
            transport.taken = b""
            take(request)
            (number,) = conversation.pending
            hear(b'{"jsonrpc":"2.0","id":%d%s' % (number, ANSWER))
        spent = time.process_time() - before
        assert b'"id":7,"result"' in transport.taken, transport.taken
        return spent / CALLS


def without_meters(road: Road) -> None:
    """Calls are not counted."""
    road.slot._meter = Unmeasured()


def without_guard(road: Road) -> None:
    """Callers are not asked who they are."""
    judge = road.gateway.root._guard.judge
    seen: list[Any] = []

    def noting(exchange: Any, route: Any) -> Any:
        seen.append(judge(exchange, route))
        return seen[-1]

    road.gateway.root._guard.judge = noting  # type: ignore[method-assign]  # for one call
    road.turn()
    road.gateway.root._guard = Open(seen[-1])  # type: ignore[assignment]  # it does what is asked of it


def without_recorder(road: Road) -> None:
    """Messages are not kept."""
    road.slot.conversation._tape = None


class Nowhere:
    """Takes the lines of a log, and keeps none."""

    def append(self, lines: list[str]) -> None:
        """Add lines."""

    def tail(self, number: int) -> list[str]:
        """The last lines."""
        return []


def with_activity(road: Road) -> None:
    """Of each call a line is written down; what it costs to bring it to the disk is left out."""
    tracer = Tracer(token_hex)
    tracer.activity = ActivityLog(Nowhere(), time.time, tracer.new_id, str)
    road.gateway.hub.follow(tracer)


WITHOUT: Mapping[str, Callable[[Road], None]] = {
    "meters": without_meters,
    "guard": without_guard,
    "recorder": without_recorder,
}

WITH: Mapping[str, Callable[[Road], None]] = {"activity log": with_activity}


def measured() -> Table:
    """The cost of each part."""
    changes = {**WITHOUT, **WITH}
    roads = {WHOLE: Road(), **{name: Road() for name in changes}}
    for name, change in changes.items():
        change(roads[name])
    best = dict.fromkeys(roads, float("inf"))
    for road in roads.values():
        road.turn()
    for _ in range(TURNS):
        for name, road in roads.items():
            best[name] = min(best[name], road.turn())
    whole = best.pop(WHOLE)
    rows = [(WHOLE, number(whole * 1e6), "100 %")]
    for name, other in best.items():
        part = abs(whole - other) if (other > whole) == (name in WITH) else 0.0
        rows.append((name, number(part * 1e6), f"{100 * part / whole:.1f} %"))
    note = (
        "CPU in µs for one call of 64 bytes, in one process, without sockets and children."
        " The activity log is not a part of the whole."
    )
    return Table("What looks at every call", ("part", "µs", "of the road"), rows, note)


if __name__ == "__main__":
    print(text(measured()))
    sys.exit(0)
