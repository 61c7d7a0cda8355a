"""The one HTTP/1.1 server: a listener's protocol for TCP, TLS and Unix sockets (RFC 9112).

# Note [One exchange at a time]
A request is read completely, passed to the frontend, and answered, before a byte of the next one is parsed.  Bytes that
come early are held raw and reading is paused, so pipelining is answered in order and costs one chunk of memory.  While
no bytes are held, reading goes on, because that is how a disconnect is noticed.

# Note [Known heads]
A client repeats itself: the head of its next request mostly is, byte for byte, the head of its last one.  Equal bytes
read from the start of a request mean the same, so the last head of a connection is kept and compared, not parsed.  For
clients that open a connection for each request, or share one, the latest heads of all connections are kept too
(`mcpgateway.frontends.http.shared_state`).

# Note [What a connection holds]
The body of a request, a head that comes in pieces, bytes that came early, and an answer that its client does not read
are counted in the memory bound that all connections share (`mcpgateway.policy.fair_memory`).  When it is reached, the
peer with the most memory gives way: its request is refused, its answer is not begun, or its connection is aborted.  A
call under way is not affected.  One chunk of reading or of the transport's buffer is not counted.

# Note [Ticks]
This module has no timer.  `mcpgateway.frontends.http.channel_factory.ChannelFactory.sweep` runs once a second and
counts the age of each phase, so a suspended machine or a corrected clock ends no connection.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable
from typing import Any, ClassVar

from attrs import define, field
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener, IProtocol, ISSLTransport
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mcpgateway.frontends.http import phases
from mcpgateway.frontends.http.exchange import CLOSE, KEEP_ALIVE, STATUS_LINES, Exchange
from mcpgateway.frontends.http.peers import HttpPeer, has_unread
from mcpgateway.frontends.http.phases import BODY, BUSY, CLOSED, CLOSING, FLUSHING, HEAD, HOLDING, IDLE
from mcpgateway.frontends.http.request_body import BadChunk, ChunkedBody, CountedBody
from mcpgateway.frontends.http.request_head import (
    CHUNKED,
    BadHead,
    Head,
    PartialHead,
    read_head,
    request_line,
)
from mcpgateway.frontends.http.shared_state import KNOWN_HEAD_LIMIT, SharedState
from mcpgateway.frontends.http.write_buffer import WriteBuffer
from mcpgateway.inherited import ConnectionState, StreamState
from mcpgateway.interfaces import IRequestHandler
from mcpgateway.system.process.handover import left_open
from mcpgateway.system.process.processes import TOO_MANY

CONNECTIONS_LIMIT = 10_000
REFUSALS_LIMIT = 256  # connections beyond the limit that get an error answer; further ones are aborted
FULL = "The gateway holds too much for you already: others need the room"
RETRY = b"Retry-After: 5\r\n"
# Bytes of an unwanted body that are read so that a reset does not destroy the refusal: several times a body's limit.
LINGER_LIMIT = 16 * 1024 * 1024

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@implementer(IProtocol, IHandshakeListener)
@define(eq=False, repr=False, weakref_slot=False)
class Channel:
    """An HTTP connection.

    :ivar age: ticks since the phase began.
    :ivar is_last: True if no request is read after the current one.
    :ivar outlet: its write buffer.
    """

    log: ClassVar[Logger] = Logger()

    shared: SharedState
    _connections: set[Channel]
    transport: Any = field(init=False)
    outlet: WriteBuffer = field(init=False)
    caller: HttpPeer = field(init=False)
    secure: bool = field(init=False, default=False)
    is_last: bool = field(init=False)
    phase: int = field(init=False, default=IDLE)
    age: int = field(init=False, default=0)
    _handler: IRequestHandler = field(init=False)
    _exchange: Exchange | None = field(init=False, default=None)
    _known: Head | None = field(init=False, default=None)
    _known_raw: bytes = field(init=False, default=b"")
    _known_size: int = field(init=False, default=-1)
    _partial: PartialHead | None = field(init=False, default=None)
    _body: CountedBody | ChunkedBody | None = field(init=False, default=None)
    _limit: int = field(init=False, default=0)
    _held: bytes = field(init=False, default=b"")
    _is_counted: bool = field(init=False, default=False)
    _is_paused: bool = field(init=False, default=False)
    _is_ready: bool = field(init=False, default=True)
    _is_turning: bool = field(init=False, default=False)
    _lingered: int = field(init=False, default=0)
    _principal: str = field(init=False, default="")

    def __attrs_post_init__(self) -> None:
        self._handler = self.shared.handler
        self.is_last = self.shared.is_draining

    # The connection's beginning and end

    def makeConnection(self, transport: Any) -> None:
        """Prepare for the first request."""
        self.transport = transport
        self.caller = self.shared.introduce(transport)
        self.secure = ISSLTransport.providedBy(transport)
        self._is_ready = not self.secure
        self.outlet = WriteBuffer(self, transport, self.shared.room, is_secure=self.secure)
        no_delay = getattr(transport, "setTcpNoDelay", None)
        if no_delay is not None:
            # A Unix socket has no such option, and the client may have disconnected.
            with contextlib.suppress(OSError):
                no_delay(True)
        self.connectionMade()

    def connectionMade(self) -> None:
        """Count the connection, or refuse it."""
        self.transport.registerProducer(self.outlet, True)
        present = len(self._connections)
        self._connections.add(self)
        left = self.shared.files_left(self.transport)
        if present >= CONNECTIONS_LIMIT + REFUSALS_LIMIT or left < 0:
            self.abort()
        elif present >= CONNECTIONS_LIMIT:
            self._refuse(503, "Too many connections", b"Retry-After: 10\r\n")
        elif left < self.shared.files_kept:
            self._refuse(503, TOO_MANY, b"Retry-After: 10\r\n")

    def handshakeCompleted(self) -> None:
        """Start the time limit of the first request: the TLS handshake is over."""
        self.age = 0
        self._is_ready = True

    def connectionLost(self, reason: Failure) -> None:
        """Clean up: the client has disconnected, or was cut off."""
        self._connections.discard(self)
        self.shared.peers.forget(self.caller)
        self.phase = CLOSED
        self._forget()
        self.outlet.clear()
        if self._exchange is not None and self._exchange.on_data is not None:
            self._exchange.hung_up = reason.check(ConnectionDone) is not None
        self._tell_gone()

    def _tell_gone(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        exchange.gone = True
        on_gone, exchange.on_gone = exchange.on_gone, None
        if on_gone is None or exchange.answered:
            return
        try:
            on_gone()
        except Exception:  # noqa: BLE001  # an exception of the frontend must not keep the connection from ending
            self.log.failure("the end of a connection was not handled", event="http.gone_failed")

    # Its memory, see Note [What a connection holds]

    @property
    def peer(self) -> Hashable:
        """The peer whose bytes it holds."""
        exchange = self._exchange
        if exchange is not None:
            self._principal = exchange.principal
        return self.shared.peers.of(self.caller, self._principal)

    @property
    def may_give_way(self) -> bool:
        """True while the request that is being read may be refused."""
        return self.phase in (HEAD, BODY)

    def give_way(self) -> None:
        """Refuse the request that is being read, for want of memory."""
        self._refuse(503, FULL, RETRY)

    def _hold_more(self, size: int) -> bool:
        self._is_counted = True
        return self.shared.room.take(self, size)

    # Reading

    def dataReceived(self, data: bytes) -> None:
        """Parse received bytes, or hold them while a request is under way."""
        phase = self.phase
        if phase == IDLE and len(data) == self._known_size and data.startswith(self._known_raw):
            # The most frequent case: one known head with its complete body, see Note [Known heads].
            self._serve(self._known, data[len(self._known_raw) :])  # type: ignore[arg-type]  # its size is known
        elif phase < BUSY:
            self._turn(data)
        elif phase in HOLDING:
            self._hold(data)
        elif phase == CLOSING:
            self._linger(data)

    def _turn(self, data: bytes) -> None:
        """Serve requests for as long as each is answered at once; a loop, because a chunk may hold hundreds."""
        self._is_turning = True
        while data and self.phase < BUSY:
            if self.phase == BODY:
                data = self._take_body(data)
            elif self.phase == IDLE:
                data = self._begin(data)
            else:
                data = self._take_head(data)
        self._is_turning = False
        if data and self.phase in HOLDING:
            self._hold(data)
        elif self.phase < CLOSING:
            self._resume()
            if self.shared.is_parking and self.phase == IDLE:
                self.park()

    def _hold(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is not None and exchange.on_data is not None:
            self._pass_on(exchange, exchange.on_data, data)
            return
        self._held += data
        self._hold_more(len(data))
        if not self._is_paused:
            self._is_paused = True
            self.transport.pauseProducing()

    def _pass_on(self, exchange: Exchange, on_data: Callable[[bytes], None], data: bytes) -> None:
        try:
            on_data(data)
        except Exception:  # noqa: BLE001  # the catch-all for another protocol on the connection
            self._confess(exchange)

    def upgraded(self) -> None:
        """Pass early bytes on to the protocol that the connection was upgraded to; no further request is read."""
        self.is_last = True
        data, self._held = self._held, b""
        if self._is_counted:
            self._let_go()
        self._resume()
        if data:
            self._hold(data)

    def hold(self, *, is_held: bool) -> None:
        """Pause reading, or resume it."""
        if not is_held:
            self._resume()
        elif not self._is_paused:
            self._is_paused = True
            self.transport.pauseProducing()

    def _resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self.transport.resumeProducing()

    def _begin(self, data: bytes) -> bytes:
        self.age = 0
        if self._known is not None and data.startswith(self._known_raw):
            return self._opened(self._known, data[len(self._known_raw) :])
        end = data.find(b"\r\n\r\n") + 4
        if end < 4 or data.startswith(b"\r\n"):
            self.phase = HEAD
            return self._take_head(data)
        raw = data[:end]
        head = self.shared.heads.get(raw)
        if head is None:
            try:
                head = read_head(raw)
            except BadHead as why:
                return self._refuse_head(raw, why)
            self.shared.remember(head)
        self._remember(head)
        return self._opened(head, data[end:])

    def _take_head(self, data: bytes) -> bytes:
        """Add a piece of a head; each piece is parsed at once, so that a bad head is refused early."""
        partial = self._partial
        if partial is None:
            partial = self._partial = PartialHead()
        try:
            head = partial.feed(data)
        except BadHead as why:
            return self._refuse_head(partial.raw, why)
        if head is None:
            self._hold_more(len(data))
            return b""
        self._partial = None
        self._remember(head)
        return self._opened(head, partial.rest)

    def _remember(self, head: Head) -> None:
        if len(head.raw) > KNOWN_HEAD_LIMIT or head.is_last or head.expects or head.length == CHUNKED:
            return
        self._known = head
        self._known_raw = head.raw
        self._known_size = len(head.raw) + head.length

    def _opened(self, head: Head, rest: bytes) -> bytes:
        """Begin a request whose head has been read; take its body as far as received."""
        length = head.length
        if 0 <= length <= len(rest):
            self._serve(head, rest[:length])
            return rest[length:]
        self.phase = BODY
        exchange = self._exchange = Exchange(self, head)
        self.is_last = self.is_last or head.is_last
        self._limit = self._ask_handler(exchange)
        if exchange.answered or exchange.gone:
            return b""
        if length > self._limit:
            return self._refuse(413, "Request body too large")
        self._body = ChunkedBody() if length == CHUNKED else CountedBody(length)
        if head.expects and not rest:
            self.outlet.write(CONTINUE)
        return rest

    def _serve(self, head: Head, body: bytes, state: ConnectionState | None = None) -> None:
        """Serve a request that has arrived in one piece."""
        self.age = 0
        self.phase = BUSY
        exchange = self._exchange = Exchange(self, head)
        if head.is_last:
            self.is_last = True
        if state is not None:
            exchange.inherit(state)
        limit = self._ask_handler(exchange)
        if exchange.answered or exchange.gone:
            return
        if len(body) > limit:
            self._refuse(413, "Request body too large")
            return
        exchange.body = body
        exchange.limit = limit
        self._handle(exchange)

    def leave(self, stream: StreamState | None, *, is_sent: bool) -> ConnectionState:
        """Return the request under way for the next program of this process; nothing is sent or read any more."""
        assert self._exchange is not None
        state = self._exchange.leave(left_open(self.transport.fileno()), self._held, stream, is_sent=is_sent)
        self.hold(is_held=True)
        self._exchange, self._held, self.phase, self.is_last = None, b"", IDLE, False
        return state

    def resume(self, state: ConnectionState, handler: IRequestHandler | None = None) -> None:
        """Serve the request that the former program of this process has received.

        :param handler: serves it, and further ones, in place of the usual handler.
        """
        self._handler = handler or self._handler
        self._serve(read_head(state.head), state.body, state)
        if state.held:
            self.dataReceived(state.held)

    def _take_body(self, data: bytes) -> bytes:
        exchange, body = self._exchange, self._body
        if exchange is None or body is None:
            return b""
        before = len(body.body)
        try:
            body.feed(data, self._limit)
        except BadChunk:
            return self._refuse(400, "Malformed chunked body")
        if body.size > self._limit:
            return self._refuse(413, "Request body too large")
        if not self._hold_more(len(body.body) - before):
            return b""
        if not body.is_done:
            return b""
        self._body = None
        self.age = 0
        self.phase = BUSY
        exchange.body = bytes(body.body)
        self._handle(exchange)
        return body.rest

    def hang_up(self, is_over: Callable[[Exchange], bool]) -> None:
        """Close the connection if it carries a stream for which the predicate is true."""
        exchange = self._exchange
        if exchange is not None and exchange.streaming and is_over(exchange):
            self.abort()

    def _ask_handler(self, exchange: Exchange) -> int:
        try:
            return self._handler.opened(exchange)
        except Exception:  # noqa: BLE001  # the one catch-all of this path, with the next one
            self._confess(exchange)
            return 0

    def _handle(self, exchange: Exchange) -> None:
        try:
            self._handler.handle(exchange)
        except Exception:  # noqa: BLE001  # the one catch-all of this path, with the one before
            self._confess(exchange)

    def _confess(self, exchange: Exchange) -> None:
        self.shared.shortages += exchange.confess(
            lambda why, data: self._handler.refusal(exchange.method, exchange.path, why, data)
        )

    # Answers

    def refusal(self, why: str) -> bytes:
        """Return the body of an error answer, in the format of the current request's clients."""
        return self._handler.refusal(*self._asked(), why)

    def _asked(self) -> tuple[bytes, bytes]:
        # Method and path of the current request, as far as they have been read.
        exchange, partial = self._exchange, self._partial
        if exchange is not None:
            return exchange.method, exchange.path
        return request_line(partial.raw if partial is not None else b"")

    def connection_line(self) -> bytes:
        """Return the ``Connection`` header line of the answer that now begins; empty where HTTP implies it."""
        exchange = self._exchange
        if self.is_last or self.phase == BODY:
            return CLOSE
        return KEEP_ALIVE if exchange is not None and exchange.version == b"1.0" else b""

    def answer_done(self) -> None:
        """Note that the answer is finished; read the next request once its bytes are sent."""
        is_behind = self.outlet.is_behind
        if is_behind and self._exchange is not None:
            self._principal = self._exchange.principal
        self._exchange = None
        if self._is_counted:
            self._let_go()
        if self.phase >= CLOSING:
            return  # it was aborted while the answer was sent
        if self.phase == BODY:
            self._close(is_read=False)
        elif is_behind:
            self.phase = FLUSHING
        else:
            self._go_on()

    def _let_go(self) -> None:
        self._is_counted = False
        self.shared.room.leave(self)
        if self._held:
            self._hold_more(len(self._held))

    def drained(self) -> None:
        """Note that the client has read all sent bytes."""
        if self.phase == FLUSHING:
            self._go_on()

    def _go_on(self) -> None:
        if self.is_last:
            self._close()
            return
        self.age = 0
        self.phase = IDLE
        if self._held and not self._is_turning:
            data, self._held = self._held, b""
            if self._is_counted:
                self._let_go()
            self._turn(data)
        elif self.shared.is_parking and not self._is_turning:
            self.park()

    def _refuse_head(self, raw: bytes, why: BadHead) -> bytes:
        return self._refuse(why.status, why.why, why.extra, request_line(raw))

    def _refuse(
        self, status: int, why: str, extra: bytes = b"", asked: tuple[bytes, bytes] | None = None
    ) -> bytes:
        """Answer in the frontend's place, and read no further request.

        :param asked: method and path of a request whose head was not read completely.
        """
        asked = asked or self._asked()
        self._tell_gone()
        body = self._handler.refusal(*asked, why)
        self.outlet.write(
            b"%b%bContent-Type: application/json\r\n%bConnection: close\r\nContent-Length: %d\r\n\r\n%b"
            % (STATUS_LINES[status], self.shared.date, extra, len(body), body)
        )
        self._close(is_read=False)
        return b""

    # The end

    def abort(self) -> None:
        """Close the connection at once."""
        if self._exchange is not None:
            self._exchange.gone = True
        if self.phase != CLOSED:
            self.phase = CLOSING
            self.transport.abortConnection()

    def park(self) -> None:
        """Read no further request, but stay open; the process that inherits the connection reads the next one."""
        if self.secure:  # the state of TLS cannot be passed on
            self.close_when_idle()
        elif self.is_parked and not self._is_paused:
            self._is_paused = True
            self.transport.pauseProducing()

    @property
    def is_parked(self) -> bool:
        """True if no request is under way, and no bytes are read."""
        return self.phase == IDLE and self.shared.is_parking and not (self.is_last or self._held)

    def close_when_idle(self) -> None:
        """Read no further request, and close after the one under way."""
        self.is_last = True
        if self.phase == IDLE:
            self._resume()
        if self.phase == IDLE and not has_unread(self.transport):
            self._close()

    def _close(self, *, is_read: bool = True) -> None:
        self.age = 0
        self.phase = CLOSING
        self._forget()
        self._resume()
        transport = self.transport
        transport.unregisterProducer()
        if is_read or not self.outlet.is_direct:
            transport.loseConnection()
        else:
            # A close with unread bytes makes a reset, which would destroy the answer on its way; so only the sending
            # side is closed, and the rest is read for a while (RFC 9112 section 9.6).
            transport.loseWriteConnection()

    def _forget(self) -> None:
        if self._is_counted:
            self._is_counted = False
            self.shared.room.leave(self)
        self._held = self._known_raw = b""
        self._known_size = -1
        self._partial = self._body = self._known = None

    def _linger(self, data: bytes) -> None:
        self._lingered += len(data)
        if self._lingered > LINGER_LIMIT:
            self.abort()

    def tick(self) -> None:
        """End the connection if its phase has exceeded its limit; called once a second."""
        self.age += 1
        phase = self.phase
        if phase == CLOSING or self.outlet.is_congested:
            if self.outlet.stalled_ticks() >= phases.stall_limit(phase):
                self.abort()
            return
        size = len(self._body.body) if self._body is not None else 0
        if self.age >= phases.limit(phase, size, is_ready=self._is_ready):
            if not self._is_ready:
                self.abort()
            elif phase == IDLE:
                self._close()
            else:
                self._refuse(408, "The request took too long")
