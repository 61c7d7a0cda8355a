"""Connections with a request under way, on their way from one program of the gateway to the next.

The next program serves the request once more; see `mcpgateway.backends.awaited`.  A stream of which a part was sent
goes on without its head.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Container, Iterable, Iterator
from typing import Any

from attrs import define, field
from msgspec import Struct
from msgspec.structs import replace
from twisted.internet.interfaces import IAddress, IProtocolFactory
from zope.interface import implementer

from mcpgateway.errors import ShuttingDown
from mcpgateway.frontends.http.channel import Channel
from mcpgateway.frontends.http.channel_factory import ChannelFactory
from mcpgateway.frontends.http.exchange import Exchange
from mcpgateway.frontends.http.phases import BUSY
from mcpgateway.frontends.http.streams import MovableStream, Streams
from mcpgateway.frontends.http.workspace_detection import known_id
from mcpgateway.frontends.http.write_buffer import LARGE
from mcpgateway.hub.calls import CUT_OFF
from mcpgateway.inherited import ConnectionState
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc, sse


class LeavingStream(Struct, frozen=True):
    """A stream, or the answer to a request, with which the next program can go on.

    :ivar arrivals: the times of arrival of its requests.
    :ivar sent: those of the requests whose calls their servers have been sent.
    """

    stream: MovableStream
    arrivals: frozenset[float]
    sent: frozenset[float]

    @property
    def channel(self) -> Channel:
        """Its connection."""
        found: Channel = self.stream.exchange.channel
        return found

    def leave(self) -> ConnectionState:
        """Return its state for the next program, and send nothing any more."""
        return self.channel.leave(self.stream.state(self.sent), is_sent=bool(self.sent))


def leaving(
    streams: Streams, calls: Iterable[Request], goes_on: Callable[[Request], bool]
) -> Iterator[LeavingStream]:
    """Return the streams with which the next program can go on, those of single calls included.

    :param calls: all calls under way.
    :param goes_on: returns true for a call that the next program can find again, or was not sent.
    """
    by_arrival: dict[float, list[Request]] = {}
    for call in calls:
        by_arrival.setdefault(call.arrived, []).append(call)
    for stream in streams.open():
        arrivals = stream.arrivals()
        if arrivals is None or not may_leave(stream):
            continue
        found = {each: by_arrival.get(each, []) for each, is_call in arrivals.items() if is_call}
        if all(those and all(map(goes_on, those)) for those in found.values()):
            sent = (each for each, those in found.items() if any(call.number for call in those))
            yield LeavingStream(stream, frozenset(arrivals), frozenset(sent))


def staying(streams: Streams) -> frozenset[float]:
    """Return the times of arrival of all requests on streams with which the next program may go on."""
    kept = (stream.arrivals() for stream in streams.open() if may_leave(stream))
    return frozenset(arrival for arrivals in kept for arrival in arrivals or ())


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


def resume(reactor: Any, factory: ChannelFactory, state: ConnectionState, found: Container[float]) -> None:
    """Serve the request of a connection that the former program has served.

    :param found: the times of arrival of the calls that their servers have and go on with; others are not sent again.
    """
    is_lost = False
    if state.stream is not None:
        requests = (
            replace(each, is_lost=each.is_sent and each.arrived not in found)
            for each in state.stream.requests
        )
        state = replace(state, stream=replace(state.stream, requests=tuple(requests)))
    else:
        is_lost = state.is_sent and state.began not in found
    heir = _Heir(factory)
    with socket.socket(fileno=state.descriptor) as inherited:
        reactor.adoptStreamConnection(inherited.fileno(), inherited.family, heir)
    if heir.channel is not None:
        heir.channel.resume(state, _Lost() if is_lost else None)


def may_leave(stream: object) -> bool:
    """Return whether the connection of a stream can be handed over; that of TLS cannot."""
    if not isinstance(stream, MovableStream):
        return False
    channel = stream.exchange.channel
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
