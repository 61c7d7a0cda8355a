"""Resources on a view: each is read and subscribed to at its own server, under the URI that its server gave it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from mcpgateway.backends.own_question import OwnQuestion
from mcpgateway.discovery.records import ListKind
from mcpgateway.discovery.resources import Owned, owner_named
from mcpgateway.errors import GatewayError, InvalidParams
from mcpgateway.hub.filters import SinkFilter
from mcpgateway.hub.sessions import Session
from mcpgateway.hub.subscriptions.upstream_legacy import SUBSCRIBE, UNSUBSCRIBE, subscribed_uri
from mcpgateway.interfaces import Request
from mcpgateway.owntools.missing_servers import hint as not_all
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import Envelope, Message
from mcpgateway.views.filters import Rewriter
from mcpgateway.views.kept_results import KeptResults, missing
from mcpgateway.views.members import MemberSessions, gained, written
from mcpgateway.views.routing import Routing, text_of

if TYPE_CHECKING:
    from mcpgateway.views.forwarding import Forwarder
    from mcpgateway.views.registry import ViewRegistry
    from mcpgateway.views.view import View

READ = "resources/read"


class UnknownResource(InvalidParams):
    """No server of the view has the resource (MCP 2025-11-25, server/resources)."""

    code = -32002


class Resources:
    """Routes requests for resources to their servers."""

    def __init__(self, registry: ViewRegistry, forwarder: Forwarder, routing: Routing) -> None:
        self._registry = registry
        self._forwarder = forwarder
        self._routing = routing

    def read(self, request: Request, view: View) -> None:
        """Read a resource."""
        uri = text_of(request, "uri", jsonrpc.URI_LIMIT)
        kept = self._kept(request, uri)
        if kept is not None:
            self._routing.answer(kept.read(uri, request.session.principal), request)
        else:
            self._with_owner(request, view, uri, lambda _: self._to(request, uri))

    def _kept(self, request: Request, uri: str) -> KeptResults | None:
        kept = self._registry.outcomes.kept
        return kept if kept is not None and kept.has(uri, request.session.principal) else None

    def subscribe(self, request: Request, view: View) -> None:
        """Subscribe to a resource."""
        uri = subscribed_uri(request)
        if self._kept(request, uri) is not None:
            _agree(request)  # an original never changes
        else:
            self._with_owner(request, view, uri, lambda _: self._subscribe(request, uri))

    def unsubscribe(self, request: Request, view: View) -> None:
        """Unsubscribe from a resource, at the server that was subscribed to."""
        uri, members = subscribed_uri(request), self._registry.members_of(request.session)
        if self._kept(request, uri) is not None:
            _agree(request)
            return
        owner = members.subscription(uri)
        if owner is None:
            self._with_owner(request, view, uri, lambda _: self._unsubscribe(request, uri))
        else:
            self._leave(request, members, uri, owner)

    def _with_owner(self, request: Request, view: View, uri: str, then: Callable[[View], None]) -> None:
        session = request.session

        def is_found(_: View) -> bool:
            return bool(_owners(self._registry.members_of(session), uri))

        kinds = (ListKind.RESOURCE, ListKind.TEMPLATE)
        self._routing.seek(request, view, kinds, lambda _: owner_named(uri), is_found, then)

    def _found(self, session: Session, uri: str) -> tuple[Owned, ...]:
        owners = _owners(self._registry.members_of(session), uri)
        if not owners:
            view = self._registry.members_of(session).view
            absent = self._forwarder.lists.missing(view, ListKind.RESOURCE, session)
            what, hint = missing(uri)
            data = {"uri": uri, "missing": absent} if absent else {"uri": uri}
            raise UnknownResource(what, "; ".join(filter(None, (hint, not_all(absent)))), data=data)
        return owners

    def _to(self, request: Request, uri: str) -> None:
        owners = self._found(request.session, uri)
        if len(owners) > 1:
            request.sink = _Next(request.sink, self, request.session, request.message, uri, list(owners[1:]))
        self.bring(request, uri, owners[0])

    # Subscriptions, each with its owner and its URI as the client wrote it

    def _subscribe(self, request: Request, uri: str) -> None:
        if len(self._found(request.session, uri)) == 1:
            self._to(request, uri)
            return
        # Many servers accept subscriptions to resources that they do not have: the owner is the one that can be read.
        registry, done = self._registry, Deferred[Envelope]()
        probe = Request(
            request.session,
            jsonrpc.own_request(READ, {"uri": jsonrpc.raw(uri)}, b""),
            None,
            OwnQuestion(done),
        )
        registry.hold(request, lambda why: _let_go(probe, why))

        def go_on(_: object) -> None:
            if registry.release(request):
                try:
                    self._to(request, uri)
                except GatewayError as why:
                    request.sink.failed(request, why)

        done.addBoth(go_on)
        try:
            self._to(probe, uri)
        except GatewayError as why:
            probe.sink.failed(probe, why)

    def _unsubscribe(self, request: Request, uri: str) -> None:
        members, owner = self._registry.members_of(request.session), self._found(request.session, uri)[0]
        if owner.uri in members.subscribed.get(owner.server, {}):
            _agree(request)  # that subscription is of another URI, and stays
        else:
            self.bring(request, uri, owner)  # a subscription may be under way

    def _leave(self, request: Request, members: MemberSessions, uri: str, owner: Owned) -> None:
        names = members.subscribed[owner.server][owner.uri]
        if len(names) == 1 and owner.server in members.view.servers:
            self.bring(request, uri, owner)
            return
        del names[uri]
        record = written(owner.server, uri)
        request.session.unsubscribe(record)
        self._registry.dispatcher.sessions.record(request.session, record, is_on=False)
        _agree(request)

    def answered(self, outer: Session, method: str, uri: str, owner: Owned) -> None:
        """Take the result of a request: note the server of an unlisted resource, or the subscription."""
        members = MemberSessions.of(outer)
        if not outer.id or members is None:
            return
        if method == READ and owner.uri == uri and uri not in members.view.routes.resources.items:
            members.stick(uri, owner.server)
        elif method == SUBSCRIBE and (record := gained(outer, owner, uri)):
            self._registry.dispatcher.sessions.record(outer, record, is_on=True)

    def bring(self, request: Request, uri: str, owner: Owned) -> None:
        """Send a request to the server that may have a resource.

        :raise GatewayError: the request is refused, and not sent.
        """
        if request.session.server.view and request.method != UNSUBSCRIBE:
            request.sink = _Done(request.sink, self, request.session, uri, owner)
        if owner.uri != uri:
            (request.message.params or {})["uri"] = jsonrpc.raw(owner.uri)
            from mcpgateway.views.own_messages import renamed  # few requests need it

            request.sink = Rewriter(request.sink, lambda result: renamed(result, owner.uri, uri))
        self._forwarder.go(request, owner.server)


class _Done(SinkFilter):
    """Notes the server that has answered a request."""

    resources: Resources
    session: Session
    uri: str
    owner: Owned

    def answered(self, request: Request, reply: Envelope) -> None:
        """Take the server's response: note a result, and pass the response on."""
        if "result" in reply:
            self.resources.answered(self.session, request.method, self.uri, self.owner)
        self.sink.answered(request, reply)


class _Next(SinkFilter):
    """Asks the next server after one that does not have the resource; any other error is the answer."""

    resources: Resources
    session: Session
    message: Message
    uri: str
    owners: list[Owned]

    def answered(self, request: Request, reply: Envelope) -> None:
        """Take the server's response; after "not found" ask the next server."""
        is_last = not self.owners or "error" not in reply or not _is_not_found(reply)
        request.sink = self.sink if is_last else self
        if is_last:
            self.sink.answered(request, reply)
            return
        params = {**(self.message.params or {}), "uri": jsonrpc.raw(self.uri)}
        request.message = jsonrpc.own_request(request.method, params, meta=self.message.meta)
        request.session = self.session
        try:
            self.resources.bring(request, self.uri, self.owners.pop(0))
        except GatewayError as why:
            request.sink.failed(request, why)


def _is_not_found(reply: Envelope) -> bool:
    from mcpgateway.views.own_messages import is_not_found  # few requests need it

    return is_not_found(reply["error"])


def _owners(members: MemberSessions, uri: str) -> tuple[Owned, ...]:
    # A server that has answered for a URI stays its owner, even if another lists it later.
    owner, used = members.subscription(uri), members.used.get(uri)
    if owner is None and used is not None:
        owner = Owned(used, uri)
    return (
        (owner,) if owner is not None and owner.server in members.view.servers else members.view.owners(uri)
    )


def _agree(request: Request) -> None:
    request.sink.answered(request, jsonrpc.result(jsonrpc.NULL, {}))


def _let_go(probe: Request, why: str) -> None:
    probe.withdraw(why)
