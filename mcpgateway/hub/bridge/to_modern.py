"""The bridge that brings the messages of legacy sessions to modern servers.

    message                          becomes
    a request                        the same, with the ``_meta`` of a modern request
    ping, logging/setLevel           an answer of the gateway's own; the level is in the ``_meta`` of each request
    resources/(un)subscribe          a change of the session's subscriptions
                                     (`mcpgateway.hub.subscriptions.legacy_sessions`)
    a result that asks for input     questions to the client, then the request once more, with the answers

# Note [An answer becomes a question]
A modern server that needs input of its client ends the request with the questions, and gets the same request again
with the answers.  A legacy client is asked while its call is under way, on the stream of that call, and sees one
request only.  Between two of these requests the call is known to this bridge alone: `ToModern.calls`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

import msgspec
from attrs import define, field
from msgspec import Raw
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mcpgateway import __version__
from mcpgateway.errors import (
    BackendTimeout,
    BadReply,
    GatewayError,
    QuestionRefused,
    ShuttingDown,
    UnknownMethod,
)
from mcpgateway.hub.bridge.bridged_request import ASKING
from mcpgateway.hub.client_requests import Questions
from mcpgateway.hub.filters import SinkFilter
from mcpgateway.hub.levels import SET_LEVEL
from mcpgateway.hub.sessions import Session, Sessions
from mcpgateway.hub.slot import Slot, slot_of
from mcpgateway.hub.subscriptions.legacy_sessions import SessionSubscriptions
from mcpgateway.hub.subscriptions.upstream_legacy import SUBSCRIBE, UNSUBSCRIBE, subscribed_uri
from mcpgateway.interfaces import Request
from mcpgateway.policy import routing
from mcpgateway.policy.client_requests import FULL, refusal
from mcpgateway.protocol import jsonrpc, modern, peek, translate
from mcpgateway.protocol.jsonrpc import Envelope, Message, MessageKind
from mcpgateway.protocol.translate import InputRequest

ROUNDS_LIMIT = 8  # further requests that one call may lead to
ROUND_TICKS = 600  # for the answers of one round; a human may have to decide
PAUSE_S = 0.05  # before a repeated request for which the client was asked nothing; doubles with each
CANCEL = jsonrpc.raw({"action": "cancel"})

_FOREIGN = frozenset((modern.DISCOVER, modern.LISTEN))
_NOBODY = {key: jsonrpc.raw(value) for key, value in modern.own_meta(__version__).items()}


class BridgedCall(SinkFilter):
    """One request of a legacy client, and the requests to the server that follow from it.

    See Note [An answer becomes a question].

    It is the asker of its questions, so it takes their answers (`Questions.ask`).

    :ivar envelope: the client's message without its parameters.
    :ivar params: the parameters of the first request.
    :ivar open: the methods of the questions that have no answer yet, by the server's keys.
    :ivar answers: the results of the client's answers in this round, by the same keys.
    :ivar state: the server's ``requestState``, to be sent back.
    """

    owner: ToModern
    request: Request
    slot: Slot
    envelope: Envelope
    params: Envelope
    rounds: int = 0
    open: dict[str, str] = msgspec.field(default_factory=dict)
    answers: Envelope = msgspec.field(default_factory=dict)
    state: Raw | None = None
    pause: IDelayedCall | None = None
    patience: int = ROUND_TICKS
    late: str = f"the client did not answer within {ROUND_TICKS} s"

    def answered(self, request: Request, reply: Envelope) -> None:
        """Take the server's response to one of the requests."""
        self.owner.answered(self, reply)

    def notify(self, answer: Envelope) -> None:
        """Take the client's answer to one of the questions."""
        self.owner.told(self, answer)

    def withdraw(self, request: Request, reason: str) -> None:
        """Cancel the call: call off its questions, and send no further request."""
        self.owner.called_off(self, reason)

    def send(self, more: Envelope) -> None:
        """Send the request, with parameters in addition to those of the first."""
        params = self.params | more
        meta = peek.members(params, "_meta")
        call = self.request
        call.message = Message(MessageKind.REQUEST, dict(self.envelope), call.method, call.id, params, meta)
        if self.slot.replicas is not None and call.method == "tools/call":
            self.slot.replicas.submit(call)
        else:
            self.slot.submit(call)


@define(eq=False, repr=False)
class BridgedSession:
    """A legacy session at a modern server.

    :ivar hearing: its subscriptions.
    :ivar envelope: the ``_meta`` of its requests, made with the first of them.
    """

    hearing: SessionSubscriptions
    envelope: Envelope | None = field(default=None, repr=False)


class ToModern:
    """The bridge from legacy clients to modern servers."""

    def __init__(self, sessions: Sessions, questions: Questions, clock: IReactorTime) -> None:
        self._sessions = sessions
        self._questions = questions
        self._clock = clock
        self._guests: dict[Session, BridgedSession] = {}
        self._waiting: dict[Request, BridgedCall | SessionSubscriptions] = {}
        self._here: dict[str, Callable[[Request], None]] = {
            "ping": _agree,
            SET_LEVEL: self._set_level,
            SUBSCRIBE: self._subscribe,
            UNSUBSCRIBE: self._unsubscribe,
        }

    def join(self, session: Session) -> None:
        """Let a session of a modern child (``session.slot``) get the notifications that legacy children send."""
        slot = slot_of(session)
        if session.id and slot is not None and slot.listening is not None:
            hearing = SessionSubscriptions(session, slot, slot.listening, self._sessions, self._settled)
            self._guests[session] = BridgedSession(hearing)
            hearing.look()

    def leave(self, session: Session) -> None:
        """Forget a session that ends or is put aside; its calls have been cancelled."""
        guest = self._guests.pop(session, None)
        if guest is not None:
            guest.hearing.leave()

    def submit(self, request: Request) -> None:
        """Send a request to the session's server, or answer it here; the call's sink gets the outcome.

        :raise GatewayError: the request is refused, and not sent.
        """
        guest = self._guests.get(request.session)
        if guest is not None and not guest.hearing.is_set:
            guest.hearing.look()
        here = self._here.get(request.method)
        if here is not None:
            here(request)
        elif request.method in _FOREIGN or request.method.startswith("tasks/"):
            raise UnknownMethod(f"Method not found: {request.method}")
        else:
            self._cross(request)

    # Calls that no server has

    def calls(self) -> list[Request]:
        """The calls that wait for answers of their client, for a pause, or for a subscription."""
        return list(self._waiting)

    @property
    def load(self) -> int:
        """The number of these calls."""
        return len(self._waiting)

    def withdraw(self, request: Request, reason: str) -> bool:
        """Cancel one of them; return False when the call is none of them."""
        holder = self._waiting.pop(request, None)
        if holder is not None:
            holder.withdraw(request, reason)
        return holder is not None

    def _settled(self, request: Request) -> bool:
        return self._waiting.pop(request, None) is not None

    def tick(self) -> None:
        """Advance by one second: fail the calls that have waited for longer than their ``patience``."""
        for call, holder in list(self._waiting.items()):
            call.age += 1
            if call.age > holder.patience and self.withdraw(call, "timed out"):
                call.sink.failed(call, BackendTimeout(holder.late))
        for guest in list(self._guests.values()):
            guest.hearing.tick()

    def close(self) -> None:
        """Fail the waiting calls, since the gateway stops."""
        for call in self.calls():
            if self.withdraw(call, "the gateway is stopping"):
                call.sink.failed(call, ShuttingDown("the gateway is stopping"))

    # Requests that the gateway answers

    def _set_level(self, request: Request) -> None:
        session: Session = request.session
        level = routing.asked_level(request.message.params)
        slot = slot_of(session)
        if slot is not None and not slot.has_levels:
            raise UnknownMethod(f"Method not found: {SET_LEVEL} (the server sends no log messages)")
        if session.id:
            session.level, session.has_level = level, True
            self._sessions.remember(session)  # before the answer, so that a restart does not lose the level
        _agree(request)

    def _subscribe(self, request: Request) -> None:
        hearing, uri = self._subscription(request)
        if not hearing.subscribe(request, uri):
            _agree(request)
            return
        self._waiting[request] = hearing
        request.holder = self
        request.age = 0
        hearing.bring()

    def _unsubscribe(self, request: Request) -> None:
        hearing, uri = self._subscription(request)
        hearing.unsubscribe(uri)
        _agree(request)

    def _subscription(self, request: Request) -> tuple[SessionSubscriptions, str]:
        uri, guest = subscribed_uri(request), self._guests.get(request.session)
        if guest is None:
            raise ShuttingDown("the session is being put aside")
        return guest.hearing, uri

    # Requests that the server answers

    def _cross(self, request: Request) -> None:
        session: Session = request.session
        slot = slot_of(session)
        if slot is None:
            raise ShuttingDown("the session is being put aside")
        request.level = session.level if session.has_level else None
        params = translate.modern_params(_own_params(request.message), self._envelope(session))
        bare = {name: value for name, value in request.message.envelope.items() if name != "params"}
        bridged = BridgedCall(request.sink, self, request, slot, bare, params)
        request.sink, request.is_verbatim = bridged, False
        bridged.send({})

    def _envelope(self, session: Session) -> Envelope:
        guest = self._guests.get(session)
        if guest is None:
            return _NOBODY
        if guest.envelope is None:
            guest.envelope = self._meta_of(session)
        level = {modern.LEVEL_KEY: jsonrpc.raw(session.level)} if session.has_level else {}
        return guest.envelope | level

    def _meta_of(self, session: Session) -> Envelope:
        params = self._sessions.params_of(session)
        declared = translate.client_capabilities_for_modern(peek.mapping(params, "capabilities"))
        if session.server.interactive is False:
            declared = {name: value for name, value in declared.items() if name not in FULL}
        if isinstance(extensions := declared.get("extensions"), dict):
            extensions.pop(modern.TASKS_EXTENSION, None)  # no legacy client could follow such a task
        meta = modern.own_meta(__version__, declared)
        if info := peek.members(params, "clientInfo"):
            meta[modern.INFO_KEY] = info
        return {key: jsonrpc.raw(value) for key, value in meta.items()}

    def answered(self, bridged: BridgedCall, reply: Envelope) -> None:
        """Take a response of the server: answer the client, or ask the client for the input that the server needs."""
        call = bridged.request
        kind = "error" if "error" in reply else translate.kind_of(reply["result"])
        match kind:
            case "error":
                bridged.sink.answered(call, reply)
            case "complete":
                result = translate.legacy_result(call.method, reply["result"])
                bridged.sink.answered(call, reply | {"result": result})
            case modern.INPUT_REQUIRED if call.method in ASKING:
                self._next_round(bridged, reply["result"])
            case _:
                name = bridged.slot.server.name
                why = BadReply(f"{name} gave {call.method} a result of a kind that it must not be: {kind}")
                bridged.sink.failed(call, why)

    # Rounds

    def _next_round(self, bridged: BridgedCall, result: Raw) -> None:
        call = bridged.request
        bridged.rounds += 1
        try:
            requests, bridged.state = translate.input_requests(result)
            if bridged.rounds > ROUNDS_LIMIT:
                raise BadReply(f"{bridged.slot.server.name} has asked {ROUNDS_LIMIT} times and wants more")
            questions = {key: self._question(bridged, each) for key, each in requests.items()}
        except GatewayError as why:
            bridged.sink.failed(call, why)
            return
        self._waiting[call] = bridged
        call.holder = self
        call.age = 0
        bridged.answers = {}
        if questions:
            self._ask(bridged, questions)
        else:
            pause = PAUSE_S * 2 ** (bridged.rounds - 1)
            bridged.pause = self._clock.callLater(pause, self._again, bridged)

    def _question(self, bridged: BridgedCall, request: InputRequest) -> Envelope:
        method, params = request.method, peek.members({"params": request.params}, "params")
        mode = {"mode": peek.text(params, "mode")} if "mode" in params else {}
        declared = peek.mapping(self._envelope(bridged.request.session), modern.CAPABILITIES_KEY)
        no = refusal(method, {**params, **mode}, declared)
        if no is not None:
            words = f"{bridged.slot.server.name} cannot go on without {method}: {no[1]}"
            raise QuestionRefused(GatewayError.code, words)
        if mode == {"mode": "url"} and "elicitationId" not in params:
            params["elicitationId"] = jsonrpc.raw(secrets.token_hex(16))  # the modern era has no such id
        question = {"jsonrpc": jsonrpc.VERSION, "method": jsonrpc.raw(method)}
        return question | ({"params": jsonrpc.raw(params)} if params else {})

    def _ask(self, bridged: BridgedCall, questions: dict[str, Envelope]) -> None:
        call = bridged.request
        bridged.open = {key: peek.text(each, "method") or "" for key, each in questions.items()}
        for key, each in questions.items():
            if call not in self._waiting:
                return  # a question that could not be asked has ended the call
            question = {**each, "id": jsonrpc.raw(key)}
            try:
                self._questions.ask(bridged.slot, bridged, call.session, bridged.open[key], question, call)
            except GatewayError as why:
                self.withdraw(call, "another question could not be asked")
                bridged.sink.failed(call, why)
                return

    def told(self, bridged: BridgedCall, answer: Envelope) -> None:
        """Take the answer to a question, the client's or the gateway's own; after the last, repeat the request."""
        key = jsonrpc.value(answer["id"], str)
        method = bridged.open.pop(key, None)
        if method is None or self._waiting.get(bridged.request) is not bridged:
            return
        if "error" in answer and method != "elicitation/create":
            self.withdraw(bridged.request, "another question was answered with an error")
            reply = {"jsonrpc": jsonrpc.VERSION, "id": jsonrpc.NULL, "error": answer["error"]}
            bridged.sink.answered(bridged.request, reply)
            return
        bridged.answers[key] = answer.get("result", CANCEL)
        if not bridged.open:
            self._again(bridged)

    def _again(self, bridged: BridgedCall) -> None:
        del self._waiting[bridged.request]
        bridged.pause = None
        bridged.request.age = 0
        more = {"inputResponses": jsonrpc.raw(bridged.answers)} if bridged.answers else {}
        if bridged.state is not None:
            more["requestState"] = bridged.state
        bridged.send(more)

    def called_off(self, bridged: BridgedCall, reason: str) -> None:
        """Call off a cancelled call's pause and its open questions; its request is not repeated."""
        bridged.open = {}
        pause, bridged.pause = bridged.pause, None
        if pause is not None:
            pause.cancel()
        self._questions.called_off(bridged, reason)


def _own_params(message: Message) -> Envelope:
    # A legacy client must not forge the members that only modern clients send: a message of a log level that the
    # gateway does not know of would reach another session.
    params = {name: value for name, value in (message.params or {}).items() if name not in translate.RETRIED}
    if message.meta is not None and not translate.ENVELOPE_KEYS.isdisjoint(message.meta):
        meta = {key: value for key, value in message.meta.items() if key not in translate.ENVELOPE_KEYS}
        params["_meta"] = jsonrpc.raw(meta)
    return params


def _agree(request: Request) -> None:
    request.sink.answered(request, jsonrpc.result(jsonrpc.NULL, {}))
