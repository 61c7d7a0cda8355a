"""The official conformance suites through three nodes, behind a balancer that sends each request to the next one."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance import ran
from tests.support import conformance
from tests.support.cluster import LONG, TOKEN, Cluster, known
from tests.support.gateway import Gateway, eventually, server
from tests.support.ports import free_port
from tests.support.postgres import Postgres

pytestmark = pytest.mark.functional

# In the modern era a call that changes the lists, and the subscription to them, may come to two nodes.
SERVERS = {
    "legacy": server(conformance.server("legacy")),
    "modern": server(conformance.server("modern"), instances="one"),
}
HAPROXY = """
global
    maxconn 1000
defaults
    mode http
    timeout connect 5s
    timeout client 300s
    timeout server 300s
frontend clients
    bind 127.0.0.1:{port}
    http-request set-header Authorization "Bearer {token}"
    default_backend nodes
backend nodes
    balance roundrobin
{nodes}
"""


@pytest.fixture
def balanced(tmp_path: Path, store: str, postgres: Postgres) -> Iterator[str]:
    """The URL of a balancer in front of three nodes."""
    program = shutil.which("haproxy") or "/usr/sbin/haproxy"
    cluster = Cluster(tmp_path / "nodes", store, SERVERS)
    port = free_port()
    nodes = known(cluster.start("a", "b", "c"), postgres)
    listed = "\n".join(f"    server {each.name} 127.0.0.1:{each.port}" for each in nodes)
    config = tmp_path / "haproxy.cfg"
    config.write_text(HAPROXY.format(port=port, token=TOKEN, nodes=listed))
    proxy = subprocess.Popen([program, "-q", "-f", str(config)])
    try:
        eventually(lambda: _listens(port), "the balancer listens")
        yield f"http://127.0.0.1:{port}"
    finally:
        proxy.terminate()
        proxy.wait(30)
        cluster.close()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True


@LONG
@pytest.mark.parametrize("era", sorted(SERVERS))
def test_same_score(era: str, balanced: str, tmp_path: Path) -> None:
    """Whatever passes at one gateway passes at three nodes of which each gets every third request."""
    directories = [tmp_path / name for name in ("one", "three")]
    for each in directories:
        each.mkdir()
    courses = conformance.courses()
    (tmp_path / "alone").mkdir()
    with Gateway(tmp_path / "alone", SERVERS) as alone:
        one = ran(courses, f"{alone.url}/{era}/mcp", directories[0])
    three = ran(courses, f"{balanced}/{era}/mcp", directories[1])
    told = {fault: three.told.get(fault[:3]) for fault in three.faults - one.faults}
    assert told == {}
