"""Forwarding of the requests of views' sessions to servers.

A request moves to its client's member session at the server, and keeps its client's sink.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from mcpgateway.backends.own_question import OwnQuestion
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.surface import Level
from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.errors import GatewayError, ShuttingDown
from mcpgateway.hub.sessions import Session
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.views.filters import TaskLearner
from mcpgateway.views.members import MemberSessions
from mcpgateway.views.registry import ViewRegistry
from mcpgateway.views.session_lists import SessionLists
from mcpgateway.views.view import View


class Forwarder:
    """Forwards requests of views' sessions to servers; a `mcpgateway.views.routing.ViewClients`.

    :ivar lists: fetches the lists that are not known.
    """

    def __init__(self, registry: ViewRegistry, lists: SessionLists) -> None:
        self._registry = registry
        self.lists = lists
        self.clock = registry.clock
        self.look = self.rebuild = registry.rebuilt
        self.hold, self.release = registry.hold, registry.release

    def catch_up(self) -> Deferred[None]:
        """Have edits of the configuration read; fires when they are in force."""
        return self._registry.catch_up()

    def view_of(self, request: Request) -> View:
        """Return the view of a request's session.

        :raise ShuttingDown: the gateway is stopping.
        """
        registry, session = self._registry, request.session
        if not registry.dispatcher.is_open:
            raise ShuttingDown("the gateway is stopping")
        members = session.members if session.id else None
        return (members if isinstance(members, MemberSessions) else registry.members_of(session)).view

    # To a server

    def forward(self, request: Request, view: View, item: Item) -> None:
        """Send a call of a tool or a prompt to its server, under its own name.

        :raise GatewayError: the call is refused, and not sent.
        """
        params, tool = request.message.params or {}, item if item.kind is ListKind.TOOL else None
        params["name"] = jsonrpc.raw(item.own)
        if tool is not None:
            if "task" in params:
                request.sink = TaskLearner(
                    request.sink, self._registry.members_of(request.session), item.server
                )
            target = (item.server, item.own)
            self._registry.outcomes.over(request, request.session.principal, view, target, None, item)
        self.go(request, item.server, tool)

    def to_server(self, request: Request, view: View, server: str) -> None:
        """Send a request to a server of the view, as it is.

        :raise GatewayError: the request is refused, and not sent.
        """
        self.go(request, server)

    def go(
        self,
        request: Request,
        server: str,
        tool: Item | None = None,
        elsewhere: ServerSpec | None = None,
    ) -> None:
        """Send a request to a server, in its client's member session there.

        :param tool: the called tool, where identical calls of it may be merged.
        :param elsewhere: the server as run for another directory, if the request is for that one.
        :raise GatewayError: the request is refused, and not sent.
        """
        outer: Session = request.session
        if not outer.server.view:
            self._met(request, outer, tool)  # the session is at the server itself
            return
        members = outer.members
        inner = members.sessions.get(server) if members is not None else None
        if elsewhere is not None:
            inner = None
        if inner is None:
            inner = self._meet(outer, server, elsewhere)
        self._met(request, inner, tool)

    def bring(
        self,
        request: Request,
        view: View,
        target: tuple[str, str],
        level: Level | None,
        elsewhere: ServerSpec | None = None,
    ) -> None:
        """Send a call to a server's tool.

        :param target: the server, and the tool's own name.
        :param level: the level at which its result is shortened; None for the view's.
        :param elsewhere: the server as run for another directory, if the call is for that one.
        :raise GatewayError: the call is refused, and not sent.
        """
        self._registry.outcomes.over(request, request.session.principal, view, target, level)
        self.go(request, target[0], view.tool(*target), elsewhere)

    def _meet(self, outer: Session, server: str, elsewhere: ServerSpec | None) -> Session:
        if elsewhere is None:
            return self._registry.open_member(outer, server)
        from mcpgateway.views.other_directories import meet  # hardly any call names a directory

        return meet(self._registry, outer, elsewhere)

    def _met(self, request: Request, inner: Session, tool: Item | None) -> None:
        request.session = inner
        submit = self._registry.dispatcher.submit
        if tool is None or not self._registry.outcomes.flies(request, tool, submit):
            submit(request)

    def ask(self, inner: Session, method: str, params: Envelope) -> Deferred[Envelope]:
        """Send a request of the gateway's in a member session; fires with the response, which may be an error.

        :raise GatewayError: (through the Deferred) the request is refused.
        """
        done: Deferred[Envelope] = Deferred()
        call = Request(inner, jsonrpc.own_request(method, params, b""), None, OwnQuestion(done))
        try:
            self._registry.dispatcher.submit(call)
        except GatewayError as why:
            call.sink.failed(call, why)
        return done
