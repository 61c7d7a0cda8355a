"""Resources on a view: each is read and subscribed to at its own server, under the URI that its server gave it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define
from twisted.internet.defer import Deferred

from mcpgateway.backends.conversation import OwnQuestion
from mcpgateway.discovery.records import ListKind
from mcpgateway.discovery.resources import Owned, owner_named
from mcpgateway.errors import GatewayError, InvalidParams
from mcpgateway.hub.filters import Between
from mcpgateway.hub.sessions import Session
from mcpgateway.hub.subscriptions.upstream_legacy import SUBSCRIBE, UNSUBSCRIBE
from mcpgateway.interfaces import Request
from mcpgateway.owntools.missing_servers import hint as not_all
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import Envelope, Message
from mcpgateway.views.filters import Rewriter
from mcpgateway.views.kept_results import KeptResults, missing
from mcpgateway.views.members import Inners, gained, written
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

    def read(self, call: Request, view: View) -> None:
        """Read a resource."""
        uri = text_of(call, "uri", jsonrpc.URI_LIMIT)
        kept = self._kept(call, uri)
        if kept is not None:
            self._routing.answer(kept.read(uri, call.session.principal), call)
        else:
            self._with_owner(call, view, uri, lambda _: self._to(call, uri))

    def _kept(self, call: Request, uri: str) -> KeptResults | None:
        kept = self._registry.outcomes.kept
        return kept if kept is not None and kept.has(uri, call.session.principal) else None

    def subscribe(self, call: Request, view: View) -> None:
        """Subscribe to a resource."""
        _check_session(call)
        uri = text_of(call, "uri", jsonrpc.URI_LIMIT)
        if self._kept(call, uri) is not None:
            _agree(call)  # an original never changes
        else:
            self._with_owner(call, view, uri, lambda _: self._subscribe(call, uri))

    def unsubscribe(self, call: Request, view: View) -> None:
        """Unsubscribe from a resource, at the server that was subscribed to."""
        _check_session(call)
        uri, inners = text_of(call, "uri", jsonrpc.URI_LIMIT), self._registry.inners(call.session)
        if self._kept(call, uri) is not None:
            _agree(call)
            return
        owner = inners.subscription(uri)
        if owner is None:
            self._with_owner(call, view, uri, lambda _: self._unsubscribe(call, uri))
        else:
            self._leave(call, inners, uri, owner)

    def _with_owner(self, call: Request, view: View, uri: str, then: Callable[[View], None]) -> None:
        session = call.session

        def is_found(_: View) -> bool:
            return bool(_owners(self._registry.inners(session), uri))

        kinds = (ListKind.RESOURCE, ListKind.TEMPLATE)
        self._routing.seek(call, view, kinds, lambda _: owner_named(uri), is_found, then)

    def _found(self, session: Session, uri: str) -> tuple[Owned, ...]:
        owners = _owners(self._registry.inners(session), uri)
        if not owners:
            view = self._registry.inners(session).view
            absent = self._forwarder.lists.missing(view, ListKind.RESOURCE, session)
            what, hint = missing(uri)
            data = {"uri": uri, "missing": absent} if absent else {"uri": uri}
            raise UnknownResource(what, "; ".join(filter(None, (hint, not_all(absent)))), data=data)
        return owners

    def _to(self, call: Request, uri: str) -> None:
        owners = self._found(call.session, uri)
        if len(owners) > 1:
            call.sink = _Next(call.sink, self, call.session, call.message, uri, list(owners[1:]))
        self.bring(call, uri, owners[0])

    # Subscriptions, each with its owner and its URI as the client wrote it

    def _subscribe(self, call: Request, uri: str) -> None:
        if len(self._found(call.session, uri)) == 1:
            self._to(call, uri)
            return
        # Many servers accept subscriptions to resources that they do not have: the owner is the one that can be read.
        registry, done = self._registry, Deferred[Envelope]()
        probe = Request(
            call.session, jsonrpc.own_request(READ, {"uri": jsonrpc.raw(uri)}, b""), None, OwnQuestion(done)
        )
        registry.hold(call, lambda why: _let_go(probe, why))

        def go_on(_: object) -> None:
            if registry.release(call):
                try:
                    self._to(call, uri)
                except GatewayError as why:
                    call.sink.failed(call, why)

        done.addBoth(go_on)
        try:
            self._to(probe, uri)
        except GatewayError as why:
            probe.sink.failed(probe, why)

    def _unsubscribe(self, call: Request, uri: str) -> None:
        inners, owner = self._registry.inners(call.session), self._found(call.session, uri)[0]
        if owner.uri in inners.heard.get(owner.server, {}):
            _agree(call)  # that subscription is of another URI, and stays
        else:
            self.bring(call, uri, owner)  # a subscription may be under way

    def _leave(self, call: Request, inners: Inners, uri: str, owner: Owned) -> None:
        names = inners.heard[owner.server][owner.uri]
        if len(names) == 1 and owner.server in inners.view.servers:
            self.bring(call, uri, owner)
            return
        del names[uri]
        record = written(owner.server, uri)
        (call.session.uris or set()).discard(record)
        self._registry.switchboard.sessions.record(call.session, record, is_on=False)
        _agree(call)

    def answered(self, outer: Session, method: str, uri: str, owner: Owned) -> None:
        """Take the result of a request: note the server of an unlisted resource, or the subscription."""
        inners = Inners.of(outer)
        if not outer.id or inners is None:
            return
        if method == READ and owner.uri == uri and uri not in inners.view.routes.resources.items:
            inners.stick(uri, owner.server)
        elif method == SUBSCRIBE and (record := gained(outer, owner, uri)):
            self._registry.switchboard.sessions.record(outer, record, is_on=True)

    def bring(self, call: Request, uri: str, owner: Owned) -> None:
        """Send a request to the server that may have a resource.

        :raise GatewayError: the request is refused, and not sent.
        """
        if call.session.server.view and call.method != UNSUBSCRIBE:
            call.sink = _Done(call.sink, self, call.session, uri, owner)
        if owner.uri != uri:
            (call.message.params or {})["uri"] = jsonrpc.raw(owner.uri)
            from mcpgateway.views.own_messages import renamed  # few requests need it

            call.sink = Rewriter(call.sink, lambda result: renamed(result, owner.uri, uri))
        self._forwarder.go(call, owner.server)


@define(eq=False, repr=False)
class _Done(Between):
    """Notes the server that has answered a request."""

    resources: Resources
    session: Session
    uri: str
    owner: Owned

    def answered(self, call: Request, reply: Envelope) -> None:
        """Take the server's response: note a result, and pass the response on."""
        if "result" in reply:
            self.resources.answered(self.session, call.method, self.uri, self.owner)
        self.sink.answered(call, reply)


@define(eq=False, repr=False)
class _Next(Between):
    """Asks the next server after one that does not have the resource; any other error is the answer."""

    resources: Resources
    session: Session
    message: Message
    uri: str
    owners: list[Owned]

    def answered(self, call: Request, reply: Envelope) -> None:
        """Take the server's response; after "not found" ask the next server."""
        is_last = not self.owners or "error" not in reply or not _is_not_found(reply)
        call.sink = self.sink if is_last else self
        if is_last:
            self.sink.answered(call, reply)
            return
        params = {**(self.message.params or {}), "uri": jsonrpc.raw(self.uri)}
        call.message = jsonrpc.own_request(call.method, params, meta=self.message.meta)
        call.session = self.session
        try:
            self.resources.bring(call, self.uri, self.owners.pop(0))
        except GatewayError as why:
            call.sink.failed(call, why)


def _is_not_found(reply: Envelope) -> bool:
    from mcpgateway.views.own_messages import is_not_found  # few requests need it

    return is_not_found(reply["error"])


def _owners(inners: Inners, uri: str) -> tuple[Owned, ...]:
    # A server that has answered for a URI stays its owner, even if another lists it later.
    owner, used = inners.subscription(uri), inners.used.get(uri)
    if owner is None and used is not None:
        owner = Owned(used, uri)
    return (owner,) if owner is not None and owner.server in inners.view.servers else inners.view.owners(uri)


def _check_session(call: Request) -> None:
    if not call.session.id:
        raise InvalidParams("Invalid params: a subscription needs a session; send initialize first")


def _agree(call: Request) -> None:
    call.sink.answered(call, jsonrpc.result(jsonrpc.NULL, {}))


def _let_go(probe: Request, why: str) -> None:
    probe.withdraw(why)
