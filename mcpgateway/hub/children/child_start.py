"""The start of a server's child: from its turn among all starts to its answer to the handshake."""

from __future__ import annotations

from time import perf_counter
from typing import Any, Protocol

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.backends.conversation import Conversation
from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import GatewayError, HandshakeFailed, HandshakeLate, HandshakeRefused, of_server
from mcpgateway.hub.children.records import SlotState
from mcpgateway.hub.health.watch import Watch
from mcpgateway.hub.sessions import Session
from mcpgateway.hub.slot_environment import SlotEnvironment
from mcpgateway.interfaces import Launch, Placement, Request, StartMarks
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.versions import Era
from mcpgateway.records import Record
from mcpgateway.units import duration

PERMIT_S = 5.0  # after that a starting child only waits, as for a download, and lets others start


class StartOwner(Protocol):
    """The slot whose child is started.

    :ivar shared: true if several sessions may use the child.
    :ivar sessions: these sessions.
    :ivar scope: the key of these sessions; empty where all share the child.
    :ivar sharer: the only principal of these sessions; empty for any.
    :ivar dismissed: the conversation with the latest child that was stopped.
    :ivar start_marks: the times of the latest start; None before the first.
    :ivar inherited: the child to take over in place of the next start; None for a start.
    """

    server: ServerSpec
    shared: bool
    sessions: dict[Session, None]
    scope: bytes
    sharer: str
    era: Era
    watch: Watch
    dismissed: Conversation | None
    start_marks: StartMarks | None
    inherited: SlotState | None

    @property
    def speaking(self) -> Conversation | None:
        """The conversation with the child that is being started, or runs."""

    def enter(self, request: Request) -> None:
        """Send a request, or keep it for the next child."""

    def spawning(self) -> tuple[Conversation, dict[str, Any]]:
        """Begin a conversation with the next child; also return the parameters of its handshake."""

    def restore(self, state: SlotState) -> None:
        """Take what the former program of this process knew of the slot."""

    def greeted(self, hello: Envelope, conversation: Conversation, state: SlotState | None = None) -> None:
        """Take the child's answer to the handshake.

        :param state: the state of a child that the former program of this process has started; else None.
        """

    def give_up(self, conversation: Conversation, why: GatewayError) -> None:
        """Take the failure of the start or the handshake."""


class ChildStart(Record):
    """One start of a slot's child, as soon as the start limiter admits it.

    A start whose child is no longer the slot's does nothing and reports nothing.
    """

    _owner: StartOwner
    _environment: SlotEnvironment
    _permit: IDelayedCall | None = None  # its place among the starts

    log = Logger()

    def begin(self) -> None:
        """Spawn the child when it is its turn."""
        self._environment.start_limiter.enter(self._spawn)

    def call_off(self) -> None:
        """Call the start off, where the child is not yet spawned."""
        self._environment.start_limiter.withdraw(self._spawn)
        self.release()

    def release(self) -> None:
        """Release the place among the starts, so that the next child may start."""
        permit, self._permit = self._permit, None
        if permit is not None:
            if permit.active():
                permit.cancel()
            self._environment.start_limiter.leave()

    def _spawn(self) -> None:
        environment = self._environment
        self._permit = environment.clock.callLater(PERMIT_S, self.release)
        conversation, params = self._owner.spawning()
        self._owner.start_marks = StartMarks(perf_counter())
        launch = launch_of(self._owner)
        prepared: Deferred[Launch] = environment.launcher.prepare(launch)
        prepared.addCallback(self._launch, conversation, params).addErrback(self._broken, conversation)

    def _launch(self, launch: Launch, conversation: Conversation, params: dict[str, Any]) -> None:
        owner, environment = self._owner, self._environment
        if conversation is not owner.speaking:
            return  # the start was called off while the launch was prepared
        owner.watch.launching(launch)
        if environment.quarantine is not None:
            environment.quarantine.launching(owner, launch)
        try:
            conversation.backend = environment.launcher.launch(launch, conversation)
        except GatewayError as why:
            owner.give_up(conversation, why)
            return
        if getattr(conversation.backend, "gives_back", False):
            conversation.give_back = owner.enter
        if owner.start_marks is not None:
            owner.start_marks.launched = perf_counter()
        greeting = conversation.handshake(params)
        limit = min(launch.connect_s or environment.handshake_s, environment.hurry_s)
        timer = environment.clock.callLater(limit, self._late, conversation, limit)
        greeting.addBoth(_in_time, timer)
        greeting.addCallbacks(
            owner.greeted, self._refused, callbackArgs=(conversation,), errbackArgs=(conversation,)
        )
        greeting.addErrback(self._broken, conversation)

    def _late(self, conversation: Conversation, limit: float) -> None:
        if conversation is self._owner.dismissed:
            return
        what = f"{self._owner.server.name} did not answer the handshake within {duration(limit)}"
        self._owner.give_up(conversation, HandshakeLate(what, _last_words(conversation)))

    def _refused(self, why: Failure, conversation: Conversation) -> None:
        why.trap(GatewayError)
        if conversation is self._owner.dismissed:
            return  # a child that was stopped does not finish its handshake, which is no fault of its server
        kind = HandshakeRefused if why.check(HandshakeRefused) else HandshakeFailed
        text = of_server(self._owner.server.name, str(why.value))
        self._owner.give_up(conversation, kind(text, _last_words(conversation)))

    def _broken(self, why: Failure, conversation: Conversation) -> None:
        name = self._owner.server.name
        self.log.failure("the handshake of {server} broke", why, event="handshake.broken", server=name)
        self._owner.give_up(conversation, HandshakeFailed(f"{name}: the handshake broke"))


class ChildInheritance(Record):
    """The take-over of a slot's child, in place of a start (`ChildStart`)."""

    _owner: StartOwner
    _environment: SlotEnvironment
    _state: SlotState

    log = Logger()

    def begin(self) -> None:
        """Go on with the child: it has answered the handshake of the former program."""
        conversation, params = self._owner.spawning()
        try:
            self._go_on(conversation, params)
        except GatewayError as why:
            self._owner.give_up(conversation, why)
        except Exception:  # noqa: BLE001 - the other children go on
            server = self._owner.server.name
            self.log.failure("{server} could not be taken over", event="handover.child", server=server)
            if conversation.backend is not None:
                conversation.backend.kill()
                return
            self._owner.inherited = self._state  # whose process has to be stopped
            self._owner.give_up(conversation, HandshakeFailed(f"{server}: it could not be taken over"))

    def _go_on(self, conversation: Conversation, params: dict[str, Any]) -> None:
        owner, state = self._owner, self._state
        launch = evolve(launch_of(owner), inherited=state.backend)
        owner.watch.launching(launch)
        hello = jsonrpc.decode(state.hello)
        conversation.take_over(state.conversation, hello, params)
        conversation.backend = self._environment.launcher.launch(launch, conversation)
        if conversation.ended is None:  # else the slot knows
            owner.restore(state)
            owner.greeted(hello, conversation, state)

    def call_off(self) -> None:
        """Do nothing: it takes no time."""

    def release(self) -> None:
        """Do nothing: it has no place among the starts."""


def start_of(owner: StartOwner, environment: SlotEnvironment) -> ChildStart | ChildInheritance:
    """Return the start of a slot's next child, or the take-over of the one that it inherits."""
    inherited, owner.inherited = owner.inherited, None
    if inherited is None:
        return ChildStart(owner, environment)
    return ChildInheritance(owner, environment, inherited)


def launch_of(owner: StartOwner) -> Launch:
    """Return the launch of a slot's child, as its server's entry has it."""
    server = owner.server
    return Launch(
        server.name,
        server.command,
        server.env,
        server.cwd,
        server.reach,
        owner.era,
        as_written=not server.resolve,
        connect_s=server.lazy.connect_s,
        principal=server.principal,
        place=place_of(owner),
        prefork=server.prefork if server.reach is None else False,
    )


def place_of(owner: StartOwner) -> Placement | None:
    """Return the nodes of a cluster on which a slot's child may run; None for any."""
    server = owner.server
    if not server.is_sole and not server.on:
        return None
    principals = () if owner.shared else (each.principal for each in owner.sessions)
    principal = server.principal or owner.sharer or next(iter(principals), "")
    return Placement(server.is_sole, server.on, owner.scope, principal, server.workspace)


def _last_words(conversation: Conversation) -> str:
    return conversation.backend.stderr_tail() if conversation.backend is not None else ""


def _in_time(result: Any, late: IDelayedCall) -> Any:
    if late.active():
        late.cancel()
    return result
