"""Send one request to a server as a POST and read its answer: JSON, or a stream that can be resumed.

# Note [Nothing is sent twice]
A request whose answer got lost may have been carried out.  So it is never repeated; if its stream had events with ids,
the rest of that stream is fetched (MCP 2025-11-25, basic/transports, "Resumability"), else its caller gets an error.
The one exception is a request that was refused before it was carried out: see `mcpgateway.backends.param_headers`.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.backends.http.event_stream import EVENT_LIMIT, EventBody, content_type, is_stream
from mcpgateway.backends.http.http1 import HttpConnection
from mcpgateway.backends.http.response import ANSWER_LIMIT, WebAnswer, WebStream, take_whole
from mcpgateway.backends.remote_access import RemoteAccess
from mcpgateway.errors import BackendError, BadReply, GatewayError
from mcpgateway.inherited import InheritedPost
from mcpgateway.protocol import jsonrpc, modern
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.sse_reader import MESSAGE, Event, SseReader

RESUME_S, LONGEST_RESUME_S = 1.0, 30.0  # until a broken stream is resumed; doubles with each failure
SHORTEST_RESUME_S = 0.1  # the least, even if the server asks for less
RESUMPTIONS = 5  # in a row that fail
JSON = b"application/json"


class IOwner(Protocol):
    """The owner of a server's requests: sends them, and receives the messages that come back.

    :ivar server: the server's name.
    :ivar clock: clock of delays.
    """

    server: str
    clock: Any
    access: RemoteAccess

    def headers_for(self, post: PostRequest) -> dict[str, str]:
        """Return the headers of a request."""

    def headers_to_resume(self, last_id: bytes) -> dict[str, str] | None:
        """Return the headers that resume a stream; None if it cannot be resumed."""

    def opened(self, post: PostRequest, stream: WebStream) -> None:
        """Note that the server has accepted the request."""

    def hear(self, message: bytes) -> None:
        """Receive a message, which may be the response."""

    def answering(self, post: PostRequest, envelope: Envelope) -> bool:
        """Receive the response; return false to hold the request and send it once more."""

    def refused(self, post: PostRequest, status: int, error: Envelope | None) -> None:
        """Receive a refusal: its HTTP status, and its JSON-RPC error if it has one."""

    def failed(self, post: PostRequest, why: BackendError) -> None:
        """Receive the failure of a request that gets no answer."""

    def over(self, post: PostRequest) -> None:
        """The request is complete. Called once, as the last call, unless the request was aborted."""


class PostRequest:
    """A POST request and its response.

    :ivar id: its JSON-RPC id, as encoded.
    :ivar envelope: the first level of its body.
    :ivar body: its complete body.
    :ivar is_answered: True once its caller has got a response or an error.
    :ivar has_permit: True while it counts among the requests under way.
    :ivar is_open: True once the server has begun to answer.
    :ivar is_held: True if it is going to be sent once more, with other headers.
    """

    log = Logger()

    __slots__ = (
        "_attempts",
        "_doing",
        "_events",
        "_former",
        "_is_over",
        "_later",
        "_owner",
        "body",
        "envelope",
        "has_permit",
        "id",
        "is_answered",
        "is_held",
        "is_open",
        "method",
    )

    def __init__(self, owner: IOwner, envelope: Envelope, method: str, body: bytes) -> None:
        self.envelope = envelope
        self.method = method
        self.id = bytes(envelope["id"])
        self.body = body
        self.is_answered = False
        self.has_permit = False
        self.is_open = False
        self.is_held = False
        self._owner = owner
        self._doing: Deferred[Any] | None = None
        self._events: EventBody | None = None
        self._later: Any = None
        self._attempts = 0
        self._former: InheritedPost | None = None  # until the head of its answer is there
        self._is_over = False

    def send(self) -> None:
        """Send the request."""
        if self._is_over:
            return
        owner = self._owner
        self._do(owner.access.open("POST", owner.headers_for(self), self.body), self._opened, self._failed)

    @property
    def goes_on(self) -> bool:
        """True if the next program of this process can get the rest of the answer."""
        connection = self._connection
        is_kept = connection is not None and connection.goes_on
        return not (self._is_over or self.is_answered or self.is_held) and (is_kept or self._can_resume)

    @property
    def _connection(self) -> HttpConnection | None:
        if self._events is not None:
            return self._events.connection
        return self._owner.access.connection_of(self.body)

    @property
    def _can_resume(self) -> bool:
        events = self._events
        is_named = events is not None and bool(events.reader.last_id)
        return is_named and self._owner.headers_to_resume(b"") is not None

    def hand_over(self) -> InheritedPost:
        """Return it for the next program of this process; its owner gets no further call."""
        connection = self._connection
        is_kept = connection is not None and connection.goes_on
        descriptor, received = connection.hand_over() if connection is not None and is_kept else (-1, b"")
        self._is_over = True
        events = self._events
        heard, last_id = (events.heard, events.reader.last_id) if events is not None else (0, b"")
        return InheritedPost(self.id, self.method, descriptor, received, heard, last_id)

    def take_over(self, former: InheritedPost) -> None:
        """Go on with a request of the former program of this process."""
        if former.descriptor < 0:
            self._resume(SseReader(EVENT_LIMIT, former.last_event))
            return
        self._former = former
        adopted = self._owner.access.adopt(self.body, former.descriptor, former.received)
        self._do(adopted, self._opened, self._failed)

    def abort(self) -> None:
        """Abort the request; its owner gets no further call."""
        self._is_over = True
        doing, self._doing = self._doing, None
        events, self._events = self._events, None
        later, self._later = self._later, None
        if doing is not None:
            doing.cancel()
        if events is not None:
            events.abort()
        if later is not None:
            later.cancel()

    def _do(self, doing: Deferred[Any], done: Any, failed: Any) -> None:
        self._doing = doing
        doing.addCallbacks(self._did, self._did_not, callbackArgs=(done,), errbackArgs=(failed,))
        doing.addErrback(self._broken)

    def _did(self, result: Any, done: Any) -> None:
        self._doing = None
        if not self._is_over:
            done(result)

    def _did_not(self, why: Failure, failed: Any) -> None:
        self._doing = None
        if not self._is_over:
            why.trap(BackendError)
            failed(why.value)

    def _broken(self, why: Failure) -> None:
        # An unexpected exception must not leave a caller without an answer.
        self.log.failure("a request to {server} broke", why, event="remote.broken", server=self._owner.server)
        if not self._is_over:
            self._failed(BackendError("the gateway could not read the answer"))

    # The answer

    def _opened(self, stream: WebStream) -> None:
        self.is_open = True
        is_good = 200 <= stream.status < 300
        if is_good:
            self._owner.opened(self, stream)
        if self._is_over:
            stream.abort()
        elif is_good and is_stream(stream):
            former, self._former = self._former, None
            last_id, heard = (former.last_event, former.heard) if former is not None else (b"", 0)
            self._read(stream, last_id, heard)
        else:
            self._do(take_whole(stream, ANSWER_LIMIT), self._whole, self._failed)

    def _whole(self, answer: WebAnswer) -> None:
        if 200 <= answer.status < 300:
            self._take_json(answer)
        else:
            self._owner.refused(self, answer.status, error_in(answer))
            if self.is_answered:
                self._finish()

    def _take_json(self, answer: WebAnswer) -> None:
        if content_type(answer.headers) == JSON and answer.body:
            self._take_all(answer.body)
        if self.is_answered:
            self._finish()
        elif not self.is_held:
            self._failed(
                BadReply(f"it answered with HTTP {answer.status}, and with no answer to the request")
            )

    def _take_all(self, data: bytes) -> None:
        for each in members(data):
            if not self._is_over:
                self._take(each)

    def _take(self, message: bytes) -> None:
        owner = self._owner
        try:
            envelope = jsonrpc.decode(message)
        except GatewayError:
            owner.hear(message)  # counted and logged there
            return
        if "method" in envelope or self.is_answered:
            owner.hear(message)
            return
        identifier = bytes(envelope.get("id", jsonrpc.NULL))
        if identifier != self.id and (identifier != b"null" or "error" not in envelope):
            owner.hear(message)
            return
        self.answer(envelope, message if identifier == self.id else None)

    def answer(self, envelope: Envelope, message: bytes | None = None) -> None:
        """Take the first level of the response.

        :param message: its bytes; None if its id is another, as when the server could not read the request.
        """
        if not self._owner.answering(self, envelope):
            return
        self.is_answered = True
        self._owner.hear(jsonrpc.splice_id(envelope, self.id) if message is None else message)

    def fail(self, why: GatewayError) -> None:
        """Answer the request with an error in the server's place."""
        self.is_answered = True
        self._owner.hear(jsonrpc.error_bytes(self.id, why))

    def _failed(self, why: BackendError) -> None:
        if not self.is_answered:
            self._owner.failed(self, why)
        self._finish()

    def _finish(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._owner.over(self)

    # The stream of the response

    def _read(self, stream: WebStream, last_id: bytes, heard: int = 0) -> None:
        self._events = EventBody(stream, self, last_id, heard)
        self._events.begin()

    def event(self, event: Event) -> None:
        """Receive a message of the stream."""
        if event.kind == MESSAGE:
            self._take_all(event.data)

    def ended(self, why: BackendError | None) -> None:
        """Receive the end of the stream, and resume it if it broke."""
        events, self._events = self._events, None
        if self._is_over or self.is_held or events is None:
            return
        if self.is_answered:
            self._finish()
        elif isinstance(why, BadReply):
            self._failed(why)
        elif events.reader.last_id and self._owner.headers_to_resume(b"") is not None:
            self._resume_later(events.reader)
        elif self.method == modern.LISTEN:
            self._end_listening()
        else:
            self._failed(why or BackendError("it ended the stream before the answer"))

    def _end_listening(self) -> None:
        # In the words used for a server on stdio.
        self.is_answered = True
        params = {"requestId": self.envelope["id"], "reason": "the stream has ended"}
        self._owner.hear(jsonrpc.encode(jsonrpc.notification("notifications/cancelled", params)))
        self._finish()

    def _resume_later(self, reader: SseReader) -> None:
        wait_s = reader.retry_ms / 1000 if reader.retry_ms is not None else RESUME_S
        wait_s = max(wait_s, SHORTEST_RESUME_S) * 2**self._attempts
        self._later = self._owner.clock.callLater(min(wait_s, LONGEST_RESUME_S), self._resume, reader)

    def _resume(self, reader: SseReader) -> None:
        self._later = None
        headers = self._owner.headers_to_resume(reader.last_id) or {}

        def opened(stream: WebStream) -> None:
            if stream.status == 200 and is_stream(stream):
                self._attempts = 0
                self._read(stream, reader.last_id)
                return
            stream.abort()
            if stream.status < 500:
                self._failed(BackendError("the connection broke before the answer, which cannot be fetched"))
            else:
                failed(BackendError(f"it answered with HTTP {stream.status}"))

        def failed(why: BackendError) -> None:
            self._attempts += 1
            if self._attempts < RESUMPTIONS:
                self._resume_later(reader)
            else:
                self._failed(
                    BackendError(f"the connection broke before the answer; since then {why.message}")
                )

        self._do(self._owner.access.open("GET", headers), opened, failed)


def members(data: bytes) -> list[bytes]:
    """Return the messages of a body or an event: one, or those of an array, each without line breaks."""
    try:
        found = jsonrpc.read_batch(data)
    except GatewayError:
        found = None
    return [jsonrpc.one_line(each) for each in found or [data]]


def error_in(answer: WebAnswer) -> Envelope | None:
    """Return the JSON-RPC error in an answer; None if it has none."""
    try:
        envelope = jsonrpc.decode(answer.body)
    except GatewayError:
        return None
    is_error = "error" in envelope and "result" not in envelope and envelope.get("jsonrpc") == jsonrpc.VERSION
    return envelope if is_error else None
