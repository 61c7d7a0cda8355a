"""Calls of modern clients that wait for an answer of their client, found by the state that the client returns.

A question goes to a modern client in the answer to its request: ``input_required``, with the questions and a sealed
state.  The next request of the client brings the answers and the state, and continues the parked call (MCP 2026-07-28,
"Multi Round-Trip Requests").  A state is valid once, for `PARKED_TICKS`, and for the same principal, server, method and
arguments.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from time import perf_counter
from typing import Any, Generic, Protocol, TypeVar

from attrs import define, field

from mcpgateway.interfaces import QuestionMarks, Request
from mcpgateway.protocol import jsonrpc, modern, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.request_states import HANDLE_BYTES, RequestStates

PARKED_TICKS = 600  # the time that a human may take to decide
PARKED_LIMIT = 1000
PARKED_OF_PRINCIPAL = 100

StateKey = tuple[str, str, str, bytes]
"""Principal, server, method, digest of the arguments: the binding of a state."""


class ParkedCall(Protocol):
    """A call that can be parked.

    :ivar key: the binding of its state.
    :ivar handle: the random id of the parked call, sealed in its state.
    """

    key: StateKey
    handle: bytes


C = TypeVar("C", bound=ParkedCall)


@define(eq=False, repr=False)
class Parking(Generic[C]):
    """The parked calls.

    :ivar _states: seals and opens the states.
    :ivar _seconds: the wall clock.
    """

    _states: RequestStates
    _seconds: Callable[[], float]
    _calls: dict[bytes, C] = field(init=False, factory=dict)

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[C]:
        return iter(list(self._calls.values()))

    def has_room(self, call: C) -> bool:
        """True if a call may be parked beside the others."""
        of_principal = sum(each.key[0] == call.key[0] for each in self._calls.values())
        return len(self._calls) < PARKED_LIMIT and of_principal < PARKED_OF_PRINCIPAL

    def park(self, call: C, client: Request | None, questions: Mapping[str, Any]) -> None:
        """Park a call, and send the questions to its client.

        :param client: the client's request, which is answered with the questions; None if it has gone.
        """
        call.handle = secrets.token_bytes(HANDLE_BYTES)
        self._calls[call.handle] = call
        if client is None:
            return
        if client.marks is not None:
            now = (
                perf_counter()
            )  # the answers come with another request, so none of this one's time goes into them
            asked = [
                QuestionMarks(_method(each), bytes(jsonrpc.raw(name)), now, now)
                for name, each in questions.items()
            ]
            client.marks.questions = [*(client.marks.questions or ()), *asked]
        result = {
            "resultType": modern.INPUT_REQUIRED,
            "inputRequests": questions,
            "requestState": self._states.seal(call.handle, int(self._seconds()) + PARKED_TICKS, *call.key),
        }
        client.sink.answered(client, jsonrpc.result(jsonrpc.NULL, result))

    def find(self, params: Envelope, key: StateKey) -> C | None:
        """Return the parked call of the state in these parameters, which stays parked; None without one."""
        state = peek.text(params, "requestState", jsonrpc.URI_LIMIT) or ""
        handle = self._states.open(state, int(self._seconds()), *key)
        return self._calls.get(handle) if handle is not None else None

    def remove(self, call: C) -> None:
        """Remove a parked call."""
        self._calls.pop(call.handle, None)


def _method(question: Any) -> str:
    # One's own is a value, one of a server is as it came.
    found = question.get("method", "") if isinstance(question, Mapping) else ""
    return found if isinstance(found, str) else jsonrpc.read_string(found, "method")
