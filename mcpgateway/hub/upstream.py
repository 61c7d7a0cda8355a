"""One server as it is run for those who share it: what is known of its child, and what can be asked of it.

`mcpgateway.hub.slot.Slot` is the one that starts the child.  Whatever looks at requests on their way, at the child's
health or at what the server lists needs no more than this, so that a slot may be put together of such parts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
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
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.versions import Era

if TYPE_CHECKING:
    from mcpgateway.hub.subscriptions.upstream_modern import Listening
    from mcpgateway.protocol.param_headers import Param


class Learning:
    """The server is being asked for its tools, once for however many calls wait.

    :ivar is_outdated: they have changed meanwhile.
    """

    def __init__(self) -> None:
        self.is_outdated = False
        self._waiting: list[Deferred[None]] = []

    def wait(self) -> Deferred[None]:
        """Fires when the server has answered.

        :raise GatewayError: (through the Deferred) it cannot be asked.
        """
        done: Deferred[None] = Deferred()
        self._waiting.append(done)
        return done

    def over(self, why: Failure | None) -> None:
        """Tell those who wait."""
        for done in self._waiting:
            if why is None:
                done.callback(None)
            else:
                done.errback(why)


class Upstream(ABC):
    """One child at most of one server, and those who use it.

    :ivar shared: whether several sessions use it.
    :ivar era: which era its children speak.
    :ivar clock: measures its waits.
    :ivar is_replica: it is one of several that share the calls of another.
    :ivar conversation: the warm child's conversation; None while there is none.
    :ivar hello: the first level of the child's ``InitializeResult`` or ``DiscoverResult``; None before the first.
    :ivar sessions: those that use it, the anonymous left out; a dict for its order.
    :ivar levels: which log messages its sessions want to hear.
    :ivar subscriptions: the resources that its sessions are subscribed to, in the legacy era.
    :ivar listening: the upstream listen of its child, in the modern era.
    :ivar tasks: the owner of each task.
    :ivar elicitations: the sessions that were sent elsewhere by an error, by the id of the elicitation.
    :ivar retired: its children that get no new calls; None where there was none so far.
    :ivar is_over: nobody may use it any more.
    :ivar told: names what its child is told of its clients, where those of other clients are told something else.
    :ivar mirrored: the arguments that headers have to repeat, by tool; None while that is not known.
    :ivar tasked: the tools that run as tasks only, as far as they are known (MCP 2025-11-25).
    :ivar learning: the server is being asked for both.
    :ivar changes: how often its children have said that something has changed, in the modern era.
    :ivar watch: is told of the life of its child.
    :ivar starts: how often a child was spawned.
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
        self.told = ""
        self.mirrored: dict[str, tuple[Param, ...]] | None = None
        self.tasked: frozenset[str] = frozenset()
        self.learning: Learning | None = None
        self.changes = 0
        self.starts = 0
        self._current: Conversation | None = None  # the child's, from spawn to exit
        self._answered = 0  # requests, by its former children

    @property
    def speaking(self) -> Conversation | None:
        """The conversation with the child, from its first word on."""
        return self._current

    @property
    def requests(self) -> int:
        """How many requests its children have been sent."""
        return self._answered + (self._current.sent if self._current is not None else 0)

    @property
    def pid(self) -> int | None:
        """The child's process id, while it runs."""
        current = self._current
        return current.backend.pid if current is not None and current.backend is not None else None

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of all its children, as far as they are processes of ours; that of the latest is first."""
        retired = (each.pid for each in self.retired or ())
        return tuple(pid for pid in (self.pid, *retired) if pid)

    @property
    def has_children(self) -> bool:
        """Whether anything of its runs, or is about to."""
        return self.is_up or bool(self.retired)

    @property
    def is_used(self) -> bool:
        """Whether a child is of use beyond a call."""
        return bool(self.sessions or self.subscriptions or self.listening)

    def has_calls(self) -> bool:
        """Whether the child that gets new calls has any."""
        return self._current is not None and next(iter(self._current.calls()), None) is not None

    def has_work(self) -> bool:
        """Whether that child has anything to answer: a call, or what the gateway itself has asked."""
        return self._current is not None and self._current.has_work

    def forget_mirrored(self) -> None:
        """The server's tools have changed, or it has ended: what is known of them, or about to be, may be wrong."""
        self.mirrored = None
        if self.learning is not None:
            self.learning.is_outdated = True

    @property
    @abstractmethod
    def is_on(self) -> bool:
        """Whether its server is switched on."""

    @property
    @abstractmethod
    def is_up(self) -> bool:
        """Whether a backend of its is running or about to, as a process of ours or elsewhere."""

    @property
    @abstractmethod
    def offer(self) -> dict[str, Any]:
        """What its next child is told of its clients, in the legacy era."""

    @property
    @abstractmethod
    def load(self) -> int:
        """How many requests are under way or waiting."""

    @abstractmethod
    def submit(self, call: Request) -> None:
        """Send a request, now if the child is warm; its sink hears what becomes of it."""

    @abstractmethod
    def enter(self, call: Request) -> None:
        """Send a request that no part has to look at any more."""

    @abstractmethod
    def measure(self, call: Request) -> None:
        """Count a request from now on, if it is not counted yet."""

    @abstractmethod
    def calls(self) -> list[Request]:
        """The calls under way or waiting, our own left out; those that wait for another's answer come first."""

    @abstractmethod
    def withdraw(self, call: Request, reason: str) -> bool:
        """Take a call back; false when it has been answered, or is with another."""

    @abstractmethod
    def ask(self, method: str, params: dict[str, Any]) -> Deferred[Envelope]:
        """Ask the server something in the gateway's own name; fires with its response, which may be an error.

        :raise GatewayError: (through the Deferred) it could not be started, or ended.
        """

    @abstractmethod
    def greet(self) -> Deferred[Envelope]:
        """Fires with the child's ``InitializeResult`` once it is warm.

        :raise GatewayError: (through the Deferred) it could not be started, or failed its handshake.
        """

    @abstractmethod
    def want(self) -> None:
        """Start the child if it does not run; a failure is in the log."""

    @abstractmethod
    def abandon(self, why: GatewayError) -> None:
        """Nothing has come of a start for too long: answer those who wait for it."""

    @abstractmethod
    def retire(self, why: str) -> None:
        """Give the child no new calls: it keeps those that it has been sent, and the next ones go to another.

        :param why: is shown with the child.
        """

    @abstractmethod
    def hand_back(self, why: GatewayError) -> None:
        """Let go of all who use the child, before it is sent anything: they look for another."""

    @abstractmethod
    def close(self) -> Deferred[None]:
        """Stop the child, and those that get no new calls; fires when nothing of them is left."""

    @abstractmethod
    def limit_anew(self) -> None:
        """How many of its server's calls are under way at once is another question now."""
