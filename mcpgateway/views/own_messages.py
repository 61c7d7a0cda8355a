"""Rewriting of messages on views that few requests need.

A refusal of a server as a tool's result, the URI in a read resource, and the recognition of "not found" errors.
"""

from __future__ import annotations

import re

from msgspec import Raw

from mcpgateway.errors import GatewayError
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.translate import COMPLETE

NOT_FOUND = -32002
_MAY_BE_NOT_FOUND = (-32602, 0)  # of the latest revision, and of libraries that use 0 for every exception
_NOT_FOUND = re.compile(r"not found|not exist|(unknown|no such|no) resource", re.IGNORECASE)


def unusable(server: str, why: GatewayError) -> Envelope:
    """Make the result of a tool whose server this client cannot use: a text for the caller."""
    text = f"{server} cannot be used here: {why.hint or why.message}"
    result = {"resultType": COMPLETE, "content": [{"type": "text", "text": text}], "isError": True}
    return jsonrpc.result(jsonrpc.NULL, result)


def renamed(result: Raw, own: str, shown: str) -> Raw:
    """Replace the server's own URI in the result of a ``resources/read`` by the client's."""
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


def is_not_found(error: Raw) -> bool:
    """True if an error says that the resource does not exist; False for refusals and other failures."""
    members = peek.members({"error": error}, "error")
    code = jsonrpc.integer(members.get("code"))
    text = peek.text(members, "message", jsonrpc.URI_LIMIT) or ""
    return code == NOT_FOUND or (code in _MAY_BE_NOT_FOUND and _NOT_FOUND.search(text) is not None)
