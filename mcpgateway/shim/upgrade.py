"""The request for a connection of lines, and its answer (RFC 9112; RFC 9110 section 7.8)."""

from __future__ import annotations

import errno
import posix

from mcpgateway.shim import jsontext
from mcpgateway.shim.locations import GatewayAddress, quoted, working_directory

HEAD_LIMIT = 64 * 1024  # bytes, and as many of a body
SWITCHING = 101
PROTOCOL = b"mcp-stdio"


def request_of(address: GatewayAddress, server: str, token: bytes, view: str, project: str) -> list[bytes]:
    """Return the header lines of the request for a connection, without the session.

    :param server: the name of the server; "" for all servers together.
    :param view: the view of all servers together; "" for the usual one.
    :param project: the directory of the client's project; "" where unknown.
    """
    last = quoted(server.encode()).replace(b"/", b"%2F") or quoted(view.encode())
    lines = [
        b"GET " + address.prefix + b"/mcp" + (b"/" + last if last else b"") + b" HTTP/1.1",
        b"Host: " + address.host,
        b"Connection: Upgrade",
        b"Upgrade: mcp-stdio",
        # Requests on this connection are the client's, never an administrator's own.
        b"X-Mcpgateway-Stdio: 1",
        # The shim lives exactly as long as the client uses it, so its end is the end of the client's sessions.
        b"X-Client-Pid: %d" % posix.getpid(),
        b"Mcp-Project-Path: " + quoted(_place_in(project)),
        b"Accept: text/event-stream",
    ]
    return [*lines, b"Authorization: Bearer " + token] if token else lines


def _place_in(project: str) -> bytes:
    # The working directory of the shim, unless it is outside of the project: clients with windows start the shim in
    # their own directory.
    here, root = working_directory(), project.encode(errors="surrogateescape").rstrip(b"/")
    return root if root and not (here + b"/").startswith(root + b"/") else here


class UpgradeAnswer:
    """The answer to an upgrade request.

    :ivar status: the HTTP status; 0 where the answer is not HTTP.
    :ivar body: the body; the first lines after an upgrade.
    :ivar is_upgraded: lines follow.
    :ivar line_limit: the most bytes of one line that the gateway takes; 0 where it does not say.
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
    """Check that a socket is the user's own: with a long home it is in a directory to which other users can write.

    :raise OSError: the socket is another user's, or does not exist.
    """
    if posix.lstat(path).st_uid != posix.geteuid():
        raise PermissionError(errno.EACCES, "the socket belongs to another user", path)
