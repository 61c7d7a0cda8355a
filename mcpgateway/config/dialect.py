"""The dialects of a configuration file: the place of its servers, and the environment that they get.

# Note [By its own servers]
A file's dialect depends on two things only: the word under ``dialect``, else the place of its servers.  Settings of the
gateway that are added to the file do not change it: an editor writes ``dialect`` into a file that would be read in
another dialect afterwards (`mark`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mcpgateway.config import schema
from mcpgateway.config.document import Document, Place, printable
from mcpgateway.config.model import Dialect
from mcpgateway.config.problems import Problems
from mcpgateway.config.section import NOTE_PREFIXES

KEY = "dialect"
# The keys below which servers stand.
CLIENTS_KEYS = ("mcpServers", "mcp")
DAEMONS_KEY, OURS_KEY = "daemons", "servers"
KLIPIDE_KEYS = ("profiles", "workspaces", "projects")
OLDER_KLIPIDE_KEY = "projects"
REACHES = ("command", "url", "type")


class Reading(Struct, frozen=True):
    """The dialect of a file.

    :ivar why: the reason, for people.
    :ivar is_top: its servers stand at the top, beside settings of the gateway.
    :ivar is_open: it has no servers, so nothing in it would be read differently.
    """

    dialect: Dialect
    why: str
    is_top: bool = False
    is_open: bool = False

    @property
    def full_env(self) -> bool:
        """True if its servers get the whole login environment, as in the program of that dialect."""
        return self.dialect not in (Dialect.OURS, Dialect.MCPCTL)


def reading_of(document: Document) -> Reading:
    """Return the dialect of a file; see Note [By its own servers]."""
    found = _reading(document.value)
    if found.dialect is Dialect.OURS and is_mcpctl(document.root()):
        return replace(found, dialect=Dialect.MCPCTL, why="it has no key that is unknown to that program")
    return found


def _reading(value: Any) -> Reading:
    if isinstance(value, list):
        return Reading(Dialect.DAEMONS, "it is a list of servers", is_top=True)
    found: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
    is_top = _is_top(found)
    declared = found.get(KEY)
    marked = next((each for each in Dialect if each.value == declared), None)
    if marked is not None:
        return Reading(marked, f"{KEY} says so", is_top=is_top)
    if is_top:
        return Reading(Dialect.HARSHAL, "its servers stand at the top", is_top=True)
    return _by_place(found)


def _by_place(found: Mapping[str, Any]) -> Reading:
    held = {key for key in (*CLIENTS_KEYS, DAEMONS_KEY, OURS_KEY) if found.get(key)}
    if found.get(OLDER_KLIPIDE_KEY) and held <= {OURS_KEY}:
        return Reading(Dialect.KLIPIDE, f"it has {OLDER_KLIPIDE_KEY}")
    if OURS_KEY in held:
        return Reading(Dialect.OURS, f"its servers stand under {OURS_KEY}")
    for key in CLIENTS_KEYS:
        if key in held:
            return Reading(Dialect.CLIENTS, f"its servers stand under {key}")
    if held:
        return Reading(Dialect.DAEMONS, f"its servers stand under {DAEMONS_KEY}")
    bundles = [key for key in KLIPIDE_KEYS if found.get(key)]
    if bundles:
        return Reading(Dialect.KLIPIDE, f"it has {' and '.join(bundles)}, and no servers beside them")
    return Reading(Dialect.OURS, "it has no servers", is_open=True)


def looks_like_server(value: Any) -> bool:
    """True if a value at the top of a file is a server and no section."""
    return isinstance(value, Mapping) and any(isinstance(value.get(key), str | list) for key in REACHES)


def top_servers(value: Mapping[str, Any]) -> list[str]:
    """Return the keys at the top of a file that are servers, where they stand there."""
    return [
        key
        for key, each in value.items()
        if not _is_note(key) and (key not in schema.TOP.keys or looks_like_server(each))
    ]


def _is_top(found: Mapping[str, Any]) -> bool:
    places = (*CLIENTS_KEYS, DAEMONS_KEY, OURS_KEY, *KLIPIDE_KEYS)
    if any(found.get(key) and not looks_like_server(found[key]) for key in places):
        return False
    named = top_servers(found)
    return bool(named) and all(looks_like_server(found[key]) for key in named)


def has_servers_at_top(value: Any) -> bool:
    """True if a new server is added at the top of a file with this content."""
    return _reading(value).is_top


def _is_note(key: str) -> bool:
    return key == "$schema" or key.startswith(NOTE_PREFIXES)


def mark(before: Any, after: Any) -> str:
    """Return the word that a file needs under ``dialect`` to be read as before; "" where it needs none.

    :param before: the content of the file before a change.
    :param after: its content after it.
    """
    former, now = _reading(before), _reading(after)
    is_same = former.dialect is now.dialect
    return "" if is_same or former.is_open or now.is_open else former.dialect.value


MCPCTL_GATEWAY_KEYS = frozenset(
    "transports http_port bind_address ping_interval compress_schemas allow_remote auth_mcp_transport"
    " tls_cert_path tls_key_path tool_filter".split()
)
MCPCTL_SERVER_KEYS = frozenset(
    "command args cwd env url headers rest_url health_endpoint disabled expose_tools".split()
)
MCPCTL_TOP_KEYS = frozenset(("gateway", "servers", "$schema"))
MCPCTL_SEPARATOR = "__"


def is_mcpctl(root: Place) -> bool:
    """True if mcp-gateway would read a file, too."""
    gateway, servers = root.at("gateway"), root.at("servers")
    return (
        root.document.file.endswith(".json")
        and isinstance(gateway.value, dict)
        and isinstance(servers.value, dict)
        and _has_only(root, MCPCTL_TOP_KEYS)
        and _has_only(gateway, MCPCTL_GATEWAY_KEYS)
        and all(
            isinstance(each.value, dict) and _has_only(each, MCPCTL_SERVER_KEYS) for each in servers.members()
        )
    )


def _has_only(place: Place, known: frozenset[str]) -> bool:
    return all(each.key in known for each in place.members())


def refuse_mcpctl_names(root: Place, problems: Problems) -> None:
    """Add an error for each server of such a file whose name looks like that of a tool."""
    for each in root.at("servers").members():
        if MCPCTL_SEPARATOR in each.key:
            other = printable(each.key.replace(MCPCTL_SEPARATOR, "_"))
            called = f"the name '{printable(each.key)}' has {MCPCTL_SEPARATOR} in it"
            what = f"{called}, which stands between a server and its tool"
            problems.error(each.where, what, f"call it '{other}'")
