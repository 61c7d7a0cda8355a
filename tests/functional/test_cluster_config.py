"""Tests of the configuration that the nodes of a cluster share."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support import forkserver
from tests.support.cluster import Cluster, Node
from tests.support.cluster_requests import Said, ask, found, joined
from tests.support.gateway import BIN, eventually
from tests.support.postgres import Postgres

SHARED = {"config": "store"}


@pytest.fixture
def cluster(tmp_path: Path, store: str) -> Iterator[Cluster]:
    made = Cluster(tmp_path, store, {}, cluster=SHARED)
    yield made
    made.close()


def change(node: Node, headers: dict[str, str] | None = None, **values: Any) -> Said:
    """Change settings at a node by REST."""
    named = {key.replace("__", "."): value for key, value in values.items()}
    return ask(node, "PATCH", "/api/v1/config/gateway", {"set": named}, headers)


def command(node: Node, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the program on the machine of a node."""
    environ = {"PATH": str(BIN), "HOME": str(node.directory), "LANG": "C.UTF-8"}
    environ |= {"MCPGATEWAY_CONFIG": str(node.config)}
    argv = [str(BIN / "mcpgateway"), "--home", str(node.home), *words]
    return forkserver.ran(argv, env=environ, has_ended=False)


def read(node: Node) -> dict[str, Any]:
    """Return the section ``gateway`` of the configuration file of a node."""
    found: dict[str, Any] = json.loads(node.config.read_text())["gateway"]
    return found


def tag(node: Node) -> str:
    """Return the entity tag of a node's settings."""
    return ask(node, "GET", "/api/v1/config").headers["etag"]


def same(postgres: Postgres, store: str) -> None:
    """Wait until the store has the configuration."""
    asked = "SELECT 1 FROM documents WHERE kind = 'file' AND name = 'config.json'"
    eventually(lambda: found(postgres, store, asked), "the configuration is shared")


def test_edit(cluster: Cluster, postgres: Postgres, store: str) -> None:
    """An edit by REST counts on all nodes when its answer comes, which names them; all have one entity tag."""
    a, b = cluster.start("a", "b")
    joined(postgres, store, 2)
    same(postgres, store)
    said = change(a, log_level="debug")
    assert (said.status, said.headers["mcpgateway-counts-on"]) == (200, "a, b")
    assert read(b)["log_level"] == "debug"
    assert tag(a) == tag(b) == said.headers["etag"]
    said = ask(b, "PUT", "/api/v1/servers/echo", {"config": {"command": "cat"}})
    assert said.status == 202
    eventually(lambda: "echo" in str(ask(a, "GET", "/api/v1/servers").json), "the server is known at a")


def test_at_once(cluster: Cluster, postgres: Postgres, store: str) -> None:
    """Of two edits of the same version at two nodes one counts, and the other is refused and undone."""
    a, b = cluster.start("a", "b")
    joined(postgres, store, 2)
    same(postgres, store)
    change(a, log_level="info")
    for index in range(3):
        condition = {"If-Match": tag(a)}
        with ThreadPoolExecutor(2) as threads:
            edits = [
                threads.submit(change, node, condition, public_url=f"http://{node.name}{index}")
                for node in (a, b)
            ]
            found = [each.result() for each in edits]
        assert sorted(each.status for each in found) == [200, 412]
        eventually(lambda: read(a) == read(b), "both have the same")
        winner = "a" if found[0].status == 200 else "b"
        assert read(a)["public_url"] == f"http://{winner}{index}"
        assert tag(a) == tag(b)
    assert [*a.directory.glob("*conflict*"), *b.directory.glob("*conflict*")] == []


def test_by_hand(cluster: Cluster, postgres: Postgres, store: str) -> None:
    """A file that is edited, added or removed with a text editor at one node is so at the other."""
    a, b = cluster.start("a", "b")
    same(postgres, store)
    a.edit(log_level="debug")
    eventually(lambda: read(b).get("log_level") == "debug", "the edit counts at b")
    extra = b.directory / "config.d" / "more.yaml"
    extra.parent.mkdir()
    extra.write_text("servers:\n  more: {command: cat}\n")
    there = a.directory / "config.d" / "more.yaml"
    eventually(lambda: "more" in str(ask(a, "GET", "/api/v1/servers").json), "the server is served at a")
    there.unlink()
    eventually(lambda: not extra.exists(), "the file is gone at b")
    (a.home / ".env").write_text("SOME_VALUE=x\n")
    eventually((b.home / ".env").exists, "the values are at b")
    assert (b.home / ".env").stat().st_mode & 0o777 == 0o600


def test_error_stays(cluster: Cluster, postgres: Postgres, store: str) -> None:
    """A file with an error is not shared before it is mended."""
    a, b = cluster.start("a", "b")
    same(postgres, store)
    good = a.config.read_text()
    a.config.write_text(good.replace('{"gateway"', '{"gatewayy"'))
    eventually(lambda: "config.problem" in a.log or "gatewayy" in a.log, "the error is told")
    a.config.write_text(good)
    a.edit(log_level="debug")
    eventually(lambda: read(b).get("log_level") == "debug", "the mended file is shared")
    assert "gatewayy" not in b.log


def test_node_away(cluster: Cluster, postgres: Postgres, store: str) -> None:
    """A hand edit at a node that is away counts later; one that collides with another is kept aside."""
    a, b = cluster.start("a", "b")
    same(postgres, store)
    eventually((b.home / "cluster" / "files.json").exists, "b follows the document")
    b.stop()
    b.edit(public_url="http://one")
    b.start()
    eventually(lambda: read(a).get("public_url") == "http://one", "the edit counts at a")
    b.stop()
    b.edit(public_url="http://b")
    change(a, public_url="http://a")
    b.start()
    eventually(lambda: read(b).get("public_url") == "http://a", "a's edit counts")
    (kept,) = b.directory.glob("config.json.conflict-b-*")
    assert json.loads(kept.read_text())["gateway"]["public_url"] == "http://b"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.name in b.log


def test_fresh_node(cluster: Cluster, postgres: Postgres, store: str) -> None:
    """A node with a home of its own gets the configuration of the others, and takes nothing away from them."""
    (a,) = cluster.start("a")
    same(postgres, store)
    change(a, log_level="debug")
    b = cluster.add("b")
    b.config.unlink()
    b.config.write_text("{}")
    b.start()
    eventually(lambda: b.config.read_text() == a.config.read_text(), "b has the configuration")
    assert read(a)["log_level"] == "debug"


def test_cannot_write(cluster: Cluster, postgres: Postgres, store: str) -> None:
    """A node that cannot write a file says so, and does not take it away from the others."""
    a, b = cluster.start("a", "b")
    same(postgres, store)
    (b.directory / "config.d").write_text("in the way")
    folder = a.directory / "config.d"
    folder.mkdir()
    (folder / "more.yaml").write_text("servers:\n  more: {command: cat}\n")
    eventually(lambda: "does not count at this node" in b.log, "b says so")
    said = change(a, log_level="debug")
    assert said.status == 200
    assert (folder / "more.yaml").exists()
    (b.directory / "config.d").unlink()
    eventually((b.directory / "config.d" / "more.yaml").exists, "b writes it later")


def test_store_gone(tmp_path: Path) -> None:
    """Without the store an edit by REST is refused and undone, and one by hand counts later."""
    postgres = Postgres(synchronous_commit="on").start()
    store = postgres.database()
    cluster = Cluster(tmp_path, store, {}, cluster=SHARED)
    try:
        a, b = cluster.start("a", "b")
        joined(postgres, store, 2)
        same(postgres, store)
        before = a.config.read_text()
        postgres.kill()
        said = change(a, log_level="debug")
        assert (said.status, "store" in said.json["error"]) == (503, True)
        assert a.config.read_text() == before
        for words in (("set", "gateway.log_level=debug"), ("unset", "gateway.log_level")):
            told = command(a, "config", *words)
            assert (told.returncode, "It counts at node a alone: the store" in told.stdout) == (0, True)
        theirs = a.directory / "theirs.json"
        theirs.write_text('{"mcpServers": {"theirs": {"command": "cat"}}}')
        for said_again in (True, False):  # the second time there is nothing to take over
            told = command(a, "config", "import", str(theirs))
            assert (told.returncode, "It counts at node a alone" in told.stdout) == (0, said_again)
        told = command(a, "servers", "add", "echo", "--yes", "--", "cat")
        assert (told.returncode, "cannot be reached" in told.stderr) == (1, True)
        assert "echo" not in a.config.read_text()
        a.edit(public_url="http://a")
        postgres.start()
        eventually(lambda: read(b).get("public_url") == "http://a", "the edit counts at b")
    finally:
        cluster.close()
        postgres.close()


def test_store_emptied(cluster: Cluster, postgres: Postgres, store: str) -> None:
    """A store that has lost all documents gets the files of the nodes; no node loses its own."""
    a, b = cluster.start("a", "b")
    same(postgres, store)
    eventually((b.home / "cluster" / "files.json").exists, "b follows the document")
    before = a.config.read_text()
    postgres.query(store, "DELETE FROM documents")
    same(postgres, store)
    change(a, log_level="debug")
    eventually(lambda: read(b).get("log_level") == "debug", "edits count")
    assert b.config.read_text() != before
    assert [*a.directory.glob("*conflict*"), *b.directory.glob("*conflict*")] == []


def test_own_settings(cluster: Cluster) -> None:
    """Settings of one node in a shared file are refused at the start, with the place for them."""
    a = cluster.add("a")
    a.edit(cluster={"labels": ["gpu"]})
    with pytest.raises(AssertionError) as found:
        a.start()
    del cluster.nodes["a"]  # it has ended
    assert "gateway.cluster is of one node" in str(found.value)
    assert f"{a.home}/node.yaml" in str(found.value)


def test_files(tmp_path: Path, store: str) -> None:
    """Where other programs write the configuration, edits over the gateway are refused, and nothing is shared."""
    cluster = Cluster(tmp_path, store, {})
    try:
        (a,) = cluster.start("a")
        before = a.config.read_text()
        said = change(a, log_level="debug")
        assert (said.status, "gateway.cluster.config" in said.json["error"]) == (409, True)
        said = ask(a, "PUT", "/api/v1/servers/echo", {"config": {"command": "cat"}})
        assert said.status == 409
        assert a.config.read_text() == before
    finally:
        cluster.close()
