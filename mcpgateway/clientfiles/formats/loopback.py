"""URLs of the gateway of this machine, in any spelling that its frontends understand."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from attrs import field, frozen

PORTS = {"http": 80, "https": 443}
VIEWS = ("full", "search", "admin")


def _nowhere(target: tuple[str, ...]) -> str:
    return ""


@frozen
class LocalGateway:
    """The addresses of the gateway on this machine.

    :ivar port: the port of the gateway.
    :ivar hosts: its names besides the loopback names of every machine.
    :ivar former: its ports at the times when entries were enrolled.
    :ivar elsewhere: returns the home of another gateway that runs, to which a URL or command leads; "" where none does.
    """

    port: int
    hosts: frozenset[str] = frozenset()
    former: frozenset[int] = frozenset()
    elsewhere: Callable[[tuple[str, ...]], str] = field(default=_nowhere, eq=False, repr=False)


def server_of(url: str, base: LocalGateway) -> str | None:
    """Return the server that a URL of the gateway names, "" where it names all; None for other URLs."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port or PORTS.get(parts.scheme.lower())
    except ValueError:
        return None
    host = (parts.hostname or "").removesuffix(".")
    if (
        (port != base.port and port not in base.former)
        or parts.scheme.lower() not in PORTS
        or not (host in base.hosts or is_loopback(host))
    ):
        return None
    match [unquote(each) for each in parts.path.strip("/").split("/")]:
        case [""] | ["mcp" | "sse"] | ["mcp", "p", _]:
            return ""
        case ["mcp", view] if view in VIEWS:
            return ""
        case [name, "mcp" | "sse"] | ["mcp", name] if name:
            return name
        case _:
            return None


def port_of(url: str) -> int | None:
    """Return the port of a URL that leads to this machine; None for others."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port or PORTS.get(parts.scheme.lower())
    except ValueError:
        return None
    return port if is_loopback((parts.hostname or "").removesuffix(".")) else None


def is_loopback(host: str) -> bool:
    """True if a host is this machine, in any spelling."""
    host = host.lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    # A connection to the unspecified address reaches this machine.
    return bool(mapped.is_loopback or mapped.is_unspecified)
