"""The tools that find tools."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mcpgateway.config.model import ServerSpec
from mcpgateway.config.surface import Level, SearchFormat, ViewSettings
from mcpgateway.discovery.listing import Exposure
from mcpgateway.discovery.records import Item, ListKind, read_items
from mcpgateway.discovery.tokens import estimate
from mcpgateway.errors import InvalidParams, LaunchFailed
from mcpgateway.owntools import search as finding
from mcpgateway.owntools.directory import Directory
from mcpgateway.owntools.hits import compact
from mcpgateway.owntools.news import ToolNews
from mcpgateway.owntools.search import (
    Describe,
    DescribeTool,
    Finder,
    ListTools,
    Search,
    SearchParts,
    make_index,
)
from mcpgateway.owntools.status import GatewayStatus, Status
from mcpgateway.owntools.tool import Builtin
from mcpgateway.protocol import jsonrpc
from tests.support.gateway_tools import ScriptedAccess, ask, spec

READ_FILE = {
    "name": "read_file",
    "title": "Read",
    "description": "Read a file. " + "x" * 200,
    "inputSchema": {"type": "object", "properties": {"path": {"type": "string"}, "head": {}}},
    "annotations": {"readOnlyHint": True},
}
MAKE_ISSUE = {
    "name": "make_issue",
    "description": "Open an issue",
    "inputSchema": {"type": "object"},
    "annotations": {"destructiveHint": False},
}
DROP = {"name": "drop", "description": "Drop a table", "inputSchema": {"type": "object"}}


def items(server: str, *tools: dict[str, Any]) -> tuple[Item, ...]:
    """Return the items of a server's tools."""
    return read_items(server, ListKind.TOOL, [jsonrpc.raw({"tools": list(tools)})])


@define
class WordHit:
    """A hit of the scripted index."""

    item: Item
    score: float
    share: float = 1.0


@define(eq=False)
class WordIndex:
    """Finds tools whose descriptions hold a word; counts how often it was filled."""

    lists: dict[str, list[Item]] = field(factory=dict)
    fills: list[str] = field(factory=list)

    def replacing(self, server: str, found: Iterable[Item]) -> Iterator[None]:
        yield
        self.fills.append(server)
        self.lists[server] = list(found)

    def remove(self, server: str) -> None:
        del self.lists[server]

    def search(self, query: str, limit: int = 10, server: str = "") -> list[WordHit]:
        searched = [self.lists[server]] if server else list(self.lists.values())
        hits = [
            WordHit(each, 1.256) for found in searched for each in found if query in each.description.lower()
        ]
        return hits[:limit]


@define(eq=False)
class ScriptedLibrarian:
    """A librarian with given lists, by server and workspace."""

    lists: dict[tuple[str, str], tuple[Item, ...]] = field(factory=dict)
    said: dict[str, str] = field(factory=dict)

    def instructions(self, server: ServerSpec) -> str:
        return self.said.get(server.name, "")

    def known(self, server: ServerSpec, kind: ListKind, handshake: str = "") -> tuple[Item, ...] | None:
        return self.lists.get((server.name, server.workspace))


class World:
    """Two servers, one of which runs, and what the tools need."""

    def __init__(self) -> None:
        self.files, self.db = spec("files"), spec("db")
        self.server_lists = ScriptedLibrarian(
            {("files", ""): items("files", READ_FILE), ("db", ""): items("db", DROP, MAKE_ISSUE)}
        )
        self.access = ScriptedAccess((self.files, self.db))
        self.clock = Clock()
        self.made: list[WordIndex] = []
        sight = GatewayStatus(
            lambda: self.access.servers,
            lambda server: {"status": "running" if server.name == "db" else "idle"},
            lambda _: None,
        )
        self.own = Builtin([Status(sight)])
        self.finder = Finder(self.own, self.clock, self.make)
        directory = Directory(self.server_lists)
        self.means = SearchParts(directory, self.finder, sight, self.own, ToolNews(directory))

    def make(self) -> WordIndex:
        self.made.append(WordIndex())
        return self.made[-1]

    def search(self, query: str, access: ScriptedAccess | None = None, **more: Any) -> Any:
        """Return the answer of a search."""
        return ask(Search(self.means), access or self.access, {"query": query, **more}).value


class SearchTests:
    """``search``."""

    def test_a_hit_says_what_a_model_needs(self) -> None:
        """A hit has the id to call it by, the names of its arguments and its description, and no more."""
        found = World().search("open")
        assert found == {"found": 1, "results": [{"id": "db__make_issue", "description": "Open an issue"}]}
        (hit,) = World().search("file")["results"]
        assert (hit["id"], hit["args"]) == ("files__read_file", "path?, head?")
        assert hit["description"].startswith("Read a file. xxx")
        assert hit["description"].endswith("…")

    @pytest.mark.parametrize("arguments", [0, 1, 40])
    @pytest.mark.parametrize("word", ["tool ", 'say "so"\n', "\\d ", "für ", ""])
    def test_a_hit_costs_45_tokens(self, arguments: int, word: str) -> None:
        """However long a tool's description and its arguments are, a hit is cut to 45 tokens, at a whole argument."""
        names = [f"argument_{nth}" for nth in range(arguments)]
        schema = {"type": "object", "properties": {each: {} for each in names}, "required": names[3:4]}
        tool = {"name": "a_tool_of_a_long_name", "description": word * 60, "inputSchema": schema}
        (item,) = items("a-server-of-a-long-name", tool)
        hit = compact(item, "a-server-of-a-long-name__a_tool_of_a_long_name")
        text = json.dumps(hit, ensure_ascii=False, separators=(",", ":")) + ","
        assert estimate(text) <= 45
        assert len(hit["description"]) >= min(20, len(word))
        if arguments == 40:
            assert hit["args"].startswith("argument_3, argument_0?, ")
            assert hit["args"].endswith("?, …")

    def test_a_whole_hit(self) -> None:
        """``format: full`` answers as S004 does, and so does the setting."""
        world = World()
        found = world.search("file", format="full")
        assert {name: found[name] for name in ("query", "found", "connectedServers")} == {
            "query": "file",
            "found": 1,
            "connectedServers": ["db"],
        }
        assert found["results"] == [
            {
                "id": "files__read_file",
                "name": "read_file",
                "displayName": "readFile",
                "server": "files",
                "connected": False,
                "description": ("Read a file. " + "x" * 200)[:120] + "...",
                "fieldNames": ["path", "head"],
                "tier": "read",
                "score": 1.26,
            }
        ]
        world.access.view.exposure = Exposure(settings=ViewSettings(search_format=SearchFormat.FULL))
        assert world.search("file") == found
        assert world.search("file", format="compact")["results"][0].keys() == {"id", "args", "description"}
        with pytest.raises(InvalidParams, match="compact or full"):
            world.search("file", format="short")

    def test_an_empty_query_lists(self) -> None:
        """Where nothing is asked for, all tools are shown, unranked, up to the limit."""
        world = World()
        found = world.search("", format="full")["results"]
        assert [(each["id"], each["score"], each["tier"]) for each in found] == [
            ("files__read_file", 0, "read"),
            ("db__drop", 0, "destructive"),
            ("db__make_issue", 0, "write"),
        ]
        assert world.search("", limit=1)["found"] == 1
        assert [each["id"] for each in world.search("", server="db")["results"]] == [
            "db__drop",
            "db__make_issue",
        ]

    def test_own_tools_are_found(self) -> None:
        """The gateway's own tools are found like others, under the ids they are called by."""
        assert World().search("how the gateway")["results"][0]["id"] == "gateway_status"

    def test_own_tools_come_last(self) -> None:
        """Own tools come behind a server's, also where few are wanted, unless the query is about servers."""
        world = World()
        status = {"name": "s", "description": "What of the servers", "inputSchema": {}}
        world.server_lists.lists["files", ""] = items("files", status)

        def ids(query: str, limit: int) -> list[str]:
            return [each["id"] for each in world.search(query, limit=limit)["results"]]

        assert ids("what", 1) == ids("of", 1) == ["files__s"]
        assert ids("servers", 10)[0] == "gateway_status"

    def test_a_question_of_every_day(self) -> None:
        """The real index knows that the question for the time is none about the gateway, and that for tools is."""
        clock = {
            "name": "get_current_time",
            "description": "Get current time in a timezone",
            "inputSchema": {},
        }
        world = World()
        world.server_lists.lists["files", ""] = items("files", clock, READ_FILE)
        own = Builtin([Search(world.means), Status(world.means.sight), ListTools(world.means)])
        finder = Finder(own, world.clock, make_index)
        lists = {"files": world.server_lists.lists["files", ""]}
        hits = finder.search("what time is it", 10, lists)
        assert hits[0].item.own == "get_current_time"
        assert hits == sorted(hits, key=lambda hit: -hit.score)
        servers = [each.item.server for each in hits]
        assert "gateway" not in servers[: len([each for each in servers if each == "files"])]
        assert finder.search("find tools of all servers", 10, lists)[0].item.server == "gateway"

    def test_what_cannot_be_used_is_not_found(self) -> None:
        """A caller finds the tools of its own servers only, however many others there are."""
        world = World()
        world.search("a")
        narrow = ScriptedAccess((world.db,))
        assert [each["id"] for each in world.search("a", narrow)["results"]] == [
            "db__drop",
            "db__make_issue",
            "gateway_status",
        ]
        assert world.search("a", narrow, server="files")["error"] == "Unknown server: files"

    def test_who_is_missing(self) -> None:
        """Servers whose tools are not known yet are named with the reason: an empty answer is not the last word."""
        world = World()
        world.access.missing = {"slow": "it has not said yet what it has"}
        assert world.search("a")["missing"] == world.access.missing
        world.access.missing = {}
        assert "missing" not in world.search("a")

    def test_a_server_that_was_just_added(self) -> None:
        """An edit of the configuration is in force when a search is answered."""
        world = World()
        assert world.search("issue", ScriptedAccess((), edited=world.access))["results"]

    def test_others_leave_room(self) -> None:
        """However many tools of others are better hits, a caller finds its own."""
        world = World()
        many = [{"name": f"f{number}", "description": "a file", "inputSchema": {}} for number in range(60)]
        world.server_lists.lists["db", ""] = items("db", *many)
        world.access.servers = (world.db, world.files)
        assert world.search("file", limit=50)["found"] == 50
        narrow = ScriptedAccess((world.files,))
        assert [each["id"] for each in world.search("file", narrow)["results"]] == ["files__read_file"]

    def test_hidden_tools_are_not_found(self) -> None:
        """A server whose tools are not offered on views is no answer, and neither are they by their ids."""
        world = World()
        world.access.view.exposure = Exposure(hidden=frozenset(["db"]))
        assert world.search("table")["found"] == 0
        assert "error" in ask(Describe(world.means), world.access, {"id": "db__drop"}).value

    def test_one_server_can_be_searched(self) -> None:
        """A search may be for one server's tools."""
        assert [each["id"] for each in World().search("a", server="files")["results"]] == ["files__read_file"]

    def test_the_index_follows_the_lists(self) -> None:
        """The next search finds a server's new tools, and not its removed ones; the rest stays."""
        world = World()
        world.search("file")
        world.server_lists.lists["db", ""] = items("db", {**DROP, "description": "Destroy"})
        assert [each["id"] for each in world.search("destroy")["results"]] == ["db__drop"]
        assert world.search("issue")["found"] == 0
        (index,) = world.made
        assert index.fills == ["gateway", "files", "db", "db"]

    def test_other_requests_are_served_while_lists_are_indexed(self) -> None:
        """Lists are indexed in slices; a second search waits for the first one's index and makes none of its own."""
        world = World()

        class SlowIndex(WordIndex):
            def replacing(self, server: str, found: Iterable[Item]) -> Iterator[None]:
                for _ in range(10):
                    world.clock.rightNow += finding.SLICE_S
                    yield
                yield from super().replacing(server, found)

        index = SlowIndex()
        finder = Finder(world.own, world.clock, lambda: index)
        lists = {"files": items("files", READ_FILE), "db": items("db", DROP)}
        first, second = (Deferred.fromCoroutine(finder.index(lists)) for _ in range(2))
        served = []
        world.clock.callLater(0, lambda: served.append((first.called, list(index.fills))))
        world.clock.advance(0)
        assert served == [(False, ["gateway"])]
        assert first.called
        assert second.called
        assert index.fills == ["gateway", "files", "db"]
        finder.forget()

    def test_a_workspace_finds_its_own(self) -> None:
        """A server that lists otherwise for a workspace is found there as it is there, and elsewhere as it is there."""
        world = World()
        world.server_lists.lists["db", "/w"] = items("db", {**DROP, "description": "Drop a view"})
        world.server_lists.lists["files", "/w"] = items("files", READ_FILE)
        there = ScriptedAccess((spec("files", workspace="/w"), spec("db", workspace="/w")))
        assert world.search("table")["found"] == 1
        assert world.search("table", there)["found"] == 0
        assert world.search("view", there, server="db")["found"] == 1
        assert world.search("view")["found"] == 0
        assert world.search("read", there)["found"] == 1
        assert world.made[0].fills == ["gateway", "files", "db", "db\0/w"]  # the same list is indexed once

    def test_an_idle_index_is_given_back(self) -> None:
        """An index that was not searched for a while is dropped; the next search makes another."""
        world = World()
        world.search("file")
        world.clock.advance(finding.IDLE_S - 1)
        world.search("file")
        world.clock.advance(finding.IDLE_S - 1)
        assert len(world.made) == 1
        world.clock.advance(2)
        assert not world.clock.getDelayedCalls()
        assert world.search("file")["found"] == 1
        assert len(world.made) == 2

    def test_the_limit_is_bounded(self) -> None:
        """No search answers with more than fifty; what is no number is refused in words."""
        world = World()
        assert world.search("a", limit=1000)["found"] == 4
        assert world.search("a", limit="2")["found"] == 2
        with pytest.raises(InvalidParams, match="whole number from 1 to 50"):
            world.search("a", limit="many")

    def test_no_hit_says_what_to_do(self) -> None:
        """A search that finds nothing asks for English keywords: many models get questions in other languages."""
        assert "English keywords" in World().search("zzz")["hint"]

    def test_a_poor_match_is_called_that(self) -> None:
        """Where the best hits match few of the query's words, the answer says so, and shows them all the same."""
        world = World()
        world.make = make_index  # type: ignore[method-assign, assignment]
        world.finder = world.means.finder = Finder(world.own, world.clock, make_index)
        poor = world.search("paint the fence before opening time")
        assert poor["results"]
        assert poor["note"] == "no good match; the nearest:"
        assert "note" not in world.search("open an issue")
        assert "note" not in world.search("")


class DescribeTests:
    """``describe`` and ``describe_tool``."""

    @pytest.mark.parametrize("between", ["__", "::", ":", "/"])
    def test_every_spelling_is_understood(self, between: str) -> None:
        """An id is accepted in every spelling, and answered in the one that is listed."""
        world = World()
        shown = ask(Describe(world.means), world.access, {"id": f"files{between}read_file"}).value
        assert shown == {
            "id": "files__read_file",
            "server": "files",
            "name": "read_file",
            "title": "Read",
            "description": READ_FILE["description"],
            "inputSchema": READ_FILE["inputSchema"],
            "outputSchema": None,
            "annotations": {"readOnlyHint": True},
            "tier": "read",
        }

    def test_a_server_that_was_just_added(self) -> None:
        """An unknown tool is searched once more when an edit of the configuration has been read."""
        world = World()
        before = ScriptedAccess((), edited=world.access)
        assert ask(Describe(world.means), before, {"id": "db__drop"}).value["server"] == "db"
        by_name = {"server": "db", "tool": "drop"}
        assert ask(DescribeTool(world.means), before, by_name).value["server"] == "db"

    def test_its_server_says_how_to_use_it(self) -> None:
        """A description comes with the instructions of the server, cut, where no list of tools has them."""
        world = World()
        world.server_lists.said["db"] = "Drop nothing. " * 100
        shown = ask(Describe(world.means), world.access, {"id": "db__drop"}).value
        assert shown["serverInstructions"].startswith("Drop nothing.")
        assert len(shown["serverInstructions"]) <= 600
        world.access.view.kind = "full"  # its client has read them at the beginning
        assert "serverInstructions" not in ask(Describe(world.means), world.access, {"id": "db__drop"}).value

    def test_by_server_and_name(self) -> None:
        """S001's tool describes a server's tool by its own name."""
        world = World()
        shown = ask(DescribeTool(world.means), world.access, {"server": "db", "tool": "drop"}).value
        assert shown["id"] == "db__drop"
        own = ask(DescribeTool(world.means), world.access, {"server": "gateway", "tool": "status"}).value
        assert own["id"] == "gateway_status"

    def test_own_tools_are_described(self) -> None:
        """The gateway's own tools are described too."""
        world = World()
        shown = ask(Describe(world.means), world.access, {"id": "gateway.status"}).value
        assert (shown["id"], shown["server"]) == ("gateway_status", "gateway")

    def test_an_unknown_tool_suggests(self) -> None:
        """An id that is nearly right is answered with those that may have been meant."""
        world = World()
        sink = ask(Describe(world.means), world.access, {"id": "files__read_fil"})
        assert sink.result["isError"] is True
        assert sink.value["error"] == "Tool not found: files__read_fil"
        assert sink.value["did_you_mean"] == ["files__read_file"]
        assert "files__read_file" in sink.value["hint"]

    def test_a_bare_name_suggests_its_server(self) -> None:
        """A bare name is answered with the whole id."""
        world = World()
        sink = ask(Describe(world.means), world.access, {"id": "make_issue"})
        assert sink.value["did_you_mean"] == ["db__make_issue"]

    def test_an_unknown_server_suggests(self) -> None:
        """A server's name that is nearly right is answered with the server."""
        world = World()
        sink = ask(Describe(world.means), world.access, {"id": "file__read_file"})
        assert sink.value["error"] == "Unknown server: file"
        assert sink.value["did_you_mean"] == ["files"]

    def test_a_server_never_listed_is_asked(self) -> None:
        """A server that nobody has asked yet is asked for its tools before one of them is called unknown."""
        world = World()
        del world.server_lists.lists["db", ""]
        world.access.lists["db"] = items("db", DROP)
        assert ask(Describe(world.means), world.access, {"id": "db__drop"}).value["id"] == "db__drop"
        world.access.lists["db"] = LaunchFailed("db: no such program", "install it")
        sink = ask(Describe(world.means), world.access, {"id": "db__drop"})
        assert sink.value == {"error": "db: no such program", "hint": "install it"}

    def test_an_id_is_needed(self) -> None:
        """Without an id the error says where ids come from."""
        world = World()
        with pytest.raises(InvalidParams) as caught:
            ask(Describe(world.means), world.access)
        assert "gateway_search" in caught.value.hint


class ListToolsTests:
    """``list_tools``."""

    def test_tools_are_listed_by_server(self) -> None:
        """All servers are listed with what is known of them, as S003 does it."""
        world = World()
        listed = ask(ListTools(world.means), world.access).value
        assert [*listed] == ["files", "db"]
        assert listed["db"][0] == {
            "name": "drop",
            "namespaced": "db__drop",
            "description": "Drop a table",
            "inputSchema": {"type": "object"},
        }

    def test_one_server_is_asked(self) -> None:
        """The list of one server is asked for where it is not known."""
        world = World()
        world.access.lists["db"] = items("db", DROP)
        listed = ask(ListTools(world.means), world.access, {"server": "db"}).value
        assert [each["name"] for each in listed["db"]] == ["drop"]

    def test_a_long_list_is_shielded(self) -> None:
        """A list of all tools is cut like any other result that is too long for a model."""
        world = World()
        seen: list[Any] = []
        world.means.shield = lambda *found: seen.append(found[1:])
        ask(ListTools(world.means), world.access, {"shield": "off"})
        assert seen == [(None, Level.OFF, world.access)]

    def test_who_is_missing(self) -> None:
        """Servers whose tools are not known yet are named beside the list, which stays readable for programs."""
        world = World()
        world.access.missing = {"slow": "it has not said yet what it has"}
        for style in ("json", "table"):
            sink = ask(ListTools(world.means), world.access, {"format": style})
            assert "slow" not in str(sink.value)
            assert "slow: it has not said yet what it has" in sink.result["content"][1]["text"]

    def test_a_server_that_was_just_added(self) -> None:
        """An edit of the configuration is in force when tools are listed."""
        world = World()
        world.access.lists["db"] = items("db", DROP)
        before = ScriptedAccess((), edited=world.access)
        assert ask(ListTools(world.means), before, {"server": "db"}).value["db"]
        assert [*ask(ListTools(world.means), before).value] == ["files", "db"]

    def test_a_table_is_short(self) -> None:
        """A table shows the same in a fraction of the bytes."""
        world = World()
        sink = ask(ListTools(world.means), world.access, {"format": "table"})
        assert sink.value["columns"] == ["id", "description", "fieldNames"]
        assert sink.value["rows"][1] == ["db__drop", "Drop a table", ""]
        assert len(json.dumps(sink.value)) < len(json.dumps(ask(ListTools(world.means), world.access).value))
        with pytest.raises(InvalidParams, match="format"):
            ask(ListTools(world.means), world.access, {"format": "xml"})
