"""Tests of agents' tokens on the nodes of a cluster."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.client import IncompleteRead
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import AS_ADMIN, Cluster, Node
from tests.support.gateway import LIMIT_S, eventually
from tests.support.postgres import Postgres

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


@pytest.fixture
def cluster(tmp_path: Path, store: str) -> Iterator[Cluster]:
    made = Cluster(tmp_path, store, {})
    yield made
    made.close()


def ask(
    node: Node, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """Send a request to a node; return the status and the JSON of the answer."""
    data = None if body is None else json.dumps(body).encode()
    given = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    asked = urllib.request.Request(
        f"{node.url}{path}", data, {**given, **(AS_ADMIN if headers is None else headers)}, method=method
    )
    try:
        with urllib.request.urlopen(asked, timeout=LIMIT_S) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.loads(refusal.read() or b"null")


def tried(node: Node, token: str) -> int:
    """Return the status of a first request of a client with a token."""
    return ask(node, "POST", "/mcp/full", INITIALIZE, {"Authorization": f"Bearer {token}"})[0]


def joined(postgres: Postgres, store: str, number: int) -> None:
    """Wait until so many nodes know each other."""
    statement = "SELECT count(*) FROM nodes WHERE until > now() AND read > 0"
    eventually(lambda: postgres.query(store, statement)[0][0] == number, "the nodes have joined")


def test_count_everywhere(cluster: Cluster, postgres: Postgres, store: str) -> None:
    """A token that is made at one node counts at all once the answer says so, and is refused once it is revoked."""
    a, b = cluster.start("a", "b")
    ask(a, "POST", "/api/v1/tokens", {"name": "first"})
    joined(postgres, store, 2)
    status, made = ask(a, "POST", "/api/v1/tokens", {"name": "build"})
    assert status == 201
    assert (made["counts_on"], made["unknown"]) == (["a", "b"], [])
    assert (tried(a, made["token"]), tried(b, made["token"])) == (200, 200)
    status, again = ask(b, "POST", "/api/v1/tokens", {"name": "build"})
    assert (status, "already" in again["error"]) == (400, True)
    status, gone = ask(b, "DELETE", f"/api/v1/tokens/{made['id']}")
    assert (status, gone["counts_on"], gone["unknown"]) == (200, ["a", "b"], [])
    assert (tried(a, made["token"]), tried(b, made["token"])) == (401, 401)
    assert [each["name"] for each in ask(a, "GET", "/api/v1/tokens")[1]["tokens"]] == ["first"]
    bodies = postgres.query(store, "SELECT body FROM documents")
    assert not any(made["token"].encode() in bytes(body) for (body,) in bodies)


def test_streams_end(cluster: Cluster, postgres: Postgres, store: str) -> None:
    """An open stream at one node ends when its token is revoked at another."""
    a, b = cluster.start("a", "b")
    _, made = ask(a, "POST", "/api/v1/tokens", {"name": "build"})
    joined(postgres, store, 2)
    eventually(lambda: tried(b, made["token"]) == 200, "the token counts")
    bearer = {"Authorization": f"Bearer {made['token']}"}
    asked = urllib.request.Request(
        f"{b.url}/mcp/full", json.dumps(INITIALIZE).encode(), {"Content-Type": "application/json", **bearer}
    )
    with urllib.request.urlopen(asked, timeout=LIMIT_S) as answer:
        session = answer.headers["Mcp-Session-Id"]
    heard = urllib.request.Request(
        f"{b.url}/mcp/full", headers={"Accept": "text/event-stream", "Mcp-Session-Id": session, **bearer}
    )
    with urllib.request.urlopen(heard, timeout=LIMIT_S) as stream:
        ask(a, "DELETE", f"/api/v1/tokens/{made['id']}")
        with suppress(ConnectionResetError, IncompleteRead):
            stream.read()


def test_store_gone(tmp_path: Path) -> None:
    """Without the store known tokens count for a while, none is made or revoked; then the node is not ready."""
    postgres = Postgres(synchronous_commit="on").start()
    cluster = Cluster(tmp_path, postgres.database(), {})
    try:
        a = cluster.add("a", cluster={"store_lost": "6s"}).start()
        eventually(lambda: ask(a, "POST", "/api/v1/tokens", {"name": "x"})[0] != 503, "the store is there")
        _, made = ask(a, "POST", "/api/v1/tokens", {"name": "build"})
        postgres.kill()
        assert tried(a, made["token"]) == 200
        status, refused = ask(a, "DELETE", f"/api/v1/tokens/{made['id']}")
        assert (status, "store" in refused["error"]) == (503, True)
        assert ask(a, "POST", "/api/v1/tokens", {"name": "other"})[0] == 503
        eventually(lambda: "agents' tokens are refused" in a.log, "the node knows no more which are valid")
        assert tried(a, made["token"]) == 401
        assert ask(a, "GET", "/readyz")[0] == 503
        postgres.start()
        eventually(lambda: "agents' tokens count again" in a.log, "the node knows")
        assert tried(a, made["token"]) == 200
        assert ask(a, "GET", "/readyz")[0] == 200
    finally:
        cluster.close()
        postgres.close()


def test_brought(cluster: Cluster, postgres: Postgres, store: str) -> None:
    """The tokens that a home has had before its gateway became a node count at all nodes, and stay revoked later."""
    a = cluster.add("a")
    settings = json.loads(a.config.read_text())["gateway"]["cluster"]
    a.edit(cluster={})
    a.start()
    _, made = ask(a, "POST", "/api/v1/tokens", {"name": "before"})
    a.stop()
    a.edit(cluster=settings)
    a.start()
    (b,) = cluster.start("b")
    eventually(lambda: tried(b, made["token"]) == 200, "the token counts at the other node")
    ask(b, "DELETE", "/api/v1/tokens/before")
    a.stop()
    a.start()
    eventually(lambda: postgres.query(store, "SELECT 1 FROM documents WHERE gone") != [], "it is revoked")
    eventually(lambda: tried(a, made["token"]) == 401, "the token is refused")


def test_soon(cluster: Cluster, postgres: Postgres, store: str) -> None:
    """A revocation has reached all live nodes when its answer comes."""
    nodes = cluster.start("a", "b", "c")
    ask(nodes[0], "POST", "/api/v1/tokens", {"name": "first"})
    joined(postgres, store, 3)
    for index in range(3):
        _, made = ask(nodes[0], "POST", "/api/v1/tokens", {"name": f"n{index}"})
        _, gone = ask(nodes[1], "DELETE", f"/api/v1/tokens/{made['id']}")
        assert gone["unknown"] == []
        assert [tried(node, made["token"]) for node in nodes] == [401] * 3
