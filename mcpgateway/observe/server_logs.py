"""The logs of the servers: the stderr of children, the log messages of MCP, the gateway's log events on the server.

Lines are redacted before they are kept, and each is kept as one line: ``2026-11-22T03:43:24.123456Z stderr text``.  The
times in one log differ, so a time identifies its line.

# Note [A server that floods us]
Redaction costs some 50 µs a line.  Lines beyond `BATCH` in `PAUSE_S` wait in a bounded queue; when it is full, lines
are dropped, and the log has their number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec
from attrs import define, field
from twisted.logger import Logger

from mcpgateway.errors import ConfigError
from mcpgateway.escaping import one_line
from mcpgateway.observe.event_feed import EventHistory, FeedEntry, Follower
from mcpgateway.policy.secrets.redaction import LONGEST, Redactor, is_telling
from mcpgateway.policy.secrets.shapes import without
from mcpgateway.records import Record

HISTORY = 1000  # lines
LINE_CHARS = 2000  # of a line in the log
LINE_BYTES = LINE_CHARS * 4 + LONGEST  # of a line that are processed: a cut secret is not recognised
UNWRITTEN_CHARS = 131_072  # of lines that wait for the disk
BATCH, PAUSE_S = 100, 0.05
QUEUE_LINES, QUEUE_BYTES = 5000, 2 * 1_048_576
LEVEL_CHARS = 20
STDERR, GATEWAY, MESSAGE = "stderr", "gateway", "message"
"""The source of a line."""


class LogFile(Protocol):
    """The storage of a server's lines (`mcpgateway.system.logs.server_log.ServerLogFile`)."""

    def append(self, lines: list[str]) -> None:
        """Add lines.

        :raise ConfigError: the lines cannot be written.
        """

    def tail(self, number: int) -> list[str]:
        """Return the last lines."""


class StderrLines:
    """The stderr of one child, split into lines."""

    __slots__ = ("_hidden", "_log", "_rest")

    def __init__(self, log: ServerLog, hidden: tuple[str, ...] = ()) -> None:
        self._log = log
        self._hidden = hidden
        self._rest = b""

    def heard(self, data: bytes) -> None:
        """Take a chunk of stderr."""
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = self._rest + lines[0]
            self._rest = rest[:LINE_BYTES]
            self._tell(lines)
        elif len(self._rest) < LINE_BYTES:
            self._rest += rest[: LINE_BYTES - len(self._rest)]

    def ended(self) -> None:
        """Take the end of stderr; the last line may have no line end."""
        if self._rest:
            rest, self._rest = self._rest, b""
            self._tell([rest])

    def _tell(self, lines: list[bytes]) -> None:
        if self._hidden:
            lines = [without(line, self._hidden) for line in lines]
        self._log.queue(STDERR, lines)


@define(eq=False, repr=False)
class ServerLog:
    """The log of one server.

    :ivar server: its name.
    """

    log = Logger()

    server: str
    _file: LogFile = field(repr=False)
    _redactor: Redactor = field(repr=False)
    _clock: Any = field(repr=False)
    _chronicle: EventHistory = field(init=False, repr=False)
    _queue: deque[tuple[str, bytes]] = field(init=False, factory=deque, repr=False)
    _queued: int = field(init=False, default=0)
    _left_out: int = field(init=False, default=0)
    _drain: Any = field(init=False, default=None, repr=False)
    _last: str = field(init=False, default="")
    _is_broken: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self._chronicle = EventHistory(HISTORY, UNWRITTEN_CHARS)

    def queue(self, source: str, lines: list[bytes]) -> None:
        """Queue lines of the server's own; see Note [A server that floods us]."""
        for line in lines:
            if not line.strip():
                continue
            head = line[:LINE_BYTES]
            self._queue.append((source, head))
            self._queued += len(head)
        while len(self._queue) > QUEUE_LINES or self._queued > QUEUE_BYTES:
            self._queued -= len(self._queue.popleft()[1])
            self._left_out += 1
        if self._drain is None:
            self._next()

    def _next(self) -> None:
        self._drain = None
        number = min(len(self._queue), BATCH)
        if number:
            self._take(number)
            self._drain = self._clock.callLater(PAUSE_S, self._next)

    def _take(self, number: int) -> None:
        made: list[FeedEntry] = []
        left_out, self._left_out = self._left_out, 0
        if left_out:
            made.append(self._entry(GATEWAY, f"{left_out} lines were left out: it writes too many at once"))
        for _ in range(number):
            source, line = self._queue.popleft()
            self._queued -= len(line)
            made.append(self._entry(source, line.decode(errors="replace").rstrip("\r")))
        self._keep(made)

    def settle(self) -> None:
        """Write the waiting lines; no further ones follow."""
        drain, self._drain = self._drain, None
        if drain is not None:
            drain.cancel()
        if self._queue:
            self._take(len(self._queue))

    def say(self, source: str, text: str) -> None:
        """Add a line that is not of a child's stderr."""
        self._keep([self._entry(source, text[:LINE_BYTES])])

    def _entry(self, source: str, text: str) -> FeedEntry:
        shown = one_line(self._redactor.redact(text, LINE_CHARS))
        self._last = stamp(self._clock.seconds(), self._last or self._newest())
        return FeedEntry(self._last, f"{self._last} {source} {shown}", server=self.server)

    def _newest(self) -> str:
        # A line of an earlier gateway, whose clock may have been ahead.
        return next((line.partition(" ")[0] for line in self._file.tail(1)), "")

    def _keep(self, entries: list[FeedEntry]) -> None:
        try:
            self._file.append([each.text for each in entries])
            self._is_broken = False
        except ConfigError as why:
            for each in entries:
                self._chronicle.keep(each)
            if not self._is_broken:
                self._is_broken = True
                # Without the server's name: events on a server are added to this log.
                self.log.warn(
                    "the log of {name} cannot be written: {why}",
                    event="log.unwritten",
                    name=self.server,
                    why=str(why),
                )
        for each in entries:
            self._chronicle.tell(each)

    def history(self, number: int = HISTORY, after: str = "") -> list[FeedEntry]:
        """Return the last lines, the oldest first; with ``after`` only those that came after it."""
        written = (
            FeedEntry(line.partition(" ")[0], line, server=self.server) for line in self._file.tail(HISTORY)
        )
        found = sorted((*written, *self._chronicle.entries), key=lambda each: each.identifier)
        found = [each for each in found if each.identifier > after]
        return found[-number:] if number else []

    def follow(self, follower: Follower) -> Callable[[], None]:
        """Pass every line to a follower from now on; return a function that ends that."""
        return self._chronicle.follow(follower)

    def close(self) -> None:
        """Close the log, and tell its followers."""
        self.settle()
        self._chronicle.close()


class ServerLogs(Record):
    """The logs of all servers.

    :param make_file: makes the storage for a server's log.
    :ivar is_served: predicate: a server has that name.
    """

    redactor: Redactor
    _clock: Any
    _make_file: Callable[[str], LogFile]
    served: Callable[[], Collection[str]] = tuple
    _logs: dict[str, ServerLog] = msgspec.field(default_factory=dict)

    def is_known(self, server: str) -> bool:
        """Return whether a server of that name exists, or existed and has a log."""
        return server in self._logs or server in self.served()

    def of(self, server: str) -> ServerLog:
        """Return the log of a server, which may be empty."""
        found = self._logs.get(server)
        if found is None:
            found = self._logs[server] = ServerLog(
                server, self._make_file(server), self.redactor, self._clock
            )
        return found

    def __iter__(self) -> Iterator[ServerLog]:
        return iter(tuple(self._logs.values()))

    def hearing(self, server: str, secrets: tuple[str, ...] = ()) -> StderrLines:
        """Return the receiver for the stderr of a new child of a server.

        :param secrets: the secrets in the child's environment.
        """
        self.redactor.learn(secrets)
        # Secrets too short or common to be removed from all logs are still removed from this one.
        return StderrLines(self.of(server), tuple(each for each in secrets if not is_telling(each)))

    def log_message(self, server: str, level: str, data: bytes) -> None:
        """Log a server's ``notifications/message``: JSON, of any size."""
        text = data[:LINE_BYTES]
        if data[:1] == b'"' and len(data) < LINE_BYTES:
            with suppress(msgspec.DecodeError):
                text = msgspec.json.decode(data, type=str).encode(errors="replace")
        self.of(server).queue(MESSAGE, [b"[%b] %b" % (level[:LEVEL_CHARS].encode(errors="replace"), text)])

    def forget(self, server: str) -> None:
        """Close the log of a removed server; its file stays on the disk."""
        found = self._logs.pop(server, None)
        if found is not None:
            found.close()

    def close(self) -> None:
        """Close all logs: the gateway stops."""
        for each in self:
            each.close()


def stamp(seconds: float, after: str = "") -> str:
    """Return the time stamp of a line: UTC, with microseconds, later than that of the line before it."""
    made = _written(datetime.fromtimestamp(seconds, UTC))
    if made > after:
        return made
    try:
        former = datetime.fromisoformat(after)
    except ValueError:
        return made  # the text before is no line of this format
    return _written(former + timedelta(microseconds=1))


def _written(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
