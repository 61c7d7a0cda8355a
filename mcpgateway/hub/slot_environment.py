"""The parts that the slots of all servers share, and the parts that look at a slot's requests first."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from mcpgateway.backends.conversation import Conversation
from mcpgateway.hub.children.start_limiter import StartLimiter
from mcpgateway.hub.health.observer import Monitor
from mcpgateway.hub.meters import Meters
from mcpgateway.hub.sessions import Session
from mcpgateway.hub.upstream import Upstream
from mcpgateway.interfaces import ILauncher, ISlotListener, Request
from mcpgateway.policy.sharing import may_move
from mcpgateway.protocol.jsonrpc import Envelope

if TYPE_CHECKING:
    from mcpgateway.backends.tape import Tape, Tapes
    from mcpgateway.hub.catalog.recorded import Snapshot, Snapshots
    from mcpgateway.hub.limits.call_limiter import Limiter
    from mcpgateway.hub.limits.call_limiters import Limiters
    from mcpgateway.hub.probes.lock_errors import Locks

CALL_TOOL = "tools/call"

Take = Callable[[Request], bool]
"""Looks at a request before it is sent; true where it has taken care of it."""


@define
class SlotEnvironment:
    """The parts that every slot works with.

    :ivar handshake_s: seconds a child may take to answer the handshake, where its entry does not say it.
    :ivar hurry_s: and whatever its entry says, no more than this.
    :ivar subscribed: told of every session that gained (true) or lost (false) a resource.
    :ivar monitor: watches over the lives of children.
    :ivar meters: what is counted of calls.
    :ivar snapshots: what servers have answered before; None where nothing is kept.
    :ivar locks: looks for what servers say is in use already; None where that is not wanted.
    :ivar tapes: keep what is said to servers and by them; None where nothing is kept.
    :ivar limiters: know how many calls of a server are under way at once; None where there is no limit.
    :ivar meet: told of a child that has introduced itself; it is sent nothing before what that returns has fired.
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
    hurry_s: float = math.inf
    meet: Callable[[Upstream, Conversation, Envelope], Deferred[None] | None] = lambda *_: None

    def tape_of(self, server: str) -> Tape | None:
        """The tape of a server; None where nothing is kept."""
        return self.tapes.of(server) if self.tapes is not None else None

    def limiter_of(self, slot: Upstream) -> Limiter | None:
        """The limiter of a slot's calls; None where it has no limit."""
        return self.limiters.of(slot) if self.limiters is not None else None

    def takers(self, slot: Upstream, snapshot: Snapshot | None, limiter: Limiter | None) -> dict[str, Take]:
        """By method: the part that looks at a slot's requests first, and may answer them."""
        takers: dict[str, Take] = {}
        if snapshot is not None:
            from mcpgateway.hub.catalog.recorded import ASKED

            takers = dict.fromkeys(ASKED, snapshot.take)
        if self.locks is not None and slot.shared and may_move(slot.server):
            takers[CALL_TOOL] = self.locks.of(slot)
        if limiter is not None:
            takers[CALL_TOOL] = limiter.taker(slot, takers.get(CALL_TOOL))
        if slot.server.inject:
            from mcpgateway.hub.argument_defaults import Injection  # hardly any entry asks for it

            takers = Injection(slot, snapshot, takers).takers()
        return takers
