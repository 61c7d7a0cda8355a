"""How many calls of a server are under way at once, whichever of its children they go to.

# Note [Who takes a turn]
A limit counts calls of tools.  One that is for writes only counts those of tools that may change something: a tool is
taken for one until the server has said which tools it has.  Calls that come while as many are under way as may be wait
in the queue of their session, and sessions take turns, so that nobody waits for all that another has sent.  A client
that is asked something in the middle of its call does not wait for itself.

# Note [What is taken back may still work]
A call that its client has taken back, or that has had its time, is answered, but the server may still be at it and say
nothing more.  Its turn ends a little later, so that the next call does not meet it at the same file; at once where the
server is only watched, and was seen to write nothing.

# Note [What waits for a person]
A call whose server asks its client something may wait for hours.  While a server is only watched, and was not seen to
write, such a call keeps nobody waiting but calls of the same tool: these would ask as well, and of a question that
comes while calls of two sessions are under way nobody could tell whose it is.  At a server that is known to write it
keeps its turn: nothing tells what it has read and is about to write back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from attrs import define, field
from msgspec import Raw
from twisted.internet.defer import Deferred

from mcpgateway.config.model import UNLIMITED, Concurrency, ServerSpec
from mcpgateway.errors import BackendTimeout, GatewayError, Overloaded
from mcpgateway.hub.filters import Between
from mcpgateway.hub.keepalive import PROGRESS, raise_above
from mcpgateway.hub.probes.traits import all_tools, tools_in
from mcpgateway.hub.probes.writes import WriteWatch
from mcpgateway.interfaces import TIMED_OUT, Request
from mcpgateway.policy.progress import next_value
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from mcpgateway.hub.upstream import Upstream

WAITING_LIMIT = 2000  # calls of all sessions
QUEUE_LIMIT = 500  # of one session
GRACE_TICKS = 5  # see Note [What is taken back may still work]
SIGN_TICKS = 5  # between two words of progress to a call that waits
NAME_CHARS = 128

Take = Callable[[Request], bool]


@define(eq=False)
class Turn(Between):
    """A call that counts and is under way; its end lets the next one go.

    :ivar slot: whose child has it.
    :ivar tool: what it calls.
    :ivar age: ticks since it was sent.
    :ivar shown: the latest progress that it was told while it waited; None where it was told none.
    :ivar is_asking: its client is, or was, asked something; see Note [What waits for a person].
    :ivar left: ticks until it counts no more, though the server may still be at it; None while somebody waits for it.
    """

    limiter: Limiter
    slot: Upstream
    tool: str
    shown: float | None = None
    age: int = 0
    is_asking: bool = False
    left: int | None = None

    def answered(self, call: Request, reply: Envelope) -> None:
        """The server's own response."""
        self.limiter.over(self, has_failed="error" in reply or _says_so(reply))
        self.sink.answered(call, reply)

    def failed(self, call: Request, why: GatewayError) -> None:
        """The gateway answers in the server's place."""
        if isinstance(why, BackendTimeout):
            self.limiter.linger(self)
        elif self.left is None:
            self.limiter.over(self, has_failed=True)
        self.sink.failed(call, why)

    def progressed(self, call: Request, message: bytes) -> None:
        """The server's own progress, above what the call was told while it waited."""
        raised = None
        if self.shown is not None and call.progress is not None:
            raised = raise_above(call.progress, self.shown)
        if raised is not None:
            call.progress, self.shown = raised, jsonrpc.value(raised["progress"], float)
            message = jsonrpc.encode(jsonrpc.notification(PROGRESS, raised))
        self.sink.progressed(call, message)


@define(eq=False)
class Waiting:
    """A call whose turn has not come.

    :ivar go: sends it.
    :ivar ticks: for how long it has waited.
    """

    slot: Upstream
    call: Request
    tool: str
    go: Callable[[], None] = field(repr=False)
    ticks: int = 0
    shown: float | None = None


@define(eq=False)
class Limiter:
    """The calls of one server, or of one for a workspace or a credential; see Note [Who takes a turn].

    :ivar limit: how many are under way at once; what is unlimited is not brought here.
    :ivar watch: looks at what calls write, while that is not known.
    :ivar latest: where the call went that has ended last.
    :ivar waited: how many calls have waited.
    :ivar waited_ticks: for how many seconds, together.
    :param is_asked: whether a session's client is asked something, which it may have to call a tool for.
    :param readers: tells from a list of tools which of them only read.
    """

    server: ServerSpec
    _readers_in: Callable[[list[Any]], frozenset[str]]
    _is_asked: Callable[[Any], bool] = lambda _: False
    limit: Concurrency = UNLIMITED
    watch: WriteWatch | None = None
    slots: WeakSet[Upstream] = field(factory=WeakSet)
    readers: frozenset[str] | None = None
    turns: list[Turn] = field(factory=list)
    latest: Upstream | None = None
    waited: int = 0
    waited_ticks: int = 0
    _queues: dict[Any, deque[Waiting]] = field(factory=dict)
    _is_asking: bool = False
    _is_advancing: bool = False

    # What comes

    def taker(self, slot: Upstream, inner: Take | None) -> Take:
        """Who looks at the calls of a slot's tools first.

        :param inner: who looks at them next.
        """
        self.slots.add(slot)

        def take(call: Request) -> bool:
            tool = peek.text(call.message.params, "name", NAME_CHARS) or ""
            if not self._counts(slot, tool) or self._turn_of(call) is not None:
                return inner is not None and inner(call)
            slot.measure(call)
            if (self._queues or not self._has_room(tool)) and not self._is_asked(call.session):
                self._wait(slot, call, tool, inner)
                if any(each.is_asking for each in self.turns):
                    self.advance()  # what waits before it may be of another tool
                return True
            self._begin(slot, call, tool)
            return inner is not None and inner(call)

        return take

    def _counts(self, slot: Upstream, tool: str) -> bool:
        if not self.limit.only_writes:
            return True
        if self.readers is None:
            self._ask(slot)
        return self.readers is None or tool not in self.readers

    def _has_room(self, tool: str) -> bool:
        held = [each for each in self.turns if not each.is_asking or each.tool == tool]
        return self.limit == UNLIMITED or len(held) < self.limit.limit

    def _begin(self, slot: Upstream, call: Request, tool: str, shown: float | None = None) -> None:
        turn = Turn(call.sink, self, slot, tool, shown)
        call.sink = turn
        self.turns.append(turn)
        if self.watch is not None:
            self.watch.begin(turn, self.pids())

    def _wait(self, slot: Upstream, call: Request, tool: str, inner: Take | None) -> None:
        session = call.session
        queue = self._queues.setdefault(getattr(session, "outer", None) or session, deque())
        if len(queue) >= QUEUE_LIMIT or self.waiting >= WAITING_LIMIT:
            call.fail(Overloaded(f"{self.waiting} calls wait for their turn at {self.server.name} already"))
            return

        def go() -> None:
            if inner is None or not inner(call):
                slot.enter(call)

        queue.append(Waiting(slot, call, tool, go))
        self.waited += 1

    # What goes

    def over(self, turn: Turn, *, has_failed: bool) -> None:
        """A call has ended: the next one may go."""
        has_held = turn in self.turns
        if has_held:
            self.turns.remove(turn)
        self.latest = turn.slot
        if self.watch is not None:  # it looks at those, too, that keep nobody waiting any more
            self.watch.end(turn, self.pids(), has_failed=has_failed)
        if has_held:
            self.advance()

    def asks(self, slot: Upstream) -> None:
        """A child asks the client of its calls something; see Note [What waits for a person]."""
        watch = self.watch
        if watch is None:
            return
        for turn in self.turns:
            if turn.slot is slot and watch.is_quiet(turn, self.pids()):
                turn.is_asking = True
        self.advance()

    def advance(self) -> None:
        """Let go those whose turn it is."""
        # A call that fails at once lets the next go from here, not from its own stack.
        if self._is_advancing:
            return
        self._is_advancing = True
        try:
            while self._queues and (waiting := self._next()) is not None:
                waiting.go()
        finally:
            self._is_advancing = False

    def _next(self) -> Waiting | None:
        session = next((each for each, queue in self._queues.items() if self._may_go(queue[0])), None)
        if session is None:
            return None
        queue = self._queues.pop(session)
        waiting = queue.popleft()
        if queue:
            self._queues[session] = queue  # to the end of the line
        if self.limit != UNLIMITED and self._counts(waiting.slot, waiting.tool):
            self._begin(waiting.slot, waiting.call, waiting.tool, waiting.shown)
        return waiting

    def _may_go(self, waiting: Waiting) -> bool:
        # Or it does not count after all; it came before that was known.
        return self._has_room(waiting.tool) or not self._counts(waiting.slot, waiting.tool)

    def withdraw(self, call: Request, reason: str) -> bool:
        """Take a call back that waits; false where it does not."""
        for session, queue in list(self._queues.items()):
            for each in queue:
                if each.call is call:
                    queue.remove(each)
                    if not queue:
                        del self._queues[session]
                    if call.meter is not None:
                        call.meter.taken_back(call, reason)
                    return True
        return False

    def leave(self, slot: Upstream) -> list[Waiting]:
        """Let go of the calls that wait to be sent to a slot's child, and return them."""
        leaving = [each for each in self.line() if each.slot is slot]
        self._queues = {
            session: deque(left)
            for session, queue in self._queues.items()
            if (left := [each for each in queue if each.slot is not slot])
        }
        self.slots.discard(slot)
        return leaving

    def taken_back(self, call: Request) -> None:
        """A call is taken back; see Note [What is taken back may still work]."""
        turn = self._turn_of(call)
        if turn is None or turn not in self.turns:
            return
        if call.number:
            self.linger(turn)
        else:
            self.over(turn, has_failed=True)

    def linger(self, turn: Turn) -> None:
        """Nobody waits for a call any more, at which the server may still be; not so where it has written nothing."""
        if self.watch is not None and self.watch.is_quiet(turn, self.pids()):
            self.over(turn, has_failed=True)
        elif turn in self.turns:
            turn.left = turn.left or GRACE_TICKS

    def _turn_of(self, call: Request) -> Turn | None:
        sink = call.sink
        while sink is not None and not (isinstance(sink, Turn) and sink.limiter is self):
            sink = getattr(sink, "sink", None)
        return sink

    # What is known

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return sum(map(len, self._queues.values()))

    def load(self, slot: Upstream) -> int:
        """How many calls wait to be sent to a slot's child."""
        return sum(1 for _ in self.calls(slot)) if self._queues else 0

    def calls(self, slot: Upstream) -> Iterator[Request]:
        """The calls that wait to be sent to a slot's child."""
        return (each.call for queue in self._queues.values() for each in queue if each.slot is slot)

    def line(self) -> list[Waiting]:
        """All that wait, each session's in order."""
        return [each for queue in self._queues.values() for each in queue]

    def pids(self) -> list[int]:
        """The processes of all children."""
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
        """The server lists these tools."""
        self._is_asking = False
        self.readers = self._readers_in(tools)
        if self.watch is not None and all(each.get("name") in self.readers for each in tools):
            self.watch.spare()
        self.advance()

    def outdate(self) -> None:
        """What tools the server has may be another question now."""
        self.readers, self._is_asking = None, False

    # Time

    def tick(self) -> None:
        """A second has passed."""
        for turn in list(self.turns):
            turn.age += 1
            if turn.left is not None:
                turn.left -= 1
                if turn.left <= 0:
                    self.over(turn, has_failed=True)
            elif self.watch is not None and self.watch.lets_go(turn, self.pids()):
                self.turns.remove(turn)
                self.advance()
        behind = 0
        for each in self.line():
            each.ticks += 1
            self.waited_ticks += 1
            limit = self.server.timeout_s
            if limit and each.ticks > limit:
                self._expire(each)
                continue
            if each.call.token is not None and each.ticks % SIGN_TICKS == 1:
                self._sign(each, behind)
            behind += 1

    def _expire(self, waiting: Waiting) -> None:
        call, name = waiting.call, self.server.name
        self.withdraw(call, TIMED_OUT)
        what = f"{name} was busy with calls of others for {waiting.ticks - 1} s, and this one was never sent"
        call.sink.failed(call, BackendTimeout(what))

    def _sign(self, waiting: Waiting, behind: int) -> None:
        call = waiting.call
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
