"""One slot of the pool: its child, and the requests that wait for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredList, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.backends.conversation import Conversation
from mcpgateway.config.diff import ChangedServer
from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import (
    BackendGone,
    GatewayError,
    HandshakeFailed,
    HandshakeRefused,
    LaunchFailed,
    ShuttingDown,
)
from mcpgateway.hub.children.child_messages import ChildMessages
from mcpgateway.hub.children.child_start import ChildInheritance, ChildStart, start_of
from mcpgateway.hub.children.start_queue import StartQueue
from mcpgateway.hub.health.watch import Watch
from mcpgateway.hub.levels import SET_LEVEL, Levels
from mcpgateway.hub.sessions import LOOKING, Session
from mcpgateway.hub.slot_environment import SlotEnvironment
from mcpgateway.hub.subscriptions.upstream_legacy import SUBSCRIBE, UNSUBSCRIBE, Restoration, Subscriptions
from mcpgateway.hub.upstream import Upstream
from mcpgateway.interfaces import Gone, Request, StartMarks
from mcpgateway.protocol import legacy
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.versions import Era
from mcpgateway.waiting import Waiting

if TYPE_CHECKING:
    from mcpgateway.hub.children.records import SlotState
    from mcpgateway.hub.limits.call_limiter import Limiter
    from mcpgateway.hub.replicas import Replicas
    from mcpgateway.hub.subscriptions.upstream_modern import Listening


class Slot(Upstream):
    """The place of at most one child, which is started when a request needs it, once for all requests that wait.

    A new child gets the state of the former one: the log level is set, the resources are subscribed to.  The decision
    to replace a lost child without a request is the watch's (`mcpgateway.hub.health.watch`).

    :ivar replicas: the children that share its calls; None without replicas.
    :ivar limiter: queues calls of tools above the server's limit; None without a limit.
    :ivar snapshot: the recorded answers of the server; None if none are kept.
    """

    log = Logger()

    def __init__(
        self,
        server: ServerSpec,
        params: dict[str, Any],
        environment: SlotEnvironment,
        *,
        shared: bool,
        era: Era = Era.LEGACY,
        home: Slot | None = None,
    ) -> None:
        from mcpgateway.policy.lifecycle import LifecycleMachine, new_life  # an idle gateway has no slot

        super().__init__(server, environment.clock, shared=shared, era=era, home=home)
        self.replicas: Replicas | None = None if home is None else home.replicas
        self.levels = Levels(server.name, self.sessions.keys(), self.submit)
        self.subscriptions = Subscriptions(self.submit, self._give_up, environment.subscribed)
        self._messages = ChildMessages(self, self, environment)
        self.listening = self._new_listening(params) if era is Era.MODERN else None
        self._restoration: Restoration | None = None  # of the present child
        self._is_another = False  # True if an earlier child has answered the handshake
        self._params = params
        # The parameters for the next child, if they differ from those of the present one.
        self._next_params: dict[str, Any] | None = None
        self._environment = environment
        self.dismissed: Conversation | None = None
        self.start_marks: StartMarks | None = None
        self._taken_over: SlotState | None = None  # until the child gets requests
        # Of a child that has not answered the handshake.
        self._start: ChildStart | ChildInheritance | None = None
        self._why: GatewayError = HandshakeFailed(f"{server.name} has not been started")
        self._waiting = StartQueue()
        self._resting = Waiting[None]()
        # Stop ladders in progress: a second one begins if a child is wanted, and then unwanted, during the first.
        self._ladders = 0
        self.limiter: Limiter | None = None
        self._life = new_life(LifecycleMachine(self))
        self.watch: Watch = environment.monitor.watch(self)
        self._meter = environment.meters.of(server.name)
        self._remember()

    def _remember(self) -> None:
        snapshots = self._environment.snapshots
        self.snapshot = snapshots.of(self, self._params) if snapshots is not None else None
        self.update_limit()

    @property
    def offer(self) -> dict[str, Any]:
        """The client capabilities that the next legacy child gets in its handshake."""
        capabilities: dict[str, Any] = (self._next_params or self._params).get("capabilities", {})
        return capabilities

    def offer_next(self, params: dict[str, Any]) -> None:
        """Set the parameters of the next child's handshake."""
        self._next_params = params

    def update_limit(self) -> None:
        """Look up the limiter of the server's calls again, after a change of its limits."""
        self.limiter = self._environment.limiter_of(self)
        self._takers = self._environment.takers(self, self.snapshot, self.limiter)

    def _new_listening(self, meta: dict[str, Any]) -> Listening:
        from mcpgateway.hub.subscriptions.upstream_modern import Listening  # for the modern era only

        return Listening(self.want, meta, self._messages.changed)

    @property
    def is_on(self) -> bool:
        """True if the server is switched on."""
        return self._environment.monitor.is_on(self.server)

    @property
    def is_up(self) -> bool:
        """True if the slot has a backend that runs or is being started, as a process of the gateway or elsewhere."""
        return self._current is not None

    @property
    def is_awaited(self) -> bool:
        """True if the child's handshake is awaited (`greet`)."""
        return bool(self._waiting.greetings)

    @property
    def may_give_way(self) -> bool:
        """True if the child may prove superfluous: calls of its server take turns, or may have to."""
        return self.limiter is not None

    @property
    def load(self) -> int:
        """The number of requests under way or waiting."""
        retired = sum(1 for _ in self.retired.calls()) if self.retired is not None else 0
        waiting = len(self._waiting.requests) + (self.limiter.load(self) if self.limiter is not None else 0)
        return waiting + (self._current.load if self._current is not None else 0) + retired

    @property
    def has_levels(self) -> bool:
        """True if the server declares the capability ``logging``, or has not answered the handshake yet."""
        known = self.introduction
        return known is None or "logging" in legacy.capabilities(known)

    @property
    def introduction(self) -> Envelope | None:
        """The ``InitializeResult`` or ``DiscoverResult`` of the latest child, or of the snapshot; else None."""
        if self.hello is not None or self.snapshot is None:
            return self.hello
        return self.snapshot.hello()

    @property
    def is_resting(self) -> bool:
        """True if the slot has no child, and a snapshot that can answer for it."""
        return self._current is None and self.snapshot is not None and self.snapshot.is_known

    def submit(self, request: Request) -> None:
        """Send a request, at once if the child is warm; the request's sink receives the outcome."""
        request.holder = self
        take = self._takers.get(request.method)
        if take is None or not take(request):
            self.enter(request)

    def measure(self, request: Request) -> None:
        """Count a request in the statistics from now on, unless it is counted already."""
        if request.meter is None:
            self._meter.begin(request)

    def enter(self, request: Request) -> None:
        """Send a request past the snapshot, the limiter and the other takers of `submit`."""
        if request.meter is None:
            self._meter.begin(request)
        try:
            if self.conversation is not None:
                self.conversation.request(request)
                if request.session is not None and request.method not in LOOKING:
                    request.session.has_reached = True
                return
        except BackendGone:
            # The stdin of a child closes a moment before its exit is reported: the next child gets the request.
            self._life.ending()
        except GatewayError as why:
            request.fail(why)
            return
        if self._waiting.add(request, self.server.name):
            self._life.wanted()

    def greet(self) -> Deferred[Envelope]:
        """Return, through the Deferred, the child's ``InitializeResult`` or ``DiscoverResult`` once it is warm.

        :raise GatewayError: (through the Deferred) the child could not be started, or failed its handshake.
        """
        if self.conversation is not None and self.hello is not None:
            return succeed(self.hello)
        greeting: Deferred[Envelope] = Deferred()
        self._waiting.greetings.append(greeting)
        self._life.wanted()
        return greeting

    def introduce(self) -> Deferred[Envelope]:
        """Return, through the Deferred, the server's ``InitializeResult`` or ``DiscoverResult``.

        Without a child it comes from the snapshot; without both the child is started, as by `greet`.
        """
        known = self.snapshot.hello() if self.conversation is None and self.snapshot is not None else None
        return succeed(known) if known is not None else self.greet()

    def want(self) -> None:
        """Start the child if it does not run; a failure is logged."""
        self._life.wanted()

    def ask(self, method: str, params: dict[str, Any]) -> Deferred[Envelope]:
        """Send a request of the gateway itself; the Deferred fires with the response, which may be an error.

        :raise GatewayError: (through the Deferred) the child could not be started, or ended.
        """
        return self.greet().addCallback(lambda _: self._ask(method, params))

    def _ask(self, method: str, params: dict[str, Any]) -> Deferred[Envelope]:
        if self.conversation is None:
            return fail(self._why)
        return self.conversation.ask(method, params)

    def join(self, session: Session) -> None:
        """Add a session, with the log level and the subscriptions that it had before it was parked."""
        session.slot = self
        if not session.id:
            return
        self.sessions[session] = None
        if self.era is Era.MODERN:
            return
        self.levels.joined(session)
        if self.replicas is not None:
            self.replicas.tune()
        self._restore(self.subscriptions.restore(session))
        if session.is_stale:
            if self.conversation is not None or (self.is_resting and not session.uris):
                self._environment.listener.warmed(self, [session])
            else:
                self.want()

    def leave(self, session: Session) -> None:
        """Remove a session, whose calls have been cancelled before."""
        session.slot = None
        self.sessions.pop(session, None)
        if self.era is Era.MODERN:
            return
        self.subscriptions.release(session)
        if self.shared:
            self.levels.left(session)
            if self.replicas is not None:
                self.replicas.tune()

    def _give_up(self, uri: str) -> None:
        if (self.shared or self.sessions) and self.conversation is not None:
            self.conversation.ask(UNSUBSCRIBE, {"uri": uri}).addErrback(_let_go)

    def _restore(self, uris: list[str]) -> None:
        if self.conversation is not None and self._restoration is not None:
            self._restoration.add(uris)

    def withdraw(self, request: Request, reason: str) -> bool:
        """Take a call back; false if it has been answered, or has another holder."""
        if self.subscriptions.withdraw(request):
            return True
        is_found = self._take_back(request, reason)
        if is_found:
            self.subscriptions.cancelled(request)
            if self.limiter is not None:
                self.limiter.taken_back(request)
        return is_found

    def _take_back(self, request: Request, reason: str) -> bool:
        if self._waiting.remove(request):
            if request.meter is not None:
                request.meter.taken_back(request, reason)
            return True
        if self.limiter is not None and self.limiter.withdraw(request, reason):
            return True
        if self._current is not None and self._current.cancel(request, reason):
            return True
        return self.retired is not None and self.retired.withdraw(request, reason)

    def calls(self) -> list[Request]:
        """Return the calls under way or waiting, without the gateway's own; first those that wait for another call.

        In this order a caller can take all of them back without causing a request that is cancelled a moment later.
        """
        retired = self.retired.calls() if self.retired is not None else ()
        behind = self.limiter.calls(self) if self.limiter is not None else ()
        return [*self.subscriptions.waiting(), *behind, *retired, *self._sent(), *self._waiting.requests]

    def close(self) -> Deferred[None]:
        """Stop the child and the retired ones; the Deferred fires when none of their processes is left."""
        done = self._resting.wait()
        self._why = ShuttingDown(f"{self.server.name} is being stopped")
        self._life.unwanted()
        if not self.retired:
            return done
        return DeferredList([done, *self.retired.close()], consumeErrors=True).addCallback(lambda _: None)

    def retire(self, why: str) -> None:
        """Send the child no new calls: it answers those that it has, and the next calls get a new child.

        :param why: the reason, shown in the status.
        """
        conversation = self.conversation
        if conversation is None:
            return
        if self.retired is None:
            from mcpgateway.hub.children.retired import Retired  # hardly any child is ever stuck

            self.retired = Retired(self.server.name)
        self._answered += conversation.sent
        unsent = conversation.unsent()
        self._current = self.conversation = None
        self.retired.add(conversation, why, self._environment.clock.seconds())
        self.levels.end()
        self.forget_mirrored()
        if self.listening is not None:
            self.listening.child_ended()
        self._environment.listener.lost(self)
        self._life.gone()
        for call in unsent:
            self.submit(call)

    def apply(self, change: ChangedServer) -> None:
        """Use a changed definition of the server.

        If a child of the former definition has to be stopped, the next one is started on use, or at once if its
        handshake is awaited, or a client listens or is subscribed.
        """
        self.server = change.of(self.server)
        if not change.restarts:
            if not change.is_quiet:
                self.update_limit()
            self.watch.replace_server(self.server)
            return
        # Failures of the former definition do not count for this one.
        self.watch = self._environment.monitor.watch(self)
        self._remember()
        if self.has_children or self._start is not None:
            self._replace()
        if self.era is Era.LEGACY:
            self._environment.listener.warmed(self, list(self.sessions))

    def _replace(self) -> None:
        # Its successor answers those who wait for the handshake; requests are for the former definition.
        greetings, self._waiting.greetings = self._waiting.greetings, []
        self.close().addErrback(_let_go)
        self._waiting.greetings[:0] = greetings
        if greetings or self.subscriptions or self.listening:
            self.want()

    def expire(self) -> None:
        """Count one tick, and answer the calls that have waited for longer than the server's time limit."""
        if self.conversation is not None:
            self.conversation.expire(self.server.timeout_s)
            if self._restoration is not None:
                self._restoration.tick()
        if self.retired:
            self.retired.expire(self.server.timeout_s)

    def abandon(self, why: GatewayError) -> None:
        """Fail a start that takes too long, and with it the requests that wait for the child."""
        if self._current is not None and self.conversation is None:
            self.give_up(self._current, why)

    # The actions of the state machine

    def start(self) -> None:
        """Spawn the child as soon as the number of children being started allows it."""
        refusal = self.watch.refusal()
        if refusal is not None:
            self._why = refusal
            self._life.failed()
            return
        self.watch.starting()
        self._start = start_of(self, self._environment)
        self._start.begin()

    def spawning(self) -> tuple[Conversation, dict[str, Any]]:
        """Begin a conversation with the next child; return it with the parameters of the child's handshake."""
        self.starts += 1
        if self._next_params is not None:
            self._params, self._next_params = self._next_params, None
            if self.snapshot is not None:
                self.snapshot.offer_next(self._params)
        name = self.server.name
        conversation = Conversation(
            name, self._messages, self._gone, self.era, self._environment.tape_of(name)
        )
        self._current = conversation
        return conversation, self._params

    def greeted(self, hello: Envelope, conversation: Conversation, state: SlotState | None = None) -> None:
        """Handle the child's answer to the handshake."""
        if conversation is not self._current:
            return
        self._release()
        is_held = self.subscriptions.is_held
        self._restoration = Restoration(self.server.name, conversation.ask, is_held)
        self._is_another = self.hello is not None
        self.hello = hello
        self._taken_over = state
        met = None if state is not None else self._environment.on_handshake(self, conversation, hello)
        if met is None:
            self._ready(None, conversation)
        else:
            met.addBoth(self._ready, conversation)

    def _ready(self, _: object, conversation: Conversation) -> None:
        if conversation is self._current:
            self.watch.ready()
            self._life.ready()

    def give_up(self, conversation: Conversation, why: GatewayError) -> None:
        """Handle a start or a handshake that has failed."""
        if conversation is not self._current:
            return
        self._current = None
        if conversation.backend is not None:
            conversation.backend.kill()
        self._release()
        self._why = why
        self.log.warn("{why}", event="child.start_failed", server=self.server.name, why=why.message)
        self.watch.failed(why)
        self._life.failed()

    def _gone(self, conversation: Conversation, why: Gone) -> None:
        if conversation is not self._current:
            if self.retired is not None:
                self.retired.gone(conversation, why)
            return
        self._release()
        # A child that ends in its handshake has held no lock for a call.
        if self._environment.locks is not None and self.conversation is not None:
            self._environment.locks.reported(self, why.last_words)
        self._answered += conversation.sent
        self._current = self.dismissed = self.conversation = None
        self.levels.end()
        self._why = why.error or HandshakeFailed(
            f"{self.server.name} ended during the handshake ({why})", why.last_words
        )
        self.forget_mirrored()
        if self.listening is not None:
            self.listening.child_ended()
        self.watch.ended(why)
        self._environment.listener.lost(self)
        self.log.info("{server} has ended: {why}", event="child.gone", server=self.server.name, why=str(why))
        self._life.gone()

    def _release(self) -> None:
        start, self._start = self._start, None
        if start is not None:
            start.release()

    def serve(self) -> None:
        """Give the child the state of its predecessor, then send the waiting requests in their order."""
        conversation = self.conversation = self._current
        if self.snapshot is not None and conversation is not None:
            self.snapshot.begun(self.hello or {})
            if self.snapshot.outdated():
                from mcpgateway.hub.catalog.refresh import ListRefresh  # only for an outdated snapshot

                self.clock.callLater(0, ListRefresh(self.snapshot, conversation).begin)
        self._waiting.greet(self.hello or {})
        taken_over, self._taken_over = self._taken_over, None
        self.is_taken_over = taken_over is not None
        if self.listening is not None:
            if conversation is not None and taken_over is not None and taken_over.listening is not None:
                self.listening.take_over(conversation, taken_over.listening)
            elif conversation is not None:
                self.listening.resume(conversation)
            self._send(lambda _: True)
            self._environment.listener.warmed(self, ())
            return
        # If one session has unsubscribed from a resource and another has subscribed to it since, the unsubscription
        # must not follow the subscription.
        self._send(lambda call: call.method in {SUBSCRIBE, UNSUBSCRIBE})
        self.levels.begin(conversation if self.has_levels else None, taken_over.level if taken_over else None)
        self._restore(self.subscriptions.uris() if taken_over is None else [])
        if not self.is_replica:  # clients know the server from the home's child
            fresh = [each for each in self.sessions if self._is_another or each.is_stale]
            self._environment.listener.warmed(self, fresh)
        self._send(lambda call: call.method not in {SUBSCRIBE, UNSUBSCRIBE})

    def _send(self, is_next: Callable[[Request], bool]) -> None:
        for each in self._waiting.take(is_next, self.start_marks):
            if each.method == SET_LEVEL:
                self.levels.update(each.message)
            self.submit(each)

    def refuse(self) -> None:
        """Answer the waiting requests with the reason why the slot has no child."""
        greetings = self._waiting.take_greetings()
        for each in self._waiting.take(marks=self.start_marks):
            if self._may_go_on():
                each.sink.failed(each, self._why)
            else:
                each.fail(self._why)
        for done in greetings:
            done.errback(self._why)
        if self.listening is not None:
            self.listening.refuse(self._why)

    def hand_back(
        self, why: GatewayError, is_meant: Callable[[Session | None], bool] = lambda _: True
    ) -> None:
        """Remove sessions and fail their waiting calls, which have not been sent: they get another slot."""
        calls = self._waiting.take(lambda each: is_meant(each.session))
        if self.limiter is not None:
            calls += [each.request for each in self.limiter.leave(self, is_meant)]
        for session in filter(is_meant, list(self.sessions)):
            self.leave(session)
        for call in calls:
            if call.session is not None:
                call.session.slot = None
            call.sink.failed(call, why)

    def _may_go_on(self) -> bool:
        # Such a call is not counted as ended: its sink may send it to another child, or to the same server in the other
        # era.
        if self.is_replica:
            return isinstance(self._why, LaunchFailed | HandshakeFailed)
        return isinstance(self._why, HandshakeRefused) and self.server.protocol is None

    def stop(self) -> None:
        """Stop the child by the stop ladder."""
        self.watch.stopping()
        conversation = self._current
        self.conversation = None
        self.levels.end()
        if conversation is None or conversation.backend is None:
            self._current = None
            if self._start is not None:
                self._start.call_off()
            self._life.gone()
            return
        self._ladders += 1
        self.dismissed = conversation
        conversation.backend.stop().addBoth(self._stopped, conversation)

    def _stopped(self, _: object, conversation: Conversation) -> None:
        self._ladders -= 1
        if conversation is self._current:
            # Some processes cannot be killed; the requests for the next child do not wait any longer for this one.
            conversation.gone(Gone(fault="it was stopped, and does not end"))
        self.rest()

    def rest(self) -> None:
        """Fire the Deferreds of `close`, once all stop ladders have ended."""
        if self._ladders:
            return
        self._resting.over(None)


def slot_of(session: Session) -> Slot | None:
    """Return the slot of a session; None before it has one."""
    return session.slot if isinstance(session.slot, Slot) else None


def _let_go(why: Failure) -> None:
    why.trap(GatewayError)  # a child that has ended cannot report an error
