"""Tests of looking after the nodes of a cluster: their list, their drain, and the balancers before them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support import forkserver
from tests.support.cluster import AS_ADMIN, BEARER, LONG, Cluster, Node, cluster_key
from tests.support.gateway import BIN, LIMIT_S, eventually, server
from tests.support.home import Home
from tests.support.ports import free_port
from tests.support.postgres import Postgres

FIXTURE = (sys.executable, "-I", "-S", str(Path(__file__).parents[1] / "servers" / "fixture.py"))
HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
ACCEPT = {"Accept": "application/json, text/event-stream"}

PATH = f"{os.environ['PATH']}:/usr/sbin"


class Reply:
    """An answer of a node.

    :ivar body: decoded from JSON, or of one event; None for none.
    :ivar text: as it came.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes, *, raw: bool = False) -> None:
        self.status, self.headers, self.text = status, headers, body.decode()
        if raw:
            return
        text = body.decode().partition("data: ")[2] if body.startswith((b"event", b"id", b"data")) else body
        self.body: Any = json.loads(text) if text.strip() else None


def asked(
    node: Node,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] = AS_ADMIN,
    *,
    raw: bool = False,
) -> Reply:
    """Ask a node."""
    sent = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(node.url + path, sent, {"Content-Type": "application/json", **headers})
    request.method = method
    try:
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            return Reply(answer.status, answer.headers, answer.read(), raw=raw)
    except urllib.error.HTTPError as refusal:
        return Reply(refusal.code, refusal.headers, refusal.read())


def begun(node: Node, name: str, *, path: str = "") -> str:
    """Begin a session; return its id."""
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}
    return str(
        asked(node, "POST", path or f"/{name}/mcp", message, BEARER | ACCEPT).headers["mcp-session-id"]
    )


def states(node: Node) -> dict[str, str]:
    """The states of the nodes, as one of them has them."""
    return {each["name"]: each["state"] for each in asked(node, "GET", "/api/v1/cluster").body["items"]}


def sessions(node: Node) -> int:
    """The sessions of a node."""
    rows = asked(node, "GET", "/api/v1/cluster").body["items"]
    return int(next(each["sessions"] for each in rows if each["name"] == node.name))


def run(node: Node, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the program on the machine of a node."""
    environ = {"PATH": str(BIN), "HOME": str(node.directory), "LANG": "C.UTF-8"}
    argv = [str(BIN / "mcpgateway"), "--home", str(node.home), *words]
    return forkserver.ran(argv, env=environ, has_ended=False)


@pytest.fixture
def cluster(tmp_path: Path, store: str) -> Iterator[Cluster]:
    """Two nodes with a shared server and one that needs a process for each session."""
    with two_nodes(tmp_path, store) as made:
        yield made


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[Cluster]:
    """Such nodes for tests that drain and end none."""
    with two_nodes(tmp_path_factory.mktemp("calm"), postgres.database()) as made:
        yield made


@contextmanager
def two_nodes(directory: Path, store: str) -> Iterator[Cluster]:
    """Start them, and end them at last."""
    servers = {"fix": server(FIXTURE, share="global"), "own": server(FIXTURE, share="session")}
    made = Cluster(directory, store, servers)
    try:
        made.start("a", "b")
        eventually(lambda: len(states(made.nodes["a"])) == 2, "the nodes know each other")
        yield made
    finally:
        made.close()


def test_list(calm: Cluster) -> None:
    """Each node lists the nodes with their addresses for clients, their versions, their sessions and their starts."""
    a, b = calm.nodes["a"], calm.nodes["b"]
    before = sessions(b)
    begun(b, "fix")
    eventually(lambda: sessions(b) == before + 1, "it counts its own session")
    found = asked(b, "GET", "/api/v1/cluster").body
    assert (found["node"], found["store"], found["member"]) == ("b", "up", True)
    rows = {each["name"]: each for each in found["items"]}
    assert rows["a"]["clients"] == f"127.0.0.1:{a.port}"
    assert rows["a"]["address"] == f"127.0.0.1:{a.cluster_port}"
    assert rows["b"]["sessions"] == before + 1
    printed = run(a, "cluster", "status")
    assert printed.returncode == 0, printed.stderr
    assert "This is node a." in printed.stdout
    assert f"127.0.0.1:{b.port}" in printed.stdout


def test_store_lost(cluster: Cluster, postgres: Postgres) -> None:
    """A node that does not reach the store says since when, and needs its user, until the store is back."""
    node = cluster.nodes["a"]
    before = asked(node, "GET", "/api/v1/overview").body
    assert before["cluster"] == {"node": "a", "store": "up", "nodes": 2, "config": "files"}
    rows = asked(node, "GET", "/api/v1/cluster").body["items"]
    assert all(each["since"] <= each["seen"] <= time.time() + 1 for each in rows)
    postgres.kill()
    try:
        eventually(lambda: asked(node, "GET", "/api/v1/cluster").body["store"] == "lost", "the node knows")
        found = asked(node, "GET", "/api/v1/cluster").body
        began, ends = (datetime.fromisoformat(found[each]) for each in ("lost_since", "tokens_until"))
        assert began <= datetime.now(UTC) < ends
        assert (ends - began).total_seconds() == 600
        (need,) = asked(node, "GET", "/api/v1/overview").body["needs"]
        assert (need["cause"], need["level"], need["actions"][0]["page"]) == (
            "store-lost",
            "error",
            "/ui/nodes",
        )
        assert "mcpgateway cluster status" in run(node, "status").stdout
    finally:
        postgres.start()
    eventually(lambda: not asked(node, "GET", "/api/v1/overview").body["needs"], "the store is back")
    assert "lost_since" not in asked(node, "GET", "/api/v1/cluster").body


@pytest.mark.skipif(
    not shutil.which("haproxy", path=PATH) or not shutil.which("nginx", path=PATH),
    reason="make cluster-tools installs them",
)
def test_balancers(calm: Cluster, tmp_path: Path) -> None:
    """The printed configurations are valid, and name each node with the beginning of its ids."""
    a, b = calm.nodes["a"], calm.nodes["b"]
    prefix = begun(b, "fix")[:6]
    printed = run(a, "cluster", "haproxy")
    assert printed.returncode == 0, printed.stderr
    assert f"use-server b if {{ req.hdr(mcp-session-id) -m beg {prefix} }}" in printed.stdout
    assert f"server b 127.0.0.1:{b.port}" in printed.stdout
    made = tmp_path / "haproxy.cfg"
    made.write_text(printed.stdout)
    haproxy = str(shutil.which("haproxy", path=PATH))
    checked = subprocess.run([haproxy, "-c", "-f", made], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    printed = run(a, "cluster", "nginx")
    assert f'"~^{prefix}" mcpgateway_b;' in printed.stdout
    (tmp_path / "site.conf").write_text(printed.stdout)
    whole = tmp_path / "nginx.conf"
    whole.write_text(
        f"pid {tmp_path}/nginx.pid;\nevents {{}}\nhttp {{\n    include {tmp_path}/site.conf;\n}}\n"
    )
    nginx = str(shutil.which("nginx", path=PATH))
    checked = subprocess.run([nginx, "-t", "-c", whole], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_drain(cluster: Cluster) -> None:
    """A drained node gives its idle sessions up, keeps those with a process of their own, and is not ready."""
    a, b = cluster.nodes["a"], cluster.nodes["b"]
    begun(a, "fix")
    begun(a, "own")
    assert asked(a, "GET", "/readyz", headers={}).status == 200
    printed = run(b, "cluster", "drain", "a")
    assert printed.returncode == 0, printed.stderr
    eventually(lambda: states(b)["a"] == "draining", "the other node knows it")
    refused = asked(a, "GET", "/readyz", headers={})
    assert (refused.status, refused.body) == (503, {"status": "draining"})
    eventually(lambda: sessions(a) == 1, "the idle session is released")
    begun(b, "fix")
    printed = run(b, "cluster", "drain", "a", "--undo")
    assert "takes clients again" in printed.stdout
    eventually(lambda: asked(a, "GET", "/readyz", headers={}).status == 200, "the node is ready again")
    assert states(a)["a"] == "serving"


def test_unknown_node(calm: Cluster) -> None:
    """A node that nobody knows is not drained, and only an administrator drains."""
    a = calm.nodes["a"]
    assert asked(a, "POST", "/api/v1/cluster/drain", {"node": "z"}).status == 404
    assert asked(a, "POST", "/api/v1/cluster/drain", {"node": 1}).status == 400
    assert asked(a, "POST", "/api/v1/cluster/drain", {}, BEARER).status == 401
    assert states(a) == {"a": "serving", "b": "serving"}


def test_init(tmp_path: Path, postgres: Postgres, store: str) -> None:
    """A home becomes a node by one command, which makes the key of the first node, and the gateway joins as it says."""
    home = Home(tmp_path, {"fix": server(FIXTURE)}, has_service=False)
    port = free_port()
    made = home.run("cluster", "init", "--store", store, "--node", "first", "--listen", f"127.0.0.1:{port}")
    assert made.returncode == 0, made.stderr
    assert (home.path / "node.yaml").stat().st_mode & 0o777 == 0o600
    key = (home.path / "cluster.key").read_text().strip()
    assert key not in made.stdout
    again = home.run("cluster", "init", "--store", store, "--node", "first")
    assert (again.returncode, "exists already" in again.stderr) == (1, True)
    rows = postgres.query(store, "SELECT count(*) FROM marks WHERE name = 'key'")
    assert rows == [(1,)]


def test_another_key(tmp_path: Path, store: str) -> None:
    """A home with another key than the cluster's becomes no node, nor one without a key, and nothing is written."""
    first, second = tmp_path / "first", tmp_path / "second"
    homes = []
    for place in (first, second):
        place.mkdir()
        homes.append(Home(place, {}, has_service=False))
    words = ("cluster", "init", "--store", store, "--listen", f"127.0.0.1:{free_port()}")
    assert homes[0].run(*words, "--node", "a").returncode == 0
    refused = homes[1].run(*words, "--node", "b")
    assert (refused.returncode, "copy the key file" in refused.stderr) == (1, True)
    (homes[1].path / "cluster.key").write_text("x" * 40 + "\n")
    (homes[1].path / "cluster.key").chmod(0o600)
    refused = homes[1].run(*words, "--node", "b")
    assert (refused.returncode, "is not the key of the cluster" in refused.stderr) == (1, True)
    assert not (homes[1].path / "node.yaml").exists()
    shutil.copy(homes[0].path / "cluster.key", homes[1].path / "cluster.key")
    joined = homes[1].run(*words, "--node", "b")
    assert joined.returncode == 0, joined.stderr


def test_node_with_another_key(tmp_path: Path, postgres: Postgres, store: str) -> None:
    """A node that starts with another key than the cluster's does not join, and is not ready."""
    cluster = Cluster(tmp_path, store, {})
    try:
        cluster.start("a")
        first = cluster.nodes["a"]
        eventually(lambda: asked(first, "GET", "/api/v1/cluster").body["member"], "the first node has joined")
        eventually(
            lambda: postgres.query(store, "SELECT 1 FROM marks WHERE name = 'key'"), "the key is known"
        )
        cluster.key = cluster_key()
        (b,) = cluster.start("b")
        eventually(lambda: asked(b, "GET", "/readyz", headers={}).status == 503, "it is not ready")
        assert "does not join the cluster" in b.log
        body = asked(b, "GET", "/api/v1/cluster").body
        assert (body["member"], "is not the key of the cluster" in body["refused"]) == (False, True)
        refused = asked(b, "POST", "/api/v1/tokens", {"name": "build"})
        assert (refused.status, "is not the key of the cluster" in refused.body["error"]) == (503, True)
        (overview,) = asked(b, "GET", "/api/v1/overview").body["needs"]
        assert overview["cause"] == "node-refused"
        assert "is not the key of the cluster" in run(b, "cluster", "status").stdout
        assert postgres.query(store, "SELECT name FROM nodes") == [("a",)]
        assert postgres.query(store, "SELECT count(*) FROM documents") == [(0,)]
    finally:
        cluster.close()


def test_one_name(tmp_path: Path, store: str) -> None:
    """Two gateways of one name are told of at both, and the former one is the node again once the later has ended."""
    first, second = Cluster(tmp_path / "one", store, {}), Cluster(tmp_path / "two", store, {})
    second.key = first.key
    try:
        (a,) = first.start("a")
        (b,) = second.start("a")
        for node, which in ((a, "this one"), (b, "that one")):
            eventually(
                lambda node=node: asked(node, "GET", "/api/v1/overview").body["needs"], "it needs its user"
            )
            (need,) = asked(node, "GET", "/api/v1/overview").body["needs"]
            assert (need["cause"], which in need["says"]) == ("name-shared", True)
        assert (
            f"Another gateway, at 127.0.0.1:{a.cluster_port}, is called node a, too"
            in run(b, "cluster", "status").stdout
        )
        assert "two gateways are called node a" in run(b, "doctor").stdout
        assert "is called node a as this one" in b.log
        b.stop()
        eventually(lambda: asked(a, "GET", "/api/v1/cluster").body["member"], "the former one is the node")
        assert "is of this gateway alone again" in a.log
    finally:
        second.close()
        first.close()


def test_last(tmp_path: Path, store: str) -> None:
    """The last node that takes clients is drained only if that is meant."""
    cluster = Cluster(tmp_path, store, {})
    try:
        (a,) = cluster.start("a")
        refused = run(a, "cluster", "drain")
        assert (refused.returncode, "no other node takes clients" in refused.stderr) == (1, True)
        assert "cluster drain a --force" in refused.stderr
        assert asked(a, "GET", "/readyz", headers={}).status == 200
        assert run(a, "cluster", "drain", "--force").returncode == 0
        assert asked(a, "GET", "/readyz", headers={}).status == 503
    finally:
        cluster.close()


def test_telemetry(calm: Cluster) -> None:
    """The numbers of a node tell of its cluster, and its records and events have its name."""
    a = calm.nodes["a"]
    text = asked(a, "GET", "/metrics", raw=True).text
    assert 'mcpgateway_cluster_nodes{state="serving"} 2' in text
    assert "mcpgateway_cluster_store_up 1" in text
    run(calm.nodes["a"], "cluster", "drain", "--undo")
    records = asked(a, "GET", "/api/v1/activity?kind=management").body
    assert {each["node"] for each in records["records"]} == {"a"}
    events = asked(a, "GET", "/api/v1/events?follow=false&kind=cluster.joined", raw=True).text
    assert '"node":"a"' in events


def test_no_client_files(calm: Cluster) -> None:
    """The state and the examination of a node tell of no clients' files, since its clients are elsewhere."""
    a = calm.nodes["a"]
    told = run(a, "status").stdout
    assert "RUNNING" in told
    assert "no client uses" not in told
    found = json.loads(run(a, "doctor", "--json").stdout)["findings"]
    words = {each["id"].partition(".")[0] for each in found}
    assert "cluster" in words
    assert not words & {"clients", "tools", "ledger", "entries", "wiring", "approvals", "claude"}


@LONG
def test_released(cluster: Cluster) -> None:
    """An idle session of a drained node goes on at another one, whichever its client asks, and outlives the stop."""
    a, b = cluster.nodes["a"], cluster.nodes["b"]
    session = begun(a, "fix")
    headers = BEARER | ACCEPT | {"Mcp-Session-Id": session, "MCP-Protocol-Version": "2025-06-18"}

    def lists(node: Node) -> bool:
        message = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        return "result" in asked(node, "POST", "/fix/mcp", message, headers).body

    assert lists(b)
    assert sessions(b) == 0
    assert run(a, "cluster", "drain", "--wait").returncode == 0
    assert sessions(a) == 0
    eventually(lambda: states(b)["a"] == "draining", "the other node knows it")
    assert lists(b)
    assert sessions(b) == 1
    assert lists(a)
    assert sessions(a) == 0
    a.stop()
    assert lists(b)


def test_stop(cluster: Cluster) -> None:
    """A node that stops gives its sessions up before, those with a process of their own, too, and fails no call."""
    a, b = cluster.nodes["a"], cluster.nodes["b"]
    ids = {name: begun(a, name) for name in ("fix", "own")}
    a.stop()
    for name, session in ids.items():
        headers = BEARER | ACCEPT | {"Mcp-Session-Id": session, "MCP-Protocol-Version": "2025-06-18"}
        message = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        assert "result" in asked(b, "POST", f"/{name}/mcp", message, headers).body
    assert sessions(b) == 2
