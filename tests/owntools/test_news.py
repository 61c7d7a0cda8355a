"""The note on added tools."""

from __future__ import annotations

from typing import Any

from mcpgateway.owntools.news import NAMED, sentence
from mcpgateway.owntools.search import Search
from tests.owntools.test_search import DROP, World, items
from tests.support.gateway_tools import RecordingSink, ScriptedAccess, ask, spec


class Client:
    """A session."""

    id = b"1"
    principal = "local"


def notes(sink: RecordingSink) -> list[Any]:
    """Return the notes behind an answer."""
    return [each["text"] for each in sink.result["content"][1:]]


class NewsTests:
    """Tools that were added are announced once."""

    def search(self, world: World, access: ScriptedAccess) -> list[Any]:
        """Return the notes beside the hits of a search."""
        return notes(ask(Search(world.means), access, {"query": "zzz"}))

    def test_added_tools_are_announced_once(self) -> None:
        """The next answer names the tools that were added since the session was first seen, and no later one."""
        world = World()
        one = ScriptedAccess((world.files, world.db), session=Client())
        other = ScriptedAccess((world.files, world.db), session=Client())
        assert self.search(world, one) == []
        world.server_lists.lists["db", ""] += items("db", {**DROP, "name": "dump"}, {**DROP, "name": "load"})
        assert self.search(world, one) == ["2 tools added: db__dump, db__load; call through gateway_invoke"]
        assert self.search(world, one) == []
        assert self.search(world, other) == []  # it has come later

    def test_a_new_server_is_news(self) -> None:
        """The tools of a server that is added, or answers late, are announced."""
        world = World()
        access = ScriptedAccess((world.files,), session=Client())
        self.search(world, access)
        access.servers = (world.files, world.db)
        assert self.search(world, access) == [
            "2 tools added: db__drop, db__make_issue; call through gateway_invoke"
        ]

    def test_nobody_hears_of_what_it_cannot_use(self) -> None:
        """A tool that was added for other clients is not announced."""
        world = World()
        one, other = ScriptedAccess((world.files,), session=Client()), ScriptedAccess((world.files, world.db))
        self.search(world, one)
        self.search(world, other)
        assert self.search(world, one) == []

    def test_whoever_lists_knows(self) -> None:
        """A client that has read the list anew is told nothing."""
        world = World()
        access = ScriptedAccess((world.files,), session=Client())
        self.search(world, access)
        access.servers = (world.files, world.db)
        world.means.news.list_seen(access.session)
        assert self.search(world, access) == []

    def test_without_sessions_a_name_counts(self) -> None:
        """Where there are no sessions, callers of one name are told once together."""
        world = World()
        self.search(world, ScriptedAccess((world.files,)))
        assert len(self.search(world, ScriptedAccess((world.files, world.db)))) == 1
        assert self.search(world, ScriptedAccess((world.files, world.db))) == []

    def test_a_workspace_of_its_own_is_no_news_to_others(self) -> None:
        """A server that lists otherwise for a workspace is news there only."""
        world = World()
        here = ScriptedAccess((world.db,), session=Client())
        self.search(world, here)
        world.server_lists.lists["db", "/w"] = items("db", {**DROP, "name": "dump"})
        self.search(world, ScriptedAccess((spec("db", workspace="/w"),), session=Client()))
        assert self.search(world, here) == []

    def test_the_sentence_is_short(self) -> None:
        """However many tools were added, a few are named."""
        assert sentence(["a"]) == "1 tool added: a; call through gateway_invoke"
        many = [f"t{number}" for number in range(NAMED + 7)]
        assert sentence(many) == "12 tools added: t0, t1, t2, t3, t4 and 7 more; call through gateway_invoke"
