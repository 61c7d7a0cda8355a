"""Modern requests to a view, which stands for all servers at once (MCP 2026-07-28).

    request                     is answered by
    server/discover             the gateway, at once: a view speaks both eras, whatever its servers speak
    subscriptions/listen        the gateway and the servers concerned (`mcpgateway.views.listeners`)
    others                      the gateway or a server (`mcpgateway.views.modern_routing`, `mcpgateway.views.routing`)

A request to a server is sent by `mcpgateway.hub.modern_dispatch.ModernDispatcher.submit`, as if its client had sent
it there: only the name is replaced by the server's own.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Container
from typing import TYPE_CHECKING

from attrs import evolve
from twisted.logger import Logger

from mcpgateway import __version__
from mcpgateway.discovery.records import ListKind
from mcpgateway.discovery.resources import owner_named
from mcpgateway.hub.caller import Caller
from mcpgateway.hub.slot import Slot
from mcpgateway.hub.subscriptions.interest import Interest, narrowed, read_interest
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc, modern
from mcpgateway.protocol.translate import COMPLETE
from mcpgateway.protocol.versions import MODERN, Era
from mcpgateway.views import introduction
from mcpgateway.views.extensions import extensions
from mcpgateway.views.listeners import ListenWish, ViewSubscriptions
from mcpgateway.views.modern_registry import ModernParts, ModernRegistry
from mcpgateway.views.modern_routing import ModernRouting
from mcpgateway.views.specs import ADMIN
from mcpgateway.views.view import View

if TYPE_CHECKING:
    from mcpgateway.hub.modern_dispatch import ModernDispatcher

DISCOVERY_MS = 10_000  # a view changes with the configuration, of which listeners are notified


class ModernViewRequests(ModernRegistry):
    """Serves modern requests to views; a `mcpgateway.hub.views.ModernViews`."""

    log = Logger()

    def __init__(self, modern_dispatcher: ModernDispatcher, parts: ModernParts) -> None:
        super().__init__(modern_dispatcher, parts)
        self._subscriptions = ViewSubscriptions(modern_dispatcher, parts.clock)
        self._routing = routing = ModernRouting(self, parts.pool)
        routing.methods |= {modern.DISCOVER: self._discover, modern.LISTEN: self._listen}
        self.submit = routing.submit
        parts.view_sessions.server_lists.on_change.append(self._changed)
        for slot in parts.pool:
            self.warmed(slot)

    def look_around(self, has_news: bool) -> None:  # noqa: FBT001 - a callback
        """Notify the listeners whose workspaces define other servers now.

        :param has_news: True if users have approved other workspaces.
        """
        if has_news:
            self._cached = {key: evolve(each, at=-math.inf) for key, each in self._cached.items()}
        self._subscriptions.look_around(has_news=has_news)

    @property
    def is_heard(self) -> bool:
        """True if a client listens to a view."""
        return bool(self._subscriptions)

    def rebuilt(self, announces: bool) -> None:  # noqa: FBT001 - a callback
        """Forget all views, since the servers or the settings of views have changed.

        :param announces: True if clients that listen are notified.
        """
        self.lists.forget()
        self._cached.clear()
        if announces:
            self._subscriptions.all_changed()

    # Requests that the view answers

    def _discover(self, request: Request, view: View) -> None:
        capabilities = {name: each for name, each in introduction.CAPABILITIES.items() if name != "tasks"}
        if view.kind != ADMIN:
            capabilities["extensions"] = extensions(view.servers.values(), self._pool, self._snapshots)
        version = f"{__version__}+{view.topology()}"
        result = {
            "resultType": COMPLETE,
            "supportedVersions": list(MODERN),
            "capabilities": capabilities,
            "instructions": introduction.instructions(view, self.server_lists),
            "ttlMs": DISCOVERY_MS,
            "cacheScope": "private",
            "_meta": {modern.SERVER_INFO_KEY: {"name": "mcpgateway", "version": version}},
        }
        request.sink.answered(request, jsonrpc.result(jsonrpc.NULL, result))

    # Listening

    def _listen(self, request: Request, view: View) -> None:
        wanted = narrowed(read_interest(request.message.params))

        def listen(view: View) -> None:
            wishes = self._wishes(wanted, request.caller, view)
            self._subscriptions.listen(request, wanted, wishes, lambda: self.look(request.caller))

        unknown = [uri for uri in wanted.uris if view.resource(uri) is None]
        owners = frozenset().union(*map(owner_named, unknown)) if all(map(owner_named, unknown)) else ()
        kinds = (ListKind.RESOURCE, ListKind.TEMPLATE)
        self._routing.seek(
            request, view, kinds, lambda _: owners, lambda view: all(map(view.resource, unknown)), listen
        )

    def _wishes(self, wanted: Interest, caller: Caller, view: View) -> list[ListenWish]:
        found: dict[str, Interest] = {}
        names: defaultdict[str, dict[str, list[str]]] = defaultdict(dict)
        for uri in sorted(wanted.uris):
            # A listening for an unlisted resource goes to each server that may have it: one that has it notifies.
            for owner in view.owners(uri):
                found[owner.server] = found.get(owner.server, Interest()) | Interest(
                    uris=frozenset((owner.uri,))
                )
                names[owner.server].setdefault(owner.uri, []).append(uri)
        for task in sorted(wanted.tasks):
            runner = self._routing.runner(view, caller.principal, task)
            if runner is not None:
                found[runner.name] = found.get(runner.name, Interest()) | Interest(tasks=frozenset((task,)))
        return [
            ListenWish(view.servers[server], interest, names[server]) for server, interest in found.items()
        ]

    def _changed(self, server: str, kind: ListKind) -> None:
        if self.lists.learning != (server, kind):
            self._subscriptions.changed(server, kind)

    def warmed(self, slot: Slot) -> None:
        """Listen to the lists of a new modern child, and compare them with those that views have shown."""
        if slot.era is not Era.MODERN or slot.conversation is None or not slot.shared or slot.is_replica:
            return
        self._subscriptions.overhear(slot)
        self.lists.refresh(slot.server, Caller(slot.server, "", None))

    # The end

    def close(self, staying: Container[float]) -> None:
        """End the listening, and give up the parked calls of the gateway's own tools.

        :param staying: the times of arrival of the listenings with which the next program goes on.
        """
        self._subscriptions.close(staying)
        self.own_calls.close()
