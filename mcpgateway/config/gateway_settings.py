"""The settings of the gateway itself, each declared once."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from attrs import frozen

from mcpgateway.config.cluster import CLUSTER, ClusterSettings
from mcpgateway.config.fields import (
    FILLED,
    POLICY,
    PORT_LIMIT,
    Choice,
    Duration,
    Either,
    Flag,
    ListOf,
    Strings,
    Text,
    Texts,
    WholeNumber,
)
from mcpgateway.config.model import BRIDGES, PREFORKS, QUARANTINES, UPGRADES, Bridge
from mcpgateway.config.section import Counts, Key, Section, keyed, keys_of, part, same, setting
from mcpgateway.config.security import Address, PublicUrl, Security
from mcpgateway.config.sleep import SLEEP, SleepSettings
from mcpgateway.config.surface import GIB, SHIELD, TOOL_FILTER, GroupSettings, ShieldLimits, ViewSettings
from mcpgateway.hints import cli

OFFICIAL_REGISTRY = "https://registry.modelcontextprotocol.io"
LOG_LEVELS = ("debug", "info", "warn", "error", "critical")


@frozen
class Limits:
    """The bounds of the gateway itself; a duration of 0 is no bound."""

    body_bytes: int = setting("body_bytes", WholeNumber(1024, GIB), "Body of an MCP request.", 4_194_304)
    rest_body_bytes: int = setting(
        "rest_body_bytes", WholeNumber(1024, GIB), "Body of any other request.", 1_048_576
    )
    list_bytes: int = setting(
        "list_bytes",
        WholeNumber(1024, GIB // 4),
        "One list of a server's, all its pages together, that is kept on record and searched; of a longer one as"
        " many pages are known as fit.",
        67_108_864,
    )
    spawns: int = setting("spawns", WholeNumber(1, 1000), "Servers that start at the same time.", 5)
    servers: int = setting("servers", WholeNumber(1, 100_000), "Servers in all.", 100)
    sessions: int = setting("sessions", WholeNumber(1, 10_000_000), "Sessions in all.", 10_000)
    drain_s: float = setting(
        "drain",
        Duration(),
        "How long running calls may take to end when the gateway stops.",
        "30s",
        also=(same("drain_ms", Duration("ms"), "drain"),),
    )
    # Python servers need up to 2.5 s, npx on a cold cache much more.
    handshake_s: float = setting(
        "handshake",
        Duration(least_s=1),
        "How long a server may take to start and answer ``initialize``.",
        "30s",
    )
    stuck_s: float = setting(
        "stuck",
        Duration(),
        "How long a server's process that has calls to answer may show no sign of life - no output, no CPU time, no"
        " answer to pings - before new calls get another process; 0: for ever.",
        "60s",
    )
    idle_exit_s: float = setting(
        "idle_exit",
        Duration(),
        f"A gateway that a client's ``{cli('connect')}`` has started by itself ends after so long without use;"
        " 0: never. One with sessions, or with clients whose files use it, is in use.",
        "300s",
    )
    reap_s: float = setting(
        "reap",
        Duration(least_s=1),
        "How often is looked for sessions whose owners have gone, or that were silent for too long.",
        "60s",
    )
    session_idle_s: float = setting(
        "session_idle",
        Duration(least_s=1),
        "How long a session may be silent before what it holds is given back, such as a process of its own, where"
        " it is not known which program has begun it. Its id stays good. One whose program is known has a day, and"
        " ends with the program.",
        "30m",
    )
    concurrent: int = setting(
        "concurrent", WholeNumber(1, 100_000), "Management requests that run at once.", 100
    )
    backlog: int = setting("backlog", WholeNumber(0, 100_000), "Management requests that wait.", 200)
    wait_s: float = setting(
        "wait",
        Duration(),
        "How long a management request waits.",
        "30s",
        also=(same("wait_ms", Duration("ms"), "wait"),),
    )
    log_streams: int = setting(
        "log_streams", WholeNumber(0, 10_000), "Streams of log lines, and of events, at once.", 20
    )


LIMITS = Section("Limits of the gateway", keys_of(Limits))


@frozen
class Circuit:
    """The bounds beyond which the gateway gives up a server that keeps failing."""

    restarts: int = setting(
        "restarts",
        WholeNumber(0, 1000),
        "So many restarts within the window, or failed starts in a row, and a server is given up; 0: never.",
        5,
    )
    window_s: float = setting(
        "window", Duration(least_s=1), "The window in which restarts are counted.", "5m"
    )
    open_s: float = setting(
        "open", Duration(least_s=1), "How long until it is tried once more; doubles up to an hour.", "5m"
    )
    auto_reset: bool = setting(
        "auto_reset", Flag(), "``false``: it stays given up until it is reset by hand.", default=True
    )


CIRCUIT = Section("The circuit breaker", keys_of(Circuit))


@frozen
class TraceSettings:
    """The records of calls: flight recorder, activity log and traces."""

    record_lines: int = setting(
        "record_lines",
        WholeNumber(0, 100_000),
        "The latest lines that are kept in memory of what is said to each server and by it; 0: none.",
        400,
    )
    activity: bool = setting(
        "activity",
        Flag(),
        "Whether a line is written to ``logs/activity.jsonl`` in the home for every call and every change.",
        default=True,
    )
    begin: bool = setting(
        "begin", Flag(), "Whether a trace is begun for calls whose client says nothing of one.", default=False
    )
    otlp: str = setting(
        "otlp",
        Text(),
        "Where spans of calls are sent, by OTLP over HTTP, such as ``http://localhost:4318``; empty:"
        " ``OTEL_EXPORTER_OTLP_ENDPOINT`` says it, or nothing is sent.",
        "",
    )
    otlp_headers: Mapping[str, str] = setting(
        "otlp_headers",
        Strings(),
        "The headers that they are sent with; empty: ``OTEL_EXPORTER_OTLP_HEADERS`` says it.",
        {},
        is_secret=True,
    )


TRACE = Section("Following calls", keys_of(TraceSettings))


def _limits(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the section ``limits``, with ``drain`` of older files, which stands beside it."""
    limits: Mapping[str, Any] = values.get("limits", {})
    older = {key: values[key] for key in ("drain", "drain_ms") if key in values}
    return limits if limits.keys() & {"drain", "drain_ms"} else {**older, **limits}


@frozen
class GatewaySettings:
    """The settings of the sections ``gateway``, ``compat`` and ``settings.security``.

    :ivar public_url: the URL without a slash at its end; empty: browsers of other machines do not reach the gateway.
    """

    http_port: int = setting(
        "http_port",
        WholeNumber(0, PORT_LIMIT),
        "TCP port; ``--port`` outranks it.",
        9100,
        counts=Counts.AT_START,
    )
    bind_address: str = setting(
        "bind_address",
        Address(),
        "IP address; with the default, ::1 is listened on too.",
        "127.0.0.1",
        counts=Counts.AT_START,
    )
    listen: tuple[str, ...] = setting(
        "listen", Texts(), "Further Twisted endpoint strings.", [], counts=Counts.AT_START
    )
    allow_remote: bool = setting(
        "allow_remote",
        Flag(),
        "Whether addresses that other machines can reach may be listened on. Remote clients need the token.",
        default=False,
    )
    ui: bool = setting(
        "ui",
        Flag(),
        "Whether the gateway serves its dashboard. ``false``: its pages are 404, nobody signs in, and dashboards that"
        " are signed in are refused.",
        default=True,
    )
    remote_commands: bool = setting(
        "remote_commands",
        Flag(),
        "Whether who has the admin token may say from another machine what is run on this one: servers that are "
        "programs or containers, and their variables.",
        default=False,
    )
    trust_other_users: bool = setting(
        "trust_other_users",
        Flag(),
        "Whether other users of this machine (root excepted) are let in on loopback without a token. On other "
        "systems than Linux they cannot be distinguished and are let in.",
        default=False,
    )
    bridge: Bridge = setting(
        "bridge",
        BRIDGES,
        "Whether clients of one era of MCP reach servers that speak only the other. ``auto``: they do, but are "
        "offered only what the server itself speaks. ``always``: they are offered both. ``off``: they are refused.",
        "auto",
    )
    prefork: bool = setting(
        "prefork",
        PREFORKS,
        "Whether the second child of a Python server and those after it are forked from a process that has imported"
        " it, where this cannot harm it (``auto``), or always started (``off``).",
        "off",
        counts=Counts.AT_START,
    )
    upgrade_checks: bool = setting(
        "upgrade_checks", Flag(), "Whether newer versions of packages are looked for.", default=True
    )
    auto_upgrade: str = setting(
        "auto_upgrade", UPGRADES, "The newer versions that new sessions get by themselves.", "off"
    )
    quarantine: bool = setting(
        "quarantine", QUARANTINES, "Whether tools that have changed without an upgrade are held back.", "off"
    )
    free_memory_by_restart: bool = setting(
        "free_memory_by_restart", Flag(), "Whether it restarts in place to free memory.", default=False
    )
    auth_mcp_transport: str = setting(
        "auth_mcp_transport",
        Choice.of("", "loopback-only", "bearer-required"),
        "``bearer-required``: the token is needed on loopback too. ``loopback-only``: remote clients are refused.",
        "",
    )
    allowed_hosts: tuple[str, ...] = setting(
        "allowed_hosts", Texts(), "``Host`` names that are ours, besides localhost, 127.0.0.1 and ::1.", []
    )
    allowed_origins: tuple[str, ...] = setting(
        "allowed_origins",
        Texts(),
        "Origins whose pages may call the gateway, exactly as browsers send them.",
        [],
    )
    public_url: str = setting(
        "public_url",
        PublicUrl(),
        "Where browsers of other machines reach the gateway, such as ``https://gateway.example``: there they come"
        " back to from signing in at remote servers. Its host and origin are ours, too. Without it they come back"
        " to 127.0.0.1.",
        "",
    )
    registry_url: str = setting(
        "registry_url",
        PublicUrl("a URL such as https://registry.example, or an empty text"),
        "The registry of MCP servers that ``servers search``, ``servers install`` and ``gateway_install_server`` look"
        " names up in: the official one, or one with the same API. Empty: none is asked.",
        OFFICIAL_REGISTRY,
    )
    groups: GroupSettings = part(GroupSettings)
    ping_s: float = setting(
        "ping_interval",
        Duration(),
        "How often running servers are asked for a sign of life; 0: never.",
        "30s",
        also=(same("ping_interval_ms", Duration("ms"), "ping_interval"),),
    )
    log_level: str = setting(
        "log_level",
        Choice({**{each: each for each in LOG_LEVELS}, "warning": "warn"}),
        "What is logged: this and whatever is graver. ``--log-level`` and ``$MCPGATEWAY_LOG_LEVEL`` outrank it.",
        "info",
    )
    circuit: Circuit = part(Circuit, Key("circuit", CIRCUIT, "When a server that keeps failing is given up."))
    sleep: SleepSettings = part(
        SleepSettings,
        Key("sleep", SLEEP, "When idle processes are frozen, and which make room when memory is short."),
    )
    limits: Limits = part(
        Limits,
        Key("limits", LIMITS, "The bounds of the gateway itself."),
        same("drain", Duration(), "limits.drain"),
        same("drain_ms", Duration("ms"), "limits.drain"),
        read=_limits,
    )
    views: ViewSettings = part(ViewSettings)
    shield: ShieldLimits = part(ShieldLimits, Key("shield", SHIELD, "How large answers are shortened."))
    tls_cert_path: str = setting(
        "tls_cert_path",
        Text(),
        "File of the certificate of the main port and of those of ``listen`` on TCP, and of the authorities in"
        " between. From other machines they speak https only then.",
        "",
        counts=Counts.AT_START,
    )
    tls_key_path: str = setting(
        "tls_key_path",
        Text(),
        "File of the key of that certificate; only its owner may read it.",
        "",
        counts=Counts.AT_START,
    )
    trace: TraceSettings = part(
        TraceSettings,
        Key(
            "trace",
            TRACE,
            "How calls are followed: the flight recorder, the activity log, traces.",
            counts=Counts.AT_START,
        ),
    )
    ports: tuple[int, ...] = setting(
        "ports",
        ListOf(WholeNumber(1, PORT_LIMIT)),
        "Further TCP ports that the gateway listens on, as those of older gateways: 8765, 3199, 8989, 3100. All is"
        " served at each of them.",
        [],
        counts=Counts.AT_START,
        below="compat",
    )
    open_loopback_admin: bool = setting(
        "open_loopback_admin",
        Flag(),
        "Whether programs on this machine may change things over loopback without a token, as they could with older"
        " gateways; what shows that it comes from a browser never may.",
        default=False,
        below="compat",
    )
    cluster: ClusterSettings = part(
        ClusterSettings,
        Key(
            "cluster",
            CLUSTER,
            "This gateway as a node of a cluster; see :doc:`/howto/cluster`.",
            counts=Counts.AT_START,
        ),
    )
    security: Security = part(Security, below="security")


ENV_POLICY = Key(
    "env_policy",
    POLICY,
    "Which variables of the login all servers of the file are given, as ``env_policy`` of a server.",
    "allow-list",
    counts=Counts.NEW_PROCESS,
)
GATEWAY = Section(
    "The gateway",
    [
        *keys_of(GatewaySettings),
        Key("tool_filter", TOOL_FILTER, "Which tools are listed."),
        ENV_POLICY,
        Key(
            "env_file",
            FILLED,
            "The file of values that is read instead of ``.env`` in the home; ``--env-file`` outranks it.",
        ),
        Key(
            "transports",
            Texts(),
            "Read for the sake of older files; all transports are served.",
            counts=Counts.NEVER,
        ),
    ],
)
COMPAT = Section(
    "Compatibility",
    [
        *keys_of(GatewaySettings, "compat"),
        Key(
            "errors",
            Choice.of("mcp", "harshal"),
            "How failures are reported.",
            "mcp",
            is_served=False,
            counts=Counts.NEVER,
        ),
    ],
)
SECRETS = Section(
    "Secrets",
    [
        Key(
            "allow_cmd",
            Flag(),
            "Whether ``${cmd:program argument}`` in a value of this configuration runs the program and stands for what"
            " it prints.",
            default=False,
        )
    ],
)


class Adopt(Enum):
    """The policy for enrolling clients' own files."""

    ASK = "ask"
    ALWAYS = "always"
    NEVER = "never"


@frozen
class ClientSettings:
    """The settings of the section ``clients``: the enrolment of clients' own files."""

    adopt: Adopt = setting(
        "adopt",
        Choice({each.value: each for each in Adopt}),
        "Whether they are enrolled. ``ask``: when somebody at a terminal agrees. ``always``: whenever the"
        " gateway starts. ``never``: not at all, not even what is added to a file that is enrolled already.",
        "ask",
    )
    watch: bool = setting(
        "watch",
        Flag(),
        "Whether a server that a client adds to a file that uses the gateway is enrolled, too.",
        default=True,
    )
    opt_out: tuple[str, ...] = setting("opt_out", Texts(), "Servers that stay their clients' own.", [])


CLIENTS = Section("Clients' own files", keys_of(ClientSettings))
MANHOLE_SOCKET = Key(
    "socket",
    Either({bool: Flag(), str: FILLED}, "true or false, or a path"),
    "Whether a Python prompt inside of the gateway is had at a Unix socket that only you can open:"
    " ``manhole.sock`` in the home, or at this path.",
    default=False,
)


def _path(values: Mapping[str, Any]) -> str:
    return values["socket"] if isinstance(values["socket"], str) else ""


@frozen
class ManholeSettings:
    """The settings of the section ``manhole``; by default there is no manhole.

    :ivar path: the path of the socket; empty: ``manhole.sock`` in the home.
    """

    socket: bool = keyed(MANHOLE_SOCKET, value=False, read=lambda values: bool(values["socket"]))
    path: str = keyed(MANHOLE_SOCKET, value="", read=_path)
    ssh_port: int = setting(
        "ssh_port", WholeNumber(0, PORT_LIMIT), "Port on 127.0.0.1 where it is had over SSH; 0: none.", 0
    )
    authorized_keys: str = setting(
        "authorized_keys", FILLED, "The file with the public keys that are let in there.", value=""
    )


MANHOLE = Section("The manhole", keys_of(ManholeSettings))
