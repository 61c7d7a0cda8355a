"""The roots of views' clients: a program with windows works in its open folders, not in its process's directory.

A client is asked after its session has begun, if it has named no directory and workspaces define servers.  Until it
has answered, and where it has no roots, the directory of its process counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.errors import GatewayError
from mcpgateway.hub.client_requests import GATEWAY_ASKER, OwnAsker
from mcpgateway.policy.client_requests import ROOTS
from mcpgateway.protocol import jsonrpc
from mcpgateway.system.workspaces import WorkingDirectory

if TYPE_CHECKING:
    from mcpgateway.hub.sessions import Session
    from mcpgateway.views.registry import ViewRegistry

ROOTS_LIMIT = 100  # of one client; further ones are ignored


class Roots:
    """Asks clients for their roots, and has views show the servers of those directories."""

    log = Logger()

    def __init__(self, registry: ViewRegistry) -> None:
        self._registry = registry

    def ask(self, session: Session) -> None:
        """Ask a session's client for its roots, if they count."""
        dispatcher = self._registry.dispatcher
        members = session.members
        if (
            members is None
            or not members.goes_by_roots
            or not dispatcher.scopes.shows_projects(session.server)
        ):
            return
        if "roots" not in dispatcher.sessions.capabilities_of(session):
            return
        asker = OwnAsker(Deferred())
        asker.done.addCallback(self._answered, session).addErrback(self._not_answered)
        try:
            dispatcher.questions.ask(GATEWAY_ASKER, asker, session, ROOTS, jsonrpc.request(0, ROOTS, {}))
        except GatewayError as why:
            self.log.debug("a client is not asked for its roots: {why}", event="roots.not_asked", why=why)

    def _answered(self, result: dict[str, Any], session: Session) -> None:
        registry, dispatcher = self._registry, self._registry.dispatcher
        if dispatcher.sessions.named(session.id) is not session:
            return
        places = [dispatcher.scopes.place_of(each) for each in paths_in(result)]
        chosen = self._chosen([each for each in places if each.directory], session)
        if chosen is None:
            return
        former, session.server = session.server, registry.at_place(session.server, chosen)
        if session.server.workspace != former.workspace:
            dispatcher.sessions.remember(session)
            registry.look_again(session)
            registry.announce_all(session)

    def _chosen(self, places: list[WorkingDirectory], session: Session) -> WorkingDirectory | None:
        # Of several roots, the first with servers of its own.
        scopes = self._registry.dispatcher.scopes
        own = (each for each in places if scopes.is_of_project(session.server, each))
        return next(own, next(iter(places), None))

    def _not_answered(self, why: Failure) -> None:
        if why.check(GatewayError) is None:
            self.log.failure("roots could not be used", why, event="roots.broken")


def paths_in(result: dict[str, Any]) -> list[str]:
    """Return the local directories in a ``roots/list`` result, as the client wrote them."""
    listed = result.get("roots")
    roots = listed[:ROOTS_LIMIT] if isinstance(listed, list) else []
    uris = [each.get("uri") for each in roots if isinstance(each, dict)]
    return [path for each in uris if isinstance(each, str) and (path := _path(each))]


def _path(uri: str) -> str:
    try:
        parts = urlsplit(uri)
    except ValueError:
        return ""
    is_here = parts.scheme == "file" and parts.netloc in ("", "localhost")
    return unquote(parts.path) if is_here else ""
