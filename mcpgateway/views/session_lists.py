"""Fetches of servers' lists for the sessions of legacy clients.

A list of a client's own child is fetched in that client's own session.
"""

from __future__ import annotations

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.discovery.records import ListKind
from mcpgateway.errors import GatewayError, UnknownSession
from mcpgateway.hub.sessions import Session
from mcpgateway.hub.slot import slot_of
from mcpgateway.interfaces import Request
from mcpgateway.policy.recorded_answers import is_own
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.versions import Era
from mcpgateway.views.lists import ListFetcher, ListKey


class SessionLists(ListFetcher[Session]):
    """Fetches servers' lists for sessions of views."""

    def handshake_of(self, server: ServerSpec, session: Session) -> str:
        """Return the handshake of a server for a session (`mcpgateway.hub.catalog.listed`)."""
        view = self._view_sessions.members_of(session).view
        if view.servers.get(server.name) is server:
            return view.handshakes.get(server.name, "")
        return self._view_sessions.handshake_of(session, server)  # it is run for another directory

    def _handshake_now(self, server: ServerSpec, session: Session, handshake: str) -> str:
        # A client's own child that has notified of a change meanwhile has a list of that client alone.
        return self.handshake_of(server, session) if handshake else handshake

    def request(
        self, server: ServerSpec, kind: ListKind, params: Envelope, session: Session, handshake: str
    ) -> Request:
        """Return the request for a page of a list.

        A list that is the same for all is fetched in no client's session, so that it comes even if the client leaves.
        """
        if handshake:
            from mcpgateway.views.other_directories import meet

            asked = meet(self._view_sessions, session, server)
        else:
            asked = self._dispatcher.session(None, server, session.principal)
        return Request(asked, jsonrpc.own_request(kind.method, params, b""), None, None)

    def hello(self, request: Request) -> Envelope | None:
        """Return the answer to the handshake of the child that a request goes to; None where none runs."""
        slot = slot_of(request.session)
        return slot.introduction if slot is not None else None

    def waits(self, session: Session, server: str, kind: ListKind) -> bool:
        """True if a session waits for a list that is being fetched."""
        return any(
            each is session
            for key, fetch in self._fetches.items()
            if key.server == server and key.kind is kind
            for each in fetch.waiting.values()
        )

    # The servers that may be asked

    def may_list(self, server: ServerSpec, session: Session) -> bool:
        """True if a session may fetch a server's list: a session without an id has no child of its own."""
        return bool(session.id) or self._dispatcher.pool.scope(server) is not Share.SESSION

    def may_answer_soon(self, server: ServerSpec, session: Session) -> bool:
        """True if a child that a session would ask for a server's lists is running."""
        handshake = self.handshake_of(server, session)
        if is_own(handshake) and server.name not in self._view_sessions.members_of(session).sessions:
            return False  # the client's own child has to be started first
        slots = (each for each in self._dispatcher.pool if each.server.name == server.name)
        is_its = (
            is_own(handshake) or each.era is Era.MODERN or each.handshake == handshake
            for each in slots
            if each.conversation
        )
        return any(is_its)

    def _is_asked_again(self, server: ServerSpec, handshake: str) -> bool:
        return is_own(handshake) or super()._is_asked_again(server, handshake)

    def _is_wanted(self, server: ServerSpec, session: Session) -> bool:
        if session.id and not self._is_there(session):
            return False
        is_shown = server.name in self._view_sessions.members_of(session).view.servers
        return is_shown and super()._is_wanted(server, session)

    def _may_try_again(self, server: ServerSpec, session: Session, handshake: str) -> bool:
        is_there = not handshake or self._is_there(session)
        return is_there and self._dispatcher.is_open and super()._may_try_again(server, session, handshake)

    def _is_there(self, session: Session) -> bool:
        return self._dispatcher.sessions.named(session.id) is session

    async def _with_tries(self, key: ListKey, server: ServerSpec, session: Session) -> None:
        try:
            await super()._with_tries(key, server, session)
        except GatewayError:
            if not key.handshake or self._is_there(session):
                raise
            # The child of a client that has left was asked; the children of the other waiting clients list the same.
            heir = next((each for each in self._fetches[key].waiting.values() if self._is_there(each)), None)
            if heir is None:
                raise UnknownSession("Session has ended") from None
            await self._with_tries(key, server, heir)
