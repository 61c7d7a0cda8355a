"""The gateway's own tools: what one is, what it gets to know of its caller, and which of them a view lists.

A tool called ``search`` is listed as ``gateway_search``, and found as that, as ``gateway.search``, and, where a view
says so, by its bare name.  All views find all of them: a view only chooses what it lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import msgspec
from attrs import define, field, frozen
from msgspec import Raw
from twisted.internet.defer import Deferred

from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.listing import Exposure, ViewListing
from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.interfaces import Request
from mcpgateway.policy.permissions import TokenScope
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import Envelope

OWN_NAME = "gateway"  # the server that the gateway's own tools are shown to be of
UNDERSCORED = "gateway_"
_SPELLINGS = (UNDERSCORED, "gateway.", "gateway__", "gateway::", "gateway:", "gateway/")

READ, WRITE, RUN = "read", "write", "run"
"""What a tool does: it looks, it changes something of the gateway's, or it may have a new command run."""

SIX = ("search", "describe", "invoke", "invoke_async", "invoke_status", "get_result")
_LISTED: Mapping[str, tuple[str, ...]] = {
    "search": SIX,
    "hybrid": SIX,
    "full": ("invoke", "list_servers", "list_tools", "get_result"),
}
_BARE = (
    "list_servers",
    "list_all_servers",
    "get_server_config",
    "get_health",
    "list_tools",
    "describe_tool",
    "call",
    "list_catalog",
    "install_server",
    "manage_config",
    "docs",
)


class Tool(Protocol):
    """One of the gateway's own tools.

    :ivar name: its bare name, such as ``search``.
    :ivar definition: how it is listed, as the JSON of a tool of that bare name (`define_tool`).
    :ivar tier: `READ`, `WRITE` or `RUN`.
    """

    @property
    def name(self) -> str:
        """The name of the tool."""

    @property
    def definition(self) -> bytes:
        """The list entry of the tool, as JSON."""

    @property
    def tier(self) -> str:
        """``read``, ``write`` or ``run``."""

    def call(self, call: Request, arguments: Envelope, access: Access) -> None:
        """Answer the call's sink, now or later (`mcpgateway.owntools.answers`), or have the call redirected.

        :raise GatewayError: the call cannot be served; its answer is a failed result.
        """


class OwnToolView(Protocol):
    """The view that a tool is called on, as the tool knows it (`mcpgateway.views.view.View`).

    :ivar kind: ``full``, ``search``, ``hybrid``, ``meta`` or ``admin``.
    :ivar told: what a client's own child is told of it, by server.
    :ivar listing: what it offers, under which names.
    :ivar exposure: what decides that.
    :ivar others: the servers it is of that cannot be used now, for most of all those that are switched off.
    :ivar scope: what it is limited to for those who see it; None where they may use everything.
    """

    @property
    def kind(self) -> str:
        """Which view it is."""

    @property
    def told(self) -> Mapping[str, str]:
        """The kinds of clients' own children, by server."""

    @property
    def listing(self) -> ViewListing:
        """The contents of the view."""

    @property
    def exposure(self) -> Exposure:
        """The settings of the view."""

    @property
    def others(self) -> tuple[ServerSpec, ...]:
        """The servers it is of that it cannot show now."""

    def narrowed(self, server: ServerSpec, items: tuple[Item, ...]) -> tuple[Item, ...]:
        """Return the tools of a server that may be used on the view."""

    def admits_own(self, name: str) -> bool:
        """Return whether one of the gateway's own tools may be used on the view."""

    @property
    def scope(self) -> TokenScope | None:
        """The limits of the view's principal."""

    def find(self, name: str) -> Any:
        """Return the `Item`, the `More` or the `Tool` of a name, or None."""


class Access(Protocol):
    """The caller of an own tool, made for each call.

    :ivar principal: who calls.
    :ivar view: the view that is called on.
    :ivar session: the caller's session with the view; None in the modern era, which knows none.
    """

    @property
    def principal(self) -> str:
        """The principal of the caller."""

    @property
    def view(self) -> OwnToolView:
        """The view it is called through."""

    @property
    def session(self) -> Any:
        """The session of the caller; None without one."""

    def specs(self) -> tuple[ServerSpec, ...]:
        """The servers this caller may use."""

    def anew(self) -> Access:
        """Return the caller after a change of the configuration during the call."""

    def caught_up(self) -> Deferred[Access]:
        """Return the caller after pending edits of the configuration; the same object without any."""

    def settle(self, kind: ListKind) -> Deferred[tuple[Access, Mapping[str, str]]]:
        """Fires once its servers' lists of a kind are known, or were waited for long enough.

        It fires with the same caller, who may be shown something else now, and why each server is missing that is.
        """

    def within(self, cwd: str) -> Access:
        """Return the caller as if it worked in another directory.

        :raise GatewayError: the directory is not allowed.
        """

    def redirect(
        self,
        call: Request,
        target: tuple[str, str],
        arguments: Raw,
        *,
        limit_s: float,
        level: Any,
    ) -> None:
        """Let a call become that of a server's tool: its sink hears what becomes of it.

        :param target: the server and the tool's own name.
        :param limit_s: when it ends unanswered, whatever progress it makes; 0: never.
        :param level: how its result is shielded; None for what the view says.
        :raise GatewayError: it goes nowhere.
        """

    def begin(self, server: str, tool: str, arguments: Raw, sink: Any) -> Request:
        """Make a call of its own, which no client waits for; the sink hears everything.

        :raise GatewayError: it goes nowhere.
        """

    def cancel(self, call: Request, why: str) -> None:
        """Take a call back that was redirected or begun, and has not been answered; its sink may hear of that."""

    def list(self, server: str, kind: ListKind, *, is_look: bool = True) -> Deferred[tuple[Item, ...]]:
        """Return a list of a server, read from the server if needed.

        :param is_look: the request is no call, so a server that has just failed is not started for it.
        """

    def elicit(self, call: Request, params: dict[str, Any]) -> Deferred[dict[str, Any]]:
        """Ask the human at the caller's client.

        :raise QuestionRefused: (through the Deferred) the client has no elicitation.
        """


@frozen
class ListedTool:
    """A tool as a view lists it.

    :ivar name: the name that it is listed under.
    """

    name: str
    tool: Tool

    @property
    def definition(self) -> bytes:
        """The JSON of the listed tool."""
        members = jsonrpc.decode(self.tool.definition)
        return jsonrpc.encode({"name": jsonrpc.raw(self.name), **_without_name(members)})


def _without_name(members: Envelope) -> Envelope:
    return {name: value for name, value in members.items() if name != "name"}


def _by_name(tools: Iterable[Tool]) -> dict[str, Tool]:
    return {each.name: each for each in tools}


def _nobody(session: Any) -> None:
    """Ignore the notification."""


@define(eq=False)
class Builtin:
    """All of the gateway's own tools, in the order of their list.

    :ivar heard: to be told of a session that has just been given a list with all tools of its servers.
    """

    _tools: dict[str, Tool] = field(converter=_by_name)
    heard: Callable[[Any], None] = field(default=_nobody)

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    def add(self, tools: Iterable[Tool]) -> None:
        """Have more of them."""
        self._tools.update(_by_name(tools))

    def tools(self, kind_of_view: str, *, is_dotted: bool = False) -> tuple[ListedTool, ...]:
        """Return the own tools of a view: ``search``, ``hybrid``, ``full``, ``meta`` or ``admin``; others as full.

        :param is_dotted: in the spelling with dots.
        """
        prefix = f"{OWN_NAME}." if is_dotted else UNDERSCORED
        if kind_of_view == "meta":
            # What was cut from a result says how to get it, under the one name this has everywhere.
            return (*self._listed("", _BARE), *self._listed(prefix, ("get_result",)))
        names = self._tools if kind_of_view == "admin" else _LISTED.get(kind_of_view, _LISTED["full"])
        return self._listed(prefix, names)

    def _listed(self, prefix: str, names: Iterable[str]) -> tuple[ListedTool, ...]:
        return tuple(ListedTool(prefix + name, self._tools[name]) for name in names if name in self._tools)

    def find(self, name: str, kind_of_view: str = "") -> Tool | None:
        """The tool of a name as a client writes it; bare names are known where they are listed."""
        for prefix in _SPELLINGS:
            if name.startswith(prefix) and name[len(prefix) :] in self._tools:
                return self._tools[name[len(prefix) :]]
        return self._tools.get(name) if kind_of_view == "meta" and name in _BARE else None


def define_tool(
    name: str,
    description: str,
    properties: Mapping[str, Any],
    required: Iterable[str] = (),
    **annotations: bool,
) -> bytes:
    """The JSON of a tool.

    :param properties: the JSON schema of each argument.
    :param annotations: the hints of MCP, such as ``readOnlyHint``.
    """
    schema: dict[str, Any] = {"type": "object", "properties": dict(properties)}
    needed = list(required)
    if needed:
        schema["required"] = needed
    definition = {"name": name, "description": description, "inputSchema": schema}
    if annotations:
        definition["annotations"] = annotations
    return msgspec.json.encode(definition)
