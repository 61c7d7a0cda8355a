"""Streams of server-sent events: past entries, then new ones, at each reader's speed.

# Note [Slow readers]
No byte is written while the connection is congested.  New entries wait in a buffer of `BUFFER` entries; when it is
full, the oldest are dropped, and the reader gets the number of dropped ones.

# Note [Fair streams]
The number of streams is bounded, and one caller may have all of them while no other wants one.  When another caller
comes, the caller with the most streams loses its latest one, unless the new caller would have nearly as many.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from zope.interface import implementer

from mcpgateway.errors import Overloaded
from mcpgateway.frontends.batched_timer import batched_timer
from mcpgateway.observe.event_feed import FeedEntry

BUFFER = 64
HEARTBEAT_S = 15.0
RETRY_MS = 1000  # delay before a client reconnects
PIECE = 50  # entries that are written at once
PUT_OFF = b": this stream ends, because others want to read, too\n\n"
Follow = Callable[["StreamReader"], Callable[[], None]]
"""Begins to tell a reader of what happens; returns what ends that."""


@implementer(IPushProducer)
@define(eq=False, repr=False)
class StreamReader:
    """A reader of a stream; see Note [Slow readers].

    :param timer: txaio's batched timer, which all readers share.
    :param wants: predicate that selects the entries for this reader.
    """

    _request: Any = field(repr=False)
    _timer: Any = field(repr=False)
    _wants: Callable[[FeedEntry], bool] = field(repr=False)
    _known: Iterator[FeedEntry] | None = field(init=False, default=None)
    _waiting: deque[FeedEntry] = field(init=False, factory=deque)
    _left_out: int = field(init=False, default=0)
    _is_paused: bool = field(init=False, default=False)
    _is_pumping: bool = field(init=False, default=False)
    _is_last: bool = field(init=False, default=False)
    _done: Deferred[None] | None = field(init=False, default=None)
    _beat: Any = field(init=False, default=None)

    def read(self, known: Iterable[FeedEntry], *, goes_on: bool) -> Deferred[None]:
        """Write past entries, and then new ones if ``goes_on``; fires at the end of the stream."""
        self._known = iter(known)
        self._is_last = not goes_on
        self._done = Deferred()
        self._request.registerProducer(self, True)
        self._request.write(b"retry: %d\n\n" % RETRY_MS)
        self._beat = self._timer.call_later(HEARTBEAT_S, self._heartbeat)
        done = self._done
        self._pump()
        return done

    def close(self) -> None:
        """Stop reading: the client has disconnected, or all entries were written."""
        beat, self._beat = self._beat, None
        if beat is not None:
            beat.cancel()
        self._known = None
        self._waiting.clear()

    def added(self, entry: FeedEntry) -> None:
        """Take a new event."""
        if self._is_last or not self._wants(entry):
            return
        self._waiting.append(entry)
        if not self._is_pumping:
            self._pump()
        while len(self._waiting) > BUFFER:
            self._waiting.popleft()
            self._left_out += 1

    def ended(self) -> None:
        """End the stream after its waiting events."""
        self._is_last = True
        self._pump()

    def put_off(self) -> None:
        """End the stream in favour of another caller, without its waiting events."""
        done, self._done = self._done, None
        if done is not None:
            self._is_last = True
            self._known = None
            self._waiting.clear()
            self._request.unregisterProducer()
            self._request.write(PUT_OFF)
            done.callback(None)

    def _heartbeat(self) -> None:
        if not self._is_paused:
            self._request.write(b": still here\n\n")
        self._beat = self._timer.call_later(HEARTBEAT_S, self._heartbeat)

    def _pump(self) -> None:
        if self._is_pumping:
            return
        self._is_pumping = True
        try:
            while not self._is_paused and (piece := b"".join(self._piece())):
                self._request.write(piece)
        finally:
            self._is_pumping = False
        if self._is_last and not (self._is_paused or self._known or self._waiting):
            done, self._done = self._done, None
            if done is not None:
                self._request.unregisterProducer()  # after a disconnect, the request has done that
                done.callback(None)

    def _piece(self) -> Iterator[bytes]:
        if self._known is not None:
            piece = [written(entry) for entry in islice(self._known, PIECE)]
            if piece:
                yield b"".join(piece)
                return
            self._known = None
        if self._left_out:
            yield b": %d were left out, because they were read too slowly\n\n" % self._left_out
            self._left_out = 0
        while self._waiting:
            yield written(self._waiting.popleft())

    def pauseProducing(self) -> None:
        """Pause writing: the connection is congested."""
        self._is_paused = True

    def resumeProducing(self) -> None:
        """Continue to write."""
        self._is_paused = False
        self._pump()

    def stopProducing(self) -> None:
        """Stop writing: the reader is gone; `close` follows."""
        self._is_paused = True


def written(entry: FeedEntry) -> bytes:
    """Return an entry as an event."""
    kind = f"event: {entry.kind}\n" if entry.kind else ""
    return f"id: {entry.identifier}\n{kind}data: {entry.text}\n\n".encode(errors="replace")


@define(eq=False, repr=False)
class Readers:
    """All readers, within a bound; see Note [Fair streams].

    :param most: returns the current bound.
    """

    _clock: IReactorTime = field(repr=False)
    _most: Callable[[], int] = field(repr=False)
    _reading: dict[str, list[StreamReader]] = field(init=False, factory=dict, repr=False)
    _timer: Any = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._timer = batched_timer(self._clock)

    def __len__(self) -> int:
        """Return the number of open streams."""
        return sum(map(len, self._reading.values()))

    def check(self, caller: str) -> None:
        """Make room for a caller's stream, by ending one of a caller with too many, or refuse it.

        :raise Overloaded: no room can be made.
        """
        number = len(self)
        if number < self._most():
            return
        greediest = max(self._reading, key=lambda each: len(self._reading[each]), default=caller)
        readers = self._reading.get(greediest, [])
        if len(readers) <= len(self._reading.get(caller, ())) + 1:
            raise Overloaded(
                f"{number} streams are read, and gateway.limits.log_streams allows no more",
                "end one of them, or raise the limit",
            )
        readers[-1].put_off()

    async def serve(
        self,
        request: Any,
        caller: str,
        known: Callable[[], Iterable[FeedEntry]],
        follow: Follow | None,
        wants: Callable[[FeedEntry], bool] = lambda _: True,
    ) -> None:
        """Write past entries to a request, and then new ones, until the stream ends or the client disconnects.

        :param follow: None: the stream ends after the past entries.
        """
        reader = StreamReader(request, self._timer, wants)
        self._reading.setdefault(caller, []).append(reader)
        leave = follow(reader) if follow is not None else None
        try:
            await reader.read(filter(wants, known()), goes_on=leave is not None)
        finally:
            self._forget(caller, reader)
            if leave is not None:
                leave()
            reader.close()

    def _forget(self, caller: str, reader: StreamReader) -> None:
        readers = self._reading[caller]
        readers.remove(reader)
        if not readers:
            del self._reading[caller]
