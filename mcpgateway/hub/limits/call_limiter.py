"""The limit of the calls of a server that are under way at once, over all its children.

# Note [Who takes a turn]
A limit counts calls of tools.  A limit for writes counts only calls of tools that may change something: a tool is
taken for one until the server has listed its tools.  Further calls wait in the queue of their session, and sessions
take turns, so that no session waits for all the calls of another.  A client that is asked a question during its call
may make further calls at once, since the answer may depend on them.

# Note [What is taken back may still work]
A call that its client has cancelled, or that has timed out, is answered, but the server may still work on it without
further output.  Its turn ends `GRACE_TICKS` later, so that the next call does not meet it at the same file; it ends at
once where the server is only watched, and was seen to write nothing.

# Note [First calls]
While a server is watched, it is not known either whether it asks its clients, and a question during calls of two
sessions cannot be assigned.  So the first call of each tool that only reads takes a turn, too, at a child whose clients
can be asked; it holds up others for `PATIENCE_TICKS` at most.

# Note [What waits for a person]
A call whose server asks its client a question may wait for hours.  While a server is only watched, and was not seen to
write, such a call holds up only calls of the same tool: these would ask as well, and a question during calls of two
sessions cannot be assigned to one of them.  At a server that is known to write, such a call keeps its turn: the server
may have read something that it is about to write back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import msgspec
from msgspec import Raw
from twisted.internet.defer import Deferred

from mcpgateway.config.model import UNLIMITED, Concurrency, ServerSpec
from mcpgateway.errors import BackendTimeout, GatewayError, Overloaded
from mcpgateway.hub.filters import SinkFilter
from mcpgateway.hub.keepalive import PROGRESS, raise_above
from mcpgateway.hub.probes.traits import all_tools, tools_in
from mcpgateway.hub.probes.writes import PATIENCE_TICKS, WriteWatch
from mcpgateway.interfaces import TIMED_OUT, Request
from mcpgateway.policy.client_requests import offers_something
from mcpgateway.policy.progress import next_value
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.versions import Era
from mcpgateway.records import Record
from mcpgateway.units import duration

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from mcpgateway.hub.sessions import Session
    from mcpgateway.hub.upstream import Upstream

WAITING_LIMIT = 2000  # calls of all sessions
QUEUE_LIMIT = 500  # of one session
GRACE_TICKS = 5  # see Note [What is taken back may still work]
SIGN_TICKS = 5  # between two progress notifications to a waiting call
NAME_CHARS = 128

Take = Callable[[Request], bool]


class Turn(SinkFilter):
    """The turn of a call that counts and is under way; its end admits the next one.

    :ivar slot: the slot whose child has the call.
    :ivar tool: the name of the tool.
    :ivar age: ticks since the call was sent.
    :ivar shown: the latest progress that the gateway sent while the call waited; None for none.
    :ivar is_asking: True once its client was asked a question; see Note [What waits for a person].
    :ivar left: ticks until the ended call counts no more; None while its client waits for it.
    """

    limiter: Limiter
    slot: Upstream
    tool: str
    shown: float | None = None
    age: int = 0
    is_asking: bool = False
    left: int | None = None

    def answered(self, request: Request, reply: Envelope) -> None:
        """Take the server's response: end the turn, and pass the response on."""
        self.limiter.over(self, has_failed="error" in reply or _says_so(reply))
        self.sink.answered(request, reply)

    def failed(self, request: Request, why: GatewayError) -> None:
        """Take the gateway's error: end the turn, after a timeout with a delay."""
        if isinstance(why, BackendTimeout):
            self.limiter.linger(self)
        elif self.left is None:
            self.limiter.over(self, has_failed=True)
        self.sink.failed(request, why)

    def progressed(self, request: Request, message: bytes) -> None:
        """Pass the server's progress on, raised above the progress that the gateway sent while the call waited."""
        raised = None
        if self.shown is not None and request.progress is not None:
            raised = raise_above(request.progress, self.shown)
        if raised is not None:
            request.progress, self.shown = raised, jsonrpc.value(raised["progress"], float)
            message = jsonrpc.encode(jsonrpc.notification(PROGRESS, raised))
        self.sink.progressed(request, message)


class QueuedCall(Record):
    """A call that waits for its turn.

    :ivar go: sends the call.
    :ivar ticks: the time for which it has waited.
    :ivar shown: the latest progress that it was sent; None for none.
    """

    slot: Upstream
    request: Request
    tool: str
    go: Callable[[], None]
    ticks: int = 0
    shown: float | None = None


class Limiter(Record):
    """The calls of one server, or of one for a workspace or a credential; see Note [Who takes a turn].

    :ivar limit: the number of calls under way at once; calls of an unlimited server do not come here.
    :ivar watch: the watch over the writing of calls, while that is not known; else None.
    :ivar called: the tools of which a call has ended; see Note [First calls].
    :ivar latest: the slot of the call that has ended last.
    :ivar waited: the number of calls that have waited.
    :ivar waited_ticks: the seconds for which they have waited, together.
    :param is_asked: returns True if the client of a session is asked a question, for which it may have to call a tool.
    :param may_move: returns True if a server may still turn out to need a child for each session.
    :param readers_in: returns the names of the tools of a list that only read.
    """

    server: ServerSpec
    _readers_in: Callable[[list[Any]], frozenset[str]]
    _is_asked: Callable[[Any], bool] = lambda _: False
    _may_move: Callable[[ServerSpec], bool] = lambda _: False
    limit: Concurrency = UNLIMITED
    watch: WriteWatch | None = None
    slots: WeakSet[Upstream] = msgspec.field(default_factory=WeakSet)
    readers: frozenset[str] | None = None
    turns: list[Turn] = msgspec.field(default_factory=list)
    called: set[str] = msgspec.field(default_factory=set)
    latest: Upstream | None = None
    waited: int = 0
    waited_ticks: int = 0
    _queues: dict[Any, deque[QueuedCall]] = msgspec.field(default_factory=dict)
    _is_asking: bool = False
    _is_advancing: bool = False

    # Calls that come

    def taker(self, slot: Upstream) -> Take:
        """Return the filter that calls of a slot's tools pass first; it returns True for a call that it has taken."""
        self.slots.add(slot)

        def take(request: Request) -> bool:
            tool = peek.text(request.message.params, "name", NAME_CHARS) or ""
            if not self._counts(slot, tool) or self._turn_of(request) is not None:
                return False
            slot.measure(request)
            if (self._queues or not self._has_room(slot, tool)) and not self._is_asked(request.session):
                self._wait(slot, request, tool)
                if any(each.is_asking for each in self.turns):
                    self.advance()  # a call before it may be of another tool
                return True
            self._begin(slot, request, tool)
            return False

        return take

    def _counts(self, slot: Upstream, tool: str) -> bool:
        if not self.limit.only_writes:
            return True
        if self.readers is None:
            self._ask(slot)
        return not self._reads(tool) or self._is_first(slot, tool)

    def _reads(self, tool: str) -> bool:
        return self.readers is not None and tool in self.readers

    def _is_first(self, slot: Upstream, tool: str) -> bool:
        is_open = self.watch is not None and tool not in self.called
        is_asked = slot.shared and slot.era is Era.LEGACY and offers_something(slot.offer)
        return is_open and is_asked and self._may_move(slot.server)

    def _has_room(self, slot: Upstream, tool: str) -> bool:
        held = [each for each in self.turns if not each.is_asking or each.tool == tool]
        # A call that only reads has nothing to do with those at other children.
        reads = self._reads(tool)
        held = [each for each in held if each.slot is slot or not (reads or self._reads(each.tool))]
        return self.limit == UNLIMITED or len(held) < self.limit.limit

    def _begin(self, slot: Upstream, request: Request, tool: str, shown: float | None = None) -> None:
        turn = Turn(request.sink, self, slot, tool, shown)
        request.sink = turn
        self.turns.append(turn)
        if self.watch is not None and not self._reads(tool):
            self.watch.begin(turn, self.pids())

    def _wait(self, slot: Upstream, request: Request, tool: str) -> None:
        session = request.session
        queue = self._queues.setdefault(getattr(session, "outer", None) or session, deque())
        if len(queue) >= QUEUE_LIMIT or self.waiting >= WAITING_LIMIT:
            request.fail(
                Overloaded(f"{self.waiting} calls wait for their turn at {self.server.name} already")
            )
            return

        def go() -> None:
            slot.enter(request)

        queue.append(QueuedCall(slot, request, tool, go))
        self.waited += 1

    # Calls that end

    def over(self, turn: Turn, *, has_failed: bool) -> None:
        """End the turn of a call, and admit the next one."""
        has_held = turn in self.turns
        if has_held:
            self.turns.remove(turn)
            self.called.add(turn.tool)
        self.latest = turn.slot
        if self.watch is not None:  # it also watches calls that hold up no other any more
            self.watch.end(turn, self.pids(), has_failed=has_failed)
        if has_held:
            self.advance()

    def asks(self, slot: Upstream) -> None:
        """Note that a child asks the client of a call; see Note [What waits for a person]."""
        watch = self.watch
        if watch is None:
            return
        for turn in self.turns:
            if turn.slot is slot and (self._reads(turn.tool) or watch.is_quiet(turn, self.pids())):
                turn.is_asking = True
        self.advance()

    def advance(self) -> None:
        """Send the calls whose turn has come."""
        # A call that fails at once lets the next go from here, not from its own stack.
        if self._is_advancing:
            return
        self._is_advancing = True
        try:
            while self._queues and (waiting := self._next()) is not None:
                waiting.go()
        finally:
            self._is_advancing = False

    def _next(self) -> QueuedCall | None:
        session = next((each for each, queue in self._queues.items() if self._may_go(queue[0])), None)
        if session is None:
            return None
        queue = self._queues.pop(session)
        waiting = queue.popleft()
        if queue:
            self._queues[session] = queue  # to the end of the line
        if self.limit != UNLIMITED and self._counts(waiting.slot, waiting.tool):
            self._begin(waiting.slot, waiting.request, waiting.tool, waiting.shown)
        return waiting

    def _may_go(self, waiting: QueuedCall) -> bool:
        # The call may also not count: it came before the tools were known.
        return self._has_room(waiting.slot, waiting.tool) or not self._counts(waiting.slot, waiting.tool)

    def withdraw(self, request: Request, reason: str) -> bool:
        """Cancel a waiting call; return False where it does not wait."""
        for session, queue in list(self._queues.items()):
            for each in queue:
                if each.request is request:
                    queue.remove(each)
                    if not queue:
                        del self._queues[session]
                    if request.meter is not None:
                        request.meter.taken_back(request, reason)
                    return True
        return False

    def leave(
        self, slot: Upstream, is_meant: Callable[[Session | None], bool] = lambda _: True
    ) -> list[QueuedCall]:
        """Remove the calls that wait for a slot's child from the queues, and return them.

        :param is_meant: returns whether the calls of a session are to be removed; by default all are.
        """
        leaving = [each for each in self.line() if each.slot is slot and is_meant(each.request.session)]
        self._queues = {
            session: deque(left)
            for session, queue in self._queues.items()
            if (left := [each for each in queue if each not in leaving])
        }
        if not any(each.slot is slot for each in self.line()):
            self.slots.discard(slot)
        return leaving

    def taken_back(self, request: Request) -> None:
        """End the turn of a cancelled call; see Note [What is taken back may still work]."""
        turn = self._turn_of(request)
        if turn is None or turn not in self.turns:
            return
        if request.number:
            self.linger(turn)
        else:
            self.over(turn, has_failed=True)

    def linger(self, turn: Turn) -> None:
        """End a turn `GRACE_TICKS` later, since the server may still work on it; at once where it wrote nothing."""
        if self.watch is not None and self.watch.is_quiet(turn, self.pids()):
            self.over(turn, has_failed=True)
        elif turn in self.turns:
            turn.left = turn.left or GRACE_TICKS

    def _turn_of(self, request: Request) -> Turn | None:
        sink = request.sink
        while sink is not None and not (isinstance(sink, Turn) and sink.limiter is self):
            sink = getattr(sink, "sink", None)
        return sink

    # Reading

    @property
    def waiting(self) -> int:
        """The number of calls that wait."""
        return sum(map(len, self._queues.values()))

    def load(self, slot: Upstream) -> int:
        """Return the number of calls that wait for a slot's child."""
        return sum(1 for _ in self.calls(slot)) if self._queues else 0

    def calls(self, slot: Upstream) -> Iterator[Request]:
        """Iterate over the calls that wait for a slot's child."""
        return (each.request for queue in self._queues.values() for each in queue if each.slot is slot)

    def line(self) -> list[QueuedCall]:
        """Return all waiting calls, each session's in order."""
        return [each for queue in self._queues.values() for each in queue]

    def pids(self) -> list[int]:
        """Return the process ids of all children."""
        return [pid for slot in self.slots for pid in slot.pids]

    def _ask(self, slot: Upstream) -> None:
        if self._is_asking:
            return
        self._is_asking = True
        Deferred.fromCoroutine(all_tools(slot.ask)).addCallback(self._told).addErrback(self._untold)

    def _told(self, pages: tuple[Raw, ...]) -> None:
        self.learn([tool for page in pages for tool in tools_in(page)])

    def _untold(self, why: Failure) -> None:
        why.trap(GatewayError)
        self._is_asking = False

    def learn(self, tools: list[Any]) -> None:
        """Take the server's list of tools."""
        self._is_asking = False
        self.readers = self._readers_in(tools)
        if self.watch is not None and all(each.get("name") in self.readers for each in tools):
            self.watch.spare()
        self.advance()

    def outdate(self) -> None:
        """Forget the server's list of tools, which has changed."""
        self.readers, self._is_asking = None, False

    # Time

    def tick(self) -> None:
        """Advance by one second: end delayed turns, and fail calls that have waited for the server's timeout."""
        for turn in list(self.turns):
            turn.age += 1
            if turn.left is not None:
                turn.left -= 1
                if turn.left <= 0:
                    self.over(turn, has_failed=True)
            elif self.watch is not None and self._lets_go(self.watch, turn):
                self.turns.remove(turn)
                self.called.add(turn.tool)
                self.advance()
        behind = 0
        for each in self.line():
            each.ticks += 1
            self.waited_ticks += 1
            limit = each.slot.server.timeout_s
            if limit and each.ticks > limit:
                self._expire(each)
                continue
            if each.request.token is not None and each.ticks % SIGN_TICKS == 1:
                self._sign(each, behind)
            behind += 1

    def _lets_go(self, watch: WriteWatch, turn: Turn) -> bool:
        if self._reads(turn.tool):
            return turn.age >= PATIENCE_TICKS
        return watch.lets_go(turn, self.pids())

    def _expire(self, waiting: QueuedCall) -> None:
        call, name = waiting.request, self.server.name
        self.withdraw(call, TIMED_OUT)
        what = f"{name} was busy with calls of others for {duration(waiting.ticks - 1)}, and this one was never sent"
        call.sink.failed(call, BackendTimeout(what))

    def _sign(self, waiting: QueuedCall, behind: int) -> None:
        call = waiting.request
        waiting.shown = next_value(None, waiting.shown)
        text = f"waits for its turn at {self.server.name}: {len(self.turns)} under way, {behind} before it"
        call.progress = {
            "progressToken": Raw(call.token or b"null"),
            "progress": jsonrpc.raw(waiting.shown),
            "message": jsonrpc.raw(text),
        }
        call.sink.progressed(call, jsonrpc.encode(jsonrpc.notification(PROGRESS, call.progress)))


def _says_so(reply: Envelope) -> bool:
    return bytes(peek.members(reply, "result").get("isError", b"")) == b"true"
