"""When an edit of a key counts in a gateway that runs.

Nearly all of them count at once, which a test shows of each; the others are named here.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from mcpgateway.config.model import ServerSettings
from mcpgateway.config.section import settings_of

ANY = "NAME"  # stands in a road for the name of a server, a profile and the like


class Counts(Enum):
    """When it does, in the words of the reference."""

    AT_ONCE = "at once"
    NEW_PROCESS = "by a new process of the server"
    AT_START = "when the gateway starts again"
    NEVER = "never; it is a note"


_AT_START = {
    "gateway": "http_port bind_address listen tls_cert_path tls_key_path",
    "gateway.trace": "record_lines activity begin otlp otlp_headers",
    "compat": "ports",
}
_NEW_PROCESS = {
    "gateway": "env_policy",
    "": "dialect env_policy",
    "profiles.NAME": "env",
    "projects": "env",
    "projects.NAME": "env",
    "servers.NAME": "command args env env_policy cwd url headers auth oauth ca_file insecure proxy tls_verify type"
    " transport port path docker openapi operations credentials tools",
}
_NEVER = {
    "": "version inputs",
    "gateway": "transports",
    "compat": "errors",
    "profiles.NAME": "description",
    "workspaces.NAME": "description",
    "projects": "description",
    "projects.NAME": "description",
    "servers.NAME": "name description tags capabilities headersHelper autoApprove alwaysAllow alwaysLoad disabledTools"
    " trust lifecycle directTools includeTools excludeTools gallery version dev",
}
_BY_ROAD = {
    f"{place}.{name}" if place else name: counts
    for counts, table in (
        (Counts.AT_START, _AT_START),
        (Counts.NEW_PROCESS, _NEW_PROCESS),
        (Counts.NEVER, _NEVER),
    )
    for place, names in table.items()
    for name in names.split()
} | {
    f"servers.NAME.{key.name}": Counts.NEW_PROCESS
    for each in settings_of(ServerSettings).values()
    if not each.is_live
    for key in each.keys
}


def counts_of(road: Sequence[str]) -> Counts:
    """When an edit of the key at the end of this road counts."""
    # What is below a key counts as it does.
    above = (".".join(road[:length]) for length in range(len(road), 0, -1))
    return next((_BY_ROAD[each] for each in above if each in _BY_ROAD), Counts.AT_ONCE)


def named() -> frozenset[str]:
    """The roads of all keys that do not count at once."""
    return frozenset(_BY_ROAD)
