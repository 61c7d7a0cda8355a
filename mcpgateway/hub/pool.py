"""All slots, by share key: which copy of a server a session uses."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway import __version__
from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.hub.sessions import Session
from mcpgateway.hub.slot import Slot, Surroundings
from mcpgateway.rules.sharing import scope_of
from mcpgateway.wire import legacy


class Pool:
    """The slots of all servers: one for each shared server, one per session for the others."""

    log = Logger()

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._slots: dict[tuple[str, bytes], Slot] = {}
        self._scopes: dict[str, Share] = {}
        self._leaving: set[Deferred[None]] = (
            set()
        )  # released slots whose children still climb the stop ladder

    def __iter__(self) -> Iterator[Slot]:
        return iter(list(self._slots.values()))

    def scope(self, server: ServerSpec) -> Share:
        """How widely a server is shared."""
        scope = self._scopes.get(server.name)
        if scope is None:
            scope = self._scopes[server.name] = scope_of(server)
        return scope

    def slot_for(self, session: Session) -> Slot:
        """The slot a session uses, made on first use; nothing is started by asking."""
        if session.slot is not None:
            return session.slot
        shared = self.scope(session.server) is not Share.SESSION
        key = (session.server.name, b"" if shared else session.id)
        slot = self._slots.get(key)
        if slot is None:
            say = legacy.shared_params if shared else lambda v: legacy.session_params(session.params, v)
            slot = self._slots[key] = Slot(session.server, say(__version__), self._around, shared=shared)
        session.slot = slot
        return slot

    def release(self, session: Session) -> bool:
        """Let go of a session's slot; true when that stops a child, which was its own."""
        slot, session.slot = session.slot, None
        if slot is None or slot.shared:
            return False
        self._slots.pop((session.server.name, session.id), None)
        running = slot.pid is not None
        leaving = slot.close()
        self._leaving.add(leaving)
        leaving.addErrback(self._not_closed).addBoth(self._left, leaving)
        return running

    def _left(self, _: None, leaving: Deferred[None]) -> None:
        self._leaving.discard(leaving)

    def _not_closed(self, why: Failure) -> None:
        self.log.failure("a child could not be stopped", why, event="child.not_stopped")

    def close(self) -> Deferred[list[tuple[bool, None]]]:
        """Stop every child; fires when nothing is left."""
        return DeferredList([*self._leaving, *(slot.close() for slot in self)], consumeErrors=True)
