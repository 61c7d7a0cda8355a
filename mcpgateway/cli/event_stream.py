"""Follow a stream of the gateway's, and come back to it when it breaks off."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from time import sleep
from typing import Any, NamedTuple

from mcpgateway.cli.client import ANOTHER_WAY, Away, Remote
from mcpgateway.cli.console import fail

SILENCE_S = 60.0  # the gateway gives a sign of life every 15 s
FIRST_S, LONGEST_S, RETRIES = 1.0, 300.0, 10
LINE_LIMIT = 1_048_576


class Event(NamedTuple):
    """One event of a stream."""

    identifier: str
    kind: str
    data: str


class Following:
    """One stream, however often its connection breaks off.

    :param again: told of each new try: why, and in how many seconds; None: there are none.
    """

    def __init__(
        self,
        remote: Remote,
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

    def events(self) -> Iterator[Event]:
        """Every event, until the stream ends for good.

        :raise Trouble: it was refused, or nobody answers any more.
        """
        while True:
            try:
                yield from self._connected()
                why = "the stream has ended"
            except Away as gone:
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

    def _connected(self) -> Iterator[Event]:
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
            raise Away(str(why) or "the connection has broken off") from why
        finally:
            connection.close()

    def _refused(self, answer: http.client.HTTPResponse) -> None:
        """Say why; what is only too busy is tried again.

        :raise Away: trying again may help.
        :raise Trouble: it does not.
        """
        said = _said(answer)
        message = str(said.get("error") or f"HTTP {answer.status}")
        if answer.status in (401, 403):
            fail(f"the gateway at {self._remote.where} refuses: {message}", ANOTHER_WAY)
        if answer.status >= 500 and self._has_begun:
            raise Away(message)
        fail(message, str(said.get("hint") or ""))


def _said(answer: http.client.HTTPResponse) -> dict[str, Any]:
    try:
        found = json.loads(answer.read(LINE_LIMIT))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _events(answer: http.client.HTTPResponse) -> Iterator[Event]:
    fields: dict[str, str] = {}
    while line := answer.readline(LINE_LIMIT):
        text = line.decode(errors="replace").rstrip("\r\n")
        if text:
            name, _, value = text.partition(":")
            fields[name] = value.removeprefix(" ")
            continue
        if "data" in fields:
            yield Event(fields.get("id", ""), fields.get("event", ""), fields["data"])
        fields = {}
