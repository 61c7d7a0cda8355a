"""The HTTP/1.1 server: a Twisted protocol fed by llhttp, for TCP, TLS and Unix sockets alike (RFC 9110, RFC 9112).

# Note [What llhttp leaves to us]
It refuses bare LF, folded headers, NUL, two lengths, and a length with chunked.  It accepts a missing or second Host,
absolute targets, chunked in HTTP/1.0, ``gzip, chunked``, other protocols' names and headers without end; all of those
end here.  It has no pause, so a chunk may hold many requests: they are answered strictly in order, one at a time.

# Note [Deadlines are ticks]
There is no timer per request.  Each connection has an age, counted by `ChannelFactory.sweep` once a second and set back
with its phase, so a suspended machine or a corrected clock ends nothing.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import httptools
from twisted.internet.interfaces import IAddress, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mcpgateway.doors.http.exchange import Exchange
from mcpgateway.interfaces import IDoor

HEAD_LIMIT = 65_536  # bytes of request line and headers
HEADER_COUNT_LIMIT = 100
FRAMING_FACTOR = 8  # a chunked body may be so many times larger on the wire: one-byte chunks take six
PIPELINE_LIMIT = 64  # requests parsed ahead from one chunk
STREAM_BACKLOG_LIMIT = 4 * 2**20  # bytes a slow reader of a stream may be behind
LENGTH_DIGITS = 18  # of a Content-Length; int() of thousands of digits is refused by Python with an exception
LINGER_LIMIT = (
    2**20
)  # bytes thrown away after a refusal, so that its text reaches the client before the reset
CONNECTION_LIMIT = 10_000
HEAD_TICKS, IDLE_TICKS, BODY_TICKS, STALL_TICKS, CLOSING_TICKS = 10, 300, 30, 60, 10
BODY_BYTES_PER_TICK = 1024  # a body may take longer as long as it comes faster than this

VERSIONS = frozenset(("1.0", "1.1"))
REFUSED_METHODS = frozenset((b"CONNECT", b"TRACE", b"TRACK"))
SINGLE = frozenset(
    (b"host", b"content-length", b"transfer-encoding", b"mcp-session-id", b"mcp-protocol-version")
)
BLANKS = (b" ", b"\t")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
TOO_MANY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Phase(Enum):
    """What a connection is waiting for."""

    IDLE = "the next request"
    HEAD = "the rest of the headers"
    BODY = "the rest of the body"
    BUSY = "the answer"
    CLOSING = "the client to notice"


class _Stop(Exception):
    """Ends the parsing of a chunk; the connection is closing."""


@implementer(IPushProducer)
class Channel(Protocol):
    """One connection.

    :ivar active: the exchange whose turn it is to be answered.
    :ivar age: ticks since the phase began.
    """

    factory: ChannelFactory
    transport: Any

    def connectionMade(self) -> None:
        """Get ready for the first request."""
        self.peer: IAddress = self.transport.getPeer()
        self._is_plain = isinstance(self.transport, Connection)
        self.secure = hasattr(self.transport, "getPeerCertificate")
        self.active: Exchange | None = None
        self.phase = Phase.IDLE
        self.age = 0
        self._waiting: deque[Exchange] = deque()
        self._held = b""
        self._paused = False
        self._congested = False
        self._behind = 0
        self._lingered = 0
        self._unread = False
        self._wants_continue = False
        self._producer: Any = None
        self._pulls = False
        self._pumping = False
        self._incoming: Exchange | None = None
        self._replaying = False
        self._fresh_parser()
        if not self.factory.admit(self):
            self.transport.write(TOO_MANY)
            self.transport.loseConnection()
            self.phase = Phase.CLOSING
            return
        no_delay = getattr(self.transport, "setTcpNoDelay", None)
        if no_delay is not None:
            no_delay(True)
        self.transport.registerProducer(self, True)

    def _fresh_parser(self) -> None:
        self._parser = httptools.HttpRequestParser(self)

    # Bytes in.

    def dataReceived(self, data: bytes) -> None:
        """Parse a chunk now, or keep it until the answers before it are out."""
        if self.phase is Phase.CLOSING:
            self._linger(data)
        elif self.active is not None or self._congested:
            self._held += data
            if not self._paused:
                self._paused = True
                self.transport.pauseProducing()
        else:
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        if self.phase is Phase.IDLE:
            self.phase = Phase.HEAD
            self.age = 0
            self._fed = 0
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as why:
            self._parse_without_upgrade(data[why.args[0] :])
            return
        except httptools.HttpParserCallbackError as why:
            if not isinstance(why.__context__, _Stop):
                self.factory.log.failure(
                    "the channel broke", Failure(why.__context__ or why), event="channel.broken"
                )
                self._refuse(500, "internal error")
            return
        except httptools.HttpParserError as why:
            if self.phase is not Phase.CLOSING:
                self._refuse(400, str(why))
            return
        if self.phase is Phase.HEAD:
            if self._fed > HEAD_LIMIT:
                self._refuse(431, "the headers are too large")
        elif self.phase is Phase.BODY and self._fed > FRAMING_FACTOR * (self._limit + HEAD_LIMIT):
            self._refuse(400, "the body is mostly framing")
        elif self.phase is Phase.BODY and self._wants_continue and not self._parts and self.active is None:
            self._wants_continue = False
            self.transport.write(CONTINUE)

    def _parse_without_upgrade(self, rest: bytes) -> None:
        # llhttp stops after the headers of an upgrade and leaves the body unparsed; we speak HTTP/1.1 only, so the
        # same request is parsed again without the wish (RFC 9110 section 7.8 lets a server ignore it).
        headers = [
            item for item in (self._headers or {}).items() if item[0] not in (b"upgrade", b"http2-settings")
        ]
        lines = [b"%b: %b\r\n" % item for item in headers if item[0] != b"connection"]
        head = b"%b %b HTTP/1.1\r\n%b\r\n" % (self._method, self._target, b"".join(lines))
        self._replaying = False
        self._fresh_parser()
        self.phase = Phase.IDLE
        self._parse(head + rest)

    def on_message_begin(self) -> None:
        """(Parser) A request begins."""
        if self.phase is Phase.CLOSING or len(self._waiting) >= PIPELINE_LIMIT:
            self._stop(400, "too many pipelined requests")
        self._target = b""
        self._headers: dict[bytes, bytes] | None = {}
        self._wants_continue = False
        self._parts: list[bytes] = []
        self._received = 0

    def on_url(self, target: bytes) -> None:
        """(Parser) A piece of the request target."""
        self._target += target
        if len(self._target) > HEAD_LIMIT:
            self._stop(414, "the request target is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """(Parser) One whole header, or a trailer."""
        headers = self._headers
        if headers is None:
            return  # a trailer; nobody reads those, and `_parse` bounds them
        name = name.lower()
        if name in headers:
            value = self._repeated(name, value, headers[name])
        elif value[-1:] in BLANKS:
            value = value.strip()
        headers[name] = value

    def _repeated(self, name: bytes, value: bytes, before: bytes) -> bytes:
        if name in SINGLE:
            self._stop(400, f"the header {name.decode()} was sent twice")
        if len(before) > HEAD_LIMIT:
            self._stop(431, "the headers are too large")
        return before + b", " + value.strip()

    def on_headers_complete(self) -> None:
        """(Parser) The headers are in: judge the request before its body is read."""
        parser, headers, target = self._parser, self._headers or {}, self._target
        if len(headers) > HEADER_COUNT_LIMIT or (
            self._fed > HEAD_LIMIT and _size(headers, target) > HEAD_LIMIT
        ):
            self._stop(431, "the headers are too large")
        self._method = method = parser.get_method()
        if parser.should_upgrade() and method != b"CONNECT":
            self._replaying = True
            return
        self._headers = None
        version = parser.get_http_version()
        if b"transfer-encoding" in headers or b"expect" in headers or b"content-encoding" in headers:
            self._check_coding(headers, version)
        if version not in VERSIONS or target[:1] != b"/" or not target.isascii() or b"#" in target:
            if method in REFUSED_METHODS:
                self._stop(405, "method not allowed")
            self._stop(400, "this request line is not served")
        if method in REFUSED_METHODS:
            self._stop(405, "method not allowed")
        if b"host" not in headers and version == "1.1":
            self._stop(400, "the Host header is missing")
        exchange = Exchange(self, method, target, version.encode(), headers)
        exchange.close = self.factory.draining or not parser.should_keep_alive()
        self._incoming = exchange
        self.phase = Phase.BODY
        self.age = 0
        if self.active is None and not self._waiting:
            self.active = exchange
        self._admit(exchange)

    def _admit(self, exchange: Exchange) -> None:
        length = exchange.headers.get(b"content-length", b"0")
        has_body = length != b"0" or b"transfer-encoding" in exchange.headers
        keep, exchange.close = exchange.close, exchange.close or has_body
        self._limit = self.factory.door.opened(exchange)
        if not exchange.answered:
            exchange.close = keep
            if len(length) > LENGTH_DIGITS or int(length) > self._limit:
                self._stop(413, f"the body is larger than {self._limit} bytes")
        elif has_body:
            # Refused before its body was read: what follows on the connection cannot be trusted to be a request.
            self._incoming = None
            self._unread = True
            if self.phase is not Phase.CLOSING:
                self._waiting.append(exchange)
            raise _Stop

    def _check_coding(self, headers: dict[bytes, bytes], version: str) -> None:
        coding = headers.get(b"transfer-encoding")
        if coding is not None and (coding.lower() != b"chunked" or version != "1.1"):
            self._stop(400, "this Transfer-Encoding is not served")
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            self._stop(415, "compressed bodies are not served")
        expected = headers.get(b"expect")
        if expected is not None:
            if expected.lower() != b"100-continue":
                self._stop(417, "this expectation cannot be met")
            self._wants_continue = version == "1.1"

    def on_body(self, data: bytes) -> None:
        """(Parser) A piece of the body."""
        self._received += len(data)
        if self._received > self._limit:
            self._stop(413, f"the body is larger than {self._limit} bytes")
        self._parts.append(data)

    def on_message_complete(self) -> None:
        """(Parser) The request is whole."""
        if self._replaying:
            return
        exchange, self._incoming = self._incoming, None
        if exchange is None:
            return
        parts = self._parts
        exchange.body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts = []
        self.phase = Phase.BUSY
        self.age = 0
        if self.active is exchange:
            self._handle(exchange)
        elif exchange.answered and self.active is None and not self._waiting:
            self._next()
        else:
            self._waiting.append(exchange)
            self._next()

    # Answers out, strictly in order.

    def _handle(self, exchange: Exchange) -> None:
        try:
            self.factory.door.handle(exchange)
        except Exception:  # the one catch-all of this road: the caller gets a number, the log the story
            incident = secrets.token_hex(4)
            self.factory.log.failure("incident {incident}", event="channel.incident", incident=incident)
            if exchange.streaming:
                self.abort()
            else:
                exchange.answer(500, b'{"error":"internal error","incident":"%b"}' % incident.encode())

    def finished(self, exchange: Exchange) -> None:
        """An exchange has been answered."""
        if self.active is not exchange:
            return  # refused before its turn; `_next` meets it in order
        self.active = None
        self.age = 0
        if exchange.close:
            self._close()
        elif self._incoming is not exchange:
            self._next()

    def _next(self) -> None:
        # A loop, not recursion: 64 pipelined requests may each be answered at once.
        if self._pumping:
            return
        self._pumping = True
        try:
            while (
                self.active is None
                and self._waiting
                and not self._congested
                and self.phase is not Phase.CLOSING
            ):
                exchange = self.active = self._waiting.popleft()
                exchange.started()
                if exchange.answered:
                    self.finished(exchange)
                else:
                    self._handle(exchange)
        finally:
            self._pumping = False
        if self.active is None and not self._waiting and self.phase is Phase.BUSY and not self._congested:
            self.phase = Phase.IDLE
            self._resume()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self.transport.resumeProducing()
        if self._held:
            held, self._held = self._held, b""
            self._parse(held)

    def write(self, data: bytes) -> None:
        """Write for the active exchange; at once where the transport has nothing queued.

        The transport's own ``write`` waits for the next turn of the reactor and two changes of the epoll set, which is
        a tenth of a call's whole cost.
        """
        transport = self.transport
        if (
            self._is_plain
            and not transport.dataBuffer
            and not transport._tempDataBuffer
            and transport.connected
        ):
            try:
                sent = transport.socket.send(data)
            except OSError:  # full, or gone: the transport finds out which
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
        transport.write(data)

    def has_room(self, size: int) -> bool:
        """Whether a slow reader may fall another ``size`` bytes behind."""
        if not self._congested:
            return True
        self._behind += size
        return self._behind <= STREAM_BACKLOG_LIMIT

    def produce(self, producer: Any, *, streaming: bool) -> None:
        """Have somebody produce the active answer at the speed of the client; None when it is complete."""
        self._producer = producer
        self._pulls = producer is not None and not streaming
        if self._pulls and not self._congested:
            self._pull()

    def _pull(self) -> None:
        # A pull producer writes once per request for more; the next request waits until that has left.
        if self._producer is not None and not self._congested:
            self._producer.resumeProducing()
            if self._pulls:
                self.factory.soon(self._pull)

    # The transport tells how fast the client reads.

    def pauseProducing(self) -> None:
        """The client reads more slowly than we write."""
        self._congested = True
        self._behind = 0
        self.age = 0
        if self._producer is not None and not self._pulls:
            self._producer.pauseProducing()

    def resumeProducing(self) -> None:
        """The client has read everything."""
        if self._congested:
            self._congested = False
            self.age = 0
            if self._producer is not None:
                self._pull() if self._pulls else self._producer.resumeProducing()
            self._next()

    def stopProducing(self) -> None:
        """The connection is gone; `connectionLost` follows."""

    # Refusals and ends.

    def _stop(self, status: int, why: str) -> None:
        self._refuse(status, why)
        raise _Stop

    def _refuse(self, status: int, why: str) -> None:
        """Answer a request that cannot be served, after the answers before it, and close."""
        if self.phase is Phase.CLOSING:
            return
        self._unread = True
        exchange = self._incoming
        if exchange is None or exchange.answered:
            exchange = Exchange(self, b"", b"/", b"1.1", {})
            if self.active is None and not self._waiting:
                self.active = exchange
        self._incoming = None
        exchange.close = True
        if self.active is not exchange:
            self._waiting.append(exchange)
        text = "".join(each for each in why if each.isprintable() and each not in '"\\')
        exchange.answer(status, f'{{"error":"{text}"}}'.encode())
        self._next()

    def _close(self) -> None:
        self.phase = Phase.CLOSING
        self.age = 0
        self._held = b""
        self.transport.unregisterProducer()
        if self._paused:
            self._paused = False
            self.transport.resumeProducing()
        half = getattr(self.transport, "loseWriteConnection", None)
        if half is not None and self._unread:
            half()  # closing with bytes unread makes a reset, which would overtake the answer
        else:
            self.transport.loseConnection()

    def _linger(self, data: bytes) -> None:
        self._lingered += len(data)
        if self._lingered > LINGER_LIMIT:
            self.abort()

    def close_when_idle(self) -> None:
        """The gateway stops: close now, or after the answer that is under way."""
        if self.phase is Phase.IDLE:
            self._close()
        for exchange in (self.active, self._incoming, *self._waiting):
            if exchange is not None:
                exchange.close = True

    def abort(self) -> None:
        """Cut the connection."""
        self.phase = Phase.CLOSING
        self.transport.abortConnection()

    def tick(self) -> None:
        """A second has passed: has the client had its time?"""
        self.age += 1
        phase = self.phase
        if self._congested:
            if self.age > STALL_TICKS:
                self.abort()
        elif phase is Phase.IDLE:
            if self.age > IDLE_TICKS:
                self._close()
        elif phase is Phase.HEAD:
            if self.age > HEAD_TICKS:
                self._refuse(408, "the headers took too long")
        elif phase is Phase.BODY:
            if self.age > BODY_TICKS + self._received // BODY_BYTES_PER_TICK:
                self._refuse(408, "the body took too long")
        elif phase is Phase.CLOSING and self.age > CLOSING_TICKS:
            self.abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client has gone: nobody waits for these answers any more."""
        self.phase = Phase.CLOSING
        self.factory.connections.discard(self)
        exchanges = [each for each in (self.active, self._incoming, *self._waiting) if each is not None]
        self.active = self._incoming = None
        self._waiting.clear()
        self._held = b""
        for exchange in exchanges:
            exchange.lost(reason)


def _size(headers: dict[bytes, bytes], target: bytes) -> int:
    return len(target) + sum(len(name) + len(value) + 4 for name, value in headers.items())


class ChannelFactory(Factory):
    """Makes channels, and lets time pass for them.

    :ivar connections: the open ones.
    :ivar date: the ``Date`` header line of this second.
    :ivar draining: true once the gateway stops.
    """

    log = Logger()
    noisy = False

    def __init__(self, door: IDoor, clock: Any = None) -> None:
        self.door = door
        self.connections: set[Channel] = set()
        self.draining = False
        self.date = b""
        self._clock = clock
        self._tell_date()

    def buildProtocol(self, addr: IAddress | None) -> Channel:  # type: ignore[override]  # its factory is of our kind
        """One channel per connection."""
        channel = Channel()
        channel.factory = self
        return channel

    def admit(self, channel: Channel) -> bool:
        """Count a new connection in; false when there are too many."""
        if len(self.connections) >= CONNECTION_LIMIT or self.draining:
            return False
        self.connections.add(channel)
        return True

    def sweep(self) -> None:
        """A second has passed."""
        self._tell_date()
        for channel in list(self.connections):
            channel.tick()

    def drain(self) -> None:
        """Close what is idle, and the rest after its answer."""
        self.draining = True
        for channel in list(self.connections):
            channel.close_when_idle()

    def abort_all(self) -> None:
        """Cut what is left."""
        for channel in list(self.connections):
            channel.abort()

    def soon(self, call: Callable[[], None]) -> None:
        """Call something in the next turn of the reactor."""
        if self._clock is not None:
            self._clock.callLater(0, call)

    def _tell_date(self) -> None:
        if self._clock is not None:
            now = datetime.fromtimestamp(self._clock.seconds(), UTC)
            day, month = (
                DAYS[now.weekday()],
                MONTHS[now.month - 1],
            )  # strftime would speak the user's language
            self.date = f"Date: {day}, {now.day:02} {month} {now:%Y %H:%M:%S} GMT\r\n".encode()
