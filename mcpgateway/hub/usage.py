"""Count what tools are called and what tokens are spared, and keep it over a restart."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from mcpgateway.discovery.usage import Book, Saving

WRITE_TICKS = 60  # between two writings; a minute of counts is what a crash may cost


class UsageStore(Protocol):
    """Where the book outlives the gateway; see `mcpgateway.system.usage.UsageFile`."""

    def read(self) -> Book:
        """What was written last."""

    def write(self, book: Book) -> bool:
        """Keep it; false when that has to be tried again."""


class Usage:
    """The book of one gateway, read when it is first needed.

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
        """A server's tool was called, by the name that the server gave it."""
        self._book.called(server, own)
        self._is_dirty = True

    def saved(self, saving: Saving, server: str, tokens: int) -> None:
        """A model was spared tokens of a server's tools or answers."""
        if tokens > 0:
            self._book.saved(saving, server, tokens, self._day())
            self._is_dirty = True

    def counts(self) -> dict[str, int]:
        """How often each tool was called, by `mcpgateway.discovery.records.Item.id`; a copy, which stays as it is."""
        return self._book.counts()

    def spared(self) -> dict[str, int]:
        """Tokens that were spared, by what."""
        return {each.value: self._book.totals.get(each, 0) for each in Saving}

    def shown(self) -> dict[str, Any]:
        """What is to be said of it in ``/health``: tokens that were spared, in all and today."""
        book, spared = self._book, self.spared()
        today = sum(sum(counts.values()) for counts in book.days.get(self._day(), {}).values())
        return {**spared, "total": sum(spared.values()), "today": today}

    def days(self) -> dict[str, dict[str, dict[str, int]]]:
        """Tokens that were spared, by day, server and by what."""
        return {
            day: {
                server: {saving.value: tokens for saving, tokens in counts.items()}
                for server, counts in servers.items()
            }
            for day, servers in self._book.days.items()
        }

    def tick(self) -> None:
        """A second has passed: write what has changed, but not more than once in a minute."""
        self._rest = max(0, self._rest - 1)
        if not self._rest and self._is_dirty:
            self._write()

    def close(self) -> None:
        """Write what has changed."""
        if self._is_dirty:
            self._write()

    def _write(self) -> None:
        self._is_dirty = not self._store.write(self._book)
        self._rest = WRITE_TICKS

    def _day(self) -> str:
        return datetime.fromtimestamp(self._seconds(), UTC).date().isoformat()
