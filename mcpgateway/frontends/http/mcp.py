"""Streamable HTTP for one server (MCP 2025-11-25, basic/transports).

POST    one JSON-RPC message    request -> 200 JSON, or SSE once something has to be said first
                                notification, response -> 202
        a batch (2025-03-26)    the answers in one array, or as events
GET     the standing stream     SSE; with Last-Event-ID the stream of that event is resumed
        with ``Upgrade: mcp-stdio``  101, and from then on lines both ways (`mcpgateway.frontends.stdio`)
DELETE  ends the session        200, then 404 for its id
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import BackendGone, GatewayError, MalformedMessage, UnsupportedVersion
from mcpgateway.frontends.http.mcp_headers import McpHeaders, headers_of, refusal
from mcpgateway.frontends.http.statuses import status_of
from mcpgateway.frontends.http.streams import PostStream, Streams
from mcpgateway.frontends.http.workspace_detection import (
    WorkspaceDetector,
    claimed_owner,
    claimed_pid,
    is_admin,
    known_id,
)
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.hub.owners.owners import Owners
from mcpgateway.hub.replay import STANDING
from mcpgateway.hub.sessions import Session
from mcpgateway.interfaces import Request
from mcpgateway.policy.ownership import owner_of
from mcpgateway.protocol import jsonrpc, modern, sse
from mcpgateway.protocol.jsonrpc import Message, MessageKind
from mcpgateway.protocol.versions import (
    LATEST_MODERN,
    UNSUPPORTED,
    has_batches,
    is_later,
    of_request,
)

if TYPE_CHECKING:
    from mcpgateway.frontends.http.batches import Batch, UnreadableMember
    from mcpgateway.frontends.http.modern import ModernEndpoint
    from mcpgateway.frontends.http.session_router import SessionRouter
    from mcpgateway.frontends.stdio import ShimEndpoint
    from mcpgateway.hub.modern_dispatch import ModernDispatcher

ALLOW_POST = b"Allow: POST\r\n"
ALLOW = b"Allow: GET, POST, DELETE\r\n"
STDIO = b"mcp-stdio"
NO_BATCHES = MalformedMessage(f"Invalid Request: {LATEST_MODERN} has no batches")


class LegacyEndpoint:
    """Translates between exchanges and the legacy dispatcher.

    :ivar streams: the open streams to clients.
    :ivar placing: determines the variant of a server for a request.
    :ivar is_disabled: True if shims' messages are refused, as all requests are.
    :ivar router: brings requests to the node of their session; None for a gateway that is alone.
    """

    log = Logger()

    def __init__(
        self, dispatcher: LegacyDispatcher, owners: Owners, modern_dispatcher: Callable[[], ModernDispatcher]
    ) -> None:
        self.streams = Streams(dispatcher.sessions)
        self.placing = WorkspaceDetector(dispatcher.scopes, owners)
        self._modern_dispatcher = modern_dispatcher
        self.is_disabled = False
        self.router: SessionRouter | None = None
        self._modern: ModernEndpoint | None = None  # until its first request
        self._stdio: ShimEndpoint | None = None  # until the first shim
        self._dispatcher = dispatcher
        self._owners = owners

    def handle(self, exchange: Any, server: ServerSpec, principal: str) -> None:
        """Serve a request to a server's endpoint."""
        identifier = exchange.headers.get(b"mcp-session-id", b"")
        # A known session has its place; the id of another server's or another principal's session has no effect.
        session = self._dispatcher.sessions.find(identifier, server, principal) if identifier else None
        router = self.router
        if session is not None and (router is None or router.is_sure):
            self._serve(exchange, server, principal, session)
        elif identifier and router is not None:
            router.route(exchange, server, principal, lambda: self._serve_here(exchange, server, principal))
        else:
            self.placing.find(exchange, server, lambda variant: self._serve(exchange, variant, principal))

    def _serve_here(self, exchange: Any, server: ServerSpec, principal: str) -> None:
        session = self._dispatcher.sessions.find(exchange.headers[b"mcp-session-id"], server, principal)
        if session is not None:
            self._serve(exchange, server, principal, session)
        else:
            self.placing.find(exchange, server, lambda variant: self._serve(exchange, variant, principal))

    def _serve(
        self, exchange: Any, server: ServerSpec, principal: str, session: Session | None = None
    ) -> None:
        method = exchange.method
        if method == b"POST":
            self._post(exchange, server, principal, session)
        elif method == b"GET" and exchange.headers.get(b"upgrade") == STDIO and exchange.version == b"1.1":
            self._stdio = self._stdio or self._make_stdio()
            self._stdio.open(exchange, server, principal)
        elif method in (b"GET", b"DELETE") and is_later(exchange.headers.get(b"mcp-protocol-version")):
            exchange.answer(405, refusal("Method not allowed."), extra=ALLOW_POST)
        elif method == b"GET":
            self._get(exchange, server, principal)
        elif method == b"DELETE":
            self._delete(exchange, server, principal)
        else:
            refuse(exchange, 405, "Method not allowed.", ALLOW)

    def handle_own(self, exchange: Any, name: str, serve: Callable[[ServerSpec], None]) -> None:
        """Serve a request to an unknown server, which the client's workspace may define."""
        self.placing.own(exchange, name, self._dispatcher.sessions, serve)

    def _make_modern(self) -> ModernEndpoint:
        from mcpgateway.frontends.http.modern import (
            ModernEndpoint,
        )  # half a megabyte that only modern clients need

        return ModernEndpoint(self.streams, self._modern_dispatcher(), self.router)

    def _make_stdio(self) -> ShimEndpoint:
        from mcpgateway.frontends.stdio import ShimEndpoint  # not needed without shims

        return ShimEndpoint(
            self.streams,
            self.placing,
            self._dispatcher,
            self._owners,
            self._modern_dispatcher,
            lambda: self.is_disabled,
        )

    def _post(self, exchange: Any, server: ServerSpec, principal: str, session: Session | None) -> None:
        headers = headers_of(exchange)
        if headers.refusal is not None:
            exchange.answer(*headers.refusal)
            return
        try:
            message = jsonrpc.read_client(exchange.body)
            if not (headers.is_plain and message.meta is None) and modern.is_modern(message, headers.version):
                claimed = claimed_pid(exchange, None) if b"x-client-pid" in exchange.headers else None
                pid = self._owners.living(claimed) if claimed is not None else None
                self._modern = self._modern or self._make_modern()
                if owner_of(principal, server):
                    server = self._dispatcher.scopes.of_principal(server, principal)
                self._modern.handle(exchange, message, server, principal, headers, pid)
                return
            if message.method == "initialize" and message.kind is MessageKind.REQUEST:
                self._initialize(exchange, server, principal, message)
                return
            session = self._session(exchange, headers, server, principal, session)
        except MalformedMessage as why:
            if is_later(headers.version) or not self._batch(exchange, headers, server, principal):
                exchange.answer(400, jsonrpc.error_bytes(known_id(exchange.body), why))
            return
        except GatewayError as why:
            _fail(exchange, why, known_id(exchange.body))
            return
        if message.kind is MessageKind.REQUEST:
            sink = PostStream(self.streams, exchange, session, message.id, headers.accepted)
            exchange.let_go()
            sink.token = self._submit(exchange, headers, session, message, sink)
        else:
            self._take(session, message)
            exchange.answer(202, b"")

    def _session(
        self,
        exchange: Any,
        headers: McpHeaders,
        server: ServerSpec,
        principal: str,
        session: Session | None = None,
    ) -> Session:
        if not headers.is_plain:
            raise UnsupportedVersion(UNSUPPORTED)
        if session is None:
            session = self._dispatcher.session(headers.session or None, server, principal)
        if session.is_unclaimed:
            self._owners.claim(session, exchange.caller.pid, exchange.caller.inode)
        return session

    def _submit(
        self, exchange: Any, headers: McpHeaders, session: Session, message: Message, sink: Any
    ) -> bytes | None:
        """Submit a request; return the client's progress token."""
        request = Request(session, message, None, sink, is_admin=is_admin(exchange))
        request.arrived, request.was_sent = exchange.began, exchange.was_sent
        request.is_verbatim = not session.server.view
        request.is_dotted = headers.is_dotted
        request.trace = headers.trace
        try:
            if message.meta is not None:
                request.token = message.token
            self._dispatcher.accept(request)
        except GatewayError as why:
            request.sink.failed(request, why)
        return request.token

    def _take(self, session: Session, message: Message) -> None:
        try:
            if message.kind is MessageKind.NOTIFICATION:
                self._dispatcher.notified(session, message)
            else:
                self._dispatcher.answered(session, message)
        except GatewayError as why:
            self.log.debug("a notification was lost: {why}", event="notification.lost", why=why)

    def _batch(self, exchange: Any, headers: McpHeaders, server: ServerSpec, principal: str) -> bool:
        """Serve the body as a batch, if it is one and the session's revision has batches; return false otherwise."""
        if not exchange.body.lstrip().startswith(b"["):
            return False
        from mcpgateway.frontends.http.batches import Batch, read_batch  # hardly any client sends a batch

        try:
            members, fault = read_batch(exchange.body), None
        except MalformedMessage as why:
            members, fault = [], why
        if members is None:
            return False
        version = of_request(headers.version)
        if fault is not None and not headers.session:
            # The error of the batch itself comes first: a session would not mend it.
            return has_batches(version) and _malformed(exchange, fault)
        try:
            session = self._session(exchange, headers, server, principal)
        except GatewayError as why:
            _fail(exchange, why)
            return True
        if not has_batches(session.version if session.id else version):
            return False
        if fault is not None:
            return _malformed(exchange, fault)
        batch = Batch(self.streams, exchange, headers.accepted)
        exchange.body = b""
        for member in members:
            self._member(exchange, headers, batch, session, member)
        batch.whole()
        return True

    def _member(
        self,
        exchange: Any,
        headers: McpHeaders,
        batch: Batch,
        session: Session,
        member: Message | UnreadableMember,
    ) -> None:
        if not isinstance(member, Message):
            batch.refused(jsonrpc.error_bytes(known_id(member.body), member.why))
        elif modern.is_modern(member, None):
            batch.refused(jsonrpc.error_bytes(member.id or b"null", NO_BATCHES))
        elif member.kind is MessageKind.REQUEST:
            self._submit(exchange, headers, session, member, batch.member())
        else:
            self._take(session, member)

    def _get(self, exchange: Any, server: ServerSpec, principal: str) -> None:
        headers = headers_of(exchange)
        if not headers.accepted.sse:
            refuse(exchange, 406, "Not Acceptable: Client must accept text/event-stream")
            return
        if not headers.session:
            refuse(exchange, 400, "Bad Request: Mcp-Session-Id header is required")
            return
        try:
            session = self._session(exchange, headers, server, principal)
        except GatewayError as why:
            _fail(exchange, why)
            return
        if not (last := exchange.headers.get(b"last-event-id")) or not session.can_resume:
            self.streams.stand(exchange, session, [])
            return
        place = sse.read_event_id(last)
        if place is None:
            refuse(exchange, 400, "Bad Request: Invalid event ID format")
        else:
            self._resume(exchange, session, place)

    def _resume(self, exchange: Any, session: Session, place: sse.EventId) -> None:
        replay = self.streams.replay(session)
        is_current = place.epoch == replay.epoch
        if place.stream == STANDING:
            # A client that names an earlier life of its session has no events of this one.
            missed = replay.after(replay.standing, place.place if is_current else -1)
            self.streams.stand(exchange, session, missed)
            return
        trail = replay.find(place.stream) if is_current else None
        missed = replay.after(trail, place.place) if trail is not None else []
        # Messages before an answer may be lost; the answer itself may not.
        if trail is None or (trail.ended is not None and not missed and trail.place > place.place):
            _give_up(exchange, place)
        elif trail.ended is not None and not missed:
            exchange.answer(204)
        else:
            exchange.begin_stream()
            exchange.send(b"".join(sse.event(message, at) for at, message in missed) or sse.PING)
            if trail.ended is not None:
                exchange.finish()
            else:
                trail.sink.carry_on(exchange)

    def _initialize(self, exchange: Any, server: ServerSpec, principal: str, message: Message) -> None:
        owner = self._owners.living(claimed_pid(exchange, claimed_owner(message)))
        if owner is None:
            self._owners.expect(exchange.caller.inode)
        begun = self._dispatcher.initialize(server, principal, message, owner)
        begun.addCallbacks(
            self._begun, self._not_begun, callbackArgs=(exchange, message), errbackArgs=(exchange, message)
        )

    def _begun(self, opened: Any, exchange: Any, message: Message) -> None:
        session, hello = opened
        if exchange.gone:
            self._dispatcher.end(session, "its client did not wait for it")
            return
        reply = jsonrpc.result(jsonrpc.NULL, hello)
        header = b"Mcp-Session-Id: " + session.id + b"\r\n"
        # Claimed first, so that the owner is watched even if it ends as soon as it has its answer.
        self._owners.claim(session, exchange.caller.pid, exchange.caller.inode)
        if session.members is not None:
            session.members.goes_by_roots = self.placing.goes_by_roots(exchange)
        exchange.answer(200, jsonrpc.splice_id(reply, message.id), extra=header)
        # The client does not wait for the disk: until the session is stored, its id is valid by its signature.
        self._dispatcher.put_on_record(session, message)

    def _not_begun(self, why: Failure, exchange: Any, message: Message) -> None:
        error = why.value
        if not isinstance(error, GatewayError):
            self.log.failure("an initialize broke", why, event="initialize.broken")
            error = GatewayError("Internal error: the session could not be begun")
        if not exchange.gone:
            _fail(exchange, error, message.id)

    def _delete(self, exchange: Any, server: ServerSpec, principal: str) -> None:
        identifier = exchange.headers.get(b"mcp-session-id")
        try:
            if identifier:  # without an id, no session has to be ended: the answer of immorterm-mcp-gateway
                self._dispatcher.delete(identifier, server, principal)
        except GatewayError as why:
            _fail(exchange, why)
            return
        exchange.answer(200, b'{"ok":true}')


def _fail(exchange: Any, why: GatewayError, identifier: bytes = b"null") -> None:
    exchange.answer(status_of(why), jsonrpc.error_bytes(identifier, why))


def _malformed(exchange: Any, why: GatewayError) -> bool:
    exchange.answer(400, jsonrpc.error_bytes(b"null", why))
    return True


def refuse(exchange: Any, status: int, why: str, extra: bytes = b"") -> None:
    """Refuse an HTTP request, as opposed to its message, with the error text of the SDKs."""
    exchange.answer(status, refusal(why), extra=extra)


def _give_up(exchange: Any, place: sse.EventId) -> None:
    # A client of an unknown stream gets an error, so that it does not wait for an event.
    lost = "the answer is lost: the gateway was restarted, or could not keep it; nothing is sent twice"
    if not place.request:
        # The request id was too long for an event id.  Some SDKs ignore a 204; all of them report a refusal.
        refuse(exchange, 400, f"Bad Request: {lost}")
        return
    why = BackendGone(lost)
    exchange.begin_stream()
    exchange.send(sse.event(jsonrpc.error_bytes(place.request, why)))
    exchange.finish()
