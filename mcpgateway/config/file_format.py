"""The gateway's configuration files: the ``gateway`` section, profiles, workspaces and servers, in all dialects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from attrs import evolve
from msgspec import Struct
from msgspec.structs import replace

from mcpgateway.config import schema
from mcpgateway.config.dialect import CLIENTS_KEYS, Reading, reading_of, refuse_mcpctl_names, top_servers
from mcpgateway.config.document import Document, Place, printable
from mcpgateway.config.entry import OURS, Entry, Origin, Scope, read_server
from mcpgateway.config.environment import FULL, LISTED, EnvPolicy
from mcpgateway.config.gateway_settings import ClientSettings, GatewaySettings, ManholeSettings
from mcpgateway.config.model import Dialect
from mcpgateway.config.ours import original_of
from mcpgateway.config.overlay import Overlay, is_overlay, read_overlay
from mcpgateway.config.problems import Problem, Problems, Where, Wrong
from mcpgateway.config.section import NOTE_PREFIXES, overlaid
from mcpgateway.config.surface import SearchFormat
from mcpgateway.records import FrozenRecord

SERVER_KEYS = ("mcp", "daemons", "mcpServers", "servers")
TLS_FILES = ("tls_cert_path", "tls_key_path")


class ListedServer(FrozenRecord, frozen=True):
    """A server as a file lists it; its entry is read only if no other file replaces it."""

    title: str
    place: Place
    origin: Origin


class Space(FrozenRecord, frozen=True):
    """A workspace as a file lists it."""

    path: str
    profiles: tuple[str, ...]
    place: Place


class FileReading(Struct, frozen=True):
    """The dialect in which a file was read.

    :ivar env_policy: the policy for its servers that have none of their own.
    """

    file: str
    reading: Reading
    env_policy: EnvPolicy


class Native(FrozenRecord, frozen=True):
    """The gateway's configuration files together: later files replace single settings and whole servers.

    :ivar servers: the servers, by profile and name.
    :ivar overlays: the entries that lie over a server of another file, in the order of the files.
    :ivar profiles: the profiles by name, as `schema.PROFILE` reads them.
    :ivar workspaces: the workspaces by name.
    :ivar address: the place of the address to listen on.
    :ivar security: the place of the security settings.
    :ivar tls: the place of a TLS file.
    :ivar cluster: the place of the settings of the cluster.
    :ivar env_file: the place of the file of values.
    :ivar consolidates: the place of ``consolidate_excess``.
    :ivar manhole: the settings of the manhole.
    :ivar allows_commands: a value may be the output of a program.
    :ivar clients: the settings of clients' own files.
    :ivar readings: the dialect of each file.
    """

    gateway: GatewaySettings = msgspec.field(default_factory=GatewaySettings)
    servers: Mapping[tuple[str, str], ListedServer] = msgspec.field(default_factory=dict)
    profiles: Mapping[str, Mapping[str, Any]] = msgspec.field(default_factory=dict)
    workspaces: Mapping[str, Space] = msgspec.field(default_factory=dict)
    address: Place | None = None
    env_file: Place | None = None
    consolidates: Place | None = None
    clients: ClientSettings = msgspec.field(default_factory=ClientSettings)
    security: Place | None = None
    tls: Place | None = None
    allows_commands: bool = False
    manhole: ManholeSettings = msgspec.field(default_factory=ManholeSettings)
    readings: tuple[FileReading, ...] = ()
    overlays: tuple[ListedServer, ...] = ()
    cluster: Place | None = None


CONSOLIDATE = "consolidate_excess"


def is_client_file(document: Document) -> bool:
    """True if a file is a client's own: it lists servers as clients do, and has no key of the gateway's."""
    found = document.value
    if not isinstance(found, dict):
        return False
    key = next((each for each in CLIENTS_KEYS if isinstance(found.get(each), dict)), "")
    if not key or any(
        each in found for each in schema.TOP.keys.keys() - {key, "projects", "inputs", "version"}
    ):
        return False
    return not any(isinstance(each, dict) and OURS & each.keys() for each in found[key].values())


def read_native(documents: Sequence[Document], problems: Problems) -> Native:
    """Read the gateway's files, each replacing settings of those before it; mistakes are added to the problems."""
    read = Native()
    for document in documents:
        read = _overlay(read, document, problems)
    views = read.gateway.views
    if read.consolidates is not None and views.consolidate_excess and not views.per_server_budget:
        what = "has no effect without a per_server_budget, since no server has too many tools then"
        hint = "set gateway.tool_filter.per_server_budget, or leave this out"
        problems.warn(read.consolidates.where, what, hint)
    return read


def read_servers(native: Native, problems: Problems) -> tuple[Entry, ...]:
    """Read the servers of the gateway's files; mistakes are added to the problems."""
    entries: list[Entry] = []
    for each in native.servers.values():
        entry = (
            read_server(each.title, each.place, each.origin, problems)
            if _is_mapping(each, problems)
            else None
        )
        original = original_of(entry.argv) if entry and entry.argv else None
        if entry and original is not None and not original:
            wrong = entry.place.at("command") if entry.place else each.place
            allowed = "the command of a server; this one starts the gateway itself"
            problems.append(wrong.wrong_secret(allowed).problem)
        elif entry:
            entries.append(evolve(entry, argv=original or entry.argv))
    return tuple(entries)


def read_overlays(native: Native, problems: Problems) -> tuple[Overlay, ...]:
    """Read the overlays of the gateway's files; mistakes are added to the problems."""
    read = (read_overlay(each.title, each.place, problems) for each in native.overlays)
    return tuple(each for each in read if each is not None)


def check_reach(gateway: GatewaySettings, where: Where | None = None) -> None:
    """Check that the gateway is not reachable from other machines by accident.

    :raise ConfigError: the address is not a loopback one, and no setting allows that.
    """
    if not gateway.allow_remote and not is_loopback(gateway.bind_address):
        allowed = "a loopback address, or gateway.allow_remote: true"
        raise Wrong(Problem(where or Where("gateway.bind_address"), f"'{gateway.bind_address}'", allowed))


def is_loopback(address: str) -> bool:
    """True if an IP address can be reached from this machine only."""
    from ipaddress import ip_address

    return ip_address(address).is_loopback


def _is_mapping(each: ListedServer, problems: Problems) -> bool:
    if isinstance(each.place.value, dict):
        return True
    problems.append(each.place.wrong_secret("a mapping").problem)
    return False


def _overlay(before: Native, document: Document, problems: Problems) -> Native:
    root, reading = document.root(), reading_of(document)
    origin = _origin(document, reading)
    if isinstance(root.value, list):
        readings = (*before.readings, _read_as(document, reading, origin))
        return _listing(replace(before, readings=readings), _keyed(root, origin, problems))
    if reading.dialect is Dialect.MCPCTL:
        refuse_mcpctl_names(root, problems)
    top, root = _parted(root, reading)
    found = schema.TOP.read(root, problems)
    section = {
        **({"search_format": SearchFormat.FULL} if origin.is_flat else {}),
        **found.get("gateway", {}),
        "compat": found.get("compat", {}),
        "security": found.get("settings", {}).get("security", {}),
    }
    policy = found.get("env_policy", section.get("env_policy", origin.env_policy))
    origin = replace(origin, env_policy=policy)
    servers = _keyed(top, origin, problems)
    for key in SERVER_KEYS:
        if key in found:
            servers |= _keyed(found[key], origin, problems)
    bundles = {**found.get("profiles", {})}
    workspaces, own = _workspaces(root, found, problems)
    bundles |= own
    for name, bundle in bundles.items():
        if "servers" in bundle:
            servers |= _keyed(bundle["servers"], replace(origin, profile=name), problems)
    place = root.at("gateway")
    read = Native(
        overlaid(before.gateway, section),
        before.servers,
        {**before.profiles, **bundles},
        {**before.workspaces, **workspaces},
        place.at("bind_address") if "bind_address" in section else before.address,
        place.at("env_file") if "env_file" in section else before.env_file,
        place.at("tool_filter").at(CONSOLIDATE)
        if CONSOLIDATE in section.get("tool_filter", {})
        else before.consolidates,
        overlaid(before.clients, found.get("clients", {})),
        root.at("settings").at("security") if "settings" in found else before.security,
        next((place.at(each) for each in TLS_FILES if section.get(each)), before.tls),
        found.get("secrets", {}).get("allow_cmd", before.allows_commands),
        _manhole(before.manhole, found.get("manhole", {}), root, problems),
        (*before.readings, _read_as(document, reading, origin)),
        before.overlays,
        place.at("cluster") if "cluster" in section else before.cluster,
    )
    return _listing(read, servers)


def _listing(native: Native, listed: Mapping[tuple[str, str], ListedServer]) -> Native:
    """Return the files with the entries of one more, of which a whole server replaces all before it of its name."""
    over = {key for key, each in listed.items() if not each.origin.profile and is_overlay(each.place.value)}
    whole = {key: each for key, each in listed.items() if key not in over}
    remaining = [each for each in native.overlays if (each.origin.profile, each.title) not in whole]
    return replace(
        native,
        servers={**native.servers, **whole},
        overlays=(*remaining, *(each for key, each in listed.items() if key in over)),
    )


def _read_as(document: Document, reading: Reading, origin: Origin) -> FileReading:
    return FileReading(document.file, reading, origin.env_policy)


def _origin(document: Document, reading: Reading) -> Origin:
    file = document.file
    directory = file.rpartition("/")[0] or "/"
    is_flat = reading.dialect is Dialect.HARSHAL
    return Origin(
        Scope.NATIVE, file, directory, env_policy=FULL if reading.full_env else LISTED, is_flat=is_flat
    )


def _parted(root: Place, reading: Reading) -> tuple[Place, Place]:
    """Return the servers at the top of a file, and all else in it."""
    keys = top_servers(root.value) if reading.is_top else []
    servers = {key: root.value[key] for key in keys}
    rest = {key: each for key, each in root.value.items() if key not in servers}
    return replace(root, value=servers), replace(root, value=rest)


def _workspaces(
    root: Place, found: Mapping[str, Any], problems: Problems
) -> tuple[dict[str, Space], dict[str, Mapping[str, Any]]]:
    """Return the workspaces of a file, and the profiles that its projects define."""
    workspaces: dict[str, Space] = {}
    profiles: dict[str, Mapping[str, Any]] = {}
    named = [*_projects(root, found, problems), *_by_name(root.at("workspaces"), found.get("workspaces", {}))]
    for name, value, place in named:
        if "path" not in value:
            if not place.has("path"):
                problems.append(place.at("path").wrong("an absolute directory").problem)
            continue
        own = {each: value[each] for each in ("servers", "env") if each in value}
        profile = name if name not in found.get("profiles", {}) else f"{name}-project"
        if own:
            profiles[profile] = own
        listed: tuple[str, ...] = value.get("profiles", ())
        workspaces[name] = Space(value["path"], (*listed, profile) if own else listed, place)
    return workspaces, profiles


def _by_name(place: Place, found: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], Place]]:
    for name, definition in found.items():
        yield name, {"path": definition} if isinstance(definition, str) else definition, place.at(name)


def _projects(
    root: Place, found: Mapping[str, Any], problems: Problems
) -> Iterator[tuple[str, Mapping[str, Any], Place]]:
    """Iterate over the projects of a file; one that has a name only is a warning."""
    place, projects = root.at("projects"), found.get("projects", {})
    if isinstance(projects, Mapping):
        yield from _by_name(place, projects)
        return
    items = list(place.items())
    if len(items) != len(projects):
        return  # one of them could not be read, which is an error already
    for each, one in zip(items, projects, strict=True):
        value: Mapping[str, Any] = {"path": one} if isinstance(one, str) else one
        path = str(value.get("path", ""))
        name = str(value.get("name") or path.rstrip("/").rpartition("/")[2])
        if path.startswith(("/", "~")):
            yield name, value, each
        elif name not in found.get("workspaces", {}):
            shown = printable(name)
            what = f"the project '{shown}' has no directory, and so no values and servers of its own"
            problems.warn(each.where, what, f"workspaces.{shown}.path gives it one")


def _keyed(place: Place, origin: Origin, problems: Problems) -> dict[tuple[str, str], ListedServer]:
    listed = (ListedServer(title, each, origin) for title, each in _titled(place, problems))
    return {(origin.profile, each.title): each for each in listed}


def _titled(place: Place, problems: Problems) -> Iterator[tuple[str, Place]]:
    if isinstance(place.value, dict):
        for each in place.members():
            if each.key == "$schema" or (
                each.key.startswith(NOTE_PREFIXES) and not isinstance(each.value, dict)
            ):
                continue
            yield each.key, each
        return
    names: set[str] = set()
    for each in place.items():
        name = each.at("name").value
        if isinstance(name, str) and name.strip() and name not in names:
            names.add(name)
            yield name, each
        elif isinstance(each.value, dict):
            problems.append(each.at("name").wrong("a name that no other server of the list has").problem)
        else:
            problems.append(each.wrong_secret("a mapping with a name").problem)


def _manhole(
    before: ManholeSettings, found: Mapping[str, Any], root: Place, problems: Problems
) -> ManholeSettings:
    made = overlaid(before, found)
    if found and made.ssh_port and not made.authorized_keys:
        problems.error(
            root.at("manhole").at("ssh_port").where, "has no effect without manhole.authorized_keys"
        )
    return made
