"""All servers' tools for callers that are no MCP clients: search, describe and call, through the view of all servers.

Each request goes through an `InternalClient`, so the caller is treated as a client: the same scopes, shared children
and stored results.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol, TypeVar

import msgspec
from attrs import define, field, frozen
from msgspec import Raw
from twisted.internet import defer
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.discovery.naming import did_you_mean, read_id
from mcpgateway.discovery.records import ListKind
from mcpgateway.errors import (
    BackendError,
    BackendTimeout,
    Conflict,
    GatewayError,
    InvalidParams,
    NotThere,
    ToolOff,
    UnknownServer,
)
from mcpgateway.hints import cli
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.manage.internal_client import InternalClient, RefusedRequest
from mcpgateway.observe.roster import named
from mcpgateway.policy.permissions import is_off
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.units import duration

FULL = ServerSpec("mcp/full", (), {}, "/", share=Share.GLOBAL, view="full")
OWN = "gateway"
"""The server that the gateway's own tools are shown to be of."""

COMMANDS = {
    "search": cli("tools search"),
    "describe": cli("tools describe"),
    "invoke": cli("tools call"),
    "list_tools": cli("tools list"),
    "list_servers": cli("status"),
}
_TOLD = re.compile(rf"\b{OWN}_(\w+)(?= (?:finds|shows|names|answers)\b)")  # otherwise it is an id

FOUND_MOST = 50  # by one search
LISTING_S = 30.0  # time for servers whose tools are unknown; each is given ten


T = TypeVar("T")
Work = Callable[["InternalClient"], Coroutine[Any, Any, T]]


class ToolboxCaller(Protocol):
    """The caller of a tool.

    :ivar principal: the caller's name.
    :ivar is_admin: True if the caller is an administrator.
    """

    @property
    def principal(self) -> str:
        """The caller's name."""

    @property
    def is_admin(self) -> bool:
        """True if the caller is an administrator."""

    def placed(self, server: ServerSpec) -> Deferred[ServerSpec]:
        """Return the variant of a server or view for the caller's workspace.

        :raise GatewayError: (through the Deferred) the workspace has none.
        """

    def own(self, name: str) -> Deferred[ServerSpec]:
        """Return the server of that name that the caller's workspace itself defines.

        :raise GatewayError: (through the Deferred) it defines none, or the server may not run.
        """


@frozen
class ToolList:
    """A list of tools.

    :ivar missing: the servers whose tools it lacks, with the reasons.
    """

    tools: list[dict[str, Any]]
    missing: Mapping[str, str]


class OwnToolFailed(BackendError):
    """One of the gateway's own tools has failed; the message says why."""


@define(eq=False, repr=False)
class Toolbox:
    """Lists, describes and calls tools."""

    _dispatcher: LegacyDispatcher = field(repr=False)
    _clock: IReactorTime = field(repr=False)

    async def tools(self, caller: ToolboxCaller, server: str = "") -> ToolList:
        """Return all tools, or those of one server; servers with unknown tools are asked.

        :raise GatewayError: the server is unknown, switched off, or could not be asked.
        """
        await self._check_listed(server, caller)

        async def listed(visit: InternalClient) -> ToolList:
            """Return the tools, and the missing servers."""
            found = await self._listed(visit, server)
            views = self._dispatcher.view_sessions
            return ToolList(found, views.missing(visit.session, ListKind.TOOL) if not server else {})

        return await self._visit(FULL, caller, LISTING_S, listed)

    async def _listed(self, visit: InternalClient, server: str) -> list[dict[str, Any]]:
        whole = {"shield": "off"}  # a program reads the result
        found = await self._own(visit, "list_tools", {"server": server, **whole} if server else whole)
        return [
            {
                "name": each["namespaced"],
                "tool": each["name"],
                "description": each["description"],
                "server": name,
                "input_schema": each["inputSchema"],
            }
            for name, tools in found.items()
            for each in tools
        ]

    async def search(
        self, caller: ToolboxCaller, query: str, limit: int, server: str = ""
    ) -> list[dict[str, Any]]:
        """Search tools by a description of a task; the best first, each with its score.

        :raise GatewayError: the server is unknown, switched off, or the search failed.
        """
        await self._check_listed(server, caller)
        # The search also finds the gateway's own tools, which are left out here.
        asked: dict[str, Any] = {
            "query": query,
            "limit": FOUND_MOST,
            "format": "full",
            **({"server": server} if server else {}),
        }

        async def found(visit: InternalClient) -> list[dict[str, Any]]:
            """Search, and look up the hits."""
            hits = (await self._own(visit, "search", asked))["results"]
            known = {each["name"]: each for each in await self._listed(visit, "")}
            fitting = [hit for hit in hits if hit["id"] in known][:limit]
            return [{**known[hit["id"]], "score": hit["score"]} for hit in fitting]

        return await self._visit(FULL, caller, LISTING_S, found)

    async def describe(self, caller: ToolboxCaller, identifier: str) -> Any:
        """Return the complete description of a tool.

        :raise NotThere: no tool has that id.
        """
        return await self._visit(FULL, caller, LISTING_S, lambda visit: self._described(visit, identifier))

    async def _described(self, visit: InternalClient, identifier: str) -> Any:
        try:
            return await self._own(visit, "describe", {"id": identifier})
        except OwnToolFailed as why:
            raise NotThere(why.message, why.hint, why.data) from None

    async def result(self, caller: ToolboxCaller, ref: str, query: Mapping[str, Any]) -> Any:
        """Return a part of a stored result.

        :raise NotThere: this caller has no result of that reference.
        :raise InvalidParams: the part is malformed.
        """

        async def fetch(visit: InternalClient) -> Any:
            """Request the part."""
            try:
                return await self._own(visit, "get_result", {**query, "ref": ref})
            except OwnToolFailed as why:
                is_unknown = "not found" in why.message
                error = NotThere if is_unknown else InvalidParams
                raise error(why.message, why.hint) from None

        return await self._visit(FULL, caller, LISTING_S, fetch)

    async def call(
        self, caller: ToolboxCaller, server: str, tool: str, arguments: Raw, limit_s: float
    ) -> Raw:
        """Call a tool of a server by its own name; return the server's result unchanged.

        :param limit_s: time limit of the call.
        :raise GatewayError: the server or tool is unknown, or has not answered in time.
        """
        spec = await self._served(caller, server)
        if is_off(spec.tools_off, tool):
            raise ToolOff(server, tool)
        params = {"name": tool, "arguments": arguments}

        async def called(visit: InternalClient) -> Raw:
            """Call the tool."""
            return await self._called(visit, params)

        return await self._visit(spec, caller, limit_s, called)

    async def call_by_id(self, caller: ToolboxCaller, identifier: str, arguments: Raw, limit_s: float) -> Raw:
        """Call a tool by its id, in any spelling.

        :raise GatewayError: the tool is unknown, or has not answered in time.
        """
        server, tool = self._never_listed(identifier) or ("", "")
        if not server:
            found = await self.describe(caller, identifier)
            server, tool = found["server"], found["name"]
        if server != OWN:
            return await self.call(caller, server, tool, arguments, limit_s)
        params = {"name": f"{OWN}_{tool}", "arguments": arguments}

        async def called(visit: InternalClient) -> Raw:
            """Call the tool."""
            return await visit.ask("tools/call", params)

        return await self._visit(FULL, caller, limit_s, called)

    def _never_listed(self, identifier: str) -> tuple[str, str] | None:
        # The tools of such a server are unknown, and searching them does not start one that has just failed.
        known, server_lists = self._dispatcher.servers, self._dispatcher.view_sessions.server_lists
        for server, tool in read_id(identifier):
            if server in known and server_lists.tools(known[server]) is None:
                return server, tool
        return None

    async def _called(self, visit: InternalClient, params: Mapping[str, Any]) -> Raw:
        try:
            result = await visit.ask("tools/call", params)
        except RefusedRequest as why:
            await self._check(visit, params["name"])
            error = InvalidParams if why.number == InvalidParams.code else BackendError
            raise error(why.message, why.hint) from None
        if is_error(result):
            await self._check(visit, params["name"])
        return result

    async def _check(self, visit: InternalClient, tool: str) -> None:
        """Check that the tool exists, since servers report an unknown one in different ways."""
        try:
            entries = await visit.list("tools/list", "tools")
        except GatewayError:
            return
        names = [peek.text(peek.members({"tool": each}, "tool"), "name") or "" for each in entries]
        if tool not in names:
            near = did_you_mean(tool, names)
            server = visit.session.server.name
            meant = f"did you mean {' or '.join(near)}?" if near else cli("tools list --server {}", server)
            raise NotThere(f"{server} has no tool {tool}", meant, {"did_you_mean": near})

    async def _served(self, caller: ToolboxCaller, name: str) -> ServerSpec:
        await self._catch_up(name)
        if name not in self._dispatcher.servers:
            try:
                return await caller.own(name)
            except UnknownServer:
                pass  # reported below, with a hint
        return self.server(name, caller)

    def server(self, name: str, caller: ToolboxCaller | None = None) -> ServerSpec:
        """Return the server of that name.

        :param caller: None: all servers may be used.
        :raise UnknownServer: the caller may use no server of that name.
        """
        known = self._dispatcher.servers
        if caller is not None and (scope := self._dispatcher.permits.of(caller.principal)) is not None:
            # The caller's directory is checked at the call; until then errors do not name projects' servers.
            known = {
                each: spec
                for each, spec in known.items()
                if scope.admits_server(each) and (each == name or not spec.project)
            }
        return named(known, name)

    async def _catch_up(self, name: str) -> None:
        # The server may have been added a moment ago.
        if name not in self._dispatcher.servers:
            await self._dispatcher.view_sessions.catch_up()

    async def _check_listed(self, name: str, caller: ToolboxCaller) -> None:
        # Views leave out disabled servers; the error for one that is named says that it is disabled, not unknown.
        if name:
            await self._catch_up(name)
        if not name:
            return
        server = self.server(name, caller)
        if server.project:
            await caller.placed(server)
        if not self._dispatcher.view_sessions.is_on(server):
            raise Conflict(f"{name} is disabled", cli("servers enable {}", name))

    async def _own(self, visit: InternalClient, tool: str, arguments: Mapping[str, Any]) -> Any:
        """Call one of the gateway's own tools, and return the JSON of its text."""
        params = {"name": f"{OWN}_{tool}", "arguments": arguments}
        result = await visit.ask("tools/call", params, counts=False)
        value = _json_of(result)
        if is_error(result):
            members = value if isinstance(value, dict) else {}
            message, hint = members.pop("error", f"{tool} has failed"), members.pop("hint", "")
            raise OwnToolFailed(str(message), in_shell(str(hint)), members or None)
        return value

    async def _visit(self, spec: ServerSpec, caller: ToolboxCaller, limit_s: float, work: Work[T]) -> T:
        visited = ensureDeferred(self._visited(spec, caller, work))
        visited.addTimeout(limit_s, self._clock)
        try:
            return await visited
        except defer.TimeoutError:
            name = "the gateway" if spec.view else spec.name
            raise BackendTimeout(f"{name} did not answer within {duration(limit_s)}") from None

    async def _visited(self, spec: ServerSpec, caller: ToolboxCaller, work: Work[T]) -> T:
        if spec.view:
            spec = self._dispatcher.current(spec)
        placed, is_admin = await caller.placed(spec), caller.is_admin
        visit = await InternalClient.begin(self._dispatcher, placed, caller.principal, is_admin=is_admin)
        try:
            return await work(visit)
        finally:
            visit.end("it was for one request")


def in_shell(hint: str) -> str:
    """Translate a hint that names one of the gateway's own tools into one that names a command."""
    return _TOLD.sub(lambda found: COMMANDS.get(found[1]) or cli("tools call {}", found[0]), hint)


def is_error(result: Raw) -> bool:
    """Return whether the result of a call reports a failure."""
    return bytes(_members(result).get("isError", b"")) == b"true"


def _members(result: Raw) -> Envelope:
    return peek.members({"result": result}, "result")


def _json_of(result: Raw) -> Any:
    try:
        content = jsonrpc.read_list(_members(result)["content"], "content")
        text = peek.text(peek.members({"text": content[0]}, "text"), "text", len(bytes(result)))
        return msgspec.json.decode(text or "null")
    except (KeyError, IndexError, msgspec.DecodeError, GatewayError):
        return None
