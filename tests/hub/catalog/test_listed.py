"""Lists of servers as the librarian knows them, and the listeners that hear of changes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from mcpgateway import __version__
from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.discovery.records import ListKind
from mcpgateway.hub.catalog.listed import ServerLists
from mcpgateway.hub.catalog.recorded import Snapshots
from mcpgateway.policy.recorded_answers import (
    AnswerKey,
    Catalog,
    legacy_handshake,
    modern_handshake,
    place_of,
)
from mcpgateway.protocol import jsonrpc, legacy, modern
from mcpgateway.protocol.versions import Era

SERVER = ServerSpec("m", ("run",), {}, "/", share=Share.GLOBAL)
NEWS = ListKind.TOOL.news
SHARED = legacy_handshake(legacy.shared_params(__version__))
MODERN = modern_handshake({name: jsonrpc.raw(value) for name, value in modern.own_meta(__version__).items()})


def page(*names: str) -> Raw:
    """A page of a list of tools."""
    return Raw(json.dumps({"tools": [{"name": each} for each in names]}).encode())


class Files:
    """Catalogs in memory."""

    def __init__(self) -> None:
        self.reads = 0

    def read(self, name: str) -> Catalog:
        self.reads += 1
        return Catalog()

    def write(self, name: str, catalog: Catalog) -> bool:
        return True

    def close(self) -> None:
        """Everything is on record."""

    def erase(self, name: str) -> None:
        """A catalog in memory is never erased."""


@pytest.fixture
def snapshots() -> Snapshots:
    """Snapshots with nothing on record yet."""
    return Snapshots(Files(), lambda: 1_700_000_000.0)


@pytest.fixture
def news() -> list[Any]:
    """The changes that were told."""
    return []


@pytest.fixture
def server_lists(snapshots: Snapshots, news: list[Any]) -> ServerLists:
    """A librarian of one server."""
    found = ServerLists(snapshots)
    found.servers = lambda: (SERVER,)
    found.on_news = lambda *each: news.append(each)
    return found


def names(server_lists: ServerLists, handshake: str = "") -> list[str] | None:
    """The tools that are known."""
    known = server_lists.known(SERVER, ListKind.TOOL, handshake)
    return [each.own for each in known] if known is not None else None


class KnownTests:
    """Lists that are known, and whether they are fresh."""

    def test_nothing(self, server_lists: ServerLists) -> None:
        """A list that nobody has asked for is not known."""
        assert names(server_lists) is None
        assert not server_lists.is_fresh(SERVER, ListKind.TOOL)
        assert list(server_lists.everything()) == []

    def test_learnt(self, server_lists: ServerLists) -> None:
        """A list that was learnt is known, page after page."""
        before = server_lists.generation
        server_lists.learn(SERVER, ListKind.TOOL, [page("a"), page("b")])
        assert names(server_lists) == ["a", "b"]
        assert server_lists.is_fresh(SERVER, ListKind.TOOL)
        assert [each.own for each in server_lists.everything()] == ["a", "b"]
        assert server_lists.generation > before

    def test_the_same(self, server_lists: ServerLists, news: list[Any]) -> None:
        """The same list, spread over other pages, is no news."""
        server_lists.learn(SERVER, ListKind.TOOL, [page("a", "b")])
        generation, news[:] = server_lists.generation, []
        server_lists.learn(SERVER, ListKind.TOOL, [page("a"), page("b")])
        assert (server_lists.generation, news) == (generation, [])

    def test_on_record(self, server_lists: ServerLists, snapshots: Snapshots) -> None:
        """The list on record is known without its server, and is asked for again when that runs."""
        key = AnswerKey(place_of(SERVER), Era.LEGACY, SHARED)
        snapshots.keep("m", key, ListKind.TOOL.method, (page("a"),))
        assert names(server_lists) == ["a"]
        assert server_lists.is_fresh(SERVER, ListKind.TOOL)
        assert ("m", key, ListKind.TOOL.method) in snapshots.shown

    def test_somebody_else_s(self, server_lists: ServerLists, snapshots: Snapshots) -> None:
        """A list told to another kind of client is good for searches, and asked for before it is listed."""
        key = AnswerKey(place_of(SERVER), Era.LEGACY, "other")
        snapshots.keep("m", key, ListKind.TOOL.method, (page("a"),))
        assert names(server_lists) == ["a"]
        assert not server_lists.is_fresh(SERVER, ListKind.TOOL)
        assert names(server_lists, "mine") is None

    def test_modern(self, server_lists: ServerLists, snapshots: Snapshots, news: list[Any]) -> None:
        """A list that a modern server has told one client is listed to all, and is asked for again when the
        server runs.
        """
        own = AnswerKey(place_of(SERVER), Era.MODERN, MODERN)
        snapshots.keep("m", AnswerKey(own.place, Era.MODERN, "other"), ListKind.TOOL.method, (page("a"),))
        assert (names(server_lists), names(server_lists, "mine")) == (["a"], ["a"])
        assert server_lists.is_fresh(SERVER, ListKind.TOOL)
        assert not server_lists.is_fresh(SERVER, ListKind.TOOL, "mine")
        assert ("m", own, ListKind.TOOL.method) in snapshots.shown
        snapshots.keep("m", own, ListKind.TOOL.method, (page("b"),))
        assert names(server_lists) == ["b"]
        assert news == [("m", ListKind.TOOL, "")]
        snapshots.shown.clear()
        server_lists.lost(SERVER)
        assert snapshots.shown == {("m", own, ListKind.TOOL.method)}

    def test_both_eras(self, server_lists: ServerLists, snapshots: Snapshots) -> None:
        """The list on record of the legacy era comes first, so that clients hear of no changes that are none."""
        place = place_of(SERVER)
        snapshots.keep("m", AnswerKey(place, Era.LEGACY, SHARED), ListKind.TOOL.method, (page("a"),))
        snapshots.keep("m", AnswerKey(place, Era.MODERN, MODERN), ListKind.TOOL.method, (page("b"),))
        assert names(server_lists) == ["a"]
        snapshots.keep("m", AnswerKey(place, Era.MODERN, MODERN), ListKind.TOOL.method, (page("c"),))
        assert names(server_lists) == ["a"]

    @pytest.mark.parametrize(("era", "handshake"), [(Era.MODERN, ""), (Era.LEGACY, "mine")])
    def test_recalled(
        self, server_lists: ServerLists, snapshots: Snapshots, era: Era, handshake: str
    ) -> None:
        """A list that came on record since is found by a reader that asks for it; no view changes."""
        assert names(server_lists, handshake) is None
        snapshots.keep("m", AnswerKey(place_of(SERVER), era, handshake), ListKind.TOOL.method, (page("a"),))
        generation = server_lists.generation
        found = server_lists.recall(SERVER, ListKind.TOOL, handshake)
        assert found is not None
        assert [each.own for each in found] == ["a"]
        assert (names(server_lists, handshake), server_lists.generation) == (None, generation)

    def test_apart(self, server_lists: ServerLists) -> None:
        """Lists of clients' own children are known apart from each other."""
        server_lists.learn(SERVER, ListKind.TOOL, [page("a")], "one")
        assert (names(server_lists, "one"), names(server_lists, "two"), names(server_lists)) == (
            ["a"],
            None,
            None,
        )

    def test_lent(self, server_lists: ServerLists) -> None:
        """The list of one client's own child begins as that of its like."""
        server_lists.learn(SERVER, ListKind.TOOL, [page("a")], "kind")
        server_lists.lend(SERVER, "kind", "one")
        server_lists.learn(SERVER, ListKind.TOOL, [page("a", "b")], "one")
        assert (names(server_lists, "one"), names(server_lists, "kind")) == (["a", "b"], ["a"])

    def test_forgotten(self, server_lists: ServerLists) -> None:
        """A server that is defined otherwise is not known."""
        server_lists.learn(SERVER, ListKind.TOOL, [page("a")])
        server_lists.forget("m")
        assert names(server_lists) is None


class NewsTests:
    """Listeners hear of lists that have changed."""

    def test_changed(self, server_lists: ServerLists, news: list[Any]) -> None:
        """A list that its server calls changed holds until it is asked for, and is told once."""
        server_lists.learn(SERVER, ListKind.TOOL, [page("a")])
        news.clear()
        server_lists.changed(SERVER, NEWS)
        assert news == [("m", ListKind.TOOL, "")]
        assert names(server_lists) == ["a"]
        assert not server_lists.is_fresh(SERVER, ListKind.TOOL)
        server_lists.learn(SERVER, ListKind.TOOL, [page("a", "b")])
        assert news == [("m", ListKind.TOOL, "")]

    def test_resources(self, server_lists: ServerLists, news: list[Any]) -> None:
        """Templates are changed with resources."""
        server_lists.changed(SERVER, ListKind.RESOURCE.news)
        assert news == [("m", ListKind.RESOURCE, ""), ("m", ListKind.TEMPLATE, "")]

    def test_passes_by(self, server_lists: ServerLists, snapshots: Snapshots, news: list[Any]) -> None:
        """A list that is another when somebody else is answered is news."""
        server_lists.learn(SERVER, ListKind.TOOL, [page("a")])
        news.clear()
        key = AnswerKey(place_of(SERVER), Era.LEGACY, SHARED)
        snapshots.keep("m", key, ListKind.TOOL.method, (page("a", "b"),))
        assert names(server_lists) == ["a", "b"]
        assert news == [("m", ListKind.TOOL, "")]
        snapshots.keep("m", AnswerKey(key.place, Era.LEGACY, "other"), ListKind.TOOL.method, (page("c"),))
        assert names(server_lists) == ["a", "b"]

    def test_index(self, server_lists: ServerLists) -> None:
        """A listener that keeps an index hears of every change."""
        heard: list[Any] = []
        server_lists.on_change.append(lambda *what: heard.append(what))
        server_lists.learn(SERVER, ListKind.TOOL, [page("a")], "one")
        server_lists.changed(SERVER, NEWS)
        assert heard == [("m", ListKind.TOOL), ("m", ListKind.TOOL)]

    def test_child_lost(self, server_lists: ServerLists, snapshots: Snapshots) -> None:
        """The next child is asked whether it lists the same."""
        server_lists.learn(SERVER, ListKind.TOOL, [page("a")])
        server_lists.lost(SERVER)
        assert ("m", AnswerKey(place_of(SERVER), Era.LEGACY, SHARED), ListKind.TOOL.method) in snapshots.shown

    def test_nothing_kept(self) -> None:
        """Where nothing is on record, the list is asked for again."""
        server_lists = ServerLists()
        server_lists.learn(SERVER, ListKind.TOOL, [page("a")])
        server_lists.lost(SERVER)
        assert not server_lists.is_fresh(SERVER, ListKind.TOOL)
