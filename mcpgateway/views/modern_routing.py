"""Routing of modern requests on a view to single servers, under the servers' own names."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import TYPE_CHECKING, Any

from attrs import define, evolve
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.listing import More
from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.discovery.resources import Owned, owner_named
from mcpgateway.errors import (
    GatewayError,
    InvalidParams,
)
from mcpgateway.hub.caller import Caller
from mcpgateway.hub.filters import Between, reason
from mcpgateway.hub.pool import Pool
from mcpgateway.interfaces import Request
from mcpgateway.owntools.missing_servers import hint as not_all
from mcpgateway.protocol import jsonrpc, modern, peek
from mcpgateway.protocol.jsonrpc import Envelope, Message
from mcpgateway.protocol.param_headers import ANNOTATION
from mcpgateway.protocol.versions import Era
from mcpgateway.views.filters import Rewriter
from mcpgateway.views.kept_results import OF_ERA, missing
from mcpgateway.views.lists import LIST_S, PASSING
from mcpgateway.views.modern_access import ModernAccess
from mcpgateway.views.modern_registry import CALL_TOOL, Here, ModernRegistry
from mcpgateway.views.view import View

if TYPE_CHECKING:
    from mcpgateway.owntools.tool import Tool

_MIRRORED = ANNOTATION.encode()


@define(eq=False, repr=False)
class _Next(Between):
    """Reads a resource at the next server after one that does not have it; any other error is the answer."""

    road: ModernRouting
    message: Message
    caller: Caller
    uri: str
    owners: list[tuple[Owned, ServerSpec]]

    def answered(self, call: Request, reply: Envelope) -> None:
        """Take the server's response; after "not found" ask the next server."""
        from mcpgateway.views.own_messages import is_not_found

        call.sink = self.sink
        if "error" not in reply or not is_not_found(reply["error"]):
            self.sink.answered(call, reply)
            return
        try:
            call.message, call.caller = self.message, self.caller
            self.road.read_at(call, self.uri, self.owners)
        except GatewayError as why:
            call.sink.failed(call, why)


class ModernRouting:
    """Routes modern requests on views to the servers that they are for.

    :ivar here: the handler of each method.
    """

    log = Logger()

    def __init__(self, door: ModernRegistry, pool: Pool) -> None:
        self._door = door
        self._pool = pool
        self.here: dict[str, Here] = {
            CALL_TOOL: self._call,
            "prompts/get": self._prompt,
            "resources/read": self._read,
            "completion/complete": self._complete,
            **dict.fromkeys(("tasks/get", "tasks/update", "tasks/cancel"), self._task),
        }

    def _later(self, known: Deferred[None], call: Request, then: Callable[[], None]) -> None:
        known.addCallback(lambda _: None if call.sink.is_gone else then())
        known.addErrback(self._broken, call)

    def _broken(self, why: Failure, call: Request) -> None:
        if not why.check(GatewayError):
            self.log.failure("a request to a view broke", why, event="view.broken")
        call.sink.failed(call, reason(why))

    def _call(self, call: Request, view: View) -> None:
        name = _text(call.message, "name")
        found = view.find(name)
        if found is not None:
            self._to(call, view, found)
            return
        self.seek(
            call,
            (ListKind.TOOL,),
            lambda view: view.named(name),
            lambda view: view.find(name) is not None,
            lambda again: self._call_now(call, again),
        )

    def _call_now(self, call: Request, view: View) -> None:
        name = _text(call.message, "name")
        found = view.find(name)
        if found is None:
            raise self._unknown(f"Unknown tool: {name}", name, view, ListKind.TOOL, call.caller)
        self._to(call, view, found)

    def _to(self, call: Request, view: View, found: Item | More | Tool) -> None:
        if isinstance(found, Item):
            self._forward(call, view, found)
        elif isinstance(found, More):
            params = call.message.params or {}
            item, params["arguments"] = found.choose(peek.members(params, "arguments"))
            call.caller = evolve(call.caller, headers=None)
            self._forward(call, view, item)
        else:
            self._run(call, view, found)

    def give_list(self, call: Request, kind: ListKind, then: Callable[[View], None]) -> None:
        """Answer a request for a list after `LIST_S` at the latest (`mcpgateway.views.lists`)."""
        caught_up = self._door.board.catch_up()
        if caught_up.called:
            self._list_now(call, kind, then)
        else:
            self._later(caught_up, call, lambda: self._list_now(call, kind, then))

    def _list_now(self, call: Request, kind: ListKind, then: Callable[[View], None]) -> None:
        lists, view = self._door.lists, self._door.look(call.caller)
        unknown = [
            (each, kind) for each in view.to_ask(kind) if lists.has_to_be_asked(each, kind, call.caller)
        ]
        running = {slot.server.name for slot in self._pool if slot.conversation is not None}
        soon = [each for each in unknown if each[0].name in running]

        def give() -> None:
            then(self._door.look(call.caller))
            lists.begin([each for each in unknown if each not in soon], call.caller)

        if soon:
            self._later(lists.wait(soon, call.caller, LIST_S), call, give)
        else:
            give()

    def seek(
        self,
        call: Request,
        kinds: Iterable[ListKind],
        whose: Callable[[View], Container[str]],
        is_found: Callable[[View], bool],
        then: Callable[[View], None],
    ) -> None:
        """Go on with a request for an unknown name once the lists that may have it are known.

        :param whose: returns the servers that the name says it belongs to; empty where it does not say.
        """
        sought = Deferred.fromCoroutine(self._seek(tuple(kinds), call.caller, whose, is_found))
        self._later(sought, call, lambda: then(self._door.look(call.caller)))

    async def _seek(
        self,
        kinds: tuple[ListKind, ...],
        caller: Caller,
        whose: Callable[[View], Container[str]],
        is_found: Callable[[View], bool],
    ) -> None:
        door, lists = self._door, self._door.lists
        await door.board.catch_up()
        view = door.look(caller)
        if is_found(view):
            return
        unknown = [(each, kind) for kind in kinds for each in view.to_ask(kind)]
        named = [each for each in unknown if each[0].name in whose(view)]
        if not named and not whose(view):
            await lists.wait([each for each in unknown if lists.has_to_be_asked(*each, caller)], caller)
            return
        # Only the named server can have it, and is called as at its own endpoint.
        asked = [lists.ask(*each, caller) for each in named]
        await DeferredList([each.wait for each in asked])
        why = next((each.why for each in asked if each.why is not None), None)
        if why is None or is_found(door.look(caller)):
            return
        if isinstance(why, PASSING):
            # The child may have been ended by an edit, which is not in force everywhere before this turn is over.
            await deferLater(door.clock, 0)
            now = door.look_anew(caller).servers
            if any(each.name in now and now[each.name] is not each for each, _ in named):
                await self._seek(kinds, caller, whose, is_found)
                return
        raise why

    def _unknown(self, what: str, name: str, view: View, kind: ListKind, caller: Caller) -> InvalidParams:
        missing = self._door.lists.missing(view.to_ask(kind), kind, caller)
        hint = "; ".join(filter(None, (_near(view, name, kind), not_all(missing))))
        return InvalidParams(what, hint, {"missing": missing} if missing else None)

    def _forward(self, call: Request, view: View, item: Item) -> None:
        call.caller = evolve(call.caller, server=view.servers[item.server])
        _put(call.message, "name", item.own)
        if item.kind is ListKind.TOOL:
            self._door.shield(call, call.caller.principal, view, (item.server, item.own), None)
            if self._flies(call, item):
                return
        self._door.send(call)

    def _flies(self, call: Request, item: Item) -> bool:
        # Only at a server of the same era, and where no header has to be compared with each caller's arguments.
        if not self._door.may_fly(item) or _MIRRORED in bytes(item.input_schema or b""):
            return False
        call.session = self._door.stateless.meeting(call.caller)
        call.level = modern.level(call.message.meta)
        return call.session is not None and self._door.flies(call, item, self._door.send)

    def _run(self, call: Request, view: View, tool: Tool) -> None:
        if self._door.errands.resume(call, call.caller.principal, call.caller.server.name):
            return
        from mcpgateway.owntools import answers

        call.level = modern.level(call.message.meta)
        errand = self._door.errands.begin(call, call.caller.principal, call.caller.server.name)
        access = ModernAccess(self._door, view, call.caller, errand)
        if self._door.own is not None:
            self._door.own.begin_tool(errand.call, tool.name)
        try:
            tool.call(errand.call, _arguments(call.message), access)
        except GatewayError as why:
            answers.failed_by(errand.call, why)

    def _prompt(self, call: Request, view: View) -> None:
        name = _text(call.message, "name")

        def forward(view: View) -> None:
            found = view.prompt(name)
            if found is None:
                raise self._unknown(f"Unknown prompt: {name}", name, view, ListKind.PROMPT, call.caller)
            self._forward(call, view, found)

        if view.prompt(name) is not None:
            forward(view)
            return
        self.seek(
            call,
            (ListKind.PROMPT,),
            lambda view: view.named(name),
            lambda view: view.prompt(name) is not None,
            forward,
        )

    def _read(self, call: Request, view: View) -> None:
        uri, kept = _text(call.message, "uri", jsonrpc.URI_LIMIT), self._door.kept
        if kept is not None and kept.has(uri, call.caller.principal):
            self._give(kept.read(uri, call.caller.principal), call)
            return

        def read(view: View) -> None:
            owners = [(each, view.servers[each.server]) for each in view.owners(uri)]
            if not owners:
                absent = self._door.lists.missing(
                    view.to_ask(ListKind.RESOURCE), ListKind.RESOURCE, call.caller
                )
                what, hint = missing(uri)
                data = {"uri": uri, "missing": absent} if absent else {"uri": uri}
                raise InvalidParams(what, "; ".join(filter(None, (hint, not_all(absent)))), data)
            self.read_at(call, uri, owners)

        if view.resource(uri) is not None:
            read(view)
            return
        kinds = (ListKind.RESOURCE, ListKind.TEMPLATE)
        self.seek(call, kinds, lambda _: owner_named(uri), lambda view: view.resource(uri) is not None, read)

    def _give(self, found: Deferred[dict[str, Any]], call: Request) -> None:
        def answer(result: dict[str, Any]) -> None:
            if not call.sink.is_gone:
                call.sink.answered(call, jsonrpc.result(jsonrpc.NULL, OF_ERA[Era.MODERN] | result))

        found.addCallback(answer).addErrback(self._broken, call)

    def read_at(self, call: Request, uri: str, owners: list[tuple[Owned, ServerSpec]]) -> None:
        """Read a resource at the first server that may have it, and at the next where that one does not.

        :raise GatewayError: the request is refused, and not sent.
        """
        (owner, server), *others = owners
        if others:
            again = evolve(call.message, params=dict(call.message.params or {}))
            call.sink = _Next(call.sink, self, again, evolve(call.caller), uri, others)
        if owner.uri != uri:
            from mcpgateway.views.own_messages import renamed

            call.sink = Rewriter(call.sink, lambda result: renamed(result, owner.uri, uri))
            _put(call.message, "uri", owner.uri)
        call.caller = evolve(call.caller, server=server)
        self._door.send(call)

    def _complete(self, call: Request, view: View) -> None:
        reference = peek.members(call.message.params, "ref")
        name, uri = peek.text(reference, "name"), peek.text(reference, "uri", jsonrpc.URI_LIMIT)
        if name is None and uri is None:
            raise InvalidParams("Invalid params: ref must name a prompt or a resource")
        kinds = (ListKind.PROMPT,) if name is not None else (ListKind.TEMPLATE, ListKind.RESOURCE)

        def whose(view: View) -> Container[str]:
            return view.named(name) if name is not None else owner_named(uri)

        def is_found(view: View) -> bool:
            if name is not None:
                return view.prompt(name) is not None
            return bool(view.template(uri or "") or view.resource(uri or ""))

        def complete(view: View) -> None:
            server, own = _referred(view, name, uri)
            reference["uri" if name is None else "name"] = jsonrpc.raw(own)
            (call.message.params or {})["ref"] = jsonrpc.raw(reference)
            call.caller = evolve(call.caller, server=view.servers[server])
            self._door.send(call)

        if is_found(view):
            complete(view)
        else:
            self.seek(call, kinds, whose, is_found, complete)

    def _task(self, call: Request, view: View) -> None:
        modern.check_tasks(call.message.meta)
        server = self.runner(view, call.caller.principal, peek.text(call.message.params, "taskId") or "")
        if server is None:
            raise InvalidParams("Task not found")
        call.caller = evolve(call.caller, server=server)
        self._door.send(call)

    def runner(self, view: View, principal: str, task: str) -> ServerSpec | None:
        """Return the server that runs a task of a principal; None where none does."""
        # Task ids cannot be guessed, so no two servers make up the same.
        for slot in self._pool:
            if (
                slot.server.name in view.servers
                and slot.era is Era.MODERN
                and slot.tasks.has(task, principal)
            ):
                return view.servers[slot.server.name]
        return None


def _text(message: Message, name: str, limit: int = jsonrpc.METHOD_LIMIT) -> str:
    found = peek.text(message.params, name, limit)
    if found is None:
        raise InvalidParams(f'Invalid params: "{name}" must be a string')
    return found


def _near(view: View, wrong: str, kind: ListKind) -> str:
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
