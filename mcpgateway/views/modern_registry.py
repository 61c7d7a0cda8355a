"""The registry of views for modern requests: their contents, and the parts that serve requests.

All parts that serve modern requests use this registry; `mcpgateway.views.modern` puts them together.

# Note [Lists that depend on the client]
Some servers list a tool only to clients with the capabilities that it needs.  A modern server gets these with each
request.  A legacy server gets them at its handshake, so clients with other capabilities have another child of it.  So a
list is kept for clients with equal capabilities, and fetched with their ``_meta``; where a server has the same child
for all clients, the list is kept for all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import frozen
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from mcpgateway import __version__
from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.errors import (
    GatewayError,
    SessionRequired,
    UnknownServer,
    UnservedRevision,
    UnsupportedVersion,
    of_server,
)
from mcpgateway.hub.caller import Caller, ModernClient
from mcpgateway.hub.catalog.recorded import Snapshots
from mcpgateway.hub.filters import SinkFilter
from mcpgateway.hub.pool import Pool
from mcpgateway.interfaces import Request
from mcpgateway.policy.access import is_client
from mcpgateway.policy.eras import EraPath
from mcpgateway.policy.permissions import TokenScope
from mcpgateway.policy.recorded_answers import client_in, modern_handshake
from mcpgateway.protocol import jsonrpc, modern, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.param_headers import ANNOTATION
from mcpgateway.views.kept_results import KeptResults
from mcpgateway.views.modern_lists import ModernLists, Submit
from mcpgateway.views.modern_own_tools import OwnToolCalls
from mcpgateway.views.results import Outcomes
from mcpgateway.views.view import View

if TYPE_CHECKING:
    from mcpgateway.hub.meters import Meter
    from mcpgateway.hub.modern_dispatch import ModernDispatcher
    from mcpgateway.protocol.request_states import RequestStates
    from mcpgateway.views.registry import ViewRegistry

LOOK_S = 1.0  # for which a view is used before it is looked up again
SEEN_LIMIT = 1000  # views by place, principal, scope and client
CLIENTS_LIMIT = 1000
CALL_TOOL = "tools/call"
OWN: Envelope = {name: jsonrpc.raw(value) for name, value in modern.own_meta(__version__).items()}
"""The ``_meta`` of the gateway's own requests."""
Flies = Callable[[Request, Item, Submit], bool]
"""Merges a call with identical ones, and returns True; else False (`mcpgateway.hub.coalescing`)."""
Shield = Callable[[Request, str, View, tuple[str, str], Any], None]
"""Puts a filter between a call and its sink.

Its parameters: the call, the principal, the view, the server and the tool's own name, and the level.
"""

_MIRRORED = ANNOTATION.encode()
_OF_ONE_SERVER = (UnsupportedVersion, UnservedRevision, UnknownServer, SessionRequired)
"""Errors by which a client would give up the endpoint, while they concern one server here and not the view."""


class _OnView(SinkFilter):
    """Rewrites refusals of one server that a client would take for refusals of the whole view."""

    server: str

    def failed(self, request: Request, why: GatewayError) -> None:
        """Take the error in the place of a response."""
        if not isinstance(why, _OF_ONE_SERVER):
            self.sink.failed(request, why)
        elif request.method == CALL_TOOL:
            from mcpgateway.views.own_messages import unusable

            self.sink.answered(request, unusable(self.server, why))
        else:
            self.sink.failed(request, GatewayError(of_server(self.server, why.hint or why.message)))


class ClientMeta:
    """Reads the client's ``_meta`` of requests, and derives the parts that servers get.

    :param path: returns the path of modern clients to a server; None while it is not known.
    :param handshake_of: returns the handshake of a legacy server's child for a client's ``_meta``.
    """

    def __init__(
        self,
        path: Callable[[ServerSpec], EraPath | None],
        handshake_of: Callable[[ServerSpec, Envelope], str],
    ) -> None:
        self._path = path
        self._handshake_of = handshake_of
        self._read: dict[bytes, ModernClient | None] = {}  # requests repeat it

    def read(self, meta: Envelope | None) -> ModernClient | None:
        """Return the client with this ``_meta``; None where it has no capabilities that a list may depend on."""
        members = client_in(meta or {})
        key = b"\0".join(bytes(each) for each in members.values())
        if key not in self._read:
            if len(self._read) >= CLIENTS_LIMIT:
                self._read.clear()
            can = peek.mapping(members, modern.CAPABILITIES_KEY)
            self._read[key] = ModernClient(members, hashlib.sha256(key).digest()) if can else None
        return self._read[key]

    def handshake_of(self, server: ServerSpec, client: ModernClient | None) -> str:
        """Return the handshake of a server for a client (`mcpgateway.hub.catalog.listed`); empty for none."""
        if client is None:
            return ""
        if self._path(server) is EraPath.BRIDGED:
            return self._handshake_of(server, client.meta)
        return modern_handshake(self.words(server, client))

    def words(self, server: ServerSpec, client: ModernClient | None) -> Envelope:
        """Return the ``_meta`` of the gateway's request for a server's list for a client."""
        if client is None:
            return dict(OWN)
        if self._path(server) is EraPath.BRIDGED:
            return dict(client.meta)  # a child may be started with these capabilities
        return OWN | {modern.CAPABILITIES_KEY: client.meta[modern.CAPABILITIES_KEY]}


@frozen
class ModernParts:
    """The objects that serve requests to views.

    :ivar board: the registry of the views' contents.
    :ivar states: makes and reads request states.
    :ivar seconds: the wall clock, for request states.
    :ivar snapshots: the recorded answers of servers; None where none are kept.
    """

    view_sessions: ViewRegistry
    pool: Pool
    clock: IReactorTime
    states: RequestStates
    seconds: Callable[[], float]
    snapshots: Snapshots | None = None


@frozen
class _CachedView:
    """A cached view, as it was when a request was served.

    :ivar asked: the view's entry in the request.
    :ivar edition: the edition of the configuration (`mcpgateway.views.registry.ViewRegistry.edition`).
    :ivar spec: the entry in force.
    :ivar known: the values of `mcpgateway.hub.pool.Pool.moves` and `mcpgateway.hub.probes.era.Eras.findings` at that
        time: the handshake of a server depends on both.
    :ivar at: the time, in seconds of the clock.
    """

    asked: ServerSpec
    edition: int
    spec: ServerSpec
    view: View
    known: tuple[int, int]
    at: float


class ModernRegistry:
    """The contents of views, and the parts common to all modern requests; a `mcpgateway.views.routing.ViewClients`.

    :ivar own_calls: the calls of the gateway's own tools.
    :ivar lists: fetches servers' lists.
    :ivar shield: called with each call of a server's tool before it is sent, to shorten its result.
    :ivar called: called for each call that no client waits for.
    :ivar own: the numbers of the gateway's own tools; None where none are kept.
    :ivar listed: called with each view whose list of tools a client is given.
    :ivar kept: the originals of shortened results; None where none are kept.
    :ivar may_fly: returns True if identical calls of a tool may be merged.
    :ivar flies: merges a call with identical ones, and returns True; else False.
    :ivar clients: the capabilities of clients that servers get.
    """

    def __init__(self, modern_dispatcher: ModernDispatcher, parts: ModernParts) -> None:
        self.modern_dispatcher = modern_dispatcher
        self.server_lists = parts.view_sessions.server_lists
        self.shield: Shield = as_it_is
        self.called: Callable[[str, str], None] = _uncounted
        self.own: Meter | None = None
        self.listed: Callable[[View], None] = _uncounted
        self.kept: KeptResults | None = None
        self.may_fly: Callable[[Item], bool] = lambda _: False
        self.flies: Flies = alone
        self.own_calls = OwnToolCalls(parts.states, parts.seconds, parts.clock)
        self._snapshots = parts.snapshots
        self._pool = parts.pool
        self._eras = modern_dispatcher.eras
        self.clients = ClientMeta(modern_dispatcher.path, modern_dispatcher.to_legacy.handshake_of)
        self.lists = ModernLists(
            parts.view_sessions,
            modern_dispatcher.submit,
            self.clients.handshake_of,
            self.clients.words,
            parts.snapshots,
        )
        self.view_sessions = parts.view_sessions
        self._look_at = parts.view_sessions.seen
        self.clock = parts.clock
        self._cached: dict[tuple[str, str, str, TokenScope | None, bytes], _CachedView] = {}

    def use(self, outcomes: Outcomes) -> None:
        """Have calls counted, their results shortened, and identical ones merged."""
        self.shield, self.kept = outcomes.over, outcomes.kept
        self.called, self.listed, self.own = outcomes.called, outcomes.listed, outcomes.own
        if outcomes.flights is not None:
            self.may_fly, self.flies = outcomes.may_fly, outcomes.flies

    def catch_up(self) -> Deferred[None]:
        """Have edits of the configuration read; fires when they are in force."""
        return self.view_sessions.catch_up()

    def view_of(self, request: Request) -> View:
        """Return the view of a request that has just come.

        :raise UnknownServer: the view no longer exists.
        """
        request.caller.client = self.clients.read(request.message.meta)
        return self.look(request.caller)

    def look(self, caller: Caller) -> View:
        """Return the view of a caller, cached for `LOOK_S`: with many servers it takes a while to make.

        :raise UnknownServer: the view no longer exists.
        """
        asked, principal = caller.server, caller.principal
        scope = self.modern_dispatcher.permits.of(principal) if is_client(principal) else None
        key = (
            asked.name,
            asked.workspace,
            asked.principal,
            scope,
            caller.client.key if caller.client else b"",
        )
        now, known = self.clock.seconds(), (self._pool.moves, self._eras.findings)
        seen = self._cached.get(key)
        is_fresh = seen is not None and seen.known == known and 0 <= now - seen.at < LOOK_S
        if (
            seen is not None
            and is_fresh
            and seen.asked is asked
            and seen.edition == self.view_sessions.edition
        ):
            return seen.view
        spec = self.modern_dispatcher.current(asked)
        if seen is None or not is_fresh or seen.spec is not spec:
            if len(self._cached) >= SEEN_LIMIT:
                self._cached.clear()
            seen = self._cached[key] = _CachedView(
                asked,
                self.view_sessions.edition,
                spec,
                self._look_at(spec, scope, self._handshake_of(caller)),
                known,
                now,
            )
        return seen.view

    def _handshake_of(self, caller: Caller) -> Callable[[ServerSpec], str] | None:
        client = caller.client
        return (lambda server: self.clients.handshake_of(server, client)) if client is not None else None

    def within(self, view: View, cwd: str, caller: Caller) -> View:
        """Return the same view for a directory.

        :raise InvalidParams: the directory does not exist.
        """
        return self.view_sessions.within(view, cwd, None, self._handshake_of(caller))

    def rebuild(self, caller: Caller) -> View:
        """Return the view of a caller, made anew.

        :raise UnknownServer: the view no longer exists.
        """
        self._cached.clear()
        return self.look(caller)

    # To a server

    def send(self, request: Request) -> None:
        """Send a request to one server, under the server's own names.

        :raise GatewayError: the request is refused, and not sent.
        """
        if self.modern_dispatcher.forward(request, may_doubt=False):
            return
        request.sink = refuses = _OnView(request.sink, request.caller.server.name)
        try:
            self.modern_dispatcher.submit(request)
        except _OF_ONE_SERVER as why:
            refuses.failed(request, why)

    def forward(self, request: Request, view: View, item: Item) -> None:
        """Send a call of a tool or a prompt to its server, under its own name.

        :raise GatewayError: the call is refused, and not sent.
        """
        request.caller = replace(request.caller, server=view.servers[item.server])
        (request.message.params or {})["name"] = jsonrpc.raw(item.own)
        if item.kind is ListKind.TOOL:
            self.shield(request, request.caller.principal, view, (item.server, item.own), None)
            if self._flies(request, item):
                return
        self.send(request)

    def _flies(self, request: Request, item: Item) -> bool:
        # Only at a server of the same era, and where no header has to be compared with each caller's arguments.
        if not self.may_fly(item) or _MIRRORED in bytes(item.input_schema or b""):
            return False
        request.session = self.modern_dispatcher.session_of(request.caller)
        request.level = modern.level(request.message.meta)
        return request.session is not None and self.flies(request, item, self.send)

    def to_server(self, request: Request, view: View, server: str) -> None:
        """Send a request to a server of the view, as it is.

        :raise GatewayError: the request is refused, and not sent.
        """
        request.caller = replace(request.caller, server=view.servers[server])
        self.send(request)

    # Requests that wait

    def hold(self, request: Request) -> None:
        """Do nothing: the request of a client that has gone away is given up when it goes on."""

    def release(self, request: Request) -> bool:
        """Return False if no client waits for the call any more."""
        return not request.sink.is_gone


def alone(request: Request, item: Item, submit: Submit) -> bool:
    """Return False: identical calls are not merged."""
    return False


def as_it_is(request: Request, principal: str, view: View, target: tuple[str, str], level: Any) -> None:
    """Leave the call's result unchanged."""


def _uncounted(*what: object) -> None:
    """Ignore the call."""
