"""Requests of servers to their clients."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.hub.client_requests import FIRST_LIMIT, LIMIT, UNANSWERED_TICKS, UNHEARD_TICKS, Questions
from mcpgateway.hub.mailbox import MESSAGES_LIMIT
from mcpgateway.hub.sessions import Session
from mcpgateway.system.journal import Journal
from tests.support.gateway_in_memory import Client, MemoryChild, MemoryGateway

QUESTION = {"method": "elicitation/create", "params": {"message": "Yes?", "requestedSchema": {}}}


OFFERS = {"elicitation": {}, "sampling": {}, "roots": {}}
CANCELLED = "notifications/cancelled"

identifiers = st.integers(-(2**70), 2**70) | st.text(max_size=20)  # lone surrogates too


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with a server whose sessions have a child each."""
    return MemoryGateway()


def connected(gateway: MemoryGateway) -> tuple[Client, MemoryChild]:
    """A client that can be asked anything, and the child of its own."""
    client = gateway.client("own")
    client.initialize(protocolVersion="2025-06-18", capabilities=OFFERS)
    return client, gateway.child


def ask(child: MemoryChild, identifier: Any = 7, method: str = "elicitation/create") -> None:
    """Let a child ask its client something."""
    child.say({"jsonrpc": "2.0", "id": identifier, "method": method, "params": {"message": "Yes?"}})


def heard(ears: Client) -> list[Any]:
    """The events that a client has heard on a stream."""
    return ears.heard.events if ears.heard is not None else []


def answers(child: MemoryChild) -> list[Any]:
    """The answers that a child has been given, of whichever kind."""
    return [each for each in child.received if "method" not in each]


def session_of(gateway: MemoryGateway, client: Client) -> Session:
    """The session of a client."""
    session = gateway.sessions.named(client.headers["Mcp-Session-Id"].encode())
    assert session is not None
    return session


class AnswerTests:
    """The way back of an answer."""

    @given(identifiers, st.lists(st.sampled_from(["result", "error"]), min_size=1, max_size=3))
    def test_under_the_id_it_was_asked_with(self, identifier: Any, kinds: list[str]) -> None:
        """The answer to a child's question has the very id of the question, and is the client's own."""
        gateway = MemoryGateway()
        client, child = connected(gateway)
        ears = gateway.listen(client)
        for nth, kind in enumerate(kinds):
            ask(child, identifier)
            answer = {"jsonrpc": "2.0", "id": heard(ears)[-1]["id"], kind: {"code": nth, "message": "m"}}
            assert client.ask(answer).status == 202
            assert answers(child)[-1] == {**answer, "id": identifier}
            assert type(answers(child)[-1]["id"]) is type(identifier)
        assert len(answers(child)) == len(kinds)
        assert len(gateway.dispatcher.questions) == 0

    def test_as_it_was_spelled(self, gateway: MemoryGateway) -> None:
        """The answer reaches the server as the client spelled it, but for the id."""
        client, child = connected(gateway)
        ears = gateway.listen(client)
        lines: list[bytes] = []
        child.write = lambda line, now=False: lines.append(line)  # type: ignore[method-assign]
        ask(child, "q")
        (asked,) = heard(ears)
        client.ask(b'{"jsonrpc":"2.0","id":%d,"result":{"a":1.10,"b":[1E5,"\\u00e9"]},"x":1.0}' % asked["id"])
        assert lines == [b'{"jsonrpc":"2.0","id":"q","result":{"a":1.10,"b":[1E5,"\\u00e9"]},"x":1.0}\n']

    def test_only_from_whoever_was_asked(self, gateway: MemoryGateway) -> None:
        """An answer of another session's, to another number or for the second time reaches nobody."""
        (one, child), (two, other) = connected(gateway), connected(gateway)
        ears = gateway.listen(one)
        ask(child)
        (asked,) = heard(ears)
        answer = {"jsonrpc": "2.0", "id": asked["id"], "result": {}}
        strays = [
            (two, answer),
            (gateway.session(), answer),
            (gateway.client(), answer),
            *(
                (one, {**answer, "id": number})
                for number in (asked["id"] + 1, str(asked["id"]), 0, -1, 2**70)
            ),
        ]
        for client, stray in strays:
            assert client.ask(stray).status == 202
        assert answers(child) == answers(other) == []
        assert one.ask(answer).status == 202
        assert one.ask(answer).status == 202
        assert answers(child) == [{**answer, "id": 7}]

    def test_out_of_order(self, gateway: MemoryGateway) -> None:
        """Several questions of one child are told apart, in whatever order they are answered."""
        client, child = connected(gateway)
        ears = gateway.listen(client)
        for identifier in (1, "1", 2):
            ask(child, identifier)
        assert len({asked["id"] for asked in heard(ears)}) == 3
        for asked in reversed(heard(ears)):
            client.ask({"jsonrpc": "2.0", "id": asked["id"], "result": {}})
        assert [each["id"] for each in answers(child)] == [2, "1", 1]

    def test_a_child_that_hears_no_more(self, gateway: MemoryGateway) -> None:
        """An answer to a child that is being stopped is lost without harm."""
        client, child = connected(gateway)
        ears = gateway.listen(client)
        ask(child)
        child.is_stopping = True
        (asked,) = heard(ears)
        assert client.ask({"jsonrpc": "2.0", "id": asked["id"], "result": {}}).status == 202
        assert answers(child) == []
        assert len(gateway.dispatcher.questions) == 0


class WhereTests:
    """On which stream a question is heard."""

    def test_on_the_newest_call(self, gateway: MemoryGateway) -> None:
        """A question comes on the stream of the call that was made last, and on no other."""
        client, child = connected(gateway)
        calls = [gateway.client("own", **client.headers) for _ in range(2)]
        ears = gateway.listen(client)
        for number, call in enumerate(calls):
            call.call(number)
        ask(child)
        assert [len(heard(each)) for each in (*calls, ears)] == [0, 1, 0]

    def test_where_a_call_takes_no_stream(self, gateway: MemoryGateway) -> None:
        """A call whose answer must be JSON is no place to ask; the standing stream is, as soon as there is one."""
        client, child = connected(gateway)
        call = gateway.client("own", **client.headers)
        call.headers["Accept"] = "application/json"
        call.call(1)
        ask(child)
        assert call.heard is None
        assert [each["method"] for each in heard(gateway.listen(client))] == ["elicitation/create"]

    def test_progress_of_it(self, gateway: MemoryGateway) -> None:
        """Only a session that has a question before it may report progress."""
        (one, child), (two, _) = connected(gateway), connected(gateway)
        questions = gateway.dispatcher.questions
        ears = gateway.listen(one)
        ask(child)
        assert questions.owns_token(session_of(gateway, one))
        assert not questions.owns_token(session_of(gateway, two))
        one.ask({"jsonrpc": "2.0", "id": heard(ears)[0]["id"], "result": {}})
        assert not questions.owns_token(session_of(gateway, one))


class LimitTests:
    """Bounds of the questions that a client is asked at a time."""

    def test_too_many(self, gateway: MemoryGateway) -> None:
        """A question beyond the limit is refused; an answer makes room, and other sessions have room of their own."""
        (one, child), (_, other) = connected(gateway), connected(gateway)
        ears = gateway.listen(one)
        for number in range(LIMIT + 1):
            ask(child, number)
        assert len(heard(ears)) == LIMIT
        (refused,) = answers(child)
        assert refused["id"] == LIMIT
        assert refused["error"]["message"] == f"the client already has {LIMIT} questions to answer"
        ask(other)
        assert answers(other) == []
        one.ask({"jsonrpc": "2.0", "id": heard(ears)[0]["id"], "result": {}})
        ask(child, "again")
        assert len(heard(ears)) == LIMIT + 1

    def test_where_numbers_begin(self) -> None:
        """Every gateway begins somewhere else, and leaves room for more questions than it can ever ask."""
        beginnings = {next(Questions()._numbers) for _ in range(20)}
        assert len(beginnings) > 1
        assert all(0 < number <= FIRST_LIMIT < 2**52 for number in beginnings)


class PatienceTests:
    """Patience of a child with its client."""

    def test_nobody_listens(self, gateway: MemoryGateway) -> None:
        """A question that cannot be asked is given up after a minute, and is not asked any more."""
        client, child = connected(gateway)
        ask(child)
        gateway.tick(UNHEARD_TICKS)
        assert answers(child) == []
        gateway.tick()
        (given_up,) = answers(child)
        assert (given_up["id"], given_up["error"]["code"]) == (7, -32001)
        assert heard(gateway.listen(client)) == []
        gateway.tick(UNANSWERED_TICKS)
        assert len(answers(child)) == 1

    def test_nobody_answers(self, gateway: MemoryGateway) -> None:
        """A question that was heard is given up after an hour, and its client is told that nobody waits any more."""
        client, child = connected(gateway)
        ears = gateway.listen(client)
        ask(child)
        gateway.tick(UNANSWERED_TICKS)
        assert answers(child) == []
        gateway.tick()
        assert answers(child)[0]["error"]["code"] == -32001
        asked, cancelled = heard(ears)
        assert cancelled["method"] == CANCELLED
        assert cancelled["params"] == {"requestId": asked["id"], "reason": "timed out"}

    def test_the_hour_begins_when_it_is_heard(self, gateway: MemoryGateway) -> None:
        """A client that begins to listen at the last moment has as long to answer as any other."""
        client, child = connected(gateway)
        ask(child)
        gateway.tick(UNHEARD_TICKS)
        ears = gateway.listen(client)
        gateway.tick(UNANSWERED_TICKS)
        assert answers(child) == []
        later = gateway.client("own", **client.headers)
        later.ask({"jsonrpc": "2.0", "id": heard(ears)[0]["id"], "result": {}})
        assert answers(child) == [{"jsonrpc": "2.0", "id": 7, "result": {}}]


class CrowdedTests:
    """A question that waits among other messages, because its client does not listen."""

    def test_noise(self, gateway: MemoryGateway) -> None:
        """However much a server logs, the client hears its question and that its tools have changed."""
        client, child = connected(gateway)
        ask(child)
        child.say({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        for number in range(2 * MESSAGES_LIMIT):
            params = {"level": "info", "data": number}
            child.say({"jsonrpc": "2.0", "method": "notifications/message", "params": params})
        methods = [each["method"] for each in heard(gateway.listen(client))]
        assert methods[:2] == ["elicitation/create", "notifications/tools/list_changed"]
        assert len(methods) == MESSAGES_LIMIT

    def test_no_room(self, gateway: MemoryGateway) -> None:
        """A question that gives way to other news is refused to its server at once, and never heard."""
        client, child = connected(gateway)
        ask(child)
        mailbox = session_of(gateway, client).mailbox
        for number in range(MESSAGES_LIMIT):
            mailbox.put(b'{"method":"news"}', number)
        (refused,) = answers(child)
        assert refused["id"] == 7
        assert "too many messages" in refused["error"]["message"]
        assert len(gateway.dispatcher.questions) == 0
        assert {each["method"] for each in heard(gateway.listen(client))} == {"news"}
        gateway.tick(UNHEARD_TICKS + 1)
        assert len(answers(child)) == 1

    def test_a_taken_back_question(self, gateway: MemoryGateway) -> None:
        """The news that a question was taken back gives way like other news, and its server is told nothing more."""
        client, child = connected(gateway)
        ears = gateway.listen(client)
        ask(child)
        ears.channel.connectionLost(None)  # type: ignore[arg-type]
        child.say({"jsonrpc": "2.0", "method": CANCELLED, "params": {"requestId": 7}})
        mailbox = session_of(gateway, client).mailbox
        assert len(mailbox) == 1
        for number in range(MESSAGES_LIMIT):
            mailbox.put(b"{}", number)
        assert answers(child) == []

    def test_a_stream_that_is_breaking(self, gateway: MemoryGateway) -> None:
        """A stream that could not be told the question is none on which it was heard."""
        client, child = connected(gateway)
        ears = gateway.listen(client)
        ears.channel.abort()
        ask(child)
        gateway.tick(UNHEARD_TICKS + 1)
        assert len(answers(child)) == 1


class EndTests:
    """Questions whose client or whose child goes."""

    @pytest.mark.parametrize(
        ("method", "answer"),
        [
            ("elicitation/create", {"result": {"action": "cancel"}}),
            ("sampling/createMessage", {"error": {"code": -32000, "message": "the client has disconnected"}}),
            ("roots/list", {"error": {"code": -32000, "message": "the client has disconnected"}}),
        ],
    )
    def test_the_client_goes(self, gateway: MemoryGateway, method: str, answer: dict[str, Any]) -> None:
        """A session that ends answers all that it was asked; other sessions still have theirs before them."""
        (one, child), (_, other) = connected(gateway), connected(gateway)
        for identifier in (1, 2):
            ask(child, identifier, method)
        ask(other, 1, method)
        one.ask(b"", "DELETE")
        assert answers(child) == [{"jsonrpc": "2.0", "id": identifier, **answer} for identifier in (1, 2)]
        assert answers(other) == []
        assert len(gateway.dispatcher.questions) == 1

    def test_the_child_goes(self, gateway: MemoryGateway) -> None:
        """The client of a child that goes is told, on the stream it was asked on; a question it had not heard
        it never hears.
        """
        (one, child), (two, other) = connected(gateway), connected(gateway)
        ears = gateway.listen(one)
        for each in (child, other):
            ask(each)
            each.exit(1)
        asked, cancelled = heard(ears)
        assert cancelled["params"] == {"requestId": asked["id"], "reason": "the server has ended"}
        assert CANCELLED not in [event["method"] for event in heard(gateway.listen(two))]
        assert len(gateway.dispatcher.questions) == 0

    @pytest.mark.parametrize(
        ("asked", "taken_back", "matches"),
        [
            ('"a"', '"a"', True),
            ('"a"', '"\\u0061"', True),
            ("7", "7", True),
            ("7", '"7"', False),
            ("7", "8", False),
            ("7", "null", False),
        ],
    )
    def test_taken_back(self, gateway: MemoryGateway, asked: str, taken_back: str, *, matches: bool) -> None:
        """A child takes back its own question by its id as a JSON value, and nobody else's of the same id."""
        (one, child), (two, other) = connected(gateway), connected(gateway)
        ears = [gateway.listen(one), gateway.listen(two)]
        for each in (child, other):
            ask(each, json.loads(asked))
        note = '{"jsonrpc":"2.0","method":"%s","params":{"requestId":%s,"reason":"r","x":1.10}}'
        child._receiver.line_received((note % (CANCELLED, taken_back)).encode())
        assert [len(heard(each)) for each in ears] == [1 + matches, 1]
        if matches:
            question, cancelled = heard(ears[0])
            assert cancelled["params"] == {"requestId": question["id"], "reason": "r", "x": 1.1}
            seen = len(answers(child))
            one.ask({"jsonrpc": "2.0", "id": question["id"], "result": {}})
            assert len(answers(child)) == seen

    def test_a_later_child_knows_nothing_of_it(self, gateway: MemoryGateway) -> None:
        """A question of a child that has ended is neither answered to the next one, nor taken back by it."""
        client, child = connected(gateway)
        ears = gateway.listen(client)
        ask(child)
        child.exit(1)
        client.call(1)
        later = gateway.child
        assert later is not child
        ask(later)
        former, question = [
            each for each in heard(ears) + heard(client) if each["method"] == "elicitation/create"
        ]
        later.say({"jsonrpc": "2.0", "method": CANCELLED, "params": {"requestId": former["id"]}})
        for asked, text in ((former, "the former"), (question, "the latter")):
            answer = {"jsonrpc": "2.0", "id": asked["id"], "result": {"of": text}}
            gateway.client("own", **client.headers).ask(answer)
        assert [each["result"] for each in answers(later)] == [{"of": "the latter"}]
        assert answers(child) == []


class NumberTests:
    """The ids under which clients know questions."""

    def asked(self, gateway: MemoryGateway, headers: dict[str, str]) -> Any:
        """A question about a call of that session's, as its client hears it."""
        client = gateway.client("own", **headers)
        client.call(1, name="ask")
        gateway.child.say({"jsonrpc": "2.0", "id": 7, **QUESTION})
        assert client.heard is not None
        return client.heard.events[-1]

    def test_a_session_hears_no_number_twice(self) -> None:
        """An answer to what the gateway asked before it was killed is no answer to what it asks now."""
        store = Journal(":memory:", lambda: 0.0)
        before = MemoryGateway(store=store)
        client = before.client("own")
        client.initialize(protocolVersion="2025-06-18", capabilities={"elicitation": {}})
        former = self.asked(before, client.headers)
        after = MemoryGateway(store=store)
        latter = self.asked(after, client.headers)
        assert former["id"] != latter["id"]
        late = {"jsonrpc": "2.0", "id": former["id"], "result": {"action": "accept"}}
        assert after.client("own", **client.headers).ask(late).status == 202
        assert [each for each in after.child.received if each.get("id") == 7] == []
