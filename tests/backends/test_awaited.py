"""Calls of the former program, until their requests are back."""

import pytest

from mcpgateway.backends.awaited import LIMIT_TICKS, AwaitedCalls
from mcpgateway.errors import ShuttingDown
from mcpgateway.inherited import SentCall
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc


def request(arrived, identifier):
    """A request of a client."""
    made = Request(None, jsonrpc.own_request("tools/call", {}, identifier), None, None)
    made.arrived = arrived
    return made


class AwaitedCallsTests:
    """A call is the one of its arrival and its id."""

    def test_found_once(self):
        """A request gets the number and the age of its call, and no other request does."""
        awaited = AwaitedCalls([SentCall(1.5, b"1", 40, 3), SentCall(2.5, b"1", 41, 0)])
        mine = request(2.5, b"1")
        assert awaited.take(mine)
        assert (mine.number, mine.age) == (41, 0)
        assert not any(map(awaited.take, (request(2.5, b"1"), request(1.5, b"2"), request(3.5, b"1"))))
        assert awaited.arrivals() == {1.5}

    def test_an_early_answer(self):
        """An answer that comes before its request is kept for it; that to any other call is not."""
        awaited = AwaitedCalls([SentCall(1.5, b"1", 40, 0)])
        assert awaited.holds(40, b"answer")
        assert not awaited.holds(41, b"other")
        assert awaited.take(request(1.5, b"1"))
        assert awaited.early(40) == b"answer"
        assert not awaited.holds(40, b"again")

    def test_never_twice(self):
        """A request that was sent is refused by the conversation of any other process, and later by its own."""
        mine = request(1.5, b"1")
        mine.was_sent = True
        with pytest.raises(ShuttingDown, match="may have had effects"):
            AwaitedCalls([SentCall(2.5, b"1", 41, 0)]).take(mine)
        assert AwaitedCalls([SentCall(1.5, b"1", 40, 0)]).take(mine)
        assert not mine.was_sent  # a further round of the same call is sent

    def test_given_up(self):
        """Requests that do not come back are not waited for without end."""
        awaited = AwaitedCalls([SentCall(1.5, b"1", 40, 0)])
        for _ in range(LIMIT_TICKS + 1):
            awaited.tick()
        assert not awaited
        assert not awaited.holds(40, b"answer")
