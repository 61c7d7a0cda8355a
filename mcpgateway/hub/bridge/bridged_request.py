"""One request of a modern client on its way to a legacy server, and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from attrs import define, field
from twisted.internet.defer import Deferred

from mcpgateway.errors import GatewayError, InvalidParams, UserDeclined
from mcpgateway.hub import param_headers
from mcpgateway.hub.bridge.exclusive import ChildGroup, ExclusiveChild
from mcpgateway.hub.parking import StateKey
from mcpgateway.hub.sessions import Session
from mcpgateway.hub.slot import Slot
from mcpgateway.hub.upstream import Upstream
from mcpgateway.interfaces import Request
from mcpgateway.policy import routing
from mcpgateway.policy.client_requests import ROOTS, UNDECLARED, DeclaredRoots, roots_in
from mcpgateway.protocol import jsonrpc, legacy, modern, peek, translate
from mcpgateway.protocol.jsonrpc import Envelope, Message, MessageKind

ASKING = frozenset(("tools/call", "prompts/get", "resources/read"))
"""The methods during which a server may ask its client, and whose results may hold questions (MCP 2026-07-28)."""

LOG_MESSAGE = "notifications/message"

ROOTS_QUESTION = "mcpgateway.roots"
"""The key of the gateway's own question for roots in ``inputRequests``; it needs no state, since nothing is parked."""


class BridgeOwner(Protocol):
    """The bridge that carries a request (`mcpgateway.hub.bridge.to_legacy.ToLegacy`)."""

    def ended(self, bridged: BridgedRequest, outcome: Envelope | GatewayError) -> None:
        """Take the outcome of a request: the server's response, or the error in its place."""

    def asked(self, bridged: BridgedRequest, method: str, question: Envelope) -> bool:
        """Take a question of the server.

        :return: True if the client is asked, or is going to be; False if the bridge does not take the question.
        """


@define(eq=False, repr=False)
class BridgedRequest:
    """One request of a modern client at a legacy server.

    :ivar client: the client's request, to be answered; None while the call is parked.
    :ivar request: the same request as the server knows it.
    :ivar client_key: the key of the client: its process id where that is known, else its connection.
    :ivar group: the group of exclusive children that the request may use; None where it needs none.
    :ivar exclusive_child: the exclusive child that it has used last.
    :ivar slot: the slot that it was sent to; None before.
    :ivar asked: the open questions to the client, by the request id that the hub has given them.
    :ivar held: the outcome of a parked call, kept until its client resumes the call.
    """

    owner: BridgeOwner
    client: Request | None
    request: Request
    message: Message
    key: StateKey
    client_key: Any
    group: ChildGroup | None = None
    exclusive_child: ExclusiveChild | None = None
    slot: Slot | None = None
    asked: dict[int, Envelope] = field(factory=dict)
    held: Envelope | GatewayError | None = None
    handle: bytes = b""
    ticks: int = 0

    @classmethod
    def of(cls, owner: BridgeOwner, client: Request, key: StateKey, session: Session) -> BridgedRequest:
        """Make the record of a client's request, with the request that is sent to the server.

        :param session: the session in which the server gets the request.
        """
        client.session = session  # the filters of its answer may need the session
        call = Request(session, client.message, client.token, None)
        call.follow(client)
        call.level = client.level
        client_key = client.caller.pid or client.caller.connection
        bridged = cls(owner, client, call, client.message, key, client_key)
        call.sink = bridged
        return bridged

    @property
    def target(self) -> tuple[str, str, str]:
        """The server, the method, and the name or URI that the request calls, gets or reads."""
        params = self.message.params
        name = peek.text(params, "name") or peek.text(params, "uri", jsonrpc.URI_LIMIT) or ""
        return (self.key[1], self.key[2], name)

    @property
    def is_gone(self) -> bool:
        """True if the client has gone away; the client of a parked call may still return."""
        return self.client is not None and bool(self.client.sink.is_gone)

    @property
    def may_ask(self) -> bool:
        """True if a question of the child belongs to this call."""
        # On a child that clients share a question gets here only while no other call is under way.
        if self.exclusive_child is not None:
            return self.exclusive_child.current is self
        return self.slot is not None and self.slot.shared and self.request.method in ASKING

    def responses_in(self, answers: Envelope) -> Iterator[Message]:
        """Take the client's answers to open questions; yield each as the response that the server gets."""
        for number in list(self.asked):
            result = answers.get(f"q{number}")
            if result is not None:
                del self.asked[number]
                envelope = {"jsonrpc": jsonrpc.VERSION, "id": jsonrpc.raw(number), "result": result}
                yield Message(MessageKind.RESPONSE, envelope, id=b"%d" % number)

    def pages_shown(self, answers: Envelope) -> None:
        """Take the client's answers to questions that were to open pages.

        :raise UserDeclined: a page was not opened.
        """
        results = {number: peek.members(answers, f"q{number}") for number in self.asked}
        if any(action and peek.text(action, "action") != "accept" for action in results.values()):
            raise UserDeclined("the user did not go where the server wanted them to")
        self.asked = {number: each for number, each in self.asked.items() if not results[number]}

    def in_modern_form(self, reply: Envelope) -> Envelope:
        """Translate a result of the server to the form of a modern client."""
        hello = self.slot.introduction if self.slot is not None else None
        info = (hello or {}).get("serverInfo")
        return reply | {"result": translate.modern_result(self.request.method, reply["result"], info)}

    def answered(self, request: Request, reply: Envelope) -> None:
        """Take the response of the server."""
        self.owner.ended(self, reply)

    def failed(self, request: Request, why: GatewayError) -> None:
        """Take the error that the gateway answers in the server's place."""
        self.owner.ended(self, why)

    def progressed(self, request: Request, message: bytes) -> None:
        """Pass a progress notification to the client's current request."""
        if self.client is not None:
            self.client.progress = request.progress
            self.client.sink.progressed(self.client, message)

    def noticed(self, request: Request, message: bytes) -> bool:
        """Take a message that precedes the answer: a question parks the call, a notification goes to the client.

        :return: True if the message is dealt with.
        """
        envelope = jsonrpc.decode(message)
        method = peek.text(envelope, "method") or ""
        if "id" in envelope:
            return self.owner.asked(self, method, envelope)
        if method == "notifications/cancelled":
            return self._taken_back(envelope)
        if self.client is None or not self._is_for_it(method, envelope):
            return True
        return bool(self.client.sink.noticed(self.client, message))

    def _taken_back(self, envelope: Envelope) -> bool:
        number = jsonrpc.integer(peek.members(envelope, "params").get("requestId"))
        self.asked.pop(number or 0, None)
        return True

    def _is_for_it(self, method: str, envelope: Envelope) -> bool:
        # A notification does not name its call, so it is passed on only while a single call is under way.
        slot: Upstream | None = self.slot
        if self.slot is not None and self.slot.replicas is not None:
            slot = self.slot.replicas.holder(self.request)
        if slot is None or len(slot.calls()) != 1:
            return False
        wanted, level = self.request.level, peek.text(peek.members(envelope, "params"), "level")
        return method != LOG_MESSAGE or (wanted is not None and routing.admits(wanted, level or ""))


def answers_in(params: Envelope) -> Envelope:
    """Read the answers of a client (``inputResponses``), by the key of their question.

    :raise InvalidParams: the member, or one of its members, is no object.
    """
    responses = params["inputResponses"]
    answers = peek.members(params, "inputResponses")
    if bytes(responses)[:1] != b"{" or any(bytes(each)[:1] != b"{" for each in answers.values()):
        raise InvalidParams("Invalid params: inputResponses and each of its members must be an object")
    return answers


def roots_told(message: Message) -> DeclaredRoots | None:
    """Return the roots that a request brings; None if its client is still to be asked for them.

    `UNDECLARED` is returned for a request whose client cannot be asked.

    :raise InvalidParams: the answers are malformed.
    """
    if message.method not in ASKING:
        return UNDECLARED
    answers = answers_in(message.params) if message.params and "inputResponses" in message.params else {}
    told = answers.get(ROOTS_QUESTION)
    return None if told is None else roots_in(jsonrpc.value(told, dict))


def question_for_roots() -> Envelope:
    """Return the response that asks a client for its roots; the client repeats its request with the answer."""
    asked = {"resultType": modern.INPUT_REQUIRED, "inputRequests": {ROOTS_QUESTION: {"method": ROOTS}}}
    return jsonrpc.result(jsonrpc.NULL, asked)


def in_legacy_form(message: Message) -> Message:
    """Translate a request of the modern era to the form of a legacy server."""
    params = translate.legacy_params(message.params)
    envelope = {key: value for key, value in message.envelope.items() if key != "params"}
    if params is not None:
        params.pop("task", None)  # in the other era that would begin a task, which means nothing in this one
        envelope["params"] = jsonrpc.raw(params)
    meta = peek.members(params, "_meta") if params is not None and "_meta" in params else None
    return Message(message.kind, envelope, message.method, message.id, params, meta)


def can_show_pages(message: Message) -> bool:
    """True if the client of a request supports elicitation by URL."""
    can = translate.client_capabilities_for_legacy(message.meta or {})
    offered = can.get("elicitation")
    return isinstance(offered, dict) and "url" in offered


def page_questions(elicitations: list[dict[str, Any]]) -> dict[int, Envelope]:
    """Make questions of the URL elicitations in a server's error; their keys are below 0."""
    return {
        -nth: {
            "method": jsonrpc.raw("elicitation/create"),
            "params": jsonrpc.raw({"mode": "url", "message": "", **each}),
        }
        for nth, each in enumerate(elicitations, 1)
    }


def check_headers(request: Request, slot: Slot) -> Deferred[None] | None:
    """Check that the headers of a request repeat its arguments.

    :return: None if that is checked; a Deferred where the server has to be asked for its tools first.
    :raise HeaderMismatch: a header differs from the body.
    """
    headers = request.caller.headers
    if slot.mirrored is not None and (not slot.mirrored or headers is None):
        return None  # as of nearly all servers: no header repeats an argument
    if slot.awaits(request.arrived):
        return None  # the former program of this process has checked it
    has_to_know = legacy.has_tasks(slot.introduction)
    return param_headers.check(slot, request.message, headers, has_to_know=has_to_know)
