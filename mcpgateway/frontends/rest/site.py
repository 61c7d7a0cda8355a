"""The control plane on Klein, made from the table of routes.

Imported for its first request: Klein costs 4 MB and a tenth of a second.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec
from klein import Klein
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.server import Site
from werkzeug.exceptions import HTTPException, NotFound

from mcpgateway import escaping
from mcpgateway.errors import GatewayError
from mcpgateway.frontends.http.content_encoding import accepted_encodings
from mcpgateway.frontends.http.routes import API, PLACE, ROUTES, VERSIONED, Media, Route, methods_of
from mcpgateway.frontends.http.statuses import control_status_of
from mcpgateway.frontends.rest.fair_queue import FairQueue
from mcpgateway.frontends.rest.operation import Feed, OperationAnswer, OperationRequest
from mcpgateway.system.process.processes import out_of_files

Groups = Mapping[str, Callable[[], Any]]
"""The makers of the groups of operations, each called for the first request to its group."""

Audit = Callable[[str, str, int, str, str], str]
"""Writes down an operation, its request, the status, who asked, and the server it was about; gives its id."""


class Edit(Protocol):
    """A change of what the nodes of a cluster share."""

    async def settle(self) -> Mapping[str, str]:
        """Share what was changed; return headers for the answer.

        :raise GatewayError: it could not be shared, and is undone.
        """

    def close(self) -> None:
        """End the change."""


CALLS = "tools."  # logged as calls of servers
RETRY_S = "1"
COMPRESSED_BYTES = 16_384
GZIP_LEVEL = 1  # on the reactor's thread: a list of 2,000 tools takes a few milliseconds
ALL_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
BROKEN = "Something went wrong in the gateway; its log says what."


class ControlPlane:
    """Serves all paths that are not MCP, by the table of routes.

    :param audit: called for every request that may have changed state; None without an activity log.
    :param edit: begins a change of what the nodes of a cluster share; None for a gateway that is alone.
    """

    log = Logger()
    app: Any = Klein()  # one for all, since making the table takes longer than making all the rest

    def __init__(
        self,
        groups: Groups,
        turns: FairQueue,
        audit: Audit | None = None,
        edit: Callable[[], Edit] | None = None,
    ) -> None:
        self._groups = groups
        self._audit = audit
        self._edit = edit
        self._made: dict[str, Any] = {}
        self._turns = turns

    def site(self) -> Site:
        """Return the site for requests of the channel; forms are parsed on demand only."""
        return Site(self.app.resource(), parsePOSTFormSubmission=False)

    def serve(self, request: IRequest, route: Route, path: Mapping[str, str]) -> Deferred[bytes]:
        """Answer a request of one of the routes.

        :param path: the parts of its path that the route names.
        """
        asked = OperationRequest(request, route, path)
        return ensureDeferred(self._answer(asked)).addCallback(self._audited, asked)

    def _audited(self, body: bytes, asked: OperationRequest) -> bytes:
        route, request = asked.route, asked.request
        if self._audit is not None and route.method != "GET" and not route.operation.startswith(CALLS):
            # With the names of servers in the place of what may be the id of a session, which is a secret.
            identifier = self._audit(
                route.operation,
                f"{route.method} {route.path}",
                request.code,
                asked.principal,
                asked.path.get("name", ""),
            )
            request.setHeader(b"x-request-id", identifier.encode())
        return body

    async def _answer(self, asked: OperationRequest) -> bytes:
        if (
            asked.judged is not asked.route.access
        ):  # see Note [As it is judged] in `mcpgateway.frontends.http.routes`
            raise NotFound
        try:
            if asked.route.media is Media.EVENTS:
                found = await self._operate(asked)
            else:
                found = await self._turns.take(asked.principal, lambda: self._shared(asked))
            return await _written(asked, found)
        except CancelledError:
            raise  # the client has disconnected
        except GatewayError as why:
            return _refused(asked.request, why)
        except Exception as why:  # noqa: BLE001 - any exception: a client gets no traceback
            full = out_of_files(why)
            if full is not None:
                return _refused(asked.request, full)
            self.log.failure("a request to the control plane broke", event="control.broken")
            return _refused(asked.request, GatewayError(BROKEN))

    async def _shared(self, asked: OperationRequest) -> Any:
        if self._edit is None or asked.route.method == "GET" or asked.route.operation.startswith(CALLS):
            return await self._operate(asked)
        edit = self._edit()
        try:
            found = await self._operate(asked)
            for name, value in (await edit.settle()).items():
                asked.request.setHeader(name.lower().encode(), value.encode())
        finally:
            edit.close()
        return found

    async def _operate(self, asked: OperationRequest) -> Any:
        group, _, method = asked.route.operation.partition(".")
        made = self._made.get(group)
        if made is None:
            made = self._made[group] = self._groups[group]()
        return await getattr(made, method)(asked)


def _serve(route: Route) -> None:
    rule = PLACE.sub(lambda found: f"<{'path:' if found[2] else ''}{found[1]}>", route.path)

    def serve(plane: ControlPlane, request: IRequest, **path: str) -> Deferred[bytes]:
        return plane.serve(request, route, path)

    methods = list(route.methods)
    ControlPlane.app.route(rule, methods=methods, endpoint=f"{route.method} {route.path}")(serve)


async def _written(asked: OperationRequest, found: Any) -> bytes:
    request = asked.request
    if isinstance(found, Feed):
        request.setHeader(b"content-type", found.media.encode())
        request.setHeader(b"cache-control", b"no-store")
        if asked.request.method != b"HEAD":
            await found.run(request)
        return b""
    answer = (
        found if isinstance(found, OperationAnswer) else OperationAnswer(next(iter(asked.route.gives)), found)
    )
    request.setResponseCode(answer.status)
    for name, value in answer.headers.items():
        request.setHeader(name.encode(), value.encode("latin-1"))
    body = answer.body if answer.body is not None else _encoded(answer.value)
    return _framed(request, _compressed(asked, body), answer.media)


def _compressed(asked: OperationRequest, body: bytes) -> bytes:
    """Compress a large answer for a client that accepts it; both forms have one tag, since they say the same."""
    if len(body) < COMPRESSED_BYTES:
        return body
    asked.request.setHeader(b"vary", b"Accept-Encoding")
    if b"gzip" not in accepted_encodings((asked.header("accept-encoding") or "").encode("latin-1")):
        return body
    asked.request.setHeader(b"content-encoding", b"gzip")
    return gzip.compress(body, GZIP_LEVEL, mtime=0)


def _encoded(value: Any) -> bytes:
    # A terminal that shows it gets no foreign control characters.
    return escaping.json_bytes(msgspec.json.encode(value))


def _framed(request: Any, body: bytes, media: str = "application/json") -> bytes:
    request.setHeader(b"content-type", media.encode())
    if body or request.method != b"HEAD":  # the length that a service tells is not that of what it sends then
        request.setHeader(b"content-length", b"%d" % len(body))  # or it would be chunked
    request.setHeader(b"cache-control", b"no-store")
    return body


def _refused(request: Any, why: GatewayError) -> bytes:
    status = control_status_of(why)
    request.setResponseCode(status)
    if status in (429, 503):
        request.setHeader(b"retry-after", RETRY_S.encode())
    body = {"error": why.message, "hint": why.advice}
    more = {name: value for name, value in (why.data or {}).items() if name not in body}
    return _framed(request, _encoded({**body, **more}))


def _versioned(_: ControlPlane, request: Any, rest: str) -> bytes:
    # Tell where that is which was asked for without its version.
    there = VERSIONED + request.uri.removeprefix(API)
    if request.uri.startswith(VERSIONED) or not methods_of(there.partition(b"?")[0]):
        raise NotFound
    request.setHeader(b"location", there)
    request.setResponseCode(307)
    return b""


def _no_route(_: ControlPlane, request: IRequest, failure: Failure) -> bytes:
    # The guard has let nothing through but what is declared; this is what Klein cannot take apart.
    error: Any = failure.value
    request.setResponseCode(error.code)
    body = {"error": error.name, "hint": "GET /api/v1/openapi.json lists what there is"}
    return _framed(request, _encoded(body))


for each in ROUTES:
    if not each.is_light:
        _serve(each)
ControlPlane.app.route("/api/<path:rest>", methods=ALL_METHODS, endpoint="versioned")(_versioned)
ControlPlane.app.handle_errors(HTTPException)(_no_route)
