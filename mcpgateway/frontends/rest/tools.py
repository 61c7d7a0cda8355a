"""Tools over plain HTTP, for scripts: listing, searching, describing and calling them, and reading all servers' lists.

A caller of a tool has the rights of that tool, so calls have the access class of changes: they need the token or the
Unix socket.  A client that disconnects cancels its call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from attrs import evolve, field, frozen
from msgspec import Raw
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import InvalidParams, NotThere
from mcpgateway.frontends.http.workspace_detection import claimed_place
from mcpgateway.frontends.rest.operation import OperationAnswer, OperationRequest, number
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.hub.owners.owners import Owners
from mcpgateway.manage.discovery import LIMIT_S, Discovery
from mcpgateway.manage.tool_offers import ToolOffers
from mcpgateway.manage.toolbox import Toolbox
from mcpgateway.policy.access import is_client
from mcpgateway.protocol import jsonrpc
from mcpgateway.system.workspaces import WorkingDirectory

CALL_S = 600.0  # the longest time limit of a call; clients disconnect earlier
FOUND, FOUND_MOST = 10, 50
WHOLE_NUMBERS = frozenset(("offset", "limit", "head", "tail", "context"))
FLAGS = frozenset(("shape", "raw"))
NO = ("false", "0")
LISTS = frozenset(("fields",))
MISSING = "Mcpgateway-Missing"
"""Names the servers that a list is without, because they have not said what they have."""


@frozen
class ToolCaller:
    """The caller of a tool route, and its working directory."""

    principal: str
    is_admin: bool
    _exchange: Any = field(repr=False)
    _dispatcher: LegacyDispatcher = field(repr=False)
    _owners: Owners = field(repr=False)

    def placed(self, server: ServerSpec) -> Deferred[ServerSpec]:
        """Return the variant of a server or view for the caller's workspace."""
        scopes = self._dispatcher.scopes
        if not scopes.is_placed(server):
            return succeed(server)
        if is_client(self.principal):
            return self._place().addCallback(lambda place: scopes.variant(server, place))
        # The gateway's own user may use the servers of all projects from any directory.
        placed = self._place().addCallback(lambda place: scopes.run_at(server, place))
        return placed.addCallback(lambda found: evolve(found, is_everywhere=True) if found.view else found)

    def own(self, name: str) -> Deferred[ServerSpec]:
        """Return the server of that name that the caller's workspace itself defines."""
        return self._place().addCallback(lambda place: self._dispatcher.scopes.own(name, place.root))

    def _place(self) -> Deferred[WorkingDirectory]:
        scopes, peer = self._dispatcher.scopes, self._exchange.caller
        claimed = claimed_place(self._exchange, self._owners)
        place = scopes.place(claimed, peer)
        looked = scopes.look_for(peer) if place is None else succeed(None)
        return looked.addCallback(lambda _: place or scopes.place(claimed, peer) or WorkingDirectory())


class ToolRoutes:
    """Finds, describes and calls tools."""

    def __init__(
        self,
        dispatcher: LegacyDispatcher,
        owners: Owners,
        clock: IReactorTime,
        offers: ToolOffers,
        where: Callable[[], Mapping[tuple[str, str], Sequence[str]]],
    ) -> None:
        self._where = where
        self._offers = offers
        self._dispatcher = dispatcher
        self._owners = owners
        self._toolbox = Toolbox(dispatcher, clock)
        self._discovery = Discovery(dispatcher, clock)

    async def listed(self, asked: OperationRequest) -> Any:
        """Return all tools, those of one server, or those that match a question."""
        query = asked.query
        caller, server = self._caller(asked), query.get("server", "")
        if "q" not in query:
            is_own = not is_client(asked.principal)
            if is_own and query.get("asked") in NO:
                where = self._where()
                known = self._offers.described(self._offers.rows(server), counts=True)
                return [
                    {**each, "input_schema": None, "listed_on": where.get((each["server"], each["tool"]), [])}
                    for each in known
                ]
            found = await self._toolbox.tools(caller, server)
            rows = found.tools
            if is_own and query.get("offered") in NO:
                rows = [*rows, *(each for each in self._offers.rows(server) if not each["offered"])]
            return OperationAnswer(
                value=self._offers.described(rows, counts=is_own),
                headers={MISSING: ", ".join(found.missing)} if found.missing else {},
            )
        return await self._toolbox.search(caller, query["q"], _limit(query), server)

    async def describe(self, asked: OperationRequest) -> Any:
        """Return the complete description of a tool."""
        if asked.query.get("asked") in NO and self._offers.find(asked.path["id"]) is None:
            raise NotThere("no known list has this tool", "without asked=false its server is asked")
        return await self._toolbox.describe(self._caller(asked), asked.path["id"])

    async def switch(self, asked: OperationRequest) -> Any:
        """Offer a tool or take it out of its server's offer, pin it or not."""
        return await self._switch(asked, [asked.path["id"]])

    async def switch_many(self, asked: OperationRequest) -> Any:
        """Offer several tools or take them out of their servers' offers, pin them or not."""
        try:
            named = msgspec.json.decode(asked.members(SWITCHED)["tools"], type=list[str])
        except (KeyError, msgspec.DecodeError):
            raise InvalidParams('"tools" must be a list of ids', SWITCHED) from None
        return await self._switch(asked, named)

    async def _switch(self, asked: OperationRequest, named: list[str]) -> Any:
        members = asked.members(SWITCHED)
        wanted = {key: _flag(key, members[key]) for key in ("offered", "pinned") if key in members}
        if not wanted:
            raise InvalidParams('"offered" or "pinned" is missing', SWITCHED)
        tools = [self._offers.find(each) or await self._described(asked, each) for each in named]
        answer: dict[str, Any] = dict(wanted)
        if "offered" in wanted:
            answer["tools_off"] = self._offers.switch(tools, offered=wanted["offered"])
        if "pinned" in wanted:
            answer["pinned_tools"] = self._offers.pin(tools, pinned=wanted["pinned"])
        return answer

    async def _described(self, asked: OperationRequest, identifier: str) -> tuple[str, str]:
        found = await self._toolbox.describe(self._caller(asked), identifier)
        return found["server"], found["name"]

    async def call_by_id(self, asked: OperationRequest) -> Any:
        """Call a tool by its id."""
        wanted = _wanted(asked)
        return await self._toolbox.call_by_id(
            self._caller(asked), asked.path["id"], wanted.arguments, wanted.limit_s
        )

    async def call(self, asked: OperationRequest) -> Any:
        """Call a tool of a server by its own name."""
        wanted = _wanted(asked)
        if not wanted.tool:
            raise InvalidParams('"tool" is missing', EXPECTED)
        return await self._toolbox.call(
            self._caller(asked), asked.path["name"], wanted.tool, wanted.arguments, wanted.limit_s
        )

    async def result(self, asked: OperationRequest) -> Any:
        """Return a part of a result that was shortened."""
        return await self._toolbox.result(self._caller(asked), asked.path["ref"], _part(asked.query))

    async def discovered(self, _: OperationRequest) -> Any:
        """Return the progress of the discovery, or the result of the last one."""
        return self._discovery.shown()

    async def discover(self, asked: OperationRequest) -> Any:
        """Read the lists of servers; a request during a discovery gets the progress of the running one."""
        members = asked.members(EXPECTED)
        servers, limit_s = self._named(members), _seconds(members, LIMIT_S)
        if not self._discovery.is_running:
            self._discovery.begin(servers, limit_s)
        return OperationAnswer(202, self._discovery.shown())

    def _named(self, members: Mapping[str, Raw]) -> list[ServerSpec]:
        known = self._dispatcher.servers
        try:
            names = msgspec.json.decode(members["servers"], type=list[str]) if "servers" in members else []
        except msgspec.DecodeError:
            raise InvalidParams('"servers" must be a list of names') from None
        chosen = [self._toolbox.server(each) for each in dict.fromkeys(names)]
        return chosen or [each for each in known.values() if each.enabled]

    def _caller(self, asked: OperationRequest) -> ToolCaller:
        return ToolCaller(asked.principal, asked.is_admin, asked.exchange, self._dispatcher, self._owners)


SWITCHED = 'such as {"tools": ["notes__clear"], "offered": false}'
EXPECTED = 'such as {"tool": "read_file", "arguments": {"path": "notes.txt"}}'


@frozen
class CallBody:
    """The body of a call.

    :ivar tool: the tool's own name; empty if the path has it.
    """

    tool: str
    arguments: Raw = field(repr=False)
    limit_s: float


def _wanted(asked: OperationRequest) -> CallBody:
    members = asked.members(EXPECTED)
    arguments = next((members[name] for name in ("arguments", "args") if name in members), jsonrpc.EMPTY)
    if arguments == jsonrpc.NULL:
        arguments = jsonrpc.EMPTY
    if not bytes(arguments).startswith(b"{"):
        raise InvalidParams('"arguments" must be an object', EXPECTED)
    try:
        tool = msgspec.json.decode(members["tool"], type=str) if "tool" in members else ""
    except msgspec.DecodeError:
        raise InvalidParams('"tool" must be a string', EXPECTED) from None
    return CallBody(tool, arguments, _seconds(members, CALL_S))


def _flag(key: str, raw: Raw) -> bool:
    if bytes(raw) not in (b"true", b"false"):
        raise InvalidParams(f'"{key}" must be true or false', SWITCHED)
    return bytes(raw) == b"true"


def _seconds(members: Mapping[str, Raw], most: float) -> float:
    raw = next((members[name] for name in ("timeout_ms", "timeoutMs") if name in members), None)
    if raw is None:
        return most
    found = jsonrpc.integer(raw)
    if found is None or found < 1:
        raise InvalidParams('"timeout_ms" must be a whole number of milliseconds')
    return min(found / 1000, CALL_S)


def _limit(query: Mapping[str, str]) -> int:
    return max(1, min(number("limit", query.get("limit", str(FOUND))), FOUND_MOST))


def _part(query: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments of ``get_result`` from a query, whose values are texts."""
    made: dict[str, Any] = {}
    for name, text in query.items():
        if name in WHOLE_NUMBERS:
            made[name] = number(name, text)
        elif name in FLAGS:
            made[name] = text not in ("0", "false")
        elif name in LISTS:
            made[name] = [each for each in text.split(",") if each]
        else:
            made[name] = text
    return made
