"""The tools that show what there is."""

from __future__ import annotations

import json
from typing import Any

from mcpgateway.config.model import Project, ServerSpec
from mcpgateway.owntools.status import GatewayStatus, ListAllServers, ListServers, Status
from mcpgateway.owntools.tool import Builtin
from tests.support.gateway_tools import ScriptedAccess, ScriptedView, ask, spec

CONFIG = {"files": ["/home/u/config.yaml"], "loaded_at": "2026-11-01T00:00:00+00:00", "problems": []}


def sight(servers: tuple[ServerSpec, ...], **states: Any) -> GatewayStatus:
    """Sees servers in these states, each with two tools."""

    def look(server: ServerSpec) -> dict[str, Any]:
        return {"status": states.get(server.name, "idle"), "transport": "stdio", "uptime_seconds": 5}

    return GatewayStatus(lambda: servers, look, lambda _: 2, lambda: CONFIG, lambda: 60)


class StatusTests:
    """``status`` and the lists of servers."""

    def test_status_is_what_s004_shows(self) -> None:
        """The status names the connected servers, counts the tools, and says which file is in force since when."""
        servers = (spec("one"), spec("two", projects=(Project("p", "/p"),), default_project="p"))
        shown = ask(Status(sight(servers, one="running")), ScriptedAccess(servers)).value
        assert shown["connectedServers"] == [{"name": "one", "toolCount": 2}]
        assert shown["totalTools"] == 4
        assert shown["configPath"] == "/home/u/config.yaml"
        assert shown["lastReloadTimestamp"] == CONFIG["loaded_at"]
        assert shown["pendingReload"] is False
        assert shown["codegraphProjects"] == [{"name": "p", "path": "/p"}]
        assert shown["defaultProject"] == "p"

    def test_only_usable_servers_are_listed(self) -> None:
        """A server that the caller may not use is left out of its list."""
        one, two = spec("one"), spec("two")
        listed = ask(ListServers(sight((one, two), one="error")), ScriptedAccess((one,))).value
        assert listed == [
            {
                "name": "one",
                "status": "error",
                "transport": "stdio",
                "tool_count": 2,
                "health": "unhealthy",
                "uptime_seconds": 5,
            }
        ]

    def test_a_directory_may_be_named(self) -> None:
        """The list may be that of whoever works in another directory."""
        access = ScriptedAccess((spec("one"),))
        ask(ListServers(sight(())), access, {"cwd": "/w"})
        assert access.elsewhere == "/w"

    def test_all_servers_are_listed_on_demand(self) -> None:
        """Every server of the view is listed, also those of the caller's own repository, and no other view's."""
        one, two, own, foreign = spec("one"), spec("two"), spec("own"), spec("foreign")
        access = ScriptedAccess((one, own), view=ScriptedView(others=(two,)))
        listed = ask(ListAllServers(sight((one, two, foreign))), access).value
        assert [(each["name"], each["usable"]) for each in listed] == [
            ("one", True),
            ("two", False),
            ("own", True),
        ]


class BuiltinTests:
    """The family of tools."""

    def family(self) -> Builtin:
        """Three of the own tools."""
        seen = sight(())
        return Builtin([Status(seen), ListServers(seen), ListAllServers(seen)])

    def test_a_tool_is_found_by_every_spelling(self) -> None:
        """A tool is found by its listed name, with dots, and as an id of a tool of the server ``gateway``."""
        family = self.family()
        found = {
            family.find(name)
            for name in (
                "gateway_status",
                "gateway.status",
                "gateway__status",
                "gateway::status",
                "gateway/status",
            )
        }
        assert {tool and tool.name for tool in found} == {"status"}

    def test_bare_names_are_known_on_one_view(self) -> None:
        """A server may have a tool of the bare name, so that it counts only where bare names are listed."""
        family = self.family()
        assert family.find("list_servers") is None
        assert family.find("list_servers", "meta") is not None
        assert family.find("search", "meta") is None
        assert family.find("gateway_nothing") is None

    def test_views_list_their_own(self) -> None:
        """The admin view lists all of them, another the few it is for, and S001's view bare names."""
        family = self.family()
        assert [each.name for each in family.tools("admin")] == [
            "gateway_status",
            "gateway_list_servers",
            "gateway_list_all_servers",
        ]
        assert [each.name for each in family.tools("full")] == ["gateway_list_servers"]
        assert [each.name for each in family.tools("p/work", is_dotted=True)] == ["gateway.list_servers"]
        assert [each.name for each in family.tools("meta")] == ["list_servers", "list_all_servers"]

    def test_a_definition_bears_the_listed_name(self) -> None:
        """A listed entry is the tool's definition under the name that this view lists it by."""
        listed = json.loads(self.family().tools("full")[0].definition)
        assert listed["name"] == "gateway_list_servers"
        assert listed["annotations"] == {"readOnlyHint": True}
        assert listed["inputSchema"]["type"] == "object"
