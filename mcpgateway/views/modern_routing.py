"""Routing of the requests that only modern clients send on a view, and the answers that only they get.

    request                     goes to
    resources/read              the server of the URI, and the next where that one does not have it
    tasks/*                     the server that runs the task

The other requests are routed as those of sessions are (`mcpgateway.views.routing`).
"""

from __future__ import annotations

from typing import Any

from attrs import evolve
from msgspec import Raw
from msgspec.structs import replace

from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.records import ListKind
from mcpgateway.discovery.resources import Owned, owner_named
from mcpgateway.errors import GatewayError, InvalidParams
from mcpgateway.hub.caller import Caller
from mcpgateway.hub.filters import SinkFilter
from mcpgateway.hub.pool import Pool
from mcpgateway.interfaces import Request
from mcpgateway.owntools.missing_servers import hint as not_all
from mcpgateway.owntools.missing_servers import with_missing
from mcpgateway.protocol import jsonrpc, modern, peek
from mcpgateway.protocol.jsonrpc import Envelope, Message
from mcpgateway.protocol.translate import COMPLETE
from mcpgateway.protocol.versions import Era
from mcpgateway.views.filters import Rewriter
from mcpgateway.views.kept_results import OF_ERA, missing, with_kept
from mcpgateway.views.modern_access import ModernAccess
from mcpgateway.views.modern_registry import ModernRegistry
from mcpgateway.views.routing import Routing, text_of
from mcpgateway.views.view import View


class _Next(SinkFilter):
    """Reads a resource at the next server after one that does not have it; any other error is the answer."""

    routing: ModernRouting
    message: Message
    caller: Caller
    uri: str
    owners: list[tuple[Owned, ServerSpec]]

    def answered(self, request: Request, reply: Envelope) -> None:
        """Take the server's response; after "not found" ask the next server."""
        from mcpgateway.views.own_messages import is_not_found

        request.sink = self.sink
        if "error" not in reply or not is_not_found(reply["error"]):
            self.sink.answered(request, reply)
            return
        try:
            request.message, request.caller = self.message, self.caller
            self.routing.read_at(request, self.uri, self.owners)
        except GatewayError as why:
            request.sink.failed(request, why)


class ModernRouting(Routing):
    """Routes modern requests on views."""

    def __init__(self, registry: ModernRegistry, pool: Pool) -> None:
        super().__init__(registry, registry.lists)
        self._registry = registry
        self._pool = pool
        self.methods |= {
            "resources/read": self._read,
            **dict.fromkeys(("tasks/get", "tasks/update", "tasks/cancel"), self._task),
        }

    def give(self, request: Request, view: View, kind: ListKind) -> None:
        """Answer a request for a list from the lists that are known."""
        registry, lists, caller = self._registry, self._registry.lists, request.caller
        is_shown = view.shows(kind)
        if is_shown:
            lists.shown(view, kind, caller)
        if kind is ListKind.TOOL:
            registry.listed(view)
        terms = lists.terms(view.servers.values() if is_shown else (), kind, caller)
        kept = registry.kept.entries(kind, caller.principal) if registry.kept is not None else []
        if kept and kind is ListKind.RESOURCE:
            terms = evolve(terms, is_public=False)  # the originals are of this principal only
        # A list may be long, so it is not decoded again.
        result = jsonrpc.encode({"resultType": jsonrpc.raw(COMPLETE), **terms.written()})[:-1] + b","
        listed = with_kept(view.listed(kind, is_dotted=request.is_dotted), kept)
        absent = lists.missing(view, kind, caller) if is_shown else {}
        whole = with_missing(Raw(result + bytes(listed)[1:]), absent)
        request.sink.answered(request, jsonrpc.result(jsonrpc.NULL, whole))

    def run(self, request: Request, view: View, tool: Any) -> None:
        """Run one of the gateway's own tools, or resume its call.

        :raise GatewayError: the call is refused.
        """
        registry, caller = self._registry, request.caller
        if registry.own_calls.resume(request, caller.principal, caller.server.name):
            return
        from mcpgateway.owntools import answers, arguments

        request.level = modern.level(request.message.meta)
        own_call = registry.own_calls.begin(request, caller.principal, caller.server.name)
        access = ModernAccess(registry, view, caller, own_call)
        if registry.own is not None:
            registry.own.begin_tool(own_call.request, tool.name)
        try:
            given = arguments.checked(tool.definition, _arguments(request.message))
            tool.call(own_call.request, given, access)
        except GatewayError as why:
            answers.failed_by(own_call.request, why)

    def _read(self, request: Request, view: View) -> None:
        uri, kept = text_of(request, "uri", jsonrpc.URI_LIMIT), self._registry.kept
        if kept is not None and kept.has(uri, request.caller.principal):
            found = kept.read(uri, request.caller.principal)
            self.answer(found.addCallback(lambda result: OF_ERA[Era.MODERN] | result), request)
            return

        def read(view: View) -> None:
            owners = [(each, view.servers[each.server]) for each in view.owners(uri)]
            if not owners:
                absent = self._registry.lists.missing(view, ListKind.RESOURCE, request.caller)
                what, hint = missing(uri)
                data = {"uri": uri, "missing": absent} if absent else {"uri": uri}
                raise InvalidParams(what, "; ".join(filter(None, (hint, not_all(absent)))), data)
            self.read_at(request, uri, owners)

        kinds = (ListKind.RESOURCE, ListKind.TEMPLATE)
        self.seek(
            request,
            view,
            kinds,
            lambda _: owner_named(uri),
            lambda view: view.resource(uri) is not None,
            read,
        )

    def read_at(self, request: Request, uri: str, owners: list[tuple[Owned, ServerSpec]]) -> None:
        """Read a resource at the first server that may have it, and at the next where that one does not.

        :raise GatewayError: the request is refused, and not sent.
        """
        (owner, server), *others = owners
        if others:
            again = replace(request.message, params=dict(request.message.params or {}))
            request.sink = _Next(request.sink, self, again, replace(request.caller), uri, others)
        if owner.uri != uri:
            from mcpgateway.views.own_messages import renamed

            request.sink = Rewriter(request.sink, lambda result: renamed(result, owner.uri, uri))
            (request.message.params or {})["uri"] = jsonrpc.raw(owner.uri)
        request.caller = replace(request.caller, server=server)
        self._registry.send(request)

    def _task(self, request: Request, view: View) -> None:
        modern.check_tasks(request.message.meta)
        server = self.runner(
            view, request.caller.principal, peek.text(request.message.params, "taskId") or ""
        )
        if server is None:
            raise InvalidParams("Task not found")
        request.caller = replace(request.caller, server=server)
        self._registry.send(request)

    def runner(self, view: View, principal: str, task: str) -> ServerSpec | None:
        """Return the server that runs a task of a principal; None where none does."""
        # Task ids cannot be guessed, so no two servers make up the same.
        for slot in self._pool:
            if (
                slot.server.name in view.servers
                and slot.era is Era.MODERN
                and slot.tasks.has(task, principal)
            ):
                return view.servers[slot.server.name]
        return None


def _arguments(message: Message) -> Envelope:
    arguments = (message.params or {}).get("arguments", jsonrpc.EMPTY)
    return {} if bytes(arguments) == b"null" else jsonrpc.read_object(arguments, "params.arguments")
