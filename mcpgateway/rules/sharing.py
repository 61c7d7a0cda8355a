"""How widely a server is shared."""

from __future__ import annotations

import hashlib

from mcpgateway.config.model import Container, Daemon, Reach, Remote, Rest, ServerSpec, Share

STATEFUL = (
    "sequential-thinking",
    "sequentialthinking",
    "serena",
    "playwright",
    "chrome-devtools",
    "puppeteer",
)
"""Servers known to keep state per client, by name or as part of a package's name (product decision, S000's list)."""


def scope_of(server: ServerSpec) -> Share:
    """The scope a server starts with: what its entry says, else what is known of the server."""
    if server.interactive:
        return Share.SESSION  # a question can only be brought to the one client of a child
    if server.share is not Share.AUTO:
        return server.share
    return Share.SESSION if _is_known_stateful(server) else Share.GLOBAL


def keeps_state(server: ServerSpec) -> bool:
    """Whether a server keeps state for each client; those of the modern era are told apart by their processes.

    One that only asks its clients something needs no child for each of them there: what it asks is in its answer.
    """
    return server.share is Share.SESSION or (server.share is Share.AUTO and _is_known_stateful(server))


def may_move(server: ServerSpec) -> bool:
    """Whether its entry leaves it open how widely a server is shared, and whether it may ask its client something."""
    return server.share is Share.AUTO and server.interactive is None and scope_of(server) is Share.GLOBAL


def launch_digest(server: ServerSpec) -> str:
    """Names what a server is launched with, so that what was found out about it holds until that changes."""
    # The names of the environment only: values hold secrets, and things like the number of a terminal.
    told = repr((server.command, server.cwd, sorted(server.env), *_place(server.reach)))
    return hashlib.sha256(told.encode(errors="surrogatepass")).hexdigest()


def _place(reach: Reach | None) -> tuple[str, ...]:
    # Where it is; a query may be a secret, and does not make another server of it.
    match reach:
        case Remote():
            return reach.url.partition("?")[0], reach.transport.value
        case Daemon():
            return reach.url, reach.transport.value
        case Container():
            return reach.image, *reach.options
        case Rest():
            return (reach.base,)
        case None:
            return ()


def _is_known_stateful(server: ServerSpec) -> bool:
    if server.title in STATEFUL or server.name in STATEFUL:
        return True
    return any(_package(word) in _PACKAGES for word in server.command)


def _package(word: str) -> str:
    # "@scope/server-puppeteer@2026.1" and "/opt/bin/mcp-server-puppeteer" name the same package.
    cut = word.rfind("@")
    name = word[:cut] if cut > 0 else word
    return name if name in SCOPED else name.rsplit("/", 1)[-1]


SCOPED = ("@playwright/mcp",)  # packages whose own name says nothing without their scope
_PACKAGES = frozenset(
    prefix + name + suffix
    for name in STATEFUL
    for prefix in ("", "server-", "mcp-server-", "mcp-")
    for suffix in ("", "-mcp", "-mcp-server")
).union(SCOPED)
