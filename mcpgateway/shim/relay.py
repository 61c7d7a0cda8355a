"""Carries the client's lines to the gateway and the gateway's messages to the client.

# Note [Order on many connections]
Each request has a connection of its own, so requests may overtake each other, as they may in any server.  What is no
request (notifications, responses) and the first of a session may not: nothing behind it is sent before it has arrived.

# Note [What is sent again]
What the gateway cannot have read whole, what it has refused unread because it did not know the session, and what does
nothing when it comes twice, as answers to questions.  All else is sent once, also what was under way when its session
ended: its answer is fetched where its stream had event ids, or is an error.
"""

from __future__ import annotations

from mcpgateway.shim import jsontext
from mcpgateway.shim.answers import Post, Standing
from mcpgateway.shim.headers import Headers, header
from mcpgateway.shim.loop import Loop, Timer
from mcpgateway.shim.messages import INITIALIZED, Line, Session
from mcpgateway.shim.pool import Pool
from mcpgateway.shim.reachability import Link
from mcpgateway.shim.stdio import Remarks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Client(Protocol):
        """The client's side."""

        def say(self, message: bytes) -> None:
            """Tell the client one message."""

        def hold(self, *, is_held: bool) -> None:
            """Whether to read nothing from the client for now."""

        def idle(self) -> None:
            """Nothing is under way."""

        def deserted(self) -> None:
            """The gateway did not come back in time for what waits for it, or no longer knows the server."""


POSTS_LIMIT = 512  # requests under way; a client that has more waits
BYTES_LIMIT = 16 * 1024 * 1024  # that wait for the gateway
# A gateway that is restarted by whoever runs it is back sooner than this; only then do we start one.
START_AFTER_S = 3.0
TICK_S = 0.25
UNKNOWN_SERVER = "-32601"  # with HTTP 404, in the legacy era
ENDED = '"Session has ended"'  # what a gateway says of a call that was under way then
ID_BEGINS = ('"', *"-0123456789")
STREAM_PAUSE_S, STREAM_PAUSE_LIMIT_S = 1.0, 30.0


class Relay:
    """One client's conversation with one server.

    :ivar session: the session of the legacy era, as far as there is one.
    """

    def __init__(
        self,
        loop: Loop,
        pool: Pool,
        link: Link,
        headers: Headers,
        client: Client,
        remarks: Remarks,
        patience: float,
    ) -> None:
        self.session = Session()
        self._loop = loop
        self._pool = pool
        self._link = link
        self._headers = headers
        self._client = client
        self._remarks = remarks
        self._patience = patience
        self._number = 0
        self._queue: list[Post] = []
        self._flying: set[Post] = set()
        self._alone: Post | None = None
        self._renewal: Post | None = None
        self._former = b""
        self._stream: Standing | None = None
        self._stream_pause = STREAM_PAUSE_S
        self._wants_stream = False
        self._last_id = b""
        self._tick: Timer | None = None
        self._is_closed = False

    # From the client

    def line(self, text: bytes) -> None:
        """The client has said something."""
        try:
            line = Line(text)
        except jsontext.Unreadable:
            known = jsontext.member(text.decode(errors="replace"), "id") or ""
            name = known if known.startswith(ID_BEGINS) else jsontext.NULL
            self.say(jsontext.error(name, "Parse error", jsontext.PARSE_ERROR))
            return
        if line.target is not None and self._cancel(line.target):
            return
        if line.method == INITIALIZED:
            self.session.initialized = line
        self._number += 1
        self._queue.append(Post(self, line, self._number, self._loop.now()))
        self._pump()
        self._regulate()

    def _cancel(self, target: str) -> bool:
        """Call off a request whose connection says so; whether it was one."""
        for post in [*self._queue, *self._flying]:
            if target in post.line.ids and post.line.version:
                post.call_off()
                self.finished(post)
                return True
        # Without a session there is nobody else who could be told.
        return not self.session.id

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for anything that has an end."""
        return not self._queue and all(post.is_lasting for post in self._flying)

    def waiting(self) -> list[Line]:
        """Take what has not been sent, in its order."""
        lines = [post.line for post in self._queue if not post.is_silent and not post.last_id]
        self._queue = [post for post in self._queue if post.last_id]
        return lines

    # To the gateway

    def _pump(self) -> None:
        if self._is_closed:
            return
        while self._queue and self._alone is None and self._link.is_up:
            post = self._queue.pop(0)
            try:
                self._send(post)
            except OSError:
                self._queue.insert(0, post)
                self.lost_gateway()
                break
            self._flying.add(post)
            if post.goes_alone:
                self._alone = post
        if self._queue and self._tick is None:
            self._tick = self._loop.later(TICK_S, self._look_at_the_clock)

    def _send(self, post: Post) -> None:
        is_legacy = not post.line.version
        is_first = post.line.is_first_of_session
        more = post.headers() + (self.session.headers() if is_legacy and not is_first else [])
        post.session = self.session.id if is_legacy and not is_first else b""
        if post.last_id:
            request = self._headers.request(b"GET", more, stream=True)
        else:
            request = self._headers.request(b"POST", more, post.line.text)
        post.sent(self._pool.ask(request, post))

    def _look_at_the_clock(self) -> None:
        self._tick = None
        late = self._loop.now() - self._patience
        overdue = [post for post in self._queue if post.since < late]
        if overdue and not self._link.is_up:
            self._client.deserted()
        for post in overdue:
            if post in self._queue and not self._link.is_up:
                self._queue.remove(post)
                post.fail("The gateway is away")
        self._pump()

    # What answers say

    def say(self, message: bytes) -> None:
        """Tell the client."""
        self._client.say(message)

    def finished(self, post: Post) -> None:
        """Nothing more is expected of a post."""
        self._flying.discard(post)
        if post in self._queue:
            self._queue.remove(post)
        if post is self._alone:
            self._alone = None
        if post is self._renewal:
            self._renewal = None
            self._not_renewed()
        self._pump()
        self._regulate()

    def accepted(self, post: Post) -> None:
        """The gateway has taken a message that has no answer."""
        if post.line.method == INITIALIZED and self.session.id:
            self._wants_stream = True
            self._listen()

    def begun(self, post: Post, session: bytes, answer: bytes) -> None:
        """An `initialize` has been answered: the session begins, or goes on under another id."""
        self.session.begun(post.line, session, answer)
        if post is not self._renewal:
            self.session.initialized = None
            self._stop_listening()
        elif self.session.id:
            self._renewal = None
            self._remarks.say("the session is gone and has been begun again")
            if self.session.initialized is not None:
                self._own(self.session.initialized)

    def _own(self, line: Line) -> Post:
        post = Post(self, line, 0, self._loop.now(), is_silent=True)
        self._queue.insert(0, post)
        return post

    def unknown_session(self, post: Post, why: bytes) -> None:
        """The gateway does not know the session of a post: begin it again, and repeat what was not looked at."""
        is_current = post.session == self.session.id
        error = jsontext.member(why.decode(errors="replace"), "error") or ""
        if jsontext.member(error, "code") == UNKNOWN_SERVER:
            self._put_back(post)
            self._client.deserted()
            if self._is_closed:
                return
            self._queue.remove(post)
            self._flying.add(post)
        is_ended = jsontext.member(error, "message") == ENDED
        if is_ended and is_current:
            self._renew()
        if is_ended or post.was_renewed or post.last_id or self.session.hello is None:
            post.refuse(404, why)
            return
        post.was_renewed = True
        self.again(post)
        if is_current:
            self._renew()

    def _renew(self) -> None:
        if self._renewal is None and self.session.hello is not None:
            self._former, self.session.id = self.session.id, b""
            self._last_id = b""
            self._renewal = self._own(self.session.hello)
        self._pump()

    def _not_renewed(self) -> None:
        """The gateway does not want to begin the session again; it is asked once more by what is said next."""
        self.session.id = self.session.id or self._former
        for post in [each for each in self._queue if each.was_renewed]:
            post.fail("The session is gone, and the gateway did not begin it again")

    def again(self, post: Post) -> None:
        """A post is to be sent, or its answer to be fetched, once the gateway is there."""
        self._flying.discard(post)
        if post is self._alone:
            self._alone = None
        post.since = self._loop.now()
        if post.last_id:
            self._flying.add(post)
            self._loop.later(post.retry_ms / 1000, lambda: self._take_up(post))
            return
        self._put_back(post)
        self._pump()

    def _put_back(self, post: Post) -> None:
        self._flying.discard(post)
        self._queue.append(post)
        self._queue.sort(key=lambda each: each.number)

    def _take_up(self, post: Post) -> None:
        if post in self._flying:
            self._flying.discard(post)
            self._queue.insert(0, post)
            self._pump()

    # The gateway comes and goes

    def lost_gateway(self) -> None:
        """A connection has broken: ask whether anybody is there."""
        if not self._is_closed:
            self._link.seek(self, START_AFTER_S)

    def found(self) -> None:
        """The gateway is there."""
        self._pump()
        self._listen()

    def refused(self, status: int, why: str) -> None:
        """The gateway is there and will refuse what it is asked; in its own words."""
        if status == 404:
            self._client.deserted()
        self._pump()

    def begin(self) -> None:
        """The gateway has been found before."""
        self._pump()

    # The standing stream

    def _listen(self) -> None:
        if not self._wants_stream or self._stream is not None or not self._link.is_up or self._is_closed:
            return
        if not self.session.id:
            return
        stream = Standing(self, self._last_id)
        more = self.session.headers() + header(b"Last-Event-ID", self._last_id)
        try:
            stream.connection = self._pool.ask(self._headers.request(b"GET", more, stream=True), stream)
        except OSError:
            self.lost_gateway()
            return
        self._stream = stream

    def stream_ended(self, status: int) -> None:
        """The standing stream has ended; it is opened again unless the gateway has none."""
        stream, self._stream = self._stream, None
        if stream is None or self._is_closed:
            return
        self._last_id = stream.last_id
        if status == 405:
            self._wants_stream = False
            return
        if status == 404:
            self._renew()
            return
        if status == 400:
            self._last_id = b""
        if stream.heard:
            self._stream_pause = STREAM_PAUSE_S
            pause = stream.retry_ms / 1000
        else:
            pause = self._stream_pause
            self._stream_pause = min(2 * pause, STREAM_PAUSE_LIMIT_S)
        if status == 0:
            self.lost_gateway()
        self._loop.later(pause, self._listen)

    def _stop_listening(self) -> None:
        self._wants_stream = False
        self._last_id = b""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    # Ends

    def _regulate(self) -> None:
        size = sum(len(post.line.text) for post in self._queue)
        self._client.hold(is_held=len(self._flying) + len(self._queue) > POSTS_LIMIT or size > BYTES_LIMIT)
        if self.is_idle:
            self._client.idle()

    def abandon(self, why: str) -> None:
        """Tell the client that nothing under way will be answered."""
        self.close()
        for post in [*self._flying, *self._queue]:
            post.fail(why)

    def close(self) -> None:
        """Take part in nothing any more."""
        self._is_closed = True
        self._stop_listening()
        if self._tick is not None:
            self._tick.cancel()
        self._link.give_up()
