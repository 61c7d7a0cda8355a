"""Logs of servers, the log and the events of the gateway, as streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.web.iweb import IRequest

from mcpgateway.discovery.naming import server_hint
from mcpgateway.errors import InvalidParams, UnknownServer
from mcpgateway.frontends.rest.event_streams import Readers, StreamReader
from mcpgateway.frontends.rest.operation import LAST_ID, Feed, OperationRequest, flag, number
from mcpgateway.observe.event_feed import EventHistory, FeedEntry
from mcpgateway.observe.own_log import OwnLog
from mcpgateway.observe.server_logs import HISTORY, ServerLog, ServerLogs


@frozen
class LogRoutes:
    """Streams of lines and of events.

    :ivar attend: looks after what needs the user for as long as the returned function is not called.
    """

    _logs: ServerLogs
    _own: OwnLog
    _events: EventHistory
    _readers: Readers
    _attend: Callable[[], Callable[[], None]]

    async def of_server(self, asked: OperationRequest) -> Any:
        """Stream the log of a server: its last lines, then new ones."""
        name = asked.path["name"]
        if not self._logs.is_known(name):
            raise UnknownServer(f"Unknown server: {name}", server_hint(name, self._logs.served()))
        return self._lines(asked, self._logs.of(name))

    async def own(self, asked: OperationRequest) -> Any:
        """Stream the gateway's own log: its last lines, then new ones."""
        return self._lines(asked, self._own)

    def _lines(self, asked: OperationRequest, log: ServerLog | OwnLog) -> Feed:
        tail = min(number("tail", asked.query.get("tail", str(HISTORY))), HISTORY)
        after, follows = _last(asked) or "", flag(asked, "follow")
        self._readers.check(asked.principal)

        def run(request: IRequest) -> Deferred[None]:
            """Write the log to the request; fires at its end."""
            follow = log.follow if follows else None
            return ensureDeferred(
                self._readers.serve(request, asked.principal, lambda: log.history(tail, after), follow)
            )

        return Feed(run)

    async def events(self, asked: OperationRequest) -> Any:
        """Stream the events of the gateway, from now on or after a given event."""
        after, follows = _last(asked), flag(asked, "follow")
        if after is None and "after" in asked.query:
            after = asked.query["after"]
            if after and not _is_time(after):
                raise InvalidParams(
                    '"after" must be the id of an event', "such as 2026-11-22T07:00:00.000000Z"
                )
        wants = _wanted(asked.query.get("kind", ""), asked.query.get("server", ""))
        events = self._events
        self._readers.check(asked.principal)

        def known() -> list[FeedEntry]:
            """Return the past events."""
            # Without following, the stream has past events only.
            return list(events.after(after or "")) if after is not None or not follows else []

        def run(request: IRequest) -> Deferred[None]:
            """Write the events to the request; fires at their end."""
            follow = self._follow if follows else None
            return ensureDeferred(self._readers.serve(request, asked.principal, known, follow, wants))

        return Feed(run)

    def _follow(self, reader: StreamReader) -> Callable[[], None]:
        leave, cease = self._events.follow(reader), self._attend()

        def end() -> None:
            leave()
            cease()

        return end


def _last(asked: OperationRequest) -> str | None:
    # An id that is none of the gateway's counts as no id.
    identifier = asked.header(LAST_ID)
    return identifier if identifier and _is_time(identifier) else None


def _is_time(text: str) -> bool:
    return text[0].isdigit()  # a date, or less than any: 0 for all entries


def _wanted(kinds: str, server: str) -> Callable[[FeedEntry], bool]:
    chosen = tuple(each.strip() for each in kinds.split(",") if each.strip())

    def wants(entry: FeedEntry) -> bool:
        is_kind = not chosen or any(
            entry.kind == each or entry.kind.startswith(f"{each}.") for each in chosen
        )
        return is_kind and (not server or entry.server == server)

    return wants
