"""A node of a cluster that is restarted in place: it stays the same node, with its servers, sessions and leases."""

from __future__ import annotations

import json
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

from tests.functional.test_cluster_instances import Written, call_until
from tests.support.cluster import AS_ADMIN, LONG, Client, Cluster, Node, ask, known
from tests.support.gateway import eventually, server
from tests.support.postgres import Postgres
from tests.support.restarting import InBackground, hung_up, state

RESTARTS = 3 if os.environ.get("MCPGATEWAY_CLUSTER") == "1" else 1
SERVERS = Path(__file__).parents[1] / "servers"
FIXTURE = (sys.executable, "-I", "-S", str(SERVERS / "fixture.py"))
ROWS = "SELECT incarnation, state FROM nodes WHERE name = 'a'"
LEASES = "SELECT encode(node, 'hex'), fence FROM leases WHERE name = 'server one' AND until > now()"


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path / "written")


@pytest.fixture
def cluster(tmp_path: Path, store: str, written: Written) -> Iterator[Cluster]:
    """Nodes with a server that runs once, and one that each session has for itself."""
    command = [sys.executable, str(SERVERS / "appending.py"), str(written.path)]
    one = {"command": command, "instances": "one", "protocol": "legacy"}
    servers = {"one": one, "own": server(FIXTURE, share="session")}
    made = Cluster(tmp_path / "nodes", store, servers, cluster={"lease": "20s"})
    try:
        yield made
    finally:
        for node in made.nodes.values():
            with suppress(ProcessLookupError):
                os.kill(node.pid, signal.SIGCONT)
        made.close()


def again(node: Node) -> None:
    """Restart a node in place."""
    home: Any = SimpleNamespace(path=node.home)
    before = hung_up(home)
    eventually(lambda: state(home)["started_at"] > before["started_at"], "it has begun anew")
    assert ask(node, "GET", "/healthz").status == 200
    assert state(home)["pid"] == before["pid"]


def calling(call: Any) -> InBackground:
    """Call again and again until nobody wants it any more; the answers."""

    def work(background: InBackground) -> list[str]:
        found = []
        while background.is_wanted:
            found.append(call())
            time.sleep(0.02)
        return found

    return InBackground(work)


def test_goes_on(cluster: Cluster, postgres: Postgres, store: str, written: Written) -> None:
    """Servers keep their processes, and no call fails that comes by either node meanwhile, or is under way."""
    a, b = known(cluster.start("a", "b"), postgres)
    sole = [Client(node, "one") for node in (a, b)]
    own = [Client(node, "own") for node in (a, a, b)]
    found = sole[0].call(a, "append")
    assert call_until(sole[1], b) == found
    row, lease = postgres.query(store, ROWS), postgres.query(store, LEASES)
    by = (a, b, a)  # the second one is at the node, and comes by the other; the third one the other way round
    before = [each.call(node, "pid") for each, node in zip(own, by, strict=True)]
    work = [
        calling(lambda: sole[0].call(a, "append")),
        calling(lambda: sole[1].call(b, "append")),
        *(calling(lambda c=c, n=n: c.call(n, "count")) for c, n in zip(own, by, strict=True)),
    ]
    slow = [
        InBackground(lambda _, c=c, n=n: c.call(n, "slow", seconds=6))
        for c, n in zip(sole, (a, b), strict=True)
    ]
    for _ in range(RESTARTS):
        again(a)
    assert [each.result() for each in slow] == [found, found]
    answers = [each.result() for each in work]
    assert {*answers[0], *answers[1]} == {found}
    for counts in answers[2:]:
        assert counts == [str(each + 1) for each in range(len(counts))]
    assert [each.call(node, "pid") for each, node in zip(own, by, strict=True)] == before
    assert postgres.query(store, ROWS) == row
    assert postgres.query(store, LEASES) == lease
    written.check(1)
    for node in (a, b):
        assert "Traceback" not in node.log, node.log


@LONG
@pytest.mark.parametrize("later_s", [0.0, 0.3, 1.0])
def test_frozen(cluster: Cluster, postgres: Postgres, written: Written, later_s: float) -> None:
    """A node that is frozen during its restart, for longer than it counts, gives up what another has taken."""
    a, b = known(cluster.start("a", "b"), postgres)
    sole, other, own = Client(a, "one"), Client(b, "one"), Client(a, "own")
    found = sole.call(a, "append")
    assert call_until(other, b) == found
    pid = own.call(a, "pid")
    assert [own.call(b, "count") for _ in range(2)] == ["1", "2"]
    hung_up(SimpleNamespace(path=a.home))
    eventually(lambda: "are handed over" in a.log, "the former program is about to end")
    time.sleep(later_s)
    os.kill(a.pid, signal.SIGSTOP)
    taken = call_until(other, b, found)
    eventually(lambda: own.post(b, "tools/list").status == 200, "the other node takes the session over")
    assert own.call(b, "count") == "1"
    os.kill(a.pid, signal.SIGCONT)
    assert call_until(sole, a, found) == taken
    eventually(lambda: own.call(a, "pid") != pid, "the session is given up")
    assert own.call(a, "count") == "2"
    assert own.call(b, "count") == "3"
    written.check(2)
    assert "Traceback" not in a.log, a.log


@LONG
def test_other_settings(cluster: Cluster, postgres: Postgres, store: str, written: Written) -> None:
    """A node of other settings is another one: its server of one process is begun anew, and never runs twice."""
    a, b = known(cluster.start("a", "b"), postgres)
    sole, other, own = Client(a, "one"), Client(b, "one"), Client(a, "own")
    found, pid = sole.call(a, "append"), own.call(a, "pid")
    assert call_until(other, b) == found
    row = postgres.query(store, ROWS)
    a.edit(cluster={**json.loads(a.config.read_text())["gateway"]["cluster"], "labels": ["new"]})
    again(a)
    assert call_until(sole, a, found) == call_until(other, b, found)
    assert own.call(b, "pid") == pid
    assert postgres.query(store, ROWS) != row
    written.check(2)


@LONG
def test_drained(cluster: Cluster, postgres: Postgres, store: str) -> None:
    """A restart ends a drain: the node takes clients again."""
    a, _ = known(cluster.start("a", "b"), postgres)
    row = postgres.query(store, ROWS)
    assert ask(a, "POST", "/api/v1/cluster/drain", {}, AS_ADMIN).status == 202
    eventually(lambda: postgres.query(store, ROWS)[0][1] == "draining", "it is drained")
    again(a)
    eventually(lambda: postgres.query(store, ROWS)[0][1] == "serving", "it serves")
    assert postgres.query(store, ROWS) != row


@LONG
def test_crash(cluster: Cluster, written: Written) -> None:
    """A new program that is killed at its start leaves no server behind, and the next one takes the lease at once."""
    (a,) = cluster.start("a")
    sole = Client(a, "one")
    found = call_until(sole, a)
    hung_up(SimpleNamespace(path=a.home))
    eventually(lambda: "are handed over" in a.log, "the former program is about to end")
    a.kill()
    a.start()
    assert call_until(sole, a, found)
    written.check(2)
