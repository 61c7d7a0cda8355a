"""The events of a session on streams that can be resumed (MCP 2025-11-25, "Resumability").

# Note [What is kept]
A session keeps its latest events, up to `EVENTS_LIMIT` and `BYTES_LIMIT`, and drops the oldest first.  A stream that
has ended is kept for `KEPT_TICKS`, so that a client whose connection broke at the last moment still gets its answer.
Events of the standing stream are kept for the same time, those of a request under way until it ends.

All sessions together keep at most `TOTAL_LIMIT`.  Above it the sessions that keep most drop events, so a chatty server
costs the clients of others nothing.  A message that is sent to many sessions is one object and counts once.

# Note [Ranks]
To find a session that keeps most without a search of all sessions, each has a rank, the bit length of its size: two
sessions of one rank differ by less than a factor of two.  A new event changes the rank rarely, and the fullest session
is the first of the highest rank.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any

from mcpgateway.protocol.sse import EventId
from mcpgateway.records import Record

EVENTS_LIMIT = 256
BYTES_LIMIT = 1024 * 1024
TOTAL_LIMIT = 64 * 1024 * 1024
TRAILS_LIMIT = 64  # ended streams that a session keeps
KEPT_TICKS = 300
EXPIRE_TICKS = 30  # the interval of the search for expired events
EVENT_COST = 128  # bytes that an event takes beside its message
RANKS = (BYTES_LIMIT + EVENTS_LIMIT * EVENT_COST).bit_length() + 1
STANDING = 0  # the number of the standing stream


class ReplayBudget:
    """The events that all sessions keep together.

    :ivar used: their size in bytes; see Note [What is kept].
    """

    __slots__ = ("_keepers", "_ranks", "used")

    def __init__(self) -> None:
        self.used = 0
        self._keepers: dict[int, int] = {}  # the number of sessions that keep a message, by its ``id()``
        self._ranks: list[OrderedDict[Replay, None]] = [OrderedDict() for _ in range(RANKS)]

    def kept(self, message: bytes) -> None:
        """Count a message that a session has kept."""
        keepers = self._keepers.get(id(message), 0)
        self._keepers[id(message)] = keepers + 1
        self.used += EVENT_COST if keepers else EVENT_COST + len(message)

    def dropped(self, message: bytes) -> None:
        """Count a message that a session has dropped."""
        keepers = self._keepers.pop(id(message)) - 1
        if keepers:
            self._keepers[id(message)] = keepers
        self.used -= EVENT_COST if keepers else EVENT_COST + len(message)

    def moved(self, replay: Replay, before: int, after: int) -> None:
        """Move a session to another rank, see Note [Ranks]; 0 is the rank of an empty one."""
        self._ranks[before].pop(replay, None)
        if after:
            self._ranks[after][replay] = None

    def relieve(self) -> None:
        """Let the fullest sessions drop events until the size is within the limit."""
        while self.used > TOTAL_LIMIT:
            fullest = next(rank for rank in reversed(self._ranks) if rank)
            next(iter(fullest)).drop_oldest()

    def tick(self, now: int) -> None:
        """Count one second."""
        if now % EXPIRE_TICKS == 0:
            for rank in self._ranks:
                for replay in list(rank):
                    replay.expire(now)


class ReplayStream(Record):
    """One stream of a session.

    :ivar request: the id of the request that opened it.
    :ivar place: the position of its latest event; -1 before the first.
    :ivar sink: the object that writes the stream, until its end.
    :ivar ended: the tick of its end, or None.
    """

    number: int
    request: bytes = b""
    place: int = -1
    sink: Any = None
    ended: int | None = None


class SentEvent(Record):
    """One event: its stream, its position there, its message and its tick."""

    trail: ReplayStream
    place: int
    message: bytes
    tick: int


class Replay:
    """The events of one session.

    :ivar epoch: the name of this life of the session, a part of its event ids.
    """

    __slots__ = ("_budget", "_events", "_next", "_rank", "_size", "_trails", "epoch")

    def __init__(self, epoch: str, budget: ReplayBudget) -> None:
        self.epoch = epoch
        self._budget = budget
        self._events: deque[SentEvent] = deque()
        self._size = 0
        self._rank = 0
        self._next = STANDING + 1
        self._trails: dict[int, ReplayStream] = {STANDING: ReplayStream(STANDING)}

    @property
    def standing(self) -> ReplayStream:
        """The standing stream, which continues over several connections."""
        return self._trails[STANDING]

    def open(self, request: bytes, sink: Any, now: int) -> ReplayStream:
        """Begin the stream of a request."""
        self._forget(now)
        trail = self._trails[self._next] = ReplayStream(self._next, request, sink=sink)
        self._next += 1
        return trail

    def find(self, number: int) -> ReplayStream | None:
        """Return the stream of a number; None if it was dropped."""
        return self._trails.get(number)

    def mark(self, trail: ReplayStream) -> EventId:
        """Return the id of a stream's next event, an empty one that is not kept."""
        trail.place += 1
        return EventId(self.epoch, trail.number, trail.place, trail.request)

    def record(self, trail: ReplayStream, message: bytes, now: int) -> EventId:
        """Keep the next event of a stream; return its id."""
        identifier = self.mark(trail)
        self._events.append(SentEvent(trail, trail.place, message, now))
        self._size += len(message)
        self._budget.kept(message)
        while len(self._events) > EVENTS_LIMIT or self._size > BYTES_LIMIT:
            self._dropped(self._events.popleft())
        self._weigh()
        self._budget.relieve()
        return identifier

    def after(self, trail: ReplayStream, place: int) -> list[tuple[EventId, bytes]]:
        """Return the kept events of a stream after a position."""
        return [
            (EventId(self.epoch, trail.number, event.place, trail.request), event.message)
            for event in self._events
            if event.trail is trail and event.place > place
        ]

    def end(self, trail: ReplayStream, now: int) -> None:
        """Record the end of a stream."""
        trail.ended, trail.sink = now, None

    def drop_oldest(self) -> None:
        """Drop the oldest event."""
        self._dropped(self._events.popleft())
        self._weigh()

    def clear(self) -> None:
        """Drop all events."""
        while self._events:
            self._dropped(self._events.popleft())
        self._weigh()

    def expire(self, now: int) -> None:
        """Drop the streams and events that have expired."""
        self._forget(now)
        if not self._events or now - self._events[0].tick <= KEPT_TICKS:
            return
        events, self._events = self._events, deque()
        for event in events:
            if now - event.tick <= KEPT_TICKS or self._goes_on(event.trail):
                self._events.append(event)
            else:
                self._dropped(event)
        self._weigh()

    def _goes_on(self, trail: ReplayStream) -> bool:
        # A call may outlive its session's life here: then its stream is unknown to the new object.
        return trail.number != STANDING and trail.ended is None and self._trails.get(trail.number) is trail

    def _forget(self, now: int) -> None:
        ended = [each for each in self._trails.values() if each.ended is not None]
        for nth, trail in enumerate(ended):
            if len(ended) - nth > TRAILS_LIMIT or now - (trail.ended or 0) > KEPT_TICKS:
                del self._trails[trail.number]
        while self._events and self._events[0].trail.number not in self._trails:
            self._dropped(self._events.popleft())
        self._weigh()

    def _dropped(self, event: SentEvent) -> None:
        self._size -= len(event.message)
        self._budget.dropped(event.message)

    def _weigh(self) -> None:
        rank = (self._size + EVENT_COST * len(self._events)).bit_length()
        if rank != self._rank:
            self._budget.moved(self, self._rank, rank)
            self._rank = rank
