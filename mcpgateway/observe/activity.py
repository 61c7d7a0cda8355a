"""The activity log: who has sent which request to a server or the gateway itself, when, how long it took, its outcome.

The ``kind`` of a record is ``call`` for a tool's call, ``request`` for any other request to a server, and
``management`` for a request to the gateway itself.

It has neither arguments nor answers: those are in the flight recorder, for a while (`mcpgateway.observe.recorder`).

# Note [Off the path of requests]
While a call is served, one tuple is kept.  It becomes a line of JSON within a second, or earlier when so many wait that
writing them would delay a call.  Lines that cannot be written are counted and dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, Protocol, TypeVar

import msgspec
from attrs import define, field
from twisted.internet.defer import Deferred, DeferredLock, fail, maybeDeferred
from twisted.logger import Logger

from mcpgateway import escaping
from mcpgateway.errors import ConfigError, GatewayError, Overloaded
from mcpgateway.hub.meters import CALL_TOOL, ERROR, Row
from mcpgateway.hub.sessions import Session
from mcpgateway.interfaces import CallMarks, Request
from mcpgateway.observe.activity_filter import EVERYTHING, ActivityFilter, place_of
from mcpgateway.observe.call_clients import NOBODY, CallClient
from mcpgateway.observe.call_phases import asked_of, shield_of, start_of
from mcpgateway.observe.event_feed import EventHistory, FeedEntry
from mcpgateway.observe.recorder import written
from mcpgateway.policy.secrets.redaction import SHORTEST
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.trace_context import Traced

T = TypeVar("T")

AT_ONCE = 256
ERROR_CHARS = 200
SEARCHED = 20_000  # lines that are searched for a record
WAITING = 20  # readers of the file that wait for each other
SHOWN, SHOWN_MOST = 50, 1000
REFUSED = "refused"
NUMBER_DIGITS = 19  # of request ids that are counters, or times in nanoseconds
REASON = "the tool says that it has failed"

_encoder = msgspec.json.Encoder()
_encode_lines = _encoder.encode_lines


class ActivityRecord(msgspec.Struct, omit_defaults=True, gc=False):
    """The record of a request to a server.

    :ivar at: time of its end.
    :ivar id: the gateway's own id of it, which is that of its span.
    :ivar request: the client's id of it.
    :ivar number: the id that its server has got, as in the flight recorder; 0 if it was never sent.
    :ivar session: a digest of the session's id, which is secret.
    :ivar parent: the client's span.
    :ivar client: the client's own name.
    :ivar project: the directory that the client works in.
    :ivar pid: the client's process.
    :ivar child: the number of its conversation with the server, as in the flight recorder.
    :ivar sent_bytes: the size of the request to the server.
    :ivar answer_bytes: the size of the server's answer.
    :ivar reached: the microseconds after its arrival at which it reached its server's slot.
    :ivar sent: those after which it was sent to the server; 0 if it was not.
    :ivar passed: those after which its answer was passed on to the client's connection; 0 if unknown.
    :ivar start: the times of the start that it has waited for (`mcpgateway.observe.call_phases`).
    :ivar shield: the times of the shortening of its answer.
    :ivar asked: the questions that the server has asked the client for it.
    :ivar node: the node of a cluster that has served it.
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
    client: str = ""
    project: str = ""
    pid: int | None = None
    child: int = 0
    sent_bytes: int = 0
    answer_bytes: int = 0
    reached: int = 0
    sent: int = 0
    passed: int = 0
    start: list[int] | None = None
    shield: list[int] | None = None
    asked: list[list[Any]] | None = None
    node: str = ""


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
    node: str = ""


class ActivityEntry(FeedEntry, frozen=True):
    """A record, on its way to those who follow the log."""

    record: Mapping[str, Any] = {}


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

    :ivar now: returns epoch seconds.
    :param new_id: makes ids for requests without one.
    :param redact: removes all secrets from a text.
    :ivar dropped: number of lines that could not be written.
    :ivar feed: passes new records on; none are made for it while nobody follows.
    :ivar client_of: finds the client of a session, or of the caller of a modern request.
    :ivar in_thread: runs blocking work in a thread.
    :ivar node: the name of this node of a cluster; empty for a gateway that is alone.
    """

    log = Logger()

    _lines: ActivityLines
    now: Callable[[], float] = field(repr=False)
    _new_id: Callable[[], str] = field(repr=False)
    _redact: Callable[[str], str] = field(repr=False)
    dropped: int = 0
    feed: EventHistory = field(factory=lambda: EventHistory(0, 0))
    client_of: Callable[[Session | None, Any], CallClient] = lambda session, caller: NOBODY  # noqa: ARG005
    in_thread: Callable[..., Deferred[Any]] = field(default=maybeDeferred, repr=False)
    node: str = ""
    _turn: DeferredLock = field(factory=DeferredLock, init=False, repr=False)
    _missed: list[list[FeedEntry]] = field(
        factory=list, init=False, repr=False
    )  # by readers that read the file
    _is_failing: bool = False
    _ended: list[tuple[Any, ...]] = field(factory=list, init=False, repr=False)
    _done: list[ActivityRecord | ManagementRecord] = field(factory=list, init=False, repr=False)

    def ended(self, request: Request, row: Row, spent_s: float, outcome: str, response: Any) -> None:
        """Record the end of a call; see Note [Off the path of requests]."""
        why = failure_of(response) if outcome == ERROR else None
        session = request.session
        if session is not None and session.client is None:
            session.client = self.client_of(
                session, None
            )  # now: nothing is known of a session that has ended
        self._ended.append(
            (
                self.now(),
                row,
                spent_s,
                outcome,
                why,
                session,
                request.principal,
                request.id,
                request.number,
                request.trace,
                request.caller,
                request.arrived or request.began,
                request.began,
                request.marks,
            )
        )
        if len(self._ended) >= AT_ONCE:
            self.flush()

    def refused(self, principal: str, server: str, request: Request, tool: str, why: str) -> None:
        """Record a call that was refused, since its token may not use the server or tool."""
        record = ActivityRecord(
            written(self.now()),
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
            node=self.node,
        )
        self._done.append(record)
        if len(self._done) >= AT_ONCE:
            self.flush()

    def managed(self, operation: str, request: str, status: int, principal: str, server: str) -> str:
        """Record a request to the gateway itself; return the id of the record."""
        identifier = self._new_id()
        self._done.append(
            ManagementRecord(
                written(self.now()),
                identifier,
                "management",
                operation,
                self._redact(request),
                status,
                self._redact(principal),
                self._redact(server),
                self.node,
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
        sessions: dict[int, tuple[str, CallClient]] = {}
        names: dict[str, str] = {}
        records = [*(self._record(each, sessions, names) for each in ended), *done]
        if not records:
            return
        if done:
            records.sort(key=lambda each: each.at)
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
        if self.feed.is_followed or self._missed:
            for each in records:
                entry = _entry(escaping.json_bytes(_encoder.encode(each)).decode())
                self.feed.tell(entry)
                for missed in self._missed:
                    missed.append(entry)

    def _record(
        self, ended: tuple[Any, ...], sessions: dict[int, tuple[str, CallClient]], names: dict[str, str]
    ) -> ActivityRecord:
        at, row, spent_s, outcome, why, session, principal, request, number, trace, caller = ended[:11]
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
            node=self.node,
        )
        known = sessions.get(id(session)) if caller is None else None
        if known is None:
            client = (
                session.client if session is not None and caller is None else self.client_of(None, caller)
            )
            shown = CallClient(self._redact(client.name), self._redact(client.project), client.pid)
            known = (_digest(session.id) if session is not None and session.id else "", shown)
            if caller is None:
                sessions[id(session)] = known
        record.session, client = known
        record.client, record.project, record.pid = client.name, client.project, client.pid
        if why is not None:
            record.code, text = why
            record.error = self._redact(text)[:ERROR_CHARS]
        if ended[13] is not None:
            _time(record, spent_s, *ended[11:])
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

    def ask(self, work: Callable[[list[str]], T]) -> Deferred[T]:
        """Have something worked out from the latest lines, the oldest first; they are read and searched in a thread.

        :raise Overloaded: (through the Deferred) too many readers wait already.
        """
        if len(self._turn.waiting) >= WAITING:
            return fail(Overloaded("too many read the activity log", "try again in a moment"))
        self.flush()
        done: Deferred[T] = self._turn.run(self.in_thread, lambda: work(self._lines.tail(SEARCHED)))
        return done

    def find(self, most: int = SHOWN, wanted: ActivityFilter = EVERYTHING) -> Deferred[list[dict[str, Any]]]:
        """Return the latest matching records, the oldest first."""
        return self.ask(lambda lines: _found(lines, most, wanted))

    async def entries(self, most: int, wanted: ActivityFilter) -> list[FeedEntry]:
        """Return the latest matching records for a stream, the oldest first, up to those of this moment."""
        missed: list[FeedEntry] = []
        self._missed.append(missed)
        try:
            found = await self.find(most, wanted)
        finally:
            self._missed = [each for each in self._missed if each is not missed]
        read = [_entry(_encoder.encode(each).decode()) for each in found]
        known = {each.identifier for each in read}
        return [*read, *(each for each in missed if each.identifier not in known)]


def _found(lines: list[str], most: int, wanted: ActivityFilter) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for line in reversed(lines):
        if len(found) >= min(most, SHOWN_MOST):
            break
        try:
            record = msgspec.json.decode(line)
        except msgspec.DecodeError:
            continue  # an incomplete line
        if not isinstance(record, dict):
            continue
        if wanted.is_past(record):
            break
        if wanted.takes(record):
            found.append(record)
    return found[::-1]


def _entry(text: str) -> ActivityEntry:
    record = msgspec.json.decode(text)
    return ActivityEntry(place_of(record), text, record["kind"], record.get("server", ""), record)


def _time(record: ActivityRecord, spent_s: float, first: float, began: float, marks: CallMarks) -> None:
    record.reached = int((began - first) * 1e6)
    if marks.sent:
        record.child, record.sent = marks.conversation, int((marks.sent - first) * 1e6)
        record.sent_bytes, record.answer_bytes = marks.sent_bytes, marks.answer_bytes
    if marks.delivered:
        record.passed = int((marks.delivered - first) * 1e6)
    if marks.start is not None:
        record.start = start_of(first, marks.start)
    if marks.shielding:
        record.shield = shield_of(first, marks)
    if marks.questions:
        record.asked = asked_of(first, began + spent_s, marks)


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
