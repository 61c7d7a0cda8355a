"""One entry of a configuration file: a server as it is written, before its variables are expanded."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from attrs import evolve, field, frozen

from mcpgateway.config import serverkeys
from mcpgateway.config.document import Place, dotted
from mcpgateway.config.environment import LISTED, EnvPolicy
from mcpgateway.config.model import (
    MIB,
    UNLIMITED,
    Lazy,
    Project,
    Reach,
    Remote,
    Rest,
    ServerSettings,
    Transport,
)
from mcpgateway.config.problems import Problems, Where
from mcpgateway.config.reach import PROGRAM_TYPES, URL_KEYS, read_headers, read_reach
from mcpgateway.config.section import Section, overlaid, said_of

# What a client's own file says that is used: the program, and whether it is switched on.
CLIENT_KEYS = serverkeys.SERVER.only("command", "args", "env", "environment", "cwd", "enabled", "disabled")
# What harshal-mcp-proxy documents for a lazy server.
S004_LAZY = Lazy(enabled=False, idle_s=300.0, ram_bytes=512 * MIB)


class Scope(Enum):
    """Where an entry stands; the first goes before the others when they want one name."""

    NATIVE = 0
    USER = 1
    PROJECT = 2
    DEMO = 3


@frozen
class Origin:
    """Which file and scope an entry is from.

    :ivar scope: the kind of place.
    :ivar words: file and scope, for people.
    :ivar directory: what a relative directory in the entry is relative to.
    :ivar project: the project's directory, for project entries.
    :ivar env_policy: which variables the children are given unasked.
    :ivar rank: orders the files of one scope.
    :ivar profile: the profile that defines it.
    :ivar is_flat: the file is nothing but servers, whose start and end follow rules of their own.
    """

    scope: Scope
    words: str
    directory: str
    project: str = ""
    env_policy: EnvPolicy = LISTED
    rank: int = 0
    profile: str = ""
    is_flat: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether the file is a configuration of ours, where a mistake is an error and not passed over."""
        return self.scope is Scope.NATIVE


@frozen(eq=False)
class Entry(ServerSettings):
    """A server as one file defines it.

    :ivar said: the names of the settings that the file says; classification files may say the others.
    :ivar transport: what was said of how it is spoken with; None leaves it to the URL.
    :ivar rest_headers: for its own REST API, where nothing else of it takes any.
    :ivar enrolled_as: the name that a client's file leads to already, or "".
    """

    title: str
    argv: tuple[str, ...] = field(repr=False)
    env: Mapping[str, str] = field(repr=False)
    origin: Origin
    place: Place | None = field(default=None, repr=False)
    cwd: str = ""
    env_policy: EnvPolicy = LISTED
    reach: Reach | None = None
    transport: Transport | None = None
    rest_url: str = field(default="", repr=False)
    rest_headers: Mapping[str, str] = field(factory=dict, repr=False)
    health: str = ""
    enrolled_as: str = ""
    said: frozenset[str] = frozenset()

    @property
    def has_process(self) -> bool:
        """Whether the gateway starts something for it, which has an environment."""
        return not isinstance(self.reach, Remote | Rest)

    def where(self, *path: str) -> Where:
        """File, line and key of the entry or of a part of it; finding the line is work that only a message is worth."""
        if self.place is None:
            return Where(self.origin.words, 0, dotted((self.title, *path)))
        place = self.place
        for step in path:
            place = place.at(step)
        return place.where


def is_program(value: Mapping[str, Any]) -> bool:
    """Tell whether an entry of a client's file is a program that is spoken with on its stdin and stdout."""
    if value.get("command") is None:
        return False
    if value.get("type") is not None:
        return value["type"] in PROGRAM_TYPES
    remote = (*URL_KEYS, "rest_url", "openapi", "docker")
    return value.get("transport") in (None, "stdio") and all(value.get(key) is None for key in remote)


def url_of(value: Mapping[str, Any]) -> str:
    """Return the URL of a remote entry, or ""."""
    return next((value[key] for key in URL_KEYS if isinstance(value.get(key), str)), "")


def read_program(place: Place, origin: Origin, problems: Problems) -> Entry | None:
    """Read what a client's own file says of a server; None where that is not enough to run it."""
    before = len(problems.errors)
    found = CLIENT_KEYS.read(place, problems)
    env = _variables(found)
    reached = read_reach(found, place, env, problems)
    if reached is None or len(problems.errors) > before:
        return None
    return Entry(
        title=place.key,
        argv=reached.argv,
        env=env,
        origin=origin,
        place=place,
        cwd=found.get("cwd", ""),
        env_policy=origin.env_policy,
        reach=reached.reach,
        enabled=said_of(ServerSettings, found).get("enabled", True),
    )


def read_server(title: str, place: Place, origin: Origin, problems: Problems) -> Entry | None:
    """Read a server of a configuration of ours; None where it cannot be used, which is among the problems."""
    table: Section = serverkeys.SERVER
    before = len(problems.errors)
    found = table.read(place, problems)
    env = _variables(found)
    reached = read_reach(found, place, env, problems)
    if reached is None or len(problems.errors) > before:
        return None
    _warn_of_replicas(found, place, problems)
    said = said_of(ServerSettings, found)
    settings = {**said, "lazy": _lazy(found.get("lazy"), is_flat=origin.is_flat), **_projects(found, env)}
    return Entry(
        title=title,
        argv=reached.argv,
        env=env,
        origin=origin,
        place=place,
        cwd=found.get("cwd", ""),
        env_policy=found.get("env_policy", origin.env_policy),
        reach=reached.reach,
        transport=reached.transport,
        rest_url=found.get("rest_url", ""),
        rest_headers=_rest_headers(found, reached.reach, place, problems),
        health=found.get("health_endpoint", ""),
        said=frozenset(said),
        **settings,
    )


def _variables(found: Mapping[str, Any]) -> dict[str, str]:
    return {**found.get("environment", {}), **found.get("env", {})}


def _rest_headers(
    found: Mapping[str, Any], reach: Reach | None, place: Place, problems: Problems
) -> Mapping[str, str]:
    if isinstance(reach, Remote | Rest):
        return {}
    if "rest_url" in found:
        return read_headers(found, place, problems)
    for key in ("headers", "auth"):
        if key in found:
            hint = "set a variable in env, or name the REST API they are for with rest_url"
            problems.warn(place.at(key).where, "is sent to nobody, since the server is a program", hint)
    return {}


def _warn_of_replicas(found: Mapping[str, Any], place: Place, problems: Problems) -> None:
    limited = found.get("concurrency", UNLIMITED) != UNLIMITED
    if limited and found.get("replicas", 1) > 1:
        hint = "leave out one of the two"
        what = "has no effect beside concurrency, which keeps a shared server to one process"
        problems.warn(place.at("replicas").where, what, hint)


def _lazy(found: Any, *, is_flat: bool) -> Lazy:
    if found is None:
        return Lazy(enabled=not is_flat)
    said: Mapping[str, Any] = found if isinstance(found, dict) else {"enabled": found}
    enabled = said.get("enabled", not is_flat)
    return evolve(overlaid(S004_LAZY if is_flat and enabled else Lazy(), said), enabled=enabled)


def _projects(found: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, Any]:
    """Return what the tools of a code graph are told of the projects it knows, as settings."""
    listed = found.get("projects")
    named = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    projects = [
        Project(each["name"], each["path"])
        for each in named
        if isinstance(each.get("name"), str) and isinstance(each.get("path"), str)
    ]
    roots = [each.strip() for each in env.get("SCAN_ROOTS", "").split(",") if each.strip()]
    known = {each.path for each in projects}
    projects += [Project(each, each) for each in roots if each not in known]
    usual = found.get("defaultProject", "")
    if isinstance(usual, str) and usual.startswith("/") and usual not in known:
        projects.append(Project(usual, usual))
    if not projects:
        return {"projects": (), "default_project": ""}
    names = [each.name for each in projects]
    return {
        "projects": tuple(projects),
        "default_project": usual if usual in names else names[0],
        "inject": {"projectPath": "${project}", **found.get("inject_args", {})},
    }
