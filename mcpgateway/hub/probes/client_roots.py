"""The roots of sessions at servers that depend on them (`mcpgateway.hub.pool.Pool.goes_by_roots`).

# Note [When a client is asked]
A client is asked for its roots on the stream of its first request to such a server, and the request waits for the
answer, for `ANSWER_TICKS` at most.  After a change of its roots the client is asked again before its next request.  The
roots are in no record: a session that is restored, by this gateway or by another node, is asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.errors import GatewayError, Overloaded
from mcpgateway.hub.client_requests import GATEWAY_ASKER, OwnAsker, Questions
from mcpgateway.hub.pool import Pool
from mcpgateway.hub.sessions import Session
from mcpgateway.interfaces import Request
from mcpgateway.policy.client_requests import ROOTS, UNDECLARED, DeclaredRoots, roots_in
from mcpgateway.protocol import jsonrpc
from mcpgateway.records import Record

ANSWER_TICKS = 10
WAITING_LIMIT = 1000  # requests of one client


class _RootsQuestion(Record):
    """A client that was asked for its roots.

    :ivar requests: the requests that wait for the answer.
    :ivar ticks: ticks since the question.
    :ivar is_outdated: True if the roots have changed since.
    """

    requests: list[Request] = msgspec.field(default_factory=list)
    ticks: int = 0
    is_outdated: bool = False


class ClientRoots:
    """Asks clients for their roots, and holds their requests until then; see Note [When a client is asked].

    :param submit: takes a request whose session has its place now.
    """

    log = Logger()

    def __init__(self, pool: Pool, questions: Questions, submit: Callable[[Request], None]) -> None:
        self._pool = pool
        self._questions = questions
        self._submit = submit
        self._open: dict[Session, _RootsQuestion] = {}

    def holds(self, request: Request) -> bool:
        """Hold a request of a session whose roots count and are unknown; false if it can be sent.

        :raise Overloaded: too many requests of the client wait already.
        """
        session: Session = request.session
        if not session.awaits_roots:
            return False
        client = session.outer or session
        if client.roots is not None:
            self._pool.place_anew(session)
            return False
        question = self._open.get(client)
        if question is not None and len(question.requests) >= WAITING_LIMIT:
            raise Overloaded(f"{WAITING_LIMIT} requests wait for the roots of their client already")
        request.holder = self
        if question is not None and question.ticks <= ANSWER_TICKS:
            question.requests.append(request)
        else:
            self._ask(client, [request])
        return True

    def changed(self, session: Session) -> None:
        """Take the news that the roots of a client have changed: its sessions go elsewhere with their next requests."""
        client = session.outer or session
        client.roots = None
        if client in self._open:
            self._open[client].is_outdated = True
        for each in _sessions_of(client):
            if each.slot is not None and self._pool.goes_by_roots(each.server):
                self._pool.place_anew(each)

    def _ask(self, client: Session, requests: list[Request]) -> None:
        question = self._open[client] = _RootsQuestion(requests)
        first = requests[0]
        asker = OwnAsker(Deferred())
        told: Deferred[DeclaredRoots] = asker.done.addCallbacks(roots_in, self._refused)
        told.addCallback(self._told, client, question).addErrback(self._broken)
        try:
            self._questions.ask(
                GATEWAY_ASKER, asker, first.session, ROOTS, jsonrpc.request(0, ROOTS, {}), first
            )
        except GatewayError:
            self._told(UNDECLARED, client, question)

    def _refused(self, why: Failure) -> DeclaredRoots:
        why.trap(GatewayError)
        return UNDECLARED

    def _broken(self, why: Failure) -> None:
        self.log.failure("roots could not be used", why, event="roots.broken")

    def _told(self, roots: DeclaredRoots, client: Session, question: _RootsQuestion) -> None:
        if self._open.get(client) is not question:
            return  # an older question, which was answered after all
        del self._open[client]
        requests, question.requests = question.requests, []
        if question.is_outdated:
            waiting = [each for each in requests if not each.sink.is_gone]
            if waiting:
                self._ask(client, waiting)
            return
        is_late = question.ticks > ANSWER_TICKS
        if client.roots != roots:
            client.roots = roots
            for each in _sessions_of(client):
                if each.awaits_roots or (is_late and self._pool.goes_by_roots(each.server)):
                    self._place(each)
        self._let_go(requests)

    def _place(self, session: Session) -> None:
        try:
            self._pool.place_anew(session)
        except GatewayError as why:
            self.log.debug("a session has no place: {why}", event="roots.no_place", why=why)

    def _let_go(self, requests: list[Request]) -> None:
        for each in requests:
            try:
                self._submit(each)
            except GatewayError as why:
                each.fail(why)

    def tick(self) -> None:
        """Count one second: go on without the roots of clients that do not tell them, until they do."""
        for client, question in list(self._open.items()):
            question.ticks += 1
            if question.ticks == ANSWER_TICKS + 1:
                client.roots = UNDECLARED
                requests, question.requests = question.requests, []
                self._let_go(requests)

    # The requests that wait

    def calls(self) -> list[Request]:
        """Return the requests that wait."""
        return [each for question in self._open.values() for each in question.requests]

    def withdraw(self, request: Request, reason: str) -> bool:
        """Take a waiting request back; false if it does not wait."""
        for question in self._open.values():
            if request in question.requests:
                question.requests.remove(request)
                return True
        return False


def _sessions_of(client: Session) -> Iterator[Session]:
    yield client
    if client.members is not None:
        yield from list(client.members.sessions.values())
