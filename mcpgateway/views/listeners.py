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

from collections.abc import Callable, Collection, Container, Iterable, Mapping
from typing import Protocol

from attrs import define, field, frozen
from msgspec.structs import replace
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.records import ListKind
from mcpgateway.errors import GatewayError, Overloaded
from mcpgateway.hub.slot import Slot
from mcpgateway.hub.subscriptions.interest import KINDS, UPDATED, Interest, lists_of, read_interest, read_text
from mcpgateway.hub.subscriptions.modern_clients import ClientListener, close_all
from mcpgateway.hub.subscriptions.registry import LISTENERS_LIMIT, SubscriberRegistry
from mcpgateway.hub.subscriptions.upstream_modern import UpstreamListener
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc, modern, peek
from mcpgateway.protocol.jsonrpc import Envelope, Message
from mcpgateway.views.members import names_of
from mcpgateway.views.view import View
from mcpgateway.waiting import Collected

PATIENCE_S = 30.0  # as long as a server may take to start
DEBOUNCE_S = 0.1  # an edited or started server notifies changes of all its lists together


class ListenDispatch(Protocol):
    """The dispatch of modern requests (`mcpgateway.hub.modern_dispatch.ModernDispatcher`)."""

    def submit(self, request: Request) -> None:
        """Send a request to its server."""


@frozen
class ListenWish:
    """The notifications that are wanted of one server.

    :ivar server: the server, as run for the client.
    :ivar interest: the notifications, with the server's own URIs.
    :ivar names: the client's URIs of the resources among them, by the server's own URIs.
    """

    server: ServerSpec
    interest: Interest
    names: Mapping[str, Collection[str]] = field(factory=dict)

    def part_of(self, known: Interest) -> Interest:
        """Return the part of it that belongs to a client's interest."""
        own = (uri for uri in self.interest.uris if not known.uris.isdisjoint(self.names.get(uri, ())))
        return Interest(uris=frozenset(own), tasks=self.interest.tasks & known.tasks)

    def called(self, uri: str, view: View) -> list[str]:
        """Return the client's URIs of a resource of the server."""
        return names_of(view, self.server.name, uri, self.names)


@define(eq=False, repr=False)
class ViewSubscription(ClientListener):
    """The listening of one client to a view.

    :ivar view: returns the current view.
    :ivar open: the requests to servers that are not acknowledged yet.
    :ivar own: the servers that the client's workspace defined when it was last notified.
    :ivar is_nowhere: True if the client's workspace is not known.
    :ivar parts: the requests to servers.
    :ivar news: the notifications of lists that follow the acknowledgement.
    """

    owner: ViewSubscriptions
    view: Callable[[], View]
    own: tuple[ServerSpec, ...]
    is_nowhere: bool
    parts: dict[Request, ServerListening] = field(factory=dict)
    open: set[Request] = field(factory=set)
    patience: IDelayedCall | None = None
    is_acknowledged: bool = False
    news: dict[str, None] = field(factory=dict)

    def look(self) -> None:
        """Acknowledge once every server has answered."""
        if self.open or self.is_acknowledged or self.has_ended:
            return
        self.is_acknowledged = True
        self.rest()
        self.acknowledged(self.owner.subscribers.interests[self])
        for each in self.news:
            self.owner.news.add(self, each)

    def give_up(self) -> None:
        """Leave out the servers that have not answered."""
        self.patience = None
        unanswered, self.open = self.open, set()
        for call in unanswered:
            self.parts.pop(call).is_gone = True
            call.withdraw("its server has not acknowledged it in time")
        self.look()

    def rest(self) -> None:
        """Stop the timer."""
        patience, self.patience = self.patience, None
        if patience is not None and patience.active():
            patience.cancel()


@define(eq=False, repr=False)
class ServerListening:
    """The listening of one client of a view to one server.

    :ivar wish: the notifications that are wanted of the server.
    """

    subscription: ViewSubscription
    wish: ListenWish
    is_gone: bool = False

    def noticed(self, request: Request, message: bytes) -> bool:
        """Take a message of the server; the first one is its acknowledgement."""
        subscription = self.subscription
        if request not in subscription.parts:
            return False
        envelope = jsonrpc.decode(message)
        method = peek.text(envelope, "method") or ""
        if method != modern.ACKNOWLEDGED:
            self._tell(method, envelope)
        elif request in subscription.open:
            subscription.open.discard(request)
            honoured = read_interest(peek.members(envelope, "params"))
            names = (name for uri in honoured.uris for name in self.wish.called(uri, subscription.view()))
            subscription.owner.grant(subscription, Interest(uris=frozenset(names), tasks=honoured.tasks))
            subscription.look()
        return True

    def _tell(self, method: str, envelope: Envelope) -> None:
        if method in KINDS:
            return  # the catalog notifies of lists
        uri = (
            peek.text(peek.members(envelope, "params"), "uri", jsonrpc.URI_LIMIT)
            if method == UPDATED
            else None
        )
        if uri is None:
            self.subscription.told(method, envelope)
            return
        for name in self.wish.called(uri, self.subscription.view()):
            params = {**peek.members(envelope, "params"), "uri": jsonrpc.raw(name)}
            self.subscription.told(method, {**envelope, "params": jsonrpc.raw(params)})

    def progressed(self, request: Request, message: bytes) -> None:
        """Ignore progress."""

    def answered(self, request: Request, reply: Envelope) -> None:
        """Take the server's refusal, or the end of its listening."""
        self._ended(request)

    def failed(self, request: Request, why: GatewayError) -> None:
        """Take the failure of the request."""
        self._ended(request)

    def _ended(self, request: Request) -> None:
        subscription = self.subscription
        if subscription.parts.pop(request, None) is None:
            return
        if request in subscription.open:
            subscription.open.discard(request)
            subscription.look()
        elif subscription.is_acknowledged:
            subscription.over({})  # see Note [What is acknowledged]


class ViewSubscriptions:
    """All modern clients that listen to views.

    :ivar subscribers: the listening of each client, with the notifications that the client gets.
    :ivar news: the notifications of lists that are collected for clients.
    """

    def __init__(self, modern_dispatcher: ListenDispatch, clock: IReactorTime) -> None:
        self.modern_dispatcher = modern_dispatcher
        self._clock = clock
        self.subscribers: SubscriberRegistry[ViewSubscription] = SubscriberRegistry()
        self.news: Collected[ViewSubscription, str] = Collected(clock, DEBOUNCE_S, self._tell)

    def __len__(self) -> int:
        return len(self.subscribers)

    def listen(
        self,
        request: Request,
        wanted: Interest,
        wishes: Iterable[ListenWish],
        view: Callable[[], View],
    ) -> None:
        """Let a client listen to a view.

        :param wanted: the notifications that the client wants.
        :param wishes: the parts of it that servers have to be asked for.
        :param view: returns the current view.
        :raise Overloaded: `LISTENERS_LIMIT` requests listen to views.
        """
        if len(self.subscribers) >= LISTENERS_LIMIT:
            raise Overloaded(f"{LISTENERS_LIMIT} requests listen to views already")
        own, is_nowhere = view().own, not request.caller.server.workspace
        subscription = ViewSubscription(request, self._ended, self, view, own, is_nowhere)
        known = read_text(request.honoured)  # what the former program has acknowledged
        self.subscribers.put(subscription, known or Interest(wanted.lists))
        for wish in wishes:
            inner = Request(None, _listen_to(request.message, wish.interest), None, None)
            inner.caller = replace(request.caller, server=wish.server, headers=None)
            inner.arrived = request.arrived
            inner.sink = subscription.parts[inner] = ServerListening(subscription, wish)
            if known:
                inner.honoured = wish.part_of(known).text()
            else:
                subscription.open.add(inner)
        if subscription.open:
            subscription.patience = self._clock.callLater(PATIENCE_S, subscription.give_up)
        for inner, part in list(subscription.parts.items()):
            self._ask(inner, part)
        subscription.look()

    def _ask(self, request: Request, part: ServerListening) -> None:
        try:
            self.modern_dispatcher.submit(request)
        except GatewayError as why:
            part.failed(request, why)

    def grant(self, subscription: ViewSubscription, honoured: Interest) -> None:
        """Add the notifications that a server has acknowledged to those that a client gets."""
        self.subscribers.put(subscription, self.subscribers.interests[subscription] | honoured)

    def _ended(self, subscription: ViewSubscription) -> None:
        self.subscribers.remove(subscription)
        subscription.rest()
        parts, subscription.parts = subscription.parts, {}
        for each, part in parts.items():
            part.is_gone = True
            each.withdraw("its client has stopped listening")

    # Changes

    def changed(self, server: str, kind: ListKind) -> None:
        """Notify listeners of views that show a changed list, once for several changes."""
        for subscription in self.subscribers.interested(kind.news, None):
            view = self._view(subscription)
            if view is not None and server in view.servers and view.shows(kind):
                self._note(subscription, kind)

    def all_changed(self) -> None:
        """Notify all listeners of all lists, since the servers have changed."""
        for subscription in list(self.subscribers.interests):
            if self._view(subscription) is not None:
                for kind in ListKind:
                    self._note(subscription, kind)

    def look_around(self, *, has_news: bool) -> None:
        """Notify listeners whose workspaces define other servers now.

        :param has_news: True if users have approved workspaces; then listeners without a workspace are notified, too.
        """
        for subscription in list(self.subscribers.interests):
            view = self._view(subscription)
            if view is None or (view.own == subscription.own and not (has_news and subscription.is_nowhere)):
                continue
            subscription.own = view.own
            for kind in ListKind:
                if view.shows(kind):
                    self._note(subscription, kind)

    def _view(self, subscription: ViewSubscription) -> View | None:
        try:
            return subscription.view()
        except GatewayError:
            subscription.over({})  # the view no longer exists
            return None

    def _note(self, subscription: ViewSubscription, kind: ListKind) -> None:
        if subscription in self.subscribers.lists.get(KINDS[kind.news], ()):
            if subscription.is_acknowledged:
                self.news.add(subscription, kind.news)
            else:
                subscription.news[kind.news] = None

    def _tell(self, subscription: ViewSubscription, news: Iterable[str]) -> None:
        for method in news:
            if not subscription.has_ended:
                subscription.told(method, jsonrpc.notification(method))

    def overhear(self, slot: Slot) -> None:
        """Listen to the changes of a modern child's lists for as long as it runs."""
        lists = lists_of(slot.hello or {})
        if slot.listening is not None and slot.shared and lists:
            slot.listening.overhear(UpstreamListener(), Interest(lists))

    def close(self, staying: Container[float] = ()) -> None:
        """End the listening, with a response to each client.

        :param staying: the times of arrival of those with which the next program goes on.
        """
        self.news.deliver()
        close_all(self.subscribers.interests, staying)


def _listen_to(message: Message, interest: Interest) -> Message:
    params: Envelope = {"notifications": jsonrpc.raw(interest.written())}
    meta = dict(message.meta or {})
    meta.pop("progressToken", None)
    params["_meta"] = jsonrpc.raw(meta)
    envelope = message.envelope | {"params": jsonrpc.raw(params)}
    return Message(message.kind, dict(envelope), message.method, message.id, params, meta)
