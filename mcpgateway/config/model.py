"""What a configuration says, once it has been read, checked and expanded."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import cached_property
from typing import Any

from attrs import field, frozen

from mcpgateway.config.surface import Level, ShieldLimits, ViewSettings
from mcpgateway.protocol.versions import Era


class Bridge(Enum):
    """Whether clients of one era reach servers that speak only the other.

    ``AUTO`` serves whoever comes, but offers clients only what the server itself speaks.
    """

    AUTO = "auto"
    ALWAYS = "always"
    OFF = "off"


class Dialect(Enum):
    """A program whose form a file has."""

    OURS = "mcpgateway"
    MCPCTL = "mcp-gateway"
    KLIPIDE = "klipide-mcp-gateway"
    HARSHAL = "harshal-mcp-proxy"
    DAEMONS = "mcp-session-manager"
    CLIENTS = "clients"


class Share(Enum):
    """How widely one child of a server is shared."""

    AUTO = "auto"
    GLOBAL = "global"
    WORKSPACE = "workspace"
    CREDENTIAL = "credential"
    SESSION = "session"
    ISOLATED = "isolated"


@frozen
class Concurrency:
    """How many calls of a server's tools are under way at once.

    :ivar limit: so many at most; 0: any number.
    :ivar only_writes: only calls of tools that do not declare themselves read-only count, the others are free.
    """

    limit: int = 0
    only_writes: bool = False

    def __str__(self) -> str:
        return WRITES_WORD if self.only_writes else str(self.limit or "none")


WRITES_WORD = "writes"
UNLIMITED = Concurrency()
WRITES = Concurrency(1, only_writes=True)


class Transport(Enum):
    """How a server at a URL is spoken with."""

    STREAMABLE_HTTP = "streamable-http"
    SSE = "sse"
    WEBSOCKET = "websocket"


class GrantOf(Enum):
    """Whose account is used at a remote server: that of each principal, or one of the gateway's for all."""

    USER = "user"
    GATEWAY = "gateway"


@frozen
class OAuth:
    """How the gateway gets a token of its own for a remote server (OAuth 2.1); what is empty is discovered.

    :ivar client_secret: None for a public client.
    :ivar grant: who signs in there.
    """

    client_id: str = ""
    client_secret: str | None = field(default=None, repr=False)
    scopes: tuple[str, ...] = ()
    authorization_server: str = ""
    grant: GrantOf = GrantOf.USER


@frozen
class Remote:
    """A server that runs somewhere else and is reached by URL.

    :ivar url: http, https, ws or wss, expanded; its query may hold a secret.
    :ivar headers: sent with every request, expanded; a bearer token is among them.
    :ivar oauth: None where a token is not to be asked for.
    :ivar insecure: the server's certificate is not looked at.
    :ivar is_guess: nobody has said what the transport is; it is told from the URL.
    :ivar proxy: the URL of the proxy that it is reached through; empty for none, None for what the environment says.
    """

    url: str = field(repr=False)
    transport: Transport = Transport.STREAMABLE_HTTP
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    oauth: OAuth | None = None
    ca_file: str = ""
    insecure: bool = False
    is_guess: bool = False
    proxy: str | None = field(default=None, repr=False)


@frozen
class Daemon:
    """A program that serves MCP at a port of its own: started, locked, adopted if it already runs.

    :ivar url: where it serves, on this machine.
    """

    port: int
    url: str
    transport: Transport = Transport.STREAMABLE_HTTP


@frozen
class Container:
    """A server that runs in a container; the command of its spec runs inside of it.

    :ivar engine: the program that runs containers, ``docker`` or ``podman``; empty takes the first there is.
    :ivar options: of ``docker run``, as they were written; ``-e NAME`` takes the value from the spec's ``env``.
    """

    image: str
    engine: str = ""
    options: tuple[str, ...] = field(default=(), repr=False)


@frozen
class RestTool:
    """One request of a service without MCP, as a tool.

    :ivar path: below the service's base, with ``{parameters}``.
    :ivar schema: the JSON Schema of its arguments.
    :ivar places: where each argument goes: ``path`` (or ``path-label``, ``path-matrix``, each ``-exploded`` or not),
        ``query`` (or ``query-list``, ``query-space``, ``query-pipe``, ``query-deep``, ``query-json``), ``header``,
        ``cookie``, ``body`` (a property of it; ``body-list``, ``body-deep``, ``body-json``, ``body-base64``) or
        ``whole-body`` (``whole-body-base64``), followed by ``:`` and the name it has there if that is another.
    :ivar media: the media type of its body; empty for JSON.
    :ivar parts: the media types of properties of the body, where these are said.
    :ivar output: the JSON Schema of its structured content; None where it has none that is known.
    :ivar base: the URL in front of its path, where that is another than the service's.
    :ivar wants: which credentials the service wants for it, in words; empty where it says nothing of any.
    :ivar security: the same as names of security schemes, those of one way at a time; None where the
        description says nothing of any.
    """

    name: str
    method: str
    path: str
    description: str = ""
    schema: Mapping[str, Any] = field(factory=dict)
    places: Mapping[str, str] = field(factory=dict)
    media: str = ""
    parts: Mapping[str, str] = field(factory=dict)
    output: Mapping[str, Any] | None = None
    base: str = ""
    wants: str = ""
    security: tuple[tuple[str, ...], ...] | None = None


@frozen
class Operations:
    """Which operations of a description are offered: those that each of these lists, if it is not empty, has.

    What begins with ``!`` is left out; ``*`` and ``?`` stand for any text and any character, as in names of files.
    """

    tags: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


ALL_OPERATIONS = Operations()


@frozen
class Rest:
    """A service without MCP whose requests are offered as tools.

    :ivar base: the URL in front of every tool's path.
    :ivar openapi: the file or URL of its description; empty where `tools` says everything.
    :ivar operations: which operations of that are offered.
    :ivar credentials: by the names of the security schemes of that.
    :ivar proxy: as that of a `Remote`.
    """

    base: str
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    tools: tuple[RestTool, ...] = ()
    openapi: str = ""
    operations: Operations = ALL_OPERATIONS
    credentials: Mapping[str, str] = field(factory=dict, repr=False)
    proxy: str | None = field(default=None, repr=False)


Reach = Remote | Daemon | Container | Rest
"""How a server is reached that is not simply a program spoken with on its stdin and stdout."""


def transport(reach: Reach | None) -> str:
    """Name how a server is spoken with: ``stdio``, ``docker``, ``rest``, or the transport of a remote server."""
    match reach:
        case Remote() | Daemon():
            return reach.transport.value
        case Container():
            return "docker"
        case Rest():
            return "rest"
        case None:
            return "stdio"


@frozen
class Lazy:
    """When a server runs; 0 means that there is no such limit.

    :ivar enabled: it is started by the first who needs it, not with the gateway.
    :ivar idle_s: seconds without use after which it is stopped.
    :ivar connect_s: seconds it may take until its handshake is done; 0: as long as holds for all.
    :ivar ram_bytes: resident bytes of its whole process tree beyond which it is replaced.
    :ivar uptime_s: seconds after which it is replaced.
    :ivar prewarm: it is started with the gateway all the same.
    """

    enabled: bool = True
    idle_s: float = 0.0
    connect_s: float = 0.0
    ram_bytes: int = 0
    uptime_s: float = 0.0
    prewarm: bool = False


@frozen
class Project:
    """A directory that a server knows by a name.

    :ivar path: absolute.
    """

    name: str
    path: str


@frozen
class ServerSpec:
    """One server as it is to be run, for one workspace, and where that matters for one principal.

    :ivar name: the name in its URL, unique in a configuration.
    :ivar command: program and arguments, expanded.
    :ivar env: the child's whole environment, expanded.
    :ivar cwd: an absolute directory.
    :ivar share: how widely a child is shared.
    :ivar timeout_s: seconds a call may take; 0 means as long as the client waits.
    :ivar interactive: whether it may ask its client something; None means that this is found out.
    :ivar protocol: the one era it speaks; None means that this is found out.
    :ivar bridge: whether clients of the other era reach it; None means what holds for all servers.
    :ivar source: which file and scope it comes from, in words.
    :ivar title: the name as it was written.
    :ivar reach: how it is reached; None: it is a program spoken with on its stdin and stdout.
    :ivar enabled: an operator has not switched it off.
    :ivar replicas: how many children a shared server has, so that calls run side by side.
    :ivar concurrency: how many calls of tools are under way at once in all its children together; None means that
        this is found out.
    :ivar resolve: what a package runner fetches is started without the runner.
    :ivar inject: arguments that are added to calls of tools that take them and were not given them.
    :ivar projects: the directories that an argument to be added may name.
    :ivar default_project: the name of the one for callers that work in none of them.
    :ivar health_url: what its own health is asked at; empty where it is not.
    :ivar workspace: the root of the workspace it was expanded for, a real path; empty for none.
    :ivar credential: digest of the values its entry takes from the environment.
    :ivar principal: the one that it is run for, and nobody else; empty for nobody in particular.
    :ivar prefix: what its names begin with on views; empty: nothing; None: its own name.
    :ivar expose_tools: its tools are offered on views.
    :ivar pinned: names of its tools that come before others on views.
    :ivar shield: how much of its answers is shown; None: what the gateway's settings say on views, all elsewhere.
    :ivar shield_tools: the same for single tools, by their names.
    :ivar view: it is no server but a view of all of them, with this name; empty for servers.
    :ivar project: the directory whose clients alone it is there for; empty: it is everybody's.
    :ivar is_everywhere: of a view: the servers of all projects are on it.
    """

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    cwd: str
    share: Share = Share.AUTO
    timeout_s: float = 0.0
    interactive: bool | None = None
    protocol: Era | None = None
    bridge: Bridge | None = None
    source: str = ""
    title: str = ""
    reach: Reach | None = None
    enabled: bool = True
    lazy: Lazy = Lazy()
    replicas: int = 1
    concurrency: Concurrency | None = None
    resolve: bool = True
    inject: Mapping[str, str] = field(factory=dict)
    projects: tuple[Project, ...] = ()
    default_project: str = ""
    rest_url: str = ""
    rest_headers: Mapping[str, str] = field(factory=dict, repr=False)
    health_url: str = ""
    workspace: str = ""
    credential: str = field(default="", repr=False)
    principal: str = ""
    prefix: str | None = None
    expose_tools: bool = True
    pinned: tuple[str, ...] = ()
    shield: Level | None = None
    shield_tools: Mapping[str, Level] = field(factory=dict)
    view: str = ""
    project: str = ""
    is_everywhere: bool = False

    @cached_property
    def has_shield(self) -> bool:
        """Whether any of its answers is to be shortened wherever it is asked; looked at with every request."""
        return any(each not in (None, Level.OFF) for each in (self.shield, *self.shield_tools.values()))


@frozen
class Circuit:
    """When a server that keeps failing is given up.

    :ivar restarts: so many within the window, or so many failed starts in a row; 0: it is never given up.
    :ivar open_s: seconds until it is tried once more; doubles up to an hour.
    :ivar auto_reset: false: it is only tried again when an operator resets it.
    """

    restarts: int = 5
    window_s: float = 300.0
    open_s: float = 300.0
    auto_reset: bool = True


@frozen
class Limits:
    """The bounds of the gateway itself.

    :ivar handshake_s: seconds a server may take to start and answer ``initialize``.
    :ivar stuck_s: seconds without a sign of life after which a child with calls to answer gets no new ones; 0: never.
    :ivar reap_s: seconds between two looks for sessions whose owners have gone.
    :ivar session_idle_s: seconds of silence after which a session is put aside whose process is not known.
    :ivar idle_exit_s: seconds without use after which a gateway ends that nobody has asked to stay; 0: never.
    :ivar concurrent: management requests that run at once.
    :ivar backlog: management requests that wait for their turn, for `wait_s` seconds.
    :ivar log_streams: streams of log lines, and of events, at once.
    :ivar list_bytes: of one list of a server, all its pages together, that is kept.
    """

    body_bytes: int = 4_194_304
    rest_body_bytes: int = 1_048_576
    spawns: int = 5
    drain_s: float = 30.0
    handshake_s: float = 30.0  # Python servers need up to 2.5 s, npx on a cold cache much more
    stuck_s: float = 60.0
    reap_s: float = 60.0
    session_idle_s: float = 1800.0
    idle_exit_s: float = 300.0
    servers: int = 100
    sessions: int = 10_000
    concurrent: int = 100
    backlog: int = 200
    wait_s: float = 30.0
    log_streams: int = 20
    list_bytes: int = 67_108_864


@frozen
class TraceSettings:
    """How calls are followed.

    :ivar record_lines: how many lines of each server the flight recorder keeps.
    :ivar activity: whether calls are written down.
    :ivar begin: whether a trace is begun for calls that belong to none.
    :ivar otlp: where spans are sent; empty for nowhere.
    :ivar otlp_headers: what they are sent with; a token is among them.
    """

    record_lines: int = 400
    activity: bool = True
    begin: bool = False
    otlp: str = ""
    otlp_headers: Mapping[str, str] = field(factory=dict, repr=False)


@frozen
class Issuer:
    """An authorization server whose access tokens let clients in (OAuth 2.1).

    :ivar issuer: who its tokens say has made them.
    :ivar audience: whom they have to be for.
    :ivar jwks_url: where its keys are; empty: its metadata says so.
    :ivar scopes: what they have to allow.
    """

    issuer: str = ""
    audience: tuple[str, ...] = ()
    jwks_url: str = ""
    scopes: tuple[str, ...] = ()


@frozen
class Security:
    """Who may call, besides whoever has the gateway's own tokens.

    :ivar trusted_ips: addresses and networks that need no token, as the connection comes from them.
    :ivar api_keys: keys of clients, or ``sha256:`` and a digest.
    :ivar project_tokens: tokens of clients in the same forms, and the workspace each is for.
    """

    enabled: bool = False
    trusted_ips: tuple[str, ...] = ()
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    project_tokens: Mapping[str, str] = field(factory=dict, repr=False)
    oauth: Issuer = Issuer()


@frozen
class GatewaySettings:
    """What the ``gateway`` section decides.

    :ivar log_level: the name of the lowest level that is logged.
    :ivar public_url: where browsers of other machines reach the gateway, without a slash at its end; empty: nowhere.
    :ivar ports: further TCP ports of the same address (the ``compat`` section).
    :ivar open_loopback_admin: programs on this machine change things without a token (the ``compat`` section).
    """

    http_port: int = 9100
    bind_address: str = "127.0.0.1"
    listen: tuple[str, ...] = ()
    allow_remote: bool = False
    remote_commands: bool = False
    trust_other_users: bool = False
    ports: tuple[int, ...] = field(default=(), kw_only=True)
    open_loopback_admin: bool = field(default=False, kw_only=True)
    auth_mcp_transport: str = ""
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    bridge: Bridge = Bridge.AUTO
    limits: Limits = Limits()
    circuit: Circuit = Circuit()
    ping_s: float = 30.0
    views: ViewSettings = field(factory=ViewSettings)
    shield: ShieldLimits = field(factory=ShieldLimits)
    security: Security = field(factory=Security, repr=False)
    tls_cert_path: str = ""
    tls_key_path: str = ""
    trace: TraceSettings = field(factory=TraceSettings)
    log_level: str = "info"
    public_url: str = ""


class Adopt(Enum):
    """When clients' own files are led to the gateway."""

    ASK = "ask"
    ALWAYS = "always"
    NEVER = "never"


@frozen
class ClientSettings:
    """What the ``clients`` section decides.

    :ivar watch: whether what clients add to files that lead to the gateway is led there, too.
    :ivar opt_out: the servers that stay their clients' own.
    """

    adopt: Adopt = Adopt.ASK
    watch: bool = True
    opt_out: tuple[str, ...] = ()


@frozen
class ManholeSettings:
    """What the ``manhole`` section decides; as it is here, there is none.

    :ivar socket: whether there is a prompt at a Unix socket.
    :ivar path: where the socket is; empty for the usual place in the home.
    :ivar ssh_port: the port on loopback at which it is had over SSH; 0: none.
    :ivar authorized_keys: the file with the keys of those who are let in there.
    """

    socket: bool = False
    path: str = ""
    ssh_port: int = 0
    authorized_keys: str = ""


@frozen
class ClientFile:
    """A client's own file whose entries lead to the gateway, or did until that was suspended.

    :ivar client: the client's name.
    :ivar title: its name, for people.
    :ivar mode: how its entries lead here: ``http``, ``fail-open`` or ``single``.
    :ivar project: the directory of the project it lies in, or "".
    :ivar servers: the names that they lead to.
    :ivar suspended: why the file has its own entries back; empty where it leads here.
    :ivar remotes: how many of its entries are left to the client, because they are no programs.
    :ivar unsettled: what in it is not as it was left, so that it has to be gone through; names, never values.
    :ivar registered_at: when it was first led here, in seconds since the epoch; 0 where nobody knows.
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


@frozen
class Profile:
    """A bundle of servers and values that workspaces share.

    :ivar capabilities: its tags.
    :ivar servers: the names its own servers are served under.
    :ivar env: values for the variables of its servers, as written.
    """

    name: str
    capabilities: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    env: Mapping[str, str] = field(factory=dict, repr=False)


@frozen
class Workspace:
    """A directory with profiles of its own.

    :ivar path: a real path.
    :ivar profiles: names of profiles; where two give a variable, the later one counts.
    """

    name: str
    path: str
    profiles: tuple[str, ...] = ()
