"""Tests of the limits of each principal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.functional.test_cluster_operation import ACCEPT, FIXTURE, HELLO, Reply, asked, states
from tests.support.cluster import AS_ADMIN, BEARER, Cluster
from tests.support.gateway import Gateway, eventually, server

LIMITS = {"limits": {"sessions": 4, "children": 2}}
SERVERS = {"fix": server(FIXTURE, share="global"), "own": server(FIXTURE, share="session")}


def token_of(gateway: Any, name: str, headers: dict[str, str] = AS_ADMIN) -> dict[str, str]:
    """Make a token for an agent; return its header."""
    made = asked(gateway, "POST", "/api/v1/tokens", {"name": name}, headers)
    assert made.status == 201, made.text
    return {"Authorization": f"Bearer {made.body['token']}"}


def begun(gateway: Any, name: str, agent: dict[str, str]) -> Reply:
    """Begin a session."""
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}
    return asked(gateway, "POST", f"/{name}/mcp", message, agent | ACCEPT)


def is_good(answer: Reply) -> bool:
    """Return whether a session has begun."""
    return "result" in answer.body


def test_nodes(tmp_path: Path, store: str) -> None:
    """Each node of a cluster takes its share of a limit, and names it where it refuses."""
    cluster = Cluster(tmp_path, store, SERVERS, cluster=LIMITS)
    try:
        a, b = cluster.start("a", "b")
        for node in (a, b):
            eventually(lambda node=node: len(states(node)) == 2, "the nodes know each other")
        one, other = token_of(a, "one"), token_of(a, "other")
        eventually(
            lambda: asked(b, "GET", "/api/v1/tools", headers=one).status == 200, "the token counts everywhere"
        )
        for node in (a, b):
            assert [is_good(begun(node, "fix", one)) for _ in range(3)] == [True, True, False]
        refused = begun(a, "fix", one).body["error"]["message"]
        assert "gateway.cluster.limits.sessions: 4, which is 2 at each of 2 nodes" in refused
        assert [is_good(begun(a, "own", other)) for _ in range(2)] == [True, False]
        assert is_good(begun(a, "fix", BEARER))
    finally:
        cluster.close()


def test_alone(tmp_path: Path) -> None:
    """A gateway that is alone takes the whole limit."""
    admin = "the-admin-token-of-this-gateway-".ljust(48, "x")
    environ = {"MCP_GATEWAY_ADMIN_TOKEN": admin}
    with Gateway(tmp_path, SERVERS, settings={"cluster": LIMITS}, environ=environ) as gateway:
        agent = token_of(gateway, "one", {"Authorization": f"Bearer {admin}"})
        assert [is_good(begun(gateway, "own", agent)) for _ in range(3)] == [True, True, False]
        assert [is_good(begun(gateway, "fix", agent)) for _ in range(3)] == [True, True, False]
