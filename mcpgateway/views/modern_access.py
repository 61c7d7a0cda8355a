"""What the gateway's own tools get to know of a caller of the modern era, and what they may do in its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import define, evolve
from msgspec import Raw
from twisted.internet.defer import Deferred, fail, succeed

from mcpgateway import __version__
from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.errors import (
    BackendError,
    Cancelled,
    ClientGone,
    GatewayError,
    InvalidParams,
    QuestionRefused,
    UnknownServer,
)
from mcpgateway.hub.caller import Caller
from mcpgateway.hub.filters import Between
from mcpgateway.interfaces import Request
from mcpgateway.policy.access import Reach
from mcpgateway.protocol import jsonrpc, modern, translate
from mcpgateway.protocol.jsonrpc import Envelope, Message
from mcpgateway.views.legacy_access import NO_DIRECTORY
from mcpgateway.views.modern_own_tools import OwnToolCall
from mcpgateway.views.view import View

if TYPE_CHECKING:
    from mcpgateway.owntools.tool import Access
    from mcpgateway.views.modern_registry import ModernRegistry

CALL_TOOL = "tools/call"
TOKEN = Raw(b"0")  # whoever makes a call of its own hears of its progress by the call, not by the token


@define(eq=False)
class UnattendedCall(Between):
    """A call of the gateway's own: nobody is there who could be asked anything.

    :ivar is_over: it has been answered, or taken back.
    """

    is_over: bool = False

    @property
    def is_gone(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.is_over or bool(self.sink.is_gone)

    def answered(self, call: Request, reply: Envelope) -> None:
        """The server's own response; one that asks something leads nowhere."""
        if self.is_over:
            return
        if "result" in reply and translate.kind_of(reply["result"]) == modern.INPUT_REQUIRED:
            self.failed(call, QuestionRefused(-32601, "the tool asks its user something, and there is none"))
            return
        self.is_over = True
        self.sink.answered(call, reply)

    def failed(self, call: Request, why: GatewayError) -> None:
        """There is no answer."""
        if not self.is_over:
            self.is_over = True
            self.sink.failed(call, why)


@define(eq=False)
class ModernAccess:
    """An `mcpgateway.owntools.tool.Access`, for one call of a tool.

    :ivar caller: who calls.
    :ivar errand: the call, as the tool knows it.
    """

    door: ModernRegistry
    view: View
    caller: Caller
    errand: OwnToolCall
    session: None = None

    @property
    def principal(self) -> str:
        """Who calls."""
        return self.caller.principal

    def specs(self) -> tuple[ServerSpec, ...]:
        """The servers this caller may use."""
        return tuple(self.view.servers.values())

    def within(self, cwd: str) -> ModernAccess:
        """The same caller, as if it worked in that directory.

        :raise GatewayError: nobody may work there.
        """
        if getattr(self.caller.connection, "reach", None) is Reach.REMOTE or self.view.scope is not None:
            raise InvalidParams(NO_DIRECTORY)
        return evolve(self, view=self.door.within(self.view, cwd, self.caller))

    def caught_up(self) -> Deferred[Access]:
        """The same caller, once what was edited in the configuration is in force."""
        done = self.door.board.catch_up()
        return succeed(self) if done.called else done.addCallback(lambda _: self.anew())

    def settle(self, kind: ListKind) -> Deferred[tuple[Access, Mapping[str, str]]]:
        """Wait for the lists of its servers that are not known; those that are missing then, and why."""
        return Deferred.fromCoroutine(self._settle(kind))

    async def _settle(self, kind: ListKind) -> tuple[Access, Mapping[str, str]]:
        missing = await self.door.settle(self.caller, kind)
        return self.anew(), missing

    def anew(self) -> ModernAccess:
        """The same caller, after the configuration has changed."""
        return evolve(self, view=self.door.look_anew(self.caller))

    def _spec(self, server: str) -> ServerSpec:
        found = self.view.servers.get(server)
        if found is None:
            raise UnknownServer(f"Unknown server: {server}")
        return found

    def redirect(
        self,
        call: Request,
        target: tuple[str, str],
        arguments: Raw,
        *,
        limit_s: float,
        level: Any,
    ) -> None:
        """Let the call become that of a server's tool; what it has been asked and answered goes along.

        :raise GatewayError: it goes nowhere.
        """
        server, tool = target
        spec = self._spec(server)
        said = call.message
        params = dict(said.params or {}) | {"name": jsonrpc.raw(tool), "arguments": arguments}
        meta = dict(said.meta) if said.meta is not None else None
        call.message = Message(said.kind, dict(said.envelope), CALL_TOOL, said.id, params, meta)
        errands = self.door.errands
        errands.limit(self.errand, limit_s)
        call.meter = None  # it counts for that server
        try:
            # The headers repeat the arguments of the tool that was called, not of this one.
            self.door.shield(call, self.principal, self.view, target, level)
            call.caller = evolve(self.caller, server=spec, headers=None)
            self.door.send(call)
        except GatewayError:
            errands.stay(self.errand)
            raise

    def begin(self, server: str, tool: str, arguments: Raw, sink: Any) -> Request:
        """Make a call of its own, in the gateway's name and for this principal.

        :raise GatewayError: it goes nowhere.
        """
        meta = {name: jsonrpc.raw(value) for name, value in modern.own_meta(__version__).items()}
        meta |= {"progressToken": TOKEN, modern.LEVEL_KEY: jsonrpc.raw("info")}
        params: Envelope = {
            "name": jsonrpc.raw(tool),
            "arguments": arguments,
            "_meta": jsonrpc.raw(meta),
        }
        message = jsonrpc.own_request(CALL_TOOL, params, meta=meta)
        call = Request(None, message, bytes(TOKEN), UnattendedCall(sink))
        spec = self._spec(server)
        self.door.called(server, tool)
        call.caller = evolve(self.caller, server=spec, headers=None)
        self.door.send(call)
        return call

    def cancel(self, call: Request, why: str) -> None:
        """Take a call back that was redirected or begun; its sink hears that it is cancelled."""
        if call.sink.is_gone:
            return
        call.withdraw(why)
        call.sink.failed(call, Cancelled(why))

    def list(self, server: str, kind: ListKind, *, is_look: bool = True) -> Deferred[tuple[Item, ...]]:
        """What a server has of a kind, asked for if it must be.

        :param is_look: nobody calls anything, so a server that has just failed is not started for it.
        :raise GatewayError: (through the Deferred) it cannot be asked.
        """
        librarian, spec = self.door.librarian, self.view.servers.get(server)
        if spec is None:
            return fail(UnknownServer(f"Unknown server: {server}"))
        known = librarian.known(spec, kind, self.door.lists.told(spec, self.caller))
        if known is not None and not self.door.lists.has_to_be_asked(spec, kind, self.caller):
            return succeed(self._narrowed(spec, kind, known))
        asked = self.door.lists.ask(spec, kind, self.caller, is_look=is_look)

        def found(_: None) -> tuple[Item, ...]:
            items = librarian.known(spec, kind, self.door.lists.told(spec, self.caller))
            if items is None:
                raise asked.why or BackendError(f"{server} could not be asked what it has")
            return self._narrowed(spec, kind, items)

        return asked.wait.addCallback(found)

    def _narrowed(self, spec: ServerSpec, kind: ListKind, items: tuple[Item, ...]) -> tuple[Item, ...]:
        return self.view.narrowed(spec, items) if kind is ListKind.TOOL else items

    def elicit(self, call: Request, params: dict[str, Any]) -> Deferred[dict[str, Any]]:
        """Ask the human at the caller's client; see `mcpgateway.views.modern_own_tools`.

        :raise QuestionRefused: (through the Deferred) the client cannot ask anybody.
        """
        if call is not self.errand.call:
            return fail(ClientGone("there is no client to be asked"))
        return self.door.errands.elicit(self.errand, params)
