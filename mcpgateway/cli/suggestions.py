"""Commands to suggest for words that users of other programs type, and that name no command here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

CUTOFF = 0.6  # of the likeness of a mistyped word to a command
SURE = 0.8  # the same for a command that changes files, which no other word is near
CHANGING = frozenset(
    (
        *("start", "stop", "uninstall", "upgrade", "config import", "servers remove"),
        *("clients apply", "clients pause", "clients resume", "clients undo"),
    )
)

SUGGESTIONS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "": {
        "add": ("servers add",),
        "apply": ("clients apply",),
        "auth": ("servers login", "token"),
        "call": ("tools call",),
        "browser": ("ui",),
        "calls": ("logs --calls", "debug activity"),
        "check": ("doctor", "config check"),
        "dashboard": ("ui",),
        "delete": ("servers remove",),
        "describe": ("tools describe", "servers get"),
        "detect": ("clients detect",),
        "down": ("stop",),
        "edit": ("config", "servers set"),
        "env": ("servers set-env",),
        "exec": ("tools call",),
        "get": ("servers get",),
        "import": ("config import", "clients apply"),
        "info": ("status",),
        "init": ("start", "clients apply"),
        "inspect": ("servers get", "tools describe"),
        "install": ("servers install", "service install", "clients apply"),
        "jobs": ("tools jobs",),
        "kill": ("stop", "sessions kill"),
        "list": ("servers list", "tools list", "clients list"),
        "log": ("logs",),
        "login": ("servers login",),
        "logout": ("servers logout",),
        "ls": ("servers list",),
        "mcp": ("servers",),
        "monitor": ("status --watch", "debug events"),
        "open": ("ui",),
        "pause": ("clients pause",),
        "plan": ("clients plan",),
        "ps": ("servers list", "status"),
        "quit": ("stop",),
        "reload": ("restart",),
        "remove": ("servers remove",),
        "restore": ("clients undo",),
        "resume": ("clients resume",),
        "rm": ("servers remove",),
        "rotate": ("servers set-env", "token rotate"),
        "run": ("start", "serve", "tools call"),
        "search": ("tools search", "servers search"),
        "self": ("upgrade",),
        "server": ("servers",),
        "set": ("servers set",),
        "setup": ("start", "clients apply"),
        "show": ("status", "config show"),
        "state": ("status",),
        "sync": ("clients apply",),
        "tail": ("logs",),
        "tokens": ("token",),
        "tool": ("tools",),
        "top": ("status --watch", "status --stats"),
        "undo": ("clients undo",),
        "unlink": ("clients undo",),
        "up": ("start",),
        "update": ("servers set", "upgrade"),
        "usage": ("status --usage",),
        "use": ("clients apply",),
        "web": ("ui",),
        "views": ("tools views",),
        "who": ("status --usage", "sessions list"),
    },
    "servers": {
        "auth": ("servers login",),
        "call": ("tools call",),
        "create": ("servers add",),
        "delete": ("servers remove",),
        "del": ("servers remove",),
        "describe": ("servers get",),
        "check": ("servers test",),
        "down": ("servers stop",),
        "env": ("servers set-env",),
        "info": ("servers get",),
        "inspect": ("servers get",),
        "kill": ("servers stop",),
        "log": ("logs",),
        "logs": ("logs",),
        "ls": ("servers list",),
        "mv": ("servers rename",),
        "off": ("servers disable",),
        "on": ("servers enable",),
        "pause": ("servers disable", "clients pause"),
        "ps": ("servers list",),
        "resume": ("servers enable", "clients resume"),
        "rm": ("servers remove",),
        "rotate": ("servers set-env", "servers set-header"),
        "show": ("servers get",),
        "status": ("servers list", "servers get"),
        "tools": ("tools list",),
        "uninstall": ("servers remove",),
        "up": ("servers start",),
        "update": ("servers set",),
        "why": ("why",),
    },
    "clients": {
        "add": ("clients apply",),
        "connect": ("clients apply",),
        "delete": ("clients undo",),
        "diff": ("clients plan",),
        "disable": ("clients pause",),
        "enable": ("clients resume",),
        "enrol": ("clients apply",),
        "install": ("clients apply",),
        "ls": ("clients list",),
        "remove": ("clients undo",),
        "restore": ("clients undo",),
        "rm": ("clients undo",),
        "scan": ("clients detect",),
        "show": ("clients list",),
        "status": ("clients list",),
        "uninstall": ("clients undo",),
        "update": ("clients apply",),
    },
    "tools": {
        "discover": ("tools refresh",),
        "exec": ("tools call",),
        "find": ("tools search",),
        "get": ("tools describe",),
        "info": ("tools describe",),
        "invoke": ("tools call",),
        "ls": ("tools list",),
        "run": ("tools call",),
        "show": ("tools describe",),
    },
    "config": {
        "keys": ("config get", "config schema"),
        "list": ("config show",),
        "ls": ("config show",),
        "test": ("config check",),
        "validate": ("config check",),
        "view": ("config show",),
    },
    "debug": {
        "calls": ("logs --calls", "debug activity"),
        "log": ("logs --gateway",),
        "logs": ("logs --gateway",),
        "usage": ("status --usage",),
    },
    "sessions": {"end": ("sessions kill",), "ls": ("sessions list",), "rm": ("sessions kill",)},
    "service": {
        "add": ("service install",),
        "enable": ("service install",),
        "remove": ("service uninstall",),
        "rm": ("service uninstall",),
        "start": ("start",),
        "stop": ("stop",),
    },
    "token": {
        "add": ("token create",),
        "delete": ("token revoke",),
        "get": ("token show",),
        "ls": ("token list",),
        "new": ("token create",),
        "remove": ("token revoke",),
        "rm": ("token revoke",),
    },
    "credential": {"ls": ("credential list",), "show": ("credential list",)},
}
"""The commands that are meant, by group and by word; a word that has become a command does not get here."""


def suggestions(group: str, word: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return the commands that a user may mean, each with its group; empty if there are none.

    :param group: the group's own words, without the program; empty for the program itself.
    :param word: a word that is no command of the group.
    :param known: the commands of the group.
    """
    others = SUGGESTIONS.get(group, {})
    words = {each: (f"{group} {each}".lstrip(),) for each in known}
    # A word of another program counts only if it is spelled as there, or if no command is nearer.
    meant, typed = {**others, **words}, word.lower()
    if typed in others:
        return others[typed]
    near = get_close_matches(typed, words, 1, SURE) or get_close_matches(
        typed, [each for each in meant if not CHANGING.intersection(meant[each])], 1, CUTOFF
    )
    return meant["".join(near)] if near else ()


def in_words(commands: tuple[str, ...]) -> str:
    """Return commands as a question: ``did you mean servers list, or tools list?``."""
    *first, last = commands
    return f"did you mean {', '.join([*first, f'or {last}']) if first else last}?"
