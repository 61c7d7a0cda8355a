"""A conversation with one child: a window for each of its sessions."""

from __future__ import annotations

import json
from typing import Any

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.backends.conversation import WINDOW, Conversation
from mcpgateway.errors import BackendGone, GatewayError, UnknownMethod
from mcpgateway.interfaces import Gone, Request
from mcpgateway.protocol import jsonrpc


@define
class Pipe:
    """A child's stdin, which somebody may read."""

    pid: int = 1
    lines: list[dict[str, Any]] = field(factory=list)
    is_closed: bool = False

    def write(self, line: bytes, *, now: bool = False) -> None:
        if self.is_closed:
            raise BackendGone("it is closed")
        self.lines.append(json.loads(line))


@define
class Nobody:
    """Listens to nothing."""

    def refused(self, *_: Any) -> None:
        """An answer is an error."""

    def noticed(self, *_: Any) -> None:
        """Something is said."""

    def asked(self, *_: Any) -> None:
        """Something is asked."""


@define(eq=False)
class Sink:
    """Keeps what became of calls.

    :ivar done: the ids of those that were answered, in order, and of those that failed, with a minus.
    """

    done: list[str] = field(factory=list)

    def answered(self, call: Request, reply: Any) -> None:
        self.done.append(call.id.decode())

    def failed(self, call: Request, why: GatewayError) -> None:
        self.done.append(f"-{call.id.decode()}")


class Talk:
    """Sessions that call, and a child that answers in order."""

    def __init__(self) -> None:
        self.pipe = Pipe()
        self.sink = Sink()
        self.conversation = Conversation("s", Nobody(), lambda *_: None)
        self.conversation.backend = self.pipe
        self.answered = 0

    def call(self, session: str, name: str, method: str = "tools/call") -> Request:
        """A session calls something."""
        message = jsonrpc.own_request(method, {}, f"{session}{name}".encode())
        call = Request(session, message, None, self.sink)
        self.conversation.request(call)
        return call

    def answer(self, count: int = 1) -> None:
        """The child answers the oldest of what it has read."""
        for _ in range(count):
            line = self.pipe.lines[self.answered]
            self.answered += 1
            if "id" in line:
                reply = {"jsonrpc": "2.0", "id": line["id"], "result": {}}
                self.conversation.line_received(json.dumps(reply).encode())


class TakingBackTests:
    """Calls that nobody waits for any more."""

    def test_anothers_number(self) -> None:
        """A call is not taken for that of another server which has the same number there."""
        one, two = Talk(), Talk()
        first, second = one.call("a", "1"), two.call("a", "2")
        assert first.number == second.number
        assert not two.conversation.cancel(first, "not needed")
        two.answer()
        assert two.sink.done == ["a2"]
        assert one.conversation.cancel(first, "not needed")


class SendingTests:
    """The part of a request that is kept."""

    def test_sent(self) -> None:
        """Once a request is sent, its parameters are not kept beside the number it waits under."""
        talk = Talk()
        calls = [talk.call("a", str(number)) for number in range(WINDOW + 1)]
        assert [bool(each.message.envelope) for each in calls] == [False] * WINDOW + [True]
        assert (calls[0].method, calls[0].id) == ("tools/call", b"a0")


class WindowTests:
    """The part of a child that one session may have."""

    def test_another_comes_soon(self) -> None:
        """However much a session has asked for, another's call stands behind no more than a window of it."""
        talk = Talk()
        for number in range(10 * WINDOW):
            talk.call("a", str(number))
        talk.call("b", "0")
        assert len(talk.pipe.lines) == WINDOW + 1
        talk.answer(WINDOW + 1)
        assert talk.sink.done[-1] == "b0"

    def test_order(self) -> None:
        """A session's calls go in their order, and none is lost."""
        talk = Talk()
        names = [f"a{number}" for number in range(3 * WINDOW)]
        for name in names:
            talk.call("a", name[1:])
        talk.answer(3 * WINDOW)
        assert talk.sink.done == names
        assert talk.conversation.load == 0

    def test_taken_back(self) -> None:
        """A request that is taken back before it was sent never reaches the child."""
        talk = Talk()
        calls = [talk.call("a", str(number)) for number in range(WINDOW + 2)]
        assert talk.conversation.cancel(calls[WINDOW], "not needed")
        assert not talk.conversation.cancel(calls[WINDOW], "not needed")
        talk.answer(WINDOW + 1)
        assert talk.sink.done == [f"a{number}" for number in range(WINDOW + 2) if number != WINDOW]
        assert all(line["method"] == "tools/call" for line in talk.pipe.lines)

    def test_what_is_taken_back_makes_room(self) -> None:
        """A call that is taken back while the child works at it lets the next one go."""
        talk = Talk()
        calls = [talk.call("a", str(number)) for number in range(WINDOW + 1)]
        assert talk.conversation.cancel(calls[0], "not needed")
        methods = [line["method"] for line in talk.pipe.lines]
        assert methods.count("tools/call") == WINDOW + 1

    def test_urgent(self) -> None:
        """A request that ends the calls of a full window, or reports on them, does not wait for it."""
        talk = Talk()
        for number in range(WINDOW + 1):
            talk.call("a", str(number))
        talk.call("a", "x", "tasks/cancel")
        assert talk.pipe.lines[-1]["method"] == "tasks/cancel"

    def test_gone(self) -> None:
        """When the child ends, those that wait are told as well."""
        talk = Talk()
        for number in range(WINDOW + 3):
            talk.call("a", str(number))
        talk.conversation.gone(Gone(1))
        assert talk.sink.done == [f"-a{number}" for number in range(WINDOW + 3)]
        assert talk.conversation.load == 0

    def test_own_questions(self) -> None:
        """A request of the gateway itself has no window."""
        talk = Talk()
        for _ in range(2 * WINDOW):
            talk.conversation.ask("ping", {})
        assert len(talk.pipe.lines) == 2 * WINDOW

    @given(
        st.sampled_from([1, 40]),
        st.lists(st.tuples(st.sampled_from(["call a", "call b", "answer", "cancel"]), st.integers(0, 5))),
    )
    def test_nothing_is_lost(self, times: int, steps: list[tuple[str, int]]) -> None:
        """A call is answered once or was cancelled, after any events in any order."""
        talk, live, back = Talk(), [], []
        for number, (step, which) in enumerate(steps):
            if step.startswith("call"):
                live += [talk.call(step[-1], f"{number}.{each}") for each in range(times)]
            elif step == "answer":
                talk.answer(min(which * times, len(talk.pipe.lines) - talk.answered))
            elif live:
                call = live[which * len(live) // 6]
                if talk.conversation.cancel(call, "not needed"):
                    back.append(call.id.decode())
        while talk.answered < len(talk.pipe.lines):
            talk.answer()
        assert sorted(talk.sink.done + back) == sorted(call.id.decode() for call in live)
        assert talk.conversation.load == 0


class QuestionTests:
    """Questions of the child."""

    def test_until_it_is_answered(self) -> None:
        """A question is open until it is answered, refused or taken back."""
        talk = Talk()
        conversation = talk.conversation
        conversation._has_met = True
        for number, end in enumerate(("answer", "refusal", "cancel")):
            question = {"jsonrpc": "2.0", "id": number, "method": "roots/list"}
            conversation.line_received(json.dumps(question).encode())
            assert conversation.questions == {b"%d" % number}
            identifier = jsonrpc.raw(number)
            if end == "answer":
                conversation.notify(jsonrpc.result(identifier, {}))
            elif end == "refusal":
                conversation.reply({"id": identifier}, UnknownMethod("no"))
            else:
                note = {
                    "jsonrpc": "2.0",
                    "method": "notifications/cancelled",
                    "params": {"requestId": number},
                }
                conversation.line_received(json.dumps(note).encode())
            assert conversation.questions == set()
