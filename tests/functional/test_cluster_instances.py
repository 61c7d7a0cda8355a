"""Tests of servers with one instance in a cluster, and of those on nodes with labels, over whole gateways."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mcpgateway.cluster.credentials import NodeCredentials
from mcpgateway.cluster.node import ClusterKeys
from mcpgateway.frontends.http.node_client import NODE, REACH
from mcpgateway.protocol.links import HEADER as LINK
from mcpgateway.protocol.links import SaidLink, link_header
from tests.support.certificates import Authority
from tests.support.cluster import AS_ADMIN, LONG, Client, Cluster, Node, ask
from tests.support.gateway import eventually
from tests.support.postgres import Postgres
from tests.support.stopping_proxy import StoppingProxy

LEASE_S = 3
PATIENCE_S = 40.0
SERVER = Path(__file__).parents[1] / "servers" / "appending.py"


class Written:
    """The file to which the server writes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self) -> list[tuple[float, int, int, str]]:
        """The time, the fence, the process and the word of each line."""
        text = self.path.read_text() if self.path.exists() else ""
        found = [line.split(" ") for line in text.splitlines()]
        return [(float(at), int(fence), int(pid), word) for at, fence, pid, word in found]

    def fences(self) -> list[int]:
        """The fences in the order of their writes; a fence that comes again is there twice."""
        found: list[int] = []
        for _, fence, _, _ in self.lines():
            if not found or found[-1] != fence:
                found.append(fence)
        return found

    def check(self, holders: int) -> None:
        """Check that the server never ran twice: each fence has its time, and the next begins after it."""
        fences = self.fences()
        assert len(fences) == holders
        assert fences == sorted(set(fences))
        assert 0 not in fences
        for former, latter in itertools.pairwise(fences):
            last = max(at for at, fence, _, _ in self.lines() if fence == former)
            assert last < min(at for at, fence, _, _ in self.lines() if fence == latter)


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path / "written")


@pytest.fixture
def cluster(tmp_path: Path, store: str, written: Written) -> Iterator[Cluster]:
    command = [sys.executable, str(SERVER), str(written.path)]
    servers = {"one": {"command": command, "instances": "one", "protocol": "legacy"}}
    made = Cluster(tmp_path / "nodes", store, servers, cluster={"lease": f"{LEASE_S}s"})
    try:
        yield made
    finally:
        for node in made.nodes.values():
            with suppress(ProcessLookupError):
                os.kill(node.pid, signal.SIGCONT)
        made.close()


def call_until(client: Client, node: Node, differs_from: str = "") -> str:
    """Call until the server answers, from another process than one known."""
    ends = time.monotonic() + PATIENCE_S
    while True:
        try:
            found = client.call(node, "append")
        except AssertionError:
            found = ""
        if found and found != differs_from:
            return found
        assert time.monotonic() < ends, "nobody has taken the server over"
        time.sleep(0.2)


def joined(postgres: Postgres, store: str, count: int) -> None:
    """Wait until nodes know each other."""
    live = "SELECT count(*) FROM nodes WHERE until > now() AND is_verified"
    eventually(lambda: postgres.query(store, live) == [(count,)], "the nodes have joined")
    time.sleep(6)  # until each has read the others' rows


def test_linked_and_taken_over(cluster: Cluster, postgres: Postgres, store: str, written: Written) -> None:
    """All nodes use the one process; when its node is killed, another starts it after the end of the lease."""
    a, b = cluster.start("a", "b")
    joined(postgres, store, 2)
    first, second = Client(a, "one"), Client(b, "one")
    found = first.call(a, "append")
    assert second.call(b, "append") == found
    assert second.post(b, "tools/list").messages[-1]["result"]["tools"][0]["name"] == "append"
    a.kill()
    taken = call_until(second, b, found)
    assert taken != found
    written.check(2)


def test_frozen(cluster: Cluster, postgres: Postgres, store: str, written: Written) -> None:
    """A process whose node is frozen has ended before another node begins; the node links when it goes on."""
    a, b = cluster.start("a", "b")
    joined(postgres, store, 2)
    first, second = Client(a, "one"), Client(b, "one")
    found = first.call(a, "append")
    assert second.call(b, "append") == found
    os.kill(a.pid, signal.SIGSTOP)
    taken = call_until(second, b, found)
    os.kill(a.pid, signal.SIGCONT)
    assert call_until(first, a, found) == taken
    written.check(2)


@LONG
def test_stopped(cluster: Cluster, postgres: Postgres, store: str, written: Written) -> None:
    """A node that stops in order gives the server away as soon as its process has ended, long before the lease ends."""
    for node in (cluster.add("a", cluster={"lease": "60s"}), cluster.add("b", cluster={"lease": "60s"})):
        node.start()
    a, b = cluster.nodes["a"], cluster.nodes["b"]
    joined(postgres, store, 2)
    first, second = Client(a, "one"), Client(b, "one")
    found = first.call(a, "append")
    assert second.call(b, "append") == found
    a.stop()
    assert call_until(second, b, found)
    written.check(2)


def test_told(cluster: Cluster, postgres: Postgres, store: str) -> None:
    """A call of a server whose node is killed says which node holds it until when; one waits where that is soon."""
    names = ("a", "b")
    a, b = (cluster.add(each, cluster={"lease": "60s"}).start() for each in names)
    joined(postgres, store, 2)
    client, other = Client(a, "one"), Client(b, "one")
    found = other.call(b, "append")
    assert client.call(a, "append") == found
    holder = postgres.query(store, "SELECT nodes.name FROM nodes JOIN leases ON octets = node")[0][0]
    ended, left = (a, b) if holder == "a" else (b, a)
    ended.kill()
    caller = other if left is b else client
    caller.post(left, "tools/call", {"name": "append", "arguments": {}})  # it may be the one that is lost
    error = caller.post(left, "tools/call", {"name": "append", "arguments": {}}).messages[-1]["error"]
    assert f"one: node {holder}, which does not answer, holds it until " in error["message"]
    assert "try again in" in str(error)
    assert 0 < error["data"]["retry_after_s"] <= 60
    postgres.query(store, "UPDATE leases SET until = now() + interval '8 seconds'")
    assert caller.call(left, "append") != found


@LONG
def test_drained(cluster: Cluster, postgres: Postgres, store: str, written: Written) -> None:
    """A node that is drained gives the server away at once: another node runs it long before the lease ends."""
    a, b = (cluster.add(each, cluster={"lease": "10m"}).start() for each in ("a", "b"))
    joined(postgres, store, 2)
    client = Client(a, "one")
    found = client.call(a, "append")
    assert ask(a, "POST", "/api/v1/cluster/drain", {}, AS_ADMIN).status == 202
    assert call_until(client, b, found)
    written.check(2)


@LONG
def test_store_gone(cluster: Cluster, tmp_path: Path, written: Written) -> None:
    """Without the store the process ends with its lease, and begins again once the store is back."""
    own = Postgres().start()
    made = Cluster(tmp_path / "others", own.database(), cluster._servers, cluster={"lease": f"{LEASE_S}s"})
    try:
        (a,) = made.start("a")
        client = Client(a, "one")
        found = client.call(a, "append")
        pid = int(found.split(" ")[1])
        own.kill()
        eventually(lambda: not Path(f"/proc/{pid}").exists(), "the process has ended")
        own.start()
        assert call_until(client, a, found)
        written.check(2)
    finally:
        made.close()
        own.close()


@LONG
def test_guardian_killed(cluster: Cluster, written: Written) -> None:
    """The end of the guardian ends nothing: the next one has the deadlines, and the process lives on."""
    (a,) = cluster.start("a")
    client = Client(a, "one")
    found = client.call(a, "append")
    os.kill(guardian_of(a.pid), signal.SIGKILL)
    time.sleep(2 * LEASE_S)
    assert client.call(a, "append") == found
    os.kill(a.pid, signal.SIGSTOP)
    pid = int(found.split(" ")[1])
    eventually(lambda: _is_zombie(pid), "the process was killed")
    written.check(1)


@LONG
def test_cut_off(cluster: Cluster, postgres: Postgres, store: str, written: Written) -> None:
    """A process whose node is cut off from the store has ended before another node begins."""
    proxy = StoppingProxy(postgres.port)
    try:
        behind = store.replace(f":{postgres.port}/", f":{proxy.port}/")
        a = cluster.add("a", cluster={"lease": f"{LEASE_S}s", "store": behind}).start()
        (b,) = cluster.start("b")
        joined(postgres, store, 2)
        first, second = Client(a, "one"), Client(b, "one")
        found = first.call(a, "append")
        assert second.call(b, "append") == found
        proxy.cut()
        taken = call_until(second, b, found)
        proxy.mend()
        assert call_until(first, a, found) == taken
        written.check(2)
    finally:
        proxy.close()


def guardian_of(pid: int) -> int:
    """The guardian of a gateway."""
    for each in Path("/proc").glob("[0-9]*"):
        try:
            parent = (each / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == pid and b"guardian_main" in (each / "cmdline").read_bytes():
                return int(each.name)
        except OSError:
            continue
    raise AssertionError("no guardian")


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def labelled(tmp_path: Path, store: str, **keys: Any) -> Cluster:
    """A cluster with a server for nodes with a label."""
    command = [sys.executable, str(SERVER), str(tmp_path / "written")]
    return Cluster(tmp_path / "nodes", store, {"one": {"command": command, "on": ["gpu"], **keys}})


@pytest.mark.parametrize("share", ["global", pytest.param("session", marks=LONG)])
def test_label(tmp_path: Path, postgres: Postgres, store: str, share: str) -> None:
    """A node without the label uses the server of a node that has it, also for one process for each session."""
    cluster = labelled(tmp_path, store, share=share)
    try:
        a = cluster.add("a", cluster={"labels": ["gpu"]}).start()
        b = cluster.add("b").start()
        joined(postgres, store, 2)
        here, there, more = Client(a, "one"), Client(b, "one"), Client(b, "one")
        found = [here.call(a, "append"), there.call(b, "append"), more.call(b, "append")]
        assert len(set(found)) == (3 if share == "session" else 1)
        assert there.call(b, "append") == found[1]
        a.stop()
        answer = there.post(b, "tools/call", {"name": "append", "arguments": {}})
        said = str(answer.messages[-1])
        assert "error" in answer.messages[-1] or "isError" in said
    finally:
        cluster.close()


@LONG
@pytest.mark.parametrize("is_sole", [False, True])
def test_workspaces(tmp_path: Path, postgres: Postgres, store: str, is_sole: bool) -> None:  # noqa: FBT001
    """Over links with TLS each workspace has a process of its own, whichever node is asked; only nodes can say it."""
    authority = Authority(tmp_path)
    pem = authority.issue("127.0.0.1")
    tls = {"ca_file": authority.file, "cert_file": pem, "key_file": pem}
    workspaces = [tmp_path / name for name in ("first", "second")]
    for each in workspaces:
        (each / ".git").mkdir(parents=True)
    keys: dict[str, Any] = {"share": "workspace"} | ({"instances": "one"} if is_sole else {})
    cluster = labelled(tmp_path, store, **keys)
    try:
        a = cluster.add("a", cluster={"labels": ["gpu"], "tls": tls}).start()
        b, c = (cluster.add(name, cluster={"tls": tls}).start() for name in "bc")
        joined(postgres, store, 3)
        found = []
        for place in workspaces:
            said = {"Mcp-Project-Path": str(place)}
            found.append({Client(node, "one", said).call(node, "append") for node in (a, b, c)})
        assert [len(each) for each in found] == [1, 1]
        assert found[0] != found[1]
        forged = {LINK: link_header(SaidLink("", str(workspaces[0]), "", 0)), REACH: "loopback"}
        strangers = [Client(node, "one", forged) for node in (a, b)]  # in the directory of the tests
        seen = {each.call(node, "append") for each in strangers for node in (a, b, c)}
        assert len(seen) == 1
        assert seen not in found
    finally:
        cluster.close()


@LONG
def test_workspace_elsewhere(tmp_path: Path, store: str) -> None:
    """Workspaces that the node of the server does not have are kept apart; a child that works in one cannot start."""
    settings = {"command": [sys.executable, str(SERVER), str(tmp_path / "written")], "share": "workspace"}
    cluster = Cluster(tmp_path / "nodes", store, {"one": {**settings, "cwd": str(tmp_path)}, "two": settings})
    try:
        (a,) = cluster.start("a")
        credential = NodeCredentials.of(ClusterKeys(cluster.key), "b", time.time).issue("a")
        port: Any = SimpleNamespace(port=a.cluster_port)

        def linked(server: str, workspace: str) -> str:
            link = link_header(SaidLink("", workspace, "", 0))
            return Client(port, server, {NODE: credential, LINK: link}).call(port, "append")

        assert linked("one", "/of/b/first") != linked("one", "/of/b/second")
        assert linked("one", "/of/b/first") == linked("one", "/of/b/first")
        with pytest.raises((AssertionError, KeyError)):
            linked("two", "/of/b/first")
        assert "the working directory /of/b/first does not exist" in a.log
    finally:
        cluster.close()


def test_no_label(tmp_path: Path, store: str) -> None:
    """A server whose label no live node has cannot be called, and the error says which label that is."""
    cluster = labelled(tmp_path, store)
    try:
        (a,) = cluster.start("a")
        with pytest.raises((AssertionError, KeyError)):
            Client(a, "one").call(a, "append")
        assert "needs a node of the cluster with gpu" in a.log
    finally:
        cluster.close()
