"""What is to be done when one configuration takes the place of another."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import asdict, evolve, field, frozen

from mcpgateway.config.gateway_settings import GatewaySettings
from mcpgateway.config.model import ServerSettings, ServerSpec, Share
from mcpgateway.config.section import Counts, settings_of

# What a server is called and where that is written says nothing of how it runs.
NOTES = ("source", "title")
SETTINGS = settings_of(ServerSettings)
# They are asked for with each call or when they are due, so a child that runs need not know of them.
LIVE = (
    *NOTES,
    *(name for name, each in SETTINGS.items() if each.counts is Counts.AT_ONCE),
    "rest_url",
    "rest_headers",
    "health_url",
)
# Of them those in which nothing stands for a value of a workspace.
SLIGHT = (
    *NOTES,
    *(name for name, each in SETTINGS.items() if each.counts is Counts.AT_ONCE and not each.has_variables),
)
# They decide which sessions use one child together, and what that child is told of them.
SHARING = ("workspace", "project", *(name for name, each in SETTINGS.items() if each.regroups))
# Sockets are bound once, and what is followed is followed from the start.
AT_START = tuple(
    name for name, each in settings_of(GatewaySettings).items() if each.counts is Counts.AT_START
)


@frozen
class ChangedServer:
    """One server before and after.

    :ivar restarts: a child of the former definition must not go on.
    :ivar regroups: who shares a child may be another question now, so no session stays where it is.
    :ivar is_slight: it is no other server for any workspace.
    """

    before: ServerSpec
    after: ServerSpec
    restarts: bool = False
    regroups: bool = False
    is_slight: bool = False

    def of(self, server: ServerSpec) -> ServerSpec:
        """What becomes of a server as it is run for one workspace, where the change is slight, or for none."""
        if server is self.before or not self.is_slight:
            return self.after
        return evolve(server, **{name: getattr(self.after, name) for name in SLIGHT})


@frozen
class Change:
    """The way from one set of servers to another.

    :ivar servers: all servers from now on; those that have not changed are the objects that they were.
    """

    servers: tuple[ServerSpec, ...]
    added: tuple[ServerSpec, ...] = ()
    removed: tuple[ServerSpec, ...] = ()
    changed: tuple[ChangedServer, ...] = field(default=())

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def compare(before: Sequence[ServerSpec], after: Sequence[ServerSpec]) -> Change:
    """Find out what makes two sets of servers different, by their names."""
    former = {each.name: each for each in before}
    wanted = {each.name for each in after}
    servers = tuple(_kept(former.get(each.name), each) for each in after)
    pairs = [(former[each.name], each) for each in servers if each.name in former]
    return Change(
        servers,
        added=tuple(each for each in servers if each.name not in former),
        removed=tuple(each for each in before if each.name not in wanted),
        changed=tuple(_changed(old, new) for old, new in pairs if old is not new),
    )


def settings_changed(before: GatewaySettings, after: GatewaySettings) -> tuple[str, ...]:
    """The names of the gateway's own settings that are not the same."""
    former, latter = asdict(before, recurse=False), asdict(after, recurse=False)
    return tuple(name for name in latter if former[name] != latter[name])


def at_start(before: GatewaySettings, after: GatewaySettings) -> tuple[str, ...]:
    """Those of them that only count when the gateway starts."""
    return tuple(name for name in settings_changed(before, after) if name in AT_START)


def runs_alike(before: ServerSpec, after: ServerSpec) -> bool:
    """Whether a child of one definition of a server serves for another."""
    return _without(before, LIVE) == _without(after, LIVE)


def _kept(former: ServerSpec | None, found: ServerSpec) -> ServerSpec:
    return former if former == found and former is not None else found


def _changed(before: ServerSpec, after: ServerSpec) -> ChangedServer:
    restarts = not runs_alike(before, after)
    regroups = any(getattr(before, name) != getattr(after, name) for name in SHARING)
    if after.share is Share.CREDENTIAL and before.credential != after.credential:
        regroups = True
    is_slight = _without(before, SLIGHT) == _without(after, SLIGHT)
    return ChangedServer(before, after, restarts, regroups, is_slight)


def _without(server: ServerSpec, names: Sequence[str]) -> ServerSpec:
    blank = ServerSpec(server.name, (), {}, "")
    return evolve(server, **{name: getattr(blank, name) for name in names})
