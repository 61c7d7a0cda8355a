"""Command lines of older gateways and of older releases, translated into this program's.

They are in no list of commands: they are for existing scripts, services and clients' entries.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from itertools import takewhile
from typing import NamedTuple

KLIPIDE, MCPCTL, HARSHAL = "klipide-mcp-gateway", "mcp-gateway", "harshal-mcp-proxy"


class Alias(NamedTuple):
    """The translation of an older gateway's command.

    :ivar words: this program's command.
    :ivar seed: the older program.
    """

    words: tuple[str, ...]
    seed: str


ALIASES: Mapping[tuple[str, ...], Alias] = {
    ("enable-http",): Alias(("token", "show", "--make"), KLIPIDE),
    ("show-token",): Alias(("token", "show"), KLIPIDE),
    ("rotate-token",): Alias(("token", "rotate"), KLIPIDE),
    ("disable-http",): Alias(("token", "rotate"), KLIPIDE),
    ("daemon", "start"): Alias(("start",), MCPCTL),
    ("daemon", "stop"): Alias(("stop",), MCPCTL),
    ("daemon", "restart"): Alias(("restart",), MCPCTL),
    ("daemon", "status"): Alias(("status",), MCPCTL),
    ("daemon", "info"): Alias(("status",), MCPCTL),
    ("--discover",): Alias(("tools", "refresh"), HARSHAL),
}
"""The commands that are spelled otherwise; what they take is what ours take."""

MERGED: Mapping[tuple[str, ...], tuple[str, ...]] = {
    ("health",): ("status", "--health"),
    ("stats",): ("status", "--stats"),
    ("savings",): ("status", "--savings"),
    ("dump",): ("debug", "dump"),
    ("record",): ("debug", "record"),
    ("manhole",): ("debug", "manhole"),
    ("trace",): ("debug", "trace"),
    ("activity",): ("debug", "activity"),
    ("events",): ("debug", "events"),
    ("preflight",): ("wait", "--no-start"),
    ("validate",): ("servers", "test"),
    ("discover",): ("tools", "refresh"),
    ("disable",): ("clients", "pause"),
    ("enable",): ("clients", "resume"),
    ("shutdown",): ("stop", "--keep-clients"),
    ("snippet",): ("clients", "apply", "--print"),
    ("generate-config",): ("clients", "apply", "--print", "--form", "shim"),
    ("clients", "register"): ("clients", "apply", "--yes", "--http", "--project"),
}
"""The commands of older releases that have become parts of others, and what they are now; they take what they took."""

OLDER_LISTS: Mapping[str, frozenset[tuple[str, ...]]] = {
    "": frozenset((("activity",), ("trace",), ("stats",))),
    "mcp-ctl": frozenset((("servers", "list"), ("tools", "list"), ("credential", "list"))),
}
"""The commands whose ``--json`` is as their older programs print it, without ``items``, by the program's name."""

MCPCTL_NAME, FOLLOWED = "mcp-ctl", ["logs"]  # its logs are followed unless it is told not to
HELP = (["--help"], ["-h"])
DAEMON, DAEMON_PORT = "--daemon", "8765"
PORT = ("--port", "-p")
SERVING = (*PORT, "--config", "-c", "--env-file", "--log-level", "--no-auth")
"""Options of `serve` that mean it where there is no command."""

FILES = (".json", ".yaml", ".yml")
WITH = "with"
"""The command that runs another one with a configuration that is named."""


def meant(words: list[str], *, is_piped: bool, name: str = "") -> list[str]:
    """Translate a command line, without its global options, to this program's commands.

    :param is_piped: True if a client has started this program as a server.
    :param name: the name that the program was called by.
    """
    if name == MCPCTL_NAME and words[:1] == FOLLOWED:
        return ["logs", "--follow", *words[1:]]
    for length in (2, 1):
        spelled = tuple(words[:length])
        alias = ALIASES.get(spelled)
        now = alias.words if alias is not None else MERGED.get(spelled)
        if now is not None and words[length : length + 1] in HELP:
            return [*takewhile(lambda word: not word.startswith("-"), now), words[length]]
        if now is not None:
            return [*now, *words[length:]]
    first = words[0] if words else ""
    file = os.path.abspath(os.path.expanduser(first)) if first.endswith(FILES) else ""
    rest = words[1:] if file else words
    config = ["--config", file] if file else []
    if rest[:1] == [DAEMON]:
        is_given = any(_is_option(each, PORT) for each in rest)
        return ["serve", *config, *([] if is_given else [PORT[0], DAEMON_PORT]), *rest[1:]]
    if rest and _is_option(rest[0], SERVING):
        return ["serve", *config, *rest]
    if not file:
        return words
    if not rest:
        return [WITH, file, "stdio"] if is_piped else ["serve", *config]
    return [WITH, file, *meant(rest, is_piped=is_piped)]


def has_older_lists(words: list[str], name: str = "") -> bool:
    """Return whether a command line, before it is translated, is one whose lists are as an older program's."""
    older = OLDER_LISTS[""] | OLDER_LISTS.get(name, frozenset())
    return any(tuple(words[:length]) in older for length in (1, 2))


def _is_option(word: str, names: Collection[str]) -> bool:
    return word.partition("=")[0] in names
