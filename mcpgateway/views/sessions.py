"""The sessions of views: their begin, notifications and end.

subject                       is handled by
servers of a view             `mcpgateway.views.specs`
contents and names of a view  `mcpgateway.views.view`, from the catalog
view of a session             `mcpgateway.views.registry`
lists that are not known      `mcpgateway.views.session_lists`
requests                      `mcpgateway.views.session_routing`, which sends most to a member session
messages of servers           member sessions (`mcpgateway.views.members`)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec import Raw
from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime

from mcpgateway.config.diff import Change, ChangedServer
from mcpgateway.discovery.records import ListKind
from mcpgateway.errors import GatewayError
from mcpgateway.hub.catalog.listed import ListAudience, ServerLists
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.hub.sessions import Session
from mcpgateway.hub.slot import Slot
from mcpgateway.hub.views import Holder, ViewsConfig
from mcpgateway.interfaces import Request
from mcpgateway.owntools.tool import Builtin
from mcpgateway.protocol.versions import Era
from mcpgateway.views import introduction
from mcpgateway.views.members import is_relied_on
from mcpgateway.views.registry import ViewRegistry, gone
from mcpgateway.views.results import Outcomes
from mcpgateway.views.roots import Roots
from mcpgateway.views.session_lists import SessionLists
from mcpgateway.views.session_routing import SessionRouting
from mcpgateway.views.single_server import SingleServerResults
from mcpgateway.waiting import Collected

# The settings that decide on what a view shows to a client, beside those of views.
CONTENTS = ("shield", "security", "workspaces", "projects", "world", "adopted")
LEARNT_S = 0.1  # for which changes of lists are collected


class ViewSessions(ViewRegistry):
    """The sessions of all views; a `mcpgateway.hub.views.SessionViews`.

    :ivar lists: fetches the lists that are not known.
    :ivar on_rebuilt: called when all views have been made anew, with True where clients are notified of it.
    :ivar own_calls: the calls of the gateway's own tools by modern clients; None until there is one.
    :ivar roots: asks clients for their roots.
    :ivar direct: shortens results on servers' own endpoints.
    """

    def __init__(
        self,
        dispatcher: LegacyDispatcher,
        server_lists: ServerLists,
        clock: IReactorTime,
        views_config: ViewsConfig,
        builtin: Callable[[], Builtin | None],
        outcomes: Outcomes,
    ) -> None:
        super().__init__(dispatcher, server_lists, clock, views_config, builtin, outcomes)
        self.on_rebuilt: list[Callable[[bool], None]] = []
        self.lists = SessionLists(self, dispatcher.submit)
        self.roots = Roots(self)
        self.direct = SingleServerResults(outcomes, server_lists, self.handshake_of)
        self.own_calls: Holder | None = None
        self.submit = SessionRouting(self, self.lists).submit
        # Many servers that start answer within a moment, and most of their lists change nothing that is shown.
        self._learnt: Collected[Session, ListKind] = Collected(clock, LEARNT_S, self._look_at_learnt)
        server_lists.on_news = self._list_changed

    # The configuration

    def apply(self, change: Change) -> None:
        """Apply a change of the configuration; where views may differ, make them anew and notify their sessions."""
        concerns_views = change.concerns("views", "shield", "profiles")
        if concerns_views:
            self.use(ViewsConfig(change.settings.gateway, change.settings.profiles))
        if not change.is_quiet:
            for each in change.former:
                self.server_lists.forget(each.name)
        announces = not change.is_quiet or change.concerns("views", "profiles")
        if announces or concerns_views or change.concerns(*CONTENTS):
            self.rebuild(announces=announces)
        elif change.changed:
            self._follow({each.after.name: each for each in change.changed})

    def _follow(self, changed: Mapping[str, ChangedServer]) -> None:
        # They change nothing that a view shows.
        for key, view in list(self._views.items()):
            del self._views[key]
            view.follow(changed)
            self._views[replace(key, servers=tuple(map(id, view.servers.values())))] = view

    def rebuild(self, *, announces: bool = True) -> None:
        """Make all views anew, and notify their sessions, since other servers may be shown."""
        self._views.clear()
        self.edition += 1
        for name, holders in self._holders.items():
            spec = self._specs.get(name)
            holders.retain({each.name for each in self.members(spec)} if spec is not None else ())
        for spec in self._specs.values():
            self.dispatcher.sessions.forget_anonymous(spec)
        for session in list(self._outer):
            self.locate(session)
            try:
                session.server = self.current(session.server)
            except GatewayError:
                self.dispatcher.end(session, "its view was taken out of the configuration")
                continue
            self.look_again(session)
            self.roots.ask(session)
        self.lists.forget()
        if announces:
            for session in list(self._outer):
                self.announce_all(session)
        for each in self.on_rebuilt:
            each(announces)

    # Sessions

    def begin(self, session: Session) -> Raw:
        """Begin a session; return the result of its ``initialize``."""
        view = self.members_of(session).view
        if not is_relied_on(view, self._outer):
            view.refresh()
        self._outer[session] = None
        return introduction.written(view, self.server_lists, session.version)

    def revived(self, session: Session) -> None:
        """Restore a session that is back; a stale one is notified that its lists may have changed."""
        self._outer[session] = None
        self.members_of(session).listed.update(dict.fromkeys(ListKind))
        if session.is_stale:
            session.is_stale = False
            self.announce_all(session)
        self._restore(session)

    def leave(self, session: Session, why: GatewayError) -> bool:
        """End the member sessions of a session that ends or is put aside; return True when a child is stopped."""
        self._outer.pop(session, None)
        inner = list(session.members.sessions.values()) if session.members is not None else []
        return any([self.dispatcher.end_member(each, why) for each in inner])  # noqa: C419 - all of them

    def ask_roots(self, session: Session) -> None:
        """Ask a session's client for its roots, if the view depends on them."""
        self.roots.ask(session)

    def missing(self, session: Session, kind: ListKind) -> Mapping[str, str]:
        """Return the servers whose list was missing in a session's list, with the reasons."""
        return self.lists.missing(self.members_of(session).view, kind, session)

    # News

    def _list_changed(self, server: str, kind: ListKind, handshake: str) -> None:
        # A session that waits for that list need not be notified of it.
        for session in self._outer:
            members = self.members_of(session)
            view = members.view
            is_its = server in view.servers and view.handshakes.get(server, "") == handshake
            if (
                is_its
                and kind in members.listed
                and view.shows(kind)
                and not self.lists.waits(session, server, kind)
            ):
                if self.server_lists.is_fresh(view.servers[server], kind, handshake):
                    self._learnt.add(session, kind)
                else:
                    self.announce(session, kind)

    def _look_at_learnt(self, session: Session, kinds: Iterable[ListKind]) -> None:
        if session in self._outer:
            members = self.members_of(session)
            for kind in kinds:
                if members.listed.get(kind) != members.view.mark(kind):
                    self.announce(session, kind)

    def lists_changed(self, slot: Slot, news: str) -> None:
        """Take a server's notification that a list has changed."""
        if slot.shared:
            self.server_lists.changed(slot.server, news, _whose(slot), slot.handshake)
        elif any(each.is_apart for each in slot.sessions):  # exclusive children of modern clients
            self.server_lists.changed(slot.server, news, ListAudience.OWN)

    def lost(self, slot: Slot) -> None:
        """Note that a child has ended."""
        if slot.shared:
            self.server_lists.lost(slot.server, _whose(slot), slot.handshake)

    # Requests

    def calls(self) -> list[Request]:
        """Return the calls that are held here, merged with an identical one, or whose results are being shortened."""
        found = (call for each in self._others() for call in each.calls())
        return list(dict.fromkeys((*self._held, *found)))

    def _others(self) -> list[Holder]:
        found = (self.own_calls, self.outcomes.flights, self.outcomes.shielding)
        return [each for each in found if each is not None]

    def withdraw(self, request: Request, reason: str) -> bool:
        """Cancel a held call; return False when it is not held."""
        on_cancel = self._held.pop(request, gone)
        if on_cancel is not None:
            on_cancel(reason)
        return on_cancel is not gone

    def answer_now(self, request: Request) -> bool:
        """Answer a call at once with its unshortened result, for lack of time; return False if that may not be."""
        shielding = self.outcomes.shielding
        return shielding is not None and shielding.answer_now(request)


def _whose(slot: Slot) -> ListAudience:
    return ListAudience.ALL if slot.era is Era.MODERN else ListAudience.SHARED
