"""The access of the gateway's own tools to servers in the name of a legacy client, in its own sessions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen
from msgspec import Raw
from twisted.internet.defer import Deferred, maybeDeferred, succeed

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.errors import Cancelled, InvalidParams, QuestionRefused, UnknownServer
from mcpgateway.hub.client_requests import GATEWAY_ASKER, OwnAsker
from mcpgateway.interfaces import Request
from mcpgateway.policy.access import REMOTE
from mcpgateway.policy.client_requests import refusal
from mcpgateway.protocol import jsonrpc
from mcpgateway.views.filters import Limited
from mcpgateway.views.routing import settle

if TYPE_CHECKING:
    from mcpgateway.hub.sessions import Session
    from mcpgateway.owntools.tool import Access
    from mcpgateway.views.forwarding import Forwarder
    from mcpgateway.views.registry import ViewRegistry
    from mcpgateway.views.view import View

TOKEN = b"0"
ELICIT = "elicitation/create"
NO_DIRECTORY = (
    "a client on another machine, or with a credential of its own, chooses no directory of this one"
)


@frozen
class LegacyAccess:
    """An `mcpgateway.owntools.tool.Access`, made for one call.

    :ivar is_elsewhere: True if the caller is treated as working in another directory.
    """

    principal: str
    view: View
    session: Session
    _registry: ViewRegistry
    _forwarder: Forwarder
    is_elsewhere: bool = False

    def specs(self) -> tuple[ServerSpec, ...]:
        """Return the servers that this caller may use."""
        return tuple(self.view.servers.values())

    def rebuilt(self) -> LegacyAccess:
        """Return the access of the same caller by the current configuration."""
        self._registry.tick()  # so that new approvals are in force
        return evolve(self, view=self._registry.view(self.session))

    def caught_up(self) -> Deferred[Access]:
        """Fire with the access of the same caller once all edits of the configuration are in force."""
        done = self._registry.catch_up()
        if done.called:
            return succeed(self)
        return done.addCallback(lambda _: evolve(self, view=self._registry.rebuilt(self.session)))

    def settle(self, kind: ListKind) -> Deferred[tuple[Access, Mapping[str, str]]]:
        """Wait for the unknown lists of the servers; fires with the access, and the reasons of missing lists."""
        return Deferred.fromCoroutine(self._settle(kind))

    async def _settle(self, kind: ListKind) -> tuple[Access, Mapping[str, str]]:
        missing = await settle(self._forwarder, self._forwarder.lists, kind, self.session)
        return (
            self if self.is_elsewhere else evolve(self, view=self._registry.rebuilt(self.session))
        ), missing

    def within(self, cwd: str) -> LegacyAccess:
        """Return the access of the same caller as if it worked in a directory.

        :raise GatewayError: the caller may not choose a directory, or not this one.
        """
        if self.principal == REMOTE or self.view.scope is not None:
            raise InvalidParams(NO_DIRECTORY)
        return evolve(self, view=self._registry.within(self.view, cwd, self.session), is_elsewhere=True)

    def redirect(
        self, request: Request, target: tuple[str, str], arguments: Raw, *, limit_s: float, level: Any
    ) -> None:
        """Turn a call of the gateway's own tool into a call of a server's tool."""
        server, tool = target
        if server not in self.view.servers:
            raise UnknownServer(f"Unknown server: {server}")
        original = request.message
        meta = {"_meta": jsonrpc.raw(original.meta)} if original.meta is not None else {}
        params = {"name": jsonrpc.raw(tool), "arguments": arguments, **meta}
        message = jsonrpc.own_request("tools/call", params, original.id, original.meta)
        if not self._registry.release(request):
            return  # the call was cancelled meanwhile
        request.meter = None  # the call counts for that server
        if limit_s:
            request.sink = limited = Limited(request.sink, self._registry.clock)
            limited.begin(request, limit_s)
        if self.is_elsewhere and not self.session.id:
            request.session = self._anonymous(server)
        request.message = message
        elsewhere = self.view.servers[server] if self.is_elsewhere else None
        self._forwarder.bring(request, self.view, target, level, elsewhere)

    def _anonymous(self, server: str) -> Session:
        return self._registry.dispatcher.session(None, self._served(server), self.principal)

    def _served(self, server: str) -> ServerSpec:
        # The view may be older than the configuration, as for a job that has waited.
        spec = self.view.servers.get(server)
        if spec is None:
            raise UnknownServer(f"Unknown server: {server}")
        return self._registry.dispatcher.current(spec)

    def begin(self, server: str, tool: str, arguments: Raw, sink: Any) -> Request:
        """Begin a call of the gateway's, for which no client waits."""
        spec = self._served(server)
        # The token asks for progress; its value does not matter, since the sink is the call's own.
        meta = {"progressToken": Raw(TOKEN)}
        params = {"name": jsonrpc.raw(tool), "arguments": arguments, "_meta": jsonrpc.raw(meta)}
        call = Request(self.session, jsonrpc.own_request("tools/call", params, b"", meta), TOKEN, sink)
        if self.is_elsewhere or self._registry.dispatcher.pool.scope(spec) is not Share.SESSION:
            # The call goes on after the client has left, so it runs in a session of no client.
            call.session = self._anonymous(server)
        self._registry.outcomes.called(server, tool)
        self._forwarder.go(call, server)
        return call

    def cancel(self, request: Request, why: str) -> None:
        """Cancel a call that was redirected or begun."""
        if request.withdraw(why):
            request.sink.failed(request, Cancelled(why))

    def list(self, server: str, kind: ListKind, *, is_look: bool = True) -> Deferred[tuple[Item, ...]]:
        """Return a server's entries of a kind; fetch them where they are not known."""
        spec = self.view.servers.get(server)
        if spec is None:
            return maybeDeferred(_unknown, server)
        found = self._forwarder.lists.entries(spec, kind, self.session, is_look=is_look)
        return found.addCallback(partial(self.view.narrowed, spec)) if kind is ListKind.TOOL else found

    def elicit(self, request: Request, params: dict[str, Any]) -> Deferred[dict[str, Any]]:
        """Ask the user of the caller's client."""
        return maybeDeferred(self._elicit, request, params)

    def _elicit(self, request: Request, params: dict[str, Any]) -> Deferred[dict[str, Any]]:
        view_sessions = self._registry.dispatcher
        if not self.session.id:
            raise QuestionRefused(-32601, f"Method not found: {ELICIT} (there is no session)")
        no = refusal(ELICIT, params, view_sessions.sessions.capabilities_of(self.session))
        if no is not None:
            raise QuestionRefused(*no)
        asker = OwnAsker(Deferred())
        question = jsonrpc.request(0, ELICIT, params)
        view_sessions.questions.ask(GATEWAY_ASKER, asker, self.session, ELICIT, question, request)
        return asker.done


def _unknown(server: str) -> Deferred[Any]:
    raise UnknownServer(f"Unknown server: {server}")
