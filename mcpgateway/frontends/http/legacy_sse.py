"""HTTP+SSE, for clients of the oldest revision (MCP 2024-11-05, basic/transports).

GET     /{server}/sse           one stream of all messages to a client; its first event names the address for POST
POST    /{server}/messages      one JSON-RPC message, or a batch (2025-03-26): 202; the answer comes on the stream

# Note [A session that lives as long as its stream]
The id in the POST's address is the stream's own, because a client gets it before it has sent ``initialize``; the id of
the hub's session is not published.  When the connection ends, so does the session: no other connection could resume it,
so it is not recorded.  No event has an id, in any revision.  A restart in place keeps the connection, and only for it
the session is recorded.
"""

from __future__ import annotations

import secrets
from collections.abc import Container
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote

from msgspec import Raw
from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.config.model import ServerSpec
from mcpgateway.config.names import sse_base
from mcpgateway.errors import (
    GatewayError,
    MalformedMessage,
    SessionRequired,
    UnknownSession,
    UnsupportedVersion,
)
from mcpgateway.frontends.http.batches import UnreadableMember, read_batch
from mcpgateway.frontends.http.mcp import ALLOW_POST, refuse
from mcpgateway.frontends.http.mcp_headers import accepted, is_json
from mcpgateway.frontends.http.streams import MovableStream, Streams
from mcpgateway.frontends.http.workspace_detection import (
    WorkspaceDetector,
    claimed_owner,
    claimed_pid,
    is_admin,
    known_id,
    trace_of,
)
from mcpgateway.frontends.requests_under_way import RequestsUnderWay, error_for, inherit, lost
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.hub.owners.owners import Owners
from mcpgateway.hub.sessions import Session
from mcpgateway.inherited import CarriedRequest, StreamState
from mcpgateway.interfaces import PARAMS_LIMIT, Request
from mcpgateway.protocol import jsonrpc, legacy, modern, sse
from mcpgateway.protocol.jsonrpc import Envelope, Message, MessageKind
from mcpgateway.protocol.versions import UNSUPPORTED, has_batches

if TYPE_CHECKING:
    from mcpgateway.frontends.http.session_router import SessionRouter

ID_BYTES = 24
PARAMETERS_LIMIT = 16  # of a query
INITIALIZE = "initialize"
ALLOW_GET = b"Allow: GET\r\n"


class SseClient(MovableStream):
    """The stream of a client, and the session that lives as long as the stream.

    :ivar server: the variant of the server for its client's workspace.
    :ivar requests: the requests under way.
    :ivar session: the hub's session; None until its client has sent ``initialize``.
    """

    __slots__ = (
        "_frontend",
        "_is_last",
        "_spoke",
        "endpoint",
        "id",
        "is_over",
        "principal",
        "requests",
        "server",
        "session",
    )

    def __init__(
        self, frontend: LegacySse, exchange: Any, endpoint: ServerSpec, server: ServerSpec, principal: str
    ) -> None:
        super().__init__(exchange)
        inherited: StreamState | None = exchange.inherited
        fresh = frontend.prefix + secrets.token_urlsafe(ID_BYTES).encode()
        self.id = inherited.id if inherited is not None else fresh
        self.endpoint = endpoint
        self.server = server
        self.principal = principal
        self.session: Session | None = None
        self.is_over = False
        self._frontend = frontend
        self.requests = RequestsUnderWay(self, frontend.streams)
        self._is_last = False
        self._spoke = frontend.streams.keep(self)
        exchange.on_gone = self.gone

    def open(self) -> None:
        """Send the head, and the address for POST."""
        self._exchange.begin_stream()
        if self._exchange.inherited is not None:
            return  # its client has got it
        base = quote(sse_base(self.server.name, is_view=bool(self.server.view)))
        address = b"%b/messages?sessionId=%b" % (base.encode(), self.id)
        self._exchange.send(b"event: endpoint\ndata: " + address + b"\n\n")

    # The restart

    def arrivals(self) -> dict[float, bool] | None:
        """Return the times of arrival of its requests, with true for calls; None if one of them cannot go on."""
        return self.requests.arrivals()

    def state(self, sent: Container[float]) -> StreamState | None:
        """Return its state for the next program, with its session, which is on record until that has ended."""
        if self.session is not None:
            self._frontend.record(self.session)
        session = self.session.id if self.session is not None else b""
        return StreamState(self.requests.carried(sent), self.id, session)

    def resumed(self, session: Session) -> None:
        """Go on with the session of the former program."""
        self.session = session
        self._frontend.claim(session, self._exchange.caller)
        session.mailbox.attach(self)

    # Requests under way

    @property
    def is_beginning(self) -> bool:
        """True while an ``initialize`` is under way."""
        return any(each.method == INITIALIZE for each in self.requests)

    def answered(self, request: Request, reply: Envelope) -> None:
        """Send the response to the client, under the client's own id."""
        self._settle(request, jsonrpc.splice_id(reply, request.id))

    def failed(self, request: Request, why: GatewayError) -> None:
        """Send an error as the response, unless the client has cancelled the request."""
        self._settle(request, error_for(request, why))

    def _settle(self, request: Request, body: bytes) -> None:
        self.requests.remove(request)
        if body:
            self.say(body)
        if self._is_last and not self.requests:
            self._end("the gateway is stopping")

    # Messages to the client

    @property
    def is_gone(self) -> bool:
        """True once the client's connection has closed."""
        return bool(self._exchange.gone or self._exchange.answered)

    def progressed(self, request: Request, message: bytes) -> None:
        """Send a call's progress."""
        self.say(self.requests.progress(request, message))

    def noticed(self, request: Request, message: bytes) -> bool:
        """Send a message before a call's response; return false if the client is gone."""
        return self.say(message)

    def say(self, message: bytes) -> bool:
        """Send a message; return false if the client is gone."""
        return bool(self._exchange.send(sse.event(message)))

    def beat(self) -> None:
        """Send a comment that shows that the connection lives."""
        self._exchange.send(sse.PING)

    def tick(self) -> None:
        """Send progress for the silent calls; called once a second."""
        for sign in self.requests.signs():
            self.say(sign)

    # The session

    def begun(self, session: Session, request: Request, hello: Raw) -> None:
        """Take the session that the hub has begun, and send the client its response and all its messages."""
        self.session = session
        # Claimed first, so that the owner is watched even if it exits as soon as it has its answer.
        self._frontend.claim(session, self._exchange.caller)
        self.answered(request, jsonrpc.result(jsonrpc.NULL, hello))
        if self.session is session:
            session.mailbox.attach(self)

    def leave(self, why: str) -> None:
        """End the session; the stream goes on without one."""
        session, self.session = self.session, None
        if session is not None:
            session.mailbox.detach(self)
            self._frontend.end(session, why)

    def close(self) -> None:
        """End the stream in order: at once if its session has ended, else after the answers under way."""
        self._is_last = True
        if not self.requests or self._frontend.has_lost(self.session):
            self._end("the gateway is stopping")

    def gone(self) -> None:
        """End the session: the client has disconnected, and cannot resume the stream."""
        self._end("its client has gone")

    def _end(self, why: str) -> None:
        if self.is_over:
            return
        self.is_over = True
        self._frontend.ended(self, self._spoke)
        self._exchange.on_gone = None
        self._exchange.finish()
        self.leave(why)
        for call in self.requests:  # requests without a session
            self.requests.remove(call)
            call.withdraw(why)


class LegacySse:
    """Translates between streams with their POSTs and the legacy dispatcher.

    :ivar prefix: the beginning of the ids of streams, which names the node of a cluster.
    """

    log = Logger()

    def __init__(
        self,
        dispatcher: LegacyDispatcher,
        owners: Owners,
        streams: Streams,
        router: SessionRouter | None = None,
    ) -> None:
        self.streams = streams
        self.prefix = router.stream_prefix() if router is not None else b""
        self._router = router
        self._dispatcher = dispatcher
        self._owners = owners
        self._placing = WorkspaceDetector(dispatcher.scopes, owners)
        self._links: dict[bytes, SseClient] = {}

    def listen(self, exchange: Any, server: ServerSpec, principal: str) -> None:
        """Serve a request to a server's ``/sse``."""
        if exchange.method != b"GET":
            refuse(exchange, 405, "Method not allowed.", ALLOW_GET)
        elif not accepted(exchange.headers.get(b"accept")).sse:
            refuse(exchange, 406, "Not Acceptable: Client must accept text/event-stream")
        elif exchange.inherited is not None:
            self._resume(exchange, server, principal)
        else:
            self._placing.find(
                exchange, server, lambda variant: self._open(exchange, server, variant, principal)
            )

    def _open(self, exchange: Any, endpoint: ServerSpec, server: ServerSpec, principal: str) -> None:
        self._linked(exchange, endpoint, server, principal).open()

    def _linked(self, exchange: Any, endpoint: ServerSpec, server: ServerSpec, principal: str) -> SseClient:
        link = SseClient(self, exchange, endpoint, server, principal)
        self._links[link.id] = link
        return link

    def _resume(self, exchange: Any, server: ServerSpec, principal: str) -> None:
        """Go on with a stream of the former program; at once, since its client may send messages already."""
        state: StreamState = exchange.inherited
        link = self._linked(exchange, server, server, principal)
        link.open()

        def go_on(variant: ServerSpec) -> None:
            link.server = variant
            for each in state.requests:
                self._submit(link, jsonrpc.read_client(each.line), exchange, each)

        session = self._dispatcher.sessions.find(state.session, server, principal)
        if session is not None:
            link.resumed(session)
            go_on(session.server)
        elif state.session:
            link.close()
        else:
            self._placing.find(exchange, server, go_on)

    def serves(self, exchange: Any, server: str) -> bool:
        """Return whether a request names a stream of a server."""
        link = self._links.get(_named(exchange.query) or b"")
        return link is not None and link.endpoint.name == server

    def post(self, exchange: Any, server: str, principal: str, *, is_view: bool = False) -> None:
        """Serve a request to the ``/messages`` of a server of that name, or of a view."""
        if exchange.method != b"POST":
            refuse(exchange, 405, "Method not allowed.", ALLOW_POST)
            return
        identifier = _named(exchange.query)
        if identifier is None:
            refuse(exchange, 400, "Bad Request: the parameter sessionId is required")
            return
        if not is_json(exchange.headers.get(b"content-type")):
            refuse(exchange, 415, "Unsupported Media Type: Content-Type must be application/json")
            return
        link = self._links.get(identifier)
        if link is None and self._router is not None and self._router.passes_stream(exchange, identifier):
            return
        is_its = link is not None and (link.endpoint.name, bool(link.endpoint.view)) == (server, is_view)
        if link is None or not is_its or link.principal != principal:
            exchange.answer(404, jsonrpc.error_bytes(b"null", UnknownSession("Session not found")))
            return
        try:
            link.server = self._dispatcher.current(link.server)  # its definition may have changed
            messages = _read(exchange.body, link)
            self._placing.refine(exchange, link)
        except GatewayError as why:
            exchange.answer(400, jsonrpc.error_bytes(b"null", why))
            return
        exchange.body = b""
        exchange.answer(202, b"Accepted", b"text/plain")
        for each in messages:
            self._take(link, each, exchange)

    def _take(self, link: SseClient, message: Message | UnreadableMember, exchange: Any) -> None:
        if isinstance(message, UnreadableMember):
            link.say(jsonrpc.error_bytes(known_id(message.body), message.why))
        elif message.kind is not MessageKind.REQUEST:
            self._hear(link, message)
        elif link.requests.find(message.id) is not None:
            taken = MalformedMessage("Invalid Request: a request with this id is under way already")
            link.say(jsonrpc.error_bytes(message.id, taken))
        elif _is_modern(message, exchange.headers.get(b"mcp-protocol-version")):
            link.say(jsonrpc.error_bytes(message.id, UnsupportedVersion(UNSUPPORTED)))
        elif message.method == INITIALIZE:
            self._initialize(link, message, exchange)
        else:
            self._submit(link, message, exchange)

    def _hear(self, link: SseClient, message: Message) -> None:
        try:
            session = self._session(link)
            if message.kind is MessageKind.NOTIFICATION:
                self._dispatcher.notified(session, message)
            else:
                self._dispatcher.answered(session, message)
        except GatewayError as why:
            self.log.debug("a notification was lost: {why}", event="notification.lost", why=why)

    def _submit(
        self, link: SseClient, message: Message, exchange: Any, carried: CarriedRequest | None = None
    ) -> None:
        call = Request(None, message, None, link, is_admin=is_admin(exchange))
        call.is_verbatim = not link.endpoint.view
        call.trace = trace_of(exchange)
        inherit(call, carried, exchange.began)
        link.requests.add(call, jsonrpc.encode(message.envelope))
        try:
            call.session = self._session(link)
            if carried is not None and lost(carried, call):
                return
            call.token = message.token
            self._dispatcher.accept(call)
        except GatewayError as why:
            call.sink.failed(call, why)

    def _session(self, link: SseClient) -> Session:
        session = link.session
        if session is not None:
            session.seen = self._dispatcher.sessions.now
            return session
        try:
            return self._dispatcher.session(None, link.server, link.principal)
        except SessionRequired:
            why = f"Bad Request: {link.server.name} keeps state per session: send initialize first"
            raise SessionRequired(why) from None

    def _initialize(self, link: SseClient, message: Message, exchange: Any) -> None:
        if link.is_beginning:
            early = MalformedMessage("Invalid Request: another initialize is under way")
            link.say(jsonrpc.error_bytes(message.id, early))
            return
        call = Request(None, message, None, link)
        link.requests.add(call)
        link.leave("its client has begun another")
        owner = self._owners.living(claimed_pid(exchange, claimed_owner(message)))
        begun = maybeDeferred(self._dispatcher.initialize, link.server, link.principal, message, owner)
        begun.addCallback(self._begun, link, call).addErrback(self._not_begun, call)

    def _begun(self, opened: Any, link: SseClient, request: Request) -> None:
        session, hello = opened
        if link.is_over or self.has_lost(session):
            self._dispatcher.end(session, "its client did not wait for it")
            raise UnknownSession("Session has ended")
        _keep_off_record(session, request.message)
        link.begun(session, request, hello)

    def _not_begun(self, why: Failure, request: Request) -> None:
        error = why.value
        if not isinstance(error, GatewayError):
            self.log.failure("an initialize broke", why, event="initialize.broken")
            error = GatewayError("Internal error: the session could not be begun")
        request.sink.failed(request, error)

    # Calls of a client's stream

    def claim(self, session: Session, caller: Any) -> None:
        """Determine the owner of a session, by the process of its stream's connection."""
        self._owners.claim(session, caller.pid, caller.inode)

    def record(self, session: Session) -> None:
        """Record a session for the next program of this process."""
        self._dispatcher.sessions.record_all(session)

    def has_lost(self, session: Session | None) -> bool:
        """Return whether a session was ended or suspended meanwhile."""
        return session is not None and self._dispatcher.sessions.named(session.id) is not session

    def end(self, session: Session, why: str) -> None:
        """End a session for good, unless it has ended already."""
        if not self.has_lost(session):
            self._dispatcher.end(session, why)

    def ended(self, link: SseClient, spoke: int) -> None:
        """Remove a stream that has ended."""
        self._links.pop(link.id, None)
        self.streams.dropped(link, spoke)
        self.streams.waiting.discard(link)


def _named(query: bytes) -> bytes | None:
    try:
        found = parse_qs(query, max_num_fields=PARAMETERS_LIMIT)
    except ValueError:
        return None
    named = found.get(b"sessionId") or found.get(b"session_id")
    return named[0] if named else None


def _read(body: bytes, link: SseClient) -> list[Message | UnreadableMember]:
    try:
        return [jsonrpc.read_client(body)]
    except MalformedMessage:
        is_batch = link.session is not None and has_batches(link.session.version)
        members = read_batch(body) if is_batch else None
        if members is None:
            raise
        return members


def _is_modern(message: Message, header: bytes | None) -> bool:
    # This transport was replaced before the modern era began; a client of both eras falls back.
    return message.method == modern.DISCOVER or modern.is_modern(message, header)


def _keep_off_record(session: Session, message: Message) -> None:
    # Of a shared server's session the store would know what its client offers.
    session.issued = None
    if session.params is None and message.params is not None:
        session.params = jsonrpc.decode(legacy.essential_params(message.params, PARAMS_LIMIT))
