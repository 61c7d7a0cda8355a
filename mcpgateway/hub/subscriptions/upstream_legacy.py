"""The subscriptions of sessions to resources of one child: one subscription upstream, shared by all of them.

# Note [One at a time]
For each resource the requests of all clients wait in one queue.  The first subscription and the last unsubscription go
to the server, and requests behind them wait for the outcome; the gateway answers all others.  After a refusal the next
request is sent to the server; after a failure, all waiting requests fail at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.bounded import Bounded
from mcpgateway.errors import BackendGone, GatewayError, Overloaded
from mcpgateway.hub.filters import SinkFilter
from mcpgateway.hub.sessions import Session
from mcpgateway.interfaces import Request
from mcpgateway.policy import routing
from mcpgateway.protocol import jsonrpc, legacy
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.records import Record

SUBSCRIBE, UNSUBSCRIBE = "resources/subscribe", "resources/unsubscribe"
TOPICS_LIMIT = 10_000  # resources of one child
URIS_LIMIT = 1000  # resources of one session
FORMER_LIMIT = 1000  # resources without a subscription any more
PORTION = 100  # resources that a new child is asked for at a time, so that its stdin holds the requests


class _Topic(Record):
    """One resource, its subscribers and the requests for it.

    :ivar holders: the subscribed sessions; a dict for its order.
    :ivar line: the requests that wait for their turn.
    :ivar asking: the request that is at the server; None while there is none.
    """

    uri: str
    holders: dict[Session, None] = msgspec.field(default_factory=dict)
    line: deque[Request] = msgspec.field(default_factory=deque)
    asking: Request | None = None

    def calls(self) -> list[Request]:
        """Return the requests for it, the oldest first."""
        asking = [self.asking] if self.asking is not None else []
        return asking + list(self.line)

    def wants(self) -> bool:
        """True if a request to subscribe to it is at the server."""
        return self.asking is not None and self.asking.method == SUBSCRIBE


class _Turn(SinkFilter):
    """The sink of the request that is at the server; after its outcome the next one's turn comes."""

    subscriptions: Subscriptions
    topic: _Topic

    def answered(self, request: Request, reply: Envelope) -> None:
        """Take the server's answer."""
        self.subscriptions.answered(self, request, reply)

    def failed(self, request: Request, why: GatewayError) -> None:
        """Take the failure to ask the server."""
        self.subscriptions.failed(self, request, why)


class Subscriptions:
    """The subscriptions of one slot.

    :param ask: sends a client's request to the server.
    :param give_up: unsubscribes from a resource without subscribers, where the server still has the subscription.
    :param changed: called with every session that has gained (True) or lost (False) a resource.
    """

    def __init__(
        self,
        ask: Callable[[Request], None],
        give_up: Callable[[str], None],
        changed: Callable[[Session, str, bool], None],
    ) -> None:
        self._ask = ask
        self._give_up = give_up
        self._changed = changed
        self._topics: dict[str, _Topic] = {}
        self._former: Bounded[str, None] = Bounded(FORMER_LIMIT)
        self._standing: dict[Request, _Topic] = {}  # the requests that wait for their turn

    def __len__(self) -> int:
        return sum(1 for topic in self._topics.values() if topic.holders)

    def submit(self, request: Request, uri: str) -> None:
        """Take a client's request to subscribe or unsubscribe; its sink gets the outcome.

        :raise Overloaded: the session has `URIS_LIMIT` subscriptions, or the child `TOPICS_LIMIT` resources.
        """
        topic, uris = self._topics.get(uri), request.session.uris or ()
        is_one_more = request.method == SUBSCRIBE and uri not in uris
        if (is_one_more and len(uris) >= URIS_LIMIT) or (topic is None and len(self._topics) >= TOPICS_LIMIT):
            raise Overloaded("there are too many subscriptions")
        if topic is None:
            topic = self._topics[uri] = _Topic(uri)
        topic.line.append(request)
        self._standing[request] = topic
        self._advance(topic)

    def waiting(self) -> Iterable[Request]:
        """Return the requests whose turn has not come, the oldest first."""
        return self._standing

    def withdraw(self, request: Request) -> bool:
        """Cancel a waiting request; return False when it does not wait."""
        topic = self._standing.pop(request, None)
        if topic is None:
            return False
        topic.line = deque(each for each in topic.line if each is not request)
        self._tidy(topic)
        return True

    def cancelled(self, request: Request) -> None:
        """End the turn of a request that was cancelled at the server, and begin the next one's."""
        turn = request.sink
        if not isinstance(turn, _Turn):
            return
        topic = turn.topic
        self._over(turn, request)
        self._advance(topic)
        # The server may have carried out a subscription already, or not carried out an unsubscription.
        if not topic.holders and topic.asking is None:
            self._put_by(topic.uri)
            self._give_up(topic.uri)

    def _advance(self, topic: _Topic) -> None:
        while topic.line and topic.asking is None:
            call = topic.line.popleft()
            del self._standing[call]
            if not self._settle(call, topic):
                topic.asking = call
                call.sink = _Turn(call.sink, self, topic)
                self._ask(call)
        self._tidy(topic)

    def _tidy(self, topic: _Topic) -> None:
        if not topic.line and not topic.holders and topic.asking is None:
            self._topics.pop(topic.uri, None)

    def _settle(self, request: Request, topic: _Topic) -> bool:
        # Requests that the server need not see are answered here.
        session: Session = request.session
        if request.method == SUBSCRIBE:
            if not topic.holders:
                return False
            self._join(session, topic)
        else:
            self._leave(session, topic)
            if not topic.holders:
                return False
        request.sink.answered(request, jsonrpc.result(jsonrpc.NULL, {}))
        return True

    def answered(self, turn: _Turn, request: Request, reply: Envelope) -> None:
        """Take the server's answer to the request at the server."""
        self._over(turn, request)
        if request.method == SUBSCRIBE and "result" in reply:
            self._join(request.session, turn.topic)
        request.sink.answered(request, reply)
        self._advance(turn.topic)

    def failed(self, turn: _Turn, request: Request, why: GatewayError) -> None:
        """Take the failure to ask the server, for all requests that wait."""
        self._over(turn, request)
        # The requests behind would only start the server again, one after the other.
        waiting, turn.topic.line = turn.topic.line, deque()
        for each in waiting:
            del self._standing[each]
        if request.method == SUBSCRIBE:
            self._put_by(turn.topic.uri)  # a slow server may still carry it out
        for late in (request, *waiting):
            late.sink.failed(late, why)
        self._advance(turn.topic)

    def _over(self, turn: _Turn, request: Request) -> None:
        turn.topic.asking = None
        request.sink = turn.sink

    def _join(self, session: Session, topic: _Topic) -> None:
        if session in topic.holders or not session.id:
            return
        topic.holders[session] = None
        if session.uris is None:
            session.uris = set()
        session.uris.add(topic.uri)
        self._changed(session, topic.uri, True)

    def _leave(self, session: Session, topic: _Topic) -> None:
        if session not in topic.holders:
            return
        self._drop(session, topic)
        if session.uris is not None:
            session.uris.discard(topic.uri)
        self._changed(session, topic.uri, False)

    def _drop(self, session: Session, topic: _Topic) -> None:
        del topic.holders[session]
        if not topic.holders:
            self._put_by(topic.uri)

    def _put_by(self, uri: str) -> None:
        # The server may still report a change before it has read the unsubscription; that is for no other session.
        self._former.pop(uri, None)
        self._former[uri] = None

    def restore(self, session: Session) -> list[str]:
        """Add a session that comes back with its resources; return those that the server has to be asked for."""
        fresh = []
        for uri in sorted(session.uris or ()):
            topic = self._topics.setdefault(uri, _Topic(uri))
            if not topic.holders:
                fresh.append(uri)
            topic.holders[session] = None
        return fresh

    def release(self, session: Session) -> None:
        """Remove a session, whose calls have been cancelled."""
        for uri in sorted(session.uris or ()):
            held = self._topics.get(uri)
            if held is not None and session in held.holders:
                self._drop(session, held)
                # Where a request to subscribe is at the server, another session wants the resource.
                if not held.holders and not held.wants():
                    self._give_up(uri)
                self._tidy(held)

    def uris(self) -> list[str]:
        """Return the resources with subscribed sessions."""
        return [uri for uri, topic in self._topics.items() if topic.holders]

    def holders(self, uri: str) -> Iterable[Session]:
        """Return the sessions that get the notification of a change of this resource.

        These are the sessions subscribed to it and those about to be (a server may report before it answers), else
        sessions subscribed to a resource that contains it (a server may report a change of a sub-resource of a
        subscribed resource: MCP 2025-11-25, server/resources), else all subscribed sessions.
        """
        topic = self._topics.get(uri)
        if topic is not None:
            coming = [call.session for call in topic.calls() if call.method == SUBSCRIBE]
            return [each for each in dict.fromkeys([*topic.holders, *coming]) if each.id]
        if uri in self._former:
            return []
        around = [each for at, each in self._topics.items() if each.holders and routing.is_part(uri, at)]
        chosen = around or [each for each in self._topics.values() if each.holders]
        return list(dict.fromkeys(session for each in chosen for session in each.holders))

    def is_held(self, uri: str) -> bool:
        """True if a session is subscribed to a resource."""
        topic = self._topics.get(uri)
        return topic is not None and bool(topic.holders)


class Restoration:
    """The subscription of a new child to the resources of the sessions that it serves, a portion at a time.

    :param server: the server's name, for the log.
    :param ask: sends a request to the child.
    :param is_held: returns True if a session is still subscribed to a resource.
    """

    log = Logger()

    def __init__(
        self,
        server: str,
        ask: Callable[[str, dict[str, Any]], Deferred[Envelope]],
        is_held: Callable[[str], bool],
    ) -> None:
        self._server = server
        self._ask = ask
        self._is_held = is_held
        self._queue: deque[str] = deque()
        self._under_way = 0
        self._is_full = False  # the child reads too slowly

    def add(self, uris: Iterable[str]) -> None:
        """Add resources to the queue."""
        self._queue.extend(uris)
        self._go_on()

    def tick(self) -> None:
        """Advance by one second: try again to write to the child."""
        self._is_full = False
        self._go_on()

    def _go_on(self) -> None:
        while self._queue and self._under_way < PORTION and not self._is_full:
            uri = self._queue.popleft()
            if self._is_held(uri):
                self._under_way += 1
                asked = self._ask(SUBSCRIBE, {"uri": uri})
                asked.addCallback(self._answered, uri).addErrback(self._failed, uri)

    def _answered(self, reply: Envelope, uri: str) -> None:
        self._under_way -= 1
        if "error" in reply:
            self._lost(uri, GatewayError(legacy.error_text(reply["error"])))
        self._go_on()

    def _failed(self, why: Failure, uri: str) -> None:
        why.trap(GatewayError)
        self._under_way -= 1
        match why.value:
            case Overloaded():
                self._is_full = True
                self._queue.appendleft(uri)
            case BackendGone():
                self._queue.clear()  # its successor is asked again
            case GatewayError() as error:
                self._lost(uri, error)
                self._go_on()

    def _lost(self, uri: str, why: GatewayError) -> None:
        self.log.info(
            "{server} refuses a renewed subscription to {uri}: {why}",
            event="subscription.lost",
            server=self._server,
            uri=uri,
            why=why,
        )
