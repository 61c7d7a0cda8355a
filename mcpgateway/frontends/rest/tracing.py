"""The overview, diagnosis of servers, the flight recorder, the activity log and the usage that it shows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.web.iweb import IRequest

from mcpgateway.errors import InvalidParams, NotEntitled, NotThere, UnknownServer
from mcpgateway.frontends.rest.event_streams import Readers
from mcpgateway.frontends.rest.operation import (
    LAST_ID,
    Feed,
    OperationAnswer,
    OperationRequest,
    flag,
    number,
)
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.hub.meters import ERROR
from mcpgateway.manage.replay import REQUESTS_MOST, RecordedRequest, replay
from mcpgateway.observe.activity import SHOWN, SHOWN_MOST, ActivityEntry, ActivityLog
from mcpgateway.observe.activity_filter import EVERYTHING, ActivityFilter
from mcpgateway.observe.call_phases import phases, questions
from mcpgateway.observe.event_feed import FeedEntry
from mcpgateway.observe.overview import Overview
from mcpgateway.observe.recorder import Recording, written
from mcpgateway.observe.roster import named
from mcpgateway.observe.usage import KEYS, PRINCIPAL, TOKEN, USAGE_MINUTES, span, usage
from mcpgateway.observe.why import Diagnoser

PRIVATE = (PRINCIPAL, "id", "text")  # they would tell others of calls, one guess at a time
TIMEOUT = "timeout"
WORDS_CHARS = 200
REPLAYED = 'such as {"requests": [{"method": "tools/list", "params": {}}]}'
MEMBERS = ("server", "tool", "outcome", "principal", "kind", "client", "project")

PASSING = frozenset(("uptime", "uptime_seconds", "mtbf_seconds", "next_try_s"))
"""The numbers that change with time alone."""


def _digest(found: Mapping[str, Any]) -> str:
    lasting = {name: value for name, value in found.items() if name not in PASSING}
    servers = [
        {name: value for name, value in each.items() if name not in PASSING} for each in found["backends"]
    ]
    return hashlib.blake2b(msgspec.json.encode({**lasting, "backends": servers}), digest_size=12).hexdigest()


class TracingRoutes:
    """The operations for diagnosis."""

    def __init__(
        self,
        why: Diagnoser,
        overview: Overview,
        recording: Recording,
        activity: ActivityLog | None,
        readers: Readers,
        dispatcher: LegacyDispatcher,
    ) -> None:
        self._dispatcher = dispatcher
        self._readers = readers
        self._activity = activity
        self._overview = overview
        self._why = why
        self._recording = recording

    async def overview(self, asked: OperationRequest) -> Any:
        """Return whether all is well, what needs the user, and the numbers of the gateway.

        The entity tag does not depend on what changes with time alone, so a page that asks often is mostly told 304.
        """
        await self._overview.learn()
        found = self._overview.tell(asked.principal)
        tag = f'W/"{_digest(found)}"'
        if tag in (asked.header("if-none-match") or ""):
            return OperationAnswer(304, headers={"ETag": tag}, body=b"")
        return OperationAnswer(200, found, {"ETag": tag})

    async def why(self, asked: OperationRequest) -> Any:
        """Return the diagnosis of a server."""
        return self._why.tell(asked.path["name"])

    async def record(self, asked: OperationRequest) -> Any:
        """Return the recorded messages of a server."""
        name, limit = asked.path["name"], asked.query.get("limit")
        most, is_exact = None if limit is None else number("limit", limit), flag(asked, "exact", usual=False)
        lines = await self._recording.export(name, most, is_exact=is_exact)
        if not lines and not self._why.is_known(name):
            raise UnknownServer(f"Unknown server: {name}")
        return {"server": name, "lines": lines}

    async def replay(self, asked: OperationRequest) -> Any:
        """Send recorded requests to a server again; return its answers."""
        server, members = named(self._dispatcher.servers, asked.path["name"]), asked.members(REPLAYED)
        try:
            requests = msgspec.json.decode(members["requests"], type=list[RecordedRequest])
        except (KeyError, msgspec.DecodeError) as why:
            raise InvalidParams(f'"requests" must be a list of recorded requests: {why}', REPLAYED) from None
        if len(requests) > REQUESTS_MOST:
            raise InvalidParams(f'"requests" has {len(requests)} entries; at most {REQUESTS_MOST} are taken')
        redact = None if bytes(members.get("exact", b"")) == b"true" else self._recording.redact
        answers = await replay(
            self._dispatcher, self._recording.clock, server, asked.principal, requests, redact
        )
        return {"server": server.name, "answers": answers}

    async def usage(self, asked: OperationRequest) -> Any:
        """Return the use of servers and tools, counted from the activity log."""
        if self._activity is None:
            raise NotThere("no calls are counted", "gateway.trace.activity switches it on")
        by, minutes = asked.query.get("by", "client"), _minutes(asked)
        if by not in KEYS:
            raise InvalidParams(f'"by" must be one of {", ".join(KEYS)}')
        if not asked.is_admin and (
            by in (PRINCIPAL, TOKEN) or any(asked.query.get(each) for each in PRIVATE)
        ):
            raise NotEntitled("the use by principals, and of single calls, is for administrators")
        now, wanted = self._activity.now(), _wanted(asked)
        return await self._activity.ask(lambda lines: usage(lines, by, now, minutes, wanted))

    async def activity(self, asked: OperationRequest) -> Any:
        """Return the latest records of the activity log, or stream them: the latest ones, then new ones."""
        if self._activity is None:
            raise NotThere("nothing is written down", "gateway.trace.activity switches it on")
        activity, most = self._activity, number("limit", asked.query.get("limit", str(SHOWN)))
        wanted = _wanted(asked)
        if "minutes" in asked.query and not wanted.since:
            since = written(span(activity.now(), _minutes(asked))[0])
            wanted = msgspec.structs.replace(wanted, since=since)
        if not flag(asked, "follow", usual=False):
            return {"records": await activity.find(most, wanted)}
        last = asked.header(LAST_ID)
        if last and last[0].isdigit():  # one of the gateway's, of which all that follow are wanted
            wanted, most = msgspec.structs.replace(wanted, after=last), SHOWN_MOST
        self._readers.check(asked.principal)

        def is_new(entry: FeedEntry) -> bool:
            """Return whether a reader wants a record."""
            return not isinstance(entry, ActivityEntry) or wanted.takes(entry.record)

        def run(request: IRequest) -> Deferred[None]:
            """Write the records to the request; fires at its end."""
            return ensureDeferred(served(request))

        async def served(request: IRequest) -> None:
            past = await activity.entries(most, wanted)
            await self._readers.serve(request, asked.principal, lambda: past, activity.feed.follow, is_new)

        return Feed(run)

    async def call(self, asked: OperationRequest) -> Any:
        """Return one record of the activity log; of a call with its phases, questions and recorded messages."""
        identifier = asked.path["id"]
        wanted = ActivityFilter(members={"id": identifier})
        found = await self._activity.find(1, wanted) if self._activity is not None else []
        if not found:
            raise NotThere(
                f"the activity log has no {identifier}",
                "GET /api/v1/activity lists what it has; it is kept for a while",
            )
        frames = self._recording.of_call(found[0])
        return {
            "record": found[0],
            "phases": phases(found[0]),
            "questions": questions(found[0]),
            "messages": frames,
            "is_recorded": bool(frames),
        }


def _minutes(asked: OperationRequest) -> int:
    minutes = number("minutes", asked.query.get("minutes", "60"))
    if not 0 < minutes <= USAGE_MINUTES:
        raise InvalidParams(f'"minutes" must be 1 to {USAGE_MINUTES}')
    return minutes


def _wanted(asked: OperationRequest) -> ActivityFilter:
    query = asked.query
    slower = query.get("slower_than", "")
    members = {name: query[name] for name in MEMBERS if query.get(name)}
    is_timed_out = members.get("outcome") == TIMEOUT
    if is_timed_out:
        members["outcome"] = ERROR
    found = ActivityFilter(
        members,
        query.get("id", ""),
        _moment("since", query.get("since", "")),
        _moment("until", query.get("until", "")),
        before=query.get("before", ""),
        slower_ms=number("slower_than", slower) if slower else 0.0,
        is_failed=flag(asked, "failed", usual=False),
        is_timed_out=is_timed_out,
        words=tuple(query.get("text", "")[:WORDS_CHARS].lower().split()),
    )
    return EVERYTHING if found == EVERYTHING else found


def _moment(name: str, text: str) -> str:
    if not text:
        return ""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidParams(f'"{name}" must be a time', "such as 2026-11-22T07:00:00Z") from None
    return written((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp())
