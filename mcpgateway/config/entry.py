"""One entry of a configuration file: a stdio server as it is written, before its variables are expanded."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from attrs import field, frozen

from mcpgateway.config import schema, values
from mcpgateway.config.document import Place
from mcpgateway.config.model import Bridge, Share
from mcpgateway.wire.revisions import Era

SHARE_WORDS = {
    "auto": Share.AUTO,
    "global": Share.GLOBAL,
    "stateless": Share.GLOBAL,
    "session": Share.SESSION,
    "stateful": Share.SESSION,
}
# Words of the schema that this release cannot keep its word on; to run such a server shared would be worse.
SHARE_LATER = ("workspace", "credential", "isolated")
SHARE_ALLOWED = "auto, global (or stateless), session (or stateful)"

# The kinds of a stdio entry: Claude Code writes the first, Copilot and opencode the second.
STDIO_TYPES = ("stdio", "local")
REMOTE_KEYS = ("url", "httpUrl", "serverUrl", "baseUrl", "rest_url", "openapi", "docker")


class Scope(Enum):
    """Where an entry stands; the first goes before the others when they want one name."""

    NATIVE = 0
    USER = 1
    PROJECT = 2
    DEMO = 3


@frozen
class Origin:
    """Which file and scope an entry is from.

    :ivar scope: the kind of place.
    :ivar words: file and scope, for people.
    :ivar directory: what a relative directory in the entry is relative to.
    :ivar project: the project's directory, for project entries.
    :ivar full_env: whether the children get the whole login environment.
    :ivar rank: orders the files of one scope.
    """

    scope: Scope
    words: str
    directory: str
    project: str = ""
    full_env: bool = False
    rank: int = 0

    @property
    def is_ours(self) -> bool:
        """Whether the file is a configuration of ours, where a mistake is an error and not passed over."""
        return self.scope is Scope.NATIVE


@frozen(eq=False)
class Entry:
    """A stdio server as one file defines it; what is None there is left to other files and to defaults."""

    title: str
    argv: tuple[str, ...] = field(repr=False)
    env: Mapping[str, str] = field(repr=False)
    origin: Origin
    place: Place | None = field(default=None, repr=False)
    cwd: str = ""
    share: Share | None = None
    timeout_s: float | None = None
    interactive: bool | None = None
    protocol: Era | None = None
    bridge: Bridge | None = None
    full_env: bool = False

    @property
    def where(self) -> str:
        """File, line and key, for people; finding the line is work that only a message is worth."""
        return self.place.where if self.place else f"{self.origin.words}: {self.title}"


def is_enabled(place: Place) -> bool:
    """Tell whether an entry is switched on: neither ``disabled: true`` nor ``enabled: false``.

    :raise ConfigError: one of the two is neither true nor false.
    """
    off = place.has("disabled") and values.flag(place.at("disabled"))
    on = not place.has("enabled") or values.flag(place.at("enabled"))
    return on and not off


def is_stdio(place: Place) -> bool:
    """Tell whether an entry is a program that is spoken to on its stdin and stdout."""
    if not place.has("command"):
        return False
    transport = place.value.get("transport")
    if place.has("type"):
        return place.value["type"] in STDIO_TYPES
    return (transport is None or transport == "stdio") and not any(place.has(key) for key in REMOTE_KEYS)


def url_of(place: Place) -> str:
    """Return the URL of a remote entry, or ""."""
    found = (place.value.get(key) for key in REMOTE_KEYS[:4])
    return next((each for each in found if isinstance(each, str)), "")


def read_entry(place: Place, origin: Origin) -> Entry:
    """Read what every file says of a stdio server: program, arguments, variables and directory.

    :raise ConfigError: something has the wrong kind of value.
    """
    return Entry(
        title=place.key,
        argv=_argv(place),
        env=_env(place),
        cwd=values.text(place.at("cwd")) if place.has("cwd") else "",
        origin=origin,
        place=place,
        full_env=origin.full_env,
    )


def read_own_keys(place: Place, warnings: list[str]) -> dict[str, Any]:
    """Read the keys that only a configuration of ours has, as fields of an `Entry`.

    :raise ConfigError: something has the wrong kind of value.
    """
    warnings += schema.unknown(place, schema.SERVER)
    found: dict[str, Any] = {}
    for key in ("scope", "share"):
        if place.has(key):
            found["share"] = share(place.at(key))
    if place.has("timeout"):
        found["timeout_s"] = values.duration_s(place.at("timeout"))
    elif place.has("timeout_ms"):
        found["timeout_s"] = values.duration_ms(place.at("timeout_ms"))
    if place.has("interactive") and place.value["interactive"] != "auto":
        found["interactive"] = _interactive(place.at("interactive"))
    if place.has("protocol"):
        word = values.one_of(place.at("protocol"), ("auto", *(era.value for era in Era)))
        found["protocol"] = None if word == "auto" else Era(word)
    if place.has("bridge"):
        found["bridge"] = bridge(place.at("bridge"))
    if place.has("env_policy"):
        found["full_env"] = is_full(place.at("env_policy"))
    return found


def share(place: Place) -> Share:
    """Read how widely a server is shared.

    :raise ConfigError: the word is unknown, or is not served yet.
    """
    if place.value in SHARE_LATER:
        raise place.wrong(f"{SHARE_ALLOWED}; '{place.value}' is not served by this release")
    found = SHARE_WORDS.get(place.value) if isinstance(place.value, str) else None
    if found is None:
        raise place.wrong(SHARE_ALLOWED)
    return found


def bridge(place: Place) -> Bridge:
    """Read whether clients of one era reach servers of the other.

    :raise ConfigError: the word is unknown.
    """
    if place.value is False:
        return Bridge.OFF  # what YAML 1.1 makes of "off"
    return Bridge(values.one_of(place, tuple(each.value for each in Bridge)))


def is_full(place: Place) -> bool:
    """Read an ``env_policy``: whether children get the whole login environment."""
    return values.one_of(place, ("allow-list", "full")) == "full"


def _interactive(place: Place) -> bool:
    if not isinstance(place.value, bool):
        raise place.wrong("true, false or auto")
    return place.value


def _argv(place: Place) -> tuple[str, ...]:
    command = place.at("command")
    if isinstance(command.value, list):
        argv = values.words(command)
    elif isinstance(command.value, str):
        argv = (values.text(command),)
    else:
        raise command.wrong("a program, or a list of a program and its arguments")
    if not argv or not argv[0].strip():
        raise command.wrong("a program, which must not be empty")
    return argv + (values.words(place.at("args")) if place.has("args") else ())


def _env(place: Place) -> dict[str, str]:
    found: dict[str, str] = {}
    for key in ("environment", "env"):
        if place.has(key):
            found |= values.variables(place.at(key))
    return found
