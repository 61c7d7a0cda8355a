"""Requests of the modern era to a view, which stands for all servers at once (MCP 2026-07-28).

    request                     is answered by
    server/discover             the gateway, at once: a view speaks both eras, whatever its servers speak
    lists                       the gateway, with what the librarian knows (`mcpgateway.views.modern_lists`)
    subscriptions/listen        the gateway, and the servers that matter (`mcpgateway.views.listeners`)
    tools/call                  the server of the tool, or a tool of the gateway's own
    prompts/get, resources/read the server of the prompt, of the resource
    completion/complete         the server of what is to be completed
    tasks/*                     the server that runs the task

What goes to a server goes by `mcpgateway.hub.modern_dispatch.Stateless.submit`, as if its client had sent it there:
only the name is another, which is the server's own.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from attrs import evolve, frozen
from msgspec import Raw
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mcpgateway import __version__
from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.records import Item, Kind
from mcpgateway.discovery.resources import owner_named
from mcpgateway.errors import (
    GatewayError,
    InvalidParams,
    UnknownMethod,
)
from mcpgateway.hub.caller import Asker
from mcpgateway.hub.catalog.listed import Librarian
from mcpgateway.hub.catalog.recorded import Snapshots
from mcpgateway.hub.pool import Pool
from mcpgateway.hub.slot import Slot
from mcpgateway.hub.subscriptions.upstream_modern import Filter, narrowed, read_filter
from mcpgateway.interfaces import Call
from mcpgateway.owntools.missing_servers import with_missing
from mcpgateway.policy.permissions import Scope
from mcpgateway.protocol import jsonrpc, modern
from mcpgateway.protocol.jsonrpc import Envelope, Message
from mcpgateway.protocol.translate import COMPLETE
from mcpgateway.protocol.versions import MODERN, Era
from mcpgateway.views import introduction
from mcpgateway.views.extensions import extensions, met
from mcpgateway.views.kept_results import KeptResults, with_kept
from mcpgateway.views.listeners import ViewEars, Wish
from mcpgateway.views.modern_clients import Clients
from mcpgateway.views.modern_lists import Lists
from mcpgateway.views.modern_own_tools import Errands
from mcpgateway.views.modern_routing import Flies, Road, Shield, alone, as_it_is, nowhere
from mcpgateway.views.specs import ADMIN
from mcpgateway.views.view import KINDS, View

if TYPE_CHECKING:
    from mcpgateway.hub.meters import Meter
    from mcpgateway.hub.modern_dispatch import Stateless
    from mcpgateway.protocol.request_states import RequestStates

LOOK_S = 1.0  # the values of workspaces are looked at so often
SEEN_LIMIT = 1000  # places
DISCOVERY_MS = 10_000  # what a view shows changes with the configuration, and whoever listens hears of that


class Views(Protocol):
    """What knows what views show (`mcpgateway.views.registry.Board`)."""

    librarian: Librarian
    pause: Callable[[ServerSpec], GatewayError | None]
    catch_up: Callable[[], Deferred[None]]

    def seen(
        self,
        spec: ServerSpec,
        scope: Scope | None = None,
        told_of: Callable[[ServerSpec], str] | None = None,
    ) -> View:
        """What a view shows, by its entry as it is for the place of whoever asks, and may use no more than this."""

    def within(
        self, view: View, cwd: str, session: None = None, told_of: Callable[[ServerSpec], str] | None = None
    ) -> View:
        """The same view, as it looks from a directory."""


@frozen
class Around:
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
    """A view as it was when somebody looked."""

    spec: ServerSpec
    view: View
    moves: int
    at: float


class ViewDoor:
    """What `Stateless` hands requests over to that are for a view.

    :ivar errands: the calls of the gateway's own tools.
    :ivar lists: asks servers what they list.
    :ivar shield: told of each call of a server's tool before it is sent, to cut its result.
    :ivar called: told of each call that no client waits for.
    :ivar own: what is counted of the gateway's own tools; None where nothing is.
    :ivar listed: told of each list of tools that a client is given.
    :ivar kept: the originals of what was cut; None where none are kept.
    :ivar may_fly: whether calls of a tool that are the same may be made together.
    :ivar flies: whether a call is made together with others that are the same.
    :ivar leave: takes one of those back.
    :ivar clients: knows what servers are told of clients.
    """

    log = Logger()

    def __init__(self, stateless: Stateless, around: Around) -> None:
        self.stateless = stateless
        self.librarian = around.board.librarian
        self.shield: Shield = as_it_is
        self.called: Callable[[str, str], None] = _uncounted
        self.own: Meter | None = None
        self.listed: Callable[[View], None] = _uncounted
        self.kept: KeptResults | None = None
        self.may_fly: Callable[[Item], bool] = lambda _: False
        self.flies: Flies = alone
        self.leave: Callable[[Call, str], bool] = nowhere
        self.errands = Errands(around.states, around.seconds, around.clock, stateless.cancel)
        self._snapshots = around.snapshots
        self._pool = around.pool
        self.clients = Clients(stateless.road, stateless.to_legacy.told)
        self.lists = Lists(
            around.board.librarian,
            stateless.submit,
            stateless.cancel,
            self._is_running,
            self._hello,
            self.clients,
            around.clock,
        )
        self.lists.current, self.lists.pause = stateless.current, around.board.pause
        self.board = around.board
        self._look_at = around.board.seen
        self.clock = around.clock
        self._seen: dict[tuple[str, str, str, Scope | None, bytes], _Seen] = {}
        self._ears = ViewEars(stateless, around.clock)
        self._road = road = Road(self, around.pool)
        self._here: dict[str, Callable[[Call, Message, Asker, View], None]] = {
            modern.DISCOVER: self._discover,
            modern.LISTEN: self._listen,
            **dict.fromkeys(KINDS, self._list),
            **road.here,
        }
        around.board.librarian.on_change.append(self._changed)
        for slot in around.pool:
            self.warmed(slot)

    def submit(self, call: Call, message: Message, asker: Asker) -> None:
        """Answer a request to a view, or bring it on its way.

        :raise GatewayError: it goes nowhere.
        """
        here = self._here.get(call.method)
        if here is None:
            raise UnknownMethod(f"Method not found: {call.method}")
        asker.client = self.clients.read(message.meta)
        here(call, message, asker, self.look(asker))

    def look(self, asker: Asker) -> View:
        """What a view shows; with many servers that takes a while, and is the same for many requests.

        :raise UnknownServer: there is no such view any more.
        """
        spec, scope = self.stateless.current(asker.server), self.stateless.permits.of(asker.principal)
        key = (spec.name, spec.workspace, spec.principal, scope, asker.client.key if asker.client else b"")
        now, moves = self.clock.seconds(), self._pool.moves
        seen = self._seen.get(key)
        if seen is None or seen.spec is not spec or seen.moves != moves or not 0 <= now - seen.at < LOOK_S:
            if len(self._seen) >= SEEN_LIMIT:
                self._seen.clear()
            seen = self._seen[key] = _Seen(spec, self._look_at(spec, scope, self._told_of(asker)), moves, now)
        return seen.view

    def _told_of(self, asker: Asker) -> Callable[[ServerSpec], str] | None:
        client = asker.client
        return (lambda server: self.clients.told(server, client)) if client is not None else None

    def within(self, view: View, cwd: str, asker: Asker) -> View:
        """The same view, as it looks from a directory.

        :raise InvalidParams: there is no such directory.
        """
        return self.board.within(view, cwd, None, self._told_of(asker))

    def look_anew(self, asker: Asker) -> View:
        """What a view shows just now.

        :raise UnknownServer: there is no such view any more.
        """
        self._seen.clear()
        return self.look(asker)

    def look_around(self, has_news: bool) -> None:  # noqa: FBT001 - a callback
        """Workspaces may define other servers now: say so to whoever listens there.

        :param has_news: users have approved of others.
        """
        if has_news:
            self._seen = {key: evolve(each, at=-math.inf) for key, each in self._seen.items()}
        self._ears.look_around(has_news=has_news)

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._ears)

    def adopt(self) -> None:
        """The servers, or what is to be shown of them, will be others in a moment: say so to whoever listens."""
        self._ears.all_changed()
        self.lists.forget()
        self._seen.clear()

    def _is_running(self, server: ServerSpec) -> bool:
        return any(self._pool.is_running(server, era) for era in Era)

    def _hello(self, server: ServerSpec) -> Envelope | None:
        return met(server, self._pool, self._snapshots)

    # What the view itself answers

    def _discover(self, call: Call, message: Message, asker: Asker, view: View) -> None:
        capabilities = {name: each for name, each in introduction.CAPABILITIES.items() if name != "tasks"}
        if view.kind != ADMIN:
            capabilities["extensions"] = extensions(view.servers.values(), self._pool, self._snapshots)
        version = f"{__version__}+{view.topology()}"
        result = {
            "resultType": COMPLETE,
            "supportedVersions": list(MODERN),
            "capabilities": capabilities,
            "instructions": introduction.instructions(view, self.librarian),
            "ttlMs": DISCOVERY_MS,
            "cacheScope": "private",
            "_meta": {modern.SERVER_INFO_KEY: {"name": "mcpgateway", "version": version}},
        }
        call.sink.answered(call, jsonrpc.result(jsonrpc.NULL, result))

    def _list(self, call: Call, message: Message, asker: Asker, view: View) -> None:
        if "cursor" in (message.params or {}):
            raise InvalidParams("Invalid params: this list has one page, so there is no cursor")
        kind = KINDS[call.method]
        if view.shows(kind):
            self._road.give_list(call, kind, asker, lambda view: self._listed(call, kind, view, asker))
        else:
            self._listed(call, kind, view, asker)

    def _listed(self, call: Call, kind: Kind, view: View, asker: Asker) -> None:
        servers = view.servers.values() if view.shows(kind) else ()
        unknown = view.to_ask(kind) if view.shows(kind) else ()
        self.lists.shown(unknown, kind, asker)
        if kind is Kind.TOOL:
            self.listed(view)
        terms = self.lists.terms(servers, kind, asker)
        kept = self.kept.entries(kind, asker.principal) if self.kept is not None else []
        if kept and kind is Kind.RESOURCE:
            terms = evolve(terms, is_public=False)  # nobody else is shown them
        # The list may be long: it is not read again.
        result = jsonrpc.encode({"resultType": jsonrpc.raw(COMPLETE), **terms.written()})[:-1] + b","
        listed = with_kept(view.listed(kind, is_dotted=call.is_dotted), kept)
        whole = with_missing(Raw(result + bytes(listed)[1:]), self.lists.missing(unknown, kind, asker))
        call.sink.answered(call, jsonrpc.result(jsonrpc.NULL, whole))

    # Listening

    def _listen(self, call: Call, message: Message, asker: Asker, view: View) -> None:
        wanted = narrowed(read_filter(message.params))

        def listen(view: View) -> None:
            wishes = self._wishes(wanted, asker, view)
            self._ears.listen(call, message, asker, wanted, wishes, lambda: self.look(asker))

        unknown = [uri for uri in wanted.uris if view.resource(uri) is None]
        owners = frozenset().union(*map(owner_named, unknown)) if all(map(owner_named, unknown)) else ()
        if unknown:
            kinds = (Kind.RESOURCE, Kind.TEMPLATE)
            self._road.seek(
                call, kinds, asker, lambda _: owners, lambda view: all(map(view.resource, unknown)), listen
            )
        else:
            listen(view)

    def _wishes(self, wanted: Filter, asker: Asker, view: View) -> list[Wish]:
        found: dict[str, Filter] = {}
        names: defaultdict[str, dict[str, list[str]]] = defaultdict(dict)
        for uri in sorted(wanted.uris):
            # Where nobody lists it, each server that may have it is listened to: the one that has it tells of it.
            for owner in view.owners(uri):
                found[owner.server] = found.get(owner.server, Filter()) | Filter(uris=frozenset((owner.uri,)))
                names[owner.server].setdefault(owner.uri, []).append(uri)
        for task in sorted(wanted.tasks):
            runner = self._road.runner(view, asker.principal, task)
            if runner is not None:
                found[runner.name] = found.get(runner.name, Filter()) | Filter(tasks=frozenset((task,)))
        return [Wish(view.servers[server], filter_, names[server]) for server, filter_ in found.items()]

    def _changed(self, server: str, kind: Kind) -> None:
        if self.lists.learning != (server, kind):
            self._ears.changed(server, kind)

    def warmed(self, slot: Slot) -> None:
        """A child of the modern era runs: hear of its lists, and see whether they are what views have shown."""
        if slot.era is not Era.MODERN or slot.conversation is None or not slot.shared or slot.is_replica:
            return
        self._ears.overhear(slot)
        self.lists.refresh(slot.server, Asker(slot.server, "", None))

    async def settle(self, asker: Asker, kind: Kind) -> dict[str, str]:
        """Wait for the lists of all servers of a view; those that are missing then, and why."""
        asked = self.look(asker).to_ask(kind)
        unknown = [(each, kind) for each in asked if self.lists.has_to_be_asked(each, kind, asker)]
        if unknown:
            await self.lists.wait(unknown, asker)
        return self.lists.missing(self.look(asker).to_ask(kind), kind, asker)

    # The end

    def send(self, call: Call, message: Message, asker: Asker) -> None:
        """Bring a request to one server, in the server's own words.

        :raise GatewayError: it goes nowhere.
        """
        self._road.send(call, message, asker)

    def cancel(self, call: Call) -> bool:
        """A client has hung up; false when its request is none of these."""
        why = "the client has disconnected"
        return self._ears.cancel(call) or self.errands.cancel(call) or self.leave(call, why)

    def close(self) -> None:
        """End whatever stands open, in order."""
        self._ears.close()
        self.errands.close()


def _uncounted(*what: object) -> None:
    """Nobody counts."""
