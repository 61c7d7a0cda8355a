"""A request of the gateway's own, as its sink."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from mcpgateway.errors import GatewayError
from mcpgateway.interfaces import Request
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.records import Record


class OwnQuestion(Record):
    """Turns the answer to a request of the gateway's own into a Deferred, which fires with the whole response."""

    done: Deferred[Envelope]
    is_gone: bool = False

    def answered(self, request: Request, reply: Envelope) -> None:
        """Fire the Deferred with the server's response."""
        self.done.callback(reply)

    def failed(self, request: Request, why: GatewayError) -> None:
        """Fail the Deferred: the server has ended, or its answer cannot be read."""
        self.done.errback(why)

    def progressed(self, request: Request, message: bytes) -> None:
        """Ignore progress of the gateway's own request."""

    def noticed(self, request: Request, message: bytes) -> bool:
        """Refuse a message before the answer: no client reads it."""
        return False
