"""The difference of two configurations, and its effect on running servers."""

from __future__ import annotations

from attrs import evolve, field, fields, frozen
from msgspec import Struct

from mcpgateway.config.gateway_settings import GatewaySettings
from mcpgateway.config.model import ServerSettings, ServerSpec, Share
from mcpgateway.config.section import Counts, settings_of
from mcpgateway.config.settings import Settings

# The parts of a configuration beside its servers and the gateway's own settings.
PARTS = ("workspaces", "profiles", "projects", "world", "adopted", "is_disabled", "paused_until", "manhole")
# The name and the place of a server's entry have no effect on its processes.
NOTES = ("source", "is_of_client", "title")
SETTINGS = settings_of(ServerSettings)
# They are looked up with each call or when they are due, so that a running child is not replaced for them.
LIVE = (
    *NOTES,
    *(name for name, each in SETTINGS.items() if each.counts is Counts.AT_ONCE),
    "rest_url",
    "rest_headers",
    "health_url",
)
# Those of them that have no values of a workspace.
SLIGHT = (
    *NOTES,
    *(name for name, each in SETTINGS.items() if each.counts is Counts.AT_ONCE and not each.has_variables),
)
# Those of them that only a call, or a tick, looks up: no list, no limit and no route depends on them.
QUIET = ("source", "is_of_client", "timeout_s", "lazy", "shield", "shield_tools")
# They decide which sessions share a child, and the gateway's declarations to the child.
SHARING = ("workspace", "project", *(name for name, each in SETTINGS.items() if each.regroups))
# Sockets are bound once, and recording begins with the start.
AT_START = tuple(
    name for name, each in settings_of(GatewaySettings).items() if each.counts is Counts.AT_START
)


class ChangedServer(Struct, frozen=True):
    """One server before and after a change.

    :ivar restarts: a child of the former definition has to be replaced.
    :ivar regroups: other sessions may share a child now, so every session is assigned anew.
    :ivar is_slight: no changed setting differs between workspaces.
    :ivar is_quiet: nothing that is derived from the entry has to be derived anew.
    """

    before: ServerSpec
    after: ServerSpec
    restarts: bool = False
    regroups: bool = False
    is_slight: bool = False
    is_quiet: bool = False

    def of(self, server: ServerSpec) -> ServerSpec:
        """Return the server that replaces one that is run for a workspace, where the change is slight, or for none."""
        if server is self.before or not self.is_slight:
            return self.after
        return evolve(server, **{name: getattr(self.after, name) for name in SLIGHT})


@frozen
class Change:
    """The difference of two configurations, computed once: each part of the gateway that it concerns applies it.

    :ivar settings: the configuration afterwards; unchanged servers are the same objects.
    :ivar parts: the names of the gateway's settings, and of the other `PARTS`, that differ.
    """

    settings: Settings = field(repr=False)
    added: tuple[ServerSpec, ...] = ()
    removed: tuple[ServerSpec, ...] = ()
    changed: tuple[ChangedServer, ...] = ()
    parts: frozenset[str] = frozenset()

    @property
    def has_servers(self) -> bool:
        """True if a server is added, removed or changed."""
        return bool(self.added or self.removed or self.changed)

    @property
    def former(self) -> tuple[ServerSpec, ...]:
        """The servers that are removed or changed, as they were."""
        return (*self.removed, *(each.before for each in self.changed))

    @property
    def latter(self) -> tuple[ServerSpec, ...]:
        """The servers that are added or changed, as they are."""
        return (*self.added, *(each.after for each in self.changed))

    @property
    def is_quiet(self) -> bool:
        """True if no server is added or removed, and what is derived from their entries need not be derived anew."""
        return not (self.added or self.removed) and all(each.is_quiet for each in self.changed)

    def concerns(self, *parts: str) -> bool:
        """True if one of these settings differs."""
        return not self.parts.isdisjoint(parts)


def compare(before: Settings, after: Settings) -> Change:
    """Return the difference of two configurations, whose servers are matched by their names."""
    former = {each.name: each for each in before.servers}
    wanted = {each.name for each in after.servers}
    servers = tuple(_former_if_equal(former.get(each.name), each) for each in after.servers)
    pairs = [(former[each.name], each) for each in servers if each.name in former]
    others = [name for name in PARTS if getattr(before, name) != getattr(after, name)]
    return Change(
        evolve(after, servers=servers),
        added=tuple(each for each in servers if each.name not in former),
        removed=tuple(each for each in before.servers if each.name not in wanted),
        changed=tuple(_changed(old, new) for old, new in pairs if old is not new),
        parts=frozenset((*settings_changed(before.gateway, after.gateway), *others)),
    )


def settings_changed(before: GatewaySettings, after: GatewaySettings) -> tuple[str, ...]:
    """Return the names of the gateway's settings that differ."""
    return _differing(before, after)


def at_start(before: GatewaySettings, after: GatewaySettings) -> tuple[str, ...]:
    """Return the names of the changed settings that only count when the gateway starts."""
    return tuple(name for name in settings_changed(before, after) if name in AT_START)


def runs_alike(before: ServerSpec, after: ServerSpec) -> bool:
    """True if a child of one definition of a server serves for another one, too."""
    return set(LIVE).issuperset(_differing(before, after))


def _former_if_equal(former: ServerSpec | None, found: ServerSpec) -> ServerSpec:
    return former if former == found and former is not None else found


def _changed(before: ServerSpec, after: ServerSpec) -> ChangedServer:
    differing = set(_differing(before, after))
    is_shared_otherwise = after.share is Share.CREDENTIAL and "credential" in differing
    return ChangedServer(
        before,
        after,
        restarts=not differing.issubset(LIVE),
        regroups=is_shared_otherwise or not differing.isdisjoint(SHARING),
        is_slight=differing.issubset(SLIGHT),
        is_quiet=differing.issubset(QUIET),
    )


def _differing(before: ServerSpec | GatewaySettings, after: ServerSpec | GatewaySettings) -> tuple[str, ...]:
    names = (each.name for each in fields(type(before)))
    return tuple(name for name in names if getattr(before, name) != getattr(after, name))
