"""Files as mcp-gateway with mcp-ctl has them: how they are known, and the names that it refuses.

Its configuration is JSON, ``{"gateway": {…}, "servers": {…}}``, and nothing in it is unknown to that program.  Between
a server and its tool stands ``__``, so no name of a server may have it there.
"""

from __future__ import annotations

from mcpgateway.config.document import Place, printable
from mcpgateway.config.problems import Problems

GATEWAY = frozenset(
    "transports http_port bind_address ping_interval compress_schemas allow_remote auth_mcp_transport"
    " tls_cert_path tls_key_path tool_filter".split()
)
SERVER = frozenset("command args cwd env url headers rest_url health_endpoint disabled expose_tools".split())
TOP = frozenset(("gateway", "servers", "$schema"))
APART = "__"


def is_theirs(root: Place) -> bool:
    """Tell whether a file is one that mcp-gateway would read."""
    gateway, servers = root.at("gateway"), root.at("servers")
    return (
        root.document.file.endswith(".json")
        and isinstance(gateway.value, dict)
        and isinstance(servers.value, dict)
        and _has_only(root, TOP)
        and _has_only(gateway, GATEWAY)
        and all(isinstance(each.value, dict) and _has_only(each, SERVER) for each in servers.members())
    )


def _has_only(place: Place, known: frozenset[str]) -> bool:
    return all(each.key in known for each in place.members())


def refuse_names(root: Place, problems: Problems) -> None:
    """Add an error for each server of such a file whose name could not be told from that of a tool."""
    for each in root.at("servers").members():
        if APART in each.key:
            other = printable(each.key.replace(APART, "_"))
            what = f"the name '{printable(each.key)}' has {APART} in it, which stands between a server and its tool"
            problems.error(each.where, what, f"call it '{other}'")
