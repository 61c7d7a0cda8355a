"""Write down what was asked of servers and of the gateway itself: who, what, when, for how long, and how it ended.

No arguments and no answers: those are in the flight recorder, for a while (`mcpgateway.hub.recording`).

# Note [Off the road]
On the road of a call one tuple is kept.  It becomes a line of JSON when a second has passed, or when so many wait that
the next would make somebody wait.  Where lines cannot be written, they are counted and dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Protocol

import msgspec
from attrs import define, field
from twisted.logger import Logger

from mcpgateway.errors import GatewayError
from mcpgateway.hub.meters import ERROR, Row
from mcpgateway.hub.recording import written
from mcpgateway.hub.tracing import Traced
from mcpgateway.interfaces import Call
from mcpgateway.wire import jsonrpc, peek

AT_ONCE = 256
ERROR_CHARS = 200
SEARCHED = 20_000  # lines that are looked through for one that is asked for
SHOWN, SHOWN_MOST = 50, 1000
REASON = "the tool says that it has failed"

_encode = msgspec.json.Encoder().encode


class Lines(Protocol):
    """Where lines are kept."""

    def append(self, lines: list[str]) -> None:
        """Add lines.

        :raise OSError: they cannot be written.
        """

    def tail(self, number: int) -> list[str]:
        """The last lines, the oldest first."""


@define(eq=False)
class Activity:
    """The log of what was done.

    :param new_id: gives the ids of what has none yet.
    :param redact: takes out of a text whatever is secret.
    :ivar dropped: how many lines could not be written.
    """

    log = Logger()

    _lines: Lines
    _now: Callable[[], float] = field(repr=False)
    _new_id: Callable[[], str] = field(repr=False)
    _redact: Callable[[str], str] = field(repr=False)
    dropped: int = 0
    _is_failing: bool = False
    _ended: list[tuple[Any, ...]] = field(factory=list, init=False, repr=False)
    _done: list[dict[str, Any]] = field(factory=list, init=False, repr=False)

    def ended(self, call: Call, row: Row, spent_s: float, outcome: str, said: Any) -> None:
        """A call has ended; see Note [Off the road]."""
        why = said_of(said) if outcome == ERROR else None
        self._ended.append(
            (
                self._now(),
                row,
                spent_s,
                outcome,
                why,
                call.session,
                call.principal,
                call.id,
                call.number,
                call.trace,
            )
        )
        if len(self._ended) >= AT_ONCE:
            self.flush()

    def managed(self, operation: str, method: str, path: str, status: int, principal: str) -> str:
        """Something was asked of the gateway itself; the id under which that is written down."""
        identifier = self._new_id()
        self._done.append(
            {
                "at": written(self._now()),
                "id": identifier,
                "kind": "management",
                "operation": operation,
                "request": f"{method} {path}",
                "status": status,
                "principal": principal,
            }
        )
        return identifier

    def tick(self) -> None:
        """A second has passed."""
        if self._ended or self._done:
            self.flush()

    def flush(self) -> None:
        """Write down what has ended."""
        ended, self._ended = self._ended, []
        done, self._done = self._done, []
        lines = [_encode(each).decode() for each in (*map(self._record, ended), *done)]
        if not lines:
            return
        try:
            self._lines.append(lines)
        except OSError as why:
            self.dropped += len(lines)
            if not self._is_failing:
                self._is_failing = True
                self.log.warn(
                    "the activity log cannot be written: {why}", event="activity.unwritten", why=why.strerror
                )
        else:
            self._is_failing = False

    def _record(self, ended: tuple[Any, ...]) -> dict[str, Any]:
        at, row, spent_s, outcome, why, session, principal, request, number, trace = ended
        record: dict[str, Any] = {
            "at": written(at),
            "id": trace.span if isinstance(trace, Traced) else self._new_id(),
            "kind": "call",
            "server": row.server,
            "method": row.method,
            "ms": round(spent_s * 1000, 3),
            "outcome": outcome,
            "principal": session.principal if session is not None else principal,
            "request": request.decode(errors="replace"),
            "number": number,
        }
        if row.tool:
            record["tool"] = row.tool
        if session is not None and session.id:
            record["session"] = blake2b(session.id, digest_size=6).hexdigest()
        if why is not None:
            record["code"], text = why
            record["error"] = self._redact(text)[:ERROR_CHARS]
        if isinstance(trace, Traced):
            record["trace"] = trace.context.trace
            record["parent"] = trace.parent
        return record

    def find(self, most: int = SHOWN, **wanted: str) -> list[dict[str, Any]]:
        """The latest of what is written down, the oldest first.

        :param wanted: what its members have to be; ``id`` is that of a call, of a trace or of a session.
        """
        self.flush()
        identifier = wanted.pop("id", "")
        found: list[dict[str, Any]] = []
        for line in reversed(self._lines.tail(SEARCHED)):
            try:
                record = msgspec.json.decode(line)
            except msgspec.DecodeError:
                continue  # it was not written to its end
            if not isinstance(record, dict) or any(
                record.get(name) != value for name, value in wanted.items()
            ):
                continue
            if identifier and identifier not in (
                record.get("id"),
                record.get("trace"),
                record.get("session"),
            ):
                continue
            found.append(record)
            if len(found) >= min(most, SHOWN_MOST):
                break
        return found[::-1]


def said_of(said: Any) -> tuple[int | None, str]:
    """Why a call has failed: the code and the words of an error."""
    if isinstance(said, GatewayError):
        return said.code, said.message
    if isinstance(said, str):
        return None, said
    if "error" not in said:
        return None, REASON
    error = peek.members(said, "error")
    return jsonrpc.integer(error.get("code")), peek.text(error, "message") or ""
