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
from mcpgateway.errors import BackendGone, GatewayError, InvalidParams, Overloaded
from mcpgateway.hub.filters import SinkFilter
from mcpgateway.hub.sessions import Session
from mcpgateway.hub.subscriptions.interest import NOTHING, URIS_LIMIT, Interest
from mcpgateway.hub.subscriptions.registry import SubscriberRegistry
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc, legacy, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.records import Record

SUBSCRIBE, UNSUBSCRIBE = "resources/subscribe", "resources/unsubscribe"
TOPICS_LIMIT = 10_000  # resources of one child
FORMER_LIMIT = 1000  # resources without a subscription any more
PORTION = 100  # resources that a new child is asked for at a time, so that its stdin holds the requests


def subscribed_uri(request: Request) -> str:
    """Return the resource of a session's request to subscribe or unsubscribe.

    :raise InvalidParams: the request has no session, or names no resource.
    """
    if not request.session.id:
        raise InvalidParams("Invalid params: a subscription needs a session; send initialize first")
    uri = peek.text(request.message.params, "uri", jsonrpc.URI_LIMIT)
    if uri is None:
        raise InvalidParams('Invalid params: "uri" must be a string')
    return uri


class _Queue(Record):
    """The requests for one resource.

    :ivar line: the requests that wait for their turn.
    :ivar asking: the request that is at the server; None while there is none.
    """

    uri: str
    line: deque[Request] = msgspec.field(default_factory=deque)
    asking: Request | None = None

    def subscribing(self) -> list[Session]:
        """Return the sessions that are about to subscribe to it."""
        requests = [self.asking, *self.line] if self.asking is not None else self.line
        return [each.session for each in requests if each.method == SUBSCRIBE and each.session.id]


class _Turn(SinkFilter):
    """The sink of the request that is at the server; after its outcome the next one's turn comes."""

    subscriptions: Subscriptions
    queue: _Queue

    def answered(self, request: Request, reply: Envelope) -> None:
        """Take the server's answer."""
        self.subscriptions.answered(self, request, reply)

    def failed(self, request: Request, why: GatewayError) -> None:
        """Take the failure to ask the server."""
        self.subscriptions.failed(self, request, why)


class Subscriptions:
    """The subscriptions of the sessions of one slot.

    :param ask: sends a client's request to the server.
    :param give_up: unsubscribes from a resource without subscribers, where the server still has the subscription.
    :param changed: called with every session that has gained (True) or lost (False) a resource.
    :ivar subscribers: the subscribed sessions, each with its resources.
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
        self.subscribers: SubscriberRegistry[Session] = SubscriberRegistry()
        self._queues: dict[str, _Queue] = {}
        self._former: Bounded[str, None] = Bounded(FORMER_LIMIT)
        self._standing: dict[Request, _Queue] = {}  # the requests that wait for their turn

    def __len__(self) -> int:
        return len(self.subscribers.uris)

    def submit(self, request: Request, uri: str) -> None:
        """Take a client's request to subscribe or unsubscribe; its sink gets the outcome.

        :raise Overloaded: the session has `URIS_LIMIT` subscriptions, or the child `TOPICS_LIMIT` resources.
        """
        held, uris = self.subscribers.uris, request.session.uris or ()
        is_one_more = request.method == SUBSCRIBE and uri not in uris
        is_new = uri not in held and uri not in self._queues
        is_full = len(held) + len(self._queues) >= TOPICS_LIMIT
        if (is_one_more and len(uris) >= URIS_LIMIT) or (is_new and is_full):
            raise Overloaded("there are too many subscriptions")
        queue = self._queues.setdefault(uri, _Queue(uri))
        queue.line.append(request)
        self._standing[request] = queue
        self._advance(queue)

    def waiting(self) -> Iterable[Request]:
        """Return the requests whose turn has not come, the oldest first."""
        return self._standing

    def withdraw(self, request: Request) -> bool:
        """Cancel a waiting request; return False when it does not wait."""
        queue = self._standing.pop(request, None)
        if queue is None:
            return False
        queue.line.remove(request)
        self._tidy(queue)
        return True

    def cancelled(self, request: Request) -> None:
        """End the turn of a request that was cancelled at the server, and begin the next one's."""
        turn = request.sink
        if not isinstance(turn, _Turn):
            return
        queue = turn.queue
        self._over(turn, request)
        self._advance(queue)
        # The server may have carried out a subscription already, or not carried out an unsubscription.
        if not self.is_held(queue.uri) and queue.asking is None:
            self._put_by(queue.uri)
            self._give_up(queue.uri)

    def _advance(self, queue: _Queue) -> None:
        while queue.line and queue.asking is None:
            call = queue.line.popleft()
            del self._standing[call]
            if not self._settle(call, queue.uri):
                queue.asking = call
                call.sink = _Turn(call.sink, self, queue)
                self._ask(call)
        self._tidy(queue)

    def _tidy(self, queue: _Queue) -> None:
        if not queue.line and queue.asking is None and self._queues.get(queue.uri) is queue:
            del self._queues[queue.uri]

    def _settle(self, request: Request, uri: str) -> bool:
        # Requests that the server need not see are answered here.
        if request.method == UNSUBSCRIBE:
            self._leave(request.session, uri)
        if not self.is_held(uri):
            return False
        if request.method == SUBSCRIBE:
            self._join(request.session, uri)
        request.sink.answered(request, jsonrpc.result(jsonrpc.NULL, {}))
        return True

    def answered(self, turn: _Turn, request: Request, reply: Envelope) -> None:
        """Take the server's answer to the request at the server."""
        self._over(turn, request)
        if request.method == SUBSCRIBE and "result" in reply:
            self._join(request.session, turn.queue.uri)
        request.sink.answered(request, reply)
        self._advance(turn.queue)

    def failed(self, turn: _Turn, request: Request, why: GatewayError) -> None:
        """Take the failure to ask the server, for all requests that wait."""
        self._over(turn, request)
        # The requests behind would only start the server again, one after the other.
        waiting, turn.queue.line = turn.queue.line, deque()
        for each in waiting:
            del self._standing[each]
        if request.method == SUBSCRIBE:
            self._put_by(turn.queue.uri)  # a slow server may still carry it out
        for late in (request, *waiting):
            late.sink.failed(late, why)
        self._advance(turn.queue)

    def _over(self, turn: _Turn, request: Request) -> None:
        turn.queue.asking = None
        request.sink = turn.sink

    def _join(self, session: Session, uri: str) -> None:
        if session.id and session not in self.subscribers.uris.get(uri, ()):
            session.subscribe(uri)
            self._file(session)
            self._changed(session, uri, True)

    def _leave(self, session: Session, uri: str) -> None:
        if session in self.subscribers.uris.get(uri, ()):
            session.unsubscribe(uri)
            self._file(session)
            if not self.is_held(uri):
                self._put_by(uri)
            self._changed(session, uri, False)

    def _file(self, session: Session) -> None:
        if session.uris:
            self.subscribers.put(session, Interest(uris=frozenset(session.uris)))
        else:
            self.subscribers.remove(session)

    def _put_by(self, uri: str) -> None:
        # The server may still report a change before it has read the unsubscription; that is for no other session.
        self._former.pop(uri, None)
        self._former[uri] = None

    def restore(self, session: Session) -> list[str]:
        """Add a session that comes back with its resources; return those that the server has to be asked for."""
        fresh = [uri for uri in sorted(session.uris or ()) if not self.is_held(uri)]
        self._file(session)
        return fresh

    def release(self, session: Session) -> None:
        """Remove a session, whose calls have been cancelled."""
        held = self.subscribers.interests.get(session, NOTHING).uris
        self.subscribers.remove(session)
        for uri in sorted(each for each in held if not self.is_held(each)):
            self._put_by(uri)
            # Where a request to subscribe is at the server, another session wants the resource.
            queue = self._queues.get(uri)
            if queue is None or queue.asking is None or queue.asking.method != SUBSCRIBE:
                self._give_up(uri)

    def uris(self) -> list[str]:
        """Return the resources with subscribed sessions."""
        return list(self.subscribers.uris)

    def holders(self, uri: str) -> Iterable[Session]:
        """Return the sessions that get the notification of a change of this resource.

        These are the sessions subscribed to it and those about to be (a server may report before it answers), else
        sessions subscribed to a resource that contains it (a server may report a change of a sub-resource of a
        subscribed resource: MCP 2025-11-25, server/resources), else all subscribed sessions.
        """
        held, queue = self.subscribers.uris.get(uri, ()), self._queues.get(uri)
        if held or queue is not None:
            return list(dict.fromkeys([*held, *(queue.subscribing() if queue is not None else ())]))
        if uri in self._former:
            return []
        return self.subscribers.around(uri) or list(self.subscribers.interests)

    def is_held(self, uri: str) -> bool:
        """True if a session is subscribed to a resource."""
        return uri in self.subscribers.uris


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
