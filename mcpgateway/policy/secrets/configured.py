"""The secret values of a configuration, which are removed from logs, records and views."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from mcpgateway.config.model import ServerSpec
from mcpgateway.config.reach_settings import Daemon, Reach, Remote, Rest
from mcpgateway.config.settings import Settings
from mcpgateway.policy.secrets.masking import secret_words
from mcpgateway.policy.secrets.shapes import is_secret, secrets_in

DIGEST = "sha256:"  # the prefix of a digest that is kept instead of a key
# The values of these headers are no secrets.
PLAIN_HEADERS = frozenset(
    (
        "accept",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "connection",
        "content-type",
        "host",
        "mcp-protocol-version",
        "origin",
        "user-agent",
    )
)
# The value of any variable in a file that may be a secret; not a path, an address or a word.
_ODD = re.compile(r"(?=\D*\d)(?=[^A-Za-z]*[A-Za-z])(?![/~.])(?!\S{0,32}://[^@]*$).{8,}", re.DOTALL)


def configured(settings: Settings) -> Iterator[str]:
    """Iterate over all secret values of the settings; some come more than once."""
    security = settings.gateway.security
    yield from (
        each for each in (*security.api_keys, *security.project_tokens) if not each.startswith(DIGEST)
    )
    if security.oauth.dashboard.client_secret:
        yield security.oauth.dashboard.client_secret
    yield from _of_headers(settings.gateway.trace.otlp_headers)
    if settings.world is not None:
        yield from written(settings.world.variables)
        yield from settings.world.outside.values()  # of any form
    for profile in settings.profiles.values():
        yield from written(profile.env)
    known = set[tuple[str, str]]()  # most variables are those of the gateway, which all servers have
    for server in settings.servers:
        blueprint = settings.blueprints.get(server.name)
        yield from secrets_of_server(server, blueprint.whole.env if blueprint is not None else (), known)
        known |= server.env.items()


def secrets_of_server(
    server: ServerSpec, names: Iterable[str] = (), known: AbstractSet[tuple[str, str]] = frozenset()
) -> Iterator[str]:
    """Iterate over the secret values of one server.

    :param names: the variables that its entry itself sets.
    :param known: variables, with their values, whose secrets are known.
    """
    yield from secrets_in(dict(server.env.items() - known))
    yield from written({name: server.env[name] for name in names if name in server.env})
    yield from secret_words(server.command)
    yield from _of_reach(server.reach)
    yield from _of_headers(server.rest_headers)


def written(env: Mapping[str, str]) -> Iterator[str]:
    """Iterate over the secret values among the variables that a file sets."""
    yield from secrets_in(env)
    for value in env.values():
        yield from secret_words((value,))
        if _ODD.fullmatch(value):
            yield value


def _of_reach(reach: Reach | None) -> Iterator[str]:
    match reach:
        case Remote():
            yield from secret_words((reach.url,))
            yield from _of_headers(reach.headers)
            yield from secrets_in({"proxy": reach.proxy or ""})
            if reach.oauth is not None and reach.oauth.client_secret:
                yield reach.oauth.client_secret
        case Daemon():
            yield from secret_words((reach.url,))
        case Rest():
            yield from secret_words((reach.base, reach.openapi))
            yield from _of_headers(reach.headers)
            for value in reach.credentials.values():
                yield value
                yield value.partition(":")[2] or value  # a password behind its user
            yield from secrets_in({"proxy": reach.proxy or ""})
        case _:
            pass


def _of_headers(headers: Mapping[str, str]) -> Iterator[str]:
    for name, value in headers.items():
        if name.lower() in PLAIN_HEADERS and not is_secret(name):
            continue
        yield value
        yield value.rpartition(" ")[2]  # a token behind its scheme
