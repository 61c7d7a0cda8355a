"""Comparison of the lists that sessions were given from the records with the lists of the server's next child.

A session that was answered from a snapshot may hold a list that is out of date.  So once a child of the server runs,
the gateway asks it for the same lists, and notifies the sessions that were given other ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define
from msgspec import Raw
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.backends.conversation import Conversation
from mcpgateway.errors import GatewayError
from mcpgateway.policy.recorded_answers import NEWS, RecordedAnswer, entries_of
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.versions import Era

if TYPE_CHECKING:
    from mcpgateway.hub.catalog.recorded import Snapshot

PATIENCE_S = 600.0  # a server that handles one request at a time may be busy with a long one


@define(eq=False, repr=False)
class ListRefresh:
    """The requests to one child for the lists that are out of date."""

    log = Logger()

    snapshot: Snapshot
    conversation: Conversation

    def begin(self) -> None:
        """Ask for one list after the other; lists that cannot be fetched are asked of the next child."""
        if not self._is_current:
            return
        asked = Deferred.fromCoroutine(self._ask_for_all())
        asked.addTimeout(PATIENCE_S, self.snapshot.slot.clock).addErrback(self._not_asked)

    @property
    def _is_current(self) -> bool:
        return self.snapshot.slot.conversation is self.conversation

    async def _ask_for_all(self) -> None:
        for handshake, method in self.snapshot.outdated():
            changes = self.snapshot.changes
            pages = await self._pages(handshake, method)
            if not self._is_current:
                return
            if pages is not None and changes == self.snapshot.changes:
                self.snapshot.keep(method, handshake, pages)
            self._compare(
                handshake, method, RecordedAnswer(pages).digest(method) if pages is not None else b""
            )

    async def _pages(self, handshake: str, method: str) -> tuple[Raw, ...] | None:
        params: dict[str, Any] = {}
        if self.snapshot.slot.era is Era.MODERN:
            params["_meta"] = self.snapshot.clients.get(handshake, {})

        async def ask(cursor: str | None) -> Raw | None:
            more = {} if cursor is None else {"cursor": cursor}
            page = (await self.conversation.ask(method, params | more)).get("result", jsonrpc.NULL)
            return page if entries_of(method, page) is not None else None

        limit, name = self.snapshot.snapshots.limit, self.snapshot.slot.server.name
        fetched = await limit.fetch(name, method, ask)
        return fetched.pages if fetched.is_whole else None

    def _compare(self, handshake: str, method: str, digest: bytes) -> None:
        slot, misled = self.snapshot.slot, []
        self.snapshot.compared(handshake, method)
        for session, lists in list(self.snapshot.given.items()):
            given = lists.pop((handshake, method), digest)
            if not lists:
                del self.snapshot.given[session]
            if given != digest:
                misled.append(session)
        if not misled:
            return
        self.log.info(
            "{server} answers {method} otherwise than recorded; the clients with the recorded answer are notified",
            event="snapshot.outdated",
            server=slot.server.name,
            method=method,
        )
        news = NEWS[method]
        # Clients without a session are notified on their listening streams; across the eras the gateway's own sessions
        # pass the notification on.
        is_for_listeners = any(session not in slot.sessions for session in misled)
        for session in list(slot.sessions):
            if session in misled or (is_for_listeners and session.issued is None):
                session.announce(news)
        if is_for_listeners and slot.listening is not None:
            slot.listening.announce(news)

    def _not_asked(self, why: Failure) -> None:
        if why.check(GatewayError, defer.TimeoutError) is None:
            self.log.failure("a snapshot could not be compared", why, event="snapshot.broken")
            return
        self.log.debug(
            "{server} could not be asked for its lists: {why}",
            event="snapshot.not_compared",
            server=self.snapshot.slot.server.name,
            why=str(why.value),
        )
