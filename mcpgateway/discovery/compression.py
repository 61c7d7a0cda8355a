"""Compress definitions of tools: the first sentence of the description, the schema without examples."""

from __future__ import annotations

import re

from msgspec import Raw

from mcpgateway.errors import GatewayError
from mcpgateway.protocol import jsonrpc

DESCRIPTION_CHARACTERS = 80
EXAMPLES = "examples"

_SENTENCE_END = re.compile(r"\.(?=\s|\Z)")


def first_sentence(description: str) -> str:
    """Return the first sentence of a description, with its full stop; without one, its first 80 characters."""
    end = _SENTENCE_END.search(description)
    return description[: end.end()] if end else description[:DESCRIPTION_CHARACTERS]


def without_examples(schema: Raw) -> Raw:
    """Return a schema without the examples on its first level; every other value is unchanged."""
    if EXAMPLES.encode() not in bytes(schema) and b"\\u" not in bytes(schema):
        return schema
    try:
        members = jsonrpc.read_object(schema, "inputSchema")
    except GatewayError:
        return schema
    if EXAMPLES not in members:
        return schema
    return Raw(jsonrpc.encode({name: value for name, value in members.items() if name != EXAMPLES}))
