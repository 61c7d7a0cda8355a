"""Tests of nodes of a cluster as whole gateways: joining, sessions at any node, and their end."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import BEARER, BOTH, LONG, Client, Cluster, Node, ask, cluster_key, known
from tests.support.gateway import eventually, server
from tests.support.postgres import Postgres

FIXTURE = (sys.executable, "-I", "-S", str(Path(__file__).parents[1] / "servers" / "fixture.py"))
SERVERS = {"own": server(FIXTURE, share="session"), "shared": server(FIXTURE)}
ROOMS = "SELECT encode(home, 'hex'), epoch FROM sessions WHERE NOT ended"


@pytest.fixture
def cluster(tmp_path: Path, store: str) -> Iterator[Cluster]:
    """Nodes with the fixture server, which each session has for itself or shares."""
    made = Cluster(tmp_path, store, SERVERS)
    try:
        yield made
    finally:
        made.close()


@LONG
def test_join(cluster: Cluster, postgres: Postgres) -> None:
    """A gateway with a store is in its table of nodes while it runs, and says that it has left at its end."""
    node, _ = cluster.start("a", "b")
    states = "SELECT name, state FROM nodes WHERE until > now() ORDER BY name"
    eventually(lambda: len(postgres.query(cluster.store, states)) == 2, "both nodes have joined")
    verified = "SELECT count(*) FROM nodes WHERE is_verified"
    eventually(lambda: postgres.query(cluster.store, verified) == [(2,)], "both nodes reach themselves")
    node.stop()
    assert postgres.query(cluster.store, states) == [("b", "serving")]


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[list[Node]]:
    """Three nodes for tests that end none."""
    made = Cluster(tmp_path_factory.mktemp("trio"), postgres.database(), SERVERS)
    try:
        yield known(made.start("a", "b", "c"), postgres)
    finally:
        made.close()


def test_any_node(trio: list[Node]) -> None:
    """A session that one node has begun is served through every node by one child; its end holds at all."""
    a, b, c = trio
    before = sum(len(each.children()) for each in trio)
    client = Client(a, "own")
    assert [client.call(each, "count") for each in (a, b, c, b, a)] == ["1", "2", "3", "4", "5"]
    assert sum(len(each.children()) for each in trio) == before + 1
    assert client.end(c).status == 200
    assert [client.post(each, "ping").status for each in (a, b, c)] == [404, 404, 404]


def test_views(trio: list[Node]) -> None:
    """A session of a view of all servers is served through every node by one child, too."""
    a, b, _ = trio
    client = Client(a, "/mcp/full")
    assert [client.call(each, "own__count") for each in (a, b, b, a)] == ["1", "2", "3", "4"]


def test_killed(cluster: Cluster, postgres: Postgres) -> None:
    """The sessions of a killed node go on at the node that is asked first, and all others pass on to that."""
    a, b, c = known(cluster.start("a", "b", "c"), postgres)
    client = Client(a, "own")
    assert client.call(a, "count") == "1"
    eventually(lambda: postgres.query(cluster.store, ROOMS), "the session is in the store")
    a.kill()
    assert [client.call(each, "count") for each in (b, c, b, c)] == ["1", "2", "3", "4"]
    assert [epoch for _, epoch in postgres.query(cluster.store, ROOMS)] == [1]
    a.start()
    assert [client.call(each, "count") for each in (a, b, c)] == ["5", "6", "7"]
    assert client.end(a).status == 200
    assert client.post(b, "ping").status == 404


@LONG
def test_stopped(cluster: Cluster, postgres: Postgres) -> None:
    """The sessions of a node that was stopped in order go on elsewhere, and by their ids alone, too."""
    a, b = known(cluster.start("a", "b"), postgres)
    clients = [Client(a, "own"), Client(a, "shared")]
    for each in clients:
        each.call(a, "echo", text="x")
    a.stop()
    assert [each.call(b, "echo", text="y") for each in clients] == ["y", "y"]


def test_signature_alone(cluster: Cluster, postgres: Postgres) -> None:
    """A session whose row never came to the store is revived by its id, at one node."""
    a, b, c = known(cluster.start("a", "b", "c"), postgres)
    client = Client(a, "own")
    client.call(a, "count")
    a.kill()
    postgres.query(cluster.store, "DELETE FROM sessions")
    assert [client.call(each, "count") for each in (c, b, c)] == ["1", "2", "3"]


@LONG
def test_race(cluster: Cluster, postgres: Postgres) -> None:
    """Of two nodes that are asked at once for a session of a dead one, one takes it and the other passes on."""
    a, b, c = known(cluster.start("a", "b", "c"), postgres)
    clients = [Client(a, "own") for _ in range(6)]
    for each in clients:
        each.call(a, "count")
    a.kill()
    found: dict[int, list[str]] = {number: [] for number in range(len(clients))}

    def call(number: int, node: Node) -> None:
        found[number].append(clients[number].call(node, "count"))

    threads = [threading.Thread(target=call, args=(number, node)) for number in found for node in (b, c)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert [sorted(each) for each in found.values()] == [["1", "2"]] * len(clients)
    assert sum(len(each.children()) for each in (b, c)) == len(clients)


def test_question(trio: list[Node]) -> None:
    """A call through one node and the answer to its question through another meet at the node of the session."""
    a, b, c = trio
    client = Client(a, "own", elicitation={})
    params = {"mode": "form", "message": "m", "requestedSchema": {"type": "object", "properties": {}}}
    arguments = {"method": "elicitation/create", "params": params}
    call = {"name": "ask", "arguments": arguments}
    stream = Stream(
        b, client.path, client.headers, {"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": call}
    )
    question = stream.message()
    assert question["method"] == "elicitation/create"
    assert client.answered(c, question["id"], {"action": "decline"}).status == 202
    found = stream.message()
    assert found["id"] == 9
    assert "decline" in found["result"]["content"][0]["text"]
    stream.close()


def test_stream(trio: list[Node]) -> None:
    """The standing stream of a session that is read through another node brings what its server tells."""
    a, b, _ = trio
    client = Client(a, "own")
    stream = Stream(b, client.path, client.headers)
    client.call(a, "notify", method="notifications/tools/list_changed", params={})
    assert stream.message()["method"] == "notifications/tools/list_changed"
    stream.close()


def test_sse(cluster: Cluster, postgres: Postgres) -> None:
    """Messages of the oldest transport reach the node of their stream through any node."""
    a, b = known(cluster.start("a", "b"), postgres)
    stream = Stream(a, "/own/sse", {})
    endpoint = stream.event()
    message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    hello = {
        "jsonrpc": "2.0",
        "id": 0,
        "method": "initialize",
        "params": {
            "protocolVersion": "2024-11-05",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        },
    }
    assert ask(b, "POST", endpoint, hello).status == 202
    assert stream.message()["id"] == 0
    assert ask(b, "POST", endpoint, message).status == 202
    assert stream.message() == {"jsonrpc": "2.0", "id": 1, "result": {}}
    a.kill()
    assert ask(b, "POST", endpoint, message).status in {404, 503}
    stream.close()


@LONG
def test_large(cluster: Cluster, postgres: Postgres) -> None:
    """An answer of 10 MiB comes through another node as it is, which holds little of it."""
    a, b = known(cluster.start("a", "b"), postgres)
    client = Client(a, "own")
    client.call(b, "big", bytes=1000)
    before = b.resident_kib()
    there, here = (client.call(each, "big", bytes=10 * 2**20) for each in (b, a))
    assert there == here
    assert b.resident_kib() - before < 10 * 1024


def test_store_gone(cluster: Cluster, tmp_path: Path) -> None:
    """Without the store calls and new sessions go on; sessions of a dead node wait for its return."""
    postgres = Postgres().start()
    try:
        alone = Cluster(tmp_path / "more", postgres.database(), SERVERS)
        a, b = known(alone.start("a", "b"), postgres, alone.store)
        client, other = Client(a, "own"), Client(b, "own")
        client.call(a, "count")
        postgres.kill()
        assert [client.call(each, "count") for each in (a, b)] == ["2", "3"]
        later = Client(a, "own")
        assert later.call(b, "count") == "1"
        a.kill()
        refused = client.post(b, "ping")
        assert refused.status == 503
        assert refused.headers["retry-after"]
        assert other.call(b, "count") == "1"
        postgres.start()
        eventually(lambda: client.post(b, "ping").status == 200, "the session is taken over")
        assert client.call(b, "count") == "1"
        alone.close()
    finally:
        postgres.close()


def test_strangers(trio: list[Node]) -> None:
    """Nobody without the cluster's key has anything passed on, and nobody another one's session."""
    a, b, _ = trio
    client = Client(a, "own")
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    plain = {**client.headers, "Authorization": ""}
    assert ask(b, "POST", client.path, ping, plain).status == 401
    known_as_node = {**client.headers, "Mcpgateway-Node": "a b 1 00"}
    assert ask(b, "POST", client.path, ping, known_as_node).status == 200
    for credential in ("", "a b 1 00", "b a 1", "x" * 500):
        headers = {**client.headers, "Mcpgateway-Node": credential}
        assert ask(b, "POST", client.path, ping, headers, port=b.cluster_port).status == 403
    forged = client.id[:2] + ("A" if client.id[2] != "A" else "B") + client.id[3:]
    assert ask(b, "POST", client.path, ping, {**client.headers, "Mcp-Session-Id": forged}).status == 404
    token = ask(a, "POST", "/api/v1/tokens", {"name": "agent"}, {"Authorization": "Bearer " + "x"}).status
    assert token == 401


@LONG
def test_other_key(tmp_path: Path, store: str, postgres: Postgres) -> None:
    """A node with another key is a stranger: it never joins, and the ids of the others are unknown to it."""
    one, other = Cluster(tmp_path / "one", store, SERVERS), Cluster(tmp_path / "two", store, SERVERS)
    try:
        (a,), (b,) = one.start("a"), other.start("b")
        known([a], postgres, store)
        client = Client(a, "own")
        assert client.post(b, "ping").status == 404
    finally:
        one.close()
        other.close()


def test_rotated_key(cluster: Cluster, postgres: Postgres) -> None:
    """Ids of the former key are good after a change of the key, at nodes that have both and at new ones."""
    a, b = known(cluster.start("a", "b"), postgres)
    client = Client(a, "own")
    client.call(b, "count")
    newer = cluster_key()
    for node in (b, a):
        node.stop()
        (node.directory / "cluster.key").write_text(f"{newer}\n{cluster.key}\n")
        node.start()
    assert [client.call(each, "count") for each in (b, a)] == ["1", "2"]


@LONG
def test_frozen(cluster: Cluster, postgres: Postgres) -> None:
    """The session of a node that stands still waits until that counts as gone, and is not served by it afterwards."""
    a, b = known(cluster.start("a", "b"), postgres)
    client = Client(a, "own")
    client.call(a, "count")
    eventually(lambda: postgres.query(cluster.store, ROOMS), "the session is in the store")
    os.kill(a.pid, signal.SIGSTOP)
    try:
        eventually(lambda: client.post(b, "ping").status == 200, "the session is taken over")
        assert client.call(b, "count") == "1"
    finally:
        os.kill(a.pid, signal.SIGCONT)
    assert [client.call(each, "count") for each in (a, b, a)] == ["2", "3", "4"]
    eventually(lambda: not a.children(), "the former child ends")


class Stream:
    """An event stream of a node."""

    def __init__(self, node: Node, path: str, headers: Any, body: Any = None) -> None:
        self._socket = socket.create_connection(("127.0.0.1", node.port), 60)
        accept = "text/event-stream" if body is None else BOTH
        sent = {"Host": f"127.0.0.1:{node.port}", "Accept": accept, **BEARER, **headers}
        data = b"" if body is None else json.dumps(body).encode()
        if data:
            sent |= {"Content-Type": "application/json", "Content-Length": str(len(data))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        self._socket.sendall(f"{'POST' if data else 'GET'} {path} HTTP/1.1\r\n{lines}\r\n".encode() + data)
        self._file = self._socket.makefile("rb")

    def event(self) -> str:
        """Return the data of the next event."""
        while True:
            line = self._file.readline()
            assert line, "the stream has ended"
            if line.startswith(b"data:") and line[5:].strip():
                return line[5:].strip().decode()

    def message(self) -> Any:
        """Return the next message."""
        return json.loads(self.event())

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._socket.close()
