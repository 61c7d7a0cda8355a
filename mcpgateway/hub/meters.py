"""Statistics of the requests to servers: their number, duration and outcome.

Requests and calls (``tools/call``) are counted here and nowhere else: every page, metric and command that shows their
numbers reads them here.

A request is measured once, from its arrival at its server's slot until it is answered, has failed or is cancelled.  The
time in which it waits for a start is included.  A request costs a few additions; everything else is computed for a
reader (`mcpgateway.observe.figures`).

# Note [What a server does not have]
A server without prompts may answer ``prompts/list`` with -32601, whatever its capabilities are.  That answer is as good
as an empty list, and does not count as an error.

# Note [Names that others make up]
Servers name tools, and clients may call tools that do not exist, so the rows of one server and those of all servers are
limited: a name beyond the limit is counted in its server's row `OTHER`.  So is a name that holds a secret, since the
names of rows are public.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from msgspec import Raw, Struct

from mcpgateway.errors import UnknownMethod
from mcpgateway.interfaces import TIMED_OUT, Request
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope

CALL_TOOL = "tools/call"
OTHER = "(other)"
RECENT = 100  # durations that are kept in each row
ROWS_OF_SERVER = 500
ROWS_LIMIT = 2500
SERVERS_LIMIT = 1000
NAME_CHARS = 128
SPELLINGS_LIMIT = 1000  # of the JSON strings that name one server's tools
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
"""The upper bounds of the histogram's ranges, in seconds."""

OK, ERROR, CANCELLED = "ok", "error", "cancelled"

_EDGE = 512  # bytes at both ends of an answer that are searched
_FAILED = b'"isError"'
_USUAL = b'"isError":false}}'  # the end of most answers of servers with the Python SDK

Begun = Callable[[Request, "Row"], None]
"""Called with every request that reaches a server; it may still change the message."""

Ended = Callable[[Request, "Row", float, str, Any], None]
"""Called at the end of every request: its row, its duration in seconds, its outcome, and the response or the reason."""


class Row:
    """The statistics of one tool, or of one other method.

    :ivar server: the server's name.
    :ivar method: the JSON-RPC method.
    :ivar tool: the name that the server gives the tool; empty for other methods.
    :ivar requests: the number of requests that have ended; those of a tool are its calls.
    :ivar errors: the number of those with an error, or with a result that has ``isError``.
    :ivar cancelled: the number of those that were cancelled.
    :ivar total_s: the sum of their durations, in seconds.
    :ivar last_at: the end of the last of them, by the monotonic clock.
    :ivar recent: the durations of the latest of them, up to `RECENT`, in no order.
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

    def age(self, request: Request) -> float:
        """Return for how many seconds a request of this row has been under way."""
        return self._meter.seconds() - request.began

    def answered(self, request: Request, reply: Envelope, line: bytes = b"") -> bool:
        """Count a request that is answered; return whether its tool says that it has failed.

        :param line: the server's response as it was sent, if it is available.
        """
        if "error" in reply:
            is_error = not (self.method in LISTS and has_none(reply))
            self.errors += is_error
            self._ended(request, ERROR if is_error else OK, reply)
            return False
        if self.tool and not line.endswith(_USUAL) and says_it_failed(reply, line):
            self.errors += 1
            self._ended(request, ERROR, reply)
            return True
        self._ended(request, OK, reply)
        return False

    def failed(self, request: Request, why: Any) -> None:
        """Count a request that the gateway answers with an error."""
        self.errors += 1
        self._ended(request, ERROR, why)

    def taken_back(self, request: Request, reason: str) -> None:
        """Count a request that is cancelled, or has timed out."""
        if reason == TIMED_OUT:
            self.failed(request, reason)
        else:
            self.cancelled += 1
            self._ended(request, CANCELLED, reason)

    def _ended(self, request: Request, outcome: str, response: Any) -> None:
        meter = self._meter
        now = meter.seconds()
        spent = now - request.began
        request.meter = None
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
            meter.meters.on_end(request, self, spent, outcome, response)


class Totals(Struct, frozen=True):
    """The number of requests to a server, or to all servers.

    :ivar requests: the requests that have ended, the calls among them.
    :ivar calls: the calls that have ended.
    :ivar errors: the requests with an error, or with a result that has ``isError``.
    :ivar call_errors: the calls among those.
    """

    requests: int = 0
    calls: int = 0
    errors: int = 0
    call_errors: int = 0


def totals(rows: Iterable[Row]) -> Totals:
    """Return the sums over all rows."""
    requests = calls = errors = call_errors = 0
    for row in rows:
        requests += row.requests
        errors += row.errors
        if row.tool:
            calls += row.requests
            call_errors += row.errors
    return Totals(requests, calls, errors, call_errors)


class Uncounted:
    """The row of a request that is a part of another one, and is not counted."""

    method = tool = ""

    def age(self, request: Request) -> float:
        """Return 0: the other request's row has its age."""
        return 0.0

    def answered(self, request: Request, reply: Envelope, line: bytes = b"") -> bool:
        """Count nothing."""
        return False

    def failed(self, request: Request, why: Any) -> None:
        """Count nothing."""

    def taken_back(self, request: Request, reason: str) -> None:
        """Count nothing."""


UNCOUNTED = Uncounted()


class Meter:
    """The statistics of one server.

    :ivar seconds: the monotonic clock.
    :ivar ranges: the number of durations in each range of `BOUNDS`; the last range is for those above all bounds.
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

    def begin(self, request: Request) -> None:
        """Begin to measure a request, which has reached the server's slot."""
        if request.method == CALL_TOOL:
            params = request.message.params
            name = params.get("name") if params is not None else None
            row = self._by_spelling.get(bytes(name)) if name is not None else None
            if row is None:
                row = self._tool_as_written(params, name)
        else:
            row = self._by_method.get(request.method) or self._method(request.method)
        request.meter = row
        request.began = self.seconds()
        if self.meters.on_begin is not None:
            self.meters.on_begin(request, row)

    def begin_tool(self, request: Request, name: str) -> None:
        """Begin to measure a call of a tool of that name, whatever name its message has."""
        row = self.tool(name)
        request.meter = row
        request.began = self.seconds()
        if self.meters.on_begin is not None:
            self.meters.on_begin(request, row)

    def _tool_as_written(self, params: Envelope | None, name: Raw | None) -> Row:
        row = self.tool(peek.text(params, "name", NAME_CHARS) or OTHER)
        if name is not None and row.tool != OTHER and len(self._by_spelling) < SPELLINGS_LIMIT:
            self._by_spelling[bytes(name)] = row
        return row

    def tool(self, name: str) -> Row:
        """Return the row of a tool, a new one if needed; see Note [Names that others make up]."""
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
    """The statistics of all servers.

    :param seconds: the monotonic clock.
    :param redact: removes secrets from a text; a name that it changes is not shown.
    :ivar on_begin: called for requests that begin; None without a listener.  It may not raise.
    :ivar on_end: called for requests that end; None without a listener.  It may not raise.
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
        """All rows, the oldest first; the caller may not change the list."""
        return self._rows

    def totals(self, server: str) -> Totals:
        """Return the sums of a server."""
        found = self._meters.get(server)
        return totals(found) if found is not None else Totals()

    def of(self, server: str) -> Meter:
        """Return the statistics of a server, new ones if needed."""
        found = self._meters.get(server)
        if found is None:
            if len(self._meters) >= SERVERS_LIMIT and server != OTHER:
                return self.of(OTHER)
            found = self._meters[server] = Meter(self, server)
        return found

    def has_room(self, of_server: int) -> bool:
        """True if a server that has so many rows may have one more."""
        return of_server < ROWS_OF_SERVER and len(self._rows) < ROWS_LIMIT

    def filed(self, row: Row) -> Row:
        """Add a new row; return it."""
        self._rows.append(row)
        return row


def has_none(reply: Envelope) -> bool:
    """True if an error means that the list is empty; see Note [What a server does not have]."""
    return jsonrpc.integer(peek.members(reply, "error").get("code")) == UnknownMethod.code


def says_it_failed(reply: Envelope, line: bytes) -> bool:
    """True if the result of a tool has ``isError``.

    Only both ends of the line are searched, because servers write the member there.

    :param line: the server's response as it was sent; empty if unavailable.
    """
    if not line:
        return _says_so(reply)
    at = line.find(_FAILED, -_EDGE)
    if at < 0 and len(line) > _EDGE:
        at = line.find(_FAILED, 0, _EDGE)
    if at < 0:
        return False
    return _says_so(reply)  # the match may lie within the tool's content


def _says_so(reply: Envelope) -> bool:
    return bytes(peek.members(reply, "result").get("isError", b"")) == b"true"
