"""The control plane, on Klein: ending sessions, clients' files, and the way back from authorization servers.

Imported when it is first asked for: Klein costs 4 MB and a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import msgspec
from klein import Klein
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.server import Site

from mcpgateway.doors.http.routes import API, VERSIONED
from mcpgateway.doors.http.statuses import control_status_of
from mcpgateway.doors.http.tools import Tools
from mcpgateway.errors import GatewayError, InvalidParams
from mcpgateway.hub.clients import Clients
from mcpgateway.hub.owners import Owners
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

    def __init__(self, switchboard: Switchboard, let_in: LetIn, clients: Clients, tools: Tools) -> None:
        self._switchboard = switchboard
        self._let_in = let_in
        self._clients = clients
        self._tools = tools

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

    @app.route("/clients", methods=["GET", "HEAD"])  # type: ignore[untyped-decorator]  # Klein is untyped
    def clients(self, request: IRequest) -> bytes:
        """The clients' files that lead here."""
        return _json(request, {"clients": self._clients.listed()})

    @app.route("/clients/detect", methods=["GET", "HEAD"])  # type: ignore[untyped-decorator]  # Klein is untyped
    def detect(self, request: IRequest) -> Deferred[bytes]:
        """The clients that this machine has."""
        return self._told(
            request, lambda: self._clients.detect().addCallback(lambda found: {"detected": found})
        )

    @app.route("/clients/register", methods=["POST"])  # type: ignore[untyped-decorator]  # Klein is untyped
    def register(self, request: IRequest) -> Deferred[bytes]:
        """Lead a client's files here."""

        def done() -> Deferred[Any]:
            said = _said(request)
            return self._clients.register(said.get("tool"), said.get("configPath"))

        return self._told(request, done)

    @app.route("/projects/register", methods=["POST"])  # type: ignore[untyped-decorator]  # Klein is untyped
    def register_project(self, request: IRequest) -> Deferred[bytes]:
        """Lead a project's file here."""
        return self._told(request, lambda: self._clients.register_project(_said(request).get("configPath")))

    @app.route("/api/gateway/disable", methods=["POST"])  # type: ignore[untyped-decorator]  # Klein is untyped
    def disable(self, request: IRequest) -> Deferred[bytes]:
        """Switch the gateway off softly: clients use their own servers, and it goes on running."""
        return self._told(request, self._clients.disable)

    @app.route("/api/gateway/enable", methods=["POST"])  # type: ignore[untyped-decorator]  # Klein is untyped
    def enable(self, request: IRequest) -> Deferred[bytes]:
        """Switch it on again."""
        return self._told(request, self._clients.enable)

    @app.route("/api/gateway/config", methods=["GET", "HEAD"])  # type: ignore[untyped-decorator]  # Klein is untyped
    def config(self, request: IRequest) -> bytes:
        """What the gateway does with clients' files."""
        return _json(request, self._clients.config())

    @app.route("/api/v1/", branch=True)  # type: ignore[untyped-decorator]  # Klein is untyped
    def api(self, request: IRequest) -> Any:
        """What is for programs: tools, and calling them."""
        return self._tools.app.resource()

    @app.route("/api/<path:rest>", methods=["GET", "HEAD", "POST"])  # type: ignore[untyped-decorator]
    def versioned(self, request: Any, rest: str) -> bytes:
        """Tell where that is which was asked for without its version."""
        request.setHeader(b"location", VERSIONED + request.uri.removeprefix(API))
        request.setResponseCode(307)
        return b""

    def _told(self, request: IRequest, ask: Callable[[], Deferred[Any]]) -> Deferred[bytes]:
        def failed(why: Failure) -> bytes:
            error = why.value
            if not isinstance(error, GatewayError):
                self.log.failure("a request to the control plane broke", why, event="control.broken")
                error = GatewayError("Something went wrong in the gateway; its log says what.")
            request.setResponseCode(control_status_of(error))
            return _json(request, {"error": error.message, "hint": error.hint})

        done = maybeDeferred(ask)
        return done.addCallback(lambda found: _json(request, found)).addErrback(failed)

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


def make_site(
    switchboard: Switchboard, let_in: LetIn, clients: Clients, owners: Owners, clock: IReactorTime
) -> Site:
    """The control plane as a site for the channel; forms are never parsed before a handler asks for it."""
    control = Control(switchboard, let_in, clients, Tools(switchboard, owners, clock))
    return Site(control.app.resource(), parsePOSTFormSubmission=False)


def _said(request: IRequest) -> Mapping[str, Any]:
    """Return what the body of a request says.

    :raise InvalidParams: it is no JSON object.
    """
    try:
        found = msgspec.json.decode(request.content.read())
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InvalidParams("the body: expected a JSON object", 'such as {"configPath": "/…/.mcp.json"}')
    return found


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
