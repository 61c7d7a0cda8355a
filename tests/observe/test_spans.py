"""Spans of calls, sent to whoever collects them."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from mcpgateway.errors import Unreachable
from mcpgateway.hub.meters import Meter, Meters, Row
from mcpgateway.interfaces import Request
from mcpgateway.observe.spans import (
    BATCH,
    EVERY_TICKS,
    LONGEST_TICKS,
    QUEUE_LIMIT,
    Spans,
    endpoint_of,
    headers_of,
)
from mcpgateway.protocol.jsonrpc import own_request
from mcpgateway.protocol.trace_context import TraceContext, Traced

CONTEXT = TraceContext("a" * 32, "b" * 16)
ROW = Row(Meter(Meters(lambda: 0.0), "shared"), "tools/call", "echo")


class Collector:
    """Takes bodies, and answers when the test says so."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.waiting: list[Deferred[int]] = []
        self.spans = Spans(self.send, lambda: 100.0, lambda text: text.replace("hush", "•"))

    def send(self, body: bytes) -> Deferred[int]:
        self.bodies.append(json.loads(body))
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def end(self, outcome: str = "ok", said: Any = None, parent: str = "c" * 16, number: int = 1) -> None:
        """Let a call end."""
        traced = Traced(CONTEXT, f"{number:016x}", parent)
        call = Request(None, own_request("tools/call"), None, SimpleNamespace(), trace=traced)
        self.spans.ended(call, ROW, 0.5, outcome, said)

    def tick(self, times: int = EVERY_TICKS) -> None:
        """Let time pass."""
        for _ in range(times):
            self.spans.tick()

    def sent(self, number: int = -1) -> list[dict[str, Any]]:
        """The spans of a body."""
        found: list[dict[str, Any]] = self.bodies[number]["resourceSpans"][0]["scopeSpans"][0]["spans"]
        return found


class SpanTests:
    """The span of a call."""

    def test_a_span(self) -> None:
        """A span has its place in the trace, its times, and names that collectors know."""
        collector = Collector()
        collector.end()
        collector.tick()
        (span,) = collector.sent()
        attributes = {each["key"]: each["value"]["stringValue"] for each in span.pop("attributes")}
        assert span == {
            "traceId": "a" * 32,
            "spanId": "0" * 15 + "1",
            "parentSpanId": "c" * 16,
            "name": "tools/call echo",
            "kind": 2,
            "startTimeUnixNano": "99500000000",
            "endTimeUnixNano": "100000000000",
        }
        assert attributes["mcp.method.name"] == "tools/call"
        assert attributes["gen_ai.tool.name"] == "echo"
        assert attributes["mcpgateway.server"] == "shared"
        resource = collector.bodies[0]["resourceSpans"][0]["resource"]["attributes"]
        assert resource[0] == {"key": "service.name", "value": {"stringValue": "mcpgateway"}}

    def test_an_error(self) -> None:
        """A failure is recorded in words without secrets; a trace that begins here has no parent."""
        collector = Collector()
        collector.end("error", Unreachable("hush, nobody is there"), parent="")
        collector.tick()
        (span,) = collector.sent()
        assert span["status"] == {"code": 2, "message": "•, nobody is there"}
        assert "parentSpanId" not in span

    @pytest.mark.parametrize("base", ["http://h:4318", "http://h:4318/", "http://h:4318/v1/traces"])
    def test_endpoint(self, base: str) -> None:
        """A base URL is enough."""
        assert endpoint_of(base) == "http://h:4318/v1/traces"

    @pytest.mark.parametrize(
        ("text", "headers"),
        [("", {}), ("a=1, b=x%20y=z", {"a": "1", "b": "x y=z"}), ("nonsense", {})],
    )
    def test_headers(self, text: str, headers: dict[str, str]) -> None:
        """The headers are read from the environment as OpenTelemetry defines them."""
        assert headers_of(text) == headers


class SendingTests:
    """The times at which spans are sent."""

    def test_a_batch_at_a_time(self) -> None:
        """Spans are sent every few seconds, or when many wait; a batch waits for the answer to the one before."""
        collector = Collector()
        for number in range(BATCH + 3):
            collector.end(number=number)
        collector.tick(1)
        assert len(collector.sent()) == BATCH
        collector.tick(100)
        assert len(collector.bodies) == 1
        collector.waiting[0].callback(200)
        collector.tick()
        assert [each["spanId"] for each in collector.sent()] == [f"{BATCH + at:016x}" for at in range(3)]
        collector.waiting[1].callback(200)
        collector.tick(100)
        assert len(collector.bodies) == 2

    @pytest.mark.parametrize("answer", [503, Unreachable("nobody is there")])
    def test_nobody_takes_them(self, answer: Any) -> None:
        """Spans without an answer are sent again, ever later, until a collector takes them."""
        collector = Collector()
        collector.end()
        collector.tick()
        collector.waiting[0].errback(answer) if isinstance(answer, Exception) else collector.waiting[
            0
        ].callback(answer)
        collector.tick(EVERY_TICKS * 2 - 1)
        assert len(collector.bodies) == 1
        collector.tick(1)
        assert collector.sent(1) == collector.sent(0)
        collector.waiting[1].callback(200)
        collector.tick(LONGEST_TICKS)
        assert len(collector.bodies) == 2
        assert collector.spans.dropped == 0

    def test_what_is_never_taken(self) -> None:
        """A span that is refused for good is dropped."""
        collector = Collector()
        collector.end()
        collector.tick()
        collector.waiting[0].callback(400)
        collector.tick(LONGEST_TICKS)
        assert (len(collector.bodies), collector.spans.dropped) == (1, 1)

    def test_bound(self) -> None:
        """The oldest that are not just being sent give way."""
        collector = Collector()
        collector.end(number=0)
        collector.tick()
        for number in range(1, QUEUE_LIMIT + 2):
            collector.end(number=number)
        assert collector.spans.dropped == 2
        collector.waiting[0].callback(200)
        collector.tick()
        assert collector.sent()[0]["spanId"] == f"{3:016x}"
