"""Tests of the documents of a cluster, against a real PostgreSQL."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.task import deferLater

from mcpgateway.cluster import documents
from mcpgateway.cluster.counts_on import Acknowledgements
from mcpgateway.cluster.document_files import DocumentFiles
from mcpgateway.cluster.documents import DocumentChange, Documents, OtherDocument
from mcpgateway.cluster.membership import Membership
from mcpgateway.cluster.sealing import Sealing
from mcpgateway.cluster.store import Store
from mcpgateway.errors import StoreLost
from tests.support.postgres import Postgres, programs

KEY, OTHER = bytes(32), bytes(range(32))


class Mirrors:
    """Nodes of one store, in this process."""

    def __init__(self, store: str, directory: Path) -> None:
        self._store, self._directory = store, directory
        self.stores: list[Store] = []
        self.members: dict[str, Membership] = {}

    def add(self, name: str, *keys: bytes, listens: bool = True) -> Documents:
        """Make a node with its mirror."""
        store = Store(self._store, reactor)
        self.stores.append(store)
        self.members[name] = Membership.named(store, name, f"127.0.0.1:{9000 + len(self.stores)}", ())
        home = self._directory / name
        home.mkdir(exist_ok=True)
        made = Documents(
            store, self.members[name], Sealing(keys or (KEY,)), DocumentFiles(str(home), reactor.seconds)
        )
        if listens:
            store.listen(made.heard)
        return made

    def close(self) -> None:
        """End all nodes."""
        for each in self.stores:
            each.close()


@pytest.fixture
def mirrors(store: str, tmp_path: Path) -> Any:
    made = Mirrors(store, tmp_path)
    yield made
    made.close()


@pytest_twisted.inlineCallbacks
def test_reach_others(mirrors: Mirrors) -> Any:
    """A document that one node writes, changes and removes is read by another, which is told of each change."""
    one, two = mirrors.add("one"), mirrors.add("two")
    heard: list[tuple[str, bytes, bool]] = []
    two.subscribe(
        "token", lambda changed: heard.extend((each.name, each.body, each.is_gone) for each in changed)
    )
    yield one.put("token", "a", b"first")
    yield one.put("file", "a", b"of another kind")
    two.read()
    yield until(lambda: two.get("file", "a") is not None)
    made = yield one.put("token", "a", b"second")
    two.heard(f"documents {made.number}")
    yield until(lambda: two.number == made.number)
    gone = yield one.remove("token", "a")
    two.tick()
    yield until(lambda: two.number == gone.number)
    assert heard == [("a", b"first", False), ("a", b"second", False), ("a", b"", True)]
    assert (one.get("token", "a"), two.all("token")) == (None, [])


@pytest_twisted.inlineCallbacks
def test_compare_and_set(mirrors: Mirrors) -> Any:
    """Of two nodes that replace the same version one succeeds; the other learns the document of that one."""
    one, two = mirrors.add("one"), mirrors.add("two")
    first = yield one.replace("file", "config.yaml", b"0", 0)
    done = yield one.replace("file", "config.yaml", b"1", first.number)
    with pytest.raises(OtherDocument) as found:
        yield two.replace("file", "config.yaml", b"2", first.number)
    other = found.value.document
    assert (other.body, other.writer, other.number) == (b"1", "one", done.number)
    yield two.replace("file", "config.yaml", b"2", other.number)
    with pytest.raises(OtherDocument):
        yield one.replace("file", "config.yaml", b"new", 0)


@pytest_twisted.inlineCallbacks
def test_removed_meanwhile(mirrors: Mirrors) -> Any:
    """A document that was removed is not replaced, but may be made anew."""
    one = mirrors.add("one")
    made = yield one.put("file", "a", b"1")
    yield one.remove("file", "a", made.number)
    with pytest.raises(OtherDocument) as found:
        yield one.replace("file", "a", b"2", made.number)
    assert found.value.document.is_gone
    yield one.replace("file", "a", b"2", 0)
    assert one.get("file", "a").body == b"2"


@pytest_twisted.inlineCallbacks
def test_all_or_none(mirrors: Mirrors, postgres: Postgres, store: str) -> Any:
    """Of several changes at once none is made where one does not fit."""
    one = mirrors.add("one")
    with pytest.raises(OtherDocument):
        yield one.write(DocumentChange("file", "a", b"1", 0), DocumentChange("file", "b", b"1", 7))
    assert postgres.query(store, "SELECT count(*) FROM documents") == [(0,)]


@pytest_twisted.inlineCallbacks
def test_many_at_once(mirrors: Mirrors) -> Any:
    """Changes that several nodes make at the same time all reach each of them, more than one answer holds."""
    nodes = [mirrors.add(name) for name in ("one", "two", "three")]
    written = [
        node.write(*(DocumentChange("token", f"{index} {n} {m}", b"x" * m) for m in range(20)))
        for n in range(5)
        for index, node in enumerate(nodes)
    ]
    yield gatherResults(written)
    late = mirrors.add("late")
    for node in (*nodes, late):
        node.read()
    yield until(lambda: all(len(node.all("token")) == 300 for node in (*nodes, late)))
    numbers = [each.number for each in late.all("token")]
    assert len(set(numbers)) == 300


@pytest_twisted.inlineCallbacks
def test_store_killed(tmp_path: Path) -> Any:
    """Without the store nothing is written; a node that starts then has its copy, and reads on after the return."""
    postgres = Postgres(synchronous_commit="on").start()
    mirrors = Mirrors(postgres.database(), tmp_path)
    try:
        one = mirrors.add("one")
        yield one.put("token", "a", b"1")
        yield one.put("token", "b", b"1")
        yield one.remove("token", "b")
        postgres.kill()
        with pytest.raises(StoreLost):
            yield one.put("token", "c", b"1")
        again = mirrors.add("one")
        assert [each.name for each in again.all("token")] == ["a"]
        postgres.start()
        two = mirrors.add("two")
        made = yield two.put("token", "c", b"1")
        yield until(lambda: again.tick() or again.number == made.number)
        assert [each.name for each in again.all("token")] == ["a", "c"]
    finally:
        mirrors.close()
        postgres.close()


@pytest_twisted.inlineCallbacks
def test_restored(mirrors: Mirrors, postgres: Postgres, store: str) -> Any:
    """After a backup is restored all nodes have its documents, and new numbers repeat none of those given since."""
    one, two = mirrors.add("one"), mirrors.add("two")
    yield one.put("token", "kept", b"1")
    yield one.put("token", "removed", b"1")
    kept = _dumped(store)
    yield one.remove("token", "removed")
    yield one.put("token", "kept", b"2")
    last = yield one.put("token", "made", b"1")
    two.read()
    yield until(lambda: two.number == last.number)
    told: list[str] = []
    two.subscribe("token", lambda changed: told.extend(f"{each.name} {each.is_gone}" for each in changed))
    _restored(store, kept)
    two.read()
    yield until(
        lambda: [(each.name, each.body) for each in two.all("token")] == [("kept", b"1"), ("removed", b"1")]
    )
    assert sorted(told) == ["kept False", "made True", "removed False"]
    since = yield one.put("token", "since", b"1")
    assert since.number > last.number
    one.read()
    two.read()
    yield until(lambda: len(two.all("token")) == len(one.all("token")) == 3)


@pytest_twisted.inlineCallbacks
def test_key_replaced(mirrors: Mirrors, postgres: Postgres, store: str) -> Any:
    """A node with a newer key reads what the former has sealed, and seals it anew; its number stays."""
    one = mirrors.add("one", KEY)
    made = yield one.put("token", "a", b"secret body")
    two = mirrors.add("two", OTHER, KEY)
    two.tick()
    yield until(lambda: two.get("token", "a") is not None)
    two.tick()
    yield until(lambda: not two._sealed)
    three = mirrors.add("three", OTHER)
    three.tick()
    yield until(lambda: three.get("token", "a") is not None)
    assert three.get("token", "a").number == made.number
    assert b"secret body" not in bytes(postgres.query(store, "SELECT body FROM documents")[0][0])


@pytest_twisted.inlineCallbacks
def test_unknown_key(mirrors: Mirrors) -> Any:
    """A node without the key of a document has none, says so, and does not replace it unseen."""
    one, two = mirrors.add("one", KEY), mirrors.add("two", OTHER)
    yield one.put("token", "a", b"1")
    two.tick()
    yield until(lambda: two.is_closed("token", "a"))
    assert two.get("token", "a") is None


@pytest_twisted.inlineCallbacks
def test_counts_on(mirrors: Mirrors) -> Any:
    """A change counts on the nodes that have read it; of the others it is not known."""
    one, two = mirrors.add("one"), mirrors.add("two", listens=False)
    for each in mirrors.members.values():
        yield each.renew(must=True)
    yield mirrors.members["one"].renew(must=True)
    made = yield one.put("token", "a", b"1")
    one.read()
    waiting = Acknowledgements(mirrors.stores[0], mirrors.members["one"], reactor)
    found = yield waiting.wait(made.number)
    assert (found.nodes, found.unknown) == (("one",), ("two",))
    two.read()
    found = yield waiting.wait(made.number)
    assert (found.nodes, found.unknown) == (("one", "two"), ())


def test_private_copy(tmp_path: Path) -> None:
    """Only the node's user can enter the directory of the local copy."""
    files = DocumentFiles(str(tmp_path), lambda: 0.0)
    files.write(("token", "a"), 1, b"sealed", "one")
    folder = tmp_path / "cluster" / "documents"
    assert (folder.stat().st_mode & 0o777, folder.parent.stat().st_mode & 0o777) == (0o700, 0o700)
    assert list(files.read()) == [("token", "a", 1, b"sealed", "one")]


@pytest_twisted.inlineCallbacks
def until(holds: Any) -> Any:
    """Wait until something holds."""
    for _ in range(1200):  # a minute: PostgreSQL of a busy machine takes its time
        if holds():
            return
        yield deferLater(reactor, 0.05)
    raise AssertionError("never")


def _dumped(store: str) -> bytes:
    return subprocess.run(
        [str(programs() / "pg_dump"), "--clean", "--if-exists", store],
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout


def _restored(store: str, dump: bytes) -> None:
    subprocess.run(
        [str(programs() / "psql"), "-q", "-v", "ON_ERROR_STOP=1", store],
        input=dump,
        capture_output=True,
        check=True,
        timeout=60,
        env={**os.environ},
    )


@pytest_twisted.inlineCallbacks
def test_polls_of_many(mirrors: Mirrors, postgres: Postgres, store: str) -> Any:
    """Among 200 live nodes each asks every seven seconds, so that all of them ask 30 times a second at most."""
    one = mirrors.add("one", listens=False)
    members = mirrors.members["one"]
    yield members.renew(must=True)
    postgres.query(
        store,
        "INSERT INTO nodes (name, octets, incarnation, address, version, state, since, until)"
        " SELECT 'n' || i, int4send(i), 'x', 'h:1', '1', 'serving', now(), now() + interval '1 minute'"
        " FROM generate_series(1, 199) i",
    )
    yield members.renew(must=True)
    one.read()
    yield until(lambda: one.is_read and not one._is_reading)
    asked = 0
    for _ in range(42):
        one.tick()
        asked += one._is_reading
        yield until(lambda: not one._is_reading)
    assert asked == 6


@pytest_twisted.inlineCallbacks
def test_in_order(mirrors: Mirrors, store: str) -> Any:
    """A change waits while another one has a number and is not visible yet, so that no reader goes past that."""
    one, two = mirrors.add("one"), mirrors.add("two")
    yield one.put("token", "first", b"1")
    with psycopg.connect(store) as other:
        (number,) = other.execute(documents._NUMBER).fetchone()  # type: ignore[misc]
        sealed = Sealing((KEY,)).seal("token", "slow", b"1")
        other.execute(documents._WRITE, ("token", "slow", number, sealed, False, "other x"))
        fired: list[Any] = []
        writing = one.put("token", "fast", b"1").addCallback(fired.append)
        yield deferLater(reactor, 0.5)
        two.read()
        yield until(lambda: two.get("token", "first") is not None)
        assert (fired, two.get("token", "fast")) == ([], None)
        other.commit()
    yield writing
    assert fired[0].number > number
    yield until(lambda: two.tick() or len(two.all("token")) == 3)
