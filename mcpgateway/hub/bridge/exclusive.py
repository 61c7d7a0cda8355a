"""Exclusive children: each serves one call at a time, because it may ask its client.

# Note [One call at an exclusive child]
A legacy server's question does not name the call that it belongs to, so a child that may ask serves one call at a
time.  Exclusive children are separate by principal, by what the client can be asked, by its roots, and by the client's
process where the server keeps state; exclusive children that differ in none of these are a group, and a call takes
any free exclusive child of its group.  An exclusive child is closed while its call is parked; other calls then get
further exclusive children, up to `CHILDREN_LIMIT`; the parked calls of one client close at most `PARKED_SHARE` of them.

# Note [What questions hold up]
A question may wait for long, and most calls ask nothing.  So a call whose target has not been seen asking does not
wait for parked calls, but goes beside the exclusive children: to the child that clients share, where a question
reaches its client as long as no other call is under way.  Where the server keeps state, the group has a single
exclusive child, and the call goes to that child: the child has one client, so each of its questions is for that
client.

A question beside the exclusive children reaches no client while another is open there.  So while one is open, a call
that would go there gets an exclusive child beyond its client's share; if it asks, the client's oldest parked call is
given up.

# Note [What was taken back may still ask]
A call that its client has cancelled is cancelled at the server, but some servers work on and ask all the same.  So no
other call uses its exclusive child: the child is ended as soon as no other request is under way on it.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from attrs import define, field
from msgspec import Raw

from mcpgateway import __version__
from mcpgateway.config.diff import Change
from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import Overloaded
from mcpgateway.hub.children.records import ApartState
from mcpgateway.hub.owners.peers import Claim, unclaimed
from mcpgateway.hub.pool import Pool
from mcpgateway.hub.sessions import Session, Sessions
from mcpgateway.hub.slot import Slot
from mcpgateway.hub.subscriptions.modern_clients import ListenStreams
from mcpgateway.interfaces import Request
from mcpgateway.policy.client_requests import ROOTS, DeclaredRoots
from mcpgateway.policy.sharing import Variant, variant_of
from mcpgateway.protocol import jsonrpc, modern, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.versions import LATEST_LEGACY, Era

CHILDREN_LIMIT = 8  # exclusive children of one group
PARKED_SHARE = 4  # exclusive children of a group that the parked calls of one client may close
# Exclusive children of one principal at one server; a client may declare other capabilities with each request.
PRINCIPAL_LIMIT = 64
SPARE_TICKS = 30  # ticks for which an idle exclusive child is kept beside another idle one
QUEUE_LIMIT = 100  # calls of one group that wait for an exclusive child


class ExclusiveCall(Protocol):
    """A call that may hold an exclusive child.

    :ivar client: the client's request; None while it is parked.
    :ivar client_key: the key of its client: a process id, or else a connection.
    """

    client: Request | None
    client_key: Any


@define(eq=False, repr=False)
class ExclusiveChild:
    """An exclusive child; see Note [One call at an exclusive child].

    :ivar session: the gateway's session, which the child belongs to.
    :ivar slot: the child's slot.
    :ivar aside: the session of requests that go to the same child and during which the child may not ask.
    :ivar current: the call that holds the exclusive child, perhaps parked; None while the exclusive child is free.
    """

    session: Session
    slot: Slot
    aside: Session
    current: ExclusiveCall | None = None

    def awaits(self, arrived: float) -> bool:
        """Return whether its child has got a call from the former program of this process."""
        return self.slot.awaits(arrived)

    def takes(self, arrived: float) -> bool:
        """Return whether its child awaits the requests of no other calls."""
        return self.awaits(arrived) or self.slot.conversation is None or not self.slot.conversation.awaited

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
    :ivar roots: the roots that they are told; None where the client of each is asked.
    :ivar queue: the calls that wait, in the order in which they came.
    """

    server: ServerSpec
    principal: str
    peer: int
    offered: dict[str, Any]
    info: Raw | None
    roots: DeclaredRoots | None = None
    children: list[ExclusiveChild] = field(factory=list)
    queue: deque[Any] = field(factory=deque)
    is_advancing: bool = False


class ExclusiveChildren:
    """All exclusive children, in groups.

    :param end: ends a session of the gateway's own.
    """

    def __init__(
        self,
        pool: Pool,
        sessions: Sessions,
        listen_streams: ListenStreams,
        end: Callable[[Session, str], object],
    ) -> None:
        self.claim: Claim = unclaimed
        self._pool = pool
        self._sessions = sessions
        self._listen_streams = listen_streams
        self._end = end
        self._groups: dict[tuple[Variant, str, int, str, str], ChildGroup] = {}
        self._leaving: list[ExclusiveChild] = []

    def __iter__(self) -> Any:
        return iter(list(self._groups.values()))

    def apply(self, change: Change) -> None:
        """Use the changed definitions of servers for the groups that exist."""
        changed = {each.after.name: each for each in change.changed}
        for group in self:
            if group.server.name in changed:
                group.server = changed[group.server.name].of(group.server)
                for child in group.children:
                    child.aside.server = group.server

    def asks(self, server: ServerSpec) -> bool:
        """True if a server may ask the client of a call."""
        pool = self._pool
        if server.interactive or pool.reason(server) or pool.keeps_state(server):
            return True
        # Clients with the same roots share a child, which the gateway tells them.
        asked = pool.asks(server) - ({ROOTS} if pool.goes_by_roots(server) else set())
        return bool(asked) and not pool.is_single(server)

    def group(
        self,
        server: ServerSpec,
        principal: str,
        peer: int,
        offered: dict[str, Any],
        meta: Envelope,
        roots: DeclaredRoots | None = None,
    ) -> ChildGroup:
        """Return the group of exclusive children that a client may use; a new one where it has none.

        :param peer: the client's process, where the server keeps state for each; else 0.
        :param offered: the client's capabilities, in the form of ``initialize``.
        :param meta: the ``_meta`` of its request.
        :param roots: its roots; None where its server asks for them itself.
        """
        offers, at = json.dumps(offered, sort_keys=True), roots.key if roots is not None else ""
        key = (variant_of(server), principal, peer, offers, at)
        found = self._groups.get(key)
        if found is None:
            info = _info(meta)
            found = self._groups[key] = ChildGroup(server, principal, peer, offered, info, roots)
        self._check(found)
        return found

    def any_of(self, group: ChildGroup) -> ExclusiveChild:
        """Return a child for a request during which the server may not ask; a new one where the group has none.

        :raise Overloaded: the principal has `PRINCIPAL_LIMIT` exclusive children at the server, all in use.
        """
        child = group.children[0] if group.children else self._new(group)
        child.session.seen = self._sessions.now
        return child

    def free(
        self, group: ChildGroup, client_key: Any, arrived: float, *, past_share: bool = False
    ) -> ExclusiveChild | None:
        """Return an exclusive child for the next call of a client; None if none is free and none may be added.

        :param arrived: the time of the call's arrival, by which the child is found that has got it already.
        :param past_share: allow one exclusive child more than the client's share.
        :raise Overloaded: the principal has `PRINCIPAL_LIMIT` exclusive children at the server, all in use.
        """
        self._check(group)
        if self.has_its_share(group, client_key) and not past_share:
            return None
        free = [each for each in group.children if each.current is None and each.takes(arrived)]
        child = max(free, key=lambda each: each.awaits(arrived), default=None)
        if child is None:
            is_moving = any(not each.is_closed for each in group.children)
            is_alone = bool(group.children) and self._pool.keeps_state(group.server)
            if is_moving or is_alone or len(group.children) >= CHILDREN_LIMIT:
                return None
            child = self._new(group)
        child.session.seen = self._sessions.now
        return child

    def has_its_share(self, group: ChildGroup, client_key: Any) -> bool:
        """True if the parked calls of a client close `PARKED_SHARE` exclusive children of a group or more."""
        return self._closed_by(group, client_key) >= PARKED_SHARE

    def is_past_its_share(self, group: ChildGroup, client_key: Any) -> bool:
        """True if the parked calls of a client close more than `PARKED_SHARE` exclusive children of a group."""
        return self._closed_by(group, client_key) > PARKED_SHARE

    def _closed_by(self, group: ChildGroup, client_key: Any) -> int:
        closed = [each.current for each in group.children if each.is_closed]
        return len([each for each in closed if each is not None and each.client_key == client_key])

    def is_held_up(self, group: ChildGroup, client_key: Any) -> bool:
        """True if a call without an exclusive child would wait for parked calls; see Note [What questions hold up]."""
        are_closed = bool(group.children) and all(each.is_closed for each in group.children)
        return are_closed or self.has_its_share(group, client_key)

    def _check(self, group: ChildGroup) -> None:
        # The session of an exclusive child may have been ended elsewhere meanwhile.
        for child in [each for each in group.children if not self._is_open(each)]:
            group.children.remove(child)
            self._listen_streams.slot_ended(child.slot)

    def _is_open(self, child: ExclusiveChild) -> bool:
        return self._sessions.named(child.session.id) is child.session

    def apart(self) -> Iterator[ApartState]:
        """Return the sessions of the children, for the next program of this process."""
        for group in self:
            server, offered, info = group.server, jsonrpc.raw(group.offered), group.info or b""
            common = (Era.LEGACY, server.name, server.workspace, group.principal, group.peer)
            for child in filter(self._is_open, group.children):
                yield ApartState(child.session.id, *common, bytes(offered), bytes(info))

    def restore(self, state: ApartState, server: ServerSpec) -> None:
        """Restore a child of the former program, for a variant of its server."""
        meta = {modern.INFO_KEY: Raw(state.info)} if state.info else {}
        offered = json.loads(state.offered)
        self._new(self.group(server, state.principal, state.peer, offered, meta), state.id)

    def _new(self, group: ChildGroup, identifier: bytes = b"") -> ExclusiveChild:
        self._make_room(group)
        server = group.server
        params = {
            "protocolVersion": jsonrpc.raw(LATEST_LEGACY),
            "capabilities": jsonrpc.raw(group.offered),
            "clientInfo": group.info or jsonrpc.raw({"name": "mcpgateway", "version": __version__}),
        }
        session = self._sessions.synthetic(server, group.principal, params, is_apart=True)
        if identifier:
            self._sessions.rename(session, identifier)
        if group.peer:
            session.owner = group.peer
            self.claim(session, group.peer, 0)
        slot = self._pool.slot_for(session)
        slot.roots = group.roots
        aside = Session(b"", server, group.principal, LATEST_LEGACY, slot=slot, stands_for_many=True)
        child = ExclusiveChild(session, slot, aside)
        group.children.append(child)
        return child

    def _make_room(self, group: ChildGroup) -> None:
        exclusive_children = [
            (child, each)
            for each in self._groups.values()
            if (each.server, each.principal, each.peer) == (group.server, group.principal, group.peer)
            for child in each.children
        ]
        if len(exclusive_children) < PRINCIPAL_LIMIT:
            return
        idle = [
            (child, each)
            for child, each in exclusive_children
            if child.is_idle and not self._listen_streams.listen_to(child.slot)
        ]
        if not idle:
            raise Overloaded(
                f"{group.server.name} serves {PRINCIPAL_LIMIT} kinds of clients of this user already"
            )
        self._end_child(*min(idle, key=lambda pair: pair[0].session.seen), "others need its place")

    def _end_child(self, child: ExclusiveChild, group: ChildGroup, why: str) -> None:
        group.children.remove(child)
        self._end(child.session, why)
        self._listen_streams.slot_ended(child.slot)

    def retire(self, child: ExclusiveChild, group: ChildGroup) -> None:
        """Give an exclusive child no more calls; see Note [What was taken back may still ask]."""
        child.current = None
        if child not in group.children or self._pool.keeps_state(group.server):
            return  # the child of a server that keeps state has one client, the one whose call it was
        group.children.remove(child)
        self._listen_streams.slot_ended(child.slot)
        self._leaving.append(child)
        self._let_go()

    def _let_go(self) -> None:
        leaving, self._leaving = self._leaving, []
        for child in leaving:
            if not child.is_idle and self._is_open(child):
                self._leaving.append(child)
            elif self._is_open(child):
                self._end(child.session, "a call on it was taken back")

    def tick(self) -> None:
        """Advance by one second: end the children that are to be retired, or are idle for `SPARE_TICKS`."""
        self._let_go()
        for key, group in list(self._groups.items()):
            self._check(group)
            for child in group.children:
                if self._listen_streams.listen_to(child.slot):
                    child.session.seen = self._sessions.now
            idle = [each for each in group.children if each.is_idle]
            for child in idle[1:]:
                if self._sessions.now - child.session.seen > SPARE_TICKS:
                    self._end_child(child, group, "there is another child for the same clients")
            if not group.children and not group.queue:
                del self._groups[key]


def _info(meta: Envelope) -> Raw | None:
    # All clients of a group share the handshake of the first, so ``clientInfo`` that a server would refuse is left out.
    info = peek.members(meta, modern.INFO_KEY)
    is_sound = all(bytes(info.get(name, b""))[:1] == b'"' for name in ("name", "version"))
    return meta[modern.INFO_KEY] if is_sound else None
