"""Entries to servers: names given, definitions merged, and each built, now or again for a workspace."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from attrs import astuple, evolve, field, frozen

from mcpgateway.config.entry import Entry, Scope
from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.config.names import RESERVED_AFTER_MCP, RESERVED_BEFORE_MCP, Candidate, assign, slug
from mcpgateway.config.overlay import Overlay, by_name
from mcpgateway.config.problems import Problems, Wrong
from mcpgateway.config.resolve import ServerBuilder, WorkspaceSpec, World
from mcpgateway.records import FrozenRecord

__all__ = ["Assembled", "Blueprint", "WorkspaceSpec", "World", "assemble", "specialise"]

RANKS_PER_SCOPE = 1_000_000
# Beginnings of arguments that depend on the project.
RELATIVE = ("./", "../", "${workspace}", "${workspaceFolder}")


@frozen
class Blueprint:
    """The template of a server, which is built once for each workspace that differs.

    :ivar name: the name under which it is served.
    """

    name: str
    entry: Entry
    world: World = field(repr=False)

    @property
    def whole(self) -> Entry:
        """The entry with the settings that lie over it."""
        overlay = self.world.overlays.get(self.name)
        return self.entry if overlay is None else overlay.over(self.entry)

    @property
    def takes_values(self) -> bool:
        """True if the server takes values from the workspace of a client, so that it may differ for each."""
        entry = self.whole
        if entry.env_policy.is_full and entry.has_process and entry.origin.is_ours:
            return True  # it gets all variables of a workspace
        reach = astuple(entry.reach) if entry.reach else ()
        own = (entry.rest_url, entry.rest_headers, entry.health)
        text = repr((entry.argv, entry.env, entry.cwd, reach, entry.inject, own))
        return "$" in text or "{env:" in text


class Assembled(FrozenRecord, frozen=True):
    """All servers of a configuration.

    :ivar servers: the servers for clients without a known workspace.
    :ivar blueprints: their templates, by name.
    :ivar overlays: the settings that lie over them, by name.
    :ivar names: the names of all entries, in their order.
    """

    servers: tuple[ServerSpec, ...]
    blueprints: Mapping[str, Blueprint]
    overlays: Mapping[str, Overlay]
    names: tuple[str, ...]


def specialise(blueprint: Blueprint, workspace: WorkspaceSpec) -> ServerSpec:
    """Build a server for a workspace: with its values, and in its root unless the entry names a directory.

    :raise ConfigError: a required value is missing, or a value has a line break or a NUL.
    """
    building = ServerBuilder(blueprint.name, blueprint.entry, blueprint.world, workspace)
    server = building.server()
    for problem in building.problems.errors:
        raise Wrong(problem)
    return server


def assemble(
    entries: Sequence[Entry],
    world: World,
    limit: int,
    problems: Problems,
    overlays: Iterable[Overlay] = (),
    of_projects: Callable[[], Collection[str]] = tuple,
) -> Assembled:
    """Turn all entries into the servers that are run; mistakes are added to the problems.

    They are in the order of the files, the gateway's own before those of clients, so that a server that is added last
    is the last one everywhere.

    :param limit: the most servers; those beyond it are left out.
    :param overlays: settings that lie over servers, in the order of their precedence.
    :param of_projects: returns the names of the servers of projects' approved files.
    """
    names = names_of(entries, world)
    leaders: dict[str, tuple[int, Entry]] = {}
    wanted: set[str] = set()
    for place, entry in sorted(enumerate(entries), key=lambda pair: _order(pair[1])):
        name = names[place]
        leaders.setdefault(name, (place, entry))
        if entry.enabled:
            wanted.add(name)
    over = by_name(overlays, {name: leader for name, (_, leader) in leaders.items()}, problems, of_projects)
    world = evolve(world, overlays=over)
    servers: list[ServerSpec] = []
    blueprints: dict[str, Blueprint] = {}
    for name, (_, leader) in sorted(leaders.items(), key=lambda pair: _listed(*pair[1])):
        # One definition that two files share is off only where both have switched it off.
        entry = evolve(leader, enabled=name in wanted)
        if len(servers) >= limit:
            _report_left_out(entry, limit, problems)
            continue
        building = ServerBuilder(name, entry, world, is_draft=True)
        server = building.server()
        if building.problems.errors and not entry.origin.is_ours:
            problems.soften(building.problems, "this server is left out")
            continue
        problems += building.problems
        _warn_of_names(name, entry, server, problems)
        servers.append(server)
        # The place holds a whole file, which is not needed any more.
        blueprints[name] = Blueprint(name, evolve(entry, place=None), world)
    return Assembled(tuple(servers), blueprints, over, names)


def names_of(entries: Sequence[Entry], world: World) -> tuple[str, ...]:
    """Return the names of all entries, in their order; entries that are one server have one name.

    Entries of two projects never are one server: each is offered to the clients of its project.  An entry of a project
    that equals one outside of all projects is that server.
    """
    definitions = [(each, _definition(each, world)) for each in entries]
    everybodys = {
        (slug(each.title), definition)
        for each, definition in definitions
        if not each.origin.project and each.enabled
    }
    # An entry that was changed into a server of its own is the shared one again once the change is taken back.
    shared = {
        (slug(each.title), definition)
        for each, definition in definitions
        if not each.origin.project
        and each.enabled
        and (each.enrolled_as == slug(each.title) or each.origin.scope is Scope.NATIVE)
    }
    return assign(
        [
            _candidate(
                each,
                definition,
                is_apart=(slug(each.title), definition) not in everybodys,
                is_shared=not each.origin.project and (slug(each.title), definition) in shared,
            )
            for each, definition in definitions
        ]
    )


def _candidate(entry: Entry, definition: str, *, is_apart: bool, is_shared: bool) -> Candidate:
    scope = entry.origin.scope
    return Candidate(
        title=entry.title,
        rank=scope.value * RANKS_PER_SCOPE + entry.origin.rank,
        definition=repr((definition, entry.origin.project)) if is_apart else definition,
        project=entry.origin.project or entry.origin.profile,
        keeps=scope in (Scope.NATIVE, Scope.USER),
        yields=scope is Scope.DEMO,
        pinned=slug(entry.title) if entry.enrolled_as and is_shared else entry.enrolled_as,
    )


def _order(entry: Entry) -> tuple[object, ...]:
    origin = entry.origin
    unlike = entry.title != slug(entry.title)
    return (origin.scope.value, origin.rank, unlike, origin.project or origin.profile, entry.title)


def _listed(place: int, entry: Entry) -> tuple[object, ...]:
    return (entry.origin.scope.value, entry.origin.rank, entry.origin.project or entry.origin.profile, place)


def _definition(entry: Entry, world: World) -> str:
    # A relative path depends on the project.
    place = entry.origin.directory if depends_on_place(entry) else ""
    # Not its repr, which hides what is secret.
    reach = (type(entry.reach).__name__, astuple(entry.reach)) if entry.reach else ()
    # A profile may give its servers values of its own.
    values = sorted(world.profiles.get(entry.origin.profile, {}).items())
    return repr((entry.argv, sorted(entry.env.items()), entry.cwd, place, reach, values))


def depends_on_place(entry: Entry) -> bool:
    """True if the meaning of an entry depends on the directory of its file."""
    if entry.cwd:
        return not entry.cwd.startswith(("/", "~", "$", "{"))
    program = entry.argv[0] if entry.argv else ""
    if "/" in program and not program.startswith(("/", "~", "$", "{")):
        return True
    return any(each in (".", "..") or each.startswith(RELATIVE) for each in entry.argv)


def _report_left_out(entry: Entry, limit: int, problems: Problems) -> None:
    what = f"is left out; gateway.limits.servers allows {limit}"
    if entry.origin.is_ours:
        problems.error(entry.where(), what)
    else:
        problems.warn(entry.where(), what)


def _warn_of_names(name: str, entry: Entry, server: ServerSpec, problems: Problems) -> None:
    warnings = []
    if name != entry.title:
        is_taken = entry.origin.is_ours and not entry.origin.profile and name != slug(entry.title)
        hint = f"overlay: true lays it over the server {slug(entry.title)} instead" if is_taken else ""
        problems.warn(entry.where(), f"is served under the name {name}", hint)
    if name in RESERVED_AFTER_MCP:
        warnings.append(f"/mcp/{name} is a path of the gateway's own; use /{name}/mcp")
    if name in RESERVED_BEFORE_MCP:
        warnings.append(f"/{name}/mcp is a path of the gateway's own; use /mcp/{name}")
    if server.interactive and server.share is Share.GLOBAL:
        warnings.append(
            "each session gets a process of its own in spite of share: global, because a server with interactive: true"
            " has to know whom it asks"
        )
    for each in warnings:
        problems.warn(entry.where(), each)
