"""Lists of a view depend on what a modern client can do, where they do at the server itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mcpgateway.config.model import ServerSpec
from mcpgateway.views.listeners import DEBOUNCE_S
from mcpgateway.views.modern_lists import REFRESHED_LIMIT
from tests.support.gateway_in_memory import Client
from tests.support.modern_client import (
    LISTEN,
    PREFIX,
    TOOLS_CHANGED,
    acknowledge,
    done,
    listen,
    meta,
    methods,
    news,
    note,
    reply,
)
from tests.support.remembering import Home
from tests.support.view_stage import CAN_BE_ASKED, Stage, legacy, modern, tool

CAN_SHOW = meta(**{PREFIX + "clientCapabilities": {"extensions": {"io.modelcontextprotocol/ui": {}}}})
PLAIN, ALL = ["s__echo"], ["s__echo", "s__ask"]
SERVERS = [modern("s"), legacy("s", interactive=True)]


def tools(capabilities: dict[str, Any]) -> list[Any]:
    """The tools of a server that asks clients that can be asked."""
    return [tool("echo"), *([tool("ask")] if "elicitation" in capabilities else [])]


def names(stage: Stage, envelope: dict[str, Any] | None = None, client: Client | None = None) -> list[str]:
    """The names of the servers' tools that a client is listed."""
    client = client or stage.client()
    stage.send(client, "tools/list", envelope=envelope)
    stage.begin()
    stage.send(client, "tools/list", envelope=envelope)
    return [each["name"] for each in reply(client)["result"]["tools"] if each["name"].startswith("s__")]


@pytest.fixture(params=SERVERS, ids=["modern", "legacy"])
def server(request: pytest.FixtureRequest) -> ServerSpec:
    """A server of either era that lists a tool to some clients only."""
    found: ServerSpec = request.param
    return found


@pytest.fixture
def stage(server: ServerSpec) -> Stage:
    """A view of it."""
    return Stage(server, s=tools)


class ListTests:
    """Clients, and the tools that each is listed."""

    def test_what_a_client_can_do(self, stage: Stage) -> None:
        """A client that can be asked is listed the tools that ask; others are not, whichever came first."""
        assert names(stage) == PLAIN
        assert names(stage, CAN_BE_ASKED) == ALL
        assert names(stage) == PLAIN

    def test_a_call(self, stage: Stage) -> None:
        """A tool that asks is called by name, though no list has been given before."""
        client = stage.client()
        stage.send(client, "tools/call", envelope=CAN_BE_ASKED, name="s__ask")
        stage.answer()
        (child,) = [each for each in stage.children("s") if each.asked("tools/call")]
        done(child, child.asked("tools/call")[-1], content=[])
        assert reply(client)["result"]["content"] == []

    def test_through_the_gateways_own_tools(self, stage: Stage) -> None:
        """A tool that asks is found and called by the gateway's own tools, too."""
        client = stage.client()
        said = {"tool": "s__ask", "arguments": {}}
        stage.send(client, "tools/call", envelope=CAN_BE_ASKED, name="gateway_invoke", arguments=said)
        stage.answer()
        (child,) = [each for each in stage.children("s") if each.asked("tools/call")]
        done(child, child.asked("tools/call")[-1], content=[])
        assert reply(client)["result"]["content"] == []

    def test_elsewhere(self, stage: Stage) -> None:
        """At the server's own endpoint, what one client may keep of a list is no other's answer."""
        stage.extra["s"] = {"ttlMs": 60_000, "cacheScope": "public"}
        client, other = stage.client("/s/mcp"), stage.client("/s/mcp")
        stage.send(client, "tools/list")
        stage.send(other, "tools/list", envelope=CAN_BE_ASKED)
        assert len(reply(client)["result"]["tools"]) == 1
        assert len(reply(other)["result"]["tools"]) == 2

    def test_one_child_for_all(self) -> None:
        """A server that has one child for all is asked once, whatever its clients can do."""
        stage = Stage(legacy("s"), s=tools)
        assert names(stage) == names(stage, CAN_BE_ASKED) == names(stage, CAN_SHOW) == PLAIN
        assert len(stage.child("s").asked("tools/list")) == 1

    def test_what_legacy_servers_are_not_told(self) -> None:
        """A capability that a legacy server is not told of makes no list of its own."""
        stage = Stage(legacy("s", interactive=True), s=tools)
        assert names(stage) == names(stage, CAN_SHOW) == PLAIN
        assert len(stage.children("s")) == 1


class NewsTests:
    """Lists that change."""

    def test_a_change(self, stage: Stage) -> None:
        """A change reaches the clients that listen, and each is listed its own tools then."""
        names(stage), names(stage, CAN_BE_ASKED)
        client = stage.client()
        listen(client, toolsListChanged=True)
        child = stage.child("s")
        if child.asked(LISTEN):
            acknowledge(child)
            news(child, TOOLS_CHANGED)
        else:
            child.say(note(TOOLS_CHANGED))
        stage.offers["s"]["tools/list"] = lambda can: [*tools(can), tool("new")]
        stage.wait(DEBOUNCE_S)
        assert TOOLS_CHANGED in methods(client)
        assert names(stage, CAN_BE_ASKED) == [*ALL, "s__new"]

    def test_on_record(self, server: ServerSpec, tmp_path: Path) -> None:
        """After a restart of the gateway each client is listed what it was listed before, and nothing is started."""
        home = Home(tmp_path)
        stage = Stage(server, gateway=home.start(), s=tools)
        names(stage), names(stage, CAN_BE_ASKED)
        stage = Stage(server, gateway=home.start(), s=tools)
        assert names(stage, CAN_BE_ASKED) == ALL
        assert names(stage) == PLAIN
        assert stage.children("s") == []

    def test_kinds_of_clients(self) -> None:
        """Of very many kinds of clients the latest are remembered."""
        stage = Stage(modern("s"), s=tools)
        for nth in range(REFRESHED_LIMIT + 2):
            said = meta(**{PREFIX + "clientCapabilities": {"experimental": {str(nth): {}}}})
            stage.send(stage.client(), "tools/list", envelope=said)
        assert [len(each) for each in stage.registry.lists._askers.values()] == [REFRESHED_LIMIT]

    def test_another_child(self) -> None:
        """A child that takes another's place is asked in the words of all who were shown a list."""
        stage = Stage(modern("s"), s=tools)
        names(stage), names(stage, CAN_BE_ASKED)
        client = stage.client()
        listen(client, toolsListChanged=True)
        stage.offers["s"]["tools/list"] = lambda can: [*tools(can), *([tool("new")] if can else [])]
        stage.child("s").exit(1)
        stage.send(stage.client(), "tools/call", name="s__echo")
        stage.answer()
        stage.wait(DEBOUNCE_S)
        assert TOOLS_CHANGED in methods(client)
        assert (names(stage), names(stage, CAN_BE_ASKED)) == (PLAIN, [*ALL, "s__new"])
