"""Requests of the modern era to a view, which stands for all servers at once (MCP 2026-07-28).

    request                     is answered by
    server/discover             the gateway, at once: a view speaks both eras, whatever its servers speak
    lists                       the gateway, with what the librarian knows (`mcpgateway.hub.views.modern_lists`)
    subscriptions/listen        the gateway, and the servers that matter (`mcpgateway.hub.views.modern_listening`)
    tools/call                  the server of the tool, or a tool of the gateway's own
    prompts/get, resources/read the server of the prompt, of the resource
    completion/complete         the server of what is to be completed
    tasks/*                     the server that runs the task

What goes to a server goes by `mcpgateway.hub.stateless.Stateless.submit`, as if its client had sent it there: only the
name is another, which is the server's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, frozen
from msgspec import Raw
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway import __version__
from mcpgateway.catalog.exposure import More
from mcpgateway.catalog.records import Item, Kind
from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import (
    GatewayError,
    InvalidParams,
    SessionRequired,
    UnknownMethod,
    UnknownServer,
    UnservedRevision,
    UnsupportedVersion,
)
from mcpgateway.hub.asker import Asker
from mcpgateway.hub.librarian import Librarian
from mcpgateway.hub.listening import Filter, narrowed, read_filter
from mcpgateway.hub.pool import Pool
from mcpgateway.hub.sinks import Between, reason
from mcpgateway.hub.slot import Slot
from mcpgateway.hub.snapshots import Snapshots
from mcpgateway.hub.views import hello
from mcpgateway.hub.views.modern_access import ModernAccess
from mcpgateway.hub.views.modern_errands import Errands
from mcpgateway.hub.views.modern_extensions import extensions, met
from mcpgateway.hub.views.modern_listening import ViewEars, Wish
from mcpgateway.hub.views.modern_lists import Lists
from mcpgateway.hub.views.specs import ADMIN
from mcpgateway.hub.views.view import KINDS, View
from mcpgateway.interfaces import Call
from mcpgateway.wire import jsonrpc, modern, peek
from mcpgateway.wire.jsonrpc import Envelope, Message
from mcpgateway.wire.revisions import MODERN, Era
from mcpgateway.wire.translate import COMPLETE

if TYPE_CHECKING:
    from mcpgateway.hub.builtin.builtin import Tool
    from mcpgateway.hub.stateless import Stateless
    from mcpgateway.wire.requeststates import RequestStates

CALL_TOOL = "tools/call"
LOOK_S = 1.0  # the values of workspaces are looked at so often
SEEN_LIMIT = 1000  # places
DISCOVERY_MS = 10_000  # what a view shows changes with the configuration, and whoever listens hears of that
Look = Callable[[ServerSpec], View]
Shield = Callable[[Call, View, str, str, Any], None]
"""Puts itself between a call and its sink; it is given the view, the server, the tool's own name, and the level."""

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
            from mcpgateway.hub.views.modern_words import unusable

            self.sink.answered(call, unusable(self.server, why))
        else:
            self.sink.failed(call, GatewayError(f"{self.server}: {why.hint or why.message}"))


@define(eq=False)
class _Renamed(Between):
    """Calls a resource in a result what the client calls it."""

    own: str
    shown: str

    def answered(self, call: Call, reply: Envelope) -> None:
        """The server's own response."""
        if "result" in reply:
            from mcpgateway.hub.views.modern_words import renamed

            reply = reply | {"result": renamed(reply["result"], self.own, self.shown)}
        self.sink.answered(call, reply)


@frozen
class Around:
    """What requests to views are served with.

    :ivar look: what a view shows, by its entry as it is for the place of whoever asks.
    :ivar within: the same view, as it looks from a directory.
    :ivar states: makes and reads request states.
    :ivar seconds: the wall clock, for them.
    :ivar snapshots: what servers have answered before; None where nothing is kept.
    """

    look: Look
    within: Callable[[View, str], View]
    librarian: Librarian
    pool: Pool
    clock: IReactorTime
    states: RequestStates
    seconds: Callable[[], float]
    snapshots: Snapshots | None = None


@frozen
class _Seen:
    """A view as it was when somebody looked."""

    spec: ServerSpec
    view: View
    moves: int
    at: float


class ViewDoor:
    """What `Stateless` hands requests over to that are for a view.

    :ivar errands: the calls of the gateway's own tools.
    :ivar lists: asks servers what they list.
    :ivar shield: cuts what is too long.
    :ivar within: a view as it looks from a directory.
    """

    log = Logger()

    def __init__(self, stateless: Stateless, around: Around) -> None:
        self.stateless = stateless
        self.librarian = around.librarian
        self.shield: Shield = _as_it_is
        self.errands = Errands(around.states, around.seconds, around.clock, stateless.cancel)
        self._snapshots = around.snapshots
        self._pool = around.pool
        self.lists = Lists(
            around.librarian,
            stateless.submit,
            stateless.cancel,
            self._is_running,
            self._hello,
            around.clock,
        )
        self.within = around.within
        self._look_at = around.look
        self._clock = around.clock
        self._seen: dict[str, _Seen] = {}
        self._ears = ViewEars(stateless, around.clock)
        self._here: dict[str, Callable[[Call, Message, Asker, View], None]] = {
            modern.DISCOVER: self._discover,
            modern.LISTEN: self._listen,
            **dict.fromkeys(KINDS, self._list),
            CALL_TOOL: self._call,
            "prompts/get": self._prompt,
            "resources/read": self._read,
            "completion/complete": self._complete,
            **dict.fromkeys(("tasks/get", "tasks/update", "tasks/cancel"), self._task),
        }
        around.librarian.on_change.append(self._changed)
        for slot in around.pool:
            self.warmed(slot)

    def submit(self, call: Call, message: Message, asker: Asker) -> None:
        """Answer a request to a view, or bring it on its way.

        :raise GatewayError: it goes nowhere.
        """
        here = self._here.get(call.method)
        if here is None:
            raise UnknownMethod(f"Method not found: {call.method}")
        here(call, message, asker, self.look(asker.server))

    def look(self, spec: ServerSpec) -> View:
        """What a view shows; with many servers that takes a while, and is the same for many requests.

        :raise UnknownServer: there is no such view any more.
        """
        spec = self.stateless.current(spec)
        key, now, moves = f"{spec.name}\0{spec.workspace}", self._clock.seconds(), self._pool.moves
        seen = self._seen.get(key)
        if seen is None or seen.spec is not spec or seen.moves != moves or not 0 <= now - seen.at < LOOK_S:
            if len(self._seen) >= SEEN_LIMIT:
                self._seen.clear()
            seen = self._seen[key] = _Seen(spec, self._look_at(spec), moves, now)
        return seen.view

    def adopt(self) -> None:
        """The servers, or what is to be shown of them, will be others in a moment: say so to whoever listens."""
        self._ears.all_changed()
        self.lists.forget()
        self._seen.clear()

    def send(self, call: Call, message: Message, asker: Asker) -> None:
        """Bring a request to one server, in the server's own words.

        :raise GatewayError: it goes nowhere.
        """
        call.sink = refuses = _OnView(call.sink, asker.server.name)
        try:
            self.stateless.submit(call, message, asker)
        except _OF_ONE_SERVER as why:
            refuses.failed(call, why)

    def _later(self, known: Deferred[None], call: Call, then: Callable[[], None]) -> None:
        known.addCallback(lambda _: None if call.sink.is_gone else then())
        known.addErrback(self._broken, call)

    def _broken(self, why: Failure, call: Call) -> None:
        if not why.check(GatewayError):
            self.log.failure("a request to a view broke", why, event="view.broken")
        call.sink.failed(call, reason(why))

    def _is_running(self, server: ServerSpec) -> bool:
        return any(self._pool.is_running(server, era) for era in Era)

    def _hello(self, server: ServerSpec) -> Envelope | None:
        return met(server, self._pool, self._snapshots)

    # What the view itself answers

    def _discover(self, call: Call, message: Message, asker: Asker, view: View) -> None:
        capabilities = {name: each for name, each in hello.CAPABILITIES.items() if name != "tasks"}
        if view.kind != ADMIN:
            capabilities["extensions"] = extensions(view.servers.values(), self._pool, self._snapshots)
        version = f"{__version__}+{view.topology()}"
        result = {
            "resultType": COMPLETE,
            "supportedVersions": list(MODERN),
            "capabilities": capabilities,
            "instructions": hello.instructions(view, self.librarian),
            "ttlMs": DISCOVERY_MS,
            "cacheScope": "private",
            "_meta": {modern.SERVER_INFO_KEY: {"name": "mcpgateway", "version": version}},
        }
        call.sink.answered(call, jsonrpc.result(jsonrpc.NULL, result))

    def _list(self, call: Call, message: Message, asker: Asker, view: View) -> None:
        if "cursor" in (message.params or {}):
            raise InvalidParams("Invalid params: this list has one page, so there is no cursor")
        kind = KINDS[call.method]
        if view.shows(kind):
            self._find(call, (kind,), asker, view, lambda view: self._listed(call, kind, view))
        else:
            self._listed(call, kind, view)

    def _listed(self, call: Call, kind: Kind, view: View) -> None:
        servers = view.servers.values() if view.shows(kind) else ()
        terms = self.lists.terms(servers, kind).written()
        # The list may be long: it is not read again.
        result = jsonrpc.encode({"resultType": jsonrpc.raw(COMPLETE), **terms})[:-1] + b","
        whole = Raw(result + bytes(view.listed(kind))[1:])
        call.sink.answered(call, jsonrpc.result(jsonrpc.NULL, whole))

    # What goes to one server

    def _call(self, call: Call, message: Message, asker: Asker, view: View) -> None:
        found = view.find(_text(message, "name"))
        if found is not None:
            self._to(call, message, asker, view, found)
        else:
            self._find(
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

    def _find(
        self, call: Call, kinds: Iterable[Kind], asker: Asker, view: View, then: Callable[[View], None]
    ) -> None:
        # What nobody knows may be of a server whose list has not been asked for.
        wanted = [(server, kind) for kind in kinds for server in view.to_ask(kind)]
        asked = self.lists.look_for(wanted, asker)
        if asked is None:
            then(view)
        else:
            self._later(asked, call, lambda: then(self.look(asker.server)))

    def _forward(self, call: Call, message: Message, asker: Asker, view: View, item: Item) -> None:
        if item.kind is Kind.TOOL:
            self.shield(call, view, item.server, item.own, None)
        _put(message, "name", item.own)
        self.send(call, message, evolve(asker, server=view.servers[item.server]))

    def _run(self, call: Call, message: Message, asker: Asker, view: View, tool: Tool) -> None:
        if self.errands.resume(call, message, asker.principal, asker.server.name):
            return
        from mcpgateway.hub.builtin import answers

        call.level = modern.level(message.meta)
        errand = self.errands.begin(call, message, asker.principal, asker.server.name)
        access = ModernAccess(self, view, asker, message, errand)
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
            self._find(call, (Kind.PROMPT,), asker, view, forward)

    def _read(self, call: Call, message: Message, asker: Asker, view: View) -> None:
        uri = _text(message, "uri", jsonrpc.URI_LIMIT)

        def read(view: View) -> None:
            found = view.resource(uri)
            if found is None:
                raise InvalidParams(f"Resource not found: {uri}", data={"uri": uri})
            server, own = found
            if own != uri:
                call.sink = _Renamed(call.sink, own, uri)
                _put(message, "uri", own)
            self.send(call, message, evolve(asker, server=view.servers[server]))

        if view.resource(uri) is not None:
            read(view)
        else:
            self._find(call, (Kind.RESOURCE, Kind.TEMPLATE), asker, view, read)

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

        self._find(call, kinds, asker, view, complete)

    def _task(self, call: Call, message: Message, asker: Asker, view: View) -> None:
        modern.check_tasks(message.meta)
        server = self._runner(view, asker.principal, peek.text(message.params, "taskId") or "")
        if server is None:
            raise InvalidParams("Task not found")
        self.send(call, message, evolve(asker, server=server))

    def _runner(self, view: View, principal: str, task: str) -> ServerSpec | None:
        # Servers make up ids that nobody can guess, so no two of them make up the same.
        for slot in self._pool:
            if (
                slot.server.name in view.servers
                and slot.era is Era.MODERN
                and slot.tasks.has(task, principal)
            ):
                return view.servers[slot.server.name]
        return None

    # Listening

    def _listen(self, call: Call, message: Message, asker: Asker, view: View) -> None:
        wanted = narrowed(read_filter(message.params))
        wishes: dict[str, Filter] = {}
        for uri in sorted(wanted.uris):
            found = view.resource(uri)
            if found is not None:
                wishes[found[0]] = wishes.get(found[0], Filter()) | Filter(uris=frozenset((found[1],)))
        for task in sorted(wanted.tasks):
            server = self._runner(view, asker.principal, task)
            if server is not None:
                wishes[server.name] = wishes.get(server.name, Filter()) | Filter(tasks=frozenset((task,)))

        asked = (Wish(view.servers[server], filter_) for server, filter_ in wishes.items())
        self._ears.listen(call, message, asker, wanted, asked, lambda: self.look(asker.server))

    def _changed(self, server: str, kind: Kind) -> None:
        if self.lists.learning != (server, kind):
            self._ears.changed(server, kind)

    def warmed(self, slot: Slot) -> None:
        """A child of the modern era runs: hear of its lists, and see whether they are what views have shown."""
        if slot.era is not Era.MODERN or slot.conversation is None or not slot.shared:
            return
        self._ears.overhear(slot)
        self.lists.refresh(slot.server, Asker(slot.server, "", None))

    # The end

    def cancel(self, call: Call) -> bool:
        """A client has hung up; false when its request is none of these."""
        return self._ears.cancel(call) or self.errands.cancel(call)

    def close(self) -> None:
        """End whatever stands open, in order."""
        self._ears.close()
        self.errands.close()


def _as_it_is(call: Call, view: View, server: str, tool: str, level: Any) -> None:
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
