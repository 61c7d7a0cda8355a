"""Lists of many MiB: on record, searched, compressed on disk; and what is said of those that are longer still."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from attrs import evolve
from msgspec import Raw
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from mcpgateway.config.gateway_settings import Limits
from mcpgateway.hub.catalog.list_limit import ListLimit
from mcpgateway.hub.catalog.recorded import CatalogStore
from mcpgateway.policy.recorded_answers import HELLO, AnswerKey, Catalog, RecordedAnswer
from mcpgateway.protocol.versions import Era
from mcpgateway.system.recorded_lists import IN_THREAD, LARGE, RecordedListFiles
from tests.support.gateway_in_memory import MemoryChild, MemoryGateway
from tests.support.modern_client import post, request
from tests.support.remembering import Home, tool

MEBIBYTE = 1_048_576
ANSWERED: WeakKeyDictionary[MemoryChild, set[int]] = WeakKeyDictionary()
ADMIN = {"Authorization": "Bearer admin-token"}


def pages(count: int, size: int = MEBIBYTE) -> list[dict[str, Any]]:
    """The pages of a list, each of so many bytes; one of its tools needs no second look to be told from others."""
    made = []
    for number in range(count):
        name = "find_the_needle" if number == count - 1 else f"straw_{number}"
        more = {"nextCursor": str(number + 1)} if number < count - 1 else {}
        made.append({"tools": [tool(name) | {"description": "x" * size}], **more})
    return made


def give(child: MemoryChild, listed: list[dict[str, Any]]) -> None:
    """Let a child answer whatever pages it is asked for, and that it has no other lists."""
    given = ANSWERED.setdefault(child, set())
    for each in child.received:  # it grows with what is asked next
        if "/list" not in each["method"] or each.get("id", -1) in given:
            continue
        given.add(each["id"])
        if each["method"] == "tools/list":
            child.answer(each, listed[int(each.get("params", {}).get("cursor", 0))])
        else:
            child.answer(each, {"prompts": [], "resources": [], "resourceTemplates": []})


def give_all(gateway: MemoryGateway, listed: list[dict[str, Any]]) -> None:
    """Let the shared server have this list, and all others none."""
    for _ in range(6):
        gateway.clock.advance(0.5)
        for child in list(gateway.launcher.children):
            assert child.launched is not None
            give(child, listed if child.launched.server == "shared" else [{"tools": []}])


def search(gateway: MemoryGateway, query: str, listed: list[dict[str, Any]]) -> str:
    """The tools that a client of a view finds."""
    client = gateway.view()
    client.call(2, "tools/call", name="gateway_search", arguments={"query": query})
    give_all(gateway, listed)
    gateway.clock.advance(1)
    assert client.heard is not None
    return client.heard.body.decode()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A directory that outlives gateways."""
    return Home(tmp_path)


@pytest.fixture
def events() -> Iterator[list[Any]]:
    """The events that are logged."""
    with capturedLogs() as logged:
        yield logged


class RecordTests:
    """A list of 6 MiB on six pages."""

    LISTED = pages(6)

    @pytest.mark.parametrize("era", ["legacy", "modern", "view"])
    def test_found_after_a_restart(self, home: Home, era: str) -> None:
        """A list that a client has asked for is searched from then on, also by a gateway without children yet."""
        gateway = home.start()
        if era == "view":
            client = gateway.view()
            client.call(1, "tools/list")
            give_all(gateway, self.LISTED)
        elif era == "legacy":
            client = gateway.session()
            for each in self.LISTED:
                client.call(1, "tools/list", **({"cursor": at} if (at := self.cursor(each)) else {}))
                give(gateway.child, self.LISTED)
        else:
            gateway.launcher.eras["shared"] = (Era.MODERN,)
            for each in self.LISTED:
                cursor = {"cursor": at} if (at := self.cursor(each)) else {}
                post(gateway.client(), request(1, "tools/list", **cursor))
                give(gateway.child, self.LISTED)
        gateway = home.start()
        assert "find_the_needle" in search(gateway, "needle", self.LISTED)
        assert "shared" not in [each.launched.server for each in gateway.launcher.children if each.launched]

    def cursor(self, page: dict[str, Any]) -> str:
        """The cursor that leads to a page; empty for the first."""
        at = self.LISTED.index(page)
        return str(at) if at else ""

    def test_compressed(self, home: Home) -> None:
        """On disk it is a fraction of that."""
        gateway = home.start()
        client = gateway.view()
        client.call(1, "tools/list")
        give_all(gateway, self.LISTED)
        home.start()
        (file,) = [each for each in home.path.joinpath("catalogs").iterdir() if each.name == "shared.json"]
        assert file.stat().st_size < MEBIBYTE


class LimitTests:
    """A list that is longer than the settings allow."""

    LISTED = pages(6, 10_000)

    @pytest.fixture
    def gateway(self, tmp_path: Path) -> MemoryGateway:
        """A gateway that keeps little."""

        class Keeping(MemoryGateway):
            catalogs: CatalogStore | None = RecordedListFiles(str(tmp_path), lambda: 0.0)

        return Keeping(limits=Limits(list_bytes=35_000))

    def seen(self, gateway: MemoryGateway, path: str) -> Any:
        """The answer to the gateway's own user."""
        return gateway.client(**ADMIN).ask(b"", "GET", path).json

    def backend(self, gateway: MemoryGateway) -> dict[str, Any]:
        """The server in the answer of ``/health``."""
        found: dict[str, Any] = next(
            each for each in self.seen(gateway, "/health")["backends"] if each["name"] == "shared"
        )
        return found

    def test_said(self, gateway: MemoryGateway, events: list[Any]) -> None:
        """The log says it once, ``why`` and ``/health`` for as long as it is so; what fits is searched all the same."""
        assert self.backend(gateway)["too_long"] == ""
        for _ in range(2):
            client = gateway.view()
            client.call(1, "tools/list")
            give_all(gateway, self.LISTED)
        assert "straw_1" in search(gateway, "straw", self.LISTED)
        assert [each["server"] for each in events if each.get("event") == "list.too_long"] == ["shared"]
        assert "list of tools is longer than 34 kB" in self.backend(gateway)["too_long"]
        why = json.dumps(self.seen(gateway, "/api/v1/servers/shared/why"))
        assert "gateway.limits.list_bytes" in why
        assert "list-too-long" in why

    def test_discovered(self, gateway: MemoryGateway) -> None:
        """Having all servers asked says it, too."""
        gateway.client(**ADMIN).send({"servers": ["shared"]}, "POST", "/api/v1/discover")
        give_all(gateway, self.LISTED)
        (found,) = self.seen(gateway, "/api/v1/discover")["servers"]
        assert (found["state"], found["tools"]) == ("done", 6)
        assert "gateway.limits.list_bytes" in found["note"]

    def test_edited(self, gateway: MemoryGateway) -> None:
        """With more room, and the list read anew, nothing is said any more."""
        client = gateway.session()
        for cursor in ({}, *({"cursor": str(number)} for number in range(1, 6))):
            client.call(1, "tools/list", **cursor)
            give(gateway.child, self.LISTED)
        assert self.backend(gateway)["too_long"]
        settings = gateway.settings
        more = evolve(settings.gateway, limits=Limits(list_bytes=MEBIBYTE))
        gateway.apply(evolve(settings, gateway=more))
        assert self.backend(gateway)["too_long"] == ""

    def test_forgotten(self) -> None:
        """A server that has gone is not described."""
        limit = ListLimit(10)
        limit.exceeded("a", "tools/list")
        limit.exceeded("a", "resources/templates/list")
        assert "its list of tools and resource templates is longer than 10 bytes" in limit.describe("a")
        limit.fits("a", "tools/list")
        assert "tools" not in limit.describe("a")
        limit.forget("a")
        assert limit.describe("a") == ""


class FileTests:
    """Catalogs on disk that are large."""

    def catalog(self, size: int) -> Catalog:
        """A catalog of so many bytes."""
        return Catalog(
            {
                AnswerKey("p", Era.LEGACY, "t"): {
                    HELLO: RecordedAnswer((Raw(b'{"a":"%b"}' % (b"x" * size)),), 7)
                }
            }
        )

    def test_there_and_back(self, tmp_path: Path) -> None:
        """A compressed catalog is read; a small one stays a text."""
        catalogs, file = RecordedListFiles(str(tmp_path), lambda: 0.0), tmp_path / "s.json"
        for size, start in ((10, b"{"), (LARGE, b"\x1f\x8b")):
            assert catalogs.write("s", self.catalog(size))
            assert file.read_bytes().startswith(start)
            assert catalogs.read("s").written() == self.catalog(size).written()

    @pytest.mark.parametrize(("kept", "added"), [(-9, b""), (50, b"x" * 50), (2, b"")])
    def test_damaged(self, tmp_path: Path, events: list[Any], kept: int, added: bytes) -> None:
        """A catalog that cannot be unpacked is as good as absent, and the log says so."""
        catalogs, file = RecordedListFiles(str(tmp_path), lambda: 0.0), tmp_path / "s.json"
        catalogs.write("s", self.catalog(LARGE))
        file.write_bytes(file.read_bytes()[:kept] + added)
        assert catalogs.read("s").variants == {}
        assert [each["event"] for each in events] == ["catalog.damaged"]

    def test_in_a_thread(self, tmp_path: Path) -> None:
        """A catalog that takes long to compress holds up no caller; the latest is written, and known until it is."""
        threads: list[tuple[Deferred[Any], Any]] = []

        def in_thread(work: Any, *words: Any) -> Deferred[Any]:
            done: Deferred[Any] = Deferred()
            threads.append((done, lambda: work(*words)))
            return done

        catalogs, file = RecordedListFiles(str(tmp_path), lambda: 0.0, in_thread), tmp_path / "s.json"
        first, second = self.catalog(IN_THREAD), self.catalog(IN_THREAD + 1)
        assert catalogs.write("s", first)
        assert catalogs.write("s", second)
        assert not file.exists()
        assert catalogs.read("s").written() == second.written()
        while threads:
            done, work = threads.pop(0)
            done.callback(work())
        assert file.stat().st_size < LARGE
        assert RecordedListFiles(str(tmp_path), lambda: 0.0).read("s").written() == second.written()

    @pytest.mark.parametrize("ends", ["closed", "erased"])
    def test_in_between(self, tmp_path: Path, ends: str) -> None:
        """A catalog that a thread compresses when the gateway ends is on disk; one that is forgotten
        meanwhile is not.
        """
        done: Deferred[Any] = Deferred()
        catalogs, file = RecordedListFiles(str(tmp_path), lambda: 0.0, lambda *_: done), tmp_path / "s.json"
        catalogs.write("s", self.catalog(IN_THREAD))
        if ends == "closed":
            catalogs.close()
        else:
            catalogs.erase("s")
        assert file.exists() is (ends == "closed")
        done.callback(b"late")
        assert file.exists() is (ends == "closed")
        assert not file.exists() or file.read_bytes() != b"late"
