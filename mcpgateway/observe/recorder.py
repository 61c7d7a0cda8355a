"""Read the flight recorder: the tape of a server and its history, merged by time, without secrets."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from heapq import merge
from typing import Any

import msgspec
from attrs import evolve, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from mcpgateway.backends.tape import PIECE, Line, Tapes
from mcpgateway.hub.health.history import Histories, ServerEvent
from mcpgateway.policy.secrets.scrubbing import scrubbed

AT_ONCE = 25  # lines between two turns of the reactor, so that no client waits
CUT = re.compile(r'\s*\{\s*"jsonrpc"\s*:\s*"2\.0"\s*,\s*"id"\s*:\s*(\d{1,18})\b')
DOUBTFUL = 1024  # bytes before the end of a cut line: a cut secret is not recognised

_Told = tuple[float, Callable[[str, Any], dict[str, Any]], Any]


@frozen(eq=False, repr=False)
class Recording:
    """Exports the recorded messages to and from servers.

    :ivar redact: removes all secrets from a text; None leaves them where they are.
    """

    tapes: Tapes
    histories: Histories
    clock: IReactorTime
    redact: Callable[[str], str] | None

    async def export(
        self, name: str, most: int | None = None, *, is_exact: bool = False
    ) -> list[dict[str, Any]]:
        """Return the recorded lines of a server, the oldest first; none of an unknown one.

        :param most: the number of lines, of which the latest are returned.
        :param is_exact: leave secrets where they are.
        """
        if is_exact:
            return await evolve(self, redact=None).export(name, most)
        tape, history = self.tapes.find(name), self.histories.find(name)
        taken: list[_Told] = [
            (each[0], self._message, each) for each in (tape.lines() if tape is not None else ())
        ]
        happened: list[_Told] = [
            (each.at, self._event, each) for each in (history.happenings() if history is not None else ())
        ]
        row = [*merge(happened, taken, key=lambda each: each[0])]  # no sort: the clock may be set back
        found = []
        for number, (_, tell, each) in enumerate(row if most is None else row[max(0, len(row) - most) :], 1):
            found.append(tell(name, each))
            if number % AT_ONCE == 0:
                await deferLater(self.clock, 0.0)
        return found

    def of_call(self, call: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the kept messages of a call, by its record: its own, and those of the questions that it has caused."""
        tape = self.tapes.find(str(call.get("server")))
        child, number = call.get("child", 0), call.get("number", 0)
        if tape is None or not child:
            return []
        asked = {str(identifier) for _, identifier, *_ in call.get("asked") or ()}
        found = (
            self._message(call["server"], tape_line)
            for tape_line in tape.lines()
            if abs(tape_line[1]) == child and (b"%d" % number in tape_line[3] or asked)
        )
        return [each for each in found if _is_of(each, number, asked)]

    def _event(self, name: str, what: ServerEvent) -> dict[str, Any]:
        return {"at": written(what.at), "server": name, "event": what.event, "text": self._text(what.text)}

    def _message(self, name: str, line: Line) -> dict[str, Any]:
        at, conversation, size, data = line
        return {
            "at": written(at),
            "server": name,
            "child": abs(conversation),
            "direction": "to-server" if conversation > 0 else "from-server",
            "bytes": size,
            **dict(self._content(data, is_cut=size > PIECE)),
        }

    def _content(self, data: bytes, *, is_cut: bool) -> Iterator[tuple[str, Any]]:
        if is_cut:
            text = data.decode(errors="replace")
            yield "cut", True
            yield "text", self._text(text)[: PIECE - DOUBTFUL]
            return
        try:
            message = msgspec.json.decode(data)
            yield "message", message if self.redact is None else scrubbed(message, self.redact)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            yield "text", self._text(data.decode(errors="replace").rstrip("\n"))

    def _text(self, text: str) -> str:
        return text if self.redact is None else self.redact(text)


def _is_of(line: Mapping[str, Any], number: int, asked: Collection[str]) -> bool:
    message, is_to_server = line.get("message"), line["direction"] == "to-server"
    if not isinstance(message, dict):
        head = CUT.match(line["text"])  # a long line is cut, and cannot be decoded
        return head is not None and int(head[1]) == number
    identifier, params = message.get("id"), message.get("params")
    if identifier is not None:
        is_own = identifier == number and ("method" in message) == is_to_server
        is_asked = msgspec.json.encode(identifier).decode() in asked and ("method" in message) != is_to_server
        return is_own or is_asked
    return isinstance(params, dict) and number in (params.get("progressToken"), params.get("requestId"))


def written(seconds: float) -> str:
    """Return a time in UTC, to the microsecond."""
    whole = int(seconds)
    return f"{_second(whole)}.{int((seconds - whole) * 1_000_000):06d}Z"


@lru_cache(8)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
