"""The state of servers, calls and connections that go on in the next program of this process."""

from __future__ import annotations

from msgspec import Struct


class InheritedBackend(Struct, frozen=True):
    """A running backend; one that has neither processes nor sockets of its own, unless it tells others."""

    @property
    def children(self) -> tuple[InheritedChild, ...]:
        """The processes that belong to it."""
        return ()

    @property
    def sockets(self) -> tuple[int, ...]:
        """The descriptors that belong to it, beside those of its processes."""
        return ()


class InheritedChild(InheritedBackend, frozen=True, tag=True):
    """A running child.

    :ivar start_time: in clock ticks since boot; with the pid it identifies the process.
    :ivar marker: the entry of its environment that only its processes have.
    :ivar pipes: the gateway's ends of its stdin, stdout and stderr; -1 for one that is closed.
    :ivar half_line: the beginning of a line of its stdout, whose rest it has not written.
    :ivar unwritten: lines for its stdin that it has not read.
    :ivar last_words: the last lines of its stderr.
    :ivar is_asleep: true if it is frozen.
    :ivar stopped: the processes that SIGSTOP has frozen, with their start times.
    :ivar lease: the name and the fence of the lease of the cluster under which it runs; None for none.
    """

    pid: int
    start_time: int
    server: str
    marker: str
    pipes: tuple[int, int, int]
    half_line: bytes = b""
    unwritten: bytes = b""
    last_words: tuple[bytes, ...] = ()
    is_asleep: bool = False
    stopped: dict[int, int] = {}
    lease: tuple[str, int] | None = None

    def open_pipes(self) -> dict[int, int]:
        """Return the open ends, by the child's own descriptors."""
        return {theirs: ours for theirs, ours in enumerate(self.pipes) if ours >= 0}

    @property
    def children(self) -> tuple[InheritedChild, ...]:
        """The processes that belong to it."""
        return (self,)


class InheritedTemplate(Struct, frozen=True):
    """A template of a Python server (`mcpgateway.backends.templates`).

    :ivar key: the digest of its launch.
    :ivar control: the gateway's end of its socket.
    :ivar forks: number of its forks.
    """

    key: str
    child: InheritedChild
    control: int
    forks: int


class InheritedPost(Struct, frozen=True):
    """A request under way at a server that is reached by Streamable HTTP.

    :ivar id: its JSON-RPC id, as encoded.
    :ivar method: its method.
    :ivar descriptor: the socket of its connection; -1 where the rest of its answer is fetched by another one.
    :ivar received: the bytes of the answer so far, or its head and the bytes since an event.
    :ivar heard: number of events of these that have been passed on.
    :ivar last_event: the id of the latest event.
    """

    id: bytes
    method: str
    descriptor: int
    received: bytes
    heard: int
    last_event: bytes


class InheritedSession(InheritedBackend, frozen=True, tag=True):
    """A session at a server that is reached by Streamable HTTP.

    :ivar url: its address, after redirects.
    :ivar id: the server's id of the session; empty for none.
    :ivar version: the revision that was agreed; empty for none.
    :ivar last_event: the id of the latest event of its standing stream; None if it has no such stream.
    """

    url: str
    id: str
    version: str
    last_event: bytes | None
    posts: tuple[InheritedPost, ...] = ()

    @property
    def sockets(self) -> tuple[int, ...]:
        """The descriptors that belong to it, beside those of its processes."""
        return tuple(each.descriptor for each in self.posts if each.descriptor >= 0)


class InheritedStream(InheritedBackend, frozen=True, tag=True):
    """A connection to a server with HTTP+SSE, which is the session.

    :ivar url: the address of the stream, after redirects.
    :ivar endpoint: the address for messages.
    :ivar descriptor: the socket of the stream.
    :ivar received: the head of the answer, and the bytes since an event.
    :ivar heard: number of events of these that have been passed on.
    """

    url: str
    endpoint: str
    descriptor: int
    received: bytes
    heard: int

    @property
    def sockets(self) -> tuple[int, ...]:
        """The descriptors that belong to it."""
        return (self.descriptor,)


class InheritedWebSocket(InheritedBackend, frozen=True, tag=True):
    """A WebSocket to a server, which is the session.

    :ivar descriptor: its socket.
    :ivar received: the frames of a message whose last one has not come.
    :ivar unwritten: the frames for the server that the socket has not taken.
    """

    descriptor: int
    received: bytes
    unwritten: bytes

    @property
    def sockets(self) -> tuple[int, ...]:
        """The descriptors that belong to it."""
        return (self.descriptor,)


class InheritedLink(InheritedBackend, frozen=True, tag=True):
    """A session at a server that another node of the cluster runs (`mcpgateway.backends.link.Link`).

    :ivar node: the octets of that node.
    :ivar incarnation: its process.
    :ivar lease: the name of the lease that it holds; empty for none.
    :ivar fence: the number of the lease; 0 for none.
    """

    session: InheritedSession
    node: bytes
    incarnation: str
    lease: str
    fence: int

    @property
    def sockets(self) -> tuple[int, ...]:
        """The descriptors that belong to it."""
        return self.session.sockets


class InheritedContainer(InheritedBackend, frozen=True, tag=True):
    """A container, which the command line of its engine runs.

    :ivar child: the command line.
    :ivar engine: the path of its program.
    :ivar name: the name of the container.
    """

    child: Inherited
    engine: str
    name: str

    @property
    def children(self) -> tuple[InheritedChild, ...]:
        """The processes that belong to it."""
        return self.child.children

    @property
    def sockets(self) -> tuple[int, ...]:
        """The descriptors that belong to it, beside those of its processes."""
        return self.child.sockets


class InheritedDaemon(InheritedBackend, frozen=True, tag=True):
    """A session at a server with a port of its own.

    :ivar child: its process, which all its sessions share; None where it was adopted.
    """

    session: Inherited
    port: int
    child: Inherited | None

    @property
    def children(self) -> tuple[InheritedChild, ...]:
        """The processes that belong to it."""
        return () if self.child is None else self.child.children

    @property
    def sockets(self) -> tuple[int, ...]:
        """The descriptors that belong to it, beside those of its processes."""
        return self.session.sockets


Inherited = (
    InheritedChild
    | InheritedSession
    | InheritedStream
    | InheritedWebSocket
    | InheritedLink
    | InheritedContainer
    | InheritedDaemon
)
"""A running backend, for the next program of this process."""


class SentCall(Struct, frozen=True):
    """A call that a child has been sent and has not answered.

    :ivar arrived: the time at which its request arrived, in seconds of `time.perf_counter`.
    :ivar id: the client's own request id, as JSON.
    :ivar number: the request id on the child's connection.
    :ivar age: ticks since the call was sent, or since its latest progress.
    """

    arrived: float
    id: bytes
    number: int
    age: int


class CarriedRequest(Struct, frozen=True):
    """A request under way on a client's connection that carries many of them.

    :ivar line: the request as its client sent it.
    :ivar arrived: the time of its arrival, in seconds of `time.perf_counter`.
    :ivar is_admin: true if it came with admin rights.
    :ivar is_sent: true if its server has been sent the call.
    :ivar honoured: the acknowledgement that the client of a listening has got; empty for none.
    :ivar is_lost: true if its call was sent to a server that has ended since.
    """

    line: bytes
    arrived: float
    is_admin: bool = False
    is_sent: bool = False
    honoured: bytes = b""
    is_lost: bool = False


class StreamState(Struct, frozen=True):
    """The stream of a client whose requests share a connection, or of a client that listens.

    :ivar requests: its requests under way.
    :ivar id: the id of a stream of HTTP with SSE.
    :ivar session: the id of its session; empty for none.
    :ivar taken: the number of lines that were taken from it.
    :ivar unread: the bytes that follow them.
    :ivar is_skipping: true if these continue a line that is too long.
    """

    requests: tuple[CarriedRequest, ...]
    id: bytes = b""
    session: bytes = b""
    taken: int = 0
    unread: bytes = b""
    is_skipping: bool = False


class ConnectionState(Struct, frozen=True):
    """A connection with a request under way.

    :ivar descriptor: its socket.
    :ivar head: the head of the request, as received.
    :ivar began: the time of its arrival, in seconds of `time.perf_counter`, which goes on over a restart.
    :ivar is_streaming: true if the head of an answer in events was sent.
    :ivar is_last: true if the connection is closed after the answer.
    :ivar held: bytes of the next request.
    :ivar is_sent: true if its server has been sent the call.
    :ivar stream: the state of the client's stream, where its frontend keeps any.
    """

    descriptor: int
    head: bytes
    body: bytes
    began: float
    is_streaming: bool
    is_last: bool
    held: bytes
    is_sent: bool
    stream: StreamState | None = None


class ConversationState(Struct, frozen=True):
    """The state of the messages with a running child (`mcpgateway.backends.conversation.Conversation`).

    :ivar number: the number of the latest request.
    :ivar sent: number of callers' requests that it has been sent.
    :ivar answered: number of requests that it has answered.
    :ivar cancelled: number of cancelled calls.
    :ivar strays: number of lines that belong to nothing.
    :ivar is_known: true if no cancelled call may still ask.
    :ivar calls: the calls under way.
    """

    number: int
    sent: int
    answered: int
    cancelled: int
    strays: int
    is_known: bool
    calls: tuple[SentCall, ...] = ()
