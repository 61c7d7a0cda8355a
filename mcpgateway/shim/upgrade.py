"""The request for a connection of lines, and what it is answered with (RFC 9112; RFC 9110 section 7.8)."""

from __future__ import annotations

import errno
import posix

from mcpgateway.shim import jsontext
from mcpgateway.shim.locations import GatewayAddress, quoted, working_directory

HEAD_LIMIT = 64 * 1024  # bytes, and as many of a body
SWITCHING = 101
PROTOCOL = b"mcp-stdio"


def request_of(address: GatewayAddress, server: str, token: bytes, view: str, project: str) -> list[bytes]:
    """The lines of the request for a connection, without the session.

    :param server: its name; "" where all servers together are meant.
    :param view: which view of them; "" for the usual one.
    :param project: the directory of the project whose client this is; "" where that is not said.
    """
    last = quoted(server.encode()).replace(b"/", b"%2F") or quoted(view.encode())
    lines = [
        b"GET " + address.prefix + b"/mcp" + (b"/" + last if last else b"") + b" HTTP/1.1",
        b"Host: " + address.host,
        b"Connection: Upgrade",
        b"Upgrade: mcp-stdio",
        # What comes through here is its client's word, never an administrator's own.
        b"X-Mcpgateway-Stdio: 1",
        # We live exactly as long as the client uses us, so our end is the end of its sessions.
        b"X-Client-Pid: %d" % posix.getpid(),
        b"Mcp-Project-Path: " + quoted(_place_in(project)),
        b"Accept: text/event-stream",
    ]
    return [*lines, b"Authorization: Bearer " + token] if token else lines


def _place_in(project: str) -> bytes:
    # Where the client has started us, unless that is outside of its project: clients with windows start us in their own
    # directory.
    here, root = working_directory(), project.encode(errors="surrogateescape").rstrip(b"/")
    return root if root and not (here + b"/").startswith(root + b"/") else here


class UpgradeAnswer:
    """An answer.

    :ivar status: 0 where it is none of HTTP.
    :ivar is_upgraded: lines follow; the first of them are its body.
    :ivar line_limit: how many bytes the gateway takes in one; 0 where it does not say.
    """

    __slots__ = ("body", "is_upgraded", "line_limit", "status")

    def __init__(self, status: int, headers: dict[bytes, bytes], body: bytes) -> None:
        limit = headers.get(b"x-mcpgateway-line-limit", b"")
        self.status = status
        self.body = body
        self.is_upgraded = status == SWITCHING and headers.get(b"upgrade") == PROTOCOL
        self.line_limit = int(limit) if limit.isdigit() else 0


def read_answer(came: bytes) -> UpgradeAnswer | None:
    """Parse the bytes received so far as an answer; None while they are not whole."""
    head, end, body = came.partition(b"\r\n\r\n")
    if not end:
        return UpgradeAnswer(0, {}, b"") if len(head) > HEAD_LIMIT else None
    first, *lines = head.split(b"\r\n")
    version, _, rest = first.partition(b" ")
    status = rest.partition(b" ")[0]
    headers = {name.lower(): value.strip() for name, _, value in (each.partition(b":") for each in lines)}
    answer = UpgradeAnswer(int(status) if version[:5] == b"HTTP/" and status.isdigit() else 0, headers, body)
    length = headers.get(b"content-length", b"")
    is_whole = answer.is_upgraded or not length.isdigit() or len(body) >= min(int(length), HEAD_LIMIT)
    return answer if is_whole else None


def refusal(body: bytes) -> str:
    """Return the message of a gateway's refusal; empty where the body is not a gateway's."""
    try:
        message = jsontext.decoded(body)
    except jsontext.Unreadable:
        return ""
    is_of_a_gateway = jsontext.text_of(message, "jsonrpc") == "2.0"
    return jsontext.text_of(message, "error", "message") if is_of_a_gateway else ""


def check_owner(path: str) -> None:
    """See that a socket is the user's own: where homes have long names, it is in a directory that others can write to.

    :raise OSError: it is somebody else's, or not there.
    """
    if posix.lstat(path).st_uid != posix.geteuid():
        raise PermissionError(errno.EACCES, "the socket belongs to another user", path)
