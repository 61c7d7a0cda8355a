"""Calls of the gateway's own tools by modern clients, and what these may do in a client's name."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from attrs import define, field
from twisted.python.failure import Failure

from mcpgateway.discovery.records import ListKind
from mcpgateway.errors import GatewayError, InvalidParams
from mcpgateway.hub.parking import PARKED_OF_PRINCIPAL, PARKED_TICKS
from mcpgateway.owntools import answers
from mcpgateway.owntools.tool import Builtin, define_tool
from mcpgateway.protocol import jsonrpc
from tests.support.gateway_in_memory import Client
from tests.support.gateway_tools import RecordingSink
from tests.support.modern_client import (
    CANCELLED,
    PREFIX,
    PROGRESS,
    done,
    events,
    hang_up,
    meta,
    note,
    reply,
)
from tests.support.view_stage import CAN_BE_ASKED, Stage, legacy, modern, tool

FORM = {"message": "Sure?", "requestedSchema": {"type": "object", "properties": {}}}
OTHER = {"Authorization": "Bearer bearer-token"}


@define(eq=False)
class Scripted:
    """A tool of the gateway's own that does what a test says.

    :ivar calls: how it was called: the call, its arguments, and who called.
    """

    name: str
    act: Callable[[Any, Any, Any], None]
    calls: list[Any] = field(factory=list)
    tier: str = "run"

    @property
    def definition(self) -> bytes:
        """Return the definition of the tool."""
        return define_tool(self.name, "Does what a test says.", {})

    def call(self, call: Any, arguments: Any, access: Any) -> None:
        """Do it."""
        self.calls.append((call, arguments, access))
        self.act(call, arguments, access)


def ask(call: Any, arguments: Any, access: Any) -> None:
    """Ask the human twice, and say what was answered."""

    def again(one: Any) -> Any:
        return access.elicit(call, FORM).addCallback(lambda two: answers.text(call, [one, two]))

    def failed(why: Failure) -> None:
        why.trap(GatewayError)
        answers.failed(call, str(why.value))

    access.elicit(call, FORM).addCallback(again).addErrback(failed)


def redirect(call: Any, arguments: Any, access: Any) -> None:
    """Let the call become that of another tool."""
    target = tuple(json.loads(bytes(arguments["target"])))
    access.redirect(call, target, arguments["args"], limit_s=5.0, level=None)


def refuse(call: Any, arguments: Any, access: Any) -> None:
    """Refuse."""
    raise InvalidParams("no", "try another")


def wait(call: Any, arguments: Any, access: Any) -> None:
    """Do nothing."""


@pytest.fixture
def stage() -> Stage:
    """A view with such tools, and with servers of both eras."""
    stage = Stage(
        modern("m"), legacy("old", interactive=True), m=[tool("echo")], old=[tool("ask"), tool("echo")]
    )
    acts = {"ask": ask, "redirect": redirect, "refuse": refuse, "wait": wait}
    view_sessions = stage.gateway.dispatcher.view_sessions
    view_sessions._builtin = Builtin([Scripted(name, act) for name, act in acts.items()])
    view_sessions.use(view_sessions.views_config)
    return stage


def call(stage: Stage, client: Client, name: str, said: Any = None, **more: Any) -> Any:
    """Call one of the gateway's own tools; what it is answered by now."""
    more = {"arguments": {}, **more}
    stage.send(client, "tools/call", 1, CAN_BE_ASKED if said is None else said, name=name, **more)
    return reply(client)


def again(stage: Stage, client: Client, asked: Any, answer: str, name: str, **more: Any) -> Any:
    """Call it once more, with the answer to what it has asked."""
    (key,) = asked["result"]["inputRequests"]
    more["inputResponses"] = {key: {"action": "accept", "content": {"who": answer}}}
    return call(stage, client, name, requestState=asked["result"]["requestState"], **more)


def text(answer: Any) -> Any:
    """The text of a result, read as JSON."""
    return json.loads(answer["result"]["content"][0]["text"])


def the_tool(stage: Stage, name: str) -> Any:
    """An own tool of the gateway."""
    builtin = stage.gateway.dispatcher.view_sessions.builtin
    assert builtin is not None
    return builtin.find(f"gateway_{name}")


class AskingTests:
    """A tool that asks the human."""

    def test_asked_twice(self, stage: Stage) -> None:
        """The client is asked by the answer to its request, and answers with the next."""
        client = stage.client()
        first = call(stage, client, "gateway_ask")
        assert first["result"]["resultType"] == "input_required"
        (question,) = first["result"]["inputRequests"].values()
        assert question == {"method": "elicitation/create", "params": FORM}
        second = again(stage, client, first, "Ada", "gateway_ask")
        assert second["result"]["resultType"] == "input_required"
        last = again(stage, client, second, "Bea", "gateway_ask")
        assert last["result"]["resultType"] == "complete"
        assert [each["content"]["who"] for each in text(last)] == ["Ada", "Bea"]
        assert len(the_tool(stage, "ask").calls) == 1
        assert len(stage.registry.own_calls) == 0

    def test_crossed(self, stage: Stage) -> None:
        """The questions to two clients, and their answers, are each client's own."""
        ada, bea = stage.client(), stage.client()
        asked = {client: call(stage, client, "gateway_ask") for client in (ada, bea)}
        for _ in range(2):
            for client, name in ((bea, "Bea"), (ada, "Ada")):
                asked[client] = again(stage, client, asked[client], name, "gateway_ask")
        for client, name in ((ada, "Ada"), (bea, "Bea")):
            assert {each["content"]["who"] for each in text(asked[client])} == {name}

    @pytest.mark.parametrize("how", ["another principal", "other arguments", "twice", "altered", "late"])
    def test_a_state_that_is_no_good(self, stage: Stage, how: str) -> None:
        """A state is good once, for a while, and for the same call of the same principal: else the tool begins anew."""
        client = stage.client()
        first = call(stage, client, "gateway_ask")
        more: dict[str, Any] = {}
        match how:
            case "another principal":
                client = stage.client(**OTHER)
            case "other arguments":
                more = {"arguments": {"other": 1}}
            case "twice":
                again(stage, client, first, "Ada", "gateway_ask")
            case "altered":
                first["result"]["requestState"] = "A" * 64
            case "late":
                stage.wait(PARKED_TICKS + 1)
        last = again(stage, client, first, "Eve", "gateway_ask", **more)
        assert last["result"]["resultType"] == "input_required"
        assert len(the_tool(stage, "ask").calls) == 2

    def test_without_the_answer(self, stage: Stage) -> None:
        """A client that comes back without an answer is asked the same once more."""
        client = stage.client()
        first = call(stage, client, "gateway_ask")
        second = call(stage, client, "gateway_ask", requestState=first["result"]["requestState"])
        assert second["result"]["inputRequests"] == first["result"]["inputRequests"]
        assert again(stage, client, second, "Ada", "gateway_ask")["result"]["resultType"] == "input_required"
        assert len(the_tool(stage, "ask").calls) == 1

    def test_nobody_comes_back(self, stage: Stage) -> None:
        """A tool hears when its client does not come back, and nothing is left of its call."""
        call(stage, stage.client(), "gateway_ask")
        assert len(stage.registry.own_calls) == 1
        stage.wait(PARKED_TICKS)
        assert len(stage.registry.own_calls) == 0

    def test_a_client_that_cannot(self, stage: Stage) -> None:
        """A client that does not offer it is not asked, and the tool says so."""
        answer = call(stage, stage.client(), "gateway_ask", meta())
        assert answer["result"]["isError"] is True
        assert "elicitation" in text(answer)["error"]

    def test_too_many(self, stage: Stage) -> None:
        """A principal cannot leave calls behind without end."""
        for _ in range(PARKED_OF_PRINCIPAL):
            call(stage, stage.client(), "gateway_ask")
        assert call(stage, stage.client(), "gateway_ask")["result"]["isError"] is True
        assert call(stage, stage.client(**OTHER), "gateway_ask")["result"]["resultType"] == "input_required"

    def test_the_gateways_end(self, stage: Stage) -> None:
        """A gateway that stops waits for its own tools, and lets nobody wait when there is no more time."""
        call(stage, stage.client(), "gateway_ask")
        clients = [stage.client(), stage.client()]
        for client in clients:
            call(stage, client, "gateway_wait")
        dispatcher = stage.gateway.dispatcher
        assert len(dispatcher.calls.under_way()) == 2
        assert dispatcher.calls.busy() == set()
        stage.gateway.hub.close()
        assert (len(stage.registry.own_calls), dispatcher.calls.awaited()) == (2, 2)
        answers.text(the_tool(stage, "wait").calls[0][0], "in time")
        assert text(reply(clients[0])) == "in time"
        assert dispatcher.calls.awaited() == 1
        dispatcher.close()
        assert reply(clients[1])["error"]["code"] == -32603
        assert len(stage.registry.own_calls) == 0


class AnsweringTests:
    """Answers of a tool."""

    def test_a_refusal(self, stage: Stage) -> None:
        """A tool that refuses is a failed result with what to do about it."""
        answer = call(stage, stage.client(), "gateway.refuse")
        assert answer["result"]["isError"] is True
        assert answer["result"]["resultType"] == "complete"
        assert text(answer) == {"error": "no", "hint": "try another"}

    def test_hanging_up(self, stage: Stage) -> None:
        """A client that hangs up is not answered, and the tool can see that."""
        client = stage.client()
        call(stage, client, "gateway_wait")
        ((inner, _, _),) = the_tool(stage, "wait").calls
        assert not inner.sink.is_gone
        hang_up(client)
        assert inner.sink.is_gone
        answers.text(inner, "late")
        assert len(stage.registry.own_calls) == 0


class RedirectTests:
    """A call that becomes that of a server's tool."""

    def test_a_call(self, stage: Stage) -> None:
        """The server gets the tool's name and its arguments, and what else the client has said."""
        client = stage.client()
        said = meta(progressToken=7, **{"com.example/x": 1})
        arguments = {"target": ["m", "echo"], "args": {"a": 1.0}}
        assert call(stage, client, "gateway_redirect", said, arguments=arguments) is None
        child = stage.child("m")
        (asked,) = child.asked("tools/call")
        assert (asked["params"]["name"], asked["params"]["arguments"]) == ("echo", {"a": 1.0})
        assert asked["params"]["_meta"]["com.example/x"] == 1
        child.say(note(PROGRESS, progressToken=asked["params"]["_meta"]["progressToken"], progress=1))
        done(child, asked, content=[])
        progress, answer = events(client)
        assert progress["params"] == {"progressToken": 7, "progress": 1}
        assert answer["result"] == {"content": [], "resultType": "complete"}
        stage.wait(10)
        assert len(stage.registry.own_calls) == 0

    def test_a_server_that_asks(self, stage: Stage) -> None:
        """The question of the server reaches the client, and its answer the server, through the same tool."""
        client = stage.client()
        more = {"arguments": {"target": ["old", "ask"], "args": {}}}
        call(stage, client, "gateway_redirect", **more)
        (exclusive_child,) = [each for each in stage.children("old") if each.asked("tools/call")]
        exclusive_child.say({"jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": FORM})
        first = reply(client)
        assert first["result"]["resultType"] == "input_required"
        again(stage, client, first, "Ada", "gateway_redirect", **more)
        assert exclusive_child.received[-1]["result"]["content"] == {"who": "Ada"}
        done(exclusive_child, exclusive_child.asked("tools/call")[-1], content=[])
        assert reply(client)["result"]["content"] == []
        assert len(exclusive_child.asked("tools/call")) == 1

    def test_too_long(self, stage: Stage) -> None:
        """A call that takes too long is taken back, and its client told."""
        client = stage.client()
        call(stage, client, "gateway_redirect", arguments={"target": ["m", "echo"], "args": {}})
        stage.wait(5)
        assert len(stage.child("m").asked(CANCELLED)) == 1
        assert "within 5 s" in reply(client)["error"]["message"]

    def test_hanging_up(self, stage: Stage) -> None:
        """A client that hangs up has the server's call taken back."""
        client = stage.client()
        call(stage, client, "gateway_redirect", arguments={"target": ["m", "echo"], "args": {}})
        hang_up(client)
        assert len(stage.child("m").asked(CANCELLED)) == 1
        stage.wait(10)

    def test_nowhere(self, stage: Stage) -> None:
        """A server that there is not is a failed result."""
        answer = call(stage, stage.client(), "gateway_redirect", arguments={"target": ["x", "y"], "args": {}})
        assert answer["result"]["isError"] is True

    def test_taken_back(self, stage: Stage) -> None:
        """The tool can take the call back itself."""
        client = stage.client()
        call(stage, client, "gateway_redirect", arguments={"target": ["m", "echo"], "args": {}})
        ((inner, _, access),) = the_tool(stage, "redirect").calls
        access.cancel(inner, "changed my mind")
        assert len(stage.child("m").asked(CANCELLED)) == 1
        assert "changed my mind" in reply(client)["error"]["message"]


class JobTests:
    """A call that no client waits for."""

    @pytest.fixture
    def access(self, stage: Stage) -> Any:
        """The access that a tool has, once its own call has been answered."""
        client = stage.client()
        call(stage, client, "gateway_wait")
        ((inner, _, access),) = the_tool(stage, "wait").calls
        answers.text(inner, "begun")
        hang_up(client)
        stage.names()
        return access

    @pytest.mark.parametrize("server", ["m", "old"])
    def test_a_job(self, stage: Stage, access: Any, server: str) -> None:
        """A job goes on when its client has gone; the sink hears of its progress and of its end."""
        sink = RecordingSink()
        access.begin(server, "echo", jsonrpc.raw({"a": 1}), sink)
        (child,) = [each for each in stage.children(server) if each.asked("tools/call")]
        (asked,) = child.asked("tools/call")
        assert asked["params"]["arguments"] == {"a": 1}
        child.say(note(PROGRESS, progressToken=asked["params"]["_meta"]["progressToken"], progress=1))
        child.answer(asked, {"content": [], "resultType": "complete"})
        assert [each["method"] for each in sink.heard] == [PROGRESS]
        assert sink.result["content"] == []

    def test_taken_back(self, stage: Stage, access: Any) -> None:
        """A job can be taken back, once."""
        sink = RecordingSink()
        begun = access.begin("m", "echo", jsonrpc.raw({}), sink)
        access.cancel(begun, "enough")
        access.cancel(begun, "enough")
        assert len(stage.child("m").asked(CANCELLED)) == 1
        assert [str(each) for each in sink.failures] == ["enough"]

    def test_a_server_that_asks(self, stage: Stage, access: Any) -> None:
        """A question in a job has no client that could answer it."""
        sink = RecordingSink()
        access.begin("m", "echo", jsonrpc.raw({}), sink)
        (asked,) = stage.child("m").asked("tools/call")
        assert asked["params"]["_meta"][PREFIX + "clientCapabilities"] == {}
        question = {"method": "elicitation/create", "params": FORM}
        stage.child("m").answer(asked, {"resultType": "input_required", "inputRequests": {"q": question}})
        assert len(sink.failures) == 1

    def test_lists(self, stage: Stage, access: Any) -> None:
        """The tools of a server are known, or asked for."""
        found: list[Any] = []
        access.list("x", ListKind.TOOL).addErrback(lambda why: found.append(str(why.value)))
        for kind in (ListKind.TOOL, ListKind.PROMPT):
            access.list("m", kind).addCallback(lambda items: found.append([each.own for each in items]))
            stage.answer()
        assert found == ["Unknown server: x", ["echo"], []]

    def test_who(self, stage: Stage, access: Any) -> None:
        """The access knows whose call it was, and which servers may be used."""
        assert [each.name for each in access.specs()] == ["m", "old"]
        assert access.session is None
        assert isinstance(access.principal, str)
