"""The answer to an HTTP request: its body in parts, or complete.

The bytes of incomplete bodies and events are counted in one bound that all requests of a gateway share, so that many
large answers at once cannot take all memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol
from urllib.parse import urlsplit

from attrs import define, field, frozen
from twisted.internet.defer import Deferred

from mcpgateway.backends.http.http1 import HttpConnection
from mcpgateway.errors import BackendError, BadReply
from mcpgateway.policy.fair_memory import FairMemory

ANSWER_LIMIT = 32 * 2**20  # bytes of a body that is collected
TOO_MUCH = "too many large answers come from there at once; ask for less at a time"


class IBodyReceiver(Protocol):
    """Receives a response body in pieces."""

    def data(self, data: bytes) -> None:
        """Receive a part of the body."""

    def ended(self, why: BackendError | None) -> None:
        """Receive the end of the body: None if it is complete. Called once, as the last call."""


@frozen
class WebAnswer:
    """A complete answer; header names are in lower case."""

    status: int
    headers: Mapping[bytes, bytes] = field(repr=False)
    body: bytes = field(repr=False)


@define(eq=False, repr=False)
class WebStream:
    """An answer whose body comes in parts.

    :ivar url: the URL that has answered, after all redirects.
    :ivar connection: the connection that the body comes by.
    """

    status: int
    headers: Mapping[bytes, bytes] = field(repr=False)
    url: str = field(repr=False)
    connection: HttpConnection = field(repr=False)
    _room: FairMemory = field(factory=FairMemory, repr=False)
    _receiver: IBodyReceiver | None = field(default=None, repr=False)
    _early: list[bytes] = field(factory=list, repr=False)  # bytes before the first receiver
    _has_ended: bool = False
    _why: BackendError | None = None

    def deliver(self, receiver: IBodyReceiver) -> None:
        """Pass the body to a receiver as it comes."""
        self._receiver = receiver
        early, self._early = self._early, []
        for each in early:
            if self._receiver is not None:
                receiver.data(each)
        if self._has_ended:
            self.ended(self._why)
        else:
            self.connection.resume()

    def pause(self) -> None:
        """Pause reading, so that the sender waits."""
        if not self._has_ended:
            self.connection.pause()

    def resume(self) -> None:
        """Continue to read the body."""
        if not self._has_ended:
            self.connection.resume()

    def abort(self) -> None:
        """Drop the connection; the receiver gets no further call."""
        self._receiver = _DISCARD
        self._room.leave(self)
        if not self._has_ended:
            self._has_ended = True
            self.connection.abort()

    # The memory that the body takes

    def holds(self, size: int) -> None:
        """Set the number of bytes that are held of an incomplete body."""
        held = self._room.of(self)
        if size > held:
            self._room.take(self, size - held)
        else:
            self._room.give(self, held - size)

    @property
    def peer(self) -> str:
        """The server to which the memory of the body is counted."""
        return urlsplit(self.url).netloc

    @property
    def may_give_way(self) -> bool:
        """Return whether the body can be dropped to free memory."""
        return True

    def give_way(self) -> None:
        """Drop the body for want of memory; its receiver gets an error."""
        receiver = self._receiver
        self.abort()
        if receiver is not None:
            receiver.ended(BadReply(TOO_MUCH))

    # Calls of the connection

    def data(self, data: bytes) -> None:
        """Receive a part of the body."""
        if self._receiver is not None:
            self._receiver.data(data)
        else:
            self._early.append(data)
            self.connection.pause()

    def ended(self, why: BackendError | None) -> None:
        """Receive the end of the body: None if it is complete."""
        self._has_ended, self._why = True, why
        self._room.leave(self)
        receiver = self._receiver
        if receiver is not None:
            self._receiver = _DISCARD
            receiver.ended(why)


class _Discard:
    """Discards a body."""

    def data(self, data: bytes) -> None:
        """Discard bytes."""

    def ended(self, why: BackendError | None) -> None:
        """Ignore the end."""


_DISCARD = _Discard()


def take_whole(stream: WebStream, limit: int) -> Deferred[WebAnswer]:
    """Return the complete body of a response.

    :raise BackendError: (through the Deferred) the body is larger than ``limit`` bytes, or the connection broke.
    """
    collector = _Collector(stream, limit)
    stream.deliver(collector)
    return collector.done


class _Collector:
    """Collects a body until it is complete."""

    def __init__(self, stream: WebStream, limit: int) -> None:
        self.done: Deferred[WebAnswer] = Deferred(lambda _: stream.abort())
        self._stream = stream
        self._limit = limit
        self._size = 0
        self._parts: list[bytes] = []

    def data(self, data: bytes) -> None:
        """Keep a part of the body."""
        self._size += len(data)
        self._parts.append(data)
        if self._size > self._limit:
            self._stream.abort()
            self.done.errback(BackendError(f"the answer is larger than {self._limit} bytes"))
        else:
            self._stream.holds(self._size)

    def ended(self, why: BackendError | None) -> None:
        """Fire with the body: None if it is complete."""
        if why is not None:
            self.done.errback(why)
        else:
            self.done.callback(WebAnswer(self._stream.status, self._stream.headers, b"".join(self._parts)))
