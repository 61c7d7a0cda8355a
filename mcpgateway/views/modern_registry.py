"""What views show to clients of the modern era, and what their requests are served with.

All parts that serve such requests look things up here; `mcpgateway.views.modern` puts them together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from attrs import define, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.errors import (
    GatewayError,
    SessionRequired,
    UnknownMethod,
    UnknownServer,
    UnservedRevision,
    UnsupportedVersion,
    of_server,
)
from mcpgateway.hub.caller import Caller
from mcpgateway.hub.catalog.listed import Librarian
from mcpgateway.hub.catalog.recorded import Snapshots
from mcpgateway.hub.filters import Between
from mcpgateway.hub.pool import Pool
from mcpgateway.interfaces import Request
from mcpgateway.policy.access import is_client
from mcpgateway.policy.permissions import TokenScope
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.versions import Era
from mcpgateway.views.extensions import met
from mcpgateway.views.kept_results import KeptResults
from mcpgateway.views.modern_clients import Clients
from mcpgateway.views.modern_lists import Lists
from mcpgateway.views.modern_own_tools import OwnToolCalls
from mcpgateway.views.results import Outcomes
from mcpgateway.views.view import View

if TYPE_CHECKING:
    from mcpgateway.hub.meters import Meter
    from mcpgateway.hub.modern_dispatch import Stateless
    from mcpgateway.protocol.request_states import RequestStates

LOOK_S = 1.0  # the values of workspaces are looked at so often
SEEN_LIMIT = 1000  # places
CALL_TOOL = "tools/call"
Here = Callable[[Request, View], None]
Submit = Callable[[Request], None]
Flies = Callable[[Request, Item, Submit], bool]
"""Whether a call is made together with others that are the same (`mcpgateway.hub.coalescing`)."""
Shield = Callable[[Request, str, View, tuple[str, str], Any], None]
"""Puts itself between a call and its sink.

It is given the principal, the view, the server and the tool's own name, and the level.
"""

_OF_ONE_SERVER = (UnsupportedVersion, UnservedRevision, UnknownServer, SessionRequired)
"""What ends a client's talk with an endpoint, and is true of one server here and not of the view."""


@define(eq=False)
class _OnView(Between):
    """Has a server refuse its own requests only: a client would take some refusals for the whole view's."""

    server: str

    def failed(self, call: Request, why: GatewayError) -> None:
        """There is no answer."""
        if not isinstance(why, _OF_ONE_SERVER):
            self.sink.failed(call, why)
        elif call.method == CALL_TOOL:
            from mcpgateway.views.own_messages import unusable

            self.sink.answered(call, unusable(self.server, why))
        else:
            self.sink.failed(call, GatewayError(of_server(self.server, why.hint or why.message)))


class Views(Protocol):
    """What knows what views show (`mcpgateway.views.registry.ViewRegistry`)."""

    librarian: Librarian
    edition: int
    pause: Callable[[ServerSpec], GatewayError | None]
    catch_up: Callable[[], Deferred[None]]

    def seen(
        self,
        spec: ServerSpec,
        scope: TokenScope | None = None,
        told_of: Callable[[ServerSpec], str] | None = None,
    ) -> View:
        """What a view shows, by its entry as it is for the place of whoever asks, and may use no more than this."""

    def within(
        self, view: View, cwd: str, session: None = None, told_of: Callable[[ServerSpec], str] | None = None
    ) -> View:
        """The same view, as it looks from a directory."""


@frozen
class ModernParts:
    """What requests to views are served with.

    :ivar board: knows what views show.
    :ivar states: makes and reads request states.
    :ivar seconds: the wall clock, for them.
    :ivar snapshots: what servers have answered before; None where nothing is kept.
    """

    board: Views
    pool: Pool
    clock: IReactorTime
    states: RequestStates
    seconds: Callable[[], float]
    snapshots: Snapshots | None = None


@frozen
class _Seen:
    """A view as it was when a request was served.

    :ivar asked: its entry as the request had it.
    :ivar edition: of the configuration (`mcpgateway.views.registry.ViewRegistry.edition`).
    :ivar spec: the entry in force.
    """

    asked: ServerSpec
    edition: int
    spec: ServerSpec
    view: View
    moves: int
    at: float


class ModernRegistry:
    """What is known of views, and done to all requests of the modern era to them.

    :ivar errands: the calls of the gateway's own tools.
    :ivar lists: asks servers what they list.
    :ivar shield: told of each call of a server's tool before it is sent, to cut its result.
    :ivar called: told of each call that no client waits for.
    :ivar own: what is counted of the gateway's own tools; None where nothing is.
    :ivar listed: told of each list of tools that a client is given.
    :ivar kept: the originals of what was cut; None where none are kept.
    :ivar may_fly: whether calls of a tool that are the same may be made together.
    :ivar flies: whether a call is made together with others that are the same.
    :ivar methods: what serves each method; filled by whoever puts the parts together.
    :ivar clients: knows what servers are told of clients.
    """

    def __init__(self, stateless: Stateless, around: ModernParts) -> None:
        self.stateless = stateless
        self.librarian = around.board.librarian
        self.shield: Shield = as_it_is
        self.called: Callable[[str, str], None] = _uncounted
        self.own: Meter | None = None
        self.listed: Callable[[View], None] = _uncounted
        self.kept: KeptResults | None = None
        self.may_fly: Callable[[Item], bool] = lambda _: False
        self.flies: Flies = alone
        self.errands = OwnToolCalls(around.states, around.seconds, around.clock)
        self._snapshots = around.snapshots
        self._pool = around.pool
        self.clients = Clients(stateless.road, stateless.to_legacy.told)
        self.lists = Lists(
            around.board.librarian,
            stateless.submit,
            self._is_running,
            self._hello,
            self.clients,
            around.clock,
        )
        self.lists.current, self.lists.pause = stateless.current, around.board.pause
        self.board = around.board
        self._look_at = around.board.seen
        self.clock = around.clock
        self._seen: dict[tuple[str, str, str, TokenScope | None, bytes], _Seen] = {}
        self.methods: dict[str, Here] = {}

    def use(self, outcomes: Outcomes) -> None:
        """Have calls counted, and their answers shortened."""
        self.shield, self.kept = outcomes.over, outcomes.kept
        self.called, self.listed, self.own = outcomes.called, outcomes.listed, outcomes.own
        if outcomes.flights is not None:
            self.may_fly, self.flies = outcomes.may_fly, outcomes.flies

    def submit(self, call: Request) -> None:
        """Answer a request to a view, or bring it on its way.

        :raise GatewayError: it goes nowhere.
        """
        here = self.methods.get(call.method)
        if here is None:
            raise UnknownMethod(f"Method not found: {call.method}")
        call.caller.client = self.clients.read(call.message.meta)
        here(call, self.look(call.caller))

    def look(self, caller: Caller) -> View:
        """What a view shows; with many servers that takes a while, and is the same for many requests.

        :raise UnknownServer: there is no such view any more.
        """
        asked, principal = caller.server, caller.principal
        scope = self.stateless.permits.of(principal) if is_client(principal) else None
        key = (
            asked.name,
            asked.workspace,
            asked.principal,
            scope,
            caller.client.key if caller.client else b"",
        )
        now, moves = self.clock.seconds(), self._pool.moves
        seen = self._seen.get(key)
        is_fresh = seen is not None and seen.moves == moves and 0 <= now - seen.at < LOOK_S
        if seen is not None and is_fresh and seen.asked is asked and seen.edition == self.board.edition:
            return seen.view
        spec = self.stateless.current(asked)
        if seen is None or not is_fresh or seen.spec is not spec:
            if len(self._seen) >= SEEN_LIMIT:
                self._seen.clear()
            seen = self._seen[key] = _Seen(
                asked, self.board.edition, spec, self._look_at(spec, scope, self._told_of(caller)), moves, now
            )
        return seen.view

    def _told_of(self, caller: Caller) -> Callable[[ServerSpec], str] | None:
        client = caller.client
        return (lambda server: self.clients.told(server, client)) if client is not None else None

    def within(self, view: View, cwd: str, caller: Caller) -> View:
        """The same view, as it looks from a directory.

        :raise InvalidParams: there is no such directory.
        """
        return self.board.within(view, cwd, None, self._told_of(caller))

    def look_anew(self, caller: Caller) -> View:
        """What a view shows just now.

        :raise UnknownServer: there is no such view any more.
        """
        self._seen.clear()
        return self.look(caller)

    # To a server

    def send(self, call: Request) -> None:
        """Bring a request to one server, in the server's own words.

        :raise GatewayError: it goes nowhere.
        """
        call.sink = refuses = _OnView(call.sink, call.caller.server.name)
        try:
            self.stateless.submit(call)
        except _OF_ONE_SERVER as why:
            refuses.failed(call, why)

    # Lists

    async def settle(self, caller: Caller, kind: ListKind) -> dict[str, str]:
        """Wait for the lists of all servers of a view; those that are missing then, and why."""
        asked = self.look(caller).to_ask(kind)
        unknown = [(each, kind) for each in asked if self.lists.has_to_be_asked(each, kind, caller)]
        if unknown:
            await self.lists.wait(unknown, caller)
        return self.lists.missing(self.look(caller).to_ask(kind), kind, caller)

    def _is_running(self, server: ServerSpec) -> bool:
        return any(self._pool.is_running(server, era) for era in Era)

    def _hello(self, server: ServerSpec) -> Envelope | None:
        return met(server, self._pool, self._snapshots)


def alone(call: Request, item: Item, submit: Submit) -> bool:
    """Each call is made by itself."""
    return False


def as_it_is(call: Request, principal: str, view: View, target: tuple[str, str], level: Any) -> None:
    """Nothing is cut."""


def _uncounted(*what: object) -> None:
    """Nobody counts."""
