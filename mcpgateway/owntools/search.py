"""The tools that find tools: by a description, by their ids, or all of a server's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

from attrs import define, frozen
from msgspec import Raw
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from mcpgateway.config.surface import SearchFormat, SemanticMode
from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.errors import GatewayError, InvalidParams
from mcpgateway.hub.filters import reason
from mcpgateway.interfaces import Request
from mcpgateway.owntools import answers, arguments
from mcpgateway.owntools.answers import Shield, unshielded
from mcpgateway.owntools.directory import SEPARATOR, Directory, UnknownTool
from mcpgateway.owntools.hits import camel_case, compact, field_names, shortened
from mcpgateway.owntools.missing_servers import hint as not_all
from mcpgateway.owntools.news import ToolNews
from mcpgateway.owntools.semantic_search import SemanticSearch, fused
from mcpgateway.owntools.status import GatewayStatus
from mcpgateway.owntools.tool import OWN_NAME, READ, UNDERSCORED, Access, Builtin, Tool, argument, define_tool
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import Envelope

FOUND, FOUND_MOST = 10, 50
_FORMS = [each.value for each in SearchFormat]
INSTRUCTIONS_CHARACTERS = 600  # of a server, beside the description of a tool
LISTS_LIMIT = 1000
SLICE_S = 0.005  # of the reactor's time, for which no other request is served
IDLE_S = 900.0  # an index is rebuilt in a fraction of a second, and takes megabytes
LOOKED_AT = 5  # first hits, of which one is probably meant
HALF = 0.5  # of a query's words
ALIKE = 0.25  # similarity of a question and a tool that is probably meant
CLEAR = 9.0  # score of a clear match of half of them
OWN_SHARE = 0.4  # share of its score that an own tool keeps for a query about another subject
_ABOUT_US = re.compile(
    r"\b(?:mcp|gateway|(?:server|tool|backend|plugin|extension|connector|profile|integration)s?)\b",
    re.IGNORECASE,
)
T = TypeVar("T")


class Hit(Protocol):
    """A search result (`mcpgateway.discovery.search.SearchHit`)."""

    @property
    def item(self) -> Item:
        """The found tool."""

    @property
    def score(self) -> float:
        """The score of the match."""

    @property
    def share(self) -> float:
        """The share of the query's significant words that it matches."""


@frozen
class _Hit:
    item: Item
    score: float
    share: float


class Index(Protocol):
    """A search index (`mcpgateway.discovery.search.SearchIndex`)."""

    def replacing(self, server: str, items: Sequence[Item]) -> Iterator[None]:
        """Replace the entries of a server in short steps."""

    def remove(self, server: str) -> None:
        """Remove the entries of a server."""

    def search(self, query: str, limit: int = FOUND, server: str = "") -> list[Any]:
        """Return the best hits, best first."""


def make_index() -> Index:
    """Return an empty index."""
    from mcpgateway.discovery.search import SearchIndex  # loaded for the first search
    from mcpgateway.discovery.thesaurus import Thesaurus
    from mcpgateway.system import package_data

    made: SearchIndex = SearchIndex(Thesaurus(package_data.thesaurus()))
    return made


class Finder:
    """Searches all known tools, with an index that the first search builds and an idle time drops.

    # Note [What is indexed]
    One index serves all clients.  A server with a variant for a workspace, or with another list for one client, is in
    it once more, under a key of its own, unless the lists are equal; hits under other clients' keys are left out.


    :param own: the gateway's own tools, which are searched too.
    """

    def __init__(self, own: Builtin, clock: Any, make: Callable[[], Index] = make_index) -> None:
        self._own = own
        self._clock = clock
        self._make = make
        self._index: Index | None = None
        self._lists: dict[str, tuple[Item, ...]] = {}  # indexed lists, by key, the most recently used last
        self._timer: Any = None
        self._turns = DeferredLock()

    async def index(self, lists: Mapping[str, tuple[Item, ...]]) -> None:
        """Index those of the lists that are not, in slices between which other requests are served."""
        async with self._turns:
            index, until = self._ready(), self._clock.seconds() + SLICE_S
            for key, items in lists.items():
                for _ in self._indexing(index, key, items):
                    if self._clock.seconds() >= until:
                        await deferLater(self._clock, 0.0)
                        until = self._clock.seconds() + SLICE_S

    def search(
        self, query: str, limit: int, lists: Mapping[str, tuple[Item, ...]], server: str = ""
    ) -> list[Hit]:
        """Return the best hits among the tools of these lists, and the gateway's own.

        Own tools precede the others if the query is about servers or tools, or if they match clearly better.

        :param lists: the tools of each server, by its name and the variant of its list (a key as `Directory.lists`
            makes it).
        :param server: the server of the tools; empty for all.
        """
        if server or is_about_us(query):
            return self._found(query, limit, lists, server)
        # Some own tools may be among the first hits, and are removed then.
        hits = self._found(query, FOUND_MOST, lists)
        return sorted(map(_own_last, hits), key=lambda hit: -hit.score)[:limit]

    def _found(
        self, query: str, limit: int, lists: Mapping[str, tuple[Item, ...]], server: str = ""
    ) -> list[Hit]:
        index = self._ready()
        keys = {OWN_NAME} | {self._indexed(index, key, items) for key, items in lists.items()}
        if server:
            keys = {each for each in keys if each.partition(SEPARATOR)[0] == server}
            return _best(index, query, limit, keys)
        if len(keys) == len(self._lists) + 1:
            return index.search(query, limit)
        # Other callers may use more servers: their hits are found too, and left out.
        hits = index.search(query, FOUND_MOST)
        wanted = {id(item) for key in keys for item in self._lists.get(key, ())}
        found = [each for each in hits if each.item.server == OWN_NAME or id(each.item) in wanted]
        if len(found) < limit and len(hits) >= FOUND_MOST:
            return _best(index, query, limit, keys)  # other callers' hits have left no room for this caller's
        return found[:limit]

    def _ready(self) -> Index:
        if self._timer is None:
            self._timer = self._clock.callLater(IDLE_S, self.forget)
        else:
            self._timer.reset(IDLE_S)
        if self._index is None:
            self._index = self._make()
            _all(self._index.replacing(OWN_NAME, [own_item(each) for each in self._own]))
        return self._index

    def _indexed(self, index: Index, key: str, items: tuple[Item, ...]) -> str:
        # Returns the key under which these are indexed.
        _all(self._indexing(index, key, items))
        return key if self._lists.get(key) is items else key.partition(SEPARATOR)[0]

    def _indexing(self, index: Index, key: str, items: tuple[Item, ...]) -> Iterator[None]:
        if self._lists.get(key) is items:
            self._lists[key] = self._lists.pop(key)
            return
        plain = key.partition(SEPARATOR)[0]
        if plain != key and self._lists.get(plain) == items:
            return
        yield from index.replacing(key, items)
        if index is not self._index:
            return  # it was freed meanwhile
        self._lists.pop(key, None)
        self._lists[key] = items
        while len(self._lists) > LISTS_LIMIT:
            oldest = next(iter(self._lists))
            index.remove(oldest)
            del self._lists[oldest]

    def forget(self) -> None:
        """Free the index."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = self._index = None
        self._lists = {}


def _all(steps: Iterator[None]) -> None:
    for _ in steps:
        pass


def is_about_us(query: str, server: str = "") -> bool:
    """Return whether a query is about servers and tools themselves, for which the gateway has tools of its own."""
    return server == OWN_NAME or _ABOUT_US.search(query) is not None


def _own_last(hit: Hit) -> Hit:
    return _Hit(hit.item, hit.score * OWN_SHARE, hit.share) if hit.item.server == OWN_NAME else hit


def is_doubtful(hits: Sequence[Hit]) -> bool:
    """Return whether it is doubtful that any of the first hits is meant: they match few of the query's words."""
    share = max((each.share for each in hits[:LOOKED_AT]), default=1.0)
    return share < HALF or (share == HALF and hits[0].score < CLEAR)


def _best(index: Index, query: str, limit: int, keys: Iterable[str]) -> list[Hit]:
    hits = [hit for key in keys for hit in index.search(query, limit, key)]
    return sorted(hits, key=lambda hit: -hit.score)[:limit]


def own_item(tool: Tool) -> Item:
    """Return the list entry of one of the gateway's own tools."""
    return Item(OWN_NAME, ListKind.TOOL, tool.name, jsonrpc.decode(tool.definition))


@define(eq=False, repr=False)
class SearchParts:
    """The parts that the search tools use.

    :ivar shield: shortens a list of all tools.
    :ivar semantic: ranks tools by meaning; None where words rank alone.
    """

    directory: Directory
    finder: Finder
    sight: GatewayStatus
    own: Builtin
    news: ToolNews
    shield: Shield = unshielded
    semantic: SemanticSearch | None = None

    def id_of(self, item: Item, access: Access) -> str:
        """Return the id of a tool of a server's, or of the gateway's own."""
        if item.server == OWN_NAME:
            return UNDERSCORED + item.own
        return self.directory.id_of(item, access)

    def find(self, identifier: str, access: Access) -> Deferred[Item]:
        """Return the tool of an id, also one of the gateway's own."""
        tool = self.own.find(identifier)
        if tool is not None:
            found: Deferred[Item] = Deferred()
            found.callback(own_item(tool))
            return found
        return self.directory.find(identifier, access)

    def described(self, item: Item, access: Access) -> dict[str, Any]:
        """Return the answer of ``describe`` for a tool, with its server's instructions where they are on no list."""
        spec = next((each for each in access.specs() if each.name == item.server), None)
        said = self.directory.server_lists.instructions(spec) if spec and access.view.kind != "full" else ""
        more = {"serverInstructions": said[:INSTRUCTIONS_CHARACTERS]} if said else {}
        return described(item, self.id_of(item, access)) | more

    async def sought(self, access: Access, find: Callable[[Access], Deferred[T]]) -> tuple[Access, T]:
        """Find a tool and its caller, after a pending edit of the configuration if needed.

        :raise GatewayError: the tool is unknown.
        """
        try:
            return access, await find(access)
        except UnknownTool:
            now = await access.caught_up()
            if now is access:
                raise
        return now, await find(now)


@frozen
class SearchQuery:
    """The arguments of a search.

    :ivar is_whole: True for hits with all members, in S004's format.
    """

    query: str
    limit: int
    server: str
    is_whole: bool


@define(eq=False, repr=False)
class Search:
    """Finds tools by a description of a task."""

    means: SearchParts
    name: ClassVar[str] = "search"
    tier: ClassVar[str] = READ
    definition: ClassVar[bytes] = define_tool(
        "search",
        "Start here: find tools of all servers by what they do.",
        {
            "query": argument("English keywords"),
            "limit": argument("Hits, 10 by default", "integer"),
            "server": argument("Only its tools"),
            "format": argument("full: each hit with more members", enum=_FORMS),
        },
        ["query"],
        readOnlyHint=True,
    )

    def call(self, request: Request, given: Envelope, access: Access) -> None:
        """Answer with the best hits; with all tools, unranked, for an empty query."""
        query = arguments.text(given, "query")
        limit = arguments.whole(given, "limit", FOUND, 1, FOUND_MOST)
        server = arguments.text(given, "server", "backend")
        form = arguments.text(given, "format") or access.view.exposure.settings.search_format.value
        if form not in _FORMS:
            raise InvalidParams('"format" must be compact or full')
        asked = SearchQuery(query, limit, server, is_whole=form == SearchFormat.FULL.value)
        answers.later(self._search(request, access, asked), request)

    async def _search(self, request: Request, access: Access, asked: SearchQuery) -> None:
        query, limit, server = asked.query, asked.limit, asked.server
        access, missing = await (await access.caught_up()).settle(ListKind.TOOL)
        self.means.news.tell(request, access)
        doubt, specs = False, {each.name: each for each in access.specs()}
        if server and server not in specs and server != OWN_NAME:
            access.view.check_usable(server)
            raise InvalidParams(f"Unknown server: {server}", f"one of: {', '.join(specs)}")
        if query:
            found, doubt = await self._ranked(asked, access)
        else:
            found = [(each, 0.0) for each in self.means.directory.tools(access, server)[:limit]]
        answer: dict[str, Any] = {"query": query} if asked.is_whole else {}
        answer["found"] = len(found)
        if doubt:
            answer["note"] = "no good match; the nearest:"
        if asked.is_whole:
            connected = {name for name, each in specs.items() if self.means.sight.is_connected(each)}
            answer["connectedServers"] = sorted(connected)
            answer["results"] = [self._shown(item, score, connected, access) for item, score in found]
        else:
            answer["results"] = [compact(item, self.means.id_of(item, access)) for item, _ in found]
        if not found:
            answer["hint"] = (
                "search with other English keywords; without a query, a server's tools are listed"
            )
        if missing:
            answer["missing"] = missing
        answers.text(request, answer)

    async def _ranked(self, asked: SearchQuery, access: Access) -> tuple[list[tuple[Item, float]], bool]:
        # Returns the best hits with their scores, and whether it is doubtful that one is meant.
        lists = self.means.directory.lists(access)
        await self.means.finder.index(lists)
        hits = self.means.finder.search(asked.query, FOUND_MOST, lists, asked.server)
        hits = [each for each in hits if _is_admitted(each.item, access)]
        found, doubt = [(each.item, each.score) for each in hits], is_doubtful(hits[: asked.limit])
        is_on = access.view.exposure.settings.semantic_search is SemanticMode.AUTO
        if self.means.semantic is not None and is_on and not is_about_us(asked.query, asked.server):
            if asked.server:
                lists = {
                    key: each for key, each in lists.items() if key.partition(SEPARATOR)[0] == asked.server
                }
            near = await self.means.semantic.nearest(asked.query, lists)
            if near:
                found = fused([each.item for each in hits], [each.item for each in near])
                doubt = doubt and near[0].similarity < ALIKE
        return found[: asked.limit], doubt

    def _shown(self, item: Item, score: float, connected: set[str], access: Access) -> dict[str, Any]:
        return {
            "id": self.means.id_of(item, access),
            "name": item.own,
            "displayName": camel_case(item.own),
            "server": item.server,
            "connected": item.server in connected or item.server == OWN_NAME,
            "description": shortened(item.description),
            "fieldNames": field_names(item.input_schema),
            "tier": item.tier,
            "score": round(score, 2),
        }


@define(eq=False, repr=False)
class Describe:
    """Shows the complete description of a tool."""

    means: SearchParts
    name: ClassVar[str] = "describe"
    tier: ClassVar[str] = READ
    definition: ClassVar[bytes] = define_tool(
        "describe",
        "A tool's full description and argument schema.",
        {"id": argument("From a search")},
        ["id"],
        readOnlyHint=True,
    )

    def call(self, request: Request, given: Envelope, access: Access) -> None:
        """Answer with the tool of an id."""
        self.means.news.tell(request, access)
        identifier = arguments.needed(given, "id", "gateway_search finds the ids of tools")
        answers.later(self._show(request, access, identifier), request)

    async def _show(self, request: Request, access: Access, identifier: str) -> None:
        access, item = await self.means.sought(access, lambda each: self.means.find(identifier, each))
        answers.text(request, self.means.described(item, access))


def described(item: Item, identifier: str) -> dict[str, Any]:
    """Return the answer of ``describe`` for a tool; absent members are left out, except schemas."""
    members = {
        "id": identifier,
        "server": item.server,
        "name": item.own,
        "title": item.title,
        "description": item.description,
        "inputSchema": item.input_schema or Raw(b'{"type":"object"}'),
        "outputSchema": item.output_schema,
        "annotations": item.raw.get("annotations"),
        "execution": item.raw.get("execution"),
        "tier": item.tier,
    }
    always = ("outputSchema",)
    return {name: value for name, value in members.items() if name in always or value not in (None, "")}


@define(eq=False, repr=False)
class DescribeTool:
    """Describes a tool by its server and own name, under S001's name."""

    means: SearchParts
    name: ClassVar[str] = "describe_tool"
    tier: ClassVar[str] = READ
    definition: ClassVar[bytes] = define_tool(
        "describe_tool",
        "A tool's full description and argument schema.",
        {"server": argument("Its name; gateway for these tools"), "tool": argument("Its own name")},
        ["server", "tool"],
        readOnlyHint=True,
    )

    def call(self, request: Request, given: Envelope, access: Access) -> None:
        """Answer with a server's tool."""
        self.means.news.tell(request, access)
        server = arguments.needed(given, "server", "list_servers shows them")
        tool = arguments.needed(given, "tool", "list_tools shows them")
        answers.later(self._show(request, access, server, tool), request)

    async def _show(self, request: Request, access: Access, server: str, tool: str) -> None:
        find, own = self.means.directory.find_own, self.means.own.find(UNDERSCORED + tool)
        if own is not None and server == OWN_NAME:
            answers.text(request, self.means.described(own_item(own), access))
            return
        access, item = await self.means.sought(access, lambda each: find(server, tool, each))
        answers.text(request, self.means.described(item, access))


@define(eq=False, repr=False)
class ListTools:
    """Lists the tools of one server, or of all, in S003's format."""

    means: SearchParts
    name: ClassVar[str] = "list_tools"
    tier: ClassVar[str] = READ
    definition: ClassVar[bytes] = define_tool(
        "list_tools",
        "The tools of a server, or of all.",
        {
            "server": argument("Only this one's"),
            "format": argument("table: names without schemas", enum=["json", "table"]),
        },
        readOnlyHint=True,
    )

    def call(self, request: Request, given: Envelope, access: Access) -> None:
        """Answer with the tools by server; servers with unknown tools are asked."""
        server = arguments.text(given, "server", "backend")
        style = arguments.text(given, "format") or "json"
        if style not in ("json", "table"):
            raise InvalidParams('"format" must be json or table')
        level = arguments.level(given)
        answers.later(self._list(request, access, server, style, level), request)

    async def _list(self, request: Request, access: Access, server: str, style: str, level: Any) -> None:
        access = await access.caught_up()
        names = [each.name for each in access.specs()]
        if server and server not in names:
            access.view.check_usable(server)
            raise InvalidParams(f"Unknown server: {server}", f"one of: {', '.join(names)}")
        missing: Mapping[str, str] = {}
        if server:
            found = {server: list(await access.list(server, ListKind.TOOL))}
        else:
            access, missing = await access.settle(ListKind.TOOL)
            found = {name: [] for name in names}
            for item in self.means.directory.tools(access):
                found[item.server].append(item)
        self.means.news.tell(request, access)
        self.means.shield(request, None, level, access)
        self._answer(found, request, access, style, missing)

    def _answer(
        self,
        found: dict[str, list[Item]],
        request: Request,
        access: Access,
        style: str,
        missing: Mapping[str, str],
    ) -> None:
        note = [jsonrpc.raw({"type": "text", "text": not_all(missing)})] if missing else []
        if style == "table":
            rows = [
                [
                    self.means.id_of(item, access),
                    shortened(item.description),
                    " ".join(field_names(item.input_schema)),
                ]
                for items in found.values()
                for item in items
            ]
            answers.text(request, {"columns": ["id", "description", "fieldNames"], "rows": rows}, *note)
            return
        shown = {name: [self._shown(each, access) for each in items] for name, items in found.items()}
        answers.text(request, shown, *note)

    def _shown(self, item: Item, access: Access) -> dict[str, Any]:
        return {
            "name": item.own,
            "namespaced": self.means.id_of(item, access),
            "description": item.description,
            "inputSchema": item.input_schema or Raw(b'{"type":"object"}'),
        }


def _is_admitted(item: Item, access: Access) -> bool:
    return item.server != OWN_NAME or access.view.admits_own(item.own)


def not_found(why: Failure, request: Request) -> None:
    """Answer that a tool was not found, or its server could not be asked."""
    if not why.check(GatewayError):
        why.raiseException()
    answers.failed_by(request, reason(why))
