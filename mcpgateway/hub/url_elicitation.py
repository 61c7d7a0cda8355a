"""Asks clients to send their users to the sign-in of a server (URL elicitation).

    client                                 question                     after the sign-in
    legacy, 2025-11-25, elicitation.url    error -32042                 notifications/elicitation/complete
    modern, elicitation.url                an input_required result     its next request is answered
    any other                              the text of the error, and the member ``url`` of its data

A modern client retries as soon as it has shown the page to its user, before the sign-in is complete.  The retried
request waits for the sign-in, up to `WAIT_S`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from mcpgateway.bounded import Bounded
from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import GatewayError, NeedsLogin, SignInElicited
from mcpgateway.hub.caller import Caller
from mcpgateway.hub.filters import SinkFilter
from mcpgateway.hub.sessions import Session, Sessions
from mcpgateway.interfaces import Request
from mcpgateway.policy.client_requests import shows_urls
from mcpgateway.policy.ownership import owner_of
from mcpgateway.protocol import jsonrpc, modern, peek
from mcpgateway.protocol.jsonrpc import Message
from mcpgateway.protocol.versions import LATEST_LEGACY
from mcpgateway.records import Record

METHODS = frozenset(("tools/call", "prompts/get", "resources/read"))
"""The requests whose answer may be a question, in both eras."""

COMPLETE = "notifications/elicitation/complete"
SENT_LIMIT = 1000  # sessions that are notified at the end of a sign-in
WAITING_LIMIT = 100  # requests that wait for a sign-in
WAIT_S = 50.0  # common clients cancel a request after 60 s
QUESTION = "mcpgateway.sign-in"
"""The key of the question in ``inputRequests``, for modern clients."""


def sends_users(version: str, capabilities: dict[str, Any]) -> bool:
    """True if a legacy client of a revision, with these capabilities, can send its user to a URL."""
    return version == LATEST_LEGACY and shows_urls(capabilities)


class SendingAway(Record):
    """Sends the questions to clients, and reports the end of sign-ins."""

    _sessions: Sessions
    _clock: IReactorTime
    _sent: Bounded[tuple[str, bytes], str] = msgspec.field(default_factory=lambda: Bounded(SENT_LIMIT))
    _waiting: list[tuple[str, str, Deferred[None]]] = msgspec.field(default_factory=list)

    def attend(self, request: Request) -> None:
        """Prepare a call of a legacy client that can send its user to URLs."""
        if request.method in METHODS:
            request.sends_user = True
            request.sink = _Elicited(request.sink, self)

    def attend_modern(self, request: Request, resubmit: Callable[[Request], None]) -> None:
        """Prepare a request of a modern client that can send its user to URLs.

        An answer to the gateway's question is removed from the request.

        :param resubmit: submits the request once more.
        """
        if request.method not in METHODS:
            return
        action = _taken(request.message)
        if action is None and "requestState" in (request.message.params or {}):
            return  # a question of the gateway would replace the server's question, and lose the server's state
        if action in (None, "accept"):
            request.sends_user = True
            request.sink = _ModernElicited(
                request.sink, self, request.message, request.caller, resubmit, has_agreed=action is not None
            )

    def sent(self, session: Session, why: NeedsLogin) -> SignInElicited:
        """Return the error that sends a client's user to a sign-in; the client is notified at the end of that."""
        identifier = hashlib.sha256(why.url.encode()).hexdigest()[:32]
        if session.id:
            self._sent[why.server, session.id] = identifier
        return SignInElicited(why, identifier)

    def until_done(self, why: NeedsLogin, principal: str) -> Deferred[None] | None:
        """Return a Deferred that fires at the end of a sign-in or after `WAIT_S`; None if too many requests wait."""
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
        """Notify the clients of an owner that has signed in at a server, and continue their requests."""
        for name, identifier in [each for each in self._sent if each[0] == server.name]:
            session = self._sessions.named(identifier)
            if session is not None and owner_of(session.principal, server) != owner:
                continue
            params = {"elicitationId": self._sent.pop((name, identifier))}
            if session is not None:
                session.mailbox.put(jsonrpc.encode(jsonrpc.notification(COMPLETE, params)))
        for name, principal, done in list(self._waiting):
            if name == server.name and owner_of(principal, server) == owner:
                done.callback(None)


class _Elicited(SinkFilter):
    """Sends a legacy client's user to a sign-in, if the server of its call demands one."""

    away: SendingAway

    def failed(self, request: Request, why: GatewayError) -> None:
        """Pass the error on; `NeedsLogin` becomes the error of URL elicitation."""
        request.sink = self.sink
        self.sink.failed(
            request, self.away.sent(request.session, why) if isinstance(why, NeedsLogin) else why
        )


class _ModernElicited(SinkFilter):
    """Sends a modern client's user to a sign-in, if the server of its request demands one.

    :ivar has_agreed: true if its user has been sent to the sign-in already.
    """

    away: SendingAway
    message: Message
    caller: Caller
    resubmit: Callable[[Request], None]
    has_agreed: bool

    def failed(self, request: Request, why: GatewayError) -> None:
        """Pass the error on; at `NeedsLogin` ask the client, or wait for the sign-in and submit the request again."""
        request.sink = self.sink
        if not isinstance(why, NeedsLogin):
            self.sink.failed(request, why)
            return
        if not self.has_agreed:
            self.sink.answered(request, jsonrpc.result(jsonrpc.NULL, _question(why)))
            return
        done = self.away.until_done(why, self.caller.principal)
        if done is None:
            self.sink.failed(request, why)
        else:
            done.addCallback(lambda _: self._go_on(request))

    def _go_on(self, request: Request) -> None:
        request.sends_user = False  # asked once only
        if not self.sink.is_gone:
            request.message, request.caller = self.message, self.caller
            self.resubmit(request)


def _question(why: NeedsLogin) -> dict[str, Any]:
    params = {"mode": "url", "url": why.url, "message": f"{why.server} wants you to sign in."}
    asked = {"method": "elicitation/create", "params": params}
    return {"resultType": modern.INPUT_REQUIRED, "inputRequests": {QUESTION: asked}}


def _taken(message: Message) -> str | None:
    # The user's answer to the gateway's question; None without an answer.
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
