"""Tests of nodes of a cluster as whole gateways."""

from __future__ import annotations

from pathlib import Path

from tests.support.cluster import Cluster
from tests.support.gateway import eventually
from tests.support.postgres import Postgres


def test_join(tmp_path: Path, postgres: Postgres, store: str) -> None:
    """A gateway with a store is in its table of nodes while it runs, and says that it has left at its end."""
    cluster = Cluster(tmp_path, store, {})
    try:
        node, _ = cluster.start("a", "b")
        states = "SELECT name, state FROM nodes WHERE until > now() ORDER BY name"
        eventually(lambda: len(postgres.query(store, states)) == 2, "both nodes have joined")
        node.stop()
        assert postgres.query(store, states) == [("b", "serving")]
    finally:
        cluster.close()
