"""Which variables and headers servers are given, and where each comes from; never what it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import frozen

from mcpgateway.cli.local.show import origins
from mcpgateway.config.merge import Blueprint
from mcpgateway.config.reach_settings import Remote, Rest
from mcpgateway.errors import ConfigError
from mcpgateway.system.settings import LoadOptions, examine

WRITTEN = "written in the configuration"


@frozen
class ServerCredentials:
    """The variables and headers of one server.

    :ivar env_vars: by name, where each comes from.
    :ivar headers: the same.
    """

    name: str
    env_vars: Mapping[str, str]
    headers: Mapping[str, str]

    def shown(self) -> dict[str, object]:
        """Its names, for programs."""
        return {"name": self.name, "env_vars": sorted(self.env_vars), "headers": sorted(self.headers)}


def held(options: LoadOptions, environ: Mapping[str, str]) -> Iterator[ServerCredentials]:
    """Iterate over all servers that are given anything.

    :raise ConfigError: the configuration cannot be used.
    """
    settings = examine(options, environ).settings
    if settings is None:
        raise ConfigError("the configuration has errors", "mcpgateway config check lists them")
    for server in settings.servers:
        blueprint = settings.blueprints[server.name]
        entry = blueprint.entry
        sent = entry.reach.headers if isinstance(entry.reach, Remote | Rest) else {}
        if entry.env or sent:
            yield ServerCredentials(server.name, _told(entry.env, blueprint), _told(sent, blueprint))


def _told(values: Mapping[str, str], blueprint: Blueprint) -> dict[str, str]:
    said = {name: origins(value, blueprint).removeprefix(", ") for name, value in values.items()}
    return {name: said[name] or WRITTEN for name in sorted(said)}
