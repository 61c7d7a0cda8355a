"""Tests of a store that fails over to its replica, and of clocks of whole nodes that jump."""

from __future__ import annotations

import glob
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.test_cluster_instances import SERVER, Written, joined
from tests.support.cluster import AS_ADMIN, LONG, Client, Cluster, Node, ask, known
from tests.support.gateway import eventually, server
from tests.support.postgres import Postgres

FIXTURE = (sys.executable, "-I", "-S", str(Path(__file__).parents[1] / "servers" / "fixture.py"))
FAKETIME = next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), "")

pytestmark = LONG


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """The file of the server that may run once."""
    return Written(tmp_path / "written")


@pytest.fixture
def primary() -> Iterator[Postgres]:
    """A server of its own, which a test ends."""
    made = Postgres(synchronous_commit="on").start()
    yield made
    made.close()


def servers(written: Written) -> dict[str, dict[str, object]]:
    """A server with a process for each session, and one that runs once."""
    command = [sys.executable, str(SERVER), str(written.path)]
    return {
        "own": server(FIXTURE, share="session"),
        "one": {"command": command, "instances": "one", "protocol": "legacy"},
    }


def token(node: Node, name: str) -> int:
    """The status of an answer to a wish for a token."""
    return ask(node, "POST", "/api/v1/tokens", {"name": name}, AS_ADMIN).status


def names(node: Node) -> list[str]:
    """The names of the agents' tokens."""
    return [each["name"] for each in ask(node, "GET", "/api/v1/tokens", None, AS_ADMIN).json["tokens"]]


def test_promoted(tmp_path: Path, primary: Postgres, written: Written) -> None:
    """The nodes go on with a replica that is promoted: no call fails, nothing is lost, and no process begins anew."""
    own = primary.database()
    replica = primary.replica().start()
    name = own.rpartition("/")[2]
    store = (
        f"postgresql://postgres@127.0.0.1:{primary.port},127.0.0.1:{replica.port}/{name}"
        "?target_session_attrs=read-write"
    )
    cluster = Cluster(tmp_path / "nodes", store, servers(written))
    try:
        a, b = cluster.start("a", "b")
        joined(primary, own, 2)
        client, sole = Client(a, "own"), Client(b, "one")
        found = sole.call(b, "append")
        counts = [client.call(each, "count") for each in (a, b)]
        assert token(a, "before") == 201
        documents = "SELECT count(*) FROM documents WHERE kind = 'token'"
        eventually(lambda: replica.query(name, documents) == [(1,)], "the replica has the token")
        primary.kill()
        eventually(lambda: token(a, "meanwhile") == 503, "the nodes know that the store is gone")
        counts += [client.call(each, "count") for each in (a, b)]
        assert Client(b, "own").call(b, "count") == "1"
        replica.promote()
        eventually(lambda: token(b, "after") == 201, "the promoted one is written to")
        counts += [client.call(each, "count") for each in (a, b)]
        assert counts == ["1", "2", "3", "4", "5", "6"]
        assert sole.call(b, "append") == found
        eventually(lambda: names(a) == names(b) == ["after", "before"], "both know the tokens")
        written.check(1)
    finally:
        cluster.close()
        replica.close()


@pytest.mark.skipif(not FAKETIME, reason="faketime of Debian is not installed")
def test_clock_jumps(tmp_path: Path, postgres: Postgres, store: str, written: Written) -> None:
    """A node whose clock jumps by an hour, and back, stays a member, and keeps its sessions and its leases."""
    clock = tmp_path / "clock"
    clock.write_text("+0")
    faked = {
        "LD_PRELOAD": FAKETIME,
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    cluster = Cluster(tmp_path / "nodes", store, servers(written), cluster={"lease": "20s"})
    try:
        a = cluster.add("a", environ=faked)
        a._is_forked = False  # a program that is forked has its libraries already
        b = cluster.add("b")
        known([a.start(), b.start()], postgres)
        joined(postgres, store, 2)
        client, sole = Client(a, "own"), Client(a, "one")
        found, other = sole.call(a, "append"), Client(b, "one")
        assert other.call(b, "append") == found
        counts = [client.call(each, "count") for each in (a, b)]
        for jump in ("+3600s", "-3600s", "+0"):
            clock.write_text(jump)
            time.sleep(23 if jump != "+0" else 3)  # longer than the lease
            assert ask(a, "GET", "/api/v1/cluster", None, AS_ADMIN).json["member"] is True
            assert sole.call(a, "append") == found
            counts.append(client.call(a, "count"))
        counts.append(client.call(b, "count"))
        assert counts == [str(number) for number in range(1, 7)]
        assert other.call(b, "append") == found
        written.check(1)
    finally:
        cluster.close()
