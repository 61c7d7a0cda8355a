"""Connections to a gateway: one for each request under way, kept for the next one when its answer is whole."""

from __future__ import annotations

import _socket
import errno
import posix

from mcpgateway.shim.http1 import AnswerReader, BadAnswer
from mcpgateway.shim.loop import READ, WRITE, Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from mcpgateway.shim.locations import Address

    class Taker(Protocol):
        """Who takes an answer."""

        def took(self, reader: AnswerReader, body: bytes) -> None:
            """The head is there, and so much of the body; the answer is whole when the reader is done."""

        def lost(self, why: str, *, was_sent: bool) -> None:
            """There will be no answer; if not even the whole request was sent, nothing can have come of it."""


PIECE = 65536
IDLE_LIMIT = 4
# Well below the time after which a gateway closes an idle connection, so that no request meets its end on the way.
IDLE_S = 60.0
UNDER_WAY = (errno.EINPROGRESS, errno.EAGAIN, errno.EINTR)


class Connection:
    """One connection, for one request at a time."""

    __slots__ = (
        "_answer",
        "_connecting",
        "_descriptor",
        "_is_held",
        "_left",
        "_pool",
        "_socket",
        "_taker",
        "idle_since",
    )

    def __init__(self, pool: Pool, address: Address) -> None:
        if address.family == _socket.AF_UNIX:
            check_owner(str(address.where))
        self._pool = pool
        self._socket = _socket.socket(address.family, _socket.SOCK_STREAM)
        self._descriptor = self._socket.fileno()
        self._socket.setblocking(False)
        self._taker: Taker | None = None
        self._answer: AnswerReader | None = None
        self._left = memoryview(b"")
        self._is_held = False
        self.idle_since = 0.0
        code = self._socket.connect_ex(address.where)
        if code not in (0, *UNDER_WAY):
            self._socket.close()
            raise OSError(code, "connect")
        # A Unix socket whose backlog is full says EAGAIN, and is not being connected.
        if code == errno.EAGAIN and address.family == _socket.AF_UNIX:
            self._socket.close()
            raise OSError(code, "connect")
        self._connecting = code != 0
        if address.family != _socket.AF_UNIX:
            self._socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)

    def ask(self, request: bytes, taker: Taker) -> None:
        """Send a request; its taker is told of the answer, never from within this call."""
        self._taker = taker
        self._answer = AnswerReader()
        self._left = memoryview(request)
        if not self._connecting:
            self._send()
        self._watch()

    def _send(self) -> None:
        try:
            while self._left:
                sent = self._socket.send(self._left[: 16 * PIECE])
                self._left = self._left[sent:]
        except BlockingIOError:
            pass
        except OSError:
            pass  # what comes next is its end, in its turn

    def _watch(self) -> None:
        loop = self._pool.loop
        events = WRITE if self._connecting else READ | (WRITE if self._left else 0)
        if self._is_held and not self._connecting:
            events &= WRITE
        if events:
            loop.watch(self._descriptor, events, self._ready)
        else:
            loop.forget(self._descriptor)  # or the loop would be told of its end again and again

    def hold(self, *, is_held: bool) -> None:
        """Whether to read nothing for now."""
        self._is_held = is_held
        if self._taker is not None:
            self._watch()

    def _ready(self, mask: int) -> None:
        if self._connecting:
            code = self._socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
            if code:
                self._fail("it does not answer")
                return
            self._connecting = False
        if self._left:
            self._send()
        if self._is_held and mask & ~(READ | WRITE):
            self._pool.loop.forget(self._descriptor)  # its end is read when reading goes on
            return
        if mask & ~WRITE and not self._is_held:
            self._receive()
        if self._taker is not None:
            self._watch()

    def _receive(self) -> None:
        try:
            data = self._socket.recv(PIECE)
        except BlockingIOError:
            return
        except OSError as why:
            self._fail(why.strerror or "the connection broke")
            return
        answer, taker = self._answer, self._taker
        if answer is None or taker is None:
            self.close()  # idle, and either closed by the gateway or out of step with it
            return
        try:
            if not data:
                answer.finish()
            body = answer.feed(data)
        except BadAnswer as why:
            self._fail(str(why))
            return
        if answer.is_done:
            self._finished(answer, is_over=not data)
        if answer.status:
            taker.took(answer, body)

    def _finished(self, answer: AnswerReader, *, is_over: bool) -> None:
        self._taker = self._answer = None
        if is_over or answer.is_last or answer.rest or self._left:
            self.close()
        else:
            self._pool.freed(self)
            self._pool.loop.watch(self._descriptor, READ, self._ready)

    def _fail(self, why: str) -> None:
        taker, self._taker = self._taker, None
        was_sent = not self._left and not self._connecting
        self.close()
        if taker is not None:
            taker.lost(why, was_sent=was_sent)

    def close(self) -> None:
        """End it; nobody is told."""
        if self._descriptor < 0:
            return
        self._taker = self._answer = None
        self._pool.loop.forget(self._descriptor)
        self._descriptor = -1
        self._socket.close()
        self._pool.closed(self)


def check_owner(path: str) -> None:
    """See that a socket is the user's own: where homes have long names, it is in a directory that others can write to.

    :raise OSError: it is somebody else's, or not there.
    """
    if posix.lstat(path).st_uid != posix.geteuid():
        raise PermissionError(errno.EACCES, "the socket belongs to another user", path)


class Pool:
    """All connections to one gateway."""

    def __init__(self, loop: Loop, address: Address) -> None:
        self.loop = loop
        self._address = address
        self._all: set[Connection] = set()
        self._idle: list[Connection] = []
        self._is_held = False

    def ask(self, request: bytes, taker: Taker) -> Connection:
        """Send a request on a connection of its own.

        :raise OSError: nobody is there.
        """
        self._tidy()
        if self._idle:
            connection = self._idle.pop()
        else:
            connection = Connection(self, self._address)
            self._all.add(connection)
        connection.hold(is_held=self._is_held)
        connection.ask(request, taker)
        return connection

    def hold(self, *, is_held: bool) -> None:
        """Whether to read no answers for now, because whoever reads ours is behind."""
        if is_held != self._is_held:
            self._is_held = is_held
            for each in list(self._all):
                each.hold(is_held=is_held)

    def freed(self, connection: Connection) -> None:
        """An answer is whole, and its connection free for the next request."""
        connection.idle_since = self.loop.now()
        self._idle.append(connection)
        if len(self._idle) > IDLE_LIMIT:
            self._idle[0].close()

    def closed(self, connection: Connection) -> None:
        """A connection has ended."""
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def close_idle(self) -> None:
        """Use none of the connections that are idle now: the gateway may be another."""
        for each in list(self._idle):
            each.close()

    def close(self) -> None:
        """End all connections."""
        for each in list(self._all):
            each.close()

    def _tidy(self) -> None:
        before = self.loop.now() - IDLE_S
        for each in list(self._idle):
            if each.idle_since < before:
                each.close()
