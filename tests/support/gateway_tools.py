"""A caller of the gateway's own tools, scripted: who it is, which servers it may use, and what became of its calls."""

from __future__ import annotations

import json
from typing import Any

from attrs import define, field
from msgspec import Raw
from twisted.internet.defer import Deferred, fail, succeed

from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.listing import Exposure, ViewListing
from mcpgateway.discovery.naming import Names
from mcpgateway.discovery.records import Item
from mcpgateway.errors import GatewayError, QuestionRefused
from mcpgateway.interfaces import Request
from mcpgateway.policy.permissions import OWN_TOOLS, TokenScope
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import Envelope, own_request


def spec(name: str, **more: Any) -> ServerSpec:
    """A server of that name."""
    return ServerSpec(name, ("serve",), {}, "/", **more)


@define(eq=False)
class RecordingSink:
    """A client that waits, and remembers what it hears."""

    is_gone: bool = False
    replies: list[Any] = field(factory=list)
    failures: list[GatewayError] = field(factory=list)
    heard: list[Any] = field(factory=list)

    def answered(self, call: Request, reply: Envelope) -> None:
        self.replies.append(json.loads(jsonrpc.encode(reply)))

    def failed(self, call: Request, why: GatewayError) -> None:
        self.failures.append(why)

    def progressed(self, call: Request, message: bytes) -> None:
        self.heard.append(json.loads(message))

    def noticed(self, call: Request, message: bytes) -> bool:
        self.heard.append(json.loads(message))
        return True

    @property
    def result(self) -> Any:
        """The one result it was answered with."""
        (reply,) = self.replies
        return reply["result"]

    @property
    def value(self) -> Any:
        """The first text of the result, decoded."""
        return json.loads(self.result["content"][0]["text"])


def new_call(sink: Any = None) -> Request:
    """A call of a tool, made by a client."""
    return Request(
        None, own_request("tools/call", identifier=b"7"), None, sink if sink is not None else RecordingSink()
    )


def reply(result: Any) -> Envelope:
    """A server's response."""
    return jsonrpc.result(Raw(b"1"), result)


@define(eq=False)
class Sent:
    """A call that has been sent to a server."""

    call: Request
    server: str
    tool: str
    arguments: Any
    limit_s: float = 0.0
    level: Any = None

    def answer(self, text: str = "done", **more: Any) -> None:
        """The server answers with a text."""
        self.call.sink.answered(self.call, reply({"content": [{"type": "text", "text": text}], **more}))


@define(eq=False)
class ScriptedView:
    """A view that lists some tools under names of its own.

    :ivar names: those tools, by name.
    """

    kind: str = "search"
    handshakes: dict[str, str] = field(factory=dict)
    names: dict[str, Any] = field(factory=dict)
    exposure: Exposure = field(factory=Exposure)
    others: tuple[ServerSpec, ...] = ()
    scope: TokenScope | None = None

    def find(self, name: str) -> Any:
        return self.names.get(name)

    def narrowed(self, server: ServerSpec, items: tuple[Item, ...]) -> tuple[Item, ...]:
        return items

    def check_usable(self, name: str) -> None:
        """All servers that the view does not show are unknown."""

    def check_off(self, name: str) -> None:
        pass

    def admits_own(self, name: str) -> bool:
        return self.scope is None or name in OWN_TOOLS

    @property
    def listing(self) -> ViewListing:
        items = {name: each for name, each in self.names.items() if isinstance(each, Item)}
        return ViewListing({}, Names(items))


@define(eq=False)
class ScriptedAccess:
    """The caller of a tool, as the tool sees it; calls to servers are kept until the test answers them.

    :ivar edited: the same caller after an edit of the configuration that has not been read; None without one.
    :ivar missing: the reasons why the lists of some servers are unknown.
    """

    servers: tuple[ServerSpec, ...] = ()
    principal: str = "local"
    view: ScriptedView = field(factory=ScriptedView)
    session: Any = None
    sent: list[Sent] = field(factory=list)
    cancelled: list[tuple[Request, str]] = field(factory=list)
    refusal: GatewayError | None = None
    lists: dict[str, Any] = field(factory=dict)
    elsewhere: str = ""
    edited: ScriptedAccess | None = None
    missing: dict[str, str] = field(factory=dict)

    def specs(self) -> tuple[ServerSpec, ...]:
        return self.servers

    def within(self, cwd: str) -> ScriptedAccess:
        self.elsewhere = cwd
        return self

    def redirect(
        self,
        call: Request,
        target: tuple[str, str],
        arguments: Raw,
        *,
        limit_s: float,
        level: Any,
    ) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.sent.append(Sent(call, *target, json.loads(bytes(arguments)), limit_s, level))

    def begin(self, server: str, tool: str, arguments: Raw, sink: Any) -> Request:
        if self.refusal is not None:
            raise self.refusal
        call = new_call(sink)
        self.sent.append(Sent(call, server, tool, json.loads(bytes(arguments))))
        return call

    def cancel(self, call: Request, why: str) -> None:
        self.cancelled.append((call, why))

    def caught_up(self) -> Deferred[ScriptedAccess]:
        return succeed(self.edited or self)

    def settle(self, kind: Any) -> Deferred[tuple[Any, dict[str, str]]]:
        return succeed((self, self.missing))

    def list(self, server: str, kind: Any, *, is_look: bool = True) -> Deferred[tuple[Any, ...]]:
        found = self.lists.get(server, ())
        return fail(found) if isinstance(found, Exception) else succeed(found)

    def elicit(self, call: Request, params: dict[str, Any]) -> Deferred[dict[str, Any]]:
        return fail(QuestionRefused(-32601, "nobody to ask"))


def ask(tool: Any, access: ScriptedAccess, arguments: dict[str, Any] | None = None) -> RecordingSink:
    """Call one of the gateway's tools; what became of it so far."""
    sink = RecordingSink()
    members = {name: jsonrpc.raw(value) for name, value in (arguments or {}).items()}
    tool.call(new_call(sink), members, access)
    return sink
