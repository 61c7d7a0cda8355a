"""The interfaces between the layers of the gateway, and the records that pass between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from signal import Signals
from typing import Any, Protocol, runtime_checkable

from attrs import Factory, define, field, frozen
from msgspec import Raw, Struct
from twisted.internet.defer import Deferred

from mcpgateway.config.reach_settings import Reach
from mcpgateway.errors import GatewayError
from mcpgateway.inherited import Inherited
from mcpgateway.protocol.jsonrpc import Envelope, Message
from mcpgateway.protocol.versions import Era
from mcpgateway.records import FrozenRecord


class ProbeListener(Protocol):
    """Receives the result of a program's start."""

    def __call__(self, *, has_spoken: bool) -> None:
        """Receive the result: true after the probed child's first message, false after its end without one."""


class ILease(Protocol):
    """The right to run a child, which may end before the child does.

    :ivar name: its name in the cluster.
    :ivar fence: the number of the lease, larger with each new holder.
    :ivar deadline: the time at which the child has to have ended, in seconds by a clock that goes on while the machine
        sleeps.
    :ivar is_held: false once the lease is lost or released.
    :ivar on_renewed: functions that get each new deadline.
    :ivar on_lost: functions that are called once, when the lease is lost.
    """

    name: str
    fence: int
    deadline: float
    is_held: bool
    on_renewed: list[Callable[[float], None]]
    on_lost: list[Callable[[], None]]

    def begun(self) -> None:
        """Note that a child is about to start under the lease."""

    def ended(self) -> None:
        """Note that no process of a child is left."""


class Placement(FrozenRecord, frozen=True):
    """The nodes of a cluster on which a child may run, and the clients for whom it runs.

    :ivar is_sole: the server has one child in the whole cluster, for these clients.
    :ivar labels: the labels that a node needs.
    :ivar scope: the key of the sessions that share the child; empty where all share it.
    :ivar principal: the principal of these sessions; empty for any.
    :ivar workspace: the directory of these sessions; empty for any.
    """

    is_sole: bool
    labels: tuple[str, ...]
    scope: bytes = b""
    principal: str = ""
    workspace: str = ""


class InstalledPackage(FrozenRecord, frozen=True):
    """The package of a program that a package runner has installed.

    :ivar runner: the kind of the runner, such as ``npm``.
    :ivar requested: the version, range or tag in the server's entry; empty for none.
    :ivar integrity: the digest of its files; empty where unknown.
    """

    runner: str
    name: str
    requested: str
    version: str
    integrity: str = ""


@frozen
class Launch:
    """The launch of one backend: its command and environment, or its address.

    :ivar server: the server's name, for error messages and the log.
    :ivar argv: program and arguments; a program without a slash is looked up on the child's ``PATH``.
    :ivar env: the complete environment of the child, which inherits nothing from the gateway.
    :ivar cwd: an absolute directory.
    :ivar reach: the address of a server that is reached over the network; None for a program on stdin and stdout.
    :ivar era: the era of the protocol that the gateway uses with the server.
    :ivar as_written: true if ``argv`` is started unchanged, even if it is a package runner that only fetches a program.
    :ivar told: called once for each program that is started: at its first message, or at its end without one.
    :ivar connect_s: timeout in seconds for the connection; 0: the default timeout.
    :ivar is_heard: true if the program is useless without its stdout, and is killed when it closes stdout.
    :ivar principal: the principal whose account is used at a remote server; empty for the gateway's own user.
    :ivar place: the nodes on which it may run; None for any, and for a gateway that is alone.
    :ivar placed: the place where it runs, as its launcher has decided; None here.
    :ivar lease: the right to run the program, with which it ends; None for a program that needs none.
    :ivar prefork: true if it may be forked from a template; None: the launcher's own setting.
    :ivar inherited: the running backend of the former program of this process, in place of a start; None for a start.
    :ivar started: how the program is started and why, for people, as its launcher has decided; empty before.
    :ivar package: the package of the program, where a package runner has installed it; else None.
    """

    server: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    cwd: str
    reach: Reach | None = None
    era: Era = Era.LEGACY
    as_written: bool = False
    told: ProbeListener | None = field(default=None, repr=False, eq=False)
    is_heard: bool = True
    connect_s: float = 0.0
    principal: str = ""
    place: Placement | None = field(default=None, repr=False)
    placed: Any = field(default=None, repr=False, eq=False)
    lease: ILease | None = field(default=None, repr=False, eq=False)
    prefork: bool | None = False
    inherited: Inherited | None = field(default=None, repr=False, eq=False)
    started: str = field(default="", eq=False)
    package: InstalledPackage | None = field(default=None, eq=False)


class Ran(FrozenRecord, frozen=True):
    """The outcome of a program that has run to its end.

    :ivar code: its exit code; None if it was killed, for example at the limit of time or of output.
    :ivar output: its stdout.
    :ivar complaint: the end of its stderr.
    """

    code: int | None
    output: str
    complaint: str = ""


class RunProgram(Protocol):
    """Runs a program to its end, within limits of time and output."""

    def __call__(self, launch: Launch, *, is_idle: bool) -> Deferred[Ran]:
        """Run a program to its end and fire with the outcome; ``is_idle`` gives it low priority.

        :raise LaunchFailed: (through the Deferred) the program could not be started.
        """


class Gone(FrozenRecord, frozen=True):
    """The end of a backend: an exit code or the number of a signal, and the end of its stderr.

    :ivar fault: the reason why the gateway killed the child, or why the connection cannot be used any more.
    :ivar is_unreachable: true if the address of the server does not answer: no such name, no route, no listener.
    :ivar error: the error for requests that wait for the start, where it says more than that the backend has ended.
    :ivar unsent: the ids of the requests that have not reached the server; the next backend gets them.
    """

    code: int | None = None
    signal: int | None = None
    last_words: str = ""
    fault: str = ""
    is_unreachable: bool = False
    error: GatewayError | None = None
    unsent: frozenset[int] = frozenset()

    def __str__(self) -> str:
        if self.fault:
            return self.fault
        return f"killed by signal {self.signal}" if self.signal else f"exit code {self.code}"


class ILineReceiver(Protocol):
    """Receives the messages of a backend."""

    def line_received(self, line: bytes) -> None:
        """Receive one JSON-RPC message, or a batch (an array of them), without its line end; the line is not blank."""

    def line_overflowed(self, head: bytes, limit: int) -> None:
        """Record that the child wrote ``limit`` bytes without a newline, and is about to be killed.

        :param head: the beginning of the line.
        """

    def gone(self, why: Gone) -> None:
        """Handle the end of the backend: the exit of its process (not of its pipes), or the loss of its connection.

        Called exactly once, after all other methods, and also for a child that was stopped.
        """


class IBackend(Protocol):
    """A running MCP server, whatever its transport: JSON-RPC messages go in as lines, and out to an `ILineReceiver`.

    Messages that are written before the connection stands are queued, up to a limit.  A request that cannot be
    delivered is answered by the backend with a JSON-RPC error, so that its caller gets the reason.
    """

    @property
    def pid(self) -> int:
        """The process id of the child, also of its process group and session; 0 without a process of the gateway."""

    @property
    def heard(self) -> int:
        """The number of reads from the stdout and stderr of its processes, a sign of life; 0 without such processes."""

    def write(self, line: bytes, *, now: bool = False) -> None:
        """Send one message as a line (its newline included); ``now`` writes it at once if no line is queued.

        :raise Overloaded: the server has stopped reading and its queue is full.
        :raise BackendGone: the server has ended, or is being stopped.
        """

    def stop(self) -> Deferred[None]:
        """Stop the server in order; the Deferred fires when no process and no connection is left.

        A child gets the stop ladder: close stdin, TERM the group, KILL the group.  A remote session is ended by a
        DELETE.
        """

    def kill(self) -> None:
        """End the server at once: KILL the whole process group, drop the connections; ``gone`` follows."""

    def stderr_tail(self) -> str:
        """Return the last lines of the child's stderr, cut to a readable length; empty for a remote server."""


@runtime_checkable
class IInheritable(Protocol):
    """A backend that the next program of this process can take over."""

    @property
    def goes_on(self) -> bool:
        """True if it can be taken over now."""

    def keeps(self, number: int) -> bool:
        """Return whether a call under way goes on with it."""

    def hand_over(self) -> Inherited:
        """Return its state, and leave the server alone: the backend is not used any more."""


def going_on(backend: IBackend | None) -> IInheritable | None:
    """Return a backend that the next program of this process can take over now; None for any other."""
    if backend is None or not isinstance(backend, IInheritable):
        return None
    return backend if backend.goes_on else None


@runtime_checkable
class IFreezable(Protocol):
    """A backend whose processes can be frozen.  A message for it thaws it first, and so does its stop.

    :ivar is_asleep: True while its processes are frozen.
    """

    is_asleep: bool

    @property
    def pid(self) -> int:
        """The process id of the child."""

    def freeze(self) -> bool:
        """Freeze all processes of the child until it is written to or stopped; false where that is not possible."""

    def thaw(self) -> None:
        """Let a frozen child go on."""

    def page_out(self) -> bool:
        """Begin to move the memory of the child to swap; false where there is none, or it is not frozen."""


class ILauncher(Protocol):
    """Starts backends."""

    def prepare(self, launch: Launch) -> Deferred[Launch]:
        """Prepare a launch (find the program of a package runner, fetch an image) and fire with the new launch.

        The Deferred does not fail, and fires no later than the program as written would have started.
        """

    def launch(self, launch: Launch, receiver: ILineReceiver) -> IBackend:
        """Start a backend.

        :raise LaunchFailed: the program is missing or not executable; the message says which program, and why.
        """


class IResolver(Protocol):
    """Finds the programs that package runners (npx, uvx and others) would start."""

    def resolve(self, launch: Launch, run: RunProgram) -> Deferred[Launch]:
        """Return, through the Deferred, the launch of the program itself, or else the same launch; it does not fail.

        :param run: runs the programs that the resolver queries.
        """


TIMED_OUT = "timed out"
"""The reason of a withdrawal at a timeout: the request counts as failed. With any other reason it was cancelled."""


class QuestionMarks(Struct, gc=False):
    """The times of a server's question to the client of a call, in seconds of `time.perf_counter`.

    :ivar identifier: the id that the server gave it, as JSON.
    :ivar ended: the time of the answer; 0 before.
    """

    method: str
    identifier: bytes
    began: float
    ended: float = 0.0


class StartMarks(Struct, gc=False):
    """The times of the start of a child, in seconds of `time.perf_counter`.

    :ivar launched: the time at which its process ran; 0 before.
    :ivar ended: the time at which it had answered the handshake, or had failed; 0 before.
    """

    began: float
    launched: float = 0.0
    ended: float = 0.0


class CallMarks(Struct, gc=False):
    """The times and the sizes of a call, taken while it is served; in seconds of `time.perf_counter`.

    :ivar conversation: the number of its conversation on the server's tape; 0 before it has been sent.
    :ivar start: the start that it has waited for; None if a child was there.
    :ivar shielding: the time at which the shortening of its answer began; 0 if the answer is not shortened.
    :ivar delivered: the time at which its answer was passed on to the client's connection.
    """

    sent: float = 0.0
    conversation: int = 0
    sent_bytes: int = 0
    answer_bytes: int = 0
    start: StartMarks | None = None
    questions: list[QuestionMarks] | None = None
    shielding: float = 0.0
    shielded: float = 0.0
    delivered: float = 0.0


@define(eq=False, repr=False)
class Request:
    """One request under way.

    :ivar session: the session of the client (`mcpgateway.hub.sessions.Session`), or None.
    :ivar message: the request as its caller sent it, or as it was translated for the server; an empty placeholder once
        it has been sent.
    :ivar token: the client's own progress token, as JSON, or None.
    :ivar sink: the receiver of the answer (`ICallSink`); filters replace it by themselves.
    :ivar method: the JSON-RPC method.
    :ivar id: the client's own request id, as JSON.
    :ivar holder: the object that has the request now; its ``withdraw(request, reason)`` takes the request back, and
        returns false if that has been answered.  None before the request has been passed on.
    :ivar attempts: the number of children that could not take the request before their handshake.
    :ivar number: the request id on the child's connection; 0 before it has been sent.
    :ivar progress: the parameters of the server's latest progress notification, or None.
    :ivar abandoned_ticks: ticks since a client last waited for the answer.
    :ivar age: ticks since the request was sent to the server, or since its latest progress.
    :ivar level: the lowest level of log messages that the caller asks for; None if it asks for none (modern era).
    :ivar is_admin: true if the request came with the admin token, or without a shim over the Unix socket: from a
        person, or from a program that a person trusts with everything.  A request through the shim is under a model's
        control.
    :ivar is_dotted: true if the URL asks for names with dots in the list of the gateway's own tools.
    :ivar meter: the row of statistics that counts the request at its end (`mcpgateway.hub.meters.Row`); None if the
        request is not counted, or has ended.
    :ivar began: the time of the monotonic clock at which it reached its server's slot, in seconds.
    :ivar arrived: the time at which it arrived at the gateway, by the same clock; 0 if unknown.
    :ivar marks: the times of its phases; None if nobody wants them.
    :ivar trace: the trace context of its HTTP headers, two texts, or None; once the request has reached its server, its
        span (`mcpgateway.protocol.trace_context.Traced`).
    :ivar principal: the principal of a request without a session.
    :ivar caller: the client's own description in a modern request (`mcpgateway.hub.caller.Caller`); None in the legacy
        era, in which the session has it.
    :ivar is_verbatim: true if the result is passed on whatever its type, as on the endpoint of a single server; else it
        must be an object, as MCP demands (most clients ignore a response with another result, and go on waiting).
    :ivar sends_user: true if the client can send its user to the URL of a sign-in that the server demands.
    :ivar honoured: the acknowledgement that the client of a listening has got, as JSON; empty before.
    :ivar was_sent: true if the former program of this process has sent it, so that it may not be sent again.
    """

    session: Any
    message: Message = field(repr=False)
    token: bytes | None
    sink: Any = field(repr=False)
    method: str = field(init=False, default=Factory(lambda self: self.message.method, takes_self=True))
    id: bytes = field(init=False, default=Factory(lambda self: self.message.id, takes_self=True))
    holder: Any = field(default=None, repr=False)
    attempts: int = 0
    number: int = 0
    progress: Envelope | None = field(default=None, repr=False)
    age: int = 0
    abandoned_ticks: int = 0
    level: str | None = None
    is_admin: bool = False
    is_dotted: bool = False
    meter: Any = field(default=None, repr=False)
    began: float = 0.0
    arrived: float = 0.0
    marks: CallMarks | None = field(default=None, repr=False)
    trace: Any = field(default=None, repr=False)
    principal: str = ""
    caller: Any = field(default=None, repr=False)
    is_verbatim: bool = False
    sends_user: bool = False
    honoured: bytes = b""
    was_sent: bool = False

    def follow(self, other: Request) -> None:
        """Copy client, principal and trace of the request that this one replaces."""
        self.trace, self.principal, self.caller = other.trace, other.principal, other.caller
        self.sends_user, self.arrived = other.sends_user, other.arrived
        self.was_sent = other.was_sent

    def withdraw(self, reason: str) -> bool:
        """Take the request back from its holder; false without a holder, or if the request has been answered."""
        return self.holder is not None and bool(self.holder.withdraw(self, reason))

    def fail(self, why: GatewayError) -> None:
        """End the request with an error of the gateway, because its server gives no answer."""
        if self.meter is not None:
            self.meter.failed(self, why)
        self.sink.failed(self, why)


class ICallSink(Protocol):
    """Receives the answer of a request."""

    @property
    def is_gone(self) -> bool:
        """True if the client's connection has ended, though the client may reconnect for the answer."""

    def answered(self, request: Request, reply: Envelope) -> None:
        """Receive the server's response; its id is still the number on the child's connection."""

    def failed(self, request: Request, why: GatewayError) -> None:
        """Receive the error with which the gateway answers in the server's place."""

    def progressed(self, request: Request, message: bytes) -> None:
        """Receive a progress notification of this request, a complete JSON-RPC message."""

    def noticed(self, request: Request, message: bytes) -> bool:
        """Receive a JSON-RPC message that precedes the answer; return false if the client does not read the stream."""


class INoticeListener(Protocol):
    """Receives the notifications and requests of a server.

    ``backend`` is the conversation in which the message came; above the slots of the hub it is the slot.
    """

    def noticed(self, backend: Any, method: str, message: Envelope) -> None:
        """Handle a notification that names no request."""

    def asked(self, backend: Any, method: str, message: Envelope) -> None:
        """Handle a request of the server; the answer goes through ``backend.reply``."""

    def progressed(self, backend: Any, number: int, params: Envelope, message: Envelope) -> None:
        """Handle progress of a request that has been answered, but whose task may still run."""

    def refused(self, backend: Any, request: Request, error: Raw) -> None:
        """Handle an error response of the server, before the call is answered with it."""


class IConversationListener(INoticeListener, Protocol):
    """Receives the messages of one conversation."""

    def failed(self, backend: Any, result: Raw) -> None:
        """Handle the result of a tool that says that it has failed, before the call is answered with it."""


class ISlotListener(INoticeListener, Protocol):
    """Receives the messages of the servers of all slots, and changes of their state."""

    def warmed(self, slot: Any, sessions: Any) -> None:
        """Handle the start of a slot's child, or a new snapshot: these sessions may have known another child."""

    def lost(self, slot: Any) -> None:
        """Handle the end of a slot's child."""

    def changed(self, slot: Any, method: str, what: str | None) -> None:
        """Handle the news of a modern child that a list or a resource has changed.

        :param what: the URI of the resource; None for a list.
        """


class IMessageStream(Protocol):
    """A stream on which a client gets messages that belong to no request."""

    def say(self, message: bytes) -> bool:
        """Send one complete JSON-RPC message; false if the stream cannot take it."""

    def close(self) -> None:
        """End the stream in order."""


PARAMS_LIMIT = 16_384  # bytes of a client's initialize parameters in the journal


@frozen
class SessionRecord:
    """The record from which a session is restored.

    :ivar serial: the random part of the session id, the key of the record.
    :ivar params: the client's ``initialize`` parameters as JSON; empty if unknown.
    :ivar level: the log level that its client has set, or None.
    :ivar owner: the process id of its owner, or None.
    :ivar uris: the resources that the session is subscribed to.
    :ivar is_ended: true if the id must never be served again.
    :ivar workspace: the directory in which its server ran; empty without one.
    """

    serial: bytes = field(repr=False)
    server: str
    principal: str
    version: str
    params: bytes = field(default=b"", repr=False)
    level: str | None = None
    owner: int | None = None
    uris: tuple[str, ...] = ()
    is_ended: bool = False
    workspace: str = ""


class ISessionStore(Protocol):
    """Stores sessions over restarts; no method raises, because a full disk must not end a session."""

    @property
    def floor(self) -> int:
        """The time, in seconds since the epoch, up to which an id is valid only with a record."""

    def find(self, serial: bytes) -> SessionRecord | None:
        """Return the record of a session, or None."""

    def keep(self, record: SessionRecord, issued: int) -> None:
        """Write or update the record of a session; its subscriptions stay as they are."""

    def subscribe(self, serial: bytes, uri: str) -> None:
        """Record that a session has subscribed to a resource."""

    def unsubscribe(self, serial: bytes, uri: str) -> None:
        """Record that a session has unsubscribed from a resource."""

    def end(self, serial: bytes, issued: int) -> None:
        """Record that a session has ended for good."""

    def verdict(self, launch: str) -> str | None:
        """Return why a server needs a child for each session; empty if it can be shared, None if that is undecided.

        :param launch: the digest of the server's launch.
        """

    def judge(self, launch: str, why: str) -> None:
        """Record why a server needs a child for each session; empty if it can be shared."""

    def settle(self) -> None:
        """Write the records that could not be written before; cheap without any."""

    def close(self, *, is_followed: bool = False) -> None:
        """Close the files.

        :param is_followed: true if the next program of this process opens them at once.
        """


class IWard(Protocol):
    """Supervises the children on this machine, so that none outlives the gateway."""

    @property
    def instance(self) -> str:
        """The value of `INSTANCE_MARKER` in the environment of every child of this gateway."""

    def spawning(self) -> AbstractContextManager[None]:
        """Return a context for a spawn: with the original limit of open files, and a running guardian."""

    def added(self, pid: int, server: str) -> None:
        """Record a child that runs, the leader of the process group ``pid``."""

    def kept(self, pid: int, server: str, stopped: dict[int, int]) -> None:
        """Record a child of the former program of this process, with what `stopped` has returned there."""

    def removed(self, pid: int) -> None:
        """Record that no process of a child is left."""

    def limit(self, marker: str, deadline: float, pid: int = 0) -> None:
        """Kill a child at a time, even if the gateway is frozen then.

        :param marker: an entry ``NAME=value`` of the child's environment.
        :param deadline: seconds, as of `ILease`.
        :param pid: the leader of its process group; 0 before its start.
        :raise OSError: the time cannot be supervised.
        """

    def unlimit(self, marker: str) -> None:
        """Take the time of a child back, which has ended."""

    def signal_group(self, pgid: int, number: Signals) -> bool:
        """Send a signal to a whole process group; false if the group has no process."""

    def group_is_alive(self, pgid: int) -> bool:
        """True if a process group has a living process."""

    def stopped(self, pid: int) -> dict[int, int]:
        """Return the processes of a frozen child that SIGSTOP has frozen, with their start times."""

    def freeze(self, pid: int, marker: str) -> bool:
        """Freeze all processes of a child; false where that is not possible.

        :param marker: the entry of its environment that its processes bear.
        """

    def thaw(self, pid: int) -> None:
        """Let a frozen child go on."""

    def page_out(self, pid: int, marker: str) -> bool:
        """Begin to move the memory of a frozen child to swap; false where there is none."""

    def kill_bearing(self, marker: str) -> int:
        """KILL every process whose environment has this ``NAME=value`` entry; return their number."""


class GatewayRun(Struct, frozen=True):
    """The identity of a gateway: its home, and the present run.

    :ivar home: the gateway's own directory.
    :ivar instance: the value of `INSTANCE_MARKER` in the children of this run.
    """

    home: str
    instance: str


class DaemonLock(FrozenRecord, frozen=True):
    """The lock of a server that listens on a port of its own: the process that holds the lock.

    :ivar pid: the process id; 0 if unknown.
    :ivar start_time: the start of that process, in clock ticks since boot; 0 if unknown.
    """

    server: str
    pid: int
    port: int
    transport: str
    start_time: int = 0


class IDaemonLocks(Protocol):
    """Locks of servers that listen on a port of their own."""

    def find(self, server: str, port: int) -> DaemonLock | None:
        """Return the lock of a server whose process runs, or None."""

    def claim(self, server: str, port: int, transport: str) -> bool:
        """Take the lock before a start of the server; false if another process holds it."""

    def started(self, server: str, pid: int, port: int, transport: str) -> None:
        """Record this process as the running server, under the gateway's lock."""

    def release(self, server: str) -> None:
        """Release the gateway's lock of a server that has ended."""

    def holder(self, port: int) -> Deferred[str]:
        """Return, through the Deferred, a description of the program that listens on a port; empty if unknown."""


INSTANCE_MARKER = "MCPGATEWAY_INSTANCE"
"""The environment variable that every child of one gateway has."""

FENCE_VARIABLE = "MCPGATEWAY_FENCE"
"""The environment variable in which a child under a lease finds the number of the lease."""

CHILD_MARKER = "MCPGATEWAY_CHILD"
"""The environment variable that one child and its descendants have."""


class IProcessTable(Protocol):
    """Looks up other processes of this machine."""

    def is_alive(self, pid: int) -> bool:
        """True if a process runs, or if that is unknown; false for a zombie."""


class IExitWatch(Protocol):
    """Reports the end of processes that are not children of the gateway."""

    def watch(self, pid: int, on_exit: Callable[[int], None]) -> bool:
        """Call ``on_exit(pid)`` once when that process has ended; false if the process cannot be watched."""

    def forget(self, pid: int) -> None:
        """Stop watching a process."""

    def close(self) -> None:
        """Stop watching all processes."""


class IRequestHandler(Protocol):
    """Answers the requests of the HTTP channel."""

    def opened(self, exchange: Any) -> int:
        """Check a request by its head, before its body is read.

        Return the number of body bytes that are allowed; or answer the exchange at once with a refusal, and return 0.
        """

    def handle(self, exchange: Any) -> None:
        """Handle a complete request within its limit: answer the exchange now or later."""

    def refusal(self, method: bytes, path: bytes, why: str, data: dict[str, Any] | None = None) -> bytes:
        """Return the JSON body of a refusal by the channel itself, in the format of the endpoint at the path.

        :param method: empty, like the path, before the request line has been read.
        :param data: details of the refusal for programs.
        """


class OwnAddress(Struct, frozen=True):
    """The gateway's address for browsers and authorization servers.

    :ivar redirect: the redirect URI of sign-ins.
    :ivar document: the public URL of the client ID metadata document; empty without one.
    :ivar mark: the mark of the node in the states of sign-ins; empty for a gateway that is alone.
    """

    redirect: str
    document: str = ""
    mark: str = ""


class IOtherNodes(Protocol):
    """Fetches what another node of the cluster has, for the principals whose sessions are here.

    :ivar mark: the mark of this node (`mcpgateway.protocol.node_marks`).
    """

    @property
    def mark(self) -> str:
        """The mark of this node."""

    def has(self, identifier: str) -> bool:
        """Return whether an id is of another node that is alive."""

    def result(self, ref: str, principal: str) -> Deferred[bytes]:
        """Fetch a kept result.

        :raise NotThere: (through the Deferred) the node has none that the principal may read.
        :raise GatewayError: (through the Deferred) the node does not answer.
        """

    def job(self, name: str, principal: str, *, is_cancelled: bool) -> Deferred[bytes]:
        """Fetch a job with its result, in the form of `mcpgateway.owntools.job_records`.

        :param is_cancelled: cancel it before.
        :raise NotThere: (through the Deferred) the node has none that the principal may read.
        :raise GatewayError: (through the Deferred) the node does not answer.
        """


class Returned(FrozenRecord, frozen=True):
    """The outcome of a sign-in whose browser has returned to the redirect URI.

    :ivar server: the name of the server.
    :ivar owner: the principal of the account; empty for the gateway's own user.
    :ivar key: the key by which the user confirms that principal (`ISignIns.agreed`); empty if the sign-in is complete.
    """

    server: str
    owner: str = ""
    key: str = ""


class ISignIns(Protocol):
    """Completes the sign-ins whose browsers return from authorization servers."""

    def returned(self, query: Mapping[str, str]) -> Deferred[Returned]:
        """Handle the return of a browser with this query.

        :raise GatewayError: (through the Deferred) no such sign-in was begun, or it has failed.
        """

    def agreed(self, key: str) -> Deferred[Returned]:
        """Confirm the principal of a sign-in.

        :raise GatewayError: (through the Deferred) no such sign-in waits for it, or it has failed.
        """

    def document(self) -> dict[str, Any] | None:
        """Return the gateway's client ID metadata document; None without a public address."""


class IGrants(Protocol):
    """Stores tokens for remote servers; no method raises."""

    def read(self, key: str) -> dict[str, Any]:
        """Return the value of a key; an empty dict without one."""

    def write(self, key: str, value: dict[str, Any]) -> None:
        """Store the value of a key, readable by this user alone."""

    def erase(self, key: str) -> None:
        """Delete the value of a key."""

    def every(self) -> Iterator[dict[str, Any]]:
        """Iterate over all stored values."""

    def turn(self, key: str) -> Deferred[Callable[[], object]]:
        """Take the turn to renew the grant of a key; fires with the function that ends the turn.

        :raise BackendError: (through the Deferred) another gateway has the turn, or it is not known which one has it.
        """
