"""Entries that already lead to the gateway: they name its own program, perhaps in front of the original command."""

from __future__ import annotations

PROGRAMS = frozenset(("mcpgateway", "mcp-ctl", "mcpg"))
RELAYS = frozenset(("connect", "proxy", "stdio"))
BEFORE_ORIGINAL = "--"


def original_of(argv: tuple[str, ...]) -> tuple[str, ...] | None:
    """The command behind the ``--`` of an entry that leads to the gateway, empty if there is none; None of others."""
    program, *words = argv
    if program.rpartition("/")[2] not in PROGRAMS:
        return None
    at = words.index(BEFORE_ORIGINAL) if BEFORE_ORIGINAL in words else len(words)
    if RELAYS.isdisjoint(words[:at]):
        return None
    return tuple(words[at + 1 :])
