"""Asks clients to send their users to a sign-in that a server wants first (URL elicitation).

    client                                 is asked by                  and hears afterwards
    legacy, 2025-11-25, elicitation.url    error -32042                 notifications/elicitation/complete
    modern, elicitation.url                a result that asks           its next request is answered
    any other                              the text of the error, and the member ``url`` of its data

A modern client comes back as soon as its user has been shown the page, which is before the sign-in is done.  Its next
request waits for that, for a while.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import GatewayError, NeedsLogin, SignInElicited
from mcpgateway.hub.caller import Caller
from mcpgateway.hub.filters import Between
from mcpgateway.hub.sessions import Session, Sessions
from mcpgateway.interfaces import Request
from mcpgateway.policy.client_requests import shows_urls
from mcpgateway.policy.ownership import owner_of
from mcpgateway.protocol import jsonrpc, modern, peek
from mcpgateway.protocol.jsonrpc import Message
from mcpgateway.protocol.versions import LATEST_LEGACY

METHODS = frozenset(("tools/call", "prompts/get", "resources/read"))
"""The requests whose answer may ask something first, in both eras."""

COMPLETE = "notifications/elicitation/complete"
SENT_LIMIT = 1000  # sessions that are to hear of the end of a sign-in
WAITING_LIMIT = 100  # requests that wait for one
WAIT_S = 50.0  # common clients give a request up after 60 s
QUESTION = "mcpgateway.sign-in"
"""The key of the question that modern clients are asked."""


def sends_users(version: str, capabilities: dict[str, Any]) -> bool:
    """Whether a legacy client of a revision, with these capabilities, sends its user to a URL when it is asked to."""
    return version == LATEST_LEGACY and shows_urls(capabilities)


@define(eq=False)
class SendingAway:
    """Asks them, and says when it is done."""

    _sessions: Sessions = field(repr=False)
    _clock: IReactorTime = field(repr=False)
    _sent: dict[tuple[str, bytes], str] = field(factory=dict, init=False, repr=False)
    _waiting: list[tuple[str, str, Deferred[None]]] = field(factory=list, init=False, repr=False)

    def attend(self, call: Request) -> None:
        """A legacy client, which sends its user to URLs, has made a call."""
        if call.method in METHODS:
            call.sends_user = True
            call.sink = _Elicited(call.sink, self)

    def attend_modern(self, call: Request, again: Callable[[Request], None]) -> None:
        """A modern client, which sends its user to URLs, has made a request.

        What the request brings of a sign-in is taken out of it.

        :param again: brings it on its way once more.
        """
        if call.method not in METHODS:
            return
        action = _taken(call.message)
        if action is None and "requestState" in (call.message.params or {}):
            return  # an answer of ours would take the place of the server's question, and its state be lost
        if action in (None, "accept"):
            call.sends_user = True
            call.sink = _Asked(
                call.sink, self, call.message, call.caller, again, has_agreed=action is not None
            )

    def sent(self, session: Session, why: NeedsLogin) -> SignInElicited:
        """What a client is told whose user is to sign in; it hears of the end of that."""
        identifier = hashlib.sha256(why.url.encode()).hexdigest()[:32]
        if session.id:
            self._sent[why.server, session.id] = identifier
            if len(self._sent) > SENT_LIMIT:
                del self._sent[next(iter(self._sent))]
        return SignInElicited(why, identifier)

    def until_done(self, why: NeedsLogin, principal: str) -> Deferred[None] | None:
        """Fires when a sign-in is done, or after a while; None where too many wait for one."""
        if len(self._waiting) >= WAITING_LIMIT:
            return None
        done: Deferred[None] = Deferred()
        waiting = (why.server, principal, done)
        self._waiting.append(waiting)
        done.addTimeout(WAIT_S, self._clock)
        return done.addBoth(self._waited, waiting)

    def _waited(self, _: object, waiting: tuple[str, str, Deferred[None]]) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)

    def done(self, server: ServerSpec, owner: str) -> None:
        """An owner has signed in at a server."""
        for name, identifier in [each for each in self._sent if each[0] == server.name]:
            session = self._sessions.named(identifier)
            if session is not None and owner_of(session.principal, server) != owner:
                continue
            said = {"elicitationId": self._sent.pop((name, identifier))}
            if session is not None:
                session.mailbox.put(jsonrpc.encode(jsonrpc.notification(COMPLETE, said)))
        for name, principal, done in list(self._waiting):
            if name == server.name and owner_of(principal, server) == owner:
                done.callback(None)


@define(eq=False)
class _Elicited(Between):
    """Waits for the answer to a legacy client's call."""

    away: SendingAway

    def failed(self, call: Request, why: GatewayError) -> None:
        """There is none."""
        call.sink = self.sink
        self.sink.failed(call, self.away.sent(call.session, why) if isinstance(why, NeedsLogin) else why)


@define(eq=False)
class _Asked(Between):
    """Waits for the answer to a modern client's request.

    :ivar has_agreed: its user has been sent to the sign-in already.
    """

    away: SendingAway
    message: Message
    caller: Caller
    again: Callable[[Request], None]
    has_agreed: bool

    def failed(self, call: Request, why: GatewayError) -> None:
        """There is none."""
        call.sink = self.sink
        if not isinstance(why, NeedsLogin):
            self.sink.failed(call, why)
            return
        if not self.has_agreed:
            self.sink.answered(call, jsonrpc.result(jsonrpc.NULL, _question(why)))
            return
        done = self.away.until_done(why, self.caller.principal)
        if done is None:
            self.sink.failed(call, why)
        else:
            done.addCallback(lambda _: self._go_on(call))

    def _go_on(self, call: Request) -> None:
        call.sends_user = False  # it was asked once
        if not self.sink.is_gone:
            call.message, call.caller = self.message, self.caller
            self.again(call)


def _question(why: NeedsLogin) -> dict[str, Any]:
    params = {"mode": "url", "url": why.url, "message": f"{why.server} wants you to sign in."}
    asked = {"method": "elicitation/create", "params": params}
    return {"resultType": modern.INPUT_REQUIRED, "inputRequests": {QUESTION: asked}}


def _taken(message: Message) -> str | None:
    # What the user has said to it; None where nobody was asked.
    answers = peek.members(message.params, "inputResponses")
    if message.params is None or QUESTION not in answers:
        return None
    action = peek.text(peek.members(answers, QUESTION), "action")
    del answers[QUESTION]
    if answers:
        message.params["inputResponses"] = jsonrpc.raw(answers)
    else:
        del message.params["inputResponses"]
    return action or "cancel"
