"""The control plane, on Klein: health, ending sessions, and the way back from authorization servers.

Imported when it is first asked for: Klein costs 4 MB and a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import msgspec
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.server import Site

from mcpgateway.errors import GatewayError
from mcpgateway.hub.census import Census
from mcpgateway.hub.switchboard import Switchboard

LetIn = Callable[[Mapping[str, str]], Deferred[str]]
"""Takes what a browser brings back from an authorization server; fires with the name of the server it was for."""

PAGE = """\
<!doctype html>
<html lang="en"><meta charset="utf-8"><title>mcpgateway</title>
<body style="font: 16px/1.5 sans-serif; max-width: 32em; margin: 4em auto"><p>{text}</p></body></html>
"""


class Control:
    """Answers what is not MCP; every route here is declared in ``routes.py`` too, or it cannot be reached."""

    app: Any = Klein()
    log = Logger()

    def __init__(self, switchboard: Switchboard, census: Census, let_in: LetIn) -> None:
        self._switchboard = switchboard
        self._census = census
        self._let_in = let_in

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

    @app.route("/oauth/callback", methods=["GET"])  # type: ignore[untyped-decorator]  # Klein is untyped
    def let_in(self, request: IRequest) -> Deferred[bytes]:
        """A user's browser comes back from letting the gateway in at a remote server (OAuth 2.1)."""
        query = {
            name.decode(errors="replace"): values[0].decode(errors="replace")
            for name, values in request.args.items()
        }
        done = self._let_in(query)
        return done.addCallbacks(
            lambda server: _page(request, f"The gateway may use {server} now. You can close this window."),
            lambda why: _page(request, _told(why), status=400),
        )


def make_site(switchboard: Switchboard, census: Census, let_in: LetIn) -> Site:
    """The control plane as a site for the channel; forms are never parsed before a handler asks for it."""
    control = Control(switchboard, census, let_in)
    return Site(control.app.resource(), parsePOSTFormSubmission=False)


def _json(request: IRequest, value: Any) -> bytes:
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"cache-control", b"no-store")
    return msgspec.json.encode(value)


def _page(request: IRequest, text: str, status: int = 200) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"content-type", b"text/html; charset=utf-8")
    request.setHeader(b"cache-control", b"no-store")
    request.setHeader(b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'")
    # The address of this page holds the code.
    request.setHeader(b"referrer-policy", b"no-referrer")
    return PAGE.format(text=escape(text)).encode()


def _told(why: Failure) -> str:
    if isinstance(why.value, GatewayError):
        return why.value.message
    Control.log.failure("an answer of an authorization server broke", why, event="oauth.broken")
    return "Something went wrong in the gateway; its log says what."
