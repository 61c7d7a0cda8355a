"""The requests under way on a client's connection that carries many of them."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any

from attrs import define
from msgspec import Raw

from mcpgateway.errors import Cancelled, GatewayError, ShuttingDown
from mcpgateway.frontends.http.streams import Streams
from mcpgateway.hub.calls import CUT_OFF
from mcpgateway.hub.keepalive import ProgressKeepalive
from mcpgateway.inherited import CarriedRequest
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc, modern

LINES_LIMIT = 256 * 1024  # bytes of requests that are kept for the next program, for each connection


@define(eq=False, repr=False)
class _UnderWay:
    """A request, its line where that is kept, and the progress notifications that its client has got."""

    request: Request
    line: bytes
    signs: ProgressKeepalive | None = None


class RequestsUnderWay:
    """Finds the requests under way by their clients' ids; has the connection ticked while there are any.

    :param connection: the client's connection.
    """

    __slots__ = ("_by_id", "_connection", "_size", "_streams")

    def __init__(self, connection: Any, streams: Streams) -> None:
        self._connection = connection
        self._streams = streams
        self._by_id: dict[bytes, _UnderWay] = {}
        self._size = 0  # of the kept lines

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Request]:
        return iter([each.request for each in self._by_id.values()])

    def find(self, identifier: bytes) -> Request | None:
        """Return the request with an id, as its client wrote it; None if none is under way."""
        found = self._by_id.get(_key(identifier))
        return found.request if found is not None else None

    def add(self, request: Request, line: bytes = b"") -> None:
        """Add a request that is under way.

        :param line: the request as its client sent it, if the next program of this process may go on with it.
        """
        if self._size + len(line) > LINES_LIMIT:
            line = b""
        self._size += len(line)
        self._by_id[_key(request.id)] = _UnderWay(request, line)
        self._streams.waiting.add(self._connection)

    def remove(self, request: Request) -> None:
        """Remove a request that has its answer, or needs none."""
        found = self._by_id.pop(_key(request.id), None)
        self._size -= len(found.line) if found is not None else 0
        if not self._by_id:
            self._streams.waiting.discard(self._connection)

    def arrivals(self) -> dict[float, bool] | None:
        """Return the times of arrival of the requests, with true for calls; None if one of them cannot go on."""
        if not all(each.line for each in self._by_id.values()):
            return None
        return {each.arrived: each.method != modern.LISTEN for each in self}

    def carried(self, sent: Container[float]) -> tuple[CarriedRequest, ...]:
        """Return the requests for the next program.

        :param sent: the times of arrival of those whose calls their servers have been sent.
        """
        calls = ((each.line, each.request) for each in self._by_id.values())
        return tuple(
            CarriedRequest(line, call.arrived, call.is_admin, call.arrived in sent, call.honoured)
            for line, call in calls
        )

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


def inherit(request: Request, carried: CarriedRequest | None, arrived: float) -> None:
    """Give a request the time of its arrival, and all that the former program knew of it."""
    request.arrived = arrived
    if carried is not None:
        request.arrived, request.is_admin = carried.arrived, carried.is_admin
        request.honoured, request.was_sent = carried.honoured, carried.is_sent


def lost(carried: CarriedRequest, request: Request) -> bool:
    """Answer a request whose call was sent to a server that has ended since; return false for any other."""
    if carried.is_lost:
        request.sink.failed(request, ShuttingDown(CUT_OFF.format(name="the server")))
    return carried.is_lost


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
