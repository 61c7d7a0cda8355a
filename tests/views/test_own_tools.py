"""The gateway's own tools, in the name of a legacy client."""

from __future__ import annotations

import json

import pytest

from tests.support import view_stage
from tests.support.gateway_in_memory import Client
from tests.support.view_stage import legacy
from tests.support.views import Offer, Stage, tool


@pytest.fixture
def stage() -> Stage:
    """Two servers."""
    return Stage()


@pytest.fixture
def client(stage: Stage) -> Client:
    """A session of the view that lists these tools and no others, where the servers are known."""
    stage.list(stage.view())
    return stage.view("/mcp/search")


class InvokeTests:
    """A tool that calls another."""

    @pytest.mark.parametrize("name", ["gateway_invoke", "gateway.invoke"])
    def test_invoke(self, stage: Stage, client: Client, name: str) -> None:
        """The call becomes that of the other tool, with the client's own token."""
        arguments = {"id": "shared__echo", "args": {"text": "hello"}}
        client.call(1, "tools/call", name=name, arguments=arguments, _meta={"progressToken": "t"})
        child = stage.child("shared")
        call = child.asked("tools/call")[0]
        assert call["params"]["name"] == "echo"
        assert call["params"]["arguments"] == {"text": "hello"}
        params = {"progressToken": call["id"], "progress": 1}
        child.say({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
        child.answer(call, {"content": []})
        assert client.heard is not None
        first, last = client.heard.events
        assert first["params"]["progressToken"] == "t"
        assert (last["id"], last["result"]) == (1, {"content": []})

    def test_cancelled(self, stage: Stage, client: Client) -> None:
        """A call through the tool is taken back like any other call."""
        client.call(1, "tools/call", name="gateway_invoke", arguments={"id": "shared__echo", "args": {}})
        other = stage.gateway.client(**client.headers)
        other.path = client.path
        other.ask({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
        assert stage.child("shared").asked("notifications/cancelled")
        assert client.heard is not None
        assert client.heard.json["error"]["code"] == -32800

    def test_no_such_tool(self, client: Client) -> None:
        """A wrong id is a failed result that says what may have been meant."""
        client.call(1, "tools/call", name="gateway_invoke", arguments={"id": "shared__ecko", "args": {}})
        assert client.heard is not None
        result = client.heard.json["result"]
        assert result["isError"] is True
        assert "shared__echo" in json.loads(result["content"][0]["text"])["hint"]

    def test_taken_back_while_it_looks(self, stage: Stage) -> None:
        """A call whose tool is still looked for can be taken back, and is answered once."""
        stage.offers["shared"] = Offer(tools=None)
        client = stage.view("/mcp/search")
        client.call(1, "tools/call", name="gateway_invoke", arguments={"id": "shared__echo", "args": {}})
        other = stage.gateway.client(**client.headers)
        other.path = client.path
        other.ask({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
        stage.offers["shared"] = Offer(tools=[tool("echo")])
        stage.play()
        assert client.heard is not None
        assert client.heard.json["error"]["code"] == -32800
        assert not stage.child("shared").asked("tools/call")


class AddedToolTests:
    """The note on tools that were added."""

    def search(self, stage: view_stage.Stage) -> list[str]:
        """Return the notes beside the answer to a client without a session."""
        client = stage.client("/mcp/search")
        client.call(1, "tools/call", name="gateway_list_tools", arguments={})
        assert client.heard is not None
        return [each["text"] for each in client.heard.json["result"]["content"][1:]]

    def test_without_a_session(self) -> None:
        """A client without a session is told once of the tools of a server that was added."""
        stage = view_stage.Stage(legacy("a"), a=[tool("x")], b=[tool("new")])
        stage.listed()
        assert self.search(stage) == []
        stage.serve(legacy("a"), legacy("b"))
        stage.listed()
        assert self.search(stage) == ["1 tool added: b__new; call through gateway_invoke"]
        assert self.search(stage) == []

    def test_listed_without_a_session(self) -> None:
        """A client without a session that has listed the tools since is not told of them."""
        stage = view_stage.Stage(legacy("a"), a=[tool("x")], b=[tool("new")])
        stage.listed()
        assert self.search(stage) == []
        stage.serve(legacy("a"), legacy("b"))
        stage.listed()
        stage.client("/mcp/full").call(1, "tools/list")
        assert self.search(stage) == []


class FlightTests:
    """Identical calls at once."""

    def test_one_call(self, stage: Stage) -> None:
        """A tool that changes nothing is called once for all who ask the same at once, and each is answered."""
        hints = {"readOnlyHint": True, "idempotentHint": True}
        stage.offers["shared"] = Offer(tools=[tool("look", annotations=hints)])
        clients = [stage.view() for _ in range(2)]
        for nth, client in enumerate(clients):
            stage.list(client)
            client.call(nth, "tools/call", name="shared__look", arguments={"a": 1})
        child = stage.child("shared")
        assert len(child.asked("tools/call")) == 1
        clients[0].path = "/mcp/full"
        leaving = stage.gateway.client(**clients[0].headers)
        leaving.ask(b"", "DELETE", path="/mcp/full")
        child.answer(child.asked("tools/call")[0], {"content": []})
        assert clients[1].heard is not None
        assert (clients[1].heard.json["id"], clients[1].heard.json["result"]) == (1, {"content": []})
