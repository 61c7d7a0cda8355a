"""The write buffer of a connection: send at once where possible, and bound the memory of slow readers.

# Note [Sending at once]
`transport.write` only queues: the bytes leave one reactor turn and two `epoll_ctl` later, which costs as much as
reading the request.  So while nothing is queued, bytes go to the socket at once, and what it does not take is queued.
Only on TCP and Unix sockets without TLS: the transport of TLS passes unknown calls on to the socket below, which would
send the bytes in the clear.

# Note [What slow readers cost]
All bytes that a reader has yet to read are counted, in the transport and beyond it, and bounded twice: the reader of a
stream may be `STREAM_BACKLOG_LIMIT` behind, and the bytes for all readers share one bound
(`mcpgateway.policy.fair_memory`).  When it is reached, readers of the peer with the most memory are cut off; events of
a stream are kept for their return (`mcpgateway.hub.replay`).  The last part of a stream, which is the answer, may be of
any size and its reader slow, as long as there is memory: it is the purpose of the call.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol

from twisted.internet.interfaces import IPushProducer
from twisted.internet.tcp import Server
from zope.interface import implementer

from mcpgateway.policy.fair_memory import FairMemory

STREAM_BACKLOG_LIMIT = 4 * 1024 * 1024  # bytes a stream's reader may be behind, beyond the transport's buffer
FLUSH_PIECE = 256 * 1024  # bytes of a backlog that are passed to the transport at once
LARGE = 64 * 1024  # a larger body is passed on as it is, not copied behind its head


class BufferOwner(Protocol):
    """The connection of a write buffer."""

    @property
    def peer(self) -> Hashable:
        """The group that the buffer's memory counts for."""

    def drained(self) -> None:
        """Note that all bytes have been sent."""

    def abort(self) -> None:
        """Close the connection at once: the reader is too far behind."""


@implementer(IPushProducer)
class WriteBuffer:
    """Writes for a channel; the transport pauses and resumes it at the client's speed.

    :ivar is_direct: True if the transport is a socket without TLS.
    :ivar is_congested: True while the transport's buffer is full.
    :ivar producer: produces an answer at the speed of the client, if any.
    """

    __slots__ = (
        "_backlog",
        "_backlog_size",
        "_handed",
        "_last",
        "_owner",
        "_room",
        "_seen",
        "_stalled",
        "_transport",
        "is_congested",
        "is_direct",
        "producer",
    )

    def __init__(self, owner: BufferOwner, transport: Any, room: FairMemory, *, is_secure: bool) -> None:
        self._owner: BufferOwner | None = owner
        self._transport = transport
        self.is_direct = isinstance(transport, Server) and not is_secure
        self.is_congested = False
        self.producer: Any = None
        self._backlog: list[bytes] = []
        self._backlog_size = 0
        self._room = room
        self._handed = 0  # bytes that were passed to the transport and still count
        self._last = b""
        self._stalled = 0
        self._seen = (0, 0)

    @property
    def is_behind(self) -> bool:
        """True while the reader has to read before more bytes may be sent."""
        return self.is_congested or bool(self._backlog or self._last)

    @property
    def is_empty(self) -> bool:
        """True if all bytes have been sent."""
        transport = self._transport
        return not (self.is_behind or transport._tempDataLen or transport.dataBuffer)  # noqa: SLF001

    def write(self, data: bytes) -> None:
        """Send bytes; see Note [Sending at once]."""
        transport = self._transport
        # Queued bytes are in two attributes of Twisted's FileDescriptor, one of which is private.
        if self.is_direct and not transport._tempDataLen and not transport.dataBuffer:  # noqa: SLF001
            sent = transport.writeSomeData(data)
            if sent == len(data):
                return
            if isinstance(sent, int):
                data = data[sent:]
            # Otherwise the connection is lost, which the transport notices itself.
        transport.write(data)
        if self.is_congested:
            self._count(len(data))

    def _count(self, size: int) -> bool:
        self._handed += size
        return self._room.take(self, size)

    def is_too_much(self, size: int) -> bool:
        """Return whether an answer of that size exceeds the memory bound, and its reader holds most of it."""
        return size >= LARGE and self._room.would_refuse(self, size)

    def write_answer(self, head: bytes, body: bytes) -> None:
        """Send a head with its body; a large body is not copied."""
        if len(body) < LARGE:
            self.write(head + body)
        else:
            self.write(head)
            self._transport.write(body)
            if self.is_congested:
                self._count(len(body))

    def write_stream(self, data: bytes) -> bool:
        """Send a part of a stream, or keep it until the reader has caught up; return false if it is too far behind."""
        if not self.is_behind:
            self.write(data)
            return True
        if self._backlog_size > STREAM_BACKLOG_LIMIT:
            return False
        self._backlog.append(data)
        self._backlog_size += len(data)
        return self._room.take(self, len(data))

    def write_last(self, data: bytes) -> None:
        """Send the last part of a stream, however slow the reader is; see Note [What slow readers cost]."""
        if self.is_behind:
            self._last = data
            self._room.take(self, len(data))
        else:
            self.write(data)

    def stalled_ticks(self) -> int:
        """Return for how many seconds in a row the reader has read nothing; called once a second."""
        transport = self._transport
        seen = (len(getattr(transport, "dataBuffer", b"")), getattr(transport, "offset", 0))
        self._stalled = self._stalled + 1 if seen == self._seen else 0
        self._seen = seen
        return self._stalled

    def clear(self) -> None:
        """Forget the unsent bytes: the connection has ended.

        The owner is forgotten too: a reference cycle would keep the transport, and megabytes that it could not send,
        until the garbage collector runs.
        """
        self._owner = None
        self._forget()

    @property
    def peer(self) -> Hashable:
        """The group that the buffer's memory counts for."""
        return self._owner.peer if self._owner is not None else None

    @property
    def may_give_way(self) -> bool:
        """True if the connection may be closed to free memory."""
        return True

    def give_way(self) -> None:
        """Close the connection, to free its memory."""
        self._forget()
        if self._owner is not None:
            self._owner.abort()

    def _forget(self) -> None:
        self._backlog.clear()
        self._backlog_size = self._handed = 0
        self._last = b""
        self._room.leave(self)

    def pauseProducing(self) -> None:
        """Note that the transport's buffer is full."""
        self.is_congested = True
        self._stalled = 0
        if self.producer is not None:
            self.producer.pauseProducing()

    def resumeProducing(self) -> None:
        """Send the backlog: the transport's buffer is empty."""
        self.is_congested = False
        self._taken()
        while (self._backlog or self._last) and not self.is_congested:
            self._flush()
        if self.is_congested:
            return
        self._taken()
        if self.producer is not None:
            self.producer.resumeProducing()
        elif self._owner is not None:
            self._owner.drained()

    def stopProducing(self) -> None:
        """Ignore the transport's end, which the protocol gets in `connectionLost`."""
        if self.producer is not None:
            self.producer.stopProducing()

    def _taken(self) -> None:
        handed, self._handed = self._handed, 0
        if handed:
            self._room.give(self, handed)

    def _flush(self) -> None:
        size = count = 0
        for piece in self._backlog:
            if size >= FLUSH_PIECE:
                break
            size += len(piece)
            count += 1
        pieces = self._backlog[:count]
        del self._backlog[:count]
        self._backlog_size -= size
        self._handed += size
        if self._last and not self._backlog:
            pieces.append(self._last)
            self._handed += len(self._last)
            self._last = b""
        self._transport.writeSequence(pieces)
