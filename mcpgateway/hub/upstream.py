"""The place of one server's child for the clients that share it: its state, and the requests it takes.

`mcpgateway.hub.slot.Slot` starts the child.  The parts that inspect requests, the child's health or the server's lists
depend on this base class only, so that a slot can be built of such parts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from mcpgateway.backends.conversation import Conversation
from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import GatewayError
from mcpgateway.hub.children.retired import Retired
from mcpgateway.hub.health.watch import Watch
from mcpgateway.hub.levels import Levels
from mcpgateway.hub.sessions import Session
from mcpgateway.hub.subscriptions.upstream_legacy import Subscriptions
from mcpgateway.hub.tasks import Tasks
from mcpgateway.interfaces import Request
from mcpgateway.policy.client_requests import DeclaredRoots
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.versions import Era
from mcpgateway.waiting import Waiting

if TYPE_CHECKING:
    from mcpgateway.hub.children.records import SlotState
    from mcpgateway.hub.subscriptions.upstream_modern import Listening
    from mcpgateway.protocol.param_headers import Param


class Learning:
    """One pending request for the server's list of tools, shared by all calls that wait for it.

    :ivar is_outdated: true if the tools have changed since the request.
    """

    def __init__(self) -> None:
        self.is_outdated = False
        self._waiting = Waiting[None]()

    def wait(self) -> Deferred[None]:
        """Return a Deferred that fires when the server has answered.

        :raise GatewayError: (through the Deferred) the list could not be requested.
        """
        return self._waiting.wait()

    def over(self, why: Failure | None) -> None:
        """Fire all Deferreds, with the failure if there is one."""
        self._waiting.over(why)


class Upstream(ABC):
    """At most one child of one server, and the sessions that use it.

    :ivar server: the definition of the server.
    :ivar shared: true if several sessions may use it.
    :ivar era: the era that its children speak.
    :ivar clock: the clock of its timeouts.
    :ivar is_replica: true if it is one of several that share the calls of another slot.
    :ivar conversation: the warm child's conversation; None without one.
    :ivar hello: the members of the latest child's ``InitializeResult`` or ``DiscoverResult``; None before the first.
    :ivar sessions: its sessions without the anonymous ones; a dict for its order.
    :ivar levels: the log levels of its sessions and of its child.
    :ivar subscriptions: the resources that its sessions are subscribed to, in the legacy era.
    :ivar listening: the upstream listen of its child, in the modern era.
    :ivar tasks: the owner of each task.
    :ivar elicitations: the ids of the sessions that the server has sent to a URL, by the id of the elicitation.
    :ivar retired: its children that get no new calls; None before the first.
    :ivar is_over: true if it is closed, and may not be used any more.
    :ivar handshake: a name for the handshake of its child, if that depends on the clients; else empty.
    :ivar mirrored: the arguments that headers have to repeat, by tool; None while unknown.
    :ivar tasked: the tools that run as tasks only, as far as known (MCP 2025-11-25).
    :ivar learning: the pending request for both; None without one.
    :ivar changes: the number of changes that its children have announced, in the modern era.
    :ivar watch: the observer of its child's life.
    :ivar starts: the number of children that were spawned.
    :ivar inherited: the child to take over in place of the next start; None for a start.
    :ivar is_taken_over: true if its child is one that the former program of this process has started.
    :ivar scope: the key of the sessions that share its child; empty where all share it.
    :ivar roots: the roots of its sessions, which its child is told; None if they do not count.
    :ivar told_roots: fires when its child has asked for them; None if that is not awaited.
    :ivar sharer: the only principal whose sessions share its child; empty for any.
    """

    levels: Levels
    subscriptions: Subscriptions
    watch: Watch

    def __init__(
        self,
        server: ServerSpec,
        clock: IReactorTime,
        *,
        shared: bool,
        era: Era,
        home: Upstream | None,
    ) -> None:
        self.server = server
        self.shared = shared
        self.era = era
        self.clock = clock
        self.is_replica = home is not None
        self.conversation: Conversation | None = None
        self.hello: Envelope | None = None
        self.sessions: dict[Session, None] = {} if home is None else home.sessions
        self.listening: Listening | None = None
        self.tasks = Tasks.none()
        self.elicitations: dict[str, bytes] = {}
        self.retired: Retired | None = None
        self.is_over = False
        self.handshake = ""
        self.mirrored: dict[str, tuple[Param, ...]] | None = None
        self.tasked: frozenset[str] = frozenset()
        self.learning: Learning | None = None
        self.changes = 0
        self.starts = 0
        self.scope = b""
        self.inherited: SlotState | None = None
        self.is_taken_over = False
        self.sharer = ""
        self.roots: DeclaredRoots | None = None
        self.told_roots: Deferred[None] | None = None
        self._current: Conversation | None = None  # the child's, from spawn to exit
        self._answered = 0  # requests that former children were sent

    @property
    def speaking(self) -> Conversation | None:
        """The conversation with the child, from its spawn on."""
        return self._current

    @property
    def requests(self) -> int:
        """The number of requests that its children have been sent."""
        return self._answered + (self._current.sent if self._current is not None else 0)

    @property
    def pid(self) -> int | None:
        """The child's process id, while it runs."""
        current = self._current
        return current.backend.pid if current is not None and current.backend is not None else None

    @property
    def is_linked(self) -> bool:
        """True if its child is another node's."""
        return self._current is not None and self._current.give_back is not None

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of all its children that are processes of the gateway, the latest first."""
        retired = (each.pid for each in self.retired or ())
        return tuple(pid for pid in (self.pid, *retired) if pid)

    @property
    def has_children(self) -> bool:
        """True if one of its children runs, or is being started."""
        return self.is_up or bool(self.retired)

    @property
    def is_used(self) -> bool:
        """True if a session, a subscription or a listen needs the child beyond a call."""
        return bool(self.sessions or self.subscriptions or self.listening)

    def has_calls(self) -> bool:
        """True if the child that gets new calls has any."""
        return self._current is not None and next(iter(self._current.calls()), None) is not None

    def has_work(self) -> bool:
        """True if the child that gets new calls has any request to answer, the gateway's own included."""
        return self._current is not None and self._current.has_work

    def newest_calls(self) -> dict[Session, Request]:
        """Return the newest call under way of each session."""
        # Calls stand in the order they were sent, so a session's last one is its newest.
        return {call.session: call for call in self._sent() if call.number}

    def asker(self) -> Session | None:
        """Return the only session that a question of the child can be for, if it names no task; else None.

        It is the only session with calls under way, with cancelled calls that may still ask, or with tasks.
        """
        session: Session | None = self._current.only_session() if self._current is not None else None
        return session if session is not None and self.tasks.are_only_of(session) else None

    def _sent(self) -> Iterable[Request]:
        return self._current.calls() if self._current is not None else ()

    def awaits(self, arrived: float) -> bool:
        """Return whether its child has got a call, which arrived then, from the former program of this process."""
        talk = self.conversation
        return talk is not None and bool(talk.awaited) and arrived in talk.awaited.arrivals()

    def restore(self, state: SlotState) -> None:
        """Take what the former program of this process knew of the slot."""
        self.starts, self._answered = state.starts + 1, state.answered
        self.tasks, self.elicitations = Tasks(state.tasks, state.numbered_tasks), state.elicitations

    def left(self) -> None:
        """Forget the child, which the next program of this process takes over."""
        self._current = self.conversation = None

    def forget_mirrored(self) -> None:
        """Forget the server's tools after a change or its end; a pending list of them is out of date."""
        self.mirrored = None
        if self.learning is not None:
            self.learning.is_outdated = True

    @property
    @abstractmethod
    def is_on(self) -> bool:
        """True if the server is switched on."""

    @property
    @abstractmethod
    def is_up(self) -> bool:
        """True if it has a backend that runs or is being started, as a process of the gateway or elsewhere."""

    @property
    @abstractmethod
    def offer(self) -> dict[str, Any]:
        """The client capabilities that the next legacy child gets in its handshake."""

    @property
    @abstractmethod
    def load(self) -> int:
        """The number of requests under way or waiting."""

    @abstractmethod
    def submit(self, request: Request) -> None:
        """Send a request, at once if the child is warm; the request's sink receives the outcome."""

    @abstractmethod
    def enter(self, request: Request) -> None:
        """Send a request past the snapshot, the limiter and the other takers of `submit`."""

    @abstractmethod
    def measure(self, request: Request) -> None:
        """Count a request in the statistics from now on, unless it is counted already."""

    @abstractmethod
    def calls(self) -> list[Request]:
        """Return the calls under way or waiting, without the gateway's own; first those that wait for another call."""

    @abstractmethod
    def withdraw(self, request: Request, reason: str) -> bool:
        """Take a call back; false if it has been answered, or has another holder."""

    @abstractmethod
    def ask(self, method: str, params: dict[str, Any]) -> Deferred[Envelope]:
        """Send a request of the gateway itself; the Deferred fires with the response, which may be an error.

        :raise GatewayError: (through the Deferred) the child could not be started, or ended.
        """

    @abstractmethod
    def greet(self) -> Deferred[Envelope]:
        """Return, through the Deferred, the child's ``InitializeResult`` or ``DiscoverResult`` once it is warm.

        :raise GatewayError: (through the Deferred) the child could not be started, or failed its handshake.
        """

    @abstractmethod
    def want(self) -> None:
        """Start the child if it does not run; a failure is logged."""

    @abstractmethod
    def abandon(self, why: GatewayError) -> None:
        """Fail a start that takes too long, and with it the requests that wait for the child."""

    @abstractmethod
    def retire(self, why: str) -> None:
        """Send the child no new calls: it answers those that it has, and the next calls get a new child.

        :param why: the reason, shown in the status.
        """

    @abstractmethod
    def hand_back(
        self, why: GatewayError, is_meant: Callable[[Session | None], bool] = lambda _: True
    ) -> None:
        """Remove sessions and fail their waiting calls, which have not been sent: they get another slot.

        :param is_meant: returns whether a session, or a call of it or of none, is to be removed; by default all are.
        """

    @abstractmethod
    def close(self) -> Deferred[None]:
        """Stop the child and the retired ones; the Deferred fires when none of their processes is left."""

    @abstractmethod
    def update_limit(self) -> None:
        """Look up the limiter of the server's calls again, after a change of its limits."""
