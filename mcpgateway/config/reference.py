"""The reference of all keys, as reStructuredText, made from the tables that files are read with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mcpgateway.config import gatewaykeys, model, schema, security, serverkeys
from mcpgateway.config.edit.effective import ANY, counts_of
from mcpgateway.config.section import Key, Section

# Where the keys of each section stand in a file.
SECTIONS = {
    "A file": ("", schema.TOP),
    "The gateway": ("gateway", gatewaykeys.GATEWAY),
    "Limits": ("gateway.limits", gatewaykeys.LIMITS),
    "The circuit breaker": ("gateway.circuit", gatewaykeys.CIRCUIT),
    "A server": ("servers.<name>", serverkeys.SERVER),
    "When a server runs": ("servers.<name>.lazy", model.LAZY),
    "A container": ("servers.<name>.docker", serverkeys.DOCKER),
    "A request as a tool": ("servers.<name>.tools[]", serverkeys.REST_TOOL),
    "A bearer token": ("servers.<name>.auth", serverkeys.AUTH),
    "OAuth 2.1": ("servers.<name>.oauth", serverkeys.OAUTH),
    "A profile": ("profiles.<name>", schema.PROFILE),
    "A workspace": ("workspaces.<name>", schema.WORKSPACE),
    "The shield of a server": ("servers.<name>.shield", model.SHIELD),
    "The filter of tools": ("gateway.tool_filter", gatewaykeys.TOOL_FILTER),
    "The shield against large answers": ("gateway.shield", gatewaykeys.SHIELD),
    "Authentication": ("settings.security.auth", security.AUTHENTICATION),
    "An authorization server for clients": ("settings.security.oauth", security.OAUTH_RESOURCE),
    "Following calls": ("gateway.trace", gatewaykeys.TRACE),
    "Clients' own files": ("clients", gatewaykeys.CLIENTS),
    "Compatibility": ("compat", gatewaykeys.COMPAT),
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


def reference() -> str:
    """Return the reference: a table of keys for every section."""
    return "\n".join(_section(title, place, section) for title, (place, section) in SECTIONS.items())


def _section(title: str, place: str, section: Section) -> str:
    where = f"Below ``{place}``." if place else "At the top."
    rows = "".join(_row(place, key) for key in section.keys.values())
    return f"{title}\n{'~' * len(title)}\n\n{where}\n\n{HEAD}{rows}"


def _row(place: str, key: Key) -> str:
    says = key.says if key.is_served else f"{key.says} Has no effect in this release."
    return "".join(_cells(f"``{key.name}``", key.kind.words, _shown(key.default), _counts(place, key), says))


def _counts(place: str, key: Key) -> str:
    if key.alias or isinstance(key.kind, Section):
        return ""
    road = place.replace("<name>", ANY).replace("[]", "").split(".") if place else []
    return counts_of((*road, key.name)).value


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
