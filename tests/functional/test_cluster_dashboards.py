"""Tests of the dashboards that are signed in at the nodes of a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import ADMIN, Cluster
from tests.support.cluster_requests import ask, joined
from tests.support.gateway import eventually
from tests.support.postgres import Postgres

SESSIONS = "/api/v1/ui/sessions"


@pytest.fixture
def cluster(tmp_path: Path, store: str) -> Iterator[Cluster]:
    made = Cluster(tmp_path, store, {}, settings={"ui": True})
    yield made
    made.close()


def test_signed_in_everywhere(cluster: Cluster, postgres: Postgres, store: str) -> None:
    """A dashboard that signs in at one node is signed in at all, also after their restart, until it is signed out."""
    a, b = cluster.start("a", "b")
    joined(postgres, store, 2)
    made = ask(a, "POST", SESSIONS, {"secret": ADMIN}).json
    bearer = {"Authorization": f"Bearer {made['token']}"}
    eventually(lambda: len(ask(b, "GET", SESSIONS).json["items"]) == 1, "b knows of it")
    assert [ask(node, "GET", "/api/v1/config", headers=bearer).status for node in (a, b)] == [200, 200]
    b.stop()
    b.start()
    assert ask(b, "GET", "/api/v1/config", headers=bearer).status == 200
    assert ask(b, "DELETE", f"{SESSIONS}/{made['id']}").status == 200
    eventually(lambda: ask(a, "GET", SESSIONS).json["items"] == [], "a knows that it is signed out")
    assert [ask(node, "GET", "/api/v1/config", headers=bearer).status for node in (a, b)] == [401, 401]
    (body,) = postgres.query(store, "SELECT body FROM documents WHERE kind = 'dashboard'")
    assert made["token"].encode() not in bytes(body[0])
