"""Forwarding of requests on a view to the servers that they are for, once these are known.

The request moves to its client's member session at the server, and keeps its client's sink.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from mcpgateway.backends.conversation import OwnQuestion
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.surface import Level
from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.errors import GatewayError, InvalidParams
from mcpgateway.hub.filters import reason
from mcpgateway.hub.sessions import Session
from mcpgateway.interfaces import Request
from mcpgateway.owntools.missing_servers import hint as not_all
from mcpgateway.policy.recorded_answers import is_own
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.versions import Era
from mcpgateway.views.filters import TaskLearner
from mcpgateway.views.lists import PASSING, Lister
from mcpgateway.views.members import Inners
from mcpgateway.views.registry import ViewRegistry
from mcpgateway.views.view import View


class Forwarder:
    """Forwards requests of views' sessions to servers.

    :ivar lister: fetches the lists that are not known.
    """

    def __init__(self, registry: ViewRegistry, lister: Lister) -> None:
        self._registry = registry
        self.lister = lister

    # To a server

    def go(
        self,
        call: Request,
        server: str,
        tool: Item | None = None,
        elsewhere: ServerSpec | None = None,
    ) -> None:
        """Send a request to a server, in its client's member session there.

        :param tool: the called tool, where identical calls of it may be merged.
        :param elsewhere: the server as run for another directory, if the request is for that one.
        :raise GatewayError: the request is refused, and not sent.
        """
        outer: Session = call.session
        if not outer.server.view:
            self._met(call, outer, tool)  # the session is at the server itself
            return
        inners = outer.inners
        inner = inners.sessions.get(server) if inners is not None else None
        if elsewhere is not None:
            inner = None
        if inner is None:
            inner = self._meet(outer, server, elsewhere)
        self._met(call, inner, tool)

    def bring(
        self,
        call: Request,
        view: View,
        target: tuple[str, str],
        level: Level | None,
        elsewhere: ServerSpec | None = None,
    ) -> None:
        """Send a call to a server's tool.

        :param target: the server, and the tool's own name.
        :param level: the level at which its result is shortened; None for the view's.
        :param elsewhere: the server as run for another directory, if the call is for that one.
        :raise GatewayError: the call is refused, and not sent.
        """
        self._registry.outcomes.over(call, call.session.principal, view, target, level)
        self.go(call, target[0], view.tool(*target), elsewhere)

    def _meet(self, outer: Session, server: str, elsewhere: ServerSpec | None) -> Session:
        if elsewhere is None:
            return self._registry.meet(outer, server)
        from mcpgateway.views.other_directories import meet  # hardly any call names a directory

        return meet(self._registry, outer, elsewhere)

    def _met(self, call: Request, inner: Session, tool: Item | None) -> None:
        call.session = inner
        submit = self._registry.switchboard.submit
        if tool is None or not self._registry.outcomes.flies(call, tool, submit):
            submit(call)

    def ask(self, inner: Session, method: str, params: Envelope) -> Deferred[Envelope]:
        """Send a request of the gateway's in a member session; fires with the response, which may be an error.

        :raise GatewayError: (through the Deferred) the request is refused.
        """
        done: Deferred[Envelope] = Deferred()
        call = Request(inner, jsonrpc.own_request(method, params, b""), None, OwnQuestion(done))
        try:
            self._registry.switchboard.submit(call)
        except GatewayError as why:
            call.sink.failed(call, why)
        return done

    def learn_task(self, call: Request, inners: Inners, server: str) -> None:
        """Remember the server of the task that a call may begin."""
        call.sink = TaskLearner(call.sink, inners, server)

    # Answers of the gateway

    def give(self, found: Deferred[dict[str, Any]], call: Request) -> None:
        """Answer a call with a result of the gateway's, unless the call is cancelled before."""
        registry = self._registry
        registry.hold(call)

        def answer(result: dict[str, Any]) -> None:
            if registry.release(call):
                call.sink.answered(call, jsonrpc.result(jsonrpc.NULL, result))

        def fail(why: Failure) -> None:
            if registry.release(call):
                call.sink.failed(call, reason(why))

        found.addCallback(answer).addErrback(fail)

    def settled(self, call: Request, then: Callable[[], None]) -> None:
        """Go on with a call once all edits of the configuration are in force."""
        caught_up = self._registry.catch_up()
        if caught_up.called:
            then()
        else:
            self._registry.hold(call)
            self.after(caught_up, call, then)

    def after(self, done: Deferred[None], call: Request, then: Callable[[], None]) -> None:
        """Go on with a held call when ``done`` fires, unless the call is cancelled before."""

        def go_on(_: object) -> None:
            if self._registry.release(call):
                then()

        def broken(why: Failure) -> None:
            self._registry.release(call)
            call.sink.failed(call, reason(why))

        done.addCallback(go_on).addErrback(broken)

    # Names that are not known yet

    def seek(
        self,
        call: Request,
        kinds: Iterable[ListKind],
        whose: Callable[[View], Container[str]],
        is_found: Callable[[View], bool],
        then: Callable[[], None],
    ) -> None:
        """Go on with a call for an unknown name once the lists that may have it are known.

        :param whose: returns the servers that the name says it belongs to; empty where it does not say.
        """
        self._registry.hold(call)
        sought = Deferred.fromCoroutine(self._seek(call.session, tuple(kinds), whose, is_found))
        self.after(sought, call, then)

    async def _seek(
        self,
        session: Session,
        kinds: tuple[ListKind, ...],
        whose: Callable[[View], Container[str]],
        is_found: Callable[[View], bool],
    ) -> None:
        registry = self._registry
        await registry.catch_up()
        view = registry.anew(session)
        if is_found(view):
            return
        unknown = [(each, kind) for kind in kinds for each in self.unknown_lists(session, view, kind)]
        named = [each for each in unknown if each[0].name in whose(view)]
        if not named and not whose(view):
            await self.lister.wait(session, unknown)
            return
        # Only the named server can have it, and is called as at its own endpoint.
        asked = [self.lister.ask(session, *each) for each in named]
        why = _failure(await DeferredList(asked, consumeErrors=True))
        if why is None or is_found(registry.anew(session)):
            return
        if isinstance(why, PASSING):
            # The child may have been ended by an edit, which is not in force everywhere before this turn is over.
            await deferLater(registry.clock, 0)
            now = registry.anew(session).servers
            if any(each.name in now and now[each.name] is not each for each, _ in named):
                await self._seek(session, kinds, whose, is_found)
                return
        raise why

    async def settle(self, session: Session, kind: ListKind) -> dict[str, str]:
        """Wait for the lists of all servers of a session's view; return the reasons of those that are missing."""
        registry = self._registry
        unknown = [(each, kind) for each in self.unknown_lists(session, registry.anew(session), kind)]
        if unknown:
            await self.lister.wait(session, unknown)
            registry.anew(session)
        return self.lister.missing(session, kind)

    def unknown_lists(self, session: Session, view: View, kind: ListKind) -> list[ServerSpec]:
        """Return the servers of a view that have to be asked for a list.

        A server that does not run is not started for a list that is recorded.
        """
        told = view.told
        return [each for each in view.to_ask(kind) if self._has_to_say(each, kind, told.get(each.name, ""))]

    def _has_to_say(self, server: ServerSpec, kind: ListKind, told: str) -> bool:
        return (
            is_own(told) or self._registry.librarian.known(server, kind, told) is None or self._runs(server)
        )

    def _runs(self, server: ServerSpec) -> bool:
        return any(self._registry.switchboard.pool.is_running(server, era) for era in Era)

    def may_answer_soon(self, session: Session, server: ServerSpec) -> bool:
        """True if a child that a session would ask for a server's lists is running."""
        inners = self._registry.inners(session)
        told = inners.view.told.get(server.name, "")
        if is_own(told) and server.name not in inners.sessions:
            return False  # the client's own child has to be started first
        slots = (each for each in self._registry.switchboard.pool if each.server.name == server.name)
        is_its = (
            is_own(told) or each.era is Era.MODERN or each.told == told for each in slots if each.conversation
        )
        return any(is_its)

    def unknown(
        self, session: Session, kind: ListKind, what: str, near: list[str], hint: str = ""
    ) -> InvalidParams:
        """Make the error for an unknown name, with similar names and the servers whose lists are missing."""
        missing = self.lister.missing(session, kind)
        said = [f"did you mean {', '.join(near)}?" if near else hint, not_all(missing)]
        return InvalidParams(what, "; ".join(filter(None, said)), {"missing": missing} if missing else None)


def _failure(outcomes: list[tuple[bool, Any]]) -> GatewayError | None:
    return next((reason(why) for is_there, why in outcomes if not is_there), None)
