"""Follow calls: each gets an id, keeps its place in its client's trace, and is told of when it ends.

A client says in ``params._meta`` which trace a request belongs to, or in the headers of its HTTP request.  The server
is told in ``_meta``: the same, unless spans are exported from here, because then the gateway's own span stands between
the two.  Where the caller names no trace, one is begun if that is wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

from attrs import define, field

from mcpgateway.hub.meters import Row
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc, peek, trace_context
from mcpgateway.protocol.jsonrpc import Message
from mcpgateway.protocol.trace_context import PARENT, STATE, TraceContext, Traced

if TYPE_CHECKING:
    from mcpgateway.observe.activity import ActivityLog
    from mcpgateway.observe.spans import Spans

NUMBERS = 0xFFFFFFFF


@define(eq=False)
class Tracer:
    """Is told of the beginning and the end of every call; its methods are hooks of `mcpgateway.hub.meters.Meters`.

    :ivar begins: a trace is begun where a client has said nothing of one.
    :ivar activity: writes down what has ended; None where that is not wanted.
    :ivar spans: exports what has ended; likewise.
    :param token: gives so many random bytes as hexadecimal digits.
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
        """The id of the next call or request; no two have the same."""
        return f"{self._boot}{self._next() & NUMBERS:08x}"

    def begun(self, call: Request, _: Row) -> None:
        """A call is brought to a server, which is told of the trace."""
        said, meta = call.trace, call.message.meta
        is_in_body = meta is not None and PARENT in meta
        if said is None and not is_in_body and not self.begins and self.spans is None:
            return
        if isinstance(said, Traced):
            return  # it is tried once more
        context, state = self._found(said, call.message, is_in_body=is_in_body)
        parent = context.span if context is not None else ""
        if context is None:
            call.trace = None
            if not self.begins and self.spans is None:
                return
            context = TraceContext(self._token(16), self._token(8))
        span = self.new_id()
        traced = call.trace = Traced(context, span, parent)
        exports = self.spans is not None and context.is_sampled
        if exports or not parent:
            _tell(call.message, str(traced.context.within(span)), state)
        elif not is_in_body:
            _tell(call.message, str(context), state)

    def _found(self, said: Any, message: Message, *, is_in_body: bool) -> tuple[TraceContext | None, str]:
        if is_in_body:
            return trace_context.read(peek.text(message.meta, PARENT) or ""), ""
        if said is None:
            return None, ""
        parent, state = said
        return trace_context.read(parent), trace_context.read_state(state)

    def ended(self, call: Request, row: Row, spent_s: float, outcome: str, said: Any) -> None:
        """A call has been answered, has failed or was taken back."""
        if self.activity is not None:
            self.activity.ended(call, row, spent_s, outcome, said)
        if self.spans is not None and isinstance(call.trace, Traced) and call.trace.context.is_sampled:
            self.spans.ended(call, row, spent_s, outcome, said)

    def tick(self) -> None:
        """A second has passed."""
        if self.activity is not None:
            self.activity.tick()
        if self.spans is not None:
            self.spans.tick()

    def close(self) -> None:
        """Nothing more will end."""
        if self.activity is not None:
            self.activity.flush()


def _tell(message: Message, parent: str, state: str) -> None:
    # It is put into the envelope with the gateway's own id: `mcpgateway.protocol.jsonrpc.splice_request`.
    if message.params is None:
        message.params = {}
    if message.meta is None:
        message.meta = {}
    message.meta[PARENT] = jsonrpc.raw(parent)
    if state:
        message.meta[STATE] = jsonrpc.raw(state)
