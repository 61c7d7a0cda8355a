"""The lists of servers, asked for when a modern client wants to see a view.

# Note [Who is asked]
A server is asked whose list is not known for clients that can do the same, and one that runs and has said that its list
has changed (`mcpgateway.views.modern_clients`).  A server that does
not run and whose list is on record is not started for it.  Who waits for the answer, and for how long, is as for legacy
clients (`mcpgateway.views.lists`).

# Note [How long a list of a view may be kept]
For as long as the list of any of its servers may be, and by all only if each of them says so.  A server of the legacy
era says nothing of it, so nothing it is in is kept.
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
from mcpgateway.hub.caller import Caller
from mcpgateway.hub.catalog.listed import Librarian
from mcpgateway.hub.filters import reason
from mcpgateway.interfaces import Request
from mcpgateway.owntools.missing_servers import NOT_YET
from mcpgateway.policy.sharing import Variant, variant_of
from mcpgateway.protocol import jsonrpc, legacy, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.views.lists import PASSING, PATIENCE_S, SOON_S, TRIES
from mcpgateway.views.modern_clients import Clients

ASKING_S = (
    60.0  # a server that has not said what it lists by then is asked again by the next who wants to know
)
RESPITE_S = 30.0  # how long a server is left alone that could not be asked
TERMS_LIMIT = 10_000
REFRESHED_LIMIT = 16  # kinds of clients for whom the lists of one server are asked for again when it runs

Submit = Callable[[Request], None]
_Key = tuple[Variant, str, ListKind, str]
"""A server, how and where it is launched, what it is asked for, and what it is told of the client."""


@frozen
class Terms:
    """For how long a result may be kept, and by whom."""

    ttl_ms: int = 0
    is_public: bool = False
    since: float = 0.0

    def left(self, now: float) -> Terms:
        """What is left of it."""
        return Terms(max(0, self.ttl_ms - int((now - self.since) * 1000)), self.is_public, now)

    def written(self) -> Envelope:
        """The members of a result that say so."""
        scope = "public" if self.is_public else "private"
        return {"ttlMs": jsonrpc.raw(self.ttl_ms), "cacheScope": jsonrpc.raw(scope)}


NOT_AT_ALL = Terms()


@frozen
class _Respite:
    """A server that could not be asked is left alone.

    :ivar until: by the clock, in seconds.
    """

    until: float
    why: str


def most_careful(found: Iterable[Terms]) -> Terms:
    """The terms that all agree to; see Note [How long a list of a view may be kept]."""
    each = list(found)
    if not each:
        return NOT_AT_ALL
    return Terms(min(one.ttl_ms for one in each), all(one.is_public for one in each))


@define(eq=False)
class _Asking:
    """A server is being asked for a list, once for however many wait.

    :ivar is_missed: somebody has waited for it in vain.
    :ivar why: why it could not be asked.
    """

    waiting: list[Deferred[None]] = field(factory=list)
    is_missed: bool = False
    why: GatewayError | None = None


class Lists:
    """Asks servers for their lists on behalf of views.

    :param submit: brings a request to its server (`mcpgateway.hub.modern_dispatch.Stateless.submit`).
    :param is_running: whether a child of a server runs, in either era.
    :ivar pause: what a server has failed at, as long as it is not started for those who only look at it.
    :ivar current: the definition in force of a server; `GatewayError` where there is none any more.
    :param hello: the first words of a server; None where they are not known.
    :param clients: knows what a server is told of a client.
    :ivar learning: what is being learnt that nobody has been shown otherwise.
    """

    log = Logger()

    def __init__(
        self,
        librarian: Librarian,
        submit: Submit,
        is_running: Callable[[ServerSpec], bool],
        hello: Callable[[ServerSpec], Envelope | None],
        clients: Clients,
        clock: IReactorTime,
    ) -> None:
        self.learning: tuple[str, ListKind] | None = None
        self._librarian = librarian
        self._submit = submit
        self._is_running = is_running
        self._hello = hello
        self._clients = clients
        self._clock = clock
        self._asking: dict[_Key, _Asking] = {}
        self._terms: dict[tuple[Variant, ListKind, str], Terms] = {}
        self._askers: dict[Variant, dict[str, Caller]] = {}  # by what the server is told of them
        self._respites: dict[_Key, _Respite] = {}
        self.current: Callable[[ServerSpec], ServerSpec] = _as_it_was
        self.pause: Callable[[ServerSpec], GatewayError | None] = lambda _: None

    def wait(
        self, wanted: Iterable[tuple[ServerSpec, ListKind]], caller: Caller, patience_s: float = PATIENCE_S
    ) -> Deferred[None]:
        """Fires once these lists are known, or so many seconds have passed.

        What has been waited for in vain, and what could not be asked a moment ago, is not waited for.
        """
        asked: list[Asked] = []
        done: Deferred[None] = Deferred()
        # To ask may mean to start many servers, which takes its time.
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

    def begin(self, wanted: Iterable[tuple[ServerSpec, ListKind]], caller: Caller) -> None:
        """Have these lists asked for soon, though nobody waits for them: they are announced when they come."""
        if found := deque(wanted):
            self._clock.callLater(SOON_S, self._begin_next, found, caller)

    def _begin_next(self, wanted: deque[tuple[ServerSpec, ListKind]], caller: Caller) -> None:
        # To ask may mean to start a server, which takes its time: others are served in between.
        server, kind = wanted.popleft()
        if self._key(server, kind, caller) not in self._asking and self.has_to_be_asked(server, kind, caller):
            self.ask(server, kind, caller)
        if wanted:
            self._clock.callLater(0, self._begin_next, wanted, caller)

    def missing(self, servers: Iterable[ServerSpec], kind: ListKind, caller: Caller) -> dict[str, str]:
        """Those of these servers whose list is not known, and why."""
        found = {}
        for server in servers:
            if self._librarian.known(server, kind, self.told(server, caller)) is None:
                respite = self._resting(server, kind, caller)
                found[server.name] = respite.why if respite is not None else NOT_YET
        return found

    def told(self, server: ServerSpec, caller: Caller) -> str:
        """Names what a server is told of a client."""
        return self._clients.told(server, caller.client)

    def shown(self, servers: Iterable[ServerSpec], kind: ListKind, caller: Caller) -> None:
        """A client is given a list without these servers, or what may not be true of them: it is to hear what is."""
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
        """Whether a server has to be asked for a list; see Note [Who is asked]."""
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
        # Many servers have tools only, and need not be started to say so once more.
        hello = self._hello(server)
        return hello is not None and _DECLARED[kind] not in legacy.capabilities(hello)

    def _learn(self, server: ServerSpec, kind: ListKind, pages: Iterable[Raw], told: str) -> None:
        # Where nobody has been shown anything else, nobody need be told that it has changed.
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
        """Ask a server for a list, unless it is being asked; what it answers is learnt.

        :param caller: on whose behalf.
        :param is_look: nobody calls anything, so a server that has just failed is not started for it.
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
                # Whatever has ended it need not end the next, and without it its tools would be unknown for a while.
                continue
            return
        await self._ask(server, kind, caller)

    def _is_current(self, server: ServerSpec) -> bool:
        # What is defined otherwise now, or not at all, is not started again.
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
        # It may have shown meanwhile that it has the same child for all, or that it has not.
        for each in dict.fromkeys((told, self.told(server, caller))):
            self._terms[variant_of(server), kind, each] = _terms(pages, self._clock.seconds())
            self._learn(server, kind, pages, each)
            if librarian.changes.get(server.name) != changes:
                librarian.outdate(server, kind.news, each)  # what it has said may be from before that

    async def _page(
        self, kind: ListKind, cursor: str | None, server: ServerSpec, caller: Caller
    ) -> Raw | None:
        meta = self._clients.words(server, caller.client)
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
        """The servers are others now."""
        self._respites.clear()
        self._terms.clear()
        self._askers.clear()

    def refresh(self, server: ServerSpec, caller: Caller) -> None:
        """A child runs that may list something else than its forerunner: ask for what has been shown of it."""
        for each in (caller, *self._askers.pop(variant_of(server), {}).values()):
            for kind in ListKind:
                told = self.told(server, each)
                if self._librarian.known(server, kind, told) is not None:
                    self._librarian.show(server, kind, told)
                    self.ask(server, kind, each)

    def terms(self, servers: Iterable[ServerSpec], kind: ListKind, caller: Caller) -> Terms:
        """For how long what these servers list may be kept by whoever asks for all of it."""
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
"""How servers answer that have no list of a kind; some say that the parameters are wrong."""


@frozen
class Asked:
    """A server is being asked; ``wait`` fires when that is over, whatever has come of it."""

    asking: _Asking
    wait: Deferred[None]

    @property
    def why(self) -> GatewayError | None:
        """Why it could not be asked."""
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
