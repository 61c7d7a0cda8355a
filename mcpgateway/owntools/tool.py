"""The gateway's own tools: their interface, the interface of their caller, and the selection in each view.

A tool called ``search`` is listed as ``gateway_search``, and found as that, as ``gateway.search``, and, if the view
says so, by its bare name.  All views find all own tools: a view only selects the listed ones.

# Note [Short forms]
A model reads the list of tools with every conversation.  All views but the admin one list an own tool with the first
sentence of each description, and without its rarely used arguments, which it takes all the same; ``describe`` shows the
whole definition.  The many tools of the meta view are listed without descriptions of their arguments, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, Protocol

import msgspec
from attrs import define, field, frozen
from msgspec import Raw
from twisted.internet.defer import Deferred

from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.compression import first_sentence
from mcpgateway.discovery.listing import Exposure, ViewListing
from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.interfaces import Request
from mcpgateway.policy.permissions import TokenScope
from mcpgateway.protocol.jsonrpc import Envelope

OWN_NAME = "gateway"  # the server name under which the gateway's own tools are shown
UNDERSCORED = "gateway_"
_SPELLINGS = (UNDERSCORED, "gateway.", "gateway__", "gateway::", "gateway:", "gateway/")

READ, WRITE, RUN = "read", "write", "run"
"""The effect of a tool: it reads, it changes state of the gateway, or it may run a new command."""

SIX = ("search", "describe", "invoke", "invoke_async", "invoke_status", "get_result")
_RARE: Mapping[str, frozenset[str]] = {
    "search": frozenset(("format",)),
    "invoke": frozenset(("timeoutMs",)),
    "invoke_async": frozenset(("priority",)),
    "invoke_status": frozenset(("cancel",)),
    "get_result": frozenset("fields search context head tail shape aggregate raw format".split()),
    "get_server_config": frozenset(("cwd",)),
    "list_tools": frozenset(("format",)),
    "install_server": frozenset(("name", "args", "prefer")),
    "manage_config": frozenset(("env", "headers", "names", "new_name")),
}
"""Arguments that only the description of a tool and the admin view show; see Note [Short forms]."""
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
    :ivar definition: its list entry, as the JSON of a tool of that bare name (`define_tool`).
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

    def call(self, request: Request, arguments: Envelope, access: Access) -> None:
        """Answer the call's sink, now or later (`mcpgateway.owntools.answers`), or have the call redirected.

        :raise GatewayError: the call cannot be served; its answer is a failed result.
        """


class OwnToolView(Protocol):
    """The view of a call, in the form that a tool uses (`mcpgateway.views.view.View`).

    :ivar kind: ``full``, ``search``, ``hybrid``, ``meta`` or ``admin``.
    :ivar handshakes: the handshakes of the client's own children, by server.
    :ivar listing: its tools, by their names on the view.
    :ivar exposure: the settings of the selection.
    :ivar others: its servers that cannot be used now, mostly those that are switched off.
    :ivar scope: the limits of its principal; None for none.
    """

    @property
    def kind(self) -> str:
        """The kind of the view."""

    @property
    def handshakes(self) -> Mapping[str, str]:
        """The kinds of clients' own children, by server."""

    @property
    def listing(self) -> ViewListing:
        """The contents of the view."""

    @property
    def exposure(self) -> Exposure:
        """The settings of the view."""

    @property
    def others(self) -> tuple[ServerSpec, ...]:
        """The servers of the view that it cannot show now."""

    def narrowed(self, server: ServerSpec, items: tuple[Item, ...]) -> tuple[Item, ...]:
        """Return the tools of a server that may be used on the view."""

    def check_off(self, name: str) -> None:
        """Check that an unknown name is not one of a tool that is off, or of a server that cannot be used."""

    def check_usable(self, name: str) -> None:
        """Check that a name is not one of a server that is known and cannot be used now."""

    def admits_own(self, name: str) -> bool:
        """Return whether one of the gateway's own tools may be used on the view."""

    @property
    def scope(self) -> TokenScope | None:
        """The limits of the view's principal."""

    def find(self, name: str) -> Any:
        """Return the `Item`, the `More` or the `Tool` of a name, or None."""


class Access(Protocol):
    """The caller of an own tool, made for each call.

    :ivar principal: the caller's principal.
    :ivar view: the view of the call.
    :ivar session: the caller's session with the view; None in the modern era, which has none.
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
        """Return the servers that the caller may use."""

    def rebuilt(self) -> Access:
        """Return the caller after a change of the configuration during the call."""

    def caught_up(self) -> Deferred[Access]:
        """Return the caller after pending edits of the configuration; the same object without any."""

    def settle(self, kind: ListKind) -> Deferred[tuple[Access, Mapping[str, str]]]:
        """Wait until the servers' lists of a kind are known, or for long enough.

        Fires with the caller, whose view may have changed, and the reason for each missing server.
        """

    def within(self, cwd: str) -> Access:
        """Return the caller as if it worked in another directory.

        :raise GatewayError: the directory is not allowed.
        """

    def redirect(
        self, request: Request, target: tuple[str, str], arguments: Raw, *, limit_s: float, level: Any
    ) -> None:
        """Redirect a call to a server's tool, whose answer goes to the call's sink.

        :param target: the server and the tool's own name.
        :param limit_s: timeout of the whole call, which progress does not extend; 0 for none.
        :param level: level of shortening of its result; None for the view's level.
        :raise GatewayError: the target is unknown or cannot be used.
        """

    def begin(self, server: str, tool: str, arguments: Raw, sink: Any) -> Request:
        """Begin a call of the tool's own, for which no client waits; all its messages go to the sink.

        :raise GatewayError: the target is unknown or cannot be used.
        """

    def cancel(self, request: Request, why: str) -> None:
        """Cancel a call that was redirected or begun, and is unanswered; its sink may be called with the error."""

    def list(self, server: str, kind: ListKind, *, is_look: bool = True) -> Deferred[tuple[Item, ...]]:
        """Return a list of a server, read from the server if needed.

        :param is_look: the request is no call, so a server that has just failed is not started for it.
        """

    def elicit(self, request: Request, params: dict[str, Any]) -> Deferred[dict[str, Any]]:
        """Ask the human at the caller's client.

        :raise QuestionRefused: (through the Deferred) the client has no elicitation.
        """


class ListedForm(Enum):
    """The amount of an own tool's definition that a view lists; see Note [Short forms]."""

    WHOLE = "whole"
    SHORT = "short"
    BARE = "bare"


@frozen
class ListedTool:
    """A tool as a view lists it.

    :ivar name: the name that it is listed under.
    :ivar form: how much of its definition is listed.
    """

    name: str
    tool: Tool
    form: ListedForm

    @property
    def definition(self) -> bytes:
        """The JSON of the listed tool."""
        members: dict[str, Any] = msgspec.json.decode(self.tool.definition)
        if self.form is not ListedForm.WHOLE:
            members["description"] = first_sentence(members["description"])
            rare, properties = _RARE.get(self.tool.name, ()), members["inputSchema"]["properties"]
            members["inputSchema"]["properties"] = {
                name: self._short(each) for name, each in properties.items() if name not in rare
            }
        return msgspec.json.encode(members | {"name": self.name})

    def _short(self, schema: dict[str, Any]) -> dict[str, Any]:
        members = {name: value for name, value in schema.items() if name != "description"}
        if self.form is ListedForm.SHORT:
            members["description"] = first_sentence(schema["description"])
        return members


def _by_name(tools: Iterable[Tool]) -> dict[str, Tool]:
    return {each.name: each for each in tools}


def _nobody(session: Any) -> None:
    """Ignore the notification."""


@define(eq=False, repr=False)
class Builtin:
    """All of the gateway's own tools, in the order of their list.

    :ivar list_seen: called with a session that has just got a list with all tools of its servers.
    """

    _tools: dict[str, Tool] = field(converter=_by_name)
    list_seen: Callable[[Any], None] = field(default=_nobody)

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    def add(self, tools: Iterable[Tool]) -> None:
        """Add tools."""
        self._tools.update(_by_name(tools))

    def tools(self, kind_of_view: str, *, is_dotted: bool = False) -> tuple[ListedTool, ...]:
        """Return the own tools of a view: ``search``, ``hybrid``, ``full``, ``meta`` or ``admin``; others as full.

        :param is_dotted: True for the spelling with dots.
        """
        prefix = f"{OWN_NAME}." if is_dotted else UNDERSCORED
        if kind_of_view == "meta":
            # A shortened result names the tool for its rest, which has this one name everywhere.
            bare = ListedForm.BARE
            return (*self._listed("", _BARE, bare), *self._listed(prefix, ("get_result",), bare))
        if kind_of_view == "admin":
            return self._listed(prefix, self._tools, ListedForm.WHOLE)
        return self._listed(prefix, _LISTED.get(kind_of_view, _LISTED["full"]), ListedForm.SHORT)

    def _listed(self, prefix: str, names: Iterable[str], form: ListedForm) -> tuple[ListedTool, ...]:
        found = self._tools
        return tuple(ListedTool(prefix + name, found[name], form) for name in names if name in found)

    def find(self, name: str, kind_of_view: str = "") -> Tool | None:
        """Return the tool of a name as a client writes it; bare names are found only where they are listed."""
        for prefix in _SPELLINGS:
            if name.startswith(prefix) and name[len(prefix) :] in self._tools:
                return self._tools[name[len(prefix) :]]
        return self._tools.get(name) if kind_of_view == "meta" and name in _BARE else None


def argument(about: str, kind: str = "string", **more: Any) -> dict[str, Any]:
    """Return the JSON schema of an argument.

    :param about: its description, in few words.
    """
    return {"type": kind, "description": about, **more}


def define_tool(
    name: str,
    description: str,
    properties: Mapping[str, Any],
    required: Iterable[str] = (),
    **annotations: bool,
) -> bytes:
    """Return the JSON of a tool.

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
