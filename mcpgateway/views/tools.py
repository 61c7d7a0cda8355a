"""Calls of tools on a view: the servers' own, and those of the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define

from mcpgateway.discovery.listing import More
from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.errors import GatewayError, InvalidParams
from mcpgateway.hub.filters import Between
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.views.members import Inners

if TYPE_CHECKING:
    from mcpgateway.views.forwarding import Forwarder
    from mcpgateway.views.registry import ViewRegistry


@define(eq=False)
class Held(Between):
    """Sees that a call of one of the gateway's own tools is answered once, and not after it was taken back.

    :ivar is_over: nobody waits for what the tool will answer.
    """

    registry: ViewRegistry
    call: Request
    is_over: bool = False
    is_answered: bool = False

    def take_back(self, reason: str) -> None:
        """Whoever takes the call back says so to the client."""
        self.is_over = True
        if self.call.meter is not None:
            self.call.meter.taken_back(self.call, reason)

    @property
    def is_gone(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.is_over or bool(self.sink.is_gone)

    def answered(self, call: Request, reply: Envelope) -> None:
        """The tool's answer."""
        self.registry.release(call)
        if call.meter is not None:
            call.meter.answered(call, reply)
        if not self.is_over and not self.is_answered:
            self.is_answered = True
            self.sink.answered(call, reply)

    def failed(self, call: Request, why: GatewayError) -> None:
        """There is no answer."""
        self.registry.release(call)
        if call.meter is not None:
            call.meter.failed(call, why)
        if not self.is_answered:
            self.is_answered = True
            self.sink.failed(call, why)


class Tools:
    """Brings calls to tools."""

    def __init__(self, registry: ViewRegistry, forwarder: Forwarder) -> None:
        self._registry = registry
        self._forwarder = forwarder

    def call(self, call: Request, inners: Inners) -> None:
        """Bring a call to the tool of that name."""
        params = call.message.params
        name = peek.text(params, "name")
        if name is None or params is None:
            raise InvalidParams('Invalid params: "name" must be a string')
        found = inners.view.find(name)
        if found is None:
            self._unknown(call, name, inners)
        else:
            self._to(call, params, found, inners)

    def _to(self, call: Request, params: Envelope, found: Any, inners: Inners) -> None:
        if found.__class__ is Item:
            self._of_server(call, params, found, inners)
        elif isinstance(found, More):
            item, params["arguments"] = found.choose(peek.members(params, "arguments"))
            self._of_server(call, params, item, inners)
        else:
            self._own(call, found, inners)

    def _of_server(self, call: Request, params: Envelope, tool: Item, inners: Inners) -> None:
        params["name"] = jsonrpc.raw(tool.own)
        if "task" in params:
            self._forwarder.learn_task(call, inners, tool.server)
        whose = call.session.principal
        self._registry.outcomes.over(call, whose, inners.view, (tool.server, tool.own), None, tool)
        self._forwarder.go(call, tool.server, tool)

    def _unknown(self, call: Request, name: str, inners: Inners) -> None:
        # It may be new, or of a server that nobody has ever listed.
        def again() -> None:
            now = self._registry.inners(call.session)
            found, params = now.view.find(name), call.message.params or {}
            if found is None:
                near, hint = (
                    now.view.near(name, ListKind.TOOL),
                    "tools/list and gateway_search name those there are",
                )
                raise self._forwarder.unknown(
                    call.session, ListKind.TOOL, f"Unknown tool: {name}", near, hint
                )
            self._to(call, params, found, now)

        self._forwarder.seek(
            call,
            (ListKind.TOOL,),
            lambda view: view.named(name),
            lambda view: view.find(name) is not None,
            again,
        )

    def _own(self, call: Request, tool: Any, inners: Inners) -> None:
        from mcpgateway.owntools import answers  # what only views need
        from mcpgateway.views.legacy_access import LegacyAccess

        access = LegacyAccess(
            call.session.principal, inners.view, call.session, self._registry, self._forwarder
        )
        call.sink = held = Held(call.sink, self._registry, call)
        if call.meter is None:
            self._registry.outcomes.own.begin_tool(call, tool.name)
        self._registry.hold(call, held.take_back)
        try:
            tool.call(call, peek.members(call.message.params, "arguments"), access)
        except GatewayError as why:
            answers.failed_by(call, why)
