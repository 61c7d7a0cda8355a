"""The checks of a node of a cluster."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mcpgateway.cli.doctor.context import DoctorContext
from tests.support.cluster import cluster_key
from tests.support.doctoring import found, ids, is_fine, world, written

TOKENS = {"MCPGATEWAY_AUTH_TOKEN": "a" * 40, "MCPGATEWAY_ADMIN_TOKEN": "b" * 40}


def node(
    tmp_path: Path, store: str, *, more: str = "", environ: dict[str, str] = TOKENS, **parts: Any
) -> DoctorContext:
    """A home of a node with a key, whose settings are in order."""
    looked_at = world(tmp_path, **{"now": time.time(), **parts})
    looked_at.environ = {**looked_at.environ, **environ}
    key = written(looked_at, "cluster.key", cluster_key() + "\n")
    written(
        looked_at,
        "node.yaml",
        f"gateway:\n  cluster: {{store: '{store}', node: a, key_file: '{key}'}}\n",
    )
    written(looked_at, "config.yaml", f"gateway:\n  public_url: https://gateway.example\n{more}")
    return looked_at


def test_alone(tmp_path: Path) -> None:
    """A gateway that is alone has nothing to check."""
    assert is_fine("cluster", world(tmp_path))


def test_good(tmp_path: Path, store: str) -> None:
    """A node with a store, a key, tokens in its environment and a public name is fine."""
    assert is_fine("cluster", node(tmp_path, store))


def test_no_store(tmp_path: Path) -> None:
    """A store that does not answer is a problem."""
    looked_at = node(tmp_path, "postgresql://nobody@127.0.0.1:1/none")
    assert ids("cluster", looked_at) == ["cluster.store"]


def test_key(tmp_path: Path, store: str) -> None:
    """A key that others can read, or another one than the cluster's, is a problem."""
    looked_at = node(tmp_path, store)
    Path(looked_at.in_home("cluster.key")).chmod(0o644)
    assert ids("cluster", looked_at) == ["cluster.key"]
    Path(looked_at.in_home("cluster.key")).chmod(0o600)
    with psycopg.connect(store, autocommit=True) as connection:
        connection.execute("CREATE TABLE marks (name TEXT PRIMARY KEY, value BIGINT NOT NULL)")
        connection.execute("CREATE TABLE nodes (name TEXT, state TEXT, until TIMESTAMPTZ)")
        connection.execute("INSERT INTO marks VALUES ('major', 1), ('minor', 1), ('key', 7)")
    assert ids("cluster", node(tmp_path, store)) == ["cluster.key"]


def test_tables(tmp_path: Path, store: str) -> None:
    """Tables of a newer release are a problem."""
    with psycopg.connect(store, autocommit=True) as connection:
        connection.execute("CREATE TABLE marks (name TEXT PRIMARY KEY, value BIGINT NOT NULL)")
        connection.execute("CREATE TABLE nodes (name TEXT, state TEXT, until TIMESTAMPTZ)")
        connection.execute("INSERT INTO marks VALUES ('major', 99), ('minor', 1)")
    assert ids("cluster", node(tmp_path, store)) == ["cluster.tables"]


def test_clock(tmp_path: Path, store: str) -> None:
    """A clock that differs from that of the store is a problem."""
    (only,) = found("cluster", node(tmp_path, store, now=time.time() - 100))
    assert only.id == "cluster.clock"
    assert "ahead" in only.text


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ("compat:\n  open_loopback_admin: true\n", "cluster.trust"),
        ("settings:\n  security:\n    auth: {enabled: true, trusted_ips: [10.0.0.1]}\n", "cluster.trust"),
        ("servers:\n  x: {command: 'true', env: {A: '${keyring:a/b}'}}\n", "cluster.keyring"),
    ],
)
def test_behind_a_balancer(tmp_path: Path, store: str, more: str, kind: str) -> None:
    """What is of one machine, or of one address, is noted."""
    assert kind in ids("cluster", node(tmp_path, store, more=more))


def test_tokens_and_hosts(tmp_path: Path, store: str) -> None:
    """Tokens from files, and a balancer without a name, are noted."""
    looked_at = node(tmp_path, store, environ={})
    written(looked_at, "config.yaml", "gateway: {}\n")
    assert ids("cluster", looked_at) == ["cluster.tokens", "cluster.hosts"]
