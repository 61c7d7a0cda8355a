"""Tests of the balancers of the directory ``deploy``, before real nodes, and of the script of the compose file."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from mcpgateway.cli.balancers.configurations import NodeBehind
from mcpgateway.cluster.membership import octets_of
from tests.support.balancers import DEPLOY, NODES, Balancer, Haproxy, Nginx
from tests.support.cluster import BEARER, LONG, Client, Cluster
from tests.support.gateway import BIN, LIMIT_S, eventually, server
from tests.support.ports import free_port
from tests.support.postgres import Postgres

FIXTURE = (sys.executable, "-I", "-S", str(Path(__file__).parents[1] / "servers" / "fixture.py"))
CLIENTS = 9
ADDRESSES = ("127.0.0.2", "127.0.0.3", "127.0.0.4")

pytestmark = pytest.mark.functional


@pytest.fixture
def cluster(tmp_path: Path, store: str) -> Iterator[Cluster]:
    """Three nodes that serve other machines."""
    servers = {"own": server(FIXTURE, share="session")}
    made = Cluster(tmp_path, store, servers, settings={"allow_remote": True})
    try:
        made.start(*NODES)
        yield made
    finally:
        made.close()


@pytest.fixture(params=[Haproxy, pytest.param(Nginx, marks=LONG)], ids=["haproxy", "nginx"])
def balancer(request: pytest.FixtureRequest, cluster: Cluster, tmp_path: Path) -> Iterator[Balancer]:
    """Each balancer before the nodes."""
    if not shutil.which(request.param.program, path=f"{os.environ['PATH']}:/usr/sbin"):
        pytest.skip("make cluster-tools installs it")
    made = request.param(tmp_path / "balancer", {name: node.port for name, node in cluster.nodes.items()})
    try:
        yield made.start()
    finally:
        made.close()


def home_of(identifier: str) -> str:
    """The name of the node that has issued a session id."""
    return next(name for name in NODES if identifier.startswith(NodeBehind(name, octets_of(name), "").prefix))


def test_killed(cluster: Cluster, balancer: Balancer, postgres: Postgres) -> None:
    """The sessions of a node that is killed behind the balancer go on, and those of other nodes notice nothing."""
    before = cast("Any", balancer)
    rows = "SELECT count(*) FROM nodes WHERE is_verified"
    eventually(lambda: postgres.query(cluster.store, rows) == [(3,)], "the nodes know each other")
    eventually(lambda: _is_served(balancer), "the balancer has found the nodes")
    clients = [Client(before, "own") for _ in range(CLIENTS)]
    assert [each.call(before, "count") for each in clients] == ["1"] * CLIENTS
    assert [each.call(before, "count") for each in clients] == ["2"] * CLIENTS
    homes = {each: home_of(each.id) for each in clients}
    assert len(set(homes.values())) > 1
    gone = homes[clients[0]]
    kept = "SELECT count(*) FROM sessions WHERE NOT ended"
    eventually(lambda: postgres.query(cluster.store, kept) >= [(CLIENTS,)], "the sessions are in the store")
    cluster.nodes[gone].kill()
    for each in clients:
        if homes[each] != gone:
            assert each.call(before, "count") == "3"
    for each in clients:
        if homes[each] == gone:
            assert _calls_again(each, before) == "1"
    for each in clients:
        assert _calls_again(each, before) == ("4" if homes[each] != gone else "2")


def _is_served(balancer: Balancer) -> bool:
    try:
        Client(cast("Any", balancer), "own")
    except (AssertionError, OSError, KeyError):
        return False
    return True


def _calls_again(client: Client, before: Any) -> str:
    """Call a tool until a node answers."""
    answers: list[Any] = []

    def is_answered() -> bool:
        answers.append(client.post(before, "tools/call", {"name": "count", "arguments": {}}))
        assert answers[-1].status in (200, 502, 503)
        assert answers[-1].json["jsonrpc"] == "2.0"  # also where the balancer answers for the node
        return bool(answers[-1].status == 200)

    eventually(is_answered, "the session goes on")
    text: str = answers[-1].json["result"]["content"][0]["text"]
    return text


def test_no_node(cluster: Cluster, balancer: Balancer) -> None:
    """Without a node the balancer answers with an error of JSON-RPC that says so."""
    for each in cluster.nodes.values():
        each.kill()

    def refusal() -> tuple[str, str]:
        request = urllib.request.Request(f"{balancer.url}/own/mcp", b"{}", dict(BEARER))
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=LIMIT_S).close()
        return str(refused.value.headers["Content-Type"]), json.load(refused.value)["error"]["message"]

    eventually(lambda: refusal()[1].startswith("No node"), "it says that no node answers")
    assert refusal()[0] == "application/json"


def test_forged_address(cluster: Cluster, balancer: Balancer) -> None:
    """A client without a token is refused, whatever address it claims to have."""
    eventually(lambda: _is_served(balancer), "the balancer has found the nodes")
    for claim in ({}, {"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"}):
        request = urllib.request.Request(f"{balancer.url}/own/mcp", b"{}", claim)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=LIMIT_S).close()
        assert refused.value.code == 401


@LONG
def test_script(tmp_path: Path, store: str, postgres: Postgres) -> None:
    """The script of the compose file starts three nodes with its configuration, which join one cluster."""
    place = tmp_path / "compose"
    shutil.copytree(DEPLOY / "compose", place)
    subprocess.run(["sh", str(place / "secrets.sh")], check=True, timeout=LIMIT_S)
    variables = dict(line.split("=", 1) for line in (place / ".env").read_text().splitlines())
    variables |= {"PATH": f"{BIN}:{os.environ['PATH']}", "MCPGATEWAY_STORE": store, "LANG": "C.UTF-8"}
    ports, nodes = {}, []
    try:
        for address in ADDRESSES:
            home = tmp_path / address
            home.mkdir()
            ports[address] = free_port()
            # An address is a name by which the others reach the node, as the names of containers are.
            own = {"HOSTNAME": address, "MCPGATEWAY_BIND": address, "HOME": str(home)}
            own |= {"MCPGATEWAY_PORT": str(ports[address]), "MCPGATEWAY_CLUSTER_PORT": str(free_port())}
            with (home / "log").open("wb") as log:
                nodes.append(
                    subprocess.Popen(
                        ["sh", str(place / "node.sh")],
                        env=variables | own,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                )
        rows = "SELECT name FROM nodes WHERE is_verified AND until > now() ORDER BY name"
        wanted = [(each,) for each in ADDRESSES]
        eventually(
            lambda: _are_up(postgres, store, rows, wanted, nodes, tmp_path), "the nodes reach each other"
        )
        bearer = {"Authorization": f"Bearer {variables['MCPGATEWAY_ADMIN_TOKEN']}"}
        request = urllib.request.Request(
            f"http://127.0.0.2:{ports[ADDRESSES[0]]}/api/v1/cluster", None, bearer
        )
        request.add_header("Host", "localhost")
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            assert [each["name"] for each in json.load(answer)["items"]] == list(ADDRESSES)
        assert (tmp_path / ADDRESSES[0] / ".mcp-gateway" / "config.yaml").read_text() == (
            place / "config.yaml"
        ).read_text()
        # What clients and the store are given as secrets is in no log.
        for address in ADDRESSES:
            text = (tmp_path / address / "log").read_text()
            assert not [
                name for name, value in variables.items() if re.search("KEY|TOKEN", name) and value in text
            ]
    finally:
        for each in nodes:
            each.send_signal(signal.SIGTERM)
        for each in nodes:
            try:
                each.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                os.killpg(each.pid, signal.SIGKILL)
                each.wait()


def _are_up(
    postgres: Postgres,
    store: str,
    rows: str,
    wanted: list[tuple[str]],
    nodes: list[subprocess.Popen[bytes]],
    directory: Path,
) -> bool:
    for node, address in zip(nodes, ADDRESSES, strict=True):
        assert node.poll() is None, (directory / address / "log").read_text()
    found = postgres.query(store, "SELECT to_regclass('nodes') IS NOT NULL")
    return found == [(True,)] and postgres.query(store, rows) == wanted
