"""What an endpoint for all servers shows to those who work in one place, and what stands behind each name.

A view is shared by all sessions that it looks the same to.  It holds no processes and no sessions: it is a look at what
the librarian knows, taken anew when that has changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from attrs import define
from msgspec import Raw

from mcpgateway.catalog.naming import Names, named
from mcpgateway.catalog.records import Item, Kind
from mcpgateway.config.model import ServerSpec
from mcpgateway.hub.librarian import Librarian
from mcpgateway.hub.views.specs import ADMIN, FULL, HYBRID
from mcpgateway.wire import jsonrpc

if TYPE_CHECKING:
    from mcpgateway.hub.builtin.builtin import Builtin, Tool

KINDS = {kind.method: kind for kind in Kind}


@define(eq=False)
class _Look:
    """What was seen when the librarian's knowledge was of one generation.

    :ivar lists: the results of lists, as they have been asked for.
    """

    generation: int
    names: dict[Kind, Names]
    lists: dict[Kind, Raw]


class View:
    """One endpoint, as it looks from one place.

    :ivar spec: the view's own entry; `ServerSpec.view` says of which kind it is.
    :ivar servers: the servers it shows, by name, as they are run for that place.
    :ivar told: what a client's own child is told of it, by server; see `mcpgateway.hub.librarian`.
    """

    def __init__(
        self,
        spec: ServerSpec,
        servers: Mapping[str, ServerSpec],
        told: Mapping[str, str],
        librarian: Librarian,
        builtin: Builtin | None,
    ) -> None:
        self.spec = spec
        self.servers = servers
        self.told = told
        self.librarian = librarian
        self._builtin = builtin
        self._prefixes = {
            each.name: each.name if each.prefix is None else each.prefix for each in servers.values()
        }
        self._look = _Look(-1, {}, {})

    @property
    def kind(self) -> str:
        """``full``, ``search``, ``hybrid``, ``meta`` or ``admin``."""
        return self.spec.view

    # What stands behind a name

    def find(self, name: str) -> Item | Tool | None:
        """What is called by a name: a server's tool, one of the gateway's own, or None."""
        names = self._names(Kind.TOOL)
        found: Item | Tool | None = names.items.get(name)
        if found is None and self._builtin is not None:
            found = self._builtin.find(name, self.kind)
        return found or names.find(name)

    def tool(self, server: str, own: str) -> Item | None:
        """A server's tool, by its own name."""
        return self._names(Kind.TOOL).of(server, own)

    def prompt(self, name: str) -> Item | None:
        """The prompt of a name."""
        return self._names(Kind.PROMPT).find(name)

    def near(self, wrong: str, kind: Kind) -> list[str]:
        """The names that may have been meant."""
        return self._names(kind).near(wrong)

    def name_of(self, item: Item) -> str:
        """What a tool or prompt is called here."""
        return self._names(item.kind).name_of(item)

    def _names(self, kind: Kind) -> Names:
        look = self._look
        if look.generation != self.librarian.generation:
            look = self._look = _Look(self.librarian.generation, {}, {})
        found = look.names.get(kind)
        if found is None:
            items = self.items(kind)
            look.names[kind] = found = Names(named(items, self._prefixes), self._prefixes)
        return found

    def items(self, kind: Kind) -> list[Item]:
        """All entries of a list, as far as they are known; of servers that hide their tools there are none."""
        return [item for server in self._showing(kind) for item in self._known(server, kind)]

    def _known(self, server: ServerSpec, kind: Kind) -> Iterable[Item]:
        return self.librarian.known(server, kind, self.told.get(server.name, "")) or ()

    def _showing(self, kind: Kind) -> list[ServerSpec]:
        return [each for each in self.servers.values() if kind is not Kind.TOOL or each.expose_tools]

    # What is listed

    def to_ask(self, kind: Kind) -> list[ServerSpec]:
        """The servers whose list is not known, or not true any more."""
        if self.kind == ADMIN:
            return []
        told = self.told
        return [
            each
            for each in self._showing(kind)
            if not self.librarian.is_fresh(each, kind, told.get(each.name, ""))
        ]

    def listed(self, kind: Kind) -> Raw:
        """The result of a list."""
        self._names(kind)  # so that it is of this generation
        found = self._look.lists.get(kind)
        if found is None:
            found = jsonrpc.raw({kind.member: self._entries(kind)})
            self._look.lists[kind] = found
        return found

    def _entries(self, kind: Kind) -> list[Raw]:
        if self.kind == ADMIN and kind is not Kind.TOOL:
            return []
        if kind is Kind.TOOL:
            return self._tools()
        if kind is Kind.PROMPT:
            items = self._names(kind).items.items()
            return [jsonrpc.raw(item.raw | {"name": jsonrpc.raw(name)}) for name, item in items]
        return [jsonrpc.raw(each.raw) for each in self.items(kind)]

    def _tools(self) -> list[Raw]:
        own = self._builtin.tools(self.kind) if self._builtin is not None else ()
        found = [Raw(each.definition) for each in own]
        if self.kind == FULL:
            items = self._names(Kind.TOOL).items.items()
            found += [jsonrpc.raw(item.raw | {"name": jsonrpc.raw(name)}) for name, item in items]
        return found

    def shows(self, kind: Kind) -> bool:
        """Whether what is listed depends on what servers list."""
        if kind is Kind.TOOL:
            return self.kind in (FULL, HYBRID)
        return self.kind != ADMIN

    def topology(self) -> str:
        """Eight digits that change with what is listed."""
        return hashlib.sha256(bytes(self.listed(Kind.TOOL))).hexdigest()[:8]

    # Resources keep their URIs

    def resource(self, uri: str) -> tuple[str, str] | None:
        """The server that a resource, or a template, is of, and its own URI there."""
        for kind in (Kind.RESOURCE, Kind.TEMPLATE):
            for each in self.items(kind):
                if each.own == uri:
                    return each.server, uri
        return None

    def shown_uri(self, server: str, uri: str) -> str:
        """How the view writes a URI of a server's."""
        return uri
