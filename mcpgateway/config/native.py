"""Our own configuration files: the ``gateway`` section and the servers, in every shape that is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve, field, frozen

from mcpgateway.config import schema, values
from mcpgateway.config.client import Found
from mcpgateway.config.document import Document, Place
from mcpgateway.config.entry import (
    Entry,
    Origin,
    Scope,
    bridge,
    is_enabled,
    is_full,
    is_stdio,
    read_entry,
    read_own_keys,
    url_of,
)
from mcpgateway.config.model import GatewaySettings, Limits
from mcpgateway.config.ours import original_of
from mcpgateway.errors import ConfigError

SERVER_KEYS = ("servers", "mcpServers")
GIB = 2**30
LIMIT_BOUNDS = {
    "body_bytes": (1024, GIB),
    "rest_body_bytes": (1024, GIB),
    "spawns": (1, 1000),
    "servers": (1, 100_000),
    "sessions": (1, 10_000_000),
}
TLS_KEYS = ("tls_cert_path", "tls_key_path")


@frozen(eq=False)
class Native:
    """What our own files say together: later files replace single settings and whole servers."""

    gateway: GatewaySettings = field(factory=GatewaySettings)
    servers: dict[str, Place] = field(factory=dict)
    full_env: frozenset[str] = frozenset()


def is_client_file(document: Document) -> bool:
    """Tell whether a file is a client's own: it has ``mcpServers`` and nothing that only we know."""
    found = document.value
    servers = found.get("mcpServers")
    if not isinstance(servers, dict) or any(
        key in found for key in schema.TOP - {"mcpServers", "projects", "$schema"}
    ):
        return False
    return not any(isinstance(each, dict) and schema.OURS & each.keys() for each in servers.values())


def read_native(documents: Sequence[Document], warnings: list[str]) -> Native:
    """Read our own files, each replacing what those before it have said.

    :raise ConfigError: a value is wrong.
    """
    read = Native()
    for document in documents:
        read = _overlay(read, document, warnings)
    return read


def read_servers(native: Native, warnings: list[str]) -> Found:
    """Read the servers of our own files.

    :raise ConfigError: an entry is wrong.
    """
    entries: list[Entry] = []
    remotes: list[str] = []
    for name, place in native.servers.items():
        if not is_enabled(values.mapping(place)):
            continue
        full = place.document.file in native.full_env
        if is_stdio(place):
            entries.append(_entry(place, warnings, full_env=full))
        elif url_of(place) or place.has("docker") or place.has("transport"):
            warnings.append(
                f"{place.where}: only stdio servers are served by this release; {name} is left out"
            )
            remotes.append(url_of(place))
        else:
            raise place.wrong_secret("an entry with a command or a url")
    return Found(tuple(entries), tuple(remotes))


def _entry(place: Place, warnings: list[str], *, full_env: bool) -> Entry:
    file = place.document.file
    origin = Origin(Scope.NATIVE, file, file.rpartition("/")[0] or "/", full_env=full_env)
    entry = read_entry(place, origin)
    original = original_of(entry.argv)
    if original is not None and not original:
        raise place.at("command").wrong("the command of a server; this one leads back to the gateway")
    return evolve(entry, argv=original or entry.argv, **read_own_keys(place, warnings))


def _overlay(before: Native, document: Document, warnings: list[str]) -> Native:
    root = document.root()
    if _is_flat(root):
        servers = before.servers | {each.key: each for each in root.members()}
        return evolve(before, servers=servers, full_env=before.full_env | {document.file})
    warnings += schema.unknown(root, schema.TOP)
    warnings += _not_served(root)
    gateway, full = before.gateway, before.full_env
    if root.has("gateway"):
        gateway = _gateway(gateway, values.mapping(root.at("gateway")), warnings)
    for policy in (root.at("env_policy"), root.at("gateway").at("env_policy")):
        if policy.value is not None and is_full(policy):
            full |= {document.file}
    servers = dict(before.servers)
    for key in SERVER_KEYS:
        if root.has(key):
            servers |= {each.key: each for each in values.mapping(root.at(key)).members()}
    return Native(gateway, servers, full)


def _is_flat(root: Place) -> bool:
    members = list(root.members())
    if not members or any(each.key in schema.TOP and not _looks_like_server(each) for each in members):
        return False
    return all(_looks_like_server(each) for each in members)


def _looks_like_server(place: Place) -> bool:
    found = place.value
    return isinstance(found, dict) and any(
        isinstance(found.get(key), str | list) for key in ("command", "url", "type")
    )


def _gateway(before: GatewaySettings, place: Place, warnings: list[str]) -> GatewaySettings:
    warnings += schema.unknown(place, schema.GATEWAY)
    found: dict[str, Any] = {}
    if place.has("http_port"):
        found["http_port"] = values.whole(place.at("http_port"), 0, 65535)
    if place.has("bind_address"):
        found["bind_address"] = _address(place.at("bind_address"))
    for key in ("allow_remote", "trust_other_users"):
        if place.has(key):
            found[key] = values.flag(place.at(key))
    if place.has("auth_mcp_transport"):
        allowed = ("", "loopback-only", "bearer-required")
        found["auth_mcp_transport"] = values.one_of(place.at("auth_mcp_transport"), allowed)
    for key in ("listen", "allowed_hosts", "allowed_origins"):
        if place.has(key):
            found[key] = values.texts(place.at(key))
    if place.has("bridge"):
        found["bridge"] = bridge(place.at("bridge"))
    found["limits"] = _limits(before.limits, place, warnings)
    return evolve(before, **found)


def _limits(before: Limits, gateway: Place, warnings: list[str]) -> Limits:
    found: dict[str, Any] = {}
    place = gateway.at("limits")
    if place.value is not None:
        warnings += schema.unknown(values.mapping(place), schema.LIMITS)
    for key, (least, most) in LIMIT_BOUNDS.items():
        if place.has(key):
            found[key] = values.whole(place.at(key), least, most)
    for each in (gateway, place):
        if each.has("drain"):
            found["drain_s"] = values.duration_s(each.at("drain"))
        elif each.has("drain_ms"):
            found["drain_s"] = values.duration_ms(each.at("drain_ms"))
    for key in ("handshake", "reap"):
        if place.has(key):
            found[f"{key}_s"] = values.period_s(place.at(key))
    return evolve(before, **found)


def _address(place: Place) -> str:
    from ipaddress import ip_address

    expected = "an IP address such as 127.0.0.1 or ::1"
    if place.value == "localhost":
        return "127.0.0.1"
    if not isinstance(place.value, str):
        raise place.wrong(expected)
    try:
        return str(ip_address(place.value))
    except ValueError:
        raise place.wrong(expected) from None


def is_loopback(address: str) -> bool:
    """Tell whether an IP address can only be reached from this machine."""
    from ipaddress import ip_address

    return ip_address(address).is_loopback


def check_reach(gateway: GatewaySettings) -> None:
    """Refuse to be reachable from other machines by accident.

    :raise ConfigError: the address is not a loopback one, and nothing says that this is meant.
    """
    if not gateway.allow_remote and not is_loopback(gateway.bind_address):
        raise ConfigError(
            f"gateway.bind_address: found '{gateway.bind_address}'; expected a loopback address,"
            " or gateway.allow_remote: true"
        )


def _not_served(root: Place) -> list[str]:
    # Whoever sets one of these relies on it; to say nothing would leave him less safe than he believes.
    found = [root.at("gateway").at(key) for key in TLS_KEYS]
    auth = root.at("settings").at("security").at("auth")
    found += [auth.at(key) for key in ("enabled", "api_keys", "project_tokens", "trusted_ips")]
    return [f"{each.where}: has no effect in this release" for each in found if each.value]
