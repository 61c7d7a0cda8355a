"""The counts of called tools and of saved tokens, which outlive a restart."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from mcpgateway.discovery.usage import Book, Saving

WRITE_TICKS = 60  # between two writes; a crash loses at most a minute of counts


class UsageStore(Protocol):
    """The storage of the counts; see `mcpgateway.system.usage.UsageFile`."""

    def read(self) -> Book:
        """Return the counts of the last write."""

    def write(self, book: Book) -> bool:
        """Write the counts; false if the write has to be repeated."""


class Usage:
    """The counts of one gateway, read on first use.

    :param seconds: the wall clock.
    """

    def __init__(self, store: UsageStore, seconds: Callable[[], float]) -> None:
        self._store = store
        self._seconds = seconds
        self._read: Book | None = None
        self._is_dirty = False
        self._rest = WRITE_TICKS

    @property
    def _book(self) -> Book:
        if self._read is None:
            self._read = self._store.read()
        return self._read

    def called(self, server: str, own: str) -> None:
        """Count a call of a server's tool, by the name that the server gives it."""
        self._book.called(server, own)
        self._is_dirty = True

    def saved(self, saving: Saving, server: str, tokens: int) -> None:
        """Count tokens of a server's tools or results that a model was spared."""
        if tokens > 0:
            self._book.saved(saving, server, tokens, self._day())
            self._is_dirty = True

    def counts(self) -> dict[str, int]:
        """Return the number of calls of each tool, by `mcpgateway.discovery.records.Item.id`; the dict is a copy."""
        return self._book.counts()

    def spared(self) -> dict[str, int]:
        """Return the saved tokens by the kind of saving."""
        return {each.value: self._book.totals.get(each, 0) for each in Saving}

    def shown(self) -> dict[str, Any]:
        """Return the saved tokens for ``/health``, in all and today."""
        book, spared = self._book, self.spared()
        today = sum(sum(counts.values()) for counts in book.days.get(self._day(), {}).values())
        return {**spared, "total": sum(spared.values()), "today": today}

    def days(self) -> dict[str, dict[str, dict[str, int]]]:
        """Return the saved tokens by day, server and kind of saving."""
        return {
            day: {
                server: {saving.value: tokens for saving, tokens in counts.items()}
                for server, counts in servers.items()
            }
            for day, servers in self._book.days.items()
        }

    def tick(self) -> None:
        """Count one second; write the counts if they have changed, at most once in `WRITE_TICKS`."""
        self._rest = max(0, self._rest - 1)
        if not self._rest and self._is_dirty:
            self._write()

    def close(self) -> None:
        """Write the counts if they have changed."""
        if self._is_dirty:
            self._write()

    def _write(self) -> None:
        self._is_dirty = not self._store.write(self._book)
        self._rest = WRITE_TICKS

    def _day(self) -> str:
        return datetime.fromtimestamp(self._seconds(), UTC).date().isoformat()
