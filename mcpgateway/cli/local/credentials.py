"""List the variables and headers of servers, and the source of each; never their values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import frozen

from mcpgateway.config.merge import Blueprint
from mcpgateway.config.reach_settings import Remote, Rest
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli
from mcpgateway.observe.config_values import origins
from mcpgateway.system.settings import LoadOptions, examine

WRITTEN = "written in the configuration"


@frozen
class ServerCredentials:
    """The variables and headers of one server.

    :ivar env_vars: source of each, by name.
    :ivar headers: source of each, by name.
    """

    name: str
    env_vars: Mapping[str, str]
    headers: Mapping[str, str]

    def shown(self) -> dict[str, object]:
        """Return the names, for programs."""
        return {"name": self.name, "env_vars": sorted(self.env_vars), "headers": sorted(self.headers)}


def held(options: LoadOptions, environ: Mapping[str, str]) -> Iterator[ServerCredentials]:
    """Yield the credentials of all servers that have any.

    :raise ConfigError: the configuration cannot be used.
    """
    settings = examine(options, environ).settings
    if settings is None:
        raise ConfigError("the configuration has errors", f"{cli('config check')} lists them")
    for server in settings.servers:
        blueprint = settings.blueprints[server.name]
        entry = blueprint.entry
        sent = entry.reach.headers if isinstance(entry.reach, Remote | Rest) else {}
        if entry.env or sent:
            yield ServerCredentials(server.name, _shown(entry.env, blueprint), _shown(sent, blueprint))


def _shown(values: Mapping[str, str], blueprint: Blueprint) -> dict[str, str]:
    found = {name: origins(value, blueprint).removeprefix(", ") for name, value in values.items()}
    return {name: found[name] or WRITTEN for name in sorted(found)}
