"""Tests of the agreement of nodes: whatever nodes do, a lease has one holder, a session one home, and documents arrive.

The nodes are the real parts of nodes with one real PostgreSQL; clocks are set by the tests.  Each of these changes of
the code was made by hand, and turned the test red:

* ``_taken`` of `mcpgateway.cluster.homes` takes a session whatever its home is (without the comparison of the home
  before ``_TAKE``, and without the condition on ``sessions.home`` in it): `test_nodes` finds a session with two homes.
* ``_TAKE`` of `mcpgateway.cluster.leases` takes a lease before its time is over: `test_nodes` finds two holders.
* ``_NUMBER`` of `mcpgateway.cluster.documents` gives numbers by the clock alone, without the lock of the row that it
  updates: `test_overlap` finds a mirror that had to be read anew.
* ``restore`` of `mcpgateway.cluster.leases` gives the leases of the former program a new time: `test_nodes` finds two
  holders.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import Deferred, succeed

from mcpgateway.cluster import schema
from mcpgateway.cluster.document_files import DocumentFiles
from mcpgateway.cluster.documents import Documents
from mcpgateway.cluster.leases import Lease
from mcpgateway.cluster.membership import Member, Membership, octets_of
from mcpgateway.cluster.sealing import Sealing
from mcpgateway.errors import StoreLost, UnknownSession
from tests.support.agreeing import KEY, BegunSession, Peer, Peers, now
from tests.support.gateway import LIMIT_S, eventually
from tests.support.store_at_once import StoreAtOnce

NODES = st.sampled_from(("a", "b", "c", "d"))
LEASES = ("files", "memory")
DOCUMENTS = st.sampled_from(("one", "two", "three"))
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # to shrink a run of so many steps takes many minutes
EXAMPLES = 200 if os.environ.get("MCPGATEWAY_CLUSTER") == "1" else 4
WAITS = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
TABLES = "TRUNCATE nodes, sessions, documents, leases, places"


class Agreement(RuleBasedStateMachine):
    """Four nodes that die, come back, restart in place, are cut off, and do all that they agree on.

    :cvar store: the store of all runs.
    :cvar directory: a directory for the homes of all runs.
    """

    store: StoreAtOnce
    directory: Path
    runs = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.store.connection.execute(TABLES)
        place = self.directory / str(next(self.runs))
        place.mkdir()
        self.peers = Peers(self.store)
        for at, name in enumerate("abcd"):
            self.peers.every[name] = Peer(name, self.store, place, 1e5 * at)
        self.sessions: list[BegunSession] = []
        self.bodies: dict[str, bytes] = {}
        self.fences: dict[str, int] = dict.fromkeys(LEASES, 0)
        self.settle()

    def _node(self, name: str) -> Peer | None:
        found = self.peers.every[name]
        return found if found.is_alive else None

    @rule(name=NODES)
    def tick(self, name: str) -> None:
        """A node renews its row and its leases, reads documents, and writes what it owes."""
        node = self._node(name)
        if node is not None:
            node.tick()

    @rule(seconds=st.sampled_from((1.0, 4.9, 10.0, 14.9, 15.0, 55.0, 60.0)))
    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.peers.pass_(seconds)

    @rule(rounds=st.integers(1, 4))
    def go_on(self, rounds: int) -> None:
        """Time passes, and nodes do what they do meanwhile."""
        for _ in range(rounds):
            self.peers.pass_(5.0)
            for each in self.peers.live():
                each.tick()

    @rule(name=NODES)
    def kill(self, name: str) -> None:
        """A node ends with its processes."""
        self.peers.every[name].kill()

    @rule(name=NODES)
    def begin(self, name: str) -> None:
        """A node that has ended begins again."""
        if self._node(name) is None and not self.peers.every[name].is_restarting:
            self.peers.every[name] = node = self.peers.every[name].reborn()
            node.tick()

    @rule(name=NODES)
    def leave(self, name: str) -> None:
        """The former program of a restart in place ends."""
        node = self._node(name)
        if node is not None and node.membership.may_go_on:
            node.leave()

    @rule(name=NODES)
    def resume(self, name: str) -> None:
        """The next program of a restart in place begins, after any time."""
        if self.peers.every[name].is_restarting:
            self.peers.every[name] = self.peers.every[name].resumed()

    @rule(name=NODES, is_cut=st.booleans())
    def cut(self, name: str, is_cut: bool) -> None:  # noqa: FBT001 - drawn
        """A node loses its way to the store, or has it again."""
        self.peers.every[name].way.is_cut = is_cut

    @rule(is_cut=st.booleans())
    def lose_store(self, is_cut: bool) -> None:  # noqa: FBT001 - drawn
        """The store goes or comes."""
        for each in self.peers.every.values():
            each.way.is_cut = is_cut

    @rule(name=NODES)
    def begin_session(self, name: str) -> None:
        """A client begins a session."""
        node = self._node(name)
        if node is not None and len(self.sessions) < 6:
            self.sessions.append(node.begin_session(os.urandom(16)))

    @precondition(lambda self: self.sessions)
    @rule(name=NODES, nth=st.integers(0, 5))
    def ask(self, name: str, nth: int) -> None:
        """A request of a session arrives at a node."""
        node, session = self._node(name), self.sessions[nth % len(self.sessions)]
        if node is not None:
            self._served(session, node)

    def _served(self, session: BegunSession, node: Peer) -> Peer | None:
        try:
            found = self.peers.served(session, node)
        except UnknownSession:
            assert session.is_ended
            return None
        if found is not None and found.membership.is_member and not found.way.is_cut:
            assert not session.is_ended
        return found

    @precondition(lambda self: self.sessions)
    @rule(nth=st.integers(0, 5))
    def end_session(self, nth: int) -> None:
        """A session ends at its home, which can write that down."""
        session = self.sessions[nth % len(self.sessions)]
        for node in self.peers.live():
            if node.serves(session) and not node.way.is_cut:
                node.sessions.end(session.issued.serial, session.issued.issued)
                now(node.sessions.flush())
                session.is_ended = True
                return

    @rule(name=NODES, document=DOCUMENTS, removes=st.booleans())
    def write(self, name: str, document: str, removes: bool) -> None:  # noqa: FBT001 - drawn
        """A node writes or removes a document."""
        node, body = self._node(name), os.urandom(8)
        if node is None:
            return
        try:
            now(
                node.documents.remove("file", document)
                if removes
                else node.documents.put("file", document, body)
            )
        except StoreLost:
            return
        if removes:
            self.bodies.pop(document, None)
        else:
            self.bodies[document] = body

    @rule(name=NODES, document=DOCUMENTS)
    def replace(self, name: str, document: str) -> None:
        """A node that has read all replaces a document; two such writes never both count."""
        node, body = self._node(name), os.urandom(8)
        if node is None or node.way.is_cut:
            return
        node.documents.read()
        known = node.documents.get("file", document)
        number = known.number if known is not None else 0
        now(node.documents.replace("file", document, body, number))
        with pytest.raises(Exception, match="meanwhile"):
            now(node.documents.replace("file", document, b"late", number))
        self.bodies[document] = body

    @rule(name=NODES, lease=st.sampled_from(LEASES))
    def want(self, name: str, lease: str) -> None:
        """A node wants a lease."""
        node = self._node(name)
        if node is None:
            return
        known = node.leases.find(lease)
        try:
            found = now(node.leases.want(lease))
        except StoreLost:
            return
        if isinstance(found, Lease) and found is not known:
            assert found.fence > self.fences[lease]
            self.fences[lease] = found.fence

    @rule(name=NODES, lease=st.sampled_from(LEASES))
    def release(self, name: str, lease: str) -> None:
        """A node gives a lease up."""
        node = self._node(name)
        held = node.leases.find(lease) if node is not None else None
        if node is not None and held is not None:
            now(node.leases.release(held))

    @rule()
    def settle(self) -> None:
        """All nodes that live reach the store and go on: they agree on everything."""
        for name, each in self.peers.every.items():
            each.way.is_cut = False
            self.resume(name)
        for _ in range(2):
            for each in self.peers.live():
                each.tick()
        for each in self.peers.live():
            found = {one.name: one.body for one in each.documents.all("file")}
            assert found == self.bodies
        for session in self.sessions:
            homes = [self._served(session, each) for each in self.peers.live()]
            assert len(set(homes)) <= 1
            assert session.is_ended or None not in homes

    @invariant()
    def one_holder(self) -> None:
        """At most one node counts itself as the holder of a lease."""
        for name in LEASES:
            assert sum(each.leases.find(name) is not None for each in self.peers.live()) <= 1

    @invariant()
    def one_home(self) -> None:
        """Of the nodes that count as members at most one serves a session, and the store names no other one."""
        for session in self.sessions:
            serving = [each for each in self.peers.live() if each.serves(session)]
            assert len(serving) <= 1
            row = self.store.connection.execute(
                "SELECT home FROM sessions WHERE serial = %s", (session.issued.serial,)
            ).fetchone()
            if serving and row is not None:
                assert bytes(row[0]) == serving[0].membership.me.octets


@pytest.fixture
def at_once(store: str) -> Iterator[StoreAtOnce]:
    made = StoreAtOnce(store)
    yield made
    made.close()


def test_nodes(at_once: StoreAtOnce, tmp_path: Path) -> None:
    """Whatever nodes do: never two holders, never two homes, and every document reaches every live node."""
    machine = type("Agreement", (Agreement,), {"store": at_once, "directory": tmp_path})
    deep = settings(
        max_examples=EXAMPLES,
        stateful_step_count=50,
        deadline=None,
        phases=PHASES,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=deep)


def test_restarts(at_once: StoreAtOnce, tmp_path: Path) -> None:
    """A session that was taken over stays there when the node that has begun it is back, and when nodes restart."""
    peers = Peers(at_once)
    for at, name in enumerate("abc"):
        peers.every[name] = Peer(name, at_once, tmp_path, 1e5 * at)

    def all_tick() -> None:
        for _ in range(2):
            for each in peers.live():
                each.tick()

    def restart(name: str) -> None:
        peers.every[name].kill()
        peers.every[name] = peers.every[name].reborn()
        all_tick()

    def homes() -> set[str]:
        found = [peers.served(session, each) for each in peers.live()]
        return {each.name if each is not None else "" for each in found}

    all_tick()
    session = peers.every["a"].begin_session(os.urandom(16))
    all_tick()
    peers.every["a"].kill()
    assert peers.served(session, peers.every["c"]) is peers.every["c"]
    peers.every["a"] = peers.every["a"].reborn()
    all_tick()
    assert homes() == {"c"}
    restart("c")
    assert homes() == {"c"}
    restart("a")
    restart("c")
    assert homes() == {"c"}


class Connection:
    """A connection of its own, whose commit waits for the test.

    :ivar may_commit: set where the next transactions may commit.
    """

    is_up = True

    def __init__(self, dsn: str) -> None:
        self.may_commit = threading.Event()
        self.may_commit.set()
        self.is_waiting = threading.Event()
        self._connection = psycopg.connect(dsn, autocommit=True)

    def run(self, work: Callable[[Any], Any]) -> Deferred[Any]:
        """Run work in a transaction."""
        with self._connection.transaction(), self._connection.cursor() as cursor:
            result = work(cursor)
            self.is_waiting.set()
            assert self.may_commit.wait(LIMIT_S)
        return succeed(result)

    def close(self) -> None:
        """Close it."""
        self._connection.close()


class NeverAnew(Documents):
    """A mirror that has to follow the store by numbers alone."""

    def _anew(self, found: Any, number: int) -> Deferred[None]:
        raise AssertionError("a number was missed")


def test_overlap(store: str, tmp_path: Path) -> None:
    """A write whose commit comes late is missed by no mirror, although another one began after it."""
    made: list[Connection] = []
    watch = psycopg.connect(store, autocommit=True)
    schema.create(watch.cursor())

    def ended_or_waits(thread: threading.Thread) -> bool:
        return not thread.is_alive() or watch.execute(WAITS).fetchone() is not None

    def mirror(name: str) -> tuple[Connection, Documents]:
        connection: Any = Connection(store)
        made.append(connection)
        member = Member(name, octets_of(name), "1", f"{name}:1")
        home = tmp_path / name
        home.mkdir()
        files = DocumentFiles(str(home), lambda: 0.0)
        return connection, NeverAnew(
            connection, Membership(connection, member, lambda: 0.0), Sealing((KEY,)), files, lambda: 0.0
        )

    slow, first = mirror("slow")
    _, second = mirror("fast")
    _, reader = mirror("reader")
    try:
        for at in range(5):
            slow.may_commit.clear()
            slow.is_waiting.clear()
            late = threading.Thread(target=first.put, args=("file", f"late{at}", b"late"))
            late.start()
            assert slow.is_waiting.wait(LIMIT_S)
            other = threading.Thread(target=second.put, args=("file", f"other{at}", b"other"))
            other.start()
            # It waits for the first one's commit, or has ended if nothing holds it.
            eventually(partial(ended_or_waits, other), "the second write waits or is done")
            reader.read()
            slow.may_commit.set()
            late.join(LIMIT_S)
            other.join(LIMIT_S)
            reader.read()
            found = {each.name for each in reader.all("file")}
            assert {f"late{at}", f"other{at}"} <= found
    finally:
        for each in made:
            each.may_commit.set()
            each.close()
        watch.close()
