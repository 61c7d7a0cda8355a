"""Arguments that are added to calls of tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from mcpgateway.config.model import Project, ServerSpec, Share
from mcpgateway.protocol.versions import Era
from tests.support.gateway_in_memory import MemoryGateway
from tests.support.modern_client import done, post, request
from tests.support.remembering import Home, answered, tool

ROOT = "/work/shop"
SPEC = ServerSpec(
    "graph",
    ("run",),
    {},
    "/srv",
    share=Share.GLOBAL,
    inject={"projectPath": "${workspace}", "limit": "3"},
    workspace=ROOT,
)
STRING = {"type": "string"}
TOOLS = {
    "tools": [
        tool("search", projectPath=STRING, q=STRING),
        tool("other", q=STRING),
        tool("n", limit={"type": "integer"}),
    ]
}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A directory that outlives gateways."""
    return Home(tmp_path, (SPEC,))


def called(gateway: MemoryGateway, name: str, lists: Any = TOOLS, **params: Any) -> Any:
    """The parameters that a child gets of a call, after its tools were listed."""
    client = gateway.client("graph")
    client.initialize(protocolVersion="2025-06-18")
    if lists is not None:
        answered(client, gateway.child, lists)
    client.call(1, name=name, **params)
    return gateway.child.asked("tools/call")[-1]["params"]


class CallTests:
    """Arguments that a server is called with."""

    def test_it_is_added(self, home: Home) -> None:
        """A tool that takes the argument is given it beside those of its caller."""
        said = called(home.start(), "search", arguments={"q": "x"})
        assert said == {"name": "search", "arguments": {"q": "x", "projectPath": ROOT}}

    def test_a_call_without_arguments(self, home: Home) -> None:
        """A caller need not give any."""
        assert called(home.start(), "search") == {"name": "search", "arguments": {"projectPath": ROOT}}

    @pytest.mark.parametrize("given", ["/else", None, 5])
    def test_what_the_caller_gives_stays(self, home: Home, given: Any) -> None:
        """The caller's arguments outrank those of the entry."""
        said = called(home.start(), "search", arguments={"projectPath": given})
        assert said["arguments"] == {"projectPath": given}

    @pytest.mark.parametrize("name", ["other", "n", "unknown"])
    def test_a_tool_that_does_not_take_it(self, home: Home, name: str) -> None:
        """A tool that takes no such text is called as it was, and so is one that nobody has listed."""
        assert called(home.start(), name, arguments={"q": "x"}) == {"name": name, "arguments": {"q": "x"}}

    def test_nothing_is_known(self, home: Home) -> None:
        """While no list has passed by nothing is added, and none is asked for."""
        gateway = home.start()
        assert called(gateway, "search", None, arguments={}) == {"name": "search", "arguments": {}}
        assert gateway.child.asked("tools/list") == []

    def test_the_list_on_record(self, home: Home) -> None:
        """A list from before a restart is known after it, before any child runs."""
        called(home.start(), "search")
        gateway = home.start()
        client = gateway.client("graph")
        client.initialize(protocolVersion="2025-06-18")
        assert gateway.launcher.children == []
        client.call(1, name="search", arguments={})
        assert gateway.child.asked("tools/call")[-1]["params"]["arguments"] == {"projectPath": ROOT}

    def test_no_workspace(self, home: Home) -> None:
        """A caller whose workspace is not known is not given an empty one."""
        home.more = (evolve(SPEC, workspace=""),)
        assert called(home.start(), "search", arguments={})["arguments"] == {}

    def test_without_a_record(self) -> None:
        """A gateway that keeps nothing adds arguments all the same."""
        gateway = MemoryGateway(more=(SPEC,))
        assert called(gateway, "search", arguments={})["arguments"] == {"projectPath": ROOT}

    def test_text_is_spliced(self, home: Home) -> None:
        """Every other argument is passed on byte for byte."""
        gateway = home.start()
        called(gateway, "search")
        client = gateway.client("graph")
        client.send(
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call",'
            b'"params":{"name":"search","arguments":{"q":1.50,"big":12345678901234567890}}}'
        )
        said = gateway.child.asked("tools/call")[-1]["params"]["arguments"]
        assert said == {"q": 1.5, "big": 12345678901234567890, "projectPath": ROOT}

    def test_arguments_that_are_none(self, home: Home) -> None:
        """Arguments that are no object are the server's to refuse."""
        assert called(home.start(), "search", arguments=[1])["arguments"] == [1]

    def test_pages(self, home: Home) -> None:
        """The tools of all pages are known."""
        gateway = home.start()
        client = gateway.client("graph")
        client.initialize(protocolVersion="2025-06-18")
        answered(client, gateway.child, {"tools": [], "nextCursor": "c"})
        client.call(2, "tools/list", cursor="c")
        gateway.child.answer(gateway.child.asked("tools/list")[-1], TOOLS)
        assert called(gateway, "search", None)["arguments"] == {"projectPath": ROOT}

    def test_the_modern_era(self, home: Home) -> None:
        """A modern client's call is treated alike."""
        home.more = (evolve(SPEC, protocol=Era.MODERN),)
        home.eras = {"graph": (Era.MODERN,)}
        gateway = home.start()
        client = gateway.client("graph")
        post(client, request(1, "tools/list"))
        done(gateway.child, gateway.child.asked("tools/list")[-1], **TOOLS)
        post(client, request(2, "tools/call", name="search", arguments={}))
        if gateway.child.received[-1]["method"] == "tools/list":
            done(gateway.child, gateway.child.received[-1], **TOOLS)
        assert gateway.child.asked("tools/call")[-1]["params"]["arguments"] == {"projectPath": ROOT}

    def test_projects(self, home: Home) -> None:
        """A server that knows directories by name is told the one that the caller works in."""
        projects = (Project("shop", "/work"), Project("site", "/site"))
        home.more = (
            evolve(SPEC, inject={"projectPath": "${project}"}, projects=projects, default_project="site"),
        )
        assert called(home.start(), "search")["arguments"] == {"projectPath": "/work"}
        home.more = (evolve(home.more[0], workspace="/else"),)
        assert called(home.start(), "search", None)["arguments"] == {"projectPath": "/site"}
