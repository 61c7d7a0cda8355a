"""Read a body that is an event stream: bytes in, events out, and one end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from mcpgateway.backends.http.response import WebStream
from mcpgateway.errors import BackendError, BadReply
from mcpgateway.protocol.sse_reader import Event, EventTooLong, SseReader

EVENT_LIMIT = 32 * 2**20  # bytes, as of a line of a child's
STREAM = b"text/event-stream"


class IEventReceiver(Protocol):
    """Receives server-sent events."""

    def event(self, event: Event) -> None:
        """Receive one event."""

    def ended(self, why: BackendError | None) -> None:
        """Receive the end of the stream: None if it ended in order, a `BadReply` if one event was too long.

        Called once, as the last call.
        """


class EventBody:
    """Reads the server-sent events of one response.

    :param heard: number of events at the beginning that the former program of this process has passed on.
    :param skips: an event that is too long does not end the stream (`mcpgateway.protocol.sse_reader`).
    :ivar reader: parser of the stream, with the id and the delay for resuming it.
    :ivar connection: the connection of the stream.
    :ivar heard: number of events that were passed on since the connection was trimmed.
    """

    def __init__(
        self,
        stream: WebStream,
        receiver: IEventReceiver,
        last_id: bytes = b"",
        heard: int = 0,
        *,
        skips: bool = False,
    ) -> None:
        self.reader = SseReader(EVENT_LIMIT, last_id, skips=skips)
        self.connection = stream.connection
        self.heard = 0
        self._former = heard
        self._stream = stream
        self._receiver: IEventReceiver | None = receiver

    def begin(self) -> None:
        """Start to read the body."""
        self._stream.deliver(self)

    def data(self, data: bytes) -> None:
        """Receive a part of the body."""
        try:
            events = self.reader.feed(data)
        except EventTooLong:
            self._stream.abort()
            self.ended(BadReply(f"an event has more than {EVENT_LIMIT} bytes"))
            return
        self._stream.holds(self.reader.size)
        for each in events:
            if self._receiver is None:
                return
            self.heard += 1
            if self.heard > self._former:
                self._receiver.event(each)
        if self.reader.is_between and self.connection.trim():
            self.heard = self._former = 0

    def ended(self, why: BackendError | None) -> None:
        """Receive the end of the body: None if it is complete."""
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.ended(why)

    def abort(self) -> None:
        """Drop the stream; the receiver gets no further call."""
        self._receiver = None
        self._stream.abort()


def is_stream(stream: WebStream) -> bool:
    """Return whether a response is an event stream."""
    return content_type(stream.headers) == STREAM


def content_type(headers: Mapping[bytes, bytes]) -> bytes:
    """Return the media type of a body, without its parameters."""
    return headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
