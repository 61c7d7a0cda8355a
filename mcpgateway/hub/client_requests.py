"""What servers ask their clients, and the way back of the answers.

A question gets a number of the gateway's own, and only the session that was asked can answer it.  Nobody waits without
end: a client that cannot be reached, or does not answer, is given up (`UNHEARD_TICKS`, `UNANSWERED_TICKS`).
"""

from __future__ import annotations

import secrets
from collections.abc import Hashable
from itertools import count
from typing import Any

from attrs import define
from msgspec import Raw
from twisted.logger import Logger

from mcpgateway.errors import BackendTimeout, ClientGone, GatewayError, Overloaded
from mcpgateway.hub.sessions import Session
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope, Message

LIMIT = 100  # of one session at a time
FIRST_LIMIT = 2**30  # some clients read a number into 32 bits
UNHEARD_TICKS = 60  # until the client opens a stream on which it can be asked
UNANSWERED_TICKS = 3600  # a human may have to decide
_TOKEN = "progressToken"  # noqa: S105 - the name of a member


@define(eq=False)
class ClientQuestion:
    """One question under way.

    :ivar slot: whose child asks.
    :ivar backend: the conversation it is asked in; a later child of the slot knows nothing of it.
    :ivar child_id: the question's id on the child's wire.
    :ivar session: whose client is asked.
    :ivar at: that client's session at the server itself; another where it uses a view of all servers.
    :ivar call: the call it belongs to, where that is known; it is asked on that call's stream, and outlives the child.
    :ivar token: the child's own progress token, where the client of a view of all servers was given another.
    """

    number: int
    slot: Any
    backend: Any
    child_id: Raw
    session: Session
    at: Session
    method: str
    call: Request | None = None
    token: Raw | None = None
    is_heard: bool = False
    ticks: int = 0

    @property
    def key(self) -> Hashable:
        """What it waits under in the mailbox of its session."""
        return "question", self.number


class Questions:
    """The questions of all servers, by the number their clients know them under."""

    log = Logger()

    def __init__(self) -> None:
        self._asked: dict[int, ClientQuestion] = {}
        # Sessions outlive the gateway: a late answer to what it asked in a former life must meet no question of this.
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
        call: Request | None = None,
    ) -> None:
        """Ask a session's client.

        :param call: the call it belongs to, where that is known.
        :raise Overloaded: it has too many questions before it.
        :raise ClientGone: nobody can be asked now, or later.
        """
        at, session = session, session.outer or session
        if sum(1 for each in self._asked.values() if each.session is session) >= LIMIT:
            raise Overloaded(f"the client already has {LIMIT} questions to answer")
        number = next(self._numbers)
        question = ClientQuestion(number, slot, backend, message["id"], session, at, method, call)
        self._asked[number] = question
        if at is not session and call is None:
            message = _with_own_token(question, message)
        question.is_heard = self._say(question, jsonrpc.splice_id(dict(message), b"%d" % number))
        # A session of the gateway's own can only be asked about its calls: nobody will ever listen for it.
        if not question.is_heard and session.issued is None and session.mailbox.withdraw(question.key):
            del self._asked[number]
            raise ClientGone(f"nobody can be asked {method} now")

    def _say(self, question: ClientQuestion, message: bytes) -> bool:
        # On the stream of the call it belongs to, or most likely does; else on the session's own.
        session = question.session
        call = question.call or question.slot.newest_calls().get(question.at)
        if call is not None and call.sink.noticed(call, message):
            return True
        session.mailbox.put(message, question.key, lambda: self._lost(question))
        return question.key not in session.mailbox

    def _lost(self, question: ClientQuestion) -> None:
        if self._asked.pop(question.number, None) is not None:
            self._refuse(
                question, Overloaded("the client does not listen, and too many messages wait for it")
            )

    def answered(self, session: Session, message: Message) -> bool:
        """Take an answer; false when nobody asked this session."""
        question = self._asked.get(jsonrpc.integer(Raw(message.id)) or 0)
        if question is None or question.session is not session:
            return False
        del self._asked[question.number]
        self._tell(question, message.envelope | {"id": question.child_id})
        return True

    def cancelled(self, backend: Any, child_id: Raw, message: Envelope, params: Envelope) -> None:
        """A server takes its question back."""
        for question in list(self._asked.values()):
            if question.backend is backend and jsonrpc.same_identifier(
                bytes(question.child_id), bytes(child_id)
            ):
                params["requestId"] = jsonrpc.raw(question.number)
                message["params"] = jsonrpc.raw(params)
                self._take_back(question, jsonrpc.encode(message))

    def _take_back(self, question: ClientQuestion, message: bytes) -> None:
        del self._asked[question.number]
        if not question.session.mailbox.withdraw(question.key):
            self._say(question, message)

    def _call_off(self, question: ClientQuestion, reason: str) -> None:
        params = {"requestId": question.number, "reason": reason}
        self._take_back(question, jsonrpc.encode(jsonrpc.notification("notifications/cancelled", params)))

    def called_off(self, backend: Any, reason: str) -> None:
        """Nobody waits any more for the answers to what was asked in a conversation."""
        for question in [each for each in self._asked.values() if each.backend is backend]:
            self._call_off(question, reason)

    def owns_token(self, session: Session) -> bool:
        """Whether a session has a question before it, so that it may report progress."""
        return any(session in (each.session, each.at) for each in self._asked.values())

    def is_asked(self, session: Session) -> bool:
        """Whether a question is before a session's client, in this session or in that of its view.

        Where a session stands for many clients it is not known which of them is asked.
        """
        return not session.stands_for_many and any(
            self.owns_token(each) for each in (session, session.outer) if each is not None
        )

    def progressed(self, session: Session, message: Message) -> None:
        """Bring a client's progress to the one server, of all those of its view, whose question it is about."""
        params = message.params or {}
        question = self._asked.get(jsonrpc.integer(params.get(_TOKEN)) or 0)
        if question is None or question.session is not session or question.token is None:
            return
        said = jsonrpc.raw(params | {_TOKEN: question.token})
        self._tell(question, message.envelope | {"params": said})

    def session_ended(self, session: Session) -> None:
        """Answer in the place of a client that has gone."""
        for question in [each for each in self._asked.values() if session in (each.session, each.at)]:
            self._stand_in(question)

    def give_up(self, session: Session, number: int) -> None:
        """Answer one question in the place of a client that will not."""
        question = self._asked.get(number)
        if question is not None and question.session is session:
            self._stand_in(question)

    def _stand_in(self, question: ClientQuestion) -> None:
        del self._asked[question.number]
        if question.method == "elicitation/create":
            self._tell(question, jsonrpc.result(question.child_id, {"action": "cancel"}))
        else:
            self._refuse(question, ClientGone("the client has disconnected"))

    def backend_ended(self, slot: Any) -> None:
        """Take back the questions of a child that has gone."""
        for question in [each for each in self._asked.values() if each.slot is slot and each.call is None]:
            self._call_off(question, "the server has ended")

    def tick(self) -> None:
        """A second has passed: give up clients that do not answer."""
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


def _with_own_token(question: ClientQuestion, message: Envelope) -> Envelope:
    # Several servers may use the same token; the question's number is nobody else's.
    params = peek.members(message, "params")
    meta = peek.members(params, "_meta")
    question.token = meta.get(_TOKEN)
    if question.token is None:
        return message
    meta[_TOKEN] = jsonrpc.raw(question.number)
    return message | {"params": jsonrpc.raw(params | {"_meta": jsonrpc.raw(meta)})}
