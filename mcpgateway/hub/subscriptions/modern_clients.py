"""Subscriptions of modern clients: listeners to modern children, and sessions of the gateway's own at legacy ones.

# Note [Children beside]
Each request of a modern client may declare other capabilities, and a server may have another child for each set.  A
change that a call makes at one of them is news for every listener, whatever capabilities its ``listen`` has declared.
So a listener gets the notifications of all children of the server that run for its principal, and for its process where
the server keeps state: the first is the child of its own request, whose end ends the listening; others come and go.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable
from typing import Any
from weakref import WeakSet

from attrs import define, field
from msgspec import Raw
from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure

from mcpgateway.backends.own_question import OwnQuestion
from mcpgateway.errors import GatewayError, Overloaded
from mcpgateway.hub.filters import reason, refuse
from mcpgateway.hub.sessions import Session, Sessions
from mcpgateway.hub.slot import Slot
from mcpgateway.hub.subscriptions.interest import (
    KINDS,
    NOTHING,
    UPDATED,
    Interest,
    lists_of,
    narrowed,
    read_interest,
    read_text,
)
from mcpgateway.hub.subscriptions.registry import LISTENERS_LIMIT
from mcpgateway.hub.subscriptions.upstream_legacy import SUBSCRIBE
from mcpgateway.hub.subscriptions.upstream_modern import UpstreamListener
from mcpgateway.interfaces import Request
from mcpgateway.policy.sharing import Variant
from mcpgateway.protocol import jsonrpc, legacy, modern, peek
from mcpgateway.protocol.jsonrpc import Envelope

ClientKey = tuple[Variant, str, int]
"""The key of a listener: the server, its principal, and its process where the server keeps state, else 0."""


@define(eq=False, repr=False)
class ClientListener(UpstreamListener):
    """One client's ``subscriptions/listen``, and the holder of its request.

    :ivar ended: called once, with this listener, when the listening is over.
    :ivar has_ended: true if the listening is over.
    """

    request: Request
    ended: Callable[[Any], object]
    has_ended: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.request.holder = self

    def acknowledged(self, honoured: Interest) -> None:
        """Send the acknowledgement, the first message of the stream, unless the former program has sent it.

        A part of an acknowledged filter cannot be revoked: if it differs now, the client has to listen again.
        """
        former, self.request.honoured = self.request.honoured, honoured.text()
        if former:
            if former != self.request.honoured:
                self.over({})
            return
        params = {"notifications": honoured.written()}
        self.told(modern.ACKNOWLEDGED, jsonrpc.notification(modern.ACKNOWLEDGED, params))

    def told(self, method: str, message: Envelope) -> None:
        """Send a notification, with the id of the subscription."""
        params = peek.members(message, "params")
        params["_meta"] = jsonrpc.raw(peek.members(params, "_meta") | self._mark())
        message["params"] = jsonrpc.raw(params)
        if not self.request.sink.noticed(self.request, jsonrpc.encode(message)):
            self.withdraw(self.request, "its client has gone")

    def _mark(self) -> Envelope:
        return {modern.SUBSCRIPTION_KEY: Raw(self.request.id)}

    def refused(self, why: GatewayError | Raw) -> None:
        """Fail the request."""
        self.withdraw(self.request, "refused")
        refuse(self.request, why)

    def over(self, reply: Envelope) -> None:
        """Answer the request, which ends the listening."""
        self.withdraw(self.request, "over")
        result = {"resultType": jsonrpc.raw("complete"), "_meta": jsonrpc.raw(self._mark())}
        self.request.sink.answered(self.request, jsonrpc.result(jsonrpc.NULL, result))

    def withdraw(self, request: Request, reason: str) -> bool:
        """End the listening without an answer; false if it has ended before."""
        had_ended, self.has_ended = self.has_ended, True
        if not had_ended:
            self.ended(self)
        return not had_ended


@define(eq=False, repr=False)
class ListenStream(ClientListener):
    """The listening of one modern client to legacy children, as the standing stream of its session.

    :ivar wanted: the notifications that it wants.
    :ivar slot: the slot of its first child.
    :ivar client_key: the key of the children that it listens to.
    :ivar honoured: the notifications that it gets.
    :ivar beside: the other children that it listens to, each with a session of its own.
    """

    wanted: Interest
    session: Session
    slot: Slot
    client_key: ClientKey
    honoured: Interest = NOTHING
    beside: dict[Slot, Session] = field(factory=dict)

    def say(self, message: bytes) -> bool:
        """Pass on a notification that its client wants."""
        envelope = jsonrpc.decode(message)
        if "id" in envelope:
            return False  # a question cannot be asked on this stream
        method = peek.text(envelope, "method") or ""
        if method == UPDATED or KINDS.get(method) in self.honoured.lists:
            self.told(method, envelope)
        return True

    def close(self) -> None:
        """End the listening, since its session has ended."""
        self.over({})


@define(eq=False, repr=False)
class _OtherChild:
    """The listening to one of the other children; see Note [Children beside]."""

    stream: ListenStream
    slot: Slot

    def say(self, message: bytes) -> bool:
        """Pass on a notification that the client wants."""
        return self.stream.say(message)

    def close(self) -> None:
        """Forget a child that has ended."""
        self.stream.beside.pop(self.slot, None)


class ListenStreams:
    """All modern clients that listen to legacy servers.

    :param end: ends a session of the gateway's own.
    :ivar listening: the listening clients, by the children that they listen to; a dict for their order.
    """

    def __init__(self, sessions: Sessions, end: Callable[[Session, str], object]) -> None:
        self._sessions = sessions
        self._end = end
        self.listening: dict[ClientKey, dict[ListenStream, None]] = {}
        self._used: defaultdict[ClientKey, WeakSet[Slot]] = defaultdict(WeakSet)

    def _streams(self) -> list[ListenStream]:
        return [stream for streams in self.listening.values() for stream in streams]

    def listen(self, request: Request, slot: Slot, client_key: ClientKey) -> None:
        """Begin the listening of a client to a child.

        :raise Overloaded: the filter is too large, or `LISTENERS_LIMIT` requests listen to the child already.
        """
        wanted = narrowed(read_interest(request.message.params))
        if sum(stream.slot is slot for stream in self._streams()) >= LISTENERS_LIMIT:
            raise Overloaded(f"{LISTENERS_LIMIT} requests listen to this server already")
        session = self._sessions.synthetic(slot.server, client_key[1], level="")
        if slot.is_taken_over:  # its child has these subscriptions
            session.uris = set(read_text(request.honoured).uris) or None
        stream = ListenStream(request, self._ended, wanted, session, slot, client_key)
        self.listening.setdefault(client_key, {})[stream] = None
        slot.join(session)
        slot.greet().addCallbacks(self._met, self._not_met, callbackArgs=(stream,), errbackArgs=(stream,))

    def _met(self, hello: Envelope, stream: ListenStream) -> None:
        if stream.has_ended:
            return

        def done(agreed: frozenset[str]) -> None:
            stream.honoured = Interest(stream.wanted.lists & lists_of(hello), agreed)
            if not stream.has_ended:
                stream.acknowledged(stream.honoured)
            if not stream.has_ended:  # the acknowledgement may have failed, and ended it
                stream.session.mailbox.attach(stream)
                for each in list(self._used[stream.client_key]):
                    if each.is_up:
                        self._hear_beside(stream, each)

        if stream.session.uris:
            done(frozenset(stream.session.uris))
            return
        uris = stream.wanted.uris
        if not legacy.has_subscriptions(hello):
            uris = frozenset()
        _subscribe(stream.session, stream.slot, uris).addCallback(done)

    # See Note [Children beside].

    def used(self, slot: Slot, client_key: ClientKey) -> None:
        """Let listeners of the same key listen to the child that a request is sent to."""
        self._used[client_key].add(slot)
        for stream in list(self.listening.get(client_key, ())):
            self._hear_beside(stream, slot)

    def _hear_beside(self, stream: ListenStream, slot: Slot) -> None:
        if slot is stream.slot or slot in stream.beside or slot.replicas is not None:
            return
        session = self._sessions.synthetic(slot.server, stream.client_key[1], level="")
        stream.beside[slot] = session
        slot.join(session)

        def met(_: Envelope) -> None:
            if not stream.has_ended and stream.beside.get(slot) is session:
                session.mailbox.attach(_OtherChild(stream, slot))
                _subscribe(session, slot, stream.honoured.uris)

        slot.greet().addCallbacks(met, lambda _: self._leave_beside(stream, slot))

    def _leave_beside(self, stream: ListenStream, slot: Slot) -> None:
        session = stream.beside.pop(slot, None)
        if session is not None:
            self._end(session, "nobody listens to that child any more")

    def _not_met(self, why: Failure, stream: ListenStream) -> None:
        if not stream.has_ended:
            stream.refused(reason(why))

    def _ended(self, stream: ListenStream) -> None:
        streams = self.listening[stream.client_key]
        del streams[stream]
        if not streams:
            del self.listening[stream.client_key]
        for each in list(stream.beside):
            self._leave_beside(stream, each)
        stream.session.mailbox.detach(stream)
        self._end(stream.session, "its client has stopped listening")

    def listen_to(self, slot: Slot) -> bool:
        """True if a client listens to a slot's child."""
        return any(stream.slot is slot for stream in self._streams())

    def slot_ended(self, slot: Slot) -> None:
        """End the listening to a slot that gets no child any more; clients may ask again."""
        for used in self._used.values():
            used.discard(slot)
        for stream in self._streams():
            if stream.slot is slot:
                stream.close()
            else:
                self._leave_beside(stream, slot)

    def tick(self) -> None:
        """Advance by one second: forget the keys whose children have ended."""
        for client_key in [each for each, slots in self._used.items() if not slots]:
            del self._used[client_key]

    def close(self, staying: Container[float]) -> None:
        """End the listening, with a response to each client, but for those that go on."""
        close_all(self._streams(), staying)


def close_all(listeners: Iterable[ClientListener], staying: Container[float]) -> None:
    """End listenings, with a response to each client.

    :param staying: the times of arrival of those with which the next program goes on.
    """
    for each in list(listeners):
        if each.request.arrived not in staying:
            each.over({})


def _subscribe(session: Session, slot: Slot, uris: frozenset[str]) -> Deferred[frozenset[str]]:
    """Subscribe a session to resources; fires with those that the server has agreed to, after its last answer."""
    answers: dict[str, Deferred[Envelope]] = {uri: Deferred() for uri in sorted(uris)}
    for uri, done in answers.items():
        message = jsonrpc.own_request(SUBSCRIBE, {"uri": jsonrpc.raw(uri)})
        call = Request(session, message, None, OwnQuestion(done), holder=slot)
        try:
            slot.subscriptions.submit(call, uri)
        except Overloaded as why:
            call.sink.failed(call, why)

    def agreed(found: list[tuple[bool, Any]]) -> frozenset[str]:
        outcomes = zip(answers, found, strict=True)
        return frozenset(uri for uri, (is_answered, reply) in outcomes if is_answered and "result" in reply)

    return DeferredList(answers.values(), consumeErrors=True).addCallback(agreed)
