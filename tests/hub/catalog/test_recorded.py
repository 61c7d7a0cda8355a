"""Answers for servers that do not run, and what becomes of them when these do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.hub.catalog import recorded
from mcpgateway.hub.catalog.recorded import HELD_TICKS, REST_TICKS
from mcpgateway.policy.recorded_answers import OLD_S
from mcpgateway.protocol.versions import Era
from tests.support.gateway_in_memory import DISCOVERED, HELLO, Client, MemoryGateway
from tests.support.modern_client import acknowledge, events, meta, post, request
from tests.support.remembering import Home, answered, ask, tool

TOOLS = {"tools": [tool("echo"), tool("add")]}
CHANGED = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A directory that outlives gateways."""
    return Home(tmp_path)


def known(home: Home, server: str = "shared", lists: dict[str, Any] = TOOLS, **params: Any) -> MemoryGateway:
    """A gateway that was restarted after somebody had used a server and listed its tools."""
    gateway = home.start()
    client = gateway.client(server)
    client.initialize(protocolVersion="2025-06-18", **params)
    answered(client, gateway.child, lists)
    return home.start()


def arrive(gateway: MemoryGateway, server: str = "shared", **params: Any) -> tuple[Client, Any]:
    """A client that has begun a session, and what it was told."""
    client = gateway.client(server)
    answer = client.initialize(**({"protocolVersion": "2025-06-18"} | params))
    return client, answer.json["result"]


class RestTests:
    """A server that does not run."""

    @pytest.mark.parametrize("server", ["shared", "own"])
    def test_no_process_for_a_handshake_and_a_list(self, home: Home, server: str) -> None:
        """After a restart a session begins and its tools are listed without anything being started."""
        gateway = known(home, server)
        client, hello = arrive(gateway, server)
        assert hello == HELLO | {"protocolVersion": "2025-06-18"}
        assert ask(client) == {"jsonrpc": "2.0", "id": 7, "result": TOOLS}
        assert gateway.launcher.children == []

    @pytest.mark.parametrize("server", ["shared", "own"])
    def test_the_first_call_starts_it(self, home: Home, server: str) -> None:
        """A call goes to a child, which is asked for nothing but the call and what was answered in its place."""
        gateway = known(home, server)
        client, _ = arrive(gateway, server)
        ask(client)
        client.call(1, name="echo")
        gateway.child.answer(gateway.child.asked("tools/call")[0], {"content": []})
        assert client.heard is not None
        gateway.clock.advance(0)
        said = [each["method"] for each in gateway.child.received]
        assert said == ["initialize", "notifications/initialized", "tools/call", "tools/list"]

    def test_nothing_is_asked_that_nobody_asked(self, home: Home) -> None:
        """A child that nobody was answered for hears of no lists."""
        gateway = known(home)
        client, _ = arrive(gateway)
        client.call(1, name="echo")
        gateway.clock.advance(10)
        assert gateway.child.asked("tools/list") == []

    def test_what_nobody_has_asked_for_is_not_known(self, home: Home) -> None:
        """A list that never passed by starts the server, and is its own to answer."""
        gateway = known(home)
        client, _ = arrive(gateway)
        client.call(1, "prompts/list")
        assert len(gateway.child.asked("prompts/list")) == 1

    def test_a_running_server_is_asked(self, home: Home) -> None:
        """While a child runs, its lists come from it."""
        gateway = known(home)
        client, _ = arrive(gateway)
        client.call(1, name="echo")
        other = {"tools": [tool("other")]}
        assert answered(arrive(gateway)[0], gateway.child, other)["result"] == other

    def test_without_a_session(self, home: Home) -> None:
        """Requests without an id are answered too."""
        gateway = known(home)
        assert ask(gateway.client())["result"] == TOOLS
        assert gateway.launcher.children == []

    def test_a_server_that_was_switched_off(self, home: Home) -> None:
        """A server that an operator has disabled is not answered for."""
        known(home)
        home.more = ()
        gateway = home.start()
        slot = gateway.dispatcher.pool.shared(gateway.dispatcher.server("shared"))
        slot.server = evolve(slot.server, enabled=False)
        assert not slot.is_resting
        assert slot.introduction is None

    def test_a_server_that_an_operator_switches(self, home: Home) -> None:
        """The gateway does not answer for a server that is off, whatever its entry says."""
        gateway = known(home)
        client, _ = arrive(gateway)
        gateway.health.disable("shared")
        assert ask(client)["error"]["message"] == "shared is disabled"

    def test_many_at_once(self, home: Home) -> None:
        """A hundred clients that come at the same moment start nothing."""
        gateway = known(home, "own")
        for _ in range(100):
            client, _ = arrive(gateway, "own")
            assert ask(client)["result"] == TOOLS
        assert gateway.launcher.children == []

    def test_after_the_child_has_gone(self, home: Home) -> None:
        """A child that has ended is not started again for what is known."""
        gateway = home.start()
        client, _ = arrive(gateway)
        answered(client, gateway.child, TOOLS)
        gateway.child.exit()
        assert ask(client)["result"] == TOOLS
        arrive(gateway)
        assert len(gateway.launcher.children) == 1

    def test_while_it_starts(self, home: Home) -> None:
        """A client that comes while a child starts does not wait for the child."""
        gateway = known(home)
        gateway.launcher.hello = None
        client, _ = arrive(gateway)
        client.call(1, name="echo")
        assert len(gateway.launcher.children) == 1
        assert ask(arrive(gateway)[0])["result"] == TOOLS

    def test_a_session_that_is_back(self, home: Home) -> None:
        """A session of the former gateway goes on without its server; it is told that its lists may be others."""
        gateway = home.start()
        client, _ = arrive(gateway)
        answered(client, gateway.child, TOOLS)
        gateway = home.start()
        later = gateway.client(**client.headers)
        assert ask(later)["result"] == TOOLS
        ears = gateway.listen(later)
        assert ears.heard is not None
        assert ears.heard.events == [CHANGED]
        assert gateway.launcher.children == []

    def test_a_session_that_is_back_with_a_subscription(self, home: Home) -> None:
        """A session that is subscribed needs the server, and gets it at once."""
        gateway = home.start()
        client, _ = arrive(gateway)
        client.call(1, "resources/subscribe", uri="a:b")
        gateway.child.answer(gateway.child.asked("resources/subscribe")[0], {})
        answered(client, gateway.child, TOOLS)
        gateway = home.start()
        gateway.client(**client.headers).call(1, "ping")
        gateway.listen(client)
        assert len(gateway.child.asked("resources/subscribe")) == 1


class WhoTests:
    """Clients that are given a recorded answer, and clients that are not."""

    def test_the_same_capabilities(self, home: Home) -> None:
        """A client with a child of its own is answered if it says of itself what the former one said."""
        gateway = known(home, "own", capabilities={"roots": {}, "sampling": {}})
        arrive(gateway, "own", capabilities={"sampling": {}, "roots": {}})
        assert gateway.launcher.children == []
        arrive(gateway, "own", capabilities={"sampling": {}})
        assert len(gateway.launcher.children) == 1

    @pytest.mark.parametrize(
        "other", [{"protocolVersion": "2024-11-05"}, {"clientInfo": {"name": "else", "version": "1"}}]
    )
    def test_another_client_of_a_server_of_its_own(self, home: Home, other: dict[str, Any]) -> None:
        """A revision or a name that the former client did not say makes another answer possible."""
        gateway = known(home, "own", clientInfo={"name": "c", "version": "1"})
        arrive(gateway, "own", clientInfo={"name": "c", "version": "2"})
        assert gateway.launcher.children == []
        arrive(gateway, "own", **({"clientInfo": {"name": "c", "version": "1"}} | other))
        assert len(gateway.launcher.children) == 1

    def test_a_shared_server_is_told_what_they_have_in_common(self, home: Home) -> None:
        """Where clients share a child they share its answers."""
        gateway = known(home, clientInfo={"name": "c"}, capabilities={"roots": {}})
        said = {"protocolVersion": "2024-11-05", "capabilities": {"roots": {"listChanged": True}}}
        _, hello = arrive(gateway, **said)
        assert hello["protocolVersion"] == "2024-11-05"
        assert gateway.launcher.children == []

    @pytest.mark.parametrize(
        "change",
        [{"command": ("other",)}, {"cwd": "/tmp"}, {"env": {"NEW": "1"}}, {"credential": "another"}],
    )
    def test_another_launch(self, home: Home, change: dict[str, Any]) -> None:
        """A server launched in another way, or with other credentials, has answered nothing yet."""
        home.more = (ServerSpec("m", ("run",), {"A": "1"}, "/", share=Share.GLOBAL, credential="one"),)
        known(home, "m")
        home.more = (evolve(home.more[0], **change),)
        gateway = home.start()
        arrive(gateway, "m")
        assert len(gateway.launcher.children) == 1

    def test_a_value_of_the_environment(self, home: Home) -> None:
        """Values may be the number of a terminal, and secrets: they are in no key and no file."""
        home.more = (ServerSpec("m", ("run",), {"TOKEN": "hush-hush"}, "/", share=Share.GLOBAL),)
        known(home, "m")
        home.more = (evolve(home.more[0], env={"TOKEN": "changed"}),)
        gateway = home.start()
        arrive(gateway, "m")
        assert gateway.launcher.children == []
        assert b"hush" not in b"".join(each.read_bytes() for each in home.path.rglob("*.json"))

    def test_another_kind_of_client(self, home: Home) -> None:
        """A server is asked once for clients that offer something else; from then on the answer is on record."""
        home.more = (ServerSpec("auto", ("run",), {}, "/", share=Share.AUTO, title="auto"),)
        gateway = known(home, "auto")
        arrive(gateway, "auto", capabilities={"roots": {}})
        assert len(gateway.launcher.children) == 1
        gateway = home.start()
        _, hello = arrive(gateway, "auto", capabilities={"roots": {}})
        assert hello["serverInfo"] == HELLO["serverInfo"]
        assert gateway.launcher.children == []


class RequestTests:
    """Requests that are answered from the record."""

    @pytest.mark.parametrize(
        "params", [{"_meta": {"progressToken": 1}}, {"_meta": {"traceparent": "00-1"}}, {}]
    )
    def test_what_changes_nothing(self, home: Home, params: dict[str, Any]) -> None:
        """Where progress goes and who traces a request does not matter to its answer."""
        assert ask(arrive(known(home))[0], **params)["result"] == TOOLS

    @pytest.mark.parametrize(
        "params", [{"_meta": {"x": 1}}, {"filter": "a"}, {"cursor": None}, {"cursor": "?"}]
    )
    def test_what_may_change_the_answer(self, home: Home, params: dict[str, Any]) -> None:
        """A request that says more than is known of is its server's to answer."""
        gateway = known(home)
        assert ask(arrive(gateway)[0], **params) is None
        assert len(gateway.child.asked("tools/list")) == 1

    def test_an_answer_to_such_a_request_is_not_kept(self, home: Home) -> None:
        """An answer to a request with further parameters is not for others."""
        gateway = home.start()
        client, _ = arrive(gateway)
        client.call(1, "tools/list", filter="a")
        gateway.child.answer(gateway.child.asked("tools/list")[-1], TOOLS)
        assert ask(arrive(home.start())[0]) is None

    def test_pages(self, home: Home) -> None:
        """A list in pages is known once all of them have passed by, and is given page by page."""
        gateway = home.start()
        client, _ = arrive(gateway)
        pages = [{"tools": [tool("a")], "nextCursor": "x"}, {"tools": [tool("b")]}]
        client.call(1, "tools/list")
        gateway.child.answer(gateway.child.asked("tools/list")[-1], pages[0])
        assert ask(arrive(home.start())[0]) is None
        gateway = home.start()
        client, _ = arrive(gateway)
        for page, params in zip(pages, ({}, {"cursor": "x"}), strict=True):
            client.call(1, "tools/list", **params)
            gateway.child.answer(gateway.child.asked("tools/list")[-1], page)
        client, _ = arrive(home.start())
        assert [ask(client)["result"], ask(client, cursor="x")["result"]] == pages
        assert ask(client, cursor="y") is None

    @pytest.mark.parametrize("result", [{"tools": "none"}, {}, {"tools": [], "resultType": "input_required"}])
    def test_what_is_no_list(self, home: Home, result: dict[str, Any]) -> None:
        """An answer that is none is passed on, and not kept."""
        gateway = home.start()
        client, _ = arrive(gateway)
        assert answered(client, gateway.child, result)["result"] == result
        assert ask(arrive(home.start())[0]) is None

    def test_an_error_is_not_kept(self, home: Home) -> None:
        """A server's error is not kept: another time it may answer."""
        gateway = home.start()
        client, _ = arrive(gateway)
        client.call(1, "tools/list")
        asked = gateway.child.asked("tools/list")[-1]
        gateway.child.say(
            {"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32603, "message": "later"}}
        )
        assert ask(arrive(home.start())[0]) is None

    def test_the_level_of_the_log(self, home: Home) -> None:
        """A wish for a log level starts nothing, and is brought to the child that comes."""
        gateway = known(home)
        client, _ = arrive(gateway)
        assert ask(client, "logging/setLevel", level="debug")["result"] == {}
        assert gateway.launcher.children == []
        client.call(1, name="echo")
        assert [each["params"] for each in gateway.child.asked("logging/setLevel")] == [{"level": "debug"}]

    def test_a_server_without_a_log(self, home: Home) -> None:
        """A server that has no log says so itself."""
        gateway = home.start()
        gateway.launcher.hello = HELLO | {"capabilities": {}}
        arrive(gateway)
        gateway = home.start()
        client, _ = arrive(gateway)
        assert ask(client, "logging/setLevel", level="debug") is None
        assert len(gateway.child.asked("logging/setLevel")) == 1

    def test_a_subscription_starts_it(self, home: Home) -> None:
        """A subscription needs the server, and starts it."""
        gateway = known(home)
        client, _ = arrive(gateway)
        assert ask(client, "resources/subscribe", uri="a:b") is None
        assert len(gateway.child.asked("resources/subscribe")) == 1


class ChangeTests:
    """Lists that do not stay as they are."""

    def test_a_list_that_has_changed_is_dropped(self, home: Home) -> None:
        """A list that its server calls changed is given to no client, until it was asked for again."""
        gateway = home.start()
        client, _ = arrive(gateway)
        answered(client, gateway.child, TOOLS)
        gateway.child.say(CHANGED)
        assert ask(arrive(home.start())[0]) is None

    def test_an_answer_from_before_the_change(self, home: Home) -> None:
        """An answer that was asked for before a change is not kept."""
        gateway = home.start()
        client, _ = arrive(gateway)
        client.call(1, "tools/list")
        gateway.child.say(CHANGED)
        gateway.child.answer(gateway.child.asked("tools/list")[-1], TOOLS)
        assert ask(arrive(home.start())[0]) is None

    @pytest.mark.parametrize("when", ["before it answers", "afterwards"])
    def test_the_number_of_tools(self, home: Home, when: str) -> None:
        """Whenever a server says that its tools have changed, those it had are counted until it is asked again."""
        gateway = home.start()
        client, _ = arrive(gateway)
        client.call(1, "tools/list")
        if when == "before it answers":
            gateway.child.say(CHANGED)
        gateway.child.answer(gateway.child.asked("tools/list")[-1], TOOLS)
        if when == "afterwards":
            gateway.child.say(CHANGED)
        for each in (gateway, home.start()):
            tools = each.census.tools(each.dispatcher.servers["shared"])
            assert tools is not None
            assert [one.own for one in tools] == ["echo", "add"]

    def test_a_later_list_counts(self, home: Home) -> None:
        """An answer from before a change does not replace one from after it."""
        gateway = home.start()
        client, other = arrive(gateway)[0], arrive(gateway)[0]
        client.call(1, "tools/list")
        gateway.child.say(CHANGED)
        other.call(2, "tools/list")
        first, second = gateway.child.asked("tools/list")
        gateway.child.answer(second, {"tools": [tool("new")]})
        gateway.child.answer(first, TOOLS)
        gateway = home.start()
        assert ask(arrive(gateway)[0])["result"] == {"tools": [tool("new")]}
        (only,) = gateway.census.tools(gateway.dispatcher.servers["shared"]) or ()
        assert only.own == "new"

    def test_another_list_stays(self, home: Home) -> None:
        """A change of one list says nothing of the others; resources have two."""
        gateway = home.start()
        client, _ = arrive(gateway)
        prompts: dict[str, Any] = {"prompts": []}
        answered(client, gateway.child, TOOLS)
        answered(client, gateway.child, prompts, "prompts/list")
        answered(client, gateway.child, {"resourceTemplates": []}, "resources/templates/list")
        gateway.child.say(CHANGED | {"method": "notifications/resources/list_changed"})
        gateway = home.start()
        client, _ = arrive(gateway)
        assert (ask(client)["result"], ask(client, "prompts/list")["result"]) == (TOOLS, prompts)
        assert ask(client, "resources/templates/list") is None

    @pytest.mark.parametrize("server", ["shared", "own"])
    def test_who_was_given_another_list_is_told(self, home: Home, server: str) -> None:
        """A server whose tools have changed while it was away tells those who were answered in its place."""
        gateway = known(home, server)
        client, _ = arrive(gateway, server)
        ears = gateway.listen(client)
        ask(client)
        client.call(1, name="echo")
        gateway.clock.advance(0)
        gateway.child.answer(gateway.child.asked("tools/list")[0], {"tools": [tool("new")]})
        assert ears.heard is not None
        assert ears.heard.events == [CHANGED]
        gateway = home.start()
        assert ask(arrive(gateway, server)[0])["result"] == {"tools": [tool("new")]}

    def test_only_they_are_told(self, home: Home) -> None:
        """Sessions that have asked the child itself know already."""
        gateway = known(home)
        before, _ = arrive(gateway)
        ask(before)
        before.call(1, name="echo")
        after, _ = arrive(gateway)
        heard = [gateway.listen(each) for each in (before, after)]
        gateway.clock.advance(0)
        gateway.child.answer(gateway.child.asked("tools/list")[0], {"tools": []})
        assert [each.heard is not None and each.heard.events for each in heard] == [[CHANGED], []]

    def test_the_same_list(self, home: Home) -> None:
        """Clients hear nothing of a list that is the same, however it is cut into pages."""
        gateway = known(home)
        client, _ = arrive(gateway)
        ears = gateway.listen(client)
        ask(client)
        client.call(1, name="echo")
        gateway.clock.advance(0)
        first, second = TOOLS["tools"]
        gateway.child.answer(gateway.child.asked("tools/list")[0], {"tools": [first], "nextCursor": "c"})
        assert gateway.child.asked("tools/list")[1]["params"] == {"cursor": "c"}
        gateway.child.answer(gateway.child.asked("tools/list")[1], {"tools": [second]})
        assert ears.heard is not None
        assert ears.heard.events == []
        client, _ = arrive(home.start())
        assert ask(client, cursor="c")["result"] == {"tools": [second]}

    def test_a_list_that_is_gone(self, home: Home) -> None:
        """A server that refuses now what it has listed before has changed."""
        gateway = known(home)
        client, _ = arrive(gateway)
        ears = gateway.listen(client)
        ask(client)
        client.call(1, name="echo")
        gateway.clock.advance(0)
        asked = gateway.child.asked("tools/list")[0]
        gateway.child.say({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32601, "message": "no"}})
        assert ears.heard is not None
        assert ears.heard.events == [CHANGED]

    def test_a_child_that_ends_before_it_answers(self, home: Home) -> None:
        """The next child is asked what the first did not answer."""
        gateway = known(home)
        client, _ = arrive(gateway)
        ask(client)
        client.call(1, name="echo")
        gateway.clock.advance(0)
        gateway.child.exit()
        client.call(2, name="echo")
        gateway.clock.advance(0)
        assert len(gateway.launcher.children) == 2
        assert len(gateway.child.asked("tools/list")) == 1

    def test_it_is_asked_once(self, home: Home) -> None:
        """A child that has answered is not asked again for a client that comes back to it."""
        gateway = known(home)
        client, _ = arrive(gateway)
        ask(client)
        client.call(1, name="echo")
        gateway.clock.advance(0)
        gateway.child.answer(gateway.child.asked("tools/list")[0], TOOLS)
        gateway.child.exit()
        client.call(2, name="echo")
        gateway.clock.advance(0)
        assert gateway.child.asked("tools/list") == []

    def test_an_old_list(self, home: Home) -> None:
        """A list of last week is asked for again when its server runs, and does not make it run."""
        known(home)
        home.now = OLD_S + 1
        gateway = home.start()
        client, _ = arrive(gateway)
        gateway.clock.advance(100)
        assert gateway.launcher.children == []
        client.call(1, name="echo")
        gateway.clock.advance(0)
        gateway.child.answer(gateway.child.asked("tools/list")[0], {"tools": []})
        gateway = home.start()
        client, _ = arrive(gateway)
        assert ask(client)["result"] == {"tools": []}
        client.call(1, name="echo")


class EraTests:
    """Clients and servers of both eras."""

    @pytest.fixture
    def modern(self, home: Home) -> Home:
        """A home with a server that speaks the modern era only."""
        home.more = (ServerSpec("m", ("run",), {}, "/", share=Share.GLOBAL, protocol=Era.MODERN, title="m"),)
        home.eras = {"m": (Era.MODERN,)}
        return home

    def test_a_modern_client_and_its_server(self, modern: Home) -> None:
        """Discovery and lists of the modern era need no process either; how long they hold nobody knows then."""
        gateway = modern.start()
        client = gateway.client("m")
        listed = {"resultType": "complete", "ttlMs": 60_000, "cacheScope": "public", **TOOLS}
        post(client, request(1, "server/discover"))
        gateway.child.answer(gateway.child.asked("server/discover")[-1], DISCOVERED)
        post(client, request(2, "tools/list"))
        gateway.child.answer(gateway.child.asked("tools/list")[0], listed)
        gateway = modern.start()
        client = gateway.client("m")
        post(client, request(1, "server/discover"))
        assert client.heard is not None
        assert client.heard.json["result"] == DISCOVERED
        post(client, request(2, "tools/list"))
        assert client.heard.json["result"] == listed | {"ttlMs": 0}
        assert gateway.launcher.children == []
        offers = {"io.modelcontextprotocol/clientCapabilities": {"roots": {}}}
        post(client, request(3, "tools/list", meta(**offers)))
        assert client.heard is None

    def test_a_modern_client_that_listens(self, modern: Home) -> None:
        """A client that listens hears when the list that it was given is out of date."""
        gateway = modern.start()
        client = gateway.client("m")
        post(client, request(2, "tools/list"))
        gateway.child.answer(gateway.child.asked("tools/list")[0], {"resultType": "complete", **TOOLS})
        gateway = modern.start()
        client, ears = gateway.client("m"), gateway.client("m")
        post(client, request(2, "tools/list"))
        post(ears, request("l", "subscriptions/listen", notifications={"toolsListChanged": True}))
        acknowledge(gateway.child)
        gateway.clock.advance(0)
        asked = gateway.child.asked("tools/list")[0]
        assert asked["params"]["_meta"] == meta()
        gateway.child.answer(asked, {"resultType": "complete", "tools": []})
        assert [each["method"] for each in events(ears)][1:] == ["notifications/tools/list_changed"]

    def test_a_legacy_client_of_a_modern_server(self, modern: Home) -> None:
        """Across the eras, too, a session begins and lists without a process, and hears of a change."""
        listed = {"resultType": "complete", "ttlMs": 5, "cacheScope": "public", **TOOLS}
        gateway = modern.start()
        client, hello = arrive(gateway, "m")
        client.call(7, "tools/list")
        gateway.child.answer(gateway.child.asked("tools/list")[-1], listed)
        gateway = modern.start()
        client, again = arrive(gateway, "m")
        assert again == hello
        assert ask(client)["result"] == TOOLS
        gateway.tick(3)
        assert gateway.launcher.children == []
        ears = gateway.listen(client)
        client.call(1, name="echo")
        gateway.tick()
        asked = gateway.child.asked("tools/list")[0]
        gateway.child.answer(asked, {"resultType": "complete", "tools": []})
        assert ears.heard is not None
        assert CHANGED in ears.heard.events

    def test_a_modern_client_of_a_legacy_server(self, home: Home) -> None:
        """A server that speaks only the legacy era is discovered and listed without a process."""
        home.more = (ServerSpec("l", ("run",), {}, "/", share=Share.GLOBAL, protocol=Era.LEGACY, title="l"),)
        gateway = known(home, "l")
        client = gateway.client("l")
        post(client, request(2, "tools/list"))
        assert client.heard is not None
        found = client.heard.json["result"]
        assert found["tools"] == TOOLS["tools"]
        assert found["_meta"]["io.modelcontextprotocol/serverInfo"] == HELLO["serverInfo"]
        assert gateway.launcher.children == []


class MemoryTests:
    """Snapshots in memory, and when they are written."""

    def test_nothing_is_read_before_somebody_comes(self, home: Home) -> None:
        """A gateway that starts reads no catalog, and lets go of one that nobody asks for."""
        gateway = known(home)
        known_ones = gateway.hub.snapshots
        assert known_ones is not None
        assert known_ones.held_bytes == 0
        arrive(gateway)
        assert known_ones.held_bytes > 0
        gateway.tick(HELD_TICKS + 1)
        assert known_ones.held_bytes == 0
        assert known_ones.is_known(gateway.dispatcher.server("shared"))
        assert not known_ones.is_known(gateway.dispatcher.server("own"))
        assert ask(arrive(gateway)[0])["result"] == TOOLS

    def test_a_bound(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        """All catalogs together take no more than so much; what was not written yet is written first."""
        monkeypatch.setattr(recorded, "HELD_BYTES", 100)
        gateway = home.start()
        for server in ("shared", "own"):
            client, _ = arrive(gateway, server)
            answered(client, gateway.child, TOOLS)
        gateway = home.start_after_kill()
        assert ask(arrive(gateway)[0])["result"] == TOOLS
        gateway.tick()
        assert gateway.hub.snapshots is not None
        assert gateway.hub.snapshots.held_bytes == 0

    def test_it_is_written_soon(self, home: Home) -> None:
        """A killed gateway has written what was learnt a second ago; a file is not written with every change."""
        gateway = home.start()
        client, _ = arrive(gateway)
        answered(client, gateway.child, TOOLS)
        gateway.tick()
        (file,) = home.path.rglob("*.json")
        before = file.read_bytes()
        answered(client, gateway.child, {"tools": []})
        gateway.tick()
        assert file.read_bytes() == before
        gateway.tick(REST_TICKS)
        assert file.read_bytes() != before
        assert file.stat().st_mode & 0o777 == 0o600
        assert ask(arrive(home.start_after_kill())[0])["result"] == {"tools": []}

    def test_forgetting(self, home: Home) -> None:
        """A server that is forgotten is started for whoever comes."""
        gateway = known(home)
        assert gateway.hub.snapshots is not None
        gateway.hub.snapshots.forget("shared")
        assert list(home.path.rglob("*.json")) == []
        arrive(gateway)
        assert len(gateway.launcher.children) == 1

    @pytest.mark.parametrize(
        "damage", [b"", b"{", b"[]", b'{"format":0}', b'{"format":1,"variants":[{}]}', b"\xff"]
    )
    def test_a_damaged_file(self, home: Home, damage: bytes) -> None:
        """A file that cannot be read is as good as none, and replaced."""
        known(home)
        (file,) = home.path.rglob("*.json")
        file.write_bytes(damage)
        gateway = home.start_after_kill()
        client, _ = arrive(gateway)
        answered(client, gateway.child, TOOLS)
        assert ask(arrive(home.start())[0])["result"] == TOOLS

    def test_a_newer_file(self, home: Home) -> None:
        """A file of a newer gateway is neither read nor touched, even to forget its server."""
        known(home)
        (file,) = home.path.rglob("*.json")
        newer = json.dumps({"format": 2, "variants": "otherwise"}).encode()
        file.write_bytes(newer)
        gateway = home.start_after_kill()
        client, _ = arrive(gateway)
        answered(client, gateway.child, TOOLS)
        gateway.tick(10)
        assert gateway.hub.snapshots is not None
        gateway.hub.snapshots.forget("shared")
        home.start()
        assert file.read_bytes() == newer


TEXT = st.text(max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


class SameTests:
    """A snapshot is given again as it was heard."""

    @given(
        tools=st.lists(st.dictionaries(TEXT, VALUES, max_size=4), max_size=4),
        more=st.dictionaries(TEXT, VALUES),
    )
    def test_byte_for_byte(
        self, tmp_path_factory: pytest.TempPathFactory, tools: list[Any], more: Any
    ) -> None:
        """A client that comes after a restart is given the very bytes that one before it was."""
        home = Home(tmp_path_factory.mktemp("home"))
        gateway = home.start()
        hello = more | HELLO | {"instructions": json.dumps(more)}
        gateway.launcher.hello = hello
        listed = {name: each for name, each in more.items() if name not in ("resultType", "nextCursor")}
        listed["tools"] = tools
        bodies = []
        for restarted in (False, True):
            client = (home.start() if restarted else gateway).client()
            begun = client.initialize(protocolVersion="2025-06-18").body
            client.call(1, "tools/list")
            if not restarted:
                gateway.child.answer(gateway.child.asked("tools/list")[0], listed)
            assert client.heard is not None
            bodies.append((begun, client.heard.body))
        assert home.gateway is not None
        assert home.gateway.launcher.children == []
        assert bodies[0] == bodies[1]
