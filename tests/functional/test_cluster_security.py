"""Tests of modern clients at several nodes, of TLS between nodes, and of the work that calls make for the store."""

from __future__ import annotations

import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import conformance
from tests.support.certificates import Authority
from tests.support.cluster import LONG, Answer, Client, Cluster, Node, ask, known
from tests.support.gateway import eventually, server
from tests.support.modern_client import PREFIX, TASKS, headers_of, meta, request
from tests.support.postgres import Postgres

FIXTURE = (sys.executable, "-I", "-S", str(Path(__file__).parents[1] / "servers" / "fixture.py"))
SERVERS = {
    "own": server(FIXTURE, share="session"),
    "shared": server(FIXTURE),
    "slow": server(conformance.server("modern")),
}
CAPABLE = {PREFIX + "clientCapabilities": {"elicitation": {"form": {}}, "extensions": {TASKS: {}}}}


@pytest.fixture
def cluster(tmp_path: Path, store: str) -> Iterator[Cluster]:
    """Nodes with the fixture server."""
    made = Cluster(tmp_path, store, SERVERS)
    try:
        yield made
    finally:
        made.close()


def modern(node: Node, identifier: int, method: str, path: str = "/shared/mcp", **params: Any) -> Answer:
    """Send a request of the modern era to a node."""
    body = request(identifier, method, meta(**CAPABLE), **params)
    return ask(node, "POST", path, body, headers_of(body))


def test_request_state(cluster: Cluster, postgres: Postgres) -> None:
    """The answers to the questions of a modern call find the node that holds the call, and one that is gone is told."""
    a, b = known(cluster.start("a", "b"), postgres)
    asked = {"mode": "form", "message": "m", "requestedSchema": {"type": "object", "properties": {}}}
    call = {"name": "ask", "arguments": {"method": "elicitation/create", "params": asked}}
    first = modern(a, 1, "tools/call", **call).messages[-1]["result"]
    assert first["resultType"] == "input_required"
    answers = {key: {"action": "decline"} for key in first["inputRequests"]}
    done = modern(b, 2, "tools/call", **call, inputResponses=answers, requestState=first["requestState"])
    assert "decline" in str(done.messages[-1]["result"]), done.messages
    second = modern(a, 3, "tools/call", **call).messages[-1]["result"]
    a.kill()
    late = modern(b, 4, "tools/call", **call, inputResponses=answers, requestState=second["requestState"])
    assert late.status in {200, 400, 503}
    assert "error" in late.messages[-1] or late.messages[-1]["result"]["resultType"] == "input_required"


def test_tasks(cluster: Cluster, postgres: Postgres) -> None:
    """A task that a modern client has begun at one node is seen and cancelled through the other."""
    a, b = known(cluster.start("a", "b"), postgres)
    path = "/slow/mcp"
    call = {"name": "slow_compute", "arguments": {"seconds": 600}}
    begun = modern(a, 1, "tools/call", path, **call).messages[-1]["result"]
    assert begun["resultType"] == "task"
    task = begun["taskId"]
    for node in (b, a, b):
        seen = modern(node, 2, "tasks/get", path, taskId=task).messages[-1]
        assert seen["result"]["status"] == "working", seen
    assert "result" in modern(b, 3, "tasks/cancel", path, taskId=task).messages[-1]
    assert modern(a, 4, "tasks/get", path, taskId=task).messages[-1]["result"]["status"] == "cancelled"
    assert "error" in modern(b, 5, "tasks/get", path, taskId="no-such-task").messages[-1]


def test_tls(tmp_path: Path, store: str, postgres: Postgres) -> None:
    """Nodes with certificates of one authority pass requests on over TLS; who has none is not even listened to."""
    authority = Authority(tmp_path)
    pem = authority.issue("127.0.0.1")
    tls = {"ca_file": authority.file, "cert_file": pem, "key_file": pem}
    cluster = Cluster(tmp_path, store, SERVERS, cluster={"tls": tls})
    try:
        a, b = known(cluster.start("a", "b"), postgres)
        client = Client(a, "own")
        assert [client.call(each, "count") for each in (a, b, a)] == ["1", "2", "3"]
        assert not _answers(b, authority)
    finally:
        cluster.close()


@LONG
def test_foreign_certificate(tmp_path: Path, store: str, postgres: Postgres) -> None:
    """A node whose certificate another authority has signed reaches no node, and none reaches it."""
    (tmp_path / "own").mkdir()
    (tmp_path / "foreign").mkdir()
    own, foreign = Authority(tmp_path / "own"), Authority(tmp_path / "foreign")
    cluster = Cluster(tmp_path, store, SERVERS)
    try:
        nodes = []
        for name, authority in (("a", own), ("b", foreign)):
            pem = authority.issue("127.0.0.1")
            tls = {"ca_file": authority.file, "cert_file": pem, "key_file": pem}
            nodes.append(cluster.add(name, cluster={"tls": tls}).start())
        a, b = known(nodes, postgres)
        client = Client(a, "own")
        assert client.post(b, "ping").status in {502, 503}
        assert client.call(a, "count") == "1"
    finally:
        cluster.close()


@LONG
def test_no_statement_per_call(cluster: Cluster, postgres: Postgres) -> None:
    """A thousand calls at both nodes make no statement at the store beyond those of the membership and the polls."""
    a, b = known(cluster.start("a", "b"), postgres)
    client = Client(a, "own")
    client.call(b, "count")
    eventually(
        lambda: postgres.query(cluster.store, "SELECT count(*) FROM sessions") == [(1,)], "it is written"
    )
    before = _statements(postgres)
    assert before > 0
    for _ in range(500):
        client.post(a, "ping")
        client.post(b, "ping")
    made = _statements(postgres) - before
    assert made == 0


def _answers(node: Node, authority: Authority) -> bool:
    # As a client that trusts the authority and has no certificate of its own.
    context = ssl.create_default_context(cafile=authority.file)
    try:
        with (
            socket.create_connection(("127.0.0.1", node.cluster_port), 20) as raw,
            context.wrap_socket(raw, server_hostname="127.0.0.1") as secured,
        ):
            secured.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            return bool(secured.recv(100))
    except (ssl.SSLError, ConnectionError):
        return False


def _statements(postgres: Postgres) -> int:
    # Whatever concerns sessions; polls and heartbeats do not.
    lines = postgres.log.read_text(errors="replace").splitlines()
    return sum("mcpgateway LOG:" in line and " sessions" in line for line in lines)
