"""The sessions of the endpoints that give a client all servers at once: their beginning, news and end.

what                          is done by
which servers a view shows    `mcpgateway.views.specs`
what it lists, under names    `mcpgateway.views.view`, of what the librarian knows
which view a session sees     `mcpgateway.views.registry`
lists that are not known      `mcpgateway.views.lists`
requests                      `mcpgateway.views.routing`, which brings most to an inner session
what servers say              inner sessions hear it (`mcpgateway.views.members`)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Raw
from twisted.internet.interfaces import IReactorTime

from mcpgateway.config.diff import Change
from mcpgateway.discovery.records import ListKind
from mcpgateway.errors import GatewayError
from mcpgateway.hub.catalog.listed import Librarian, Whose
from mcpgateway.hub.dispatch import Switchboard
from mcpgateway.hub.sessions import Session
from mcpgateway.hub.slot import Slot
from mcpgateway.hub.views import Holder, ViewsConfig
from mcpgateway.interfaces import Request
from mcpgateway.owntools.tool import Builtin
from mcpgateway.protocol.versions import Era
from mcpgateway.views import introduction
from mcpgateway.views.lists import Lister
from mcpgateway.views.members import is_relied_on
from mcpgateway.views.registry import ViewRegistry, gone
from mcpgateway.views.results import Outcomes
from mcpgateway.views.roots import Roots
from mcpgateway.views.routing import SessionRouting
from mcpgateway.views.single_server import Direct

LEARNT_S = 0.1  # what comes within that is said together


class ViewSessions(ViewRegistry):
    """Serves the sessions of views; a `mcpgateway.hub.views.SessionViews`.

    :ivar lister: asks for the lists that are not known.
    :ivar errands: the calls of the gateway's own tools by clients of the modern era; None until there is one.
    :ivar roots: asks clients where they work.
    :ivar direct: shortens answers on servers' own endpoints.
    """

    def __init__(
        self,
        switchboard: Switchboard,
        librarian: Librarian,
        clock: IReactorTime,
        ways: ViewsConfig,
        builtin: Callable[[], Builtin | None],
        outcomes: Outcomes,
    ) -> None:
        super().__init__(switchboard, librarian, clock, ways, builtin, outcomes)
        self.lister = Lister(self)
        self.roots = Roots(self)
        self.direct = Direct(outcomes, librarian, self.told)
        self.errands: Holder | None = None
        self.submit = SessionRouting(self, self.lister).submit
        self._learnt: dict[Session, dict[ListKind, None]] = {}
        librarian.on_news = self._news

    # The configuration

    def adopt(self, change: Change) -> None:
        """The servers are others now: look anew, and say so to whoever is there."""
        for each in (*change.removed, *(changed.before for changed in change.changed)):
            self.librarian.forget(each.name)
        announces, self._is_resettled = bool(change) or self._is_resettled, False
        self.look_anew(announces=announces)

    def look_anew(self, *, announces: bool = True) -> None:
        """Other servers are shown from now on, or may be: look at them, and say so to whoever is there."""
        self._views.clear()
        self.edition += 1
        for name, holders in self._holders.items():
            spec = self._specs.get(name)
            holders.retain({each.name for each in self.members(spec)} if spec is not None else ())
        for spec in self._specs.values():
            self.switchboard.sessions.forget_anonymous(spec)
        for session in list(self._outer):
            self.locate(session)
            try:
                session.server = self.current(session.server)
            except GatewayError:
                self.switchboard.end(session, "its view was taken out of the configuration")
                continue
            self.look_again(session)
            self.roots.ask(session)
        self.lister.forget()
        if announces:
            for session in list(self._outer):
                self.announce_all(session)

    # Sessions

    def begin(self, session: Session) -> Raw:
        """A session has begun; what its client is told first."""
        view = self.inners(session).view
        if not is_relied_on(view, self._outer):
            view.refresh()
        self._outer[session] = None
        return introduction.written(view, self.librarian, session.version)

    def revived(self, session: Session) -> None:
        """A session is back, and its client may know what is not true any more."""
        self._outer[session] = None
        self.inners(session).listed.update(dict.fromkeys(ListKind))
        session.is_stale = False
        self.announce_all(session)
        self._restore(session)

    def leave(self, session: Session, why: GatewayError) -> bool:
        """A session ends, or is put aside, and its inner ones with it; true when a child is stopped."""
        self._outer.pop(session, None)
        inner = list(session.inners.sessions.values()) if session.inners is not None else []
        return any([self.switchboard.end_inner(each, why) for each in inner])  # noqa: C419 - all of them

    def ask_roots(self, session: Session) -> None:
        """Ask a session's client for its roots, if the view depends on them."""
        self.roots.ask(session)

    def missing(self, session: Session, kind: ListKind) -> Mapping[str, str]:
        """The servers whose list a session was not shown, with the reason."""
        return self.lister.missing(session, kind)

    # News

    def _news(self, server: str, kind: ListKind, told: str) -> None:
        # Whoever is just waiting for that list need not hear that there is another.
        for session in self._outer:
            inners = self.inners(session)
            view = inners.view
            is_its = server in view.servers and view.told.get(server, "") == told
            if (
                is_its
                and kind in inners.listed
                and view.shows(kind)
                and not self.lister.waits(session, server, kind)
            ):
                if self.librarian.is_fresh(view.servers[server], kind, told):
                    self._learnt_for(session, kind)
                else:
                    self.announce(session, kind)

    def _learnt_for(self, session: Session, kind: ListKind) -> None:
        # When many servers begin they answer within a moment, and most of what they say changes nothing that is shown.
        if not self._learnt:
            self.clock.callLater(LEARNT_S, self._look_at_learnt)
        self._learnt.setdefault(session, {})[kind] = None

    def _look_at_learnt(self) -> None:
        learnt, self._learnt = self._learnt, {}
        for session, kinds in learnt.items():
            if session in self._outer:
                inners = self.inners(session)
                for kind in kinds:
                    if inners.listed.get(kind) != inners.view.mark(kind):
                        self.announce(session, kind)

    def lists_changed(self, slot: Slot, news: str) -> None:
        """A server says that a list has changed, to all who share its child."""
        if slot.shared:
            self.librarian.changed(slot.server, news, _whose(slot), slot.told)
        elif any(each.is_apart for each in slot.sessions):  # of clients of the modern era
            self.librarian.changed(slot.server, news, Whose.TOLD)

    def lost(self, slot: Slot) -> None:
        """A child has ended."""
        if slot.shared:
            self.librarian.lost(slot.server, _whose(slot), slot.told)

    # Requests

    def calls(self) -> list[Request]:
        """The calls that wait here, or for the answer to another that is the same, or until theirs is shorter."""
        found = (call for each in self._others() for call in each.calls())
        return list(dict.fromkeys((*self._held, *found)))

    def _others(self) -> list[Holder]:
        found = (self.errands, self.outcomes.flights, self.outcomes.shielding)
        return [each for each in found if each is not None]

    def withdraw(self, call: Request, reason: str) -> bool:
        """Take back a call that waits here; false when it does not."""
        on_cancel = self._held.pop(call, gone)
        if on_cancel is not None:
            on_cancel(reason)
        return on_cancel is not gone

    def hurry(self, call: Request) -> bool:
        """There is no more time: answer a call at once, if its answer is here; false where it is not."""
        shielding = self.outcomes.shielding
        return shielding is not None and shielding.hurry(call)


def _whose(slot: Slot) -> Whose:
    return Whose.ALL if slot.era is Era.MODERN else Whose.SHARED
