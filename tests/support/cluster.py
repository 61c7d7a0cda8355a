"""Nodes of a cluster for tests: real gateways on loopback with one store."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import Gateway
from tests.support.ports import free_port

TOKEN, ADMIN = (
    "a-token-of-the-whole-cluster-".ljust(48, "x"),
    "the-admin-token-of-the-cluster-".ljust(48, "x"),
)
BEARER = {"Authorization": f"Bearer {TOKEN}"}
AS_ADMIN = {"Authorization": f"Bearer {ADMIN}"}

LONG = pytest.mark.skipif(
    os.environ.get("MCPGATEWAY_CLUSTER") != "1", reason="it takes long: make test-cluster runs it"
)
"""Of tests that `make test` leaves out, since they wait for leases and memberships to run out."""


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
        super().__init__(
            place,
            servers,
            settings={"cluster": joined, **(settings or {})},
            options=options,
            environ={**known, **(environ or {})},
        )

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
        """End all nodes."""
        for node in self.nodes.values():
            node.__exit__(None, None, None)
