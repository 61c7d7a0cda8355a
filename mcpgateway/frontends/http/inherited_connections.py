"""Connections with a request under way, on their way from one program of the gateway to the next.

The next program serves the request once more; see `mcpgateway.backends.awaited`.  A stream of which a part was sent
goes on without its head.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from attrs import define, field
from msgspec import Struct
from twisted.internet.interfaces import IAddress, IProtocolFactory
from zope.interface import implementer

from mcpgateway.errors import ShuttingDown
from mcpgateway.frontends.http.channel import Channel
from mcpgateway.frontends.http.channel_factory import ChannelFactory
from mcpgateway.frontends.http.exchange import Exchange
from mcpgateway.frontends.http.phases import BUSY
from mcpgateway.frontends.http.streams import Streams
from mcpgateway.frontends.http.workspace_detection import known_id
from mcpgateway.frontends.http.write_buffer import LARGE
from mcpgateway.hub.calls import CUT_OFF
from mcpgateway.interfaces import ConnectionState, Request
from mcpgateway.protocol import jsonrpc, sse


class LeavingExchange(Struct, frozen=True):
    """A request under way that the next program can serve.

    :ivar is_sent: true if its server has been sent the call.
    """

    exchange: Exchange
    is_sent: bool

    @property
    def channel(self) -> Channel:
        """Its connection."""
        found: Channel = self.exchange.channel  # type: ignore[assignment]  # it is declared as far as it is used
        return found

    def leave(self) -> ConnectionState:
        """Return its state for the next program, and send nothing any more."""
        return self.channel.leave(is_sent=self.is_sent)


def leaving(
    streams: Streams, calls: Iterable[Request], goes_on: Callable[[Request], bool]
) -> Iterator[LeavingExchange]:
    """Return the requests under way that the next program can serve: calls of MCP, and standing streams.

    :param calls: all calls under way.
    :param goes_on: returns true for a call that the next program can find again, or was not sent.
    """
    of_exchange: dict[float, list[Request]] = {}
    for call in calls:
        of_exchange.setdefault(call.arrived, []).append(call)
    for stream in streams.open():
        exchange = stream.exchange
        found = of_exchange.get(exchange.began, [])
        is_whole = exchange.method == b"GET" or (exchange.body and found)
        if is_whole and _may_leave(exchange) and all(map(goes_on, found)):
            yield LeavingExchange(exchange, any(each.number for each in found))


@implementer(IProtocolFactory)
@define(eq=False)
class _Heir:
    """Makes the channel of one connection.

    :ivar channel: the channel, once it is made.
    """

    _factory: ChannelFactory
    channel: Channel | None = field(default=None, init=False)

    def doStart(self) -> None:
        """Ignore it."""

    def doStop(self) -> None:
        """Ignore it."""

    def buildProtocol(self, addr: IAddress | None) -> Channel:
        """Return the channel."""
        self.channel = self._factory.buildProtocol(addr)
        return self.channel


def resume(reactor: Any, factory: ChannelFactory, state: ConnectionState, *, is_lost: bool) -> None:
    """Serve the request of a connection that the former program has served.

    :param is_lost: true if its call was sent to a server that has ended since; it is not sent again.
    """
    heir = _Heir(factory)
    with socket.socket(fileno=state.descriptor) as inherited:
        reactor.adoptStreamConnection(inherited.fileno(), inherited.family, heir)
    if heir.channel is not None:
        heir.channel.resume(state, _Lost() if is_lost else None)


def _may_leave(exchange: Exchange) -> bool:
    channel: Any = exchange.channel
    return bool(channel.phase == BUSY and channel.outlet.is_empty) and not channel.secure


class _Lost:
    """Answers a call that was sent to a server that has ended since; the connection is closed then."""

    def opened(self, exchange: Exchange) -> int:
        """Accept the body."""
        exchange.channel.is_last = True
        return LARGE

    def handle(self, exchange: Exchange) -> None:
        """Answer that the call may have had effects."""
        body = jsonrpc.error_bytes(known_id(exchange.body), ShuttingDown(CUT_OFF.format(name="the server")))
        if exchange.streaming:
            exchange.finish(sse.event(body))
        else:
            exchange.answer(200, body)

    def refusal(self, method: bytes, path: bytes, why: str, data: dict[str, Any] | None = None) -> bytes:
        """Return the body of a refusal."""
        return jsonrpc.error_bytes(b"null", ShuttingDown(why, data=data))
