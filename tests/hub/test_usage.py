"""Counts of called tools and of spared tokens, over a restart."""

from __future__ import annotations

from attrs import define, field

from mcpgateway.discovery import usage
from mcpgateway.discovery.usage import Book, Saving
from mcpgateway.hub.usage import WRITE_TICKS, Usage


@define
class MemoryStore:
    """Keeps a book as it is written.

    :ivar kept: all that was written, in order.
    :ivar is_broken: nothing can be written.
    """

    kept: list[bytes] = field(factory=list)
    reads: int = 0
    is_broken: bool = False

    def read(self) -> Book:
        """The book as it was written last."""
        self.reads += 1
        return usage.read(self.kept[-1].decode()) if self.kept else Book()

    def write(self, book: Book) -> bool:
        """Keep it."""
        if not self.is_broken:
            self.kept.append(book.written())
        return not self.is_broken


def begun(store: MemoryStore) -> Usage:
    """A gateway's book in the year 2026."""
    return Usage(store, lambda: 1_790_000_000.0)


def pass_by(book: Usage, ticks: int) -> None:
    """Let so many seconds pass."""
    for _ in range(ticks):
        book.tick()


class UsageTests:
    """A book of counts."""

    def test_over_a_restart(self) -> None:
        """A count is there again after a restart."""
        store = MemoryStore()
        book = begun(store)
        book.called("a", "x")
        book.saved(Saving.SHIELDING, "a", 12)
        book.close()
        again = begun(store)
        again.called("a", "x")
        assert again.counts() == {"a__x": 2}
        assert again.shown() == {"deferral": 0, "shielding": 12, "compression": 0, "total": 12, "today": 12}
        assert again.days() == {"2026-09-21": {"a": {"shielding": 12}}}

    def test_once_a_minute(self) -> None:
        """The book is written a minute after the last time at the earliest, and only where something has changed."""
        store = MemoryStore()
        book = begun(store)
        pass_by(book, 3 * WRITE_TICKS)
        assert (store.kept, store.reads) == ([], 0)
        book.called("a", "x")
        book.tick()
        book.called("a", "x")
        pass_by(book, WRITE_TICKS - 1)
        assert len(store.kept) == 1
        book.tick()
        assert len(store.kept) == 2
        pass_by(book, 3 * WRITE_TICKS)
        book.close()
        assert len(store.kept) == 2

    def test_at_the_end(self) -> None:
        """Counts that have not been written yet are written when the gateway stops."""
        store = MemoryStore()
        book = begun(store)
        book.called("a", "x")
        book.close()
        assert len(store.kept) == 1

    def test_tried_again(self) -> None:
        """A book that could not be written is written a minute later."""
        store = MemoryStore(is_broken=True)
        book = begun(store)
        book.called("a", "x")
        pass_by(book, WRITE_TICKS)
        store.is_broken = False
        pass_by(book, WRITE_TICKS)
        assert begun(store).counts() == {"a__x": 1}

    def test_nothing_saved(self) -> None:
        """Where nothing was spared there is nothing to write."""
        store = MemoryStore()
        book = begun(store)
        book.saved(Saving.DEFERRAL, "a", 0)
        book.close()
        assert store.kept == []

    def test_counts_stay(self) -> None:
        """A list is made of counts that do not change meanwhile."""
        book = begun(MemoryStore())
        book.called("a", "x")
        counts = book.counts()
        book.called("a", "x")
        assert counts == {"a__x": 1}
