"""A whole configuration, as the gateway runs with it."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from mcpgateway.config.gateway_settings import ClientSettings, GatewaySettings, ManholeSettings
from mcpgateway.config.merge import Blueprint, World
from mcpgateway.config.model import ClientFile, Profile, ServerSpec, Workspace


@frozen
class Settings:
    """A whole configuration.

    :ivar gateway: the gateway's own settings.
    :ivar servers: the servers for clients without a known workspace.
    :ivar passthrough: the number of entries that are left to their clients, because they are no stdio servers.
    :ivar warnings: one line each, for the log; never with a value of an environment variable.
    :ivar blueprints: the templates of the servers, by name, from which those of a workspace are built.
    :ivar projects: the directories of projects in clients' own files.
    :ivar world: the sources of values, also for files that are read later.
    :ivar clients: the settings of clients' own files.
    :ivar manhole: the settings of the manhole.
    :ivar adopted: the enrolled files of clients.
    :ivar is_disabled: the whole gateway is switched off, so that every client uses its own servers.
    :ivar paused_until: the time in epoch seconds at which that ends by itself; 0 for never.
    """

    gateway: GatewaySettings
    servers: tuple[ServerSpec, ...]
    passthrough: int = 0
    warnings: tuple[str, ...] = ()
    blueprints: Mapping[str, Blueprint] = field(factory=dict, repr=False)
    workspaces: tuple[Workspace, ...] = ()
    profiles: Mapping[str, Profile] = field(factory=dict)
    projects: tuple[str, ...] = ()
    world: World | None = field(default=None, repr=False)
    clients: ClientSettings = field(factory=ClientSettings)
    adopted: tuple[ClientFile, ...] = ()
    is_disabled: bool = False
    paused_until: float = 0.0
    manhole: ManholeSettings = field(factory=ManholeSettings)
