"""The parts that the slots of all servers share, and the parts that take a slot's requests first."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from mcpgateway.backends.conversation import Conversation
from mcpgateway.hub.children.start_limiter import StartLimiter
from mcpgateway.hub.health.observer import Monitor
from mcpgateway.hub.meters import Meters
from mcpgateway.hub.sessions import Session
from mcpgateway.hub.upstream import Upstream
from mcpgateway.interfaces import ILauncher, ISlotListener, Request
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.records import Record

if TYPE_CHECKING:
    from mcpgateway.backends.tape import Tape, Tapes
    from mcpgateway.hub.catalog.quarantine import Quarantine
    from mcpgateway.hub.catalog.recorded import Snapshot, Snapshots
    from mcpgateway.hub.limits.call_limiter import Limiter
    from mcpgateway.hub.limits.call_limiters import Limiters
    from mcpgateway.hub.probes.lock_errors import Locks

CALL_TOOL = "tools/call"

Take = Callable[[Request], bool]
"""Inspects a request before it is sent; true if it has answered the request, or sends it later."""


class SlotEnvironment(Record):
    """The parts that every slot uses.

    :ivar handshake_s: the default time limit of a handshake, in seconds; an entry may set another.
    :ivar hurry_s: an upper bound for the time limit of a handshake, in seconds, whatever the entry sets.
    :ivar subscribed: called for every session that subscribes to (true) or unsubscribes from (false) a resource.
    :ivar monitor: the observer of all children's lives.
    :ivar meters: the statistics of requests.
    :ivar snapshots: the recorded answers of servers; None if none are kept.
    :ivar locks: the search for errors of servers that name a lock; None if it is off.
    :ivar tapes: the recordings of messages from and to servers; None if none are kept.
    :ivar quarantine: the versions and tools of servers that are known; None if none are kept.
    :ivar limiters: the limits of servers' calls; None without limits.
    :ivar on_handshake: called after a child's handshake; the child gets no requests until its Deferred has fired.
    """

    launcher: ILauncher
    clock: IReactorTime
    listener: ISlotListener
    start_limiter: StartLimiter
    handshake_s: float
    subscribed: Callable[[Session, str, bool], None]
    monitor: Monitor
    meters: Meters
    snapshots: Snapshots | None = None
    locks: Locks | None = None
    tapes: Tapes | None = None
    limiters: Limiters | None = None
    quarantine: Quarantine | None = None
    hurry_s: float = math.inf
    on_handshake: Callable[[Upstream, Conversation, Envelope], Deferred[None] | None] = lambda *_: None

    def tape_of(self, server: str) -> Tape | None:
        """Return the tape of a server; None if none is kept."""
        return self.tapes.of(server) if self.tapes is not None else None

    def limiter_of(self, slot: Upstream) -> Limiter | None:
        """Return the limiter of a slot's calls; None without a limit."""
        return self.limiters.of(slot) if self.limiters is not None else None

    def takers(self, slot: Upstream, snapshot: Snapshot | None, limiter: Limiter | None) -> dict[str, Take]:
        """Return, by method, the part that takes a slot's requests first, and may answer them."""
        takers: dict[str, Take] = {}
        if snapshot is not None:
            from mcpgateway.hub.catalog.recorded import ASKED

            takers = dict.fromkeys(ASKED, snapshot.take)
        if limiter is not None:
            takers[CALL_TOOL] = limiter.taker(slot)
        if slot.server.inject:
            from mcpgateway.hub.argument_defaults import Injection  # hardly any entry asks for it

            takers = Injection(slot, snapshot, takers).takers()
        return takers
