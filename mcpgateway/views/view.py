"""The contents of a view for one place, and the targets of its names.

All sessions with equal contents share a view.  A view holds no processes and no sessions: it is derived from the
catalog, and derived anew when the catalog has changed.

# Note [When the order changes]
The listed tools may depend on the number of calls of each tool.  The counts are read when a view is first used, and
again when the tools of its servers or the configuration have changed, of which sessions are notified anyway, or when a
session begins and no other has been given the list.  Otherwise the tools keep their order: a model's prompt cache is
valid as long as the prompt begins with the same text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from attrs import define, evolve, field, frozen
from msgspec import Raw

from mcpgateway.config.diff import ChangedServer
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.surface import Expose, ViewSettings
from mcpgateway.discovery.list_digest import topology
from mcpgateway.discovery.listing import Exposure, More, ViewListing, definition, listing
from mcpgateway.discovery.naming import Names, named, read_id, servers_named
from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.discovery.resources import Owned, ResourceOwners, Routes
from mcpgateway.discovery.token_savings import Spared, spared
from mcpgateway.discovery.tokens import estimate
from mcpgateway.errors import AboveTier, GatewayError, ToolOff
from mcpgateway.hub.authorization import Permits
from mcpgateway.hub.catalog.listed import ServerLists
from mcpgateway.policy.permissions import OWN_TOOLS, READ, TokenScope, exceeds, is_off, matches_any
from mcpgateway.protocol import jsonrpc
from mcpgateway.views.specs import ADMIN, FULL, HYBRID, profile_of

if TYPE_CHECKING:
    from mcpgateway.owntools.tool import Builtin, ListedTool, Tool

KINDS = {kind.method: kind for kind in ListKind}


@frozen
class ViewSources:
    """The sources of all views.

    :ivar server_lists: the lists of all servers.
    :ivar builtin: the gateway's own tools; None where there are none.
    :ivar usage: returns the number of calls of each tool, by `Item.id`.
    :ivar permits: the permissions of tokens, for limited views.
    :ivar holders: the owners of the URIs that views have shown, by the names of the views.
    :ivar unusable: returns why a server cannot be used that a view does not show; None where nothing is known of it.
    """

    server_lists: ServerLists
    settings: ViewSettings
    builtin: Builtin | None
    usage: Callable[[], Mapping[str, int]]
    holders: defaultdict[str, ResourceOwners] = field(factory=lambda: defaultdict(ResourceOwners), repr=False)
    permits: Permits = field(factory=Permits, repr=False)
    unusable: Callable[[str, ServerSpec | None], GatewayError | None] = field(
        default=lambda _name, _server: None, repr=False
    )


@define(eq=False, repr=False)
class _Contents:
    """The contents of a view by one generation of the catalog.

    :ivar calls: the tools of servers by the names that clients know; the only lookup of most calls.
    :ivar listing: the listed tools; None until they are needed.
    :ivar results: the results of lists that have been requested.
    :ivar marks: a hash of each list, which tells it from others.
    :ivar spared: the tokens that the list of tools saves; None until they are needed.
    """

    generation: int
    calls: dict[str, Item | More] = field(factory=dict)
    listing: ViewListing | None = None
    prompts: Names | None = None
    routes: Routes | None = None
    results: dict[tuple[ListKind, bool], Raw] = field(factory=dict)
    marks: dict[ListKind, int] = field(factory=dict)
    spared: Spared | None = None


class View:
    """One view, for one place.

    :ivar spec: the view's own entry; `ServerSpec.view` is its kind.
    :ivar servers: the servers that it shows, by name, as they are run for that place.
    :ivar handshakes: the handshake of each server, by its name; see `mcpgateway.hub.catalog.listed`.
    :ivar own: the servers that the place itself defines.
    :ivar exposure: the rules of the listed tools.
    :ivar others: servers of the view that it cannot show now, mostly because they are switched off.
    :ivar scope: the limits of its clients' permissions; None where they may use everything.
    """

    def __init__(
        self,
        spec: ServerSpec,
        servers: dict[str, ServerSpec],
        handshakes: Mapping[str, str],
        sources: ViewSources,
        own: tuple[ServerSpec, ...] = (),
        others: tuple[ServerSpec, ...] = (),
        scope: TokenScope | None = None,
    ) -> None:
        self.spec = spec
        self.scope = scope
        self.own = own
        self.servers = servers
        self.handshakes = handshakes
        self.others = others
        self._sources = sources
        self._holders = sources.holders[spec.name]
        self._server_lists = sources.server_lists
        self._permits = sources.permits
        self._narrowed: dict[str, tuple[tuple[Item, ...], tuple[Item, ...]]] = {}
        self._own = self._listed_own()
        kind = Expose.SEARCH if spec.view == ADMIN else Expose(spec.view)
        names = (each.name for each in self._own)
        self.exposure = Exposure.of(
            sources.settings, servers.values(), kind, reserved=names, beside=len(self._own)
        )
        self._contents = _Contents(-1)
        self._counted: list[Item] | None = None
        self._usage: Mapping[str, int] = {}

    def follow(self, changed: Mapping[str, ChangedServer]) -> None:
        """Use changed definitions of its servers, which change nothing that it shows."""

        def now(server: ServerSpec) -> ServerSpec:
            change = changed.get(server.name) if server not in self.own else None
            return change.of(server) if change is not None else server

        self.servers.update({name: now(each) for name, each in self.servers.items()})
        self.others = tuple(now(each) for each in self.others)

    def _listed_own(self, *, is_dotted: bool = False) -> tuple[ListedTool, ...]:
        builtin = self._sources.builtin
        found = builtin.tools(self.spec.view, is_dotted=is_dotted) if builtin is not None else ()
        return tuple(each for each in found if self.admits_own(each.tool.name))

    def admits_own(self, name: str) -> bool:
        """True if one of the gateway's own tools may be used here."""
        return self.scope is None or name in OWN_TOOLS

    def narrowed(self, server: ServerSpec, items: tuple[Item, ...]) -> tuple[Item, ...]:
        """Return the tools of a server that may be used here: the same objects as long as its list is the same."""
        scope, off, items = self.scope, self.spec.tools_off, self._permits.offered(server, items)
        names_tools = scope is not None and scope.names_tools
        if not (names_tools or off or self.spec.tier):
            return items
        known = self._narrowed.get(server.name)
        if known is None or known[0] is not items:
            left = (
                self._permits.narrowed(scope, server, items) if scope is not None and names_tools else items
            )
            # New entries: the search tells entries apart by identity, not by content.
            left = tuple(
                evolve(each)
                for each in left
                if not matches_any(off, server.name, each.own) and not exceeds(each.tier, self.spec.tier)
            )
            known = self._narrowed[server.name] = (items, left)
        return known[1]

    @property
    def kind(self) -> str:
        """``full``, ``search``, ``hybrid``, ``meta`` or ``admin``."""
        return self.spec.view

    # Targets of names

    def find(self, name: str) -> Item | More | Tool | None:
        """Find the tool of a name: a server's, one of the gateway's own, or None.

        No name is both: `mcpgateway.discovery.naming` gives a server's tool none of the gateway's own.
        """
        look = self._contents
        if look.generation != self._server_lists.generation or look.listing is None:
            look = self._look_at_tools()
        found: Item | More | Tool | None = look.calls.get(name)
        if found is None and self._sources.builtin is not None:
            own = self._sources.builtin.find(name, self.kind)
            found = own if own is not None and self.admits_own(own.name) else None
        return found or self.listing.find(name)

    @property
    def listing(self) -> ViewListing:
        """The servers' tools: those that are listed, and those that are not."""
        look = self._look()
        return look.listing or self._look_at_tools().listing  # type: ignore[return-value]  # it is there then

    def _look(self) -> _Contents:
        if self._contents.generation != self._server_lists.generation:
            self._contents = _Contents(self._server_lists.generation)
        return self._contents

    def _look_at_tools(self) -> _Contents:
        look = self._look()
        items = self.items(ListKind.TOOL)
        if items != self._counted:
            # See Note [When the order changes].
            self._counted, self._usage = items, self._sources.usage()
        look.listing = found = listing(items, self.exposure, self._usage)
        look.calls = {**found.names.items, **found.tools}
        return look

    def refresh(self) -> None:
        """Let the list follow today's use; only while no client has been given the list."""
        if self.kind == HYBRID and self._usage != self._sources.usage():
            self._contents, self._counted = _Contents(-1), None

    def tool(self, server: str, own: str) -> Item | None:
        """Return a server's tool by its own name."""
        return self.listing.names.of(server, own)

    def prompt(self, name: str) -> Item | None:
        """Return the prompt of a name."""
        return self._prompts.find(name)

    @property
    def _prompts(self) -> Names:
        look = self._look()
        if look.prompts is None:
            prefixes = self.exposure.prefixes
            look.prompts = Names(named(self.items(ListKind.PROMPT), prefixes), prefixes)
        return look.prompts

    def check_off(self, name: str) -> None:
        """Check that an unknown name is not one of a tool that is off, or of a server that cannot be used.

        :raise ToolOff: no client is offered that tool.
        :raise ToolHeld: it is held back.
        :raise AboveTier: the profile or the token does not allow tools of that tier.
        :raise GatewayError: the server cannot be used now.
        """
        for head, own in read_id(name):
            self.check_usable(head)
            for server in self.servers.values():
                if head not in (server.name, server.prefix):
                    continue
                if is_off(server.tools_off, own):
                    raise ToolOff(server.name, own)
                if self._permits.quarantine is not None:
                    self._permits.quarantine.check(server, own)
                if matches_any(self.spec.tools_off, server.name, own):
                    raise ToolOff(server.name, own, profile_of(self.spec))
                self._check_tier(server, own)

    def _check_tier(self, server: ServerSpec, own: str) -> None:
        known = self._server_lists.known(server, ListKind.TOOL, self.handshakes.get(server.name, "")) or ()
        tier = next((each.tier for each in known if each.own == own), READ)
        if exceeds(tier, self.spec.tier):
            raise AboveTier(server.name, own, tier, self.spec.tier, profile_of(self.spec))
        limit = self.scope.highest_tier if self.scope is not None else ""
        if exceeds(tier, limit):
            raise AboveTier(server.name, own, tier, limit)

    def check_usable(self, name: str) -> None:
        """Check that a name or prefix is not one of a server that is known and cannot be used now.

        :raise GatewayError: it is switched off, or waits for its user's approval.
        """
        if name in self.servers:
            return
        server = next((each for each in self.others if name in (each.name, each.prefix)), None)
        # A limited token learns nothing of servers beyond its limits.
        why = self._sources.unusable(name, server) if server is not None or self.scope is None else None
        if why is not None:
            raise why

    def near(self, wrong: str, kind: ListKind) -> list[str]:
        """Return names similar to a wrong one."""
        return (self._prompts if kind is ListKind.PROMPT else self.listing.names).near(wrong)

    def named(self, name: str) -> frozenset[str]:
        """Return the servers that a name or an id says it belongs to, whether their lists are known or not."""
        return servers_named(name, self.exposure.prefixes)

    def name_of(self, item: Item) -> str:
        """Return the view's name of a server's tool or prompt, listed or not.

        :raise KeyError: the tool or prompt has no name here.
        """
        return (self._prompts if item.kind is ListKind.PROMPT else self.listing.names).name_of(item)

    def items(self, kind: ListKind) -> list[Item]:
        """Return all known entries of a list."""
        known, handshakes = self._server_lists.known, self.handshakes
        shown = self.servers.values()
        if kind is ListKind.TOOL:
            lists = ((each, known(each, kind, handshakes.get(each.name, "")) or ()) for each in shown)
            return [item for each, items in lists for item in self.narrowed(each, items)]
        return [item for each in shown for item in known(each, kind, handshakes.get(each.name, "")) or ()]

    # Lists

    def to_ask(self, kind: ListKind) -> list[ServerSpec]:
        """Return the servers whose list is not known, or out of date."""
        is_fresh, handshakes = self._server_lists.is_fresh, self.handshakes
        hidden = self.exposure.hidden if kind is ListKind.TOOL else ()
        return [
            each
            for each in self.servers.values()
            if each.name not in hidden and not is_fresh(each, kind, handshakes.get(each.name, ""))
        ]

    def shows(self, kind: ListKind) -> bool:
        """True if the view's list depends on the lists of servers."""
        if kind is ListKind.TOOL:
            return self.kind in (FULL, HYBRID)
        return self.kind != ADMIN

    def listed(self, kind: ListKind, *, is_dotted: bool = False) -> Raw:
        """Return the result of a list.

        :param is_dotted: True for dots in the names of the gateway's own tools, where the client asks for them.
        """
        results, key = self._look().results, (kind, is_dotted and kind is ListKind.TOOL)
        found = results.get(key)
        if found is None:
            found = results[key] = jsonrpc.raw({kind.member: list(self._entries(*key))})
        return found

    def mark(self, kind: ListKind) -> int:
        """Return a hash of a list, which is comparable as long as the gateway runs."""
        marks = self._look().marks
        if kind not in marks:
            marks[kind] = hash(bytes(self.listed(kind)))
        return marks[kind]

    def _entries(self, kind: ListKind, is_dotted: bool = False) -> Iterator[Raw]:  # noqa: FBT001, FBT002
        if kind is ListKind.TOOL:
            own = self._listed_own(is_dotted=True) if is_dotted else self._own
            yield from (Raw(each.definition) for each in own)
            named = self.listing.tools.items()
        elif self.kind == ADMIN:
            return
        elif kind is ListKind.PROMPT:
            named = self._prompts.items.items()
        else:
            yield from self._resources(kind)
            return
        yield from (Raw(definition(name, item, self.exposure)) for name, item in named)

    def spared(self) -> Spared:
        """Return the tokens that the list of tools saves a model."""
        look = self._look()
        if look.spared is None:
            beside = sum(estimate(each.definition) for each in self._own)
            look.spared = spared(self.listing, self.exposure, beside) if self.kind != ADMIN else ()
        return look.spared

    def topology(self) -> str:
        """Return eight digits that change with the list of tools."""
        return topology(bytes(each) for each in self._entries(ListKind.TOOL))

    # Resources keep their URIs

    @property
    def routes(self) -> Routes:
        """The owners of all resources and templates."""
        look = self._look()
        if look.routes is None:
            listed = [*self.items(ListKind.RESOURCE), *self.items(ListKind.TEMPLATE)]
            look.routes = Routes.over(listed, self._holders, self.servers)
        return look.routes

    def _resources(self, kind: ListKind) -> Iterator[Raw]:
        roof = self.routes.resources if kind is ListKind.RESOURCE else self.routes.templates
        for uri, item in roof.items.items():
            is_its = uri == item.own
            if is_its:
                self._holders.keep(kind, uri, item.server)
            yield jsonrpc.raw(item.raw if is_its else item.raw | {kind.key: jsonrpc.raw(uri)})

    def owners(self, uri: str) -> tuple[Owned, ...]:
        """Return the servers that may have a resource, the likeliest first, with its own URI at each."""
        found = self.routes.owners(uri, self.servers)
        if len(found) == 1 and found[0].uri == uri and uri in self.routes.resources.items:
            self._holders.keep(ListKind.RESOURCE, uri, found[0].server)
        return tuple(each for each in found if each.server in self.servers)

    def resource(self, uri: str) -> tuple[str, str] | None:
        """Return the server that most likely has a resource, and its own URI there; None where none may."""
        return next(((each.server, each.uri) for each in self.owners(uri)), None)

    def template(self, uri: str) -> tuple[str, str] | None:
        """Return the server of a template, and its own URI there; None where there is none."""
        return next(((each.server, each.uri) for each in self.routes.template_owners(uri)), None)

    def shown_uri(self, server: str, uri: str) -> str:
        """Return the view's form of a server's URI."""
        return self.routes.resources.shown(server, uri)
