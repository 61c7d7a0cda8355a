"""Pass the requests of the modern era to their servers (MCP 2026-07-28); each request is complete by itself.

    request               destination
    server/discover       the server, if it is offered in this era; else the refusal that makes clients fall back
    subscriptions/listen  the slot's one upstream listen (`mcpgateway.hub.subscriptions.upstream_modern`)
    tasks/*               the server, if the task belongs to the principal
    lists, resources/read the result that the server allowed to cache, else the server
    anything else         the server
    anything to a view    `mcpgateway.views.modern`

One child serves all clients; a server that keeps state for each client has a child for each client process.  A server
that speaks only the other era is reached through `mcpgateway.hub.bridge.to_legacy`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.bounded import Bounded
from mcpgateway.config.model import Bridge, ServerSpec
from mcpgateway.errors import (
    BadReply,
    GatewayError,
    HandshakeRefused,
    InvalidParams,
    ShuttingDown,
    UnknownMethod,
    UnknownServer,
    UnsupportedVersion,
)
from mcpgateway.hub import param_headers
from mcpgateway.hub.authorization import Permits
from mcpgateway.hub.bridge.bridged_request import ASKING
from mcpgateway.hub.bridge.to_legacy import ToLegacy
from mcpgateway.hub.caller import Caller
from mcpgateway.hub.children.records import ApartState
from mcpgateway.hub.filters import SinkFilter, reason, resubmit
from mcpgateway.hub.meters import CALL_TOOL
from mcpgateway.hub.owners.peers import Claim, Neighbours, unclaimed
from mcpgateway.hub.pool import Pool
from mcpgateway.hub.probes.era import Eras
from mcpgateway.hub.recent_clients import KEPT, RecentClient
from mcpgateway.hub.request_states import ServerStates
from mcpgateway.hub.result_cache import ResultCache
from mcpgateway.hub.sessions import Session, Sessions
from mcpgateway.hub.slot import Slot, slot_of
from mcpgateway.hub.subscriptions.interest import TOOLS_CHANGED, narrowed, read_interest
from mcpgateway.hub.subscriptions.modern_clients import ClientListener, close_all
from mcpgateway.hub.tasks import Learner
from mcpgateway.hub.url_elicitation import SendingAway
from mcpgateway.interfaces import Request
from mcpgateway.policy.client_requests import shows_urls
from mcpgateway.policy.eras import EraPath, is_offered
from mcpgateway.policy.sharing import Variant, name_in_workspace, variant_of
from mcpgateway.protocol import jsonrpc, modern, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.translate import CACHEABLE
from mcpgateway.protocol.versions import LATEST_MODERN, UNSUPPORTED, Era

if TYPE_CHECKING:
    from mcpgateway.hub.views import ModernViews, SingleServers

TASK_METHODS = frozenset(("tasks/get", "tasks/update", "tasks/cancel"))
PATHS_LIMIT = 1000  # pairs of server and principal whose path is kept
BRIDGED_LIMIT = 16  # pairs of log level and capabilities whose session is kept with a path
CAPABILITIES_LIMIT = 4096  # bytes; for longer capabilities no session is kept
ALONE = "{name} runs in the other era, may have one child only, and the gateway is not to translate for it"
_MAY_BE_KEPT = re.compile(rb'ttlMs"[ \t\r\n]*:[ \t\r\n]*[1-9]')


class _Keeper(SinkFilter):
    """Stores a result in the cache, if the server allows it."""

    cache: ResultCache
    slot: Slot
    params: Envelope | None
    changes: int

    def answered(self, request: Request, reply: Envelope) -> None:
        """Store the result of the server's response, and pass the response on."""
        if "result" in reply:
            if request.method == modern.DISCOVER:
                reply["result"] = modern.served_only(reply["result"])
            result = reply["result"]
            # Most results must not be kept; the pattern shows it without decoding a long list.  A result that may be
            # older than a change is not kept either.
            if self.changes == self.slot.changes and _MAY_BE_KEPT.search(bytes(result)):
                self.cache.put(self.slot, request.method, self.params, request.session.principal, result)
            if request.method == "tools/list":
                param_headers.learn_from(self.slot, result)
        self.sink.answered(request, reply)


@frozen(eq=False, repr=False)
class _KnownPath:
    """The path of a principal's requests to a server; it holds until the server's definition or traits change.

    :ivar server: the definition when the path was found; another object is another definition.
    :ivar moves: the value of `mcpgateway.hub.pool.Pool.moves` at that time.
    :ivar findings: the value of `mcpgateway.hub.probes.era.Eras.findings` at that time.
    :ivar session: the session that stands for the principal's requests.
    :ivar bridged: the sessions at a legacy server, by log level and capabilities.
    """

    server: ServerSpec
    moves: int
    findings: int
    session: Session
    bridged: Bounded[tuple[str | None, bytes], Session] = field(factory=lambda: Bounded(BRIDGED_LIMIT))


class ModernDispatcher:
    """The entrance of modern requests, for the frontends.

    :ivar to_legacy: the bridge to servers that speak only the legacy era.
    :ivar is_open: false once the gateway is stopping.
    :ivar current: returns the current definition of a server (`mcpgateway.hub.dispatch.LegacyDispatcher.current`).
    :ivar claim: watches the process that a session belongs to (`mcpgateway.hub.owners.owners.Owners.claim`).
    :ivar direct: returns the part that shortens results on the endpoints of single servers; set before the first
        request.
    :ivar eras: the eras known of all servers.
    :ivar sending_away: asks clients to send their users to sign-ins; set before the first request.
    :ivar states: binds the request states of servers to their requests; set before the first request.
    :ivar make_views: builds the part that serves the endpoints of views; None without views.
    :ivar permits: the rights of each principal.
    """

    log = Logger()
    direct: Callable[[], SingleServers]
    states: ServerStates
    sending_away: SendingAway

    def __init__(
        self,
        pool: Pool,
        sessions: Sessions,
        eras: Eras,
        neighbours: Neighbours,
        cache: ResultCache,
        to_legacy: ToLegacy,
        current: Callable[[ServerSpec], ServerSpec],
    ) -> None:
        self.current = current
        self.is_open = True
        self.permits = Permits()
        self.claim: Claim = unclaimed
        self.make_views: Callable[[ModernDispatcher], ModernViews] | None = None
        self._views: ModernViews | None = None  # before the first request to a view
        self._pool = pool
        self._sessions = sessions
        self.eras = eras
        self._neighbours = neighbours
        self._cache = cache
        self.to_legacy = to_legacy
        self._of_peers: dict[tuple[Variant, str, int], Session] = {}
        self._paths: Bounded[tuple[str, str], _KnownPath] = Bounded(PATHS_LIMIT)  # by server and principal

    def _count(self, caller: Caller, method: str) -> None:
        server, now, known = caller.server, self._sessions.now, self._sessions.without
        key = (caller.info, server.name, server.workspace, caller.principal, caller.pid)
        found = known.pop(key, None) or RecentClient(*key, began=now, seen=now)
        found.seen = now
        found.requests += 1
        found.calls += method == CALL_TOOL
        known[key] = found
        if len(known) > KEPT:
            del known[next(iter(known))]

    def submit(self, request: Request) -> None:
        """Pass a request to its server or view; the request's sink receives the outcome.

        :raise GatewayError: the request is refused; its sink receives nothing.
        """
        if not self.forward(request):
            self._route(request)

    def forward(self, request: Request, *, may_doubt: bool = True) -> bool:
        """Send a request to its server if the path is known; false if not.

        :param may_doubt: send it also where the child may refuse it, so that another path is tried then.
        :raise GatewayError: the request is refused; its sink receives nothing.
        """
        if request.method in modern.REMOVED:
            raise UnknownMethod(f"Method not found: {request.method} (not in {LATEST_MODERN})")
        if not self.is_open:
            raise ShuttingDown("the gateway is stopping")
        caller: Caller = request.caller
        if self.permits.scopes or caller.server.tools_off or self.permits.holds:
            self.permits.check(caller.principal, caller.server, request)
        path = self._known_path(caller) if not caller.server.view else None
        if path is None or request.method == modern.DISCOVER:
            return False
        if path.session.era is not Era.MODERN:
            return self._bridge(request, 0, path, may_doubt=may_doubt)
        slot: Any = path.session.slot
        is_sure = slot.conversation is not None and slot.limiter is None
        if is_sure or may_doubt:
            self._native(request, path.session, is_sure=is_sure)
        return is_sure or may_doubt

    def _route(self, request: Request) -> None:
        caller: Caller = request.caller
        if caller.server.view:
            self._on_view(request)
            return
        # The definition may have changed since the frontend has looked it up.
        server = caller.server = self.current(caller.server)
        path = self.eras.path(server, Era.MODERN)
        if path is None and self._pool.is_taken(server, Era.MODERN, caller.principal):
            path = self._beside(server)  # not even a probe may run beside its child
        if path is None:
            self._later(self.eras.find_out(server, Era.MODERN), request)
        elif path is EraPath.REFUSED or (
            request.method == modern.DISCOVER and not self._is_offered(path, server)
        ):
            raise UnsupportedVersion(UNSUPPORTED)
        else:
            self._go(path, request)

    def accept(self, request: Request) -> None:
        """Pass on a request that comes from a client itself, not from a view; the request's sink receives the outcome.

        :raise GatewayError: the request is refused; its sink receives nothing.
        """
        server = request.caller.server
        self._count(request.caller, request.method)
        if self.permits.admit_call is not None:
            self.permits.admit_call(request.caller.principal)
        if self.permits.scopes or server.tools_off or self.permits.holds:
            self.permits.narrow(request.caller.principal, server, request)
        if shows_urls(peek.mapping(request.message.meta, modern.CAPABILITIES_KEY)):
            self.sending_away.attend_modern(request, self.resubmit)
        if not server.has_shield or not self.direct().serves_modern(
            request, server, request.caller.principal
        ):
            self.submit(request)

    @property
    def is_heard(self) -> bool:
        """True if a client listens to a view."""
        return self._views is not None and self._views.is_heard

    def _on_view(self, request: Request) -> None:
        if self._views is None:
            if self.make_views is None:
                raise UnknownServer(f"Unknown server: {request.caller.server.name}")
            self._views = self.make_views(self)
        self._views.submit(request)

    def refused(self, request: Request, why: HandshakeRefused) -> None:
        """Probe a server once more that has refused the era found before, and submit the request again."""
        caller: Caller = request.caller
        if caller.server.protocol is not None or caller.has_tried:
            request.sink.failed(request, why)
            return
        caller.has_tried = True
        self.eras.doubt(caller.server)
        self.resubmit(request)

    def resubmit(self, request: Request) -> None:
        """Submit a request once more, after its path has proved wrong; an error goes to its sink."""
        try:
            self.submit(request)
        except GatewayError as why:
            request.fail(why)

    def path(self, server: ServerSpec) -> EraPath | None:
        """Return how a request reaches a server; None before that is known."""
        known = self.eras.path(server, Era.MODERN)
        is_beside = known in (None, EraPath.NATIVE) and self._pool.is_taken(server, Era.MODERN)
        return self._beside(server) if is_beside else known

    def _beside(self, server: ServerSpec) -> EraPath:
        # The server has a child of the other era, and may have no second one.
        return EraPath.REFUSED if self.eras.bridge(server) is Bridge.OFF else EraPath.BRIDGED

    def _is_offered(self, path: EraPath, server: ServerSpec) -> bool:
        is_spoken = self.eras.known(server).modern is not False
        return is_offered(path, self.eras.bridge(server), is_spoken=is_spoken)

    def _later(self, known: Deferred[None], request: Request) -> None:
        known.addCallback(lambda _: None if request.sink.is_gone else self.submit(request))
        known.addErrback(self._not_submitted, request)

    def _not_submitted(self, why: Failure, request: Request) -> None:
        if not why.check(GatewayError):
            self.log.failure("a request broke", why, event="request.broken")
        request.fail(reason(why))

    def _go(self, path: EraPath, request: Request) -> None:
        peer = 0
        if self._pool.keeps_state(request.caller.server):
            found = request.caller.pid or self._neighbours.process(request.caller.connection)
            if found is None:
                self._later(self._neighbours.look_for(request.caller.connection), request)
                return
            if not found:
                raise UnsupportedVersion(
                    UNSUPPORTED,
                    f"{request.caller.server.name} keeps state for each client, and nothing tells which one this is",
                )
            peer = found
        session = self._session(request.caller, peer) if path is EraPath.NATIVE else None
        if (
            session is not None
            and not _is_up(session)
            and self._pool.is_taken(request.caller.server, Era.MODERN, request.caller.principal)
        ):
            session = None
            if self._beside(request.caller.server) is EraPath.REFUSED:
                raise UnsupportedVersion(UNSUPPORTED, ALONE.format(name=request.caller.server.name))
        if session is None:
            self._bridge(request, peer)
            if path is EraPath.BRIDGED and request.session is not None and not peer:
                self._remember(request.caller, request.session)
            return
        if not peer:
            self._remember(request.caller, session)
        self._native(request, session, is_sure=not _is_doubtful(session.slot))

    def _bridge(
        self, request: Request, peer: int, path: _KnownPath | None = None, *, may_doubt: bool = True
    ) -> bool:
        meta = request.message.meta
        request.level = modern.level(meta)
        kind = (request.level, bytes(meta.get(modern.CAPABILITIES_KEY, b"")) if meta is not None else b"")
        known = path.bridged.get(kind) if path is not None else None
        if known is None or _is_doubtful(known.slot):
            if not may_doubt:
                return False
            known = None
            resubmit(request, self)
        found = self.to_legacy.submit(request, peer, known)
        if path is not None and found is not None and len(kind[1]) <= CAPABILITIES_LIMIT:
            path.bridged[kind] = found
        return True

    def _known_path(self, caller: Caller) -> _KnownPath | None:
        # While the child runs, the checks that found the path would have the same results.
        found = self._paths.get((caller.server.name, caller.principal))
        if found is None or found.server is not caller.server:
            return None
        if found.moves != self._pool.moves or found.findings != self.eras.findings:
            return None
        slot: Any = found.session.slot
        if slot is None or slot.is_over or (slot.conversation is None and not slot.is_up):
            return None
        found.session.seen = self._sessions.now
        return found

    def _remember(self, caller: Caller, session: Session) -> None:
        server = caller.server
        if server.workspace or server.principal or self.eras.is_guess(server):
            return  # the definition, or the era, may be different for the next request
        found = _KnownPath(server, self._pool.moves, self.eras.findings, session)
        self._paths[server.name, caller.principal] = found

    def _session(self, caller: Caller, peer: int) -> Session:
        server, principal = caller.server, caller.principal
        if not peer:
            return self._sessions.anonymous(server, principal, LATEST_MODERN, Era.MODERN)
        key = (variant_of(server), principal, peer)
        session = self._of_peers.get(key)
        if session is None or self._sessions.named(session.id) is not session:
            self._of_peers = {
                at: each for at, each in self._of_peers.items() if self._sessions.named(each.id) is each
            }
            session = self._of_peers[key] = self._of_peer(server, principal, peer)
        session.seen = self._sessions.now
        return session

    def _of_peer(self, server: ServerSpec, principal: str, peer: int, identifier: bytes = b"") -> Session:
        made = self._sessions.synthetic(server, principal, era=Era.MODERN, is_apart=True)
        if identifier:
            self._sessions.rename(made, identifier)
        made.owner = peer
        self.claim(made, peer, 0)
        return made

    # The restart

    def apart(self) -> Iterator[ApartState]:
        """Return the sessions with children apart, for the next program of this process."""
        for (_, principal, peer), each in self._of_peers.items():
            server = each.server
            if self._sessions.named(each.id) is each:
                yield ApartState(each.id, Era.MODERN, server.name, server.workspace, principal, peer)
        yield from self.to_legacy.exclusive.apart()

    def restore(self, state: ApartState, server: ServerSpec) -> None:
        """Restore one of these sessions, for a variant of its server."""
        if state.era is Era.LEGACY:
            self.to_legacy.exclusive.restore(state, server)
            return
        session = self._of_peer(server, state.principal, state.peer, state.id)
        self._of_peers[variant_of(server), state.principal, state.peer] = session
        self._pool.slot_for(session)

    def session_of(self, caller: Caller) -> Session | None:
        """Return the session of a request; None if that is not known yet, or if the server needs the bridge."""
        known = self._known_path(caller)
        if known is not None and known.session.era is Era.MODERN:
            return known.session
        server = caller.server = self.current(caller.server)
        if self.eras.path(server, Era.MODERN) is not EraPath.NATIVE or self._pool.keeps_state(server):
            return None
        session = self._session(caller, 0)
        if not _is_up(session) and self._pool.is_taken(server, Era.MODERN, caller.principal):
            return None
        if session.slot is None:
            self._pool.slot_for(session)
        return session

    def _native(self, request: Request, session: Session, *, is_sure: bool) -> None:
        request.session, request.level = session, modern.level(request.message.meta)
        slot = slot_of(session) or self._pool.slot_for(session)
        if not is_sure:
            resubmit(request, self)
        if request.method == modern.LISTEN:
            self._listen(request, slot)
            return
        if request.method == "tools/call":
            learning = _check_headers(request, slot)
            if learning is not None:
                self._later(learning, request)
                return
            if modern.has_tasks(request.message.meta):
                request.sink = Learner(request.sink, slot.tasks)
        elif request.method in CACHEABLE:
            cached = self._cache.get(slot, request.method, request.message.params, session.principal)
            if cached is not None:
                request.sink.answered(request, jsonrpc.result(jsonrpc.NULL, cached))
                return
            request.sink = _Keeper(
                request.sink, self._cache, slot, dict(request.message.params or {}), slot.changes
            )
        elif request.method in TASK_METHODS:
            _check_task(request, session, slot)
        if request.method in ASKING:
            self._take_state(request)
        _send(request, slot)

    def _take_state(self, request: Request) -> None:
        # The state is unwrapped once, even if the request is submitted again.
        if not request.caller.has_state:
            request.caller.has_state = True
            self.states.take(request, request.caller.principal, name_in_workspace(request.caller.server))

    # Listening

    def _listen(self, request: Request, slot: Slot) -> None:
        if slot.listening is None:
            raise BadReply("this server does not let anybody listen")
        wanted = narrowed(read_interest(request.message.params))
        owned = frozenset(task for task in wanted.tasks if slot.tasks.is_of(request.session, task))
        listener = ClientListener(request, slot.listening.remove)
        slot.listening.put(listener, evolve(wanted, tasks=owned))

    # The end

    def changed(self, slot: Slot, method: str, what: str | None) -> None:
        """Drop the cached results that a change of a server makes invalid."""
        slot.changes += 1
        if method == TOOLS_CHANGED:
            slot.forget_mirrored()
        kind = method.removeprefix("notifications/").partition("/")[0]
        self._cache.invalidate(slot, kind, what)

    def lost(self, slot: Slot) -> None:
        """Drop the cached results of a child that has ended; the next child may be different."""
        self._cache.forget(slot)

    def warmed(self, slot: Slot) -> None:
        """Handle the start of a child."""
        if self._views is not None:
            self._views.warmed(slot)

    def close(self, staying: Container[float] = ()) -> None:
        """End the streams of listening clients in order, and take no more requests.

        :param staying: the times of arrival of the listenings with which the next program goes on.
        """
        self.is_open = False
        if self._views is not None:
            self._views.close(staying)
        for slot in self._pool:
            listeners = slot.listening.subscribers.interests if slot.listening is not None else ()
            close_all((each for each in listeners if isinstance(each, ClientListener)), staying)
        self.to_legacy.close(staying)


def _send(request: Request, slot: Slot) -> None:
    if (
        slot.replicas is not None
        and request.method == "tools/call"
        and not modern.has_tasks(request.message.meta)
    ):
        slot.replicas.submit(request)
    else:
        slot.submit(request)


def _check_headers(request: Request, slot: Slot) -> Deferred[None] | None:
    if slot.mirrored == {} or request.caller.headers is None or slot.awaits(request.arrived):
        return None  # the usual case: no header repeats an argument
    return param_headers.check(slot, request.message, request.caller.headers)


def _is_doubtful(slot: Any) -> bool:
    # Only a child that has not completed its handshake, or that may have to give way, refuses a request.
    return slot is None or slot.conversation is None or slot.limiter is not None or slot.is_over


def _is_up(session: Session) -> bool:
    return session.slot is not None and session.slot.is_up


def _check_task(request: Request, session: Session, slot: Slot) -> None:
    if slot.tasks.is_of(session, peek.text(request.message.params, "taskId")):
        return
    modern.check_tasks(request.message.meta)
    raise InvalidParams("Task not found")
