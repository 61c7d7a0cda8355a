"""Tasks of sessions on a child that several of them share."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import BackendGone, GatewayError
from mcpgateway.hub.sessions import Session
from mcpgateway.hub.tasks import LIMIT, RELATED, Learner, Tasks, related
from mcpgateway.interfaces import ICallSink, Request
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import Envelope, own_request
from tests.support.gateway_in_memory import MemoryGateway

SPEC = ServerSpec("memory", ("run",), {}, "/")


@define(eq=False)
class Sink:
    """Writes down what becomes of a call."""

    replies: list[Any] = field(factory=list)
    reasons: list[GatewayError] = field(factory=list)
    messages: list[bytes] = field(factory=list)
    listens: bool = True
    is_gone: bool = False

    def answered(self, call: Request, reply: Envelope) -> None:
        """An answer."""
        self.replies.append(json.loads(jsonrpc.encode(reply)))

    def failed(self, call: Request, why: GatewayError) -> None:
        """No answer."""
        self.reasons.append(why)

    def progressed(self, call: Request, message: bytes) -> None:
        """Progress."""
        self.messages.append(message)

    def noticed(self, call: Request, message: bytes) -> bool:
        """Something before the answer."""
        self.messages.append(message)
        return self.listens


def session(name: bytes, principal: str = "local") -> Session:
    """A session of a shared server."""
    return Session(name, SPEC, principal, "2025-11-25")


def call(of: Session, method: str = "tools/call", number: int = 1, token: bytes | None = None) -> Request:
    """A call under way."""
    return Request(of, own_request(method), token, Sink(), number=number)


def begun(task: Any) -> Envelope:
    """A reply that begins a task."""
    return jsonrpc.decode(json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"task": task}}).encode())


def learn(tasks: Tasks, of: Session, task: str, number: int = 1, token: bytes | None = None) -> None:
    """Let a session begin a task."""
    tasks.learn(call(of, number=number, token=token), begun({"taskId": task, "status": "working"}))


class OwnerTests:
    """Ids are learnt as the server gives them out."""

    def test_who_began_it(self) -> None:
        """A task belongs to the session whose call began it; of any other nothing is known."""
        tasks, one, two = Tasks.none(), session(b"1"), session(b"2")
        learn(tasks, one, "t1", 7, b'"token"')
        learn(tasks, two, "t2", 8)
        assert [tasks.owner(task) for task in ("t1", "t2", "t3")] == [b"1", b"2", None]
        first, second = tasks.of_call(7), tasks.of_call(8)
        assert first is not None
        assert second is not None
        assert (first.session, first.token) == (b"1", b'"token"')
        assert (second.session, second.token) == (b"2", None)
        assert tasks.of_call(9) is None

    @pytest.mark.parametrize(
        "reply",
        [
            b'{"id":1,"error":{"code":1,"message":""}}',
            b'{"id":1,"result":{}}',
            b'{"id":1,"result":7}',
            b'{"id":1,"result":{"task":7}}',
            b'{"id":1,"result":{"task":{}}}',
            b'{"id":1,"result":{"task":{"taskId":7}}}',
            b'{"id":1,"result":{"taskId":"t1"}}',
            b'{"id":1,"result":{"task":{"taskId":"\\ud800"}}}',
        ],
    )
    def test_replies_that_begin_none(self, reply: bytes) -> None:
        """Any other reply is no task."""
        tasks = Tasks.none()
        tasks.learn(call(session(b"1")), jsonrpc.decode(reply))
        assert tasks == Tasks.none()

    def test_too_many(self) -> None:
        """The oldest are forgotten; then nobody owns them."""
        tasks, one = Tasks.none(), session(b"1")
        for number in range(LIMIT + 3):
            learn(tasks, one, f"t{number}", number)
        assert [tasks.owner(f"t{number}") for number in (2, 3, LIMIT + 2)] == [None, b"1", b"1"]
        assert tasks.of_call(2) is None
        assert tasks.of_call(3) is not None

    def test_given_out_again(self) -> None:
        """An id that a server gives out once more belongs to whom it was given last."""
        tasks = Tasks.none()
        learn(tasks, session(b"1"), "t", 1)
        learn(tasks, session(b"2"), "t", 2)
        assert tasks.owner("t") == b"2"

    @pytest.mark.parametrize("principals", [("local", "token"), ("local", "local")])
    def test_without_a_session(self, principals: tuple[str, str]) -> None:
        """Requests without an id share their tasks with those of the same principal, and of no other."""
        gateway = MemoryGateway()
        one, two = (
            gateway.client(**({"Authorization": "Bearer bearer-token"} if principal == "token" else {}))
            for principal in principals
        )
        one.call(1, task={})
        gateway.child.answer(gateway.child.asked("tools/call")[0], {"task": {"taskId": "t1"}})
        two.call(2, "tasks/get", taskId="t1")
        is_same = principals[0] == principals[1]
        assert len(gateway.child.asked("tasks/get")) == is_same
        if is_same:
            gateway.child.answer(gateway.child.asked("tasks/get")[0], {"taskId": "t1"})
        else:
            assert two.heard is not None
            assert two.heard.json["error"]["message"] == "Task not found"
        two.call(3, "tasks/list")
        gateway.child.answer(gateway.child.asked("tasks/list")[0], {"tasks": [{"taskId": "t1"}]})
        assert two.heard is not None
        assert len(two.heard.json["result"]["tasks"]) == is_same


spelled = st.sampled_from(
    [
        b"1.10",
        b"1E5",
        b"-0",
        b"1e400",
        b"1" * 30,
        b'"\\ud800"',
        b'"\\ud83d\\ude00"',
        "é".join('""').encode(),
        b"[{}]",
    ]
)


class ListTests:
    """The list of all tasks as a session sees it."""

    @given(st.lists(st.tuples(st.sampled_from([b"a", b"b", b"x"]), spelled), max_size=6), spelled)
    def test_only_its_own(self, found: list[tuple[bytes, bytes]], other: bytes) -> None:
        """A session sees its own tasks, each as the server spelled it, and all else that the answer says."""
        tasks, one = Tasks.none(), session(b"1")
        for number, name in enumerate("ab"):
            learn(tasks, session(b"%d" % (1 + number)), name, number)
        shown = [b'{"taskId":"%b","x":%b}' % each for each in found]
        kept = [text for (name, _), text in zip(found, shown, strict=True) if name == b"a"]
        text = b'{"id":9,"result":{"tasks":[%b],"nextCursor":%b},"more":%b}'
        reply = tasks.mine(one, jsonrpc.decode(text % (b",".join(shown), other, other)))
        assert jsonrpc.encode(reply) == text % (b",".join(kept), other, other)

    @pytest.mark.parametrize(
        "task", [b"7", b"null", b'"a"', b"{}", b'{"taskId":7}', b'{"taskId":"\\ud800"}', b"[]"]
    )
    def test_odd_tasks(self, task: bytes) -> None:
        """A task without an id that can be read is nobody's."""
        tasks, one = Tasks.none(), session(b"1")
        learn(tasks, one, "a")
        reply = jsonrpc.decode(b'{"id":1,"result":{"tasks":[%b,{"taskId":"a"}]}}' % task)
        assert json.loads(jsonrpc.encode(tasks.mine(one, reply)))["result"] == {"tasks": [{"taskId": "a"}]}

    @pytest.mark.parametrize("odd", [b"7", b'{"t":{"taskId":"b"}}', b'"b"', b"null"])
    def test_no_list(self, odd: bytes) -> None:
        """A list of tasks that cannot be read might hold anybody's, so it is shown to nobody."""
        reply = jsonrpc.decode(b'{"id":1,"result":{"tasks":%b,"x":1}}' % odd)
        shown = json.loads(jsonrpc.encode(Tasks.none().mine(session(b"1"), reply)))
        assert shown == {"id": 1, "result": {"tasks": [], "x": 1}}

    @pytest.mark.parametrize(
        "reply", [b'{"id":1,"error":{"code":1}}', b'{"id":1,"result":{}}', b'{"id":1,"result":7}']
    )
    def test_no_answer(self, reply: bytes) -> None:
        """An error, or a result without tasks, is passed on as it is."""
        assert jsonrpc.encode(Tasks.none().mine(session(b"1"), jsonrpc.decode(reply))) == reply


class RelatedTests:
    """Messages that say which task they belong to."""

    def test_named(self) -> None:
        """The task is named in the message's _meta."""
        params = {"_meta": {RELATED: {"taskId": "t1"}, "x": 1}}
        assert related(jsonrpc.notification("x", params)) == "t1"

    @pytest.mark.parametrize(
        "params",
        [
            None,
            7,
            {},
            {"_meta": 7},
            {"_meta": {}},
            {"_meta": {RELATED: 7}},
            {"_meta": {RELATED: {}}},
            {"_meta": {RELATED: {"taskId": 7}}},
            {"taskId": "t1"},
        ],
    )
    def test_not_named(self, params: Any) -> None:
        """Any other message belongs to none."""
        assert related(jsonrpc.notification("x", params)) is None


class LearnerTests:
    """The learner stands between the server and a call's own sink."""

    def test_learns_and_passes_on(self) -> None:
        """A result that begins a task is learnt, and the caller hears all of it."""
        tasks, sink = Tasks.none(), Sink()
        learner: ICallSink = Learner(sink, tasks)
        learner.answered(call(session(b"1")), begun({"taskId": "t1"}))
        assert tasks.owner("t1") == b"1"
        assert sink.replies == [{"jsonrpc": "2.0", "id": 1, "result": {"task": {"taskId": "t1"}}}]

    def test_shows_a_session_its_own(self) -> None:
        """A list is passed on without the tasks of others, and is no task itself."""
        tasks, sink = Tasks.none(), Sink()
        learn(tasks, session(b"2"), "t2")
        reply = jsonrpc.decode(b'{"id":1,"result":{"tasks":[{"taskId":"t2"}],"task":{"taskId":"t3"}}}')
        Learner(sink, tasks).answered(call(session(b"1"), "tasks/list"), reply)
        assert sink.replies == [{"id": 1, "result": {"tasks": [], "task": {"taskId": "t3"}}}]
        assert tasks.owner("t3") is None

    @pytest.mark.parametrize("listens", [True, False])
    def test_all_else(self, *, listens: bool) -> None:
        """Failures, and what is said before the answer, are the caller's."""
        sink = Sink(listens=listens)
        learner, of, why = Learner(sink, Tasks.none()), call(session(b"1")), BackendGone("gone")
        learner.failed(of, why)
        assert learner.noticed(of, b"message") is listens
        learner.progressed(of, b"progress")
        assert (sink.reasons, sink.messages) == ([why], [b"message", b"progress"])
        sink.is_gone = True
        assert learner.is_gone
