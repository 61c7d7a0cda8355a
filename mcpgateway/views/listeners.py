"""Subscriptions of modern clients to a view: one ``subscriptions/listen`` at the gateway, one at each server concerned.

    asked for                   comes from
    changes of lists            the catalog, which follows all running servers; no server is started for it
    updates of resources        the servers of the resources, each with a listening of its own
    status of tasks             the servers that run them, in the same way

# Note [What is acknowledged]
The client gets one acknowledgement: for all lists, and for those resources and tasks that their servers have
acknowledged.  A server that does not acknowledge in time is left out.  A server that ends its listening later ends the
whole listening regularly, since a part of an acknowledged filter cannot be revoked: the client listens again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol

from attrs import define, field, frozen
from msgspec import Raw
from msgspec.structs import replace
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

PATIENCE_S = 30.0  # as long as a server may take to start
DEBOUNCE_S = 0.1  # an edited or started server notifies changes of all its lists together


class ListenDispatch(Protocol):
    """The dispatch of modern requests (`mcpgateway.hub.modern_dispatch.Stateless`)."""

    def submit(self, call: Request) -> None:
        """Send a request to its server."""


@frozen
class ListenWish:
    """The notifications that are wanted of one server.

    :ivar server: the server, as run for the client.
    :ivar filter: the filter, with the server's own URIs.
    :ivar names: the client's URIs of the resources among them, by the server's own URIs.
    """

    server: ServerSpec
    filter: Filter
    names: Mapping[str, Collection[str]] = field(factory=dict)

    def called(self, uri: str, view: View) -> list[str]:
        """Return the client's URIs of a resource of the server."""
        return names_of(view, self.server.name, uri, self.names)


@define(eq=False, repr=False)
class ViewSubscription:
    """The listening of one client to a view.

    :ivar listener: the client's request.
    :ivar view: returns the current view.
    :ivar open: the requests to servers that are not acknowledged yet.
    :ivar honoured: the notifications that the client gets.
    :ivar own: the servers that the client's workspace defined when it was last notified.
    :ivar is_nowhere: True if the client's workspace is not known.
    :ivar parts: the requests to servers.
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
        """Acknowledge once every server has answered."""
        if self.open or self.is_acknowledged or not self.owner.knows(self):
            return
        self.is_acknowledged = True
        self.rest()
        self.listener.acknowledged(self.honoured)
        if self.news:
            self.owner.hurry()

    def give_up(self) -> None:
        """Leave out the servers that have not answered."""
        self.patience = None
        late, self.open = self.open, set()
        for call in late:
            self.parts.pop(call).is_gone = True
            call.withdraw("its server has not acknowledged it in time")
        self.look()

    def rest(self) -> None:
        """Stop the timer."""
        patience, self.patience = self.patience, None
        if patience is not None and patience.active():
            patience.cancel()


@define(eq=False, repr=False)
class Part:
    """The listening of one client of a view to one server.

    :ivar wish: the notifications that are wanted of the server.
    """

    ear: ViewSubscription
    wish: ListenWish
    is_gone: bool = False

    def noticed(self, call: Request, message: bytes) -> bool:
        """Take a message of the server; the first one is its acknowledgement."""
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
            return  # the catalog notifies of lists
        uri = peek.text(peek.members(said, "params"), "uri", jsonrpc.URI_LIMIT) if method == UPDATED else None
        if uri is None:
            self.ear.listener.told(method, said)
            return
        for name in self.wish.called(uri, self.ear.view()):
            params = {**peek.members(said, "params"), "uri": jsonrpc.raw(name)}
            self.ear.listener.told(method, {**said, "params": jsonrpc.raw(params)})

    def progressed(self, call: Request, message: bytes) -> None:
        """Ignore progress."""

    def answered(self, call: Request, reply: Envelope) -> None:
        """Take the server's refusal, or the end of its listening."""
        self._ended(call)

    def failed(self, call: Request, why: GatewayError) -> None:
        """Take the failure of the request."""
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


@define(eq=False, repr=False)
class _Overhearing:
    """Listens to a child that runs anyway; its news reach the catalog through the slot."""

    filter: Filter

    def acknowledged(self, honoured: Filter) -> None:
        """Ignore the acknowledgement."""

    def told(self, method: str, message: Envelope) -> None:
        """Ignore the notification, which the slot passes to the catalog."""

    def refused(self, why: GatewayError | Raw) -> None:
        """Ignore the refusal."""

    def over(self, reply: Envelope) -> None:
        """Ignore the end."""


class ViewEars:
    """All modern clients that listen to views."""

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

        :param wanted: the client's filter.
        :param wishes: the parts of it that servers have to be asked for.
        :param view: returns the current view.
        :raise Overloaded: `LISTENERS_LIMIT` requests listen to views.
        """
        if len(self._ears) >= LISTENERS_LIMIT:
            raise Overloaded(f"{LISTENERS_LIMIT} requests listen to views already")
        listener = ClientListener(call, wanted, self.end)
        own, is_nowhere = view().own, not call.caller.server.workspace
        ear = self._ears[call] = ViewSubscription(self, listener, view, Filter(wanted.lists), own, is_nowhere)
        call.holder = self
        for wish in wishes:
            inner = Request(None, _listen_to(call.message, wish.filter), None, None)
            inner.caller = replace(call.caller, server=wish.server, headers=None)
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
        """True if the client still listens."""
        return self._ears.get(ear.listener.call) is ear

    def withdraw(self, call: Request, reason: str) -> bool:
        """End the listening of a client; return False when it does not listen here."""
        return self.end(call)

    def end(self, call: Request) -> bool:
        """Forget a client that listens no more; return False when it does not listen here."""
        ear = self._ears.pop(call, None)
        if ear is None:
            return False
        ear.rest()
        parts, ear.parts = ear.parts, {}
        for each, part in parts.items():
            part.is_gone = True
            each.withdraw("its client has stopped listening")
        return True

    # Changes

    def changed(self, server: str, kind: ListKind) -> None:
        """Notify listeners of views that show a changed list, once for several changes."""
        for ear in [each for each in self._ears.values() if KINDS[kind.news] in each.honoured.lists]:
            view = self._view(ear)
            if view is not None and server in view.servers and view.shows(kind):
                self._note(ear, kind)

    def all_changed(self) -> None:
        """Notify all listeners of all lists, since the servers have changed."""
        for ear in list(self._ears.values()):
            if self._view(ear) is not None:
                for kind in ListKind:
                    self._note(ear, kind)

    def look_around(self, *, has_news: bool) -> None:
        """Notify listeners whose workspaces define other servers now.

        :param has_news: True if users have approved workspaces; then listeners without a workspace are notified, too.
        """
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
            ear.listener.over({})  # the view no longer exists
            return None

    def _note(self, ear: ViewSubscription, kind: ListKind) -> None:
        if KINDS[kind.news] in ear.honoured.lists:
            ear.news[kind.news] = None
            self.hurry()

    def hurry(self) -> None:
        """Schedule the notifications."""
        if self._due is None:
            self._due = self._clock.callLater(DEBOUNCE_S, self._flush)

    def _flush(self) -> None:
        self._due = None
        for ear in list(self._ears.values()):
            if not ear.is_acknowledged:
                continue  # notifications follow the acknowledgement
            news, ear.news = ear.news, {}
            for method in news:
                if self.knows(ear):
                    ear.listener.told(method, jsonrpc.notification(method))

    def overhear(self, slot: Slot) -> None:
        """Listen to the changes of a modern child's lists for as long as it runs."""
        lists = frozenset(KINDS[each] for each in legacy.changing_lists(slot.hello or {}) if each in KINDS)
        if slot.listening is None or not slot.shared or not lists:
            return
        try:
            slot.listening.overhear(_Overhearing(Filter(lists)))
        except Overloaded:
            pass  # many others listen to the same

    def close(self) -> None:
        """End all listening, with a response to each client."""
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
