"""The answers of the gateway's own tools: JSON as the text of a result, and an error with a hint."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mcpgateway.discovery.records import Item
from mcpgateway.errors import GatewayError, NeedsLogin
from mcpgateway.hub.filters import reason
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope

if TYPE_CHECKING:
    from mcpgateway.owntools.tool import Access


def text(request: Request, value: Any, *more: Raw) -> None:
    """Answer with a value as JSON, followed by further content."""
    request.sink.answered(request, _reply(value, more))


def failed(request: Request, message: str, hint: str = "", **more: Any) -> None:
    """Answer with a failed result: the reason, and a hint that a model can act on."""
    body: dict[str, Any] = {"error": message, "hint": hint or GatewayError.remedy}
    body |= {key: value for key, value in more.items() if value}
    request.sink.answered(request, _reply(body, is_error=True))


def failed_by(request: Request, why: GatewayError) -> None:
    """Answer with a failed result for an error."""
    if request.sends_user and isinstance(why, NeedsLogin):
        request.sink.failed(request, why)  # its client has its user sign in, and calls again
        return
    failed(request, why.message, why.advice, **(why.data or {}))


def later(done: Coroutine[Any, Any, None], request: Request) -> None:
    """Answer with the result of a coroutine; its exception becomes a failed result."""

    def broken(why: Failure) -> Failure | None:
        failed_by(request, reason(why))
        return None if why.check(GatewayError) else why

    Deferred.fromCoroutine(done).addErrback(broken)


def _reply(value: Any, more: Iterable[Raw] = (), *, is_error: bool = False) -> Envelope:
    block = {"type": "text", "text": msgspec.json.encode(value).decode()}
    result: dict[str, Any] = {"content": [block, *more]}
    if is_error:
        result["isError"] = True
    return jsonrpc.result(jsonrpc.NULL, result)


def is_failed(reply: Envelope) -> bool:
    """Return whether a response has a result with ``isError``."""
    return bytes(peek.members(reply, "result").get("isError", b"")) == b"true"


def with_note(reply: Envelope, note: str) -> Envelope:
    """Return the response with one more text at the end of its content, which is unchanged otherwise."""
    result = peek.members(reply, "result")
    try:
        content = jsonrpc.read_list(result["content"], "content")
    except (KeyError, GatewayError):
        return reply
    result["content"] = jsonrpc.raw([*content, {"type": "text", "text": note}])
    return {**reply, "result": jsonrpc.raw(result)}


Shield = Callable[[Request, "Item | None", Any, "Access"], None]
"""Has the answer of a call cut to a size that a model can afford.

It is given the call, its tool (None for what is the gateway's own), the level (None: the usual one), and who calls.
"""


def unshielded(request: Request, item: Item | None, level: Any, access: Access) -> None:
    """Exempt a call's answer from shortening."""
