"""The control plane, on Klein: health, and ending sessions.

Imported when it is first asked for: Klein costs 4 MB and a tenth of a second.
"""

from __future__ import annotations

from typing import Any

import msgspec
from klein import Klein
from twisted.web.iweb import IRequest
from twisted.web.server import Site

from mcpgateway.hub.census import Census
from mcpgateway.hub.switchboard import Switchboard


class Control:
    """Answers what is not MCP; every route here is declared in ``routes.py`` too, or it cannot be reached."""

    app: Any = Klein()

    def __init__(self, switchboard: Switchboard, census: Census) -> None:
        self._switchboard = switchboard
        self._census = census

    @app.route("/health", methods=["GET", "HEAD"])  # type: ignore[untyped-decorator]  # Klein is untyped
    def health(self, request: IRequest) -> bytes:
        """The gateway's numbers; ``?shape=immorterm`` gives them in S000's body."""
        shape = (request.args or {}).get(b"shape", [b""])[0]
        return _json(request, self._census.immorterm() if shape == b"immorterm" else self._census.health())

    @app.route("/healthz", methods=["GET", "HEAD"])  # type: ignore[untyped-decorator]  # Klein is untyped
    def healthz(self, request: IRequest) -> bytes:
        """One word for a supervisor."""
        return _json(request, {"status": "ok"})

    @app.route("/sessions/by-pid/<pid>", methods=["DELETE"])  # type: ignore[untyped-decorator]  # Klein is untyped
    def end_by_pid(self, request: IRequest, pid: str) -> bytes:
        """End every session that belongs to a process."""
        if not (pid.isascii() and pid.isdigit() and len(pid) <= 10 and int(pid) > 0):
            request.setResponseCode(400)
            return _json(request, {"error": "Invalid PID"})
        sessions = self._switchboard.sessions.owned_by(int(pid))
        killed = sum(self._switchboard.end(session, "its owner was ended") for session in sessions)
        return _json(request, {"ok": True, "killed": killed, "sessions": len(sessions)})

    @app.route("/sessions/<identifier>", methods=["DELETE"])  # type: ignore[untyped-decorator]  # Klein is untyped
    def end(self, request: IRequest, identifier: str) -> bytes:
        """End one session; an unknown id ends nothing, and that is no error."""
        killed = self._switchboard.end_named(identifier.encode(errors="replace"))
        return _json(request, {"ok": True, "killed": int(killed)})


def make_site(switchboard: Switchboard, census: Census) -> Site:
    """The control plane as a site for the channel; forms are never parsed before a handler asks for it."""
    control = Control(switchboard, census)
    return Site(control.app.resource(), parsePOSTFormSubmission=False)


def _json(request: IRequest, value: Any) -> bytes:
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"cache-control", b"no-store")
    return msgspec.json.encode(value)
