"""The messages to a client: the answer to one POST, and the standing stream of GET.

# Note [JSON or SSE by deferral]
No byte is sent before the first message.  The answer is JSON if the response comes first; a notification, or
`PATIENCE_TICKS` of silence, commits it to SSE, because Claude Code gives up on response headers after 60 s.

# Note [Streams that outlive their connection]
For a client that understands event ids (`Session.can_resume`) the events of a committed stream are kept in the
session's replay store.  When its connection breaks the call goes on, its messages are kept, and a GET with
``Last-Event-ID`` resumes it (MCP 2025-11-25, basic/transports, "Resumability and Redelivery").  For older clients a
broken connection ends the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from itertools import chain
from typing import Any

from mcpgateway.errors import Cancelled, GatewayError
from mcpgateway.frontends.http.statuses import status_of
from mcpgateway.hub.keepalive import ProgressKeepalive
from mcpgateway.hub.replay import Replay, ReplayStream
from mcpgateway.hub.sessions import Session, Sessions
from mcpgateway.inherited import StreamState
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc, sse
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.records import FrozenRecord

PATIENCE_TICKS = 30
HEARTBEAT_TICKS = 15
RETRY_MS = 1000  # delay before a client resumes
NO_SESSION = 404  # a client whose request names a session takes any 404 for the session's end


class MovableStream:
    """A stream with which the next program of this process can go on."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Any) -> None:
        self._exchange = exchange

    @property
    def exchange(self) -> Any:
        """The request with its connection."""
        return self._exchange

    def arrivals(self) -> dict[float, bool] | None:
        """Return the times of arrival of its requests, with true for calls; None if one of them cannot go on."""
        return {}

    def pause(self) -> None:
        """Take no more requests: the gateway is about to restart."""

    def state(self, sent: Container[float]) -> StreamState | None:
        """Return its state for the next program; None if the request has all of it.

        :param sent: the times of arrival of the requests whose calls their servers have been sent.
        """
        return None


class Accepted(FrozenRecord, frozen=True):
    """The media types of an answer that a client accepts."""

    json: bool
    sse: bool


class Streams:
    """All open streams, and their ticks.

    :ivar waiting: the POSTs whose answers are under way.
    """

    def __init__(self, sessions: Sessions) -> None:
        self.waiting: set[Any] = set()
        self.sessions = sessions
        # A standing stream is ticked once in a number of ticks, and the streams are spread over them.
        self._wheel: list[set[Any]] = [set() for _ in range(HEARTBEAT_TICKS)]
        self._turn = 0

    def __len__(self) -> int:
        """Return the number of open standing streams."""
        return sum(map(len, self._wheel))

    def replay(self, session: Session) -> Replay:
        """Return the kept events of a session."""
        return session.replay(self.sessions.budget)

    def stand(self, exchange: Any, session: Session, replayed: list[tuple[sse.EventId, bytes]]) -> None:
        """Make an exchange the session's standing stream, and close a former one."""
        stream = GetStream(self, exchange, session, self._turn)
        self.keep(stream)
        stream.begin(replayed)
        former = session.mailbox.attach(stream)
        if former is not None:
            former.close()

    def keep(self, stream: Any) -> int:
        """Tick a standing stream from now on; return its place, the argument of `dropped`."""
        self._wheel[self._turn].add(stream)
        return self._turn

    def dropped(self, stream: Any, spoke: int) -> None:
        """Remove a standing stream that has ended."""
        self._wheel[spoke].discard(stream)

    def tick(self) -> None:
        """Tick the POSTs under way and a part of the standing streams; called once a second."""
        self.sessions.budget.tick(self.sessions.now)
        for each in list(self.waiting):
            each.tick()
        self._turn = (self._turn + 1) % HEARTBEAT_TICKS
        for stream in list(self._wheel[self._turn]):
            stream.beat()

    def open(self) -> Iterator[MovableStream]:
        """Return the POSTs whose answers are under way, and the standing streams."""
        every = dict.fromkeys(chain(self.waiting, *self._wheel))
        return (each for each in every if isinstance(each, MovableStream))

    def close(self, may_go_on: Callable[[Any], bool] = lambda _: False) -> None:
        """End the standing streams: the gateway is stopping.

        :param may_go_on: returns true for a stream that the next program goes on with.
        """
        for spoke in self._wheel:
            for stream in list(spoke):
                if may_go_on(stream):
                    stream.pause()
                else:
                    stream.close()


class PostStream(MovableStream):
    """A POST whose answer is under way.

    :ivar token: the client's progress token, as bytes; None if the client wants no progress.
    """

    __slots__ = (
        "_identifier",
        "_progress",
        "_session",
        "_signs",
        "_streams",
        "_takes",
        "_trail",
        "silent",
        "token",
    )

    def __init__(
        self, streams: Streams, exchange: Any, session: Session, identifier: bytes, takes: Accepted
    ) -> None:
        super().__init__(exchange)
        self._streams = streams
        self._session = session
        self._identifier = identifier
        self._takes = takes
        self._trail: ReplayStream | None = None
        self._progress: Envelope | None = None
        self._signs: ProgressKeepalive | None = None
        self.token: bytes | None = None
        self.silent = 0
        exchange.on_gone = self.gone
        streams.waiting.add(self)
        if exchange.streaming:
            self._commit()  # the former program has begun it

    def arrivals(self) -> dict[float, bool] | None:
        """Return the time at which the request has arrived; None if its large body is forgotten."""
        return {self._exchange.began: True} if self._exchange.body else None

    def answered(self, request: Request, reply: Envelope) -> None:
        """Send the response to the client, under the client's own id."""
        self._say(200, jsonrpc.splice_id(reply, request.id))

    def failed(self, request: Request, why: GatewayError) -> None:
        """Send an error as the response."""
        status = 200 if isinstance(why, Cancelled) else status_of(why)
        if status == NO_SESSION and self._has_session:
            status = 200
        self._say(status, jsonrpc.error_bytes(request.id, why))

    @property
    def _has_session(self) -> bool:
        return self._streams.sessions.named(self._session.id) is self._session

    def _say(self, status: int, body: bytes) -> None:
        self._streams.waiting.discard(self)
        exchange = self._exchange
        exchange.on_gone = None
        if not exchange.gone and not self._takes.json and not exchange.streaming:
            self._commit()
        trail, now = self._trail, self._streams.sessions.now
        event = sse.event(body, self._replay.record(trail, body, now)) if trail is not None else None
        if trail is not None:
            self._replay.end(trail, now)
        if exchange.gone:
            return
        if exchange.streaming:
            exchange.finish(event or sse.event(body))
        else:
            exchange.answer(status, body)

    @property
    def _replay(self) -> Replay:
        return self._streams.replay(self._session)

    def _commit(self) -> None:
        exchange = self._exchange
        exchange.begin_stream()
        if self._session.can_resume:
            trail = self._trail = self._replay.open(self._identifier, self, self._streams.sessions.now)
            exchange.send(sse.primer(self._replay.mark(trail), RETRY_MS))

    @property
    def is_gone(self) -> bool:
        """True once the client's connection has closed; with kept events the client may resume."""
        return bool(self._exchange.gone)

    def progressed(self, request: Request, message: bytes) -> None:
        """Send the call's progress, or keep it for a client that may resume."""
        if self._signs is not None:
            message = self._signs.follow(request, message)
        self._progress = request.progress
        self._speak(message)

    def noticed(self, request: Request, message: bytes) -> bool:
        """Send a message before the response; return false if the client accepts JSON only, or is not connected."""
        return not self._exchange.gone and self._speak(message)

    def _speak(self, message: bytes) -> bool:
        exchange = self._exchange
        if not self._takes.sse or (exchange.gone and self._trail is None):
            return False
        if not exchange.streaming:
            self._commit()
        self.silent = 0
        if self._trail is None:
            return bool(exchange.send(sse.event(message)))
        event = sse.event(message, self._replay.record(self._trail, message, self._streams.sessions.now))
        if not exchange.gone:
            exchange.send(event)
        return True

    def tick(self) -> None:
        """Begin a stream after `PATIENCE_TICKS`, or send a sign of life; called once a second."""
        exchange = self._exchange
        if exchange.gone or exchange.answered:
            if self._trail is None:
                self.gone()
        elif exchange.streaming:
            self._show_life()
        elif self._takes.sse:
            self.silent += 1
            if self.silent >= PATIENCE_TICKS:
                self.silent = 0
                self._commit()
                exchange.send(sse.PING)

    def _show_life(self) -> None:
        if self.token is not None:
            self._signs = self._signs or ProgressKeepalive(self.token)
            sign = self._signs.tick(self._progress)
            if sign is not None:
                self._exchange.send(sse.event(sign))  # not worth keeping
        self.silent += 1
        if self.silent >= HEARTBEAT_TICKS:
            self.silent = 0
            self._exchange.send(sse.PING)

    def gone(self) -> None:
        """Note that the client has disconnected; in the legacy era that cancels no call."""
        if self._trail is None:
            self._streams.waiting.discard(self)

    def carry_on(self, exchange: Any) -> None:
        """Continue on the connection of a client that has resumed; missed events were sent before."""
        former, self._exchange = self._exchange, exchange
        exchange.on_gone = self.gone
        self.silent = 0
        if not former.gone and not former.answered:
            former.on_gone = None
            former.finish()


class GetStream(MovableStream):
    """The stream of a GET: a session's messages that belong to no call."""

    __slots__ = ("_session", "_spoke", "_streams")

    def __init__(self, streams: Streams, exchange: Any, session: Session, spoke: int) -> None:
        super().__init__(exchange)
        self._streams = streams
        self._session = session
        self._spoke = spoke
        exchange.on_gone = self.gone

    def begin(self, replayed: list[tuple[sse.EventId, bytes]]) -> None:
        """Send the head, and the events that the client has missed."""
        self._exchange.begin_stream()
        opening = b": stream\n\n"  # for some clients a stream is open only after its first bytes
        if self._session.can_resume:
            replay = self._streams.replay(self._session)
            opening = sse.primer(replay.mark(replay.standing), RETRY_MS)
        # The primer is sent last: a client that has read its id has read everything before it.
        self._exchange.send(b"".join(sse.event(message, place) for place, message in replayed) + opening)

    def say(self, message: bytes) -> bool:
        """Send a message; return false if the client is not connected."""
        if self._exchange.gone or self._exchange.answered:
            return False
        if not self._session.can_resume:
            return bool(self._exchange.send(sse.event(message)))
        replay = self._streams.replay(self._session)
        # From here on the client can fetch the message, should the connection lose it.
        place = replay.record(replay.standing, message, self._streams.sessions.now)
        self._exchange.send(sse.event(message, place))
        return True

    def beat(self) -> None:
        """Send a comment that shows that the connection lives."""
        if self._exchange.gone or self._exchange.answered:
            self.gone()
        else:
            self._exchange.send(sse.PING)

    def gone(self) -> None:
        """Remove the stream: the client has disconnected."""
        self._streams.dropped(self, self._spoke)
        self._session.mailbox.detach(self)

    def close(self) -> None:
        """End the stream in order."""
        self._streams.dropped(self, self._spoke)
        self._session.mailbox.detach(self)
        self._exchange.on_gone = None
        self._exchange.finish()
