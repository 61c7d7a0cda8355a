"""Entries to servers: names given, definitions merged, variables expanded, environments built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import evolve, field, frozen

from mcpgateway.config import environment
from mcpgateway.config.classification import Classification
from mcpgateway.config.document import printable
from mcpgateway.config.entry import Entry, Scope
from mcpgateway.config.expand import FORBIDDEN, expand
from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.config.names import RESERVED_AFTER_MCP, RESERVED_BEFORE_MCP, Candidate, assign, slug
from mcpgateway.errors import ConfigError

RANKS_PER_SCOPE = 1_000_000


@frozen
class World:
    """What the entries are expanded in.

    :ivar login: the environment of the user's login.
    :ivar variables: the gateway's own ``.env``, which goes before it as a source of values.
    :ivar home: the user's home directory.
    :ivar classified: what classification files say, by name.
    """

    login: Mapping[str, str] = field(repr=False)
    variables: Mapping[str, str] = field(repr=False)
    home: str
    classified: Mapping[str, Classification] = field(factory=dict)
    root: str = ""


@frozen
class WorkspaceSpec:
    """A directory that a server is built for.

    :ivar path: its root, a real path.
    :ivar variables: its ``.env``, which goes before all other sources of values.
    :ivar profiles: names of the profiles it uses, in order.
    """

    path: str
    variables: Mapping[str, str] = field(factory=dict, repr=False)
    profiles: tuple[str, ...] = ()


@frozen
class Blueprint:
    """What a server is built from, once for each workspace that needs a build of its own.

    :ivar name: the name it is served under.
    """

    name: str
    entry: Entry
    world: World = field(repr=False)


def specialise(blueprint: Blueprint, workspace: WorkspaceSpec) -> ServerSpec:
    """Build a server for a workspace: with its values, and in its directory unless the entry names one.

    :raise ConfigError: the entry demands a value that is not there, or a value holds what it must not.
    """
    world = evolve(
        blueprint.world, variables={**blueprint.world.variables, **workspace.variables}, root=workspace.path
    )
    return _server(blueprint.name, blueprint.entry, world, [])


def assemble(
    entries: Sequence[Entry], world: World, limit: int, warnings: list[str]
) -> tuple[ServerSpec, ...]:
    """Turn all entries into the servers that are run.

    :param limit: how many servers there may be; those beyond it are left out with a warning.
    :raise ConfigError: an entry of our own files cannot be expanded.
    """
    names = assign([_candidate(each) for each in entries])
    leaders: dict[str, Entry] = {}
    for name, entry in sorted(zip(names, entries, strict=True), key=lambda pair: _order(pair[1])):
        leaders.setdefault(name, entry)
    servers: list[ServerSpec] = []
    for name, entry in leaders.items():
        if len(servers) >= limit:
            warnings.append(f"{entry.where}: is left out; gateway.limits.servers allows {limit}")
            continue
        try:
            server = _server(name, entry, world, warnings)
        except ConfigError as why:
            if entry.origin.is_ours:
                raise
            warnings.append(f"{why}; this server is left out")
            continue
        servers.append(server)
        warnings += _about_name(name, entry)
        if server.interactive and server.share is Share.GLOBAL:
            warnings.append(
                f"{entry.where}: each session gets a process of its own in spite of share: global, because a server"
                " with interactive: true has to know whom it asks"
            )
    return tuple(servers)


def _candidate(entry: Entry) -> Candidate:
    scope = entry.origin.scope
    return Candidate(
        title=entry.title,
        rank=scope.value * RANKS_PER_SCOPE + entry.origin.rank,
        definition=_definition(entry),
        project=entry.origin.project,
        keeps=scope in (Scope.NATIVE, Scope.USER),
        yields=scope is Scope.DEMO,
    )


def _order(entry: Entry) -> tuple[object, ...]:
    origin = entry.origin
    return (origin.scope.value, origin.rank, entry.title != slug(entry.title), origin.project, entry.title)


def _definition(entry: Entry) -> str:
    # What one project means by a relative path is not what another means by it.
    place = entry.origin.directory if _depends_on_place(entry) else ""
    return repr((entry.argv, sorted(entry.env.items()), entry.cwd, place))


def _depends_on_place(entry: Entry) -> bool:
    if entry.cwd:
        return not entry.cwd.startswith(("/", "~", "$", "{"))
    program = entry.argv[0]
    if "/" in program and not program.startswith(("/", "~", "$", "{")):
        return True
    return any(each in (".", "..") or each.startswith(("./", "../")) for each in entry.argv)


def _server(name: str, entry: Entry, world: World, warnings: list[str]) -> ServerSpec:
    own = _Expander(entry, world, warnings)
    said = world.classified.get(entry.title) or world.classified.get(name) or Classification()
    command = tuple(own.expand(each, "command") for each in entry.argv)
    if not command[0].strip():
        raise ConfigError(f"{entry.where}: the command is empty once its variables are expanded")
    cwd = _directory(own.expand(entry.cwd, "cwd"), entry, world.home)
    timeout_s = entry.timeout_s if entry.timeout_s is not None else said.timeout_s
    return ServerSpec(
        name=name,
        command=(_home_expanded(command[0], world.home), *command[1:]),
        env=_environment(entry, world, own, cwd, warnings),
        cwd=cwd,
        share=entry.share or said.share or Share.AUTO,
        timeout_s=timeout_s or 0.0,
        interactive=entry.interactive,
        protocol=entry.protocol,
        bridge=entry.bridge,
        source=entry.origin.words,
        title=entry.title,
    )


class _Expander:
    """Expands the texts of one entry and says what it could not."""

    def __init__(self, entry: Entry, world: World, warnings: list[str]) -> None:
        system = world.login if entry.full_env else environment.minimal(world.login)
        self.values = {**system, **world.variables}
        self.entry = entry
        self.warnings = warnings

    def expand(self, text: str, key: str) -> str:
        keep = not self.entry.origin.is_ours
        found = expand(text, self.values, keep_unset=keep)
        where = f"{self.entry.where}.{printable(key)}"
        if found.demanded:
            raise ConfigError(f"{where}: {printable(found.demanded[0])}")
        if found.broken:
            raise ConfigError(f"{where}: the variable {found.broken[0]} holds a line break or a NUL")
        for name in dict.fromkeys(found.unset):
            outcome = "and is left as it is written" if keep else "and is read as empty"
            self.warnings.append(f"{where}: the variable {name} is not set {outcome}")
        return found.text


def _environment(entry: Entry, world: World, own: _Expander, cwd: str, warnings: list[str]) -> dict[str, str]:
    # A client's child finds its directory in PWD, as every program started by a shell does.
    found = {**world.login, "PWD": cwd} if entry.full_env else environment.minimal(world.login)
    for name, text in entry.env.items():
        value = own.expand(text, f"env.{name}")
        if entry.origin.is_ours and FORBIDDEN.search(value):
            raise ConfigError(f"{entry.where}.env.{printable(name)}: holds a line break")
        found[name] = value
    risky = environment.code_loading(entry.env)
    if risky and entry.origin.scope is not Scope.DEMO:
        names = ", ".join(printable(each) for each in risky)
        warnings.append(
            f"{entry.where}.env: {names} can make the server run other code; be sure that you set it"
        )
    return found


def _directory(cwd: str, entry: Entry, home: str) -> str:
    if not cwd:
        return entry.origin.project or home
    cwd = _home_expanded(cwd, home)
    if cwd.startswith("/"):
        return cwd
    base = entry.origin.directory.rstrip("/")
    return f"{base}/{cwd.removeprefix('./')}" if cwd != "." else base or "/"


def _home_expanded(path: str, home: str) -> str:
    return home + path[1:] if path == "~" or path.startswith("~/") else path


def _about_name(name: str, entry: Entry) -> list[str]:
    found = []
    if name != entry.title:
        found.append(f"{entry.where}: is served under the name {name}")
    if name in RESERVED_AFTER_MCP:
        found.append(f"{entry.where}: /mcp/{name} is a path of the gateway's own; use /{name}/mcp")
    if name in RESERVED_BEFORE_MCP:
        found.append(f"{entry.where}: /{name}/mcp is a path of the gateway's own; use /mcp/{name}")
    return found
