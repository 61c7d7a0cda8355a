"""The one observer of all log events: it redacts, then passes on to the log, event streams and servers' logs.

Twisted's programs each choose observers of their own, ``twistd`` stdout or the one of ``--logger``, ``twist`` by its
options; this one is in front of all of them.  They get an event whose text is one line without secrets, with values of
any kind.

# Note [Where our observer comes in]
``twistd`` gets its observer by ``--logger`` only, ``twist`` not at all.  Both pass theirs to the beginner of logs,
once, after the gateway's service was made; so they are intercepted there.  Earlier events reach this observer as well,
since the beginner keeps them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from attrs import define, field
from twisted.logger import (
    ILogObserver,
    LogLevel,
    formatEvent,
    globalLogBeginner,
    globalLogPublisher,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from mcpgateway.escaping import one_line
from mcpgateway.observe.event_feed import EventHistory, FeedEntry
from mcpgateway.observe.own_log import OwnLog
from mcpgateway.observe.server_logs import GATEWAY, LogFile, ServerLogs, stamp
from mcpgateway.policy.secrets.redaction import LONGEST, Redactor
from mcpgateway.policy.secrets.shapes import MASK, is_secret

TEXT_CHARS = 8192  # of an event's text in the log
VALUE_CHARS = 1000  # of one value in it
TRACEBACK_CHARS = 32_768
EVENTS, EVENTS_CHARS = 1000, 524_288  # that are kept for clients that reconnect
RANKS = {level.name: rank for rank, level in enumerate(LogLevel.iterconstants())}
USUAL = "info"
# Debug events that all event streams get nevertheless.
FOLLOWED = frozenset(("server.state", "session.opened"))
KEPT = frozenset(("log_time", "log_level", "log_namespace", "log_system", "time", "system", "isError"))
# Keys that every event has, and that are no values of its own.
PLUMBING = frozenset(
    ("format", "time", "system", "namespace", "message", "isError", "why", "event", "failure")
)


class LoggedFailure:
    """A failure whose traceback has no secrets.

    It is in the place where `twisted.logger` expects the failure of an event.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def getTraceback(self, *_: object, **__: object) -> str:
        """Return the redacted text."""
        return self._text


@implementer(ILogObserver)
@define(eq=False, repr=False)
class LogPipeline:
    """Receives every event, redacts it, and passes it on.

    :ivar redactor: removes secrets.
    :ivar events: feed for followers of events.
    :ivar own: the gateway's own log, for its readers.
    :ivar logs: the servers' logs; None until `serve`.
    :ivar node: the name of this node of a cluster, which each event has; empty for a gateway that is alone.
    :ivar pinned: the level on the command line; empty: the level of the settings holds.
    """

    redactor: Redactor = field(factory=Redactor, repr=False)
    pinned: str = ""
    node: str = ""
    logs: ServerLogs | None = field(default=None, repr=False)
    events: EventHistory = field(init=False, repr=False)
    own: OwnLog = field(init=False, factory=OwnLog, repr=False)
    _level: str = field(init=False, default=USUAL)
    _sinks: tuple[ILogObserver, ...] = field(init=False, default=(), repr=False)
    _is_led: bool = field(init=False, default=False)
    _last: str = field(init=False, default="")

    def __attrs_post_init__(self) -> None:
        self.events = EventHistory(EVENTS, EVENTS_CHARS)

    @property
    def level(self) -> str:
        """The name of the lowest level that is logged."""
        return self.pinned or self._level

    def configure(self, level: str) -> None:
        """Log from this level on, unless the command line names another."""
        self._level = level

    def lead(self, beginner: Any = globalLogBeginner) -> None:
        """Get in front of the observers that logging begins with; see Note [Where our observer comes in]."""
        begin: Callable[..., None] = beginner.beginLoggingTo

        def began(observers: Any, *words: Any, **named: Any) -> None:
            self._sinks = tuple(observers)
            begin([self], *words, **named)

        beginner.beginLoggingTo = began
        self._is_led = True

    def begin(self) -> None:
        """Observe, if logging has begun without this observer."""
        if not self._is_led:
            globalLogPublisher.addObserver(self)

    def serve(self, clock: Any, make_file: Callable[[str], LogFile]) -> ServerLogs:
        """Keep a log of every server from now on."""
        self.logs = ServerLogs(self.redactor, clock, make_file)
        return self.logs

    def forget(self, server: str) -> None:
        """Close the log of a removed server."""
        if self.logs is not None:
            self.logs.forget(server)

    def dismiss(self) -> None:
        """End all event streams."""
        self.events.close()
        self.own.close()
        if self.logs is not None:
            self.logs.close()

    def end(self) -> None:
        """Write the waiting lines and end."""
        self.dismiss()
        if not self._is_led:
            globalLogPublisher.removeObserver(self)

    def __call__(self, event: dict[str, Any]) -> None:
        """Receive a log event."""
        level = getattr(event.get("log_level"), "name", USUAL)
        name = event.get("event")
        is_logged = RANKS[level] >= RANKS[self.level]
        if not (is_logged or name):
            return
        text = self._shown(formatEvent(dict(event)), TEXT_CHARS)
        values = {key: self._value(key, value) for key, value in event.items() if _is_shown(key)}
        if self.node:
            values.setdefault("node", self.node)
        failure = event.get("log_failure")
        if is_logged:
            self._log(event, text, values, failure)
        if not isinstance(name, str):
            return
        server = _server_of(name, event)
        if level != "debug" or name in FOLLOWED:
            self._publish(name, level, text, server, values, event)
        if is_logged and self.logs is not None and self.logs.is_known(server):
            self.logs.of(server).say(GATEWAY, f"[{level}] {text}")

    def _log(self, event: Mapping[str, Any], text: str, values: dict[str, Any], failure: Any) -> None:
        made: dict[str, Any] = {key: value for key, value in event.items() if key in KEPT}
        made |= values
        if event.get("event"):
            made["event"] = event["event"]
        made["log_text"] = text
        made["log_format"] = "{log_text}"
        if failure is not None:
            traceback = self._traceback(failure)
            made["log_failure"] = LoggedFailure(traceback)
            made["traceback"] = traceback  # for observers that format values
        for each in self._sinks:
            each(made)
        self.own.heard(made)

    def _publish(
        self,
        name: str,
        level: str,
        text: str,
        server: str,
        values: dict[str, Any],
        event: Mapping[str, Any],
    ) -> None:
        self._last = stamp(event.get("log_time", 0.0), self._last)
        body = {**values, "time": self._last, "level": level, "event": name, "text": text}
        if server:
            body["server"] = server
        self.events.add(FeedEntry(self._last, msgspec.json.encode(body).decode(), name, server))

    def _value(self, name: str, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if is_secret(name):
            return MASK
        try:
            text = value if isinstance(value, str) else str(value)
        except Exception:  # noqa: BLE001 - a value that cannot be formatted must not hide the others
            return "?"
        return self._shown(text, VALUE_CHARS)

    def _shown(self, text: str, most: int) -> str:
        return one_line(self.redactor.redact(text[: most + LONGEST], most))

    def _traceback(self, failure: Failure) -> str:
        try:
            text = failure.getTraceback()
        except Exception:  # noqa: BLE001 - as above
            text = "(its traceback cannot be told)"
        # The cause is at the end of a traceback.
        lines = self.redactor.redact(text[-TRACEBACK_CHARS:]).split("\n")
        return "\n".join(one_line(each) for each in lines)


def _is_shown(key: str) -> bool:
    return not key.startswith("log_") and key not in PLUMBING


def _server_of(name: str, event: Mapping[str, Any]) -> str:
    """Return the server of an event; empty for the gateway's own."""
    found = event.get("server")
    if found is None and name.startswith("server."):
        found = event.get("name")
    return found if isinstance(found, str) else ""
