"""Who listens to one modern child: many filters in front, one ``subscriptions/listen`` behind (MCP 2026-07-28).

# Note [One for all]
The child has one open request whose filter is the union of all listeners' filters.  When that grows or shrinks a new
request takes the former's place: the former is given up once the new one is acknowledged, so nothing falls between
them.  Each listener is told what its own filter asks for, as far as the server honours it.  A child that ends takes
no listener with it: its successor is asked again, and since nobody knows what has changed meanwhile, every list that is
listened to is said to have changed.

# Note [Who is to blame]
A server may refuse a filter, and then has refused the union of several.  Whoever has been listened for is listened for
still; those that came anew are asked for one by one, until it shows whose filter it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from attrs import define, field, frozen
from msgspec import Raw
from twisted.logger import Logger

from mcpgateway.backends.conversation import Conversation
from mcpgateway.errors import GatewayError, Overloaded
from mcpgateway.hub.filters import refuse
from mcpgateway.interfaces import Request
from mcpgateway.policy import routing
from mcpgateway.protocol import jsonrpc, modern, peek
from mcpgateway.protocol.jsonrpc import Envelope, Message, MessageKind

LISTENERS_LIMIT = 10_000  # of one child; each session of a legacy client is one
HURRIED_LIMIT = (
    10  # requests in a row that give way to a newer one unacknowledged, or nobody's turn might come
)
URIS_LIMIT = 1000  # resources, and tasks, of one listener

LISTS = {
    "toolsListChanged": "notifications/tools/list_changed",
    "promptsListChanged": "notifications/prompts/list_changed",
    "resourcesListChanged": "notifications/resources/list_changed",
}
UPDATED, TASK = "notifications/resources/updated", "notifications/tasks"

KINDS = {method: kind for kind, method in LISTS.items()}
"""The member of a filter that asks for a notification."""


@frozen
class Filter:
    """What somebody wants to hear of.

    :ivar lists: the kinds of lists whose changes matter, as members of ``notifications``.
    :ivar uris: resources.
    :ivar tasks: tasks, by id (``io.modelcontextprotocol/tasks``).
    """

    lists: frozenset[str] = frozenset()
    uris: frozenset[str] = frozenset()
    tasks: frozenset[str] = frozenset()

    def __or__(self, other: Filter) -> Filter:
        return Filter(self.lists | other.lists, self.uris | other.uris, self.tasks | other.tasks)

    def __and__(self, other: Filter) -> Filter:
        return Filter(self.lists & other.lists, self.uris & other.uris, self.tasks & other.tasks)

    def __le__(self, other: Filter) -> bool:
        return self & other == self

    def __bool__(self) -> bool:
        return bool(self.lists or self.uris or self.tasks)

    def written(self) -> dict[str, Any]:
        """The filter as the ``notifications`` member says it."""
        said: dict[str, Any] = dict.fromkeys(sorted(self.lists), True)
        if self.uris:
            said["resourceSubscriptions"] = sorted(self.uris)
        if self.tasks:
            said["taskIds"] = sorted(self.tasks)
        return said


EVERY_LIST = Filter(frozenset(LISTS))


def read_filter(params: Envelope | None) -> Filter:
    """The filter in a ``subscriptions/listen``, or in its acknowledgement; strange members are left out."""
    said = peek.mapping(params, "notifications")
    return Filter(
        frozenset(kind for kind in LISTS if said.get(kind) is True),
        _texts(said.get("resourceSubscriptions")),
        _texts(said.get("taskIds")),
    )


def _texts(found: Any) -> frozenset[str]:
    return (
        frozenset(each for each in found if isinstance(each, str)) if isinstance(found, list) else frozenset()
    )


class UpstreamListener(Protocol):
    """Somebody who listens.

    :ivar filter: what it wants to hear of.
    """

    filter: Filter

    def acknowledged(self, honoured: Filter) -> None:
        """The server listens for it; ``honoured`` is what of its filter it will hear."""

    def told(self, method: str, message: Envelope) -> None:
        """Something that its filter asks for."""

    def refused(self, why: GatewayError | Raw) -> None:
        """It cannot listen here: the gateway's reason, or the server's own error."""

    def over(self, reply: Envelope) -> None:
        """The server has ended the listening in order."""


@define(eq=False)
class ClientListener:
    """One client's ``subscriptions/listen``.

    :ivar ended: told once when it is over.
    """

    call: Request
    filter: Filter
    ended: Callable[[Request], object]

    def acknowledged(self, honoured: Filter) -> None:
        """The first message is what of its filter it will hear."""
        params = {"notifications": honoured.written()}
        self.told(modern.ACKNOWLEDGED, jsonrpc.notification(modern.ACKNOWLEDGED, params))

    def told(self, method: str, message: Envelope) -> None:
        """Something it asked for."""
        params = peek.members(message, "params")
        params["_meta"] = jsonrpc.raw(peek.members(params, "_meta") | self._mark())
        message["params"] = jsonrpc.raw(params)
        if not self.call.sink.noticed(self.call, jsonrpc.encode(message)):
            self.ended(self.call)

    def _mark(self) -> Envelope:
        return {modern.SUBSCRIPTION_KEY: Raw(self.call.id)}

    def refused(self, why: GatewayError | Raw) -> None:
        """It cannot listen here."""
        self.ended(self.call)
        refuse(self.call, why)

    def over(self, reply: Envelope) -> None:
        """The end, in order."""
        self.ended(self.call)
        result = {"resultType": jsonrpc.raw("complete"), "_meta": jsonrpc.raw(self._mark())}
        self.call.sink.answered(self.call, jsonrpc.result(jsonrpc.NULL, result))


@define(eq=False)
class _Upstream:
    """One ``subscriptions/listen`` of ours on the child's wire."""

    listening: Listening
    asked: Filter
    message: Message = field(repr=False)
    call: Request = field(init=False)
    honoured: Filter | None = None
    is_gone: bool = False

    def __attrs_post_init__(self) -> None:
        self.call = Request(None, self.message, None, self)

    def answered(self, call: Request, reply: Envelope) -> None:
        """The server has refused, or ended the listening."""
        self.listening.ended(self, reply)

    def failed(self, call: Request, why: GatewayError) -> None:
        """The server could not be asked, or has gone."""
        self.listening.lost(self, why)

    def progressed(self, call: Request, message: bytes) -> None:
        """Listening makes no progress."""

    def noticed(self, call: Request, message: bytes) -> bool:
        """Nothing is told here."""
        return False


class Listening:
    """The listeners of one slot of the modern era; see Note [One for all].

    :param want: has the child started.
    :param meta: the envelope of the gateway's own requests.
    :param changed: told of every change that is heard of: the method, and the resource it is of.
    """

    log = Logger()

    def __init__(
        self, want: Callable[[], None], meta: dict[str, Any], changed: Callable[[str, str | None], None]
    ) -> None:
        self._want = want
        self._meta = meta
        self._changed = changed
        self._listeners: dict[UpstreamListener, Filter] = {}  # and what each of them hears of
        self._wanted: Counter[Filter] = Counter()  # most want the same
        self._filed: dict[UpstreamListener, Filter] = {}
        self._fresh: dict[
            UpstreamListener, None
        ] = {}  # those that wait for the server to acknowledge their filters
        self._conversation: Conversation | None = None
        self._open: _Upstream | None = None  # the acknowledged one
        self._coming: _Upstream | None = None
        self._was_open = False
        self._hurried = 0
        self._is_careful = False  # those that are fresh are asked for one by one
        self._quiet: set[UpstreamListener] = set()  # those that do not count

    def __len__(self) -> int:
        return len(self._listeners) - len(self._quiet)

    def overhear(self, listener: UpstreamListener) -> None:
        """Let somebody listen for as long as this child runs: it is neither started nor kept running for that."""
        if self._conversation is None or listener in self._listeners:
            return
        self._quiet.add(listener)
        self.add(listener)

    def add(self, listener: UpstreamListener) -> None:
        """Let somebody listen.

        :raise Overloaded: too many do.
        """
        if len(self._listeners) >= LISTENERS_LIMIT:
            raise Overloaded(f"{LISTENERS_LIMIT} requests listen to this server already")
        self._listeners[listener] = Filter()
        self._file(listener, listener.filter)
        self._fresh[listener] = None
        if self._conversation is None:
            self._want()
        self._settle()

    def remove(self, listener: UpstreamListener) -> None:
        """Somebody has stopped listening."""
        if self._drop(listener):
            self._settle()

    def _drop(self, listener: UpstreamListener) -> bool:
        self._no_longer_fresh(listener)
        self._file(listener, None)
        self._quiet.discard(listener)
        return self._listeners.pop(listener, None) is not None

    def refilter(self, listener: UpstreamListener) -> None:
        """The filter of somebody who listens has changed."""
        if listener in self._listeners:
            self._file(listener, listener.filter)
            self._fresh[listener] = None
            self._settle()

    def _file(self, listener: UpstreamListener, wanted: Filter | None) -> None:
        former = self._filed.pop(listener, None)
        if former is not None:
            self._wanted[former] -= 1
            if not self._wanted[former]:
                del self._wanted[former]
        if wanted is not None:
            self._filed[listener] = wanted
            self._wanted[wanted] += 1

    def resume(self, conversation: Conversation) -> None:
        """A child is there: have it asked, and say that everything may be another now."""
        self._conversation = conversation
        if self._was_open:
            for method in LISTS.values():
                self._tell(method, jsonrpc.notification(method), None)
            for uri in sorted(self._union().uris):
                self._tell(UPDATED, jsonrpc.notification(UPDATED, {"uri": uri}), uri)
        self._settle()

    def child_ended(self) -> None:
        """The child has gone; its successor will be asked."""
        self._conversation = self._open = self._coming = None
        self._is_careful = False
        for listener in list(self._quiet):
            self._drop(listener)

    def close(self) -> None:
        """There will be no child any more: everybody's listening is over."""
        self.child_ended()
        self._end(list(self._listeners), {})

    def _union(self) -> Filter:
        if not self._is_careful:
            filters: Iterable[Filter] = self._wanted
        else:
            first = next(iter(self._fresh), None)
            filters = [
                honoured if listener in self._fresh and listener is not first else listener.filter
                for listener, honoured in self._listeners.items()
            ]
        parts = [(each.lists, each.uris, each.tasks) for each in filters]
        return Filter(*(frozenset().union(*each) for each in zip(*parts, strict=True))) if parts else Filter()

    def _settle(self) -> None:
        # Acknowledge those that the open request covers, and have it replaced if it is not what is wanted.
        if self._conversation is None:
            return
        if self._coming is None and self._open is not None and self._union() <= self._open.asked:
            self._acknowledge(self._open)
        union = self._union()
        asked = self._coming or self._open
        if asked is not None and asked.asked == union:
            return
        if self._coming is not None:
            if self._hurried >= HURRIED_LIMIT and self._covered_by(self._coming):
                return
            self._hurried += 1
            self._give_up(self._coming)
            self._coming = None
        if self._listeners:
            self._ask(self._conversation, union)
        elif self._open is not None:
            self._give_up(self._open)
            self._open = None

    def _covered_by(self, upstream: _Upstream) -> list[UpstreamListener]:
        return [each for each in self._fresh if each.filter <= upstream.asked]

    def _ask(self, conversation: Conversation, union: Filter) -> None:
        params = {"notifications": union.written(), "_meta": self._meta}
        envelope = jsonrpc.request(0, modern.LISTEN, params)
        message = Message(MessageKind.REQUEST, envelope, modern.LISTEN)
        upstream = self._coming = _Upstream(self, union, message)
        try:
            conversation.request(upstream.call)
        except GatewayError as why:
            self.lost(upstream, why)

    def _give_up(self, upstream: _Upstream) -> None:
        if self._conversation is not None:
            self._conversation.cancel(upstream.call, "others listen in its place")

    def _acknowledge(self, upstream: _Upstream) -> None:
        honoured = upstream.honoured or Filter()
        for listener in self._covered_by(upstream):
            if listener not in self._fresh:
                continue  # one before it has changed something about it
            self._no_longer_fresh(listener)
            self._listeners[listener] = mine = listener.filter & honoured
            listener.acknowledged(mine)

    def _no_longer_fresh(self, listener: UpstreamListener) -> None:
        self._fresh.pop(listener, None)
        self._is_careful = self._is_careful and bool(self._fresh)

    def _upstream(self, message: Envelope) -> _Upstream | None:
        number = jsonrpc.integer(modern.subscription(message))
        for each in (self._open, self._coming):
            if each is not None and each.call.number == number:
                return each
        return None

    def noticed(self, method: str, message: Envelope) -> bool:
        """Take a notification of the child's; false when it is none of a listening."""
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
        upstream.honoured = read_filter(peek.members(message, "params"))
        former, self._open, self._coming = self._open, upstream, None
        self._was_open = True
        if former is not None:
            self._give_up(former)
        self._acknowledge(upstream)
        self._settle()

    def _news(self, method: str, message: Envelope) -> None:
        # What the former of two says is said by the new one too, once that is acknowledged.
        if self._upstream(message) is None and modern.subscription(message) is not None:
            return
        params = peek.members(message, "params")
        what = peek.text(params, "taskId" if method == TASK else "uri", jsonrpc.URI_LIMIT)
        self._tell(method, message, what)

    def announce(self, method: str) -> None:
        """A list is another than those who listen may think."""
        self._tell(method, jsonrpc.notification(method), None)

    def _tell(self, method: str, message: Envelope, what: str | None) -> None:
        self._changed(method, what)
        for listener, honoured in list(self._listeners.items()):
            if _asks_for(honoured, method, what):
                listener.told(method, dict(message))

    def _cancelled(self, message: Envelope) -> None:
        # The server tears its listening down without an answer.
        number = jsonrpc.integer(peek.members(message, "params").get("requestId"))
        for upstream in (self._open, self._coming):
            if upstream is not None and upstream.call.number == number and self._conversation is not None:
                self._conversation.pending.pop(upstream.call.number, None)
                self.ended(upstream, {"result": Raw(b'{"resultType":"complete"}')})

    def ended(self, upstream: _Upstream, reply: Envelope) -> None:
        """The server refuses to listen, or has stopped."""
        if upstream is self._coming:
            self._coming = None
            self._turned_down(upstream, reply)
        elif upstream is self._open:
            self._open = None
            if self._coming is None:  # else that one takes its place
                self._end(list(self._listeners), reply)

    def _turned_down(self, upstream: _Upstream, reply: Envelope) -> None:
        suspects = self._covered_by(upstream)
        if len(suspects) > 1 and not self._is_careful:
            self._is_careful = True  # see Note [Who is to blame]
        else:
            self._end(suspects[:1] or list(self._listeners), reply)
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
        """The child could not be asked, or has gone; where there is one still, it does not read."""
        if upstream is not self._coming or self._conversation is None or self._conversation.ended is not None:
            return
        self._coming = None
        self.refuse(why)

    def refuse(self, why: GatewayError) -> None:
        """There is no child, and will be none for now: those that have not begun to listen are told."""
        fresh, self._is_careful = list(self._fresh), False
        for listener in fresh:
            self._drop(listener)
        for listener in fresh:
            listener.refused(why)


def _asks_for(honoured: Filter, method: str, what: str | None) -> bool:
    if method in KINDS:
        return KINDS[method] in honoured.lists
    if method == TASK:
        return what in honoured.tasks
    # A change may be reported of a part of what was subscribed to.
    return what is not None and (
        what in honoured.uris or any(routing.is_part(what, each) for each in honoured.uris)
    )


def narrowed(filter_: Filter) -> Filter:
    """The filter, if it is of bearable size.

    :raise Overloaded: it names too much.
    """
    if len(filter_.uris) > URIS_LIMIT or len(filter_.tasks) > URIS_LIMIT:
        raise Overloaded(f"a request can listen to {URIS_LIMIT} resources at most")
    return filter_
