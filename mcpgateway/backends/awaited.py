"""The calls that a child has been sent by the former program of this process, until their clients' requests are back.

# Note [A call that goes on]
The program that begins serves the requests under way once more, by the same ways as ever: so the receivers of their
answers are made anew.  At the end of each way, the request is recognised by the time of its arrival, which goes with
its connection, and by its client's id.  It takes the number of the call that is under way, and is not sent again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mcpgateway.errors import ShuttingDown
from mcpgateway.inherited import SentCall
from mcpgateway.interfaces import Request
from mcpgateway.protocol.jsonrpc import Message, MessageKind

LIMIT_TICKS = 60  # in which all requests are back


SENT = Message(MessageKind.REQUEST, {})
"""Takes the place of a request's message once it is sent: large parameters are not kept until the answer comes."""


def sent_calls(pending: Mapping[int, Request]) -> tuple[SentCall, ...]:
    """Return the calls of clients among the requests that a child has not answered, by number."""
    calls = ((number, call) for number, call in pending.items() if call.session is not None)
    return tuple(SentCall(call.arrived, call.id, number, call.age) for number, call in calls)


class AwaitedCalls:
    """The calls of one child; see Note [A call that goes on]."""

    def __init__(self, calls: Iterable[SentCall]) -> None:
        self._calls = {(each.arrived, each.id): each for each in calls}
        self._numbers = {each.number: each for each in self._calls.values()}
        self._early: dict[int, bytes] = {}
        self._ticks = 0

    def __bool__(self) -> bool:
        return bool(self._calls)

    def arrivals(self) -> set[float]:
        """Return the times at which their requests have arrived."""
        return {arrived for arrived, _ in self._calls}

    def take(self, request: Request) -> bool:
        """Give a request the number of its call; false where it was not sent.

        :raise ShuttingDown: it was sent to another server's process, or that one has not awaited it so long.
        """
        found = self._calls.pop((request.arrived, request.id), None)
        if found is None and request.was_sent:
            raise ShuttingDown(
                "the gateway was restarted before the server answered; the call may have had effects"
            )
        if found is None:
            return False
        request.was_sent = False
        del self._numbers[found.number]
        request.number, request.age, request.message = found.number, found.age, SENT
        return True

    def holds(self, number: int, line: bytes) -> bool:
        """Keep the answer to a call whose request is not back; false for any other call."""
        if number not in self._numbers:
            return False
        self._early[number] = line
        return True

    def early(self, number: int) -> bytes | None:
        """Return the answer to a call that came before its request."""
        return self._early.pop(number, None)

    def tick(self) -> None:
        """Count one second; requests that are not back by then never come."""
        self._ticks += 1
        if self._ticks > LIMIT_TICKS:
            self._calls, self._numbers, self._early = {}, {}, {}
