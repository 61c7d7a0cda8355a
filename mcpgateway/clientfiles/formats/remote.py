"""The entries of a client's file with a URL, in the keys of the gateway's configuration, and without credentials."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from mcpgateway.clientfiles.formats.client_format import (
    ClientDialect,
    ClientEntry,
    KeyPath,
    LocalGateway,
    reached,
    served_by,
    url_of,
)

HEADERS = ("headers", "http_headers")
NESTED = "requestOptions"  # Continue has the headers below it
# Codex names variables that hold a header, or a token.
FROM_VARIABLES, FROM_VARIABLE = "env_http_headers", "bearer_token_env_var"
HELPER = "headersHelper"  # a command of the client's that prints headers
SIGN_IN = ("oauth", "auth")  # the client's own sign-in
CREDENTIALS = frozenset((*HEADERS, FROM_VARIABLES, FROM_VARIABLE, HELPER, *SIGN_IN))


def remote_of(dialect: ClientDialect, listed: ClientEntry, project: str = "") -> dict[str, Any]:
    """Return the definition of a remote server in the keys of the gateway's configuration.

    :param project: the directory of the project that the file lies in, or "".
    :raise ConfigError: the entry has a variable that only the client can fill in.
    """
    shape = dialect.shape_of(listed.key_path)
    value = reached(listed.value, shape)
    translated = partial(shape.words.variables.translated, project=listed.project or project)
    found: dict[str, Any] = {"url": translated(url_of(value))}
    if value.get("type", value.get("transportType")) == "sse":
        found["type"] = "sse"
    nested = value.get(NESTED)
    places = [value.get(each) for each in HEADERS]
    places.append(nested.get("headers") if isinstance(nested, Mapping) else None)
    headers = {str(key): translated(str(each)) for place in places for key, each in _pairs(place)}
    headers |= {str(key): f"${{{each}}}" for key, each in _pairs(value.get(FROM_VARIABLES))}
    if isinstance(token := value.get(FROM_VARIABLE), str):
        headers["Authorization"] = f"Bearer ${{{token}}}"
    return found | ({"headers": headers} if headers else {})


def is_remote(dialect: ClientDialect, key_path: KeyPath, value: Any, base: LocalGateway) -> bool:
    """True if an entry has the URL of a server other than the gateway."""
    target = dialect.target_of(key_path, value)
    return len(target) == 1 and "://" in target[0] and served_by(target, base) is None


def has_helper(listed: ClientEntry) -> bool:
    """True if the client makes the headers of an entry by a command."""
    return isinstance(listed.value, Mapping) and bool(listed.value.get(HELPER))


def without_credentials(value: Any) -> Any:
    """Return an entry without its headers and without the settings of the client's own sign-in."""
    if not isinstance(value, Mapping):
        return value
    made = {key: each for key, each in value.items() if key not in CREDENTIALS}
    nested = made.get(NESTED)
    if isinstance(nested, Mapping) and "headers" in nested:
        rest = {key: each for key, each in nested.items() if key != "headers"}
        made = {key: each for key, each in made.items() if key != NESTED} | ({NESTED: rest} if rest else {})
    return made


def _pairs(place: Any) -> list[tuple[Any, Any]]:
    return list(place.items()) if isinstance(place, Mapping) else []
