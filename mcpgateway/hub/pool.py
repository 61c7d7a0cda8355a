"""All slots, by share key: which copy of a server a session uses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway import __version__
from mcpgateway.config.diff import Changed
from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.hub.sessions import Session
from mcpgateway.hub.slot import Slot, Surroundings
from mcpgateway.interfaces import ISessionStore, ISlotListener
from mcpgateway.rules.questions import FULL
from mcpgateway.rules.sharing import launch_digest, may_move, scope_of
from mcpgateway.wire import legacy, modern
from mcpgateway.wire.revisions import Era

PROBE_S = 10.0  # some servers never answer what they do not know


class Pool:
    """The slots of all servers: one for each shared server, one per session for the others, and that in each era.

    A server whose entry leaves it open moves from shared to one child per session when there is a reason to
    (`move`); sessions that are open stay where they are.
    """

    log = Logger()

    def __init__(self, around: Surroundings, store: ISessionStore) -> None:
        self._around = around
        self._store = store
        self._slots: dict[tuple[str, Era, bytes], Slot] = {}
        self._reasons: dict[str, str | None] = {}
        self._siblings: set[Slot] = set()
        # Slots let go of, whose children still climb the stop ladder.
        self._leaving: set[Deferred[None]] = set()

    def __iter__(self) -> Iterator[Slot]:
        return iter(list(self._slots.values()))

    def scope(self, server: ServerSpec) -> Share:
        """How widely a server is shared."""
        return Share.SESSION if self.reason(server) else scope_of(server)

    def reason(self, server: ServerSpec) -> str:
        """Why a server was moved to one child per session; empty where it was not."""
        return self._found_out(server) or ""

    def is_open_question(self, server: ServerSpec) -> bool:
        """Whether it is still to be found out how widely a server may be shared."""
        return may_move(server) and self._found_out(server) is None

    def _found_out(self, server: ServerSpec) -> str | None:
        if not may_move(server):
            return None
        if server.name not in self._reasons:
            self._reasons[server.name] = self._store.verdict(launch_digest(server))
        return self._reasons[server.name]

    def settle(self, server: ServerSpec) -> None:
        """It was found out that a server can be shared."""
        if self._found_out(server) is None:
            self._reasons[server.name] = ""
            self._store.judge(launch_digest(server), "")

    def set_limits(self, spawns: int, handshake_s: float) -> None:
        """Let so many children start at once, each for so long."""
        self._around.gate.set_limit(spawns)
        self._around.handshake_s = handshake_s

    def move(self, server: ServerSpec, why: str) -> None:
        """From now on give each new session a child of its own, if the server's entry leaves that open."""
        if not may_move(server) or self._found_out(server):
            return
        self._reasons[server.name] = why
        self._store.judge(launch_digest(server), why)
        self.log.warn(
            "{server} gets a child for each new session from now on, because {why}",
            event="server.moved",
            server=server.name,
            why=why,
        )

    def slot_for(self, session: Session) -> Slot:
        """The slot a session uses, made on first use; only for a session that is back a child is started."""
        if session.slot is not None:
            return session.slot
        server = session.server
        shared = not session.is_apart and (not session.id or self.scope(server) is not Share.SESSION)
        slot = self.shared(server, session.era) if shared else self._own(session)
        if shared:
            session.params = None  # it is on record, and only a child of its own is told
        slot.join(session)
        return slot

    def shared(self, server: ServerSpec, era: Era = Era.LEGACY) -> Slot:
        """The slot of a server that sessions share."""
        slot = self._slots.get((server.name, era, b""))
        if slot is None:
            params = legacy.shared_params(__version__) if era is Era.LEGACY else modern.own_meta(__version__)
            slot = self._add(server, params, era, b"")
        return slot

    def _own(self, session: Session) -> Slot:
        server = session.server
        if session.era is Era.MODERN:
            return self._add(server, modern.own_meta(__version__), Era.MODERN, session.id)
        may_ask = server.interactive is not False
        params = legacy.session_params(session.params, __version__, may_ask=may_ask)
        return self._add(server, params, Era.LEGACY, session.id)

    def _add(self, server: ServerSpec, params: dict[str, Any], era: Era, key: bytes) -> Slot:
        slot = Slot(server, params, self._around, shared=not key, era=era)
        self._slots[server.name, era, key] = slot
        return slot

    def is_running(self, server: ServerSpec, era: Era) -> bool:
        """Whether a child of a server speaks an era now, or is about to."""
        return any(
            slot.pid is not None
            for (name, its_era, _), slot in self._slots.items()
            if name == server.name and its_era is era
        )

    def release(self, session: Session) -> bool:
        """Let go of a session's slot; true when that stops a child, which was its own."""
        slot = session.slot
        if slot is None:
            return False
        slot.leave(session)
        key = (session.server.name, slot.era, session.id)
        if self._slots.get(key) is not slot:
            return False  # it is shared, or another's who let it listen
        del self._slots[key]
        running = slot.pid is not None
        if slot.listening is not None:
            slot.listening.close()
        self._close(slot)
        return running

    def adopt(self, change: Changed) -> None:
        """A server is defined otherwise from now on; who uses its children stays with them."""
        self._forget(change.before)
        for slot in self._of(change.before):
            slot.becomes(change.after, restarts=change.restarts)

    def drop(self, server: ServerSpec) -> None:
        """A server is not to be run any more; its sessions have let go of it."""
        self._forget(server)
        for key, slot in [each for each in self._slots.items() if each[0][0] == server.name]:
            del self._slots[key]
            if slot.listening is not None:
                slot.listening.close()
            self._close(slot)

    def _of(self, server: ServerSpec) -> list[Slot]:
        return [slot for (name, *_), slot in self._slots.items() if name == server.name]

    def _forget(self, server: ServerSpec) -> None:
        # What a throw-away child of the former definition would show is not true of the next.
        self._reasons.pop(server.name, None)
        for slot in [each for each in self._siblings if each.server.name == server.name]:
            self.dismiss(slot)

    def sibling(self, server: ServerSpec, listener: ISlotListener) -> Slot:
        """A throw-away slot whose child is told of every client capability there is."""
        around = evolve(self._around, listener=listener)
        return self._passing(Slot(server, legacy.asking_params(__version__, FULL), around, shared=False))

    def probe(self, server: ServerSpec, era: Era) -> Slot:
        """A throw-away slot whose child shows whether its server speaks an era."""
        params = legacy.shared_params(__version__) if era is Era.LEGACY else modern.own_meta(__version__)
        around = evolve(self._around, handshake_s=min(PROBE_S, self._around.handshake_s))
        return self._passing(Slot(server, params, around, shared=False, era=era))

    def _passing(self, slot: Slot) -> Slot:
        self._siblings.add(slot)
        return slot

    def dismiss(self, slot: Slot) -> None:
        """Stop a child that nobody has a use for."""
        self._siblings.discard(slot)
        self._close(slot)

    def _close(self, slot: Slot) -> None:
        leaving = slot.close()
        self._leaving.add(leaving)
        leaving.addErrback(self._not_closed).addBoth(self._left, leaving)

    def _left(self, _: None, leaving: Deferred[None]) -> None:
        self._leaving.discard(leaving)

    def _not_closed(self, why: Failure) -> None:
        self.log.failure("a child could not be stopped", why, event="child.not_stopped")

    def close(self) -> Deferred[list[tuple[bool, None]]]:
        """Stop every child; fires when nothing is left."""
        for slot in list(self._siblings):
            self.dismiss(slot)
        return DeferredList([*self._leaving, *(slot.close() for slot in self)], consumeErrors=True)
