"""Fetches of the lists that are not known, from several servers at once, as a client would fetch them.

A list of a shared child is fetched once for all its clients.  A list of a client's own child is fetched in that
client's own session.

# Note [Who waits, and for how long]
A client that asks for a list gets it at once, and waits only `LIST_S` for servers that run and may answer at once: some
clients give up after a few seconds, and a server takes that long to start.  Later lists are notified.

A request that names a tool, prompt or resource waits for the server of the name, and for no other, as long as that
takes: until then it is not known if the name exists.  Where a name does not tell its server, the request waits for all
servers whose lists are not known, but at most `PATIENCE_S`; a list that one request has waited for in vain is not
waited for again until the server has answered.

A server that has failed to start is not started again for a list before its back-off is over: the client gets the
failure as the reason.  Calls do not wait for that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen
from msgspec import Raw
from twisted.internet import defer
from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.backends.conversation import OwnQuestion
from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.discovery.records import ListKind
from mcpgateway.errors import (
    BackendGone,
    BackendTimeout,
    GatewayError,
    ShuttingDown,
    UnknownSession,
    of_server,
)
from mcpgateway.hub.filters import reason
from mcpgateway.hub.sessions import Session
from mcpgateway.hub.slot import slot_of
from mcpgateway.interfaces import Request
from mcpgateway.owntools.missing_servers import NOT_YET
from mcpgateway.protocol import jsonrpc, legacy
from mcpgateway.protocol.jsonrpc import Envelope

if TYPE_CHECKING:
    from mcpgateway.views.registry import ViewRegistry
    from mcpgateway.views.view import View

LIST_S = 0.08  # for running servers, so that a list is answered within a tenth of a second
PATIENCE_S = 10.0  # for servers that a request does not name
SOON_S = 0.02  # starting a server would delay the answer that was just given
ANSWER_S = 120.0  # a server that has not answered by then is asked again for the next request
RESPITE_S = 30.0  # for which a server that could not be asked is left alone
RESPITES_LIMIT = 1000
TRIES = 3  # requests for one list to a server whose child ends meanwhile, as when it is killed
PASSING = (BackendGone, ShuttingDown)
_UNKNOWN_METHOD = -32601
_DECLARED = {
    ListKind.TOOL: "tools",
    ListKind.PROMPT: "prompts",
    ListKind.RESOURCE: "resources",
    ListKind.TEMPLATE: "resources",
}

Key = tuple[str, str, ListKind, str]
"""The server, its launch, the kind of list, and the ``told`` of its child."""

Wanted = Iterable[tuple[ServerSpec, ListKind]]


@define(eq=False, repr=False)
class _Asking:
    """A list that is being fetched, and the sessions that wait for it.

    :ivar is_missed: True if a request has waited for the list in vain.
    :ivar tries: the number of times that the server's child has ended during the fetch.
    """

    waiting: dict[Deferred[None], Session] = field(factory=dict)
    is_missed: bool = False
    tries: int = 0


@frozen
class _Respite:
    """The pause of a server that could not be asked.

    :ivar until: by the clock, in seconds.
    """

    until: float
    why: GatewayError


class Lister:
    """Fetches lists, each once for all that wait for it."""

    log = Logger()

    def __init__(self, registry: ViewRegistry) -> None:
        self._registry = registry
        self._asking: dict[Key, _Asking] = {}
        self._respites: dict[Key, _Respite] = {}

    def waits(self, session: Session, server: str, kind: ListKind) -> bool:
        """True if a session waits for a list that is being fetched."""
        return any(
            each is session
            for key, asking in self._asking.items()
            if key[0] == server and key[2] is kind
            for each in asking.waiting.values()
        )

    def wait(self, wanted: Wanted, session: Session, patience_s: float = PATIENCE_S) -> Deferred[None]:
        """Fetch lists; fires once all are known, or after so many seconds; see Note [Who waits, and for how long].

        Lists that a request has waited for in vain, and those of servers in a pause, are not waited for.
        """
        asked: list[Deferred[None]] = []
        # A request may start many servers, which takes time.
        late = self._registry.clock.callLater(patience_s, self._impatient, asked, patience_s >= PATIENCE_S)
        for server, kind in wanted:
            key = self._key(session, server, kind)
            if not self._is_missed(key) and self._fault(key, server) is None:
                asked.append(self.ask(session, server, kind).addErrback(_let_go))

        def done(_: object) -> None:
            if late.active():
                late.cancel()

        return defer.DeferredList(asked).addCallback(done)

    def begin(self, wanted: Wanted, session: Session) -> None:
        """Fetch lists soon, without waiting for them: their arrival is notified."""
        if found := deque(wanted):
            self._registry.clock.callLater(SOON_S, self._begin_next, session, found)

    def _begin_next(self, session: Session, wanted: deque[tuple[ServerSpec, ListKind]]) -> None:
        # A request may start a server, which takes time: other work goes on in between.
        if session.id and not self._is_there(session):
            return
        server, kind = wanted.popleft()
        key = self._key(session, server, kind)
        if (
            self._registry.inners(session).view.servers.get(server.name) is server
            and self._fault(key, server) is None
        ):
            self._asked(session, server, key)
        if wanted:
            self._registry.clock.callLater(0, self._begin_next, session, wanted)

    async def fetch(self, wanted: Wanted, session: Session) -> GatewayError | None:
        """Fetch lists; return the first failure."""
        asked = [self.ask(session, *each) for each in wanted]
        outcomes: list[tuple[bool, Any]] = await defer.DeferredList(asked, consumeErrors=True)
        return next((reason(why) for is_there, why in outcomes if not is_there), None)

    def missing(self, view: View, kind: ListKind, session: Session) -> dict[str, str]:
        """Return the servers whose list is missing in the session's view, with the reasons."""
        known, found = self._registry.librarian.known, {}
        for server in view.to_ask(kind):
            is_unknown = known(server, kind, view.told.get(server.name, "")) is None
            if is_unknown and self.may_list(session, server):
                fault = self._fault(self._key(session, server, kind), server)
                found[server.name] = fault.message if fault is not None else NOT_YET
        return found

    def may_list(self, session: Session, server: ServerSpec) -> bool:
        """True if a session may fetch a server's list: a session without an id has no child of its own."""
        return bool(session.id) or self._registry.switchboard.pool.scope(server) is not Share.SESSION

    def shown(self, session: Session, kind: ListKind) -> None:
        """Note that a session's client is given a list, so that it is notified when a part turns out to be outdated."""
        view = self._registry.inners(session).view
        for server in view.to_ask(kind):
            self._registry.librarian.show(server, kind, view.told.get(server.name, ""))

    def _fault(self, key: Key, server: ServerSpec) -> GatewayError | None:
        """Return the failure for which a server is not asked for lists now; None where it may be asked."""
        found = self._respites.get(key)
        if found is not None and found.until > self._registry.clock.seconds():
            return found.why
        return self._registry.pause(server)

    def _impatient(self, asked: list[Deferred[None]], is_missed: bool) -> None:  # noqa: FBT001 - of a timer
        if is_missed:
            for asking in self._asking.values():
                if not asking.waiting.keys().isdisjoint(asked):
                    asking.is_missed = True
        for each in asked:
            each.cancel()

    def _is_missed(self, key: Key) -> bool:
        # A request has waited for it in vain; its arrival is notified.
        asking = self._asking.get(key)
        return asking is not None and asking.is_missed

    def _key(self, session: Session, server: ServerSpec, kind: ListKind, told: str | None = None) -> Key:
        if told is None:
            told = self._registry.inners(session).view.told.get(server.name, "")
        return (server.name, self._registry.librarian.place(server), kind, told)

    def ask(
        self,
        session: Session,
        server: ServerSpec,
        kind: ListKind,
        told: str | None = None,
        *,
        is_look: bool = False,
    ) -> Deferred[None]:
        """Fetch a list; fires when it is known, and may be cancelled, which does not stop the fetch.

        :param told: the ``told`` of the child; None for that of the session's view.
        :param is_look: True if no call needs the list, so that a server that has just failed is not started for it.
        :raise GatewayError: (through the Deferred) the server cannot be asked.
        """
        key = self._key(session, server, kind, told)
        pause = self._registry.pause(server) if is_look and key not in self._asking else None
        if pause is not None:
            return fail(pause)
        asking = self._asking.get(key) or _Asking()
        done: Deferred[None] = Deferred(lambda each: self._give_up(key, each))
        asking.waiting[done] = session
        self._asked(session, server, key, asking)
        return done

    def _asked(self, session: Session, server: ServerSpec, key: Key, asking: _Asking | None = None) -> None:
        if key not in self._asking:
            self._asking[key] = asking or _Asking()
            self._begin(session, server, key)

    def _begin(self, session: Session, server: ServerSpec, key: Key) -> None:
        learnt = Deferred.fromCoroutine(self._learn(session, server, key[2], key[3]))
        learnt.addTimeout(ANSWER_S, self._registry.clock).addBoth(self._learnt, key, session, server)

    def _give_up(self, key: Key, done: Deferred[None]) -> None:
        asking = self._asking.get(key)
        if asking is not None:
            asking.waiting.pop(done, None)
        done.errback(BackendTimeout("it takes too long"))

    def _learnt(self, why: Any, key: Key, session: Session, server: ServerSpec) -> None:
        has_left = isinstance(why, Failure) and bool(key[3]) and not self._is_there(session)
        waiting = self._asking[key].waiting.values() if has_left else ()
        heir = next((each for each in waiting if self._is_there(each)), None)
        if heir is not None:
            # The child of a client that has left was asked; the children of the other waiting clients list the same.
            self._begin(heir, server, key)
            return
        asking = self._asking[key]
        if isinstance(why, Failure) and why.check(*PASSING) and self._is_current(server, key):
            # The next child may answer, and without the list its tools would be unknown for a while.
            asking.tries += 1
            if asking.tries < TRIES:
                self._begin(session, server, key)
                return
        del self._asking[key]
        self._respites.pop(key, None)
        if has_left:
            for done in asking.waiting:
                done.errback(UnknownSession("Session has ended"))
        elif isinstance(why, Failure):
            error = self._not_learnt(why, key)
            for done in asking.waiting:
                done.errback(error)
        else:
            for done in asking.waiting:
                done.callback(None)

    def _is_current(self, server: ServerSpec, key: Key) -> bool:
        # A redefined or removed server is not started again.
        switchboard = self._registry.switchboard
        try:
            now = switchboard.current(server)
        except GatewayError:
            return False
        return switchboard.is_open and self._registry.librarian.place(now) == key[1]

    def _is_there(self, session: Session) -> bool:
        return self._registry.switchboard.sessions.named(session.id) is session

    def _not_learnt(self, why: Failure, key: Key) -> GatewayError:
        if why.check(GatewayError, defer.TimeoutError) is None:
            self.log.failure("a list could not be read", why, event="view.list_broken")
        else:
            self.log.info(
                "{server} cannot be asked for its {what}: {why}",
                event="view.not_listed",
                server=key[0],
                what=key[2].member,
                why=str(why.value),
            )
        if len(self._respites) >= RESPITES_LIMIT:
            self._respites.clear()
        error = (
            why.value
            if isinstance(why.value, GatewayError)
            else BackendTimeout(f"no answer in {ANSWER_S:g} s")
        )
        self._respites[key] = _Respite(self._registry.clock.seconds() + RESPITE_S, error)
        return error

    def forget(self) -> None:
        """End all pauses, since the servers have changed."""
        self._respites.clear()

    async def _learn(self, session: Session, server: ServerSpec, kind: ListKind, told: str) -> None:
        registry, librarian = self._registry, self._registry.librarian
        # A list that is the same for all is fetched in no client's session, so that it comes even if the client leaves.
        if told:
            from mcpgateway.views.other_directories import meet

            asked = meet(registry, session, server)
        else:
            asked = registry.switchboard.session(None, server, session.principal)
        changes = librarian.changes.get(server.name)
        pages = await self._pages(asked, kind)
        # A client's own child that has notified of a change meanwhile has a list of that client alone.
        own = registry.inners(session).view.told.get(server.name, told) if told else told
        for each in dict.fromkeys((told, own)):
            librarian.learn(server, kind, pages, each)
            if librarian.changes.get(server.name) != changes:
                librarian.outdate(server, kind.news, each)

    async def _pages(self, asked: Session, kind: ListKind) -> tuple[Raw, ...]:
        async def ask(cursor: str | None) -> Raw | None:
            if _lacks(asked, kind):
                return None
            params = {} if cursor is None else {"cursor": jsonrpc.raw(cursor)}
            reply = await self._request(asked, kind.method, params)
            if "error" in reply:
                _check_absent(reply["error"], asked, kind)
                return None
            return reply["result"]

        fetched = await self._registry.librarian.limit.fetch(asked.server.name, kind.method, ask)
        return fetched.pages if not fetched.is_absent else ()

    def _request(self, asked: Session, method: str, params: Envelope) -> Deferred[Envelope]:
        registry = self._registry
        call = Request(asked, jsonrpc.own_request(method, params, b""), None, None)

        def give_up(_: Deferred[Envelope]) -> None:
            call.withdraw("it takes too long")

        done: Deferred[Envelope] = Deferred(give_up)
        call.sink = OwnQuestion(done)
        try:
            registry.switchboard.submit(call)
        except GatewayError as why:
            done.errback(why)
        return done


def _lacks(session: Session, kind: ListKind) -> bool:
    # Many servers declare tools only, and need not be started for other lists.
    slot = slot_of(session)
    hello = slot.introduction if slot is not None else None
    return hello is not None and _DECLARED[kind] not in legacy.capabilities(hello)


def _check_absent(error: Raw, asked: Session, kind: ListKind) -> None:
    """Check that an error stands for the absence of a list.

    :raise GatewayError: it is another error.
    """
    body = jsonrpc.value(error, dict)
    if body.get("code") != _UNKNOWN_METHOD and not _lacks(asked, kind):
        raise GatewayError(of_server(asked.server.name, legacy.error_text(error)))


def _let_go(why: Failure) -> None:
    why.trap(GatewayError)  # logged; the other lists are not affected
