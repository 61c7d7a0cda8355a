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
from mcpgateway.units import duration

ELICIT = "elicitation/create"
QUESTION = "gateway"
"""The key of a tool's question; a tool asks one at a time."""


@define(eq=False, repr=False)
class OwnToolCall:
    """One call of a tool of the gateway's own; see Note [A tool that asks].

    :ivar client: the client's request, to be answered; None while the call is parked, or after it was cancelled.
    :ivar request: the same request as the tool knows it.
    :ivar key: principal, view, method and digest of the arguments.
    :ivar is_elsewhere: True if it has become the call of a server's tool.
    :ivar question: the question to the client, while the call is parked.
    :ivar answer: fires with the answer to the question; None while no question is open.
    :ivar timer: the end of the parking, or of the time that the call may take.
    """

    owner: OwnToolCalls
    client: Request | None
    request: Request
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

    def answered(self, request: Request, reply: Envelope) -> None:
        """Take the response of the tool, or of the server whose tool the call has become."""
        if request.meter is not None:
            request.meter.answered(request, reply)
        client = self._over()
        if client is not None:
            client.sink.answered(client, _typed(reply))

    def failed(self, request: Request, why: GatewayError) -> None:
        """Take the error in the place of a response."""
        if request.meter is not None:
            request.meter.failed(request, why)
        client = self._over()
        if client is not None:
            client.sink.failed(client, why)

    def _over(self) -> Request | None:
        self.rest()
        client, self.client = self.client, None
        self.owner.forget(self, client)
        return client

    def progressed(self, request: Request, message: bytes) -> None:
        """Pass a progress notification to the client's current request."""
        if self.client is not None:
            self.client.progress = self.request.progress
            self.client.sink.progressed(self.client, message)

    def noticed(self, request: Request, message: bytes) -> bool:
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
        own_call = self._under_way[client] = OwnToolCall(self, client, call, key)
        call.sink, client.holder = own_call, self
        return own_call

    def resume(self, client: Request, principal: str, view: str) -> bool:
        """Resume a parked call by a request that brings its answer; return False when the request resumes none.

        :raise InvalidParams: the answer is no object.
        """
        params = client.message.params or {}
        if "requestState" not in params:
            return False
        own_call = self._parked.find(params, (principal, view, client.method, digest_of(params)))
        if own_call is None or own_call.answer is None:
            return False
        answer = _answer(params)
        self._parked.remove(own_call)
        own_call.rest()
        own_call.client, own_call.request.token, own_call.request.level = client, client.token, client.level
        self._under_way[client] = own_call
        client.holder = self
        if answer is None:
            self._park(own_call)
        else:
            waiting, own_call.answer = own_call.answer, None
            waiting.callback(answer)
        return True

    def forget(self, own_call: OwnToolCall, client: Request | None) -> None:
        """Forget the client's request of a call."""
        if client is not None:
            self._under_way.pop(client, None)

    def calls(self) -> list[Request]:
        """Return the requests of clients at the gateway's own tools, but for those that a server has by now."""
        return [client for client, call in self._under_way.items() if not call.is_elsewhere]

    def withdraw(self, client: Request, reason: str) -> bool:
        """Cancel a client's request; return False when it is none for a tool of the gateway's own."""
        own_call = self._under_way.pop(client, None)
        if own_call is None:
            return False
        own_call.client = None
        own_call.rest()
        if own_call.is_elsewhere:
            own_call.request.withdraw(reason)
        if own_call.request.meter is not None:
            own_call.request.meter.taken_back(own_call.request, reason)
        return True

    def limit(self, own_call: OwnToolCall, limit_s: float) -> None:
        """Limit the time of a call that has become the call of a server's tool."""
        own_call.is_elsewhere = True
        if limit_s > 0:
            own_call.timer = self._clock.callLater(limit_s, self._late, own_call, limit_s)

    def stay(self, own_call: OwnToolCall) -> None:
        """Undo `limit`, since the call could not be sent."""
        own_call.is_elsewhere = False
        own_call.rest()

    def _late(self, own_call: OwnToolCall, limit_s: float) -> None:
        own_call.timer = None
        own_call.request.withdraw(TIMED_OUT)
        own_call.request.sink.failed(
            own_call.request, BackendTimeout(f"the tool did not answer within {duration(limit_s)}")
        )

    # Questions

    def elicit(self, own_call: OwnToolCall, params: dict[str, Any]) -> Deferred[dict[str, Any]]:
        """Ask the user of a call's client; fires with the ``ElicitResult``.

        :raise QuestionRefused: (through the Deferred) the client does not support the question.
        :raise ClientGone: (through the Deferred) the client has gone away, or does not resume the call in time.
        :raise Overloaded: (through the Deferred) too many calls are parked.
        """
        offered = translate.client_capabilities_for_legacy(own_call.request.message.meta or {})
        no = refusal(ELICIT, params, offered)
        if no is not None:
            return fail(QuestionRefused(*no))
        if own_call.client is None or own_call.answer is not None:
            return fail(ClientGone("the client is not there any more"))
        if not (self._is_open and self._parked.has_room(own_call)):
            return fail(Overloaded("too many calls wait for answers of their users already"))
        waiting: Deferred[dict[str, Any]] = Deferred()
        own_call.answer, own_call.question = waiting, {"method": ELICIT, "params": params}
        self._park(own_call)
        return waiting

    def _park(self, own_call: OwnToolCall) -> None:
        client, own_call.client = own_call.client, None
        own_call.timer = self._clock.callLater(
            PARKED_TICKS, self._give_up, own_call, "its client did not come back"
        )
        self.forget(own_call, client)
        self._parked.park(own_call, client, {QUESTION: own_call.question})

    def _give_up(self, own_call: OwnToolCall, why: str) -> None:
        own_call.rest()
        self._parked.remove(own_call)
        waiting, own_call.answer = own_call.answer, None
        if waiting is not None:
            waiting.errback(ClientGone(why))

    def close(self) -> None:
        """Give up the parked calls, since the gateway stops; calls under way are left to the shutdown."""
        self._is_open = False
        for own_call in self._parked:
            self._give_up(own_call, "the gateway is stopping")


def _typed(reply: Envelope) -> Envelope:
    # The results of the gateway's own tools suit both eras, except for the ``resultType`` of the modern one.
    if "result" not in reply or "resultType" in peek.members(reply, "result"):
        return reply
    return reply | {"result": translate.modern_result("tools/call", reply["result"], None)}


def _answer(params: Envelope) -> dict[str, Any] | None:
    responses = peek.members(params, "inputResponses")
    if QUESTION not in responses:
        return None
    try:
        return jsonrpc.value(responses[QUESTION], dict)
    except GatewayError:
        raise InvalidParams(f"Invalid params: inputResponses.{QUESTION} must be an object") from None
