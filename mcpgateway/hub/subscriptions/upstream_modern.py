"""The listeners of one modern child: many interests, one ``subscriptions/listen`` at the child (MCP 2026-07-28).

# Note [One for all]
The child has one open request whose filter is the union of all listeners' interests.  When that grows or shrinks, a new
request replaces the former, which is cancelled once the new one is acknowledged, so that no notification is lost in
between.  A request that the former program of this process has sent stays as long as it covers all interests, since
listeners come back one after the other.  Each listener gets the notifications that it wants, as far as the server
honours it.  The end of a child ends no listening: its successor is asked again, and since changes meanwhile are not
known, all listened lists are notified as changed.

# Note [Who is to blame]
A server that refuses a filter has refused the union of several.  Former listeners keep their listening; the interests
of new listeners are then asked for one by one, until the refused one is found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from msgspec import Raw, Struct
from twisted.logger import Logger

from mcpgateway.backends.conversation import Conversation
from mcpgateway.errors import BackendGone, GatewayError, Overloaded
from mcpgateway.hub.subscriptions.interest import (
    KINDS,
    LISTS,
    NOTHING,
    TASK,
    UPDATED,
    Interest,
    read_interest,
    read_text,
)
from mcpgateway.hub.subscriptions.registry import LISTENERS_LIMIT, SubscriberRegistry
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc, modern, peek
from mcpgateway.protocol.jsonrpc import Envelope, Message, MessageKind


class ListeningState(Struct, frozen=True):
    """The open request of a child's listeners, as one program of the gateway hands it over to the next.

    :ivar number: its number on the child's connection.
    :ivar asked: its filter, as JSON.
    :ivar honoured: the part that the child has acknowledged.
    """

    number: int
    asked: bytes
    honoured: bytes


HURRIED_LIMIT = 10  # unacknowledged requests replaced in a row at most, so that an acknowledgement comes


class UpstreamListener:
    """A listener to a modern child; this one ignores everything, which serves where the slot's news are enough."""

    def acknowledged(self, honoured: Interest) -> None:
        """Take the acknowledgement; ``honoured`` is the part of the interest that the server honours."""

    def told(self, method: str, message: Envelope) -> None:
        """Take a notification that the listener wants."""

    def refused(self, why: GatewayError | Raw) -> None:
        """Take a refusal: the gateway's reason, or the server's own error."""

    def over(self, reply: Envelope) -> None:
        """Take the regular end of the listening by the server."""


@define(eq=False, repr=False)
class _Upstream:
    """One ``subscriptions/listen`` of the gateway's at the child."""

    listening: Listening
    asked: Interest
    message: Message = field(repr=False)
    request: Request = field(init=False)
    honoured: Interest = NOTHING
    is_inherited: bool = False

    def __attrs_post_init__(self) -> None:
        self.request = Request(None, self.message, None, self)

    def answered(self, request: Request, reply: Envelope) -> None:
        """Take the response: a refusal, or the end of the listening."""
        self.listening.ended(self, reply)

    def failed(self, request: Request, why: GatewayError) -> None:
        """Take the failure: the request could not be sent, or the child has ended."""
        self.listening.lost(self, why)

    def progressed(self, request: Request, message: bytes) -> None:
        """Ignore progress."""

    def noticed(self, request: Request, message: bytes) -> bool:
        """Take no message: notifications come through `Listening.noticed`."""
        return False


class Listening:
    """The listeners of one slot of the modern era; see Note [One for all].

    :param want: has the child started.
    :param meta: the ``_meta`` of the gateway's own requests.
    :param changed: called with the method and the resource of every notified change.
    :ivar subscribers: the listeners, each with the notifications that it wants.
    """

    log = Logger()

    def __init__(
        self, want: Callable[[], None], meta: dict[str, Any], changed: Callable[[str, str | None], None]
    ) -> None:
        self._want = want
        self._meta = meta
        self._changed = changed
        self.subscribers: SubscriberRegistry[UpstreamListener] = SubscriberRegistry()
        self._granted: SubscriberRegistry[UpstreamListener] = SubscriberRegistry()  # as far as honoured
        # Those that wait for the server to acknowledge their interests; a dict for its order.
        self._fresh: dict[UpstreamListener, None] = {}
        self._conversation: Conversation | None = None
        self._open: _Upstream | None = None  # the acknowledged one
        self._coming: _Upstream | None = None
        self._was_open = False
        self._hurried = 0
        self._is_careful = False  # fresh interests are asked for one by one
        self._quiet: set[UpstreamListener] = set()  # those that do not keep the child running

    def __len__(self) -> int:
        return len(self.subscribers) - len(self._quiet)

    def overhear(self, listener: UpstreamListener, interest: Interest) -> None:
        """Add a listener for as long as this child runs, if there is room, without keeping it running."""
        if self._conversation is not None and len(self.subscribers) < LISTENERS_LIMIT:
            self._quiet.add(listener)
            self.put(listener, interest)

    def put(self, listener: UpstreamListener, interest: Interest) -> None:
        """Add a listener, or replace its interest.

        :raise Overloaded: the child has `LISTENERS_LIMIT` listeners.
        """
        is_new = listener not in self.subscribers
        if is_new and len(self.subscribers) >= LISTENERS_LIMIT:
            raise Overloaded(f"{LISTENERS_LIMIT} requests listen to this server already")
        self.subscribers.put(listener, interest)
        self._granted.put(listener, self._granted.interests.get(listener, NOTHING) & interest)
        self._fresh[listener] = None
        if is_new and self._conversation is None:
            self._want()
        self._settle()

    def remove(self, listener: UpstreamListener) -> None:
        """Remove a listener."""
        if self._drop(listener):
            self._settle()

    def _drop(self, listener: UpstreamListener) -> bool:
        self._no_longer_fresh(listener)
        self._quiet.discard(listener)
        self._granted.remove(listener)
        return self.subscribers.remove(listener)

    def hand_over(self, keeps: Callable[[int], bool]) -> ListeningState | None:
        """Return the open request for the next program of this process.

        :param keeps: returns true for a request that goes on.
        """
        found = self._open
        if found is None or not keeps(found.request.number):
            return None
        return ListeningState(found.request.number, found.asked.text(), found.honoured.text())

    def take_over(self, conversation: Conversation, state: ListeningState) -> None:
        """Go on with the request of the former program."""
        self._conversation, self._was_open = conversation, True
        message = Message(MessageKind.REQUEST, {}, modern.LISTEN)
        self._open = _Upstream(
            self, read_text(state.asked), message, read_text(state.honoured), is_inherited=True
        )
        self._open.request.number = state.number
        conversation.pending[state.number] = self._open.request
        if self.subscribers:
            self._settle()

    def resume(self, conversation: Conversation) -> None:
        """Ask a new child, and notify all listeners that their lists and resources may have changed."""
        self._conversation = conversation
        if self._was_open:
            for method in LISTS.values():
                self._tell(method, jsonrpc.notification(method), None)
            for uri in sorted(self._union().uris):
                self._tell(UPDATED, jsonrpc.notification(UPDATED, {"uri": uri}), uri)
        self._settle()

    def child_ended(self) -> None:
        """Note the end of the child; its successor is asked again."""
        self._conversation = self._open = self._coming = None
        self._is_careful = False
        for listener in list(self._quiet):
            self._drop(listener)

    def close(self) -> None:
        """End the listening of all listeners, since the slot gets no child any more."""
        self.child_ended()
        self._end(list(self.subscribers.interests), {})

    def _union(self) -> Interest:
        if not self._is_careful:
            return self.subscribers.union()
        first = next(iter(self._fresh), None)
        careful: SubscriberRegistry[UpstreamListener] = SubscriberRegistry()
        for listener, interest in self.subscribers.interests.items():
            is_later = listener in self._fresh and listener is not first
            careful.put(listener, self._granted.interests[listener] if is_later else interest)
        return careful.union()

    def _settle(self) -> None:
        # Acknowledge listeners that the open request covers, and replace the request if the union differs.
        if self._conversation is None:
            return
        if self._coming is None and self._open is not None and self._union() <= self._open.asked:
            self._acknowledge(self._open)
        union = self._union()
        asked = self._coming or self._open
        if asked is not None and asked.asked == union:
            return
        if asked is not None and asked.is_inherited and union and union <= asked.asked:
            return
        if self._coming is not None:
            if self._hurried >= HURRIED_LIMIT and self._covered_by(self._coming):
                return
            self._hurried += 1
            self._give_up(self._coming)
            self._coming = None
        if self.subscribers:
            self._ask(self._conversation, union)
        elif self._open is not None:
            self._give_up(self._open)
            self._open = None

    def _covered_by(self, upstream: _Upstream) -> list[UpstreamListener]:
        return [each for each in self._fresh if self.subscribers.interests[each] <= upstream.asked]

    def _ask(self, conversation: Conversation, union: Interest) -> None:
        params = {"notifications": union.written(), "_meta": self._meta}
        envelope = jsonrpc.request(0, modern.LISTEN, params)
        message = Message(MessageKind.REQUEST, envelope, modern.LISTEN)
        upstream = self._coming = _Upstream(self, union, message)
        try:
            conversation.request(upstream.request)
        except GatewayError as why:
            self.lost(upstream, why)

    def _give_up(self, upstream: _Upstream) -> None:
        if self._conversation is not None:
            self._conversation.cancel(upstream.request, "others listen in its place")

    def _acknowledge(self, upstream: _Upstream) -> None:
        for listener in self._covered_by(upstream):
            if listener not in self._fresh:
                continue  # removed or acknowledged through a listener before it
            self._no_longer_fresh(listener)
            granted = self.subscribers.interests[listener] & upstream.honoured
            self._granted.put(listener, granted)
            listener.acknowledged(granted)

    def _no_longer_fresh(self, listener: UpstreamListener) -> None:
        self._fresh.pop(listener, None)
        self._is_careful = self._is_careful and bool(self._fresh)

    def _upstream(self, message: Envelope) -> _Upstream | None:
        number = jsonrpc.integer(modern.subscription(message))
        for each in (self._open, self._coming):
            if each is not None and each.request.number == number:
                return each
        return None

    def noticed(self, method: str, message: Envelope) -> bool:
        """Take a notification of the child; return False when it belongs to no listening."""
        if method == modern.ACKNOWLEDGED:
            self._heard_of(message)
        elif method == "notifications/cancelled":
            self._cancelled(message)
        elif method in KINDS or method in (UPDATED, TASK):
            self._news(method, message)
        else:
            return False
        return True

    def _heard_of(self, message: Envelope) -> None:
        upstream = self._upstream(message)
        if upstream is None or upstream is not self._coming:
            return
        self._hurried = 0
        upstream.honoured = read_interest(peek.members(message, "params"))
        former, self._open, self._coming = self._open, upstream, None
        self._was_open = True
        if former is not None:
            self._give_up(former)
        self._acknowledge(upstream)
        self._settle()

    def _news(self, method: str, message: Envelope) -> None:
        # A notification of a replaced request comes by the new one too, once that is acknowledged.
        if self._upstream(message) is None and modern.subscription(message) is not None:
            return
        params = peek.members(message, "params")
        what = peek.text(params, "taskId" if method == TASK else "uri", jsonrpc.URI_LIMIT)
        self._tell(method, message, what)

    def announce(self, method: str) -> None:
        """Notify the listeners that a list has changed."""
        self._tell(method, jsonrpc.notification(method), None)

    def _tell(self, method: str, message: Envelope, what: str | None) -> None:
        self._changed(method, what)
        for listener in self._granted.interested(method, what):
            listener.told(method, dict(message))

    def _cancelled(self, message: Envelope) -> None:
        # The server ends its listening by cancelling the request, without a response.
        number = jsonrpc.integer(peek.members(message, "params").get("requestId"))
        for upstream in (self._open, self._coming):
            if upstream is not None and upstream.request.number == number and self._conversation is not None:
                self._conversation.pending.pop(upstream.request.number, None)
                self.ended(upstream, {"result": Raw(b'{"resultType":"complete"}')})

    def ended(self, upstream: _Upstream, reply: Envelope) -> None:
        """Take the end of a request: a refusal, or the end of the listening."""
        if upstream is self._coming:
            self._coming = None
            self._turned_down(upstream, reply)
        elif upstream is self._open:
            self._open = None
            if self._coming is None:  # else that request replaces it
                self._end(list(self.subscribers.interests), reply)

    def _turned_down(self, upstream: _Upstream, reply: Envelope) -> None:
        suspects = self._covered_by(upstream)
        if len(suspects) > 1 and not self._is_careful:
            self._is_careful = True  # see Note [Who is to blame]
        else:
            self._end(suspects[:1] or list(self.subscribers.interests), reply)
        self._settle()

    def _end(self, listeners: list[UpstreamListener], reply: Envelope) -> None:
        for listener in listeners:
            self._drop(listener)
        for listener in listeners:
            if "error" in reply:
                listener.refused(reply["error"])
            else:
                listener.over(reply)

    def lost(self, upstream: _Upstream, why: GatewayError) -> None:
        """Take the failure of a request; where the child still runs, it does not read.

        The stdin of a child closes a moment before its exit is reported; the successor is asked again.
        """
        if upstream is not self._coming or self._conversation is None or self._conversation.ended is not None:
            return
        self._coming = None
        if not isinstance(why, BackendGone):
            self.refuse(why)

    def refuse(self, why: GatewayError) -> None:
        """Refuse the listeners that wait to be acknowledged, since no child can be started now."""
        fresh, self._is_careful = list(self._fresh), False
        for listener in fresh:
            self._drop(listener)
        for listener in fresh:
            listener.refused(why)
