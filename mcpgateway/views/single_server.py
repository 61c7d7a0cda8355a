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
from mcpgateway.hub.catalog.listed import Librarian
from mcpgateway.hub.filters import reason
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.versions import Era
from mcpgateway.views.kept_results import OF_ERA
from mcpgateway.views.results import Outcomes

if TYPE_CHECKING:
    from mcpgateway.hub.sessions import Session

_UNCUT = {"outputSchema": Raw(b'{"if":true}')}


class Direct:
    """Shortens results of single servers, and serves the originals at their endpoints.

    :param told: returns the ``told`` of a server for a session (`mcpgateway.hub.catalog.listed`).
    """

    def __init__(
        self, outcomes: Outcomes, librarian: Librarian, told: Callable[[Session, ServerSpec], str]
    ) -> None:
        self._outcomes = outcomes
        self._librarian = librarian
        self._told = told

    def serves(self, call: Request) -> bool:
        """Answer a session's request for an original, or have a tool's result shortened; return True if answered."""
        session: Session = call.session
        server = session.server
        if call.method == "tools/call":
            self._cover(call, server, self._told(session, server), session.principal)
        return call.method == "resources/read" and self._reads(call, session.principal, Era.LEGACY)

    def serves_modern(self, call: Request, server: ServerSpec, principal: str) -> bool:
        """Do the same for a modern request, which has no session."""
        if call.method == "tools/call":
            self._cover(call, server, "", principal)
        return call.method == "resources/read" and self._reads(call, principal, Era.MODERN)

    def _cover(self, call: Request, server: ServerSpec, told: str, principal: str) -> None:
        shielding, name = self._outcomes.shielding, peek.text(call.message.params, "name") or ""
        level = server.shield_tools.get(name) or server.shield or Level.OFF
        if shielding is not None and level is not Level.OFF:
            shielding.over(call, self._tool(server, name, told), level, principal, is_direct=True)

    def _tool(self, server: ServerSpec, name: str, told: str) -> Item:
        known = self._librarian.recall(server, ListKind.TOOL, told) or ()
        found = next((each for each in known if each.own == name), None)
        return found or Item(server.name, ListKind.TOOL, name, _UNCUT)

    def _reads(self, call: Request, principal: str, era: Era) -> bool:
        kept, uri = self._outcomes.kept, peek.text(call.message.params, "uri", jsonrpc.URI_LIMIT) or ""
        if kept is None or not kept.has(uri, principal):
            return False

        def answer(result: dict[str, Any]) -> None:
            if not call.sink.is_gone:
                call.sink.answered(call, jsonrpc.result(jsonrpc.NULL, OF_ERA[era] | result))

        def fail(why: Failure) -> None:
            call.sink.failed(call, reason(why))

        kept.read(uri, principal).addCallback(answer).addErrback(fail)
        return True
