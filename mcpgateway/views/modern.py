"""Modern requests to a view, which stands for all servers at once (MCP 2026-07-28).

    request                     is answered by
    server/discover             the gateway, at once: a view speaks both eras, whatever its servers speak
    lists                       the gateway, from the catalog (`mcpgateway.views.modern_lists`)
    subscriptions/listen        the gateway and the servers concerned (`mcpgateway.views.listeners`)
    tools/call                  the server of the tool, or a tool of the gateway's own
    prompts/get, resources/read the server of the prompt or the resource
    completion/complete         the server of the prompt or the template
    tasks/*                     the server that runs the task

A request to a server is sent by `mcpgateway.hub.modern_dispatch.Stateless.submit`, as if its client had sent it there:
only the name is replaced by the server's own.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

from attrs import evolve
from msgspec import Raw
from twisted.logger import Logger

from mcpgateway import __version__
from mcpgateway.discovery.records import ListKind
from mcpgateway.discovery.resources import owner_named
from mcpgateway.errors import (
    InvalidParams,
)
from mcpgateway.hub.caller import Caller
from mcpgateway.hub.slot import Slot
from mcpgateway.hub.subscriptions.upstream_modern import Filter, narrowed, read_filter
from mcpgateway.interfaces import Request
from mcpgateway.owntools.missing_servers import with_missing
from mcpgateway.protocol import jsonrpc, modern
from mcpgateway.protocol.translate import COMPLETE
from mcpgateway.protocol.versions import MODERN, Era
from mcpgateway.views import introduction
from mcpgateway.views.extensions import extensions
from mcpgateway.views.kept_results import with_kept
from mcpgateway.views.listeners import ListenWish, ViewEars
from mcpgateway.views.modern_registry import ModernParts, ModernRegistry
from mcpgateway.views.modern_routing import ModernRouting
from mcpgateway.views.specs import ADMIN
from mcpgateway.views.view import KINDS, View

if TYPE_CHECKING:
    from mcpgateway.hub.modern_dispatch import Stateless

DISCOVERY_MS = 10_000  # a view changes with the configuration, of which listeners are notified


class ViewDoor(ModernRegistry):
    """Serves modern requests to views; a `mcpgateway.hub.views.ModernViews`."""

    log = Logger()

    def __init__(self, stateless: Stateless, around: ModernParts) -> None:
        super().__init__(stateless, around)
        self._ears = ViewEars(stateless, around.clock)
        self._road = road = ModernRouting(self, around.pool)
        self.methods = {
            modern.DISCOVER: self._discover,
            modern.LISTEN: self._listen,
            **dict.fromkeys(KINDS, self._list),
            **road.here,
        }
        around.board.librarian.on_change.append(self._changed)
        for slot in around.pool:
            self.warmed(slot)

    def look_around(self, has_news: bool) -> None:  # noqa: FBT001 - a callback
        """Notify the listeners whose workspaces define other servers now.

        :param has_news: True if users have approved other workspaces.
        """
        if has_news:
            self._seen = {key: evolve(each, at=-math.inf) for key, each in self._seen.items()}
        self._ears.look_around(has_news=has_news)

    @property
    def is_heard(self) -> bool:
        """True if a client listens to a view."""
        return bool(self._ears)

    def anew(self, announces: bool) -> None:  # noqa: FBT001 - a callback
        """Forget all views, since the servers or the settings of views have changed.

        :param announces: True if clients that listen are notified.
        """
        self.lists.forget()
        self._seen.clear()
        if announces:
            self._ears.all_changed()

    # Requests that the view answers

    def _discover(self, call: Request, view: View) -> None:
        capabilities = {name: each for name, each in introduction.CAPABILITIES.items() if name != "tasks"}
        if view.kind != ADMIN:
            capabilities["extensions"] = extensions(view.servers.values(), self._pool, self._snapshots)
        version = f"{__version__}+{view.topology()}"
        result = {
            "resultType": COMPLETE,
            "supportedVersions": list(MODERN),
            "capabilities": capabilities,
            "instructions": introduction.instructions(view, self.librarian),
            "ttlMs": DISCOVERY_MS,
            "cacheScope": "private",
            "_meta": {modern.SERVER_INFO_KEY: {"name": "mcpgateway", "version": version}},
        }
        call.sink.answered(call, jsonrpc.result(jsonrpc.NULL, result))

    def _list(self, call: Request, view: View) -> None:
        if "cursor" in (call.message.params or {}):
            raise InvalidParams("Invalid params: this list has one page, so there is no cursor")
        kind = KINDS[call.method]
        if view.shows(kind):
            self._road.give_list(call, kind, lambda view: self._listed(call, kind, view))
        else:
            self._listed(call, kind, view)

    def _listed(self, call: Request, kind: ListKind, view: View) -> None:
        servers = view.servers.values() if view.shows(kind) else ()
        unknown = view.to_ask(kind) if view.shows(kind) else ()
        self.lists.shown(unknown, kind, call.caller)
        if kind is ListKind.TOOL:
            self.listed(view)
        terms = self.lists.terms(servers, kind, call.caller)
        kept = self.kept.entries(kind, call.caller.principal) if self.kept is not None else []
        if kept and kind is ListKind.RESOURCE:
            terms = evolve(terms, is_public=False)  # the originals are of this principal only
        # A list may be long, so it is not decoded again.
        result = jsonrpc.encode({"resultType": jsonrpc.raw(COMPLETE), **terms.written()})[:-1] + b","
        listed = with_kept(view.listed(kind, is_dotted=call.is_dotted), kept)
        whole = with_missing(Raw(result + bytes(listed)[1:]), self.lists.missing(unknown, kind, call.caller))
        call.sink.answered(call, jsonrpc.result(jsonrpc.NULL, whole))

    # Listening

    def _listen(self, call: Request, view: View) -> None:
        wanted = narrowed(read_filter(call.message.params))

        def listen(view: View) -> None:
            wishes = self._wishes(wanted, call.caller, view)
            self._ears.listen(call, wanted, wishes, lambda: self.look(call.caller))

        unknown = [uri for uri in wanted.uris if view.resource(uri) is None]
        owners = frozenset().union(*map(owner_named, unknown)) if all(map(owner_named, unknown)) else ()
        if unknown:
            kinds = (ListKind.RESOURCE, ListKind.TEMPLATE)
            self._road.seek(
                call, kinds, lambda _: owners, lambda view: all(map(view.resource, unknown)), listen
            )
        else:
            listen(view)

    def _wishes(self, wanted: Filter, caller: Caller, view: View) -> list[ListenWish]:
        found: dict[str, Filter] = {}
        names: defaultdict[str, dict[str, list[str]]] = defaultdict(dict)
        for uri in sorted(wanted.uris):
            # A listening for an unlisted resource goes to each server that may have it: one that has it notifies.
            for owner in view.owners(uri):
                found[owner.server] = found.get(owner.server, Filter()) | Filter(uris=frozenset((owner.uri,)))
                names[owner.server].setdefault(owner.uri, []).append(uri)
        for task in sorted(wanted.tasks):
            runner = self._road.runner(view, caller.principal, task)
            if runner is not None:
                found[runner.name] = found.get(runner.name, Filter()) | Filter(tasks=frozenset((task,)))
        return [ListenWish(view.servers[server], filter_, names[server]) for server, filter_ in found.items()]

    def _changed(self, server: str, kind: ListKind) -> None:
        if self.lists.learning != (server, kind):
            self._ears.changed(server, kind)

    def warmed(self, slot: Slot) -> None:
        """Listen to the lists of a new modern child, and compare them with those that views have shown."""
        if slot.era is not Era.MODERN or slot.conversation is None or not slot.shared or slot.is_replica:
            return
        self._ears.overhear(slot)
        self.lists.refresh(slot.server, Caller(slot.server, "", None))

    # The end

    def close(self) -> None:
        """End all listening, and give up the parked calls of the gateway's own tools."""
        self._ears.close()
        self.errands.close()
