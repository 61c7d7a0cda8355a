"""Where requests on views go, and what comes back: as on the endpoints of single servers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.hub.views.lists import PATIENCE_S
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
        """Nothing of a call is replaced but the tool's name, the id and the progress token."""
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
        """A list that waits for servers can be taken back."""
        stage.offers["shared"] = Offer(tools=None)
        client = stage.view()
        client.call(1, "tools/list")
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


class AnonymousTests:
    """Requests that name no session."""

    def test_shared(self, stage: Stage) -> None:
        """They are served by servers that are shared, as on those servers' own endpoints."""
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
        """They see the servers there are now."""
        client = Client(stage.gateway.factory.buildProtocol(None), "/mcp/full", {})
        stage.list(client)
        stage.gateway.serve(
            *stage.gateway.settings.servers, ServerSpec("more", ("run",), {}, "/", Share.GLOBAL)
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
        """An unknown prompt is invalid params."""
        client = stage.view()
        client.call(1, "prompts/get", name="shared__greet")
        stage.play()
        assert client.heard is not None
        assert client.heard.json["error"]["code"] == -32602

    def test_completion(self, stage: Stage) -> None:
        """What completes an argument is the server of the prompt, or of the template."""
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
        """What is strange in a server's answer is passed on as it is."""
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
        """What a server logs during a call comes on the stream of that call."""
        client.call(1, "tools/call", name="shared__echo")
        child = stage.child("shared")
        params = {"level": "info", "data": "so far"}
        child.say({"jsonrpc": "2.0", "method": "notifications/message", "params": params})
        child.answer(child.asked("tools/call")[0], {"content": []})
        assert client.heard is not None
        assert client.heard.events[0]["params"] == params

    def test_log_message_outside(self, stage: Stage, client: Client) -> None:
        """What it logs outside of calls comes on the standing stream."""
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
