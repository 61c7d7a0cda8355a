"""The settings of the gateway itself, once they have been read, checked and expanded."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from attrs import field, frozen

from mcpgateway.config.model import Bridge
from mcpgateway.config.surface import ShieldLimits, ViewSettings


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
