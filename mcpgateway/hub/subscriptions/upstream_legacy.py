"""Which sessions of one child are subscribed to which resources: one subscription upstream, however many share it.

# Note [One at a time]
For each resource the requests of all clients stand in one line.  The first subscription and the last farewell are
brought to the server, and whoever stands behind them waits for the outcome; everything between is answered here.  A
server that refuses one may agree to the next; one that cannot be asked at all is asked once for all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.bounded import Bounded
from mcpgateway.errors import BackendGone, GatewayError, Overloaded
from mcpgateway.hub.filters import Between
from mcpgateway.hub.sessions import Session
from mcpgateway.interfaces import Request
from mcpgateway.policy import routing
from mcpgateway.protocol import jsonrpc, legacy
from mcpgateway.protocol.jsonrpc import Envelope

SUBSCRIBE, UNSUBSCRIBE = "resources/subscribe", "resources/unsubscribe"
TOPICS_LIMIT = 10_000  # resources of one child
URIS_LIMIT = 1000  # resources of one session
FORMER_LIMIT = 1000  # resources that nobody is subscribed to any more
PORTION = 100  # resources a new child is asked for at a time; all of them may be more than its stdin holds


@define(eq=False)
class _Topic:
    """One resource.

    :ivar holders: the sessions that are told of its changes; a dict for its order.
    :ivar line: the requests that wait for their turn.
    :ivar asking: the call that has been brought to the server; None while there is none.
    """

    uri: str
    holders: dict[Session, None] = field(factory=dict)
    line: deque[Request] = field(factory=deque)
    asking: Request | None = None

    def calls(self) -> list[Request]:
        """All that is asked for it, oldest first."""
        asking = [self.asking] if self.asking is not None else []
        return asking + list(self.line)

    def wants(self) -> bool:
        """Whether the server is being asked to report it."""
        return self.asking is not None and self.asking.method == SUBSCRIBE


@define(eq=False)
class _Turn(Between):
    """Sees what becomes of the call that has been brought to the server; the next one's turn comes after it."""

    subscriptions: Subscriptions
    topic: _Topic

    def answered(self, call: Request, reply: Envelope) -> None:
        """The server agrees, or refuses."""
        self.subscriptions.answered(self, call, reply)

    def failed(self, call: Request, why: GatewayError) -> None:
        """The server cannot be asked."""
        self.subscriptions.failed(self, call, why)


class Subscriptions:
    """The subscriptions of one slot.

    :ivar ask: brings a client's request to the server.
    :ivar give_up: tells the server, where it still matters, that nobody is left who wants to hear of a resource.
    :ivar changed: told of every session that gained (true) or lost (false) a resource.
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
        self._standing: dict[Request, _Topic] = {}  # those that wait for their turn

    def __len__(self) -> int:
        return sum(1 for topic in self._topics.values() if topic.holders)

    def submit(self, call: Request, uri: str) -> None:
        """Take a client's request, either kind; its sink hears the outcome.

        :raise Overloaded: there are too many subscriptions.
        """
        topic, uris = self._topics.get(uri), call.session.uris or ()
        is_one_more = call.method == SUBSCRIBE and uri not in uris
        if (is_one_more and len(uris) >= URIS_LIMIT) or (topic is None and len(self._topics) >= TOPICS_LIMIT):
            raise Overloaded("there are too many subscriptions")
        if topic is None:
            topic = self._topics[uri] = _Topic(uri)
        topic.line.append(call)
        self._standing[call] = topic
        self._advance(topic)

    def waiting(self) -> Iterable[Request]:
        """The calls whose turn has not come, oldest first."""
        return self._standing

    def withdraw(self, call: Request) -> bool:
        """Take a call out of its line; false when it does not stand in any."""
        topic = self._standing.pop(call, None)
        if topic is None:
            return False
        topic.line = deque(each for each in topic.line if each is not call)
        self._tidy(topic)
        return True

    def cancelled(self, call: Request) -> None:
        """Nobody waits for a call's answer any more, and the server has been told; whoever stands behind it is next."""
        turn = call.sink
        if not isinstance(turn, _Turn):
            return
        topic = turn.topic
        self._over(turn, call)
        self._advance(topic)
        # It may have agreed to a subscription already, or not to a farewell.
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

    def _settle(self, call: Request, topic: _Topic) -> bool:
        # What the server need not be asked about.
        session: Session = call.session
        if call.method == SUBSCRIBE:
            if not topic.holders:
                return False
            self._join(session, topic)
        else:
            self._leave(session, topic)
            if not topic.holders:
                return False
        call.sink.answered(call, jsonrpc.result(jsonrpc.NULL, {}))
        return True

    def answered(self, turn: _Turn, call: Request, reply: Envelope) -> None:
        """The server has answered the call whose turn it was."""
        self._over(turn, call)
        if call.method == SUBSCRIBE and "result" in reply:
            self._join(call.session, turn.topic)
        call.sink.answered(call, reply)
        self._advance(turn.topic)

    def failed(self, turn: _Turn, call: Request, why: GatewayError) -> None:
        """The server cannot be asked."""
        self._over(turn, call)
        # Whoever stands behind would only start the server again, one after the other.
        waiting, turn.topic.line = turn.topic.line, deque()
        for each in waiting:
            del self._standing[each]
        if call.method == SUBSCRIBE:
            self._put_by(turn.topic.uri)  # it may agree after all, as one that was too slow
        for late in (call, *waiting):
            late.sink.failed(late, why)
        self._advance(turn.topic)

    def _over(self, turn: _Turn, call: Request) -> None:
        turn.topic.asking = None
        call.sink = turn.sink

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
        # The server may still report a change before it hears of the farewell; nobody else is meant then.
        self._former.pop(uri, None)
        self._former[uri] = None

    def restore(self, session: Session) -> list[str]:
        """Count a session in that comes back with its resources; returns those the server has to be asked for."""
        fresh = []
        for uri in sorted(session.uris or ()):
            topic = self._topics.setdefault(uri, _Topic(uri))
            if not topic.holders:
                fresh.append(uri)
            topic.holders[session] = None
        return fresh

    def release(self, session: Session) -> None:
        """Count a session out; its calls have been cancelled."""
        for uri in sorted(session.uris or ()):
            held = self._topics.get(uri)
            if held is not None and session in held.holders:
                self._drop(session, held)
                # Where the server is just being asked for it, somebody else wants to hear of it.
                if not held.holders and not held.wants():
                    self._give_up(uri)
                self._tidy(held)

    def uris(self) -> list[str]:
        """The resources that somebody is subscribed to."""
        return [uri for uri, topic in self._topics.items() if topic.holders]

    def holders(self, uri: str) -> Iterable[Session]:
        """The sessions that are told of a change of this resource.

        Those subscribed to it and those who are about to be (a server may report before it answers), else those
        subscribed to something that contains it (a change may be reported of a sub-resource of what was subscribed to:
        MCP 2025-11-25, server/resources), else whoever is subscribed at all.
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
        """Whether somebody is subscribed to a resource."""
        topic = self._topics.get(uri)
        return topic is not None and bool(topic.holders)


class Restoration:
    """Asks one child, a portion at a time, for what sessions have brought with them.

    :param server: is named in the log.
    :param ask: asks the child.
    :param is_held: whether a session is still subscribed to a resource.
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
        self._is_full = False  # the child does not read as fast as it is written to

    def add(self, uris: Iterable[str]) -> None:
        """Ask for these too, in their turn."""
        self._queue.extend(uris)
        self._go_on()

    def tick(self) -> None:
        """A second has passed: the child may have read on."""
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
                self._queue.clear()  # its successor is asked for everything anew
            case GatewayError() as error:
                self._lost(uri, error)
                self._go_on()

    def _lost(self, uri: str, why: GatewayError) -> None:
        self.log.info(
            "{server} does not take the subscription to {uri} again: {why}",
            event="subscription.lost",
            server=self._server,
            uri=uri,
            why=why,
        )
