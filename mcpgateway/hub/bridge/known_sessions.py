"""A cache of the sessions that modern requests have at legacy servers."""

from __future__ import annotations

from attrs import frozen

from mcpgateway.bounded import Bounded
from mcpgateway.config.model import ServerSpec
from mcpgateway.hub.pool import Pool
from mcpgateway.hub.sessions import Session
from mcpgateway.interfaces import Request
from mcpgateway.protocol import modern

KNOWN_LIMIT = 1000  # entries of the cache; one for each server, principal, log level and capabilities
CAPABILITIES_LIMIT = 4096  # bytes; requests with longer capabilities are not cached

_Kind = tuple[str, str, str | None, bytes]


@frozen(eq=False, repr=False)
class _Known:
    """One cached session, valid until the server's definition or what is known of servers changes.

    :ivar server: the server's definition at that time, compared by identity.
    :ivar moves: the value of `mcpgateway.hub.pool.Pool.moves` at that time.
    """

    server: ServerSpec
    moves: int
    session: Session


class KnownSessions:
    """Caches the session of requests with the same server, principal, log level and capabilities."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: Bounded[_Kind, _Known] = Bounded(KNOWN_LIMIT)

    def find(self, request: Request) -> Session | None:
        """Find the session of a request; None where it is not cached, or its child does not run.

        While its child runs, the checks by which a session is chosen have the same result as before.
        """
        found = self._known.get(_kind(request))
        if found is None or found.server is not request.caller.server or found.moves != self._pool.moves:
            return None
        slot = found.session.slot
        return found.session if slot is not None and slot.is_up and not slot.is_over else None

    def remember(self, request: Request, session: Session) -> None:
        """Cache the session of a request, where requests of the same key share it."""
        kind, server = _kind(request), request.caller.server
        if (
            server.workspace
            or server.principal
            or self._pool.asks(server)
            or len(kind[-1]) > CAPABILITIES_LIMIT
        ):
            return
        self._known[kind] = _Known(server, self._pool.moves, session)

    def clear(self) -> None:
        """Empty the cache, since definitions of servers have changed."""
        self._known.clear()


def _kind(request: Request) -> _Kind:
    meta, caller = request.message.meta, request.caller
    said = meta.get(modern.CAPABILITIES_KEY, b"") if meta is not None else b""
    return (caller.server.name, caller.principal, request.level, bytes(said))
