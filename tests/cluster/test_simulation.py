"""A simulation of many nodes: the real parts of nodes on clocks of the test, with one real PostgreSQL."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.support.agreeing import Peer, Peers, now
from tests.support.cluster import LONG
from tests.support.store_at_once import StoreAtOnce

REST_S = 30
PER_SECOND = 100  # transactions that a small PostgreSQL does not notice
HOLDERS = 10  # nodes with leases; each renews all of its own every ten seconds, in one transaction
PER_TAKE = 4  # to take a session over, and to write that down


class Simulation:
    """Nodes that go on, second by second, each with a phase of its own.

    :ivar rates: the transactions of each second.
    """

    def __init__(self, store: StoreAtOnce, directory: Path, nodes: int) -> None:
        self.store = store
        self.peers = Peers(store)
        self.rates: list[int] = []
        chosen = random.Random(nodes)
        for number in range(nodes):
            name = f"n{number}"
            peer = self.peers.every[name] = Peer(name, store, directory, chosen.uniform(0, 1e6))
            for _ in range(number % 5):  # nodes do not begin at the same second
                peer.membership.tick()
            now(peer.membership.renew(must=True))
            peer.membership.verify()
            peer.leases.begin()
            peer.documents.begin()

    @property
    def count(self) -> int:
        """The transactions of all nodes so far."""
        return sum(each.way.count for each in self.peers.every.values())

    def go_on(self, seconds: int) -> list[int]:
        """Let time pass; return the transactions of each second."""
        rates = []
        for _ in range(seconds):
            before = self.count
            self.store.advance(1.0)
            for each in self.peers.live():
                each.second()
            rates.append(self.count - before)
        return rates


@pytest.mark.parametrize(("nodes", "sessions"), [(20, 2000), pytest.param(200, 20_000, marks=LONG)])
def test_many(nodes: int, sessions: int, store: str, tmp_path: Path) -> None:
    """Nodes at rest ask the store 100 times in a second at most, and the end of one asks only for its used sessions."""
    at_once = StoreAtOnce(store)
    try:
        made = Simulation(at_once, tmp_path, nodes)
        every = list(made.peers.every.values())
        for each in every[:HOLDERS]:
            now(each.leases.want(f"lease-{each.name}"))
        begun = [every[at % nodes].begin_session(os.urandom(16)) for at in range(sessions)]
        made.go_on(10)
        kept = at_once.connection.execute("SELECT count(*) FROM sessions").fetchone()
        assert kept == (sessions,)
        at_rest = made.go_on(REST_S)
        assert sum(at_rest) / REST_S <= PER_SECOND
        gone = every[0]
        gone.kill()
        after = made.go_on(20)  # nobody asks for what no client asks for
        assert sum(after) / len(after) <= sum(at_rest) / REST_S + nodes / 10
        mine = [each for each in begun if each.issued.node == gone.membership.me.octets]
        before = made.count
        homes = {made.peers.served(each, every[1 + at % (nodes - 1)]) for at, each in enumerate(mine)}
        assert None not in homes
        assert made.count - before <= PER_TAKE * len(mine) + nodes
        assert all(sum(each.serves(one) for each in made.peers.live()) == 1 for one in mine[:20])
        print(f"{nodes} nodes: {sum(at_rest) / REST_S:.1f} transactions/s, peak {max(at_rest)},")
        print(f"{(made.count - before) / len(mine):.2f} transactions for each session that is taken over")
    finally:
        at_once.close()
