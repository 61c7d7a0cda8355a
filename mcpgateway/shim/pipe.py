"""The connection to the gateway, which relays the client's lines to the gateway and the gateway's lines to the client.

A GET with ``Upgrade: mcp-stdio`` becomes a connection of lines; the gateway holds the session and its state.  Lines
that begin with ``#`` are for the shim (`mcpgateway.frontends.stdio`): ``#session ID`` names the session, which the next
connection resumes, and ``#closing COUNT`` is the number of lines that a closing gateway has taken.

# Note [What is sent again]
When a connection ends, lines are sent again that were not sent whole, that a closing gateway has not taken, or whose
repetition has no effect.  All others are sent once: a request whose answer is lost is answered with an error.

# Note [A session that is gone]
Where the gateway does not know the session any more, the shim repeats its handshake, without the client's noticing.
"""

from __future__ import annotations

import _socket
import errno

from mcpgateway.hints import cli
from mcpgateway.shim import jsontext
from mcpgateway.shim.jsontext import PARSE_ERROR
from mcpgateway.shim.locations import GatewayAddress
from mcpgateway.shim.loop import READ, WRITE, Loop, Timer
from mcpgateway.shim.messages import INITIALIZED, Line, cancelled, known_id
from mcpgateway.shim.startup import Starter
from mcpgateway.shim.stdio import PIECE, Remarks
from mcpgateway.shim.upgrade import UpgradeAnswer, check_owner, read_answer, refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class LineClient(Protocol):
        """The interface of the client's side."""

        def found(self) -> None:
            """Called when the gateway answers and knows the server."""

        def refused(self, status: int, why: str) -> None:
            """Called when the gateway refuses the connection: the server is unknown, or the client is not allowed."""

        def say(self, message: bytes) -> None:
            """Send one message to the client."""

        def hold(self, *, is_held: bool) -> None:
            """Pause or resume reading from the client."""

        def idle(self) -> None:
            """Called when no request is under way."""

        def deserted(self) -> None:
            """Called when the gateway did not come back in time for waiting lines, or no longer knows the server."""


LINES_LIMIT = 512  # requests under way, and lines that wait; beyond it no more is read from the client
BYTES_LIMIT = 16 * 1024 * 1024  # of lines that wait for the gateway
SENT_LIMIT = 512  # lines that are kept until the gateway is known to have taken them
TRIES_LIMIT = 3  # for one line that gateways do not take
# A restart of the gateway takes less time than this; only then does the shim start one.
START_AFTER_S = 3.0
TICK_S = 0.25
FIRST_PAUSE_S, LAST_PAUSE_S = 0.02, 1.0
ANSWER_S = 5.0  # for a gateway that runs but is busy
# A full backlog, and a socket of another user: starting another gateway would help neither.
PRESENT = (errno.EAGAIN, errno.EACCES, errno.EPERM)
UNDER_WAY = (errno.EINPROGRESS, errno.EAGAIN, errno.EINTR)
OVERLOADED = (429, 500, 502, 503, 504)
UNKNOWN_SERVER = "-32601"  # with HTTP 404
REFUSED = -32000
LOST = "The gateway went away, and the answer is lost: the request is not sent twice"
AWAY = "The gateway is away"
OLDER = f"The gateway is older than this program; start it anew: {cli('restart')}"

DOWN, CONNECTING, ASKING, UP, LEAVING = range(5)


class Pipe:
    """One client's connection with one server, kept up over successive connections to the gateway.

    :ivar hello: the client's `initialize`, once that has been answered.
    :ivar initialized: its `notifications/initialized`.
    :ivar since: the time when the gateway was found away.
    """

    def __init__(
        self,
        loop: Loop,
        address: GatewayAddress,
        request: list[bytes],
        starter: Starter | None,
        client: LineClient,
        remarks: Remarks,
        patience: tuple[float, float],
    ) -> None:
        self.hello: Line | None = None
        self.initialized: Line | None = None
        self.since = loop.now()
        self._loop = loop
        self._address = address
        self._request = request
        self._starter = starter
        self._client = client
        self._remarks = remarks
        self._patience = patience
        self._start_after = 0.0
        self._pause = FIRST_PAUSE_S
        self._retry: Timer | None = None
        self._limit: Timer | None = None
        self._tick: Timer | None = None
        self._state = DOWN
        self._is_closed = False
        self._is_held = False
        self._socket: _socket.socket | None = None
        self._descriptor = -1
        self._came = bytearray()
        self._session = b""
        self._line_limit = 0
        self._number = 0
        self._queue: list[Line] = []
        self._current: Line | None = None
        self._left = memoryview(b"")
        self._sent: list[Line] = []
        self._places = 0
        self._taken: int | None = None
        self._waiting: dict[str, Line] = {}

    # From the client

    def line(self, text: bytes) -> None:
        """Take a line from the client."""
        try:
            line = Line(text)
        except jsontext.Unreadable:
            self._client.say(jsontext.error(known_id(text), "Parse error", PARSE_ERROR))
            return
        if line.target is not None and self._call_off(line.target):
            return
        if self._line_limit and len(text) > self._line_limit:
            self._fail(line, "Request body too large", REFUSED)
            return
        if line.method == INITIALIZED:
            self.initialized = line
        self._number += 1
        line.number, line.since = self._number, self._loop.now()
        self._queue.append(line)
        if self._state == UP:
            self._pump()
        elif self._state == DOWN and self._retry is None:
            self.seek(START_AFTER_S)  # the gateway has refused before
        self._regulate()

    def _call_off(self, target: str) -> bool:
        # True if the gateway need not get the cancellation: the request has not been sent, or is not awaited any more.
        for line in self._queue:
            if target in line.ids and len(line.ids) == 1:
                self._queue.remove(line)
                return True
        self._waiting.pop(target, None)
        return self._state != UP

    @property
    def is_idle(self) -> bool:
        """True if no request that has an end is under way."""
        is_waiting = any(not line.is_lasting for line in self._waiting.values())
        return not (self._queue or self._current or is_waiting)

    def waiting(self) -> list[Line]:
        """Remove and return the lines that have not been sent, in order."""
        lines = [line for line in self._queue if not line.is_silent]
        self._queue.clear()
        return lines

    def _fail(self, line: Line, why: str, code: int = jsontext.INTERNAL_ERROR, error: str = "") -> None:
        for each in line.ids if line.is_question and not line.is_silent else ():
            self._waiting.pop(each, None)
            whole = jsontext.answer(each, "error", error) if error else jsontext.error(each, why, code)
            self._client.say(whole)

    def _regulate(self) -> None:
        size = sum(len(line.text) for line in self._queue)
        is_much = len(self._waiting) + len(self._queue) > LINES_LIMIT or size > BYTES_LIMIT
        self._client.hold(is_held=is_much)
        if self._queue and self._state != UP and self._tick is None:
            self._tick = self._loop.later(TICK_S, self._look_at_the_clock)
        if self.is_idle:
            self._client.idle()

    def _look_at_the_clock(self) -> None:
        self._tick = None
        late = self._loop.now() - self._patience[self._starter is not None and self._starter.is_stopped()]
        overdue = [line for line in self._queue if line.since < late]
        if overdue and self._state != UP:
            self._client.deserted()
            for line in overdue:
                if line in self._queue:
                    self._queue.remove(line)
                    self._fail(line, AWAY)
        if not self._is_closed:
            self._regulate()

    # Looking for the gateway

    def seek(self, start_after: float) -> None:
        """Connect, and try again until the gateway answers; start the gateway when it stays away for so long."""
        self._start_after = start_after
        self.since = self._loop.now()
        if self._retry is None and self._state == DOWN:
            self._connect()

    def _connect(self) -> None:
        self._retry = None
        address = self._address
        try:
            if address.family == _socket.AF_UNIX:
                check_owner(str(address.where))
            made = self._socket = _socket.socket(address.family, _socket.SOCK_STREAM)
            self._descriptor = made.fileno()
            made.setblocking(False)
            code = made.connect_ex(address.where)
            # connect() to a Unix socket with a full backlog fails with EAGAIN, and is not in progress.
            if code and (
                code not in UNDER_WAY or (code == errno.EAGAIN and address.family == _socket.AF_UNIX)
            ):
                raise OSError(code, "connect")
            if address.family != _socket.AF_UNIX:
                made.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
                made.setsockopt(_socket.SOL_SOCKET, _socket.SO_KEEPALIVE, 1)
        except OSError as why:
            self._hang_up()
            self._again(is_away=why.errno not in PRESENT)
            return
        self._limit = self._loop.later(ANSWER_S, self._late)
        if code:
            self._state = CONNECTING
            self._watch()
        else:
            self._ask()

    def _ask(self) -> None:
        self._state = ASKING
        session = [b"Mcp-Session-Id: " + self._session] if self._session else []
        self._left = memoryview(b"\r\n".join([*self._request, *session]) + b"\r\n\r\n")
        self._send()
        self._watch()

    def _late(self) -> None:
        self._limit = None
        self._hang_up()
        self._again(is_away=False)

    def _again(self, *, is_away: bool) -> None:
        """Try once more after a pause; a gateway that is away may be started."""
        if is_away and self._starter is not None and self._loop.now() - self.since >= self._start_after:
            try:
                if self._starter.start():
                    self._remarks.say("the gateway is away and is being started")
            except OSError as why:
                self._remarks.complain(f"the gateway cannot be started: {why.strerror}")
        if not self._is_closed:
            self._retry = self._loop.later(self._pause, self._connect)
            self._pause = min(self._pause * 1.5, LAST_PAUSE_S)

    def _answered(self) -> None:
        answer = read_answer(bytes(self._came))
        if answer is None:
            return
        if answer.is_upgraded:
            self._up(answer)
        else:
            self._refused(answer.status, answer.body)

    def _refused(self, status: int, body: bytes) -> None:
        self._hang_up()
        why = refusal(body)
        text = jsontext.member(body.decode(errors="replace"), "error") or ""
        if status in OVERLOADED or not why:
            self._remarks.complain(f"what answers with HTTP {status} is no gateway that can be used")
            self._again(is_away=False)
        elif status == 404 and self._session and jsontext.member(text, "code") != UNKNOWN_SERVER:
            self._session = b""  # see Note [A session that is gone]
            self._connect()
        elif status in (200, 401, 403, 404):  # 200 for a server that its user has yet to approve
            self._turned_away(status, why, text)
        else:
            self._turned_away(status, OLDER, "")

    def _turned_away(self, status: int, why: str, error: str) -> None:
        self._client.refused(status, why)
        for line in self.waiting():
            self._fail(line, why, error=error)
        if not self._is_closed:
            self._regulate()

    # The connection

    def _up(self, answer: UpgradeAnswer) -> None:
        if self._limit is not None:
            self._limit.cancel()
        self._state = UP
        self._line_limit = answer.line_limit
        self._sent.clear()
        self._places = 0
        self._taken = None
        self._came.clear()
        if self.hello is not None and not self._session:
            repeated = [self.hello] if self.initialized is None else [self.hello, self.initialized]
            # Lines that were never sent keep their turn.
            self._queue[:0] = [line.silent() for line in repeated if line not in self._queue]
        self._client.found()
        if answer.body:
            self._take(answer.body)
        self._pump()
        self._regulate()

    def _pump(self) -> None:
        """Send waiting lines, as far as the gateway takes them."""
        while self._state == UP and not self._left:
            if self._current is not None:
                self._was_sent(self._current)
            self._current = self._queue.pop(0) if self._queue else None
            if self._current is None:
                break
            self._left = memoryview(self._current.text + b"\n")
            self._send()
        self._watch()

    def _was_sent(self, line: Line) -> None:
        self._places += 1
        line.place = self._places
        self._sent.append(line)
        if len(self._sent) > SENT_LIMIT:
            del self._sent[0]
        self._waiting.update(dict.fromkeys(line.ids, line))

    def _send(self) -> None:
        try:
            while self._left and self._socket is not None:
                self._left = self._left[self._socket.send(self._left[: 16 * PIECE]) :]
        except OSError:
            return  # the buffer is full; or the connection has failed, which the next event reports

    def _watch(self) -> None:
        if self._socket is None:
            return
        reads = 0 if self._is_held and self._state == UP else READ
        events = WRITE if self._state == CONNECTING else reads | (WRITE if self._left else 0)
        if events:
            self._loop.watch(self._descriptor, events, self._ready)
        else:
            self._loop.forget(self._descriptor)  # or the loop would report its end again and again

    def hold(self, *, is_held: bool) -> None:
        """Pause or resume reading from the gateway, because the client is behind."""
        if is_held != self._is_held:
            self._is_held = is_held
            self._watch()

    def _ready(self, mask: int) -> None:
        made = self._socket
        if made is None:
            return
        if self._state == CONNECTING:
            if made.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR):
                self._hang_up()
                self._again(is_away=True)
            else:
                self._ask()
            return
        if self._left and mask & WRITE:
            self._send()
        if mask & ~WRITE and not (self._is_held and self._state == UP):
            self._receive(made)
        elif mask & ~(READ | WRITE):
            self._loop.forget(self._descriptor)  # its end is read when reading goes on
            return
        if self._state == UP:
            self._pump()
        else:
            self._watch()

    def _receive(self, made: _socket.socket) -> None:
        try:
            data = made.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._ended()
        elif self._state == ASKING:
            self._came += data
            self._answered()
        elif self._state == UP:
            self._take(data)

    def _take(self, data: bytes) -> None:
        start = 0
        while (end := data.find(b"\n", start)) >= 0 and self._state == UP:
            line, start = data[start:end], end + 1
            if self._came:
                line = bytes(self._came) + line
                self._came.clear()
            self._received(line)
        self._came += data[start:]

    def _received(self, line: bytes) -> None:
        self._pause = FIRST_PAUSE_S
        if line.startswith(b"#"):
            word, _, value = line[1:].partition(b" ")
            if word == b"session":
                self._session = value
            elif word == b"closing" and value.isdigit():
                self._taken = int(value)
            return
        try:
            message = jsontext.glanced(line)
        except jsontext.Unreadable:
            return
        is_ours = False
        for each in message if isinstance(message, list) else [message]:
            if isinstance(each, dict) and "method" not in each:
                is_ours = self._has_answer(each) or is_ours
        if not is_ours:
            self._client.say(line)
            self._regulate()

    def _has_answer(self, message: dict[str, object]) -> bool:
        """Register the answer to one of the client's requests; true if the shim had sent the request."""
        line = self._waiting.pop(jsontext.identifier(message) or "", None)
        if line is None:
            return False
        while self._sent and self._sent[0].place <= line.place:
            del self._sent[0]  # the gateway takes lines in order
        if line.is_silent:
            begun = "has been begun again" if "result" in message else "cannot be begun again"
            self._remarks.say(f"the session is gone and {begun}")
        elif line.is_first_of_session and "result" in message:
            self.hello, self.initialized = line, None
        return line.is_silent

    # Its end

    def _ended(self) -> None:
        """Handle the end of the connection."""
        state = self._state
        self._hang_up()
        if state == LEAVING:
            self._loop.stop()
        elif state == ASKING:
            self._again(is_away=True)
        elif state == UP:
            self._recover()
            self._start_after = START_AFTER_S
            self.since = self._loop.now()
            self._again(is_away=False)
            self._regulate()

    def _recover(self) -> None:
        """Queue the lines that can be sent again, and answer the other requests; see Note [What is sent again]."""
        taken, self._taken = self._taken, None
        current, self._current = self._current, None
        again = [line for line in self._sent if line.may_come_again(taken)]
        if current is not None:
            again.append(current)
        waiting = {line.number: line for line in self._waiting.values() if line not in again}
        self._waiting.clear()
        self._sent.clear()
        for line in waiting.values():
            if line.is_repeatable and taken is None:
                again.append(line)
            elif line.is_lasting:
                for each in line.ids:
                    self._client.say(cancelled(each, "The gateway went away"))
            else:
                self._fail(line, LOST)
        for line in [each for each in again if not each.is_silent]:
            line.since = self._loop.now()
            line.tries += 1
            if line.tries <= TRIES_LIMIT:
                self._queue.append(line)
            else:
                self._fail(line, LOST)
        self._queue = sorted(
            (line for line in self._queue if not line.is_silent), key=lambda line: line.number
        )

    def _hang_up(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
        made, self._socket = self._socket, None
        if made is not None:
            self._loop.forget(self._descriptor)
            made.close()
        self._state = DOWN
        self._left = memoryview(b"")
        self._came.clear()

    def abandon(self) -> None:
        """Answer all requests under way with an error, and close the connection."""
        self._is_closed = True
        for line in [*self._waiting.values(), *self.waiting()]:
            self._fail(line, AWAY)
        self.close()

    def leave(self) -> bool:
        """End the session: the loop stops when the gateway has closed the connection; false where there is none."""
        made = self._socket
        if self._state != UP or made is None:
            self.close()
            return False
        self._stop_timers()
        self._state, self._is_held, self._left = LEAVING, False, memoryview(b"")
        try:
            made.shutdown(_socket.SHUT_WR)
        except OSError:
            self.close()
            return False
        self._watch()
        return True

    def close(self) -> None:
        """Close the connection and stop all timers, for good."""
        self._stop_timers()
        self._hang_up()

    def _stop_timers(self) -> None:
        self._is_closed = True
        for each in (self._retry, self._limit, self._tick):
            if each is not None:
                each.cancel()
        self._retry = self._limit = self._tick = None
