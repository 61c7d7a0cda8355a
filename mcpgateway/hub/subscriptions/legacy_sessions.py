"""Subscriptions of legacy sessions to a modern child, whose notifications go to the sessions' standing streams.

A legacy client gets notifications of lists without asking, and subscribes to one resource after the other.  To the
modern child (`mcpgateway.hub.subscriptions.upstream_modern`) that is one interest, which grows and shrinks.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from msgspec import Raw
from twisted.python.failure import Failure

from mcpgateway.errors import (
    BackendGone,
    Cancelled,
    GatewayError,
    InvalidParams,
    Overloaded,
    UnknownMethod,
)
from mcpgateway.hub.filters import reason, refuse
from mcpgateway.hub.sessions import Session, Sessions
from mcpgateway.hub.slot import Slot
from mcpgateway.hub.subscriptions.interest import LISTS, UPDATED, URIS_LIMIT, Interest, lists_of
from mcpgateway.hub.subscriptions.upstream_modern import Listening, UpstreamListener
from mcpgateway.interfaces import Request
from mcpgateway.policy.backoff import delay_s
from mcpgateway.protocol import jsonrpc, legacy, modern, peek
from mcpgateway.protocol.jsonrpc import Envelope

UNACKNOWLEDGED_TICKS = 60  # after which a subscription without an answer of the server is given up


@define(eq=False, repr=False)
class SessionSubscriptions(UpstreamListener):
    """The subscriptions of one session to a modern child.

    :ivar listening: the listeners of the child.
    :ivar settled: removes a call from the bridge's waiting calls; returns False if it was removed before.
    :ivar asked: the requests to subscribe that the server has not acknowledged yet, each with its resource.
    :ivar is_set: True if the session listens, or has nothing to listen to.
    """

    session: Session
    slot: Slot
    listening: Listening
    sessions: Sessions
    settled: Callable[[Request], bool]
    asked: dict[Request, str] = field(factory=dict)
    is_set: bool = False
    patience: int = UNACKNOWLEDGED_TICKS
    late: str = "the server did not say whether it reports changes of this resource"
    _lists: frozenset[str] = frozenset()
    _can_subscribe: bool = False
    _is_starting: bool = False  # while the child starts
    _is_over: bool = False
    _failures: int = 0
    _rest: int = 0  # ticks until the next try to listen

    def look(self) -> None:
        """Subscribe to the notifications that the session wants, unless that has just been refused."""
        if self.is_set or self._is_starting or self._rest:
            return
        if self.slot.is_resting and not self.asked and not self.session.uris:
            return  # a server that does not run sends no notifications
        self._is_starting = True
        self.slot.greet().addCallbacks(self._met, self._not_met)

    def _met(self, hello: Envelope) -> None:
        self._is_starting = False
        if self._is_over:
            return
        self._lists, self._can_subscribe = lists_of(hello), legacy.has_subscriptions(hello)
        if not self._can_subscribe:
            self._disappoint(UnknownMethod("Method not found: the server reports no changes of resources"))
        self._update()

    def _not_met(self, why: Failure) -> None:
        self._is_starting = False
        if self._is_over:
            return
        known = reason(why)
        self._disappoint(known)
        if self in self.listening.subscribers:  # to the next child
            self.is_set = True
            self._update()
        elif not self._rest:  # else it has got an answer already
            self.refused(known)

    def _update(self) -> None:
        uris = {*(self.session.uris or ()), *self.asked.values()} if self._can_subscribe else ()
        interest = Interest(self._lists, frozenset(uris))
        self.is_set = True
        if not interest:
            self.listening.remove(self)
        elif self.listening.subscribers.interests.get(self) != interest:
            try:
                self.listening.put(self, interest)
            except Overloaded as why:
                self.refused(why)

    def leave(self) -> None:
        """End the subscription of a session that ends or is put aside."""
        self._is_over = True
        self.listening.remove(self)

    def tick(self) -> None:
        """Advance by one second: try again to listen, if a child runs."""
        if self._rest:
            self._rest -= 1
        elif not self.is_set and self.slot.conversation is not None:
            self.look()

    # Requests of the client

    def subscribe(self, request: Request, uri: str) -> bool:
        """Take a request to subscribe; return True when its answer has to wait for the server's.

        :raise Overloaded: the session has `URIS_LIMIT` subscriptions already.
        """
        uris = self.session.uris or ()
        if uri in uris:
            return False
        if len(uris) + len(self.asked) >= URIS_LIMIT:
            raise Overloaded("there are too many subscriptions")
        self.asked[request] = uri
        return True

    def bring(self) -> None:
        """Ask the server for the resource of the latest request to subscribe."""
        self.is_set, self._rest = False, 0
        self.look()

    def unsubscribe(self, uri: str) -> None:
        """End the subscription to a resource."""
        if uri in (self.session.uris or ()):
            self.session.unsubscribe(uri)
            self.sessions.subscribed(self.session, uri, is_on=False)
        for call in [each for each, asked in self.asked.items() if asked == uri]:
            self._fail(call, Cancelled("unsubscribed before the server had agreed"))
        self._shrink()

    def withdraw(self, request: Request, reason: str) -> None:
        """Cancel a request to subscribe."""
        del self.asked[request]
        self._shrink()

    def _shrink(self) -> None:
        if self.is_set and not self._is_over:
            self._update()

    # Messages of the server

    def acknowledged(self, honoured: Interest) -> None:
        """Take the server's acknowledgement, and answer the requests to subscribe by it."""
        self._failures = 0
        self._freshen()
        for call, uri in list(self.asked.items()):
            if uri in honoured.uris:
                self._agree(call, uri)
            else:
                self._fail(
                    call, InvalidParams("Invalid params: the server does not report changes of this resource")
                )
        self._shrink()

    def _agree(self, request: Request, uri: str) -> None:
        del self.asked[request]
        self.session.subscribe(uri)
        self.sessions.subscribed(self.session, uri, is_on=True)
        if self.settled(request):
            request.sink.answered(request, jsonrpc.result(jsonrpc.NULL, {}))

    def _freshen(self) -> None:
        # A session that has not listened for a while has missed the changes meanwhile.
        if self.session.is_stale:
            self.session.is_stale = False
            for method in sorted(LISTS[kind] for kind in self._lists):
                self.session.announce(method)

    def told(self, method: str, message: Envelope) -> None:
        """Put a notification into the session's mailbox, where it waits for the standing stream."""
        params = peek.members(message, "params")
        uri = peek.text(params, "uri", jsonrpc.URI_LIMIT)
        meta = peek.members(params, "_meta")
        meta.pop(modern.SUBSCRIPTION_KEY, None)
        params = {name: value for name, value in params.items() if name != "_meta"}
        if meta:
            params["_meta"] = jsonrpc.raw(meta)
        message = {name: value for name, value in message.items() if name != "params"}
        if params:
            message["params"] = jsonrpc.raw(params)
        self.session.mailbox.put(jsonrpc.encode(message), (method, uri) if method == UPDATED else method)

    def refused(self, why: GatewayError | Raw) -> None:
        """Take a refusal: fail the requests to subscribe, and try again later."""
        self.is_set = False
        self.session.is_stale = True
        self._failures += 1
        self._rest = round(delay_s(self._failures - 1))
        self._disappoint(why)

    def over(self, reply: Envelope) -> None:
        """Take the end of the server's notifications."""
        self.refused(BackendGone("the server has stopped to report changes"))

    def _disappoint(self, why: GatewayError | Raw) -> None:
        for call in list(self.asked):
            self._fail(call, why)

    def _fail(self, request: Request, why: GatewayError | Raw) -> None:
        self.asked.pop(request, None)
        if self.settled(request):
            refuse(request, why)
