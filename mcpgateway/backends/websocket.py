"""A server behind a WebSocket: each JSON-RPC message is a text message (RFC 6455, subprotocol ``mcp``)."""

from __future__ import annotations

import socket
from collections import deque
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Connection as TcpConnection
from twisted.python.failure import Failure
from wsproto import ConnectionType, WSConnection
from wsproto.connection import Connection, ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import ProtocolError
from zope.interface import implementer

from mcpgateway.backends.http.connect import CertificateTrust, Dialler
from mcpgateway.backends.http.http1 import sentence
from mcpgateway.backends.streamable import LOCKED, refusal
from mcpgateway.config.reach_settings import Remote
from mcpgateway.errors import (
    BackendError,
    BackendGone,
    BadReply,
    NeedsAuthorization,
    Overloaded,
    Unreachable,
    named,
)
from mcpgateway.inherited import InheritedWebSocket
from mcpgateway.interfaces import Gone, ILineReceiver, Launch
from mcpgateway.policy import urls
from mcpgateway.policy.urls import UrlPlace
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.sse_reader import END_BYTES
from mcpgateway.protocol.websocket_frames import UnfinishedMessage
from mcpgateway.system.process.handover import kept_open
from mcpgateway.waiting import Waiting

OPEN_S = 10.0  # from the first packet to the end of the upgrade
CLOSE_S = 2.0  # for the server's close frame
MESSAGE_LIMIT = 32 * 2**20  # bytes
QUEUE_LIMIT = 16 * 2**20  # bytes of the messages that wait for the connection
SUBPROTOCOL = "mcp"


@implementer(IHandshakeListener)
class _Wire(Protocol):
    """Twisted's side of the connection.

    :ivar made: fires when the connection is open.
    :ivar secured: fires when TLS has verified the server; fails if the connection ends before that.
    """

    transport: Any

    def __init__(self, owner: WebSocket) -> None:
        self.made: Deferred[None] = Deferred()
        self.secured: Deferred[None] = Deferred()
        self._owner = owner

    def connectionMade(self) -> None:
        """The connection is open."""
        self.made.callback(None)

    def handshakeCompleted(self) -> None:
        """The TLS handshake has succeeded."""
        self.secured.callback(None)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes of the connection."""
        self._owner.received(data)

    def connectionLost(self, reason: Failure = Failure(BackendGone("it was closed"))) -> None:  # noqa: B008
        """The connection is closed."""
        if not self.secured.called:
            self.secured.addErrback(lambda _: None)
            self.secured.errback(reason)
        self._owner.lost(reason)

    def pauseProducing(self) -> None:
        """The connection is full; further messages wait."""
        self._owner.is_full = True

    def resumeProducing(self) -> None:
        """All bytes have been written."""
        self._owner.go_on()

    def stopProducing(self) -> None:
        """The connection has closed."""


class WebSocket:
    """A WebSocket connection to a server; messages wait until it is open.

    :ivar is_full: True while the connection takes no more bytes.
    :ivar queued: bytes of the messages that wait.
    """

    pid = heard = 0

    def __init__(
        self, reactor: Any, dialler: Dialler, launch: Launch, remote: Remote, receiver: ILineReceiver
    ) -> None:
        self.is_full = True
        self.queued = 0
        self._reactor = reactor
        self._server = launch.server
        self._remote = remote
        self._receiver = receiver
        self._ws: WSConnection | Connection = WSConnection(ConnectionType.CLIENT)
        self._unfinished = UnfinishedMessage(follows_head=True)
        self._transport: Any = None
        self._is_open = False
        self._is_stopping = False
        self._has_ended = False
        self._fault: BackendError | None = None
        self._waiting: deque[bytes] = deque()
        self._message: list[bytes] = []
        self._size = 0
        self._stopped = Waiting[None]()
        self._late = reactor.callLater(OPEN_S, self._too_late)
        self._connecting: Deferred[None] | None = None
        if isinstance(launch.inherited, InheritedWebSocket):
            self._take_over(launch.inherited)
        else:
            self._connecting = Deferred.fromCoroutine(self._connect(dialler))
            self._connecting.addErrback(self._not_connected)

    async def _connect(self, dialler: Dialler) -> None:
        place = urls.read(self._remote.url)
        trust = CertificateTrust(self._remote.ca_file, self._remote.insecure)
        wire = await dialler.dial(place, lambda: _Wire(self), trust)
        wire.transport.registerProducer(wire, True)
        self._connected(place, wire.transport)

    def _take_over(self, former: InheritedWebSocket) -> None:
        self._call_off()
        wire = _Wire(self)
        self._ws = Connection(ConnectionType.CLIENT)  # without extensions, as it was agreed
        self._unfinished = UnfinishedMessage()
        with socket.socket(fileno=former.descriptor) as inherited:
            inherited.setblocking(False)
            try:
                factory = Factory.forProtocol(lambda: wire)
                self._reactor.adoptStreamConnection(inherited.fileno(), inherited.family, factory)
            except OSError as why:
                broke = BackendError(f"the connection broke while the gateway restarted: {sentence(why)}")
                self._reactor.callLater(0, self._ended, broke)
                return
        self._transport, self._is_open, self.is_full = wire.transport, True, False
        self._transport.registerProducer(wire, True)
        self._transport.write(former.unwritten)
        self.received(former.received)

    # What the hub asks

    def write(self, line: bytes, *, now: bool = False) -> None:
        """Send one message to the server.

        :raise Overloaded: the connection takes no more bytes, and `QUEUE_LIMIT` wait already.
        :raise BackendGone: the connection has ended, or is being closed.
        """
        if self._has_ended or self._is_stopping:
            raise BackendGone(f"{self._server} is not connected")
        if not self.is_full:
            self._send(line)
            return
        if self.queued and self.queued + len(line) > QUEUE_LIMIT:
            raise Overloaded(
                f"{self._server} does not take its messages; {QUEUE_LIMIT >> 20} MiB wait for it"
            )
        self.queued += len(line)
        self._waiting.append(line)

    def stop(self) -> Deferred[None]:
        """Close the connection in order; fires when it is closed."""
        if self._has_ended:
            return succeed(None)
        done = self._stopped.wait()
        if self._is_stopping:
            return done
        self._is_stopping = True
        if self._is_open:
            while self._waiting:
                self._send(self._waiting.popleft())
            self._transport.write(self._ws.send(CloseConnection(1000)))
            self._late = self._reactor.callLater(CLOSE_S, self._drop)
        else:
            self._reactor.callLater(0, self._drop)
        return done

    def kill(self) -> None:
        """Close the connection at once."""
        self._is_stopping = True
        self._drop()

    def stderr_tail(self) -> str:
        """Return an empty text: a remote server has no stderr."""
        return ""

    @property
    def goes_on(self) -> bool:
        """True if the next program of this process can take the connection over, which it cannot with TLS."""
        is_ending = self._has_ended or self._is_stopping or self._fault is not None
        is_open = self._is_open and self._ws.state is ConnectionState.OPEN and not is_ending
        return is_open and isinstance(self._transport, TcpConnection) and self._unfinished.is_kept

    def keeps(self, number: int) -> bool:
        """Return whether a call under way goes on with the connection: each does."""
        return True

    def hand_over(self) -> InheritedWebSocket:
        """Return the connection for the next program of this process, and leave it open."""
        transport, self._has_ended = self._transport, True
        transport.stopReading()
        transport.stopWriting()
        # All that Twisted has queued is in these two.
        queued = (transport.dataBuffer[transport.offset :], *transport._tempDataBuffer)  # noqa: SLF001
        waiting = map(self._framed, self._waiting)
        return InheritedWebSocket(
            kept_open(transport.fileno()), self._unfinished.rest(), b"".join((*queued, *waiting))
        )

    # Calls of `_Wire`

    def go_on(self) -> None:
        """Send the messages that wait, until the connection is full again."""
        self.is_full = not self._is_open
        while self._waiting and not self.is_full:
            line = self._waiting.popleft()
            self.queued -= len(line)
            self._send(line)

    def received(self, data: bytes) -> None:
        """Take bytes of the connection."""
        self._unfinished.feed(data)
        try:
            self._ws.receive_data(data)
            for event in self._ws.events():
                self._take(event)
        except ProtocolError as why:
            self._fail(BackendError(f"it does not speak WebSocket as it should: {why}"))

    def lost(self, why: Failure) -> None:
        """Report the end of the connection; `_not_connected` has the reason of one that was never open."""
        if self._transport is not None:
            self._ended(self._fault or _trouble(why))

    def _connected(self, place: UrlPlace, transport: Any) -> None:
        self._connecting = None
        self._transport = transport
        headers = [(name.encode(), value.encode()) for name, value in self._remote.headers.items()]
        request = Request(place.authority, place.target, subprotocols=[SUBPROTOCOL], extra_headers=headers)
        transport.write(self._ws.send(request))

    def _take(self, event: Event) -> None:
        match event:
            case TextMessage() | BytesMessage():
                self._add(event)
            case AcceptConnection():
                self._opened()
            case RejectConnection():
                self._rejected(event.status_code)
            case Ping():
                self._transport.write(self._ws.send(event.response()))
            case CloseConnection():
                self._closed(event)

    def _opened(self) -> None:
        self._call_off()
        self._is_open = True
        self.go_on()

    def _send(self, line: bytes) -> None:
        self._transport.write(self._framed(line))

    def _framed(self, line: bytes) -> bytes:
        return self._ws.send(TextMessage(line.rstrip(b"\n").decode()))

    def _add(self, event: Message[Any]) -> None:
        if self._has_ended or self._fault is not None:
            return
        data = event.data.encode() if isinstance(event, TextMessage) else bytes(event.data)
        self._size += len(data)
        self._message.append(data)
        if self._size > MESSAGE_LIMIT:
            # All sessions share this connection: of a message that is too long both ends are kept, to find its request.
            whole = b"".join(self._message)
            self._message = [whole[:END_BYTES], whole[-END_BYTES:]]
        if not event.message_finished:
            return
        parts, size, self._message, self._size = self._message, self._size, [], 0
        if size > MESSAGE_LIMIT:
            self._pass_over(*parts)
        elif (message := b"".join(parts)).strip():
            self._receiver.line_received(message)

    def _pass_over(self, head: bytes, tail: bytes) -> None:
        identifier = jsonrpc.id_at_ends(head, tail)
        if identifier is None:
            self._receiver.line_overflowed(head, MESSAGE_LIMIT)
            self._fail(BackendError(f"it sent a message of more than {MESSAGE_LIMIT} bytes"))
            return
        why = BadReply(f"{self._server} sent an answer of more than {MESSAGE_LIMIT} bytes")
        self._receiver.line_received(jsonrpc.error_bytes(identifier, why))

    def _rejected(self, status: int) -> None:
        if status in LOCKED:
            self._fail(refusal(self._server, status, None))
        else:
            self._fail(BackendError(f"it does not let the connection become a WebSocket (HTTP {status})"))

    def _closed(self, event: CloseConnection) -> None:
        if not self._is_stopping:
            reason = f": {event.reason}" if event.reason and event.reason.isprintable() else ""
            self._fault = self._fault or BackendError(f"it closed the connection ({event.code}{reason})")
            self._transport.write(self._ws.send(event.response()))
        self._transport.loseConnection()

    def _not_connected(self, why: Failure) -> None:
        self._connecting = None
        self._ended(self._fault or _trouble(why))

    def _too_late(self) -> None:
        self._fail(Unreachable(f"no answer within {OPEN_S:g} s"))

    def _fail(self, why: BackendError) -> None:
        self._fault = self._fault or why
        self._drop()

    def _drop(self) -> None:
        if self._has_ended:
            return
        if self._connecting is not None:
            self._connecting.cancel()
        elif self._transport is not None:
            self._transport.abortConnection()

    def _ended(self, why: BackendError) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        self._call_off()
        self._waiting.clear()
        fault = "it was stopped" if self._is_stopping else why.message
        error = named(self._server, why) if isinstance(why, NeedsAuthorization) else None
        self._receiver.gone(Gone(fault=fault, is_unreachable=isinstance(why, Unreachable), error=error))
        self._stopped.over(None)

    def _call_off(self) -> None:
        if self._late.active():
            self._late.cancel()


def _trouble(why: Failure) -> BackendError:
    if isinstance(why.value, BackendError):
        return why.value
    return BackendError(f"the connection broke: {sentence(why.value)}")
