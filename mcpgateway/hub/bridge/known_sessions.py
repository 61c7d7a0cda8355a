"""The sessions that requests of the modern era had at legacy servers, by what decides which it is."""

from __future__ import annotations

from attrs import frozen

from mcpgateway.config.model import ServerSpec
from mcpgateway.hub.pool import Pool
from mcpgateway.hub.sessions import Session
from mcpgateway.interfaces import Request
from mcpgateway.protocol import modern

KNOWN_LIMIT = 1000  # kinds of clients whose session is remembered
CAPABILITIES_LIMIT = 4096  # bytes of the capabilities that tell them apart

_Kind = tuple[str, str, str | None, bytes]


@frozen(eq=False)
class _Known:
    """The session of the requests of a kind of client, which is the same until something about the server changes.

    :ivar server: as it was when that was found out; another record is another definition.
    :ivar moves: how often what is known of servers had changed by then (`mcpgateway.hub.pool.Pool.moves`).
    """

    server: ServerSpec
    moves: int
    session: Session


class KnownSessions:
    """Remembers the session that the clients of a kind share: same server, principal, log level and capabilities."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: dict[_Kind, _Known] = {}

    def find(self, request: Request) -> Session | None:
        """The session of a request; None where that is to be found out.

        Its child runs, so none of what is asked to find a session has another answer than before.
        """
        found = self._known.get(_kind(request))
        if found is None or found.server is not request.caller.server or found.moves != self._pool.moves:
            return None
        slot = found.session.slot
        return found.session if slot is not None and slot.is_up and not slot.is_over else None

    def remember(self, request: Request, session: Session) -> None:
        """A request goes to a session that it shares with others of its kind."""
        kind, server = _kind(request), request.caller.server
        if (
            server.workspace
            or server.principal
            or self._pool.asks(server)
            or len(kind[-1]) > CAPABILITIES_LIMIT
        ):
            return
        if len(self._known) >= KNOWN_LIMIT:
            self._known.clear()
        self._known[kind] = _Known(server, self._pool.moves, session)

    def clear(self) -> None:
        """Servers are defined otherwise from now on."""
        self._known.clear()


def _kind(request: Request) -> _Kind:
    meta, caller = request.message.meta, request.caller
    said = meta.get(modern.CAPABILITIES_KEY, b"") if meta is not None else b""
    return (caller.server.name, caller.principal, request.level, bytes(said))
