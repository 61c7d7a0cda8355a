"""One request of a modern client on its way to a legacy server, and back."""

from __future__ import annotations

from typing import Any, Protocol

from attrs import define, field
from twisted.internet.defer import Deferred

from mcpgateway.errors import GatewayError, InvalidParams
from mcpgateway.hub import param_headers
from mcpgateway.hub.bridge.exclusive import ChildGroup, Lane
from mcpgateway.hub.parking import StateKey
from mcpgateway.hub.sessions import Session
from mcpgateway.hub.slot import Slot
from mcpgateway.hub.upstream import Upstream
from mcpgateway.interfaces import Request
from mcpgateway.policy import routing
from mcpgateway.protocol import jsonrpc, legacy, peek, translate
from mcpgateway.protocol.jsonrpc import Envelope, Message

ASKING = frozenset(("tools/call", "prompts/get", "resources/read"))
"""The requests during which a server may ask, and whose answers may ask (MCP 2026-07-28)."""

LOG_MESSAGE = "notifications/message"


class BridgeOwner(Protocol):
    """The bridge that a request is on."""

    def ended(self, crossing: BridgedRequest, outcome: Envelope | GatewayError) -> None:
        """The server has answered, or will not."""

    def asked(self, crossing: BridgedRequest, method: str, question: Envelope) -> bool:
        """The server asks something; true when its client is, or will be, asked."""


@define(eq=False)
class BridgedRequest:
    """One request on its way through the eras.

    :ivar client: the client's request, to be answered; None while it is parked.
    :ivar call: the same as the server knows it.
    :ivar whose: tells its client from others: its process, where that is known, or its connection.
    :ivar group: whose lanes it may use; None where it needs none.
    :ivar lane: the one it has used last.
    :ivar slot: where it was sent to; None before.
    :ivar asked: the questions before the client, by the number they are known under.
    :ivar held: the server's answer, while nobody waits for it.
    """

    owner: BridgeOwner
    client: Request | None
    call: Request
    message: Message
    key: StateKey
    whose: Any
    group: ChildGroup | None = None
    lane: Lane | None = None
    slot: Slot | None = None
    asked: dict[int, Envelope] = field(factory=dict)
    held: Envelope | GatewayError | None = None
    handle: bytes = b""
    ticks: int = 0

    @classmethod
    def of(cls, owner: BridgeOwner, client: Request, key: StateKey, session: Session) -> BridgedRequest:
        """A client's request on its way.

        :param session: the one that the server sees it in.
        """
        client.session = session  # what looks at its answer may want to know whose it is
        call = Request(session, client.message, client.token, None)
        call.follow(client)
        call.level = client.level
        whose = client.caller.pid or client.caller.connection
        crossing = cls(owner, client, call, client.message, key, whose)
        call.sink = crossing
        return crossing

    @property
    def target(self) -> tuple[str, str, str]:
        """What it calls, gets or reads: the server, the method and the name."""
        params = self.message.params
        name = peek.text(params, "name") or peek.text(params, "uri", jsonrpc.URI_LIMIT) or ""
        return (self.key[1], self.key[2], name)

    @property
    def is_gone(self) -> bool:
        """The client waits for it no more; the client of a parked one may come back."""
        return self.client is not None and bool(self.client.sink.is_gone)

    @property
    def may_ask(self) -> bool:
        """Whether a question that came this way is this call's."""
        # On the child that clients share a question came this way because there is no other call under way.
        if self.lane is not None:
            return self.lane.current is self
        return self.slot is not None and self.slot.shared and self.call.method in ASKING

    def answered(self, call: Request, reply: Envelope) -> None:
        """The server's own response."""
        self.owner.ended(self, reply)

    def failed(self, call: Request, why: GatewayError) -> None:
        """The gateway answers in the server's place."""
        self.owner.ended(self, why)

    def progressed(self, call: Request, message: bytes) -> None:
        """Its progress, for the client's request of now."""
        if self.client is not None:
            self.client.progress = call.progress
            self.client.sink.progressed(self.client, message)

    def noticed(self, call: Request, message: bytes) -> bool:
        """Something before the answer: a question parks the call."""
        said = jsonrpc.decode(message)
        method = peek.text(said, "method") or ""
        if "id" in said:
            return self.owner.asked(self, method, said)
        if method == "notifications/cancelled":
            return self._taken_back(said)
        if self.client is None or not self._is_for_it(method, said):
            return True
        return bool(self.client.sink.noticed(self.client, message))

    def _taken_back(self, said: Envelope) -> bool:
        number = jsonrpc.integer(peek.members(said, "params").get("requestId"))
        self.asked.pop(number or 0, None)
        return True

    def _is_for_it(self, method: str, said: Envelope) -> bool:
        # Whose call it is of cannot be seen where several are under way.
        slot: Upstream | None = self.slot
        if self.slot is not None and self.slot.replicas is not None:
            slot = self.slot.replicas.holder(self.call)
        if slot is None or len(slot.calls()) != 1:
            return False
        wanted, level = self.call.level, peek.text(peek.members(said, "params"), "level")
        return method != LOG_MESSAGE or (wanted is not None and routing.admits(wanted, level or ""))


def answers_in(params: Envelope) -> Envelope:
    """The answers of a client to what it was asked, by question.

    :raise InvalidParams: they are none.
    """
    said = params["inputResponses"]
    answers = peek.members(params, "inputResponses")
    if bytes(said)[:1] != b"{" or any(bytes(each)[:1] != b"{" for each in answers.values()):
        raise InvalidParams("Invalid params: inputResponses and each of its members must be an object")
    return answers


def in_legacy_form(message: Message) -> Message:
    """A request of the modern era as a legacy server understands it."""
    params = translate.legacy_params(message.params)
    envelope = {key: value for key, value in message.envelope.items() if key != "params"}
    if params is not None:
        params.pop("task", None)  # in the other era that would begin a task, which means nothing in this one
        envelope["params"] = jsonrpc.raw(params)
    meta = peek.members(params, "_meta") if params is not None and "_meta" in params else None
    return Message(message.kind, envelope, message.method, message.id, params, meta)


def can_show_pages(message: Message) -> bool:
    """Whether the client of a request can be asked to open a page."""
    can = translate.client_capabilities_for_legacy(message.meta or {})
    offered = can.get("elicitation")
    return isinstance(offered, dict) and "url" in offered


def page_questions(elicitations: list[dict[str, Any]]) -> dict[int, Envelope]:
    """The questions of a server that has answered with pages to open; their numbers are below 0."""
    return {
        -nth: {
            "method": jsonrpc.raw("elicitation/create"),
            "params": jsonrpc.raw({"mode": "url", "message": "", **each}),
        }
        for nth, each in enumerate(elicitations, 1)
    }


def check_headers(call: Request, slot: Slot) -> Deferred[None] | None:
    """See whether the headers of a request repeat its arguments; what fires where its server has to be asked first.

    :raise HeaderMismatch: a header says something else than the body.
    """
    headers = call.caller.headers
    if slot.mirrored is not None and (not slot.mirrored or headers is None):
        return None  # as of nearly all servers: no header repeats an argument
    has_to_know = legacy.has_tasks(slot.introduction)
    return param_headers.check(slot, call.message, headers, has_to_know=has_to_know)
