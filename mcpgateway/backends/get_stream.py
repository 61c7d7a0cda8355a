"""The standing stream of a session: the server's messages that belong to no request (legacy era, GET)."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.backends.http.event_stream import EventBody, is_stream
from mcpgateway.backends.http.response import WebStream
from mcpgateway.backends.remote_access import RemoteAccess
from mcpgateway.errors import BackendError, NeedsAuthorization, Unreachable
from mcpgateway.protocol.sse_reader import MESSAGE, Event

RETURN_S, LONGEST_RETURN_S = 1.0, 30.0  # until a lost stream is opened again; doubles with each failure
SHORTEST_RETURN_S = 0.1  # the least, even if the server asks for less
TRIES = 10  # failures in a row, after which the server is taken to have no standing stream
UNREACHABLE_TRIES = 3  # failures in a row, after which the server is taken to be unreachable
STEADY_S = 5.0  # a stream that lasted so long counts as no failure
PASSING = frozenset((408, 409, 425, 429))  # refusals that may be temporary


class IStreamListener(Protocol):
    """Receives the messages of a server's GET stream.

    :ivar server: the server's name.
    """

    server: str
    clock: Any
    access: RemoteAccess

    def headers_to_listen(self, last_id: bytes) -> dict[str, str]:
        """Return the headers of the GET request."""

    def hear_all(self, data: bytes) -> None:
        """Receive one message, or an array of several."""

    def forgotten(self) -> None:
        """Note that the server does not know the session any more."""

    def unreachable(self, why: Unreachable) -> None:
        """Note that the server has not been reachable for `UNREACHABLE_TRIES` attempts."""


class ServerStream:
    """The standing stream of a session, opened again whenever it is lost.

    :ivar is_open: True while the stream stands.
    :param last_id: the id of the latest event of a stream that the former program of this process had; None for none.
    """

    log = Logger()

    def __init__(self, owner: IStreamListener, last_id: bytes | None = None) -> None:
        self.is_open = False
        self._owner = owner
        self._doing: Deferred[Any] | None = None
        self._events: EventBody | None = None
        self._later: Any = None
        self._was_open = last_id is not None
        self._since = 0.0
        self._is_useful = False  # an event has come since it was opened
        self._last_id = last_id or b""
        self._wait_s = RETURN_S
        self._failures = 0
        self._is_closed = False

    @property
    def last_id(self) -> bytes | None:
        """The id of its latest event, empty for none; None if it was never open."""
        if not self._was_open:
            return None
        return self._last_id if self._events is None else self._events.reader.last_id

    def open(self) -> None:
        """Request the stream."""
        self._later = None
        headers = self._owner.headers_to_listen(self._last_id)
        self._doing = self._owner.access.open("GET", headers, asks=False)
        self._doing.addCallbacks(self._opened, self._not_opened).addErrback(self._broken)

    def close(self) -> None:
        """Close the stream for good."""
        self._is_closed = True
        self.is_open = False
        doing, self._doing = self._doing, None
        events, self._events = self._events, None
        later, self._later = self._later, None
        if doing is not None:
            doing.cancel()
        if events is not None:
            events.abort()
        if later is not None:
            later.cancel()

    def _opened(self, stream: WebStream) -> None:
        self._doing = None
        if self._is_closed:
            stream.abort()
        elif stream.status == 200 and is_stream(stream):
            self._begin(stream)
        else:
            stream.abort()
            self._refused(stream.status)

    def _begin(self, stream: WebStream) -> None:
        self.is_open = self._was_open = True
        self._is_useful = False
        self._since = self._owner.clock.seconds()
        self._events = EventBody(stream, self, self._last_id)
        self._events.begin()

    def _refused(self, status: int) -> None:
        if status == 404 and self._was_open:
            self._owner.forgotten()
        elif status < 500 and status not in PASSING:
            return  # the server has none
        else:
            self._return()

    def _not_opened(self, why: Failure) -> None:
        self._doing = None
        if self._is_closed:
            return
        why.trap(BackendError)
        if isinstance(why.value, NeedsAuthorization):
            return  # calls report the authorization that the user has to give
        if isinstance(why.value, Unreachable) and self._failures + 1 >= UNREACHABLE_TRIES:
            self._owner.unreachable(why.value)
        else:
            self._return()

    def _broken(self, why: Failure) -> None:
        self.log.failure(
            "the stream of {server} broke", why, event="remote.broken", server=self._owner.server
        )

    def _return(self) -> None:
        wait_s = min(self._wait_s * 2**self._failures, LONGEST_RETURN_S)
        self._failures += 1
        if self._failures > TRIES:
            self.log.warn(
                "{server} does not open its standing stream again; its own notifications are lost",
                event="remote.deaf",
                server=self._owner.server,
            )
            return
        self._later = self._owner.clock.callLater(wait_s, self.open)

    # What comes

    def event(self, event: Event) -> None:
        """Receive one event of the stream."""
        self._is_useful = True
        if event.kind == MESSAGE:
            self._owner.hear_all(event.data)

    def ended(self, why: BackendError | None) -> None:
        """Note that the stream has ended, or its connection is lost."""
        events, self._events = self._events, None
        self.is_open = False
        if self._is_closed or events is None:
            return
        self._last_id = events.reader.last_id
        if events.reader.retry_ms is not None:
            self._wait_s = max(events.reader.retry_ms / 1000, SHORTEST_RETURN_S)
        if self._is_useful or self._owner.clock.seconds() - self._since >= STEADY_S:
            self._failures = 0
        self._return()
