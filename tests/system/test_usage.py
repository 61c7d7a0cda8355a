"""The book of calls and spared tokens, on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import capturedLogs

from mcpgateway.discovery.usage import Book
from mcpgateway.system.usage import UsageFile


@pytest.fixture
def events() -> Iterator[list[Any]]:
    """The logged events."""
    with capturedLogs() as logged:
        yield logged


def book() -> Book:
    """A book with one call."""
    found = Book()
    found.called("a", "x")
    return found


class UsageFileTests:
    """The file of the book."""

    def test_there_and_back(self, tmp_path: Path) -> None:
        """A written book is read, no other user can read it, and an absent file is an empty book."""
        file = UsageFile(str(tmp_path / "home" / "usage.json"))
        assert file.read().counts() == {}
        assert file.write(book())
        assert file.read().counts() == {"a__x": 1}
        assert [each.stat().st_mode & 0o777 for each in (tmp_path / "home").iterdir()] == [0o600]

    def test_damaged(self, tmp_path: Path, events: list[Any]) -> None:
        """A file that cannot be read is told, and replaced."""
        path = tmp_path / "usage.json"
        path.write_text("{")
        file = UsageFile(str(path))
        assert file.read().counts() == {}
        assert [each["event"] for each in events] == ["usage.damaged"]
        assert file.write(book())
        assert file.read().counts() == {"a__x": 1}

    def test_newer(self, tmp_path: Path, events: list[Any]) -> None:
        """A file of a newer gateway is left alone."""
        path = tmp_path / "usage.json"
        path.write_text('{"format":9}')
        file = UsageFile(str(path))
        assert file.read().counts() == {}
        assert file.write(book())
        assert path.read_text() == '{"format":9}'
        assert [each["event"] for each in events] == ["usage.newer"]

    def test_unwritable(self, tmp_path: Path, events: list[Any]) -> None:
        """A file that cannot be written is told once, and tried again."""
        (tmp_path / "home").write_text("no directory")
        file = UsageFile(str(tmp_path / "home" / "usage.json"))
        assert not file.write(book())
        assert not file.write(book())
        assert [each["event"] for each in events] == ["usage.unwritable"]
        os.unlink(tmp_path / "home")
        assert file.write(book())
