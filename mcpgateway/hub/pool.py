"""All slots, by their keys: which child of a server a session uses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway import __version__
from mcpgateway.config.diff import ChangedServer
from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.errors import GatewayError, Overloaded, SharedOtherwise
from mcpgateway.hub.children.slot_key import SlotKey
from mcpgateway.hub.health.observer import Monitor, ProbeMonitor
from mcpgateway.hub.probes.traits import SharingVerdicts
from mcpgateway.hub.sessions import Session
from mcpgateway.hub.slot import Slot, slot_of
from mcpgateway.hub.slot_environment import SlotEnvironment
from mcpgateway.hub.upstream import Upstream
from mcpgateway.interfaces import ISessionStore
from mcpgateway.policy.access import LOCAL, sharer_of
from mcpgateway.policy.client_requests import (
    ROOTS,
    UNDECLARED,
    UNKNOWN,
    DeclaredRoots,
    Offer,
    joined,
    name_of,
    offer_to,
    offers_something,
)
from mcpgateway.policy.recorded_answers import COMMON, legacy_handshake
from mcpgateway.policy.sharing import may_move, scope_value
from mcpgateway.protocol import jsonrpc, legacy, modern, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.versions import Era

if TYPE_CHECKING:
    from msgspec import Raw

    from mcpgateway.hub.children.records import SlotState
    from mcpgateway.hub.limits.call_limiters import Limiters
    from mcpgateway.hub.replicas import Replicas

IDLE_TICKS = 1800  # time that the child of a workspace, a credential or a principal is kept without a session
PLACES_LIMIT = 64  # workspaces, credentials, principals or roots of one server with a child at the same time


class Pool(SharingVerdicts):
    """The slots of all servers, in each era: one for all sessions, for those of a workspace or credential, or for each.

    A shared child learns its clients' capabilities in its handshake, so each kind of client has a child of its own.
    One child serves several principals only if that is known to be safe (`_sharer`).

    A server that asks its clients for their roots has a child for each set of roots (`goes_by_roots`).

    A server whose entry leaves its scope open changes from a shared child to one for each session when a reason is
    found (`move`); sessions that exist then keep their child.

    :ivar admit_child: called with the principal of each new child of one session or of roots; raises the error that
        refuses it; None without limits.
    :ivar inherited: returns the child that the former program of this process has left for a slot; None without one.
    :ivar params_of: returns the ``initialize`` parameters of a session's client, or None if unknown.
    """

    log = Logger()

    def __init__(self, environment: SlotEnvironment, store: ISessionStore) -> None:
        super().__init__(store, environment.snapshots)
        self._environment = environment
        self.params_of: Callable[[Session], Envelope | None] = _params_in_memory
        self._slots: dict[SlotKey, Slot] = {}
        self.admit_child: Callable[[str], None] | None = None
        self.inherited: Callable[[SlotKey, ServerSpec], SlotState | None] | None = None
        # The slots of one workspace or credential, and the number of ticks since their last use.
        self._idle: dict[SlotKey, int] = {}
        self._replicated: list[Replicas] = []
        # Superfluous slots that still have calls under way.
        self._parting: list[Slot] = []
        self._probes: set[Slot] = set()
        # The ends of closed slots, whose children may still be in the stop ladder.
        self._leaving: set[Deferred[None]] = set()

    @property
    def monitor(self) -> Monitor:
        """The observer of all children's lives."""
        return self._environment.monitor

    def __iter__(self) -> Iterator[Slot]:
        return iter(list(self._slots.values()))

    def others(self, slot: Upstream) -> int:
        """Return the number of other children of a slot's server, the retired ones included."""
        slots = [each for each in self if each.server.name == slot.server.name]
        retired = sum(len(each.retired) for each in slots if each.retired is not None)
        return retired + sum(each.pid is not None for each in slots if each is not slot)

    def listed(self, slot: Upstream, pages: tuple[Raw, ...]) -> None:
        """Pass the tools that a slot's server lists now to the limiters."""
        if self._environment.limiters is not None:
            self._environment.limiters.listed(slot, pages)

    @property
    def limiters(self) -> Limiters | None:
        """The limiters of the servers' calls; None without any."""
        return self._environment.limiters

    def configure(self, spawns: int, handshake_s: float) -> None:
        """Set the number of children that may start at once, and the time limit of each handshake in seconds."""
        if spawns != self._environment.start_limiter.limit:
            self._environment.start_limiter.set_limit(spawns)
        self._environment.handshake_s = handshake_s

    def asked(self, slot: Slot, method: str, session: Session | None) -> None:
        """Handle a question of a shared child: unless one session alone uses it, new sessions get their own child.

        If the question is for roots, the sessions with the same roots share a child from now on.  Else sessions of
        which the child was sent nothing but requests for lists leave it, too, with their waiting calls.  A server that
        may have one child only stays shared.

        :param session: the session that is asked; None if the question fits no session.
        """
        if session is not None or method == ROOTS:
            self.saw_asking(slot.server, method)
        if method == ROOTS and self.goes_by_roots(slot.server):
            self._split(slot.server)
            return
        if self.is_single(slot.server) or (session is not None and len(slot.sessions) == 1):
            return
        self.move(slot.server, f"it asked {method}")
        if self.scope(slot.server) is not Share.SESSION:
            return
        busy = {call.session for call in slot.calls() if call.number}
        slot.hand_back(
            SharedOtherwise(f"{slot.server.name} has a child for each session"),
            lambda session: session in slot.sessions and session not in busy and not session.has_reached,
        )

    def _split(self, server: ServerSpec) -> None:
        # Only now the server is known to depend on roots: nobody goes on where those of another may have been told.
        for key, slot in list(self._slots.items()):
            if key.server == server.name and slot.shared and not key.roots and "roots" in slot.offer:
                self._part(key, slot)

    def set_aside(self, server: ServerSpec) -> None:
        """Leave the shared children of a server that run to their present sessions; all others get new ones."""
        number = 1 + max((each.former for each in self._slots), default=0)
        for key, slot in list(self._slots.items()):
            if key.server == server.name and slot.shared and slot.is_up and not key.former:
                former = replace(key, former=number)
                self._slots[former] = self._slots.pop(key)
                self._idle.pop(key, None)
                self._idle[former] = 0
                slot.snapshot = None  # the records are those of the next children
                slot.update_limit()

    def place_anew(self, session: Session) -> None:
        """Give a session the slot of its present roots; its calls under way stay where they are.

        :raise Overloaded: as `slot_for`.
        """
        slot = slot_of(session)
        if slot is not None and slot.shared:
            self._leave(session, slot)
        self.slot_for(session)

    def _leave(self, session: Session, slot: Slot) -> None:
        if slot.calls():
            session.left = (*(each for each in session.left if each.calls()), slot)
        slot.leave(session)

    def slot_for(self, session: Session) -> Slot:
        """Return the slot of a session, created on first use; a child is started only for a restored session.

        :raise Overloaded: too many workspaces, or credentials, use the server at the same time.
        """
        slot = slot_of(session)
        if slot is not None:
            return slot
        server = session.server
        shared = not session.is_apart and (session.stands_for_many or self.scope(server) is not Share.SESSION)
        if not shared:
            if self.admit_child is not None:
                self.admit_child(session.principal)
            slot = self._own(session)
        else:
            roots = self._roots_of(session)
            session.awaits_roots = roots is UNKNOWN
            slot = self.shared(server, session.era, self._offer_of(session), session.principal, roots)
            if (slot.sessions or _may_ask_for_others(slot)) and self._may_confuse(session, slot):
                self.move(server, "it asks its clients, of which there are several")
                return self.slot_for(session)
            is_settled = not (self.traits.is_unknown(server) or self.is_open_question(server))
            if is_settled and (session.issued is not None or session.outer is not None):
                session.params = None  # the journal has them, and only a child of its own needs them
        slot.join(session)
        return slot

    def _may_confuse(self, session: Session, slot: Slot) -> bool:
        """True if a shared child may ask a question of unknown owner once one more session uses it."""
        server = session.server
        is_left_open = may_move(server) and not self._found_out(server) and not self.is_single(server)
        can_be_asked = not session.stands_for_many and offers_something(slot.offer)
        return can_be_asked and is_left_open and bool(self.asks(server) - {ROOTS})

    def handshake_of(self, server: ServerSpec, capabilities: Mapping[str, Any]) -> str:
        """Return a name for the handshake of a shared legacy child for clients with these capabilities.

        It is empty if they offer nothing, or if one child serves all kinds of clients.
        """
        offer = {} if self.is_single(server) else offer_to(server, capabilities)
        return _handshake(legacy.shared_params(__version__, offer)) if offer else ""

    def _offer_of(self, session: Session) -> Offer:
        if session.era is Era.MODERN:
            return {}  # each request has its client's capabilities
        return offer_to(session.server, peek.mapping(self.params_of(session), "capabilities"))

    def _roots_of(self, session: Session) -> DeclaredRoots | None:
        """Return the roots by which a session shares a child; None where they do not count."""
        if session.era is Era.MODERN or not self.goes_by_roots(session.server):
            return None
        if "roots" not in self._offer_of(session):
            return UNDECLARED
        return (session.outer or session).roots or UNKNOWN

    def shared(
        self,
        server: ServerSpec,
        era: Era = Era.LEGACY,
        offer: Offer | None = None,
        principal: str = LOCAL,
        roots: DeclaredRoots | None = None,
    ) -> Slot:
        """Return the slot that sessions of a server share: those with equal offers, workspaces or credentials.

        :param offer: the capabilities that their clients offer.
        :param principal: the principal of the session.
        :param roots: the roots of their clients; None where they do not count.
        :raise Overloaded: the server has children for too many workspaces, credentials, principals, roots or kinds of
            clients.
        """
        offer = dict(offer or {})
        if roots is UNDECLARED:
            offer.pop("roots", None)
        key = self._shared_key(server, era, offer, principal)
        if roots is not None and roots.key:
            key = replace(key, roots=roots.key, sharer=sharer_of(principal))
        slot = self._slots.get(key)
        if slot is None and self.is_single(server):
            slot = self._any_of(key)
        if slot is None:
            if roots is not None and roots.is_told and self.admit_child is not None:
                self.admit_child(principal)
            self._make_room(key)
            slot = self.open_shared(server, key, offer, roots)
        elif offer and self.is_single(server) and (both := joined(slot.offer, offer)) != slot.offer:
            slot.offer_next(legacy.shared_params(__version__, both))
        return slot

    def open_shared(
        self, server: ServerSpec, key: SlotKey, offer: Offer, roots: DeclaredRoots | None
    ) -> Slot:
        """Return the slot of a key that sessions share, added if there is none."""
        if (known := self._slots.get(key)) is not None:
            return known
        self._idle[key] = 0
        handshake = legacy.shared_params(__version__, dict(offer))
        params = handshake if key.era is Era.LEGACY else modern.own_meta(__version__)
        slot = self._add(server, params, key, shared=True)
        slot.roots = roots
        if server.replicas > 1 and not self.is_single(server):
            self._replicate(slot, params, key)
        return slot

    def _place(self, server: ServerSpec) -> bytes:
        value = scope_value(self.scope(server), server)
        return b"\0" + value.encode() if value else b""

    def _shared_key(
        self, server: ServerSpec, era: Era, offer: Offer | None = None, principal: str = LOCAL
    ) -> SlotKey:
        place = self._place(server)
        sharer = self._sharer(server, principal)
        return SlotKey(
            server.name, era, place, sharer, "" if self.is_single(server) else name_of(offer or {})
        )

    def _sharer(self, server: ServerSpec, principal: str) -> str:
        # The state that one principal has left in a server is hidden from others, unless the entry allows them to share
        # it.
        is_left_open = server.share is Share.AUTO
        return sharer_of(principal) if is_left_open and not self.traits.is_stateless(server) else ""

    def _any_of(self, key: SlotKey) -> Slot | None:
        # The server may have become known only now as one that may have no second child.
        found = [
            slot
            for each, slot in self._slots.items()
            if slot.shared and not slot.is_replica and replace(each, offer="") == key
        ]
        return next((each for each in found if each.is_up), found[0] if found else None)

    def unite(self, server: ServerSpec, kept: Upstream | None = None) -> None:
        """Reduce a server that may have no second child to one slot for all clients, in either era.

        The sessions of the other slots use that one from now on.  Calls that were sent to another child get its answer.

        :param kept: the slot that stays; by default the one with the most calls, sessions and requests.
        """
        if not self.is_single(server):
            return
        place, alike = self._place(server), dict[tuple[str, str], dict[SlotKey, Slot]]()
        for key, slot in self._slots.items():
            is_one = slot.shared and not slot.is_replica and (slot is kept or slot.is_up)
            if is_one and key.server == server.name and key.value == place:
                alike.setdefault((key.sharer, key.roots), {})[key] = slot
        for those in alike.values():
            found = [each for each in those.values() if each is kept]
            stays = found[0] if found else max(those.values(), key=_use)
            for key, slot in those.items():
                if slot is not stays:
                    self._part(key, slot, stays)

    def _part(self, key: SlotKey, slot: Slot, stays: Slot | None = None) -> None:
        del self._slots[key]
        self._idle.pop(key, None)
        slot.is_over = True
        self._parting.append(slot)
        sessions = [each for each in slot.sessions if each.era is Era.LEGACY]
        if stays is None:
            for session in sessions:
                self._leave(session, slot)
        slot.hand_back(SharedOtherwise(f"{key.server} is shared otherwise now"))
        for session in sessions:
            if session.slot is not None:
                continue
            # It may wait for notifications.
            if stays is None:
                with suppress(GatewayError):
                    self.slot_for(session)
            elif stays.era is Era.LEGACY:
                stays.join(session)
        self._let_part()

    def _let_part(self) -> None:
        for slot in [each for each in self._parting if not (each.calls() or each.is_awaited)]:
            self._parting.remove(slot)
            self._drop(slot)

    def _make_room(self, key: SlotKey) -> None:
        of_server = [each for each in self._idle if (each.server, each.era) == (key.server, key.era)]
        if len(of_server) < PLACES_LIMIT:
            return
        idle = [each for each in of_server if not _is_used(self._slots[each])]
        if not idle:
            those = "workspaces, credentials, people, roots or kinds of clients"
            raise Overloaded(f"{key.server} is used by {PLACES_LIMIT} {those} already")
        self._let_go(max(idle, key=self._idle.__getitem__), "others need its place")

    def _replicate(self, home: Slot, params: dict[str, Any], key: SlotKey) -> None:
        from mcpgateway.hub.replicas import Replicas  # few servers have any

        def make(nth: int) -> Slot:
            return self._add(home.server, params, replace(key, nth=nth), shared=True, home=home)

        def tell(method: str) -> None:
            self._environment.listener.noticed(home, method, jsonrpc.notification(method))

        home.replicas = Replicas(home, home.server.replicas, make, self._drop, tell)
        self._replicated.append(home.replicas)

    def _own(self, session: Session) -> Slot:
        server = session.server
        key = SlotKey(server.name, session.era, session.id)
        if session.era is Era.MODERN:
            return self._add(server, modern.own_meta(__version__), key)
        may_ask = server.interactive is not False
        params = legacy.session_params(self.params_of(session), __version__, may_ask=may_ask)
        return self._add(server, params, key)

    def _add(
        self,
        server: ServerSpec,
        params: dict[str, Any],
        key: SlotKey,
        *,
        shared: bool = False,
        home: Slot | None = None,
    ) -> Slot:
        slot = self._slots[key] = Slot(
            server, params, self._environment, shared=shared, era=key.era, home=home
        )
        slot.handshake = _handshake(params) if key.offer else ""
        slot.scope, slot.sharer = key.value + key.roots.encode(), key.sharer
        if self.inherited is not None:
            slot.inherited = self.inherited(key, server)
        return slot

    def keyed(self) -> Iterator[tuple[SlotKey, Slot]]:
        """Return all slots with their keys."""
        return iter(list(self._slots.items()))

    def is_running(self, server: ServerSpec, era: Era, principal: str | None = None) -> bool:
        """True if a child of a server in an era runs or is being started, in the same workspace where that matters.

        :param principal: the principal that would share the child; None for any.
        """
        return any(self._running(server, era, principal))

    def _running(self, server: ServerSpec, era: Era, principal: str | None) -> Iterator[Slot]:
        place = self._place(server)
        sharer = None if principal is None else self._sharer(server, principal)
        return (
            slot
            for key, slot in self._slots.items()
            if slot.is_up
            and key.server == server.name
            and key.era is era
            and (key.value == place if slot.shared else _is_beside(slot.server, server))
            and (sharer is None or not slot.shared or key.sharer == sharer)
        )

    def is_taken(self, server: ServerSpec, era: Era, principal: str | None = None) -> bool:
        """True if a server has a child in the other era, and may have no second one in this era.

        A child of another node is linked to in both eras: that node bridges them.

        :param principal: the principal that would share the child; None for any.
        """
        return (
            any(not each.is_linked for each in self._running(server, era.other, principal))
            and not self.is_running(server, era, principal)
            and self.is_single(server)
        )

    def release(self, session: Session) -> bool:
        """Release a session's slot; true if that stops a child, which was the session's own."""
        slot = slot_of(session)
        if slot is None:
            return False
        slot.leave(session)
        key = SlotKey(session.server.name, slot.era, session.id)
        if self._slots.get(key) is not slot:
            if slot.server.share is Share.ISOLATED and not slot.sessions:
                self._expire(slot)
            return False  # the slot is shared, or belongs to another session
        del self._slots[key]
        running = slot.is_up
        if slot.listening is not None:
            slot.listening.close()
        self._close(slot)
        return running

    def _expire(self, slot: Slot) -> None:
        # Without its last session an isolated child has no use; the next session gets a fresh child, without any state.
        for key in [each for each in self._idle if self._slots[each] is slot]:
            self._idle[key] = IDLE_TICKS

    def tick(self) -> None:
        """Count one second: close the slots that have been without use for too long."""
        if self._environment.limiters is not None:
            self._environment.limiters.tick()
        for replicas in list(self._replicated):
            replicas.tick()
        self._let_part()
        for key, ticks in list(self._idle.items()):
            self._idle[key] = 0 if _is_used(self._slots[key]) else ticks + 1
            limit = 0 if key.former else IDLE_TICKS
            if self._idle[key] > limit and (key.former or key.value or key.roots or self._has_twin(key)):
                self._let_go(key, "no client uses the child")

    def _has_twin(self, key: SlotKey) -> bool:
        # The only child of a server in this era is kept, whatever the server keeps in it.
        return any((each.server, each.era) == (key.server, key.era) for each in self._idle if each != key)

    def _let_go(self, key: SlotKey, why: str) -> None:
        slot = self._slots[key]
        del self._idle[key]
        self.log.info(
            "the gateway gives up a child of {server}: {why}", event="place.left", server=key.server, why=why
        )
        for each in (*(slot.replicas or ()), slot):
            self._drop(each)

    def _drop(self, slot: Upstream) -> None:
        for key in [each for each, known in self._slots.items() if known is slot]:
            del self._slots[key]
        slot.is_over = True
        self._replicated = [each for each in self._replicated if each.home is not slot]
        if slot.listening is not None:
            slot.listening.close()
        self._close(slot)

    def apply(self, change: ChangedServer) -> None:
        """Apply a changed definition of a server; its clients keep their slots."""
        if not change.is_quiet:
            self._forget(change.before)
        for slot in [each for key, each in self._slots.items() if key.server == change.before.name]:
            slot.apply(change)

    def has_variants(self, server: ServerSpec) -> bool:
        """True if a server has slots for variants of its entry: for workspaces, credentials or principals."""
        variants = (slot for key, slot in self._slots.items() if key.server == server.name)
        return any(slot.server is not server for slot in variants)

    def drop(self, server: ServerSpec) -> None:
        """Close all slots of a server that is no longer run; its sessions have left them."""
        self._forget(server)
        for slot in [each for each in self._parting if each.server.name == server.name]:
            self._parting.remove(slot)
            self._drop(slot)
        for slot in {slot for key, slot in self._slots.items() if key.server == server.name}:
            self._drop(slot)
        self._idle = {key: ticks for key, ticks in self._idle.items() if key.server != server.name}

    def _forget(self, server: ServerSpec) -> None:
        # The result of a probe of the former definition does not hold for the next one.
        self.forget_verdicts(server)
        if self._environment.limiters is not None:
            self._environment.limiters.forget(server)
        for slot in [each for each in self._probes if each.server.name == server.name]:
            self.dismiss(slot)

    def probe(self, server: ServerSpec, era: Era, limit_s: float = math.inf) -> Slot:
        """Return a slot for a probe: its child shows whether the server speaks an era, within ``limit_s`` seconds."""
        params = legacy.shared_params(__version__) if era is Era.LEGACY else modern.own_meta(__version__)
        environment = replace(
            self._environment,
            hurry_s=limit_s,
            monitor=ProbeMonitor(self._environment.monitor),
            snapshots=None,
            locks=None,
        )
        slot = Slot(server, params, environment, shared=False, era=era)
        self._probes.add(slot)
        return slot

    def dismiss(self, slot: Slot) -> None:
        """Stop the child of a probe that has ended."""
        self._probes.discard(slot)
        self._close(slot)

    def _close(self, slot: Upstream) -> None:
        leaving = slot.close()
        self._leaving.add(leaving)
        leaving.addErrback(self._not_closed).addBoth(lambda _: self._leaving.discard(leaving))

    def _not_closed(self, why: Failure) -> None:
        self.log.failure("a child could not be stopped", why, event="child.not_stopped")

    def left(self, key: SlotKey) -> None:
        """Forget a slot whose child the next program takes over, so that `close` does not report its end."""
        if not self._slots[key].retired:
            self._idle.pop(key, None)
            del self._slots[key]

    def close(self) -> Deferred[list[tuple[bool, None]]]:
        """Stop every child; the Deferred fires when none of their processes is left."""
        for slot in list(self._probes):
            self.dismiss(slot)
        closing = [slot.close() for slot in (*self, *self._parting)]
        return DeferredList([*self._leaving, *closing], consumeErrors=True)


def _may_ask_for_others(slot: Slot) -> bool:
    return slot.speaking is not None and slot.speaking.may_ask_for_others


def _use(slot: Slot) -> tuple[int, int, int]:
    return (len(slot.calls()), len(slot.sessions), slot.requests)


def _is_beside(one: ServerSpec, other: ServerSpec) -> bool:
    return (one.workspace, one.principal) == (other.workspace, other.principal)


def _params_in_memory(session: Session) -> Envelope | None:
    return session.params


def _handshake(params: dict[str, Any]) -> str:
    return COMMON + legacy_handshake(params)


def _is_used(slot: Slot) -> bool:
    others = slot.replicas or ()
    # Not by its load: requests of the gateway's own do not count as use.
    return bool(slot.sessions or slot.calls() or slot.listening or any(each.load for each in others))
