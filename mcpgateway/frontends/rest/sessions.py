"""Sessions: their list, and ending them."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from mcpgateway.config.document import visible
from mcpgateway.errors import InvalidParams, NotThere
from mcpgateway.frontends.rest.operation import OperationRequest, number
from mcpgateway.hints import cli
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.observe.sessions import ID_LIMIT, LISTED_LIMIT, EndedSession, SessionDirectory

LISTED = f"{cli('sessions list')} (GET /api/v1/sessions) shows those there are"
WHICH = "name a session in the path, or say ?pid=PID or ?all=true"


@frozen
class SessionRoutes:
    """Lists sessions, and ends them."""

    _dispatcher: LegacyDispatcher
    _book: SessionDirectory

    async def listed(self, asked: OperationRequest) -> Any:
        """Return the sessions in use, the one with the latest message first, and the clients without one."""
        query = asked.query
        pid = _pid(query["pid"]) if "pid" in query else None
        limit = number("limit", query["limit"]) if "limit" in query else LISTED_LIMIT
        server = query.get("server", "")
        found = self._book.listed(server=server, pid=pid, limit=min(limit, LISTED_LIMIT))
        without = self._book.without(server=server, pid=pid)
        return {"sessions": found, "count": len(self._dispatcher.sessions), "without": without}

    async def kill(self, asked: OperationRequest) -> Any:
        """End one session."""
        ended = self._book.end(asked.path["id"])
        if not ended.sessions:
            raise NotThere("there is no such session", LISTED)
        return _told(ended)

    async def kill_some(self, asked: OperationRequest) -> Any:
        """End the sessions of a process, or all of them."""
        query = asked.query
        if "pid" in query:
            return _told(self._book.end_owned_by(_pid(query["pid"])))
        if query.get("all", "") in ("1", "true"):
            return _told(self._book.end_all())
        raise InvalidParams("which sessions?", WHICH)

    async def end_by_pid(self, asked: OperationRequest) -> Any:
        """End every session that belongs to a process."""
        return _told(self._book.end_owned_by(_pid(asked.path["pid"])))

    async def end(self, asked: OperationRequest) -> Any:
        """End one session, by its complete id; an unknown id ends none, without an error."""
        killed = self._dispatcher.end_named(asked.path["id"].encode(errors="replace"))
        return {"ok": True, "killed": int(killed)}

    async def kill_named(self, asked: OperationRequest) -> Any:
        """End one session, in the format of immorterm-mcp-gateway."""
        name = asked.path["id"]
        ended = self._book.end(name)
        if not ended.sessions:
            raise NotThere(f"Session not found: {visible(name[:ID_LIMIT])}", LISTED)
        return {**_told(ended), "sessionId": name}

    async def kill_all(self, _: OperationRequest) -> Any:
        """End all sessions."""
        return _told(self._book.end_all())


def _told(ended: EndedSession) -> dict[str, Any]:
    return {"ok": True, "killed": ended.killed, "sessions": ended.sessions}


def _pid(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) > 0):
        raise InvalidParams("Invalid PID", "a whole number above 0 is expected")
    return int(text)
