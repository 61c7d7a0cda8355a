"""Identical calls that are under way at once: one call to the server, an answer for each."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.errors import BackendGone, GatewayError, ShuttingDown
from mcpgateway.hub.coalescing import SingleFlight, canonical
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc
from tests.support.gateway_in_memory import MemoryGateway
from tests.support.sinks import Sink


def item(**annotations: bool) -> Item:
    """A tool with these annotations."""
    raw = {"name": jsonrpc.raw("look"), "annotations": jsonrpc.raw(annotations)}
    return Item("shared", ListKind.TOOL, "look", raw)


SAFE = item(readOnlyHint=True, idempotentHint=True)


class Skies:
    """A gateway in whose place the test brings calls together."""

    def __init__(self, server: str = "shared") -> None:
        self.gateway = MemoryGateway()
        self.server = server
        self.flights = SingleFlight()

    def session(self) -> Any:
        client = self.gateway.session(self.server)
        return self.gateway.sessions.named(client.headers["Mcp-Session-Id"].encode())

    def call(
        self, session: Any, identifier: int, arguments: Any = None, token: Any = None, tool: Item = SAFE
    ) -> tuple[Request, Sink, bool]:
        params: dict[str, Any] = {"name": "look", "arguments": arguments or {}}
        if token is not None:
            params["_meta"] = {"progressToken": token}
        body = {"jsonrpc": "2.0", "id": identifier, "method": "tools/call", "params": params}
        message = jsonrpc.read_client(json.dumps(body).encode())
        call = Request(session, message, message.token, Sink())
        sink = call.sink
        has_joined = self.flights.join(call, tool, self.gateway.dispatcher.submit)
        return call, sink, has_joined

    def asked(self) -> list[dict[str, Any]]:
        return self.gateway.child.asked("tools/call")


@pytest.fixture
def skies() -> Skies:
    """Calls to a shared server."""
    return Skies()


class TogetherTests:
    """Calls that fly together."""

    def test_one_call_for_all(self, skies: Skies) -> None:
        """Identical calls of several sessions are one to the server, and each is answered under its own id."""
        calls = [skies.call(skies.session(), 10 + each, {"a": 1, "b": [2]}) for each in range(5)]
        assert all(has_joined for _, _, has_joined in calls)
        (asked,) = skies.asked()
        skies.gateway.child.answer(asked, {"content": []})
        assert [sink.replies[0]["result"] for _, sink, _ in calls] == [{"content": []}] * 5
        assert [sink.replies[0]["id"] for _, sink, _ in calls] == [10, 11, 12, 13, 14]
        assert skies.flights.calls() == []
        skies.call(skies.session(), 99, {"a": 1, "b": [2]})
        assert len(skies.asked()) == 2

    def test_the_sink(self, skies: Skies) -> None:
        """A flight waits for an answer as any other does."""
        skies.call(skies.session(), 1)
        (own,) = (call for slot in skies.gateway.dispatcher.pool for call in slot.calls())
        assert not own.sink.is_gone

    def test_progress(self, skies: Skies) -> None:
        """Each hears the progress under its own token; whoever wants none does not fly with those who do."""
        one, two = (skies.call(skies.session(), each, token=f"t{each}") for each in range(2))
        quiet = skies.call(skies.session(), 9)
        asked, _ = skies.asked()
        token = asked["params"]["_meta"]["progressToken"]
        params = {"progressToken": token, "progress": 1}
        skies.gateway.child.say({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
        heard = [json.loads(sink.messages[0])["params"]["progressToken"] for _, sink, _ in (one, two)]
        assert heard == ["t0", "t1"]
        assert quiet[1].messages == []

    def test_failure(self, skies: Skies) -> None:
        """The end of the server ends all of the calls."""
        calls = [skies.call(skies.session(), each) for each in range(3)]
        skies.gateway.child.exit(1)
        assert all(isinstance(sink.reasons[0], BackendGone) for _, sink, _ in calls)

    def test_a_refusal(self, skies: Skies) -> None:
        """A call that goes nowhere is refused, and leaves nothing behind."""
        session = skies.session()
        skies.gateway.dispatcher.is_open = False
        with pytest.raises(ShuttingDown):
            skies.call(session, 1)
        assert skies.flights.calls() == []


class LeavingTests:
    """Clients that do not wait for the answer."""

    def test_a_follower(self, skies: Skies) -> None:
        """A follower takes nobody with it."""
        one, two = (skies.call(skies.session(), each) for each in range(2))
        assert two[0].withdraw("enough")
        assert not two[0].withdraw("enough")
        skies.gateway.child.answer(skies.asked()[0], {"x": 1})
        assert one[1].replies
        assert not two[1].replies

    def test_the_first(self, skies: Skies) -> None:
        """When the first leaves, the server works on for the next, whose session it is then."""
        one, two = (skies.call(skies.session(), each) for each in range(2))
        assert one[0].withdraw("enough")
        assert not skies.gateway.child.asked("notifications/cancelled")
        (own,) = (call for slot in skies.gateway.dispatcher.pool for call in slot.calls())
        assert own.session is two[0].session
        skies.gateway.child.answer(skies.asked()[0], {"x": 1})
        assert two[1].replies
        assert not one[1].replies

    def test_the_last(self, skies: Skies) -> None:
        """When nobody is left, the server is told."""
        one, two = (skies.call(skies.session(), each) for each in range(2))
        one[0].withdraw("enough")
        two[0].withdraw("enough")
        assert skies.gateway.child.asked("notifications/cancelled")[0]["params"]["reason"] == "enough"
        assert skies.flights.calls() == []

    def test_the_end_of_its_session(self, skies: Skies) -> None:
        """Where the call was lost with the first one's session, it is made once more for the others."""
        one, two, three = (skies.call(skies.session(), each) for each in range(3))
        skies.gateway.dispatcher.end(one[0].session, "it is over")
        assert one[1].reasons
        assert len(skies.asked()) == 2
        skies.gateway.child.answer(skies.asked()[1], {"x": 1})
        assert two[1].replies
        assert three[1].replies
        assert skies.flights.calls() == []

    def test_gone(self, skies: Skies) -> None:
        """A flight is given up only when nobody waits any more."""
        one, two = (skies.call(skies.session(), each) for each in range(2))
        (own,) = (call for slot in skies.gateway.dispatcher.pool for call in slot.calls())
        one[1].is_gone = True
        assert not own.sink.is_gone
        two[1].is_gone = True
        assert own.sink.is_gone


class ApartTests:
    """Calls that do not fly together."""

    def test_unannotated(self, skies: Skies) -> None:
        """A tool that does not say both of itself is called each time."""
        for tool in (item(), item(readOnlyHint=True), item(idempotentHint=True)):
            assert not skies.call(skies.session(), 1, tool=tool)[2]

    def test_other_arguments(self, skies: Skies) -> None:
        """A call with other arguments is another call, also where they are nearly the same."""
        session = skies.session()
        for each in ({}, {"a": 1}, {"a": 1.0}, {"a": "1"}, {"a": True}, {"a": ["1"]}):
            skies.call(session, 1, each)
        assert len(skies.asked()) == 6

    def test_other_children(self) -> None:
        """Sessions with children of their own do not share calls."""
        skies = Skies("own")
        one, two = skies.session(), skies.session()
        skies.call(one, 1)
        skies.call(two, 1)
        assert [len(each.asked("tools/call")) for each in skies.gateway.launcher.children] == [1, 1]

    def test_what_may_be_asked_back(self, skies: Skies) -> None:
        """A retry with answers, and a call that begins a task, stand alone."""
        session = skies.session()
        for more in ({"requestState": "x"}, {"inputResponses": {}}, {"task": {}}):
            params = {"name": "look", **more}
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
            message = jsonrpc.read_client(json.dumps(body).encode())
            call = Request(session, message, None, Sink())
            assert not skies.flights.join(call, SAFE, _nowhere)


def _nowhere(call: Request) -> None:
    raise GatewayError("it must not be submitted")


trees = st.recursive(
    st.one_of(
        st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(), st.booleans(), st.none()
    ),
    lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(st.text(), below, max_size=3)),
    max_leaves=8,
)


class CanonicalTests:
    """Arguments that count as the same."""

    @given(st.dictionaries(st.text(min_size=1), trees, max_size=4))
    def test_order_and_blanks(self, value: dict[str, Any]) -> None:
        """The order of members, blanks and escapes make no difference."""
        turned = dict(reversed(list(value.items())))
        one, two = (
            Raw(json.dumps(each, indent=indent, ensure_ascii=way).encode())
            for each, indent, way in ((value, None, True), (turned, 3, False))
        )
        assert canonical({"arguments": one}, None) == canonical(
            {"arguments": two}, {"traceparent": Raw(b'"x"')}
        )

    @given(trees, trees)
    def test_what_differs(self, one: Any, two: Any) -> None:
        """Values that are written otherwise are other values."""
        same = json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
        first, second = (
            canonical({"arguments": Raw(json.dumps(each).encode())}, None) for each in (one, two)
        )
        assert (first == second) is same

    def test_what_cannot_be_told(self) -> None:
        """Names that are there twice, half characters and very long arguments are compared with nothing."""
        for text in (b'{"a":1,"a":2}', b'"\\ud800"', b'"' + b"x" * 70_000 + b'"'):
            assert canonical({"arguments": Raw(text)}, None) is None
