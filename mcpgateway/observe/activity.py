"""The activity log: who has sent which request to a server or the gateway itself, when, how long it took, its outcome.

The ``kind`` of a record is ``call`` for a tool's call, ``request`` for any other request to a server, and
``management`` for a request to the gateway itself.

It has neither arguments nor answers: those are in the flight recorder, for a while (`mcpgateway.observe.recorder`).

# Note [Off the path of requests]
While a call is served, one tuple is kept.  It becomes a line of JSON within a second, or earlier when so many wait that
writing them would delay a call.  Lines that cannot be written are counted and dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Protocol

import msgspec
from attrs import define, field
from twisted.logger import Logger

from mcpgateway import escaping
from mcpgateway.errors import ConfigError, GatewayError
from mcpgateway.hub.meters import CALL_TOOL, ERROR, Row
from mcpgateway.interfaces import Request
from mcpgateway.observe.recorder import written
from mcpgateway.policy.secrets.redaction import SHORTEST
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.trace_context import Traced

AT_ONCE = 256
ERROR_CHARS = 200
SEARCHED = 20_000  # lines that are searched for a record
SHOWN, SHOWN_MOST = 50, 1000
REFUSED = "refused"
NUMBER_DIGITS = 19  # of request ids that are counters, or times in nanoseconds
REASON = "the tool says that it has failed"

_encode_lines = msgspec.json.Encoder().encode_lines


class ActivityRecord(msgspec.Struct, omit_defaults=True, gc=False):
    """The record of a request to a server.

    :ivar at: time of its end.
    :ivar id: the gateway's own id of it, which is that of its span.
    :ivar request: the client's id of it.
    :ivar number: the id that its server has got, as in the flight recorder; 0 if it was never sent.
    :ivar session: a digest of the session's id, which is secret.
    :ivar parent: the client's span.
    """

    at: str
    id: str
    server: str
    method: str
    ms: float
    outcome: str
    principal: str
    request: str
    number: int
    kind: str = ""
    tool: str = ""
    session: str = ""
    code: int | None = None
    error: str = ""
    trace: str = ""
    parent: str = ""


class ManagementRecord(msgspec.Struct, omit_defaults=True, gc=False):
    """The record of a request to the gateway itself."""

    at: str
    id: str
    kind: str
    operation: str
    request: str
    status: int
    principal: str
    server: str = ""


class ActivityLines(Protocol):
    """The storage of lines."""

    def append(self, lines: list[str]) -> None:
        """Add lines.

        :raise ConfigError: the lines cannot be written.
        """

    def tail(self, number: int) -> list[str]:
        """Return the last lines, the oldest first."""


@define(eq=False, repr=False)
class ActivityLog:
    """The activity log.

    :param new_id: makes ids for requests without one.
    :param redact: removes all secrets from a text.
    :ivar dropped: number of lines that could not be written.
    """

    log = Logger()

    _lines: ActivityLines
    _now: Callable[[], float] = field(repr=False)
    _new_id: Callable[[], str] = field(repr=False)
    _redact: Callable[[str], str] = field(repr=False)
    dropped: int = 0
    _is_failing: bool = False
    _ended: list[tuple[Any, ...]] = field(factory=list, init=False, repr=False)
    _done: list[ActivityRecord | ManagementRecord] = field(factory=list, init=False, repr=False)

    def ended(self, request: Request, row: Row, spent_s: float, outcome: str, response: Any) -> None:
        """Record the end of a call; see Note [Off the path of requests]."""
        why = failure_of(response) if outcome == ERROR else None
        self._ended.append(
            (
                self._now(),
                row,
                spent_s,
                outcome,
                why,
                request.session,
                request.principal,
                request.id,
                request.number,
                request.trace,
            )
        )
        if len(self._ended) >= AT_ONCE:
            self.flush()

    def refused(self, principal: str, server: str, request: Request, tool: str, why: str) -> None:
        """Record a call that was refused, since its token may not use the server or tool."""
        record = ActivityRecord(
            written(self._now()),
            self._new_id(),
            server,
            self._redact(request.method),
            0.0,
            REFUSED,
            self._redact(principal),
            self._redact(request.id.decode(errors="replace")),
            0,
            kind=_kind(request.method),
            tool=self._redact(tool),
            error=self._redact(why)[:ERROR_CHARS],
        )
        self._done.append(record)
        if len(self._done) >= AT_ONCE:
            self.flush()

    def managed(self, operation: str, request: str, status: int, principal: str, server: str) -> str:
        """Record a request to the gateway itself; return the id of the record."""
        identifier = self._new_id()
        self._done.append(
            ManagementRecord(
                written(self._now()),
                identifier,
                "management",
                operation,
                self._redact(request),
                status,
                self._redact(principal),
                self._redact(server),
            )
        )
        return identifier

    def tick(self) -> None:
        """Write the waiting records; called once a second."""
        if self._ended or self._done:
            self.flush()

    def flush(self) -> None:
        """Write the waiting records."""
        ended, self._ended = self._ended, []
        done, self._done = self._done, []
        sessions: dict[bytes, str] = {}
        names: dict[str, str] = {}
        records = [*(self._record(each, sessions, names) for each in ended), *done]
        if not records:
            return
        try:
            self._lines.append([escaping.json_bytes(_encode_lines(records)).decode().rstrip("\n")])
        except ConfigError as why:
            self.dropped += len(records)
            if not self._is_failing:
                self._is_failing = True
                self.log.warn(
                    "the activity log cannot be written: {why}", event="activity.unwritten", why=str(why)
                )
        else:
            self._is_failing = False

    def _record(
        self, ended: tuple[Any, ...], sessions: dict[bytes, str], names: dict[str, str]
    ) -> ActivityRecord:
        at, row, spent_s, outcome, why, session, principal, request, number, trace = ended
        is_traced = isinstance(trace, Traced)
        record = ActivityRecord(
            written(at),
            trace.span if is_traced else self._new_id(),
            row.server,
            self._shown(row.method, names),
            int(spent_s * 1_000_000) / 1000,
            outcome,
            self._shown(principal if session is None else session.principal, names),
            self._shown(request.decode(errors="replace"), names),
            number,
            kind=_kind(row.method),
            tool=self._shown(row.tool, names),
        )
        if session is not None and session.id:
            record.session = sessions.get(session.id) or sessions.setdefault(session.id, _digest(session.id))
        if why is not None:
            record.code, text = why
            record.error = self._redact(text)[:ERROR_CHARS]
        if is_traced:
            record.trace, record.parent = trace.context.trace, trace.parent
        return record

    def _shown(self, text: str, names: dict[str, str]) -> str:
        # Clients choose these; few are long or not numbers, and most of those are equal.
        if len(text) < SHORTEST or (text.isdecimal() and len(text) <= NUMBER_DIGITS):
            return text
        found = names.get(text)
        if found is None:
            found = names[text] = self._redact(text)
        return found

    def find(self, most: int = SHOWN, **wanted: str) -> list[dict[str, Any]]:
        """Return the latest matching records, the oldest first.

        :param wanted: values of members; ``id`` may be that of a call, a trace or a session.
        """
        self.flush()
        identifier = wanted.pop("id", "")
        found: list[dict[str, Any]] = []
        for line in reversed(self._lines.tail(SEARCHED)):
            if len(found) >= min(most, SHOWN_MOST):
                break
            try:
                record = msgspec.json.decode(line)
            except msgspec.DecodeError:
                continue  # an incomplete line
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
        return found[::-1]


def _kind(method: str) -> str:
    return "call" if method == CALL_TOOL else "request"


def _digest(identifier: bytes) -> str:
    return blake2b(identifier, digest_size=6).hexdigest()


def failure_of(response: Any) -> tuple[int | None, str]:
    """Return the code and the message of the error of a failed call."""
    if isinstance(response, GatewayError):
        return response.code, response.message
    if isinstance(response, str):
        return None, response
    if "error" not in response:
        return None, REASON
    error = peek.members(response, "error")
    return jsonrpc.integer(error.get("code")), peek.text(error, "message") or ""
