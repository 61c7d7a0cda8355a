"""What the gateway's own tools may do in the name of a legacy client: all of it in that client's own sessions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen
from msgspec import Raw
from twisted.internet.defer import Deferred, maybeDeferred, succeed

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.errors import Cancelled, GatewayError, InvalidParams, QuestionRefused, UnknownServer
from mcpgateway.interfaces import Request
from mcpgateway.policy.access import REMOTE
from mcpgateway.policy.client_requests import refusal
from mcpgateway.protocol import jsonrpc, legacy, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.views.filters import Limited

if TYPE_CHECKING:
    from mcpgateway.hub.sessions import Session
    from mcpgateway.owntools.tool import Access
    from mcpgateway.views.forwarding import Forwarder
    from mcpgateway.views.registry import ViewRegistry
    from mcpgateway.views.view import View

TOKEN = b"0"
ELICIT = "elicitation/create"
OURS = "mcpgateway"
NO_DIRECTORY = (
    "a client on another machine, or with a credential of its own, chooses no directory of this one"
)


@frozen
class LegacyAccess:
    """An `mcpgateway.owntools.tool.Access`, made for one call.

    :ivar is_elsewhere: it is to be as if the caller worked in another directory.
    """

    principal: str
    view: View
    session: Session
    _registry: ViewRegistry
    _forwarder: Forwarder
    is_elsewhere: bool = False

    def specs(self) -> tuple[ServerSpec, ...]:
        """The servers this caller may use."""
        return tuple(self.view.servers.values())

    def anew(self) -> LegacyAccess:
        """The same caller, after the configuration has changed."""
        self._registry.tick()  # what has been approved of is seen now
        return evolve(self, view=self._registry.view(self.session))

    def caught_up(self) -> Deferred[Access]:
        """The same caller, once what was edited in the configuration is in force."""
        done = self._registry.catch_up()
        if done.called:
            return succeed(self)
        return done.addCallback(lambda _: evolve(self, view=self._registry.anew(self.session)))

    def settle(self, kind: ListKind) -> Deferred[tuple[Access, Mapping[str, str]]]:
        """Wait for the lists of its servers that are not known; those that are missing then, and why."""
        return Deferred.fromCoroutine(self._settle(kind))

    async def _settle(self, kind: ListKind) -> tuple[Access, Mapping[str, str]]:
        missing = await self._forwarder.settle(self.session, kind)
        return (self if self.is_elsewhere else evolve(self, view=self._registry.anew(self.session))), missing

    def within(self, cwd: str) -> LegacyAccess:
        """The same caller, as if it worked in that directory.

        :raise GatewayError: nobody may work there.
        """
        if self.principal == REMOTE or self.view.scope is not None:
            raise InvalidParams(NO_DIRECTORY)
        return evolve(self, view=self._registry.within(self.view, cwd, self.session), is_elsewhere=True)

    def redirect(
        self,
        call: Request,
        target: tuple[str, str],
        arguments: Raw,
        *,
        limit_s: float,
        level: Any,
    ) -> None:
        """Let a call become that of a server's tool."""
        server, tool = target
        if server not in self.view.servers:
            raise UnknownServer(f"Unknown server: {server}")
        said = call.message
        meta = {"_meta": jsonrpc.raw(said.meta)} if said.meta is not None else {}
        params = {"name": jsonrpc.raw(tool), "arguments": arguments, **meta}
        message = jsonrpc.own_request("tools/call", params, said.id, said.meta)
        if not self._registry.release(call):
            return  # it was taken back meanwhile
        call.meter = None  # it counts for that server
        if limit_s:
            call.sink = limited = Limited(call.sink, self._registry.clock)
            limited.begin(call, limit_s)
        if self.is_elsewhere and not self.session.id:
            call.session = self._anonymous(server)
        call.message = message
        elsewhere = self.view.servers[server] if self.is_elsewhere else None
        self._forwarder.bring(call, self.view, target, level, elsewhere)

    def _anonymous(self, server: str) -> Session:
        return self._registry.switchboard.session(None, self._served(server), self.principal)

    def _served(self, server: str) -> ServerSpec:
        # The view may be from before a change of the configuration: a job has waited for others, say.
        spec = self.view.servers.get(server)
        if spec is None:
            raise UnknownServer(f"Unknown server: {server}")
        return self._registry.switchboard.current(spec)

    def begin(self, server: str, tool: str, arguments: Raw, sink: Any) -> Request:
        """Make a call of its own, which no client waits for."""
        spec = self._served(server)
        # It has a token so that it hears of progress; which one is nobody's concern, since the sink is its own.
        meta = {"progressToken": Raw(TOKEN)}
        params = {"name": jsonrpc.raw(tool), "arguments": arguments, "_meta": jsonrpc.raw(meta)}
        call = Request(self.session, jsonrpc.own_request("tools/call", params, b"", meta), TOKEN, sink)
        if self.is_elsewhere or self._registry.switchboard.pool.scope(spec) is not Share.SESSION:
            # What was begun goes on when the client leaves, so it is nobody's session that it runs in.
            call.session = self._anonymous(server)
        self._registry.outcomes.called(server, tool)
        self._forwarder.go(call, server)
        return call

    def cancel(self, call: Request, why: str) -> None:
        """Take a call back that was redirected or begun."""
        if call.withdraw(why):
            call.sink.failed(call, Cancelled(why))

    def list(self, server: str, kind: ListKind, *, is_look: bool = True) -> Deferred[tuple[Item, ...]]:
        """What a server has of a kind, asked for if it must be."""
        spec = self.view.servers.get(server)
        if spec is None:
            return maybeDeferred(_unknown, server)
        told, librarian = self.view.told.get(server, ""), self._registry.librarian
        is_known = librarian.is_fresh(spec, kind, told)
        lister = self._forwarder.lister
        asked = succeed(None) if is_known else lister.ask(self.session, spec, kind, told, is_look=is_look)

        def known(_: None) -> tuple[Item, ...]:
            items = librarian.known(spec, kind, told) or ()
            return self.view.narrowed(spec, items) if kind is ListKind.TOOL else items

        return asked.addCallback(known)

    def elicit(self, call: Request, params: dict[str, Any]) -> Deferred[dict[str, Any]]:
        """Ask the human at the caller's client."""
        return maybeDeferred(self._elicit, call, params)

    def _elicit(self, call: Request, params: dict[str, Any]) -> Deferred[dict[str, Any]]:
        board = self._registry.switchboard
        if not self.session.id:
            raise QuestionRefused(-32601, f"Method not found: {ELICIT} (there is no session)")
        no = refusal(ELICIT, params, board.sessions.capabilities_of(self.session))
        if no is not None:
            raise QuestionRefused(*no)
        asker = OwnAsker(Deferred())
        question = jsonrpc.request(0, ELICIT, params)
        board.questions.ask(NOBODY, asker, self.session, ELICIT, question, call)
        return asker.done


@frozen
class _Named:
    name: str = OURS


@frozen(eq=False)
class _Nobody:
    """Stands where a server would be that asks."""

    server: _Named = _Named()

    def newest_calls(self) -> dict[Session, Request]:
        """None of its own."""
        return {}


NOBODY = _Nobody()


@frozen(eq=False)
class OwnAsker:
    """Takes the answer where a server's conversation would."""

    done: Deferred[dict[str, Any]]

    def notify(self, reply: Envelope) -> None:
        """The client has answered, or cannot."""
        if "error" in reply:
            self.done.errback(QuestionRefused(GatewayError.code, legacy.error_text(reply["error"])))
        else:
            self.done.callback(peek.mapping(reply, "result"))


def _unknown(server: str) -> Deferred[Any]:
    raise UnknownServer(f"Unknown server: {server}")
