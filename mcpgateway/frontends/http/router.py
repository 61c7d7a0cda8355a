"""Route requests: MCP paths to their frontend, all others to Klein; the guard judges each one first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec.structs import replace
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway import __version__
from mcpgateway.config.diff import Change
from mcpgateway.config.gateway_settings import Limits
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.names import RESERVED_AFTER_MCP, sse_base
from mcpgateway.errors import GatewayError, Refused, UnknownServer
from mcpgateway.frontends.http.guard import NO_STORE, Guard, Later
from mcpgateway.frontends.http.health import HealthEndpoint
from mcpgateway.frontends.http.mcp import LegacyEndpoint, refuse
from mcpgateway.hub.views import ViewsConfig
from mcpgateway.policy.access import TOKEN, Deny, Pass, Reach, RouteClass
from mcpgateway.policy.oauth.resource import WELL_KNOWN
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.links import SaidLink
from mcpgateway.records import FrozenRecord
from mcpgateway.views.specs import view_specs

if TYPE_CHECKING:
    from twisted.web.server import Site

    from mcpgateway.frontends.http.legacy_sse import LegacySse
    from mcpgateway.frontends.http.pages import PagesEndpoint

METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"))
MESSAGING = frozenset((b"POST", b"DELETE"))
MCP_PATHS = frozenset((b"mcp", b"sse", b"messages"))  # the second segment, behind the name of a server
PAGES = b"/ui/"
LEADING = frozenset((b"/dashboard", b"/dashboard/", b"/ui"))
"""The paths that lead to the dashboard, besides the bare address."""

ALLOW_ALL = b"Allow: GET, HEAD, POST, DELETE\r\n"
LINKS = {"mcp": "/mcp", "api": "/api/v1", "description": "/api/v1/openapi.json"}
NOT_FOUND = b'{"error":"Not found","hint":"GET /api/v1/openapi.json lists what there is"}'
NOT_SO = b'{"error":"Method not allowed","hint":"it answers to %b"}'
DISABLED = jsonrpc.error_bytes(b"null", GatewayError("Gateway is disabled"))
REMEDIES = {
    "Internal error": GatewayError.remedy,
    "Request body too large": "send less at once; gateway.limits.rest_body_bytes says how much may come",
    "Request headers too large": "send fewer and shorter headers",
    "Request target too long": "ask for less in one URL",
    "The request took too long": "send it faster, or less at once",
}
"""The hint of a request that was refused before it was parsed."""

PLAIN = "send a plain HTTP/1.1 request, with Host and Content-Length"
ASTRAY = "Not found: there is no MCP endpoint at this path"
NAME_SHOWN = 100  # characters of an unknown server's name in an error


Serve = Callable[[Any, ServerSpec, str], None]
LookAgain = Callable[[], Deferred[None]]


class SiteMaker(Protocol):
    """Builds the control plane for its first request; Klein costs memory and start-up time."""

    def __call__(self) -> Site:
        """Return the site of all paths that are not MCP."""


class RouteTarget(FrozenRecord, frozen=True):
    """The target of a path: its access class and, for MCP, its server and frontend.

    :ivar unknown: the name in the path, if no server has it.
    :ivar is_astray: True if the path has no endpoint, but looks like one of MCP.
    :ivar is_page: True if the path is the dashboard's.
    """

    route: RouteClass
    server: ServerSpec | None = None
    serve: Serve | None = None
    unknown: str = ""
    is_astray: bool = False
    is_page: bool = False


class AdmittedRequest(FrozenRecord, frozen=True):
    """A request that the guard has admitted: its target, principal, rights and workspace.

    :ivar pending: fires when the request can be judged; None if it has been.
    :ivar link: the link of another node of the cluster, which has judged the client; else None.
    """

    target: RouteTarget
    principal: str
    is_admin: bool = False
    project: str = ""
    pending: Deferred[None] | None = None
    link: SaidLink | None = None


class Root:
    """The root of all paths, called by the channel.

    :ivar look_again: reads the configuration again, which may name more servers by now.
    :ivar settle: the same for the control plane, with a short wait.
    :ivar is_disabled: True while the gateway is disabled: all requests to servers are refused.
    :ivar has_pages: returns whether the dashboard is served.
    :ivar passes: passes a request to the control plane on to another node; returns False if it is served here.
    """

    log = Logger()

    def __init__(
        self,
        servers: tuple[ServerSpec, ...],
        mcp: LegacyEndpoint,
        make_sse: Callable[[], LegacySse],
        guard: Guard,
        limits: Limits,
        make_site: SiteMaker,
        health: HealthEndpoint,
    ) -> None:
        self.look_again: LookAgain = _nothing_new
        self.settle: LookAgain = _nothing_new
        self.is_disabled = False
        self.has_pages: Callable[[], bool] = lambda: True
        self.passes: Callable[[Any], bool] = _passes_nothing
        self._mcp = mcp
        self._guard = guard
        self._limits = limits
        self._make_site = make_site
        self._health = health
        self._pages: PagesEndpoint | None = None
        self._site: Site | None = None
        self._make_sse = make_sse
        self._sse: LegacySse | None = None
        self._servers: dict[str, ServerSpec] = {}
        self._views: dict[str, ServerSpec] = {}
        self._targets: dict[bytes, RouteTarget] = {}
        self.serve(servers)

    def serve(self, everything: tuple[ServerSpec, ...]) -> None:
        """Serve these servers, and views of all of them, from now on, and no others."""
        servers = [each for each in everything if not each.view]
        views = [each for each in everything if each.view]
        targets: dict[bytes, RouteTarget] = {}
        for server in servers:
            targets[f"/{server.name}/sse".encode()] = RouteTarget(RouteClass.MCP, server, self._listen)
            targets[f"/{server.name}/messages".encode()] = RouteTarget(RouteClass.MCP, server, self._say)
        for server in servers:  # the last, so that /mcp/sse is the server of that name
            target = RouteTarget(RouteClass.MCP, server, self._mcp.handle)
            targets[f"/{server.name}/mcp".encode()] = target
            if server.name not in RESERVED_AFTER_MCP:
                targets[f"/mcp/{server.name}".encode()] = target
        for view in views:
            targets[f"/{view.name}".encode()] = RouteTarget(RouteClass.MCP, view, self._mcp.handle)
            base = sse_base(view.name, is_view=True)  # longer or shorter than a server's path
            targets[f"{base}/sse".encode()] = RouteTarget(RouteClass.MCP, view, self._listen)
            targets[f"{base}/messages".encode()] = RouteTarget(RouteClass.MCP, view, self._say)
        self._servers = {server.name: server for server in servers}
        self._views = {view.name: view for view in views}
        self._targets = targets

    def apply(self, change: Change) -> None:
        """Apply a change of the configuration: servers of which only quiet settings differ keep their paths."""
        settings = change.settings
        if not change.is_quiet or change.concerns("views", "profiles"):
            self.serve((*settings.servers, *view_specs(ViewsConfig(settings.gateway, settings.profiles))))
        elif change.changed:
            self._replace(change.latter)

    def _replace(self, servers: Iterable[ServerSpec]) -> None:
        changed = {each.name: each for each in servers}
        self._servers |= changed
        for path, target in self._targets.items():
            if target.server is not None and not target.server.view and target.server.name in changed:
                self._targets[path] = replace(target, server=changed[target.server.name])

    def configure(self, limits: Limits) -> None:
        """Set the limit of bodies."""
        self._limits = limits

    def switch(self, is_disabled: bool) -> None:  # noqa: FBT001 - FBT001 - the only argument
        """Enable or disable all requests to servers."""
        self.is_disabled = self._mcp.is_disabled = is_disabled

    def opened(self, exchange: Any) -> int:
        """Judge a request by its head; return the number of body bytes that it may have."""
        target = self.target(exchange)
        verdict = self._guard.judge(exchange, target.route)
        if isinstance(verdict, Deny):
            self._turn_away(exchange, target, verdict)
            return 0
        if exchange.method not in METHODS:
            refuse(exchange, 405, "Method not allowed.")
            return 0
        if isinstance(verdict, Later):
            exchange.route = AdmittedRequest(target, "", pending=verdict.known)
        else:
            exchange.route = AdmittedRequest(target, verdict.principal, verdict.is_admin, verdict.project)
        return self._limits.body_bytes if target.route is RouteClass.MCP else self._limits.rest_body_bytes

    def target(self, exchange: Any) -> RouteTarget:
        """Return the target of a request."""
        found = self._targets.get(exchange.path)
        return found if found is not None else self._find(exchange)

    def admit(self, exchange: Any, target: RouteTarget, link: SaidLink) -> int:
        """Admit a request of another node for one of its clients, which that node has judged; as `opened`."""
        if target.route is not RouteClass.MCP or exchange.method not in METHODS:
            refuse(exchange, 404, ASTRAY)
            return 0
        exchange.route = AdmittedRequest(target, link.principal or TOKEN, link=link)
        return self._limits.body_bytes

    def would_refuse(self, exchange: Any) -> bool:
        """Return whether an admitted request would now be refused, or count for another principal."""
        admitted: AdmittedRequest = exchange.route
        if admitted.link is not None:
            return False
        match self._guard.judge(exchange, admitted.target.route):
            case Pass(principal):
                return bool(principal != admitted.principal)
            case verdict:
                return isinstance(verdict, Deny)

    def refusal(self, method: bytes, path: bytes, why: str, data: dict[str, Any] | None = None) -> bytes:
        """Return the body of a refusal: JSON-RPC on MCP paths, JSON on others.

        Without a readable path, the more likely format is used.
        """
        if not path or self._speaks_mcp(method, path):
            return jsonrpc.error_bytes(b"null", Refused(why, data=data))
        return msgspec.json.encode({"error": why, "hint": REMEDIES.get(why, PLAIN), **(data or {})})

    def _speaks_mcp(self, method: bytes, path: bytes) -> bool:
        target = self._targets.get(path) or self._targets.get(unquote_to_bytes(path))
        if target is not None:
            return target.route is RouteClass.MCP
        if path == b"/":
            return method in MESSAGING
        return _class_of(method, path) is RouteClass.NOTHING and is_of_mcp(path)

    def handle(self, exchange: Any) -> None:
        """Serve a request that the guard has admitted."""
        admitted: AdmittedRequest = exchange.route
        target = admitted.target
        if admitted.pending is not None:
            admitted.pending.addCallback(lambda _: self._judge_again(exchange, target))
            admitted.pending.addErrback(self._broken, exchange)
        elif self.is_disabled and target.route is RouteClass.MCP:
            exchange.answer(503, DISABLED)
        elif target.server is not None and target.serve is not None:
            # The server's definition may have changed while the body was received.
            self._serve(exchange, target.serve, target.server, admitted.principal)
        elif target.unknown or target.is_astray:
            looked = self.look_again()
            looked.addCallback(lambda _: self._once_more(exchange, admitted))
            looked.addErrback(self._broken, exchange)
        elif target.is_page and exchange.path == b"/" and not _wants_html(exchange):
            self._point(exchange)
        elif target.is_page and self.has_pages():
            self._show(exchange)
        elif target.route is RouteClass.PUBLIC and exchange.path.startswith(WELL_KNOWN):
            self._tell(exchange)
        elif target.route is RouteClass.NOTHING or target.is_page:
            _nothing(exchange)
        elif not self.passes(exchange):
            self._control(exchange)

    def _control(self, exchange: Any) -> None:
        if self._health.serves(exchange.path):
            self._health.handle(exchange)
        else:
            # The answer to a request reflects every change saved before it, such as the servers of a view.
            looked = self.settle()
            looked.addBoth(lambda _: self._to_web(exchange))
            looked.addErrback(self._broken, exchange)

    def _show(self, exchange: Any) -> None:
        from mcpgateway.frontends.http.pages import PagesEndpoint  # only those who open the dashboard need it

        self._pages = self._pages or PagesEndpoint()
        self._pages.handle(exchange)

    def _point(self, exchange: Any) -> None:
        # Other machines are not told the release, whose faults could be looked up.
        is_near = exchange.caller.reach is not Reach.REMOTE
        found = {"name": "mcpgateway", **({"version": __version__} if is_near else {}), **LINKS}
        if self.has_pages():
            found["dashboard"] = "/dashboard"
        exchange.answer(200, msgspec.json.encode(found), extra=NO_STORE)

    def _to_web(self, exchange: Any) -> None:
        if exchange.gone:
            return
        if self._site is None:
            self._site = self._make_site()
        # twisted.web costs memory and start-up time, and an MCP client never needs it.
        from mcpgateway.frontends.http.web_request import render

        render(exchange, self._site)

    def _judge_again(self, exchange: Any, target: RouteTarget) -> None:
        if exchange.gone:
            return
        verdict = self._guard.judge(exchange, target.route)
        if isinstance(verdict, Later):
            verdict = Deny(503, "Tokens cannot be judged now: the authorization server does not say how", 1)
        if isinstance(verdict, Deny):
            self._turn_away(exchange, target, verdict)
            return
        exchange.route = AdmittedRequest(target, verdict.principal, verdict.is_admin, verdict.project)
        self.handle(exchange)

    def _tell(self, exchange: Any) -> None:
        found = self._guard.metadata(exchange) if exchange.method in (b"GET", b"HEAD") else None
        if found is None:
            exchange.answer(404, NOT_FOUND)
        else:
            exchange.answer(200, msgspec.json.encode(found), extra=NO_STORE)

    def _turn_away(self, exchange: Any, target: RouteTarget, verdict: Deny) -> None:
        extra = self._guard.challenge(exchange, verdict)
        if verdict.wait_s:
            extra += b"Retry-After: %d\r\n" % verdict.wait_s
        if target.route is RouteClass.MCP:
            body = jsonrpc.error_bytes(b"null", Refused(verdict.why))
        else:
            body = msgspec.json.encode({"error": verdict.why, "hint": verdict.advice})
        exchange.answer(verdict.status, body, extra=extra)

    def _serve(self, exchange: Any, serve: Serve, meant: ServerSpec, principal: str) -> None:
        server = (self._views if meant.view else self._servers).get(meant.name)
        if server is None:
            _unknown(exchange, meant.name)
        else:
            serve(exchange, server, principal)

    def _once_more(self, exchange: Any, admitted: AdmittedRequest) -> None:
        # The access class of the target is the same, so the request needs no other verdict.
        target = self._targets.get(exchange.path) or self._find(exchange)
        if exchange.gone:
            return
        if target.server is not None and target.serve is not None:
            target.serve(exchange, target.server, admitted.principal)
        elif target.is_astray:
            exchange.answer(404, self.refusal(exchange.method, exchange.path, ASTRAY))
        else:
            self._serve_own(exchange, admitted.target.unknown, admitted.principal)

    def _broken(self, why: Failure, exchange: Any) -> None:
        self.log.failure("a request to a server that is new broke", why, event="request.broken")
        if not exchange.gone:
            exchange.answer(500, jsonrpc.error_bytes(b"null", GatewayError("Internal error")))

    def _listen(self, exchange: Any, server: ServerSpec, principal: str) -> None:
        self._sse = self._sse or self._make_sse()
        self._sse.listen(exchange, server, principal)

    def _say(self, exchange: Any, server: ServerSpec, principal: str) -> None:
        self._sse = self._sse or self._make_sse()
        self._sse.post(exchange, server.name, principal, is_view=bool(server.view))

    def _serve_own(self, exchange: Any, name: str, principal: str) -> None:
        part = exchange.path.rpartition(b"/")[2]
        if self._sse is not None and part == b"messages" and self._sse.serves(exchange, name):
            self._sse.post(exchange, name, principal)
            return
        serve = self._listen if part == b"sse" else self._mcp.handle
        self._mcp.handle_own(exchange, name, lambda server: serve(exchange, server, principal))

    def _find(self, exchange: Any) -> RouteTarget:
        path: bytes = exchange.path
        if path == b"/" and _is_message(exchange):
            return self._targets.get(b"/mcp", RouteTarget(RouteClass.NOTHING))
        if path.startswith(WELL_KNOWN):
            return RouteTarget(RouteClass.PUBLIC)
        if _is_page(exchange):
            return RouteTarget(RouteClass.PUBLIC, is_page=True)
        if b"%" in path:
            known = self._targets.get(unquote_to_bytes(path))
            if known is not None:
                return known
        route = _class_of(exchange.method, path)
        if route is not RouteClass.NOTHING:
            return RouteTarget(route)
        parts = path.split(b"/")
        if len(parts) == 3 and (parts[1] == b"mcp" or parts[2] in MCP_PATHS):
            name = parts[2] if parts[1] == b"mcp" and parts[2] != b"mcp" else parts[1]
            return RouteTarget(RouteClass.MCP, unknown=name[:NAME_SHOWN].decode(errors="replace") or "(none)")
        return (
            RouteTarget(RouteClass.MCP, is_astray=True)
            if is_of_mcp(path)
            else RouteTarget(RouteClass.NOTHING)
        )


def is_of_mcp(path: bytes) -> bool:
    """Return whether an unknown path looks like an MCP endpoint."""
    first, *rest = path.strip(b"/").split(b"/")
    if b"/.well-known/" in path:
        return False  # clients search metadata of an authorization server there, and would read another answer as such
    return first == b"mcp" or (len(rest) == 1 and rest[0] in MCP_PATHS) or (not rest and first in MCP_PATHS)


def _is_message(exchange: Any) -> bool:
    # At the bare address, a client speaks MCP; a browser requests a page.
    return exchange.method in MESSAGING or (
        exchange.method == b"GET" and exchange.headers.get(b"accept", b"").startswith(b"text/event-stream")
    )


def _is_page(exchange: Any) -> bool:
    path: bytes = exchange.path
    if path == b"/":
        return exchange.method in (b"GET", b"HEAD") and not _is_message(exchange)
    return path.startswith(PAGES) or path in LEADING


def _wants_html(exchange: Any) -> bool:
    return b"text/html" in exchange.headers.get(b"accept", b"")


def _nothing_new() -> Deferred[None]:
    return succeed(None)


def _class_of(method: bytes, path: bytes) -> RouteClass:
    # Clients of MCP use nothing of this large table.
    from mcpgateway.frontends.http.routes import class_of

    return class_of(method, path)


def _nothing(exchange: Any) -> None:
    from mcpgateway.frontends.http.routes import methods_of

    methods = ", ".join(methods_of(exchange.path)).encode()
    if methods:
        exchange.answer(405, NOT_SO % methods, extra=b"Allow: %b\r\n" % methods)
    else:
        exchange.answer(404, NOT_FOUND)


def _passes_nothing(exchange: Any) -> bool:
    """Serve all requests here."""
    return False


def _unknown(exchange: Any, name: str) -> None:
    exchange.answer(404, jsonrpc.error_bytes(b"null", UnknownServer(f"Unknown server: {name}")))
