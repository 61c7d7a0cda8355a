"""Requests of the modern era to a view that go to one server, under the server's own names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from attrs import define, evolve
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.catalog.exposure import More
from mcpgateway.catalog.records import Item, Kind
from mcpgateway.catalog.uris import Owned
from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import (
    GatewayError,
    InvalidParams,
    SessionRequired,
    UnknownServer,
    UnservedRevision,
    UnsupportedVersion,
)
from mcpgateway.hub.asker import Asker
from mcpgateway.hub.pool import Pool
from mcpgateway.hub.sinks import Between, reason
from mcpgateway.hub.views.kept import OF_ERA, missing
from mcpgateway.hub.views.modern_access import ModernAccess
from mcpgateway.hub.views.sinks import Rewriter
from mcpgateway.hub.views.view import View
from mcpgateway.interfaces import Call
from mcpgateway.wire import jsonrpc, modern, peek
from mcpgateway.wire.jsonrpc import Envelope, Message
from mcpgateway.wire.mirrored import ANNOTATION
from mcpgateway.wire.revisions import Era

if TYPE_CHECKING:
    from mcpgateway.hub.builtin.builtin import Tool
    from mcpgateway.hub.views.modern import ViewDoor

CALL_TOOL = "tools/call"
_MIRRORED = ANNOTATION.encode()
Here = Callable[[Call, Message, Asker, View], None]
Submit = Callable[[Call, Message], None]
Flies = Callable[[Call, Message, Item, Submit], bool]
"""Whether a call is made together with others that are the same (`mcpgateway.hub.singleflight`)."""
Shield = Callable[[Call, str, View, tuple[str, str], Any], None]
"""Puts itself between a call and its sink.

It is given the principal, the view, the server and the tool's own name, and the level.
"""

_OF_ONE_SERVER = (UnsupportedVersion, UnservedRevision, UnknownServer, SessionRequired)
"""What ends a client's talk with an endpoint, and is true of one server here and not of the view."""


@define(eq=False)
class _OnView(Between):
    """Has a server refuse its own requests only: a client would take some refusals for the whole view's."""

    server: str

    def failed(self, call: Call, why: GatewayError) -> None:
        """There is no answer."""
        if not isinstance(why, _OF_ONE_SERVER):
            self.sink.failed(call, why)
        elif call.method == CALL_TOOL:
            from mcpgateway.hub.views.words import unusable

            self.sink.answered(call, unusable(self.server, why))
        else:
            self.sink.failed(call, GatewayError(f"{self.server}: {why.hint or why.message}"))


@define(eq=False)
class _Next(Between):
    """Reads a resource at the next server where one says that it has no such resource; a refusal is the answer."""

    road: Road
    message: Message
    asker: Asker
    uri: str
    owners: list[tuple[Owned, ServerSpec]]

    def answered(self, call: Call, reply: Envelope) -> None:
        """The server's own response."""
        from mcpgateway.hub.views.words import is_not_found

        call.sink = self.sink
        if "error" not in reply or not is_not_found(reply["error"]):
            self.sink.answered(call, reply)
            return
        try:
            self.road.read_at(call, self.message, self.asker, self.uri, self.owners)
        except GatewayError as why:
            call.sink.failed(call, why)


class Road:
    """Brings requests to the servers that they are for.

    :ivar here: what serves each method.
    """

    log = Logger()

    def __init__(self, door: ViewDoor, pool: Pool) -> None:
        self._door = door
        self._pool = pool
        self.here: dict[str, Here] = {
            CALL_TOOL: self._call,
            "prompts/get": self._prompt,
            "resources/read": self._read,
            "completion/complete": self._complete,
            **dict.fromkeys(("tasks/get", "tasks/update", "tasks/cancel"), self._task),
        }

    def send(self, call: Call, message: Message, asker: Asker) -> None:
        """Bring a request to one server, in the server's own words.

        :raise GatewayError: it goes nowhere.
        """
        call.sink = refuses = _OnView(call.sink, asker.server.name)
        try:
            self._door.stateless.submit(call, message, asker)
        except _OF_ONE_SERVER as why:
            refuses.failed(call, why)

    def _later(self, known: Deferred[None], call: Call, then: Callable[[], None]) -> None:
        known.addCallback(lambda _: None if call.sink.is_gone else then())
        known.addErrback(self._broken, call)

    def _broken(self, why: Failure, call: Call) -> None:
        if not why.check(GatewayError):
            self.log.failure("a request to a view broke", why, event="view.broken")
        call.sink.failed(call, reason(why))

    def _call(self, call: Call, message: Message, asker: Asker, view: View) -> None:
        found = view.find(_text(message, "name"))
        if found is not None:
            self._to(call, message, asker, view, found)
        else:
            self.find(
                call, (Kind.TOOL,), asker, view, lambda again: self._call_now(call, message, asker, again)
            )

    def _call_now(self, call: Call, message: Message, asker: Asker, view: View) -> None:
        name = _text(message, "name")
        found = view.find(name)
        if found is None:
            raise InvalidParams(f"Unknown tool: {name}", _near(view, name, Kind.TOOL))
        self._to(call, message, asker, view, found)

    def _to(self, call: Call, message: Message, asker: Asker, view: View, found: Item | More | Tool) -> None:
        if isinstance(found, Item):
            self._forward(call, message, asker, view, found)
        elif isinstance(found, More):
            params = message.params or {}
            item, params["arguments"] = found.choose(peek.members(params, "arguments"))
            self._forward(call, message, evolve(asker, headers=None), view, item)
        else:
            self._run(call, message, asker, view, found)

    def find(
        self, call: Call, kinds: Iterable[Kind], asker: Asker, view: View, then: Callable[[View], None]
    ) -> None:
        """Go on once those lists are known that nobody has asked for yet."""
        wanted = [(server, kind) for kind in kinds for server in view.to_ask(kind)]
        asked = self._door.lists.look_for(wanted, asker)
        if asked is None:
            then(view)
        else:
            self._later(asked, call, lambda: then(self._door.look(asker)))

    def _forward(self, call: Call, message: Message, asker: Asker, view: View, item: Item) -> None:
        asker = evolve(asker, server=view.servers[item.server])
        _put(message, "name", item.own)
        if item.kind is Kind.TOOL:
            self._door.shield(call, asker.principal, view, (item.server, item.own), None)
            if self._flies(call, message, asker, item):
                return
        self.send(call, message, asker)

    def _flies(self, call: Call, message: Message, asker: Asker, item: Item) -> bool:
        # Only to a server that answers for itself, and where no header is to be compared with each caller's arguments.
        if not self._door.may_fly(item) or _MIRRORED in bytes(item.input_schema or b""):
            return False
        call.session = self._door.stateless.meeting(asker)
        call.level = modern.level(message.meta)
        return call.session is not None and self._door.flies(
            call, message, item, lambda own, said: self.send(own, said, asker)
        )

    def _run(self, call: Call, message: Message, asker: Asker, view: View, tool: Tool) -> None:
        if self._door.errands.resume(call, message, asker.principal, asker.server.name):
            return
        from mcpgateway.hub.builtin import answers

        call.level = modern.level(message.meta)
        errand = self._door.errands.begin(call, message, asker.principal, asker.server.name)
        access = ModernAccess(self._door, view, asker, message, errand)
        if self._door.own is not None:
            self._door.own.begin_tool(errand.call, message, tool.name)
        try:
            tool.call(errand.call, _arguments(message), access)
        except GatewayError as why:
            answers.failed_by(errand.call, why)

    def _prompt(self, call: Call, message: Message, asker: Asker, view: View) -> None:
        name = _text(message, "name")

        def forward(view: View) -> None:
            found = view.prompt(name)
            if found is None:
                raise InvalidParams(f"Unknown prompt: {name}", _near(view, name, Kind.PROMPT))
            self._forward(call, message, asker, view, found)

        if view.prompt(name) is not None:
            forward(view)
        else:
            self.find(call, (Kind.PROMPT,), asker, view, forward)

    def _read(self, call: Call, message: Message, asker: Asker, view: View) -> None:
        uri, kept = _text(message, "uri", jsonrpc.URI_LIMIT), self._door.kept
        if kept is not None and kept.has(uri, asker.principal):
            self._give(kept.read(uri, asker.principal), call)
            return

        def read(view: View) -> None:
            owners = [(each, view.servers[each.server]) for each in view.owners(uri)]
            if not owners:
                raise InvalidParams(*missing(uri), data={"uri": uri})
            self.read_at(call, message, asker, uri, owners)

        if view.resource(uri) is not None:
            read(view)
        else:
            self.find(call, (Kind.RESOURCE, Kind.TEMPLATE), asker, view, read)

    def _give(self, found: Deferred[dict[str, Any]], call: Call) -> None:
        def answer(result: dict[str, Any]) -> None:
            if not call.sink.is_gone:
                call.sink.answered(call, jsonrpc.result(jsonrpc.NULL, OF_ERA[Era.MODERN] | result))

        found.addCallback(answer).addErrback(self._broken, call)

    def read_at(
        self, call: Call, message: Message, asker: Asker, uri: str, owners: list[tuple[Owned, ServerSpec]]
    ) -> None:
        """Read a resource at the first server that it may be of, and at the next where that has no such resource.

        :raise GatewayError: it goes nowhere.
        """
        (owner, server), *others = owners
        if others:
            again = evolve(message, params=dict(message.params or {}))
            call.sink = _Next(call.sink, self, again, evolve(asker), uri, others)
        if owner.uri != uri:
            from mcpgateway.hub.views.words import renamed

            call.sink = Rewriter(call.sink, lambda result: renamed(result, owner.uri, uri))
            _put(message, "uri", owner.uri)
        self.send(call, message, evolve(asker, server=server))

    def _complete(self, call: Call, message: Message, asker: Asker, view: View) -> None:
        reference = peek.members(message.params, "ref")
        name, uri = peek.text(reference, "name"), peek.text(reference, "uri", jsonrpc.URI_LIMIT)
        if name is None and uri is None:
            raise InvalidParams("Invalid params: ref must name a prompt or a resource")
        kinds = (Kind.PROMPT,) if name is not None else (Kind.TEMPLATE, Kind.RESOURCE)

        def complete(view: View) -> None:
            server, own = _referred(view, name, uri)
            reference["uri" if name is None else "name"] = jsonrpc.raw(own)
            (message.params or {})["ref"] = jsonrpc.raw(reference)
            self.send(call, message, evolve(asker, server=view.servers[server]))

        self.find(call, kinds, asker, view, complete)

    def _task(self, call: Call, message: Message, asker: Asker, view: View) -> None:
        modern.check_tasks(message.meta)
        server = self.runner(view, asker.principal, peek.text(message.params, "taskId") or "")
        if server is None:
            raise InvalidParams("Task not found")
        self.send(call, message, evolve(asker, server=server))

    def runner(self, view: View, principal: str, task: str) -> ServerSpec | None:
        """The server that runs a task of a principal's."""
        # Servers make up ids that nobody can guess, so no two of them make up the same.
        for slot in self._pool:
            if (
                slot.server.name in view.servers
                and slot.era is Era.MODERN
                and slot.tasks.has(task, principal)
            ):
                return view.servers[slot.server.name]
        return None


def alone(call: Call, message: Message, item: Item, submit: Submit) -> bool:
    """Each call is made by itself."""
    return False


def nowhere(call: Call, reason: str) -> bool:
    """None is made together with others."""
    return False


def as_it_is(call: Call, principal: str, view: View, target: tuple[str, str], level: Any) -> None:
    """Nothing is cut."""


def _text(message: Message, name: str, limit: int = jsonrpc.METHOD_LIMIT) -> str:
    found = peek.text(message.params, name, limit)
    if found is None:
        raise InvalidParams(f'Invalid params: "{name}" must be a string')
    return found


def _near(view: View, wrong: str, kind: Kind) -> str:
    near = view.near(wrong, kind)
    return f"did you mean {', '.join(near)}?" if near else f"{kind.method} names those there are"


def _put(message: Message, name: str, value: str) -> None:
    if message.params is not None:
        message.params[name] = jsonrpc.raw(value)


def _arguments(message: Message) -> Envelope:
    said = (message.params or {}).get("arguments", jsonrpc.EMPTY)
    return {} if bytes(said) == b"null" else jsonrpc.read_object(said, "params.arguments")


def _referred(view: View, name: str | None, uri: str | None) -> tuple[str, str]:
    if name is not None:
        prompt = view.prompt(name)
        if prompt is None:
            raise InvalidParams(f"Unknown prompt: {name}")
        return prompt.server, prompt.own
    found = view.template(uri or "") or view.resource(uri or "")
    if found is None:
        raise InvalidParams(f"Resource not found: {uri}")
    return found
