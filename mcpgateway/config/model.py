"""What a configuration says, once it has been read, checked and expanded."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from attrs import field, frozen

from mcpgateway.wire.revisions import Era


class Bridge(Enum):
    """Whether clients of one era reach servers that speak only the other.

    ``AUTO`` serves whoever comes, but offers clients only what the server itself speaks.
    """

    AUTO = "auto"
    ALWAYS = "always"
    OFF = "off"


class Share(Enum):
    """How widely one child of a server is shared."""

    AUTO = "auto"
    GLOBAL = "global"
    SESSION = "session"


@frozen
class ServerSpec:
    """One stdio server as it is to be run.

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


@frozen
class Limits:
    """The bounds of the gateway itself.

    :ivar handshake_s: seconds a server may take to start and answer ``initialize``.
    :ivar reap_s: seconds between two looks for sessions whose owners have gone.
    """

    body_bytes: int = 4_194_304
    rest_body_bytes: int = 1_048_576
    spawns: int = 5
    drain_s: float = 30.0
    handshake_s: float = 30.0  # Python servers need up to 2.5 s, npx on a cold cache much more
    reap_s: float = 60.0
    servers: int = 100
    sessions: int = 10_000


@frozen
class GatewaySettings:
    """What the ``gateway`` section decides."""

    http_port: int = 9100
    bind_address: str = "127.0.0.1"
    listen: tuple[str, ...] = ()
    allow_remote: bool = False
    trust_other_users: bool = False
    auth_mcp_transport: str = ""
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    bridge: Bridge = Bridge.AUTO
    limits: Limits = Limits()


@frozen
class Settings:
    """A whole configuration.

    :ivar gateway: the gateway's own settings.
    :ivar servers: what is served.
    :ivar passthrough: how many entries were left to their clients, because they are no stdio servers.
    :ivar warnings: one line each, for the log; never with a value of an environment variable.
    """

    gateway: GatewaySettings
    servers: tuple[ServerSpec, ...]
    passthrough: int = 0
    warnings: tuple[str, ...] = ()
