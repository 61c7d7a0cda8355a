"""Resources on a view: each is read and subscribed to where it is, under the URI that its server gave it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from mcpgateway.catalog.records import Kind
from mcpgateway.catalog.uris import Owned
from mcpgateway.errors import GatewayError, InvalidParams
from mcpgateway.hub.sessions import Session
from mcpgateway.hub.sinks import Between
from mcpgateway.hub.views.inners import Inners
from mcpgateway.hub.views.sinks import Rewriter, own_message
from mcpgateway.interfaces import Call
from mcpgateway.wire import jsonrpc, peek
from mcpgateway.wire.jsonrpc import Envelope, Message

if TYPE_CHECKING:
    from mcpgateway.hub.views.board import Board
    from mcpgateway.hub.views.road import Road


class UnknownResource(InvalidParams):
    """No server of the view has that resource (MCP 2025-11-25, server/resources)."""

    code = -32002


class Resources:
    """Brings requests to the servers that resources are of."""

    def __init__(self, board: Board, road: Road) -> None:
        self._board = board
        self._road = road

    def read(self, call: Call, message: Message, inners: Inners) -> None:
        """Read one."""
        self._bring(call, message, inners)

    def subscribe(self, call: Call, message: Message, inners: Inners) -> None:
        """Hear of its changes, or not any more."""
        if not call.session.id:
            raise InvalidParams("Invalid params: a subscription needs a session; send initialize first")
        self._bring(call, message, inners)

    def _bring(self, call: Call, message: Message, inners: Inners) -> None:
        uri = peek.text(message.params, "uri", jsonrpc.URI_LIMIT)
        if uri is None:
            raise InvalidParams('Invalid params: "uri" must be a string')
        if inners.view.resource(uri) is not None:
            self._to(call, message, uri)
            return
        # It may be new, or of a server that nobody has ever listed.
        kinds = (Kind.RESOURCE, Kind.TEMPLATE)
        self._road.with_known(call, inners, kinds, lambda: self._to(call, message, uri))

    def _to(self, call: Call, message: Message, uri: str) -> None:
        owners = self._board.inners(call.session).view.owners(uri)
        if not owners:
            raise UnknownResource(f"Resource not found: {uri}", data={"uri": uri})
        if len(owners) > 1 and call.method == "resources/read":
            call.sink = _Next(call.sink, self, call.session, message, uri, list(owners[1:]))
        self.bring(call, message, uri, owners[0])

    def bring(self, call: Call, message: Message, uri: str, owner: Owned) -> None:
        """Bring a request to the server that a resource may be of.

        :raise GatewayError: it goes nowhere.
        """
        if owner.uri != uri:
            (message.params or {})["uri"] = jsonrpc.raw(owner.uri)
            from mcpgateway.hub.views.words import renamed  # what hardly any request needs

            call.sink = Rewriter(call.sink, lambda result: renamed(result, owner.uri, uri))
        self._road.go(call, message, owner.server)


@define(eq=False)
class _Next(Between):
    """Asks the next server where one says that it has no such resource."""

    resources: Resources
    session: Session
    message: Message
    uri: str
    owners: list[Owned]

    def answered(self, call: Call, reply: Envelope) -> None:
        """The server's own response."""
        is_last = "error" not in reply or not self.owners
        call.sink = self.sink if is_last else self
        if is_last:
            self.sink.answered(call, reply)
            return
        params = {**(self.message.params or {}), "uri": jsonrpc.raw(self.uri)}
        again = own_message(call.method, params)
        again.meta = self.message.meta
        call.session = self.session
        try:
            self.resources.bring(call, again, self.uri, self.owners.pop(0))
        except GatewayError as why:
            call.sink.failed(call, why)
