"""Tests of the accounts at remote servers that the nodes of a cluster share, against a real PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater

from mcpgateway.errors import BackendError
from mcpgateway.system.oauth_tokens import OAuthTokenFiles
from tests.support.cluster_grants import GrantNode, until
from tests.support.postgres import Postgres


@pytest.fixture
def nodes(store: str, tmp_path: Path) -> Any:
    made = [GrantNode.of(store, tmp_path / name) for name in ("one", "two")]
    yield made
    for each in made:
        each.store.close()


@pytest_twisted.inlineCallbacks
def test_reach_others(nodes: list[GrantNode]) -> Any:
    """A grant that one node stores, changes and erases is so at another, which is told of its key."""
    one, two = nodes
    one.grants.write("key", {"grant": 1})
    yield until(lambda: two.tick() or two.grants.read("key") == {"grant": 1})
    assert two.changed[-1]("key")
    assert not two.changed[-1]("another")
    one.grants.write("key", {"grant": 2})
    yield until(lambda: two.grants.read("key") == {"grant": 2})
    assert list(two.grants.every()) == [{"grant": 2}]
    one.grants.erase("key")
    yield until(lambda: two.grants.read("key") == {})


@pytest_twisted.inlineCallbacks
def test_one_at_a_time(nodes: list[GrantNode]) -> Any:
    """While one node renews a grant another waits, and has the renewed one when its turn comes."""
    one, two = nodes
    one.grants.write("key", {"grant": "old"})
    yield until(lambda: two.tick() or two.grants.read("key") == {"grant": "old"})
    end = yield one.grants.turn("key")
    seen: list[Any] = []
    waiting = two.grants.turn("key").addCallback(lambda end: seen.append(two.grants.read("key")) or end())
    yield deferLater(reactor, 0.6)
    assert seen == []
    one.grants.write("key", {"grant": "new"})
    end()
    yield waiting
    assert seen == [{"grant": "new"}]


@pytest_twisted.inlineCallbacks
def test_store_gone(tmp_path: Path) -> Any:
    """Without the store no token is renewed; a sign-in counts at its node, and at the others after the return."""
    postgres = Postgres(synchronous_commit="on").start()
    dsn = postgres.database()
    one, two = GrantNode.of(dsn, tmp_path / "one"), GrantNode.of(dsn, tmp_path / "two")
    try:
        one.tick()
        yield until(lambda: one.documents.is_read)
        postgres.kill()
        with pytest.raises(BackendError, match="store"):
            yield one.grants.turn("key")
        one.grants.write("key", {"grant": 1})
        assert one.grants.read("key") == {"grant": 1}
        postgres.start()
        yield until(lambda: one.tick() or two.tick() or two.grants.read("key") == {"grant": 1})
    finally:
        one.store.close()
        two.store.close()
        postgres.close()


@pytest_twisted.inlineCallbacks
def test_brought(nodes: list[GrantNode], tmp_path: Path) -> Any:
    """A grant of the time before the cluster counts at all nodes, and one that is erased does not come back."""
    one, two = nodes
    OAuthTokenFiles(str(tmp_path / "one")).write("key", {"grant": 1})
    yield until(lambda: one.tick() or two.tick() or two.grants.read("key") == {"grant": 1})
    two.grants.erase("key")
    yield until(lambda: one.grants.read("key") == {})
    one.tick()
    yield until(lambda: two.tick() or two.documents.all("grant") == [])
