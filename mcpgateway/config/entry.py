"""One entry of a configuration file: a server as it is written, before its variables are expanded."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from attrs import evolve, field, frozen
from msgspec import Struct

from mcpgateway.config.document import Document, Place, dotted
from mcpgateway.config.environment import LISTED, EnvPolicy
from mcpgateway.config.fields import (
    FILLED,
    POLICY,
    Anything,
    ArgumentList,
    Choice,
    Duration,
    Either,
    Flag,
    Text,
    Texts,
    VariableMap,
    tried,
)
from mcpgateway.config.model import MIB, SHARES, UNLIMITED, CallLimit, Lazy, Project, ServerSettings
from mcpgateway.config.problems import Problems, Where
from mcpgateway.config.reach import PROGRAM_TYPES, read_headers, read_reach
from mcpgateway.config.reach_settings import (
    DOCKER,
    PROGRAM,
    REST_URL,
    TRANSPORTS,
    URL_KEYS,
    Daemon,
    Reach,
    Remote,
    Rest,
    Transport,
)
from mcpgateway.config.section import (
    Counts,
    Key,
    Section,
    keyed,
    keys_of,
    overlaid,
    same,
    setting,
    settings_in,
    settings_of,
)

# The documented defaults of harshal-mcp-proxy for a lazy server.
S004_LAZY = Lazy(enabled=False, idle_s=300.0, ram_bytes=512 * MIB)


class Scope(Enum):
    """The kind of file of an entry; the first has precedence when several entries want one name."""

    NATIVE = 0
    USER = 1
    PROJECT = 2
    DEMO = 3


COMMAND_LINE = "the command line"  # stands for the file of an entry that no file has yet


class Origin(Struct, frozen=True):
    """The file and the scope of an entry.

    :ivar scope: the kind of file.
    :ivar words: file and scope, for people.
    :ivar directory: the directory to which the entry's relative paths are relative.
    :ivar project: the project's directory, for project entries.
    :ivar env_policy: the variables of the login environment that the children get.
    :ivar rank: the rank of the file among those of its scope.
    :ivar profile: the profile that defines the entry.
    :ivar is_flat: the file is harshal-mcp-proxy's, whose servers are not lazy by default.
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
        """True if the file is the gateway's configuration, in which a mistake is an error and no warning."""
        return self.scope is Scope.NATIVE


def _variables(section: Mapping[str, Any]) -> dict[str, str]:
    return {**section.get("environment", {}), **section.get("env", {})}


@frozen(eq=False, repr=False, kw_only=True)
class Entry(ServerSettings):
    """A server as one file defines it.

    :ivar explicit: the names of the settings that the file has; classification files may set the others.
    :ivar transport: the transport that the entry names; None leaves it to the URL.
    :ivar rest_headers: the headers for the server's own REST API, where nothing else in the entry takes headers.
    :ivar enrolled_as: the name under which a client's file uses the server already, or "".
    """

    title: str
    origin: Origin
    place: Place | None = field(default=None, repr=False)
    argv: tuple[str, ...] = field(default=(), repr=False)
    env: Mapping[str, str] = setting(
        "env",
        VariableMap(),
        "Variables, as a mapping or as a list of ``K=V``.",
        {},
        also=(same("environment", VariableMap(), "env"),),
        read=_variables,
        is_secret=True,
        counts=Counts.NEW_PROCESS,
    )
    env_policy: EnvPolicy = setting(
        "env_policy",
        POLICY,
        "Which variables of the login it is given beyond ``env``: ``minimal``, ``allow-list``, ``full``, or a list"
        " of these words and of names, such as ``[allow-list, SSH_AUTH_SOCK, -TZ]``.",
        "allow-list",
        is_ours=True,
        counts=Counts.NEW_PROCESS,
    )
    cwd: str = setting("cwd", Text(), "The directory it runs in.", value="", counts=Counts.NEW_PROCESS)
    reach: Reach | None = None
    transport: Transport | None = None
    rest_url: str = keyed(REST_URL, value="", is_secret=True)
    rest_headers: Mapping[str, str] = field(factory=dict, repr=False)
    health: str = setting(
        "health_endpoint",
        FILLED,
        "The path below ``rest_url`` that answers while the server is well.",
        value="",
    )
    enrolled_as: str = ""
    explicit: frozenset[str] = frozenset()

    @property
    def has_process(self) -> bool:
        """True if the gateway starts a process for the server."""
        return not isinstance(self.reach, Remote | Rest)

    def where(self, *path: str) -> Where:
        """Return file, line and key of the entry or of a part of it; finding the line takes time."""
        if self.place is None:
            return Where(self.origin.words, 0, dotted((self.title, *path)))
        place = self.place
        for step in path:
            place = place.at(step)
        return place.where


SERVER = Section(
    "A server",
    [
        Key(
            "command",
            PROGRAM,
            "The program, or a list of the program and its arguments, which stay when another program alone is set.",
            counts=Counts.NEW_PROCESS,
        ),
        Key("args", ArgumentList(), "Arguments of the program.", counts=Counts.NEW_PROCESS),
        *(key for key in keys_of(Entry) if key not in set(keys_of(ServerSettings))),
        *keys_of(Remote),
        Key(
            "type",
            Choice.of("stdio", "local", "remote", "docker", "rest", *TRANSPORTS),
            "The kind of server, where its other keys do not say it.",
            counts=Counts.NEW_PROCESS,
        ),
        Key(
            "transport",
            Choice.of("stdio", "docker", *TRANSPORTS),
            "How it is spoken with.",
            counts=Counts.NEW_PROCESS,
        ),
        *keys_of(Daemon),
        Key("path", FILLED, "The path at that port.", "/mcp", counts=Counts.NEW_PROCESS),
        Key(
            "docker",
            Either({str: FILLED, dict: DOCKER}),
            "The image of a container, or all about it.",
            counts=Counts.NEW_PROCESS,
        ),
        *keys_of(Rest),
        *keys_of(ServerSettings),
        Key(
            "overlay",
            Flag(),
            "Whether the entry lies over the server of that name of another file although it has a command or a url."
            " A command without ``args`` keeps the arguments below it.",
            False,
            is_ours=True,
            counts=Counts.NEW_PROCESS,
        ),
        Key("name", Text(), "Its name, where servers are a list.", counts=Counts.NEVER),
        Key("description", Text(), "A note.", counts=Counts.NEVER, is_harmless=True),
        Key("tags", Texts(), "Notes.", counts=Counts.NEVER, is_harmless=True),
        Key("capabilities", Anything(), "Notes.", counts=Counts.NEVER, is_harmless=True),
        *(
            Key(each, Anything(), "A setting of other clients; it is passed over.", counts=Counts.NEVER)
            for each in "headersHelper autoApprove alwaysAllow alwaysLoad disabledTools trust lifecycle directTools"
            " includeTools excludeTools gallery version dev".split()
        ),
    ],
)

# An entry with any of these is one of the gateway's own configuration: no client writes them.
OURS = frozenset(key.name for key in SERVER.keys.values() if key.is_ours)
# The keys of a client's own file that count: the program, and whether it is switched on.
CLIENT_KEYS = SERVER.only("command", "args", "env", "environment", "cwd", "enabled", "disabled")


def is_program(value: Mapping[str, Any]) -> bool:
    """True if an entry of a client's file is a program that speaks MCP on its stdin and stdout."""
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
    """Read a server of a client's own file; None where its entry is not enough to run it."""
    before = len(problems.errors)
    found = CLIENT_KEYS.read(place, problems)
    given = {"env": {}, "env_policy": origin.env_policy, **settings_in(Entry, found)}
    reached = read_reach(found, place, given["env"], problems)
    if reached is None or len(problems.errors) > before:
        return None
    return Entry(title=place.key, origin=origin, place=place, argv=reached.argv, reach=reached.reach, **given)


def read_server(title: str, place: Place, origin: Origin, problems: Problems) -> Entry | None:
    """Read a server of a configuration of the gateway; None where it cannot be used, as the problems say."""
    before = len(problems.errors)
    found = SERVER.read(place, problems)
    given = {"env": {}, "env_policy": origin.env_policy, **settings_in(Entry, found)}
    reached = read_reach(found, place, given["env"], problems)
    if reached is None or len(problems.errors) > before:
        return None
    _warn_of_replicas(found, place, problems)
    settings = {
        **given,
        "lazy": _lazy(found.get("lazy"), is_flat=origin.is_flat),
        **_projects(found, given["env"]),
    }
    return Entry(
        title=title,
        origin=origin,
        place=place,
        argv=reached.argv,
        reach=reached.reach,
        transport=reached.transport,
        rest_headers=_rest_headers(found, reached.reach, place, problems),
        explicit=frozenset(given.keys() & settings_of(ServerSettings).keys()),
        **settings,
    )


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
            problems.warn(place.at(key).where, "has no effect, since the server is a program", hint)
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
    section: Mapping[str, Any] = found if isinstance(found, dict) else {"enabled": found}
    enabled = section.get("enabled", not is_flat)
    return evolve(overlaid(S004_LAZY if is_flat and enabled else Lazy(), section), enabled=enabled)


def _projects(found: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings by which the tools of a code graph know its projects."""
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


# Settings of servers whose own files, such as those of clients, have no keys for them.
CLASSIFICATION = Section(
    "A classification",
    [
        Key("mode", Choice(SHARES), "How widely the server is shared."),
        Key("requestTimeout", Duration("ms"), "Milliseconds that a call may take."),
        Key("concurrency", CallLimit(), "How many calls of its tools are under way at once."),
    ],
    is_open=True,
)

Classification = Mapping[str, Any]
"""The settings of one server in the file, by their names in a `ServerSettings`."""


def read_classification(
    document: Document, problems: Problems, default_timeout_s: float | None = None
) -> Mapping[str, Classification]:
    """Read a ``classification.json``, by the servers' names; an entry that cannot be used is a warning."""
    found: dict[str, Classification] = {}
    for place in document.root().members():
        own = Problems()
        values = tried(CLASSIFICATION, place, own)
        problems.soften(own, "it is ignored")
        if not own:
            settings = {
                "share": values.get("mode"),
                "timeout_s": values.get("requestTimeout", default_timeout_s),
                "concurrency": values.get("concurrency"),
            }
            found[place.key] = {name: each for name, each in settings.items() if each is not None}
    return found
