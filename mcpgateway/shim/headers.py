"""What every request to the gateway says about the shim and its client."""

from __future__ import annotations

import posix

from mcpgateway.shim.http1 import request
from mcpgateway.shim.locations import Address, Unusable, quoted

TOKEN_LIMIT = 4096
VISIBLE = frozenset(range(0x21, 0x7F))


class Headers:
    """Makes the requests of one shim.

    :param server: its name; "" where all servers together are meant.
    :param view: which view of them; "" for the usual one.
    :param project: the directory of the project whose client this is; "" where that is not said.
    """

    def __init__(
        self, address: Address, server: str, token: bytes, view: str = "", project: str = ""
    ) -> None:
        last = quoted(server.encode()).replace(b"/", b"%2F") or quoted(view.encode())
        self._target = address.prefix + b"/mcp" + (b"/" + last if last else b"")
        self._usual = [
            b"Host: " + address.host,
            # The door then takes the era from the message alone, for a client on stdio sends no headers.
            b"X-Mcpgateway-Stdio: 1",
            # We live exactly as long as the client uses us, so our end is the end of its sessions.
            b"X-Client-Pid: %d" % posix.getpid(),
            b"Mcp-Project-Path: " + quoted(place_in(project)),
        ]
        if token:
            self._usual.append(b"Authorization: Bearer " + token)

    def request(
        self,
        method: bytes,
        more: list[bytes] | None = None,
        body: bytes | None = None,
        *,
        stream: bool = False,
    ) -> bytes:
        """One request to the server's endpoint."""
        lines = self._usual + (more or [])
        if stream:
            lines.append(b"Accept: text/event-stream")
        elif body is not None:
            lines += (b"Accept: application/json, text/event-stream", b"Content-Type: application/json")
        return request(method, self._target, lines, body)


def header(name: bytes, value: bytes) -> list[bytes]:
    """A header, or nothing where its value could not stand in one."""
    return [name + b": " + value] if value and VISIBLE.issuperset(value) else []


def place_in(project: str) -> bytes:
    """Where the client works: where it has started us, unless that is outside of its project.

    Clients with windows start us in their own directory.
    """
    here, root = working_directory(), project.encode(errors="surrogateescape").rstrip(b"/")
    return root if root and not (here + b"/").startswith(root + b"/") else here


def working_directory() -> bytes:
    """Where the client has started us, as bytes; empty when that place has been removed."""
    try:
        return posix.getcwdb()
    except OSError:
        return b""


def token_of(path: str | None, given: str = "") -> bytes:
    """The token that a file holds; where no file is named, the one that the environment gives, or none.

    :raise Unusable: it cannot be read, or is no token.
    """
    if path is None:
        token = given.encode(errors="surrogateescape")
        if not VISIBLE.issuperset(token):
            raise Unusable("MCP_GATEWAY_AUTH_TOKEN: it is no token")
        return token
    try:
        descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            token = posix.read(descriptor, TOKEN_LIMIT).strip()
        finally:
            posix.close(descriptor)
    except OSError as why:
        raise Unusable(f"--token-file {path}: {why.strerror}") from why
    if not token or not VISIBLE.issuperset(token):
        raise Unusable(f"--token-file {path}: it holds no token")
    return token
