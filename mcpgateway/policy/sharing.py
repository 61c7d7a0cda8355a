"""The scope of servers: the clients that share one child, and the keys of children."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

from mcpgateway.config.environment import MINIMAL, is_handed_on
from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.config.reach_settings import Container, Daemon, Remote, Rest
from mcpgateway.policy.known_servers import CACHED, Trait, image_of, known_by_names, names_in_start

STATEFUL = (
    "sequential-thinking",
    "sequentialthinking",
    "serena",
    "playwright",
    "chrome-devtools",
    "puppeteer",
)
"""Names of entries and packages of servers that keep state per client.

See also `mcpgateway.policy.known_servers`.
"""

_PLACE = re.compile(r"\$\{(?:workspace|project)\}")


def scope_of(server: ServerSpec) -> Share:
    """Return the scope that a server starts with: that of its entry, else that of its known properties."""
    if server.interactive:
        return Share.SESSION  # a question can only be sent to the one client of a child
    if server.share is not Share.AUTO:
        return server.share
    return Share.SESSION if _is_known_stateful(server) else Share.GLOBAL


def needs_place(scope: Share, *, takes_values: bool) -> bool:
    """True if a child of a server depends on the workspace that its client works in.

    :param takes_values: its entry takes values from the environment; else they are the same everywhere.
    """
    return scope in (Share.WORKSPACE, Share.ISOLATED) or (
        takes_values and scope in (Share.SESSION, Share.CREDENTIAL)
    )


def tells_place(server: ServerSpec) -> bool:
    """True if the entry of a server adds the client's workspace to arguments of calls."""
    return any(_PLACE.search(each) for each in server.inject.values())


def scope_value(scope: Share, server: ServerSpec) -> str:
    """Return the key of the sessions that share a child of a server; empty where all share one.

    :param server: the server as it is run for the session's workspace and principal.
    """
    shared = _value(scope, server)
    return f"{server.principal}\0{shared}" if server.principal else shared


def _value(scope: Share, server: ServerSpec) -> str:
    if scope in (Share.GLOBAL, Share.AUTO):
        return ""
    if scope is Share.CREDENTIAL:
        return server.credential
    # A workspace whose values have changed gets another child; open sessions keep the former one.
    return f"{server.workspace}\0{server.credential}" if server.workspace else ""


Variant = tuple[str, str, str, str]
"""The key of a variant of a server: name, workspace, values, principal."""


def variant_of(server: ServerSpec) -> Variant:
    """Return the key of a server as it is run for one workspace and one principal."""
    workspace = server.workspace
    if workspace and scope_of(server) is Share.GLOBAL:
        workspace = ""
    return (server.name, workspace, values_of(server), server.principal)


def name_in_workspace(server: ServerSpec) -> str:
    """Return the name of a server together with its workspace; a request state is valid there only.

    A question in one workspace is not answered from another.  A value that has changed meanwhile is no reason to refuse
    an answer: the child that waits for it still runs.
    """
    return f"{server.name}\0{server.workspace}" if server.workspace else server.name


def values_of(server: ServerSpec) -> str:
    """Return the key of the values of a server in a workspace; empty without a workspace.

    Without a workspace it is one server, however often its values change.
    """
    return server.credential if server.workspace else ""


def may_move(server: ServerSpec) -> bool:
    """True if the entry leaves open how widely a server is shared, and whether the server may ask its client."""
    return server.share is Share.AUTO and server.interactive is None and scope_of(server) is Share.GLOBAL


def launch_digest(server: ServerSpec) -> str:
    """Return the fingerprint of a server's launch; discovered properties of the server hold until it changes."""
    # The names of the environment only: values hold secrets, and things like the number of a terminal.
    # Nor variables of every program: these depend on the gateway's own start.
    named = sorted(each for each in server.env if each in MINIMAL or not is_handed_on(each))
    parts = repr((server.command, server.cwd, named))
    if server.reach is not None:
        parts += repr(_address(server))
    if server.workspace and scope_of(server) is not Share.GLOBAL:
        parts += repr(server.workspace)  # the values may differ there
    return hashlib.sha256(parts.encode(errors="surrogatepass")).hexdigest()


def _address(server: ServerSpec) -> tuple[str, ...]:
    # Without secrets.
    match server.reach:
        case Remote(url=url, transport=transport) | Daemon(url=url, transport=transport):
            return (*_without_secrets(url), transport.value)
        case Rest(base=url):
            return _without_secrets(url)
        case Container(image=image):
            return ("container", image)
    return ()


def _without_secrets(url: str) -> tuple[str, ...]:
    scheme, _, rest = url.partition("?")[0].partition("://")
    host, slash, path = rest.partition("/")
    return (scheme, host.rpartition("@")[2], slash, path)


def reason_of_state(server: ServerSpec) -> str:
    """Return why a server is known to keep state for each client, by its command or its name; else empty."""
    return _reason_of_state(server.command, image_of(server), server.name, server.title)


@lru_cache(maxsize=CACHED)
def _reason_of_state(command: tuple[str, ...], image: str, *named: str) -> str:
    names = names_in_start(command, image)
    known = known_by_names(names)
    if Trait.STATE in known.traits:
        return known.reason
    if any(each in STATEFUL for each in named) or not _PACKAGES.isdisjoint(names):
        return "it is known to"
    return ""


def _is_known_stateful(server: ServerSpec) -> bool:
    return bool(reason_of_state(server))


_PACKAGES = frozenset(
    prefix + name + suffix
    for name in STATEFUL
    for prefix in ("", "server-", "mcp-server-", "mcp-")
    for suffix in ("", "-mcp", "-mcp-server")
)
