"""The HTTP client for a gateway's own API, over its Unix socket or TCP: blocking, for short-lived programs.

The module is imported only before a request, since `http.client` takes longer to load than most commands run.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from time import monotonic
from typing import Any, NamedTuple

BODY_LIMIT = 64 * 1_048_576  # bytes; a gateway with hundreds of servers answers with less than one MiB
PIECE = 65_536


class HttpReply(NamedTuple):
    """The answer to one request.

    :ivar status: the HTTP status.
    :ivar value: the body, decoded from JSON; None where it is not JSON.
    """

    status: int
    value: Any


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection to a Unix socket.

    :param limit_s: the limit of each socket operation, in seconds.
    """

    def __init__(self, path: str, limit_s: float) -> None:
        super().__init__("localhost", timeout=limit_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket in place of a host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def local_connection(port: int, limit_s: float) -> http.client.HTTPConnection:
    """Return an HTTP connection to a port of this machine."""
    return http.client.HTTPConnection("127.0.0.1", port, timeout=limit_s)


def fetch(
    connection: http.client.HTTPConnection,
    target: str,
    limit_s: float,
    *,
    method: str = "GET",
    body: object = None,
    headers: Mapping[str, str] | None = None,
) -> HttpReply:
    """Send one request, read the whole answer and close the connection.

    :param limit_s: the limit of the whole exchange, in seconds.
    :param body: sent as JSON; None sends no body.
    :raise OSError: the connection fails; a `TimeoutError` where the limit passes.
    :raise http.client.HTTPException: the answer is not HTTP, or larger than `BODY_LIMIT`.
    """
    ends = monotonic() + limit_s
    sent = {"Accept": "application/json", **(headers or {})}
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        sent["Content-Type"] = "application/json"
    try:
        connection.request(method, target, data, sent)
        answer = connection.getresponse()
        return HttpReply(answer.status, decoded(_whole(connection, answer, ends)))
    finally:
        connection.close()


def decoded(body: bytes) -> Any:
    """Return a body decoded from JSON; None where it is not JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _whole(connection: http.client.HTTPConnection, answer: http.client.HTTPResponse, ends: float) -> bytes:
    # The limit of a socket holds for each piece; this one holds for all pieces together.
    pieces: list[bytes] = []
    size = 0
    while True:
        left = ends - monotonic()
        if left <= 0:
            raise TimeoutError("the answer takes too long")
        if connection.sock is not None:
            connection.sock.settimeout(left)
        piece = answer.read1(PIECE)
        if not piece:
            return b"".join(pieces)
        size += len(piece)
        if size > BODY_LIMIT:
            raise http.client.HTTPException("the answer is too large")
        pieces.append(piece)
