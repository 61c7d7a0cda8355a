"""The phases of an HTTP connection, and how many ticks of a second each may last."""

from __future__ import annotations

from math import inf

# The states of a connection; plain numbers, because they are compared several times for each request.
IDLE, HEAD, BODY, BUSY, FLUSHING, CLOSING, CLOSED = range(7)
HOLDING = frozenset((BUSY, FLUSHING))  # bytes of the next request are held

IDLE_TICKS = 300
HANDSHAKE_TICKS = 10  # a TLS handshake under way holds 50 kB
HEAD_TICKS = 10
BODY_TICKS = 30
BODY_BYTES_PER_TICK = 1024  # a body may last a tick longer for each of these
STALL_TICKS = 60  # a reader that reads nothing for so long is cut off
CLOSING_TICKS = 10


def limit(phase: int, body_size: int, *, is_ready: bool) -> float:
    """Return the ticks that a phase may last.

    :param body_size: bytes of the body that have been read.
    :param is_ready: the TLS handshake is over, or the connection has no TLS.
    """
    if phase == IDLE:
        return IDLE_TICKS if is_ready else HANDSHAKE_TICKS
    if phase == HEAD:
        return HEAD_TICKS
    if phase == BODY:
        return BODY_TICKS + body_size // BODY_BYTES_PER_TICK
    return inf  # the frontend's own limits apply


def stall_limit(phase: int) -> int:
    """Return the ticks for which a client may read nothing of its answer."""
    return CLOSING_TICKS if phase == CLOSING else STALL_TICKS
