"""Determine the variant of a server for a request, before the request is served."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote

from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import GatewayError, UnknownServer
from mcpgateway.frontends.http.statuses import status_of
from mcpgateway.hub.owners.owners import Owners
from mcpgateway.hub.sessions import Sessions
from mcpgateway.hub.workspaces import ClaimedPlace, Scopes
from mcpgateway.policy.access import Reach, is_client
from mcpgateway.protocol import jsonrpc, modern, peek
from mcpgateway.protocol.jsonrpc import Envelope, Message
from mcpgateway.system.workspaces import NOWHERE, WorkingDirectory

PID_LIMIT = 2**31
STRANGERS = (Reach.REMOTE, Reach.OTHER_USER)
SAYING = frozenset((b"mcp-project-path", b"x-mcp-project", b"x-client-cwd"))
"""The headers that say where a client works."""
RELAYED = b"x-mcpgateway-stdio"
"""Sent by what relays a client on stdio."""


def trace_of(exchange: Any) -> tuple[str, str] | None:
    """Return the trace context in the headers of a request."""
    parent = exchange.headers.get(b"traceparent")
    if parent is None:
        return None
    return parent.decode("latin-1"), exchange.headers.get(b"tracestate", b"").decode("latin-1")


class WorkspaceDetector:
    """Determines the workspaces of clients for all frontends."""

    log = Logger()

    def __init__(self, scopes: Scopes, owners: Owners) -> None:
        self._scopes = scopes
        self._owners = owners

    def find(self, exchange: Any, server: ServerSpec, serve: Callable[[ServerSpec], None]) -> None:
        """Pass the variant of a server that an exchange is for to ``serve``, or refuse the exchange."""
        if not self._scopes.is_placed(server):
            serve(self._noted(exchange, server))
            return
        link = exchange.route.link if exchange.route is not None else None
        if link is not None:
            self._serve(lambda _: serve(self._scopes.again(server, link.workspace)), NOWHERE, exchange)
            return
        self.locate(exchange, lambda place: serve(self._scopes.variant(server, place)))

    def _noted(self, exchange: Any, server: ServerSpec) -> ServerSpec:
        # On a view the workspace may matter later, if it comes to define servers.  So declared facts are kept, but no
        # process is searched.
        if not server.view or not _may_say(exchange):
            return server
        claimed = claimed_place(exchange, self._owners)
        place = self._scopes.place(claimed, exchange.caller) if claimed.is_explicit else None
        return self._scopes.variant(server, place) if place is not None else server

    def own(self, exchange: Any, name: str, sessions: Sessions, serve: Callable[[ServerSpec], None]) -> None:
        """Pass a server that the client's own workspace defines to ``serve``, or refuse the exchange."""
        identifier = exchange.headers.get(b"mcp-session-id", b"")
        session = sessions.named(identifier)
        if session is not None and session.server.name == name:
            serve(session.server)
            return
        root = sessions.workspace_of(identifier, name) if identifier else ""
        if root:
            self._serve(
                lambda place: serve(self._scopes.own(name, place.root)),
                WorkingDirectory(root, root),
                exchange,
            )
        else:
            self.locate(exchange, lambda place: serve(self._scopes.own(name, place.root)))

    def goes_by_roots(self, exchange: Any) -> bool:
        """Return whether the workspace of a client depends on its roots."""
        may_say = not _is_bound(exchange) and exchange.caller.reach not in STRANGERS
        return may_say and not claimed_place(exchange, self._owners).is_explicit

    def refine(self, exchange: Any, link: Any) -> None:
        """Prefer the workspace that a message declares over that of the connection.

        :param link: has an ``endpoint``, the ``server`` as it is run for its client, and perhaps a ``session``.
        :raise ConfigError: the values of the workspace cannot be used.
        """
        if link.session is not None:
            return
        if not link.endpoint.view and not self._scopes.is_placed(link.endpoint):
            return
        claimed = claimed_place(exchange, self._owners)
        place = self._scopes.place(claimed, exchange.caller) if claimed.is_explicit else None
        if place is not None:
            link.server = self._scopes.variant(link.endpoint, place)

    def locate(self, exchange: Any, serve: Callable[[WorkingDirectory], None]) -> None:
        """Pass the working directory of an exchange's client to ``serve``; errors of `serve` are answered."""
        claimed = claimed_place(exchange, self._owners)
        place = self._scopes.place(claimed, exchange.caller)
        if place is not None:
            self._serve(serve, place, exchange)
            return
        looked = self._scopes.look_for(exchange.caller)
        looked.addCallback(lambda _: self._looked(exchange, claimed, serve))
        looked.addErrback(self._broken, exchange)

    def _looked(
        self, exchange: Any, claimed: ClaimedPlace, serve: Callable[[WorkingDirectory], None]
    ) -> None:
        place = self._scopes.place(claimed, exchange.caller)
        if place is not None and not exchange.gone:
            self._serve(serve, place, exchange)

    def _serve(
        self, serve: Callable[[WorkingDirectory], None], place: WorkingDirectory, exchange: Any
    ) -> None:
        try:
            serve(place)
        except GatewayError as why:
            # The error of an unknown server has the id null: no server has received the message.
            identifier = b"null" if isinstance(why, UnknownServer) else known_id(exchange.body)
            exchange.answer(status_of(why), jsonrpc.error_bytes(identifier, why))

    def _broken(self, why: Failure, exchange: Any) -> None:
        self.log.failure("a request could not be placed", why, event="place.broken")
        if not exchange.gone and not exchange.answered and not exchange.streaming:
            self._serve(_refuse, WorkingDirectory(), exchange)


def _refuse(_: WorkingDirectory) -> None:
    raise GatewayError("Internal error: it could not be found out whose request this is")


def claimed_place(exchange: Any, owners: Owners) -> ClaimedPlace:
    """Return the directory that a request declares; only the user's own programs may name any path.

    A path on another machine has no meaning here.  Other users, and callers with a credential of their own, cannot
    choose a directory of this machine: the kernel reports where their process works.
    """
    headers = exchange.headers
    if exchange.route is not None and exchange.route.project:
        return ClaimedPlace(project=exchange.route.project)  # the token is for that project
    project = _text(headers.get(b"x-mcp-project"))
    if exchange.caller.reach in STRANGERS or _is_bound(exchange):
        return ClaimedPlace(
            project="" if unquote(project).startswith("/") else project
        )  # `Scopes` reads both
    path = _text(headers.get(b"mcp-project-path")) or _project_in(exchange.query)
    body = _params(exchange.body) if not path and not project else None
    pid = owners.living(claimed_pid(exchange, _pid_in(body)))
    cwd = _cwd_in(body)
    if not cwd and (found := headers.get(b"x-client-cwd", b"")).startswith(b"/"):
        cwd = _text(found)  # otherwise a variable of the header's template is not set in the client
    return ClaimedPlace(path, project, cwd, pid or 0)


def _is_bound(exchange: Any) -> bool:
    # Callers with a credential of their own.
    return exchange.route is not None and is_client(exchange.route.principal)


def _may_say(exchange: Any) -> bool:
    headers = exchange.headers
    if exchange.route is not None and exchange.route.project:
        return True
    if SAYING.isdisjoint(headers) and b"project=" not in exchange.query:
        return b'"cwd"' in exchange.body
    return True


def _project_in(query: bytes) -> str:
    # For a client whose entries have no headers.
    if b"project=" not in query:
        return ""
    return next((value for name, value in parse_qsl(query.decode("latin-1")) if name == "project"), "")


def _text(header: bytes | None) -> str:
    return header.decode("utf-8", "surrogateescape") if header is not None else ""


def _params(body: bytes) -> Envelope | None:
    try:
        return peek.members(jsonrpc.decode(body), "params") if body else None
    except GatewayError:
        return None  # a batch, or no message: the frontend refuses it


def _speakers(params: Envelope | None) -> tuple[Envelope, ...]:
    if params is None:
        return ()
    meta = peek.members(params, "_meta")
    return (params, peek.members(params, "clientInfo"), meta, peek.members(meta, modern.INFO_KEY))


def _cwd_in(params: Envelope | None) -> str:
    found = (peek.text(each, "cwd", jsonrpc.URI_LIMIT) for each in _speakers(params))
    return next((each for each in found if each), "")


def _pid_in(params: Envelope | None) -> int | None:
    found = (jsonrpc.integer(peek.members(each, "clientInfo").get("pid")) for each in _speakers(params)[:1])
    return next(found, None)


def claimed_pid(exchange: Any, in_body: int | None) -> int | None:
    """Return the process that a request comes from; its header precedes the value in its body."""
    # Two older ways to declare a session's owner; a wrong number must never fail an initialize, and a number of another
    # machine has no meaning here.
    if exchange.caller.reach is Reach.REMOTE:
        return None
    header = exchange.headers.get(b"x-client-pid")
    if header is not None and header.isdigit() and len(header) <= 10:
        in_body = int(header)
    return in_body if in_body is not None and 0 < in_body < PID_LIMIT else None


def claimed_owner(message: Message) -> int | None:
    """Return the process that an ``initialize`` declares as the owner of its session."""
    return jsonrpc.integer(peek.members(message.params, "clientInfo").get("pid"))


def is_admin(exchange: Any) -> bool:
    """Return whether a request has admin rights; a request through a shim never has."""
    return exchange.route is not None and exchange.route.is_admin and RELAYED not in exchange.headers


def is_dotted(exchange: Any) -> bool:
    """Return whether a URL asks for names of own tools with dots (``?names=dotted``)."""
    return bool(exchange.query) and b"names=dotted" in exchange.query.split(b"&")


def known_id(body: bytes) -> bytes:
    """Return the id in a body that is no valid message, if it can be read; else null."""
    try:
        return jsonrpc.identifier(jsonrpc.decode(body).get("id")) or b"null"
    except GatewayError:
        return b"null"
