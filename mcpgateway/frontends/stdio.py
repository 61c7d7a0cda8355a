"""Clients on standard input and output: a shim's connection carries their JSON-RPC, one message on each line.

GET     the endpoint of a server or a view, with ``Connection: Upgrade`` and ``Upgrade: mcp-stdio``
        101     the session of ``Mcp-Session-Id`` goes on, or none has begun yet; from then on lines
        404     that session, or that server, is not known

# Note [What is said to the shim]
Lines that begin with ``#``, as no message does, are for the shim, which does not pass them to its client:

        #session ID      the session has begun; another connection resumes it by ``Mcp-Session-Id``
        #closing COUNT   the gateway closes, and has read COUNT lines; the others can be sent again

# Note [How a session ends here]
A shim that closes its connection ends its session, as a DELETE does.  A connection that breaks, or that the gateway
closes, ends none: the shim resumes it on another one, or its process ends (`mcpgateway.hub.owners.owners`).

# Note [Back pressure]
The gateway reads no more from a client that does not read its messages, has `CALLS_LIMIT` requests under way, or whose
session is about to begin; at most a chunk of its lines is held.  Its answers wait in the memory bound that all
connections share; notifications to it are lost while more than `BEHIND_LIMIT` bytes wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container
from time import perf_counter
from typing import Any

from msgspec import Raw
from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import (
    GatewayError,
    MalformedMessage,
    Refused,
    UnknownServer,
    UnknownSession,
)
from mcpgateway.frontends.http.batches import Batch, UnreadableMember, read_batch
from mcpgateway.frontends.http.statuses import status_of
from mcpgateway.frontends.http.streams import Accepted, MovableStream, Streams
from mcpgateway.frontends.http.workspace_detection import (
    WorkspaceDetector,
    claimed_owner,
    claimed_pid,
    is_admin,
    is_dotted,
    known_id,
    trace_of,
)
from mcpgateway.frontends.requests_under_way import RequestsUnderWay, error_for, inherit, lost
from mcpgateway.hub.caller import Caller
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.hub.modern_dispatch import ModernDispatcher
from mcpgateway.hub.owners.owners import Owners
from mcpgateway.hub.sessions import Session
from mcpgateway.inherited import CarriedRequest, StreamState
from mcpgateway.interfaces import Request
from mcpgateway.policy.ownership import owner_of
from mcpgateway.protocol import jsonrpc, modern
from mcpgateway.protocol.framing import LineFramer, LineTooLong
from mcpgateway.protocol.jsonrpc import Envelope, Message, MessageKind
from mcpgateway.protocol.versions import LATEST_LEGACY, LATEST_MODERN, has_batches

PROTOCOL = b"mcp-stdio"
# Requests under way; further ones of the client wait.  Fewer than may wait for their turn at a server, so that those
# of a pause are not refused.
CALLS_LIMIT = 256
BEHIND_LIMIT = 4 * 1024 * 1024  # bytes that wait for a client before it misses notifications
INITIALIZE, INITIALIZED, CANCELLED = "initialize", "notifications/initialized", "notifications/cancelled"
WHOLE = Accepted(json=True, sse=False)
DISABLED = GatewayError("Gateway is disabled")
TOO_LARGE = Refused("Request body too large")
NO_BATCHES = MalformedMessage(f"Invalid Request: {LATEST_MODERN} has no batches")


class _NotTaken(Exception):
    """The shim has to send a line again, on another connection."""


class _BatchAnswer:
    """Receives the answer to a batch, as an exchange does."""

    on_gone: Any = None
    streaming = answered = False

    def __init__(self, pipe: ShimConnection) -> None:
        self._pipe = pipe
        pipe.batches += 1

    @property
    def gone(self) -> bool:
        """True once the client's connection has ended."""
        return self._pipe.is_gone

    def answer(self, status: int, body: bytes = b"") -> None:
        """Send the client all answers at once."""
        self.answered = True
        self._pipe.batches -= 1
        if body:
            self._pipe.say(body)


@implementer(IPushProducer)
class ShimConnection(MovableStream):
    """A shim's connection.

    :ivar session: the session that its client has begun; None before, and for requests that need none.
    :ivar batches: the number of batches without an answer.
    """

    def __init__(
        self,
        endpoint: ShimEndpoint,
        exchange: Any,
        server: ServerSpec,
        principal: str,
        session: Session | None,
    ) -> None:
        super().__init__(exchange)
        self.session = session
        self.batches = 0
        self._endpoint = endpoint
        self._server = server
        self._principal = principal
        self._framer = LineFramer(exchange.limit)
        self._is_skipping = False
        self._lines: deque[bytes | None] = deque()
        self._taken = 0
        self._requests = RequestsUnderWay(self, endpoint.streams)
        self._is_taking = False
        self._is_beginning = False
        self._is_congested = False
        self._is_last = self._is_pausing = False
        self._waiting_size = 0
        self._spoke = endpoint.streams.keep(self)
        exchange.on_gone = self.gone

    def open(self) -> None:
        """Answer the request, and resume the session that it names, or go on where the former program has ended."""
        inherited: StreamState | None = self._exchange.inherited
        if inherited is not None:
            self._taken, self._is_skipping = inherited.taken, inherited.is_skipping
        self._exchange.upgrade(
            PROTOCOL, self._came, self, b"X-Mcpgateway-Line-Limit: %d\r\n" % self._exchange.limit
        )
        if self.session is not None:
            self._listen(self.session)
        if inherited is not None:
            for each in inherited.requests:
                self._request(each.line, jsonrpc.read_client(each.line), each)
            self._came(inherited.unread)

    # The restart

    def arrivals(self) -> dict[float, bool] | None:
        """Return the times of arrival of its requests, with true for calls; None if one of them cannot go on."""
        is_tied = self._is_beginning or self.batches or self._is_last
        return None if is_tied else self._requests.arrivals()

    def pause(self) -> None:
        """Take no more lines: the next program does."""
        self._is_pausing = True
        self._exchange.hold(is_held=True)

    def state(self, sent: Container[float]) -> StreamState | None:
        """Return its state for the next program, with the lines that were not taken."""
        unread = (
            b"".join((b"{" if each is None else each) + b"\n" for each in self._lines) + self._framer.rest()
        )
        session = self.session.id if self.session is not None else b""
        requests = self._requests.carried(sent)
        return StreamState(requests, b"", session, self._taken, unread, self._is_skipping)

    # Lines from the client

    def _came(self, data: bytes) -> None:
        if self._is_skipping:
            _, end, data = data.partition(b"\n")
            self._is_skipping = not end
        whole, end, rest = data.rpartition(b"\n")
        self._lines.extend(self._framer.feed(whole + end))
        try:
            self._framer.feed(rest)
        except LineTooLong:
            self._framer = LineFramer(self._exchange.limit)
            self._is_skipping = True
            self._lines.append(None)
        self._go_on()

    @property
    def _must_wait(self) -> bool:
        busy = self._is_beginning or len(self._requests) >= CALLS_LIMIT
        return busy or self._is_congested or self._is_last or self._is_pausing or self.is_gone

    def _go_on(self) -> None:
        """Read as many lines as permitted; see Note [Back pressure]."""
        if self._is_taking:
            return
        self._is_taking = True
        while self._lines and not self._must_wait:
            try:
                self._take(self._lines.popleft())
            except _NotTaken:
                self.close()
                break
            self._taken += 1
        self._is_taking = False
        if self._is_last:
            self._end_if_done()
        self._exchange.hold(is_held=self._must_wait)

    def _take(self, line: bytes | None) -> None:
        if line is None or len(line) > self._exchange.limit:
            self.say(jsonrpc.error_bytes(b"null" if line is None else known_id(line), TOO_LARGE))
            return
        try:
            message = jsonrpc.read_client(line)
        except MalformedMessage as why:
            if not self._batch(line):
                self.say(jsonrpc.error_bytes(known_id(line), why))
            return
        except GatewayError as why:
            self.say(jsonrpc.error_bytes(known_id(line), why))
            return
        if message.kind is not MessageKind.REQUEST:
            self._hear(message)
        else:
            self._request(line, message)

    def _request(self, line: bytes, message: Message, carried: CarriedRequest | None = None) -> None:
        if self._endpoint.is_disabled():
            self.say(jsonrpc.error_bytes(message.id, DISABLED))
        elif self._requests.find(message.id) is not None:
            taken = MalformedMessage("Invalid Request: a request with this id is under way already")
            self.say(jsonrpc.error_bytes(message.id, taken))
        elif modern.is_modern(message, None):
            self._submit_modern(line, message, carried)
        elif message.method == INITIALIZE:
            self._initialize(message)
        else:
            self._submit(message, self, line, carried)

    def _session(self) -> Session:
        session, dispatcher = self.session, self._endpoint.dispatcher
        if session is None:
            return dispatcher.session(None, dispatcher.current(self._server), self._principal)
        try:
            known = dispatcher.session(session.id, session.server, self._principal)
        except (UnknownSession, UnknownServer):
            raise _NotTaken from None  # the answer to the shim's next connection has the reason
        if known is not session:
            self.session = known
            self._listen(known)
        return known

    def _submit(
        self, message: Message, sink: Any, line: bytes = b"", carried: CarriedRequest | None = None
    ) -> None:
        session = self._session_for(message, sink)
        if session is None:
            return
        call = self._call(session, message, sink, carried)
        if sink is self:
            self._requests.add(call, line)
        if carried is not None and lost(carried, call):
            return
        try:
            call.token = message.token
            self._endpoint.dispatcher.accept(call)
        except GatewayError as why:
            call.sink.failed(call, why)

    def _session_for(self, message: Message, sink: Any) -> Session | None:
        try:
            return self._session()
        except GatewayError as why:
            sink.failed(Request(None, message, None, sink), why)
            return None

    def _submit_modern(self, line: bytes, message: Message, carried: CarriedRequest | None) -> None:
        endpoint, exchange = self._endpoint, self._exchange
        call = self._call(None, message, self, carried)
        call.principal = self._principal
        self._requests.add(call, line)
        if carried is not None and lost(carried, call):
            return
        pid = endpoint.owners.living(claimed_pid(exchange, None))
        server = self._server
        if owner_of(self._principal, server):
            server = endpoint.dispatcher.scopes.of_principal(server, self._principal)
        try:
            modern.check(message, None)
            call.token = message.token
            call.caller = Caller(server, self._principal, exchange.caller, pid, info=modern.info_of(message))
            endpoint.modern_dispatcher().accept(call)
        except UnknownServer:
            self._requests.remove(call)
            raise _NotTaken from None
        except GatewayError as why:
            call.sink.failed(call, why)

    def _call(
        self, session: Session | None, message: Message, sink: Any, carried: CarriedRequest | None = None
    ) -> Request:
        call = Request(session, message, None, sink, is_admin=is_admin(self._exchange))
        call.is_verbatim = not self._server.view
        call.is_dotted = is_dotted(self._exchange)
        call.trace = trace_of(self._exchange)
        inherit(call, carried, perf_counter())
        return call

    def _batch(self, line: bytes) -> bool:
        version = self.session.version if self.session is not None else LATEST_LEGACY
        if not line.lstrip().startswith(b"[") or not has_batches(version):
            return False
        try:
            members = read_batch(line)
        except MalformedMessage as why:
            self.say(jsonrpc.error_bytes(b"null", why))
            return True
        if members is None:
            return False
        batch = Batch(self._endpoint.streams, _BatchAnswer(self), WHOLE)
        for each in members:
            if isinstance(each, UnreadableMember):
                batch.refused(jsonrpc.error_bytes(known_id(each.body), each.why))
            elif modern.is_modern(each, None):
                batch.refused(jsonrpc.error_bytes(each.id or b"null", NO_BATCHES))
            elif each.kind is not MessageKind.REQUEST:
                self._hear(each)
            else:
                self._submit(each, batch.member())
        batch.whole()
        return True

    def _hear(self, message: Message) -> None:
        call = self._cancelled(message) if message.method == CANCELLED else None
        if call is not None and call.caller is not None:  # a modern request
            self._cancel_modern(call, "cancelled by the client")
            return
        if modern.is_modern(message, None):
            return  # no other notification of the modern era has a meaning
        try:
            session = self._session()
            if message.kind is MessageKind.NOTIFICATION:
                self._endpoint.dispatcher.notified(session, message)
            else:
                self._endpoint.dispatcher.answered(session, message)
        except GatewayError as why:
            self._endpoint.log.debug("a notification was lost: {why}", event="notification.lost", why=why)
        if message.method == INITIALIZED and self.session is not None:
            self._listen(self.session)

    def _cancelled(self, message: Message) -> Request | None:
        identifier = jsonrpc.identifier((message.params or {}).get("requestId"))
        return self._requests.find(identifier) if identifier is not None else None

    def _cancel_modern(self, request: Request, why: str) -> None:
        self._requests.remove(request)
        request.withdraw(why)

    def answered(self, request: Request, reply: Envelope) -> None:
        """Send the response to the client, under the client's own id."""
        self._settle(request, jsonrpc.splice_id(reply, request.id))

    def failed(self, request: Request, why: GatewayError) -> None:
        """Send an error as the response, unless the client has cancelled the request."""
        self._settle(request, error_for(request, why))

    def _settle(self, request: Request, body: bytes) -> None:
        self._requests.remove(request)
        if body:
            self._write(body)
        self._go_on()

    # Messages to the client

    @property
    def is_gone(self) -> bool:
        """True once the client's connection has ended."""
        return bool(self._exchange.gone or self._exchange.answered)

    def progressed(self, request: Request, message: bytes) -> None:
        """Send a call's progress."""
        self.say(self._requests.progress(request, message))

    def noticed(self, request: Request, message: bytes) -> bool:
        """Send a message before a call's response; return false if the client cannot receive it."""
        return self.say(message)

    def say(self, message: bytes) -> bool:
        """Send a message; return false if the client is gone, or too far behind."""
        return self._waiting_size <= BEHIND_LIMIT and self._write(message)

    def _write(self, message: bytes) -> bool:
        if self._is_congested:
            self._waiting_size += len(message)
        return bool(self._exchange.say(jsonrpc.one_line(message) + b"\n"))

    def _tell_shim(self, what: bytes) -> None:
        self._write(b"#" + what)

    def pauseProducing(self) -> None:
        """Stop reading lines: the client does not read its messages."""
        self._is_congested = True
        self._exchange.hold(is_held=True)

    def resumeProducing(self) -> None:
        """Read lines again: the client has read all messages."""
        self._is_congested = False
        self._waiting_size = 0
        self._go_on()

    def stopProducing(self) -> None:
        """Ignore the end of the connection, which `gone` handles."""

    def beat(self) -> None:
        """Send nothing: a shim needs no sign that the connection lives."""

    def tick(self) -> None:
        """Send progress for the silent calls; called once a second."""
        for sign in self._requests.signs():
            self.say(sign)

    # The session

    def _initialize(self, message: Message) -> None:
        endpoint, exchange = self._endpoint, self._exchange
        call = Request(None, message, None, self)
        self._leave("its client has begun another")
        self._requests.add(call)
        self._is_beginning = True
        owner = endpoint.owners.living(claimed_pid(exchange, claimed_owner(message)))
        if owner is None:
            endpoint.owners.expect(exchange.caller.inode)
        begun = maybeDeferred(endpoint.dispatcher.initialize, self._server, self._principal, message, owner)
        begun.addCallback(self._begun, call)
        begun.addErrback(self._not_begun, call)

    def _begun(self, opened: tuple[Session, Raw], request: Request) -> None:
        session, hello = opened
        endpoint, exchange = self._endpoint, self._exchange
        if self.is_gone:
            endpoint.dispatcher.end(session, "its client did not wait for it")
            return
        self.session = session
        # Claimed first, so that the owner is watched even if it ends as soon as it has its answer.
        endpoint.owners.claim(session, exchange.caller.pid, exchange.caller.inode)
        if session.members is not None:
            session.members.goes_by_roots = endpoint.placing.goes_by_roots(exchange)
        self._tell_shim(b"session " + session.id)
        self._write(jsonrpc.splice_id(jsonrpc.result(jsonrpc.NULL, hello), request.id))
        # The client does not wait for the disk: until the session is stored, its id is valid by its signature.
        endpoint.dispatcher.put_on_record(session, request.message)
        self._over_with(request)

    def _not_begun(self, why: Failure, request: Request) -> None:
        error = why.value
        if not isinstance(error, GatewayError):
            self._endpoint.log.failure("an initialize broke", why, event="initialize.broken")
            error = GatewayError("Internal error: the session could not be begun")
        self._write(jsonrpc.error_bytes(request.id, error))
        self._over_with(request)

    def _over_with(self, request: Request) -> None:
        self._is_beginning = False
        self._requests.remove(request)
        self._go_on()

    def _listen(self, session: Session) -> None:
        former = session.mailbox.attach(self)
        if former is not None and former is not self:
            former.close()

    def _leave(self, why: str) -> None:
        session, self.session = self.session, None
        if session is None:
            return
        session.mailbox.detach(self)
        if self._endpoint.dispatcher.sessions.named(session.id) is session:
            self._endpoint.dispatcher.end(session, why)

    # The end

    def close(self) -> None:
        """End the connection in order, after the answers under way."""
        self._is_last = True
        self._go_on()

    def _end_if_done(self) -> None:
        if self._requests or self.is_gone:
            return
        self._over()
        self._tell_shim(b"closing %d" % self._taken)
        self._exchange.finish()

    def gone(self) -> None:
        """Note that the shim has disconnected; see Note [How a session ends here]."""
        self._over()
        if self._exchange.hung_up:
            self._leave("its client has left")
        for call in self._requests:
            if call.caller is not None:
                self._cancel_modern(call, "its client has left")
            elif self.session is None:
                call.withdraw("its client has left")

    def _over(self) -> None:
        self._exchange.on_gone = None
        self._lines.clear()
        self._endpoint.streams.dropped(self, self._spoke)
        self._endpoint.streams.waiting.discard(self)
        if self.session is not None:
            self.session.mailbox.detach(self)


class ShimEndpoint:
    """Translates between the connections of shims and the hub.

    :ivar is_disabled: whether requests are refused.
    """

    log = Logger()

    def __init__(
        self,
        streams: Streams,
        placing: WorkspaceDetector,
        dispatcher: LegacyDispatcher,
        owners: Owners,
        modern_dispatcher: Callable[[], ModernDispatcher],
        is_disabled: Callable[[], bool],
    ) -> None:
        self.streams = streams
        self.placing = placing
        self.dispatcher = dispatcher
        self.owners = owners
        self.modern_dispatcher = modern_dispatcher
        self.is_disabled = is_disabled

    def open(self, exchange: Any, server: ServerSpec, principal: str) -> None:
        """Serve a request that asks for such a connection."""
        inherited: StreamState | None = exchange.inherited
        named = exchange.headers.get(b"mcp-session-id", b"")
        identifier = inherited.session if inherited is not None else named
        try:
            session = self.dispatcher.session(identifier, server, principal) if identifier else None
        except GatewayError as why:
            exchange.answer(status_of(why), jsonrpc.error_bytes(b"null", why))
            return
        if session is not None and session.is_unclaimed:
            self.owners.claim(session, exchange.caller.pid, exchange.caller.inode)
        ShimConnection(self, exchange, server, principal, session).open()
