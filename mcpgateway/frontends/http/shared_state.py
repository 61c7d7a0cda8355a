"""The state that all HTTP connections share: memory, known heads, peers, the date, and the phase of a shutdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from math import inf
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mcpgateway.bounded import Bounded
from mcpgateway.frontends.http.peers import Find, HttpPeer, Introduce, PeerGroups, by_address
from mcpgateway.frontends.http.request_head import Head
from mcpgateway.interfaces import IRequestHandler
from mcpgateway.policy.fair_memory import FairMemory
from mcpgateway.system.process.processes import RAISE_IT, TELLING, files_left, files_limit

SECRETS = frozenset((b"authorization", b"x-api-key"))  # not kept beyond the connection
KNOWN_HEADS = 8192  # of all connections together; about 1.5 KB each, freed when no connection is open
KNOWN_HEAD_LIMIT = 2048  # bytes of the head that each connection may keep
TELL_AGAIN_S = 60  # until refused connections are logged again

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class SharedState:
    """The state that each connection reads and updates.

    :param callers: returns the clients of all open connections.
    :ivar introduce: identifies the client of a new connection.
    :ivar room: bytes held for clients (`mcpgateway.frontends.http.channel`, Note [What a connection holds]).
    :ivar peers: groups of clients that share a part of the memory.
    :ivar files_kept: number of descriptors that must stay free for a new connection to be served.
    :ivar shortages: connections and requests refused for want of descriptors since the last log event of it.
    :ivar heads: the latest heads, by their bytes.
    :ivar is_draining: True once no connection takes another request.
    :ivar is_parking: True once no connection reads another request, but all stay open.
    :ivar date: the ``Date`` line of this second; empty without a clock (RFC 9110 section 6.6.1).
    """

    log = Logger()

    def __init__(
        self,
        handler: IRequestHandler,
        callers: Callable[[], Iterable[HttpPeer]],
        clock: IReactorTime | None = None,
        introduce: Introduce = by_address,
        find: Find | None = None,
    ) -> None:
        self.handler = handler
        self.introduce = introduce
        self.peers = PeerGroups(find)
        self.room = FairMemory(
            on_scarce=lambda: self.peers.look_for(callers()), on_full=lambda: self.peers.recognise(callers())
        )
        self._refusals = 0
        self.shortages = self._told_shortage_s = 0
        self.files_kept = files_limit() // TELLING
        self.heads: Bounded[bytes, Head] = Bounded(KNOWN_HEADS)
        self.is_draining = False
        self.is_parking = False
        self.date = b""
        self._clock = clock
        self._set_date()

    def files_left(self, transport: Any) -> float:
        """Return how many more files may be opened beside a new connection; count a shortage."""
        fileno = getattr(transport, "fileno", None)
        left = inf if fileno is None else files_left(fileno())
        if left < self.files_kept:
            self.shortages += 1
        return left

    def remember(self, head: Head) -> None:
        """Keep a head that was read; the oldest one is dropped for it."""
        if len(head.raw) > KNOWN_HEAD_LIMIT or not SECRETS.isdisjoint(head.headers):
            return
        self.heads[head.raw] = head

    def tick(self) -> None:
        """Set the date, and log refusals; called once a second."""
        self._set_date()
        if self.room.refusals != self._refusals:
            self.log.warn(
                "{count} requests or answers of the greediest clients were refused: {held} MB are held for clients",
                event="http.full",
                count=self.room.refusals - self._refusals,
                held=self.room.used // 1_000_000,
            )
            self._refusals = self.room.refusals
        if self.shortages and not self._told_shortage_s:
            self.log.warn(
                "{count} connections or requests were refused, because only {limit} files may be open; {remedy}",
                event="http.files",
                count=self.shortages,
                limit=files_limit(),
                remedy=RAISE_IT,
            )
            self.shortages, self._told_shortage_s = 0, TELL_AGAIN_S
        self._told_shortage_s = max(0, self._told_shortage_s - 1)

    def _set_date(self) -> None:
        if self._clock is not None:
            now = datetime.fromtimestamp(self._clock.seconds(), UTC)
            # strftime would use the user's language.
            day, month = DAYS[now.weekday()], MONTHS[now.month - 1]
            self.date = f"Date: {day}, {now.day:02} {month} {now:%Y %H:%M:%S} GMT\r\n".encode()
