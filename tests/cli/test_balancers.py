"""Tests of the configurations of load balancers."""

from __future__ import annotations

import secrets
from pathlib import Path

from mcpgateway.cli.balancers.configurations import NodeBehind, haproxy, nginx
from mcpgateway.cluster.membership import octets_of
from mcpgateway.protocol.session_ids import SessionIds
from mcpgateway.protocol.versions import LEGACY

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
NODES = [NodeBehind(name, octets_of(name), f"10.0.0.{at}:9100") for at, name in enumerate("abc", 1)]


def test_files() -> None:
    """The configurations in the directory deploy are those of three nodes."""
    assert (DEPLOY / "haproxy" / "mcpgateway.cfg").read_text() == haproxy(NODES, 9100)
    assert (DEPLOY / "nginx" / "mcpgateway.conf").read_text() == nginx(NODES, 9100)


def test_prefix() -> None:
    """The prefix of a node begins each id that it issues."""
    for node in NODES:
        ids = SessionIds(secrets.token_bytes(32), node.octets)
        issued = ids.issue(secrets.token_bytes(16), 1_800_000_000, "time", "someone", LEGACY[-1])
        assert issued.decode().startswith(node.prefix)


def test_names() -> None:
    """HAProxy asks again for the address of a node that has a name, and needs no resolver for other nodes."""
    named = [NodeBehind("a", octets_of("a"), "node-a.example:9100")]
    assert "parse-resolv-conf" in haproxy(named, 9100)
    assert "init-addr" in haproxy(named, 9100)
    six = [NodeBehind("a", octets_of("a"), "[fd00::1]:9100")]
    assert "resolv" not in haproxy(six, 9100)


def test_draining() -> None:
    """A node that is drained is tried last by nginx for new sessions, unless all nodes are drained."""
    one, two = NODES[:2]
    drained = NodeBehind("b", two.octets, two.address, is_draining=True)
    group = nginx([one, drained], 9100).partition("least_conn;")[2].partition("}")[0]
    assert f"{two.address} max_fails=1 fail_timeout=2s backup" in group
    assert f"{one.address} max_fails=1 fail_timeout=2s;" in group
    assert "backup" not in nginx([drained], 9100).partition("least_conn;")[2].partition("}")[0]


def test_tls() -> None:
    """A node that speaks https is asked by TLS, and its certificate is checked by the machine's authorities."""
    plain = NodeBehind("a", b"\1\2\3\4", "10.0.0.1:9100")
    secure = NodeBehind("b", b"\5\6\7\0", "10.0.0.2:9100", is_tls=True)
    made = haproxy([plain, secure], 9100)
    assert "    server a 10.0.0.1:9100\n" in made
    assert "    server b 10.0.0.2:9100 ssl verify required ca-file @system-ca" in made
    assert "proxy_pass https://$mcpgateway_node;" in nginx([secure], 9100)
    assert "proxy_pass http://$mcpgateway_node;" in nginx([plain], 9100)
