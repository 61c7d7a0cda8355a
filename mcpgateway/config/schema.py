"""Which keys a configuration of ours may have, and which one was probably meant."""

from __future__ import annotations

from mcpgateway.config.document import Place, printable

TOP = frozenset(
    "gateway settings clients servers mcpServers profiles workspaces projects compat env_policy version"
    " $schema".split()
)
GATEWAY = frozenset(
    "listen http_port bind_address allow_remote expose ping_interval ping_interval_ms compress_schemas"
    " auth_mcp_transport tls_cert_path tls_key_path tool_filter shield limits transports env_policy env_file"
    " allowed_hosts allowed_origins trust_other_users bridge drain drain_ms circuit".split()
)
LIMITS = frozenset(
    "concurrent backlog wait wait_ms body_bytes rest_body_bytes log_streams servers spawns drain drain_ms"
    " sessions handshake reap".split()
)
SERVER = frozenset(
    "type command args env environment env_policy cwd url httpUrl serverUrl headers headersHelper oauth"
    " docker rest_url health_endpoint openapi share scope protocol enabled disabled timeout timeout_ms"
    " interactive bridge prefix lazy port transport expose_tools auth name description tags capabilities"
    " projects defaultProject autoApprove alwaysAllow disabledTools trust".split()
)
# Any of these makes an entry one of ours: no client writes them.
OURS = frozenset(
    "share scope env_policy interactive bridge lazy protocol prefix expose_tools rest_url openapi".split()
)


def unknown(place: Place, known: frozenset[str]) -> list[str]:
    """Return a warning for every key of a mapping that is not known, with the nearest one that is."""
    strange = (each for each in place.members() if each.key not in known)
    return [f"{each.where}: is not a known key and is ignored{_nearest(each.key, known)}" for each in strange]


def _nearest(key: str, known: frozenset[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(printable(key), sorted(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""
