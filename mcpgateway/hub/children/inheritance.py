"""Take over the children and sessions of the former program of this process."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec import Raw
from msgspec.structs import replace
from twisted.logger import Logger

from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import ClientGone, ConfigError, GatewayError
from mcpgateway.hub.children.hand_over import digest_of
from mcpgateway.hub.children.records import (
    ApartState,
    HubState,
    QuestionState,
    SessionState,
    SlotState,
    read,
)
from mcpgateway.hub.children.slot_key import SlotKey
from mcpgateway.hub.client_requests import ClientQuestion
from mcpgateway.hub.lifecycle import Lifecycle
from mcpgateway.hub.sessions import Session
from mcpgateway.hub.slot import Slot, slot_of
from mcpgateway.inherited import Inherited, InheritedChild
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.versions import Era
from mcpgateway.records import Record

if TYPE_CHECKING:
    from mcpgateway.hub.modern_dispatch import ModernDispatcher

State = TypeVar("State")
AT_ONCE = 8  # children that are taken over before the first request is answered, each in a millisecond or two


class Inheritance(Record):
    """The children and sessions of the former program, until each has its place.

    :ivar dismiss: stops a server for which there is no use.
    :ivar views: the views, by name.
    :ivar modern: returns the dispatch of modern requests, which is built on first use.
    """

    _hub: Lifecycle
    _state: HubState
    _dismiss: Callable[[str, Inherited], None]
    _views: Mapping[str, ServerSpec]
    _modern: Callable[[], ModernDispatcher]
    _slots: dict[SlotKey, SlotState] = msgspec.field(default_factory=dict)
    _joined: dict[Hashable, Session] = msgspec.field(default_factory=dict)
    _aside: dict[SlotKey, Slot] = msgspec.field(default_factory=dict)

    log = Logger()

    def settle(self) -> Iterator[None]:
        """Restore the sessions and give each child its slot; return the steps that take over the children.

        The first steps are made at once: those of children with calls or questions under way, and a few more.  A
        request takes over its child itself.  After the last step the children that have no slot any more are stopped.
        """
        pool = self._hub.pool
        self._slots = {each.key: each for each in self._state.slots}
        pool.inherited = self.claim
        self._each(self._open, [each for each in self._state.slots if each.key.former])
        self._aside = dict(pool.keyed())
        self._restore_sessions()
        shared = (each for each in self._slots.values() if each.shared)
        self._each(self._open, sorted(shared, key=lambda each: each.key.nth))  # homes first
        pool.inherited = None
        slots = dict(pool.keyed())
        later = [slot for slot in slots.values() if _can_wait(slot)][AT_ONCE:]
        deferred = set(later)
        self._each(self._take_over, [each for each in slots.values() if each not in deferred])
        for each in self._state.slots:
            if each.key not in self._slots and each.key in slots:
                self._each(partial(self._ask, slots[each.key]), each.questions)
        return self._rest(later)

    def _each(self, take: Callable[[State], object], states: Iterable[State]) -> None:
        """Take over one after the other; a failure costs that one only."""
        for each in states:
            try:
                take(each)
            except Exception:  # noqa: BLE001 - whatever the fault is, the others go on
                self.log.failure(
                    "a part of the former program could not be taken over", event="handover.part"
                )

    def _rest(self, slots: Iterable[Slot]) -> Iterator[None]:
        for slot in slots:
            yield
            self._each(self._take_over, (slot,))
        claimed = [each for each in self._state.slots if each.key not in self._slots]
        self._dismiss_others(claimed)

    def _dismiss_others(self, claimed: Iterable[SlotState]) -> None:
        used = {child.pid for each in claimed for child in each.backend.children}
        for each in self._slots.values():
            self.log.info(
                "{server} does not go on, and begins anew",
                event="handover.unclaimed",
                server=each.key.server,
            )
            pids = {child.pid for child in each.backend.children}
            if not pids & used:  # sessions may share a process
                self._each(partial(self._dismiss, each.key.server), (each.backend,))
            used |= pids

    def _take_over(self, slot: Slot) -> None:
        if slot.inherited is not None and not slot.is_over:
            slot.want()
        if slot.inherited is not None:  # its server may not be started now
            self._slots[slot.inherited.key], slot.inherited = slot.inherited, None

    def claim(self, key: SlotKey, server: ServerSpec) -> SlotState | None:
        """Return the child for a slot of this server; None where there is none, or one of other settings."""
        found = self._slots.get(key)
        return self._slots.pop(key) if found is not None and found.digest == digest_of(server) else None

    def _ask(self, slot: Slot, state: QuestionState) -> None:
        conversation = slot.conversation
        if conversation is None:  # the child has ended
            return
        session = at = self._hub.sessions.named(state.session)
        if session is not None and state.is_of_view:
            at = session.members.sessions.get(slot.server.name) if session.members is not None else None
        child_id = Raw(state.child_id)
        if session is None or at is None:
            conversation.notify(jsonrpc.error(child_id, ClientGone("the client has disconnected")))
            return
        conversation.questions.add(state.child_id)
        token = None if state.token is None else Raw(state.token)
        self._hub.questions.restore(
            ClientQuestion(
                state.number,
                slot,
                conversation,
                child_id,
                session,
                at,
                state.method,
                token=token,
                is_heard=state.is_heard,
                ticks=state.ticks,
            )
        )

    def _restore_sessions(self) -> None:
        self._each(self._restore, self._state.sessions)
        self._each(self._set_apart, self._state.apart)

    def _restore(self, state: SessionState) -> None:
        hub = self._hub
        known = (self._views if state.is_view else hub.servers).get(state.server)

        def prepare(session: Session) -> None:
            session.names_owner, session.has_called = state.names_owner, state.has_called
            session.has_reached, session.is_unmet = state.has_reached, state.is_unmet
            session.is_stale = state.is_stale
            session.roots = read(state.roots)
            session.seen = hub.sessions.now - state.silent
            for each in state.mailbox:
                session.mailbox.put(each.message, each.key)
            self._join_alike(session)
            self._set_aside(session, state)

        if known is None:
            return
        try:
            session = hub.revive(state.id, known, state.principal, prepare)
            for name in state.members:
                self._set_aside(hub.view_sessions.open_now(session, name), state)
            slot = slot_of(session)
            # The first two of a slot decide whether a third one may share it.
            is_settled = session.era is Era.LEGACY and not session.awaits_roots and not state.aside
            if is_settled and slot is not None and slot.shared and len(slot.sessions) > 1:
                self._joined[_kind(session)] = session
        except GatewayError as why:
            self.log.info(
                "a session of {server} is not restored yet: {why}",
                event="handover.session",
                server=state.server,
                why=str(why),
            )

    def _set_aside(self, session: Session, state: SessionState) -> None:
        """Give a session the child of an earlier version that it used."""
        key = state.aside.get(session.server.name)
        kept = self._aside.get(key) if key is not None else None
        if kept is None:
            return
        if (slot := slot_of(session)) is not None:
            slot.leave(session)
        kept.join(session)

    def _join_alike(self, session: Session) -> None:
        """Have a session share the slot of one that is alike, without deciding that anew: there may be hundreds."""
        alike = self._joined.get(_kind(session))
        if alike is not None and (slot := slot_of(alike)) is not None:
            if alike.params is None:
                session.params = None
            slot.join(session)

    def _set_apart(self, state: ApartState) -> None:
        server = self._variant(state.server, state.workspace, state.principal)
        if server is not None:
            self._modern().restore(state, server)

    def _variant(self, name: str, workspace: str, principal: str) -> ServerSpec | None:
        hub, known = self._hub, self._hub.servers.get(name)
        if known is None:
            return None
        try:
            return hub.scopes.of_principal(hub.scopes.again(known, workspace), principal)
        except (ConfigError, GatewayError):
            return None

    def _open(self, state: SlotState) -> None:
        hub, server = self._hub, self._variant(state.key.server, state.workspace, state.principal)
        if server is not None and digest_of(server) == state.digest:
            offer, nth = msgspec.json.decode(state.offer), state.key.nth
            home = hub.pool.open_shared(server, replace(state.key, nth=0), offer, read(state.roots))
            if state.key.former:
                home.snapshot = None  # as of `Pool.set_aside`
                home.update_limit()
            if home.replicas is not None and 0 < nth < server.replicas:
                home.replicas.add(nth)


def _can_wait(slot: Slot) -> bool:
    state = slot.inherited
    return (
        state is not None
        and isinstance(state.backend, InheritedChild)
        and state.backend.lease is None  # of which the guardian has to hear soon
        and not (state.key.former or state.questions or state.conversation.calls)
    )


def _kind(session: Session) -> Hashable:
    """Return all of a session that decides on its slot."""
    offer = bytes((session.params or {}).get("capabilities") or b"")
    roots = session.roots.key if session.roots is not None else None
    return id(session.server), session.era, session.principal, session.version, offer, roots
