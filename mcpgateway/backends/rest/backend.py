"""A service without MCP as an MCP server: its requests are tools.

The server is in the gateway itself and speaks both eras; it has no process, and no state between two calls.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from attrs import field, frozen
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.backends.http.client import Web
from mcpgateway.backends.http.documents import fetch
from mcpgateway.backends.rest import calls as restcalls
from mcpgateway.backends.rest.calls import Offered
from mcpgateway.backends.rest.credentials import NONE, Credentials
from mcpgateway.backends.rest.find_description import find, knock
from mcpgateway.backends.rest.targets import is_url, origin, placed, target_of
from mcpgateway.config.openapi.tools import Described, read_openapi
from mcpgateway.config.reach_settings import Operations, Rest, RestTool
from mcpgateway.errors import (
    BackendError,
    BackendGone,
    ConfigError,
    GatewayError,
    InvalidParams,
    Overloaded,
    UnknownMethod,
    Unreachable,
    of_server,
)
from mcpgateway.interfaces import Gone, ILineReceiver, Launch
from mcpgateway.protocol import jsonrpc, legacy, modern, peek, trace_context
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.versions import MODERN, Era, negotiated

CALL_S = 30.0
DOCUMENT_S = (
    20.0  # shorter than the limit of the handshake, so that the reason of a failure is still reported
)
DOCUMENT_LIMIT = 16 * 2**20
ANSWER_LIMIT = 16 * 2**20  # bytes; base64 adds a third, and a line may have 32 MiB
WAITING_LIMIT = 1000  # messages before the description has been read
CALLS_LIMIT = 1000  # at once
SKIPPED_SHOWN = 10
LARGE = 65_536  # characters; a smaller description is parsed within some tens of milliseconds


@frozen
class _Offer:
    """The tools of a REST API, as they are listed and called.

    :ivar named_by: the URL of the description that names the base, if the base is not of the same origin.
    :ivar credentials: the credentials for the service.
    """

    base: str
    tools: Mapping[str, Offered]
    title: str = ""
    version: str = ""
    named_by: str = ""
    credentials: Credentials | None = field(default=None, repr=False)


class RestBackend:
    """A server in the gateway that translates MCP requests to a REST API."""

    log = Logger()
    pid = heard = 0

    def __init__(self, reactor: Any, web: Web, launch: Launch, receiver: ILineReceiver) -> None:
        assert isinstance(launch.reach, Rest)
        self.server = launch.server
        self._reactor = reactor
        self._web = web
        self._rest = launch.reach
        self._cwd = launch.cwd
        self._is_modern = launch.era is Era.MODERN
        self._receiver = receiver
        self._offer: _Offer | None = None
        self._waiting: list[Envelope] = []
        self._calls: dict[bytes, Deferred[Any]] = {}
        self._answers: list[bytes] = []
        self._is_ended = False
        # In a turn of its own: the caller of `launch` is not yet listening, and has to get the reason of a failure.
        self._reading: Deferred[Any] = deferLater(reactor, 0, lambda: Deferred.fromCoroutine(self._read()))
        self._reading.addCallbacks(self._has_read, self._cannot_read)

    async def _read(self) -> _Offer:
        rest = self._rest
        tools = {tool.name: Offered.of(tool) for tool in rest.tools}
        if not rest.openapi:
            return await self._undescribed(tools)
        described = await self._described(await self._document(), _shown(rest.openapi), rest.operations)
        self._tell_skipped(described)
        credentials = Credentials.of(described.schemes, rest.credentials)
        base, named_by = rest.base, ""
        if not base:
            base = _found_base(rest.openapi, described.base)
            named_by = self._judge(base)
        elif origin(base) != origin(rest.openapi):
            await knock(self._web, rest)
        found = {tool.name: Offered.of(placed(tool, rest, described.base)) for tool in described.tools}
        return _Offer(base, found | tools, described.title, described.version, named_by, credentials)

    def _described(self, text: str, where: str, operations: Operations) -> Deferred[Described]:
        # A large description takes a second or two, during which the reactor would serve no other request.
        if len(text) < LARGE:
            return maybeDeferred(read_openapi, text, where, operations)
        from twisted.internet.threads import deferToThreadPool  # large descriptions are few

        pool = self._reactor.getThreadPool()
        return deferToThreadPool(self._reactor, pool, read_openapi, text, where, operations)

    async def _undescribed(self, tools: Mapping[str, Offered]) -> _Offer:
        rest = self._rest
        if tools:
            credentials = Credentials.of({}, rest.credentials)
            await knock(self._web, rest)
            return _Offer(rest.base, tools, credentials=credentials)
        found = await find(self._web, rest, self.server, self._described)
        if found is None:
            Credentials.of({}, rest.credentials)
            self.log.warn(
                "{server} describes itself nowhere near its rest_url, and has no tools; openapi or tools in its entry"
                " say which it has",
                event="rest.undescribed",
                server=self.server,
            )
            return _Offer(rest.base, tools)
        self._tell_skipped(found.described)
        described = found.described
        return _Offer(
            found.base,
            {tool.name: Offered.of(placed(tool, rest, described.base)) for tool in described.tools},
            described.title,
            described.version,
            credentials=Credentials.of(described.schemes, rest.credentials),
        )

    def _judge(self, base: str) -> str:
        # A description from elsewhere must not direct the service's credentials to a host of its choice.
        where = self._rest.openapi
        if not is_url(where) or origin(where) == origin(base):
            return ""
        if self._rest.headers or self._rest.credentials:
            raise ConfigError(
                f"its description at {_shown(where)} says that the service is at {_shown(base)};"
                " give that as its rest_url if its headers are to be sent there"
            )
        return where

    async def _document(self) -> str:
        where = self._rest.openapi
        if not is_url(where):
            return self._file(os.path.join(self._cwd, where))
        own = not self._rest.base or origin(where) == origin(self._rest.base)
        headers = dict(self._rest.headers) if own else {}  # no other host gets the service's credentials
        answer = await fetch(self._web, "GET", where, headers, timeout_s=DOCUMENT_S, limit=DOCUMENT_LIMIT)
        if answer.status != 200:
            raise BackendError(f"its description at {_shown(where)} was answered with HTTP {answer.status}")
        return answer.body.decode("utf-8", "replace")

    def _file(self, path: str) -> str:
        try:
            with open(path, "rb") as file:
                data = file.read(DOCUMENT_LIMIT + 1)
        except OSError as why:
            raise ConfigError(f"its description {path} cannot be read: {why.strerror}") from why
        if len(data) > DOCUMENT_LIMIT:
            raise ConfigError(f"its description {path} is larger than {DOCUMENT_LIMIT} bytes")
        return data.decode("utf-8-sig", "replace")

    def _tell_skipped(self, described: Described) -> None:
        if described.skipped:
            self.log.warn(
                "{server}: {count} operations are not offered: {which}",
                event="rest.skipped",
                server=self.server,
                count=len(described.skipped),
                which="; ".join(described.skipped[:SKIPPED_SHOWN]),
            )

    def _has_read(self, offer: _Offer) -> None:
        if self._is_ended:
            return
        self._offer = offer
        waiting, self._waiting = self._waiting, []
        for message in waiting:
            self._heard(message, offer)

    def _cannot_read(self, why: Failure) -> None:
        if self._is_ended:
            return
        if not why.check(GatewayError):
            self.log.failure(
                "the description of {server} broke", why, event="rest.broken", server=self.server
            )
        fault = why.getErrorMessage() if why.check(GatewayError) else "its description cannot be read"
        kind = Unreachable if why.check(Unreachable) else BackendError
        error = kind(of_server(self.server, fault), getattr(why.value, "hint", ""))
        self._end(Gone(fault=fault, is_unreachable=kind is Unreachable, error=error))

    def write(self, line: bytes, *, now: bool = False) -> None:
        """Receive one message; its answer follows in a later turn.

        :raise Overloaded: too many calls are under way.
        :raise BackendGone: the server has ended.
        """
        if self._is_ended:
            raise BackendGone(f"{self.server} is not running")
        if len(self._waiting) >= WAITING_LIMIT or len(self._calls) >= CALLS_LIMIT:
            raise Overloaded(f"{self.server} has {CALLS_LIMIT} calls under way")
        message = jsonrpc.decode(line)
        if self._offer is None:
            self._waiting.append(message)
        else:
            self._heard(message, self._offer)

    def _heard(self, message: Envelope, offer: _Offer) -> None:
        identifier = jsonrpc.identifier(message.get("id"))
        if identifier is None or "method" not in message:
            self._noticed(message)
            return
        try:
            method = jsonrpc.read_string(message["method"], "method")
            params = jsonrpc.read_object(message.get("params", jsonrpc.EMPTY), "params")
            if method == "tools/call":
                self._call(identifier, params, offer)
            else:
                self._answer(identifier, self._result(method, params, offer))
        except GatewayError as why:
            self._say(jsonrpc.error_bytes(identifier, why))

    def _noticed(self, message: Envelope) -> None:
        if bytes(message.get("method", b"")) != b'"notifications/cancelled"':
            return
        try:
            params = jsonrpc.read_object(message.get("params", jsonrpc.EMPTY), "params")
        except GatewayError:
            return
        call = self._calls.pop(bytes(params.get("requestId", b"")), None)
        if call is not None:
            call.cancel()

    def _result(self, method: str, params: Envelope, offer: _Offer) -> dict[str, Any]:
        match method:
            case "initialize":
                version = negotiated(legacy.requested_version(params))
                return {
                    "protocolVersion": version,
                    "capabilities": {"tools": {}},
                    "serverInfo": self._info(offer),
                }
            case modern.DISCOVER:
                found = {"supportedVersions": list(MODERN), "capabilities": {"tools": {}}}
                return self._kept(found | {"_meta": {modern.SERVER_INFO_KEY: self._info(offer)}})
            case "ping":
                return {}
            case "tools/list":
                return self._kept({"tools": [each.definition for each in offer.tools.values()]})
        raise UnknownMethod(f"Method not found: {method}")

    def _kept(self, result: dict[str, Any]) -> dict[str, Any]:
        # The list changes only when the server is restarted, of which a client with a cached list would not be
        # notified.
        return result | {"ttlMs": 0, "cacheScope": "private"} if self._is_modern else result

    def _info(self, offer: _Offer) -> dict[str, str]:
        info = {"name": self.server, "version": offer.version or "0"}
        return info | ({"title": offer.title} if offer.title else {})

    def _call(self, identifier: bytes, params: Envelope, offer: _Offer) -> None:
        name = jsonrpc.read_string(params.get("name", jsonrpc.NULL), "name")
        offered = offer.tools.get(name)
        if offered is None:
            raise InvalidParams(f"Unknown tool: {name}")
        tool = offered.tool
        arguments = jsonrpc.value(params.get("arguments", jsonrpc.EMPTY), dict)
        try:
            target = target_of(tool, self._rest, offer.base, offer.named_by)
            headers = {**trace_context.headers(peek.members(params, "_meta")), **target.headers}
            given = offer.credentials.for_tool(tool) if offer.credentials and target.is_trusted else NONE
            request = restcalls.request_of(tool, target.base, headers, arguments, given)
        except InvalidParams as why:
            self._answer(identifier, restcalls.failed(why.message))
            return
        done = Deferred.fromCoroutine(self._ask(identifier, tool, request, target.named_by))
        if not done.called:
            self._calls[identifier] = done
        done.addErrback(self._broken, identifier)

    async def _ask(
        self, identifier: bytes, tool: RestTool, request: restcalls.RestRequest, named_by: str
    ) -> None:
        try:
            answer = await self._web.request(
                request.method,
                request.url,
                request.headers,
                request.body,
                timeout_s=CALL_S,
                limit=ANSWER_LIMIT,
                named_by=named_by,
            )
            result = restcalls.result_of(tool, request.url, answer.status, answer.headers, answer.body)
        except GatewayError as why:
            result = restcalls.failed(of_server(self.server, why.message))
        self._calls.pop(identifier, None)
        self._answer(identifier, result)

    def _broken(self, why: Failure, identifier: bytes) -> None:
        self._calls.pop(identifier, None)
        if why.check(CancelledError):
            return  # no caller waits for it any more
        self.log.failure("a call of {server} broke", why, event="rest.call_broken", server=self.server)
        self._say(jsonrpc.error_bytes(identifier, BackendError("the call broke")))

    def _answer(self, identifier: bytes, result: dict[str, Any]) -> None:
        if self._is_modern:
            result = {"resultType": "complete", **result}
        self._say(jsonrpc.one_line(jsonrpc.splice_id(jsonrpc.result(jsonrpc.NULL, result), identifier)))

    def _say(self, line: bytes) -> None:
        # The writer is not yet ready for the answer.
        self._answers.append(line)
        if len(self._answers) == 1:
            self._reactor.callLater(0, self._deliver)

    def _deliver(self) -> None:
        answers, self._answers = self._answers, []
        for line in answers:
            if not self._is_ended:
                self._receiver.line_received(line)

    def stop(self) -> Deferred[None]:
        """Cancel all calls; the server has no process to stop."""
        if self._take_back():
            self._receiver.gone(Gone(0))
        return succeed(None)

    def kill(self) -> None:
        """End the server at once."""
        self._end(Gone(0))

    def _end(self, why: Gone) -> None:
        if self._take_back():
            self._reactor.callLater(0, self._receiver.gone, why)

    def _take_back(self) -> bool:
        if self._is_ended:
            return False
        self._is_ended = True
        self._reading.addErrback(_expected).cancel()
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.cancel()
        return True

    def stderr_tail(self) -> str:
        """Return an empty text: a REST API has no stderr."""
        return ""


def _expected(why: Failure) -> None:
    why.trap(CancelledError, GatewayError)


def _found_base(where: str, base: str) -> str:
    found = urljoin(where, base or "/") if is_url(where) else base
    if not found.startswith(("http://", "https://")):
        raise ConfigError(f"{_shown(where)} does not say where the service is; give its rest_url")
    return found


def _shown(where: str) -> str:
    split = urlsplit(where)
    return f"{split.scheme}://{split.hostname}{split.path}" if split.scheme in ("http", "https") else where
