"""Memory that is shared by many peers: bounded in total, and fair between them.

Each holder of bytes for a peer - a request body that is being read, an answer that is not sent yet - counts them here.
Where the limit is exceeded, the peer that holds most gives way, not the one that comes next: first the holder that has
just grown, if it is that peer's, else the largest of the peer's holders.  So a peer only suffers from its own use.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Protocol

import msgspec

from mcpgateway.records import Record

ROOM_BYTES = 64 * 1024 * 1024
SCARCE = 8  # the part of the limit from which on every holder's peer has to be known


class MemoryHolder(Protocol):
    """An owner of bytes that are held for a peer."""

    @property
    def peer(self) -> Hashable:
        """The peer, as far as it is known now; peers are compared by equality."""

    @property
    def may_give_way(self) -> bool:
        """True if the holder can release its bytes."""

    def give_way(self) -> None:
        """Release all bytes, for lack of memory; they are not counted any more when this is called."""


class FairMemory(Record):
    """Counts held bytes.

    :ivar limit: the most bytes that may be held together.
    :ivar used: bytes that are held.
    :ivar refusals: the number of holders that had to give way.
    :ivar on_scarce: called whenever bytes are taken and more than the part `SCARCE` of the limit is used.
    :ivar on_full: called before a holder gives way, when all holders' peers have to be known.
    """

    limit: int = ROOM_BYTES
    on_scarce: Callable[[], None] = lambda: None
    on_full: Callable[[], None] = lambda: None
    used: int = 0
    refusals: int = 0
    _held: dict[MemoryHolder, int] = msgspec.field(default_factory=dict)

    def take(self, holder: MemoryHolder, size: int) -> bool:
        """Count so many bytes more; false where this very holder had to give way."""
        self.used += size
        self._held[holder] = self._held.get(holder, 0) + size
        if self.used > self.limit // SCARCE:
            self.on_scarce()
        while self.used > self.limit and self._make_way(holder):
            pass
        return holder in self._held

    def would_refuse(self, holder: MemoryHolder, size: int) -> bool:
        """True if so many bytes more exceed the limit, and this is the holder that would give way."""
        if self.used + size <= self.limit or not self._held:
            return False
        self.on_full()
        totals = self._totals()
        own = totals.pop(holder.peer, 0) + size
        return own > size and own >= max(totals.values(), default=0)

    def give(self, holder: MemoryHolder, size: int) -> None:
        """Count so many bytes less; bytes that are not counted have no effect."""
        held = self._held.get(holder, 0)
        size = min(size, held)
        self.used -= size
        if size < held:
            self._held[holder] = held - size
        else:
            self._held.pop(holder, None)

    def leave(self, holder: MemoryHolder) -> None:
        """Count none of the holder's bytes any more."""
        self.used -= self._held.pop(holder, 0)

    def of(self, holder: MemoryHolder) -> int:
        """Return the number of bytes that a holder has."""
        return self._held.get(holder, 0)

    def holders(self) -> list[MemoryHolder]:
        """Return all holders that have bytes."""
        return list(self._held)

    def _make_way(self, newest: MemoryHolder) -> bool:
        if len(self._held) == 1:
            return False  # a single one is bounded by its own limits, and there is no other to be fair to
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
