"""Fetches of servers' lists for views of modern clients.

# Note [Who is asked]
The gateway asks a server whose list is not known for clients with equal capabilities, and a running server that has
notified of a change of its list (`mcpgateway.views.modern_registry`).  A server that does not run and whose list is
recorded is not started for it.  The time for which a request waits is as for legacy clients (`mcpgateway.views.lists`).

# Note [How long a list of a view may be kept]
A view's list may be kept for the shortest time of the lists of its servers, and is public only if each of them is.  A
legacy server declares no such time, so a list with its entries may not be kept.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable

from attrs import define, field, frozen
from msgspec import Raw
from twisted.internet import defer
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.backends.conversation import OwnQuestion
from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.records import ListKind
from mcpgateway.errors import BackendTimeout, GatewayError, MalformedMessage
from mcpgateway.hub.caller import Caller, ModernClient
from mcpgateway.hub.catalog.listed import Librarian
from mcpgateway.hub.filters import reason
from mcpgateway.interfaces import Request
from mcpgateway.owntools.missing_servers import NOT_YET
from mcpgateway.policy.sharing import Variant, variant_of
from mcpgateway.protocol import jsonrpc, legacy, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.views.lists import PASSING, PATIENCE_S, SOON_S, TRIES, Wanted
from mcpgateway.views.view import View

ASKING_S = 60.0  # a server that has not answered by then is asked again for the next request
RESPITE_S = 30.0  # for which a server that could not be asked is left alone
TERMS_LIMIT = 10_000
REFRESHED_LIMIT = 16  # values of ``told`` for which the lists of one server are fetched again when it runs

Submit = Callable[[Request], None]
_Key = tuple[Variant, str, ListKind, str]
"""The server, its launch, the kind of list, and its ``told`` of the client."""


@frozen
class Terms:
    """The time for which a result may be kept, and its scope."""

    ttl_ms: int = 0
    is_public: bool = False
    since: float = 0.0

    def left(self, now: float) -> Terms:
        """Return the terms with the time that is left."""
        return Terms(max(0, self.ttl_ms - int((now - self.since) * 1000)), self.is_public, now)

    def written(self) -> Envelope:
        """Return the members of a result that declare the terms."""
        scope = "public" if self.is_public else "private"
        return {"ttlMs": jsonrpc.raw(self.ttl_ms), "cacheScope": jsonrpc.raw(scope)}


NOT_AT_ALL = Terms()


@frozen
class _Respite:
    """The pause of a server that could not be asked.

    :ivar until: by the clock, in seconds.
    """

    until: float
    why: str


def most_careful(found: Iterable[Terms]) -> Terms:
    """Return the strictest of some terms; see Note [How long a list of a view may be kept]."""
    each = list(found)
    if not each:
        return NOT_AT_ALL
    return Terms(min(one.ttl_ms for one in each), all(one.is_public for one in each))


@define(eq=False, repr=False)
class _Asking:
    """The fetch of a list, one for all that wait for it.

    :ivar is_missed: True if a request has waited for the list in vain.
    :ivar why: the error of a fetch that has failed.
    """

    waiting: list[Deferred[None]] = field(factory=list)
    is_missed: bool = False
    why: GatewayError | None = None


class Lists:
    """Fetches servers' lists on behalf of views.

    :param submit: sends a request to its server (`mcpgateway.hub.modern_dispatch.Stateless.submit`).
    :param is_running: returns True if a child of a server runs, in either era.
    :ivar pause: returns the failure for which a server is not started for a list now; None where it may be.
    :ivar current: returns the definition in force of a server; raises `GatewayError` where it is removed.
    :param hello: returns a server's answer to the handshake; None where it is not known.
    :param told: returns the ``told`` of a server for a client (`mcpgateway.hub.catalog.listed`).
    :param words: returns the ``_meta`` of the request for a server's list for a client.
    :ivar learning: the list that is being taken and that no client was shown otherwise.
    """

    log = Logger()

    def __init__(
        self,
        librarian: Librarian,
        submit: Submit,
        is_running: Callable[[ServerSpec], bool],
        hello: Callable[[ServerSpec], Envelope | None],
        told: Callable[[ServerSpec, ModernClient | None], str],
        words: Callable[[ServerSpec, ModernClient | None], Envelope],
        clock: IReactorTime,
    ) -> None:
        self.learning: tuple[str, ListKind] | None = None
        self._librarian = librarian
        self._submit = submit
        self._is_running = is_running
        self._hello = hello
        self._told = told
        self._words = words
        self._clock = clock
        self._asking: dict[_Key, _Asking] = {}
        self._terms: dict[tuple[Variant, ListKind, str], Terms] = {}
        self._askers: dict[Variant, dict[str, Caller]] = {}  # by ``told``
        self._respites: dict[_Key, _Respite] = {}
        self.current: Callable[[ServerSpec], ServerSpec] = _as_it_was
        self.pause: Callable[[ServerSpec], GatewayError | None] = lambda _: None

    def wait(self, wanted: Wanted, caller: Caller, patience_s: float = PATIENCE_S) -> Deferred[None]:
        """Fetch lists; fires once all are known, or after so many seconds.

        Lists that a request has waited for in vain are not waited for.
        """
        asked: list[Asked] = []
        done: Deferred[None] = Deferred()
        # A request may start many servers, which takes time.
        late = self._clock.callLater(patience_s, self._late, asked, done, patience_s >= PATIENCE_S)
        for server, kind in wanted:
            each = self.ask(server, kind, caller)
            if not each.asking.is_missed:
                asked.append(each)

        def told(_: object) -> None:
            if late.active():
                late.cancel()
                done.callback(None)

        DeferredList([each.wait for each in asked], consumeErrors=True).addCallback(told)
        return done

    def begin(self, wanted: Wanted, caller: Caller) -> None:
        """Fetch lists soon, without waiting for them: their arrival is notified."""
        if found := deque(wanted):
            self._clock.callLater(SOON_S, self._begin_next, found, caller)

    def _begin_next(self, wanted: deque[tuple[ServerSpec, ListKind]], caller: Caller) -> None:
        # A request may start a server, which takes time: other work goes on in between.
        server, kind = wanted.popleft()
        if self._key(server, kind, caller) not in self._asking and self.has_to_be_asked(server, kind, caller):
            self.ask(server, kind, caller)
        if wanted:
            self._clock.callLater(0, self._begin_next, wanted, caller)

    async def fetch(self, wanted: Wanted, caller: Caller) -> GatewayError | None:
        """Fetch lists; return the first failure."""
        asked = [self.ask(*each, caller) for each in wanted]
        await DeferredList([each.wait for each in asked])
        return next((each.why for each in asked if each.why is not None), None)

    def missing(self, view: View, kind: ListKind, caller: Caller) -> dict[str, str]:
        """Return the servers of a view whose list is not known, with the reasons."""
        found = {}
        for server in view.to_ask(kind):
            if self._librarian.known(server, kind, self.told(server, caller)) is None:
                respite = self._resting(server, kind, caller)
                found[server.name] = respite.why if respite is not None else NOT_YET
        return found

    def told(self, server: ServerSpec, caller: Caller) -> str:
        """Return the ``told`` of a server for a caller's client."""
        return self._told(server, caller.client)

    def shown(self, servers: Iterable[ServerSpec], kind: ListKind, caller: Caller) -> None:
        """Note that a client is given a list with these servers missing or outdated, so that it is notified later."""
        for server in servers:
            self._librarian.show(server, kind, self.told(server, caller))
            self._remember(server, caller)

    def _remember(self, server: ServerSpec, caller: Caller) -> None:
        told = self.told(server, caller)
        if told:
            known = self._askers.setdefault(variant_of(server), {})
            known.pop(told, None)
            known[told] = caller
            if len(known) > REFRESHED_LIMIT:
                del known[next(iter(known))]

    def has_to_be_asked(self, server: ServerSpec, kind: ListKind, caller: Caller) -> bool:
        """True if a server has to be asked for a list; see Note [Who is asked]."""
        librarian, told = self._librarian, self.told(server, caller)
        if librarian.is_fresh(server, kind, told) or self._resting(server, kind, caller) is not None:
            return False
        if librarian.known(server, kind, told) is not None:
            return self._is_running(server)
        if not self._lacks(server, kind):
            return True
        self._learn(server, kind, (), told)
        return False

    def _key(self, server: ServerSpec, kind: ListKind, caller: Caller) -> _Key:
        return (variant_of(server), self._librarian.place(server), kind, self.told(server, caller))

    def _resting(self, server: ServerSpec, kind: ListKind, caller: Caller) -> _Respite | None:
        found = self._respites.get(self._key(server, kind, caller))
        if found is not None and found.until > self._clock.seconds():
            return found
        pause = self.pause(server)
        return _Respite(math.inf, pause.message) if pause is not None else None

    def _lacks(self, server: ServerSpec, kind: ListKind) -> bool:
        # Many servers declare tools only, and need not be started for other lists.
        hello = self._hello(server)
        return hello is not None and _DECLARED[kind] not in legacy.capabilities(hello)

    def _learn(self, server: ServerSpec, kind: ListKind, pages: Iterable[Raw], told: str) -> None:
        # Where no client was shown another list, no client has to be notified.
        self.learning = None if self._librarian.is_shown(server, kind, told) else (server.name, kind)
        try:
            self._librarian.learn(server, kind, pages, told)
        finally:
            self.learning = None

    def _late(self, asked: list[Asked], done: Deferred[None], is_missed: bool) -> None:  # noqa: FBT001 - of a timer
        for each in asked if is_missed else ():
            each.asking.is_missed = True
        done.callback(None)

    def ask(self, server: ServerSpec, kind: ListKind, caller: Caller, *, is_look: bool = False) -> Asked:
        """Fetch a server's list, unless it is being fetched, and keep it.

        :param caller: the caller on whose behalf it is fetched.
        :param is_look: True if no call needs the list, so that a server that has just failed is not started for it.
        """
        key = self._key(server, kind, caller)
        asking = self._asking.get(key)
        wait: Deferred[None] = Deferred()
        if asking is not None:
            asking.waiting.append(wait)
            return Asked(asking, wait)
        pause = self.pause(server) if is_look else None
        if pause is not None:
            wait.callback(None)
            return Asked(_Asking(why=pause), wait)
        asking = self._asking[key] = _Asking([wait])
        self._remember(server, caller)
        found = Deferred.fromCoroutine(self._ask_again(server, kind, caller))
        found.addTimeout(ASKING_S, self._clock).addErrback(self._not_asked, key, asking)
        found.addBoth(self._over, key, asking)
        return Asked(asking, wait)

    def _not_asked(self, why: Failure, key: _Key, asking: _Asking) -> None:
        server, kind = key[0][0], key[2]
        late = f"it did not answer within {ASKING_S:g} s"
        is_late = why.check(defer.TimeoutError) is not None
        asking.why = error = BackendTimeout(late) if is_late else reason(why)
        if len(self._respites) >= TERMS_LIMIT:
            self._respites.clear()
        until = self._clock.seconds() + RESPITE_S
        self._respites[key] = _Respite(until, error.message)
        if why.check(GatewayError, defer.TimeoutError) is None:
            self.log.failure("a list could not be read", why, event="list.broken", server=server)
            return
        self.log.info(
            "{server} could not be asked for {method}: {why}",
            event="list.not_asked",
            server=server,
            method=kind.method,
            why=error.message,
        )

    def _over(self, _: object, key: _Key, asking: _Asking) -> None:
        self._asking.pop(key, None)
        waiting, asking.waiting = asking.waiting, []
        for each in waiting:
            each.callback(None)

    async def _ask_again(self, server: ServerSpec, kind: ListKind, caller: Caller) -> None:
        for _ in range(TRIES - 1):
            try:
                await self._ask(server, kind, caller)
            except PASSING:
                if not self._is_current(server):
                    raise
                # The next child may answer, and without the list its tools would be unknown for a while.
                continue
            return
        await self._ask(server, kind, caller)

    def _is_current(self, server: ServerSpec) -> bool:
        # A redefined or removed server is not started again.
        try:
            return self._librarian.place(self.current(server)) == self._librarian.place(server)
        except GatewayError:
            return False

    async def _ask(self, server: ServerSpec, kind: ListKind, caller: Caller) -> None:
        librarian, told = self._librarian, self.told(server, caller)
        changes = librarian.changes.get(server.name)
        fetched = await librarian.limit.fetch(
            server.name, kind.method, lambda cursor: self._page(kind, cursor, server, caller)
        )
        pages = fetched.pages
        if len(self._terms) >= TERMS_LIMIT:
            self._terms.clear()
        # The server may meanwhile turn out to have one child for all clients, or several.
        for each in dict.fromkeys((told, self.told(server, caller))):
            self._terms[variant_of(server), kind, each] = _terms(pages, self._clock.seconds())
            self._learn(server, kind, pages, each)
            if librarian.changes.get(server.name) != changes:
                librarian.outdate(server, kind.news, each)  # the list may be older than the change

    async def _page(
        self, kind: ListKind, cursor: str | None, server: ServerSpec, caller: Caller
    ) -> Raw | None:
        meta = self._words(server, caller.client)
        params: Envelope = {"_meta": jsonrpc.raw(meta)}
        if cursor is not None:
            params["cursor"] = jsonrpc.raw(cursor)
        done: Deferred[Envelope] = Deferred()
        message = jsonrpc.own_request(kind.method, params, meta=meta)
        call = Request(None, message, None, OwnQuestion(done))
        call.caller = Caller(server, caller.principal, caller.connection, caller.pid)
        self._submit(call)
        try:
            reply = await done
        except defer.CancelledError:
            call.withdraw("it takes too long")
            raise
        if "result" in reply:
            return reply["result"]
        code = jsonrpc.integer(peek.members(reply, "error").get("code"))
        if code in _NO_SUCH_LIST:
            return None
        raise MalformedMessage(f"it answered with error {code}")

    def forget(self) -> None:
        """Forget pauses, terms and callers, since the servers have changed."""
        self._respites.clear()
        self._terms.clear()
        self._askers.clear()

    def refresh(self, server: ServerSpec, caller: Caller) -> None:
        """Fetch the lists that were shown of a server again, since a new child may list something else."""
        for each in (caller, *self._askers.pop(variant_of(server), {}).values()):
            for kind in ListKind:
                told = self.told(server, each)
                if self._librarian.known(server, kind, told) is not None:
                    self._librarian.show(server, kind, told)
                    self.ask(server, kind, each)

    def terms(self, servers: Iterable[ServerSpec], kind: ListKind, caller: Caller) -> Terms:
        """Return the terms of a list of all these servers together."""
        now = self._clock.seconds()
        return most_careful(
            self._terms.get((variant_of(server), kind, self.told(server, caller)), NOT_AT_ALL).left(now)
            for server in servers
        )


_DECLARED = {
    ListKind.TOOL: "tools",
    ListKind.PROMPT: "prompts",
    ListKind.RESOURCE: "resources",
    ListKind.TEMPLATE: "resources",
}

_NO_SUCH_LIST = (-32601, -32602)
"""The error codes of servers without a list of a kind; some report invalid parameters."""


@frozen
class Asked:
    """A fetch under way; ``wait`` fires when it is over, with any outcome."""

    asking: _Asking
    wait: Deferred[None]

    @property
    def why(self) -> GatewayError | None:
        """The error of a fetch that has failed; else None."""
        return self.asking.why


def _as_it_was(server: ServerSpec) -> ServerSpec:
    return server


def _terms(pages: Iterable[Raw], now: float) -> Terms:
    found = []
    for page in pages:
        members = peek.members({"page": page}, "page")
        ttl = jsonrpc.integer(members.get("ttlMs")) or 0
        found.append(Terms(max(0, ttl), peek.text(members, "cacheScope") == "public"))
    terms = most_careful(found)
    return Terms(terms.ttl_ms, terms.is_public, now)
