"""Memory that many share: bounded in total, and fair between peers.

Whoever holds bytes for somebody - a body that is being read, an answer that is not taken - says so here.  Where the
room is full, the peer that holds most gives way, not whoever comes next: first with what has just grown, if that is
its own, else with the largest that it has.  So a peer is hurt by its own greed only.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Protocol

from attrs import define, field

ROOM_BYTES = 64 * 1024 * 1024
SCARCE = 8  # part of the room from which on it pays to know whose everything is


class MemoryHolder(Protocol):
    """An owner of bytes that are held for a peer."""

    @property
    def peer(self) -> Hashable:
        """The peer, as far as it is known now."""

    @property
    def may_give_way(self) -> bool:
        """Whether it can let go of them."""

    def give_way(self) -> None:
        """Let go of them: there is no room.  It has left the room by then."""


@define(eq=False)
class FairMemory:
    """Counts held bytes.

    :ivar limit: bytes that may be held together.
    :ivar used: bytes that are held.
    :ivar refusals: the number of peers that were refused.
    :ivar on_scarce: called when a part of the room is taken, and whenever more is.
    :ivar on_full: called before a peer is refused, when all owners have to be known.
    """

    limit: int = ROOM_BYTES
    on_scarce: Callable[[], None] = field(default=lambda: None, repr=False)
    on_full: Callable[[], None] = field(default=lambda: None, repr=False)
    used: int = field(init=False, default=0)
    refusals: int = field(init=False, default=0)
    _held: dict[MemoryHolder, int] = field(init=False, factory=dict, repr=False)

    def take(self, holder: MemoryHolder, size: int) -> bool:
        """Hold so many bytes more; false where this very holder had to give way."""
        self.used += size
        self._held[holder] = self._held.get(holder, 0) + size
        if self.used > self.limit // SCARCE:
            self.on_scarce()
        while self.used > self.limit and self._make_way(holder):
            pass
        return holder in self._held

    def would_refuse(self, holder: MemoryHolder, size: int) -> bool:
        """Whether there is no room for so many bytes more, and this is the holder to give way."""
        if self.used + size <= self.limit or not self._held:
            return False
        self.on_full()
        totals = self._totals()
        own = totals.pop(holder.peer, 0) + size
        return own > size and own >= max(totals.values(), default=0)

    def give(self, holder: MemoryHolder, size: int) -> None:
        """Hold so many bytes less; bytes that are not counted have no effect."""
        held = self._held.get(holder, 0)
        size = min(size, held)
        self.used -= size
        if size < held:
            self._held[holder] = held - size
        else:
            self._held.pop(holder, None)

    def leave(self, holder: MemoryHolder) -> None:
        """Hold nothing any more."""
        self.used -= self._held.pop(holder, 0)

    def of(self, holder: MemoryHolder) -> int:
        """How much it holds."""
        return self._held.get(holder, 0)

    def holders(self) -> list[MemoryHolder]:
        """All peers that hold bytes."""
        return list(self._held)

    def _make_way(self, newest: MemoryHolder) -> bool:
        if len(self._held) == 1:
            return False  # a single one is bounded by itself, and there is nobody to be fair to
        self.on_full()
        totals = self._totals()
        willing = [each for each in self._held if each.may_give_way]
        if not willing:
            return False
        greediest = max((each.peer for each in willing), key=totals.__getitem__)
        its_own = [each for each in willing if each.peer == greediest]
        victim = newest if newest in its_own else max(its_own, key=self._held.__getitem__)
        self.leave(victim)
        self.refusals += 1
        victim.give_way()
        return True

    def _totals(self) -> dict[Hashable, int]:
        totals: dict[Hashable, int] = {}
        for holder, size in self._held.items():
            totals[holder.peer] = totals.get(holder.peer, 0) + size
        return totals
