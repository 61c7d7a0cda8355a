"""Select the tools that a view lists, and write their definitions.

# Note [Hidden and cut]
A server whose tools are not offered (``expose_tools: false``, the filter's modes) is *hidden*: its tools are on no
list, are not found and cannot be called on views, only at the server's own endpoint, as that setting demands.  A tool
that exceeds a budget is *cut*: it is not listed, because a list costs tokens, but it is found, and can be called by its
name.  The gateway's own tools are never cut.

# Note [The order]
Hidden servers are removed first.  Of each server that has more tools than its budget, the first are taken, and the
others can become one tool that calls them.  Of all that are left, the first that fit into the budget of the view are
taken.  The order for that is ``budget_order``; pinned tools precede all others.  The taken tools are listed in the
order of the servers and of their lists (or by name, if that is the order), so that a list does not change with every
call: a model's cache of its prompt is valid for as long as the prompt begins with the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

from attrs import evolve, field, frozen
from msgspec import Raw

from mcpgateway.config.model import ServerSpec
from mcpgateway.config.surface import Expose, FilterMode, Order, ViewSettings
from mcpgateway.discovery.compression import first_sentence, without_examples
from mcpgateway.discovery.naming import JOIN, Names, marked, named, shown
from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.discovery.tokens import estimate
from mcpgateway.errors import GatewayError, InvalidParams
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import Envelope

HYBRID_TOOLS = 20
HYBRID_TOKENS = 2000
MORE = "more_tools"
MORE_NAMES = 10  # names in the description of the tool that calls the others
TOOL_NAME_LIMIT = 128  # characters


class UnlistedReason(Enum):
    """The reason why a tool is not listed under its own name."""

    SERVER_BUDGET = "per_server_budget"
    CONSOLIDATED = "consolidate_excess"
    TOOL_BUDGET = "tool_budget"


@frozen
class Unlisted:
    """A tool that is not listed, though it can be called."""

    name: str
    item: Item
    why: UnlistedReason


@frozen
class More:
    """The tools of one server that exceed its budget, as one tool."""

    server: str
    items: tuple[Item, ...]

    def choose(self, arguments: Mapping[str, Raw]) -> tuple[Item, Raw]:
        """Return the tool in the arguments of a call, and its own arguments.

        :raise InvalidParams: it is not one of these tools.
        """
        try:
            name = jsonrpc.read_string(arguments.get("tool_name", jsonrpc.NULL), "tool_name", TOOL_NAME_LIMIT)
        except GatewayError:
            raise InvalidParams(
                f"tool_name must be a text of at most {TOOL_NAME_LIMIT} characters", self._hint
            ) from None
        found = next((each for each in self.items if each.own == name), None)
        if found is None or JOIN in name:
            raise InvalidParams(f"{self.server} has no further tool of that name", self._hint)
        return found, arguments.get("arguments", jsonrpc.EMPTY)

    @property
    def _hint(self) -> str:
        return f"tool_name is one of: {_enumerated(self.items)}"


@frozen
class Exposure:
    """The settings and facts that decide the list of a view.

    :ivar expose: selection of the tools that the view lists.
    :ivar prefixes: prefixes of the servers, by name.
    :ivar hidden: the servers whose tools are not offered; see Note [Hidden and cut].
    :ivar pinned: ids of the tools that precede all others, as configured.
    :ivar reserved: names that no server's tool may have.
    :ivar beside: number of the gateway's own listed tools, which count in a budget.
    """

    expose: Expose = Expose.FULL
    settings: ViewSettings = field(factory=ViewSettings)
    prefixes: Mapping[str, str] = field(factory=dict)
    hidden: frozenset[str] = frozenset()
    pinned: tuple[str, ...] = ()
    reserved: frozenset[str] = frozenset()
    beside: int = 0

    @classmethod
    def of(
        cls,
        settings: ViewSettings,
        servers: Iterable[ServerSpec],
        expose: Expose | None = None,
        *,
        reserved: Iterable[str] = (),
        beside: int = 0,
    ) -> Exposure:
        """Return the exposure of the settings.

        :param expose: selection of the tools, in place of the settings'.
        """
        listed = list(servers)
        return cls(
            expose or settings.expose,
            settings,
            {each.name: each.name if each.prefix is None else each.prefix for each in listed},
            frozenset(each.name for each in listed if _is_hidden(each, settings)),
            (*settings.pinned, *(f"{each.name}::{own}" for each in listed for own in each.pinned)),
            frozenset(reserved),
            beside,
        )


@frozen
class ViewListing:
    """The tools of a view.

    :ivar tools: the listed tools, by name.
    :ivar names: all tools that can be called, by name, listed or not.
    :ivar cut: tools that are not listed because of a budget; see Note [Hidden and cut].
    :ivar further: the tools that call others, by name, listed or not.
    """

    tools: Mapping[str, Item | More]
    names: Names
    cut: tuple[Unlisted, ...] = ()
    further: Mapping[str, More] = field(factory=dict)

    def find(self, text: str) -> Item | More | None:
        """Return the tool of a name or an id, listed or not."""
        return self.tools.get(text) or self.further.get(text) or self.names.find(text)


def listing(items: Sequence[Item], exposure: Exposure, usage: Mapping[str, int]) -> ViewListing:
    """Decide the list of a view; see Note [The order].

    :param items: the tools of all servers, in the order of the servers and of their lists.
    :param usage: number of calls of each tool, by `Item.id`.
    """
    offered = [each for each in items if each.server not in exposure.hidden]
    names = Names(named(offered, exposure.prefixes, exposure.reserved), exposure.prefixes)
    budgets = _Budgets(exposure, names, _Ranks.of(exposure, exposure.settings.budget_order, names, usage))
    match exposure.expose:
        case Expose.FULL:
            return budgets.full()
        case Expose.HYBRID:
            ranks = _Ranks.of(exposure, Order.USAGE, names, usage)
            found = _Budgets(exposure, names, ranks).hybrid()
        case _:
            found = ViewListing({}, names)
    return evolve(found, further=budgets.further())


def definition(name: str, item: Item | More, exposure: Exposure) -> bytes:
    """Return the JSON of a listed entry: its name on the view, its server in the description, the rest unchanged."""
    if isinstance(item, More):
        return jsonrpc.encode(_more(name, item))
    description, members = item.description, dict(item.raw)
    if exposure.settings.compress_schemas and item.kind is ListKind.TOOL:
        description = first_sentence(description)
        if item.input_schema is not None:
            members["inputSchema"] = without_examples(item.input_schema)
    members["name"] = jsonrpc.raw(name)
    members["description"] = jsonrpc.raw(f"[{item.server}] {description}".rstrip())
    return jsonrpc.encode(members)


def _is_hidden(server: ServerSpec, settings: ViewSettings) -> bool:
    if settings.mode is FilterMode.NONE or not server.expose_tools:
        return not server.expose_tools
    called = {server.name, server.title}
    is_missing = settings.mode is FilterMode.ALLOW and called.isdisjoint(settings.include)
    return is_missing or not called.isdisjoint(settings.exclude)


def _more(name: str, more: More) -> Envelope:
    schema = {
        "type": "object",
        "properties": {
            "tool_name": {"type": "string", "enum": [each.own for each in more.items]},
            "arguments": {"type": "object", "description": "The arguments of that tool"},
        },
        "required": ["tool_name"],
    }
    return {
        "name": jsonrpc.raw(name),
        "description": jsonrpc.raw(f"[{more.server}] Access additional tools: {_enumerated(more.items)}"),
        "inputSchema": jsonrpc.raw(schema),
    }


def _enumerated(items: Sequence[Item]) -> str:
    names = ", ".join(each.own for each in items[:MORE_NAMES])
    return names if len(items) <= MORE_NAMES else f"{names} … and {len(items) - MORE_NAMES} more"


Rank = tuple[Any, ...]


@frozen
class _Ranks:
    """The order of tools: the smallest rank comes first.

    :ivar pinned: the names of the tools that precede all others.
    :ivar places: places of all tools in the order of the servers and of their lists, by name.
    """

    order: Order
    pinned: frozenset[str]
    places: Mapping[str, int]
    usage: Callable[[Item], int]

    @classmethod
    def of(cls, exposure: Exposure, order: Order, names: Names, usage: Mapping[str, int]) -> _Ranks:
        found = (names.find(each) for each in exposure.pinned)
        pinned = frozenset(names.name_of(each) for each in found if each is not None)
        places = {name: place for place, name in enumerate(names.items)}
        return cls(order, pinned, places, lambda item: usage.get(item.id, 0))

    def of_item(self, name: str, item: Item) -> Rank:
        count = self.usage(item) if self.order is Order.USAGE else 0
        return (name not in self.pinned, -count, name if self.order is Order.NAME else self.places[name])

    def of_more(self, name: str, last: int) -> Rank:
        """Return the rank of the tool that calls others: behind the last one of its server, or by its name.

        If the order is by use, it precedes all that are not pinned, since many tools are not listed without it.

        :param last: the place of the last tool of its server.
        """
        if self.order is Order.USAGE:
            return (False, 1, last)
        return (True, 0, name if self.order is Order.NAME else last + 0.5)


@frozen
class _Budgets:
    """Selects the tools within the budgets; see Note [The order]."""

    exposure: Exposure
    names: Names
    ranks: _Ranks

    def full(self) -> ViewListing:
        """Return all tools except those that exceed a budget."""
        entries: dict[str, Item | More] = {}
        ranks: dict[str, Rank] = {}
        cut: list[Unlisted] = []
        further = self.further()
        for server, names in self._by_server().items():
            listed, excess = self._within_budget(names)
            for name in listed:
                entries[name] = item = self.names.items[name]
                ranks[name] = self.ranks.of_item(name, item)
            name = self._name_of_more(server)
            more = further.get(name)
            cut += self._over_budget(excess, more)
            if more:
                entries[name] = more
                ranks[name] = self.ranks.of_more(name, self.ranks.places[names[-1]])
        first = sorted(entries, key=ranks.__getitem__)
        room = self._room(len(first))
        fallen = {name: entries[name] for name in first[room:]}
        return ViewListing(
            self._in_order(entries, first[:room]), self.names, tuple(_with(cut, fallen)), further
        )

    def further(self) -> dict[str, More]:
        """Return the tools that stand for those over a server's budget, by name."""
        if not self.exposure.settings.consolidate_excess:
            return {}
        found = {}
        for server, names in self._by_server().items():
            more = self._consolidated(server, self._within_budget(names)[1])
            if more:
                found[self._name_of_more(server)] = more
        return found

    def hybrid(self) -> ViewListing:
        """Return the pinned and the most frequently called tools, as far as they fit."""
        ranked = sorted(
            (self.ranks.of_item(name, item), name)
            for name, item in self.names.items.items()
            if name in self.ranks.pinned or self.ranks.usage(item)
        )
        places, tokens = self._room(HYBRID_TOOLS), HYBRID_TOKENS
        taken: list[str] = []
        for _, name in ranked:
            cost = estimate(definition(name, self.names.items[name], self.exposure))
            if len(taken) < places and cost <= tokens:
                taken.append(name)
                tokens -= cost
        fallen = {
            name: self.names.items[name]
            for _, name in ranked
            if name in self.ranks.pinned and name not in taken
        }
        return ViewListing(self._in_order(self.names.items, taken), self.names, tuple(_with([], fallen)))

    def _room(self, most: int) -> int:
        budget = self.exposure.settings.tool_budget
        return min(most, max(0, budget - self.exposure.beside)) if budget else most

    def _by_server(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, item in self.names.items.items():
            found.setdefault(item.server, []).append(name)
        return found

    def _within_budget(self, names: list[str]) -> tuple[list[str], list[str]]:
        budget = self.exposure.settings.per_server_budget
        if not budget or len(names) <= budget:
            return names, []
        first = set(sorted(names, key=lambda name: self.ranks.of_item(name, self.names.items[name]))[:budget])
        return [each for each in names if each in first], [each for each in names if each not in first]

    def _consolidated(self, server: str, excess: list[str]) -> More | None:
        items = [self.names.items[each] for each in excess]
        fine = tuple(each for each in items if len(each.own) <= TOOL_NAME_LIMIT and JOIN not in each.own)
        return More(server, fine) if fine else None

    def _name_of_more(self, server: str) -> str:
        name = shown(server, MORE)
        # A tool whose own name this is keeps it.
        return marked(server, f"{MORE} of the gateway") if name in self.names.items else name

    def _over_budget(self, names: list[str], more: More | None) -> Iterable[Unlisted]:
        consolidated = more.items if more else ()
        for name in names:
            item = self.names.items[name]
            yield Unlisted(
                name,
                item,
                UnlistedReason.CONSOLIDATED if item in consolidated else UnlistedReason.SERVER_BUDGET,
            )

    def _in_order(self, entries: Mapping[str, Item | More], names: Iterable[str]) -> dict[str, Item | More]:
        taken = set(names)
        listed = [name for name in entries if name in taken]
        if self.ranks.order is Order.NAME:
            listed.sort()
        return {name: entries[name] for name in listed}


def _with(cut: Iterable[Unlisted], fallen: Mapping[str, Item | More]) -> Iterable[Unlisted]:
    """Return all tools that are cut when these exceed the view's budget, with those that they stand for."""
    gone = {each.server for each in fallen.values() if isinstance(each, More)}
    for each in cut:
        is_gone = each.why is UnlistedReason.CONSOLIDATED and each.item.server in gone
        yield evolve(each, why=UnlistedReason.TOOL_BUDGET) if is_gone else each
    for name, entry in fallen.items():
        if isinstance(entry, Item):
            yield Unlisted(name, entry, UnlistedReason.TOOL_BUDGET)
