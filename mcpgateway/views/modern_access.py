"""The access of the gateway's own tools to servers in the name of a modern client."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import define, evolve
from msgspec import Raw
from msgspec.structs import replace
from twisted.internet.defer import Deferred, fail, succeed

from mcpgateway import __version__
from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.errors import (
    Cancelled,
    ClientGone,
    GatewayError,
    InvalidParams,
    QuestionRefused,
    UnknownServer,
)
from mcpgateway.hub.caller import Caller
from mcpgateway.hub.filters import SinkFilter
from mcpgateway.interfaces import Request
from mcpgateway.policy.access import Reach
from mcpgateway.protocol import jsonrpc, modern, translate
from mcpgateway.protocol.jsonrpc import Envelope, Message
from mcpgateway.views.legacy_access import NO_DIRECTORY
from mcpgateway.views.modern_own_tools import OwnToolCall
from mcpgateway.views.routing import settle
from mcpgateway.views.view import View

if TYPE_CHECKING:
    from mcpgateway.owntools.tool import Access
    from mcpgateway.views.modern_registry import ModernRegistry

CALL_TOOL = "tools/call"
TOKEN = Raw(b"0")  # the sink identifies the call, so the token's value does not matter


class UnattendedCall(SinkFilter):
    """The sink of a call of the gateway's, whose client cannot be asked.

    :ivar is_over: True if it has been answered or cancelled.
    """

    is_over: bool = False

    @property
    def is_gone(self) -> bool:
        """True if no client waits for it any more."""
        return self.is_over or bool(self.sink.is_gone)

    def answered(self, request: Request, reply: Envelope) -> None:
        """Take the server's response; one that asks for input is a failure."""
        if self.is_over:
            return
        if "result" in reply and translate.kind_of(reply["result"]) == modern.INPUT_REQUIRED:
            self.failed(
                request, QuestionRefused(-32601, "the tool asks its user something, and there is none")
            )
            return
        self.is_over = True
        self.sink.answered(request, reply)

    def failed(self, request: Request, why: GatewayError) -> None:
        """Take the error in the place of a response."""
        if not self.is_over:
            self.is_over = True
            self.sink.failed(request, why)


@define(eq=False, repr=False)
class ModernAccess:
    """An `mcpgateway.owntools.tool.Access`, for one call of a tool.

    :ivar caller: the caller of the tool.
    :ivar own_call: the record of the call.
    """

    registry: ModernRegistry
    view: View
    caller: Caller
    own_call: OwnToolCall
    session: None = None

    @property
    def principal(self) -> str:
        """The caller's principal."""
        return self.caller.principal

    def specs(self) -> tuple[ServerSpec, ...]:
        """Return the servers that this caller may use."""
        return tuple(self.view.servers.values())

    def within(self, cwd: str) -> ModernAccess:
        """Return the access of the same caller as if it worked in a directory.

        :raise GatewayError: the caller may not choose a directory, or not this one.
        """
        if getattr(self.caller.connection, "reach", None) is Reach.REMOTE or self.view.scope is not None:
            raise InvalidParams(NO_DIRECTORY)
        return evolve(self, view=self.registry.within(self.view, cwd, self.caller))

    def caught_up(self) -> Deferred[Access]:
        """Fire with the access of the same caller once all edits of the configuration are in force."""
        done = self.registry.view_sessions.catch_up()
        return succeed(self) if done.called else done.addCallback(lambda _: self.rebuilt())

    def settle(self, kind: ListKind) -> Deferred[tuple[Access, Mapping[str, str]]]:
        """Wait for the unknown lists of the servers; fires with the access, and the reasons of missing lists."""
        return Deferred.fromCoroutine(self._settle(kind))

    async def _settle(self, kind: ListKind) -> tuple[Access, Mapping[str, str]]:
        missing = await settle(self.registry, self.registry.lists, kind, self.caller)
        return self.rebuilt(), missing

    def rebuilt(self) -> ModernAccess:
        """Return the access of the same caller by the current configuration."""
        return evolve(self, view=self.registry.rebuild(self.caller))

    def _spec(self, server: str) -> ServerSpec:
        found = self.view.servers.get(server)
        if found is None:
            raise UnknownServer(f"Unknown server: {server}")
        return found

    def redirect(
        self, request: Request, target: tuple[str, str], arguments: Raw, *, limit_s: float, level: Any
    ) -> None:
        """Turn the call into a call of a server's tool, with its request state and the client's answers.

        :raise GatewayError: the call is refused, and not sent.
        """
        server, tool = target
        spec = self._spec(server)
        original = request.message
        params = dict(original.params or {}) | {"name": jsonrpc.raw(tool), "arguments": arguments}
        meta = dict(original.meta) if original.meta is not None else None
        request.message = Message(
            original.kind, dict(original.envelope), CALL_TOOL, original.id, params, meta
        )
        own_calls = self.registry.own_calls
        own_calls.limit(self.own_call, limit_s)
        request.meter = None  # the call counts for that server
        try:
            # The headers repeat the arguments of the gateway's tool, not of the server's.
            self.registry.shield(request, self.principal, self.view, target, level)
            request.caller = replace(self.caller, server=spec, headers=None)
            self.registry.send(request)
        except GatewayError:
            own_calls.stay(self.own_call)
            raise

    def begin(self, server: str, tool: str, arguments: Raw, sink: Any) -> Request:
        """Begin a call in the gateway's name, for this principal.

        :raise GatewayError: the call is refused, and not sent.
        """
        meta = {name: jsonrpc.raw(value) for name, value in modern.own_meta(__version__).items()}
        meta |= {"progressToken": TOKEN, modern.LEVEL_KEY: jsonrpc.raw("info")}
        params: Envelope = {"name": jsonrpc.raw(tool), "arguments": arguments, "_meta": jsonrpc.raw(meta)}
        message = jsonrpc.own_request(CALL_TOOL, params, meta=meta)
        call = Request(None, message, bytes(TOKEN), UnattendedCall(sink))
        spec = self._spec(server)
        self.registry.called(server, tool)
        call.caller = replace(self.caller, server=spec, headers=None)
        self.registry.send(call)
        return call

    def cancel(self, request: Request, why: str) -> None:
        """Cancel a call that was redirected or begun; its sink gets `Cancelled`."""
        if request.sink.is_gone:
            return
        request.withdraw(why)
        request.sink.failed(request, Cancelled(why))

    def list(self, server: str, kind: ListKind, *, is_look: bool = True) -> Deferred[tuple[Item, ...]]:
        """Return a server's entries of a kind; fetch them where they are not known.

        :param is_look: True if no call needs them, so that a server that has just failed is not started for it.
        :raise GatewayError: (through the Deferred) the server cannot be asked.
        """
        spec = self.view.servers.get(server)
        if spec is None:
            return fail(UnknownServer(f"Unknown server: {server}"))
        found = self.registry.lists.entries(spec, kind, self.caller, is_look=is_look)
        return found.addCallback(partial(self.view.narrowed, spec)) if kind is ListKind.TOOL else found

    def elicit(self, request: Request, params: dict[str, Any]) -> Deferred[dict[str, Any]]:
        """Ask the user of the caller's client; see `mcpgateway.views.modern_own_tools`.

        :raise QuestionRefused: (through the Deferred) the client does not support the question.
        """
        if request is not self.own_call.request:
            return fail(ClientGone("there is no client to be asked"))
        return self.registry.own_calls.elicit(self.own_call, params)
