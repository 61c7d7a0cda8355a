"""Routing of the requests that only legacy sessions send on a view, and the answers that only they get.

    request                       goes to
    logging/setLevel              all member sessions, also those that are made later
    resources/*                   the server of the URI (`mcpgateway.views.resources`)
    tasks/*                       the server that has begun the task
    ping                          no server

The call moves to the member session.  The other requests are routed as those of modern clients are
(`mcpgateway.views.routing`).
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import DeferredList
from twisted.python.failure import Failure

from mcpgateway.discovery.records import ListKind
from mcpgateway.errors import GatewayError, InvalidParams
from mcpgateway.hub.filters import SinkFilter
from mcpgateway.hub.levels import SET_LEVEL
from mcpgateway.hub.sessions import Session
from mcpgateway.hub.slot import slot_of
from mcpgateway.hub.subscriptions.upstream_legacy import SUBSCRIBE, UNSUBSCRIBE
from mcpgateway.hub.tasks import OWNED
from mcpgateway.interfaces import Request
from mcpgateway.owntools.missing_servers import with_missing
from mcpgateway.policy import routing
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.views.forwarding import Forwarder
from mcpgateway.views.kept_results import with_kept
from mcpgateway.views.members import inner_id
from mcpgateway.views.registry import ViewRegistry
from mcpgateway.views.resources import Resources
from mcpgateway.views.routing import Routing
from mcpgateway.views.session_lists import SessionLists
from mcpgateway.views.specs import FULL
from mcpgateway.views.view import View

LIST_TASKS = "tasks/list"


class OwnToolSink(SinkFilter):
    """The sink of a call of the gateway's own tools: it is answered once, and not after its cancellation.

    :ivar is_over: True if the call is cancelled, so that the tool's answer is dropped.
    """

    registry: ViewRegistry
    request: Request
    is_over: bool = False
    is_answered: bool = False

    def take_back(self, reason: str) -> None:
        """Note the cancellation; the canceller answers the client."""
        self.is_over = True
        if self.request.meter is not None:
            self.request.meter.taken_back(self.request, reason)

    @property
    def is_gone(self) -> bool:
        """True if no client waits for the answer any more."""
        return self.is_over or bool(self.sink.is_gone)

    def answered(self, request: Request, reply: Envelope) -> None:
        """Take the tool's answer."""
        self.registry.release(request)
        if request.meter is not None:
            request.meter.answered(request, reply)
        if not self.is_over and not self.is_answered:
            self.is_answered = True
            self.sink.answered(request, reply)

    def failed(self, request: Request, why: GatewayError) -> None:
        """Take the error in the place of an answer."""
        self.registry.release(request)
        if request.meter is not None:
            request.meter.failed(request, why)
        if not self.is_answered:
            self.is_answered = True
            self.sink.failed(request, why)


class SessionRouting(Routing):
    """Routes the requests of all views' sessions."""

    def __init__(self, registry: ViewRegistry, lists: SessionLists) -> None:
        self._registry = registry
        self._forwarder = forwarder = Forwarder(registry, lists)
        super().__init__(forwarder, lists)
        resources = Resources(registry, forwarder, self)
        self.methods |= {
            "resources/read": resources.read,
            SUBSCRIBE: resources.subscribe,
            UNSUBSCRIBE: resources.unsubscribe,
            SET_LEVEL: self._set_level,
            "ping": _pong,
            LIST_TASKS: self._tasks,
            **dict.fromkeys(OWNED, self._task),
        }

    def give(self, request: Request, view: View, kind: ListKind) -> None:
        """Answer a request for a list from the lists that are known."""
        session, outcomes = request.session, self._registry.outcomes
        self._registry.is_given(session, kind)
        listed = view.listed(kind, is_dotted=request.is_dotted)
        if kind is ListKind.TOOL:
            outcomes.listed(view)
        if outcomes.kept is not None:
            listed = with_kept(listed, outcomes.kept.entries(kind, session.principal))
        if view.shows(kind):
            self._lists.shown(view, kind, session)
            listed = with_missing(listed, self._lists.missing(view, kind, session))
        if kind is ListKind.TOOL and view.kind == FULL and self._registry.builtin is not None:
            self._registry.builtin.list_seen(session)
        request.sink.answered(request, {"jsonrpc": jsonrpc.VERSION, "id": jsonrpc.NULL, "result": listed})

    def run(self, request: Request, view: View, tool: Any) -> None:
        """Run one of the gateway's own tools.

        :raise GatewayError: the call is refused.
        """
        from mcpgateway.owntools import answers, arguments  # what only views need
        from mcpgateway.views.legacy_access import LegacyAccess

        access = LegacyAccess(
            request.session.principal, view, request.session, self._registry, self._forwarder
        )
        request.sink = held = OwnToolSink(request.sink, self._registry, request)
        if request.meter is None:
            self._registry.outcomes.own.begin_tool(request, tool.name)
        self._registry.hold(request, held.take_back)
        try:
            given = peek.members(request.message.params, "arguments")
            tool.call(request, arguments.checked(tool.definition, given), access)
        except GatewayError as why:
            answers.failed_by(request, why)

    # The log level

    def _set_level(self, request: Request, view: View) -> None:
        session: Session = request.session
        level = routing.asked_level(request.message.params)
        if session.id:
            session.level, session.has_level = level, True
            self._registry.dispatcher.sessions.remember(session)
        for inner in list(self._registry.members_of(session).sessions.values()):
            slot = slot_of(inner)
            if slot is not None and slot.has_levels:
                self._forwarder.ask(inner, SET_LEVEL, {"level": jsonrpc.raw(level)}).addErrback(_let_go)
        request.sink.answered(request, jsonrpc.result(jsonrpc.NULL, {}))

    # Tasks

    def _task(self, request: Request, view: View) -> None:
        task = peek.text(request.message.params, "taskId")
        server = self._owner(request.session, view, task) if task is not None else None
        if server is None:
            raise InvalidParams("Task not found")
        self._forwarder.go(request, server)

    def _owner(self, session: Session, view: View, task: str) -> str | None:
        found = self._registry.members_of(session).tasks.get(task)
        if found is not None or not session.id:
            return found
        # The session may have begun the task before it was put aside.
        for slot in self._registry.dispatcher.pool:
            name = slot.server.name
            if slot.shared and slot.tasks.owner(task) == inner_id(session, name) and name in view.servers:
                return name
        return None

    def _tasks(self, request: Request, view: View) -> None:
        members = self._registry.members_of(request.session)
        asked = [
            self._forwarder.ask(inner, LIST_TASKS, {})
            for inner in members.sessions.values()
            if inner.server.name in members.tasks.values()
        ]
        self.answer(DeferredList(asked, consumeErrors=True).addCallback(_all_tasks), request)


def _all_tasks(found: list[tuple[bool, Envelope]]) -> dict[str, Any]:
    tasks = []
    for is_there, reply in found:
        listed = peek.members(reply, "result").get("tasks") if is_there else None
        tasks += jsonrpc.read_list(listed, "tasks") if listed is not None else []
    return {"tasks": tasks}


def _pong(request: Request, view: View) -> None:
    request.sink.answered(request, jsonrpc.result(jsonrpc.NULL, {}))


def _let_go(why: Failure) -> None:
    why.trap(GatewayError)  # a server that has ended gets the level with its next child
