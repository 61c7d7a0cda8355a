"""The servers, profiles and workspaces of a configuration that has been read, checked and expanded."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import cached_property
from typing import Any

from attrs import field, frozen
from msgspec import Struct

from mcpgateway.config.document import Place
from mcpgateway.config.fields import (
    Anything,
    Choice,
    Duration,
    Either,
    Flag,
    MapOf,
    Strings,
    Switch,
    Text,
    Texts,
    WholeNumber,
)
from mcpgateway.config.problems import Problems
from mcpgateway.config.reach_settings import Reach
from mcpgateway.config.section import Counts, Key, Section, keyed, keys_of, same, setting
from mcpgateway.config.surface import LEVELS, Level
from mcpgateway.errors import ConfigError
from mcpgateway.protocol.versions import Era
from mcpgateway.records import FrozenRecord

MIB = 2**20


class Bridge(Enum):
    """The translation between clients of one era and servers that speak only the other.

    ``AUTO`` serves clients of both eras, but announces to them only the server's own era.
    """

    AUTO = "auto"
    ALWAYS = "always"
    OFF = "off"


class Dialect(Enum):
    """The program whose form a configuration file has."""

    OURS = "mcpgateway"
    MCPCTL = "mcp-gateway"
    KLIPIDE = "klipide-mcp-gateway"
    HARSHAL = "harshal-mcp-proxy"
    DAEMONS = "mcp-session-manager"
    CLIENTS = "clients"


class Freeze(Enum):
    """The idle children that are frozen.

    ``AUTO`` freezes those that show no sign of work of their own: no socket, no CPU time, no message, no subscription.
    """

    AUTO = "auto"
    ALWAYS = "always"
    OFF = "off"


class Share(Enum):
    """The callers that share one child of a server."""

    AUTO = "auto"
    GLOBAL = "global"
    WORKSPACE = "workspace"
    CREDENTIAL = "credential"
    SESSION = "session"
    ISOLATED = "isolated"


class Concurrency(Struct, frozen=True):
    """The number of calls of a server's tools that are under way at once.

    :ivar limit: the largest number; 0: any.
    :ivar only_writes: calls of tools that declare themselves read-only do not count.
    """

    limit: int = 0
    only_writes: bool = False

    def __str__(self) -> str:
        return WRITES_WORD if self.only_writes else str(self.limit or "none")


WRITES_WORD = "writes"
UNLIMITED = Concurrency()
WRITES = Concurrency(1, only_writes=True)


@frozen
class Lazy:
    """The times at which a server runs; 0 means that there is no such limit.

    :ivar enabled: its first use starts it, not the start of the gateway.
    :ivar ram_bytes: the resident bytes of its whole process tree beyond which it is replaced.
    """

    enabled: bool = setting(
        "enabled",
        Flag(),
        "``false``: the server is started with the gateway, not by its first use.",
        default=True,
    )
    idle_s: float = setting(
        "idleTimeoutMs", Duration("ms"), "Milliseconds without use after which it is stopped; 0: never.", 0
    )
    connect_s: float = setting(
        "connectTimeoutMs",
        Duration("ms"),
        "Milliseconds it may take to start, or to be reached, and to answer ``initialize``; 0: what"
        " ``limits.handshake`` says.",
        0,
        also=(same("connectionTimeoutMs", Duration("ms"), "connectTimeoutMs"),),
    )
    ram_bytes: int = setting(
        "maxRamMb",
        WholeNumber(0, 2**24),
        "Megabytes of memory, of all its processes, beyond which it is replaced; 0: any.",
        0,
        read=lambda values: values["maxRamMb"] * MIB,
    )
    uptime_s: float = setting(
        "maxUptimeMs", Duration("ms"), "Milliseconds after which it is replaced; 0: never.", 0
    )
    prewarm: bool = setting(
        "prewarm", Flag(), "Whether it is started with the gateway all the same.", default=False
    )


LAZY = Section("When a server runs", keys_of(Lazy))


class Project(Struct, frozen=True):
    """A directory that a server knows by a name.

    :ivar path: an absolute path.
    """

    name: str
    path: str


REPLICA_LIMIT = 64
CONCURRENCY_LIMIT = 1000
CONCURRENCIES = {"auto": None, "writes": WRITES, "none": UNLIMITED}

SHARES = {
    **{each.value: each for each in Share},
    "stateless": Share.GLOBAL,
    "stateful": Share.SESSION,
    "per-credential": Share.CREDENTIAL,
}


class CallLimit(FrozenRecord, frozen=True):
    """The number of calls under way at once: a number, or a word."""

    words: str = "auto, writes, none, or a whole number from 1 to 1000"

    def read(self, place: Place, problems: Problems) -> Concurrency | None:
        """Read a number of calls, or a word."""
        if isinstance(place.value, str) and place.value in CONCURRENCIES:
            return CONCURRENCIES[place.value]
        try:
            return Concurrency(WholeNumber(1, CONCURRENCY_LIMIT).read(place, problems))
        except ConfigError:
            raise place.wrong(self.words) from None

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of numbers and words."""
        number = {"type": "integer", "minimum": 1, "maximum": CONCURRENCY_LIMIT}
        return {"anyOf": [number, {"enum": list(CONCURRENCIES)}]}


BRIDGES = Switch({each.value: each for each in Bridge}, {False: Bridge.OFF})  # YAML 1.1 reads "off" as false

FREEZES = Switch({each.value: each for each in Freeze}, {False: Freeze.OFF})

PREFORKS = Switch({"auto": True, "off": False}, {False: False})
QUARANTINES = Switch({"changed": True, "off": False}, {False: False})
UPGRADES = Switch({each: each for each in ("off", "patch", "any")}, {False: "off"})

SHIELD = Section(
    "The shield of a server",
    [
        Key(
            "level",
            LEVELS,
            "How much of its answers is shown; without it, what ``gateway.shield`` says on views, and all elsewhere.",
        ),
        Key("tools", MapOf(LEVELS), "The same for single tools, by their names.", {}),
    ],
)

SHIELD_KEY = Key(
    "shield",
    Either({str: LEVELS, bool: LEVELS, dict: SHIELD}, "a level, or a mapping of a level and tools"),
    "How much of its answers is shown, on views and at its own endpoint. Without it, views show what "
    "``gateway.shield`` says, and its own endpoint shows all.",
    is_ours=True,
    is_harmless=True,
)


def _is_enabled(values: Mapping[str, bool]) -> bool:
    return values.get("enabled", True) and not values.get("disabled", False)


def _parts_of_shield(values: Mapping[str, Any]) -> Mapping[str, Any]:
    found = values["shield"]
    return found if isinstance(found, dict) else {"level": found}


@frozen(eq=False, repr=False, kw_only=True)
class ServerSettings:
    """The settings of a server, each declared once.

    An entry of a file has them as written there, a `ServerSpec` as they apply.

    The program and its place are not among them (`mcpgateway.config.entry.Entry`, `mcpgateway.config.reach_settings`).

    :ivar share: the scope of a child.
    :ivar protocol: the one era it speaks; None: the gateway finds out.
    :ivar bridge: the translation for clients of the other era; None: the gateway's setting holds.
    :ivar enabled: it is not switched off.
    :ivar timeout_s: the seconds that a call may take; 0 for as long as the client waits.
    :ivar interactive: it may ask its client; None: the gateway finds out.
    :ivar replicas: the number of children of a shared server, so that calls run in parallel.
    :ivar is_sole: it has one child in the whole cluster.
    :ivar on: the labels of the nodes that may run it; empty: any node.
    :ivar concurrency: the limit on calls of tools under way at once in all its children together; None: the gateway
        finds
        out.
    :ivar resolve: the program that a package runner fetches is started without the runner.
    :ivar auto_upgrade: the newer versions that it gets by itself; None: the gateway's setting holds.
    :ivar quarantine: its changed tools are held back until they are approved; None: the gateway's setting holds.
    :ivar prefork: its children may be forked from a template; None: the gateway's setting holds.
    :ivar freeze: its idle children may be frozen; None: the gateway's setting holds.
    :ivar inject: arguments that are added to calls of tools that take them, where the call has none.
    :ivar projects: the directories that an added argument may name.
    :ivar default_project: the name of the project for callers that work in none of them.
    :ivar prefix: the prefix of its names on views; None: its own name.
    :ivar expose_tools: its tools are offered on views.
    :ivar tools_off: patterns of its tools that no client is offered.
    :ivar pinned: names of its tools that come before others on views.
    :ivar shield: the level to which its results are shortened; None: the gateway's setting on views, and nowhere else.
    :ivar shield_tools: the same for single tools, by their names.
    """

    share: Share = setting(
        "share",
        Choice(SHARES),
        "How widely one process is shared: ``global`` (``stateless``), ``workspace``, ``credential`` "
        "(``per-credential``), ``session`` (``stateful``), ``isolated``; ``auto`` finds out.",
        "auto",
        is_ours=True,
        counts=Counts.NEW_PROCESS,
        is_harmless=True,
        also=(
            Key(
                "scope",
                Choice(SHARES),
                "The same as ``share``.",
                is_ours=True,
                counts=Counts.NEW_PROCESS,
                is_harmless=True,
            ),
        ),
        regroups=True,
    )
    protocol: Era | None = setting(
        "protocol",
        Choice({"auto": None, **{era.value: era for era in Era}}),
        "Which era its children speak: ``legacy`` (to 2025-11-25) or ``modern`` (2026-07-28). ``auto`` finds out.",
        "auto",
        is_ours=True,
        counts=Counts.NEW_PROCESS,
        is_harmless=True,
        regroups=True,
    )
    bridge: Bridge | None = setting(
        "bridge",
        BRIDGES,
        "Whether clients of one era reach it in the other; without it, what holds for all servers.",
        is_ours=True,
        is_harmless=True,
        value=None,
    )
    enabled: bool = setting(
        "enabled",
        Flag(),
        "``false`` switches it off.",
        default=True,
        counts=Counts.NEW_PROCESS,
        also=(
            Key("disabled", Flag(), "``true`` switches it off.", default=False, counts=Counts.NEW_PROCESS),
        ),
        read=_is_enabled,
        regroups=True,
    )
    timeout_s: float = setting(
        "timeout",
        Duration(),
        "How long one call may take; 0 is as long as the client waits and the server lives.",
        0,
        is_harmless=True,
        also=(
            same("timeout_ms", Duration("ms"), "timeout"),
            same("timeoutMs", Duration("ms"), "timeout"),
            same("requestTimeout", Duration("ms"), "timeout"),
        ),
    )
    interactive: bool | None = setting(
        "interactive",
        Switch({"auto": None}, {True: True, False: False}),
        "Whether it asks its clients something (sampling, elicitation, roots).",
        "auto",
        is_ours=True,
        counts=Counts.NEW_PROCESS,
        is_harmless=True,
        regroups=True,
    )
    lazy: Lazy = setting(
        "lazy",
        Either({bool: Flag(), dict: LAZY}),
        "When it runs.",
        is_ours=True,
        is_harmless=True,
        value=Lazy(),
    )
    replicas: int = setting(
        "replicas",
        WholeNumber(1, REPLICA_LIMIT),
        "How many processes a shared server has, so that calls run side by side.",
        1,
        is_ours=True,
        counts=Counts.NEW_PROCESS,
        is_harmless=True,
        regroups=True,
    )
    is_sole: bool = setting(
        "instances",
        Choice({"each": False, "one": True}),
        "In a cluster: ``each`` node runs it for its own sessions, or ``one`` node runs it for all, such as one that"
        " writes to files. Another node takes it over once that one has ended, or has lost the store.",
        "each",
        is_ours=True,
        counts=Counts.NEW_PROCESS,
        is_harmless=True,
        regroups=True,
    )
    on: tuple[str, ...] = setting(
        "on",
        Texts(),
        "In a cluster: labels that a node needs to run it (``gateway.cluster.labels``), such as ``gpu``; other nodes"
        " reach it there.",
        [],
        is_ours=True,
        counts=Counts.NEW_PROCESS,
        is_harmless=True,
    )
    concurrency: Concurrency | None = setting(
        "concurrency",
        CallLimit(),
        "How many calls of its tools are under way at once: a number, ``writes`` (one, of those to tools that are "
        "not declared read-only) or ``none`` (any number); ``auto`` finds out whether it writes.",
        "auto",
        is_ours=True,
        is_harmless=True,
    )
    resolve: bool = setting(
        "resolve",
        Flag(),
        "Whether what npx, uvx and their like fetch is started without them.",
        True,
        is_ours=True,
        counts=Counts.NEW_PROCESS,
    )
    prefork: bool | None = setting(
        "prefork",
        PREFORKS,
        "Whether its second child and those after it are forked from a process that has imported it, where it is a"
        " Python program that this cannot harm (``auto``), or always started (``off``); without it, what"
        " ``gateway.prefork`` says.",
        is_ours=True,
        counts=Counts.NEW_PROCESS,
        value=None,
    )
    freeze: Freeze | None = setting(
        "freeze",
        FREEZES,
        "Whether its process is frozen while nobody uses it, until the next message: ``auto`` (unless it has a socket,"
        " or works on its own), ``always`` or ``off``; without it, what ``gateway.sleep.freeze`` says.",
        is_ours=True,
        is_harmless=True,
        value=None,
    )
    auto_upgrade: str | None = setting(
        "auto_upgrade",
        UPGRADES,
        "Newer versions of its package that new sessions get by themselves: none (``off``), those with another last"
        " number and the same tools (``patch``), or every one that starts (``any``); without it, as"
        " ``gateway.auto_upgrade`` says.",
        is_ours=True,
        value=None,
    )
    quarantine: bool | None = setting(
        "quarantine",
        QUARANTINES,
        "Whether tools that have changed without an upgrade are held back until they are approved (``changed``) or not"
        " (``off``); without it, as ``gateway.quarantine`` says.",
        is_ours=True,
        value=None,
    )
    inject: Mapping[str, str] = setting(
        "inject_args",
        Strings(),
        "Arguments that are added to calls of tools that take them and were not given them.",
        {},
        is_ours=True,
        has_variables=True,
    )
    projects: tuple[Project, ...] = setting(
        "projects",
        Anything(),
        "Projects of a code graph: a list of ``{name, path}``, one of which is given to tools as ``projectPath``.",
        counts=Counts.NEW_PROCESS,
        value=(),
    )
    default_project: str = setting(
        "defaultProject",
        Text(),
        "The project that is given where the workspace is not known.",
        counts=Counts.NEW_PROCESS,
        value="",
    )
    prefix: str | None = setting(
        "prefix",
        Text(),
        'What its names begin with on views, where its own name is used otherwise; ``""``: they stay as they are.',
        is_ours=True,
        is_harmless=True,
        value=None,
    )
    expose_tools: bool = setting(
        "expose_tools",
        Flag(),
        "Whether its tools are offered on views.",
        default=True,
        is_ours=True,
        is_harmless=True,
    )
    tools_off: tuple[str, ...] = setting(
        "tools_off",
        Texts(),
        "Names of its tools that are neither listed nor callable, at any endpoint; ``*`` stands for any characters.",
        [],
        is_ours=True,
        is_harmless=True,
    )
    pinned: tuple[str, ...] = setting(
        "pinned",
        Texts(),
        "Names of its tools that come before others on views.",
        [],
        is_ours=True,
        is_harmless=True,
    )
    shield: Level | None = keyed(
        SHIELD_KEY, value=None, read=lambda values: _parts_of_shield(values).get("level")
    )
    shield_tools: Mapping[str, Level] = keyed(
        SHIELD_KEY, value={}, read=lambda values: _parts_of_shield(values).get("tools", {})
    )


@frozen
class ServerSpec(ServerSettings):
    """One server as it is to be run, for one workspace, and where that matters for one principal.

    :ivar name: the name in its URL, unique in a configuration.
    :ivar command: program and arguments, expanded.
    :ivar env: the child's whole environment, expanded.
    :ivar cwd: an absolute directory.
    :ivar source: the file and scope of its entry, in words.
    :ivar is_of_client: its command stands in a client's file.
    :ivar title: the name as written in the entry.
    :ivar reach: the way it is reached; None: a program with JSON-RPC on its stdin and stdout.
    :ivar health_url: the URL of its own health check; empty for none.
    :ivar workspace: the root of the workspace for which it was expanded, a real path; empty for none.
    :ivar credential: a digest of the values that its entry takes from the environment.
    :ivar principal: the only principal for which it is run; empty for any.
    :ivar view: the name of the view that stands in its place; empty for servers.
    :ivar tier: the highest tier of the tools that the view has; empty for any, and for servers.
    :ivar budget: the tokens of results that the view gives one client; 0 for any number, and for servers.
    :ivar project: the directory of the clients to which it is offered; empty for all clients.
    :ivar is_everywhere: the view has the servers of all projects.
    """

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    cwd: str
    source: str = field(default="", kw_only=True)
    is_of_client: bool = field(default=False, kw_only=True)
    title: str = field(default="", kw_only=True)
    reach: Reach | None = field(default=None, kw_only=True)
    rest_url: str = field(default="", kw_only=True)
    rest_headers: Mapping[str, str] = field(factory=dict, repr=False, kw_only=True)
    health_url: str = field(default="", kw_only=True)
    workspace: str = field(default="", kw_only=True)
    credential: str = field(default="", repr=False, kw_only=True)
    principal: str = field(default="", kw_only=True)
    view: str = field(default="", kw_only=True)
    tier: str = field(default="", kw_only=True)
    budget: int = field(default=0, kw_only=True)
    project: str = field(default="", kw_only=True)
    is_everywhere: bool = field(default=False, kw_only=True)

    @cached_property
    def has_shield(self) -> bool:
        """True if any of its results is shortened; read with every request."""
        return any(each not in (None, Level.OFF) for each in (self.shield, *self.shield_tools.values()))


class ClientFile(Struct, frozen=True):
    """A client's own file that is enrolled.

    :ivar client: the client's name.
    :ivar title: its name, for people.
    :ivar mode: the way in which its entries use the gateway: ``http``, ``fail-open`` or ``single``.
    :ivar project: the directory of the project that it lies in, or "".
    :ivar servers: the names of the servers that its entries use; those that it had where it is restored for now.
    :ivar suspended: the reason for which its own entries are restored for now; empty: it uses the gateway.
    :ivar remotes: the number of its entries that are left to the client, because they are no programs.
    :ivar unsettled: the names of its entries that were changed since, so that the file is to be updated.
    :ivar registered_at: the time of its first enrolment, in seconds since the epoch; 0: unknown.
    :ivar moved: the key paths of entries that were changed into servers of their own, and the names of these.
    """

    client: str
    title: str
    path: str
    mode: str
    project: str = ""
    servers: tuple[str, ...] = ()
    suspended: str = ""
    remotes: int = 0
    unsettled: tuple[str, ...] = ()
    registered_at: float = 0.0
    moved: tuple[tuple[tuple[str, ...], str], ...] = ()


@frozen
class Profile:
    """A bundle of servers and values that workspaces share.

    :ivar capabilities: its tags.
    :ivar servers: the names of the servers that its endpoint shows: its own, and those that it includes.
    :ivar include: the names of servers that are defined elsewhere, as written.
    :ivar tools_off: patterns of tools that its endpoint neither lists nor calls.
    :ivar env: values for the variables of its own servers, as written.
    :ivar tier: the highest tier of the tools that its endpoint lists and calls; empty for any.
    :ivar budget: the tokens of results that its endpoint gives one client; 0 for any number.
    """

    name: str
    capabilities: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    tools_off: tuple[str, ...] = ()
    env: Mapping[str, str] = field(factory=dict, repr=False)
    tier: str = ""
    budget: int = 0


class Workspace(Struct, frozen=True):
    """A directory with profiles of its own.

    :ivar path: a real path.
    :ivar profiles: names of profiles; of two values for a variable, the later one counts.
    """

    name: str
    path: str
    profiles: tuple[str, ...] = ()
