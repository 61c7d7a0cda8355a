"""What stands between a call and whoever waits for its answer."""

from __future__ import annotations

from typing import Any

from attrs import define
from msgspec import Raw
from twisted.python.failure import Failure

from mcpgateway.errors import GatewayError
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import Envelope


@define(eq=False)
class Between:
    """Passes everything on; a subclass takes what concerns it first."""

    sink: Any

    @property
    def is_gone(self) -> bool:
        """Whether the caller's connection has ended."""
        return bool(self.sink.is_gone)

    def answered(self, call: Request, reply: Envelope) -> None:
        """The server's own response."""
        self.sink.answered(call, reply)

    def failed(self, call: Request, why: GatewayError) -> None:
        """The gateway answers in the server's place."""
        self.sink.failed(call, why)

    def progressed(self, call: Request, message: bytes) -> None:
        """The call's own progress."""
        self.sink.progressed(call, message)

    def noticed(self, call: Request, message: bytes) -> bool:
        """Something before the answer."""
        return bool(self.sink.noticed(call, message))


def reason(why: Failure) -> GatewayError:
    """The error that a call ends with which failed so."""
    return why.value if isinstance(why.value, GatewayError) else GatewayError("Internal error")


def refuse(call: Request, why: GatewayError | Raw) -> None:
    """End a call with a reason of the gateway's, or with a server's own error."""
    if isinstance(why, GatewayError):
        call.sink.failed(call, why)
    else:
        call.sink.answered(call, {"jsonrpc": jsonrpc.VERSION, "id": jsonrpc.NULL, "error": why})
