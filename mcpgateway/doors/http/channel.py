"""The one HTTP/1.1 server: a listener's protocol for TCP, TLS and Unix sockets (RFC 9112).

# Note [One exchange at a time]
A request is read whole, handed to the door, and answered, before a byte of the next one is looked at.  Bytes that come
early are held raw and reading is paused, so pipelining is answered in order and costs one chunk of memory.  While
nothing is held, reading goes on, because that is how a disconnect is noticed.

# Note [Known heads]
A client repeats itself: the head of its next request mostly is, byte for byte, the head of its last one.  Equal bytes
read from the start of a request mean the same, so the last head of a connection is kept and compared, not parsed.

# Note [Ticks]
There is no timer here.  `ChannelFactory.sweep` is called once a second and counts the age of each phase, so a suspended
machine or a corrected clock ends nothing.

# Note [Sending at once]
`transport.write` only queues: the bytes leave one reactor turn and two `epoll_ctl` later, which costs as much as
everything else here.  So as long as nothing is queued, the channel sends on the socket itself, and queues what is
left.  Never under TLS, whose transport passes such calls on to the naked socket.
"""

from __future__ import annotations

import contextlib
import secrets
from datetime import UTC, datetime
from typing import Any

from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    IReactorTime,
    ISSLTransport,
)
from twisted.internet.tcp import Server
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mcpgateway.doors.http.chunked import BadChunk, ChunkedBody
from mcpgateway.doors.http.exchange import CLOSE, KEEP_ALIVE, LARGE, STATUS_LINES, Exchange
from mcpgateway.doors.http.head import CHUNKED, HEAD_LIMIT, BadHead, Head, HeadReader, read_head, too_long
from mcpgateway.interfaces import IDoor

CONNECTIONS_LIMIT = 10_000
REFUSALS_LIMIT = 256  # connections beyond the limit that are still told why; the rest is cut
STREAM_BACKLOG_LIMIT = 4 * 1024 * 1024  # bytes a stream's reader may be behind, beyond the transport's buffer
KNOWN_HEAD_LIMIT = 2048  # bytes of the head that each connection may keep
FLUSH_PIECE = 256 * 1024  # bytes of a backlog given to the transport at once
LINGER_LIMIT = (
    1024 * 1024
)  # bytes of an unwanted body that are read so that the refusal is not lost to a reset

IDLE_TICKS = 300
HEAD_TICKS = 10
BODY_TICKS = 30
BODY_BYTES_PER_TICK = 1024  # a body has a tick more for each of these
STALL_TICKS = 60  # a reader may take nothing for so long
CLOSING_TICKS = 10

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

IDLE, HEAD, BODY, BUSY, FLUSHING, CLOSING, CLOSED = range(7)
WAITING = frozenset((BUSY, FLUSHING))  # phases in which bytes of a next request are held

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@implementer(IProtocol, IPushProducer)
class Channel:
    """One connection.

    :ivar age: ticks since the phase began.
    :ivar is_last: no request is taken after the current one.
    :ivar is_congested: the transport's buffer is full.
    """

    log = Logger()

    __slots__ = (
        "_backlog",
        "_backlog_size",
        "_body",
        "_chunked",
        "_door",
        "_exchange",
        "_head",
        "_held",
        "_is_direct",
        "_is_paused",
        "_is_turning",
        "_known",
        "_known_raw",
        "_known_size",
        "_limit",
        "_lingered",
        "_progress",
        "_reader",
        "_stalled",
        "age",
        "factory",
        "is_congested",
        "is_last",
        "peer",
        "phase",
        "secure",
        "transport",
        "web_producer",
    )

    def __init__(self, factory: ChannelFactory) -> None:
        self.factory = factory
        self._door = factory.door
        self.transport: Any = None
        self.peer: Any = None
        self.secure = False
        self.phase = IDLE
        self.age = 0
        self.is_last = factory.is_draining
        self.is_congested = False
        self.web_producer: Any = None
        self._is_direct = False
        self._is_paused = False
        self._is_turning = False
        self._known: Head | None = None
        self._known_raw = b""
        self._known_size = -1
        self._exchange: Exchange | None = None
        self._head = b""
        self._reader: HeadReader | None = None
        self._held = b""
        self._body: bytearray | None = None
        self._chunked: ChunkedBody | None = None
        self._limit = 0
        self._backlog: list[bytes] = []
        self._backlog_size = 0
        self._lingered = 0
        self._stalled = 0
        self._progress: Any = None

    # Connection

    def makeConnection(self, transport: Any) -> None:
        """The client has connected."""
        self.transport = transport
        self.peer = transport.getPeer()
        self.secure = ISSLTransport.providedBy(transport)
        self._is_direct = isinstance(transport, Server) and not self.secure
        set_no_delay = getattr(transport, "setTcpNoDelay", None)
        if set_no_delay is not None:
            # A Unix socket knows no such option, and a client may have gone by now.
            with contextlib.suppress(OSError):
                set_no_delay(True)
        self.connectionMade()

    def connectionMade(self) -> None:
        """Count the connection in, or turn it away."""
        self.transport.registerProducer(self, True)
        connections = self.factory.connections
        present = len(connections)
        connections.add(self)
        if present >= CONNECTIONS_LIMIT + REFUSALS_LIMIT:
            self.abort()
        elif present >= CONNECTIONS_LIMIT:
            self._refuse(503, "Too many connections", b"Retry-After: 10\r\n")

    def connectionLost(self, reason: Failure) -> None:
        """The client has gone, or was cut off."""
        self.factory.connections.discard(self)
        self.phase = CLOSED
        self._reader = None
        self._held = b""
        self._backlog.clear()
        self._tell_gone()

    def _tell_gone(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        exchange.gone = True
        on_gone, exchange.on_gone = exchange.on_gone, None
        if on_gone is not None and not exchange.answered:
            try:
                on_gone()
            except Exception:  # noqa: BLE001  # the other connections go on
                self.log.failure("the end of a connection was not handled", event="http.gone_failed")

    # Reading

    def dataReceived(self, data: bytes) -> None:
        """Serve what has arrived, or hold it until its turn."""
        phase = self.phase
        if phase == IDLE:
            if len(data) == self._known_size and data.startswith(self._known_raw):
                # The hot road, see Note [Known heads]: one known head with its whole body.
                known = self._known
                assert known is not None
                self.age = 0
                self._serve(known, data[len(known.raw) :])
                return
            self._turn(data)
        elif phase in WAITING:
            self._held += data
            self._pause()
        elif phase < BUSY:
            self._turn(data)
        elif phase == CLOSING:
            self._linger(data)

    def _turn(self, data: bytes) -> None:
        """Read requests for as long as each is answered at once; hold the rest."""
        self._is_turning = True
        try:
            while data:
                if self.phase == IDLE:
                    data = self._begin_head(data)
                elif self.phase == HEAD:
                    data = self._read_head(data)
                elif self.phase == BODY:
                    data = self._read_body(data)
                else:
                    break
        finally:
            self._is_turning = False
        if self.phase < BUSY:
            self._resume()
        elif data and self.phase in WAITING:
            self._held = data
            self._pause()

    def _begin_head(self, data: bytes) -> bytes:
        self.age = 0
        known = self._known
        if known is not None and data.startswith(known.raw):
            return self._opened(known, data[len(known.raw) :])
        end = data.find(b"\r\n\r\n")
        if end < 0 or data.startswith(b"\r\n"):
            self.phase = HEAD
            return self._read_head(data)
        try:
            head = read_head(data[: end + 4])
        except BadHead as why:
            self._refuse(why.status, why.why, why.extra)
            return b""
        self._remember(head)
        return self._opened(head, data[end + 4 :])

    def _read_head(self, data: bytes) -> bytes:
        """The slow road of a head that comes in pieces; llhttp sees each at once and refuses early."""
        before = self._head
        raw = before + data
        if not before or before == b"\r":
            # An empty line before a request is what some clients send after a body (RFC 9112 section 2.2).
            if raw.startswith(b"\r\n"):
                self._head = b""
                return raw[2:]
            if raw == b"\r":
                self._head = raw
                return b""
            before = b""
        end = raw.find(b"\r\n\r\n", max(0, len(before) - 3))
        head = raw if end < 0 else raw[: end + 4]
        try:
            if len(head) > HEAD_LIMIT:
                raise too_long(head)
            if self._reader is None:
                self._reader = HeadReader()
            self._reader.feed(head[len(before) :])
            if end < 0:
                self._head = raw
                return b""
            ready = self._reader.finish(head)
        except BadHead as why:
            self._refuse(why.status, why.why, why.extra)
            return b""
        self._head, self._reader = b"", None
        self._remember(ready)
        return self._opened(ready, raw[end + 4 :])

    def _remember(self, head: Head) -> None:
        if len(head.raw) > KNOWN_HEAD_LIMIT or head.is_last:
            return
        self._known = head
        self._known_raw = head.raw
        is_whole_possible = head.length != CHUNKED and not head.expects
        self._known_size = len(head.raw) + head.length if is_whole_possible else -1

    def _opened(self, head: Head, rest: bytes) -> bytes:
        """A head has been read; take its body as far as it is there."""
        length = head.length
        if 0 <= length <= len(rest):
            self._serve(head, rest[:length])
            return rest[length:]
        exchange = self._exchange = Exchange(self, head)
        if head.is_last:
            self.is_last = True
        self.phase = BODY
        self._limit = self._ask_door(exchange)
        if exchange.answered or exchange.gone:
            return b""
        if length > self._limit:
            self._refuse_body()
            return b""
        if head.expects and not rest:
            self.write(_CONTINUE)
        if length == CHUNKED:
            self._chunked = ChunkedBody()
        else:
            self._body = bytearray()
        return rest

    def _serve(self, head: Head, body: bytes) -> None:
        """A request has arrived in one piece."""
        exchange = self._exchange = Exchange(self, head)
        if head.is_last:
            self.is_last = True
        self.phase = BUSY
        limit = self._ask_door(exchange)
        if exchange.answered or exchange.gone:
            return
        if len(body) > limit:
            self._refuse_body()
            return
        exchange.body = body
        try:
            self._door.handle(exchange)
        except Exception:  # noqa: BLE001  # the one catch-all of this road
            self._blame_door(exchange)

    def _read_body(self, data: bytes) -> bytes:
        exchange = self._exchange
        assert exchange is not None
        if self._chunked is not None:
            rest = self._read_chunks(self._chunked, data)
            if rest is None:
                return b""
            body = bytes(self._chunked.body)
        else:
            assert self._body is not None
            missing = exchange.head.length - len(self._body)
            self._body += data[:missing]
            if len(data) < missing:
                return b""
            rest = data[missing:]
            body = bytes(self._body)
        self._body = self._chunked = None
        self.phase = BUSY
        self.age = 0
        exchange.body = body
        try:
            self._door.handle(exchange)
        except Exception:  # noqa: BLE001  # the one catch-all of this road
            self._blame_door(exchange)
        return rest

    def _read_chunks(self, chunked: ChunkedBody, data: bytes) -> bytes | None:
        try:
            chunked.feed(data, self._limit)
        except BadChunk:
            self._refuse(400, "Malformed chunked body")
            return None
        if chunked.size > self._limit:
            self._refuse_body()
            return None
        return chunked.rest if chunked.is_done else None

    def _ask_door(self, exchange: Exchange) -> int:
        try:
            return int(self._door.opened(exchange))
        except Exception:  # noqa: BLE001  # the one catch-all of this road
            self._blame_door(exchange)
            return 0

    def _blame_door(self, exchange: Exchange) -> None:
        incident = secrets.token_hex(4)
        self.log.failure("incident {incident}: a request broke", event="http.incident", incident=incident)
        if exchange.answered or exchange.gone:
            return
        if exchange.streaming:
            exchange.abort()
            return
        exchange.answer(500, b'{"error":"Internal error","incident":"%b"}' % incident.encode())

    def _pause(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self.transport.pauseProducing()

    def _resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self.transport.resumeProducing()

    # Answering

    def connection_line(self) -> bytes:
        """What has to be said about the connection in the answer that now begins."""
        if self.is_last or self.phase == BODY:
            return CLOSE
        exchange = self._exchange
        return KEEP_ALIVE if exchange is not None and exchange.version == b"1.0" else b""

    def write(self, data: bytes) -> None:
        """Send bytes, at once if nothing waits before them; see Note [Sending at once]."""
        transport = self.transport
        if self._is_direct and not transport._tempDataLen and not transport.dataBuffer:
            sent = transport.writeSomeData(data)
            if sent == len(data):
                return
            if type(sent) is int:
                data = data[sent:]
        transport.write(data)

    def write_answer(self, head: bytes, body: bytes) -> None:
        """Send a head with its body; a large body is not copied."""
        if len(body) < LARGE:
            self.write(head + body)
        else:
            self.write(head)
            self.transport.write(body)

    def write_stream(self, data: bytes) -> bool:
        """Send a part of a stream, or keep it until the reader has caught up; false when it is too far behind."""
        if not self.is_congested and not self._backlog:
            self.write(data)
            return True
        if self._backlog_size > STREAM_BACKLOG_LIMIT:
            exchange = self._exchange
            self.abort()
            if exchange is not None:
                exchange.gone = True
            return False
        self._backlog.append(data)
        self._backlog_size += len(data)
        return True

    def answer_done(self) -> None:
        """The answer has been given; go on with the next request when it is out."""
        if self.phase == BODY:
            self._exchange = None
            self._close(lingers=True)
        elif self.is_congested or self._backlog:
            self._exchange = None
            self.phase = FLUSHING
            self.age = 0
        else:
            self._next()

    def _next(self) -> None:
        self._exchange = None
        if self.is_last:
            self._close()
            return
        self.phase = IDLE
        self.age = 0
        if self._held and not self._is_turning:
            data, self._held = self._held, b""
            self._turn(data)

    def _refuse(self, status: int, why: str, extra: bytes = b"") -> None:
        """Answer in the door's place, and take nothing more from this client."""
        self._tell_gone()
        body = b'{"error":"%b"}' % why.encode()
        line = STATUS_LINES[status]
        self.write(
            b"%b%bContent-Type: application/json\r\n%bConnection: close\r\nContent-Length: %d\r\n\r\n%b"
            % (line, self.factory.date, extra, len(body), body)
        )
        self._close(lingers=True)

    def _refuse_body(self) -> None:
        self._refuse(413, "Request body too large")

    # Closing

    def abort(self) -> None:
        """Cut the connection."""
        if self.phase != CLOSED:
            self.phase = CLOSING
            self.age = 0
            self.transport.abortConnection()
        if self._exchange is not None:
            self._exchange.gone = True

    def close_when_idle(self) -> None:
        """Take no further request."""
        self.is_last = True
        if self.phase == IDLE:
            self._close()

    def _close(self, *, lingers: bool = False) -> None:
        # A reset for bytes that nobody read would destroy an answer on its way, so an unwanted body is read for a
        # while after our own end of the connection has been closed (RFC 9112 section 9.6).
        self.phase = CLOSING
        self.age = 0
        self._held = self._head = b""
        self._reader = self._body = self._chunked = None
        self._resume()
        transport = self.transport
        transport.unregisterProducer()
        if lingers and self._is_direct:
            transport.loseWriteConnection()
        else:
            transport.loseConnection()

    def _linger(self, data: bytes) -> None:
        self._lingered += len(data)
        if self._lingered > LINGER_LIMIT:
            self.abort()

    # IPushProducer: the transport says whether its buffer is full

    def pauseProducing(self) -> None:
        """The transport's buffer is full."""
        self.is_congested = True
        self._stalled = 0
        if self.web_producer is not None:
            self.web_producer.pauseProducing()

    def resumeProducing(self) -> None:
        """The transport's buffer is empty again."""
        self.is_congested = False
        self._flush()
        if self.is_congested:
            return
        if self.web_producer is not None:
            self.web_producer.resumeProducing()
        if self.phase == FLUSHING:
            self._next()

    def stopProducing(self) -> None:
        """The transport has gone; `connectionLost` follows."""
        if self.web_producer is not None:
            self.web_producer.stopProducing()

    def _flush(self) -> None:
        while self._backlog and not self.is_congested:
            size = count = 0
            while count < len(self._backlog) and size < FLUSH_PIECE:
                size += len(self._backlog[count])
                count += 1
            pieces = self._backlog[:count]
            del self._backlog[:count]
            self._backlog_size -= size
            self.transport.writeSequence(pieces)

    # Time

    def tick(self) -> None:
        """A second has passed; see Note [Ticks]."""
        self.age += 1
        phase = self.phase
        if self.is_congested and phase != CLOSING:
            self._tick_stalled()
        elif phase == IDLE:
            if self.age >= IDLE_TICKS:
                self._close()
        elif phase == HEAD:
            if self.age >= HEAD_TICKS:
                self._refuse(408, "Request head took too long")
        elif phase == BODY:
            if self.age >= BODY_TICKS + self._received() // BODY_BYTES_PER_TICK:
                self._refuse(408, "Request body took too long")
        elif phase == CLOSING and self.age >= CLOSING_TICKS:
            self._tick_closing()

    def _received(self) -> int:
        body = self._chunked.body if self._chunked is not None else self._body
        return len(body or b"")

    def _tick_stalled(self) -> None:
        progress = self._drained()
        if progress != self._progress:
            self._progress = progress
            self._stalled = 0
            return
        self._stalled += 1
        if self._stalled >= STALL_TICKS:
            self.abort()

    def _tick_closing(self) -> None:
        progress = self._drained()
        if progress != self._progress and self.age < STALL_TICKS:
            self._progress = progress
            return
        self.abort()

    def _drained(self) -> tuple[int, int]:
        # Whether anything has left the transport's buffer shows in these two.
        transport = self.transport
        return len(getattr(transport, "dataBuffer", b"")), getattr(transport, "offset", 0)


@implementer(IProtocolFactory)
class ChannelFactory:
    """Makes a channel for each connection, and ages them all.

    :ivar connections: the open ones.
    :ivar is_draining: no connection takes another request.
    :ivar date: the ``Date`` line of this second; nothing without a clock (RFC 9110 section 6.6.1).
    """

    noisy = False

    def __init__(self, door: IDoor, clock: IReactorTime | None = None) -> None:
        self.door = door
        self.connections: set[Channel] = set()
        self.is_draining = False
        self.date = b""
        self._clock = clock
        self._tell_date()

    def buildProtocol(self, addr: IAddress | None) -> Channel:
        """A channel for a new connection."""
        return Channel(self)

    def doStart(self) -> None:
        """A port has begun to listen."""

    def doStop(self) -> None:
        """A port has stopped listening."""

    def sweep(self) -> None:
        """A second has passed."""
        self._tell_date()
        for channel in list(self.connections):
            channel.tick()

    def drain(self) -> None:
        """Close the idle connections now, and each other one after its answer."""
        self.is_draining = True
        for channel in list(self.connections):
            channel.close_when_idle()

    def abort_all(self) -> None:
        """Cut every connection."""
        for channel in list(self.connections):
            channel.abort()

    def _tell_date(self) -> None:
        if self._clock is not None:
            now = datetime.fromtimestamp(self._clock.seconds(), UTC)
            # strftime would speak the user's language.
            day, month = DAYS[now.weekday()], MONTHS[now.month - 1]
            self.date = f"Date: {day}, {now.day:02} {month} {now:%Y %H:%M:%S} GMT\r\n".encode()
