"""The seams: what the floors above and below agree on, and the records that cross them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from signal import Signals
from typing import Any, Protocol

from attrs import Factory, define, field, frozen
from msgspec import Raw
from twisted.internet.defer import Deferred

from mcpgateway.config.reach_settings import Reach
from mcpgateway.errors import GatewayError
from mcpgateway.protocol.jsonrpc import Envelope, Message
from mcpgateway.protocol.versions import Era


class ProbeListener(Protocol):
    """Hears whether a program works."""

    def __call__(self, *, has_spoken: bool) -> None:
        """The probed child has written its first message, or has ended before one."""


@frozen
class Launch:
    """The launch of one backend: its command and environment, or its address.

    :ivar server: the server's name, for messages.
    :ivar argv: program and arguments; the program may still have to be found on the child's ``PATH``.
    :ivar env: the whole environment of the child, never inherited.
    :ivar cwd: an absolute directory.
    :ivar reach: None for a program that is spoken with on its stdin and stdout.
    :ivar era: which era it is spoken with in.
    :ivar as_written: the program is started as it stands here, even if it only fetches another.
    :ivar told: told once of a program that has been started: that it has spoken, or has ended before that.
    :ivar connect_s: seconds it may take until it can be spoken with; 0: as usual.
    :ivar is_heard: the program is of no use without its stdout, and is killed when it closes it.
    :ivar principal: the one whose account is used at a remote server; empty for the gateway's own user.
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


@frozen
class Ran:
    """The outcome of a program that has run to its end.

    :ivar code: its exit code; None when it was killed, as for running too long or saying too much.
    :ivar output: what it printed.
    :ivar complaint: the end of what it printed on stderr.
    """

    code: int | None
    output: str = field(repr=False)
    complaint: str = field(default="", repr=False)


class RunProgram(Protocol):
    """Runs a program to its end, within limits."""

    def __call__(self, launch: Launch, *, is_idle: bool) -> Deferred[Ran]:
        """Run a program to its end and fire with the outcome; ``is_idle`` gives it low priority.

        :raise LaunchFailed: (through the Deferred) it could not be started.
        """


@frozen
class Gone:
    """The end of a backend: an exit code or the number of a signal, and the end of its stderr.

    :ivar fault: why we had it killed, or why it cannot be spoken with any more.
    :ivar is_unreachable: nothing answers at its address: no name, no route, no listener.
    :ivar error: what those are told who wait for it to begin, where that is known better than that it has ended.
    """

    code: int | None = None
    signal: int | None = None
    last_words: str = field(default="", repr=False)
    fault: str = ""
    is_unreachable: bool = False
    error: GatewayError | None = None

    def __str__(self) -> str:
        if self.fault:
            return self.fault
        return f"killed by signal {self.signal}" if self.signal else f"exit code {self.code}"


class ILineReceiver(Protocol):
    """Receives the messages of a backend."""

    def line_received(self, line: bytes) -> None:
        """Receive one JSON-RPC message, or an array of them, without line end; it is never blank."""

    def line_overflowed(self, head: bytes, limit: int) -> None:
        """The child exceeded ``limit`` bytes without a newline; ``head`` is how the line begins. It will be killed."""

    def gone(self, why: Gone) -> None:
        """The backend has ended: its process has exited (not: its pipes have closed), or the connection is lost.

        Called once, the last call of all; for a child also when it was stopped.
        """


class IBackend(Protocol):
    """A running MCP server, however reached: JSON-RPC messages go in as lines, and come out to an `ILineReceiver`.

    It may still be connecting; what is written until then waits, within a bound.  A request that cannot be delivered
    is answered in its place with a JSON-RPC error, so that its caller gets the reason.
    """

    @property
    def pid(self) -> int:
        """The process id it was started with, also its process group and session; 0: no process of ours."""

    @property
    def heard(self) -> int:
        """How often its processes have written to stdout and stderr: a sign of life; 0 where there are none of ours."""

    def write(self, line: bytes, *, now: bool = False) -> None:
        """Send one message as a line (its newline included); ``now`` is for a child that has nothing to do.

        :raise Overloaded: it has stopped reading and its queue is full.
        :raise BackendGone: it has ended, or is being stopped.
        """

    def stop(self) -> Deferred[None]:
        """End it in order; fires when nothing is left.

        A child climbs the stop ladder: close stdin, TERM the group, KILL the group. A remote session is deleted.
        """

    def kill(self) -> None:
        """End it now: KILL the whole group, drop the connections; ``gone`` follows."""

    def stderr_tail(self) -> str:
        """The last lines a child wrote to stderr, cut to a readable length; empty for a remote server."""


class ILauncher(Protocol):
    """Starts backends."""

    def prepare(self, launch: Launch) -> Deferred[Launch]:
        """Find out how a launch is best carried out; fires with a launch that comes to the same.

        It never fails, and takes no longer than the program would take to start as it is written.
        """

    def launch(self, launch: Launch, receiver: ILineReceiver) -> IBackend:
        """Start a backend.

        :raise LaunchFailed: the program is missing or may not be run; the text says which and why.
        """


class IResolver(Protocol):
    """Finds the programs that package runners would start."""

    def resolve(self, launch: Launch, run: RunProgram) -> Deferred[Launch]:
        """Fires with the launch of the program itself, or with the launch as it is; never fails.

        :param run: runs the programs that have to be asked.
        """


TIMED_OUT = "timed out"
"""Why a call is taken back that has had its time: it has failed, all others that are taken back were given up."""


@define(eq=False)
class Request:
    """One request under way.

    :ivar session: the caller's session, as the hub knows it.
    :ivar message: the request in the words of its caller, or of the server that it goes to; nothing of it is left once
        it has been sent.
    :ivar token: the client's own progress token, as bytes, or None.
    :ivar sink: who gets the answer; replaceable.
    :ivar method: the JSON-RPC method.
    :ivar id: the client's own request id, as the bytes it was sent in.
    :ivar holder: the part that has it now; its ``withdraw(request, reason)`` takes it back, and is false where it has
        been answered.  None before any has it.
    :ivar number: our id on the child's wire; 0 while it has not been sent.
    :ivar progress: the parameters of the latest progress it was told of, or None.
    :ivar lonely: for how many ticks no client has waited for its answer.
    :ivar age: how many ticks of the gateway's heartbeat it has lived.
    :ivar level: from which log level on the caller wants to hear messages; None if it wants none (modern era).
    :ivar is_admin: it is a person's, or a program's that a person trusts with everything: it came with the admin token,
        or by itself over the Unix socket.  What a client on stdio sends through it is a model's word.
    :ivar is_dotted: its URL asks for the gateway's own tools under names with dots, where they are listed.
    :ivar meter: what counts it when it ends (`mcpgateway.hub.meters.Row`); None where nothing does, or it has ended.
    :ivar began: when it was brought to its server, by the stopwatch.
    :ivar trace: what the headers of its request say of a trace, two texts, or None; once it is brought to its server,
        where it stands in that (`mcpgateway.observe.tracing.Traced`).
    :ivar principal: who asks, where there is no session that says it.
    :ivar caller: all that a request of the modern era says of its client (`mcpgateway.hub.caller.Caller`); None in the
        legacy era, where its session does.
    :ivar is_verbatim: its result is passed on whatever it is, as on the endpoint of a single server; else it has to be
        an object, as MCP wants it (most clients take a message with any other for none at all, and go on waiting).
    :ivar sends_user: its client sends its user to a sign-in by itself, where a server wants that first.
    """

    session: Any
    message: Message = field(repr=False)
    token: bytes | None
    sink: Any = field(repr=False)
    method: str = field(init=False, default=Factory(lambda self: self.message.method, takes_self=True))
    id: bytes = field(init=False, default=Factory(lambda self: self.message.id, takes_self=True))
    holder: Any = field(default=None, repr=False)
    number: int = 0
    progress: Envelope | None = field(default=None, repr=False)
    age: int = 0
    lonely: int = 0
    level: str | None = None
    is_admin: bool = False
    is_dotted: bool = False
    meter: Any = field(default=None, repr=False)
    began: float = 0.0
    trace: Any = field(default=None, repr=False)
    principal: str = ""
    caller: Any = field(default=None, repr=False)
    is_verbatim: bool = False
    sends_user: bool = False

    def follow(self, other: Request) -> None:
        """Be made in another's place: for the same client and principal, within the same trace."""
        self.trace, self.principal, self.caller = other.trace, other.principal, other.caller
        self.sends_user = other.sends_user

    def withdraw(self, reason: str) -> bool:
        """Take it back from the part that has it; false where none does, or where it has been answered."""
        return self.holder is not None and bool(self.holder.withdraw(self, reason))

    def fail(self, why: GatewayError) -> None:
        """End it: its server gives no answer."""
        if self.meter is not None:
            self.meter.failed(self, why)
        self.sink.failed(self, why)


class ICallSink(Protocol):
    """Receives the answer of a request."""

    @property
    def is_gone(self) -> bool:
        """The client's connection has ended, though it may come back for the answer."""

    def answered(self, call: Request, reply: Envelope) -> None:
        """Receive the server's own response; its id is still the gateway's number."""

    def failed(self, call: Request, why: GatewayError) -> None:
        """The gateway has to answer in the server's place."""

    def progressed(self, call: Request, message: bytes) -> None:
        """Receive a progress notification of this request, a whole JSON-RPC message."""

    def noticed(self, call: Request, message: bytes) -> bool:
        """Receive a JSON-RPC message before the answer; return false without a reader."""


class INoticeListener(Protocol):
    """Receives the notifications and requests of a server.

    ``backend`` is the conversation it was said in; above the hub's slots it is the slot.
    """

    def noticed(self, backend: Any, method: str, message: Envelope) -> None:
        """A notification that names no call."""

    def asked(self, backend: Any, method: str, message: Envelope) -> None:
        """A request of the server's own; it must be answered through ``backend.reply``."""

    def progressed(self, backend: Any, number: int, params: Envelope, message: Envelope) -> None:
        """Progress of a call that has been answered: what it started may still run, as a task."""

    def refused(self, backend: Any, call: Request, error: Raw) -> None:
        """A call is about to be answered with this error of the server's."""


class ISlotListener(INoticeListener, Protocol):
    """Receives the messages of the servers of all slots, and changes of their state."""

    def warmed(self, slot: Any, sessions: Any) -> None:
        """The slot's child runs, or is answered for, and to these sessions it may be another than the one they knew."""

    def lost(self, slot: Any) -> None:
        """The slot's child has ended."""

    def changed(self, slot: Any, method: str, what: str | None) -> None:
        """A child of the modern era has said that something has changed: a list, or what is named."""


class IMessageStream(Protocol):
    """A way to tell a client something outside of its calls."""

    def say(self, message: bytes) -> bool:
        """Tell it one whole JSON-RPC message; false when it cannot be told."""

    def close(self) -> None:
        """End the stream in order."""


PARAMS_LIMIT = 16_384  # bytes of a client's initialize parameters that are on record


@frozen
class SessionRecord:
    """The record from which a session is restored.

    :ivar serial: what its id is filed under.
    :ivar params: the client's ``initialize`` parameters as JSON; empty where they are not known.
    :ivar level: the log level its client set, or None.
    :ivar owner: its owner's process id, or None.
    :ivar uris: the resources it is subscribed to.
    :ivar is_ended: its id must never be served again.
    :ivar workspace: the directory that its server was run for; empty for none.
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
        """Ids issued up to this second are good only while they are on record."""

    def find(self, serial: bytes) -> SessionRecord | None:
        """Return the record of a session."""

    def keep(self, record: SessionRecord, issued: int) -> None:
        """Put a session on record, or change what is known of it; its subscriptions stay as they are."""

    def subscribe(self, serial: bytes, uri: str) -> None:
        """A session has subscribed to a resource."""

    def unsubscribe(self, serial: bytes, uri: str) -> None:
        """A session has given up a subscription."""

    def end(self, serial: bytes, issued: int) -> None:
        """A session has ended for good."""

    def verdict(self, launch: str) -> str | None:
        """Why a server, known by the digest of how it is launched, needs a child per session; None if untold."""

    def judge(self, launch: str, why: str) -> None:
        """Remember what was found out about a server: a reason, or nothing where it can be shared."""

    def settle(self) -> None:
        """Put on record what could not be written before; cheap where there is nothing."""

    def close(self) -> None:
        """Let go of the files."""


class IWard(Protocol):
    """Supervises the children on this machine, so that none outlives the gateway."""

    @property
    def instance(self) -> str:
        """What marks every child of this gateway."""

    def spawning(self) -> AbstractContextManager[None]:
        """The circumstances a spawn happens in: our own limits put back, the guardian awake."""

    def added(self, pid: int, server: str) -> None:
        """A child runs, leader of the process group of that number."""

    def removed(self, pid: int) -> None:
        """Record that no process of a child is left."""

    def signal_group(self, pgid: int, number: Signals) -> bool:
        """Signal a whole process group; false when nothing is left of it."""

    def group_is_alive(self, pgid: int) -> bool:
        """Return whether a process group has a living process."""

    def kill_bearing(self, marker: str) -> int:
        """KILL every process whose environment holds this ``NAME=value`` entry; how many there were."""


@frozen
class GatewayRun:
    """Which gateway something belongs to: its home, and which run of it.

    :ivar home: the gateway's own directory.
    :ivar instance: what marks the children of this run.
    """

    home: str
    instance: str


@frozen
class DaemonLock:
    """The lock of a server with a port of its own: the process that holds it.

    :ivar pid: the process; 0 where it is not known.
    :ivar start_time: when that process was started, in clock ticks since boot; 0 where it is not known.
    """

    server: str
    pid: int
    port: int
    transport: str
    start_time: int = 0


class IDaemonLocks(Protocol):
    """Locks of servers with a port of their own."""

    def find(self, server: str, port: int) -> DaemonLock | None:
        """The lock of a server whose process runs, or None."""

    def claim(self, server: str, port: int, transport: str) -> bool:
        """Take the lock before a start of the server; return false if another process holds it."""

    def started(self, server: str, pid: int, port: int, transport: str) -> None:
        """Record this process as the running server, under the gateway's lock."""

    def release(self, server: str) -> None:
        """Release the gateway's lock of a server that has ended."""

    def holder(self, port: int) -> Deferred[str]:
        """Fires with the program that listens at a port, in words; empty where it cannot be told."""


INSTANCE_MARKER = "MCPGATEWAY_INSTANCE"
"""The environment variable every child of one gateway bears."""

CHILD_MARKER = "MCPGATEWAY_CHILD"
"""The environment variable of one child and its descendants."""


class IProcessTable(Protocol):
    """Looks up other processes of this machine."""

    def is_alive(self, pid: int) -> bool:
        """Return whether a process runs; false for a zombie, true if unknown."""


class IExitWatch(Protocol):
    """Tells when processes end that are not our children."""

    def watch(self, pid: int, on_exit: Callable[[int], None]) -> bool:
        """Have ``on_exit(pid)`` called once when that process has ended; false where it cannot be told."""

    def forget(self, pid: int) -> None:
        """Stop watching a process."""

    def close(self) -> None:
        """Stop watching all of them."""


class IDoor(Protocol):
    """Serves the requests of the HTTP channel."""

    def opened(self, exchange: Any) -> int:
        """The header section of a request has arrived whole.

        Judge it before its body is read: either return how many bytes of body are allowed, or answer the exchange
        at once (a refusal) and return 0.
        """

    def handle(self, exchange: Any) -> None:
        """The request has arrived whole and within its limit; answer it now or later."""

    def refusal(self, method: bytes, path: bytes, why: str, data: dict[str, Any] | None = None) -> bytes:
        """The JSON that a request is refused with by the channel itself, in the words of what the path leads to.

        :param method: empty, like the path, where nothing has been read.
        :param data: what a program may want to know beside the sentence.
        """


@frozen
class OwnAddress:
    """The gateway's address for browsers and authorization servers.

    :ivar redirect: where a browser comes back to from a sign-in.
    :ivar document: the public URL that tells who the gateway is; empty where there is none.
    """

    redirect: str
    document: str = ""


@frozen
class Returned:
    """The outcome of a sign-in whose browser has returned.

    :ivar server: where it was.
    :ivar owner: the principal it is for; empty for the gateway's own user.
    :ivar key: what its user agrees with to that; empty where it is done.
    """

    server: str
    owner: str = ""
    key: str = field(default="", repr=False)


class ISignIns(Protocol):
    """Takes what browsers bring back from authorization servers."""

    def returned(self, query: Mapping[str, str]) -> Deferred[Returned]:
        """A browser has come back, with this query.

        :raise GatewayError: (through the Deferred) nobody asked, or nothing has come of it.
        """

    def agreed(self, key: str) -> Deferred[Returned]:
        """Confirm the principal of a sign-in.

        :raise GatewayError: (through the Deferred) nobody asked, or nothing has come of it.
        """

    def document(self) -> dict[str, Any] | None:
        """Return the gateway's client ID metadata document; None without a public address."""


class IGrants(Protocol):
    """Stores tokens for remote servers; no method raises."""

    def read(self, key: str) -> dict[str, Any]:
        """Return the value of a key; empty without one."""

    def write(self, key: str, value: dict[str, Any]) -> None:
        """Keep something, readable by this user alone."""

    def erase(self, key: str) -> None:
        """Keep nothing under a key."""

    def every(self) -> Iterator[dict[str, Any]]:
        """All that is kept."""
