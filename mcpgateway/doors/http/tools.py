"""Tools over plain HTTP, for scripts: what there is, what fits, how it is called, and having all servers asked.

Whoever calls a tool can do whatever that tool does, so calls are of the class that changes things: they need the token
or the Unix socket.  A client that hangs up takes its call back.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec
from attrs import field, frozen
from klein import Klein
from msgspec import Raw
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore, ensureDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from werkzeug.exceptions import HTTPException

from mcpgateway.config.model import ServerSpec
from mcpgateway.doors.http.placing import is_admin, said_place
from mcpgateway.doors.http.statuses import control_status_of
from mcpgateway.errors import GatewayError, InvalidParams, Overloaded
from mcpgateway.host.places import Place
from mcpgateway.hub.discovery import LIMIT_S, Discovery
from mcpgateway.hub.owners import Owners
from mcpgateway.hub.switchboard import Switchboard
from mcpgateway.hub.toolbox import Toolbox
from mcpgateway.wire import jsonrpc

CALL_S = 600.0  # the most that a call may take; clients hang up earlier
RUNNING, WAITING, WAIT_S = 100, 200, 30.0  # calls at once, calls that wait for their turn, and for how long
FOUND, FOUND_MOST = 10, 50
WHOLE_NUMBERS = frozenset(("offset", "limit", "head", "tail", "context"))
FLAGS = frozenset(("shape", "raw"))
LISTS = frozenset(("fields",))

Work = Callable[[], Coroutine[Any, Any, Any]]


@frozen
class Caller:
    """Who asks, and where he works."""

    principal: str
    is_admin: bool
    _exchange: Any = field(repr=False)
    _switchboard: Switchboard = field(repr=False)
    _owners: Owners = field(repr=False)

    def placed(self, server: ServerSpec) -> Deferred[ServerSpec]:
        """The variant of a server or view for where the caller works."""
        scopes = self._switchboard.scopes
        if not scopes.is_placed(server):
            return succeed(server)
        return self._place().addCallback(lambda place: scopes.variant(server, place))

    def own(self, name: str) -> Deferred[ServerSpec]:
        """The server of that name that the caller's workspace itself defines."""
        return self._place().addCallback(lambda place: self._switchboard.scopes.own(name, place.root))

    def _place(self) -> Deferred[Place]:
        scopes, peer = self._switchboard.scopes, self._exchange.caller
        said = said_place(self._exchange, self._owners)
        place = scopes.place(said, peer)
        looked = scopes.look_for(peer) if place is None else succeed(None)
        return looked.addCallback(lambda _: place or scopes.place(said, peer) or Place())


class Turns:
    """Lets so many calls run at once, and so many wait for a while."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._free = DeferredSemaphore(RUNNING)

    async def take(self, work: Work) -> Any:
        """Do the work when it is its turn.

        :raise Overloaded: too many wait already, or that takes too long.
        """
        if len(self._free.waiting) >= WAITING:
            raise Overloaded(f"{RUNNING} calls are under way and {WAITING} wait", "try again in a moment")
        turn = self._free.acquire()
        turn.addTimeout(WAIT_S, self._clock, onTimeoutCancel=_too_late)
        await turn
        try:
            return await work()
        finally:
            self._free.release()


class Tools:
    """Answers below ``/api/v1``; every route here is declared in ``routes.py`` too."""

    app: Any = Klein()
    log = Logger()

    def __init__(self, switchboard: Switchboard, owners: Owners, clock: IReactorTime) -> None:
        self._switchboard = switchboard
        self._owners = owners
        self._toolbox = Toolbox(switchboard, clock)
        self._discovery = Discovery(switchboard, clock)
        self._turns = Turns(clock)

    @app.route("/tools", methods=["GET", "HEAD"])  # type: ignore[untyped-decorator]  # Klein is untyped
    def tools(self, request: IRequest) -> Deferred[bytes]:
        """All tools, those of one server, or those that fit to what somebody wants."""

        async def listed() -> Any:
            """List them when it is their turn."""
            said = _query(request)
            caller, server = self._caller(request), said.get("server", "")
            if "q" not in said:
                return await self._toolbox.tools(caller, server)
            return await self._toolbox.search(caller, said["q"], _limit(said), server)

        return self._told(request, listed)

    @app.route("/tools/<path:identifier>", methods=["GET", "HEAD"])  # type: ignore[untyped-decorator]
    def describe(self, request: IRequest, identifier: str) -> Deferred[bytes]:
        """All there is to know of one tool."""
        return self._told(request, lambda: self._toolbox.describe(self._caller(request), identifier))

    @app.route("/tools/<path:identifier>/call", methods=["POST"])  # type: ignore[untyped-decorator]
    def call_by_id(self, request: IRequest, identifier: str) -> Deferred[bytes]:
        """Call a tool by its id."""

        async def called() -> Any:
            """Call it when it is its turn."""
            asked = _asked(request)
            return await self._toolbox.call_by_id(
                self._caller(request), identifier, asked.arguments, asked.limit_s
            )

        return self._told(request, lambda: self._turns.take(called))

    @app.route("/servers/<name>/call", methods=["POST"])  # type: ignore[untyped-decorator]
    def call(self, request: IRequest, name: str) -> Deferred[bytes]:
        """Call a tool of a server by its own name."""

        async def called() -> Any:
            """Call it when it is its turn."""
            asked = _asked(request)
            if not asked.tool:
                raise InvalidParams('"tool" is missing', EXPECTED)
            return await self._toolbox.call(
                self._caller(request), name, asked.tool, asked.arguments, asked.limit_s
            )

        return self._told(request, lambda: self._turns.take(called))

    @app.route("/results/<ref>", methods=["GET", "HEAD"])  # type: ignore[untyped-decorator]
    def result(self, request: IRequest, ref: str) -> Deferred[bytes]:
        """A part of a result that was too long to be shown."""
        return self._told(
            request, lambda: self._toolbox.result(self._caller(request), ref, _part(_query(request)))
        )

    @app.route("/discover", methods=["GET", "HEAD"])  # type: ignore[untyped-decorator]
    def discovered(self, request: IRequest) -> bytes:
        """How far the discovery is, or what came of the latest."""
        return _json(request, self._discovery.shown())

    @app.route("/discover", methods=["POST"])  # type: ignore[untyped-decorator]
    def discover(self, request: IRequest) -> Deferred[bytes]:
        """Have servers asked for their lists; who comes while that is done is told how far it is."""

        async def begun() -> Any:
            """Begin when it is their turn."""
            said = _body(request)
            servers, limit_s = self._named(said), _seconds(said, LIMIT_S)
            if not self._discovery.is_running:
                self._discovery.begin(servers, limit_s)
            request.setResponseCode(202)
            return self._discovery.shown()

        return self._told(request, begun)

    @app.handle_errors(HTTPException)  # type: ignore[untyped-decorator]  # Klein is untyped
    def no_route(self, request: IRequest, why: Failure) -> bytes:
        """There is nothing, or nothing that could be done so; programs are told in their own words."""
        said: Any = why.value
        request.setResponseCode(said.code)
        return _json(
            request, {"error": said.name, "hint": "GET /api/v1/tools lists the tools that there are"}
        )

    def _named(self, said: Mapping[str, Raw]) -> list[ServerSpec]:
        known = self._switchboard.servers
        try:
            names = msgspec.json.decode(said["servers"], type=list[str]) if "servers" in said else []
        except msgspec.DecodeError:
            raise InvalidParams('"servers" must be a list of names') from None
        chosen = [self._toolbox.server(each) for each in dict.fromkeys(names)]
        return chosen or [each for each in known.values() if each.enabled]

    def _caller(self, request: Any) -> Caller:
        exchange = request.channel.exchange
        route = exchange.route
        return Caller(route.principal, is_admin(exchange), exchange, self._switchboard, self._owners)

    def _told(self, request: IRequest, work: Work) -> Deferred[bytes]:
        async def answered() -> bytes:
            try:
                return _json(request, await work())
            except CancelledError:
                raise  # the client has gone, and nobody is there to be told
            except GatewayError as why:
                return _refused(request, why)
            except Exception:  # noqa: BLE001 - whatever it was, its traceback is not the client's
                self.log.failure("a request to the control plane broke", event="control.broken")
                return _refused(
                    request, GatewayError("Something went wrong in the gateway; its log says what.")
                )

        return ensureDeferred(answered())


EXPECTED = 'such as {"tool": "read_file", "arguments": {"path": "notes.txt"}}'


@frozen
class Asked:
    """What the body of a call says.

    :ivar tool: its own name; empty where it stands in the path.
    """

    tool: str
    arguments: Raw = field(repr=False)
    limit_s: float


def _asked(request: IRequest) -> Asked:
    said = _body(request)
    arguments = next((said[name] for name in ("arguments", "args") if name in said), jsonrpc.EMPTY)
    if arguments == jsonrpc.NULL:
        arguments = jsonrpc.EMPTY
    if not bytes(arguments).startswith(b"{"):
        raise InvalidParams('"arguments" must be an object', EXPECTED)
    try:
        tool = msgspec.json.decode(said["tool"], type=str) if "tool" in said else ""
    except msgspec.DecodeError:
        raise InvalidParams('"tool" must be a string', EXPECTED) from None
    return Asked(tool, arguments, _seconds(said, CALL_S))


def _body(request: IRequest) -> Mapping[str, Raw]:
    """The members of the object that a body is; none of an empty body.

    :raise InvalidParams: it is no JSON object.
    """
    body = request.content.read()
    try:
        return jsonrpc.decode(body) if body.strip() else {}
    except GatewayError:
        raise InvalidParams("the body: expected a JSON object", EXPECTED) from None


def _seconds(said: Mapping[str, Raw], most: float) -> float:
    raw = next((said[name] for name in ("timeout_ms", "timeoutMs") if name in said), None)
    if raw is None:
        return most
    found = jsonrpc.integer(raw)
    if found is None or found < 1:
        raise InvalidParams('"timeout_ms" must be a whole number of milliseconds')
    return min(found / 1000, CALL_S)


def _query(request: Any) -> dict[str, str]:
    return {
        name.decode(errors="replace"): values[0].decode(errors="replace")
        for name, values in request.args.items()
    }


def _limit(said: Mapping[str, str]) -> int:
    return max(1, min(_number("limit", said.get("limit", str(FOUND))), FOUND_MOST))


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise InvalidParams(f'"{name}" must be a whole number')
    return int(text)


def _part(said: Mapping[str, str]) -> dict[str, Any]:
    """The arguments of ``get_result`` in a query, which knows only texts."""
    made: dict[str, Any] = {}
    for name, text in said.items():
        if name in WHOLE_NUMBERS:
            made[name] = _number(name, text)
        elif name in FLAGS:
            made[name] = text not in ("0", "false")
        elif name in LISTS:
            made[name] = [each for each in text.split(",") if each]
        else:
            made[name] = text
    return made


def _json(request: IRequest, value: Any) -> bytes:
    body = msgspec.json.encode(value)
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"content-length", b"%d" % len(body))  # or it would be chunked
    request.setHeader(b"cache-control", b"no-store")
    return body


def _refused(request: IRequest, why: GatewayError) -> bytes:
    request.setResponseCode(control_status_of(why))
    body = {"error": why.message, "hint": why.hint}
    return _json(
        request, {**body, **{name: value for name, value in (why.data or {}).items() if name not in body}}
    )


def _too_late(_: object, limit_s: float) -> None:
    raise Overloaded(f"no call could be made within {limit_s:g} s", "try again in a moment")
