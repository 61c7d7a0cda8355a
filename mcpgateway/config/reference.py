"""The keys of a configuration file, each with its path, and their reference as reStructuredText."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from attrs import frozen

from mcpgateway.config import (
    cluster,
    entry,
    gateway_settings,
    model,
    reach_settings,
    schema,
    security,
    sleep,
    surface,
)
from mcpgateway.config.fields import Either, ListOf, MapOf
from mcpgateway.config.section import Counts, Key, Section

ANY = "NAME"  # stands in a path for the name of a server, a profile and the like
DEPTH_LIMIT = 8

# Where the keys of each section stand in a file.
SECTIONS = {
    "A file": ("", schema.TOP),
    "The gateway": ("gateway", gateway_settings.GATEWAY),
    "Limits": ("gateway.limits", gateway_settings.LIMITS),
    "The circuit breaker": ("gateway.circuit", gateway_settings.CIRCUIT),
    "Sleep": ("gateway.sleep", sleep.SLEEP),
    "A server": ("servers.<name>", entry.SERVER),
    "When a server runs": ("servers.<name>.lazy", model.LAZY),
    "A container": ("servers.<name>.docker", reach_settings.DOCKER),
    "A request as a tool": ("servers.<name>.tools[]", reach_settings.REST_TOOL),
    "A bearer token": ("servers.<name>.auth", reach_settings.AUTH),
    "OAuth 2.1": ("servers.<name>.oauth", reach_settings.OAUTH),
    "A profile": ("profiles.<name>", schema.PROFILE),
    "A workspace": ("workspaces.<name>", schema.WORKSPACE),
    "The shield of a server": ("servers.<name>.shield", model.SHIELD),
    "A rule of groups": ("gateway.groups[]", surface.GROUP),
    "The filter of tools": ("gateway.tool_filter", surface.TOOL_FILTER),
    "The shield against large answers": ("gateway.shield", surface.SHIELD),
    "A node of a cluster": ("gateway.cluster", cluster.CLUSTER),
    "TLS between nodes": ("gateway.cluster.tls", cluster.CLUSTER_TLS),
    "Authentication": ("settings.security.auth", security.AUTHENTICATION),
    "An authorization server for clients": ("settings.security.oauth", security.OAUTH_RESOURCE),
    "Following calls": ("gateway.trace", gateway_settings.TRACE),
    "Clients' own files": ("clients", gateway_settings.CLIENTS),
    "Compatibility": ("compat", gateway_settings.COMPAT),
}
HEAD = """\
.. list-table::
   :header-rows: 1
   :widths: 17 22 11 14 36

   * - Key
     - Takes
     - Default
     - An edit counts
     - Meaning
"""


@frozen
class KnownKey:
    """A key, and the path of keys from the top of a file to it.

    :ivar counts: when an edit of the key counts in a running gateway.
    """

    key_path: tuple[str, ...]
    key: Key
    counts: Counts


def known_keys() -> Iterator[KnownKey]:
    """Iterate over all keys of a file, in its order."""
    yield from _below(schema.TOP, (), Counts.AT_ONCE)


def _below(kind: Any, key_path: tuple[str, ...], counts: Counts) -> Iterator[KnownKey]:
    if len(key_path) > DEPTH_LIMIT:
        return
    match kind:
        case Section():
            for name, key in kind.keys.items():
                known = KnownKey((*key_path, name), key, key.counts or counts)
                yield known
                yield from _below(key.kind, known.key_path, known.counts)
        case schema.ServerList():
            if key_path == ("servers",):  # the other places of servers have the same keys
                yield from _below(entry.SERVER, (*key_path, ANY), counts)
        case MapOf():
            yield from _below(kind.kind, (*key_path, ANY), counts)
        case ListOf():
            yield from _below(kind.kind, key_path, counts)
        case Either():
            for each in kind.kinds.values():
                yield from _below(each, key_path, counts)


@cache
def _counts() -> dict[tuple[str, ...], Counts]:
    return {each.key_path: each.counts for each in known_keys()}


def counts_of(key_path: Sequence[str]) -> Counts:
    """Return when an edit of the key at a path counts; a key that no table has counts as the nearest above it."""
    above = (tuple(key_path[:length]) for length in range(len(key_path), 0, -1))
    return next((_counts()[each] for each in above if each in _counts()), Counts.AT_ONCE)


def reference() -> str:
    """Return the reference: a table of keys for every section."""
    return "\n".join(_section(title, place, section) for title, (place, section) in SECTIONS.items())


def _section(title: str, place: str, section: Section) -> str:
    where = f"Below ``{place}``." if place else "At the top."
    rows = "".join(_row(place, key) for key in section.keys.values())
    return f"{title}\n{'~' * len(title)}\n\n{where}\n\n{HEAD}{rows}"


def _row(place: str, key: Key) -> str:
    says = key.says if key.is_served else f"{key.says} Has no effect in this release."
    return "".join(_cells(f"``{key.name}``", key.kind.words, _shown(key.default), _when(place, key), says))


def _when(place: str, key: Key) -> str:
    if key.alias or isinstance(key.kind, Section):
        return ""
    key_path = place.replace("<name>", ANY).replace("[]", "").split(".") if place else []
    return counts_of((*key_path, key.name)).value


def _cells(*cells: str) -> Iterator[str]:
    for index, each in enumerate(cells):
        mark = "   * -" if index == 0 else "     -"
        yield f"{mark} {each}".rstrip() + "\n"


def _shown(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "``true``" if value else "``false``"
        case "":
            return '``""``'
        case _:
            return f"``{value}``"
