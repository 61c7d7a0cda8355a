"""Sessions at legacy servers for modern requests, one for each log level."""

from __future__ import annotations

from attrs import define, field

from mcpgateway.config.model import ServerSpec
from mcpgateway.hub.pool import Pool
from mcpgateway.hub.sessions import Session, Sessions
from mcpgateway.policy.client_requests import UNDECLARED, DeclaredRoots, Offer, name_of
from mcpgateway.policy.sharing import Variant, variant_of
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.versions import LATEST_LEGACY


@define(eq=False, repr=False)
class LevelledSessions:
    """The sessions of modern requests by log level; each is for clients of a principal that offer and told the same."""

    _pool: Pool
    _sessions: Sessions
    _kept: dict[tuple[Variant, str, str, str, str], Session] = field(init=False, factory=dict)

    def session(
        self,
        server: ServerSpec,
        principal: str,
        level: str | None,
        offer: Offer,
        roots: DeclaredRoots | None = None,
    ) -> Session:
        """Return the session of a request with a log level; the anonymous one where ``level`` is None."""
        roots = roots or UNDECLARED
        if level is None:
            return self._sessions.anonymous(server, principal, LATEST_LEGACY, offer=offer, roots=roots)
        # A server has one level for all its sessions: the most verbose that one of them asks for.
        key = (variant_of(server), principal, level, name_of(offer), roots.key)
        session = self._kept.get(key)
        if session is None or self._sessions.named(session.id) is not session:
            params = {"capabilities": jsonrpc.raw(offer)}
            session = self._sessions.synthetic(server, principal, params, level=level, stands_for_many=True)
            session.roots = roots
            self._kept[key] = session
            self._pool.slot_for(session)
        session.seen = self._sessions.now
        return session
