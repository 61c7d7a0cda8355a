"""Entries that use the gateway already: they name its own program, perhaps before the original command."""

from __future__ import annotations

PROGRAMS = frozenset(("mcpgateway", "mcp-ctl", "mcpg"))
RELAYS = frozenset(("connect", "proxy", "stdio"))
BEFORE_ORIGINAL = "--"
# Options of the relay with a value of their own, and those whose value is the server.
VALUES = frozenset(("--home", "--url", "--api-url", "--token-file", "--patience", "--view", "--project"))
NAMES = frozenset(("--target", "--server"))


def original_of(argv: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the command behind the ``--`` of an entry that uses the gateway, empty if it has none; None for others."""
    program, *words = argv
    if program.rpartition("/")[2] not in PROGRAMS:
        return None
    at = words.index(BEFORE_ORIGINAL) if BEFORE_ORIGINAL in words else len(words)
    if RELAYS.isdisjoint(words[:at]) and not _is_bare(words):
        return None
    return tuple(words[at + 1 :])


def _is_bare(words: list[str]) -> bool:
    """True if the words hold no command, so that the program relays all servers together to a client that starts it."""
    rest = iter(words)
    for word in rest:
        name, equals, _ = word.partition("=")
        if name not in VALUES:
            return False
        _ = None if equals else next(rest, "")
    return True


def server_of(argv: tuple[str, ...]) -> str | None:
    """Return the server that such an entry names, "" where it names none; None for other entries."""
    if not argv or original_of(argv) is None:
        return None
    words = iter(argv[1:])
    is_behind = False
    for word in words:
        name, equals, value = word.partition("=")
        if word == BEFORE_ORIGINAL:
            break
        if name in NAMES:
            return value if equals else next(words, "")
        if name in VALUES:
            _ = None if equals else next(words, "")
        elif is_behind and not word.startswith("-"):
            return word
        is_behind = is_behind or word in RELAYS
    return ""


def home_of(argv: tuple[str, ...]) -> str:
    """Return the home that the command line of a gateway or of an entry names; "" where it names none."""
    words = iter(argv)
    for word in words:
        name, equals, value = word.partition("=")
        if word == BEFORE_ORIGINAL:
            break
        if name == "--home":
            return value if equals else next(words, "")
    return ""
