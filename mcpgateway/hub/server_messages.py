"""Route the notifications and questions of servers to the sessions that may receive them (MCP 2025-11-25).

    message                            destination                                     stream
    logging                            the sessions with calls under way, else all     the newest call, or GET
    resources/updated                  the subscribed sessions                         GET, one per resource
    tools|prompts|resources changed    all sessions of the child                       GET, one per list
    tasks/status                       the task's owner                                GET
    elicitation/complete               the session that was sent to the URL            GET
    cancelled                          the session that was asked                      that of the question
    a question (request)               the only session it can be for                  the newest call, or GET
    roots/list of a child by roots     none: the gateway knows the answer
    anything else                      as logging                                      the newest call, or GET

A message for GET waits in the session's mailbox until the client listens.

# Note [Whose question it is]
A question of a shared child belongs to the owner of the task that it names.  Without a task it belongs to the only
session with calls under way, or with cancelled calls that may still ask.  An owner is never guessed: a question that
could be for several clients, or that comes while no call is under way, is refused.  A server that has asked gets a
child for each session as soon as several use a child, or as soon as one comes to a child with a cancelled call of
another, so that later questions have an owner.  It does not matter how long ago the call was cancelled: a server that
goes on with it may ask at any time, and need not say that it has given up.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, Protocol

from msgspec import Raw
from twisted.logger import Logger

from mcpgateway.backends.conversation import Conversation
from mcpgateway.errors import ClientGone, GatewayError, QuestionRefused, UnknownMethod
from mcpgateway.hub.client_requests import Questions
from mcpgateway.hub.sessions import Session, Sessions
from mcpgateway.hub.slot import Slot
from mcpgateway.hub.subscriptions.interest import KINDS, TOOLS_CHANGED, UPDATED
from mcpgateway.hub.tasks import related
from mcpgateway.interfaces import Request
from mcpgateway.policy import routing
from mcpgateway.policy.client_requests import ROOTS, UNKNOWN, DeclaredRoots, refusal
from mcpgateway.protocol import jsonrpc, legacy, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.versions import Era

ELICITATIONS_LIMIT = 1000  # of one child
NO_OWNER = (
    "nobody can tell which client is meant, since calls of several are under way, or were cancelled and may still ask;"
    " sessions that begin now have a child each: begin a new one and call again, or set share: session in the entry of"
    " {}"
)


class ModernListener(Protocol):
    """Receives the news of modern children, and forgets cached results."""

    def changed(self, slot: Slot, method: str, what: str | None) -> None:
        """Handle the news that a list, or the named resource, has changed."""

    def lost(self, slot: Slot) -> None:
        """Handle the end of a child."""

    def warmed(self, slot: Slot) -> None:
        """Handle the start of a child."""


class ListListener(Protocol):
    """Receives the changes of servers' lists."""

    def lists_changed(self, slot: Slot, news: str) -> None:
        """Handle the news that a list has changed."""

    def lost(self, slot: Slot) -> None:
        """Handle the end of a child."""


OnQuestion = Callable[[Slot, str, Session | None], None]
"""Receives the questions of shared children: the slot, the method, and the session that is asked; None for none."""

OnLogMessage = Callable[[str, str, bytes], None]
"""Receives the log messages of servers: the server, the level, and the data as JSON."""


def drop_log_message(server: str, level: str, data: bytes) -> None:
    """Drop a log message: the default."""


class Notices:
    """The router of the messages that servers send to clients.

    :ivar unheard: the number of notifications without a recipient.
    :ivar on_log_message: receives the log messages of servers.
    :ivar modern: receives the changes that modern children announce.
    :ivar lists: receives the changes of lists; None if no lists are kept.
    :ivar asked: called for every question of a shared child.
    """

    log = Logger()

    def __init__(self, sessions: Sessions, questions: Questions, asked: OnQuestion) -> None:
        self.unheard = 0
        self.on_log_message: OnLogMessage = drop_log_message
        self.modern: ModernListener | None = None
        self.lists: ListListener | None = None
        self._sessions = sessions
        self._questions = questions
        self._asked = asked
        self._routes: dict[str, Callable[[Slot, str, Envelope], None]] = {
            "notifications/message": self._log_message,
            UPDATED: self._updated,
            **dict.fromkeys(KINDS, self._list_changed),
            "notifications/tasks/status": self._task_status,
            "notifications/elicitation/complete": self._elicited,
            "notifications/cancelled": self._cancelled,
        }

    # Notifications

    def noticed(self, backend: Slot, method: str, message: Envelope) -> None:
        """Route a notification."""
        self._routes.get(method, self._other)(backend, method, message)

    def _log_message(self, slot: Slot, method: str, message: Envelope) -> None:
        level = _text(message, "level") or routing.DEFAULT_LEVEL
        data = peek.members(message, "params").get("data")
        if data is not None:
            self.on_log_message(slot.server.name, level, bytes(data))
        if slot.era is Era.MODERN:
            self._tell_the_one(slot, level, message)
            return
        self._tell(
            slot,
            [each for each in self._circle(slot, message) if routing.admits(each.level, level)],
            message,
        )

    def _tell_the_one(self, slot: Slot, level: str, message: Envelope) -> None:
        # Only calls that ask for messages get any; with several such calls the recipient is unknown.
        calls = [call for call in slot.calls() if call.level is not None]
        if len(calls) != 1 or not routing.admits(calls[0].level or "", level):
            return self._nobody(slot, "notifications/message")
        calls[0].sink.noticed(calls[0], jsonrpc.encode(message))
        return None

    def _other(self, slot: Slot, method: str, message: Envelope) -> None:
        self._tell(slot, self._circle(slot, message), message)

    def _circle(self, slot: Slot, message: Envelope) -> Iterable[Session]:
        named = self._named(slot, message)
        return routing.of_notice(slot.newest_calls(), slot.sessions) if named is None else named

    def _named(self, slot: Slot, message: Envelope) -> Iterable[Session] | None:
        # The owner of the task that a message of a shared child names; None if it names none.
        task = related(message) if slot.shared else None
        return None if task is None else self._only(slot, slot.tasks.owner(task))

    def _updated(self, slot: Slot, method: str, message: Envelope) -> None:
        uri = _text(message, "uri")
        holders = slot.subscriptions.holders(uri) if uri is not None else ()
        self._post(slot, holders, message, (method, uri))

    def _list_changed(self, slot: Slot, method: str, message: Envelope) -> None:
        if method == TOOLS_CHANGED:
            slot.forget_mirrored()
        if slot.replicas is None or slot.replicas.is_news(slot, method):
            if self.lists is not None:
                self.lists.lists_changed(slot, method)
            self._post(slot, slot.sessions, message, method)

    def _task_status(self, slot: Slot, method: str, message: Envelope) -> None:
        task = _text(message, "taskId")
        owner = slot.tasks.owner(task) if task is not None else None
        self._post(slot, self._only(slot, owner), message, (method, task))

    def _elicited(self, slot: Slot, method: str, message: Envelope) -> None:
        identifier = _text(message, "elicitationId")
        owner = slot.elicitations.get(identifier) if identifier is not None else None
        self._post(slot, self._only(slot, owner), message)

    def _only(self, slot: Slot, owner: bytes | None) -> Iterable[Session]:
        if not slot.shared:
            return slot.sessions
        return [each for each in slot.sessions if each.id == owner]

    def _cancelled(self, slot: Slot, method: str, message: Envelope) -> None:
        try:
            params = jsonrpc.read_object(message["params"], "params")
            self._questions.cancelled(slot.speaking, params["requestId"], message, params)
        except (KeyError, GatewayError):
            self._nobody(slot, method)

    def _tell(self, slot: Slot, hearers: Iterable[Session], message: Envelope) -> None:
        calls, data, is_heard = slot.newest_calls(), jsonrpc.encode(message), False
        for session in hearers:
            call = calls.get(session)
            if not session.id and sum(each.session is session for each in slot.calls()) > 1:
                continue  # requests without an id may come from several clients
            if call is not None and call.sink.noticed(call, data):
                is_heard = True
            elif session.id:
                session.mailbox.put(data)
                is_heard = True
        if not is_heard:
            self._nobody(slot, "something")

    def _post(self, slot: Slot, hearers: Iterable[Session], message: Envelope, key: Hashable = None) -> None:
        data, is_heard = jsonrpc.encode(message), False
        for session in list(hearers):
            session.mailbox.put(data, key)
            is_heard = True
        if not is_heard:
            self._nobody(slot, str(key))

    def _nobody(self, slot: Slot, what: str) -> None:
        self.unheard += 1
        self.log.debug(
            "{server} has sent {what}, which reaches no client",
            event="notice.unheard",
            server=slot.server.name,
            what=what,
        )

    def progressed(self, backend: Slot, number: int, params: Envelope, message: Envelope) -> None:
        """Send the progress of a task to the session that began it, under the progress token of its call."""
        owner = backend.tasks.of_call(number)
        if owner is None or owner.token is None:
            return self._nobody(backend, "progress of a finished call")
        message["params"] = jsonrpc.raw(params | {"progressToken": Raw(owner.token)})
        # A request without a session waits for its task in a call of its own.
        waiting = (each for each in backend.newest_calls() if not each.id and owner.is_of(each))
        self._tell(backend, self._only(backend, owner.session) or waiting, message)
        return None

    # Questions

    def asked(self, backend: Slot, method: str, message: Envelope) -> None:
        """Send a question to the only session it can be for; refuse it if that client cannot answer."""
        try:
            self._ask(backend, method, message)
        except GatewayError as why:
            if backend.speaking is not None:
                backend.speaking.reply(message, why)

    def _ask(self, slot: Slot, method: str, message: Envelope) -> None:
        if method == ROOTS and slot.roots is not None and slot.roots.key and slot.speaking is not None:
            self._tell_roots(slot, slot.roots, slot.speaking, message)
            return
        session = self._asked_session(slot, message)
        if session is None:
            self.log.debug(
                "{server} has asked {method}, which fits no session",
                event="question.refused",
                server=slot.server.name,
                method=method,
            )
            if slot.shared:
                self._asked(slot, method, None)
            raise UnknownMethod(f"Method not found: {method} ({NO_OWNER.format(slot.server.name)})")
        if session.id and self._sessions.named(session.id) is not session:
            raise ClientGone("the client has disconnected")
        params = peek.mapping(message, "params")
        no = refusal(method, params, self._sessions.capabilities_of(session))
        if no is not None:
            raise QuestionRefused(*no)
        _sent_elsewhere(slot, params, session)
        self._questions.ask(slot, slot.speaking, session, method, message)
        if slot.shared and not session.stands_for_many:
            self._asked(slot, method, session)

    def _tell_roots(self, slot: Slot, roots: DeclaredRoots, child: Conversation, message: Envelope) -> None:
        # Those of all its sessions.
        if roots is UNKNOWN:
            raise ClientGone("the roots of the clients are not known yet")
        child.reply(message, roots.result)
        told, slot.told_roots = slot.told_roots, None
        if told is not None:
            told.callback(None)

    def _asked_session(self, slot: Slot, message: Envelope) -> Session | None:
        if not slot.shared:
            return next(iter(slot.sessions), None)
        named = self._named(slot, message)
        return slot.asker() if named is None else next(iter(named), None)

    # Other events

    def refused(self, backend: Slot, request: Request, error: Raw) -> None:
        """Record the session that an error sends to a URL, so that its client learns of the completion there."""
        if request.session is None or not request.session.id:
            return
        try:
            body = jsonrpc.value(error, dict)
        except GatewayError:
            return
        data = body.get("data")
        if body.get("code") != legacy.URL_ELICITATION_REQUIRED or not isinstance(data, dict):
            return
        elicitations = data.get("elicitations")
        for each in elicitations if isinstance(elicitations, list) else ():
            if isinstance(each, dict):
                _sent_elsewhere(backend, each, request.session)

    def warmed(self, slot: Slot, sessions: Iterable[Session]) -> None:
        """Tell sessions that lists may have changed: another child, or a snapshot, answers now."""
        if self.modern is not None and slot.era is Era.MODERN:
            self.modern.warmed(slot)
        methods = legacy.changing_lists(slot.introduction or {})
        for session in sessions:
            # A client that was told of every capability before the sign-in learns of each list of the server.
            announced = legacy.listed(slot.introduction or {}) if session.is_unmet else methods
            session.is_stale = session.is_unmet = False
            for method in announced:
                session.announce(method)

    def changed(self, slot: Slot, method: str, what: str | None) -> None:
        """Handle a change that a modern child announces: cached results and lists may be invalid."""
        if self.lists is not None:
            self.lists.lists_changed(slot, method)
        if self.modern is not None:
            self.modern.changed(slot, method, what)

    def lost(self, slot: Slot) -> None:
        """Take back the questions of a child that has ended; its ids mean nothing to the next child."""
        self._questions.backend_ended(slot)
        if self.modern is not None and slot.era is Era.MODERN:
            self.modern.lost(slot)
        if self.lists is not None:
            self.lists.lost(slot)
        slot.tasks.child_ended()
        slot.elicitations.clear()


def _sent_elsewhere(slot: Slot, elicitation: dict[str, Any], session: Session) -> None:
    identifier = elicitation.get("elicitationId")
    if isinstance(identifier, str):
        slot.elicitations[identifier] = session.id
        if len(slot.elicitations) > ELICITATIONS_LIMIT:
            del slot.elicitations[next(iter(slot.elicitations))]


def _text(message: Envelope, name: str) -> str | None:
    return peek.text(peek.members(message, "params"), name, jsonrpc.URI_LIMIT)
