"""The recorded answers of servers, on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw
from twisted.logger import capturedLogs

from mcpgateway.policy.recorded_answers import FILE_LIMIT, HELLO, AnswerKey, Catalog, RecordedAnswer
from mcpgateway.protocol.versions import Era
from mcpgateway.system.recorded_lists import ABANDONED_S, RecordedListFiles

CATALOG = Catalog({AnswerKey("p", Era.LEGACY, "t"): {HELLO: RecordedAnswer((Raw(b'{"a":1}'),), 7)}})


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the files are."""
    return tmp_path / "catalogs"


@pytest.fixture
def catalogs(place: Path) -> RecordedListFiles:
    """The files of a home."""
    return RecordedListFiles(str(place), lambda: 2 * ABANDONED_S)


@pytest.fixture
def events() -> Iterator[list[Any]]:
    """The logged events."""
    with capturedLogs() as logged:
        yield logged


class FileTests:
    """The file of each server."""

    def test_there_and_back(self, catalogs: RecordedListFiles, place: Path) -> None:
        """A written record is read; no other user can read it, and nothing is left beside it."""
        assert catalogs.read("s").variants == {}
        assert catalogs.write("s", CATALOG)
        assert catalogs.read("s").written() == CATALOG.written()
        assert [(each.name, each.stat().st_mode & 0o777) for each in place.iterdir()] == [("s.json", 0o600)]
        assert place.stat().st_mode & 0o777 == 0o700

    @pytest.mark.parametrize("name", ["../../etc", "..", "a/b", "ü", "a b"])
    def test_names(self, catalogs: RecordedListFiles, place: Path, name: str) -> None:
        """The file of a server with any name is in its place."""
        assert catalogs.write(name, CATALOG)
        assert catalogs.read(name).variants
        assert len(list(place.iterdir())) == 1

    def test_erasing(self, catalogs: RecordedListFiles, place: Path) -> None:
        """A server that is forgotten has no file; it need not have had one."""
        catalogs.write("s", CATALOG)
        catalogs.erase("s")
        catalogs.erase("s")
        assert list(place.iterdir()) == []

    def test_a_newer_file(self, catalogs: RecordedListFiles, place: Path, events: list[Any]) -> None:
        """A newer gateway's file is neither replaced nor erased, until that gateway is gone; the log says so once."""
        place.mkdir()
        newer = place / "s.json"
        newer.write_text('{"format":2}')
        for _ in range(2):
            assert catalogs.read("s").variants == {}
        assert catalogs.write("s", CATALOG)
        catalogs.erase("s")
        assert newer.read_text() == '{"format":2}'
        assert [each["event"] for each in events] == ["catalog.newer"]
        newer.unlink()
        catalogs.read("s")
        assert catalogs.write("s", CATALOG)
        assert newer.exists()

    @pytest.mark.parametrize("damage", ["nothing", "long", "fifo", "directory"])
    def test_what_cannot_be_read(
        self, catalogs: RecordedListFiles, place: Path, events: list[Any], damage: str
    ) -> None:
        """An unreadable record counts as none, and the log names its file."""
        place.mkdir()
        file = place / "s.json"
        match damage:
            case "nothing":
                file.write_bytes(b"")
            case "long":
                with file.open("wb") as stream:
                    stream.truncate(FILE_LIMIT + 1)
            case "fifo":
                os.mkfifo(file)
            case _:
                file.mkdir()
        assert catalogs.read("s").variants == {}
        assert [each["event"] for each in events] == ["catalog.damaged"]
        assert catalogs.write("s", CATALOG) is (damage != "directory")

    def test_where_nothing_can_be_written(
        self, catalogs: RecordedListFiles, place: Path, events: list[Any]
    ) -> None:
        """A failure to write is logged once, and the write is tried again."""
        place.write_text("in the way")
        assert [catalogs.write("s", CATALOG) for _ in range(2)] == [False, False]
        assert [each["event"] for each in events] == ["catalog.unwritable"]
        place.unlink()
        assert catalogs.write("s", CATALOG)
        assert len(events) == 1

    def test_what_a_kill_has_left(self, catalogs: RecordedListFiles, place: Path) -> None:
        """Half-written files of a killed gateway are removed; those of a running one stay."""
        place.mkdir()
        for name, at in ((".old.1.ab", 0.0), (".new.1.ab", 2 * ABANDONED_S)):
            (place / name).write_text("half")
            os.utime(place / name, (at, at))
        assert catalogs.write("s", CATALOG)
        assert sorted(each.name for each in place.iterdir()) == [".new.1.ab", "s.json"]
