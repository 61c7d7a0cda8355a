"""Sessions, and ending them."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from mcpgateway.doors.http.rest.asking import Asked
from mcpgateway.errors import InvalidParams
from mcpgateway.hub.switchboard import Switchboard


@frozen
class Sessions:
    """Ends sessions."""

    _switchboard: Switchboard

    async def end_by_pid(self, asked: Asked) -> Any:
        """End every session that belongs to a process."""
        pid = asked.path["pid"]
        if not (pid.isascii() and pid.isdigit() and len(pid) <= 10 and int(pid) > 0):
            raise InvalidParams("Invalid PID", "a whole number above 0 is expected")
        sessions = self._switchboard.sessions.owned_by(int(pid))
        killed = sum(self._switchboard.end(session, "its owner was ended") for session in sessions)
        return {"ok": True, "killed": killed, "sessions": len(sessions)}

    async def end(self, asked: Asked) -> Any:
        """End one session; an unknown id ends nothing, and that is no error."""
        killed = self._switchboard.end_named(asked.path["id"].encode(errors="replace"))
        return {"ok": True, "killed": int(killed)}
