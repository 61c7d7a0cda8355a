"""Tools over plain HTTP: calls at one server, refusals, limits, and the discovery of all servers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from mcpgateway.config.gateway_settings import Limits
from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.frontends.http.routes import class_of
from mcpgateway.policy.access import RouteClass
from mcpgateway.views.lists import PATIENCE_S
from tests.support.gateway_in_memory import Answer, Client, MemoryChild, MemoryGateway

TOKEN = {"Authorization": "Bearer bearer-token"}
CALL = "/api/v1/servers/shared/call"
DONE = {"content": [{"type": "text", "text": "süß"}], "structuredContent": {"a": [1]}}


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with a server that is shared, and one that is not."""
    return MemoryGateway()


@pytest.fixture
def client(gateway: MemoryGateway) -> Client:
    """A script, with the token."""
    return gateway.client(**TOKEN)


def post(client: Client, path: str = CALL, **body: Any) -> None:
    """Post a JSON object."""
    client.send(body, "POST", path)


def heard(client: Client) -> Answer:
    """The answer to the last request."""
    answer = client.heard
    assert answer is not None, "not answered yet"
    return answer


def lists(child: MemoryChild, *names: str) -> None:
    """Let a child answer whatever lists it is asked for: these tools, and nothing else."""
    entries = [{"name": each} for each in names]
    members = {"tools": entries, "prompts": [], "resources": [], "resourceTemplates": []}
    done: set[int] = set()
    while waiting := [
        each for each in child.received if "/list" in each["method"] and each["id"] not in done
    ]:
        for each in waiting:
            done.add(each["id"])
            child.answer(each, members)


def tool_call(child: MemoryChild) -> dict[str, Any]:
    """The latest call that a child has received."""
    return child.asked("tools/call")[-1]


class CallTests:
    """``POST /api/v1/servers/{name}/call``."""

    def test_a_call(self, gateway: MemoryGateway, client: Client) -> None:
        """The tool gets the arguments as they were sent, and its result is the answer, as it is."""
        client.send(b'{"tool": "echo", "arguments": {"number": 1e2, "text": "\\u00fc"}}', "POST", CALL)
        asked = tool_call(gateway.child)
        assert asked["params"] == {"name": "echo", "arguments": {"number": 1e2, "text": "ü"}}
        gateway.child.answer(asked, DONE)
        assert (heard(client).status, heard(client).json) == (200, DONE)
        assert len(gateway.sessions) == 0

    def test_without_arguments(self, gateway: MemoryGateway, client: Client) -> None:
        """A tool that takes nothing is called with an empty object."""
        post(client, tool="echo", arguments=None)
        assert tool_call(gateway.child)["params"]["arguments"] == {}

    def test_a_tool_that_fails(self, gateway: MemoryGateway, client: Client) -> None:
        """A result that says that the tool has failed is a result."""
        post(client, tool="echo")
        failed = {"content": [], "isError": True}
        gateway.child.answer(tool_call(gateway.child), failed)
        lists(gateway.child, "echo")
        assert (heard(client).status, heard(client).json) == (200, failed)

    @pytest.mark.parametrize("is_result", [True, False])
    def test_an_unknown_tool(self, gateway: MemoryGateway, client: Client, *, is_result: bool) -> None:
        """The answer to a call of an unknown tool is 404, with the nearest name, in whatever words the server
        refuses.
        """
        post(client, tool="ech")
        asked = tool_call(gateway.child)
        if is_result:
            gateway.child.answer(asked, {"content": [], "isError": True})
        else:
            gateway.child.say(
                {"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32602, "message": "no"}}
            )
        lists(gateway.child, "echo")
        assert heard(client).status == 404
        assert heard(client).json == {
            "error": "shared has no tool ech",
            "hint": "did you mean echo?",
            "did_you_mean": ["echo"],
        }

    @pytest.mark.parametrize(("code", "status"), [(-32602, 400), (-32603, 502)])
    def test_an_error(self, gateway: MemoryGateway, client: Client, code: int, status: int) -> None:
        """An error of the server's own is told in its words: bad arguments are the caller's, all else is not."""
        post(client, tool="echo")
        asked = tool_call(gateway.child)
        gateway.child.say({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": code, "message": "so not"}})
        lists(gateway.child, "echo")
        assert (heard(client).status, heard(client).json["error"]) == (status, "so not")

    def test_an_unknown_server(self, client: Client) -> None:
        """An unknown server is 404, with the one that may be meant."""
        post(client, "/api/v1/servers/shard/call", tool="echo")
        assert heard(client).status == 404
        assert heard(client).json == {"error": "Unknown server: shard", "hint": "did you mean shared?"}

    def test_a_server_that_was_just_added(self, gateway: MemoryGateway, client: Client) -> None:
        """A server that is saved and not read yet is waited for, as at its own endpoint."""
        read: Deferred[None] = Deferred()
        gateway.hub.catch_up = lambda: read
        post(client, "/api/v1/servers/more/call", tool="echo")
        assert client.heard is None
        more = ServerSpec("more", ("run",), {}, "/", share=Share.GLOBAL)
        gateway.serve(*gateway.settings.servers, more)
        read.callback(None)
        assert tool_call(gateway.child)["params"]["name"] == "echo"

    def test_a_server_that_ends(self, gateway: MemoryGateway, client: Client) -> None:
        """A server that ends during the call is 502."""
        post(client, tool="echo")
        gateway.child.exit(3)
        assert heard(client).status == 502

    def test_a_server_that_cannot_be_started(self, gateway: MemoryGateway, client: Client) -> None:
        """A server that cannot be started at all is 502, too."""
        gateway.launcher.refuses = True
        post(client, tool="echo")
        assert heard(client).status == 502
        assert "not found" in heard(client).json["error"]

    def test_too_late(self, gateway: MemoryGateway, client: Client) -> None:
        """A call that takes longer than its caller allows is taken back, and answered 504."""
        post(client, tool="echo", timeout_ms=1500)
        gateway.clock.advance(1.4)
        assert client.heard is None
        gateway.clock.advance(0.2)
        assert heard(client).status == 504
        assert gateway.child.asked("notifications/cancelled")

    def test_hanging_up(self, gateway: MemoryGateway, client: Client) -> None:
        """A client that hangs up takes its call back."""
        post(client, tool="echo")
        client.channel.connectionLost(None)  # type: ignore[arg-type]
        assert gateway.child.asked("notifications/cancelled")
        assert len(gateway.sessions) == 0

    def test_a_child_of_its_own(self, gateway: MemoryGateway, client: Client) -> None:
        """A server that keeps state per session gets a child for the call, which ends with it."""
        post(client, "/api/v1/servers/own/call", tool="echo")
        child = gateway.child
        assert not child.is_stopping
        child.answer(tool_call(child), DONE)
        assert heard(client).status == 200
        assert child.is_stopping

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[]",
            b"{",
            b'{"tool": 1}',
            b'{"tool": "x", "arguments": []}',
            b'{"tool": "x", "timeout_ms": "1"}',
        ],
    )
    def test_bad_bodies(self, gateway: MemoryGateway, client: Client, body: bytes) -> None:
        """A body that is no call is 400, and the answer says what is wrong."""
        client.send(body, "POST", CALL)
        assert heard(client).status == 400
        assert heard(client).json["error"]
        assert gateway.launcher.children == []

    def test_too_many(self) -> None:
        """Of more calls than are let run at once a few wait, for a while; all others are refused."""
        gateway = MemoryGateway(limits=Limits(concurrent=1, backlog=1))
        clients = [gateway.client(**TOKEN) for _ in range(3)]
        for each in clients:
            post(each, tool="echo")
        assert [each.heard is not None for each in clients] == [False, False, True]
        assert heard(clients[2]).status == 503
        assert heard(clients[2]).headers["retry-after"] == "1"
        gateway.clock.advance(Limits().wait_s + 1)
        assert heard(clients[1]).status == 503
        gateway.child.answer(tool_call(gateway.child), DONE)
        assert heard(clients[0]).status == 200


class ViewTests:
    """Requests about the tools of all servers."""

    def test_listed(self, gateway: MemoryGateway, client: Client) -> None:
        """Servers that were never asked for their tools are asked, and all tools are listed by their names."""
        client.send(b"", "GET", "/api/v1/tools")
        for child in gateway.launcher.children:
            lists(child, "echo")
        found = heard(client).json
        assert [(each["name"], each["server"]) for each in found] == [
            ("shared__echo", "shared"),
            ("own__echo", "own"),
        ]

    def test_one_server(self, gateway: MemoryGateway, client: Client) -> None:
        """The list of one server's tools starts no other."""
        client.send(b"", "GET", "/api/v1/tools?server=shared")
        lists(gateway.child, "echo")
        assert [each["name"] for each in heard(client).json] == ["shared__echo"]
        assert len(gateway.launcher.children) == 1
        assert client.ask(b"", "GET", "/api/v1/tools?server=shard").status == 404

    @pytest.mark.parametrize("query", ["server=off", "server=off&q=echo"])
    def test_one_that_is_switched_off(self, query: str) -> None:
        """A server that is there and switched off is not called unknown."""
        off = ServerSpec("off", ("off",), {}, "/", share=Share.GLOBAL, enabled=False)
        answer = MemoryGateway(more=(off,)).client(**TOKEN).ask(b"", "GET", f"/api/v1/tools?{query}")
        assert (answer.status, answer.json["error"]) == (409, "off is disabled")

    def test_described(self, gateway: MemoryGateway, client: Client) -> None:
        """A tool is shown alone; an unknown one is 404."""
        client.send(b"", "GET", "/api/v1/tools/shared::echo")
        lists(gateway.child, "echo")
        assert heard(client).json["id"] == "shared__echo"
        assert client.ask(b"", "GET", "/api/v1/tools/nothing").status == 404

    def test_called_by_id(self, gateway: MemoryGateway, client: Client) -> None:
        """A tool is called by its id at its server, so that its result is whole."""
        post(client, "/api/v1/tools/shared__echo/call", arguments={"text": "x"})
        lists(gateway.child, "echo")
        asked = tool_call(gateway.child)
        assert asked["params"] == {"name": "echo", "arguments": {"text": "x"}}
        gateway.child.answer(asked, DONE)
        assert heard(client).json == DONE
        assert len(gateway.sessions) == 0

    @pytest.mark.parametrize(
        ("query", "status"), [("", 404), ("?offset=0&fields=a,b&shape=1", 404), ("?offset=x", 400)]
    )
    def test_results(self, client: Client, query: str, status: int) -> None:
        """A result that is not kept is 404, and a parameter that is no number 400."""
        answer = client.ask(b"", "GET", f"/api/v1/results/abc{query}")
        assert answer.status == status, answer.body
        assert answer.json["error"]


class AccessTests:
    """Access to calls and to reads."""

    def test_calls_need_a_token(self, gateway: MemoryGateway) -> None:
        """A caller of a tool can do what the tool does, and so needs a token."""
        answer = gateway.client().ask({"tool": "echo"}, "POST", CALL)
        assert answer.status == 401
        assert gateway.launcher.children == []

    @pytest.mark.parametrize(
        ("method", "path", "route"),
        [
            (b"GET", b"/api/v1/tools", RouteClass.LOOK),
            (b"HEAD", b"/api/v1/tools/a__b", RouteClass.LOOK),
            (b"GET", b"/api/v1/tools/a/b", RouteClass.LOOK),
            (b"GET", b"/api/v1/results/r1", RouteClass.LOOK),
            (b"GET", b"/api/v1/discover", RouteClass.READ),
            (b"POST", b"/api/v1/discover", RouteClass.MUTATE),
            (b"POST", b"/api/v1/tools/a__b/call", RouteClass.USE),
            (b"POST", b"/api/v1/servers/a/call", RouteClass.USE),
            (b"POST", b"/api/servers/a/call", RouteClass.USE),
            (b"GET", b"/api/tools", RouteClass.LOOK),
            (b"GET", b"/api/gateway/config", RouteClass.READ),
            (b"POST", b"/api/v1/tools", RouteClass.NOTHING),
            (b"GET", b"/api/v1/", RouteClass.NOTHING),
            (b"GET", b"/api/v1/other", RouteClass.NOTHING),
            (b"GET", b"/api/other", RouteClass.NOTHING),
            (b"GET", b"/api/v1/v1/tools", RouteClass.NOTHING),
        ],
    )
    def test_classes(self, method: bytes, path: bytes, route: RouteClass) -> None:
        """Reads are trusted like other reads, calls change things; what is not declared is not there."""
        assert class_of(method, path) is route

    def test_without_the_version(self, client: Client) -> None:
        """A path without its version is led to the one with it, method and query kept."""
        post(client, "/api/servers/shared/call?x=%20y", tool="echo")
        assert heard(client).status == 307
        assert heard(client).headers["location"] == "/api/v1/servers/shared/call?x=%20y"

    def test_the_switch_stays_where_it_is(self, client: Client) -> None:
        """Routes that never had a version are answered in place."""
        assert client.ask(b"", "GET", "/api/gateway/config").status == 200


class DiscoverTests:
    """``/api/v1/discover``."""

    def test_all_servers(self, gateway: MemoryGateway, client: Client) -> None:
        """Every server is started and asked for its lists, and who asks meanwhile is told how far it is."""
        post(client, "/api/v1/discover")
        assert heard(client).status == 202
        for child in gateway.launcher.children:
            lists(child, "one", "two")
        found = client.ask(b"", "GET", "/api/v1/discover").json
        assert [(each["name"], each["state"], each["tools"]) for each in found["servers"]] == [
            ("shared", "done", 2),
            ("own", "done", 2),
        ]
        assert not found["running"]

    def test_one_server(self, gateway: MemoryGateway, client: Client) -> None:
        """A server may be named; an unknown one is 404."""
        post(client, "/api/v1/discover", servers=["own"])
        assert [each["name"] for each in heard(client).json["servers"]] == ["own"]
        lists(gateway.child)
        post(client, "/api/v1/discover", servers=["owm"])
        assert heard(client).json["hint"] == "did you mean own?"
        post(client, "/api/v1/discover", servers="own")
        assert heard(client).status == 400

    def test_twice_at_once(self, gateway: MemoryGateway, client: Client) -> None:
        """A caller that comes while that is done is told how far it is, and no server is asked twice."""
        post(client, "/api/v1/discover")
        before = len(gateway.launcher.children)
        post(client, "/api/v1/discover", servers=["own"])
        assert len(heard(client).json["servers"]) == 2
        assert len(gateway.launcher.children) == before
        for child in gateway.launcher.children:
            lists(child)

    def test_failures(self, gateway: MemoryGateway, client: Client) -> None:
        """A server that does not answer in time, or cannot be started, does not keep the others waiting."""
        post(client, "/api/v1/discover", servers=["shared"], timeout_ms=2000)
        gateway.clock.advance(2.1)
        (found,) = client.ask(b"", "GET", "/api/v1/discover").json["servers"]
        assert (found["state"], "2 s" in found["error"]) == ("failed", True)
        gateway.launcher.refuses = True
        post(client, "/api/v1/discover", servers=["own"])
        (found,) = client.ask(b"", "GET", "/api/v1/discover").json["servers"]
        assert (found["state"], "not found" in found["error"]) == ("failed", True)
        assert len(gateway.sessions) == 0

    def test_what_was_not_running_is_stopped(self, gateway: MemoryGateway, client: Client) -> None:
        """A server that nobody used before ends again; one that somebody uses runs on."""
        post(client, "/api/v1/discover", servers=["shared"])
        child = gateway.child
        lists(child)
        assert child.is_stopping
        user = gateway.session("shared")
        user.call(1)
        child = gateway.child
        post(client, "/api/v1/discover", servers=["shared"])
        lists(child)
        assert not child.is_stopping
        assert json.loads(client.ask(b"", "GET", "/api/v1/discover").body)["servers"][0]["state"] == "done"


class ListTests:
    """``GET /api/v1/tools``."""

    def test_who_is_missing(self, gateway: MemoryGateway, client: Client) -> None:
        """The list waits for servers that were never asked, for a while, and names those that have not answered."""
        gateway.launcher.silent = {"shared"}
        client.send(b"", "GET", "/api/v1/tools")
        assert client.heard is None
        lists(gateway.child, "count")
        assert client.heard is None
        gateway.clock.advance(PATIENCE_S)
        assert heard(client).headers["mcpgateway-missing"] == "shared"
        assert [each["name"] for each in heard(client).json] == ["own__count"]

    def test_nobody_is(self, gateway: MemoryGateway, client: Client) -> None:
        """Where all have answered, it says nothing of that."""
        client.send(b"", "GET", "/api/v1/tools")
        for child in gateway.launcher.children:
            lists(child, "echo")
        assert "mcpgateway-missing" not in heard(client).headers
        assert len(heard(client).json) == 2
