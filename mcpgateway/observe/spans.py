"""Export the spans of calls: OTLP over HTTP, with JSON as its encoding (OpenTelemetry protocol 1.x).

Spans wait in a bounded queue and are sent in batches, never two at once.  If the collector refuses them they are sent
again after increasing delays, and the oldest are dropped: calls never wait for the collector.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any
from urllib.parse import unquote

import msgspec
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway import __version__
from mcpgateway.errors import GatewayError
from mcpgateway.hub.meters import CALL_TOOL, CANCELLED, ERROR, Row
from mcpgateway.interfaces import Request
from mcpgateway.observe.activity import ERROR_CHARS, failure_of
from mcpgateway.protocol.trace_context import Traced

QUEUE_LIMIT = 4096
BATCH = 512
EVERY_TICKS = 5
LONGEST_TICKS = 60  # between two attempts
SERVER_KIND = 2
FAILED = 2
TRACES = "/v1/traces"
PASSING = frozenset((408, 429, 502, 503, 504))  # it may accept the same spans later (OTLP specification)

_encode = msgspec.json.Encoder().encode


def endpoint_of(base: str) -> str:
    """Return the URL for spans, from a base URL or a complete one."""
    return base if base.endswith(TRACES) else base.rstrip("/") + TRACES


def headers_of(text: str) -> dict[str, str]:
    """Parse headers in the form of ``OTEL_EXPORTER_OTLP_HEADERS``: ``name=value``, with commas, URL-encoded."""
    pairs = (each.partition("=") for each in text.split(",") if "=" in each)
    return {unquote(name.strip()): unquote(value.strip()) for name, _, value in pairs}


@define(eq=False, repr=False)
class Spans:
    """Sends spans of calls to a collector.

    :param send: posts a body; fires with the status of the answer.
    :param now: returns epoch seconds.
    :param redact: removes all secrets from a text.
    :ivar dropped: number of dropped spans.
    """

    log = Logger()

    _send: Callable[[bytes], Deferred[int]] = field(repr=False)
    _now: Callable[[], float] = field(repr=False)
    _redact: Callable[[str], str] = field(repr=False)
    dropped: int = 0
    _queue: deque[dict[str, Any]] = field(factory=deque, init=False, repr=False)
    _under_way: int = 0  # number of spans at the head of the queue that are being sent
    _wait: int = EVERY_TICKS
    _ticks: int = 0
    _is_failing: bool = False

    def ended(self, request: Request, row: Row, spent_s: float, outcome: str, response: Any) -> None:
        """Queue the span of a call that belongs to a trace."""
        traced: Traced = request.trace
        end = self._now()
        span: dict[str, Any] = {
            "traceId": traced.context.trace,
            "spanId": traced.span,
            "name": f"{row.method} {row.tool}".rstrip(),
            "kind": SERVER_KIND,
            "startTimeUnixNano": str(int((end - spent_s) * 1e9)),
            "endTimeUnixNano": str(int(end * 1e9)),
            "attributes": list(_attributes(request, row, outcome)),
        }
        if traced.parent:
            span["parentSpanId"] = traced.parent
        if outcome == ERROR:
            code, text = failure_of(response)
            span["attributes"].append(_attribute("error.type", "tool_error" if code is None else str(code)))
            span["status"] = {"code": FAILED, "message": self._redact(text)[:ERROR_CHARS]}
        if len(self._queue) >= QUEUE_LIMIT:
            del self._queue[self._under_way]  # the oldest that is not being sent
            self.dropped += 1
        self._queue.append(span)

    def tick(self) -> None:
        """Send a batch when it is due; called once a second."""
        self._ticks += 1
        is_due = self._ticks >= self._wait or (len(self._queue) >= BATCH and not self._is_failing)
        if self._queue and is_due and not self._under_way:
            self._ticks = 0
            self._under_way = min(BATCH, len(self._queue))
            body = _encode(_request(list(islice(self._queue, self._under_way))))
            self._send(body).addCallbacks(self._answered, self._failed).addErrback(self._broken)

    def _answered(self, status: int) -> None:
        if 200 <= status < 300:
            self._taken()
            return
        self._again(f"HTTP {status}")
        if status not in PASSING:
            self.dropped += self._forget()
        self._under_way = 0

    def _failed(self, why: Failure) -> None:
        why.trap(GatewayError)
        self._again(str(why.value))
        self._under_way = 0

    def _broken(self, why: Failure) -> None:
        self.log.failure("spans could not be sent", why, event="spans.broken")
        self.dropped += self._forget()

    def _taken(self) -> None:
        self._forget()
        self._wait = EVERY_TICKS
        if self._is_failing:
            self._is_failing = False
            self.log.info("spans are taken again", event="spans.sent")

    def _again(self, why: str) -> None:
        self._wait = min(self._wait * 2, LONGEST_TICKS)
        if not self._is_failing:
            self._is_failing = True
            self.log.warn("spans are not taken: {why}", event="spans.unsent", why=why)

    def _forget(self) -> int:
        number, self._under_way = self._under_way, 0
        for _ in range(number):
            self._queue.popleft()
        return number


def _attributes(request: Request, row: Row, outcome: str) -> Iterator[dict[str, Any]]:
    # The names of OpenTelemetry's semantic conventions for MCP, as far as it has them.
    yield _attribute("mcp.method.name", row.method)
    yield _attribute("mcpgateway.server", row.server)
    yield _attribute("jsonrpc.request.id", request.id.decode(errors="replace"))
    if row.method == CALL_TOOL:
        yield _attribute("gen_ai.operation.name", "execute_tool")
        yield _attribute("gen_ai.tool.name", row.tool)
    if outcome == CANCELLED:
        yield _attribute("mcpgateway.cancelled", "true")


def _attribute(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}


def _request(spans: list[dict[str, Any]]) -> dict[str, Any]:
    resource = [_attribute("service.name", "mcpgateway"), _attribute("service.version", __version__)]
    scope = {"name": "mcpgateway", "version": __version__}
    return {
        "resourceSpans": [
            {"resource": {"attributes": resource}, "scopeSpans": [{"scope": scope, "spans": spans}]}
        ]
    }
