"""The tools that call other tools at once: the call is redirected to the tool, and its result is passed unchanged."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, ClassVar

from attrs import define, field
from msgspec import Raw
from twisted.internet.defer import Deferred, maybeDeferred, succeed

from mcpgateway.discovery.listing import More
from mcpgateway.discovery.records import Item
from mcpgateway.errors import (
    Cancelled,
    ClientGone,
    GatewayError,
    InvalidParams,
    NeedsApproval,
    NeedsAuthorization,
    NeedsLogin,
    OutOfScope,
    ShuttingDown,
    SwitchedOff,
    UnknownSession,
)
from mcpgateway.hub.filters import SinkFilter
from mcpgateway.interfaces import Request
from mcpgateway.owntools import answers, arguments
from mcpgateway.owntools.arguments import ArgumentErrors
from mcpgateway.owntools.deadline import Deadline, seconds_of
from mcpgateway.owntools.search import SearchParts
from mcpgateway.owntools.tool import RUN, Access, Tool, argument, define_tool
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope

QUIET_S, WHOLE_S = 60.0, 600.0  # timeouts of a call without progress, and of any call
SHOWN_CHARACTERS = 200
CALLERS = frozenset(("invoke", "invoke_async", "call"))  # tools that cannot call themselves
_OURS = (Cancelled, ClientGone, ShuttingDown, UnknownSession)
"""The errors that come from the caller or the gateway, and say nothing about the tool."""

_HINTS: dict[type[GatewayError], str] = {
    SwitchedOff: "gateway_list_servers shows how the servers are",
    NeedsApproval: "ask the user to approve the server",
    NeedsAuthorization: "ask the user to authorize the server",
}


@define(eq=False, repr=False)
class CallTarget:
    """The tool that a call is for.

    :ivar identifier: its id, for messages.
    :ivar item: its entry in the server's list.
    :ivar given: the arguments for it.
    """

    identifier: str
    item: Item
    given: Raw = field(repr=False)

    @property
    def flaws(self) -> ArgumentErrors:
        """Return the faults of the arguments by the schema."""
        return arguments.flaws(self.given, self.item.input_schema)


class TimedCall(SinkFilter):
    """Limits the time of a redirected call, and turns an error into a failed result.

    :ivar access: cancels the call when its time is over.
    """

    target: CallTarget
    access: Access
    request: Request
    quiet_s: float
    is_over: bool = False
    deadline: Deadline | None = None

    def begin(self, clock: Any) -> None:
        """Start the timeout."""
        self.deadline = Deadline(clock, self.quiet_s, WHOLE_S, self._too_late)

    def end(self) -> None:
        """Stop the timeout: the call has ended."""
        self.is_over = True
        if self.deadline is not None:
            self.deadline.stop()

    def answered(self, request: Request, reply: Envelope) -> None:
        """Pass the server's response on; a protocol error becomes a failed result."""
        if self.is_over:
            return
        self.end()
        request.sink = self.sink
        if "error" in reply:
            self._refused(request, reply["error"])
            return
        flaws = self.target.flaws if answers.is_failed(reply) else None
        self.sink.answered(request, answers.with_note(reply, f"hint: {flaws}") if flaws else reply)

    def failed(self, request: Request, why: GatewayError) -> None:
        """Answer with a failed result in the server's place."""
        if self.is_over:
            return
        self.end()
        request.sink = self.sink
        if isinstance(why, _OURS) or (self.request.sends_user and isinstance(why, NeedsLogin)):
            self.sink.failed(request, why)
        else:
            answers.failed(
                request, why.message, why.hint or _HINTS.get(type(why), why.remedy), **(why.data or {})
            )

    def progressed(self, request: Request, message: bytes) -> None:
        """Pass progress on, and restart the timeout."""
        if self.deadline is not None:
            self.deadline.progressed()
        self.sink.progressed(request, message)

    def _refused(self, request: Request, error: Raw) -> None:
        members = peek.members({"error": error}, "error")
        message = peek.text(members, "message", jsonrpc.URI_LIMIT) or "the server has refused the call"
        flaws = self.target.flaws
        hint = str(flaws) if flaws else f"gateway_describe shows what {self.target.identifier} takes"
        answers.failed(request, message, hint, code=jsonrpc.integer(members.get("code")))

    def _too_late(self) -> None:
        self.end()
        call, waited_ms = self.request, round(self.quiet_s * 1000)
        self.access.cancel(call, f"it took longer than {waited_ms} ms")
        call.sink = self.sink
        answers.failed(
            call,
            f"TIMEOUT: Tool {self.target.identifier} exceeded {waited_ms}ms",
            "raise timeoutMs, or use gateway_invoke_async for what takes long; it may have had effects",
        )


@define(eq=False, repr=False)
class CallRedirection:
    """Redirects calls to tools.

    :ivar means: the search for tools.
    :ivar clock: clock of time limits.
    """

    means: SearchParts
    clock: Any

    def target(self, given: Envelope, access: Access) -> Deferred[CallTarget | Tool]:
        """Return the tool that a call names, of a server or the gateway's own, by an id or by a server and a name.

        :raise GatewayError: (also through the Deferred) the tool is unknown, or the arguments are malformed.
        """
        inner = arguments.given(given, "args", "arguments")
        server = arguments.text(given, "backend", "server")
        name = arguments.text(given, "tool")
        identifier = arguments.text(given, "id")
        if not (identifier or name):
            raise InvalidParams('"id" is missing', "gateway_search finds the ids of tools")
        is_pair = bool(server and name)
        called = f"{server}__{name}" if is_pair else identifier or name
        own = self.means.own.find(called)
        if own is not None:
            if not access.view.admits_own(own.name):
                raise OutOfScope(f"this token may not call gateway_{own.name}", "it is for using servers")
            if own.name in CALLERS:
                raise InvalidParams(
                    f"gateway_{own.name} cannot be called through itself", "name the tool itself"
                )
            return succeed(own)
        directory = self.means.directory
        more = access.view.find(called)
        if isinstance(more, More):
            item, inner = more.choose(jsonrpc.read_object(inner, "args"))
            return succeed(CallTarget(self.means.id_of(item, access), item, inner))
        found = (
            directory.find_own(server, name, access)
            if is_pair
            else directory.find(identifier or name, access, is_look=False)
        )
        return found.addCallback(lambda item: CallTarget(self.means.id_of(item, access), item, inner))

    def invoke(self, request: Request, given: Envelope, access: Access) -> None:
        """Redirect a call to the tool that it names."""
        quiet_s = seconds_of(arguments.value(given, "timeoutMs"), QUIET_S, WHOLE_S)
        level = arguments.level(given)
        answers.later(self._go(request, given, access, quiet_s, level), request)

    def sought(
        self, given: Envelope, access: Access
    ) -> Coroutine[Any, Any, tuple[Access, CallTarget | Tool]]:
        """Find the tool of a call, and its caller, after a pending edit of the configuration if needed.

        :raise GatewayError: the tool is unknown, or the arguments are malformed.
        """
        return self.means.sought(access, lambda each: maybeDeferred(self.target, given, each))

    async def _go(
        self, request: Request, given: Envelope, access: Access, quiet_s: float, level: Any
    ) -> None:
        access, found = await self.sought(given, access)
        if request.sink.is_gone:
            return  # the list had to be read first, and the caller has left meanwhile
        if not isinstance(found, CallTarget):
            inner = jsonrpc.read_object(arguments.given(given, "args", "arguments"), "args")
            found.call(request, arguments.checked(found.definition, inner), access)
            return
        attended = TimedCall(request.sink, found, access, request, quiet_s)
        request.sink = attended
        attended.begin(self.clock)
        target = (found.item.server, found.item.own)
        try:
            access.redirect(request, target, found.given, limit_s=0.0, level=level)
        except GatewayError as why:
            request.sink.failed(request, why)


@define(eq=False, repr=False)
class Invoke:
    """Calls a tool, and passes its result unchanged."""

    invoking: CallRedirection
    name: ClassVar[str] = "invoke"
    tier: ClassVar[str] = RUN
    definition: ClassVar[bytes] = define_tool(
        "invoke",
        "Call a tool by id; a cut result names a ref for gateway_get_result.",
        {
            "id": argument("From a search"),
            "args": argument("The tool's arguments", "object"),
            "timeoutMs": argument("Of a call without progress, 60000 by default", "integer"),
        },
        ["id"],
    )

    def call(self, request: Request, given: Envelope, access: Access) -> None:
        """Redirect the call to the tool."""
        self.invoking.invoke(request, given, access)


@define(eq=False, repr=False)
class CallTool:
    """Calls a tool under S001's name of ``invoke``, optionally in another directory."""

    invoking: CallRedirection
    name: ClassVar[str] = "call"
    tier: ClassVar[str] = RUN
    definition: ClassVar[bytes] = define_tool(
        "call",
        "Call a server's tool.",
        {
            "server": argument("Its name"),
            "tool": argument("Its own name"),
            "args": argument("The tool's arguments", "object"),
            "cwd": argument("As from this directory"),
        },
        ["server", "tool"],
    )

    def call(self, request: Request, given: Envelope, access: Access) -> None:
        """Redirect the call to the tool."""
        if not arguments.text(given, "tool", "id"):
            raise InvalidParams('"tool" is missing', "list_tools shows the tools of a server")
        cwd = arguments.text(given, "cwd")
        self.invoking.invoke(request, given, access.within(cwd) if cwd else access)
