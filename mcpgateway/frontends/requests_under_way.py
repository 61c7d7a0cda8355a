"""The requests under way on a client's connection that carries many of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import define
from msgspec import Raw

from mcpgateway.errors import Cancelled, GatewayError
from mcpgateway.frontends.http.streams import Streams
from mcpgateway.hub.keepalive import ProgressKeepalive
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc


@define(eq=False, repr=False)
class _UnderWay:
    """A request, and the progress notifications that its client has got."""

    request: Request
    signs: ProgressKeepalive | None = None


class RequestsUnderWay:
    """Finds the requests under way by their clients' ids; has the connection ticked while there are any.

    :param connection: the client's connection.
    """

    __slots__ = ("_by_id", "_connection", "_streams")

    def __init__(self, connection: Any, streams: Streams) -> None:
        self._connection = connection
        self._streams = streams
        self._by_id: dict[bytes, _UnderWay] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Request]:
        return iter([each.request for each in self._by_id.values()])

    def find(self, identifier: bytes) -> Request | None:
        """Return the request with an id, as its client wrote it; None if none is under way."""
        found = self._by_id.get(_key(identifier))
        return found.request if found is not None else None

    def add(self, request: Request) -> None:
        """Add a request that is under way."""
        self._by_id[_key(request.id)] = _UnderWay(request)
        self._streams.waiting.add(self._connection)

    def remove(self, request: Request) -> None:
        """Remove a request that has its answer, or needs none."""
        self._by_id.pop(_key(request.id), None)
        if not self._by_id:
            self._streams.waiting.discard(self._connection)

    def progress(self, request: Request, message: bytes) -> bytes:
        """Return a call's progress notification for its client, never lower than the notifications before."""
        found = self._by_id.get(_key(request.id))
        return message if found is None or found.signs is None else found.signs.follow(request, message)

    def signs(self) -> Iterator[bytes]:
        """Yield progress notifications for the silent calls; called once a second."""
        for each in list(self._by_id.values()):
            if each.request.token is not None:
                each.signs = each.signs or ProgressKeepalive(each.request.token)
                sign = each.signs.tick(each.request.progress)
                if sign is not None:
                    yield sign


def error_for(request: Request, why: GatewayError) -> bytes:
    """Return the error response; empty if the client has cancelled its request, and waits for none."""
    return b"" if isinstance(why, Cancelled) else jsonrpc.error_bytes(request.id, why)


def _key(identifier: bytes) -> bytes:
    # A string has several spellings in JSON; an integer has one.
    if b"\\" not in identifier:
        return identifier
    try:
        return bytes(jsonrpc.raw(jsonrpc.read_string(Raw(identifier), "id", jsonrpc.ID_LIMIT)))
    except GatewayError:
        return identifier
