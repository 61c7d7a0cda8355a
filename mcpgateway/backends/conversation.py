"""Speak JSON-RPC with one child: requests get ids of the gateway's, answers go to the caller of their request.

# Note [A window for each session]
Most servers handle the lines of their stdin one after the other, so a client that writes a thousand calls makes all
other clients wait for them.  Of one session's calls at most `WINDOW` are sent; each answer lets the session's next call
be sent, behind the calls of other sessions: sessions take turns.

# Note [What may still ask]
No question of a legacy server names the call that it belongs to.  A cancelled or expired call is not under way any more
for its client, but the server may go on with it and ask a question for it.  So the call counts among those that a
question can belong to until the server has answered it; if it never does, as most servers, for the life of the child.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain
from time import perf_counter
from typing import Any

from msgspec import Raw
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mcpgateway.backends.awaited import SENT, AwaitedCalls, sent_calls
from mcpgateway.backends.own_question import OwnQuestion
from mcpgateway.backends.stray_lines import beginning, number_at_head
from mcpgateway.backends.tape import Tape
from mcpgateway.backends.unsent import take_unsent
from mcpgateway.errors import (
    BackendGone,
    BackendTimeout,
    BadReply,
    GatewayError,
    NotAServer,
    Overloaded,
    UnknownMethod,
)
from mcpgateway.inherited import ConversationState
from mcpgateway.interfaces import TIMED_OUT, Gone, IBackend, IConversationListener, Request
from mcpgateway.protocol import jsonrpc, legacy, modern, peek
from mcpgateway.protocol.jsonrpc import Envelope, Message, MessageKind
from mcpgateway.protocol.versions import Era, has_batches
from mcpgateway.units import duration

IN_FLIGHT_LIMIT = 10_000  # calls on one child; further calls fail instead of being queued without end
WINDOW = 64  # of those a session may have sent; see Note [A window for each session]
URGENT = frozenset(("tasks/cancel", "tasks/get", "tasks/result"))  # they end what fills a window
STANDING = frozenset(
    ("ping", modern.DISCOVER, modern.LISTEN)
)  # methods whose requests take the server no time
QUESTIONS_LIMIT = 1000  # open questions of one child that are remembered
LEFT_LIMIT = (
    1000  # cancelled calls of one child that are remembered; beyond them a question can belong to any client
)
CANCELLED = "notifications/cancelled"
GREETINGS = frozenset(("initialize", modern.DISCOVER))  # no server sends these
GARBAGE_SHOWN = 20  # such lines in a row; the following ones are not logged
GARBAGE_LIMIT = 10_000  # such lines in a row; then the child is killed, since it is no MCP server


class Conversation:
    """The requests under way on one child, each under a unique number of the gateway's.

    :param tape: recorder of the lines in both directions; None if no line is recorded.
    :ivar pending: the calls sent and not answered, oldest first.
    :ivar queued: the calls that wait, by session, until enough of the session's other calls are answered.
    :ivar sent: number of callers' requests that this child has been sent.
    :ivar answered: number of requests that this child has answered, those of the gateway's own included.
    :ivar cancelled: number of cancelled calls that the child may still be working on.
    :ivar strays: number of lines that are neither JSON-RPC nor the answer to a request.
    :ivar unasked: number of notifications of the child's, progress left out.
    :ivar questions: the ids of the child's own requests that have no answer yet.
    :ivar awaited: the calls of the former program of this process whose requests are not back.
    :ivar give_back: takes the calls that have not reached a server that has ended; None: no call is given back.
    """

    log = Logger()

    def __init__(
        self,
        server: str,
        listener: IConversationListener,
        on_gone: Callable[[Conversation, Gone], None],
        era: Era = Era.LEGACY,
        tape: Tape | None = None,
    ) -> None:
        self.server = server
        self.era = era
        self.backend: IBackend | None = None
        self.pending: dict[int, Request] = {}
        self.queued: dict[Any, deque[Request]] = {}
        # Sessions of cancelled calls, by the numbers of the calls; see Note [What may still ask].
        self._left: dict[int, Any] = {}
        self._are_all_known = True  # of those that were taken back
        self._flights: dict[Any, int] = {}  # number of pending calls, by session
        self.sent = self.answered = 0
        self.cancelled = self.strays = self.unasked = 0
        self.questions: set[bytes] = set()
        self.ended: Gone | None = None
        self.give_back: Callable[[Request], None] | None = None
        self.awaited = AwaitedCalls(())
        self._listener = listener
        self._on_gone = on_gone
        self._tape = tape
        self._track = tape.begin() if tape is not None else 0
        self._number = 0
        self._has_met = False  # the handshake is done
        self._has_batches = False
        self._garbage = 0  # lines in a row that are no messages
        self._fault = ""  # reason for which the gateway had the child killed
        self._meta: dict[str, Any] = {}  # of the gateway's own requests, in the modern era

    def handshake(self, greeting: dict[str, Any]) -> Deferred[Envelope]:
        """Send the first message, ``initialize`` or ``server/discover``; fires with the first level of the answer.

        :param greeting: the parameters of ``initialize``, or the envelope of the gateway's own requests.
        :raise GatewayError: (through the Deferred) the server refused, ended, or sent an answer that cannot be read.
        """
        if self.era is Era.MODERN:
            self._meta = {"_meta": greeting}
            return self.ask(modern.DISCOVER, {}).addCallback(modern.check_discovery)
        return self.ask("initialize", greeting).addCallback(self._welcome)

    def _welcome(self, reply: Envelope) -> Envelope:
        hello = legacy.check_hello(reply)
        self._met(hello)
        self._write(legacy.INITIALIZED)
        return hello

    def _met(self, hello: Envelope) -> None:
        self._has_met = True
        self._has_batches = has_batches(jsonrpc.read_string(hello["protocolVersion"], "protocolVersion"))

    def hand_over(self, keeps: Callable[[int], bool]) -> ConversationState:
        """Return the state for the next program of this process; answers to the gateway's own requests go astray.

        :param keeps: returns true for a call that goes on.
        """
        is_known = self._are_all_known and not self._left
        counts = (self.sent, self.answered, self.cancelled, self.strays)
        going = {number: call for number, call in self.pending.items() if keeps(number)}
        return ConversationState(self._number, *counts, is_known, sent_calls(going))

    def take_over(self, state: ConversationState, hello: Envelope, greeting: dict[str, Any]) -> None:
        """Go on where the former program of this process has ended.

        :param hello: the child's answer to that program's handshake.
        :param greeting: the same as for `handshake`.
        """
        if self.era is Era.MODERN:
            self._meta = {"_meta": greeting}
        else:
            self._met(hello)
        self.awaited = AwaitedCalls(state.calls)
        self._number, self.sent, self.answered = state.number, state.sent, state.answered
        self.cancelled, self.strays, self._are_all_known = state.cancelled, state.strays, state.is_known

    def ask(self, method: str, params: dict[str, Any]) -> Deferred[Envelope]:
        """Send a request of the gateway's own; fires with the server's response, which may be an error.

        :raise GatewayError: (through the Deferred) the request could not be sent, or the server ended.
        """
        done: Deferred[Envelope] = Deferred()
        number = self._take_number()
        sink = OwnQuestion(done)
        envelope = jsonrpc.request(number, method, self._meta | params)
        question = Message(MessageKind.REQUEST, envelope, method)
        self.pending[number] = Request(None, question, None, sink, number=number, is_verbatim=True)
        try:
            self._write(envelope)
        except GatewayError as why:
            del self.pending[number]
            done.errback(why)
        return done

    def request(self, request: Request) -> None:
        """Send a caller's request, or queue it while too many others of its session are under way.

        :raise Overloaded: too many calls are under way, or the server has stopped reading.
        :raise BackendGone: the server has just ended.
        """
        if len(self.pending) >= IN_FLIGHT_LIMIT:
            raise Overloaded(f"{self.server} already has {IN_FLIGHT_LIMIT} calls under way")
        session = request.session
        if session is None:  # one of the gateway's own
            self._send(request)
            return
        flights = self._flights.get(session, 0)
        if flights >= WINDOW and request.method not in URGENT:
            self._queue(request)
            return
        self._send(request)
        self._flights[session] = flights + 1

    def _queue(self, request: Request) -> None:
        queue = self.queued.setdefault(request.session, deque())
        if len(queue) >= IN_FLIGHT_LIMIT:
            raise Overloaded(f"{IN_FLIGHT_LIMIT} calls of this session already wait for {self.server}")
        queue.append(request)

    def _send(self, request: Request) -> None:
        if (self.awaited or request.was_sent) and self.awaited.take(request):
            self.pending[request.number] = request
            if (line := self.awaited.early(request.number)) is not None:
                self._take(line)
            return
        number = self._take_number()
        message = request.message
        jsonrpc.splice_request(message, number)
        marks = request.marks
        if marks is not None:
            marks.sent, marks.conversation = perf_counter(), self._track
            marks.sent_bytes = self._write(message.envelope)
        else:
            self._write(message.envelope)
        request.number = number
        if self.give_back is None:
            request.message = SENT
        self.pending[number] = request
        self.sent += 1

    @property
    def load(self) -> int:
        """Return the number of requests under way or waiting."""
        return len(self.pending) + sum(map(len, self.queued.values()))

    def calls(self) -> Iterator[Request]:
        """Return the sessions' calls under way or waiting; each session's calls in the order of their arrival."""
        waiting = (call for queue in self.queued.values() for call in queue)
        return (call for call in chain(self.pending.values(), waiting) if call.session is not None)

    @property
    def has_work(self) -> bool:
        """Return whether the child has unanswered requests that are expected to end."""
        return any(call.method not in STANDING for call in self.pending.values())

    def only_session(self) -> Any:
        """Return the only session whose calls may have caused a question; None if there are several, or none.

        A session that stands for many clients, such as that of modern requests, counts only with a single call.
        """
        pending = (call.session for call in self.pending.values())
        sessions = [each for each in chain(self._left.values(), pending) if each is not None]
        if not sessions or not self._are_all_known or any(each is not sessions[0] for each in sessions):
            return None
        return sessions[0] if len(sessions) == 1 or not sessions[0].stands_for_many else None

    @property
    def may_ask_for_others(self) -> bool:
        """Return whether there are cancelled calls that may still ask; see Note [What may still ask]."""
        return bool(self._left) or not self._are_all_known

    def unsent(self) -> list[Request]:
        """Remove and return the calls that wait for others of their session, and were not sent to the server yet."""
        queued, self.queued = self.queued, {}
        return [each for queue in queued.values() for each in queue]

    def _settle(self, number: int) -> Request | None:
        # Answered, cancelled or expired: the call is not under way any more.
        call = self.pending.pop(number, None)
        if call is not None and call.session is not None:
            left = self._flights.pop(call.session, 1) - 1
            if left:
                self._flights[call.session] = left
            if self.queued:
                self._let_go(call.session)
        return call

    def _let_go(self, session: Any) -> None:
        queue = self.queued.get(session)
        while queue and self._flights.get(session, 0) < WINDOW:
            call = queue.popleft()
            if not queue:
                del self.queued[session]
            try:
                self._send(call)
            except GatewayError as why:
                call.fail(why)
            else:
                self._flights[session] = self._flights.get(session, 0) + 1

    def _withdraw(self, request: Request) -> bool:
        queue = self.queued.get(request.session, ())
        if request not in queue:
            return False
        self.queued[request.session].remove(request)
        if not self.queued[request.session]:
            del self.queued[request.session]
        return True

    def notify(self, envelope: Envelope) -> None:
        """Send a notification, or a response to a server's question."""
        if self.questions and "id" in envelope:
            self.questions.discard(bytes(envelope["id"]))
        self._write(envelope)

    def reply(self, question: Envelope, value: Any) -> None:
        """Answer a server's question with a result or a `GatewayError`, unless the server is being stopped."""
        identifier = question["id"]
        self.questions.discard(bytes(identifier))
        is_refusal = isinstance(value, GatewayError)
        try:
            self._write(jsonrpc.error(identifier, value) if is_refusal else jsonrpc.result(identifier, value))
        except GatewayError as why:
            # A child that is being stopped may still ask: its stdin is closed, its stdout is not.
            self.log.debug("{server} could not be answered: {why}", server=self.server, why=why)

    def cancel(self, request: Request, reason: str) -> bool:
        """Forget a call and notify the server, whose late answer is dropped; return false if it was not under way."""
        was_queued = bool(self.queued) and self._withdraw(request)
        if not was_queued:
            if self.pending.get(request.number) is not request:
                return False  # another server's call may have the same number
            self._settle(request.number)
            self._leave(request)
        if request.meter is not None:
            request.meter.taken_back(request, reason)
        if was_queued:
            return True
        self.cancelled += 1
        try:
            params = {"requestId": request.number, "reason": reason}
            self._write(jsonrpc.notification(CANCELLED, params))
        except GatewayError:
            pass  # the server has stopped reading, or has ended
        return True

    def _leave(self, request: Request) -> None:
        if request.session is None:
            return
        if len(self._left) < LEFT_LIMIT:
            self._left[request.number] = request.session
        else:
            self._are_all_known = False

    def expire(self, ticks: float) -> None:
        """Count one tick of age for every call, and answer those older than ``ticks`` (0: no limit)."""
        self.awaited.tick()
        if not ticks:
            return
        for call in list(self.pending.values()):
            call.age += 1
            if call.method == modern.LISTEN and call.session is None:
                continue  # the gateway's own request, which may stay open, such as that of a stream
            if call.age > ticks and self.cancel(call, TIMED_OUT):
                call.sink.failed(
                    call, BackendTimeout(f"{self.server} did not answer within {duration(ticks)}")
                )

    def line_received(self, line: bytes) -> None:
        """Receive one line of the child's: a response, a notification or a question, or an array of several."""
        if self._tape is not None:
            self._tape.keep(-self._track, line)
        if self._garbage >= GARBAGE_LIMIT:
            return  # it has been killed; reading the rest of its pipe would delay other children
        try:
            members = jsonrpc.read_batch(line) if self._has_batches else None
        except GatewayError as why:
            self._garbled(line, why)
            return
        for each in members or (line,):
            self._take(each)

    def _take(self, line: bytes) -> None:
        try:
            envelope = jsonrpc.decode(line)
        except GatewayError as why:
            self._garbled(line, why)
            return
        self._garbage = 0
        if "method" in envelope:
            self._heard(envelope, line)
            return
        number = jsonrpc.integer(envelope.get("id"))
        if self.awaited and number is not None and self.awaited.holds(number, line):
            return
        call = self._settle(number) if number is not None else None
        if call is None and number is None and "error" in envelope:
            call = self._only_call(envelope)
        if call is None:
            self.strays += 1
            self._left.pop(number or 0, None)
            self.log.debug(
                "{server} has answered a request that is not open", event="reply.stray", server=self.server
            )
        elif ("result" in envelope) == ("error" in envelope):
            call.fail(BadReply(f"{self.server} answered with neither a result nor an error"))
        elif not call.is_verbatim and "result" in envelope and not jsonrpc.is_object(envelope["result"]):
            call.fail(BadReply(f"{self.server} answered with a result that is no object"))
        else:
            self.answered += 1
            self._answer(call, envelope, line)

    def _answer(self, call: Request, envelope: Envelope, line: bytes) -> None:
        marks = call.marks
        if marks is not None:
            marks.answer_bytes = len(line)
        if call.meter is not None and call.meter.answered(call, envelope, line):
            self._listener.failed(self, envelope["result"])
        if "error" in envelope:
            self._listener.refused(self, call, envelope["error"])
        call.sink.answered(call, envelope)
        if marks is not None:
            marks.delivered = perf_counter()

    def _only_call(self, envelope: Envelope) -> Request | None:
        # An error without an id belongs to a request that the server could not read: to the only one, if there is one.
        if envelope.get("id", jsonrpc.NULL) != jsonrpc.NULL or len(self.pending) != 1:
            return None
        return self._settle(next(iter(self.pending)))

    def _heard(self, envelope: Envelope, line: bytes) -> None:
        try:
            method = jsonrpc.read_string(envelope["method"], "method")
        except GatewayError as why:
            self._garbled(line, why)
            return
        if method in GREETINGS and self._comes_back(method, envelope):
            return
        if method == "notifications/progress":
            self._progressed(envelope)
        elif "id" not in envelope:
            self.unasked += 1
            if method == CANCELLED and self.questions:
                self.questions.discard(bytes(peek.members(envelope, "params").get("requestId", b"")))
            self._listener.noticed(self, method, envelope)
        elif self.era is Era.MODERN:
            self.reply(envelope, UnknownMethod(f"Method not found: {method} (servers send no requests)"))
        elif method == "ping":
            self.reply(envelope, {})
        elif not self._has_met:
            # The client has neither session id nor answer yet, and waits for both: it could not reply.
            self.reply(envelope, UnknownMethod(f"Method not found: {method} (the handshake is not over)"))
        else:
            if len(self.questions) < QUESTIONS_LIMIT:
                self.questions.add(bytes(envelope["id"]))
            self._listener.asked(self, method, envelope)

    def _comes_back(self, method: str, envelope: Envelope) -> bool:
        # The gateway's refusal of such a message would come back, too, and count as the answer.
        number = jsonrpc.integer(envelope.get("id")) or 0
        call = self.pending.get(number)
        if call is None or call.session is not None or call.method != method:
            return False
        self._settle(number)
        call.fail(NotAServer("it sends back what it is sent, so it is no MCP server"))
        return True

    def _progressed(self, envelope: Envelope) -> None:
        try:
            params = jsonrpc.read_object(envelope["params"], "params")
        except (KeyError, GatewayError):
            self.strays += 1
            return
        number = jsonrpc.integer(params.get("progressToken"))
        call = self.pending.get(number) if number is not None else None
        if call is None and number is not None:
            self._listener.progressed(self, number, params, envelope)
            return
        if call is None or call.token is None:
            self.strays += 1  # the request has no progress token
            return
        call.age = 0
        params["progressToken"] = Raw(call.token)
        call.progress = params
        envelope["params"] = Raw(jsonrpc.encode(params))
        call.sink.progressed(call, jsonrpc.encode(envelope))

    def _garbled(self, line: bytes, why: GatewayError) -> None:
        self.strays += 1
        call = self._settle(number) if (number := number_at_head(line)) is not None else None
        self._left.pop(number or 0, None)
        if call is not None:
            call.fail(BadReply(f"{self.server} sent an answer that cannot be read: {why.message}"))
            return
        self._garbage += 1
        if self._garbage <= GARBAGE_SHOWN:
            self.log.info(
                "{server} printed a line that is not JSON-RPC: {line}",
                event="child.stray_line",
                server=self.server,
                line=beginning(line),
            )
        elif self._garbage == GARBAGE_LIMIT:
            self.log.error(
                "{server} has printed {limit} lines in a row that are not JSON-RPC, and is stopped",
                event="child.garbage",
                server=self.server,
                limit=GARBAGE_LIMIT,
            )
            self.give_up(f"it printed {GARBAGE_LIMIT} lines in a row that are not JSON-RPC")

    def give_up(self, fault: str) -> None:
        """Kill the child, and keep the reason for the error of its callers."""
        self._fault = fault
        if self.backend is not None:
            self.backend.kill()

    def line_overflowed(self, head: bytes, limit: int) -> None:
        """The child wrote more than ``limit`` bytes without a newline; it is being killed."""
        self.log.error(
            "{server} wrote more than {limit} bytes without a newline and is stopped",
            event="child.line_too_long",
            server=self.server,
            limit=limit,
        )
        self._fault = f"it wrote more than {limit} bytes without a newline"
        call = self._settle(number) if (number := number_at_head(head)) is not None else None
        if call is not None:
            call.fail(BadReply(f"{self.server} sent an answer of more than {limit} bytes"))

    def gone(self, why: Gone) -> None:
        """Answer every call under way with an error; no call that was sent is sent again."""
        if self._fault:
            why = replace(why, fault=self._fault)
        self.ended = why
        unsent = take_unsent(self.pending, why.unsent) if self.give_back is not None else []
        waiting = [*self.pending.values(), *chain.from_iterable(self.queued.values())]
        self.pending, self.queued, self._flights = {}, {}, {}
        self._on_gone(self, why)
        for call in unsent:
            self.give_back(call)  # type: ignore[misc]  # only then are there any
        for call in waiting:
            call.fail(BackendGone(f"{self.server} ended before it answered ({why})", why.last_words))

    def _take_number(self) -> int:
        self._number += 1
        return self._number

    def _write(self, envelope: Envelope) -> int:
        if self.backend is None or self.ended is not None:
            raise BackendGone(f"{self.server} is not running")
        line = jsonrpc.line(envelope)
        if self._tape is not None:
            self._tape.keep(self._track, line)
        # A busy child gets the messages of a whole turn in one write; an idle child gets its only message at once.
        self.backend.write(line, now=not self.pending)
        return len(line)
