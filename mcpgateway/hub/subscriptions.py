"""Which sessions of one child are subscribed to which resources: one subscription upstream, however many share it.

# Note [One at a time]
For each resource the requests of all clients stand in one line.  The first subscription and the last farewell are asked
of the server, and whoever stands behind them waits for the outcome; everything between is answered here.  A server that
refuses one may agree to the next; one that cannot be asked at all is asked once for all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mcpgateway.errors import GatewayError, Overloaded
from mcpgateway.hub.sessions import Session
from mcpgateway.interfaces import Call
from mcpgateway.wire import jsonrpc
from mcpgateway.wire.jsonrpc import Envelope

SUBSCRIBE, UNSUBSCRIBE = "resources/subscribe", "resources/unsubscribe"
TOPICS_LIMIT = 10_000  # resources of one child
URIS_LIMIT = 1000  # resources of one session
FORMER_LIMIT = 1000  # resources that nobody is subscribed to any more

Ask = Callable[[str, dict[str, Any]], Deferred[Envelope]]


@define(eq=False)
class _Topic:
    """One resource.

    :ivar holders: the sessions that are told of its changes; a dict for its order.
    :ivar line: the calls that wait for their turn.
    :ivar asking: what the server is being asked, a method; empty while it is asked nothing.
    """

    holders: dict[Session, None] = field(factory=dict)
    line: deque[Call] = field(factory=deque)
    asking: str = ""


class Subscriptions:
    """The subscriptions of one slot.

    :ivar ask: asks the server.
    :ivar give_up: tells the server, where it still matters, that nobody is left who wants to hear of a resource.
    :ivar changed: told of every session that gained (true) or lost (false) a resource.
    """

    def __init__(
        self, ask: Ask, give_up: Callable[[str], None], changed: Callable[[Session, str, bool], None]
    ) -> None:
        self._ask = ask
        self._give_up = give_up
        self._changed = changed
        self._topics: dict[str, _Topic] = {}
        self._former: dict[str, None] = {}

    def __len__(self) -> int:
        return sum(1 for topic in self._topics.values() if topic.holders)

    def submit(self, call: Call, uri: str) -> None:
        """Take a client's request, either kind; its sink hears the outcome.

        :raise Overloaded: there are too many subscriptions.
        """
        topic, uris = self._topics.get(uri), call.session.uris or ()
        is_one_more = call.method == SUBSCRIBE and uri not in uris
        if (is_one_more and len(uris) >= URIS_LIMIT) or (topic is None and len(self._topics) >= TOPICS_LIMIT):
            raise Overloaded("there are too many subscriptions")
        if topic is None:
            topic = self._topics[uri] = _Topic()
        topic.line.append(call)
        self._advance(uri, topic)

    def _advance(self, uri: str, topic: _Topic) -> None:
        while topic.line and not topic.asking:
            call = topic.line.popleft()
            if not self._settle(call, uri, topic):
                topic.asking = call.method
                asked = self._ask(call.method, {"uri": uri})
                asked.addCallbacks(
                    self._answered,
                    self._failed,
                    callbackArgs=(call, uri, topic),
                    errbackArgs=(call, topic),
                )
                asked.addBoth(self._next, uri, topic)
        self._tidy(uri, topic)

    def _tidy(self, uri: str, topic: _Topic) -> None:
        if not topic.line and not topic.holders and not topic.asking:
            self._topics.pop(uri, None)

    def _settle(self, call: Call, uri: str, topic: _Topic) -> bool:
        # What the server need not be asked about.
        session: Session = call.session
        if call.method == SUBSCRIBE:
            if not topic.holders:
                return False
            self._join(session, uri, topic)
        else:
            self._leave(session, uri, topic)
            if not topic.holders:
                return False
        call.sink.answered(call, jsonrpc.result(jsonrpc.NULL, {}))
        return True

    def _answered(self, reply: Envelope, call: Call, uri: str, topic: _Topic) -> None:
        session: Session = call.session
        if call.method == SUBSCRIBE and "result" in reply:
            if session.slot is not None:
                self._join(session, uri, topic)
            elif not topic.holders:
                self._put_by(uri)
                self._give_up(uri)  # who asked for it has left meanwhile
        call.sink.answered(call, reply)

    def _failed(self, why: Failure, call: Call, topic: _Topic) -> None:
        error = why.value
        # Whoever stands behind would only start the server again, one after the other.
        waiting, topic.line = [call, *topic.line], deque()
        for each in waiting:
            each.sink.failed(each, error if isinstance(error, GatewayError) else GatewayError(str(error)))

    def _next(self, _: object, uri: str, topic: _Topic) -> None:
        topic.asking = ""
        self._advance(uri, topic)

    def _join(self, session: Session, uri: str, topic: _Topic) -> None:
        if session in topic.holders or not session.id:
            return
        topic.holders[session] = None
        if session.uris is None:
            session.uris = set()
        session.uris.add(uri)
        self._changed(session, uri, True)

    def _leave(self, session: Session, uri: str, topic: _Topic) -> None:
        if session not in topic.holders:
            return
        self._drop(session, uri, topic)
        if session.uris is not None:
            session.uris.discard(uri)
        self._changed(session, uri, False)

    def _drop(self, session: Session, uri: str, topic: _Topic) -> None:
        del topic.holders[session]
        if not topic.holders:
            self._put_by(uri)

    def _put_by(self, uri: str) -> None:
        # The server may still report a change before it hears of the farewell; nobody else is meant then.
        self._former.pop(uri, None)
        self._former[uri] = None
        if len(self._former) > FORMER_LIMIT:
            del self._former[next(iter(self._former))]

    def restore(self, session: Session) -> list[str]:
        """Count a session in that comes back with its resources; returns those the server has to be asked for."""
        fresh = []
        for uri in sorted(session.uris or ()):
            topic = self._topics.setdefault(uri, _Topic())
            if not topic.holders:
                fresh.append(uri)
            topic.holders[session] = None
        return fresh

    def release(self, session: Session, why: GatewayError) -> None:
        """Count a session out."""
        for topic in self._topics.values():
            for call in [each for each in topic.line if each.session is session]:
                topic.line.remove(call)
                call.sink.failed(call, why)
        for uri in sorted(session.uris or ()):
            held = self._topics.get(uri)
            if held is not None and session in held.holders:
                self._drop(session, uri, held)
                # Where the server is just being asked for it, somebody else wants to hear of it.
                if not held.holders and held.asking != SUBSCRIBE:
                    self._give_up(uri)
                self._tidy(uri, held)

    def uris(self) -> list[str]:
        """The resources that somebody is subscribed to."""
        return [uri for uri, topic in self._topics.items() if topic.holders]

    def holders(self, uri: str) -> Iterable[Session]:
        """The sessions that are told of a change of this resource.

        Those subscribed to it, else those subscribed to something that contains it (a change may be reported of a
        sub-resource of what was subscribed to: MCP 2025-11-25, server/resources), else whoever is subscribed at all.
        """
        topic = self._topics.get(uri)
        if topic is not None:
            return list(topic.holders)
        if uri in self._former:
            return []
        around = [each for at, each in self._topics.items() if each.holders and uri.startswith(at)]
        chosen = around or [each for each in self._topics.values() if each.holders]
        return list(dict.fromkeys(session for each in chosen for session in each.holders))
