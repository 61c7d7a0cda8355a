"""Parked calls of modern clients."""

from __future__ import annotations

from attrs import define
from msgspec import Raw

from mcpgateway.hub.parking import Parking, StateKey
from mcpgateway.interfaces import CallMarks, Request
from mcpgateway.protocol.jsonrpc import own_request
from mcpgateway.protocol.request_states import RequestStates
from tests.support.sinks import Sink


@define
class Parked:
    """A call."""

    key: StateKey = ("me", "server", "tools/call", b"digest")
    handle: bytes = b""


class ParkingTests:
    """The questions that go to a client with the answer to its request."""

    def test_questions_are_noted(self) -> None:
        """Each question is noted with the request, and takes none of its time."""
        parking: Parking[Parked] = Parking(RequestStates(bytes(32), bytes(8)), lambda: 0.0)
        sink = Sink()
        request = Request(None, own_request("tools/call"), None, sink)
        request.marks = CallMarks()
        questions = {
            "q1": {"method": Raw(b'"elicitation/create"'), "params": Raw(b"{}")},
            "q2": {"method": "sampling/createMessage"},
        }
        parking.park(Parked(), request, questions)
        noted = request.marks.questions
        assert noted is not None
        assert [(each.method, each.identifier) for each in noted] == [
            ("elicitation/create", b'"q1"'),
            ("sampling/createMessage", b'"q2"'),
        ]
        assert all(each.began == each.ended > 0 for each in noted)
        assert len(sink.replies) == 1

    def test_without_times(self) -> None:
        """A request whose times nobody wants is answered alike."""
        parking: Parking[Parked] = Parking(RequestStates(bytes(32), bytes(8)), lambda: 0.0)
        sink = Sink()
        parking.park(Parked(), Request(None, own_request("tools/call"), None, sink), {"q": {"method": "x"}})
        assert len(sink.replies) == 1
