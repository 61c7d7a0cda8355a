"""Streamable HTTP for one server (MCP 2025-11-25, basic/transports), and the way back of every answer.

    POST    one JSON-RPC message    request -> 200 JSON, or SSE once something has to be said first
                                    notification, response -> 202
    DELETE  ends the session        200, then 404 for its id
    GET     405, with Allow

# Note [JSON or SSE by deferral]
Nothing is sent until there is something to say.  The answer comes as JSON if it is the first thing; a notification, or
`PATIENCE_TICKS` of silence, commits the response to SSE, because Claude Code gives up on response headers after 60 s.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mcpgateway.config.model import ServerSpec
from mcpgateway.doors.http.guards import reach_of
from mcpgateway.doors.http.statuses import status_of
from mcpgateway.errors import Cancelled, GatewayError, UnsupportedVersion
from mcpgateway.hub.sessions import Session
from mcpgateway.hub.switchboard import UNSUPPORTED, Switchboard
from mcpgateway.interfaces import Call, ICallSink
from mcpgateway.rules.access import Reach
from mcpgateway.wire import jsonrpc, sse
from mcpgateway.wire.jsonrpc import Envelope, Kind, Message
from mcpgateway.wire.revisions import is_legacy

PATIENCE_TICKS = 30
HEARTBEAT_TICKS = 15
ALLOW = b"Allow: POST, DELETE\r\n"
REMEMBERED = 64  # spellings of Accept and Content-Type; clients send a handful
JSON_TYPES = (b"application/json", b"application/*", b"*/*")
SSE_TYPES = (b"text/event-stream", b"text/*", b"*/*")
PID_LIMIT = 2**31


@frozen
class Accepted:
    """Which forms of an answer a client takes."""

    json: bool
    sse: bool


EITHER = Accepted(json=True, sse=True)


@implementer(ICallSink)
class Waiting:
    """One POST whose answer is under way."""

    __slots__ = ("_door", "_exchange", "_takes", "silent", "ticks")

    def __init__(self, door: McpDoor, exchange: Any, takes: Accepted) -> None:
        self._door = door
        self._exchange = exchange
        self._takes = takes
        self.ticks = 0
        self.silent = 0
        exchange.on_gone = self.gone

    def answered(self, call: Call, reply: Envelope) -> None:
        """Give the answer to the client, under its own id."""
        self._say(200, jsonrpc.splice_id(reply, call.id))

    def failed(self, call: Call, why: GatewayError) -> None:
        """Tell the client why there is no answer."""
        self._say(200 if isinstance(why, Cancelled) else status_of(why), error_body(call.id, why))

    def refused(self, identifier: bytes, why: GatewayError) -> None:
        """The same for a request that never became a call."""
        self._say(status_of(why), error_body(identifier, why))

    def _say(self, status: int, body: bytes) -> None:
        self._door.waiting.discard(self)
        exchange = self._exchange
        exchange.on_gone = None
        if exchange.gone:
            return
        if not self._takes.json and not exchange.streaming:
            exchange.begin_stream()
        if exchange.streaming:
            exchange.send(sse.event(body))
            exchange.finish()
        else:
            exchange.answer(status, body)

    def noticed(self, call: Call, message: bytes) -> bool:
        """Say something before the answer; false when the client only takes JSON or has gone."""
        exchange = self._exchange
        if not self._takes.sse or exchange.gone:
            return False
        if not exchange.streaming:
            exchange.begin_stream()
        self.silent = 0
        return bool(exchange.send(sse.event(message)))

    def tick(self) -> None:
        """A second has passed: lose patience, or show that the connection lives."""
        exchange = self._exchange
        if exchange.gone or exchange.answered:
            self.gone()
        elif exchange.streaming:
            self.silent += 1
            if self.silent >= HEARTBEAT_TICKS:
                self.silent = 0
                exchange.send(sse.PING)
        elif self._takes.sse:
            self.ticks += 1
            if self.ticks >= PATIENCE_TICKS:
                exchange.begin_stream()
                exchange.send(sse.PING)

    def gone(self) -> None:
        """The client has disconnected; in the legacy era that cancels nothing, but nobody listens any more."""
        self._door.waiting.discard(self)


class McpDoor:
    """Translates between exchanges and the switchboard.

    :ivar waiting: the POSTs whose answers are under way.
    """

    log = Logger()

    def __init__(self, switchboard: Switchboard) -> None:
        self.waiting: set[Waiting] = set()
        self._switchboard = switchboard
        self._accepts: dict[bytes, Accepted] = {}

    def handle(self, exchange: Any, server: ServerSpec, principal: str) -> None:
        """Serve one request to a server's endpoint."""
        method = exchange.method
        if method == b"POST":
            self._post(exchange, server, principal)
        elif method == b"DELETE":
            self._delete(exchange, server, principal)
        else:
            body = error_body(jsonrpc.NULL, UnsupportedVersion("Method not allowed."))
            exchange.answer(405, body, extra=ALLOW)

    def tick(self) -> None:
        """A second has passed."""
        for each in list(self.waiting):
            each.tick()

    def _post(self, exchange: Any, server: ServerSpec, principal: str) -> None:
        headers = exchange.headers
        takes = self._accepted(headers.get(b"accept"))
        if not takes.json and not takes.sse:
            refuse(
                exchange,
                406,
                "Not Acceptable: Client must accept both application/json and text/event-stream",
            )
            return
        if not _is_json(headers.get(b"content-type")):
            refuse(exchange, 415, "Unsupported Media Type: Content-Type must be application/json")
            return
        version = headers.get(b"mcp-protocol-version")
        try:
            message = jsonrpc.read_client(exchange.body)
            if message.method == "initialize" and message.kind is Kind.REQUEST:
                self._initialize(exchange, server, principal, message)
                return
            if version is not None and not is_legacy(version):
                raise UnsupportedVersion(UNSUPPORTED)
            session = self._switchboard.session(headers.get(b"mcp-session-id"), server, principal)
        except GatewayError as why:
            exchange.answer(status_of(why), error_body(_known_id(exchange.body), why))
            return
        if message.kind is Kind.REQUEST:
            self._request(exchange, session, message, takes)
        else:
            if message.kind is Kind.NOTIFICATION:
                self._notification(session, message)
            exchange.answer(202, b"")

    def _request(self, exchange: Any, session: Session, message: Message, takes: Accepted) -> None:
        sink = Waiting(self, exchange, takes)
        self.waiting.add(sink)
        exchange.body = b""  # a large request is kept once, on its way to the child
        try:
            call = Call(session, message.method, message.id, message.token, sink)
            self._switchboard.submit(call, message)
        except GatewayError as why:
            sink.refused(message.id, why)

    def _notification(self, session: Session, message: Message) -> None:
        try:
            self._switchboard.heard(session, message)
        except GatewayError as why:
            self.log.debug("a notification was lost: {why}", event="notification.lost", why=why)

    def _initialize(self, exchange: Any, server: ServerSpec, principal: str, message: Message) -> None:
        owner = _owner(exchange, message)
        begun = self._switchboard.initialize(server, principal, message, owner)
        begun.addCallbacks(
            self._begun, self._not_begun, callbackArgs=(exchange, message), errbackArgs=(exchange, message)
        )

    def _begun(self, opened: Any, exchange: Any, message: Message) -> None:
        session, hello = opened
        if exchange.gone:
            self._switchboard.end(session, "its client did not wait for it")
            return
        reply = {"jsonrpc": jsonrpc.VERSION, "id": jsonrpc.NULL, "result": hello}
        header = b"Mcp-Session-Id: " + session.id + b"\r\n"
        exchange.answer(200, jsonrpc.splice_id(reply, message.id), extra=header)

    def _not_begun(self, why: Failure, exchange: Any, message: Message) -> None:
        error = why.value
        if not isinstance(error, GatewayError):
            self.log.failure("an initialize broke", why, event="initialize.broken")
            error = GatewayError("Internal error: the session could not be begun")
        if not exchange.gone:
            exchange.answer(status_of(error), error_body(message.id, error))

    def _delete(self, exchange: Any, server: ServerSpec, principal: str) -> None:
        identifier = exchange.headers.get(b"mcp-session-id")
        if identifier is None:
            refuse(exchange, 400, "Bad Request: Mcp-Session-Id header is required")
            return
        try:
            session = self._switchboard.session(identifier, server, principal)
        except GatewayError as why:
            exchange.answer(status_of(why), error_body(jsonrpc.NULL, why))
            return
        self._switchboard.end(session, "its client asked for it")
        exchange.answer(200, b'{"ok":true}')

    def _accepted(self, header: bytes | None) -> Accepted:
        if header is None:
            return EITHER  # Claude Code has shipped without it
        known = self._accepts.get(header)
        if known is None:
            kinds = [kind.split(b";")[0].strip().lower() for kind in header.split(b",")]
            known = Accepted(
                any(kind in JSON_TYPES for kind in kinds), any(kind in SSE_TYPES for kind in kinds)
            )
            if len(self._accepts) < REMEMBERED:
                self._accepts[header] = known
        return known


def _is_json(header: bytes | None) -> bool:
    if header == b"application/json":
        return True
    return header is not None and header.split(b";")[0].strip().lower() == b"application/json"


def refuse(exchange: Any, status: int, why: str) -> None:
    """Answer in the SDKs' words, for what is wrong with the HTTP request rather than its message."""
    exchange.answer(status, error_body(jsonrpc.NULL, UnsupportedVersion(why)))


def error_body(identifier: Any, why: GatewayError) -> bytes:
    """A JSON-RPC error response as bytes."""
    return jsonrpc.splice_id(jsonrpc.error(jsonrpc.NULL, why), bytes(identifier))


def _known_id(body: bytes) -> bytes:
    try:
        return jsonrpc.identifier(jsonrpc.decode(body).get("id")) or b"null"
    except GatewayError:
        return b"null"


def _owner(exchange: Any, message: Message) -> int | None:
    # S000's two ways of saying whose session it is; a wrong number must never fail an initialize, and a number of
    # another machine's means nothing here.
    if reach_of(exchange.peer) is Reach.REMOTE:
        return None
    header = exchange.headers.get(b"x-client-pid")
    try:
        info = jsonrpc.read_object((message.params or {})["clientInfo"], "clientInfo")
        said = jsonrpc.integer(info.get("pid"))
    except (KeyError, GatewayError):
        said = None
    if header is not None and header.isdigit() and len(header) <= 10:
        said = int(header)
    return said if said is not None and 0 < said < PID_LIMIT else None
