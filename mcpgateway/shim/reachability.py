"""Whether the gateway is there: asked at the start, and whenever a connection has ended without an answer.

Asking is a GET without a session, which does nothing: a gateway refuses it with a JSON-RPC error, 404 if it does not
know the server.  Calls are sent only while the gateway is known to be there, so that few are lost when it goes.
"""

from __future__ import annotations

import errno

from mcpgateway.shim import jsontext
from mcpgateway.shim.http1 import AnswerReader
from mcpgateway.shim.loop import Loop, Timer
from mcpgateway.shim.pool import Connection, Pool
from mcpgateway.shim.startup import Starter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from mcpgateway.shim.headers import Headers
    from mcpgateway.shim.stdio import Remarks

    class Owner(Protocol):
        """Who wants to know."""

        def found(self) -> None:
            """The gateway is there and knows the server."""

        def refused(self, status: int, why: str) -> None:
            """The gateway is there and refuses: the server is unknown, or we are."""


FIRST_PAUSE_S, LAST_PAUSE_S = 0.02, 1.0
ANSWER_S = 5.0  # for a gateway that is there but busy
BODY_LIMIT = 65536
# A backlog that is full, and a socket that is not ours: starting another gateway would help neither.
PRESENT = (errno.EAGAIN, errno.EACCES, errno.EPERM)
OVERLOADED = (429, 500, 502, 503, 504)


class Link:
    """Asks until the gateway answers.

    :ivar is_up: it has answered, and no connection has broken since.
    :ivar since: when it was found away.
    """

    def __init__(
        self, loop: Loop, pool: Pool, headers: Headers, starter: Starter | None, remarks: Remarks
    ) -> None:
        self._loop = loop
        self._pool = pool
        self._headers = headers
        self._starter = starter
        self._remarks = remarks
        self._owner: Owner | None = None
        self._pause = FIRST_PAUSE_S
        self._timer: Timer | None = None
        self._question: Question | None = None
        self._start_after = 0.0
        self._complaint = ""
        self.is_up = False
        self.since = loop.now()

    def seek(self, owner: Owner, start_after: float) -> None:
        """Ask now, and again until there is an answer; start the gateway when it stays away for so long."""
        self._owner = owner
        self._start_after = start_after
        if self.is_up:
            self.is_up = False
            self.since = self._loop.now()
        if self._question is None and self._timer is None:
            self._pause = FIRST_PAUSE_S
            self._ask()

    def give_up(self) -> None:
        """Ask no more."""
        self._owner = None
        if self._timer is not None:
            self._timer.cancel()
        if self._question is not None:
            self._question.close()
        self._timer = self._question = None

    def _ask(self) -> None:
        self._timer = None
        self._question = Question(self, self._loop)
        self._pool.close_idle()
        try:
            self._question.begin(self._pool, self._headers.request(b"GET", stream=True))
        except OSError as why:
            self._question.close()
            if why.errno in PRESENT:
                self.busy()
            else:
                self.away()

    def answered(self, status: int, body: bytes) -> None:
        """Somebody has answered."""
        self._question = None
        owner = self._owner
        why = _refusal(body)
        if status in OVERLOADED or why is None:
            self._complain(f"what answers with HTTP {status} is no gateway that can be used")
            self._again()
        elif status in (401, 403, 404):
            self.is_up = True
            if owner is not None:
                owner.refused(status, why)
        else:
            self.is_up = True
            if owner is not None:
                owner.found()

    def away(self) -> None:
        """Nobody has answered."""
        self._question = None
        if self._starter is not None and self._loop.now() - self.since >= self._start_after:
            self._start(self._starter)
        self._again()

    def busy(self) -> None:
        """Somebody is there, and does not answer now."""
        self._question = None
        self._again()

    def _again(self) -> None:
        if self._owner is not None:
            self._timer = self._loop.later(self._pause, self._ask)
            self._pause = min(self._pause * 1.5, LAST_PAUSE_S)

    def _start(self, starter: Starter) -> None:
        try:
            if starter.start():
                self._remarks.say("the gateway is away and is being started")
        except OSError as why:
            self._complain(f"the gateway cannot be started: {why.strerror}")

    def _complain(self, text: str) -> None:
        if text != self._complaint:
            self._complaint = text
            self._remarks.say(text)


def _refusal(body: bytes) -> str | None:
    """What a gateway says in its refusal; None when this is none of a gateway."""
    try:
        message = jsontext.decoded(body)
    except jsontext.Unreadable:
        return None
    if jsontext.text_of(message, "jsonrpc") != "2.0":
        return None
    return jsontext.text_of(message, "error", "message") or None


class Question:
    """One time of asking."""

    def __init__(self, link: Link, loop: Loop) -> None:
        self._link: Link | None = link
        self._body = b""
        self._connection: Connection | None = None
        self._limit = loop.later(ANSWER_S, self._late)

    def begin(self, pool: Pool, request: bytes) -> None:
        """Ask.

        :raise OSError: nobody is there.
        """
        self._connection = pool.ask(request, self)

    def took(self, reader: AnswerReader, body: bytes) -> None:
        """So much of the answer is there."""
        self._body += body
        if reader.is_done or len(self._body) > BODY_LIMIT or reader.status < 300:
            if not reader.is_done and self._connection is not None:
                self._connection.close()
            self._end(reader.status)

    def lost(self, why: str, *, was_sent: bool) -> None:
        """There will be no answer."""
        self._end(0)

    def _late(self) -> None:
        link, self._link = self._link, None
        if self._connection is not None:
            self._connection.close()
        if link is not None:
            link.busy()

    def _end(self, status: int) -> None:
        self._limit.cancel()
        link, self._link = self._link, None
        if link is not None and status:
            link.answered(status, self._body)
        elif link is not None:
            link.away()

    def close(self) -> None:
        """The answer is not wanted any more."""
        self._link = None
        self._limit.cancel()
        if self._connection is not None:
            self._connection.close()
