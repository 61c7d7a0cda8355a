"""A feed of entries in their order; the latest are kept for followers that come later."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from attrs import define, field, frozen


@frozen
class FeedEntry:
    """One thing that has happened.

    :ivar identifier: names the entry, so that a follower can resume behind it; later ones of a feed are greater.
    :ivar text: one line.
    :ivar kind: what kind of thing; empty where there is only one.
    :ivar server: whose it is; empty for the gateway's own.
    """

    identifier: str
    text: str
    kind: str = ""
    server: str = ""


class Follower(Protocol):
    """A follower of a feed; it is called at once and must not wait."""

    def told(self, entry: FeedEntry) -> None:
        """Take a new entry."""

    def ended(self) -> None:
        """There will be no more."""


@define(eq=False)
class EventHistory:
    """Entries, told to all who follow.

    :ivar kept: the last of them.
    :param most: how many are kept.
    :param most_chars: how long all that are kept may be together.
    """

    most: int
    most_chars: int
    kept: deque[FeedEntry] = field(init=False, factory=deque)
    _chars: int = field(init=False, default=0)
    _followers: list[Follower] = field(init=False, factory=list)

    def add(self, entry: FeedEntry) -> None:
        """Keep it, and tell it."""
        self.keep(entry)
        self.tell(entry)

    def keep(self, entry: FeedEntry) -> None:
        """Keep it instead of the oldest."""
        self.kept.append(entry)
        self._chars += len(entry.text)
        while len(self.kept) > self.most or (self._chars > self.most_chars and len(self.kept) > 1):
            self._chars -= len(self.kept.popleft().text)

    def tell(self, entry: FeedEntry) -> None:
        """Tell it to all who follow."""
        for each in tuple(self._followers):
            each.told(entry)

    def after(self, identifier: str) -> Iterator[FeedEntry]:
        """Those that are kept and came after the one of that identifier."""
        return (each for each in tuple(self.kept) if each.identifier > identifier)

    def follow(self, follower: Follower) -> Callable[[], None]:
        """Tell him of every entry from now on; returns what ends that."""
        self._followers.append(follower)

        def leave() -> None:
            if follower in self._followers:
                self._followers.remove(follower)

        return leave

    def close(self) -> None:
        """Tell all who follow that this was all."""
        followers, self._followers = self._followers, []
        for each in followers:
            each.ended()
