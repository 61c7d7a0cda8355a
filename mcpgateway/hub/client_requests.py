"""The questions of servers to their clients, and the answers on their way back.

A question gets a number of the gateway's own, and only the session that was asked can answer it.  A server does not
wait without end: a client that cannot be reached, or does not answer, is given up (`UNHEARD_TICKS`,
`UNANSWERED_TICKS`).
"""

from __future__ import annotations

import secrets
from collections.abc import Hashable
from itertools import count
from time import perf_counter
from typing import Any

from msgspec import Raw
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mcpgateway.errors import BackendTimeout, ClientGone, GatewayError, Overloaded, QuestionRefused
from mcpgateway.hub.sessions import Session
from mcpgateway.interfaces import QuestionMarks, Request
from mcpgateway.protocol import jsonrpc, legacy, peek
from mcpgateway.protocol.jsonrpc import Envelope, Message
from mcpgateway.records import FrozenRecord, Record

LIMIT = 100  # of one session at a time
FIRST_LIMIT = 2**30  # some clients read a number into 32 bits
UNHEARD_TICKS = 60  # until the client opens a stream for the question
UNANSWERED_TICKS = 3600  # the time that a human may take to decide
_TOKEN = "progressToken"  # noqa: S105 - the name of a member


class ClientQuestion(Record):
    """One question under way.

    :ivar number: the id of the question on the client's connection.
    :ivar slot: the slot whose child asks.
    :ivar backend: the conversation of that child; a later child of the slot does not know the question.
    :ivar child_id: the id of the question on the child's connection.
    :ivar session: the session whose client is asked.
    :ivar at: that client's session at the server: a member session, if the client uses a view; else the same.
    :ivar request: the call that the question belongs to, if known; the question goes on its stream, and outlives the
        child.
    :ivar token: the child's own progress token, if the client of a view was given another one.
    :ivar is_heard: true if the question was sent to the client.
    :ivar ticks: ticks since the question was asked or sent.
    :ivar marks: its times, among those of the call that it belongs to; None if nobody wants them.
    """

    number: int
    slot: Any
    backend: Any
    child_id: Raw
    session: Session
    at: Session
    method: str
    request: Request | None = None
    token: Raw | None = None
    is_heard: bool = False
    ticks: int = 0
    marks: QuestionMarks | None = None

    @property
    def key(self) -> Hashable:
        """The key of the question in its session's mailbox."""
        return "question", self.number


class Questions:
    """The questions of all servers, by the numbers that their clients know."""

    log = Logger()

    def __init__(self) -> None:
        self._asked: dict[int, ClientQuestion] = {}
        # Sessions outlive the gateway: a late answer to a question of a former run must match no question of this one.
        self._numbers = count(1 + secrets.randbelow(FIRST_LIMIT))

    def __len__(self) -> int:
        return len(self._asked)

    def ask(
        self,
        slot: Any,
        backend: Any,
        session: Session,
        method: str,
        message: Envelope,
        request: Request | None = None,
    ) -> None:
        """Ask a session's client.

        :param request: the request that the question belongs to, if known.
        :raise Overloaded: the client has too many unanswered questions.
        :raise ClientGone: the client cannot be asked now, or later.
        """
        at, session = session, session.outer or session
        if sum(1 for each in self._asked.values() if each.session is session) >= LIMIT:
            raise Overloaded(f"the client already has {LIMIT} questions to answer")
        number = next(self._numbers)
        question = ClientQuestion(number, slot, backend, message["id"], session, at, method, request)
        self._asked[number] = question
        _mark(question)
        if at is not session and request is None:
            message = _with_own_token(question, message)
        question.is_heard = self._say(question, jsonrpc.splice_id(dict(message), b"%d" % number))
        # A session of the gateway's own can only be asked about its calls: it never has a standing stream.
        if not question.is_heard and session.issued is None and session.mailbox.withdraw(question.key):
            self._end(question)
            raise ClientGone(f"nobody can be asked {method} now")

    def _say(self, question: ClientQuestion, message: bytes) -> bool:
        # On the stream of the call that it belongs to, or most likely belongs to; else on the session's standing
        # stream.
        session = question.session
        call = question.request or question.slot.newest_calls().get(question.at)
        if call is not None and call.sink.noticed(call, message):
            return True
        session.mailbox.put(message, question.key, lambda: self._lost(question))
        return question.key not in session.mailbox

    def _lost(self, question: ClientQuestion) -> None:
        if question.number in self._asked:
            self._end(question)
            self._refuse(
                question, Overloaded("the client does not listen, and too many messages wait for it")
            )

    def of(self, backend: Any) -> list[ClientQuestion]:
        """Return the questions of a conversation."""
        return [each for each in self._asked.values() if each.backend is backend]

    def restore(self, question: ClientQuestion) -> None:
        """Take a question that the former program of this process has asked."""
        self._asked[question.number] = question

    def answered(self, session: Session, message: Message) -> bool:
        """Pass a client's response on to the child; false if this session has no such question."""
        question = self._asked.get(jsonrpc.integer(Raw(message.id)) or 0)
        if question is None or question.session is not session:
            return False
        self._end(question)
        self._tell(question, message.envelope | {"id": question.child_id})
        return True

    def cancelled(self, backend: Any, child_id: Raw, message: Envelope, params: Envelope) -> None:
        """Take back a question that its server cancels."""
        for question in list(self._asked.values()):
            if question.backend is backend and jsonrpc.same_identifier(
                bytes(question.child_id), bytes(child_id)
            ):
                params["requestId"] = jsonrpc.raw(question.number)
                message["params"] = jsonrpc.raw(params)
                self._take_back(question, jsonrpc.encode(message))

    def _take_back(self, question: ClientQuestion, message: bytes) -> None:
        self._end(question)
        if not question.session.mailbox.withdraw(question.key):
            self._say(question, message)

    def _call_off(self, question: ClientQuestion, reason: str) -> None:
        params = {"requestId": question.number, "reason": reason}
        self._take_back(question, jsonrpc.encode(jsonrpc.notification("notifications/cancelled", params)))

    def called_off(self, backend: Any, reason: str) -> None:
        """Take back the questions of a conversation whose answers are not needed any more."""
        for question in self.of(backend):
            self._call_off(question, reason)

    def owns_token(self, session: Session) -> bool:
        """True if a session has a question to answer, so that it may report progress."""
        return any(session in (each.session, each.at) for each in self._asked.values())

    def is_asked(self, session: Session) -> bool:
        """True if a session's client has a question to answer, in this session or in that of its view.

        It is false for a session that stands for several clients, because the asked one is unknown.
        """
        return not session.stands_for_many and any(
            self.owns_token(each) for each in (session, session.outer) if each is not None
        )

    def progressed(self, session: Session, message: Message) -> None:
        """Pass a view's client's progress on to the server whose question it names."""
        params = message.params or {}
        question = self._asked.get(jsonrpc.integer(params.get(_TOKEN)) or 0)
        if question is None or question.session is not session or question.token is None:
            return
        own_params = jsonrpc.raw(params | {_TOKEN: question.token})
        self._tell(question, message.envelope | {"params": own_params})

    def session_ended(self, session: Session) -> None:
        """Answer the questions of a client whose session has ended."""
        for question in [each for each in self._asked.values() if session in (each.session, each.at)]:
            self._stand_in(question)

    def give_up(self, session: Session, number: int) -> None:
        """Answer one question in place of a client that does not."""
        question = self._asked.get(number)
        if question is not None and question.session is session:
            self._stand_in(question)

    def _end(self, question: ClientQuestion) -> None:
        del self._asked[question.number]
        if question.marks is not None:
            question.marks.ended = perf_counter()

    def _stand_in(self, question: ClientQuestion) -> None:
        self._end(question)
        if question.method == "elicitation/create":
            self._tell(question, jsonrpc.result(question.child_id, {"action": "cancel"}))
        else:
            self._refuse(question, ClientGone("the client has disconnected"))

    def backend_ended(self, slot: Any) -> None:
        """Take back the questions of a child that has ended."""
        for question in [each for each in self._asked.values() if each.slot is slot and each.request is None]:
            self._call_off(question, "the server has ended")

    def tick(self) -> None:
        """Count one second, and give up the clients that do not answer."""
        for question in list(self._asked.values()):
            session = question.session
            if not question.is_heard and session.has_stream and question.key not in session.mailbox:
                question.is_heard, question.ticks = True, 0
            question.ticks += 1
            if question.ticks > (UNANSWERED_TICKS if question.is_heard else UNHEARD_TICKS):
                self._call_off(question, "timed out")
                self._refuse(question, BackendTimeout("the client did not answer in time"))

    def _refuse(self, question: ClientQuestion, why: GatewayError) -> None:
        self._tell(question, jsonrpc.error(question.child_id, why))

    def _tell(self, question: ClientQuestion, reply: Envelope) -> None:
        try:
            question.backend.notify(reply)
        except GatewayError as why:
            self.log.debug("{server} could not be answered: {why}", server=question.slot.server.name, why=why)


class _GatewayName(FrozenRecord, frozen=True):
    name: str = "mcpgateway"


class _GatewayAsker(FrozenRecord, frozen=True):
    """The asker in a question of the gateway's, in the place of a server."""

    server: _GatewayName = _GatewayName()

    def newest_calls(self) -> dict[Session, Request]:
        """Return no calls."""
        return {}


GATEWAY_ASKER = _GatewayAsker()


class OwnAsker(FrozenRecord, frozen=True):
    """Takes the answer to a question, in the place of a conversation."""

    done: Deferred[dict[str, Any]]

    def notify(self, reply: Envelope) -> None:
        """Take the client's answer, or its error."""
        if "error" in reply:
            self.done.errback(QuestionRefused(GatewayError.code, legacy.error_text(reply["error"])))
        else:
            self.done.callback(peek.mapping(reply, "result"))


def _mark(question: ClientQuestion) -> None:
    # A question that names no call belongs most likely to the newest one of its session.
    call = question.request or question.slot.newest_calls().get(question.at)
    if call is not None and call.marks is not None:
        question.marks = QuestionMarks(question.method, bytes(question.child_id), perf_counter())
        call.marks.questions = [*(call.marks.questions or ()), question.marks]


def _with_own_token(question: ClientQuestion, message: Envelope) -> Envelope:
    # Several servers may use the same token; the question's number is unique.
    params = peek.members(message, "params")
    meta = peek.members(params, "_meta")
    question.token = meta.get(_TOKEN)
    if question.token is None:
        return message
    meta[_TOKEN] = jsonrpc.raw(question.number)
    return message | {"params": jsonrpc.raw(params | {"_meta": jsonrpc.raw(meta)})}
