"""Which views there are, what each of them shows to whom, and the sessions that their clients have at single servers.

All parts that serve the sessions of views look things up here; `mcpgateway.views.sessions` puts them together.

# Note [What workspaces define themselves]
A file of a workspace is looked at as long as somebody has a session there, and only once its user has ever approved of
one: until then no workspace defines anything, and nobody has to be asked where he works.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mcpgateway import __version__
from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.discovery.records import ListKind
from mcpgateway.discovery.resources import ResourceOwners
from mcpgateway.errors import BackendGone, GatewayError, ShuttingDown, UnknownServer
from mcpgateway.hub.catalog.listed import Librarian
from mcpgateway.hub.sessions import Session
from mcpgateway.hub.slot import slot_of
from mcpgateway.hub.views import ViewsConfig
from mcpgateway.interfaces import Request
from mcpgateway.policy.permissions import TokenScope
from mcpgateway.policy.recorded_answers import told_at_handshake
from mcpgateway.protocol import jsonrpc, legacy, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.versions import Era
from mcpgateway.system.workspaces import WorkingDirectory
from mcpgateway.views import specs
from mcpgateway.views.members import Forward, Inners, inner_id, subscribed
from mcpgateway.views.results import Outcomes
from mcpgateway.views.view import Sources, View

if TYPE_CHECKING:
    from mcpgateway.hub.dispatch import Switchboard
    from mcpgateway.owntools.tool import Builtin


class ViewRegistry:
    """What is known of views and of the sessions that see them.

    :ivar librarian: knows the lists of all servers.
    :ivar edition: how often the configuration has changed.
    :ivar clock: what waits are measured with.
    :ivar outcomes: counts calls, and shortens their answers.
    :ivar is_on: tells whether a server is switched on.
    :ivar pause: what a server has failed at, as long as it is not started for those who only look at it.
    :ivar catch_up: has what was edited in the configuration read, and fires when it is in force.
    :ivar on_tick: told when workspaces may define other servers now, and whether users have approved of others.
    """

    log = Logger()

    def __init__(
        self,
        switchboard: Switchboard,
        librarian: Librarian,
        clock: IReactorTime,
        ways: ViewsConfig,
        builtin: Callable[[], Builtin | None],
        outcomes: Outcomes,
    ) -> None:
        self.switchboard = switchboard
        self.librarian = librarian
        self.clock = clock
        self.outcomes = outcomes
        self.is_on: Callable[[ServerSpec], bool] = attrgetter("enabled")
        self.pause: Callable[[ServerSpec], GatewayError | None] = lambda _: None
        self.catch_up: Callable[[], Deferred[None]] = lambda: succeed(None)
        self._make_builtin = builtin
        self._builtin: Builtin | None = None
        self.edition = 0
        self._views: WeakValueDictionary[tuple[object, ...], View] = WeakValueDictionary()
        self._holders: defaultdict[str, ResourceOwners] = defaultdict(ResourceOwners)
        self._outer: dict[Session, None] = {}
        # Calls that are with no server: they wait for lists, or one of the gateway's own tools is at them.
        self._held: dict[Request, Callable[[str], None] | None] = {}
        self._due: dict[Session, dict[str, None]] = {}
        self.on_tick: list[Callable[[bool], None]] = []
        self._approved = switchboard.scopes.approved()
        self.ways = ways
        self.settle(ways)

    # The configuration

    def settle(self, ways: ViewsConfig) -> None:
        """From now on go by these settings."""
        self._is_resettled = ways.gateway.views != self.ways.gateway.views
        self.ways = ways
        self._specs = {each.name: each for each in specs.view_specs(ways)}
        self._views.clear()
        self._sources = Sources(
            self.librarian,
            ways.gateway.views,
            self.builtin,
            self.outcomes.counts,
            self._holders,
            self.switchboard.permits,
        )
        if self.outcomes.shielding is not None:
            self.outcomes.shielding.adopt(ways.gateway.shield)

    def members(self, view: ServerSpec) -> tuple[ServerSpec, ...]:
        """The servers that a view shows, as their entries define them."""
        return self._on(specs.concerned(view, self.switchboard.servers.values(), self.ways))

    def own(self, view: ServerSpec) -> tuple[ServerSpec, ...]:
        """The servers that it shows because its place defines them, as they are run there."""
        scopes = self.switchboard.scopes
        own = tuple(scopes.of_principal(each, view.principal) for each in scopes.defined_for(view))
        return self._on(specs.concerned(view, own, self.ways))

    def _on(self, servers: tuple[ServerSpec, ...]) -> tuple[ServerSpec, ...]:
        return tuple(each for each in servers if self.is_on(each))

    def current(self, view: ServerSpec) -> ServerSpec:
        """A view as it is today, for the same workspace.

        :raise UnknownServer: there is none any more.
        """
        if (known := self._specs.get(view.name)) is None:
            raise UnknownServer(f"Unknown server: {view.name}")
        scopes = self.switchboard.scopes
        found = scopes.again(known, view.workspace) if view.workspace else known
        found = scopes.of_principal(found, view.principal)
        return evolve(found, is_everywhere=True) if view.is_everywhere else found

    def at_place(self, view: ServerSpec, place: WorkingDirectory) -> ServerSpec:
        """A view as it is today, for those who work at a place."""
        scopes = self.switchboard.scopes
        found = scopes.variant(self._specs.get(view.name, view), place)
        return scopes.of_principal(found, view.principal)

    def look_again(self, session: Session) -> None:
        """What a session is shown may be something else now."""
        if (inners := Inners.of(session)) is not None:
            inners.view = self.view(session)
            self._drop_strays(inners)
            self._restore(session)

    # Workspaces

    def tick(self) -> None:
        """A second has passed: look again at what workspaces define themselves, and tell those who work there."""
        approved = self.switchboard.scopes.approved()
        has_news, self._approved = approved != self._approved, approved
        if not approved and not has_news:
            return
        own: dict[tuple[str, str, str], tuple[ServerSpec, ...]] = {}
        for session in list(self._outer):
            if has_news:
                self.locate(session)
            at = (session.server.name, session.server.workspace, session.server.principal)
            if at not in own:
                own[at] = self.own(session.server)
            if self.inners(session).view.own != own[at]:
                self.look_again(session)
                self.announce_all(session)
        for each in self.on_tick:
            each(has_news)

    def locate(self, session: Session) -> None:
        """Find out where a session's client works, if it matters by now and nobody has looked."""
        scopes = self.switchboard.scopes
        if session.server.workspace or not session.owner or not scopes.is_placed(session.server):
            return
        session.server = scopes.variant(session.server, scopes.place_of_process(session.owner))
        if session.server.workspace:
            self.switchboard.sessions.remember(session)

    def _drop_strays(self, inners: Inners) -> None:
        # Of everybody's servers the switchboard has told already.
        for name, inner in list(inners.sessions.items()):
            is_everybodys = name in self.switchboard.servers and not inner.server.project
            if not is_everybodys and inners.view.servers.get(name) != inner.server:
                self.switchboard.end_inner(inner, BackendGone(f"{name} is not what it was any more"))

    # What sessions see

    def view(self, session: Session) -> View:
        """What a session is shown."""
        scope = self.switchboard.permits.of(session.principal)
        return self._view(session.server, self._teller(session), scope)

    def _view(
        self, spec: ServerSpec, told_of: Callable[[ServerSpec], str] | None, scope: TokenScope | None
    ) -> View:
        servers, told = {}, {}
        for each in _admitted(scope, self.members(spec)):
            try:
                shown = self.switchboard.scopes.shown_by(spec, each)
            except GatewayError as why:
                self.log.debug("{view} is without {server}: {why}", view=spec.name, server=each.name, why=why)
                continue
            servers[each.name] = shown
            if told_of is not None and (name := told_of(shown)):
                told[each.name] = name
        own = _admitted(scope, self.own(spec))
        servers.update((each.name, each) for each in own)
        if told_of is not None:
            told.update((each.name, name) for each in own if (name := told_of(each)))
        key = (
            spec.name,
            spec.view,
            scope,
            told_of is None,
            *map(id, servers.values()),
            *sorted(told.items()),
        )
        found = self._views.get(key)
        if found is None:
            every = _admitted(scope, specs.concerned(spec, self.switchboard.servers.values(), self.ways))
            is_shown = self.switchboard.scopes.is_shown_by
            others = tuple(each for each in every if each.name not in servers and is_shown(spec, each))
            found = self._views[key] = View(spec, servers, told, self._sources, own, others, scope)
        return found

    def within(
        self,
        view: View,
        cwd: str,
        session: Session | None = None,
        told_of: Callable[[ServerSpec], str] | None = None,
    ) -> View:
        """The same view, as it looks to those who work in a directory; `InvalidParams` where that is none.

        :param session: whose client its own children are told of there; None where there is none.
        :param told_of: what a server is told there of a client that has no session; None where that is nothing.
        """
        specs.check_directory(cwd)
        scopes = self.switchboard.scopes
        known = self._specs.get(view.spec.name, view.spec)
        spec = scopes.of_principal(scopes.variant(known, scopes.place_of(cwd)), view.spec.principal)
        told_of = self._teller(session) if session is not None else told_of
        return self._view(spec, told_of, view.scope)

    def seen(
        self,
        spec: ServerSpec,
        scope: TokenScope | None = None,
        told_of: Callable[[ServerSpec], str] | None = None,
    ) -> View:
        """What a view shows to those who have no session with it, and may use no more than this.

        :param told_of: names what a server is told of the client; None where that is nothing.
        """
        return self._view(spec, told_of, scope)

    def _teller(self, session: Session) -> Callable[[ServerSpec], str]:
        # They may have to be read from the record.
        params = cache(lambda: self.switchboard.sessions.params_of(session))
        return lambda server: self.told(session, server, params)

    def told(
        self, session: Session, server: ServerSpec, params_of: Callable[[], Envelope | None] | None = None
    ) -> str:
        """Name what a session's child at a server is told of its client; empty where all are told the same.

        :param params_of: reads the session's ``initialize`` parameters, where they have to be read only once.
        """
        pool = self.switchboard.pool
        if not session.id:
            return ""
        params = params_of() if params_of is not None else self.switchboard.sessions.params_of(session)
        if pool.scope(server) is not Share.SESSION:
            return pool.told(server, peek.mapping(params, "capabilities"))
        if (inners := Inners.of(session)) is not None and server.name in inners.private:
            return inner_id(session, server.name).decode()
        may_ask = server.interactive is not False
        return told_at_handshake(legacy.session_params(params, __version__, may_ask=may_ask))

    @property
    def builtin(self) -> Builtin | None:
        """The gateway's own tools, built for the first who sees them."""
        if self._builtin is None:
            self._builtin = self._make_builtin()
        return self._builtin

    def inners(self, session: Session) -> Inners:
        """What a session has at single servers."""
        now, inners = self.switchboard.sessions.now, session.inners
        if not isinstance(inners, Inners):
            inners = session.inners = Inners(self.view(session), now)
            inners.recall(session.uris or ())
        elif not session.id and inners.seen_at != now:
            # It stands for all requests without an id, for as long as there are any.
            inners.view, inners.seen_at = self.view(session), now
        return inners

    def anew(self, session: Session) -> View:
        """What a session is shown just now, after something may have changed.

        :raise UnknownServer: there is no such view any more.
        """
        inners = self.inners(session)
        if not session.id:
            # It stands for all requests without an id, those too that have waited for the change.
            session.server = self.current(session.server)
            inners.view = self.view(session)
        return inners.view

    # Sessions

    def outer(self) -> list[Session]:
        """The sessions of all views that have an id."""
        return list(self._outer)

    def _restore(self, session: Session) -> None:
        inners = self.inners(session)
        for server in subscribed(session):
            if server in inners.view.servers and server not in inners.sessions:
                try:
                    slot = slot_of(self.open_now(session, server))
                    if slot is not None and slot.era is Era.LEGACY:
                        slot.want()
                except GatewayError as why:
                    self.log.info(
                        "the subscriptions of a session at {server} are not taken again: {why}",
                        event="view.not_restored",
                        server=server,
                        why=why,
                    )

    def meet(self, session: Session, server: str) -> Session:
        """The session of a session's client at one server.

        :raise GatewayError: there is none.
        """
        inners = self.inners(session)
        known = inners.sessions.get(server)
        if known is not None:
            return known
        if not session.id:
            return self.switchboard.session(None, self._spec(inners.view, server), session.principal)
        return self.open_now(session, server)

    def open_now(self, session: Session, server: str) -> Session:
        """The session of a session's client at one server.

        :raise GatewayError: there is none.
        """
        inners = self.inners(session)
        known = inners.sessions.get(server)
        if known is not None:
            return known
        if not self.switchboard.is_open:
            raise ShuttingDown("the gateway is stopping")
        spec = self._spec(inners.view, server)
        uris = subscribed(session).get(server, set())
        inner = self.switchboard.begin_inner(session, spec, inner_id(session, server), uris)
        inner.mailbox.attach(Forward(session, inner, self.privately_changed))
        inners.sessions[server] = inner
        return inner

    def _spec(self, view: View, server: str) -> ServerSpec:
        try:
            return view.servers[server]
        except KeyError:
            raise UnknownServer(f"Unknown server: {server}") from None

    # News

    def announce(self, session: Session, kind: ListKind) -> None:
        """Tell a session that a list has changed."""
        # Many servers may have news in one turn, as when all of them begin.
        if not self._due:
            self.clock.callLater(0, self._tell)
        self._due.setdefault(session, {})[kind.news] = None

    def _tell(self) -> None:
        due, self._due = self._due, {}
        for session, news in due.items():
            if session in self._outer:
                for each in news:
                    session.mailbox.put(jsonrpc.encode(jsonrpc.notification(each)), each)

    def is_given(self, session: Session, kind: ListKind) -> None:
        """A session's client is given a list: what was still to be said of it is said by that."""
        inners = self.inners(session)
        inners.listed[kind] = inners.view.mark(kind)
        # Two lists have the same news: what a client has of both is to be what it is now.
        if all(
            mark == inners.view.mark(each) for each, mark in inners.listed.items() if each.news == kind.news
        ):
            session.mailbox.withdraw(kind.news)
            self._due.get(session, {}).pop(kind.news, None)

    def announce_all(self, session: Session) -> None:
        """All that a session is listed may be something else now."""
        for kind in ListKind:
            if self.inners(session).view.shows(kind):
                self.announce(session, kind)

    def privately_changed(self, session: Session, news: str) -> None:
        """A child of one client's own says that a list has changed."""
        if (outer := session.outer) is None or (inners := Inners.of(outer)) is None:
            return
        name = session.server.name
        own = inner_id(outer, name).decode()
        if name not in inners.private:
            self.librarian.lend(session.server, inners.view.told.get(name, ""), own)
            inners.private.add(name)
            inners.view = self.view(outer)
        self.librarian.outdate(session.server, news, own)

    # Calls that wait

    def hold(self, call: Request, on_cancel: Callable[[str], None] | None = None) -> None:
        """A call waits here."""
        self._held[call] = on_cancel
        call.holder = self

    def release(self, call: Request) -> bool:
        """A call goes on; false when it was taken back."""
        return self._held.pop(call, gone) is not gone


def gone(reason: str) -> None:
    """Stands for a call that is not here."""


def _admitted(scope: TokenScope | None, servers: tuple[ServerSpec, ...]) -> tuple[ServerSpec, ...]:
    if scope is None:
        return servers
    return tuple(each for each in servers if scope.admits_server(each.name))
