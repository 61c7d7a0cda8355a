"""Tests of the membership of a cluster, against a real PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from mcpgateway.cluster.membership import DRAINING, LIFE_S, Membership
from mcpgateway.cluster.store import Store
from mcpgateway.errors import StoreLost
from tests.support.postgres import Postgres

ENDED = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = %s AND application_name = 'mcpgateway'"
)


class Fellows:
    """Nodes of one store, in this process, with a clock that stands still."""

    def __init__(self, store: str) -> None:
        self.now = 1000.0
        self._store = store
        self.stores: list[Store] = []

    def node(self, name: str) -> Membership:
        """Make a node."""
        made = Store(self._store, reactor)
        self.stores.append(made)
        members = Membership.named(made, name, f"127.0.0.1:{9000 + len(self.stores)}", ("gpu",))
        members._clock = lambda: self.now
        return members


@pytest.fixture
def fellows(store: str) -> Any:
    made = Fellows(store)
    yield made
    for each in made.stores:
        each.close()


@pytest_twisted.inlineCallbacks
def test_see_each_other(fellows: Fellows) -> Any:
    """Nodes of one store know each other's address, labels and version after one renewal each."""
    one, two = fellows.node("one"), fellows.node("two")
    yield one.renew()
    yield two.renew()
    yield one.renew()
    assert [each.name for each in one.live()] == ["one", "two"]
    other = one.find(two.me.octets)
    assert other is not None
    assert (other.address, other.labels, other.incarnation) == (
        "127.0.0.1:9002",
        ("gpu",),
        two.me.incarnation,
    )


@pytest_twisted.inlineCallbacks
def test_run_out(fellows: Fellows) -> Any:
    """A node that does not renew its row is not alive once its time is over, by the clock of who looks."""
    one, two = fellows.node("one"), fellows.node("two")
    yield two.renew()
    yield one.renew()
    other = one.find(two.me.octets)
    assert other is not None
    fellows.now += LIFE_S + 1
    assert not one.is_live(other)
    assert not two.is_member


@pytest_twisted.inlineCallbacks
def test_store_away(fellows: Fellows, store: str) -> Any:
    """After a time without the store, a node that was alive before has a life's time to renew; a dead one has not."""
    one, two, three = fellows.node("one"), fellows.node("two"), fellows.node("three")
    yield three.renew()
    fellows.now += LIFE_S + 1
    yield _age(fellows, LIFE_S + 1)
    yield two.renew()
    yield one.renew()
    fellows.now += 2 * LIFE_S
    yield _age(fellows, 2 * LIFE_S)
    assert [each.name for each in one.live()] == ["one"]
    yield one.renew()
    assert [each.name for each in one.live()] == ["one", "two"]
    fellows.now += LIFE_S - 1
    yield _age(fellows, LIFE_S - 1)
    yield one.renew()
    assert [each.name for each in one.live()] == ["one", "two"]
    fellows.now += 2
    assert [each.name for each in one.live()] == ["one"]


def _age(fellows: Fellows, seconds: float) -> Deferred[None]:
    """Let the rows of all nodes be older than they are."""
    older = "UPDATE nodes SET until = until - %s * interval '1 second'"
    return fellows.stores[0].run(lambda cursor: cursor.execute(older, (seconds,)) and None)


@pytest_twisted.inlineCallbacks
def test_refused(fellows: Fellows) -> Any:
    """A node that has reached itself and refuses connections is gone; one that never reached itself is not."""
    one, two, three = fellows.node("one"), fellows.node("two"), fellows.node("three")
    yield two.renew()
    two.verify()
    yield two.renew(must=True)
    yield three.renew()
    yield one.renew()
    verified, other = one.find(two.me.octets), one.find(three.me.octets)
    assert verified is not None
    assert other is not None
    assert one.refused(verified)
    assert not one.refused(other)
    assert [each.name for each in one.live()] == ["one", "three"]


@pytest_twisted.inlineCallbacks
def test_new_life(fellows: Fellows) -> Any:
    """A node that starts again under its name is alive at once, whatever was noted of its former life."""
    one, two = fellows.node("one"), fellows.node("two")
    yield two.renew()
    two.verify()
    yield two.renew(must=True)
    yield one.renew()
    former = one.find(two.me.octets)
    assert former is not None
    one.refused(former)
    again = fellows.node("two")
    yield again.renew()
    yield one.renew()
    now = one.find(two.me.octets)
    assert now is not None
    assert now.incarnation == again.me.incarnation
    assert one.is_live(now)


@pytest_twisted.inlineCallbacks
def test_name_taken(fellows: Fellows) -> Any:
    """A node whose name another process has taken is no member until that has ended, which warns the other one."""
    first, second, other = fellows.node("one"), fellows.node("one"), fellows.node("two")
    yield first.renew()
    yield second.renew()
    yield first.renew()
    assert first.is_usurped
    assert not first.is_member
    yield first.renew()
    yield other.renew()
    known = other.find(first.me.octets)
    assert known is not None
    assert known.incarnation == second.me.incarnation
    yield second.renew()
    assert (known.rival, second.me.rival) == (first.me.address, first.me.address)
    assert first.me.rival == second.me.address
    yield second.leave()
    yield first.renew()
    assert (first.is_usurped, first.is_member, first.me.rival) == (False, True, "")


@pytest_twisted.inlineCallbacks
def test_states(fellows: Fellows) -> Any:
    """A node that is drained says so and lives; one that has left does not."""
    one, two = fellows.node("one"), fellows.node("two")
    yield two.renew()
    yield two.set_state(DRAINING)
    yield one.renew()
    assert [each.state for each in one.others()] == [DRAINING]
    yield two.leave()
    yield one.renew()
    assert one.others() == []


@pytest_twisted.inlineCallbacks
def test_back(fellows: Fellows) -> Any:
    """A node that could not renew its row for too long is told when it counts again."""
    heard: list[str] = []
    one = fellows.node("one")
    one.on_return.append(lambda: heard.append("back"))
    yield one.renew()
    fellows.now += LIFE_S + 1
    one.look()
    assert heard == []
    yield one.renew()
    assert heard == ["back"]


@pytest_twisted.inlineCallbacks
def test_back_between_looks(fellows: Fellows) -> Any:
    """A node is back, too, if its row ran out and was renewed before it had looked."""
    one, heard = fellows.node("one"), []
    one.on_return.append(lambda: heard.append("back"))
    yield one.renew()
    fellows.now += LIFE_S + 0.5
    yield one.renew()
    assert heard == ["back"]


@pytest_twisted.inlineCallbacks
def test_store_killed() -> Any:
    """Work fails with one error while the store is dead, at once, and works after its return."""
    postgres = Postgres().start()
    store = Store(postgres.database(), reactor)
    heard: list[bool] = []
    store.on_change = heard.append
    try:
        assert (yield store.run(_one)) == 1
        postgres.kill()
        with pytest.raises(StoreLost):
            yield store.run(_one)
        with pytest.raises(StoreLost):
            yield store.run(_one)
        postgres.start()
        yield _later(1.2)
        assert (yield store.run(_one)) == 1
        assert heard == [True, False, True]
    finally:
        store.close()
        postgres.close()


@pytest_twisted.inlineCallbacks
def test_store_restarted(postgres: Postgres, store: str) -> Any:
    """Work whose kept connection the store has closed is run over a new one, unnoticed."""
    made = Store(store, reactor)
    try:
        yield made.run(_one)
        name = store.rpartition("/")[2]
        postgres.query("postgres", ENDED, name)
        assert (yield made.run(_one)) == 1
    finally:
        made.close()


@pytest_twisted.inlineCallbacks
def test_notified(postgres: Postgres, store: str) -> Any:
    """A message of another node arrives without being asked for, also after the connection was lost."""
    made = Store(store, reactor)
    heard: list[str] = []
    try:
        yield made.run(_one)
        made.listen(heard.append)
        yield _until(lambda: made._ear is not None and made._ear._connection is not None)
        postgres.query(store, "NOTIFY mcpgateway, 'first'")
        yield _until(lambda: heard == ["first"])
        name = store.rpartition("/")[2]
        postgres.query("postgres", ENDED, name)
        yield _until(lambda: made._ear is not None and made._ear._connection is None)
        yield made.run(_one)
        made.tick()
        yield _until(lambda: made._ear is not None and made._ear._connection is not None)
        postgres.query(store, "NOTIFY mcpgateway, 'second'")
        yield _until(lambda: heard == ["first", "second"])
    finally:
        made.close()


def _one(cursor: Any) -> int:
    cursor.execute("SELECT 1")
    found: int = cursor.fetchone()[0]
    return found


def _later(seconds: float) -> Deferred[None]:
    done: Deferred[None] = Deferred()
    reactor.callLater(seconds, done.callback, None)  # type: ignore[attr-defined]
    return done


@pytest_twisted.inlineCallbacks
def _until(holds: Any) -> Any:
    for _ in range(600):
        if holds():
            return
        yield _later(0.05)
    raise AssertionError("never")
