"""HTTP to a gateway; loaded only where one is asked, since that takes longer than all else that a command does."""

from __future__ import annotations

import http.client
from time import monotonic

BODY_LIMIT = 64 * 1_048_576  # a gateway with hundreds of servers says less than one
PIECE = 65_536


def whole(connection: http.client.HTTPConnection, answer: http.client.HTTPResponse, ends: float) -> bytes:
    """Read all of an answer.

    :param ends: when that has to be done.
    :raise TimeoutError: it takes longer.
    """
    # The limit of a socket is for each piece; this one is for all of them.
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
