"""The check of every request against the scope of its credential, for both eras, all views, and REST.

    a request to a server      `Permits.check`, also for requests from views and from the gateway's own tools
    a list for a client        `Permits.narrow` removes the tools that the client may not call
    a tool in ``tools_off``    is refused and removed alike, for every principal
    a changed tool             likewise, while it is held back (`mcpgateway.hub.catalog.quarantine`)
    a view                     shows no more than the scope allows (`mcpgateway.views.view.View.scope`)

# Note [Tiers]
The annotations in a server's list tell the tier of each tool.  Before the list is known, each tool counts as one that
destroys: a client with a limited tier has to ask for the list first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw

from mcpgateway.bounded import Bounded
from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.records import Item, ListKind, read_items
from mcpgateway.errors import AboveTier, OutOfScope, ToolOff
from mcpgateway.hub.filters import SinkFilter
from mcpgateway.interfaces import Request
from mcpgateway.policy.access import is_client
from mcpgateway.policy.permissions import DESTRUCTIVE, READ, TokenScope, exceeds, is_off
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.records import Record

if TYPE_CHECKING:
    from mcpgateway.hub.catalog.listed import ServerLists
    from mcpgateway.hub.catalog.quarantine import Quarantine

CALL, LIST = "tools/call", "tools/list"
KNOWN_LIMIT = 1000  # servers, per workspace
WHOLE = TokenScope()

Place = tuple[str, str]
Refused = Callable[[str, str, Request, str, str], None]
"""Called with every refused request: its principal, its server, the request, the tool, and the reason."""


class Permits(Record):
    """The rights of principals.

    :ivar scopes: the scopes of limited principals, by name.
    :ivar quarantine: knows which tools are held back; None where none are.
    :ivar holds: true if changed tools of any server are held back.
    :ivar server_lists: returns the keeper of the servers' lists; needed for scopes with a tier only.
    :ivar on_refusal: called with refused requests; None without a listener.
    :ivar admit_call: called with the principal of each request that a client sends; raises the error that refuses it;
        None without limits.
    """

    scopes: Mapping[str, TokenScope] = msgspec.field(default_factory=dict)
    quarantine: Quarantine | None = None
    holds: bool = False
    server_lists: Callable[[], ServerLists | None] = lambda: None
    on_refusal: Refused | None = None
    admit_call: Callable[[str], None] | None = None
    _offered: dict[tuple[int, tuple[str, ...], int], tuple[tuple[Item, ...], tuple[Item, ...]]] = (
        msgspec.field(default_factory=lambda: Bounded(KNOWN_LIMIT))
    )
    _tiers: dict[Place, dict[str, str]] = msgspec.field(default_factory=lambda: Bounded(KNOWN_LIMIT))

    def of(self, principal: str) -> TokenScope | None:
        """Return the scope of a principal; None for the gateway's own user, who has all rights."""
        return self.scopes.get(principal, WHOLE) if is_client(principal) else None

    def admit(self, principal: str, server: ServerSpec) -> None:
        """Check that a principal may use a server at all.

        :raise OutOfScope: the scope excludes the server.
        """
        scope = self.scopes.get(principal)
        if scope is not None and not server.view and not scope.admits_server(server.name):
            raise OutOfScope(f"this token may not use {server.name}", "ask for one whose scope has it")

    def look(self, servers: Iterable[ServerSpec]) -> None:
        """Find out whether changed tools of any server are held back."""
        self.holds = any(map(self._is_held, servers))

    def _is_held(self, server: ServerSpec) -> bool:
        return self.quarantine is not None and self.quarantine.is_on(server)

    def check(self, principal: str, server: ServerSpec, request: Request) -> None:
        """Check that a principal may send a request to a server.

        :raise OutOfScope: the scope excludes the server, the method or the tool.
        :raise ToolOff: no client is offered the tool.
        :raise ToolHeld: the tool is held back.
        """
        scope = self.scopes.get(principal)
        if server.view or not (scope is not None or server.tools_off or self.holds):
            return
        tool = (peek.text(request.message.params, "name") or "") if request.method == CALL else ""
        if tool and is_off(server.tools_off, tool):
            raise ToolOff(server.name, tool)
        if tool and self.quarantine is not None:
            self.quarantine.check(server, tool)
        if scope is None:
            return
        try:
            self._check(principal, scope, server, request.method, tool)
        except OutOfScope as why:
            if self.on_refusal is not None:
                self.on_refusal(principal, server.name, request, tool, why.message)
            raise

    def _check(self, principal: str, scope: TokenScope, server: ServerSpec, method: str, tool: str) -> None:
        self.admit(principal, server)
        if method != CALL:
            if not scope.admits_method(method):
                raise OutOfScope(f"this token may not ask for {method}", "its scope names tools only")
            return
        limit = scope.highest_tier
        tier = self._known(server).get(tool, DESTRUCTIVE) if limit else READ
        if exceeds(tier, limit):
            raise AboveTier(server.name, tool, tier, limit)
        if not scope.admits_tool(server.name, tool, tier):
            raise OutOfScope(
                f"this token may not call {tool} of {server.name}", "tools/list names those it may"
            )

    def narrow(self, principal: str, server: ServerSpec, request: Request) -> None:
        """Remove from the answer to a client's ``tools/list`` the tools that it may not call."""
        if request.method != LIST or server.view:
            return
        scope = self.scopes.get(principal, WHOLE)
        if scope.names_tools or server.tools_off or self._is_held(server):
            is_first = "cursor" not in (request.message.params or {})
            request.sink = _Narrowed(request.sink, self, scope, server, is_first)

    def offered(self, server: ServerSpec, items: tuple[Item, ...]) -> tuple[Item, ...]:
        """Return those of a server's tools that are neither off nor held back: the same objects for the same list."""
        held = self.quarantine.generation if self.quarantine is not None and self._is_held(server) else -1
        if not server.tools_off and held < 0:
            return items
        key = (id(items), server.tools_off, held)
        known = self._offered.get(key)
        if known is None:
            left = tuple(each for each in self.known(server, items) if not is_off(server.tools_off, each.own))
            known = self._offered[key] = (items, left)  # the list is kept, so that its id stays its own
        return known[1]

    def known(self, server: ServerSpec, items: tuple[Item, ...]) -> tuple[Item, ...]:
        """Return those of a server's tools that are not held back."""
        return self.quarantine.left(server, items) if self.quarantine is not None else items

    def narrowed(self, scope: TokenScope, server: ServerSpec, items: Iterable[Item]) -> tuple[Item, ...]:
        """Return those of a server's tools that the scope allows."""
        found = tuple(items)
        if scope.highest_tier:
            self.note(server, found)
        return tuple(each for each in found if scope.admits_tool(server.name, each.own, each.tier))

    def note(self, server: ServerSpec, items: Iterable[Item], *, is_first: bool = True) -> None:
        """Record the tiers of a server's tools.

        :param is_first: true for the first page of a list, which replaces the earlier record.
        """
        place = (server.name, server.workspace)
        tiers = {each.own: tier for each in items if (tier := each.tier) != DESTRUCTIVE}
        before = self._tiers.pop(place, {})
        self._tiers[place] = tiers if is_first else before | tiers

    def _known(self, server: ServerSpec) -> Mapping[str, str]:
        place = (server.name, server.workspace)
        if place not in self._tiers and (server_lists := self.server_lists()) is not None:
            items = server_lists.recall(server, ListKind.TOOL)
            if items is not None:
                self.note(server, items)
        return self._tiers.get(place, {})


class _Narrowed(SinkFilter):
    """Removes from a list the tools that the scope excludes, and those that are off."""

    permits: Permits
    scope: TokenScope
    server: ServerSpec
    is_first: bool

    def answered(self, request: Request, reply: Envelope) -> None:
        """Pass the response on without the excluded tools."""
        if "result" in reply:
            reply = {**reply, "result": self._left(reply["result"])}
        self.sink.answered(request, reply)

    def _left(self, result: Raw) -> Raw:
        members = jsonrpc.read_object(result, "result")
        items = read_items(self.server.name, ListKind.TOOL, [result])
        self.permits.note(self.server, items, is_first=self.is_first)
        listed = [
            jsonrpc.raw(each.raw)
            for each in self.permits.known(self.server, items)
            if self.scope.admits_tool(self.server.name, each.own, each.tier)
            and not is_off(self.server.tools_off, each.own)
        ]
        return jsonrpc.raw({**members, ListKind.TOOL.member: listed})
