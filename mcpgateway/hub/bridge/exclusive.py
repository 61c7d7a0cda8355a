"""Exclusive children: each serves one call at a time, because it may ask its client.

# Note [One call in a lane]
A legacy server's question does not name the call that it belongs to, so a child that may ask serves one call at a
time: the code calls it a lane.  Lanes are separate by principal, by what the client can be asked, and by the client's
process where the server keeps state; lanes that differ in none of these are a group, and a call takes any free lane of
its group.  A lane is closed while its call is parked; other calls then get further lanes, up to `LANES_LIMIT`, of which
the parked calls of one client close at most `SHARE`.

# Note [What questions hold up]
A question may wait for long, and most calls ask nothing.  So a call whose target has not been seen asking does not
wait for parked calls, but goes beside the lanes: to the child that clients share, where a question reaches its client
as long as no other call is under way.  Where the server keeps state, the group has a single lane, and the call goes to
that lane's child: the child has one client, so each of its questions is for that client.

A question beside the lanes reaches no client while another is open there.  So while one is open, a call that would go
there gets a lane beyond its client's share; if it asks, the client's oldest parked call is given up.

# Note [What was taken back may still ask]
A call that its client has cancelled is cancelled at the server, but some servers work on and ask all the same.  So no
other call uses its lane: the child is ended as soon as no other request is under way on it.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from attrs import define, field
from msgspec import Raw

from mcpgateway import __version__
from mcpgateway.config.diff import Change
from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import Overloaded
from mcpgateway.hub.owners.peers import Claim, unclaimed
from mcpgateway.hub.pool import Pool
from mcpgateway.hub.sessions import Session, Sessions
from mcpgateway.hub.slot import Slot
from mcpgateway.hub.subscriptions.modern_clients import Ears
from mcpgateway.interfaces import Request
from mcpgateway.policy.sharing import Variant, variant_of
from mcpgateway.protocol import jsonrpc, modern, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.versions import LATEST_LEGACY

LANES_LIMIT = 8  # lanes of one group
SHARE = 4  # lanes of a group that the parked calls of one client may close
LANES_OF_PRINCIPAL = (
    64  # lanes of one principal at one server; a client may declare other capabilities with each request
)
SPARE_TICKS = 30  # ticks for which an idle lane is kept beside another idle one
QUEUE_LIMIT = 100  # calls of one group that wait for a lane


class Passenger(Protocol):
    """A call that may hold a lane.

    :ivar client: the client's request; None while it is parked.
    :ivar whose: the key of its client: a process id, or else a connection.
    """

    client: Request | None
    whose: Any


@define(eq=False, repr=False)
class Lane:
    """An exclusive child; see Note [One call in a lane].

    :ivar session: the gateway's session, which the child belongs to.
    :ivar slot: the child's slot.
    :ivar aside: the session of requests that go to the same child and during which the child may not ask.
    :ivar current: the call that holds the lane, perhaps parked; None while the lane is free.
    """

    session: Session
    slot: Slot
    aside: Session
    current: Passenger | None = None

    @property
    def is_closed(self) -> bool:
        """True if its call is parked."""
        return self.current is not None and self.current.client is None

    @property
    def is_idle(self) -> bool:
        """True if no request is under way at its child, and no call is parked."""
        return self.current is None and not self.slot.calls()

    def set_level(self, level: str | None) -> None:
        """Set the log level of its child for a call; None where the call wants no log messages."""
        session = self.session
        if level is not None and (level != session.level or not session.has_level):
            session.level, session.has_level = level, True
            self.slot.levels.tune()


@define(eq=False, repr=False)
class ChildGroup:
    """A group of equal exclusive children, and the calls that wait for one of them.

    :ivar offered: the client capabilities that its children get at ``initialize``.
    :ivar info: the ``clientInfo`` that they get; None for the gateway's own.
    :ivar queue: the calls that wait, in the order in which they came.
    """

    server: ServerSpec
    principal: str
    peer: int
    offered: dict[str, Any]
    info: Raw | None
    lanes: list[Lane] = field(factory=list)
    queue: deque[Any] = field(factory=deque)
    is_advancing: bool = False


class Lanes:
    """All exclusive children, in groups.

    :param end: ends a session of the gateway's own.
    """

    def __init__(
        self, pool: Pool, sessions: Sessions, ears: Ears, end: Callable[[Session, str], object]
    ) -> None:
        self.claim: Claim = unclaimed
        self._pool = pool
        self._sessions = sessions
        self._ears = ears
        self._end = end
        self._groups: dict[tuple[Variant, str, int, str], ChildGroup] = {}
        self._leaving: list[Lane] = []

    def __iter__(self) -> Any:
        return iter(list(self._groups.values()))

    def apply(self, change: Change) -> None:
        """Use the changed definitions of servers for the groups that exist."""
        changed = {each.after.name: each for each in change.changed}
        for group in self:
            if group.server.name in changed:
                group.server = changed[group.server.name].of(group.server)
                for lane in group.lanes:
                    lane.aside.server = group.server

    def asks(self, server: ServerSpec) -> bool:
        """True if a server may ask the client of a call."""
        pool = self._pool
        if server.interactive or pool.reason(server) or pool.keeps_state(server):
            return True
        return pool.asks(server) and not pool.is_single(server)

    def group(
        self, server: ServerSpec, principal: str, peer: int, offered: dict[str, Any], meta: Envelope
    ) -> ChildGroup:
        """Return the group of exclusive children that a client may use; a new one where it has none.

        :param peer: the client's process, where the server keeps state for each; else 0.
        :param offered: the client's capabilities, in the form of ``initialize``.
        :param meta: the ``_meta`` of its request.
        """
        key = (variant_of(server), principal, peer, json.dumps(offered, sort_keys=True))
        found = self._groups.get(key)
        if found is None:
            info = _info(meta)
            found = self._groups[key] = ChildGroup(server, principal, peer, offered, info)
        self._check(found)
        return found

    def any_of(self, group: ChildGroup) -> Lane:
        """Return a lane for a request during which the server may not ask; a new one where the group has none.

        :raise Overloaded: the principal has `LANES_OF_PRINCIPAL` lanes at the server, all in use.
        """
        lane = group.lanes[0] if group.lanes else self._new(group)
        lane.session.seen = self._sessions.now
        return lane

    def free(self, group: ChildGroup, whose: Any, *, past_share: bool = False) -> Lane | None:
        """Return a lane for the next call of a client; None if none is free and none may be added.

        :param past_share: allow one lane more than the client's share.
        :raise Overloaded: the principal has `LANES_OF_PRINCIPAL` lanes at the server, all in use.
        """
        self._check(group)
        if self.has_its_share(group, whose) and not past_share:
            return None
        lane = next((each for each in group.lanes if each.current is None), None)
        if lane is None:
            is_moving = any(not each.is_closed for each in group.lanes)
            is_alone = bool(group.lanes) and self._pool.keeps_state(group.server)
            if is_moving or is_alone or len(group.lanes) >= LANES_LIMIT:
                return None
            lane = self._new(group)
        lane.session.seen = self._sessions.now
        return lane

    def has_its_share(self, group: ChildGroup, whose: Any) -> bool:
        """True if the parked calls of a client close `SHARE` lanes of a group or more."""
        return self._closed_by(group, whose) >= SHARE

    def is_past_its_share(self, group: ChildGroup, whose: Any) -> bool:
        """True if the parked calls of a client close more than `SHARE` lanes of a group."""
        return self._closed_by(group, whose) > SHARE

    def _closed_by(self, group: ChildGroup, whose: Any) -> int:
        closed = [each.current for each in group.lanes if each.is_closed]
        return len([each for each in closed if each is not None and each.whose == whose])

    def is_held_up(self, group: ChildGroup, whose: Any) -> bool:
        """True if a call without a lane would wait for parked calls; see Note [What questions hold up]."""
        are_closed = bool(group.lanes) and all(each.is_closed for each in group.lanes)
        return are_closed or self.has_its_share(group, whose)

    def _check(self, group: ChildGroup) -> None:
        # The session of a lane may have been ended elsewhere meanwhile.
        for lane in [each for each in group.lanes if not self._is_open(each)]:
            group.lanes.remove(lane)
            self._ears.slot_ended(lane.slot)

    def _is_open(self, lane: Lane) -> bool:
        return self._sessions.named(lane.session.id) is lane.session

    def _new(self, group: ChildGroup) -> Lane:
        self._make_room(group)
        server = group.server
        params = {
            "protocolVersion": jsonrpc.raw(LATEST_LEGACY),
            "capabilities": jsonrpc.raw(group.offered),
            "clientInfo": group.info or jsonrpc.raw({"name": "mcpgateway", "version": __version__}),
        }
        session = self._sessions.synthetic(server, group.principal, params, is_apart=True)
        if group.peer:
            session.owner = group.peer
            self.claim(session, group.peer, 0)
        slot = self._pool.slot_for(session)
        aside = Session(b"", server, group.principal, LATEST_LEGACY, slot=slot, stands_for_many=True)
        lane = Lane(session, slot, aside)
        group.lanes.append(lane)
        return lane

    def _make_room(self, group: ChildGroup) -> None:
        lanes = [
            (lane, each)
            for each in self._groups.values()
            if (each.server, each.principal, each.peer) == (group.server, group.principal, group.peer)
            for lane in each.lanes
        ]
        if len(lanes) < LANES_OF_PRINCIPAL:
            return
        idle = [(lane, each) for lane, each in lanes if lane.is_idle and not self._ears.listen_to(lane.slot)]
        if not idle:
            raise Overloaded(
                f"{group.server.name} serves {LANES_OF_PRINCIPAL} kinds of clients of this user already"
            )
        self._give_back(*min(idle, key=lambda pair: pair[0].session.seen), "others need its place")

    def _give_back(self, lane: Lane, group: ChildGroup, why: str) -> None:
        group.lanes.remove(lane)
        self._end(lane.session, why)
        self._ears.slot_ended(lane.slot)

    def retire(self, lane: Lane, group: ChildGroup) -> None:
        """Give a lane no more calls; see Note [What was taken back may still ask]."""
        lane.current = None
        if lane not in group.lanes or self._pool.keeps_state(group.server):
            return  # the child of a server that keeps state has one client, the one whose call it was
        group.lanes.remove(lane)
        self._ears.slot_ended(lane.slot)
        self._leaving.append(lane)
        self._let_go()

    def _let_go(self) -> None:
        leaving, self._leaving = self._leaving, []
        for lane in leaving:
            if not lane.is_idle and self._is_open(lane):
                self._leaving.append(lane)
            elif self._is_open(lane):
                self._end(lane.session, "a call on it was taken back")

    def tick(self) -> None:
        """Advance by one second: end the lanes that are to be retired or idle for `SPARE_TICKS` beside another."""
        self._let_go()
        for key, group in list(self._groups.items()):
            self._check(group)
            for lane in group.lanes:
                if self._ears.listen_to(lane.slot):
                    lane.session.seen = self._sessions.now
            idle = [each for each in group.lanes if each.is_idle]
            for lane in idle[1:]:
                if self._sessions.now - lane.session.seen > SPARE_TICKS:
                    self._give_back(lane, group, "there is another child for the same clients")
            if not group.lanes and not group.queue:
                del self._groups[key]


def _info(meta: Envelope) -> Raw | None:
    # All clients of a group share the handshake of the first, so ``clientInfo`` that a server would refuse is left out.
    said = peek.members(meta, modern.INFO_KEY)
    is_sound = all(bytes(said.get(name, b""))[:1] == b'"' for name in ("name", "version"))
    return meta[modern.INFO_KEY] if is_sound else None
