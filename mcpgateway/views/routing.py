"""Where each request on a view goes.

    request                       goes to
    tools/call, prompts/get       the server that the name is of, under its own name
    completion/complete           the server of the prompt or the template
    resources/*                   the server of the URI
    lists                         nobody, where all are known
    logging/setLevel              all inner sessions, and those that are made later
    tasks/*                       the server that has begun the task
    ping, the gateway's own tools nobody

Only the name is replaced, all else of the message stays as its client wrote it.  The call becomes the inner session's
and keeps its client's sink, so the answer, and all that is said before it, takes no second hop.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from mcpgateway.backends.conversation import OwnQuestion
from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.records import Item, Kind
from mcpgateway.discovery.resources import owner_named
from mcpgateway.errors import GatewayError, InvalidParams, ShuttingDown, UnknownMethod
from mcpgateway.hub.filters import reason
from mcpgateway.hub.levels import SET_LEVEL
from mcpgateway.hub.sessions import Session
from mcpgateway.hub.slot import slot_of
from mcpgateway.hub.subscriptions.upstream_legacy import SUBSCRIBE, UNSUBSCRIBE
from mcpgateway.hub.tasks import OWNED
from mcpgateway.interfaces import Call
from mcpgateway.owntools.missing_servers import hint as not_all
from mcpgateway.owntools.missing_servers import with_missing
from mcpgateway.policy import routing
from mcpgateway.policy.recorded_answers import is_own
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope, Message
from mcpgateway.protocol.versions import Era
from mcpgateway.views.filters import TaskLearner, own_message
from mcpgateway.views.kept_results import with_kept
from mcpgateway.views.lists import LIST_S, PASSING
from mcpgateway.views.members import Inners, inner_id
from mcpgateway.views.resources import Resources
from mcpgateway.views.specs import FULL
from mcpgateway.views.tools import Tools
from mcpgateway.views.view import KINDS, View

if TYPE_CHECKING:
    from mcpgateway.views.registry import Board

LIST_TASKS = "tasks/list"


class Road:
    """Serves the requests of all views' sessions.

    :ivar tools: serves calls of tools.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self.tools = Tools(board, self)
        resources = Resources(board, self)
        self._here: dict[str, Callable[[Call, Message, Inners], None]] = {
            "tools/call": self.tools.call,
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

    def submit(self, call: Call, message: Message) -> None:
        """Bring a request on its way.

        :raise GatewayError: it goes nowhere.
        """
        board = self._board
        here = self._here.get(call.method)
        if here is None:
            raise UnknownMethod(f"Method not found: {call.method}")
        if not board.switchboard.is_open:
            raise ShuttingDown("the gateway is stopping")
        session: Session = call.session
        inners = session.inners if session.id else None
        here(call, message, inners if isinstance(inners, Inners) else board.inners(session))

    # To a server

    def go(
        self,
        call: Call,
        message: Message,
        server: str,
        tool: Item | None = None,
        elsewhere: ServerSpec | None = None,
    ) -> None:
        """Bring a request to a server, in its client's inner session there.

        :param tool: what is called, where identical calls of it may be one.
        :param elsewhere: the server as it is run for another directory, if it is to go there.
        :raise GatewayError: it goes nowhere.
        """
        outer: Session = call.session
        if not outer.server.view:
            self._met(call, message, outer, tool)  # it is there already
            return
        inners = outer.inners
        inner = inners.sessions.get(server) if inners is not None else None
        if elsewhere is not None:
            inner = None
        if inner is None:
            inner = self._meet(outer, server, elsewhere)
        self._met(call, message, inner, tool)

    def _meet(self, outer: Session, server: str, elsewhere: ServerSpec | None) -> Session:
        if elsewhere is None:
            return self._board.meet(outer, server)
        from mcpgateway.views.other_directories import meet  # hardly any call names a directory

        return meet(self._board, outer, elsewhere)

    def _met(self, call: Call, message: Message, inner: Session, tool: Item | None) -> None:
        call.session = inner
        submit = self._board.switchboard.submit
        if tool is None or not self._board.outcomes.flies(call, message, tool, submit):
            submit(call, message)

    def give(self, found: Deferred[dict[str, Any]], call: Call) -> None:
        """Answer a call with what the gateway itself has, unless it was taken back until then."""
        board = self._board
        board.hold(call)

        def answer(result: dict[str, Any]) -> None:
            if board.release(call):
                call.sink.answered(call, jsonrpc.result(jsonrpc.NULL, result))

        def fail(why: Failure) -> None:
            if board.release(call):
                call.sink.failed(call, reason(why))

        found.addCallback(answer).addErrback(fail)

    # Lists

    def _list(self, call: Call, message: Message, inners: Inners) -> None:
        if message.params is not None and "cursor" in message.params:
            raise InvalidParams("Invalid params: there is no such cursor; every list is one page")
        kind = KINDS[call.method]
        if inners.view.shows(kind):
            self._settled(call, lambda: self._list_now(call, kind))
        else:
            self._give(call, kind)

    def _settled(self, call: Call, then: Callable[[], None]) -> None:
        """Go on with a call once no edit of the configuration waits to be read."""
        caught_up = self._board.catch_up()
        if caught_up.called:
            then()
        else:
            self._board.hold(call)
            self._after(caught_up, call, then)

    def _after(self, done: Deferred[None], call: Call, then: Callable[[], None]) -> None:
        """Go on with a call that is held, unless it was taken back until then."""

        def go_on(_: object) -> None:
            if self._board.release(call):
                then()

        def broken(why: Failure) -> None:
            self._board.release(call)
            call.sink.failed(call, reason(why))

        done.addCallback(go_on).addErrback(broken)

    def _list_now(self, call: Call, kind: Kind) -> None:
        board, session = self._board, call.session
        unknown = [
            (each, kind)
            for each in self._missing(session, board.anew(session), kind)
            if board.lister.may_list(session, each)
        ]
        soon = [each for each in unknown if self._may_answer_soon(session, each[0])]

        def give() -> None:
            self._give(call, kind)
            board.lister.begin(session, [each for each in unknown if each not in soon])

        if soon:
            board.hold(call)
            self._after(board.lister.wait(session, soon, LIST_S), call, give)
        else:
            give()

    def _may_answer_soon(self, session: Session, server: ServerSpec) -> bool:
        inners = self._board.inners(session)
        told = inners.view.told.get(server.name, "")
        if is_own(told) and server.name not in inners.sessions:
            return False  # its child is this client's own, and is to be started first
        slots = (each for each in self._board.switchboard.pool if each.server.name == server.name)
        is_its = (
            is_own(told) or each.era is Era.MODERN or each.told == told for each in slots if each.conversation
        )
        return any(is_its)

    def seek(
        self,
        call: Call,
        kinds: Iterable[Kind],
        whose: Callable[[View], Container[str]],
        is_found: Callable[[View], bool],
        then: Callable[[], None],
    ) -> None:
        """Go on with a call for what nobody knows, once it is known whether there is such a thing.

        :param whose: the servers that it says it is of, by name; empty where it does not say.
        """
        self._board.hold(call)
        sought = Deferred.fromCoroutine(self._seek(call.session, tuple(kinds), whose, is_found))
        self._after(sought, call, then)

    async def _seek(
        self,
        session: Session,
        kinds: tuple[Kind, ...],
        whose: Callable[[View], Container[str]],
        is_found: Callable[[View], bool],
    ) -> None:
        board = self._board
        await board.catch_up()
        view = board.anew(session)
        if is_found(view):
            return
        unknown = [(each, kind) for kind in kinds for each in self._missing(session, view, kind)]
        named = [each for each in unknown if each[0].name in whose(view)]
        if not named and not whose(view):
            await board.lister.wait(session, unknown)
            return
        # Nobody can say anything of it but that server, which is called as at its own endpoint.
        asked = [board.lister.ask(session, *each) for each in named]
        why = _failure(await DeferredList(asked, consumeErrors=True))
        if why is None or is_found(board.anew(session)):
            return
        if isinstance(why, PASSING):
            # It may have ended for an edit, which is not in force everywhere before this turn is over.
            await deferLater(board.clock, 0)
            now = board.anew(session).servers
            if any(each.name in now and now[each.name] is not each for each, _ in named):
                await self._seek(session, kinds, whose, is_found)
                return
        raise why

    async def settle(self, session: Session, kind: Kind) -> dict[str, str]:
        """Wait for the lists of all servers of a session's view; those that are missing then, and why."""
        board = self._board
        unknown = [(each, kind) for each in self._missing(session, board.anew(session), kind)]
        if unknown:
            await board.lister.wait(session, unknown)
            board.anew(session)
        return board.lister.missing(session, kind)

    def _missing(self, session: Session, view: View, kind: Kind) -> list[ServerSpec]:
        # What is on record is good enough while its server does not run, which is not started for it.
        told = view.told
        return [each for each in view.to_ask(kind) if self._has_to_say(each, kind, told.get(each.name, ""))]

    def _has_to_say(self, server: ServerSpec, kind: Kind, told: str) -> bool:
        return is_own(told) or self._board.librarian.known(server, kind, told) is None or self._runs(server)

    def _runs(self, server: ServerSpec) -> bool:
        return any(self._board.switchboard.pool.is_running(server, era) for era in Era)

    def _give(self, call: Call, kind: Kind) -> None:
        session, inners = call.session, self._board.inners(call.session)
        self._board.is_given(session, kind)
        listed = inners.view.listed(kind, is_dotted=call.is_dotted)
        outcomes = self._board.outcomes
        if kind is Kind.TOOL:
            outcomes.listed(inners.view)
        if outcomes.kept is not None:
            listed = with_kept(listed, outcomes.kept.entries(kind, session.principal))
        if inners.view.shows(kind):
            self._board.lister.shown(session, kind)
            listed = with_missing(listed, self._board.lister.missing(session, kind))
        if kind is Kind.TOOL and inners.view.kind == FULL and self._board.builtin is not None:
            self._board.builtin.heard(session)
        call.sink.answered(call, {"jsonrpc": jsonrpc.VERSION, "id": jsonrpc.NULL, "result": listed})

    # Prompts, and what completes arguments

    def _prompt(self, call: Call, message: Message, inners: Inners) -> None:
        name, params = _named(message), message.params or {}
        found = inners.view.prompt(name)
        if found is not None:
            self._under_its_own(call, message, params, "name", found)
            return

        def again() -> None:
            view = self._board.inners(call.session).view
            item = view.prompt(name)
            if item is None:
                raise self.unknown(
                    call.session, Kind.PROMPT, f"Unknown prompt: {name}", view.near(name, Kind.PROMPT)
                )
            self._under_its_own(call, message, params, "name", item)

        self.seek(
            call, (Kind.PROMPT,), lambda view: view.named(name), lambda view: bool(view.prompt(name)), again
        )

    def unknown(
        self, session: Session, kind: Kind, what: str, near: list[str], hint: str = ""
    ) -> InvalidParams:
        """The error for a name that nobody has: the names that may have been meant, and who is not known yet."""
        missing = self._board.lister.missing(session, kind)
        said = [f"did you mean {', '.join(near)}?" if near else hint, not_all(missing)]
        return InvalidParams(what, "; ".join(filter(None, said)), {"missing": missing} if missing else None)

    def _under_its_own(self, call: Call, message: Message, params: Envelope, key: str, item: Item) -> None:
        params[key] = jsonrpc.raw(item.own)
        self.go(call, message, item.server)

    def _complete(self, call: Call, message: Message, inners: Inners) -> None:
        params = message.params or {}
        ref = peek.members(params, "ref")
        name, uri = peek.text(ref, "name"), peek.text(ref, "uri", jsonrpc.URI_LIMIT)

        def go_on() -> None:
            found = _referred(self._board.inners(call.session).view, name, uri)
            if found is None:
                what = name or uri or ""
                raise InvalidParams(f"Invalid params: there is no prompt or resource template {what}")
            server, own = found
            params["ref"] = jsonrpc.raw(ref | {"uri" if name is None else "name": jsonrpc.raw(own)})
            self.go(call, message, server)

        def is_found(view: View) -> bool:
            return _referred(view, name, uri) is not None

        if is_found(inners.view):
            go_on()
            return
        kind = Kind.PROMPT if name is not None else Kind.TEMPLATE
        self.seek(call, (kind,), lambda view: view.named(name) if name else owner_named(uri), is_found, go_on)

    # The log level

    def _set_level(self, call: Call, message: Message, inners: Inners) -> None:
        session: Session = call.session
        level = routing.asked_level(message.params)
        if session.id:
            session.level, session.has_level = level, True
            self._board.switchboard.sessions.remember(session)
        for inner in list(inners.sessions.values()):
            slot = slot_of(inner)
            if slot is not None and slot.has_levels:
                self.ask(inner, SET_LEVEL, {"level": jsonrpc.raw(level)}).addErrback(_let_go)
        call.sink.answered(call, jsonrpc.result(jsonrpc.NULL, {}))

    def ask(self, inner: Session, method: str, params: Envelope) -> Deferred[Envelope]:
        """Ask a server something in an inner session; fires with its response, which may be an error.

        :raise GatewayError: (through the Deferred) it goes nowhere.
        """
        done: Deferred[Envelope] = Deferred()
        call = Call(inner, method, b"", None, OwnQuestion(done))
        try:
            self._board.switchboard.submit(call, own_message(method, params))
        except GatewayError as why:
            call.sink.failed(call, why)
        return done

    # Tasks

    def _task(self, call: Call, message: Message, inners: Inners) -> None:
        task = peek.text(message.params, "taskId")
        server = self._owner(call.session, inners, task) if task is not None else None
        if server is None:
            raise InvalidParams("Task not found")
        self.go(call, message, server)

    def _owner(self, session: Session, inners: Inners, task: str) -> str | None:
        found = inners.tasks.get(task)
        if found is not None or not session.id:
            return found
        # It may have begun it before it was put aside.
        for slot in self._board.switchboard.pool:
            name = slot.server.name
            if (
                slot.shared
                and slot.tasks.owner(task) == inner_id(session, name)
                and name in inners.view.servers
            ):
                return name
        return None

    def _tasks(self, call: Call, message: Message, inners: Inners) -> None:
        asked = [
            self.ask(inner, LIST_TASKS, {})
            for inner in inners.sessions.values()
            if inner.server.name in inners.tasks.values()
        ]
        self._board.hold(call)
        DeferredList(asked, consumeErrors=True).addCallback(self._all_tasks, call)

    def _all_tasks(self, found: list[tuple[bool, Envelope]], call: Call) -> None:
        tasks = []
        for is_there, reply in found:
            listed = peek.members(reply, "result").get("tasks") if is_there else None
            tasks += jsonrpc.read_list(listed, "tasks") if listed is not None else []
        if self._board.release(call):
            call.sink.answered(call, jsonrpc.result(jsonrpc.NULL, {"tasks": tasks}))

    def learn_task(self, call: Call, inners: Inners, server: str) -> None:
        """Remember which server begins a task."""
        call.sink = TaskLearner(call.sink, inners, server)


def _failure(outcomes: list[tuple[bool, Any]]) -> GatewayError | None:
    return next((reason(why) for is_there, why in outcomes if not is_there), None)


def _referred(view: View, name: str | None, uri: str | None) -> tuple[str, str] | None:
    # The server of what is to be completed, and its own name there.
    if name is not None:
        item = view.prompt(name)
        return (item.server, item.own) if item is not None else None
    return (view.template(uri) or view.resource(uri)) if uri is not None else None


def _named(message: Message) -> str:
    name = peek.text(message.params, "name")
    if name is None:
        raise InvalidParams('Invalid params: "name" must be a string')
    return name


def _pong(call: Call, message: Message, inners: Inners) -> None:
    call.sink.answered(call, jsonrpc.result(jsonrpc.NULL, {}))


def _let_go(why: Failure) -> None:
    why.trap(GatewayError)  # a server that has gone is told when it is back
