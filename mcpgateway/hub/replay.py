"""The events a session has been sent on streams that can be resumed (MCP 2025-11-25, "Resumability").

# Note [What is kept]
The latest events of a session, up to `EVENTS_LIMIT` and `BYTES_LIMIT`, the oldest giving way; all sessions together
keep no more than `TOTAL_LIMIT`.  A stream that ended is remembered for `KEPT_TICKS`, so that a client whose connection
broke at the last moment still gets its answer.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from attrs import define, field

from mcpgateway.wire.sse import EventId

EVENTS_LIMIT = 256
BYTES_LIMIT = 1024 * 1024
TOTAL_LIMIT = 64 * 1024 * 1024
TRAILS_LIMIT = 64  # ended streams that a session remembers
KEPT_TICKS = 300
STANDING = 0  # the number of the standing stream


@define
class Budget:
    """How many bytes all sessions keep together."""

    used: int = 0


@define(eq=False)
class Trail:
    """One stream, as far as it has been walked.

    :ivar request: the id of the request that opened it.
    :ivar place: the place of its latest event; -1 before the first.
    :ivar sink: who carries the stream on, while it lasts.
    :ivar ended: the tick it ended in, or None.
    """

    number: int
    request: bytes = b""
    place: int = -1
    sink: Any = field(default=None, repr=False)
    ended: int | None = None


class Replay:
    """The events of one session.

    :ivar epoch: names this life of the session.
    """

    __slots__ = ("_budget", "_events", "_next", "_size", "_trails", "epoch")

    def __init__(self, epoch: str, budget: Budget) -> None:
        self.epoch = epoch
        self._budget = budget
        self._events: deque[tuple[Trail, int, bytes]] = deque()
        self._size = 0
        self._next = STANDING + 1
        self._trails: dict[int, Trail] = {STANDING: Trail(STANDING)}

    @property
    def standing(self) -> Trail:
        """The stream of GET, which goes on from one connection to the next."""
        return self._trails[STANDING]

    def open(self, request: bytes, sink: Any, now: int) -> Trail:
        """Begin the stream of a request."""
        self._forget(now)
        trail = self._trails[self._next] = Trail(self._next, request, sink=sink)
        self._next += 1
        return trail

    def find(self, number: int) -> Trail | None:
        """The stream of that number, if it is remembered."""
        return self._trails.get(number)

    def mark(self, trail: Trail) -> EventId:
        """The id of a stream's next event, one that says nothing and need not be kept."""
        trail.place += 1
        return EventId(self.epoch, trail.number, trail.place, trail.request)

    def record(self, trail: Trail, message: bytes) -> EventId:
        """Keep the next event of a stream; returns its id."""
        identifier = self.mark(trail)
        self._events.append((trail, trail.place, message))
        self._resize(len(message))
        while self._events and (
            len(self._events) > EVENTS_LIMIT or self._size > BYTES_LIMIT or self._budget.used > TOTAL_LIMIT
        ):
            self._drop_oldest()
        return identifier

    def after(self, trail: Trail, place: int) -> list[tuple[EventId, bytes]]:
        """The kept events of a stream that follow a place."""
        return [
            (EventId(self.epoch, trail.number, nth, trail.request), message)
            for owner, nth, message in self._events
            if owner is trail and nth > place
        ]

    def end(self, trail: Trail, now: int) -> None:
        """A stream has said its last."""
        trail.ended, trail.sink = now, None

    def clear(self) -> None:
        """Give everything back."""
        while self._events:
            self._drop_oldest()

    def _forget(self, now: int) -> None:
        ended = [each for each in self._trails.values() if each.ended is not None]
        for nth, trail in enumerate(ended):
            if len(ended) - nth > TRAILS_LIMIT or now - (trail.ended or 0) > KEPT_TICKS:
                del self._trails[trail.number]
        while self._events and self._events[0][0].number not in self._trails:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, _, message = self._events.popleft()
        self._resize(-len(message))

    def _resize(self, by: int) -> None:
        self._size += by
        self._budget.used += by
