"""The phases of an HTTP connection, and how many ticks of a second each may last."""

from __future__ import annotations

from math import inf

# What a connection waits for; plain numbers, because they are compared several times for each request.
IDLE, HEAD, BODY, BUSY, FLUSHING, CLOSING, CLOSED = range(7)
HOLDING = frozenset((BUSY, FLUSHING))  # the bytes of a next request are held

IDLE_TICKS = 300
HANDSHAKE_TICKS = 10  # one of TLS that has begun holds 50 kB
HEAD_TICKS = 10
BODY_TICKS = 30
BODY_BYTES_PER_TICK = 1024  # a body has a tick more for each of these
STALL_TICKS = 60  # a reader may take nothing for so long
CLOSING_TICKS = 10


def limit(phase: int, body_size: int, *, is_ready: bool) -> float:
    """How long a phase may last.

    :param body_size: bytes of the body that have been read.
    :param is_ready: the handshake of TLS is over, where there is one.
    """
    if phase == IDLE:
        return IDLE_TICKS if is_ready else HANDSHAKE_TICKS
    if phase == HEAD:
        return HEAD_TICKS
    if phase == BODY:
        return BODY_TICKS + body_size // BODY_BYTES_PER_TICK
    return inf  # the door takes the time it takes


def stall_limit(phase: int) -> int:
    """For how long a reader may take nothing of its answer."""
    return CLOSING_TICKS if phase == CLOSING else STALL_TICKS
