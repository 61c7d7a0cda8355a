"""Resources on a view: each is read and subscribed to where it is, under the URI that its server gave it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Raw

from mcpgateway.catalog.records import Kind
from mcpgateway.errors import GatewayError, InvalidParams
from mcpgateway.hub.views.inners import Inners
from mcpgateway.hub.views.sinks import Rewriter
from mcpgateway.interfaces import Call
from mcpgateway.wire import jsonrpc, peek
from mcpgateway.wire.jsonrpc import Message

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
        self._road.with_known(
            call,
            inners,
            Kind.RESOURCE,
            lambda: self._road.with_known(
                call,
                self._board.inners(call.session),
                Kind.TEMPLATE,
                lambda: self._to(call, message, uri),
            ),
        )

    def _to(self, call: Call, message: Message, uri: str) -> None:
        found = self._board.inners(call.session).view.resource(uri)
        if found is None:
            raise UnknownResource(f"Resource not found: {uri}", data={"uri": uri})
        server, own = found
        if own != uri:
            (message.params or {})["uri"] = jsonrpc.raw(own)
            call.sink = Rewriter(call.sink, lambda result: _shown(result, own, uri))
        self._road.go(call, message, server)


def _shown(result: Raw, own: str, uri: str) -> Raw:
    # A client looks for what it has asked for by the URI that it knows.
    members = peek.members({"result": result}, "result")
    if "contents" not in members:
        return result
    contents = []
    for each in jsonrpc.read_list(members["contents"], "contents"):
        try:
            content = jsonrpc.read_object(each, "contents")
        except GatewayError:
            contents.append(each)
            continue
        is_its = peek.text(content, "uri", jsonrpc.URI_LIMIT) == own
        contents.append(jsonrpc.raw(content | {"uri": jsonrpc.raw(uri)}) if is_its else each)
    return jsonrpc.raw(members | {"contents": jsonrpc.raw(contents)})
