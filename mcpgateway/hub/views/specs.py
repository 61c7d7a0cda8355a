"""Which views there are, and which servers each of them shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from mcpgateway.config.model import GatewaySettings, Profile, ServerSpec, Share
from mcpgateway.config.surface import Expose

MAIN = "mcp"
ADMIN = "admin"
FULL, SEARCH, HYBRID = Expose.FULL.value, Expose.SEARCH.value, Expose.HYBRID.value
_PROFILES = "mcp/p/"
_FIXED = {"mcp/full": FULL, "mcp/search": SEARCH, "mcp/admin": ADMIN}


@frozen
class Ways:
    """What the settings say of views.

    :ivar profiles: by name.
    """

    gateway: GatewaySettings
    profiles: Mapping[str, Profile]


def view_specs(ways: Ways) -> tuple[ServerSpec, ...]:
    """The entries of all views; their names are their paths."""
    kinds = {MAIN: ways.gateway.views.expose.value, **_FIXED}
    kinds.update({f"{_PROFILES}{each}": FULL for each in ways.profiles})
    return tuple(
        ServerSpec(name, (), {}, "/", Share.GLOBAL, title=name, source="the gateway itself", view=kind)
        for name, kind in kinds.items()
    )


def members(view: ServerSpec, servers: Iterable[ServerSpec], ways: Ways) -> tuple[ServerSpec, ...]:
    """The servers that a view shows: all that are switched on, or those of its profile."""
    name = view.name.removeprefix(_PROFILES)
    named = None if name == view.name else ways.profiles[name].servers if name in ways.profiles else ()
    return tuple(each for each in servers if each.enabled and (named is None or each.name in named))
