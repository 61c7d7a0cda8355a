"""Make all connections of the HTTP server, tick them once a second, and shut them down."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator

from twisted.internet.interfaces import IAddress, IProtocolFactory, IReactorTime
from zope.interface import implementer

from mcpgateway.frontends.http.channel import Channel
from mcpgateway.frontends.http.exchange import Exchange
from mcpgateway.frontends.http.peers import Find, HttpPeer, Introduce, by_address
from mcpgateway.frontends.http.phases import BUSY, CLOSING
from mcpgateway.frontends.http.shared_state import SharedState
from mcpgateway.interfaces import IRequestHandler

PARKED_LIMIT = 500  # connections that are passed on; a program may be started with 1024 files


@implementer(IProtocolFactory)
class ChannelFactory:
    """Makes a channel for each connection, and ticks all of them.

    :param introduce: identifies the client of a new connection.
    :param find: finds the processes that hold sockets.
    :ivar connections: the open connections.
    :ivar shared: the state that all connections share.
    """

    def __init__(
        self,
        handler: IRequestHandler,
        clock: IReactorTime | None = None,
        introduce: Introduce = by_address,
        find: Find | None = None,
    ) -> None:
        self.connections: set[Channel] = set()
        self.shared = SharedState(handler, self._callers, clock, introduce, find)

    def _callers(self) -> Iterator[HttpPeer]:
        return (each.caller for each in self.connections)

    def doStart(self) -> None:
        """Ignore that a port listens."""

    def doStop(self) -> None:
        """Ignore that a port has closed."""

    def buildProtocol(self, addr: IAddress | None) -> Channel:
        """Return a channel for a new connection."""
        return Channel(self.shared, self.connections)

    def sweep(self) -> None:
        """Tick the shared state and all connections; called once a second."""
        self.shared.tick()
        for channel in list(self.connections):
            channel.tick()

    def is_answering(self, but: Container[Channel]) -> bool:
        """True if a request waits for its answer, on connections other than these."""
        return any(channel.phase == BUSY for channel in self.connections if channel not in but)

    def is_busy(self, but: Container[Channel]) -> bool:
        """True if a request is being read or answered, or received bytes wait to be parsed, but for these."""
        others = (channel for channel in self.connections if channel not in but)
        return any(channel.phase < CLOSING and not channel.is_parked for channel in others)

    def leave(self, channels: Iterable[Channel]) -> None:
        """Forget connections, whose next reader is the next program of this process."""
        self.connections.difference_update(channels)

    def park(self) -> None:
        """Answer the requests under way and read no others; the connections stay open for the next process."""
        self.shared.is_parking = True
        for count, channel in enumerate(list(self.connections)):
            if count < PARKED_LIMIT:
                channel.park()
            else:
                channel.close_when_idle()

    def parked(self) -> list[int]:
        """Return the descriptors of the connections that stay open."""
        return [each.transport.fileno() for each in self.connections if each.is_parked]

    def drain(self) -> None:
        """Close the idle connections now, and each other connection after its answer."""
        self.shared.is_parking = False
        self.shared.is_draining = True
        for channel in list(self.connections):
            channel.close_when_idle()

    def hang_up(self, principals: Container[str]) -> None:
        """End the streams of principals whose credentials have been revoked."""
        self.hang_up_where(lambda exchange: exchange.principal in principals)

    def hang_up_where(self, is_over: Callable[[Exchange], bool]) -> None:
        """End the streams for which the predicate is true."""
        for channel in list(self.connections):
            channel.hang_up(is_over)

    def abort_all(self) -> None:
        """Close every connection at once, except those that stay open for the next process."""
        for channel in list(self.connections):
            if not channel.is_parked:
                channel.abort()
