"""The base of the objects between a call and its sink, which change its answer or react to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Raw
from twisted.python.failure import Failure

from mcpgateway.errors import GatewayError, HandshakeRefused, SharedOtherwise
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import Envelope, Message
from mcpgateway.records import Record

if TYPE_CHECKING:
    from mcpgateway.hub.caller import Caller

ATTEMPTS_LIMIT = 10  # children that cannot take a request, one after the other


class SinkFilter(Record):
    """Passes everything on to the next sink; a subclass overrides the methods that it needs."""

    sink: Any

    @property
    def is_gone(self) -> bool:
        """True if the caller's connection has ended."""
        return bool(self.sink.is_gone)

    def answered(self, request: Request, reply: Envelope) -> None:
        """Pass the server's response on."""
        self.sink.answered(request, reply)

    def failed(self, request: Request, why: GatewayError) -> None:
        """Pass an error of the gateway on."""
        self.sink.failed(request, why)

    def progressed(self, request: Request, message: bytes) -> None:
        """Pass progress of the call on."""
        self.sink.progressed(request, message)

    def noticed(self, request: Request, message: bytes) -> bool:
        """Pass a message that precedes the answer on."""
        return bool(self.sink.noticed(request, message))


class Dispatcher(Protocol):
    """The entrance of the requests of one era."""

    def resubmit(self, request: Request) -> None:
        """Submit a request again, to another child; an error goes to its sink."""

    def refused(self, request: Request, why: HandshakeRefused) -> None:
        """Submit a request again in the other era, if the server may speak that; else pass the error on."""


class Resubmission(SinkFilter):
    """Submits a request once more if its child, which has had no handshake so far, cannot take it.

    :ivar message: the client's message, which the first attempt may have changed.
    :ivar caller: the caller of a modern request, likewise; None in the legacy era.
    """

    dispatcher: Dispatcher
    message: Message
    caller: Caller | None

    def failed(self, request: Request, why: GatewayError) -> None:
        """Pass the error on, or submit the request again: to another child, or in the other era."""
        request.sink = self.sink
        request.attempts += 1
        if not isinstance(why, SharedOtherwise | HandshakeRefused) or request.attempts > ATTEMPTS_LIMIT:
            request.sink.failed(request, why)
            return
        request.message, request.caller = self.message, self.caller
        if isinstance(why, HandshakeRefused):
            self.dispatcher.refused(request, why)
        else:
            self.dispatcher.resubmit(request)


def resubmit(request: Request, dispatcher: Dispatcher) -> None:
    """Have a dispatcher submit a request once more if its child cannot take it."""
    request.sink = Resubmission(request.sink, dispatcher, request.message, request.caller)


def reason(why: Failure) -> GatewayError:
    """Return the error of a call that has failed so; an unexpected one becomes an internal error."""
    return why.value if isinstance(why.value, GatewayError) else GatewayError("Internal error")


def refuse(request: Request, why: GatewayError | Raw) -> None:
    """End a call with an error of the gateway, or with a server's own error."""
    if isinstance(why, GatewayError):
        request.sink.failed(request, why)
    else:
        request.sink.answered(request, {"jsonrpc": jsonrpc.VERSION, "id": jsonrpc.NULL, "error": why})
