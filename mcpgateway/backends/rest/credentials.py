"""The credentials of an entry, sent as the security schemes of its service's description demand."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection, Mapping

from attrs import field, frozen

from mcpgateway.config.openapi.security_schemes import BASIC, Scheme
from mcpgateway.config.reach_settings import RestTool
from mcpgateway.errors import ConfigError

SHOWN = 10  # names of schemes in an error


@frozen
class RequestCredentials:
    """Credentials of one request, which no argument replaces."""

    headers: Mapping[str, str] = field(factory=dict, repr=False)
    query: Mapping[str, str] = field(factory=dict, repr=False)
    cookies: Mapping[str, str] = field(factory=dict, repr=False)


NONE = RequestCredentials()


@frozen
class Credentials:
    """The credentials of one REST API."""

    _schemes: Mapping[str, Scheme]
    _values: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, schemes: Mapping[str, Scheme], values: Mapping[str, str]) -> Credentials:
        """Assign the values of an entry to the schemes of the description.

        :param values: by the names of their schemes.
        :raise ConfigError: a value's scheme is not described, or its value cannot be sent there.
        """
        for name, value in values.items():
            scheme = schemes.get(name)
            if scheme is None:
                raise ConfigError(f"{_nowhere(name, schemes)}; or send it by headers")
            if not scheme.where:
                raise ConfigError(
                    f"the security scheme {name!r} wants a client certificate, and none is sent"
                )
            if scheme.scheme == BASIC and ":" not in value:
                raise ConfigError(f"credentials.{name} must be a user and a password, USER:PASSWORD")
        return cls(schemes, values)

    def for_tool(self, tool: RestTool) -> RequestCredentials:
        """Return the credentials for the requests of a tool."""
        headers: dict[str, str] = {}
        query: dict[str, str] = {}
        cookies: dict[str, str] = {}
        places = {"header": headers, "query": query, "cookie": cookies}
        for name in self._chosen(tool):
            scheme, value = self._schemes[name], self._values[name]
            places[scheme.where][scheme.name] = _written(scheme, value)
        return RequestCredentials(headers, query, cookies)

    def _chosen(self, tool: RestTool) -> Collection[str]:
        # The first requirement with all its values; the entry's headers may satisfy a part of another one.
        if tool.security is None:  # many descriptions name their schemes and never require them
            return self._values
        had: list[Collection[str]] = [[name for name in way if name in self._values] for way in tool.security]
        whole = [mine for mine, way in zip(had, tool.security, strict=True) if mine and len(mine) == len(way)]
        return whole[0] if whole else max(had, key=len, default=())


def _nowhere(name: str, schemes: Mapping[str, Scheme]) -> str:
    if not schemes:
        return f"no description of it has security schemes, to say where credentials.{name} goes"
    known = ", ".join(list(schemes)[:SHOWN])
    return f"its description has no security scheme {name!r}; it has: {known}"


def _written(scheme: Scheme, value: str) -> str:
    if scheme.scheme == BASIC:
        value = b64encode(value.encode()).decode()
    return f"{scheme.scheme} {value}" if scheme.scheme else value
