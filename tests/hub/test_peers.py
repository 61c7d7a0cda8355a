"""Processes at the other end of connections."""

from __future__ import annotations

import gc
from collections.abc import Collection
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred

from mcpgateway.hub.owners.peers import Neighbours


@define(eq=False)
class Caller:
    """The other end of a connection."""

    pid: int = 0
    inode: int = 0


@define
class Search:
    """A search that ends when the test says so."""

    asked: list[tuple[set[int], Deferred[dict[int, int]]]] = field(factory=list)

    def __call__(self, inodes: Collection[int]) -> Deferred[dict[int, int]]:
        found: Deferred[dict[int, int]] = Deferred()
        self.asked.append((set(inodes), found))
        return found


class NeighbourTests:
    """Processes, by connection."""

    def test_known_at_once(self) -> None:
        """A process that the kernel names needs no search, nor does a connection that none can be found for."""
        search = Search()
        assert Neighbours(search).process(Caller(pid=7, inode=9)) == 7
        assert Neighbours(search).process(Caller()) == 0
        assert search.asked == []

    def test_looked_for(self) -> None:
        """A process that the kernel does not name is looked for, and then known of this connection and of no other."""
        search = Search()
        neighbours = Neighbours(search)
        one, two = Caller(inode=9), Caller(inode=9)
        assert neighbours.process(one) is None
        told: list[Any] = []
        neighbours.look_for(one).addCallback(told.append)
        assert neighbours.process(one) is None
        search.asked[0][1].callback({9: 7, 8: 6})
        assert told == [None]
        assert neighbours.process(one) == 7
        assert neighbours.process(two) is None
        assert [inodes for inodes, _ in search.asked] == [{9}]

    def test_not_found(self) -> None:
        """A process that cannot be found is nobody's, and is not looked for again."""
        search = Search()
        neighbours = Neighbours(search)
        caller = Caller(inode=9)
        neighbours.look_for(caller)
        search.asked[0][1].callback({})
        assert neighbours.process(caller) == 0

    def test_nothing_stays(self) -> None:
        """The process of a connection is forgotten with the connection."""
        search = Search()
        neighbours = Neighbours(search)
        caller = Caller(inode=9)
        neighbours.look_for(caller)
        search.asked.pop()[1].callback({9: 7})
        del caller
        gc.collect()
        assert len(neighbours._found) == 0
