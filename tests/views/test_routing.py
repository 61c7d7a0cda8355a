"""Roads of requests on views, and of their answers: as on the endpoints of single servers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.discovery.naming import marked
from mcpgateway.owntools.missing_servers import KEY
from mcpgateway.views.lists import ANSWER_S, PATIENCE_S, PAUSE_S
from tests.support.gateway_in_memory import Client
from tests.support.views import Offer, Stage, tool


@pytest.fixture
def stage() -> Stage:
    """Two servers."""
    return Stage()


@pytest.fixture
def client(stage: Stage) -> Client:
    """A session that has listed the tools."""
    found = stage.view()
    stage.list(found)
    return found


class CallTests:
    """Calls of tools."""

    def test_only_the_name(self, stage: Stage, client: Client) -> None:
        """The call is passed on as it is, but for the tool's name, the id and the progress token."""
        body = (
            b'{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"shared__echo",'
            b'"arguments":{"b":1.0,"a":12345678901234567890},"_meta":{"progressToken":7,"x":1}}}'
        )
        client.send(body)
        call = stage.child("shared").asked("tools/call")[0]
        assert call["params"]["name"] == "echo"
        assert json.dumps(call["params"]["arguments"]) == '{"b": 1.0, "a": 12345678901234567890}'
        assert call["params"]["_meta"] == {"progressToken": call["id"], "x": 1}
        stage.child("shared").answer(call, {"content": [], "isError": False})
        assert client.heard is not None
        assert client.heard.json == {
            "jsonrpc": "2.0",
            "id": "a",
            "result": {"content": [], "isError": False},
        }

    @pytest.mark.parametrize("name", ["shared__echo", "shared::echo", "shared:echo", "shared/echo"])
    def test_spellings(self, stage: Stage, client: Client, name: str) -> None:
        """A tool is found by every spelling of its id."""
        client.call(1, "tools/call", name=name)
        assert stage.child("shared").asked("tools/call")[0]["params"]["name"] == "echo"

    @pytest.mark.parametrize("path", ["/mcp", "/mcp/full", "/mcp/search", "/mcp/admin", "/"])
    def test_every_view(self, stage: Stage, path: str) -> None:
        """A tool is called on every view, listed there or not."""
        stage.list(stage.view())
        client = stage.view(path)
        client.call(1, "tools/call", name="shared__echo")
        assert stage.child("shared").asked("tools/call")[0]["params"]["name"] == "echo"

    def test_nobody_has_listed(self, stage: Stage) -> None:
        """A client that knows the name need not list anything first."""
        client = stage.view()
        client.call(1, "tools/call", name="shared__echo")
        stage.play()
        assert stage.child("shared").asked("tools/call")[0]["params"]["name"] == "echo"

    def test_unknown(self, client: Client) -> None:
        """An unknown tool is invalid params, with the names that may have been meant."""
        client.call(1, "tools/call", name="shared__ecko")
        assert client.heard is not None
        error = client.heard.json["error"]
        assert error["code"] == -32602
        assert "shared__echo" in error["data"]["hint"]

    def test_no_name(self, client: Client) -> None:
        """A call without a name is invalid params."""
        client.call(1, "tools/call")
        assert client.heard is not None
        assert client.heard.json["error"]["code"] == -32602

    def test_unknown_method(self, client: Client) -> None:
        """A method that is nobody's is refused."""
        client.call(1, "what/ever")
        assert client.heard is not None
        assert client.heard.json["error"]["code"] == -32601

    @pytest.mark.parametrize("result", [[], "x", 1, None, True])
    def test_no_object(self, stage: Stage, client: Client, result: Any) -> None:
        """A result that is no object reaches nobody: clients take a message that has one for none at all, and wait."""
        client.call(1, "tools/call", name="shared__echo")
        child = stage.child("shared")
        child.answer(child.asked("tools/call")[0], result)
        assert client.heard is not None
        error = client.heard.json["error"]
        assert error["code"] == -32603
        assert "shared" in error["message"]
        assert "object" in error["message"]

    def test_no_object_by_invoke(self, stage: Stage, client: Client) -> None:
        """A caller of the gateway's own tool is told so as of any tool that has failed."""
        client.call(1, "tools/call", name="gateway_invoke", arguments={"id": "shared__echo", "args": {}})
        child = stage.child("shared")
        child.answer(child.asked("tools/call")[0], ["x"])
        assert client.heard is not None
        result = client.heard.json["result"]
        assert result["isError"] is True
        assert "object" in str(result["content"])

    @pytest.mark.parametrize(
        ("method", "params"),
        [("prompts/get", {"name": "shared__greet"}), ("resources/read", {"uri": "a://x"})],
    )
    def test_no_object_of_others(self, stage: Stage, method: str, params: dict[str, Any]) -> None:
        """A result that is no object is an error of all other requests, too, that a view brings to a server."""
        stage.offers["shared"] = Offer(
            tools=[], prompts=[{"name": "greet"}], resources=[{"uri": "a://x", "name": "x"}]
        )
        client = stage.view()
        client.call(1, method, **params)
        stage.play()
        child = stage.child("shared")
        child.answer(child.asked(method)[0], [])
        assert client.heard is not None
        assert client.heard.json["error"]["code"] == -32603

    def test_no_object_as_a_list(self, stage: Stage) -> None:
        """A server whose list is none is one that could not be asked: nothing is known of it, and it is asked again."""
        stage.offers["own"].prompts = stage.offers["shared"].prompts = None
        client = stage.view()
        client.call(1, "prompts/list")
        stage.begin()
        for name in ("shared", "own"):
            stage.child(name).answer(stage.child(name).asked("prompts/list")[0], [])
        client.call(2, "prompts/list")
        assert client.heard is not None
        assert client.heard.json["result"]["_meta"][KEY].keys() == {"shared", "own"}
        stage.gateway.clock.advance(PAUSE_S + 1)
        stage.offers["shared"].prompts = [{"name": "greet"}]
        stage.offers["own"].prompts = []
        assert stage.names(client, "prompts/list") == ["shared__greet"]

    def test_anything_on_its_own_endpoint(self, stage: Stage) -> None:
        """The endpoint of a single server passes on whatever that says, as it says it."""
        client = stage.gateway.session("shared")
        client.call(1, "com.example/do")
        child = stage.child("shared")
        child.answer(child.asked("com.example/do")[0], [1.0])
        assert client.heard is not None
        assert client.heard.body == b'{"jsonrpc":"2.0","id":1,"result":[1.0]}'

    def test_server_down(self, stage: Stage, client: Client) -> None:
        """A server that cannot be started fails its own calls and no others."""
        stage.child("shared").exit(1)
        stage.gateway.launcher.refuses = True
        client.call(1, "tools/call", name="shared__echo")
        assert client.heard is not None
        assert "not found" in client.heard.json["error"]["message"]
        stage.gateway.launcher.refuses = False
        client.call(2, "tools/call", name="own__count")
        stage.child("own").answer(stage.child("own").asked("tools/call")[0], {"content": []})
        assert client.heard.json["result"] == {"content": []}

    def test_progress(self, stage: Stage, client: Client) -> None:
        """Progress comes on the call's own stream under the client's own token."""
        meta = {"progressToken": "mine"}
        client.call(1, "tools/call", name="shared__echo", _meta=meta)
        child = stage.child("shared")
        call = child.asked("tools/call")[0]
        params = {"progressToken": call["id"], "progress": 1}
        child.say({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
        child.answer(call, {"content": []})
        assert client.heard is not None
        first, last = client.heard.events
        assert first["params"] == {"progressToken": "mine", "progress": 1}
        assert last["id"] == 1

    def test_cancelled(self, stage: Stage, client: Client) -> None:
        """A client takes its call back wherever it is."""
        client.call(1, "tools/call", name="shared__echo")
        other = stage.gateway.client(**client.headers)
        other.path = client.path
        cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
        assert other.ask(cancelled).status == 202
        child = stage.child("shared")
        assert (
            child.asked("notifications/cancelled")[0]["params"]["requestId"]
            == child.asked("tools/call")[0]["id"]
        )
        assert client.heard is not None
        assert client.heard.json["error"]["code"] == -32800

    def test_cancelled_while_it_waits(self, stage: Stage) -> None:
        """A call that waits for its server's list can be taken back."""
        stage.offers["shared"] = Offer(tools=None)
        client = stage.view()
        client.call(1, "tools/call", name="shared__echo")
        other = stage.gateway.client(**client.headers)
        other.path = client.path
        other.ask({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
        assert client.heard is not None
        assert client.heard.json["error"]["code"] == -32800
        stage.gateway.clock.advance(PATIENCE_S)

    def test_batch(self, stage: Stage) -> None:
        """A batch may be for several servers."""
        stage.list(stage.view())
        client = Client(stage.gateway.factory.buildProtocol(None), "/mcp/full", {})
        client.initialize(protocolVersion="2025-03-26")
        client.send(
            json.dumps(
                [
                    {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "shared__echo"}},
                    {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "own__count"}},
                ]
            ).encode()
        )
        stage.play()
        for name in ("shared", "own"):
            child = stage.child(name)
            child.answer(child.asked("tools/call")[0], {"content": [], "by": name})
        assert client.heard is not None
        assert {each["id"]: each["result"]["by"] for each in client.heard.json} == {1: "shared", 2: "own"}


class Hanging(Stage):
    """A server that never answers its handshake, beside one that does, and one whose tools have bare names."""

    def __init__(self, *more: ServerSpec) -> None:
        super().__init__()
        hanging = ServerSpec("slow", ("run",), {}, "/", share=Share.GLOBAL)
        good = ServerSpec("good", ("run",), {}, "/", share=Share.GLOBAL, prefix="well")
        self.gateway.serve(hanging, good, *more)
        self.gateway.launcher.silent = {"slow", "bare"}
        self.offers = {
            "good": Offer(
                tools=[tool("echo"), tool("x" * 60)],
                prompts=[{"name": "greet"}],
                resources=[{"uri": "a://x", "name": "x"}],
                templates=[{"uriTemplate": "b://{x}", "name": "x"}],
            ),
            "bare": Offer(tools=[tool("plain")]),
        }

    def started(self) -> list[str]:
        """The servers that have been started."""
        return [self.name(each) for each in self.gateway.launcher.children]


LONG = marked("well", "x" * 60, "good")
OF_GOOD = [
    ("tools/call", {"name": "well__echo"}),
    ("tools/call", {"name": "good::echo"}),
    ("tools/call", {"name": LONG}),
    ("tools/call", {"name": "gateway_invoke", "arguments": {"id": "good__echo", "args": {}}}),
    ("tools/call", {"name": "gateway_call", "arguments": {"server": "good", "tool": "echo"}}),
    ("prompts/get", {"name": "well__greet"}),
    ("completion/complete", {"ref": {"type": "ref/prompt", "name": "well__greet"}, "argument": {}}),
    ("resources/read", {"uri": "mcpgateway:good/a://x"}),
    ("resources/subscribe", {"uri": "mcpgateway:good/a://x"}),
]


class NamedTests:
    """Calls that say whose they are, before anybody has listed anything."""

    @pytest.mark.parametrize(("method", "params"), OF_GOOD)
    def test_nobody_else(self, method: str, params: dict[str, Any]) -> None:
        """A request waits for the server that it names, and neither waits for another one nor starts it."""
        stage = Hanging()
        client = stage.view()
        client.call(1, method, **params)
        stage.play()
        own = "tools/call" if method == "tools/call" else method
        assert stage.child("good").asked(own)
        assert set(stage.started()) == {"good"}

    def test_its_failure(self) -> None:
        """Where that server cannot be asked, its client hears why, as at the server's own endpoint."""
        stage = Hanging()
        client, other = stage.view(), stage.gateway.client("slow")
        client.call(1, "tools/call", name="slow__echo")
        stage.play()
        assert client.heard is None
        other.send({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        stage.gateway.clock.advance(ANSWER_S)
        assert client.heard is not None
        assert other.heard is not None
        assert client.heard.json["error"]["message"] == other.heard.json["error"]["message"]
        assert "Unknown" not in client.heard.json["error"]["message"]
        assert set(stage.started()) == {"slow"}

    def test_tried_again(self) -> None:
        """A call starts it again, however short a while ago it failed: somebody may have mended it."""
        stage = Hanging()
        client = stage.view()
        client.call(1, "tools/call", name="slow__echo")
        stage.child("slow").exit(1)
        stage.child("slow").exit(1)
        stage.child("slow").exit(1)
        assert client.heard is not None
        assert "error" in client.heard.json
        stage.gateway.launcher.silent = set()
        stage.offers["slow"] = Offer(tools=[tool("echo")])
        client.call(2, "tools/call", name="slow__echo")
        stage.play()
        assert stage.child("slow").asked("tools/call")

    def test_no_such_tool(self) -> None:
        """A server that says it has no such tool is the last word, whoever else hangs."""
        stage = Hanging()
        client = stage.view()
        client.call(1, "tools/call", name="well__ecko")
        stage.play()
        assert client.heard is not None
        error = client.heard.json["error"]
        assert error["code"] == -32602
        assert "well__echo" in error["data"]["hint"]
        assert set(stage.started()) == {"good"}

    @pytest.mark.parametrize(
        ("method", "params"),
        [
            ("tools/call", {"name": "plain"}),
            ("prompts/get", {"name": "plain"}),
            ("resources/read", {"uri": "c://x"}),
        ],
    )
    def test_says_nothing(self, method: str, params: dict[str, Any]) -> None:
        """A name that says nothing of its server waits for all, for a while, and is told who has not answered."""
        stage = Hanging(ServerSpec("bare", ("run",), {}, "/", share=Share.GLOBAL, prefix=""))
        client = stage.view()
        client.call(1, method, **params)
        stage.play()
        assert client.heard is None
        assert set(stage.started()) == {"good", "slow", "bare"}
        stage.gateway.clock.advance(PATIENCE_S)
        assert client.heard is not None
        data = client.heard.json["error"]["data"]
        assert data["missing"].keys() == {"slow", "bare"}
        assert "slow" in data["hint"]

    def test_without_a_session(self) -> None:
        """A call without a session by such a name waits, too."""
        stage = Hanging()
        client = Client(stage.gateway.factory.buildProtocol(None), "/mcp/full", {})
        client.call(1, "tools/call", name="well__echo")
        stage.play()
        assert stage.child("good").asked("tools/call")
        assert set(stage.started()) == {"good"}


class AnonymousTests:
    """Requests that name no session."""

    def test_shared(self, stage: Stage) -> None:
        """Requests without a session are served by servers that are shared, as on those servers' own endpoints."""
        client = Client(stage.gateway.factory.buildProtocol(None), "/mcp/full", {})
        client.call(1, "tools/call", name="shared__echo")
        stage.play()
        child = stage.child("shared")
        child.answer(child.asked("tools/call")[0], {"content": []})
        assert client.heard is not None
        assert client.heard.json["result"] == {"content": []}

    def test_of_sessions(self, stage: Stage, client: Client) -> None:
        """A server with a child for each session refuses them."""
        stranger = Client(stage.gateway.factory.buildProtocol(None), "/mcp/full", {})
        answer = stranger.ask(
            {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "own__count"}}
        )
        assert answer.json["error"]["code"] in (-32602, -32000)

    def test_after_a_change(self, stage: Stage) -> None:
        """Requests without a session see the servers that there are now."""
        client = Client(stage.gateway.factory.buildProtocol(None), "/mcp/full", {})
        stage.list(client)
        stage.gateway.serve(
            *stage.gateway.settings.servers, ServerSpec("more", ("run",), {}, "/", share=Share.GLOBAL)
        )
        stage.offers["more"] = Offer(tools=[tool("extra")])
        assert "more__extra" in stage.names(client)


class PromptTests:
    """Prompts and completions."""

    def test_prompt(self, stage: Stage) -> None:
        """A prompt is got from its server under its own name."""
        stage.offers["shared"] = Offer(tools=[], prompts=[{"name": "greet"}])
        client = stage.view()
        client.call(1, "prompts/get", name="shared__greet", arguments={"a": "b"})
        stage.play()
        got = stage.child("shared").asked("prompts/get")[0]["params"]
        assert got == {"name": "greet", "arguments": {"a": "b"}}

    def test_unknown_prompt(self, stage: Stage) -> None:
        """An unknown prompt is invalid params, and the error says where to look."""
        client = stage.view()
        client.call(1, "prompts/get", name="shared__greet")
        stage.play()
        assert client.heard is not None
        error = client.heard.json["error"]
        assert error["code"] == -32602
        assert "prompts/list" in error["data"]["hint"]

    def test_completion_of_nothing(self, stage: Stage) -> None:
        """A completion that names neither a prompt nor a template is refused, and no server is asked."""
        client = stage.view()
        client.call(
            1, "completion/complete", ref={"type": "ref/prompt"}, argument={"name": "x", "value": "y"}
        )
        assert client.heard is not None
        assert "ref must name" in client.heard.json["error"]["message"]

    def test_completion(self, stage: Stage) -> None:
        """The server of the prompt, or of the template, completes the argument."""
        template = {"uriTemplate": "a://{x}", "name": "a"}
        stage.offers["shared"] = Offer(tools=[], prompts=[{"name": "greet"}], templates=[template])
        client = stage.view()
        stage.list(client, "prompts/list")
        stage.list(client, "resources/templates/list")
        argument = {"name": "x", "value": "y"}
        client.call(
            1, "completion/complete", ref={"type": "ref/prompt", "name": "shared__greet"}, argument=argument
        )
        child = stage.child("shared")
        child.answer(child.asked("completion/complete")[0], {"completion": {"values": []}})
        client.call(
            2, "completion/complete", ref={"type": "ref/resource", "uri": "a://{x}"}, argument=argument
        )
        asked = [each["params"]["ref"] for each in child.asked("completion/complete")]
        assert asked == [{"type": "ref/prompt", "name": "greet"}, {"type": "ref/resource", "uri": "a://{x}"}]


class ResourceTests:
    """Resources, by their owners."""

    @pytest.fixture
    def stage(self) -> Stage:
        """Two servers that both have the same resource."""
        here = [{"uri": "a://x", "name": "x"}]
        return Stage(
            shared=Offer(tools=[], resources=here, templates=[{"uriTemplate": "t://{x}", "name": "t"}]),
            own=Offer(tools=[], resources=[*here, {"uri": "b://y", "name": "y"}]),
        )

    @pytest.fixture
    def client(self, stage: Stage) -> Client:
        """A session that has listed them."""
        found = stage.view()
        stage.list(found, "resources/list")
        stage.list(found, "resources/templates/list")
        return found

    @pytest.mark.parametrize(
        ("uri", "server", "own"),
        [
            ("a://x", "shared", "a://x"),
            ("b://y", "own", "b://y"),
            ("mcpgateway:own/a://x", "own", "a://x"),
            ("t://anything", "shared", "t://anything"),
        ],
    )
    def test_read(self, stage: Stage, client: Client, uri: str, server: str, own: str) -> None:
        """A resource is read where it is, and has the URI that its client asked for."""
        client.call(1, "resources/read", uri=uri)
        child = stage.child(server)
        request = child.asked("resources/read")[0]
        assert request["params"]["uri"] == own
        child.answer(request, {"contents": [{"uri": own, "text": "t"}]})
        assert client.heard is not None
        assert client.heard.json["result"] == {"contents": [{"uri": uri, "text": "t"}]}

    @pytest.mark.parametrize("result", [{"contents": "none"}, {"contents": [1, {"text": "t"}]}, {}])
    def test_strange(self, stage: Stage, client: Client, result: dict[str, Any]) -> None:
        """A server's strange answer is passed on as it is."""
        client.call(1, "resources/read", uri="mcpgateway:own/a://x")
        child = stage.child("own")
        child.answer(child.asked("resources/read")[0], result)
        assert client.heard is not None
        assert client.heard.json["result"] == result

    def test_unknown(self, client: Client) -> None:
        """A resource that is nobody's is not found."""
        client.call(1, "resources/read", uri="nobody://has-it")
        assert client.heard is not None
        assert client.heard.json["error"]["code"] == -32002

    def test_another_may_have_it(self, stage: Stage, client: Client) -> None:
        """Where several may have what is in no list, the next is asked when one says that it has not."""
        client.call(1, "resources/read", uri="a://unlisted")
        first = stage.child("shared")
        request = first.asked("resources/read")[0]
        error = {"code": -32002, "message": "Resource not found"}
        first.say({"jsonrpc": "2.0", "id": request["id"], "error": error})
        second = stage.child("own")
        request = second.asked("resources/read")[0]
        assert request["params"]["uri"] == "a://unlisted"
        second.answer(request, {"contents": []})
        assert client.heard is not None
        assert client.heard.json["result"] == {"contents": []}

    def test_subscribed(self, stage: Stage, client: Client) -> None:
        """A change is told under the URI that the view has for it, until the subscription is given up."""
        ears = stage.gateway.listen(client)
        client.call(1, "resources/subscribe", uri="mcpgateway:own/a://x")
        child = stage.child("own")
        child.answer(child.asked("resources/subscribe")[0], {})
        updated = {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "a://x"}}
        child.say(updated)
        assert ears.heard is not None
        assert [each["params"]["uri"] for each in ears.heard.events] == ["mcpgateway:own/a://x"]
        client.call(2, "resources/unsubscribe", uri="mcpgateway:own/a://x")
        child.answer(child.asked("resources/unsubscribe")[0], {})
        child.say(updated)
        assert len(ears.heard.events) == 1


class OtherTests:
    """Levels, messages, tasks."""

    def test_level(self, stage: Stage, client: Client) -> None:
        """The level is that of all servers, and of those that are met later."""
        client.call(1, "tools/call", name="shared__echo")
        child = stage.child("shared")
        child.answer(child.asked("tools/call")[0], {"content": []})
        client.call(2, "logging/setLevel", level="error")
        assert client.heard is not None
        assert client.heard.json["result"] == {}
        assert child.asked("logging/setLevel")[0]["params"] == {"level": "error"}
        client.call(3, "tools/call", name="own__count")
        assert stage.child("own").asked("logging/setLevel")[0]["params"] == {"level": "error"}

    def test_log_message(self, stage: Stage, client: Client) -> None:
        """A log message of a server during a call comes on the stream of that call."""
        client.call(1, "tools/call", name="shared__echo")
        child = stage.child("shared")
        params = {"level": "info", "data": "so far"}
        child.say({"jsonrpc": "2.0", "method": "notifications/message", "params": params})
        child.answer(child.asked("tools/call")[0], {"content": []})
        assert client.heard is not None
        assert client.heard.events[0]["params"] == params

    def test_log_message_outside(self, stage: Stage, client: Client) -> None:
        """A log message of a server outside of calls comes on the standing stream."""
        client.call(1, "tools/call", name="shared__echo")
        child = stage.child("shared")
        child.answer(child.asked("tools/call")[0], {"content": []})
        ears = stage.gateway.listen(client)
        params = {"level": "info", "data": "by the way"}
        child.say({"jsonrpc": "2.0", "method": "notifications/message", "params": params})
        assert ears.heard is not None
        assert [each["params"] for each in ears.heard.events] == [params]

    def test_tasks(self, stage: Stage, client: Client) -> None:
        """A task is its server's: whoever began it asks there, and its list is that of all servers."""
        for number, (name, server) in enumerate([("shared__echo", "shared"), ("own__count", "own")]):
            client.call(number, "tools/call", name=name, task={})
            child = stage.child(server)
            task = {"taskId": f"t-{server}", "status": "working"}
            child.answer(child.asked("tools/call")[0], {"task": task})
        client.call(3, "tasks/get", taskId="t-own")
        child = stage.child("own")
        child.answer(child.asked("tasks/get")[0], {"taskId": "t-own", "status": "working"})
        assert client.heard is not None
        assert client.heard.json["result"]["taskId"] == "t-own"
        client.call(4, "tasks/list")
        for server in ("shared", "own"):
            child = stage.child(server)
            child.answer(child.asked("tasks/list")[0], {"tasks": [{"taskId": f"t-{server}"}]})
        listed = sorted(each["taskId"] for each in client.heard.json["result"]["tasks"])
        assert listed == ["t-own", "t-shared"]
        client.call(5, "tasks/get", taskId="other")
        assert client.heard.json["error"]["code"] == -32602

    def test_ping(self, client: Client) -> None:
        """A ping is answered here."""
        client.call(1, "ping")
        assert client.heard is not None
        assert client.heard.json["result"] == {}
