"""Follow an event stream of the gateway, and reconnect when the connection breaks."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from time import sleep
from typing import Any, NamedTuple

from mcpgateway.cli.client import ANOTHER_WAY, GatewayClient, NoGateway
from mcpgateway.cli.console import fail
from mcpgateway.protocol.sse_reader import SseReader
from mcpgateway.system.control_http import decoded

SILENCE_S = 60.0  # the gateway sends a comment every 15 s
FIRST_S, LONGEST_S, RETRIES = 1.0, 300.0, 10
EVENT_LIMIT = 1_048_576  # bytes


class StreamEvent(NamedTuple):
    """An event of a stream.

    :ivar identifier: the id by which the stream is resumed after it.
    """

    identifier: str
    kind: str
    data: str


class Following:
    """A stream, over all its connections.

    :param again: called before each new attempt with the reason and the delay in seconds; None: no further attempts.
    """

    def __init__(
        self,
        remote: GatewayClient,
        path: str,
        again: Callable[[str, float], None] | None,
        after: str = "",
        wait: Callable[[float], None] = sleep,
    ) -> None:
        self._remote = remote
        self._path = path
        self._again = again
        self._seen = after
        self._wait = wait
        self._tries = 0
        self._has_begun = False

    def events(self) -> Iterator[StreamEvent]:
        """Yield every event, until the stream ends for good.

        :raise Trouble: the gateway refuses the stream, or does not answer any more.
        """
        while True:
            try:
                yield from self._connected()
                why = "the stream has ended"
            except NoGateway as gone:
                if not self._has_begun:
                    self._remote.unreachable(gone)
                why = str(gone)
            if self._again is None:
                return
            if self._tries >= RETRIES:
                self._remote.unreachable(f"{why}; tried {RETRIES} times")
            pause = min(FIRST_S * 2**self._tries, LONGEST_S)
            self._tries += 1
            self._again(why, pause)
            self._wait(pause)

    def _connected(self) -> Iterator[StreamEvent]:
        headers = {"Last-Event-ID": self._seen} if self._seen else {}
        connection, answer = self._remote.stream(self._path, headers, SILENCE_S)
        try:
            if answer.status != 200:
                self._refused(answer)
            self._has_begun = True
            for event in _events(answer):
                self._tries = 0
                self._seen = event.identifier or self._seen
                yield event
        except (OSError, http.client.HTTPException) as why:
            raise NoGateway(str(why) or "the connection has broken off") from why
        finally:
            connection.close()

    def _refused(self, answer: http.client.HTTPResponse) -> None:
        """Raise the reason of a refusal; a busy gateway is tried again.

        :raise NoGateway: another attempt may succeed.
        :raise Trouble: no attempt would.
        """
        body = _body_of(answer)
        message = str(body.get("error") or f"HTTP {answer.status}")
        if answer.status in (401, 403):
            fail(f"the gateway at {self._remote.where} refuses: {message}", ANOTHER_WAY)
        if answer.status >= 500 and self._has_begun:
            raise NoGateway(message)
        fail(message, str(body.get("hint") or ""))


def _body_of(answer: http.client.HTTPResponse) -> dict[str, Any]:
    found = decoded(answer.read(EVENT_LIMIT))
    return found if isinstance(found, dict) else {}


def _events(answer: http.client.HTTPResponse) -> Iterator[StreamEvent]:
    reader = SseReader(EVENT_LIMIT, skips=True)
    while line := answer.readline(EVENT_LIMIT):
        for event in reader.feed(line):
            if event.tail is None:  # the event is complete
                text = event.data.decode(errors="replace")
                yield StreamEvent(
                    reader.last_id.decode(errors="replace"), event.kind.decode(errors="replace"), text
                )
