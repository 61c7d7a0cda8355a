"""The registry of views: their contents for each client, and their clients' member sessions at single servers.

All parts that serve sessions of views use this registry; `mcpgateway.views.sessions` puts them together.

# Note [What workspaces define themselves]
The configuration file of a workspace is read as long as a client has a session there, and only once the user has ever
approved one: until then no workspace defines servers, and no client has to be asked for its directory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from attrs import evolve
from msgspec import Struct
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mcpgateway import __version__
from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.discovery.records import ListKind
from mcpgateway.discovery.resources import ResourceOwners
from mcpgateway.errors import BackendGone, GatewayError, ShuttingDown, UnknownServer
from mcpgateway.hub.catalog.listed import ServerLists
from mcpgateway.hub.sessions import Session
from mcpgateway.hub.slot import slot_of
from mcpgateway.hub.views import ViewsConfig
from mcpgateway.interfaces import Request
from mcpgateway.policy.permissions import TokenScope
from mcpgateway.policy.recorded_answers import legacy_handshake
from mcpgateway.protocol import legacy, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.versions import Era
from mcpgateway.system.workspaces import WorkingDirectory
from mcpgateway.views import specs
from mcpgateway.views.members import MemberFilter, MemberSessions, inner_id, subscribed
from mcpgateway.views.results import Outcomes
from mcpgateway.views.view import View, ViewSources
from mcpgateway.waiting import Collected

if TYPE_CHECKING:
    from mcpgateway.hub.dispatch import LegacyDispatcher
    from mcpgateway.owntools.tool import Builtin


class ViewKey(Struct, frozen=True):
    """All that the contents of a view depend on: sessions with equal keys share it.

    :ivar is_for_all: True if no server's list depends on the client.
    :ivar servers: the identities of its servers, which the view keeps alive.
    :ivar handshakes: the handshakes of its servers, by their names.
    """

    name: str
    kind: str
    scope: TokenScope | None
    is_for_all: bool
    servers: tuple[int, ...]
    handshakes: tuple[tuple[str, str], ...]


class ViewRegistry:
    """The contents of views and the member sessions of their sessions.

    :ivar server_lists: the lists of all servers.
    :ivar edition: the number of changes of the configuration.
    :ivar clock: the clock of all waits.
    :ivar outcomes: counts calls, and shortens their results.
    :ivar is_on: returns True if a server is switched on.
    :ivar refusal: returns the error for which a server may not be started; None where it may.
    :ivar pause: returns the failure for which a server is not started for a list now; None where it may be.
    :ivar catch_up: has edits of the configuration read, and fires when they are in force.
    :ivar on_tick: called when workspaces may define other servers, with True if users have approved others.
    """

    log = Logger()

    def __init__(
        self,
        dispatcher: LegacyDispatcher,
        server_lists: ServerLists,
        clock: IReactorTime,
        views_config: ViewsConfig,
        builtin: Callable[[], Builtin | None],
        outcomes: Outcomes,
    ) -> None:
        self.dispatcher = dispatcher
        self.server_lists = server_lists
        self.clock = clock
        self.outcomes = outcomes
        self.is_on: Callable[[ServerSpec], bool] = attrgetter("enabled")
        self.refusal: Callable[[ServerSpec], GatewayError | None] = lambda _: None
        self.pause: Callable[[ServerSpec], GatewayError | None] = lambda _: None
        self.catch_up: Callable[[], Deferred[None]] = lambda: succeed(None)
        self._make_builtin = builtin
        self._builtin: Builtin | None = None
        self.edition = 0
        self._views: WeakValueDictionary[ViewKey, View] = WeakValueDictionary()
        self._holders: defaultdict[str, ResourceOwners] = defaultdict(ResourceOwners)
        self._outer: dict[Session, None] = {}
        # Calls that no server has: they wait for lists, or for one of the gateway's own tools.
        self._held: dict[Request, Callable[[str], None] | None] = {}
        # Many servers may have changes in one turn, as when all of them start.
        self._news: Collected[Session, str] = Collected(clock, 0, self._tell)
        self.on_tick: list[Callable[[bool], None]] = []
        self._approved = dispatcher.scopes.approved()
        self.use(views_config)

    # The configuration

    def use(self, views_config: ViewsConfig) -> None:
        """Use these settings."""
        self.views_config = views_config
        self._specs = {each.name: each for each in specs.view_specs(views_config)}
        self._views.clear()
        self._sources = ViewSources(
            self.server_lists,
            views_config.gateway.views,
            self.builtin,
            self.outcomes.counts,
            self._holders,
            self.dispatcher.permits,
            self._unusable,
        )
        if self.outcomes.shielding is not None:
            self.outcomes.shielding.configure(views_config.gateway.shield)

    def members(self, view: ServerSpec) -> tuple[ServerSpec, ...]:
        """Return the servers that a view shows, as their entries define them."""
        return self._on(specs.concerned(view, self.dispatcher.servers.values(), self.views_config))

    def own(self, view: ServerSpec) -> tuple[ServerSpec, ...]:
        """Return the servers that a view's workspace defines, as they are run there."""
        scopes = self.dispatcher.scopes
        own = tuple(scopes.of_principal(each, view.principal) for each in scopes.defined_for(view))
        return self._on(specs.concerned(view, own, self.views_config))

    def _on(self, servers: tuple[ServerSpec, ...]) -> tuple[ServerSpec, ...]:
        return tuple(each for each in servers if self.is_on(each))

    def _unusable(self, name: str, server: ServerSpec | None) -> GatewayError | None:
        if server is not None:
            return self.refusal(server)
        repositories = self.dispatcher.scopes.repositories
        return repositories.unusable(name) if repositories is not None else None

    def current(self, view: ServerSpec) -> ServerSpec:
        """Return the current entry of a view, for the same workspace.

        :raise UnknownServer: the view no longer exists.
        """
        if (known := self._specs.get(view.name)) is None:
            raise UnknownServer(f"Unknown server: {view.name}")
        scopes = self.dispatcher.scopes
        found = scopes.again(known, view.workspace) if view.workspace else known
        found = scopes.of_principal(found, view.principal)
        return evolve(found, is_everywhere=True) if view.is_everywhere else found

    def at_place(self, view: ServerSpec, place: WorkingDirectory) -> ServerSpec:
        """Return the current entry of a view for a working directory."""
        scopes = self.dispatcher.scopes
        found = scopes.variant(self._specs.get(view.name, view), place)
        return scopes.of_principal(found, view.principal)

    def look_again(self, session: Session) -> None:
        """Make the view of a session anew, and end member sessions that no longer fit it."""
        if (members := MemberSessions.of(session)) is not None:
            members.view = self.view(session)
            self._drop_strays(members)
            self._restore(session)

    # Workspaces

    def tick(self) -> None:
        """Advance by one second: read the servers of workspaces again, and notify the sessions there of changes."""
        approved = self.dispatcher.scopes.approved()
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
            if self.members_of(session).view.own != own[at]:
                self.look_again(session)
                self.announce_all(session)
        for each in self.on_tick:
            each(has_news)

    def locate(self, session: Session) -> None:
        """Find the working directory of a session's client, where it matters and is not known."""
        scopes = self.dispatcher.scopes
        if session.server.workspace or not session.owner or not scopes.is_placed(session.server):
            return
        session.server = scopes.variant(session.server, scopes.place_of_process(session.owner))
        if session.server.workspace:
            self.dispatcher.sessions.remember(session)

    def _drop_strays(self, members: MemberSessions) -> None:
        # The dispatcher has ended those at servers of the configuration.
        for name, inner in list(members.sessions.items()):
            is_everybodys = name in self.dispatcher.servers and not inner.server.project
            if not is_everybodys and members.view.servers.get(name) != inner.server:
                self.dispatcher.end_member(inner, BackendGone(f"{name} is not what it was any more"))

    # Views

    def view(self, session: Session) -> View:
        """Return the view of a session."""
        scope = self.dispatcher.permits.of(session.principal)
        return self._view(session.server, self._handshakes_of(session), scope)

    def _view(
        self, spec: ServerSpec, handshake_of: Callable[[ServerSpec], str] | None, scope: TokenScope | None
    ) -> View:
        servers, handshakes = {}, {}
        for each in _admitted(scope, self.members(spec)):
            try:
                shown = self.dispatcher.scopes.shown_by(spec, each)
            except GatewayError as why:
                self.log.debug("{view} is without {server}: {why}", view=spec.name, server=each.name, why=why)
                continue
            servers[each.name] = shown
            if handshake_of is not None and (name := handshake_of(shown)):
                handshakes[each.name] = name
        own = _admitted(scope, self.own(spec))
        servers.update((each.name, each) for each in own)
        if handshake_of is not None:
            handshakes.update((each.name, name) for each in own if (name := handshake_of(each)))
        key = ViewKey(
            spec.name,
            spec.view,
            scope,
            handshake_of is None,
            tuple(map(id, servers.values())),
            tuple(sorted(handshakes.items())),
        )
        found = self._views.get(key)
        if found is None:
            every = _admitted(
                scope, specs.concerned(spec, self.dispatcher.servers.values(), self.views_config)
            )
            is_shown = self.dispatcher.scopes.is_shown_by
            others = tuple(each for each in every if each.name not in servers and is_shown(spec, each))
            found = self._views[key] = View(spec, servers, handshakes, self._sources, own, others, scope)
        return found

    def within(
        self,
        view: View,
        cwd: str,
        session: Session | None = None,
        handshake_of: Callable[[ServerSpec], str] | None = None,
    ) -> View:
        """Return the same view for a directory.

        :param session: the session whose own children the view covers; None where there is none.
        :param handshake_of: returns the handshake of a server for a client without a session; None where that is empty.
        :raise InvalidParams: the path is no directory.
        """
        specs.check_directory(cwd)
        scopes = self.dispatcher.scopes
        known = self._specs.get(view.spec.name, view.spec)
        spec = scopes.of_principal(scopes.variant(known, scopes.place_of(cwd)), view.spec.principal)
        handshake_of = self._handshakes_of(session) if session is not None else handshake_of
        return self._view(spec, handshake_of, view.scope)

    def seen(
        self,
        spec: ServerSpec,
        scope: TokenScope | None = None,
        handshake_of: Callable[[ServerSpec], str] | None = None,
    ) -> View:
        """Return a view for a client without a session, limited to a scope.

        :param handshake_of: returns the handshake of a server for the client; None where that is empty for all.
        """
        return self._view(spec, handshake_of, scope)

    def _handshakes_of(self, session: Session) -> Callable[[ServerSpec], str]:
        # The parameters may have to be read from the journal.
        params = cache(lambda: self.dispatcher.sessions.params_of(session))
        return lambda server: self.handshake_of(session, server, params)

    def handshake_of(
        self, session: Session, server: ServerSpec, params_of: Callable[[], Envelope | None] | None = None
    ) -> str:
        """Return the handshake of a server for a session; empty where all clients are told the same.

        :param params_of: returns the session's ``initialize`` parameters, so that they are read only once.
        """
        pool = self.dispatcher.pool
        if not session.id:
            return ""
        params = params_of() if params_of is not None else self.dispatcher.sessions.params_of(session)
        if pool.scope(server) is not Share.SESSION:
            return pool.handshake_of(server, peek.mapping(params, "capabilities"))
        if (members := MemberSessions.of(session)) is not None and server.name in members.private:
            return inner_id(session, server.name).decode()
        may_ask = server.interactive is not False
        return legacy_handshake(legacy.session_params(params, __version__, may_ask=may_ask))

    @property
    def builtin(self) -> Builtin | None:
        """The gateway's own tools, built when they are first needed."""
        if self._builtin is None:
            self._builtin = self._make_builtin()
        return self._builtin

    def members_of(self, session: Session) -> MemberSessions:
        """Return the member sessions and the state of a session of a view."""
        now, members = self.dispatcher.sessions.now, session.members
        if not isinstance(members, MemberSessions):
            members = session.members = MemberSessions(self.view(session), now)
            members.recall(session.uris or ())
        elif not session.id and members.seen_at != now:
            # The session stands for all requests without an id, as long as such requests come.
            members.view, members.seen_at = self.view(session), now
        return members

    def rebuilt(self, session: Session) -> View:
        """Return the view of a session, after something may have changed.

        :raise UnknownServer: the view no longer exists.
        """
        members = self.members_of(session)
        if not session.id:
            # The session stands for all requests without an id, also for those that have waited for the change.
            session.server = self.current(session.server)
            members.view = self.view(session)
        return members.view

    # Sessions

    def outer(self) -> list[Session]:
        """Return the sessions of all views that have an id."""
        return list(self._outer)

    def _restore(self, session: Session) -> None:
        members = self.members_of(session)
        for server in subscribed(session):
            if server in members.view.servers and server not in members.sessions:
                try:
                    slot = slot_of(self.open_now(session, server))
                    if slot is not None and slot.era is Era.LEGACY:
                        slot.want()
                except GatewayError as why:
                    self.log.info(
                        "{server} refuses the renewed subscriptions of a session: {why}",
                        event="view.not_restored",
                        server=server,
                        why=why,
                    )

    def open_member(self, session: Session, server: str) -> Session:
        """Return the member session at one server, or an anonymous one; a new one where there is none.

        :raise GatewayError: the session cannot be opened.
        """
        members = self.members_of(session)
        known = members.sessions.get(server)
        if known is not None:
            return known
        if not session.id:
            return self.dispatcher.session(None, self._spec(members.view, server), session.principal)
        return self.open_now(session, server)

    def open_now(self, session: Session, server: str) -> Session:
        """Return the member session at one server; a new one where there is none.

        :raise GatewayError: the session cannot be opened.
        """
        members = self.members_of(session)
        known = members.sessions.get(server)
        if known is not None:
            return known
        if not self.dispatcher.is_open:
            raise ShuttingDown("the gateway is stopping")
        spec = self._spec(members.view, server)
        uris = subscribed(session).get(server, set())
        inner = self.dispatcher.begin_inner(session, spec, inner_id(session, server), uris)
        inner.mailbox.attach(MemberFilter(session, inner, self.privately_changed))
        members.sessions[server] = inner
        return inner

    def _spec(self, view: View, server: str) -> ServerSpec:
        try:
            return view.servers[server]
        except KeyError:
            raise UnknownServer(f"Unknown server: {server}") from None

    # News

    def announce(self, session: Session, kind: ListKind) -> None:
        """Notify a session that a list has changed."""
        self._news.add(session, kind.news)

    def _tell(self, session: Session, news: Iterable[str]) -> None:
        if session in self._outer:
            for each in news:
                session.announce(each)

    def is_given(self, session: Session, kind: ListKind) -> None:
        """Note that a session's client is given a list, and withdraw its pending notification."""
        members = self.members_of(session)
        members.listed[kind] = members.view.mark(kind)
        # Two lists have the same notification: it is withdrawn once the client has the current state of both.
        if all(
            mark == members.view.mark(each) for each, mark in members.listed.items() if each.news == kind.news
        ):
            session.mailbox.withdraw(kind.news)
            self._news.withdraw(session, kind.news)

    def announce_all(self, session: Session) -> None:
        """Notify a session that all lists may have changed."""
        for kind in ListKind:
            if self.members_of(session).view.shows(kind):
                self.announce(session, kind)

    def privately_changed(self, session: Session, news: str) -> None:
        """Take the notification of a client's own child that a list has changed."""
        if (outer := session.outer) is None or (members := MemberSessions.of(outer)) is None:
            return
        name = session.server.name
        own = inner_id(outer, name).decode()
        if name not in members.private:
            self.server_lists.lend(session.server, members.view.handshakes.get(name, ""), own)
            members.private.add(name)
            members.view = self.view(outer)
        self.server_lists.outdate(session.server, news, own)

    # Waiting calls

    def hold(self, request: Request, on_cancel: Callable[[str], None] | None = None) -> None:
        """Hold a call; ``on_cancel`` is called with the reason if it is cancelled."""
        self._held[request] = on_cancel
        request.holder = self

    def release(self, request: Request) -> bool:
        """Release a held call; return False when it was cancelled."""
        return self._held.pop(request, gone) is not gone


def gone(reason: str) -> None:
    """Stand for a call that is not held."""


def _admitted(scope: TokenScope | None, servers: tuple[ServerSpec, ...]) -> tuple[ServerSpec, ...]:
    if scope is None:
        return servers
    return tuple(each for each in servers if scope.admits_server(each.name))
