"""Calls of the gateway's own tools by modern clients.

# Note [A tool that asks]
A tool may ask the user of its caller's client while it runs.  A modern client is asked by the result of its request:
the call is parked, the client gets ``input_required`` with the question and a sealed state, and its next request, with
the answer, takes the place of the first (`mcpgateway.hub.parking`).  The tool has a request of its own for the call,
which stays the same while the client's requests change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mcpgateway.errors import (
    BackendTimeout,
    ClientGone,
    GatewayError,
    InvalidParams,
    Overloaded,
    QuestionRefused,
)
from mcpgateway.hub.parking import PARKED_TICKS, Parking, StateKey
from mcpgateway.interfaces import TIMED_OUT, Request
from mcpgateway.policy.client_requests import refusal
from mcpgateway.protocol import jsonrpc, peek, translate
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.request_states import RequestStates, digest_of

ELICIT = "elicitation/create"
QUESTION = "gateway"
"""The key of a tool's question; a tool asks one at a time."""


@define(eq=False, repr=False)
class OwnToolCall:
    """One call of a tool of the gateway's own; see Note [A tool that asks].

    :ivar client: the client's request, to be answered; None while the call is parked, or after it was cancelled.
    :ivar call: the same request as the tool knows it.
    :ivar key: principal, view, method and digest of the arguments.
    :ivar is_elsewhere: True if it has become the call of a server's tool.
    :ivar question: the question to the client, while the call is parked.
    :ivar answer: fires with the answer to the question; None while no question is open.
    :ivar timer: the end of the parking, or of the time that the call may take.
    """

    owner: OwnToolCalls
    client: Request | None
    call: Request
    key: StateKey
    is_elsewhere: bool = False
    handle: bytes = b""
    question: dict[str, Any] = field(factory=dict, repr=False)
    answer: Deferred[dict[str, Any]] | None = None
    timer: IDelayedCall | None = None

    @property
    def is_gone(self) -> bool:
        """True if its client has gone away; the client of a parked call may still return."""
        return bool(self.client.sink.is_gone) if self.client is not None else self.answer is None

    def answered(self, call: Request, reply: Envelope) -> None:
        """Take the response of the tool, or of the server whose tool the call has become."""
        if call.meter is not None:
            call.meter.answered(call, reply)
        client = self._over()
        if client is not None:
            client.sink.answered(client, _typed(reply))

    def failed(self, call: Request, why: GatewayError) -> None:
        """Take the error in the place of a response."""
        if call.meter is not None:
            call.meter.failed(call, why)
        client = self._over()
        if client is not None:
            client.sink.failed(client, why)

    def _over(self) -> Request | None:
        self.rest()
        client, self.client = self.client, None
        self.owner.forget(self, client)
        return client

    def progressed(self, call: Request, message: bytes) -> None:
        """Pass a progress notification to the client's current request."""
        if self.client is not None:
            self.client.progress = self.call.progress
            self.client.sink.progressed(self.client, message)

    def noticed(self, call: Request, message: bytes) -> bool:
        """Pass a message that precedes the answer to the client; return False where the call is parked."""
        return self.client is not None and bool(self.client.sink.noticed(self.client, message))

    def rest(self) -> None:
        """Stop the timer."""
        timer, self.timer = self.timer, None
        if timer is not None and timer.active():
            timer.cancel()


class OwnToolCalls:
    """All calls of the gateway's own tools that are under way, or parked.

    :param states: makes and reads request states.
    :param seconds: the wall clock, for request states.
    """

    def __init__(
        self,
        states: RequestStates,
        seconds: Callable[[], float],
        clock: IReactorTime,
    ) -> None:
        self._clock = clock
        self._is_open = True
        self._under_way: dict[Request, OwnToolCall] = {}
        self._parked: Parking[OwnToolCall] = Parking(states, seconds)

    def __len__(self) -> int:
        return len(self._under_way) + len(self._parked)

    def begin(self, client: Request, principal: str, view: str) -> OwnToolCall:
        """Begin a client's call of a tool."""
        key = (principal, view, client.method, digest_of(client.message.params or {}))
        call = Request(None, client.message, client.token, None, is_admin=client.is_admin)
        call.follow(client)
        call.level = client.level
        errand = self._under_way[client] = OwnToolCall(self, client, call, key)
        call.sink, client.holder = errand, self
        return errand

    def resume(self, client: Request, principal: str, view: str) -> bool:
        """Resume a parked call by a request that brings its answer; return False when the request resumes none.

        :raise InvalidParams: the answer is no object.
        """
        params = client.message.params or {}
        if "requestState" not in params:
            return False
        errand = self._parked.find(params, (principal, view, client.method, digest_of(params)))
        if errand is None or errand.answer is None:
            return False
        answer = _answer(params)
        self._parked.remove(errand)
        errand.rest()
        errand.client, errand.call.token, errand.call.level = client, client.token, client.level
        self._under_way[client] = errand
        client.holder = self
        if answer is None:
            self._park(errand)
        else:
            waiting, errand.answer = errand.answer, None
            waiting.callback(answer)
        return True

    def forget(self, errand: OwnToolCall, client: Request | None) -> None:
        """Forget the client's request of a call."""
        if client is not None:
            self._under_way.pop(client, None)

    def calls(self) -> list[Request]:
        """Return the requests of clients that wait for the gateway's own tools."""
        return list(self._under_way)

    def withdraw(self, client: Request, reason: str) -> bool:
        """Cancel a client's request; return False when it is none for a tool of the gateway's own."""
        errand = self._under_way.pop(client, None)
        if errand is None:
            return False
        errand.client = None
        errand.rest()
        if errand.is_elsewhere:
            errand.call.withdraw(reason)
        if errand.call.meter is not None:
            errand.call.meter.taken_back(errand.call, reason)
        return True

    def limit(self, errand: OwnToolCall, limit_s: float) -> None:
        """Limit the time of a call that has become the call of a server's tool."""
        errand.is_elsewhere = True
        if limit_s > 0:
            errand.timer = self._clock.callLater(limit_s, self._late, errand, limit_s)

    def stay(self, errand: OwnToolCall) -> None:
        """Undo `limit`, since the call could not be sent."""
        errand.is_elsewhere = False
        errand.rest()

    def _late(self, errand: OwnToolCall, limit_s: float) -> None:
        errand.timer = None
        errand.call.withdraw(TIMED_OUT)
        errand.call.sink.failed(errand.call, BackendTimeout(f"the tool did not answer within {limit_s:g} s"))

    # Questions

    def elicit(self, errand: OwnToolCall, params: dict[str, Any]) -> Deferred[dict[str, Any]]:
        """Ask the user of a call's client; fires with the ``ElicitResult``.

        :raise QuestionRefused: (through the Deferred) the client does not support the question.
        :raise ClientGone: (through the Deferred) the client has gone away, or does not resume the call in time.
        :raise Overloaded: (through the Deferred) too many calls are parked.
        """
        offered = translate.client_capabilities_for_legacy(errand.call.message.meta or {})
        no = refusal(ELICIT, params, offered)
        if no is not None:
            return fail(QuestionRefused(*no))
        if errand.client is None or errand.answer is not None:
            return fail(ClientGone("the client is not there any more"))
        if not (self._is_open and self._parked.has_room(errand)):
            return fail(Overloaded("too many calls wait for answers of their users already"))
        waiting: Deferred[dict[str, Any]] = Deferred()
        errand.answer, errand.question = waiting, {"method": ELICIT, "params": params}
        self._park(errand)
        return waiting

    def _park(self, errand: OwnToolCall) -> None:
        client, errand.client = errand.client, None
        errand.timer = self._clock.callLater(
            PARKED_TICKS, self._give_up, errand, "its client did not come back"
        )
        self.forget(errand, client)
        self._parked.park(errand, client, {QUESTION: errand.question})

    def _give_up(self, errand: OwnToolCall, why: str) -> None:
        errand.rest()
        self._parked.remove(errand)
        waiting, errand.answer = errand.answer, None
        if waiting is not None:
            waiting.errback(ClientGone(why))

    def close(self) -> None:
        """Give up the parked calls, since the gateway stops; calls under way are left to the shutdown."""
        self._is_open = False
        for errand in self._parked:
            self._give_up(errand, "the gateway is stopping")


def _typed(reply: Envelope) -> Envelope:
    # The results of the gateway's own tools suit both eras, except for the ``resultType`` of the modern one.
    if "result" not in reply or "resultType" in peek.members(reply, "result"):
        return reply
    return reply | {"result": translate.modern_result("tools/call", reply["result"], None)}


def _answer(params: Envelope) -> dict[str, Any] | None:
    said = peek.members(params, "inputResponses")
    if QUESTION not in said:
        return None
    try:
        return jsonrpc.value(said[QUESTION], dict)
    except GatewayError:
        raise InvalidParams(f"Invalid params: inputResponses.{QUESTION} must be an object") from None
