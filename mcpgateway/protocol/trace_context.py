"""W3C Trace Context: the trace of a request, in ``traceparent`` (W3C Recommendation, level 2).

    traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
                 version, trace, the span of the sender, flags

Over HTTP it is a header.  In MCP it is a member of ``params._meta``, under the same name, beside ``tracestate``.
"""

from __future__ import annotations

import re

from attrs import frozen

from mcpgateway.protocol import peek
from mcpgateway.protocol.jsonrpc import Envelope

PARENT, STATE = "traceparent", "tracestate"
MARK = b'"traceparent"'
"""The member with the trace; a message without it belongs to none."""

STATE_LIMIT = 512  # characters that every participant has to pass on
SAMPLED = 0x01

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_STATE = re.compile(rf"[\x20-\x7e]{{1,{STATE_LIMIT}}}")


@frozen
class TraceContext:
    """The place of a request in a trace.

    :ivar trace: the id of the trace, 32 hexadecimal digits.
    :ivar span: the id of the sender's span, 16 of them.
    """

    trace: str
    span: str
    flags: int = SAMPLED

    @property
    def is_sampled(self) -> bool:
        """True if the originator of the trace records it."""
        return bool(self.flags & SAMPLED)

    def __str__(self) -> str:
        """Return the context as a ``traceparent``."""
        return f"00-{self.trace}-{self.span}-{self.flags & SAMPLED:02x}"

    def within(self, span: str) -> TraceContext:
        """Return the context of requests by another span of the same trace."""
        return TraceContext(self.trace, span, self.flags)


def read(text: str) -> TraceContext | None:
    """Read a ``traceparent``; None for an invalid one, which counts as absent.

    Later versions may have more behind the flags.
    """
    found = _PARENT.fullmatch(text.strip(" \t")) if len(text) <= STATE_LIMIT else None
    if found is None:
        return None
    version, trace, span, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    if not (trace.strip("0") and span.strip("0")):
        return None
    return TraceContext(trace, span, int(flags, 16))


def read_state(text: str) -> str:
    """Return a ``tracestate``, which is passed on unchanged; empty for an invalid one."""
    plain = text.strip(" \t")
    return plain if _STATE.fullmatch(plain) else ""


def headers(meta: Envelope) -> dict[str, str]:
    """Return the headers with the trace in ``_meta``; none where it has no valid one."""
    context = read(peek.text(meta, PARENT) or "")
    if context is None:
        return {}
    state = read_state(peek.text(meta, STATE) or "")
    return {PARENT: str(context), STATE: state} if state else {PARENT: str(context)}


@frozen(eq=False, repr=False)
class Traced:
    """The place of a call in a trace.

    :ivar span: the id of the gateway's own span, which is the call's id.
    :ivar parent: the client's span; empty where the trace begins here.
    """

    context: TraceContext
    span: str
    parent: str = ""
