"""The settings that count, and where each value comes from: a file and its line, the default, or a variable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from mcpgateway.config.document import Document, Place
from mcpgateway.config.entry import SERVER
from mcpgateway.config.expand import SOURCE, VARIABLE
from mcpgateway.config.gateway_settings import GATEWAY
from mcpgateway.config.load import Files, overlays_of, place_of
from mcpgateway.config.merge import Blueprint
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.section import Section
from mcpgateway.config.settings import Settings
from mcpgateway.discovery.naming import server_hint
from mcpgateway.errors import ConfigError
from mcpgateway.policy.secrets.masking import arguments, masked

DEFAULT = "default"
PORT = "--port"  # of the running gateway
VARIABLE_KEYS = ("env", "environment", "headers", "credentials")
ALIAS = "The same as "
CLASSIFICATION = "classification.json"
CLASSIFIED = {"timeout": "timeout_s"}  # the names of settings where those of keys differ
OUTSIDE = {"cmd": "what a command prints", "keyring": "from the keyring"}


@frozen
class ConfigValue:
    """A setting.

    :ivar key: its dotted name.
    :ivar source: file and line, ``default``, or the variable of its value.
    """

    key: str
    value: Any
    source: str


def values_in(
    files: Files, settings: Settings, *, port: int | None = None, server: str | None = None
) -> dict[str, list[ConfigValue]]:
    """Return all settings, by ``gateway`` and the dotted names of servers, or those of one server.

    :param port: the port on the command line, which outranks that of the files.
    :raise ConfigError: the configuration has no such server.
    """
    chosen = _chosen(settings, server)
    rows: dict[str, list[ConfigValue]] = {}
    if server is None:
        rows["gateway"] = [_at_its_port(each, port) for each in _gateway_rows(files.native)]
    for each in chosen:
        blueprint = settings.blueprints[each.name]
        place = place_of(files, blueprint.entry)
        rows[f"servers.{each.name}"] = _server_rows(each, blueprint, place, overlays_of(files, each.name))
    return rows


def _at_its_port(row: ConfigValue, port: int | None) -> ConfigValue:
    return ConfigValue(row.key, port, PORT) if row.key == "http_port" and port is not None else row


def _chosen(settings: Settings, name: str | None) -> Sequence[ServerSpec]:
    if name is None:
        return settings.servers
    chosen = [each for each in settings.servers if each.name == name]
    if not chosen:
        raise ConfigError(
            f"Unknown server: {name}", server_hint(name, [each.name for each in settings.servers])
        )
    return chosen


def _gateway_rows(documents: Sequence[Document]) -> Iterator[ConfigValue]:
    places = [each.root().at("gateway") for each in documents if isinstance(each.value, dict)]
    yield from _section_rows(GATEWAY, places, "")


def _section_rows(section: Section, places: Sequence[Place], above: str) -> Iterator[ConfigValue]:
    for name, key in section.keys.items():
        present = [each.at(name) for each in places if each.has(name)]
        dotted = f"{above}{name}"
        if isinstance(key.kind, Section):
            yield from _section_rows(key.kind, present, f"{dotted}.")
        elif present:
            yield ConfigValue(dotted, masked(present[-1].value, name), _line(present[-1]))
        elif key.is_served and not key.says.startswith(ALIAS) and key.default is not None:
            yield ConfigValue(dotted, key.default, DEFAULT)


def _server_rows(
    server: ServerSpec, blueprint: Blueprint, place: Place | None, overlays: Sequence[Place]
) -> list[ConfigValue]:
    rows: dict[str, ConfigValue] = {}
    if place is None:
        program = arguments(list(server.command))
        rows["command"] = ConfigValue("command", program, server.source)
        for name in sorted(blueprint.entry.env):
            shown = masked({name: blueprint.entry.env[name]}, "env")[name]
            rows[f"env.{name}"] = ConfigValue(f"env.{name}", shown, server.source)
    for each in (place, *overlays) if place is not None else overlays:
        rows |= {row.key: row for row in _member_rows(each, blueprint)}
    classified = blueprint.world.classified.get(blueprint.entry.title) or {}
    for name, value in _effective(server).items():
        if name not in rows:
            source = DEFAULT if value == SERVER.keys[name].default else "worked out"
            source = CLASSIFICATION if CLASSIFIED.get(name, name) in classified else source
            rows[name] = ConfigValue(name, value, source)
    return list(rows.values())


def _member_rows(place: Place, blueprint: Blueprint) -> Iterator[ConfigValue]:
    for member in place.members():
        if member.key in VARIABLE_KEYS and isinstance(member.value, dict):
            for name in member.value:
                each = member.at(name)
                shown = masked({name: each.value}, member.key)[name]
                yield ConfigValue(f"{member.key}.{name}", shown, _line(each) + origins(each.value, blueprint))
        else:
            value = masked(member.value, member.key)
            yield ConfigValue(member.key, value, _line(member) + origins(member.value, blueprint))


def _effective(server: ServerSpec) -> dict[str, Any]:
    # The defaults of a server's entry.
    found: dict[str, Any] = {
        "cwd": server.cwd,
        "share": server.share.value,
        "enabled": server.enabled,
        "timeout": server.timeout_s or 0,
        "interactive": "auto" if server.interactive is None else server.interactive,
        "protocol": server.protocol.value if server.protocol else "auto",
        "concurrency": "auto" if server.concurrency is None else str(server.concurrency),
    }
    return found


def _line(place: Place) -> str:
    where = place.where
    return f"{where.file}:{where.line}" if where.line else where.file


def origins(value: Any, blueprint: Blueprint) -> str:
    """Return the sources of the variables in a value, each after a comma."""
    names: dict[str, None] = {}
    for text in _texts(value):
        names |= dict.fromkeys(each["name"] or each["env"] for each in VARIABLE.finditer(text))
    found = [f"{each} {_origin(each, blueprint)}" for each in names]
    if blueprint.entry.origin.is_ours:
        found += [OUTSIDE[each["source"]] for text in _texts(value) for each in SOURCE.finditer(text)]
    return "".join(f", {each}" for each in found)


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for each in value:
                yield from _texts(each)
        case dict():
            yield from _texts(list(value.values()))


def _origin(name: str, blueprint: Blueprint) -> str:
    world, entry = blueprint.world, blueprint.entry
    if name in world.variables:
        return "from the file of values"
    profile = entry.origin.profile
    if profile and name in world.profiles.get(profile, {}):
        return f"from the profile {profile}"
    allowed = entry.env_policy.sources(world.login, world.is_token)
    return "from the environment" if name in allowed else "is not set"


def values_as_json(rows: Mapping[str, Sequence[ConfigValue]]) -> dict[str, Any]:
    """Return settings as JSON: each with its value and its source."""
    servers = {
        title.removeprefix("servers."): _members(members)
        for title, members in rows.items()
        if title.startswith("servers.")
    }
    found: dict[str, Any] = {"servers": servers}
    if "gateway" in rows:
        found = {"gateway": _members(rows["gateway"]), **found}
    return found


def _members(rows: Sequence[ConfigValue]) -> dict[str, Any]:
    return {each.key: {"value": each.value, "from": each.source} for each in rows}
