"""Requests of the modern era to a view, from the bytes of a client to the lines of several children and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.discovery.records import ListKind
from mcpgateway.frontends.http.peers import HttpPeer
from mcpgateway.hub.caller import Caller
from mcpgateway.owntools.missing_servers import KEY, NOT_YET
from mcpgateway.policy.access import Reach
from mcpgateway.protocol.versions import UNSUPPORTED, Era
from mcpgateway.views.listeners import DEBOUNCE_S
from mcpgateway.views.lists import ANSWER_S, LIST_S, PATIENCE_S, PAUSE_S, SOON_S, TRIES
from mcpgateway.views.modern_lists import ModernLists
from mcpgateway.views.sessions import LEARNT_S
from tests.support.gateway_in_memory import Client
from tests.support.modern_client import (
    ACKNOWLEDGED,
    CANCELLED,
    LISTEN,
    LOG,
    PREFIX,
    PROGRESS,
    TASKS,
    TOOLS_CHANGED,
    done,
    events,
    hang_up,
    meta,
    note,
    post,
    refusal,
    refuse,
    reply,
    request,
)
from tests.support.remembering import Home
from tests.support.view_stage import CAN_BE_ASKED, FULL, OFFERS, Stage, legacy, modern, tool

FORM = {"message": "Who?", "requestedSchema": {"type": "object"}}
ANNOTATED = tool(
    "put",
    inputSchema={"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}},
)


@pytest.fixture
def stage() -> Stage:
    """A view of two modern servers and a legacy one."""
    return Stage(
        modern("m"),
        modern("n"),
        legacy("old"),
        m=[tool("echo"), ANNOTATED],
        n={
            "tools/list": [tool("echo")],
            "prompts/list": [{"name": "greet"}],
            "resources/list": [{"uri": "test://n/text", "name": "text"}],
            "resources/templates/list": [{"uriTemplate": "test://n/{id}", "name": "any"}],
        },
        old={"tools/list": [tool("echo")], "resources/list": [{"uri": "test://old/text", "name": "text"}]},
    )


class DiscoverTests:
    """The answer of a view to discovery."""

    def test_at_once(self, stage: Stage) -> None:
        """The gateway answers by itself, whatever eras its servers speak, and starts none of them."""
        result = stage.ask("server/discover")["result"]
        assert result["supportedVersions"] == ["2026-07-28"]
        assert result["resultType"] == "complete"
        assert result["capabilities"]["tools"] == {"listChanged": True}
        assert result["capabilities"]["resources"] == {"listChanged": True, "subscribe": True}
        assert result["_meta"][PREFIX + "serverInfo"]["name"] == "mcpgateway"
        assert isinstance(result["ttlMs"], int)
        assert result["cacheScope"] == "private"
        assert stage.gateway.launcher.children == []

    def test_legacy_servers_only(self) -> None:
        """A view speaks the modern era even where none of its servers does."""
        assert "result" in Stage(legacy("old")).ask("server/discover")

    def test_topology(self, stage: Stage) -> None:
        """The version of a view is another once it lists something else."""

        def version() -> str:
            found: str = stage.ask("server/discover")["result"]["_meta"][PREFIX + "serverInfo"]["version"]
            return found

        before = version()
        stage.names()
        assert version() != before
        assert version() == version()

    def test_extensions(self, stage: Stage) -> None:
        """A view has the extensions that any of its servers has been seen to have."""
        stage.hellos["n"] = {"tools": {}, "extensions": {TASKS: {}}}
        assert stage.ask("server/discover")["result"]["capabilities"]["extensions"] == {}
        stage.names()
        assert stage.ask("server/discover")["result"]["capabilities"]["extensions"] == {TASKS: {}}

    @pytest.mark.parametrize("method", ["initialize", "ping", "com.example/do"])
    def test_unknown_methods(self, stage: Stage, method: str) -> None:
        """A method that is no business of a view's is unknown here."""
        client = stage.client()
        post(client, request(3, method))
        assert refusal(client) == (404, -32601, 3)


class ListTests:
    """Lists of all servers."""

    def test_era_found_meanwhile(self) -> None:
        """A server is listed, or named as missing, however its era was found since the view was looked up."""
        stage = Stage(ServerSpec("s", ("run",), {}, "/", share=Share.GLOBAL), s=[tool("echo")])
        stage.gateway.launcher.eras = {"s": (Era.LEGACY,)}
        client = stage.client()

        def named() -> set[str]:
            post(client, request(1, "tools/list", CAN_BE_ASKED))
            result = reply(client)["result"]
            return {each["name"] for each in result["tools"]} | {*result.get("_meta", {}).get(KEY, {})}

        assert "s" in named()
        eras, server = stage.gateway.dispatcher.eras, stage.gateway.dispatcher.servers["s"]
        eras.learn(server, Era.MODERN, speaks=False)
        eras.learn(server, Era.LEGACY, speaks=True)
        stage.begin()
        stage.answer()
        assert "s__echo" in named()

    def test_merged(self, stage: Stage) -> None:
        """Every server's entries are in it, under names that tell them apart; each server is asked once."""
        assert stage.names() == ["m__echo", "m__put", "n__echo", "old__echo"]
        assert stage.names() == ["m__echo", "m__put", "n__echo", "old__echo"]
        for name in ("m", "n", "old"):
            assert len(stage.child(name).asked("tools/list")) == 1
        assert stage.names("prompts/list") == ["n__greet"]
        assert stage.names("resources/list", "uri") == ["test://n/text", "test://old/text"]
        assert stage.names("resources/templates/list", "uriTemplate") == ["test://n/{id}"]

    def test_annotations(self, stage: Stage) -> None:
        """The headers that a schema names are passed on."""
        listed = stage.listed()["tools"]
        (put,) = [each for each in listed if each["name"] == "m__put"]
        assert put["inputSchema"] == ANNOTATED["inputSchema"]

    def test_terms(self, stage: Stage) -> None:
        """A list may be kept for as long as the most careful of its servers says, and by all only if all say so."""
        stage.serve(modern("m"), modern("n"))
        stage.extra = {
            "m": {"ttlMs": 60_000, "cacheScope": "public"},
            "n": {"ttlMs": 30_000, "cacheScope": "public"},
        }
        stage.listed()
        result = stage.ask("tools/list")["result"]
        assert (25_000 < result["ttlMs"] <= 30_000, result["cacheScope"]) == (True, "public")
        stage.wait(10)
        assert stage.ask("tools/list")["result"]["ttlMs"] == result["ttlMs"] - 10_000
        stage.wait(30)
        assert stage.ask("tools/list")["result"]["ttlMs"] == 0

    def test_private(self, stage: Stage) -> None:
        """A list is private where one server says so, or says nothing."""
        stage.extra = {"m": {"ttlMs": 60_000, "cacheScope": "public"}}
        result = stage.ask("tools/list")["result"]
        assert (result["ttlMs"], result["cacheScope"]) == (0, "private")

    @pytest.mark.parametrize("offers", [{}, OFFERS])
    def test_at_once(self, stage: Stage, offers: dict[str, Any]) -> None:
        """A list is answered from what is known, with nothing begun before; it says who is missing, and is not kept."""
        client = stage.client()
        post(client, request(1, "tools/list", meta(**{PREFIX + "clientCapabilities": offers})))
        result = reply(client)["result"]
        assert result["tools"]
        assert result["_meta"][KEY] == dict.fromkeys(("m", "n", "old"), NOT_YET)
        assert (result["ttlMs"], result["cacheScope"]) == (0, "private")
        assert stage.gateway.launcher.children == []
        stage.begin()
        assert all(stage.children(each) for each in ("m", "n", "old"))

    def test_a_late_server(self, stage: Stage) -> None:
        """A list does not wait for a server that does not answer; its tools are there once it has."""
        client = stage.client()
        post(client, request(1, "tools/list"))
        stage.begin("n")
        post(client, request(2, "tools/list"))
        result = reply(client)["result"]
        listed = [each["name"] for each in result["tools"]]
        assert "m__echo" in listed
        assert "n__echo" not in listed
        assert result["_meta"][KEY] == {"n": NOT_YET}
        stage.answer()
        result = stage.listed()
        assert "n__echo" in [each["name"] for each in result["tools"]]
        assert "_meta" not in result

    def test_heard_of(self, stage: Stage) -> None:
        """A client that listens hears when the missing part of a list comes, and nothing of a list that is as
        it was shown.
        """
        client, ears = stage.client(), stage.client()
        stage.send(ears, LISTEN, notifications={"toolsListChanged": True, "promptsListChanged": True})
        for kind in ("tools/list", "prompts/list"):
            post(client, request(1, kind))
        stage.begin("n", "old")
        stage.wait(DEBOUNCE_S)
        told = [TOOLS_CHANGED]
        assert [each["method"] for each in events(ears)] == [ACKNOWLEDGED, *told]
        stage.answer("n")
        stage.wait(DEBOUNCE_S)
        told *= 2
        assert [each["method"] for each in events(ears)] == [ACKNOWLEDGED, *told]

    def test_running(self, stage: Stage) -> None:
        """A server that runs and answers at once is on the list, which waits a moment for it."""
        post(client := stage.client("/m/mcp"), request(1, "tools/call", name="echo"))
        stage.greet()
        post(client := stage.client(), request(1, "tools/list"))
        assert reply(client) is None
        stage.answer()
        result = reply(client)["result"]
        assert "m__echo" in [each["name"] for each in result["tools"]]
        assert result["_meta"][KEY].keys() == {"n", "old"}

    def test_running_and_slow(self, stage: Stage) -> None:
        """A list waits no more than a moment for a server that runs."""
        post(stage.client("/m/mcp"), request(1, "tools/call", name="echo"))
        stage.greet()
        post(client := stage.client(), request(1, "tools/list"))
        stage.wait(LIST_S)
        assert reply(client)["result"]["_meta"][KEY].keys() == {"m", "n", "old"}

    def test_slow_to_ask(self, stage: Stage) -> None:
        """The time it takes to ask all of them, which may be to start them, is a part of what a client waits."""
        lists = ModernLists(
            stage.gateway.dispatcher.view_sessions,
            lambda _: stage.wait(3),
            lambda *_: "",
            lambda *_: {},
            snapshots=None,
        )
        caller = Caller(modern("m"), "", None)
        done = lists.wait([(modern(name), ListKind.TOOL) for name in "mn"], caller)
        stage.wait(PATIENCE_S - 6)
        assert done.called

    def test_a_server_that_never_answers(self, stage: Stage) -> None:
        """A server that could not be asked is left alone for a while, and then asked again."""
        post(stage.client(), request(1, "tools/list"))
        stage.wait(SOON_S)
        stage.greet()
        stage.answer("n")
        stage.wait(ANSWER_S)
        (asked,) = stage.child("n").asked("tools/list")
        assert asked["id"] in [each["params"]["requestId"] for each in stage.child("n").asked(CANCELLED)]
        stage.wait(PAUSE_S - 1)
        post(client := stage.client(), request(2, "tools/list"))
        stage.wait(SOON_S)
        assert len(stage.child("n").asked("tools/list")) == 1
        assert "did not answer" in reply(client)["result"]["_meta"][KEY]["n"]
        stage.wait(1)
        assert "n__echo" in stage.names()

    def test_a_server_that_is_killed_meanwhile(self, stage: Stage) -> None:
        """A server that is killed meanwhile is asked once more, and listed."""
        post(stage.client(), request(1, "tools/list"))
        stage.wait(SOON_S)
        stage.greet()
        stage.child("n").exit(9)
        stage.answer()
        assert "n__echo" in stage.names()

    def test_a_server_that_ends_again_and_again(self, stage: Stage) -> None:
        """The tools of the other servers are listed all the same."""
        post(stage.client(), request(1, "tools/list"))
        stage.wait(SOON_S)
        for _ in range(TRIES):
            stage.greet()
            stage.child("n").exit(1)
        stage.answer()
        result = stage.listed()
        listed = [each["name"] for each in result["tools"]]
        assert {"m__echo", "old__echo"} <= set(listed)
        assert "n__echo" not in listed
        assert "ended" in result["_meta"][KEY]["n"]

    def test_a_client_whose_process_is_unknown(self) -> None:
        """A server that keeps state for each process is missing for such a client, and not for the next one."""
        stage = Stage(modern("mine", share=Share.SESSION), mine=[tool("echo")])
        known = stage.gateway.factory.shared.introduce
        address = IPv4Address("TCP", "127.0.0.1", 404)
        stage.gateway.factory.shared.introduce = lambda _: HttpPeer(address, Reach.LOOPBACK, inode=404)
        assert stage.listed()["_meta"][KEY] == {"mine": UNSUPPORTED}
        stage.gateway.factory.shared.introduce = known
        client = stage.client(**{"X-Client-Pid": "11"})
        assert [each["name"] for each in stage.listed(client=client)["tools"] if "mine" in each["name"]]

    @pytest.mark.parametrize("name", ["n", "old"])
    def test_its_error(self, stage: Stage, name: str) -> None:
        """The error that a server has answered with is the reason why it is missing, in either era."""
        post(stage.client(), request(1, "tools/list"))
        stage.wait(SOON_S)
        stage.greet()
        refuse(stage.child(name), stage.child(name).asked("tools/list")[0], -32603, "no database")
        stage.answer()
        assert stage.listed()["_meta"][KEY] == {name: f"{name}: no database"}

    def test_redefined_meanwhile(self, stage: Stage) -> None:
        """A server that is redefined between the answer to a client and the fetch is not started for that client."""
        post(stage.client(), request(1, "tools/list"))
        stage.serve(modern("m"), evolve(modern("n"), command=("other",)), legacy("old"))
        stage.wait(SOON_S)
        assert stage.children("n") == []
        assert len(stage.children("m")) == 1

    def test_a_server_without_such_a_list(self, stage: Stage) -> None:
        """A server that does not know the method has an empty list, and is not asked again."""
        post(stage.client(), request(1, "prompts/list"))
        stage.wait(SOON_S)
        stage.greet()
        refuse(stage.child("m"), stage.child("m").asked("prompts/list")[0], -32601)
        stage.answer("m")
        assert stage.names("prompts/list") == ["n__greet"]
        assert len(stage.child("m").asked("prompts/list")) == 1

    def test_a_cursor(self, stage: Stage) -> None:
        """A list has one page, so no client can have a cursor."""
        assert stage.ask("tools/list", cursor="x")["error"]["code"] == -32602

    def test_hanging_up(self, stage: Stage) -> None:
        """A client that does not wait for its list takes nothing from others."""
        one, two = stage.client(), stage.client()
        for client in (one, two):
            post(client, request(1, "tools/call", name="m__echo"))
        hang_up(one)
        stage.answer()
        assert len(stage.child("m").asked("tools/call")) == 1


OF_M = [
    ("tools/call", {"name": "m__echo"}),
    ("tools/call", {"name": "m::echo"}),
    ("tools/call", {"name": "gateway_invoke", "arguments": {"id": "m__echo", "args": {}}}),
    ("prompts/get", {"name": "m__greet"}),
    ("completion/complete", {"ref": {"type": "ref/prompt", "name": "m__greet"}, "argument": {}}),
    ("resources/read", {"uri": "mcpgateway:m/test://x"}),
    (LISTEN, {"notifications": {"resourceSubscriptions": ["mcpgateway:m/test://x"]}}),
]


class NamedTests:
    """Requests that say whose they are, before anybody has listed anything."""

    @pytest.fixture
    def stage(self) -> Stage:
        """A server, and two that never say a word: one of each era."""
        return Stage(
            modern("m"),
            modern("slow"),
            legacy("older"),
            m={
                "tools/list": [tool("echo")],
                "prompts/list": [{"name": "greet"}],
                "resources/list": [{"uri": "test://x", "name": "x"}],
            },
        )

    @staticmethod
    def send(stage: Stage, method: str, params: dict[str, Any]) -> Client:
        """Send a request, and let all but the slow ones answer."""
        post(client := stage.client(), request(1, method, **params))
        stage.begin("slow", "older")
        return client

    @pytest.mark.parametrize(("method", "params"), OF_M)
    def test_nobody_else(self, stage: Stage, method: str, params: dict[str, Any]) -> None:
        """A request waits for the server that it names, and neither waits for another one nor starts it."""
        self.send(stage, method, params)
        assert stage.child("m").asked(method)
        assert stage.children("slow") == stage.children("older") == []

    @pytest.mark.parametrize("name", ["slow", "older"])
    def test_its_failure(self, stage: Stage, name: str) -> None:
        """Where that server cannot be asked, its client hears why, as at the server's own endpoint."""
        client, other = stage.client(), stage.client(f"/{name}/mcp")
        post(client, request(1, "tools/call", name=f"{name}__echo"))
        post(other, request(1, "tools/list"))
        assert reply(client) is None
        for _ in range(TRIES):
            stage.child(name).exit(1)
        assert reply(other)["error"]["message"] == reply(client)["error"]["message"]
        assert stage.children("m") == []

    def test_says_nothing(self, stage: Stage) -> None:
        """A name that says nothing of its server waits for all, for a while, and is told who has not answered."""
        client = self.send(stage, "tools/call", {"name": "plain"})
        assert reply(client) is None
        stage.wait(PATIENCE_S)
        data = reply(client)["error"]["data"]
        assert data["missing"] == dict.fromkeys(("slow", "older"), NOT_YET)
        assert "slow" in data["hint"]
        post(client, request(2, "tools/call", name="plain"))
        assert "Unknown tool" in reply(client)["error"]["message"]


class BackOffTests:
    """A server that has failed to start."""

    def test_whoever_looks(self, stage: Stage) -> None:
        """A failed server is not started again for a client that only looks, which hears why, but for a call."""
        client = stage.client()
        post(client, request(1, "tools/call", name="m__echo"))
        stage.child("m").exit(3)
        assert "m ended" in reply(client)["error"]["message"]
        post(client, request(2, "tools/list"))
        stage.begin()
        assert "m ended" in reply(client)["result"]["_meta"][KEY]["m"]
        post(client, request(3, "tools/call", name="gateway_list_tools", arguments={"server": "m"}))
        assert "m ended" in reply(client)["result"]["content"][0]["text"]
        assert len(stage.children("m")) == 1
        post(client, request(4, "tools/call", name="gateway_invoke", arguments={"id": "m__echo"}))
        stage.answer()
        assert stage.child("m").asked("tools/call")


class RestTests:
    """Servers that do not run, but have before."""

    def test_no_process_for_a_list(self, tmp_path: Path) -> None:
        """A list from before a restart is listed again, and its tools called, and no child is started for a list."""
        home = Home(tmp_path)
        servers = (modern("m"), legacy("old"))
        offers: Any = {"m": [tool("echo")], "old": [tool("echo")]}
        before = Stage(*servers, gateway=home.start(), **offers)
        assert before.names() == ["m__echo", "old__echo"]
        stage = Stage(*servers, gateway=home.start(), **offers)
        assert stage.names() == ["m__echo", "old__echo"]
        assert stage.gateway.launcher.children == []
        client = stage.client()
        asked = stage.call(client, "m__echo")
        done(stage.child("m"), asked, content=[])
        assert "result" in reply(client)
        assert stage.children("old") == []

    def test_clients_of_the_other_era(self, tmp_path: Path) -> None:
        """Nor is anything started for the list of a legacy client, who is told when it is another after all."""
        home = Home(tmp_path)
        before = Stage(modern("m"), gateway=home.start(), m=[tool("echo")])
        post(client := before.client("/m/mcp"), request(1, "tools/list"))
        before.answer()
        assert "result" in reply(client)
        stage = Stage(modern("m"), gateway=home.start(), m=[tool("echo"), tool("new")])
        guest = stage.gateway.view()
        guest.call(1, "tools/list")
        assert guest.heard is not None
        assert "m__echo" in [each["name"] for each in guest.heard.json["result"]["tools"]]
        assert stage.gateway.launcher.children == []
        ears = stage.gateway.listen(guest)
        guest.call(2, "tools/call", name="m__echo")
        for _ in range(3):
            stage.answer()
            stage.gateway.clock.advance(LEARNT_S)
        assert ears.heard is not None
        assert [each["method"] for each in ears.heard.events] == ["notifications/tools/list_changed"]

    def test_lists_that_a_server_has_not(self, tmp_path: Path) -> None:
        """A server that is known to have no prompts is not started to say so once more."""
        home = Home(tmp_path)
        before = Stage(modern("m"), gateway=home.start(), m=[tool("echo")])
        before.hellos["m"] = {"tools": {}}
        before.names()
        stage = Stage(modern("m"), gateway=home.start())
        assert stage.names("prompts/list") == []
        assert stage.gateway.launcher.children == []


class CallTests:
    """Calls of tools of several servers."""

    def test_only_the_name(self, stage: Stage) -> None:
        """The server gets its own name, and everything else as its client has sent it."""
        envelope = meta(traceparent="00-1", **{"com.example/x": [1.0, {"a": None}]})
        more = {"arguments": {"a": 1.0}, "inputResponses": {"q": {"action": "accept"}}}
        client = stage.client()
        asked = stage.call(client, "m__echo", "7", envelope=envelope, **more)
        assert asked["params"] == {"name": "echo", "_meta": envelope, **more}
        done(stage.child("m"), asked, content=[])
        assert reply(client)["id"] == "7"
        assert reply(client)["result"] == {"content": [], "resultType": "complete"}

    @pytest.mark.parametrize("name", ["m__echo", "old__echo"])
    @pytest.mark.parametrize("result", [[], "x", None])
    def test_no_object(self, stage: Stage, name: str, result: Any) -> None:
        """A result that is no object reaches nobody, whichever era its server speaks."""
        client = stage.client()
        asked = stage.call(client, name, 7)
        stage.child(stage.owner(name)).answer(asked, result)
        assert reply(client)["id"] == 7
        assert "object" in reply(client)["error"]["message"]

    @given(st.permutations(range(6)))
    def test_crossed(self, order: list[int]) -> None:
        """However the answers of several servers cross, each client gets its own under its own id."""
        stage = Stage(modern("m"), legacy("old"), m=[tool("echo")], old=[tool("echo")])
        names = ["m__echo", "old__echo"] * 3
        clients = [stage.client() for _ in names]
        asked = [stage.call(client, name, 1) for client, name in zip(clients, names, strict=True)]
        for nth in order:
            done(stage.child(stage.owner(names[nth])), asked[nth], of=nth)
        assert [reply(client)["result"]["of"] for client in clients] == list(range(6))

    def test_without_a_list(self, stage: Stage) -> None:
        """A tool can be called before anybody has listed it."""
        client = stage.client()
        stage.send(client, "tools/call", name="n__echo", arguments={})
        (asked,) = stage.child("n").asked("tools/call")
        done(stage.child("n"), asked, content=[])
        assert "result" in reply(client)

    def test_unknown(self, stage: Stage) -> None:
        """A tool that there is not is an error of whoever calls it."""
        assert stage.ask("tools/call", name="m__nothing")["error"]["code"] == -32602
        assert stage.ask("prompts/get", name="m__nothing")["error"]["code"] == -32602
        assert stage.ask("resources/read", uri="nothing://there")["error"]["code"] == -32602

    def test_mirrored_arguments(self, stage: Stage) -> None:
        """A header that repeats an argument is checked as at the server's own endpoint."""
        stage.names()
        client = stage.client()
        body = request(4, "tools/call", name="m__put", arguments={"region": "eu"})
        post(client, body, Mcp_Param_Region="us")
        stage.answer()
        assert refusal(client) == (400, -32020, 4)
        post(client, body, Mcp_Param_Region="eu")
        (asked,) = stage.child("m").asked("tools/call")
        assert asked["params"]["name"] == "put"

    def test_progress_and_messages(self, stage: Stage) -> None:
        """Messages of a server before its answer reach the client whose call they are of."""
        client = stage.client()
        envelope = meta(progressToken="t", **{PREFIX + "logLevel": "info"})
        asked = stage.call(client, "m__echo", envelope=envelope)
        child = stage.child("m")
        child.say(note(PROGRESS, progressToken=asked["params"]["_meta"]["progressToken"], progress=1))
        child.say(note(LOG, level="info", data="x"))
        done(child, asked)
        progress, log, answer = events(client)
        assert progress["params"] == {"progressToken": "t", "progress": 1}
        assert log["method"] == LOG
        assert "result" in answer

    def test_hanging_up(self, stage: Stage) -> None:
        """A client that hangs up has its call taken back at the server."""
        client = stage.client()
        asked = stage.call(client, "m__echo")
        hang_up(client)
        (told,) = stage.child("m").asked("notifications/cancelled")
        assert told["params"]["requestId"] == asked["id"]

    def test_a_server_that_goes(self, stage: Stage) -> None:
        """A server that ends in the middle of a call fails that call, and no other."""
        one, two = stage.client(), stage.client()
        stage.call(one, "m__echo", 1)
        other = stage.call(two, "n__echo", 2)
        stage.child("m").exit(3)
        assert reply(one)["error"]["code"] == -32603
        done(stage.child("n"), other)
        assert "result" in reply(two)


class TogetherTests:
    """Calls that are the same, of tools that change nothing."""

    @pytest.fixture
    def stage(self) -> Stage:
        """A view of a server with such a tool."""
        harmless = {"readOnlyHint": True, "idempotentHint": True}
        return Stage(modern("m"), m=[tool("look", annotations=harmless), tool("do")])

    def test_once(self, stage: Stage) -> None:
        """Calls that are the same are one call to the server, and each client gets its answer under its own id."""
        one, two, other = stage.client(), stage.client(), stage.client()
        for nth, client in enumerate((one, two)):
            stage.call(client, "m__look", nth, arguments={"a": 1})
        stage.call(other, "m__look", 9, arguments={"a": 2})
        first, second = stage.child("m").asked("tools/call")
        done(stage.child("m"), first, of=1)
        assert [(reply(each)["id"], reply(each)["result"]["of"]) for each in (one, two)] == [(0, 1), (1, 1)]
        assert reply(other) is None
        done(stage.child("m"), second, of=2)
        assert reply(other)["result"]["of"] == 2

    def test_others(self, stage: Stage) -> None:
        """Any other tool is called as often as it is called, and so for every principal."""
        for headers in ({}, {}):
            stage.call(stage.client(**headers), "m__do")
        stage.call(stage.client(), "m__look")
        stage.call(stage.client(Authorization="Bearer bearer-token"), "m__look")
        assert len(stage.child("m").asked("tools/call")) == 4

    def test_hanging_up(self, stage: Stage) -> None:
        """A client that hangs up takes nothing from the others; the last one takes the call back."""
        one, two = stage.client(), stage.client()
        for client in (one, two):
            stage.call(client, "m__look")
        hang_up(one)
        assert stage.child("m").asked(CANCELLED) == []
        hang_up(two)
        assert len(stage.child("m").asked(CANCELLED)) == 1


class OtherRequestTests:
    """Prompts, resources and completions."""

    def test_a_prompt(self, stage: Stage) -> None:
        """A prompt is its server's."""
        client = stage.client()
        stage.send(client, "prompts/get", name="n__greet", arguments={"a": "1"})
        (asked,) = stage.child("n").asked("prompts/get")
        assert asked["params"]["name"] == "greet"
        assert asked["params"]["arguments"] == {"a": "1"}

    @pytest.mark.parametrize(
        ("uri", "server"), [("test://n/text", "n"), ("test://old/text", "old"), ("test://n/other", "n")]
    )
    def test_a_resource(self, stage: Stage, uri: str, server: str) -> None:
        """A resource is its server's, by its URI or by a template, and keeps its URI."""
        client = stage.client()
        stage.send(client, "resources/read", uri=uri)
        (asked,) = stage.child(server).asked("resources/read")
        assert asked["params"]["uri"] == uri
        done(stage.child(server), asked, contents=[])
        assert reply(client)["result"]["contents"] == []

    @pytest.mark.parametrize(
        ("error", "following"),
        [
            ({"code": -32602, "message": "Resource not found"}, ["old"]),
            ({"code": -32603, "message": "Internal error"}, []),
        ],
    )
    def test_several_may_have_it(self, stage: Stage, error: dict[str, Any], following: list[str]) -> None:
        """The next server is asked where one has no such resource, and not where one refuses or fails."""
        client = stage.client()
        stage.send(client, "resources/read", uri="test://n/other")
        (asked,) = stage.child("n").asked("resources/read")
        stage.child("n").say({"jsonrpc": "2.0", "id": asked["id"], "error": error})
        stage.answer()
        old = stage.child("old").asked("resources/read")
        assert len(old) == len(following)
        if following:
            assert old[0]["params"]["uri"] == "test://n/other"
            done(stage.child("old"), old[0], contents=[])
            assert reply(client)["result"]["contents"] == []
        else:
            assert reply(client)["error"] == error

    def test_completions(self, stage: Stage) -> None:
        """A completion is its server's."""
        argument = {"name": "a", "value": "x"}
        for nth, reference in enumerate(
            ({"type": "ref/prompt", "name": "n__greet"}, {"type": "ref/resource", "uri": "test://n/{id}"})
        ):
            stage.send(stage.client(), "completion/complete", ref=reference, argument=argument)
            asked = stage.child("n").asked("completion/complete")[nth]
            assert asked["params"]["argument"] == argument
            assert asked["params"]["ref"] == reference | ({"name": "greet"} if "name" in reference else {})
        assert stage.ask("completion/complete", ref={}, argument=argument)["error"]["code"] == -32602

    def test_a_task(self, stage: Stage) -> None:
        """A task is asked for at the server that runs it, by the one who has begun it."""
        declares = meta(**{PREFIX + "clientCapabilities": {"extensions": {TASKS: {}}}})
        client = stage.client()
        asked = stage.call(client, "m__echo", envelope=declares)
        stage.child("m").answer(asked, {"resultType": "task", "taskId": "t1", "status": "working"})
        assert reply(client)["result"]["taskId"] == "t1"
        stage.send(client, "tasks/get", 2, declares, taskId="t1")
        (asked,) = stage.child("m").asked("tasks/get")
        done(stage.child("m"), asked, taskId="t1", status="completed")
        assert reply(client)["result"]["status"] == "completed"
        other = stage.client(Authorization="Bearer bearer-token")
        stage.send(other, "tasks/get", 3, declares, taskId="t1")
        assert reply(other)["error"]["code"] == -32602
        stage.send(client, "tasks/get", 4, declares, taskId="t2")
        assert reply(client)["error"]["code"] == -32602


def again(stage: Stage, client: Client, name: str, answer: str) -> None:
    """Send a call once more, with the answer to what it has asked."""
    result = reply(client)["result"]
    (key,) = result["inputRequests"]
    said = {key: {"action": "accept", "content": {"who": answer}}}
    state = {"requestState": result["requestState"]} if "requestState" in result else {}
    stage.send(client, "tools/call", 2, CAN_BE_ASKED, name=name, inputResponses=said, **state)


class QuestionTests:
    """Questions of servers of both eras to the clients of a view."""

    def test_of_both_eras(self) -> None:
        """The questions of a legacy and of a modern server to two clients reach each its own, and so do the answers."""
        stage = Stage(legacy("old", interactive=True), modern("m"), old=[tool("ask")], m=[tool("ask")])
        ada, bea = stage.client(), stage.client()
        for nth, client in enumerate((ada, bea)):
            stage.send(client, "tools/call", 1, CAN_BE_ASKED, name="old__ask")
            exclusive_child = [each for each in stage.children("old") if each.asked("tools/call")][nth]
            exclusive_child.say({"jsonrpc": "2.0", "id": nth, "method": "elicitation/create", "params": FORM})
            assert reply(client)["result"]["resultType"] == "input_required"
        again(stage, bea, "old__ask", "Bea")
        again(stage, ada, "old__ask", "Ada")
        exclusive = [each for each in stage.children("old") if each.asked("tools/call")]
        for exclusive_child, client, name in zip(exclusive, (ada, bea), ("Ada", "Bea"), strict=True):
            assert exclusive_child.received[-1]["result"]["content"] == {"who": name}
            done(exclusive_child, exclusive_child.asked("tools/call")[-1], content=[], of=name)
            assert reply(client)["result"]["of"] == name

    def test_a_modern_server(self) -> None:
        """A modern server's question passes through, and so does the answer."""
        stage = Stage(modern("m"), m=[tool("ask")])
        client = stage.client()
        asked = stage.call(client, "m__ask", envelope=CAN_BE_ASKED)
        question = {"method": "elicitation/create", "params": FORM}
        result = {"resultType": "input_required", "inputRequests": {"q": question}, "requestState": "s"}
        stage.child("m").answer(asked, result)
        assert reply(client)["result"] | {"requestState": "s"} == result
        again(stage, client, "m__ask", "Ada")
        asked = stage.child("m").asked("tools/call")[-1]
        assert asked["params"]["requestState"] == "s"
        assert asked["params"]["inputResponses"]["q"]["content"] == {"who": "Ada"}

    def test_identical_calls(self) -> None:
        """Of identical calls made together each client is asked for itself, and answers for itself."""
        safe = tool("look", annotations={"readOnlyHint": True, "idempotentHint": True})
        stage = Stage(modern("m"), m=[safe])
        clients = ada, bea = stage.client(), stage.client()
        for client in clients:
            stage.send(client, "tools/call", 1, CAN_BE_ASKED, name="m__look")
        child = stage.child("m")
        question = {"method": "elicitation/create", "params": FORM}
        for _ in clients:
            asked = child.asked("tools/call")[-1]
            child.answer(
                asked, {"resultType": "input_required", "inputRequests": {"q": question}, "requestState": "s"}
            )
        for client, name in ((bea, "Bea"), (ada, "Ada")):
            again(stage, client, "m__look", name)
            asked = child.asked("tools/call")[-1]
            assert asked["params"]["inputResponses"]["q"]["content"] == {"who": name}
            done(child, asked, content=[], of=name)
            assert reply(client)["result"]["of"] == name

    def test_somebody_elses(self) -> None:
        """A state is good only for the one who was asked."""
        stage = Stage(legacy("old", interactive=True), old=[tool("ask")])
        client, other = stage.client(), stage.client(Authorization="Bearer bearer-token")
        stage.send(client, "tools/call", 1, CAN_BE_ASKED, name="old__ask")
        (exclusive_child,) = [each for each in stage.children("old") if each.asked("tools/call")]
        exclusive_child.say({"jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": FORM})
        state = reply(client)["result"]["requestState"]
        stage.send(other, "tools/call", 2, CAN_BE_ASKED, name="old__ask", requestState=state)
        assert reply(other)["error"]["code"] == -32602

    def test_offers(self) -> None:
        """A server is told what this client offers, as at its own endpoint."""
        stage = Stage(legacy("old", interactive=True), old=[tool("ask")])
        stage.send(stage.client(), "tools/call", 1, CAN_BE_ASKED, name="old__ask")
        (exclusive_child,) = [each for each in stage.children("old") if each.asked("tools/call")]
        (hello,) = exclusive_child.asked("initialize")
        assert hello["params"]["capabilities"] == OFFERS


class StatefulTests:
    """A server that keeps state for each client, among others."""

    def test_its_own_refusal(self) -> None:
        """Where nobody can tell the client from others its tools say so, and everything else works."""
        stage = Stage(modern("mine", share=Share.SESSION), modern("m"), mine=[tool("echo")], m=[tool("echo")])
        stage.serve(modern("mine"), modern("m"))
        assert stage.names() == ["mine__echo", "m__echo"]
        stage.serve(modern("mine", share=Share.SESSION), modern("m"))
        client = stage.client()
        stage.send(client, "tools/call", name="m__echo")
        done(stage.child("m"), stage.child("m").asked("tools/call")[-1], content=[])
        assert "result" in reply(client)
        assert "m__echo" in stage.names()

    def test_other_views(self, stage: Stage) -> None:
        """The view of all servers is not the endpoint of one."""
        client = stage.client(FULL.replace("full", "nothing"))
        post(client, request(1, "tools/list"))
        assert client.heard is not None
        assert client.heard.status == 404
