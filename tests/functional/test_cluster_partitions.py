"""Tests of nodes on machines of their own, between which the network is cut."""

from __future__ import annotations

import http.client
import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcpgateway.cluster.membership import LIFE_S
from tests.support import namespaces
from tests.support.cluster import BEARER, BOTH, LONG, Answer, Node, cluster_key
from tests.support.gateway import RUNNERS, eventually, server
from tests.support.namespaces import Network
from tests.support.postgres import Postgres

pytestmark = [LONG, pytest.mark.skipif(not namespaces.is_possible(), reason="it needs network namespaces")]

FIXTURE = (sys.executable, "-I", "-S", str(Path(__file__).parents[1] / "servers" / "fixture.py"))
SERVERS = {"own": server(FIXTURE, share="session")}
PORT, CLUSTER_PORT = 9200, 9201
SOON_S = 20.0


class Machine(Node):
    """A node in a network namespace."""

    def __init__(self, directory: Path, name: str, store: str, key: str, network: Network) -> None:
        self.address = network.address(name)
        joined = {
            "listen": f"{self.address}:{CLUSTER_PORT}",
            "address": f"{self.address}:{CLUSTER_PORT}",
            "insecure": True,
        }
        settings = {"bind_address": self.address, "allow_remote": True, "allowed_hosts": [self.address]}
        super().__init__(directory, name, store, key, SERVERS, settings=settings, cluster=joined)
        self._runner = (*network.run_in(name), *RUNNERS["twistd"])
        self._is_forked = False
        self.port = PORT
        self._network = network

    def _has_begun(self, at: int) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"the gateway ended:\n{self.log[at:]}")
        return (
            re.search(r"starting on \d+", self.log[at:]) is not None
            and self.ask("GET", "/readyz").status == 200
        )

    def ask(
        self, method: str, path: str, body: Any = None, headers: Any = None, limit_s: float = SOON_S
    ) -> Answer:
        """Send a request from the client's address; an answer of status 0 is none."""
        connection = http.client.HTTPConnection(
            self.address, PORT, timeout=limit_s, source_address=(self._network.client, 0)
        )
        sent = {"Content-Type": "application/json", "Accept": BOTH, **BEARER, **(headers or {})}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        except (OSError, http.client.HTTPException):
            return Answer(0, {}, b"")
        finally:
            connection.close()


class Team:
    """Two nodes, their store and a client with a session at the first one."""

    def __init__(self, directory: Path) -> None:
        self.network = Network(("a", "b"))
        self.postgres = Postgres(listen_addresses="*")
        hba = self.postgres.data / "pg_hba.conf"
        hba.write_text(hba.read_text() + "host all all 10.0.0.0/8 trust\n")
        self.postgres.start()
        name = self.postgres.database().rpartition("/")[2]
        store = f"postgresql://postgres@{self.network.store}:{self.postgres.port}/{name}"
        key = cluster_key()
        self.a, self.b = (Machine(directory, each, store, key, self.network) for each in ("a", "b"))
        self.store = self.postgres.dsn(name)
        try:
            for each in (self.a, self.b):
                each.start()
        except AssertionError:
            print(self.a.log, self.b.log)
            self.close()
            raise
        eventually(
            lambda: self.rows("SELECT count(*) FROM nodes WHERE is_verified") == [(2,)], "both have joined"
        )
        hello = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        }
        begun = self.a.ask(
            "POST", "/own/mcp", {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}
        )
        self.session = {"Mcp-Session-Id": begun.headers["mcp-session-id"]}
        assert self.count(self.a) == "1"
        eventually(
            lambda: self.rows("SELECT count(*) FROM sessions") == [(1,)], "the session is in the store"
        )

    def rows(self, statement: str) -> Any:
        """Ask the store."""
        return self.postgres.query(self.store, statement)

    def count(self, node: Machine, limit_s: float = SOON_S) -> str:
        """Count in the session, at a node; return the count, or the status of a refusal."""
        call = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": "count", "arguments": {}},
        }
        answer = node.ask("POST", "/own/mcp", call, self.session, limit_s)
        if answer.status != 200 or "result" not in answer.messages[-1]:
            return f"refused {answer.status}"
        text: str = answer.messages[-1]["result"]["content"][0]["text"]
        return text

    def close(self) -> None:
        """End all of it."""
        self.network.heal()
        for each in (self.a, self.b):
            each.__exit__(AssertionError, None, None)
        self.postgres.close()
        self.network.close()


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    """Two nodes on machines of their own."""
    made = Team(tmp_path)
    try:
        yield made
    finally:
        made.close()


def test_node_and_store(team: Team) -> None:
    """A node without the store serves its sessions; another takes one once its row has run out, and it lets go then."""
    team.network.cut_from(team.network.store, "a")
    assert [team.count(each) for each in (team.a, team.b, team.a)] == ["2", "3", "4"]
    time.sleep(LIFE_S + 3)
    assert team.count(team.b) == "1"  # both may serve it now, as each is cut off from half of the world
    assert team.count(team.a) in {"5", "2"}
    team.network.heal()
    eventually(lambda: team.a.ask("GET", "/readyz").status == 200, "the node is back")
    eventually(lambda: not team.a.children(), "the former child has ended")
    former = int(team.count(team.b))
    assert [team.count(each) for each in (team.a, team.b)] == [str(former + 1), str(former + 2)]


def test_nodes_apart(team: Team) -> None:
    """Nodes that cannot reach each other, but the store, take no session over: who asks at the wrong one gets a 503."""
    team.network.cut("a", "b")
    assert team.count(team.b) == "refused 503"
    time.sleep(LIFE_S + 3)
    assert team.count(team.b) == "refused 503"
    assert team.count(team.a) == "2"
    team.network.heal()
    eventually(lambda: team.count(team.b) != "refused 503", "the nodes reach each other again")
    assert team.rows("SELECT epoch FROM sessions") == [(0,)]


def test_client_and_node(team: Team) -> None:
    """A client that cannot reach the node of its session has it served there through another."""
    team.network.cut_from(team.network.client, "a")
    assert team.count(team.a, 3.0) == "refused 0"
    assert team.count(team.b).isdigit()
    assert team.rows("SELECT epoch FROM sessions") == [(0,)]


def test_machine_cut_off(team: Team) -> None:
    """The sessions of a machine that nobody reaches go on elsewhere after its row has run out, and stay there."""
    team.network.cut_from(team.network.store, "a")
    team.network.cut_from(team.network.client, "a")
    team.network.cut("a", "b")
    assert team.count(team.b) == "refused 503"
    eventually(lambda: team.count(team.b).isdigit(), "the session is taken over")
    team.network.heal()
    eventually(lambda: not team.a.children(), "the former child has ended")
    former = int(team.count(team.b))
    assert [team.count(each) for each in (team.a, team.b)] == [str(former + 1), str(former + 2)]
