"""Decide on the destination of each message of a legacy client."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mcpgateway.config.diff import Change, ChangedServer
from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.discovery.records import ListKind
from mcpgateway.errors import (
    GatewayError,
    HandshakeRefused,
    InvalidParams,
    SessionRequired,
    ShuttingDown,
    UnknownServer,
)
from mcpgateway.hub.calls import SESSION_CALLS_LIMIT
from mcpgateway.hub.client_requests import Questions
from mcpgateway.hub.filters import reason, resubmit
from mcpgateway.hub.keepalive import PROGRESS
from mcpgateway.hub.levels import SET_LEVEL
from mcpgateway.hub.lifecycle import Lifecycle
from mcpgateway.hub.pool import Pool
from mcpgateway.hub.probes.client_roots import ClientRoots
from mcpgateway.hub.probes.era import Eras
from mcpgateway.hub.sessions import LOOKING, Session, Sessions
from mcpgateway.hub.slot import Slot, slot_of
from mcpgateway.hub.subscriptions.upstream_legacy import SUBSCRIBE, UNSUBSCRIBE, subscribed_uri
from mcpgateway.hub.tasks import OWNED, Learner
from mcpgateway.hub.url_elicitation import SendingAway, sends_users
from mcpgateway.interfaces import Request
from mcpgateway.policy import routing
from mcpgateway.policy.client_requests import ROOTS_CHANGED
from mcpgateway.policy.ownership import is_personal
from mcpgateway.policy.sharing import scope_of
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Message
from mcpgateway.protocol.versions import LATEST_LEGACY, Era

if TYPE_CHECKING:
    from mcpgateway.hub.bridge.to_modern import ToModern
    from mcpgateway.hub.views import SessionViews

_ROOTLESS = frozenset(("ping", SET_LEVEL))  # which need no child of the session's own roots


class LegacyDispatcher(Lifecycle):
    """The entrance of legacy sessions and their messages, for the frontends.

    If a server runs in a variant for each workspace, the parameter ``server`` of the methods is the caller's variant.

    :ivar sending_away: asks clients to send their users to sign-ins; set before the first request.
    :ivar roots: asks clients for their roots.
    :ivar make_view_sessions: builds the part that serves views; set before the first request.
    """

    log = Logger()
    sending_away: SendingAway
    make_view_sessions: Callable[[], SessionViews]

    def __init__(
        self,
        servers: tuple[ServerSpec, ...],
        pool: Pool,
        sessions: Sessions,
        questions: Questions,
        eras: Eras,
        make_to_modern: Callable[[], ToModern],
    ) -> None:
        super().__init__(servers, pool, sessions, questions, eras)
        self.roots = self.calls.roots = ClientRoots(pool, questions, self.submit)
        self._make_to_modern = make_to_modern
        self._to_modern: ToModern | None = None  # built on first use
        self._view_sessions: SessionViews | None = None  # built on first use
        self._here: dict[str, Callable[[Request], None]] = {
            "ping": _pong,
            SET_LEVEL: self._set_level,
            SUBSCRIBE: self._subscribe,
            UNSUBSCRIBE: self._subscribe,
            "tasks/list": self._learn,
            **dict.fromkeys(OWNED, self._check_task),
        }

    def server(self, name: str) -> ServerSpec:
        """Return the server of a name.

        :raise UnknownServer: the configuration has no such server.
        """
        try:
            return self.servers[name]
        except KeyError:
            raise UnknownServer(f"Unknown server: {name}") from None

    def current(self, server: ServerSpec) -> ServerSpec:
        """Return the current definition of a server that was looked up before, for the same workspace.

        :raise UnknownServer: the server was removed.
        :raise ConfigError: the values of the workspace cannot be used.
        """
        if server.view:
            return self.view_sessions.current(server)
        known = self.servers.get(server.name)
        if known is server:
            return server
        if known is not None:
            return self.scopes.current(known, server)
        if server.workspace:
            return server  # defined by the workspace itself
        raise UnknownServer(f"Unknown server: {server.name}")

    def apply(self, change: Change) -> None:
        """Apply a change of the configuration; the sessions of unchanged servers go on."""
        self.servers = {server.name: server for server in change.settings.servers}
        if not change.is_quiet:
            self.scopes.rebuild()
        for server in change.added:
            self._drop(server)  # an earlier server of that name may have left a slot
        for server in change.removed:
            self._remove(server)
        for each in change.changed:
            self._change(each)
        if self._view_sessions is not None:
            self._view_sessions.apply(change)
        if self.permits.quarantine is not None:
            self.permits.look(self.servers.values())
        if change.concerns("quarantine"):
            self.refresh_views()

    def refresh_views(self) -> None:
        """Let the views show their present servers, and forget the former ones."""
        if self._view_sessions is not None:
            self._view_sessions.rebuild()

    def _remove(self, server: ServerSpec) -> None:
        self._forget(server)
        for session in self.sessions.of(server):
            if session.id:
                self.end(session, "its server was taken out of the configuration")
        self._drop(server)

    def _change(self, change: ChangedServer) -> None:
        if change.is_quiet:
            for session in self.sessions.of(change.before):
                session.server = change.of(session.server)
            self.pool.apply(change)
            return
        self._forget(change.before)
        regroups = change.regroups or is_personal(change.before) is not is_personal(change.after)
        if regroups or (not change.is_slight and self.pool.has_variants(change.before)):
            was_switched = change.after.enabled is not change.before.enabled
            switched = f"switched {'on' if change.after.enabled else 'off'}"
            why = f"its server is {switched if was_switched else 'shared otherwise now'}"
            for session in self.sessions.of(change.before):
                if session.issued is not None:
                    self.park(session, why)
                elif session.id:
                    self.end(session, why)
            self._drop(change.before)
        has_other_tools = change.before.tools_off != change.after.tools_off
        for session in self.sessions.of(change.before):
            session.server = self.scopes.of_principal(change.of(session.server), session.principal)
        if has_other_tools:
            self._announce_tools(change.after)
        self.pool.apply(change)

    def set_aside(self, server: ServerSpec) -> None:
        """Leave the shared children of a server to their present sessions; new sessions get new ones."""
        self.sessions.forget_anonymous(server)
        self.pool.set_aside(server)

    def _announce_tools(self, server: ServerSpec) -> None:
        for session in self.sessions.of(server):
            if session.id and session.outer is None:
                session.announce(ListKind.TOOL.news)

    def offer_others(self, name: str) -> None:
        """Notify the clients of a server that other tools of it are offered now, and let the views show these."""
        server = self.servers.get(name)
        if server is None:
            return
        self._announce_tools(server)
        for slot in self.pool:
            if slot.server.name == name and slot.listening is not None:
                slot.listening.announce(ListKind.TOOL.news)
        self.refresh_views()

    def _drop(self, server: ServerSpec) -> None:
        self.sessions.forget_anonymous(server)
        self.pool.drop(server)

    def _forget(self, server: ServerSpec) -> None:
        self.list_limit.forget(server.name)
        self.eras.forget(server)

    # Sessions

    def session(self, identifier: bytes | None, server: ServerSpec, principal: str) -> Session:
        """Return the session of a request, restored if it was not in use.

        :raise UnknownSession: the id is not one of the gateway's, of this server, or of this principal, or the session
            has ended.
        :raise SessionRequired: the request has no id, and the server keeps state per session.
        """
        if identifier is not None:
            return self.sessions.find(identifier, server, principal) or self.revive(
                identifier, server, principal
            )
        server = self.scopes.of_principal(server, principal)
        self._check_anonymous(server)
        return self.sessions.anonymous(server, principal, LATEST_LEGACY, self._era(server, principal))

    def _check_anonymous(self, server: ServerSpec) -> None:
        if scope_of(server) is Share.SESSION or self.pool.keeps_state(server):
            raise SessionRequired(
                "Bad Request: Mcp-Session-Id header is required",
                f"{server.name} keeps state per session: send initialize first and repeat the id it answers with",
            )

    def resubmit(self, request: Request) -> None:
        """Submit a request again whose child has proved not to be shared."""
        try:
            if not request.session.id:
                self._check_anonymous(request.session.server)
            self.submit(request)
        except GatewayError as why:
            request.fail(why)

    def slot_for(self, session: Session) -> Slot:
        """Return the slot of a session, created on first use."""
        slot = slot_of(session)
        if slot is not None:
            return slot
        slot = self.pool.slot_for(session)
        if session.era is Era.MODERN:
            self.to_modern.join(session)
        return slot

    @property
    def to_modern(self) -> ToModern:
        """The bridge to servers that speak only the modern era, built on first use."""
        if self._to_modern is None:
            self._to_modern = self.calls.bridge = self._make_to_modern()
        return self._to_modern

    @property
    def view_sessions(self) -> SessionViews:
        """The part that serves views, built on first use."""
        if self._view_sessions is None:
            self._view_sessions = self.calls.views = self.make_view_sessions()
        return self._view_sessions

    def tick_bridge(self) -> None:
        """Count one second for the calls that wait for answers to questions."""
        if self.calls.bridge is not None:
            self.calls.bridge.tick()

    def tick_views(self) -> None:
        """Count one second for the views."""
        if self._view_sessions is not None:
            self._view_sessions.tick()

    def refused(self, request: Request, why: HandshakeRefused) -> None:
        """Probe the modern era after a refused handshake, and submit the request again if the server speaks it."""
        session: Session = request.session
        if session.server.protocol is not None:
            request.sink.failed(request, why)
            return

        def found(has_it: bool) -> None:  # noqa: FBT001 - a callback
            if not has_it:
                raise why
            self.current(session.server)
            self._cross_over(request)
            self.submit(request)

        asked = self._has_other_era(session.server).addCallback(found)
        asked.addErrback(lambda failure: request.fail(reason(failure)))

    def _cross_over(self, request: Request) -> None:
        session: Session = request.session
        if not session.id:
            request.session = self.sessions.anonymous(
                session.server,
                session.principal,
                session.version,
                self._era(session.server, session.principal),
            )
        elif (era := self._era(session.server, session.principal)) is not session.era:
            if self.calls.bridge is not None:
                self.calls.bridge.leave(session)
            self.pool.release(session)
            session.era = era

    # Requests

    def submit(self, request: Request) -> None:
        """Pass a request to its server or view; the request's sink receives the outcome.

        :raise GatewayError: the request is refused; its sink receives nothing.
        """
        session: Session = request.session
        if self.permits.scopes or session.server.tools_off or self.permits.holds:
            self.permits.check(session.principal, session.server, request)
        if session.era is Era.MODERN:
            self._bridge(request)
            return
        if session.server.view:
            self.view_sessions.submit(request)
            return
        if session.awaits_roots and request.method not in _ROOTLESS and self.roots.holds(request):
            return
        here = self._here.get(request.method)
        if here is not None:
            here(request)
        elif request.message.params is not None and "task" in request.message.params:
            self._learn(request)
        else:
            self._forward(request)

    def accept(self, request: Request) -> None:
        """Pass on a request that comes from a client itself, not from a view; the request's sink receives the outcome.

        :raise GatewayError: the request is refused; its sink receives nothing.
        """
        session: Session = request.session
        if not session.has_called:
            session.has_called = request.method not in LOOKING
        if session.sends_user is None:
            session.sends_user = sends_users(session.version, self.sessions.capabilities_of(session))
        if session.sends_user:
            self.sending_away.attend(request)
        if self.permits.admit_call is not None:
            self.permits.admit_call(session.principal)
        if self.permits.scopes or request.session.server.tools_off or self.permits.holds:
            self.permits.narrow(request.session.principal, request.session.server, request)
        if not request.session.server.has_shield or not self.view_sessions.direct.serves(request):
            self.submit(request)

    def _bridge(self, request: Request) -> None:
        if not self.is_open:
            raise ShuttingDown("the gateway is stopping")
        slot = self.slot_for(request.session)
        session: Session = request.session
        if not slot.is_up and self._is_taken(session.server, Era.MODERN, session.principal):
            self._cross_over(request)
            self.submit(request)
            return
        if slot.may_give_way:
            resubmit(request, self)
        if slot.load + self.to_modern.load >= SESSION_CALLS_LIMIT:
            self.calls.check_load(request.session)
        self.to_modern.submit(request)

    def _forward(self, request: Request) -> None:
        if not self.is_open:
            raise ShuttingDown("the gateway is stopping")
        session: Session = request.session
        slot = session.slot
        if not isinstance(slot, Slot):
            slot = self.pool.slot_for(session)
            if session.awaits_roots:
                self.submit(request)
                return
        if slot.load >= SESSION_CALLS_LIMIT:
            self.calls.check_load(session)
        if slot.conversation is None:
            if (
                session.server.protocol is None
                and not slot.is_up
                and self._is_taken(session.server, Era.LEGACY, session.principal)
            ):
                self._cross_over(request)
                self.submit(request)
                return
            resubmit(request, self)
        elif slot.may_give_way:
            resubmit(request, self)
        if slot.replicas is not None and _goes_anywhere(request.message):
            slot.replicas.submit(request)
        else:
            slot.submit(request)

    def _set_level(self, request: Request) -> None:
        # A shared child has one level for all sessions: the most verbose that any of them has set.
        session: Session = request.session
        level = routing.asked_level(request.message.params)
        slot = self.slot_for(session)
        if not slot.has_levels:
            self._forward(request)  # the server answers with its own error
            return
        session.level, session.has_level = level, True
        self.sessions.remember(session)  # before the answer, so that a kill in between loses nothing
        if slot.is_resting:
            request.sink.answered(request, jsonrpc.result(jsonrpc.NULL, {}))  # the next child gets the level
        else:
            slot.levels.wish(request)
        if slot.replicas is not None:
            slot.replicas.tune()

    def _subscribe(self, request: Request) -> None:
        if not self.is_open:
            raise ShuttingDown("the gateway is stopping")
        uri = subscribed_uri(request)
        request.holder = slot = self.pool.slot_for(request.session)
        slot.subscriptions.submit(request, uri)

    def _learn(self, request: Request) -> None:
        slot = self.pool.slot_for(request.session)
        if slot.shared:
            request.sink = Learner(request.sink, slot.tasks)
        self._forward(request)

    def _check_task(self, request: Request) -> None:
        slot = self.pool.slot_for(request.session)
        if slot.shared and not self._owns_task(request):
            raise InvalidParams("Task not found")
        self._forward(request)

    def _owns_task(self, request: Request) -> bool:
        session: Session = request.session
        task = peek.text(request.message.params, "taskId")
        slot = slot_of(session)
        return slot is not None and slot.tasks.is_of(session, task)

    # Notifications and answers

    def notified(self, session: Session, message: Message) -> None:
        """Handle a notification of a client."""
        if message.method == ROOTS_CHANGED and session.outer is None:
            self._roots_changed(session)
        if message.method == "notifications/cancelled":
            self.calls.cancel(session, message)
        elif message.method == "notifications/initialized" or session.era is Era.MODERN:
            if session.members is not None:
                self.view_sessions.ask_roots(session)
            return  # the gateway sends its own ``notifications/initialized``, once per child
        elif session.members is not None and message.method == PROGRESS:
            self.questions.progressed(session, message)
        elif session.members is not None:
            for each in list(session.members.sessions.values()):
                self.notified(each, message)
        elif not session.server.view:
            self.permits.admit(session.principal, session.server)
            slot = self.pool.slot_for(session)
            is_for_it = not slot.shared and (message.method != PROGRESS or self.questions.owns_token(session))
            if slot.conversation is not None and is_for_it:
                slot.conversation.notify(message.envelope)

    def _roots_changed(self, session: Session) -> None:
        self.roots.changed(session)
        if session.members is not None:
            self.view_sessions.ask_roots(session)

    def answered(self, session: Session, message: Message) -> None:
        """Handle a client's response to a question of a server; one without a question is dropped."""
        if not self.questions.answered(session, message):
            self.log.debug("an answer matches no open question", event="answer.stray")

    def close(self) -> Deferred[list[tuple[bool, None]]]:
        """Take no more calls and stop every child; the Deferred fires when none of their processes is left."""
        self.is_open = False
        self.calls.cut_off()
        if self.calls.bridge is not None:
            self.calls.bridge.close()
        return self.pool.close()


def _pong(request: Request) -> None:
    request.sink.answered(request, jsonrpc.result(jsonrpc.NULL, {}))


def _goes_anywhere(message: Message) -> bool:
    return message.method == "tools/call" and "task" not in (message.params or {})
