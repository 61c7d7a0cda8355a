"""The sessions in use, for people and programs: their owners and activity, and ending them.

A session is ended by its id or its handle (`mcpgateway.hub.sessions.handle`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from attrs import field, frozen
from msgspec import Raw

from mcpgateway.config.document import printable
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.hub.sessions import HANDLE_CHARS, Session, handle
from mcpgateway.protocol import peek

LISTED_LIMIT = 1000  # sessions in one answer
NAME_CHARS = 100  # of a client's own name
ID_LIMIT = 512  # bytes


@frozen
class EndedSession:
    """The outcome of a request to end sessions.

    :ivar sessions: number of ended sessions.
    :ivar killed: number of children that were stopped with them.
    """

    sessions: int = 0
    killed: int = 0


@frozen
class SessionDirectory:
    """Lists the sessions in use, and ends them.

    :ivar wall: returns epoch seconds.
    """

    dispatcher: LegacyDispatcher = field(repr=False)
    wall: Callable[[], float] = field(repr=False)

    def listed(
        self, *, server: str = "", pid: int | None = None, limit: int = LISTED_LIMIT
    ) -> list[dict[str, Any]]:
        """Return the sessions in use, the one with the latest message first.

        :param server: only those of this server, or this view.
        :param pid: only those of this process.
        """
        found: Iterable[Session] = self.dispatcher.sessions
        if pid is not None:
            found = (each for each in found if each.owner == pid)
        if server:
            found = (each for each in found if server in _servers(each))
        ordered = sorted(found, key=lambda each: -each.seen)
        calls = self._calls()
        return [self._shown(each, calls[each]) for each in islice(ordered, max(0, limit))]

    def without(self, *, server: str = "", pid: int | None = None) -> list[dict[str, Any]]:
        """Return the clients that have no session, the one with the latest request first."""
        sessions = self.dispatcher.sessions
        found = [
            each
            for each in sessions.without.values()
            if (not server or each.server == server) and (pid is None or each.pid == pid)
        ]
        return [
            {
                "server": each.server,
                "client": _client({"clientInfo": Raw(each.info)} if each.info else None),
                "principal": each.principal,
                "pid": each.pid,
                "workspace": each.workspace,
                "began_at": _written(self.wall() - (sessions.now - each.began)),
                "last_activity_at": _written(self.wall() - (sessions.now - each.seen)),
                "idle_seconds": sessions.now - each.seen,
                "requests": each.requests,
                "calls": each.calls,
            }
            for each in sorted(found, key=lambda each: -each.seen)
        ]

    def _calls(self) -> Counter[Session]:
        counted: Counter[Session] = Counter()
        for holder in self.dispatcher.calls.holders():
            for call in holder.calls():
                session: Session | None = call.session
                if session is not None:
                    counted[session.outer or session] += 1
        return counted

    def _shown(self, session: Session, calls: int) -> dict[str, Any]:
        sessions = self.dispatcher.sessions
        idle = sessions.now - session.seen
        members = session.members.sessions.values() if session.members is not None else ()
        own = [each for each in (session, *members) if each.slot is not None and not each.slot.shared]
        issued = session.issued
        return {
            "id": handle(session.id),
            "server": session.server.name,
            "servers": _servers(session),
            "client": _client(sessions.params_of(session)),
            "principal": session.principal,
            "pid": session.owner,
            "workspace": session.server.workspace,
            "revision": session.version,
            "began_at": _written(issued.issued) if issued is not None else None,
            "last_activity_at": _written(self.wall() - idle),
            "idle_seconds": idle,
            "calls": calls,
            "streams": int(session.has_stream),
            "children": [pid for each in own if each.slot is not None for pid in each.slot.pids],
        }

    def end(self, name: str) -> EndedSession:
        """End a session, by its handle or its id; an id that is not in use cannot be used afterwards."""
        found = self._find(name)
        if found is not None:
            return self._end([found], "it was ended on request")
        identifier = name.encode(errors="replace")
        if len(identifier) <= ID_LIMIT:
            self.dispatcher.sessions.forget_parked(identifier)
        return EndedSession()

    def _find(self, name: str) -> Session | None:
        sessions = self.dispatcher.sessions
        if len(name) == HANDLE_CHARS:
            return next((each for each in sessions if handle(each.id) == name), None)
        return sessions.named(name.encode(errors="replace"))

    def end_owned_by(self, pid: int) -> EndedSession:
        """End all sessions of a process."""
        return self._end(self.dispatcher.sessions.owned_by(pid), "its owner was ended")

    def end_all(self) -> EndedSession:
        """End all sessions in use."""
        return self._end(self.dispatcher.sessions, "all sessions were ended on request")

    def _end(self, sessions: Iterable[Session], why: str) -> EndedSession:
        killed = [self.dispatcher.end(each, why) for each in list(sessions)]
        return EndedSession(len(killed), sum(killed))


def _servers(session: Session) -> list[str]:
    if session.members is None:
        return [session.server.name]
    return sorted({each.server.name for each in session.members.sessions.values()})


def _client(params: Any) -> dict[str, str]:
    info = peek.mapping(params, "clientInfo")
    members = {name: info.get(name) for name in ("name", "version")}
    return {name: printable(value)[:NAME_CHARS] for name, value in members.items() if isinstance(value, str)}


def _written(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
