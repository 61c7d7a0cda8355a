"""Nodes of a cluster for tests: real gateways on loopback with one store."""

from __future__ import annotations

import http.client
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import LIMIT_S, Gateway, eventually
from tests.support.ports import free_port

TOKEN, ADMIN = (
    "a-token-of-the-whole-cluster-".ljust(48, "x"),
    "the-admin-token-of-the-cluster-".ljust(48, "x"),
)
BEARER = {"Authorization": f"Bearer {TOKEN}"}
AS_ADMIN = {"Authorization": f"Bearer {ADMIN}"}

BOTH = "application/json, text/event-stream"

LONG = pytest.mark.skipif(
    os.environ.get("MCPGATEWAY_CLUSTER") != "1", reason="it takes long: make test-cluster runs it"
)
"""Of tests that `make test` leaves out, since they wait for leases to run out, or another one there shows as much."""


class Node(Gateway):
    """A node of a cluster.

    :ivar name: its name in the cluster.
    :ivar cluster_port: its port for the other nodes.
    """

    def __init__(  # noqa: PLR0913 - the settings of a node
        self,
        directory: Path,
        name: str,
        store: str,
        key: str,
        servers: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        settings: Mapping[str, Any] | None = None,
        cluster: Mapping[str, Any] | None = None,
        options: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.cluster_port = free_port()
        place = directory / name
        place.mkdir(parents=True, exist_ok=True)
        key_file = place / "cluster.key"
        key_file.write_text(key + "\n")
        key_file.chmod(0o600)
        joined = {
            "store": store,
            "node": name,
            "listen": f"127.0.0.1:{self.cluster_port}",
            "key_file": str(key_file),
            "config": "files",
            **(cluster or {}),
        }
        known = {"MCP_GATEWAY_AUTH_TOKEN": TOKEN, "MCP_GATEWAY_ADMIN_TOKEN": ADMIN}
        is_shared = joined["config"] == "store"
        super().__init__(
            place,
            servers,
            settings={**({} if is_shared else {"cluster": joined}), **(settings or {})},
            options=options,
            environ={**known, **(environ or {})},
        )
        if is_shared:
            self.home.mkdir(mode=0o700, exist_ok=True)
            (self.home / "node.yaml").write_text(json.dumps({"gateway": {"cluster": joined}}))

    def edit(self, **gateway: Any) -> None:
        """Change keys of the section ``gateway`` of its configuration."""
        found = json.loads(self.config.read_text())
        found["gateway"] |= gateway
        self.config.write_text(json.dumps(found))


def cluster_key() -> str:
    """A key of a cluster."""
    return secrets.token_urlsafe(32)


class Cluster:
    """Some nodes with one store.

    :ivar nodes: the nodes, by name.
    """

    def __init__(
        self, directory: Path, store: str, servers: Mapping[str, Mapping[str, Any]], **options: Any
    ) -> None:
        self._directory, self.store, self._servers, self._options = directory, store, servers, options
        self.key = cluster_key()
        self.nodes: dict[str, Node] = {}

    def add(self, name: str, **options: Any) -> Node:
        """Make a node, which is not started yet."""
        made = {**self._options, **options}
        servers = made.pop("servers", self._servers)
        self.nodes[name] = node = Node(self._directory, name, self.store, self.key, servers, **made)
        return node

    def start(self, *names: str) -> list[Node]:
        """Make and start nodes of these names."""
        return [self.add(name).start() for name in names]

    def close(self) -> None:
        """End all nodes, also where one of them does not end in order."""
        with ExitStack() as stack:
            for node in self.nodes.values():
                stack.push(node.__exit__)


class Answer:
    """An answer over HTTP.

    :ivar messages: the JSON-RPC messages in it.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = (
            status,
            {name.lower(): each for name, each in headers.items()},
            body,
        )

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The JSON-RPC messages in it."""
        if not self.headers.get("content-type", "").startswith("text/event-stream"):
            return [json.loads(self.body)] if self.body else []
        lines = self.body.decode().splitlines()
        return [json.loads(line[5:]) for line in lines if line.startswith("data:") and line[5:].strip()]

    @property
    def json(self) -> Any:
        """Its body."""
        return json.loads(self.body)


def ask(
    node: Gateway,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    *,
    port: int = 0,
) -> Answer:
    """Send a request to a node, with the token of the cluster unless the headers say otherwise."""
    connection = http.client.HTTPConnection("127.0.0.1", port or node.port, timeout=LIMIT_S)
    sent = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        **BEARER,
        **(headers or {}),
    }
    try:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body)
        connection.request(method, path, data, sent)
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()


class Client:
    """A client of the legacy era with one session, whose requests go to any node.

    :ivar id: the id of its session.
    """

    def __init__(
        self, node: Gateway, server: str, headers: Mapping[str, str] | None = None, **capabilities: Any
    ) -> None:
        self.path = f"/{server}/mcp" if not server.startswith("/") else server
        self.headers = dict(headers or {})
        self._number = 0
        params = {
            "protocolVersion": "2025-11-25",
            "capabilities": capabilities,
            "clientInfo": {"name": "test", "version": "1"},
        }
        answer = self.post(node, "initialize", params)
        assert answer.status == 200, answer.body
        self.id = answer.headers["mcp-session-id"]
        self.headers["Mcp-Session-Id"] = self.id
        assert self.post(node, "notifications/initialized").status == 202

    def post(self, node: Gateway, method: str, params: Any = None) -> Answer:
        """Send a request or a notification to a node."""
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        if not method.startswith("notifications/"):
            self._number += 1
            message["id"] = self._number
        if params is not None:
            message["params"] = params
        return ask(node, "POST", self.path, message, self.headers)

    def answered(self, node: Gateway, identifier: Any, result: Any) -> Answer:
        """Answer a question of the server."""
        return ask(
            node, "POST", self.path, {"jsonrpc": "2.0", "id": identifier, "result": result}, self.headers
        )

    def call(self, node: Gateway, tool: str, **arguments: Any) -> str:
        """Call a tool at a node; return the text of its result."""
        answer = self.post(node, "tools/call", {"name": tool, "arguments": arguments})
        assert answer.status == 200, (answer.status, answer.body)
        found = answer.messages[-1]
        assert "result" in found, found
        text: str = found["result"]["content"][0]["text"]
        return text

    def end(self, node: Gateway) -> Answer:
        """End the session at a node."""
        return ask(node, "DELETE", self.path, None, self.headers)


def known(nodes: list[Node], postgres: Any, store: str = "") -> list[Node]:
    """Wait until all nodes are in the store, verified."""
    dsn = store or _store_of(nodes[0])
    counted = "SELECT count(*) FROM nodes WHERE is_verified"
    eventually(lambda: postgres.query(dsn, counted) == [(len(nodes),)], "the nodes reach themselves")
    return nodes


def _store_of(node: Node) -> str:
    found: str = json.loads(node.config.read_text())["gateway"]["cluster"]["store"]
    return found
