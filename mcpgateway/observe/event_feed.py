"""A feed of entries in their order; the latest are kept for followers that come later."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec
from msgspec import Struct

from mcpgateway.records import Record


class FeedEntry(Struct, frozen=True):
    """An entry of a feed.

    :ivar identifier: id of the entry, after which a follower can resume; later entries have greater ones.
    :ivar text: one line.
    :ivar kind: kind of the entry; empty if the feed has only one.
    :ivar server: its server; empty for the gateway's own entries.
    """

    identifier: str
    text: str
    kind: str = ""
    server: str = ""


class Follower(Protocol):
    """A follower of a feed; it is called at once and must not wait."""

    def added(self, entry: FeedEntry) -> None:
        """Take a new entry."""

    def ended(self) -> None:
        """Note the end of the feed."""


class EventHistory(Record):
    """A feed that keeps its latest entries.

    :ivar entries: the latest entries.
    :param most: number of entries that are kept.
    :param most_chars: length of all kept entries together.
    """

    most: int
    most_chars: int
    entries: deque[FeedEntry] = msgspec.field(default_factory=deque)
    _chars: int = 0
    _followers: list[Follower] = msgspec.field(default_factory=list)

    def add(self, entry: FeedEntry) -> None:
        """Keep an entry, and pass it to the followers."""
        self.keep(entry)
        self.tell(entry)

    def keep(self, entry: FeedEntry) -> None:
        """Keep an entry in place of the oldest."""
        self.entries.append(entry)
        self._chars += len(entry.text)
        while len(self.entries) > self.most or (self._chars > self.most_chars and len(self.entries) > 1):
            self._chars -= len(self.entries.popleft().text)

    def written(self) -> bytes:
        """Return the kept entries for the next program of this process."""
        return msgspec.msgpack.encode(list(self.entries))

    def precede(self, written: bytes) -> None:
        """Put the entries of the former program before its own."""
        own, self.entries, self._chars = self.entries, deque(), 0
        for each in (*msgspec.msgpack.decode(written, type=list[FeedEntry]), *own):
            self.keep(each)

    def tell(self, entry: FeedEntry) -> None:
        """Pass an entry to the followers."""
        for each in tuple(self._followers):
            each.added(entry)

    @property
    def is_followed(self) -> bool:
        """True if anybody follows the feed."""
        return bool(self._followers)

    def after(self, identifier: str) -> Iterator[FeedEntry]:
        """Yield the kept entries after the one of that identifier."""
        return (each for each in tuple(self.entries) if each.identifier > identifier)

    def follow(self, follower: Follower) -> Callable[[], None]:
        """Pass every entry to a follower from now on; return a function that ends that."""
        self._followers.append(follower)

        def leave() -> None:
            if follower in self._followers:
                self._followers.remove(follower)

        return leave

    def close(self) -> None:
        """End the feed for all followers."""
        followers, self._followers = self._followers, []
        for each in followers:
            each.ended()
