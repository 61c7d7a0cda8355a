"""Sinks of calls' answers, for tests."""

from __future__ import annotations

import json
from typing import Any

from attrs import define, field

from mcpgateway.errors import GatewayError
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import Envelope


@define(eq=False)
class Sink:
    """Writes down what becomes of a call."""

    replies: list[Any] = field(factory=list)
    reasons: list[GatewayError] = field(factory=list)
    messages: list[bytes] = field(factory=list)
    is_gone: bool = False

    def answered(self, call: Request, reply: Envelope) -> None:
        """An answer."""
        self.replies.append(json.loads(jsonrpc.splice_id(reply, call.id)))

    def failed(self, call: Request, why: GatewayError) -> None:
        """No answer."""
        self.reasons.append(why)

    def progressed(self, call: Request, message: bytes) -> None:
        """Progress."""
        self.messages.append(message)

    def noticed(self, call: Request, message: bytes) -> bool:
        """Something before the answer."""
        self.messages.append(message)
        return True
