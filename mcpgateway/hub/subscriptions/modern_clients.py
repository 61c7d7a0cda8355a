"""Subscriptions of modern clients to legacy children: each has a session of the gateway's own, subscribed like others.

# Note [Children beside]
Each request of a modern client may declare other capabilities, and a server may have another child for each set.  A
change that a call makes at one of them is news for every listener, whatever capabilities its ``listen`` has declared.
So a listener gets the notifications of all children of the server that run for its principal, and for its process where
the server keeps state: the first is the child of its own request, whose end ends the listening; others come and go.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from attrs import define, field
from twisted.python.failure import Failure

from mcpgateway.errors import GatewayError, Overloaded
from mcpgateway.hub.filters import reason
from mcpgateway.hub.sessions import Session, Sessions
from mcpgateway.hub.slot import Slot
from mcpgateway.hub.subscriptions.upstream_legacy import SUBSCRIBE
from mcpgateway.hub.subscriptions.upstream_modern import (
    KINDS,
    LISTENERS_LIMIT,
    UPDATED,
    ClientListener,
    Filter,
    narrowed,
    read_filter,
)
from mcpgateway.interfaces import Request
from mcpgateway.policy.sharing import Variant
from mcpgateway.protocol import jsonrpc, legacy, peek
from mcpgateway.protocol.jsonrpc import Envelope

ClientKey = tuple[Variant, str, int]
"""The key of a listener: the server, its principal, and its process where the server keeps state, else 0."""


@define(eq=False, repr=False)
class ListenStream:
    """The listening of one modern client, as the standing stream of its session.

    :ivar slot: the slot of its first child.
    :ivar client_key: the key of the children that it listens to.
    :ivar honoured: the notifications that it gets.
    :ivar beside: the other children that it listens to, each with a session of its own.
    """

    listener: ClientListener
    session: Session
    slot: Slot
    client_key: ClientKey
    honoured: Filter = field(factory=Filter)
    beside: dict[Slot, Session] = field(factory=dict)

    def say(self, message: bytes) -> bool:
        """Pass on a notification that its filter admits."""
        envelope = jsonrpc.decode(message)
        if "id" in envelope:
            return False  # a question cannot be asked on this stream
        method = peek.text(envelope, "method") or ""
        if method == UPDATED or KINDS.get(method) in self.honoured.lists:
            self.listener.told(method, envelope)
        return True

    def close(self) -> None:
        """End the listening, since its session has ended."""
        self.listener.over({})


@define(eq=False, repr=False)
class _OtherChild:
    """The listening to one of the other children; see Note [Children beside]."""

    stream: ListenStream
    slot: Slot

    def say(self, message: bytes) -> bool:
        """Pass on a notification that the listener's filter admits."""
        return self.stream.say(message)

    def close(self) -> None:
        """Forget a child that has ended."""
        self.stream.beside.pop(self.slot, None)


@define(eq=False, repr=False)
class _SubscribeRequests:
    """The requests to subscribe to the resources of a filter.

    :ivar done: called with the acknowledged filter after the last answer.
    :ivar open: the resources without an answer.
    :ivar taken: the resources that the server has acknowledged.
    """

    done: Callable[[Filter], None]
    honoured: Filter
    open: set[str]
    taken: set[str] = field(factory=set)
    is_gone: bool = False

    def look(self) -> None:
        """Call ``done`` once all requests are answered."""
        if not self.open:
            self.done(self.honoured | Filter(uris=frozenset(self.taken)))

    def answered(self, request: Request, reply: Envelope) -> None:
        """Take the server's answer to one request."""
        uri = _uri(request)
        self.open.discard(uri)
        if "result" in reply:
            self.taken.add(uri)
        self.look()

    def failed(self, request: Request, why: GatewayError) -> None:
        """Take a failure as the refusal of one request."""
        self.open.discard(_uri(request))
        self.look()

    def progressed(self, request: Request, message: bytes) -> None:
        """Ignore progress."""

    def noticed(self, request: Request, message: bytes) -> bool:
        """Take no message before the answer."""
        return False


class ListenStreams:
    """All modern clients that listen to legacy servers.

    :param end: ends a session of the gateway's own.
    :ivar listening: the listening of each client, by its request.
    """

    def __init__(self, sessions: Sessions, end: Callable[[Session, str], object]) -> None:
        self._sessions = sessions
        self._end = end
        self.listening: dict[Request, ListenStream] = {}
        self._by_client: defaultdict[ClientKey, dict[Request, ListenStream]] = defaultdict(dict)
        self._used: defaultdict[ClientKey, WeakSet[Slot]] = defaultdict(WeakSet)

    def listen(self, request: Request, slot: Slot, client_key: ClientKey) -> None:
        """Begin the listening of a client to a child.

        :raise Overloaded: the filter is too large, or `LISTENERS_LIMIT` requests listen to the child already.
        """
        principal = client_key[1]
        wanted = narrowed(read_filter(request.message.params))
        if sum(stream.slot is slot for stream in self.listening.values()) >= LISTENERS_LIMIT:
            raise Overloaded(f"{LISTENERS_LIMIT} requests listen to this server already")
        session = self._sessions.synthetic(slot.server, principal, level="")
        listener = ClientListener(request, Filter(wanted.lists, wanted.uris), self._over)
        stream = self.listening[request] = self._by_client[client_key][request] = ListenStream(
            listener, session, slot, client_key
        )
        request.holder = self
        slot.join(session)
        slot.greet().addCallbacks(self._met, self._not_met, callbackArgs=(stream,), errbackArgs=(stream,))

    def _is_open(self, stream: ListenStream) -> bool:
        return self.listening.get(stream.listener.request) is stream

    def _met(self, hello: Envelope, stream: ListenStream) -> None:
        if not self._is_open(stream):
            return
        wanted = stream.listener.filter
        changing = {KINDS[method] for method in legacy.changing_lists(hello)}
        can_subscribe = peek.mapping(legacy.capabilities(hello), "resources").get("subscribe") is True
        uris = set(wanted.uris) if can_subscribe else set()

        def done(honoured: Filter) -> None:
            stream.honoured = honoured
            if self._is_open(stream):
                stream.listener.acknowledged(honoured)
            if self._is_open(stream):  # the acknowledgement may have failed, and ended it
                stream.session.mailbox.attach(stream)
                for each in list(self._used[stream.client_key]):
                    if each.is_up:
                        self._hear_beside(stream, each)

        _subscribe(
            stream.session,
            stream.slot,
            uris,
            _SubscribeRequests(done, Filter(wanted.lists & changing), set(uris)),
        )

    # See Note [Children beside].

    def used(self, slot: Slot, client_key: ClientKey) -> None:
        """Let listeners of the same key listen to the child that a request is sent to."""
        self._used[client_key].add(slot)
        for stream in list(self._by_client.get(client_key, {}).values()):
            self._hear_beside(stream, slot)

    def _hear_beside(self, stream: ListenStream, slot: Slot) -> None:
        if slot is stream.slot or slot in stream.beside or slot.replicas is not None:
            return
        session = self._sessions.synthetic(slot.server, stream.client_key[1], level="")
        stream.beside[slot] = session
        slot.join(session)

        def met(_: Envelope) -> None:
            if self._is_open(stream) and stream.beside.get(slot) is session:
                session.mailbox.attach(_OtherChild(stream, slot))
                _subscribe(
                    session,
                    slot,
                    set(stream.honoured.uris),
                    _SubscribeRequests(_whatever, Filter(), set(stream.honoured.uris)),
                )

        slot.greet().addCallbacks(met, lambda _: self._leave_beside(stream, slot))

    def _leave_beside(self, stream: ListenStream, slot: Slot) -> None:
        session = stream.beside.pop(slot, None)
        if session is not None:
            self._end(session, "nobody listens to that child any more")

    def _not_met(self, why: Failure, stream: ListenStream) -> None:
        if self._is_open(stream):
            stream.listener.refused(reason(why))

    def _over(self, request: Request) -> bool:
        stream = self.listening.pop(request, None)
        if stream is None:
            return False
        of_its = self._by_client[stream.client_key]
        del of_its[request]
        if not of_its:
            del self._by_client[stream.client_key]
        for each in list(stream.beside):
            self._leave_beside(stream, each)
        stream.session.mailbox.detach(stream)
        self._end(stream.session, "its client has stopped listening")
        return True

    def withdraw(self, request: Request, reason: str) -> bool:
        """End the listening of a client; return False when it does not listen here."""
        return self._over(request)

    def listen_to(self, slot: Slot) -> bool:
        """True if a client listens to a slot's child."""
        return any(stream.slot is slot for stream in self.listening.values())

    def slot_ended(self, slot: Slot) -> None:
        """End the listening to a slot that gets no child any more; clients may ask again."""
        for used in self._used.values():
            used.discard(slot)
        for stream in list(self.listening.values()):
            if stream.slot is slot:
                stream.close()
            else:
                self._leave_beside(stream, slot)

    def tick(self) -> None:
        """Advance by one second: forget the keys whose children have ended."""
        for client_key in [each for each, slots in self._used.items() if not slots]:
            del self._used[client_key]

    def close(self) -> None:
        """End all listening, with a response to each client."""
        for stream in list(self.listening.values()):
            stream.close()


def _whatever(honoured: Filter) -> None:
    """Ignore the filter that another child acknowledges, since no client has asked for it."""


def _subscribe(session: Session, slot: Slot, uris: set[str], asked: _SubscribeRequests) -> None:
    for uri in sorted(uris):
        call = _subscription(session, uri, asked)
        call.holder = slot
        slot.subscriptions.submit(call, uri)
    if not uris:
        asked.look()


def _uri(request: Request) -> str:
    return request.id.decode(errors="surrogatepass")


def _subscription(session: Session, uri: str, sink: Any) -> Request:
    params: Envelope = {"uri": jsonrpc.raw(uri)}
    message = jsonrpc.own_request(SUBSCRIBE, params)
    message.id = uri.encode(errors="surrogatepass")  # so that `_uri` can read it; the server gets another id
    return Request(session, message, None, sink)
