"""Short sessions of the gateway's own at a server or a view, for callers that are no MCP clients.

Such a session is like any other, of a client without capabilities, so a server that keeps state per session starts a
child for it.  Its end cancels all requests under way, and stops such a child.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import define, field, frozen
from msgspec import Raw
from twisted.internet.defer import Deferred

from mcpgateway import __version__
from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import GatewayError
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.hub.meters import UNCOUNTED
from mcpgateway.hub.sessions import Session
from mcpgateway.interfaces import Request
from mcpgateway.policy.recorded_answers import LIST_BYTES_MOST, PAGES_LIMIT
from mcpgateway.protocol import jsonrpc, legacy, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.versions import LATEST_LEGACY

OURS = "mcpgateway"


class RefusedRequest(GatewayError):
    """A server has answered with an error of its own.

    :ivar number: its JSON-RPC code.
    """

    def __init__(self, message: str, number: int, hint: str = "") -> None:
        super().__init__(message, hint)
        self.number = number


@frozen(eq=False, repr=False)
class InternalClient:
    """A session of the gateway's own.

    :ivar hello: the result of its ``initialize``.
    :ivar is_admin: True if the caller has admin rights.
    """

    session: Session
    hello: Envelope = field(repr=False)
    _dispatcher: LegacyDispatcher = field(repr=False)
    is_admin: bool = False

    @classmethod
    async def begin(
        cls, dispatcher: LegacyDispatcher, server: ServerSpec, principal: str, *, is_admin: bool = False
    ) -> InternalClient:
        """Begin a session.

        :raise GatewayError: the server could not be started, or the gateway is stopping.
        """
        params = {
            "protocolVersion": LATEST_LEGACY,
            "capabilities": {},
            "clientInfo": {"name": OURS, "version": __version__},
        }
        message = _request("initialize", params)
        session, hello = await dispatcher.initialize(server, principal, message, None)
        session.params = message.params  # no journal has them, and the activity log names the client
        return cls(session, jsonrpc.read_object(hello, "result"), dispatcher, is_admin)

    def ask(self, method: str, params: Mapping[str, Any], *, counts: bool = True) -> Deferred[Raw]:
        """Send a request; fires with the result.

        :param counts: True for the caller's own request, False for a part of one.
        :raise GatewayError: (through the Deferred) the request failed; `RefusedRequest` for an error of the server's
            own.
        """
        done: Deferred[Raw] = Deferred()
        call = Request(self.session, _request(method, params), None, _Waiting(done), is_admin=self.is_admin)
        if not counts:
            call.meter = UNCOUNTED
        try:
            self._dispatcher.submit(call)
        except GatewayError as why:
            call.sink.failed(call, why)
        return done

    async def list(self, method: str, member: str) -> list[Raw]:
        """Return all entries of a list, of all its pages.

        :raise GatewayError: the list could not be read.
        """
        found: list[Raw] = []
        params: dict[str, Any] = {}
        size = 0
        for _ in range(PAGES_LIMIT):  # the same limit as for recorded lists
            page = jsonrpc.read_object(await self.ask(method, params), "result")
            size += sum(len(bytes(each)) for each in page.values())
            found += jsonrpc.read_list(page.get(member, Raw(b"[]")), member)
            cursor = peek.text(page, "nextCursor", jsonrpc.URI_LIMIT)
            if cursor is None or size > LIST_BYTES_MOST:
                break
            params = {"cursor": cursor}
        return found

    def offers(self, what: str) -> bool:
        """Return whether the server has declared a capability."""
        return what in legacy.capabilities(self.hello)

    def end(self, why: str) -> None:
        """End the session; requests under way are cancelled."""
        self._dispatcher.end(self.session, why)


@define(eq=False, repr=False)
class _Waiting:
    """Turns the answer to a call into a Deferred; a cancelled one gets no further call."""

    done: Deferred[Raw]
    is_gone: bool = False

    def answered(self, request: Request, reply: Envelope) -> None:
        """Fire with the server's own response, which may be an error."""
        if self.done.called:
            return
        if "error" in reply:
            error = peek.members(reply, "error")
            code = jsonrpc.integer(error.get("code")) or GatewayError.code
            text, hint = legacy.error_text(reply["error"]), legacy.error_hint(reply["error"])
            self.done.errback(RefusedRequest(text, code, hint))
        else:
            self.done.callback(reply.get("result", jsonrpc.EMPTY))

    def failed(self, request: Request, why: GatewayError) -> None:
        """Fire with the gateway's error."""
        if not self.done.called:
            self.done.errback(why)

    def progressed(self, request: Request, message: bytes) -> None:
        """Drop progress, which this client does not request."""

    def noticed(self, request: Request, message: bytes) -> bool:
        """Drop notifications, which this client does not receive."""
        return False


def _request(method: str, params: Mapping[str, Any]) -> jsonrpc.Message:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return jsonrpc.read_client(bytes(jsonrpc.raw(body)))
