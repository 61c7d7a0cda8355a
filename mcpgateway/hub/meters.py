"""Count what servers are asked: how often, for how long, and how it ended.

A *request* is whatever a server is asked, a *call* is that of a tool (``tools/call``).  Here both are counted, and
nowhere else: whoever shows numbers of either has them from here.

A request is measured once, from when it is brought to its server's slot until it is answered, has failed or is taken
back.  What waits for a start is measured too.  On the way only plain numbers are counted; everything else is worked out
when somebody asks (`mcpgateway.observe.figures`).

# Note [What a server does not have]
A server that has no prompts may say so by answering ``prompts/list`` with -32601, whatever its capabilities are.  That
is an answer as good as an empty list, and no error.

# Note [Names that others make up]
Tools are named by servers and asked for by clients, who may ask for what is not there, so there is a bound to the rows
of one server and to those of all: what comes late is counted in its server's row `OTHER`.  So is a name that holds a
secret, since names of rows are shown to everybody.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from attrs import frozen
from msgspec import Raw

from mcpgateway.errors import UnknownMethod
from mcpgateway.interfaces import TIMED_OUT, Request
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope

CALL_TOOL = "tools/call"
OTHER = "(other)"
RECENT = 100  # durations that are kept of each row
ROWS_OF_SERVER = 500
ROWS_LIMIT = 2500
SERVERS_LIMIT = 1000
NAME_CHARS = 128
SPELLINGS_LIMIT = 1000  # of the names of one server's tools, as they stand in requests
METHODS = frozenset(
    (
        "completion/complete",
        "logging/setLevel",
        "ping",
        "prompts/get",
        "prompts/list",
        "resources/list",
        "resources/read",
        "resources/subscribe",
        "resources/templates/list",
        "resources/unsubscribe",
        "server/discover",
        "subscriptions/listen",
        "tasks/cancel",
        "tasks/get",
        "tasks/list",
        "tasks/result",
        "tasks/update",
        "tools/list",
    )
)
LISTS = frozenset(each for each in METHODS if each.endswith("/list"))
BOUNDS = (0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0)
"""Seconds: the upper ends of the ranges that durations are counted in."""

OK, ERROR, CANCELLED = "ok", "error", "cancelled"

_EDGE = 512  # bytes at both ends of an answer that are looked at
_FAILED = b'"isError"'
_USUAL = b'"isError":false}}'  # what most answers of the Python SDK end with

Begun = Callable[[Request, "Row"], None]
"""Told of every call that is brought to a server; its message may still be changed."""

Ended = Callable[[Request, "Row", float, str, Any], None]
"""Told of every call's end: its row, how many seconds it took, how it ended, and the response or the reason."""


class Row:
    """What is counted of one tool, or of one other method.

    :ivar server: the server's name.
    :ivar method: what was asked for.
    :ivar tool: the tool's own name; empty for other methods.
    :ivar requests: how many have ended; those of a tool are its calls.
    :ivar errors: how many of them with an error, or a result that says it is one.
    :ivar cancelled: how many of them were taken back.
    :ivar total_s: how long all of them took together.
    :ivar last_at: when the last of them ended, by the stopwatch.
    :ivar recent: how long the last of them took.
    """

    __slots__ = (
        "_meter",
        "cancelled",
        "errors",
        "last_at",
        "method",
        "recent",
        "requests",
        "server",
        "tool",
        "total_s",
    )

    def __init__(self, meter: Meter, method: str, tool: str = "") -> None:
        self._meter = meter
        self.server = meter.name
        self.method = method
        self.tool = tool
        self.requests = self.errors = self.cancelled = 0
        self.total_s = self.last_at = 0.0
        self.recent = array("f")

    def age(self, call: Request) -> float:
        """For how many seconds a call of this row has been under way."""
        return self._meter.seconds() - call.began

    def answered(self, call: Request, reply: Envelope, line: bytes = b"") -> None:
        """There is an answer; ``line`` is how the server wrote it, where it was one."""
        if "error" in reply:
            has_failed = not (self.method in LISTS and has_none(reply))
        else:
            has_failed = bool(self.tool and not line.endswith(_USUAL) and says_it_failed(reply, line))
        if has_failed:
            self.errors += 1
            self._ended(call, ERROR, reply)
        else:
            self._ended(call, OK, reply)

    def failed(self, call: Request, why: Any) -> None:
        """There is no answer of the server's."""
        self.errors += 1
        self._ended(call, ERROR, why)

    def taken_back(self, call: Request, reason: str) -> None:
        """Nobody waits for an answer any more."""
        if reason == TIMED_OUT:
            self.failed(call, reason)
        else:
            self.cancelled += 1
            self._ended(call, CANCELLED, reason)

    def _ended(self, call: Request, outcome: str, said: Any) -> None:
        meter = self._meter
        now = meter.seconds()
        spent = now - call.began
        call.meter = None
        self.total_s += spent
        self.last_at = now
        recent = self.recent
        if self.requests < RECENT:
            recent.append(spent)
        else:
            recent[self.requests % RECENT] = spent
        self.requests += 1
        meter.ranges[bisect_left(BOUNDS, spent)] += 1
        if meter.meters.on_end is not None:
            meter.meters.on_end(call, self, spent, outcome, said)


@frozen
class Totals:
    """What was asked of a server, or of all of them.

    :ivar requests: how many requests have ended, the calls among them.
    :ivar calls: how many calls.
    :ivar errors: how many of the requests with an error, or a result that says it is one.
    :ivar call_errors: how many of the calls.
    """

    requests: int = 0
    calls: int = 0
    errors: int = 0
    call_errors: int = 0


def totals(rows: Iterable[Row]) -> Totals:
    """What all of these come to."""
    requests = calls = errors = call_errors = 0
    for row in rows:
        requests += row.requests
        errors += row.errors
        if row.tool:
            calls += row.requests
            call_errors += row.errors
    return Totals(requests, calls, errors, call_errors)


class Uncounted:
    """Stands in a call that is a part of another, and is not counted by itself."""

    method = tool = ""

    def age(self, call: Request) -> float:
        """It is the other's."""
        return 0.0

    def answered(self, call: Request, reply: Envelope, line: bytes = b"") -> None:
        """There is an answer."""

    def failed(self, call: Request, why: Any) -> None:
        """There is none."""

    def taken_back(self, call: Request, reason: str) -> None:
        """Nobody waits for one."""


UNCOUNTED = Uncounted()


class Meter:
    """What is counted of one server.

    :ivar seconds: the stopwatch.
    :ivar ranges: how many durations lie in each range of `BOUNDS`, the last being for those beyond.
    """

    __slots__ = ("_by_method", "_by_spelling", "_by_tool", "meters", "name", "ranges", "seconds")

    def __init__(self, meters: Meters, name: str) -> None:
        self.meters = meters
        self.name = name
        self.seconds = meters.seconds
        self.ranges = [0] * (len(BOUNDS) + 1)
        self._by_method: dict[str, Row] = {}
        self._by_tool: dict[str, Row] = {}
        self._by_spelling: dict[bytes, Row] = {}

    def __iter__(self) -> Iterator[Row]:
        yield from self._by_tool.values()
        yield from self._by_method.values()

    def __len__(self) -> int:
        return len(self._by_tool) + len(self._by_method)

    def begin(self, call: Request) -> None:
        """A call is brought to the server; from now on it is measured."""
        if call.method == CALL_TOOL:
            params = call.message.params
            name = params.get("name") if params is not None else None
            row = self._by_spelling.get(bytes(name)) if name is not None else None
            if row is None:
                row = self._tool_as_written(params, name)
        else:
            row = self._by_method.get(call.method) or self._method(call.method)
        call.meter = row
        call.began = self.seconds()
        if self.meters.on_begin is not None:
            self.meters.on_begin(call, row)

    def begin_tool(self, call: Request, name: str) -> None:
        """A call of a tool begins, by its own name, however it is written in the message."""
        row = self.tool(name)
        call.meter = row
        call.began = self.seconds()
        if self.meters.on_begin is not None:
            self.meters.on_begin(call, row)

    def _tool_as_written(self, params: Envelope | None, name: Raw | None) -> Row:
        row = self.tool(peek.text(params, "name", NAME_CHARS) or OTHER)
        if name is not None and row.tool != OTHER and len(self._by_spelling) < SPELLINGS_LIMIT:
            self._by_spelling[bytes(name)] = row
        return row

    def tool(self, name: str) -> Row:
        """The row of a tool; see Note [Names that others make up]."""
        row = self._by_tool.get(name)
        if row is None:
            if name != OTHER and not (self.meters.has_room(len(self)) and self.meters.redact(name) == name):
                return self.tool(OTHER)
            row = self._by_tool[name] = self.meters.filed(Row(self, CALL_TOOL, name))
        return row

    def _method(self, name: str) -> Row:
        known = name if name in METHODS else OTHER
        row = self._by_method.get(known)
        if row is None:
            row = self._by_method[known] = self.meters.filed(Row(self, known))
        return row


class Meters:
    """What is counted of all servers.

    :param seconds: the stopwatch, which never goes back.
    :param redact: takes secrets out of a text; a name that has some is none that may be shown.
    :ivar on_begin: told of calls that begin; None where nobody wants to know.
    :ivar on_end: told of calls that end; likewise.  Neither may raise.
    """

    def __init__(self, seconds: Callable[[], float], redact: Callable[[str], str] = str) -> None:
        self.seconds = seconds
        self.redact = redact
        self.on_begin: Begun | None = None
        self.on_end: Ended | None = None
        self._meters: dict[str, Meter] = {}
        self._rows: list[Row] = []

    def __iter__(self) -> Iterator[Meter]:
        return iter(list(self._meters.values()))

    @property
    def rows(self) -> list[Row]:
        """All rows, oldest first; not to be changed."""
        return self._rows

    def totals(self, server: str) -> Totals:
        """What was asked of a server so far."""
        found = self._meters.get(server)
        return totals(found) if found is not None else Totals()

    def of(self, server: str) -> Meter:
        """What is counted of a server, from now on or before."""
        found = self._meters.get(server)
        if found is None:
            if len(self._meters) >= SERVERS_LIMIT and server != OTHER:
                return self.of(OTHER)
            found = self._meters[server] = Meter(self, server)
        return found

    def has_room(self, of_server: int) -> bool:
        """Whether a server that has so many rows may have one more."""
        return of_server < ROWS_OF_SERVER and len(self._rows) < ROWS_LIMIT

    def filed(self, row: Row) -> Row:
        """A new row, which is one of them from now on."""
        self._rows.append(row)
        return row


def has_none(reply: Envelope) -> bool:
    """Whether an error says that there is nothing to be listed; see Note [What a server does not have]."""
    return jsonrpc.integer(peek.members(reply, "error").get("code")) == UnknownMethod.code


def says_it_failed(reply: Envelope, line: bytes) -> bool:
    """Whether the result of a tool, as it stands in this line, says that the tool has failed.

    Only both ends of it are looked at, where what says so stands in practice.
    """
    if not line:
        return _says_so(reply)
    at = line.find(_FAILED, -_EDGE)
    if at < 0 and len(line) > _EDGE:
        at = line.find(_FAILED, 0, _EDGE)
    if at < 0:
        return False
    return _says_so(reply)  # it may be a part of what the tool has answered


def _says_so(reply: Envelope) -> bool:
    return bytes(peek.members(reply, "result").get("isError", b"")) == b"true"
