"""What an endpoint for all servers shows to those who work in one place, and what stands behind each name.

A view is shared by all sessions that it looks the same to.  It holds no processes and no sessions: it is a look at what
the librarian knows, taken anew when that has changed.

# Note [When the order changes]
What is listed may depend on how often tools are called.  The counts are read when a view is first looked at, and again
when the tools of its servers or the configuration are others, which sessions are told of anyway, or when a session
begins and no other has been given the list.  In between the same
tools stand in the same order: models keep what they have read for as long as it begins with the same words.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from attrs import define, evolve, field, frozen
from msgspec import Raw

from mcpgateway.config.model import ServerSpec
from mcpgateway.config.surface import Expose, ViewSettings
from mcpgateway.discovery.list_digest import topology
from mcpgateway.discovery.listing import Exposure, More, ViewListing, definition, listing
from mcpgateway.discovery.naming import Names, named, servers_named
from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.discovery.resources import Owned, ResourceOwners, Routes
from mcpgateway.discovery.token_savings import Spared, spared
from mcpgateway.discovery.tokens import estimate
from mcpgateway.hub.authorization import Permits
from mcpgateway.hub.catalog.listed import Librarian
from mcpgateway.policy.permissions import OWN_TOOLS, TokenScope
from mcpgateway.protocol import jsonrpc
from mcpgateway.views.specs import ADMIN, FULL, HYBRID

if TYPE_CHECKING:
    from mcpgateway.owntools.tool import Builtin, ListedTool, Tool

KINDS = {kind.method: kind for kind in ListKind}


@frozen
class Sources:
    """What all views are looks at.

    :ivar builtin: the gateway's own tools; None where there are none.
    :ivar usage: how often each tool was called, by `Item.id`.
    :ivar permits: knows which tools change nothing.
    :ivar holders: whose the URIs are that views have shown, by the names of these.
    """

    librarian: Librarian
    settings: ViewSettings
    builtin: Builtin | None
    usage: Callable[[], Mapping[str, int]]
    holders: defaultdict[str, ResourceOwners] = field(factory=lambda: defaultdict(ResourceOwners), repr=False)
    permits: Permits = field(factory=Permits, repr=False)


@define(eq=False)
class _Look:
    """What was seen when the librarian's knowledge was of one generation.

    :ivar calls: the tools of servers by the names that clients know them under; the hot road's one look.
    :ivar listing: None until a tool is asked for.
    :ivar results: those of lists, as they have been asked for.
    :ivar marks: what tells each list from any other.
    :ivar spared: what the list of tools spares whoever reads it; None until it is asked for.
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
    """One endpoint, as it looks from one place.

    :ivar spec: the view's own entry; `ServerSpec.view` says of which kind it is.
    :ivar servers: the servers it shows, by name, as they are run for that place.
    :ivar told: what a client's own child is told of it, by server; see `mcpgateway.hub.catalog.listed`.
    :ivar own: those among its servers that the place itself defines.
    :ivar exposure: what decides what it lists.
    :ivar others: the servers it is of that it cannot show now, for most of all those that are switched off.
    :ivar scope: what it is limited to for those who see it; None where they may use everything.
    """

    def __init__(
        self,
        spec: ServerSpec,
        servers: Mapping[str, ServerSpec],
        told: Mapping[str, str],
        sources: Sources,
        own: tuple[ServerSpec, ...] = (),
        others: tuple[ServerSpec, ...] = (),
        scope: TokenScope | None = None,
    ) -> None:
        self.spec = spec
        self.scope = scope
        self.own = own
        self.servers = servers
        self.told = told
        self.others = others
        self._sources = sources
        self._holders = sources.holders[spec.name]
        self._librarian = sources.librarian
        self._permits = sources.permits
        self._narrowed: dict[str, tuple[tuple[Item, ...], tuple[Item, ...]]] = {}
        self._own = self._listed_own()
        kind = Expose.SEARCH if spec.view == ADMIN else Expose(spec.view)
        names = (each.name for each in self._own)
        self.exposure = Exposure.of(
            sources.settings, servers.values(), kind, reserved=names, beside=len(self._own)
        )
        self._seen = _Look(-1)
        self._counted: list[Item] | None = None
        self._usage: Mapping[str, int] = {}

    def _listed_own(self, *, is_dotted: bool = False) -> tuple[ListedTool, ...]:
        builtin = self._sources.builtin
        found = builtin.tools(self.spec.view, is_dotted=is_dotted) if builtin is not None else ()
        return tuple(each for each in found if self.admits_own(each.tool.name))

    def admits_own(self, name: str) -> bool:
        """Whether one of the gateway's own tools may be used here."""
        return self.scope is None or name in OWN_TOOLS

    def narrowed(self, server: ServerSpec, items: tuple[Item, ...]) -> tuple[Item, ...]:
        """Those of a server's tools that may be used here: the same ones for as long as its list is the same."""
        scope = self.scope
        if scope is None or not scope.names_tools:
            return items
        known = self._narrowed.get(server.name)
        if known is None or known[0] is not items:
            # Entries of their own: whoever searches tells entries apart by what they are, not by what they say.
            left = tuple(evolve(each) for each in self._permits.narrowed(scope, server, items))
            known = self._narrowed[server.name] = (items, left)
        return known[1]

    @property
    def kind(self) -> str:
        """``full``, ``search``, ``hybrid``, ``meta`` or ``admin``."""
        return self.spec.view

    # What stands behind a name

    def find(self, name: str) -> Item | More | Tool | None:
        """What is called by a name: a server's tool, one of the gateway's own, or None.

        No name is both: `mcpgateway.discovery.naming` gives a server's tool none of the gateway's own.
        """
        look = self._seen
        if look.generation != self._librarian.generation or look.listing is None:
            look = self._look_at_tools()
        found: Item | More | Tool | None = look.calls.get(name)
        if found is None and self._sources.builtin is not None:
            own = self._sources.builtin.find(name, self.kind)
            found = own if own is not None and self.admits_own(own.name) else None
        return found or self.listing.find(name)

    @property
    def listing(self) -> ViewListing:
        """What is listed of the servers' tools, and what is not."""
        look = self._look()
        return look.listing or self._look_at_tools().listing  # type: ignore[return-value]  # it is there then

    def _look(self) -> _Look:
        if self._seen.generation != self._librarian.generation:
            self._seen = _Look(self._librarian.generation)
        return self._seen

    def _look_at_tools(self) -> _Look:
        look = self._look()
        items = self.items(ListKind.TOOL)
        if items != self._counted:
            # See Note [When the order changes].
            self._counted, self._usage = items, self._sources.usage()
        look.listing = found = listing(items, self.exposure, self._usage)
        look.calls = {**found.names.items, **found.tools}
        return look

    def refresh(self) -> None:
        """Let what is used most today be listed; for when nobody has a list that this would make untrue."""
        if self.kind == HYBRID and self._usage != self._sources.usage():
            self._seen, self._counted = _Look(-1), None

    def tool(self, server: str, own: str) -> Item | None:
        """A server's tool by its own name."""
        return self.listing.names.of(server, own)

    def prompt(self, name: str) -> Item | None:
        """The prompt of a name."""
        return self._prompts.find(name)

    @property
    def _prompts(self) -> Names:
        look = self._look()
        if look.prompts is None:
            prefixes = self.exposure.prefixes
            look.prompts = Names(named(self.items(ListKind.PROMPT), prefixes), prefixes)
        return look.prompts

    def near(self, wrong: str, kind: ListKind) -> list[str]:
        """The names that may have been meant."""
        return (self._prompts if kind is ListKind.PROMPT else self.listing.names).near(wrong)

    def named(self, name: str) -> frozenset[str]:
        """The servers that a name or an id says it is of, whether their lists are known or not."""
        return servers_named(name, self.exposure.prefixes)

    def name_of(self, item: Item) -> str:
        """The name that a server's tool or prompt is called by here, listed or not.

        :raise KeyError: it has none.
        """
        return (self._prompts if item.kind is ListKind.PROMPT else self.listing.names).name_of(item)

    def items(self, kind: ListKind) -> list[Item]:
        """All entries of a list, as far as they are known."""
        known, told = self._librarian.known, self.told
        shown = self.servers.values()
        if kind is ListKind.TOOL and self.scope is not None:
            lists = ((each, known(each, kind, told.get(each.name, "")) or ()) for each in shown)
            return [item for each, items in lists for item in self.narrowed(each, items)]
        return [item for each in shown for item in known(each, kind, told.get(each.name, "")) or ()]

    # What is listed

    def to_ask(self, kind: ListKind) -> list[ServerSpec]:
        """The servers whose list is not known, or not true any more."""
        is_fresh, told = self._librarian.is_fresh, self.told
        hidden = self.exposure.hidden if kind is ListKind.TOOL else ()
        return [
            each
            for each in self.servers.values()
            if each.name not in hidden and not is_fresh(each, kind, told.get(each.name, ""))
        ]

    def shows(self, kind: ListKind) -> bool:
        """Whether what is listed depends on what servers list."""
        if kind is ListKind.TOOL:
            return self.kind in (FULL, HYBRID)
        return self.kind != ADMIN

    def listed(self, kind: ListKind, *, is_dotted: bool = False) -> Raw:
        """The result of a list.

        :param is_dotted: with dots in the names of the gateway's own tools, for whoever asks for that.
        """
        results, key = self._look().results, (kind, is_dotted and kind is ListKind.TOOL)
        found = results.get(key)
        if found is None:
            found = results[key] = jsonrpc.raw({kind.member: list(self._entries(*key))})
        return found

    def mark(self, kind: ListKind) -> int:
        """Tells what is listed now from what was listed before, as long as the gateway runs."""
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
        """What a model is spared that is given the list of tools."""
        look = self._look()
        if look.spared is None:
            beside = sum(estimate(each.definition) for each in self._own)
            look.spared = spared(self.listing, self.exposure, beside) if self.kind != ADMIN else ()
        return look.spared

    def topology(self) -> str:
        """Eight digits that change with what is listed."""
        return topology(bytes(each) for each in self._entries(ListKind.TOOL))

    # Resources keep their URIs

    @property
    def routes(self) -> Routes:
        """Whose each resource is."""
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
        """The servers that a resource may be of, the likeliest first, and what it is called there."""
        found = self.routes.owners(uri, self.servers)
        if len(found) == 1 and found[0].uri == uri and uri in self.routes.resources.items:
            self._holders.keep(ListKind.RESOURCE, uri, found[0].server)
        return tuple(each for each in found if each.server in self.servers)

    def resource(self, uri: str) -> tuple[str, str] | None:
        """The server that a resource is most likely of, and its own URI there."""
        return next(((each.server, each.uri) for each in self.owners(uri)), None)

    def template(self, uri: str) -> tuple[str, str] | None:
        """The server that a template is of, and its own there."""
        return next(((each.server, each.uri) for each in self.routes.template_owners(uri)), None)

    def shown_uri(self, server: str, uri: str) -> str:
        """How the view writes a URI of a server's."""
        return self.routes.resources.shown(server, uri)
