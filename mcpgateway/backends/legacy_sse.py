"""A server behind HTTP+SSE (MCP 2024-11-05): one event stream from it, POST requests to the endpoint that it names.

GET url                     event: endpoint, data: where to POST; then every message of the server's
any message                 POST to that endpoint, 202; the answer comes on the stream
the end                     of the stream
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, succeed  # noqa: A004 - what a wait ends with
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.backends.http.client import Web
from mcpgateway.backends.http.event_stream import EVENT_LIMIT, EventBody, is_stream
from mcpgateway.backends.http.post import error_in, members
from mcpgateway.backends.http.response import WebAnswer, WebStream
from mcpgateway.backends.remote_access import IAuthorizer, RemoteAccess
from mcpgateway.backends.streamable import UNAUTHORIZED, Streamable, refusal
from mcpgateway.config.reach_settings import Remote
from mcpgateway.errors import (
    BackendError,
    BackendGone,
    BackendTimeout,
    BadReply,
    GatewayError,
    NeedsLogin,
    Overloaded,
    UnknownMethod,
    Unreachable,
    named,
)
from mcpgateway.inherited import Inherited, InheritedStream
from mcpgateway.interfaces import Gone, ILineReceiver, Launch
from mcpgateway.policy import urls
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.sse_reader import MESSAGE, Event
from mcpgateway.protocol.versions import Era
from mcpgateway.waiting import Waiting

ENDPOINT = b"endpoint"
ENDPOINT_S = 10.0  # until the stream has named the endpoint
POST_S = 30.0
QUEUE_LIMIT = 16 * 2**20  # bytes that wait for the endpoint
AT_ONCE = 1000  # messages under way


class SseConnection:
    """The event stream of a server with HTTP+SSE, and the POST requests to its endpoint.

    :param before: the attempts that failed before, as the beginning of a sentence; empty for none.
    """

    log = Logger()
    pid = heard = 0

    def __init__(
        self,
        reactor: Any,
        web: Web,
        launch: Launch,
        remote: Remote,
        receiver: ILineReceiver,
        authorizer: IAuthorizer | None = None,
        before: str = "",
    ) -> None:
        self.server = launch.server
        self._clock = reactor
        self._access = RemoteAccess(web, launch.server, remote, authorizer)
        self._receiver = receiver
        self._before = before
        self._is_modern = launch.era is Era.MODERN
        self._endpoint = ""
        self._waiting: list[bytes] = []
        self._queued = 0  # bytes
        self._posts: set[Deferred[Any]] = set()
        self._opening: Deferred[Any] | None = None
        self._events: EventBody | None = None
        self._late: Any = None
        self._is_stopping = False
        self._has_ended = False
        self._stopped = Waiting[None]()
        self._heard = 0  # events that the former program of this process has passed on
        if isinstance(launch.inherited, InheritedStream):
            self._take_over(launch.inherited)

    def _take_over(self, former: InheritedStream) -> None:
        self._access.url, self._endpoint, self._heard = former.url, former.endpoint, former.heard
        self._follow(self._access.adopt(b"", former.descriptor, former.received))

    # What the hub asks

    def write(self, line: bytes, *, now: bool = False) -> None:
        """Send one message to the server.

        :raise Overloaded: too many messages wait for the server.
        :raise BackendGone: the connection is lost, or being closed.
        """
        if self._has_ended or self._is_stopping:
            raise BackendGone(f"{self.server} is not connected")
        if self._is_modern:
            self._clock.callLater(0, self._decline, line)
            return
        body = line.rstrip(b"\n")
        if self._endpoint:
            self._post(body)
            return
        self._queued += len(body)
        if self._queued > QUEUE_LIMIT:
            raise Overloaded(f"{self.server} does not begin; {QUEUE_LIMIT >> 20} MiB wait for it")
        self._waiting.append(body)
        if self._opening is None and self._events is None:
            self._open()

    @property
    def goes_on(self) -> bool:
        """True if the next program of this process can take the stream over."""
        is_open = self._events is not None and self._events.connection.goes_on and bool(self._endpoint)
        return is_open and not (self._has_ended or self._is_stopping)

    def keeps(self, number: int) -> bool:
        """Return whether a call under way goes on: each does, once the server has taken the messages."""
        return not self._posts

    def hand_over(self) -> InheritedStream:
        """Return the stream for the next program of this process, and leave it open."""
        events, self._has_ended = self._events, True
        assert events is not None
        left = events.connection.hand_over()
        self._posts.clear()  # they are written: a reset of their connections could take them back
        self._drop()
        return InheritedStream(self._access.url, self._endpoint, *left, events.heard)

    def stop(self) -> Deferred[None]:
        """End the stream, and the session with it; fires when it has ended."""
        if self._has_ended:
            return succeed(None)
        done = self._stopped.wait()
        self._leave("it was stopped")
        return done

    def kill(self) -> None:
        """Drop every connection; ``gone`` follows."""
        self._leave("its connections were dropped")

    def stderr_tail(self) -> str:
        """Return an empty text: a remote server has no stderr."""
        return ""

    def _leave(self, why: str) -> None:
        if not self._is_stopping:
            self._is_stopping = True
            self._drop()
            self._clock.callLater(0, self._end, Gone(fault=why))

    def _decline(self, line: bytes) -> None:
        # This transport was deprecated before there was a revision of the modern era.
        envelope = jsonrpc.decode(line)
        if "id" in envelope and "method" in envelope:
            why = UnknownMethod("Method not found: HTTP+SSE servers speak revisions up to 2024-11-05")
            self._hear(jsonrpc.error_bytes(bytes(envelope["id"]), why))

    # The stream

    def _open(self) -> None:
        self._late = self._clock.callLater(ENDPOINT_S, self._too_late)
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        self._follow(self._access.open("GET", headers))

    def _follow(self, opening: Deferred[WebStream]) -> None:
        self._opening = opening
        self._opening.addCallbacks(self._opened, self._not_opened).addErrback(self._broken)

    def _opened(self, stream: WebStream) -> None:
        self._opening = None
        if self._has_ended or self._is_stopping:
            stream.abort()
        elif stream.status == 200 and is_stream(stream):
            self._events = EventBody(stream, self, heard=self._heard, skips=True)
            self._events.begin()
        else:
            stream.abort()
            why = refusal(self.server, stream.status, None)
            if stream.status == 200:
                why = BackendError("it does not answer with an event stream")
            self._lose(why)

    def _not_opened(self, why: Failure) -> None:
        self._opening = None
        if not why.check(CancelledError):
            self._lose(_told(why))

    def _broken(self, why: Failure) -> None:
        self.log.failure("the stream of {server} broke", why, event="remote.broken", server=self.server)
        self._lose(BackendError("the gateway could not read the answer"))

    def _too_late(self) -> None:
        self._late = None
        self._lose(BackendError(f"it does not say within {ENDPOINT_S:g} s where to send messages"))

    def event(self, event: Event) -> None:
        """Receive the endpoint, or a message."""
        if event.tail is not None:
            self._pass_over(event, event.tail)
        elif event.kind == MESSAGE:
            for each in members(event.data):
                self._hear(each)
        elif event.kind == ENDPOINT and not self._endpoint:
            self._named(event.data)

    def _pass_over(self, event: Event, tail: bytes) -> None:
        # All sessions share this stream: an event that is too long fails one call only.
        why = BadReply(f"{self.server} sent an answer of more than {EVENT_LIMIT} bytes")
        identifier = jsonrpc.id_at_ends(event.data, tail) if event.kind == MESSAGE else None
        self.log.error(
            "{server} sent more than {limit} bytes in one event",
            event="remote.event_too_long",
            server=self.server,
            limit=EVENT_LIMIT,
        )
        if identifier is None:
            self._lose(BadReply(f"an event has more than {EVENT_LIMIT} bytes"))
        else:
            self._hear(jsonrpc.error_bytes(identifier, why))

    def ended(self, why: BackendError | None) -> None:
        """Note the end of the stream, and with it of the session."""
        self._events = None
        if not self._has_ended and not self._is_stopping:
            self._lose(why or BackendError("it has ended the stream"))

    def _named(self, data: bytes) -> None:
        try:
            self._endpoint = urls.stay(self._access.url, data.decode(errors="replace"), "its endpoint leads")
        except BackendError as why:
            self._lose(why)
            return
        self._call_off()
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            self._post(each)

    def _hear(self, message: bytes) -> None:
        if not self._has_ended and not self._is_stopping:
            self._receiver.line_received(message)

    # Messages

    def _post(self, body: bytes) -> None:
        if len(self._posts) >= AT_ONCE:
            raise Overloaded(f"{self.server} does not take its messages; {AT_ONCE} wait for it")
        headers = {"Content-Type": "application/json"}
        posting = self._access.request("POST", headers, body, self._endpoint).addTimeout(POST_S, self._clock)
        self._posts.add(posting)
        posting.addCallbacks(self._posted, self._not_posted, callbackArgs=(body,), errbackArgs=(body,))
        posting.addErrback(self._broken).addBoth(lambda _: self._posts.discard(posting))

    def _posted(self, answer: WebAnswer, body: bytes) -> None:
        if answer.status == 404:
            self._end(Gone(fault="the server does not know its session any more"))
        elif answer.status >= 400:
            why = refusal(self.server, answer.status, error_in(answer))
            self._fail(body, why)
            if answer.status == UNAUTHORIZED:
                self._lose(why)  # the next connection shows whether the authorization is accepted again
        elif answer.body.lstrip()[:1] in (b"{", b"["):
            self._take(answer.body)  # some servers answer here and not on the stream

    def _take(self, body: bytes) -> None:
        for each in members(body):
            try:
                envelope = jsonrpc.decode(each)
            except GatewayError:
                continue
            if envelope.get("jsonrpc") == jsonrpc.VERSION:
                self._hear(each)

    def _not_posted(self, why: Failure, body: bytes) -> None:
        if self._has_ended or self._is_stopping:
            return
        if why.check(TimeoutError):
            self._fail(body, BackendTimeout(f"it does not take a message within {POST_S:g} s"))
        else:
            self._fail(body, _told(why))

    def _fail(self, body: bytes, why: BackendError) -> None:
        envelope = jsonrpc.decode(body)
        if "id" in envelope and "method" in envelope:
            why = named(self.server, self._explained(why))
            self._hear(jsonrpc.error_bytes(bytes(envelope["id"]), why))

    # The end

    def _lose(self, why: BackendError) -> None:
        why = self._explained(why)
        fault = why.plain if isinstance(why, NeedsLogin) else why.message
        self._end(
            Gone(fault=fault, is_unreachable=isinstance(why, Unreachable), error=named(self.server, why))
        )

    def _explained(self, why: BackendError) -> BackendError:
        before = f"{self._before} to POST, and then " if self._before else ""
        return type(why)(before + why.message, why.hint, why.data)

    def _call_off(self) -> None:
        timer, self._late = self._late, None
        if timer is not None:
            timer.cancel()

    def _drop(self) -> None:
        self._call_off()
        self._waiting.clear()
        opening, self._opening = self._opening, None
        events, self._events = self._events, None
        if opening is not None:
            opening.cancel()
        if events is not None:
            events.abort()
        for each in list(self._posts):
            each.cancel()

    def _end(self, gone: Gone) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        self._drop()
        self._receiver.gone(gone)
        self._stopped.over(None)


def _told(why: Failure) -> BackendError:
    assert isinstance(why.value, BackendError)
    return why.value


class GuessedTransport:
    """A server of which only the URL is known: tried as Streamable HTTP, and as HTTP+SSE if it refuses the POST.

    See MCP 2025-11-25, basic/transports, "Backwards Compatibility".
    """

    pid = heard = 0
    _backend: Streamable | SseConnection

    def __init__(
        self,
        reactor: Any,
        web: Web,
        launch: Launch,
        remote: Remote,
        receiver: ILineReceiver,
        authorizer: IAuthorizer | None = None,
    ) -> None:
        def fall_back(line: bytes, before: str) -> None:
            self._backend = SseConnection(reactor, web, launch, remote, receiver, authorizer, before)
            self._backend.write(line)

        self._backend = Streamable(reactor, web, launch, remote, receiver, authorizer, fall_back)

    def write(self, line: bytes, *, now: bool = False) -> None:
        """Send one message to the server."""
        self._backend.write(line, now=now)

    @property
    def goes_on(self) -> bool:
        """True if the next program of this process can take the session over."""
        return self._backend.goes_on

    def keeps(self, number: int) -> bool:
        """Return whether a call under way goes on with the session."""
        return self._backend.keeps(number)

    def hand_over(self) -> Inherited:
        """Return the session for the next program of this process."""
        return self._backend.hand_over()

    def stop(self) -> Deferred[None]:
        """End the session and its connections; fires when it has ended."""
        stopped: Deferred[None] = self._backend.stop()
        return stopped

    def kill(self) -> None:
        """Close every connection."""
        self._backend.kill()

    def stderr_tail(self) -> str:
        """Return an empty text: a remote server has no stderr."""
        return ""
