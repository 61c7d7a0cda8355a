"""Shortening of results at the endpoints of single servers, where the server's entry asks for it.

# Note [A schema that nobody knows]
A client validates structured content by the schema in its list of tools.  Where the gateway does not know the list,
such content stays whole, as if its schema allowed no cut.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Raw
from twisted.python.failure import Failure

from mcpgateway.config.model import ServerSpec
from mcpgateway.config.surface import Level
from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.hub.catalog.listed import ServerLists
from mcpgateway.hub.filters import reason
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.versions import Era
from mcpgateway.views.kept_results import OF_ERA
from mcpgateway.views.results import Outcomes

if TYPE_CHECKING:
    from mcpgateway.hub.sessions import Session

_UNCUT = {"outputSchema": Raw(b'{"if":true}')}


class SingleServerResults:
    """Shortens results of single servers, and serves the originals at their endpoints.

    :param handshake_of: returns the handshake of a server for a session (`mcpgateway.hub.catalog.listed`).
    """

    def __init__(
        self,
        outcomes: Outcomes,
        server_lists: ServerLists,
        handshake_of: Callable[[Session, ServerSpec], str],
    ) -> None:
        self._outcomes = outcomes
        self._server_lists = server_lists
        self._handshake_of = handshake_of

    def serves(self, request: Request) -> bool:
        """Answer a session's request for an original, or have a tool's result shortened; return True if answered."""
        session: Session = request.session
        server = session.server
        if request.method == "tools/call":
            self._cover(request, server, self._handshake_of(session, server), session.principal)
        return request.method == "resources/read" and self._reads(request, session.principal, Era.LEGACY)

    def serves_modern(self, request: Request, server: ServerSpec, principal: str) -> bool:
        """Do the same for a modern request, which has no session."""
        if request.method == "tools/call":
            self._cover(request, server, "", principal)
        return request.method == "resources/read" and self._reads(request, principal, Era.MODERN)

    def _cover(self, request: Request, server: ServerSpec, handshake: str, principal: str) -> None:
        shielding, name = self._outcomes.shielding, peek.text(request.message.params, "name") or ""
        level = server.shield_tools.get(name) or server.shield or Level.OFF
        if shielding is not None and level is not Level.OFF:
            shielding.over(request, self._tool(server, name, handshake), level, principal, is_direct=True)

    def _tool(self, server: ServerSpec, name: str, handshake: str) -> Item:
        known = self._server_lists.recall(server, ListKind.TOOL, handshake) or ()
        found = next((each for each in known if each.own == name), None)
        return found or Item(server.name, ListKind.TOOL, name, _UNCUT)

    def _reads(self, request: Request, principal: str, era: Era) -> bool:
        kept, uri = self._outcomes.kept, peek.text(request.message.params, "uri", jsonrpc.URI_LIMIT) or ""
        if kept is None or not kept.has(uri, principal):
            return False

        def answer(result: dict[str, Any]) -> None:
            if not request.sink.is_gone:
                request.sink.answered(request, jsonrpc.result(jsonrpc.NULL, OF_ERA[era] | result))

        def fail(why: Failure) -> None:
            request.sink.failed(request, reason(why))

        kept.read(uri, principal).addCallback(answer).addErrback(fail)
        return True
