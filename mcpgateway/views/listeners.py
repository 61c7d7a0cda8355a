"""Modern clients that listen to a view: one ``subscriptions/listen`` in front, one behind for each server that matters.

    asked for                   comes from
    changes of lists            the librarian, which hears of them from whatever runs; nothing is started for it
    updates of resources        the servers that they are of: each is listened to as by a client of its own
    what becomes of tasks       the servers that run them, in the same way

# Note [What is acknowledged]
The client is told once what it will hear: of all lists, and of those resources and tasks that their servers have agreed
to.  A server that does not say so in time is left out.  One that stops telling afterwards ends the whole listening in
order, since there is no way to take back a part of what was agreed to: the client listens anew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol

from attrs import define, evolve, field, frozen
from msgspec import Raw
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.records import ListKind
from mcpgateway.errors import GatewayError, Overloaded
from mcpgateway.hub.slot import Slot
from mcpgateway.hub.subscriptions.upstream_modern import (
    KINDS,
    LISTENERS_LIMIT,
    UPDATED,
    ClientListener,
    Filter,
    read_filter,
)
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc, legacy, modern, peek
from mcpgateway.protocol.jsonrpc import Envelope, Message
from mcpgateway.views.members import names_of
from mcpgateway.views.view import View

PATIENCE_S = 30.0  # as long as a server may take to start and to introduce itself
DEBOUNCE_S = 0.1  # a server that is edited, or started, says that all its lists have changed


class ListenDispatch(Protocol):
    """What brings requests of the modern era on their way (`mcpgateway.hub.modern_dispatch.Stateless`)."""

    def submit(self, call: Request) -> None:
        """Bring a request to its server."""


@frozen
class ListenWish:
    """What one server is to be listened to for.

    :ivar server: as it is run for the client.
    :ivar filter: in the server's own words.
    :ivar names: what the client calls the resources among them, by the server's own URIs.
    """

    server: ServerSpec
    filter: Filter
    names: Mapping[str, Collection[str]] = field(factory=dict)

    def called(self, uri: str, view: View) -> list[str]:
        """What the client calls a resource of the server's."""
        return names_of(view, self.server.name, uri, self.names)


@define(eq=False)
class ViewSubscription:
    """One client that listens to a view.

    :ivar listener: tells it.
    :ivar view: what it listens to, as it is now.
    :ivar open: what is asked of servers, and not answered yet.
    :ivar honoured: what it will hear.
    :ivar own: the servers its place has defined when it was last told.
    :ivar is_nowhere: nobody knows where it works.
    :ivar parts: where it listens.
    """

    owner: ViewEars
    listener: ClientListener
    view: Callable[[], View]
    honoured: Filter
    own: tuple[ServerSpec, ...]
    is_nowhere: bool
    parts: dict[Request, Part] = field(factory=dict)
    open: set[Request] = field(factory=set)
    patience: IDelayedCall | None = None
    is_acknowledged: bool = False
    news: dict[str, None] = field(factory=dict)

    def look(self) -> None:
        """Acknowledge once every server has said what it will tell."""
        if self.open or self.is_acknowledged or not self.owner.knows(self):
            return
        self.is_acknowledged = True
        self.rest()
        self.listener.acknowledged(self.honoured)
        if self.news:
            self.owner.hurry()

    def give_up(self) -> None:
        """Those that have not answered are left out."""
        self.patience = None
        late, self.open = self.open, set()
        for call in late:
            self.parts.pop(call).is_gone = True
            call.withdraw("its server has not acknowledged it in time")
        self.look()

    def rest(self) -> None:
        """Wait for nobody any more."""
        patience, self.patience = self.patience, None
        if patience is not None and patience.active():
            patience.cancel()


@define(eq=False)
class Part:
    """What one server tells one client of a view.

    :ivar wish: what it is asked for.
    """

    ear: ViewSubscription
    wish: ListenWish
    is_gone: bool = False

    def noticed(self, call: Request, message: bytes) -> bool:
        """Something it tells; the first is what it will."""
        ear = self.ear
        if call not in ear.parts:
            return False
        said = jsonrpc.decode(message)
        method = peek.text(said, "method") or ""
        if method != modern.ACKNOWLEDGED:
            self._tell(method, said)
        elif call in ear.open:
            ear.open.discard(call)
            honoured = read_filter(peek.members(said, "params"))
            names = (name for uri in honoured.uris for name in self.wish.called(uri, ear.view()))
            ear.honoured |= Filter(uris=frozenset(names), tasks=honoured.tasks)
            ear.look()
        return True

    def _tell(self, method: str, said: Envelope) -> None:
        if method in KINDS:
            return  # that comes from the librarian
        uri = peek.text(peek.members(said, "params"), "uri", jsonrpc.URI_LIMIT) if method == UPDATED else None
        if uri is None:
            self.ear.listener.told(method, said)
            return
        for name in self.wish.called(uri, self.ear.view()):
            params = {**peek.members(said, "params"), "uri": jsonrpc.raw(name)}
            self.ear.listener.told(method, {**said, "params": jsonrpc.raw(params)})

    def progressed(self, call: Request, message: bytes) -> None:
        """Listening makes no progress."""

    def answered(self, call: Request, reply: Envelope) -> None:
        """The server refuses to listen, or has stopped."""
        self._ended(call)

    def failed(self, call: Request, why: GatewayError) -> None:
        """The server cannot be listened to."""
        self._ended(call)

    def _ended(self, call: Request) -> None:
        ear = self.ear
        if ear.parts.pop(call, None) is None:
            return
        if call in ear.open:
            ear.open.discard(call)
            ear.look()
        elif ear.is_acknowledged:
            ear.listener.over({})  # see Note [What is acknowledged]


@define(eq=False)
class _Overhearing:
    """Listens to what runs anyway: what it hears of is passed on where all news of a slot go."""

    filter: Filter

    def acknowledged(self, honoured: Filter) -> None:
        """The server tells what has changed."""

    def told(self, method: str, message: Envelope) -> None:
        """The slot tells everybody who keeps something of the server's."""

    def refused(self, why: GatewayError | Raw) -> None:
        """It does not."""

    def over(self, reply: Envelope) -> None:
        """It does not any more."""


class ViewEars:
    """All that listen to views in the modern era."""

    def __init__(self, stateless: ListenDispatch, clock: IReactorTime) -> None:
        self.stateless = stateless
        self._clock = clock
        self._ears: dict[Request, ViewSubscription] = {}
        self._due: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._ears)

    def listen(
        self,
        call: Request,
        wanted: Filter,
        wishes: Iterable[ListenWish],
        view: Callable[[], View],
    ) -> None:
        """Let a client listen to a view.

        :param wanted: all that it wants to hear of.
        :param wishes: what of that has to be asked of servers.
        :param view: what is listened to, as it is at any time.
        :raise Overloaded: too many listen.
        """
        if len(self._ears) >= LISTENERS_LIMIT:
            raise Overloaded(f"{LISTENERS_LIMIT} requests listen to views already")
        listener = ClientListener(call, wanted, self.end)
        own, is_nowhere = view().own, not call.caller.server.workspace
        ear = self._ears[call] = ViewSubscription(self, listener, view, Filter(wanted.lists), own, is_nowhere)
        call.holder = self
        for wish in wishes:
            inner = Request(None, _listen_to(call.message, wish.filter), None, None)
            inner.caller = evolve(call.caller, server=wish.server, headers=None)
            inner.sink = ear.parts[inner] = Part(ear, wish)
            ear.open.add(inner)
        if ear.open:
            ear.patience = self._clock.callLater(PATIENCE_S, ear.give_up)
        for inner, part in list(ear.parts.items()):
            self._ask(inner, part)
        ear.look()

    def _ask(self, call: Request, part: Part) -> None:
        try:
            self.stateless.submit(call)
        except GatewayError as why:
            part.failed(call, why)

    def knows(self, ear: ViewSubscription) -> bool:
        """Whether its client listens still."""
        return self._ears.get(ear.listener.call) is ear

    def withdraw(self, call: Request, reason: str) -> bool:
        """A client has hung up; false when it does not listen here."""
        return self.end(call)

    def end(self, call: Request) -> bool:
        """Forget a client that listens no more; false when it does not listen here."""
        ear = self._ears.pop(call, None)
        if ear is None:
            return False
        ear.rest()
        parts, ear.parts = ear.parts, {}
        for each, part in parts.items():
            part.is_gone = True
            each.withdraw("its client has stopped listening")
        return True

    # What changes

    def changed(self, server: str, kind: ListKind) -> None:
        """A list of a server's has changed: whoever listens to a view that shows it is told, once for many."""
        for ear in [each for each in self._ears.values() if KINDS[kind.news] in each.honoured.lists]:
            view = self._view(ear)
            if view is not None and server in view.servers and view.shows(kind):
                self._note(ear, kind)

    def all_changed(self) -> None:
        """The servers are others now, and so may the views be."""
        for ear in list(self._ears.values()):
            if self._view(ear) is not None:
                for kind in ListKind:
                    self._note(ear, kind)

    def look_around(self, *, has_news: bool) -> None:
        """Workspaces may define other servers now: whoever listens there is told, as is who may work there."""
        for ear in list(self._ears.values()):
            view = self._view(ear)
            if view is None or (view.own == ear.own and not (has_news and ear.is_nowhere)):
                continue
            ear.own = view.own
            for kind in ListKind:
                if view.shows(kind):
                    self._note(ear, kind)

    def _view(self, ear: ViewSubscription) -> View | None:
        try:
            return ear.view()
        except GatewayError:
            ear.listener.over({})  # there is no such view any more
            return None

    def _note(self, ear: ViewSubscription, kind: ListKind) -> None:
        if KINDS[kind.news] in ear.honoured.lists:
            ear.news[kind.news] = None
            self.hurry()

    def hurry(self) -> None:
        """There is something to be told."""
        if self._due is None:
            self._due = self._clock.callLater(DEBOUNCE_S, self._flush)

    def _flush(self) -> None:
        self._due = None
        for ear in list(self._ears.values()):
            if not ear.is_acknowledged:
                continue  # what it is told comes after that
            news, ear.news = ear.news, {}
            for method in news:
                if self.knows(ear):
                    ear.listener.told(method, jsonrpc.notification(method))

    def overhear(self, slot: Slot) -> None:
        """A child of the modern era runs: hear of changes of its lists for as long as it does."""
        lists = frozenset(KINDS[each] for each in legacy.changing_lists(slot.hello or {}) if each in KINDS)
        if slot.listening is None or not slot.shared or not lists:
            return
        try:
            slot.listening.overhear(_Overhearing(Filter(lists)))
        except Overloaded:
            pass  # there are many that hear of the same

    def close(self) -> None:
        """End all of them in order."""
        due, self._due = self._due, None
        if due is not None:
            due.cancel()
        for ear in list(self._ears.values()):
            ear.listener.over({})


def _listen_to(message: Message, filter_: Filter) -> Message:
    params: Envelope = {"notifications": jsonrpc.raw(filter_.written())}
    meta = dict(message.meta or {})
    meta.pop("progressToken", None)
    params["_meta"] = jsonrpc.raw(meta)
    envelope = message.envelope | {"params": jsonrpc.raw(params)}
    return Message(message.kind, dict(envelope), message.method, message.id, params, meta)
