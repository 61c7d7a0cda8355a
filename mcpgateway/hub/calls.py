"""The calls under way: their holders, their sessions, and their cancellation.

A call is with a slot, or between two requests to a slot (`mcpgateway.hub.bridge.to_modern`), or it waits on a view.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mcpgateway.errors import Cancelled, ClientGone, GatewayError, Overloaded, ShuttingDown
from mcpgateway.hub.pool import Pool
from mcpgateway.hub.replay import KEPT_TICKS
from mcpgateway.hub.sessions import Session, Sessions
from mcpgateway.hub.slot import slot_of
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Message

if TYPE_CHECKING:
    from mcpgateway.hub.bridge.to_modern import ToModern
    from mcpgateway.hub.probes.client_roots import ClientRoots
    from mcpgateway.hub.views import Holder, SessionViews

SESSION_CALLS_LIMIT = 1000
ABANDONED_TICKS = KEPT_TICKS  # as long as its answer would be kept for a client that may come back
ABANDONED_STEP_TICKS = 10
CUT_OFF = "the gateway was stopped or restarted before {name} answered; the call may have had effects"


class Calls:
    """All calls under way.

    :ivar views: serves the sessions of views; None before the first.
    :ivar roots: holds the requests that wait for the roots of their client.
    :ivar bridge: the bridge to servers that speak only the modern era; None before its first use.
    """

    def __init__(self, pool: Pool, sessions: Sessions) -> None:
        self.views: SessionViews | None = None
        self.bridge: ToModern | None = None
        self.roots: ClientRoots | None = None
        self._pool = pool
        self._sessions = sessions

    def __len__(self) -> int:
        return sum(len(holder.calls()) for holder in self.holders())

    def holders(self) -> list[Holder]:
        """Return everything that can hold a call."""
        # A call of a bridged session is with its slot, or between two requests to it.
        return [*self._views(), *self._pool, *self._bridges(), *self._waiting()]

    def _views(self) -> list[SessionViews]:
        return [self.views] if self.views is not None else []

    def _bridges(self) -> list[ToModern]:
        return [self.bridge] if self.bridge is not None else []

    def _waiting(self) -> list[ClientRoots]:
        return [self.roots] if self.roots is not None else []

    def _holders_of(self, session: Session) -> list[Holder]:
        if session.members is not None:
            inner = (self._holders_of(each) for each in session.members.sessions.values())
            return list(dict.fromkeys([*self._views(), *(holder for each in inner for holder in each)]))
        slot = slot_of(session)
        views = self._views() if session.outer is not None else []
        if slot is None:
            return [*views, *self._waiting()]
        former = [each for each in session.left if each.calls()]
        return [*views, slot, *(slot.replicas or ()), *former, *self._bridges(), *self._waiting()]

    def awaited(self) -> int:
        """Return the number of calls whose client waits for the answer."""
        return sum(not call.sink.is_gone for holder in self.holders() for call in holder.calls())

    def under_way(self) -> set[Request]:
        """Return the calls whose client waits for the answer."""
        return {call for holder in self.holders() for call in holder.calls() if not call.sink.is_gone}

    def bridged(self) -> list[Session]:
        """Return the sessions of the calls that the bridge to the modern era holds."""
        return [call.session for bridge in self._bridges() for call in bridge.calls()]

    def busy(self) -> set[Session]:
        """Return the sessions that have calls under way."""
        calls = (call for holder in self.holders() for call in holder.calls())
        sessions: set[Session] = {call.session for call in calls if call.session is not None}
        return sessions | {each.outer for each in sessions if each.outer is not None}

    def of(self, session: Session) -> list[Request]:
        """Return the calls of a session that are under way."""
        calls = (call for holder in self._holders_of(session) for call in holder.calls())
        return [each for each in calls if each.session is session]

    def check_load(self, session: Session) -> None:
        """Check that a session may have one more call.

        :raise Overloaded: the session has `SESSION_CALLS_LIMIT` calls under way.
        """
        if len(self.of(session)) >= SESSION_CALLS_LIMIT:
            raise Overloaded(f"{SESSION_CALLS_LIMIT} calls of this session are under way already")

    # Taking them back

    def cancel(self, session: Session, message: Message) -> None:
        """Cancel the call that a client's ``notifications/cancelled`` names."""
        identifier = jsonrpc.identifier((message.params or {}).get("requestId"))
        if identifier is None or not session.id:
            return  # without a session, ids may be those of several clients
        for holder in self._holders_of(session):
            for call in reversed(holder.calls()):
                owner: Session | None = call.session
                is_its = owner is not None and session in (owner, owner.outer)
                if is_its and jsonrpc.same_identifier(call.id, identifier):
                    if call.withdraw(_reason(message)):
                        call.sink.failed(call, Cancelled("Request cancelled"))
                    return

    def end(self, session: Session, why: GatewayError) -> None:
        """Cancel all calls of a session that ends."""
        # Looked at one by one: what one holder takes back may be a call of another session from then on.
        for holder in self._holders_of(session):
            for call in holder.calls():
                if call.session is session and call.withdraw("the session has ended"):
                    call.sink.failed(call, why)

    def tick(self) -> None:
        """Count one second; every `ABANDONED_STEP_TICKS` cancel the calls whose client has been gone for too long."""
        if self._sessions.now % ABANDONED_STEP_TICKS:
            return
        for holder in self.holders():
            for call in holder.calls():
                call.abandoned_ticks = call.abandoned_ticks + ABANDONED_STEP_TICKS if call.sink.is_gone else 0
                if call.abandoned_ticks > ABANDONED_TICKS and call.withdraw("its client has gone"):
                    call.sink.failed(call, ClientGone("the client has gone"))

    def cut_off(self, calls: Iterable[Request] | None = None) -> None:
        """End calls that run at a stop of the gateway; the error tells their clients that they may have had effects.

        :param calls: None for all calls.
        """
        found = calls if calls is not None else (each for holder in self.holders() for each in holder.calls())
        # Before the servers end: a server that the gateway stops does not know about the stop's effect on the call.
        for call in list(found):
            if self.views is not None and self.views.answer_now(call):
                continue
            if call.withdraw("the gateway is stopping"):
                call.sink.failed(call, ShuttingDown(CUT_OFF.format(name=_called(call))))


def _called(request: Request) -> str:
    # A modern call of a tool of the gateway's own has no session.
    return str(request.session.server.name) if request.session is not None else "the tool"


def _reason(message: Message) -> str:
    reason = peek.text(message.params, "reason")
    return "cancelled by the client" if reason is None else reason
