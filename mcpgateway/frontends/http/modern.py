"""Streamable HTTP of the modern era for one server (MCP 2026-07-28, basic/transports).

POST    a request      JSON, or SSE once a message has to be sent before the response; a disconnect cancels the request
        a notification 202; no notification has an effect over HTTP
GET, DELETE            405: the modern era has no sessions

# Note [Checked in this order]
Envelope, headers, revision, then all other checks: a client gets the error of its protocol before any error that
depends on it, and two proxies between the client and the gateway cannot be made to read two different requests.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any

from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import GatewayError, MalformedMessage
from mcpgateway.frontends.http.mcp_headers import McpHeaders
from mcpgateway.frontends.http.statuses import modern_status, modern_status_of
from mcpgateway.frontends.http.streams import PostStream, Streams
from mcpgateway.frontends.http.workspace_detection import is_admin
from mcpgateway.hub.caller import Caller
from mcpgateway.hub.filters import SinkFilter
from mcpgateway.hub.modern_dispatch import TASK_METHODS, ModernDispatcher
from mcpgateway.inherited import CarriedRequest, StreamState
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc, modern, peek
from mcpgateway.protocol.jsonrpc import Envelope, Message, MessageKind

if TYPE_CHECKING:
    from mcpgateway.frontends.http.session_router import SessionRouter


class NoClient:
    """The session of requests without one; a lost message cannot be fetched again."""

    can_resume = False


NOBODY = NoClient()


class ModernPost(PostStream):
    """The POST of a modern request; a client that disconnects cancels it."""

    __slots__ = ("_call", "_modern_dispatcher")

    def __init__(self, modern_dispatcher: ModernDispatcher, request: Request, *waiting: Any) -> None:
        super().__init__(*waiting)
        self._modern_dispatcher = modern_dispatcher
        self._call: Request | None = request

    def arrivals(self) -> dict[float, bool] | None:
        """Return the time at which the request has arrived, with true for a call; None if its body is forgotten."""
        found = super().arrivals()
        is_call = self._call is None or self._call.method != modern.LISTEN
        return found if is_call or found is None else dict.fromkeys(found, False)

    def state(self, sent: Container[float]) -> StreamState | None:
        """Return the acknowledgement that the client of a listening has got."""
        call = self._call
        if call is None or not call.honoured:
            return None
        return StreamState((CarriedRequest(b"", call.arrived, honoured=call.honoured),))

    def answered(self, request: Request, reply: Envelope) -> None:
        """Send the response to the client; some errors have a status of their own."""
        self._call = None
        status = modern_status(reply["error"]) if "error" in reply else 200
        self._say(status, jsonrpc.splice_id(reply, request.id))

    def failed(self, request: Request, why: GatewayError) -> None:
        """Send an error as the response."""
        self._call = None
        self._say(modern_status_of(why), jsonrpc.error_bytes(request.id, why))

    def gone(self) -> None:
        """Cancel the request: the client has disconnected."""
        super().gone()
        call, self._call = self._call, None
        if call is not None:
            call.withdraw("the client has disconnected")


class PlacedTask(SinkFilter):
    """Tells the other nodes of a task that a server of this node has begun."""

    _begun: Callable[[str, str], None]

    def answered(self, request: Request, reply: Envelope) -> None:
        """Note the task, and pass the answer on."""
        result = peek.members(reply, "result")
        task = peek.text(result, "taskId") if peek.text(result, "resultType") == "task" else None
        if task is not None:
            self._begun(task, request.principal)
        self.sink.answered(request, reply)


class ModernEndpoint:
    """Translates between exchanges and the hub."""

    def __init__(
        self, streams: Streams, modern_dispatcher: ModernDispatcher, router: SessionRouter | None = None
    ) -> None:
        self._streams = streams
        self._router = router
        self._modern_dispatcher = modern_dispatcher

    def handle(
        self,
        exchange: Any,
        message: Message,
        server: ServerSpec,
        principal: str,
        headers: McpHeaders,
        pid: int | None,
    ) -> None:
        """Serve one message; see Note [Checked in this order].

        :param pid: the client's process, as the client declares it.
        """
        if message.kind is MessageKind.NOTIFICATION:
            exchange.answer(202, b"")
            return
        # A shim sends the envelope only, without the headers that repeat it.
        repeating = None if headers.is_relayed else exchange.headers
        try:
            if message.kind is MessageKind.RESPONSE:
                raise MalformedMessage("Invalid Request: a client sends requests only")
            modern.check(message, repeating)
            token = message.token
        except GatewayError as why:
            identifier = message.id if message.kind is MessageKind.REQUEST else b"null"
            exchange.answer(modern_status_of(why), jsonrpc.error_bytes(identifier, why))
            return
        if message.method == modern.LISTEN and not headers.accepted.sse:
            refusal = MalformedMessage("Not Acceptable: Client must accept text/event-stream")
            exchange.answer(406, jsonrpc.error_bytes(message.id, refusal))
            return
        if self._router is not None and self._router.passes_state(exchange, message.params):
            return
        caller = Caller(server, principal, exchange.caller, pid, repeating, info=modern.info_of(message))

        def here() -> None:
            self._submit(exchange, message, caller, token, headers)

        if self._router is not None and message.method in TASK_METHODS:
            self._router.route_task(exchange, message.params, principal, here)
        else:
            here()

    def _submit(
        self, exchange: Any, message: Message, caller: Caller, token: bytes | None, headers: McpHeaders
    ) -> None:
        call = Request(None, message, token, None, is_admin=is_admin(exchange))
        call.arrived, call.was_sent = exchange.began, exchange.was_sent
        if exchange.inherited is not None:
            call.honoured = exchange.inherited.requests[0].honoured
        call.caller, call.is_verbatim = caller, not caller.server.view
        call.is_dotted = headers.is_dotted
        call.trace, call.principal = headers.trace, caller.principal
        sink = call.sink = ModernPost(
            self._modern_dispatcher, call, self._streams, exchange, NOBODY, message.id, headers.accepted
        )
        if self._router is not None and message.method == "tools/call" and modern.has_tasks(message.meta):
            call.sink = PlacedTask(sink, self._router.places.begun)
        sink.token = token
        exchange.let_go()
        try:
            self._modern_dispatcher.accept(call)
        except GatewayError as why:
            call.sink.failed(call, why)
