"""Tests of leases, against a real PostgreSQL whose clock is set by the tests."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mcpgateway.cluster.leases import Lease, LeaseHolder, Leases
from mcpgateway.cluster.membership import Member, Membership, octets_of
from mcpgateway.errors import StoreLost
from tests.support.postgres import Postgres
from tests.support.store_at_once import StoreAtOnce

LIFE_S = 60.0
MARGIN_S = 5.0


class Fellow:
    """A node with leases, whose own clock shows another time than the store's."""

    def __init__(self, name: str, store: StoreAtOnce, offset: float = 0.0, former: str = "") -> None:
        self.name, self.store, self.clock = name, store, Clock()
        self.clock.advance(offset)
        member = Member(name, octets_of(name), secrets.token_hex(8), "127.0.0.1:1")
        self.membership = Membership(cast("Any", store), member, self.clock.seconds)
        self.leases = Leases(
            cast("Any", store), self.membership, self.clock, LIFE_S, former, self.clock.seconds
        )

    def reborn(self) -> Fellow:
        """The next life of the node, after the end of this one and its processes."""
        return Fellow(self.name, self.store, self.clock.seconds(), self.membership.me.incarnation)

    def want(self, name: str = "files") -> Lease | LeaseHolder:
        """What the node is told when it wants a lease."""
        return now(self.leases.want(name))


class Together:
    """Nodes of one store, for which the same time passes."""

    def __init__(self, store: StoreAtOnce) -> None:
        self.store = store
        self.nodes: list[Fellow] = []

    def add(self, name: str, offset: float = 0.0) -> Fellow:
        """Make a node."""
        self.nodes.append(Fellow(name, self.store, offset))
        return self.nodes[-1]

    def pass_(self, seconds: float) -> None:
        """Let time pass at the store and at all nodes."""
        self.store.advance(seconds)
        for each in self.nodes:
            each.clock.advance(seconds)


def now(done: Deferred[Any]) -> Any:
    """The result of a Deferred that has fired; raises its failure."""
    results: list[Any] = []
    done.addBoth(results.append)
    assert results, "it has not fired"
    if hasattr(results[0], "raiseException"):
        results[0].raiseException()
    return results[0]


@pytest.fixture
def together(store: str) -> Iterator[Together]:
    made = Together(StoreAtOnce(store))
    yield made
    made.store.close()


def test_one_holder(together: Together) -> None:
    """A free lease is the first node's; another is told the holder and its number."""
    one, two = together.add("one"), together.add("two", 1e6)
    held = one.want()
    assert isinstance(held, Lease)
    assert two.want() == LeaseHolder("files", one.membership.me.octets, held.fence)
    assert one.want() is held
    assert isinstance(two.want("others"), Lease)


def test_renewed(together: Together) -> None:
    """A lease that its holder renews stays its own, and its deadline moves."""
    one, two = together.add("one"), together.add("two")
    held = one.want()
    assert isinstance(held, Lease)
    deadlines: list[float] = []
    held.on_renewed.append(deadlines.append)
    for _ in range(20):
        together.pass_(LIFE_S / 6)
        now(one.leases.renew())
    assert isinstance(two.want(), LeaseHolder)
    assert one.leases.find("files") is held
    assert len(deadlines) == 20
    assert deadlines[-1] == held.deadline == one.clock.seconds() + LIFE_S - MARGIN_S


def test_all_renewed_by_one_statement(postgres: Postgres, together: Together) -> None:
    """However many leases a node has, it renews them by one statement."""
    one = together.add("one")
    for each in range(50):
        one.want(f"server {each}")
    before = _updates(postgres)
    now(one.leases.renew())
    assert _updates(postgres) - before == 1


def test_run_out(together: Together) -> None:
    """A lease that is not renewed is lost to its holder before another node can take it, with a larger number."""
    one, two = together.add("one"), together.add("two")
    held = one.want()
    assert isinstance(held, Lease)
    lost: list[float] = []
    held.on_lost.append(lambda: lost.append(one.clock.seconds()))
    together.store.is_gone = True
    together.pass_(LIFE_S - MARGIN_S - 0.001)
    now(one.leases.renew())
    assert not lost
    together.pass_(0.001)
    assert lost == [LIFE_S - MARGIN_S]
    together.store.is_gone = False
    assert isinstance(two.want(), LeaseHolder)
    together.pass_(MARGIN_S)
    taken = two.want()
    assert isinstance(taken, Lease)
    assert taken.fence > held.fence
    assert one.want() == LeaseHolder("files", two.membership.me.octets, taken.fence)
    assert len(lost) == 1


def test_taken_away(together: Together) -> None:
    """A node that learns from its renewal that its lease is another's loses it at once."""
    one = together.add("one")
    held = one.want()
    lost: list[bool] = []
    assert isinstance(held, Lease)
    held.on_lost.append(lambda: lost.append(True))
    together.store.connection.execute("UPDATE leases SET fence = fence + 1")
    now(one.leases.renew())
    assert lost == [True]
    assert not held.is_held


def test_released(together: Together) -> None:
    """Another node can take a released lease at once, and a release that comes too late takes nothing away."""
    one, two, three = together.add("one"), together.add("two"), together.add("three")
    held = one.want()
    assert isinstance(held, Lease)
    now(one.leases.release(held))
    taken = two.want()
    assert isinstance(taken, Lease)
    assert taken.fence > held.fence
    held.is_held = True
    now(one.leases.release(held))
    assert isinstance(three.want(), LeaseHolder)


def test_new_life(together: Together) -> None:
    """A node takes the leases of its former life back at once; another process under its name does not."""
    one = together.add("one")
    held = one.want()
    assert isinstance(held, Lease)
    stranger = together.add("one")
    assert isinstance(stranger.want(), LeaseHolder)
    again = one.reborn().want()
    assert isinstance(again, Lease)
    assert again.fence > held.fence


def test_answer_lost(together: Together) -> None:
    """A lease that was taken without the node's knowledge is taken by it again, also when the work was done twice."""
    one = together.add("one")
    together.store.loses_answer = True
    with pytest.raises(StoreLost):
        one.want()
    together.store.works_twice = True
    assert isinstance(one.want(), Lease)


def test_restored(together: Together) -> None:
    """A number is not given out twice, even if the store was restored from a backup that does not know the lease."""
    one = together.add("one")
    held = one.want()
    assert isinstance(held, Lease)
    together.pass_(2 * LIFE_S)
    together.store.connection.execute("DELETE FROM leases")
    again = one.want()
    assert isinstance(again, Lease)
    assert again.fence > held.fence


def test_closed(together: Together) -> None:
    """A node that stops releases its leases, and takes no more."""
    one, two = together.add("one"), together.add("two")
    one.want()
    one.want("others")
    now(one.leases.close())
    assert isinstance(two.want(), Lease)
    assert isinstance(two.want("others"), Lease)
    with pytest.raises(StoreLost):
        one.want("more")


def test_told(together: Together) -> None:
    """A node hears of each lease that another has released."""
    one = together.add("one")
    heard: list[str] = []
    one.leases.on_free.append(heard.append)
    one.leases.heard("lease a name with spaces")
    one.leases.heard("documents 17")
    assert heard == ["a name with spaces"]


def _updates(postgres: Postgres) -> int:
    return postgres.log.read_text().count("UPDATE leases")


NAMES = st.sampled_from(("files", "memory"))
NODES = st.integers(0, 2)


class Nodes(RuleBasedStateMachine):
    """Three nodes that take, renew, release and lose leases, end and begin again.

    :cvar store: the store of all runs.
    """

    store: StoreAtOnce

    def __init__(self) -> None:
        super().__init__()
        self.together = Together(self.store)
        self.store.is_gone = self.store.works_twice = self.store.loses_answer = False
        self.store.connection.execute("DELETE FROM leases")
        self.nodes = [self.together.add(f"node{each}", 1e5 * each) for each in range(3)]
        self.fences: dict[str, list[int]] = {"files": [], "memory": []}

    @rule(node=NODES, name=NAMES)
    def take(self, node: int, name: str) -> None:
        """A node wants a lease."""
        known = self.nodes[node].leases.find(name)
        try:
            found = self.nodes[node].want(name)
        except StoreLost:
            return
        if isinstance(found, Lease) and found is not known:
            assert not self.fences[name] or found.fence > self.fences[name][-1]
            self.fences[name].append(found.fence)

    @rule(node=NODES)
    def renew(self, node: int) -> None:
        """A node renews its leases."""
        now(self.nodes[node].leases.renew())

    @rule(node=NODES, name=NAMES)
    def release(self, node: int, name: str) -> None:
        """A node gives a lease up."""
        held = self.nodes[node].leases.find(name)
        if held is not None:
            now(self.nodes[node].leases.release(held))

    @rule(seconds=st.sampled_from((0.5, 4.9, 10.0, 54.9, 55.0, 60.0)))
    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.together.pass_(seconds)

    @rule(name=NAMES, before=st.sampled_from((0.1, -0.1, -MARGIN_S + 0.1, -MARGIN_S)))
    def nearly_over(self, name: str, before: float) -> None:
        """Time passes until shortly before or after the end of a lease, and every node wants it."""
        for each in self.nodes:
            held = each.leases.find(name)
            if held is not None:
                self.together.pass_(max(0.0, held.deadline - each.clock.seconds() - before))
        for nth in range(len(self.nodes)):
            self.take(nth, name)

    @rule(node=NODES)
    def end(self, node: int) -> None:
        """A node ends with its processes, and begins again."""
        former = self.nodes[node]
        self.nodes[node] = former.reborn()
        self.together.nodes = list(self.nodes)

    @rule(is_gone=st.booleans())
    def cut(self, is_gone: bool) -> None:  # noqa: FBT001 - drawn
        """The store goes or comes."""
        self.together.store.is_gone = is_gone

    @rule(twice=st.booleans())
    def trouble(self, twice: bool) -> None:  # noqa: FBT001 - drawn
        """The next answer is lost, or the next work done twice."""
        self.together.store.works_twice = twice
        self.together.store.loses_answer = not twice

    @invariant()
    def one_holder(self) -> None:
        """At most one node counts itself as the holder, and for the store it is."""
        store = self.together.store
        for name in self.fences:
            found = [(each, each.leases.find(name)) for each in self.nodes]
            held = [(node, lease) for node, lease in found if lease is not None]
            assert len(held) <= 1
            for node, lease in held:
                row = store.connection.execute(
                    "SELECT node, fence, until > clock_timestamp() FROM leases WHERE name = %s", (name,)
                ).fetchone()
                assert row == (node.membership.me.octets, lease.fence, True)


def test_never_two(together: Together) -> None:
    """Whatever nodes and their store do, a lease has one holder at most, and each holder a number of its own."""
    machine = type("Nodes", (Nodes,), {"store": together.store})
    quick = settings(
        max_examples=20, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(machine, settings=quick)
