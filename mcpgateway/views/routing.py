"""Routing of the requests of legacy sessions on a view.

    request                       goes to
    tools/call, prompts/get       the server of the name, under its own name
    completion/complete           the server of the prompt or the template
    resources/*                   the server of the URI
    lists                         no server, where all are known
    logging/setLevel              all member sessions, also those that are made later
    tasks/*                       the server that has begun the task
    ping, the gateway's own tools no server

Only the name is replaced; the rest of the message stays as its client wrote it.  The call moves to the member session
and keeps its client's sink, so the answer, and all messages before it, need no second hop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define
from twisted.internet.defer import DeferredList
from twisted.python.failure import Failure

from mcpgateway.discovery.listing import More
from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.discovery.resources import owner_named
from mcpgateway.errors import GatewayError, InvalidParams, ShuttingDown, UnknownMethod
from mcpgateway.hub.filters import Between
from mcpgateway.hub.levels import SET_LEVEL
from mcpgateway.hub.sessions import Session
from mcpgateway.hub.slot import slot_of
from mcpgateway.hub.subscriptions.upstream_legacy import SUBSCRIBE, UNSUBSCRIBE
from mcpgateway.hub.tasks import OWNED
from mcpgateway.interfaces import Request
from mcpgateway.owntools.missing_servers import with_missing
from mcpgateway.policy import routing
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope, Message
from mcpgateway.views.forwarding import Forwarder
from mcpgateway.views.kept_results import with_kept
from mcpgateway.views.lists import LIST_S, Lister
from mcpgateway.views.members import Inners, inner_id
from mcpgateway.views.registry import ViewRegistry
from mcpgateway.views.resources import Resources
from mcpgateway.views.specs import FULL
from mcpgateway.views.view import KINDS, View

LIST_TASKS = "tasks/list"


@define(eq=False, repr=False)
class Held(Between):
    """The sink of a call of the gateway's own tools: it is answered once, and not after its cancellation.

    :ivar is_over: True if the call is cancelled, so that the tool's answer is dropped.
    """

    registry: ViewRegistry
    call: Request
    is_over: bool = False
    is_answered: bool = False

    def take_back(self, reason: str) -> None:
        """Note the cancellation; the canceller answers the client."""
        self.is_over = True
        if self.call.meter is not None:
            self.call.meter.taken_back(self.call, reason)

    @property
    def is_gone(self) -> bool:
        """True if no client waits for the answer any more."""
        return self.is_over or bool(self.sink.is_gone)

    def answered(self, call: Request, reply: Envelope) -> None:
        """Take the tool's answer."""
        self.registry.release(call)
        if call.meter is not None:
            call.meter.answered(call, reply)
        if not self.is_over and not self.is_answered:
            self.is_answered = True
            self.sink.answered(call, reply)

    def failed(self, call: Request, why: GatewayError) -> None:
        """Take the error in the place of an answer."""
        self.registry.release(call)
        if call.meter is not None:
            call.meter.failed(call, why)
        if not self.is_answered:
            self.is_answered = True
            self.sink.failed(call, why)


class SessionRouting:
    """Routes the requests of all views' sessions."""

    def __init__(self, registry: ViewRegistry, lister: Lister) -> None:
        self._registry = registry
        self._forwarder = forwarder = Forwarder(registry, lister)
        resources = Resources(registry, forwarder)
        self._here: dict[str, Callable[[Request, Inners], None]] = {
            "tools/call": self._call,
            **dict.fromkeys(KINDS, self._list),
            "prompts/get": self._prompt,
            "completion/complete": self._complete,
            "resources/read": resources.read,
            SUBSCRIBE: resources.subscribe,
            UNSUBSCRIBE: resources.unsubscribe,
            SET_LEVEL: self._set_level,
            "ping": _pong,
            LIST_TASKS: self._tasks,
            **dict.fromkeys(OWNED, self._task),
        }

    def submit(self, call: Request) -> None:
        """Answer a request, or send it to a server.

        :raise GatewayError: the request is refused.
        """
        registry = self._registry
        here = self._here.get(call.method)
        if here is None:
            raise UnknownMethod(f"Method not found: {call.method}")
        if not registry.switchboard.is_open:
            raise ShuttingDown("the gateway is stopping")
        session: Session = call.session
        inners = session.inners if session.id else None
        here(call, inners if isinstance(inners, Inners) else registry.inners(session))

    # Lists

    def _list(self, call: Request, inners: Inners) -> None:
        if call.message.params is not None and "cursor" in call.message.params:
            raise InvalidParams("Invalid params: there is no such cursor; every list is one page")
        kind = KINDS[call.method]
        if inners.view.shows(kind):
            self._forwarder.settled(call, lambda: self._list_now(call, kind))
        else:
            self._give(call, kind)

    def _list_now(self, call: Request, kind: ListKind) -> None:
        registry, session = self._registry, call.session
        unknown = [
            (each, kind)
            for each in self._forwarder.unknown_lists(session, registry.anew(session), kind)
            if self._forwarder.lister.may_list(session, each)
        ]
        soon = [each for each in unknown if self._forwarder.may_answer_soon(session, each[0])]

        def give() -> None:
            self._give(call, kind)
            self._forwarder.lister.begin(session, [each for each in unknown if each not in soon])

        if soon:
            registry.hold(call)
            self._forwarder.after(self._forwarder.lister.wait(session, soon, LIST_S), call, give)
        else:
            give()

    def _give(self, call: Request, kind: ListKind) -> None:
        session, inners = call.session, self._registry.inners(call.session)
        self._registry.is_given(session, kind)
        listed = inners.view.listed(kind, is_dotted=call.is_dotted)
        outcomes = self._registry.outcomes
        if kind is ListKind.TOOL:
            outcomes.listed(inners.view)
        if outcomes.kept is not None:
            listed = with_kept(listed, outcomes.kept.entries(kind, session.principal))
        if inners.view.shows(kind):
            self._forwarder.lister.shown(session, kind)
            listed = with_missing(listed, self._forwarder.lister.missing(session, kind))
        if kind is ListKind.TOOL and inners.view.kind == FULL and self._registry.builtin is not None:
            self._registry.builtin.heard(session)
        call.sink.answered(call, {"jsonrpc": jsonrpc.VERSION, "id": jsonrpc.NULL, "result": listed})

    # Tools

    def _call(self, call: Request, inners: Inners) -> None:
        """Send a call to the tool of its name."""
        params = call.message.params
        name = peek.text(params, "name")
        if name is None or params is None:
            raise InvalidParams('Invalid params: "name" must be a string')
        found = inners.view.find(name)
        if found is None:
            self._unknown_tool(call, name, inners)
        else:
            self._to_tool(call, params, found, inners)

    def _to_tool(self, call: Request, params: Envelope, found: Any, inners: Inners) -> None:
        if found.__class__ is Item:
            self._of_server(call, params, found, inners)
        elif isinstance(found, More):
            item, params["arguments"] = found.choose(peek.members(params, "arguments"))
            self._of_server(call, params, item, inners)
        else:
            self._own_tool(call, found, inners)

    def _of_server(self, call: Request, params: Envelope, tool: Item, inners: Inners) -> None:
        params["name"] = jsonrpc.raw(tool.own)
        if "task" in params:
            self._forwarder.learn_task(call, inners, tool.server)
        whose = call.session.principal
        self._registry.outcomes.over(call, whose, inners.view, (tool.server, tool.own), None, tool)
        self._forwarder.go(call, tool.server, tool)

    def _unknown_tool(self, call: Request, name: str, inners: Inners) -> None:
        # The tool may be new, or of a server whose lists are not known yet.
        def again() -> None:
            now = self._registry.inners(call.session)
            found, params = now.view.find(name), call.message.params or {}
            if found is None:
                near, hint = (
                    now.view.near(name, ListKind.TOOL),
                    "tools/list and gateway_search name those there are",
                )
                raise self._forwarder.unknown(
                    call.session, ListKind.TOOL, f"Unknown tool: {name}", near, hint
                )
            self._to_tool(call, params, found, now)

        self._forwarder.seek(
            call,
            (ListKind.TOOL,),
            lambda view: view.named(name),
            lambda view: view.find(name) is not None,
            again,
        )

    def _own_tool(self, call: Request, tool: Any, inners: Inners) -> None:
        from mcpgateway.owntools import answers  # what only views need
        from mcpgateway.views.legacy_access import LegacyAccess

        access = LegacyAccess(
            call.session.principal, inners.view, call.session, self._registry, self._forwarder
        )
        call.sink = held = Held(call.sink, self._registry, call)
        if call.meter is None:
            self._registry.outcomes.own.begin_tool(call, tool.name)
        self._registry.hold(call, held.take_back)
        try:
            tool.call(call, peek.members(call.message.params, "arguments"), access)
        except GatewayError as why:
            answers.failed_by(call, why)

    # Prompts, and completion of arguments

    def _prompt(self, call: Request, inners: Inners) -> None:
        name, params = _named(call.message), call.message.params or {}
        found = inners.view.prompt(name)
        if found is not None:
            self._under_its_own(call, params, "name", found)
            return

        def again() -> None:
            view = self._registry.inners(call.session).view
            item = view.prompt(name)
            if item is None:
                raise self._forwarder.unknown(
                    call.session, ListKind.PROMPT, f"Unknown prompt: {name}", view.near(name, ListKind.PROMPT)
                )
            self._under_its_own(call, params, "name", item)

        self._forwarder.seek(
            call,
            (ListKind.PROMPT,),
            lambda view: view.named(name),
            lambda view: bool(view.prompt(name)),
            again,
        )

    def _under_its_own(self, call: Request, params: Envelope, key: str, item: Item) -> None:
        params[key] = jsonrpc.raw(item.own)
        self._forwarder.go(call, item.server)

    def _complete(self, call: Request, inners: Inners) -> None:
        params = call.message.params or {}
        ref = peek.members(params, "ref")
        name, uri = peek.text(ref, "name"), peek.text(ref, "uri", jsonrpc.URI_LIMIT)

        def go_on() -> None:
            found = _referred(self._registry.inners(call.session).view, name, uri)
            if found is None:
                what = name or uri or ""
                raise InvalidParams(f"Invalid params: there is no prompt or resource template {what}")
            server, own = found
            params["ref"] = jsonrpc.raw(ref | {"uri" if name is None else "name": jsonrpc.raw(own)})
            self._forwarder.go(call, server)

        def is_found(view: View) -> bool:
            return _referred(view, name, uri) is not None

        if is_found(inners.view):
            go_on()
            return
        kind = ListKind.PROMPT if name is not None else ListKind.TEMPLATE
        self._forwarder.seek(
            call, (kind,), lambda view: view.named(name) if name else owner_named(uri), is_found, go_on
        )

    # The log level

    def _set_level(self, call: Request, inners: Inners) -> None:
        session: Session = call.session
        level = routing.asked_level(call.message.params)
        if session.id:
            session.level, session.has_level = level, True
            self._registry.switchboard.sessions.remember(session)
        for inner in list(inners.sessions.values()):
            slot = slot_of(inner)
            if slot is not None and slot.has_levels:
                self._forwarder.ask(inner, SET_LEVEL, {"level": jsonrpc.raw(level)}).addErrback(_let_go)
        call.sink.answered(call, jsonrpc.result(jsonrpc.NULL, {}))

    # Tasks

    def _task(self, call: Request, inners: Inners) -> None:
        task = peek.text(call.message.params, "taskId")
        server = self._owner(call.session, inners, task) if task is not None else None
        if server is None:
            raise InvalidParams("Task not found")
        self._forwarder.go(call, server)

    def _owner(self, session: Session, inners: Inners, task: str) -> str | None:
        found = inners.tasks.get(task)
        if found is not None or not session.id:
            return found
        # The session may have begun the task before it was put aside.
        for slot in self._registry.switchboard.pool:
            name = slot.server.name
            if (
                slot.shared
                and slot.tasks.owner(task) == inner_id(session, name)
                and name in inners.view.servers
            ):
                return name
        return None

    def _tasks(self, call: Request, inners: Inners) -> None:
        asked = [
            self._forwarder.ask(inner, LIST_TASKS, {})
            for inner in inners.sessions.values()
            if inner.server.name in inners.tasks.values()
        ]
        self._registry.hold(call)
        DeferredList(asked, consumeErrors=True).addCallback(self._all_tasks, call)

    def _all_tasks(self, found: list[tuple[bool, Envelope]], call: Request) -> None:
        tasks = []
        for is_there, reply in found:
            listed = peek.members(reply, "result").get("tasks") if is_there else None
            tasks += jsonrpc.read_list(listed, "tasks") if listed is not None else []
        if self._registry.release(call):
            call.sink.answered(call, jsonrpc.result(jsonrpc.NULL, {"tasks": tasks}))


def _referred(view: View, name: str | None, uri: str | None) -> tuple[str, str] | None:
    # The server of the prompt or resource, and its own name or URI there.
    if name is not None:
        item = view.prompt(name)
        return (item.server, item.own) if item is not None else None
    return (view.template(uri) or view.resource(uri)) if uri is not None else None


def _named(message: Message) -> str:
    name = peek.text(message.params, "name")
    if name is None:
        raise InvalidParams('Invalid params: "name" must be a string')
    return name


def _pong(call: Request, inners: Inners) -> None:
    call.sink.answered(call, jsonrpc.result(jsonrpc.NULL, {}))


def _let_go(why: Failure) -> None:
    why.trap(GatewayError)  # a server that has ended gets the level with its next child
