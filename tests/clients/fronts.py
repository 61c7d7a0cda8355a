"""The ways into a gateway that clients may take: which there are, and how each reaches one server."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from attrs import frozen

from tests.support.gateway import BIN, Gateway

SOCKET = "gateway.sock"


class Front(Enum):
    """A way in."""

    HTTP = "http"  # Streamable HTTP on TCP
    SSE = "sse"  # HTTP+SSE, the transport of 2024
    STDIO = "stdio"  # through `mcpgateway connect`
    UNIX = "unix"  # Streamable HTTP on a Unix socket


@frozen
class Way:
    """The way of a client to one server.

    :ivar url: where the server is on HTTP; on a Unix socket only its path matters.
    :ivar argv: the program that speaks for the server on stdio.
    :ivar socket: the Unix socket.
    """

    front: Front
    url: str
    argv: tuple[str, ...]
    socket: Path


def listening(directory: Path) -> list[str]:
    """The options of a gateway that is to be reached on a Unix socket too."""
    return ["--listen", f"unix:{directory / SOCKET}"]


def way(gateway: Gateway, front: Front, server: str) -> Way:
    """Return the way to that server of a gateway."""
    base = "http://localhost" if front is Front.UNIX else gateway.url
    url = f"{base}/{server}/{'sse' if front is Front.SSE else 'mcp'}"
    shim = (str(BIN / "mcpgateway"), "connect", server, "--url", gateway.url)
    return Way(front, url, shim, gateway.directory / SOCKET)
