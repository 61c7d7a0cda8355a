"""All files together to settings, with the problems of all of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from attrs import evolve

from mcpgateway.config.client import ClientServers, read_client
from mcpgateway.config.cluster import joined
from mcpgateway.config.document import Document, Place, printable
from mcpgateway.config.edit.edits import NAME, KeyPath
from mcpgateway.config.entry import Entry
from mcpgateway.config.file_format import Native, check_reach, read_native, read_overlays, read_servers
from mcpgateway.config.gateway_settings import GatewaySettings
from mcpgateway.config.merge import Assembled, Blueprint, World, assemble
from mcpgateway.config.model import ClientFile, Profile, Workspace
from mcpgateway.config.problems import Problem, Problems, Where
from mcpgateway.config.reach_settings import Remote
from mcpgateway.config.resolve import LOOPBACK_NAMES
from mcpgateway.config.section import nearest
from mcpgateway.config.security import settled
from mcpgateway.config.settings import Settings
from mcpgateway.errors import ConfigError
from mcpgateway.records import FrozenRecord

# The reason for restored entries while the whole gateway is disabled.
DISABLED = "disabled"
DEFAULT_PORTS = {"http": 80, "https": 443}


class EnrolledServers(FrozenRecord, frozen=True):
    """The servers of an enrolled client's file.

    :ivar projects: the directories of its projects.
    """

    found: ClientServers
    file: ClientFile
    projects: tuple[str, ...] = ()


class EnrolledFile(Protocol):
    """An enrolled client's file."""

    @property
    def path(self) -> str:
        """The path as it was named."""

    @property
    def suspended(self) -> str:
        """The reason for which its entries are restored for now; empty where it uses the gateway."""

    def servers(
        self, gateway: GatewaySettings, opted_out: frozenset[str], rank: int, problems: Problems
    ) -> EnrolledServers:
        """Read its servers as they would be without the gateway.

        :param opted_out: the servers that stay their clients' own.
        :param rank: the rank of the file among those of its scope.
        """


class Files(FrozenRecord, frozen=True):
    """All files of a configuration, parsed.

    :ivar native: the gateway's own files, each of which outranks those before it.
    :ivar sources: clients' own files.
    :ivar extra: entries that are in no file.
    :ivar adopted: enrolled files of clients.
    :ivar opted_out: the servers that stay their clients' own.
    :ivar of_projects: returns the names of the servers of projects' approved files.
    :ivar pause_ends: the recorded end of a pause of the clients, in epoch seconds; 0 for none.
    :ivar of_node: the path of the file with the settings of this node of a cluster alone.
    """

    native: Sequence[Document] = ()
    sources: Sequence[Document] = ()
    extra: Sequence[Entry] = ()
    adopted: Sequence[EnrolledFile] = ()
    opted_out: frozenset[str] = frozenset()
    pause_ends: float = 0.0
    of_projects: Callable[[], Collection[str]] = tuple
    of_node: str = ""


class Circumstances(FrozenRecord, frozen=True):
    """The circumstances in which settings are made.

    :ivar port: the port that outranks that of the files, or None.
    :ivar real: makes a path a real one.
    """

    world: World
    port: int | None = None
    real: Callable[[str], str] = str


def compose(
    files: Files, circumstances: Circumstances, problems: Problems, native: Native | None = None
) -> Settings | None:
    """Make settings of files; None where there is an error among the problems.

    :param native: the gateway's own files, where they have been read already.
    """
    native = native or read_native(files.native, problems)
    gateway = (
        native.gateway if circumstances.port is None else evolve(native.gateway, http_port=circumstances.port)
    )
    gateway = _secured(gateway, native, circumstances, problems)
    _check_shared(files, gateway, problems)
    own = read_servers(native, problems)
    found = [read_client(document, rank, problems) for rank, document in enumerate(files.sources)]
    adopted = _adopted(files, native, gateway, problems)
    first = len(own) + sum(len(each.entries) for each in found)
    found += [each.found for each in adopted]
    entries = (*own, *(entry for each in found for entry in each.entries), *files.extra)
    values = {name: each.get("env", {}) for name, each in native.profiles.items()}
    world = evolve(circumstances.world, profiles=values)
    overlays = read_overlays(native, problems)
    assembled = assemble(entries, world, gateway.limits.servers, problems, overlays, files.of_projects)
    world = evolve(world, overlays=assembled.overlays)
    _refuse_itself(assembled, own, gateway, problems)
    if not gateway.cluster.is_on:
        _warn_of_labels(own, problems)
    workspaces = _workspaces(native, circumstances, problems)
    if problems.errors:
        return None
    is_paused = any(each.suspended == DISABLED for each in files.adopted)
    return Settings(
        gateway,
        assembled.servers,
        _passthrough(found, gateway),
        problems.warnings,
        assembled.blueprints,
        workspaces,
        _profiles(native, files, assembled.blueprints, problems),
        tuple(
            dict.fromkeys((*_projects(files.sources), *(path for each in adopted for path in each.projects)))
        ),
        world,
        evolve(native.clients, opt_out=_opted_out(files, native)),
        tuple(_with_moved(adopted, iter(assembled.names[first:]))),
        is_paused,
        files.pause_ends if is_paused else 0.0,
        native.manhole,
    )


BEARER_REQUIRED = "bearer-required"


def _secured(
    gateway: GatewaySettings, native: Native, circumstances: Circumstances, problems: Problems
) -> GatewaySettings:
    try:
        check_reach(gateway, native.address.where if native.address else None)
    except ConfigError as why:
        problems.catch(why)
    if bool(gateway.tls_cert_path) is not bool(gateway.tls_key_path):
        here = native.tls.where if native.tls else Where("gateway.tls_cert_path")
        problems.error(
            here, "one of tls_cert_path and tls_key_path is missing", "name both files, or neither"
        )
    where = native.security.where if native.security else Where("settings.security")
    world = circumstances.world
    sources = {**world.login, **world.variables, **world.outside}
    security = settled(gateway.security, sources, where, problems)
    here = native.cluster.where if native.cluster else Where("gateway.cluster")
    cluster = joined(gateway.cluster, {**world.own, **sources}, here, problems)
    if cluster.is_on and gateway.auth_mcp_transport != BEARER_REQUIRED:
        # Behind a balancer all clients seem to be programs of one machine.
        if gateway.auth_mcp_transport:
            problems.error(here, f"a node of a cluster needs gateway.auth_mcp_transport: {BEARER_REQUIRED}")
        gateway = evolve(gateway, auth_mcp_transport=BEARER_REQUIRED)
    return evolve(gateway, security=security, cluster=cluster)


def _check_shared(files: Files, gateway: GatewaySettings, problems: Problems) -> None:
    """Refuse the settings of a node in a file that all nodes have."""
    if not gateway.cluster.is_on or gateway.cluster.config != "store":
        return
    for each in files.native:
        place = each.root().at("gateway").at("cluster")
        if place.value is not None and each.file != files.of_node:
            problems.error(
                place.where,
                "all nodes of the cluster have this file, and gateway.cluster is of one node",
                f"move it to {files.of_node}, or set config: files there, with which no file is shared",
            )


def _warn_of_labels(entries: Iterable[Entry], problems: Problems) -> None:
    for each in entries:
        if each.on:
            problems.warn(each.where("on"), "has no effect, since the gateway is no node of a cluster")


def _opted_out(files: Files, native: Native) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*native.clients.opt_out, *sorted(files.opted_out))))


def _adopted(
    files: Files, native: Native, gateway: GatewaySettings, problems: Problems
) -> list[EnrolledServers]:
    out = frozenset(_opted_out(files, native))
    ranks = range(len(files.sources), len(files.sources) + len(files.adopted))
    return [
        each.servers(gateway, out, rank, problems) for rank, each in zip(ranks, files.adopted, strict=True)
    ]


def _with_moved(adopted: Sequence[EnrolledServers], names: Iterator[str]) -> Iterator[ClientFile]:
    """Iterate over enrolled files, with their entries that were changed into servers of their own.

    :param names: the names of all their entries, in order.
    """
    for each in adopted:
        moved = tuple(
            (tuple(map(str, entry.place.path)), name)
            for entry, name in zip(each.found.entries, names, strict=False)
            if entry.place is not None and entry.enrolled_as not in ("", name)
        )
        if not moved or each.file.suspended:
            yield each.file
            continue
        news = (f"{printable('.'.join(key_path))} is served as {name}" for key_path, name in moved)
        yield msgspec.structs.replace(
            each.file, moved=moved, unsettled=(*each.file.unsettled, *dict.fromkeys(news))
        )


def is_ours(url: str, gateway: GatewaySettings) -> bool:
    """True if a URL is one of the gateway itself."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return False
    return port in (gateway.http_port, *gateway.ports) and parts.hostname in (
        *LOOPBACK_NAMES,
        gateway.bind_address,
    )


def _passthrough(found: Sequence[ClientServers], gateway: GatewaySettings) -> int:
    return sum(not is_ours(url, gateway) for each in found for url in each.remotes)


def _refuse_itself(
    assembled: Assembled, own: Sequence[Entry], gateway: GatewaySettings, problems: Problems
) -> None:
    entries = {(each.origin.profile, each.title): each for each in own}
    for server in assembled.servers:
        if isinstance(server.reach, Remote) and is_ours(server.reach.url, gateway):
            built = assembled.blueprints[server.name].entry
            where = entries[built.origin.profile, built.title].where("url")
            allowed = "the URL of a server; this one is the gateway's own"
            problems.append(Problem(where, "the gateway's own", allowed))


def _projects(sources: Sequence[Document]) -> tuple[str, ...]:
    listed = (each.value.get("projects") for each in sources if isinstance(each.value, dict))
    paths = (path for each in listed if isinstance(each, dict) for path in each)
    return tuple(dict.fromkeys(path for path in paths if path.startswith("/")))


def _workspaces(native: Native, circumstances: Circumstances, problems: Problems) -> tuple[Workspace, ...]:
    found: list[Workspace] = []
    for name, space in native.workspaces.items():
        path, place = space.path, space.place
        if path == "~" or path.startswith("~/"):
            path = circumstances.world.home + path[1:]
        if not path.startswith("/"):
            problems.append(place.at("path").wrong("an absolute directory").problem)
        for each in space.profiles:
            if each not in native.profiles:
                hint = nearest(each, native.profiles)
                problems.warn(
                    place.at("profiles").where, f"the profile '{printable(each)}' is not defined", hint
                )
        found.append(Workspace(name, circumstances.real(path), space.profiles))
    return tuple(found)


def _profiles(
    native: Native, files: Files, blueprints: Mapping[str, Blueprint], problems: Problems
) -> dict[str, Profile]:
    def own(name: str) -> tuple[str, ...]:
        return tuple(each.name for each in blueprints.values() if each.entry.origin.profile == name)

    found = {}
    for name, profile in native.profiles.items():
        include = tuple(profile.get("include", ()))
        for each in include:
            if each not in blueprints and (meant := nearest(each, blueprints)):
                places = (document.root().at("profiles").at(name).at("include") for document in files.native)
                where = next(place.where for place in places if place.value is not None)
                problems.warn(where, f"the server '{printable(each)}' is not defined", meant)
        found[name] = Profile(
            name,
            _capabilities(profile),
            tuple(dict.fromkeys((*own(name), *include))),
            include,
            tuple(profile.get("tools_off", ())),
            profile.get("env", {}),
            profile.get("tier", "").replace("destructive", ""),
            profile.get("budget", 0),
        )
    return found


def _capabilities(profile: Mapping[str, Any]) -> tuple[str, ...]:
    found = profile.get("capabilities", ())
    return tuple(found if isinstance(found, tuple) else found.get("include", ()))


def place_of(files: Files, entry: Entry) -> Place | None:
    """Return the place of an entry in the files; None where it is in none of them."""
    problems = Problems()
    found = [*read_servers(read_native(files.native, problems), problems)]
    for rank, document in enumerate(files.sources):
        found += read_client(document, rank, problems).entries
    same = (each for each in found if each.title == entry.title and each.origin == entry.origin)
    return next((each.place for each in same), None)


def overlays_of(files: Files, name: str) -> tuple[Place, ...]:
    """Return the places of the entries that lie over a server, the one that outranks the others last."""
    listed = read_native(files.native, Problems()).overlays
    return tuple(each.place for each in listed if each.title == name)


def key_path_of(place: Place) -> KeyPath:
    """Return the path of edits to a place, in which an item of a list is known by its name."""
    key_path: list[str] = []
    value: Any = place.document.value
    for step in place.path:
        value = value[step]
        key_path.append(str(value[NAME]) if isinstance(step, int) else step)
    return tuple(key_path)
