"""At which nodes of a cluster an edit of this home's files counts: the gateway shares it once it has seen it."""

from __future__ import annotations

from collections.abc import Mapping

from mcpgateway.shim.locations import socket_path
from mcpgateway.system.gateway_health import OVERVIEW, ask_socket
from mcpgateway.system.paths import gateway_home


def where_it_counts(home: str, environ: Mapping[str, str]) -> str:
    """Return at which nodes an edit counts, as a sentence; empty where the gateway is alone, or does not run.

    :param home: the home; empty for the usual one.
    """
    found = ask_socket(socket_path(environ, gateway_home(environ, home or None)), OVERVIEW).body
    node = found.get("cluster")
    if not isinstance(node, dict):
        return ""
    name = node.get("node")
    if node.get("config") == "files":
        return f"It counts at node {name} alone: the configuration is not shared (gateway.cluster.config is files)."
    if node.get("store") == "up":
        return f"Node {name} shares it with the other nodes within seconds."
    return (
        f"It counts at node {name} alone: the store of the cluster cannot be reached. The other nodes get it when the"
        f" store is back, unless the file has changed there, too; then theirs counts, and this one is kept aside."
    )
