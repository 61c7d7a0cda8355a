"""The lives of sessions: how they begin, are parked and restored, and end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Raw
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.config.model import Bridge, ServerSpec
from mcpgateway.errors import (
    BackendGone,
    GatewayError,
    HandshakeRefused,
    NeedsLogin,
    ShuttingDown,
    UnknownSession,
)
from mcpgateway.hub.authorization import Permits
from mcpgateway.hub.calls import Calls
from mcpgateway.hub.catalog.list_limit import ListLimit
from mcpgateway.hub.client_requests import Questions
from mcpgateway.hub.pool import Pool
from mcpgateway.hub.probes.era import Eras
from mcpgateway.hub.sessions import Session, Sessions, handle
from mcpgateway.hub.slot import Slot
from mcpgateway.hub.workspaces import Scopes
from mcpgateway.interfaces import PARAMS_LIMIT
from mcpgateway.policy.eras import EraPath
from mcpgateway.protocol import jsonrpc, legacy, modern
from mcpgateway.protocol.jsonrpc import Envelope, Message
from mcpgateway.protocol.versions import LATEST_LEGACY, Era, negotiated

if TYPE_CHECKING:
    from mcpgateway.hub.views import SessionViews


class Lifecycle(ABC):
    """Begins, parks, restores and ends the sessions of all servers.

    :ivar calls: all calls under way.
    :ivar is_open: false once the gateway is stopping.
    :ivar scopes: finds the variant of a server for a client; set before the first request.
    :ivar list_limit: the limit on the length of the lists that are kept.
    :ivar permits: the rights of each principal.
    :ivar admit_session: called with the principal of each new session; raises the error that refuses it.
    """

    log = Logger()
    scopes: Scopes

    def __init__(
        self,
        servers: tuple[ServerSpec, ...],
        pool: Pool,
        sessions: Sessions,
        questions: Questions,
        eras: Eras,
    ) -> None:
        self.servers = {server.name: server for server in servers}
        self.pool = pool
        self.sessions = sessions
        self.questions = questions
        self.is_open = True
        self.admit_session: Callable[[str], None] = _admit
        self.list_limit = ListLimit()
        self.permits = Permits(server_lists=lambda: self.view_sessions.server_lists)
        self.eras = eras
        self.calls = Calls(pool, sessions)

    @property
    @abstractmethod
    def view_sessions(self) -> SessionViews:
        """The part that serves views, built on first use."""

    @abstractmethod
    def current(self, server: ServerSpec) -> ServerSpec:
        """Return the current definition of a server that was looked up before, for the same workspace.

        :raise UnknownServer: the server was removed.
        """

    @abstractmethod
    def slot_for(self, session: Session) -> Slot:
        """Return the slot of a session, created on first use."""

    # The beginning

    def initialize(
        self, server: ServerSpec, principal: str, message: Message, owner: int | None
    ) -> Deferred[tuple[Session, Raw]]:
        """Begin a session, without a record yet; the Deferred fires with it and its ``InitializeResult``.

        :raise GatewayError: (through the Deferred) the server could not be started, or the gateway is stopping.
        """
        if not self.is_open:
            raise ShuttingDown("the gateway is stopping")
        self.permits.admit(principal, server)
        self.admit_session(principal)
        server = self.scopes.of_principal(server, principal)
        return maybeDeferred(self._begin, server, principal, message, owner)

    def _begin(
        self, server: ServerSpec, principal: str, message: Message, owner: int | None
    ) -> Deferred[tuple[Session, Raw]]:
        if not self.is_open:
            raise ShuttingDown("the gateway is stopping")
        server = self.current(server)  # the probe of its era may have taken a while
        self._make_room()
        requested = legacy.requested_version(message.params)
        era, version = self._era(server, principal, requested), negotiated(requested)
        session = self.sessions.open(server, principal, version, message.params)
        session.owner, session.era = owner, era
        if server.view:
            return succeed((session, self.view_sessions.begin(session)))
        try:
            slot = self.slot_for(session)
        except GatewayError:
            self.end(session, "its server is used by too many others")
            raise
        answer = slot.introduce().addCallbacks(
            _met, _unmet, callbackArgs=(era, version), errbackArgs=(session, version)
        )
        begun: Deferred[tuple[Session, Raw]] = answer.addCallback(lambda hello: (session, hello))
        begun.addErrback(self._not_begun, session)
        if era is Era.LEGACY and server.protocol is None:
            begun.addErrback(self._other_era, server, principal, message, owner)
        return begun

    def _not_begun(self, why: Any, session: Session) -> Any:
        self.end(session, f"it could not begin: {why.getErrorMessage()}")
        return why

    def _other_era(
        self, why: Failure, server: ServerSpec, principal: str, message: Message, owner: int | None
    ) -> Deferred[tuple[Session, Raw]] | Failure:
        # A server that refuses the handshake may speak the modern era, which has none.
        if not why.check(HandshakeRefused):
            return why
        return self._has_other_era(server).addCallback(
            lambda has_it: self._begin(server, principal, message, owner) if has_it else why
        )

    def _has_other_era(self, server: ServerSpec) -> Deferred[bool]:
        """Probe whether a server that has refused the handshake speaks the modern era."""
        self.eras.doubt(server)

        def found(_: None) -> bool:
            is_modern = self.eras.known(server).modern is True
            if is_modern:
                self.eras.learn(server, Era.LEGACY, speaks=False)
            return is_modern

        return self.eras.find_out(server, Era.MODERN).addCallback(found)

    def _era(self, server: ServerSpec, principal: str, requested: str | None = None) -> Era:
        # The era that a legacy client's child speaks: the legacy one, unless the server is known not to speak it.
        if server.view:
            return Era.LEGACY
        match self.eras.path(server, Era.LEGACY):
            case EraPath.BRIDGED:
                return Era.MODERN
            case EraPath.REFUSED:
                raise modern.unserved(requested or LATEST_LEGACY)
        if self._is_taken(server, Era.LEGACY, principal):
            if self.eras.bridge(server) is Bridge.OFF:
                raise modern.unserved(requested or LATEST_LEGACY)
            return Era.MODERN
        return Era.LEGACY

    def _is_taken(self, server: ServerSpec, era: Era, principal: str) -> bool:
        # Few servers are known to speak both eras, and only those could have a child in each.
        known = self.eras.known(server)
        return bool(known.modern and known.legacy is not False) and self.pool.is_taken(server, era, principal)

    def begin_inner(self, outer: Session, server: ServerSpec, identifier: bytes, uris: set[str]) -> Session:
        """Begin a member session at one server.

        :raise GatewayError: the server has too many slots already.
        """
        era = self._era(server, outer.principal)
        session = self.sessions.open_inner(outer, server, identifier)
        session.era, session.uris = era, uris or None
        try:
            self.slot_for(session)
        except GatewayError:
            self.end_member(session, UnknownSession("Session has ended"))
            raise
        return session

    def put_on_record(self, session: Session, message: Message) -> None:
        """Record a client's ``initialize`` parameters; best just after the answer has been sent."""
        self.sessions.remember(session, self._recorded(session, message))
        if session.members is not None:
            session.params = None  # they are in the journal

    def _recorded(self, session: Session, message: Message) -> bytes:
        if message.params is None:
            return b""
        whole = jsonrpc.encode(message.params)
        if len(whole) <= PARAMS_LIMIT:
            return whole
        self.log.info(
            "a client of {server} has sent {size} bytes at initialize; the journal keeps the essential members",
            event="session.shortened",
            server=session.server.name,
            size=len(whole),
        )
        return legacy.essential_params(message.params, PARAMS_LIMIT)

    # Aside and back

    def _make_room(self) -> None:
        while self.sessions.is_full:
            self.park(self.sessions.quietest(self.calls.busy()), "there are too many sessions")

    def park(self, session: Session, why: str) -> bool:
        """Release all that a session holds; its id stays valid.  True if a child of its own is stopped."""
        self.sessions.park(session)
        self.log.info(
            "a session of {server} is put aside: {why}",
            event="session.parked",
            server=session.server.name,
            why=why,
        )
        return self._let_go(session, ShuttingDown(f"the session was put aside: {why}"))

    def revive(
        self,
        identifier: bytes,
        server: ServerSpec,
        principal: str,
        prepare: Callable[[Session], None] | None = None,
    ) -> Session:
        """Restore a session that is not in use.

        :param prepare: called with the session before it gets a slot.
        :raise GatewayError: there is no such session, or it cannot have a slot.
        """
        if not self.is_open:
            raise ShuttingDown("the gateway is stopping")
        recalled = self.sessions.recall(identifier, server, principal)
        if recalled is None:
            raise UnknownSession("Session not found")
        self._make_room()
        # The session keeps the workspace in which it was begun, whatever its client names now.
        known = server if server.view else self.servers.get(server.name, server)
        server = self.scopes.of_principal(self.scopes.again(known, recalled.record.workspace), principal)
        era = self._era(server, principal)
        session = self.sessions.revive(identifier, server, recalled)
        session.era = era
        if prepare is not None:
            prepare(session)
        else:
            self.log.info("a session of {server} is restored", event="session.revived", server=server.name)
        if server.view:
            self.view_sessions.revived(session)
        else:
            self.slot_for(session)
        return session

    # The end

    def end(self, session: Session, why: str) -> bool:
        """End a session for good: its calls are cancelled, its own child is stopped.  True if a child is stopped."""
        self._end_for_good(session)
        self.log.info(
            "a session of {server} ends: {why}",
            event="session.ended",
            server=session.server.name,
            session=handle(session.id),
            pid=session.owner,
            workspace=session.server.workspace,
            why=why,
        )
        return self._let_go(session, _ended(session, why))

    def end_member(self, session: Session, why: GatewayError) -> bool:
        """End a member session; true if a child is stopped."""
        self._end_for_good(session)
        return self._let_go(session, why)

    def _end_for_good(self, session: Session) -> None:
        # The calls that end with it are recorded with its client, which the store forgets.
        if session.params is None and self.calls.of(session):
            session.params = self.sessions.params_of(session)
        self.sessions.forget(session)

    def end_named(self, identifier: bytes) -> bool:
        """End the session of an id, in use or not; true if a child is stopped."""
        session = self.sessions.named(identifier)
        if session is not None:
            return self.end(session, "somebody asked for it")
        self.sessions.forget_parked(identifier)
        return False

    def delete(self, identifier: bytes, server: ServerSpec, principal: str) -> None:
        """End a session at the request of its client.

        :raise UnknownSession: the id is not one of the gateway's, of this server, or of this principal, or the session
            has ended.
        """
        session = self.sessions.find(identifier, server, principal)
        if session is not None:
            self.end(session, "its client asked for it")
        elif self.sessions.knows(identifier, server, principal):
            self.sessions.forget_parked(identifier)
        else:
            raise UnknownSession("Session not found")

    def _let_go(self, session: Session, why: GatewayError) -> bool:
        killed = False
        if session.members is not None:
            killed = self.view_sessions.leave(session, why)
        if session.outer is not None and session.outer.members is not None:
            session.outer.members.drop(session)
        self.calls.end(session, why)
        if self.calls.bridge is not None:
            self.calls.bridge.leave(session)
        self.questions.session_ended(session)
        killed = self.pool.release(session) or killed
        session.clear()
        return killed


def _admit(principal: str) -> None:
    """Admit every session."""


def _met(hello: Envelope, era: Era, version: str) -> Raw:
    from mcpgateway.protocol import translate  # for the bridge only

    return legacy.hello_for(translate.hello_from_discovery(hello) if era is Era.MODERN else hello, version)


def _unmet(why: Failure, session: Session, version: str) -> Raw | Failure:
    # Clients take an endpoint that refuses ``initialize`` for a broken one, and do not retry after the user's sign-in.
    refusal = why.value
    if not isinstance(refusal, NeedsLogin):
        return why
    session.is_stale = session.is_unmet = True
    title = session.server.title or session.server.name
    return legacy.hello_for(legacy.unmet(title, refusal.message), version)


def _ended(session: Session, why: str) -> GatewayError:
    if session.outer is None:
        return UnknownSession("Session has ended")
    # The client does not know its member sessions, and its own session lives on.
    return BackendGone(f"{session.server.name} ended before it answered ({why})")
