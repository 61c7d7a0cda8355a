"""Trace calls: each gets an id, keeps its place in its client's trace, and is recorded at its end.

A client names the trace of a request in ``params._meta``, or in the headers of its HTTP request.  The server gets it in
``_meta``: unchanged, unless the gateway exports spans, because then the gateway's own span is between the two.  If the
caller names no trace, one is begun if the settings say so.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

from attrs import define, field

from mcpgateway.hub.meters import Row
from mcpgateway.interfaces import CallMarks, Request
from mcpgateway.protocol import jsonrpc, peek, trace_context
from mcpgateway.protocol.jsonrpc import Message
from mcpgateway.protocol.trace_context import PARENT, STATE, TraceContext, Traced

if TYPE_CHECKING:
    from mcpgateway.observe.activity import ActivityLog
    from mcpgateway.observe.spans import Spans

NUMBERS = 0xFFFFFFFF


@define(eq=False, repr=False)
class Tracer:
    """Hooks of `mcpgateway.hub.meters.Meters` for the beginning and the end of every call.

    :ivar begins: True if a trace is begun for calls without one.
    :ivar activity: records ended calls; None without an activity log.
    :ivar spans: exports ended calls; None without a collector.
    :param token: returns random bytes as hexadecimal digits.
    """

    _token: Callable[[int], str] = field(repr=False)
    begins: bool = False
    activity: ActivityLog | None = None
    spans: Spans | None = None
    _boot: str = field(init=False)
    _next: Callable[[], int] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._boot = self._token(4)
        self._next = count(1).__next__

    def new_id(self) -> str:
        """Return the id of the next call or request, which is unique."""
        return f"{self._boot}{self._next() & NUMBERS:08x}"

    def begun(self, request: Request, _: Row) -> None:
        """Add the trace to a call before it is sent to the server."""
        if self.activity is not None:
            request.marks = CallMarks()
        given, meta = request.trace, request.message.meta
        is_in_body = meta is not None and PARENT in meta
        if given is None and not is_in_body and not self.begins and self.spans is None:
            return
        if isinstance(given, Traced):
            return  # it is sent once more
        context, state = self._found(given, request.message, is_in_body=is_in_body)
        parent = context.span if context is not None else ""
        if context is None:
            request.trace = None
            if not self.begins and self.spans is None:
                return
            context = TraceContext(self._token(16), self._token(8))
        span = self.new_id()
        traced = request.trace = Traced(context, span, parent)
        exports = self.spans is not None and context.is_sampled
        if exports or not parent:
            _tell(request.message, str(traced.context.within(span)), state)
        elif not is_in_body:
            _tell(request.message, str(context), state)

    def _found(self, given: Any, message: Message, *, is_in_body: bool) -> tuple[TraceContext | None, str]:
        if is_in_body:
            return trace_context.read(peek.text(message.meta, PARENT) or ""), ""
        if given is None:
            return None, ""
        parent, state = given
        return trace_context.read(parent), trace_context.read_state(state)

    def ended(self, request: Request, row: Row, spent_s: float, outcome: str, response: Any) -> None:
        """Record a call that was answered, has failed or was cancelled."""
        if self.activity is not None:
            self.activity.ended(request, row, spent_s, outcome, response)
        if self.spans is not None and isinstance(request.trace, Traced) and request.trace.context.is_sampled:
            self.spans.ended(request, row, spent_s, outcome, response)

    def tick(self) -> None:
        """Tick the log and the spans; called once a second."""
        if self.activity is not None:
            self.activity.tick()
        if self.spans is not None:
            self.spans.tick()

    def close(self) -> None:
        """Write and send what waits; no further call ends."""
        if self.activity is not None:
            self.activity.flush()


def _tell(message: Message, parent: str, state: str) -> None:
    # It is inserted into the envelope with the gateway's own id: `mcpgateway.protocol.jsonrpc.splice_request`.
    if message.params is None:
        message.params = {}
    if message.meta is None:
        message.meta = {}
    message.meta[PARENT] = jsonrpc.raw(parent)
    if state:
        message.meta[STATE] = jsonrpc.raw(state)
