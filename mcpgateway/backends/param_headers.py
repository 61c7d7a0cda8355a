"""The headers that repeat a part of a request's body, for servers of the modern era (MCP 2026-07-28, basic/transports).

The server's list of tools says which arguments of a tool are repeated in headers; the gateway reads the lists of its
clients.  When a client calls a tool of no list seen so far, the server may refuse the call for its missing headers,
before it is carried out: then the gateway requests the list, and sends the call once more.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from mcpgateway.backends.http.event_stream import STREAM, content_type
from mcpgateway.backends.http.response import ANSWER_LIMIT, take_whole
from mcpgateway.backends.remote_access import RemoteAccess
from mcpgateway.errors import BackendError, HeaderMismatch
from mcpgateway.protocol import jsonrpc, modern, param_headers, peek
from mcpgateway.protocol.jsonrpc import PROTOCOL_VERSION_KEY, URI_LIMIT, Envelope
from mcpgateway.protocol.param_headers import Param
from mcpgateway.protocol.sse_reader import SseReader
from mcpgateway.protocol.versions import LATEST_MODERN
from mcpgateway.waiting import Waiting

LISTING_S = 10.0
PAGES_LIMIT = 100  # pages of one list of tools
TOOLS_LIMIT = 100_000  # tools that are remembered of one server
BOTH = "application/json, text/event-stream"
LIST, CALL = "tools/list", "tools/call"


class Mirror:
    """The known parameter headers of one server's tools."""

    def __init__(self, clock: Any, access: RemoteAccess) -> None:
        self._clock = clock
        self._access = access
        self._params: dict[str, tuple[Param, ...]] = {}
        self._waiting = Waiting[None]()
        self._number = 0

    def headers(self, method: str, envelope: Envelope) -> dict[str, str]:
        """Return the parameter headers of a request."""
        params = peek.members(envelope, "params")
        version = peek.text(peek.members(params, "_meta"), PROTOCOL_VERSION_KEY) or LATEST_MODERN
        headers = {
            "Content-Type": "application/json",
            "Accept": BOTH,
            "MCP-Protocol-Version": param_headers.encode_value(version).decode(),
            "Mcp-Method": param_headers.encode_value(method).decode(),
        }
        named = modern.NAMED.get(method)
        name = peek.text(params, named, URI_LIMIT) if named is not None else None
        if name is not None:
            headers["Mcp-Name"] = param_headers.encode_value(name).decode()
            if method == CALL and name in self._params:
                headers |= param_headers.param_headers(self._params[name], params.get("arguments"))
        return headers

    def heard(self, answer: Envelope) -> None:
        """Take the parameter headers from a list of tools, or one page of it."""
        tools = peek.members(answer, "result").get("tools")
        if tools is None:
            return
        for name in param_headers.names(tools) if self._params else ():
            self._params.pop(name, None)
        if len(self._params) < TOOLS_LIMIT:
            self._params |= param_headers.annotations(tools)

    def learn(self, request: Envelope) -> Deferred[None]:
        """Request the server's list of tools, once for all calls that wait; fires at the end, even of a failure.

        :param request: the refused request; the list is requested with the same client information.
        """
        done = self._waiting.wait()
        if len(self._waiting) == 1:
            meta = dict(peek.members(peek.members(request, "params"), "_meta"))
            meta.pop("progressToken", None)
            asking: Deferred[Any] = Deferred.fromCoroutine(self._ask(meta))
            # After any failure: the calls that wait are sent once more, and get the server's own error.
            asking.addTimeout(LISTING_S, self._clock).addBoth(lambda _: self._waiting.over(None))
        return done

    async def _ask(self, meta: Envelope) -> None:
        params: dict[str, Any] = {"_meta": meta}
        for _ in range(PAGES_LIMIT):
            answer = await self._page(params)
            self.heard(answer)
            cursor = peek.text(peek.members(answer, "result"), "nextCursor", URI_LIMIT)
            if cursor is None:
                return
            params = {"_meta": meta, "cursor": cursor}

    async def _page(self, params: dict[str, Any]) -> Envelope:
        self._number += 1
        identifier = jsonrpc.raw(f"tools-{self._number}")
        request = jsonrpc.request(0, LIST, params) | {"id": identifier}
        opened = await self._access.open("POST", self.headers(LIST, request), jsonrpc.encode(request))
        answer = await take_whole(opened, ANSWER_LIMIT)
        is_stream = content_type(answer.headers) == STREAM
        found = (
            [event.data for event in SseReader(ANSWER_LIMIT).feed(answer.body)]
            if is_stream
            else [answer.body]
        )
        for each in found:
            envelope = jsonrpc.decode(each)
            if envelope.get("id") == identifier:
                return envelope
        raise BackendError("it does not list its tools")


def is_mismatch(answer: Envelope) -> bool:
    """Return whether the server refused a request for its headers."""
    code = peek.members(answer, "error").get("code")
    return jsonrpc.integer(code) == HeaderMismatch.code
