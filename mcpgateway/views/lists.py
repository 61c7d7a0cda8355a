"""Fetches of the lists that are not known, from several servers at once, as a client would fetch them.

A list of a shared child is fetched once for all its clients.  A subclass has what differs between the eras: the
request to a server, and the servers that may be asked (`mcpgateway.views.session_lists`,
`mcpgateway.views.modern_lists`).

# Note [Who waits, and for how long]
A client that asks for a list gets it at once, and waits only `LIST_S` for servers that run and may answer at once: some
clients give up after a few seconds, and a server takes that long to start.  Later lists are notified.

A request that names a tool, prompt or resource waits for the server of the name, and for no other, as long as that
takes: until then it is not known if the name exists.  Where a name does not tell its server, the request waits for all
servers whose lists are not known, but at most `PATIENCE_S`; a list that one request has waited for in vain is not
waited for again until the server has answered.

A server that has failed to start is not started again for a list before its back-off is over: the client gets the
failure as the reason.  Calls do not wait for that.

# Note [Who is asked]
The gateway asks a server whose list is not known for clients with equal capabilities, and a running server that has
notified of a change of its list.  A server that does not run and whose list is recorded is not started for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import define, field
from msgspec import Raw, Struct
from twisted.internet import defer
from twisted.internet.defer import CancelledError, Deferred, DeferredList, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.backends.own_question import OwnQuestion
from mcpgateway.bounded import Bounded
from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.errors import (
    BackendGone,
    BackendTimeout,
    GatewayError,
    ShuttingDown,
    UnknownSession,
    UnsupportedVersion,
    of_server,
)
from mcpgateway.hub.filters import reason
from mcpgateway.interfaces import Request
from mcpgateway.owntools.missing_servers import NOT_YET
from mcpgateway.protocol import jsonrpc, legacy, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.versions import Era

if TYPE_CHECKING:
    from mcpgateway.views.registry import ViewRegistry
    from mcpgateway.views.view import View

LIST_S = 0.08  # for running servers, so that a list is answered within a tenth of a second
PATIENCE_S = 10.0  # for servers that a request does not name
SOON_S = 0.02  # starting a server would delay the answer that was just given
ANSWER_S = 120.0  # a server that has not answered by then is asked again for the next request
PAUSE_S = 30.0  # for which a server that could not be asked is left alone
PAUSES_LIMIT = 10_000
TRIES = 3  # requests for one list to a server whose child ends meanwhile, as when it is killed
PASSING = (BackendGone, ShuttingDown)
_NO_SUCH_LIST = (-32601, -32602)  # some servers without a list of a kind report invalid parameters
_DECLARED = {
    ListKind.TOOL: "tools",
    ListKind.PROMPT: "prompts",
    ListKind.RESOURCE: "resources",
    ListKind.TEMPLATE: "resources",
}

Client = TypeVar("Client")
Wanted = Iterable[tuple[ServerSpec, ListKind]]


class ListKey(Struct, frozen=True):
    """One list of one server.

    :ivar place: its launch (`mcpgateway.hub.catalog.listed.ServerLists.place`).
    :ivar handshake: the handshake of its child.
    """

    server: str
    place: str
    kind: ListKind
    handshake: str


@define(eq=False, repr=False)
class _Fetch(Generic[Client]):
    """A list that is being fetched, and the clients that wait for it.

    :ivar is_missed: True if a request has waited for the list in vain.
    """

    waiting: dict[Deferred[None], Client] = field(factory=dict)
    is_missed: bool = False


class ListFetcher(ABC, Generic[Client]):
    """Fetches lists, each once for all clients that wait for it.

    A client is a session, or the caller of a modern request.

    :param submit: sends a request to its server.
    """

    log = Logger()

    def __init__(self, view_sessions: ViewRegistry, submit: Callable[[Request], None]) -> None:
        self._view_sessions = view_sessions
        self._server_lists, self._clock = view_sessions.server_lists, view_sessions.clock
        self._dispatcher = view_sessions.dispatcher
        self._submit = submit
        self._fetches: dict[ListKey, _Fetch[Client]] = {}
        self._paused: Bounded[ListKey, tuple[float, GatewayError]] = Bounded(
            PAUSES_LIMIT
        )  # until when, and why

    # What differs between the eras

    @abstractmethod
    def handshake_of(self, server: ServerSpec, client: Client) -> str:
        """Return the handshake of a server for a client (`mcpgateway.hub.catalog.listed`)."""

    @abstractmethod
    def request(
        self, server: ServerSpec, kind: ListKind, params: Envelope, client: Client, handshake: str
    ) -> Request:
        """Return the request for a page of a list.

        :param handshake: the handshake of the child to ask.
        :raise GatewayError: the child cannot be asked.
        """

    @abstractmethod
    def hello(self, request: Request) -> Envelope | None:
        """Return the answer to the handshake of the child that a request goes to; None where none runs."""

    def may_list(self, server: ServerSpec, client: Client) -> bool:
        """True if a client may fetch a server's list."""
        return True

    def may_answer_soon(self, server: ServerSpec, client: Client) -> bool:
        """True if a child that would be asked for a server's lists is running."""
        return any(
            each.server.name == server.name and each.conversation is not None
            for each in self._dispatcher.pool
        )

    def _is_asked_again(self, server: ServerSpec, handshake: str) -> bool:
        # True if a server is asked for a list that is known but out of date.
        return any(self._dispatcher.pool.is_running(server, era) for era in Era)

    def _is_wanted(self, server: ServerSpec, client: Client) -> bool:
        # True if a list that was to be fetched later is still to be fetched.
        return self._is_current(server)

    def _may_try_again(self, server: ServerSpec, client: Client, handshake: str) -> bool:
        return self._is_current(server)

    def _handshake_now(self, server: ServerSpec, client: Client, handshake: str) -> str:
        # The server may meanwhile turn out to have one child for all clients, or several.
        return self.handshake_of(server, client)

    def _remember(self, server: ServerSpec, client: Client) -> None:
        """Note a client that is given a server's lists."""

    def _keep(self, server: ServerSpec, kind: ListKind, pages: tuple[Raw, ...], handshake: str) -> None:
        self._server_lists.learn(server, kind, pages, handshake)

    # The servers to ask

    def to_ask(
        self, view: View, kind: ListKind, client: Client, named: Collection[str] = ()
    ) -> list[ServerSpec]:
        """Return the servers to ask before a view's list is complete, or a name is unknown.

        :param named: the servers that the name says it belongs to; empty where it does not say.
        """
        if named:
            return [each for each in view.to_ask(kind) if each.name in named]
        return [each for each in view.to_ask(kind) if self.has_to_be_asked(each, kind, client)]

    def has_to_be_asked(self, server: ServerSpec, kind: ListKind, client: Client) -> bool:
        """True if a server has to be asked for a list; see Note [Who is asked]."""
        key = self._key(server, kind, client)
        if self._server_lists.is_fresh(server, kind, key.handshake) or not self.may_list(server, client):
            return False
        if self._fault(key, server) is not None:
            return False
        return self._server_lists.known(server, kind, key.handshake) is None or self._is_asked_again(
            server, key.handshake
        )

    def missing(self, view: View, kind: ListKind, client: Client) -> dict[str, str]:
        """Return the servers of a view whose list is not known, with the reasons."""
        found = {}
        for server in view.to_ask(kind):
            key = self._key(server, kind, client)
            if self._server_lists.known(server, kind, key.handshake) is None and self.may_list(
                server, client
            ):
                fault = self._last_fault(key, server)
                found[server.name] = fault.message if fault is not None else NOT_YET
        return found

    def shown(self, view: View, kind: ListKind, client: Client) -> None:
        """Note that a client is given a view's list, so that it is notified when a part turns out to be outdated."""
        for server in view.to_ask(kind):
            self._server_lists.show(server, kind, self.handshake_of(server, client))
            self._remember(server, client)

    # Waiting

    def wait(self, wanted: Wanted, client: Client, patience_s: float = PATIENCE_S) -> Deferred[None]:
        """Fetch lists; fires once all are known, or after so many seconds; see Note [Who waits, and for how long].

        Lists that a request has waited for in vain, and those of servers in a pause, are not waited for.
        """
        asked: list[Deferred[None]] = []
        # A request may start many servers, which takes time.
        timer = self._clock.callLater(patience_s, self._late, asked, patience_s >= PATIENCE_S)
        for server, kind in wanted:
            key = self._key(server, kind, client)
            fetch = self._fetches.get(key)
            if (fetch is None or not fetch.is_missed) and self._fault(key, server) is None:
                asked.append(self.ask(server, kind, client).addErrback(_let_go))

        def done(_: object) -> None:
            if timer.active():
                timer.cancel()

        return DeferredList(asked).addCallback(done)

    def _late(self, asked: list[Deferred[None]], is_missed: bool) -> None:  # noqa: FBT001 - of a timer
        for fetch in self._fetches.values() if is_missed else ():
            if not fetch.waiting.keys().isdisjoint(asked):
                fetch.is_missed = True
        for each in asked:
            each.cancel()

    def begin(self, wanted: Wanted, client: Client) -> None:
        """Fetch lists soon, without waiting for them: their arrival is notified."""
        if found := deque(wanted):
            self._clock.callLater(SOON_S, self._begin_next, found, client)

    def _begin_next(self, wanted: deque[tuple[ServerSpec, ListKind]], client: Client) -> None:
        # A request may start a server, which takes time: other work goes on in between.
        server, kind = wanted.popleft()
        if self._is_wanted(server, client) and self.has_to_be_asked(server, kind, client):
            self._start(server, kind, client)
        if wanted:
            self._clock.callLater(0, self._begin_next, wanted, client)

    async def fetch(self, wanted: Wanted, client: Client) -> GatewayError | None:
        """Fetch lists; return the first failure."""
        asked = [self.ask(*each, client) for each in wanted]
        outcomes: list[tuple[bool, Any]] = await DeferredList(asked, consumeErrors=True)
        return next((reason(why) for is_there, why in outcomes if not is_there), None)

    def entries(
        self, server: ServerSpec, kind: ListKind, client: Client, *, is_look: bool
    ) -> Deferred[tuple[Item, ...]]:
        """Return a server's entries of a kind; fetch them where they are not known.

        Entries that are out of date will do where the server does not run, or cannot be asked.

        :param is_look: True if no call needs them, so that a server that has just failed is not started for them.
        :raise GatewayError: (through the Deferred) the server cannot be asked.
        """
        known = self._server_lists.known(server, kind, self.handshake_of(server, client))
        if known is not None and not self.has_to_be_asked(server, kind, client):
            return succeed(known)

        def found(why: Failure | None) -> Any:
            items = self._server_lists.known(server, kind, self.handshake_of(server, client))
            return items if items is not None else why or ()

        return self.ask(server, kind, client, is_look=is_look).addBoth(found)

    def ask(
        self, server: ServerSpec, kind: ListKind, client: Client, *, is_look: bool = False
    ) -> Deferred[None]:
        """Fetch a list, unless it is being fetched; fires when it is known.

        The Deferred may be cancelled, which does not stop the fetch.

        :param is_look: True if no call needs the list, so that a server that has just failed is not started for it.
        :raise GatewayError: (through the Deferred) the server cannot be asked.
        """
        key = self._key(server, kind, client)
        pause = self._view_sessions.pause(server) if is_look and key not in self._fetches else None
        if pause is not None:
            return fail(pause)

        def give_up(done: Deferred[None]) -> None:
            if (fetch := self._fetches.get(key)) is not None:
                fetch.waiting.pop(done, None)
            done.errback(BackendTimeout("it takes too long"))

        done: Deferred[None] = Deferred(give_up)
        self._start(server, kind, client, done)
        return done

    # Fetching

    def _start(
        self, server: ServerSpec, kind: ListKind, client: Client, wait: Deferred[None] | None = None
    ) -> None:
        key = self._key(server, kind, client)
        fetch = self._fetches.get(key)
        is_new = fetch is None
        if fetch is None:
            fetch = self._fetches[key] = _Fetch()
        if wait is not None:
            fetch.waiting[wait] = client
        if is_new:
            self._remember(server, client)
            found = Deferred.fromCoroutine(self._with_tries(key, server, client))
            found.addTimeout(ANSWER_S, self._clock).addBoth(self._over, key)

    def _over(self, why: Failure | None, key: ListKey) -> None:
        fetch = self._fetches.pop(key)
        self._paused.pop(key, None)
        error = self._failed(why, key) if why is not None else None
        for each in fetch.waiting:
            if each.called:
                continue  # it was given up when one before it went on
            if error is not None:
                each.errback(error)
            else:
                each.callback(None)

    def _failed(self, why: Failure, key: ListKey) -> GatewayError:
        is_late = why.check(defer.TimeoutError) is not None
        error = (
            BackendTimeout(f"{key.server} did not answer within {ANSWER_S:g} s") if is_late else reason(why)
        )
        if isinstance(error, UnknownSession):
            return error  # the client has left, which is no reason to leave the server alone
        self._paused[key] = (self._clock.seconds() + PAUSE_S, error)
        if why.check(GatewayError, defer.TimeoutError) is None:
            self.log.failure("a list could not be read", why, event="list.broken", server=key.server)
        else:
            self.log.info(
                "{server} could not be asked for {method}: {why}",
                event="list.not_asked",
                server=key.server,
                method=key.kind.method,
                why=error.message,
            )
        return error

    async def _with_tries(self, key: ListKey, server: ServerSpec, client: Client) -> None:
        for tries in range(TRIES, 0, -1):
            try:
                await self._fetch_pages(key, server, client)
            except PASSING:
                # The next child may answer, and without the list its tools would be unknown for a while.
                if tries == 1 or not self._may_try_again(server, client, key.handshake):
                    raise
            else:
                return

    async def _fetch_pages(self, key: ListKey, server: ServerSpec, client: Client) -> None:
        server_lists, kind, handshake = self._server_lists, key.kind, key.handshake
        changes = server_lists.changes.get(server.name)

        async def page(cursor: str | None) -> Raw | None:
            params = {} if cursor is None else {"cursor": jsonrpc.raw(cursor)}
            return await self._page(self.request(server, kind, params, client, handshake), server, kind)

        fetched = await server_lists.limit.fetch(server.name, kind.method, page)
        for each in dict.fromkeys((handshake, self._handshake_now(server, client, handshake))):
            self._keep(server, kind, fetched.pages, each)
            if server_lists.changes.get(server.name) != changes:
                server_lists.outdate(server, kind.news, each)  # the list may be older than the change

    async def _page(self, request: Request, server: ServerSpec, kind: ListKind) -> Raw | None:
        if lacks(self.hello(request), kind):
            return None
        done: Deferred[Envelope] = Deferred()
        request.sink = OwnQuestion(done)
        self._submit(request)
        try:
            reply = await done
        except CancelledError:
            request.withdraw("it takes too long")
            raise
        if "result" in reply:
            return reply["result"]
        error = reply["error"]
        code = jsonrpc.integer(peek.members({"error": error}, "error").get("code"))
        if code in _NO_SUCH_LIST or lacks(self.hello(request), kind):
            return None
        raise GatewayError(of_server(server.name, legacy.error_text(error)), legacy.error_hint(error))

    def _key(self, server: ServerSpec, kind: ListKind, client: Client) -> ListKey:
        return self._key_of(server, kind, self.handshake_of(server, client))

    def _key_of(self, server: ServerSpec, kind: ListKind, handshake: str) -> ListKey:
        return ListKey(server.name, self._server_lists.place(server), kind, handshake)

    def _fault(self, key: ListKey, server: ServerSpec) -> GatewayError | None:
        # The failure for which a server is not asked for lists now; None where it may be asked.
        # A client that is not served, such as one whose process nothing tells, says nothing about the next one.
        why = self._last_fault(key, server)
        return None if isinstance(why, UnsupportedVersion) else why

    def _last_fault(self, key: ListKey, server: ServerSpec) -> GatewayError | None:
        until, why = self._paused.get(key, (0.0, None))
        return why if until > self._clock.seconds() else self._view_sessions.pause(server)

    def _is_current(self, server: ServerSpec) -> bool:
        # A redefined or removed server is not started again.
        place = self._server_lists.place
        try:
            return place(self._dispatcher.current(server)) == place(server)
        except GatewayError:
            return False

    def forget(self) -> None:
        """End all pauses, since the servers have changed."""
        self._paused.clear()


def lacks(hello: Envelope | None, kind: ListKind) -> bool:
    """True if a server's answer to the handshake declares no list of a kind; many servers declare tools only."""
    return hello is not None and _DECLARED[kind] not in legacy.capabilities(hello)


def _let_go(why: Failure) -> None:
    why.trap(GatewayError)  # logged; the other lists are not affected
