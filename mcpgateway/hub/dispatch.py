"""Decide where each message of a client goes; the hot road's one crossing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from attrs import define
from msgspec import Raw
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.config.diff import Change, ChangedServer
from mcpgateway.config.model import Bridge, ServerSpec, Share
from mcpgateway.errors import (
    BackendGone,
    Cancelled,
    ClientGone,
    GatewayError,
    HandshakeRefused,
    InvalidParams,
    NeedsLogin,
    Overloaded,
    SessionRequired,
    SharedOtherwise,
    ShuttingDown,
    UnknownServer,
    UnknownSession,
)
from mcpgateway.hub.authorization import Permits
from mcpgateway.hub.catalog.list_limit import ListLimit
from mcpgateway.hub.client_requests import Questions
from mcpgateway.hub.filters import Between, reason
from mcpgateway.hub.keepalive import PROGRESS
from mcpgateway.hub.pool import Pool
from mcpgateway.hub.probes.era import Eras
from mcpgateway.hub.replay import KEPT_TICKS
from mcpgateway.hub.sessions import Session, Sessions
from mcpgateway.hub.slot import Slot, slot_of
from mcpgateway.hub.subscriptions.upstream_legacy import SUBSCRIBE, UNSUBSCRIBE
from mcpgateway.hub.tasks import OWNED, Learner
from mcpgateway.hub.url_elicitation import SendingAway, sends_users
from mcpgateway.hub.workspaces import Scopes
from mcpgateway.interfaces import PARAMS_LIMIT, Call
from mcpgateway.policy import routing
from mcpgateway.policy.eras import EraPath
from mcpgateway.policy.ownership import is_personal
from mcpgateway.policy.sharing import scope_of
from mcpgateway.protocol import jsonrpc, legacy, modern, peek
from mcpgateway.protocol.jsonrpc import Envelope, Message
from mcpgateway.protocol.versions import LATEST_LEGACY, Era, negotiated

if TYPE_CHECKING:
    from mcpgateway.hub.bridge.to_modern import ToModern
    from mcpgateway.hub.views import Holder, SessionViews, ViewsConfig

SESSION_CALLS_LIMIT = 1000
# What a client asks that only looks at what there is: its server has nothing to remember of it.
LOOKING = frozenset(("ping", "tools/list", "prompts/list", "resources/list", "resources/templates/list"))
LONELY_TICKS = KEPT_TICKS  # as long as its answer would be kept for a client that may come back
LONELY_STEP_TICKS = 10
CUT_OFF = "the gateway was stopped or restarted before {name} answered; the call may have had effects"


@define(eq=False)
class _Doubtful(Between):
    """Waits for a child that nobody has shaken hands with yet, and that may not know how to."""

    switchboard: Switchboard
    message: Message

    def failed(self, call: Call, why: GatewayError) -> None:
        """There is no answer; but if the handshake was refused, there may be one in the other era."""
        call.sink = self.sink
        if isinstance(why, SharedOtherwise):
            self.switchboard.again(call, self.message)
        elif isinstance(why, HandshakeRefused) and call.session.server.protocol is None:
            self.switchboard.refused(call, self.message, why)
        else:
            call.sink.failed(call, why)


class Switchboard:
    """What a door asks: which session, and what becomes of a message.

    Where a server may be run otherwise for each workspace, what is passed here is the variant for whoever asks.

    :ivar is_open: false once the gateway is stopping.
    :ivar scopes: knows which variant that is; set before the first request.
    :ivar sending_away: asks clients to send their users to sign-ins; set before the first request.
    :ivar list_limit: how long lists may be that are kept.
    :ivar make_board: builds what serves the views of all servers; set before the first request.
    :ivar permits: knows what each principal may use.
    """

    log = Logger()
    scopes: Scopes
    sending_away: SendingAway
    make_board: Callable[[], SessionViews]

    def __init__(
        self,
        servers: tuple[ServerSpec, ...],
        pool: Pool,
        sessions: Sessions,
        questions: Questions,
        eras: Eras,
        make_to_modern: Callable[[], ToModern],
    ) -> None:
        self.servers = {server.name: server for server in servers}
        self.pool = pool
        self.sessions = sessions
        self.questions = questions
        self.is_open = True
        self.list_limit = ListLimit()
        self.permits = Permits(librarian=lambda: self.board.librarian)
        self.eras = eras
        self._make_to_modern = make_to_modern
        self._to_modern: ToModern | None = None  # until somebody needs it
        self._board: SessionViews | None = None  # likewise
        self._here: dict[str, Callable[[Call, Message], None]] = {
            "ping": _pong,
            "logging/setLevel": self._set_level,
            SUBSCRIBE: self._subscribe,
            UNSUBSCRIBE: self._subscribe,
            "tasks/list": self._learn,
            **dict.fromkeys(OWNED, self._check_task),
        }

    def server(self, name: str) -> ServerSpec:
        """The server of that name.

        :raise UnknownServer: there is none.
        """
        try:
            return self.servers[name]
        except KeyError:
            raise UnknownServer(f"Unknown server: {name}") from None

    def current(self, server: ServerSpec) -> ServerSpec:
        """The definition in force of a server that was looked up a while ago, for the same workspace.

        :raise UnknownServer: there is none any more.
        :raise ConfigError: the values of the workspace cannot be used.
        """
        if server.view:
            return self.board.current(server)
        known = self.servers.get(server.name)
        if known is server:
            return server
        if known is not None:
            return self.scopes.current(known, server)
        if server.workspace:
            return server  # a repository's own
        raise UnknownServer(f"Unknown server: {server.name}")

    def settle_views(self, ways: ViewsConfig) -> None:
        """From now on show what these settings say."""
        if self._board is not None:
            self._board.settle(ways)

    def adopt(self, change: Change) -> None:
        """Serve other servers from now on; who uses those that have not changed notices nothing."""
        self.servers = {server.name: server for server in change.servers}
        self.scopes.look_anew()
        for server in change.added:
            self._drop(server)  # what may have been left behind by a former server of that name
        for server in change.removed:
            self._remove(server)
        for each in change.changed:
            self._change(each)
        if self._board is not None:
            self._board.adopt(change)

    def show_anew(self) -> None:
        """Views show other servers from now on."""
        if self._board is not None:
            self._board.look_anew()

    def _remove(self, server: ServerSpec) -> None:
        self._forget(server)
        for session in self.sessions.of(server):
            if session.id:
                self.end(session, "its server was taken out of the configuration")
        self._drop(server)

    def _change(self, change: ChangedServer) -> None:
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
        for session in self.sessions.of(change.before):
            session.server = self.scopes.of_principal(change.of(session.server), session.principal)
        self.pool.adopt(change)

    def _drop(self, server: ServerSpec) -> None:
        self.sessions.forget_anonymous(server)
        self.pool.drop(server)

    def _forget(self, server: ServerSpec) -> None:
        self.list_limit.forget(server.name)
        self.eras.forget(server)

    # Sessions

    def session(self, identifier: bytes | None, server: ServerSpec, principal: str) -> Session:
        """The session a request belongs to, brought back if it was not in use.

        :raise UnknownSession: the id is not one of ours, of this server, or of this principal, or it was ended.
        :raise SessionRequired: no id, and the server keeps state per session.
        """
        if identifier is not None:
            return self.sessions.find(identifier, server, principal) or self._revive(
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

    def again(self, call: Call, message: Message) -> None:
        """A request waited for a child that is not shared after all: bring it to the one that it belongs to."""
        try:
            if not call.session.id:
                self._check_anonymous(call.session.server)
            self.submit(call, message)
        except GatewayError as why:
            call.fail(why)

    def _era(self, server: ServerSpec, principal: str, requested: str | None = None) -> Era:
        # Which era a legacy client's child speaks: its own, unless it is known that the server does not.
        if server.view:
            return Era.LEGACY
        match self.eras.road(server, Era.LEGACY):
            case EraPath.BRIDGED:
                return Era.MODERN
            case EraPath.REFUSED:
                raise modern.unserved(requested or LATEST_LEGACY)
        if self._is_taken(server, Era.LEGACY, principal):
            if self.eras.bridge(server) is Bridge.OFF:
                raise modern.unserved(requested or LATEST_LEGACY)
            return Era.MODERN
        return Era.LEGACY

    def _is_taken(self, server: ServerSpec, era: Era, principal: str) -> bool:
        # Few servers are known to speak both, and those only could have a child in each.
        known = self.eras.known(server)
        return bool(known.modern and known.legacy is not False) and self.pool.is_taken(server, era, principal)

    def _revive(self, identifier: bytes, server: ServerSpec, principal: str) -> Session:
        if not self.is_open:
            raise ShuttingDown("the gateway is stopping")
        recalled = self.sessions.recall(identifier, server, principal)
        if recalled is None:
            raise UnknownSession("Session not found")
        self._make_room()
        # It keeps the workspace that it was begun in, wherever its client says that it works now.
        known = server if server.view else self.servers.get(server.name, server)
        server = self.scopes.of_principal(self.scopes.again(known, recalled.record.workspace), principal)
        era = self._era(server, principal)
        session = self.sessions.revive(identifier, server, recalled)
        session.era = era
        if server.view:
            self.board.revived(session)
        else:
            self.slot_for(session)
        return session

    def slot_for(self, session: Session) -> Slot:
        """The slot that a session uses, made on first use."""
        slot = slot_of(session)
        if slot is not None:
            return slot
        slot = self.pool.slot_for(session)
        if session.era is Era.MODERN:
            self.to_modern.join(session)
        return slot

    def _make_room(self) -> None:
        while self.sessions.is_full:
            self.park(self.sessions.quietest(self.busy()), "there are too many sessions")

    @property
    def to_modern(self) -> ToModern:
        """The bridge to servers that speak only the modern era, built for the first session that needs it."""
        if self._to_modern is None:
            self._to_modern = self._make_to_modern()
        return self._to_modern

    @property
    def board(self) -> SessionViews:
        """What serves the views of all servers, built for the first request to one."""
        if self._board is None:
            self._board = self.make_board()
        return self._board

    def tick_bridge(self) -> None:
        """A second has passed for the calls that wait for answers to questions."""
        for bridge in self._bridges():
            bridge.tick()

    def _bridges(self) -> list[ToModern]:
        return [self._to_modern] if self._to_modern is not None else []

    def tick_views(self) -> None:
        """A second has passed for those who see all servers at once."""
        for board in self._boards():
            board.tick()

    def bridged(self) -> list[Session]:
        """The sessions whose calls go over the bridge to a modern child."""
        return [call.session for bridge in self._bridges() for call in bridge.calls()]

    def busy(self) -> set[Session]:
        """The sessions that have calls under way."""
        calls = (call for holder in self.holders() for call in holder.calls())
        sessions: set[Session] = {call.session for call in calls if call.session is not None}
        return sessions | {each.outer for each in sessions if each.outer is not None}

    def holders(self) -> list[Holder]:
        """Everything that a call can be with."""
        # A call of a bridged session is with its slot, or between two requests to it.
        return [*self._boards(), *self.pool, *self._bridges()]

    def _boards(self) -> list[SessionViews]:
        return [self._board] if self._board is not None else []

    def initialize(
        self, server: ServerSpec, principal: str, message: Message, owner: int | None
    ) -> Deferred[tuple[Session, Raw]]:
        """Begin a session; fires with it and the ``InitializeResult`` for its client. Not on record yet.

        :raise GatewayError: (through the Deferred) the server could not be started, or the gateway is stopping.
        """
        if not self.is_open:
            raise ShuttingDown("the gateway is stopping")
        self.permits.admit(principal, server)
        server = self.scopes.of_principal(server, principal)
        return maybeDeferred(self._begin, server, principal, message, owner)

    def _begin(
        self, server: ServerSpec, principal: str, message: Message, owner: int | None
    ) -> Deferred[tuple[Session, Raw]]:
        if not self.is_open:
            raise ShuttingDown("the gateway is stopping")
        server = self.current(server)  # it may have had to be found out first which era it speaks
        self._make_room()
        requested = legacy.requested_version(message.params)
        era, version = self._era(server, principal, requested), negotiated(requested)
        session = self.sessions.open(server, principal, version, message.params)
        session.owner, session.era = owner, era
        if server.view:
            return succeed((session, self.board.begin(session)))
        try:
            slot = self.slot_for(session)
        except GatewayError:
            self.end(session, "its server is used by too many others")
            raise
        answer = slot.introduce().addCallbacks(
            _met, _unmet, callbackArgs=(era, version), errbackArgs=(session, version)
        )
        begun: Deferred[tuple[Session, Raw]] = answer.addCallback(lambda hello: (session, hello))
        begun.addErrback(self._not_begun, session)
        if era is Era.LEGACY and server.protocol is None:
            begun.addErrback(self._other_era, server, principal, message, owner)
        return begun

    def _other_era(
        self, why: Failure, server: ServerSpec, principal: str, message: Message, owner: int | None
    ) -> Deferred[tuple[Session, Raw]] | Failure:
        # A server that refuses the handshake may be one that has none.
        if not why.check(HandshakeRefused):
            return why
        return self._has_other_era(server).addCallback(
            lambda has_it: self._begin(server, principal, message, owner) if has_it else why
        )

    def _has_other_era(self, server: ServerSpec) -> Deferred[bool]:
        """Find out whether a server that has refused the handshake speaks the modern era."""
        self.eras.doubt(server)

        def found(_: None) -> bool:
            is_modern = self.eras.known(server).modern is True
            if is_modern:
                self.eras.learn(server, Era.LEGACY, speaks=False)
            return is_modern

        return self.eras.find_out(server, Era.MODERN).addCallback(found)

    def refused(self, call: Call, message: Message, why: GatewayError) -> None:
        """A request waited for a child that has refused the handshake: perhaps its server has none."""
        session: Session = call.session

        def found(has_it: bool) -> None:  # noqa: FBT001 - a callback
            if not has_it:
                raise why
            self.current(session.server)
            self._cross_over(call)
            self.submit(call, message)

        asked = self._has_other_era(session.server).addCallback(found)
        asked.addErrback(lambda failure: call.fail(reason(failure)))

    def _cross_over(self, call: Call) -> None:
        session: Session = call.session
        if not session.id:
            call.session = self.sessions.anonymous(
                session.server,
                session.principal,
                session.version,
                self._era(session.server, session.principal),
            )
        elif (era := self._era(session.server, session.principal)) is not session.era:
            for bridge in self._bridges():
                bridge.leave(session)
            self.pool.release(session)
            session.era = era

    def put_on_record(self, session: Session, message: Message) -> None:
        """Keep what a client has said at ``initialize``; best just after its answer has left."""
        self.sessions.remember(session, self._recorded(session, message))
        if session.inners is not None:
            session.params = None  # it is on record

    def _recorded(self, session: Session, message: Message) -> bytes:
        if message.params is None:
            return b""
        whole = jsonrpc.encode(message.params)
        if len(whole) <= PARAMS_LIMIT:
            return whole
        self.log.info(
            "a client of {server} said {size} bytes at initialize, and only what matters most is on record",
            event="session.shortened",
            server=session.server.name,
            size=len(whole),
        )
        return legacy.essential_params(message.params, PARAMS_LIMIT)

    def _not_begun(self, why: Any, session: Session) -> Any:
        self.end(session, f"it could not begin: {why.getErrorMessage()}")
        return why

    def end(self, session: Session, why: str) -> bool:
        """End a session for good: its calls are cancelled, its own child is stopped. True when a child is stopped."""
        self.sessions.forget(session)
        self.log.info(
            "a session of {server} ends: {why}", event="session.ended", server=session.server.name, why=why
        )
        return self._let_go(session, _ended(session, why))

    def begin_inner(self, outer: Session, server: ServerSpec, identifier: bytes, uris: set[str]) -> Session:
        """Begin the session of a view session's client at one server.

        :raise GatewayError: too many others use the server.
        """
        era = self._era(server, outer.principal)
        session = self.sessions.open_inner(outer, server, identifier)
        session.era, session.uris = era, uris or None
        try:
            self.slot_for(session)
        except GatewayError:
            self.end_inner(session, UnknownSession("Session has ended"))
            raise
        return session

    def end_inner(self, session: Session, why: GatewayError) -> bool:
        """End such a session, as with its outer one; true when a child is stopped."""
        self.sessions.forget(session)
        return self._let_go(session, why)

    def end_named(self, identifier: bytes) -> bool:
        """End the session of that id, in use or not; true when a child is stopped."""
        session = self.sessions.named(identifier)
        if session is not None:
            return self.end(session, "somebody asked for it")
        self.sessions.forget_parked(identifier)
        return False

    def delete(self, identifier: bytes, server: ServerSpec, principal: str) -> None:
        """End a session because its client asks for it.

        :raise UnknownSession: the id is not one of ours, of this server, or of this principal, or it was ended.
        """
        session = self.sessions.find(identifier, server, principal)
        if session is not None:
            self.end(session, "its client asked for it")
        elif self.sessions.knows(identifier, server, principal):
            self.sessions.forget_parked(identifier)
        else:
            raise UnknownSession("Session not found")

    def park(self, session: Session, why: str) -> bool:
        """Give back what a session holds; its id stays good. True when a child of its own is stopped."""
        self.sessions.park(session)
        self.log.info(
            "a session of {server} is put aside: {why}",
            event="session.parked",
            server=session.server.name,
            why=why,
        )
        return self._let_go(session, ShuttingDown(f"the session was put aside: {why}"))

    def _let_go(self, session: Session, why: GatewayError) -> bool:
        killed = False
        if session.inners is not None:
            killed = self.board.leave(session, why)
        if session.outer is not None and session.outer.inners is not None:
            session.outer.inners.drop(session)
        for holder in self._holders_of(session):
            for call in holder.calls():
                if call.session is session and holder.cancel(call, "the session has ended"):
                    call.sink.failed(call, why)
        for bridge in self._bridges():
            bridge.leave(session)
        self.questions.session_ended(session)
        killed = self.pool.release(session) or killed
        session.clear()
        return killed

    def _holders_of(self, session: Session) -> list[Holder]:
        if session.inners is not None:
            inner = (self._holders_of(each) for each in session.inners.sessions.values())
            return list(dict.fromkeys([*self._boards(), *(holder for each in inner for holder in each)]))
        slot = slot_of(session)
        boards = self._boards() if session.outer is not None else []
        if slot is None:
            return [*boards]
        return [*boards, slot, *(slot.replicas or ()), *self._bridges()]

    # Requests

    def submit(self, call: Call, message: Message) -> None:
        """Bring a request to its server; the call's sink hears what becomes of it.

        :raise GatewayError: it goes nowhere.
        """
        session: Session = call.session
        if self.permits.scopes:
            self.permits.check(session.principal, session.server, call, message)
        if session.era is Era.MODERN:
            self._bridge(call, message)
            return
        if session.server.view:
            self.board.submit(call, message)
            return
        here = self._here.get(call.method)
        if here is not None:
            here(call, message)
        elif message.params is not None and "task" in message.params:
            self._learn(call, message)
        else:
            self._forward(call, message)

    def take(self, call: Call, message: Message) -> None:
        """Bring a request that a client has sent itself to its server; the call's sink hears what becomes of it.

        :raise GatewayError: it goes nowhere.
        """
        session: Session = call.session
        if not session.has_called:
            session.has_called = call.method not in LOOKING
        if session.sends_user is None:
            session.sends_user = sends_users(session.version, self.sessions.capabilities_of(session))
        if session.sends_user:
            self.sending_away.attend(call)
        if self.permits.scopes:
            self.permits.narrow(call.session.principal, call.session.server, call, message)
        if not call.session.server.has_shield or not self.board.direct.serves(call, message):
            self.submit(call, message)

    def _bridge(self, call: Call, message: Message) -> None:
        if not self.is_open:
            raise ShuttingDown("the gateway is stopping")
        slot = self.slot_for(call.session)
        session: Session = call.session
        if not slot.is_up and self._is_taken(session.server, Era.MODERN, session.principal):
            self._cross_over(call)
            self.submit(call, message)
            return
        if slot.may_give_way:
            call.sink = _Doubtful(call.sink, self, message)
        if slot.load + self.to_modern.load >= SESSION_CALLS_LIMIT:
            self._check_load(call.session)
        self.to_modern.submit(call, message)

    def _forward(self, call: Call, message: Message) -> None:
        if not self.is_open:
            raise ShuttingDown("the gateway is stopping")
        session: Session = call.session
        slot = session.slot
        if not isinstance(slot, Slot):
            slot = self.pool.slot_for(session)
        if slot.load >= SESSION_CALLS_LIMIT:
            self._check_load(session)
        if slot.conversation is None:
            if (
                session.server.protocol is None
                and not slot.is_up
                and self._is_taken(session.server, Era.LEGACY, session.principal)
            ):
                self._cross_over(call)
                self.submit(call, message)
                return
            call.sink = _Doubtful(call.sink, self, message)
        elif slot.may_give_way:
            call.sink = _Doubtful(call.sink, self, message)
        if slot.replicas is not None and _goes_anywhere(message):
            slot.replicas.submit(call, message)
        else:
            slot.submit(call, message)

    def _check_load(self, session: Session) -> None:
        calls = (call for holder in self._holders_of(session) for call in holder.calls())
        if sum(each.session is session for each in calls) >= SESSION_CALLS_LIMIT:
            raise Overloaded(f"{SESSION_CALLS_LIMIT} calls of this session are under way already")

    def _set_level(self, call: Call, message: Message) -> None:
        # One level for all is what a shared server has, so it is set to what the most verbose session asked for.
        session: Session = call.session
        level = routing.asked_level(message.params)
        slot = self.slot_for(session)
        if not slot.has_levels:
            self._forward(call, message)  # it will say itself that it has none
            return
        session.level, session.has_level = level, True
        self.sessions.remember(session)  # before the client is told, so that a kill in between loses nothing
        if slot.is_resting:
            call.sink.answered(call, jsonrpc.result(jsonrpc.NULL, {}))  # its child is told when there is one
        else:
            slot.levels.wish(call, message)
        if slot.replicas is not None:
            slot.replicas.tune()

    def _subscribe(self, call: Call, message: Message) -> None:
        if not self.is_open:
            raise ShuttingDown("the gateway is stopping")
        if not call.session.id:
            raise InvalidParams("Invalid params: a subscription needs a session; send initialize first")
        uri = peek.text(message.params, "uri", jsonrpc.URI_LIMIT)
        if uri is None:
            raise InvalidParams('Invalid params: "uri" must be a string')
        self.pool.slot_for(call.session).subscriptions.submit(call, message, uri)

    def _learn(self, call: Call, message: Message) -> None:
        slot = self.pool.slot_for(call.session)
        if slot.shared:
            call.sink = Learner(call.sink, slot.tasks)
        self._forward(call, message)

    def _check_task(self, call: Call, message: Message) -> None:
        slot = self.pool.slot_for(call.session)
        if slot.shared and not self._owns_task(call, message):
            raise InvalidParams("Task not found")
        self._forward(call, message)

    def _owns_task(self, call: Call, message: Message) -> bool:
        session: Session = call.session
        task = peek.text(message.params, "taskId")
        slot = slot_of(session)
        return slot is not None and slot.tasks.is_of(session, task)

    # Notifications and answers

    def heard(self, session: Session, message: Message) -> None:
        """Take a notification of a client's."""
        if message.method == "notifications/cancelled":
            self._cancelled(session, message)
        elif message.method == "notifications/initialized" or session.era is Era.MODERN:
            if session.inners is not None:
                self.board.ask_roots(session)
            return  # the gateway said it itself, once per child
        elif session.inners is not None and message.method == PROGRESS:
            self.questions.progressed(session, message)
        elif session.inners is not None:
            if message.method == "notifications/roots/list_changed":
                self.board.ask_roots(session)
            for each in list(session.inners.sessions.values()):
                self.heard(each, message)
        elif not session.server.view:
            self.permits.admit(session.principal, session.server)
            slot = self.pool.slot_for(session)
            is_for_it = not slot.shared and (message.method != PROGRESS or self.questions.owns_token(session))
            if slot.conversation is not None and is_for_it:
                slot.conversation.notify(message.envelope)

    def answered(self, session: Session, message: Message) -> None:
        """Take a client's answer to a question of a server's; what nobody asked is dropped."""
        if not self.questions.answered(session, message):
            self.log.debug("an answer to nothing", event="answer.stray")

    def _cancelled(self, session: Session, message: Message) -> None:
        identifier = jsonrpc.identifier((message.params or {}).get("requestId"))
        if identifier is None or not session.id:
            return  # without a session, ids are those of several clients
        for holder in self._holders_of(session):
            for call in reversed(holder.calls()):
                its: Session | None = call.session
                is_its = its is not None and session in (its, its.outer)
                if is_its and jsonrpc.same_identifier(call.id, identifier):
                    if holder.cancel(call, _reason(message)):
                        call.sink.failed(call, Cancelled("Request cancelled"))
                    return

    def calls(self) -> int:
        """How many calls are under way or waiting."""
        return sum(len(holder.calls()) for holder in self.holders())

    def awaited(self) -> int:
        """How many of them have a client that waits for the answer."""
        return sum(not call.sink.is_gone for holder in self.holders() for call in holder.calls())

    def under_way(self) -> set[Call]:
        """The calls that have a client that waits for the answer."""
        return {call for holder in self.holders() for call in holder.calls() if not call.sink.is_gone}

    def tick(self) -> None:
        """A second has passed: now and then take back the calls that nobody has come back for."""
        if self.sessions.now % LONELY_STEP_TICKS:
            return
        for holder in self.holders():
            for call in holder.calls():
                call.lonely = call.lonely + LONELY_STEP_TICKS if call.sink.is_gone else 0
                if call.lonely > LONELY_TICKS and holder.cancel(call, "its client has gone"):
                    call.sink.failed(call, ClientGone("the client has gone"))

    def close(self) -> Deferred[list[tuple[bool, None]]]:
        """Take no more calls and stop every child."""
        self.is_open = False
        self.cut_off(call for holder in self.holders() for call in holder.calls())
        for bridge in self._bridges():
            bridge.close()
        return self.pool.close()

    def cut_off(self, calls: Iterable[Call]) -> None:
        """Take back calls that have had their time; their clients are told what that may mean."""
        # Not left to the end of the servers: whoever ends because we say so has nothing to tell of it.
        for call in list(calls):
            if self._board is not None and self._board.hurry(call):
                continue
            if any(holder.cancel(call, "the gateway is stopping") for holder in self.holders()):
                call.sink.failed(call, ShuttingDown(CUT_OFF.format(name=_called(call))))


def _met(hello: Envelope, era: Era, version: str) -> Raw:
    from mcpgateway.protocol import translate  # what only the bridge needs

    return legacy.hello_for(translate.hello_from_discovery(hello) if era is Era.MODERN else hello, version)


def _unmet(why: Failure, session: Session, version: str) -> Raw | Failure:
    # Clients take an endpoint that refuses this for a broken one, and do not come back when its user has signed in.
    refusal = why.value
    if not isinstance(refusal, NeedsLogin):
        return why
    session.is_stale = session.is_unmet = True
    title = session.server.title or session.server.name
    return legacy.hello_for(legacy.unmet(title, refusal.message), version)


def _called(call: Call) -> str:
    # Whoever calls a tool of the gateway's own in the modern era has no session.
    return str(call.session.server.name) if call.session is not None else "the tool"


def _ended(session: Session, why: str) -> GatewayError:
    if session.outer is None:
        return UnknownSession("Session has ended")
    # Its client knows nothing of it, and its own session lives.
    return BackendGone(f"{session.server.name} ended before it answered ({why})")


def _pong(call: Call, message: Message) -> None:
    call.sink.answered(call, jsonrpc.result(jsonrpc.NULL, {}))


def _goes_anywhere(message: Message) -> bool:
    return message.method == "tools/call" and "task" not in (message.params or {})


def _reason(message: Message) -> str:
    reason = peek.text(message.params, "reason")
    return "cancelled by the client" if reason is None else reason
