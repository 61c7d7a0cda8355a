"""What hardly any request to a view needs: a server's refusal as a result, and a resource under another name."""

from __future__ import annotations

from msgspec import Raw

from mcpgateway.errors import GatewayError
from mcpgateway.wire import jsonrpc, peek
from mcpgateway.wire.jsonrpc import Envelope
from mcpgateway.wire.translate import COMPLETE


def unusable(server: str, why: GatewayError) -> Envelope:
    """The result of a tool whose server this client cannot use: a text for whoever has called it."""
    text = f"{server} cannot be used here: {why.hint or why.message}"
    result = {"resultType": COMPLETE, "content": [{"type": "text", "text": text}], "isError": True}
    return jsonrpc.result(jsonrpc.NULL, result)


def renamed(result: Raw, own: str, shown: str) -> Raw:
    """The result of a ``resources/read``, in which a resource is called what the client calls it."""
    members = peek.members({"result": result}, "result")
    try:
        contents = jsonrpc.read_list(members["contents"], "contents")
    except (KeyError, GatewayError):
        return result
    members["contents"] = jsonrpc.raw([_renamed(each, own, shown) for each in contents])
    return jsonrpc.raw(members)


def _renamed(content: Raw, own: str, shown: str) -> Raw:
    members = peek.members({"content": content}, "content")
    if peek.text(members, "uri", jsonrpc.URI_LIMIT) != own:
        return content
    return jsonrpc.raw(members | {"uri": jsonrpc.raw(shown)})
