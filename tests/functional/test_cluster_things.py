"""Tests of what one node of a cluster has, and clients of other nodes ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from mcpgateway.cluster.membership import octets_of
from mcpgateway.protocol.node_marks import mark_of
from tests.functional.test_cluster_operation import ACCEPT, FIXTURE, asked, begun, run, states
from tests.support.cluster import AS_ADMIN, BEARER, Cluster, Node
from tests.support.gateway import eventually, server
from tests.support.postgres import Postgres


class Client:
    """A client with a session at a node, at the endpoint of all servers."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._session = begun(node, "mcp/full", path="/mcp/full")

    def request(self, method: str, **params: Any) -> Any:
        """Send a request; return the response."""
        message = {"jsonrpc": "2.0", "id": 2, "method": method, "params": params}
        headers = BEARER | ACCEPT | {"Mcp-Session-Id": self._session, "MCP-Protocol-Version": "2025-06-18"}
        return asked(self._node, "POST", "/mcp/full", message, headers).body

    def call(self, tool: str, **arguments: Any) -> str:
        """Call a tool; return the texts of its result."""
        found = self.request("tools/call", name=tool, arguments=arguments)
        assert "result" in found
        return "\n".join(each["text"] for each in found["result"]["content"])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[Cluster]:
    """Two nodes with a server."""
    made = Cluster(
        tmp_path_factory.mktemp("cluster"), postgres.database(), {"fix": server(FIXTURE, share="global")}
    )
    try:
        made.start("a", "b")
        eventually(lambda: len(states(made.nodes["a"])) == 2, "the nodes know each other")
        eventually(lambda: len(states(made.nodes["b"])) == 2, "the nodes know each other")
        yield made
    finally:
        made.close()


def job_of(client: Client, tool: str = "fix__echo", **arguments: Any) -> str:
    """Begin a call in the background; return the id of the job."""
    found = json.loads(client.call("gateway_invoke_async", id=tool, args=arguments))
    return str(found["jobId"])


def ended(client: Client, job: str) -> dict[str, Any]:
    """Wait for the end of a job; return it."""
    shown: dict[str, Any] = {}

    def is_over() -> bool:
        shown.update(json.loads(client.call("gateway_invoke_status", jobId=job)))
        return shown["status"] not in ("queued", "running")

    eventually(is_over, "the job has ended")
    return shown


def test_job(cluster: Cluster) -> None:
    """A job has the mark of its node, and a session at another node gets its result."""
    a, b = Client(cluster.nodes["a"]), Client(cluster.nodes["b"])
    job = job_of(a, text="hello")
    assert job.startswith(mark_of(octets_of("a")))
    found = ended(b, job)
    assert found["status"] == "completed"
    assert "hello" in json.dumps(found["result"])
    large = ended(b, job_of(a, "fix__big", bytes=200_000))
    assert large["result"]["_ref"].startswith(mark_of(octets_of("a")))
    unknown = b.request(
        "tools/call", name="gateway_invoke_status", arguments={"jobId": f"{mark_of(octets_of('a'))}job_1_x"}
    )
    assert "Job not found" in json.dumps(unknown)


def test_job_over_rest(cluster: Cluster) -> None:
    """A request with the id of a job goes to the node of the job, and all nodes' jobs are one list."""
    a, b = cluster.nodes["a"], cluster.nodes["b"]
    jobs = {"a": job_of(Client(a), text="a"), "b": job_of(Client(b), text="b")}
    found = asked(b, "DELETE", f"/api/v1/jobs/{jobs['a']}", headers=BEARER)
    assert (found.status, found.body["id"]) == (200, jobs["a"])
    listed = asked(b, "GET", "/api/v1/jobs?node=all", headers=BEARER).body
    nodes = {each["id"]: each["node"] for each in listed["items"]}
    assert (nodes[jobs["a"]], nodes[jobs["b"]]) == ("a", "b")
    assert (listed["nodes"], listed["missing"]) == (["a", "b"], [])


def test_result(cluster: Cluster) -> None:
    """The original of a shortened result is read through every node, as a page, by a tool, and as a resource."""
    a, b = Client(cluster.nodes["a"]), Client(cluster.nodes["b"])
    cut = a.call("gateway_invoke", id="fix__big", args={"bytes": 100_000})
    found = re.search(r"n[0-9a-f]{8}_r_[a-z2-7]{16}", cut)
    assert found is not None, cut[-300:]
    assert found[0].startswith(mark_of(octets_of("a")))
    page = json.loads(b.call("gateway_get_result", ref=found[0], limit=1000))
    assert page["ref"] == found[0]
    read = b.request("resources/read", uri=f"gateway://results/{found[0]}")
    assert len(read["result"]["contents"][0]["text"]) > 100_000
    over_rest = asked(cluster.nodes["b"], "GET", f"/api/v1/results/{found[0]}?limit=10", headers=BEARER)
    assert over_rest.body["ref"] == found[0]
    other = found[0][:-1] + ("a" if found[0][-1] != "a" else "b")
    assert asked(cluster.nodes["b"], "GET", f"/api/v1/results/{other}", headers=BEARER).status == 404


def test_code(cluster: Cluster) -> None:
    """A code that one node has made signs a dashboard in through another one, once."""
    a, b = cluster.nodes["a"], cluster.nodes["b"]
    code = asked(a, "POST", "/api/v1/ui/codes", {}).body["code"]
    signed = asked(b, "POST", "/api/v1/ui/sessions", {"secret": code}, headers={})
    assert signed.status == 201
    assert asked(b, "POST", "/api/v1/ui/sessions", {"secret": code}, headers={}).status == 403


def test_reading(cluster: Cluster) -> None:
    """A request names the node that it reads, or all of them; rows tell their nodes."""
    a, b = cluster.nodes["a"], cluster.nodes["b"]
    begun(a, "fix")
    begun(b, "fix")
    assert asked(a, "GET", "/api/v1/cluster?node=b").body["node"] == "b"
    found = asked(a, "GET", "/api/v1/sessions?node=all").body
    assert {each["node"] for each in found["sessions"]} == {"a", "b"}
    assert found["count"] >= len(found["sessions"])
    assert asked(a, "GET", "/api/v1/cluster?node=z").status == 404
    assert asked(a, "GET", "/api/v1/events?node=all").status == 400
    assert asked(a, "GET", "/api/v1/tokens?node=all", headers=BEARER).status == 401
    assert asked(a, "GET", "/api/v1/tokens?node=b", headers=BEARER).status == 401
    assert asked(a, "GET", "/api/v1/tokens?node=b", headers=AS_ADMIN).status == 200


def test_acts(cluster: Cluster) -> None:
    """An act on a server names its node, and is done at another node, or at all, if it is told so."""
    a, b = cluster.nodes["a"], cluster.nodes["b"]

    def runs(node: Node) -> bool:
        return bool(asked(node, "GET", "/api/v1/servers/fix").body["pids"])

    assert asked(a, "POST", "/api/v1/servers/stop?node=all").status == 200
    assert asked(a, "POST", "/api/v1/servers/fix/start?wait=30s&node=b").body["node"] == "b"
    assert (runs(a), runs(b)) == (False, True)
    assert "fix runs at node a." in run(a, "servers", "start", "fix").stdout
    told = run(a, "servers", "stop", "fix", "--node", "all")
    assert [f"fix is stopped at node {each}" in told.stdout for each in "ab"] == [True, True]
    assert (told.returncode, runs(a), runs(b)) == (0, False, False)
    assert "fix runs at node b." in run(a, "servers", "restart", "fix", "--node", "b").stdout
    assert (runs(a), runs(b)) == (False, True)
    every = asked(a, "POST", "/api/v1/servers/none/stop?node=all")
    assert (every.status, [each["code"] for each in every.body["items"]]) == (404, [404, 404])
    assert asked(a, "POST", "/api/v1/servers/fix/stop?node=z").status == 404
    assert asked(a, "POST", "/api/v1/servers/fix/stop?node=all", headers={}).status == 401


def test_no_credential(cluster: Cluster) -> None:
    """What a node has for other nodes is told to nodes only."""
    a = cluster.nodes["a"]
    assert asked(a, "GET", "/cluster/v1/jobs/job_1_x").status == 404
    there = type("Port", (), {"url": f"http://127.0.0.1:{a.cluster_port}"})
    assert asked(there, "GET", "/cluster/v1/jobs/job_1_x").status == 403  # type: ignore[arg-type]
